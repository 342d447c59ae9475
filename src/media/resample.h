/* Resampling of live mono 16-bit audio between 8, 16, 24 and 48 kHz: a polyphase FIR in integers,
 * many outputs at a time, with a short and constant delay. A state belongs to one direction of one
 * leg and one thread; it is plain data, embedded in its owner, and needs no end. No memory is
 * taken, no clock read. Prompts, recordings and odd rates are not for this.
 *
 * The output depends on the samples alone, not on how they were cut into frames nor on which code
 * (plain or vector) ran. Images and aliases of what lies below 3.4/8 of the lower rate are 70 dB
 * down or more; the pass band ends 0.2 dB down there. */
#ifndef MEDIA_RESAMPLE_H
#define MEDIA_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reason.h"

#define RESAMPLE_HISTORY_MAX 198 /* samples: 48 to 8 kHz looks 192 back and holds up to 5 */

struct filter;

struct resample {
    const struct filter *filter; /* NULL: both rates are the same */
    bool fast;                   /* vector code; chosen by init, cleared by tests */
    uint16_t held;               /* samples waiting to make a whole step */
    int16_t history[RESAMPLE_HISTORY_MAX];
};

/* Pairs: 8<->16, 8<->48, 16<->48, 16<->24 kHz, 24->8, and equal rates. 0, or -EINVAL. */
MUST_USE int resample_init(struct resample *r, uint32_t rate_in_hz, uint32_t rate_out_hz);
/* Samples that resample_run() will write for `n` more: n * out / in for whole steps (20 ms always
 * is), the remainder waits. */
size_t resample_count(const struct resample *r, size_t n);
/* Takes all `n` samples, writes resample_count() of them to `out`, which must have that room and
 * not overlap `pcm`; returns how many. */
size_t resample_run(struct resample *r, int16_t *out, const int16_t *pcm, size_t n);
/* How late the output is, in output samples: 2 ms where a rate is 8 kHz, else 1 ms; 0 for equal
 * rates. Exact and the same for every frequency. */
uint32_t resample_delay(const struct resample *r);
/* Forgets the past: silence comes before the next sample. */
void resample_reset(struct resample *r);

#endif
