#include "net/ws_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct ws_client *ws_client_new(struct actor *a, uint32_t timer_tag)
{
    struct ws_client *c = malloc(sizeof(*c));

    if (!c)
        return NULL;
    memset(c, 0, offsetof(struct ws_client, request));
    c->actor = a;
    c->timer_tag = timer_tag;
    return c;
}

static void timer_at(struct ws_client *c, int64_t after_ns)
{
    actor_timer_set(c->actor, &c->timer, c->timer_tag, shard_now(c->actor->shard) + after_ns);
}

static void drop(struct ws_client *c, bool flush)
{
    actor_timer_cancel(c->actor, &c->timer);
    stream_close(&c->stream, c->actor, flush);
    c->state = WS_CLIENT_OFF;
    c->in = SLICE_NONE;
}

void ws_client_free(struct ws_client **c_at)
{
    struct ws_client *c = *c_at;

    if (!c)
        return;
    drop(c, false);
    free(c);
    *c_at = NULL;
}

/* The first end counts; it is told by ws_client_next(). */
static void end(struct ws_client *c, int err, int32_t status, const char *what)
{
    if (c->ended || c->state == WS_CLIENT_OFF)
        return;
    c->ended = true;
    c->err = err;
    c->status = status;
    snprintf(c->what, sizeof(c->what), "%s", what);
    drop(c, err == 0 || c->said_close);
}

/* ---- sending ---- */

static uint32_t mask_key(struct ws_client *c)
{
    return (uint32_t)rand_u64(shard_rand(c->actor->shard));
}

static void say_close(struct ws_client *c, uint16_t code, const char *why)
{
    uint8_t bytes[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));

    if (c->said_close || !c->stream.ready)
        return;
    c->said_close = true;
    ws_encode_close(&b, WS_CLIENT, code, slice_str(why), mask_key(c));
    if (stream_send(&c->stream, c->actor, builder_slice(&b)))
        c->said_close = false; /* then it ends without */
}

static void send_control(struct ws_client *c, enum ws_opcode op, struct slice payload)
{
    uint8_t bytes[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_CLIENT, op, payload, mask_key(c));
    if (stream_send(&c->stream, c->actor, builder_slice(&b)))
        end(c, ENOBUFS, 0, "it does not read its socket");
}

int ws_client_send(struct ws_client *c, bool text, struct slice payload)
{
    struct builder b = builder_of(c->out, sizeof(c->out));

    if (c->state != WS_CLIENT_OPEN)
        return -ENOTCONN;
    if (payload.len > WS_CLIENT_SEND_BYTES)
        return -EMSGSIZE;
    if (ws_client_waiting(c) >= WS_SEND_QUEUE_MAX)
        return -ENOBUFS;
    ws_encode(&b, WS_CLIENT, text ? WS_OP_TEXT : WS_OP_BINARY, payload, mask_key(c));
    int err = stream_send(&c->stream, c->actor, builder_slice(&b));
    if (err) /* part of it may be with TLS: there is no going on */
        end(c, -err, 0, "nothing more can be sent to it");
    return err;
}

uint32_t ws_client_waiting(const struct ws_client *c)
{
    return stream_waiting(&c->stream, c->actor);
}

void ws_client_pause(struct ws_client *c, bool pause)
{
    struct io *io = shard_io(c->actor->shard);

    if (c->stream.id != IO_NONE)
        io->ops->stream_pause(io, c->stream.id, pause);
}

void ws_client_close(struct ws_client *c, uint16_t code)
{
    if (c->state == WS_CLIENT_OFF) {
        c->ended = false;
        return;
    }
    if (c->state == WS_CLIENT_OPEN)
        say_close(c, code, "");
    c->ended = false;
    drop(c, c->said_close);
}

/* ---- opening ---- */

static int build_request(struct ws_client *c, const struct url *url, struct slice head)
{
    struct builder b = builder_of(c->request, sizeof(c->request));
    uint64_t random[2] = {rand_u64(shard_rand(c->actor->shard)),
                          rand_u64(shard_rand(c->actor->shard))};

    if (head.len > WS_CLIENT_HEAD_BYTES)
        return -EMSGSIZE;
    ws_key((const uint8_t *)random, c->key);
    ws_build_request(&b, slice_str(url->authority), slice_str(url->target), c->key, head);
    c->request_len = b.len;
    return b.bad ? -EINVAL : 0;
}

/* Lines as HTTP has them, so that nothing of a setting can begin a line of its own. */
static bool head_valid(struct slice head)
{
    while (head.len) {
        struct slice line = slice_cut(head, '\n', &head);
        if (line.len < 2 || line.at[line.len - 1] != '\r' || line.at[0] == ':' ||
            !memchr(line.at, ':', line.len))
            return false;
        for (size_t i = 0; i + 1 < line.len; i++)
            if (line.at[i] < ' ' || line.at[i] == 0x7F)
                return false;
    }
    return true;
}

static struct tls *secure(const struct url *url, struct tls_context *context)
{
    return url_secure(url) ? tls_new(context, url->host, url_port(url)) : NULL;
}

int ws_client_open(struct ws_client *c, const struct url *url, struct slice head,
                   const struct address *to, struct tls_context *context)
{
    struct tls *tls;
    io_id id;

    if (c->state != WS_CLIENT_OFF || !head_valid(head))
        return -EINVAL;
    if (url_secure(url) && !context)
        return -ENOTSUP;
    int err = build_request(c, url, head);
    if (err)
        return err;
    tls = secure(url, context);
    if (url_secure(url) && !tls)
        return -ENOMEM;
    err = actor_connect(c->actor, to, &id);
    if (err) {
        tls_free(&tls);
        return err;
    }
    stream_init(&c->stream, id, tls);
    c->stream.ready = false; /* not before it is connected */
    ws_init(&c->ws, WS_CLIENT, WS_TAKES_BOTH, c->message, sizeof(c->message));
    memset(&c->head, 0, sizeof(c->head));
    c->answer_len = 0;
    c->pings = 0;
    c->said_close = c->told = c->ended = false;
    c->in = SLICE_NONE;
    c->state = WS_CLIENT_CONNECTING;
    timer_at(c, WS_CLIENT_CONNECT_NS);
    return 0;
}

static void ask(struct ws_client *c)
{
    c->state = WS_CLIENT_UPGRADING;
    if (stream_send(&c->stream, c->actor, slice_of(c->request, c->request_len)))
        end(c, EPROTO, 0, stream_what(&c->stream));
    memset(c->request, 0, c->request_len); /* it held a key */
}

static void on_connected(struct ws_client *c, int err)
{
    if (err) {
        stream_gone(&c->stream);
        end(c, err, 0, strerror(err));
        return;
    }
    if (!c->stream.tls) {
        c->stream.ready = true;
        ask(c);
        return;
    }
    c->state = WS_CLIENT_SECURING;
    if (stream_begin(&c->stream, c->actor))
        end(c, EPROTO, 0, stream_what(&c->stream));
}

/* The upgrade's answer. What lies behind its head is the first frames. */
static void on_answer(struct ws_client *c, struct slice plain)
{
    const char *what = "";
    struct http_result r;

    if (plain.len > sizeof(c->answer) - c->answer_len) {
        end(c, EMSGSIZE, 0, "the answer to the upgrade is too large");
        return;
    }
    memcpy(c->answer + c->answer_len, plain.at, plain.len);
    c->answer_len += plain.len;
    r = http_response(&c->head, slice_of(c->answer, c->answer_len));
    if (r.outcome == HTTP_MORE)
        return;
    if (r.outcome == HTTP_BAD) {
        end(c, EPROTO, 0, r.what);
        return;
    }
    if (ws_check_response(&c->head, c->key, SLICE_NONE, &what)) {
        end(c, EPROTO, c->head.status == 101 ? 0 : c->head.status, what);
        return;
    }
    c->state = WS_CLIENT_OPEN;
    c->in = slice_of(c->answer + r.used, c->answer_len - r.used);
    timer_at(c, WS_CLIENT_PING_NS);
}

/* ---- what comes ---- */

static void on_timer(struct ws_client *c)
{
    if (c->state != WS_CLIENT_OPEN) {
        end(c, ETIMEDOUT, 0, "it took too long to connect");
        return;
    }
    if (++c->pings > WS_CLIENT_PINGS_LOST) {
        end(c, ETIMEDOUT, 0, "it answers no pings");
        return;
    }
    timer_at(c, WS_CLIENT_PING_NS);
    send_control(c, WS_OP_PING, SLICE_NONE);
}

static void on_data(struct ws_client *c, struct slice received)
{
    int err = stream_feed(&c->stream, c->actor, received);

    if (err)
        end(c, -err, 0, stream_what(&c->stream));
    else if (c->state == WS_CLIENT_SECURING && c->stream.ready)
        ask(c);
}

bool ws_client_takes(struct ws_client *c, const struct msg *m)
{
    bool timer = m->type == MSG_TIMER && msg_body(m, timer_msg)->tag == c->timer_tag;
    bool io = m->type == MSG_CONNECTED || m->type == MSG_DATA || m->type == MSG_SENT ||
              m->type == MSG_CLOSED;

    if (timer && c->state != WS_CLIENT_OFF)
        on_timer(c);
    if (!io || c->stream.id == IO_NONE || msg_body(m, io_msg)->id != c->stream.id)
        return timer;
    if (m->type == MSG_CONNECTED) {
        on_connected(c, msg_body(m, io_msg)->err);
    } else if (m->type == MSG_DATA) {
        on_data(c, shard_received(c->actor->shard));
    } else if (m->type == MSG_CLOSED) {
        int err = msg_body(m, io_msg)->err;
        stream_gone(&c->stream);
        end(c, err ? err : ECONNRESET, c->state == WS_CLIENT_OPEN ? WS_CLOSE_ABNORMAL : 0,
            err ? strerror(err) : "it ended the connection");
    }
    return true;
}

/* ---- events ---- */

static void on_close(struct ws_client *c, const struct ws_event *ev)
{
    char what[96];
    uint16_t code = ev->code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : ev->code;

    snprintf(what, sizeof(what), "%s%.*s", ev->data.len ? "it closed: " : "it closed",
             (int)(ev->data.len < 64 ? ev->data.len : 64),
             ev->data.len ? (const char *)ev->data.at : "");
    say_close(c, code, "");
    end(c, 0, ev->code, what);
}

/* True when the decoded frame is a message for the owner. */
static bool on_frame(struct ws_client *c, const struct ws_event *frame, struct ws_client_event *ev)
{
    switch (frame->kind) {
    case WS_TEXT:
    case WS_BINARY:
        c->pings = 0;
        *ev = (struct ws_client_event){
            .kind = WS_CLIENT_MESSAGE, .text = frame->kind == WS_TEXT, .data = frame->data};
        return true;
    case WS_PING:
        send_control(c, WS_OP_PONG, frame->data);
        return false;
    case WS_PONG:
        c->pings = 0;
        return false;
    case WS_CLOSE:
        on_close(c, frame);
        return false;
    case WS_BAD:
        say_close(c, frame->code, frame->what);
        end(c, EPROTO, frame->code, frame->what);
        return false;
    case WS_MORE:
        break;
    }
    return false;
}

/* More plain bytes into c->in; false when there are none. */
static bool refill(struct ws_client *c)
{
    struct slice plain;
    int rc = stream_next(&c->stream, c->actor, c->plain, sizeof(c->plain), &plain);

    if (rc < 0)
        end(c, -rc, c->state == WS_CLIENT_OPEN ? WS_CLOSE_ABNORMAL : 0,
            rc == -ECONNRESET ? "it ended the connection" : stream_what(&c->stream));
    if (rc <= 0)
        return false;
    if (c->state == WS_CLIENT_UPGRADING)
        on_answer(c, plain);
    else
        c->in = plain;
    return true;
}

static bool tell_end(struct ws_client *c, struct ws_client_event *ev)
{
    if (!c->ended)
        return false;
    c->ended = false;
    *ev = (struct ws_client_event){
        .kind = WS_CLIENT_CLOSED, .status = c->status, .err = c->err, .what = c->what};
    return true;
}

static bool tell_opened(struct ws_client *c, struct ws_client_event *ev)
{
    if (c->state != WS_CLIENT_OPEN || c->told)
        return false;
    c->told = true;
    *ev = (struct ws_client_event){.kind = WS_CLIENT_OPENED};
    return true;
}

bool ws_client_next(struct ws_client *c, struct ws_client_event *ev)
{
    struct ws_event frame;

    /* ends: each round uses up input, or there is none */
    while (c->state != WS_CLIENT_OFF) {
        if (tell_opened(c, ev))
            return true;
        if (c->state == WS_CLIENT_OPEN && c->in.len) {
            ws_decode(&c->ws, &c->in, &frame);
            if (on_frame(c, &frame, ev))
                return true;
        } else if (!refill(c)) {
            break;
        }
    }
    return tell_end(c, ev);
}
