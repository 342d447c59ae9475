/* What goes between one provider, its actor and the world, as text: the format is in README.md
 * beside this file. A transcript is read once and replayed many times (replay.h). Test programs
 * only; never a part of the product. */
#ifndef TRANSCRIPTS_TRANSCRIPT_H
#define TRANSCRIPTS_TRANSCRIPT_H

#include "provider/provider.h"

#define TRANSCRIPT_STEPS_MAX 1024   /* lines with a meaning; beyond: refused */
#define TRANSCRIPT_BYTES_MAX 524288 /* of a file; beyond: refused */
#define TRANSCRIPT_WHY_BYTES 512

enum step_kind {
    STEP_CASE,
    /* what the agent's file says */
    STEP_PROVIDER,
    STEP_CONFIG,
    STEP_SETTING,
    STEP_TOOL,
    STEP_ENVIRONMENT,
    /* the actor */
    STEP_LINE, /* a line of the history; word: "caller", "agent" or "none" */
    STEP_DO,   /* word: what it does */
    STEP_WAIT,
    /* the world */
    STEP_OPENED,
    STEP_TEXT,
    STEP_BINARY,
    STEP_STATUS,
    STEP_BODY,
    STEP_END,
    STEP_CLOSED,
    STEP_EXPECT, /* what the provider wants or says */
};

struct step {
    enum step_kind kind;
    uint32_t number;   /* of its line, from 1 */
    struct slice word; /* of CONFIG, SETTING, TOOL, LINE, DO */
    uint32_t epoch;    /* DO */
    int64_t value;     /* DO audio: samples; WAIT: ms; STATUS, CLOSED: the number */
    struct slice text; /* what is left of the line */
};

struct transcript {
    struct slice bytes; /* the file */
    struct step steps[TRANSCRIPT_STEPS_MAX];
    size_t count;
    size_t case_at[64]; /* steps before the first are common to all cases */
    size_t case_count;
};

/* Borrows `bytes`. 0, or -EINVAL and `why` ("line 7: what"). */
MUST_USE int transcript_parse(struct transcript *t, struct slice bytes, char *why);
/* Reads a file; NULL with `why`. */
struct transcript *transcript_new(const char *path, char *why);
void transcript_free(struct transcript **t);
/* What stands for bytes that are no text: FNV-1a of 32 bits. */
uint32_t transcript_sum(struct slice bytes);

#endif
