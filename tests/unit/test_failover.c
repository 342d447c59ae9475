/* What follows when a provider fails for good: the decision, and what a call does by it. */
#include "tests/unit/call_world.h"

#include "actors/call/failover.h"
#include "base/metrics.h"

/* ---- the decision ---- */

static void the_next_goes_on_as_long_as_there_is_one(void **state)
{
    (void)state;
    for (int role = ROLE_STT; role <= ROLE_TTS; role++) {
        for (int fatal = 0; fatal < 2; fatal++) {
            for (uint32_t failures = 0; failures < 5; failures++) {
                struct failover_facts f = {(enum call_role)role, fatal != 0, 1, failures};
                assert_int_equal(failover_decide(&f), FAILOVER_NEXT);
            }
        }
    }
}

static enum failover alone(enum call_role role, bool fatal, uint32_t failures)
{
    struct failover_facts f = {role, fatal, 0, failures};

    return failover_decide(&f);
}

static void the_last_one_is_excused_twice(void **state)
{
    static const enum call_role roles[] = {ROLE_STT, ROLE_LLM};

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(alone(roles[i], false, 0), FAILOVER_EXCUSE);
        assert_int_equal(alone(roles[i], false, FAILURES_MAX - 2), FAILOVER_EXCUSE);
        assert_int_equal(alone(roles[i], false, FAILURES_MAX - 1), FAILOVER_END);
        assert_int_equal(alone(roles[i], true, 0), FAILOVER_END);
    }
    assert_int_equal(alone(ROLE_TTS, false, 0), FAILOVER_END);
    assert_string_equal(failover_name(FAILOVER_END), "end");
}

/* ---- the model ---- */

static void a_turn_is_asked_again_of_the_next_model(void **state)
{
    int64_t before = metrics_read(METRIC_PROVIDER_FAILOVERS);

    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_LLM][0] = REFUSES;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five.";
    speak(600);
    assert_int_equal(stub.asks, 2);
    assert_int_equal(stub.llm_place, 1);
    assert_string_equal(stub.asked, "when are you open");
    assert_string_equal(stub.spoken, "From nine to five.|");
    audible();
    played();
    stub.final = "and on sunday"; /* the first one is not asked again in this call */
    speak(600);
    assert_int_equal(stub.asks, 3);
    const struct actor *llm = actor_child(leg.actor->parent, ROLE_LLM);
    assert_string_equal(llm->type->detail(llm), "second"); /* as GET /actors shows it */
    const char *log = end();
    assert_non_null(strstr(log, "\"failovers\":[{\"turn\":1,\"role\":\"llm\",\"from\":\"stub\","
                                "\"to\":\"second\",\"status\":401,\"reason\":\"out of order\""));
    assert_non_null(strstr(log, "\"status\":\"completed\""));
    assert_int_equal(metrics_read(METRIC_PROVIDER_FAILOVERS) - before, 1);
}

static void an_answer_that_was_begun_ends_where_it_broke_off(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_LLM][0] = FAILS;
    stub.broken = "First of all. ";
    greet();
    stub.final = "go on";
    stub.reply = "Yes.";
    speak(600);
    assert_int_equal(stub.asks, 1);
    assert_string_equal(stub.spoken, "First of all.|I am sorry, something went wrong here.|Could "
                                     "you say that again?|");
    audible();
    played();
    stub.spoken[0] = '\0';
    speak(600);
    assert_int_equal(stub.llm_place, 1);
    assert_string_equal(stub.spoken, "Yes.|");
    audible();
    played();
    assert_int_equal(count(end(), "\"incomplete\":true"), 1);
}

/* A tool's effect must not come twice. */
static void a_turn_that_called_a_tool_is_not_asked_again(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_LLM][0] = FAILS;
    stub.tool = true;
    greet();
    stub.final = "book it";
    stub.reply = "Yes.";
    speak(600);
    assert_int_equal(stub.asks, 1);
    assert_non_null(strstr(stub.spoken, "I am sorry"));
    pass(5000); /* the tool's result is not the next one's business */
    assert_int_equal(stub.asks, 1);
    end();
}

static void a_silent_model_is_left_for_the_next(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_LLM][0] = SILENT;
    greet();
    stub.final = "anybody there";
    stub.reply = "Here I am.";
    speak(600);
    assert_string_equal(stub.spoken, "");
    pass(10000);
    assert_string_equal(stub.spoken, "Here I am.|");
    assert_non_null(strstr(end(), "\"reason\":\"nothing came for too long\""));
}

static void a_refused_model_without_another_ends_the_call(void **state)
{
    (void)state;
    stub.fault[PROVIDER_LLM][0] = REFUSES;
    greet();
    stub.final = "when are you open";
    speak(600);
    assert_string_equal(stub.spoken,
                        "I am sorry, something is out of order here.|Please call again "
                        "later.|");
    audible();
    speech(true); /* nobody interrupts the last words */
    pass(2000);
    press('1');
    assert_int_equal(leg.holds + leg.flushes, 0);
    assert_true(call_lives());
    played();
    pass(4);
    assert_false(call_lives());
    const char *log = end();
    assert_non_null(strstr(log, "\"status\":\"failed\""));
    assert_non_null(strstr(log, "\"reason\":\"provider_refused: llm (stub): out of order\""));
    assert_int_equal(stub.asks, 1);
}

static void when_the_last_model_is_refused_the_call_ends(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_LLM][0] = FAILS;
    stub.fault[PROVIDER_LLM][1] = REFUSES;
    greet();
    stub.final = "when are you open";
    speak(600);
    assert_int_equal(stub.asks, 2);
    audible();
    played();
    pass(4);
    const char *log = end();
    assert_non_null(strstr(log, "\"reason\":\"provider_refused: llm (second): out of order\""));
    assert_int_equal(count(log, "\"role\":\"llm\""), 2);
    assert_non_null(strstr(log, "\"to\":null"));
}

/* An excuse that was heard is no success: the third failure in a row ends the call. */
static void excuses_do_not_go_on_for_ever(void **state)
{
    (void)state;
    stub.fault[PROVIDER_LLM][0] = FAILS;
    greet();
    stub.final = "when are you open";
    for (int i = 0; i < 3; i++) {
        assert_true(call_lives());
        speak(600);
        audible();
        played();
    }
    pass(4);
    assert_false(call_lives());
    const char *log = end();
    assert_non_null(strstr(log, "provider_failed: llm (stub): out of order"));
    assert_int_equal(count(log, "Could you say that again?\",\"interrupted\""), 2);
}

/* ---- the recogniser ---- */

static void say_into(unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        struct audio_msg audio = {0};
        struct frame_pool *pool = shard_pool(shard);
        frame_ref ref = frame_get(pool);
        struct frame *f = frame_at(pool, ref);
        f->len = 320;
        memset(f->data, (int)i, f->len);
        actor_send_body(leg.actor, actor_child(leg.actor->parent, ROLE_STT)->id, AUDIO,
                        IF_FULL_DROP, ref, &audio, sizeof(audio));
        pass(20);
    }
}

static void an_utterance_is_heard_again_by_the_next(void **state)
{
    (void)state;
    have_fallbacks();
    stub.rate_hz = 16000;
    stub.fault[PROVIDER_STT][0] = FAILS;
    greet();
    stub.final = "table for two";
    stub.reply = "Certainly.";
    speech(true);
    say_into(25);
    speech(false);
    pass(402);
    assert_int_equal(stub.heard_bytes[0], 25 * 320);
    assert_int_equal(stub.heard_bytes[1], 2 * 25 * 320); /* at twice the rate */
    assert_int_equal(stub.finishes[1], 1);
    assert_string_equal(stub.asked, "table for two");
    assert_non_null(strstr(end(), "\"role\":\"stt\",\"from\":\"stub\",\"to\":\"second\""));
}

/* The oldest second is dropped, and the next one still hears the rest. */
static void a_long_utterance_is_heard_again_by_its_end(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_STT][0] = FAILS;
    greet();
    stub.final = "a long story";
    speech(true);
    say_into(520);
    speech(false);
    pass(402);
    assert_int_equal(stub.heard_bytes[0], 520 * 320);
    assert_in_range(stub.heard_bytes[1], 9 * 16000, 10 * 16000);
    assert_string_equal(stub.asked, "a long story");
    end();
}

static void a_final_that_never_comes_makes_the_next_listen(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_STT][0] = SILENT;
    greet();
    stub.final = "hello";
    stub.reply = "Pardon?";
    speak(600);
    pass(4100);
    assert_int_equal(stub.kind, TURN_UNCLEAR);
    audible();
    played();
    speak(600);
    assert_string_equal(stub.asked, "hello");
    assert_non_null(strstr(end(), "\"reason\":\"no final came\""));
}

static void a_refused_recogniser_without_another_ends_the_call(void **state)
{
    (void)state;
    stub.fault[PROVIDER_STT][0] = REFUSES;
    greet();
    speak(600);
    pass(4);
    assert_string_equal(stub.spoken,
                        "I am sorry, something is out of order here.|Please call again "
                        "later.|");
    assert_int_equal(stub.asks, 0);
    audible();
    played();
    pass(4);
    assert_false(call_lives());
    assert_non_null(strstr(end(), "provider_refused: stt (stub): out of order"));
}

/* It is refused while the agent speaks: what it says gives way. */
static void last_words_cut_in(void **state)
{
    (void)state;
    greet();
    stub.final = "tell me a story";
    stub.reply = "Once upon a time.";
    speak(600);
    audible();
    pass(400);
    struct provider_failed_msg failed = {
        .role = ROLE_STT, .epoch = 77, .status = 401, .fatal = true, .what = "refused"};
    stub.spoken[0] = '\0';
    leg_send(PROVIDER_FAILED, &failed, sizeof(failed));
    pass(6);
    assert_int_equal(leg.flushes, 1);
    assert_non_null(strstr(stub.spoken, "I am sorry"));
    audible();
    played();
    pass(4);
    assert_false(call_lives());
    const char *log = end();
    assert_non_null(strstr(log, "\"said\":\"Once\""));
    assert_int_equal(count(log, "Please call again later.\",\"interrupted\":false"), 1);
}

/* ---- the voice ---- */

static void the_rest_is_spoken_by_the_next_voice(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_TTS][0] = FAILS;
    stub.breaks_at = "Second one.";
    greet();
    stub.final = "count";
    stub.reply = "First sentence. Second one. And a third.";
    speak(600);
    pass(100);
    assert_string_equal(stub.spoken_by[0], "Good morning.|First sentence.|Second one.|");
    assert_string_equal(stub.spoken_by[1], "Second one.|And a third.|");
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"role\":\"tts\",\"from\":\"stub\",\"to\":\"second\""));
    assert_non_null(strstr(log, "\"said\":\"First sentence. Second one. And a third.\""));
}

static void the_greeting_finds_the_voice_that_works(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_TTS][0] = REFUSES;
    begin();
    assert_string_equal(stub.spoken_by[1], "Good morning.|");
    audible();
    played();
    assert_true(call_lives());
    end();
}

static void without_a_voice_the_call_ends_in_silence(void **state)
{
    (void)state;
    have_fallbacks();
    stub.fault[PROVIDER_TTS][0] = FAILS;
    stub.fault[PROVIDER_TTS][1] = FAILS;
    begin();
    pass(4);
    assert_false(call_lives());
    assert_string_equal(stub.spoken, "Good morning.|Good morning.|");
    assert_non_null(strstr(end(), "provider_failed: tts (second): out of order"));
}

/* The last words find no voice either: the reason stays the first one. */
static void last_words_without_a_voice(void **state)
{
    (void)state;
    stub.fault[PROVIDER_LLM][0] = REFUSES;
    greet();
    stub.final = "hello";
    stub.fault[PROVIDER_TTS][0] = FAILS;
    speak(600);
    pass(4);
    assert_false(call_lives());
    assert_non_null(strstr(end(), "provider_refused: llm (stub): out of order"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_goes_on_as_long_as_there_is_one),
        cmocka_unit_test(the_last_one_is_excused_twice),
        CASE(a_turn_is_asked_again_of_the_next_model),
        CASE(an_answer_that_was_begun_ends_where_it_broke_off),
        CASE(a_turn_that_called_a_tool_is_not_asked_again),
        CASE(a_silent_model_is_left_for_the_next),
        CASE(a_refused_model_without_another_ends_the_call),
        CASE(when_the_last_model_is_refused_the_call_ends),
        CASE(excuses_do_not_go_on_for_ever),
        CASE(an_utterance_is_heard_again_by_the_next),
        CASE(a_long_utterance_is_heard_again_by_its_end),
        CASE(a_final_that_never_comes_makes_the_next_listen),
        CASE(a_refused_recogniser_without_another_ends_the_call),
        CASE(last_words_cut_in),
        CASE(the_rest_is_spoken_by_the_next_voice),
        CASE(the_greeting_finds_the_voice_that_works),
        CASE(without_a_voice_the_call_ends_in_silence),
        CASE(last_words_without_a_voice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
