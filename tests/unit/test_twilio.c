#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/rand.h"
#include "carrier/twilio.h"
/* The calling program is not a library: its pure half is compiled in here. */
#include "tools/call/twilio_caller.c"

#define SID "MZ18ad3ab5a668481ce02b83e7395059f0"

#define START_WITH(parameters, format)                                                             \
    "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"" SID "\",\"start\":{"          \
    "\"streamSid\":\"" SID "\",\"accountSid\":\"AC1\",\"callSid\":\"CA1\",\"tracks\":["            \
    "\"inbound\"],\"customParameters\":" parameters ",\"mediaFormat\":" format "}}"
#define FORMAT "{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1}"
#define START  START_WITH("{\"agent_id\":\"clinic\",\"token\":\"t0k\"}", FORMAT)

static struct carrier_event ev;
static uint8_t audio[200];

static enum carrier_event_kind say(struct carrier *c, const char *message)
{
    c->ops->parse(c, true, slice_str(message), audio, sizeof(audio), &ev);
    return ev.kind;
}

static struct carrier started(void)
{
    struct carrier c;

    carrier_init(&c, &carrier_twilio);
    assert_int_equal(say(&c, START), CARRIER_START);
    return c;
}

static void detection(void **state)
{
    const struct carrier_ops *ops;

    (void)state;
    assert_int_equal(
        carrier_find(true, SLICE("{\"event\":\"connected\",\"protocol\":\"Call\"}"), &ops),
        CARRIER_MAYBE);
    assert_null(ops);
    assert_int_equal(carrier_find(true, SLICE(START), &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_twilio);
    assert_int_equal(carrier_find(false, SLICE(START), &ops), CARRIER_NO);
    assert_int_equal(carrier_find(true, SLICE("{}"), &ops), CARRIER_NO);
    assert_int_equal(carrier_find(true, SLICE("hello"), &ops), CARRIER_NO);
    assert_int_equal(carrier_find(true, SLICE(""), &ops), CARRIER_NO);
    assert_int_equal(
        carrier_find(true, SLICE("{\"event\":\"start\",\"start\":{\"streamId\":\"1\"}}"), &ops),
        CARRIER_NO);
    assert_ptr_equal(carrier_named("twilio"), &carrier_twilio);
    assert_null(carrier_named("none"));
    assert_ptr_equal(carrier_at(0), &carrier_twilio);
}

static void one_call(void **state)
{
    struct carrier c;

    (void)state;
    carrier_init(&c, &carrier_twilio);
    assert_int_equal(
        say(&c, "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}"),
        CARRIER_CONNECTED);
    assert_int_equal(say(&c, START), CARRIER_START);
    assert_string_equal(ev.start.stream_id, SID);
    assert_string_equal(ev.start.call_id, "CA1");
    assert_string_equal(ev.start.account, "AC1");
    assert_string_equal(ev.start.agent, "clinic");
    assert_string_equal(ev.start.token, "t0k");
    assert_int_equal(ev.start.encoding, CARRIER_MULAW8);
    assert_int_equal(ev.start.rate_hz, 8000);
    assert_int_equal(say(&c, "{\"event\":\"media\",\"sequenceNumber\":\"3\",\"streamSid\":\"" SID
                             "\",\"media\":{\"track\":\"inbound\",\"chunk\":\"1\",\"timestamp\":"
                             "\"5\",\"payload\":\"f39/fw==\"}}"),
                     CARRIER_MEDIA);
    assert_int_equal(ev.sequence, 3);
    assert_int_equal(ev.chunk, 1);
    assert_int_equal(ev.timestamp_ms, 5);
    assert_true(slice_equal(ev.audio, SLICE("\x7f\x7f\x7f\x7f")));
    assert_int_equal(say(&c, "{\"event\":\"dtmf\",\"sequenceNumber\":5,\"streamSid\":\"" SID
                             "\",\"dtmf\":{\"track\":\"inbound_track\",\"digit\":\"#\"}}"),
                     CARRIER_DTMF);
    assert_int_equal(ev.digit, '#');
    assert_int_equal(say(&c, "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":7}}"), CARRIER_DTMF);
    assert_int_equal(ev.digit, '7');
    assert_int_equal(say(&c, "{\"event\":\"mark\",\"sequenceNumber\":\"4\",\"streamSid\":\"" SID
                             "\",\"mark\":{\"name\":\"m7\"}}"),
                     CARRIER_MARK);
    assert_string_equal(ev.mark, "m7");
    assert_int_equal(say(&c, "{\"event\":\"new thing\",\"x\":{\"y\":[1]}}"), CARRIER_IGNORED);
    assert_int_equal(say(&c, "{\"event\":\"stop\",\"sequenceNumber\":\"9\",\"streamSid\":\"" SID
                             "\",\"stop\":{\"accountSid\":\"AC1\",\"callSid\":\"CA1\"}}"),
                     CARRIER_STOP);
    assert_int_equal(say(&c, "nonsense"), CARRIER_IGNORED);
}

static void bad_messages(void **state)
{
    static const char *const wrong[] = {
        "",
        "x",
        "{",
        "[]",
        "{}",
        "{\"event\":1}",
        "{\"event\":\"media\"}",
        "{\"event\":\"media\",\"media\":[]}",
        "{\"event\":\"media\",\"media\":{\"payload\":5}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"A\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AA!A\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"payload\":\"AAAA\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}} x",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}",
        "{\"event\":\"media\",\"sequenceNumber\":\"-1\",\"media\":{\"payload\":\"AAAA\"}}",
        "{\"event\":\"media\",\"sequenceNumber\":\"x\",\"media\":{\"payload\":\"AAAA\"}}",
        "{\"event\":\"media\",\"media\":{\"chunk\":{},\"payload\":\"AAAA\"}}",
        "{\"event\":\"media\",\"streamSid\":\"MZother\",\"media\":{\"payload\":\"AAAA\"}}",
        "{\"event\":\"dtmf\",\"dtmf\":{}}",
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"x\"}}",
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"12\"}}",
        "{\"event\":\"mark\",\"mark\":\"m\"}",
        START, /* a second one */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct carrier c = started();
        assert_int_equal(say(&c, wrong[i]), CARRIER_BAD);
        assert_non_null(ev.what);
        assert_int_equal(say(&c, wrong[i]), CARRIER_IGNORED); /* said once */
    }
    struct carrier c = started();
    c.ops->parse(&c, false, SLICE("\x0A"), audio, sizeof(audio), &ev);
    assert_int_equal(ev.kind, CARRIER_BAD);
}

static void bad_starts(void **state)
{
    static const char *const wrong[] = {
        "{\"event\":\"start\"}",
        "{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\"}}",
        "{\"event\":\"start\",\"start\":{\"streamSid\":\"M\\\"Z\",\"callSid\":\"CA1\"}}",
        "{\"event\":\"start\",\"start\":{\"streamSid\":\"\",\"callSid\":\"CA1\"}}",
        START_WITH("{\"agent\":{}}", FORMAT),
        START_WITH("{\"token\":[]}", FORMAT),
        START_WITH("{}", "{\"encoding\":\"audio/x-l16\"}"),
        START_WITH("{}", "{\"sampleRate\":16000}"),
        START_WITH("{}", "{\"channels\":2}"),
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}}", /* before start */
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"1\"}}",
        "{\"event\":\"mark\",\"mark\":{\"name\":\"m\"}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct carrier c;
        carrier_init(&c, &carrier_twilio);
        assert_int_equal(say(&c, wrong[i]), CARRIER_BAD);
    }
    struct carrier c;
    carrier_init(&c, &carrier_twilio);
    assert_int_equal(say(&c, START_WITH("null", "null")), CARRIER_START);
    assert_string_equal(ev.start.agent, "");
}

static void name_limits(void **state)
{
    static char message[2048];

    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        struct carrier c;
        int len = CARRIER_TOKEN_BYTES - 1 + extra;
        carrier_init(&c, &carrier_twilio);
        snprintf(message, sizeof(message),
                 "{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ\",\"callSid\":\"CA\","
                 "\"customParameters\":{\"token\":\"%0*d\"}}}",
                 len, 7);
        assert_int_equal(say(&c, message), extra > 0 ? CARRIER_BAD : CARRIER_START);
    }
}

static size_t media_message(char *out, size_t size, const char *sequence, size_t bytes)
{
    static const uint8_t silence[300];
    char text[BASE64_CHARS(300) + 1];

    text[base64_encode(slice_of(silence, bytes), text)] = '\0';
    int n = snprintf(out, size,
                     "{\"event\":\"media\",\"sequenceNumber\":%s,\"media\":{\"payload\":\"%s\"}}",
                     sequence, text);
    return (size_t)n;
}

static void payload_limits(void **state)
{
    char message[600];

    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        struct carrier c = started();
        media_message(message, sizeof(message), "1", sizeof(audio) + (size_t)extra);
        assert_int_equal(say(&c, message), extra > 0 ? CARRIER_BAD : CARRIER_MEDIA);
        assert_true(extra > 0 || ev.audio.len == sizeof(audio) + (size_t)extra);
    }
    struct carrier c = started();
    media_message(message, sizeof(message), "1", 0);
    assert_int_equal(say(&c, message), CARRIER_IGNORED);
    assert_int_equal(
        say(&c, "{\"event\":\"media\",\"media\":{\"track\":\"outbound\",\"payload\":\"AAAA\"}}"),
        CARRIER_IGNORED);
}

static void order(void **state)
{
    struct carrier c = started();
    char message[600];

    (void)state;
    media_message(message, sizeof(message), "\"8\"", 160);
    assert_int_equal(say(&c, message), CARRIER_MEDIA);
    media_message(message, sizeof(message), "10", 160);
    assert_int_equal(say(&c, message), CARRIER_MEDIA);
    media_message(message, sizeof(message), "\"9\"", 160);
    assert_int_equal(say(&c, message), CARRIER_BAD);
    c = started();
    media_message(message, sizeof(message), "10", 160);
    assert_int_equal(say(&c, message), CARRIER_MEDIA);
    /* the same by the general parser: a nested unknown field sends it there */
    assert_int_equal(say(&c, "{\"event\":\"media\",\"x\":{},\"sequenceNumber\":9,"
                             "\"media\":{\"payload\":\"AAAA\"}}"),
                     CARRIER_BAD);
}

/* ---- the two parsers agree ---- */

static const char *pick(struct rand *r, const char *const *of, size_t n)
{
    return of[rand_below(r, (uint32_t)n)];
}
#define PICK(r, ...)                                                                               \
    pick(r, (const char *const[]){__VA_ARGS__},                                                    \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Mostly the first, so that whole messages without anything odd are common. */
#define MOSTLY(r, usual, ...) (rand_chance(r, 850) ? (usual) : PICK(r, __VA_ARGS__))

/* A media message with its fields shuffled, blanks, numbers of both kinds, unknown fields, and now
 * and then something odd. */
static void compose(struct rand *r, struct builder *b)
{
    const char *inner[5], *top[5];
    size_t inner_count = 0, top_count = 0;
    char payload[64], media[400];
    uint8_t bytes[30];
    size_t len = rand_below(r, sizeof(bytes));

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)rand_u64(r);
    char text[BASE64_CHARS(30) + 1];
    text[base64_encode(slice_of(bytes, len), text)] = '\0';
    snprintf(payload, sizeof(payload), "\"payload\" :\"%s\"", text);
    inner[inner_count++] = payload;
    inner[inner_count++] =
        PICK(r, "\"track\":\"inbound\"", "\"track\":\"inbound\"", "\"track\":\"outbound\"",
             "\"w\":1", "\"tr\\u0061ck\":\"outbound\"");
    inner[inner_count++] = MOSTLY(r, "\"chunk\":\"12\"", "\"chunk\": 12", "\"chunk\":012",
                                  "\"chunk\":\"\"", "\"chunk\":null", "\"chunk\":1.0");
    inner[inner_count++] = MOSTLY(r, "\"timestamp\":\"5\"", "\"timestamp\":5", "\"timestamp\":true",
                                  "\"timestamp\":\"18446744073709551616\"", "\"timestamp\":-5");
    inner[inner_count++] =
        MOSTLY(r, "\"u\":null", "\"v\":\"a\\\"b\"", "\"w\":1", "\"x\":{\"y\":2}", "\"chunk\":9",
               "\"z\":\"\xC3\xA9\"", "\"z\":\"\xFF\"", "\"z\":1e5");
    for (size_t i = inner_count - 1; i > 0; i--) {
        size_t k = rand_below(r, (uint32_t)i + 1);
        const char *swap = inner[i];
        inner[i] = inner[k];
        inner[k] = swap;
    }
    snprintf(media, sizeof(media), "\"media\":{%s,%s%s,%s,%s ,%s}", inner[0],
             PICK(r, "", " ", "\n"), inner[1], inner[2], inner[3], inner[4]);
    top[top_count++] = media;
    top[top_count++] = MOSTLY(r, "\"event\":\"media\"", "\"event\" : \"media\"");
    top[top_count++] = MOSTLY(r, "\"streamSid\":\"" SID "\"", "\"streamSid\":\"" SID "x\"",
                              "\"streamSid\":null", "\"streamSid\": \"" SID "\"");
    top[top_count++] = MOSTLY(r, "\"sequenceNumber\":\"7\"", "\"sequenceNumber\":7",
                              "\"sequenceNumber\":9999999999999999999", "\"a\":[]");
    top[top_count++] = MOSTLY(r, "\"a\":\"b\"", "\"b\":false", "\"event\":\"media\"", "\"c\":00",
                              "\"d\":12", "\"e\":\"\t\"");
    for (size_t i = top_count - 1; i > 0; i--) {
        size_t k = rand_below(r, (uint32_t)i + 1);
        const char *swap = top[i];
        top[i] = top[k];
        top[k] = swap;
    }
    builder_printf(b, "%s{%s,%s,%s, %s,%s}%s", PICK(r, "", " "), top[0], top[1], top[2], top[3],
                   top[4], MOSTLY(r, "", "\n", "}", " x"));
}

static void check_agreement(struct slice message, size_t *vouched)
{
    static struct carrier_event fast, any;
    struct carrier c = {.ops = &carrier_twilio, .phase = CARRIER_STARTED, .stream_id = SID};
    uint8_t fast_audio[64], any_audio[64];

    c.stream_id_len = strlen(SID);
    if (!twilio_parse_media(&c, message, fast_audio, sizeof(fast_audio), &fast))
        return;
    twilio_parse_any(&c, message, any_audio, sizeof(any_audio), &any);
    assert_int_equal(any.kind, CARRIER_MEDIA);
    assert_int_equal(fast.kind, CARRIER_MEDIA);
    assert_int_equal(fast.sequence, any.sequence);
    assert_int_equal(fast.chunk, any.chunk);
    assert_int_equal(fast.timestamp_ms, any.timestamp_ms);
    assert_true(slice_equal(fast.audio, any.audio));
    ++*vouched;
}

static void parsers_agree(void **state)
{
    struct rand r = {17};
    uint8_t text[2048];
    size_t vouched = 0, mutated = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct builder b = builder_of(text, sizeof(text));
        compose(&r, &b);
        assert_false(b.bad);
        check_agreement(builder_slice(&b), &vouched);
        text[rand_below(&r, (uint32_t)b.len)] ^= (uint8_t)(1u << rand_below(&r, 8));
        check_agreement(builder_slice(&b), &mutated);
    }
    assert_true(vouched > 2000); /* so that the property is about something */
    assert_true(mutated > 200);
}

/* What Twilio sends, and what its neighbours send, takes the fast way. */
static void hot_message_is_taken(void **state)
{
    struct carrier c = started();
    uint8_t text[1024], sound[160] = {0};
    struct twilio_caller caller;
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    twilio_caller_init(&caller, SID, "CA1", "AC1", NULL, NULL);
    twilio_caller_media(&caller, 20, slice_of(sound, sizeof(sound)), &b);
    assert_true(twilio_parse_media(&c, builder_slice(&b), audio, sizeof(audio), &ev));
    assert_int_equal(ev.audio.len, 160);
    for (size_t n = 0; n < b.len; n++) /* truncated: never */
        assert_false(twilio_parse_media(&c, slice_of(text, n), audio, sizeof(audio), &ev));
    assert_true(twilio_parse_media(
        &c,
        SLICE(
            "{\"media\": {\"payload\": \"AAAA\", \"new\": 3, \"chunk\": 2}, \"event\": \"media\"}"),
        audio, sizeof(audio), &ev));
    assert_int_equal(ev.chunk, 2);
}

static void marks_are_read_in_one_pass(void **state)
{
    struct carrier c = {.ops = &carrier_twilio, .phase = CARRIER_STARTED, .stream_id = SID};
    struct twilio_caller caller;
    struct carrier_event one, any;
    char text[256], longest[256];
    struct builder b = builder_of(text, sizeof(text)), l = builder_of(longest, sizeof(longest));

    (void)state;
    c.stream_id_len = strlen(SID);
    twilio_caller_init(&caller, SID, "CA1", "AC1", NULL, NULL);
    twilio_caller_mark(&caller, "7-3", &b);
    assert_true(twilio_parse_mark(&c, builder_slice(&b), &one));
    assert_int_equal(one.kind, CARRIER_MARK);
    assert_string_equal(one.mark, "7-3");
    twilio_parse_any(&c, builder_slice(&b), NULL, 0, &any);
    assert_int_equal(any.kind, CARRIER_MARK);
    assert_int_equal(one.sequence, any.sequence);
    assert_string_equal(any.mark, one.mark);
    for (size_t n = 0; n < b.len; n++) /* truncated: never */
        assert_false(twilio_parse_mark(&c, slice_of(text, n), &one));
    assert_true(twilio_parse_mark(
        &c, SLICE("{\"mark\": {\"new\": 3, \"name\": \"a\"}, \"event\": \"mark\"}"), &one));
    assert_false(
        twilio_parse_mark(&c, SLICE("{\"event\":\"mark\",\"mark\":{\"name\":\"\"}}"), &one));
    assert_false(twilio_parse_mark(&c, SLICE("{\"event\":\"mark\",\"mark\":{}}"), &one));
    assert_false(twilio_parse_mark(
        &c, SLICE("{\"event\":\"mark\",\"mark\":{\"name\":\"a\",\"name\":\"b\"}}"), &one));
    builder_printf(&l, "{\"event\":\"mark\",\"mark\":{\"name\":\"%0*d\"}}", CARRIER_MARK_BYTES, 1);
    assert_false(twilio_parse_mark(&c, builder_slice(&l), &one));
}

/* ---- both ends speak to each other ---- */

static const char *text_of(struct builder *b)
{
    builder_u8(b, 0);
    return (const char *)b->at;
}

static void caller_to_server(void **state)
{
    static uint8_t room[2048];
    struct twilio_caller caller;
    struct carrier c;
    uint8_t sound[160];
    struct builder b = builder_of(room, sizeof(room));

    (void)state;
    memset(sound, 0x55, sizeof(sound));
    carrier_init(&c, &carrier_twilio);
    twilio_caller_init(&caller, SID, "CA1", "AC1", "clinic", "a\"b");
    twilio_caller_connected(&b);
    assert_int_equal(say(&c, text_of(&b)), CARRIER_CONNECTED);
    b = builder_of(room, sizeof(room));
    twilio_caller_start(&caller, &b);
    assert_int_equal(say(&c, text_of(&b)), CARRIER_START);
    assert_string_equal(ev.start.token, "a\"b");
    for (uint64_t i = 1; i <= 3; i++) {
        b = builder_of(room, sizeof(room));
        twilio_caller_media(&caller, 20 * i, slice_of(sound, sizeof(sound)), &b);
        assert_int_equal(say(&c, text_of(&b)), CARRIER_MEDIA);
        assert_int_equal(ev.chunk, i);
        assert_int_equal(ev.sequence, i + 1);
        assert_true(slice_equal(ev.audio, slice_of(sound, sizeof(sound))));
    }
    b = builder_of(room, sizeof(room));
    twilio_caller_dtmf(&caller, '4', &b);
    assert_int_equal(say(&c, text_of(&b)), CARRIER_DTMF);
    b = builder_of(room, sizeof(room));
    twilio_caller_mark(&caller, "m 1", &b);
    assert_int_equal(say(&c, text_of(&b)), CARRIER_MARK);
    assert_string_equal(ev.mark, "m 1");
    b = builder_of(room, sizeof(room));
    twilio_caller_stop(&caller, &b);
    assert_int_equal(say(&c, text_of(&b)), CARRIER_STOP);
    b = builder_of(room, 20);
    twilio_caller_stop(&caller, &b);
    assert_true(b.bad);
}

static struct twilio_heard hear_text(struct slice message)
{
    struct twilio_heard heard;
    struct twilio_caller caller;

    twilio_caller_init(&caller, SID, "CA1", "AC1", NULL, NULL);
    twilio_caller_parse(&caller, message, audio, sizeof(audio), &heard);
    return heard;
}

static void server_to_caller(void **state)
{
    struct carrier c = started();
    static uint8_t room[1024];
    uint8_t sound[160];
    struct builder b = builder_of(room, sizeof(room));

    (void)state;
    memset(sound, 0xAA, sizeof(sound));
    c.ops->media(&c, slice_of(sound, sizeof(sound)), &b);
    struct twilio_heard heard = hear_text(builder_slice(&b));
    assert_int_equal(heard.kind, TWILIO_HEARD_MEDIA);
    assert_true(slice_equal(heard.audio, slice_of(sound, sizeof(sound))));
    b = builder_of(room, sizeof(room));
    c.ops->mark(&c, "m\"7", &b);
    heard = hear_text(builder_slice(&b));
    assert_int_equal(heard.kind, TWILIO_HEARD_MARK);
    assert_string_equal(heard.mark, "m\"7");
    b = builder_of(room, sizeof(room));
    c.ops->clear(&c, &b);
    assert_string_equal(text_of(&b), "{\"event\":\"clear\",\"streamSid\":\"" SID "\"}");
    b.len--;
    assert_int_equal(hear_text(builder_slice(&b)).kind, TWILIO_HEARD_CLEAR);
    assert_int_equal(hear_text(SLICE("{\"event\":\"clear\"}")).kind, TWILIO_HEARD_BAD);
    assert_int_equal(hear_text(SLICE("{")).kind, TWILIO_HEARD_BAD);
    assert_int_equal(
        hear_text(SLICE("{\"event\":\"mark\",\"streamSid\":\"" SID "\",\"name\":\"m\"}")).kind,
        TWILIO_HEARD_BAD);
    assert_int_equal(hear_text(SLICE("{\"event\":\"media\",\"streamSid\":\"" SID
                                     "\",\"media\":{\"payload\":\"\"}}"))
                         .kind,
                     TWILIO_HEARD_BAD);
    assert_int_equal(hear_text(SLICE("{\"event\":\"x\",\"streamSid\":\"" SID "\"}")).kind,
                     TWILIO_HEARD_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_read_in_one_pass),
        cmocka_unit_test(detection),
        cmocka_unit_test(one_call),
        cmocka_unit_test(bad_messages),
        cmocka_unit_test(bad_starts),
        cmocka_unit_test(name_limits),
        cmocka_unit_test(payload_limits),
        cmocka_unit_test(order),
        cmocka_unit_test(parsers_agree),
        cmocka_unit_test(hot_message_is_taken),
        cmocka_unit_test(caller_to_server),
        cmocka_unit_test(server_to_caller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
