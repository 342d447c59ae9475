#include "media/plc.h"

#include <assert.h>
#include <string.h>

void plc_init(struct plc *p, uint32_t rate_hz)
{
    assert(rate_hz == 8000 || rate_hz == 16000);
    *p = (struct plc){.rate_hz = rate_hz};
}

void plc_reset(struct plc *p)
{
    *p = (struct plc){.rate_hz = p->rate_hz, .concealed = p->concealed};
}

static uint32_t samples_of_ms(const struct plc *p, uint32_t span_ms)
{
    return p->rate_hz / 1000 * span_ms;
}

static void history_add(struct plc *p, const int16_t *pcm, size_t samples)
{
    if (samples >= PLC_HISTORY) {
        memcpy(p->history, pcm + samples - PLC_HISTORY, sizeof(p->history));
        return;
    }
    memmove(p->history, p->history + samples, (PLC_HISTORY - samples) * sizeof(*pcm));
    memcpy(p->history + PLC_HISTORY - samples, pcm, samples * sizeof(*pcm));
}

void plc_seed(struct plc *p, const int16_t *pcm, size_t samples)
{
    history_add(p, pcm, samples);
}

/* ---- the pitch ---- */

/* How far sums of squares are shifted so that the square of one still fits 63 bits. */
static unsigned scale_of(const struct plc *p)
{
    int64_t total = 1;
    unsigned shift = 0;

    for (size_t i = 0; i < PLC_HISTORY; i++)
        total += p->history[i] * p->history[i];
    for (; total >> shift >= INT64_C(1) << 31; shift++)
        ;
    return shift;
}

/* Normalised correlation, squared, in units of energy: what of the newest window the samples one
 * lag earlier explain. Every step-th sample counts. */
static int64_t explained(const struct plc *p, uint32_t lag, uint32_t step, unsigned shift)
{
    const int16_t *newest = p->history + PLC_HISTORY - samples_of_ms(p, PLC_WINDOW_MS);
    const int16_t *end = p->history + PLC_HISTORY;
    int64_t product = 0, energy = 0;

    for (const int16_t *x = newest; x < end; x += step) {
        product += x[0] * x[-(int)lag];
        energy += x[-(int)lag] * x[-(int)lag];
    }
    if (product <= 0)
        return 0;
    return (product >> shift) * (product >> shift) / ((energy >> shift) + 1);
}

static uint32_t lag_best(const struct plc *p, uint32_t from, uint32_t to, uint32_t step,
                         unsigned shift, int64_t *best)
{
    uint32_t lag_at = to;

    *best = 0;
    for (uint32_t lag = from; lag <= to; lag += step) {
        int64_t score = explained(p, lag, step, shift);
        if (score > *best) {
            *best = score;
            lag_at = lag;
        }
    }
    return lag_at;
}

static uint32_t pitch_find(const struct plc *p)
{
    uint32_t least = p->rate_hz / 200, most = samples_of_ms(p, PLC_LAG_MAX_MS);
    uint32_t step = p->rate_hz / 4000;
    unsigned shift = scale_of(p);
    int64_t best;

    uint32_t coarse = lag_best(p, least, most, step, shift, &best);
    uint32_t from = coarse < least + step ? least : coarse - step;
    uint32_t to = coarse + step > most ? most : coarse + step;
    uint32_t lag = lag_best(p, from, to, 1, shift, &best);
    int64_t energy = 0;
    for (size_t i = PLC_HISTORY - samples_of_ms(p, PLC_WINDOW_MS); i < PLC_HISTORY; i++)
        energy += p->history[i] * p->history[i];
    /* Noise repeated at a short period would ring: take the longest. */
    return best < (energy >> shift) / 4 ? most : lag;
}

static int16_t clamp(int32_t v)
{
    return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

/* The last period, its first quarter bent so that it follows its own last sample without a step. */
static void cycle_make(struct plc *p)
{
    const int16_t *end = p->history + PLC_HISTORY;

    p->lag = pitch_find(p);
    p->at = 0;
    const int16_t *start = end - p->lag;
    int32_t quarter = (int32_t)p->lag / 4, step = end[-1] - start[-1];
    memcpy(p->cycle, start, p->lag * sizeof(*start));
    for (int32_t i = 0; i < quarter; i++)
        p->cycle[i] = clamp(p->cycle[i] + step * (quarter - i) / quarter);
}

/* ---- concealing ---- */

static int32_t level_q15(const struct plc *p)
{
    uint32_t full = samples_of_ms(p, PLC_FULL_MS), faded = samples_of_ms(p, PLC_FADED_MS);

    if (p->lost < full)
        return 32768;
    return p->lost >= faded ? 0 : (int32_t)((faded - p->lost) * 32768u / (faded - full));
}

static int16_t sample_next(struct plc *p)
{
    int32_t v = p->cycle[p->at] * level_q15(p) / 32768;

    p->at = p->at + 1 == p->lag ? 0 : p->at + 1;
    if (p->lost < UINT32_MAX)
        p->lost++;
    return (int16_t)v;
}

void plc_conceal(struct plc *p, int16_t *out, size_t samples)
{
    if (samples == 0)
        return;
    if (p->lost == 0)
        cycle_make(p);
    for (size_t i = 0; i < samples; i++)
        out[i] = sample_next(p);
    history_add(p, out, samples);
    p->concealed += samples;
}

void plc_good(struct plc *p, int16_t *pcm, size_t samples)
{
    if (p->lost && samples) {
        uint32_t blend_ms = PLC_BLEND_MS * (1 + p->lost / samples_of_ms(p, 10));
        int32_t blend =
            (int32_t)samples_of_ms(p, blend_ms < PLC_BLEND_MAX_MS ? blend_ms : PLC_BLEND_MAX_MS);
        if ((size_t)blend > samples)
            blend = (int32_t)samples;
        for (int32_t i = 0; i < blend; i++)
            pcm[i] = (int16_t)((sample_next(p) * (blend - i) + pcm[i] * i) / blend);
        p->lost = 0;
    }
    history_add(p, pcm, samples);
}
