/* Units of time, and nothing that reads a clock. Monotonic instants and spans are int64_t
 * nanoseconds named *_ns; wall-clock instants are int64_t milliseconds since the epoch named
 * wall_ms. Both come to product code as parameters: only src/runtime reads the real clock, so the
 * simulator can replace it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

#define MS(n)      ((int64_t)(n)*NS_PER_MS)
#define SECONDS(n) ((int64_t)(n)*NS_PER_S)

/* A deadline that never comes. */
#define NEVER_NS INT64_MAX

static inline int64_t ns_to_ms(int64_t span_ns)
{
    return span_ns / NS_PER_MS;
}

#endif
