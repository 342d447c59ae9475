/* Telephone events (RFC 4733) both ways: digits out of packets and digits into packets. Owned by
 * the media leg, on its shard; pure. The receiver reports a digit once per RTP timestamp, at the
 * first packet of it that arrives, whatever was lost: marker, start, end or any in between. */
#ifndef MEDIA_DTMF_H
#define MEDIA_DTMF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define DTMF_PAYLOAD_BYTES 4
#define DTMF_EVENT_MAX     16 /* 0-9, *, #, A-D, flash; others are no digits */
#define DTMF_FLASH         16
#define DTMF_QUIET_MS      120  /* no packet of an event for so long: its end was lost */
#define DTMF_REORDER_MS    5000 /* an older timestamp within this is a straggler, not a restart */
#define DTMF_END_PACKETS   3
#define DTMF_ON_MS         100
#define DTMF_GAP_MS        60

/* '0'-'9', '*', '#', 'A'-'D' (or 'a'-'d'), '!' for flash; -1 for anything else. */
int dtmf_event_of(char digit);
/* The digit of an event, or 0. */
char dtmf_digit_of(unsigned event);

struct dtmf_payload {
    uint8_t event;
    bool end;
    uint8_t volume;    /* -dBm0, 0-63 */
    uint16_t duration; /* timestamp units since the packet's timestamp */
};

/* Section 2.3. Longer payloads (further events, as tone trails use) are read for the first event.
 * 0 or -EBADMSG (shorter than four bytes). */
MUST_USE int dtmf_parse(struct slice payload, struct dtmf_payload *out);
void dtmf_build(const struct dtmf_payload *payload, uint8_t out[DTMF_PAYLOAD_BYTES]);

/* ---- receiving ---- */
struct dtmf_receive {
    uint32_t rate_hz;
    bool known;  /* the fields below speak of an event seen */
    bool active; /* and its end was not reported */
    uint8_t event;
    uint32_t timestamp; /* of its newest segment */
    uint32_t segments;  /* units in the segments before that one */
    uint16_t duration;  /* longest said of the newest segment */
    int64_t updated_ns;
    uint64_t ignored; /* stragglers, contradictions, events that are no digits */
};

/* What one call of the receiver has to say; digits are 0 where there is nothing. A lost end shows
 * as `ended` together with the next digit's `started`. */
struct dtmf_change {
    char started;      /* report this digit */
    char ended;        /* this one is over */
    uint32_t duration; /* of the one that is over, in timestamp units */
};

void dtmf_receive_init(struct dtmf_receive *r, uint32_t rate_hz);
/* One packet of the telephone-event payload type, after rtp_receive_packet() (RTP_DUPLICATE and
 * RTP_LATE ones may come too). */
struct dtmf_change dtmf_receive_packet(struct dtmf_receive *r, uint32_t timestamp,
                                       const struct dtmf_payload *payload, int64_t now_ns);
/* An audio packet: one after the event's time says that the event is over. */
struct dtmf_change dtmf_receive_audio(struct dtmf_receive *r, uint32_t timestamp);
/* Every tick: ends an event that went quiet. */
struct dtmf_change dtmf_receive_tick(struct dtmf_receive *r, int64_t now_ns);
/* RTP_RESYNC: timestamps mean nothing any more. An active event ends. */
struct dtmf_change dtmf_receive_reset(struct dtmf_receive *r);

/* ---- sending ---- */
enum dtmf_phase { DTMF_IDLE, DTMF_ON, DTMF_END, DTMF_GAP };

struct dtmf_send {
    enum dtmf_phase phase; /* this and the next are all that a slot without digits looks at */
    uint32_t count;
    uint32_t rate_hz;
    uint32_t on_units;
    uint32_t gap_units;
    uint32_t timestamp; /* of the current segment */
    uint32_t done;      /* units of the digit before this segment */
    uint32_t ends;      /* end packets sent */
    uint32_t gap_left;
    bool first;
    char digits[DTMF_DIGITS_MAX]; /* digits[0] is the current one */
};

struct dtmf_packet {
    bool marker;
    uint32_t timestamp;
    uint8_t payload[DTMF_PAYLOAD_BYTES];
};

/* on_ms 40 or more, gap_ms 50 or more (shorter ones are lengthened: receivers miss them). */
void dtmf_send_init(struct dtmf_send *s, uint32_t rate_hz, uint32_t on_ms, uint32_t gap_ms);
/* Queues a digit. 0, -EINVAL (no digit) or -ENOBUFS (the newest is dropped). */
MUST_USE int dtmf_send_add(struct dtmf_send *s, char digit);
/* Once per packet interval of `step` units, `timestamp` being that of the slot's audio: true if
 * *out is to be sent instead of audio. Audio may be sent, and time goes on, between digits. */
bool dtmf_send_step(struct dtmf_send *s, uint32_t timestamp, uint32_t step,
                    struct dtmf_packet *out);

#endif
