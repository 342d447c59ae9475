/* The journal of a process that is killed at any instruction: a child writes one instruction at a
 * time, and whenever that has changed the file, it is read as the next start would read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/journal.h"
#include "tests/unit/folder.h"

#define CALLS       512
#define RING_AT     4160 /* in the file: behind its page and the region's head */
#define FRONT_BYTES 72
#define FORBIDDEN   77 /* the child's exit where no process may be traced */

/* What the child was told, call by call; kept where both see it. */
struct told {
    uint32_t records; /* that the journal has accepted */
    bool storing;     /* journal_stored() has begun */
    bool stored;      /* and has returned */
};

struct shared {
    struct told calls[CALLS];
    uint32_t used; /* of them */
};

/* What one reading of the file found of one call. */
struct found {
    uint64_t seqs; /* a bit each */
    bool stored;
};

struct writer {
    struct journal_shard *s;
    struct shared *shared;
    uint32_t handles[CALLS];
};

/* ---- the child ---- */

static void child_check(bool good)
{
    if (!good)
        _exit(1);
}

/* The payload begins with its call's number and its own, so that no record passes for another. */
static struct slice payload_of(uint32_t call, uint32_t seq, size_t bytes)
{
    static uint8_t payload[JOURNAL_PAYLOAD_MAX];

    memset(payload, (int)call, bytes);
    memcpy(payload, &call, sizeof(call));
    memcpy(payload + sizeof(call), &seq, sizeof(seq));
    return slice_of(payload, bytes);
}

static uint32_t call_begins(struct writer *w, size_t bytes)
{
    uint32_t call = w->shared->used++;
    char id[16];

    child_check(call < CALLS);
    snprintf(id, sizeof(id), "c%u", call);
    child_check(journal_begin(w->s, id, payload_of(call, 1, bytes), &w->handles[call]) == 0);
    w->shared->calls[call].records = 1;
    return call;
}

static void call_adds(struct writer *w, uint32_t call, size_t bytes)
{
    struct told *told = &w->shared->calls[call];
    struct slice payload = payload_of(call, told->records + 1, bytes);

    child_check(journal_add(w->s, w->handles[call], JOURNAL_SAID, payload) == 0);
    told->records++;
}

static void call_is_stored(struct writer *w, uint32_t call)
{
    w->shared->calls[call].storing = true;
    journal_stored(w->s, w->handles[call]);
    w->shared->calls[call].stored = true;
}

static uint64_t used_bytes(const struct writer *w)
{
    struct journal_state st;

    journal_shard_state(w->s, &st);
    return st.used_bytes;
}

/* Calls that come and go while another one goes on: `bytes` of the ring are written over. */
static void others_pass(struct writer *w, uint64_t bytes)
{
    for (uint64_t written = 0; written < bytes; written += 4096) {
        uint32_t call = call_begins(w, 1948);

        call_adds(w, call, 1900);
        call_is_stored(w, call);
    }
}

/* From here on each instruction counts. */
static void watched(void)
{
    raise(SIGSTOP);
}

/* The last call goes; then one begins in the empty ring, and again. */
static void empties_and_begins_anew(struct writer *w)
{
    uint32_t held = call_begins(w, 40);

    others_pass(w, JOURNAL_REGION_MIN * 5 / 4);
    call_adds(w, held, 100);
    watched();
    call_is_stored(w, held);
    child_check(used_bytes(w) == 0);
    for (int i = 0; i < 2; i++) {
        uint32_t call = call_begins(w, 50);

        call_adds(w, call, 30);
        call_is_stored(w, call);
        child_check(used_bytes(w) == 0);
    }
    held = call_begins(w, 60);
    call_adds(w, held, 20);
    call_adds(w, held, 8);
}

/* Two calls go on while the ring comes round, and are carried forward. */
static void wraps_and_carries(struct writer *w)
{
    uint32_t a = call_begins(w, 40);
    uint32_t b = call_begins(w, 300);

    call_adds(w, a, 400);
    others_pass(w, JOURNAL_REGION_MIN / 2 - 4096);
    call_adds(w, b, 200);
    others_pass(w, JOURNAL_REGION_MIN / 2);
    watched();
    for (int i = 0; i < 5; i++) {
        call_adds(w, i % 2 ? a : b, 200);
        uint32_t c = call_begins(w, 80);
        call_adds(w, c, 300);
        call_is_stored(w, c);
    }
    struct journal_state st;

    journal_shard_state(w->s, &st);
    child_check(st.carried > 3);
}

static void child_run(struct shared *shared, void (*script)(struct writer *))
{
    struct writer w = {.shared = shared};
    struct journal *j;
    char why[256];

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(FORBIDDEN);
    child_check(journal_open(folder, "killed", 1, JOURNAL_REGION_MIN, &j, why, sizeof(why)) == 0);
    w.s = journal_shard(j, 0);
    script(&w);
    _exit(0);
}

/* ---- the reader ---- */

static void find(void *ctx, const struct journal_record *r)
{
    struct found *all = ctx;
    char id[16];
    uint32_t call;
    uint32_t said[2];

    assert_int_equal(slice_cstr(r->call_id, id, sizeof(id)), 0);
    assert_int_equal(sscanf(id, "c%u", &call), 1);
    assert_true(call < CALLS && r->seq >= 1 && r->seq < 64);
    all[call].stored |= r->type == JOURNAL_STORED;
    all[call].seqs |= UINT64_C(1) << r->seq;
    if (r->type == JOURNAL_STORED)
        return;
    memcpy(said, r->payload.at, sizeof(said));
    assert_int_equal(said[0], call);
    assert_int_equal(said[1], r->seq);
}

/* Whatever the store does not have is whole; what it has would never be taken for a call that it
 * lacks. */
static void file_check(struct slice file, const struct shared *shared)
{
    struct found all[CALLS] = {{0}};
    uint32_t damaged;

    assert_int_equal(journal_walk(file, find, all, &damaged), 0);
    assert_int_equal(damaged, 0);
    for (uint32_t i = 0; i < CALLS; i++) {
        const struct told *told = &shared->calls[i];
        uint64_t accepted = ((UINT64_C(1) << told->records) - 1) << 1;
        bool whole = (all[i].seqs & accepted) == accepted;
        /* The record that is being written may be there already, and nothing beyond. */
        uint64_t beyond = all[i].seqs & ~accepted & ~(UINT64_C(1) << (told->records + 1));

        assert_int_equal(beyond, 0);
        if (told->stored)
            assert_true(all[i].stored || !all[i].seqs);
        else if (told->storing)
            assert_true(all[i].stored || whole || !all[i].seqs);
        else
            assert_true(whole && !all[i].stored);
    }
}

/* ---- one instruction after the other ---- */

static const uint8_t *file_map(size_t *bytes)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/killed.journal", folder);
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *bytes = (size_t)st.st_size;
    void *map = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);

    close(fd);
    assert_true(map != MAP_FAILED);
    return map;
}

static int stop_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* The front of the ring must be among what changes. Returns how many times anything did. */
static uint32_t child_step(pid_t pid, const struct shared *shared)
{
    size_t bytes;
    const uint8_t *map = file_map(&bytes);
    uint8_t *last = malloc(bytes);
    uint8_t front[FRONT_BYTES];
    uint32_t changes = 0;
    int status;

    assert_non_null(last);
    memcpy(last, map, bytes);
    memcpy(front, map + RING_AT, sizeof(front));
    do {
        if (memcmp(map, last, bytes) != 0) {
            memcpy(last, map, bytes);
            file_check(slice_of(last, bytes), shared);
            changes++;
        }
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        status = stop_of(pid);
    } while (WIFSTOPPED(status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    file_check(slice_of(map, bytes), shared);
    assert_memory_not_equal(map + RING_AT, front, sizeof(front));
    munmap((void *)(uintptr_t)map, bytes);
    free(last);
    return changes;
}

static void killed_at_every_instruction(void (*script)(struct writer *), uint32_t changes_least)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char path[128];

    assert_true(shared != MAP_FAILED);
    snprintf(path, sizeof(path), "%s/killed.journal", folder);
    unlink(path); /* of a test before, which left a call open */
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid)
        child_run(shared, script);
    int status = stop_of(pid);

    if (WIFEXITED(status) && WEXITSTATUS(status) == FORBIDDEN) {
        print_message("no process may be traced here: skipped\n");
        skip();
    }
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    assert_true(child_step(pid, shared) >= changes_least);
    munmap(shared, sizeof(*shared));
}

static void an_empty_ring_begins_anew(void **state)
{
    (void)state;
    killed_at_every_instruction(empties_and_begins_anew, 20);
}

static void a_ring_comes_round(void **state)
{
    (void)state;
    killed_at_every_instruction(wraps_and_carries, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ring_begins_anew),
        cmocka_unit_test(a_ring_comes_round),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
