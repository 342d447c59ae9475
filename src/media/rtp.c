#include "media/rtp.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"

/* ---- packets ---- */

enum rtp_kind rtp_kind(struct slice d)
{
    if (d.len < 2)
        return RTP_KIND_UNKNOWN;
    uint8_t first = d.at[0];
    if (first <= 3)
        return RTP_KIND_STUN;
    if (first >= 20 && first <= 63)
        return RTP_KIND_DTLS;
    if (first < 128 || first > 191)
        return RTP_KIND_UNKNOWN;
    /* RFC 5761 4: payload types 64-95 are left free so that these are RTCP packet types. */
    return d.at[1] >= 192 && d.at[1] <= 223 ? RTP_KIND_RTCP : RTP_KIND_RTP;
}

static int padding_strip(struct slice *payload)
{
    if (payload->len == 0)
        return -EBADMSG;
    uint8_t padding = payload->at[payload->len - 1];
    if (padding == 0 || padding > payload->len)
        return -EBADMSG;
    payload->len -= padding;
    return 0;
}

/* A header of its shortest form, as nearly all are. */
static int parse_short(struct slice datagram, struct rtp_packet *out)
{
    uint16_t seq;
    uint32_t stamp, ssrc;

    memcpy(&seq, datagram.at + 2, sizeof(seq));
    memcpy(&stamp, datagram.at + 4, sizeof(stamp));
    memcpy(&ssrc, datagram.at + 8, sizeof(ssrc));
    *out = (struct rtp_packet){
        .pt = datagram.at[1] & 0x7F,
        .marker = datagram.at[1] >> 7 != 0,
        .seq = be16toh(seq),
        .timestamp = be32toh(stamp),
        .ssrc = be32toh(ssrc),
        .payload = slice_of(datagram.at + RTP_HEADER_BYTES, datagram.len - RTP_HEADER_BYTES)};
    return 0;
}

int rtp_parse(struct slice datagram, struct rtp_packet *out)
{
    if (datagram.len >= RTP_HEADER_BYTES && datagram.at[0] == 0x80)
        return parse_short(datagram, out);
    return rtp_parse_plain(datagram, out);
}

int rtp_parse_plain(struct slice datagram, struct rtp_packet *out)
{
    struct reader r = reader_of(datagram);
    uint8_t first = reader_u8(&r), second = reader_u8(&r);

    *out = (struct rtp_packet){
        .pt = second & 0x7F, .marker = second >> 7 != 0, .csrc_count = first & 0x0F};
    out->seq = reader_u16(&r);
    out->timestamp = reader_u32(&r);
    out->ssrc = reader_u32(&r);
    reader_take(&r, (size_t)out->csrc_count * 4);
    if (first & 0x10) {
        out->extension_profile = reader_u16(&r);
        size_t words = reader_u16(&r);
        out->extension = reader_take(&r, words * 4);
    }
    out->payload = reader_take(&r, reader_left(&r));
    if (r.bad || first >> 6 != 2)
        return -EBADMSG;
    return first & 0x20 ? padding_strip(&out->payload) : 0;
}

/* ---- sending ---- */

void rtp_send_init(struct rtp_send *s, uint32_t ssrc, uint16_t seq, uint32_t timestamp_at)
{
    *s = (struct rtp_send){
        .ssrc = ssrc, .seq = seq, .timestamp_at = timestamp_at, .last_timestamp = timestamp_at};
}

uint32_t rtp_send_timestamp(const struct rtp_send *s, int64_t sample)
{
    return s->timestamp_at + (uint32_t)(uint64_t)sample;
}

void rtp_send_header(struct rtp_send *s, uint8_t *to, uint8_t pt, bool marker, uint32_t timestamp,
                     size_t payload_bytes)
{
    uint16_t seq = htobe16(s->seq);
    uint32_t stamp = htobe32(timestamp), ssrc = htobe32(s->ssrc);

    to[0] = 0x80;
    to[1] = (uint8_t)((marker ? 0x80 : 0) | (pt & 0x7F));
    memcpy(to + 2, &seq, sizeof(seq));
    memcpy(to + 4, &stamp, sizeof(stamp));
    memcpy(to + 8, &ssrc, sizeof(ssrc));
    s->seq++;
    s->packets++;
    s->octets += payload_bytes;
    s->last_timestamp = timestamp;
}

int rtp_send_packet(struct rtp_send *s, struct builder *b, uint8_t pt, bool marker,
                    uint32_t timestamp, struct slice payload)
{
    if (b->bad || b->size - b->len < RTP_HEADER_BYTES + payload.len)
        return -EMSGSIZE;
    rtp_send_header(s, b->at + b->len, pt, marker, timestamp, payload.len);
    b->len += RTP_HEADER_BYTES;
    builder_slice_add(b, payload);
    return 0;
}

/* ---- receiving ---- */

void rtp_receive_init(struct rtp_receive *r, uint32_t rate_hz)
{
    *r = (struct rtp_receive){.rate_hz = rate_hz};
}

/* Without the overflow that a product of nanoseconds and hertz has after days of uptime. */
static int64_t units_of(const struct rtp_receive *r, int64_t span_ns)
{
    int64_t rate = (int64_t)r->rate_hz;

    return span_ns / NS_PER_S * rate + span_ns % NS_PER_S * rate / NS_PER_S;
}

static void jitter_note(struct rtp_receive *r, uint32_t timestamp, int64_t at_ns)
{
    uint32_t transit = (uint32_t)(uint64_t)units_of(r, at_ns) - timestamp;

    if (r->transit_known) {
        int32_t d = (int32_t)(transit - r->transit);
        uint32_t apart = d < 0 ? 0u - (uint32_t)d : (uint32_t)d;
        /* A jump of the sender's clock is no jitter, and would take a hundred packets to fade. */
        if (apart < r->rate_hz)
            r->jitter_q4 += apart - ((r->jitter_q4 + 8) >> 4);
    }
    r->transit = transit;
    r->transit_known = true;
}

/* The stream starts here. Its axes go on: time by the clock of arrival, sequence by one. */
static struct rtp_arrival restart(struct rtp_receive *r, const struct rtp_packet *p, int64_t at_ns)
{
    int64_t passed = r->started ? units_of(r, at_ns - r->newest_at_ns) : 0;

    r->seq = r->started ? r->seq + 1 : 0;
    r->timestamp += passed > 0 ? passed : 0;
    r->started = true;
    r->suspected = false;
    r->ssrc = p->ssrc;
    r->wire_seq = p->seq;
    r->wire_stamp = p->timestamp;
    r->newest_at_ns = at_ns;
    r->seen = 1;
    r->base_seq = r->wire_highest = p->seq;
    r->received = 1;
    r->expected_prior = r->received_prior = 0;
    r->jitter_q4 = 0;
    r->transit_known = false;
    jitter_note(r, p->timestamp, at_ns);
    r->packets++;
    r->resyncs++;
    return (struct rtp_arrival){RTP_RESYNC, r->seq, r->timestamp};
}

/* A restart must be said twice: the second packet follows the first in sequence. */
static struct rtp_arrival suspect(struct rtp_receive *r, const struct rtp_packet *p, int64_t at_ns)
{
    if (r->suspected && p->ssrc == r->suspect_ssrc && p->seq == r->suspect_next)
        return restart(r, p, at_ns);
    r->suspected = true;
    r->suspect_ssrc = p->ssrc;
    r->suspect_next = (uint16_t)(p->seq + 1);
    r->suspects++;
    return (struct rtp_arrival){RTP_SUSPECT, r->seq, r->timestamp};
}

static struct rtp_arrival older(struct rtp_receive *r, const struct rtp_packet *p, int64_t back)
{
    int64_t seq = r->seq - back;
    int64_t timestamp = r->timestamp + (int32_t)(p->timestamp - r->wire_stamp);
    bool known = back < 64 && (r->seen >> back & 1);

    r->received++;
    if (known) {
        r->duplicates++;
        return (struct rtp_arrival){RTP_DUPLICATE, seq, timestamp};
    }
    if (back < 64)
        r->seen |= UINT64_C(1) << back;
    r->packets++;
    r->late++;
    if (r->lost > 0)
        r->lost--;
    return (struct rtp_arrival){RTP_LATE, seq, timestamp};
}

static struct rtp_arrival newer(struct rtp_receive *r, const struct rtp_packet *p, int64_t ahead,
                                int64_t at_ns)
{
    enum rtp_verdict verdict = RTP_FRESH;
    int64_t by_stamp = (int32_t)(p->timestamp - r->wire_stamp);
    int64_t by_arrival = units_of(r, at_ns - r->newest_at_ns);
    int64_t apart = by_stamp - by_arrival;
    int64_t jump = (int64_t)r->rate_hz * RTP_JUMP_MS / 1000;

    if (by_stamp != 0)
        jitter_note(r, p->timestamp, at_ns);
    if (apart > jump || apart < -jump) {
        verdict = RTP_RESYNC;
        by_stamp = by_arrival;
        r->resyncs++;
    }
    r->seen = ahead < 64 ? r->seen << ahead | 1 : 1;
    r->seq += ahead;
    r->wire_seq = p->seq;
    r->wire_highest += (uint32_t)ahead;
    r->timestamp += by_stamp;
    r->wire_stamp = p->timestamp;
    r->newest_at_ns = at_ns;
    r->suspected = false;
    r->received++;
    r->packets++;
    if (ahead > 1) /* it lies far from the rest */
        r->lost += (uint64_t)(ahead - 1);
    return (struct rtp_arrival){verdict, r->seq, r->timestamp};
}

struct rtp_arrival rtp_receive_packet(struct rtp_receive *r, const struct rtp_packet *p,
                                      int64_t at_ns)
{
    if (!r->started)
        return restart(r, p, at_ns);
    if (p->ssrc != r->ssrc)
        return suspect(r, p, at_ns);
    uint16_t ahead = (uint16_t)(p->seq - r->wire_seq);
    uint16_t back = (uint16_t)(r->wire_seq - p->seq);
    if (ahead != 0 && ahead < RTP_DROPOUT_MAX)
        return newer(r, p, ahead, at_ns);
    if (back <= RTP_MISORDER_MAX)
        return older(r, p, back);
    return suspect(r, p, at_ns);
}

uint32_t rtp_receive_jitter(const struct rtp_receive *r)
{
    return r->jitter_q4 >> 4;
}

struct rtp_loss rtp_receive_report(struct rtp_receive *r)
{
    uint32_t expected = r->started ? r->wire_highest - r->base_seq + 1 : 0;
    int64_t lost = (int64_t)expected - (int64_t)r->received;
    uint32_t expected_now = expected - r->expected_prior;
    uint32_t received_now = r->received - r->received_prior;
    struct rtp_loss loss = {.highest_seq = r->wire_highest};

    r->expected_prior = expected;
    r->received_prior = r->received;
    loss.cumulative = (int32_t)(lost > 0x7FFFFF ? 0x7FFFFF : lost < -0x800000 ? -0x800000 : lost);
    /* Duplicates may make it negative: A.3 reports that as no loss. */
    if (expected_now != 0 && expected_now > received_now) {
        uint64_t of_256 = ((uint64_t)(expected_now - received_now) << 8) / expected_now;
        loss.fraction = (uint8_t)(of_256 > 255 ? 255 : of_256);
    }
    return loss;
}

/* ---- who may be heard ---- */

bool rtp_address_equal(const struct rtp_address *a, const struct rtp_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

void rtp_source_init(struct rtp_source *s, enum rtp_lock lock, const struct rtp_address *announced)
{
    *s = (struct rtp_source){.lock = (uint8_t)lock, .announced = *announced, .peer = *announced};
}

void rtp_source_reset(struct rtp_source *s, const struct rtp_address *announced)
{
    uint64_t refused = s->refused;

    rtp_source_init(s, (enum rtp_lock)s->lock, announced);
    s->refused = refused;
}

static enum rtp_admission admit(struct rtp_source *s, const struct rtp_packet *p)
{
    s->ssrc = p->ssrc;
    s->seq = p->seq;
    s->rival_run = 0;
    return RTP_ADMITTED;
}

static enum rtp_admission move(struct rtp_source *s, const struct rtp_address *to,
                               const struct rtp_packet *p, int64_t now_ns)
{
    if (!s->learned)
        s->learned_at_ns = now_ns;
    s->learned = true;
    bool moved = !rtp_address_equal(&s->peer, to);
    s->peer = *to;
    if (rtp_address_equal(to, &s->announced))
        s->final = true;
    admit(s, p);
    return moved ? RTP_MOVED : RTP_ADMITTED;
}

static enum rtp_admission refuse(struct rtp_source *s)
{
    s->refused++;
    return RTP_REFUSED;
}

/* Somebody else sends: believed only if the stream visibly goes on there (a NAT that rebound). */
static enum rtp_admission rival(struct rtp_source *s, const struct rtp_address *from,
                                const struct rtp_packet *p, int64_t now_ns)
{
    bool follows = s->rival_run > 0 && rtp_address_equal(from, &s->rival) &&
                   p->seq == s->rival_next && p->ssrc == s->ssrc;
    uint16_t ahead = (uint16_t)(p->seq - s->seq);

    if (s->final || now_ns - s->learned_at_ns > MS(RTP_RELEARN_MS))
        return refuse(s);
    if (!follows && (p->ssrc != s->ssrc || ahead == 0 || ahead > RTP_RELEARN_SEQ))
        return refuse(s);
    s->rival_run = (uint8_t)(follows ? s->rival_run + 1 : 1);
    s->rival = *from;
    s->rival_next = (uint16_t)(p->seq + 1);
    return s->rival_run >= RTP_RELEARN_RUN ? move(s, from, p, now_ns) : refuse(s);
}

static bool lock_permits(const struct rtp_source *s, const struct rtp_address *from)
{
    switch ((enum rtp_lock)s->lock) {
    case RTP_LOCK_PEER:
        return rtp_address_equal(from, &s->announced);
    case RTP_LOCK_HOST:
        return memcmp(from->ip, s->announced.ip, sizeof(from->ip)) == 0;
    case RTP_LOCK_ANY:
        return true;
    }
    return false;
}

enum rtp_admission rtp_source_check(struct rtp_source *s, const struct rtp_address *from,
                                    const struct rtp_packet *p, int64_t now_ns)
{
    if (!lock_permits(s, from))
        return refuse(s);
    if (!s->learned)
        return move(s, from, p, now_ns);
    if (rtp_address_equal(from, &s->peer))
        return admit(s, p);
    if (!s->final && rtp_address_equal(from, &s->announced))
        return move(s, from, p, now_ns);
    return rival(s, from, p, now_ns);
}

bool rtp_source_admits_rtcp(const struct rtp_source *s, const struct rtp_address *from)
{
    return memcmp(from->ip, s->peer.ip, sizeof(from->ip)) == 0 &&
           (from->port == s->peer.port || from->port == (uint16_t)(s->peer.port + 1));
}
