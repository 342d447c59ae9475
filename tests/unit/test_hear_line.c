/* A sentence with a pause through the detector and the turn machine in virtual time: patience
 * decides whether it is one turn or two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rand.h"
#include "tools/hear/line.h"

#define MS_SAMPLES 8

struct ear {
    bool complete, expected;
    unsigned listened, went_on, finished;
    size_t samples; /* of the utterance */
};

static void listen(void *owner, bool goes_on)
{
    struct ear *e = owner;
    e->listened++;
    e->went_on += goes_on;
    e->samples = 0;
}

static void audio(void *owner, const int16_t *pcm, size_t n)
{
    struct ear *e = owner;
    (void)pcm;
    e->samples += n;
}

static uint32_t finish(void *owner)
{
    struct ear *e = owner;
    e->finished++;
    return 3;
}

static void forget(void *owner)
{
    (void)owner;
}

static void words(void *owner, struct turn_event *event)
{
    struct ear *e = owner;
    event->complete = e->complete;
    event->expected = e->expected;
    event->words = e->samples > 6400 ? 3 : 0;
}

static const struct line_ops ops = {listen, audio, finish, forget, words};

/* Line noise with a voice from 600 to 1400 ms and from 1800 to 2400 ms. */
static int16_t pcm[5000 * MS_SAMPLES];
#define VOICE_END (2400 * MS_SAMPLES)

static void sentence_make(void)
{
    struct rand r = {7};
    for (size_t i = 0; i < ARRAY_LEN(pcm); i++) {
        size_t ms = i / MS_SAMPLES;
        bool voice = (ms >= 600 && ms < 1400) || (ms >= 1800 && ms < 2400);
        int32_t buzz = (int32_t)(i % 64) * 200 - 6400; /* 125 Hz, many harmonics */
        pcm[i] = (int16_t)((voice ? buzz : 0) + (int32_t)rand_below(&r, 41) - 20);
    }
}

static struct line_report hear(struct ear *ear, int64_t complete_ms, int64_t open_ms)
{
    struct vad_config vad = {.kind = VAD_ENERGY,
                             .rate_hz = 8000,
                             .confidence = 300,
                             .start_ms = 60,
                             .stop_ms = 120,
                             .volume_min = 400};
    struct turn_rules rules = {.expected_ns = MS(200),
                               .complete_ns = MS(complete_ms),
                               .open_ns = MS(open_ms),
                               .max_ns = SECONDS(30),
                               .grace_ns = MS(300),
                               .evidence_ns = MS(700),
                               .resume_ns = MS(300),
                               .noise_ns = MS(150),
                               .final_ns = SECONDS(4),
                               .silence_ns = NEVER_NS,
                               .hang_up_ns = NEVER_NS,
                               .interrupt_words = 2};
    struct line_report report;
    assert_int_equal(line_hear(&vad, &rules, pcm, ARRAY_LEN(pcm), &ops, ear, &report), 0);
    return report;
}

static void patience_keeps_a_sentence_whole(void **state)
{
    struct ear ear = {0};
    (void)state;
    struct line_report report = hear(&ear, 250, 600);
    assert_int_equal(report.answers, 1);
    assert_int_equal(report.unclear, 0);
    assert_int_equal(ear.listened, 1);
    /* 600 ms behind the last voiced sample, which is found to some 20 ms */
    assert_in_range(report.decided, VOICE_END + 560 * MS_SAMPLES, VOICE_END + 680 * MS_SAMPLES);
    /* with the pre-roll nothing of the voice is lost, at 16 kHz */
    assert_in_range(ear.samples, 1800 * 16, 3000 * 16);
}

static void haste_cuts_it_in_two(void **state)
{
    struct ear ear = {.complete = true};
    (void)state;
    struct line_report report = hear(&ear, 200, 600);
    assert_int_equal(report.answers, 2);
    assert_int_equal(ear.finished, 2);
    assert_in_range(report.decided, VOICE_END + 160 * MS_SAMPLES, VOICE_END + 280 * MS_SAMPLES);
}

static void the_answer_asked_for_needs_least(void **state)
{
    struct ear ear = {.complete = true, .expected = true};
    (void)state;
    struct line_report report = hear(&ear, 350, 600);
    assert_in_range(report.decided, VOICE_END + 160 * MS_SAMPLES, VOICE_END + 280 * MS_SAMPLES);
    assert_in_range(report.voiced, VOICE_END - 20 * MS_SAMPLES, VOICE_END + 30 * MS_SAMPLES);
}

static void a_wrong_rate_is_refused(void **state)
{
    struct vad_config vad = {.kind = VAD_ENERGY, .rate_hz = 11025, .confidence = 300};
    struct turn_rules rules = {0};
    struct line_report report;
    (void)state;
    assert_int_not_equal(line_hear(&vad, &rules, pcm, 0, &ops, NULL, &report), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patience_keeps_a_sentence_whole),
        cmocka_unit_test(haste_cuts_it_in_two),
        cmocka_unit_test(the_answer_asked_for_needs_least),
        cmocka_unit_test(a_wrong_rate_is_refused),
    };
    sentence_make();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
