/* Memory that actors take when they need it and give back when they do not: blocks of a few sizes,
 * powers of two and one between each two, out of one mapping per shard. For what is large and
 * seldom used, so that an actor's slot need not hold it; never for audio that passes, which rides
 * in frames. A pool belongs to one shard and is touched by no other thread. Memory that was of one
 * size stays of that size. Under ASan a block that was given back is poisoned. */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES_MIN  256
#define BLOCK_SIZES      15 /* 256, 384, 512, 768 ... 32768 bytes */
#define BLOCK_BYTES_MAX  32768
#define BLOCK_CHUNK      65536 /* how much of the mapping a size takes at a time */
#define BLOCK_HEAD_BYTES 16

/* Before every block. */
struct block_head {
    struct block_head *next; /* free ones; or the owner's list */
    uint32_t size;           /* 0 to BLOCK_SIZES - 1 */
    uint32_t spare;
};

struct block_pool;

/* Boot. `bytes` are reserved, and cost memory when they are first used. Aborts without. */
struct block_pool *block_pool_new(size_t bytes);
/* Asserts that every block is back. */
void block_pool_free(struct block_pool **pool);

/* Zeroed memory of at least that many bytes, aligned to 16, or NULL: more than BLOCK_BYTES_MAX less
 * the head, or the mapping is used up. */
void *block_get(struct block_pool *pool, size_t bytes);
/* Accepts NULL. */
void block_put(struct block_pool *pool, void *block);

/* Blocks handed out, and what they take in all. */
uint32_t block_pool_used(const struct block_pool *pool);
size_t block_pool_bytes(const struct block_pool *pool);

static inline struct block_head *block_head(void *block)
{
    return (struct block_head *)(void *)((uint8_t *)block - BLOCK_HEAD_BYTES);
}

#endif
