/* What both real backends of io.h share: the table of open things, the names for them, the queues
 * of bytes to send, the lists of slots that need attention. A table belongs to one `struct io` and
 * is touched by its thread alone; all memory is taken at boot. It makes no call on a ring or an
 * epoll set.
 *
 *     FREE ──slot_open──▶ live ──slot_kill──▶ dead ──slot_release──▶ FREE
 *                                             (its id fails; the kernel may still hold it,
 *                                              or bytes queued on it are still going out)
 */
#ifndef RUNTIME_IO_SLOTS_H
#define RUNTIME_IO_SLOTS_H

#include <sys/uio.h>

#include "base/clock.h"
#include "runtime/io.h"

#define IO_FLUSH_NS      SECONDS(2) /* what a closed stream still may take to send its queue */
#define IO_RETRY_NS      MS(100)    /* how often accepting is tried again without a descriptor */
#define IO_BUFFER_BYTES  2048       /* one buffer of received data */
#define IO_DATAGRAM_MAX  2000       /* longer datagrams are dropped */
#define IO_IOV_MAX       64         /* frames given to the kernel in one send */
#define IO_SLOT_BITS     18
#define IO_HANDLES_MAX   200000 /* boot refuses more */
#define IO_WRITES_SPARE  64     /* file writes waiting: twice the handles, and these */
#define IO_PATH_BYTES    1024
#define IO_BACKLOG_COUNT 4096

enum slot_kind { SLOT_FREE, SLOT_UDP, SLOT_LISTENER, SLOT_STREAM, SLOT_FILE, SLOT_WATCH };

/* Why a slot waits on the list of deferred events. */
enum slot_pend {
    PEND_CONNECTED = 1,
    PEND_SENT = 2,
    PEND_OPENED = 4,
    PEND_CLOSED = 8,
};

/* What every packet touches comes first, a cache line. */
struct slot {
    _Alignas(64) uint64_t owner;
    uint64_t sqe_last; /* io_uring's: the last submission entry that names its descriptor */
    int fd;
    uint32_t serial; /* counts the occupants; its low bits are the generation in the id */
    struct address peer;
    uint32_t ops; /* io_uring's: operations in the ring that name the slot */
    uint8_t kind;
    uint8_t family;    /* of the socket: 4 or 6 */
    uint8_t receiving; /* io_uring's: enum receive_state */
    bool fixed;        /* io_uring's: its descriptor is in the ring's table, at the slot's number */
    bool drained;      /* io_uring's, UDP: connected, and strangers' datagrams are gone */
    bool dead;         /* its id fails */
    bool up;           /* connected, or the file is open */
    bool paused;       /* by the user */
    /* io_uring's, UDP: see io_uring_beat.c */
    uint8_t beat;        /* in whose ticks its packets come, */
    uint8_t beat_tick;   /* listened to: when the last one came */
    uint16_t beats;      /* how many have */
    uint8_t beat_length; /* of the last one, its low bits */
    bool beat_flag;      /* listened to: in the next tick as well; asked: there was more to hear */
    uint8_t beat_miss;   /* asked in vain, in a row */
    uint8_t beat_late;   /* heard a tick late, of the last few */

    bool todo_listed; /* outlives the occupant, as the two lists do */
    bool ready_listed;
    uint8_t pend;   /* deferred events: enum slot_pend */
    bool flush;     /* dead, but what is queued still goes out */
    bool shut;      /* flushed: our end is closed, the peer's is awaited */
    bool eof;       /* the peer ended its side */
    bool last_call; /* a dead listener whose waiting connections are still delivered */
    bool starved;   /* a listener without descriptor or slot for the next connection */
    /* io_uring's own */
    bool asked;          /* accept, connect or open is in the ring */
    bool asked_cancel;   /* and the cancellation of that, or of a send */
    bool sending;        /* a send of a stream is in the ring */
    bool ended;          /* the peer's end waits behind held data or a pause */
    int err;             /* of the deferred event */
    uint32_t node_first; /* chains to send, oldest first; 0: none */
    uint32_t node_last;
    frame_ref send_at; /* the frame that goes next, and how much of it has gone */
    uint32_t send_offset;
    uint32_t send_frames;

    uint32_t free_next;
    uint32_t todo_next;
    uint32_t ready_next;
    uint32_t close_next; /* the flushing ones by deadline */
    uint32_t close_prev;
    int64_t close_at_ns; /* 0: not in that list */

    /* epoll's own */
    uint32_t interest; /* events asked of the epoll set; 0: not in it */
    bool blocked;      /* the kernel's send buffer is full */

    /* io_uring's own */
    uint32_t beat_at;    /* its place among those of its beat */
    uint32_t open_node;  /* of a file that is being opened */
    uint32_t held_first; /* received while paused: buffer numbers + 1 */
    uint32_t held_last;
};

/* A chain in a stream's queue. */
struct send_node {
    frame_ref chain;
    uint32_t next;
};

/* A file write that is under way, or done and not told yet. */
struct write_node {
    const uint8_t *at;
    uint64_t len;
    uint64_t done;
    uint64_t offset;
    uint64_t tag;
    uint32_t slot;
    uint32_t serial;
    uint32_t next;
    int err;
};

struct slot_list {
    uint32_t first;
    uint32_t last;
};

/* The beginning of both backends' structs. */
struct io_core {
    struct io io;
    struct frame_pool *pool;
    io_deliver *deliver;
    void (*woken)(void *context); /* or NULL */
    void (*soon)(void *context, uint64_t owner);
    void *context;
    struct slot *slots; /* slots[0] is nobody */
    uint32_t slot_count;
    uint32_t handles_max;
    uint32_t live;
    uint32_t free_first;
    uint32_t free_last;
    struct slot_list todo;  /* what differs between what is and what is wanted */
    struct slot_list ready; /* deferred events */
    uint32_t close_first;
    uint32_t close_last;
    uint32_t starved; /* listeners that wait for a descriptor or a slot */
    struct send_node *nodes;
    uint32_t node_free;
    struct write_node *writes;
    uint32_t write_free;
    int wake_fd;
    int reserve_fd; /* given up to accept one more connection when descriptors run out */
    uint64_t delivered;
    uint64_t dropped;
    uint64_t stalls;
};

/* 0 or -errno, with nothing left behind. */
MUST_USE int core_init(struct io_core *core, const struct io_setup *setup,
                       const struct io_ops *ops);
/* Every slot must have been released. */
void core_fini(struct io_core *core);
int64_t core_now_ns(void);

/* NULL when handles_max are open. */
struct slot *slot_open(struct io_core *core, enum slot_kind kind, uint64_t owner, int fd);
/* The live slot of that kind behind an id, or NULL. SLOT_FREE: of any kind. */
struct slot *slot_find(struct io_core *core, io_id id, enum slot_kind kind);
io_id slot_id(const struct io_core *core, const struct slot *s);
uint32_t slot_number(const struct io_core *core, const struct slot *s);
/* From now on its id fails. */
void slot_kill(struct io_core *core, struct slot *s);
/* Dead and no longer in use by the kernel: closes the descriptor, puts its frames back. */
void slot_release(struct io_core *core, struct slot *s);
/* Delivers an event of this slot; `e` holds what is particular to it. */
void slot_deliver(struct io_core *core, const struct slot *s, struct io_event e);
/* Whether it is still the occupant that had this serial, and its id works. */
bool slot_is(const struct slot *s, uint32_t serial);

void slot_todo(struct io_core *core, struct slot *s);
void slot_ready(struct io_core *core, struct slot *s, enum slot_pend pend);
/* Takes a list over, so that what is added meanwhile waits for the next round. */
uint32_t list_take(struct slot_list *list);
/* The next slot of a list taken over, or NULL at its end. */
struct slot *todo_next(struct io_core *core, uint32_t *at);
struct slot *ready_next(struct io_core *core, uint32_t *at);

/* Starts and ends the time a closed stream has for flushing. */
void flush_begin(struct io_core *core, struct slot *s);
void flush_end(struct io_core *core, struct slot *s);
/* The first stream whose time is over, or NULL. */
struct slot *flush_late(struct io_core *core);
/* Shortens a wait to what flushing and starved listeners need. */
int64_t core_wait_ns(const struct io_core *core, int64_t timeout_ns);

/* Queues a chain, taken. 0 or -ENOBUFS with the chain put back. */
MUST_USE int queue_push(struct io_core *core, struct slot *s, frame_ref take);
/* What goes next: fills at most `max` pieces, returns how many. */
uint32_t queue_pieces(struct io_core *core, const struct slot *s, struct iovec *out, uint32_t max);
/* The kernel took `bytes`; frames taken whole leave. */
void queue_taken(struct io_core *core, struct slot *s, size_t bytes);
void queue_drop(struct io_core *core, struct slot *s);

/* 0: all are in use. */
uint32_t write_get(struct io_core *core, const struct slot *s, struct slice bytes, uint64_t offset,
                   uint64_t tag);
void write_put(struct io_core *core, uint32_t number);
/* Tells the result of a write, unless its file has been closed, and frees the node. */
void write_deliver(struct io_core *core, uint32_t number);

/* The operations of io.h that are the same in both backends. */
uint32_t core_open_count(const struct io *io);
uint64_t core_dropped(const struct io *io);
uint64_t core_stalls(const struct io *io);
uint32_t core_stream_queued(struct io *io, io_id id);
void core_own(struct io *io, io_id id, uint64_t owner);
/* Watches a duplicate, so that the slot has a descriptor of its own to close. */
int core_watch(struct io *io, uint64_t owner, int fd, io_id *id);
void core_wake(struct io *io);
/* Empties the wake descriptor and delivers IO_WOKEN. */
void core_woken(struct io_core *core);

#endif
