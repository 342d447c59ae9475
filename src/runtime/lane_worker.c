#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "runtime/lane.h"

/*   rings ── intake ──▶ jobs, oldest first ── one at a time ──▶ program ── lane_emit ──▶ rings
 *                └──▶ cancels take effect at once, so that a running job sees them
 *
 * Jobs that may join are run one after the other in a group, which ends when the next job may not,
 * when nothing waits, or when it is full; only then are they answered. */

struct job {
    struct job *next;
    struct msg head;
    size_t len;
    uint8_t bytes[];
};

struct lane_place {
    struct lane_place *next; /* in its bucket */
    struct actor_id owner;
    uint32_t number;
    uint32_t generation;
    uint32_t cancelled; /* jobs of this epoch and older are void */
    uint16_t program;
    int err;        /* its open failed: every run answers this */
    uint8_t *parts; /* a job that is arriving in parts */
    size_t parts_len;
    uint8_t memory[] __attribute__((aligned(16)));
};

#define BUCKETS 256

/* A job of the group: it has been run, and waits to be answered with the others. */
struct joined {
    struct lane_place *place;
    struct lane_msg body; /* of the answer */
    struct slice bytes;   /* owned */
    bool ran;             /* else it was void */
};

struct lane_worker {
    struct mailbox *box;
    uint32_t host;
    enum lane lane;
    const struct lane_program *const *programs;
    void *memories[LANE_PROGRAMS_MAX];
    struct lane_place *buckets[BUCKETS];
    struct job *jobs;
    struct job **jobs_end;
    struct joined group[LANE_GROUP_MAX];
    uint32_t group_count;
    atomic_uint depth;
    atomic_int finishing;
    int wake_fd;
};

static struct lane_place **place_at(struct lane_worker *w, uint32_t shard, uint32_t number)
{
    struct lane_place **at = &w->buckets[(number ^ shard << 4) % BUCKETS];

    while (*at && ((*at)->number != number || (*at)->owner.shard != shard))
        at = &(*at)->next;
    return at;
}

static struct lane_place *place_of(struct lane_worker *w, const struct msg *m)
{
    const struct lane_msg *body = msg_body(m, lane_msg);
    struct lane_place *p = *place_at(w, m->from.shard, body->session);

    return p && p->generation == body->generation ? p : NULL;
}

/* A lane runs beside the calls and may use the heap, but must not fail for want of a little. */
static void *lane_alloc(size_t bytes)
{
    void *at = calloc(1, bytes ? bytes : 1);

    if (!at)
        abort();
    return at;
}

/* ---- intake ---- */

static void tell_depth(const struct lane_worker *w)
{
    static const enum metric depths[LANE_COUNT] = {[LANE_SPEECH] = METRIC_LANE_DEPTH_SPEECH,
                                                   [LANE_STORE] = METRIC_LANE_DEPTH_STORE,
                                                   [LANE_DNS] = METRIC_LANE_DEPTH_DNS};

    metrics_set(depths[w->lane], lane_worker_depth(w));
}

static void job_add(struct lane_worker *w, const struct msg *m, struct slice bytes)
{
    struct job *job = lane_alloc(sizeof(*job) + bytes.len);

    job->head = *m;
    job->len = bytes.len;
    if (bytes.len)
        memcpy(job->bytes, bytes.at, bytes.len);
    *w->jobs_end = job;
    w->jobs_end = &job->next;
    atomic_fetch_add_explicit(&w->depth, 1, memory_order_relaxed);
    tell_depth(w);
}

static void intake(struct lane_worker *w)
{
    uint8_t plain[LANE_PART_BYTES];

    for (;;) {
        struct builder bytes = builder_of(plain, sizeof(plain));
        struct msg m;
        if (!mailbox_pop_bytes(w->box, &m, &bytes))
            return;
        struct lane_place *p = place_of(w, &m);
        if (m.type == MSG_LANE_CANCEL && p)
            p->cancelled = msg_body(&m, lane_msg)->epoch;
        else
            job_add(w, &m, builder_slice(&bytes));
    }
}

/* ---- answering ---- */

/* Waits for room: a lane may. False when the process is ending. */
static bool answer(struct lane_worker *w, const struct lane_place *p, uint16_t type,
                   const struct lane_msg *body, struct slice bytes)
{
    struct msg m = msg_make(p->owner, type, body, sizeof(*body));
    int err;

    m.from.shard = w->host & 0xFFu;
    for (bool first = true; (err = mailbox_push_bytes(w->box, &m, bytes)) == -EAGAIN;
         first = false) {
        metrics_add(METRIC_RING_REFUSED_CONTROL, first);
        if (atomic_load(&w->finishing))
            return false;
        intake(w);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    return err == 0;
}

bool lane_cancelled(struct lane_job *job)
{
    intake(job->worker);
    return (job->epoch && job->place->cancelled >= job->epoch) ||
           atomic_load(&job->worker->finishing);
}

bool lane_emit(struct lane_job *job, uint32_t tag, struct slice bytes)
{
    struct lane_msg body = {.session = job->place->number,
                            .generation = job->place->generation,
                            .tag = tag,
                            .epoch = job->epoch};

    if (lane_cancelled(job))
        return false;
    return answer(job->worker, job->place, MSG_LANE_EMIT, &body, bytes);
}

void **lane_worker_memory(struct lane_job *job, uint16_t program)
{
    assert(program < LANE_PROGRAMS_MAX);
    return &job->worker->memories[program];
}

uint32_t lane_worker_index(const struct lane_job *job)
{
    return job->worker->host;
}

/* ---- the four things asked of a worker ---- */

static void do_open(struct lane_worker *w, const struct job *job)
{
    const struct lane_msg *body = msg_body(&job->head, lane_msg);
    const struct lane_program *program = w->programs[body->program];
    struct slice arguments = slice_of(job->bytes, job->len);
    struct lane_place *p = lane_alloc(sizeof(*p) + program->session_bytes(arguments));
    struct lane_job running = {.worker = w, .place = p};

    p->number = body->session;
    p->generation = body->generation;
    p->program = body->program;
    p->owner = job->head.from;
    struct lane_place **at = place_at(w, p->owner.shard, p->number);
    p->next = *at;
    *at = p;
    p->err = program->open ? program->open(p->memory, arguments, &running) : 0;
}

/* The whole job, in `bytes`, once its last part is there. */
static bool gather(struct lane_place *p, const struct job *job, struct slice *bytes)
{
    const struct lane_msg *asked = msg_body(&job->head, lane_msg);

    *bytes = slice_of(job->bytes, job->len);
    if (asked->offset == 0)
        p->parts_len = 0; /* of a job whose later parts were refused to its sender */
    if (asked->offset != p->parts_len)
        return false;
    if (!asked->more && !asked->offset)
        return true;
    p->parts = realloc(p->parts, p->parts_len + job->len);
    if (!p->parts)
        abort();
    memcpy(p->parts + p->parts_len, job->bytes, job->len);
    p->parts_len += job->len;
    *bytes = slice_of(p->parts, p->parts_len);
    return !asked->more;
}

static int run_program(struct lane_worker *w, struct lane_place *p, const struct lane_msg *asked,
                       struct slice bytes)
{
    struct lane_job running = {.worker = w, .place = p, .epoch = asked->epoch};

    return w->programs[p->program]->run(p->memory, asked->tag, bytes, &running);
}

/* What a job is answered without being run; 0: it may be. */
static int void_err(const struct lane_place *p, const struct lane_msg *asked)
{
    return asked->epoch && p->cancelled >= asked->epoch ? -ECANCELED : p->err;
}

/* Begins a group with its first job. False: the job is to be run by itself. */
static bool group_open(struct lane_worker *w, struct lane_place *p, const struct lane_msg *asked)
{
    const struct lane_program *program = w->programs[p->program];
    struct lane_job running = {.worker = w, .place = p};

    if (!program->joins || !program->joins(asked->tag))
        return false;
    return w->group_count || program->group_begin(&running) == 0;
}

static void group_add(struct lane_worker *w, struct lane_place *p, const struct lane_msg *asked,
                      struct slice bytes)
{
    struct joined *j = &w->group[w->group_count++];
    uint8_t *kept = lane_alloc(bytes.len);

    if (bytes.len)
        memcpy(kept, bytes.at, bytes.len);
    *j = (struct joined){.place = p, .body = *asked, .bytes = slice_of(kept, bytes.len)};
    j->body.err = void_err(p, asked);
    j->ran = j->body.err == 0;
    if (j->ran)
        j->body.err = run_program(w, p, asked, j->bytes);
}

/* Answers the group, if there is one; what it could not do together is done singly. */
static void group_settle(struct lane_worker *w)
{
    if (!w->group_count)
        return;
    struct lane_place *first = w->group[0].place;
    struct lane_job running = {.worker = w, .place = first};
    int err = w->programs[first->program]->group_end(&running);

    for (uint32_t i = 0; i < w->group_count; i++) {
        struct joined *j = &w->group[i];

        if (err && j->ran)
            j->body.err = run_program(w, j->place, &j->body, j->bytes);
        answer(w, j->place, MSG_LANE_DONE, &j->body, SLICE_NONE);
        free((void *)(uintptr_t)j->bytes.at);
    }
    w->group_count = 0;
}

static bool group_holds(const struct lane_worker *w, const struct lane_place *p)
{
    for (uint32_t i = 0; i < w->group_count; i++)
        if (w->group[i].place == p)
            return true;
    return false;
}

/* Whether the oldest job may be done before the group is answered. */
static bool group_goes_on(struct lane_worker *w)
{
    intake(w);
    if (!w->group_count || w->group_count == LANE_GROUP_MAX || !w->jobs)
        return false;
    const struct msg *m = &w->jobs->head;
    const struct lane_msg *body = msg_body(m, lane_msg);
    const struct lane_place *p = place_of(w, m);
    uint16_t program = w->group[0].place->program;

    if (m->type == MSG_LANE_OPEN)
        return body->program == program;
    if (m->type == MSG_LANE_CLOSE)
        return !p || !group_holds(w, p);
    return !p || (p->program == program && w->programs[program]->joins(body->tag));
}

static void do_run(struct lane_worker *w, struct lane_place *p, const struct job *job)
{
    const struct lane_msg *asked = msg_body(&job->head, lane_msg);
    struct lane_msg body = *asked;
    struct slice bytes;

    if (!gather(p, job, &bytes))
        return;
    if (group_open(w, p, asked)) {
        group_add(w, p, asked, bytes);
    } else {
        body.err = void_err(p, asked);
        if (!body.err)
            body.err = run_program(w, p, asked, bytes);
        answer(w, p, MSG_LANE_DONE, &body, SLICE_NONE);
    }
    free(p->parts);
    p->parts = NULL;
    p->parts_len = 0;
}

static void close_place(struct lane_worker *w, struct lane_place **at)
{
    struct lane_place *p = *at;
    struct lane_job running = {.worker = w, .place = p};
    const struct lane_program *program = w->programs[p->program];

    if (program->close && p->err == 0)
        program->close(p->memory, &running);
    *at = p->next;
    free(p->parts);
    free(p);
}

static void do_job(struct lane_worker *w, const struct job *job)
{
    struct lane_place *p = place_of(w, &job->head);

    if (job->head.type == MSG_LANE_OPEN)
        do_open(w, job);
    else if (p && job->head.type == MSG_LANE_RUN)
        do_run(w, p, job);
    else if (p && job->head.type == MSG_LANE_CLOSE)
        close_place(w, place_at(w, p->owner.shard, p->number));
}

/* ---- the worker ---- */

static void worker_wake(void *context)
{
    struct lane_worker *w = context;
    uint64_t one = 1;
    ssize_t written = write(w->wake_fd, &one, sizeof(one));

    (void)written; /* a full counter wakes as well */
}

struct lane_worker *lane_worker_new(struct mesh *mesh, uint32_t host, enum lane lane,
                                    const struct lane_program *const *programs)
{
    struct lane_worker *w = lane_alloc(sizeof(*w));

    w->host = host;
    w->lane = lane;
    w->programs = programs;
    w->jobs_end = &w->jobs;
    w->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (w->wake_fd < 0)
        abort();
    w->box = mailbox_new(mesh, host, worker_wake, w);
    return w;
}

void lane_worker_free(struct lane_worker **worker,
                      void (*memory_close)(uint16_t program, void *memory))
{
    struct lane_worker *w = *worker;

    if (!w)
        return;
    while (lane_worker_step(w))
        ;
    for (size_t i = 0; i < BUCKETS; i++)
        while (w->buckets[i])
            close_place(w, &w->buckets[i]);
    for (uint16_t i = 0; i < LANE_PROGRAMS_MAX; i++)
        if (w->memories[i] && memory_close)
            memory_close(i, w->memories[i]);
    mailbox_free(&w->box);
    close(w->wake_fd);
    free(w);
    *worker = NULL;
}

static void job_take(struct lane_worker *w)
{
    struct job *job = w->jobs;

    w->jobs = job->next;
    if (!w->jobs)
        w->jobs_end = &w->jobs;
    do_job(w, job);
    free(job);
    atomic_fetch_sub_explicit(&w->depth, 1, memory_order_relaxed);
    tell_depth(w);
}

bool lane_worker_step(struct lane_worker *w)
{
    intake(w);
    if (!w->jobs)
        return false;
    do
        job_take(w);
    while (group_goes_on(w));
    group_settle(w);
    return true;
}

void lane_worker_run(struct lane_worker *w)
{
    uint64_t count;

    while (!atomic_load(&w->finishing)) {
        if (lane_worker_step(w))
            continue;
        if (mailbox_sleep(w->box) && read(w->wake_fd, &count, sizeof(count)) < 0 && errno != EINTR)
            abort();
        mailbox_awake(w->box);
    }
}

void lane_worker_finish(struct lane_worker *w)
{
    atomic_store(&w->finishing, 1);
    worker_wake(w);
}

uint32_t lane_worker_depth(const struct lane_worker *w)
{
    return atomic_load_explicit(&w->depth, memory_order_relaxed);
}
