/* One tool call of one turn: writes the intent into the journal, has it done under its idempotency
 * key, writes the result, and reports it. A tool that the agent's file declares is asked for at its
 * URL, if the arguments keep to its schema, else the model is told which rule they break; the
 * others are the store lane's, which does each exactly once. Child of the call; it outlives an
 * interruption, since a result always enters the conversation. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "base/metrics.h"
#include "store/record.h"

#define DEADLINE_NS  SECONDS(4)
#define RESULT_BYTES 4096 /* of a tool's answer; beyond: it has failed */
#define COOKIE       1u

extern const struct actor_type network_type;

struct tool {
    struct actor actor;
    struct tool_start_msg args;
    struct lane_session store;
    struct actor_timer deadline;
    bool answered;
    char key[64];
    char name[NAME_MAX_BYTES + 1];
    bool asked; /* the network has a request of ours */
    int32_t status;
    uint32_t result_len;
    uint8_t result[RESULT_BYTES];
};

static void write_effect(struct tool *t, bool result, struct slice body)
{
    struct builder b = text_builder(&t->actor);
    struct record_effect effect = {.wall_ms = shard_wall_ms(t->actor.shard),
                                   .epoch = t->args.epoch,
                                   .result = result,
                                   .key = slice_str(t->key),
                                   .name = slice_str(t->name),
                                   .body = body};
    struct journal_shard *journal =
        journal_shard(world_of(&t->actor)->journal, shard_index(t->actor.shard));

    record_effect_put(&b, &effect);
    if (!t->args.journaled || b.bad ||
        journal_add(journal, t->args.journal, JOURNAL_EFFECT, builder_slice(&b)))
        log_warn("tool", NULL, "an effect of %s is not in the journal", t->key);
}

static void answer(struct tool *t, int err, struct slice result)
{
    struct tool_done_msg body = {.epoch = t->args.epoch, .tool_id = t->args.tool_id, .err = err};

    if (t->answered)
        return;
    t->answered = true;
    write_effect(t, true, result);
    actor_send_body(&t->actor, t->actor.parent->id, TOOL_DONE, IF_FULL_STOP,
                    text_frame(&t->actor, result), &body, sizeof(body));
    actor_stop_self(&t->actor, REASON(0, "done"));
}

static void fail(struct tool *t, int err)
{
    log_warn("tool", NULL, "%s failed: %s", t->name, strerror(err));
    answer(t, err, SLICE("{\"ok\":false,\"error\":\"the tool failed\"}"));
}

/* ---- behind a URL ---- */

/* {"tool","agent","call_id","idempotency_key","arguments"}: `text` is {"name","arguments"}. */
static void put_request(struct builder *b, const struct tool *t, const struct json_doc *call)
{
    struct jsonw w;

    jsonw_init(&w, b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "tool", t->name);
    jsonw_put_cstr(&w, "agent", world_of(&t->actor)->agents[t->args.agent]->agent->id);
    jsonw_put_cstr(&w, "call_id", t->args.call_id);
    jsonw_put_cstr(&w, "idempotency_key", t->key);
    jsonw_key(&w, "arguments");
    jsonw_raw(&w, SLICE("")); /* what follows is it */
    if (json_build(call, "arguments", b))
        builder_str(b, "{}");
    jsonw_end(&w);
    b->bad = b->bad || jsonw_finish(&w);
}

static void ask(struct tool *t, const struct agent_tool *declared, const struct json_doc *call)
{
    struct builder b = text_builder(&t->actor);
    struct net_request_msg body = {.cookie = COOKIE,
                                   .label = NET_LABEL_NONE,
                                   .guarded = true,
                                   .method = "POST",
                                   .first_byte_ms = (uint32_t)declared->timeout_ms,
                                   .total_ms = (uint32_t)declared->timeout_ms};

    builder_str(&b, declared->url);
    body.url_bytes = (uint32_t)b.len;
    builder_printf(&b, "Content-Type: application/json\r\nIdempotency-Key: %s\r\n%s", t->key,
                   declared->headers);
    body.head_bytes = (uint32_t)b.len - body.url_bytes;
    put_request(&b, t, call);
    frame_ref ref = b.bad ? FRAME_NONE : text_frame(&t->actor, builder_slice(&b));
    t->asked =
        ref != FRAME_NONE && actor_send_body(&t->actor, shard_only(t->actor.shard, &network_type),
                                             NET_REQUEST, IF_FULL_DROP, ref, &body, sizeof(body));
    if (!t->asked)
        fail(t, b.bad ? EMSGSIZE : EBUSY);
    else
        actor_timer_set(&t->actor, &t->deadline, 0,
                        shard_now(t->actor.shard) + MS(declared->timeout_ms + 500));
}

static void load(struct tool *t, struct slice text)
{
    if (text.len > sizeof(t->result) - t->result_len) {
        fail(t, EMSGSIZE);
        return;
    }
    memcpy(t->result + t->result_len, text.at, text.len);
    t->result_len += (uint32_t)text.len;
}

/* JSON is passed on as it is; anything else becomes a text of it. */
static void on_end(struct tool *t)
{
    struct slice got = slice_of(t->result, t->result_len);
    uint8_t text[RESULT_BYTES + 64]; /* the scratch is answer()'s */
    struct builder b = builder_of(text, sizeof(text));
    struct json_doc doc = {0};
    struct jsonw w;
    bool good = t->status / 100 == 2, json = json_read(&doc, got, got.len, NULL) == 0;

    json_free(&doc);
    t->asked = false;
    if (good && json) {
        answer(t, 0, got);
        return;
    }
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_bool(&w, "ok", good);
    if (!good)
        jsonw_put_int(&w, "status", t->status);
    jsonw_put_str(&w, good ? "text" : "error", got);
    jsonw_end(&w);
    if (jsonw_finish(&w))
        fail(t, EMSGSIZE);
    else
        answer(t, good ? 0 : EREMOTEIO, builder_slice(&b));
}

static void on_net(struct tool *t, const struct msg *m)
{
    if (!t->asked || t->answered)
        return;
    if (m->type == NET_STATUS) {
        t->status = msg_body(m, net_status_msg)->status;
    } else if (m->type == NET_CHUNK) {
        load(t, text_of(&t->actor, m));
    } else if (m->type == NET_END) {
        on_end(t);
    } else {
        const struct net_failed_msg *failed = msg_body(m, net_failed_msg);
        log_warn("tool", NULL, "%s: %s", t->name, failed->what);
        t->asked = false;
        fail(t, failed->err);
    }
}

static void stop(struct tool *t)
{
    struct net_cookie_msg body = {.cookie = COOKIE};

    if (t->asked)
        actor_send_body(&t->actor, shard_only(t->actor.shard, &network_type), NET_CANCEL,
                        IF_FULL_DROP, FRAME_NONE, &body, sizeof(body));
    actor_timer_cancel(&t->actor, &t->deadline);
    lane_close(&t->actor, &t->store);
    actor_end(&t->actor);
}

/* ---- in the store ---- */

static void store(struct tool *t, struct slice call)
{
    struct builder b = text_builder(&t->actor);
    int err;

    builder_str(&b, t->key);
    builder_u8(&b, 0);
    builder_str(&b, t->name);
    builder_u8(&b, 0);
    builder_str(&b, world_of(&t->actor)->agents[t->args.agent]->agent->id);
    builder_u8(&b, 0);
    builder_slice_add(&b, call);
    err = lane_open(&t->actor, LANE_STORE, PROGRAM_STORE, NULL, 0, &t->store);
    if (err == 0)
        err = lane_run(&t->actor, &t->store, STORE_TOOL, 0, builder_slice(&b));
    if (err)
        fail(t, -err);
    else
        actor_timer_set(&t->actor, &t->deadline, 0, shard_now(t->actor.shard) + DEADLINE_NS);
}

/* ---- life ---- */

/* False, and answered, when they break the tool's schema. */
static bool arguments_hold(struct tool *t, const struct agent_tool *declared,
                           const struct json_doc *call)
{
    uint8_t text[512];
    struct builder b = builder_of(text, sizeof(text));
    struct json_doc schema = {0};
    char why[JSON_SCHEMA_WHY_BYTES];
    struct slice parameters = slice_str(declared->parameters);
    struct jsonw w;
    int err = json_read(&schema, parameters, parameters.len, NULL);

    if (!err)
        err = json_schema_check(&schema, call, "arguments", why, sizeof(why));
    else
        snprintf(why, sizeof(why), "The tool failed.");
    json_free(&schema);
    if (!err)
        return true;
    metrics_add(METRIC_TOOLS_REFUSED, 1);
    log_warn("tool", NULL, "%s was not called: %s", t->name, why);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_bool(&w, "ok", false);
    jsonw_put_cstr(&w, "error", why);
    jsonw_end(&w);
    answer(t, EINVAL, builder_slice(&b));
    return false;
}

static void begin(struct tool *t, const struct json_doc *call, struct slice text)
{
    const struct agent *agent = world_of(&t->actor)->agents[t->args.agent]->agent;
    const struct agent_tool *declared = agent_tool_find(agent, slice_str(t->name));

    if (!declared)
        store(t, text);
    else if (!declared->parameters || arguments_hold(t, declared, call))
        ask(t, declared, call);
}

static void start(struct tool *t, const struct msg *m)
{
    struct slice text = text_of(&t->actor, m);
    struct json_doc call = {0};
    int err;

    t->args = *msg_body(m, tool_start_msg);
    snprintf(t->key, sizeof(t->key), "%s.%u.%u", t->args.call_id, t->args.epoch, t->args.tool_id);
    err = json_read(&call, text, text.len, NULL);
    if (err == 0)
        err = json_text_of(&call, "name", t->name, sizeof(t->name));
    write_effect(t, false, text);
    if (err)
        fail(t, EINVAL);
    else
        begin(t, &call, text);
    json_free(&call);
}
static void tool_handle(struct actor *a, const struct msg *m)
{
    struct tool *t = container_of(a, struct tool, actor);

    switch (m->type) {
    case MSG_START:
        start(t, m);
        break;
    case MSG_STOP:
        stop(t);
        break;
    case NET_STATUS:
    case NET_CHUNK:
    case NET_END:
    case NET_FAILED:
        on_net(t, m);
        break;
    case MSG_LANE_EMIT:
        load(t, text_of(a, m));
        break;
    case MSG_LANE_DONE:
        if (msg_body(m, lane_msg)->err)
            fail(t, -msg_body(m, lane_msg)->err);
        else
            answer(t, 0, slice_of(t->result, t->result_len));
        break;
    case MSG_TIMER:
        fail(t, ETIMEDOUT);
        break;
    default:
        break;
    }
}

const struct actor_type tool_type = {
    .name = "tool", .size_bytes = sizeof(struct tool), .handle = tool_handle};
