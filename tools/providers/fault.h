/* Faults on cue: one line of the configuration each says whose requests go wrong, which of them,
 * and how. Parsing and picking are pure (chance is a parameter); carrying a fault out belongs to
 * the connection, see peer.c. A table is written at boot; `seen` counts on the loop's thread.
 *
 *     openai.chat request 2: status 429 retry-after 1
 *     deepgram.listen chance 5: close 1011 after 3
 *     cartesia.tts if angry: garbage after 1
 *     * every 10: late 30000 */
#ifndef PROVIDERS_FAULT_H
#define PROVIDERS_FAULT_H

#include "base/bytes.h"
#include "base/rand.h"

#define FAULTS_MAX        64 /* lines; beyond: refused */
#define FAULT_WHY_BYTES   160
#define FAULT_WORD_BYTES  64
#define FAULT_BYTES_MAX   UINT64_C(2147483648) /* of `huge` */
#define FAULT_AT_ONCE     -1                   /* instead of any answer */
#define FAULT_CLOSE_USUAL 1011

enum fault_when { FAULT_REQUESTS, FAULT_EVERY, FAULT_CHANCE, FAULT_IF };

enum fault_kind {
    FAULT_STATUS,  /* this HTTP status, to an upgrade as well */
    FAULT_RESET,   /* TCP reset */
    FAULT_CLOSE,   /* an end that is too early: a close frame, or half a body */
    FAULT_VANISH,  /* the same without a close frame */
    FAULT_SILENCE, /* nothing more, and the connection stays */
    FAULT_GARBAGE, /* a message, or a piece of a body, that is no sense */
    FAULT_UTF8,    /* a text that is not UTF-8 */
    FAULT_NOISE,   /* bytes that are not even the protocol */
    FAULT_HUGE,    /* one message, or one line, of `number` bytes */
    FAULT_ENDLESS, /* the same piece again and again */
    FAULT_DRIP,    /* `number` bytes a second */
    FAULT_LATE,    /* everything `number` milliseconds later */
    FAULT_ERROR,   /* the vendor's own error message, in mid-answer */
};

struct fault {
    char service[FAULT_WORD_BYTES]; /* "*": any */
    enum fault_when when;
    uint64_t first, last; /* REQUESTS: numbers from 1; EVERY, CHANCE in per cent: first */
    char word[FAULT_WORD_BYTES];
    enum fault_kind kind;
    uint64_t number;     /* status, close code, bytes, bytes a second, milliseconds */
    int64_t after;       /* pieces that are sent before it, or FAULT_AT_ONCE */
    int64_t retry_after; /* seconds, -1: not said */
};

/* 0, or -EINVAL with one clause in `why` (FAULT_WHY_BYTES). */
MUST_USE int fault_parse(struct slice line, struct fault *out, char *why);
/* The word by which the log names it. */
const char *fault_name(enum fault_kind kind);

/* Which of the faults happens to this request, or NULL: the first line that fits. `number` counts
 * the requests of its service from 1; `text` is what it asked. */
const struct fault *fault_pick(const struct fault *faults, size_t count, const char *service,
                               uint64_t number, struct slice text, struct rand *chance);
/* The same for a later message on a socket: only the lines with `if`. */
const struct fault *fault_in_message(const struct fault *faults, size_t count, const char *service,
                                     struct slice text);

#endif
