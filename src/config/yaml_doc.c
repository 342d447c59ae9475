#include "config/yaml_doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "base/limits.h"
#include "config/complaints.h"

#define BLOCK_BYTES 16384

struct memory {
    struct memory *next;
    size_t used;
    size_t size;
    char at[] __attribute__((aligned(16)));
};

struct yaml_doc {
    struct memory *memory;
    struct yaml_node *root;
    const char *file;
};

/* One reading: libyaml's events in, nodes out. */
struct build {
    yaml_parser_t parser;
    struct yaml_doc *doc;
    struct yaml_node *open[YAML_DEPTH_MAX]; /* blocks and lists not closed yet */
    size_t depth;
    size_t nodes;
    size_t documents;
    char *key; /* of the block on top, waiting for its value */
    uint32_t key_line;
    const char *(*env)(const char *);
    struct complaints complaints;
    char text[YAML_SCALAR_MAX + 1]; /* a value while it is expanded */
};

const char *yaml_env_process(const char *name)
{
    return getenv(name);
}

/* ---- memory ---- */

void *yaml_doc_alloc(struct yaml_doc *doc, size_t bytes)
{
    size_t need = (bytes + 15) & ~(size_t)15;

    if (!doc->memory || doc->memory->size - doc->memory->used < need) {
        size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        struct memory *m = calloc(1, sizeof(*m) + size);

        if (!m)
            return NULL;
        m->size = size;
        m->next = doc->memory;
        doc->memory = m;
    }
    void *at = doc->memory->at + doc->memory->used;

    doc->memory->used += need;
    return at;
}

char *yaml_doc_text(struct yaml_doc *doc, struct slice text)
{
    char *at = yaml_doc_alloc(doc, text.len + 1);

    if (at && text.len)
        memcpy(at, text.at, text.len);
    return at;
}

void yaml_doc_free(struct yaml_doc **doc)
{
    if (!*doc)
        return;
    struct memory *m = (*doc)->memory;

    while (m) {
        struct memory *next = m->next;

        free(m);
        m = next;
    }
    free(*doc);
    *doc = NULL;
}

struct yaml_node *yaml_doc_root(const struct yaml_doc *doc)
{
    return doc->root;
}

const char *yaml_doc_file(const struct yaml_doc *doc)
{
    return doc->file;
}

/* ---- looking ---- */

struct yaml_node *yaml_child(const struct yaml_node *block, struct slice key)
{
    if (block->kind != YAML_BLOCK)
        return NULL;
    for (struct yaml_node *n = block->child; n; n = n->next)
        if (slice_equal(slice_str(n->key), key))
            return n;
    return NULL;
}

void yaml_path(const struct yaml_node *node, char *out, size_t out_bytes)
{
    const struct yaml_node *up[YAML_DEPTH_MAX + 1];
    struct builder b = builder_of(out, out_bytes - 1);
    size_t count = 0;

    for (; node && node->parent && count < ARRAY_LEN(up); node = node->parent)
        up[count++] = node;
    while (count--) {
        if (!up[count]->key)
            builder_printf(&b, "[%u]", up[count]->index);
        else
            builder_printf(&b, "%s%s", b.len ? "." : "", up[count]->key);
    }
    out[b.len] = '\0';
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (node->kind != YAML_VALUE || !node->plain)
        return false;
    return !node->text[0] || !strcmp(node->text, "~") || !strcmp(node->text, "null");
}

/* ---- complaints ---- */

/* What the file holds must not be able to forge a log line. */
static void why_clean(char *why)
{
    for (; *why; why++)
        if ((unsigned char)*why < 0x20 || *why == 0x7f)
            *why = '?';
}

static void complain_at(const char *file, uint32_t line, const char *key, char *why,
                        size_t why_bytes, const char *what)
{
    if (!line)
        snprintf(why, why_bytes, "%s: %s", file, what);
    else if (!key[0])
        snprintf(why, why_bytes, "%s:%u: %s", file, line, what);
    else
        snprintf(why, why_bytes, "%s:%u: %s: %s", file, line, key, what);
    why_clean(why);
}

int config_complain(const struct yaml_doc *doc, const struct yaml_node *node, char *why,
                    size_t why_bytes, const char *format, ...)
{
    char what[CONFIG_WHY_BYTES];
    char key[YAML_PATH_BYTES] = "";
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (node)
        yaml_path(node, key, sizeof(key));
    complain_at(doc->file, node ? node->line : 0, key, why, why_bytes, what);
    return -EINVAL;
}

/* A complaint about what is being read: the key may have no node yet. */
static int build_fail(struct build *b, int err, uint32_t line, const char *what)
{
    char key[YAML_PATH_BYTES + YAML_KEY_BYTES + 8] = "";

    if (b->depth)
        yaml_path(b->open[b->depth - 1], key, YAML_PATH_BYTES);
    if (b->depth && b->key) {
        size_t len = strlen(key);

        snprintf(key + len, sizeof(key) - len, "%s%s", len ? "." : "", b->key);
    } else if (b->depth && b->open[b->depth - 1]->kind == YAML_LIST) {
        size_t len = strlen(key);

        snprintf(key + len, sizeof(key) - len, "[%u]", b->open[b->depth - 1]->count);
    }
    complain_at(b->doc->file, line, key, b->complaints.next, sizeof(b->complaints.next), what);
    return err;
}

/* ---- building ---- */

static uint32_t mark_line(yaml_mark_t mark)
{
    return (uint32_t)mark.line + 1;
}

static int node_add(struct build *b, enum yaml_kind kind, uint32_t line, struct yaml_node **out)
{
    struct yaml_node *parent = b->depth ? b->open[b->depth - 1] : NULL;

    if (++b->nodes > YAML_NODES_MAX)
        return build_fail(b, -EMSGSIZE, line, "the file holds too many values");
    if (parent && parent->kind == YAML_BLOCK && !b->key)
        return build_fail(b, -EINVAL, line, "a key must be plain text");
    struct yaml_node *n = yaml_doc_alloc(b->doc, sizeof(*n));

    if (!n)
        return build_fail(b, -ENOMEM, line, "out of memory");
    n->kind = kind;
    n->line = b->key ? b->key_line : line;
    n->parent = parent;
    n->key = b->key;
    b->key = NULL;
    *out = n;
    if (!parent) {
        b->doc->root = n;
        return 0;
    }
    n->index = parent->count++;
    if (parent->last)
        parent->last->next = n;
    else
        parent->child = n;
    parent->last = n;
    return 0;
}

static int node_open(struct build *b, enum yaml_kind kind, const yaml_event_t *e)
{
    uint32_t line = mark_line(e->start_mark);
    struct yaml_node *n;

    if (!b->depth && kind != YAML_BLOCK)
        return build_fail(b, -EINVAL, line, "the file must be a block of keys, not a list");
    if (b->depth == YAML_DEPTH_MAX)
        return build_fail(b, -EMSGSIZE, line, "blocks are nested too deep");
    int rc = node_add(b, kind, line, &n);

    if (!rc)
        b->open[b->depth++] = n;
    return rc;
}

static int key_take(struct build *b, struct slice key, uint32_t line)
{
    struct yaml_node *block = b->open[b->depth - 1];

    if (!key.len || key.len > YAML_KEY_BYTES || memchr(key.at, 0, key.len))
        return build_fail(b, -EINVAL, line, "a key must be 1 to 64 bytes of text");
    if (block->count == YAML_KEYS_MAX)
        return build_fail(b, -EMSGSIZE, line, "the block holds too many keys");
    bool twice = yaml_child(block, key) != NULL;

    b->key = yaml_doc_text(b->doc, key);
    b->key_line = line;
    if (!b->key)
        return build_fail(b, -ENOMEM, line, "out of memory");
    return twice ? build_fail(b, -EINVAL, line, "the key is given twice") : 0;
}

static bool name_byte(uint8_t c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

    return letter || (!first && c >= '0' && c <= '9');
}

/* The NAME of "${NAME}" at the reader, or empty. */
static struct slice env_name(struct slice at)
{
    size_t len = 0;

    while (len + 2 < at.len && name_byte(at.at[2 + len], len == 0))
        len++;
    if (!len || len > YAML_KEY_BYTES || 2 + len >= at.len || at.at[2 + len] != '}')
        return SLICE_NONE;
    return slice_of(at.at + 2, len);
}

/* Replaces one ${NAME}; *used is its length. A variable that is not set is complained of, and the
 * reading goes on: there may be more of them. */
static int expand_one(struct build *b, struct slice at, struct builder *out, size_t *used,
                      uint32_t line)
{
    struct slice name = env_name(at);
    char text[YAML_KEY_BYTES + 1];
    char what[YAML_KEY_BYTES + 64];

    if (!name.len || slice_cstr(name, text, sizeof(text)) < 0)
        return build_fail(b, -EINVAL, line,
                          "${ must be followed by NAME} (write $${ for plain ${)");
    const char *value = b->env ? b->env(text) : NULL;

    *used = name.len + 3;
    if (!value) {
        snprintf(what, sizeof(what), "environment variable %s is not set", text);
        complaints_add(&b->complaints, build_fail(b, -EINVAL, line, what));
        return 0;
    }
    if (!slice_is_utf8(slice_str(value)))
        return build_fail(b, -EINVAL, line, "the environment variable is not UTF-8 text");
    builder_str(out, value);
    return 0;
}

/* A value's text with every ${NAME} replaced, in the document's memory. */
static int value_expand(struct build *b, struct slice raw, uint32_t line, const char **out,
                        bool *from_env)
{
    struct builder text = builder_of(b->text, YAML_SCALAR_MAX);
    size_t used;

    *from_env = false;
    for (size_t i = 0; i < raw.len && !text.bad; i += used) {
        struct slice at = slice_of(raw.at + i, raw.len - i);

        used = 1;
        if (slice_starts(at, SLICE("$${"))) {
            builder_str(&text, "${");
            used = 3;
        } else if (slice_starts(at, SLICE("${"))) {
            int rc = expand_one(b, at, &text, &used, line);

            if (rc)
                return rc;
            *from_env = true;
        } else {
            builder_u8(&text, raw.at[i]);
        }
    }
    if (text.bad)
        return build_fail(b, -EMSGSIZE, line, "the value is longer than 65536 bytes");
    if (memchr(b->text, 0, text.len))
        return build_fail(b, -EINVAL, line, "the value holds a NUL character");
    *out = yaml_doc_text(b->doc, builder_slice(&text));
    return *out ? 0 : build_fail(b, -ENOMEM, line, "out of memory");
}

static int scalar_take(struct build *b, const yaml_event_t *e)
{
    struct slice raw = slice_of(e->data.scalar.value, e->data.scalar.length);
    uint32_t line = mark_line(e->start_mark);
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool from_env;
    const char *text;
    struct yaml_node *n;

    if (!b->depth)
        return raw.len ? build_fail(b, -EINVAL, line, "the file must be a block of keys") : 0;
    if (b->open[b->depth - 1]->kind == YAML_BLOCK && !b->key)
        return key_take(b, raw, line);
    int rc = value_expand(b, raw, b->key ? b->key_line : line, &text, &from_env);

    if (!rc)
        rc = node_add(b, YAML_VALUE, line, &n);
    if (rc)
        return rc;
    n->text = text;
    n->plain = plain && !from_env;
    n->from_env = from_env;
    return 0;
}

/* Anchors make alias bombs possible and tags change types; neither is needed here. */
static int event_allowed(struct build *b, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    uint32_t line = mark_line(e->start_mark);

    if (e->type == YAML_ALIAS_EVENT)
        return build_fail(b, -EINVAL, line, "aliases (*name) are not allowed");
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (anchor)
        return build_fail(b, -EINVAL, line, "anchors (&name) are not allowed");
    if (tag)
        return build_fail(b, -EINVAL, line, "tags (!name) are not allowed");
    return 0;
}

static int event_take(struct build *b, const yaml_event_t *e)
{
    int rc = event_allowed(b, e);

    if (rc)
        return rc;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++)
            return build_fail(b, -EINVAL, mark_line(e->start_mark),
                              "the file holds a second document");
        return 0;
    case YAML_SCALAR_EVENT:
        return scalar_take(b, e);
    case YAML_MAPPING_START_EVENT:
        return node_open(b, YAML_BLOCK, e);
    case YAML_SEQUENCE_START_EVENT:
        return node_open(b, YAML_LIST, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT:
        return 0;
    }
    return 0;
}

static int build_run(struct build *b)
{
    bool end = false;

    while (!end) {
        yaml_event_t e;

        if (!yaml_parser_parse(&b->parser, &e)) {
            char what[256];

            snprintf(what, sizeof(what), "not valid YAML: %s",
                     b->parser.problem ? b->parser.problem : "unreadable");
            return build_fail(b, -EINVAL, mark_line(b->parser.problem_mark), what);
        }
        int rc = event_take(b, &e);

        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (rc)
            return rc;
    }
    if (!b->doc->root) { /* an empty file */
        struct yaml_node *n;

        b->depth = 0;
        return node_add(b, YAML_BLOCK, 1, &n);
    }
    return 0;
}

static int doc_build(struct yaml_doc *doc, struct slice text, const char *(*env)(const char *),
                     char *why, size_t why_bytes)
{
    struct build *b = calloc(1, sizeof(*b));

    if (!b || !yaml_parser_initialize(&b->parser)) {
        free(b);
        snprintf(why, why_bytes, "%s: out of memory", doc->file);
        return -ENOMEM;
    }
    b->doc = doc;
    b->env = env;
    complaints_begin(&b->complaints, why, why_bytes);
    yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b->parser, text.len ? text.at : (const uint8_t *)"", text.len);
    complaints_add(&b->complaints, build_run(b));
    int rc = b->complaints.err;

    yaml_parser_delete(&b->parser);
    free(b);
    return rc;
}

int yaml_doc_read(const char *file, struct slice text, const char *(*env)(const char *),
                  struct yaml_doc **out, char *why, size_t why_bytes)
{
    struct yaml_doc *doc;
    int rc = -ENOMEM;

    *out = NULL;
    why[0] = '\0';
    if (text.len > CONFIG_BYTES_MAX) {
        snprintf(why, why_bytes, "%s: larger than %d bytes", file, CONFIG_BYTES_MAX);
        return -EMSGSIZE;
    }
    doc = calloc(1, sizeof(*doc));
    if (doc)
        doc->file = yaml_doc_text(doc, slice_str(file));
    if (!doc || !doc->file)
        snprintf(why, why_bytes, "%s: out of memory", file);
    else
        rc = doc_build(doc, text, env, why, why_bytes);
    if (rc)
        yaml_doc_free(&doc);
    *out = doc;
    return rc;
}

/* The whole file, at most one byte more than allowed so that the reader can refuse it. */
static int file_read(const char *path, char **out, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    size_t have = 0;
    ssize_t got = 1;

    if (fd < 0)
        return -errno;
    char *text = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? NULL : malloc(CONFIG_BYTES_MAX + 1);

    if (!text) {
        close(fd);
        return -EINVAL;
    }
    while (got > 0 && have < CONFIG_BYTES_MAX + 1) {
        got = read(fd, text + have, CONFIG_BYTES_MAX + 1 - have);
        if (got > 0)
            have += (size_t)got;
    }
    int rc = got < 0 ? -errno : 0;

    close(fd);
    if (rc)
        free(text);
    *out = rc ? NULL : text;
    *len = have;
    return rc;
}

int yaml_doc_load(const char *path, const char *(*env)(const char *), struct yaml_doc **out,
                  char *why, size_t why_bytes)
{
    char *text = NULL;
    size_t len = 0;
    int rc = file_read(path, &text, &len);

    *out = NULL;
    if (rc) {
        snprintf(why, why_bytes, "%s: %s", path,
                 rc == -EINVAL ? "not a regular file" : strerror(-rc));
        why_clean(why);
        return rc;
    }
    rc = yaml_doc_read(path, slice_of(text, len), env, out, why, why_bytes);
    free(text);
    return rc;
}
