/* The dialogue by rules: what is understood, what the dialogue does with it, and what it forgets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "provider/provider.h"
#include "provider/rules.h"

struct talk {
    const struct provider_ops *ops;
    struct provider_config config;
    struct provider_setting setting;
    void *state;
    uint32_t epoch, tool_id;
    char understood[600], said[2000], tool[600], expects[60];
    bool hang_up;
    struct intents out;
};

static void turn_kind(struct talk *t, enum turn_kind kind, const char *text)
{
    struct provider_turn turn = {.kind = kind, .text = slice_str(text), .tool_id = t->tool_id};
    struct provider_input in = {
        .kind = INPUT_TURN, .epoch = ++t->epoch, .config = &t->config, .turn = &turn};
    t->understood[0] = t->said[0] = t->tool[0] = t->expects[0] = '\0';
    t->hang_up = false;
    intents_init(&t->out);
    t->ops->step(t->state, &in, 0, &t->out);
    assert_false(t->out.bad);
    assert_int_equal(t->out.list[t->out.count - 1].event, EVENT_DONE);
    for (size_t i = 0; i < t->out.count; i++) {
        const struct provider_intent *e = &t->out.list[i];
        assert_int_equal(e->epoch, t->epoch);
        if (e->event == EVENT_UNDERSTOOD)
            slice_cstr(e->text, t->understood, sizeof(t->understood));
        if (e->event == EVENT_TEXT)
            slice_cstr(e->text, t->said, sizeof(t->said));
        if (e->event == EVENT_EXPECTS)
            slice_cstr(e->text, t->expects, sizeof(t->expects));
        if (e->event == EVENT_TOOL) {
            slice_cstr(e->text, t->tool, sizeof(t->tool));
            t->tool_id = e->tool_id;
        }
        t->hang_up = t->hang_up || e->event == EVENT_HANG_UP;
    }
}

static void follow(struct talk *t, enum provider_input_kind kind)
{
    struct provider_input in = {.kind = kind, .epoch = t->epoch, .config = &t->config};
    intents_init(&t->out);
    t->ops->step(t->state, &in, 0, &t->out);
}

static void heard(struct talk *t, const char *text)
{
    turn_kind(t, TURN_HEARD, text);
    follow(t, INPUT_COMMIT);
}

static int talk_open(void **state)
{
    struct talk *t = calloc(1, sizeof(*t));
    char why[300] = "";
    t->ops = provider_find(PROVIDER_LLM, "rules");
    t->setting = (struct provider_setting){"rules", "clinic.rules"};
    t->config.folder = SOURCE_DIR "/data/agents";
    t->config.settings = &t->setting;
    t->config.setting_count = 1;
    t->state = calloc(1, t->ops->state_bytes);
    int err = t->ops->load(&t->config, &t->config.loaded, why, sizeof(why));
    if (err)
        print_message("%s\n", why);
    *state = t;
    return err;
}

static int talk_close(void **state)
{
    struct talk *t = *state;
    t->ops->unload(t->config.loaded);
    free(t->state);
    free(t);
    return 0;
}

static void books_after_asking(void **state)
{
    struct talk *t = *state;
    heard(t, "i would like an appointment");
    assert_string_equal(t->understood, "{\"intent\":\"book\",\"slots\":{}}");
    assert_non_null(strstr(t->said, "which day"));
    heard(t, "tuesday");
    assert_string_equal(t->understood, "{\"intent\":\"inform\",\"slots\":{\"day\":\"tuesday\"}}");
    assert_non_null(strstr(t->said, "time"));
    heard(t, "at three");
    assert_non_null(strstr(t->said, "name"));
    heard(t, "my name is carter");
    assert_non_null(strstr(t->said, "on Tuesday at three o'clock for Carter"));
    heard(t, "yes please");
    assert_string_equal(t->tool,
                        "{\"name\":\"book_appointment\",\"arguments\":{\"day\":\"tuesday\","
                        "\"time\":\"15:00\",\"name\":\"carter\"}}");
    assert_string_equal(t->said, "");
    turn_kind(t, TURN_TOOL, "{\"ok\":true}");
    assert_non_null(strstr(t->said, "is booked, on Tuesday at three o'clock"));
}

/* Each answer says what the caller is asked for next, so that the recogniser can expect it. */
static void tells_what_it_expects(void **state)
{
    struct talk *t = *state;
    heard(t, "when are you open");
    assert_string_equal(t->expects, "");
    heard(t, "i would like an appointment");
    assert_string_equal(t->expects, "day");
    heard(t, "what are your opening hours"); /* the question is put again */
    assert_string_equal(t->expects, "day");
    heard(t, "tuesday");
    assert_string_equal(t->expects, "time");
    heard(t, "at three");
    assert_string_equal(t->expects, "name");
    turn_kind(t, TURN_UNCLEAR, "");
    follow(t, INPUT_COMMIT);
    assert_string_equal(t->expects, "name");
    heard(t, "my name is carter");
    assert_string_equal(t->expects, "confirm");
    heard(t, "yes please");
    assert_string_equal(t->expects, "");
    turn_kind(t, TURN_TOOL, "{\"ok\":true}");
    assert_string_equal(t->expects, "");
}

/* A weak cue beside the answer to what was asked is a slip of the ear; a plain one is not. */
static void an_answer_outweighs_a_weak_cue(void **state)
{
    struct talk *t = *state;
    heard(t, "i would like an appointment");
    heard(t, "monday if that's all you have");
    assert_string_equal(t->understood, "{\"intent\":\"inform\",\"slots\":{\"day\":\"monday\"}}");
    assert_false(t->hang_up);
    heard(t, "are you open on saturday");
    assert_string_equal(t->understood, "{\"intent\":\"opening_hours\",\"slots\":{}}");
    heard(t, "goodbye");
    assert_true(t->hang_up);
}

static void failed_tool_is_said(void **state)
{
    struct talk *t = *state;
    heard(t, "please cancel my appointment on friday");
    heard(t, "yes");
    assert_string_equal(t->tool,
                        "{\"name\":\"cancel_appointment\",\"arguments\":{\"day\":\"friday\"}}");
    turn_kind(t, TURN_TOOL, "{\"ok\": false, \"why\":\"true\"}");
    assert_non_null(strstr(t->said, "could not cancel"));
}

static void old_tool_result_is_ignored(void **state)
{
    struct talk *t = *state;
    t->tool_id = 77;
    turn_kind(t, TURN_TOOL, "{\"ok\":true}");
    assert_string_equal(t->said, "");
}

static void cancelled_turn_is_forgotten(void **state)
{
    struct talk *t = *state;
    heard(t, "book an appointment on monday");
    turn_kind(t, TURN_HEARD, "no wait on saturday at nine");
    follow(t, INPUT_CANCEL);
    heard(t, "at ten");
    heard(t, "my name is king");
    assert_non_null(strstr(t->said, "on Monday at ten o'clock for King"));
}

static void keys_answer_at_any_time(void **state)
{
    struct talk *t = *state;
    turn_kind(t, TURN_UNCLEAR, "");
    assert_non_null(strstr(t->said, "1 for our opening hours"));
    follow(t, INPUT_COMMIT);
    turn_kind(t, TURN_KEYS, "3");
    assert_string_equal(t->understood, "{\"intent\":\"book\",\"slots\":{}}");
    follow(t, INPUT_COMMIT);
    turn_kind(t, TURN_KEYS, "2");
    assert_string_equal(t->understood, "{\"intent\":\"inform\",\"slots\":{\"day\":\"tuesday\"}}");
    follow(t, INPUT_COMMIT);
    turn_kind(t, TURN_KEYS, "0930#");
    assert_string_equal(t->understood, "{\"intent\":\"inform\",\"slots\":{\"time\":\"09:30\"}}");
}

static void repeats_and_ends(void **state)
{
    struct talk *t = *state;
    char first[2000];
    heard(t, "when are you open");
    memcpy(first, t->said, sizeof(first));
    heard(t, "can you repeat that please");
    assert_string_equal(t->said, first);
    heard(t, "goodbye");
    assert_true(t->hang_up);
}

static void person_calls_back(void **state)
{
    struct talk *t = *state;
    heard(t, "can i speak to a person");
    assert_string_equal(t->tool, "{\"name\":\"request_person\",\"arguments\":{}}");
    turn_kind(t, TURN_TOOL, "{\"ok\":true}");
    assert_non_null(strstr(t->said, "call you back"));
}

static void gives_up_after_silence(void **state)
{
    struct talk *t = *state;
    for (int i = 0; i < 3; i++) {
        turn_kind(t, TURN_SILENCE, "");
        assert_false(t->hang_up);
        follow(t, INPUT_COMMIT);
    }
    turn_kind(t, TURN_SILENCE, "");
    assert_true(t->hang_up);
}

static void times_are_understood(void **state)
{
    static const char *const times[][2] = {
        {"at nine", "09:00"},          {"half past ten", "10:30"},
        {"two thirty", "14:30"},       {"three pm", "15:00"},
        {"quarter to three", "14:45"}, {"a quarter past eleven", "11:15"},
        {"twelve o'clock", "12:00"},   {"noon", "12:00"},
        {"ten forty five", "10:45"},   {"six in the evening", "18:00"},
        {"one thirty", "13:30"},       {"ten to nine", "08:50"}};
    struct talk *t = *state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct understood u;
        rules_understand(t->config.loaded, slice_str(times[i][0]), -1, &u);
        assert_string_equal(u.values[rules_slot(t->config.loaded, SLICE("time"))], times[i][1]);
    }
}

static void hostile_text_is_unclear(void **state)
{
    struct talk *t = *state;
    static char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    heard(t, text);
    assert_string_equal(t->understood, "{\"intent\":\"unclear\",\"slots\":{}}");
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        text[i] = i % 2 ? ' ' : (char)(128 + i % 128);
    heard(t, text);
    assert_string_equal(t->understood, "{\"intent\":\"unclear\",\"slots\":{}}");
}

static void bad_files_name_the_line(void **state)
{
    static const char *const bad[][2] = {{"slot day\nvalue x\n", "f:2:"},
                                         {"intent a\ncue many words\n", "f:2:"},
                                         {"intent a\nslots nothing\n", "f:2:"},
                                         {"slot t clock 25:00 26:00\n", "f:1:"},
                                         {"rubbish\n", "f:1:"},
                                         {"cue 1 x\n", "f:1:"},
                                         {"", "f:0:"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct rules *r;
        char why[200] = "";
        assert_int_equal(rules_parse(slice_str(bad[i][0]), "f", &r, why, sizeof(why)), -22);
        assert_null(r);
        assert_int_equal(strncmp(why, bad[i][1], strlen(bad[i][1])), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(books_after_asking, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(tells_what_it_expects, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(an_answer_outweighs_a_weak_cue, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(failed_tool_is_said, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(old_tool_result_is_ignored, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(cancelled_turn_is_forgotten, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(keys_answer_at_any_time, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(repeats_and_ends, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(person_calls_back, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(gives_up_after_silence, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(times_are_understood, talk_open, talk_close),
        cmocka_unit_test_setup_teardown(hostile_text_is_unclear, talk_open, talk_close),
        cmocka_unit_test(bad_files_name_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
