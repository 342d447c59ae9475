#include "media/vad_dense.h"

#include <string.h>

#if MEDIA_X86
#include <immintrin.h>
#endif

/* ---- plain: portable, with the compiler's own vectors of four, which it makes scalars where the
 * machine has none ---- */
static void column_plain(const struct vad_dense *d, size_t o, const struct vad_column *c)
{
    const float *panel = d->weights + o * d->ins;
    __attribute__((vector_size(16))) float sums[VAD_PANEL / 4] = {0}, w[VAD_PANEL / 4];
    float sum[VAD_PANEL];

    for (size_t i = 0; i < d->ins; i++) {
        memcpy(w, panel + i * VAD_PANEL, sizeof w);
        for (size_t k = 0; k < VAD_PANEL / 4; k++)
            sums[k] += w[k] * c->in[i];
    }
    memcpy(sum, sums, sizeof sum);
    for (size_t k = 0; k < VAD_PANEL; k++) {
        float v = sum[k] + (d->bias ? d->bias[o + k] : 0);

        c->out[o + k] = d->relu && v < 0 ? 0 : v;
    }
}

static void dense_plain(const struct vad_dense *d, const struct vad_column *columns, size_t n)
{
    for (size_t o = 0; o < d->outs; o += VAD_PANEL)
        for (size_t t = 0; t < n; t++)
            column_plain(d, o, &columns[t]);
}

#if MEDIA_X86

/* Eight sums at least run side by side, so that the latency of the multiply-add is hidden: with few
 * columns those of several panels. Each sum takes its inputs in their order, so that a column comes
 * out the same to the last bit whatever stands beside it. How many columns and panels there are is
 * a constant wherever a tile is inlined. ---- */

/* ---- AVX2: one panel is two vectors ---- */
MEDIA_TARGET MEDIA_INLINE void finish_avx2(const struct vad_dense *d, float *out, size_t o,
                                           __m256 low, __m256 high)
{
    if (d->bias) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(d->bias + o));
        high = _mm256_add_ps(high, _mm256_loadu_ps(d->bias + o + 8));
    }
    if (d->relu) {
        low = _mm256_max_ps(low, _mm256_setzero_ps());
        high = _mm256_max_ps(high, _mm256_setzero_ps());
    }
    _mm256_storeu_ps(out + o, low);
    _mm256_storeu_ps(out + o + 8, high);
}

/* `panels` from output `o` on; panels * columns == 4 */
MEDIA_TARGET MEDIA_INLINE void tile_avx2(const struct vad_dense *d, const struct vad_column *c,
                                         size_t o, size_t panels, size_t columns)
{
    const float *w = d->weights + o * d->ins;
    __m256 low[4], high[4];

    for (size_t s = 0; s < 4; s++)
        low[s] = high[s] = _mm256_setzero_ps();
    for (size_t i = 0; i < d->ins; i++)
        for (size_t p = 0; p < panels; p++) {
            __m256 w_low = _mm256_loadu_ps(w + (p * d->ins + i) * VAD_PANEL);
            __m256 w_high = _mm256_loadu_ps(w + (p * d->ins + i) * VAD_PANEL + 8);

            for (size_t t = 0; t < columns; t++) {
                __m256 v = _mm256_broadcast_ss(c[t].in + i);

                low[p * columns + t] = _mm256_fmadd_ps(w_low, v, low[p * columns + t]);
                high[p * columns + t] = _mm256_fmadd_ps(w_high, v, high[p * columns + t]);
            }
        }
    for (size_t s = 0; s < 4; s++)
        finish_avx2(d, c[s % columns].out, o + s / columns * VAD_PANEL, low[s], high[s]);
}

MEDIA_TARGET static void dense_avx2(const struct vad_dense *d, const struct vad_column *c, size_t n)
{
    for (; n >= 4; c += 4, n -= 4)
        for (size_t o = 0; o < d->outs; o += VAD_PANEL)
            tile_avx2(d, c, o, 1, 4);
    if (n >= 2) {
        for (size_t o = 0; o < d->outs; o += 2 * VAD_PANEL)
            tile_avx2(d, c, o, 2, 2);
        c += 2;
        n -= 2;
    }
    for (size_t o = 0; n && o < d->outs; o += 4 * VAD_PANEL)
        tile_avx2(d, c, o, 4, 1);
}

/* ---- AVX-512: one panel is one vector ---- */
MEDIA_TARGET_WIDE MEDIA_INLINE void finish_wide(const struct vad_dense *d, float *out, size_t o,
                                                __m512 sum)
{
    if (d->bias)
        sum = _mm512_add_ps(sum, _mm512_loadu_ps(d->bias + o));
    if (d->relu)
        sum = _mm512_max_ps(sum, _mm512_setzero_ps());
    _mm512_storeu_ps(out + o, sum);
}

/* `panels` from output `o` on; panels * columns is at most 16. */
MEDIA_TARGET_WIDE MEDIA_INLINE void tile_wide(const struct vad_dense *d, const struct vad_column *c,
                                              size_t o, size_t panels, size_t columns)
{
    const float *w = d->weights + o * d->ins;
    __m512 sums[16];

    for (size_t p = 0; p < panels; p++)
        for (size_t t = 0; t < columns; t++)
            sums[p * columns + t] = _mm512_setzero_ps();
    for (size_t i = 0; i < d->ins; i++)
        for (size_t t = 0; t < columns; t++) {
            __m512 v = _mm512_set1_ps(c[t].in[i]);

            for (size_t p = 0; p < panels; p++)
                sums[p * columns + t] = _mm512_fmadd_ps(
                    _mm512_loadu_ps(w + (p * d->ins + i) * VAD_PANEL), v, sums[p * columns + t]);
        }
    for (size_t p = 0; p < panels; p++)
        for (size_t t = 0; t < columns; t++)
            finish_wide(d, c[t].out, o + p * VAD_PANEL, sums[p * columns + t]);
}

/* Panels two by two, of an odd number the first `odd` at once. */
MEDIA_TARGET_WIDE MEDIA_INLINE void
columns_wide(const struct vad_dense *d, const struct vad_column *c, size_t columns, size_t odd)
{
    size_t o = 0;

    if (d->outs % (2 * VAD_PANEL)) {
        tile_wide(d, c, 0, odd, columns);
        o = odd * VAD_PANEL;
    }
    for (; o < d->outs; o += 2 * VAD_PANEL)
        tile_wide(d, c, o, 2, columns);
}

MEDIA_TARGET_WIDE static void dense_wide(const struct vad_dense *d, const struct vad_column *c,
                                         size_t n)
{
    size_t o = 0;

    for (; n >= 8; c += 8, n -= 8)
        columns_wide(d, c, 8, 1);
    if (n >= 4) {
        columns_wide(d, c, 4, 3);
        c += 4;
        n -= 4;
    }
    if (n >= 2) {
        for (; o < d->outs; o += 4 * VAD_PANEL)
            tile_wide(d, c, o, 4, 2);
        c += 2;
        n -= 2;
    }
    for (o = 0; n && o + 8 * VAD_PANEL <= d->outs; o += 8 * VAD_PANEL)
        tile_wide(d, c, o, 8, 1);
    for (; n && o < d->outs; o += 4 * VAD_PANEL)
        tile_wide(d, c, o, 4, 1);
}

#endif

void vad_dense_run(enum media_code code, const struct vad_dense *d,
                   const struct vad_column *columns, size_t n)
{
    switch (code) {
#if MEDIA_X86
    case MEDIA_AVX512:
        dense_wide(d, columns, n);
        return;
    case MEDIA_AVX2:
        dense_avx2(d, columns, n);
        return;
#else
    case MEDIA_AVX512:
    case MEDIA_AVX2:
#endif
    case MEDIA_PLAIN:
        break;
    }
    dense_plain(d, columns, n);
}
