/* The schema of a tool's arguments: what is refused when it is read, and what breaks which rule. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/json_schema.h"

static char why[JSON_SCHEMA_WHY_BYTES];

static struct json_doc doc_of(const char *text)
{
    struct json_doc doc;

    assert_int_equal(json_read(&doc, slice_str(text), strlen(text), NULL), 0);
    return doc;
}

/* "" if it is a schema. */
static const char *read_says(const char *schema)
{
    struct json_doc doc = doc_of(schema);
    int err = json_schema_read(&doc, why, sizeof(why));

    json_free(&doc);
    return err ? why : "";
}

/* "" if the arguments keep to it. */
static const char *check_says(const char *schema, const char *arguments)
{
    char call[2048];

    snprintf(call, sizeof(call), "{\"name\":\"t\"%s%s}", arguments ? ",\"arguments\":" : "",
             arguments ? arguments : "");
    assert_string_equal(read_says(schema), "");
    struct json_doc s = doc_of(schema), c = doc_of(call);
    int err = json_schema_check(&s, &c, "arguments", why, sizeof(why));

    json_free(&s);
    json_free(&c);
    assert_true(err == 0 || err == -EINVAL);
    return err ? why : "";
}

#define ONE(rule) "{\"type\":\"object\",\"properties\":{\"a\":{" rule "}}}"

static void a_schema_is_read(void **state)
{
    (void)state;
    assert_string_equal(read_says("{}"), "");
    assert_string_equal(read_says(ONE("\"type\":[\"string\",\"null\"],\"format\":\"date\"")), "");
    assert_string_equal(read_says(ONE("\"enum\":[1,\"b\",null],\"description\":\"x\"")), "");
    assert_string_equal(read_says(ONE("\"items\":{\"items\":{\"maxItems\":3}}")), "");
    assert_string_equal(read_says("{\"properties\":{\"type\":{\"type\":\"string\"}}}"), "");
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    assert_string_equal(read_says("{\"type\":\"string\"}"), "type: must be object");
    assert_string_equal(read_says("[]"), "type: must be object");
    assert_string_equal(
        read_says(ONE("\"pattern\":\"x\"")),
        "properties.a.pattern: is a keyword that is not checked here: leave it out");
    assert_string_equal(read_says("{\"anyOf\":[{}]}"),
                        "anyOf: is a keyword that is not checked here: leave it out");
    assert_string_equal(read_says(ONE("\"type\":\"text\"")),
                        "properties.a.type: must be null, boolean, integer, number, string, array "
                        "or object, or a list of these");
    assert_string_equal(read_says("{\"properties\":{\"a\":true}}"),
                        "properties.a: must be a schema");
    assert_string_equal(read_says("{\"required\":\"a\"}"), "required: must be a list of names");
    assert_string_equal(read_says(ONE("\"enum\":[]")),
                        "properties.a.enum: must be a list of at least one value");
    assert_string_equal(read_says(ONE("\"maxLength\":-1")),
                        "properties.a.maxLength: must be a whole number, not below 0");
    assert_string_equal(read_says(ONE("\"items\":{\"minimum\":\"1\"}")),
                        "properties.a.items.minimum: must be a number");
    assert_string_equal(read_says("{\"additionalProperties\":1}"),
                        "additionalProperties: must be true, false or a schema");
}

static void types_are_kept(void **state)
{
    (void)state;
    assert_string_equal(check_says(ONE("\"type\":\"string\""), "{\"a\":\"x\"}"), "");
    assert_string_equal(check_says(ONE("\"type\":\"string\""), "{\"a\":1}"),
                        "The field \"a\" must be of type string.");
    assert_string_equal(check_says(ONE("\"type\":\"integer\""), "{\"a\":3.0}"), "");
    assert_string_equal(check_says(ONE("\"type\":\"integer\""), "{\"a\":3.5}"),
                        "The field \"a\" must be of type integer.");
    assert_string_equal(check_says(ONE("\"type\":\"number\""), "{\"a\":3}"), "");
    assert_string_equal(check_says(ONE("\"type\":[\"string\",\"null\"]"), "{\"a\":null}"), "");
    assert_string_equal(check_says(ONE("\"type\":[\"string\",\"null\"]"), "{\"a\":[]}"),
                        "The field \"a\" must be of type string or null.");
    assert_string_equal(check_says("{\"type\":\"object\"}", "[]"),
                        "The arguments must be of type object.");
    assert_string_equal(check_says(ONE("\"type\":\"boolean\""), "{\"a\":\"true\"}"),
                        "The field \"a\" must be of type boolean.");
}

static void names_are_kept(void **state)
{
    static const char *const closed =
        "{\"properties\":{\"a\":{}},\"required\":[\"a\"],\"additionalProperties\":false}";

    (void)state;
    assert_string_equal(check_says(closed, "{\"a\":1}"), "");
    assert_string_equal(check_says(closed, "{}"), "The field \"a\" must be given.");
    assert_string_equal(check_says(closed, NULL), "The field \"a\" must be given.");
    assert_string_equal(check_says(closed, "{\"a\":1,\"b\":2}"),
                        "The field \"b\" is not known to this tool.");
    assert_string_equal(
        check_says("{\"additionalProperties\":{\"type\":\"number\"}}", "{\"x\":\"y\"}"),
        "The field \"x\" must be of type number.");
    assert_string_equal(check_says(ONE(""), "{\"other\":1}"), "");
}

static void values_are_kept(void **state)
{
    (void)state;
    assert_string_equal(check_says(ONE("\"enum\":[\"mon\",\"tue\",3]"), "{\"a\":3.0}"), "");
    assert_string_equal(check_says(ONE("\"enum\":[\"mon\",\"tue\",3]"), "{\"a\":\"wed\"}"),
                        "The field \"a\" must be one of \"mon\", \"tue\", 3.");
    assert_string_equal(check_says(ONE("\"const\":{\"x\":[1]}"), "{\"a\":{\"x\":[1]}}"), "");
    assert_string_equal(check_says(ONE("\"const\":7"), "{\"a\":8}"), "The field \"a\" must be 7.");
    assert_string_equal(check_says(ONE("\"minimum\":1,\"maximum\":12"), "{\"a\":12}"), "");
    assert_string_equal(check_says(ONE("\"minimum\":1,\"maximum\":12"), "{\"a\":13}"),
                        "The field \"a\" must be at most 12.");
    assert_string_equal(check_says(ONE("\"minimum\":1.5"), "{\"a\":1}"),
                        "The field \"a\" must be at least 1.5.");
    assert_string_equal(check_says(ONE("\"exclusiveMinimum\":0"), "{\"a\":0}"),
                        "The field \"a\" must be more than 0.");
    assert_string_equal(check_says(ONE("\"exclusiveMaximum\":1"), "{\"a\":1}"),
                        "The field \"a\" must be less than 1.");
    assert_string_equal(check_says(ONE("\"minLength\":2"), "{\"a\":\"\xc3\xa4\"}"),
                        "The field \"a\" must be at least 2 characters long.");
    assert_string_equal(check_says(ONE("\"maxLength\":1"), "{\"a\":\"\xc3\xa4\"}"), "");
    assert_string_equal(check_says(ONE("\"maxItems\":1"), "{\"a\":[1,2]}"),
                        "The field \"a\" must be at most 1 elements long.");
}

static void fields_are_named_by_their_path(void **state)
{
    static const char *const deep =
        ONE("\"items\":{\"properties\":{\"b\":{\"type\":\"string\"}},\"required\":[\"c\"]}");

    (void)state;
    assert_string_equal(check_says(deep, "{\"a\":[{\"c\":1},{\"c\":1,\"b\":2}]}"),
                        "The field \"a[1].b\" must be of type string.");
    assert_string_equal(check_says(deep, "{\"a\":[{}]}"), "The field \"a[0].c\" must be given.");
    assert_string_equal(check_says(deep, "{\"a\":[[{\"c\":2}]]}"), "");
}

/* As deep as documents may be, on both sides. */
static void the_deepest_is_checked(void **state)
{
    char schema[1024], value[256];
    struct builder s = builder_of(schema, sizeof(schema)), v = builder_of(value, sizeof(value));

    (void)state;
    builder_str(&s, "{\"properties\":{\"a\":");
    builder_str(&v, "{\"a\":");
    for (int i = 0; i < JSON_DEPTH_MAX - 4; i++) {
        builder_str(&s, "{\"items\":");
        builder_str(&v, "[");
    }
    builder_str(&s, "{\"type\":\"string\"}");
    builder_str(&v, "1");
    for (int i = 0; i < JSON_DEPTH_MAX - 4; i++) {
        builder_str(&s, "}");
        builder_str(&v, "]");
    }
    builder_str(&s, "}}");
    builder_str(&v, "}");
    builder_u8(&s, 0);
    builder_u8(&v, 0);
    assert_string_equal(
        check_says(schema, value),
        "The field \"a[0][0][0][0][0][0][0][0][0][0][0][0]\" must be of type string.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_is_read),       cmocka_unit_test(what_cannot_be_kept_is_refused),
        cmocka_unit_test(types_are_kept),         cmocka_unit_test(names_are_kept),
        cmocka_unit_test(values_are_kept),        cmocka_unit_test(fields_are_named_by_their_path),
        cmocka_unit_test(the_deepest_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
