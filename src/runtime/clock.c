#include "runtime/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec at;

    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * NS_PER_S + at.tv_nsec;
}

static int64_t machine_now_ns(void *context)
{
    (void)context;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t machine_wall_ms(void *context)
{
    (void)context;
    return read_clock(CLOCK_REALTIME) / NS_PER_MS;
}

const struct clock clock_machine = {.now_ns = machine_now_ns, .wall_ms = machine_wall_ms};

uint64_t clock_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        abort();
    return seed;
}

uint64_t clock_cycles(void)
{
    return (uint64_t)read_clock(CLOCK_MONOTONIC);
}

int64_t clock_cycles_to_ns(uint64_t cycles)
{
    return (int64_t)cycles;
}
