/* The one thing actors say to each other: 128 bytes by value, free of pointers, at most one frame
 * (or chain of frames) with it. A message owns its frame: whoever handles it keeps it (frame_keep)
 * or lets the runtime put it back when the handler returns. Types of the runtime and of `net` are
 * declared here and there; those of the actors in actors/messages.h. */
#ifndef RUNTIME_MSG_H
#define RUNTIME_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/frame.h"
#include "base/limits.h"

/* Names an actor for ever: a slot that was given to another one has another generation, so a stale
 * id reaches nobody. All zero: nobody. */
struct actor_id {
    uint32_t slot : 24;
    uint32_t shard : 8;
    uint32_t generation;
};

#define ACTOR_NOBODY ((struct actor_id){0})

static inline bool actor_id_equal(struct actor_id a, struct actor_id b)
{
    return a.slot == b.slot && a.shard == b.shard && a.generation == b.generation;
}

static inline bool actor_id_none(struct actor_id a)
{
    return a.generation == 0;
}

struct msg {
    struct actor_id to;
    struct actor_id from;
    uint16_t type;
    uint16_t live;   /* 1: newest-dropped live audio, rides in the audio ring */
    frame_ref frame; /* or FRAME_NONE */
    uint64_t spare;
    uint8_t body[MSG_BODY_BYTES] __attribute__((aligned(8)));
};

_Static_assert(sizeof(struct msg) == 128, "a message is two cache lines");

/* MESSAGE(NAME, struct): what the runtime itself says. */
#define RUNTIME_MESSAGES(MESSAGE)                                                                  \
    MESSAGE(MSG_START, start_msg)             /* first message; body is the spawner's arguments */ \
    MESSAGE(MSG_STOP, stop_msg)               /* wind down, then actor_end() */                    \
    MESSAGE(MSG_CHILD_ENDED, child_ended_msg) /* a child has gone */                               \
    MESSAGE(MSG_TIMER, timer_msg)             /* a timer of this actor is due */                   \
    MESSAGE(MSG_SLOT, slot_msg)               /* its 20 ms slot has come */                        \
    MESSAGE(MSG_ACCEPTED, io_msg)             /* io events of the handles it owns */               \
    MESSAGE(MSG_CONNECTED, io_msg)                                                                 \
    MESSAGE(MSG_DATA, io_msg) /* bytes: shard_received(), valid in this handler only */            \
    MESSAGE(MSG_SENT, io_msg)                                                                      \
    MESSAGE(MSG_CLOSED, io_msg)                                                                    \
    MESSAGE(MSG_PACKET, io_msg) /* bytes: shard_received() */                                      \
    MESSAGE(MSG_FILE_OPENED, io_msg)                                                               \
    MESSAGE(MSG_FILE_WRITTEN, io_msg)                                                              \
    MESSAGE(MSG_LANE_EMIT, lane_msg) /* a lane job sent bytes: the frame chain */                  \
    MESSAGE(MSG_LANE_DONE, lane_msg) /* a lane job has ended */                                    \
    MESSAGE(MSG_LANE_OPEN, lane_msg) /* to a lane worker: the four things asked of one */          \
    MESSAGE(MSG_LANE_RUN, lane_msg)                                                                \
    MESSAGE(MSG_LANE_CANCEL, lane_msg)                                                             \
    MESSAGE(MSG_LANE_CLOSE, lane_msg)                                                              \
    MESSAGE(MSG_READY, io_msg) /* a watched descriptor can be read */

enum runtime_message {
#define MESSAGE(name, body) name,
    RUNTIME_MESSAGES(MESSAGE)
#undef MESSAGE
        MSG_RUNTIME_END
};

/* Where the actors' own types begin. */
#define MSG_ACTORS_FIRST 64

struct start_msg {
    uint8_t arguments[MSG_BODY_BYTES];
};

struct stop_msg {
    int32_t err; /* as struct reason */
    char what[88];
};

struct child_ended_msg {
    struct actor_id child;
    uint32_t role; /* what the parent called it at the spawn */
    int32_t err;   /* as struct reason */
    char what[72];
};

struct timer_msg {
    uint32_t tag;
};

struct slot_msg {
    int64_t due_ns; /* when the slot was due: deadlines count from here */
};

struct io_msg {
    uint32_t id; /* io_id */
    int32_t err; /* 0 or a positive errno */
    uint64_t tag;
    uint32_t len;
    struct address peer;
};

struct lane_msg {
    uint32_t session;    /* number of the session at its worker */
    uint32_t generation; /* of the session's slot */
    uint32_t tag;        /* the job's own */
    uint32_t epoch;
    int32_t err;
    uint16_t program;
    uint16_t more;      /* the job's bytes go on in the next message */
    uint32_t offset;    /* of the first byte of this message in the job */
    uint64_t opened_as; /* MSG_LANE_OPEN: what the actor calls it */
};

/* The body as its struct: msg_body(m, timer_msg)->tag. */
#define msg_body(m, name) ((const struct name *)(const void *)(m)->body)

#endif
