/* One conversation: spawns what it needs (leg, stt, llm, tts, recorder), feeds everything that
 * happens to the turn machine and does what it answers, keeps the turn ledger, and writes down what
 * was heard, said and done as it happens. Child of the switchboard, parent of the rest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actors/call/call_inner.h"
#include "actors/text.h"
#include "base/metrics.h"

#define KEYS_WAIT_NS MS(500) /* after a digit, for the next one */

extern const struct actor_type tool_type;

static struct slice heard_text(const struct call *c)
{
    return note_text(&c->heard);
}

static int64_t now_of(const struct call *c)
{
    return shard_now(c->actor.shard);
}

void call_send_epoch(struct call *c, struct actor_id to, uint16_t type, uint32_t epoch)
{
    struct epoch_msg body = {.epoch = epoch};

    actor_send_body(&c->actor, to, type, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void ask(struct call *c, enum turn_kind kind, struct slice text)
{
    struct llm_ask_msg body = {
        .epoch = c->turn.reply_epoch, .kind = kind, .confidence = c->confidence};

    call_reply_begin(c, c->turn.reply_epoch);
    c->asked = true;
    c->asks_for[0] = '\0';
    c->understood.len = 0;
    c->cdr.turn++;
    if (kind != TURN_SILENCE)
        call_tell_heard(c);
    actor_send_body(&c->actor, c->llm, LLM_ASK, IF_FULL_STOP, text_frame(&c->actor, text), &body,
                    sizeof(body));
}

static void ask_keys(struct call *c)
{
    note_set(&c->actor, &c->heard, slice_of(c->digits, c->digit_count), TURN_TEXT_BYTES_MAX);
    c->digit_count = 0;
    c->confidence = 100;
    c->by_keys = true;
    c->interrupting = false;
    c->cdr.ledger.keys = 1;
    ask(c, TURN_KEYS, heard_text(c));
}

static void ask_silence(struct call *c)
{
    const struct agent *agent = c->bundle->agent;

    c->heard.len = 0;
    c->by_keys = false;
    c->interrupting = false;
    if (agent->online_check.message[0]) {
        c->cdr.turn++; /* it must not stand in the log in place of the turn before it */
        c->understood.len = 0;
        call_say(c, agent->online_check.message);
        return;
    }
    ask(c, TURN_SILENCE, SLICE_NONE);
}

/* ---- what the turn machine wants ---- */

static void do_flush(struct call *c)
{
    struct leg_play_msg body = {.epoch = c->reply_of};

    c->generation++;
    c->over = true;
    actor_send_body(&c->actor, c->leg, LEG_FLUSH, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    call_send_epoch(c, c->tts, TTS_CANCEL, c->reply_of);
    call_send_epoch(c, c->llm, LLM_CANCEL, c->reply_of);
}

static void do_listen(struct call *c, uint32_t actions)
{
    if (actions & ACT_TAKE_BACK) {
        c->taken_back = c->final_owed;
    } else {
        c->taken_back = 0;
        c->heard.len = 0;
        c->interrupting = (actions & ACT_HOLD) != 0;
    }
    c->final_owed = 0;
    c->utterance = c->turn.epoch;
    struct expect_msg body = {.epoch = c->utterance};
    memcpy(body.answer, c->expects, sizeof(body.answer));
    actor_send_body(&c->actor, c->stt, STT_LISTEN, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

/* A reply of which nothing was heard gives way. To speech: then what the caller said before is the
 * beginning of what comes, and no turn yet. To keys, or an answer to keys: that turn is over. */
static void give_way(struct call *c, uint32_t actions)
{
    if (!c->asked || c->committed || c->said || c->over)
        return;
    if ((actions & ACT_TAKE_BACK) && !c->by_keys) {
        call_tell_said(c, SLICE_NONE, true);
        c->cdr.turn--;
        c->asked = false;
        return;
    }
    call_write_said(c, 0, true);
    c->heard.len = 0;
}

/* A stop overtakes what was sent before it: who watches sees the last words first. */
static void end_in_order(struct call *c, struct reason reason)
{
    c->last = reason;
    if (c->watched)
        actor_timer_set(&c->actor, &c->last_timer, LAST_TAG, now_of(c));
    else
        actor_stop_self(&c->actor, reason);
}

static void do_turn_over(struct call *c, uint32_t actions)
{
    int64_t turns_max = c->bundle->agent->turns_max;

    if (actions & ACT_FLUSH)
        return; /* how much was heard comes from the leg: LEG_HEARD */
    call_write_said(c, c->reply.len, false);
    if (c->lost.err)
        end_in_order(c, c->lost);
    else if (c->hang_up)
        end_in_order(c, REASON(0, "the agent said goodbye"));
    else if (turns_max > 0 && c->cdr.turn >= turns_max)
        end_in_order(c, REASON(0, "the call reached its number of turns"));
}

static void do_commit(struct call *c)
{
    c->committed = true;
    if (c->asked && !c->excused)
        c->failures[ROLE_LLM] = 0;
    memcpy(c->expects, c->asks_for, sizeof(c->expects));
    call_send_epoch(c, c->llm, LLM_COMMIT, c->reply_of);
    call_write_heard(c);
    if (c->heard.len)
        metrics_add(METRIC_TURNS, 1);
}

static void play_control(struct call *c, uint16_t type)
{
    struct leg_play_msg body = {.epoch = c->reply_of};

    actor_send_body(&c->actor, c->leg, type, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void tell_ended(struct call *c)
{
    struct leg_ended_msg body = {.silence_ns = turn_hold_ns(&c->turn)};

    actor_send_body(&c->actor, c->leg, LEG_ENDED, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void set_turn_timer(struct call *c)
{
    if (c->turn.deadline_ns == NEVER_NS || c->phase != TALKING)
        actor_timer_cancel(&c->actor, &c->turn_timer);
    else
        actor_timer_set(&c->actor, &c->turn_timer, TURN_TAG, c->turn.deadline_ns);
}

static void carry_out(struct call *c, uint32_t actions)
{
    if (actions & ACT_HOLD)
        play_control(c, LEG_HOLD);
    if (actions & ACT_RESUME) {
        metrics_add(METRIC_BARGE_INS_RESUMED, 1);
        play_control(c, LEG_RESUME);
    }
    if ((actions & ACT_FLUSH) && (actions & ACT_TURN_OVER))
        metrics_add(METRIC_BARGE_INS, 1);
    if (actions & ACT_FORGET) {
        c->final_owed = c->taken_back = 0;
        call_send_epoch(c, c->stt, STT_FORGET, c->utterance);
        call_tell_noise(c);
    }
    if ((actions & ACT_FLUSH) && !(actions & ACT_TURN_OVER))
        give_way(c, actions);
    if (actions & ACT_FLUSH)
        do_flush(c);
    if (actions & ACT_TURN_OVER)
        do_turn_over(c, actions);
    if (actions & ACT_LISTEN)
        do_listen(c, actions);
    if (actions & ACT_FINISH) {
        cdr_decided(&c->cdr, c->turn.voiced_ns, now_of(c));
        c->final_owed = c->turn.epoch;
        call_send_epoch(c, c->stt, STT_FINISH, c->turn.epoch);
    }
    if (actions & ACT_ENDED)
        tell_ended(c);
    if (actions & ACT_ANSWER)
        ask(c, TURN_HEARD, heard_text(c));
    if (actions & ACT_ANSWER_KEYS)
        ask_keys(c);
    if (actions & ACT_ANSWER_UNCLEAR)
        ask(c, TURN_UNCLEAR, SLICE_NONE);
    if (actions & ACT_ANSWER_SILENCE)
        ask_silence(c);
    if (actions & ACT_COMMIT)
        do_commit(c);
    if (actions & ACT_LAST) /* if a reply was cut just now, the leg says first how much was heard */
        actor_timer_set(&c->actor, &c->keys_timer, WORDS_TAG, now_of(c));
    if (actions & ACT_SILENCE_END)
        actor_stop_self(&c->actor, REASON(0, "the caller was silent for too long"));
}

void call_turn(struct call *c, struct turn_event e)
{
    enum turn_state before = c->turn.state;

    if (c->phase != TALKING)
        return;
    uint32_t actions = turn_step(&c->turn, &e, now_of(c));
    if (c->turn.state != before)
        log_debug("call", &c->about, "%s -> %s", turn_state_name(before),
                  turn_state_name(c->turn.state));
    carry_out(c, actions);
    if (c->turn.state != before)
        call_tell_state(c);
    set_turn_timer(c);
}

/* ---- what the leg says ---- */

void call_tell_asker(struct call *c, int err, const struct address *local)
{
    struct call_placed_msg body = {.err = err, .cookie = c->args.cookie};

    if (actor_id_none(c->args.asker))
        return;
    if (local)
        body.local = *local;
    memcpy(body.call_id, c->args.call_id, sizeof(body.call_id));
    actor_send_body(&c->actor, c->args.asker, CALL_PLACED, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
    c->args.asker = ACTOR_NOBODY;
}

/* It says its greeting and hangs up; nobody is listened to. */
static bool announces(const struct call *c)
{
    return c->bundle->agent->mode == AGENT_NON_CONVERSATIONAL;
}

static void on_leg_up(struct call *c, const struct msg *m)
{
    const struct agent *agent = c->bundle->agent;

    if (c->phase != CONNECTING)
        return; /* it comes up for a call that is ending already */
    c->cdr.start_ns = msg_body(m, leg_up_msg)->start_ns;
    c->phase = TALKING;
    c->leg = m->from;
    c->watched = msg_body(m, leg_up_msg)->watched;
    call_tell_asker(c, 0, &msg_body(m, leg_up_msg)->local);
    turn_init(&c->turn, &c->bundle->rules, now_of(c));
    if (agent->call_timeout_seconds > 0)
        actor_timer_set(&c->actor, &c->limit_timer, LIMIT_TAG,
                        now_of(c) + SECONDS(agent->call_timeout_seconds));
    if (!agent->greeting[0]) {
        c->turn.greeted = true;
        return;
    }
    call_turn(c, (struct turn_event){.kind = ON_SAY});
    call_say(c, agent->greeting);
    c->hang_up = announces(c);
}

static void on_speech(struct call *c, const struct leg_speech_msg *m)
{
    if (announces(c))
        return;
    if (!m->speaking) {
        call_turn(c, (struct turn_event){.kind = ON_PAUSE, .at_ns = m->at_ns});
        if (c->turn.state == TURN_ENDPOINTING)
            call_send_epoch(c, c->stt, STT_PAUSE, c->turn.epoch);
        return;
    }
    call_turn(c, (struct turn_event){.kind = ON_SPEECH, .at_ns = m->at_ns});
}

static void on_key(struct call *c, char digit)
{
    if (c->phase != TALKING || announces(c) || c->lost.err)
        return;
    if (c->digit_count < DTMF_DIGITS_MAX && digit != '#')
        c->digits[c->digit_count++] = digit; /* beyond it the newest is dropped */
    call_turn(c, (struct turn_event){.kind = ON_KEY});
    /* Complete or not, they are answered by a timer: if a reply was cut just now, the leg says
     * first how much of it was heard. */
    bool complete = digit == '#' || c->digit_count == DTMF_DIGITS_MAX;
    actor_timer_set(&c->actor, &c->keys_timer, KEYS_TAG, now_of(c) + (complete ? 0 : KEYS_WAIT_NS));
}

static void on_audible(struct call *c, const struct leg_audible_msg *m)
{
    if (m->epoch == c->reply_of) {
        cdr_stamp(&c->cdr, &c->cdr.ledger.first_audible_ns, m->at_ns);
        call_tell_latency(c);
    }
    call_turn(c, (struct turn_event){.kind = ON_AUDIBLE, .epoch = m->epoch});
}

static void on_marked(struct call *c, const struct leg_marked_msg *m)
{
    if (m->epoch == c->reply_of && !c->said)
        cdr_stamp(&c->cdr, &c->cdr.ledger.mark_back_ns, m->at_ns);
}

static void on_leg_heard(struct call *c, const struct leg_heard_msg *m)
{
    size_t bytes =
        reply_heard(&c->reply, m->piece, m->heard_samples, m->piece_samples, m->piece_ended);

    if (c->committed)
        call_write_said(c, bytes, bytes < c->reply.len);
}

/* ---- what the providers say ---- */

/* The final of the present utterance, or that there is none: with what was said before a reply was
 * taken back it may be something all the same. */
static void decide(struct call *c, uint32_t epoch, uint32_t words)
{
    c->final_owed = 0;
    c->by_keys = false;
    c->cdr.ledger.barge_in = c->interrupting;
    call_turn(c, (struct turn_event){.kind = ON_HEARD, .epoch = epoch, .words = words});
}

static bool awaits_final(const struct call *c, uint32_t epoch)
{
    return epoch == c->utterance && epoch == c->turn.epoch && c->turn.finishing;
}

void call_hear_nothing(struct call *c, uint32_t epoch)
{
    if (awaits_final(c, epoch))
        decide(c, epoch, c->heard.len > 0);
}

static void on_heard(struct call *c, const struct msg *m)
{
    const struct stt_words_msg *body = msg_body(m, stt_words_msg);
    struct slice text = text_of(&c->actor, m);
    bool awaited = awaits_final(c, body->epoch);

    if (!awaited && (body->epoch == 0 || body->epoch != c->taken_back))
        return;
    uint32_t before = c->heard.len > 0;
    if (before && text.len)
        note_add(&c->actor, &c->heard, SLICE(" "), TURN_TEXT_BYTES_MAX);
    note_add(&c->actor, &c->heard, text, TURN_TEXT_BYTES_MAX);
    if (!awaited) /* the sentence goes on: it is answered as a whole */
        return;
    cdr_stamp(&c->cdr, &c->cdr.ledger.stt_final_ns, now_of(c));
    c->failures[ROLE_STT] = 0;
    c->confidence = body->confidence;
    log_info("call", &c->about, "heard \"%.*s\"", SLICE_ARG(heard_text(c)));
    decide(c, body->epoch, body->words + before);
}

static void on_words(struct call *c, const struct msg *m)
{
    const struct stt_words_msg *body = msg_body(m, stt_words_msg);

    if (body->epoch == c->utterance)
        call_tell_hearing(c, text_of(&c->actor, m));
    call_turn(c, (struct turn_event){.kind = ON_WORDS,
                                     .epoch = body->epoch,
                                     .words = body->words,
                                     .complete = body->complete,
                                     .expected = body->expected,
                                     .ended = body->ended});
}

/* Whether the language model may still add to what is being said. */
bool call_wants(const struct call *c, uint32_t epoch)
{
    return epoch == c->reply_of && epoch == c->turn.reply_epoch && !c->over && !c->reply.whole;
}

static void on_llm_text(struct call *c, const struct msg *m)
{
    if (!call_wants(c, msg_body(m, epoch_msg)->epoch))
        return;
    call_expect_progress(c);
    cdr_stamp(&c->cdr, &c->cdr.ledger.first_token_ns, now_of(c));
    call_reply_add(c, text_of(&c->actor, m));
    call_speak(c);
}

/* It holds from the moment the reply is heard; at once, if that is being heard already. */
static void on_expects(struct call *c, const struct expect_msg *m)
{
    if (!call_wants(c, m->epoch))
        return;
    memcpy(c->asks_for, m->answer, sizeof(c->asks_for));
    if (c->committed)
        memcpy(c->expects, m->answer, sizeof(c->expects));
}

static bool contains(struct slice text, const char *phrase)
{
    size_t len = strlen(phrase);

    for (size_t i = 0; len && i + len <= text.len; i++)
        if (strncasecmp((const char *)text.at + i, phrase, len) == 0)
            return true;
    return false;
}

static bool says_goodbye(const struct call *c)
{
    const struct text_list *phrases = &c->bundle->agent->goodbye_phrases;

    for (size_t i = 0; i < phrases->count; i++)
        if (contains(reply_text(&c->reply), phrases->at[i]))
            return true;
    return false;
}

static void on_llm_done(struct call *c, const struct llm_done_msg *m)
{
    if (!call_wants(c, m->epoch) || c->tools_pending)
        return; /* with a tool pending it goes on with what that says */
    c->hang_up = m->hang_up || says_goodbye(c);
    reply_end(&c->reply);
    call_speak(c);
    log_info("call", &c->about, "says \"%.*s\"", SLICE_ARG(reply_text(&c->reply)));
}

static void on_understood(struct call *c, const struct msg *m)
{
    if (msg_body(m, epoch_msg)->epoch == c->reply_of)
        note_set(&c->actor, &c->understood, text_of(&c->actor, m), UNDERSTOOD_BYTES);
}

/* A tool with effects runs only while the turn that asked for it is the current one. */
static void on_llm_tool(struct call *c, const struct msg *m)
{
    const struct llm_tool_msg *body = msg_body(m, llm_tool_msg);
    struct tool_start_msg args = {.agent = c->args.agent,
                                  .epoch = body->epoch,
                                  .tool_id = body->tool_id,
                                  .journal = c->cdr.journal,
                                  .journaled = c->cdr.open};
    frame_ref take;

    if (body->epoch != c->turn.reply_epoch || c->phase != TALKING) {
        log_info("call", &c->about, "a tool was not run: its turn had passed");
        return;
    }
    memcpy(args.call_id, c->args.call_id, sizeof(args.call_id));
    take = m->frame == FRAME_NONE ? FRAME_NONE : frame_keep(shard_pool(c->actor.shard), m->frame);
    c->tools_pending++;
    call_expect_progress(c);
    if (actor_spawn(c->actor.shard, &tool_type, &c->actor, ROLE_TOOL, &args, sizeof(args), take))
        return;
    struct tool_done_msg busy = {.epoch = body->epoch, .tool_id = body->tool_id, .err = EBUSY};
    struct slice why = SLICE("{\"ok\":false,\"error\":\"too much is being done\"}");
    log_warn("call", &c->about, "a tool was not run: no actor was free");
    actor_send_body(&c->actor, c->actor.id, TOOL_DONE, IF_FULL_STOP, text_frame(&c->actor, why),
                    &busy, sizeof(busy));
}

static void on_tool_done(struct call *c, const struct msg *m)
{
    const struct tool_done_msg *done = msg_body(m, tool_done_msg);
    struct llm_ask_msg body = {
        .epoch = done->epoch, .kind = TURN_TOOL, .tool_id = done->tool_id, .confidence = 100};
    frame_ref take =
        m->frame == FRAME_NONE ? FRAME_NONE : frame_keep(shard_pool(c->actor.shard), m->frame);

    if (done->epoch == c->reply_of && c->tools_pending)
        c->tools_pending--;
    call_expect_progress(c);
    actor_send_body(&c->actor, c->llm, LLM_ASK, IF_FULL_STOP, take, &body, sizeof(body));
}

/* ---- life ---- */

static void on_keys_complete(struct call *c)
{
    call_turn(c, (struct turn_event){.kind = ON_KEYS});
    c->digit_count = 0;
}

static void on_timer(struct call *c, uint32_t tag)
{
    if (tag == TURN_TAG && c->turn.finishing)
        call_no_final(c);
    else if (tag == TURN_TAG)
        call_turn(c, (struct turn_event){.kind = ON_TIME});
    else if (tag == KEYS_TAG)
        on_keys_complete(c);
    else if (tag == WORDS_TAG)
        call_last_words(c);
    else if (tag == LATE_TAG)
        call_late(c);
    else if (tag == LAST_TAG)
        actor_stop_self(&c->actor, c->last);
    else if (tag == AGAIN_TAG)
        call_store(c);
    else if (tag == STORE_TAG)
        call_not_stored(c);
    else
        actor_stop_self(&c->actor, REASON(0, "the call reached its maximum duration"));
}

/* The conversation's messages; life's are below. */
static void on_talk(struct call *c, const struct msg *m)
{
    switch (m->type) {
    case LEG_SPEECH:
        on_speech(c, msg_body(m, leg_speech_msg));
        break;
    case LEG_KEY:
        on_key(c, msg_body(m, leg_key_msg)->digit);
        break;
    case LEG_AUDIBLE:
        on_audible(c, msg_body(m, leg_audible_msg));
        break;
    case LEG_MARKED:
        on_marked(c, msg_body(m, leg_marked_msg));
        break;
    case LEG_PLAYED:
        call_turn(
            c, (struct turn_event){.kind = ON_PLAYED, .epoch = msg_body(m, leg_played_msg)->epoch});
        break;
    case LEG_HEARD:
        on_leg_heard(c, msg_body(m, leg_heard_msg));
        break;
    case STT_WORDS:
        on_words(c, m);
        break;
    case STT_HEARD:
        on_heard(c, m);
        break;
    case LLM_UNDERSTOOD:
        on_understood(c, m);
        break;
    case LLM_EXPECTS:
        on_expects(c, msg_body(m, expect_msg));
        break;
    case LLM_TEXT:
        on_llm_text(c, m);
        break;
    case LLM_TOOL:
        on_llm_tool(c, m);
        break;
    case LLM_DONE:
        on_llm_done(c, msg_body(m, llm_done_msg));
        break;
    case TTS_FIRST:
        call_expect_progress(c);
        if (msg_body(m, tts_first_msg)->epoch == c->reply_of)
            cdr_stamp(&c->cdr, &c->cdr.ledger.first_tts_ns, msg_body(m, tts_first_msg)->at_ns);
        break;
    case TOOL_DONE:
        on_tool_done(c, m);
        break;
    case PROVIDER_NEXT:
        call_provider_next(c, msg_body(m, provider_failed_msg));
        break;
    case PROVIDER_FAILED:
        call_provider_failed(c, msg_body(m, provider_failed_msg));
        break;
    default:
        break;
    }
}

static void call_handle(struct actor *a, const struct msg *m)
{
    struct call *c = container_of(a, struct call, actor);

    switch (m->type) {
    case MSG_START:
        call_start(c, m);
        break;
    case MSG_STOP:
        call_stop(c);
        break;
    case MSG_CHILD_ENDED:
        call_child_ended(c, msg_body(m, child_ended_msg));
        break;
    case MSG_TIMER:
        on_timer(c, msg_body(m, timer_msg)->tag);
        break;
    case MSG_LANE_DONE:
        call_stored(c, msg_body(m, lane_msg));
        break;
    case LEG_UP:
        on_leg_up(c, m);
        break;
    case CALL_PRESS:
        actor_send_body(a, c->leg, CALL_PRESS, IF_FULL_DROP, FRAME_NONE,
                        msg_body(m, call_press_msg), sizeof(struct call_press_msg));
        break;
    case RECORDED:
        c->recorded = *msg_body(m, recorded_msg);
        break;
    default:
        on_talk(c, m);
        break;
    }
}

static const char *call_state(const struct actor *a)
{
    const struct call *c = container_of(a, struct call, actor);

    return c->phase == TALKING      ? turn_state_name(c->turn.state)
           : c->phase == CONNECTING ? "connecting"
           : c->phase == ENDING     ? "ending"
                                    : "storing";
}

static const struct log_about *call_about(const struct actor *a)
{
    return &container_of(a, struct call, actor)->about;
}

const struct actor_type call_type = {.name = "call",
                                     .size_bytes = sizeof(struct call),
                                     .handle = call_handle,
                                     .state = call_state,
                                     .about = call_about};
