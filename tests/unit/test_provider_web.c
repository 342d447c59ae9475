/* What providers behind a network are composed of: event streams, query, header lines, multipart
 * bodies, and what loading one says when something is missing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "actors/world.h"
#include "provider/answer.h"
#include "provider/sse.h"
#include "provider/utterance.h"
#include "provider/web.h"

/* ---- event streams ---- */

static char story[1024];

static void tell(struct slice name, struct slice data)
{
    size_t at = strlen(story);

    snprintf(story + at, sizeof(story) - at, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(data));
}

static enum sse_kind read_stream(struct slice bytes, size_t step, size_t room)
{
    static uint8_t buffer[4096];
    struct sse s;
    struct sse_event ev;
    enum sse_kind kind = SSE_MORE;

    story[0] = '\0';
    sse_init(&s, buffer, room);
    for (size_t i = 0; i < bytes.len && kind != SSE_TOO_LONG; i += step) {
        struct slice in = slice_of(bytes.at + i, bytes.len - i < step ? bytes.len - i : step);
        while ((kind = sse_next(&s, &in, &ev)) == SSE_EVENT)
            tell(ev.name, ev.data);
        assert_true(kind == SSE_TOO_LONG || in.len == 0);
    }
    if (sse_end(&s, &ev) == SSE_EVENT)
        tell(ev.name, ev.data);
    return kind;
}

static void streams_are_read_however_they_are_cut(void **state)
{
    struct slice bytes = SLICE("\xEF\xBB\xBF: hello\n"
                               "data: one\n\n"
                               "event: named\r\ndata:two\r\ndata:  three\r\n\r\n"
                               "id: 7\rretry: 1\rdata\rdata: four\r\r"
                               "event: nothing\n\n"
                               "what: ever\n\n\n"
                               "data: last");

    (void)state;
    for (size_t step = 1; step <= bytes.len; step++) {
        assert_int_equal(read_stream(bytes, step, 64), SSE_MORE);
        assert_string_equal(story, "message=one;named=two\n three;message=\nfour;message=last;");
    }
}

static void an_event_as_large_as_the_room_and_one_beyond(void **state)
{
    char text[80];

    (void)state;
    int n = snprintf(text, sizeof(text), "data: %s\n\n", "0123456789012345678901234");
    assert_int_equal(read_stream(slice_of(text, (size_t)n), 3, 32), SSE_MORE);
    assert_string_equal(story, "message=0123456789012345678901234;");
    assert_int_equal(read_stream(slice_of(text, (size_t)n), 3, 31), SSE_TOO_LONG);
    assert_string_equal(story, "");
}

/* ---- composing ---- */

static void queries_are_encoded(void **state)
{
    char text[256];
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    builder_str(&b, "wss://a/b");
    web_query(&b, "k", SLICE("x y&z=\r\n\xC3\xA9"));
    web_query_int(&b, "n", -3);
    assert_true(slice_equal(builder_slice(&b), SLICE("wss://a/b?k=x%20y%26z%3D%0D%0A%C3%A9&n=-3")));
}

static void header_lines_take_no_second_line(void **state)
{
    static const char *const bad[] = {"a\r\nX: y", "a\nb", "a\x01", "\xC3\xA9", "a\tb\x7F"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct builder b = builder_of(text, sizeof(text));
        web_header(&b, "A", slice_str(bad[i]));
        assert_true(b.bad);
        assert_int_equal(b.len, 0);
    }
    struct builder b = builder_of(text, sizeof(text));
    web_header_word(&b, "Authorization", "Bearer", SLICE("k"));
    assert_true(slice_equal(builder_slice(&b), SLICE("Authorization: Bearer k\r\n")));
}

static void base_urls_are_checked(void **state)
{
    static const char *const good[] = {"https://api.example/v1", "http://127.0.0.1:8080",
                                       "http://[::1]:80/a"};
    static const char *const bad[] = {"",
                                      "api.example",
                                      "ftp://a/",
                                      "https:/a",
                                      "https://",
                                      "https:///v1",
                                      "https://a b/",
                                      "https://a\r\nX: y/",
                                      "https://user@a/",
                                      "https://a/?q",
                                      "https://a/#f",
                                      "https://\xC3\xA9/"};
    char most[WEB_URL_MAX + 2] = "http://";
    const char *what;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(web_url_check(slice_str(good[i]), "https http", &what), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(web_url_check(slice_str(bad[i]), "https http", &what), -EINVAL);
    memset(most + 7, 'a', WEB_URL_MAX - 7);
    assert_int_equal(web_url_check(slice_str(most), "http", &what), 0);
    most[WEB_URL_MAX] = 'a';
    assert_int_equal(web_url_check(slice_str(most), "http", &what), -EMSGSIZE);
}

static void a_boundary_is_not_in_the_content(void **state)
{
    char text[1024];
    struct builder b = builder_of(text, sizeof(text));
    struct web_parts p;

    (void)state;
    web_parts_begin(&p, &b, SLICE_NONE);
    char first[WEB_BOUNDARY_CHARS + 1];
    memcpy(first, p.boundary, sizeof(first));
    web_parts_begin(&p, &b, slice_str(first));
    assert_string_not_equal(p.boundary, first);
    web_parts_field(&p, "model", slice_str(p.boundary)); /* made to break it */
    assert_true(b.bad);
}

/* ---- loading ---- */

static const struct provider_ops *find(enum provider_kind kind, const char *name)
{
    const struct provider_ops *ops = provider_find(kind, name);

    assert_non_null(ops);
    return ops;
}

static void refused(enum provider_kind kind, const char *name, struct provider_config config,
                    const char *sentence)
{
    const struct provider_ops *ops = find(kind, name);
    const void *loaded = NULL;
    char why[512] = "";

    config.language = "en";
    config.prompt = config.prompt ? config.prompt : "";
    assert_int_equal(ops->load(&config, &loaded, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, sentence);
    assert_null(loaded);
}

#define SETTINGS(...)                                                                              \
    .settings = (struct provider_setting[]){__VA_ARGS__},                                          \
    .setting_count =                                                                               \
        sizeof((struct provider_setting[]){__VA_ARGS__}) / sizeof(struct provider_setting)

static void what_is_missing_is_said(void **state)
{
    (void)state;
    refused(PROVIDER_STT, "deepgram", (struct provider_config){0},
            "stt.api_key: must be given, or the environment variable DEEPGRAM_API_KEY set: "
            "\"deepgram\" needs a key");
    refused(PROVIDER_LLM, "anthropic", (struct provider_config){.env_key = "k"},
            "llm.model: must be given for \"anthropic\"");
    refused(PROVIDER_LLM, "openai",
            (struct provider_config){SETTINGS({"base_url", "http://127.0.0.1:8080/v1"})},
            "llm.model: must be given for \"openai\"");
    refused(PROVIDER_STT, "openai",
            (struct provider_config){.env_key = "k", SETTINGS({"encoding", "opus"})},
            "stt.encoding: must be one of: linear16 mulaw");
    refused(PROVIDER_STT, "vosk", (struct provider_config){SETTINGS({"base_url", "http://a"})},
            "stt.base_url: has a scheme that does not fit here; expected is a URL of: ws wss");
    refused(PROVIDER_STT, "deepgram",
            (struct provider_config){.env_key = "k", SETTINGS({"endpointing_ms", "soon"})},
            "stt.endpointing_ms: must be a whole number from 0 to 10000");
}

static void a_key_that_is_none_is_not_repeated(void **state)
{
    (void)state;
    refused(PROVIDER_LLM, "openai",
            (struct provider_config){SETTINGS({"api_key", "sk-secret\r\nX-Evil: 1"})},
            "llm.api_key: is no key: it is too long or holds unprintable characters");
}

static void a_prompt_larger_than_a_request_is_refused(void **state)
{
    char *prompt = malloc(ANSWER_SYSTEM_BYTES + 1);

    (void)state;
    assert_non_null(prompt);
    memset(prompt, 'x', ANSWER_SYSTEM_BYTES);
    prompt[ANSWER_SYSTEM_BYTES] = '\0';
    refused(PROVIDER_LLM, "openai", (struct provider_config){.env_key = "k", .prompt = prompt},
            "llm.provider: prompt and tools are more than 98304 bytes of JSON");
    free(prompt);
}

static void tools_must_be_sound(void **state)
{
    struct provider_tool tool = {.name = "look up", .description = ""};

    (void)state;
    refused(PROVIDER_LLM, "openai",
            (struct provider_config){.env_key = "k", .tools = &tool, .tool_count = 1},
            "llm.tools: \"look up\" cannot be a tool's name");
    tool = (struct provider_tool){.name = "a", .description = "", .parameters = "[]"};
    refused(PROVIDER_LLM, "openai",
            (struct provider_config){.env_key = "k", .tools = &tool, .tool_count = 1},
            "llm.tools: the parameters of a are no JSON object");
}

/* The vendor's variable is for the vendor's own address alone. */
static void a_key_from_the_environment_goes_nowhere_else(void **state)
{
    const struct provider_ops *ops = find(PROVIDER_LLM, "openai");
    static _Alignas(16) uint8_t memory[262144];
    struct provider_config config = {.env_key = "env-key",
                                     .language = "en",
                                     .prompt = "",
                                     .greeting = "",
                                     .model = "m",
                                     SETTINGS({"base_url", "http://127.0.0.1:8080/v1"})};
    struct provider_turn turn = {.kind = TURN_HEARD, .text = SLICE("hi")};
    static struct intents out;
    char why[512];

    (void)state;
    assert_true(ops->state_bytes <= sizeof(memory));
    for (int own = 0; own < 2; own++) {
        config.setting_count = own ? 0 : 1;
        assert_int_equal(ops->load(&config, &config.loaded, why, sizeof(why)), 0);
        memset(memory, 0, sizeof(memory));
        intents_init(&out);
        ops->step(memory, &(struct provider_input){.kind = INPUT_START, .config = &config}, 0,
                  &out);
        ops->step(memory,
                  &(struct provider_input){
                      .kind = INPUT_TURN, .epoch = 1, .turn = &turn, .config = &config},
                  0, &out);
        assert_int_equal(out.count, 1);
        bool named = memmem(out.list[0].head.at, out.list[0].head.len, "env-key", 7) != NULL;
        assert_int_equal(named, own);
        ops->unload(config.loaded);
    }
}

static void a_nul_that_was_heard_is_a_blank_in_the_request(void **state)
{
    const struct provider_ops *ops = find(PROVIDER_LLM, "openai");
    static _Alignas(16) uint8_t memory[262144];
    struct provider_config config = {
        .env_key = "k", .language = "en", .prompt = "", .greeting = ""};
    struct provider_line line = {.text = SLICE("a\0b")};
    struct provider_turn turn = {
        .kind = TURN_HEARD, .text = SLICE("c\0d"), .history = &line, .history_count = 1};
    static struct intents out;
    char why[512];

    (void)state;
    assert_int_equal(ops->load(&config, &config.loaded, why, sizeof(why)), 0);
    intents_init(&out);
    ops->step(
        memory,
        &(struct provider_input){.kind = INPUT_TURN, .epoch = 1, .turn = &turn, .config = &config},
        0, &out);
    assert_int_equal(out.count, 1);
    struct slice body = out.list[0].body;
    assert_non_null(memmem(body.at, body.len, "a b\\nc d", 8));
    ops->unload(config.loaded);
}

/* ---- through an agent's file ---- */

static const char *environment(const char *name)
{
    return strcmp(name, "DEEPGRAM_API_KEY") == 0 ? "from-environment"
           : strcmp(name, "MY_KEY") == 0         ? "from-file"
                                                 : NULL;
}

static int load_agent(const char *stt, struct bundle **bundle, char *why)
{
    char text[1024];
    struct agent *agent;

    snprintf(text, sizeof(text),
             "name: A\nllm: {provider: scripted}\ntts: {provider: scripted}\nstt:\n%s", stt);
    int err = agent_read("a.yaml", slice_str(text), environment, &agent, why, 512);
    if (err == 0 && (err = bundle_new(agent, ".", bundle, why, 512)))
        agent_put(&agent);
    return err;
}

static void complaints_name_file_line_and_key(void **state)
{
    struct bundle *bundle = NULL;
    char why[512];

    (void)state;
    assert_int_equal(load_agent("  provider: openai\n", &bundle, why), -EINVAL);
    assert_string_equal(why, "a.yaml:4: stt.api_key: must be given, or the environment variable "
                             "OPENAI_API_KEY set: \"openai\" needs a key");
    assert_int_equal(load_agent("  provider: deepgram\n  encoding: opus\n", &bundle, why), -EINVAL);
    assert_string_equal(why, "a.yaml:6: stt.encoding: must be one of: mulaw linear16");
    assert_int_equal(load_agent("  provider: deepgram\n  key: x\n", &bundle, why), -EINVAL);
    assert_string_equal(why, "a.yaml:6: stt.key: the provider \"deepgram\" has no such setting");
}

/* All that is missing is told at once, so that it can all be mended at once. */
static void every_missing_key_has_a_line(void **state)
{
    static const char text[] = "name: A\nllm: {provider: openai}\n"
                               "tts:\n  provider: cartesia\n  voice: v\n"
                               "  fallbacks:\n    - provider: elevenlabs\n"
                               "stt: {provider: deepgram}\n";
    struct bundle *bundle;
    struct agent *agent;
    char why[1024];

    (void)state;
    assert_int_equal(agent_read("a.yaml", slice_str(text), environment, &agent, why, sizeof(why)),
                     0);
    assert_int_equal(bundle_new(agent, ".", &bundle, why, sizeof(why)), -EINVAL);
    assert_string_equal(
        why, "a.yaml:2: llm.api_key: must be given, or the environment variable OPENAI_API_KEY "
             "set: \"openai\" needs a key\n"
             "a.yaml:3: tts.api_key: must be given, or the environment variable CARTESIA_API_KEY "
             "set: \"cartesia\" needs a key\n"
             "a.yaml:7: tts.fallbacks[0].api_key: must be given, or the environment variable "
             "ELEVENLABS_API_KEY set: \"elevenlabs\" needs a key");
    agent_put(&agent);
}

static void keys_come_from_file_or_environment(void **state)
{
    struct bundle *bundle = NULL;
    char why[512];

    (void)state;
    assert_int_equal(load_agent("  provider: deepgram\n", &bundle, why), 0);
    assert_string_equal(bundle->roles[PROVIDER_STT].at[0].config.env_key, "from-environment");
    assert_int_equal(provider_rate_hz(bundle->roles[PROVIDER_STT].at[0].ops,
                                      &bundle->roles[PROVIDER_STT].at[0].config),
                     8000);
    bundle_free(&bundle);
    assert_int_equal(load_agent("  provider: openai\n  api_key: ${MY_KEY}\n", &bundle, why), 0);
    assert_string_equal(provider_setting(&bundle->roles[PROVIDER_STT].at[0].config, "api_key", ""),
                        "from-file");
    bundle_free(&bundle);
    assert_int_equal(load_agent("  provider: vosk\n  rate_hz: 8000\n", &bundle, why), 0);
    assert_int_equal(provider_rate_hz(bundle->roles[PROVIDER_STT].at[0].ops,
                                      &bundle->roles[PROVIDER_STT].at[0].config),
                     8000);
    bundle_free(&bundle);
}

/* ---- utterances ---- */

static void the_oldest_sound_gives_way(void **state)
{
    static struct utterance u;
    static struct intents out;
    uint8_t bytes[1000];

    (void)state;
    memset(&u, 0, sizeof(u));
    intents_init(&out);
    assert_true(utterance_open(&u, 1, &out));
    for (int i = 0; i < 60; i++) {
        memset(bytes, i, sizeof(bytes));
        utterance_put(&u, slice_of(bytes, sizeof(bytes)));
    }
    assert_int_equal(u.end - u.begin, UTTERANCE_AUDIO_BYTES);
    struct slice oldest = utterance_peek(&u, u.begin, 8);
    assert_int_equal(oldest.at[0], (60000 - UTTERANCE_AUDIO_BYTES) / 1000);
    assert_int_equal(utterance_peek(&u, u.end - 1, 8).at[0], 59);
    assert_int_equal(utterance_peek(&u, u.begin - 1, 8).len, 0);
}

static void words_beyond_a_turn_are_cut_at_a_character(void **state)
{
    static struct utterance u;
    static struct intents out;

    (void)state;
    memset(&u, 0, sizeof(u));
    intents_init(&out);
    assert_true(utterance_open(&u, 1, &out));
    for (int i = 0; i < 1000; i++)
        utterance_words(&u, SLICE("\xC3\xA9t\xC3\xA9"), 50);
    assert_true(utterance_finish(&u, 1, 0, &out));
    utterance_final(&u, &out);
    assert_int_equal(out.count, 1);
    assert_true(out.list[0].text.len <= TURN_TEXT_BYTES_MAX);
    assert_true(out.list[0].text.len > TURN_TEXT_BYTES_MAX - 8);
    assert_true(slice_is_utf8(out.list[0].text));
    assert_int_equal(out.list[0].confidence, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_read_however_they_are_cut),
        cmocka_unit_test(an_event_as_large_as_the_room_and_one_beyond),
        cmocka_unit_test(queries_are_encoded),
        cmocka_unit_test(header_lines_take_no_second_line),
        cmocka_unit_test(base_urls_are_checked),
        cmocka_unit_test(a_boundary_is_not_in_the_content),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(a_key_that_is_none_is_not_repeated),
        cmocka_unit_test(a_prompt_larger_than_a_request_is_refused),
        cmocka_unit_test(tools_must_be_sound),
        cmocka_unit_test(a_key_from_the_environment_goes_nowhere_else),
        cmocka_unit_test(a_nul_that_was_heard_is_a_blank_in_the_request),
        cmocka_unit_test(complaints_name_file_line_and_key),
        cmocka_unit_test(every_missing_key_has_a_line),
        cmocka_unit_test(keys_come_from_file_or_environment),
        cmocka_unit_test(the_oldest_sound_gives_way),
        cmocka_unit_test(words_beyond_a_turn_are_cut_at_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
