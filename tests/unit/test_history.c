/* The conversation as it was heard: bounded, extended, cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "actors/call/history.h"

static struct history h;
static uint8_t memory[HISTORY_BYTES_MAX];

static int begin(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    assert_null(history_move(&h, memory, sizeof(memory)));
    return 0;
}

static void line_is(uint32_t i, bool agent, const char *text)
{
    struct provider_line lines[HISTORY_LINES_MAX];

    assert_true(i < history_lines(&h, lines));
    assert_int_equal(lines[i].agent, agent);
    assert_int_equal(lines[i].text.len, strlen(text));
    assert_memory_equal(lines[i].text.at, text, strlen(text));
}

static void keeps_lines_in_order(void **state)
{
    (void)state;
    history_add(&h, false, SLICE("hello"));
    history_extend(&h, SLICE("Good "));
    history_extend(&h, SLICE("day."));
    history_add(&h, false, SLICE("bye"));
    line_is(0, false, "hello");
    line_is(1, true, "Good day.");
    line_is(2, false, "bye");
}

static void cuts_the_last_line_at_a_character(void **state)
{
    (void)state;
    history_add(&h, false, SLICE("hello"));
    history_add(&h, true, SLICE("gr\xC3\xBC\xC3\x9F"));
    history_cut(&h, 100);
    line_is(1, true, "gr\xC3\xBC\xC3\x9F");
    history_cut(&h, 3);
    line_is(1, true, "gr");
    history_cut(&h, 0);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.used, 5);
    history_add(&h, true, SLICE("Yes."));
    line_is(0, false, "hello");
    line_is(1, true, "Yes.");
}

static void forgets_the_oldest(void **state)
{
    static const char long_text[2000] = {0};
    char text[3] = "a0";

    (void)state;
    for (int i = 0; i < HISTORY_LINES_MAX + 2; i++) {
        text[1] = (char)('0' + i);
        history_add(&h, false, slice_str(text));
    }
    assert_int_equal(h.count, HISTORY_LINES_MAX);
    line_is(0, false, "a2");
    for (int i = 0; i < 4; i++)
        history_add(&h, true, slice_of(long_text, sizeof(long_text)));
    assert_int_equal(h.count, 3);
    assert_true(h.used <= HISTORY_BYTES_MAX);
    /* A line that grows pushes out the others, itself last of all. */
    for (int i = 0; i < 10; i++)
        history_extend(&h, slice_of(long_text, sizeof(long_text)));
    assert_int_equal(h.count, 1);
    assert_int_equal(h.lines[0].len, HISTORY_BYTES_MAX);
}

static void an_oversized_line_is_cut(void **state)
{
    static const uint8_t huge[HISTORY_BYTES_MAX + 1] = {0};

    (void)state;
    history_add(&h, false, SLICE("hello"));
    history_add(&h, true, slice_of(huge, sizeof(huge)));
    assert_int_equal(h.count, 1);
    assert_int_equal(h.used, HISTORY_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keeps_lines_in_order, begin),
        cmocka_unit_test_setup(cuts_the_last_line_at_a_character, begin),
        cmocka_unit_test_setup(forgets_the_oldest, begin),
        cmocka_unit_test_setup(an_oversized_line_is_cut, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
