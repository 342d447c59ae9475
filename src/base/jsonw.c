/* The writing half of json.h. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/utf8.h"

void jsonw_init(struct jsonw *w, struct builder *out)
{
    *w = (struct jsonw){.out = out};
}

static uint32_t bit(const struct jsonw *w)
{
    return UINT32_C(1) << w->depth;
}

/* What goes before a value: a comma, or nothing behind a key. */
static void before_value(struct jsonw *w)
{
    bool in_object = w->depth && !(w->lists & bit(w));

    if (in_object != w->keyed || (w->depth == 0 && (w->begun & 1)))
        w->bad = true; /* a value without key, a key without object, or a second value */
    if (!w->keyed && (w->begun & bit(w)))
        builder_u8(w->out, ',');
    w->begun |= bit(w);
    w->keyed = false;
}

static void open_container(struct jsonw *w, bool list)
{
    before_value(w);
    if (w->depth == JSON_DEPTH_MAX) {
        w->bad = true;
        return;
    }
    w->depth++;
    w->begun &= ~bit(w);
    w->lists = list ? w->lists | bit(w) : w->lists & ~bit(w);
    builder_u8(w->out, list ? '[' : '{');
}

void jsonw_begin(struct jsonw *w)
{
    open_container(w, false);
}

void jsonw_begin_list(struct jsonw *w)
{
    open_container(w, true);
}

void jsonw_end(struct jsonw *w)
{
    if (w->depth == 0 || w->keyed) {
        w->bad = true;
        return;
    }
    builder_u8(w->out, w->lists & bit(w) ? ']' : '}');
    w->depth--;
}

/* Length of the character at s, or 0: its first byte belongs to none. */
static size_t character_at(struct slice s)
{
    for (size_t len = 1; len <= 4 && len <= s.len; len++) {
        struct utf8 u = {0};
        if (!utf8_feed(&u, slice_of(s.at, len)))
            return 0;
        if (utf8_whole(&u))
            return len;
    }
    return 0;
}

static void escape(struct builder *b, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *hit = c ? strchr(named, c) : NULL;

    if (hit) {
        builder_u8(b, '\\');
        builder_u8(b, (uint8_t)letter[hit - named]);
        return;
    }
    builder_str(b, "\\u00");
    builder_u8(b, (uint8_t)hex[c >> 4]);
    builder_u8(b, (uint8_t)hex[c & 15]);
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void quoted(struct builder *b, struct slice s)
{
    builder_u8(b, '"');
    for (size_t i = 0; i < s.len && !b->bad;) {
        size_t run = i;
        while (run < s.len && is_plain(s.at[run]))
            run++;
        if (run > i) {
            builder_bytes(b, s.at + i, run - i);
            i = run;
            continue;
        }
        size_t len = s.at[i] < 0x80 ? 1 : character_at(slice_of(s.at + i, s.len - i));
        if (len == 1)
            escape(b, s.at[i]);
        else if (len)
            builder_bytes(b, s.at + i, len);
        else
            builder_str(b, "\xEF\xBF\xBD");
        i += len ? len : 1;
    }
    builder_u8(b, '"');
}

void jsonw_key(struct jsonw *w, const char *key)
{
    if (w->depth == 0 || (w->lists & bit(w)) || w->keyed)
        w->bad = true;
    if (w->begun & bit(w))
        builder_u8(w->out, ',');
    w->begun |= bit(w);
    quoted(w->out, slice_str(key));
    builder_u8(w->out, ':');
    w->keyed = true;
}

void jsonw_str(struct jsonw *w, struct slice text)
{
    before_value(w);
    quoted(w->out, text);
}

void jsonw_cstr(struct jsonw *w, const char *text)
{
    if (text)
        jsonw_str(w, slice_str(text));
    else
        jsonw_null(w);
}

static void literal(struct jsonw *w, const char *text)
{
    before_value(w);
    builder_str(w->out, text);
}

void jsonw_int(struct jsonw *w, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, value);
    literal(w, text);
}

void jsonw_uint(struct jsonw *w, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    literal(w, text);
}

void jsonw_double(struct jsonw *w, double value, int decimals)
{
    char text[352]; /* the largest double has 309 digits before the point */

    if (!isfinite(value)) {
        literal(w, "null");
        return;
    }
    decimals = decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
    snprintf(text, sizeof(text), "%.*f", decimals, value);
    literal(w, text);
}

void jsonw_bool(struct jsonw *w, bool value)
{
    literal(w, value ? "true" : "false");
}

void jsonw_null(struct jsonw *w)
{
    literal(w, "null");
}

void jsonw_raw(struct jsonw *w, struct slice json)
{
    before_value(w);
    builder_slice_add(w->out, json);
}

int jsonw_finish(const struct jsonw *w)
{
    return w->bad || w->out->bad || w->depth || !(w->begun & 1) ? -EMSGSIZE : 0;
}

void jsonw_put_str(struct jsonw *w, const char *key, struct slice text)
{
    jsonw_key(w, key);
    jsonw_str(w, text);
}

void jsonw_put_cstr(struct jsonw *w, const char *key, const char *text)
{
    jsonw_key(w, key);
    jsonw_cstr(w, text);
}

void jsonw_put_int(struct jsonw *w, const char *key, int64_t value)
{
    jsonw_key(w, key);
    jsonw_int(w, value);
}

void jsonw_put_bool(struct jsonw *w, const char *key, bool value)
{
    jsonw_key(w, key);
    jsonw_bool(w, value);
}
