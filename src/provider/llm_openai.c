/* OpenAI's chat completions, streamed, and every server that speaks them: Groq, vLLM, llama.cpp,
 * Ollama. One request per turn with the whole conversation; tool calls are gathered from their
 * fragments. Formats: OpenAI's SDK and API description, see docs/providers/openai-llm.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "provider/answer.h"

#define OWN_URL            "https://api.openai.com/v1"
#define OWN_MODEL          "gpt-4o-mini"
#define FRAGMENTS_MAX      16 /* of tool calls in one event: more are not read */
#define PATH               "choices.0.delta."
#define WHOLE_MESSAGE_KEYS INT64_C(1000000) /* keys of calls that have no index */

extern const struct provider_ops llm_openai;

/* ---- the stream ---- */

static void take_text(struct answer *a, const struct json_doc *doc, const char *path,
                      struct intents *out)
{
    answer_text(a, json_slice_of(doc, path), out);
}

static struct slice member(const struct json_doc *doc, size_t i, const char *name)
{
    char path[80];

    snprintf(path, sizeof(path), PATH "tool_calls.%zu.%s", i, name);
    return json_slice_of(doc, path);
}

/* Servers that leave the index out send whole calls: each id is a new one. */
static int64_t key_of(const struct answer *a, const struct json_doc *doc, size_t i)
{
    char path[80];
    int64_t key;

    snprintf(path, sizeof(path), PATH "tool_calls.%zu.index", i);
    if (json_int_of(doc, path, 0, 1000, &key) == 0)
        return key;
    struct slice id = member(doc, i, "id");
    bool same =
        a->call_count && id.len && slice_equal(id, slice_str(a->calls[a->call_count - 1].id));
    bool more = a->call_count && !id.len && !member(doc, i, "function.name").len;
    if (same || more)
        return a->calls[a->call_count - 1].key;
    return WHOLE_MESSAGE_KEYS + a->call_count;
}

static void take_fragment(struct answer *a, const struct json_doc *doc, size_t i,
                          struct intents *out)
{
    struct answer_call *call = answer_call_of(a, key_of(a, doc, i));
    struct slice id = member(doc, i, "id"), name = member(doc, i, "function.name");

    if (!call || !answer_arguments(a, call, member(doc, i, "function.arguments"))) {
        answer_give_up(a, E2BIG, false, "the model calls more tools than fit", out);
        return;
    }
    if (id.len && id.len < sizeof(call->id) && slice_is_utf8(id))
        slice_cstr(id, call->id, sizeof(call->id));
    if (name.len && !call->name[0])
        slice_cstr(name, call->name, sizeof(call->name));
}

static void take_delta(struct answer *a, const struct json_doc *doc, struct intents *out)
{
    size_t count = json_count_of(doc, PATH "tool_calls");

    take_text(a, doc, PATH "content", out);
    take_text(a, doc, PATH "refusal", out);
    for (size_t i = 0; i < count && i < FRAGMENTS_MAX && a->phase == ANSWER_STREAMING; i++)
        take_fragment(a, doc, i, out);
    if (json_slice_of(doc, "choices.0.finish_reason").len)
        answer_finish(a, out);
}

static void take_event(struct answer *a, const struct sse_event *ev, struct intents *out)
{
    struct json_doc doc;

    if (slice_equal(slice_trim(ev->data), SLICE("[DONE]"))) {
        answer_finish(a, out);
        return;
    }
    if (json_read(&doc, ev->data, ANSWER_EVENT_BYTES, NULL)) {
        answer_give_up(a, EPROTO, false, "the model's stream is no JSON", out);
        return;
    }
    enum json_kind error = json_kind_of(&doc, "error");
    if (error != JSON_KIND_NONE && error != JSON_KIND_NULL)
        answer_stream_error(a, &doc, out);
    else
        take_delta(a, &doc, out);
    json_free(&doc);
}

/* ---- a round of calls, told back ---- */

static void call_put(const struct answer *a, const struct answer_call *call, struct jsonw *w)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "id", call->id);
    jsonw_put_cstr(w, "type", "function");
    jsonw_key(w, "function");
    jsonw_begin(w);
    jsonw_put_cstr(w, "name", call->name);
    jsonw_put_str(w, "arguments", answer_arguments_of(a, call));
    jsonw_end(w);
    jsonw_end(w);
}

static void result_put(const struct answer_call *call, struct builder *out)
{
    struct jsonw w;

    builder_u8(out, ',');
    jsonw_init(&w, out);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "role", "tool");
    jsonw_put_cstr(&w, "tool_call_id", call->id);
    jsonw_put_str(&w, "content", answer_result_of(call));
    jsonw_end(&w);
}

static void exchange(const struct answer *a, struct builder *out)
{
    struct jsonw w;

    builder_u8(out, ',');
    jsonw_init(&w, out);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "role", "assistant");
    jsonw_put_str(&w, "content", slice_of(a->said, a->said_len));
    jsonw_key(&w, "tool_calls");
    jsonw_begin_list(&w);
    for (uint32_t i = 0; i < a->call_count; i++)
        call_put(a, &a->calls[i], &w);
    jsonw_end(&w);
    jsonw_end(&w);
    for (uint32_t i = 0; i < a->call_count; i++)
        result_put(&a->calls[i], out);
}

static const struct answer_dialect dialect = {
    .system_is_message = true, .event = take_event, .exchange = exchange};

static void openai_step(void *state, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    answer_step(state, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

static void tool_put(struct jsonw *w, const struct provider_tool *tool)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "function");
    jsonw_key(w, "function");
    jsonw_begin(w);
    jsonw_put_cstr(w, "name", tool->name);
    jsonw_put_cstr(w, "description", tool->description);
    jsonw_key(w, "parameters");
    jsonw_raw(w, tool->parameters ? slice_str(tool->parameters)
                                  : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    jsonw_end(w);
    jsonw_end(w);
}

/* Models that think take no temperature; newer ones of OpenAI's own know another word for the
 * length, which other servers may not. */
static void begin_put(struct cloud *c, bool is_own, struct builder *begin)
{
    struct slice effort = cloud_text(c, "reasoning_effort", "");
    int64_t most = cloud_whole(c, "max_tokens", 0, 1, 1000000);
    struct jsonw w;

    jsonw_init(&w, begin);
    jsonw_begin(&w);
    jsonw_put_str(&w, "model", cloud_model(c, is_own ? OWN_MODEL : ""));
    jsonw_put_bool(&w, "stream", true);
    if (effort.len) {
        jsonw_put_str(&w, "reasoning_effort", effort);
    } else {
        jsonw_key(&w, "temperature");
        jsonw_double(&w, c->config->temperature, 2);
    }
    if (most)
        jsonw_put_int(&w, is_own ? "max_completion_tokens" : "max_tokens", most);
    answer_load_tools(c, &w, tool_put);
}

static void head_put(struct cloud *c, bool is_own, struct builder *head)
{
    struct slice key = cloud_key(c, is_own);

    web_header(head, "Content-Type", SLICE("application/json"));
    web_header(head, "Accept", SLICE("text/event-stream"));
    if (key.len)
        web_header_word(head, "Authorization", "Bearer", key);
    if (provider_setting(c->config, "organization", NULL))
        web_header(head, "OpenAI-Organization", cloud_text(c, "organization", ""));
    if (provider_setting(c->config, "project", NULL))
        web_header(head, "OpenAI-Project", cloud_text(c, "project", ""));
    if (head->bad)
        cloud_complain(c, "organization", "is too long, with the project and the key");
}

static int openai_load(const struct provider_config *config, const void **loaded, char *why,
                       size_t why_bytes)
{
    struct cloud c = cloud_begin(&llm_openai, config, why, why_bytes);
    struct answer_loaded *l = calloc(1, sizeof(*l));
    bool is_own;

    if (!l)
        abort();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    struct builder begin = builder_of(l->begin, sizeof(l->begin));
    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "https http", &is_own));
    builder_str(&url, "/chat/completions");
    head_put(&c, is_own, &head);
    begin_put(&c, is_own, &begin);
    answer_load_end(&c, &dialect, l, &begin);
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops llm_openai = {
    .name = "openai",
    .kind = PROVIDER_LLM,
    .summary = "OpenAI's chat completions, and every server that speaks them",
    .settings = "api_key base_url max_tokens reasoning_effort end_call first_token_ms idle_ms "
                "organization project",
    .state_bytes = sizeof(struct answer),
    .key_env = "OPENAI_API_KEY",
    .load = openai_load,
    .unload = cloud_unload,
    .step = openai_step,
    .deadline = answer_deadline,
};
