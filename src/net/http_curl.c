/* The http seam on libcurl's multi interface: its sockets stand in an epoll set of ours, which the
 * shard's io watches as one descriptor, and its timer is one of our deadlines. Calls into libcurl
 * that its own callbacks may not make (remove, unpause) are made after it has returned. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/url.h"
#include "net/http_client.h"
#include "net/net_guard.h"

#define EVENTS_MAX  64
#define ROUNDS_MAX  16     /* of events in one work(); the set stays readable for what is left */
#define AGAIN_NS    MS(20) /* a chunk that was not taken is offered again */
#define RESOLVE_MAX 400    /* "host:port:address" */
#define CAPACITY    HTTP_ASKS_MAX

struct transfer {
    struct curl *http;
    CURL *easy;
    uint32_t id;
    bool gone;    /* added to the multi */
    bool told;    /* its status */
    bool paused;  /* by the owner */
    bool refused; /* a chunk was not taken: libcurl holds it */
    bool guarded;
    int err; /* why we ended it, and the words for it */
    const char *what;
    int32_t retry_after_ms;
    int64_t begun_ns, heard_ns; /* go(); the last byte */
    int64_t first_byte_ns, stall_ns, total_ns;
    size_t head_seen, body_seen;
    struct curl_slist *head, *resolve;
    struct slice body;
    struct url url;
    uint8_t bytes[]; /* the body, then the method with a final NUL */
};

struct curl {
    struct http http;
    struct http_setup setup;
    CURLM *multi;
    int epoll_fd;
    int64_t now_ns;
    int64_t timer_ns; /* libcurl's, or NEVER_NS */
    uint32_t used;
    uint32_t serial;
    struct transfer *transfers[CAPACITY];
};

int http_curl_load(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOSYS;
}

void http_curl_unload(void)
{
    curl_global_cleanup();
}

static struct transfer *transfer_at(struct curl *c, uint32_t id)
{
    struct transfer *t = c->transfers[id % CAPACITY];

    return t && t->id == id ? t : NULL;
}

/* ---- what libcurl asks of us ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct curl *c = context;
    struct epoll_event e = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(c->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) && errno == EEXIST)
        epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, fd, &e);
    curl_multi_assign(c->multi, fd, c);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *context)
{
    struct curl *c = context;

    (void)multi;
    c->timer_ns = ms < 0 ? NEVER_NS : c->now_ns + MS(ms);
    return 0;
}

/* The last look before a connection is made: at the address itself. */
static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = context;
    struct sockaddr_storage name = {0};
    struct address address;

    (void)purpose;
    memcpy(&name, &to->addr, to->addrlen < sizeof(name) ? to->addrlen : sizeof(name));
    address_from_sockaddr(&name, &address);
    if (t->guarded && !net_guard_public(&address)) {
        t->err = EACCES;
        t->what = "the address is not one of the public internet";
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->protocol);
}

static int64_t micros(const struct transfer *t, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(t->easy, info, &us);
    return us * NS_PER_US;
}

static bool tell(struct transfer *t, struct http_event e)
{
    e.id = t->id;
    return t->http->setup.deliver(t->http->setup.context, &e);
}

static void tell_status(struct transfer *t)
{
    long status = 0;
    int64_t tls_ns = micros(t, CURLINFO_APPCONNECT_TIME_T);
    int64_t connect_ns = micros(t, CURLINFO_CONNECT_TIME_T);

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || t->told)
        return;
    t->told = true;
    tell(t, (struct http_event){.kind = HTTP_EVENT_STATUS,
                                .status = (int32_t)status,
                                .retry_after_ms = t->retry_after_ms,
                                .connect_ns = tls_ns > connect_ns ? tls_ns : connect_ns,
                                .first_byte_ns = t->http->now_ns - t->begun_ns});
}

int32_t http_retry_after(struct slice line)
{
    struct slice value, name = slice_cut(line, ':', &value);
    uint64_t number;
    bool ms = slice_equal_nocase(name, SLICE("retry-after-ms"));

    if ((!ms && !slice_equal_nocase(name, SLICE("retry-after"))) ||
        slice_u64(slice_trim(value), ms ? 3600000 : 3600, &number))
        return -1;
    return (int32_t)(ms ? number : number * 1000);
}

static size_t on_head(char *at, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    struct slice line = slice_trim(slice_of(at, size * count));
    int32_t ms = http_retry_after(line);

    t->head_seen += size * count;
    t->heard_ns = t->http->now_ns;
    if (t->head_seen > HTTP_ANSWER_HEAD_BYTES) {
        t->err = EMSGSIZE;
        t->what = "the header of the answer is too large";
        return 0;
    }
    if (ms >= 0)
        t->retry_after_ms = ms;
    if (line.len == 0)
        tell_status(t);
    return size * count;
}

static size_t on_body(char *at, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    struct slice data = slice_of(at, size * count);

    t->heard_ns = t->http->now_ns;
    if (t->body_seen + data.len > HTTP_ANSWER_BYTES_MAX) {
        t->err = EMSGSIZE;
        t->what = "the answer is too large";
        return 0;
    }
    tell_status(t);
    if (t->paused || !tell(t, (struct http_event){.kind = HTTP_EVENT_CHUNK, .data = data})) {
        t->refused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->body_seen += data.len;
    return data.len;
}

/* ---- making one ---- */

static void transfer_free(struct transfer **t_at)
{
    struct transfer *t = *t_at;

    if (!t)
        return;
    if (t->easy && t->gone)
        curl_multi_remove_handle(t->http->multi, t->easy);
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->head);
    curl_slist_free_all(t->resolve);
    free(t);
    *t_at = NULL;
}

static void drop(struct transfer *t)
{
    struct curl *c = t->http;

    c->transfers[t->id % CAPACITY] = NULL;
    c->used--;
    transfer_free(&t);
}

/* Printable, with a name before its colon; and none of those that are ours to say. */
static bool line_valid(struct slice line)
{
    struct slice value, name = slice_cut(line, ':', &value);

    if (name.len == 0 || name.len == line.len)
        return false;
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] < ' ' || line.at[i] == 0x7F || (i < name.len && line.at[i] == ' '))
            return false;
    return !slice_equal_nocase(name, SLICE("host")) &&
           !slice_equal_nocase(name, SLICE("content-length")) &&
           !slice_equal_nocase(name, SLICE("transfer-encoding"));
}

static int add_line(struct transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->head, line);

    if (!longer)
        return -ENOMEM;
    t->head = longer;
    return 0;
}

static int set_head(struct transfer *t, struct slice head)
{
    char text[4096];
    int err = add_line(t, "Expect:"); /* no waiting for a 100 */

    for (int i = 0; head.len && err == 0; i++) {
        struct slice line = slice_cut(head, '\n', &head);
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        if (!line_valid(line))
            return -EINVAL;
        if (i == HTTP_LINES_MAX || slice_cstr(line, text, sizeof(text)))
            return -E2BIG;
        err = add_line(t, text);
    }
    return err;
}

static void set_common(struct transfer *t, const char *url)
{
    CURL *easy = t->easy;
    const struct http_setup *setup = &t->http->setup;

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(HTTP_CONNECT_NS / NS_PER_MS));
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, setup->proxy ? setup->proxy : "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->head);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    if (setup->ca_file && setup->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, setup->ca_file);
    if (t->guarded) { /* what was looked at is the connection that is used */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
}

static void set_method(struct transfer *t, struct slice method)
{
    char *name = (char *)t->bytes + t->body.len;

    if (t->body.len) {
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body.at);
    }
    if (method.len) {
        memcpy(name, method.at, method.len);
        name[method.len] = '\0';
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, name);
    }
    if (slice_equal(method, SLICE("HEAD")))
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
}

static bool method_valid(struct slice method)
{
    for (size_t i = 0; i < method.len; i++)
        if (method.at[i] < 'A' || method.at[i] > 'Z')
            return false;
    return method.len < 16;
}

static struct transfer *transfer_new(struct curl *c, const struct http_query *ask)
{
    struct transfer *t = calloc(1, sizeof(*t) + ask->body.len + ask->method.len + 1);

    if (!t)
        return NULL;
    t->http = c;
    t->guarded = ask->guarded && !c->setup.allow_private;
    t->first_byte_ns = ask->first_byte_ns;
    t->stall_ns = ask->stall_ns;
    t->total_ns = ask->total_ns;
    t->retry_after_ms = -1;
    t->body = slice_of(t->bytes, ask->body.len);
    if (ask->body.len)
        memcpy(t->bytes, ask->body.at, ask->body.len);
    t->easy = curl_easy_init();
    if (!t->easy)
        transfer_free(&t);
    return t;
}

static uint32_t next_id(struct curl *c)
{
    uint32_t id;

    do /* ends: fewer are used than there are places */
        id = ++c->serial;
    while (id == 0 || c->transfers[id % CAPACITY]);
    return id;
}

static int curl_make(struct http *http, const struct http_query *ask, uint32_t *id)
{
    struct curl *c = (struct curl *)http;
    char url[sizeof(struct url) + 8];
    const char *what;
    int err;

    *id = 0;
    if (c->used == CAPACITY)
        return -EMFILE;
    if (!method_valid(ask->method) || slice_cstr(ask->url, url, sizeof(url)))
        return -EINVAL;
    struct transfer *t = transfer_new(c, ask);
    if (!t)
        return -ENOMEM;
    err = url_parse(&t->url, ask->url, "http https", &what);
    if (!err)
        err = set_head(t, ask->head);
    if (err) {
        transfer_free(&t);
        return err;
    }
    set_common(t, url);
    set_method(t, ask->method);
    t->id = *id = next_id(c);
    c->transfers[t->id % CAPACITY] = t;
    c->used++;
    return 0;
}

/* ---- its life ---- */

static void finish(struct transfer *t, int err, const char *what)
{
    if (err)
        tell(t, (struct http_event){.kind = HTTP_EVENT_FAILED, .err = err, .what = what});
    else
        tell(t, (struct http_event){.kind = HTTP_EVENT_END});
    drop(t);
}

static int error_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return EHOSTUNREACH;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return EACCES;
    default:
        return EPROTO;
    }
}

static void reap(struct curl *c)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct transfer *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        if (code == CURLE_OK)
            tell_status(t);
        if (t->err)
            finish(t, t->err, t->what);
        else
            finish(t, code == CURLE_OK ? 0 : error_of(code), curl_easy_strerror(code));
    }
}

static int curl_go(struct http *http, uint32_t id, const struct address *to, int64_t now_ns)
{
    struct curl *c = (struct curl *)http;
    struct transfer *t = transfer_at(c, id);
    char pair[RESOLVE_MAX], text[ADDRESS_TEXT_BYTES];
    struct address bare = *to, literal;

    if (!t)
        return -EBADF;
    c->now_ns = t->begun_ns = t->heard_ns = now_ns;
    if (t->guarded && !net_guard_public(to)) {
        drop(t);
        return -EACCES;
    }
    bare.port = 0;
    /* "+": as an answer of its own resolver, which may be forgotten again. */
    if (address_parse(slice_str(t->url.host), false, &literal)) {
        address_text(&bare, text);
        text[strlen(text) - 2] = '\0'; /* ":0" */
        snprintf(pair, sizeof(pair), "+%s:%s:%s", t->url.host, t->url.port, text);
        t->resolve = curl_slist_append(NULL, pair);
        curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve);
    }
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        drop(t);
        return -ENOMEM;
    }
    t->gone = true;
    return 0;
}

static void curl_cancel(struct http *http, uint32_t id)
{
    struct transfer *t = transfer_at((struct curl *)http, id);

    if (t)
        drop(t);
}

static void curl_pause_body(struct http *http, uint32_t id, bool pause, int64_t now_ns)
{
    struct curl *c = (struct curl *)http;
    struct transfer *t = transfer_at(c, id);

    if (!t || t->paused == pause)
        return;
    t->paused = pause;
    if (pause)
        return; /* the next chunk finds it so */
    c->now_ns = t->heard_ns = now_ns;
    if (t->refused)
        c->timer_ns = now_ns; /* work() offers it again */
}

/* ---- deadlines ---- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t transfer_deadline(const struct transfer *t)
{
    int64_t at_ns = NEVER_NS;

    if (!t->gone)
        return at_ns;
    if (t->refused && !t->paused)
        at_ns = t->heard_ns + AGAIN_NS;
    if (t->total_ns)
        at_ns = sooner(at_ns, t->begun_ns + t->total_ns);
    if (!t->told && t->first_byte_ns)
        at_ns = sooner(at_ns, t->begun_ns + t->first_byte_ns);
    if (t->told && t->stall_ns && !t->paused && !t->refused)
        at_ns = sooner(at_ns, t->heard_ns + t->stall_ns);
    return at_ns;
}

static void transfer_late(struct transfer *t)
{
    int64_t now_ns = t->http->now_ns;

    if (t->refused && !t->paused && now_ns >= t->heard_ns + AGAIN_NS) {
        t->refused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT); /* may be refused again within */
    } else if (t->total_ns && now_ns >= t->begun_ns + t->total_ns) {
        finish(t, ETIMEDOUT, "the answer took too long as a whole");
    } else if (!t->told) {
        finish(t, ETIMEDOUT, "no answer came in time");
    } else {
        finish(t, ETIMEDOUT, "the answer stopped in the middle");
    }
}

static void expire(struct curl *c)
{
    for (size_t i = 0; i < CAPACITY && c->used; i++)
        if (c->transfers[i] && c->now_ns >= transfer_deadline(c->transfers[i]))
            transfer_late(c->transfers[i]);
}

static int64_t curl_deadline(const struct http *http)
{
    const struct curl *c = (const struct curl *)http;
    int64_t at_ns = c->timer_ns;

    for (size_t i = 0; i < CAPACITY && c->used; i++)
        if (c->transfers[i])
            at_ns = sooner(at_ns, transfer_deadline(c->transfers[i]));
    return at_ns;
}

static int flags_of(uint32_t events)
{
    return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

static void curl_work(struct http *http, int64_t now_ns)
{
    struct curl *c = (struct curl *)http;
    struct epoll_event events[EVENTS_MAX];
    int running, count = EVENTS_MAX;

    c->now_ns = now_ns;
    for (int round = 0; round < ROUNDS_MAX && count == EVENTS_MAX; round++) {
        count = epoll_wait(c->epoll_fd, events, EVENTS_MAX, 0);
        for (int i = 0; i < count; i++)
            curl_multi_socket_action(c->multi, events[i].data.fd, flags_of(events[i].events),
                                     &running);
    }
    if (now_ns >= c->timer_ns) {
        c->timer_ns = NEVER_NS;
        curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    reap(c);
    expire(c);
    reap(c);
}

static int curl_fd(const struct http *http)
{
    return ((const struct curl *)http)->epoll_fd;
}

static uint32_t curl_open_count(const struct http *http)
{
    return ((const struct curl *)http)->used;
}

static void curl_free_all(struct http *http)
{
    struct curl *c = (struct curl *)http;

    for (size_t i = 0; i < CAPACITY; i++)
        transfer_free(&c->transfers[i]);
    curl_multi_cleanup(c->multi);
    close(c->epoll_fd);
    free(c); /* tidy: allow alloc: this is http_free of the ops */
}

static const struct http_ops curl_ops = {.name = "curl",
                                         .free = curl_free_all,
                                         .make = curl_make,
                                         .go = curl_go,
                                         .cancel = curl_cancel,
                                         .pause = curl_pause_body,
                                         .work = curl_work,
                                         .deadline = curl_deadline,
                                         .fd = curl_fd,
                                         .open_count = curl_open_count};

int http_curl_new(const struct http_setup *setup, struct http **out)
{
    struct curl *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (!c)
        return -ENOMEM;
    c->http.ops = &curl_ops;
    c->setup = *setup;
    c->timer_ns = NEVER_NS;
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->multi = curl_multi_init();
    if (c->epoll_fd < 0 || !c->multi) {
        if (c->epoll_fd >= 0)
            close(c->epoll_fd);
        curl_multi_cleanup(c->multi);
        free(c);
        return -ENOMEM;
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNECTIONS_MAX);
    *out = &c->http;
    return 0;
}
