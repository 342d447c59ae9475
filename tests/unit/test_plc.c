/* Loss concealment: periodic sounds go on, all sounds fade, nothing clicks, bits are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rand.h"
#include "media/plc.h"

#define SAMPLES 16000

static int16_t voice[SAMPLES], heard[SAMPLES];

/* A made-up voice of whole numbers: a triangle whose period glides, with a soft second one. */
static void voice_make(uint32_t rate_hz, uint32_t hz_from, uint32_t hz_to)
{
    uint32_t phase = 0, formant = 0;

    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint32_t mhz = 1000 * hz_from + 1000 * (hz_to - hz_from) / SAMPLES * i;
        phase += (uint32_t)((uint64_t)mhz * UINT64_C(4294967296) / 1000 / rate_hz);
        formant = phase * 5;
        int32_t a = abs((int32_t)(phase >> 16) - 32768) - 16384;
        int32_t b = abs((int32_t)(formant >> 16) - 32768) - 16384;
        voice[i] = (int16_t)((a * 2 + b) / 3);
    }
}

static int64_t error_of(size_t from, size_t to)
{
    int64_t sum = 0;

    for (size_t i = from; i < to; i++)
        sum += (heard[i] - voice[i]) * (int64_t)(heard[i] - voice[i]);
    return sum;
}

static int64_t energy_of(const int16_t *pcm, size_t from, size_t to)
{
    int64_t sum = 0;

    for (size_t i = from; i < to; i++)
        sum += pcm[i] * (int64_t)pcm[i];
    return sum;
}

/* Plays the voice in frames; those for which lost(i) are concealed. */
static void play(uint32_t rate_hz, bool (*lost)(size_t frame))
{
    size_t frame = rate_hz / 50;
    struct plc p;

    plc_init(&p, rate_hz);
    for (size_t i = 0; i + frame <= SAMPLES; i += frame) {
        memcpy(heard + i, voice + i, frame * sizeof(*heard));
        if (lost(i / frame))
            plc_conceal(&p, heard + i, frame);
        else
            plc_good(&p, heard + i, frame);
    }
}

static bool never(size_t frame)
{
    (void)frame;
    return false;
}

static bool tenth(size_t frame)
{
    return frame % 10 == 9;
}

static bool burst(size_t frame)
{
    return frame >= 20 && frame < 25;
}

static void good_frames_are_untouched(void **state)
{
    (void)state;
    voice_make(8000, 100, 200);
    play(8000, never);
    assert_memory_equal(heard, voice, sizeof(voice));
}

static void a_steady_voice_goes_on(void **state)
{
    (void)state;
    static const uint32_t RATES[] = {8000, 16000}, PITCHES[] = {80, 125, 200, 250, 320};
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < 5; i++) {
            size_t frame = RATES[r] / 50;
            voice_make(RATES[r], PITCHES[i], PITCHES[i]);
            play(RATES[r], tenth);
            /* The first 10 ms, before the fade: within -14 dB of what was lost. */
            for (size_t k = 9; k < 50; k += 10)
                assert_true(error_of(k * frame, k * frame + frame / 2) * 25 <
                            energy_of(voice, k * frame, k * frame + frame / 2));
        }
}

static void a_gliding_voice_is_better_than_silence(void **state)
{
    int64_t error = 0, silence = 0;

    (void)state;
    voice_make(8000, 110, 180);
    play(8000, tenth);
    for (size_t k = 9; k < 100; k += 10) {
        error += error_of(k * 160, k * 160 + 160);
        silence += energy_of(voice, k * 160, k * 160 + 160);
    }
    assert_true(error * 4 < silence); /* 6 dB */
}

static int jump_max(const int16_t *pcm, size_t from, size_t to)
{
    int most = 0;

    for (size_t i = from + 1; i < to; i++)
        most = abs(pcm[i] - pcm[i - 1]) > most ? abs(pcm[i] - pcm[i - 1]) : most;
    return most;
}

static void nothing_clicks(void **state)
{
    (void)state;
    static const uint32_t RATES[] = {8000, 16000};
    for (size_t r = 0; r < 2; r++)
        for (uint32_t hz = 70; hz < 350; hz += 7) {
            voice_make(RATES[r], hz, hz + 40);
            play(RATES[r], tenth);
            assert_true(jump_max(heard, 0, SAMPLES) <= 2 * jump_max(voice, 0, SAMPLES));
            play(RATES[r], burst);
            assert_true(jump_max(heard, 0, SAMPLES) <= 2 * jump_max(voice, 0, SAMPLES));
        }
}

static void a_long_loss_fades_to_silence(void **state)
{
    (void)state;
    voice_make(8000, 125, 125);
    play(8000, burst); /* 100 ms */
    int64_t before = energy_of(heard, 18 * 160, 19 * 160);
    assert_true(energy_of(heard, 20 * 160, 20 * 160 + 80) > before / 4);
    for (size_t ms = 20; ms < 60; ms += 10)
        assert_true(energy_of(heard, 20 * 160 + ms * 8 + 80, 20 * 160 + ms * 8 + 160) <=
                    energy_of(heard, 20 * 160 + ms * 8, 20 * 160 + ms * 8 + 80));
    assert_int_equal(energy_of(heard, 23 * 160, 25 * 160), 0);
    /* And the voice is back, blended in within 10 ms. */
    assert_int_equal(error_of(25 * 160 + 80, SAMPLES), 0);
}

static void silence_stays_silent(void **state)
{
    struct plc p;
    int16_t out[700];

    (void)state;
    plc_init(&p, 16000);
    for (int i = 0; i < 10; i++) {
        plc_conceal(&p, out, 700); /* before anything came, of any length */
        for (size_t k = 0; k < 700; k++)
            assert_int_equal(out[k], 0);
    }
    memset(out, 0, sizeof(out));
    plc_good(&p, out, 700);
    plc_good(&p, out, 0);
    plc_conceal(&p, out, 0);
    assert_int_equal(p.lost, 0);
    assert_int_equal(p.concealed, 7000);
}

/* Full-scale noise in pieces of any size: no overflow (the sanitisers watch), and the same bits
 * under every compiler: the hash was taken once and must not depend on who compiles. */
static void bits_do_not_depend_on_the_compiler(void **state)
{
    struct rand rand = {2024};
    uint64_t hash = UINT64_C(14695981039346656037);
    struct plc p;
    int16_t pcm[480];

    (void)state;
    for (uint32_t rate_hz = 8000; rate_hz <= 16000; rate_hz += 8000) {
        plc_init(&p, rate_hz);
        for (int i = 0; i < 300; i++) {
            size_t samples = 1 + rand_below(&rand, 480);
            uint32_t kind = rand_below(&rand, 4);
            for (size_t k = 0; k < samples; k++)
                pcm[k] = kind == 0   ? (int16_t)rand_u64(&rand)
                         : kind == 1 ? (k / 30 % 2 ? INT16_MAX : INT16_MIN)
                                     : (int16_t)(rand_below(&rand, 20) - 10);
            if (rand_chance(&rand, 400))
                plc_conceal(&p, pcm, samples);
            else
                plc_good(&p, pcm, samples);
            for (size_t k = 0; k < samples; k++)
                hash = (hash ^ (uint16_t)pcm[k]) * UINT64_C(1099511628211);
        }
    }
    assert_int_equal(hash, UINT64_C(0x2f679230cdb3f93a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_frames_are_untouched),
        cmocka_unit_test(a_steady_voice_goes_on),
        cmocka_unit_test(a_gliding_voice_is_better_than_silence),
        cmocka_unit_test(nothing_clicks),
        cmocka_unit_test(a_long_loss_fades_to_silence),
        cmocka_unit_test(silence_stays_silent),
        cmocka_unit_test(bits_do_not_depend_on_the_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
