/* Pooled buffers of one size: 20 ms of PCM, one packet, or a piece of text. A pool belongs to one
 * shard and is touched by no other thread; counts are plain integers. What crosses to another
 * thread is copied into a ring and out of it into the other side's pool. An empty pool costs 20 ms
 * and a counter, never the call. Under ASan a freed frame is poisoned.
 *
 * Frames are named by number (`frame_ref`, 0 is none) so that messages stay free of pointers. */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

typedef uint32_t frame_ref; /* the one typedef: an index, never arithmetic */

#define FRAME_NONE 0u

struct frame {
    uint32_t refs;
    frame_ref next;      /* chain of one long thing, or FRAME_NONE */
    uint32_t len;        /* bytes used in data */
    uint32_t rate_hz;    /* PCM: samples per second; else 0 */
    int64_t sample;      /* PCM: number of its first sample on the leg's 64-bit sample clock */
    int64_t at_ns;       /* when it was received or made, monotonic */
    uint32_t generation; /* playout: dropped when it is not the current one */
    uint32_t tag;        /* the holder's own: piece of text it speaks, flags */
    uint8_t spare[24];
    uint8_t data[FRAME_DATA_BYTES] __attribute__((aligned(64)));
};

_Static_assert(sizeof(struct frame) == 1024, "a frame is one kilobyte");

/* For frame_at() alone, which is asked ten times per packet. */
struct frame_pool {
    struct frame *frames; /* frames[0] is never handed out: its number means none */
    frame_ref *free;      /* a stack: the frame put last is the warmest */
    uint32_t free_count;
    uint32_t count;
    uint64_t refused;
};

/* Boot. `count` is a named sum of its holders. Aborts without memory. */
struct frame_pool *frame_pool_new(uint32_t count);
/* Asserts that every frame is back. */
void frame_pool_free(struct frame_pool **pool);

/* A frame with one reference, its header zeroed, or FRAME_NONE when the pool is empty (counted). */
frame_ref frame_get(struct frame_pool *pool);
/* The frame behind a live reference; a dead one is a wrong runtime and asserts. */
static inline struct frame *frame_at(struct frame_pool *pool, frame_ref ref)
{
    assert(ref != FRAME_NONE && ref <= pool->count);
    struct frame *f = &pool->frames[ref];
    assert(f->refs > 0);
    return f;
}
/* Fetches its header and so many bytes of it from one on; any reference, a dead one too. */
void frame_soon(const struct frame_pool *pool, frame_ref ref, size_t from, size_t bytes);
frame_ref frame_keep(struct frame_pool *pool, frame_ref ref);
/* Drops one reference; the last one also puts the rest of its chain. Accepts FRAME_NONE; *ref
 * becomes FRAME_NONE. */
void frame_put(struct frame_pool *pool, frame_ref *ref);

/* A chain holding these bytes, or FRAME_NONE if the pool cannot hold them all (nothing is kept). */
frame_ref frame_chain(struct frame_pool *pool, struct slice bytes);
/* Bytes in a chain. */
size_t frame_chain_len(struct frame_pool *pool, frame_ref ref);
/* Copies a chain out; returns the bytes written, at most `size`. */
size_t frame_chain_copy(struct frame_pool *pool, frame_ref ref, void *out, size_t size);

uint32_t frame_pool_used(const struct frame_pool *pool);
uint32_t frame_pool_size(const struct frame_pool *pool);
uint64_t frame_pool_refused(const struct frame_pool *pool);

static inline int16_t *frame_pcm(struct frame *f)
{
    return (int16_t *)(void *)f->data;
}

#endif
