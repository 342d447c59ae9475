/* The seam to the outside: datagrams, byte streams, files and waiting, one `struct io` per shard
 * and touched by its thread alone. Three backends stand behind it: io_uring (default), epoll (taken
 * where io_uring is refused) and the simulator's. Nothing here blocks but io_wait(). What happens
 * comes back as events, delivered inside io_wait() one at a time to the shard, which hands each to
 * the actor that owns the handle. It knows no actor: an owner is a number it gives back.
 *
 *     actor ── io_*() ──▶ io ── submit once per tick ──▶ kernel
 *     actor ◀── message ── shard ◀── io_event ── io_wait()
 */
#ifndef RUNTIME_IO_H
#define RUNTIME_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/frame.h"

/* Names one open thing of this shard; 0 is none. Slot and generation, so that a stale one fails. */
typedef uint32_t io_id;

#define IO_NONE 0u

/* Ticks after which a beat comes again: a call's packets are 20 ms apart. */
#define IO_BEATS   10
#define IO_NO_BEAT IO_BEATS

enum io_event_kind {
    IO_ACCEPTED,  /* a listener got a connection: `id` is the new stream, `peer` who; owner is the
                     listener's until io_own() */
    IO_CONNECTED, /* a stream asked for is up (err 0) or failed (err > 0: the id is dead already) */
    IO_DATA,      /* `data`, received on a stream, valid during the delivery only */
    IO_SENT,      /* every byte queued on the stream has been taken by the kernel */
    IO_CLOSED,  /* the stream ended: err 0 by the peer in order, else why; the id is dead already */
    IO_PACKET,  /* one datagram: `data`, `peer`; valid during the delivery only */
    IO_OPENED,  /* a file is open (err 0), or not (err > 0: the id is dead already) */
    IO_WRITTEN, /* a file write of `tag` is done: err, len bytes */
    IO_READY,   /* the descriptor given to watch() can be read */
    IO_WOKEN,   /* another thread called io_wake(): owner is 0 */
};

struct io_event {
    enum io_event_kind kind;
    io_id id;
    int err; /* 0 or a positive errno */
    uint32_t len;
    uint64_t owner;
    uint64_t tag;
    struct slice data;
    struct address peer;
};

/* Delivered inside io_wait(); may call any io_* function but io_wait() and io_free(). */
typedef void io_deliver(void *context, const struct io_event *event);

struct io_setup {
    struct frame_pool *pool; /* of the shard: frames given to io_*_send are put back here */
    io_deliver *deliver;
    /* Once in each wait, when it has waited and before it delivers: what must not wait for that can
     * be sent, and given to the kernel by submit(). NULL: not wanted. */
    void (*woken)(void *context);
    /* A hint, some events ahead: this owner's is at hand. NULL: not wanted. */
    void (*soon)(void *context, uint64_t owner);
    void *context;
    uint32_t handles_max;   /* open things at once; beyond it opens give -EMFILE */
    uint32_t receive_bytes; /* memory for received data, shared by all handles */
};

struct io; /* each backend's own */

struct io_ops {
    const char *name; /* "io_uring", "epoll", "simulated" */
    void (*free)(struct io *io);

    /* UDP, bound to `local` (port 0: any; *bound says which). Unconnected: packets of every peer
     * come in. Datagrams above 2000 bytes are dropped. 0 or -errno. */
    int (*udp_open)(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                    struct address *bound);
    /* From now on only this peer's packets come in, and sends go to it. What was queued from others
     * before is dropped. */
    int (*udp_connect)(struct io *io, io_id id, const struct address *peer);
    /* The tick of this beat (0 to IO_BEATS - 1) has come; from `woken` only, once for each tick in
     * turn. A connected socket whose packets keep coming in the ticks of one beat may be asked in
     * them for one, instead of being listened to: the kernel then has nobody to wake, neither for
     * what comes nor for what goes. What comes late is heard a tick later, and a socket asked in
     * vain is listened to again; nothing is lost. IO_NO_BEAT: no ticks for some time, everybody is
     * listened to. NULL: a backend that always listens. */
    void (*beat)(struct io *io, uint32_t beat);
    /* Takes the frame (its `len` bytes, no chain) and sends it, to `to` or to the connected peer
     * when NULL. Never waits: what the kernel refuses is dropped. 0, or -errno with the frame put
     * back. */
    int (*udp_send)(struct io *io, io_id id, frame_ref take, const struct address *to);

    /* SO_REUSEPORT listener, so that every shard and the next generation of the binary can have its
     * own; *bound says the port. */
    int (*listen)(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                  struct address *bound);
    /* Stops or resumes accepting (fd shortage, draining). */
    void (*listen_pause)(struct io *io, io_id id, bool pause);
    int (*connect)(struct io *io, uint64_t owner, const struct address *peer, io_id *id);
    /* Takes a chain and queues it, also before IO_CONNECTED. -ENOBUFS when WS_SEND_QUEUE_MAX frames
     * wait already (the frame is put back; the caller closes the slow peer), -EBADF on a dead id.
     * It is given to the kernel by the next io_wait(). */
    int (*stream_send)(struct io *io, io_id id, frame_ref take);
    /* Frames queued and not yet taken by the kernel. */
    uint32_t (*stream_queued)(struct io *io, io_id id);
    /* Stops or resumes reading: back-pressure. The peer's end is told after the data before it. */
    void (*stream_pause)(struct io *io, io_id id, bool pause);
    /* No more io events for it. What is queued is still sent when `flush`, within 2 s; of a
     * listener, the connections that the kernel holds are still delivered. The id is dead; a port
     * it was bound to is free after the next io_wait(). A file is closed when its writes have been
     * answered: the bytes of an unanswered one must stay as they are. */
    void (*close)(struct io *io, io_id id, bool flush);
    /* Closes all of one owner's handles, without flush; how many there were. */
    uint32_t (*close_owned)(struct io *io, uint64_t owner);
    /* Gives a handle to another owner. */
    void (*own)(struct io *io, io_id id, uint64_t owner);

    /* Opens for writing, created with `mode` and its parents present; IO_OPENED follows. -EAGAIN
     * when too many are being opened. */
    int (*file_open)(struct io *io, uint64_t owner, const char *path, int flags, unsigned mode,
                     io_id *id);
    /* Writes at an offset; `bytes` stay untouched until IO_WRITTEN says `tag`. -EAGAIN before
     * IO_OPENED, or when twice `handles_max` writes wait already. */
    int (*file_write)(struct io *io, io_id id, struct slice bytes, uint64_t offset, uint64_t tag);

    /* Watches a foreign descriptor (a library's own epoll set, say), which stays the caller's:
     * IO_READY at each wait while it can be read, until close(). -EMFILE, or another -errno. */
    int (*watch)(struct io *io, uint64_t owner, int fd, io_id *id);

    /* Submits what is queued, waits until something happens or `timeout_ns` (0: do not wait,
     * NEVER_NS: as long as it takes), and delivers everything that is ready. With `tick` set it
     * waits the timeout out and delivers in one batch rather than at the first event. It may
     * return early without an event. The first call binds `io` to the calling thread. */
    void (*wait)(struct io *io, int64_t timeout_ns, bool tick);
    /* Gives the kernel what is queued, without waiting for the next wait. From `woken` only. */
    void (*submit)(struct io *io);
    /* Any thread: makes a waiting io_wait() return with IO_WOKEN. */
    void (*wake)(struct io *io);
    /* Open handles, for ledgers and /actors. */
    uint32_t (*open_count)(const struct io *io);
    /* Received bytes dropped for lack of receive memory, datagrams the kernel refused, and the
     * like. */
    uint64_t (*dropped)(const struct io *io);
    /* Sockets asked at their beat now. NULL where `beat` is. */
    uint32_t (*asked_count)(const struct io *io);
    /* Times that receiving or accepting stood still for lack of receive memory, descriptors or
     * handles. Nothing is lost by it but time. */
    uint64_t (*stalls)(const struct io *io);
};

/* What a shard holds. Every backend's struct begins with it. */
struct io {
    const struct io_ops *ops;
};

/* Boot. 0 or -errno; -ENOSYS or -EPERM from the first means: take the second. */
MUST_USE int io_uring_new(const struct io_setup *setup, struct io **out);
MUST_USE int io_epoll_new(const struct io_setup *setup, struct io **out);

#endif
