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
};

struct http_answer {
    uint16_t status;
    const char *content_type; /* NULL: no body */
    struct slice body;        /* copied */
    const char *headers;      /* further whole lines "name: value\r\n", or NULL */
};

struct http_server_setup {
    struct uv_loop_s *loop;
    struct address local; /* port 0: any */
    const struct http_route *routes;
    size_t route_count;
    void (*on_request)(void *context, const struct http_ask *ask);
    void *context;
    const char *certificate; /* PEM: speaks https alone; NULL or "": http */
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
/* Does the path match the pattern? Then *param is the segment that stood for {}. Pure. */
bool http_path_match(const char *pattern, struct slice path, struct slice *param);

#endif
