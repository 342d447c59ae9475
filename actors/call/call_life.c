/* How a call begins and ends: it spawns its parts and lets go of them, closes the record and hands
 * it to the store. Part of the call actor. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/call_inner.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "base/metrics.h"

extern const struct actor_type leg_rtp_type, stt_type, llm_type, tts_type, recorder_type;

static int64_t now_of(const struct call *c)
{
    return shard_now(c->actor.shard);
}

static struct actor_id spawn_engine(struct call *c, const struct actor_type *type, uint32_t role)
{
    struct engine_start_msg args = {
        .agent = c->args.agent, .leg_rate_hz = c->args.rate_hz, .leg = c->leg};
    struct actor *a =
        actor_spawn(c->actor.shard, type, &c->actor, role, &args, sizeof(args), FRAME_NONE);

    return a ? a->id : ACTOR_NOBODY;
}

static uint32_t listen_rate_hz(const struct call *c)
{
    const struct bundle_provider *first = &c->bundle->roles[PROVIDER_STT].at[0];

    return provider_rate_hz(first->ops, &first->config);
}

static void spawn_recorder(struct call *c)
{
    struct recorder_start_msg args = {.in_rate_hz = listen_rate_hz(c),
                                      .leg_rate_hz = c->args.rate_hz};
    struct actor *a;

    if (!world_of(&c->actor)->config->recording_enabled || !c->bundle->agent->recording)
        return;
    memcpy(args.call_id, c->args.call_id, sizeof(args.call_id));
    a = actor_spawn(c->actor.shard, &recorder_type, &c->actor, ROLE_RECORDER, &args, sizeof(args),
                    FRAME_NONE);
    if (a) {
        c->recorder = a->id;
        c->recorded.err = ETIMEDOUT; /* until it says how it went: it may be ended by force */
    } else {
        log_warn("call", &c->about, "this call is not recorded: no recorder was free");
    }
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
                                 .listen_rate_hz = listen_rate_hz(c)};

    memcpy(body.call_id, c->args.call_id, sizeof(body.call_id));
    actor_send_body(&c->actor, c->leg, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

void call_start(struct call *c, const struct msg *m)
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

static void end(struct call *c)
{
    note_drop(&c->actor, &c->heard);
    note_drop(&c->actor, &c->understood);
    actor_memory_back(&c->actor, &c->reply.text);
    c->reply.len = c->reply.room = 0;
    actor_end(&c->actor);
}

/* The journal has the log in any case: the next start stores it. */
static void leave(struct call *c)
{
    actor_timer_cancel(&c->actor, &c->store_timer);
    lane_close(&c->actor, &c->store);
    end(c);
}

/* The lane may be behind: hundreds of calls end in one tick when a trunk fails. Then it is asked
 * again. */
void call_store(struct call *c)
{
    struct slice records = cdr_copy(&c->cdr);
    int64_t again_ns = now_of(c) + STORE_AGAIN_NS;
    int err = 0;

    if (c->store.generation == 0)
        err = lane_open(&c->actor, LANE_STORE, PROGRAM_STORE, NULL, 0, &c->store);
    if (err == 0)
        err =
            records.len ? lane_run(&c->actor, &c->store, STORE_CALL_FINISH, 0, records) : -EMSGSIZE;
    if (err == 0) {
        actor_timer_set(&c->actor, &c->store_timer, STORE_TAG, c->store_until_ns);
    } else if (err == -EAGAIN && again_ns < c->store_until_ns) {
        actor_timer_set(&c->actor, &c->store_timer, AGAIN_TAG, again_ns);
    } else {
        log_error("call", &c->about, "the log waits in the journal for the next start (%d)", err);
        leave(c);
    }
}

/* Everything is written down; the store gets it, and when it has, the journal may forget. A store
 * may be slower than an actor may be to stop: it has a limit of its own. */
static void store_log(struct call *c)
{
    c->phase = STORING;
    c->store_until_ns = now_of(c) + STORE_NS;
    actor_stop_until(&c->actor, c->store_until_ns + ACTOR_STOP_NS);
    call_store(c);
}

void call_stored(struct call *c, const struct lane_msg *done)
{
    if (c->phase != STORING)
        return;
    if (done->err == 0)
        cdr_stored(&c->cdr);
    else
        log_error("call", &c->about, "the store refused the log (%d): it waits in the journal",
                  done->err);
    leave(c);
}

void call_not_stored(struct call *c)
{
    log_error(
        "call", &c->about,
        "the store has not answered for %d s: the log waits in the journal for the next start",
        (int)(STORE_NS / NS_PER_S));
    leave(c);
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
        call_write_said(c, c->reply.len, true);
    cdr_end(&c->cdr, status_of(c), &c->actor.reason, &c->recorded);
    count_end(c);
    if (c->cdr.open)
        store_log(c);
    else
        end(c);
}

void call_stop(struct call *c)
{
    c->phase = ENDING;
    actor_timer_cancel(&c->actor, &c->turn_timer);
    actor_timer_cancel(&c->actor, &c->keys_timer);
    actor_timer_cancel(&c->actor, &c->limit_timer);
    actor_timer_cancel(&c->actor, &c->late_timer);
    actor_timer_cancel(&c->actor, &c->last_timer);
    call_tell_asker(c, c->actor.reason.err ? c->actor.reason.err : ECANCELED,
                    NULL); /* never came up */
    if (!c->actor.child)
        finish(c);
}

void call_child_ended(struct call *c, const struct child_ended_msg *m)
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
