/* The agents that this server answers with: their files, and the version of each that the next
 * call takes. A changed file is noticed by its time, size and inode; a bad one leaves the version
 * before it in force and says so once. Control thread only; reads files, so never on a shard. */
#ifndef CONFIG_AGENT_SET_H
#define CONFIG_AGENT_SET_H

#include "base/limits.h"
#include "config/agent.h"

struct agent_set;

/* What a reload did, one call per file that changed: `agent` is NULL when the file is gone, `why`
 * is NULL unless it was refused. */
struct agent_change {
    const char *file;
    struct agent *agent; /* borrowed: the version now in force, if any */
    const char *why;
};

/* `paths` are files, or folders whose *.yaml and *.yml files are meant (not their subfolders).
 * At boot every file must be good: 0, or -errno with a line of `why` for each complaint. */
MUST_USE int agent_set_new(const char *const *paths, size_t count, const char *(*env)(const char *),
                           struct agent_set **out, char *why, size_t why_bytes);
void agent_set_free(struct agent_set **set);

/* Looks at every file again and takes what changed; returns how many versions are new or gone.
 * `all` reads the unchanged ones too (SIGHUP: the environment may have changed). */
size_t agent_set_reload(struct agent_set *set, bool all,
                        void (*each)(void *ctx, const struct agent_change *change), void *ctx);

/* Borrowed; agent_ref() it to keep it. NULL when there is none of this id. */
struct agent *agent_set_find(const struct agent_set *set, const char *id);
/* The i-th in order of file name, NULL beyond the last. */
struct agent *agent_set_at(const struct agent_set *set, size_t i);
size_t agent_set_count(const struct agent_set *set);

#endif
