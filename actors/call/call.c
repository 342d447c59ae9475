/* One conversation: spawns what it needs (leg, stt, llm, tts, recorder), feeds everything that
 * happens to the turn machine and does what it answers, keeps the turn ledger, and writes down what
 * was heard, said and done as it happens. Child of the switchboard, parent of the rest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/cdr.h"
#include "actors/call/reply.h"
#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/metrics.h"

#define TURN_TAG  1u
#define KEYS_TAG  2u
#define LIMIT_TAG 3u

#define KEYS_WAIT_NS     MS(500) /* after a digit, for the next one */
#define UNDERSTOOD_BYTES 512
#define FAILURES_MAX     3 /* of providers in a row, before the call is given up */

static const char apology[] = "I am sorry, something went wrong here. Could you say that again?";

extern const struct actor_type leg_rtp_type, stt_type, llm_type, tts_type, recorder_type, tool_type;

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
    struct actor_timer turn_timer, keys_timer, limit_timer;
    int64_t start_wall_ms;
    uint32_t generation; /* of the playout: one more with each flush */
    uint32_t utterance;  /* epoch the recogniser was last told */
    uint32_t reply_of;   /* epoch whose reply `reply` holds */
    bool committed;      /* some of that reply was heard */
    bool said;           /* and it is written down */
    bool hang_up;        /* once that reply was heard */
    bool goes_on;        /* the next utterance goes on with `heard` */
    bool interrupting;   /* the present utterance cut the agent off */
    uint32_t failures;
    char line[72];          /* what the leg failed of: the call's own reason */
    uint32_t tools_pending; /* called by this reply and not done */
    struct reply reply;
    uint32_t heard_len;
    uint8_t heard[TURN_TEXT_BYTES_MAX];
    uint8_t confidence;
    uint32_t understood_len;
    uint8_t understood[UNDERSTOOD_BYTES];
    uint32_t digit_count;
    char digits[DTMF_DIGITS_MAX];
    bool by_keys; /* the present turn began with digits */
    struct cdr cdr;
    struct recorded_msg recorded;
    struct lane_session store;
};

static struct slice heard_text(const struct call *c)
{
    return slice_of(c->heard, c->heard_len);
}

static int64_t now_of(const struct call *c)
{
    return shard_now(c->actor.shard);
}

static void send_epoch(struct call *c, struct actor_id to, uint16_t type, uint32_t epoch)
{
    struct epoch_msg body = {.epoch = epoch};

    actor_send_body(&c->actor, to, type, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

/* ---- what is written down ---- */

/* The reply was heard as far as `bytes`: that is what was said. */
static void write_heard(struct call *c)
{
    cdr_heard(&c->cdr, heard_text(c), slice_of(c->understood, c->understood_len), c->confidence,
              c->by_keys);
}

static void write_said(struct call *c, size_t bytes, bool cut)
{
    if (c->said)
        return;
    c->said = true;
    if (!c->committed) /* a reply of which nothing was ever heard: the turn was one all the same */
        write_heard(c);
    cdr_said(&c->cdr, slice_of(c->reply.text, bytes), cut, c->reply_of);
    if (cut) {
        struct llm_cut_msg body = {.epoch = c->reply_of, .heard_bytes = (uint32_t)bytes};
        actor_send_body(&c->actor, c->llm, LLM_CUT, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    }
}

/* ---- speaking ---- */

static void begin_reply(struct call *c, uint32_t epoch)
{
    reply_begin(&c->reply);
    c->reply_of = epoch;
    c->committed = false;
    c->said = false;
    c->hang_up = false;
    c->tools_pending = 0;
}

static void speak_clauses(struct call *c)
{
    struct tts_say_msg body = {.epoch = c->reply_of, .generation = c->generation};
    struct slice clause;

    while (reply_next(&c->reply, &clause, &body.piece))
        actor_send_body(&c->actor, c->tts, TTS_SAY, IF_FULL_STOP, text_frame(&c->actor, clause),
                        &body, sizeof(body));
    if (c->reply.whole)
        actor_send_body(&c->actor, c->tts, TTS_END, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

/* Something of the call's own: the greeting, a reminder, an apology. */
static void say(struct call *c, const char *text)
{
    begin_reply(c, c->turn.reply_epoch);
    reply_add(&c->reply, slice_str(text));
    reply_end(&c->reply);
    speak_clauses(c);
}

static void ask(struct call *c, enum turn_kind kind, struct slice text)
{
    struct llm_ask_msg body = {
        .epoch = c->turn.reply_epoch, .kind = kind, .confidence = c->confidence};

    begin_reply(c, c->turn.reply_epoch);
    c->understood_len = 0;
    c->cdr.turn++;
    actor_send_body(&c->actor, c->llm, LLM_ASK, IF_FULL_STOP, text_frame(&c->actor, text), &body,
                    sizeof(body));
}

static void ask_keys(struct call *c)
{
    c->heard_len = c->digit_count;
    memcpy(c->heard, c->digits, c->digit_count);
    c->digit_count = 0;
    c->confidence = 100;
    c->by_keys = true;
    c->cdr.ledger.keys = 1;
    ask(c, TURN_KEYS, heard_text(c));
}

static void ask_silence(struct call *c)
{
    const struct agent *agent = c->bundle->agent;

    c->heard_len = 0;
    c->by_keys = false;
    if (agent->online_check.message[0]) {
        say(c, agent->online_check.message);
        return;
    }
    ask(c, TURN_SILENCE, SLICE_NONE);
}

/* ---- what the turn machine wants ---- */

static void do_flush(struct call *c)
{
    struct leg_play_msg body = {.epoch = c->reply_of};

    c->generation++;
    actor_send_body(&c->actor, c->leg, LEG_FLUSH, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    send_epoch(c, c->tts, TTS_CANCEL, c->reply_of);
    send_epoch(c, c->llm, LLM_CANCEL, c->reply_of);
}

static void do_listen(struct call *c, uint32_t actions)
{
    c->goes_on = (actions & ACT_TAKE_BACK) != 0 && c->heard_len > 0;
    if (!c->goes_on)
        c->interrupting = (actions & ACT_HOLD) != 0;
    c->utterance = c->turn.epoch;
    send_epoch(c, c->stt, STT_LISTEN, c->utterance);
}

static void do_turn_over(struct call *c, uint32_t actions)
{
    if (actions & ACT_FLUSH)
        return; /* how much was heard comes from the leg: LEG_HEARD */
    write_said(c, c->reply.len, false);
    if (c->hang_up)
        actor_stop_self(&c->actor, REASON(0, "the agent said goodbye"));
}

static void do_commit(struct call *c)
{
    c->committed = true;
    c->failures = 0;
    send_epoch(c, c->llm, LLM_COMMIT, c->reply_of);
    write_heard(c);
    if (c->heard_len)
        metrics_add(METRIC_TURNS, 1);
}

static void play_control(struct call *c, uint16_t type)
{
    struct leg_play_msg body = {.epoch = c->reply_of};

    actor_send_body(&c->actor, c->leg, type, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void set_turn_timer(struct call *c)
{
    if (c->turn.deadline_ns == NEVER_NS || c->phase != TALKING)
        actor_timer_cancel(&c->actor, &c->turn_timer);
    else
        actor_timer_set(&c->actor, &c->turn_timer, TURN_TAG, c->turn.deadline_ns);
}

/* Nobody answers: what was asked for is not waited for any longer. */
static void give_up(struct call *c)
{
    log_warn("call", &c->about, "no reply became audible in time");
    send_epoch(c, c->tts, TTS_CANCEL, c->reply_of);
    send_epoch(c, c->llm, LLM_CANCEL, c->reply_of);
    if (++c->failures >= FAILURES_MAX)
        actor_stop_self(&c->actor, REASON(ETIMEDOUT, "no reply became audible"));
    else
        say(c, apology);
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
    if (actions & ACT_FORGET)
        send_epoch(c, c->stt, STT_FORGET, c->utterance);
    if (actions & ACT_FLUSH)
        do_flush(c);
    if (actions & ACT_TURN_OVER)
        do_turn_over(c, actions);
    if (actions & ACT_LISTEN)
        do_listen(c, actions);
    if (actions & ACT_FINISH) {
        cdr_decided(&c->cdr, c->turn.voiced_ns, now_of(c));
        send_epoch(c, c->stt, STT_FINISH, c->turn.epoch);
    }
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
    if (actions & ACT_GIVE_UP)
        give_up(c);
    if (actions & ACT_SILENCE_END)
        actor_stop_self(&c->actor, REASON(0, "the caller was silent for too long"));
}

static void turn_event(struct call *c, struct turn_event e)
{
    enum turn_state before = c->turn.state;

    if (c->phase != TALKING)
        return;
    uint32_t actions = turn_step(&c->turn, &e, now_of(c));
    if (c->turn.state != before)
        log_debug("call", &c->about, "%s -> %s", turn_state_name(before),
                  turn_state_name(c->turn.state));
    carry_out(c, actions);
    set_turn_timer(c);
}

/* ---- what the leg says ---- */

/* Whoever asked for this call learns what became of it, once. */
static void tell_asker(struct call *c, int err, const struct address *local)
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

static void on_leg_up(struct call *c, const struct msg *m)
{
    const struct agent *agent = c->bundle->agent;

    if (c->phase != CONNECTING)
        return; /* it comes up for a call that is ending already */
    c->cdr.start_ns = msg_body(m, leg_up_msg)->start_ns;
    c->phase = TALKING;
    c->leg = m->from;
    tell_asker(c, 0, &msg_body(m, leg_up_msg)->local);
    turn_init(&c->turn, &c->bundle->rules, now_of(c));
    if (agent->call_timeout_seconds > 0)
        actor_timer_set(&c->actor, &c->limit_timer, LIMIT_TAG,
                        now_of(c) + SECONDS(agent->call_timeout_seconds));
    if (!agent->greeting[0]) {
        c->turn.greeted = true;
        return;
    }
    turn_event(c, (struct turn_event){.kind = ON_SAY});
    say(c, agent->greeting);
}

static void on_speech(struct call *c, const struct leg_speech_msg *m)
{
    if (!m->speaking) {
        turn_event(c, (struct turn_event){.kind = ON_PAUSE, .at_ns = m->at_ns});
        return;
    }
    turn_event(c, (struct turn_event){.kind = ON_SPEECH, .at_ns = m->at_ns});
}

static void on_key(struct call *c, char digit)
{
    if (c->phase != TALKING)
        return;
    if (c->digit_count < DTMF_DIGITS_MAX && digit != '#')
        c->digits[c->digit_count++] = digit; /* beyond it the newest is dropped */
    turn_event(c, (struct turn_event){.kind = ON_KEY});
    if (digit == '#' || c->digit_count == DTMF_DIGITS_MAX) {
        actor_timer_cancel(&c->actor, &c->keys_timer);
        turn_event(c, (struct turn_event){.kind = ON_KEYS});
    } else {
        actor_timer_set(&c->actor, &c->keys_timer, KEYS_TAG, now_of(c) + KEYS_WAIT_NS);
    }
}

static void on_audible(struct call *c, const struct leg_audible_msg *m)
{
    if (m->epoch == c->reply_of)
        cdr_stamp(&c->cdr, &c->cdr.ledger.first_audible_ns, m->at_ns);
    turn_event(c, (struct turn_event){.kind = ON_AUDIBLE, .epoch = m->epoch});
}

static void on_leg_heard(struct call *c, const struct leg_heard_msg *m)
{
    size_t bytes =
        reply_heard(&c->reply, m->piece, m->heard_samples, m->piece_samples, m->piece_ended);

    if (c->committed)
        write_said(c, bytes, bytes < c->reply.len);
}

/* ---- what the providers say ---- */

static void on_heard(struct call *c, const struct msg *m)
{
    const struct stt_words_msg *body = msg_body(m, stt_words_msg);
    struct slice text = text_of(&c->actor, m);
    struct builder b = builder_of(c->heard, sizeof(c->heard));

    if (body->epoch != c->utterance)
        return;
    cdr_stamp(&c->cdr, &c->cdr.ledger.stt_final_ns, now_of(c));
    if (c->goes_on) {
        b.len = c->heard_len;
        if (text.len)
            builder_u8(&b, ' ');
    }
    builder_slice_add(&b, text_cut(text, sizeof(c->heard) - b.len));
    c->heard_len = (uint32_t)b.len;
    c->confidence = body->confidence;
    c->by_keys = false;
    c->cdr.ledger.barge_in = c->interrupting;
    log_info("call", &c->about, "heard \"%.*s\"", SLICE_ARG(heard_text(c)));
    turn_event(c, (struct turn_event){.kind = ON_HEARD,
                                      .epoch = body->epoch,
                                      .words = body->words + (c->goes_on ? 1 : 0)});
}

static void on_words(struct call *c, const struct stt_words_msg *m)
{
    turn_event(
        c, (struct turn_event){
               .kind = ON_WORDS, .epoch = m->epoch, .words = m->words, .complete = m->complete});
}

static void on_llm_text(struct call *c, const struct msg *m)
{
    if (msg_body(m, epoch_msg)->epoch != c->reply_of || c->turn.reply_epoch != c->reply_of)
        return;
    cdr_stamp(&c->cdr, &c->cdr.ledger.first_token_ns, now_of(c));
    reply_add(&c->reply, text_of(&c->actor, m));
    speak_clauses(c);
}

static void on_llm_done(struct call *c, const struct llm_done_msg *m)
{
    if (m->epoch != c->reply_of || c->turn.reply_epoch != c->reply_of || c->reply.whole)
        return;
    if (c->tools_pending)
        return; /* it goes on with what the tool says */
    c->hang_up = m->hang_up;
    reply_end(&c->reply);
    speak_clauses(c);
    log_info("call", &c->about, "says \"%.*s\"", SLICE_ARG(reply_text(&c->reply)));
}

static void on_understood(struct call *c, const struct msg *m)
{
    struct slice text = text_cut(text_of(&c->actor, m), sizeof(c->understood));

    if (msg_body(m, epoch_msg)->epoch != c->reply_of)
        return;
    c->understood_len = (uint32_t)text.len;
    if (text.len)
        memcpy(c->understood, text.at, text.len);
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
    if (!actor_spawn(c->actor.shard, &tool_type, &c->actor, ROLE_TOOL, &args, sizeof(args), take))
        turn_event(c, (struct turn_event){.kind = ON_FAILED, .epoch = body->epoch});
    else
        c->tools_pending++;
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
    actor_send_body(&c->actor, c->llm, LLM_ASK, IF_FULL_STOP, take, &body, sizeof(body));
}

static void on_failed(struct call *c, const struct provider_failed_msg *m)
{
    log_warn("call", &c->about, "a provider failed (%d): %s", m->status, m->what);
    if (c->phase != TALKING)
        return;
    if (++c->failures >= FAILURES_MAX || m->role == ROLE_TTS) {
        actor_stop_self(&c->actor, m->role == ROLE_STT   ? REASON(EIO, "speech recognition failed")
                                   : m->role == ROLE_LLM ? REASON(EIO, "the language model failed")
                                                         : REASON(EIO, "speech synthesis failed"));
        return;
    }
    if (m->role == ROLE_STT) {
        turn_event(c, (struct turn_event){.kind = ON_HEARD, .epoch = m->epoch});
    } else if (m->epoch == c->turn.reply_epoch && c->turn.state == TURN_THINKING) {
        say(c, apology);
    }
}

/* ---- life ---- */

static struct actor_id spawn_engine(struct call *c, const struct actor_type *type, uint32_t role)
{
    struct engine_start_msg args = {
        .agent = c->args.agent, .leg_rate_hz = c->args.rate_hz, .leg = c->leg};
    struct actor *a =
        actor_spawn(c->actor.shard, type, &c->actor, role, &args, sizeof(args), FRAME_NONE);

    return a ? a->id : ACTOR_NOBODY;
}

static void spawn_recorder(struct call *c)
{
    struct recorder_start_msg args = {.in_rate_hz = c->bundle->ops[PROVIDER_STT]->rate_hz,
                                      .leg_rate_hz = c->args.rate_hz};
    struct actor *a;

    if (!world_of(&c->actor)->config->recording_enabled || !c->bundle->agent->recording)
        return;
    memcpy(args.call_id, c->args.call_id, sizeof(args.call_id));
    a = actor_spawn(c->actor.shard, &recorder_type, &c->actor, ROLE_RECORDER, &args, sizeof(args),
                    FRAME_NONE);
    if (a)
        c->recorder = a->id;
    else
        log_warn("call", &c->about, "this call is not recorded: no recorder was free");
}

static bool take_leg(struct call *c)
{
    struct leg_rtp_start_msg args = {
        .peer = c->args.peer, .payload_type = c->args.payload_type, .agent = c->args.agent};
    struct actor *leg = actor_find(c->actor.shard, c->args.leg);

    if (leg)
        actor_adopt(&c->actor, leg, ROLE_LEG);
    else if (actor_id_none(c->args.leg))
        leg = actor_spawn(c->actor.shard, &leg_rtp_type, &c->actor, ROLE_LEG, &args, sizeof(args),
                          FRAME_NONE);
    if (!leg)
        return false;
    c->leg = leg->id;
    return true;
}

static void introduce(struct call *c)
{
    struct leg_peers_msg body = {.stt = c->stt,
                                 .tts = c->tts,
                                 .recorder = c->recorder,
                                 .agent = c->args.agent,
                                 .listen_rate_hz = c->bundle->ops[PROVIDER_STT]->rate_hz};

    actor_send_body(&c->actor, c->leg, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void start(struct call *c, const struct msg *m)
{
    c->args = *msg_body(m, call_start_msg);
    c->bundle = world_of(&c->actor)->agents[c->args.agent];
    snprintf(c->agent_id, sizeof(c->agent_id), "%s", c->bundle->agent->id);
    c->about = (struct log_about){.call_id = c->args.call_id, .agent_id = c->agent_id};
    c->start_wall_ms = shard_wall_ms(c->actor.shard);
    c->generation = 1; /* as a playout begins */
    metrics_add(METRIC_CALLS_STARTED, 1);
    metrics_change(METRIC_CALLS_ACTIVE, 1);
    log_info("call", &c->about, "call begins over %s", c->args.protocol);
    spawn_recorder(c);
    struct cdr_begin begin = {.args = &c->args,
                              .agent = c->bundle->agent,
                              .who = text_of(&c->actor, m),
                              .wall_ms = c->start_wall_ms,
                              .recorded = !actor_id_none(c->recorder)};
    cdr_open(&c->cdr, &c->actor, &c->about, &begin);
    if (!take_leg(c)) {
        actor_stop_self(&c->actor, REASON(EBUSY, "no leg was free"));
        return;
    }
    c->stt = spawn_engine(c, &stt_type, ROLE_STT);
    c->llm = spawn_engine(c, &llm_type, ROLE_LLM);
    c->tts = spawn_engine(c, &tts_type, ROLE_TTS);
    if (actor_id_none(c->stt) || actor_id_none(c->llm) || actor_id_none(c->tts)) {
        actor_stop_self(&c->actor, REASON(EBUSY, "no provider actor was free"));
        return;
    }
    introduce(c);
}

static const char *status_of(const struct call *c)
{
    return c->actor.reason.err ? "failed" : "completed";
}

/* Everything is written down; the store gets it, and when it has, the journal may forget. */
static void store_log(struct call *c)
{
    struct slice records = cdr_copy(&c->cdr);
    int err = lane_open(&c->actor, LANE_STORE, PROGRAM_STORE, NULL, 0, &c->store);

    c->phase = STORING;
    if (err == 0)
        err =
            records.len ? lane_run(&c->actor, &c->store, STORE_CALL_FINISH, 0, records) : -EMSGSIZE;
    if (err == 0)
        return;
    log_error("call", &c->about, "the log waits in the journal for the next start (%d)", err);
    lane_close(&c->actor, &c->store);
    actor_end(&c->actor);
}

static void on_stored(struct call *c, const struct lane_msg *done)
{
    if (c->phase != STORING)
        return;
    if (done->err == 0)
        cdr_stored(&c->cdr);
    else
        log_error("call", &c->about, "the store refused the log (%d): it waits in the journal",
                  done->err);
    lane_close(&c->actor, &c->store);
    actor_end(&c->actor);
}

static void count_end(struct call *c)
{
    int64_t lasted_ns = now_of(c) - c->cdr.start_ns;

    metrics_change(METRIC_CALLS_ACTIVE, -1);
    metrics_add(c->actor.reason.err ? METRIC_CALLS_ENDED_FAILED : METRIC_CALLS_ENDED_COMPLETED, 1);
    metrics_observe(METRIC_CALL_SECONDS, lasted_ns);
    log_info("call", &c->about, "call ends %s after %lld ms: %s", status_of(c),
             (long long)ns_to_ms(lasted_ns), c->actor.reason.what);
}

static void finish(struct call *c)
{
    if (c->committed && !c->said) /* nobody could say how much was heard */
        write_said(c, c->reply.len, true);
    cdr_end(&c->cdr, status_of(c), &c->actor.reason, &c->recorded);
    count_end(c);
    if (c->cdr.open)
        store_log(c);
    else
        actor_end(&c->actor);
}

static void stop(struct call *c)
{
    c->phase = ENDING;
    actor_timer_cancel(&c->actor, &c->turn_timer);
    actor_timer_cancel(&c->actor, &c->keys_timer);
    actor_timer_cancel(&c->actor, &c->limit_timer);
    tell_asker(c, c->actor.reason.err ? c->actor.reason.err : ECANCELED, NULL); /* never came up */
    if (!c->actor.child)
        finish(c);
}

static void on_child_ended(struct call *c, const struct child_ended_msg *m)
{
    struct reason reason = {.err = m->err, .what = "a part of the call ended"};

    if (c->actor.life == ACTOR_STOPPING) {
        if (!c->actor.child && c->phase == ENDING)
            finish(c);
        return;
    }
    if (m->role == ROLE_TOOL)
        return;
    if (m->role == ROLE_RECORDER) {
        c->recorder = ACTOR_NOBODY;
        log_error("call", &c->about, "the recording stopped: %s", m->what);
        return;
    }
    if (m->role == ROLE_LEG) {
        snprintf(c->line, sizeof(c->line), "%s", m->what);
        reason.what = m->err ? c->line : "the caller hung up";
    }
    log_info("call", &c->about, "the %s ended: %s", m->role == ROLE_LEG ? "leg" : "provider",
             m->what);
    actor_stop_self(&c->actor, reason);
}

static void on_timer(struct call *c, uint32_t tag)
{
    if (tag == TURN_TAG)
        turn_event(c, (struct turn_event){.kind = ON_TIME});
    else if (tag == KEYS_TAG)
        turn_event(c, (struct turn_event){.kind = ON_KEYS});
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
    case LEG_PLAYED:
        turn_event(
            c, (struct turn_event){.kind = ON_PLAYED, .epoch = msg_body(m, leg_played_msg)->epoch});
        break;
    case LEG_HEARD:
        on_leg_heard(c, msg_body(m, leg_heard_msg));
        break;
    case STT_WORDS:
        on_words(c, msg_body(m, stt_words_msg));
        break;
    case STT_HEARD:
        on_heard(c, m);
        break;
    case LLM_UNDERSTOOD:
        on_understood(c, m);
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
        if (msg_body(m, tts_first_msg)->epoch == c->reply_of)
            cdr_stamp(&c->cdr, &c->cdr.ledger.first_tts_ns, msg_body(m, tts_first_msg)->at_ns);
        break;
    case TOOL_DONE:
        on_tool_done(c, m);
        break;
    case PROVIDER_FAILED:
        on_failed(c, msg_body(m, provider_failed_msg));
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
        start(c, m);
        break;
    case MSG_STOP:
        stop(c);
        break;
    case MSG_CHILD_ENDED:
        on_child_ended(c, msg_body(m, child_ended_msg));
        break;
    case MSG_TIMER:
        on_timer(c, msg_body(m, timer_msg)->tag);
        break;
    case MSG_LANE_DONE:
        on_stored(c, msg_body(m, lane_msg));
        break;
    case LEG_UP:
        on_leg_up(c, m);
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
