/* Whose turn it is to speak: the pure machine at the heart of a call. It is fed what happens
 * (speech starts and pauses, hypotheses, keys, the reply's progress, time) and answers with what to
 * do; it has no clock, no float, no I/O and no memory of its own beyond this struct, which the call
 * actor owns. Every transition goes through turn_enter(), which checks it against the table of
 * legal ones.
 *
 *               speech                pause              silence
 *   LISTENING ─────────▶ USER_SPEAKING ◀──────▶ ENDPOINTING ────────▶ THINKING
 *    ▲     ▲               ▲      ▲     speech                        │    │ first audible sample
 *    │     │               │      └────── speech: taken back ◀────────┘    ▼
 *    │     └──── all heard ┼──────────────────────────────────────────── SPEAKING
 *    │                     └── evidence: FLUSH ── PAUSED ◀── speech: HOLD ──┤
 *    └── noise, failed (from THINKING)              └── nothing: RESUME ────▶┘
 */
#ifndef CALL_TURN_H
#define CALL_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define TURN_STATES(STATE)                                                                         \
    STATE(TURN_LISTENING)     /* nobody speaks */                                                  \
    STATE(TURN_USER_SPEAKING) /* the caller does */                                                \
    STATE(TURN_ENDPOINTING)   /* the caller paused: is the sentence over? */                       \
    STATE(TURN_THINKING)      /* it is; the reply is being made */                                 \
    STATE(TURN_SPEAKING)      /* the agent does */                                                 \
    STATE(TURN_PAUSED)        /* the agent did, and holds: is the caller interrupting? */

enum turn_state {
#define STATE(name) name,
    TURN_STATES(STATE)
#undef STATE
        TURN_STATE_COUNT
};

enum turn_event_kind {
    ON_SPEECH,  /* VAD: speech began; at_ns: its first voiced sample */
    ON_PAUSE,   /* VAD: speech stopped; at_ns: its last voiced sample */
    ON_WORDS,   /* a partial hypothesis: words, complete, expected, ended */
    ON_HEARD,   /* the final of this epoch: words (0: nothing understood) */
    ON_KEY,     /* a digit was pressed */
    ON_KEYS,    /* the digits are complete: by time or by '#' */
    ON_AUDIBLE, /* the first sample of the reply has left */
    ON_PLAYED,  /* the reply is complete, and all of it has been heard */
    ON_FAILED,  /* the reply could not be made */
    ON_SAY,     /* the call wants to say something of its own (greeting, reminder) */
    ON_LAST,    /* the call cannot go on: its last words are to be said; complete: not in the reply
                   being made, which is whole */
    ON_TIME,    /* the deadline asked for has come */
};

struct turn_event {
    enum turn_event_kind kind;
    uint32_t epoch; /* HEARD, AUDIBLE, REPLIED, FAILED, WORDS: of which turn */
    uint32_t words; /* WORDS, HEARD */
    bool complete;  /* WORDS: already a whole sentence */
    bool expected;  /* WORDS: one that answers what was asked */
    bool ended;     /* WORDS: behind them the recogniser has heard the caller fall silent */
    int64_t at_ns;  /* SPEECH, PAUSE: of the sample, not of the decision */
};

/* What to do, in the order given; a set bit each. */
enum turn_action {
    ACT_LISTEN = 1 << 0, /* begin utterance `epoch` at the recogniser */
    ACT_FINISH = 1 << 1, /* ask it for the final of `epoch` */
    ACT_FORGET = 1 << 2, /* drop the utterance: it was no speech */
    ACT_HOLD = 1 << 3,   /* stop sending, keep what is queued */
    ACT_RESUME = 1 << 4, /* go on with what was held */
    ACT_FLUSH = 1 << 5,  /* drop what is queued; cut the history to what was heard */
    ACT_TAKE_BACK =
        1 << 6,          /* the reply of the last epoch was not begun: forget it, keep its text */
    ACT_ANSWER = 1 << 7, /* ask for a reply to what was heard in `epoch` */
    ACT_ANSWER_KEYS = 1 << 8,     /* ask for a reply to the digits pressed, as `epoch` */
    ACT_ANSWER_UNCLEAR = 1 << 9,  /* speech, but nothing understood */
    ACT_ANSWER_SILENCE = 1 << 10, /* the caller has been silent for the patience given */
    ACT_COMMIT = 1 << 11,         /* the reply is being heard: what it changed stays */
    ACT_SILENCE_END = 1 << 12,    /* the caller has been silent for too long: end the call */
    ACT_TURN_OVER =
        1 << 13,         /* the reply has been heard whole, or was cut: close the ledger's turn */
    ACT_LAST = 1 << 14,  /* say the last words, as a reply of their own */
    ACT_ENDED = 1 << 15, /* the recogniser has heard the end, and VAD has not: PAUSE is to come as
                            soon as there was no voiced sample for turn_hold_ns() */
};

/* How patient the agent is; copied from its file. */
struct turn_rules {
    int64_t expected_ns; /* silence that ends the answer asked for; never more than complete_ns */
    int64_t complete_ns; /* silence that ends a whole sentence, from its last voiced sample */
    int64_t open_ns;     /* silence that ends what seems to go on */
    int64_t max_ns;      /* an utterance longer than this is ended */
    int64_t grace_ns;    /* after the agent began to speak no interruption counts */
    int64_t evidence_ns; /* speech that long interrupts even without words */
    int64_t resume_ns;   /* quiet after a held moment before the agent goes on */
    int64_t noise_ns;    /* a sound shorter than this in which no word was found was no speech */
    int64_t final_ns;    /* how long a final may take before the turn counts as unclear */
    int64_t silence_ns;  /* the caller's silence before a reminder; NEVER_NS: none */
    int64_t hang_up_ns;  /* the caller's silence before the call ends; NEVER_NS: never */
    uint32_t interrupt_words; /* words of a hypothesis that interrupt */
    bool deaf_at_first;       /* speech before the greeting is over is ignored */
};

struct turn {
    struct turn_rules rules;
    enum turn_state state;
    uint32_t epoch;       /* of the newest utterance or reply; grows by one for each */
    uint32_t reply_epoch; /* of the reply being made or spoken */
    bool speech;          /* VAD says so now */
    bool complete, expected;
    uint32_t words;
    bool replied; /* nothing more will be queued for this reply */
    bool audible; /* its first sample has left */
    bool greeted;
    bool finishing; /* the final of `epoch` was asked for */
    bool keys;      /* digits are being gathered */
    bool last;      /* these are the last words: nothing interrupts them */
    bool reminded;
    bool played;         /* while paused: all of the held reply had been heard already */
    int64_t speech_ns;   /* first voiced sample of the present speech */
    int64_t voiced_ns;   /* last voiced sample */
    int64_t audible_ns;  /* when the reply became audible */
    int64_t quiet_ns;    /* since when nobody speaks */
    int64_t deadline_ns; /* when ON_TIME is wanted, or NEVER_NS */
    uint64_t visited;    /* transitions seen, bit from*8+to: for coverage */
};

void turn_init(struct turn *t, const struct turn_rules *rules, int64_t now_ns);
/* Takes one event; the answer is a set of enum turn_action. t->epoch, t->state and t->deadline_ns
 * are up to date when it returns. */
uint32_t turn_step(struct turn *t, const struct turn_event *e, int64_t now_ns);
/* How much silence ends a turn of the words so far. */
int64_t turn_hold_ns(const struct turn *t);
const char *turn_state_name(enum turn_state state);
/* Whether the machine may go from one state to another: for tests and coverage. */
bool turn_may(enum turn_state from, enum turn_state to);

#endif
