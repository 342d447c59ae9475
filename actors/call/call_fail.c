/* What a call does when a provider has failed for good: goes on with the one that takes over, makes
 * an excuse where none is left and the next turn may go well, or says its last words and ends. What
 * follows what is failover.h's to say. Part of the call actor. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/call_inner.h"
#include "actors/call/failover.h"
#include "actors/text.h"

static const char apology[] = "I am sorry, something went wrong here. Could you say that again?";
static const char farewell[] =
    "I am sorry, something is out of order here. Please call again later.";

static enum provider_kind kind_of(uint32_t role)
{
    static const enum provider_kind kinds[] = {
        [ROLE_STT] = PROVIDER_STT, [ROLE_LLM] = PROVIDER_LLM, [ROLE_TTS] = PROVIDER_TTS};

    return kinds[role];
}

static const char *word_of(uint32_t role)
{
    return provider_kind_name(kind_of(role));
}

static const char *name_of(const struct call *c, uint32_t role, uint32_t place)
{
    return c->bundle->roles[kind_of(role)].at[place].ops->name;
}

static void write_failover(struct call *c, const struct provider_failed_msg *m, const char *to)
{
    struct record_failover record = {.status = m->status,
                                     .role = slice_str(word_of(m->role)),
                                     .from = slice_str(name_of(c, m->role, m->from)),
                                     .to = slice_str(to),
                                     .what = slice_str(m->what)};

    cdr_failover(&c->cdr, &record);
}

/* ---- nothing more comes of this reply ---- */

/* What was given of it is spoken to its end, and these words after it; NULL: none. */
static void end_reply(struct call *c, const char *words)
{
    c->tools_pending = 0;
    c->incomplete = c->reply.len > 0;
    if (words) {
        c->excused = true;
        if (c->reply.len)
            call_reply_add(c, SLICE(" "));
        call_reply_add(c, slice_str(words));
    }
    reply_end(&c->reply);
    call_speak(c);
    call_expect_progress(c);
}

/* Who heard some of it already hears no excuse. */
static void excuse(struct call *c)
{
    memcpy(c->asks_for, c->expects, sizeof(c->asks_for));
    end_reply(c, c->turn.state == TURN_THINKING ? apology : NULL);
}

/* ---- the call cannot go on ---- */

void call_last_words(struct call *c)
{
    if (c->phase != TALKING)
        return;
    c->cdr.turn++; /* they must not stand in the log in place of the turn before them */
    c->heard.len = c->understood.len = 0;
    c->by_keys = false;
    call_say(c, farewell);
    c->excused = true;
}

/* A reply that is being made ends with the last words, anything else gives way to them. */
static void say_last_words(struct call *c)
{
    bool taken_in = call_wants(c, c->reply_of);

    call_send_epoch(c, c->llm, LLM_CANCEL, c->reply_of);
    call_turn(c, (struct turn_event){.kind = ON_LAST, .complete = !taken_in});
    if (taken_in && call_wants(c, c->reply_of)) /* else ACT_LAST has been carried out */
        end_reply(c, farewell);
}

static void give_up(struct call *c, const struct provider_failed_msg *m)
{
    if (!c->lost.err) {
        snprintf(c->lost_what, sizeof(c->lost_what), "%s: %s (%s): %s",
                 m->fatal ? "provider_refused" : "provider_failed", word_of(m->role),
                 name_of(c, m->role, m->from), m->what);
        c->lost = REASON(m->fatal ? EACCES : EIO, c->lost_what);
        log_error("call", &c->about, "no provider is left: %s", c->lost_what);
        if (m->role != ROLE_TTS) {
            say_last_words(c);
            return;
        }
    }
    if (m->role == ROLE_TTS) /* there is no voice to say it with */
        actor_stop_self(&c->actor, c->lost);
}

/* ---- what the providers' actors say ---- */

void call_provider_next(struct call *c, const struct provider_failed_msg *m)
{
    const char *from = name_of(c, m->role, m->from), *to = name_of(c, m->role, m->to);

    log_warn("call", &c->about, "%s: %s failed (%d: %s), %s goes on", word_of(m->role), from,
             m->status, m->what, to);
    write_failover(c, m, to);
    c->failures[m->role] = 0;
    if (c->phase != TALKING || c->lost.err)
        return;
    if (m->role == ROLE_LLM && m->over && call_wants(c, m->epoch))
        excuse(c);
    else if (m->role != ROLE_STT)
        call_expect_progress(c);
}

void call_provider_failed(struct call *c, const struct provider_failed_msg *m)
{
    struct failover_facts facts = {
        .role = (enum call_role)m->role, .fatal = m->fatal, .failures = c->failures[m->role]};

    log_warn("call", &c->about, "%s: %s failed (%d): %s", word_of(m->role),
             name_of(c, m->role, m->from), m->status, m->what);
    if (c->phase != TALKING)
        return;
    if (m->role == ROLE_STT && m->epoch == c->failed)
        return; /* each frame of it may say so */
    if (m->role == ROLE_LLM && !m->fatal && !call_wants(c, m->epoch))
        return; /* of an answer that nobody waits for any more */
    write_failover(c, m, "");
    c->failures[m->role]++;
    if (failover_decide(&facts) == FAILOVER_END) {
        give_up(c, m);
    } else if (m->role == ROLE_STT) {
        c->failed = m->epoch;
        call_hear_nothing(c, m->epoch);
    } else if (!c->lost.err) {
        call_send_epoch(c, c->llm, LLM_CANCEL, c->reply_of);
        excuse(c);
    }
}

/* ---- what does not come ---- */

/* A reply of which nothing comes: neither text nor sound. Without it the call would hang. */
void call_late(struct call *c)
{
    bool thinking = c->turn.state == TURN_THINKING && !c->turn.finishing && !c->turn.keys;

    if (c->phase != TALKING || c->over || c->reply_of != c->turn.reply_epoch)
        return;
    if (c->tools_pending) /* a tool has a deadline of its own */
        call_expect_progress(c);
    else if (thinking || (!c->reply.whole && c->turn.state == TURN_SPEAKING))
        call_send_epoch(c, c->reply.whole ? c->tts : c->llm, PROVIDER_LATE, c->reply_of);
}

void call_no_final(struct call *c)
{
    call_send_epoch(c, c->stt, PROVIDER_LATE, c->utterance);
    call_hear_nothing(c, c->utterance);
}
