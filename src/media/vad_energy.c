#include "media/vad_energy.h"

#include <string.h>

#include "media/cpu.h"

#if MEDIA_X86
#include <immintrin.h>
#endif

static uint64_t squares_plain(const int16_t *pcm, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)(pcm[i] * pcm[i]);
    return sum;
}

#if MEDIA_X86

/* Adds the squares of 16 samples; two of them fit 32 bits without a sign, as they are taken here.
 */
MEDIA_TARGET MEDIA_INLINE __m256i add_squares(__m256i sums, __m256i pcm)
{
    __m256i pairs = _mm256_madd_epi16(pcm, pcm);
    __m256i low = _mm256_blend_epi32(pairs, _mm256_setzero_si256(), 0xAA);

    return _mm256_add_epi64(sums, _mm256_add_epi64(low, _mm256_srli_epi64(pairs, 32)));
}

MEDIA_TARGET MEDIA_INLINE __m256i load_samples(const int16_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Integers, so the sum is the same. The last samples that fill no vector are loaded with those
 * before them, which a mask leaves out. */
MEDIA_TARGET static uint64_t squares_fast(const int16_t *pcm, size_t n)
{
    static const int16_t mask[32] = {[16] = -1, -1, -1, -1, -1, -1, -1, -1,
                                     -1,        -1, -1, -1, -1, -1, -1, -1};
    __m256i sums = _mm256_setzero_si256();
    size_t i = 0;

    if (n < 16)
        return squares_plain(pcm, n);
    for (; i + 16 <= n; i += 16)
        sums = add_squares(sums, load_samples(pcm + i));
    if (i < n)
        sums = add_squares(
            sums, _mm256_and_si256(load_samples(pcm + n - 16), load_samples(mask + (n - i))));
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint64_t)_mm_extract_epi64(two, 0) + (uint64_t)_mm_extract_epi64(two, 1);
}

#else

#define squares_fast squares_plain

#endif

/* By a constant at the usual rates, which takes a multiplication. */
static uint64_t mean_of(uint64_t squares, uint16_t samples)
{
    return samples == 80 ? squares / 80 : samples == 160 ? squares / 160 : squares / samples;
}

/* log2(v) in 1/256, straight between powers of two: at most a quarter of a decibel off. */
static uint16_t log2_level(uint64_t v)
{
    unsigned whole;

    if (v < 2)
        return 0;
    whole = 63u - (unsigned)__builtin_clzll(v);
    return (uint16_t)(whole * 256 + (unsigned)(((v << (63 - whole)) >> 55) & 255));
}

void vad_energy_init(struct vad_energy *e, uint32_t rate_hz)
{
    memset(e, 0, sizeof *e);
    e->block = (uint16_t)(rate_hz * VAD_BLOCK_MS / 1000);
    e->floor = VAD_FLOOR_START;
    e->fast = media_fast();
    for (size_t i = 0; i < VAD_FLOOR_PARTS; i++)
        e->least[i] = VAD_FLOOR_START;
}

static uint16_t least_of_all(const struct vad_energy *e)
{
    uint16_t least = e->least[0];

    for (size_t i = 1; i < VAD_FLOOR_PARTS; i++)
        least = e->least[i] < least ? e->least[i] : least;
    return least > VAD_FLOOR_LEAST ? least : VAD_FLOOR_LEAST;
}

static void next_part(struct vad_energy *e)
{
    e->part_blocks = 0;
    e->part = (uint8_t)((e->part + 1) % VAD_FLOOR_PARTS);
    e->least[e->part] = UINT16_MAX;
}

static void finish_block(struct vad_energy *e)
{
    uint16_t before = e->level, smooth;

    e->level = log2_level(mean_of(e->squares, e->block));
    e->squares = 0;
    e->filled = 0;
    /* the louder of two blocks: one alone may fall far below the noise that it is part of */
    smooth = before > e->level ? before : e->level;
    if (smooth < e->least[e->part])
        e->least[e->part] = smooth;
    /* within a part the least can only fall */
    if (e->part_blocks == 0)
        e->floor = least_of_all(e);
    else if (smooth < e->floor)
        e->floor = smooth > VAD_FLOOR_LEAST ? smooth : VAD_FLOOR_LEAST;
    if (++e->part_blocks == VAD_PART_BLOCKS)
        next_part(e);
}

size_t vad_energy_feed(struct vad_energy *e, const int16_t *pcm, size_t n, bool *done)
{
    size_t room = (size_t)(e->block - e->filled), taken = n < room ? n : room;

    e->squares += e->fast ? squares_fast(pcm, taken) : squares_plain(pcm, taken);
    e->filled = (uint16_t)(e->filled + taken);
    *done = e->filled == e->block;
    if (*done)
        finish_block(e);
    return taken;
}

uint16_t vad_energy_margin(const struct vad_energy *e)
{
    return (uint16_t)(e->level > e->floor ? e->level - e->floor : 0);
}

uint16_t vad_energy_per_mille(const struct vad_energy *e)
{
    uint32_t per_mille = vad_energy_margin(e) * 1000u / (30 * VAD_LEVEL_PER_DB);

    return (uint16_t)(per_mille < 1000 ? per_mille : 1000);
}
