#include "media/resample.h"

#include <errno.h>
#include <string.h>

#include "media/cpu.h"

#if MEDIA_X86
#include <immintrin.h>
#endif

/* In one step `down` input samples become `up` output samples. Output b of step a is the sum over
 * k and r of tap[b][k][r] * in[(a - k) * down + r], k = 0 .. span. The multiply-add instruction
 * takes two samples at once, so taps come in pairs: two steps of one r when `down` is odd, two
 * neighbours r and r + 1 when it is even. Rows of a table: [b][stream][pair], oldest pair first,
 * where a stream is one r, or one pair of neighbours.
 *
 *   in ─▶ history + frame ─▶ a lane of sample pairs per stream ─▶ 32 steps at once ─▶ interleave
 *
 * Taps are Q15. The two halves of a row are summed apart, since the whole could pass 32 bits for
 * input that follows the signs of the taps at full scale. */
struct filter {
    uint32_t rate_in_hz, rate_out_hz;
    uint8_t up, down;
    uint8_t middle; /* delay, in samples at rate_in_hz * up */
    uint8_t span;   /* steps back that the oldest tap reaches */
    uint8_t streams;
    uint8_t pairs; /* of one stream */
    const int16_t (*taps)[2];
};

#include "media/resample_taps.h"

#define UP_MAX      6
#define DOWN_MAX    6
#define SPAN_MAX    32
#define STREAMS_MAX 3
#define PAIRS_MAX   96  /* of a row */
#define STEPS_MAX   160 /* at once: 20 ms at 8 kHz on one side */
#define STEPS_VEC   32
#define LANE_MAX    (SPAN_MAX + STEPS_MAX + 2)

/* What one run of at most STEPS_MAX steps works in. */
struct work {
    int16_t in[LANE_MAX * DOWN_MAX];       /* span * down samples of history, then the new ones */
    int32_t lanes[STREAMS_MAX * LANE_MAX]; /* pairs of samples */
    int16_t out[UP_MAX][STEPS_MAX];
};

static size_t rows_pairs(const struct filter *f)
{
    return (size_t)f->streams * f->pairs;
}

static int16_t finish(int32_t older, int32_t newer)
{
    int32_t v = ((older >> 1) + (newer >> 1) + 8192) >> 14;

    return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

/* ---- plain ---- */
/* Where the first sample of every pair of a row lies in step 0. */
static void pair_places(const struct filter *f, uint16_t *place)
{
    size_t apart = f->down % 2 ? 2 : 1, stride = f->down % 2 ? 1 : 2;

    for (size_t stream = 0; stream < f->streams; stream++)
        for (size_t back = 0; back < f->pairs; back++)
            *place++ = (uint16_t)(back * apart * f->down + stream * stride);
}

static void convolve_plain(const struct filter *f, struct work *w, size_t steps)
{
    size_t pairs = rows_pairs(f), second = f->down % 2 ? f->down : 1;
    uint16_t place[PAIRS_MAX];

    pair_places(f, place);
    for (size_t b = 0; b < f->up; b++)
        for (size_t step = 0; step < steps; step++) {
            const int16_t(*row)[2] = f->taps + b * pairs;
            const int16_t *in = w->in + step * f->down;
            int32_t older = 0, newer = 0;

            for (size_t p = 0; p < pairs / 2; p++)
                older += in[place[p]] * row[p][0] + in[place[p] + second] * row[p][1];
            for (size_t p = pairs / 2; p < pairs; p++)
                newer += in[place[p]] * row[p][0] + in[place[p] + second] * row[p][1];
            w->out[b][step] = finish(older, newer);
        }
}

static void interleave_plain(int16_t *out, const struct work *w, size_t up, size_t steps)
{
    for (size_t step = 0; step < steps; step++)
        for (size_t b = 0; b < up; b++)
            out[step * up + b] = w->out[b][step];
}

/* ---- AVX2 ---- */
#if MEDIA_X86

MEDIA_INLINE int32_t pair_of(int16_t first, int16_t second)
{
    return (int32_t)((uint32_t)(uint16_t)first | (uint32_t)(uint16_t)second << 16);
}

/* Lanes for an odd `down`: sample r of a step with that of the next step. */
MEDIA_INLINE void lanes_in_time(struct work *w, size_t down, size_t length)
{
    for (size_t r = 0; r < down; r++)
        for (size_t j = 0; j < length; j++)
            w->lanes[r * LANE_MAX + j] = pair_of(w->in[j * down + r], w->in[(j + 1) * down + r]);
}

/* Lanes for an even `down`: neighbours, which lie together already. */
MEDIA_INLINE void lanes_of_neighbours(struct work *w, size_t streams, size_t length)
{
    for (size_t r = 0; r < streams; r++)
        for (size_t j = 0; j < length; j++)
            memcpy(&w->lanes[r * LANE_MAX + j], &w->in[2 * (j * streams + r)], sizeof(int32_t));
}

MEDIA_TARGET static void make_lanes(const struct filter *f, struct work *w, size_t length)
{
    if (f->down == 1)
        lanes_in_time(w, 1, length);
    else if (f->down == 3)
        lanes_in_time(w, 3, length);
    else if (f->down == 2)
        lanes_of_neighbours(w, 1, length);
    else
        lanes_of_neighbours(w, 3, length);
}

MEDIA_TARGET MEDIA_INLINE void add_pair(__m256i sum[4], const int32_t *lane, const int16_t tap[2])
{
    int32_t both;
    __m256i taps;

    memcpy(&both, tap, sizeof both);
    taps = _mm256_set1_epi32(both);
    for (size_t v = 0; v < 4; v++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(lane + 8 * v));

        sum[v] = _mm256_add_epi32(sum[v], _mm256_madd_epi16(x, taps));
    }
}

/* Part of a row: `count` pairs, of which the first is number `back` of `stream`. */
struct part {
    size_t stream, back, count;
};

MEDIA_TARGET MEDIA_INLINE void add_pairs(const struct filter *f, __m256i sum[4],
                                         const int32_t *lanes, const int16_t (*row)[2],
                                         struct part part)
{
    size_t apart = f->down % 2 ? 2 : 1;

    for (size_t v = 0; v < 4; v++)
        sum[v] = _mm256_setzero_si256();
    for (size_t p = 0; p < part.count; part.stream++, part.back = 0) {
        const int32_t *lane = lanes + part.stream * LANE_MAX;

        for (; part.back < f->pairs && p < part.count; part.back++, p++)
            add_pair(sum, lane + part.back * apart, row[p]);
    }
}

MEDIA_TARGET MEDIA_INLINE __m256i finish_fast(__m256i older, __m256i newer)
{
    __m256i sum = _mm256_add_epi32(_mm256_srai_epi32(older, 1), _mm256_srai_epi32(newer, 1));

    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(8192)), 14);
}

MEDIA_TARGET static void convolve_fast(const struct filter *f, struct work *w, size_t steps)
{
    size_t pairs = rows_pairs(f), half = pairs / 2;
    const struct part old_half = {0, 0, half};
    const struct part new_half = {half / f->pairs, half % f->pairs, pairs - half};

    make_lanes(f, w, steps + f->span + 1);
    for (size_t b = 0; b < f->up; b++)
        for (size_t step = 0; step < steps; step += STEPS_VEC) {
            const int16_t(*row)[2] = f->taps + b * pairs;
            __m256i older[4], newer[4];

            add_pairs(f, older, w->lanes + step, row, old_half);
            add_pairs(f, newer, w->lanes + step, row + half, new_half);
            for (size_t v = 0; v < 4; v += 2) {
                __m256i packed = _mm256_packs_epi32(finish_fast(older[v], newer[v]),
                                                    finish_fast(older[v + 1], newer[v + 1]));

                _mm256_storeu_si256((__m256i *)(void *)(w->out[b] + step + 8 * v),
                                    _mm256_permute4x64_epi64(packed, 0xD8));
            }
        }
}

MEDIA_TARGET static void interleave_fast(int16_t *out, const struct work *w, size_t up,
                                         size_t steps)
{
    if (up == 1)
        memcpy(out, w->out[0], steps * sizeof out[0]);
    else if (up == 2)
        interleave_plain(out, w, 2, steps);
    else if (up == 3)
        interleave_plain(out, w, 3, steps);
    else
        interleave_plain(out, w, 6, steps);
}

#else

#define convolve_fast   convolve_plain
#define interleave_fast interleave_plain

#endif

/* ---- steps ---- */
static size_t history_samples(const struct resample *r)
{
    return (size_t)r->filter->span * r->filter->down;
}

/* `steps` whole steps, out of what is held and of `pcm`; returns how much of `pcm` they took. */
static size_t run_steps(struct resample *r, int16_t *out, const int16_t *pcm, size_t steps)
{
    const struct filter *f = r->filter;
    size_t kept = history_samples(r), old = kept + r->held;
    size_t whole = kept + steps * f->down;
    size_t padded = (steps + STEPS_VEC - 1) / STEPS_VEC * STEPS_VEC;
    struct work w;

    memcpy(w.in, r->history, old * sizeof w.in[0]);
    memcpy(w.in + old, pcm, (whole - old) * sizeof w.in[0]);
    if (r->fast) {
        /* the vectors work on to their own end: on zeros, and nobody takes what comes of it */
        memset(w.in + whole, 0, (padded - steps + 2) * f->down * sizeof w.in[0]);
        convolve_fast(f, &w, padded);
        interleave_fast(out, &w, f->up, steps);
    } else {
        convolve_plain(f, &w, steps);
        interleave_plain(out, &w, f->up, steps);
    }
    memcpy(r->history, w.in + whole - kept, kept * sizeof w.in[0]);
    r->held = 0;
    return whole - old;
}

static size_t hold(struct resample *r, const int16_t *pcm, size_t n)
{
    if (n)
        memcpy(r->history + history_samples(r) + r->held, pcm, n * sizeof pcm[0]);
    r->held = (uint16_t)(r->held + n);
    return n;
}

int resample_init(struct resample *r, uint32_t rate_in_hz, uint32_t rate_out_hz)
{
    memset(r, 0, sizeof *r);
    r->fast = media_fast();
    if (rate_in_hz == rate_out_hz)
        return rate_in_hz ? 0 : -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        if (filters[i].rate_in_hz == rate_in_hz && filters[i].rate_out_hz == rate_out_hz)
            r->filter = &filters[i];
    return r->filter ? 0 : -EINVAL;
}

size_t resample_count(const struct resample *r, size_t n)
{
    return r->filter ? (r->held + n) / r->filter->down * r->filter->up : n;
}

size_t resample_run(struct resample *r, int16_t *out, const int16_t *pcm, size_t n)
{
    size_t written = 0;

    if (!r->filter) {
        if (n)
            memcpy(out, pcm, n * sizeof out[0]);
        return n;
    }
    while (r->held + n >= r->filter->down) {
        size_t steps = (r->held + n) / r->filter->down;
        size_t taken;

        steps = steps < STEPS_MAX ? steps : STEPS_MAX;
        taken = run_steps(r, out + written, pcm, steps);
        written += steps * r->filter->up;
        pcm += taken;
        n -= taken;
    }
    (void)hold(r, pcm, n);
    return written;
}

uint32_t resample_delay(const struct resample *r)
{
    const struct filter *f = r->filter;

    return f ? f->middle * f->rate_out_hz / (f->rate_in_hz * f->up) : 0;
}

void resample_reset(struct resample *r)
{
    memset(r->history, 0, sizeof r->history);
    r->held = 0;
}
