#include "base/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cache.h"

/* The bytes hold records one behind the other, each a word of header (its length) and its payload
 * filled up to whole words. Both counters only grow; their place in the bytes is the counter
 * modulo the size. A record is contiguous, so that the consumer can read it in place: one that
 * would run over the end is preceded by a header saying SKIP, and starts at the front. */
#define HEADER_BYTES sizeof(uint64_t)
#define SKIP         UINT64_MAX
#define SIZE_MIN     1024
#define SIZE_MAX_    (UINT64_C(1) << 30)

#ifdef RING_C11
#include <stdatomic.h>

typedef _Atomic uint64_t counter;

/* The other side's counter: what it wrote before storing it is visible from here on. */
static uint64_t counter_load(const counter *c)
{
    return atomic_load_explicit(c, memory_order_acquire);
}

static void counter_store(counter *c, uint64_t v)
{
    atomic_store_explicit(c, v, memory_order_release);
}
#else
#include <ck_pr.h>

typedef uint64_t counter;

static uint64_t counter_load(const counter *c)
{
    uint64_t v = ck_pr_load_64(c);

    ck_pr_fence_acquire();
    return v;
}

static void counter_store(counter *c, uint64_t v)
{
    ck_pr_fence_release();
    ck_pr_store_64(c, v);
}
#endif

struct ring {
    /* The producer's line: what it has written, and what it last saw of the consumer. Looking at
     * the other side's line only when the old view says "full" (or "empty") keeps the lines from
     * travelling between the cores at every record. */
    _Alignas(CACHE_LINE_BYTES) counter tail;
    uint64_t tail_own;
    uint64_t head_seen;
    /* The consumer's line. */
    _Alignas(CACHE_LINE_BYTES) counter head;
    uint64_t head_own;
    uint64_t tail_seen;
    uint64_t peeked_bytes; /* what ring_pop gives back; 0: nothing was peeked */
    /* Neither changes. */
    _Alignas(CACHE_LINE_BYTES) size_t size;
    uint8_t bytes[] __attribute__((aligned(CACHE_LINE_BYTES)));
};

struct ring *ring_new(size_t size_bytes)
{
    assert(size_bytes >= SIZE_MIN && size_bytes <= SIZE_MAX_);
    assert((size_bytes & (size_bytes - 1)) == 0);
    /* Rounded up, as aligned_alloc asks; the header is whole lines already. */
    struct ring *r = aligned_alloc(CACHE_LINE_BYTES, sizeof(*r) + size_bytes);

    if (!r)
        abort();
    memset(r, 0, sizeof(*r));
    r->size = size_bytes;
    return r;
}

void ring_free(struct ring **r)
{
    free(*r);
    *r = NULL;
}

static uint64_t record_bytes(size_t len)
{
    return HEADER_BYTES + ((len + HEADER_BYTES - 1) & ~(HEADER_BYTES - 1));
}

static uint8_t *place(struct ring *r, uint64_t at)
{
    return r->bytes + (at & (r->size - 1));
}

static uint64_t left_before_end(const struct ring *r, uint64_t at)
{
    return r->size - (at & (r->size - 1));
}

static bool has_room(struct ring *r, uint64_t need)
{
    if (r->size - (r->tail_own - r->head_seen) >= need)
        return true;
    r->head_seen = counter_load(&r->head);
    return r->size - (r->tail_own - r->head_seen) >= need;
}

/* Half the ring at most: then even the worst skip leaves room in an empty ring, and a push that is
 * refused now succeeds once the consumer has caught up. */
bool ring_fits(const struct ring *r, size_t len_bytes)
{
    return len_bytes <= r->size / 2 && record_bytes(len_bytes) <= r->size / 2;
}

bool ring_push(struct ring *r, struct slice a, struct slice b)
{
    /* Each by itself first: the sum of two hostile lengths could wrap. */
    if (a.len > r->size / 2 || b.len > r->size / 2)
        return false;
    uint64_t len = a.len + b.len;
    uint64_t need = record_bytes(len);
    uint64_t end = left_before_end(r, r->tail_own);
    uint64_t skip = end < need ? end : 0;

    if (!ring_fits(r, len) || !has_room(r, skip + need))
        return false;
    if (skip) {
        memcpy(place(r, r->tail_own), &(uint64_t){SKIP}, HEADER_BYTES);
        r->tail_own += skip;
    }
    uint8_t *to = place(r, r->tail_own);
    memcpy(to, &len, HEADER_BYTES);
    if (a.len)
        memcpy(to + HEADER_BYTES, a.at, a.len);
    if (b.len)
        memcpy(to + HEADER_BYTES + a.len, b.at, b.len);
    r->tail_own += need;
    counter_store(&r->tail, r->tail_own);
    return true;
}

bool ring_peek(struct ring *r, struct slice *record)
{
    uint64_t len, skip = 0;

    if (r->head_own == r->tail_seen)
        r->tail_seen = counter_load(&r->tail);
    if (r->head_own == r->tail_seen)
        return false;
    memcpy(&len, place(r, r->head_own), HEADER_BYTES);
    if (len == SKIP) {
        /* The record behind it was published by the same store. */
        skip = left_before_end(r, r->head_own);
        memcpy(&len, place(r, r->head_own + skip), HEADER_BYTES);
    }
    *record = slice_of(place(r, r->head_own + skip) + HEADER_BYTES, (size_t)len);
    r->peeked_bytes = skip + record_bytes((size_t)len);
    return true;
}

void ring_pop(struct ring *r)
{
    assert(r->peeked_bytes > 0);
    r->head_own += r->peeked_bytes;
    r->peeked_bytes = 0;
    counter_store(&r->head, r->head_own);
}

size_t ring_used(const struct ring *r)
{
    /* Head first: it never passes the tail that is read after it. */
    uint64_t head = counter_load(&r->head);

    return (size_t)(counter_load(&r->tail) - head);
}
