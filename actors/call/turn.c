#include "actors/call/turn.h"

#include <assert.h>
#include <string.h>

#define BIT(state) (1u << (state))

/* Which states may follow which. */
static const uint32_t allowed_next[TURN_STATE_COUNT] = {
    [TURN_LISTENING] = BIT(TURN_USER_SPEAKING) | BIT(TURN_THINKING),
    [TURN_USER_SPEAKING] = BIT(TURN_ENDPOINTING) | BIT(TURN_THINKING),
    [TURN_ENDPOINTING] = BIT(TURN_USER_SPEAKING) | BIT(TURN_THINKING),
    [TURN_THINKING] = BIT(TURN_USER_SPEAKING) | BIT(TURN_SPEAKING) | BIT(TURN_LISTENING),
    [TURN_SPEAKING] = BIT(TURN_LISTENING) | BIT(TURN_PAUSED) | BIT(TURN_THINKING),
    [TURN_PAUSED] = BIT(TURN_SPEAKING) | BIT(TURN_USER_SPEAKING) | BIT(TURN_THINKING),
};

static const char *const names[TURN_STATE_COUNT] = {
    [TURN_LISTENING] = "listening",     [TURN_USER_SPEAKING] = "user speaking",
    [TURN_ENDPOINTING] = "endpointing", [TURN_THINKING] = "thinking",
    [TURN_SPEAKING] = "speaking",       [TURN_PAUSED] = "paused",
};

const char *turn_state_name(enum turn_state state)
{
    return names[state];
}

bool turn_may(enum turn_state from, enum turn_state to)
{
    return (allowed_next[from] & BIT(to)) != 0;
}

static void turn_enter(struct turn *t, enum turn_state next)
{
    assert(turn_may(t->state, next));
    t->visited |= UINT64_C(1) << (t->state * 8 + next);
    t->state = next;
    t->deadline_ns = NEVER_NS;
}

static int64_t after(int64_t from_ns, int64_t span_ns)
{
    return span_ns == NEVER_NS ? NEVER_NS : from_ns + span_ns;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void turn_init(struct turn *t, const struct turn_rules *rules, int64_t now_ns)
{
    memset(t, 0, sizeof(*t));
    t->rules = *rules;
    t->state = TURN_LISTENING;
    t->quiet_ns = now_ns;
    t->deadline_ns = NEVER_NS; /* patience begins with the greeting's end */
}

/* ---- entering states ---- */

static uint32_t hear_caller(struct turn *t, bool new_utterance)
{
    turn_enter(t, TURN_USER_SPEAKING);
    t->deadline_ns = after(t->speech_ns, t->rules.max_ns);
    t->reminded = false;
    if (!new_utterance)
        return 0;
    t->epoch++;
    t->words = 0;
    t->complete = t->expected = false;
    t->finishing = false;
    t->keys = false;
    return ACT_LISTEN;
}

/* Nobody speaks; unless the caller already does, unheeded while the agent was deaf. */
static uint32_t await_caller(struct turn *t, int64_t now_ns)
{
    turn_enter(t, TURN_LISTENING);
    t->quiet_ns = now_ns;
    if (t->speech) {
        t->speech_ns = now_ns;
        return hear_caller(t, true);
    }
    t->deadline_ns = earlier(t->reminded ? NEVER_NS : after(now_ns, t->rules.silence_ns),
                             after(now_ns, t->rules.hang_up_ns));
    return 0;
}

/* A complete sentence needs less silence than an open one, and the answer asked for needs least. */
int64_t turn_hold_ns(const struct turn *t)
{
    return t->expected   ? earlier(t->rules.expected_ns, t->rules.complete_ns)
           : t->complete ? t->rules.complete_ns
                         : t->rules.open_ns;
}

static void endpoint_deadline(struct turn *t)
{
    t->deadline_ns = earlier(t->voiced_ns + turn_hold_ns(t), after(t->speech_ns, t->rules.max_ns));
}

static void think(struct turn *t, int64_t now_ns)
{
    turn_enter(t, TURN_THINKING);
    t->reply_epoch = t->epoch;
    t->deadline_ns = t->finishing ? now_ns + t->rules.final_ns : NEVER_NS;
}

static uint32_t finish(struct turn *t, int64_t now_ns)
{
    t->finishing = true;
    think(t, now_ns);
    return ACT_FINISH;
}

/* A reply of the call's own or to keys: a new epoch without an utterance. */
static void reply(struct turn *t, int64_t now_ns)
{
    t->epoch++;
    t->finishing = false;
    t->keys = false;
    think(t, now_ns);
}

/* ---- one function per state ---- */

static uint32_t on_listening(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    if (e->kind == ON_SPEECH) {
        if (!t->greeted && t->rules.deaf_at_first)
            return 0;
        return hear_caller(t, true);
    }
    if (e->kind == ON_SAY) {
        reply(t, now_ns);
        return 0;
    }
    if (e->kind != ON_TIME || now_ns < t->deadline_ns)
        return 0;
    if (now_ns >= after(t->quiet_ns, t->rules.hang_up_ns))
        return ACT_SILENCE_END;
    t->reminded = true;
    reply(t, now_ns);
    return ACT_ANSWER_SILENCE;
}

static uint32_t on_user_speaking(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    if (e->kind == ON_PAUSE) {
        turn_enter(t, TURN_ENDPOINTING);
        endpoint_deadline(t);
    } else if (e->kind != ON_TIME) {
        return 0;
    }
    /* The silence was long enough; or nobody speaks that long: noise, or a monologue. */
    return now_ns >= t->deadline_ns ? finish(t, now_ns) : 0;
}

static uint32_t on_endpointing(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    if (e->kind == ON_SPEECH)
        return hear_caller(t, false);
    if (e->kind == ON_WORDS)
        endpoint_deadline(t);
    if (now_ns >= t->deadline_ns)
        return finish(t, now_ns);
    return 0;
}

/* The caller goes on before the reply was heard: what was said so far and what comes are one turn.
 */
static uint32_t take_back(struct turn *t)
{
    return ACT_TAKE_BACK | ACT_FLUSH | hear_caller(t, true);
}

static uint32_t heard(struct turn *t, uint32_t words, int64_t now_ns)
{
    t->finishing = false;
    t->deadline_ns = NEVER_NS;
    if (words)
        return ACT_ANSWER;
    if (t->voiced_ns - t->speech_ns >= t->rules.noise_ns)
        return ACT_ANSWER_UNCLEAR;
    return ACT_FORGET | await_caller(t, now_ns);
}

static bool deaf(const struct turn *t)
{
    return t->last || (!t->greeted && t->rules.deaf_at_first);
}

static uint32_t on_thinking(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    /* A sound beside the keys does not undo them: it counts once they have been answered. */
    if (e->kind == ON_SPEECH && !deaf(t) && !t->keys)
        return take_back(t);
    if (e->kind == ON_HEARD && t->finishing)
        return heard(t, e->words, now_ns);
    if (e->kind == ON_TIME && t->finishing && now_ns >= t->deadline_ns)
        return heard(t, 0, now_ns); /* the recogniser never answered */
    if (e->kind == ON_AUDIBLE) {
        turn_enter(t, TURN_SPEAKING);
        t->audible_ns = now_ns;
        return ACT_COMMIT;
    }
    /* PLAYED here: the reply was empty. */
    if (e->kind == ON_FAILED || (e->kind == ON_PLAYED && !t->finishing && !t->keys))
        return ACT_TURN_OVER | await_caller(t, now_ns);
    return 0;
}

static uint32_t on_speaking(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    if (e->kind == ON_PLAYED || e->kind == ON_FAILED) {
        t->greeted = true;
        return ACT_TURN_OVER | await_caller(t, now_ns);
    }
    if (!t->speech || deaf(t)) {
        t->deadline_ns = NEVER_NS; /* a sound that was over before the grace was */
        return 0;
    }
    t->deadline_ns = t->audible_ns + t->rules.grace_ns;
    if (now_ns < t->deadline_ns)
        return 0;
    turn_enter(t, TURN_PAUSED);
    t->epoch++; /* the caller's utterance, should it prove to be one */
    t->words = 0;
    t->complete = t->expected = false;
    t->finishing = false;
    t->played = false;
    t->deadline_ns = t->speech_ns + t->rules.evidence_ns;
    return ACT_HOLD | ACT_LISTEN;
}

static uint32_t interrupt(struct turn *t)
{
    t->greeted = true;
    turn_enter(t, TURN_USER_SPEAKING);
    t->reminded = false;
    t->deadline_ns = after(t->speech_ns, t->rules.max_ns);
    return ACT_FLUSH | ACT_TURN_OVER;
}

static uint32_t on_paused(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    bool enough_words = t->words >= t->rules.interrupt_words;

    if (e->kind == ON_FAILED)
        return interrupt(t);
    if (e->kind == ON_PLAYED)
        t->played = true;
    if (t->speech && (enough_words || now_ns >= t->speech_ns + t->rules.evidence_ns))
        return interrupt(t);
    if (!t->speech && enough_words) {
        uint32_t actions = interrupt(t);
        turn_enter(t, TURN_ENDPOINTING);
        endpoint_deadline(t);
        return actions;
    }
    if (e->kind == ON_PAUSE)
        t->deadline_ns = now_ns + t->rules.resume_ns;
    if (e->kind == ON_SPEECH)
        t->deadline_ns = t->speech_ns + t->rules.evidence_ns;
    if (!t->speech && now_ns >= t->deadline_ns) {
        turn_enter(t, TURN_SPEAKING); /* a cough: go on */
        if (!t->played)
            return ACT_RESUME | ACT_FORGET;
        t->greeted = true; /* there was nothing left to go on with */
        return ACT_RESUME | ACT_FORGET | ACT_TURN_OVER | await_caller(t, now_ns);
    }
    return 0;
}

/* ---- what counts in every state ---- */

/* Whatever goes on gives way to a new reply, of which nothing is known yet. */
static uint32_t cut_in(struct turn *t)
{
    uint32_t actions = 0;

    t->greeted = true;
    if (t->state == TURN_SPEAKING || t->state == TURN_PAUSED)
        actions |= ACT_FLUSH | ACT_TURN_OVER;
    else if (t->state == TURN_THINKING)
        actions |= ACT_FLUSH;
    if (t->state == TURN_USER_SPEAKING || t->state == TURN_ENDPOINTING || t->state == TURN_PAUSED ||
        t->finishing)
        actions |= ACT_FORGET;
    if (t->state != TURN_THINKING)
        turn_enter(t, TURN_THINKING);
    t->epoch++;
    t->reply_epoch = t->epoch;
    t->finishing = false;
    t->deadline_ns = NEVER_NS;
    return actions;
}

static uint32_t on_key(struct turn *t)
{
    if (t->last)
        return 0;
    if (t->keys) {
        t->greeted = true;
        return 0; /* one more of the digits being gathered */
    }
    uint32_t actions = cut_in(t);

    t->keys = true;
    return actions;
}

/* A reply that is being made takes the last words in, and is heard to its end. */
static uint32_t on_last(struct turn *t, bool whole)
{
    bool making =
        t->state == TURN_SPEAKING || (t->state == TURN_THINKING && !t->finishing && !t->keys);

    if (t->last)
        return 0;
    t->last = true;
    t->keys = false;
    return making && !whole ? 0 : cut_in(t) | ACT_LAST;
}

static uint32_t on_keys(struct turn *t)
{
    if (!t->keys)
        return 0;
    t->keys = false;
    return t->state == TURN_THINKING ? ACT_ANSWER_KEYS : 0;
}

/* ---- the door ---- */

/* Facts that hold whatever the state. False when the event is of an epoch gone by. */
static bool note(struct turn *t, const struct turn_event *e)
{
    switch (e->kind) {
    case ON_SPEECH:
        t->speech = true;
        if (t->state != TURN_ENDPOINTING)
            t->speech_ns = e->at_ns;
        return true;
    case ON_PAUSE:
        t->speech = false;
        t->voiced_ns = e->at_ns;
        return true;
    case ON_WORDS:
        if (e->epoch != t->epoch)
            return false;
        t->words = e->words;
        t->complete = e->complete;
        t->expected = e->expected;
        return true;
    case ON_HEARD:
        return e->epoch == t->epoch;
    case ON_AUDIBLE:
    case ON_PLAYED:
    case ON_FAILED:
        return e->epoch == t->reply_epoch;
    case ON_KEY:
    case ON_KEYS:
    case ON_SAY:
    case ON_LAST:
    case ON_TIME:
        return true;
    }
    return true;
}

uint32_t turn_step(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    static uint32_t (*const by_state[TURN_STATE_COUNT])(struct turn *, const struct turn_event *,
                                                        int64_t) = {
        [TURN_LISTENING] = on_listening,     [TURN_USER_SPEAKING] = on_user_speaking,
        [TURN_ENDPOINTING] = on_endpointing, [TURN_THINKING] = on_thinking,
        [TURN_SPEAKING] = on_speaking,       [TURN_PAUSED] = on_paused,
    };

    if (!note(t, e))
        return 0;
    if (e->kind == ON_KEY)
        return on_key(t);
    if (e->kind == ON_KEYS)
        return on_keys(t);
    if (e->kind == ON_LAST)
        return on_last(t, e->complete);
    uint32_t actions = by_state[t->state](t, e, now_ns);
    bool ended = e->kind == ON_WORDS && e->ended && e->words;

    return ended && t->state == TURN_USER_SPEAKING ? actions | ACT_ENDED : actions;
}
