/* Work that may block or compute long (recognition, synthesis, the store, names) runs on lanes:
 * small pools of threads, one pool a kind, so that one stuck lane never starves another. An actor
 * opens a session, which stays on one worker of the lane; its jobs run there one at a time in the
 * order sent, and what they emit comes back as MSG_LANE_EMIT, their end as MSG_LANE_DONE. A lane
 * may wait; a shard never does. What runs is a program, known by number on both sides, so that no
 * pointer crosses. A program may have jobs that wait together done together, as one write to the
 * disk. The simulator runs the same workers inline. */
#ifndef RUNTIME_LANE_H
#define RUNTIME_LANE_H

#include "runtime/shard.h"

enum lane { LANE_SPEECH, LANE_STORE, LANE_DNS, LANE_COUNT };

#define LANE_PROGRAMS_MAX  16
#define LANE_WORKERS_MAX   8
#define LANE_JOB_BYTES_MAX 1048576 /* one job's bytes, sent in parts */
#define LANE_PART_BYTES    4096
#define LANE_GROUP_MAX     32 /* jobs that are done together */

struct lane_job;
struct lane_worker;
struct lane_place; /* a session, at its worker */

/* What a lane can be asked to do. */
struct lane_program {
    const char *name;
    /* Bytes of a session opened with these arguments. */
    size_t (*session_bytes)(struct slice arguments);
    int (*open)(void *session, struct slice arguments, struct lane_job *job);
    /* One job; the result is the err of MSG_LANE_DONE (0 or -errno). */
    int (*run)(void *session, uint32_t tag, struct slice bytes, struct lane_job *job);
    void (*close)(void *session, struct lane_job *job);
    /* Optional: jobs of which tags may be done together. They emit nothing, and running one twice
     * does the same. Those that wait run one after the other between group_begin() and group_end(),
     * and are answered, each for itself, behind both. When group_end() answers with an error,
     * nothing of the group is done, and each job is run again by itself; when group_begin() does,
     * the job is run by itself at once. */
    bool (*joins)(uint32_t tag);
    int (*group_begin)(struct lane_job *job);
    int (*group_end)(struct lane_job *job);
};

/* Given to a running program. */
struct lane_job {
    struct lane_worker *worker;
    struct lane_place *place;
    uint32_t epoch;
};

/* Sends bytes to the session's actor; waits for room. False once the job was cancelled. */
bool lane_emit(struct lane_job *job, uint32_t tag, struct slice bytes);
/* True when the job's epoch was cancelled: look between pieces of long work. */
bool lane_cancelled(struct lane_job *job);
/* Memory of this worker for one program, NULL at first. */
void **lane_worker_memory(struct lane_job *job, uint16_t program);
uint32_t lane_worker_index(const struct lane_job *job);

/* ---- workers (boot) ---- */

/* Boot: `host` is its place in the mesh. */
struct lane_worker *lane_worker_new(struct mesh *mesh, uint32_t host, enum lane lane,
                                    const struct lane_program *const *programs);
/* Closes its sessions; `memory_close` frees what programs kept with lane_worker_memory. */
void lane_worker_free(struct lane_worker **worker,
                      void (*memory_close)(uint16_t program, void *memory));
/* Takes in what has arrived and runs at most one job, or one group of them; false when there was
 * none. */
bool lane_worker_step(struct lane_worker *worker);
/* Steps until lane_worker_finish(), sleeping when idle: the thread's body. */
void lane_worker_run(struct lane_worker *worker);
/* Any thread. */
void lane_worker_finish(struct lane_worker *worker);
uint32_t lane_worker_depth(const struct lane_worker *worker);

/* ---- sessions (actors) ---- */
struct lane_session {
    uint32_t host; /* of the worker; 0 and generation 0: not open */
    uint32_t number;
    uint32_t generation;
};

/* Where the lanes lie in the mesh, the same for every shard. */
struct lane_map {
    uint32_t first_host[LANE_COUNT];
    uint32_t workers[LANE_COUNT];
};
void lane_map_set(struct shard *shard, const struct lane_map *map);
uint32_t lane_worker_count(const struct shard *shard, enum lane lane);

/* Opens a session on the worker with the fewest of this shard's. 0 or -errno; a program that cannot
 * open answers each run with MSG_LANE_DONE and its error. */
MUST_USE int lane_open(struct actor *a, enum lane lane, uint16_t program, const void *arguments,
                       size_t arguments_bytes, struct lane_session *out);
/* Queues a job. 0, or -EAGAIN when the lane is behind and the outbox full: try again next tick. */
MUST_USE int lane_run(struct actor *a, const struct lane_session *s, uint32_t tag, uint32_t epoch,
                      struct slice bytes);
/* Jobs of this epoch and older ones not yet run are dropped, a running one is told. */
void lane_cancel(struct actor *a, const struct lane_session *s, uint32_t epoch);
/* Nothing comes back from it after this. */
void lane_close(struct actor *a, struct lane_session *s);

#endif
