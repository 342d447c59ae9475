#include "net/breaker.h"

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *at, size_t len)
{
    const uint8_t *bytes = at;

    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001B3);
    return h;
}

uint64_t breaker_key(uint32_t label, struct slice host, uint16_t port)
{
    uint64_t h = hash(UINT64_C(0xCBF29CE484222325), &label, sizeof(label));

    h = hash(h, &port, sizeof(port));
    h = hash(h, host.at, host.len);
    return h ? h : 1;
}

struct breaker *breaker_find(struct breakers *all, uint64_t key, uint32_t label, int64_t now_ns)
{
    struct breaker *oldest = &all->at[0];

    for (size_t i = 0; i < BREAKERS_MAX; i++) {
        struct breaker *b = &all->at[i];
        if (b->key == key) {
            b->used_ns = now_ns;
            return b;
        }
        if (b->used_ns < oldest->used_ns)
            oldest = b;
    }
    *oldest = (struct breaker){.key = key, .label = label, .used_ns = now_ns};
    return oldest;
}

bool breaker_allows(struct breaker *b, int64_t now_ns)
{
    if (b->state == BREAKER_CLOSED)
        return true;
    if (now_ns < b->until_ns)
        return false;
    b->state = BREAKER_HALF;
    b->until_ns = now_ns + BREAKER_PROBE_NS;
    return true;
}

bool breaker_good(struct breaker *b)
{
    bool changed = b->state != BREAKER_CLOSED;

    b->state = BREAKER_CLOSED;
    b->failures = 0;
    return changed;
}

bool breaker_bad(struct breaker *b, int64_t now_ns)
{
    if (b->state == BREAKER_OPEN) /* begun before it opened */
        return false;
    b->failures++;
    if (b->state == BREAKER_CLOSED && b->failures < BREAKER_FAILURES)
        return false;
    b->until_ns = now_ns + (b->state == BREAKER_HALF ? BREAKER_REOPEN_NS : BREAKER_OPEN_NS);
    b->state = BREAKER_OPEN;
    return true;
}

bool breaker_neither(struct breaker *b, int64_t now_ns)
{
    if (b->state != BREAKER_HALF)
        return false;
    b->state = BREAKER_OPEN;
    b->until_ns = now_ns; /* the next one probes */
    return false;
}
