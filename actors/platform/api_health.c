#include "actors/platform/api_inner.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "actors/platform/store_program.h"
#include "store/call_log.h"

static void put_now(struct api *api, struct jsonw *w)
{
    char text[32];

    wall_text(shard_wall_ms(api->actor.shard), text, sizeof(text));
    jsonw_put_cstr(w, "timestamp", text);
}

/* ---- health ---- */

void on_health(struct api *api, const struct http_ask *ask)
{
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_put_cstr(&w, "status", "ok");
    put_now(api, &w);
    jsonw_end(&w);
    answer_send(api, ask->id, 200, &w);
}

void on_ready(struct api *api, const struct http_ask *ask)
{
    bool draining = api_world(api)->drained_by_ns != 0;
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_put_cstr(&w, "status", draining ? "draining" : "ok");
    put_now(api, &w);
    jsonw_end(&w);
    answer_send(api, ask->id, draining ? 503 : 200, &w);
}

static void ask_shards(struct api *api, struct op *op)
{
    struct tree_msg body = {.cookie = op_cookie(api, op)};

    for (uint32_t i = 0; i < api_world(api)->world->shards; i++)
        if (actor_send_body(&api->actor, switchboard_of(i), TREE_ASK, IF_FULL_DROP, FRAME_NONE,
                            &body, sizeof(body)))
            op->waiting++;
}

/* The store is asked for a log that cannot be: its refusal says that it lives. */
void on_deep(struct api *api, const struct http_ask *ask)
{
    struct op *op = op_new(api, ask, ASK_NS);

    if (!op)
        return;
    ask_shards(api, op);
    if (lane_run(&api->actor, &api->store, STORE_CALL_LOG, op_cookie(api, op), SLICE("-")) == 0)
        op->waiting++;
}

static bool write_shards(struct api *api, const struct op *op, struct jsonw *w)
{
    bool all = true;

    jsonw_key(w, "shards");
    jsonw_begin_list(w);
    for (uint32_t i = 0; i < api_world(api)->world->shards; i++) {
        const struct shard_answer *s = &op->shards[i];
        all = all && s->said;
        jsonw_begin(w);
        jsonw_put_int(w, "shard", i);
        jsonw_put_bool(w, "answered", s->said);
        if (s->said) {
            jsonw_put_int(w, "latency_ms", ms_of(s->took_ns));
            jsonw_put_int(w, "calls", s->calls);
            jsonw_put_int(w, "queue_depth", s->queue_depth);
        }
        jsonw_end(w);
    }
    jsonw_end(w);
    return all;
}

/* A version is in the table only once its providers have loaded what they need. */
static void write_speech(const struct api *api, struct jsonw *w)
{
    const struct control_world *world = api_world(api);

    jsonw_key(w, "speech");
    jsonw_begin(w);
    jsonw_put_int(w, "lane_depth", metrics_read(METRIC_LANE_DEPTH_SPEECH));
    jsonw_key(w, "agents");
    jsonw_begin_list(w);
    for (size_t i = 0; i < agent_set_count(world->agents); i++) {
        const struct agent *agent = agent_set_at(world->agents, i);
        jsonw_begin(w);
        jsonw_put_cstr(w, "agent", agent->id);
        jsonw_put_int(w, "version", agent->version);
        jsonw_put_cstr(w, "stt", agent->stt.provider);
        jsonw_put_cstr(w, "llm", agent->llm.provider);
        jsonw_put_cstr(w, "tts", agent->tts.provider);
        jsonw_end(w);
    }
    jsonw_end(w);
    jsonw_end(w);
}

/* Resident memory, from the kernel's own account (memory, not a disk: it does not block). */
static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long long total = 0, resident = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%lld %lld", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

void deep_finish(struct api *api, struct op *op)
{
    struct builder b;
    struct jsonw w = answer_begin(api, &b);
    bool ok;

    jsonw_begin(&w);
    put_now(api, &w);
    ok = write_shards(api, op, &w);
    jsonw_key(&w, "store");
    jsonw_begin(&w);
    jsonw_put_bool(&w, "answered", op->store_ns >= 0);
    if (op->store_ns >= 0)
        jsonw_put_int(&w, "latency_ms", ms_of(op->store_ns));
    jsonw_end(&w);
    ok = ok && op->store_ns >= 0;
    write_speech(api, &w);
    jsonw_put_int(&w, "memory_bytes", resident_bytes());
    jsonw_put_int(&w, "connections", http_server_connections(api_world(api)->server));
    jsonw_put_int(&w, "calls_active", metrics_read(METRIC_CALLS_ACTIVE));
    jsonw_put_cstr(&w, "status", ok ? "ok" : "degraded");
    jsonw_end(&w);
    answer_send(api, op->request, ok ? 200 : 503, &w);
}

/* ---- metrics, actors ---- */

void on_metrics(struct api *api, const struct http_ask *ask)
{
    struct builder b = builder_of(api->answer, sizeof(api->answer));

    metrics_write(&b);
    http_server_reply(
        api_world(api)->server, ask->id,
        &(struct http_answer){.status = 200,
                              .content_type = "text/plain; version=0.0.4; charset=utf-8",
                              .body = builder_slice(&b)});
}

static void write_self(void *context, struct actor *a, int depth)
{
    struct jsonw *w = context;

    jsonw_begin(w);
    jsonw_put_cstr(w, "type", a->type->name);
    jsonw_put_int(w, "slot", a->id.slot);
    jsonw_put_int(w, "depth", depth);
    jsonw_put_cstr(w, "state", a->life == ACTOR_STOPPING ? "stopping" : "running");
    jsonw_end(w);
}

void on_actors(struct api *api, const struct http_ask *ask)
{
    struct op *op = op_new(api, ask, ASK_NS);

    if (!op)
        return;
    ask_shards(api, op);
    if (!text_load(op, "{\"shards\":[", 11))
        op->waiting = 0;
}

/* {"shards":[what each said],"silent":[who did not],"control":{..}} */
void actors_finish(struct api *api, struct op *op)
{
    struct shard_load load = shard_load(api->actor.shard);
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_key(&w, "silent");
    jsonw_begin_list(&w);
    for (uint32_t i = 0; i < api_world(api)->world->shards; i++)
        if (!op->shards[i].said)
            jsonw_int(&w, i);
    jsonw_end(&w);
    jsonw_key(&w, "control");
    jsonw_begin(&w);
    jsonw_put_int(&w, "actors_count", load.actors);
    jsonw_put_int(&w, "queue_depth", load.queue_depth);
    jsonw_key(&w, "actors");
    jsonw_begin_list(&w);
    shard_visit(api->actor.shard, write_self, &w);
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    assert(jsonw_finish(&w) == 0);
    /* Both are objects: this one's members go on where that one's stopped. */
    if (text_load(op, "],", 2) && text_load(op, b.at + 1, b.len - 1))
        answer_json(api, op->request, 200, slice_of(op->text, op->len));
    else
        answer_fail(api, op->request, 500, "internal", "the answer is too long", NULL);
}

/* One shard's JSON; what is not whole JSON is as if it had not been said. */
static bool tree_load(struct api *api, struct op *op, frame_ref ref, struct shard_answer *s)
{
    struct json_doc doc = {0};
    size_t at;
    bool whole;

    if (op->tries++ && !text_load(op, ",", 1))
        return false;
    at = op->len;
    whole = frames_load(api, op, ref) &&
            json_read(&doc, slice_of(op->text + at, op->len - at), LOG_BYTES_MAX, NULL) == 0 &&
            json_int_of(&doc, "calls", 0, INT32_MAX, &s->calls) == 0 &&
            json_int_of(&doc, "queue_depth", 0, INT32_MAX, &s->queue_depth) == 0;
    json_free(&doc);
    return whole;
}

void on_tree(struct api *api, const struct msg *m)
{
    const struct tree_msg *body = msg_body(m, tree_msg);
    struct op *op = op_find(api, body->cookie);

    if (!op || m->from.shard >= SHARDS_MAX || op->shards[m->from.shard].said)
        return;
    struct shard_answer *s = &op->shards[m->from.shard];
    size_t before = op->len;
    uint32_t pieces = op->tries;
    s->took_ns = shard_now(api->actor.shard) - op->began_ns;
    s->said = body->err == 0 && tree_load(api, op, m->frame, s);
    if (!s->said) {
        op->len = before;
        op->tries = pieces;
    }
    op->waiting--;
}
