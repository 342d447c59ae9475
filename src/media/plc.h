/* Packet loss concealment for 8 and 16 kHz speech, after the idea of ITU-T G.711 Appendix I: the
 * last pitch period goes on, full for 10 ms and fading to silence at 60 ms, and the first good
 * samples are blended in. Adds no delay. Integer arithmetic only, so that a simulated run hears the
 * same under every compiler. Owned by the media leg, on its shard. */
#ifndef MEDIA_PLC_H
#define MEDIA_PLC_H

#include <stddef.h>
#include <stdint.h>

#define PLC_RATE_MAX     16000
#define PLC_LAG_MAX_MS   15 /* 66 Hz: the lowest voice */
#define PLC_WINDOW_MS    20 /* what is compared to find the pitch */
#define PLC_FULL_MS      10 /* repeated at full level for so long, */
#define PLC_FADED_MS     60 /* silence from here on */
#define PLC_BLEND_MS     4  /* of the first good samples, and as much again */
#define PLC_BLEND_MAX_MS 10 /* for every 10 ms lost, up to this */
#define PLC_LAG_MAX      (PLC_RATE_MAX / 1000 * PLC_LAG_MAX_MS)
#define PLC_HISTORY      (PLC_LAG_MAX + PLC_RATE_MAX / 1000 * PLC_WINDOW_MS)

struct plc {
    uint32_t rate_hz;
    uint32_t lost; /* samples concealed since the last good one */
    uint32_t lag;  /* length of the cycle that repeats */
    uint32_t at;   /* the next sample of it */
    int16_t cycle[PLC_LAG_MAX];
    int16_t history[PLC_HISTORY]; /* the newest last, good or concealed */
    uint64_t concealed;           /* samples, of the whole call */
};

/* rate_hz is 8000 or 16000; another is a wrong call and asserts. */
void plc_init(struct plc *p, uint32_t rate_hz);
/* The stream starts again: what was before says nothing about what comes. */
void plc_reset(struct plc *p);
/* What was heard just before, the newest last: an owner that keeps the last 35 ms itself need not
 * feed what is good, but for what follows a loss. */
void plc_seed(struct plc *p, const int16_t *pcm, size_t samples);
/* Good samples, in order; after a loss their start is changed in place. Any number. */
void plc_good(struct plc *p, int16_t *pcm, size_t samples);
/* Samples that were lost; any number. */
void plc_conceal(struct plc *p, int16_t *out, size_t samples);

#endif
