/* The seam to HTTP servers: a request out, a streamed response back. One `struct http` per shard,
 * on its thread; behind it stands libcurl (http_curl.c) or what a test or the simulator puts there.
 * It resolves no name: it is told the address. It reads no clock, never blocks, and tells what
 * happens by one function, called inside go(), pause() and work() alone.
 *
 *     make ──▶ go ──▶ STATUS ──▶ CHUNK ... ──▶ END        or at any point FAILED instead
 *
 * Its owner watches fd() and calls work() when it can be read and when deadline() has come. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "base/address.h"
#include "base/bytes.h"
#include "base/clock.h"

#define HTTP_ASKS_MAX          1024     /* requests of one shard at a time; beyond: -EMFILE */
#define HTTP_LINES_MAX         32       /* header lines of a request; beyond: -E2BIG */
#define HTTP_ANSWER_HEAD_BYTES 65536    /* of a response's header; beyond: it fails */
#define HTTP_ANSWER_BYTES_MAX  16777216 /* of a response's body; beyond: it fails */
#define HTTP_CONNECT_NS        SECONDS(5)
#define HTTP_CONNECTIONS_MAX   256 /* kept open; the one unused for longest is closed */

struct http_query {
    struct slice url;    /* http or https */
    struct slice method; /* empty: POST with a body, GET without */
    struct slice head;   /* header lines, each ended by CR LF; no Host, no lengths */
    struct slice body;
    bool guarded; /* only to addresses of the public internet, on a connection of its own */
    int64_t first_byte_ns; /* until the status; 0: as long as it takes */
    int64_t stall_ns;      /* between two pieces of the body */
    int64_t total_ns;
};

enum http_event_kind { HTTP_EVENT_STATUS, HTTP_EVENT_CHUNK, HTTP_EVENT_END, HTTP_EVENT_FAILED };

struct http_event {
    enum http_event_kind kind;
    uint32_t id;            /* dead after END and FAILED */
    int32_t status;         /* STATUS */
    int32_t retry_after_ms; /* STATUS: what the server asks for, or -1 */
    int32_t err;            /* FAILED: a positive errno */
    const char *what;       /* FAILED: a literal */
    struct slice data;      /* CHUNK */
    int64_t connect_ns;     /* STATUS: how long connecting took, TLS included; 0: it was warm */
    int64_t first_byte_ns;  /* STATUS: from go() */
};

/* False to a CHUNK: not taken now; the request pauses and the same chunk comes again. */
typedef bool http_deliver(void *context, const struct http_event *event);

struct http_setup {
    http_deliver *deliver;
    void *context;
    const char *ca_file; /* "": the system's */
    const char *proxy;   /* "": none, whatever the environment says */
    bool allow_private;  /* what `guarded` asks for is not looked at */
};

struct http;

struct http_ops {
    const char *name;
    void (*free)(struct http *http);
    /* Copies everything. 0 and *id, or -EINVAL, -E2BIG, -EMFILE. */
    int (*make)(struct http *http, const struct http_query *ask, uint32_t *id);
    /* Sends it, to this address (its port is the URL's). 0, or -errno: the id is dead. */
    int (*go)(struct http *http, uint32_t id, const struct address *to, int64_t now_ns);
    /* Nothing more comes of it; the id is dead. Not from within a delivery. */
    void (*cancel)(struct http *http, uint32_t id);
    /* Stops and resumes the body. Not from within a delivery. */
    void (*pause)(struct http *http, uint32_t id, bool pause, int64_t now_ns);
    void (*work)(struct http *http, int64_t now_ns);
    /* When work() is due without anything to be read; NEVER_NS. */
    int64_t (*deadline)(const struct http *http);
    int (*fd)(const struct http *http);              /* -1: there is none */
    uint32_t (*open_count)(const struct http *http); /* requests */
};

struct http {
    const struct http_ops *ops;
};

/* Boot: once in a process, before the first thread, and at its end. */
MUST_USE int http_curl_load(void);
void http_curl_unload(void);
/* 0 or -errno. */
MUST_USE int http_curl_new(const struct http_setup *setup, struct http **out);

/* "retry-after-ms: 250", "Retry-After: 2" (seconds): milliseconds, at most an hour, or -1 for any
 * other line. RFC 9110 section 10.2.3; dates are not read. */
int32_t http_retry_after(struct slice line);

#endif
