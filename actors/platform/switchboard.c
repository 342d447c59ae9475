/* The root of one shard: listens on the media port, puts a door behind each connection, admits or
 * refuses who asks, and is the parent of every call. It keeps the shard's view of the agents (which
 * version the next call takes, how many calls use each) and drains when told. One per shard. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/json.h"
#include "base/metrics.h"

#define CLAIMS_MAX 256 /* tokens being claimed; beyond it askers are told EBUSY */
#define RETRY_TAG  1u
#define DRAIN_TAG  2u
#define RETRY_NS   MS(100) /* a release found no room on its way */
#define KNOCK_TAG  3u
#define KNOCK_NS   MS(100) /* after the listener closed: who knocked before has come in by then */

extern const struct actor_type door_type, call_type, network_type;

/* One version of an agent as this shard knows it. */
struct agent_use {
    bool offered; /* the newest of its name */
    bool known;
    uint32_t calls;
};

/* Somebody who waits for the store: a token to be claimed, or news of a carrier to be kept. */
struct claim {
    struct actor_id asker;
    uint32_t cookie;
    uint32_t agent; /* 0: news */
    bool waiting;
};

struct switchboard {
    struct actor actor;
    io_id listener;
    struct address bound;
    struct lane_session store;
    uint32_t tls; /* the certificate that new connections are shown; 0: plain */
    struct agent_use agents[AGENT_VERSIONS_MAX];
    struct claim claims[CLAIMS_MAX];
    uint32_t calls;
    uint32_t arriving; /* let in, and no call yet: children called ROLE_EXPECTED */
    uint32_t next_call;
    bool draining;
    bool last_knocked; /* nobody new will come in */
    struct actor_timer drain_timer, knock_timer;
    struct actor_timer retry_timer; /* releases are owed */
};

/* ---- agents ---- */

static const char *agent_id_of(struct switchboard *s, uint32_t index)
{
    return world_of(&s->actor)->agents[index]->agent->id;
}

/* The version the next call of this name takes, 0 if there is none. */
static uint32_t find_agent(struct switchboard *s, const char *name)
{
    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        if (s->agents[i].offered && strcmp(agent_id_of(s, i), name) == 0)
            return i;
    return 0;
}

static void release_unused(struct switchboard *s, uint32_t index)
{
    struct agent_use *use = &s->agents[index];
    struct actor_id control = {
        .shard = world_of(&s->actor)->control_host & 0xFFu, .slot = 0, .generation = 1};
    struct agent_offer_msg body = {.agent = index};

    if (!use->known || use->offered || use->calls)
        return;
    /* Without this message the version is never freed: it is sent until it has found room. */
    if (actor_send_body(&s->actor, control, AGENT_RELEASED, IF_FULL_DROP, FRAME_NONE, &body,
                        sizeof(body)))
        use->known = false;
    else if (s->actor.life == ACTOR_RUNNING)
        actor_timer_set(&s->actor, &s->retry_timer, RETRY_TAG,
                        shard_now(s->actor.shard) + RETRY_NS);
}

static void release_again(struct switchboard *s)
{
    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        release_unused(s, i);
}

/* Carriers write a number with or without its '+'. */
static bool number_equal(const char *a, const char *b)
{
    a += *a == '+';
    b += *b == '+';
    return *a && strcmp(a, b) == 0;
}

static void on_offer(struct switchboard *s, uint32_t index)
{
    uint32_t old = find_agent(s, agent_id_of(s, index));

    s->agents[index].offered = s->agents[index].known = true; /* boot's may be offered again */
    if (old && old != index) {
        s->agents[old].offered = false;
        release_unused(s, old);
    }
}

/* ---- admission ---- */

static bool is_full(struct switchboard *s)
{
    const struct world *world = world_of(&s->actor);
    int64_t share = (world->config->calls_max + world->shards - 1) / world->shards;

    return s->calls + s->arriving >= (uint32_t)share;
}

static void count_arriving(struct switchboard *s, int change)
{
    s->arriving += (uint32_t)change;
    metrics_change(METRIC_CALLS_ARRIVING, change);
}

/* Between the answer to an upgrade and the call lie a round trip and the caller's first messages:
 * without a place of its own a caller who was let in could be turned away then. The place hangs on
 * the child's role, so whatever ends a door or a leg gives it back. */
static void keep_place(struct switchboard *s, struct actor *who)
{
    if (who->role == ROLE_EXPECTED)
        return;
    who->role = ROLE_EXPECTED;
    count_arriving(s, 1);
}

static void take_place_back(struct switchboard *s, struct actor_id id)
{
    struct actor *who = actor_find(s->actor.shard, id);

    if (!who || who->role != ROLE_EXPECTED)
        return;
    who->role = ROLE_STRANGER;
    count_arriving(s, -1);
}

static void count_refusal(const struct switchboard *s, int err)
{
    metrics_add(s->draining     ? METRIC_CALLS_REFUSED_DRAINING
                : err == EBUSY  ? METRIC_CALLS_REFUSED_FULL
                : err == ENOENT ? METRIC_CALLS_REFUSED_AGENT
                                : METRIC_CALLS_REFUSED_TOKEN,
                1);
}

static void answer(struct switchboard *s, struct actor_id asker, uint32_t cookie, int err,
                   uint32_t agent)
{
    struct admitted_msg body = {.err = err, .cookie = cookie, .agent = agent};

    if (err) {
        count_refusal(s, err);
        take_place_back(s, asker);
    }
    actor_send_body(&s->actor, asker, ADMITTED, IF_FULL_DROP, FRAME_NONE, &body, sizeof(body));
}

/* Gives the store a job for somebody; false when there is no room. */
static bool claim_begin(struct switchboard *s, struct claim claim, enum store_job job,
                        struct slice bytes)
{
    uint32_t i = 0;

    while (i < CLAIMS_MAX && s->claims[i].waiting)
        i++;
    /* Epochs begin at 1: 0 is never cancelled and names no claim. */
    if (i == CLAIMS_MAX || lane_run(&s->actor, &s->store, job, i + 1, bytes))
        return false;
    s->claims[i] = claim;
    s->claims[i].waiting = true;
    return true;
}

static void claim_token(struct switchboard *s, const struct msg *m, uint32_t agent)
{
    struct builder b = text_builder(&s->actor);
    struct claim claim = {
        .asker = m->from, .cookie = msg_body(m, admit_msg)->cookie, .agent = agent};

    builder_str(&b, agent_id_of(s, agent));
    builder_u8(&b, 0);
    builder_slice_add(&b, text_of(&s->actor, m));
    if (!claim_begin(s, claim, STORE_TOKEN_CLAIM, builder_slice(&b)))
        answer(s, m->from, claim.cookie, EBUSY, 0);
}

static void on_admit(struct switchboard *s, const struct msg *m)
{
    const struct admit_msg *ask = msg_body(m, admit_msg);
    struct actor *who = actor_find(s->actor.shard, m->from);
    uint32_t agent = find_agent(s, ask->agent);
    bool token = ask->token_given && m->frame != FRAME_NONE;

    if (!who) /* it has left meanwhile */
        return;
    if (agent == 0) {
        answer(s, m->from, ask->cookie, ENOENT, 0);
    } else if (who->role != ROLE_EXPECTED && is_full(s)) {
        /* Who knocked before a drain is let in: nobody else has its socket. */
        answer(s, m->from, ask->cookie, EBUSY, 0);
    } else if (!token && !ask->token_not_asked) {
        answer(s, m->from, ask->cookie, EACCES, agent);
    } else {
        keep_place(s, who);
        if (token)
            claim_token(s, m, agent);
        else
            answer(s, m->from, ask->cookie, 0, agent);
    }
}

static void kept(struct switchboard *s, struct actor_id asker, int err)
{
    struct admitted_msg body = {.err = err};

    actor_send_body(&s->actor, asker, CARRIER_KEPT, IF_FULL_DROP, FRAME_NONE, &body, sizeof(body));
}

static void on_claimed(struct switchboard *s, const struct lane_msg *done)
{
    if (done->epoch == 0 || done->epoch > CLAIMS_MAX || !s->claims[done->epoch - 1].waiting)
        return;
    struct claim *c = &s->claims[done->epoch - 1];
    c->waiting = false;
    if (c->agent)
        answer(s, c->asker, c->cookie, done->err ? EACCES : 0, c->agent);
    else
        kept(s, c->asker, -done->err);
}

/* ---- carriers' requests ---- */

/* Who has this number, 0 for nobody; with one agent alone, any number is its. */
static uint32_t find_number(struct switchboard *s, const char *number)
{
    uint32_t only = 0, offered = 0;

    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++) {
        if (!s->agents[i].offered)
            continue;
        only = i;
        offered++;
        const struct text_list *own = &world_of(&s->actor)->agents[i]->agent->phone_numbers;
        for (size_t n = 0; n < own->count; n++)
            if (number_equal(own->at[n], number))
                return i;
    }
    return offered == 1 ? only : 0;
}

static void on_answer_ask(struct switchboard *s, const struct msg *m)
{
    const struct answer_ask_msg *ask = msg_body(m, answer_ask_msg);
    uint32_t agent = ask->agent[0] ? find_agent(s, ask->agent) : find_number(s, ask->number);
    struct answer_found_msg body = {.err = !agent ? ENOENT : s->draining || is_full(s) ? EBUSY : 0};

    if (body.err)
        count_refusal(s, body.err);
    else
        snprintf(body.agent, sizeof(body.agent), "%s", agent_id_of(s, agent));
    actor_send_body(&s->actor, m->from, ANSWER_FOUND, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
}

static void on_told(struct switchboard *s, const struct msg *m)
{
    if (!claim_begin(s, (struct claim){.asker = m->from}, STORE_CARRIER_EVENT,
                     text_of(&s->actor, m)))
        kept(s, m->from, EBUSY);
}

/* ---- calls ---- */

static struct actor *spawn_call(struct switchboard *s, struct call_start_msg *args, frame_ref take)
{
    call_id_make(world_of(&s->actor), shard_index(s->actor.shard), ++s->next_call, args->call_id);
    struct actor *call =
        actor_spawn(s->actor.shard, &call_type, &s->actor, args->agent, args, sizeof(*args), take);
    if (!call)
        return NULL;
    s->calls++;
    s->agents[args->agent].calls++;
    return call;
}

static void on_arrived(struct switchboard *s, const struct msg *m)
{
    const struct leg_arrived_msg *body = msg_body(m, leg_arrived_msg);
    struct actor *leg = actor_find(s->actor.shard, m->from);
    struct call_start_msg args = {
        .agent = body->agent, .leg = m->from, .rate_hz = (uint16_t)body->rate_hz};

    if (!leg || leg->life != ACTOR_RUNNING || !call_check(leg, leg->role == ROLE_EXPECTED))
        return;
    take_place_back(s, m->from); /* from here on its call counts */
    /* A newer version may have come since it was admitted; the old one may be on its way out. */
    if (!s->agents[args.agent].offered)
        args.agent = find_agent(s, agent_id_of(s, args.agent));
    memcpy(args.protocol, body->protocol, sizeof(args.protocol));
    frame_ref who = FRAME_NONE;
    if (m->frame != FRAME_NONE)
        who = frame_keep(shard_pool(s->actor.shard), m->frame);
    if (!spawn_call(s, &args, who)) {
        count_refusal(s, EBUSY);
        actor_stop(s->actor.shard, m->from, REASON(EBUSY, "no room for another call"));
    }
}

static void on_place(struct switchboard *s, const struct msg *m)
{
    const struct call_place_msg *body = msg_body(m, call_place_msg);
    struct call_start_msg args = {.agent = find_agent(s, body->agent),
                                  .rate_hz = 8000,
                                  .peer = body->peer,
                                  .payload_type = body->codec,
                                  .asker = m->from,
                                  .cookie = body->cookie,
                                  .protocol = "rtp"};
    struct call_placed_msg placed = {.cookie = body->cookie};

    if (args.agent == 0)
        placed.err = ENOENT;
    else if (s->draining || is_full(s) || !spawn_call(s, &args, FRAME_NONE))
        placed.err = EBUSY;
    if (placed.err)
        actor_send_body(&s->actor, m->from, CALL_PLACED, IF_FULL_DROP, FRAME_NONE, &placed,
                        sizeof(placed));
}

/* Every call is a child whose role is its agent; the id is asked of each. NULL: it does not run. */
static struct actor *call_with_id(struct switchboard *s, const char *call_id)
{
    for (struct actor *c = s->actor.child; c; c = c->sibling)
        if (c->type == &call_type && c->life == ACTOR_RUNNING &&
            strcmp(call_type.about(c)->call_id, call_id) == 0)
            return c;
    return NULL;
}

static void on_hang_up(struct switchboard *s, const struct msg *m)
{
    const struct call_hang_up_msg *body = msg_body(m, call_hang_up_msg);
    struct actor *call = call_with_id(s, body->call_id);
    struct call_placed_msg reply = {.err = call ? 0 : ENOENT, .cookie = body->cookie};

    if (call)
        actor_stop(s->actor.shard, call->id, REASON(0, "ended by the API"));
    actor_send_body(&s->actor, m->from, CALL_HUNG_UP, IF_FULL_DROP, FRAME_NONE, &reply,
                    sizeof(reply));
}

/* The call's leg answers the asker. */
static void on_press(struct switchboard *s, const struct msg *m)
{
    struct call_press_msg body = *msg_body(m, call_press_msg);
    struct actor *call = call_with_id(s, body.call_id);
    struct call_placed_msg none = {.err = ENOENT, .cookie = body.cookie};

    body.asker = m->from;
    if (!call || !actor_send_body(&s->actor, call->id, CALL_PRESS, IF_FULL_DROP, FRAME_NONE, &body,
                                  sizeof(body)))
        actor_send_body(&s->actor, m->from, CALL_PRESSED, IF_FULL_DROP, FRAME_NONE, &none,
                        sizeof(none));
}

static void on_child_ended(struct switchboard *s, const struct child_ended_msg *m)
{
    if (m->role == ROLE_STRANGER)
        return;
    if (m->role == ROLE_EXPECTED) {
        count_arriving(s, -1);
        metrics_add(METRIC_CALLS_NOT_ARRIVED, 1);
        return;
    }
    s->calls--;
    s->agents[m->role].calls--;
    release_unused(s, m->role);
}

/* ---- GET /actors ---- */

struct tree {
    struct jsonw w;
    int depth;
    int64_t now_ns;
};

static void write_actor(void *context, struct actor *a, int depth)
{
    struct tree *tree = context;
    const struct log_about *about = a->type->about ? a->type->about(a) : NULL;
    const char *detail = a->type->detail ? a->type->detail(a) : NULL;
    struct jsonw *w = &tree->w;

    jsonw_begin(w);
    jsonw_put_cstr(w, "type", a->type->name);
    jsonw_put_int(w, "slot", a->id.slot);
    jsonw_put_int(w, "depth", depth);
    jsonw_put_cstr(w, "state",
                   a->life == ACTOR_STOPPING ? "stopping"
                   : a->type->state          ? a->type->state(a)
                                             : "running");
    if (detail)
        jsonw_put_cstr(w, "provider", detail);
    if (about && about->call_id)
        jsonw_put_cstr(w, "call_id", about->call_id);
    jsonw_end(w);
}

static void on_tree_ask(struct switchboard *s, const struct msg *m)
{
    struct builder b = text_builder(&s->actor);
    struct shard_load load = shard_load(s->actor.shard);
    struct tree tree = {0};
    struct tree_msg body = {.cookie = msg_body(m, tree_msg)->cookie};

    jsonw_init(&tree.w, &b);
    jsonw_begin(&tree.w);
    jsonw_put_int(&tree.w, "shard", shard_index(s->actor.shard));
    jsonw_put_int(&tree.w, "actors_count", load.actors);
    jsonw_put_int(&tree.w, "calls", s->calls);
    jsonw_put_int(&tree.w, "arriving", s->arriving);
    jsonw_put_int(&tree.w, "queue_depth", load.queue_depth);
    jsonw_put_int(&tree.w, "frames_used", load.frames_used);
    jsonw_put_int(&tree.w, "frames_max", load.frames_max);
    jsonw_put_int(&tree.w, "messages", (int64_t)load.messages);
    jsonw_put_int(&tree.w, "dropped", (int64_t)load.dropped);
    jsonw_put_int(&tree.w, "stale", (int64_t)load.stale);
    jsonw_put_int(&tree.w, "slow_handlers", (int64_t)load.slow);
    jsonw_put_bool(&tree.w, "draining", s->draining);
    jsonw_key(&tree.w, "actors");
    jsonw_begin_list(&tree.w);
    if (load.actors <= 256) /* more would not fit a message: the counts still tell */
        shard_visit(s->actor.shard, write_actor, &tree);
    jsonw_end(&tree.w);
    jsonw_end(&tree.w);
    body.err = jsonw_finish(&tree.w);
    actor_send_body(&s->actor, m->from, TREE, IF_FULL_DROP,
                    body.err ? FRAME_NONE : text_frame(&s->actor, builder_slice(&b)), &body,
                    sizeof(body));
}

/* ---- life ---- */

static void on_accepted(struct switchboard *s, const struct io_msg *m)
{
    struct door_start_msg args = {.stream = m->id, .tls = s->tls, .peer = m->peer};
    struct actor *door = actor_spawn(s->actor.shard, &door_type, &s->actor, ROLE_STRANGER, &args,
                                     sizeof(args), FRAME_NONE);
    io_id id = m->id;

    if (door)
        actor_io_give(&s->actor, door, id);
    else
        actor_io_close(&s->actor, &id, false); /* too many strangers at once */
}

static void start(struct switchboard *s)
{
    const struct world *world = world_of(&s->actor);
    int err;

    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        if (world->agents[i]) /* boot's; later ones are offered */
            on_offer(s, i);
    s->tls = world->media_tls_first;
    err = lane_open(&s->actor, LANE_STORE, PROGRAM_STORE, NULL, 0, &s->store);
    if (err == 0)
        err = actor_listen(&s->actor, &world->media_address, &s->listener, &s->bound);
    if (err) /* boot has tried the port: only an exhausted machine comes here */
        actor_stop_self(&s->actor, REASON(-err, "the media port cannot be listened on"));
}

/* Who has connected is let in and served: closing on them would lose their calls. */
static bool drained(const struct switchboard *s)
{
    return s->draining && s->last_knocked && !s->actor.child;
}

static void drain(struct switchboard *s, int64_t deadline_ns)
{
    int64_t now_ns = shard_now(s->actor.shard);

    if (!s->draining)
        actor_timer_set(&s->actor, &s->knock_timer, KNOCK_TAG, now_ns + KNOCK_NS);
    s->draining = true;
    actor_io_close(&s->actor, &s->listener, true);
    actor_timer_set(&s->actor, &s->drain_timer, DRAIN_TAG, deadline_ns);
}

static void on_timer(struct switchboard *s, uint32_t tag)
{
    if (tag == RETRY_TAG) {
        release_again(s);
        return;
    }
    s->last_knocked = s->last_knocked || tag == KNOCK_TAG;
    if (drained(s))
        actor_stop_self(&s->actor, REASON(0, "drained"));
    else if (tag == DRAIN_TAG)
        actor_stop_self(&s->actor, REASON(0, "the time to drain is over"));
}

/* The last of the calls has gone: nobody needs the network any more. */
static void end(struct switchboard *s)
{
    count_arriving(s, -(int)s->arriving); /* it hears no more of who ended with it */
    actor_stop(s->actor.shard, shard_only(s->actor.shard, &network_type), REASON_NONE);
    actor_end(&s->actor);
}

static void stop(struct switchboard *s)
{
    actor_timer_cancel(&s->actor, &s->drain_timer);
    actor_timer_cancel(&s->actor, &s->retry_timer);
    actor_timer_cancel(&s->actor, &s->knock_timer);
    actor_io_close(&s->actor, &s->listener, false);
    lane_close(&s->actor, &s->store);
    if (!s->actor.child)
        end(s);
}

static void on_ended(struct switchboard *s, const struct msg *m)
{
    on_child_ended(s, msg_body(m, child_ended_msg));
    if (s->actor.life == ACTOR_STOPPING && !s->actor.child)
        end(s);
    else if (drained(s))
        actor_stop_self(&s->actor, REASON(0, "drained"));
}

static void switchboard_handle(struct actor *a, const struct msg *m)
{
    struct switchboard *s = container_of(a, struct switchboard, actor);

    switch (m->type) {
    case MSG_START:
        start(s);
        break;
    case MSG_STOP:
        stop(s);
        break;
    case MSG_CHILD_ENDED:
        on_ended(s, m);
        break;
    case MSG_TIMER:
        on_timer(s, msg_body(m, timer_msg)->tag);
        break;
    case MSG_ACCEPTED:
        on_accepted(s, msg_body(m, io_msg));
        break;
    case MSG_LANE_DONE:
        on_claimed(s, msg_body(m, lane_msg));
        break;
    case AGENT_OFFER:
        on_offer(s, msg_body(m, agent_offer_msg)->agent);
        break;
    case TLS_OFFER:
        s->tls = msg_body(m, tls_offer_msg)->tls;
        break;
    case ADMIT:
        on_admit(s, m);
        break;
    case ANSWER_ASK:
        on_answer_ask(s, m);
        break;
    case CARRIER_TOLD:
        on_told(s, m);
        break;
    case LEG_ARRIVED:
        on_arrived(s, m);
        break;
    case CALL_PLACE:
        on_place(s, m);
        break;
    case CALL_HANG_UP:
        on_hang_up(s, m);
        break;
    case CALL_PRESS:
        on_press(s, m);
        break;
    case DRAIN:
        drain(s, msg_body(m, drain_msg)->deadline_ns);
        break;
    case TREE_ASK:
        on_tree_ask(s, m);
        break;
    default:
        break;
    }
}

static const char *switchboard_state(const struct actor *a)
{
    return container_of(a, struct switchboard, actor)->draining ? "draining" : "open";
}

const struct actor_type switchboard_type = {.name = "switchboard",
                                            .size_bytes = sizeof(struct switchboard),
                                            .handle = switchboard_handle,
                                            .state = switchboard_state};
