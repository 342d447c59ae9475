#include "media/vad_silero.h"

#include <math.h>
#include <string.h>

#include "media/vad_dense.h"

#if MEDIA_X86
#include <immintrin.h>
#endif

#define FRAMES    4   /* transforms in a window */
#define HALF_MAX  128 /* half a transform */
#define BINS_MAX  129
#define ROW_MAX   144 /* bins rounded up to whole panels */
#define CONV_MAX  128
#define GATES_ALL (4 * VAD_UNITS)
#define GROUP     2 /* windows that are transformed together */
#define BATCH     VAD_SILERO_BATCH

/* out[t][b] = |re + i im|, rows of `bins`. */
static void magnitude_plain(float *out, const float *re, const float *im, size_t bins)
{
    for (size_t t = 0; t < FRAMES; t++)
        for (size_t b = 0; b < bins; b++) {
            float r = re[t * ROW_MAX + b], i = im[t * ROW_MAX + b];

            out[t * bins + b] = sqrtf(r * r + i * i);
        }
}

/* e^x to about 2e-7: 2^n by the exponent bits, the rest by a polynomial. */
MEDIA_INLINE float exp_near(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float clipped = x < -87 ? -87 : x > 87 ? 87 : x;
    float n = clipped * 1.44269504f + shift - shift;
    float r = clipped - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1.38888889e-3f;
    int32_t bits = ((int32_t)n + 127) * 8388608;
    float power;

    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

MEDIA_INLINE float sigmoid(float x)
{
    return 1.0f / (1.0f + exp_near(-x));
}

MEDIA_INLINE float tanh_near(float x)
{
    return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

/* Input, forget, cell and output gates before their bends, 128 of each, into the memory. */
static void gates_plain(float *cell, float *hidden, const float *gate)
{
    for (size_t i = 0; i < VAD_UNITS; i++) {
        float let_in = sigmoid(gate[i]), keep = sigmoid(gate[VAD_UNITS + i]);
        float news = tanh_near(gate[2 * VAD_UNITS + i]);
        float show = sigmoid(gate[3 * VAD_UNITS + i]);

        cell[i] = keep * cell[i] + let_in * news;
        hidden[i] = show * tanh_near(cell[i]);
    }
}

/* ---- AVX2 and FMA: the plain ones, eight at a time ---- */
#if MEDIA_X86

/* Rows are written whole, in order: what one writes beyond its end, the next overwrites, and the
 * caller left room behind the last. */
MEDIA_TARGET static void magnitude_fast(float *out, const float *re, const float *im, size_t bins)
{
    for (size_t t = 0; t < FRAMES; t++)
        for (size_t b = 0; b < bins; b += 8) {
            __m256 r = _mm256_loadu_ps(re + t * ROW_MAX + b);
            __m256 i = _mm256_loadu_ps(im + t * ROW_MAX + b);
            __m256 power = _mm256_fmadd_ps(r, r, _mm256_mul_ps(i, i));

            _mm256_storeu_ps(out + t * bins + b, _mm256_sqrt_ps(power));
        }
}

MEDIA_TARGET MEDIA_INLINE __m256 sigmoid_fast(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256 v = _mm256_sub_ps(_mm256_setzero_ps(), x);
    __m256 n, r, p, power;

    v = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-87)), _mm256_set1_ps(87));
    n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.44269504f)),
                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), v);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
    p = _mm256_set1_ps(1.38888889e-3f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.33333333e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.16666667e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.66666667e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    power = _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
    return _mm256_div_ps(one, _mm256_fmadd_ps(p, power, one));
}

MEDIA_TARGET MEDIA_INLINE __m256 tanh_fast(__m256 x)
{
    __m256 s = sigmoid_fast(_mm256_add_ps(x, x));

    return _mm256_sub_ps(_mm256_add_ps(s, s), _mm256_set1_ps(1));
}

MEDIA_TARGET static void gates_fast(float *cell, float *hidden, const float *gate)
{
    for (size_t i = 0; i < VAD_UNITS; i += 8) {
        __m256 let_in = sigmoid_fast(_mm256_loadu_ps(gate + i));
        __m256 keep = sigmoid_fast(_mm256_loadu_ps(gate + VAD_UNITS + i));
        __m256 news = tanh_fast(_mm256_loadu_ps(gate + 2 * VAD_UNITS + i));
        __m256 show = sigmoid_fast(_mm256_loadu_ps(gate + 3 * VAD_UNITS + i));
        __m256 kept = _mm256_mul_ps(keep, _mm256_loadu_ps(cell + i));
        __m256 now = _mm256_fmadd_ps(let_in, news, kept);

        _mm256_storeu_ps(cell + i, now);
        _mm256_storeu_ps(hidden + i, _mm256_mul_ps(show, tanh_fast(now)));
    }
}

#else

#define magnitude_fast magnitude_plain
#define gates_fast     gates_plain

#endif

/* ---- the network; `code` is a constant wherever this is inlined ---- */

/* Samples as -1..1, with their end mirrored so that the last transform is full. */
MEDIA_INLINE void load_window(const struct vad_silero *s, float *x, size_t mirrored)
{
    size_t n = (size_t)s->context + s->window;

    for (size_t i = 0; i < n; i++)
        x[i] = (float)s->samples[i] * (1.0f / 32768.0f);
    for (size_t i = 0; i < mirrored; i++)
        x[n + i] = x[n - 2 - i];
}

/* One frame folded about its middle: sums for the cosines, differences for the sines. */
MEDIA_INLINE void fold(float *even, float *odd, const float *x, size_t half)
{
    for (size_t i = 0; i < half - 1; i++) {
        float a = x[i + 1], b = x[2 * half - 1 - i];

        even[i] = a + b;
        odd[i] = a - b;
    }
    even[half - 1] = x[half];
    odd[half - 1] = 0;
}

/* Column k of `n` takes x + k * x_step and gives y + k * y_step. */
MEDIA_INLINE void run(enum media_code code, const struct vad_dense *d, float *y, size_t y_step,
                      const float *x, size_t x_step, size_t n)
{
    struct vad_column columns[GROUP * FRAMES];

    for (size_t k = 0; k < n; k++)
        columns[k] = (struct vad_column){.in = x + k * x_step, .out = y + k * y_step};
    vad_dense_run(code, d, columns, n);
}

/* What one pair of windows needs until its first convolution is done. */
struct group {
    float even[GROUP * FRAMES * HALF_MAX], odd[GROUP * FRAMES * HALF_MAX];
    float re[GROUP * FRAMES * ROW_MAX], im[GROUP * FRAMES * ROW_MAX];
    float rows[GROUP][(FRAMES + 2) * BINS_MAX + VAD_PANEL];
};

/* Four rows of magnitudes a window between two rows of zeros, which pad the first convolution. */
MEDIA_INLINE void spectrum(enum media_code code, struct vad_silero *const *s, size_t n,
                           struct group *g)
{
    const struct vad_weights *w = s[0]->weights;
    size_t half = w->fft_size / 2, bins = w->bins;
    size_t outs = (bins + VAD_PANEL - 1) / VAD_PANEL * VAD_PANEL;
    struct vad_dense cosine = {.weights = w->even, .ins = half, .outs = outs};
    struct vad_dense sine = {.weights = w->odd, .ins = half, .outs = outs};
    float x[VAD_SILERO_CONTEXT_MAX + VAD_SILERO_WINDOW_MAX + HALF_MAX / 2];

    for (size_t k = 0; k < n * FRAMES; k++) {
        if (k % FRAMES == 0)
            load_window(s[k / FRAMES], x, half / 2);
        fold(g->even + k * half, g->odd + k * half, x + k % FRAMES * half, half);
    }
    run(code, &cosine, g->re, ROW_MAX, g->even, half, n * FRAMES);
    run(code, &sine, g->im, ROW_MAX, g->odd, half, n * FRAMES);
    for (size_t k = 0; k < n; k++) {
        const float *re = g->re + k * FRAMES * ROW_MAX, *im = g->im + k * FRAMES * ROW_MAX;

        memset(g->rows[k], 0, bins * sizeof g->rows[k][0]);
        if (code == MEDIA_PLAIN)
            magnitude_plain(g->rows[k] + bins, re, im, bins);
        else
            magnitude_fast(g->rows[k] + bins, re, im, bins);
        memset(g->rows[k] + (FRAMES + 1) * bins, 0, bins * sizeof g->rows[k][0]);
    }
}

/* Windows up to the first convolution, two at a time, so that what it reads is at hand: five rows
 * each, of which the first is zero. */
MEDIA_INLINE void begin(enum media_code code, struct vad_silero *const *s, size_t n,
                        float (*out)[(FRAMES + 1) * CONV_MAX])
{
    const struct vad_weights *w = s[0]->weights;
    struct vad_dense first = {w->conv1, w->bias1, 3 * (size_t)w->bins, 128, true};
    struct vad_column columns[GROUP * FRAMES];
    struct group group;

    for (size_t done = 0; done < n; done += GROUP) {
        size_t some = n - done < GROUP ? n - done : GROUP;

        spectrum(code, s + done, some, &group);
        for (size_t k = 0; k < some * FRAMES; k++)
            columns[k] =
                (struct vad_column){.in = group.rows[k / FRAMES] + k % FRAMES * w->bins,
                                    .out = out[done + k / FRAMES] + (k % FRAMES + 1) * CONV_MAX};
        for (size_t k = 0; k < some; k++)
            memset(out[done + k], 0, CONV_MAX * sizeof(float));
        vad_dense_run(code, &first, columns, some * FRAMES);
    }
}

/* Time shrinks 4, 4, 2, 1, 1; taps that only ever meet padding are not in the weights. `seen` are
 * the first halves of what the LSTM takes. */
MEDIA_INLINE void encode(enum media_code code, const struct vad_weights *w, size_t n,
                         float (*a)[(FRAMES + 1) * CONV_MAX], float *seen)
{
    struct vad_dense second = {w->conv2, w->bias2, 3 * 128, 64, true};
    struct vad_dense third = {w->conv3, w->bias3, 2 * 64, 64, true};
    struct vad_dense fourth = {w->conv4, w->bias4, 64, 128, true};
    float b[BATCH * 2 * 64], c[BATCH * 64];
    struct vad_column columns[2 * BATCH];

    for (size_t k = 0; k < 2 * n; k++)
        columns[k] = (struct vad_column){.in = a[k / 2] + k % 2 * 2 * CONV_MAX, .out = b + k * 64};
    vad_dense_run(code, &second, columns, 2 * n);
    run(code, &third, c, 64, b, (size_t)2 * 64, n);
    run(code, &fourth, seen, (size_t)2 * VAD_UNITS, c, 64, n);
}

MEDIA_INLINE void remember(enum media_code code, struct vad_silero *const *s, size_t n, float *x)
{
    const struct vad_weights *w = s[0]->weights;
    struct vad_dense lstm = {w->lstm, w->lstm_bias, (size_t)2 * VAD_UNITS, GATES_ALL, false};
    float gate[BATCH][GATES_ALL];

    for (size_t k = 0; k < n; k++)
        memcpy(x + (2 * k + 1) * VAD_UNITS, s[k]->hidden, sizeof s[k]->hidden);
    run(code, &lstm, gate[0], GATES_ALL, x, (size_t)2 * VAD_UNITS, n);
    for (size_t k = 0; k < n; k++)
        if (code == MEDIA_PLAIN)
            gates_plain(s[k]->cell, s[k]->hidden, gate[k]);
        else
            gates_fast(s[k]->cell, s[k]->hidden, gate[k]);
}

MEDIA_INLINE void network(enum media_code code, struct vad_silero *const *s, size_t n, float *out)
{
    const float *last = s[0]->weights->out;
    float a[BATCH][(FRAMES + 1) * CONV_MAX], x[BATCH * 2 * VAD_UNITS];

    begin(code, s, n, a);
    encode(code, s[0]->weights, n, a, x);
    remember(code, s, n, x);
    for (size_t k = 0; k < n; k++) {
        float sum = last[VAD_UNITS];

        for (size_t i = 0; i < VAD_UNITS; i++)
            sum += s[k]->hidden[i] > 0 ? s[k]->hidden[i] * last[i] : 0;
        out[k] = sigmoid(sum);
    }
}

static void network_plain(struct vad_silero *const *s, size_t n, float *out)
{
    network(MEDIA_PLAIN, s, n, out);
}

MEDIA_TARGET static void network_fast(struct vad_silero *const *s, size_t n, float *out)
{
    network(MEDIA_AVX2, s, n, out);
}

MEDIA_TARGET static void network_wide(struct vad_silero *const *s, size_t n, float *out)
{
    network(MEDIA_AVX512, s, n, out);
}

/* ---- windows ---- */
void vad_silero_init(struct vad_silero *s, const struct vad_weights *weights)
{
    memset(s, 0, sizeof *s);
    s->weights = weights;
    s->code = (uint8_t)media_best();
    s->context = (uint16_t)(weights->fft_size / 4);
    s->window = (uint16_t)(weights->fft_size * 2);
    s->filled = s->context;
}

size_t vad_silero_feed(struct vad_silero *s, const int16_t *pcm, size_t n)
{
    size_t room = (size_t)s->context + s->window - s->filled;
    size_t taken = n < room ? n : room;

    if (taken)
        memcpy(s->samples + s->filled, pcm, taken * sizeof pcm[0]);
    s->filled = (uint16_t)(s->filled + taken);
    return taken;
}

static void next_window(struct vad_silero *s)
{
    memmove(s->samples, s->samples + s->window, s->context * sizeof s->samples[0]);
    s->filled = s->context;
}

static void run_batch(struct vad_silero *const *s, size_t n, float *probability)
{
    switch ((enum media_code)s[0]->code) {
    case MEDIA_PLAIN:
        network_plain(s, n, probability);
        break;
    case MEDIA_AVX2:
        network_fast(s, n, probability);
        break;
    case MEDIA_AVX512:
        network_wide(s, n, probability);
        break;
    }
    for (size_t k = 0; k < n; k++)
        next_window(s[k]);
}

float vad_silero_run(struct vad_silero *s)
{
    float probability;

    run_batch(&s, 1, &probability);
    return probability;
}

void vad_silero_run_all(struct vad_silero *const *s, size_t n, float *probability)
{
    for (size_t done = 0; done < n; done += BATCH)
        run_batch(s + done, n - done < BATCH ? n - done : BATCH, probability + done);
}

void vad_silero_skip(struct vad_silero *s)
{
    next_window(s);
}
