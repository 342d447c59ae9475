/* What the HTTP server reads out of a request that libwebsockets has parsed. Control thread; nobody
 * but http_server.c includes it. */
#ifndef NET_HTTP_REQUEST_H
#define NET_HTTP_REQUEST_H

#include <libwebsockets.h>

#include "base/bytes.h"

/* "GET" also for HEAD; "" for a method that nothing here knows. */
const char *http_method_name(int method);
/* Content-Length; false when it is no number. Without one *length is 0. */
bool http_read_length(struct lws *wsi, bool *given, uint64_t *length);
/* A header as text, with a final NUL in `out`; *value is empty without one. False when it does not
 * fit. */
bool http_read_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t out_bytes,
                      struct slice *value);

#endif
