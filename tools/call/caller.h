/* One telephone caller, without its wires: what it says goes out in 20 ms frames, what it hears
 * comes in, over the media dialect of a carrier. No socket, no clock, no allocation: the owner
 * calls caller_step() with the time and with what arrived, and sends what comes out; so the same
 * caller runs against a real server and under a virtual clock. Integer arithmetic only. One thread.
 *
 *     received bytes ──▶ dialect ──▶ ear ──▶ heard, spurts, marks due ──▶ dialect ─┐
 *     clip or silence ──▶ mouth, a frame every 20 ms ──▶ dialect ──────────────────┴▶ pieces to
 * send
 *
 * The timeline counts samples (8000 per second) from the moment the call is up. A frame's samples
 * stand on it from the instant at which the frame is due to be sent; a heard sample stands where it
 * is played.
 *
 *     DIALLING ──up──▶ TALKING ──caller_hang_up──▶ LEAVING ──▶ OVER
 *         └───────────────┴── refused, closed, broken ─────────▶ OVER */
#ifndef CALL_CALLER_H
#define CALL_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/rand.h"
#include "media/dtmf.h"
#include "media/rtp.h"
#include "net/http_head.h"
#include "net/websocket.h"
#include "tools/call/ear.h"
#include "tools/call/twilio_caller.h"

#define CALLER_FRAME_SAMPLES 160
#define CALLER_FRAME_NS      MS(20)
#define CALLER_CATCHUP_MAX   50       /* frames sent in one step at most; the rest in the next */
#define CALLER_LEAVE_NS      MS(2000) /* for the far end to close after we hung up */
#define CALLER_PIECES_MAX    160
#define CALLER_OUTPUT_BYTES  131072
#define CALLER_DIGITS_MAX    32 /* digits waiting to be sent; beyond: refused */
#define CALLER_ID_BYTES      40
#define CALLER_HEARD_MAX     8000 /* samples of one media message; beyond: played in parts */
#define CALLER_PT_EVENTS     101  /* RFC 4733 telephone events */

/* What a step wants sent, in order: stream bytes, or one datagram per piece. */
struct caller_output {
    struct builder bytes;
    size_t ends[CALLER_PIECES_MAX]; /* where each piece ends in `bytes` */
    size_t count;
    bool bad; /* did not fit: the call ends */
    uint8_t store[CALLER_OUTPUT_BYTES];
};

void caller_output_init(struct caller_output *out);
struct slice caller_output_piece(const struct caller_output *out, size_t i);
/* The dialects' side: what was added to out->bytes since the last end is one piece. */
void caller_output_end(struct caller_output *out);

/* Something to say. Samples borrowed while it is said. */
struct caller_clip {
    const int16_t *pcm; /* 8 kHz */
    int64_t samples;
    int64_t voiced_first, voiced_last; /* or -1, when nothing is */
};

enum caller_state { CALLER_DIALLING, CALLER_TALKING, CALLER_LEAVING, CALLER_OVER };

/* How a call ended. */
enum caller_end {
    CALLER_END_NONE,
    CALLER_END_OURS,    /* we hung up */
    CALLER_END_THEIRS,  /* the far end did, in order */
    CALLER_END_REFUSED, /* the upgrade was answered with something else: http_status says what */
    CALLER_END_BROKEN,  /* the far end broke the protocol, or the connection was cut */
};

struct caller;
struct caller_dialect {
    const char *name;
    /* The connection is there: says hello. */
    void (*open)(struct caller *c, struct caller_output *out);
    /* Bytes received (a datagram, or a part of a stream; writable memory). */
    void (*input)(struct caller *c, struct slice in, struct caller_output *out);
    /* One frame of 160 samples. */
    void (*frame)(struct caller *c, const int16_t *pcm, struct caller_output *out);
    /* Once per digit, before a frame. 0 or -ENOBUFS: ask again before the next. */
    int (*digit)(struct caller *c, char digit, struct caller_output *out);
    void (*mark)(struct caller *c, const char *name, struct caller_output *out);
    void (*hang_up)(struct caller *c, struct caller_output *out);
    /* A broken message of the dialect, for tests of the far end. */
    void (*raw)(struct caller *c, struct slice bytes, struct caller_output *out);
};

extern const struct caller_dialect caller_twilio;
extern const struct caller_dialect caller_rtp;

struct caller_config {
    const struct caller_dialect *dialect;
    const char *host;   /* twilio: of the upgrade request, with port */
    const char *target; /* twilio: path and query */
    const char *agent;  /* twilio: custom parameters of the start message, or NULL */
    const char *token;
    uint64_t seed;  /* call ids, SSRC, masks, noise */
    uint32_t noise; /* peak of the comfort noise sent in silence; 0: digital silence */
    uint8_t pt;     /* rtp: RTP_PT_PCMU or RTP_PT_PCMA */
    int16_t *ear;   /* memory of the ear's queue */
    uint32_t ear_samples;
    uint8_t *message; /* twilio: memory for the largest message taken */
    size_t message_bytes;
    int16_t *record; /* stereo pairs, left what is said, right what is heard; or NULL */
    int64_t record_pairs;
};

struct caller_twilio {
    struct ws ws;
    struct http_head head; /* of the answer to the upgrade */
    uint8_t reply[HTTP_HEAD_BYTES_MAX];
    size_t reply_len;
    char key[WS_KEY_CHARS + 1];
    bool upgraded;
    bool closing; /* our close frame is out */
    struct twilio_caller stream;
    char stream_sid[CALLER_ID_BYTES];
    uint64_t others; /* messages that Twilio does not know either */
    const char *other;
};

struct caller_rtp {
    struct rtp_send send;
    bool started;
    uint32_t ssrc; /* of the far end */
    uint16_t seq;  /* newest of the far end */
    struct dtmf_send dtmf;
    bool talking;     /* the last packet was audio */
    int64_t heard_ns; /* when the newest packet came, or the call began */
    uint64_t lost, late;
    /* while dialling: where the far end's first sample stands on our clock */
    uint32_t first_stamp;
    uint32_t packets;
    int64_t origin_ns;
};

struct caller {
    struct caller_config config;
    enum caller_state state;
    enum caller_end end;
    int http_status;  /* CALLER_END_REFUSED */
    const char *what; /* how it ended: a literal */
    struct rand rand;
    char call_id[CALLER_ID_BYTES];
    int64_t now_ns;
    int64_t up_ns;    /* DIALLING: when the line counts as up although nothing has come */
    int64_t start_ns; /* timeline sample 0, valid from TALKING on */
    int64_t leave_ns; /* LEAVING: when to stop waiting */
    int64_t frames;   /* sent */
    struct ear ear;
    /* the mouth */
    struct caller_clip clip;
    bool speaking;
    int64_t clip_at;   /* timeline: where the clip's first sample stands */
    int64_t clip_next; /* sample of the clip to be sent next */
    char digits[CALLER_DIGITS_MAX];
    uint32_t digit_count;
    int64_t digit_at;     /* timeline: when the last digit was sent */
    uint64_t late_frames; /* sent more than a frame late */
    uint32_t clears;
    union {
        struct caller_twilio twilio;
        struct caller_rtp rtp;
    };
};

/* Boot of one call; everything in `config` stays alive as long as the call. */
void caller_init(struct caller *c, const struct caller_config *config);

/* The connection (or the UDP socket) is ready: the first bytes go out. */
void caller_open(struct caller *c, int64_t now_ns, struct caller_output *out);
/* Time goes on, and `in` arrived then (or is empty). `in` lies in writable memory. Only while
 * dialling may an arrival lie before what was told last. */
void caller_step(struct caller *c, int64_t now_ns, struct slice in, struct caller_output *out);
/* The far end closed the stream, or it broke (err: a positive errno). */
void caller_closed(struct caller *c, int64_t now_ns, int err);
/* When caller_step() wants to be called although nothing arrived, or NEVER_NS. */
int64_t caller_deadline(const struct caller *c);

/* ---- what the caller does; each in TALKING only ---- */

/* From the next frame on; what was being said is cut short. */
void caller_say(struct caller *c, const struct caller_clip *clip);
/* 0, or -ENOBUFS when too many wait, or -EINVAL for a character that no telephone has. */
MUST_USE int caller_press(struct caller *c, char digit);
void caller_hang_up(struct caller *c, struct caller_output *out);
void caller_raw(struct caller *c, struct slice bytes, struct caller_output *out);

/* Timeline of the last voiced sample of the clip being said or said last. */
int64_t caller_voice_end(const struct caller *c);
int64_t caller_voice_begin(const struct caller *c);
/* Timeline now. */
int64_t caller_time(const struct caller *c);

/* ---- for the dialects ---- */
/* The line is up, since an instant that is not later than now: sample 0 of the timeline. */
void caller_up(struct caller *c, int64_t since_ns);
void caller_heard(struct caller *c, const int16_t *pcm, size_t samples);
void caller_over(struct caller *c, enum caller_end end, const char *what);

/* Finds the first and the last voiced sample by energy: a window of 10 ms counts when its mean
 * magnitude is at least EAR_VOICED_LEVEL and a tenth of the loudest window's. */
void caller_clip_measure(struct caller_clip *clip);

#endif
