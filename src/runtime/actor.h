/* An actor: a struct whose first member is `struct actor`, living in one slot of one shard for its
 * whole life. Everything that happens to it (a peer's message, a timer, socket data, a lane's
 * answer, a child's end) arrives through one door, handle(), on its shard's thread. Others know it
 * by id only.
 *
 *        spawn ─▶ MSG_START ─▶ ... handle() ... ─▶ MSG_STOP ─▶ (children end first) ─▶ actor_end()
 *
 * There is one stop path: whatever the cause, actor_stop() is called once, children are stopped,
 * each winds down and calls actor_end(); the parent hears MSG_CHILD_ENDED. Then the ledger of what
 * it held must be zero, which the runtime asserts. An actor that has not ended ACTOR_STOP_NS after
 * its stop is ended by force: what it holds is taken back, and a log line names it. */
#ifndef RUNTIME_ACTOR_H
#define RUNTIME_ACTOR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/block.h"
#include "base/cache.h"
#include "base/log.h"
#include "base/reason.h"
#include "runtime/io.h"
#include "runtime/msg.h"
#include "runtime/timer.h"

#define ACTOR_STOP_NS SECONDS(5)

struct shard;
struct actor;

/* A constant per kind of actor. */
struct actor_type {
    const char *name;
    size_t size_bytes; /* of the whole struct */
    uint64_t hot; /* ACTOR_HOT()s: what each packet touches, fetched ahead; 0: the first line */
    size_t hot_beyond; /* offset of a pointer, in these, to what it touches too; 0: none */
    void (*handle)(struct actor *a, const struct msg *m);
    /* Name of its present state, for GET /actors and logs; NULL: "running". */
    const char *(*state)(const struct actor *a);
    /* Name of what it works with (a provider), for GET /actors; NULL: nothing to tell. */
    const char *(*detail)(const struct actor *a);
    /* Its call's id and agent for log lines, NULL if it has none. */
    const struct log_about *(*about)(const struct actor *a);
};

/* The cache lines, of the first 64, in which a struct's members from `from` up to `to` lie. */
#define ACTOR_HOT(type, from, to)                                                                  \
    ((~UINT64_C(0) >> (63 - (offsetof(type, to) - 1) / CACHE_LINE_BYTES)) &                        \
     (~UINT64_C(0) << offsetof(type, from) / CACHE_LINE_BYTES))

enum actor_life { ACTOR_FREE, ACTOR_RUNNING, ACTOR_STOPPING, ACTOR_ENDED };

/* What an actor holds of the shard's; all zero when it ends. */
struct ledger {
    uint16_t handles;  /* io ids */
    uint16_t timers;   /* set, not fired */
    uint16_t sessions; /* lane sessions */
    uint16_t frames;   /* actor_frame_hold() */
    uint32_t blocks;   /* actor_memory() */
};

/* The first 64 bytes are what each message touches: a cache line. */
struct actor {
    struct actor_id id;
    uint8_t life;   /* enum actor_life */
    uint8_t forced; /* its stop deadline has passed */
    uint8_t paired_slot;
    uint8_t spare;
    uint32_t role; /* what the parent calls this child */
    const struct actor_type *type;
    struct shard *shard;
    struct slot_place { /* see actor_slot_join */
        struct slot_place *next;
        struct slot_place **prev;
        struct actor *actor;
    } slot;
    struct actor *parent;
    struct actor *child;      /* first */
    struct actor *sibling;    /* next child of the same parent */
    struct actor *queue_next; /* in the list of stops or of the ended */
    struct ledger ledger;
    struct reason reason;       /* why it stops, once it does */
    struct actor_timer *timers; /* set ones, so that an end by force can cancel them */
    struct block_head *memory;  /* what actor_memory() gave it */
    struct actor_timer {        /* embed as many as needed in the actor's own struct */
        struct timer timer;
        struct actor *owner; /* NULL: not set */
        struct actor_timer *next;
        uint32_t tag;
    } stop_deadline;
};

_Static_assert(offsetof(struct actor, parent) <= 64, "one cache line");

/* Arguments (at most MSG_BODY_BYTES, pointer-free) and frame arrive with MSG_START, delivered
 * before this returns. `parent` is on the same shard, or NULL for a root. The new actor, or NULL
 * when its type has no free slot (the frame is put back); it may already be stopping if MSG_START
 * said so. */
struct actor *actor_spawn(struct shard *shard, const struct actor_type *type, struct actor *parent,
                          uint32_t role, const void *arguments, size_t arguments_bytes,
                          frame_ref take);

/* Asks an actor of this shard to stop; the first reason stays. Safe on any id, from any handler. */
void actor_stop(struct shard *shard, struct actor_id id, struct reason reason);
/* Stops itself. */
void actor_stop_self(struct actor *a, struct reason reason);
/* A stopping actor that waits for something slower than ACTOR_STOP_NS, and bounds that wait itself,
 * says when it is to be ended by force instead. */
void actor_stop_until(struct actor *a, int64_t at_ns);
/* In answer to MSG_STOP, once everything is let go and no child is left: the slot is given back. */
void actor_end(struct actor *a);
/* Moves a child to another parent of the same shard. */
void actor_adopt(struct actor *new_parent, struct actor *child, uint32_t role);
/* A live actor of this shard, or NULL for a stale id. */
struct actor *actor_find(struct shard *shard, struct actor_id id);
/* The child the parent calls `role`, NULL if there is none or it has ended. */
struct actor *actor_child(struct actor *parent, uint32_t role);

/* What happens to a message when the way to its receiver is full. */
enum if_full {
    IF_FULL_DROP, /* live audio, repeated reports: dropped and counted */
    IF_FULL_STOP, /* control: the sender's outermost parent below the root ends with a reason; a
                     root, which is everybody's, loses the message and says so */
};

/* Sends a copy of `m` (type, body, frame filled in; `from` is set here). Takes m->frame. False when
 * the receiver is gone or it was dropped. */
bool actor_send(struct actor *from, struct msg *m, enum if_full policy);

/* A message with its body copied in. The first fills it where it is: to copy at once what was just
 * written in smaller pieces waits until all that was written before has reached the cache. */
static inline void msg_fill(struct msg *m, struct actor_id to, uint16_t type, const void *body,
                            size_t body_bytes)
{
    assert(body_bytes <= MSG_BODY_BYTES);
    memset(m, 0, sizeof(*m));
    m->to = to;
    m->type = type;
    if (body_bytes)
        memcpy(m->body, body, body_bytes);
}

static inline struct msg msg_make(struct actor_id to, uint16_t type, const void *body,
                                  size_t body_bytes)
{
    struct msg m;

    msg_fill(&m, to, type, body, body_bytes);
    return m;
}

/* actor_send in one line: SEND(a, to, MSG_X, IF_FULL_STOP, FRAME_NONE, struct x_msg, .field = ...).
 */
#define SEND(from, to, type, policy, frame_taken, body_type, ...)                                  \
    actor_send_body((from), (to), (type), (policy), (frame_taken), &(body_type){__VA_ARGS__},      \
                    sizeof(body_type))
bool actor_send_body(struct actor *from, struct actor_id to, uint16_t type, enum if_full policy,
                     frame_ref take, const void *body, size_t body_bytes);

/* MSG_TIMER with `tag` at that instant; set again it moves. */
void actor_timer_set(struct actor *a, struct actor_timer *t, uint32_t tag, int64_t at_ns);
void actor_timer_cancel(struct actor *a, struct actor_timer *t);

/* MSG_SLOT every 20 ms in slot 0..SLOTS_PER_FRAME-1 of the frame period, until left. */
void actor_slot_join(struct actor *a, uint32_t slot);
void actor_slot_leave(struct actor *a);

/* A frame the actor keeps beyond its handler is held and let go through these, for its ledger. */
frame_ref actor_frame_hold(struct actor *a, frame_ref ref);
void actor_frame_let_go(struct actor *a, frame_ref *ref);

/* Zeroed memory beyond the actor's own struct, for what is large and seldom used, counted in its
 * ledger; NULL when there is none: the call ends with a reason. What its stop leaves behind is a
 * wrong runtime, except after an end by force. */
void *actor_memory(struct actor *a, size_t bytes);
/* Gives it back; `*at` becomes NULL. Accepts NULL. */
#define actor_memory_back(a, at) (actor_memory_put((a), *(at)), (void)(*(at) = NULL))
void actor_memory_put(struct actor *a, void *block);

/* ---- io in the actor's name: as io.h says, and counted in its ledger ---- */
int actor_udp_open(struct actor *a, const struct address *local, io_id *id, struct address *bound);
int actor_listen(struct actor *a, const struct address *local, io_id *id, struct address *bound);
int actor_connect(struct actor *a, const struct address *peer, io_id *id);
int actor_file_open(struct actor *a, const char *path, int flags, unsigned mode, io_id *id);
int actor_watch(struct actor *a, int fd, io_id *id);
/* Closes and forgets; *id becomes IO_NONE. Accepts IO_NONE. */
void actor_io_close(struct actor *a, io_id *id, bool flush);
/* Gives a handle to another actor of the shard. */
void actor_io_give(struct actor *from, struct actor *to, io_id id);

/* Ends one call when something that cannot be is true of it: logs file and line, stops the call
 * with EPROTO, leaves every other call alone. For wrong calls; wrong runtime is assert(). */
#define call_check(a, truth) actor_check((a), (truth), #truth, __FILE__, __LINE__)
void actor_check_failed(struct actor *a, const char *truth, const char *file, int line);

static inline bool actor_check(struct actor *a, bool holds, const char *truth, const char *file,
                               int line)
{
    if (!holds)
        actor_check_failed(a, truth, file, line);
    return holds;
}

#endif
