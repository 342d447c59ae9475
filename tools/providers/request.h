/* HTTP/1.1 requests as the clients of AI providers send them: large JSON, uploads as
 * multipart/form-data, bodies by Content-Length or chunked. More lenient than the product's own
 * parser (net/http_head.h), which serves carriers and knows neither long bodies nor chunks. Pure
 * but for unchunking the body in place in the owner's buffer; every slice lies in that buffer.
 * Owned by one connection. */
#ifndef PROVIDERS_REQUEST_H
#define PROVIDERS_REQUEST_H

#include "base/bytes.h"

#define REQUEST_HEAD_MAX    32768
#define REQUEST_HEADERS_MAX 96
#define REQUEST_BODY_MAX    (26 * 1024 * 1024) /* an upload of 25 MB; beyond: 413 */

struct request_header {
    struct slice name, value;
};

struct request {
    struct slice method;
    struct slice path;  /* raw, without the query */
    struct slice query; /* raw */
    struct slice body;
    struct request_header headers[REQUEST_HEADERS_MAX];
    size_t header_count;
    size_t head_bytes; /* 0: the head is not whole yet */
    size_t used;       /* of the buffer, once whole */
    size_t scanned;
    bool minor0; /* HTTP/1.0 */
    bool chunked;
    size_t length;
    /* unchunking: where the next raw byte is, and how much of the body is put together */
    size_t raw_at, body_len;
};

enum request_outcome { REQUEST_MORE, REQUEST_WHOLE, REQUEST_BAD };

/* Looks at all bytes of the request that have come so far; `r` is zeroed before the first time and
 * the bytes may move between two calls. REQUEST_BAD: *status is what to answer. After
 * REQUEST_WHOLE what follows the request is at bytes[r->used]. */
enum request_outcome request_read(struct request *r, uint8_t *bytes, size_t len, uint16_t *status);

/* The first header of that name, or an empty slice; without case. */
struct slice request_header(const struct request *r, const char *name);
/* The decoded value of a query argument with a final NUL; false when there is none (out is ""). */
bool request_arg(const struct request *r, const char *name, char *out, size_t out_bytes);
/* As a number within least..most; `usual` when it is missing. -EINVAL. */
MUST_USE int request_number(const struct request *r, const char *name, int64_t least, int64_t most,
                            int64_t usual, int64_t *out);
/* Is it true, in whatever case? */
bool request_flag(const struct request *r, const char *name);
/* Does the path fit "/v1/voices/{}/stream"? *part is what stood for the last {}. */
bool request_path_fits(struct slice path, const char *pattern, struct slice *part);

/* One part of a multipart/form-data body (RFC 7578); false at the end or where it is malformed.
 * *rest begins as the body. */
bool request_part(const struct request *r, struct slice *rest, struct slice *name,
                  struct slice *file, struct slice *data);

#endif
