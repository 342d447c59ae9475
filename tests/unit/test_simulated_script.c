#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/json.h"
#include "tools/providers/delay.h"
#include "tools/providers/fault.h"
#include "tools/providers/script.h"

/* ---- delays ---- */

static void delays_are_read(void **state)
{
    struct delay d;
    char why[DELAY_WHY_BYTES];
    (void)state;

    assert_int_equal(delay_parse(SLICE("260"), &d, why), 0);
    assert_true(d.kind == DELAY_CONSTANT && d.a_ms == 260);
    assert_int_equal(delay_parse(SLICE(" constant  1.5 "), &d, why), 0);
    assert_true(d.kind == DELAY_CONSTANT && d.a_ms == 1.5);
    assert_int_equal(delay_parse(SLICE("uniform 10 20"), &d, why), 0);
    assert_true(d.kind == DELAY_UNIFORM && d.a_ms == 10 && d.b_ms == 20);
    assert_int_equal(delay_parse(SLICE("lognormal 160 420"), &d, why), 0);
    assert_true(d.kind == DELAY_LOGNORMAL && d.a_ms == 160 && d.b_ms == 420);
}

static void bad_delays_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "constant",
        "constant x",
        "-1",
        "uniform 5",
        "uniform 20 10",
        "lognormal 0 10",
        "1 2",
        "600001",
        "uniform 1 2 3",
        "nan",
        "1e9",
        "gauss 1 2",
        "1.2.3",
        "lognormal 5",
        "constant 1 ms",
    };
    struct delay d;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char why[DELAY_WHY_BYTES] = "";
        assert_int_equal(delay_parse(slice_str(bad[i]), &d, why), -EINVAL);
        assert_true(why[0]);
    }
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The quantiles in milliseconds of many draws. */
static void quantiles(const char *text, double *median, double *p95, double *least, double *most)
{
    static int64_t drawn[20000];
    struct rand chance = {7};
    struct delay d;
    char why[DELAY_WHY_BYTES];

    assert_int_equal(delay_parse(slice_str(text), &d, why), 0);
    for (size_t i = 0; i < ARRAY_LEN(drawn); i++)
        drawn[i] = delay_draw(&d, &chance);
    qsort(drawn, ARRAY_LEN(drawn), sizeof(drawn[0]), by_size);
    *least = (double)drawn[0] / 1e6;
    *median = (double)drawn[10000] / 1e6;
    *p95 = (double)drawn[19000] / 1e6;
    *most = (double)drawn[19999] / 1e6;
}

static void draws_follow_the_distribution(void **state)
{
    double median, p95, least, most;
    (void)state;

    quantiles("constant 90", &median, &p95, &least, &most);
    assert_true(least == 90 && most == 90);
    quantiles("uniform 100 200", &median, &p95, &least, &most);
    assert_true(least >= 100 && least < 101 && most <= 200 && most > 199);
    assert_true(median > 148 && median < 152 && p95 > 194 && p95 < 196);
    quantiles("lognormal 160 420", &median, &p95, &least, &most);
    assert_true(median > 155 && median < 165 && p95 > 400 && p95 < 440 && least > 0);
    quantiles("lognormal 1 600000", &median, &p95, &least, &most);
    assert_true(most <= DELAY_MS_MAX);
}

static void draws_repeat_with_the_seed(void **state)
{
    struct delay d = {DELAY_LOGNORMAL, 100, 300};
    struct rand one = {42}, same = {42}, other = {43};
    (void)state;

    int64_t first = delay_draw(&d, &one);
    assert_true(first == delay_draw(&d, &same));
    assert_true(first != delay_draw(&d, &other));
}

/* ---- faults ---- */

static struct fault fault(const char *line)
{
    struct fault f;
    char why[FAULT_WHY_BYTES];

    if (fault_parse(slice_str(line), &f, why) < 0)
        fail_msg("%s: %s", line, why);
    return f;
}

static void faults_are_read(void **state)
{
    (void)state;
    struct fault f = fault("openai.chat request 2: status 429 retry-after 7");
    assert_string_equal(f.service, "openai.chat");
    assert_true(f.when == FAULT_REQUESTS && f.first == 2 && f.last == 2);
    assert_true(f.kind == FAULT_STATUS && f.number == 429 && f.retry_after == 7);
    assert_true(f.after == FAULT_AT_ONCE);
    f = fault("* request 3-5: close 1001 after 4");
    assert_true(f.first == 3 && f.last == 5 && f.kind == FAULT_CLOSE);
    assert_true(f.number == 1001 && f.after == 4 && f.retry_after == -1);
    f = fault("vosk every 10: close");
    assert_true(f.when == FAULT_EVERY && f.first == 10 && f.number == FAULT_CLOSE_USUAL);
    assert_true(f.after == FAULT_AT_ONCE);
    f = fault("vosk chance 5: reset after 0");
    assert_true(f.when == FAULT_CHANCE && f.after == 0);
    f = fault("x if two words: garbage");
    assert_string_equal(f.word, "two words");
    assert_true(f.after == 0); /* it needs an answer to be in */
    f = fault("x: huge 1073741824 after 1");
    assert_true(f.number == 1073741824 && f.after == 1 && f.last == UINT64_MAX);
    f = fault("x: drip 1");
    assert_true(f.kind == FAULT_DRIP && f.number == 1);
    f = fault("x: late 30000");
    assert_true(f.kind == FAULT_LATE && f.number == 30000);
}

static void bad_faults_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "x:",
        ": reset",
        "x request: reset",
        "x request 0: reset",
        "x request 5-3: reset",
        "x request 5-: reset now",
        "x every 0: reset",
        "x chance 101: reset",
        "x if: reset",
        "x sometimes: reset",
        "x: explode",
        "x: status",
        "x: status 99",
        "x: status 429 retry-after",
        "x: status 500 after 3",
        "x: huge",
        "x: huge 99999999999",
        "x: late 5 after 2",
        "x: reset after",
        "x: reset after many",
        "x: reset twice",
        "x: drip 0",
    };
    struct fault f;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char why[FAULT_WHY_BYTES] = "";
        if (fault_parse(slice_str(bad[i]), &f, why) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(why[0]);
    }
}

static void faults_happen_to_whom_they_name(void **state)
{
    struct fault all[4];
    struct rand chance = {1};
    (void)state;

    all[0] = fault("a request 2: reset");
    all[1] = fault("a every 5: silence");
    all[2] = fault("* if angry: garbage");
    all[3] = fault("b chance 100: close");
    assert_null(fault_pick(all, 4, "a", 1, SLICE("calm"), &chance));
    assert_ptr_equal(fault_pick(all, 4, "a", 2, SLICE("angry"), &chance), &all[0]);
    assert_ptr_equal(fault_pick(all, 4, "a", 10, SLICE("angry"), &chance), &all[1]);
    assert_ptr_equal(fault_pick(all, 4, "c", 2, SLICE("so angry!"), &chance), &all[2]);
    assert_ptr_equal(fault_pick(all, 4, "b", 2, SLICE_NONE, &chance), &all[3]);
    assert_ptr_equal(fault_in_message(all, 4, "a", SLICE("angry")), &all[2]);
    assert_null(fault_in_message(all, 4, "b", SLICE("calm")));
    all[3] = fault("b chance 25: close");
    int hits = 0;
    for (uint64_t i = 0; i < 4000; i++)
        hits += fault_pick(all, 4, "b", i, SLICE_NONE, &chance) != NULL;
    assert_in_range(hits, 900, 1100);
}

/* ---- what is heard ---- */

static void hearing_lines_are_read(void **state)
{
    struct heard h;
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    assert_int_equal(heard_parse(SLICE("  what hours? "), &h, why), 0);
    assert_true(slice_equal(h.text, SLICE("what hours?")) && h.at_ms == HEARD_IN_ORDER);
    assert_int_equal(heard_parse(SLICE("@2.5 now"), &h, why), 0);
    assert_true(slice_equal(h.text, SLICE("now")) && h.at_ms == 2500);
    static const char *const bad[] = {"",         "  ",    "@",           "@ x",     "@1",
                                      "@1.2.3 x", "@-1 x", "@99999999 x", "\xC3\x28"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(heard_parse(slice_str(bad[i]), &h, why), -EINVAL);
}

/* ---- what is answered ---- */

static void rules_are_read_and_fit(void **state)
{
    struct answer_rule r;
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    assert_int_equal(answer_rule_parse(SLICE("Opening hours => From => eight."), &r, why), 0);
    assert_true(slice_equal(r.answer, SLICE("From => eight.")));
    assert_true(answer_rule_fits(&r, SLICE("What are your OPENING HOURS?")));
    assert_false(answer_rule_fits(&r, SLICE("opening hour")));
    assert_false(answer_rule_fits(&r, SLICE_NONE));
    assert_int_equal(answer_rule_parse(SLICE("*=>yes"), &r, why), 0);
    assert_true(answer_rule_fits(&r, SLICE_NONE));
    static const char *const bad[] = {"", "no arrow", "=> x", "x =>", "  =>  "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(answer_rule_parse(slice_str(bad[i]), &r, why), -EINVAL);
}

static void answers_are_cut_into_parts(void **state)
{
    static struct answer a;
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    assert_int_equal(answer_make(SLICE("You said {last}, {last}. | call find {\"q\":\"{last}\"} "
                                       "| call other"),
                                 SLICE("a \"b\""), &a, why),
                     0);
    assert_int_equal(a.count, 3);
    assert_true(slice_equal(a.parts[0].text, SLICE("You said a \"b\", a \"b\".")));
    assert_true(slice_equal(a.parts[1].tool, SLICE("find")));
    assert_true(slice_equal(a.parts[1].arguments, SLICE("{\"q\":\"a \\\"b\\\"\"}")));
    assert_true(slice_equal(a.parts[2].tool, SLICE("other")));
    assert_true(slice_equal(a.parts[2].arguments, SLICE("{}")));
}

static void bad_answers_are_refused(void **state)
{
    static struct answer a;
    static const char *const bad[] = {
        "",         "  ",         " | ",      "call {}",
        "call f {", "call f [1]", "call f 3", "a | b | c | d | e | f | g | h | i",
    };
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (answer_make(slice_str(bad[i]), SLICE_NONE, &a, why) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
}

static void answers_stay_within_their_room(void **state)
{
    static struct answer a;
    static uint8_t last[100000];
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    memset(last, 'x', sizeof(last));
    struct slice long_last = slice_of(last, sizeof(last));
    assert_int_equal(answer_make(SLICE("{last}{last}{last}{last}{last}{last}"), long_last, &a, why),
                     0);
    assert_in_range(a.parts[0].text.len, ANSWER_LAST_MAX, ANSWER_BYTES_MAX);
}

static void tokens_join_to_the_text(void **state)
{
    static const char text[] = "  We are  open,\nd\xC3\xA9j\xC3\xA0 vu! ";
    struct slice rest = slice_str(text);
    char joined[64] = "";
    size_t n = 0, len = 0;
    (void)state;

    assert_int_equal(token_count(rest), 6);
    assert_int_equal(token_count(SLICE_NONE), 0);
    for (struct slice t = token_next(&rest); t.len; t = token_next(&rest), n++) {
        assert_true(slice_is_utf8(t));
        memcpy(joined + len, t.at, t.len);
        len += t.len;
    }
    assert_int_equal(n, 6);
    assert_string_equal(joined, text);
    assert_true(slice_equal(token_first(slice_str(text), 3), SLICE("  We are  open,")));
    assert_true(slice_equal(token_skip(slice_str(text), 3), SLICE("\nd\xC3\xA9j\xC3\xA0 vu! ")));
    assert_true(slice_equal(token_first(slice_str(text), 99), slice_str(text)));
    assert_int_equal(token_skip(slice_str(text), 99).len, 0);
    assert_int_equal(token_first(slice_str(text), 0).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_are_read),
        cmocka_unit_test(bad_delays_are_refused),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(draws_repeat_with_the_seed),
        cmocka_unit_test(faults_are_read),
        cmocka_unit_test(bad_faults_are_refused),
        cmocka_unit_test(faults_happen_to_whom_they_name),
        cmocka_unit_test(hearing_lines_are_read),
        cmocka_unit_test(rules_are_read_and_fit),
        cmocka_unit_test(answers_are_cut_into_parts),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(answers_stay_within_their_room),
        cmocka_unit_test(tokens_join_to_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
