/* RFC 4733 both ways: the vectors of the RFC's shape, and every loss a network can do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "media/dtmf.h"

static void digits_and_events_map(void **state)
{
    static const char ALL[] = "0123456789*#ABCD!";

    (void)state;
    for (int i = 0; i <= DTMF_EVENT_MAX; i++) {
        assert_int_equal(dtmf_event_of(ALL[i]), i);
        assert_int_equal(dtmf_digit_of((unsigned)i), ALL[i]);
    }
    assert_int_equal(dtmf_event_of('d'), 15);
    assert_int_equal(dtmf_event_of('e'), -1);
    assert_int_equal(dtmf_event_of('\0'), -1);
    assert_int_equal(dtmf_digit_of(17), 0);
    assert_int_equal(dtmf_digit_of(255), 0);
}

static void parses_and_builds_the_payload(void **state)
{
    static const uint8_t VECTOR[] = {0x05, 0x8A, 0x06, 0x40};
    struct dtmf_payload payload;
    uint8_t out[DTMF_PAYLOAD_BYTES];

    (void)state;
    assert_int_equal(dtmf_parse(slice_of(VECTOR, 4), &payload), 0);
    assert_int_equal(payload.event, 5);
    assert_true(payload.end);
    assert_int_equal(payload.volume, 10);
    assert_int_equal(payload.duration, 1600);
    dtmf_build(&payload, out);
    assert_memory_equal(out, VECTOR, 4);
    for (size_t len = 0; len < 4; len++)
        assert_int_equal(dtmf_parse(slice_of(VECTOR, len), &payload), -EBADMSG);
}

/* ---- the sender ---- */

static void sends_the_sequence_of_the_rfc(void **state)
{
    struct dtmf_send s;
    struct dtmf_packet out;
    uint32_t clock = 0xFFFFFF00; /* wraps under way */

    (void)state;
    dtmf_send_init(&s, 8000, 200, 60);
    assert_false(dtmf_send_step(&s, clock, 160, &out));
    assert_int_equal(dtmf_send_add(&s, '5'), 0);
    for (uint32_t i = 1; i <= 12; i++) {
        uint32_t duration = i < 10 ? i * 160 : 1600;
        uint8_t expected[4] = {5, i < 10 ? 0x0A : 0x8A, (uint8_t)(duration >> 8),
                               (uint8_t)duration};
        assert_true(dtmf_send_step(&s, clock + (i - 1) * 160, 160, &out));
        assert_memory_equal(out.payload, expected, 4);
        assert_int_equal(out.timestamp, clock);
        assert_int_equal(out.marker, i == 1);
    }
    for (int i = 0; i < 10; i++)
        assert_false(dtmf_send_step(&s, clock + 12 * 160, 160, &out));
    assert_int_equal(s.count, 0);
}

static void queue_is_bounded(void **state)
{
    struct dtmf_send s;

    (void)state;
    dtmf_send_init(&s, 8000, 0, 0);
    assert_int_equal(s.on_units, 320);
    assert_int_equal(s.gap_units, 400);
    assert_int_equal(dtmf_send_add(&s, 'x'), -EINVAL);
    for (int i = 0; i < DTMF_DIGITS_MAX; i++)
        assert_int_equal(dtmf_send_add(&s, '1'), 0);
    assert_int_equal(dtmf_send_add(&s, '1'), -ENOBUFS);
}

/* ---- both together ---- */

struct heard {
    char started[64];
    char ended[64];
    uint32_t duration; /* of the last one ended */
};

static void note(struct heard *heard, struct dtmf_change change)
{
    if (change.started)
        heard->started[strlen(heard->started)] = change.started;
    if (change.ended) {
        heard->ended[strlen(heard->ended)] = change.ended;
        heard->duration = change.duration;
    }
}

/* Sends `digits` through a line that loses and repeats; ticks and audio in between. */
static void converse(const char *digits, uint32_t on_ms, uint32_t lose, uint32_t repeat,
                     struct rand *rand, struct heard *heard)
{
    struct dtmf_send s;
    struct dtmf_receive r;
    struct dtmf_packet out;
    struct dtmf_payload payload;
    uint32_t clock = (uint32_t)rand_u64(rand);
    int64_t now_ns = 0;

    *heard = (struct heard){.duration = 0};
    dtmf_send_init(&s, 8000, on_ms, 60);
    dtmf_receive_init(&r, 8000);
    for (const char *digit = digits; *digit; digit++)
        assert_int_equal(dtmf_send_add(&s, *digit), 0);
    for (int idle = 0; idle < 20; clock += 160, now_ns += MS(20)) {
        note(heard, dtmf_receive_tick(&r, now_ns));
        if (!dtmf_send_step(&s, clock, 160, &out)) {
            idle = s.count ? 0 : idle + 1;
            note(heard, dtmf_receive_audio(&r, clock));
            continue;
        }
        int copies = rand_chance(rand, lose) ? 0 : rand_chance(rand, repeat) ? 2 : 1;
        assert_int_equal(dtmf_parse(slice_of(out.payload, 4), &payload), 0);
        for (int i = 0; i < copies; i++)
            note(heard, dtmf_receive_packet(&r, out.timestamp, &payload, now_ns));
    }
}

static void every_digit_arrives_once(void **state)
{
    struct rand rand = {7};
    struct heard heard;

    (void)state;
    converse("0123456789*#ABCD!", 100, 0, 0, &rand, &heard);
    assert_string_equal(heard.started, "0123456789*#ABCD!");
    assert_string_equal(heard.ended, "0123456789*#ABCD!");
    assert_int_equal(heard.duration, 800);
    converse("1122", 100, 0, 1000, &rand, &heard);
    assert_string_equal(heard.started, "1122");
    assert_string_equal(heard.ended, "1122");
}

static void loss_loses_no_digit(void **state)
{
    struct heard heard;

    (void)state;
    /* Seven packets a digit: at 10 % the seeds below lose starts, ends and whole middles, but never
     * a digit whole; each is reported exactly once. */
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rand rand = {seed};
        converse("5528800#", 100, 100, 200, &rand, &heard);
        assert_string_equal(heard.started, "5528800#");
        assert_string_equal(heard.ended, "5528800#");
    }
}

static struct dtmf_change hear(struct dtmf_receive *r, uint32_t timestamp, uint8_t event, bool end,
                               uint16_t duration, int64_t at_ms)
{
    struct dtmf_payload payload = {.event = event, .end = end, .duration = duration};

    return dtmf_receive_packet(r, timestamp, &payload, MS(at_ms));
}

static void only_the_last_packet_arrives(void **state)
{
    struct dtmf_receive r;

    (void)state;
    dtmf_receive_init(&r, 8000);
    struct dtmf_change change = hear(&r, 0, 5, true, 1600, 0);
    assert_int_equal(change.started, '5');
    assert_int_equal(change.ended, '5');
    assert_int_equal(change.duration, 1600);
    change = hear(&r, 0, 5, true, 1600, 20);
    assert_int_equal(change.started | change.ended, 0);
}

static void lost_end_shows_by_the_next_digit(void **state)
{
    struct dtmf_receive r;

    (void)state;
    dtmf_receive_init(&r, 8000);
    assert_int_equal(hear(&r, 1000, 1, false, 160, 0).started, '1');
    struct dtmf_change change = hear(&r, 3000, 2, true, 800, 100);
    assert_int_equal(change.started, '2');
    assert_int_equal(change.ended, '1');
    /* The end of the second is told with its repetition, or by the tick. */
    assert_int_equal(hear(&r, 3000, 2, true, 800, 120).ended, '2');
}

static void lost_end_shows_by_quiet_or_audio(void **state)
{
    struct dtmf_receive r;

    (void)state;
    dtmf_receive_init(&r, 8000);
    hear(&r, 1000, 1, false, 160, 0);
    assert_int_equal(dtmf_receive_tick(&r, MS(DTMF_QUIET_MS) - 1).ended, 0);
    assert_int_equal(dtmf_receive_tick(&r, MS(DTMF_QUIET_MS)).ended, '1');
    assert_int_equal(dtmf_receive_tick(&r, MS(500)).ended, 0);
    hear(&r, 9000, 2, false, 160, 1000);
    assert_int_equal(dtmf_receive_audio(&r, 8840).ended, 0); /* audio of before */
    assert_int_equal(dtmf_receive_audio(&r, 9000 + 160).ended, 0);
    assert_int_equal(dtmf_receive_audio(&r, 9000 + 160 + 400).ended, '2');
    /* Its late packets do not bring it back. */
    assert_int_equal(hear(&r, 9000, 2, false, 480, 1100).started, 0);
    assert_int_equal(hear(&r, 9000, 2, true, 800, 1120).ended, 0);
}

static void stragglers_and_contradictions_are_ignored(void **state)
{
    struct dtmf_receive r;

    (void)state;
    dtmf_receive_init(&r, 8000);
    hear(&r, 1000, 1, true, 800, 0);
    hear(&r, 3000, 2, false, 160, 250);
    assert_int_equal(hear(&r, 1000, 1, true, 800, 260).started, 0);   /* late repetition */
    assert_int_equal(hear(&r, 3000, 9, false, 320, 270).started, 0);  /* another event, same time */
    assert_int_equal(hear(&r, 4000, 32, false, 160, 280).started, 0); /* no digit */
    assert_int_equal(r.ignored, 3);
    assert_int_equal(hear(&r, 3000, 2, true, 800, 300).ended, '2');
    /* Far behind is a sender that started again; a reset says so at once. */
    assert_int_equal(hear(&r, 3000u - 41000u, 3, false, 160, 400).started, '3');
    assert_int_equal(dtmf_receive_reset(&r).ended, '3');
    assert_int_equal(hear(&r, 100, 4, false, 160, 500).started, '4');
}

static void segments_belong_to_their_own_event(void **state)
{
    struct dtmf_receive r;

    (void)state;
    dtmf_receive_init(&r, 8000);
    hear(&r, 0, 1, false, 65535, 0);
    assert_int_equal(hear(&r, 65535, 1, false, 160, 20).started, 0);
    assert_int_equal(hear(&r, 65535, 1, true, 320, 40).duration, 65535 + 320);
    hear(&r, 70000, 2, false, 160, 500);
    assert_int_equal(hear(&r, 70000, 2, true, 800, 600).duration, 800);
    /* Another digit just there is another digit, and so is the same one after its end. */
    hear(&r, 80000, 3, false, 65535, 700);
    assert_int_equal(hear(&r, 80000 + 65535, 4, false, 160, 720).started, '4');
    assert_int_equal(hear(&r, 80000 + 65535, 4, true, 65535, 740).ended, '4');
    assert_int_equal(hear(&r, 80000 + 2 * 65535, 4, false, 160, 760).started, '4');
}

static void long_press_is_one_digit(void **state)
{
    struct rand rand = {3};
    struct heard heard;

    (void)state;
    converse("7", 20000, 0, 0, &rand, &heard); /* three segments of at most 65535 units */
    assert_string_equal(heard.started, "7");
    assert_string_equal(heard.ended, "7");
    assert_int_equal(heard.duration, 160000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_and_events_map),
        cmocka_unit_test(parses_and_builds_the_payload),
        cmocka_unit_test(sends_the_sequence_of_the_rfc),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(every_digit_arrives_once),
        cmocka_unit_test(loss_loses_no_digit),
        cmocka_unit_test(only_the_last_packet_arrives),
        cmocka_unit_test(lost_end_shows_by_the_next_digit),
        cmocka_unit_test(lost_end_shows_by_quiet_or_audio),
        cmocka_unit_test(stragglers_and_contradictions_are_ignored),
        cmocka_unit_test(segments_belong_to_their_own_event),
        cmocka_unit_test(long_press_is_one_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
