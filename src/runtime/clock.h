/* The only reader of the machine's clocks and of its randomness. A shard is given a `struct clock`;
 * the simulator gives it a virtual one. Any thread. */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct clock {
    int64_t (*now_ns)(void *context);  /* monotonic */
    int64_t (*wall_ms)(void *context); /* since the epoch */
    void *context;
};

/* The machine's. */
extern const struct clock clock_machine;

/* A seed from the operating system; aborts without one. */
uint64_t clock_seed(void);

/* A cheap counter for measuring spans of less than an hour inside a shard, and how to read it:
 * right to some per cent. clock_cycles_init() comes first, at boot, from any thread; it may take 1
 * ms. */
void clock_cycles_init(void);
uint64_t clock_cycles(void);
int64_t clock_cycles_to_ns(uint64_t cycles);
uint64_t clock_cycles_of_ns(int64_t span_ns);

#endif
