/* Plivo's media dialect: what its messages say, in which form and order they are believed, and what
 * is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "carrier/carrier.h"

extern const struct carrier_ops carrier_plivo;

#define START                                                                                      \
    "{\"sequenceNumber\":1,\"event\":\"start\",\"start\":{\"callId\":\"c-1\",\"streamId\":\"s-"    \
    "1\","                                                                                         \
    "\"accountId\":\"a\",\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/"          \
    "x-mulaw\","                                                                                   \
    "\"sampleRate\":8000}},\"extra_headers\":\"{}\"}"

static struct carrier carrier;
static struct carrier_event ev;
static uint8_t audio[320];

static enum carrier_event_kind parse(const char *text)
{
    memset(&ev, 0, sizeof(ev));
    carrier_plivo.parse(&carrier, true, slice_str(text), audio, sizeof(audio), &ev);
    return ev.kind;
}

static int fresh(void **state)
{
    (void)state;
    carrier_init(&carrier, &carrier_plivo);
    return 0;
}

static void it_is_known_by_its_start(void **state)
{
    const struct carrier_ops *ops;

    (void)state;
    assert_int_equal(carrier_find(true, SLICE(START), &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_plivo);
    assert_int_equal(carrier_find(true, SLICE("{\"event\":\"media\"}"), &ops), CARRIER_NO);
    assert_int_equal(carrier_find(false, SLICE(START), &ops), CARRIER_NO);
}

static void a_stream_is_followed(void **state)
{
    (void)state;
    assert_int_equal(parse(START), CARRIER_START);
    assert_string_equal(ev.start.call_id, "c-1");
    assert_string_equal(ev.start.stream_id, "s-1");
    assert_int_equal(ev.start.encoding, CARRIER_MULAW8);
    assert_int_equal(ev.start.rate_hz, 8000);
    assert_int_equal(
        parse("{\"sequenceNumber\":2,\"streamId\":\"s-1\",\"event\":\"media\",\"media\":{"
              "\"track\":\"inbound\",\"timestamp\":\"1709000000000\",\"chunk\":1,"
              "\"payload\":\"/38A\"},\"extra_headers\":\"{}\"}"),
        CARRIER_MEDIA);
    assert_int_equal(ev.audio.len, 3);
    assert_memory_equal(ev.audio.at, "\xff\x7f\x00", 3);
    assert_int_equal(ev.timestamp_ms, 0);
    assert_int_equal(parse("{\"event\":\"dtmf\",\"sequenceNumber\":9,\"dtmf\":{\"digit\":\"5\"}}"),
                     CARRIER_DTMF);
    assert_int_equal(ev.digit, '5');
    assert_int_equal(parse("{\"event\":\"playedStream\",\"streamId\":\"s-1\",\"name\":\"m7\"}"),
                     CARRIER_MARK);
    assert_string_equal(ev.mark, "m7");
    assert_int_equal(parse("{\"event\":\"played\",\"name\":\"m8\"}"), CARRIER_MARK);
    assert_int_equal(parse("{\"event\":\"clearedAudio\",\"sequenceNumber\":11}"), CARRIER_IGNORED);
    assert_int_equal(parse("{\"event\":\"weather\"}"), CARRIER_IGNORED);
    assert_int_equal(parse("{\"event\":\"stop\"}"), CARRIER_STOP);
    assert_int_equal(parse(START), CARRIER_IGNORED);
}

static void what_is_wrong_ends_it(void **state)
{
    static const char *const first[] = {
        "",
        "[]",
        "{}",
        "{\"event\":1}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"/w==\"}}",
        "{\"event\":\"start\",\"start\":{\"streamId\":\"s 1\",\"callId\":\"c\"}}",
        "{\"event\":\"start\",\"start\":{\"streamId\":\"s\"}}",
        "{\"event\":\"start\",\"start\":{\"streamId\":\"s\",\"callId\":\"c\",\"mediaFormat\":{"
        "\"encoding\":\"audio/x-l16\",\"sampleRate\":8000}}}",
        "{\"event\":\"start\",\"start\":{\"streamId\":\"s\",\"callId\":\"c\",\"mediaFormat\":{"
        "\"encoding\":\"audio/x-mulaw\",\"sampleRate\":16000}}}",
        "{\"event\":\"start\",\"sequenceNumber\":\"x\",\"start\":{\"streamId\":\"s\",\"callId\":"
        "\"c\"}}"};
    static const char *const later[] = {
        START,
        "{\"event\":\"media\"}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"###\"}}",
        "{\"event\":\"media\",\"media\":{\"chunk\":\"x\",\"payload\":\"/w==\"}}",
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"Q\"}}",
        "{\"event\":\"playedStream\"}"};
    char big[700];

    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        fresh(state);
        assert_int_equal(parse(first[i]), CARRIER_BAD);
        assert_true(ev.what[0]);
        assert_int_equal(parse(START), CARRIER_IGNORED);
    }
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        fresh(state);
        assert_int_equal(parse(START), CARRIER_START);
        assert_int_equal(parse(later[i]), CARRIER_BAD);
    }
    fresh(state);
    assert_int_equal(parse(START), CARRIER_START);
    snprintf(big, sizeof(big), "{\"event\":\"media\",\"media\":{\"payload\":\"%0600d\"}}", 0);
    assert_int_equal(parse(big), CARRIER_BAD);
    fresh(state);
    carrier_plivo.parse(&carrier, false, SLICE("x"), audio, sizeof(audio), &ev);
    assert_int_equal(ev.kind, CARRIER_BAD);
}

static void order_is_held(void **state)
{
    (void)state;
    assert_int_equal(parse(START), CARRIER_START);
    assert_int_equal(parse("{\"event\":\"media\",\"media\":{\"chunk\":9,\"payload\":\"/w==\"}}"),
                     CARRIER_MEDIA);
    assert_int_equal(parse("{\"event\":\"media\",\"media\":{\"track\":\"outbound\",\"chunk\":1,"
                           "\"payload\":\"/w==\"}}"),
                     CARRIER_IGNORED);
    assert_int_equal(parse("{\"event\":\"media\",\"media\":{\"chunk\":8,\"payload\":\"/w==\"}}"),
                     CARRIER_BAD);
}

/* Cut anywhere, a message is refused and nothing is read beyond it. */
static void cut_messages_are_refused(void **state)
{
    char text[sizeof(START)];

    for (size_t len = 0; len + 1 < sizeof(START); len++) {
        fresh(state);
        memcpy(text, START, len);
        text[len] = '\0';
        assert_int_equal(parse(text), CARRIER_BAD);
    }
}

static void what_is_sent(void **state)
{
    char text[200];
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    assert_int_equal(parse(START), CARRIER_START);
    carrier_plivo.media(&carrier, SLICE("\xff\x7f"), &b);
    builder_u8(&b, 0);
    assert_string_equal(text,
                        "{\"event\":\"playAudio\",\"media\":{\"contentType\":\"audio/x-mulaw\","
                        "\"sampleRate\":8000,\"payload\":\"/38=\"}}");
    b.len = 0;
    carrier_plivo.mark(&carrier, "m\"7", &b);
    builder_u8(&b, 0);
    assert_string_equal(text,
                        "{\"event\":\"checkpoint\",\"streamId\":\"s-1\",\"name\":\"m\\\"7\"}");
    b.len = 0;
    carrier_plivo.clear(&carrier, &b);
    builder_u8(&b, 0);
    assert_string_equal(text, "{\"event\":\"clearAudio\",\"streamId\":\"s-1\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_is_known_by_its_start, fresh),
        cmocka_unit_test_setup(a_stream_is_followed, fresh),
        cmocka_unit_test_setup(what_is_wrong_ends_it, fresh),
        cmocka_unit_test_setup(order_is_held, fresh),
        cmocka_unit_test_setup(cut_messages_are_refused, fresh),
        cmocka_unit_test_setup(what_is_sent, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
