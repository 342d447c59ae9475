#include "actors/call/history.h"

#include <assert.h>

_Static_assert(HISTORY_BYTES_MAX <= UINT16_MAX, "a line's length fits");

uint8_t *history_move(struct history *h, uint8_t *memory, uint32_t size)
{
    uint8_t *old = h->bytes;

    assert(size >= h->used && size <= HISTORY_BYTES_MAX);
    if (h->used)
        memcpy(memory, old, h->used);
    h->bytes = memory;
    h->size = size;
    return old;
}

size_t history_lines(const struct history *h, struct provider_line *out)
{
    const uint8_t *at = h->bytes;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_line *line = &h->lines[i];
        out[i] = (struct provider_line){.agent = line->agent, .text = slice_of(at, line->len)};
        at = line->len ? at + line->len : at;
    }
    return h->count;
}

static void forget_oldest(struct history *h)
{
    uint32_t len = h->lines[0].len;

    if (len)
        memmove(h->bytes, h->bytes + len, h->used - len);
    memmove(h->lines, h->lines + 1, (h->count - 1) * sizeof(h->lines[0]));
    h->count--;
    h->used -= len;
}

static void append(struct history *h, struct slice text)
{
    if (text.len)
        memcpy(h->bytes + h->used, text.at, text.len);
    h->used += (uint32_t)text.len;
}

static void make_room(struct history *h, size_t bytes)
{
    while (h->count && (h->used + bytes > h->size || h->count == HISTORY_LINES_MAX))
        forget_oldest(h);
}

void history_add(struct history *h, bool agent, struct slice text)
{
    if (text.len > h->size)
        text.len = h->size;
    make_room(h, text.len);
    append(h, text);
    h->lines[h->count++] = (struct history_line){.agent = agent, .len = (uint16_t)text.len};
}

void history_extend(struct history *h, struct slice text)
{
    if (h->count == 0 || !h->lines[h->count - 1].agent) {
        history_add(h, true, text);
        return;
    }
    while (h->count > 1 && h->used + text.len > h->size)
        forget_oldest(h);
    if (h->used + text.len > h->size)
        text.len = h->size - h->used;
    append(h, text);
    struct history_line *last = &h->lines[h->count - 1];
    last->len = (uint16_t)(last->len + text.len);
}

void history_cut(struct history *h, size_t bytes)
{
    if (h->count == 0)
        return;
    struct history_line *last = &h->lines[h->count - 1];
    const uint8_t *text = h->bytes + h->used - last->len;
    if (bytes >= last->len)
        return;
    while (bytes > 0 && (text[bytes] & 0xC0) == 0x80)
        bytes--;
    h->used -= (uint32_t)(last->len - bytes);
    last->len = (uint16_t)bytes;
    if (bytes == 0)
        h->count--;
}
