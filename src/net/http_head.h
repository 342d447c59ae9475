/* HTTP/1.1 message heads (RFC 9112) for the media port and for WebSocket clients: small, bounded
 * and strict, because a repaired request is one that a load balancer in front may have read
 * differently. Refuses what is ambiguous and never rewrites: the request target stays as it was
 * sent, which carrier signatures need. No I/O, no allocation; every slice lies in the caller's
 * buffer of received bytes and lives as long as that. Owned by the connection's actor, its shard.
 *
 *     bytes so far ──▶ http_request / http_response ──▶ HTTP_MORE | HTTP_OK | HTTP_BAD(status) */
#ifndef NET_HTTP_HEAD_H
#define NET_HTTP_HEAD_H

#include "base/bytes.h"
#include "base/limits.h"

enum http_method { HTTP_GET, HTTP_POST, HTTP_HEAD, HTTP_OTHER };

struct http_header {
    struct slice name;  /* as sent; compare without case */
    struct slice value; /* without surrounding blanks */
};

struct http_head {
    size_t scanned; /* bytes looked at by earlier calls; zero the struct for a new head */
    /* request */
    enum http_method method;
    struct slice method_name;
    struct slice target; /* raw, begins with '/' */
    struct slice path;   /* raw, up to '?' */
    struct slice query;  /* raw, behind '?', or empty */
    struct slice host;
    /* response */
    uint16_t status; /* 100..599 */
    /* both */
    uint8_t minor; /* HTTP/1.0 or HTTP/1.1 */
    bool has_length;
    bool has_coding;         /* response only: Transfer-Encoding is present */
    uint32_t content_length; /* at most HTTP_BODY_BYTES_MAX in a request */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

enum http_outcome {
    HTTP_MORE, /* call again with the same bytes and those that follow */
    HTTP_OK,
    HTTP_BAD, /* status: what to answer before closing; what: a literal for the log */
};

struct http_result {
    enum http_outcome outcome;
    uint16_t status;
    size_t used; /* HTTP_OK: length of the head; the body or the first frames follow */
    const char *what;
};

/* Parses the request head at the start of `in`, which must hold all bytes received so far and begin
 * with the same ones at each call; `h` is zeroed before the first. Work is linear in the bytes,
 * however they arrive. A head above HTTP_HEAD_BYTES_MAX or HTTP_HEADERS_MAX headers: 431;
 * Transfer-Encoding: 501; a body above HTTP_BODY_BYTES_MAX: 413; POST without Content-Length: 411;
 * another HTTP version: 505; anything malformed or ambiguous: 400. */
MUST_USE struct http_result http_request(struct http_head *h, struct slice in);
/* The same for a response to a request of ours; HTTP_BAD has no meaningful status then. */
MUST_USE struct http_result http_response(struct http_head *h, struct slice in);

/* The value of the only header of this name; an empty slice with at == NULL if there is none. With
 * several, *count (if not NULL) is their number and the first comes back. */
struct slice http_header_find(const struct http_head *h, const char *name, size_t *count);
/* Is `token` an element of the comma-separated list in all headers of this name? Without case. */
bool http_header_has(const struct http_head *h, const char *name, const char *token);

/* ---- upgrade to WebSocket (RFC 6455 section 4.2.1) ---- */
struct http_upgrade {
    struct slice key;      /* Sec-WebSocket-Key: 24 characters */
    struct slice protocol; /* the first Sec-WebSocket-Protocol header: a list, or empty */
    struct slice origin;   /* Origin, or empty: a browser always sends one */
};

/* Does the client ask for an upgrade at all? If not, it is an ordinary request. */
bool http_wants_upgrade(const struct http_head *h);
/* 0 and *up, or the status to answer with (400, 405, 426 for another version) and *what. */
MUST_USE uint16_t http_upgrade_check(const struct http_head *h, struct http_upgrade *up,
                                     const char **what);

/* ---- responses ---- */
const char *http_status_text(uint16_t status);
/* A whole response that ends the connection: status line, Content-Type (unless NULL),
 * Content-Length, Connection: close, the body. 426 names the WebSocket version, 405 the methods. */
void http_respond(struct builder *b, uint16_t status, const char *content_type, struct slice body);
/* The same with {"success":false,"error":what}; for HEAD the body is told of and not sent (RFC 9110
 * section 9.3.2). */
void http_respond_error(struct builder *b, const struct http_head *h, uint16_t status,
                        const char *what);

/* ---- query strings and form bodies (application/x-www-form-urlencoded) ---- */
/* The next raw name=value; false at the end. Empty pieces ("a=1&&b=2") are skipped. */
bool http_arg_next(struct slice *rest, struct slice *name, struct slice *value);
/* Percent-decoding (RFC 3986 section 2.1); `form`: '+' is a space. -EINVAL: a '%' without two hex
 * digits; -EMSGSIZE. Appends to `out`. */
MUST_USE int http_unescape(struct slice in, bool form, struct builder *out);
/* Is the decoded form of `raw` this name? */
bool http_arg_is(struct slice raw, const char *name);
/* The decoded value of the argument, with a final NUL. -ENOENT: none; -EEXIST: several;
 * -EINVAL: bad escape, or %00; -EMSGSIZE: longer than `out`; -E2BIG. *out is "" then. */
MUST_USE int http_arg(struct slice args, const char *name, char *out, size_t out_bytes);

#endif
