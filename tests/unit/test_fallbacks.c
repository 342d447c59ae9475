/* Fallbacks as an agent's file names them: read, refused with file, line and key, and loaded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "actors/world.h"

static char why[CONFIG_WHY_BYTES];

static const char *environment(const char *name)
{
    return strcmp(name, "OPENAI_API_KEY") == 0 ? "from-environment" : NULL;
}

static struct agent *agent_of(const char *text)
{
    struct agent *agent = NULL;
    int err = agent_read("a.yaml", slice_str(text), environment, &agent, why, sizeof(why));

    assert_int_equal(err != 0, agent == NULL);
    return agent;
}

/* What is wrong with it, or "". */
static const char *load_says(const char *text)
{
    struct agent *agent = agent_of(text);
    struct bundle *bundle = NULL;

    if (!agent)
        return why;
    if (bundle_new(agent, ".", &bundle, why, sizeof(why)) == 0) {
        bundle_free(&bundle);
        return "";
    }
    agent_put(&agent);
    return why;
}

#define HEAD "name: A\nstt: {provider: scripted}\ntts: {provider: scripted}\n"

static void they_are_read_in_order(void **state)
{
    struct agent *a = agent_of("name: A\n"
                               "llm:\n"
                               "  provider: openai\n"
                               "  model: big\n"
                               "  fallbacks:\n"
                               "    - {provider: anthropic, model: other, api_key: k}\n"
                               "    - provider: openai\n"
                               "      temperature: 0.1\n"
                               "      base_url: http://127.0.0.1:1/v1\n"
                               "tts:\n"
                               "  fallbacks: [{provider: flite, voice: slt, speed: 1.5}]\n");

    (void)state;
    assert_non_null(a);
    assert_int_equal(a->llm.fallback_count, 2);
    assert_int_equal(a->stt.fallback_count, 0);
    assert_string_equal(a->llm.fallbacks[0].provider, "anthropic");
    assert_string_equal(a->llm.fallbacks[0].model, "other");
    assert_true(a->llm.fallbacks[0].temperature > 0.69);
    assert_int_equal(a->llm.fallbacks[0].settings.count, 1);
    assert_string_equal(a->llm.fallbacks[0].settings.at[0].key, "api_key");
    assert_true(a->llm.fallbacks[1].temperature < 0.11);
    assert_int_equal(a->llm.fallbacks[1].settings.at[0].line, 9);
    assert_string_equal(a->tts.fallbacks[0].voice, "slt");
    assert_true(a->tts.fallbacks[0].speed > 1.49);
    assert_int_equal(a->llm.settings.count, 0); /* the list is no setting of the first */
    assert_string_equal(agent_provider_at(a, "llm", 0)->model, "big");
    assert_string_equal(agent_provider_at(a, "llm", 2)->provider, "openai");
    assert_null(agent_provider_at(a, "llm", 3));
    assert_null(agent_provider_at(a, "stt", 1));
    agent_put(&a);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    assert_string_equal(load_says("name: A\nllm:\n  fallbacks: openai\n"),
                        "a.yaml:3: llm.fallbacks: must be a list");
    assert_string_equal(load_says("name: A\nllm:\n  fallbacks: [openai]\n"),
                        "a.yaml:3: llm.fallbacks[0]: must be a block of keys");
    assert_string_equal(load_says("name: A\nllm:\n  fallbacks:\n    - {model: m}\n"),
                        "a.yaml:4: llm.fallbacks[0].provider: must be given");
    assert_string_equal(
        load_says("name: A\nllm:\n  fallbacks:\n    - provider: openai\n      temperature: 3\n"),
        "a.yaml:5: llm.fallbacks[0].temperature: \"3\" is outside 0 to 2");
    assert_string_equal(
        load_says("name: A\nstt:\n  fallbacks:\n    - provider: vosk\n      fallbacks: []\n"),
        "a.yaml:5: stt.fallbacks[0].fallbacks: a fallback has no fallbacks of its own: list them "
        "all here");
    assert_string_equal(
        load_says("name: A\ntts:\n  fallbacks:\n    - {provider: a}\n"
                  "    - {provider: a}\n    - {provider: a}\n    - {provider: a}\n"),
        "a.yaml:3: tts.fallbacks: holds more than 3 fallbacks");
    assert_string_equal(load_says("name: A\nstt:\n  fallbacks:\n    - {provider: v, x: {y: 1}}\n"),
                        "a.yaml:4: stt.fallbacks[0].x: must be a single value");
}

static void providers_speak_of_their_own_block(void **state)
{
    (void)state;
    assert_string_equal(
        load_says(HEAD "llm:\n  provider: scripted\n  fallbacks:\n    - provider: nobody\n"),
        "a.yaml:7: llm.fallbacks[0].provider: there is no provider \"nobody\" here");
    assert_string_equal(load_says(HEAD "llm:\n  provider: scripted\n  fallbacks:\n"
                                       "    - {provider: openai, model: m}\n"
                                       "    - {provider: anthropic, model: m}\n"),
                        "a.yaml:8: llm.fallbacks[1].api_key: must be given, or the environment "
                        "variable ANTHROPIC_API_KEY set: \"anthropic\" needs a key");
    assert_string_equal(load_says(HEAD "llm:\n  provider: scripted\n  fallbacks:\n"
                                       "    - provider: openai\n      model: m\n      speed: 1\n"),
                        "a.yaml:9: llm.fallbacks[0].speed: the provider \"openai\" has no such "
                        "setting");
    assert_string_equal(load_says(HEAD "llm:\n  provider: scripted\n  fallbacks:\n"
                                       "    - {provider: openai, model: m}\n"),
                        "");
}

static void what_they_share_is_loaded_for_each(void **state)
{
    struct agent *a = agent_of(HEAD "llm:\n  provider: openai\n  model: first\n  fallbacks:\n"
                                    "    - {provider: openai, model: second, api_key: own}\n");
    struct bundle *b;

    (void)state;
    assert_int_equal(bundle_new(a, ".", &b, why, sizeof(why)), 0);
    const struct bundle_role *role = &b->roles[PROVIDER_LLM];
    assert_int_equal(role->count, 2);
    assert_string_equal(role->at[0].config.model, "first");
    assert_string_equal(role->at[1].config.model, "second");
    assert_string_equal(provider_setting(&role->at[1].config, "api_key", ""), "own");
    assert_ptr_not_equal(role->at[0].config.loaded, role->at[1].config.loaded);
    assert_non_null(role->at[1].config.loaded);
    assert_int_equal(b->roles[PROVIDER_STT].count, 1);
    bundle_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_read_in_order),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(providers_speak_of_their_own_block),
        cmocka_unit_test(what_they_share_is_loaded_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
