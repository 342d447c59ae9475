/* The ear of a call in virtual time: the product's own voice detector, its pre-roll and its turn
 * machine over one recorded sentence, so that a sentence cut in two, a lost beginning or a late
 * decision shows without a call. What the recogniser does is its owner's affair. One thread. */
#ifndef HEAR_LINE_H
#define HEAR_LINE_H

#include "actors/call/turn.h"
#include "media/resample.h"
#include "media/vad.h"

#define LINE_FRAME    160 /* 20 ms at 8 kHz */
#define LINE_PRE_ROLL 18  /* frames, as the call's own */

struct line_ops {
    /* A new utterance; `goes_on`: with the words of the last, whose answer is taken back. */
    void (*listen)(void *owner, bool goes_on);
    void (*audio)(void *owner, const int16_t *pcm, size_t n); /* 16 kHz */
    uint32_t (*finish)(void *owner);                          /* words of the final */
    void (*forget)(void *owner);
    /* How the hypothesis stands now: words, complete, expected. */
    void (*words)(void *owner, struct turn_event *e);
};

struct line_report {
    unsigned answers, unclear; /* more than one: the sentence was split */
    int64_t decided;           /* sample at which the last turn was decided, -1: never */
    int64_t voiced;            /* what the turn takes for the one after the last voiced sample */
};

/* `config` of the detector and `rules` as the agent's file says; pcm at 8 kHz. 0 or -errno. */
MUST_USE int line_hear(const struct vad_config *config, const struct turn_rules *rules,
                       const int16_t *pcm, size_t count, const struct line_ops *ops, void *owner,
                       struct line_report *out);

#endif
