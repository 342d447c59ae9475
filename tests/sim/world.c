/* Builds what a process builds at boot, small and in memory where it can be: configuration, an
 * agent for each caller, records, mesh, lanes, shards. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "actors/call/engine.h"
#include "actors/platform/store_program.h"
#include "base/json.h"
#include "tests/sim/sim.h"

#define JOURNAL_BYTES 524288
#define RING_SMALL    16384
#define RING_LANE     4194304 /* a lane waits for room, and nobody would make any */
#define SPEECH_SIM    2
#define YAML_BYTES    8192

#define ACTOR(type, per_call, fixed) extern const struct actor_type type##_type;
#include "actors/actors.def"
#undef ACTOR

struct actor_id switchboard_of(uint32_t shard)
{
    return (struct actor_id){.shard = shard & 0xFFu, .slot = 0, .generation = 1};
}

/* ---- clock ---- */

static int64_t now_ns(void *context)
{
    return ((struct sim *)context)->now_ns;
}

static int64_t wall_ms(void *context)
{
    const struct sim *sim = context;

    return WALL_START_MS + (int64_t)(sim->seed % 1000000) * 1000 + ns_to_ms(sim->now_ns) +
           sim->wall_shift_ms;
}

int64_t sim_wall_ms(struct sim *sim)
{
    return wall_ms(sim);
}

/* ---- configuration and agents ---- */

static int build_config(struct sim *sim)
{
    char text[1024];
    static const char *const formats[] = {"mono16k", "leg", "stereo"};
    bool full = sim->disturbed && rand_chance(&sim->rand, 150);
    uint32_t format = rand_below(&sim->rand, 3);
    int n = snprintf(text, sizeof(text),
                     "data_dir: %s\nshards: %u\ncalls_max: %u\nmedia:\n  token_required: never\n"
                     "recording:\n  format: %s\n",
                     sim->options->dir, sim->shard_count, full ? sim->shard_count : 64u,
                     formats[format]);

    if (full && sim->caller_count > sim->shard_count)
        count_fault(sim, FAULT_CALLS_FULL);
    return config_read("simulator", slice_of(text, (size_t)n), NULL, &sim->config, sim->why,
                       sizeof(sim->why));
}

/* The provider lines of a scene, as a file that the scripted providers read. */
static int write_lines(const char *path, struct slice text)
{
    FILE *f = fopen(path, "we");

    if (!f)
        return -errno;
    while (text.len) {
        struct slice line = slice_trim(slice_cut(text, '\n', &text));
        if (slice_starts(line, SLICE("stt ")) || slice_starts(line, SLICE("llm ")) ||
            slice_starts(line, SLICE("tts ")))
            fprintf(f, "%.*s", SLICE_ARG(line));
        fputc('\n', f);
    }
    return fclose(f) ? -errno : 0;
}

static void write_agent(struct sim *sim, const struct sim_caller *c, struct builder *b)
{
    const struct script *script = &c->scene->script;
    struct jsonw w;

    builder_printf(b, "name: simulated\nid: sim%u\ngreeting: ", c->index);
    jsonw_init(&w, b);
    jsonw_str(&w, script->has_greeting ? script->greeting : SLICE("Hello."));
    builder_str(b, "\nvad: {provider: energy}\ncall_timeout_seconds: 60\n");
    if (strncmp(c->scene->name, "silence", 7) == 0)
        builder_str(b, "user_online_detection: {enabled: true, seconds: 3}\n"
                       "user_silence_hangup_seconds: 8\n");
    for (int i = 0; i < 3; i++) {
        builder_printf(b, "%s: {provider: scripted, script: %s/lines-%u",
                       (const char *[]){"stt", "llm", "tts"}[i], sim->options->dir, c->index);
        if (c->fallbacks)
            builder_printf(b, ", fallbacks: [{provider: scripted, script: %s/lines-%u}]",
                           sim->options->dir, c->index);
        builder_str(b, "}\n");
    }
}

static int build_agent(struct sim *sim, uint32_t index, struct sim_caller *c)
{
    static uint8_t store[YAML_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct agent *agent = NULL;
    char path[200];
    int err;

    snprintf(path, sizeof(path), "%s/lines-%u", sim->options->dir, c->index);
    err = write_lines(path, c->scene->text);
    write_agent(sim, c, &b);
    if (err == 0)
        err = agent_read("simulated.yaml", builder_slice(&b), NULL, &agent, sim->why,
                         sizeof(sim->why));
    if (err == 0)
        err =
            bundle_new(agent, sim->options->dir, &sim->bundles[index], sim->why, sizeof(sim->why));
    if (err) {
        agent_put(&agent);
        return err;
    }
    providers_wrap(sim, index, c);
    if (index < sim->caller_count) /* the second versions come with an offer */
        sim->world.agents[index + 1] = sim->bundles[index];
    return 0;
}

/* ---- records ---- */

static int build_records(struct sim *sim)
{
    struct world *w = &sim->world;
    int err;

    snprintf(sim->journal_dir, sizeof(sim->journal_dir), "%s/journal", sim->options->dir);
    snprintf(sim->name, sizeof(sim->name), "seed-%llu", (unsigned long long)sim->seed);
    if (mkdir(sim->journal_dir, 0700) && errno != EEXIST)
        return -errno;
    err = journal_open(sim->journal_dir, sim->name, sim->shard_count, JOURNAL_BYTES, &w->journal,
                       sim->why, sizeof(sim->why));
    if (err == 0)
        err = recording_file_open(sim->journal_dir, sim->name, sim->shard_count, CALLERS_MAX,
                                  &w->recordings, sim->why, sizeof(sim->why));
    return err;
}

static void build_world(struct sim *sim)
{
    struct world *w = &sim->world;

    w->config = sim->config;
    w->data_dir = sim->options->dir;
    w->share_dir = sim->options->dir;
    w->media_address = (struct address){.ip = {127, 0, 0, 1}, .family = 4, .port = 7860};
    w->rtp_address = (struct address){.ip = {127, 0, 0, 1}, .family = 4};
    w->control_host = sim->shard_count;
    w->generation = (uint32_t)sim->seed;
    w->shards = sim->shard_count;
    w->programs[PROGRAM_PROVIDER] = &engine_program;
    w->programs[PROGRAM_STORE] = &store_program;
    engine_program_world(w);
    store_program_setup("sqlite:", sim->options->dir, &sim->token_key,
                        &(struct clock){now_ns, wall_ms, sim});
}

/* ---- hosts ---- */

static void build_mesh(struct sim *sim)
{
    static const uint32_t per_lane[LANE_COUNT] = {[LANE_SPEECH] = SPEECH_SIM, [LANE_STORE] = 1};
    uint32_t control = sim->shard_count, host = control + 1;

    sim->mesh = mesh_new(host + WORKERS_SIM);
    for (uint32_t i = 0; i <= control; i++)
        for (uint32_t j = 0; j < i; j++)
            mesh_pair(sim->mesh, i, j, RING_SMALL, i < control);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        sim->lanes.first_host[lane] = host;
        sim->lanes.workers[lane] = per_lane[lane];
        for (uint32_t i = 0; i < per_lane[lane]; i++, host++) {
            for (uint32_t j = 0; j <= control; j++)
                mesh_pair(sim->mesh, j, host, lane == LANE_STORE ? RING_SMALL : RING_LANE, false);
            sim->worker_lane[sim->worker_count] = (enum lane)lane;
            sim->workers[sim->worker_count++] =
                lane_worker_new(sim->mesh, host, (enum lane)lane, sim->world.programs);
        }
    }
}

static int build_shard(struct sim *sim, uint32_t index)
{
    struct shard_type types[] = {
#define ACTOR(type, per_call, fixed)                                                               \
    {&type##_type, (per_call)*CALLERS_MAX + ((fixed) < 16 ? (fixed) : 16)},
#include "actors/actors.def"
#undef ACTOR
    };
    struct shard_setup setup = {.index = index,
                                .name = "shard",
                                .clock = {now_ns, wall_ms, sim},
                                .seed = rand_u64(&sim->rand),
                                .frames_max = FRAMES_SIM,
                                .types = types,
                                .type_count = ARRAY_LEN(types),
                                .mesh = sim->mesh,
                                .io_new = io_sim_new,
                                .handles_max = 40,
                                .receive_bytes = 65536,
                                .world = &sim->world};
    int err = shard_new(&setup, &sim->shards[index]);

    if (err)
        return err;
    lane_map_set(sim->shards[index], &sim->lanes);
    actor_spawn(sim->shards[index], &switchboard_type, NULL, 0, NULL, 0, FRAME_NONE);
    actor_spawn(sim->shards[index], &network_type, NULL, 0, NULL, 0, FRAME_NONE);
    shard_finish(sim->shards[index]);
    return 0;
}

static int build_control(struct sim *sim)
{
    struct shard_type types[] = {{&control_type, 1}};
    struct shard_setup setup = {.index = sim->shard_count,
                                .name = "control",
                                .clock = {now_ns, wall_ms, sim},
                                .frames_max = 1024,
                                .types = types,
                                .type_count = 1,
                                .mesh = sim->mesh,
                                .world = sim};
    int err = shard_new(&setup, &sim->control);

    if (err == 0)
        sim->control_actor = actor_spawn(sim->control, &control_type, NULL, 0, NULL, 0, FRAME_NONE);
    return err;
}

static int build_callers_io(struct sim *sim)
{
    struct io_setup setup = {
        .deliver = callers_deliver, .context = sim, .handles_max = 32, .receive_bytes = 65536};

    sim->callers_pool = setup.pool = frame_pool_new(FRAMES_SIM);
    return io_sim_new(&setup, &sim->callers_io);
}

int world_build(struct sim *sim)
{
    int err = build_config(sim);

    for (uint32_t i = 0; i < 2 * sim->caller_count && err == 0; i++)
        err = build_agent(sim, i, &sim->callers[i % sim->caller_count]);
    if (err == 0)
        err = build_records(sim);
    build_world(sim);
    sim->net = sim_net_new(rand_u64(&sim->rand), sim->now_ns);
    io_sim_on(sim->net);
    build_mesh(sim);
    for (uint32_t i = 0; i < sim->shard_count && err == 0; i++)
        err = build_shard(sim, i);
    if (err == 0)
        err = build_control(sim);
    if (err == 0)
        err = build_callers_io(sim);
    return err;
}

/* ---- the end ---- */

static void memory_close(uint16_t program, void *memory)
{
    if (program == PROGRAM_PROVIDER)
        engine_program_memory_close(memory);
    else
        store_program_memory_close(memory);
}

void world_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shard_count; i++)
        shard_free(&sim->shards[i]);
    shard_free(&sim->control);
    for (uint32_t i = 0; i < sim->worker_count; i++)
        lane_worker_free(&sim->workers[i], memory_close);
    mesh_free(&sim->mesh);
    if (sim->callers_io)
        sim->callers_io->ops->free(sim->callers_io);
    frame_pool_free(&sim->callers_pool);
    journal_close(&sim->world.journal);
    recording_file_close(&sim->world.recordings);
    for (uint32_t i = 0; i < AGENTS_SIM; i++) {
        struct bundle *b = sim->bundles[i];
        if (!b)
            continue;
        for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++)
            for (uint32_t at = 0; at < b->roles[kind].count; at++)
                b->roles[kind].at[at].ops = provider_find((enum provider_kind)kind, "scripted");
        bundle_free(&b);
    }
    config_free(&sim->config);
}
