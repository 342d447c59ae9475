/* A leg over a carrier's media WebSocket: the door gives it the upgraded socket; it learns from the
 * first messages which dialect is spoken and who calls, asks to be admitted, and from then on turns
 * the dialect's messages into audio, digits and marks, and speech into messages. Child of the
 * switchboard until its call adopts it.
 *
 *   OPENING ── start message ──▶ ADMITTING ── admitted ──▶ ARRIVED ── LEG_PEERS ──▶ LIVE ──▶
 * CLOSING
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/leg.h"
#include "actors/call/turn.h"
#include "actors/text.h"
#include "base/metrics.h"
#include "carrier/carrier.h"
#include "media/g711.h"
#include "net/stream.h"
#include "net/websocket.h"

#define UNKNOWN_TAG   1u
#define PING_TAG      2u
#define MESSAGE_BYTES 8192 /* largest message taken; beyond it 1009 */
#define AUDIO_BYTES   4096
#define OUT_BYTES     2048 /* of a message that we send: 20 ms of 16 kHz as base64 are 1 KB */
#define PING_NS       SECONDS(20)
#define PINGS_LOST    2

enum state { OPENING, ADMITTING, ARRIVED, LIVE, CLOSING };

static const char *const state_names[] = {
    [OPENING] = "opening", [ADMITTING] = "admitting", [ARRIVED] = "arrived",
    [LIVE] = "live",       [CLOSING] = "closing",
};

/* What each message touches comes first, up to the cold part of the leg's playout. */
struct leg_websocket {
    struct actor actor;
    enum state state;
    struct stream stream;
    uint32_t agent;   /* 0: not known yet */
    bool token_given; /* at the door, and it was good */
    bool closed;      /* our close frame is out: nothing may follow it */
    uint32_t pings;   /* without a pong */
    uint64_t messages;
    struct ws ws;
    struct carrier carrier;
    struct leg leg;
    enum carrier_path path;
    char name[AGENT_NAME_BYTES];
    struct carrier_start who;
    struct actor_timer deadline;
};

static struct leg_websocket *of_leg(struct leg *leg)
{
    return container_of(leg, struct leg_websocket, leg);
}

static void leg_enter(struct leg_websocket *l, enum state next)
{
    if (call_check(&l->actor, next > l->state)) /* only ever forward */
        l->state = next;
}

/* ---- sending ---- */

/* Takes a frame to the socket; a peer that does not read is closed. */
static void send_ref(struct leg_websocket *l, frame_ref take)
{
    int err = stream_send_frame(&l->stream, &l->actor, take);

    if (err == -ENOBUFS)
        actor_stop_self(&l->actor, REASON(ENOBUFS, "the peer does not read its socket"));
}

/* A control frame. */
static void send_control(struct leg_websocket *l, enum ws_opcode op, struct slice payload)
{
    uint8_t bytes[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_SERVER, op, payload, 0);
    frame_ref ref = frame_chain(shard_pool(l->actor.shard), builder_slice(&b));
    if (ref != FRAME_NONE)
        send_ref(l, ref);
}

/* Room for a message, with what stands before it on the wire. */
static struct builder message_in(uint8_t *bytes, size_t size)
{
    return builder_of(bytes + WS_FRAME_HEAD_MAX, size - WS_FRAME_HEAD_MAX);
}

/* `b` is of message_in(). */
static void send_message(struct leg_websocket *l, const struct builder *b, bool binary)
{
    frame_ref ref;

    if (!call_check(&l->actor, !b->bad))
        return;
    struct slice frame = ws_seal(b->at, b->len, WS_SERVER, binary ? WS_OP_BINARY : WS_OP_TEXT, 0);
    ref = frame_chain(shard_pool(l->actor.shard), frame);
    if (ref != FRAME_NONE)
        send_ref(l, ref);
}

static void encode(const struct leg_websocket *l, uint8_t *code, const int16_t *pcm, size_t n)
{
    switch (l->who.encoding) {
    case CARRIER_MULAW8:
        g711_mulaw_encode(code, pcm, n);
        return;
    case CARRIER_ALAW8:
        g711_alaw_encode(code, pcm, n);
        return;
    case CARRIER_L16:
        memcpy(code, pcm, n * sizeof(int16_t));
        return;
    }
}

static size_t sample_bytes(const struct leg_websocket *l)
{
    return l->who.encoding == CARRIER_L16 ? 2 : 1;
}

static void send_packet(struct leg *leg, const int16_t *pcm, const struct playout_packet *packet)
{
    struct leg_websocket *l = of_leg(leg);
    uint8_t code[LEG_PACKET_SAMPLES_MAX * 2], message[OUT_BYTES];
    struct builder b = message_in(message, sizeof(message));

    metrics_add(METRIC_WS_MESSAGES_OUT, 1);
    metrics_add(METRIC_WS_BYTES_OUT, packet->samples * sample_bytes(l));
    encode(l, code, pcm, packet->samples);
    l->carrier.out_sequence++;
    l->carrier.out_timestamp_ms = (uint64_t)packet->clock * 1000 / leg->rate_hz;
    l->carrier.ops->media(&l->carrier, slice_of(code, packet->samples * sample_bytes(l)), &b);
    send_message(l, &b, l->carrier.ops->binary || l->carrier.binary_audio);
}

static void send_mark(struct leg *leg, uint32_t mark)
{
    struct leg_websocket *l = of_leg(leg);
    uint8_t message[OUT_BYTES];
    struct builder b = message_in(message, sizeof(message));
    char name[16];

    snprintf(name, sizeof(name), "m%u", mark);
    l->carrier.ops->mark(&l->carrier, name, &b);
    send_message(l, &b, l->carrier.ops->binary);
}

static void send_clear(struct leg *leg)
{
    struct leg_websocket *l = of_leg(leg);
    uint8_t message[OUT_BYTES];
    struct builder b = message_in(message, sizeof(message));

    l->carrier.ops->clear(&l->carrier, &b);
    send_message(l, &b, l->carrier.ops->binary);
}

static void send_ready(struct leg_websocket *l)
{
    uint8_t message[OUT_BYTES];
    struct builder b = message_in(message, sizeof(message));

    if (!l->carrier.ops->ready)
        return;
    l->carrier.ops->ready(&l->carrier, l->leg.peers.call_id, &b);
    send_message(l, &b, l->carrier.ops->binary);
}

/* News of the call, for the page that shows it. */
static void send_news(struct leg_websocket *l, const struct msg *m)
{
    const struct leg_tell_msg *body = msg_body(m, leg_tell_msg);
    struct carrier_news news = {.kind = body->kind,
                                .turn = body->turn,
                                .state = turn_state_name(body->state),
                                .user = body->user,
                                .final = body->final,
                                .cut = body->cut,
                                .keys = body->keys,
                                .barge_in = body->barge_in,
                                .wall_ms = body->wall_ms,
                                .text = text_of(&l->actor, m)};
    struct builder room = text_builder(&l->actor);
    struct builder b = message_in(room.at, room.size);

    if (l->state != LIVE || !l->carrier.ops->tell)
        return;
    memcpy(news.instants_ms, body->instants_ms, sizeof(news.instants_ms));
    l->carrier.ops->tell(&l->carrier, &news, &b);
    if (b.len)
        send_message(l, &b, l->carrier.ops->binary);
}

static const struct leg_ops sending = {.send = send_packet, .mark = send_mark, .clear = send_clear};
static const struct leg_ops sending_unmarked = {.send = send_packet, .clear = send_clear};

static void send_close(struct leg_websocket *l, uint16_t code, const char *why)
{
    uint8_t bytes[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));
    frame_ref ref;

    if (l->closed)
        return;
    l->closed = true;
    metrics_add(metrics_ws_close(code), 1);
    ws_encode_close(&b, WS_SERVER, code, slice_str(why), 0);
    ref = frame_chain(shard_pool(l->actor.shard), builder_slice(&b));
    if (ref != FRAME_NONE)
        send_ref(l, ref);
}

/* ---- admission ---- */

static void arrived(struct leg_websocket *l)
{
    struct builder b = text_builder(&l->actor);
    struct jsonw w;
    struct leg_arrived_msg body = {.agent = l->agent, .rate_hz = l->who.rate_hz};

    leg_enter(l, ARRIVED);
    actor_timer_cancel(&l->actor, &l->deadline);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "stream_id", l->who.stream_id);
    jsonw_put_cstr(&w, "carrier_call_id", l->who.call_id);
    jsonw_put_cstr(&w, "account", l->who.account);
    jsonw_put_cstr(&w, "from", l->who.from);
    jsonw_put_cstr(&w, "to", l->who.to);
    jsonw_end(&w);
    snprintf(body.protocol, sizeof(body.protocol), "%s", l->carrier.ops->name);
    actor_send_body(&l->actor, l->actor.parent->id, LEG_ARRIVED, IF_FULL_STOP,
                    text_frame(&l->actor, builder_slice(&b)), &body, sizeof(body));
}

static void ask_admission(struct leg_websocket *l)
{
    struct admit_msg body = {.token_given = true};
    const char *name = l->name[0] ? l->name : l->who.agent;

    leg_enter(l, ADMITTING);
    snprintf(body.agent, sizeof(body.agent), "%.*s", AGENT_NAME_BYTES - 1, name);
    actor_send_body(&l->actor, l->actor.parent->id, ADMIT, IF_FULL_STOP,
                    text_frame(&l->actor, slice_str(l->who.token)), &body, sizeof(body));
}

static void on_admitted(struct leg_websocket *l, const struct admitted_msg *m)
{
    if (m->err) {
        actor_stop_self(&l->actor, m->err == EACCES
                                       ? REASON(EACCES, "the media token is missing or used")
                                       : REASON(m->err, "the call was not admitted"));
        return;
    }
    l->agent = m->agent;
    arrived(l);
}

/* ---- what the carrier says ---- */

static void on_start(struct leg_websocket *l, const struct carrier_event *ev)
{
    l->who = ev->start;
    if (l->agent && (l->token_given || !l->carrier.ops->token_always))
        arrived(l);
    else
        ask_admission(l);
}

static void on_media(struct leg_websocket *l, struct slice audio)
{
    int16_t pcm[AUDIO_BYTES];
    size_t n = audio.len / sample_bytes(l);

    metrics_add(METRIC_WS_MESSAGES_IN, 1);
    metrics_add(METRIC_WS_BYTES_IN, audio.len);

    if (l->state != LIVE)
        return;
    leg_came(&l->leg);
    switch (l->who.encoding) {
    case CARRIER_MULAW8:
        g711_mulaw_decode(pcm, audio.at, n);
        break;
    case CARRIER_ALAW8:
        g711_alaw_decode(pcm, audio.at, n);
        break;
    case CARRIER_L16:
        memcpy(pcm, audio.at, n * sizeof(int16_t));
        break;
    }
    leg_hear(&l->leg, pcm, l->who.encoding == CARRIER_L16 ? NULL : audio.at, n,
             shard_now(l->actor.shard));
}

static void on_mark(struct leg_websocket *l, const char *name)
{
    uint64_t number;

    if (l->state == LIVE && name[0] == 'm' &&
        slice_u64(slice_str(name + 1), UINT32_MAX, &number) == 0)
        leg_mark_back(&l->leg, (uint32_t)number);
}

static void on_carrier(struct leg_websocket *l, const struct carrier_event *ev)
{
    switch (ev->kind) {
    case CARRIER_START:
        on_start(l, ev);
        break;
    case CARRIER_MEDIA:
        on_media(l, ev->audio);
        break;
    case CARRIER_DTMF:
        if (l->state == LIVE)
            leg_key(&l->leg, ev->digit);
        break;
    case CARRIER_MARK:
        on_mark(l, ev->mark);
        break;
    case CARRIER_STOP:
        actor_stop_self(&l->actor, REASON(0, "the caller hung up"));
        break;
    case CARRIER_BAD:
        send_close(l, WS_CLOSE_POLICY, ev->what);
        actor_stop_self(&l->actor, REASON(EPROTO, ev->what));
        break;
    case CARRIER_CONNECTED:
    case CARRIER_IGNORED:
        break;
    }
}

/* False while it is not yet known which dialect this is. */
static bool know_dialect(struct leg_websocket *l, bool text, struct slice message)
{
    const struct carrier_ops *ops = NULL;

    if (l->carrier.ops)
        return true;
    switch (carrier_find_at(l->path, text, message, &ops)) {
    case CARRIER_YES:
        carrier_init(&l->carrier, ops);
        return true;
    case CARRIER_MAYBE:
        return false;
    case CARRIER_NO:
        break;
    }
    send_close(l, WS_CLOSE_POLICY, "unknown media protocol");
    actor_stop_self(&l->actor, REASON(EPROTO, "its first message is of no protocol we speak"));
    return false;
}

static void on_message(struct leg_websocket *l, bool text, struct slice message)
{
    struct carrier_event ev;
    uint8_t audio[AUDIO_BYTES];

    l->messages++;
    if (!know_dialect(l, text, message))
        return;
    l->carrier.ops->parse(&l->carrier, text, message, audio, sizeof(audio), &ev);
    on_carrier(l, &ev);
}

/* ---- what the socket says ---- */

static void on_ws(struct leg_websocket *l, const struct ws_event *ev)
{
    switch (ev->kind) {
    case WS_TEXT:
    case WS_BINARY:
        on_message(l, ev->kind == WS_TEXT, ev->data);
        break;
    case WS_PING:
        send_control(l, WS_OP_PONG, ev->data);
        break;
    case WS_PONG:
        l->pings = 0;
        break;
    case WS_CLOSE:
        send_close(l, ev->code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : ev->code, "");
        actor_stop_self(&l->actor, REASON(0, "the caller's socket was closed"));
        break;
    case WS_BAD:
        send_close(l, ev->code, ev->what);
        actor_stop_self(&l->actor, REASON(EPROTO, ev->what));
        break;
    case WS_MORE:
        break;
    }
}

static void on_bytes(struct leg_websocket *l, struct slice in)
{
    struct ws_event ev;

    /* Only what spans reads needs memory. */
    if (!l->ws.buffer && ws_wants_buffer(&l->ws, in)) {
        l->ws.buffer = actor_memory(&l->actor, MESSAGE_BYTES);
        if (!l->ws.buffer) {
            actor_stop_self(&l->actor, REASON(ENOMEM, "no memory for a message"));
            return;
        }
    }
    do {
        ws_decode(&l->ws, &in, &ev);
        on_ws(l, &ev);
    } while (ev.kind != WS_MORE && l->actor.life == ACTOR_RUNNING);
    if (l->ws.buffer && !ws_gathers(&l->ws))
        actor_memory_back(&l->actor, &l->ws.buffer);
}

/* All that has come and can be read. */
static void read_stream(struct leg_websocket *l, int rc)
{
    struct slice room = shard_large_scratch(l->actor.shard), plain;

    while (rc == 0 && l->actor.life == ACTOR_RUNNING &&
           (rc = stream_next(&l->stream, &l->actor, (void *)(uintptr_t)room.at, TLS_RECORD_BYTES,
                             &plain)) > 0) {
        on_bytes(l, plain);
        rc = 0;
    }
    if (rc < 0)
        actor_stop_self(&l->actor, rc == -ECONNRESET
                                       ? REASON(0, "the caller's socket was closed")
                                       : REASON(EPROTO, "the caller's TLS is broken"));
}

static void ping(struct leg_websocket *l)
{
    if (++l->pings > PINGS_LOST) {
        actor_stop_self(&l->actor, REASON(ETIMEDOUT, "the caller's socket is dead"));
        return;
    }
    send_control(l, WS_OP_PING, SLICE_NONE);
    actor_timer_set(&l->actor, &l->deadline, PING_TAG, shard_now(l->actor.shard) + PING_NS);
}

/* ---- life ---- */

static void start(struct leg_websocket *l, const struct msg *m)
{
    const struct leg_websocket_start_msg *args = msg_body(m, leg_websocket_start_msg);

    l->agent = args->agent;
    l->token_given = args->token_given;
    l->path = args->path;
    memcpy(l->name, args->name, sizeof(l->name));
    ws_init(&l->ws, WS_SERVER, WS_TAKES_BOTH, NULL, MESSAGE_BYTES);
    actor_timer_set(&l->actor, &l->deadline, UNKNOWN_TAG,
                    shard_now(l->actor.shard) + PEER_UNKNOWN_NS);
}

/* The door hands the socket over, and what it had read beyond the request. */
static void take_socket(struct leg_websocket *l, const struct msg *m)
{
    stream_take(&l->stream, msg_body(m, leg_socket_msg)->stream);
    if (m->frame != FRAME_NONE)
        on_bytes(l, text_of(&l->actor, m));
    read_stream(l, 0);
}

static void go_live(struct leg_websocket *l, const struct msg *m)
{
    static const enum recent_law laws[] = {
        [CARRIER_MULAW8] = RECENT_MULAW, [CARRIER_ALAW8] = RECENT_ALAW, [CARRIER_L16] = RECENT_PCM};
    const struct carrier_ops *ops = l->carrier.ops;
    struct leg_format format = {.rate_hz = l->who.rate_hz,
                                .law = laws[l->who.encoding],
                                .lead_ms = ops->lead_ms,
                                .marks = ops->mark != NULL};

    leg_enter(l, LIVE);
    leg_init(&l->leg, &l->actor, ops->mark ? &sending : &sending_unmarked, &format);
    l->leg.watched = ops->tell != NULL;
    leg_handle(&l->leg, m);
    send_ready(l);
    actor_timer_set(&l->actor, &l->deadline, PING_TAG, shard_now(l->actor.shard) + PING_NS);
}

static void stop(struct leg_websocket *l)
{
    const struct log_about *about = NULL;

    if (l->state < LIVE) /* from then on its call says why it ended */
        log_info("leg_websocket", about, "%s: %s",
                 l->actor.reason.err ? "a peer was turned away" : "a peer left before its call",
                 l->actor.reason.what);
    if (!l->ws.done)
        send_close(l,
                   l->actor.reason.err == EACCES ? WS_CLOSE_POLICY
                   : l->actor.reason.err         ? WS_CLOSE_SERVER_ERROR
                                                 : WS_CLOSE_NORMAL,
                   l->actor.reason.what);
    leg_fini(&l->leg);
    actor_memory_back(&l->actor, &l->ws.buffer);
    l->state = CLOSING;
    actor_timer_cancel(&l->actor, &l->deadline);
    stream_close(&l->stream, &l->actor, true);
    actor_end(&l->actor);
}

static void on_timer(struct leg_websocket *l, uint32_t tag)
{
    if (tag == PING_TAG) {
        ping(l);
        return;
    }
    actor_stop_self(&l->actor, l->state == OPENING
                                   ? REASON(ETIMEDOUT, "it never said who it is")
                                   : REASON(ETIMEDOUT, "it was not admitted in time"));
}

static void leg_websocket_handle(struct actor *a, const struct msg *m)
{
    struct leg_websocket *l = container_of(a, struct leg_websocket, actor);

    if (m->type == LEG_PEERS && l->state == ARRIVED) {
        go_live(l, m);
        return;
    }
    if (leg_handle(&l->leg, m))
        return;
    switch (m->type) {
    case MSG_START:
        start(l, m);
        break;
    case MSG_STOP:
        stop(l);
        break;
    case LEG_SOCKET:
        take_socket(l, m);
        break;
    case MSG_DATA:
        if (a->life == ACTOR_RUNNING)
            read_stream(l, stream_feed(&l->stream, a, shard_received(a->shard)));
        break;
    case MSG_CLOSED:
        stream_gone(&l->stream);
        if (!l->closed)
            metrics_add(METRIC_WS_CLOSE_1006, 1);
        l->closed = true;
        actor_stop_self(a, REASON(msg_body(m, io_msg)->err, "the caller's socket ended"));
        break;
    case MSG_TIMER:
        on_timer(l, msg_body(m, timer_msg)->tag);
        break;
    case LEG_TELL:
        send_news(l, m);
        break;
    case ADMITTED:
        on_admitted(l, msg_body(m, admitted_msg));
        break;
    default:
        break;
    }
}

static const char *leg_websocket_state(const struct actor *a)
{
    return state_names[container_of(a, struct leg_websocket, actor)->state];
}

_Static_assert(sizeof(struct leg_websocket) <= PEER_UNKNOWN_BYTES_MAX / 2, "a door is beside it");

const struct actor_type leg_websocket_type = {.name = "leg_websocket",
                                              .size_bytes = sizeof(struct leg_websocket),
                                              .hot = ACTOR_HOT(struct leg_websocket, actor, leg) |
                                                     LEG_HOT(struct leg_websocket, leg),
                                              .handle = leg_websocket_handle,
                                              .state = leg_websocket_state};
