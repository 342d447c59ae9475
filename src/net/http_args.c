/* Query strings and form bodies: the second half of http_head.h. */
#include <errno.h>

#include "net/http_head.h"

bool http_arg_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->len) {
        struct slice piece = slice_cut(*rest, '&', rest);
        if (piece.len == 0)
            continue;
        *name = slice_cut(piece, '=', value);
        return true;
    }
    return false;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next decoded byte at *i, or -1 for a bad escape. */
static int unescape_one(struct slice in, bool form, size_t *i)
{
    uint8_t c = in.at[(*i)++];

    if (form && c == '+')
        return ' ';
    if (c != '%')
        return c;
    if (in.len - *i < 2)
        return -1;
    int high = hex_value(in.at[*i]), low = hex_value(in.at[*i + 1]);
    *i += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int http_unescape(struct slice in, bool form, struct builder *out)
{
    for (size_t i = 0; i < in.len;) {
        int c = unescape_one(in, form, &i);
        if (c < 0)
            return -EINVAL;
        builder_u8(out, (uint8_t)c);
        if (out->bad)
            return -EMSGSIZE;
    }
    return 0;
}

bool http_arg_is(struct slice raw, const char *name)
{
    size_t len = strlen(name), made = 0;

    for (size_t i = 0; i < raw.len; made++) {
        int c = unescape_one(raw, true, &i);
        if (c < 0 || made == len || (uint8_t)name[made] != c)
            return false;
    }
    return made == len;
}

static int arg_find(struct slice args, const char *name, struct slice *found)
{
    struct slice key, value;
    size_t seen = 0;
    int err = -ENOENT;

    while (http_arg_next(&args, &key, &value)) {
        if (seen++ == HTTP_ARGS_MAX)
            return -E2BIG;
        if (!http_arg_is(key, name))
            continue;
        if (err == 0)
            return -EEXIST;
        *found = value;
        err = 0;
    }
    return err;
}

int http_arg(struct slice args, const char *name, char *out, size_t out_bytes)
{
    struct slice raw = SLICE_NONE;
    int err = out_bytes ? arg_find(args, name, &raw) : -EMSGSIZE;

    if (out_bytes == 0)
        return err;
    struct builder b = builder_of(out, out_bytes - 1);
    if (err == 0)
        err = http_unescape(raw, true, &b);
    if (err == 0 && memchr(out, '\0', b.len))
        err = -EINVAL;
    out[err ? 0 : b.len] = '\0';
    return err;
}
