#include "net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/http_head.h"
#include "net/http_listen.h"
#include "net/http_request.h"
#include "net/tls.h"

#define ACCEPT_BATCH_MAX  16
#define ACCEPT_PAUSE_MS   100 /* out of file descriptors: try again then */
#define REPLY_HEAD_BYTES  2048
#define REPLY_CHUNK_BYTES 32768 /* written at a time; the socket says when there is room again */
#define REPLY_HEADERS_MAX 512
#define CLOSE_TURNS_MAX   1000 /* of the loop, until libwebsockets has let go */
#define CLOSE_TURN_MS     10
#define FDS_SPARE         16 /* the library's own pipe and the like */

enum exchange_state {
    EXCHANGE_IDLE,    /* between requests */
    EXCHANGE_BODY,    /* the body arrives */
    EXCHANGE_WAITING, /* whoever answers has it */
    EXCHANGE_REPLYING /* the answer is being written */
};

/* A connection and the request that is on it. */
struct exchange {
    struct http_server *server;
    struct lws *wsi; /* NULL: free */
    enum exchange_state state;
    uint32_t generation; /* of the request: grows with each, and with the connection's end */
    uint32_t index;
    bool head_only; /* HEAD */
    bool last;      /* the connection ends with this answer */
    struct http_ask ask;
    char path[HTTP_PATH_BYTES_MAX + 1];
    char query[HTTP_QUERY_BYTES_MAX];
    uint8_t *body;
    size_t body_size; /* as announced */
    size_t body_len;
    uint8_t *reply; /* LWS_PRE bytes of room, then head and body */
    size_t reply_len;
    size_t reply_sent;
    int file; /* -1: none; what follows the reply's bytes comes from it */
    uint64_t file_at;
    uint64_t file_left;
    char host[HTTP_HOST_BYTES_MAX];
    char origin[HTTP_HOST_BYTES_MAX];
    char range[HTTP_RANGE_BYTES_MAX];
};

struct http_server {
    struct http_server_setup setup;
    struct lws_context *context; /* NULL once the library has let go */
    struct lws_vhost *vhost;
    int listener; /* -1: none */
    struct address local;
    uv_poll_t poll;
    uv_timer_t pause;
    unsigned handles_open;
    uint32_t connections;
    struct exchange exchanges[HTTP_CONNECTIONS_MAX];
};

/* ---- exchanges ---- */

static uint64_t exchange_id(const struct exchange *x)
{
    return (uint64_t)x->generation << 32 | (x->index + 1);
}

static void buffers_free(struct exchange *x)
{
    free(x->body);
    free(x->reply);
    x->body = NULL;
    x->reply = NULL;
    x->body_len = x->body_size = x->reply_len = x->reply_sent = 0;
    if (x->file >= 0)
        close(x->file);
    x->file = -1;
    x->file_left = 0;
}

static uint8_t *buffer_new(size_t bytes)
{
    uint8_t *at = malloc(bytes);

    if (!at)
        abort();
    return at;
}

/* Whoever still names the request reaches nobody from now on. */
static void exchange_forget(struct exchange *x)
{
    x->generation++;
    buffers_free(x);
    x->ask = (struct http_ask){0};
    x->state = EXCHANGE_IDLE;
}

static struct exchange *exchange_get(struct http_server *server)
{
    for (uint32_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct exchange *x = &server->exchanges[i];
        if (x->wsi)
            continue;
        x->server = server;
        x->index = i;
        x->last = false;
        x->file = -1;
        server->connections++;
        return x;
    }
    return NULL;
}

static void exchange_put(struct exchange *x)
{
    exchange_forget(x);
    x->wsi = NULL;
    x->server->connections--;
}

static struct exchange *exchange_find(const struct http_server *server, uint64_t id)
{
    uint32_t index = (uint32_t)id - 1;

    if (index >= HTTP_CONNECTIONS_MAX)
        return NULL;
    /* The table is the server's own: const is about what the caller sees of it. */
    struct exchange *x = (struct exchange *)&server->exchanges[index];
    if (!x->wsi || x->state != EXCHANGE_WAITING || exchange_id(x) != id)
        return NULL;
    return x;
}

/* ---- answers ---- */

static size_t reply_head(struct exchange *x, const struct http_answer *answer, char *out)
{
    struct builder b = builder_of(out, REPLY_HEAD_BYTES);

    builder_printf(&b, "HTTP/1.1 %u %s\r\n", answer->status, http_status_text(answer->status));
    if (answer->content_type)
        builder_printf(&b, "content-type: %s\r\n", answer->content_type);
    if (answer->status != 204)
        builder_printf(&b, "content-length: %llu\r\n",
                       (unsigned long long)(answer->file ? answer->file->bytes : answer->body.len));
    builder_str(&b, "cache-control: no-store\r\n");
    if (answer->headers)
        builder_str(&b, answer->headers);
    if (x->last)
        builder_str(&b, "connection: close\r\n");
    builder_str(&b, "\r\n");
    assert(!b.bad); /* headers are ours, and short */
    return b.len;
}

static void exchange_reply(struct exchange *x, const struct http_answer *answer)
{
    char head[REPLY_HEAD_BYTES];
    size_t head_len, body_len, room;

    if (x->server->listener < 0)
        x->last = true;
    head_len = reply_head(x, answer, head);
    body_len = x->head_only || answer->status == 204 ? 0 : answer->body.len;
    room = head_len + body_len;
    if (answer->file && answer->file->bytes && !x->head_only) {
        x->file = answer->file->fd;
        x->file_at = answer->file->from;
        x->file_left = answer->file->bytes;
        room = room < REPLY_CHUNK_BYTES ? REPLY_CHUNK_BYTES : room;
    } else if (answer->file) {
        close(answer->file->fd);
    }
    x->reply = buffer_new(LWS_PRE + room);
    memcpy(x->reply + LWS_PRE, head, head_len);
    if (body_len)
        memcpy(x->reply + LWS_PRE + head_len, answer->body.at, body_len);
    x->reply_len = head_len + body_len;
    x->reply_sent = 0;
    x->state = EXCHANGE_REPLYING;
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)x->server->setup.answer_s);
    lws_rx_flow_control(x->wsi, 1); /* else it is not told that it may write, either */
    lws_callback_on_writable(x->wsi);
}

bool http_server_reply(struct http_server *server, uint64_t id, const struct http_answer *answer)
{
    struct exchange *x = exchange_find(server, id);

    if (!x) {
        if (answer->file)
            close(answer->file->fd);
        return false;
    }
    exchange_reply(x, answer);
    return true;
}

/* Of the JSON library. */
static void text_free(char *text)
{
    free(text);
}

static void exchange_fail(struct exchange *x, uint16_t status, const char *code,
                          const char *message, const char *field, const char *headers)
{
    json_t *doc = json_pack("{s:b, s:{s:s, s:s, s:s*}}", "success", 0, "error", "code", code,
                            "message", message, "field", field);
    char *text = json_dumps(doc, JSON_COMPACT);

    if (!text)
        abort();
    exchange_reply(x, &(struct http_answer){.status = status,
                                            .content_type = "application/json",
                                            .body = slice_str(text),
                                            .headers = headers});
    text_free(text);
    json_decref(doc);
}

bool http_server_fail(struct http_server *server, uint64_t id, uint16_t status, const char *code,
                      const char *message, const char *field)
{
    struct exchange *x = exchange_find(server, id);

    if (!x)
        return false;
    exchange_fail(x, status, code, message, field, NULL);
    return true;
}

/* The next piece of the file takes the place of what was sent. False: it is shorter than it was. */
static bool file_read(struct exchange *x)
{
    size_t want = x->file_left < REPLY_CHUNK_BYTES ? (size_t)x->file_left : REPLY_CHUNK_BYTES;
    ssize_t n = pread(x->file, x->reply + LWS_PRE, want, (off_t)x->file_at);

    if (n <= 0)
        return false;
    x->file_at += (uint64_t)n;
    x->file_left -= (uint64_t)n;
    x->reply_len = (size_t)n;
    x->reply_sent = 0;
    /* A long file may take a while; each piece has its time. */
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)x->server->setup.answer_s);
    return true;
}

/* Writes the next piece; what the callback returns: -1 ends the connection. */
static int reply_write(struct exchange *x)
{
    size_t left = x->reply_len - x->reply_sent;
    size_t n = left < REPLY_CHUNK_BYTES ? left : REPLY_CHUNK_BYTES;
    uint8_t *at = x->reply + LWS_PRE + x->reply_sent;

    /* As headers: the library then passes the bytes on as they are. */
    if (lws_write(x->wsi, at, n, LWS_WRITE_HTTP_HEADERS) < 0)
        return -1;
    x->reply_sent += n;
    if (x->reply_sent == x->reply_len && x->file_left && !file_read(x))
        return -1;
    if (x->reply_sent < x->reply_len) {
        lws_callback_on_writable(x->wsi);
        return 0;
    }
    bool last = x->last;
    exchange_forget(x);
    return last || lws_http_transaction_completed(x->wsi) ? -1 : 0;
}

/* ---- requests ---- */

/* What is allowed at the path, as a header line; false when nothing lies there. */
static bool route_allowed(const struct http_server *server, struct slice path, struct builder *out)
{
    struct slice param;
    bool any = false;

    for (size_t i = 0; i < server->setup.route_count; i++) {
        const struct http_route *route = &server->setup.routes[i];
        if (!http_path_match(route->path, path, &param))
            continue;
        builder_printf(out, "%s%s", any ? ", " : "allow: ", route->method);
        any = true;
    }
    builder_printf(out, "\r\n%c", '\0');
    return any;
}

static const struct http_route *route_find(const struct http_server *server, const char *method,
                                           struct slice path, struct slice *param)
{
    for (size_t i = 0; i < server->setup.route_count; i++) {
        const struct http_route *route = &server->setup.routes[i];
        if (strcmp(route->method, method) == 0 && http_path_match(route->path, path, param))
            return route;
    }
    return NULL;
}

static void refuse_route(struct exchange *x)
{
    char allow[REPLY_HEADERS_MAX], message[HTTP_PATH_BYTES_MAX + 64];
    struct builder b = builder_of(allow, sizeof(allow));

    if (route_allowed(x->server, x->ask.path, &b)) {
        exchange_fail(x, 405, "method_not_allowed", "this path has no such method", NULL,
                      b.bad ? NULL : allow);
        return;
    }
    snprintf(message, sizeof(message), "there is nothing at %.*s", SLICE_ARG(x->ask.path));
    if (!slice_is_utf8(slice_str(message)))
        snprintf(message, sizeof(message), "there is nothing at this path");
    exchange_fail(x, 404, "not_found", message, NULL, NULL);
}

/* The query as the library has it: decoded, piece by piece. */
static bool read_query(struct exchange *x, struct lws *wsi)
{
    size_t used = 0;

    for (int i = 0; lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
        size_t room = sizeof(x->query) - used;
        int n = lws_hdr_copy_fragment(wsi, x->query + used, (int)room, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return false;
        used += strnlen(x->query + used, room - 1) + 1;
        if (used >= sizeof(x->query))
            return false;
    }
    x->ask.query = slice_of(x->query, used);
    return true;
}

static bool read_headers(struct exchange *x, struct lws *wsi)
{
    if (!http_read_header(wsi, WSI_TOKEN_HTTP_RANGE, x->range, sizeof(x->range), &x->ask.range))
        x->ask.range = SLICE_NONE;
    return http_read_header(wsi, WSI_TOKEN_HOST, x->host, sizeof(x->host), &x->ask.host) &&
           http_read_header(wsi, WSI_TOKEN_ORIGIN, x->origin, sizeof(x->origin), &x->ask.origin);
}

static void hand_over(struct exchange *x)
{
    x->ask.body = slice_of(x->body, x->body_len);
    x->ask.id = exchange_id(x);
    x->state = EXCHANGE_WAITING;
    metrics_add(METRIC_HTTP_REQUESTS, 1);
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)x->server->setup.answer_s);
    /* The library would not read what comes now, but be told of it again and again. */
    lws_rx_flow_control(x->wsi, 0);
    x->server->setup.on_request(x->server->setup.context, &x->ask);
}

/* What of the head cannot be served; the connection ends where the length of the body is in
 * doubt. True when it was answered. */
static bool refuse_body(struct exchange *x, struct lws *wsi, int method, uint64_t *length)
{
    bool given;

    if (!http_read_length(wsi, &given, length)) {
        x->last = true;
        exchange_fail(x, 400, "bad_request", "Content-Length is no number", NULL, NULL);
        return true;
    }
    bool wants = method == LWSHUMETH_POST || method == LWSHUMETH_PUT || method == LWSHUMETH_PATCH;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 || (wants && !given)) {
        x->last = true;
        exchange_fail(x, 411, "length_required", "a body needs a Content-Length", NULL, NULL);
        return true;
    }
    if (*length > HTTP_BODY_BYTES_MAX) {
        x->last = true;
        exchange_fail(x, 413, "too_large", "the body is larger than 65536 bytes", NULL, NULL);
        return true;
    }
    return false;
}

/* The head has come. */
static int on_head(struct exchange *x, struct lws *wsi)
{
    char *uri = NULL;
    int uri_len = 0;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    uint64_t length;

    if (method < 0 || uri_len <= 0 || x->state != EXCHANGE_IDLE)
        return -1;
    x->head_only = method == LWSHUMETH_HEAD;
    size_t path_len = (size_t)uri_len < HTTP_PATH_BYTES_MAX ? (size_t)uri_len : HTTP_PATH_BYTES_MAX;
    memcpy(x->path, uri, path_len);
    x->path[path_len] = '\0';
    x->ask.path = slice_of(x->path, path_len);
    if (refuse_body(x, wsi, method, &length))
        return 0;
    x->ask.route = route_find(x->server, http_method_name(method), x->ask.path, &x->ask.param);
    if (!x->ask.route || (size_t)uri_len > path_len) {
        refuse_route(x);
        return 0;
    }
    if (!read_query(x, wsi)) {
        exchange_fail(x, 400, "bad_request", "the query is too long", NULL, NULL);
        return 0;
    }
    if (!read_headers(x, wsi)) {
        exchange_fail(x, 400, "bad_request", "Host or Origin is too long", NULL, NULL);
        return 0;
    }
    x->body_size = (size_t)length;
    if (length == 0) {
        hand_over(x);
        return 0;
    }
    x->body = buffer_new(x->body_size);
    x->state = EXCHANGE_BODY;
    return 0;
}

static int on_body(struct exchange *x, const void *at, size_t len)
{
    if (x->state != EXCHANGE_BODY) /* of a request that was refused */
        return 0;
    if (len > x->body_size - x->body_len)
        return -1;
    memcpy(x->body + x->body_len, at, len);
    x->body_len += len;
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct exchange *x = wsi ? lws_get_opaque_user_data(wsi) : NULL;

    (void)user;
    if (!x)
        return 0;
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        return on_head(x, wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(x, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        if (x->state == EXCHANGE_BODY)
            hand_over(x);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return x->state == EXCHANGE_REPLYING ? reply_write(x) : 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* there is no WebSocket here */
        return lws_return_http_status(wsi, 404, NULL) ? -1 : 1;
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        exchange_put(x);
        return 0;
    default:
        return 0;
    }
}

/* ---- the listening socket, which is ours: the library cannot share a port ---- */

static void adopt(struct http_server *server, int fd)
{
    struct exchange *x = exchange_get(server);

    if (!x) {
        close(fd);
        return;
    }
    x->wsi = lws_adopt_socket_vhost(server->vhost, fd); /* closes the socket itself on failure */
    if (!x->wsi) {
        server->connections--;
        return;
    }
    lws_set_opaque_user_data(x->wsi, x);
}

static void on_readable(uv_poll_t *handle, int status, int events);

static void on_pause_over(uv_timer_t *handle)
{
    struct http_server *server = handle->data;

    if (server->listener >= 0)
        uv_poll_start(&server->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct http_server *server = handle->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH_MAX; i++) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            uv_poll_stop(&server->poll);
            uv_timer_start(&server->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
        }
        return;
    }
}

static void listen_close(struct http_server *server)
{
    if (server->listener < 0)
        return;
    uv_poll_stop(&server->poll);
    uv_timer_stop(&server->pause);
    close(server->listener);
    server->listener = -1;
}

/* ---- the library ---- */

static void on_log(int level, const char *line)
{
    size_t len = strlen(line);

    while (len && line[len - 1] == '\n')
        len--;
    if (level == LLL_ERR)
        log_warn("http", NULL, "libwebsockets: %.*s", (int)len, line);
    else
        log_debug("http", NULL, "libwebsockets: %.*s", (int)len, line);
}

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = on_event, .rx_buffer_size = 4096},
    {.name = NULL},
};

void http_server_renew(struct http_server *server)
{
    const struct http_server_setup *setup = &server->setup;
    char why[300];

    if (!setup->certificate)
        return;
    if (tls_files_try(setup->certificate, setup->key, why, sizeof(why)))
        log_error("http", NULL, "%s: the certificate before it stays", why);
    else if (lws_tls_cert_updated(server->context, setup->certificate, setup->key, NULL, 0, NULL,
                                  0))
        log_error("http", NULL, "%s: it is used from the next start on", setup->certificate);
}

static int library_open(struct http_server *server)
{
    void *loops[1] = {server->setup.loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .port = CONTEXT_PORT_NO_LISTEN,
        .pcontext = &server->context,
        .protocols = protocols,
        .gid = -1,
        .uid = -1,
        .server_string = "sidetone",
        .vhost_name = "api",
        .max_http_header_data = HTTP_HEAD_BYTES_MAX,
        .max_http_header_pool = HTTP_CONNECTIONS_MAX,
        .fd_limit_per_thread = HTTP_CONNECTIONS_MAX + FDS_SPARE,
        .timeout_secs = server->setup.header_s,
        .timeout_secs_ah_idle = server->setup.header_s,
        .keepalive_timeout = (int)server->setup.idle_s,
    };

    if (server->setup.certificate) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.alpn = "http/1.1";
        info.ssl_cert_filepath = server->setup.certificate;
        info.ssl_private_key_filepath = server->setup.key;
    }
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    server->context = lws_create_context(&info);
    if (!server->context)
        return -ENOMEM;
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    server->vhost = lws_create_vhost(server->context, &info);
    return server->vhost ? 0 : -ENOMEM;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    server->handles_open--;
}

static int timer_open(struct http_server *server)
{
    int err = uv_timer_init(server->setup.loop, &server->pause);

    if (err)
        return err;
    server->pause.data = server;
    server->handles_open++;
    return 0;
}

static int poll_open(struct http_server *server)
{
    int err = uv_poll_init(server->setup.loop, &server->poll, server->listener);

    if (err)
        return err;
    server->poll.data = server;
    server->handles_open++;
    return uv_poll_start(&server->poll, UV_READABLE, on_readable);
}

int http_server_new(const struct http_server_setup *setup, struct http_server **out, char *why,
                    size_t why_bytes)
{
    struct http_server *server = calloc(1, sizeof(*server));
    int err;

    *out = NULL;
    if (!server)
        abort();
    server->setup = *setup;
    server->listener = -1;
    /* libwebsockets would only say that it failed. */
    err = setup->certificate ? tls_files_try(setup->certificate, setup->key, why, why_bytes) : 0;
    if (err)
        goto fail;
    server->listener = http_listen(&setup->local, &server->local);
    if (server->listener < 0) {
        err = server->listener;
        http_listen_complain(&setup->local, err, why, why_bytes);
        goto fail;
    }
    err = timer_open(server);
    if (!err)
        err = library_open(server);
    if (!err)
        err = poll_open(server);
    if (err) {
        snprintf(why, why_bytes, "the API's HTTP server does not start: %s", strerror(-err));
        goto fail;
    }
    *out = server;
    return 0;
fail:
    http_server_free(&server);
    return err;
}

void http_server_quiet(struct http_server *server)
{
    int fd;

    /* Who has connected already is let in: closing would reset them. */
    while (server->listener >= 0 &&
           (fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        adopt(server, fd);
    listen_close(server);
}

static void on_turn_over(uv_timer_t *handle)
{
    (void)handle;
}

static void count_closing(uv_handle_t *handle, void *count)
{
    *(unsigned *)count += uv_is_closing(handle) ? 1 : 0;
}

static unsigned closing_count(struct http_server *server)
{
    unsigned count = 0;

    uv_walk(server->setup.loop, count_closing, &count);
    return count;
}

/* On a loop that is not its own the library only begins to close here: its handles go in later
 * turns, each stage started by the last handle of the one before. When none is closing any more, a
 * second call frees the context (and clears `context`). The timer keeps the turns coming. */
static void library_close(struct http_server *server)
{
    lws_context_destroy(server->context);
    for (int i = 0; server->context && i < CLOSE_TURNS_MAX; i++) {
        uv_timer_start(&server->pause, on_turn_over, CLOSE_TURN_MS, 0);
        uv_run(server->setup.loop, UV_RUN_ONCE);
        if (server->context && server->connections == 0 && closing_count(server) == 0)
            lws_context_destroy(server->context);
    }
    uv_timer_stop(&server->pause);
    assert(!server->context);
}

void http_server_free(struct http_server **server_at)
{
    struct http_server *server = *server_at;

    if (!server)
        return;
    if (server->poll.data)
        listen_close(server);
    else if (server->listener >= 0)
        close(server->listener);
    if (server->context)
        library_close(server);
    if (server->pause.data)
        uv_close((uv_handle_t *)&server->pause, on_closed);
    if (server->poll.data)
        uv_close((uv_handle_t *)&server->poll, on_closed);
    while (server->handles_open)
        uv_run(server->setup.loop, UV_RUN_ONCE);
    free(server);
    *server_at = NULL;
}

/* ---- what may be asked ---- */

struct address http_server_local(const struct http_server *server)
{
    return server->local;
}

uint32_t http_server_connections(const struct http_server *server)
{
    return server->connections;
}

const struct http_ask *http_server_find(const struct http_server *server, uint64_t id)
{
    const struct exchange *x = exchange_find(server, id);

    return x ? &x->ask : NULL;
}
