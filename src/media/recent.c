#include "media/recent.h"

#include <assert.h>
#include <string.h>

#include "base/cache.h"
#include "media/g711.h"

static size_t bytes_each(enum recent_law law)
{
    return law == RECENT_PCM ? sizeof(int16_t) : 1;
}

size_t recent_bytes(enum recent_law law, uint32_t samples)
{
    return samples * bytes_each(law);
}

void recent_init(struct recent *r, enum recent_law law, void *memory, uint16_t samples)
{
    assert(samples > 0);
    *r = (struct recent){.memory = memory, .size = samples, .law = (uint8_t)law};
}

static void encode(enum recent_law law, uint8_t *to, const int16_t *pcm, size_t n)
{
    switch (law) {
    case RECENT_PCM:
        memcpy(to, pcm, n * sizeof(*pcm));
        return;
    case RECENT_MULAW:
        g711_mulaw_encode(to, pcm, n);
        return;
    case RECENT_ALAW:
        g711_alaw_encode(to, pcm, n);
        return;
    }
}

static void decode(enum recent_law law, int16_t *to, const uint8_t *from, size_t n)
{
    switch (law) {
    case RECENT_PCM:
        memcpy(to, from, n * sizeof(*to));
        return;
    case RECENT_MULAW:
        g711_mulaw_decode(to, from, n);
        return;
    case RECENT_ALAW:
        g711_alaw_decode(to, from, n);
        return;
    }
}

/* The ring moves on; how much of `n` fits before its end. */
static size_t moved(struct recent *r, size_t n)
{
    size_t left = (size_t)(r->size - r->next), part = left < n ? left : n;

    r->next = (uint16_t)((r->next + part) % r->size);
    r->count = (uint16_t)(r->count + part < r->size ? r->count + part : r->size);
    return part;
}

void recent_add(struct recent *r, const int16_t *pcm, size_t n)
{
    while (n) {
        uint8_t *to = r->memory + r->next * bytes_each(r->law);
        size_t part = moved(r, n);
        encode(r->law, to, pcm, part);
        pcm += part;
        n -= part;
    }
}

void recent_add_codes(struct recent *r, const uint8_t *codes, size_t n)
{
    assert(r->law != RECENT_PCM);
    while (n) {
        uint8_t *to = r->memory + r->next;
        size_t part = moved(r, n);
        memcpy(to, codes, part);
        codes += part;
        n -= part;
    }
}

void recent_soon(const struct recent *r, size_t n)
{
    size_t each = bytes_each(r->law);
    const uint8_t *at = r->memory + r->next * each;

    /* no line more than they lie in */
    cache_fetch_own(at, n * each + (uintptr_t)at % CACHE_LINE_BYTES);
}

void recent_copy(const struct recent *r, size_t back, int16_t *out, size_t n)
{
    size_t at = (r->next + r->size - back) % r->size;

    assert(back <= r->count && n <= back);
    while (n) {
        size_t part = r->size - at < n ? r->size - at : n;
        decode(r->law, out, r->memory + at * bytes_each(r->law), part);
        at = (at + part) % r->size;
        out += part;
        n -= part;
    }
}
