/* What a call is inside, for the files that it is made of: call.c (the conversation), call_reply.c
 * (what it says), call_fail.c (what it does when a provider fails), call_life.c (how it begins and
 * ends) and call_tell.c (what is told to who watches). Owned by the call actor, on its shard. */
#ifndef CALL_CALL_INNER_H
#define CALL_CALL_INNER_H

#include "actors/call/cdr.h"
#include "actors/call/reply.h"
#include "actors/messages.h"
#include "actors/text.h"
#include "actors/world.h"

#define UNDERSTOOD_BYTES 512
#define STORE_AGAIN_NS   MS(100)     /* a lane that is behind is asked again */
#define STORE_NS         SECONDS(60) /* a store slower than this leaves the log to the next start */

/* Its timers. */
#define TURN_TAG  1u
#define KEYS_TAG  2u
#define LIMIT_TAG 3u
#define LATE_TAG  4u
#define LAST_TAG  5u
#define STORE_TAG 6u
#define WORDS_TAG 7u
#define AGAIN_TAG 8u

enum phase { CONNECTING, TALKING, ENDING, STORING };

struct call {
    struct actor actor;
    enum phase phase;
    struct call_start_msg args;
    char agent_id[AGENT_NAME_BYTES];
    struct log_about about;
    const struct bundle *bundle;
    struct actor_id leg, stt, llm, tts, recorder;
    struct turn turn;
    struct actor_timer turn_timer, keys_timer, limit_timer, late_timer, store_timer, last_timer;
    int64_t start_wall_ms;
    uint32_t generation; /* of the playout: one more with each flush */
    uint32_t utterance;  /* epoch the recogniser was last told */
    uint32_t reply_of;   /* epoch whose reply `reply` holds */
    bool committed;      /* some of that reply was heard */
    bool said;           /* and it is written down */
    bool hang_up;        /* once that reply was heard */
    bool asked;          /* it is the language model's, and counts as a turn */
    bool over;           /* it was cut or taken back: nothing more of it is spoken */
    uint32_t final_owed; /* utterance whose final was asked for */
    uint32_t taken_back; /* utterance that went on before its final came: it still counts */
    uint32_t failed;     /* utterance that failed already: one failure each */
    bool interrupting;   /* the present utterance cut the agent off */
    char expects[ANSWER_NAME_BYTES];  /* the answer that was asked for; "": any */
    char asks_for[ANSWER_NAME_BYTES]; /* the same of `reply`, which may never be heard */
    uint32_t failures[ROLE_TTS + 1];  /* by role, in a row */
    bool excused;                     /* `reply` holds an excuse */
    bool incomplete;                  /* the model broke off in the middle of `reply` */
    struct reason lost; /* err not 0: why the call ends once its last words are said */
    char lost_what[128];
    char line[72];          /* what the leg failed of: the call's own reason */
    uint32_t tools_pending; /* called by this reply and not done */
    struct reply reply;
    struct note heard;
    struct note understood;
    uint8_t confidence;
    uint32_t digit_count;
    char digits[DTMF_DIGITS_MAX];
    bool by_keys; /* the present turn began with digits */
    struct cdr cdr;
    struct recorded_msg recorded;
    struct lane_session store;
    int64_t store_until_ns;
    bool watched;       /* the leg passes on what goes on */
    struct reason last; /* why it ends, once that is told to who watches */
};

/* ---- call.c ---- */
void call_send_epoch(struct call *c, struct actor_id to, uint16_t type, uint32_t epoch);
/* The door of the turn machine. */
void call_turn(struct call *c, struct turn_event e);
/* No final will come of this utterance. */
void call_hear_nothing(struct call *c, uint32_t epoch);
/* Whether the language model may still add to what is being said. */
bool call_wants(const struct call *c, uint32_t epoch);

/* ---- call_reply.c ---- */
void call_write_heard(struct call *c);
/* The reply was heard as far as `bytes`: that is what was said. */
void call_write_said(struct call *c, size_t bytes, bool cut);
/* From now on something must come within a time. */
void call_expect_progress(struct call *c);
void call_reply_begin(struct call *c, uint32_t epoch);
void call_reply_add(struct call *c, struct slice text);
/* What is whole of it goes to the voice. */
void call_speak(struct call *c);
/* Something of the call's own, whole. */
void call_say(struct call *c, const char *text);

/* ---- call_fail.c ---- */
void call_provider_next(struct call *c, const struct provider_failed_msg *m);
void call_provider_failed(struct call *c, const struct provider_failed_msg *m);
/* LATE_TAG: nothing has come for too long. */
void call_late(struct call *c);
/* TURN_TAG while the final is waited for. */
void call_no_final(struct call *c);
/* WORDS_TAG: nothing stands in the way of the last words. */
void call_last_words(struct call *c);

/* ---- call.c, for call_life.c ---- */
/* Whoever asked for this call learns what became of it, once. */
void call_tell_asker(struct call *c, int err, const struct address *local);

/* ---- call_tell.c: nothing happens unless somebody watches ---- */
/* Whose turn it is. */
void call_tell_state(struct call *c);
/* What the present utterance sounds like so far: `text` beside what was said before. */
void call_tell_hearing(struct call *c, struct slice text);
/* The words of the turn that begins, or that there were none. */
void call_tell_heard(struct call *c);
void call_tell_noise(struct call *c);
/* The reply as far as it is known, and what of it was heard in the end. */
void call_tell_saying(struct call *c);
void call_tell_said(struct call *c, struct slice text, bool cut);
void call_tell_latency(struct call *c);

/* ---- call_life.c ---- */
void call_start(struct call *c, const struct msg *m);
void call_stop(struct call *c);
void call_child_ended(struct call *c, const struct child_ended_msg *m);
void call_stored(struct call *c, const struct lane_msg *done);
/* AGAIN_TAG: the store's lane had no room. */
void call_store(struct call *c);
/* STORE_TAG: the store has not answered. */
void call_not_stored(struct call *c);

#endif
