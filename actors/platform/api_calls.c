#include "actors/platform/api_inner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "store/generation.h"

/* ---- POST /media-tokens ---- */

/* Letters, digits, '.', '-', and what a numeric address needs: it goes into headers. */
static bool is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-[]:",
                    (char)host.at[i]) ||
            host.at[i] == '\0')
            return false;
    return host.len > 0;
}

static bool is_any(const struct address *a)
{
    static const struct address any;

    return memcmp(a->ip, any.ip, sizeof(a->ip)) == 0;
}

void api_media_base(const struct api *api, const struct http_ask *ask, char *out, size_t out_bytes)
{
    const struct world *world = api_world(api)->world;
    struct slice host = http_host_name(ask->host);

    if (!world->config->public_url[0] && is_any(&world->media_address) && is_host(host))
        snprintf(out, out_bytes, "ws://%.*s:%u", SLICE_ARG(host), world->media_address.port);
    else
        media_base(world, out, out_bytes);
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
    answer_fail(api, ask->id, 400, "bad_json", message, NULL);
    return false;
}

/* The agent that the body names; NULL when it was answered that there is none. */
static struct agent *body_agent(struct api *api, const struct http_ask *ask,
                                const struct json_doc *doc)
{
    char name[AGENT_NAME_BYTES], message[MESSAGE_BYTES];
    struct agent *agent;

    if (json_kind_of(doc, "agent") != JSON_KIND_TEXT) {
        answer_fail(api, ask->id, 400, "invalid", "agent must be given, as text", "agent");
        return NULL;
    }
    agent = json_text_of(doc, "agent", name, sizeof(name))
                ? NULL
                : agent_set_find(api_world(api)->agents, name);
    if (agent)
        return agent;
    snprintf(message, sizeof(message), "there is no agent \"%s\"", name);
    answer_fail(api, ask->id, 404, "no_such_agent", message, "agent");
    return NULL;
}

static void mint(struct api *api, const struct http_ask *ask, const struct agent *agent)
{
    uint8_t nonce[TOKEN_NONCE_BYTES];
    char token[TOKEN_TEXT_BYTES], base[URL_BYTES], url[URL_BYTES + TOKEN_TEXT_BYTES + 80];
    struct builder b;

    if (token_nonce(nonce) ||
        token_mint(api_world(api)->world->token_key, agent->id, shard_wall_ms(api->actor.shard),
                   nonce, token, sizeof(token))) {
        answer_fail(api, ask->id, 500, "internal", "the token could not be made", NULL);
        return;
    }
    api_media_base(api, ask, base, sizeof(base));
    snprintf(url, sizeof(url), "%s/media/%s/%s", base, agent->id, token);
    struct jsonw w = answer_begin(api, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "token", token);
    jsonw_put_int(&w, "expires_in", TOKEN_LIFE_MS / 1000);
    jsonw_put_cstr(&w, "url", url);
    jsonw_end(&w);
    answer_send(api, ask->id, 200, &w);
}

void on_tokens(struct api *api, const struct http_ask *ask)
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
        return "rtp must be given, as an object with peer and codec, or to, as a number to call";
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
    uint32_t shards = api_world(api)->world->shards;

    op->place.cookie = op_cookie(api, op);
    op->waiting = 1;
    while (op->tries < shards) {
        uint32_t shard = (op->shard + op->tries++) % shards;
        if (actor_send_body(&api->actor, switchboard_of(shard), CALL_PLACE, IF_FULL_DROP,
                            FRAME_NONE, &op->place, sizeof(op->place)))
            return;
    }
    op->waiting = 0;
    answer_fail(api, op->request, 503, "full", "there is no room for another call", NULL);
}

/* A leg to a peer that is there already. */
static void place(struct api *api, const struct http_ask *ask, const struct agent *agent,
                  const struct json_doc *doc)
{
    struct call_place_msg place = {0};
    const char *field = NULL, *wrong = place_check(doc, &place, &field);
    struct op *op;

    if (wrong) {
        answer_fail(api, ask->id, 400, "invalid", wrong, field);
        return;
    }
    op = op_new(api, ask, CALL_NS);
    if (!op)
        return;
    snprintf(place.agent, sizeof(place.agent), "%s", agent->id);
    op->place = place;
    op->shard = api->next_shard++ % api_world(api)->world->shards;
    place_at(api, op);
}

void on_call_place(struct api *api, const struct http_ask *ask)
{
    struct json_doc doc = {0};
    struct agent *agent;

    if (!body_read(api, ask, &doc))
        return;
    agent = body_agent(api, ask, &doc);
    if (agent && api_world(api)->drained_by_ns)
        answer_fail(api, ask->id, 503, "draining", "the server is ending and takes no call", NULL);
    else if (agent && json_kind_of(&doc, "to") != JSON_KIND_NONE)
        on_dial(api, ask, &doc, agent);
    else if (agent)
        place(api, ask, agent, &doc);
    json_free(&doc);
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
    return answer_send(api, op->request, 201, &w);
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

void on_placed(struct api *api, const struct call_placed_msg *m, uint32_t shard)
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
        answer_fail(api, op->request, 404, "no_such_agent", "the agent is not loaded", "agent");
    else if (m->err)
        answer_fail(api, op->request, 503, "no_media", strerror(m->err), NULL);
    else if (!reply_placed(api, op, m))
        hang_up_unwanted(api, m, shard);
}

/* ---- DELETE /calls/{id} ---- */

/* An id that this process did not make: another one's, while its journal is there. */
static void answer_stranger(struct api *api, const struct http_ask *ask)
{
    const struct world *world = api_world(api)->world;
    uint32_t generation = call_id_generation(ask->param);
    char message[160];

    if (!generation || generation == world->generation ||
        !generation_there(world->data_dir, generation)) {
        answer_fail(api, ask->id, 404, "no_such_call", "there is no such call going on", NULL);
        return;
    }
    snprintf(message, sizeof(message),
             "process generation %08x has that call, if it goes on; this is generation %08x, and a "
             "call ends only where it runs",
             generation, world->generation);
    answer_fail(api, ask->id, 409, "other_generation", message, NULL);
}

/* An op for a request about one call, and the shard that the call is on; NULL: it was answered. */
static struct op *op_on_call(struct api *api, const struct http_ask *ask, uint32_t *shard)
{
    if (call_id_shard(api_world(api)->world, ask->param, shard))
        return op_new(api, ask, CALL_NS);
    answer_stranger(api, ask);
    return NULL;
}

static void ask_of_call(struct api *api, struct op *op, uint32_t shard, uint16_t type,
                        const void *body, size_t bytes)
{
    op->waiting = 1;
    if (actor_send_body(&api->actor, switchboard_of(shard), type, IF_FULL_DROP, FRAME_NONE, body,
                        bytes))
        return;
    answer_fail(api, op->request, 503, "busy", "the shard of the call cannot be reached", NULL);
    op->waiting = 0;
}

void on_call_hang_up(struct api *api, const struct http_ask *ask)
{
    struct call_hang_up_msg body = {0};
    uint32_t shard;
    struct op *op = op_on_call(api, ask, &shard);

    if (!op)
        return;
    slice_cstr(ask->param, body.call_id, sizeof(body.call_id));
    body.cookie = op_cookie(api, op);
    ask_of_call(api, op, shard, CALL_HANG_UP, &body, sizeof(body));
}

void on_hung_up(struct api *api, const struct call_placed_msg *m)
{
    struct op *op = op_find(api, m->cookie);

    if (!op || op->route != ROUTE_CALL_HANG_UP)
        return;
    op->waiting = 0;
    if (m->err)
        answer_fail(api, op->request, 404, "no_such_call", "there is no such call going on", NULL);
    else
        http_server_reply(api_world(api)->server, op->request,
                          &(struct http_answer){.status = 204});
}

/* ---- POST /calls/{id}/digits ---- */

void on_call_press(struct api *api, const struct http_ask *ask)
{
    struct call_press_msg body = {0};
    struct json_doc doc = {0};
    uint32_t shard;
    struct op *op;

    if (!body_read(api, ask, &doc))
        return;
    bool usable = json_kind_of(&doc, "digits") == JSON_KIND_TEXT &&
                  json_text_of(&doc, "digits", body.digits, sizeof(body.digits)) == 0 &&
                  body.digits[0] && body.digits[strspn(body.digits, DTMF_DIGITS)] == '\0';
    json_free(&doc);
    if (!usable) {
        answer_fail(api, ask->id, 400, "invalid",
                    "digits must be given, as 1 to 32 of 0-9, *, # and A-D", "digits");
        return;
    }
    op = op_on_call(api, ask, &shard);
    if (!op)
        return;
    slice_cstr(ask->param, body.call_id, sizeof(body.call_id));
    body.cookie = op_cookie(api, op);
    ask_of_call(api, op, shard, CALL_PRESS, &body, sizeof(body));
}

void on_pressed(struct api *api, const struct call_placed_msg *m)
{
    struct op *op = op_find(api, m->cookie);

    if (!op || op->route != ROUTE_CALL_PRESS)
        return;
    op->waiting = 0;
    if (m->err == ENOTSUP)
        answer_fail(api, op->request, 409, "no_digits",
                    "the protocol of this call has no way to press digits", NULL);
    else if (m->err == EBUSY)
        answer_fail(api, op->request, 409, "digits_waiting",
                    "the digits of earlier requests are still being pressed", NULL);
    else if (m->err)
        answer_fail(api, op->request, 404, "no_such_call", "there is no such call going on", NULL);
    else
        http_server_reply(api_world(api)->server, op->request,
                          &(struct http_answer){.status = 204});
}

/* ---- GET /call-logs ---- */

void read_logs(struct api *api, const struct http_ask *ask, enum store_job job, struct slice bytes)
{
    uint32_t reading = 0;
    struct op *op;

    for (uint32_t i = 0; i < OPS_MAX; i++)
        if (api->ops[i].request && api->ops[i].route >= ROUTE_LOG)
            reading++;
    if (reading >= LOG_OPS_MAX) {
        answer_fail(api, ask->id, 503, "busy", "too many logs are being read", NULL);
        return;
    }
    op = op_new(api, ask, LOG_NS);
    if (!op)
        return;
    op->waiting = 1;
    slice_cstr(ask->range, op->range, sizeof(op->range));
    if (lane_run(&api->actor, &api->store, job, op_cookie(api, op), bytes)) {
        answer_fail(api, op->request, 503, "busy", "the store is behind", NULL);
        op->waiting = 0;
    }
}

void on_log(struct api *api, const struct http_ask *ask)
{
    read_logs(api, ask, STORE_CALL_LOG, ask->param);
}

void on_logs(struct api *api, const struct http_ask *ask)
{
    uint8_t bytes[HTTP_QUERY_BYTES_MAX + 32];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct slice limit, after;
    uint64_t count = LIST_DEFAULT;

    if (http_ask_arg(ask, "limit", &limit) && (slice_u64(limit, LIST_MAX, &count) || !count)) {
        answer_fail(api, ask->id, 400, "invalid", "limit must be a number from 1 to 100", "limit");
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
        answer_fail(api, op->request, 404, "no_such_call_log",
                    op->route == ROUTE_LOGS ? "after must be the id of a call with a log"
                                            : "there is no log of such a call (yet)",
                    op->route == ROUTE_LOGS ? "after" : NULL);
    else if (err == -EMSGSIZE)
        answer_fail(api, op->request, 500, "internal", "the log is too long to be sent", NULL);
    else if (err)
        answer_fail(api, op->request, 503, "store", "the store cannot be read now", NULL);
    else if (op->route == ROUTE_RECORDING)
        recording_reply(api, op);
    else
        answer_json(api, op->request, 200, slice_of(op->text, op->len));
}

void on_emit(struct api *api, const struct msg *m)
{
    struct op *op = op_find(api, msg_body(m, lane_msg)->epoch);

    if (!op || op->route < ROUTE_LOG || op->waiting == 0)
        return;
    if (frames_load(api, op, m->frame))
        return;
    op->waiting = 0;
    logs_reply(api, op, -EMSGSIZE);
}

void on_lane_done(struct api *api, const struct lane_msg *done)
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
