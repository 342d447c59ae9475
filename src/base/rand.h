/* A seeded random source (splitmix64). Whoever needs randomness is given one; nobody reads the
 * operating system's but src/runtime at boot, so a simulated run repeats from its seed. Not for
 * secrets: tokens and keys come from OpenSSL. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdbool.h>
#include <stdint.h>

struct rand {
    uint64_t state;
};

static inline uint64_t rand_u64(struct rand *r)
{
    uint64_t z = (r->state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in 0..n-1; n > 0. */
static inline uint32_t rand_below(struct rand *r, uint32_t n)
{
    return (uint32_t)(((rand_u64(r) >> 32) * n) >> 32);
}

/* True in `per_mille` of 1000 draws. */
static inline bool rand_chance(struct rand *r, uint32_t per_mille)
{
    return rand_below(r, 1000) < per_mille;
}

#endif
