#include "actors/platform/api_inner.h"

#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

struct jsonw answer_begin(struct api *api, struct builder *b)
{
    struct jsonw w;

    *b = builder_of(api->answer, sizeof(api->answer));
    jsonw_init(&w, b);
    return w;
}

void answer_fail(struct api *api, uint64_t request, uint16_t status, const char *code,
                 const char *message, const char *field)
{
    http_server_fail(api_world(api)->server, request, status, code, message, field);
}

bool answer_json(struct api *api, uint64_t request, uint16_t status, struct slice json)
{
    return http_server_reply(
        api_world(api)->server, request,
        &(struct http_answer){.status = status, .content_type = "application/json", .body = json});
}

bool answer_send(struct api *api, uint64_t request, uint16_t status, const struct jsonw *w)
{
    if (jsonw_finish(w) == 0)
        return answer_json(api, request, status, builder_slice(w->out));
    answer_fail(api, request, 500, "internal", "the answer is too long", NULL);
    return true;
}

/* ---- ops ---- */

uint32_t op_cookie(const struct api *api, const struct op *op)
{
    return op->generation << 8 | (uint32_t)(op - api->ops);
}

struct op *op_find(struct api *api, uint32_t cookie)
{
    struct op *op = &api->ops[cookie & 0xFF];

    if ((cookie & 0xFF) >= OPS_MAX || !op->request || op_cookie(api, op) != cookie)
        return NULL;
    return op;
}

void op_free(struct api *api, struct op *op)
{
    actor_timer_cancel(&api->actor, &op->deadline);
    free(op->text);
    op->text = NULL;
    op->len = op->size = 0;
    op->request = 0;
}

struct op *op_new(struct api *api, const struct http_ask *ask, int64_t time_ns)
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
        op->carrier = NULL;
        memset(op->shards, 0, sizeof(op->shards));
        actor_timer_set(&api->actor, &op->deadline, op_cookie(api, op), op->began_ns + time_ns);
        return op;
    }
    answer_fail(api, ask->id, 503, "busy", "too many requests wait for their answers", NULL);
    return NULL;
}

bool text_load(struct op *op, const void *at, size_t len)
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

bool frames_load(struct api *api, struct op *op, frame_ref ref)
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
