/* Answers the HTTP API: a request comes as a message, what it needs is asked of the shards and the
 * store lane, and the answer goes out when it is complete or its time is over. Nothing here waits:
 * each request that has to ask is an `op` with a deadline. One, on the control thread. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/messages.h"
#include "actors/platform/control_host.h"
#include "actors/platform/store_program.h"
#include "base/json.h"
#include "base/metrics.h"
#include "store/call_log.h"

#define OPS_MAX        64                /* requests that wait for others; beyond: 503 */
#define LOG_OPS_MAX    8                 /* of them, logs being read: each may be large */
#define LOG_BYTES_MAX  (4 * 1024 * 1024) /* of one answer; beyond: 500 */
#define ASK_NS         SECONDS(1)
#define CALL_NS        SECONDS(5)
#define LOG_NS         SECONDS(10)
#define LIST_DEFAULT   20
#define LIST_MAX       100
#define ANSWER_BYTES   98304
#define BODY_BYTES_MAX 65536
#define URL_BYTES      512
#define MESSAGE_BYTES  256

enum route {
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_DEEP,
    ROUTE_METRICS,
    ROUTE_ACTORS,
    ROUTE_TOKENS,
    ROUTE_CALL_PLACE,
    ROUTE_CALL_HANG_UP,
    ROUTE_LOG,
    ROUTE_LOGS,
};

const struct http_route api_routes[] = {
    {"GET", "/health", ROUTE_HEALTH},     {"GET", "/health/ready", ROUTE_READY},
    {"GET", "/health/deep", ROUTE_DEEP},  {"GET", "/metrics", ROUTE_METRICS},
    {"GET", "/actors", ROUTE_ACTORS},     {"POST", "/media-tokens", ROUTE_TOKENS},
    {"POST", "/calls", ROUTE_CALL_PLACE}, {"DELETE", "/calls/{}", ROUTE_CALL_HANG_UP},
    {"GET", "/call-logs/{}", ROUTE_LOG},  {"GET", "/call-logs", ROUTE_LOGS},
};
const size_t api_route_count = ARRAY_LEN(api_routes);

/* What one shard said. */
struct shard_answer {
    int64_t took_ns;
    int64_t calls;
    int64_t queue_depth;
    bool said;
};

/* A request that waits. */
struct op {
    uint64_t request; /* 0: free */
    enum route route;
    uint32_t generation;
    uint32_t waiting; /* answers that have not come */
    int64_t began_ns;
    struct actor_timer deadline;
    struct shard_answer shards[SHARDS_MAX];
    int64_t store_ns; /* -1: has not answered */
    struct call_place_msg place;
    uint32_t shard; /* asked first */
    uint32_t tries;
    char *text; /* what came in pieces */
    size_t len;
    size_t size;
};

struct api {
    struct actor actor;
    struct lane_session store;
    struct op ops[OPS_MAX];
    uint32_t next_shard;
    uint8_t answer[ANSWER_BYTES]; /* composed here, copied by the server */
};

_Static_assert(METRICS_TEXT_BYTES_MAX <= ANSWER_BYTES, "a reading of the metrics fits");

/* ---- answers ---- */

static struct control_world *world_at(const struct api *api)
{
    return control_world_of(&api->actor);
}

static struct jsonw answer_begin(struct api *api, struct builder *b)
{
    struct jsonw w;

    *b = builder_of(api->answer, sizeof(api->answer));
    jsonw_init(&w, b);
    return w;
}

static void fail(struct api *api, uint64_t request, uint16_t status, const char *code,
                 const char *message, const char *field)
{
    http_server_fail(world_at(api)->server, request, status, code, message, field);
}

/* False when the client has gone. */
static bool reply_json(struct api *api, uint64_t request, uint16_t status, struct slice json)
{
    return http_server_reply(
        world_at(api)->server, request,
        &(struct http_answer){.status = status, .content_type = "application/json", .body = json});
}

static bool reply(struct api *api, uint64_t request, uint16_t status, const struct jsonw *w)
{
    if (jsonw_finish(w) == 0)
        return reply_json(api, request, status, builder_slice(w->out));
    fail(api, request, 500, "internal", "the answer is too long", NULL);
    return true;
}

static void put_now(struct api *api, struct jsonw *w)
{
    char text[32];

    wall_text(shard_wall_ms(api->actor.shard), text, sizeof(text));
    jsonw_put_cstr(w, "timestamp", text);
}

/* ---- ops ---- */

static uint32_t op_cookie(const struct api *api, const struct op *op)
{
    return op->generation << 8 | (uint32_t)(op - api->ops);
}

static struct op *op_find(struct api *api, uint32_t cookie)
{
    struct op *op = &api->ops[cookie & 0xFF];

    if ((cookie & 0xFF) >= OPS_MAX || !op->request || op_cookie(api, op) != cookie)
        return NULL;
    return op;
}

static void op_free(struct api *api, struct op *op)
{
    actor_timer_cancel(&api->actor, &op->deadline);
    free(op->text);
    op->text = NULL;
    op->len = op->size = 0;
    op->request = 0;
}

static struct op *op_new(struct api *api, const struct http_ask *ask, int64_t time_ns)
{
    for (uint32_t i = 0; i < OPS_MAX; i++) {
        struct op *op = &api->ops[i];
        if (op->request)
            continue;
        op->request = ask->id;
        op->route = (enum route)ask->route->tag;
        op->generation = (op->generation + 1) & 0xFFFFFFu;
        if (op->generation == 0)
            op->generation = 1;
        op->waiting = op->tries = 0;
        op->began_ns = shard_now(api->actor.shard);
        op->store_ns = -1;
        memset(op->shards, 0, sizeof(op->shards));
        actor_timer_set(&api->actor, &op->deadline, op_cookie(api, op), op->began_ns + time_ns);
        return op;
    }
    fail(api, ask->id, 503, "busy", "too many requests wait for their answers", NULL);
    return NULL;
}

/* More of what comes in pieces; false when it is too much. */
static bool text_load(struct op *op, const void *at, size_t len)
{
    if (len > LOG_BYTES_MAX - op->len)
        return false;
    if (op->size - op->len < len) {
        size_t size = (op->len + len) * 2;
        char *text = realloc(op->text, size);
        if (!text)
            return false;
        op->text = text;
        op->size = size;
    }
    memcpy(op->text + op->len, at, len);
    op->len += len;
    return true;
}

/* The text of a message's frames at the end of the op's. */
static bool frames_load(struct api *api, struct op *op, frame_ref ref)
{
    struct frame_pool *pool = shard_pool(api->actor.shard);

    while (ref != FRAME_NONE) {
        const struct frame *f = frame_at(pool, ref);
        if (!text_load(op, f->data, f->len))
            return false;
        ref = f->next;
    }
    return true;
}

static int32_t ms_of(int64_t span_ns)
{
    return (int32_t)ns_to_ms(span_ns);
}

/* ---- health ---- */

static void on_health(struct api *api, const struct http_ask *ask)
{
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_put_cstr(&w, "status", "ok");
    put_now(api, &w);
    jsonw_end(&w);
    reply(api, ask->id, 200, &w);
}

static void on_ready(struct api *api, const struct http_ask *ask)
{
    bool draining = world_at(api)->drained_by_ns != 0;
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_put_cstr(&w, "status", draining ? "draining" : "ok");
    put_now(api, &w);
    jsonw_end(&w);
    reply(api, ask->id, draining ? 503 : 200, &w);
}

static void ask_shards(struct api *api, struct op *op)
{
    struct tree_msg body = {.cookie = op_cookie(api, op)};

    for (uint32_t i = 0; i < world_at(api)->world->shards; i++)
        if (actor_send_body(&api->actor, switchboard_of(i), TREE_ASK, IF_FULL_DROP, FRAME_NONE,
                            &body, sizeof(body)))
            op->waiting++;
}

/* The store is asked for a log that cannot be: its refusal says that it lives. */
static void on_deep(struct api *api, const struct http_ask *ask)
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
    for (uint32_t i = 0; i < world_at(api)->world->shards; i++) {
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
    const struct control_world *world = world_at(api);

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

static void deep_finish(struct api *api, struct op *op)
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
    jsonw_put_int(&w, "connections", http_server_connections(world_at(api)->server));
    jsonw_put_int(&w, "calls_active", metrics_read(METRIC_CALLS_ACTIVE));
    jsonw_put_cstr(&w, "status", ok ? "ok" : "degraded");
    jsonw_end(&w);
    reply(api, op->request, ok ? 200 : 503, &w);
}

/* ---- metrics, actors ---- */

static void on_metrics(struct api *api, const struct http_ask *ask)
{
    struct builder b = builder_of(api->answer, sizeof(api->answer));

    metrics_write(&b);
    http_server_reply(
        world_at(api)->server, ask->id,
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

static void on_actors(struct api *api, const struct http_ask *ask)
{
    struct op *op = op_new(api, ask, ASK_NS);

    if (!op)
        return;
    ask_shards(api, op);
    if (!text_load(op, "{\"shards\":[", 11))
        op->waiting = 0;
}

/* {"shards":[what each said],"silent":[who did not],"control":{..}} */
static void actors_finish(struct api *api, struct op *op)
{
    struct shard_load load = shard_load(api->actor.shard);
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_key(&w, "silent");
    jsonw_begin_list(&w);
    for (uint32_t i = 0; i < world_at(api)->world->shards; i++)
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
        reply_json(api, op->request, 200, slice_of(op->text, op->len));
    else
        fail(api, op->request, 500, "internal", "the answer is too long", NULL);
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

static void on_tree(struct api *api, const struct msg *m)
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

/* ---- POST /media-tokens ---- */

/* The base of media URLs: the public one with its scheme made WebSocket's, or our own address. */
static void media_base(const struct api *api, char *out, size_t out_bytes)
{
    const struct world *world = world_at(api)->world;
    const char *public = world->config->public_url;
    char text[ADDRESS_TEXT_BYTES];

    if (strncmp(public, "https://", 8) == 0)
        snprintf(out, out_bytes, "wss://%s", public + 8);
    else if (strncmp(public, "http://", 7) == 0)
        snprintf(out, out_bytes, "ws://%s", public + 7);
    else
        snprintf(out, out_bytes, "ws://%s", address_text(&world->media_address, text));
}

/* The body as JSON; false when it is none, which was answered then. */
static bool body_read(struct api *api, const struct http_ask *ask, struct json_doc *doc)
{
    char why[JSON_WHY_BYTES], message[JSON_WHY_BYTES + 32];

    if (json_read(doc, ask->body, BODY_BYTES_MAX, why) == 0 &&
        json_kind_of(doc, "") == JSON_KIND_OBJECT)
        return true;
    if (json_kind_of(doc, "") != JSON_KIND_NONE)
        snprintf(why, sizeof(why), "it is not an object");
    snprintf(message, sizeof(message), "the body is not usable JSON: %s", why);
    json_free(doc);
    fail(api, ask->id, 400, "bad_json", message, NULL);
    return false;
}

/* The agent that the body names; NULL when it was answered that there is none. */
static struct agent *body_agent(struct api *api, const struct http_ask *ask,
                                const struct json_doc *doc)
{
    char name[AGENT_NAME_BYTES], message[MESSAGE_BYTES];
    struct agent *agent;

    if (json_kind_of(doc, "agent") != JSON_KIND_TEXT) {
        fail(api, ask->id, 400, "invalid", "agent must be given, as text", "agent");
        return NULL;
    }
    agent = json_text_of(doc, "agent", name, sizeof(name))
                ? NULL
                : agent_set_find(world_at(api)->agents, name);
    if (agent)
        return agent;
    snprintf(message, sizeof(message), "there is no agent \"%s\"", name);
    fail(api, ask->id, 404, "no_such_agent", message, "agent");
    return NULL;
}

static void mint(struct api *api, const struct http_ask *ask, const struct agent *agent)
{
    uint8_t nonce[TOKEN_NONCE_BYTES];
    char token[TOKEN_TEXT_BYTES], base[URL_BYTES], url[URL_BYTES + TOKEN_TEXT_BYTES + 80];
    struct builder b;

    if (token_nonce(nonce) ||
        token_mint(world_at(api)->token_key, agent->id, shard_wall_ms(api->actor.shard), nonce,
                   token, sizeof(token))) {
        fail(api, ask->id, 500, "internal", "the token could not be made", NULL);
        return;
    }
    media_base(api, base, sizeof(base));
    snprintf(url, sizeof(url), "%s/media/%s/%s", base, agent->id, token);
    struct jsonw w = answer_begin(api, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "token", token);
    jsonw_put_int(&w, "expires_in", TOKEN_LIFE_MS / 1000);
    jsonw_put_cstr(&w, "url", url);
    jsonw_end(&w);
    reply(api, ask->id, 200, &w);
}

static void on_tokens(struct api *api, const struct http_ask *ask)
{
    struct json_doc doc = {0};
    struct agent *agent;

    if (!body_read(api, ask, &doc))
        return;
    agent = body_agent(api, ask, &doc);
    json_free(&doc);
    if (agent)
        mint(api, ask, agent);
}

/* ---- POST /calls ---- */

/* What is wrong with the field that *field names; NULL: nothing. */
static const char *place_check(const struct json_doc *doc, struct call_place_msg *place,
                               const char **field)
{
    char peer[ADDRESS_TEXT_BYTES];

    *field = "rtp";
    if (json_kind_of(doc, "rtp") != JSON_KIND_OBJECT)
        return "rtp must be given, as an object with peer and codec";
    *field = "rtp.peer";
    if (json_text_of(doc, "rtp.peer", peer, sizeof(peer)) ||
        address_parse(slice_str(peer), true, &place->peer) || place->peer.port == 0)
        return "rtp.peer must be a numeric address with a port, as 192.0.2.1:4000 or [::1]:4000";
    *field = "rtp.codec";
    if (json_is(doc, "rtp.codec", "PCMU"))
        place->codec = 0;
    else if (json_is(doc, "rtp.codec", "PCMA"))
        place->codec = 8;
    else
        return "rtp.codec must be PCMU or PCMA";
    return NULL;
}

static void place_at(struct api *api, struct op *op)
{
    uint32_t shards = world_at(api)->world->shards;

    op->place.cookie = op_cookie(api, op);
    op->waiting = 1;
    while (op->tries < shards) {
        uint32_t shard = (op->shard + op->tries++) % shards;
        if (actor_send_body(&api->actor, switchboard_of(shard), CALL_PLACE, IF_FULL_DROP,
                            FRAME_NONE, &op->place, sizeof(op->place)))
            return;
    }
    op->waiting = 0;
    fail(api, op->request, 503, "full", "there is no room for another call", NULL);
}

static void on_call_place(struct api *api, const struct http_ask *ask)
{
    struct json_doc doc = {0};
    struct call_place_msg place = {0};
    const char *field = NULL, *wrong;
    struct agent *agent;
    struct op *op = NULL;

    if (!body_read(api, ask, &doc))
        return;
    agent = body_agent(api, ask, &doc);
    wrong = agent ? place_check(&doc, &place, &field) : NULL;
    json_free(&doc);
    if (!agent)
        return;
    if (wrong)
        fail(api, ask->id, 400, "invalid", wrong, field);
    else if (world_at(api)->drained_by_ns)
        fail(api, ask->id, 503, "draining", "the server is ending and takes no call", NULL);
    else
        op = op_new(api, ask, CALL_NS);
    if (!op)
        return;
    snprintf(place.agent, sizeof(place.agent), "%s", agent->id);
    op->place = place;
    op->shard = api->next_shard++ % world_at(api)->world->shards;
    place_at(api, op);
}

static bool reply_placed(struct api *api, const struct op *op, const struct call_placed_msg *m)
{
    char local[ADDRESS_TEXT_BYTES];
    struct builder b;
    struct jsonw w = answer_begin(api, &b);

    jsonw_begin(&w);
    jsonw_put_cstr(&w, "call_id", m->call_id);
    jsonw_key(&w, "rtp");
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "local", address_text(&m->local, local));
    jsonw_end(&w);
    jsonw_end(&w);
    return reply(api, op->request, 201, &w);
}

/* A call that nobody waits for any more is not kept: the client cannot know its id. */
static void hang_up_unwanted(struct api *api, const struct call_placed_msg *m, uint32_t shard)
{
    struct call_hang_up_msg body = {0};

    if (m->err)
        return;
    memcpy(body.call_id, m->call_id, sizeof(body.call_id));
    actor_send_body(&api->actor, switchboard_of(shard), CALL_HANG_UP, IF_FULL_DROP, FRAME_NONE,
                    &body, sizeof(body));
}

static void on_placed(struct api *api, const struct call_placed_msg *m, uint32_t shard)
{
    struct op *op = op_find(api, m->cookie);

    if (!op || op->route != ROUTE_CALL_PLACE) {
        hang_up_unwanted(api, m, shard);
        return;
    }
    op->waiting = 0;
    if (m->err == EBUSY)
        place_at(api, op); /* another shard may have room */
    else if (m->err == ENOENT)
        fail(api, op->request, 404, "no_such_agent", "the agent is not loaded", "agent");
    else if (m->err)
        fail(api, op->request, 503, "no_media", strerror(m->err), NULL);
    else if (!reply_placed(api, op, m))
        hang_up_unwanted(api, m, shard);
}

/* ---- DELETE /calls/{id} ---- */

/* "6740a1b2-03-00002a": process generation, shard, number. */
static bool call_shard(const struct api *api, struct slice id, uint32_t *shard)
{
    const struct world *world = world_at(api)->world;
    char text[CALL_ID_BYTES], again[CALL_ID_BYTES];
    unsigned generation, number;

    if (slice_cstr(id, text, sizeof(text)) ||
        sscanf(text, "%8x-%2x-%6x", &generation, shard, &number) != 3)
        return false;
    snprintf(again, sizeof(again), "%08x-%02x-%06x", generation, *shard, number);
    return strcmp(text, again) == 0 && generation == world->generation && *shard < world->shards;
}

static void on_call_hang_up(struct api *api, const struct http_ask *ask)
{
    struct call_hang_up_msg body = {0};
    uint32_t shard;
    struct op *op;

    if (!call_shard(api, ask->param, &shard)) {
        fail(api, ask->id, 404, "no_such_call", "there is no such call going on", NULL);
        return;
    }
    op = op_new(api, ask, CALL_NS);
    if (!op)
        return;
    slice_cstr(ask->param, body.call_id, sizeof(body.call_id));
    body.cookie = op_cookie(api, op);
    op->waiting = 1;
    if (!actor_send_body(&api->actor, switchboard_of(shard), CALL_HANG_UP, IF_FULL_DROP, FRAME_NONE,
                         &body, sizeof(body))) {
        fail(api, op->request, 503, "busy", "the shard of the call cannot be reached", NULL);
        op->waiting = 0;
    }
}

static void on_hung_up(struct api *api, const struct call_placed_msg *m)
{
    struct op *op = op_find(api, m->cookie);

    if (!op || op->route != ROUTE_CALL_HANG_UP)
        return;
    op->waiting = 0;
    if (m->err)
        fail(api, op->request, 404, "no_such_call", "there is no such call going on", NULL);
    else
        http_server_reply(world_at(api)->server, op->request, &(struct http_answer){.status = 204});
}

/* ---- GET /call-logs ---- */

static void read_logs(struct api *api, const struct http_ask *ask, enum store_job job,
                      struct slice bytes)
{
    uint32_t reading = 0;
    struct op *op;

    for (uint32_t i = 0; i < OPS_MAX; i++)
        if (api->ops[i].request && api->ops[i].route >= ROUTE_LOG)
            reading++;
    if (reading >= LOG_OPS_MAX) {
        fail(api, ask->id, 503, "busy", "too many logs are being read", NULL);
        return;
    }
    op = op_new(api, ask, LOG_NS);
    if (!op)
        return;
    op->waiting = 1;
    if (lane_run(&api->actor, &api->store, job, op_cookie(api, op), bytes)) {
        fail(api, op->request, 503, "busy", "the store is behind", NULL);
        op->waiting = 0;
    }
}

static void on_log(struct api *api, const struct http_ask *ask)
{
    read_logs(api, ask, STORE_CALL_LOG, ask->param);
}

static void on_logs(struct api *api, const struct http_ask *ask)
{
    uint8_t bytes[HTTP_QUERY_BYTES_MAX + 32];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct slice limit, after;
    uint64_t count = LIST_DEFAULT;

    if (http_ask_arg(ask, "limit", &limit) && (slice_u64(limit, LIST_MAX, &count) || !count)) {
        fail(api, ask->id, 400, "invalid", "limit must be a number from 1 to 100", "limit");
        return;
    }
    http_ask_arg(ask, "after", &after);
    builder_printf(&b, "%u", (unsigned)count);
    builder_u8(&b, 0);
    builder_slice_add(&b, after);
    read_logs(api, ask, STORE_CALL_LOGS, builder_slice(&b));
}

static void logs_reply(struct api *api, struct op *op, int err)
{
    if (err == -ENOENT)
        fail(api, op->request, 404, "no_such_call_log",
             op->route == ROUTE_LOG ? "there is no log of such a call (yet)"
                                    : "after must be the id of a call with a log",
             op->route == ROUTE_LOG ? NULL : "after");
    else if (err == -EMSGSIZE)
        fail(api, op->request, 500, "internal", "the log is too long to be sent", NULL);
    else if (err)
        fail(api, op->request, 503, "store", "the store cannot be read now", NULL);
    else
        reply_json(api, op->request, 200, slice_of(op->text, op->len));
}

static void on_emit(struct api *api, const struct msg *m)
{
    struct op *op = op_find(api, msg_body(m, lane_msg)->epoch);

    if (!op || op->route < ROUTE_LOG || op->waiting == 0)
        return;
    if (frames_load(api, op, m->frame))
        return;
    op->waiting = 0;
    logs_reply(api, op, -EMSGSIZE);
}

static void on_lane_done(struct api *api, const struct lane_msg *done)
{
    struct op *op = op_find(api, done->epoch);

    if (!op || op->waiting == 0)
        return;
    op->waiting--;
    if (op->route >= ROUTE_LOG)
        logs_reply(api, op, done->err);
    else if (done->err == -ENOENT)
        op->store_ns = shard_now(api->actor.shard) - op->began_ns;
}

/* ---- the end of an op ---- */

static bool merges(const struct op *op)
{
    return op->route == ROUTE_DEEP || op->route == ROUTE_ACTORS;
}

/* Every answer that was waited for has come, or what is there must do. */
static void op_finish(struct api *api, struct op *op)
{
    if (op->route == ROUTE_DEEP)
        deep_finish(api, op);
    else if (op->route == ROUTE_ACTORS)
        actors_finish(api, op);
    op_free(api, op);
}

static void finish_complete(struct api *api)
{
    for (uint32_t i = 0; i < OPS_MAX; i++)
        if (api->ops[i].request && api->ops[i].waiting == 0)
            op_finish(api, &api->ops[i]);
}

static void on_deadline(struct api *api, uint32_t cookie)
{
    struct op *op = op_find(api, cookie);

    if (!op)
        return;
    if (!merges(op))
        fail(api, op->request, 504, "timeout", "the server's other parts did not answer in time",
             NULL);
    op_finish(api, op);
}

/* ---- requests ---- */

static void dispatch(struct api *api, const struct http_ask *ask)
{
    switch ((enum route)ask->route->tag) {
    case ROUTE_HEALTH:
        on_health(api, ask);
        break;
    case ROUTE_READY:
        on_ready(api, ask);
        break;
    case ROUTE_DEEP:
        on_deep(api, ask);
        break;
    case ROUTE_METRICS:
        on_metrics(api, ask);
        break;
    case ROUTE_ACTORS:
        on_actors(api, ask);
        break;
    case ROUTE_TOKENS:
        on_tokens(api, ask);
        break;
    case ROUTE_CALL_PLACE:
        on_call_place(api, ask);
        break;
    case ROUTE_CALL_HANG_UP:
        on_call_hang_up(api, ask);
        break;
    case ROUTE_LOG:
        on_log(api, ask);
        break;
    case ROUTE_LOGS:
        on_logs(api, ask);
        break;
    }
}

void api_on_request(void *context, const struct http_ask *ask)
{
    struct control_world *world = context;
    struct api_request_msg body = {.id = ask->id};

    if (!actor_send_body(world->api, world->api->id, API_REQUEST, IF_FULL_DROP, FRAME_NONE, &body,
                         sizeof(body)))
        http_server_fail(world->server, ask->id, 503, "busy", "the server is busy", NULL);
}

static void on_request(struct api *api, uint64_t id)
{
    const struct http_ask *ask = http_server_find(world_at(api)->server, id);

    if (ask) /* else the client has gone */
        dispatch(api, ask);
}

/* ---- life ---- */

static void drain(struct api *api)
{
    struct drain_msg body = {.deadline_ns = world_at(api)->drained_by_ns};

    for (uint32_t i = 0; i < world_at(api)->world->shards; i++)
        if (!actor_send_body(&api->actor, switchboard_of(i), DRAIN, IF_FULL_DROP, FRAME_NONE, &body,
                             sizeof(body)))
            log_error("api", NULL, "shard %u could not be told to drain: signal again", i);
}

static void stop(struct api *api)
{
    for (uint32_t i = 0; i < OPS_MAX; i++) {
        if (!api->ops[i].request)
            continue;
        fail(api, api->ops[i].request, 503, "ending", "the server is ending", NULL);
        op_free(api, &api->ops[i]);
    }
    lane_close(&api->actor, &api->store);
    actor_end(&api->actor);
}

static void api_handle(struct actor *a, const struct msg *m)
{
    struct api *api = container_of(a, struct api, actor);

    switch (m->type) {
    case MSG_START:
        if (lane_open(a, LANE_STORE, PROGRAM_STORE, NULL, 0, &api->store))
            log_error("api", NULL, "the store lane cannot be reached");
        break;
    case MSG_STOP:
        stop(api);
        break;
    case MSG_TIMER:
        on_deadline(api, msg_body(m, timer_msg)->tag);
        break;
    case MSG_LANE_EMIT:
        on_emit(api, m);
        break;
    case MSG_LANE_DONE:
        on_lane_done(api, msg_body(m, lane_msg));
        break;
    case API_REQUEST:
        on_request(api, msg_body(m, api_request_msg)->id);
        break;
    case API_DRAIN:
        drain(api);
        break;
    case TREE:
        on_tree(api, m);
        break;
    case CALL_PLACED:
        on_placed(api, msg_body(m, call_placed_msg), m->from.shard);
        break;
    case CALL_HUNG_UP:
        on_hung_up(api, msg_body(m, call_placed_msg));
        break;
    default:
        break;
    }
    finish_complete(api);
}

const struct actor_type api_type = {
    .name = "api", .size_bytes = sizeof(struct api), .handle = api_handle};
