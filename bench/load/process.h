/* What a process costs, from /proc: the time its threads ran (in ns, from schedstat) and its
 * resident memory. Reads files; the harness's own thread. */
#ifndef LOAD_PROCESS_H
#define LOAD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/reason.h"

struct process_sample {
    int64_t all_ns;   /* every thread alive now */
    int64_t shard_ns; /* threads named "shard..."; the busiest thread when none is */
    int64_t rss_bytes;
};

/* 0, or -ESRCH when there is no such process. */
MUST_USE int process_read(pid_t pid, struct process_sample *out);
/* Time that this process itself has used. */
int64_t process_own_ns(void);

#endif
