/* The tools that an agent's file declares: name, URL, time, and what arguments they take. Part of
 * reading an agent; control thread and boot. */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_schema.h"
#include "config/agent.h"

#define TOOLS_MAX        32
#define NAME_RULE        "^[A-Za-z0-9_-]{1,64}$"
#define URL_RULE         "^https?://[!-~]+$"
#define HEADER_RULE      "^[A-Za-z0-9-]{1,64}$"
#define HEADERS_BYTES    2048
#define PARAMETERS_BYTES 16384
#define TIMEOUT_MS       4000
#define TIMEOUT_LEAST_MS 100
#define TIMEOUT_MOST_MS  30000

struct reading {
    struct agent *agent;
    char *why;
    size_t why_bytes;
};

static bool matches(const char *text, const char *rule)
{
    regex_t re;

    if (regcomp(&re, rule, REG_EXTENDED | REG_NOSUB))
        return false;
    bool fits = regexec(&re, text, 0, NULL, 0) == 0;

    regfree(&re);
    return fits;
}

static int wrong(struct reading *r, const struct yaml_node *n, const char *what)
{
    return config_complain(r->agent->doc, n, r->why, r->why_bytes, "%s", what);
}

/* ---- JSON out of YAML ---- */

static void put_value(struct jsonw *w, const struct yaml_node *n)
{
    static const char number[] = "^-?(0|[1-9][0-9]*)([.][0-9]+)?$";

    if (yaml_is_null(n))
        jsonw_null(w);
    else if (n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false")))
        jsonw_bool(w, n->text[0] == 't');
    else if (n->plain && matches(n->text, number))
        jsonw_raw(w, slice_str(n->text));
    else
        jsonw_cstr(w, n->text);
}

/* Depth first; a YAML document is no deeper than JSON may be. */
static void put_tree(struct jsonw *w, const struct yaml_node *root)
{
    const struct yaml_node *n = root;

    while (n) {
        if (n != root && n->key)
            jsonw_key(w, n->key);
        if (n->kind == YAML_BLOCK)
            jsonw_begin(w);
        else if (n->kind == YAML_LIST)
            jsonw_begin_list(w);
        else
            put_value(w, n);
        if (n->child) {
            n = n->child;
            continue;
        }
        if (n->kind != YAML_VALUE)
            jsonw_end(w);
        while (n != root && !n->next) {
            n = n->parent;
            jsonw_end(w);
        }
        n = n == root ? NULL : n->next;
    }
}

/* ---- one key each ---- */

static int take_text(struct reading *r, const struct yaml_node *n, const char *rule,
                     const char **out)
{
    char what[128];

    if (n->kind != YAML_VALUE || (rule && !matches(n->text, rule))) {
        snprintf(what, sizeof(what), rule ? "must match %s" : "must be a text", rule);
        return wrong(r, n, what);
    }
    *out = n->text;
    return 0;
}

static int take_timeout(struct reading *r, const struct yaml_node *n, int64_t *out)
{
    uint64_t ms;

    if (n->kind != YAML_VALUE || slice_u64(slice_str(n->text), TIMEOUT_MOST_MS, &ms) ||
        ms < TIMEOUT_LEAST_MS)
        return wrong(r, n, "must be a whole number from 100 to 30000");
    *out = (int64_t)ms;
    return 0;
}

static int take_headers(struct reading *r, const struct yaml_node *block, const char **out)
{
    char lines[HEADERS_BYTES];
    struct builder b = builder_of(lines, sizeof(lines));

    if (block->kind != YAML_BLOCK)
        return wrong(r, block, "must be a block of keys");
    for (const struct yaml_node *n = block->child; n; n = n->next) {
        if (n->kind != YAML_VALUE || !matches(n->key, HEADER_RULE) || !matches(n->text, "^[ -~]*$"))
            return wrong(r, n, "is no header line");
        builder_printf(&b, "%s: %s\r\n", n->key, n->text);
    }
    if (b.bad)
        return wrong(r, block, "is longer than 2048 bytes");
    *out = yaml_doc_text(r->agent->doc, builder_slice(&b));
    return *out ? 0 : -ENOMEM;
}

static int check_parameters(struct reading *r, const struct yaml_node *n, const char *text)
{
    struct json_doc doc = {0};
    char why[JSON_SCHEMA_WHY_BYTES];
    int rc = json_read(&doc, slice_str(text), PARAMETERS_BYTES, why);

    if (!rc)
        rc = json_schema_read(&doc, why, sizeof(why));
    json_free(&doc);
    return rc == -ENOMEM ? rc : rc ? wrong(r, n, why) : 0;
}

static int take_parameters(struct reading *r, const struct yaml_node *n, const char **out)
{
    char *text = malloc(PARAMETERS_BYTES); /* tidy: allow alloc: given back below */
    struct builder b = builder_of(text, text ? PARAMETERS_BYTES : 0);
    struct jsonw w;
    int rc = -ENOMEM;

    jsonw_init(&w, &b);
    if (text && n->kind == YAML_BLOCK) {
        put_tree(&w, n);
        *out = jsonw_finish(&w) ? NULL : yaml_doc_text(r->agent->doc, builder_slice(&b));
        rc = *out ? check_parameters(r, n, *out) : wrong(r, n, "is longer than 16384 bytes");
    } else if (text) {
        rc = wrong(r, n, "must be a JSON Schema of an object, written as YAML");
    }
    free(text);
    return rc;
}

/* ---- one tool ---- */

static int take_key(struct reading *r, const struct yaml_node *n, struct agent_tool *tool)
{
    if (!strcmp(n->key, "name"))
        return take_text(r, n, NAME_RULE, &tool->name);
    if (!strcmp(n->key, "description"))
        return take_text(r, n, NULL, &tool->description);
    if (!strcmp(n->key, "url"))
        return take_text(r, n, URL_RULE, &tool->url);
    if (!strcmp(n->key, "timeout_ms"))
        return take_timeout(r, n, &tool->timeout_ms);
    if (!strcmp(n->key, "headers"))
        return take_headers(r, n, &tool->headers);
    if (!strcmp(n->key, "parameters"))
        return take_parameters(r, n, &tool->parameters);
    return wrong(r, n,
                 "unknown key; a tool has name, description, url, timeout_ms, headers, parameters");
}

static int take_tool(struct reading *r, const struct yaml_node *block, struct agent_tool *tool)
{
    int rc = 0;

    *tool = (struct agent_tool){.description = "", .headers = "", .timeout_ms = TIMEOUT_MS};
    if (block->kind != YAML_BLOCK)
        return wrong(r, block, "must be a block of keys");
    for (const struct yaml_node *n = block->child; n && !rc; n = n->next)
        rc = take_key(r, n, tool);
    if (!rc && (!tool->name || !tool->url))
        rc = wrong(r, block, tool->name ? "url must be given" : "name must be given");
    if (!rc && agent_tool_find(r->agent, slice_str(tool->name)))
        rc = wrong(r, block, "another tool has this name");
    return rc;
}

int agent_tools_read(struct agent *agent, char *why, size_t why_bytes)
{
    struct reading r = {.agent = agent, .why = why, .why_bytes = why_bytes};

    if (!agent->tool_nodes)
        return 0;
    if (agent->tool_nodes->count > TOOLS_MAX)
        return wrong(&r, agent->tool_nodes, "holds more than 32 tools");
    agent->tools =
        yaml_doc_alloc(agent->doc, (agent->tool_nodes->count + 1) * sizeof(struct agent_tool));
    if (!agent->tools)
        return -ENOMEM;
    for (const struct yaml_node *n = agent->tool_nodes->child; n; n = n->next) {
        int rc = take_tool(&r, n, &agent->tools[agent->tool_count]);
        if (rc)
            return rc;
        agent->tool_count++;
    }
    return 0;
}

const struct agent_tool *agent_tool_find(const struct agent *agent, struct slice name)
{
    for (size_t i = 0; i < agent->tool_count; i++)
        if (slice_equal(slice_str(agent->tools[i].name), name))
            return &agent->tools[i];
    return NULL;
}
