#include "base/base64.h"

#include <errno.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of each character plus one, so that zero is every other character. */
/* clang-format off */
static const uint8_t values[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8,
    ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};
/* clang-format on */

/* 0..63, or 0xFF for a character outside the alphabet. */
static uint8_t value_of(uint8_t c)
{
    return (uint8_t)(values[c] - 1);
}

#if defined(__x86_64__)

static bool wide(void)
{
    return __builtin_cpu_supports("avx2");
}

/* 24 bytes to 32 characters a step; returns the bytes consumed. Each lane loads 16 bytes to use
 * 12, so a step needs 28 readable ones. */
__attribute__((target("avx2"))) static size_t encode_wide(struct slice in, char *out)
{
    /* Every three bytes become one big-endian 24-bit number. */
    const __m256i triples = _mm256_setr_epi8(2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1,
                                             2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1);
    size_t done = 0;

    while (in.len - done >= 28) {
        const uint8_t *at = in.at + done;
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(at + 12));
        __m256i w = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), triples);
        __m256i v = _mm256_or_si256(
            _mm256_or_si256(_mm256_srli_epi32(w, 18),
                            _mm256_and_si256(_mm256_srli_epi32(w, 4), _mm256_set1_epi32(0x3F00))),
            _mm256_or_si256(
                _mm256_and_si256(_mm256_slli_epi32(w, 10), _mm256_set1_epi32(0x3F0000)),
                _mm256_and_si256(_mm256_slli_epi32(w, 24), _mm256_set1_epi32(0x3F000000))));
        /* Character = value + offset; the offset changes at 26, 52, 62 and 63. */
        __m256i a = _mm256_add_epi8(v, _mm256_set1_epi8('A'));
        __m256i b = _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8(25)),
                                     _mm256_set1_epi8('a' - 26 - 'A'));
        __m256i c = _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8(51)),
                                     _mm256_set1_epi8(('0' - 52) - ('a' - 26)));
        __m256i d = _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8(61)),
                                     _mm256_set1_epi8(('+' - 62) - ('0' - 52)));
        __m256i e = _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8(62)),
                                     _mm256_set1_epi8(('/' - 63) - ('+' - 62)));
        a = _mm256_add_epi8(_mm256_add_epi8(a, b), _mm256_add_epi8(c, _mm256_add_epi8(d, e)));
        _mm256_storeu_si256((__m256i *)(void *)(out + done / 3 * 4), a);
        done += 24;
    }
    return done;
}

/* 32 characters to 24 bytes a step; returns the characters consumed, and stops before the first
 * step that holds a foreign one. Each step stores 32 bytes of which 24 count. The high half of a
 * character selects the one range of the alphabet that it can lie in. */
__attribute__((target("avx2"))) static size_t decode_wide(struct slice in, uint8_t *out,
                                                          size_t out_bytes)
{
#define BY_HIGH_HALF(two, three, four, five, six, seven, other)                                    \
    _mm256_setr_epi8(other, other, two, three, four, five, six, seven, other, other, other, other, \
                     other, other, other, other, other, other, two, three, four, five, six, seven, \
                     other, other, other, other, other, other, other, other)
    const __m256i first = BY_HIGH_HALF('+', '0', 'A', 'P', 'a', 'p', 127);
    const __m256i last = BY_HIGH_HALF('+', '9', 'O', 'Z', 'o', 'z', 0);
    const __m256i offset = BY_HIGH_HALF(62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0);
#undef BY_HIGH_HALF
    const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,
                                           2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
    size_t done = 0, made = 0;

    while (in.len - done >= 32 && out_bytes - made >= 32) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(in.at + done));
        __m256i half = _mm256_and_si256(_mm256_srli_epi32(c, 4), _mm256_set1_epi8(0x0F));
        __m256i slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/'));
        __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_shuffle_epi8(first, half), c),
                                          _mm256_cmpgt_epi8(c, _mm256_shuffle_epi8(last, half)));
        if (_mm256_movemask_epi8(_mm256_andnot_si256(slash, outside)))
            break;
        __m256i v = _mm256_add_epi8(c, _mm256_shuffle_epi8(offset, half));
        v = _mm256_add_epi8(v, _mm256_and_si256(slash, _mm256_set1_epi8((63 - '/') - (62 - '+'))));
        /* Four 6-bit values to one 24-bit number: pairs to 12 bits, then those to 24. */
        __m256i pairs = _mm256_maddubs_epi16(v, _mm256_set1_epi16(0x0140));
        __m256i words = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
        words = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(words, order), join);
        _mm256_storeu_si256((__m256i *)(void *)(out + made), words);
        done += 32;
        made += 24;
    }
    return done;
}

#else

static bool wide(void)
{
    return false;
}

static size_t encode_wide(struct slice in, char *out)
{
    (void)in;
    (void)out;
    return 0;
}

static size_t decode_wide(struct slice in, uint8_t *out, size_t out_bytes)
{
    (void)in;
    (void)out;
    (void)out_bytes;
    return 0;
}

#endif

size_t base64_encode_plain(struct slice in, char *out)
{
    char *to = out;
    size_t i = 0;

    for (; in.len - i >= 3; i += 3) {
        uint32_t w = (uint32_t)in.at[i] << 16 | (uint32_t)in.at[i + 1] << 8 | in.at[i + 2];
        *to++ = alphabet[w >> 18];
        *to++ = alphabet[w >> 12 & 63];
        *to++ = alphabet[w >> 6 & 63];
        *to++ = alphabet[w & 63];
    }
    if (in.len - i == 1) {
        *to++ = alphabet[in.at[i] >> 2];
        *to++ = alphabet[(in.at[i] & 3) << 4];
        *to++ = '=';
        *to++ = '=';
    } else if (in.len - i == 2) {
        *to++ = alphabet[in.at[i] >> 2];
        *to++ = alphabet[(in.at[i] & 3) << 4 | in.at[i + 1] >> 4];
        *to++ = alphabet[(in.at[i + 1] & 15) << 2];
        *to++ = '=';
    }
    return (size_t)(to - out);
}

size_t base64_encode(struct slice in, char *out)
{
    size_t done = wide() ? encode_wide(in, out) : 0;

    if (done == in.len) /* also keeps arithmetic off a null pointer */
        return BASE64_CHARS(in.len);
    base64_encode_plain(slice_of(in.at + done, in.len - done), out + done / 3 * 4);
    return BASE64_CHARS(in.len);
}

void base64_build(struct builder *b, struct slice in)
{
    uint8_t *to = builder_reserve(b, BASE64_CHARS(in.len));

    if (to)
        base64_encode(in, (char *)to);
}

/* Takes the padding off; false if it is there but not where and as long as it belongs. */
static bool unpad(struct slice *in)
{
    size_t pads = 0;

    while (pads < 2 && in->len > pads && in->at[in->len - 1 - pads] == '=')
        pads++;
    if (pads && in->len % 4 != 0)
        return false;
    in->len -= pads;
    return in->len % 4 != 1;
}

/* Whole groups of four; false at a foreign character. */
static bool decode_groups(struct slice in, uint8_t *out)
{
    for (size_t i = 0; i < in.len; i += 4) {
        uint8_t a = value_of(in.at[i]), b = value_of(in.at[i + 1]);
        uint8_t c = value_of(in.at[i + 2]), d = value_of(in.at[i + 3]);
        if ((a | b | c | d) & 0xC0)
            return false;
        *out++ = (uint8_t)(a << 2 | b >> 4);
        *out++ = (uint8_t)(b << 4 | c >> 2);
        *out++ = (uint8_t)(c << 6 | d);
    }
    return true;
}

/* The last two or three characters; bits beyond the last byte must be zero. */
static bool decode_tail(struct slice in, uint8_t *out)
{
    if (in.len == 0)
        return true;
    uint8_t a = value_of(in.at[0]), b = value_of(in.at[1]);
    uint8_t c = in.len == 3 ? value_of(in.at[2]) : 0;
    if ((a | b | c) & 0xC0)
        return false;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    if (in.len == 2)
        return (b & 15) == 0;
    out[1] = (uint8_t)(b << 4 | c >> 2);
    return (c & 3) == 0;
}

static int decode(struct slice in, uint8_t *out, size_t out_bytes, size_t *len, bool fast)
{
    *len = 0;
    if (!unpad(&in))
        return -EINVAL;
    size_t tail = in.len % 4;
    size_t bytes = in.len / 4 * 3 + (tail ? tail - 1 : 0);
    if (bytes > out_bytes)
        return -EMSGSIZE;
    if (bytes == 0)
        return 0;
    size_t done = fast ? decode_wide(in, out, out_bytes) : 0;
    size_t groups = in.len - tail - done;
    uint8_t *to = out + done / 4 * 3;
    if (!decode_groups(slice_of(in.at + done, groups), to) ||
        !decode_tail(slice_of(in.at + done + groups, tail), to + groups / 4 * 3))
        return -EINVAL;
    *len = bytes;
    return 0;
}

int base64_decode(struct slice in, void *out, size_t out_bytes, size_t *len)
{
    return decode(in, out, out_bytes, len, wide());
}

int base64_decode_plain(struct slice in, void *out, size_t out_bytes, size_t *len)
{
    return decode(in, out, out_bytes, len, false);
}
