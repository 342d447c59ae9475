/* Cache lines, and fetching memory into the cache before it is touched: what thousands of calls use
 * by turns is in none. For whoever lays out what a packet touches. */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE_BYTES 64

/* The line of `at`; any address. */
static inline void cache_fetch_line(const void *at)
{
    __builtin_prefetch(at);
    __asm__ volatile(""); /* or GCC leaves out a function that does nothing else */
}

/* The lines of `bytes` from `at` on, the last one perhaps but for its end. Any address. */
static inline void cache_fetch(const void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += CACHE_LINE_BYTES)
        cache_fetch_line((const uint8_t *)at + i);
}

/* The same of what will be written. */
static inline void cache_fetch_own(const void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += CACHE_LINE_BYTES) {
        __builtin_prefetch((const uint8_t *)at + i, 1);
        __asm__ volatile("");
    }
}

/* The lines of `at` whose bits are set. */
static inline void cache_fetch_lines(const void *at, uint64_t lines)
{
    for (; lines; lines &= lines - 1)
        cache_fetch_line((const uint8_t *)at + (size_t)__builtin_ctzll(lines) * CACHE_LINE_BYTES);
}

#endif
