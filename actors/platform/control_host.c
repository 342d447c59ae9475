#include "actors/platform/control_host.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/messages.h"
#include "net/control.h"

#define CONTROL_FRAMES_MAX 8192 /* trees of all shards, and logs on their way to a client */
#define ENDED_RETRY_MS     1
#define REQUEST_HEADER_S   5
#define REQUEST_IDLE_S     10
#define REQUEST_ANSWER_S   30
#define CONFIG_TEXT_BYTES  1024

extern const struct actor_type keeper_type, api_type;

struct control_host {
    struct control_world world;
    struct control *control;
    struct shard *shard;
    const char *config_path;
    const char *(*env)(const char *name);
    int64_t drain_ns;
};

static void tell(struct actor *a, uint16_t type)
{
    if (!actor_send_body(a, a->id, type, IF_FULL_DROP, FRAME_NONE, NULL, 0))
        log_warn("control", NULL, "%s did not hear a signal", a->type->name);
}

static void begin_drain(struct control_host *host)
{
    struct control_world *world = &host->world;
    int64_t now_ns = clock_machine.now_ns(clock_machine.context);

    /* The second signal: no more patience. */
    world->drained_by_ns = world->drained_by_ns ? now_ns : now_ns + host->drain_ns;
    tell(world->api, API_DRAIN);
}

/* The file again: what this thread decides, and the log's level, change at once. */
static void reload_config(struct control_host *host)
{
    const struct config *old = host->world.world->config;
    struct config *next = NULL;
    char text[CONFIG_TEXT_BYTES] = "";

    if (!host->config_path)
        return;
    if (config_load(host->config_path, host->env, &next, text, sizeof(text))) {
        log_error("control", NULL, "%s: the configuration before it stays", text);
        return;
    }
    log_level_set((enum log_level)next->log_level);
    host->drain_ns = SECONDS(next->drain_seconds);
    config_restart_keys(old, next, text, sizeof(text));
    if (text[0])
        log_warn("control", NULL, "the configuration was read; these wait for a restart: %s", text);
    else
        log_info("control", NULL, "the configuration was read");
    config_free(&next);
}

static void on_signal(void *context, int number)
{
    struct control_host *host = context;

    log_info("control", NULL, "signal: %s", number == SIGHUP ? "reload" : "drain and end");
    if (number != SIGHUP) {
        begin_drain(host);
        return;
    }
    reload_config(host);
    tell(host->world.keeper, KEEPER_RELOAD);
}

void control_host_shard_ended(struct mesh *mesh, uint32_t index, uint32_t control_host)
{
    const struct actor_id keeper = {.shard = control_host & 0xFFu, .slot = 0, .generation = 1};
    struct mailbox *box = mailbox_new(mesh, index, NULL, NULL);
    struct msg m = msg_make(keeper, SHARD_ENDED, NULL, 0);

    m.from.shard = index & 0xFFu;
    /* The thread has nothing else to do: it may wait for room. */
    while (mailbox_push_bytes(box, &m, SLICE_NONE) == -EAGAIN)
        poll(NULL, 0, ENDED_RETRY_MS);
    mailbox_free(&box);
}

static int make_shard(struct control_host *host, const struct control_host_setup *setup)
{
    const struct shard_type types[] = {{&keeper_type, 1}, {&api_type, 1}};
    const struct shard_setup shard = {.index = setup->world->control_host,
                                      .name = "control",
                                      .clock = clock_machine,
                                      .seed = clock_seed(),
                                      .frames_max = CONTROL_FRAMES_MAX,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .mesh = setup->mesh,
                                      .wake = control_wake,
                                      .wake_context = host->control,
                                      .world = &host->world};
    int err = shard_new(&shard, &host->shard);

    if (err)
        return err;
    lane_map_set(host->shard, setup->lanes);
    host->world.keeper = actor_spawn(host->shard, &keeper_type, NULL, 0, NULL, 0, FRAME_NONE);
    host->world.api = actor_spawn(host->shard, &api_type, NULL, 0, NULL, 0, FRAME_NONE);
    assert(host->world.keeper->id.slot == 0 && host->world.keeper->id.generation == 1);
    return 0;
}

static int make_server(struct control_host *host, const struct config *config, char *why,
                       size_t why_bytes)
{
    struct http_server_setup setup = {.loop = control_loop(host->control),
                                      .routes = api_routes,
                                      .route_count = api_route_count,
                                      .on_request = api_on_request,
                                      .context = &host->world,
                                      .certificate =
                                          config->api_key[0] ? config->api_certificate : NULL,
                                      .key = config->api_key,
                                      .header_s = REQUEST_HEADER_S,
                                      .idle_s = REQUEST_IDLE_S,
                                      .answer_s = REQUEST_ANSWER_S};

    int err = address_parse(slice_str(config->api_bind.host), false, &setup.local);
    assert(err == 0); /* the configuration has checked it */
    setup.local.port = config->api_bind.port;
    return http_server_new(&setup, &host->world.server, why, why_bytes);
}

int control_host_new(const struct control_host_setup *setup, struct control_host **out, char *why,
                     size_t why_bytes)
{
    struct control_host *host = calloc(1, sizeof(*host));
    int err;

    *out = NULL;
    if (!host)
        abort();
    host->world = (struct control_world){.world = setup->world, .agents = setup->agents};
    host->world.console = console_new(setup->world->share_dir);
    host->config_path = setup->config_path;
    host->env = setup->env;
    host->drain_ns = SECONDS(setup->world->config->drain_seconds);
    const struct control_setup control = {.on_signal = on_signal, .context = host};
    err = control_new(&control, &host->control);
    if (!err)
        err = make_server(host, setup->world->config, why, why_bytes);
    else
        snprintf(why, why_bytes, "the control loop does not start: %s", strerror(-err));
    if (!err)
        err = make_shard(host, setup);
    if (err) {
        control_host_free(&host);
        return err;
    }
    *out = host;
    return 0;
}

struct address control_host_local(const struct control_host *host)
{
    return http_server_local(host->world.server);
}

void control_host_run(struct control_host *host)
{
    control_step_back();
    control_run(host->control, host->shard);
}

void control_host_free(struct control_host **host_at)
{
    struct control_host *host = *host_at;

    if (!host)
        return;
    if (host->shard && !shard_finished(host->shard)) { /* it never ran */
        actor_stop(host->shard, host->world.api->id, REASON_NONE);
        actor_stop(host->shard, host->world.keeper->id, REASON_NONE);
        shard_finish(host->shard);
        control_run(host->control, host->shard);
    }
    http_server_free(&host->world.server);
    shard_free(&host->shard);
    control_free(&host->control);
    console_free(&host->world.console);
    free(host);
    *host_at = NULL;
}
