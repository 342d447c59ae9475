#include "base/arena.h"

#include <assert.h>

#include "base/poison.h"

void arena_init(struct arena *a, void *memory, size_t size)
{
    assert(((uintptr_t)memory & (ARENA_ALIGN - 1)) == 0);
    *a = (struct arena){.at = memory, .size = size};
    POISON(a->at, a->size);
}

void arena_fini(struct arena *a)
{
    UNPOISON(a->at, a->size);
    *a = (struct arena){.closed = true};
}

static size_t rounded(size_t len)
{
    return (len + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

void *arena_take(struct arena *a, size_t len)
{
    assert(len > 0);
    /* The budget first: a hostile length must not wrap when it is rounded up. */
    if (a->closed || len > a->size - a->used || rounded(len) > a->size - a->used) {
        a->refused++;
        return NULL;
    }
    uint8_t *piece = a->at + a->used;
    a->used += rounded(len);
    if (a->used > a->used_most)
        a->used_most = a->used;
    UNPOISON(piece, len);
    memset(piece, 0, len);
    return piece;
}

char *arena_text(struct arena *a, struct slice text)
{
    char *copy = text.len < SIZE_MAX ? arena_take(a, text.len + 1) : NULL;

    if (copy && text.len)
        memcpy(copy, text.at, text.len);
    return copy;
}

size_t arena_mark(const struct arena *a)
{
    return a->used;
}

void arena_rewind(struct arena *a, size_t mark)
{
    assert(mark <= a->used);
    POISON(a->at + mark, a->used - mark);
    a->used = mark;
}

void arena_quarantine(struct arena *a)
{
    POISON(a->at, a->size);
    a->closed = true;
}

void arena_reset(struct arena *a)
{
    POISON(a->at, a->size);
    a->used = 0;
    a->closed = false;
}

size_t arena_left(const struct arena *a)
{
    return a->closed ? 0 : a->size - a->used;
}
