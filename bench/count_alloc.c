/* Counts what each thread asks of malloc: preloaded into the server, it keeps a table in the file
 * that COUNT_ALLOC names, which a proof reads while calls go on. Each thread has a row of its own,
 * so counting takes no lock; threads beyond the table share the last row. Of a shard's last time it
 * keeps who asked. Linux and dlsym; never a part of the server. */
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ROWS        256
#define CALLS_MAX   12
#define EARLY_BYTES 65536 /* what dlsym itself asks for before it has told us */

struct row {
    int64_t tid, count, bytes, calls;
    void *from[CALLS_MAX]; /* return addresses, the innermost first */
};

static struct row nowhere[ROWS], *rows = nowhere;
static atomic_uint rows_used;
static __thread struct row *mine;
static __thread int is_shard, asking;
static uint8_t early[EARLY_BYTES] __attribute__((aligned(16)));
static size_t early_used;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_aligned)(size_t, size_t);
static int (*real_posix)(void **, size_t, size_t);
static void (*real_free)(void *);

static void find(void *to, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(to, &symbol, sizeof(symbol));
}

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("COUNT_ALLOC");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    find(&real_calloc, "calloc");
    find(&real_realloc, "realloc");
    find(&real_aligned, "aligned_alloc");
    find(&real_posix, "posix_memalign");
    find(&real_free, "free");
    find(&real_malloc, "malloc");
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof(nowhere)) == 0) {
        void *at = mmap(NULL, sizeof(nowhere), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        rows = at == MAP_FAILED ? nowhere : at;
    }
    close(fd);
}

/* Looking for who asked is dear: lanes, who may ask, are to go on as ever. */
static int shard_asks(void)
{
    char name[16] = "";

    return prctl(PR_GET_NAME, name) == 0 && strncmp(name, "shard ", 6) == 0;
}

static void count(size_t bytes)
{
    if (!mine || mine < rows || mine >= rows + ROWS) {
        unsigned next = atomic_fetch_add(&rows_used, 1);
        mine = &rows[next < ROWS ? next : ROWS - 1];
        mine->tid = gettid();
        is_shard = shard_asks();
    }
    mine->count++;
    mine->bytes += (int64_t)bytes;
    if (is_shard && !asking) {
        asking = 1; /* it may ask for memory itself */
        mine->calls = backtrace(mine->from, CALLS_MAX);
        asking = 0;
    }
}

static void *take_early(size_t bytes)
{
    void *at = early + early_used;

    early_used += (bytes + 15) / 16 * 16;
    return early_used <= EARLY_BYTES ? at : NULL;
}

static int is_early(const void *at)
{
    return (const uint8_t *)at >= early && (const uint8_t *)at < early + EARLY_BYTES;
}

void *malloc(size_t bytes)
{
    if (!real_malloc)
        return take_early(bytes);
    count(bytes);
    return real_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    if (!real_malloc)
        return take_early(n * bytes); /* never used before: zero */
    count(n * bytes);
    return real_calloc(n, bytes);
}

void *realloc(void *at, size_t bytes)
{
    if (!real_malloc || is_early(at)) {
        void *to = malloc(bytes);
        return at && to ? memcpy(to, at, bytes) : to;
    }
    count(bytes);
    return real_realloc(at, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(bytes);
    return real_aligned(alignment, bytes);
}

int posix_memalign(void **at, size_t alignment, size_t bytes)
{
    count(bytes);
    return real_posix(at, alignment, bytes);
}

void free(void *at)
{
    if (at && !is_early(at))
        real_free(at);
}
