/* RTP callers: POST /calls without waiting for it, then packets over the trunk. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "bench/load/load.h"
#include "media/rtcp.h"

#define GAP_MAX 3000 /* packets; beyond, the stream starts afresh */

int stream_connect(const struct url *u)
{
    struct address a;
    struct sockaddr_storage raw;
    int on = 1;

    if (address_parse(slice_str(u->authority), true, &a) < 0)
        return -1;
    socklen_t len = address_to_sockaddr(&a, &raw);
    int fd = socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* One that paces (BBR) sets a timer for each packet, which is the harness's cost alone. */
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (connect(fd, (struct sockaddr *)&raw, len) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void go_live(struct load *l, struct load_call *c, const struct address *peer)
{
    struct rand r = {l->options->seed + c->index};

    trunk_claim(&l->trunk, c->index, peer, &c->peer);
    rtp_send_init(&c->out, (uint32_t)rand_u64(&r), (uint16_t)rand_u64(&r), (uint32_t)rand_u64(&r));
    call_live(l, c);
}

void rtp_begin(struct load *l, struct load_call *c)
{
    const struct address *local = &l->trunk.local[trunk_socket(c->index)];

    c->stream = calloc(1, sizeof(*c->stream));
    if (!c->stream)
        abort();
    c->ask_fd = stream_connect(&l->options->api);
    if (c->ask_fd < 0 || call_watch(l, c, c->ask_fd) < 0) {
        call_end(l, c, "no socket for the call");
        return;
    }
    char peer[ADDRESS_TEXT_BYTES], body[256];
    struct builder b = builder_of(c->stream->unsent, sizeof(c->stream->unsent));
    address_text(local, peer);
    snprintf(body, sizeof(body), "{\"agent\":\"%s\",\"rtp\":{\"peer\":\"%s\",\"codec\":\"%s\"}}",
             l->options->agent, peer, l->options->alaw ? "PCMA" : "PCMU");
    builder_printf(&b,
                   "POST /calls HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   l->options->api.authority, strlen(body), body);
    c->stream->unsent_len = b.len;
}

/* The address in the answer's body: where our packets go. */
static bool take_body(struct slice body, struct address *peer)
{
    struct json_doc doc;

    if (json_read(&doc, body, LOAD_MESSAGE_BYTES, NULL) < 0)
        return false;
    bool good = address_parse(json_slice_of(&doc, "rtp.local"), true, peer) == 0;
    json_free(&doc);
    return good;
}

static void take_answer(struct load *l, struct load_call *c, bool ended)
{
    struct load_stream *s = c->stream;
    struct http_head head = {0};
    struct address peer;
    struct http_result got = http_response(&head, slice_of(s->message, s->answer_len));

    if (got.outcome == HTTP_MORE && !ended)
        return;
    if (got.outcome == HTTP_OK && !ended && s->answer_len - got.used < head.content_length)
        return;
    if (got.outcome != HTTP_OK)
        call_end(l, c, "the answer to POST /calls is not understood");
    else if (head.status == 503)
        call_refused(l, c, l->now_ns);
    else if (head.status != 201)
        call_end(l, c, "refused");
    else if (!take_body(slice_of(s->message + got.used, s->answer_len - got.used), &peer))
        call_end(l, c, "the answer to POST /calls names no RTP address");
    else {
        close(c->ask_fd);
        c->ask_fd = -1;
        free(c->stream);
        c->stream = NULL;
        go_live(l, c, &peer);
    }
}

void rtp_answer(struct load *l, struct load_call *c)
{
    struct load_stream *s = c->stream;

    if (s->unsent_len) {
        ssize_t n = send(c->ask_fd, s->unsent, s->unsent_len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            call_end(l, c, "nobody answers at the API's address");
            return;
        }
        if (n > 0) {
            s->unsent_len -= (size_t)n;
            memmove(s->unsent, s->unsent + n, s->unsent_len);
        }
    }
    ssize_t n;
    /* ends: the buffer fills up, or the socket has nothing more */
    while ((n = recv(c->ask_fd, s->message + s->answer_len, sizeof(s->message) - s->answer_len,
                     0)) > 0)
        s->answer_len += (size_t)n;
    if (n == 0 || errno == EAGAIN)
        take_answer(l, c, n == 0);
    else
        call_end(l, c, "the API cut the connection");
}

/* ---- media ---- */

void rtp_send_frame(struct load *l, struct load_call *c)
{
    uint8_t store[RTP_HEADER_BYTES + CORPUS_FRAME_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    const uint8_t *said = call_say(l, c);
    uint32_t stamp = rtp_send_timestamp(&c->out, (int64_t)c->frame * CORPUS_FRAME_BYTES);

    if (rtp_send_packet(&c->out, &b, l->options->alaw ? RTP_PT_PCMA : RTP_PT_PCMU, c->frame == 0,
                        stamp, slice_of(said, CORPUS_FRAME_BYTES)) < 0)
        return;
    trunk_send(&l->trunk, c->index, &c->peer, builder_slice(&b));
    c->sent_ns = l->now_ns;
}

/* From the caller's packet to the next one of the server's, which knows nothing of the other: how
 * long the way through the server is. */
static void note_wire(struct load *l, const struct load_call *c, int64_t at_ns)
{
    int64_t took_ns = at_ns - c->sent_ns;

    if (took_ns < 0) /* it came before that packet left, and was looked at after */
        took_ns += LOAD_PERIOD_NS;
    if (c->sent_ns)
        histogram_add(&l->window->wire, took_ns);
}

/* Moves the call's own time line on by what the timestamp says; packets that never came, and time
 * that the server skipped, are missing slots. */
static void follow(struct load *l, struct load_call *c, const struct rtp_packet *p)
{
    uint16_t ahead = (uint16_t)(p->seq - c->seq);
    uint32_t units = p->timestamp - c->stamp;

    if (!c->heard || ahead > GAP_MAX || units > GAP_MAX * CORPUS_FRAME_BYTES) {
        listen_silence(&c->listen);
        listen_reschedule(&c->listen);
        c->media_ms = 0;
    } else {
        uint32_t slots = units / CORPUS_FRAME_BYTES;
        c->media_ms += units / 8;
        if (slots > 1) {
            l->window->missing += slots - 1;
            l->window->slots += slots - 1;
        }
        if (ahead != 1)
            listen_silence(&c->listen);
    }
    c->heard = true;
    c->seq = p->seq;
    c->stamp = p->timestamp;
}

void rtp_take(struct load *l, struct load_call *c, struct slice in, int64_t at_ns)
{
    struct rtp_packet p;
    struct rtcp_in control;

    if (rtp_kind(in) == RTP_KIND_RTCP) {
        if (rtcp_parse(in, c->out.ssrc, &control) == 0 && control.bye)
            call_end(l, c, "the server hung up");
        return;
    }
    if (rtp_parse(in, &p) < 0) {
        call_fault(l, c, "a packet is no RTP");
        return;
    }
    if (c->heard && (uint16_t)(c->seq - p.seq) < GAP_MAX)
        return; /* a late or doubled one: its slot was counted as missing */
    l->window->received++;
    note_wire(l, c, at_ns);
    follow(l, c, &p);
    call_slot(l, c, c->media_ms, at_ns);
    call_hear(l, c, p.payload, at_ns);
}

void rtp_bye(struct load *l, struct load_call *c)
{
    uint8_t store[256];
    struct builder b = builder_of(store, sizeof(store));
    const struct rtcp_out bye = {.ssrc = c->out.ssrc, .cname = SLICE("load"), .bye = true};

    if (rtcp_build(&b, &bye) == 0)
        trunk_send(&l->trunk, c->index, &c->peer, builder_slice(&b));
}
