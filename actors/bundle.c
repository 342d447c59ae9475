/* Resolves what an agent file names: its providers, what they load and share, its patience. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/world.h"
#include "config/complaints.h"
#include "media/resample.h"

/* One provider on its way into the bundle. */
struct loading {
    struct bundle *bundle;
    enum provider_kind kind;
    const struct agent_provider *block; /* what the agent's file says of it */
    struct bundle_provider *into;
    const char *share_dir;
    char *why;
    size_t why_bytes;
};

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

static int complain(const struct loading *l, const char *key, const char *what)
{
    agent_complain_of(l->bundle->agent, provider_kind_name(l->kind), l->block, key, l->why,
                      l->why_bytes, what);
    return -EINVAL;
}

/* A provider says "KEY: what", or what is wrong with a file that a setting of its names: either way
 * the agent's file and line are put before it. */
static void place_complaint(const struct loading *l)
{
    const struct setting_list *list = &l->block->settings;
    char said[1024];
    const char *key = "provider";
    struct slice what, role = slice_str(provider_kind_name(l->kind));

    snprintf(said, sizeof(said), "%s", l->why);
    struct slice named = slice_cut(slice_str(said), ':', &what);
    if (slice_starts(named, role) && named.len > role.len + 1 && named.at[role.len] == '.' &&
        what.len > 1) {
        said[named.len] = '\0';
        complain(l, said + role.len + 1, (const char *)what.at + 1);
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i].value[0] && strstr(said, list->at[i].value))
            key = list->at[i].key;
    complain(l, key, said);
}

static int settings_load(const struct loading *l)
{
    const struct setting_list *list = &l->block->settings;
    const struct provider_ops *ops = l->into->ops;
    struct provider_setting *settings = calloc(list->count + 1, sizeof(*settings));
    char text[160];

    l->into->settings = settings;
    if (!settings)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++) {
        if (!ops->settings || !known_setting(ops->settings, list->at[i].key)) {
            snprintf(text, sizeof(text), "the provider \"%s\" has no such setting", ops->name);
            return complain(l, list->at[i].key, text);
        }
        settings[i] = (struct provider_setting){list->at[i].key, list->at[i].value};
    }
    return 0;
}

static const char *text_or(const char *text, const char *fallback)
{
    return text && text[0] ? text : fallback;
}

/* What the environment holds for a provider whose key is not in the agent's file: a copy, since it
 * must not change under a running call. */
static const char *key_from_environment(const struct loading *l)
{
    const struct agent *agent = l->bundle->agent;
    const char *name = l->into->ops->key_env;
    const char *value = name && agent->env ? agent->env(name) : NULL;

    return value && value[0] ? yaml_doc_text(agent->doc, slice_str(value)) : NULL;
}

/* The leg listens at the first one's rate: what a fallback wants is made of that. */
static int rate_check(const struct loading *l)
{
    const struct bundle_provider *first = &l->bundle->roles[l->kind].at[0];
    uint32_t from_hz = first->ops ? provider_rate_hz(first->ops, &first->config) : 0;
    uint32_t to_hz = provider_rate_hz(l->into->ops, &l->into->config);
    struct resample resample;
    char text[160];

    if (l->kind != PROVIDER_STT || l->into == first || !from_hz ||
        !resample_init(&resample, from_hz, to_hz))
        return 0;
    snprintf(text, sizeof(text), "it hears at %u Hz, which cannot be made of the first one's %u",
             to_hz, from_hz);
    return complain(l, "provider", text);
}

static int load_provider(const struct loading *l)
{
    const struct bundle *b = l->bundle;
    struct provider_config *config = &l->into->config;
    char text[160];
    int err;

    l->into->ops = provider_find(l->kind, l->block->provider);
    if (!l->into->ops || l->into->ops->state_bytes > PROVIDER_STATE_MAX) {
        snprintf(text, sizeof(text), "there is no provider \"%s\" here", l->block->provider);
        return complain(l, "provider", text);
    }
    err = settings_load(l);
    if (err)
        return err;
    *config = (struct provider_config){.agent = b->agent->id,
                                       .language = text_or(l->block->language, b->agent->language),
                                       .voice = text_or(l->block->voice, ""),
                                       .model = text_or(l->block->model, ""),
                                       .prompt = b->agent->prompt,
                                       .greeting = b->agent->greeting,
                                       .env_key = key_from_environment(l),
                                       .data_dir = l->share_dir,
                                       .folder = b->agent->folder,
                                       .temperature = l->block->temperature,
                                       .speed = l->block->speed,
                                       .tools = b->tools,
                                       .tool_count = b->agent->tool_count,
                                       .settings = l->into->settings,
                                       .setting_count = l->block->settings.count};
    if (l->into->ops->load) {
        err = l->into->ops->load(config, &config->loaded, l->why, l->why_bytes);
        if (err)
            place_complaint(l);
    }
    return err ? err : rate_check(l);
}

static void load_role(struct bundle *b, enum provider_kind kind, const char *share_dir,
                      struct complaints *complaints)
{
    struct bundle_role *role = &b->roles[kind];
    struct loading l = {.bundle = b,
                        .kind = kind,
                        .share_dir = share_dir,
                        .why = complaints->next,
                        .why_bytes = sizeof(complaints->next)};

    while ((l.block = agent_provider_at(b->agent, provider_kind_name(kind), role->count))) {
        l.into = &role->at[role->count++];
        complaints_add(complaints, load_provider(&l));
    }
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
    struct complaints complaints;

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
    complaints_begin(&complaints, why, why_bytes);
    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++)
        load_role(b, (enum provider_kind)kind, share_dir, &complaints);
    if (complaints.err) {
        b->agent = NULL; /* stays the caller's */
        bundle_free(&b);
        return complaints.err;
    }
    *out = b;
    return 0;
}

static void role_free(struct bundle_role *role)
{
    for (uint32_t i = 0; i < role->count; i++) {
        struct bundle_provider *p = &role->at[i];

        if (p->config.loaded && p->ops->unload)
            p->ops->unload(p->config.loaded);
        free(p->settings);
    }
}

void bundle_free(struct bundle **bundle)
{
    struct bundle *b = *bundle;

    if (!b)
        return;
    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++)
        role_free(&b->roles[kind]);
    free(b->tools);
    agent_put(&b->agent);
    free(b);
    *bundle = NULL;
}
