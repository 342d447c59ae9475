#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/rand.h"

static int reads(const char *text)
{
    struct json_doc doc;
    char why[JSON_WHY_BYTES];
    int err = json_read(&doc, slice_str(text), 1000, why);

    assert_int_equal(err != 0, why[0] != '\0');
    json_free(&doc);
    return err;
}

static void bounds(void **state)
{
    char text[1100];
    struct json_doc doc;

    (void)state;
    for (int extra = -1; extra <= 1; extra++) { /* length */
        size_t len = (size_t)(1000 + extra);
        memset(text, ' ', sizeof(text));
        text[0] = '1';
        assert_int_equal(json_read(&doc, slice_of(text, len), 1000, NULL),
                         extra > 0 ? -EMSGSIZE : 0);
        json_free(&doc);
    }
    for (int extra = -1; extra <= 1; extra++) { /* depth */
        size_t depth = (size_t)(JSON_DEPTH_MAX + extra);
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(reads(text), extra > 0 ? -EINVAL : 0);
    }
    assert_int_equal(reads("\"[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\""), 0);
}

static void refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "{}x",
        "{\"a\":1,\"a\":2}",
        "{a:1}",
        "[1,]",
        "\"\\u0000\"",
        "\"\xC0\x80\"",
        "\"\xFF\"",
        "'a'",
        "01",
        "+1",
        "nul",
        "\"a",
        "\"\n\"",
        "{\"a\" 1}",
        "1 2",
        "1e999",
        "[1",
        "\"\\x\"",
        "\"\\ud800\"",
        "99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(reads(wrong[i]), -EINVAL);
}

#define DOC                                                                                        \
    "{\"i\":8000,\"s\":\"8000\",\"m\":\"-3\",\"r\":8000.0,\"f\":1.5,\"n\":null,\"b\":true,"        \
    "\"t\":\"false\",\"e\":\"\",\"o\":{\"k\":[{\"x\":\"deep\"},7]},\"long\":\"12345678\"}"

static struct json_doc doc_of(const char *text)
{
    struct json_doc doc;

    assert_int_equal(json_read(&doc, slice_str(text), 4096, NULL), 0);
    return doc;
}

static void whole_numbers(void **state)
{
    static const struct {
        const char *path;
        int err;
        int64_t value;
    } cases[] = {{"i", 0, 8000},    {"s", 0, 8000},    {"m", 0, -3},         {"r", 0, 8000},
                 {"f", -EINVAL, 1}, {"n", -ENOENT, 1}, {"b", -EINVAL, 1},    {"e", -EINVAL, 1},
                 {"o", -EINVAL, 1}, {"x", -ENOENT, 1}, {"long", -ERANGE, 1}, {"o.k.1", 0, 7}};
    struct json_doc doc = doc_of(DOC);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t value = 1;
        assert_int_equal(json_int_of(&doc, cases[i].path, -3, 8000, &value), cases[i].err);
        assert_int_equal(value, cases[i].value);
    }
    json_free(&doc);
}

static void other_getters(void **state)
{
    struct json_doc doc = doc_of(DOC);
    char text[9];
    double value = 0;
    bool yes = false;

    (void)state;
    assert_int_equal(json_text_of(&doc, "i", text, sizeof(text)), 0);
    assert_string_equal(text, "8000");
    assert_int_equal(json_text_of(&doc, "long", text, sizeof(text)), 0);
    assert_string_equal(text, "12345678");
    assert_int_equal(json_text_of(&doc, "long", text, 8), -EMSGSIZE);
    assert_string_equal(text, "");
    assert_int_equal(json_text_of(&doc, "n", text, sizeof(text)), -ENOENT);
    assert_int_equal(json_text_of(&doc, "o", text, sizeof(text)), -EINVAL);
    assert_int_equal(json_text_of(&doc, "o.k.0.x", text, sizeof(text)), 0);
    assert_string_equal(text, "deep");
    assert_int_equal(json_bool_of(&doc, "b", &yes), 0);
    assert_true(yes);
    assert_int_equal(json_bool_of(&doc, "t", &yes), 0);
    assert_false(yes);
    assert_int_equal(json_bool_of(&doc, "i", &yes), -EINVAL);
    assert_int_equal(json_double_of(&doc, "f", &value), 0);
    assert_true(value == 1.5);
    assert_int_equal(json_double_of(&doc, "m", &value), 0);
    assert_true(value == -3);
    assert_int_equal(json_double_of(&doc, "t", &value), -EINVAL);
    assert_int_equal(json_kind_of(&doc, ""), JSON_KIND_OBJECT);
    assert_int_equal(json_kind_of(&doc, "o.k"), JSON_KIND_LIST);
    assert_int_equal(json_kind_of(&doc, "o.k.2"), JSON_KIND_NONE);
    assert_int_equal(json_kind_of(&doc, "i.x"), JSON_KIND_NONE);
    assert_int_equal(json_kind_of(&doc, "n"), JSON_KIND_NULL);
    assert_int_equal(json_count_of(&doc, "o.k"), 2);
    assert_int_equal(json_count_of(&doc, ""), 11);
    assert_int_equal(json_count_of(&doc, "i"), 0);
    assert_true(slice_equal(json_key_of(&doc, "", 1), SLICE("s")));
    assert_true(slice_equal(json_key_of(&doc, "o", 0), SLICE("k")));
    assert_null(json_key_of(&doc, "o", 1).at);
    assert_null(json_key_of(&doc, "i", 0).at);
    assert_true(json_is(&doc, "s", "8000"));
    assert_false(json_is(&doc, "i", "8000"));
    json_free(&doc);
}

/* ---- writer ---- */

static void writes(void **state)
{
    char text[512];
    struct builder b = builder_of(text, sizeof(text));
    struct jsonw w;

    (void)state;
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "a", "x");
    jsonw_put_int(&w, "b", INT64_MIN);
    jsonw_key(&w, "c");
    jsonw_begin_list(&w);
    jsonw_begin(&w);
    jsonw_end(&w);
    jsonw_bool(&w, false);
    jsonw_null(&w);
    jsonw_uint(&w, UINT64_MAX);
    jsonw_double(&w, 1.25, 2);
    jsonw_double(&w, INFINITY, 2);
    jsonw_begin_list(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_put_cstr(&w, "d", NULL);
    jsonw_key(&w, "e");
    jsonw_raw(&w, SLICE("[1]"));
    jsonw_end(&w);
    assert_int_equal(jsonw_finish(&w), 0);
    builder_u8(&b, 0);
    assert_string_equal(text, "{\"a\":\"x\",\"b\":-9223372036854775808,\"c\":[{},false,null,"
                              "18446744073709551615,1.25,null,[]],\"d\":null,\"e\":[1]}");
}

static void escapes(const char *raw, const char *want)
{
    char text[128];
    struct builder b = builder_of(text, sizeof(text));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_cstr(&w, raw);
    assert_int_equal(jsonw_finish(&w), 0);
    builder_u8(&b, 0);
    assert_string_equal(text, want);
}

static void strings(void **state)
{
    (void)state;
    escapes("", "\"\"");
    escapes("a\"b\\c/\b\f\n\r\t", "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\"");
    escapes("\x01\x1F\x7F", "\"\\u0001\\u001f\\u007f\"");
    escapes("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    escapes("\xFFx\xE2\x82", "\"\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD\"");
    escapes("\xC0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

/* Whatever bytes go in, the other half of this module reads them as JSON. */
static void what_is_written_is_read(void **state)
{
    struct rand r = {5};
    uint8_t raw[64];
    char text[1024];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct builder b = builder_of(text, sizeof(text));
        struct json_doc doc;
        struct jsonw w;
        size_t len = rand_below(&r, sizeof(raw));
        for (size_t i = 0; i < len; i++)
            raw[i] = (uint8_t)(rand_chance(&r, 300) ? 0x80 + rand_below(&r, 128) : rand_u64(&r));
        raw[0] = raw[0] ? raw[0] : 1;
        for (size_t i = 0; i < len; i++)
            raw[i] = raw[i] ? raw[i] : 1; /* NUL has its own test */
        jsonw_init(&w, &b);
        jsonw_begin(&w);
        jsonw_put_str(&w, "k", slice_of(raw, len));
        jsonw_end(&w);
        assert_int_equal(jsonw_finish(&w), 0);
        assert_int_equal(json_read(&doc, builder_slice(&b), sizeof(text), NULL), 0);
        if (slice_is_utf8(slice_of(raw, len)))
            assert_true(slice_equal(json_slice_of(&doc, "k"), slice_of(raw, len)));
        json_free(&doc);
    }
}

static void full_or_misused(void **state)
{
    char text[64];
    struct jsonw w;

    (void)state;
    for (size_t size = 0; size <= 9; size++) { /* {"a":"x"} is 9 */
        struct builder b = builder_of(text, size);
        jsonw_init(&w, &b);
        jsonw_begin(&w);
        jsonw_put_cstr(&w, "a", "x");
        jsonw_end(&w);
        assert_int_equal(jsonw_finish(&w), size < 9 ? -EMSGSIZE : 0);
    }
    for (int misuse = 0; misuse < 6; misuse++) {
        struct builder b = builder_of(text, sizeof(text));
        jsonw_init(&w, &b);
        if (misuse != 5)
            jsonw_begin(&w);
        if (misuse == 0)
            jsonw_int(&w, 1); /* no key */
        if (misuse == 1 || misuse == 2)
            jsonw_key(&w, "a"); /* no value, or two keys */
        if (misuse == 2)
            jsonw_key(&w, "b");
        if (misuse != 3 && misuse != 5)
            jsonw_end(&w); /* 3: left open */
        if (misuse == 4)
            jsonw_end(&w); /* closed twice; 5: nothing written at all */
        assert_int_equal(jsonw_finish(&w), -EMSGSIZE);
    }
    for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        struct builder b = builder_of(text, sizeof(text));
        jsonw_init(&w, &b);
        for (int i = 0; i < depth; i++)
            jsonw_begin_list(&w);
        for (int i = 0; i < depth; i++)
            jsonw_end(&w);
        assert_int_equal(jsonw_finish(&w), depth > JSON_DEPTH_MAX ? -EMSGSIZE : 0);
    }
    struct builder b = builder_of(text, sizeof(text));
    jsonw_init(&w, &b);
    jsonw_str(&w, slice_of("a\0b", 3));
    assert_true(slice_equal(builder_slice(&b), SLICE("\"a\\u0000b\"")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(other_getters),
        cmocka_unit_test(writes),
        cmocka_unit_test(strings),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(full_or_misused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
