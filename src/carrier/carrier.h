/* Media dialects: what a telephony carrier speaks over its WebSocket. One ops table per dialect,
 * one line each in carriers.def; which one a socket speaks is told by its first messages. Pure: a
 * message in, an event out; audio in, a message out. The leg that owns the socket owns the state,
 * the pacing and the clock; a dialect does no I/O, keeps no global, and allocates only for messages
 * other than audio. Shard threads.
 *
 *     first messages ──▶ carrier_find ──▶ ops ──▶ carrier_init
 *     message ──▶ ops->parse ──▶ CONNECTED START (MEDIA | DTMF | MARK)* STOP
 *     audio ──▶ ops->media | mark | clear | hang_up ──▶ message
 *     what a page shows beside the sound ──▶ ops->ready | tell ──▶ message */
#ifndef CARRIER_CARRIER_H
#define CARRIER_CARRIER_H

#include "base/bytes.h"
#include "base/json.h"
#include "base/limits.h"

#define CARRIER_NUMBER_BYTES 32

enum carrier_encoding { CARRIER_MULAW8, CARRIER_ALAW8, CARRIER_L16 };

enum carrier_event_kind {
    CARRIER_CONNECTED, /* the preamble, before anything is known */
    CARRIER_START,     /* start */
    CARRIER_MEDIA,     /* sequence, chunk, timestamp_ms, audio */
    CARRIER_DTMF,      /* digit */
    CARRIER_MARK,      /* mark: all audio sent before it was played, or cleared */
    CARRIER_STOP,      /* the call ended; nothing follows */
    CARRIER_IGNORED,   /* legal, but nothing for us: unknown events, another track */
    CARRIER_BAD,       /* what: end this call with it */
};

struct carrier_start {
    char stream_id[CARRIER_ID_BYTES]; /* letters, digits, '-' and '_' only */
    char call_id[CARRIER_ID_BYTES];
    char account[CARRIER_ID_BYTES];  /* "" if the dialect has none */
    char agent[NAME_MAX_BYTES + 1];  /* custom parameter "agent" or "agent_id", or "" */
    char token[CARRIER_TOKEN_BYTES]; /* custom parameter "token", or "" */
    char from[CARRIER_NUMBER_BYTES]; /* custom parameter "from", or "" */
    char to[CARRIER_NUMBER_BYTES];
    enum carrier_encoding encoding;
    uint32_t rate_hz;
};

/* Only the members of its kind are set. Holds no pointer into the message. */
struct carrier_event {
    enum carrier_event_kind kind;
    const char *what;      /* BAD, IGNORED: a literal for the log */
    uint64_t sequence;     /* as the carrier counts messages; 0 if it does not say */
    uint64_t chunk;        /* as it counts audio messages; 0 if it does not say */
    uint64_t timestamp_ms; /* since the stream's start, by its clock; 0 if it does not say */
    struct slice audio;    /* MEDIA: encoded samples, in the buffer given to parse, never empty */
    char digit;            /* DTMF: 0-9 * # A-D */
    char mark[CARRIER_MARK_BYTES];
    struct carrier_start start;
};

/* Where a dialect is spoken: some begin alike, and the path of the socket tells them apart. */
enum carrier_path { CARRIER_PATH_MEDIA, CARRIER_PATH_BROWSER, CARRIER_PATH_BOTH };

enum carrier_news_kind {
    CARRIER_NEWS_STATE, /* state: whose turn it is */
    CARRIER_NEWS_WORDS, /* turn, user, final, cut, keys, text: all of it so far, not what is new */
    CARRIER_NEWS_LATENCY, /* turn, barge_in, keys, instants_ms */
};

/* The instants of a turn's ledger, in its order. */
enum carrier_instant {
    CARRIER_VOICED,
    CARRIER_DECIDED,
    CARRIER_STT_FINAL,
    CARRIER_FIRST_TOKEN,
    CARRIER_FIRST_TTS,
    CARRIER_AUDIBLE,
    CARRIER_INSTANTS
};

/* What somebody who watches the call is told of it. Only the members of its kind are set. */
struct carrier_news {
    enum carrier_news_kind kind;
    uint32_t turn;
    const char *state;
    bool user;  /* the caller's words; else the agent's */
    bool final; /* they do not change any more */
    bool cut;   /* the caller interrupted them */
    bool keys;  /* they are pressed digits */
    bool barge_in;
    struct slice text;
    int64_t wall_ms;                       /* when */
    int64_t instants_ms[CARRIER_INSTANTS]; /* since the call began; -1: there was none */
};

enum carrier_phase { CARRIER_NEW, CARRIER_STARTED, CARRIER_STOPPED };

/* One stream's state; embedded in the leg. */
struct carrier {
    const struct carrier_ops *ops;
    enum carrier_phase phase;
    char stream_id[CARRIER_ID_BYTES];
    size_t stream_id_len;
    uint64_t sequence; /* of the newest audio message: going back is a fault */
    uint64_t chunk;
    bool binary_audio;         /* the peer asked for audio in binary messages */
    uint64_t out_sequence;     /* of the audio message being made, counted by the leg */
    uint64_t out_timestamp_ms; /* when that is due, since the stream's start */
};

enum carrier_detect {
    CARRIER_NO,    /* not this dialect */
    CARRIER_MAYBE, /* a preamble that it shares with others: drop it and look at the next message */
    CARRIER_YES,   /* parse this same message with it */
};

struct carrier_ops {
    const char *name;       /* "twilio" */
    bool buffers;           /* the carrier plays from a buffer of its own; else we pace */
    bool marks_after_clear; /* it echoes the marks that a clear removes */
    uint32_t lead_ms;       /* how far ahead of real time to send */
    enum carrier_path path; /* where it is spoken */
    bool token_always;      /* nobody comes in without a token, whatever is configured */

    /* `doc`: the message as JSON, or NULL if it is none. */
    enum carrier_detect (*detect)(bool text, struct slice message, const struct json_doc *doc);
    /* One whole message in, one event out. Audio is decoded into `audio` (audio_bytes); what does
     * not fit is BAD. After BAD or STOP further messages are IGNORED. */
    void (*parse)(struct carrier *c, bool text, struct slice message, void *audio,
                  size_t audio_bytes, struct carrier_event *ev);
    /* Each appends one message to `out` (text, unless binary says otherwise); audio must not be
     * empty. Valid once START was parsed. NULL where the dialect has no such thing. */
    void (*media)(const struct carrier *c, struct slice audio, struct builder *out);
    void (*mark)(const struct carrier *c, const char *name, struct builder *out);
    void (*clear)(const struct carrier *c, struct builder *out);
    void (*hang_up)(const struct carrier *c, struct builder *out); /* NULL: close the socket */
    bool binary;
    /* The call has begun and has this id; NULL where nobody waits to hear it. */
    void (*ready)(struct carrier *c, const char *call_id, struct builder *out);
    /* Appends a message, or nothing where the dialect has none for this; NULL: it has none. */
    void (*tell)(const struct carrier *c, const struct carrier_news *news, struct builder *out);
};

void carrier_init(struct carrier *c, const struct carrier_ops *ops);
/* Which dialect of the media path begins with this message? CARRIER_YES sets *ops. */
enum carrier_detect carrier_find(bool text, struct slice message, const struct carrier_ops **ops);
/* The same on any path. */
enum carrier_detect carrier_find_at(enum carrier_path path, bool text, struct slice message,
                                    const struct carrier_ops **ops);
/* By name, NULL if there is none; the i-th of all, NULL beyond the last. */
const struct carrier_ops *carrier_named(const char *name);
const struct carrier_ops *carrier_at(size_t i);

/* ---- for dialects ---- */
void carrier_bad(struct carrier *c, struct carrier_event *ev, const char *what);
void carrier_ignore(struct carrier_event *ev, const char *what);
/* Letters, digits, '-' and '_': an id that can stand in a message unescaped. */
bool carrier_id_plain(struct slice id);
/* '0'-'9', '*', '#', 'A'-'D' (from either case), or 0 for anything else. */
char carrier_digit(const char *text);
/* The digit at dtmf.digit, or BAD. */
void carrier_dtmf(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev);
/* Refuses audio whose sequence or chunk number goes back; remembers them otherwise. */
bool carrier_in_order(struct carrier *c, const struct carrier_event *ev);
/* A text, or a count, that may be missing: then "", or 0. Else as json_text_of, json_int_of. */
MUST_USE int carrier_text(const struct json_doc *doc, const char *path, char *out,
                          size_t out_bytes);
MUST_USE int carrier_count(const struct json_doc *doc, const char *path, uint64_t *out);

#endif
