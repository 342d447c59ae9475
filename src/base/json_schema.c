#include "base/json_schema.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX JSON_DEPTH_MAX /* of both documents: json_read() */

static const char *const type_names[] = {"null",   "boolean", "integer", "number",
                                         "string", "array",   "object"};

static bool is_type_name(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
        if (strcmp(type_names[i], text) == 0)
            return true;
    return false;
}

/* ---- reading a schema ---- */

enum keyword_kind {
    IS_NOTE,   /* restricts nothing */
    IS_TYPE,   /* the name of a type, or a list of such */
    IS_LIST,   /* anything, at least one */
    IS_ANY,    /* any value */
    IS_NAMES,  /* a list of texts */
    IS_NUMBER, /* */
    IS_COUNT,  /* a whole number, not below 0 */
    IS_BLOCK,  /* names with a schema each */
    IS_SCHEMA, /* one schema */
    IS_CLOSED, /* true, false or a schema */
};

static const struct keyword {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"type", IS_TYPE},
    {"enum", IS_LIST},
    {"const", IS_ANY},
    {"properties", IS_BLOCK},
    {"required", IS_NAMES},
    {"additionalProperties", IS_CLOSED},
    {"items", IS_SCHEMA},
    {"minimum", IS_NUMBER},
    {"maximum", IS_NUMBER},
    {"exclusiveMinimum", IS_NUMBER},
    {"exclusiveMaximum", IS_NUMBER},
    {"minLength", IS_COUNT},
    {"maxLength", IS_COUNT},
    {"minItems", IS_COUNT},
    {"maxItems", IS_COUNT},
    {"title", IS_NOTE},
    {"description", IS_NOTE},
    {"default", IS_NOTE},
    {"examples", IS_NOTE},
    {"format", IS_NOTE},
    {"$schema", IS_NOTE},
    {"$comment", IS_NOTE},
    {"deprecated", IS_NOTE},
    {"readOnly", IS_NOTE},
    {"writeOnly", IS_NOTE},
};

static const struct keyword *keyword_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

static bool all_texts(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return false;
    return json_is_array(list);
}

static bool all_types(const json_t *type)
{
    if (json_is_string(type))
        return is_type_name(json_string_value(type));
    if (!all_texts(type) || json_array_size(type) == 0)
        return false;
    for (size_t i = 0; i < json_array_size(type); i++)
        if (!is_type_name(json_string_value(json_array_get(type, i))))
            return false;
    return true;
}

/* NULL, or what is wrong with the value of a keyword. */
static const char *value_fault(enum keyword_kind kind, const json_t *value)
{
    switch (kind) {
    case IS_NOTE:
    case IS_ANY:
        return NULL;
    case IS_TYPE:
        return all_types(value) ? NULL
                                : "must be null, boolean, integer, number, string, array or "
                                  "object, or a list of these";
    case IS_LIST:
        return json_array_size(value) ? NULL : "must be a list of at least one value";
    case IS_NAMES:
        return all_texts(value) ? NULL : "must be a list of names";
    case IS_NUMBER:
        return json_is_number(value) ? NULL : "must be a number";
    case IS_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0
                   ? NULL
                   : "must be a whole number, not below 0";
    case IS_BLOCK:
        return json_is_object(value) ? NULL : "must be a block of names, each with a schema";
    case IS_SCHEMA:
        return json_is_object(value) ? NULL : "must be a schema";
    case IS_CLOSED:
        return json_is_object(value) || json_is_boolean(value) ? NULL
                                                               : "must be true, false or a schema";
    }
    return NULL;
}

/* Where the walk stands: a schema, or (names) a block of schemas; `next` is the member to come. */
struct place {
    json_t *at;
    bool names;
    void *next;
    const char *key; /* by which it was reached */
};

struct walk {
    struct place up[DEPTH_MAX + 1];
    size_t depth;
    char *why;
    size_t why_bytes;
};

static int schema_bad(const struct walk *w, const char *key, const char *what)
{
    char path[160];
    struct builder b = builder_of(path, sizeof(path) - 1);

    for (size_t i = 1; i < w->depth; i++)
        builder_printf(&b, "%s.", w->up[i].key);
    builder_str(&b, key);
    path[b.len] = '\0';
    snprintf(w->why, w->why_bytes, "%s: %s", path, what);
    return -EINVAL;
}

static void enter(struct walk *w, json_t *at, bool names, const char *key)
{
    if (w->depth < ARRAY_LEN(w->up)) /* json_read() let it be no deeper */
        w->up[w->depth++] =
            (struct place){.at = at, .names = names, .next = json_object_iter(at), .key = key};
}

static int member_read(struct walk *w, const char *key, json_t *value, bool names)
{
    const struct keyword *k = names ? NULL : keyword_find(key);

    if (names) {
        if (!json_is_object(value))
            return schema_bad(w, key, "must be a schema");
        enter(w, value, false, key);
        return 0;
    }
    if (!k)
        return schema_bad(w, key, "is a keyword that is not checked here: leave it out");
    const char *fault = value_fault(k->kind, value);

    if (fault)
        return schema_bad(w, key, fault);
    if (json_is_object(value) &&
        (k->kind == IS_BLOCK || k->kind == IS_SCHEMA || k->kind == IS_CLOSED))
        enter(w, value, k->kind == IS_BLOCK, key);
    return 0;
}

int json_schema_read(const struct json_doc *schema, char *why, size_t why_bytes)
{
    struct walk w = {.why = why, .why_bytes = why_bytes};
    json_t *root = schema->root, *type = json_object_get(root, "type");
    int rc = 0;

    if (!json_is_object(root) ||
        (type && (!json_is_string(type) || strcmp(json_string_value(type), "object") != 0))) {
        snprintf(why, why_bytes, "type: must be object");
        return -EINVAL;
    }
    enter(&w, root, false, "");
    while (w.depth && !rc) {
        struct place *p = &w.up[w.depth - 1];
        void *member = p->next;

        if (!member) {
            w.depth--;
            continue;
        }
        p->next = json_object_iter_next(p->at, member);
        rc =
            member_read(&w, json_object_iter_key(member), json_object_iter_value(member), p->names);
    }
    return rc;
}

/* ---- holding a value against it ---- */

/* A value and its schema; the members or elements from `next` on are to come. */
struct held {
    const json_t *schema;
    json_t *value;
    const char *key; /* of an object, or NULL: element `index` of a list */
    size_t index;
    void *next_member;
    size_t next_element;
};

struct check {
    struct held up[DEPTH_MAX + 1];
    size_t depth;
    char *why;
    size_t why_bytes;
};

/* "The field \"party.size\"", with one more name behind it if there is one. */
static void field_put(const struct check *c, const char *more, struct builder *b)
{
    if (c->depth == 1 && !more) {
        builder_str(b, "The arguments");
        return;
    }
    builder_str(b, "The field \"");
    for (size_t i = 1; i < c->depth; i++) {
        if (c->up[i].key)
            builder_printf(b, "%s%.60s", i > 1 ? "." : "", c->up[i].key);
        else
            builder_printf(b, "[%zu]", c->up[i].index);
    }
    if (more)
        builder_printf(b, "%s%.60s", c->depth > 1 ? "." : "", more);
    builder_str(b, "\"");
}

static int broken(const struct check *c, const char *more, const char *format, ...)
    PRINTF_LIKE(3, 4);

static int broken(const struct check *c, const char *more, const char *format, ...)
{
    char rule[JSON_SCHEMA_WHY_BYTES], field[JSON_SCHEMA_WHY_BYTES];
    struct builder b = builder_of(field, sizeof(field) - 1);
    va_list args;

    va_start(args, format);
    vsnprintf(rule, sizeof(rule), format, args);
    va_end(args);
    field_put(c, more, &b);
    field[b.len] = '\0';
    snprintf(c->why, c->why_bytes, "%s %s.", b.bad ? "A field" : field, rule);
    return -EINVAL;
}

/* 3.0 is a whole number; from 2^53 on all are. */
static bool is_whole(const json_t *value)
{
    double real = json_real_value(value);

    if (!json_is_real(value))
        return json_is_integer(value);
    return real >= 0x1p53 || real <= -0x1p53 || (double)(int64_t)real == real;
}

static bool is_of_type(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return strcmp(type, "null") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_INTEGER:
    case JSON_REAL:
        return strcmp(type, "number") == 0 || (is_whole(value) && strcmp(type, "integer") == 0);
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    }
    return false;
}

static int check_type(const struct check *c, const struct held *h)
{
    const json_t *type = json_object_get(h->schema, "type");
    char names[80];
    struct builder b = builder_of(names, sizeof(names) - 1);

    if (json_is_string(type)) {
        if (is_of_type(h->value, json_string_value(type)))
            return 0;
        return broken(c, NULL, "must be of type %s", json_string_value(type));
    }
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));

        if (name && is_of_type(h->value, name))
            return 0;
        builder_printf(&b, "%s%s", i ? " or " : "", name ? name : "");
    }
    names[b.len] = '\0';
    return type ? broken(c, NULL, "must be of type %s", names) : 0;
}

static bool is_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b) && json_typeof(a) != json_typeof(b))
        return json_number_value(a) == json_number_value(b); /* 1 and 1.0 */
    return json_equal(a, b) == 1;
}

/* As compact JSON, cut. */
static void value_put(struct builder *b, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    builder_printf(b, "%.40s", text ? text : "?");
    free(text);
}

static int check_choice(const struct check *c, const struct held *h)
{
    const json_t *choice = json_object_get(h->schema, "enum");
    const json_t *only = json_object_get(h->schema, "const");
    char text[180];
    struct builder b = builder_of(text, sizeof(text) - 1);
    bool found = !choice;

    for (size_t i = 0; i < json_array_size(choice) && !found; i++) {
        found = is_equal(json_array_get(choice, i), h->value);
        builder_str(&b, i ? ", " : "");
        value_put(&b, json_array_get(choice, i));
    }
    if (!found) {
        text[b.len] = '\0'; /* as many of them as fit */
        return broken(c, NULL, "must be one of %s", text);
    }
    if (!only || is_equal(only, h->value))
        return 0;
    value_put(&b, only);
    text[b.len] = '\0';
    return broken(c, NULL, "must be %s", text);
}

static int check_number(const struct check *c, const struct held *h)
{
    double value = json_number_value(h->value), bound;
    const json_t *rule;

    if (!json_is_number(h->value))
        return 0;
    rule = json_object_get(h->schema, "minimum");
    if (rule && value < (bound = json_number_value(rule)))
        return broken(c, NULL, "must be at least %.15g", bound);
    rule = json_object_get(h->schema, "maximum");
    if (rule && value > (bound = json_number_value(rule)))
        return broken(c, NULL, "must be at most %.15g", bound);
    rule = json_object_get(h->schema, "exclusiveMinimum");
    if (rule && value <= (bound = json_number_value(rule)))
        return broken(c, NULL, "must be more than %.15g", bound);
    rule = json_object_get(h->schema, "exclusiveMaximum");
    if (rule && value >= (bound = json_number_value(rule)))
        return broken(c, NULL, "must be less than %.15g", bound);
    return 0;
}

static json_int_t characters(const json_t *text)
{
    const char *at = json_string_value(text);
    json_int_t n = 0;

    for (; *at; at++)
        n += ((unsigned char)*at & 0xC0) != 0x80;
    return n;
}

static int check_size(const struct check *c, const struct held *h)
{
    bool text = json_is_string(h->value);
    const json_t *least = json_object_get(h->schema, text ? "minLength" : "minItems");
    const json_t *most = json_object_get(h->schema, text ? "maxLength" : "maxItems");
    const char *unit = text ? "characters long" : "elements long";

    if (!text && !json_is_array(h->value))
        return 0;
    json_int_t n = text ? characters(h->value) : (json_int_t)json_array_size(h->value);

    if (least && n < json_integer_value(least))
        return broken(c, NULL, "must be at least %lld %s", (long long)json_integer_value(least),
                      unit);
    if (most && n > json_integer_value(most))
        return broken(c, NULL, "must be at most %lld %s", (long long)json_integer_value(most),
                      unit);
    return 0;
}

static int check_required(const struct check *c, const struct held *h)
{
    const json_t *names = json_object_get(h->schema, "required");

    if (!json_is_object(h->value))
        return 0;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (name && !json_object_get(h->value, name))
            return broken(c, name, "must be given");
    }
    return 0;
}

static int check_value(const struct check *c, const struct held *h)
{
    int rc = check_type(c, h);

    if (!rc)
        rc = check_choice(c, h);
    if (!rc)
        rc = check_number(c, h);
    if (!rc)
        rc = check_size(c, h);
    if (!rc)
        rc = check_required(c, h);
    return rc;
}

static int hold(struct check *c, struct held held)
{
    if (c->depth == ARRAY_LEN(c->up)) /* json_read() let it be no deeper */
        return broken(c, NULL, "is nested too deep");
    held.next_member = json_object_iter(held.value);
    c->up[c->depth++] = held;
    return check_value(c, &c->up[c->depth - 1]);
}

static int next_member(struct check *c, struct held *h)
{
    const char *key = json_object_iter_key(h->next_member);
    json_t *value = json_object_iter_value(h->next_member);
    const json_t *schema = json_object_get(json_object_get(h->schema, "properties"), key);
    const json_t *rest = json_object_get(h->schema, "additionalProperties");

    h->next_member = json_object_iter_next(h->value, h->next_member);
    if (!schema && json_is_false(rest))
        return broken(c, key, "is not known to this tool");
    if (!schema && json_is_object(rest))
        schema = rest;
    return schema ? hold(c, (struct held){.schema = schema, .value = value, .key = key}) : 0;
}

static int next_element(struct check *c, struct held *h)
{
    const json_t *schema = json_object_get(h->schema, "items");
    size_t i = h->next_element++;

    if (!schema)
        return 0;
    return hold(c,
                (struct held){.schema = schema, .value = json_array_get(h->value, i), .index = i});
}

static int check_all(struct check *c, const json_t *schema, json_t *value)
{
    int rc = hold(c, (struct held){.schema = schema, .value = value});

    while (c->depth && !rc) {
        struct held *h = &c->up[c->depth - 1];

        if (h->next_member)
            rc = next_member(c, h);
        else if (h->next_element < json_array_size(h->value))
            rc = next_element(c, h);
        else
            c->depth--;
    }
    return rc;
}

int json_schema_check(const struct json_doc *schema, const struct json_doc *object, const char *key,
                      char *why, size_t why_bytes)
{
    struct check c = {.why = why, .why_bytes = why_bytes};
    json_t *value = json_object_get(object->root, key);
    json_t *none = value ? NULL : json_object();
    int rc = check_all(&c, schema->root, value ? value : none);

    json_decref(none);
    return rc;
}
