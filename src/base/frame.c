#include "base/frame.h"

#include <stdlib.h>

#include "base/cache.h"
#include "base/pages.h"
#include "base/poison.h"

struct frame_pool *frame_pool_new(uint32_t count)
{
    struct frame_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        abort();
    pool->frames = pages_new((count + 1) * sizeof(struct frame));
    pool->free = calloc(count + 1, sizeof(frame_ref));
    if (!pool->free)
        abort();
    pool->count = count;
    for (uint32_t i = count; i >= 1; i--) {
        pool->free[pool->free_count++] = i;
        POISON(pool->frames[i].data, FRAME_DATA_BYTES);
    }
    return pool;
}

void frame_pool_free(struct frame_pool **pool)
{
    if (!*pool)
        return;
    assert((*pool)->free_count == (*pool)->count);
    UNPOISON((*pool)->frames, ((*pool)->count + 1) * sizeof(struct frame));
    pages_free((*pool)->frames, ((*pool)->count + 1) * sizeof(struct frame));
    free((*pool)->free);
    free(*pool);
    *pool = NULL;
}

frame_ref frame_get(struct frame_pool *pool)
{
    if (pool->free_count == 0) {
        pool->refused++;
        return FRAME_NONE;
    }
    frame_ref ref = pool->free[--pool->free_count];
    struct frame *f = &pool->frames[ref];
    UNPOISON(f->data, FRAME_DATA_BYTES);
    memset(f, 0, offsetof(struct frame, data));
    f->refs = 1;
    return ref;
}

void frame_soon(const struct frame_pool *pool, frame_ref ref, size_t from, size_t bytes)
{
    cache_fetch_line(&pool->frames[ref]);
    cache_fetch(pool->frames[ref].data + from, bytes);
}

frame_ref frame_keep(struct frame_pool *pool, frame_ref ref)
{
    frame_at(pool, ref)->refs++;
    return ref;
}

void frame_put(struct frame_pool *pool, frame_ref *ref)
{
    frame_ref at = *ref;

    *ref = FRAME_NONE;
    while (at != FRAME_NONE) {
        struct frame *f = frame_at(pool, at);
        if (--f->refs > 0)
            return;
        frame_ref next = f->next;
        POISON(f->data, FRAME_DATA_BYTES);
        pool->free[pool->free_count++] = at;
        at = next;
    }
}

frame_ref frame_chain(struct frame_pool *pool, struct slice bytes)
{
    frame_ref first = FRAME_NONE, last = FRAME_NONE;

    do {
        frame_ref ref = frame_get(pool);
        if (ref == FRAME_NONE) {
            frame_put(pool, &first);
            return FRAME_NONE;
        }
        struct frame *f = frame_at(pool, ref);
        f->len = (uint32_t)(bytes.len < FRAME_DATA_BYTES ? bytes.len : FRAME_DATA_BYTES);
        if (f->len) {
            memcpy(f->data, bytes.at, f->len);
            bytes = slice_of(bytes.at + f->len, bytes.len - f->len);
        }
        if (last == FRAME_NONE)
            first = ref;
        else
            frame_at(pool, last)->next = ref;
        last = ref;
    } while (bytes.len);
    return first;
}

size_t frame_chain_len(struct frame_pool *pool, frame_ref ref)
{
    size_t len = 0;

    for (; ref != FRAME_NONE; ref = frame_at(pool, ref)->next)
        len += frame_at(pool, ref)->len;
    return len;
}

size_t frame_chain_copy(struct frame_pool *pool, frame_ref ref, void *out, size_t size)
{
    size_t len = 0;

    for (; ref != FRAME_NONE && len < size; ref = frame_at(pool, ref)->next) {
        struct frame *f = frame_at(pool, ref);
        size_t part = f->len < size - len ? f->len : size - len;
        memcpy((uint8_t *)out + len, f->data, part);
        len += part;
    }
    return len;
}

uint32_t frame_pool_used(const struct frame_pool *pool)
{
    return pool->count - pool->free_count;
}

uint32_t frame_pool_size(const struct frame_pool *pool)
{
    return pool->count;
}

uint64_t frame_pool_refused(const struct frame_pool *pool)
{
    return pool->refused;
}
