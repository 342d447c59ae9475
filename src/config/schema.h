/* One table per kind of file says everything about its keys: path, type, default, bounds and a
 * sentence of help. Reading a file, filling in defaults, refusing unknown keys with a suggestion,
 * the commented example and the table in docs/configuration.md all come from it, so they cannot
 * disagree. Control thread and boot only. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/yaml_doc.h"

enum field_type {
    FIELD_BOOL,     /* bool: true/false, yes/no, on/off */
    FIELD_WHOLE,    /* int64_t within least..most */
    FIELD_NUMBER,   /* double within least..most */
    FIELD_TEXT,     /* const char *, least..most characters, matching `rule` if there is one */
    FIELD_CHOICE,   /* int: which word of `rule` ("auto|off") */
    FIELD_PATH,     /* const char *: a relative one starts at the file's folder; "": only where that
                       is the default */
    FIELD_ADDRESS,  /* struct bind_address: "127.0.0.1:8000", "[::1]:8000" */
    FIELD_HOST,     /* struct bind_address with port 0: "127.0.0.1", "::1" */
    FIELD_PORTS,    /* struct port_range: "10000-19999" */
    FIELD_TEXTS,    /* struct text_list, at most `most` items */
    FIELD_PATHS,    /* struct text_list of paths; one alone may be written without a list */
    FIELD_SETTINGS, /* struct setting_list: every further key of the block, path "stt.*" */
    FIELD_TREE      /* const struct yaml_node *, NULL without one: a list that its owner reads */
};

struct bind_address {
    char host[INET6_ADDRSTRLEN]; /* numeric, without brackets */
    uint16_t port;               /* 0: any free one */
    bool ipv6;
    bool loopback;
};

struct port_range {
    uint16_t first;
    uint16_t last;
};

struct text_list {
    const char **at;
    size_t count;
};

struct setting {
    const char *key;
    const char *value;
    uint32_t line;
};

struct setting_list {
    struct setting *at;
    size_t count;
};

struct schema_field {
    const char *path;
    enum field_type type;
    size_t offset;        /* of the member in the target struct */
    const char *fallback; /* the default as YAML would say it; NULL: the key must be given */
    const char *rule;     /* CHOICE: words; TEXT: POSIX extended regular expression, or NULL */
    double least;
    double most;
    const char *example; /* for the example file where there is no default */
    const char *help;    /* one sentence */
};

struct schema {
    const char *title; /* first comment of the example */
    const struct schema_field *fields;
    size_t count;
};

/* Fills `target` (zeroed by the caller) from the document and the defaults; texts are borrowed
 * from the document, which must outlive it. 0 or -EINVAL/-ENOMEM with `why`. */
MUST_USE int schema_read(const struct schema *schema, struct yaml_doc *doc, void *target, char *why,
                         size_t why_bytes);
/* The same of one block of it, to which the paths are relative: "provider", "*". */
MUST_USE int schema_read_block(const struct schema *schema, struct yaml_doc *doc,
                               const struct yaml_node *block, void *target, char *why,
                               size_t why_bytes);
/* A commented file with every key, which itself loads; malloc'd, NULL without memory. */
char *schema_example(const struct schema *schema);
/* The rows of a Markdown table "key | type | default | what it does"; malloc'd. */
char *schema_markdown(const struct schema *schema);
/* The node of a path "a.b", or NULL; for checks that go beyond one key. */
struct yaml_node *schema_node(const struct yaml_doc *doc, const char *path);

#endif
