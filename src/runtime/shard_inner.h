/* What a shard is inside, for shard.c, actor.c and lane.c alone. Owned by the shard's thread. */
#ifndef RUNTIME_SHARD_INNER_H
#define RUNTIME_SHARD_INNER_H

#include "base/cache.h"
#include "runtime/lane.h"
#include "runtime/shard.h"

#define SCRATCH_BYTES       131072
#define LARGE_SCRATCH_BYTES 1048576
#define SLOW_HANDLER_NS     MS(5)
#define LANE_SESSIONS_MAX   16384
#define WORKERS_MAX         (LANE_COUNT * LANE_WORKERS_MAX)
/* Messages before a queued one's turn at which its receiver's memory is fetched. */
#define FETCH_AHEAD 2

/* All actors of one type: slots base..base+max-1 of the shard, in one mapping. */
struct slab {
    const struct actor_type *type;
    uint8_t *memory;
    size_t stride;
    uint32_t base;
    uint32_t max;
    uint32_t used;
    uint32_t *free; /* a stack of slots */
    uint32_t free_count;
};

/* One end of a lane session, at the actor. */
struct lane_client {
    struct actor *owner; /* NULL: free */
    uint32_t generation;
    uint32_t host;
    uint32_t next_free;
};

struct actor_list {
    struct actor *first;
    struct actor **end;
};

struct shard {
    struct shard_setup setup;
    int64_t now_ns;
    struct wheel wheel;
    struct rand rand;
    uint64_t mark;         /* clock_cycles() when the last handler ended, or the round began */
    uint64_t slow_cycles;  /* of a handler that took too long */
    uint32_t clock_events; /* delivered since the clock was looked at */
    struct frame_pool *pool;
    struct block_pool *blocks;
    struct io *io;
    struct mailbox *box;
    bool finishing;

    struct slab slabs[ACTOR_TYPES_MAX];
    struct actor **actors;         /* by slot, NULL: free */
    uint32_t *generations;         /* by slot: of who lives there, or will next */
    uint8_t *kinds;                /* by slot: which slab it lies in */
    uint64_t hot[ACTOR_TYPES_MAX]; /* by slab: the lines fetched ahead of an actor */
    uint64_t hot_slotted;          /* of those that may be in a 20 ms slot */
    uint32_t slots_total;
    uint32_t actors_used;

    struct msg *queue; /* ring of LOCAL_QUEUE_MAX */
    uint32_t queue_head;
    uint32_t queue_count;
    struct actor_list stops;
    struct actor_list ended;

    struct slot_place *slots[SLOTS_PER_FRAME];
    uint32_t slot_members[SLOTS_PER_FRAME];
    uint32_t members;
    int64_t slot_tick; /* the next tick whose slot is served */
    int64_t beat_tick; /* the last that io was told; while it is told any */
    bool beating;

    struct msg outbox[OUTBOX_MAX]; /* control messages for hosts whose ring is full, in order */
    uint32_t outbox_count;

    struct slice received;
    uint8_t *scratch;

    struct lane_map lanes;
    struct lane_client *lane_clients;
    uint32_t lane_free;
    uint32_t lane_closing; /* closed by their actors, which the worker could not be told yet */
    uint32_t lane_used_by_host[SHARDS_MAX];

    uint64_t messages, dropped, stale, slow;
    int64_t told_ns; /* when the metrics were last told */
    uint64_t told_dropped, told_slow, told_refused;
    uint64_t signature;
    void (*seen)(void *context, const struct actor *a, const struct msg *m);
    void *seen_context;
};

/* Hands one message to one actor, through its one door. Puts m->frame afterwards. */
void shard_dispatch(struct shard *shard, struct actor *a, struct msg *m);
/* Sends to another host: 0, or -errno with the frame still the caller's. */
int shard_send_away(struct shard *shard, const struct msg *m);
void actor_list_add(struct actor_list *list, struct actor *a);
struct actor *actor_list_take(struct actor_list *list);
/* Runs the stops asked for and buries the ended; false when there were none. */
bool shard_run_stops(struct shard *shard);
void shard_fire_timers(struct shard *shard);
/* Closes every lane session of an actor that is ended by force. */
void lane_close_owned(struct actor *a);
/* Tells workers of closed sessions that there was no room for; the outbox comes first. */
void lane_close_rest(struct shard *shard);
void lane_clients_init(struct shard *shard);

/* Where the actor of a slot lies, whether there is one or not. */
static inline struct actor *shard_actor_in(const struct shard *shard, uint32_t slot)
{
    const struct slab *slab = &shard->slabs[shard->kinds[slot]];

    return (struct actor *)(void *)(slab->memory + (slot - slab->base) * slab->stride);
}

static inline void shard_fetch(const struct shard *shard, uint32_t slot)
{
    cache_fetch_lines(shard_actor_in(shard, slot), shard->hot[shard->kinds[slot]]);
}

static inline uint64_t actor_owner(const struct actor *a)
{
    return (uint64_t)a->id.generation << 32 | (uint64_t)a->id.slot;
}

#endif
