/* Micro-benchmarks as ratios: each contest runs the code that the server uses and something to
 * measure it by, in turns and over the state of 2,000 calls, so that neither sits in the cache nor
 * gains by a quiet moment of the machine. The contests' own state is static in their files; the
 * program has one thread. Never part of the server. */
#ifndef RATIOS_H
#define RATIOS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "base/reason.h"

#define RATIOS_CALLS 2000

struct contest {
    const char *name;  /* as in the file of bounds */
    const char *other; /* what it is measured by */
    double frames;     /* 20 ms frames (or messages, hops) in one run of either */
    /* false: something that it needs is not there. */
    bool (*prepare)(void);
    /* Whether both give the same, on at least so many random inputs; NULL: they are not twins. */
    bool (*same)(uint32_t inputs);
    void (*ours)(uint32_t call);
    void (*others)(uint32_t call);
    void (*finish)(void); /* or NULL */
};

struct contests {
    const struct contest *first;
    uint32_t count;
};

extern const struct contests ratios_resample, ratios_g711, ratios_vad, ratios_wire, ratios_runtime;

/* Samples that sound like speech to an encoder: all loudnesses. */
void ratios_fill(int16_t *pcm, uint32_t n, struct rand *r);

#endif
