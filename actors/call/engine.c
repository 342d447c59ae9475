#include "actors/call/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/call/engine_net.h"
#include "actors/text.h"
#include "base/metrics.h"

#define GRACE_NS SECONDS(2) /* in which what was not read for a pause comes */

/* The actor's memory; for the few plug-ins that gather a whole utterance, the heap. */
static bool is_large(const struct engine *e)
{
    return e->ops->state_bytes > BLOCK_BYTES_MAX - BLOCK_HEAD_BYTES;
}

static void *state_new(struct engine *e)
{
    return is_large(e) ? calloc(1, e->ops->state_bytes)
                       : actor_memory(e->actor, e->ops->state_bytes);
}

static void state_free(struct engine *e)
{
    if (is_large(e))
        free(e->state);
    else
        actor_memory_put(e->actor, e->state);
    e->state = NULL;
}

static struct intents *scratch_intents(const struct engine *e)
{
    assert(shard_large_scratch(e->actor->shard).len >= sizeof(struct intents));
    return (struct intents *)(uintptr_t)shard_large_scratch(e->actor->shard).at;
}

/* None of these is for ever. */
static void fail(struct engine *e, uint32_t epoch, int err, const char *what)
{
    struct provider_intent event = {.kind = INTENT_EVENT,
                                    .event = EVENT_FAILED,
                                    .epoch = epoch,
                                    .status = err,
                                    .text = slice_str(what)};

    e->on_event(e->actor, &event);
}

/* What clears up after a cancel must not be cancelled with the rest: epoch 0 never is. */
static uint32_t job_epoch(const struct engine *e, const struct provider_intent *intent)
{
    return e->input == INPUT_CANCEL ? 0 : intent->epoch;
}

static void send_on(struct engine *e, const struct provider_intent *intent)
{
    int err = e->net ? engine_net_send(e->net, intent) : -ENOTCONN;

    if (err == -ENOTCONN)
        return; /* the socket has gone, which it is told of */
    if (err)
        metrics_add(METRIC_PROVIDER_REFUSED, 1);
    if (err && e->input == INPUT_AUDIO)
        return; /* a moment is not heard, the utterance goes on */
    if (err)
        fail(e, intent->epoch, -err, "the provider does not read what it is sent");
}

static void give_event(struct engine *e, const struct provider_intent *intent)
{
    if (e->net)
        engine_net_event(e->net, intent);
    e->on_event(e->actor, intent);
}

static void on_network(struct engine *e, const struct provider_intent *intent)
{
    if (!e->net)
        e->net = engine_net_new(e);
    if (!e->net)
        fail(e, intent->epoch, ENOMEM, "no memory is left for a connection");
    else if (intent->kind == INTENT_CONNECT)
        engine_net_connect(e->net, intent);
    else
        engine_net_request(e->net, intent);
}

static void carry_out(struct engine *e, const struct provider_intent *intent)
{
    int err;

    /* The last input's only use is to say goodbye. */
    if (e->input == INPUT_STOP && intent->kind != INTENT_CLOSE && intent->kind != INTENT_SEND)
        return;
    switch (intent->kind) {
    case INTENT_EVENT:
        give_event(e, intent);
        return;
    case INTENT_JOB:
        err = lane_run(e->actor, &e->session, intent->flag, job_epoch(e, intent), intent->body);
        if (err)
            metrics_add(METRIC_LANE_REFUSED, 1);
        if (err && e->input == INPUT_AUDIO)
            return; /* a moment is not heard, the utterance goes on */
        if (err)
            fail(e, intent->epoch, -err, "the speech lane is behind");
        else
            e->jobs++;
        return;
    case INTENT_CONNECT:
    case INTENT_REQUEST:
        on_network(e, intent);
        return;
    case INTENT_SEND:
        send_on(e, intent);
        return;
    case INTENT_CLOSE:
        if (e->net)
            engine_net_close(e->net, intent->flag);
        return;
    }
}

static void set_deadline(struct engine *e)
{
    int64_t at_ns = e->ops->deadline ? e->ops->deadline(e->state) : NEVER_NS;

    if (at_ns < e->grace_ns)
        at_ns = e->grace_ns;
    if (at_ns == NEVER_NS || e->stopped)
        actor_timer_cancel(e->actor, &e->timer);
    else
        actor_timer_set(e->actor, &e->timer, ENGINE_TIMER_TAG, at_ns);
}

void engine_input(struct engine *e, struct provider_input *input)
{
    if (!e->stopped && e->net && engine_net_holds(e->net, input))
        return;
    engine_feed(e, input);
}

void engine_feed(struct engine *e, struct provider_input *input)
{
    struct intents *out = scratch_intents(e);

    if (e->stopped || !e->state)
        return;
    input->config = e->config;
    e->input = input->kind;
    intents_init(out);
    e->ops->step(e->state, input, shard_now(e->actor->shard), out);
    if (out->bad) {
        fail(e, input->epoch, EMSGSIZE, "the provider asked for more than fits");
        return;
    }
    for (size_t i = 0; i < out->count && !e->stopped; i++)
        carry_out(e, &out->list[i]);
    set_deadline(e);
}

void engine_command(struct engine *e, enum provider_input_kind kind, uint32_t epoch,
                    struct slice data)
{
    struct provider_input input = {.kind = kind, .epoch = epoch, .data = data};

    engine_input(e, &input);
}

static const struct bundle_role *role_of(const struct engine *e)
{
    return &world_of(e->actor)->agents[e->agent]->roles[e->kind];
}

/* The plug-in at e->place. */
static int begin(struct engine *e)
{
    const struct bundle_provider *provider = &role_of(e)->at[e->place];
    struct provider_lane_args args = {.agent = e->agent, .kind = e->kind, .place = e->place};

    e->ops = provider->ops;
    e->config = &provider->config;
    e->stopped = false;
    e->jobs = 0;
    e->grace_ns = 0;
    e->state = state_new(e);
    int err = e->state ? 0 : -ENOMEM;
    if (!err && e->ops->job_run)
        err = lane_open(e->actor, LANE_SPEECH, PROGRAM_PROVIDER, &args, sizeof(args), &e->session);
    if (err) {
        if (e->state)
            state_free(e);
        e->stopped = true;
        return err;
    }
    engine_command(e, INPUT_START, 0, SLICE_NONE);
    return 0;
}

int engine_start(struct engine *e, struct actor *a, uint32_t agent, enum provider_kind kind,
                 engine_event *on_event)
{
    e->actor = a;
    e->agent = agent;
    e->kind = kind;
    e->place = 0;
    e->on_event = on_event;
    return begin(e);
}

const char *engine_name(const struct engine *e)
{
    return e->ops ? e->ops->name : NULL;
}

uint32_t engine_left(const struct engine *e)
{
    return role_of(e)->count - 1 - e->place;
}

int engine_next(struct engine *e)
{
    assert(engine_left(e) > 0);
    engine_stop(e);
    e->place++;
    return begin(e);
}

void engine_fail(struct engine *e, const struct provider_intent *event)
{
    struct engine_failure *f = &e->failure;

    if (f->any)
        return;
    *f = (struct engine_failure){.any = true,
                                 .fatal = (event->flag & EVENT_FATAL) != 0,
                                 .epoch = event->epoch,
                                 .status = event->status};
    snprintf(f->what, sizeof(f->what), "%.*s", SLICE_ARG(event->text));
}

void engine_fail_with(struct engine *e, uint32_t epoch, int err, const char *what)
{
    struct provider_intent event = {.epoch = epoch, .status = err, .text = slice_str(what)};

    engine_fail(e, &event);
}

/* A job that could not open or run at all says so with its error; what it found wrong inside it
 * has emitted already. */
static void on_job_done(struct engine *e, const struct lane_msg *done)
{
    e->jobs--;
    if (done->err && done->err != -ECANCELED)
        fail(e, done->epoch, -done->err, "the speech engine failed");
}

static void on_emit(struct engine *e, const struct msg *m)
{
    const struct lane_msg *body = msg_body(m, lane_msg);
    struct provider_input input = {
        .kind = INPUT_JOB, .epoch = body->epoch, .flag = body->tag, .data = text_of(e->actor, m)};

    engine_input(e, &input);
}

bool engine_handle(struct engine *e, const struct msg *m)
{
    if (m->type == MSG_TIMER && msg_body(m, timer_msg)->tag == ENGINE_TIMER_TAG) {
        engine_command(e, INPUT_TIMER, 0, SLICE_NONE);
        return true;
    }
    if (e->net && engine_net_handle(e->net, m))
        return true;
    if (m->type != MSG_LANE_EMIT && m->type != MSG_LANE_DONE)
        return false;
    if (e->session.generation == 0 || msg_body(m, lane_msg)->generation != e->session.generation)
        return true;
    if (m->type == MSG_LANE_EMIT)
        on_emit(e, m);
    else
        on_job_done(e, msg_body(m, lane_msg));
    return true;
}

void engine_cancel(struct engine *e, uint32_t epoch)
{
    if (e->session.generation && e->jobs)
        lane_cancel(e->actor, &e->session, epoch);
    engine_command(e, INPUT_CANCEL, epoch, SLICE_NONE);
}

void engine_pause(struct engine *e, bool pause)
{
    if (!e->net || e->stopped)
        return;
    engine_net_pause(e->net, pause);
    e->grace_ns = pause ? NEVER_NS : shard_now(e->actor->shard) + GRACE_NS;
    set_deadline(e);
}

void engine_stop(struct engine *e)
{
    if (!e->actor || e->stopped)
        return;
    engine_command(e, INPUT_STOP, 0, SLICE_NONE);
    e->stopped = true;
    state_free(e);
    engine_net_free(&e->net);
    actor_timer_cancel(e->actor, &e->timer);
    lane_close(e->actor, &e->session);
}
