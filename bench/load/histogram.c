#include "bench/load/histogram.h"

#include "base/clock.h"

#define PART_BITS 5 /* 32 parts per octave */
#define US_MAX    ((UINT32_C(1) << 27) - 1)

static uint32_t bin_of(uint32_t us)
{
    if (us < 1u << (PART_BITS + 1))
        return us;
    uint32_t octave = 31u - (uint32_t)__builtin_clz(us);
    return (octave - PART_BITS) * (1u << PART_BITS) + (us >> (octave - PART_BITS));
}

/* The largest value that falls into the bin. */
static uint32_t edge_of(uint32_t bin)
{
    if (bin < 1u << (PART_BITS + 1))
        return bin;
    uint32_t shift = bin / (1u << PART_BITS) - 1;
    uint32_t part = bin % (1u << PART_BITS) + (1u << PART_BITS);
    return ((part + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t span_ns)
{
    int64_t us = span_ns > 0 ? span_ns / NS_PER_US : 0;
    uint32_t value = us < (int64_t)US_MAX ? (uint32_t)us : US_MAX;

    h->count++;
    h->sum_us += value;
    h->max_us = value > h->max_us ? value : h->max_us;
    h->bins[bin_of(value)]++;
}

uint32_t histogram_us(const struct histogram *h, uint32_t per_mille)
{
    uint64_t want = (h->count * per_mille + 999) / 1000, seen = 0;

    if (!h->count)
        return 0;
    for (uint32_t i = 0; i < HISTOGRAM_BINS; i++) {
        seen += h->bins[i];
        if (seen >= want && seen)
            return edge_of(i) < h->max_us ? edge_of(i) : h->max_us;
    }
    return h->max_us;
}
