/* RTCP for a session of two (RFC 3550 section 6): the compound packet we send every few seconds,
 * and a bounded reading of theirs. Owned by the media leg, on its shard; pure, no clock. Only
 * reports about our own SSRC are kept; what is not understood is skipped by its length. */
#ifndef MEDIA_RTCP_H
#define MEDIA_RTCP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rand.h"

#define RTCP_INTERVAL_MS     5000
#define RTCP_CNAME_BYTES_MAX 255 /* longer ones cannot be said */
#define RTCP_PACKETS_MAX     16  /* parts of one compound packet; beyond: refused */

/* One report block (6.4.1). */
struct rtcp_report {
    uint32_t ssrc;         /* of the source reported on */
    uint8_t fraction_lost; /* of 256, since the previous report; not cumulative */
    int32_t lost;          /* cumulative, signed 24 bits */
    uint32_t highest_seq;  /* cycles << 16 | sequence number */
    uint32_t jitter;       /* timestamp units */
    uint32_t last_sr;      /* middle 32 bits of its NTP time, 0 if none came */
    uint32_t delay;        /* since then, in 1/65536 s */
};

struct rtcp_sender {
    uint64_t ntp; /* 32.32 seconds since 1900 */
    uint32_t rtp_timestamp;
    uint32_t packets;
    uint32_t octets;
};

/* What we say. */
struct rtcp_out {
    uint32_t ssrc;
    bool sending; /* SR instead of RR */
    struct rtcp_sender sender;
    bool reporting;
    struct rtcp_report report;
    struct slice cname; /* at most RTCP_CNAME_BYTES_MAX; must name no person and no address */
    bool bye;
};

/* SR or RR, SDES with the CNAME, BYE when asked. 0, -EINVAL (CNAME empty or too long) or -EMSGSIZE;
 * at most 80 bytes and the CNAME. */
MUST_USE int rtcp_build(struct builder *b, const struct rtcp_out *out);

/* What they said. */
struct rtcp_in {
    uint32_t ssrc; /* of the sender */
    bool has_sender;
    struct rtcp_sender sender;
    bool has_report; /* about our SSRC; the last one counts */
    struct rtcp_report report;
    struct slice cname; /* of the first SDES chunk that has one; borrowed, hostile text */
    bool bye;
};

/* A compound packet (6.1, A.2), or a single one (RFC 5506). 0 or -EBADMSG: nothing in *in counts
 * then. BYE is believed by the caller only from an admitted source. */
MUST_USE int rtcp_parse(struct slice datagram, uint32_t own_ssrc, struct rtcp_in *in);

/* Wall clock (ms since 1970) as NTP time. */
uint64_t rtcp_ntp(int64_t wall_ms);
/* The middle 32 bits, as a report's last_sr wants them. */
uint32_t rtcp_ntp_middle(uint64_t ntp);
/* A span in 1/65536 s, saturating at 18 hours; negative: 0. */
uint32_t rtcp_delay(int64_t span_ns);
/* Round trip in microseconds from a report that arrived at `ntp_now`; -1 if it holds none (6.4.1:
 * A - LSR - DLSR; negative ones, from clocks that stepped, are none). */
int64_t rtcp_round_trip_us(const struct rtcp_report *report, uint64_t ntp_now);

/* Until the next report: 5 s times 0.5 to 1.5, half of that for the first (6.2, A.7 for two). */
int64_t rtcp_interval_ns(struct rand *rand, bool first);

#endif
