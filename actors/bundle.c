/* Resolves what an agent file names: its providers, what they load and share, its patience. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/world.h"

static const char *const kind_names[] = {
    [PROVIDER_STT] = "stt", [PROVIDER_LLM] = "llm", [PROVIDER_TTS] = "tts"};

static const struct agent_provider *block_of(const struct agent *agent, enum provider_kind kind)
{
    switch (kind) {
    case PROVIDER_STT:
        return &agent->stt;
    case PROVIDER_LLM:
        return &agent->llm;
    case PROVIDER_TTS:
        break;
    }
    return &agent->tts;
}

/* Is `key` one of the space-separated words? */
static bool known_setting(const char *words, const char *key)
{
    struct slice rest = slice_str(words), word;

    while (rest.len) {
        word = slice_cut(rest, ' ', &rest);
        if (slice_equal(word, slice_str(key)))
            return true;
    }
    return false;
}

/* "stt" and "grammar" make "stt.grammar". */
static const char *key_of(enum provider_kind kind, const char *name, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s.%s", kind_names[kind], name);
    return out;
}

/* A provider says "KEY: what", or what is wrong with a file that a setting of its names: either way
 * the agent's file and line are put before it. */
static void place_complaint(const struct bundle *b, enum provider_kind kind, char *why,
                            size_t why_bytes)
{
    const struct setting_list *list = &block_of(b->agent, kind)->settings;
    char said[1024], key[160];
    struct slice what, block = slice_str(kind_names[kind]);

    snprintf(said, sizeof(said), "%s", why);
    struct slice named = slice_cut(slice_str(said), ':', &what);
    if (slice_starts(named, block) && named.len > block.len && named.at[block.len] == '.' &&
        what.len > 1 && slice_cstr(named, key, sizeof(key)) == 0) {
        agent_complain(b->agent, key, why, why_bytes, (const char *)what.at + 1);
        return;
    }
    key_of(kind, "provider", key, sizeof(key));
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i].value[0] && strstr(said, list->at[i].value))
            key_of(kind, list->at[i].key, key, sizeof(key));
    agent_complain(b->agent, key, why, why_bytes, said);
}

static int settings_load(struct bundle *b, enum provider_kind kind, char *why, size_t why_bytes)
{
    const struct setting_list *list = &block_of(b->agent, kind)->settings;
    const struct provider_ops *ops = b->ops[kind];

    b->settings[kind] = calloc(list->count + 1, sizeof(struct provider_setting));
    if (!b->settings[kind])
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++) {
        if (!ops->settings || !known_setting(ops->settings, list->at[i].key)) {
            snprintf(why, why_bytes, "%s:%u: %s.%s: the provider \"%s\" has no such setting",
                     b->agent->file, list->at[i].line, kind_names[kind], list->at[i].key,
                     ops->name);
            return -EINVAL;
        }
        b->settings[kind][i] = (struct provider_setting){list->at[i].key, list->at[i].value};
    }
    return 0;
}

static const char *text_or(const char *text, const char *fallback)
{
    return text && text[0] ? text : fallback;
}

/* What the environment holds for a provider whose key is not in the agent's file: a copy, since it
 * must not change under a running call. */
static const char *key_from_environment(struct bundle *b, enum provider_kind kind)
{
    const char *name = b->ops[kind]->key_env;
    const char *value = name && b->agent->env ? b->agent->env(name) : NULL;

    return value && value[0] ? yaml_doc_text(b->agent->doc, slice_str(value)) : NULL;
}

static int load_provider(struct bundle *b, enum provider_kind kind, const char *share_dir,
                         char *why, size_t why_bytes)
{
    const struct agent_provider *block = block_of(b->agent, kind);
    struct provider_config *config = &b->config[kind];
    char text[160], key[32];
    int err;

    b->ops[kind] = provider_find(kind, block->provider);
    if (!b->ops[kind] || b->ops[kind]->state_bytes > PROVIDER_STATE_MAX) {
        snprintf(text, sizeof(text), "there is no provider \"%s\" here", block->provider);
        agent_complain(b->agent, key_of(kind, "provider", key, sizeof(key)), why, why_bytes, text);
        return -EINVAL;
    }
    err = settings_load(b, kind, why, why_bytes);
    if (err)
        return err;
    *config = (struct provider_config){.agent = b->agent->id,
                                       .language = text_or(block->language, b->agent->language),
                                       .voice = text_or(block->voice, ""),
                                       .model = text_or(block->model, ""),
                                       .prompt = b->agent->prompt,
                                       .greeting = b->agent->greeting,
                                       .env_key = key_from_environment(b, kind),
                                       .data_dir = share_dir,
                                       .folder = b->agent->folder,
                                       .temperature = block->temperature,
                                       .speed = block->speed,
                                       .tools = b->tools,
                                       .tool_count = b->agent->tool_count,
                                       .settings = b->settings[kind],
                                       .setting_count = block->settings.count};
    if (!b->ops[kind]->load)
        return 0;
    err = b->ops[kind]->load(config, &config->loaded, why, why_bytes);
    if (err)
        place_complaint(b, kind, why, why_bytes);
    return err;
}

static int64_t seconds_or_never(int64_t seconds)
{
    return seconds > 0 ? SECONDS(seconds) : NEVER_NS;
}

static struct turn_rules rules_of(const struct agent *agent)
{
    return (struct turn_rules){
        .expected_ns = MS(agent->patience.expected_ms),
        .complete_ns = MS(agent->patience.complete_ms),
        .open_ns = MS(agent->patience.open_ms < agent->patience.max_ms ? agent->patience.open_ms
                                                                       : agent->patience.max_ms),
        .max_ns = SECONDS(30),
        .grace_ns = MS(agent->interruption_grace_ms),
        .evidence_ns = MS(700),
        .resume_ns = MS(300),
        .noise_ns = MS(150),
        .final_ns = SECONDS(4),
        .silence_ns =
            agent->online_check.enabled ? seconds_or_never(agent->online_check.seconds) : NEVER_NS,
        .hang_up_ns = seconds_or_never(agent->user_silence_hangup_seconds),
        .interrupt_words = (uint32_t)agent->interruption_min_words,
        .deaf_at_first = agent->ignore_user_speech_before_greeting};
}

static struct provider_tool *tools_load(const struct agent *agent)
{
    struct provider_tool *tools = calloc(agent->tool_count + 1, sizeof(*tools));

    for (size_t i = 0; tools && i < agent->tool_count; i++)
        tools[i] = (struct provider_tool){.name = agent->tools[i].name,
                                          .description = agent->tools[i].description,
                                          .parameters = agent->tools[i].parameters};
    return tools;
}

int bundle_new(struct agent *agent, const char *share_dir, struct bundle **out, char *why,
               size_t why_bytes)
{
    struct bundle *b = calloc(1, sizeof(*b));

    *out = NULL;
    if (!b)
        return -ENOMEM;
    b->agent = agent;
    b->rules = rules_of(agent);
    b->tools = tools_load(agent);
    if (!b->tools) {
        free(b);
        return -ENOMEM;
    }
    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++) {
        int err = load_provider(b, (enum provider_kind)kind, share_dir, why, why_bytes);
        if (err) {
            b->agent = NULL; /* stays the caller's */
            bundle_free(&b);
            return err;
        }
    }
    *out = b;
    return 0;
}

void bundle_free(struct bundle **bundle)
{
    struct bundle *b = *bundle;

    if (!b)
        return;
    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++) {
        if (b->config[kind].loaded && b->ops[kind]->unload)
            b->ops[kind]->unload(b->config[kind].loaded);
        free(b->settings[kind]);
    }
    free(b->tools);
    agent_put(&b->agent);
    free(b);
    *bundle = NULL;
}
