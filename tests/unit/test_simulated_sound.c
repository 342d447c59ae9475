#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "media/g711.h"
#include "tools/providers/hearing.h"
#include "tools/providers/speaking.h"
#include "tools/providers/voice.h"

#define RATE 8000

/* ---- the voice ---- */

static const struct voice_source buzz;

static void pieces_join_without_a_seam(void **state)
{
    static uint8_t whole[4000 * 2], parts[4000 * 2];
    const struct voice_format f = {VOICE_S16, RATE};
    (void)state;

    voice_render(&buzz, &f, 0, 4000, whole);
    for (size_t at = 0; at < 4000; at += 7)
        voice_render(&buzz, &f, at, 4000 - at < 7 ? 4000 - at : 7, parts + 2 * at);
    assert_memory_equal(whole, parts, sizeof(whole));
}

static double loudness(const uint8_t *s16, size_t samples)
{
    double sum = 0;

    for (size_t i = 0; i < samples; i++) {
        int16_t v = (int16_t)(s16[2 * i] | s16[2 * i + 1] << 8);
        sum += (double)v * v;
    }
    return sum / (double)samples;
}

static void the_voice_is_loud_at_once_and_all_along(void **state)
{
    static uint8_t sound[RATE * 2];
    const struct voice_format f = {VOICE_S16, RATE};
    (void)state;

    voice_render(&buzz, &f, 0, RATE, sound);
    for (size_t at = 0; at + 160 <= RATE; at += 160)
        assert_true(loudness(sound + 2 * at, 160) > 300.0 * 300.0);
}

static void encodings_agree(void **state)
{
    uint8_t s16[400 * 2], mulaw[400], alaw[400], f32[400 * 4], wanted[400];
    int16_t pcm[400];
    (void)state;

    voice_render(&buzz, &(struct voice_format){VOICE_S16, RATE}, 5, 400, s16);
    voice_render(&buzz, &(struct voice_format){VOICE_MULAW, RATE}, 5, 400, mulaw);
    voice_render(&buzz, &(struct voice_format){VOICE_ALAW, RATE}, 5, 400, alaw);
    voice_render(&buzz, &(struct voice_format){VOICE_F32, RATE}, 5, 400, f32);
    for (size_t i = 0; i < 400; i++) {
        float value;
        pcm[i] = (int16_t)(s16[2 * i] | s16[2 * i + 1] << 8);
        memcpy(&value, f32 + 4 * i, 4);
        assert_true(value == (float)pcm[i] / 32768.0f);
    }
    g711_mulaw_encode(wanted, pcm, 400);
    assert_memory_equal(mulaw, wanted, 400);
    g711_alaw_encode(wanted, pcm, 400);
    assert_memory_equal(alaw, wanted, 400);
}

static void a_recording_is_repeated_and_resampled(void **state)
{
    static const int16_t pcm[4] = {0, 1000, 2000, 3000};
    const struct voice_source s = {pcm, 4, RATE, 0};
    uint8_t out[12 * 2];
    (void)state;

    voice_render(&s, &(struct voice_format){VOICE_S16, RATE}, 0, 6, out);
    assert_int_equal(out[2 * 5] | out[2 * 5 + 1] << 8, 1000);
    voice_render(&s, &(struct voice_format){VOICE_S16, 2 * RATE}, 0, 4, out);
    assert_int_equal(out[2 * 3] | out[2 * 3 + 1] << 8, 1500);
}

static void marks_are_told_by_the_first_number(void **state)
{
    struct voice_source s = {.mark = voice_mark_of(SLICE("Utterance 15 of 99."))};
    uint8_t out[100 * 2];
    int last = -1;
    (void)state;

    assert_int_equal(voice_mark_of(SLICE("no number")), 20);
    assert_int_equal(voice_mark_of(SLICE("12345678901234567890123 of them")), 20 + 2 * 3);
    assert_int_equal(s.mark, 20 + 2 * 3);
    voice_render(&s, &(struct voice_format){VOICE_S16, 8000}, 5, 100, out);
    for (int i = 1; i < 100; i++) {
        int step = (int16_t)(out[2 * i] | out[2 * i + 1] << 8) -
                   (int16_t)(out[2 * i - 2] | out[2 * i - 1] << 8);
        if (step < 0)
            continue;
        assert_true(step > 14000);
        assert_int_equal(last >= 0 ? i - last : 26, 26);
        last = i;
    }
    assert_true(last > 0);
}

static void lengths_follow_the_text(void **state)
{
    static char text[5000];
    (void)state;

    assert_int_equal(voice_text_ms(SLICE("hello world"), 60), 660);
    assert_int_equal(voice_text_ms(SLICE("d\xC3\xA9j\xC3\xA0"), 100), 400);
    assert_int_equal(voice_text_ms(SLICE("a"), 60), VOICE_MS_LEAST);
    assert_int_equal(voice_text_ms(SLICE(""), 60), 0);
    assert_int_equal(voice_text_ms(SLICE(" .!"), 60), 0);
    memset(text, 'x', sizeof(text));
    assert_int_equal(voice_text_ms(slice_of(text, sizeof(text)), 60), VOICE_MS_MOST);
}

static void encodings_have_names(void **state)
{
    enum voice_encoding e;
    (void)state;

    assert_true(voice_encoding_named(SLICE("pcm_mulaw"), &e) && e == VOICE_MULAW);
    assert_true(voice_encoding_named(SLICE("linear16"), &e) && e == VOICE_S16);
    assert_true(voice_encoding_named(SLICE("pcm_f32le"), &e) && e == VOICE_F32);
    assert_false(voice_encoding_named(SLICE("opus"), &e));
    assert_false(voice_encoding_named(SLICE(""), &e));
}

static void sentences_end_where_they_do(void **state)
{
    (void)state;
    assert_int_equal(speaking_sentence(SLICE("One. Two")), 4);
    assert_int_equal(speaking_sentence(SLICE("One! Two?")), 9);
    assert_int_equal(speaking_sentence(SLICE("It costs 3.50")), 0);
    assert_int_equal(speaking_sentence(SLICE("no end")), 0);
    assert_int_equal(speaking_sentence(SLICE("")), 0);
}

/* ---- the ear ---- */

/* What was heard: the milliseconds at which events came. */
struct heard_events {
    int64_t begins[8], ends[8];
    size_t begin_count, end_count, noises;
};

static void feed(struct hearing *h, struct heard_events *e, int ms, int level)
{
    static int16_t pcm[RATE * 10];
    size_t count = (size_t)ms * RATE / 1000, used = 0;

    for (size_t i = 0; i < count; i++)
        pcm[i] = (int16_t)(i / 10 % 2 ? level : -level);
    for (;;) {
        switch (hearing_feed(h, pcm, count, &used)) {
        case HEARING_NOTHING:
            return;
        case HEARING_WINDOW:
            break;
        case HEARING_BEGINS:
            e->begins[e->begin_count++] = hearing_ms(h, h->first);
            break;
        case HEARING_ENDS:
            e->ends[e->end_count++] = hearing_ms(h, h->last);
            break;
        case HEARING_NOISE:
            e->noises++;
            break;
        }
    }
}

static void utterances_are_found(void **state)
{
    struct heard_events e = {0};
    struct hearing h;
    (void)state;

    hearing_init(&h, RATE, 400, 240, 100);
    feed(&h, &e, 500, 0);
    feed(&h, &e, 800, 5000);
    feed(&h, &e, 200, 10); /* a pause within it */
    feed(&h, &e, 400, 5000);
    feed(&h, &e, 230, 0);
    assert_int_equal(e.end_count, 0); /* not yet */
    feed(&h, &e, 10, 0);
    assert_int_equal(e.end_count, 1);
    feed(&h, &e, 1000, 10);
    feed(&h, &e, 300, 5000);
    feed(&h, &e, 300, 0);
    assert_int_equal(e.begin_count, 2);
    assert_int_equal(e.end_count, 2);
    assert_int_equal(e.begins[0], 500);
    assert_int_equal(e.ends[0], 1900);
    assert_int_equal(e.begins[1], 3140);
    assert_int_equal(e.ends[1], 3440);
}

static void knocks_and_backgrounds_are_not_voices(void **state)
{
    struct heard_events e = {0};
    struct hearing h;
    (void)state;

    hearing_init(&h, RATE, 400, 240, 100);
    feed(&h, &e, 500, 0);
    feed(&h, &e, 20, 8000); /* too short to begin */
    feed(&h, &e, 500, 0);
    feed(&h, &e, 50, 8000); /* too short to count */
    feed(&h, &e, 500, 0);
    assert_int_equal(e.end_count, 0);
    assert_int_equal(e.noises, 1);
    feed(&h, &e, 8000, 300); /* a background below the level */
    assert_int_equal(e.begin_count, 1);
    feed(&h, &e, 400, 700); /* above the level, not above the background */
    assert_int_equal(e.begin_count, 1);
    feed(&h, &e, 400, 6000);
    feed(&h, &e, 400, 300);
    assert_int_equal(e.end_count, 1);
}

static void a_known_length_bridges_pauses(void **state)
{
    struct heard_events e = {0};
    struct hearing h;
    (void)state;

    hearing_init(&h, RATE, 400, 240, 100);
    h.lasts_ms = 1000;
    feed(&h, &e, 300, 5000);
    feed(&h, &e, 400, 0); /* within what is known to last longer */
    feed(&h, &e, 300, 5000);
    assert_int_equal(e.end_count, 0);
    feed(&h, &e, 240, 0);
    assert_int_equal(e.end_count, 1);
    assert_int_equal(e.ends[0], 1000);
    feed(&h, &e, 300, 5000);
    feed(&h, &e, HEARING_PAUSE_MS, 0); /* and an end in any case */
    assert_int_equal(e.end_count, 2);
}

static void an_utterance_can_be_stopped(void **state)
{
    struct heard_events e = {0};
    struct hearing h;
    (void)state;

    hearing_init(&h, 16000, 400, 240, 100);
    feed(&h, &e, 500, 5000);
    assert_true(h.speaking);
    hearing_stop(&h);
    assert_false(h.speaking);
    feed(&h, &e, 1000, 0);
    assert_int_equal(e.end_count + e.noises, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_join_without_a_seam),
        cmocka_unit_test(the_voice_is_loud_at_once_and_all_along),
        cmocka_unit_test(encodings_agree),
        cmocka_unit_test(a_recording_is_repeated_and_resampled),
        cmocka_unit_test(marks_are_told_by_the_first_number),
        cmocka_unit_test(lengths_follow_the_text),
        cmocka_unit_test(encodings_have_names),
        cmocka_unit_test(sentences_end_where_they_do),
        cmocka_unit_test(utterances_are_found),
        cmocka_unit_test(knocks_and_backgrounds_are_not_voices),
        cmocka_unit_test(a_known_length_bridges_pauses),
        cmocka_unit_test(an_utterance_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
