#include "store/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blob_file.h"
#include "store/call_log.h"
#include "store/file_lock.h"
#include "store/journal.h"
#include "store/record.h"
#include "store/recording.h"

#define PATH_BYTES 4096

struct recovery {
    const struct recover_options *options;
    struct recover_report *report;
    bool failed; /* something of the file at hand could not be done */
};

static void say(struct recovery *r, bool wrong, const char *format, ...) PRINTF_LIKE(3, 4);

static void say(struct recovery *r, bool wrong, const char *format, ...)
{
    char sentence[512];
    va_list args;

    if (!r->options->say)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    r->options->say(r->options->ctx, wrong, sentence);
}

/* ---- recordings ---- */

static int all_pwrite(int fd, struct slice bytes, uint64_t offset)
{
    while (bytes.len) {
        ssize_t n = pwrite(fd, bytes.at, bytes.len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes = slice_of(bytes.at + n, bytes.len - (size_t)n);
        offset += (uint64_t)n;
    }
    return 0;
}

/* The sound first, the header that counts it last. */
static int wav_repair(int fd, const struct recording_left *left)
{
    uint64_t at = RECORDING_HEADER_BYTES + left->done;
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(left->tail) && !rc; i++) {
        rc = all_pwrite(fd, left->tail[i], at);
        at += left->tail[i].len;
    }
    if (!rc && ftruncate(fd, (off_t)(RECORDING_HEADER_BYTES + left->total)) < 0)
        rc = -errno;
    if (!rc)
        rc = all_pwrite(fd, slice_of(left->header, sizeof(left->header)), 0);
    return !rc && fsync(fd) < 0 ? -errno : rc;
}

static int wav_open(const char *data_dir, const char *path, int *fd)
{
    char full[PATH_BYTES];
    int rc = blob_full(data_dir, path, full, sizeof(full));

    if (!rc)
        rc = blob_folders(data_dir, path);
    if (rc)
        return rc;
    *fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *fd < 0 ? -errno : 0;
}

static void recording_take(void *ctx, const struct recording_left *left)
{
    struct recovery *r = ctx;
    int fd = -1;
    int rc = wav_open(r->options->data_dir, left->path, &fd);

    if (!rc) {
        rc = wav_repair(fd, left);
        close(fd);
    }
    if (rc) {
        r->failed = true;
        say(r, true, "the recording %s cannot be repaired: %s", left->path, strerror(-rc));
        return;
    }
    r->report->recordings++;
    say(r, false, "repaired the recording %s", left->path);
}

/* ---- calls ---- */

struct found {
    struct journal_record record;
    size_t order; /* as met: makes the sorting stable */
};

struct heap {
    struct found *at;
    size_t count;
    size_t size;
    bool failed;
};

static void record_found(void *ctx, const struct journal_record *record)
{
    struct heap *h = ctx;

    if (h->count == h->size) {
        size_t size = h->size ? 2 * h->size : 1024;
        struct found *more = realloc(h->at, size * sizeof(*more));

        if (!more) {
            h->failed = true;
            return;
        }
        h->at = more;
        h->size = size;
    }
    h->at[h->count] = (struct found){.record = *record, .order = h->count};
    h->count++;
}

static int id_order(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.at, b.at, len) : 0;

    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int found_order(const void *x, const void *y)
{
    const struct found *a = x;
    const struct found *b = y;
    int order = id_order(a->record.call_id, b->record.call_id);

    if (order)
        return order;
    if (a->record.seq != b->record.seq)
        return a->record.seq < b->record.seq ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* How long the sound on disk is, by what the call's first record says of its format. */
static void sound_measure(struct recovery *r, const struct found *first,
                          struct call_log_extra *extra)
{
    struct record_begin begin;
    char path[RECORDING_PATH_BYTES];
    char full[PATH_BYTES];
    struct stat st;

    if (first->record.type != JOURNAL_CALL_BEGIN || record_begin_get(first->record.payload, &begin))
        return;
    uint64_t rate = (uint64_t)begin.recording_rate_hz * begin.recording_channels * 2;

    if (!rate || !begin.recording.len)
        return;
    extra->recording_bad = slice_cstr(begin.recording, path, sizeof(path)) || !blob_path_ok(path) ||
                           blob_full(r->options->data_dir, path, full, sizeof(full)) ||
                           stat(full, &st) < 0 || st.st_size < RECORDING_HEADER_BYTES;
    if (!extra->recording_bad)
        extra->recording_ms =
            (int64_t)((uint64_t)(st.st_size - RECORDING_HEADER_BYTES) * 1000 / rate);
}

static int log_store(struct recovery *r, const struct call_log *log)
{
    int rc = blob_write(r->options->data_dir, log->transcript_file, slice_str(log->transcript));

    if (!rc)
        rc = store_put(r->options->store, log->tenant, "call_logs", log->call_id,
                       slice_str(log->document));
    return rc;
}

/* One call's records, in order, without second copies. */
static struct builder stream_make(const struct found *at, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += at[i].record.raw.len;
    struct builder b = builder_of(malloc(bytes + 1), bytes);

    for (size_t i = 0; i < count && b.at; i++)
        if (!i || at[i].record.seq != at[i - 1].record.seq)
            builder_slice_add(&b, at[i].record.raw);
    return b;
}

static void call_take(struct recovery *r, const struct found *at, size_t count)
{
    struct call_log_extra extra = {0};
    struct call_log log;
    bool ended = false;

    for (size_t i = 0; i < count; i++) {
        if (at[i].record.type == JOURNAL_STORED)
            return;
        ended = ended || at[i].record.type == JOURNAL_CALL_END;
    }
    struct builder stream = stream_make(at, count);

    sound_measure(r, at, &extra);
    int rc = stream.at ? call_log_build(builder_slice(&stream), &extra, &log) : -ENOMEM;

    free(stream.at);
    if (!rc) {
        rc = log_store(r, &log);
        call_log_fini(&log);
    }
    if (rc == -ENOENT || rc == -EINVAL) { /* trying again would not help */
        r->report->damaged++;
        say(r, true, "a call without a usable beginning was left out: %.*s",
            SLICE_ARG(at->record.call_id));
    } else if (rc) {
        r->failed = true;
        say(r, true, "the log of call %.*s cannot be stored: %s", SLICE_ARG(at->record.call_id),
            strerror(-rc));
    } else {
        r->report->interrupted += !ended;
        r->report->stored += ended;
        say(r, false, "stored the log of call %.*s as %s", SLICE_ARG(at->record.call_id),
            ended ? "it ended" : "interrupted");
    }
}

static void journal_take(struct recovery *r, const char *name, struct slice file)
{
    struct heap h = {0};
    uint32_t damaged = 0;
    int rc = journal_walk(file, record_found, &h, &damaged);

    if (rc) /* killed before it was set up: nothing was ever acknowledged in it */
        say(r, true, "%s is not a journal and was removed", name);
    r->report->damaged += damaged;
    r->failed = r->failed || h.failed;
    if (h.count)
        qsort(h.at, h.count, sizeof(h.at[0]), found_order);
    for (size_t i = 0; i < h.count;) {
        size_t n = 1;

        while (i + n < h.count && slice_equal(h.at[i].record.call_id, h.at[i + n].record.call_id))
            n++;
        call_take(r, &h.at[i], n);
        i += n;
    }
    free(h.at);
}

static void tail_take(struct recovery *r, const char *name, struct slice file)
{
    if (recording_walk(file, recording_take, r))
        say(r, true, "%s holds no recordings and was removed", name);
}

/* ---- files ---- */

static void file_take(struct recovery *r, const char *dir, const char *name,
                      void (*take)(struct recovery *, const char *, struct slice))
{
    char path[PATH_BYTES];
    struct slice map;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int rc = file_lock_take(path, &fd, &map);

    if (rc) {
        r->report->held += rc == -EWOULDBLOCK;
        r->report->kept += rc != -EWOULDBLOCK && rc != -ENOENT;
        return;
    }
    r->failed = false;
    take(r, name, map);
    /* Removed while still locked: nobody else can be reading it. */
    if (!r->failed && unlink(path) < 0)
        r->failed = true;
    r->report->files += !r->failed;
    r->report->kept += r->failed;
    file_lock_drop(fd, map);
}

static bool name_ends(const char *name, const char *end)
{
    size_t len = strlen(name);
    size_t tail = strlen(end);

    return len > tail && !strcmp(name + len - tail, end);
}

/* All files of one kind. A file that appears meanwhile belongs to a process that lives. */
static int files_take(struct recovery *r, const char *dir, const char *end,
                      void (*take)(struct recovery *, const char *, struct slice))
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    while ((e = readdir(d)))
        if (name_ends(e->d_name, end))
            file_take(r, dir, e->d_name, take);
    closedir(d);
    return 0;
}

int recover_run(const struct recover_options *options, struct recover_report *report)
{
    struct recovery r = {.options = options, .report = report};
    char dir[PATH_BYTES - 300];

    memset(report, 0, sizeof(*report));
    if (snprintf(dir, sizeof(dir), "%s/journal", options->data_dir) >= (int)sizeof(dir))
        return -ENAMETOOLONG;
    /* Recordings first: the length of the sound tells how long an interrupted call was. */
    int rc = files_take(&r, dir, ".tail", tail_take);

    return rc ? rc : files_take(&r, dir, ".journal", journal_take);
}
