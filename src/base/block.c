#include "base/block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/poison.h"

_Static_assert(sizeof(struct block_head) == BLOCK_HEAD_BYTES, "blocks stay aligned");

struct block_pool {
    uint8_t *memory;
    size_t size;
    size_t begun; /* bytes given to the sizes so far */
    size_t bytes; /* handed out */
    uint32_t used;
    struct block_head *free[BLOCK_SIZES];
};

static size_t bytes_of(uint32_t size)
{
    size_t even = (size_t)BLOCK_BYTES_MIN << (size / 2);

    return size % 2 ? even + even / 2 : even;
}

struct block_pool *block_pool_new(size_t bytes)
{
    struct block_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        abort();
    pool->size = (bytes + BLOCK_CHUNK - 1) / BLOCK_CHUNK * BLOCK_CHUNK;
    pool->memory = pages_new(pool->size + 1);
    return pool;
}

void block_pool_free(struct block_pool **pool)
{
    if (!*pool)
        return;
    assert((*pool)->used == 0);
    UNPOISON((*pool)->memory, (*pool)->size);
    pages_free((*pool)->memory, (*pool)->size + 1);
    free(*pool);
    *pool = NULL;
}

/* The next chunk of the mapping becomes blocks of this size. */
static void chunk_begin(struct block_pool *pool, uint32_t size)
{
    if (pool->size - pool->begun < BLOCK_CHUNK)
        return;
    uint8_t *at = pool->memory + pool->begun;
    pool->begun += BLOCK_CHUNK;
    for (size_t end = BLOCK_CHUNK; end >= bytes_of(size); end -= bytes_of(size)) {
        struct block_head *head = (struct block_head *)(void *)(at + end - bytes_of(size));
        *head = (struct block_head){.next = pool->free[size], .size = size};
        pool->free[size] = head;
        POISON(head + 1, bytes_of(size) - BLOCK_HEAD_BYTES);
    }
}

void *block_get(struct block_pool *pool, size_t bytes)
{
    uint32_t size = 0;

    if (bytes > BLOCK_BYTES_MAX - BLOCK_HEAD_BYTES)
        return NULL;
    while (bytes_of(size) < bytes + BLOCK_HEAD_BYTES)
        size++;
    if (!pool->free[size])
        chunk_begin(pool, size);
    struct block_head *head = pool->free[size];
    if (!head)
        return NULL;
    pool->free[size] = head->next;
    head->next = NULL;
    pool->used++;
    pool->bytes += bytes_of(size);
    UNPOISON(head + 1, bytes_of(size) - BLOCK_HEAD_BYTES);
    return memset(head + 1, 0, bytes_of(size) - BLOCK_HEAD_BYTES);
}

void block_put(struct block_pool *pool, void *block)
{
    if (!block)
        return;
    struct block_head *head = block_head(block);
    assert(head->size < BLOCK_SIZES && pool->used > 0);
    POISON(block, bytes_of(head->size) - BLOCK_HEAD_BYTES);
    head->next = pool->free[head->size];
    pool->free[head->size] = head;
    pool->used--;
    pool->bytes -= bytes_of(head->size);
}

uint32_t block_pool_used(const struct block_pool *pool)
{
    return pool->used;
}

size_t block_pool_bytes(const struct block_pool *pool)
{
    return pool->bytes;
}
