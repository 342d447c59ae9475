#include "bench/load/process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* The first line of a file; empty when it cannot be read. */
static void read_line(const char *path, char *line, size_t line_bytes)
{
    FILE *f = fopen(path, "re");

    line[0] = '\0';
    if (!f)
        return;
    if (!fgets(line, (int)line_bytes, f))
        line[0] = '\0';
    fclose(f);
}

static int64_t thread_ns(pid_t pid, const char *tid, bool *shard)
{
    char path[320], line[128];
    int64_t ran_ns = 0;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)pid, tid);
    read_line(path, line, sizeof(line));
    *shard = strncmp(line, "shard", 5) == 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    read_line(path, line, sizeof(line));
    return sscanf(line, "%" SCNd64, &ran_ns) == 1 ? ran_ns : 0;
}

int process_read(pid_t pid, struct process_sample *out)
{
    char path[64], line[128];
    int64_t shards_ns = 0, busiest_ns = 0, pages = 0;
    struct dirent *entry;
    bool shard;

    memset(out, 0, sizeof(*out));
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -ESRCH;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        int64_t ns = thread_ns(pid, entry->d_name, &shard);
        out->all_ns += ns;
        shards_ns += shard ? ns : 0;
        busiest_ns = ns > busiest_ns ? ns : busiest_ns;
    }
    closedir(dir);
    out->shard_ns = shards_ns ? shards_ns : busiest_ns;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    read_line(path, line, sizeof(line));
    if (sscanf(line, "%*d %" SCNd64, &pages) == 1)
        out->rss_bytes = pages * sysconf(_SC_PAGESIZE);
    return 0;
}

int64_t process_own_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}
