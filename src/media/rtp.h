/* RTP (RFC 3550): packets in and out, the receiver's view of one remote source, and the rule that
 * decides whose packets count. Everything here is a plain struct embedded in a media leg and
 * touched by its shard only; nothing reads a clock, sends, allocates or keeps a pointer into a
 * packet. Order of use for a datagram: rtp_kind(), SRTP if there is one, rtp_parse(),
 * rtp_source_check(), rtp_receive_packet(); each refuses before the next may change any state. */
#ifndef MEDIA_RTP_H
#define MEDIA_RTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define RTP_HEADER_BYTES 12
#define RTP_PT_PCMU      0
#define RTP_PT_PCMA      8
#define RTP_PT_CN        13

/* ---- packets ---- */

/* What the first bytes of a datagram on a media port say it is (RFC 7983, RFC 5761). */
enum rtp_kind { RTP_KIND_RTP, RTP_KIND_RTCP, RTP_KIND_STUN, RTP_KIND_DTLS, RTP_KIND_UNKNOWN };

enum rtp_kind rtp_kind(struct slice datagram);

struct rtp_packet {
    uint8_t pt;
    bool marker;
    uint16_t seq;
    uint32_t timestamp;
    uint32_t ssrc;
    uint8_t csrc_count;
    uint16_t extension_profile; /* 0 and an empty slice when there is no extension */
    struct slice extension;
    struct slice payload; /* without padding; may be empty */
};

/* RFC 3550 5.1. Slices borrow from `datagram`. 0, or -EBADMSG: shorter than its own header,
 * version other than 2, an extension or padding that does not fit. */
MUST_USE int rtp_parse(struct slice datagram, struct rtp_packet *out);
/* The same without the short way for the usual header: the twin that tests compare with. */
MUST_USE int rtp_parse_plain(struct slice datagram, struct rtp_packet *out);

/* ---- sending ---- */
struct rtp_send {
    uint32_t ssrc;
    uint16_t seq;          /* of the next packet */
    uint32_t timestamp_at; /* the timestamp of sample 0 of the leg's clock */
    uint64_t packets;
    uint64_t octets;         /* of payload, as a sender report counts them */
    uint32_t last_timestamp; /* of the last packet, for the sender report */
};

/* The three first values must be random (RFC 3550 5.1); the caller draws them. */
void rtp_send_init(struct rtp_send *s, uint32_t ssrc, uint16_t seq, uint32_t timestamp_at);
/* The wire timestamp of a sample of the leg's 64-bit clock. */
uint32_t rtp_send_timestamp(const struct rtp_send *s, int64_t sample);
/* Writes header and payload and counts them. 0 or -EMSGSIZE (nothing is counted). */
MUST_USE int rtp_send_packet(struct rtp_send *s, struct builder *b, uint8_t pt, bool marker,
                             uint32_t timestamp, struct slice payload);

/* The same where the payload lies, or will lie, behind the header already: writes RTP_HEADER_BYTES
 * and counts. */
void rtp_send_header(struct rtp_send *s, uint8_t *to, uint8_t pt, bool marker, uint32_t timestamp,
                     size_t payload_bytes);

/* ---- receiving ---- */
#define RTP_DROPOUT_MAX  3000 /* a forward jump up to here is loss, beyond it a restart (A.1) */
#define RTP_MISORDER_MAX 100  /* a packet up to this far back is late, beyond it a restart */
#define RTP_JUMP_MS      5000 /* timestamp and arrival further apart: the sender's clock restarts */

enum rtp_verdict {
    RTP_FRESH,     /* newer than all before; gaps show in `seq` */
    RTP_LATE,      /* older, not seen before: the reorder window decides */
    RTP_DUPLICATE, /* seen before: drop */
    RTP_SUSPECT,   /* another SSRC or a wild sequence number, for the first time: drop */
    RTP_RESYNC,    /* the stream starts, or starts again: reset what depends on continuity */
};

/* Where a packet stands on two 64-bit axes that go on across wraps and restarts. */
struct rtp_arrival {
    enum rtp_verdict verdict;
    int64_t seq;       /* packets; the first packet is 0 */
    int64_t timestamp; /* units of the RTP clock; the first packet is 0 */
};

/* One remote source as RFC 3550 A.1, A.3 and A.8 keep it. What each packet touches comes first. */
struct rtp_receive {
    uint32_t rate_hz; /* of the RTP clock: 8000 for G.711 and for G.722 too */
    uint32_t ssrc;
    uint32_t wire_stamp; /* of the newest packet, on the wire */
    uint16_t wire_seq;   /* the highest so far, on the wire */
    bool started;
    bool suspected;        /* a restart waits for its second packet */
    int64_t seq;           /* the highest so far, own axis */
    int64_t timestamp;     /* of the newest packet, own axis */
    uint64_t seen;         /* bit n: seq - n has arrived */
    int64_t newest_at_ns;  /* when it arrived */
    uint32_t wire_highest; /* of this SSRC: cycles << 16 | highest sequence number */
    uint32_t received;     /* of it: duplicates and late ones count, as in A.3 */
    uint32_t jitter_q4;    /* of it: interarrival jitter in timestamp units, times 16 (A.8) */
    uint32_t transit;
    uint64_t packets; /* of the whole call */
    bool transit_known;
    uint16_t suspect_next;
    uint32_t suspect_ssrc;
    /* of this SSRC since its last restart */
    uint32_t base_seq;       /* extended by cycles << 16 like wire_highest */
    uint32_t expected_prior; /* at the last report */
    uint32_t received_prior;
    /* of the whole call */
    uint64_t late, duplicates, suspects, resyncs, lost;
};

void rtp_receive_init(struct rtp_receive *r, uint32_t rate_hz);
/* Takes note of one packet that arrived at `at_ns` from an admitted source. A new SSRC or a wild
 * sequence number needs two packets in a row, so a stray one changes nothing. Packets that repeat
 * a timestamp (RFC 4733 events) do not count for jitter. */
struct rtp_arrival rtp_receive_packet(struct rtp_receive *r, const struct rtp_packet *p,
                                      int64_t at_ns);
/* Interarrival jitter in timestamp units. */
uint32_t rtp_receive_jitter(const struct rtp_receive *r);

/* What a receiver report says (RFC 3550 6.4.1). */
struct rtp_loss {
    uint8_t fraction;   /* of 256, since the last call */
    int32_t cumulative; /* clamped to 24 bits, signed */
    uint32_t highest_seq;
};
/* Starts the next interval. */
struct rtp_loss rtp_receive_report(struct rtp_receive *r);

/* ---- who may be heard: the lessons of RTP Bleed ---- */
struct rtp_address {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

bool rtp_address_equal(const struct rtp_address *a, const struct rtp_address *b);

enum rtp_lock {
    RTP_LOCK_PEER, /* exactly the announced address: nobody else, ever */
    RTP_LOCK_HOST, /* the announced host, port learned from its first packet */
    RTP_LOCK_ANY,  /* the first valid packet; for peers behind NAT */
};

#define RTP_RELEARN_MS  5000 /* after the first packet nothing is learned beyond this */
#define RTP_RELEARN_RUN 3    /* packets in a row that prove a continued stream */
#define RTP_RELEARN_SEQ 50   /* and how far ahead of the last one they may begin */

enum rtp_admission {
    RTP_REFUSED,  /* drop without any effect but a counter; never a reason to end the call */
    RTP_ADMITTED, /* from the peer */
    RTP_MOVED,    /* from the peer, whose address was just learned: send there from now on */
};

/* What each packet touches comes first. */
struct rtp_source {
    uint32_t ssrc; /* of the last admitted packet */
    uint16_t seq;
    uint8_t lock; /* enum rtp_lock */
    bool learned;
    struct rtp_address announced; /* by signalling */
    struct rtp_address peer;      /* where we send; the announced one until one is learned */
    bool final;                   /* nothing more is learned until rtp_source_reset() */
    uint8_t rival_run;
    uint16_t rival_next;
    struct rtp_address rival; /* who seems to continue the stream from elsewhere */
    int64_t learned_at_ns;
    uint64_t refused;
};

void rtp_source_init(struct rtp_source *s, enum rtp_lock lock, const struct rtp_address *announced);
/* A new offer or answer: learn afresh. */
void rtp_source_reset(struct rtp_source *s, const struct rtp_address *announced);
/* To be asked only of a packet that parsed, has a negotiated payload type and, with SRTP, the
 * right tag. The announced address always wins and ends learning; otherwise the first source
 * stays, and another takes over only within RTP_RELEARN_MS, with the same SSRC and
 * RTP_RELEARN_RUN consecutive sequence numbers. */
enum rtp_admission rtp_source_check(struct rtp_source *s, const struct rtp_address *from,
                                    const struct rtp_packet *p, int64_t now_ns);

/* Whether RTCP from there may be believed: the peer's host, from its RTP port (RFC 5761) or the one
 * above. The caller also compares the sender's SSRC before it acts on a BYE. */
bool rtp_source_admits_rtcp(const struct rtp_source *s, const struct rtp_address *from);

#endif
