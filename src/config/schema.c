#include "config/schema.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTED_MAX 64 /* items of a list whose field names no bound */

/* One reading of one document. */
struct reading {
    const struct schema *schema;
    struct yaml_doc *doc;
    const struct yaml_node *root; /* of what is read: paths begin behind it */
    size_t root_len;              /* characters of its own path */
    char *target;
    char *why;
    size_t why_bytes;
};

/* One value on its way into the target: from the file (node set) or the default. */
struct given {
    const struct schema_field *field;
    const struct yaml_node *node;
    const char *text;
};

/* The path of a node from the root of what is read; "" is the root. */
static void path_in(const struct reading *r, const struct yaml_node *n, char *out, size_t out_bytes)
{
    yaml_path(n, out, out_bytes);
    size_t len = strlen(out), skip = r->root_len + (r->root_len && len > r->root_len);

    memmove(out, out + skip, len - skip + 1);
}

static struct yaml_node *node_in(const struct yaml_node *root, const char *path)
{
    struct yaml_node *n = (struct yaml_node *)(uintptr_t)root;
    struct slice rest = slice_str(path);

    while (n && rest.len) {
        struct slice key = slice_cut(rest, '.', &rest);

        if (slice_equal(key, SLICE("*")))
            return n;
        n = yaml_child(n, key);
    }
    return n;
}

/* ---- complaints about a value ---- */

static int value_bad(struct reading *r, const struct given *g, const char *what)
{
    if (g->node && g->node->from_env)
        return config_complain(r->doc, g->node, r->why, r->why_bytes,
                               "the value from the environment %s", what);
    return config_complain(r->doc, g->node, r->why, r->why_bytes, "\"%.80s\" %s", g->text, what);
}

static int value_range(struct reading *r, const struct given *g)
{
    char what[128];

    snprintf(what, sizeof(what), "is outside %.10g to %.10g", g->field->least, g->field->most);
    return value_bad(r, g, what);
}

/* ---- values by type ---- */

static int bool_take(struct reading *r, const struct given *g, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on"};
    static const char *const no[] = {"false", "no", "off"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        *out = !strcmp(g->text, yes[i]);
        if (*out || !strcmp(g->text, no[i]))
            return 0;
    }
    return value_bad(r, g, "is neither true nor false");
}

static int whole_take(struct reading *r, const struct given *g, int64_t *out)
{
    const char *digits = g->text + (g->text[0] == '-');
    char *end;

    if (!digits[0] || strspn(digits, "0123456789") != strlen(digits))
        return value_bad(r, g, "is not a whole number");
    errno = 0;
    *out = strtoll(g->text, &end, 10);
    if (errno || (double)*out < g->field->least || (double)*out > g->field->most)
        return value_range(r, g);
    return 0;
}

static int number_take(struct reading *r, const struct given *g, double *out)
{
    char *end;

    /* strtod also takes "nan", "inf" and hexadecimal, which are none of ours. */
    if (!g->text[0] || strspn(g->text, "0123456789.-+eE") != strlen(g->text))
        return value_bad(r, g, "is not a number");
    *out = strtod(g->text, &end);
    if (*end || end == g->text || !isfinite(*out))
        return value_bad(r, g, "is not a number");
    if (*out < g->field->least || *out > g->field->most)
        return value_range(r, g);
    return 0;
}

static size_t text_characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static bool text_matches(const char *text, const char *rule)
{
    regex_t re;

    if (regcomp(&re, rule, REG_EXTENDED | REG_NOSUB))
        return false;
    bool ok = regexec(&re, text, 0, NULL, 0) == 0;

    regfree(&re);
    return ok;
}

/* Bounds count characters of the text without surrounding blanks. */
static int text_take(struct reading *r, const struct given *g, const char **out)
{
    struct slice all = slice_str(g->text);
    struct slice trimmed = slice_trim(all);
    const char *text = g->text;
    char what[192];

    if (trimmed.len != all.len) {
        text = yaml_doc_text(r->doc, trimmed);
        if (!text)
            return -ENOMEM;
    }
    size_t n = text_characters(text);

    if (g->node &&
        ((double)n < g->field->least || (g->field->most > 0 && (double)n > g->field->most))) {
        snprintf(what, sizeof(what), "must be %.0f to %.0f characters long, not %zu",
                 g->field->least, g->field->most, n);
        return config_complain(r->doc, g->node, r->why, r->why_bytes, "%s", what);
    }
    if (g->node && g->field->rule && !text_matches(text, g->field->rule)) {
        snprintf(what, sizeof(what), "must match %s", g->field->rule);
        return value_bad(r, g, what);
    }
    *out = text;
    return 0;
}

static int choice_take(struct reading *r, const struct given *g, int *out)
{
    struct slice rest = slice_str(g->field->rule);
    char what[192] = "is not one of ";

    for (int i = 0; rest.len; i++) {
        struct slice word = slice_cut(rest, '|', &rest);
        size_t len = strlen(what);

        if (slice_equal(word, slice_str(g->text))) {
            *out = i;
            return 0;
        }
        snprintf(what + len, sizeof(what) - len, "%s%.*s", i ? ", " : "", SLICE_ARG(word));
    }
    return value_bad(r, g, what);
}

static int path_take(struct reading *r, const struct given *g, const char **out)
{
    const char *file = yaml_doc_file(r->doc);
    const char *slash = strrchr(file, '/');

    *out = g->text;
    if (!g->text[0]) /* none, where the default is none */
        return g->field->fallback && !g->field->fallback[0] ? 0 : value_bad(r, g, "is not a path");
    if (!g->node || g->text[0] == '/' || !slash)
        return 0;
    size_t bytes = (size_t)(slash - file) + strlen(g->text) + 2;
    char *joined = yaml_doc_alloc(r->doc, bytes);

    if (!joined)
        return -ENOMEM;
    snprintf(joined, bytes, "%.*s/%s", (int)(slash - file), file, g->text);
    *out = joined;
    return 0;
}

static bool host_parse(struct slice host, struct bind_address *out)
{
    struct in6_addr six;
    struct in_addr four;

    if (slice_cstr(host, out->host, sizeof(out->host)) < 0)
        return false;
    out->ipv6 = inet_pton(AF_INET6, out->host, &six) == 1;
    if (out->ipv6) {
        out->loopback = IN6_IS_ADDR_LOOPBACK(&six);
        return true;
    }
    if (inet_pton(AF_INET, out->host, &four) != 1)
        return false;
    out->loopback = (ntohl(four.s_addr) >> 24) == 127;
    return true;
}

static int host_take(struct reading *r, const struct given *g, struct bind_address *out)
{
    if (!host_parse(slice_str(g->text), out))
        return value_bad(r, g, "is not a numeric address such as 127.0.0.1 or ::1");
    return 0;
}

static int address_take(struct reading *r, const struct given *g, struct bind_address *out)
{
    static const char *const what = "is not an address and port such as 127.0.0.1:8000";
    const char *colon = strrchr(g->text, ':');
    uint64_t port;

    if (!colon || slice_u64(slice_str(colon + 1), 65535, &port))
        return value_bad(r, g, what);
    struct slice host = slice_of(g->text, (size_t)(colon - g->text));
    bool bracketed = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';

    if (bracketed)
        host = slice_of(host.at + 1, host.len - 2);
    if (!host_parse(host, out) || out->ipv6 != bracketed)
        return value_bad(r, g, what);
    out->port = (uint16_t)port;
    return 0;
}

static int ports_take(struct reading *r, const struct given *g, struct port_range *out)
{
    struct slice last;
    struct slice first = slice_cut(slice_str(g->text), '-', &last);
    uint64_t from;
    uint64_t to;

    if (slice_u64(first, 65535, &from) || slice_u64(last, 65535, &to))
        return value_bad(r, g, "is not a port range such as 10000-19999");
    if (from < 1024 || from > to)
        return value_bad(r, g, "must start at 1024 or above and not run backwards");
    out->first = (uint16_t)from;
    out->last = (uint16_t)to;
    return 0;
}

static int value_take(struct reading *r, const struct given *g)
{
    void *at = r->target + g->field->offset;

    switch (g->field->type) {
    case FIELD_BOOL:
        return bool_take(r, g, at);
    case FIELD_WHOLE:
        return whole_take(r, g, at);
    case FIELD_NUMBER:
        return number_take(r, g, at);
    case FIELD_TEXT:
        return text_take(r, g, at);
    case FIELD_CHOICE:
        return choice_take(r, g, at);
    case FIELD_PATH:
        return path_take(r, g, at);
    case FIELD_ADDRESS:
        return address_take(r, g, at);
    case FIELD_HOST:
        return host_take(r, g, at);
    case FIELD_PORTS:
        return ports_take(r, g, at);
    case FIELD_TEXTS:
    case FIELD_PATHS:
    case FIELD_SETTINGS:
    case FIELD_TREE:
        break;
    }
    return -EINVAL; /* lists have no single value; the caller never asks */
}

/* ---- lists and settings ---- */

static bool field_is_list(const struct schema_field *f)
{
    return f->type == FIELD_TEXTS || f->type == FIELD_PATHS;
}

static int list_item(struct reading *r, const struct schema_field *f, const struct yaml_node *n,
                     struct text_list *list)
{
    struct given g = {.field = f, .node = n, .text = n->text};

    if (n->kind != YAML_VALUE)
        return config_complain(r->doc, n, r->why, r->why_bytes, "must be a plain text");
    if (!n->text[0])
        return config_complain(r->doc, n, r->why, r->why_bytes, "must not be empty");
    if (f->rule && !text_matches(n->text, f->rule))
        return config_complain(r->doc, n, r->why, r->why_bytes, "\"%.80s\" must match %s", n->text,
                               f->rule);
    int rc = f->type == FIELD_PATHS ? path_take(r, &g, &list->at[list->count]) : 0;

    if (f->type == FIELD_TEXTS)
        list->at[list->count] = n->text;
    list->count++;
    return rc;
}

static int list_take(struct reading *r, const struct schema_field *f, const struct yaml_node *n)
{
    struct text_list *list = (void *)(r->target + f->offset);
    size_t most = f->most > 0 ? (size_t)f->most : LISTED_MAX;

    if (n->kind == YAML_BLOCK || (n->kind == YAML_VALUE && f->type != FIELD_PATHS))
        return config_complain(r->doc, n, r->why, r->why_bytes, "must be a list: [one, two]");
    if (n->count > most)
        return config_complain(r->doc, n, r->why, r->why_bytes, "holds more than %zu items", most);
    list->at = yaml_doc_alloc(r->doc, (n->count + 1) * sizeof(*list->at));
    if (!list->at)
        return -ENOMEM;
    if (n->kind == YAML_VALUE)
        return list_item(r, f, n, list);
    int rc = 0;

    for (const struct yaml_node *item = n->child; item && !rc; item = item->next)
        rc = list_item(r, f, item, list);
    return rc;
}

static const struct schema_field *field_find(const struct schema *s, const char *path)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->fields[i].path, path))
            return &s->fields[i];
    return NULL;
}

static int settings_take(struct reading *r, const struct schema_field *f,
                         const struct yaml_node *block)
{
    struct setting_list *list = (void *)(r->target + f->offset);
    char path[YAML_PATH_BYTES];

    list->at = yaml_doc_alloc(r->doc, (block->count + 1) * sizeof(*list->at));
    if (!list->at)
        return -ENOMEM;
    for (const struct yaml_node *n = block->child; n; n = n->next) {
        path_in(r, n, path, sizeof(path));
        if (field_find(r->schema, path))
            continue;
        if (n->kind != YAML_VALUE)
            return config_complain(r->doc, n, r->why, r->why_bytes, "must be a single value");
        list->at[list->count++] =
            (struct setting){.key = n->key, .value = n->text, .line = n->line};
    }
    return 0;
}

/* ---- one field ---- */

struct yaml_node *schema_node(const struct yaml_doc *doc, const char *path)
{
    return node_in(yaml_doc_root(doc), path);
}

static int field_default(struct reading *r, const struct schema_field *f)
{
    struct given g = {.field = f, .text = f->fallback};

    if (field_is_list(f) || f->type == FIELD_SETTINGS || f->type == FIELD_TREE)
        return 0; /* zeroed: an empty list */
    if (!f->fallback) {
        char block[YAML_PATH_BYTES];

        yaml_path(r->root, block, sizeof(block));
        snprintf(r->why, r->why_bytes, "%s:%u: %s%s%s: must be given", yaml_doc_file(r->doc),
                 r->root->line ? r->root->line : 1, block, block[0] ? "." : "", f->path);
        return -EINVAL;
    }
    return value_take(r, &g);
}

static int tree_take(struct reading *r, const struct schema_field *f, const struct yaml_node *n)
{
    if (n->kind != YAML_LIST)
        return config_complain(r->doc, n, r->why, r->why_bytes, "must be a list");
    *(const struct yaml_node **)(void *)(r->target + f->offset) = n;
    return 0;
}

static int field_read(struct reading *r, const struct schema_field *f)
{
    struct yaml_node *n = node_in(r->root, f->path);
    struct given g = {.field = f, .node = n, .text = n ? n->text : NULL};

    if (!n || yaml_is_null(n))
        return field_default(r, f);
    if (f->type == FIELD_SETTINGS)
        return settings_take(r, f, n);
    if (field_is_list(f))
        return list_take(r, f, n);
    if (f->type == FIELD_TREE)
        return tree_take(r, f, n);
    if (n->kind != YAML_VALUE)
        return config_complain(r->doc, n, r->why, r->why_bytes, "must be a single value");
    return value_take(r, &g);
}

/* ---- unknown keys ---- */

/* Edit distance between two short words, by two rows of the usual table. */
static size_t word_distance(struct slice a, struct slice b)
{
    size_t rows[2][YAML_KEY_BYTES + 1];

    if (a.len > YAML_KEY_BYTES || b.len > YAML_KEY_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i & 1];
        size_t *before = rows[(i - 1) & 1];

        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = before[j - 1] + (a.at[i - 1] != b.at[j - 1]);

            best = before[j] + 1 < best ? before[j] + 1 : best;
            now[j] = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
        }
    }
    return rows[a.len & 1][b.len];
}

/* True when `path` names a field, or a block on the way to one. */
static bool path_leads(const struct schema *s, const char *path, bool *block)
{
    size_t len = strlen(path);

    *block = false;
    for (size_t i = 0; i < s->count; i++) {
        if (!strcmp(s->fields[i].path, path))
            return true;
        if (!strncmp(s->fields[i].path, path, len) && s->fields[i].path[len] == '.')
            *block = true;
    }
    return *block;
}

/* The known path nearest to the unknown one: a misspelt key, or the right key one block away. */
static void path_suggest(const struct schema *s, const char *path, char *out, size_t out_bytes)
{
    const char *dot = strrchr(path, '.');
    struct slice last = slice_str(dot ? dot + 1 : path);
    size_t best = 3;

    out[0] = '\0';
    for (size_t i = 0; i < s->count; i++) {
        const char *known = s->fields[i].path;
        const char *known_dot = strrchr(known, '.');
        size_t whole = word_distance(slice_str(path), slice_str(known));
        bool same_key = slice_equal(last, slice_str(known_dot ? known_dot + 1 : known));
        size_t distance = whole < best ? whole : same_key ? 2 : SIZE_MAX;

        if (distance < best && s->fields[i].type != FIELD_SETTINGS) {
            best = distance;
            snprintf(out, out_bytes, "%s", known);
        }
        /* The name of a block counts like that of a key. */
        struct slice head = slice_of(known, known_dot ? (size_t)(known_dot - known) : 0);

        if (head.len && word_distance(slice_str(path), head) < best) {
            best = word_distance(slice_str(path), head);
            snprintf(out, out_bytes, "%.*s", SLICE_ARG(head));
        }
    }
}

/* A key that the table does not name is fine only in a block that keeps settings. */
static int key_check(struct reading *r, const struct yaml_node *n, bool *descend)
{
    char path[YAML_PATH_BYTES];
    char near[YAML_PATH_BYTES];
    char block[YAML_PATH_BYTES + 4];
    bool is_block;

    path_in(r, n, path, sizeof(path));
    *descend = false;
    if (path_leads(r->schema, path, &is_block)) {
        if (!is_block || yaml_is_null(n))
            return 0;
        *descend = n->kind == YAML_BLOCK;
        return *descend
                   ? 0
                   : config_complain(r->doc, n, r->why, r->why_bytes, "must be a block of keys");
    }
    path_in(r, n->parent, near, sizeof(near));
    snprintf(block, sizeof(block), "%s%s*", near, near[0] ? "." : "");
    if (field_find(r->schema, block))
        return 0;
    path_suggest(r->schema, path, near, sizeof(near));
    if (near[0])
        return config_complain(r->doc, n, r->why, r->why_bytes, "unknown key; did you mean \"%s\"?",
                               near);
    return config_complain(r->doc, n, r->why, r->why_bytes, "unknown key");
}

/* Every key of the document, depth first without recursion. */
static int keys_check(struct reading *r)
{
    const struct yaml_node *n = r->root->child;
    bool descend;

    while (n) {
        int rc = key_check(r, n, &descend);

        if (rc)
            return rc;
        if (descend && n->child) {
            n = n->child;
            continue;
        }
        while (n != r->root && !n->next)
            n = n->parent;
        n = n == r->root ? NULL : n->next;
    }
    return 0;
}

int schema_read_block(const struct schema *schema, struct yaml_doc *doc,
                      const struct yaml_node *block, void *target, char *why, size_t why_bytes)
{
    char path[YAML_PATH_BYTES];
    struct reading r = {.schema = schema,
                        .doc = doc,
                        .root = block,
                        .target = target,
                        .why = why,
                        .why_bytes = why_bytes};

    yaml_path(block, path, sizeof(path));
    r.root_len = strlen(path);
    int rc = keys_check(&r);

    for (size_t i = 0; i < schema->count && !rc; i++)
        rc = field_read(&r, &schema->fields[i]);
    if (rc == -ENOMEM)
        snprintf(why, why_bytes, "%s: out of memory", yaml_doc_file(doc));
    return rc;
}

int schema_read(const struct schema *schema, struct yaml_doc *doc, void *target, char *why,
                size_t why_bytes)
{
    return schema_read_block(schema, doc, yaml_doc_root(doc), target, why, why_bytes);
}
