/* Speech grammars: what they accept, what they sample, and what is refused with its line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "base/bytes.h"
#include "provider/grammar.h"
#include "provider/ngram.h"

static const char text[] = "#JSGF V1.0;\ngrammar g;\n// a comment\n"
                           "public <s> = [hello] (/9/ <ask> | /1/ good bye) {tag};\n"
                           "<ask> = book a (visit | Slot) [on <day>];\n<day> = monday | tuesday;\n";

static struct grammar *parse(const char *from)
{
    struct grammar *g;
    char why[200] = "";
    int err = grammar_parse(slice_str(from), "g", &g, why, sizeof(why));
    if (err)
        print_message("%s\n", why);
    assert_int_equal(err, 0);
    return g;
}

static bool accepts(const struct grammar *g, const char *sentence)
{
    void *scratch = malloc(grammar_scratch_bytes(g));
    bool whole = grammar_accepts(g, slice_str(sentence), scratch);
    free(scratch);
    return whole;
}

static double end_share(const struct grammar *g, const char *sentence)
{
    void *scratch = malloc(grammar_scratch_bytes(g));
    double share = grammar_end_share(g, GRAMMAR_ANYTHING, slice_str(sentence), scratch);
    free(scratch);
    return share;
}

/* What usually goes on is told from what usually ends, by the weights. */
static void knows_how_likely_a_sentence_ends(void **state)
{
    static const char source[] = "#JSGF V1.0;\ngrammar t;\n"
                                 "public <s> = move it [/3/ to (monday | tuesday)] | /2/ yes\n"
                                 "  | move | /4/ move out;\n";
    struct grammar *g = NULL;
    char why[200] = "";
    (void)state;
    assert_int_equal(grammar_parse(SLICE(source), "t.gram", &g, why, sizeof(why)), 0);
    assert_true(end_share(g, "yes") > 0.999);
    assert_true(end_share(g, "move it to monday") > 0.999);
    assert_true(end_share(g, "move it to") <= 0.0);
    assert_true(end_share(g, "") <= 0.0);
    assert_true(end_share(g, "move elsewhere") <= 0.0);
    /* of three ways to begin with "move", weighing 1, 1 and 4, one ends there */
    double move = end_share(g, "move");
    assert_true(move > 1.0 / 6 - 1e-4 && move < 1.0 / 6 + 1e-4);
    double it = end_share(g, "move it");
    assert_true(it > 0.0 && it < 0.9);
    grammar_free(&g);
}

static double context_share(const struct grammar *g, const char *name, const char *sentence)
{
    void *scratch = malloc(grammar_scratch_bytes(g));
    double share =
        grammar_end_share(g, grammar_context(g, slice_str(name)), slice_str(sentence), scratch);
    free(scratch);
    return share;
}

/* An <expect_...> rule is a grammar beside the public one, used by it or not. */
static void contexts_stand_beside_the_grammar(void **state)
{
    static const char source[] = "#JSGF V1.0;\ngrammar t;\n"
                                 "public <s> = book a visit [on <expect_day>];\n"
                                 "<expect_day> = monday | /3/ tuesday please;\n"
                                 "<expect_confirm> = yes | no;\n";
    uint16_t words[GRAMMAR_SENTENCE_MAX];
    struct rand r = {3};
    (void)state;
    struct grammar *g = parse(source);
    assert_int_equal(grammar_contexts(g), 3);
    assert_int_equal(grammar_context(g, SLICE("time")), GRAMMAR_ANYTHING);
    assert_int_equal(grammar_context(g, SLICE("")), GRAMMAR_ANYTHING);
    assert_string_equal(grammar_context_name(g, GRAMMAR_ANYTHING), "");
    assert_string_equal(grammar_context_name(g, grammar_context(g, SLICE("day"))), "day");
    assert_true(context_share(g, "day", "monday") > 0.999);
    assert_true(context_share(g, "day", "tuesday") <= 0.0);
    assert_true(context_share(g, "day", "yes") <= 0.0);
    assert_true(context_share(g, "confirm", "no") > 0.999);
    assert_false(accepts(g, "monday"));
    assert_false(accepts(g, "no"));
    assert_true(accepts(g, "book a visit on monday"));
    for (int i = 0; i < 100; i++) {
        size_t count = grammar_sample(g, grammar_context(g, SLICE("confirm")), &r, words);
        assert_int_equal(count, 1);
        assert_true(strcmp(grammar_word(g, words[0]), "yes") == 0 ||
                    strcmp(grammar_word(g, words[0]), "no") == 0);
    }
    grammar_free(&g);
}

static void contexts_are_counted(void **state)
{
    char source[2000] = "", why[200] = "";
    struct builder b = builder_of(source, sizeof(source) - 1);
    struct grammar *g = NULL;
    (void)state;
    builder_str(&b, "#JSGF V1.0;\ngrammar t;\npublic <s> = a;\n");
    for (int i = 1; i < GRAMMAR_CONTEXTS_MAX; i++)
        builder_printf(&b, "<expect_%d> = a;\n", i);
    g = parse(source);
    assert_int_equal(grammar_contexts(g), GRAMMAR_CONTEXTS_MAX);
    grammar_free(&g);
    builder_str(&b, "<expect_more> = a;\n");
    assert_int_equal(grammar_parse(slice_str(source), "g", &g, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "g:19: too many <expect_...> rules: expect_more");
    assert_int_equal(grammar_parse(SLICE("#JSGF V1.0;\ngrammar t;\npublic <s> = a;\n"
                                         "<expect_> = b;"),
                                   "g", &g, why, sizeof(why)),
                     -EINVAL);
    assert_string_equal(why, "g:4: not the name of an expected answer: expect_");
}

static void accepts_whole_sentences(void **state)
{
    (void)state;
    struct grammar *g = parse(text);
    assert_true(accepts(g, "hello book a visit on monday"));
    assert_true(accepts(g, "book a slot"));
    assert_true(accepts(g, "good bye"));
    assert_false(accepts(g, "book a visit on"));
    assert_false(accepts(g, "hello"));
    assert_false(accepts(g, ""));
    assert_false(accepts(g, "book a elephant"));
    grammar_free(&g);
}

static void samples_are_sentences(void **state)
{
    (void)state;
    struct grammar *g = parse(text);
    struct rand r = {5};
    int byes = 0;
    for (int i = 0; i < 1000; i++) {
        uint16_t words[GRAMMAR_SENTENCE_MAX];
        char sentence[500] = "";
        size_t count = grammar_sample(g, GRAMMAR_ANYTHING, &r, words);
        struct builder b = builder_of(sentence, sizeof(sentence) - 1);
        for (size_t k = 0; k < count; k++)
            builder_printf(&b, "%s ", grammar_word(g, words[k]));
        assert_true(accepts(g, sentence));
        byes += strstr(sentence, "bye") != NULL;
    }
    assert_in_range(byes, 60, 150); /* one in ten */
    grammar_free(&g);
}

static const char *name_of(const void *g, size_t i)
{
    return grammar_word(g, i);
}

static char *model(double openness)
{
    char *out = NULL;
    size_t size;
    struct grammar *g = parse(text);
    struct ngram *n = ngram_new(openness);
    struct rand r = {1};
    FILE *file = open_memstream(&out, &size);
    for (int i = 0; i < 200; i++) {
        uint16_t words[GRAMMAR_SENTENCE_MAX];
        size_t count = grammar_sample(g, GRAMMAR_ANYTHING, &r, words);
        assert_int_equal(ngram_add(n, words, count, 1), 0);
    }
    assert_int_equal(ngram_write(n, file, name_of, g, grammar_words(g)), 0);
    fclose(file);
    ngram_free(&n);
    grammar_free(&g);
    return out;
}

static void model_is_deterministic(void **state)
{
    (void)state;
    char *a = model(1), *b = model(1), *c = model(4);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_non_null(strstr(a, "\\3-grams:"));
    free(a);
    free(b);
    free(c);
}

static void bad_grammars_name_the_line(void **state)
{
    static const char *const bad[] = {"",
                                      "#JSGF V1.0;\n<a> = x;\n",            /* no public rule */
                                      "#JSGF V1.0;\npublic <a> = <b>;\n",   /* undefined */
                                      "#JSGF V1.0;\npublic <a> = x <a>;\n", /* recursion */
                                      "#JSGF V1.0;\npublic <a> = (x;\n",    /* brackets */
                                      "#JSGF V1.0;\npublic <a> = x);\n",
                                      "#JSGF V1.0;\npublic <a> = x\n", /* no end */
                                      "#JSGF V1.0;\npublic <a\n",
                                      "#JSGF V1.0;\npublic",
                                      "#JSGF V1.0;\npublic <a> = x* ;\n", /* repetition */
                                      "#JSGF V1.0;\npublic <a> = /-1/ x;\n",
                                      "#JSGF V1.0;\npublic <a> = x /2/ y;\n",
                                      "#JSGF V1.0;\npublic <a> = x; <a> = y;\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct grammar *g;
        char why[200] = "";
        assert_int_equal(grammar_parse(slice_str(bad[i]), "g", &g, why, sizeof(why)), -22);
        assert_null(g);
        assert_int_equal(strncmp(why, "g:", 2), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(contexts_stand_beside_the_grammar),
                                       cmocka_unit_test(contexts_are_counted),
                                       cmocka_unit_test(accepts_whole_sentences),
                                       cmocka_unit_test(knows_how_likely_a_sentence_ends),
                                       cmocka_unit_test(samples_are_sentences),
                                       cmocka_unit_test(model_is_deterministic),
                                       cmocka_unit_test(bad_grammars_name_the_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
