#include "media/g711.h"

#include "media/cpu.h"

#if MEDIA_X86
#include <immintrin.h>
#endif

#define MULAW_BIAS 132   /* makes every segment start at a power of two */
#define MULAW_CLIP 32635 /* the largest magnitude that keeps the biased value in 15 bits */

/* ---- tables, written by the preprocessor ---- */
#define MULAW_MAGNITUDE(c)                                                                         \
    ((((~(c)&15) * 8 + MULAW_BIAS) << ((~(c) >> 4) & 7)) - MULAW_BIAS) /* of one code */
#define MULAW_VALUE(c) (int16_t)((c)&0x80 ? MULAW_MAGNITUDE(c) : -MULAW_MAGNITUDE(c))

#define ALAW_SEGMENT(c) ((((c) ^ 0x55) >> 4) & 7)
#define ALAW_STEP(c)    ((((c) ^ 0x55) & 15) * 16 + 8)
#define ALAW_MAGNITUDE(c)                                                                          \
    (ALAW_SEGMENT(c) ? (ALAW_STEP(c) + 256) << (ALAW_SEGMENT(c) + 7) >> 8 : ALAW_STEP(c))
#define ALAW_VALUE(c) (int16_t)(((c) ^ 0x55) & 0x80 ? ALAW_MAGNITUDE(c) : -ALAW_MAGNITUDE(c))

#define ROW4(f, c)  f(c), f((c) + 1), f((c) + 2), f((c) + 3)
#define ROW16(f, c) ROW4(f, c), ROW4(f, (c) + 4), ROW4(f, (c) + 8), ROW4(f, (c) + 12)
#define ROW64(f, c) ROW16(f, c), ROW16(f, (c) + 16), ROW16(f, (c) + 32), ROW16(f, (c) + 48)
#define ROW256(f)   ROW64(f, 0), ROW64(f, 64), ROW64(f, 128), ROW64(f, 192)

static const int16_t mulaw_values[256] = {ROW256(MULAW_VALUE)};
static const int16_t alaw_values[256] = {ROW256(ALAW_VALUE)};

/* ---- plain ---- */
static inline unsigned log2_floor(unsigned v)
{
    return 31u - (unsigned)__builtin_clz(v);
}

static inline uint8_t mulaw_code(int16_t sample)
{
    unsigned magnitude = (unsigned)(sample < 0 ? -(int)sample : sample);
    unsigned biased = (magnitude > MULAW_CLIP ? MULAW_CLIP : magnitude) + MULAW_BIAS;
    unsigned segment = log2_floor(biased) - 7;
    unsigned code = segment << 4 | (biased >> (segment + 3) & 15);

    return (uint8_t)(~code & (sample < 0 ? 0x7Fu : 0xFFu));
}

static inline uint8_t alaw_code(int16_t sample)
{
    /* One's complement: the decision values of A-law lie half a step beside those of mu-law. */
    unsigned magnitude = (unsigned)(sample < 0 ? ~(int)sample : sample);
    unsigned segment = magnitude < 256 ? 0 : log2_floor(magnitude) - 7;
    unsigned code = segment << 4 | (magnitude >> (segment ? segment + 3 : 4) & 15);

    return (uint8_t)(code ^ (sample < 0 ? 0x55u : 0xD5u));
}

void g711_mulaw_decode_plain(int16_t *pcm, const uint8_t *code, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pcm[i] = mulaw_values[code[i]];
}

void g711_alaw_decode_plain(int16_t *pcm, const uint8_t *code, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pcm[i] = alaw_values[code[i]];
}

void g711_mulaw_encode_plain(uint8_t *code, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        code[i] = mulaw_code(pcm[i]);
}

void g711_alaw_encode_plain(uint8_t *code, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        code[i] = alaw_code(pcm[i]);
}

/* ---- AVX2: 16 samples at a time; tables of 16 bytes are looked up with pshufb ---- */
#if MEDIA_X86

/* The same 16-byte table in both halves. */
#define TABLE16(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* 16 lanes of a nibble (0..15) to the table's byte at it, as 16-bit lanes. */
MEDIA_TARGET MEDIA_INLINE __m256i look_up(__m256i table, __m256i nibble)
{
    return _mm256_and_si256(_mm256_shuffle_epi8(table, nibble), _mm256_set1_epi16(0xFF));
}

/* Negates the lanes whose sign mask is set. */
MEDIA_TARGET MEDIA_INLINE __m256i apply_sign(__m256i v, __m256i mask)
{
    return _mm256_sub_epi16(_mm256_xor_si256(v, mask), mask);
}

/* All ones in the lanes whose code has its top bit clear. */
MEDIA_TARGET MEDIA_INLINE __m256i code_negative(__m256i code)
{
    return _mm256_cmpeq_epi16(_mm256_and_si256(code, _mm256_set1_epi16(0x80)),
                              _mm256_setzero_si256());
}

MEDIA_TARGET MEDIA_INLINE __m256i load_codes(const uint8_t *code)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)code));
}

MEDIA_TARGET MEDIA_INLINE void store_codes(uint8_t *code, __m256i v)
{
    __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    _mm_storeu_si128((__m128i *)(void *)code, packed);
}

MEDIA_TARGET static size_t mulaw_decode_fast(int16_t *pcm, const uint8_t *code, size_t n)
{
    const __m256i power = TABLE16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
    const __m256i bias = _mm256_set1_epi16(MULAW_BIAS), nibble = _mm256_set1_epi16(15);
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m256i c = load_codes(code + i);
        __m256i inverse = _mm256_xor_si256(c, _mm256_set1_epi16(0xFF));
        __m256i step = _mm256_slli_epi16(_mm256_and_si256(inverse, nibble), 3);
        __m256i scale = look_up(power, _mm256_and_si256(_mm256_srli_epi16(inverse, 4), nibble));
        __m256i v = _mm256_sub_epi16(_mm256_mullo_epi16(_mm256_add_epi16(step, bias), scale), bias);

        _mm256_storeu_si256((__m256i *)(void *)(pcm + i), apply_sign(v, code_negative(c)));
    }
    return i;
}

MEDIA_TARGET static size_t alaw_decode_fast(int16_t *pcm, const uint8_t *code, size_t n)
{
    const __m256i power = TABLE16(1, 1, 2, 4, 8, 16, 32, 64, 1, 1, 2, 4, 8, 16, 32, 64);
    const __m256i lead = TABLE16(0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1);
    const __m256i nibble = _mm256_set1_epi16(15);
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m256i c = _mm256_xor_si256(load_codes(code + i), _mm256_set1_epi16(0x55));
        __m256i segment = _mm256_and_si256(_mm256_srli_epi16(c, 4), nibble);
        __m256i step = _mm256_slli_epi16(_mm256_and_si256(c, nibble), 4);
        __m256i base = _mm256_slli_epi16(look_up(lead, segment), 8);
        __m256i v = _mm256_add_epi16(_mm256_add_epi16(step, base), _mm256_set1_epi16(8));

        v = _mm256_mullo_epi16(v, look_up(power, segment));
        _mm256_storeu_si256((__m256i *)(void *)(pcm + i), apply_sign(v, code_negative(c)));
    }
    return i;
}

/* floor(log2(v)) of the bits 7..14 of v, 0 if none is set: the segment number. */
MEDIA_TARGET MEDIA_INLINE __m256i segment_of(__m256i v)
{
    const __m256i low = TABLE16(0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i high = TABLE16(0, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7);
    const __m256i nibble = _mm256_set1_epi16(15);

    return _mm256_max_epi16(look_up(low, _mm256_and_si256(_mm256_srli_epi16(v, 7), nibble)),
                            look_up(high, _mm256_and_si256(_mm256_srli_epi16(v, 11), nibble)));
}

/* segment and mantissa as one code: `power` holds 1 << (7 - s), so that the high half of a product
 * is v >> (s + 3). */
MEDIA_TARGET MEDIA_INLINE __m256i pack_code(__m256i v, __m256i power)
{
    __m256i segment = segment_of(v);
    __m256i scale = _mm256_slli_epi16(look_up(power, segment), 6);
    __m256i mantissa = _mm256_and_si256(_mm256_mulhi_epu16(v, scale), _mm256_set1_epi16(15));

    return _mm256_or_si256(_mm256_slli_epi16(segment, 4), mantissa);
}

MEDIA_TARGET static size_t mulaw_encode_fast(uint8_t *code, const int16_t *pcm, size_t n)
{
    const __m256i power = TABLE16(-128, 64, 32, 16, 8, 4, 2, 1, -128, 64, 32, 16, 8, 4, 2, 1);
    const __m256i clip = _mm256_set1_epi16(MULAW_CLIP), bias = _mm256_set1_epi16(MULAW_BIAS);
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(pcm + i));
        /* -32768 stays 0x8000, which is 32768 to the unsigned minimum */
        __m256i v = _mm256_add_epi16(_mm256_min_epu16(_mm256_abs_epi16(x), clip), bias);
        __m256i sign = _mm256_and_si256(_mm256_srai_epi16(x, 15), _mm256_set1_epi16(0x80));
        __m256i c = _mm256_or_si256(pack_code(v, power), sign);

        store_codes(code + i, _mm256_xor_si256(c, _mm256_set1_epi16(0xFF)));
    }
    return i;
}

MEDIA_TARGET static size_t alaw_encode_fast(uint8_t *code, const int16_t *pcm, size_t n)
{
    const __m256i power = TABLE16(64, 64, 32, 16, 8, 4, 2, 1, 64, 64, 32, 16, 8, 4, 2, 1);
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(pcm + i));
        __m256i negative = _mm256_srai_epi16(x, 15);
        __m256i c = pack_code(_mm256_xor_si256(x, negative), power);
        __m256i sign = _mm256_andnot_si256(negative, _mm256_set1_epi16(0x80));

        c = _mm256_xor_si256(_mm256_or_si256(c, sign), _mm256_set1_epi16(0x55));
        store_codes(code + i, c);
    }
    return i;
}

#else

static size_t mulaw_decode_fast(int16_t *pcm, const uint8_t *code, size_t n)
{
    return (void)pcm, (void)code, (void)n, 0;
}

static size_t alaw_decode_fast(int16_t *pcm, const uint8_t *code, size_t n)
{
    return (void)pcm, (void)code, (void)n, 0;
}

static size_t mulaw_encode_fast(uint8_t *code, const int16_t *pcm, size_t n)
{
    return (void)code, (void)pcm, (void)n, 0;
}

static size_t alaw_encode_fast(uint8_t *code, const int16_t *pcm, size_t n)
{
    return (void)code, (void)pcm, (void)n, 0;
}

#endif

/* ---- the choice: whole vectors fast, the rest plain ---- */
void g711_mulaw_decode(int16_t *pcm, const uint8_t *code, size_t n)
{
    size_t done = media_fast() ? mulaw_decode_fast(pcm, code, n) : 0;

    g711_mulaw_decode_plain(pcm + done, code + done, n - done);
}

void g711_mulaw_encode(uint8_t *code, const int16_t *pcm, size_t n)
{
    size_t done = media_fast() ? mulaw_encode_fast(code, pcm, n) : 0;

    g711_mulaw_encode_plain(code + done, pcm + done, n - done);
}

void g711_alaw_decode(int16_t *pcm, const uint8_t *code, size_t n)
{
    size_t done = media_fast() ? alaw_decode_fast(pcm, code, n) : 0;

    g711_alaw_decode_plain(pcm + done, code + done, n - done);
}

void g711_alaw_encode(uint8_t *code, const int16_t *pcm, size_t n)
{
    size_t done = media_fast() ? alaw_encode_fast(code, pcm, n) : 0;

    g711_alaw_encode_plain(code + done, pcm + done, n - done);
}
