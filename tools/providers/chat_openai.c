/* OpenAI's chat completions, streamed as server-sent events or whole, with tool calls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/providers/answering.h"
#include "tools/providers/service.h"

#define EVENT_BYTES 32768

/* One request, while it is being answered; nothing outlives begin(). */
struct chat {
    struct peer *peer;
    struct json_doc doc;
    struct answer *answer;
    struct answering pace;
    char model[128];
    bool stream, usage;
    bool cut; /* by the limit of tokens */
    int64_t prompt_tokens;
    int64_t created;
    uint8_t *store;
};

static const char *finish_reason(const struct chat *c)
{
    if (c->cut)
        return "length";
    for (size_t i = 0; i < c->answer->count; i++)
        if (c->answer->parts[i].tool.len)
            return "tool_calls";
    return "stop";
}

static void put_usage(struct chat *c, struct jsonw *w)
{
    jsonw_key(w, "usage");
    jsonw_begin(w);
    jsonw_put_int(w, "prompt_tokens", c->prompt_tokens);
    jsonw_put_int(w, "completion_tokens", c->pace.tokens);
    jsonw_put_int(w, "total_tokens", c->prompt_tokens + c->pace.tokens);
    jsonw_key(w, "prompt_tokens_details");
    jsonw_begin(w);
    jsonw_put_int(w, "cached_tokens", 0);
    jsonw_end(w);
    jsonw_end(w);
}

static void put_call_id(const struct chat *c, struct jsonw *w, size_t index)
{
    char id[64];

    snprintf(id, sizeof(id), "call_%s_%zu", c->peer->request_id + 4, index);
    jsonw_put_cstr(w, "id", id);
}

static void put_head(struct chat *c, struct jsonw *w, const char *object)
{
    char id[64];

    snprintf(id, sizeof(id), "chatcmpl-%s", c->peer->request_id + 4);
    jsonw_begin(w);
    jsonw_put_cstr(w, "id", id);
    jsonw_put_cstr(w, "object", object);
    jsonw_put_int(w, "created", c->created);
    jsonw_put_cstr(w, "model", c->model);
    jsonw_put_cstr(w, "service_tier", "default");
    jsonw_key(w, "system_fingerprint");
    jsonw_null(w);
}

/* ---- streamed ---- */

/* Opens a chunk up to its delta; chunk_end() closes it. */
static void chunk_begin(struct chat *c, struct builder *b, struct jsonw *w)
{
    *b = builder_of(c->store, EVENT_BYTES);
    builder_str(b, "data: ");
    jsonw_init(w, b);
    put_head(c, w, "chat.completion.chunk");
    jsonw_key(w, "choices");
    jsonw_begin_list(w);
    jsonw_begin(w);
    jsonw_put_int(w, "index", 0);
    jsonw_key(w, "delta");
    jsonw_begin(w);
}

static void chunk_end(struct chat *c, struct builder *b, struct jsonw *w, const char *reason)
{
    jsonw_end(w);
    jsonw_key(w, "logprobs");
    jsonw_null(w);
    jsonw_key(w, "finish_reason");
    jsonw_cstr(w, reason);
    jsonw_end(w);
    jsonw_end(w);
    if (c->usage) {
        jsonw_key(w, "usage");
        jsonw_null(w);
    }
    jsonw_end(w);
    builder_str(b, "\n\n");
    peer_piece(c->peer, c->pace.due_ns, builder_slice(b));
}

static void stream_text(struct chat *c, struct slice text)
{
    struct builder b;
    struct jsonw w;

    for (struct slice rest = text, token = token_next(&rest); token.len;
         token = token_next(&rest)) {
        c->cut = !answering_token(&c->pace);
        if (c->cut)
            return;
        chunk_begin(c, &b, &w);
        jsonw_put_str(&w, "content", token);
        chunk_end(c, &b, &w, NULL);
    }
}

static void stream_call_part(struct chat *c, size_t index, const struct answer_part *part,
                             struct slice arguments)
{
    struct builder b;
    struct jsonw w;

    chunk_begin(c, &b, &w);
    jsonw_key(&w, "tool_calls");
    jsonw_begin_list(&w);
    jsonw_begin(&w);
    jsonw_put_int(&w, "index", (int64_t)index);
    if (part) {
        put_call_id(c, &w, index);
        jsonw_put_cstr(&w, "type", "function");
    }
    jsonw_key(&w, "function");
    jsonw_begin(&w);
    if (part)
        jsonw_put_str(&w, "name", part->tool);
    jsonw_put_str(&w, "arguments", arguments);
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    chunk_end(c, &b, &w, NULL);
}

static void stream_call(struct chat *c, size_t index, const struct answer_part *part)
{
    struct slice rest = part->arguments;

    c->cut = !answering_token(&c->pace);
    if (c->cut)
        return;
    stream_call_part(c, index, part, SLICE(""));
    while (rest.len) {
        c->cut = !answering_token(&c->pace);
        if (c->cut)
            return;
        stream_call_part(c, index, NULL, answering_piece(&rest));
    }
}

static void stream_usage(struct chat *c)
{
    struct builder b = builder_of(c->store, EVENT_BYTES);
    struct jsonw w;

    builder_str(&b, "data: ");
    jsonw_init(&w, &b);
    put_head(c, &w, "chat.completion.chunk");
    jsonw_key(&w, "choices");
    jsonw_begin_list(&w);
    jsonw_end(&w);
    put_usage(c, &w);
    jsonw_end(&w);
    builder_str(&b, "\n\n");
    peer_piece(c->peer, c->pace.due_ns, builder_slice(&b));
}

static void answer_streamed(struct chat *c)
{
    struct builder b;
    struct jsonw w;
    size_t calls = 0;

    peer_stream(c->peer, c->pace.due_ns, "text/event-stream; charset=utf-8", "");
    chunk_begin(c, &b, &w);
    jsonw_put_cstr(&w, "role", "assistant");
    jsonw_put_cstr(&w, "content", "");
    jsonw_key(&w, "refusal");
    jsonw_null(&w);
    chunk_end(c, &b, &w, NULL);
    for (size_t i = 0; i < c->answer->count && !c->cut; i++) {
        const struct answer_part *part = &c->answer->parts[i];
        if (part->tool.len)
            stream_call(c, calls++, part);
        else
            stream_text(c, part->text);
    }
    chunk_begin(c, &b, &w);
    chunk_end(c, &b, &w, finish_reason(c));
    if (c->usage)
        stream_usage(c);
    peer_piece(c->peer, c->pace.due_ns, SLICE("data: [DONE]\n\n"));
    peer_finish(c->peer, c->pace.due_ns);
}

/* ---- whole ---- */

static void put_texts(struct chat *c, struct jsonw *w)
{
    uint8_t *store = malloc(ANSWER_BYTES_MAX);
    struct builder b = builder_of(store, ANSWER_BYTES_MAX);

    if (!store)
        abort();
    for (size_t i = 0; i < c->answer->count && !c->cut; i++) {
        struct slice rest = c->answer->parts[i].text;
        for (struct slice token = token_next(&rest); token.len; token = token_next(&rest)) {
            c->cut = !answering_token(&c->pace);
            if (c->cut)
                break;
            builder_slice_add(&b, token);
        }
    }
    jsonw_key(w, "content");
    if (b.len)
        jsonw_str(w, builder_slice(&b));
    else
        jsonw_null(w);
    free(store);
}

static void put_calls(struct chat *c, struct jsonw *w)
{
    size_t calls = 0;

    for (size_t i = 0; i < c->answer->count; i++) {
        const struct answer_part *part = &c->answer->parts[i];
        if (!part->tool.len)
            continue;
        if (calls == 0) {
            jsonw_key(w, "tool_calls");
            jsonw_begin_list(w);
        }
        (void)answering_token(&c->pace);
        jsonw_begin(w);
        put_call_id(c, w, calls++);
        jsonw_put_cstr(w, "type", "function");
        jsonw_key(w, "function");
        jsonw_begin(w);
        jsonw_put_str(w, "name", part->tool);
        jsonw_put_str(w, "arguments", part->arguments);
        jsonw_end(w);
        jsonw_end(w);
    }
    if (calls)
        jsonw_end(w);
}

static void answer_whole(struct chat *c)
{
    struct builder b = builder_of(c->store, EVENT_BYTES);
    struct jsonw w;

    jsonw_init(&w, &b);
    put_head(c, &w, "chat.completion");
    jsonw_key(&w, "choices");
    jsonw_begin_list(&w);
    jsonw_begin(&w);
    jsonw_put_int(&w, "index", 0);
    jsonw_key(&w, "message");
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "role", "assistant");
    put_texts(c, &w);
    jsonw_key(&w, "refusal");
    jsonw_null(&w);
    put_calls(c, &w);
    jsonw_end(&w);
    jsonw_key(&w, "logprobs");
    jsonw_null(&w);
    jsonw_put_cstr(&w, "finish_reason", finish_reason(c));
    jsonw_end(&w);
    jsonw_end(&w);
    put_usage(c, &w);
    jsonw_end(&w);
    peer_answer(c->peer, c->pace.due_ns, 200, "application/json", "", builder_slice(&b));
}

/* ---- the request ---- */

/* What is wrong with it, or NULL. */
static const char *request_wrong(struct chat *c)
{
    const struct json_doc *doc = &c->doc;

    if (json_text_of(doc, "model", c->model, sizeof(c->model)) < 0)
        return "you must provide a model parameter";
    if (json_kind_of(doc, "messages") != JSON_KIND_LIST || json_count_of(doc, "messages") == 0)
        return "[] is too short - 'messages'";
    for (size_t i = 0; i < json_count_of(doc, "messages"); i++) {
        char path[64], role[16];
        snprintf(path, sizeof(path), "messages.%zu.role", i);
        if (json_text_of(doc, path, role, sizeof(role)) < 0)
            return "every message has a role";
        snprintf(path, sizeof(path), "messages.%zu.tool_call_id", i);
        if (strcmp(role, "tool") == 0 && json_kind_of(doc, path) != JSON_KIND_TEXT)
            return "a message of the role 'tool' has a 'tool_call_id'";
    }
    return NULL;
}

static void last_message(struct chat *c, struct builder *out)
{
    char path[64];

    snprintf(path, sizeof(path), "messages.%zu.content", json_count_of(&c->doc, "messages") - 1);
    answering_content(&c->doc, path, out);
}

static void chat_answer(struct chat *c)
{
    static uint8_t last[ANSWERING_TEXT_MAX];
    struct builder b = builder_of(last, sizeof(last));
    int64_t most = INT32_MAX;

    (void)!json_int_of(&c->doc, "max_tokens", 1, INT32_MAX, &most);
    (void)!json_int_of(&c->doc, "max_completion_tokens", 1, INT32_MAX, &most);
    (void)!json_bool_of(&c->doc, "stream", &c->stream);
    (void)!json_bool_of(&c->doc, "stream_options.include_usage", &c->usage);
    last_message(c, &b);
    answering_choose(c->peer, builder_slice(&b), c->answer);
    c->pace = answering_begin(c->peer, most);
    c->prompt_tokens = (int64_t)c->peer->request.body.len / 4;
    c->created = time(NULL);
    if (!c->stream) {
        answer_whole(c); /* its time is known only behind its tokens, and is then taken */
        return;
    }
    answer_streamed(c);
}

static void begin(struct peer *p)
{
    struct chat c = {.peer = p};

    if (json_read(&c.doc, p->request.body, ANSWERING_BODY_MAX, NULL) < 0) {
        peer_refuse(p, peer_now(p), 400, "the body of your request could not be parsed as JSON");
        return;
    }
    const char *wrong = request_wrong(&c);
    c.answer = malloc(sizeof(*c.answer));
    c.store = malloc(EVENT_BYTES);
    if (!c.answer || !c.store)
        abort();
    if (wrong)
        peer_refuse(p, peer_now(p), 400, wrong);
    else
        chat_answer(&c);
    free(c.answer);
    free(c.store);
    json_free(&c.doc);
}

/* Shared with the audio endpoints, see audio_openai.c. */
static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    (void)p;
    jsonw_key(w, "error");
    jsonw_begin(w);
    jsonw_put_cstr(w, "message", what);
    jsonw_put_cstr(w, "type",
                   status == 429  ? "requests"
                   : status < 500 ? "invalid_request_error"
                                  : "server_error");
    jsonw_key(w, "param");
    jsonw_null(w);
    jsonw_key(w, "code");
    jsonw_cstr(w, status == 401 ? "invalid_api_key" : status == 429 ? "rate_limit_exceeded" : NULL);
    jsonw_end(w);
}

static void trouble(struct peer *p)
{
    peer_piece(p, peer_now(p),
               SLICE("data: {\"error\":{\"message\":\"as told to\",\"type\":\"server_error\","
                     "\"param\":null,\"code\":\"server_error\"}}\n\n"));
    peer_finish(p, peer_now(p));
}

const struct service service_openai_chat = {
    .name = "openai.chat",
    .method = "POST",
    .path = "/v1/chat/completions",
    .begin = begin,
    .error_body = error_body,
    .trouble = trouble,
};
