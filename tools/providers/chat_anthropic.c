/* Anthropic's Messages: named server-sent events or a whole message, with tool use. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/providers/answering.h"
#include "tools/providers/service.h"

#define EVENT_BYTES 32768

/* One request, while it is being answered; nothing outlives begin(). */
struct exchange {
    struct peer *peer;
    struct json_doc doc;
    struct answer *answer;
    struct answering pace;
    char model[128];
    bool cut;
    int64_t input_tokens;
    uint8_t *store;
    struct builder b;
    struct jsonw w;
};

static const char *stop_reason(const struct exchange *x)
{
    if (x->cut)
        return "max_tokens";
    for (size_t i = 0; i < x->answer->count; i++)
        if (x->answer->parts[i].tool.len)
            return "tool_use";
    return "end_turn";
}

/* `event: NAME` and the head of its data. */
static struct jsonw *event_begin(struct exchange *x, const char *name)
{
    x->b = builder_of(x->store, EVENT_BYTES);
    builder_printf(&x->b, "event: %s\ndata: ", name);
    jsonw_init(&x->w, &x->b);
    jsonw_begin(&x->w);
    jsonw_put_cstr(&x->w, "type", name);
    return &x->w;
}

static void event_end(struct exchange *x)
{
    jsonw_end(&x->w);
    builder_str(&x->b, "\n\n");
    peer_piece(x->peer, x->pace.due_ns, builder_slice(&x->b));
}

static void put_usage(struct exchange *x, struct jsonw *w, int64_t output)
{
    jsonw_key(w, "usage");
    jsonw_begin(w);
    jsonw_put_int(w, "input_tokens", x->input_tokens);
    jsonw_put_int(w, "cache_creation_input_tokens", 0);
    jsonw_put_int(w, "cache_read_input_tokens", 0);
    jsonw_put_int(w, "output_tokens", output);
    jsonw_put_cstr(w, "service_tier", "standard");
    jsonw_end(w);
}

/* The message up to its content, which the caller writes as a list. */
static void put_message(struct exchange *x, struct jsonw *w)
{
    char id[64];

    snprintf(id, sizeof(id), "msg_%s", x->peer->request_id + 4);
    jsonw_put_cstr(w, "id", id);
    jsonw_put_cstr(w, "role", "assistant");
    jsonw_put_cstr(w, "model", x->model);
    jsonw_key(w, "content");
    jsonw_begin_list(w);
}

static void put_stop(struct exchange *x, struct jsonw *w, bool known)
{
    jsonw_key(w, "stop_reason");
    jsonw_cstr(w, known ? stop_reason(x) : NULL);
    jsonw_key(w, "stop_sequence");
    jsonw_null(w);
}

static void put_tool(struct exchange *x, struct jsonw *w, const struct answer_part *part,
                     size_t index, struct slice input)
{
    char id[64];

    snprintf(id, sizeof(id), "toolu_%s_%zu", x->peer->request_id + 4, index);
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "tool_use");
    jsonw_put_cstr(w, "id", id);
    jsonw_put_str(w, "name", part->tool);
    jsonw_key(w, "input");
    jsonw_raw(w, input);
    jsonw_end(w);
}

static void put_text(struct jsonw *w, struct slice text)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "text");
    jsonw_put_str(w, "text", text);
    jsonw_end(w);
}

/* ---- streamed ---- */

static void delta(struct exchange *x, size_t index, const char *type, const char *key,
                  struct slice text)
{
    struct jsonw *w = event_begin(x, "content_block_delta");

    jsonw_put_int(w, "index", (int64_t)index);
    jsonw_key(w, "delta");
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", type);
    jsonw_put_str(w, key, text);
    jsonw_end(w);
    event_end(x);
}

static void block_begin(struct exchange *x, size_t index)
{
    const struct answer_part *part = &x->answer->parts[index];
    struct jsonw *w = event_begin(x, "content_block_start");

    jsonw_put_int(w, "index", (int64_t)index);
    jsonw_key(w, "content_block");
    if (part->tool.len)
        put_tool(x, w, part, index, SLICE("{}"));
    else
        put_text(w, SLICE(""));
    event_end(x);
}

static void block_stream(struct exchange *x, size_t index)
{
    const struct answer_part *part = &x->answer->parts[index];
    bool tool = part->tool.len;
    struct slice rest = tool ? part->arguments : part->text;

    block_begin(x, index);
    if (index == 0) {
        event_begin(x, "ping");
        event_end(x);
    }
    if (tool)
        delta(x, index, "input_json_delta", "partial_json", SLICE(""));
    while (rest.len) {
        struct slice piece = tool ? answering_piece(&rest) : token_next(&rest);
        x->cut = !answering_token(&x->pace);
        if (x->cut)
            break;
        delta(x, index, tool ? "input_json_delta" : "text_delta", tool ? "partial_json" : "text",
              piece);
    }
    jsonw_put_int(event_begin(x, "content_block_stop"), "index", (int64_t)index);
    event_end(x);
}

static void answer_streamed(struct exchange *x)
{
    struct jsonw *w;

    peer_stream(x->peer, x->pace.due_ns, "text/event-stream; charset=utf-8", "");
    w = event_begin(x, "message_start");
    jsonw_key(w, "message");
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "message");
    put_message(x, w);
    jsonw_end(w);
    put_stop(x, w, false);
    put_usage(x, w, 1);
    jsonw_end(w);
    event_end(x);
    for (size_t i = 0; i < x->answer->count && !x->cut; i++)
        block_stream(x, i);
    w = event_begin(x, "message_delta");
    jsonw_key(w, "delta");
    jsonw_begin(w);
    put_stop(x, w, true);
    jsonw_end(w);
    put_usage(x, w, x->pace.tokens);
    event_end(x);
    event_begin(x, "message_stop");
    event_end(x);
    peer_finish(x->peer, x->pace.due_ns);
}

/* ---- whole ---- */

/* A text up to the limit of tokens. */
static struct slice text_within(struct exchange *x, struct slice text)
{
    struct slice rest = text;

    while (rest.len && !x->cut) {
        struct slice before = rest;
        token_next(&rest);
        x->cut = !answering_token(&x->pace);
        if (x->cut)
            rest = before;
    }
    return slice_of(text.at, text.len - rest.len);
}

static void answer_whole(struct exchange *x)
{
    struct builder b = builder_of(x->store, EVENT_BYTES);
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "type", "message");
    put_message(x, &w);
    for (size_t i = 0; i < x->answer->count && !x->cut; i++) {
        const struct answer_part *part = &x->answer->parts[i];
        if (part->tool.len && answering_token(&x->pace))
            put_tool(x, &w, part, i, part->arguments);
        else
            put_text(&w, text_within(x, part->text));
    }
    jsonw_end(&w);
    put_stop(x, &w, true);
    put_usage(x, &w, x->pace.tokens);
    jsonw_end(&w);
    peer_answer(x->peer, x->pace.due_ns, 200, "application/json", "", builder_slice(&b));
}

/* ---- the request ---- */

/* What is wrong with it, or NULL. */
static const char *request_wrong(struct exchange *x)
{
    const struct json_doc *doc = &x->doc;
    int64_t most;

    if (request_header(&x->peer->request, "anthropic-version").len == 0)
        return "anthropic-version: header is required";
    if (json_text_of(doc, "model", x->model, sizeof(x->model)) < 0)
        return "model: Field required";
    if (json_int_of(doc, "max_tokens", 1, INT32_MAX, &most) < 0)
        return "max_tokens: Field required";
    if (json_kind_of(doc, "messages") != JSON_KIND_LIST || json_count_of(doc, "messages") == 0)
        return "messages: at least one message is required";
    if (!json_is(doc, "messages.0.role", "user"))
        return "messages: first message must use the \"user\" role";
    for (size_t i = 0; i < json_count_of(doc, "messages"); i++) {
        char path[64];
        snprintf(path, sizeof(path), "messages.%zu.role", i);
        if (!json_is(doc, path, "user") && !json_is(doc, path, "assistant"))
            return "messages: roles are \"user\" and \"assistant\"";
        snprintf(path, sizeof(path), "messages.%zu.content", i);
        if (json_kind_of(doc, path) == JSON_KIND_TEXT && json_slice_of(doc, path).len == 0)
            return "messages: text content blocks must be non-empty";
    }
    return NULL;
}

static void exchange_answer(struct exchange *x)
{
    static uint8_t last[ANSWERING_TEXT_MAX];
    struct builder b = builder_of(last, sizeof(last));
    int64_t most = INT32_MAX;
    bool stream = false;
    char path[64];

    (void)!json_int_of(&x->doc, "max_tokens", 1, INT32_MAX, &most);
    (void)!json_bool_of(&x->doc, "stream", &stream);
    snprintf(path, sizeof(path), "messages.%zu.content", json_count_of(&x->doc, "messages") - 1);
    answering_content(&x->doc, path, &b);
    answering_choose(x->peer, builder_slice(&b), x->answer);
    x->pace = answering_begin(x->peer, most);
    x->input_tokens = (int64_t)x->peer->request.body.len / 4;
    if (stream)
        answer_streamed(x);
    else
        answer_whole(x);
}

static void begin(struct peer *p)
{
    struct exchange x = {.peer = p};

    if (json_read(&x.doc, p->request.body, ANSWERING_BODY_MAX, NULL) < 0) {
        peer_refuse(p, peer_now(p), 400, "the request body is not valid JSON");
        return;
    }
    const char *wrong = request_wrong(&x);
    x.answer = malloc(sizeof(*x.answer));
    x.store = malloc(EVENT_BYTES);
    if (!x.answer || !x.store)
        abort();
    if (wrong)
        peer_refuse(p, peer_now(p), 400, wrong);
    else
        exchange_answer(&x);
    free(x.answer);
    free(x.store);
    json_free(&x.doc);
}

static const char *error_type(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *type;
    } known[] = {
        {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"},
        {413, "request_too_large"},    {429, "rate_limit_error"}, {504, "timeout_error"},
        {529, "overloaded_error"},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].status == status)
            return known[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    jsonw_put_cstr(w, "type", "error");
    jsonw_key(w, "error");
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", error_type(status));
    jsonw_put_cstr(w, "message", what);
    jsonw_end(w);
    jsonw_put_cstr(w, "request_id", p->request_id);
}

static void trouble(struct peer *p)
{
    peer_piece(p, peer_now(p),
               SLICE("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                     "\"overloaded_error\",\"message\":\"as told to\"}}\n\n"));
    peer_finish(p, peer_now(p));
}

const struct service service_anthropic_messages = {
    .name = "anthropic.messages",
    .method = "POST",
    .path = "/v1/messages",
    .begin = begin,
    .error_body = error_body,
    .trouble = trouble,
};
