/* One tool call of one turn: writes the intent into the journal, has the store lane do it exactly
 * once under its idempotency key, writes the result, and reports it. Child of the call; it outlives
 * an interruption, since a result always enters the conversation. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/json.h"
#include "store/record.h"

#define DEADLINE_NS SECONDS(4)

struct tool {
    struct actor actor;
    struct tool_start_msg args;
    struct lane_session store;
    struct actor_timer deadline;
    bool answered;
    char key[64];
    char name[NAME_MAX_BYTES + 1];
    uint32_t result_len;
    uint8_t result[1024];
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

static void start(struct tool *t, const struct msg *m)
{
    struct slice text = text_of(&t->actor, m), arguments;
    struct json_doc doc = {0};
    struct builder b = text_builder(&t->actor);
    int err;

    t->args = *msg_body(m, tool_start_msg);
    snprintf(t->key, sizeof(t->key), "%s.%u.%u", t->args.call_id, t->args.epoch, t->args.tool_id);
    err = json_read(&doc, text, text.len, NULL);
    if (err == 0)
        err = json_text_of(&doc, "name", t->name, sizeof(t->name));
    json_free(&doc);
    arguments = text;
    write_effect(t, false, arguments);
    if (err) {
        fail(t, EINVAL);
        return;
    }
    builder_str(&b, t->key);
    builder_u8(&b, 0);
    builder_str(&b, t->name);
    builder_u8(&b, 0);
    builder_str(&b, world_of(&t->actor)->agents[t->args.agent]->agent->id);
    builder_u8(&b, 0);
    builder_slice_add(&b, arguments);
    err = lane_open(&t->actor, LANE_STORE, PROGRAM_STORE, NULL, 0, &t->store);
    if (err == 0)
        err = lane_run(&t->actor, &t->store, STORE_TOOL, 0, builder_slice(&b));
    if (err) {
        fail(t, -err);
        return;
    }
    actor_timer_set(&t->actor, &t->deadline, 0, shard_now(t->actor.shard) + DEADLINE_NS);
}

static void on_emit(struct tool *t, const struct msg *m)
{
    struct slice text = text_of(&t->actor, m);

    if (text.len > sizeof(t->result) - t->result_len)
        text.len = sizeof(t->result) - t->result_len;
    memcpy(t->result + t->result_len, text.at, text.len);
    t->result_len += (uint32_t)text.len;
}

static void tool_handle(struct actor *a, const struct msg *m)
{
    struct tool *t = container_of(a, struct tool, actor);

    switch (m->type) {
    case MSG_START:
        start(t, m);
        break;
    case MSG_STOP:
        actor_timer_cancel(a, &t->deadline);
        lane_close(a, &t->store);
        actor_end(a);
        break;
    case MSG_LANE_EMIT:
        on_emit(t, m);
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
