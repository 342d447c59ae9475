/* A telephone on a bare RTP port: G.711 in packets of 20 ms, digits as telephone events (RFC 4733),
 * and an RTCP BYE on the same port at the end (RFC 5761). The call begins with the far end's first
 * packet, which may have waited in the socket while the API answered: its age follows from those
 * after it, and both sides count from the same instant. Packets play in order of arrival: the
 * stream goes on in silence too, so what lies deeper than RTP_DEPTH_MAX_MS is passed over rather
 * than becoming a delay that stays. */
#include "tools/call/caller.h"

#include <errno.h>
#include <string.h>

#include "media/g711.h"
#include "media/rtcp.h"

#define RTP_DEPTH_MAX_MS 60
#define RTP_ORIGIN       3         /* packets that tell when the first was sent */
#define RTP_SILENT_NS    MS(200)   /* without them the call begins so late */
#define RTP_LATE_MAX     1000      /* older than this is a restart, not a late packet */
#define RTP_GONE_NS      MS(2000)  /* a stream that stops for so long has ended */
#define RTP_NOBODY_NS    MS(10000) /* and one that never began, after this */

static void rtp_open(struct caller *c, struct caller_output *out)
{
    struct caller_rtp *r = &c->rtp;
    uint32_t ssrc = (uint32_t)rand_u64(&c->rand);
    uint16_t seq = (uint16_t)rand_u64(&c->rand);

    (void)out;
    memset(r, 0, sizeof(*r));
    rtp_send_init(&r->send, ssrc, seq, (uint32_t)rand_u64(&c->rand));
    dtmf_send_init(&r->dtmf, CALL_RATE_HZ, DTMF_ON_MS, DTMF_GAP_MS);
    r->heard_ns = c->now_ns;
    c->up_ns = c->now_ns + RTP_SILENT_NS;
}

/* A stream goes on in silence too: one that stops has no other way to say that it ended. */
static bool gone(struct caller *c)
{
    int64_t silent_ns = c->now_ns - c->rtp.heard_ns;

    if (c->rtp.started && silent_ns > RTP_GONE_NS)
        caller_over(c, CALLER_END_THEIRS, "the far end stopped sending");
    else if (!c->rtp.started && silent_ns > RTP_NOBODY_NS)
        caller_over(c, CALLER_END_BROKEN, "the far end never sent anything");
    return c->state == CALLER_OVER;
}

static void send_packet(struct caller *c, uint8_t pt, bool marker, uint32_t stamp,
                        struct slice payload, struct caller_output *out)
{
    if (rtp_send_packet(&c->rtp.send, &out->bytes, pt, marker, stamp, payload) < 0)
        out->bad = true;
    else
        caller_output_end(out);
}

static void rtp_frame(struct caller *c, const int16_t *pcm, struct caller_output *out)
{
    struct caller_rtp *r = &c->rtp;
    uint8_t code[CALLER_FRAME_SAMPLES];
    uint32_t stamp = rtp_send_timestamp(&r->send, c->frames * CALLER_FRAME_SAMPLES);
    struct dtmf_packet event;

    if (gone(c))
        return;
    if (dtmf_send_step(&r->dtmf, stamp, CALLER_FRAME_SAMPLES, &event)) {
        send_packet(c, CALLER_PT_EVENTS, event.marker, event.timestamp,
                    slice_of(event.payload, sizeof(event.payload)), out);
        r->talking = false;
        return;
    }
    if (c->config.pt == RTP_PT_PCMA)
        g711_alaw_encode(code, pcm, sizeof(code));
    else
        g711_mulaw_encode(code, pcm, sizeof(code));
    send_packet(c, c->config.pt, !r->talking, stamp, slice_of(code, sizeof(code)), out);
    r->talking = true;
}

static int rtp_digit(struct caller *c, char digit, struct caller_output *out)
{
    (void)out;
    return dtmf_send_add(&c->rtp.dtmf, digit);
}

/* Marks are a thing of WebSockets. */
static void rtp_mark(struct caller *c, const char *name, struct caller_output *out)
{
    (void)c;
    (void)name;
    (void)out;
}

static void rtp_hang_up(struct caller *c, struct caller_output *out)
{
    const struct rtcp_out bye = {
        .ssrc = c->rtp.send.ssrc,
        .cname = SLICE("caller"),
        .bye = true,
    };

    if (rtcp_build(&out->bytes, &bye) < 0)
        out->bad = true;
    else
        caller_output_end(out);
    caller_over(c, CALLER_END_OURS, "the caller hung up"); /* nothing answers a BYE */
}

static void rtp_raw(struct caller *c, struct slice bytes, struct caller_output *out)
{
    (void)c;
    builder_slice_add(&out->bytes, bytes);
    caller_output_end(out);
}

/* Is it the next packet, or a later one? A second source or a restart starts afresh. */
static bool in_order(struct caller_rtp *r, const struct rtp_packet *p, int64_t now_ns)
{
    uint16_t ahead = (uint16_t)(p->seq - r->seq);

    if (r->started && p->ssrc == r->ssrc && (ahead == 0 || ahead > UINT16_MAX - RTP_LATE_MAX)) {
        r->late++;
        return false;
    }
    if (r->started && p->ssrc == r->ssrc && ahead < RTP_LATE_MAX)
        r->lost += ahead - 1u;
    r->started = true;
    r->heard_ns = now_ns;
    r->ssrc = p->ssrc;
    r->seq = p->seq;
    return true;
}

static bool is_quiet(const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pcm[i] > EAR_VOICED_LEVEL || pcm[i] < -EAR_VOICED_LEVEL)
            return false;
    return true;
}

static void take_audio(struct caller *c, const struct rtp_packet *p)
{
    int16_t pcm[RTP_PACKET_BYTES_MAX];
    size_t n = p->payload.len < RTP_PACKET_BYTES_MAX ? p->payload.len : RTP_PACKET_BYTES_MAX;

    if (p->pt == RTP_PT_PCMU)
        g711_mulaw_decode(pcm, p->payload.at, n);
    else if (p->pt == RTP_PT_PCMA)
        g711_alaw_decode(pcm, p->payload.at, n);
    else
        return;
    /* A late packet made the ear wait; a pause makes up for it, as a jitter buffer would. */
    if (is_quiet(pcm, n))
        ear_trim(&c->ear, 0);
    caller_heard(c, pcm, n);
    ear_trim(&c->ear, CALL_SAMPLES(RTP_DEPTH_MAX_MS));
}

/* A packet leaves when it is full: its first sample was taken its own length before. The packet
 * that was least late tells best. */
static void find_origin(struct caller *c, const struct rtp_packet *p)
{
    struct caller_rtp *r = &c->rtp;

    if (!r->packets)
        r->first_stamp = p->timestamp;
    int64_t since = (int32_t)(p->timestamp - r->first_stamp) + (int64_t)p->payload.len;
    int64_t origin_ns = c->now_ns - since * NS_PER_S / CALL_RATE_HZ;

    if (!r->packets++ || origin_ns < r->origin_ns)
        r->origin_ns = origin_ns;
    if (r->packets == RTP_ORIGIN)
        caller_up(c, r->origin_ns);
}

static void rtp_input(struct caller *c, struct slice in, struct caller_output *out)
{
    struct rtp_packet p;
    struct rtcp_in control;

    (void)out;
    if (rtp_kind(in) == RTP_KIND_RTCP) {
        if (rtcp_parse(in, c->rtp.send.ssrc, &control) == 0 && control.bye)
            caller_over(c, CALLER_END_THEIRS, "the far end hung up");
    } else if (rtp_kind(in) == RTP_KIND_RTP && rtp_parse(in, &p) == 0 &&
               in_order(&c->rtp, &p, c->now_ns)) {
        take_audio(c, &p);
        if (c->state == CALLER_DIALLING)
            find_origin(c, &p);
    }
}

const struct caller_dialect caller_rtp = {
    .name = "rtp",
    .open = rtp_open,
    .input = rtp_input,
    .frame = rtp_frame,
    .digit = rtp_digit,
    .mark = rtp_mark,
    .hang_up = rtp_hang_up,
    .raw = rtp_raw,
};
