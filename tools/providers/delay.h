/* A delay that is drawn anew each time: constant, uniform, or log-normal by the two figures that
 * vendors publish, median and 95th percentile. Plain values, parsed once from the configuration;
 * chance comes as a parameter. Any thread. */
#ifndef PROVIDERS_DELAY_H
#define PROVIDERS_DELAY_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/rand.h"

#define DELAY_MS_MAX    600000
#define DELAY_WHY_BYTES 128

enum delay_kind { DELAY_CONSTANT, DELAY_UNIFORM, DELAY_LOGNORMAL };

struct delay {
    enum delay_kind kind;
    double a_ms; /* the delay, the least, or the median */
    double b_ms; /* the most, or the 95th percentile */
};

/* "260", "constant 260", "uniform 100 300", "lognormal 160 420", in milliseconds. 0, or -EINVAL
 * with one clause in `why` (DELAY_WHY_BYTES). */
MUST_USE int delay_parse(struct slice text, struct delay *out, char *why);
/* Nanoseconds, at most DELAY_MS_MAX. */
int64_t delay_draw(const struct delay *d, struct rand *chance);

#endif
