/* The text of a reply: clauses out, and how much of it was heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "actors/call/reply.h"

static struct reply reply;
static uint8_t memory[TURN_TEXT_BYTES_MAX];

static int begin(void **state)
{
    (void)state;
    memset(&reply, 0, sizeof(reply));
    assert_null(reply_move(&reply, memory, sizeof(memory)));
    reply_begin(&reply);
    return 0;
}

static void next_is(const char *text)
{
    struct slice clause;
    uint32_t piece;

    if (!text) {
        assert_false(reply_next(&reply, &clause, &piece));
        return;
    }
    assert_true(reply_next(&reply, &clause, &piece));
    assert_int_equal(clause.len, strlen(text));
    assert_memory_equal(clause.at, text, clause.len);
}

static void waits_for_what_follows_a_stop(void **state)
{
    (void)state;
    reply_add(&reply, SLICE("It costs 3."));
    next_is(NULL); /* "3.50", or the end? */
    reply_add(&reply, SLICE("50 today. And"));
    next_is("It costs 3.50 today.");
    next_is(NULL);
    reply_add(&reply, SLICE(" tomorrow"));
    reply_end(&reply);
    next_is("And tomorrow");
    next_is(NULL);
}

static void the_first_clause_may_end_at_a_comma(void **state)
{
    (void)state;
    reply_add(&reply, SLICE("Yes, we are open on Mondays too, from nine, until five. "));
    next_is("Yes, we are open on Mondays too,");
    next_is("from nine, until five.");
    reply_end(&reply);
    next_is(NULL);
}

static void a_long_clause_is_cut_at_a_space(void **state)
{
    struct slice clause;
    uint32_t piece, pieces = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        reply_add(&reply, SLICE("seven77 "));
    reply_end(&reply);
    for (; reply_next(&reply, &clause, &piece); pieces++) {
        assert_in_range(clause.len, 1, CLAUSE_CHARS_MAX);
        assert_int_equal(clause.len % 8, 7); /* whole words */
    }
    assert_in_range(pieces, 5, 6);
}

static void text_beyond_the_limit_is_cut_at_a_character(void **state)
{
    (void)state;
    for (int i = 0; i < TURN_TEXT_BYTES_MAX / 2; i++)
        reply_add(&reply, SLICE("\xC3\xA4"));
    reply_add(&reply, SLICE("x"));
    assert_int_equal(reply.len, TURN_TEXT_BYTES_MAX);
    begin(NULL);
    reply_add(&reply, SLICE("x"));
    for (int i = 0; i < TURN_TEXT_BYTES_MAX; i++)
        reply_add(&reply, SLICE("\xC3\xA4"));
    assert_int_equal(reply.len, TURN_TEXT_BYTES_MAX - 1);
}

static void many_clauses_end_in_one_last(void **state)
{
    struct slice clause;
    uint32_t piece, pieces = 0;

    (void)state;
    for (int i = 0; i < 200; i++)
        reply_add(&reply, SLICE("No. "));
    reply_end(&reply);
    while (reply_next(&reply, &clause, &piece))
        assert_int_equal(piece, ++pieces);
    assert_int_equal(pieces, REPLY_PIECES_MAX);
    assert_int_equal(clause.len, 4 * (200 - REPLY_PIECES_MAX + 1) - 1);
}

static void counts_whole_words_that_were_heard(void **state)
{
    (void)state;
    reply_add(&reply, SLICE("One two three. Four five six. "));
    reply_end(&reply);
    next_is("One two three.");
    next_is("Four five six.");
    assert_int_equal(reply_heard(&reply, 1, 100, 100, true), 14);
    assert_int_equal(reply_heard(&reply, 2, 0, 100, false), 14);
    assert_int_equal(reply_heard(&reply, 2, 50, 100, false), 19); /* " Four" */
    assert_int_equal(reply_heard(&reply, 2, 100, 100, true), 29);
    assert_int_equal(reply_heard(&reply, 0, 50, 100, true), 0);
    assert_int_equal(reply_heard(&reply, 3, 50, 100, true), 0);
    reply_begin(&reply); /* the pieces of the one before are not of this one */
    reply_add(&reply, SLICE("Seven. "));
    next_is("Seven.");
    assert_int_equal(reply_heard(&reply, 2, 50, 100, true), 0);
    assert_int_equal(reply_heard(&reply, 3, 100, 100, true), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waits_for_what_follows_a_stop, begin),
        cmocka_unit_test_setup(the_first_clause_may_end_at_a_comma, begin),
        cmocka_unit_test_setup(a_long_clause_is_cut_at_a_space, begin),
        cmocka_unit_test_setup(text_beyond_the_limit_is_cut_at_a_character, begin),
        cmocka_unit_test_setup(many_clauses_end_in_one_last, begin),
        cmocka_unit_test_setup(counts_whole_words_that_were_heard, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
