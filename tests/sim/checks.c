/* What must be true after every seed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "media/wav.h"
#include "store/recover.h"
#include "tests/sim/sim.h"

/* ---- before the roots end ---- */

static void check_shard(struct sim *sim, struct shard *shard)
{
    struct shard_load load = shard_load(shard);
    uint32_t sessions = 0, roots = sim->draining ? 0 : ROOTS_SIM;
    uint32_t open = sim->draining ? 0 : 1; /* the switchboard's session and listener */

    for (uint32_t host = 0; host < SHARDS_MAX; host++)
        sessions += shard->lane_used_by_host[host];
    if (load.actors != roots)
        sim_wrong(sim, "shard %u has %u actors after its calls", shard_index(shard), load.actors);
    if (load.frames_used)
        sim_wrong(sim, "shard %u has %u frames in use after its calls", shard_index(shard),
                  load.frames_used);
    if (load.queue_depth)
        sim_wrong(sim, "shard %u has %u messages waiting", shard_index(shard), load.queue_depth);
    if (sessions != open)
        sim_wrong(sim, "shard %u has %u lane sessions after its calls", shard_index(shard),
                  sessions);
    if (shard_io(shard)->ops->open_count(shard_io(shard)) != open)
        sim_wrong(sim, "shard %u has %u handles open after its calls", shard_index(shard),
                  shard_io(shard)->ops->open_count(shard_io(shard)));
    if (!sim->draining && sim->calls_shown[shard_index(shard)])
        sim_wrong(sim, "shard %u counts %lld calls after the last has ended", shard_index(shard),
                  (long long)sim->calls_shown[shard_index(shard)]);
    if (shard->members)
        sim_wrong(sim, "shard %u serves %u slots after its calls", shard_index(shard),
                  shard->members);
}

static void check_caller(struct sim *sim, const struct sim_caller *c)
{
    const struct product_call *call = &c->call;

    if (call->starts > 1)
        sim_wrong(sim, "%s: one caller made %u calls", c->scene->name, call->starts);
    /* A switchboard that ends with the first of several calls hears no more of the others. */
    if (call->stops != call->starts || call->ends > call->starts ||
        (call->ends < call->starts && !sim->draining) ||
        (call->starts && actor_find(sim->shards[call->id.shard], call->id)))
        sim_wrong(sim, "%s: its call was stopped %u times and ended %u times", c->scene->name,
                  call->stops, call->ends);
    if (c->saved && !sim->disturbed && strncmp(call->what, "provider_", 9) == 0)
        sim_wrong(sim, "%s: caller %u lost a provider and had another: %s", c->scene->name,
                  c->index, call->what);
    if (c->faulty || sim->disturbed)
        return;
    sim->coverage->clean++;
    if (!call->starts)
        sim_wrong(sim, "%s: caller %u was not disturbed, and has no call: %s", c->scene->name,
                  c->index, c->why);
    if (c->result != SCRIPT_PASSED)
        sim_wrong(sim, "%s: caller %u was not disturbed: %s (the call ended: %s)", c->scene->name,
                  c->index, c->why, call->what);
}

void check_calm(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shard_count; i++)
        check_shard(sim, sim->shards[i]);
    for (uint32_t i = 0; i < sim->caller_count; i++)
        check_caller(sim, &sim->callers[i]);
    if (sim->released != sim->offered && !sim->draining)
        sim_wrong(sim, "%u new versions were offered, %u old ones released", sim->offered,
                  sim->released);
    if (sim->lane_sessions)
        sim_wrong(sim, "%lld speech sessions are left on their lanes",
                  (long long)sim->lane_sessions);
    if (sim->callers_io->ops->open_count(sim->callers_io))
        sim_wrong(sim, "a caller has left its socket open");
    if (frame_pool_used(sim->callers_pool))
        sim_wrong(sim, "the callers have %u frames in use", frame_pool_used(sim->callers_pool));
}

/* ---- after they have ended ---- */

void check_ended(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shard_count; i++)
        if (shard_load(sim->shards[i]).frames_used)
            sim_wrong(sim, "shard %u has frames in use at its end", i);
    if (sim_net_open(sim->net))
        sim_wrong(sim, "%u handles are open at the end", sim_net_open(sim->net));
}

/* ---- records ---- */

struct log_check {
    struct sim *sim;
    const struct sim_caller *caller;
    bool found;
};

/* Position in the log's list of the n-th turn in which something was heard; -1: none. */
static int turn_index(const struct json_doc *doc, uint32_t n)
{
    char path[64];
    size_t count = json_count_of(doc, "turns");

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "turns.%zu.heard", i);
        if (json_kind_of(doc, path) == JSON_KIND_TEXT && --n == 0)
            return (int)i;
    }
    return -1;
}

static void check_expect(struct sim *sim, const struct sim_caller *c, const struct json_doc *doc,
                         const struct script_expect *e)
{
    char path[256], value[TURN_TEXT_BYTES_MAX];
    int turn = e->turn ? turn_index(doc, e->turn) : 0;

    if (e->turn)
        snprintf(path, sizeof(path), "turns.%d.%.*s", turn, SLICE_ARG(e->key));
    else
        snprintf(path, sizeof(path), "%.*s", SLICE_ARG(e->key));
    if (turn < 0 || json_text_of(doc, path, value, sizeof(value)))
        sim_wrong(sim, "%s: line %u: the log has no %s", c->scene->name, e->line, path);
    else if (!slice_equal(slice_str(value), e->text))
        sim_wrong(sim, "%s: line %u: %s is \"%.100s\"", c->scene->name, e->line, path, value);
}

static void check_expects(struct sim *sim, const struct sim_caller *c, const struct json_doc *doc)
{
    const struct script *script = &c->scene->script;

    for (uint32_t i = 0; i < script->expect_count; i++)
        check_expect(sim, c, doc, &script->expects[i]);
}

static void check_log(void *context, struct slice id, struct slice text)
{
    struct log_check *check = context;
    struct sim *sim = check->sim;
    const struct sim_caller *c = check->caller;
    struct json_doc doc = {0};
    char status[32] = "";

    (void)id;
    check->found = true;
    if (json_read(&doc, text, text.len, NULL)) {
        sim_wrong(sim, "the log of %s is not JSON", c->call.call_id);
        return;
    }
    (void)!json_text_of(&doc, "status", status, sizeof(status));
    if (strcmp(status, c->call.err ? "failed" : "completed") != 0)
        sim_wrong(sim, "%s: the log's status is \"%s\", the call ended with %d", c->scene->name,
                  status, c->call.err);
    if (c->call.err)
        sim->coverage->failed++;
    else
        sim->coverage->completed++;
    if (!c->faulty && !sim->disturbed)
        check_expects(sim, c, &doc);
    json_free(&doc);
}

/* A whole WAV says in its header how long it is. */
static void check_wav(struct sim *sim, const struct sim_file *file)
{
    struct slice bytes = sim_file_bytes(file);
    struct wav_info wav;
    uint32_t said = 0;

    if (wav_parse(bytes, &wav)) {
        sim_wrong(sim, "%s is no WAV", sim_file_path(file));
        return;
    }
    memcpy(&said, bytes.at + RECORDING_HEADER_BYTES - sizeof(said), sizeof(said));
    if (wav.cut || said != bytes.len - RECORDING_HEADER_BYTES)
        sim_wrong(sim, "%s says it has %u bytes, and has %zu", sim_file_path(file), said,
                  bytes.len - RECORDING_HEADER_BYTES);
}

/* Recordings whose disk was well are whole. */
static void check_recordings(struct sim *sim)
{
    const struct sim_file *file;

    for (int fault = SIM_FILE_REFUSED; fault <= SIM_FILE_SLOW; fault++)
        if (sim->net_rates.per_mille[fault] && fault != SIM_FILE_SHORT)
            return;
    for (uint32_t i = 0; (file = sim_net_file(sim->net, i)); i++)
        check_wav(sim, file);
}

/* What the store was not told of, because it or the way to it was out of order, the next start must
 * find. */
static void recover(struct sim *sim, struct store *store)
{
    struct recover_options options = {.data_dir = sim->options->dir, .store = store};
    struct recover_report report = {0};
    int err = recover_run(&options, &report);

    if (err)
        sim_wrong(sim, "recovery fails: %s", strerror(-err));
    if (report.damaged || report.interrupted)
        sim_wrong(sim, "recovery finds %u damaged places and %u interrupted calls", report.damaged,
                  report.interrupted);
    if (report.files && !sim->disturbed && !sim_net_count(sim->net, SIM_FILE_SLOW))
        sim_wrong(sim, "records are left in the journal although nothing was in the way");
}

void check_records(struct sim *sim)
{
    struct store *store;
    char why[STORE_WHY_BYTES] = "";

    if (store_open("sqlite:", sim->options->dir, &store, why, sizeof(why))) {
        sim_wrong(sim, "the store cannot be opened: %s", why);
        return;
    }
    recover(sim, store);
    check_recordings(sim);
    for (uint32_t i = 0; i < sim->caller_count && !sim->why[0]; i++) {
        struct log_check check = {.sim = sim, .caller = &sim->callers[i]};
        if (!check.caller->call.starts)
            continue;
        int err = store_get(store, STORE_TENANT, "call_logs", check.caller->call.call_id, check_log,
                            &check);
        if (err || !check.found)
            sim_wrong(sim, "%s: its call %s has no log (%d)", check.caller->scene->name,
                      check.caller->call.call_id, err);
    }
    store_close(&store);
}
