/* What the store lane does: each worker has the store open for itself and runs one job after the
 * other; hundreds of calls may end at once, so logs that wait are committed together. Every job may
 * be done twice with the same result, since whoever asked may ask again after a crash. It blocks
 * and allocates; no actor lives here. */
#include "actors/platform/store_program.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/world.h"
#include "base/json.h"
#include "base/metrics.h"
#include "store/blob_file.h"
#include "store/call_log.h"

#define SWEEP_MS   600000 /* used tokens that have expired are forgotten this often */
#define EMIT_BYTES 4096
#define DOC_BYTES  8192 /* of an effect or an appointment; larger: -EMSGSIZE */
#define LOGS_MAX   100  /* of one page */

/* Set at boot, before the lanes run. */
static struct {
    const char *uri;
    const char *data_dir;
    const struct token_key *key;
    struct clock clock;
} boot;

/* One worker's. */
struct store_place {
    struct store *store; /* NULL: not open yet, or it could not be */
    int64_t swept_ms;
};

void store_program_setup(const char *uri, const char *data_dir, const struct token_key *key,
                         const struct clock *clock)
{
    boot.uri = uri;
    boot.data_dir = data_dir;
    boot.key = key;
    boot.clock = *clock;
}

static int64_t wall_ms(void)
{
    return boot.clock.wall_ms(boot.clock.context);
}

static struct store_place *store_place_new(void)
{
    struct store_place *place = calloc(1, sizeof(*place));

    if (!place)
        abort();
    return place;
}

static void store_place_free(struct store_place *place)
{
    store_close(&place->store);
    free(place);
}

void store_program_memory_close(void *memory)
{
    store_place_free(memory);
}

/* The worker's store; opened by its first job, and tried again by the next one after a failure. */
static int place_of(struct lane_job *job, struct store_place **out)
{
    void **memory = lane_worker_memory(job, PROGRAM_STORE);
    char why[STORE_WHY_BYTES] = "";

    if (!*memory)
        *memory = store_place_new();
    *out = *memory;
    if ((*out)->store)
        return 0;
    int err = store_open(boot.uri, boot.data_dir, &(*out)->store, why, sizeof(why));
    if (err)
        log_error("store", NULL, "%s", why);
    return err;
}

/* The text up to the next zero byte, with its own NUL; what follows stays in *rest. */
static int take_text(struct slice *rest, char *out, size_t out_bytes)
{
    return slice_cstr(slice_cut(*rest, 0, rest), out, out_bytes);
}

static int emit(struct lane_job *job, struct slice bytes)
{
    while (bytes.len) {
        size_t n = bytes.len < EMIT_BYTES ? bytes.len : EMIT_BYTES;
        if (!lane_emit(job, 0, slice_of(bytes.at, n)))
            return -ECANCELED;
        bytes = slice_of(bytes.at + n, bytes.len - n);
    }
    return 0;
}

/* ---- media tokens ---- */

static void sweep(struct store_place *place, int64_t now_ms)
{
    uint32_t gone;

    if (now_ms - place->swept_ms < SWEEP_MS)
        return;
    place->swept_ms = now_ms;
    if (store_sweep(place->store, "media_tokens", now_ms, &gone))
        log_warn("store", NULL, "expired tokens stay: %s", place->store->why);
}

static int token_claim(struct store_place *place, struct slice bytes)
{
    char agent[TOKEN_AGENT_MAX + 1];
    struct token token;
    int64_t now_ms = wall_ms();

    if (take_text(&bytes, agent, sizeof(agent)))
        return -EACCES;
    if (token_verify(boot.key, bytes, now_ms, &token) || strcmp(token.agent, agent) != 0)
        return -EACCES;
    int err = token_redeem(place->store, &token);
    sweep(place, now_ms);
    return err == -EEXIST ? -EACCES : err;
}

/* ---- a call's log ---- */

static int call_finish(struct store_place *place, struct slice stream)
{
    const struct call_log_extra none = {0};
    struct call_log log;
    int err = call_log_build(stream, &none, &log);

    if (err)
        return err;
    err = blob_write(boot.data_dir, log.transcript_file, slice_str(log.transcript));
    if (!err)
        err =
            store_put(place->store, log.tenant, "call_logs", log.call_id, slice_str(log.document));
    if (err)
        log_error("store", &(struct log_about){.call_id = log.call_id},
                  "the call's log is not stored: %s", strerror(-err));
    call_log_fini(&log);
    return err;
}

struct emitting {
    struct lane_job *job;
    struct slice begin; /* of a list: before its first item */
    uint32_t count;
    int err;
    char carrier_call_id[STORE_ID_BYTES];
};

static void emit_item(void *context, struct slice id, struct slice doc)
{
    struct emitting *e = context;

    (void)id;
    if (!e->err)
        e->err = emit(e->job, e->count++ ? SLICE(",") : e->begin);
    if (!e->err)
        e->err = emit(e->job, doc);
}

/* The log but for its final brace, and the id that the carrier knows the call by. */
static void emit_open(void *context, struct slice id, struct slice doc)
{
    struct emitting *e = context;
    struct json_doc read = {0};

    (void)id;
    if (json_read(&read, doc, doc.len, NULL) ||
        json_text_of(&read, "carrier_call_id", e->carrier_call_id, sizeof(e->carrier_call_id)))
        e->carrier_call_id[0] = '\0';
    json_free(&read);
    e->err = emit(e->job, slice_of(doc.at, doc.len - 1));
}

/* What the carrier told of the call is kept apart, since it comes before and after the log does. */
static int emit_events(struct store_place *place, struct emitting *e)
{
    int err = emit(e->job, SLICE(",\"carrier_events\":["));

    e->count = 0;
    if (!err && e->carrier_call_id[0])
        err = store_list(place->store, STORE_TENANT, "carrier_events", "call", e->carrier_call_id,
                         LOGS_MAX, NULL, emit_item, e);
    if (!err)
        err = e->err;
    return err ? err : emit(e->job, SLICE("]}"));
}

static int call_log(struct store_place *place, struct slice bytes, struct lane_job *job)
{
    char id[STORE_ID_BYTES];
    struct emitting e = {.job = job};

    if (slice_cstr(bytes, id, sizeof(id)))
        return -ENOENT;
    int err = store_get(place->store, STORE_TENANT, "call_logs", id, emit_open, &e);
    if (err == -EINVAL)
        return -ENOENT; /* what cannot be an id names nothing */
    if (!err)
        err = e.err;
    return err ? err : emit_events(place, &e);
}

static int carrier_event(struct store_place *place, struct slice bytes)
{
    char id[STORE_ID_BYTES];

    if (take_text(&bytes, id, sizeof(id)))
        return -EINVAL;
    int err = store_insert(place->store, STORE_TENANT, "carrier_events", id, bytes);
    return err == -EEXIST ? 0 : err;
}

static int call_logs(struct store_place *place, struct slice bytes, struct lane_job *job)
{
    char count[16], after[STORE_ID_BYTES];
    struct emitting e = {.job = job, .begin = SLICE("[")};
    uint64_t limit;

    if (take_text(&bytes, count, sizeof(count)) || slice_u64(slice_str(count), LOGS_MAX, &limit) ||
        slice_cstr(bytes, after, sizeof(after)))
        return -EINVAL;
    int err = store_list(place->store, STORE_TENANT, "call_logs", "created_at", NULL,
                         (uint32_t)limit, after[0] ? after : NULL, emit_item, &e);
    if (err || e.err)
        return err ? err : e.err;
    return emit(job, e.count ? SLICE("]") : SLICE("[]"));
}

/* ---- tools ---- */

struct effect {
    char key[STORE_ID_BYTES];
    char name[NAME_MAX_BYTES + 1];
    char agent[STORE_ID_BYTES];
    char created_at[32];
    struct json_doc asked; /* {"name","arguments"} */
    struct slice text;     /* the same */
};

static void put_argument(struct jsonw *w, const struct effect *e, const char *key)
{
    char path[64];

    snprintf(path, sizeof(path), "arguments.%s", key);
    struct slice value = json_slice_of(&e->asked, path);
    jsonw_put_str(w, key, value.at ? value : SLICE(""));
}

/* The key names the call first: "CALL.EPOCH.TOOL". */
static struct slice call_of(const struct effect *e)
{
    struct slice rest;

    return slice_cut(slice_str(e->key), '.', &rest);
}

/* Books, moves or cancels: each is one document under the effect's own key, so that doing it again
 * changes nothing. */
static int do_appointment(struct store_place *place, const struct effect *e)
{
    char doc[DOC_BYTES];
    struct builder b = builder_of(doc, sizeof(doc));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "agent_id", e->agent);
    jsonw_put_str(&w, "call_id", call_of(e));
    jsonw_put_cstr(&w, "action", e->name);
    put_argument(&w, e, "name");
    put_argument(&w, e, "day");
    put_argument(&w, e, "time");
    jsonw_put_cstr(&w, "created_at", e->created_at);
    jsonw_end(&w);
    int err = jsonw_finish(&w);
    return err ? err
               : store_put(place->store, STORE_TENANT, "appointments", e->key, builder_slice(&b));
}

static int do_nothing(struct store_place *place, const struct effect *e)
{
    (void)place;
    (void)e;
    return 0; /* the effect's own document is the request that people see */
}

static const struct {
    const char *name;
    int (*run)(struct store_place *place, const struct effect *e);
} tools[] = {
    {"book_appointment", do_appointment},
    {"move_appointment", do_appointment},
    {"cancel_appointment", do_appointment},
    {"request_person", do_nothing},
};

static int tool_run(struct store_place *place, const struct effect *e)
{
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        if (strcmp(tools[i].name, e->name) == 0)
            return tools[i].run(place, e);
    return -EOPNOTSUPP;
}

static const char *result_text(int err)
{
    return err == 0             ? "{\"ok\":true}"
           : err == -EOPNOTSUPP ? "{\"ok\":false,\"error\":\"there is no such tool\"}"
                                : "{\"ok\":false,\"error\":\"it could not be stored\"}";
}

/* Nothing is written for what failed for want of disk or time: that may be tried again. */
static int effect_store(struct store_place *place, const struct effect *e, const char *result)
{
    char doc[DOC_BYTES];
    struct builder b = builder_of(doc, sizeof(doc));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_str(&w, "call_id", call_of(e));
    jsonw_put_cstr(&w, "name", e->name);
    jsonw_put_cstr(&w, "created_at", e->created_at);
    jsonw_key(&w, "arguments");
    jsonw_raw(&w, e->text);
    jsonw_key(&w, "result");
    jsonw_raw(&w, slice_str(result));
    jsonw_end(&w);
    int err = jsonw_finish(&w);
    return err ? err
               : store_insert(place->store, STORE_TENANT, "effects", e->key, builder_slice(&b));
}

struct found {
    char text[DOC_BYTES];
    size_t len;
};

static void find_result(void *context, struct slice id, struct slice doc)
{
    struct found *found = context;
    struct json_doc read = {0};
    bool ok = false;

    (void)id;
    if (json_read(&read, doc, doc.len, NULL) == 0 && json_bool_of(&read, "result.ok", &ok) == 0)
        snprintf(found->text, sizeof(found->text), "%s",
                 ok ? result_text(0) : result_text(-EOPNOTSUPP));
    json_free(&read);
    found->len = strlen(found->text);
}

static int effect_do(struct store_place *place, const struct effect *e, struct lane_job *job)
{
    struct found found = {0};
    int err = store_get(place->store, STORE_TENANT, "effects", e->key, find_result, &found);

    if (err == 0)
        return emit(job, slice_of(found.text, found.len));
    if (err != -ENOENT)
        return err;
    int done = tool_run(place, e);
    if (done && done != -EOPNOTSUPP)
        return done;
    err = effect_store(place, e, result_text(done));
    if (err && err != -EEXIST)
        return err;
    return emit(job, slice_str(result_text(done)));
}

static int tool(struct store_place *place, struct slice bytes, struct lane_job *job)
{
    struct effect e = {0};
    int err;

    if (take_text(&bytes, e.key, sizeof(e.key)) || take_text(&bytes, e.name, sizeof(e.name)) ||
        take_text(&bytes, e.agent, sizeof(e.agent)))
        return -EINVAL;
    e.text = bytes;
    err = json_read(&e.asked, bytes, DOC_BYTES, NULL);
    if (err)
        return err;
    wall_text(wall_ms(), e.created_at, sizeof(e.created_at));
    err = effect_do(place, &e, job);
    json_free(&e.asked);
    return err;
}

/* ---- the program ---- */

static size_t session_bytes(struct slice arguments)
{
    (void)arguments;
    return 0; /* jobs do not depend on each other */
}

/* Those that write one document and say nothing. Who claims a token has a caller that waits, and
 * does not wait for the logs of others. */
static bool joins(uint32_t tag)
{
    return tag == STORE_CALL_FINISH || tag == STORE_CARRIER_EVENT;
}

static int group_begin(struct lane_job *job)
{
    struct store_place *place;
    int err = place_of(job, &place);

    return err ? err : store_begin(place->store);
}

static int group_end(struct lane_job *job)
{
    struct store_place *place;
    int err = place_of(job, &place);

    if (!err)
        err = store_commit(place->store);
    if (err)
        log_warn("store", NULL, "what waited together is written one by one: %s", strerror(-err));
    metrics_add(METRIC_STORE_COMMITS, !err);
    return err;
}

static int run_tag(struct store_place *place, uint32_t tag, struct slice bytes,
                   struct lane_job *job)
{
    switch ((enum store_job)tag) {
    case STORE_TOKEN_CLAIM:
        return token_claim(place, bytes);
    case STORE_CALL_FINISH:
        return call_finish(place, bytes);
    case STORE_TOOL:
        return tool(place, bytes, job);
    case STORE_CALL_LOG:
        return call_log(place, bytes, job);
    case STORE_CALL_LOGS:
        return call_logs(place, bytes, job);
    case STORE_CARRIER_EVENT:
        return carrier_event(place, bytes);
    }
    return -ENOSYS;
}

static int run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    struct store_place *place;
    int64_t began_ns = boot.clock.now_ns(boot.clock.context);
    int err = place_of(job, &place);

    (void)session;
    if (!err)
        err = run_tag(place, tag, bytes, job);
    metrics_observe(METRIC_STORE_SECONDS, boot.clock.now_ns(boot.clock.context) - began_ns);
    if (err && err != -ENOENT && err != -EACCES && err != -ECANCELED)
        metrics_add(METRIC_STORE_FAILED, 1);
    return err;
}

const struct lane_program store_program = {.name = "store",
                                           .session_bytes = session_bytes,
                                           .run = run,
                                           .joins = joins,
                                           .group_begin = group_begin,
                                           .group_end = group_end};
