/* Keeps the agents' versions: looks at their files every second (and at once on SIGHUP), makes a
 * bundle of each that changed, offers it to every shard, and frees a version when all shards have
 * released it. A bad file leaves the version before it in force. One, on the control thread, in
 * slot 0, where the shards know it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/platform/control_host.h"

#define LOOK_TAG     1u
#define LOOK_NS      SECONDS(1)
#define LOOK_SOON_NS MS(20)      /* an offer found no room on its way */
#define LINGER_NS    SECONDS(30) /* a lane may still run a job of it, a leg be admitted to it */

struct version {
    uint64_t to_offer; /* shards that have not been told, a bit each */
    uint64_t held_by;  /* shards that were told and have not released it */
    int64_t free_ns;   /* all have: when it is freed; 0: not yet */
};

struct keeper {
    struct actor actor;
    struct actor_timer timer;
    struct version versions[AGENT_VERSIONS_MAX];
    bool waiting; /* some version has shards to be told */
    uint32_t shards_ended;
};

static uint64_t all_shards(const struct keeper *k)
{
    uint32_t shards = control_world_of(&k->actor)->world->shards;

    return shards >= 64 ? UINT64_MAX : (UINT64_C(1) << shards) - 1;
}

/* ---- offers ---- */

static void offer_to(struct keeper *k, uint32_t index, uint32_t shard)
{
    struct agent_offer_msg body = {.agent = index};

    if (!actor_send_body(&k->actor, switchboard_of(shard), AGENT_OFFER, IF_FULL_DROP, FRAME_NONE,
                         &body, sizeof(body))) {
        k->waiting = true;
        return;
    }
    k->versions[index].to_offer &= ~(UINT64_C(1) << shard);
    k->versions[index].held_by |= UINT64_C(1) << shard;
}

static void offer_waiting(struct keeper *k)
{
    uint32_t shards = control_world_of(&k->actor)->world->shards;

    k->waiting = false;
    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        for (uint32_t s = 0; k->versions[i].to_offer && s < shards; s++)
            if (k->versions[i].to_offer >> s & 1)
                offer_to(k, i, s);
}

static void on_released(struct keeper *k, uint32_t index, uint32_t shard)
{
    struct world *world = control_world_of(&k->actor)->world;

    if (index == 0 || index >= AGENT_VERSIONS_MAX || !world->agents[index] || shard >= 64)
        return;
    struct version *v = &k->versions[index];
    v->held_by &= ~(UINT64_C(1) << shard);
    if (!v->held_by && !v->to_offer)
        v->free_ns = shard_now(k->actor.shard) + LINGER_NS;
}

static void free_version(struct keeper *k, uint32_t index)
{
    struct world *world = control_world_of(&k->actor)->world;
    struct bundle *bundle = (struct bundle *)(uintptr_t)world->agents[index];

    k->versions[index].free_ns = 0;
    log_info("keeper", NULL, "version %u of agent %s is no longer in use", bundle->agent->version,
             bundle->agent->id);
    world->agents[index] = NULL;
    bundle_free(&bundle);
}

static void free_released(struct keeper *k)
{
    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        if (k->versions[i].free_ns && k->versions[i].free_ns <= shard_now(k->actor.shard))
            free_version(k, i);
}

/* ---- files ---- */

static uint32_t free_index(const struct world *world)
{
    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        if (!world->agents[i])
            return i;
    return 0;
}

static void take_version(struct keeper *k, struct agent *agent)
{
    struct world *world = control_world_of(&k->actor)->world;
    uint32_t index = free_index(world);
    struct agent *held = agent_ref(agent);
    struct bundle *bundle = NULL;
    char why[CONFIG_WHY_BYTES];
    int err = -ENOSPC;

    snprintf(why, sizeof(why), "too many versions of agents are in use");
    if (index)
        err = bundle_new(held, world->share_dir, &bundle, why, sizeof(why));
    if (err) {
        agent_put(&held);
        log_error("keeper", NULL, "%s: the version before it stays", why);
        return;
    }
    world->agents[index] = bundle; /* before the offer, whose ring orders the two for the shards */
    k->versions[index].to_offer = all_shards(k);
    log_info("keeper", &(struct log_about){.agent_id = agent->id}, "version %u from %s",
             agent->version, agent->file);
}

static void on_change(void *context, const struct agent_change *change)
{
    struct keeper *k = context;

    if (change->why)
        log_error("keeper", NULL, "%s: the version before it stays", change->why);
    else if (change->agent)
        take_version(k, change->agent);
    else
        log_warn("keeper", NULL, "%s is gone: its agent answers until the server ends",
                 change->file);
}

static void look(struct keeper *k, bool all)
{
    agent_set_reload(control_world_of(&k->actor)->agents, all, on_change, k);
    offer_waiting(k);
    free_released(k);
    actor_timer_set(&k->actor, &k->timer, LOOK_TAG,
                    shard_now(k->actor.shard) + (k->waiting ? LOOK_SOON_NS : LOOK_NS));
}

/* ---- certificates ---- */

static void offer_tls(struct keeper *k, uint32_t index)
{
    const struct world *world = control_world_of(&k->actor)->world;
    struct tls_offer_msg body = {.tls = index};

    for (uint32_t s = 0; s < world->shards; s++)
        actor_send_body(&k->actor, switchboard_of(s), TLS_OFFER, IF_FULL_STOP, FRAME_NONE, &body,
                        sizeof(body));
}

/* The media port's certificate is read again; a bad file leaves the one before it in force. */
static void renew_tls(struct keeper *k)
{
    struct world *world = control_world_of(&k->actor)->world;
    uint32_t index = world->media_tls_first;
    char why[CONFIG_WHY_BYTES];

    while (index && index < TLS_VERSIONS_MAX && world->media_tls[index])
        index++;
    if (!index)
        return;
    if (index == TLS_VERSIONS_MAX) {
        log_error("keeper", NULL, "certificates were renewed too often: restart the server");
        return;
    }
    /* Filled before the offer, whose ring orders the two for the shards. */
    if (tls_server_context_new(world->config->media_certificate, world->config->media_key,
                               &world->media_tls[index], why, sizeof(why))) {
        log_error("keeper", NULL, "%s: the certificate before it stays", why);
        return;
    }
    log_info("keeper", NULL, "certificate from %s", world->config->media_certificate);
    offer_tls(k, index);
}

/* Boot's versions were given to every shard as it began. */
static void start(struct keeper *k)
{
    const struct world *world = control_world_of(&k->actor)->world;

    for (uint32_t i = 1; i < AGENT_VERSIONS_MAX; i++)
        if (world->agents[i])
            k->versions[i].held_by = all_shards(k);
    actor_timer_set(&k->actor, &k->timer, LOOK_TAG, shard_now(k->actor.shard) + LOOK_NS);
}

/* When the last shard has gone, nothing is left to be done here. */
static void on_shard_ended(struct keeper *k)
{
    struct control_world *world = control_world_of(&k->actor);

    if (++k->shards_ended < world->world->shards)
        return;
    actor_stop(k->actor.shard, world->api->id, REASON(0, "the shards have ended"));
    actor_stop_self(&k->actor, REASON(0, "the shards have ended"));
    shard_finish(k->actor.shard);
}

static void keeper_handle(struct actor *a, const struct msg *m)
{
    struct keeper *k = container_of(a, struct keeper, actor);

    switch (m->type) {
    case MSG_START:
        start(k);
        break;
    case MSG_STOP:
        actor_timer_cancel(a, &k->timer);
        actor_end(a);
        break;
    case MSG_TIMER:
        look(k, false);
        break;
    case KEEPER_RELOAD:
        renew_tls(k); /* before the agents, whose models may take a second */
        http_server_renew(control_world_of(a)->server);
        look(k, true);
        break;
    case SHARD_ENDED:
        on_shard_ended(k);
        break;
    case AGENT_RELEASED:
        on_released(k, msg_body(m, agent_offer_msg)->agent, m->from.shard);
        break;
    default:
        break;
    }
}

const struct actor_type keeper_type = {
    .name = "keeper", .size_bytes = sizeof(struct keeper), .handle = keeper_handle};
