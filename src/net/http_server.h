/* The HTTP/1.1 server of the control thread: a table of routes in, requests out, answers back
 * whenever they are ready. It runs on libwebsockets over the loop that it is given; nothing of that
 * library shows here. Each request gets an id; whoever answers names it, and an answer to a client
 * that has gone is dropped. Requests that match no route, are too long or too slow are answered (or
 * closed) here. One thread: the loop's. It knows no actor.
 *
 *     listen ─▶ connection: head ─▶ body ─▶ on_request(id) ┄ later ┄▶ http_server_reply(id) ─▶ head
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "base/address.h"
#include "base/bytes.h"
#include "base/limits.h"

#define HTTP_CONNECTIONS_MAX 256  /* at once; one more is accepted and closed at once */
#define HTTP_PATH_BYTES_MAX  512  /* decoded; beyond: 404 */
#define HTTP_QUERY_BYTES_MAX 1024 /* decoded; beyond: 400 */
#define HTTP_HOST_BYTES_MAX  300  /* Host, Origin; beyond: 400 */
#define HTTP_RANGE_BYTES_MAX 64   /* Range; beyond it is not taken notice of */

struct uv_loop_s;
struct http_server;

/* One route; the table is constant. A segment {} matches any one segment that is not empty. */
struct http_route {
    const char *method; /* "GET" also answers HEAD */
    const char *path;   /* "/calls/{}" */
    uint32_t tag;       /* the owner's own */
};

/* One request, whole. Borrowed: it lives until it is answered or the client has gone. */
struct http_ask {
    uint64_t id; /* never 0 */
    const struct http_route *route;
    struct slice path;
    struct slice param; /* what stood for {}, decoded; empty without one */
    struct slice query; /* decoded pieces "name=value", each with a final NUL */
    struct slice body;
    struct slice host;   /* Host, or empty */
    struct slice origin; /* Origin, or empty: browsers send it with what is not a plain GET */
    struct slice range;  /* Range, or empty: http_range() reads it */
};

/* A part of an open file, as a body. */
struct http_file {
    int fd; /* taken, and closed, whatever becomes of the answer */
    uint64_t from;
    uint64_t bytes;
};

struct http_answer {
    uint16_t status;
    const char *content_type;     /* NULL: no body */
    struct slice body;            /* copied */
    const struct http_file *file; /* instead of a body, read piece by piece as the client takes it;
                                     NULL: none */
    const char *headers;          /* further whole lines "name: value\r\n", or NULL */
};

struct http_server_setup {
    struct uv_loop_s *loop;
    struct address local; /* port 0: any */
    const struct http_route *routes;
    size_t route_count;
    void (*on_request)(void *context, const struct http_ask *ask);
    void *context;
    const char *certificate; /* PEM: speaks https alone; NULL: http */
    const char *key;
    unsigned header_s; /* a request has this long to arrive whole: 5 */
    unsigned idle_s;   /* between requests: 10 */
    unsigned answer_s; /* for whoever answers, and again for the client to read it: 30 */
};

/* Boot. 0, or -errno with one sentence that names the port. */
MUST_USE int http_server_new(const struct http_server_setup *setup, struct http_server **out,
                             char *why, size_t why_bytes);
/* Reads certificate and key again; bad files leave those before them in force, with a log line. */
void http_server_renew(struct http_server *server);
/* Takes no connection from now on; those that are there go on, each until its next answer. */
void http_server_quiet(struct http_server *server);
/* Closes everything, turning the loop until libwebsockets has let go of it. Not from a callback. */
void http_server_free(struct http_server **server);

/* Where it listens, with the real port. */
struct address http_server_local(const struct http_server *server);
uint32_t http_server_connections(const struct http_server *server);

/* NULL when the client has gone or has its answer. */
const struct http_ask *http_server_find(const struct http_server *server, uint64_t id);
/* False when the client has gone (or has its answer): nothing happens then. */
bool http_server_reply(struct http_server *server, uint64_t id, const struct http_answer *answer);
/* {"success":false,"error":{"code","message","field"?}}; `field` may be NULL. */
bool http_server_fail(struct http_server *server, uint64_t id, uint16_t status, const char *code,
                      const char *message, const char *field);

/* The value of a query argument; false when it is not there. */
bool http_ask_arg(const struct http_ask *ask, const char *name, struct slice *value);
/* Is the request of a page of our own, or of no page? Judged by Origin, which must be the host that
 * was asked; and the host must be a number, localhost or `known` ("" for none), since any name can
 * be made to lead here. Pure. */
bool http_ask_own(const struct http_ask *ask, struct slice known);
/* Was it asked for by a number, localhost, `known` ("" for none), or by no name at all? Any other
 * name may be a stranger's that is made to lead here, and a page of that name could read what is
 * answered. Pure. */
bool http_ask_by_own_name(const struct http_ask *ask, struct slice known);
/* A Host without its port; the brackets of a numeric address stay. */
struct slice http_host_name(struct slice host);
/* What a Range header (RFC 9110, 14.2) asks of `size` bytes. 0: *from and *bytes say it; -ENOENT:
 * all, since there is none or several or no sense in it; -ERANGE: nothing of what there is. Pure.
 */
MUST_USE int http_range(struct slice range, uint64_t size, uint64_t *from, uint64_t *bytes);
/* Does the path match the pattern? Then *param is the segment that stood for {}. Pure. */
bool http_path_match(const char *pattern, struct slice path, struct slice *param);

#endif
