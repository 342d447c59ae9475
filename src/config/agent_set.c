#include "config/agent_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/complaints.h"

/* What tells one state of a file from another. */
struct stamp {
    int64_t modified_ns;
    int64_t bytes;
    uint64_t inode;
};

struct entry {
    char *file;
    struct agent *agent; /* in force; NULL only while the set is being made */
    struct stamp stamp;  /* of the last look, good or bad */
    bool seen;           /* in this look */
};

struct agent_set {
    char **paths;
    size_t path_count;
    const char *(*env)(const char *);
    struct entry entries[AGENTS_MAX];
    size_t count;
};

/* ---- files ---- */

static bool stamp_take(const char *file, struct stamp *out)
{
    struct stat st;

    if (stat(file, &st) < 0)
        return false;
    *out = (struct stamp){
        .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .bytes = st.st_size,
        .inode = (uint64_t)st.st_ino,
    };
    return true;
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->modified_ns == b->modified_ns && a->bytes == b->bytes && a->inode == b->inode;
}

static struct entry *entry_find(struct agent_set *set, const char *file)
{
    for (size_t i = 0; i < set->count; i++)
        if (!strcmp(set->entries[i].file, file))
            return &set->entries[i];
    return NULL;
}

static int entry_add(struct agent_set *set, const char *file)
{
    struct entry *e = entry_find(set, file);

    if (e) {
        e->seen = true;
        return 0;
    }
    if (set->count == AGENTS_MAX)
        return -EMSGSIZE;
    e = &set->entries[set->count];
    *e = (struct entry){.file = strdup(file), .seen = true};
    if (!e->file)
        return -ENOMEM;
    set->count++;
    return 0;
}

static void entry_drop(struct agent_set *set, size_t i)
{
    agent_put(&set->entries[i].agent);
    free(set->entries[i].file);
    set->entries[i] = set->entries[--set->count];
}

static bool name_is_agent(const char *name)
{
    const char *dot = strrchr(name, '.');

    return name[0] != '.' && dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

static int folder_look(struct agent_set *set, const char *folder, DIR *dir)
{
    char file[4096];
    struct dirent *d;
    int rc = 0;

    while (!rc && (d = readdir(dir))) {
        if (!name_is_agent(d->d_name))
            continue;
        int len = snprintf(file, sizeof(file), "%s/%s", folder, d->d_name);

        rc = len < (int)sizeof(file) ? entry_add(set, file) : -ENAMETOOLONG;
    }
    return rc;
}

static int path_look(struct agent_set *set, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return entry_add(set, path);
    DIR *dir = opendir(path);

    if (!dir)
        return -errno;
    int rc = folder_look(set, path, dir);

    closedir(dir);
    return rc;
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->file, ((const struct entry *)b)->file);
}

/* ---- loading ---- */

static bool id_taken(const struct agent_set *set, const struct entry *e, const struct agent *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (&set->entries[i] != e && set->entries[i].agent &&
            !strcmp(set->entries[i].agent->id, a->id))
            return true;
    return false;
}

/* A new version for this file, or the old one stays. */
static int entry_load(struct agent_set *set, struct entry *e, char *why, size_t why_bytes)
{
    struct agent *next;
    int rc = agent_load(e->file, set->env, &next, why, why_bytes);

    if (!rc && id_taken(set, e, next)) {
        agent_complain(next, "id", why, why_bytes, "another agent file has the same id");
        agent_put(&next);
        rc = -EEXIST;
    }
    if (rc)
        return rc;
    next->version = e->agent ? e->agent->version + 1 : 1;
    agent_put(&e->agent);
    e->agent = next;
    return 0;
}

static int set_start(struct agent_set *set, char *why, size_t why_bytes)
{
    struct complaints complaints;

    for (size_t i = 0; i < set->path_count; i++) {
        int rc = path_look(set, set->paths[i]);

        if (rc) {
            snprintf(why, why_bytes, "%s: %s", set->paths[i], strerror(-rc));
            return rc;
        }
    }
    qsort(set->entries, set->count, sizeof(set->entries[0]), entry_order);
    complaints_begin(&complaints, why, why_bytes);
    for (size_t i = 0; i < set->count; i++) {
        struct entry *e = &set->entries[i];

        stamp_take(e->file, &e->stamp);
        complaints_add(&complaints, entry_load(set, e, complaints.next, sizeof(complaints.next)));
    }
    return complaints.err;
}

int agent_set_new(const char *const *paths, size_t count, const char *(*env)(const char *),
                  struct agent_set **out, char *why, size_t why_bytes)
{
    struct agent_set *set = calloc(1, sizeof(*set));

    if (!set || !(set->paths = calloc(count + 1, sizeof(*set->paths))))
        abort();
    set->env = env;
    set->path_count = count;
    for (size_t i = 0; i < count; i++)
        if (!(set->paths[i] = strdup(paths[i])))
            abort();
    int rc = set_start(set, why, why_bytes);

    if (rc)
        agent_set_free(&set);
    *out = set;
    return rc;
}

void agent_set_free(struct agent_set **set)
{
    struct agent_set *s = *set;

    *set = NULL;
    if (!s)
        return;
    while (s->count)
        entry_drop(s, s->count - 1);
    for (size_t i = 0; i < s->path_count; i++)
        free(s->paths[i]);
    free(s->paths);
    free(s);
}

/* ---- reloading ---- */

/* One file of a reload: 1 when its agent changed. */
static size_t entry_reload(struct agent_set *set, struct entry *e, bool all,
                           void (*each)(void *, const struct agent_change *), void *ctx)
{
    char why[CONFIG_WHY_BYTES];
    struct stamp now;

    if (!stamp_take(e->file, &now) || (!all && stamp_equal(&now, &e->stamp)))
        return 0;
    e->stamp = now;
    int rc = entry_load(set, e, why, sizeof(why));
    struct agent_change change = {.file = e->file, .agent = e->agent, .why = rc ? why : NULL};

    if (each)
        each(ctx, &change);
    return rc ? 0 : 1;
}

/* Files that are gone take no more calls; a file that never was good is forgotten until it is. */
static size_t entries_sweep(struct agent_set *set,
                            void (*each)(void *, const struct agent_change *), void *ctx)
{
    size_t gone = 0;

    for (size_t i = set->count; i-- > 0;) {
        struct entry *e = &set->entries[i];
        struct agent_change change = {.file = e->file};

        if (e->seen)
            continue;
        if (e->agent) {
            gone++;
            if (each)
                each(ctx, &change);
        }
        entry_drop(set, i);
    }
    return gone;
}

size_t agent_set_reload(struct agent_set *set, bool all,
                        void (*each)(void *ctx, const struct agent_change *change), void *ctx)
{
    bool looked = true;
    size_t changed = 0;

    for (size_t i = 0; i < set->count; i++)
        set->entries[i].seen = false;
    for (size_t i = 0; i < set->path_count; i++) {
        int rc = path_look(set, set->paths[i]);

        /* A folder that cannot be read now says nothing about its files. */
        looked = looked && (!rc || rc == -ENOENT);
    }
    if (looked)
        changed += entries_sweep(set, each, ctx);
    qsort(set->entries, set->count, sizeof(set->entries[0]), entry_order);
    for (size_t i = 0; i < set->count; i++)
        changed += entry_reload(set, &set->entries[i], all, each, ctx);
    return changed;
}

struct agent *agent_set_find(const struct agent_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->entries[i].agent && !strcmp(set->entries[i].agent->id, id))
            return set->entries[i].agent;
    return NULL;
}

struct agent *agent_set_at(const struct agent_set *set, size_t i)
{
    for (size_t j = 0; j < set->count; j++)
        if (set->entries[j].agent && i-- == 0)
            return set->entries[j].agent;
    return NULL;
}

size_t agent_set_count(const struct agent_set *set)
{
    size_t n = 0;

    for (size_t i = 0; i < set->count; i++)
        n += set->entries[i].agent != NULL;
    return n;
}
