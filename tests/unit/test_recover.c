/* The start after a kill: at random moments, twice, beside a living process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/rand.h"
#include "store/call_log.h"
#include "store/journal.h"
#include "store/record.h"
#include "tests/unit/recording_folder.h"

/* ---- a process that will be killed ---- */

/* What the child had been told is safe when it died; in memory shared with the test. */
struct progress {
    volatile uint32_t calls;    /* begun */
    volatile uint32_t heard;    /* records of the newest call */
    volatile uint32_t ended;    /* calls with CALL_END */
    volatile uint64_t sound;    /* bytes of the newest call */
    volatile uint32_t sound_of; /* which call that is */
};

struct child {
    struct journal_shard *journal;
    struct recording_shard *recordings;
    struct progress *progress;
    uint32_t number;
    uint32_t handle;
    uint32_t recording;
    int fd;
    uint8_t bytes[2048];
};

static void child_begin(struct child *c)
{
    struct builder b = builder_of(c->bytes, sizeof(c->bytes));
    uint8_t header[RECORDING_HEADER_BYTES];
    char id[32];
    char path[64];
    char full[256];

    snprintf(id, sizeof(id), "call-%u", c->number);
    if (blob_path(BLOB_RECORDING, NULL, id, path, sizeof(path)) || blob_folders(folder, path) ||
        blob_full(folder, path, full, sizeof(full)))
        _exit(1);
    record_begin_put(&b, &(struct record_begin){.wall_ms = 1795249800000,
                                                .recording_rate_hz = 16000,
                                                .recording_channels = 1,
                                                .tenant = SLICE("default"),
                                                .agent_id = SLICE("clinic"),
                                                .protocol = SLICE("rtp"),
                                                .direction = SLICE("inbound"),
                                                .recording = slice_str(path)});
    if (journal_begin(c->journal, id, builder_slice(&b), &c->handle))
        _exit(2);
    c->progress->heard = 0;
    c->progress->calls = c->number + 1;
    header_make(header);
    if (recording_begin(c->recordings, path, slice_of(header, sizeof(header)), &c->recording))
        _exit(3);
    c->progress->sound = 0;
    c->progress->sound_of = c->number + 1;
    c->fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void child_speaks(struct child *c, int64_t i)
{
    struct builder b = builder_of(c->bytes, sizeof(c->bytes));
    uint8_t pcm[FRAME_BYTES];
    int16_t samples[FRAME];
    char text[32];

    sound_make((uint64_t)i * FRAME_BYTES, pcm, sizeof(pcm));
    memcpy(samples, pcm, sizeof(pcm));
    recording_lay(c->recordings, c->recording, RECORDING_CALLER, i * FRAME, samples, FRAME);
    recording_reach(c->recordings, c->recording, (i + 1) * FRAME);
    if (recording_settle(c->recordings, c->recording, (i - 12) * FRAME))
        _exit(4);
    c->progress->sound = (uint64_t)(i + 1) * FRAME_BYTES;
    write_out(c->recordings, c->recording, c->fd, false);
    if (i % 4)
        return;
    snprintf(text, sizeof(text), "word %u", (uint32_t)i / 4);
    record_heard_put(&b, &(struct record_heard){.wall_ms = 1795249800000 + i,
                                                .turn = (uint32_t)i / 4,
                                                .text = slice_str(text)});
    if (journal_add(c->journal, c->handle, JOURNAL_HEARD, builder_slice(&b)))
        _exit(5);
    c->progress->heard = (uint32_t)i / 4 + 1;
}

static void child_ends(struct child *c)
{
    struct builder b = builder_of(c->bytes, sizeof(c->bytes));
    uint8_t header[RECORDING_HEADER_BYTES];

    if (recording_settle(c->recordings, c->recording, 120 * FRAME))
        _exit(9);
    write_out(c->recordings, c->recording, c->fd, true);
    recording_header(c->recordings, c->recording, header);
    if (pwrite(c->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        _exit(6);
    close(c->fd);
    recording_end(c->recordings, c->recording);
    record_end_put(&b, &(struct record_end){.wall_ms = 1795249900000,
                                            .duration_ms = 100000,
                                            .status = SLICE("completed"),
                                            .reason = SLICE("goodbye")});
    if (journal_add(c->journal, c->handle, JOURNAL_CALL_END, builder_slice(&b)))
        _exit(7);
    c->progress->ended = c->number + 1;
    /* Every third call's log was stored already: recovery must leave it alone. */
    if (c->number % 3 == 2)
        journal_stored(c->journal, c->handle);
}

static void child_run(struct progress *progress)
{
    struct child c = {.progress = progress};
    struct journal *j;
    struct recording_file *f;
    char why[256];

    if (journal_open(journal_dir, "killed", 2, JOURNAL_REGION_MIN, &j, why, sizeof(why)) ||
        recording_file_open(journal_dir, "killed", 2, 2, &f, why, sizeof(why)))
        _exit(8);
    c.journal = journal_shard(j, 1);
    c.recordings = recording_shard(f, 1);
    for (; c.number < 40; c.number++) {
        child_begin(&c);
        for (int64_t i = 0; i < 120; i++)
            child_speaks(&c, i);
        child_ends(&c);
    }
    for (;;) /* a slow parent kills it only now, which is a moment like any other */
        pause();
}

static void json_each(void *ctx, struct slice id, struct slice doc)
{
    (void)id;
    *(json_t **)ctx = json_loadb((const char *)doc.at, doc.len, 0, NULL);
}

static int log_get(struct store *s, uint32_t number, json_t **doc)
{
    char id[32];

    snprintf(id, sizeof(id), "call-%u", number);
    return store_get(s, "default", "call_logs", id, json_each, doc);
}

/* A call log: its status, and every word that was acknowledged, in order. */
static void log_check(struct store *s, uint32_t number, const char *status, uint32_t heard)
{
    json_t *doc = NULL;

    assert_int_equal(log_get(s, number, &doc), 0);
    assert_non_null(doc);
    assert_string_equal(json_string_value(json_object_get(doc, "status")), status);
    json_t *lines = json_object_get(doc, "transcript");

    assert_true(json_array_size(lines) >= heard);
    for (size_t i = 0; i < json_array_size(lines); i++) {
        char text[32];

        snprintf(text, sizeof(text), "word %zu", i);
        assert_string_equal(json_string_value(json_object_get(json_array_get(lines, i), "text")),
                            text);
    }
    const char *file = json_string_value(json_object_get(doc, "transcript_file"));
    uint8_t bytes[16];

    assert_true(file_read(file, bytes, sizeof(bytes)) > 0);
    json_decref(doc);
}

static void aftermath_check(const struct progress *p, const struct recover_report *report)
{
    struct store *s = open_store();
    uint32_t open_calls = p->calls - p->ended;
    json_t *doc = NULL;
    char path[64];

    assert_int_equal(report->damaged, 0);
    assert_int_equal(report->kept, 0);
    /* Killed between a record and the note of it, the note may be one behind. */
    assert_in_range(report->interrupted + 1, open_calls ? open_calls : 1, open_calls + 2);
    for (uint32_t i = 0; i < p->ended; i++)
        if (i % 3 != 2)
            log_check(s, i, "completed", 30);
        else if (i + 1 < p->ended) /* acknowledged: not stored a second time */
            assert_int_equal(log_get(s, i, &doc), -ENOENT);
    for (uint32_t i = 0; i < p->ended; i++) {
        snprintf(path, sizeof(path), "recordings/direct/call-%u.wav", i);
        assert_int_equal(wav_check(path, 0), 120 * FRAME_BYTES);
    }
    if (open_calls && report->interrupted)
        log_check(s, p->calls - 1, "interrupted", p->heard);
    else if (open_calls && p->calls % 3) /* its end was written, the note of that was not */
        log_check(s, p->calls - 1, "completed", 30);
    if (p->sound_of > p->ended) {
        snprintf(path, sizeof(path), "recordings/direct/call-%u.wav", p->sound_of - 1);
        wav_check(path, p->sound);
    }
    store_close(&s);
}

static pid_t child_start(struct progress *p)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid)
        child_run(p);
    return pid;
}

static void child_kill(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* else it failed by itself: WEXITSTATUS says where */
}

/* Waits until the child has come to a drawn place, however fast the machine is. */
static void child_wait(const struct progress *p, uint32_t calls, uint32_t heard)
{
    for (int i = 0; i < 20000 && (p->calls < calls || (p->calls == calls && p->heard < heard)); i++)
        usleep(20);
}

static void killed_at_random_moments(void **state)
{
    struct progress *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct rand rand = {.state = 4711};
    struct recover_report report;
    struct recover_report again;

    (void)state;
    assert_true(p != MAP_FAILED);
    for (int round = 0; round < 20; round++) {
        folder_drop(NULL);
        assert_int_equal(recording_folder_make(NULL), 0);
        *p = (struct progress){0};
        pid_t pid = child_start(p);

        child_wait(p, rand_below(&rand, 12), rand_below(&rand, 30));
        usleep(rand_below(&rand, 300));
        child_kill(pid);
        recover_once(&report);
        aftermath_check(p, &report);
        recover_once(&again); /* nothing is left to do */
        assert_int_equal(again.files + again.interrupted + again.stored + again.recordings, 0);
    }
    munmap(p, sizeof(*p));
}

/* A copy of the files recovered again over its own result: the same documents, the same sound. */
static void recovery_may_be_done_twice(void **state)
{
    struct progress *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct recover_report first;
    struct recover_report second;
    char command[512];

    (void)state;
    folder_drop(NULL);
    assert_int_equal(recording_folder_make(NULL), 0);
    pid_t pid = child_start(p);

    child_wait(p, 4, 17);
    child_kill(pid);
    snprintf(command, sizeof(command), "cp -r %s %s.copy", journal_dir, journal_dir);
    assert_int_equal(system(command), 0);
    recover_once(&first);
    aftermath_check(p, &first);
    snprintf(command, sizeof(command), "cp %s.copy/* %s/ && rm -r %s.copy", journal_dir,
             journal_dir, journal_dir);
    assert_int_equal(system(command), 0);
    recover_once(&second);
    aftermath_check(p, &second);
    assert_memory_equal(&first, &second, sizeof(first));
    munmap(p, sizeof(*p));
}

/* Two generations: what the living one holds is not touched. */
static void the_living_are_left_alone(void **state)
{
    struct recover_report report;
    struct journal *j;
    struct recording_file *f;
    char why[256];
    uint32_t h;

    (void)state;
    folder_drop(NULL);
    assert_int_equal(recording_folder_make(NULL), 0);
    assert_int_equal(mkdir(journal_dir, 0700), 0);
    recover_once(&report);
    assert_int_equal(report.held, 0);
    assert_int_equal(
        journal_open(journal_dir, "living", 1, JOURNAL_REGION_MIN, &j, why, sizeof(why)), 0);
    assert_int_equal(recording_file_open(journal_dir, "living", 1, 1, &f, why, sizeof(why)), 0);
    assert_int_equal(journal_begin(journal_shard(j, 0), "c", SLICE("x"), &h), 0);
    recover_once(&report);
    assert_int_equal(report.held, 2);
    assert_int_equal(report.files + report.kept + report.damaged, 0);
    assert_int_equal(journal_add(journal_shard(j, 0), h, JOURNAL_HEARD, SLICE("y")), 0);
    recording_file_close(&f);
    journal_close(&j); /* leaves its open call behind, whose beginning nobody can read */
    recover_once(&report);
    assert_int_equal(report.files, 1);
    assert_int_equal(report.damaged, 1);
}

static void journal_speaks(struct journal_shard *s, uint32_t h)
{
    uint8_t bytes[256];
    struct builder b = builder_of(bytes, sizeof(bytes));

    record_heard_put(&b, &(struct record_heard){.wall_ms = 1795249800001, .text = SLICE("word 0")});
    assert_int_equal(journal_add(s, h, JOURNAL_HEARD, builder_slice(&b)), 0);
}

/* Killed after a record was carried forward and before the original was let go: it is there twice
 * and counts once. */
static void a_record_found_twice_counts_once(void **state)
{
    struct recover_report report;
    struct journal_state st = {0};
    struct journal *j;
    uint8_t bytes[256];
    struct builder b = builder_of(bytes, sizeof(bytes));
    char why[256];
    char path[128];
    uint64_t head = 0;
    uint32_t old;
    uint32_t h;

    (void)state;
    folder_drop(NULL);
    assert_int_equal(recording_folder_make(NULL), 0);
    assert_int_equal(
        journal_open(journal_dir, "twice", 1, JOURNAL_REGION_MIN, &j, why, sizeof(why)), 0);
    struct journal_shard *s = journal_shard(j, 0);

    record_begin_put(&b, &(struct record_begin){.wall_ms = 1795249800000,
                                                .tenant = SLICE("default"),
                                                .agent_id = SLICE("clinic")});
    assert_int_equal(journal_begin(s, "call-0", builder_slice(&b), &old), 0);
    journal_speaks(s, old);
    while (st.carried < 2) {
        assert_int_equal(journal_begin(s, "filler", SLICE("some bytes"), &h), 0);
        journal_stored(s, h);
        journal_shard_state(s, &st);
    }
    journal_close(&j);
    snprintf(path, sizeof(path), "%s/twice.journal", journal_dir);
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, &head, sizeof(head), 4096), sizeof(head)); /* as it was before */
    close(fd);
    recover_once(&report);
    assert_int_equal(report.interrupted, 1);
    assert_int_equal(report.damaged, 0);
    struct store *store = open_store();

    log_check(store, 0, "interrupted", 1); /* "word 0" alone: a second would have to be "word 1" */
    store_close(&store);
}

/* A store that refuses keeps the files for the next start. */
static int refusing_put(struct store *s, const char *tenant, const struct entity *entity,
                        const char *id, struct slice doc)
{
    (void)s, (void)tenant, (void)entity, (void)id, (void)doc;
    return -ENOSPC;
}

static void what_cannot_be_stored_is_kept(void **state)
{
    struct store_ops ops = {.put = refusing_put};
    struct store refusing = {.ops = &ops};
    struct recover_options o = {.data_dir = folder, .store = &refusing};
    struct progress *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct recover_report report;

    (void)state;
    folder_drop(NULL);
    assert_int_equal(recording_folder_make(NULL), 0);
    pid_t pid = child_start(p);

    child_wait(p, 2, 5);
    child_kill(pid);
    assert_int_equal(recover_run(&o, &report), 0);
    assert_int_equal(report.kept, 1);
    assert_int_equal(report.interrupted + report.stored, 0);
    recover_once(&report);
    assert_true(report.interrupted + report.stored > 0);
    assert_int_equal(report.kept, 0);
    munmap(p, sizeof(*p));
}

static void junk_is_removed(void **state)
{
    static const char *const names[] = {"a.journal", "b.tail", "empty.journal", "empty.tail"};
    struct recover_report report;
    char path[128];

    (void)state;
    folder_drop(NULL);
    assert_int_equal(recording_folder_make(NULL), 0);
    assert_int_equal(mkdir(journal_dir, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", journal_dir, names[i]);
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        for (int n = 0; n < 9000 && i < 2; n++)
            fputc(n, f);
        fclose(f);
    }
    recover_once(&report);
    assert_int_equal(report.files, 4);
    assert_int_equal(report.kept, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_random_moments),
        cmocka_unit_test(recovery_may_be_done_twice),
        cmocka_unit_test(the_living_are_left_alone),
        cmocka_unit_test(a_record_found_twice_counts_once),
        cmocka_unit_test(what_cannot_be_stored_is_kept),
        cmocka_unit_test(junk_is_removed),
    };

    return cmocka_run_group_tests(tests, recording_folder_make, folder_drop);
}
