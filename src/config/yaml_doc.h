/* A YAML file read whole into a small immutable tree whose every node knows its line, so that each
 * later complaint can name file, line and key. Built on libyaml's events and bounded in bytes,
 * depth, nodes and keys; anchors, aliases, tags, duplicate keys and second documents are refused.
 * `${NAME}` in a value is replaced from the environment (`$${` stands for a plain `${`). Blocking,
 * allocates; control thread and boot only, never on a shard. */
#ifndef CONFIG_YAML_DOC_H
#define CONFIG_YAML_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/reason.h"

#define YAML_PATH_BYTES  640  /* "a.b[3].c": depth times key, and indices */
#define CONFIG_WHY_BYTES 1024 /* room for any complaint; longer ones are cut */

enum yaml_kind { YAML_VALUE, YAML_BLOCK, YAML_LIST };

struct yaml_node {
    enum yaml_kind kind;
    uint32_t line;    /* from 1 */
    uint32_t index;   /* place among its siblings, from 0 */
    uint32_t count;   /* children */
    bool plain;       /* VALUE: written without quotes, so `null` and nothing mean "not given" */
    bool from_env;    /* VALUE: holds something from the environment: never shown in a complaint */
    const char *key;  /* in a block, else NULL */
    const char *text; /* VALUE: UTF-8 without NUL inside */
    struct yaml_node *parent;
    struct yaml_node *child; /* first */
    struct yaml_node *last;  /* last child */
    struct yaml_node *next;
};

struct yaml_doc;

/* Looks a variable up; NULL when it is not set. */
const char *yaml_env_process(const char *name);

/* Reads `text`, called `file` in complaints. The root is always a block (an empty file is an empty
 * one). 0, -EINVAL (wrong), -EMSGSIZE (a bound), -ENOMEM; `why` is then "FILE:LINE: KEY: what",
 * with a line for each variable that is not set. */
MUST_USE int yaml_doc_read(const char *file, struct slice text, const char *(*env)(const char *),
                           struct yaml_doc **out, char *why, size_t why_bytes);
/* The same from a path; also -errno of opening or reading it, and "FILE: what". */
MUST_USE int yaml_doc_load(const char *path, const char *(*env)(const char *),
                           struct yaml_doc **out, char *why, size_t why_bytes);
void yaml_doc_free(struct yaml_doc **doc);

struct yaml_node *yaml_doc_root(const struct yaml_doc *doc);
const char *yaml_doc_file(const struct yaml_doc *doc);
/* Memory and text that live as long as the document; NULL without memory. */
void *yaml_doc_alloc(struct yaml_doc *doc, size_t bytes);
char *yaml_doc_text(struct yaml_doc *doc, struct slice text);

/* The child of a block with this key, or NULL. */
struct yaml_node *yaml_child(const struct yaml_node *block, struct slice key);
/* "stt.provider", "agents[2]"; the root is "". */
void yaml_path(const struct yaml_node *node, char *out, size_t out_bytes);
/* True for a value that was left empty or written as null or ~. */
bool yaml_is_null(const struct yaml_node *node);

/* Writes "FILE:LINE: KEY: what" (control characters shown as ?) and returns -EINVAL, so that a
 * reader can end with it. A NULL node leaves line and key out. */
int config_complain(const struct yaml_doc *doc, const struct yaml_node *node, char *why,
                    size_t why_bytes, const char *format, ...) PRINTF_LIKE(5, 6);

#endif
