/* The other side of a local engine: its sessions on a speech lane. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/call/engine.h"

#define WHY_BYTES 200

static struct world *lane_world; /* set at boot, before the lanes run */

struct engine_session {
    const struct provider_ops *ops;
    const struct provider_config *config;
    uint8_t memory[] __attribute__((aligned(16)));
};

/* What a provider keeps on this thread, one for each plug-in. */
struct worker_memory {
    struct {
        const struct provider_ops *ops;
        void *memory;
    } of[16];
};

struct engine_port {
    struct job_port port;
    struct lane_job *job;
};

void engine_program_world(struct world *world)
{
    lane_world = world;
}

static const struct bundle_provider *provider_of(struct slice arguments)
{
    struct provider_lane_args args;

    memcpy(&args, arguments.at, sizeof(args));
    return &lane_world->agents[args.agent]->roles[args.kind].at[args.place];
}

static size_t session_bytes(struct slice arguments)
{
    return sizeof(struct engine_session) + provider_of(arguments)->ops->session_bytes;
}

static bool port_emit(struct job_port *port, uint32_t tag, struct slice bytes)
{
    return lane_emit(container_of(port, struct engine_port, port)->job, tag, bytes);
}

static bool port_cancelled(struct job_port *port)
{
    return lane_cancelled(container_of(port, struct engine_port, port)->job);
}

static struct worker_memory *worker_memory_new(void)
{
    struct worker_memory *all = calloc(1, sizeof(*all));

    if (!all)
        abort();
    return all;
}

static void worker_memory_free(struct worker_memory *all)
{
    free(all);
}

static void **memory_of(struct lane_job *job, const struct provider_ops *ops)
{
    void **at = lane_worker_memory(job, PROGRAM_PROVIDER);
    struct worker_memory *all = *at;

    if (!all)
        all = *at = worker_memory_new();
    for (size_t i = 0; i < ARRAY_LEN(all->of); i++) {
        if (!all->of[i].ops)
            all->of[i].ops = ops;
        if (all->of[i].ops == ops)
            return &all->of[i].memory;
    }
    abort(); /* more local engines than providers.def has */
}

static struct engine_port port_for(struct lane_job *job, const struct provider_ops *ops)
{
    return (struct engine_port){
        .port = {.emit = port_emit, .cancelled = port_cancelled, .worker = memory_of(job, ops)},
        .job = job};
}

static int session_open(void *session, struct slice arguments, struct lane_job *job)
{
    struct engine_session *s = session;
    const struct bundle_provider *provider = provider_of(arguments);
    char why[WHY_BYTES] = "";

    s->ops = provider->ops;
    s->config = &provider->config;
    struct engine_port port = port_for(job, s->ops);
    int err = s->ops->job_open(s->memory, s->config, &port.port, why, sizeof(why));
    if (err)
        log_error("lane", NULL, "%s cannot open: %s", s->ops->name, why);
    return err;
}

static int session_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    struct engine_session *s = session;
    struct engine_port port = port_for(job, s->ops);

    s->ops->job_run(s->memory, tag, bytes, &port.port);
    return lane_cancelled(job) ? -ECANCELED : 0;
}

static void session_close(void *session, struct lane_job *job)
{
    struct engine_session *s = session;
    struct engine_port port = port_for(job, s->ops);

    s->ops->job_close(s->memory, &port.port);
}

void engine_program_memory_close(void *memory)
{
    struct worker_memory *all = memory;

    for (size_t i = 0; i < ARRAY_LEN(all->of); i++)
        if (all->of[i].memory && all->of[i].ops->worker_close)
            all->of[i].ops->worker_close(all->of[i].memory);
    worker_memory_free(all);
}

const struct lane_program engine_program = {.name = "provider",
                                            .session_bytes = session_bytes,
                                            .open = session_open,
                                            .run = session_run,
                                            .close = session_close};
