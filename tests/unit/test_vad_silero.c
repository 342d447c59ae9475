/* The neural VAD against probabilities that the vendor's model gave, in its own runtime, for the
 * same recording (tests/data/README.md), on both paths and for both rates; and the weights file:
 * good, missing, cut, altered. Needs data/vad, which tools/get-weights makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/cpu.h"
#include "media/vad_silero.h"

#define SAMPLES_MAX 100000
#define WINDOWS_MAX 200
#define TOLERANCE   1e-4
#define LEGS_MAX    (2 * VAD_SILERO_BATCH + 3)
#define ROUNDS      12 /* windows of each leg in a batch */

struct recording {
    struct vad_weights weights;
    int16_t pcm[SAMPLES_MAX];
    size_t samples;
    float expected[WINDOWS_MAX];
    size_t windows;
};

static struct recording recordings[2]; /* 8 and 16 kHz */
static _Alignas(64) uint8_t file_bytes[VAD_WEIGHTS_BYTES_MAX];

static size_t load(const char *path, void *to, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file) {
        fail_msg("%s cannot be read; tools/get-weights makes data/vad", path);
        return 0;
    }
    n = fread(to, 1, size, file);
    (void)fclose(file);
    return n;
}

static void load_expected(struct recording *r, const char *path)
{
    char text[8192];
    size_t n = load(path, text, sizeof text - 1);
    char *at = text, *end;

    text[n] = 0;
    for (float v = strtof(at, &end); end != at; v = strtof(at, &end)) {
        assert_true(r->windows < WINDOWS_MAX);
        r->expected[r->windows++] = v;
        at = end;
    }
}

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct recording *r = &recordings[i];
        const char *rate = i ? "16k" : "8k";
        char path[512];

        (void)snprintf(path, sizeof path, SOURCE_DIR "/data/vad/silero_v6_%s.bin", rate);
        if (vad_weights_open(&r->weights, path))
            fail_msg("%s: run tools/get-weights first", path);
        (void)snprintf(path, sizeof path, SOURCE_DIR "/tests/data/vad_%s.s16", rate);
        r->samples = load(path, r->pcm, sizeof r->pcm) / sizeof r->pcm[0];
        (void)snprintf(path, sizeof path, SOURCE_DIR "/tests/data/vad_%s.expected", rate);
        load_expected(r, path);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vad_weights_close(&recordings[0].weights);
    vad_weights_close(&recordings[1].weights);
    assert_null(recordings[0].weights.lstm);
    return 0;
}

/* Feeds the recording in frames of `step` samples; returns the windows it made. */
static size_t run_all(const struct recording *r, enum media_code code, size_t step, float *out)
{
    struct vad_silero s;
    size_t windows = 0, at = 0;

    vad_silero_init(&s, &r->weights);
    s.code = s.code < code ? s.code : (uint8_t)code;
    while (at < r->samples) {
        size_t left = r->samples - at < step ? r->samples - at : step;

        while (left) {
            size_t taken = vad_silero_feed(&s, r->pcm + at, left);

            at += taken;
            left -= taken;
            if (vad_silero_full(&s))
                out[windows++] = vad_silero_run(&s);
        }
    }
    return windows;
}

static double worst(const float *a, const float *b, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fabs((double)a[i] - (double)b[i]) > most ? fabs((double)a[i] - (double)b[i]) : most;
    return most;
}

static void probabilities_match_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct recording *r = &recordings[i];
        float out[WINDOWS_MAX];

        assert_true(r->windows > 100);
        for (enum media_code code = MEDIA_PLAIN; code <= media_best(); code++) {
            assert_int_equal(run_all(r, code, r->weights.rate_hz / 50, out), r->windows);
            print_message("%u Hz, code %d: furthest from the reference %.1e\n", r->weights.rate_hz,
                          (int)code, worst(out, r->expected, r->windows));
            assert_true(worst(out, r->expected, r->windows) < TOLERANCE);
        }
    }
}

/* Legs that are at different places of the recording, judged together; each of them listens on its
 * own beside. */
static void run_together(const struct recording *r, enum media_code code, size_t legs)
{
    static struct vad_silero states[LEGS_MAX], alone[LEGS_MAX];
    struct vad_silero *at[LEGS_MAX];
    float together[LEGS_MAX], one;

    for (size_t k = 0; k < legs; k++) {
        vad_silero_init(at[k] = &states[k], &r->weights);
        vad_silero_init(&alone[k], &r->weights);
        states[k].code = alone[k].code = (uint8_t)code;
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t k = 0; k < legs; k++) {
            const int16_t *pcm = r->pcm + (round + 3 * k) * states[k].window;
            assert_int_equal(vad_silero_feed(&states[k], pcm, SAMPLES_MAX), states[k].window);
            assert_int_equal(vad_silero_feed(&alone[k], pcm, SAMPLES_MAX), states[k].window);
        }
        vad_silero_run_all(at, legs, together);
        for (size_t k = 0; k < legs; k++) {
            one = vad_silero_run(&alone[k]);
            assert_memory_equal(&one, &together[k], sizeof one);
            assert_memory_equal(&alone[k], &states[k], sizeof alone[k]);
        }
    }
}

static void a_batch_gives_to_the_bit_what_each_leg_gives_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (enum media_code code = MEDIA_PLAIN; code <= media_best(); code++)
            for (size_t legs = 1; legs <= LEGS_MAX; legs++)
                run_together(&recordings[i], code, legs);
}

static void the_reference_holds_speech_and_silence(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t speech = 0;

        for (size_t k = 0; k < recordings[i].windows; k++)
            speech += recordings[i].expected[k] > 0.5f;
        assert_in_range(speech, 80, 160);
    }
}

static void frame_lengths_do_not_matter(void **state)
{
    static const size_t steps[] = {1, 7, 80, 160, 512, 800, 5000};
    float once[WINDOWS_MAX], again[WINDOWS_MAX];

    (void)state;
    run_all(&recordings[0], media_best(), 160, once);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(run_all(&recordings[0], media_best(), steps[i], again),
                         recordings[0].windows);
        assert_memory_equal(once, again, recordings[0].windows * sizeof once[0]);
    }
}

static void loud_and_constant_input_stays_a_probability(void **state)
{
    static int16_t pcm[512];
    struct vad_silero s;

    (void)state;
    vad_silero_init(&s, &recordings[1].weights);
    for (int round = 0; round < 60; round++) {
        float p;

        for (int i = 0; i < 512; i++)
            pcm[i] = round < 20 ? -32768 : i % 2 ? 32767 : -32768;
        assert_int_equal(vad_silero_feed(&s, pcm, 512), 512);
        p = vad_silero_run(&s);
        assert_true(p >= 0 && p <= 1);
    }
}

static void skipping_moves_the_window_and_keeps_the_memory(void **state)
{
    const struct recording *r = &recordings[0];
    struct vad_silero s, before;

    (void)state;
    vad_silero_init(&s, &r->weights);
    assert_int_equal(vad_silero_feed(&s, r->pcm, 256), 256);
    assert_int_equal(vad_silero_feed(&s, r->pcm, 256), 0);
    (void)vad_silero_run(&s);
    assert_true(s.cell[0] != 0.0f);
    before = s;
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(vad_silero_feed(&s, r->pcm + i * 256, 1000), 256);
        vad_silero_skip(&s);
        assert_memory_equal(s.samples, r->pcm + i * 256 + 224, 64);
        assert_memory_equal(s.cell, before.cell, sizeof s.cell);
        assert_memory_equal(s.hidden, before.hidden, sizeof s.hidden);
    }
}

/* ---- the file ---- */
static size_t read_file(void)
{
    return load(SOURCE_DIR "/data/vad/silero_v6_8k.bin", file_bytes, sizeof file_bytes);
}

static int parse(size_t len)
{
    struct vad_weights w;
    int error = vad_weights_parse(&w, slice_of(file_bytes, len));

    assert_int_equal(w.lstm == NULL, error != 0);
    return error;
}

static void a_damaged_file_is_refused(void **state)
{
    size_t len = read_file();

    (void)state;
    assert_int_equal(parse(len), 0);
    for (size_t cut = 0; cut < 70; cut++)
        assert_int_equal(parse(cut), -EINVAL);
    assert_int_equal(parse(len - 1), -EINVAL);
    assert_int_equal(parse(len - 64), -EINVAL);
    assert_int_equal(parse(len + 4), -EINVAL);
    file_bytes[len / 2] ^= 1;
    assert_int_equal(parse(len), -EBADMSG);
    file_bytes[len / 2] ^= 1;
    file_bytes[0] ^= 1;
    assert_int_equal(parse(len), -EINVAL);
    file_bytes[0] ^= 1;
    file_bytes[8]++;
    assert_int_equal(parse(len), -ENOTSUP);
    file_bytes[8]--;
    file_bytes[12] ^= 0x80; /* the rate */
    assert_int_equal(parse(len), -ENOTSUP);
    file_bytes[12] ^= 0x80;
    file_bytes[20]++; /* bins */
    assert_int_equal(parse(len), -EINVAL);
}

static void a_missing_or_foreign_file_is_an_error(void **state)
{
    struct vad_weights w;

    (void)state;
    assert_int_equal(vad_weights_open(&w, SOURCE_DIR "/data/vad/none.bin"), -ENOENT);
    assert_int_equal(vad_weights_open(&w, SOURCE_DIR "/CMakeLists.txt"), -EINVAL);
    assert_int_equal(vad_weights_open(&w, "/dev/null"), -EINVAL);
    vad_weights_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_match_the_reference),
        cmocka_unit_test(a_batch_gives_to_the_bit_what_each_leg_gives_alone),
        cmocka_unit_test(the_reference_holds_speech_and_silence),
        cmocka_unit_test(frame_lengths_do_not_matter),
        cmocka_unit_test(loud_and_constant_input_stays_a_probability),
        cmocka_unit_test(skipping_moves_the_window_and_keeps_the_memory),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(a_missing_or_foreign_file_is_an_error),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
