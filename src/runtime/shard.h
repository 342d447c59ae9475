/* One pinned thread and all it owns: actors in their slots, a timer wheel, a message queue, a frame
 * pool, an io backend. No other thread touches any of it; messages from other threads come through
 * the mailbox. It is driven by a tick of 2 ms while calls are on it, and sleeps until something
 * completes when there are none. The control thread is the same struct driven by another loop.
 *
 *   shard_turn(): mailbox in ─▶ timers ─▶ 20 ms slots ─▶ queue until empty ─▶ stops and ends
 *   shard_run():  io wait (overdue slots, then events straight into handlers) ─▶ shard_turn() ─▶
 *                 again
 */
#ifndef RUNTIME_SHARD_H
#define RUNTIME_SHARD_H

#include "base/rand.h"
#include "runtime/actor.h"
#include "runtime/clock.h"
#include "runtime/mailbox.h"

#define ACTOR_TYPES_MAX 24

struct shard_type {
    const struct actor_type *type;
    uint32_t actors_max; /* slots of this type */
};

struct shard_setup {
    uint32_t index; /* its place in the mesh */
    const char *name;
    struct clock clock;
    uint64_t seed;
    uint32_t frames_max;
    const struct shard_type *types;
    size_t type_count;
    struct mesh *mesh; /* NULL: alone */
    /* Makes the io backend for this shard's pool; NULL: it has none (control). */
    int (*io_new)(const struct io_setup *setup, struct io **out);
    /* Without io: wakes the loop that drives it when another host has sent. Any thread. */
    void (*wake)(void *context);
    void *wake_context;
    uint32_t handles_max;
    uint32_t receive_bytes;
    size_t memory_bytes; /* most that actors may take with actor_memory(); 0: 256 MB */
    void *world;         /* what actors reach with shard_world(): configuration, agents, journal */
};

struct shard;

/* Boot, on the thread that will run it. 0 or -errno. */
MUST_USE int shard_new(const struct shard_setup *setup, struct shard **out);
/* Asserts that no actor is left and every frame is back. */
void shard_free(struct shard **shard);

/* One round without waiting. Returns when the next round is due for timers, slots or what a full
 * ring did not take (NEVER_NS if only an event can bring work). */
int64_t shard_turn(struct shard *shard);
/* Rounds until shard_finish() was called and no actor is left. */
void shard_run(struct shard *shard);
/* Any handler: the shard ends when its last actor has. */
void shard_finish(struct shard *shard);
bool shard_finished(const struct shard *shard);

/* ---- what an actor may ask ---- */
int64_t shard_now(const struct shard *shard);     /* monotonic, of this round */
int64_t shard_wall_ms(const struct shard *shard); /* the clock itself */
struct rand *shard_rand(struct shard *shard);
struct frame_pool *shard_pool(struct shard *shard);
struct io *shard_io(struct shard *shard);
uint32_t shard_index(const struct shard *shard);
void *shard_world(struct shard *shard);
/* The bytes of the MSG_DATA or MSG_PACKET being handled. */
struct slice shard_received(const struct shard *shard);
/* Memory for one handler's intermediate results, at least 64 KB; nothing in it outlives the
 * handler. */
struct slice shard_scratch(struct shard *shard);
/* The same, 1 MB, for what is large (a call's log at its end, a provider's intents); not the same
 * memory. */
struct slice shard_large_scratch(struct shard *shard);
/* Slot with the fewest members, so that calls spread over the frame period. */
uint32_t shard_emptiest_slot(const struct shard *shard);
/* The slot that is served next: what is being received belongs to its tick. */
uint32_t shard_next_slot(const struct shard *shard);
/* Whether another one may join that slot, or it has far more members than others already. */
bool shard_slot_has_room(const struct shard *shard, uint32_t slot);

struct shard_load {
    uint32_t actors;
    uint32_t queue_depth;
    uint32_t frames_used;
    uint32_t frames_max;
    uint64_t messages; /* handled since boot */
    uint64_t dropped;  /* messages dropped for lack of room */
    uint64_t stale;    /* messages to actors that were gone */
    uint64_t slow;     /* handlers over 5 ms */
};
struct shard_load shard_load(const struct shard *shard);
/* What the shard's actors hold: their slots, their blocks, the frames that are out. */
size_t shard_own_bytes(const struct shard *shard);
/* Actors of one type in use, and how many may be. */
uint32_t shard_type_used(const struct shard *shard, const struct actor_type *type);
/* The one actor of a type of which there is one slot, or nobody. */
struct actor_id shard_only(const struct shard *shard, const struct actor_type *type);
/* Visits every live actor, parents before children. */
void shard_visit(struct shard *shard, void (*visit)(void *context, struct actor *a, int depth),
                 void *context);
/* Shows each message to `seen` before its actor handles it; NULL: nobody looks. */
void shard_watch(struct shard *shard,
                 void (*seen)(void *context, const struct actor *a, const struct msg *m),
                 void *context);
/* A hash over (actor, message type) in order of handling: equal runs have equal signatures. */
uint64_t shard_signature(const struct shard *shard);

/* ---- for lane.c and the loops ---- */
struct mailbox *shard_mailbox(struct shard *shard);

#endif
