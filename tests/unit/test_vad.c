/* The door to voice activity: hysteresis to the sample with given probabilities, and both
 * detectors on the recording whose speech is known. Needs data/vad, which tools/get-weights
 * makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "media/vad.h"
#include "tests/unit/vad_data.h"

#define FRAME 160 /* 20 ms at 8 kHz */

static struct vad_silero network; /* each case has one detector at a time */

static struct vad_config config_of(enum vad_kind kind, int rate)
{
    return (struct vad_config){.kind = kind,
                               .rate_hz = rate ? 16000 : 8000,
                               .confidence = VAD_CONFIDENCE,
                               .start_ms = VAD_START_MS,
                               .stop_ms = VAD_STOP_MS,
                               .volume_min = VAD_VOLUME_MIN,
                               .gate_db = VAD_GATE_DB,
                               .weights = &weights[rate],
                               .network = &network};
}

/* ---- hysteresis ---- */
static struct vad_result push(struct vad *v, uint16_t per_mille, int frames)
{
    struct vad_result result = {0};

    for (int i = 0; i < frames; i++)
        vad_push(v, per_mille, FRAME, &result);
    return result;
}

static void scripted(struct vad *v, int64_t sample)
{
    struct vad_config config = config_of(VAD_SCRIPT, 0);

    assert_int_equal(vad_init(v, &config, sample), 0);
}

static void speech_starts_after_start_ms_and_stops_after_stop_ms(void **state)
{
    struct vad v;
    struct vad_result r;

    (void)state;
    scripted(&v, 1000000);
    assert_false(push(&v, 299, 50).voiced);
    assert_false(push(&v, 300, 4).speaking);
    r = push(&v, 300, 1); /* 100 ms */
    assert_int_equal(r.change, VAD_STARTED);
    assert_true(r.speaking);
    assert_int_equal(r.first_sample, 1000000 + 50 * FRAME);
    assert_int_equal(r.last_sample, 1000000 + 55 * FRAME);
    r = push(&v, 900, 10);
    assert_int_equal(r.change, VAD_SAME);
    assert_int_equal(r.last_sample, 1000000 + 65 * FRAME);
    assert_true(push(&v, 0, 19).speaking);
    r = push(&v, 0, 1); /* 400 ms */
    assert_int_equal(r.change, VAD_STOPPED);
    assert_false(r.speaking);
    assert_int_equal(r.last_sample, 1000000 + 65 * FRAME);
    assert_int_equal(push(&v, 0, 1).change, VAD_SAME);
}

static void a_pause_shorter_than_stop_ms_does_not_stop(void **state)
{
    struct vad v;
    struct vad_result r;

    (void)state;
    scripted(&v, 0);
    assert_int_equal(push(&v, 1000, 5).change, VAD_STARTED);
    for (int i = 0; i < 10; i++) {
        assert_true(push(&v, 0, 19).speaking);
        assert_true(push(&v, 1000, 1).speaking);
    }
    r = push(&v, 0, 20);
    assert_int_equal(r.change, VAD_STOPPED);
    assert_int_equal(r.last_sample, (5 + 10 * 20) * FRAME);
    assert_int_equal(r.first_sample, 0);
}

static void a_dip_at_the_onset_delays_and_clicks_never_start(void **state)
{
    struct vad v;

    (void)state;
    scripted(&v, 0);
    push(&v, 1000, 4);
    push(&v, 0, 1);
    assert_int_equal(push(&v, 1000, 1).change, VAD_SAME);
    assert_int_equal(push(&v, 1000, 1).change, VAD_STARTED);
    assert_int_equal(v.now.first_sample, 0);
    scripted(&v, 0);
    for (int i = 0; i < 100; i++) {
        push(&v, 1000, 2);
        assert_false(push(&v, 0, 3).speaking);
    }
}

static void a_voice_known_to_be_over_stops_after_less_silence(void **state)
{
    struct vad v;
    struct vad_result r;

    (void)state;
    scripted(&v, 0);
    vad_over(&v, 0, &r); /* nobody speaks */
    assert_int_equal(r.change, VAD_SAME);
    assert_int_equal(push(&v, 1000, 10).change, VAD_SAME);
    vad_over(&v, 100, &r);
    assert_int_equal(r.change, VAD_SAME);
    assert_true(push(&v, 0, 4).speaking);
    r = push(&v, 0, 1); /* 100 ms */
    assert_int_equal(r.change, VAD_STOPPED);
    assert_int_equal(r.last_sample, 10 * FRAME);
    assert_int_equal(push(&v, 1000, 1).change, VAD_STARTED); /* it goes on after all */
    assert_true(push(&v, 0, 5).speaking);                    /* and is not over any more */
    vad_over(&v, 100, &r);
    assert_int_equal(r.change, VAD_STOPPED); /* the silence is there already */
    assert_int_equal(r.last_sample, 16 * FRAME);
    push(&v, 1000, 1);
    vad_over(&v, 600, &r); /* never more than without it */
    assert_true(push(&v, 0, 19).speaking);
    assert_int_equal(push(&v, 0, 1).change, VAD_STOPPED);
}

static void a_voice_that_goes_on_is_not_over(void **state)
{
    struct vad v;
    struct vad_result r;

    (void)state;
    scripted(&v, 0);
    push(&v, 1000, 10);
    vad_over(&v, 100, &r);
    push(&v, 1000, 1);
    assert_true(push(&v, 0, 19).speaking);
    assert_int_equal(push(&v, 0, 1).change, VAD_STOPPED);
}

/* A short pause in a sentence: the voice that goes on need not prove itself again. */
static void a_voice_that_goes_on_starts_at_once(void **state)
{
    struct vad v;

    (void)state;
    scripted(&v, 0);
    push(&v, 900, 20);
    assert_int_equal(push(&v, 0, 21).change, VAD_SAME);
    push(&v, 0, 10); /* stopped by now, 620 ms after the voice */
    assert_false(v.now.speaking);
    assert_int_equal(push(&v, 900, 1).change, VAD_STARTED);
    push(&v, 0, 40);
    assert_false(v.now.speaking);
    assert_int_equal(push(&v, 900, 1).change, VAD_SAME); /* after 800 ms it is another one */
    push(&v, 900, 3);
    assert_int_equal(push(&v, 900, 1).change, VAD_STARTED);
}

/* A voice from 2300 to 3200 ms, heard in its place from 2000 to 3600 ms: 24 dB below it. */
static const int16_t *voice_in_its_place(size_t *samples)
{
    static int16_t pcm[8000 * 5];
    struct rand rand = {9};

    for (size_t i = 0; i < ARRAY_LEN(pcm); i++) {
        size_t ms = i / 8;
        bool place = ms >= 2000 && ms < 3600, voice = ms >= 2300 && ms < 3200;
        int32_t noise = (int32_t)rand_below(&rand, 2001) - 1000;
        pcm[i] = (int16_t)((voice ? (int32_t)(i % 64) * 500 - 16000 : 0) +
                           (place ? noise : noise / 200));
    }
    *samples = ARRAY_LEN(pcm);
    return pcm;
}

/* Counts the starts. */
static unsigned listen_to(struct vad *v, const int16_t *pcm, size_t samples, struct vad_result *r)
{
    unsigned starts = 0;

    for (size_t at = 0; at < samples;) {
        at += vad_step(v, pcm + at, samples - at, r);
        starts += r->change == VAD_STARTED;
    }
    return starts;
}

/* The place where a caller speaks is heard around the sentence and nowhere else on the line. */
static void the_noise_around_a_voice_is_not_its_end(void **state)
{
    struct vad_config config = config_of(VAD_ENERGY, 0);
    struct vad_result r;
    struct vad v;
    size_t samples;
    const int16_t *pcm = voice_in_its_place(&samples);

    (void)state;
    config.stop_ms = 120;
    assert_int_equal(vad_init(&v, &config, 0), 0);
    assert_int_equal(listen_to(&v, pcm, samples, &r), 1);
    assert_false(r.speaking);
    assert_in_range(r.last_sample, 3180 * 8, 3220 * 8);
}

/* What is voiced and yet no voice holds speech up, until the owner knows better. */
static void a_voice_known_to_be_over_stops_in_noise(void **state)
{
    struct vad_config config = config_of(VAD_ENERGY, 0);
    struct vad_result r;
    struct vad v;
    size_t samples, until = 3400 * 8;
    const int16_t *pcm = voice_in_its_place(&samples);

    (void)state;
    config.stop_ms = 120;
    assert_int_equal(vad_init(&v, &config, 0), 0);
    assert_int_equal(listen_to(&v, pcm, until, &r), 1);
    assert_true(r.speaking && r.voiced);
    vad_over(&v, 250, &r);
    assert_int_equal(r.change, VAD_STOPPED);
    assert_in_range(r.last_sample, 3180 * 8, 3220 * 8);
    assert_int_equal(listen_to(&v, pcm + until, samples - until, &r), 0);
    assert_int_equal(vad_init(&v, &config, 0), 0);
    listen_to(&v, pcm, 3250 * 8, &r);
    vad_over(&v, 100, &r);
    assert_int_equal(r.change, VAD_SAME); /* too early by some 50 ms, in which nothing is voice */
    listen_to(&v, pcm + 3250 * 8, 80 * 8, &r);
    assert_false(r.speaking);
}

static void wrong_configurations_are_refused(void **state)
{
    struct vad_config good = config_of(VAD_SILERO, 0), bad;
    struct vad v;

    (void)state;
    assert_int_equal(vad_init(&v, &good, 0), 0);
    bad = good;
    bad.rate_hz = 24000;
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad = good;
    bad.confidence = 0;
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad.confidence = 1001;
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad = good;
    bad.weights = &weights[1];
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad.weights = NULL;
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad = good;
    bad.network = NULL;
    assert_int_equal(vad_init(&v, &bad, 0), -EINVAL);
    bad.kind = VAD_ENERGY;
    assert_int_equal(vad_init(&v, &bad, 0), 0);
}

/* ---- the recording ---- */
struct heard {
    int64_t first_ms, last_ms, started_ms, stopped_ms;
};

static size_t listen(const struct vad_config *config, int rate, size_t step, struct heard *heard,
                     struct vad *v)
{
    size_t count = 0, at = 0;
    int64_t per_ms = config->rate_hz / 1000;

    memset(heard, 0, 4 * sizeof *heard);
    assert_int_equal(vad_init(v, config, 0), 0);
    while (at < recorded[rate]) {
        size_t n = recorded[rate] - at < step ? recorded[rate] - at : step;
        struct vad_result r;

        at += vad_step(v, recording[rate] + at, n, &r);
        assert_int_equal(v->at, at);
        assert_true(count < 4);
        if (r.change == VAD_STARTED) {
            heard[count].first_ms = r.first_sample / per_ms;
            heard[count].started_ms = v->at / per_ms;
        } else if (r.change == VAD_STOPPED) {
            heard[count].last_ms = r.last_sample / per_ms;
            heard[count++].stopped_ms = v->at / per_ms;
        }
    }
    return count;
}

static void check_near(int64_t value, int64_t truth, int64_t tolerance)
{
    assert_in_range(value - truth + tolerance, 0, 2 * tolerance);
}

static void both_detectors_find_the_speech(void **state)
{
    static const struct heard truth[] = {{.first_ms = 400, .last_ms = 3460},
                                         {.first_ms = 4160, .last_ms = 4922}};

    (void)state;
    for (int kind = VAD_ENERGY; kind <= VAD_SILERO; kind++)
        for (int rate = 0; rate < 2; rate++) {
            struct vad_config config = config_of((enum vad_kind)kind, rate);
            struct heard heard[4];
            struct vad v;
            size_t count = listen(&config, rate, config.rate_hz / 50, heard, &v);

            for (size_t i = 0; i < count; i++)
                print_message("%s %u: speech %d..%d ms, told at %d and %d\n",
                              kind ? "neural" : "energy", config.rate_hz, (int)heard[i].first_ms,
                              (int)heard[i].last_ms, (int)heard[i].started_ms,
                              (int)heard[i].stopped_ms);
            assert_int_equal(count, 2);
            for (size_t i = 0; i < count; i++) {
                check_near(heard[i].first_ms, truth[i].first_ms, 40);
                check_near(heard[i].last_ms, truth[i].last_ms, 60);
                assert_in_range(heard[i].started_ms - truth[i].first_ms, 0, 250);
                assert_in_range(heard[i].stopped_ms - truth[i].last_ms, 300, 500);
            }
        }
}

/* On a line that is silent otherwise, with the noise of the place where one speaks: what a detector
 * says of a sentence of tests/data that begins `lead` samples into it. */
static struct vad_result hear_sentence(const char *name, size_t lead, unsigned *starts)
{
    enum { LEAD_MAX = 24000, TAIL = 8000 };
    static int16_t line[LEAD_MAX + SAMPLES_MAX + TAIL];
    struct vad_config config = config_of(VAD_SILERO, 0);
    struct vad_result r = {0}, last = {0};
    struct vad v;
    char path[512];

    (void)snprintf(path, sizeof path, SOURCE_DIR "/tests/data/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_in_range(lead, 0, LEAD_MAX);
    memset(line, 0, sizeof line);
    size_t count = lead + fread(line + lead, sizeof line[0], SAMPLES_MAX, file) + TAIL;
    (void)fclose(file);
    assert_int_equal(vad_init(&v, &config, 0), 0);
    *starts = 0;
    for (size_t at = 0; at < count; at += vad_step(&v, line + at, count - at, &r)) {
        *starts += r.change == VAD_STARTED;
        last = r.change == VAD_STOPPED ? r : last;
    }
    return last;
}

static void a_final_hiss_belongs_to_the_voice(void **state)
{
    enum { LEAD = 8000, LAST = 16119, PER_MS = 8 };
    unsigned starts;
    int64_t last = hear_sentence("vad_hiss_8k.s16", LEAD, &starts).last_sample - LEAD;

    (void)state;
    print_message("the end of a hiss: told %d ms off\n", (int)((last - LAST) / PER_MS));
    check_near(last / PER_MS, LAST / PER_MS, 30);
}

/* Wherever the network's windows fall on it. */
static void a_short_no_is_heard(void **state)
{
    unsigned starts, heard = 0, phases = 0;

    (void)state;
    for (size_t lead = 20000; lead < 20256; lead += 4, phases++) {
        (void)hear_sentence("vad_no_8k.s16", lead, &starts);
        heard += starts >= 1;
    }
    print_message("a short no: heard in %u of %u\n", heard, phases);
    assert_int_equal(heard, phases);
}

static void frames_of_any_length_give_the_same(void **state)
{
    static const size_t steps[] = {1, 33, 80, 256, 800, SAMPLES_MAX};

    (void)state;
    for (int kind = VAD_ENERGY; kind <= VAD_SILERO; kind++) {
        struct vad_config config = config_of((enum vad_kind)kind, 0);
        struct heard once[4], again[4];
        struct vad v;

        listen(&config, 0, FRAME, once, &v);
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            assert_int_equal(listen(&config, 0, steps[i], again, &v), 2);
            assert_memory_equal(once, again, sizeof once);
        }
    }
}

static void the_gate_rests_the_network_and_changes_nothing(void **state)
{
    (void)state;
    for (int rate = 0; rate < 2; rate++) {
        struct vad_config config = config_of(VAD_SILERO, rate);
        struct heard gated[4], always[4];
        struct vad v;
        uint32_t windows;

        listen(&config, rate, config.rate_hz / 50, gated, &v);
        windows = v.windows_run + v.windows_skipped;
        print_message("%u: %u of %u windows skipped\n", config.rate_hz, v.windows_skipped, windows);
        assert_int_equal(windows, recorded[rate] / network.window);
        assert_true(v.windows_skipped > 10);
        config.gate_db = 0;
        listen(&config, rate, config.rate_hz / 50, always, &v);
        assert_int_equal(v.windows_skipped, 0);
        for (int i = 0; i < 2; i++) {
            check_near(gated[i].first_ms, always[i].first_ms, 32);
            check_near(gated[i].last_ms, always[i].last_ms, 32);
            check_near(gated[i].stopped_ms, always[i].stopped_ms, 32);
        }
    }
}

static void silence_costs_little_network(void **state)
{
    static const int16_t silence[FRAME];
    struct vad_config config = config_of(VAD_SILERO, 0);
    struct vad_result r;
    struct vad v;

    (void)state;
    assert_int_equal(vad_init(&v, &config, 0), 0);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(vad_step(&v, silence, FRAME, &r), FRAME);
        assert_false(r.voiced);
    }
    assert_in_range(v.windows_run, 1, 16);
    assert_in_range(v.windows_skipped, 290, 312);
}

static void clicks_in_noise_are_no_speech_to_the_network(void **state)
{
    struct vad_config config = config_of(VAD_SILERO, 0);
    struct rand random = {.state = 7};
    struct vad v;

    (void)state;
    assert_int_equal(vad_init(&v, &config, 0), 0);
    for (int frame = 0; frame < 500; frame++) {
        int16_t pcm[FRAME];
        struct vad_result r;

        for (size_t i = 0; i < FRAME; i++)
            pcm[i] = (int16_t)(rand_below(&random, 2000) - 1000u);
        pcm[3] = frame % 10 ? 0 : 30000;
        assert_int_equal(vad_step(&v, pcm, FRAME, &r), FRAME);
        assert_false(r.speaking);
    }
}

static void what_is_too_soft_is_not_voiced(void **state)
{
    struct vad_config config = config_of(VAD_SILERO, 0);
    struct heard heard[4];
    struct vad v;

    (void)state;
    config.volume_min = 1000;
    assert_int_equal(listen(&config, 0, FRAME, heard, &v), 0);
    assert_true(v.windows_run > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speech_starts_after_start_ms_and_stops_after_stop_ms),
        cmocka_unit_test(a_pause_shorter_than_stop_ms_does_not_stop),
        cmocka_unit_test(a_dip_at_the_onset_delays_and_clicks_never_start),
        cmocka_unit_test(a_voice_known_to_be_over_stops_after_less_silence),
        cmocka_unit_test(a_voice_that_goes_on_is_not_over),
        cmocka_unit_test(a_voice_known_to_be_over_stops_in_noise),
        cmocka_unit_test(a_voice_that_goes_on_starts_at_once),
        cmocka_unit_test(the_noise_around_a_voice_is_not_its_end),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(both_detectors_find_the_speech),
        cmocka_unit_test(a_final_hiss_belongs_to_the_voice),
        cmocka_unit_test(a_short_no_is_heard),
        cmocka_unit_test(frames_of_any_length_give_the_same),
        cmocka_unit_test(the_gate_rests_the_network_and_changes_nothing),
        cmocka_unit_test(silence_costs_little_network),
        cmocka_unit_test(clicks_in_noise_are_no_speech_to_the_network),
        cmocka_unit_test(what_is_too_soft_is_not_voiced),
    };

    return cmocka_run_group_tests(tests, vad_data_load, vad_data_unload);
}
