#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static int refuse(char *why, int err, const char *text)
{
    if (why)
        snprintf(why, JSON_WHY_BYTES, "%s", text);
    return err;
}

/* jansson descends as deep as 2048 levels on the stack, so depth is looked at before it does. The
 * text need not be valid here: brackets in strings are skipped, and for anything malformed the
 * parser has the last word. */
static bool too_deep(struct slice s)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.at[i];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted)
            i++;
        else if (quoted)
            continue;
        else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
            return true;
        else if ((c == '}' || c == ']') && depth)
            depth--;
    }
    return false;
}

int json_read(struct json_doc *doc, struct slice text, size_t bytes_max, char *why)
{
    json_error_t error;

    doc->root = NULL;
    if (why)
        why[0] = '\0';
    if (text.len > bytes_max)
        return refuse(why, -EMSGSIZE, "text too long");
    if (text.len == 0)
        return refuse(why, -EINVAL, "empty text");
    if (too_deep(text))
        return refuse(why, -EINVAL, "nested too deep");
    doc->root = json_loadb((const char *)text.at, text.len,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (doc->root)
        return 0;
    if (json_error_code(&error) == json_error_out_of_memory)
        return refuse(why, -ENOMEM, "out of memory");
    if (why)
        snprintf(why, JSON_WHY_BYTES, "line %d column %d: %.100s", error.line, error.column,
                 error.text);
    return -EINVAL;
}

void json_free(struct json_doc *doc)
{
    json_decref(doc->root);
    doc->root = NULL;
}

/* One step of a path: the member or element named by `step`. */
static const json_t *step_into(const json_t *at, struct slice step)
{
    uint64_t index;

    if (json_is_object(at))
        return json_object_getn(at, (const char *)step.at, step.len);
    if (json_is_array(at) && slice_u64(step, UINT32_MAX, &index) == 0)
        return json_array_get(at, index);
    return NULL;
}

static const json_t *find(const struct json_doc *doc, const char *path)
{
    struct slice rest = slice_str(path);
    const json_t *at = doc->root;

    while (at && rest.len)
        at = step_into(at, slice_cut(rest, '.', &rest));
    return at;
}

enum json_kind json_kind_of(const struct json_doc *doc, const char *path)
{
    const json_t *at = find(doc, path);

    if (!at)
        return JSON_KIND_NONE;
    switch (json_typeof(at)) {
    case JSON_OBJECT:
        return JSON_KIND_OBJECT;
    case JSON_ARRAY:
        return JSON_KIND_LIST;
    case JSON_STRING:
        return JSON_KIND_TEXT;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_KIND_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_KIND_BOOL;
    case JSON_NULL:
        return JSON_KIND_NULL;
    }
    return JSON_KIND_NONE;
}

size_t json_count_of(const struct json_doc *doc, const char *path)
{
    const json_t *at = find(doc, path);

    return json_is_array(at) ? json_array_size(at) : json_object_size(at);
}

/* A decimal number as RFC 8259 writes whole ones. */
static int int_of_text(struct slice s, int64_t *out)
{
    bool minus = s.len && s.at[0] == '-';
    uint64_t value;

    if (minus)
        s = slice_of(s.at + 1, s.len - 1);
    int err = slice_u64(s, INT64_MAX, &value);
    if (err == 0)
        *out = minus ? -(int64_t)value : (int64_t)value;
    return err;
}

static struct slice string_of(const json_t *at)
{
    return slice_of(json_string_value(at), json_string_length(at));
}

static int whole_of(const json_t *at, int64_t *out)
{
    if (!at || json_is_null(at))
        return -ENOENT;
    if (json_is_integer(at)) {
        *out = json_integer_value(at);
        return 0;
    }
    if (json_is_string(at))
        return int_of_text(string_of(at), out);
    if (!json_is_real(at))
        return -EINVAL;
    double value = json_real_value(at);
    if (value < -9e15 || value > 9e15)
        return -ERANGE;
    if (value != (double)(int64_t)value)
        return -EINVAL;
    *out = (int64_t)value;
    return 0;
}

int json_int_of(const struct json_doc *doc, const char *path, int64_t least, int64_t most,
                int64_t *out)
{
    int64_t value = 0;
    int err = whole_of(find(doc, path), &value);

    if (err)
        return err;
    if (value < least || value > most)
        return -ERANGE;
    *out = value;
    return 0;
}

int json_bool_of(const struct json_doc *doc, const char *path, bool *out)
{
    const json_t *at = find(doc, path);

    if (!at || json_is_null(at))
        return -ENOENT;
    bool yes = json_is_true(at) || slice_equal(string_of(at), SLICE("true"));
    bool no = json_is_false(at) || slice_equal(string_of(at), SLICE("false"));
    if (!yes && !no)
        return -EINVAL;
    *out = yes;
    return 0;
}

int json_double_of(const struct json_doc *doc, const char *path, double *out)
{
    const json_t *at = find(doc, path);
    char text[64], *end;

    if (!at || json_is_null(at))
        return -ENOENT;
    if (json_is_number(at)) {
        *out = json_number_value(at);
        return 0;
    }
    /* strtod takes more than JSON does ("inf", "0x1", blanks): only digits may begin. */
    if (!json_is_string(at) || slice_cstr(string_of(at), text, sizeof(text)) ||
        strspn(text, "0123456789+-.eE") != strlen(text) || !text[0])
        return -EINVAL;
    double value = strtod(text, &end);
    if (*end || value - value != 0)
        return -EINVAL;
    *out = value;
    return 0;
}

int json_text_of(const struct json_doc *doc, const char *path, char *out, size_t out_bytes)
{
    const json_t *at = find(doc, path);
    int len;

    if (out_bytes)
        out[0] = '\0';
    if (!at || json_is_null(at))
        return -ENOENT;
    if (json_is_string(at))
        return slice_cstr(string_of(at), out, out_bytes);
    if (json_is_integer(at))
        len = snprintf(out, out_bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(at));
    else if (json_is_real(at))
        len = snprintf(out, out_bytes, "%.15g", json_real_value(at));
    else
        return -EINVAL;
    if ((size_t)len < out_bytes)
        return 0;
    if (out_bytes)
        out[0] = '\0';
    return -EMSGSIZE;
}

struct slice json_slice_of(const struct json_doc *doc, const char *path)
{
    const json_t *at = find(doc, path);

    return json_is_string(at) ? string_of(at) : SLICE_NONE;
}

bool json_is(const struct json_doc *doc, const char *path, const char *text)
{
    struct slice s = json_slice_of(doc, path);

    return s.at && slice_equal(s, slice_str(text));
}

int json_build(const struct json_doc *doc, const char *path, struct builder *out)
{
    const json_t *at = find(doc, path);

    if (!at)
        return -ENOENT;
    size_t len = json_dumpb(at, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    uint8_t *room = builder_reserve(out, len);

    if (room && json_dumpb(at, (char *)room, len, JSON_COMPACT | JSON_ENCODE_ANY) != len)
        out->bad = true;
    return 0;
}

struct slice json_key_of(const struct json_doc *doc, const char *path, size_t i)
{
    json_t *at = (json_t *)(uintptr_t)find(doc, path); /* its iterators want it writable */
    void *member = json_object_iter(at);

    while (member && i--)
        member = json_object_iter_next(at, member);
    return member ? slice_str(json_object_iter_key(member)) : SLICE_NONE;
}
