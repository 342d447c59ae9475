/* The resampler: both paths bit for bit on noise at full scale, any cutting into frames, the exact
 * delay, and what it does to tones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "media/resample.h"

#define SECOND_MAX 48000

struct rates {
    uint32_t in, out;
    uint32_t delay; /* output samples */
};

static const struct rates pairs[] = {{8000, 16000, 32},  {16000, 8000, 16},  {24000, 8000, 16},
                                     {24000, 16000, 16}, {16000, 24000, 24}, {48000, 16000, 16},
                                     {16000, 48000, 48}, {48000, 8000, 16},  {8000, 48000, 96}};

static int16_t in[SECOND_MAX], out[SECOND_MAX + 64], other[SECOND_MAX + 64];

static void noise(uint64_t seed, size_t n, bool extreme)
{
    struct rand r = {.state = seed};

    for (size_t i = 0; i < n; i++) {
        uint64_t v = rand_u64(&r);

        in[i] = extreme ? (v & 1 ? INT16_MAX : INT16_MIN) : (int16_t)(v >> 40);
    }
}

static void both_paths_agree_on_noise(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct resample fast, plain;
            size_t n = pairs[i].in / 10 + seed * 7, count;

            noise(seed, n, seed & 1);
            assert_int_equal(resample_init(&fast, pairs[i].in, pairs[i].out), 0);
            plain = fast;
            plain.fast = false;
            count = resample_run(&fast, out, in, n);
            assert_int_equal(resample_run(&plain, other, in, n), count);
            assert_memory_equal(out, other, count * sizeof out[0]);
            assert_memory_equal(fast.history, plain.history, sizeof fast.history);
        }
}

static void frames_of_any_length_give_the_same(void **state)
{
    struct rand r = {.state = 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct resample whole, cut;
        size_t n = pairs[i].in / 5, count, done = 0, at = 0;

        noise(i, n, false);
        assert_int_equal(resample_init(&whole, pairs[i].in, pairs[i].out), 0);
        cut = whole;
        count = resample_run(&whole, out, in, n);
        while (at < n) {
            size_t piece = rand_below(&r, rand_below(&r, 4) ? 20 : 2000);
            size_t expected;

            piece = piece < n - at ? piece : n - at;
            expected = resample_count(&cut, piece);
            assert_int_equal(resample_run(&cut, other + done, in + at, piece), expected);
            done += expected;
            at += piece;
        }
        assert_int_equal(done, count);
        assert_memory_equal(out, other, count * sizeof out[0]);
    }
}

static void twenty_milliseconds_stay_twenty(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct resample r;

        assert_int_equal(resample_init(&r, pairs[i].in, pairs[i].out), 0);
        for (int frame = 0; frame < 5; frame++) {
            out[pairs[i].out / 50] = 0x5A5A;
            assert_int_equal(resample_run(&r, out, in, pairs[i].in / 50), pairs[i].out / 50);
            assert_int_equal(out[pairs[i].out / 50], 0x5A5A);
        }
    }
}

/* One click comes out about its own place plus the delay, the same on both sides of it. */
static void the_delay_is_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct resample r;
        size_t at = pairs[i].out / 100 + pairs[i].delay;

        assert_int_equal(resample_init(&r, pairs[i].in, pairs[i].out), 0);
        assert_int_equal(resample_delay(&r), pairs[i].delay);
        memset(in, 0, sizeof in);
        in[pairs[i].in / 100] = 30000;
        (void)resample_run(&r, out, in, pairs[i].in / 25);
        for (size_t k = 1; k <= pairs[i].delay; k++) {
            assert_in_range(out[at - k] - out[at + k] + 1, 0, 2);
            assert_true(out[at - k] < out[at]);
        }
        resample_reset(&r);
        memset(in, 0, sizeof in);
        (void)resample_run(&r, out, in, pairs[i].in / 25);
        for (size_t k = 0; k < pairs[i].out / 25; k++)
            assert_int_equal(out[k], 0);
    }
}

/* ---- tones ---- */
static void tone(const struct rates *p, double hz, double amplitude)
{
    struct resample r;

    for (size_t i = 0; i < p->in; i++)
        in[i] = (int16_t)lrint(amplitude * sin(2 * M_PI * hz * (double)i / p->in));
    assert_int_equal(resample_init(&r, p->in, p->out), 0);
    assert_int_equal(resample_run(&r, out, in, p->in), p->out);
}

/* Power of the part of the last half second that is a sine of `hz`, and of all of it. */
static double sine_power(const struct rates *p, double hz, double *all)
{
    size_t n = p->out / 2;
    double re = 0, im = 0;

    *all = 0;
    for (size_t i = 0; i < n; i++) {
        double v = out[n + i], turn = 2 * M_PI * hz * (double)i / p->out;

        re += v * cos(turn);
        im += v * sin(turn);
        *all += v * v / (double)n;
    }
    return 2 * (re * re + im * im) / (double)n / (double)n;
}

static double db(double ratio)
{
    return 10 * log10(ratio + 1e-20);
}

static double low_of(const struct rates *p)
{
    return p->in < p->out ? p->in : p->out;
}

static void a_tone_in_the_pass_band_keeps_level_and_purity(void **state)
{
    const double amplitude = 16000, sent = amplitude * amplitude / 2;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct rates *p = &pairs[i];
        double edge = low_of(p) * 3.4 / 8, all, power;

        tone(p, 1000, amplitude);
        power = sine_power(p, 1000, &all);
        print_message("%5u to %5u Hz: 1 kHz %.2f dB, noise and images %.1f dB below", p->in, p->out,
                      db(power / sent), db(power / (all - power)));
        assert_true(fabs(db(power / sent)) < 0.05);
        assert_true(db(power / (all - power)) > 75);
        tone(p, edge, amplitude);
        power = sine_power(p, edge, &all);
        print_message("; %.0f Hz %.2f dB, its images %.1f dB below\n", edge, db(power / sent),
                      db(power / (all - power)));
        assert_true(db(power / sent) > -0.5);
        assert_true(db(power / (all - power)) > 70);
    }
}

static void what_would_alias_is_taken_out(void **state)
{
    const double amplitude = 32000, sent = amplitude * amplitude / 2;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct rates *p = &pairs[i];
        double low = low_of(p), all;

        if (p->in < p->out)
            continue;
        for (double hz = low * 4.6 / 8; hz < p->in / 2.0; hz += low / 37) {
            tone(p, hz, amplitude);
            (void)sine_power(p, 1000, &all);
            assert_true(db(all / sent) < -70);
        }
    }
}

static int16_t one_output(const struct rates *p, bool fast, size_t at)
{
    struct resample r;

    assert_int_equal(resample_init(&r, p->in, p->out), 0);
    r.fast = r.fast && fast;
    (void)resample_run(&r, out, in, p->in / 50);
    return out[at];
}

/* Input at full scale that follows the signs of the taps under one output: the largest sum that
 * there can be, more than twice full scale. It has to clip; a sum that wrapped would not. */
static void the_worst_input_clips_and_never_wraps(void **state)
{
    int16_t signs[SECOND_MAX / 50];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        for (size_t at = pairs[i].out / 50 - 6; at < pairs[i].out / 50; at++) {
            size_t n = pairs[i].in / 50;

            memset(in, 0, sizeof in);
            for (size_t k = 0; k < n; k++) {
                in[k] = INT16_MAX;
                signs[k] = one_output(&pairs[i], true, at);
                in[k] = 0;
            }
            for (size_t k = 0; k < n; k++)
                in[k] = signs[k] < 0 ? INT16_MIN : INT16_MAX;
            assert_int_equal(one_output(&pairs[i], true, at), INT16_MAX);
            assert_int_equal(one_output(&pairs[i], false, at), INT16_MAX);
            for (size_t k = 0; k < n; k++)
                in[k] = signs[k] < 0 ? INT16_MAX : INT16_MIN;
            assert_int_equal(one_output(&pairs[i], true, at), INT16_MIN);
            assert_int_equal(one_output(&pairs[i], false, at), INT16_MIN);
        }
}

static void equal_rates_copy_and_others_are_refused(void **state)
{
    struct resample r;

    (void)state;
    noise(1, 333, false);
    assert_int_equal(resample_init(&r, 44100, 44100), 0);
    assert_int_equal(resample_count(&r, 333), 333);
    assert_int_equal(resample_run(&r, out, in, 333), 333);
    assert_memory_equal(in, out, 333 * sizeof in[0]);
    assert_int_equal(resample_delay(&r), 0);
    assert_int_equal(resample_init(&r, 8000, 24000), -EINVAL);
    assert_int_equal(resample_init(&r, 44100, 8000), -EINVAL);
    assert_int_equal(resample_init(&r, 0, 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_paths_agree_on_noise),
        cmocka_unit_test(frames_of_any_length_give_the_same),
        cmocka_unit_test(twenty_milliseconds_stay_twenty),
        cmocka_unit_test(the_delay_is_what_it_says),
        cmocka_unit_test(a_tone_in_the_pass_band_keeps_level_and_purity),
        cmocka_unit_test(what_would_alias_is_taken_out),
        cmocka_unit_test(the_worst_input_clips_and_never_wraps),
        cmocka_unit_test(equal_rates_copy_and_others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
