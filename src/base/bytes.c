#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal(slice_of(s.at, prefix.len), prefix);
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len && blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len && blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

struct slice slice_cut(struct slice s, uint8_t sep, struct slice *rest)
{
    const uint8_t *hit = s.len ? memchr(s.at, sep, s.len) : NULL;

    if (!hit) {
        *rest = SLICE_NONE;
        return s;
    }
    size_t before = (size_t)(hit - s.at);
    *rest = slice_of(hit + 1, s.len - before - 1);
    return slice_of(s.at, before);
}

int slice_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)s.at[i] - '0';
        if (digit > 9)
            return -EINVAL;
        if (value > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        value = value * 10 + digit;
    }
    if (value > max)
        return -ERANGE;
    *out = value;
    return 0;
}

int slice_cstr(struct slice s, char *out, size_t out_bytes)
{
    if (s.len >= out_bytes) {
        if (out_bytes)
            out[0] = '\0';
        return -EMSGSIZE;
    }
    if (s.len)
        memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return 0;
}

/* The second byte's range is what excludes overlong forms, surrogates and what lies beyond the last
 * code point (RFC 3629 section 4). */
static bool utf8_second_ok(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;

    return second >= low && second <= high;
}

size_t slice_utf8_step(struct slice s)
{
    uint8_t lead = s.len ? s.at[0] : 0xFF;

    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    size_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (s.len < more + 1 || !utf8_second_ok(lead, s.at[1]))
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((s.at[i] & 0xC0) != 0x80)
            return 0;
    return more + 1;
}

bool slice_is_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        size_t step = slice_utf8_step(slice_of(s.at + i, s.len - i));
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

struct reader reader_of(struct slice s)
{
    return (struct reader){.at = s.at, .end = s.len ? s.at + s.len : s.at};
}

size_t reader_left(const struct reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->at);
}

struct slice reader_take(struct reader *r, size_t len)
{
    if (r->bad || len > (size_t)(r->end - r->at)) {
        r->bad = true;
        return SLICE_NONE;
    }
    struct slice s = slice_of(r->at, len);
    if (len) /* not even 0 may be added to the NULL of an empty slice */
        r->at += len;
    return s;
}

static uint64_t big_endian(struct reader *r, size_t len)
{
    struct slice s = reader_take(r, len);
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | s.at[i];
    return v;
}

uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)big_endian(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)big_endian(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)big_endian(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return big_endian(r, 8);
}

uint32_t reader_u32_le(struct reader *r)
{
    return __builtin_bswap32(reader_u32(r));
}

struct builder builder_of(void *at, size_t size)
{
    return (struct builder){.at = at, .size = size};
}

struct slice builder_slice(const struct builder *b)
{
    return slice_of(b->at, b->len);
}

uint8_t *builder_reserve(struct builder *b, size_t len)
{
    if (b->bad || len > b->size - b->len) {
        b->bad = true;
        return NULL;
    }
    uint8_t *at = b->len ? b->at + b->len : b->at;
    b->len += len;
    return at;
}

void builder_bytes(struct builder *b, const void *at, size_t len)
{
    uint8_t *to = builder_reserve(b, len);

    if (to && len)
        memcpy(to, at, len);
}

void builder_slice_add(struct builder *b, struct slice s)
{
    builder_bytes(b, s.at, s.len);
}

void builder_str(struct builder *b, const char *text)
{
    builder_bytes(b, text, strlen(text));
}

void builder_u8(struct builder *b, uint8_t v)
{
    builder_bytes(b, &v, 1);
}

void builder_u16(struct builder *b, uint16_t v)
{
    v = __builtin_bswap16(v);
    builder_bytes(b, &v, sizeof(v));
}

void builder_u32(struct builder *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    builder_bytes(b, &v, sizeof(v));
}

void builder_u64(struct builder *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    builder_bytes(b, &v, sizeof(v));
}

void builder_u32_le(struct builder *b, uint32_t v)
{
    builder_bytes(b, &v, sizeof(v));
}

void builder_u16_le(struct builder *b, uint16_t v)
{
    builder_bytes(b, &v, sizeof(v));
}

void builder_printf(struct builder *b, const char *format, ...)
{
    va_list args;

    if (b->bad || b->len == b->size) {
        b->bad = true;
        return;
    }
    va_start(args, format);
    int len = vsnprintf((char *)b->at + b->len, b->size - b->len, format, args);
    va_end(args);
    /* vsnprintf wants room for its NUL too: a text that fits without it is refused. */
    if (len < 0 || (size_t)len >= b->size - b->len)
        b->bad = true;
    else
        b->len += (size_t)len;
}
