#include "tools/providers/request.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/limits.h"
#include "net/http_head.h"

#define CHUNK_LINE_MAX 128

static enum request_outcome bad(uint16_t *status, uint16_t what)
{
    *status = what;
    return REQUEST_BAD;
}

static struct slice next_line(struct slice *rest)
{
    struct slice line = slice_cut(*rest, '\n', rest);

    if (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool line_parse(struct request *r, struct slice line)
{
    struct slice rest, version, target;

    r->method = slice_cut(line, ' ', &rest);
    target = slice_cut(rest, ' ', &version);
    if (r->method.len == 0 || target.len == 0 || target.at[0] != '/')
        return false;
    r->minor0 = slice_equal(version, SLICE("HTTP/1.0"));
    r->path = slice_cut(target, '?', &r->query);
    return r->minor0 || slice_equal(version, SLICE("HTTP/1.1"));
}

static uint16_t headers_parse(struct request *r, struct slice rest)
{
    r->header_count = 0;
    for (struct slice line = next_line(&rest); line.len; line = next_line(&rest)) {
        struct slice value, name = slice_cut(line, ':', &value);
        if (name.len == 0 || name.len == line.len)
            return 400;
        if (r->header_count == REQUEST_HEADERS_MAX)
            return 431;
        r->headers[r->header_count++] = (struct request_header){name, slice_trim(value)};
    }
    return 0;
}

static uint16_t length_parse(struct request *r)
{
    struct slice coding = request_header(r, "transfer-encoding");
    struct slice length = request_header(r, "content-length");
    uint64_t n = 0;

    r->chunked = coding.len > 0;
    if (r->chunked && (length.len || !slice_equal_nocase(coding, SLICE("chunked"))))
        return 400;
    if (length.len && slice_u64(length, UINT32_MAX, &n) < 0)
        return 400;
    if (n > REQUEST_BODY_MAX)
        return 413;
    r->length = (size_t)n;
    return 0;
}

/* Slices are made anew from the head each time, since the buffer may have moved. */
static uint16_t head_parse(struct request *r, const uint8_t *bytes)
{
    struct slice rest = slice_of(bytes, r->head_bytes);

    if (!line_parse(r, next_line(&rest)))
        return 400;
    uint16_t status = headers_parse(r, rest);
    return status ? status : length_parse(r);
}

static bool head_find(struct request *r, const uint8_t *bytes, size_t len)
{
    size_t from = r->scanned > 3 ? r->scanned - 3 : 0;
    const uint8_t *end = len > from ? memmem(bytes + from, len - from, "\r\n\r\n", 4) : NULL;

    r->scanned = len;
    if (end)
        r->head_bytes = r->raw_at = (size_t)(end - bytes) + 4;
    return end;
}

/* A line "1a;extension" at raw_at. 0 when it is not whole yet, else its bytes; *size or bad. */
static size_t chunk_line(const struct request *r, const uint8_t *bytes, size_t len, size_t *size,
                         bool *wrong)
{
    size_t left = len - r->raw_at, n = 0, value = 0;
    const uint8_t *at = bytes + r->raw_at;
    const uint8_t *end = memchr(at, '\n', left < CHUNK_LINE_MAX ? left : CHUNK_LINE_MAX);

    *wrong = !end && left >= CHUNK_LINE_MAX;
    if (!end)
        return 0;
    for (; n < 8; n++) {
        const char *digits = "0123456789abcdef";
        const char *hit = at[n] ? strchr(digits, at[n] | 0x20) : NULL;
        if (!hit)
            break;
        value = value * 16 + (size_t)(hit - digits);
    }
    *wrong = n == 0 || (at[n] != '\r' && at[n] != ';' && at[n] != '\n');
    *size = value;
    return (size_t)(end - at) + 1;
}

static enum request_outcome chunks_take(struct request *r, uint8_t *bytes, size_t len,
                                        uint16_t *status)
{
    for (;;) {
        size_t size = 0;
        bool wrong;
        size_t line = chunk_line(r, bytes, len, &size, &wrong);
        if (wrong)
            return bad(status, 400);
        if (line == 0)
            return REQUEST_MORE;
        if (size > REQUEST_BODY_MAX || r->body_len + size > REQUEST_BODY_MAX)
            return bad(status, 413);
        if (len - r->raw_at < line + size + 2)
            return REQUEST_MORE;
        uint8_t *data = bytes + r->raw_at + line;
        if (memcmp(data + size, "\r\n", 2) != 0)
            return bad(status, 400); /* after the last chunk: trailers, which nobody sends */
        memmove(bytes + r->head_bytes + r->body_len, data, size);
        r->body_len += size;
        r->raw_at += line + size + 2;
        if (size == 0)
            return REQUEST_WHOLE;
    }
}

enum request_outcome request_read(struct request *r, uint8_t *bytes, size_t len, uint16_t *status)
{
    if (r->head_bytes == 0 && !head_find(r, bytes, len))
        return len > REQUEST_HEAD_MAX ? bad(status, 431) : REQUEST_MORE;
    if (r->head_bytes > REQUEST_HEAD_MAX)
        return bad(status, 431);
    uint16_t wrong = head_parse(r, bytes);
    if (wrong)
        return bad(status, wrong);
    if (r->chunked) {
        enum request_outcome outcome = chunks_take(r, bytes, len, status);
        if (outcome != REQUEST_WHOLE)
            return outcome;
        r->used = r->raw_at;
    } else {
        if (len - r->head_bytes < r->length)
            return REQUEST_MORE;
        r->body_len = r->length;
        r->used = r->head_bytes + r->length;
    }
    r->body = slice_of(bytes + r->head_bytes, r->body_len);
    return REQUEST_WHOLE;
}

struct slice request_header(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (slice_equal_nocase(r->headers[i].name, slice_str(name)))
            return r->headers[i].value;
    return SLICE_NONE;
}

bool request_arg(const struct request *r, const char *name, char *out, size_t out_bytes)
{
    struct slice rest = r->query, raw_name, raw;

    out[0] = '\0';
    while (http_arg_next(&rest, &raw_name, &raw)) {
        if (!http_arg_is(raw_name, name))
            continue;
        struct builder b = builder_of(out, out_bytes - 1);
        bool fits = http_unescape(raw, true, &b) == 0;
        out[fits ? b.len : 0] = '\0';
        return fits;
    }
    return false;
}

int request_number(const struct request *r, const char *name, int64_t least, int64_t most,
                   int64_t usual, int64_t *out)
{
    char text[32];
    uint64_t n;

    *out = usual;
    if (!request_arg(r, name, text, sizeof(text)))
        return 0;
    if (slice_u64(slice_str(text), (uint64_t)most, &n) < 0 || (int64_t)n < least)
        return -EINVAL;
    *out = (int64_t)n;
    return 0;
}

bool request_flag(const struct request *r, const char *name)
{
    char text[8];

    return request_arg(r, name, text, sizeof(text)) && strcasecmp(text, "true") == 0;
}

bool request_path_fits(struct slice path, const char *pattern, struct slice *part)
{
    struct slice want = slice_str(pattern);

    *part = SLICE_NONE;
    while (path.len && want.len) {
        struct slice a = slice_cut(path, '/', &path), b = slice_cut(want, '/', &want);
        if (slice_equal(b, SLICE("{}")) && a.len)
            *part = a;
        else if (!slice_equal(a, b))
            return false;
    }
    return path.len == want.len;
}

/* ---- multipart ---- */

static struct slice quoted_of(struct slice line, const char *key)
{
    struct slice want = slice_str(key), rest;
    const uint8_t *at = line.len ? memmem(line.at, line.len, want.at, want.len) : NULL;

    if (!at)
        return SLICE_NONE;
    at += want.len;
    return slice_cut(slice_of(at, line.len - (size_t)(at - line.at)), '"', &rest);
}

static struct slice boundary_of(const struct request *r)
{
    struct slice type = request_header(r, "content-type"), rest;
    const uint8_t *at = type.len ? memmem(type.at, type.len, "boundary=", 9) : NULL;

    if (!at)
        return SLICE_NONE;
    at += 9;
    struct slice value = slice_cut(slice_of(at, type.len - (size_t)(at - type.at)), ';', &rest);
    value = slice_trim(value);
    if (value.len > 1 && value.at[0] == '"')
        value = slice_of(value.at + 1, value.len - 2);
    return value.len && value.len <= 70 ? value : SLICE_NONE;
}

bool request_part(const struct request *r, struct slice *rest, struct slice *name,
                  struct slice *file, struct slice *data)
{
    char text[80];
    struct slice boundary = boundary_of(r), at = *rest;
    struct builder b = builder_of(text, sizeof(text));

    builder_str(&b, "\r\n--");
    builder_slice_add(&b, boundary);
    struct slice mark = builder_slice(&b);
    struct slice first = slice_of(mark.at + 2, mark.len - 2);
    if (boundary.len == 0 || !slice_starts(at, first))
        return false;
    at = slice_of(at.at + first.len, at.len - first.len);
    if (!slice_starts(at, SLICE("\r\n")))
        return false; /* "--": the end */
    at = slice_of(at.at + 2, at.len - 2);
    *name = *file = SLICE_NONE;
    for (struct slice line = next_line(&at); line.len; line = next_line(&at))
        if (slice_equal_nocase(slice_of(line.at, line.len < 20 ? line.len : 20),
                               SLICE("content-disposition:"))) {
            *name = quoted_of(line, " name=\"");
            *file = quoted_of(line, "filename=\"");
        }
    const uint8_t *end = at.len ? memmem(at.at, at.len, mark.at, mark.len) : NULL;
    if (!end)
        return false;
    *data = slice_of(at.at, (size_t)(end - at.at));
    *rest = slice_of(end + 2, at.len - (size_t)(end - at.at) - 2);
    return true;
}
