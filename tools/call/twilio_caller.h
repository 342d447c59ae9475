/* Twilio Media Streams from the carrier's side: what a program that plays the caller says and
 * hears. Pure compose and parse functions; the calling program owns the socket, the pacing and the
 * counters. Any thread. */
#ifndef CALL_TWILIO_CALLER_H
#define CALL_TWILIO_CALLER_H

#include "base/bytes.h"

#define TWILIO_CALLER_MARK_BYTES 128

struct twilio_caller {
    const char *stream_id; /* "MZ..." */
    const char *call_id;   /* "CA..." */
    const char *account;   /* "AC..." */
    const char *agent;     /* custom parameter, or NULL */
    const char *token;     /* custom parameter, or NULL */
    uint64_t sequence;     /* of the next message; the start's is 1 */
    uint64_t chunk;        /* of the next audio message; begins with 1 */
};

/* The strings are borrowed and must outlive it. */
void twilio_caller_init(struct twilio_caller *c, const char *stream_id, const char *call_id,
                        const char *account, const char *agent, const char *token);

/* Each appends one text message; too little room sets out->bad. Numbers go as strings, as Twilio
 * sends them. `connected` and `start` come first, in this order; `stop` last. */
void twilio_caller_connected(struct builder *out);
void twilio_caller_start(struct twilio_caller *c, struct builder *out);
/* mu-law, 8 kHz; 160 bytes are 20 ms. `timestamp_ms` since the stream's start. */
void twilio_caller_media(struct twilio_caller *c, uint64_t timestamp_ms, struct slice audio,
                         struct builder *out);
/* The echo of a mark: everything before it was played or cleared. */
void twilio_caller_mark(struct twilio_caller *c, const char *name, struct builder *out);
void twilio_caller_dtmf(struct twilio_caller *c, char digit, struct builder *out);
void twilio_caller_stop(struct twilio_caller *c, struct builder *out);

enum twilio_heard_kind {
    TWILIO_HEARD_MEDIA, /* audio: mu-law to be played behind what is buffered */
    TWILIO_HEARD_MARK,  /* mark: echo it once all audio before it was played */
    TWILIO_HEARD_CLEAR, /* drop what is buffered and echo its marks at once */
    TWILIO_HEARD_OTHER, /* what: unknown event, which Twilio would report as 31951 */
    TWILIO_HEARD_BAD,   /* what: malformed; Twilio would end the stream with 31924 */
};

struct twilio_heard {
    enum twilio_heard_kind kind;
    const char *what;   /* a literal */
    struct slice audio; /* in the buffer given */
    char mark[TWILIO_CALLER_MARK_BYTES];
};

/* One whole text message from the server, as strict as Twilio is: streamSid must be ours, and mark
 * needs its nested object. */
void twilio_caller_parse(const struct twilio_caller *c, struct slice message, void *audio,
                         size_t audio_bytes, struct twilio_heard *heard);

#endif
