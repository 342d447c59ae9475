/* What a call does with what happens on its line; the world around it is call_world.h. */
#include "tests/unit/call_world.h"

#include "base/metrics.h"

/* ---- cases ---- */

static void a_turn_is_heard_answered_and_stored(void **state)
{
    (void)state;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five. Anything else?";
    speak(600);
    assert_string_equal(stub.asked, "when are you open");
    assert_string_equal(stub.spoken, "From nine to five.|Anything else?|");
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"heard\":\"when are you open\""));
    assert_non_null(strstr(log, "\"said\":\"From nine to five. Anything else?\""));
    assert_non_null(strstr(log, "\"said\":\"Good morning.\""));
    assert_null(strstr(log, "incomplete"));
}

/* The recogniser is told what was asked, from the moment the question is heard. */
static void an_answer_is_expected_once_its_question_is_heard(void **state)
{
    (void)state;
    greet();
    stub.final = "book a table";
    stub.reply = "For which day?";
    stub.expects = "day";
    speak(600);
    assert_string_equal(stub.expected, "");
    uint32_t first = stub.paused;
    assert_int_not_equal(first, 0); /* of a pause it is told too */
    audible();
    played();
    stub.final = "monday";
    stub.reply = "At what time?";
    stub.expects = "time";
    speak(600);
    assert_string_equal(stub.expected, "day");
    assert_true(stub.paused > first);
    speak(600); /* it goes on before that reply was heard: the day is still what was asked */
    assert_string_equal(stub.expected, "day");
    audible();
    played();
    stub.final = "at nine";
    stub.reply = "Thank you.";
    stub.expects = NULL;
    speak(600);
    assert_string_equal(stub.expected, "time");
    audible();
    played();
    speak(600);
    assert_string_equal(stub.expected, "");
    end();
}

static void who_watches_is_told(void **state)
{
    (void)state;
    leg.watched = true;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five. Anything else?";
    speak(600);
    pass(100);
    audible();
    speech(true); /* and interrupts */
    pass(600);
    assert_string_equal(
        leg.news, "thinking\nagent 0: Good morning.\nlatency 0: 1\nspeaking\n"
                  "agent 0 final: Good morning.\nlistening\nuser speaking\nendpointing\nthinking\n"
                  "user 1 final: when are you open\nagent 1: From nine to five. Anything else?\n"
                  "agent 1: From nine to five. Anything else?\nlatency 1: 502\nspeaking\npaused\n"
                  "user speaking\nagent 1 final cut: From nine to five.\n");
    end();
}

static void who_watches_hears_the_last_words(void **state)
{
    (void)state;
    leg.watched = true;
    agent.turns_max = 1;
    greet();
    stub.final = "when are you open";
    stub.reply = "Never.";
    speak(600);
    audible();
    played();
    pass(10);
    assert_non_null(strstr(leg.news, "agent 1 final: Never.\n"));
    end();
}

static void a_final_that_never_comes_repeats_nothing(void **state)
{
    (void)state;
    greet();
    stub.final = "hello there";
    stub.reply = "Yes?";
    speak(600);
    audible();
    played();
    stub.final = NULL;
    stub.reply = "Pardon?";
    speak(600);
    pass(4100);
    assert_int_equal(stub.kind, TURN_UNCLEAR);
    audible();
    played();
    assert_int_equal(count(end(), "\"heard\":\"hello there\""), 1);
}

/* What stands behind this key in a text. */
static int number(const char *text, const char *key)
{
    return atoi(strstr(text, key) + strlen(key));
}

static void sound(void)
{
    struct actor *stt = actor_child(leg.actor->parent, ROLE_STT);
    frame_ref ref = frame_get(shard_pool(shard));
    struct audio_msg body = {0};

    memset(frame_at(shard_pool(shard), ref)->data, 0, 320);
    frame_at(shard_pool(shard), ref)->len = 320;
    actor_send_body(leg.actor, stt->id, AUDIO, IF_FULL_DROP, ref, &body, sizeof(body));
}

/* Its detector still says speech; with what it has heard itself the turn is over at once, and the
 * ledger has the last voiced sample right. */
static void the_leg_is_told_of_the_recognisers_end(void **state)
{
    struct leg_speech_msg stopped = {.at_ns = 0};

    (void)state;
    greet();
    stub.final = stub.ended = "when are you open";
    stub.reply = "Never.";
    speech(true);
    pass(600);
    stopped.at_ns = test_now_ns;
    pass(300);
    sound();
    pass(2);
    assert_int_equal(leg.ended_ns, MS(250));
    assert_int_equal(stub.asks, 0);
    leg_send(LEG_SPEECH, &stopped, sizeof(stopped));
    turn_shard();
    assert_string_equal(stub.asked, "when are you open");
    audible();
    played();
    const char *log = end();
    const char *turn = strstr(log, "\"heard\":\"when are you open\"");
    assert_int_equal(number(turn, "\"decided_ms\":") - number(turn, "\"last_voiced_ms\":"), 302);
}

static void going_on_before_the_final_keeps_both_halves(void **state)
{
    (void)state;
    greet();
    stub.final = "hello";
    stub.reply = "Yes?";
    speak(600);
    audible();
    played();
    stub.final = NULL; /* it takes a moment */
    speak(600);
    stub.late = "book a";
    stub.late_epoch = 3; /* the greeting's, hello's, this */
    stub.stt_at_ns = test_now_ns + MS(40);
    stub.final = "table";
    stub.reply = "Certainly.";
    speech(true);
    for (int i = 0; i < 3; i++) { /* audio makes the plug-in look at its clock */
        sound();
        pass(40);
    }
    pass(300);
    speech(false);
    pass(402);
    assert_string_equal(stub.asked, "book a table");
    assert_int_equal(stub.asks, 2);
    end();
}

static void a_cut_reply_says_nothing_more(void **state)
{
    (void)state;
    greet();
    stub.final = "tell me a story";
    stub.reply = "Once upon a time. ";
    stub.open = true;
    speak(600);
    audible();
    pass(1000);
    speech(true);
    pass(20);
    assert_int_equal(leg.holds, 1);
    pass(600);
    assert_int_equal(leg.flushes, 1);
    stub.late = "There was a king. ";
    stub.late_epoch = stub.epoch;
    struct epoch_msg commit = {.epoch = stub.epoch}; /* makes the plug-in look at its clock */
    struct actor *llm = actor_child(leg.actor->parent, ROLE_LLM);
    stub.llm_at_ns = test_now_ns;
    actor_send_body(leg.actor, llm->id, LLM_CANCEL, IF_FULL_DROP, FRAME_NONE, &commit,
                    sizeof(commit));
    pass(100);
    assert_true(stub.llm_at_ns == NEVER_NS);
    assert_null(strstr(stub.spoken, "king"));
    const char *log = end();
    assert_non_null(strstr(log, "\"said\":\"Once\""));
    assert_non_null(strstr(log, "\"interrupted\":true"));
}

static void coming_up_does_not_undo_a_stop(void **state)
{
    (void)state;
    leg.mute = true;
    begin();
    come_up();
    actor_stop(shard, leg.call, REASON(0, "hung up"));
    turn_shard();
    assert_false(call_lives());
    assert_non_null(strstr(end(), "\"hung up\""));
}

static void a_hash_over_speech_keeps_what_was_said(void **state)
{
    (void)state;
    greet();
    stub.final = "menu";
    stub.reply = "Press one for hours.";
    speak(600);
    audible();
    pass(400);
    stub.reply = "Nine to five.";
    press('#');
    assert_int_equal(stub.kind, TURN_KEYS);
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"said\":\"Press one\""));
    assert_non_null(strstr(log, "\"said\":\"Nine to five.\""));
}

static void keys_before_an_answer_keep_what_was_heard(void **state)
{
    (void)state;
    greet();
    stub.final = "the opening hours";
    stub.reply = "Nine to five.";
    speak(600);
    press('1'); /* nothing of the answer was heard */
    pass(600);
    assert_string_equal(stub.asked, "1");
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"heard\":\"the opening hours\""));
    assert_non_null(strstr(log, "\"heard\":\"1\""));
}

static void a_model_that_fails_while_it_speaks_ends_its_reply(void **state)
{
    (void)state;
    greet();
    stub.final = "go on";
    stub.reply = "First of all. ";
    stub.open = true;
    speak(600);
    audible();
    unsigned before = leg.ends;
    struct provider_failed_msg failed = {
        .role = ROLE_LLM, .epoch = stub.epoch, .status = 500, .what = "gone"};
    leg_send(PROVIDER_FAILED, &failed, sizeof(failed));
    turn_shard();
    assert_int_equal(leg.ends, before + 1);
    played();
    assert_true(call_lives());
    assert_non_null(strstr(end(), "\"said\":\"First of all. \""));
}

static void a_model_that_never_answers_ends_the_call_with_a_reason(void **state)
{
    (void)state;
    greet();
    stub.final = "anybody there";
    for (int i = 0; i < 3; i++) {
        speak(600);
        pass(11000);
        assert_non_null(strstr(stub.spoken, i < 2 ? "say that again" : "call again later"));
        stub.spoken[0] = '\0';
        pass(2);
        played(); /* too quiet to be audible: nothing is taken for a success */
    }
    pass(4);
    assert_false(call_lives());
    assert_non_null(strstr(end(), "\"provider_failed: llm (stub): nothing came for too long\""));
}

/* Nobody is asked: there is no network here that could be. */
static void arguments_that_break_the_schema_are_told_to_the_model(void **state)
{
    struct agent_tool tool = {
        .name = "book",
        .url = "http://127.0.0.1:1/",
        .headers = "",
        .parameters = "{\"type\":\"object\",\"properties\":{\"size\":{\"maximum\":12}}}",
        .timeout_ms = 1000};
    int64_t before = metrics_read(METRIC_TOOLS_REFUSED);

    (void)state;
    agent.tools = &tool;
    agent.tool_count = 1;
    greet();
    stub.final = "a table for twenty";
    stub.calls = "{\"name\":\"book\",\"arguments\":{\"size\":20}}";
    stub.reply = "At most twelve.";
    speak(600);
    assert_int_equal(stub.kind, TURN_TOOL);
    assert_string_equal(stub.asked,
                        "{\"ok\":false,\"error\":\"The field \\\"size\\\" must be at most 12.\"}");
    assert_string_equal(stub.spoken, "At most twelve.|");
    assert_int_equal(metrics_read(METRIC_TOOLS_REFUSED) - before, 1);
    assert_non_null(strstr(end(), "\"state\":\"done\""));
}

static void says_goodbye_and_hangs_up(void **state)
{
    static const char *const phrases[] = {"good night"};

    (void)state;
    agent.goodbye_phrases = (struct text_list){.at = (void *)(uintptr_t)phrases, .count = 1};
    greet();
    stub.final = "thank you";
    stub.reply = "Good Night!";
    speak(600);
    audible();
    assert_true(call_lives());
    played();
    assert_false(call_lives());
    end();
}

static void announces_and_hangs_up(void **state)
{
    (void)state;
    agent.mode = AGENT_NON_CONVERSATIONAL;
    begin();
    audible();
    speech(true);
    press('1');
    pass(1000);
    assert_int_equal(leg.holds + leg.flushes, 0);
    played();
    assert_false(call_lives());
    end();
}

static void ends_after_its_number_of_turns(void **state)
{
    (void)state;
    agent.turns_max = 1;
    greet();
    assert_true(call_lives());
    stub.final = "hello";
    stub.reply = "Hello.";
    speak(600);
    audible();
    played();
    assert_false(call_lives());
    end();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The first mark of a reply that comes back is in its ledger; of what was not marked, nothing. */
static void the_first_mark_is_in_the_ledger(void **state)
{
    (void)state;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five.";
    speak(600);
    audible();
    pass(120);
    marked(leg.epoch + 1);
    marked(leg.epoch);
    pass(200);
    marked(leg.epoch);
    played();
    const char *log = end();
    assert_int_equal(count(log, "\"mark_back_ms\":null"), 1); /* of the greeting */
    const char *turn = strstr(log, "\"heard\":\"when are you open\"");
    int heard = number(turn, "\"first_audible_ms\":");
    assert_int_equal(number(turn, "\"mark_back_ms\":"), heard + 120);
}

/* The journal has no room any more: the call goes on, and its log says that it lacks something. */
static void a_full_journal_shows_in_the_log(void **state)
{
    struct journal_shard *s = journal_shard(world.journal, 0);
    static uint8_t text[4000];
    uint32_t other;

    (void)state;
    greet();
    assert_int_equal(journal_begin(s, "other", SLICE_NONE, &other), 0);
    for (size_t n = sizeof(text); n > 4; n /= 2)
        while (journal_add(s, other, JOURNAL_SAID, slice_of(text, n)) == 0)
            ;
    stub.final = "when are you open";
    stub.reply = "From nine to five.";
    speak(600);
    audible();
    played();
    journal_stored(s, other);
    stub.final = "goodbye";
    stub.reply = "Goodbye.";
    speak(600);
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"log_incomplete\":true"));
    assert_non_null(strstr(log, "\"status\":\"completed\""));
    assert_null(strstr(log, "From nine"));
    assert_non_null(strstr(log, "\"heard\":\"goodbye\""));
}

static uint32_t calls_in_journal(void)
{
    struct journal_state state;

    journal_shard_state(journal_shard(world.journal, 0), &state);
    return state.calls;
}

/* Longer than an actor may take to stop: that is the store's matter, not the call's. */
static void a_slow_store_is_waited_for(void **state)
{
    (void)state;
    greet();
    store_hangs = true;
    actor_stop(shard, root->id, REASON(0, "the test is over"));
    shard_finish(shard);
    pass(55000);
    assert_true(call_lives());
    assert_null(document);
    store_hangs = false;
    pass(20);
    assert_non_null(document);
    assert_true(shard_finished(shard));
    assert_int_equal(calls_in_journal(), 0);
}

/* When many calls end at once the store's lane has no room for all of their logs. */
static void a_store_that_is_behind_is_asked_again(void **state)
{
    static const uint8_t filler[LANE_PART_BYTES];
    struct lane_session session = {0};

    (void)state;
    greet();
    store_hangs = true;
    assert_int_equal(lane_open(root, LANE_STORE, PROGRAM_STORE, NULL, 0, &session), 0);
    while (lane_run(root, &session, STORE_FILLER, 1, slice_of(filler, sizeof(filler))) == 0)
        ; /* ends: the ring and the outbox are full */
    actor_stop(shard, leg.call, REASON(0, "the test is over"));
    pass(1000);
    assert_true(call_lives());
    store_hangs = false;
    pass(200);
    assert_false(call_lives());
    assert_non_null(document);
    assert_int_equal(calls_in_journal(), 0);
    lane_close(root, &session);
}

/* Not for ever: then the journal keeps the log for the next start. */
static void a_store_that_never_answers_is_left(void **state)
{
    (void)state;
    greet();
    store_hangs = true;
    actor_stop(shard, root->id, REASON(0, "the test is over"));
    shard_finish(shard);
    pass(60100);
    assert_false(call_lives());
    assert_true(shard_finished(shard));
    assert_int_equal(calls_in_journal(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_turn_is_heard_answered_and_stored),
        CASE(a_store_that_is_behind_is_asked_again),
        CASE(an_answer_is_expected_once_its_question_is_heard),
        CASE(who_watches_is_told),
        CASE(who_watches_hears_the_last_words),
        CASE(a_final_that_never_comes_repeats_nothing),
        CASE(the_leg_is_told_of_the_recognisers_end),
        CASE(going_on_before_the_final_keeps_both_halves),
        CASE(a_cut_reply_says_nothing_more),
        CASE(coming_up_does_not_undo_a_stop),
        CASE(a_hash_over_speech_keeps_what_was_said),
        CASE(keys_before_an_answer_keep_what_was_heard),
        CASE(a_model_that_fails_while_it_speaks_ends_its_reply),
        CASE(a_model_that_never_answers_ends_the_call_with_a_reason),
        CASE(arguments_that_break_the_schema_are_told_to_the_model),
        CASE(says_goodbye_and_hangs_up),
        CASE(announces_and_hangs_up),
        CASE(ends_after_its_number_of_turns),
        CASE(the_first_mark_is_in_the_ledger),
        CASE(a_full_journal_shows_in_the_log),
        CASE(a_slow_store_is_waited_for),
        CASE(a_store_that_never_answers_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
