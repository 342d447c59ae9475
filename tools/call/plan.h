/* What a caller does in one call, step by step, and what came of it: drives a `struct caller` as a
 * polite person would (who waits until the other has finished, unless told to interrupt) and
 * measures each turn. No clock, no I/O, no allocation; plan_drive() is called after each step of
 * the caller. Integer arithmetic only.
 *
 *     WAITING (agent finished, or audible long enough to interrupt) ──▶ ACTING ──▶ ANSWERING ─┐
 *        ▲───────────────────────── next step ────────────────────────────────────────────────┘
 *
 * voice_to_voice: from the last voiced sample said (or the digit sent) to the first voiced sample
 * of the answer, both on the caller's timeline. The answer is the first spurt that began after the
 * caller began and is still audible when the caller has ended; it may begin before that: negative
 * figures show an agent that talks over its caller. */
#ifndef CALL_PLAN_H
#define CALL_PLAN_H

#include "tools/call/caller.h"

#define PLAN_STEPS_MAX   64
#define PLAN_TEXT_BYTES  512
#define PLAN_QUIET_MS    600   /* so long after its last sound the agent has finished */
#define PLAN_GREETING_MS 5000  /* who is not greeted by then speaks first */
#define PLAN_PATIENCE_MS 30000 /* an agent that talks longer is spoken to all the same */
#define PLAN_ANSWER_MS   8000  /* no answer by then: the next step */
#define PLAN_BARGE_MS    700   /* into the agent's speech: when an interruption begins */

enum plan_act { PLAN_SAY, PLAN_PRESS, PLAN_WAIT, PLAN_HANG_UP };

struct plan_step {
    enum plan_act act;
    struct caller_clip clip;
    bool barge_in;
    int64_t wait_ms;
    char digits[CALLER_DIGITS_MAX + 1];
    char meant[PLAN_TEXT_BYTES];
};

/* What came of a PLAN_SAY or PLAN_PRESS. */
struct plan_turn {
    uint32_t step;
    int64_t begin_ms; /* of its voice, on the timeline; of a digit, when it was sent */
    int64_t end_ms;
    bool answered;
    int64_t answer_ms; /* first voiced sample of the answer, on the timeline */
    int64_t voice_to_voice_ms;
    bool interrupted; /* the agent was audible when the caller began */
    bool stopped;     /* and fell silent for EAR_GAP_MS */
    int64_t stop_ms;  /* after the caller's first voiced sample */
};

enum plan_phase { PLAN_WAITING, PLAN_ACTING, PLAN_ANSWERING, PLAN_ENDED };

struct plan {
    struct plan_step *steps;
    uint32_t count;
    int64_t barge_ms;
    /* where it stands */
    uint32_t at;
    enum plan_phase phase;
    int64_t since;   /* timeline: when the phase began */
    uint32_t spurts; /* of the ear when the caller began */
    struct plan_turn turns[PLAN_STEPS_MAX];
    uint32_t turn_count;
    uint32_t turns_over; /* of these, whose answer came or will not come */
};

/* `steps` stays the owner's. */
void plan_init(struct plan *p, struct plan_step *steps, uint32_t count);
/* After each caller_step(). */
void plan_drive(struct plan *p, struct caller *c, struct caller_output *out);
/* True once every step has been taken. */
bool plan_done(const struct plan *p);

#endif
