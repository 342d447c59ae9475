#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/store.h"

/* One table per collection: tenant, _id, the document as JSON. Indexes are on expressions over the
 * document, so nothing is kept twice and no mapping can go wrong. */

#define BUSY_MS      5000 /* how long another process may hold the file */
#define OPEN_TRIES   100  /* switching to WAL ignores the busy time: tried again each 20 ms */
#define SQL_BYTES    1024
#define SCHEMA       1 /* user_version: a newer one is left alone */
#define EXTRACT(doc) "json_extract(" doc ", '$.%s')"

struct sqlite {
    struct store store; /* first */
    sqlite3 *db;
};

/* ---- errors ---- */

static int code_errno(sqlite3 *db, int code)
{
    int os = db ? sqlite3_system_errno(db) : 0;

    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EAGAIN;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return os == ENOSPC || os == EACCES || os == ENOENT || os == EROFS ? -os : -EIO;
    default:
        return -EIO;
    }
}

static int failed(struct sqlite *s, int code)
{
    snprintf(s->store.why, sizeof(s->store.why), "%s", sqlite3_errmsg(s->db));
    return code_errno(s->db, code);
}

/* ---- opening ---- */

static int sql_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int index_make(sqlite3 *db, const struct entity *e, const struct entity_index *x)
{
    char sql[SQL_BYTES];
    struct builder b = builder_of(sql, sizeof(sql) - 1);

    builder_printf(&b, "CREATE INDEX IF NOT EXISTS %s_%s ON %s (tenant", e->name, x->name, e->name);
    for (size_t i = 0; i < x->count; i++)
        builder_printf(&b, ", " EXTRACT("doc") "%s", x->fields[i],
                       i + 1 == x->count && x->descending ? " DESC" : "");
    builder_printf(&b, ", _id%s)", x->descending ? " DESC" : "");
    if (b.bad)
        return SQLITE_TOOBIG;
    sql[b.len] = '\0';
    return sql_run(db, sql);
}

static int expiry_make(sqlite3 *db, const struct entity *e)
{
    char sql[SQL_BYTES];

    if (!e->expires)
        return SQLITE_OK;
    snprintf(sql, sizeof(sql), "CREATE INDEX IF NOT EXISTS %s_expiry ON %s (" EXTRACT("doc") ")",
             e->name, e->name, e->expires);
    return sql_run(db, sql);
}

static int entity_make(sqlite3 *db, const struct entity *e)
{
    char sql[SQL_BYTES];
    int code;

    snprintf(sql, sizeof(sql),
             "CREATE TABLE IF NOT EXISTS %s (tenant TEXT NOT NULL, _id TEXT NOT NULL,"
             " doc TEXT NOT NULL, PRIMARY KEY (tenant, _id)) WITHOUT ROWID",
             e->name);
    code = sql_run(db, sql);
    if (code == SQLITE_OK)
        code = expiry_make(db, e);
    for (size_t i = 0; i < e->index_count && code == SQLITE_OK; i++)
        code = index_make(db, e, &e->indexes[i]);
    return code;
}

/* Under one write lock, so that two processes that start together do not see half of it. */
static int tables_make(sqlite3 *db)
{
    int code = sql_run(db, "BEGIN IMMEDIATE");

    if (code != SQLITE_OK)
        return code;
    for (size_t i = 0; i < entity_count && code == SQLITE_OK; i++)
        code = entity_make(db, &entities[i]);
    if (code == SQLITE_OK)
        code = sql_run(db, "PRAGMA user_version = 1");
    if (code == SQLITE_OK)
        code = sql_run(db, "COMMIT");
    if (code != SQLITE_OK)
        (void)sql_run(db, "ROLLBACK");
    return code;
}

static int wal_set(sqlite3 *db)
{
    int code = SQLITE_BUSY;

    for (int i = 0; i < OPEN_TRIES && (code & 0xff) == SQLITE_BUSY; i++) {
        if (i)
            sqlite3_sleep(20);
        code = sql_run(db, "PRAGMA journal_mode = WAL");
    }
    /* FULL: what is acknowledged is on disk, since the journal forgets it then. */
    return code == SQLITE_OK ? sql_run(db, "PRAGMA synchronous = FULL") : code;
}

static int db_open(struct sqlite *s, const char *path)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &s->db, flags, NULL);

    if (code != SQLITE_OK)
        return code;
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    code = wal_set(s->db);
    return code == SQLITE_OK ? tables_make(s->db) : code;
}

static void sqlite_close(struct store *store)
{
    struct sqlite *s = container_of(store, struct sqlite, store);

    sqlite3_close(s->db);
    free(s);
}

/* Records of what people said are nobody else's to read. SQLite gives its other files the mode of
 * this one; if it cannot be made, opening it says why. */
static void file_make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

static int sqlite_open(const char *rest, const char *data_dir, struct store **out, char *why,
                       size_t why_bytes)
{
    struct sqlite *s = calloc(1, sizeof(*s));
    char path[4096];

    if (!s)
        abort();
    s->store.ops = &store_sqlite;
    if (rest[0]) {
        snprintf(path, sizeof(path), "%s", rest);
    } else {
        /* A folder that cannot be made shows at once as a file that cannot be opened. */
        (void)mkdir(data_dir, 0700);
        snprintf(path, sizeof(path), "%s/sidetone.db", data_dir);
    }
    file_make(path);
    int code = db_open(s, path);

    if (code == SQLITE_OK) {
        *out = &s->store;
        return 0;
    }
    int rc = code_errno(s->db, code);

    snprintf(why, why_bytes, "the store %s cannot be opened: %s", path,
             rc == -EIO && s->db ? sqlite3_errmsg(s->db) : strerror(-rc));
    sqlite_close(&s->store);
    return rc;
}

/* ---- documents ---- */

static int statement(struct sqlite *s, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
}

static int text_bind(sqlite3_stmt *st, int at, struct slice text)
{
    return sqlite3_bind_text64(st, at, text.len ? (const char *)text.at : "", text.len,
                               SQLITE_STATIC, SQLITE_UTF8);
}

static int document_write(struct sqlite *s, const char *sql, const char *tenant, const char *id,
                          struct slice doc)
{
    sqlite3_stmt *st = NULL;
    int code = statement(s, sql, &st);

    if (code == SQLITE_OK)
        code = text_bind(st, 1, slice_str(tenant));
    if (code == SQLITE_OK)
        code = text_bind(st, 2, slice_str(id));
    if (code == SQLITE_OK)
        code = text_bind(st, 3, doc);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    int rc = code == SQLITE_DONE ? 0 : failed(s, code);

    sqlite3_finalize(st);
    return rc;
}

static int sqlite_put(struct store *store, const char *tenant, const struct entity *entity,
                      const char *id, struct slice doc)
{
    char sql[SQL_BYTES];

    snprintf(sql, sizeof(sql),
             "INSERT INTO %s (tenant, _id, doc) VALUES (?, ?, ?)"
             " ON CONFLICT (tenant, _id) DO UPDATE SET doc = excluded.doc",
             entity->name);
    return document_write(container_of(store, struct sqlite, store), sql, tenant, id, doc);
}

static int sqlite_insert(struct store *store, const char *tenant, const struct entity *entity,
                         const char *id, struct slice doc)
{
    char sql[SQL_BYTES];

    snprintf(sql, sizeof(sql), "INSERT INTO %s (tenant, _id, doc) VALUES (?, ?, ?)", entity->name);
    return document_write(container_of(store, struct sqlite, store), sql, tenant, id, doc);
}

static struct slice column(sqlite3_stmt *st, int at)
{
    const void *text = sqlite3_column_text(st, at);

    return slice_of(text, (size_t)sqlite3_column_bytes(st, at));
}

/* Steps through (_id, doc) rows; *rows counts them. */
static int rows_give(struct sqlite *s, sqlite3_stmt *st, store_each *each, void *ctx, size_t *rows)
{
    int code;

    *rows = 0;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        (*rows)++;
        if (each)
            each(ctx, column(st, 0), column(st, 1));
    }
    return code == SQLITE_DONE ? 0 : failed(s, code);
}

static int sqlite_get(struct store *store, const char *tenant, const struct entity *entity,
                      const char *id, store_each *each, void *ctx)
{
    struct sqlite *s = container_of(store, struct sqlite, store);
    sqlite3_stmt *st = NULL;
    char sql[SQL_BYTES];
    size_t rows = 0;

    snprintf(sql, sizeof(sql), "SELECT _id, doc FROM %s WHERE tenant = ? AND _id = ?",
             entity->name);
    int code = statement(s, sql, &st);

    if (code == SQLITE_OK)
        code = text_bind(st, 1, slice_str(tenant));
    if (code == SQLITE_OK)
        code = text_bind(st, 2, slice_str(id));
    int rc = code == SQLITE_OK ? rows_give(s, st, each, ctx, &rows) : failed(s, code);

    sqlite3_finalize(st);
    return rc ? rc : rows ? 0 : -ENOENT;
}

/* ?1 tenant, ?2 value, ?3 after, ?4 limit. Pages go on after the place of the document `after`. */
static void list_sql(const struct entity *e, const struct entity_index *x, bool after,
                     struct builder *b)
{
    const char *order = x->fields[x->count - 1];
    const char *direction = x->descending ? " DESC" : "";

    builder_printf(b, "SELECT _id, doc FROM %s WHERE tenant = ?1", e->name);
    if (x->count > 1)
        builder_printf(b, " AND " EXTRACT("doc") " = ?2", x->fields[0]);
    if (after)
        builder_printf(b,
                       " AND (" EXTRACT("doc") ", _id) %s (SELECT " EXTRACT(
                           "doc") ", _id FROM %s WHERE tenant = ?1 AND _id = ?3)",
                       order, x->descending ? "<" : ">", order, e->name);
    builder_printf(b, " ORDER BY " EXTRACT("doc") "%s, _id%s LIMIT ?4", order, direction,
                   direction);
    builder_u8(b, 0);
}

static int list_bind(sqlite3_stmt *st, const char *tenant, const char *value, const char *after,
                     uint32_t limit)
{
    int code = text_bind(st, 1, slice_str(tenant));

    if (code == SQLITE_OK && value)
        code = text_bind(st, 2, slice_str(value));
    if (code == SQLITE_OK && after)
        code = text_bind(st, 3, slice_str(after));
    return code == SQLITE_OK ? sqlite3_bind_int64(st, 4, limit) : code;
}

static int sqlite_list(struct store *store, const char *tenant, const struct entity *entity,
                       const struct entity_index *index, const char *value, uint32_t limit,
                       const char *after, store_each *each, void *ctx)
{
    struct sqlite *s = container_of(store, struct sqlite, store);
    sqlite3_stmt *st = NULL;
    char sql[SQL_BYTES];
    struct builder b = builder_of(sql, sizeof(sql));
    size_t rows;
    int rc = after ? sqlite_get(store, tenant, entity, after, NULL, NULL) : 0;

    if (rc)
        return rc;
    list_sql(entity, index, after != NULL, &b);
    if (b.bad)
        return -EINVAL;
    int code = statement(s, sql, &st);

    if (code == SQLITE_OK)
        code = list_bind(st, tenant, value, after, limit);
    rc = code == SQLITE_OK ? rows_give(s, st, each, ctx, &rows) : failed(s, code);
    sqlite3_finalize(st);
    return rc;
}

static int sqlite_sweep(struct store *store, const struct entity *entity, int64_t before_ms,
                        uint32_t *gone)
{
    struct sqlite *s = container_of(store, struct sqlite, store);
    sqlite3_stmt *st = NULL;
    char sql[SQL_BYTES];

    snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE " EXTRACT("doc") " < ?", entity->name,
             entity->expires);
    int code = statement(s, sql, &st);

    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(st, 1, before_ms);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    int rc = code == SQLITE_DONE ? 0 : failed(s, code);

    sqlite3_finalize(st);
    *gone = rc ? 0 : (uint32_t)sqlite3_changes(s->db);
    return rc;
}

/* ---- several writes as one ---- */

/* Takes the write lock at once: a transaction that began by reading could not be made to wait. */
static int sqlite_begin(struct store *store)
{
    struct sqlite *s = container_of(store, struct sqlite, store);
    int code = sql_run(s->db, "BEGIN IMMEDIATE");

    return code == SQLITE_OK ? 0 : failed(s, code);
}

/* A write that found the disk full or broken may have ended the transaction: then the writes behind
 * it stand for themselves, and COMMIT says that there is none. */
static int sqlite_commit(struct store *store)
{
    struct sqlite *s = container_of(store, struct sqlite, store);
    int code = sql_run(s->db, "COMMIT");
    int rc = code == SQLITE_OK ? 0 : failed(s, code);

    if (rc && !sqlite3_get_autocommit(s->db))
        (void)sql_run(s->db, "ROLLBACK");
    return rc;
}

const struct store_ops store_sqlite = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .put = sqlite_put,
    .insert = sqlite_insert,
    .get = sqlite_get,
    .list = sqlite_list,
    .sweep = sqlite_sweep,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
};
