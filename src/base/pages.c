#include "base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t whole(size_t bytes)
{
    size_t page = bytes < PAGES_HUGE_BYTES ? 4096 : PAGES_HUGE_BYTES;

    return (bytes + page - 1) / page * page;
}

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        abort();
    return at;
}

void *pages_new(size_t bytes)
{
    size_t size = whole(bytes);

    if (size < PAGES_HUGE_BYTES)
        return map(size);
    /* As much more as it takes to begin at a huge page; what is too much is given back. */
    uint8_t *at = map(size + PAGES_HUGE_BYTES);
    size_t before = -(uintptr_t)at % PAGES_HUGE_BYTES;
    if (before)
        munmap(at, before);
    munmap(at + before + size, PAGES_HUGE_BYTES - before);
    (void)madvise(at + before, size, MADV_HUGEPAGE); /* refused: small pages do as well */
    return at + before;
}

void pages_free(void *at, size_t bytes)
{
    if (at)
        munmap(at, whole(bytes));
}
