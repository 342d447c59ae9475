/* The command line of sidetone-call, read once at its start by its only thread; the options belong
 * to the program and borrow from argv. It loads the clips and the plan that it names, and never
 * opens a socket. */
#ifndef CALL_OPTIONS_H
#define CALL_OPTIONS_H

#include "tools/call/plan.h"
#include "base/url.h"

/* What the program ends with. */
enum options_exit {
    EXIT_COMPLETED = 0, /* every step was taken, and the call ended in order */
    EXIT_USAGE = 1,     /* options, plan or sound files are wrong, or the recording failed */
    EXIT_REFUSED = 2,   /* no call: nobody listens, or the server refused it */
    EXIT_ENDED = 3,     /* the call ended early or broke */
    EXIT_TIMEOUT = 4,   /* --timeout passed */
};

struct options {
    bool rtp;
    bool json;
    bool alaw;
    bool has_url;
    struct url url; /* of the media WebSocket */
    struct url api;
    bool has_api;
    const char *agent; /* or NULL: the last part of the URL's path */
    const char *token;
    const char *record;
    const char *local; /* address of the RTP socket */
    uint32_t noise;
    int64_t timeout_ns;
    int64_t barge_ms;
    uint64_t seed;
    bool seeded;
};

/* 0; 1 when --help was printed; -1 with a sentence on stderr. Steps go to `plan`. */
MUST_USE int options_parse(struct options *o, int argc, char **argv, struct plan_step *steps,
                           uint32_t *count);

#endif
