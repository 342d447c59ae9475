#include "store/store.h"

#include <errno.h>
#include <stdio.h>

static const struct store_ops *const backends[] = {&store_sqlite};

int store_open(const char *uri, const char *data_dir, struct store **out, char *why,
               size_t why_bytes)
{
    struct slice rest;
    struct slice scheme = slice_cut(slice_str(uri), ':', &rest);

    *out = NULL;
    for (size_t i = 0; i < ARRAY_LEN(backends); i++)
        if (slice_equal(scheme, slice_str(backends[i]->scheme)))
            return backends[i]->open((const char *)rest.at, data_dir, out, why, why_bytes);
    snprintf(why, why_bytes, "there is no store of the kind \"%.*s\"", SLICE_ARG(scheme));
    return -EINVAL;
}

void store_close(struct store **store)
{
    if (*store)
        (*store)->ops->close(*store);
    *store = NULL;
}

static int refuse(struct store *s, int err, const char *what)
{
    snprintf(s->why, sizeof(s->why), "%s", what);
    return err;
}

static bool id_ok(const char *id)
{
    size_t len = id ? strlen(id) : 0;

    return len && len <= STORE_ID_BYTES && slice_is_utf8(slice_str(id));
}

static int names_check(struct store *s, const char *tenant, const char *collection, const char *id,
                       const struct entity **entity)
{
    *entity = entity_find(collection);
    if (!*entity)
        return refuse(s, -EINVAL, "there is no such collection");
    if (!id_ok(tenant))
        return refuse(s, -EINVAL, "the tenant must be 1 to 200 bytes of text");
    if (!id_ok(id))
        return refuse(s, -EINVAL, "the _id must be 1 to 200 bytes of text");
    return 0;
}

static int write_check(struct store *s, const char *tenant, const char *collection, const char *id,
                       struct slice doc, const struct entity **entity)
{
    int rc = names_check(s, tenant, collection, id, entity);

    if (rc)
        return rc;
    if (doc.len > STORE_DOC_BYTES)
        return refuse(s, -EMSGSIZE, "the document is larger than 16 MB");
    return entity_check(*entity, doc, s->why, sizeof(s->why));
}

int store_put(struct store *s, const char *tenant, const char *collection, const char *id,
              struct slice doc)
{
    const struct entity *entity;
    int rc = write_check(s, tenant, collection, id, doc, &entity);

    return rc ? rc : s->ops->put(s, tenant, entity, id, doc);
}

int store_insert(struct store *s, const char *tenant, const char *collection, const char *id,
                 struct slice doc)
{
    const struct entity *entity;
    int rc = write_check(s, tenant, collection, id, doc, &entity);

    return rc ? rc : s->ops->insert(s, tenant, entity, id, doc);
}

int store_get(struct store *s, const char *tenant, const char *collection, const char *id,
              store_each *each, void *ctx)
{
    const struct entity *entity;
    int rc = names_check(s, tenant, collection, id, &entity);

    return rc ? rc : s->ops->get(s, tenant, entity, id, each, ctx);
}

int store_list(struct store *s, const char *tenant, const char *collection, const char *index,
               const char *value, uint32_t limit, const char *after, store_each *each, void *ctx)
{
    const struct entity *entity;
    int rc = names_check(s, tenant, collection, after ? after : "-", &entity);

    if (rc)
        return rc;
    const struct entity_index *by = entity_index_find(entity, index);

    if (!by)
        return refuse(s, -EINVAL, "there is no such index");
    if ((by->count > 1) != (value != NULL))
        return refuse(s, -EINVAL, "this index is listed otherwise: with a value or without");
    limit = limit > STORE_LIST_MAX ? STORE_LIST_MAX : limit;
    return s->ops->list(s, tenant, entity, by, value, limit, after, each, ctx);
}

int store_sweep(struct store *s, const char *collection, int64_t wall_ms, uint32_t *gone)
{
    const struct entity *entity = entity_find(collection);

    *gone = 0;
    if (!entity || !entity->expires)
        return refuse(s, -EINVAL, "nothing in this collection expires");
    return s->ops->sweep(s, entity, wall_ms, gone);
}

int store_begin(struct store *s)
{
    return s->ops->begin(s);
}

int store_commit(struct store *s)
{
    return s->ops->commit(s);
}
