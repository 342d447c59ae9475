/* G.711: the published vectors, the structure of the standard, and both paths over every input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/reason.h"
#include "media/g711.h"

#define SAMPLES 65536

static int16_t every_sample[SAMPLES];
static uint8_t every_code[256];

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++)
        every_sample[i] = (int16_t)(i - 32768);
    for (int i = 0; i < 256; i++)
        every_code[i] = (uint8_t)i;
    return 0;
}

static void known_samples_encode_to_known_codes(void **state)
{
    static const struct {
        int16_t pcm;
        uint8_t mulaw, alaw;
    } vectors[] = {{0, 0xFF, 0xD5},     {-1, 0x7F, 0x55},     {8, 0xFE, 0xD5},
                   {100, 0xF2, 0xD3},   {1000, 0xCE, 0xFA},   {-1000, 0x4E, 0x7A},
                   {10000, 0x9C, 0xB6}, {-10000, 0x1C, 0x36}, {32767, 0x80, 0xAA},
                   {-32768, 0x00, 0x2A}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        uint8_t mulaw, alaw;

        g711_mulaw_encode(&mulaw, &vectors[i].pcm, 1);
        g711_alaw_encode(&alaw, &vectors[i].pcm, 1);
        assert_int_equal(mulaw, vectors[i].mulaw);
        assert_int_equal(alaw, vectors[i].alaw);
    }
}

static void known_codes_decode_to_known_samples(void **state)
{
    static const struct {
        uint8_t code;
        int16_t pcm;
    } mulaw[] = {{0x00, -32124}, {0x80, 32124}, {0x7F, 0}, {0xFF, 0}, {0xFE, 8}},
      alaw[] = {{0xD5, 8}, {0x55, -8}, {0xAA, 32256}, {0x2A, -32256}};
    int16_t pcm;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mulaw); i++) {
        g711_mulaw_decode(&pcm, &mulaw[i].code, 1);
        assert_int_equal(pcm, mulaw[i].pcm);
    }
    for (size_t i = 0; i < ARRAY_LEN(alaw); i++) {
        g711_alaw_decode(&pcm, &alaw[i].code, 1);
        assert_int_equal(pcm, alaw[i].pcm);
    }
}

static void every_code_survives_the_round_trip(void **state)
{
    int16_t pcm[256];
    uint8_t back[256];

    (void)state;
    g711_mulaw_decode(pcm, every_code, 256);
    g711_mulaw_encode(back, pcm, 256);
    for (int i = 0; i < 256; i++)
        assert_int_equal(back[i], i == 0x7F ? 0xFF : i);
    g711_alaw_decode(pcm, every_code, 256);
    g711_alaw_encode(back, pcm, 256);
    assert_memory_equal(back, every_code, 256);
}

/* Each code stands for the middle of an interval, which no sample lies outside of: at most half a
 * step away, and the step is that of the code's segment. */
static void check_interval(const int16_t values[256], const uint8_t *codes, uint8_t inverted,
                           int half_step, int flat_segments, int clip)
{
    for (int i = 0; i < SAMPLES; i++) {
        int segment = ((codes[i] ^ inverted) >> 4 & 7) - flat_segments;
        int error = abs(every_sample[i] - values[codes[i]]);

        if (abs(every_sample[i]) <= clip)
            assert_in_range(error, 0, half_step << (segment > 0 ? segment : 0));
    }
}

static void every_sample_lies_in_the_interval_of_its_code(void **state)
{
    static uint8_t codes[SAMPLES];
    int16_t values[256];

    (void)state;
    g711_mulaw_decode(values, every_code, 256);
    g711_mulaw_encode(codes, every_sample, SAMPLES);
    check_interval(values, codes, 0xFF, 4, 0, 32635);
    g711_alaw_decode(values, every_code, 256);
    g711_alaw_encode(codes, every_sample, SAMPLES);
    check_interval(values, codes, 0x55, 8, 1, 32767);
}

static void both_paths_agree_on_every_input(void **state)
{
    static uint8_t fast[SAMPLES], plain[SAMPLES];
    int16_t fast_pcm[256], plain_pcm[256];

    (void)state;
    g711_mulaw_encode(fast, every_sample, SAMPLES);
    g711_mulaw_encode_plain(plain, every_sample, SAMPLES);
    assert_memory_equal(fast, plain, SAMPLES);
    g711_alaw_encode(fast, every_sample, SAMPLES);
    g711_alaw_encode_plain(plain, every_sample, SAMPLES);
    assert_memory_equal(fast, plain, SAMPLES);
    g711_mulaw_decode(fast_pcm, every_code, 256);
    g711_mulaw_decode_plain(plain_pcm, every_code, 256);
    assert_memory_equal(fast_pcm, plain_pcm, sizeof fast_pcm);
    g711_alaw_decode(fast_pcm, every_code, 256);
    g711_alaw_decode_plain(plain_pcm, every_code, 256);
    assert_memory_equal(fast_pcm, plain_pcm, sizeof fast_pcm);
}

static void every_length_writes_exactly_its_samples(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 50; n++) {
        int16_t pcm[64], plain[64];
        uint8_t code[64];

        memset(pcm, 0x11, sizeof pcm);
        memset(code, 0x22, sizeof code);
        g711_alaw_decode(pcm, every_code + 100, n);
        g711_alaw_decode_plain(plain, every_code + 100, n);
        assert_memory_equal(pcm, plain, n * sizeof pcm[0]);
        assert_int_equal(pcm[n], 0x1111);
        g711_mulaw_encode(code, every_sample + 33000, n);
        assert_int_equal(code[n], 0x22);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_samples_encode_to_known_codes),
        cmocka_unit_test(known_codes_decode_to_known_samples),
        cmocka_unit_test(every_code_survives_the_round_trip),
        cmocka_unit_test(every_sample_lies_in_the_interval_of_its_code),
        cmocka_unit_test(both_paths_agree_on_every_input),
        cmocka_unit_test(every_length_writes_exactly_its_samples),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
