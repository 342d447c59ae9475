/* The control thread's part: one actor on a host of its own that asks the switchboards for what the
 * API would ask, and hears their answers. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "tests/sim/sim.h"

struct control {
    struct actor actor;
};

static struct sim *sim_of(struct actor *a)
{
    return shard_world(a->shard);
}

static void on_placed(struct sim *sim, const struct call_placed_msg *m)
{
    if (m->cookie >= sim->caller_count) {
        sim_wrong(sim, "a call was placed that nobody asked for");
        return;
    }
    caller_placed(&sim->callers[m->cookie], m->err, &m->local);
}

/* GET /actors, of one shard: how many places of calls it believes to be taken. */
static void on_tree(struct sim *sim, struct actor *a, const struct msg *m)
{
    static uint8_t text[32768];
    size_t len = frame_chain_copy(shard_pool(a->shard), m->frame, text, sizeof(text));
    struct json_doc doc = {0};
    int64_t calls = -1, arriving = -1;

    if (m->frame == FRAME_NONE)
        return; /* the shard had no frames left to say it */
    if (json_read(&doc, slice_of(text, len), sizeof(text), NULL) ||
        json_int_of(&doc, "calls", 0, INT32_MAX, &calls) ||
        json_int_of(&doc, "arriving", 0, INT32_MAX, &arriving))
        sim_wrong(sim, "shard %u shows no tree of its actors", m->from.shard);
    json_free(&doc);
    sim->calls_shown[m->from.shard % SHARDS_SIM] = calls + arriving;
}

static void control_handle(struct actor *a, const struct msg *m)
{
    struct sim *sim = sim_of(a);

    switch (m->type) {
    case MSG_STOP:
        actor_end(a);
        break;
    case CALL_PLACED:
        on_placed(sim, msg_body(m, call_placed_msg));
        break;
    case TREE:
        on_tree(sim, a, m);
        break;
    case AGENT_RELEASED:
        sim->released++;
        break;
    default:
        break;
    }
}

const struct actor_type control_type = {
    .name = "control", .size_bytes = sizeof(struct control), .handle = control_handle};

void control_place(struct sim *sim, struct sim_caller *c)
{
    struct call_place_msg body = {.peer = c->local, .codec = c->index % 2 ? 8 : 0};
    uint32_t shard = rand_below(&sim->rand, sim->shard_count);

    body.cookie = c->index;
    snprintf(body.agent, sizeof(body.agent), "sim%u", c->index);
    actor_send_body(sim->control_actor, switchboard_of(shard), CALL_PLACE, IF_FULL_DROP, FRAME_NONE,
                    &body, sizeof(body));
}

void control_hang_up(struct sim *sim, const struct sim_caller *c)
{
    struct call_hang_up_msg body = {.cookie = c->index};

    memcpy(body.call_id, c->call.call_id, sizeof(body.call_id));
    for (uint32_t i = 0; i < sim->shard_count; i++)
        actor_send_body(sim->control_actor, switchboard_of(i), CALL_HANG_UP, IF_FULL_DROP,
                        FRAME_NONE, &body, sizeof(body));
}

void control_drain(struct sim *sim, int64_t deadline_ns)
{
    struct drain_msg body = {.deadline_ns = deadline_ns};

    sim->draining = true;
    for (uint32_t i = 0; i < sim->shard_count; i++)
        actor_send_body(sim->control_actor, switchboard_of(i), DRAIN, IF_FULL_DROP, FRAME_NONE,
                        &body, sizeof(body));
}

void control_offer(struct sim *sim, uint32_t agent)
{
    struct agent_offer_msg body = {.agent = agent};

    sim->world.agents[agent] = sim->bundles[agent - 1];
    for (uint32_t i = 0; i < sim->shard_count; i++)
        sim->offered += actor_send_body(sim->control_actor, switchboard_of(i), AGENT_OFFER,
                                        IF_FULL_DROP, FRAME_NONE, &body, sizeof(body));
}

void control_ask_trees(struct sim *sim)
{
    struct tree_msg body = {0};

    for (uint32_t i = 0; i < sim->shard_count; i++)
        actor_send_body(sim->control_actor, switchboard_of(i), TREE_ASK, IF_FULL_DROP, FRAME_NONE,
                        &body, sizeof(body));
}
