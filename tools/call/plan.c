#include "tools/call/plan.h"

#include <string.h>

void plan_init(struct plan *p, struct plan_step *steps, uint32_t count)
{
    memset(p, 0, sizeof(*p));
    p->steps = steps;
    p->count = count;
    p->barge_ms = PLAN_BARGE_MS;
}

bool plan_done(const struct plan *p)
{
    return p->phase == PLAN_ENDED || p->at >= p->count;
}

static void enter(struct plan *p, struct caller *c, enum plan_phase next)
{
    p->phase = next;
    p->since = caller_time(c);
}

static bool waited(const struct plan *p, const struct caller *c, int64_t ms)
{
    return caller_time(c) - p->since >= CALL_SAMPLES(ms);
}

static bool agent_finished(const struct caller *c)
{
    const struct ear *e = &c->ear;

    return ear_empty(e) && e->mark_count == 0 && ear_quiet(e) >= CALL_SAMPLES(PLAN_QUIET_MS);
}

static bool may_act(const struct plan *p, const struct caller *c)
{
    const struct ear *e = &c->ear;

    if (waited(p, c, PLAN_PATIENCE_MS))
        return true;
    if (p->at < p->count && p->steps[p->at].barge_in && ear_audible(e) &&
        e->now - e->voice_first >= CALL_SAMPLES(p->barge_ms))
        return true;
    if (e->spurts == 0)
        return waited(p, c, PLAN_GREETING_MS);
    return agent_finished(c);
}

static struct plan_turn *turn_begin(struct plan *p, const struct caller *c)
{
    struct plan_turn *t = &p->turns[p->turn_count++];

    memset(t, 0, sizeof(*t));
    t->step = p->at;
    t->interrupted = ear_audible(&c->ear);
    p->spurts = c->ear.spurts;
    return t;
}

static void step_ends(struct plan *p, struct caller *c)
{
    p->turns_over = p->turn_count;
    p->at++;
    enter(p, c, PLAN_WAITING);
}

static void act(struct plan *p, struct caller *c, struct caller_output *out)
{
    const struct plan_step *s = &p->steps[p->at];

    switch (s->act) {
    case PLAN_SAY:
        turn_begin(p, c);
        caller_say(c, &s->clip);
        enter(p, c, PLAN_ACTING);
        break;
    case PLAN_PRESS:
        turn_begin(p, c);
        for (const char *d = s->digits; *d; d++)
            if (caller_press(c, *d) < 0)
                break; /* the plan's reader lets nothing through that could fail */
        enter(p, c, PLAN_ACTING);
        break;
    case PLAN_WAIT:
        enter(p, c, PLAN_ACTING);
        break;
    case PLAN_HANG_UP:
        caller_hang_up(c, out);
        p->at = p->count;
        enter(p, c, PLAN_ENDED);
        break;
    }
}

/* The instant from which the answer is measured. */
static int64_t act_end(const struct plan *p, const struct caller *c)
{
    return p->steps[p->at].act == PLAN_SAY ? caller_voice_end(c) : c->digit_at;
}

static int64_t act_begin(const struct plan *p, const struct caller *c)
{
    return p->steps[p->at].act == PLAN_SAY ? caller_voice_begin(c) : c->digit_at;
}

/* Follows the speech that was interrupted until it stops. */
static void watch_stop(const struct plan *p, struct plan_turn *t, const struct caller *c)
{
    const struct ear *e = &c->ear;

    if (!t->interrupted || t->stopped)
        return;
    if (e->spurts == p->spurts) {
        int64_t after = e->voice_last - act_begin(p, c);
        t->stop_ms = after > 0 ? after / CALL_SAMPLES(1) : 0;
    }
    t->stopped = e->spurts != p->spurts || !ear_audible(e);
}

static void acting(struct plan *p, struct caller *c)
{
    const struct plan_step *s = &p->steps[p->at];

    if (s->act == PLAN_WAIT) {
        if (waited(p, c, s->wait_ms))
            step_ends(p, c);
        return;
    }
    watch_stop(p, &p->turns[p->turn_count - 1], c);
    bool over = s->act == PLAN_SAY ? !c->speaking : c->digit_count == 0;
    if (over && caller_time(c) >= act_end(p, c))
        enter(p, c, PLAN_ANSWERING);
}

static void answering(struct plan *p, struct caller *c)
{
    struct plan_turn *t = &p->turns[p->turn_count - 1];
    const struct ear *e = &c->ear;
    int64_t end = act_end(p, c);

    t->begin_ms = act_begin(p, c) / CALL_SAMPLES(1);
    t->end_ms = end / CALL_SAMPLES(1);
    watch_stop(p, t, c);
    if (e->spurts != p->spurts && e->voice_last >= end) {
        t->answered = true;
        t->answer_ms = e->voice_first / CALL_SAMPLES(1);
        t->voice_to_voice_ms = (e->voice_first - end) / CALL_SAMPLES(1);
        step_ends(p, c);
    } else if (waited(p, c, PLAN_ANSWER_MS)) {
        step_ends(p, c);
    }
}

void plan_drive(struct plan *p, struct caller *c, struct caller_output *out)
{
    if (c->state != CALLER_TALKING)
        return;
    switch (p->phase) {
    case PLAN_WAITING:
        if (!may_act(p, c))
            break;
        if (p->at < p->count) {
            act(p, c, out);
        } else {
            caller_hang_up(c, out);
            enter(p, c, PLAN_ENDED);
        }
        break;
    case PLAN_ACTING:
        acting(p, c);
        break;
    case PLAN_ANSWERING:
        answering(p, c);
        break;
    case PLAN_ENDED:
        break;
    }
}
