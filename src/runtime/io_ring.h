/* The inside of the io_uring backend, shared by its three files: the ring, what is in flight, and
 * the provided buffers. Nobody else includes it. */
#ifndef RUNTIME_IO_RING_H
#define RUNTIME_IO_RING_H

#include <liburing.h>
#include <netinet/in.h>

#include "runtime/io_socket.h"

#define BUFFER_GROUP   1
#define SQ_ENTRIES     1024 /* a full one is submitted in between */
#define CQ_ENTRIES_MAX 65536
#define SCRATCH_MAX    256 /* sends of more than one piece, and connects, per submission */
#define OPENS_MAX      64  /* files being opened at once */
#define DRAIN_MAX      1024
#define BUFFERS_FIRST  512 /* provided at the beginning; more whenever they did not suffice */
#define BUFFER_STRIDE  (IO_BUFFER_BYTES + 64) /* not a power of two: they share no cache sets */

/* In the top byte of user_data; below it the number of a slot, write or open. */
enum ring_op {
    OP_IGNORED,
    OP_RECEIVE, /* multishot recv */
    OP_NAMED,   /* multishot recvmsg, which tells the sender */
    OP_ACCEPT,
    OP_CONNECT,
    OP_WATCH,  /* a foreign descriptor, once */
    OP_SEND,   /* of a stream */
    OP_PACKET, /* one datagram out: speaks only when it fails */
    OP_OPEN,
    OP_WRITE,
    OP_ASK, /* recv of what is there, in the tick of a beat */
    OP_WAKE,
};

enum receive_state { RECEIVE_OFF, RECEIVE_PLAIN, RECEIVE_NAMED, RECEIVE_ENDING, RECEIVE_ASKED };

struct scratch {
    struct msghdr msg;
    struct sockaddr_storage name;
    struct iovec pieces[IO_IOV_MAX];
};

/* A datagram whose entry is in the submission queue: the frame is put when the kernel has it. */
struct packet_out {
    uint64_t sqe;
    frame_ref frame;
    struct sockaddr_in6 name;
};

struct open_node {
    char path[IO_PATH_BYTES];
    int flags;
    unsigned mode;
    uint32_t slot;
    uint32_t next;
    bool again; /* its folders have been made */
};

struct held {
    uint32_t len;
    uint32_t next;
};

/* A socket that is asked, and its occupant's serial. */
struct asked {
    uint32_t number;
    uint32_t serial;
};

struct asked_list {
    struct asked *at;
    uint32_t count;
    uint32_t most;
};

struct ring {
    struct io_core core;
    struct io_uring ring;
    bool attached; /* to the thread of the first wait */
    bool has_files;
    bool wake_armed;
    bool full;  /* no handle is left for another connection */
    bool again; /* a closed handle waits only for a submission */
    uint64_t sqe_count;
    uint32_t listeners; /* linked by free_next */

    struct io_uring_buf_ring *buffers;
    uint8_t *memory;
    struct held *held;
    uint32_t buffer_count;
    uint32_t
        buffers_out; /* of them with the kernel, or in use: few, so that they stay in a cache */
    uint32_t held_count;

    uint32_t beat;                     /* whose tick it is, or IO_NO_BEAT */
    uint32_t tick;                     /* counts them */
    struct asked_list beats[IO_BEATS]; /* who is asked in the ticks of each, */
    struct asked_list later[2];        /* and who in the next tick; the other is gone through */

    struct msghdr named; /* the shape of what multishot recvmsg fills in */
    uint32_t scratch_used;
    uint32_t packet_first; /* of the packets out; a ring of SQ_ENTRIES */
    uint32_t packet_count;
    uint32_t open_free;
    struct packet_out packets[SQ_ENTRIES];
    struct scratch scratch[SCRATCH_MAX];
    struct open_node opens[OPENS_MAX + 1];
    uint8_t drain_bytes[IO_BUFFER_BYTES];
};

#define NUMBER_MASK UINT32_MAX /* of user_data: the number */

static inline uint64_t ring_data(enum ring_op op, uint32_t number)
{
    return (uint64_t)op << 56 | number;
}

/* ---- io_uring_handles.c ---- */
/* An entry to fill, or NULL when the kernel takes none: then the slot is looked at again. */
struct io_uring_sqe *ring_sqe(struct ring *r);
/* After preparing: whose it is, and that its completion is counted. */
void ring_aim(struct ring *r, struct slot *s, struct io_uring_sqe *sqe, enum ring_op op);
/* The same with a user_data of its own, and not counted. */
void ring_aim_at(struct ring *r, struct slot *s, struct io_uring_sqe *sqe, uint64_t data);
/* Gives the kernel what is queued, from the first wait on. */
void ring_submit(struct ring *r);
/* After an enter: what had to stay as it was until the kernel took it is free. */
void ring_submitted(struct ring *r);
/* Memory that stays as it is until the next submission, or NULL. */
struct scratch *ring_scratch(struct ring *r);
/* Asks for the end of an operation of this slot; false without an entry. */
bool ring_cancel(struct ring *r, struct slot *s, enum ring_op op);
/* Starts or ends the reception; brings nothing about when it is as wanted. */
void receive_want(struct ring *r, struct slot *s, enum receive_state wanted);
struct slice buffer_at(const struct ring *r, uint32_t number, uint32_t len);
void buffer_put(struct ring *r, uint32_t number);
/* The kernel found none: counts it, and provides more. */
void buffers_short(struct ring *r);
/* Provides `count` further ones, as far as there are. */
void buffers_add(struct ring *r, uint32_t count);
/* Ends what a dead slot has in the ring, then releases it. */
void slot_die(struct ring *r, struct slot *s);
/* Puts the descriptor into the ring's table, or -1 to take it out. */
void fixed_set(struct ring *r, struct slot *s, int fd);
void udp_step(struct ring *r, struct slot *s);
void packet_received(struct ring *r, struct slot *s, enum ring_op op, int res, uint32_t flags);
void listener_step(struct ring *r, struct slot *s);
void listener_accepted(struct ring *r, struct slot *s, int res, bool more);
void file_step(struct ring *r, struct slot *s);
void file_opened(struct ring *r, struct slot *s, int res);
/* Submits what is left of a write; false without an entry. */
bool write_begin(struct ring *r, struct slot *s, uint32_t number);
void file_written(struct ring *r, uint32_t number, int res);

/* ---- io_uring_beat.c ---- */
MUST_USE int beats_new(struct ring *r);
void beats_free(struct ring *r);
/* A packet came to a socket that is listened to. */
void beat_note(struct ring *r, struct slot *s);
/* Whether it is better asked than listened to. */
bool beat_steady(const struct ring *r, const struct slot *s);
void beat_join(struct ring *r, struct slot *s);
void beat_leave(struct ring *r, struct slot *s);
/* The kernel's answer to one who was asked. */
void beat_answered(struct ring *r, const struct io_uring_cqe *cqe);
void uring_beat(struct io *io, uint32_t beat);
uint32_t uring_asked_count(const struct io *io);

/* ---- io_uring_watch.c ---- */
void watch_step(struct ring *r, struct slot *s);
void watch_ready(struct ring *r, struct slot *s, int res);

/* ---- io_uring_stream.c ---- */
void stream_step(struct ring *r, struct slot *s);
void stream_received(struct ring *r, struct slot *s, int res, uint32_t flags);
void stream_sent(struct ring *r, struct slot *s, int res);
void stream_connected(struct ring *r, struct slot *s, int res);
void stream_forget_held(struct ring *r, struct slot *s);

#endif
