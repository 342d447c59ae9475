/* Pieces of requests, composed so that no setting can smuggle anything into them: query parameters,
 * header lines, multipart bodies (RFC 7578), and the check of a base URL. What does not belong
 * there sets the builder's `bad`. Pure; any thread. */
#ifndef PROVIDER_WEB_H
#define PROVIDER_WEB_H

#include "base/bytes.h"

#define WEB_URL_MAX 2048 /* of a base URL; beyond: refused */

/* Appends "?key=value" to a URL that has no query yet, else "&key=value"; the value is
 * percent-encoded (RFC 3986 section 2.3). */
void web_query(struct builder *url, const char *key, struct slice value);
void web_query_int(struct builder *url, const char *key, int64_t value);
/* Appends "Name: value" CR LF. The value is printable ASCII (RFC 9110 section 5.5). */
void web_header(struct builder *head, const char *name, struct slice value);
/* The same with a word and a blank before the value: "Authorization: Bearer KEY". */
void web_header_word(struct builder *head, const char *name, const char *word, struct slice value);
/* Only printable ASCII, spaces included. */
bool web_printable(struct slice text);

/* A base URL: one of the space-separated `schemes`, a host, perhaps port and path; no user, query,
 * fragment, blank or control character. 0, or -EINVAL and a clause in *what. */
MUST_USE int web_url_check(struct slice url, const char *schemes, const char **what);
/* Without the slashes at its end. */
struct slice web_url_base(struct slice url);

/* ---- multipart/form-data ---- */
#define WEB_BOUNDARY_CHARS 24

struct web_parts {
    struct builder *out;
    char boundary[WEB_BOUNDARY_CHARS + 1];
};

/* A boundary that does not occur in `content` (RFC 2046 section 5.1.1). */
void web_parts_begin(struct web_parts *p, struct builder *out, struct slice content);
void web_parts_field(struct web_parts *p, const char *name, struct slice value);
/* The head of a file's part: the caller appends its bytes. */
void web_parts_file(struct web_parts *p, const char *name, const char *file, const char *type);
/* What follows the last part. */
void web_parts_end(struct web_parts *p);

#endif
