#include "tools/providers/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "net/http_head.h"
#include "tools/providers/peer_inner.h"
#include "tools/providers/service.h"

#define LEAVE_NS     SECONDS(2)      /* for the client to close its side too */
#define SLACK_NS     (NS_PER_MS / 2) /* the loop's timer knows milliseconds */
#define TARGET_BYTES 2048
#define IN_FIRST     4096
#define IN_MAX       (REQUEST_HEAD_MAX + REQUEST_BODY_MAX + REQUEST_BODY_MAX / 4)

int64_t peer_now(const struct peer *p)
{
    (void)p;
    return (int64_t)uv_hrtime();
}

int64_t peer_draw(struct peer *p, const struct delay *d)
{
    return delay_draw(d, &p->server->chance);
}

/* ---- the log ---- */

struct jsonw *peer_note(struct peer *p, const char *event)
{
    struct diary_place place = {
        .at_ns = peer_now(p),
        .peer = p->id,
        .request = p->number,
        .service = p->service ? p->service->name : NULL,
    };

    return diary_begin(&p->server->diary, &place, event);
}

void peer_note_text(struct peer *p, const char *event, struct slice text)
{
    peer_note(p, event);
    diary_text(&p->server->diary, "text", text);
    diary_end(&p->server->diary);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer);

/* One timer for all that the peer waits for. */
void peer_arm(struct peer *p)
{
    int64_t due = p->state == PEER_LEAVING ? p->leave_by_ns : p->wake_ns;
    int64_t left;

    if (uv_is_closing((uv_handle_t *)&p->timer))
        return;
    if (p->state != PEER_LEAVING && p->head && !p->fill_left && p->head->due_ns + p->late_ns < due)
        due = p->head->due_ns + p->late_ns;
    if (due == NEVER_NS) {
        uv_timer_stop(&p->timer);
        return;
    }
    uv_update_time(p->server->loop);
    left = due - peer_now(p);
    uv_timer_start(&p->timer, on_timer,
                   left <= 0 ? 0 : (uint64_t)((left + NS_PER_MS - 1) / NS_PER_MS), 0);
}

void peer_wake(struct peer *p, int64_t at_ns)
{
    p->wake_ns = at_ns;
    peer_arm(p);
}

static void on_timer(uv_timer_t *timer)
{
    struct peer *p = timer->data;
    int64_t now = peer_now(p);

    if (p->state == PEER_LEAVING) {
        peer_gone(p);
        return;
    }
    if (p->wake_ns <= now + SLACK_NS) {
        p->wake_ns = NEVER_NS;
        if (p->service && p->service->wake)
            p->service->wake(p);
    }
    peer_flush(p);
}

/* ---- the end ---- */

static void request_end(struct peer *p)
{
    if (p->service && p->service->end)
        p->service->end(p);
    free(p->context);
    p->context = NULL;
    p->service = NULL;
    p->fault = NULL;
    p->mute = p->endless = false;
    p->late_ns = 0;
    p->drip_bps = 0;
    p->content_sent = 0;
    p->wake_ns = NEVER_NS;
}

static void on_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;

    if (--p->handles)
        return;
    while (p->head)
        peer_drop(p, NULL);
    free(p->message);
    free(p->in);
    free(p);
}

static void unlink_peer(struct peer *p)
{
    struct server *s = p->server;

    if (p->previous)
        p->previous->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->previous = p->previous;
    s->peer_count--;
}

static void note_end(struct peer *p, const char *event)
{
    struct jsonw *w = peer_note(p, event);
    int64_t pieces = 0;

    for (struct piece *x = p->head; x; x = x->next)
        pieces++;
    jsonw_put_int(w, "unsent", pieces);
    jsonw_put_int(w, "bytes", (int64_t)p->bytes_out);
    diary_end(&p->server->diary);
}

static void close_timer(struct peer *p)
{
    request_end(p);
    unlink_peer(p);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

/* Closes for good, from any state; the peer is freed by the loop. */
void peer_gone(struct peer *p)
{
    if (uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    if (p->service && p->state != PEER_LEAVING)
        note_end(p, "gone");
    close_timer(p);
    uv_close((uv_handle_t *)&p->tcp, on_closed);
}

void peer_reset(struct peer *p)
{
    if (uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    note_end(p, "reset");
    if (uv_tcp_close_reset(&p->tcp, on_closed) < 0)
        uv_close((uv_handle_t *)&p->tcp, on_closed);
    close_timer(p);
}

/* Our side ends behind what has been written; the client's may still send what is thrown away. */
void peer_leave(struct peer *p)
{
    uv_shutdown_t *shutdown;

    if (p->state == PEER_LEAVING)
        return;
    if (p->service)
        note_end(p, "closed");
    p->state = PEER_LEAVING;
    p->leave_by_ns = peer_now(p) + LEAVE_NS;
    shutdown = calloc(1, sizeof(*shutdown));
    if (!shutdown)
        abort();
    if (uv_shutdown(shutdown, (uv_stream_t *)&p->tcp, peer_on_shutdown) < 0)
        free(shutdown);
    peer_arm(p);
}

void peer_on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)status;
    free(shutdown);
}

void peer_close_all(struct server *server)
{
    while (server->peers)
        peer_gone(server->peers);
}

/* ---- requests ---- */

static void key_copy(struct peer *p, struct slice key)
{
    (void)slice_cstr(slice_trim(key), p->key, sizeof(p->key));
}

/* Vendors take keys in a header, in the query, or from browsers as a subprotocol. */
static void key_find(struct peer *p)
{
    const struct request *r = &p->request;
    struct slice rest, scheme;

    p->key[0] = '\0';
    scheme = slice_cut(request_header(r, "authorization"), ' ', &rest);
    if (scheme.len && rest.len)
        key_copy(p, rest);
    else if (p->service->bare_key && scheme.len)
        key_copy(p, scheme);
    else if (p->service->bare_key)
        (void)request_arg(r, "token", p->key, sizeof(p->key));
    else if (request_header(r, "x-api-key").len)
        key_copy(p, request_header(r, "x-api-key"));
    else if (request_header(r, "xi-api-key").len)
        key_copy(p, request_header(r, "xi-api-key"));
    else if (!request_arg(r, "api_key", p->key, sizeof(p->key))) {
        slice_cut(request_header(r, WS_PROTOCOL_HEADER), ',', &rest);
        key_copy(p, rest);
    }
}

static bool key_is_good(const struct peer *p)
{
    const struct text_list *keys = &p->server->settings->keys;

    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->at[i], p->key) == 0)
            return true;
    return keys->count == 0 && p->key[0];
}

/* What may be seen of the target: a key in the query is not. */
static void note_request(struct peer *p)
{
    struct jsonw *w = peer_note(p, "request");
    const struct request *r = &p->request;
    char store[TARGET_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct slice rest = r->query, name, value;
    char separator = '?';

    builder_slice_add(&b, r->path);
    while (http_arg_next(&rest, &name, &value)) {
        bool secret = http_arg_is(name, "api_key") || http_arg_is(name, "token");
        if (secret)
            value = SLICE("...");
        builder_printf(&b, "%c%.*s=%.*s", separator, SLICE_ARG(name), SLICE_ARG(value));
        separator = '&';
    }
    jsonw_put_str(w, "method", r->method);
    jsonw_put_str(w, "target", builder_slice(&b));
    jsonw_put_bool(w, "key", p->key[0]);
    if (slice_starts(request_header(r, "content-type"), SLICE("multipart/")))
        jsonw_put_int(w, "body_bytes", (int64_t)r->body.len);
    else if (r->body.len)
        diary_text(&p->server->diary, "body", r->body);
    diary_end(&p->server->diary);
}

static void upgrade(struct peer *p)
{
    uint8_t store[1024];
    struct builder b = builder_of(store, sizeof(store));
    struct slice rest, protocol = request_header(&p->request, WS_PROTOCOL_HEADER);

    ws_build_101(&b, request_header(&p->request, "sec-websocket-key"),
                 slice_trim(slice_cut(protocol, ',', &rest)));
    p->message = malloc(PEER_MESSAGE_MAX);
    if (!p->message)
        abort();
    ws_init(&p->ws, WS_SERVER, WS_TAKES_BOTH, p->message, PEER_MESSAGE_MAX);
    peer_put(p, peer_now(p), PEER_SHARED_TAG, PIECE_PLAIN, builder_slice(&b), SLICE_NONE);
    p->state = PEER_SOCKET;
}

/* The answer that is none of the service's: refused here. */
static uint16_t refuse_early(struct peer *p, const char **what)
{
    const struct service *s = p->service;

    if (p->fault && p->fault->kind == FAULT_STATUS) {
        *what = "as told to";
        return (uint16_t)p->fault->number;
    }
    if (!s->open && !key_is_good(p)) {
        *what = p->key[0] ? "this key is not known" : "no key was shown";
        return 401;
    }
    if (s->socket && request_header(&p->request, "sec-websocket-key").len != WS_KEY_CHARS) {
        *what = "no WebSocket key";
        return 400;
    }
    return s->check ? s->check(p, what) : 0;
}

static void request_begin(struct peer *p, const struct service *s, size_t index)
{
    struct server *server = p->server;
    const struct settings *settings = server->settings;

    p->service = s;
    p->number = ++server->requests[index];
    snprintf(p->request_id, sizeof(p->request_id), "req_%016" PRIx64, ++server->ids);
    p->context = calloc(1, s->state_bytes ? s->state_bytes : 1);
    if (!p->context)
        abort();
    key_find(p);
    note_request(p);
    p->fault = fault_pick(settings->faults, settings->fault_lines.count, s->name, p->number,
                          slice_of(p->in, p->request.used), &server->chance);
    if (p->fault && fault_begin(p))
        return; /* there is no answer */
    const char *what = "";
    uint16_t status = refuse_early(p, &what);
    if (status) {
        p->state = PEER_ANSWERING;
        p->close_after |= s->socket;
        peer_refuse(p, peer_now(p), status, what);
        return;
    }
    p->state = PEER_ANSWERING;
    if (s->socket)
        upgrade(p);
    s->begin(p);
}

static void answer_nobody(struct peer *p, uint16_t status)
{
    static const char body[] = "{\"error\":{\"message\":\"nothing here answers this\"}}";

    p->state = PEER_ANSWERING;
    p->close_after = true;
    peer_answer(p, peer_now(p), status, "application/json", "", slice_str(body));
}

static void request_take(struct peer *p)
{
    const struct request *r = &p->request;
    bool socket = slice_equal_nocase(request_header(r, "upgrade"), SLICE("websocket"));
    bool known;
    size_t index;
    const struct service *s = service_find(r, socket, &index, &known);

    p->close_after =
        r->minor0 || slice_equal_nocase(request_header(r, "connection"), SLICE("close"));
    if (s)
        request_begin(p, s, index);
    else
        answer_nobody(p, known ? 405 : 404);
}

static void continue_say(struct peer *p)
{
    if (p->continued || !p->request.head_bytes ||
        !slice_equal_nocase(request_header(&p->request, "expect"), SLICE("100-continue")))
        return;
    p->continued = true;
    peer_put(p, peer_now(p), PEER_SHARED_TAG, PIECE_PLAIN, SLICE("HTTP/1.1 100 Continue\r\n\r\n"),
             SLICE_NONE);
}

static void on_socket_bytes(struct peer *p, uint8_t *bytes, size_t len);

static void parse(struct peer *p)
{
    uint16_t status;

    if (p->in_len == 0)
        return;
    switch (request_read(&p->request, p->in, p->in_len, &status)) {
    case REQUEST_MORE:
        continue_say(p);
        break;
    case REQUEST_BAD:
        answer_nobody(p, status);
        break;
    case REQUEST_WHOLE:
        request_take(p);
        if (p->state == PEER_SOCKET) {
            size_t used = p->request.used;
            on_socket_bytes(p, p->in + used, p->in_len - used);
        }
        break;
    }
}

/* The answer has been written: on to the next request on this connection. */
void peer_next(struct peer *p)
{
    size_t used = p->request.used;

    if (p->service)
        note_end(p, "answered");
    request_end(p);
    if (p->close_after || used == 0) {
        peer_leave(p);
        return;
    }
    memmove(p->in, p->in + used, p->in_len - used);
    p->in_len -= used;
    p->request = (struct request){0};
    p->continued = false;
    p->state = PEER_READING;
    parse(p);
}

/* ---- what comes in ---- */

static void on_message(struct peer *p, const struct ws_event *ev)
{
    const struct settings *s = p->server->settings;
    bool text = ev->kind == WS_TEXT;

    if (text) {
        peer_note_text(p, "message", ev->data);
        const struct fault *f =
            fault_in_message(s->faults, s->fault_lines.count, p->service->name, ev->data);
        if (f && !p->fault) {
            p->fault = f;
            p->content_sent = 0;
            if (fault_begin(p))
                return;
        }
    }
    if (p->service->message)
        p->service->message(p, text, ev->data);
}

static void pong(struct peer *p, struct slice data)
{
    uint8_t store[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(store, sizeof(store));

    ws_encode(&b, WS_SERVER, WS_OP_PONG, data, 0);
    peer_put(p, peer_now(p), PEER_SHARED_TAG, PIECE_PLAIN, builder_slice(&b), SLICE_NONE);
}

static void on_socket_bytes(struct peer *p, uint8_t *bytes, size_t len)
{
    struct slice in = slice_of(bytes, len);
    struct ws_event ev;

    for (;;) {
        if (p->state != PEER_SOCKET || uv_is_closing((uv_handle_t *)&p->tcp))
            return;
        ws_decode(&p->ws, &in, &ev);
        switch (ev.kind) {
        case WS_MORE:
            return;
        case WS_TEXT:
        case WS_BINARY:
            on_message(p, &ev);
            break;
        case WS_PING:
            pong(p, ev.data);
            break;
        case WS_PONG:
            break;
        case WS_CLOSE:
            peer_note(p, "close");
            jsonw_put_int(&p->server->diary.w, "code", ev.code);
            diary_end(&p->server->diary);
            while (p->head)
                peer_drop(p, NULL);
            peer_close_socket(p, peer_now(p), ev.code, "");
            break;
        case WS_BAD:
            peer_note_text(p, "broken", slice_str(ev.what));
            peer_close_socket(p, peer_now(p), ev.code, ev.what);
            break;
        }
    }
}

static void keep(struct peer *p, const uint8_t *bytes, size_t len)
{
    size_t size = p->in_size ? p->in_size : IN_FIRST;

    while (size < p->in_len + len)
        size *= 2;
    if (size > p->in_size) {
        uint8_t *grown = realloc(p->in, size);
        if (!grown)
            abort();
        p->in = grown;
        p->in_size = size;
    }
    memcpy(p->in + p->in_len, bytes, len);
    p->in_len += len;
}

static void on_bytes(struct peer *p, uint8_t *bytes, size_t len)
{
    switch (p->state) {
    case PEER_LEAVING:
        break;
    case PEER_SOCKET:
        on_socket_bytes(p, bytes, len);
        break;
    case PEER_READING:
    case PEER_ANSWERING:
        if (p->in_len + len > IN_MAX) {
            peer_gone(p);
            break;
        }
        keep(p, bytes, len);
        if (p->state == PEER_READING)
            parse(p);
        break;
    }
}

static void on_room(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    static char room[65536]; /* one loop, and what is read is used up at once */
    (void)handle;
    (void)hint;

    *out = uv_buf_init(room, sizeof(room));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *in)
{
    struct peer *p = stream->data;

    if (len < 0)
        peer_gone(p);
    else if (len > 0)
        on_bytes(p, (uint8_t *)in->base, (size_t)len);
    if (!uv_is_closing((uv_handle_t *)&p->tcp))
        peer_flush(p);
}

void peer_accept(struct server *server)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (!p)
        abort();
    p->server = server;
    p->id = ++server->peers_ever;
    p->wake_ns = NEVER_NS;
    uv_tcp_init(server->loop, &p->tcp);
    uv_timer_init(server->loop, &p->timer);
    p->tcp.data = p->timer.data = p;
    p->handles = 2;
    p->next = server->peers;
    if (p->next)
        p->next->previous = p;
    server->peers = p;
    server->peer_count++;
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&p->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&p->tcp, on_room, on_read) < 0) {
        peer_gone(p);
        return;
    }
    uv_tcp_nodelay(&p->tcp, 1);
}
