/* The fallbacks of an agent's providers: complete sections, tried in order when the one before has
 * failed for good. Part of reading an agent; control thread and boot. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/agent.h"

#define AT(member) offsetof(struct agent_provider, member)

/* The keys of the role itself (agent.c), relative to the block of one fallback. */
#define COMMON                                                                                     \
    {"provider", FIELD_TEXT, AT(provider), NULL, "^[a-z0-9_]+$", 1, 100, .help = ""},              \
        {"language", FIELD_TEXT, AT(language), "", NULL, 0, 35, .help = ""},                       \
        {"model", FIELD_TEXT, AT(model), "", NULL, 0, 200, .help = ""},                            \
    {                                                                                              \
        "*", FIELD_SETTINGS, AT(settings), "", .help = ""                                          \
    }

static const struct schema_field stt_fields[] = {COMMON};
static const struct schema_field llm_fields[] = {
    COMMON, {"temperature", FIELD_NUMBER, AT(temperature), "0.7", NULL, 0, 2, .help = ""}};
static const struct schema_field tts_fields[] = {
    COMMON,
    {"voice", FIELD_TEXT, AT(voice), "", NULL, 0, 100, .help = ""},
    {"speed", FIELD_NUMBER, AT(speed), "1.0", NULL, 0.25, 4, .help = ""}};

struct role {
    const char *name;
    size_t offset; /* of the first provider in the agent */
    struct schema schema;
};

static const struct role roles[] = {
    {"stt", offsetof(struct agent, stt), {"", stt_fields, ARRAY_LEN(stt_fields)}},
    {"llm", offsetof(struct agent, llm), {"", llm_fields, ARRAY_LEN(llm_fields)}},
    {"tts", offsetof(struct agent, tts), {"", tts_fields, ARRAY_LEN(tts_fields)}},
};

static struct agent_provider *first_of(const struct agent *agent, const struct role *role)
{
    return (void *)((char *)(uintptr_t)agent + role->offset);
}

static int fallback_read(struct agent *agent, const struct role *role, const struct yaml_node *n,
                         struct agent_provider *out, char *why, size_t why_bytes)
{
    const struct yaml_node *own;

    if (n->kind != YAML_BLOCK)
        return config_complain(agent->doc, n, why, why_bytes, "must be a block of keys");
    own = yaml_child(n, SLICE("fallbacks"));
    if (own)
        return config_complain(agent->doc, own, why, why_bytes,
                               "a fallback has no fallbacks of its own: list them all here");
    out->block = n;
    return schema_read_block(&role->schema, agent->doc, n, out, why, why_bytes);
}

static int role_read(struct agent *agent, const struct role *role, char *why, size_t why_bytes)
{
    struct agent_provider *first = first_of(agent, role);
    const struct yaml_node *list = first->fallback_nodes;

    first->block = schema_node(agent->doc, role->name);
    if (!list)
        return 0;
    if (list->count > AGENT_FALLBACKS_MAX)
        return config_complain(agent->doc, list, why, why_bytes, "holds more than %d fallbacks",
                               AGENT_FALLBACKS_MAX);
    first->fallbacks =
        yaml_doc_alloc(agent->doc, (list->count + 1) * sizeof(struct agent_provider));
    if (!first->fallbacks)
        return -ENOMEM;
    for (const struct yaml_node *n = list->child; n; n = n->next) {
        int rc =
            fallback_read(agent, role, n, &first->fallbacks[first->fallback_count], why, why_bytes);
        if (rc)
            return rc;
        first->fallback_count++;
    }
    return 0;
}

int agent_fallbacks_read(struct agent *agent, char *why, size_t why_bytes)
{
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(roles) && !rc; i++)
        rc = role_read(agent, &roles[i], why, why_bytes);
    return rc;
}

const struct agent_provider *agent_provider_at(const struct agent *agent, const char *role,
                                               size_t i)
{
    for (size_t r = 0; r < ARRAY_LEN(roles); r++) {
        const struct agent_provider *first = first_of(agent, &roles[r]);

        if (strcmp(roles[r].name, role) != 0)
            continue;
        if (i == 0)
            return first;
        return i <= first->fallback_count ? &first->fallbacks[i - 1] : NULL;
    }
    return NULL;
}

void agent_complain_of(const struct agent *agent, const char *role,
                       const struct agent_provider *provider, const char *key, char *why,
                       size_t why_bytes, const char *what)
{
    const struct yaml_node *block = provider->block;
    const struct yaml_node *n = block ? yaml_child(block, slice_str(key)) : NULL;
    char path[YAML_PATH_BYTES];

    snprintf(path, sizeof(path), "%s", role);
    if (block)
        yaml_path(block, path, sizeof(path));
    /* What is missing is complained of where it should stand. */
    if (n)
        config_complain(agent->doc, n, why, why_bytes, "%s", what);
    else
        snprintf(why, why_bytes, "%s:%u: %s.%s: %s", agent->file, block ? block->line : 1, path,
                 key, what);
}
