/* The store: JSON documents by _id in a collection, listed by declared indexes (entity.h). No joins
 * and no aggregation, so that every backend is honest about the same small contract. Every call
 * takes the tenant: a document of another tenant does not exist. Everything here blocks and
 * allocates: store lane only (and recovery at boot). One struct store belongs to one thread. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdint.h>

#include "base/limits.h"
#include "store/entity.h"

#define STORE_TENANT    "default" /* where there is only one */
#define STORE_WHY_BYTES 256

struct store; /* its first member is its ops */

typedef void store_each(void *ctx, struct slice id, struct slice doc); /* both borrowed */

/* A backend. Arguments have been checked: names exist, ids and sizes are within bounds, the
 * document fits its entity. Errors: -EEXIST, -ENOENT, -ENOSPC (disk full), -EIO, -EROFS, -EAGAIN
 * (another process holds it for too long), -ENOMEM. */
struct store_ops {
    const char *scheme; /* "sqlite" */
    int (*open)(const char *uri, const char *data_dir, struct store **out, char *why,
                size_t why_bytes);
    void (*close)(struct store *store);
    int (*put)(struct store *store, const char *tenant, const struct entity *entity, const char *id,
               struct slice doc);
    int (*insert)(struct store *store, const char *tenant, const struct entity *entity,
                  const char *id, struct slice doc);
    int (*get)(struct store *store, const char *tenant, const struct entity *entity, const char *id,
               store_each *each, void *ctx);
    int (*list)(struct store *store, const char *tenant, const struct entity *entity,
                const struct entity_index *index, const char *value, uint32_t limit,
                const char *after, store_each *each, void *ctx);
    int (*sweep)(struct store *store, const struct entity *entity, int64_t before_ms,
                 uint32_t *gone);
    int (*begin)(struct store *store);
    int (*commit)(struct store *store);
};

struct store {
    const struct store_ops *ops;
    char why[STORE_WHY_BYTES]; /* one sentence on the last error */
};

/* By URI: "sqlite:" (sidetone.db in data_dir), "sqlite:PATH". 0 or -errno with a sentence. */
MUST_USE int store_open(const char *uri, const char *data_dir, struct store **out, char *why,
                        size_t why_bytes);
void store_close(struct store **store);

/* Writes the document, over one of the same _id. */
MUST_USE int store_put(struct store *s, const char *tenant, const char *collection, const char *id,
                       struct slice doc);
/* A claim: -EEXIST when there is one of this _id. Atomic between threads and processes. */
MUST_USE int store_insert(struct store *s, const char *tenant, const char *collection,
                          const char *id, struct slice doc);
/* Calls `each` once, or -ENOENT. */
MUST_USE int store_get(struct store *s, const char *tenant, const char *collection, const char *id,
                       store_each *each, void *ctx);
/* One page in the order of the index: those whose first index field is `value` (an index of one
 * field takes NULL), at most `limit`, after the document `after` (NULL: from the start; -ENOENT
 * when it is gone). */
MUST_USE int store_list(struct store *s, const char *tenant, const char *collection,
                        const char *index, const char *value, uint32_t limit, const char *after,
                        store_each *each, void *ctx);
/* Forgets the documents of every tenant whose expiry lies before `wall_ms`. */
MUST_USE int store_sweep(struct store *s, const char *collection, int64_t wall_ms, uint32_t *gone);

/* What is written between these two is on disk, all of it, when store_commit() answers 0; else none
 * of it can be relied on, and each write may be made again. Each succeeds or fails for itself. */
MUST_USE int store_begin(struct store *s);
MUST_USE int store_commit(struct store *s);

extern const struct store_ops store_sqlite;

#endif
