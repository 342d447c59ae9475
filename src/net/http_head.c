#include "net/http_head.h"

#include <errno.h>

#include "base/base64.h"
#include "base/json.h"

static struct http_result refuse(uint16_t status, const char *what)
{
    return (struct http_result){.outcome = HTTP_BAD, .status = status, .what = what};
}

static struct http_result fine(void)
{
    return (struct http_result){.outcome = HTTP_OK};
}

/* ---- character classes ---- */

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* RFC 9110 section 5.6.2 */
static bool is_token_char(uint8_t c)
{
    return is_letter(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* What RFC 3986 allows in a path and query: pchar, "/" and "?". */
static bool is_target_char(uint8_t c)
{
    return is_letter(c) || is_digit(c) || (c && strchr("-._~!$&'()*+,;=:@%/?", c));
}

static bool is_host_char(uint8_t c)
{
    return is_letter(c) || is_digit(c) || (c && strchr("-._~:[]%", c));
}

static bool all_of(struct slice s, bool (*is)(uint8_t))
{
    for (size_t i = 0; i < s.len; i++)
        if (!is(s.at[i]))
            return false;
    return s.len > 0;
}

/* ---- the end of the head ---- */

static bool is_text(uint8_t c)
{
    return (c >= 0x20 && c != 0x7F) || c == '\t';
}

/* Looks at the bytes that came since the last call: finds the empty line, refuses control
 * characters and bare CR or LF at once. Each byte is judged by itself and the one before, so the
 * answer does not depend on how the bytes arrived. */
static struct http_result scan(struct http_head *h, struct slice in)
{
    size_t i = h->scanned;

    for (; i < in.len && i < HTTP_HEAD_BYTES_MAX; i++) {
        uint8_t c = in.at[i], before = i ? in.at[i - 1] : 0;
        if ((c == '\n') != (before == '\r'))
            return refuse(400, "line not ended by CR LF");
        if (c != '\n' && c != '\r' && !is_text(c))
            return refuse(400, "control character in the head");
        if (c == '\n' && i >= 3 && in.at[i - 2] == '\n') {
            h->scanned = i;
            struct http_result r = fine();
            r.used = i + 1;
            return r;
        }
    }
    h->scanned = i;
    if (i == HTTP_HEAD_BYTES_MAX)
        return refuse(431, "head too long");
    return (struct http_result){.outcome = HTTP_MORE};
}

/* The next line without its CR LF; the scan has made sure that there is one. */
static struct slice next_line(struct slice *rest)
{
    struct slice line = slice_cut(*rest, '\n', rest);

    if (line.len)
        line.len--;
    return line;
}

/* ---- headers ---- */

static struct slice trim_blanks(struct slice s)
{
    while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = slice_of(s.at + 1, s.len - 1);
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static struct http_result take_headers(struct http_head *h, struct slice rest)
{
    for (;;) {
        struct slice line = next_line(&rest);
        if (line.len == 0)
            return fine();
        if (line.at[0] == ' ' || line.at[0] == '\t')
            return refuse(400, "folded header");
        if (h->header_count == HTTP_HEADERS_MAX)
            return refuse(431, "too many headers");
        const uint8_t *colon = memchr(line.at, ':', line.len);
        if (!colon)
            return refuse(400, "header without a colon");
        size_t name_len = (size_t)(colon - line.at);
        struct http_header *header = &h->headers[h->header_count++];
        header->name = slice_of(line.at, name_len);
        header->value = trim_blanks(slice_of(colon + 1, line.len - name_len - 1));
        if (!all_of(header->name, is_token_char))
            return refuse(400, "bad header name"); /* a space before the colon too */
    }
}

struct slice http_header_find(const struct http_head *h, const char *name, size_t *count)
{
    struct slice want = slice_str(name), found = SLICE_NONE;
    size_t n = 0;

    for (size_t i = 0; i < h->header_count; i++)
        if (slice_equal_nocase(h->headers[i].name, want) && n++ == 0)
            found = h->headers[i].value;
    if (count)
        *count = n;
    return found;
}

bool http_header_has(const struct http_head *h, const char *name, const char *token)
{
    struct slice header = slice_str(name), want = slice_str(token);

    for (size_t i = 0; i < h->header_count; i++) {
        struct slice rest = h->headers[i].value;
        if (!slice_equal_nocase(h->headers[i].name, header))
            continue;
        while (rest.len)
            if (slice_equal_nocase(trim_blanks(slice_cut(rest, ',', &rest)), want))
                return true;
    }
    return false;
}

static struct http_result take_length(struct http_head *h, uint64_t max)
{
    size_t count;
    uint64_t length = 0;
    struct slice text = http_header_find(h, "Content-Length", &count);

    if (count == 0)
        return fine();
    if (count > 1)
        return refuse(400, "Content-Length given twice");
    if (text.len > 19) /* more digits than any length has */
        return refuse(400, "Content-Length is not a number");
    int err = slice_u64(text, max, &length);
    if (err == -ERANGE)
        return refuse(413, "body too long");
    if (err)
        return refuse(400, "Content-Length is not a number");
    h->has_length = true;
    h->content_length = (uint32_t)length;
    return fine();
}

/* ---- request ---- */

static enum http_method method_of(struct slice name)
{
    if (slice_equal(name, SLICE("GET")))
        return HTTP_GET;
    if (slice_equal(name, SLICE("POST")))
        return HTTP_POST;
    if (slice_equal(name, SLICE("HEAD")))
        return HTTP_HEAD;
    return HTTP_OTHER;
}

static bool is_version(struct slice s)
{
    return s.len == 8 && slice_starts(s, SLICE("HTTP/")) && is_digit(s.at[5]) && s.at[6] == '.' &&
           is_digit(s.at[7]);
}

static bool version_known(struct slice s)
{
    return s.at[5] == '1' && s.at[7] <= '1';
}

static bool escapes_whole(struct slice s)
{
    static const char hex[] = "0123456789abcdefABCDEF";

    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == '%' && (s.len - i < 3 || !strchr(hex, s.at[i + 1]) || !s.at[i + 1] ||
                               !strchr(hex, s.at[i + 2]) || !s.at[i + 2]))
            return false;
    return true;
}

static struct http_result take_request_line(struct http_head *h, struct slice line)
{
    struct slice rest;

    h->method_name = slice_cut(line, ' ', &rest);
    h->target = slice_cut(rest, ' ', &rest);
    if (!all_of(h->method_name, is_token_char) || !is_version(rest))
        return refuse(400, "malformed request line");
    if (!version_known(rest))
        return refuse(505, "HTTP version not supported");
    h->minor = (uint8_t)(rest.at[7] - '0');
    h->method = method_of(h->method_name);
    if (!all_of(h->target, is_target_char) || h->target.at[0] != '/' || !escapes_whole(h->target))
        return refuse(400, "malformed request target");
    h->path = slice_cut(h->target, '?', &h->query);
    return fine();
}

static struct http_result take_host(struct http_head *h)
{
    size_t count;

    h->host = http_header_find(h, "Host", &count);
    if (count > 1)
        return refuse(400, "Host given twice");
    if (count == 0 && h->minor == 1)
        return refuse(400, "Host is missing");
    if (count && !all_of(h->host, is_host_char))
        return refuse(400, "malformed Host");
    return fine();
}

static struct http_result take_framing(struct http_head *h)
{
    size_t codings;

    http_header_find(h, "Transfer-Encoding", &codings);
    struct http_result r = take_length(h, HTTP_BODY_BYTES_MAX);
    if (codings && http_header_find(h, "Content-Length", NULL).at)
        return refuse(400, "Transfer-Encoding and Content-Length");
    if (r.outcome == HTTP_BAD)
        return r;
    if (codings)
        return refuse(501, "Transfer-Encoding in a request");
    if (h->method == HTTP_POST && !h->has_length)
        return refuse(411, "POST without Content-Length");
    return fine();
}

struct http_result http_request(struct http_head *h, struct slice in)
{
    struct http_result end = scan(h, in), r;
    struct slice rest = slice_of(in.at, end.used);

    if (end.outcome != HTTP_OK)
        return end;
    h->header_count = 0;
    r = take_request_line(h, next_line(&rest));
    if (r.outcome == HTTP_OK)
        r = take_headers(h, rest);
    if (r.outcome == HTTP_OK)
        r = take_host(h);
    if (r.outcome == HTTP_OK)
        r = take_framing(h);
    return r.outcome == HTTP_OK ? end : r;
}

/* ---- response ---- */

static struct http_result take_status_line(struct http_head *h, struct slice line)
{
    struct slice rest, version = slice_cut(line, ' ', &rest);
    struct slice status = slice_cut(rest, ' ', &rest);
    uint64_t code = 0;

    if (!is_version(version) || !version_known(version))
        return refuse(502, "not an HTTP/1.1 response");
    if (status.len != 3 || slice_u64(status, 599, &code) || code < 100)
        return refuse(502, "malformed status line");
    h->minor = (uint8_t)(version.at[7] - '0');
    h->status = (uint16_t)code;
    return fine();
}

struct http_result http_response(struct http_head *h, struct slice in)
{
    struct http_result end = scan(h, in), r;
    struct slice rest = slice_of(in.at, end.used);

    if (end.outcome != HTTP_OK)
        return end;
    h->header_count = 0;
    r = take_status_line(h, next_line(&rest));
    if (r.outcome == HTTP_OK)
        r = take_headers(h, rest);
    if (r.outcome == HTTP_OK)
        r = take_length(h, UINT32_MAX);
    if (r.outcome != HTTP_OK)
        return r;
    h->has_coding = http_header_find(h, "Transfer-Encoding", NULL).at != NULL;
    return end;
}

/* ---- upgrade ---- */

bool http_wants_upgrade(const struct http_head *h)
{
    size_t count;

    http_header_find(h, "Upgrade", &count);
    return count || http_header_has(h, "Connection", "upgrade");
}

static uint16_t upgrade_refuse(uint16_t status, const char **what, const char *why)
{
    *what = why;
    return status;
}

static bool key_valid(struct slice key)
{
    uint8_t bytes[BASE64_BYTES(24)];
    size_t len;

    return key.len == 24 && base64_decode(key, bytes, sizeof(bytes), &len) == 0 && len == 16;
}

uint16_t http_upgrade_check(const struct http_head *h, struct http_upgrade *up, const char **what)
{
    size_t keys, versions, origins;
    struct slice version = http_header_find(h, "Sec-WebSocket-Version", &versions);

    *what = "";
    up->key = http_header_find(h, "Sec-WebSocket-Key", &keys);
    up->protocol = http_header_find(h, "Sec-WebSocket-Protocol", NULL);
    up->origin = http_header_find(h, "Origin", &origins);
    if (h->method != HTTP_GET)
        return upgrade_refuse(405, what, "upgrade by another method than GET");
    if (h->minor != 1)
        return upgrade_refuse(400, what, "upgrade of HTTP/1.0");
    if (h->content_length)
        return upgrade_refuse(400, what, "upgrade with a body");
    if (!http_header_has(h, "Upgrade", "websocket"))
        return upgrade_refuse(400, what, "upgrade to something else than websocket");
    if (!http_header_has(h, "Connection", "upgrade"))
        return upgrade_refuse(400, what, "Connection does not name upgrade");
    if (versions == 0 || versions > 1)
        return upgrade_refuse(400, what, "Sec-WebSocket-Version missing or repeated");
    if (!slice_equal(version, SLICE("13")))
        return upgrade_refuse(426, what, "WebSocket version is not 13");
    if (keys != 1 || !key_valid(up->key))
        return upgrade_refuse(400, what, "Sec-WebSocket-Key is not 16 bytes of base64");
    if (origins > 1)
        return upgrade_refuse(400, what, "Origin given twice");
    return 0;
}

/* ---- responses ---- */

const char *http_status_text(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {206, "Partial Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

void http_respond(struct builder *b, uint16_t status, const char *content_type, struct slice body)
{
    builder_printf(b, "HTTP/1.1 %u %s\r\n", (unsigned)status, http_status_text(status));
    if (content_type)
        builder_printf(b, "Content-Type: %s\r\n", content_type);
    if (status == 426)
        builder_str(b, "Sec-WebSocket-Version: 13\r\n");
    if (status == 405)
        builder_str(b, "Allow: GET, POST\r\n");
    builder_printf(b, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body.len);
    builder_slice_add(b, body);
}

void http_respond_error(struct builder *b, const struct http_head *h, uint16_t status,
                        const char *what)
{
    uint8_t body[256];
    struct builder json = builder_of(body, sizeof(body));
    struct jsonw w;

    jsonw_init(&w, &json);
    jsonw_begin(&w);
    jsonw_put_bool(&w, "success", false);
    jsonw_put_cstr(&w, "error", what);
    jsonw_end(&w);
    http_respond(b, status, "application/json", builder_slice(&json));
    if (h->method == HTTP_HEAD)
        b->len -= json.len;
}
