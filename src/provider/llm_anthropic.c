/* Anthropic's Messages, streamed: named events, content in blocks, tool calls among them. One
 * request per turn with the whole conversation. Formats: Anthropic's SDK, see
 * docs/providers/anthropic.md. */
#include <errno.h>
#include <stdlib.h>

#include "provider/answer.h"

#define OWN_URL    "https://api.anthropic.com"
#define VERSION    "2023-06-01"
#define MAX_TOKENS 1024 /* unless the agent says otherwise: the service wants to be told */

extern const struct provider_ops llm_anthropic;

/* ---- the stream ---- */

static int64_t block_of(const struct json_doc *doc)
{
    int64_t index;

    return json_int_of(doc, "index", 0, 1000, &index) == 0 ? index : 0;
}

static void block_begins(struct answer *a, const struct json_doc *doc, struct intents *out)
{
    struct answer_call *call;

    answer_text(a, json_slice_of(doc, "content_block.text"), out);
    if (!json_is(doc, "content_block.type", "tool_use"))
        return;
    call = answer_call_of(a, block_of(doc));
    if (!call) {
        answer_give_up(a, E2BIG, false, "the model calls more tools than fit", out);
        return;
    }
    if (json_text_of(doc, "content_block.id", call->id, sizeof(call->id)) ||
        json_text_of(doc, "content_block.name", call->name, sizeof(call->name)))
        answer_give_up(a, EPROTO, false, "the model calls a tool without a name", out);
}

static void block_grows(struct answer *a, const struct json_doc *doc, struct intents *out)
{
    struct slice json = json_slice_of(doc, "delta.partial_json");
    struct answer_call *call;

    answer_text(a, json_slice_of(doc, "delta.text"), out);
    if (!json_is(doc, "delta.type", "input_json_delta"))
        return;
    call = answer_call_of(a, block_of(doc));
    if (!call || !answer_arguments(a, call, json))
        answer_give_up(a, E2BIG, false, "the arguments of a tool are too long", out);
}

/* Events that are not known here may come at any time. */
static void take_event(struct answer *a, const struct sse_event *ev, struct intents *out)
{
    struct json_doc doc;

    if (json_read(&doc, ev->data, ANSWER_EVENT_BYTES, NULL)) {
        answer_give_up(a, EPROTO, false, "the model's stream is no JSON", out);
        return;
    }
    if (json_is(&doc, "type", "content_block_start"))
        block_begins(a, &doc, out);
    else if (json_is(&doc, "type", "content_block_delta"))
        block_grows(a, &doc, out);
    else if (json_is(&doc, "type", "message_stop") || json_slice_of(&doc, "delta.stop_reason").len)
        answer_finish(a, out);
    else if (json_is(&doc, "type", "error"))
        answer_stream_error(a, &doc, out);
    json_free(&doc);
}

/* ---- a round of calls, told back ---- */

static void call_put(const struct answer *a, const struct answer_call *call, struct jsonw *w)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "tool_use");
    jsonw_put_cstr(w, "id", call->id);
    jsonw_put_cstr(w, "name", call->name);
    jsonw_key(w, "input");
    jsonw_raw(w, answer_arguments_of(a, call));
    jsonw_end(w);
}

static void message_begin(struct jsonw *w, const char *role, struct builder *out)
{
    builder_u8(out, ',');
    jsonw_init(w, out);
    jsonw_begin(w);
    jsonw_put_cstr(w, "role", role);
    jsonw_key(w, "content");
    jsonw_begin_list(w);
}

/* An empty block of text is refused. */
static void exchange(const struct answer *a, struct builder *out)
{
    struct jsonw w;

    message_begin(&w, "assistant", out);
    if (a->said_len) {
        jsonw_begin(&w);
        jsonw_put_cstr(&w, "type", "text");
        jsonw_put_str(&w, "text", slice_of(a->said, a->said_len));
        jsonw_end(&w);
    }
    for (uint32_t i = 0; i < a->call_count; i++)
        call_put(a, &a->calls[i], &w);
    jsonw_end(&w);
    jsonw_end(&w);
    message_begin(&w, "user", out);
    for (uint32_t i = 0; i < a->call_count; i++) {
        jsonw_begin(&w);
        jsonw_put_cstr(&w, "type", "tool_result");
        jsonw_put_cstr(&w, "tool_use_id", a->calls[i].id);
        jsonw_put_str(&w, "content", answer_result_of(&a->calls[i]));
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
}

static const struct answer_dialect dialect = {
    .system_is_message = false, .event = take_event, .exchange = exchange};

static void anthropic_step(void *state, const struct provider_input *in, int64_t now_ns,
                           struct intents *out)
{
    answer_step(state, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

static void tool_put(struct jsonw *w, const struct provider_tool *tool)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "name", tool->name);
    jsonw_put_cstr(w, "description", tool->description);
    jsonw_key(w, "input_schema");
    jsonw_raw(w, tool->parameters ? slice_str(tool->parameters)
                                  : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    jsonw_end(w);
}

static void begin_put(struct cloud *c, struct builder *begin)
{
    double temperature = c->config->temperature;
    struct jsonw w;

    jsonw_init(&w, begin);
    jsonw_begin(&w);
    jsonw_put_str(&w, "model", cloud_model(c, ""));
    jsonw_put_int(&w, "max_tokens", cloud_whole(c, "max_tokens", MAX_TOKENS, 1, 1000000));
    jsonw_put_bool(&w, "stream", true);
    jsonw_key(&w, "temperature");
    jsonw_double(&w, temperature < 1 ? temperature : 1, 2); /* the service's scale ends there */
    answer_load_tools(c, &w, tool_put);
}

static int anthropic_load(const struct provider_config *config, const void **loaded, char *why,
                          size_t why_bytes)
{
    struct cloud c = cloud_begin(&llm_anthropic, config, why, why_bytes);
    struct answer_loaded *l = calloc(1, sizeof(*l));
    bool is_own;

    if (!l)
        abort();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    struct builder begin = builder_of(l->begin, sizeof(l->begin));
    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "https http", &is_own));
    builder_str(&url, "/v1/messages");
    struct slice key = cloud_key(&c, is_own);
    web_header(&head, "Content-Type", SLICE("application/json"));
    web_header(&head, "Accept", SLICE("text/event-stream"));
    web_header(&head, "anthropic-version", SLICE(VERSION));
    if (key.len)
        web_header(&head, "x-api-key", key);
    begin_put(&c, &begin);
    answer_load_end(&c, &dialect, l, &begin);
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops llm_anthropic = {
    .name = "anthropic",
    .kind = PROVIDER_LLM,
    .summary = "Anthropic's Messages",
    .settings = "api_key base_url max_tokens end_call first_token_ms idle_ms",
    .state_bytes = sizeof(struct answer),
    .key_env = "ANTHROPIC_API_KEY",
    .load = anthropic_load,
    .unload = cloud_unload,
    .step = anthropic_step,
    .deadline = answer_deadline,
};
