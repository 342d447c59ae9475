/* A leg to a static RTP peer: one UDP socket on an even port, connected to the peer, so that the
 * kernel drops strangers; RTCP on the same port (RFC 5761), so that a peer's RTCP from the port
 * above is not heard. Nothing that comes in can end the call but the peer's own BYE: what is
 * malformed, unknown or from elsewhere is dropped and counted. Child of its call.
 *
 *   BOUND ── LEG_PEERS ──▶ LIVE ── stop, BYE, silence ──▶ CLOSING
 *
 *   packet ─▶ kind ─▶ parse ─▶ payload type ─▶ source ─▶ sequence ─┬▶ event ─▶ leg_key
 *                                                                  └▶ window ─▶ plc ─▶ leg_hear */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/leg.h"
#include "base/metrics.h"
#include "media/dtmf.h"
#include "media/g711.h"
#include "media/plc.h"
#include "media/reorder.h"
#include "media/rtcp.h"
#include "media/rtp.h"
#include "net/port_walk.h"

#define RATE_HZ         8000
#define SAMPLES_PER_MS  (RATE_HZ / 1000)
#define PT_EVENT        101 /* telephone-event/8000 of a static peer */
#define PORT_TRIES_MAX  256 /* ports tried before the call is refused */
#define WINDOW_PACKETS  3   /* a missing packet is waited for so long, */
#define WINDOW_NS       MS(60)
#define FILL_MS_MAX     200         /* a longer gap is left to the leg's clock, but for its start */
#define QUIET_NS        MS(200)     /* nothing for so long: the caller's silence is made here */
#define NO_RTP_FIRST_NS SECONDS(30) /* the peer never sent anything */
#define NO_RTP_NS       SECONDS(15) /* it has stopped sending */
#define CNAME_BYTES     16
#define SILENCE_TAG     1u
#define REPORT_TAG      2u

enum state { BOUND, LIVE, CLOSING };

static const char *const state_names[] = {
    [BOUND] = "bound", [LIVE] = "live", [CLOSING] = "closing"};

/* What each packet touches comes first, up to the cold part of the leg's playout. */
struct leg_rtp {
    struct actor actor;
    _Alignas(64) enum state state;
    io_id socket;
    uint8_t payload_type;
    bool stamp_known;
    bool lost;           /* a packet before the next one is missing */
    bool reported;       /* the first report has left */
    bool key_down;       /* `keys`, which few packets touch, has an event that goes on */
    int64_t last_rtp_ns; /* of the last packet that counted; the start until one has */
    int64_t next_stamp;  /* where the next audio packet belongs if nothing is missing */
    int64_t made_up;     /* samples of silence heard in QUIET, which the next gap has covered */
    int64_t last_heard_ns;
    struct plc *plc;          /* while a loss is concealed */
    struct dtmf_send pressed; /* its first members end the line */
    uint64_t concealed;
    uint64_t refused;
    struct reorder window;    /* its last members begin a line, */
    struct rtp_source source; /* the first of this end it */
    struct dtmf_receive keys;
    _Alignas(64) struct rtp_send out; /* two lines with */
    struct rtp_receive in;            /* the first members of this */
    struct leg leg;
    /* now and then */
    struct address peer;
    struct actor_timer silence_timer;
    struct actor_timer report_timer;
    char cname[CNAME_BYTES + 1];
    /* their reports */
    uint32_t last_sr;
    int64_t last_sr_ns;
    int64_t round_trip_us; /* -1: not known */
};

_Static_assert(offsetof(struct leg_rtp, pressed.rate_hz) % 64 == 0, "one line");
_Static_assert(offsetof(struct leg_rtp, window.next) % 64 == 0, "one line begins");
_Static_assert(offsetof(struct leg_rtp, source.rival_next) -
                       offsetof(struct leg_rtp, window.next) <=
                   64,
               "and holds what is touched of both");

static struct leg_rtp *of_leg(struct leg *leg)
{
    return container_of(leg, struct leg_rtp, leg);
}

static int64_t now_of(const struct leg_rtp *l)
{
    return shard_now(l->actor.shard);
}

static struct frame_pool *pool_of(const struct leg_rtp *l)
{
    return shard_pool(l->actor.shard);
}

/* Lines of a leg are lines of its call. */
static const struct log_about *about_of(const struct leg_rtp *l)
{
    const struct actor *call = l->actor.parent;

    return call && call->type->about ? call->type->about(call) : NULL;
}

static struct rtp_address rtp_address_of(const struct address *a)
{
    struct rtp_address out = {.port = a->port};

    if (a->family == 6) {
        memcpy(out.ip, a->ip, sizeof(out.ip));
    } else {
        out.ip[10] = out.ip[11] = 0xFF;
        memcpy(out.ip + 12, a->ip, 4);
    }
    return out;
}

static void leg_enter(struct leg_rtp *l, enum state next)
{
    if (call_check(&l->actor, next > l->state)) /* only ever forward */
        l->state = next;
}

/* ---- sending ---- */

/* Takes the frame; what the kernel refuses is lost as on any network. */
static void send_ref(struct leg_rtp *l, frame_ref take, size_t len)
{
    struct io *io = shard_io(l->actor.shard);

    frame_at(pool_of(l), take)->len = (uint32_t)len;
    if (io->ops->udp_send(io, l->socket, take, NULL) == 0) {
        metrics_add(METRIC_RTP_PACKETS_OUT, 1);
        metrics_add(METRIC_RTP_BYTES_OUT, len);
    }
}

/* Nothing but silence has one code. */
static void encode(const struct leg_rtp *l, uint8_t *codes, const int16_t *pcm,
                   const struct playout_packet *packet)
{
    bool alaw = l->payload_type == RTP_PT_PCMA;

    if (packet->speech == 0)
        memset(codes, alaw ? G711_ALAW_SILENCE : G711_MULAW_SILENCE, packet->samples);
    else if (alaw)
        g711_alaw_encode(codes, pcm, packet->samples);
    else
        g711_mulaw_encode(codes, pcm, packet->samples);
}

/* In place of the slot's audio (RFC 4733). */
static void send_event(struct leg_rtp *l, frame_ref take, const struct dtmf_packet *event)
{
    uint8_t *data = frame_at(pool_of(l), take)->data;

    rtp_send_header(&l->out, data, PT_EVENT, event->marker, event->timestamp,
                    sizeof(event->payload));
    memcpy(data + RTP_HEADER_BYTES, event->payload, sizeof(event->payload));
    send_ref(l, take, RTP_HEADER_BYTES + sizeof(event->payload));
}

static void send_packet(struct leg *leg, const int16_t *pcm, const struct playout_packet *packet)
{
    struct leg_rtp *l = of_leg(leg);
    uint32_t stamp = rtp_send_timestamp(&l->out, packet->clock);
    frame_ref ref = frame_get(pool_of(l));
    struct dtmf_packet event;

    _Static_assert(RTP_HEADER_BYTES + LEG_PACKET_SAMPLES_MAX / 6 <= FRAME_DATA_BYTES,
                   "20 ms of 8 kHz and their header fit");
    if (ref == FRAME_NONE)
        return; /* 20 ms are lost, the call is not */
    if (dtmf_send_step(&l->pressed, stamp, (uint32_t)packet->samples, &event)) {
        send_event(l, ref, &event);
        return;
    }
    uint8_t *data = frame_at(pool_of(l), ref)->data;
    encode(l, data + RTP_HEADER_BYTES, pcm, packet);
    rtp_send_header(&l->out, data, l->payload_type, packet->first, stamp, packet->samples);
    send_ref(l, ref, RTP_HEADER_BYTES + packet->samples);
}

static int press(struct leg *leg, const char *digits)
{
    struct leg_rtp *l = of_leg(leg);

    if (l->pressed.count + strlen(digits) > DTMF_DIGITS_MAX)
        return -ENOBUFS;
    for (; *digits; digits++) {
        int err = dtmf_send_add(&l->pressed, *digits);
        call_check(&l->actor, err == 0); /* there is room, and the API lets digits alone in */
    }
    return 0;
}

static const struct leg_ops sending = {.send = send_packet, .press = press};

static struct rtcp_report report_of(struct leg_rtp *l)
{
    struct rtp_loss loss = rtp_receive_report(&l->in);

    return (struct rtcp_report){.ssrc = l->in.ssrc,
                                .fraction_lost = loss.fraction,
                                .lost = loss.cumulative,
                                .highest_seq = loss.highest_seq,
                                .jitter = rtp_receive_jitter(&l->in),
                                .last_sr = l->last_sr,
                                .delay = l->last_sr ? rtcp_delay(now_of(l) - l->last_sr_ns) : 0};
}

static void send_report(struct leg_rtp *l, bool bye)
{
    struct rtcp_out out = {.ssrc = l->out.ssrc, .cname = slice_str(l->cname), .bye = bye};
    frame_ref ref = frame_get(pool_of(l));
    int64_t sample = (now_of(l) - l->leg.start_ns) * RATE_HZ / NS_PER_S;

    if (ref == FRAME_NONE)
        return;
    struct builder b = builder_of(frame_at(pool_of(l), ref)->data, FRAME_DATA_BYTES);
    out.sending = l->out.packets > 0;
    out.sender = (struct rtcp_sender){.ntp = rtcp_ntp(shard_wall_ms(l->actor.shard)),
                                      .rtp_timestamp = rtp_send_timestamp(&l->out, sample),
                                      .packets = (uint32_t)l->out.packets,
                                      .octets = (uint32_t)l->out.octets};
    out.reporting = l->in.started;
    if (out.reporting)
        out.report = report_of(l);
    int err = rtcp_build(&b, &out);
    if (call_check(&l->actor, err == 0))
        send_ref(l, ref, b.len);
    else
        frame_put(pool_of(l), &ref);
}

static void set_report_timer(struct leg_rtp *l)
{
    int64_t wait_ns = rtcp_interval_ns(shard_rand(l->actor.shard), !l->reported);

    actor_timer_set(&l->actor, &l->report_timer, REPORT_TAG, now_of(l) + wait_ns);
}

/* ---- listening: from packets in order to samples without holes ---- */

static void hear(struct leg_rtp *l, const int16_t *pcm, const uint8_t *codes, size_t n,
                 int64_t at_ns)
{
    leg_hear(&l->leg, pcm, codes, n, at_ns);
    l->last_heard_ns = now_of(l);
}

/* Concealment needs memory only from a loss to the good samples after it; what was heard before the
 * loss, the leg still knows. Without memory a loss is silence. */
static bool begin_concealing(struct leg_rtp *l)
{
    int16_t pcm[PLC_HISTORY];

    if (l->plc)
        return true;
    l->plc = actor_memory(&l->actor, sizeof(*l->plc));
    if (!l->plc)
        return false;
    plc_init(l->plc, RATE_HZ);
    plc_seed(l->plc, pcm, leg_recent(&l->leg, pcm, ARRAY_LEN(pcm)));
    return true;
}

static void end_concealing(struct leg_rtp *l)
{
    if (!l->plc)
        return;
    l->concealed += l->plc->concealed;
    actor_memory_back(&l->actor, &l->plc);
}

/* Samples that no packet brought: lost ones are concealed, suppressed ones were silence. They
 * belong where the leg's clock stands, or it would take the same gap for its own. */
static void fill(struct leg_rtp *l, int64_t samples)
{
    int16_t pcm[20 * SAMPLES_PER_MS];

    while (samples > 0) {
        size_t part = samples < (int64_t)ARRAY_LEN(pcm) ? (size_t)samples : ARRAY_LEN(pcm);
        memset(pcm, 0, sizeof(pcm));
        if (l->lost && begin_concealing(l)) {
            plc_conceal(l->plc, pcm, part);
        } else if (l->plc) {
            plc_good(l->plc, pcm, part);
            end_concealing(l);
        }
        hear(l, pcm, NULL, part, l->leg.start_ns + l->leg.heard_samples * NS_PER_S / RATE_HZ);
        samples -= (int64_t)part;
    }
}

/* What lies between the last audio packet and this one. Silence that was made up while nothing came
 * is part of it already; of a long gap only the start is made, the leg's clock knows the rest. */
static void bridge(struct leg_rtp *l, int64_t gap)
{
    int64_t known = gap < l->made_up ? gap : l->made_up;

    if (gap <= 0)
        return;
    l->made_up -= known;
    gap -= known;
    if (gap > FILL_MS_MAX * SAMPLES_PER_MS)
        gap = PLC_FADED_MS * SAMPLES_PER_MS;
    fill(l, gap);
}

/* The audio of one packet, in order, that arrived at `at_ns`. */
static void hear_codes(struct leg_rtp *l, struct slice codes, int64_t stamp, int64_t at_ns)
{
    int16_t pcm[FRAME_DATA_BYTES];
    bool concealed;

    if (l->stamp_known)
        bridge(l, stamp - l->next_stamp);
    if (l->payload_type == RTP_PT_PCMA)
        g711_alaw_decode(pcm, codes.at, codes.len);
    else
        g711_mulaw_decode(pcm, codes.at, codes.len);
    concealed = l->plc != NULL;
    if (concealed) { /* its first samples are blended with what was made up */
        plc_good(l->plc, pcm, codes.len);
        end_concealing(l);
    }
    hear(l, pcm, concealed ? NULL : codes.at, codes.len, at_ns);
    l->next_stamp = stamp + (int64_t)codes.len;
    l->stamp_known = true;
    l->lost = false;
}

static void take_out(struct leg_rtp *l, struct reorder_out out)
{
    if (out.kind == REORDER_GAP) {
        l->lost = true;
        metrics_add(METRIC_RTP_LOST, (uint64_t)out.count);
    } else if (out.ref != FRAME_NONE) {
        const struct frame *f = frame_at(pool_of(l), out.ref);
        hear_codes(l, slice_of(f->data, f->len), f->sample, f->at_ns);
        actor_frame_let_go(&l->actor, &out.ref);
    }
}

static void listen_on(struct leg_rtp *l)
{
    struct reorder_out out = reorder_next(&l->window, now_of(l));

    while (out.kind != REORDER_NONE) {
        take_out(l, out);
        out = reorder_next(&l->window, now_of(l));
    }
}

/* A peer that suppresses silence just stops sending. Whoever waits for the end of the caller's
 * sentence must hear silence then, not nothing. It is made of time that has gone by: made ahead, it
 * would push back all that the caller says later. */
static void keep_hearing(struct leg_rtp *l)
{
    static const int16_t silence[20 * SAMPLES_PER_MS];
    int64_t before = l->leg.heard_samples;
    int64_t begin_ns = now_of(l) - MS(20);
    int64_t due = (begin_ns - l->leg.start_ns) * RATE_HZ / NS_PER_S;

    if (!l->stamp_known || l->window.count || before > due ||
        now_of(l) - l->last_heard_ns < QUIET_NS)
        return;
    leg_hear(&l->leg, silence, NULL, ARRAY_LEN(silence), begin_ns);
    l->made_up += l->leg.heard_samples - before;
}

static void listen_afresh(struct leg_rtp *l)
{
    struct reorder_out out = reorder_drain(&l->window);

    while (out.kind != REORDER_NONE) {
        take_out(l, out);
        out = reorder_drain(&l->window);
    }
    end_concealing(l);
    (void)dtmf_receive_reset(&l->keys);
    l->key_down = false;
    l->stamp_known = false;
    l->lost = false;
    l->made_up = 0;
}

/* ---- packets in ---- */

static void refuse(struct leg_rtp *l)
{
    l->refused++;
    metrics_add(METRIC_RTP_STRANGE, 1);
}

static bool payload_wanted(const struct leg_rtp *l, const struct rtp_packet *p)
{
    return (p->pt == l->payload_type && p->payload.len <= FRAME_DATA_BYTES) || p->pt == RTP_PT_CN ||
           p->pt == PT_EVENT;
}

static void take_event(struct leg_rtp *l, const struct rtp_packet *p)
{
    struct dtmf_payload payload;

    if (dtmf_parse(p->payload, &payload)) {
        refuse(l);
        return;
    }
    char digit = dtmf_receive_packet(&l->keys, p->timestamp, &payload, now_of(l)).started;
    l->key_down = l->keys.active;
    if (digit)
        leg_key(&l->leg, digit);
}

static bool has_audio(const struct leg_rtp *l, const struct rtp_packet *p)
{
    return p->pt == l->payload_type && p->payload.len > 0;
}

/* A held frame with the packet's audio; FRAME_NONE where it has none or there is no frame. */
static frame_ref audio_frame(struct leg_rtp *l, const struct rtp_packet *p, int64_t timestamp)
{
    if (!has_audio(l, p))
        return FRAME_NONE;
    frame_ref fresh = frame_get(pool_of(l));
    if (fresh == FRAME_NONE)
        return FRAME_NONE;
    struct frame *f = frame_at(pool_of(l), fresh);
    f->len = (uint32_t)p->payload.len;
    f->sample = timestamp;
    f->at_ns = now_of(l);
    memcpy(f->data, p->payload.at, p->payload.len);
    frame_ref held = actor_frame_hold(&l->actor, fresh);
    frame_put(pool_of(l), &fresh);
    return held;
}

/* Out of order, or behind one that was: it waits in the window. */
static void put_into_window(struct leg_rtp *l, const struct rtp_packet *p,
                            struct rtp_arrival arrival)
{
    frame_ref ref = audio_frame(l, p, arrival.timestamp);

    if (reorder_put(&l->window, arrival.seq, ref, now_of(l))) {
        metrics_add(METRIC_RTP_LATE, 1);
        actor_frame_let_go(&l->actor, &ref);
    }
    listen_on(l);
}

static void take_packet(struct leg_rtp *l, const struct rtp_packet *p, struct rtp_arrival arrival)
{
    l->last_rtp_ns = now_of(l);
    leg_came(&l->leg);
    if (arrival.verdict == RTP_RESYNC)
        listen_afresh(l);
    if (p->pt == PT_EVENT)
        take_event(l, p);
    else if (l->key_down)
        (void)dtmf_receive_audio(&l->keys, p->timestamp);
    if (!reorder_pass(&l->window, arrival.seq))
        put_into_window(l, p, arrival);
    else if (has_audio(l, p))
        hear_codes(l, p->payload, arrival.timestamp, now_of(l));
}

static void on_rtp(struct leg_rtp *l, struct slice datagram, const struct rtp_address *from)
{
    struct rtp_packet p;

    if (rtp_parse(datagram, &p) || !payload_wanted(l, &p) ||
        rtp_source_check(&l->source, from, &p, now_of(l)) == RTP_REFUSED) {
        refuse(l);
        return;
    }
    struct rtp_arrival arrival = rtp_receive_packet(&l->in, &p, now_of(l));
    switch (arrival.verdict) {
    case RTP_FRESH:
    case RTP_LATE:
    case RTP_RESYNC:
        take_packet(l, &p, arrival);
        break;
    case RTP_SUSPECT:
        refuse(l);
        break;
    case RTP_DUPLICATE:
        break;
    }
}

static void on_rtcp(struct leg_rtp *l, struct slice datagram, const struct rtp_address *from)
{
    struct rtcp_in in;

    if (!rtp_source_admits_rtcp(&l->source, from) || rtcp_parse(datagram, l->out.ssrc, &in)) {
        refuse(l);
        return;
    }
    if (!l->in.started || in.ssrc != l->in.ssrc)
        return; /* of a source that we do not hear */
    if (in.has_sender) {
        l->last_sr = rtcp_ntp_middle(in.sender.ntp);
        l->last_sr_ns = now_of(l);
    }
    if (in.has_report) {
        int64_t us = rtcp_round_trip_us(&in.report, rtcp_ntp(shard_wall_ms(l->actor.shard)));
        l->round_trip_us = us >= 0 ? us : l->round_trip_us;
    }
    if (in.bye)
        actor_stop_self(&l->actor, REASON(0, "the caller hung up"));
}

static void on_packet(struct leg_rtp *l, const struct io_msg *m)
{
    struct slice datagram = shard_received(l->actor.shard);
    struct rtp_address from = rtp_address_of(&m->peer);

    if (l->state != LIVE || l->actor.life != ACTOR_RUNNING)
        return;
    metrics_add(METRIC_RTP_PACKETS_IN, 1);
    metrics_add(METRIC_RTP_BYTES_IN, datagram.len);
    switch (rtp_kind(datagram)) {
    case RTP_KIND_RTP:
        on_rtp(l, datagram, &from);
        break;
    case RTP_KIND_RTCP:
        on_rtcp(l, datagram, &from);
        break;
    case RTP_KIND_STUN:
    case RTP_KIND_DTLS:
    case RTP_KIND_UNKNOWN:
        refuse(l);
        break;
    }
}

/* ---- life ---- */

/* Ports are tried from a random one on: another generation of this binary may hold some. */
static int bind_port(struct leg_rtp *l)
{
    const struct config *config = world_of(&l->actor)->config;
    uint32_t first = (config->rtp_ports.first + 1u) & ~1u;
    uint32_t pairs = config->rtp_ports.last > first ? (config->rtp_ports.last - first + 1) / 2 : 0;
    struct address local;
    int err = -EADDRINUSE;

    if (pairs == 0 || address_parse(slice_str(config->rtp_bind.host), false, &local))
        return -EINVAL;
    struct port_walk walk =
        port_walk_begin(pairs, rand_below(shard_rand(l->actor.shard), pairs), PORT_TRIES_MAX);
    do {
        local.port = (uint16_t)(first + 2 * walk.at);
        err = actor_udp_open(&l->actor, &local, &l->socket, &l->leg.local);
    } while (err == -EADDRINUSE && port_walk_next(&walk));
    return err;
}

static void init_media(struct leg_rtp *l)
{
    struct rand *rand = shard_rand(l->actor.shard);
    struct rtp_address announced = rtp_address_of(&l->peer);

    rtp_send_init(&l->out, (uint32_t)rand_u64(rand), (uint16_t)rand_u64(rand),
                  (uint32_t)rand_u64(rand));
    snprintf(l->cname, sizeof(l->cname), "%016" PRIx64,
             rand_u64(rand)); /* RFC 7022: says nothing */
    rtp_source_init(&l->source, RTP_LOCK_PEER, &announced);
    rtp_receive_init(&l->in, RATE_HZ);
    reorder_init(&l->window, WINDOW_PACKETS, WINDOW_NS);
    dtmf_receive_init(&l->keys, RATE_HZ);
    dtmf_send_init(&l->pressed, RATE_HZ, DTMF_ON_MS, DTMF_GAP_MS);
    l->round_trip_us = -1;
}

static void start(struct leg_rtp *l, const struct msg *m)
{
    const struct leg_rtp_start_msg *args = msg_body(m, leg_rtp_start_msg);
    struct io *io = shard_io(l->actor.shard);
    int err;

    l->peer = args->peer;
    l->payload_type = args->payload_type;
    l->last_rtp_ns = now_of(l);
    init_media(l);
    if (l->payload_type != RTP_PT_PCMU && l->payload_type != RTP_PT_PCMA) {
        actor_stop_self(&l->actor, REASON(EINVAL, "its payload type is neither PCMU nor PCMA"));
        return;
    }
    err = bind_port(l);
    if (err) {
        actor_stop_self(&l->actor, err == -EADDRINUSE ? REASON(EBUSY, "no RTP port is free")
                                                      : REASON(-err, "no RTP port can be opened"));
        return;
    }
    err = io->ops->udp_connect(io, l->socket, &l->peer);
    if (err)
        actor_stop_self(&l->actor, REASON(-err, "the RTP peer cannot be reached from here"));
}

static void go_live(struct leg_rtp *l, const struct msg *m)
{
    struct leg_format format = {.rate_hz = RATE_HZ,
                                .law = l->payload_type == RTP_PT_PCMA ? RECENT_ALAW : RECENT_MULAW,
                                .continuous = true};
    struct address local = l->leg.local;
    char here[ADDRESS_TEXT_BYTES], there[ADDRESS_TEXT_BYTES];

    leg_enter(l, LIVE);
    leg_init(&l->leg, &l->actor, &sending, &format);
    log_info("leg_rtp", about_of(l), "RTP from %s to %s, %s", address_text(&local, here),
             address_text(&l->peer, there), l->payload_type == RTP_PT_PCMA ? "PCMA" : "PCMU");
    leg_handle(&l->leg, m);
    l->last_rtp_ns = now_of(l);
    actor_timer_set(&l->actor, &l->silence_timer, SILENCE_TAG, now_of(l) + NO_RTP_FIRST_NS);
    set_report_timer(l);
}

/* The timer is set once per span, not once per packet. */
static void check_silence(struct leg_rtp *l)
{
    int64_t due_ns = l->last_rtp_ns + (l->in.packets ? NO_RTP_NS : NO_RTP_FIRST_NS);

    if (now_of(l) >= due_ns)
        actor_stop_self(&l->actor, REASON(ETIMEDOUT, "no RTP from the peer"));
    else
        actor_timer_set(&l->actor, &l->silence_timer, SILENCE_TAG, due_ns);
}

static void on_timer(struct leg_rtp *l, uint32_t tag)
{
    if (l->state != LIVE)
        return;
    if (tag == SILENCE_TAG) {
        check_silence(l);
        return;
    }
    send_report(l, false);
    l->reported = true;
    set_report_timer(l);
}

static void log_verdict(const struct leg_rtp *l)
{
    log_info("leg_rtp", about_of(l),
             "RTP ends: in %" PRIu64 ", lost %" PRIu64 ", late %" PRIu64 ", duplicate %" PRIu64
             ", refused %" PRIu64 ", concealed %" PRIu64 " ms, jitter %u ms, out %" PRIu64
             ", round trip %" PRId64 " us",
             l->in.packets, l->window.gaps, l->window.late, l->in.duplicates, l->refused,
             l->concealed / SAMPLES_PER_MS, rtp_receive_jitter(&l->in) / SAMPLES_PER_MS,
             l->out.packets, l->round_trip_us);
}

static void stop(struct leg_rtp *l)
{
    struct reorder_out out = reorder_drain(&l->window);

    end_concealing(l);
    if (l->state == LIVE) {
        send_report(l, true);
        log_verdict(l);
    }
    for (; out.kind != REORDER_NONE; out = reorder_drain(&l->window))
        actor_frame_let_go(&l->actor, &out.ref);
    l->state = CLOSING;
    leg_fini(&l->leg);
    actor_timer_cancel(&l->actor, &l->silence_timer);
    actor_timer_cancel(&l->actor, &l->report_timer);
    actor_io_close(&l->actor, &l->socket, true);
    actor_end(&l->actor);
}

static void on_slot(struct leg_rtp *l)
{
    if (l->window.count)
        listen_on(l);
    if (l->key_down) {
        (void)dtmf_receive_tick(&l->keys, now_of(l));
        l->key_down = l->keys.active;
    }
    keep_hearing(l);
    leg_slot(&l->leg);
}

static void leg_rtp_handle(struct actor *a, const struct msg *m)
{
    struct leg_rtp *l = container_of(a, struct leg_rtp, actor);

    if (m->type == MSG_PACKET) {
        on_packet(l, msg_body(m, io_msg));
        return;
    }
    if (m->type == MSG_SLOT && l->state == LIVE) {
        on_slot(l);
        return;
    }
    if (m->type == LEG_PEERS && l->state == BOUND && a->life == ACTOR_RUNNING) {
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
    case MSG_CLOSED:
        l->socket = IO_NONE;
        actor_stop_self(a, REASON(msg_body(m, io_msg)->err, "the RTP socket failed"));
        break;
    case MSG_TIMER:
        on_timer(l, msg_body(m, timer_msg)->tag);
        break;
    default:
        break;
    }
}

static const char *leg_rtp_state(const struct actor *a)
{
    return state_names[container_of(a, struct leg_rtp, actor)->state];
}

extern const struct actor_type leg_rtp_type;
const struct actor_type leg_rtp_type = {
    .name = "leg_rtp",
    .size_bytes = sizeof(struct leg_rtp),
    .hot = ACTOR_HOT(struct leg_rtp, actor, actor.parent) |
           ACTOR_HOT(struct leg_rtp, state, pressed.rate_hz) |
           ACTOR_HOT(struct leg_rtp, window.next, source.rival_next) |
           ACTOR_HOT(struct leg_rtp, out, in.suspect_next) | LEG_HOT(struct leg_rtp, leg),
    .handle = leg_rtp_handle,
    .state = leg_rtp_state};
