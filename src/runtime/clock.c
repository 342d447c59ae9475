#include "runtime/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

/* ---- cycles ---- */
#if defined(__x86_64__)

/* Cycles in 1024 ns; 0: the counter does not go evenly here, and the clock is read instead. */
static uint64_t cycles_per_1024_ns;
static pthread_once_t cycles_once = PTHREAD_ONCE_INIT;

static void cycles_calibrate(void)
{
    const struct timespec span = {.tv_nsec = NS_PER_MS};
    unsigned a, b, c, d = 0;

    if (!__get_cpuid(0x80000007u, &a, &b, &c, &d) || !(d >> 8 & 1)) /* invariant */
        return;
    int64_t from_ns = read_clock(CLOCK_MONOTONIC);
    uint64_t from = __builtin_ia32_rdtsc();
    clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
    uint64_t cycles = __builtin_ia32_rdtsc() - from;
    cycles_per_1024_ns = cycles * 1024 / (uint64_t)(read_clock(CLOCK_MONOTONIC) - from_ns);
}

void clock_cycles_init(void)
{
    pthread_once(&cycles_once, cycles_calibrate);
}

uint64_t clock_cycles(void)
{
    return cycles_per_1024_ns ? __builtin_ia32_rdtsc() : (uint64_t)read_clock(CLOCK_MONOTONIC);
}

int64_t clock_cycles_to_ns(uint64_t cycles)
{
    return (int64_t)(cycles_per_1024_ns ? cycles * 1024 / cycles_per_1024_ns : cycles);
}

uint64_t clock_cycles_of_ns(int64_t span_ns)
{
    uint64_t span = (uint64_t)span_ns;

    return cycles_per_1024_ns ? span * cycles_per_1024_ns / 1024 : span;
}

#else

void clock_cycles_init(void)
{
}

uint64_t clock_cycles(void)
{
    return (uint64_t)read_clock(CLOCK_MONOTONIC);
}

int64_t clock_cycles_to_ns(uint64_t cycles)
{
    return (int64_t)cycles;
}

uint64_t clock_cycles_of_ns(int64_t span_ns)
{
    return (uint64_t)span_ns;
}

#endif
