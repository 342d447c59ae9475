/* JSON (RFC 8259), bounded both ways. The reader stands on jansson and is for everything but the
 * hot media message: it allocates, so it belongs to set-up, documents and rare messages. It refuses
 * a text above the length given, nesting beyond JSON_DEPTH_MAX, the same key twice in one object,
 * strings with NUL or without valid UTF-8, and anything behind the value. Getters are lenient about
 * numbers and strings, since peers disagree about which is which. The writer appends to a builder,
 * allocates nothing and always produces valid JSON or sets `bad`. Any thread; a document belongs to
 * one. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"
#include "base/limits.h"

/* ---- reader ---- */
struct json_doc {
    void *root; /* a json_t, or NULL */
};

enum json_kind {
    JSON_KIND_NONE, /* the path leads nowhere */
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_NUMBER,
    JSON_KIND_TEXT,
    JSON_KIND_LIST,
    JSON_KIND_OBJECT,
};

#define JSON_WHY_BYTES 160

/* Reads one value. 0; -EMSGSIZE: longer than bytes_max; -EINVAL: not JSON as described above,
 * -ENOMEM; `why` (JSON_WHY_BYTES, or NULL) gets one clause with line and column. */
MUST_USE int json_read(struct json_doc *doc, struct slice text, size_t bytes_max, char *why);
/* Accepts a document that was never read. */
void json_free(struct json_doc *doc);

/* A path names keys and list positions with dots between: "start.customParameters.agent",
 * "turns.0.said"; "" is the value itself. Keys with a dot in them cannot be reached. */
enum json_kind json_kind_of(const struct json_doc *doc, const char *path);
/* Number of elements of a list or members of an object; 0 for all else. */
size_t json_count_of(const struct json_doc *doc, const char *path);
/* A whole number, or a string of one ("8000", "-3"), or a fraction without one (8000.0). -ENOENT:
 * none or null; -EINVAL: something else; -ERANGE: outside least..most. *out is kept then. */
MUST_USE int json_int_of(const struct json_doc *doc, const char *path, int64_t least, int64_t most,
                         int64_t *out);
/* true, false, or the strings of them. -ENOENT, -EINVAL. */
MUST_USE int json_bool_of(const struct json_doc *doc, const char *path, bool *out);
/* A number, or a string of one. -ENOENT, -EINVAL. */
MUST_USE int json_double_of(const struct json_doc *doc, const char *path, double *out);
/* A string, or a number printed as one, with a final NUL. -ENOENT: none or null; -EINVAL: something
 * else; -EMSGSIZE: longer than the room. out is "" then. */
MUST_USE int json_text_of(const struct json_doc *doc, const char *path, char *out,
                          size_t out_bytes);
/* A string in place, alive as long as the document; at == NULL if there is none. */
struct slice json_slice_of(const struct json_doc *doc, const char *path);
/* Is it a string and equal to this one? */
bool json_is(const struct json_doc *doc, const char *path, const char *text);
/* The value as compact JSON, appended. 0, or -ENOENT; a full builder says `bad`. */
MUST_USE int json_build(const struct json_doc *doc, const char *path, struct builder *out);
/* The name of the i-th member of an object, in the order written; at == NULL beyond the last. */
struct slice json_key_of(const struct json_doc *doc, const char *path, size_t i);

/* ---- writer ---- */
struct jsonw {
    struct builder *out;
    uint32_t depth;
    uint32_t lists; /* bit d: the container at depth d is a list */
    uint32_t begun; /* bit d: it already has an element */
    bool keyed;     /* a key was written and waits for its value */
    bool bad;       /* misuse or a full builder: what is written so far is not JSON */
};

void jsonw_init(struct jsonw *w, struct builder *out);
/* An object or a list; jsonw_end closes the innermost. */
void jsonw_begin(struct jsonw *w);
void jsonw_begin_list(struct jsonw *w);
void jsonw_end(struct jsonw *w);
/* In an object, before each value. */
void jsonw_key(struct jsonw *w, const char *key);
/* Any bytes: control characters are escaped, and what is not UTF-8 becomes U+FFFD. */
void jsonw_str(struct jsonw *w, struct slice text);
/* NULL writes null. */
void jsonw_cstr(struct jsonw *w, const char *text);
void jsonw_int(struct jsonw *w, int64_t value);
void jsonw_uint(struct jsonw *w, uint64_t value);
/* With `decimals` (0..9) digits behind the point; what is not finite becomes null. */
void jsonw_double(struct jsonw *w, double value, int decimals);
void jsonw_bool(struct jsonw *w, bool value);
void jsonw_null(struct jsonw *w);
/* A value that is JSON already, taken as it is. */
void jsonw_raw(struct jsonw *w, struct slice json);
/* 0, or -EMSGSIZE: builder full, or containers left open. */
MUST_USE int jsonw_finish(const struct jsonw *w);

/* Key and value in one. */
void jsonw_put_str(struct jsonw *w, const char *key, struct slice text);
void jsonw_put_cstr(struct jsonw *w, const char *key, const char *text);
void jsonw_put_int(struct jsonw *w, const char *key, int64_t value);
void jsonw_put_bool(struct jsonw *w, const char *key, bool value);

#endif
