/* A histogram of spans in microseconds: exact below 64, then 32 parts per octave (3 %), up to 134
 * s. Counts only, so windows can be compared; embedded, no memory taken, integers alone. One
 * thread. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BINS 736

struct histogram {
    uint64_t count;
    uint64_t sum_us;
    uint32_t max_us;
    uint32_t bins[HISTOGRAM_BINS];
};

/* Negative spans count as 0, longer ones than 134 s as that. */
void histogram_add(struct histogram *h, int64_t span_ns);
/* The span that `per_mille` of 1000 do not exceed (the upper edge of its part); 0 when empty. */
uint32_t histogram_us(const struct histogram *h, uint32_t per_mille);

#endif
