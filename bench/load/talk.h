/* When a caller talks: it waits until the agent has said something and fallen silent, pauses,
 * speaks, and waits again. Lengths are drawn from exponential distributions in integers, with the
 * means of ITU-T P.59 (talk spurts of 1.004 s, mutual silence of 0.508 s) unless told otherwise,
 * so a seed gives the same conversation everywhere. Pure: time is a parameter. One thread.
 *
 *   HEARING ──quiet, or no answer──▶ PAUSING ──drawn──▶ SPEAKING ──drawn──▶ HEARING */
#ifndef LOAD_TALK_H
#define LOAD_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"

struct talk_rules {
    int64_t spurt_ms;  /* mean length of what the caller says */
    int64_t least_ms;  /* shorter ones are drawn out to this: a breath is no turn */
    int64_t pause_ms;  /* mean silence between the agent's end and the caller's start */
    int64_t quiet_ms;  /* silence after which the agent counts as finished */
    int64_t answer_ms; /* no answer within this: the turn counts as unanswered */
};

enum talk_state { TALK_HEARING, TALK_PAUSING, TALK_SPEAKING };

struct talk {
    enum talk_state state;
    struct rand rand;
    bool answered;    /* HEARING: the agent has begun */
    uint32_t frames;  /* SPEAKING: left to say */
    int64_t until_ns; /* HEARING: the answer's or the silence's deadline; PAUSING: the end */
    uint32_t turns, unanswered;
};

/* `greeted`: the agent speaks first. */
void talk_init(struct talk *t, const struct talk_rules *rules, uint64_t seed, bool greeted,
               int64_t now_ns);
/* To be asked once per 20 ms frame: is this frame speech? *last: it ends the turn. */
bool talk_frame(struct talk *t, const struct talk_rules *rules, int64_t now_ns, bool *last);
/* The agent's voice was heard. */
void talk_heard(struct talk *t, const struct talk_rules *rules, int64_t now_ns);
/* A length in ms with this mean: exponential, cut at 4.9 times the mean. */
int64_t talk_draw(struct rand *r, int64_t mean_ms);

#endif
