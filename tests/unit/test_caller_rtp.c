/* The calling program as a telephone on a bare RTP port, without its socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "media/rtcp.h"
#include "tools/call/caller.h"

static void frames_digits_and_bye(void **state)
{
    static int16_t ear[8000];
    static struct caller_output out;
    static struct caller c;
    struct caller_config config = {
        .dialect = &caller_rtp, .seed = 3, .ear = ear, .ear_samples = 8000};
    struct rtp_packet p, before = {0};
    int audio = 0, events = 0;
    (void)state;

    caller_init(&c, &config);
    caller_output_init(&out);
    caller_open(&c, SECONDS(5) - MS(200), &out);
    assert_int_equal(c.state, CALLER_DIALLING); /* until the far end is heard, or this: */
    assert_true(caller_deadline(&c) == SECONDS(5));
    assert_int_equal(caller_press(&c, '4'), 0);
    for (int64_t k = 0; k < 30; k++) {
        caller_output_init(&out);
        assert_true(caller_deadline(&c) == SECONDS(5) + k * CALLER_FRAME_NS);
        caller_step(&c, caller_deadline(&c), SLICE_NONE, &out);
        assert_int_equal(out.count, 1);
        assert_int_equal(rtp_parse(caller_output_piece(&out, 0), &p), 0);
        if (k)
            assert_int_equal(p.seq, (uint16_t)(before.seq + 1));
        if (p.pt == CALLER_PT_EVENTS)
            events++;
        else if (p.pt == RTP_PT_PCMU && p.payload.len == 160)
            audio++;
        before = p;
    }
    assert_in_range(events, 5, 12);
    assert_int_equal(audio + events, 30);
    caller_output_init(&out);
    caller_hang_up(&c, &out);
    struct rtcp_in in;
    assert_int_equal(rtcp_parse(caller_output_piece(&out, 0), 0, &in), 0);
    assert_true(in.bye);
    assert_int_equal(c.end, CALLER_END_OURS);
}

/* Two packets waited in the socket while the API answered, and the third is the least late of them:
 * it tells when the far end began. */
static void begins_with_the_far_end(void **state)
{
    static const int64_t at_ms[] = {1050, 1050, 1051};
    static int16_t ear[8000];
    static struct caller_output out;
    static struct caller c;
    struct caller_config config = {.dialect = &caller_rtp, .ear = ear, .ear_samples = 8000};
    uint8_t code[160] = {0}, store[200];
    struct rtp_send send;
    (void)state;

    caller_init(&c, &config);
    caller_output_init(&out);
    caller_open(&c, SECONDS(1), &out);
    rtp_send_init(&send, 9, 1, 0xffffff80);
    for (uint32_t i = 0; i < ARRAY_LEN(at_ms); i++) {
        struct builder b = builder_of(store, sizeof(store));
        assert_int_equal(rtp_send_packet(&send, &b, RTP_PT_PCMU, false, 0xffffff80 + 160 * i,
                                         slice_of(code, sizeof(code))),
                         0);
        caller_output_init(&out);
        caller_step(&c, MS(at_ms[i]), builder_slice(&b), &out);
    }
    assert_int_equal(c.state, CALLER_TALKING);
    assert_true(c.start_ns == MS(1051 - 60));
    assert_int_equal(out.count, 1); /* what is past was not said */
    assert_true(caller_deadline(&c) == MS(1071));
    assert_int_equal(c.ear.now, 480);
}

static void packets_are_heard_once(void **state)
{
    static int16_t ear[8000];
    static struct caller_output out;
    static struct caller c;
    struct caller_config config = {.dialect = &caller_rtp, .ear = ear, .ear_samples = 8000};
    uint8_t loud[160], store[200];
    struct rtp_send send;
    (void)state;

    memset(loud, 0x90, sizeof(loud));
    caller_init(&c, &config);
    caller_output_init(&out);
    caller_open(&c, -MS(200), &out);
    caller_step(&c, 0, SLICE_NONE, &out);
    assert_int_equal(c.state, CALLER_TALKING);
    caller_output_init(&out);
    rtp_send_init(&send, 9, 65535, 0);
    for (int i = 0; i < 3; i++) {
        struct builder b = builder_of(store, sizeof(store));
        assert_int_equal(rtp_send_packet(&send, &b, RTP_PT_PCMU, false, 0, slice_of(loud, 160)), 0);
        caller_step(&c, MS(20) * i, builder_slice(&b), &out);
        caller_step(&c, MS(20) * i, builder_slice(&b), &out); /* a duplicate */
        caller_output_init(&out);
    }
    caller_step(&c, MS(100), SLICE_NONE, &out);
    assert_int_equal(c.ear.pushed, 480);
    assert_int_equal(c.rtp.late, 3);
    assert_int_equal(c.ear.voice_first, 0);
    assert_int_equal(c.ear.voice_last, 479);
    /* a stream that stops has ended */
    caller_output_init(&out);
    for (int64_t at = 120; at < 3000 && c.state != CALLER_OVER; at += 20) {
        caller_output_init(&out);
        caller_step(&c, MS(at), SLICE_NONE, &out);
    }
    assert_int_equal(c.end, CALLER_END_THEIRS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_digits_and_bye),
        cmocka_unit_test(begins_with_the_far_end),
        cmocka_unit_test(packets_are_heard_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
