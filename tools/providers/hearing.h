/* The simulated listener's ear: where in the sound that a client sends there is an utterance, by
 * loudness alone. Samples in, at most one event per window of 10 ms out; the clock is the sound's
 * own. Pure; embedded in whoever listens, the loop's thread.
 *
 *     quiet ── three loud windows ──▶ speaking ── `gap_ms` without one ──▶ quiet: it was said */
#ifndef PROVIDERS_HEARING_H
#define PROVIDERS_HEARING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEARING_WINDOW_MS 10
#define HEARING_ONSET     3    /* loud windows in a row that begin an utterance */
#define HEARING_PAUSE_MS  1000 /* ends one that is known to last longer */

enum hearing_event {
    HEARING_NOTHING, /* all samples are used up */
    HEARING_WINDOW,  /* a window is over, and nothing has changed */
    HEARING_BEGINS,
    HEARING_ENDS,
    HEARING_NOISE, /* an utterance that was too short: as if it had not begun */
};

struct hearing {
    /* set by the owner */
    uint32_t rate_hz;
    double level; /* root mean square, of 32768, from which on a window is loud */
    int64_t gap_ms, least_ms;
    int64_t lasts_ms; /* that the utterance is known to last, at most a little less; 0: not known */
    /* the owner may read */
    bool speaking;
    int64_t clock;  /* samples heard */
    int64_t first;  /* sample with which the utterance began */
    int64_t last;   /* the sample after its last loud window */
    int64_t voiced; /* samples of its loud windows */
    /* its own */
    double floor; /* loudness of the background */
    double sum;
    uint32_t in_window, run;
};

/* `rate_hz` from 8000 to 48000. */
void hearing_init(struct hearing *h, uint32_t rate_hz, double level, int64_t gap_ms,
                  int64_t least_ms);
/* Call until HEARING_NOTHING; *used grows up to count. */
enum hearing_event hearing_feed(struct hearing *h, const int16_t *pcm, size_t count, size_t *used);
/* The utterance is over, whatever follows. */
void hearing_stop(struct hearing *h);
int64_t hearing_ms(const struct hearing *h, int64_t samples);

#endif
