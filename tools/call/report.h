/* What came of a call, for people and for programs. Composes text; the program prints it. */
#ifndef CALL_REPORT_H
#define CALL_REPORT_H

#include "tools/call/plan.h"

#define REPORT_BYTES (256 * 1024)

struct report {
    const struct caller *caller;
    const struct plan *plan;
    const char *call_id;   /* the server's, or the carrier's */
    const char *protocol;  /* "twilio", "rtp" */
    const char *recording; /* absolute, or NULL */
    const char *error;     /* a sentence, or NULL */
    bool placed;           /* the call was up */
    bool timed_out;
};

/* "completed", "ended_early", "failed", "timeout" or "refused". */
const char *report_status(const struct report *r);
/* One turn, a line of text without its end: JSON, or for people. */
void report_turn(const struct report *r, uint32_t turn, bool json, struct builder *out);
/* The whole call likewise. */
void report_call(const struct report *r, bool json, struct builder *out);

#endif
