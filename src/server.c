#include "server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actors/call/engine.h"
#include "actors/messages.h"
#include "actors/platform/control_host.h"
#include "actors/platform/store_program.h"
#include "actors/world.h"
#include "base/metrics.h"
#include "config/complaints.h"
#include "net/resolve.h"
#include "store/generation.h"
#include "store/recover.h"

#define SPEECH_WORKERS  2
#define STORE_WORKERS   1
#define DNS_WORKERS     4 /* a silent name server holds one up for seconds */
#define LANE_RING_BYTES 1048576
#define FRAMES_PER_CALL 320 /* playout 256, pre-roll 18, window and mail the rest */
#define FRAMES_MIN      4096
#define RECEIVE_BYTES   4194304
#define RECORDINGS_MAX  4096

#define ACTOR(type, per_call, fixed) extern const struct actor_type type##_type;
#include "actors/actors.def"
#undef ACTOR

struct host_thread {
    struct server *server;
    pthread_t thread;
    uint32_t index;
    int err;
    bool started;
};

struct server {
    const struct server_setup *setup;
    struct world world;
    struct agent_set *agents;
    struct token_key token_key;
    struct control_host *control;
    struct mesh *mesh;
    struct lane_map lanes;
    struct host_thread shards[SHARDS_MAX];
    struct lane_worker *workers[LANE_COUNT * LANE_WORKERS_MAX];
    struct host_thread worker_threads[LANE_COUNT * LANE_WORKERS_MAX];
    uint32_t worker_count;
    int go[2];      /* a pipe: a byte for each thread, once all are there; its end: it is off */
    int silence[2]; /* a pipe: its end is when nobody sends any more */
    char data_dir[512];
    char name[64]; /* of this process's journal and tail */
};

static int complain(int err, char *why, size_t why_bytes, const char *what, const char *name)
{
    snprintf(why, why_bytes, "%s %s: %s", what, name, strerror(err < 0 ? -err : err));
    return err < 0 ? err : -err;
}

static struct address bind_address_of(const struct bind_address *bind)
{
    struct address out;
    int err = address_parse(slice_str(bind->host), false, &out);

    assert(err == 0); /* the configuration has checked it */
    out.port = bind->port;
    return out;
}

/* ---- agents ---- */

#define AGENT_PATHS_MAX                                                                            \
    320 /* all that the command line (64) and the configuration (256) may name */

static int load_bundles(struct server *s, char *why, size_t why_bytes)
{
    struct complaints complaints;

    complaints_begin(&complaints, why, why_bytes);
    for (size_t i = 0; i < agent_set_count(s->agents); i++) {
        struct bundle *bundle;
        struct agent *agent = agent_ref(agent_set_at(s->agents, i));
        int err = bundle_new(agent, s->setup->share_dir, &bundle, complaints.next,
                             sizeof(complaints.next));
        if (err)
            agent_put(&agent);
        else
            s->world.agents[i + 1] = bundle;
        complaints_add(&complaints, err);
    }
    return complaints.err;
}

static int load_agents(struct server *s, char *why, size_t why_bytes)
{
    const struct config *config = s->setup->config;
    const char *paths[AGENT_PATHS_MAX];
    size_t count = 0;
    int err;

    for (size_t i = 0; i < s->setup->agent_count && count < ARRAY_LEN(paths); i++)
        paths[count++] = s->setup->agents[i];
    for (size_t i = 0; i < config->agents.count && count < ARRAY_LEN(paths); i++)
        paths[count++] = config->agents.at[i];
    err = agent_set_new(paths, count, yaml_env_process, &s->agents, why, why_bytes);
    if (err)
        return err;
    if (agent_set_count(s->agents) == 0) {
        snprintf(why, why_bytes, "%s: no agent file (.yaml) is in it", count ? paths[0] : "agents");
        return -ENOENT;
    }
    return load_bundles(s, why, why_bytes);
}

static void free_agents(struct server *s)
{
    for (size_t i = 0; i < AGENT_VERSIONS_MAX; i++) {
        struct bundle *bundle = (struct bundle *)(uintptr_t)s->world.agents[i];
        bundle_free(&bundle);
    }
    agent_set_free(&s->agents);
}

static int load_weights(struct server *s, char *why, size_t why_bytes)
{
    static const char *const files[] = {"silero_v6_8k.bin", "silero_v6_16k.bin"};
    struct vad_weights *into[] = {&s->world.weights_8k, &s->world.weights_16k};
    char path[600];

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/vad/%s", s->setup->share_dir, files[i]);
        int err = vad_weights_open(into[i], path);
        if (err) {
            snprintf(why, why_bytes, "%s: %s (run tools/setup to fetch the weights)", path,
                     strerror(-err));
            return err;
        }
    }
    return 0;
}

/* ---- records ---- */

static void say_recovery(void *context, bool wrong, const char *sentence)
{
    (void)context;
    if (wrong)
        log_error("recover", NULL, "%s", sentence);
    else
        log_info("recover", NULL, "%s", sentence);
}

static int recover(struct server *s, char *why, size_t why_bytes)
{
    struct store *store;
    struct recover_report report = {0};
    int err = store_open(s->setup->config->store, s->data_dir, &store, why, why_bytes);

    if (err)
        return err;
    struct recover_options options = {.data_dir = s->data_dir, .store = store, .say = say_recovery};
    err = recover_run(&options, &report);
    store_close(&store);
    if (err)
        return complain(err, why, why_bytes, "cannot recover", s->data_dir);
    return 0;
}

static int open_records(struct server *s, char *why, size_t why_bytes)
{
    char dir[600];
    int err;

    if (mkdir(s->data_dir, 0700) && errno != EEXIST)
        return complain(errno, why, why_bytes, "cannot make the data directory", s->data_dir);
    snprintf(dir, sizeof(dir), "%s/journal", s->data_dir);
    if (mkdir(dir, 0700) && errno != EEXIST)
        return complain(errno, why, why_bytes, "cannot make", dir);
    err = recover(s, why, why_bytes);
    if (!err)
        err = generation_take(s->data_dir, clock_machine.wall_ms(NULL), &s->world.generation, why,
                              why_bytes);
    if (err)
        return err;
    snprintf(s->name, sizeof(s->name), "%08x-%d", s->world.generation, (int)getpid());
    err = journal_open(dir, s->name, s->world.shards,
                       config_journal_bytes(s->setup->config, s->world.shards), &s->world.journal,
                       why, why_bytes);
    if (err)
        return err;
    uint32_t slots = (uint32_t)s->setup->config->calls_max / s->world.shards + 1;
    return recording_file_open(dir, s->name, s->world.shards,
                               slots < RECORDINGS_MAX ? slots : RECORDINGS_MAX,
                               &s->world.recordings, why, why_bytes);
}

/* ---- threads ---- */

/* Real time if permitted, else the nicest niceness, else one warning. */
static void take_priority(const struct config *config, uint32_t index)
{
    struct sched_param param = {.sched_priority = 10};
    cpu_set_t cpus;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    CPU_ZERO(&cpus);
    CPU_SET(index % (size_t)cores, &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus))
        log_warn("server", NULL, "shard %u could not be pinned to a core", index);
    if (config->realtime == CONFIG_REALTIME_OFF)
        return;
    if (sched_setscheduler(0, SCHED_FIFO, &param) == 0)
        return;
    if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -20) == 0)
        return;
    if (index == 0)
        log_warn("server", NULL,
                 "no right to real-time scheduling (CAP_SYS_NICE): ticks may come late under load");
}

/* io_uring, or epoll where it is refused. */
static int make_io_quietly(const struct io_setup *setup, struct io **out)
{
    int err = io_uring_new(setup, out);

    return err ? io_epoll_new(setup, out) : 0;
}

/* The first shard says it for all. */
static int make_io(const struct io_setup *setup, struct io **out)
{
    int err = io_uring_new(setup, out);

    if (err == 0)
        return 0;
    log_warn("server", NULL, "io_uring is refused here (%s): epoll is taken", strerror(-err));
    return io_epoll_new(setup, out);
}

static uint32_t slots_of(uint32_t calls, uint32_t per_call, uint32_t fixed)
{
    return calls * per_call + fixed;
}

static int make_shard(struct server *s, uint32_t index, struct shard **out)
{
    const struct config *config = s->setup->config;
    uint32_t calls = (uint32_t)config->calls_max / s->world.shards + 1;
    struct shard_type types[] = {
#define ACTOR(type, per_call, fixed) {&type##_type, slots_of(calls, per_call, fixed)},
#include "actors/actors.def"
#undef ACTOR
    };
    struct shard_setup setup = {.index = index,
                                .name = "shard",
                                .clock = clock_machine,
                                .seed = clock_seed(),
                                .frames_max = FRAMES_MIN + calls * FRAMES_PER_CALL,
                                .types = types,
                                .type_count = ARRAY_LEN(types),
                                .mesh = s->mesh,
                                .io_new = config->io == CONFIG_IO_URING   ? io_uring_new
                                          : config->io == CONFIG_IO_EPOLL ? io_epoll_new
                                          : index == 0                    ? make_io
                                                                          : make_io_quietly,
                                .handles_max = 2048 + calls * 3,
                                .receive_bytes = RECEIVE_BYTES,
                                .world = &s->world};
    return shard_new(&setup, out);
}

/* Threads wait here until all could be started: one alone would wait for the others for ever. */
static bool may_go(const struct server *s)
{
    ssize_t n;
    char byte;

    do
        n = read(s->go[0], &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

static int tell_all(const struct server *s, uint32_t threads)
{
    static const char bytes[SHARDS_MAX + SPEECH_WORKERS + STORE_WORKERS];

    return write(s->go[1], bytes, threads) == (ssize_t)threads ? 0 : -EIO;
}

/* Until the main thread has closed its end: then lanes have been joined and shards have ended. */
static void wait_for_silence(const struct server *s)
{
    char nothing;

    while (read(s->silence[0], &nothing, 1) < 0 && errno == EINTR)
        ;
}

static void *shard_main(void *context)
{
    struct host_thread *t = context;
    struct server *s = t->server;
    struct shard *shard;
    char name[16];

    if (!may_go(s))
        return NULL;
    snprintf(name, sizeof(name), "shard %u", t->index);
    pthread_setname_np(pthread_self(), name); /* so that /proc and tools tell what each one costs */
    log_thread_begin(); /* a shard allocates nothing later, whatever it has to say */
    take_priority(s->setup->config, t->index);
    t->err = make_shard(s, t->index, &shard);
    if (t->err) {
        log_error("server", NULL, "shard %u cannot be made: %s", t->index, strerror(-t->err));
        control_host_shard_ended(s->mesh, t->index, s->world.control_host);
        return NULL;
    }
    lane_map_set(shard, &s->lanes);
    /* The first actor, so that the control thread knows its id; the shard ends when it has. */
    actor_spawn(shard, &switchboard_type, NULL, 0, NULL, 0, FRAME_NONE);
    actor_spawn(shard, &network_type, NULL, 0, NULL, 0, FRAME_NONE);
    shard_finish(shard);
    shard_run(shard);
    control_host_shard_ended(s->mesh, t->index, s->world.control_host);
    /* A lane, or another shard, may be about to wake this one: it stays whole until nobody sends.
     */
    wait_for_silence(s);
    shard_free(&shard);
    tls_thread_free();
    return NULL;
}

static void *worker_main(void *context)
{
    struct host_thread *t = context;
    struct sched_param param = {0};

    if (!may_go(t->server))
        return NULL;
    pthread_setname_np(pthread_self(), "lane");
    if (sched_setscheduler(0, SCHED_BATCH, &param))
        log_debug("server", NULL, "a lane stays in the default class");
    lane_worker_run(t->server->workers[t->index]);
    return NULL;
}

static void make_mesh(struct server *s)
{
    static const uint32_t per_lane[LANE_COUNT] = {SPEECH_WORKERS, STORE_WORKERS, DNS_WORKERS};
    uint32_t host = s->world.shards + 1;

    s->world.control_host = s->world.shards;
    s->mesh = mesh_new(host + SPEECH_WORKERS + STORE_WORKERS + DNS_WORKERS);
    for (uint32_t i = 0; i <= s->world.shards; i++)
        for (uint32_t j = 0; j < i; j++)
            mesh_pair(s->mesh, i, j, 65536, i < s->world.shards);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        s->lanes.first_host[lane] = host;
        s->lanes.workers[lane] = per_lane[lane];
        for (uint32_t i = 0; i < per_lane[lane]; i++, host++) {
            for (uint32_t j = 0; j <= s->world.shards; j++)
                mesh_pair(s->mesh, j, host, lane == LANE_DNS ? RING_BYTES : LANE_RING_BYTES, false);
            s->workers[s->worker_count++] =
                lane_worker_new(s->mesh, host, (enum lane)lane, s->world.programs);
        }
    }
}

static int start_thread(struct server *s, struct host_thread *t, uint32_t index,
                        void *(*body)(void *))
{
    t->server = s;
    t->index = index;
    int err = pthread_create(&t->thread, NULL, body, t);
    t->started = err == 0;
    return -err;
}

static void memory_close(uint16_t program, void *memory)
{
    if (program == PROGRAM_PROVIDER)
        engine_program_memory_close(memory);
    else
        store_program_memory_close(memory);
}

/* ---- the network ---- */

static void name_providers(void)
{
    static char labels[METRICS_LABELS_MAX][96];
    const struct provider_ops *ops;

    for (uint32_t i = 0; i < METRICS_LABELS_MAX && (ops = provider_at(i)); i++) {
        snprintf(labels[i], sizeof(labels[i]), "provider=\"%s\",kind=\"%s\"", ops->name,
                 provider_kind_name(ops->kind));
        metrics_label(i, labels[i]);
    }
}

static int load_network(struct server *s, char *why, size_t why_bytes)
{
    const struct config *config = s->setup->config;
    int err = http_curl_load();

    if (err)
        return complain(err, why, why_bytes, "cannot load", "libcurl");
    name_providers();
    /* A name server that is silent is given up after four seconds instead of ten, unless the
     * environment says otherwise. */
    setenv("RES_OPTIONS", "timeout:2 attempts:2", 0);
    err = tls_client_context_new(config->ca_file, &s->world.tls_client, why, why_bytes);
    if (err || !config->media_certificate[0])
        return err;
    s->world.media_tls_first = 1;
    return tls_server_context_new(config->media_certificate, config->media_key,
                                  &s->world.media_tls[1], why, why_bytes);
}

/* ---- the whole ---- */

static int prepare(struct server *s, const struct server_setup *setup, char *why, size_t why_bytes)
{
    const struct config *config = setup->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    s->setup = setup;
    snprintf(s->data_dir, sizeof(s->data_dir), "%s", config->data_dir);
    s->world.config = config;
    s->world.data_dir = s->data_dir;
    s->world.share_dir = setup->share_dir;
    s->world.shards = config->shards ? (uint32_t)config->shards : (uint32_t)cores;
    s->world.process = (uint16_t)getpid();
    s->world.programs[PROGRAM_PROVIDER] = &engine_program;
    s->world.programs[PROGRAM_STORE] = &store_program;
    s->world.programs[PROGRAM_RESOLVE] = &resolve_program;
    s->world.http_new = http_curl_new;
    s->world.media_address = bind_address_of(&config->media_bind);
    s->world.rtp_address = bind_address_of(&config->rtp_bind);
    engine_program_world(&s->world);
    int err = load_network(s, why, why_bytes);
    if (!err)
        err = load_weights(s, why, why_bytes);
    return err ? err : load_agents(s, why, why_bytes);
}

/* The port is tried once here, where an error can still be told in a sentence. */
static int try_port(const struct address *local, const char *key, char *why, size_t why_bytes)
{
    struct sockaddr_storage at;
    socklen_t len = address_to_sockaddr(local, &at);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, err = 0;
    char text[ADDRESS_TEXT_BYTES];

    if (fd < 0)
        return complain(errno, why, why_bytes, "cannot make a socket for", key);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, len)) {
        err = -errno;
        snprintf(why, why_bytes, "%s: cannot listen on %s: %s", key, address_text(local, text),
                 strerror(errno));
    }
    close(fd);
    return err;
}

static int start_all(struct server *s, char *why, size_t why_bytes)
{
    int err = pipe2(s->silence, O_CLOEXEC) || pipe2(s->go, O_CLOEXEC) ? -errno : 0;

    for (uint32_t i = 0; i < s->worker_count && !err; i++)
        err = start_thread(s, &s->worker_threads[i], i, worker_main);
    for (uint32_t i = 0; i < s->world.shards && !err; i++)
        err = start_thread(s, &s->shards[i], i, shard_main);
    if (!err)
        err = tell_all(s, s->worker_count + s->world.shards);
    return err ? complain(err, why, why_bytes, "cannot start", "a thread") : 0;
}

/* The control thread is this one: its port is tried before the others start. */
static int make_control(struct server *s, char *why, size_t why_bytes)
{
    struct control_host_setup setup = {.world = &s->world,
                                       .agents = s->agents,
                                       .mesh = s->mesh,
                                       .lanes = &s->lanes,
                                       .config_path = s->setup->config_path,
                                       .env = s->setup->env};

    return control_host_new(&setup, &s->control, why, why_bytes);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void join_all(struct server *s)
{
    close_end(&s->go[1]); /* whoever has not been told to go goes home */
    for (uint32_t i = 0; i < s->worker_count; i++) {
        lane_worker_finish(s->workers[i]);
        if (s->worker_threads[i].started)
            pthread_join(s->worker_threads[i].thread, NULL);
    }
    close_end(&s->silence[1]);
    for (uint32_t i = 0; i < s->world.shards; i++)
        if (s->shards[i].started)
            pthread_join(s->shards[i].thread, NULL);
    close_end(&s->silence[0]);
    close_end(&s->go[0]);
}

static struct server *server_new(void)
{
    struct server *s = calloc(1, sizeof(*s));

    if (!s)
        abort();
    s->silence[0] = s->silence[1] = s->go[0] = s->go[1] = -1;
    return s;
}

static void server_free(struct server **s_at)
{
    struct server *s = *s_at;

    control_host_free(&s->control);
    for (uint32_t i = 0; i < s->worker_count; i++)
        lane_worker_free(&s->workers[i], memory_close);
    mesh_free(&s->mesh);
    recording_file_close(&s->world.recordings);
    journal_close(&s->world.journal);
    free_agents(s);
    vad_weights_close(&s->world.weights_8k);
    vad_weights_close(&s->world.weights_16k);
    tls_context_free(&s->world.tls_client);
    for (size_t i = 0; i < TLS_VERSIONS_MAX; i++)
        tls_context_free(&s->world.media_tls[i]);
    free(s);
    *s_at = NULL;
}

static void say_ready(const struct server *s)
{
    char media[ADDRESS_TEXT_BYTES], api[ADDRESS_TEXT_BYTES];
    struct address local = control_host_local(s->control);

    log_info("server", NULL,
             "ready: media on %s://%s/media/AGENT, API on %s://%s, %u shards, %zu agents",
             s->setup->config->media_key[0] ? "wss" : "ws",
             address_text(&s->world.media_address, media),
             s->setup->config->api_key[0] ? "https" : "http", address_text(&local, api),
             s->world.shards, agent_set_count(s->agents));
}

int server_check(const struct server_setup *setup, char *why, size_t why_bytes)
{
    struct server *s = server_new();
    int err = prepare(s, setup, why, why_bytes);

    server_free(&s);
    return err;
}

int server_run(const struct server_setup *setup, char *why, size_t why_bytes)
{
    struct server *s = server_new();
    int err = prepare(s, setup, why, why_bytes);

    if (!err)
        err = try_port(&s->world.media_address, "media.bind", why, why_bytes);
    if (!err && (err = log_start((enum log_level)setup->config->log_level)))
        complain(err, why, why_bytes, "cannot start", "the log's thread");
    if (!err)
        err = open_records(s, why, why_bytes);
    if (!err)
        err = token_key_load(s->data_dir, &s->token_key, why, why_bytes);
    if (!err) {
        s->world.token_key = &s->token_key;
        store_program_setup(setup->config->store, s->data_dir, &s->token_key, &clock_machine);
        make_mesh(s);
        err = make_control(s, why, why_bytes);
    }
    if (!err)
        err = start_all(s, why, why_bytes);
    if (!err) {
        say_ready(s);
        control_host_run(s->control);
    }
    join_all(s);
    for (uint32_t i = 0; i < s->world.shards && !err; i++)
        if (s->shards[i].err)
            err = complain(s->shards[i].err, why, why_bytes, "cannot make", "a shard");
    server_free(&s);
    log_stop();
    return err;
}
