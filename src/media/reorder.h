/* The listening path's window: packets of one stream, put back into order without a jitter buffer.
 * In order they pass at once; a missing one is waited for only while a bound of packets and time
 * lasts, then it is a gap to conceal. Owned by the media leg, on its shard. It names frames and
 * never touches them: references come in and go out, and what is refused stays the caller's. */
#ifndef MEDIA_REORDER_H
#define MEDIA_REORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"

#define REORDER_PACKETS_MAX 8 /* waiting packets; the oldest gap is given up before more wait */

struct reorder_slot {
    int64_t seq;
    frame_ref ref;
    int64_t at_ns;
};

/* What a packet in order touches comes last. */
struct reorder {
    struct reorder_slot slots[REORDER_PACKETS_MAX]; /* by seq, ascending */
    int64_t wait_ns;                                /* one that waits this long and */
    uint32_t packets_max; /* this many waiting give the gap before them up */
    uint64_t late;
    uint64_t duplicates;
    uint64_t reordered; /* came late and were still in time */
    uint64_t gaps;      /* packets given up */
    int64_t next;       /* the sequence number that may leave */
    uint32_t count;
    bool started;
};

/* packets_max is clamped to 1..REORDER_PACKETS_MAX - 1. */
void reorder_init(struct reorder *r, uint32_t packets_max, int64_t wait_ns);

/* `seq` is the 64-bit number from rtp_receive_packet(). Takes `ref`; FRAME_NONE stands for a packet
 * without audio (a telephone event), which fills its place. 0; the caller keeps the reference on
 * -EEXIST (duplicate), -ETIME (its turn has passed) and -ENOBUFS (reorder_next() was not asked
 * until it had nothing more). */
MUST_USE int reorder_put(struct reorder *r, int64_t seq, frame_ref ref, int64_t now_ns);

/* Whether this packet is the next one and nothing waits, so that it need not be put at all: then it
 * counts as taken, and the caller uses what it holds. */
bool reorder_pass(struct reorder *r, int64_t seq);

enum reorder_kind { REORDER_NONE, REORDER_FRAME, REORDER_GAP };

struct reorder_out {
    enum reorder_kind kind;
    int64_t seq;       /* of the frame, or the first one missing */
    frame_ref ref;     /* FRAME: the caller's from now on; FRAME_NONE for a packet without audio */
    int64_t count;     /* GAP: packets missing in a row; may be large after an outage */
    int64_t waited_ns; /* FRAME: how long it was held */
};

/* Call until NONE, after every put and every tick. */
struct reorder_out reorder_next(struct reorder *r, int64_t now_ns);
/* When a waiting packet will be let go, or NEVER_NS. */
int64_t reorder_deadline_ns(const struct reorder *r);
/* A restart of the stream: hands out, in order, what waits (REORDER_NONE when empty), without
 * gaps; afterwards the next packet put starts afresh. */
struct reorder_out reorder_drain(struct reorder *r);

#endif
