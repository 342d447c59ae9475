/* The two dialects of browsers: what they take, what they refuse, what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base64.h"
#include "carrier/carrier.h"

extern const struct carrier_ops carrier_browser, carrier_voiceera, carrier_twilio;

#define AUTH   "{\"type\":\"auth\",\"token\":\"t0k\"}"
#define BINARY "{\"type\":\"auth\",\"token\":\"t0k\",\"binary\":true}"
#define START  "{\"event\":\"start\",\"start\":{\"callSid\":\"c-1\",\"streamSid\":\"s_1\"}}"
#define CALL   "6740a1b2-1f03-03-00002a"

static struct carrier_event ev;
static uint8_t audio[200];
static char out[2048];

static enum carrier_event_kind say(struct carrier *c, const char *message)
{
    c->ops->parse(c, true, slice_str(message), audio, sizeof(audio), &ev);
    return ev.kind;
}

static enum carrier_event_kind say_binary(struct carrier *c, struct slice message)
{
    c->ops->parse(c, false, message, audio, sizeof(audio), &ev);
    return ev.kind;
}

static struct carrier begun(const struct carrier_ops *ops, const char *first)
{
    struct carrier c;

    carrier_init(&c, ops);
    assert_int_equal(say(&c, first), CARRIER_START);
    return c;
}

static const char *made(const struct builder *b)
{
    assert_false(b->bad);
    out[b->len] = '\0';
    return out;
}

static struct builder room(void)
{
    return builder_of(out, sizeof(out) - 1);
}

/* ---- which one it is ---- */

static void the_path_tells_them_apart(void **state)
{
    const struct carrier_ops *ops;
    struct slice start = SLICE(START), auth = SLICE(AUTH);

    (void)state;
    assert_int_equal(carrier_find(true, start, &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_twilio);
    assert_int_equal(carrier_find_at(CARRIER_PATH_BROWSER, true, start, &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_voiceera);
    assert_int_equal(carrier_find(true, auth, &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_browser);
    assert_int_equal(carrier_find_at(CARRIER_PATH_BROWSER, true, auth, &ops), CARRIER_YES);
    assert_ptr_equal(ops, &carrier_browser);
    assert_int_equal(carrier_find_at(CARRIER_PATH_BROWSER, false, auth, &ops), CARRIER_NO);
    assert_true(carrier_browser.token_always && carrier_voiceera.token_always);
    assert_false(carrier_twilio.token_always);
}

/* ---- our own ---- */

static void one_call_in_json(void **state)
{
    struct carrier c = begun(&carrier_browser, AUTH);
    struct builder b = room();

    (void)state;
    assert_string_equal(ev.start.token, "t0k");
    assert_int_equal(ev.start.encoding, CARRIER_L16);
    assert_int_equal(ev.start.rate_hz, 16000);
    assert_false(c.binary_audio);
    c.ops->ready(&c, CALL, &b);
    assert_string_equal(made(&b), "{\"type\":\"ready\",\"session_id\":\"" CALL
                                  "\",\"format\":\"pcm_16k\",\"binary\":false}");
    assert_int_equal(say(&c, "{\"type\":\"audio\",\"session_id\":\"" CALL "\",\"timestamp\":17.25,"
                             "\"sequence\":\"3\",\"data\":\"AQACAA==\",\"format\":\"pcm_16k\"}"),
                     CARRIER_MEDIA);
    assert_true(slice_equal(ev.audio, SLICE("\1\0\2\0")));
    assert_int_equal(ev.sequence, 3);
    assert_int_equal(say(&c, "{\"type\":\"audio\",\"data\":\"AQACAA==\"}"), CARRIER_MEDIA);
    assert_int_equal(say(&c, "{\"type\":\"audio\",\"data\":\"\"}"), CARRIER_IGNORED);
    assert_int_equal(say(&c, "{\"type\":\"dtmf\",\"digit\":\"#\"}"), CARRIER_DTMF);
    assert_int_equal(ev.digit, '#');
    assert_int_equal(say(&c, "{\"type\":\"mark\",\"name\":\"m7\"}"), CARRIER_MARK);
    assert_string_equal(ev.mark, "m7");
    assert_int_equal(say(&c, "{\"type\":\"something new\"}"), CARRIER_IGNORED);
    assert_int_equal(say(&c, "{\"type\":\"stop\"}"), CARRIER_STOP);
    assert_int_equal(say(&c, "nonsense"), CARRIER_IGNORED);
}

static void audio_in_binary_where_it_was_asked_for(void **state)
{
    struct carrier c = begun(&carrier_browser, BINARY);
    struct builder b = room();

    (void)state;
    assert_true(c.binary_audio);
    assert_int_equal(say_binary(&c, SLICE("\1\0\2\0")), CARRIER_MEDIA);
    assert_true(slice_equal(ev.audio, SLICE("\1\0\2\0")));
    assert_int_equal(say_binary(&c, SLICE("")), CARRIER_IGNORED);
    c.ops->media(&c, SLICE("\3\0\4\0"), &b);
    assert_int_equal(b.len, 4);
    assert_memory_equal(out, "\3\0\4\0", 4);
    assert_int_equal(say_binary(&c, SLICE("\1\0\2")), CARRIER_BAD);

    c = begun(&carrier_browser, BINARY);
    assert_int_equal(say_binary(&c, slice_of(out, sizeof(audio) + 2)), CARRIER_BAD);
    c = begun(&carrier_browser, AUTH);
    assert_int_equal(say_binary(&c, SLICE("\1\0")), CARRIER_BAD);
    carrier_init(&c, &carrier_browser);
    assert_int_equal(say_binary(&c, SLICE("\1\0")), CARRIER_BAD);
}

static void bad_messages(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"type\":1}",
        AUTH, /* a second one */
        "{\"type\":\"audio\"}",
        "{\"type\":\"audio\",\"data\":5}",
        "{\"type\":\"audio\",\"data\":\"A\"}",
        "{\"type\":\"audio\",\"data\":\"AAAA\"}", /* three bytes */
        "{\"type\":\"audio\",\"data\":\"AAA=\",\"format\":\"opus\"}",
        "{\"type\":\"audio\",\"data\":\"AAA=\",\"sequence\":-1}",
        "{\"type\":\"audio\",\"data\":\"AAA=\",\"session_id\":\"another\"}",
        "{\"type\":\"mark\"}",
        "{\"type\":\"mark\",\"name\":[]}",
        "{\"type\":\"dtmf\",\"digit\":\"x\"}",
        "{\"type\":\"dtmf\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct carrier c = begun(&carrier_browser, AUTH);
        struct builder b = room();
        c.ops->ready(&c, CALL, &b);
        assert_int_equal(say(&c, wrong[i]), CARRIER_BAD);
        assert_true(ev.what[0] != '\0');
        assert_int_equal(say(&c, "{\"type\":\"stop\"}"), CARRIER_IGNORED);
    }
}

static void bad_beginnings(void **state)
{
    static char token[CARRIER_TOKEN_BYTES + 64];
    static const char *const wrong[] = {
        "{\"type\":\"audio\",\"data\":\"AAA=\"}",
        "{\"type\":\"auth\",\"token\":[]}",
        "{\"type\":\"auth\",\"token\":\"t\",\"binary\":\"perhaps\"}",
        token,
    };

    (void)state;
    memset(token, 'x', sizeof(token) - 1);
    memcpy(token, "{\"type\":\"auth\",\"token\":\"", 24);
    memcpy(token + sizeof(token) - 3, "\"}", 2);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct carrier c;
        carrier_init(&c, &carrier_browser);
        assert_int_equal(say(&c, wrong[i]), CARRIER_BAD);
    }
}

static void audio_does_not_go_back(void **state)
{
    struct carrier c = begun(&carrier_browser, AUTH);

    (void)state;
    assert_int_equal(say(&c, "{\"type\":\"audio\",\"sequence\":9,\"data\":\"AAA=\"}"),
                     CARRIER_MEDIA);
    assert_int_equal(say(&c, "{\"type\":\"audio\",\"sequence\":8,\"data\":\"AAA=\"}"), CARRIER_BAD);
}

static void too_much_audio_in_one_message(void **state)
{
    struct carrier c = begun(&carrier_browser, AUTH);
    char text[512] = "{\"type\":\"audio\",\"data\":\"";
    size_t len = strlen(text);

    (void)state;
    memset(text + len, 'A', 280); /* 210 bytes */
    memcpy(text + len + 280, "\"}", 3);
    assert_int_equal(say(&c, text), CARRIER_BAD);
    assert_string_equal(ev.what, "audio too long");
}

static void what_a_page_is_told(void **state)
{
    struct carrier c = begun(&carrier_browser, AUTH);
    struct carrier_news news = {
        .kind = CARRIER_NEWS_WORDS, .turn = 3, .user = true, .text = SLICE("say \"<b>\"")};
    struct builder b = room();

    (void)state;
    c.ops->tell(&c, &news, &b);
    assert_string_equal(made(&b), "{\"type\":\"transcript\",\"turn\":3,\"role\":\"user\",\"text\":"
                                  "\"say \\\"<b>\\\"\",\"final\":false}");
    news = (struct carrier_news){.kind = CARRIER_NEWS_WORDS, .turn = 3, .final = true, .cut = true};
    b = room();
    c.ops->tell(&c, &news, &b);
    assert_string_equal(made(&b), "{\"type\":\"transcript\",\"turn\":3,\"role\":\"assistant\","
                                  "\"text\":\"\",\"final\":true,\"cut\":true}");
    news = (struct carrier_news){.kind = CARRIER_NEWS_STATE, .state = "thinking"};
    b = room();
    c.ops->tell(&c, &news, &b);
    assert_string_equal(made(&b), "{\"type\":\"state\",\"state\":\"thinking\"}");
    news = (struct carrier_news){.kind = CARRIER_NEWS_LATENCY,
                                 .turn = 1,
                                 .barge_in = true,
                                 .instants_ms = {1000, 1290, 1300, -1, 1340, 1350}};
    b = room();
    c.ops->tell(&c, &news, &b);
    assert_string_equal(made(&b),
                        "{\"type\":\"latency\",\"turn\":1,\"barge_in\":true,\"keys\":false,"
                        "\"last_voiced_ms\":1000,\"decided_ms\":1290,\"stt_final_ms\":1300,"
                        "\"first_token_ms\":null,\"first_tts_ms\":1340,\"first_audible_ms\":1350}");
}

static void audio_out_in_json(void **state)
{
    struct carrier c = begun(&carrier_browser, AUTH);
    struct builder b = room();

    (void)state;
    c.ops->ready(&c, CALL, &b);
    b = room();
    c.out_sequence = 12;
    c.out_timestamp_ms = 240;
    c.ops->media(&c, SLICE("\1\0\2\0"), &b);
    assert_string_equal(made(&b),
                        "{\"type\":\"audio\",\"session_id\":\"" CALL "\",\"timestamp\":240,"
                        "\"sequence\":12,\"format\":\"pcm_16k\",\"data\":\"AQACAA==\"}");
    b = room();
    c.ops->mark(&c, "m1", &b);
    assert_string_equal(made(&b), "{\"type\":\"mark\",\"name\":\"m1\"}");
    b = room();
    c.ops->clear(&c, &b);
    assert_string_equal(made(&b), "{\"type\":\"clear\"}");
}

/* ---- VoiceERA's ---- */

static void voiceera_call(void **state)
{
    struct carrier c = begun(&carrier_voiceera, START);
    struct builder b = room();
    struct carrier_news news = {.kind = CARRIER_NEWS_WORDS,
                                .user = true,
                                .final = true,
                                .text = SLICE("hello"),
                                .wall_ms = 1709210096789}; /* a leap day */

    (void)state;
    assert_string_equal(ev.start.stream_id, "s_1");
    assert_string_equal(ev.start.call_id, "c-1");
    assert_string_equal(ev.start.token, "");
    assert_int_equal(say(&c, "{\"event\":\"media\",\"media\":{\"contentType\":\"audio/x-l16\","
                             "\"sampleRate\":16000,\"payload\":\"AQACAA==\"}}"),
                     CARRIER_MEDIA);
    assert_true(slice_equal(ev.audio, SLICE("\1\0\2\0")));
    assert_int_equal(say(&c, "{\"event\":\"other\"}"), CARRIER_IGNORED);
    c.ops->media(&c, SLICE("\1\0"), &b);
    assert_string_equal(made(&b), "{\"event\":\"playAudio\",\"media\":{\"contentType\":"
                                  "\"audio/x-l16\",\"sampleRate\":16000,\"payload\":\"AQA=\"},"
                                  "\"streamId\":\"s_1\"}");
    b = room();
    c.ops->clear(&c, &b);
    assert_string_equal(made(&b), "{\"event\":\"clearAudio\",\"streamId\":\"s_1\"}");
    b = room();
    c.ops->tell(&c, &news, &b);
    assert_string_equal(made(&b),
                        "{\"event\":\"transcript\",\"role\":\"user\",\"content\":\"hello\""
                        ",\"timestamp\":\"2024-02-29T12:34:56.789Z\"}");
    news.final = false;
    b = room();
    c.ops->tell(&c, &news, &b);
    assert_int_equal(b.len, 0);
    assert_int_equal(say(&c, "{\"event\":\"stop\"}"), CARRIER_STOP);
}

static void voiceera_takes_both_names(void **state)
{
    (void)state;
    begun(&carrier_voiceera, "{\"event\":\"start\",\"start\":{\"callId\":\"c\",\"streamId\":\"s\","
                             "\"token\":\"t0k\"}}");
    assert_string_equal(ev.start.call_id, "c");
    assert_string_equal(ev.start.token, "t0k");
}

static void voiceera_refuses(void **state)
{
    static const char *const first[] = {
        "{\"event\":\"start\"}",
        "{\"event\":\"start\",\"start\":{\"callSid\":\"c\"}}",
        "{\"event\":\"start\",\"start\":{\"callSid\":\"c\",\"streamSid\":\"a b\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAA=\"}}",
    };
    static const char *const later[] = {
        "",
        "{}",
        START,
        "{\"event\":\"media\"}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"!\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAA=\",\"sampleRate\":8000}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAA=\",\"contentType\":\"audio/x-mulaw\"}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        struct carrier c;
        carrier_init(&c, &carrier_voiceera);
        assert_int_equal(say(&c, first[i]), CARRIER_BAD);
    }
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        struct carrier c = begun(&carrier_voiceera, START);
        assert_int_equal(say(&c, later[i]), CARRIER_BAD);
    }
    struct carrier c = begun(&carrier_voiceera, START);
    assert_int_equal(say_binary(&c, SLICE("\0\0")), CARRIER_BAD);
}

/* Every cut of a message is refused or ignored, and never read beyond its end. */
static void cut_messages(void **state)
{
    static const char whole[] = "{\"type\":\"audio\",\"sequence\":1,\"data\":\"AQACAA==\"}";

    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        struct carrier c = begun(&carrier_browser, AUTH);
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, whole, len);
        c.ops->parse(&c, true, slice_of(copy, len), audio, sizeof(audio), &ev);
        assert_int_equal(ev.kind, CARRIER_BAD);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_tells_them_apart),
        cmocka_unit_test(one_call_in_json),
        cmocka_unit_test(audio_in_binary_where_it_was_asked_for),
        cmocka_unit_test(bad_messages),
        cmocka_unit_test(bad_beginnings),
        cmocka_unit_test(audio_does_not_go_back),
        cmocka_unit_test(too_much_audio_in_one_message),
        cmocka_unit_test(what_a_page_is_told),
        cmocka_unit_test(audio_out_in_json),
        cmocka_unit_test(voiceera_call),
        cmocka_unit_test(voiceera_takes_both_names),
        cmocka_unit_test(voiceera_refuses),
        cmocka_unit_test(cut_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
