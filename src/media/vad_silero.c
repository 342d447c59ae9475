#include "media/vad_silero.h"

#include <math.h>
#include <string.h>

#include "media/cpu.h"

#if MEDIA_X86
#include <immintrin.h>
#endif

#define FRAMES    4   /* transforms in a window */
#define HALF_MAX  128 /* half a transform */
#define BINS_MAX  129
#define ROW_MAX   144 /* bins rounded up to whole panels */
#define CONV_MAX  128
#define GATES_ALL (4 * VAD_UNITS)

/* y[t][o] = bias[o] + sum over i of w[o][i] * x[t][i], and not below zero if `relu`. The columns
 * t are `x_step` and `y_step` floats apart; 1, 2 or 4 of them. The columns of a convolution may
 * overlap: with [time][channel] data a kernel of three is one run of three rows. */
struct dense {
    const float *weights, *bias; /* bias: or NULL */
    size_t ins, outs;            /* outs: multiple of VAD_PANEL; ins of 4 when there is 1 column */
    bool relu;
};

/* ---- plain: portable, with the compiler's own vectors of four, which it makes scalars where the
 * machine has none ---- */
static void dense_plain(const struct dense *d, float *y, size_t y_step, const float *x,
                        size_t x_step, size_t columns)
{
    for (size_t o = 0; o < d->outs; o += VAD_PANEL) {
        const float *panel = d->weights + o * d->ins;

        for (size_t t = 0; t < columns; t++) {
            __attribute__((vector_size(16))) float sums[VAD_PANEL / 4] = {0}, w[VAD_PANEL / 4];
            float sum[VAD_PANEL];

            for (size_t i = 0; i < d->ins; i++) {
                memcpy(w, panel + i * VAD_PANEL, sizeof w);
                for (size_t k = 0; k < VAD_PANEL / 4; k++)
                    sums[k] += w[k] * x[t * x_step + i];
            }
            memcpy(sum, sums, sizeof sum);
            for (size_t k = 0; k < VAD_PANEL; k++) {
                float v = sum[k] + (d->bias ? d->bias[o + k] : 0);

                y[t * y_step + o + k] = d->relu && v < 0 ? 0 : v;
            }
        }
    }
}

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

/* ---- AVX2 and FMA: eight sums at a time whatever the number of columns, so that the latency of
 * the multiply-add is hidden: with fewer columns several inputs are summed apart ---- */
#if MEDIA_X86

MEDIA_TARGET MEDIA_INLINE void panel_finish(const struct dense *d, float *y, size_t o, __m256 low,
                                            __m256 high)
{
    if (d->bias) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(d->bias + o));
        high = _mm256_add_ps(high, _mm256_loadu_ps(d->bias + o + 8));
    }
    if (d->relu) {
        low = _mm256_max_ps(low, _mm256_setzero_ps());
        high = _mm256_max_ps(high, _mm256_setzero_ps());
    }
    _mm256_storeu_ps(y + o, low);
    _mm256_storeu_ps(y + o + 8, high);
}

/* One panel; columns * lanes == 4, both constants to the compiler. */
MEDIA_TARGET MEDIA_INLINE void panel_fast(const struct dense *d, float *y, size_t y_step,
                                          const float *x, size_t x_step, size_t o, size_t columns,
                                          size_t lanes)
{
    const float *w = d->weights + o * d->ins;
    __m256 low[4], high[4];

    for (size_t s = 0; s < 4; s++)
        low[s] = high[s] = _mm256_setzero_ps();
    for (size_t i = 0; i < d->ins; i += lanes)
        for (size_t u = 0; u < lanes; u++) {
            __m256 w_low = _mm256_loadu_ps(w + (i + u) * VAD_PANEL);
            __m256 w_high = _mm256_loadu_ps(w + (i + u) * VAD_PANEL + 8);

            for (size_t t = 0; t < columns; t++) {
                __m256 v = _mm256_broadcast_ss(x + t * x_step + i + u);

                low[u * columns + t] = _mm256_fmadd_ps(w_low, v, low[u * columns + t]);
                high[u * columns + t] = _mm256_fmadd_ps(w_high, v, high[u * columns + t]);
            }
        }
    for (size_t s = columns; s < 4; s++) {
        low[s % columns] = _mm256_add_ps(low[s % columns], low[s]);
        high[s % columns] = _mm256_add_ps(high[s % columns], high[s]);
    }
    for (size_t t = 0; t < columns; t++)
        panel_finish(d, y + t * y_step, o, low[t], high[t]);
}

MEDIA_TARGET static void dense_fast(const struct dense *d, float *y, size_t y_step, const float *x,
                                    size_t x_step, size_t columns)
{
    if (columns == 4)
        for (size_t o = 0; o < d->outs; o += VAD_PANEL)
            panel_fast(d, y, y_step, x, x_step, o, 4, 1);
    else if (columns == 2)
        for (size_t o = 0; o < d->outs; o += VAD_PANEL)
            panel_fast(d, y, y_step, x, x_step, o, 2, 2);
    else
        for (size_t o = 0; o < d->outs; o += VAD_PANEL)
            panel_fast(d, y, y_step, x, x_step, o, 1, 4);
}

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

/* The plain ones, eight at a time. */
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

#define dense_fast     dense_plain
#define magnitude_fast magnitude_plain
#define gates_fast     gates_plain

#endif

/* ---- the network; `fast` is a constant wherever this is inlined ---- */
MEDIA_INLINE void dense_run(bool fast, const struct dense *d, float *y, size_t y_step,
                            const float *x, size_t x_step, size_t columns)
{
    if (fast)
        dense_fast(d, y, y_step, x, x_step, columns);
    else
        dense_plain(d, y, y_step, x, x_step, columns);
}

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

/* Four rows of magnitudes between two rows of zeros, which pad the first convolution. */
MEDIA_INLINE void spectrum(bool fast, const struct vad_silero *s, float *rows)
{
    const struct vad_weights *w = s->weights;
    size_t half = w->fft_size / 2, bins = w->bins;
    size_t outs = (bins + VAD_PANEL - 1) / VAD_PANEL * VAD_PANEL;
    struct dense cosine = {.weights = w->even, .ins = half, .outs = outs};
    struct dense sine = {.weights = w->odd, .ins = half, .outs = outs};
    float x[VAD_SILERO_CONTEXT_MAX + VAD_SILERO_WINDOW_MAX + HALF_MAX / 2];
    float even[FRAMES * HALF_MAX], odd[FRAMES * HALF_MAX];
    float re[FRAMES * ROW_MAX], im[FRAMES * ROW_MAX];

    load_window(s, x, half / 2);
    for (size_t t = 0; t < FRAMES; t++)
        fold(even + t * half, odd + t * half, x + t * half, half);
    dense_run(fast, &cosine, re, ROW_MAX, even, half, FRAMES);
    dense_run(fast, &sine, im, ROW_MAX, odd, half, FRAMES);
    memset(rows, 0, bins * sizeof rows[0]);
    if (fast)
        magnitude_fast(rows + bins, re, im, bins);
    else
        magnitude_plain(rows + bins, re, im, bins);
    memset(rows + (FRAMES + 1) * bins, 0, bins * sizeof rows[0]);
}

/* Time shrinks 4, 4, 2, 1, 1; taps that only ever meet padding are not in the weights. */
MEDIA_INLINE void encode(bool fast, const struct vad_weights *w, float *out, const float *rows)
{
    struct dense first = {w->conv1, w->bias1, 3 * (size_t)w->bins, 128, true};
    struct dense second = {w->conv2, w->bias2, 3 * 128, 64, true};
    struct dense third = {w->conv3, w->bias3, 2 * 64, 64, true};
    struct dense fourth = {w->conv4, w->bias4, 64, 128, true};
    float a[(FRAMES + 1) * CONV_MAX] = {0}; /* the first row stays zero */
    float b[2 * 64], c[64];

    dense_run(fast, &first, a + CONV_MAX, CONV_MAX, rows, w->bins, FRAMES);
    dense_run(fast, &second, b, 64, a, (size_t)2 * CONV_MAX, 2);
    dense_run(fast, &third, c, 0, b, 0, 1);
    dense_run(fast, &fourth, out, 0, c, 0, 1);
}

MEDIA_INLINE void remember(bool fast, struct vad_silero *s, const float *seen)
{
    struct dense lstm = {s->weights->lstm, s->weights->lstm_bias, (size_t)2 * VAD_UNITS, GATES_ALL,
                         false};
    float x[2 * VAD_UNITS], gate[GATES_ALL];

    memcpy(x, seen, VAD_UNITS * sizeof x[0]);
    memcpy(x + VAD_UNITS, s->hidden, sizeof s->hidden);
    dense_run(fast, &lstm, gate, 0, x, 0, 1);
    if (fast)
        gates_fast(s->cell, s->hidden, gate);
    else
        gates_plain(s->cell, s->hidden, gate);
}

MEDIA_INLINE float network(bool fast, struct vad_silero *s)
{
    const float *out = s->weights->out;
    float rows[(FRAMES + 2) * BINS_MAX + VAD_PANEL], seen[CONV_MAX];
    float sum = out[VAD_UNITS];

    spectrum(fast, s, rows);
    encode(fast, s->weights, seen, rows);
    remember(fast, s, seen);
    for (size_t i = 0; i < VAD_UNITS; i++)
        sum += s->hidden[i] > 0 ? s->hidden[i] * out[i] : 0;
    return sigmoid(sum);
}

static float network_plain(struct vad_silero *s)
{
    return network(false, s);
}

MEDIA_TARGET static float network_fast(struct vad_silero *s)
{
    return network(true, s);
}

/* ---- windows ---- */
void vad_silero_init(struct vad_silero *s, const struct vad_weights *weights)
{
    memset(s, 0, sizeof *s);
    s->weights = weights;
    s->fast = media_fast();
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

float vad_silero_run(struct vad_silero *s)
{
    float probability = s->fast ? network_fast(s) : network_plain(s);

    next_window(s);
    return probability;
}

void vad_silero_skip(struct vad_silero *s)
{
    next_window(s);
}
