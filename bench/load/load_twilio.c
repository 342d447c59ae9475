/* Twilio-protocol callers: the upgrade, the stream's messages, and a carrier's play-out buffer as
 * far as the marks need one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/load/load.h"

#define ACCOUNT       "AC00000000000000000000000000000000"
#define RECEIVE_BYTES 65536

static uint32_t mask_key(struct load_stream *s)
{
    return (uint32_t)(rand_u64(&s->rand) >> 32);
}

/* Sends what waits, then this; what the socket does not take waits. */
static void put(struct load *l, struct load_call *c, struct slice bytes)
{
    struct load_stream *s = c->stream;
    ssize_t n = 0;

    if (s->unsent_len) {
        n = send(c->fd, s->unsent, s->unsent_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            s->unsent_len -= (size_t)n;
            memmove(s->unsent, s->unsent + n, s->unsent_len);
        }
    }
    n = 0;
    if (!s->unsent_len && bytes.len) {
        n = send(c->fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
            call_end(l, c, "the connection was cut");
            return;
        }
        n = n > 0 ? n : 0;
    }
    size_t left = bytes.len - (size_t)n;
    if (left > sizeof(s->unsent) - s->unsent_len) {
        call_end(l, c, "the server does not read");
        return;
    }
    if (left)
        memcpy(s->unsent + s->unsent_len, bytes.at + n, left);
    s->unsent_len += left;
}

static void put_text(struct load *l, struct load_call *c, const struct builder *text)
{
    uint8_t store[2048];
    struct builder b = builder_of(store, sizeof(store));

    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, builder_slice(text), mask_key(c->stream));
    if (text->bad || b.bad)
        call_end(l, c, "a message of ours is too long");
    else
        put(l, c, builder_slice(&b));
}

void twilio_begin(struct load *l, struct load_call *c)
{
    uint8_t random[16], store[2048];
    struct builder b = builder_of(store, sizeof(store));
    struct load_stream *s = c->stream = calloc(1, sizeof(*s));

    if (!s)
        abort();
    s->rand.state = l->options->seed * 1000003 + c->index +
                    (uint64_t)c->generation * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)rand_below(&s->rand, 256);
    ws_key(random, s->key);
    snprintf(s->stream_id, sizeof(s->stream_id), "MZ%016llx%016llx",
             (unsigned long long)rand_u64(&s->rand), (unsigned long long)rand_u64(&s->rand));
    snprintf(s->call_id, sizeof(s->call_id), "CA%016llx%016llx",
             (unsigned long long)rand_u64(&s->rand), (unsigned long long)rand_u64(&s->rand));
    twilio_caller_init(&s->twilio, s->stream_id, s->call_id, ACCOUNT, l->options->agent, NULL);
    ws_build_request(&b, slice_str(l->options->media.authority),
                     slice_str(l->options->media.target), s->key, SLICE_NONE);
    c->fd = stream_connect(&l->options->media);
    if (c->fd >= 0)
        setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    if (b.bad || c->fd < 0 || call_watch(l, c, c->fd) < 0) {
        call_end(l, c, "no socket for the call");
        return;
    }
    memcpy(s->unsent, store, b.len); /* leaves when the connection is there */
    s->unsent_len = b.len;
}

/* ---- what goes out ---- */

static void play_marks(struct load *l, struct load_call *c, int64_t until_ns)
{
    struct load_stream *s = c->stream;
    uint8_t store[512];

    while (s && s->mark_count && s->marks[s->mark_first].due_ns <= until_ns) {
        struct builder b = builder_of(store, sizeof(store));
        twilio_caller_mark(&s->twilio, s->marks[s->mark_first].name, &b);
        s->mark_first = (s->mark_first + 1) % LOAD_MARKS_MAX;
        s->mark_count--;
        put_text(l, c, &b);
        s = c->stream; /* gone if the call ended with it */
    }
}

void twilio_send_frame(struct load *l, struct load_call *c)
{
    uint8_t store[1024];
    struct builder b = builder_of(store, sizeof(store));
    const uint8_t *said = call_say(l, c);

    play_marks(l, c, l->now_ns);
    if (!c->stream)
        return;
    twilio_caller_media(&c->stream->twilio, c->frame * 20, slice_of(said, CORPUS_FRAME_BYTES), &b);
    put_text(l, c, &b);
}

void twilio_bye(struct load *l, struct load_call *c)
{
    uint8_t store[512], close_frame[32];
    struct builder b = builder_of(store, sizeof(store));
    struct builder f = builder_of(close_frame, sizeof(close_frame));

    twilio_caller_stop(&c->stream->twilio, &b);
    put_text(l, c, &b);
    if (!c->stream)
        return;
    ws_encode_close(&f, WS_CLIENT, WS_CLOSE_NORMAL, SLICE_NONE, mask_key(c->stream));
    put(l, c, builder_slice(&f));
}

/* ---- what comes in ---- */

/* Speech is owed from its first packet on, as long as it goes on. */
static void take_media(struct load *l, struct load_call *c, struct slice code)
{
    struct load_stream *s = c->stream;
    int64_t at_ns = l->heard_ns, ms = (int64_t)code.len / 8;

    if (s->played_ns < at_ns)
        listen_dry(&c->listen);
    struct listen_result r = call_hear(l, c, code, at_ns);

    l->window->received++;
    s->played_ns = (s->played_ns > at_ns ? s->played_ns : at_ns) + MS(ms);
    if (!r.voiced)
        return;
    if (!r.continued) {
        listen_reschedule(&c->listen);
        s->position_ms = 0;
    }
    call_slot(l, c, s->position_ms, at_ns);
    s->position_ms += ms;
    talk_heard(&c->talk, &l->options->talk, s->played_ns); /* not before it is played */
}

static void take_mark(struct load *l, struct load_call *c, const char *name)
{
    struct load_stream *s = c->stream;

    if (s->mark_count == LOAD_MARKS_MAX || strlen(name) >= LOAD_MARK_BYTES) {
        call_fault(l, c, "marks that are too many or too long");
        return;
    }
    struct load_mark *m = &s->marks[(s->mark_first + s->mark_count++) % LOAD_MARKS_MAX];
    memcpy(m->name, name, strlen(name) + 1);
    m->due_ns = s->played_ns;
}

static void take_message(struct load *l, struct load_call *c, struct slice text)
{
    uint8_t audio[LOAD_MESSAGE_BYTES];
    struct twilio_heard heard;

    twilio_caller_parse(&c->stream->twilio, text, audio, sizeof(audio), &heard);
    switch (heard.kind) {
    case TWILIO_HEARD_MEDIA:
        take_media(l, c, heard.audio);
        break;
    case TWILIO_HEARD_MARK:
        take_mark(l, c, heard.mark);
        break;
    case TWILIO_HEARD_CLEAR:
        c->stream->played_ns = l->now_ns;
        listen_silence(&c->listen); /* what was dropped may come again, or never */
        play_marks(l, c, INT64_MAX);
        break;
    case TWILIO_HEARD_OTHER:
    case TWILIO_HEARD_BAD:
        call_fault(l, c, heard.what);
        break;
    }
}

static void take_frames(struct load *l, struct load_call *c, struct slice in)
{
    struct ws_event ev;
    uint8_t store[256];

    /* ends: each round uses up input, or says WS_MORE when there is none */
    while (c->state == LOAD_LIVE) {
        ws_decode(&c->stream->ws, &in, &ev);
        if (ev.kind == WS_MORE)
            return;
        if (ev.kind == WS_TEXT) {
            take_message(l, c, ev.data);
        } else if (ev.kind == WS_PING) {
            struct builder b = builder_of(store, sizeof(store));
            ws_encode(&b, WS_CLIENT, WS_OP_PONG, ev.data, mask_key(c->stream));
            put(l, c, builder_slice(&b));
        } else if (ev.kind == WS_CLOSE) {
            call_end(l, c, "the server hung up");
        } else if (ev.kind == WS_BAD) {
            call_end(l, c, ev.what);
        }
    }
}

static void go_live(struct load *l, struct load_call *c, struct slice rest)
{
    struct load_stream *s = c->stream;
    uint8_t store[1024], copy[LOAD_MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    /* what came behind the answer lies where messages are going to be put together */
    memcpy(copy, rest.at, rest.len);
    ws_init(&s->ws, WS_CLIENT, WS_TAKES_TEXT, s->message, sizeof(s->message));
    call_live(l, c);
    twilio_caller_connected(&b);
    put_text(l, c, &b);
    if (c->state != LOAD_LIVE)
        return;
    b = builder_of(store, sizeof(store));
    twilio_caller_start(&s->twilio, &b);
    put_text(l, c, &b);
    take_frames(l, c, slice_of(copy, rest.len));
}

static void take_answer(struct load *l, struct load_call *c, struct slice in)
{
    struct load_stream *s = c->stream;
    struct http_head head = {0};
    const char *what;

    if (in.len > sizeof(s->message) - s->answer_len) {
        call_end(l, c, "the answer to the upgrade is too long");
        return;
    }
    memcpy(s->message + s->answer_len, in.at, in.len);
    s->answer_len += in.len;
    struct http_result got = http_response(&head, slice_of(s->message, s->answer_len));
    if (got.outcome == HTTP_MORE)
        return;
    if (got.outcome == HTTP_BAD)
        call_end(l, c, "the answer to the upgrade is no HTTP");
    else if (head.status == 503)
        call_refused(l, c, l->heard_ns);
    else if (ws_check_response(&head, s->key, SLICE_NONE, &what) < 0)
        call_end(l, c, what);
    else
        go_live(l, c, slice_of(s->message + got.used, s->answer_len - got.used));
}

/* Reads what there is, with the kernel's time of its last byte in l->heard_ns. */
static ssize_t receive(struct load *l, int fd, uint8_t *in)
{
    _Alignas(8) uint8_t control[64];
    struct iovec room = {in, RECEIVE_BYTES};
    struct msghdr m = {.msg_iov = &room,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
    int64_t at_ns = n > 0 ? trunk_arrival_ns(&m) : 0;

    l->heard_ns = at_ns ? at_ns - l->wall_offset_ns : l->now_ns;
    return n;
}

void twilio_take(struct load *l, struct load_call *c)
{
    static uint8_t in[RECEIVE_BYTES];
    ssize_t n = RECEIVE_BYTES;

    if (c->stream && c->stream->unsent_len)
        put(l, c, SLICE_NONE);
    /* ends: the socket has nothing more, which a short read says too, or the call is over */
    while (n == RECEIVE_BYTES && (c->state == LOAD_ASKING || c->state == LOAD_LIVE)) {
        n = receive(l, c->fd, in);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            call_end(l, c, n ? "the connection was cut" : "the server closed the connection");
        else if (c->state == LOAD_ASKING)
            take_answer(l, c, slice_of(in, (size_t)n));
        else
            take_frames(l, c, slice_of(in, (size_t)n));
    }
}
