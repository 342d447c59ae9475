/* The interpreting half of script.h. */
#include "tests/scenario/script.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void script_start(struct script_run *r, const struct script *s)
{
    r->script = s;
    r->at = r->spurts = r->line = 0;
    r->begun = false;
    r->since = 0;
    r->why[0] = 0;
}

static bool agent_must(enum script_act act)
{
    switch (act) {
    case SCRIPT_AGENT_SAYS:
    case SCRIPT_AGENT_REPLIES:
    case SCRIPT_AGENT_SILENT:
    case SCRIPT_AGENT_FINISHES:
    case SCRIPT_CALL_ENDS:
        return true;
    case SCRIPT_AGENT_QUIET:
    case SCRIPT_CALLER_SAYS:
    case SCRIPT_CALLER_INTERRUPTS:
    case SCRIPT_CALLER_PRESSES:
    case SCRIPT_CALLER_WAITS:
    case SCRIPT_CALLER_SENDS:
    case SCRIPT_CALLER_HANGS_UP:
    case SCRIPT_CALLER_VANISHES:
        break;
    }
    return false;
}

void script_be_patient(struct script *s, uint32_t times)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (agent_must(s->steps[i].act))
            s->steps[i].ms *= times;
}

static const struct script_step *step_at(const struct script_run *r)
{
    return &r->script->steps[r->at];
}

PRINTF_LIKE(2, 3)
static enum script_result failed(struct script_run *r, const char *format, ...)
{
    va_list args;

    r->line = r->at < r->script->count ? step_at(r)->line : 0;
    va_start(args, format);
    vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
    return SCRIPT_FAILED;
}

static enum script_result next(struct script_run *r, const struct caller *c)
{
    r->at++;
    r->begun = false;
    r->since = caller_time(c);
    return SCRIPT_RUNNING;
}

static int64_t waited_ms(const struct script_run *r, const struct caller *c)
{
    return (caller_time(c) - r->since) / CALL_SAMPLES(1);
}

static bool agent_finished(const struct caller *c)
{
    const struct ear *e = &c->ear;

    return ear_empty(e) && e->mark_count == 0 && ear_quiet(e) >= CALL_SAMPLES(SCRIPT_QUIET_MS);
}

/* ---- the agent must ... ---- */

static enum script_result agent_says(struct script_run *r, struct caller *c)
{
    if (c->ear.spurts != r->spurts) {
        r->spurts = c->ear.spurts;
        return next(r, c);
    }
    if (waited_ms(r, c) > step_at(r)->ms)
        return failed(r, "the agent says nothing within %lld ms", (long long)step_at(r)->ms);
    return SCRIPT_RUNNING;
}

/* The instant at which the caller ended: its voice, or its last digit if that came later. */
static int64_t caller_ended(const struct caller *c)
{
    int64_t voice = c->clip.samples ? caller_voice_end(c) : -1;

    return c->digit_at > voice ? c->digit_at : voice;
}

static enum script_result agent_replies(struct script_run *r, struct caller *c)
{
    const struct ear *e = &c->ear;
    int64_t end = caller_ended(c), most = step_at(r)->ms;

    if (c->speaking || c->digit_count)
        return SCRIPT_RUNNING;
    if (e->spurts != r->spurts && e->voice_last >= end) {
        int64_t after_ms = (e->voice_first - end) / CALL_SAMPLES(1);
        r->spurts = e->spurts;
        if (after_ms <= most)
            return next(r, c);
        return failed(r, "the agent replies after %lld ms, not within %lld", (long long)after_ms,
                      (long long)most);
    }
    if ((caller_time(c) - end) / CALL_SAMPLES(1) > most + 5) /* a window of the ear later */
        return failed(r, "the agent does not reply within %lld ms", (long long)most);
    return SCRIPT_RUNNING;
}

static enum script_result agent_silent(struct script_run *r, struct caller *c)
{
    const struct ear *e = &c->ear;
    int64_t after_ms = (e->voice_last - caller_voice_begin(c)) / CALL_SAMPLES(1);

    if (e->spurts == r->spurts && after_ms > step_at(r)->ms)
        return failed(r, "the agent is still audible %lld ms after the interruption",
                      (long long)after_ms);
    return e->spurts != r->spurts || !ear_audible(e) ? next(r, c) : SCRIPT_RUNNING;
}

static enum script_result agent_quiet(struct script_run *r, struct caller *c)
{
    if (c->ear.voice_last >= r->since)
        return failed(r, "the agent is heard after %lld ms", (long long)waited_ms(r, c));
    return waited_ms(r, c) >= step_at(r)->ms ? next(r, c) : SCRIPT_RUNNING;
}

static enum script_result agent_finishes(struct script_run *r, struct caller *c)
{
    if (agent_finished(c))
        return next(r, c);
    if (waited_ms(r, c) > step_at(r)->ms)
        return failed(r, "the agent goes on for more than %lld ms", (long long)step_at(r)->ms);
    return SCRIPT_RUNNING;
}

/* ---- the caller ... ---- */

/* A buzz in syllables of 200 ms, so that nobody takes it for a steady noise. */
static void say(struct script_run *r, struct caller *c, int64_t ms)
{
    struct caller_clip clip = {.pcm = r->pcm, .samples = CALL_SAMPLES(ms), .voiced_first = 0};

    for (int64_t i = 0; i < clip.samples; i++) {
        int64_t saw = 8000 - 16000 * (i % SCRIPT_PERIOD) / SCRIPT_PERIOD;
        r->pcm[i] = (int16_t)(i % CALL_SAMPLES(200) < CALL_SAMPLES(150) ? saw : saw / 2);
    }
    clip.voiced_last = clip.samples - 1;
    r->spurts = c->ear.spurts;
    r->begun = true;
    caller_say(c, &clip);
}

static enum script_result caller_says(struct script_run *r, struct caller *c, bool may)
{
    if (r->begun)
        return c->speaking ? SCRIPT_RUNNING : next(r, c);
    if (may)
        say(r, c, step_at(r)->ms);
    else if (waited_ms(r, c) > SCRIPT_PATIENCE_MS)
        return failed(r, "the agent gives no opportunity to speak");
    return SCRIPT_RUNNING;
}

static bool may_interrupt(const struct script_run *r, const struct caller *c)
{
    const struct ear *e = &c->ear;

    return ear_audible(e) && e->now - e->voice_first >= CALL_SAMPLES(step_at(r)->after_ms);
}

static enum script_result caller_presses(struct script_run *r, struct caller *c)
{
    struct slice keys = step_at(r)->text;

    if (r->begun)
        return c->digit_count ? SCRIPT_RUNNING : next(r, c);
    if (!agent_finished(c))
        return waited_ms(r, c) > SCRIPT_PATIENCE_MS
                   ? failed(r, "the agent gives no opportunity to press a key")
                   : SCRIPT_RUNNING;
    r->begun = true;
    r->spurts = c->ear.spurts;
    for (size_t i = 0; i < keys.len; i++)
        if (caller_press(c, (char)keys.at[i]) < 0)
            return failed(r, "too many keys are waiting");
    return SCRIPT_RUNNING;
}

/* ---- steps ---- */

static enum script_result step(struct script_run *r, struct caller *c, struct caller_output *out)
{
    switch (step_at(r)->act) {
    case SCRIPT_AGENT_SAYS:
        return agent_says(r, c);
    case SCRIPT_AGENT_REPLIES:
        return agent_replies(r, c);
    case SCRIPT_AGENT_SILENT:
        return agent_silent(r, c);
    case SCRIPT_AGENT_QUIET:
        return agent_quiet(r, c);
    case SCRIPT_AGENT_FINISHES:
        return agent_finishes(r, c);
    case SCRIPT_CALLER_SAYS:
        return caller_says(r, c, agent_finished(c));
    case SCRIPT_CALLER_INTERRUPTS:
        return caller_says(r, c, may_interrupt(r, c));
    case SCRIPT_CALLER_PRESSES:
        return caller_presses(r, c);
    case SCRIPT_CALLER_WAITS:
        return waited_ms(r, c) >= step_at(r)->ms ? next(r, c) : SCRIPT_RUNNING;
    case SCRIPT_CALLER_SENDS:
        caller_raw(c, step_at(r)->text, out);
        return next(r, c);
    case SCRIPT_CALLER_HANGS_UP:
        caller_hang_up(c, out);
        return next(r, c);
    case SCRIPT_CALLER_VANISHES:
        return SCRIPT_CUT;
    case SCRIPT_CALL_ENDS:
        if (waited_ms(r, c) > step_at(r)->ms)
            return failed(r, "the call goes on for more than %lld ms", (long long)step_at(r)->ms);
        return SCRIPT_RUNNING;
    }
    return SCRIPT_FAILED;
}

/* The call is over: was that what the script said? */
static enum script_result ended(struct script_run *r, const struct caller *c)
{
    if (r->at < r->script->count && step_at(r)->act == SCRIPT_CALL_ENDS)
        r->at++;
    if (r->at == r->script->count)
        return SCRIPT_PASSED;
    return failed(r, "the call is over before this: %s", c->what);
}

enum script_result script_drive(struct script_run *r, struct caller *c, struct caller_output *out)
{
    enum script_result result = SCRIPT_RUNNING;
    uint32_t before = UINT32_MAX;

    if (c->state == CALLER_OVER)
        return ended(r, c);
    /* several steps may be over at the same instant; ends: each round moves on, or is the last */
    while (result == SCRIPT_RUNNING && c->state == CALLER_TALKING && before != r->at) {
        before = r->at;
        if (r->at == r->script->count) {
            caller_hang_up(c, out); /* nothing was said of the end */
            break;
        }
        result = step(r, c, out);
    }
    return result == SCRIPT_RUNNING && c->state == CALLER_OVER ? ended(r, c) : result;
}
