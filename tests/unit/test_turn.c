/* The turn machine: each conversation below is a list of events with the actions they must cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "actors/call/turn.h"
#include "base/rand.h"

static const struct turn_rules rules = {.expected_ns = MS(150),
                                        .complete_ns = MS(220),
                                        .open_ns = MS(500),
                                        .max_ns = SECONDS(20),
                                        .grace_ns = MS(100),
                                        .evidence_ns = MS(500),
                                        .resume_ns = MS(300),
                                        .noise_ns = MS(150),
                                        .final_ns = SECONDS(2),
                                        .silence_ns = SECONDS(10),
                                        .hang_up_ns = SECONDS(25),
                                        .interrupt_words = 1,
                                        .deaf_at_first = true};

static struct turn t;

static uint32_t at(int64_t ms, enum turn_event_kind kind, uint32_t epoch)
{
    struct turn_event e = {.kind = kind, .epoch = epoch, .at_ns = MS(ms)};

    return turn_step(&t, &e, MS(ms));
}

static uint32_t words(int64_t ms, uint32_t epoch, uint32_t count, bool complete)
{
    struct turn_event e = {.kind = ON_WORDS, .epoch = epoch, .words = count, .complete = complete};

    return turn_step(&t, &e, MS(ms));
}

static uint32_t heard(int64_t ms, uint32_t epoch, uint32_t count)
{
    struct turn_event e = {.kind = ON_HEARD, .epoch = epoch, .words = count};

    return turn_step(&t, &e, MS(ms));
}

/* Greets, and stands where the caller may speak: at 1000 ms, epoch 1 spent. */
static int greet(void **state)
{
    (void)state;
    turn_init(&t, &rules, 0);
    assert_int_equal(at(0, ON_SAY, 0), 0);
    assert_int_equal(at(50, ON_AUDIBLE, 1), ACT_COMMIT);
    assert_int_equal(at(1000, ON_PLAYED, 1), ACT_TURN_OVER);
    assert_int_equal(t.state, TURN_LISTENING);
    return 0;
}

static void complete_sentences_end_sooner(void **state)
{
    (void)state;
    assert_int_equal(at(2000, ON_SPEECH, 0), ACT_LISTEN);
    assert_int_equal(words(2500, 2, 3, false), 0);
    assert_int_equal(at(3000, ON_PAUSE, 0), 0);
    assert_true(t.deadline_ns == MS(3500));
    assert_int_equal(words(3050, 2, 4, true), 0);
    assert_true(t.deadline_ns == MS(3220));
    assert_int_equal(at(3219, ON_TIME, 0), 0);
    assert_int_equal(at(3220, ON_TIME, 0), ACT_FINISH);
    assert_int_equal(heard(3225, 2, 4), ACT_ANSWER);
    assert_int_equal(at(3250, ON_AUDIBLE, 2), ACT_COMMIT);
    assert_int_equal(t.state, TURN_SPEAKING);
}

static uint32_t answered(int64_t ms, uint32_t epoch)
{
    struct turn_event e = {
        .kind = ON_WORDS, .epoch = epoch, .words = 1, .complete = true, .expected = true};

    return turn_step(&t, &e, MS(ms));
}

static void the_answer_asked_for_ends_soonest(void **state)
{
    (void)state;
    assert_int_equal(at(2000, ON_SPEECH, 0), ACT_LISTEN);
    at(3000, ON_PAUSE, 0);
    assert_int_equal(answered(3050, 2), 0);
    assert_true(t.deadline_ns == MS(3150));
    assert_int_equal(words(3060, 2, 2, false), 0); /* it goes on after all */
    assert_true(t.deadline_ns == MS(3500));
    assert_int_equal(answered(3160, 2), ACT_FINISH);
    heard(3165, 2, 1);
    at(3170, ON_AUDIBLE, 2);
    at(5000, ON_PLAYED, 2);
    at(6000, ON_SPEECH, 0); /* the next one begins without it */
    at(7000, ON_PAUSE, 0);
    assert_true(t.deadline_ns == MS(7500));
}

static uint32_t ended(int64_t ms, uint32_t epoch, bool complete, bool expected)
{
    struct turn_event e = {.kind = ON_WORDS,
                           .epoch = epoch,
                           .words = 2,
                           .complete = complete,
                           .expected = expected,
                           .ended = true};

    return turn_step(&t, &e, MS(ms));
}

static uint32_t pause_of(int64_t ms, int64_t voiced_ms)
{
    struct turn_event e = {.kind = ON_PAUSE, .at_ns = MS(voiced_ms)};

    return turn_step(&t, &e, MS(ms));
}

/* VAD still says speech: how much silence it should have seen is asked for, and ends the turn. */
static void the_recognisers_end_ends_speech(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    assert_int_equal(words(2900, 2, 2, true), 0); /* a whole sentence may go on */
    assert_int_equal(ended(3260, 2, true, false), ACT_ENDED);
    assert_true(turn_hold_ns(&t) == MS(220));
    assert_int_equal(t.state, TURN_USER_SPEAKING);
    assert_int_equal(pause_of(3260, 3000), ACT_FINISH);
    assert_true(t.voiced_ns == MS(3000));
    assert_int_equal(heard(3261, 2, 2), ACT_ANSWER);
    assert_int_equal(at(3500, ON_SPEECH, 0), ACT_TAKE_BACK | ACT_FLUSH | ACT_LISTEN);
}

static void patience_outlasts_the_recognisers_end(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    assert_int_equal(ended(3050, 2, false, false), ACT_ENDED); /* it seems to go on */
    assert_true(turn_hold_ns(&t) == MS(500));
    assert_int_equal(ended(3060, 2, true, true), ACT_ENDED);
    assert_true(turn_hold_ns(&t) == MS(150));
    assert_int_equal(pause_of(3100, 3000), 0);
    assert_int_equal(t.state, TURN_ENDPOINTING);
    assert_true(t.deadline_ns == MS(3150));
    assert_int_equal(at(3120, ON_SPEECH, 0), 0); /* and does */
    assert_int_equal(t.state, TURN_USER_SPEAKING);
}

static void an_end_elsewhere_ends_nothing(void **state)
{
    struct turn_event nothing = {.kind = ON_WORDS, .epoch = 2, .complete = true, .ended = true};

    (void)state;
    at(2000, ON_SPEECH, 0);
    assert_int_equal(ended(2100, 1, true, false), 0); /* of an utterance gone by */
    assert_int_equal(turn_step(&t, &nothing, MS(2200)), 0);
    at(3000, ON_PAUSE, 0);
    assert_int_equal(ended(3010, 2, true, false), 0); /* VAD has said so before */
    assert_int_equal(ended(3220, 2, true, false), ACT_FINISH);
    assert_int_equal(ended(3221, 2, true, false), 0);
}

static void an_answer_waits_no_longer_than_a_sentence(void **state)
{
    (void)state;
    t.rules.expected_ns = MS(400);
    at(2000, ON_SPEECH, 0);
    at(3000, ON_PAUSE, 0);
    answered(3050, 2);
    assert_true(t.deadline_ns == MS(3220));
}

static void a_pause_is_not_the_end(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    at(2500, ON_PAUSE, 0);
    assert_int_equal(at(2800, ON_SPEECH, 0), 0); /* the same utterance goes on */
    assert_int_equal(t.epoch, 2);
    at(3000, ON_PAUSE, 0);
    assert_int_equal(at(3500, ON_TIME, 0), ACT_FINISH);
}

static void going_on_takes_the_reply_back(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    at(2500, ON_PAUSE, 0);
    at(3000, ON_TIME, 0);
    heard(3005, 2, 2);
    assert_int_equal(at(3010, ON_SPEECH, 0), ACT_TAKE_BACK | ACT_FLUSH | ACT_LISTEN);
    assert_int_equal(at(3020, ON_AUDIBLE, 2), 0); /* of the reply taken back */
    assert_int_equal(t.state, TURN_USER_SPEAKING);
    assert_int_equal(heard(3030, 2, 2), 0);
}

static void speak(void)
{
    at(2000, ON_SPEECH, 0);
    at(2500, ON_PAUSE, 0);
    at(3000, ON_TIME, 0);
    heard(3005, 2, 2);
    at(3020, ON_AUDIBLE, 2);
}

static void words_interrupt(void **state)
{
    (void)state;
    speak();
    assert_int_equal(at(4000, ON_SPEECH, 0), ACT_HOLD | ACT_LISTEN);
    assert_int_equal(words(4200, 3, 1, false), ACT_FLUSH | ACT_TURN_OVER);
    assert_int_equal(t.state, TURN_USER_SPEAKING);
    assert_int_equal(at(4210, ON_PLAYED, 2), 0);
}

/* A word that interrupts may be the last one too. */
static void an_interruption_may_be_over_at_once(void **state)
{
    (void)state;
    speak();
    at(4000, ON_SPEECH, 0);
    t.rules.interrupt_words = 3;
    assert_int_equal(ended(4300, 3, true, false), 0); /* too few to interrupt */
    t.rules.interrupt_words = 1;
    assert_int_equal(ended(4310, 3, true, false), ACT_FLUSH | ACT_TURN_OVER | ACT_ENDED);
    assert_int_equal(pause_of(4310, 4080), ACT_FINISH);
}

static void long_speech_interrupts_without_words(void **state)
{
    (void)state;
    speak();
    at(4000, ON_SPEECH, 0);
    assert_int_equal(at(4499, ON_TIME, 0), 0);
    assert_int_equal(at(4500, ON_TIME, 0), ACT_FLUSH | ACT_TURN_OVER);
}

static void a_short_word_still_interrupts(void **state)
{
    (void)state;
    speak();
    at(4000, ON_SPEECH, 0);
    at(4150, ON_PAUSE, 0);
    assert_int_equal(words(4200, 3, 1, true), ACT_FLUSH | ACT_TURN_OVER);
    assert_int_equal(t.state, TURN_ENDPOINTING);
    assert_int_equal(at(4370, ON_TIME, 0), ACT_FINISH);
}

static void a_cough_does_not(void **state)
{
    (void)state;
    speak();
    at(4000, ON_SPEECH, 0);
    at(4100, ON_PAUSE, 0);
    assert_int_equal(at(4400, ON_TIME, 0), ACT_RESUME | ACT_FORGET);
    assert_int_equal(t.state, TURN_SPEAKING);
    assert_int_equal(at(5000, ON_PLAYED, 2), ACT_TURN_OVER); /* still the reply's epoch */
}

static void a_cough_over_the_last_words_loses_nothing(void **state)
{
    (void)state;
    speak();
    at(4000, ON_SPEECH, 0);
    assert_int_equal(at(4050, ON_PLAYED, 2), 0); /* all had been heard */
    at(4100, ON_PAUSE, 0);
    assert_int_equal(at(4400, ON_TIME, 0), ACT_RESUME | ACT_FORGET | ACT_TURN_OVER);
    assert_int_equal(t.state, TURN_LISTENING);
    assert_true(t.deadline_ns == MS(14400));
}

static void grace_delays_the_interruption(void **state)
{
    (void)state;
    speak(); /* audible at 3020 */
    assert_int_equal(at(3050, ON_SPEECH, 0), 0);
    assert_true(t.deadline_ns == MS(3120));
    assert_int_equal(at(3120, ON_TIME, 0), ACT_HOLD | ACT_LISTEN);
}

/* A timer that is due already would fire again and again. */
static void no_deadline_is_left_behind(void **state)
{
    (void)state;
    speak(); /* audible at 3020, grace to 3120 */
    at(3030, ON_SPEECH, 0);
    at(3090, ON_PAUSE, 0);
    assert_int_equal(at(3120, ON_TIME, 0), 0);
    assert_true(t.deadline_ns > MS(3120));
}

static void a_sound_does_not_undo_keys(void **state)
{
    (void)state;
    assert_int_equal(at(2000, ON_KEY, 0), 0);
    assert_int_equal(at(2200, ON_SPEECH, 0), 0);
    assert_int_equal(at(2500, ON_KEYS, 0), ACT_ANSWER_KEYS);
    assert_int_equal(at(2550, ON_AUDIBLE, t.reply_epoch), ACT_COMMIT);
    assert_int_equal(at(2650, ON_TIME, 0), ACT_HOLD | ACT_LISTEN); /* it goes on: now it counts */
}

static void keys_cut_in_everywhere(void **state)
{
    (void)state;
    assert_int_equal(at(2000, ON_KEY, 0), 0);
    assert_int_equal(at(2100, ON_KEY, 0), 0);
    assert_int_equal(at(2600, ON_KEYS, 0), ACT_ANSWER_KEYS);
    assert_int_equal(at(2650, ON_AUDIBLE, t.reply_epoch), ACT_COMMIT);
    assert_int_equal(at(3000, ON_KEY, 0), ACT_FLUSH | ACT_TURN_OVER);
    assert_int_equal(at(3500, ON_KEYS, 0), ACT_ANSWER_KEYS);
    assert_int_equal(at(3600, ON_PLAYED, t.reply_epoch), ACT_TURN_OVER); /* an empty reply */
    at(4000, ON_SPEECH, 0);
    assert_int_equal(at(4500, ON_KEY, 0), ACT_FORGET);
    assert_int_equal(at(4600, ON_KEYS, 0), ACT_ANSWER_KEYS);
}

static void silence_is_asked_about_once_then_ends_the_call(void **state)
{
    (void)state;
    assert_int_equal(at(11000, ON_TIME, 0), ACT_ANSWER_SILENCE);
    at(11050, ON_AUDIBLE, t.reply_epoch);
    at(12000, ON_PLAYED, t.reply_epoch);
    assert_true(t.deadline_ns == MS(37000));
    assert_int_equal(at(37000, ON_TIME, 0), ACT_SILENCE_END);
}

static void noise_is_forgotten_mumbling_is_asked_about(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    at(2100, ON_PAUSE, 0);
    at(2600, ON_TIME, 0);
    assert_int_equal(heard(2605, 2, 0), ACT_FORGET);
    assert_int_equal(t.state, TURN_LISTENING);
    at(4000, ON_SPEECH, 0);
    at(4600, ON_PAUSE, 0);
    assert_int_equal(at(5100, ON_TIME, 0), ACT_FINISH);
    assert_int_equal(at(7100, ON_TIME, 0), ACT_ANSWER_UNCLEAR); /* no final ever came */
}

static uint32_t last(int64_t ms, bool whole)
{
    struct turn_event e = {.kind = ON_LAST, .complete = whole};

    return turn_step(&t, &e, MS(ms));
}

static void last_words_cut_in_everywhere(void **state)
{
    (void)state;
    assert_int_equal(last(1100, true), ACT_LAST); /* nobody speaks */
    assert_int_equal(t.state, TURN_THINKING);
    assert_int_equal(t.reply_epoch, 2);
    greet(NULL);
    at(2000, ON_SPEECH, 0);
    assert_int_equal(last(2100, true), ACT_FORGET | ACT_LAST);
    greet(NULL);
    at(2000, ON_SPEECH, 0);
    at(2600, ON_PAUSE, 0);
    at(3100, ON_TIME, 0);
    assert_int_equal(last(3110, true), ACT_FLUSH | ACT_FORGET | ACT_LAST); /* a final is awaited */
}

/* What is being made takes them in; from then on nothing is heard of the caller. */
static void last_words_are_not_interrupted(void **state)
{
    (void)state;
    at(2000, ON_SPEECH, 0);
    at(2600, ON_PAUSE, 0);
    at(3100, ON_TIME, 0);
    assert_int_equal(heard(3110, 2, 3), ACT_ANSWER);
    assert_int_equal(last(3200, false), 0);
    assert_int_equal(t.state, TURN_THINKING);
    assert_int_equal(at(3300, ON_SPEECH, 0), 0);
    assert_int_equal(at(3400, ON_KEY, 0), 0);
    assert_int_equal(at(3500, ON_AUDIBLE, 2), ACT_COMMIT);
    assert_int_equal(at(4500, ON_TIME, 0), 0);
    assert_int_equal(t.state, TURN_SPEAKING);
    assert_int_equal(last(4600, true), 0); /* once */
    assert_true(at(5000, ON_PLAYED, 2) & ACT_TURN_OVER);
}

static void speech_over_the_greeting_waits_for_its_end(void **state)
{
    (void)state;
    turn_init(&t, &rules, 0);
    at(0, ON_SAY, 0);
    assert_int_equal(at(20, ON_SPEECH, 0), 0);
    at(50, ON_AUDIBLE, 1);
    assert_int_equal(at(1000, ON_PLAYED, 1), ACT_TURN_OVER | ACT_LISTEN);
    assert_int_equal(t.state, TURN_USER_SPEAKING);
}

/* Whatever comes in whatever order: no illegal transition (turn_enter asserts), and every legal one
 * is reached. */
static void any_order_keeps_the_rules(void **state)
{
    struct rand rand = {.state = 42};
    uint64_t visited = 0, legal = 0;
    int64_t ms = 0;

    (void)state;
    for (int round = 0; round < 400; round++) {
        turn_init(&t, &rules, MS(ms));
        for (int i = 0; i < 500; i++) {
            struct turn_event e = {.kind = (enum turn_event_kind)rand_below(&rand, ON_TIME + 1),
                                   .epoch = rand_below(&rand, 2) ? t.reply_epoch : t.epoch,
                                   .words = rand_below(&rand, 3),
                                   .complete = rand_below(&rand, 2),
                                   .expected = rand_below(&rand, 2),
                                   .ended = rand_below(&rand, 2)};
            if (e.kind == ON_LAST && rand_below(&rand, 20))
                continue; /* rarely, since nothing is heard after it */
            ms += rand_below(&rand, 4) ? rand_below(&rand, 100) : rand_below(&rand, 4000);
            e.at_ns = MS(ms);
            turn_step(&t, &e, MS(ms));
        }
        visited |= t.visited;
    }
    for (int from = 0; from < TURN_STATE_COUNT; from++)
        for (int to = 0; to < TURN_STATE_COUNT; to++)
            if (turn_may((enum turn_state)from, (enum turn_state)to))
                legal |= UINT64_C(1) << (from * 8 + to);
    assert_true(visited == legal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(complete_sentences_end_sooner, greet),
        cmocka_unit_test_setup(the_answer_asked_for_ends_soonest, greet),
        cmocka_unit_test_setup(the_recognisers_end_ends_speech, greet),
        cmocka_unit_test_setup(patience_outlasts_the_recognisers_end, greet),
        cmocka_unit_test_setup(an_end_elsewhere_ends_nothing, greet),
        cmocka_unit_test_setup(an_answer_waits_no_longer_than_a_sentence, greet),
        cmocka_unit_test_setup(a_pause_is_not_the_end, greet),
        cmocka_unit_test_setup(going_on_takes_the_reply_back, greet),
        cmocka_unit_test_setup(words_interrupt, greet),
        cmocka_unit_test_setup(an_interruption_may_be_over_at_once, greet),
        cmocka_unit_test_setup(long_speech_interrupts_without_words, greet),
        cmocka_unit_test_setup(a_short_word_still_interrupts, greet),
        cmocka_unit_test_setup(a_cough_does_not, greet),
        cmocka_unit_test_setup(a_cough_over_the_last_words_loses_nothing, greet),
        cmocka_unit_test_setup(grace_delays_the_interruption, greet),
        cmocka_unit_test_setup(no_deadline_is_left_behind, greet),
        cmocka_unit_test_setup(a_sound_does_not_undo_keys, greet),
        cmocka_unit_test_setup(keys_cut_in_everywhere, greet),
        cmocka_unit_test_setup(silence_is_asked_about_once_then_ends_the_call, greet),
        cmocka_unit_test_setup(noise_is_forgotten_mumbling_is_asked_about, greet),
        cmocka_unit_test_setup(last_words_cut_in_everywhere, greet),
        cmocka_unit_test_setup(last_words_are_not_interrupted, greet),
        cmocka_unit_test(speech_over_the_greeting_waits_for_its_end),
        cmocka_unit_test(any_order_keeps_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
