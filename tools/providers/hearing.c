#include "tools/providers/hearing.h"

#include <math.h>

#define FLOOR_RISE   1.01 /* a window: doubled in 0.7 s */
#define FLOOR_FACTOR 3.0  /* a voice stands out of the background by this much */
#define FLOOR_LEAST  1.0

void hearing_init(struct hearing *h, uint32_t rate_hz, double level, int64_t gap_ms,
                  int64_t least_ms)
{
    *h = (struct hearing){.rate_hz = rate_hz,
                          .level = level,
                          .gap_ms = gap_ms,
                          .least_ms = least_ms,
                          .floor = FLOOR_LEAST};
}

int64_t hearing_ms(const struct hearing *h, int64_t samples)
{
    return samples * 1000 / h->rate_hz;
}

void hearing_stop(struct hearing *h)
{
    h->speaking = false;
    h->run = 0;
}

/* The background is the quietest of late; it does not rise while somebody speaks. */
static bool window_is_loud(struct hearing *h, double rms)
{
    bool loud = rms >= h->level && rms >= h->floor * FLOOR_FACTOR;

    if (rms < h->floor)
        h->floor = rms < FLOOR_LEAST ? FLOOR_LEAST : rms;
    else if (!h->speaking)
        h->floor *= FLOOR_RISE;
    return loud;
}

/* In an utterance of known length a pause is no end; its last words may be faint. */
static int64_t gap_needed(const struct hearing *h)
{
    bool early = hearing_ms(h, h->last - h->first) < h->lasts_ms * 4 / 5;

    return early && h->gap_ms < HEARING_PAUSE_MS ? HEARING_PAUSE_MS : h->gap_ms;
}

static enum hearing_event window_over(struct hearing *h, int64_t samples)
{
    bool loud = window_is_loud(h, sqrt(h->sum / (double)samples));

    h->sum = 0;
    h->in_window = 0;
    h->run = loud ? h->run + 1 : 0;
    if (!h->speaking) {
        if (h->run < HEARING_ONSET)
            return HEARING_WINDOW;
        h->speaking = true;
        h->first = h->clock - HEARING_ONSET * samples;
        h->last = h->clock;
        h->voiced = HEARING_ONSET * samples;
        return HEARING_BEGINS;
    }
    if (loud) {
        h->last = h->clock;
        h->voiced += samples;
        return HEARING_WINDOW;
    }
    if (hearing_ms(h, h->clock - h->last) < gap_needed(h))
        return HEARING_WINDOW;
    hearing_stop(h);
    return hearing_ms(h, h->voiced) < h->least_ms ? HEARING_NOISE : HEARING_ENDS;
}

enum hearing_event hearing_feed(struct hearing *h, const int16_t *pcm, size_t count, size_t *used)
{
    uint32_t window = h->rate_hz * HEARING_WINDOW_MS / 1000;

    while (*used < count) {
        double v = pcm[(*used)++];
        h->sum += v * v;
        h->clock++;
        if (++h->in_window == window)
            return window_over(h, window);
    }
    return HEARING_NOTHING;
}
