/* The default backend. What the user asks for is noted in the slot; io_wait() brings the ring in
 * line with it (todo), submits and waits in one enter, and delivers what has completed. Only
 * datagrams and file writes enter the submission queue at once.
 *
 *     user ── notes ──▶ slot ── step ──▶ SQ ══ one enter ══▶ CQ ── deliver ──▶ user
 *                         ▲                                  │
 *                         └──────────── todo ◀───────────────┘
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/pages.h"
#include "runtime/io_ring.h"

#define SOON_NEAR   2    /* events ahead of which the owner's memory is fetched, */
#define SOON_FAR    6    /* and the slot's */
#define FREE_ROUNDS 2000 /* of 1 ms, for what is in flight when the backend ends */

/* ---- the operations of io.h ---- */
static struct slot *socket_slot(struct ring *r, enum slot_kind kind, uint64_t owner, int fd,
                                io_id *id)
{
    struct slot *s = slot_open(&r->core, kind, owner, fd);

    if (!s) {
        close(fd);
        return NULL;
    }
    slot_todo(&r->core, s);
    *id = slot_id(&r->core, s);
    return s;
}

static int uring_udp_open(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                          struct address *bound)
{
    int fd = socket_udp(local, bound);
    struct slot *s;

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    s = socket_slot((struct ring *)io, SLOT_UDP, owner, fd, id);
    if (!s)
        return -EMFILE;
    fixed_set((struct ring *)io, s, fd);
    s->family = local->family;
    return 0;
}

static int uring_udp_connect(struct io *io, io_id id, const struct address *peer)
{
    struct slot *s = slot_find((struct io_core *)io, id, SLOT_UDP);
    struct sockaddr_storage name;

    if (!s)
        return -EBADF;
    if (connect(s->fd, (struct sockaddr *)&name, socket_name(s->family, peer, &name)))
        return -errno;
    s->peer = *peer;
    s->up = true;
    s->drained = false;
    slot_todo((struct io_core *)io, s);
    return 0;
}

static void packet_queue(struct ring *r, struct slot *s, frame_ref frame, const struct address *to)
{
    const struct frame *f = frame_at(r->core.pool, frame);
    struct io_uring_sqe *sqe = ring_sqe(r);
    struct sockaddr_storage name;
    struct packet_out *out;

    if (!sqe) {
        r->core.dropped++;
        frame_put(r->core.pool, &frame);
        return;
    }
    /* There is room: a packet out never outlives its entry in the submission queue. */
    out = &r->packets[(r->packet_first + r->packet_count++) % SQ_ENTRIES];
    out->sqe = r->sqe_count;
    out->frame = frame;
    io_uring_prep_send(sqe, s->fixed ? (int)slot_number(&r->core, s) : s->fd, f->data, f->len,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    if (to) {
        socklen_t len = socket_name(s->family, to, &name);
        memcpy(&out->name, &name, sizeof(out->name));
        io_uring_prep_send_set_addr(sqe, (struct sockaddr *)&out->name, (uint16_t)len);
    }
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS | (s->fixed ? IOSQE_FIXED_FILE : 0u));
    ring_aim_at(r, s, sqe, ring_data(OP_PACKET, 0));
}

static int uring_udp_send(struct io *io, io_id id, frame_ref take, const struct address *to)
{
    struct ring *r = (struct ring *)io;
    struct slot *s = slot_find(&r->core, id, SLOT_UDP);

    if (s && (to || s->up)) {
        packet_queue(r, s, take, to);
        return 0;
    }
    frame_put(r->core.pool, &take);
    return s ? -EDESTADDRREQ : -EBADF;
}

static int uring_listen(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                        struct address *bound)
{
    struct ring *r = (struct ring *)io;
    int fd = socket_listen(local, bound);
    struct slot *s;

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    s = socket_slot(r, SLOT_LISTENER, owner, fd, id);
    if (!s)
        return -EMFILE;
    s->free_next = r->listeners;
    r->listeners = slot_number(&r->core, s);
    return 0;
}

static void pause_kind(struct io *io, io_id id, bool pause, enum slot_kind kind)
{
    struct io_core *core = (struct io_core *)io;
    struct slot *s = slot_find(core, id, kind);

    if (!s || s->paused == pause)
        return;
    s->paused = pause;
    slot_todo(core, s);
}

static void uring_listen_pause(struct io *io, io_id id, bool pause)
{
    pause_kind(io, id, pause, SLOT_LISTENER);
}

static void uring_stream_pause(struct io *io, io_id id, bool pause)
{
    pause_kind(io, id, pause, SLOT_STREAM);
}

static int uring_connect(struct io *io, uint64_t owner, const struct address *peer, io_id *id)
{
    int fd = socket_stream(peer);
    struct slot *s;

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    s = socket_slot((struct ring *)io, SLOT_STREAM, owner, fd, id);
    if (!s)
        return -EMFILE;
    s->peer = *peer;
    return 0;
}

static int uring_stream_send(struct io *io, io_id id, frame_ref take)
{
    struct io_core *core = (struct io_core *)io;
    struct slot *s = slot_find(core, id, SLOT_STREAM);

    if (!s) {
        frame_put(core->pool, &take);
        return -EBADF;
    }
    slot_todo(core, s);
    return queue_push(core, s, take);
}

static void uring_close(struct io *io, io_id id, bool flush)
{
    struct ring *r = (struct ring *)io;
    struct slot *s = slot_find(&r->core, id, SLOT_FREE);

    if (!s)
        return;
    if (s->kind == SLOT_UDP)
        r->core.dropped += socket_drops(s->fd);
    s->eof = s->ended;
    s->last_call = s->kind == SLOT_LISTENER && flush;
    slot_kill(&r->core, s);
    stream_forget_held(r, s);
    if (s->kind == SLOT_STREAM && flush && (s->up || s->send_frames))
        flush_begin(&r->core, s);
    else if (!s->sending)
        queue_drop(&r->core, s);
    slot_todo(&r->core, s);
}

static int uring_file_open(struct io *io, uint64_t owner, const char *path, int flags,
                           unsigned mode, io_id *id)
{
    struct ring *r = (struct ring *)io;
    uint32_t number = r->open_free;
    struct open_node *node = &r->opens[number];
    struct slot *s;

    *id = IO_NONE;
    if (!number)
        return -EAGAIN;
    if (slice_cstr(slice_str(path), node->path, sizeof(node->path)))
        return -ENAMETOOLONG;
    s = slot_open(&r->core, SLOT_FILE, owner, -1);
    if (!s)
        return -EMFILE;
    r->open_free = node->next;
    node->flags = file_flags(flags);
    node->mode = mode;
    node->slot = slot_number(&r->core, s);
    node->again = false;
    s->open_node = number;
    slot_todo(&r->core, s);
    *id = slot_id(&r->core, s);
    return 0;
}

static int uring_file_write(struct io *io, io_id id, struct slice bytes, uint64_t offset,
                            uint64_t tag)
{
    struct ring *r = (struct ring *)io;
    struct slot *s = slot_find(&r->core, id, SLOT_FILE);
    uint32_t number;

    if (!s)
        return -EBADF;
    number = s->up ? write_get(&r->core, s, bytes, offset, tag) : 0;
    if (!number)
        return -EAGAIN;
    if (!write_begin(r, s, number)) {
        write_put(&r->core, number);
        return -EAGAIN;
    }
    s->ops++;
    return 0;
}

/* ---- waiting ---- */
static void slot_step(struct ring *r, struct slot *s)
{
    switch ((enum slot_kind)s->kind) {
    case SLOT_FREE:
        break;
    case SLOT_UDP:
        udp_step(r, s);
        break;
    case SLOT_LISTENER:
        listener_step(r, s);
        break;
    case SLOT_STREAM:
        stream_step(r, s);
        break;
    case SLOT_FILE:
        file_step(r, s);
        break;
    case SLOT_WATCH:
        watch_step(r, s);
        break;
    }
}

static void completed(struct ring *r, const struct io_uring_cqe *cqe)
{
    enum ring_op op = (enum ring_op)(cqe->user_data >> 56);
    uint32_t number = (uint32_t)(cqe->user_data & NUMBER_MASK);
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    bool of_slot = op >= OP_RECEIVE && op <= OP_OPEN && op != OP_PACKET;
    struct slot *s = &r->core.slots[of_slot ? number : 0];

    if (of_slot && !more)
        s->ops--;
    switch (op) {
    case OP_IGNORED:
        break;
    case OP_RECEIVE:
    case OP_NAMED:
        if (!more) { /* ended or interrupted: the step begins it anew where it is wanted */
            s->receiving = RECEIVE_OFF;
            slot_todo(&r->core, s);
        }
        if (s->kind == SLOT_UDP && op == OP_RECEIVE && cqe->res >= 0)
            beat_note(r, s);
        if (s->kind == SLOT_UDP)
            packet_received(r, s, op, cqe->res, cqe->flags);
        else
            stream_received(r, s, cqe->res, cqe->flags);
        break;
    case OP_ACCEPT:
        listener_accepted(r, s, cqe->res, more);
        break;
    case OP_CONNECT:
        stream_connected(r, s, cqe->res);
        break;
    case OP_WATCH:
        watch_ready(r, s, cqe->res);
        break;
    case OP_SEND:
        stream_sent(r, s, cqe->res);
        break;
    case OP_PACKET:
        r->core.dropped++;
        break;
    case OP_OPEN:
        file_opened(r, s, cqe->res);
        break;
    case OP_WRITE:
        file_written(r, number, cqe->res);
        break;
    case OP_ASK:
        beat_answered(r, cqe);
        break;
    case OP_WAKE:
        r->wake_armed = more;
        core_woken(&r->core);
        break;
    }
}

static void wake_arm(struct ring *r)
{
    struct io_uring_sqe *sqe = r->wake_armed ? NULL : ring_sqe(r);

    if (!sqe)
        return;
    io_uring_prep_poll_multishot(sqe, r->core.wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, ring_data(OP_WAKE, 0));
    r->wake_armed = true;
}

/* The thread of the first wait is the one issuer from now on. */
static void attach(struct ring *r)
{
    /* liburing 2.3 declares io_uring_enable_rings() and does not export it. */
    int err = io_uring_register((unsigned)r->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    assert(!err);
    (void)err;
    r->attached = true;
    io_uring_register_ring_fd(&r->ring); /* saves a look-up per enter where it is granted */
}

/* Multishot accepts end before they would accept what no handle is left for. */
static void listeners_watch(struct ring *r)
{
    bool full = r->core.live >= r->core.handles_max || !r->core.free_first;

    if (full != r->full)
        for (uint32_t at = r->listeners; at; at = r->core.slots[at].free_next)
            slot_todo(&r->core, &r->core.slots[at]);
    r->full = full;
}

static void prepare(struct ring *r)
{
    struct slot *s;
    uint32_t at;

    while ((s = flush_late(&r->core))) {
        if (s->send_frames)
            socket_abort(s->fd);
        flush_end(&r->core, s);
        slot_todo(&r->core, s);
    }
    listeners_watch(r);
    wake_arm(r);
    r->again = false;
    at = list_take(&r->core.todo);
    while ((s = todo_next(&r->core, &at)))
        slot_step(r, s);
}

static void uring_submit(struct io *io)
{
    struct ring *r = (struct ring *)io;

    prepare(r);
    ring_submit(r);
}

static void enter(struct ring *r, int64_t timeout_ns, bool tick)
{
    struct __kernel_timespec span = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    struct io_uring_cqe *cqe;

    /* An error (a signal, the time is over) means that there may be nothing, and no more. */
    if (timeout_ns == 0)
        io_uring_submit_and_get_events(&r->ring);
    else if (timeout_ns == NEVER_NS)
        io_uring_submit_and_wait(&r->ring, 1);
    else
        io_uring_submit_and_wait_timeout(&r->ring, &cqe, tick ? CQ_ENTRIES_MAX : 1, &span, NULL);
    ring_submitted(r);
}

static bool is_packet(uint64_t data)
{
    return data >> 56 == OP_RECEIVE || data >> 56 == OP_ASK;
}

/* What the events to come will touch: the slot first, then, when that is here, what its owner
 * wants. */
static void look_ahead(struct ring *r, unsigned left)
{
    const unsigned *head = r->ring.cq.khead;
    uint64_t data;

    if (!r->core.soon || left <= SOON_NEAR)
        return;
    data = r->ring.cq.cqes[(*head + SOON_NEAR) & r->ring.cq.ring_mask].user_data;
    if (is_packet(data))
        r->core.soon(r->core.context, r->core.slots[data & NUMBER_MASK].owner);
    if (left <= SOON_FAR)
        return;
    data = r->ring.cq.cqes[(*head + SOON_FAR) & r->ring.cq.ring_mask].user_data;
    if (is_packet(data))
        __builtin_prefetch(&r->core.slots[data & NUMBER_MASK]);
}

static void uring_wait(struct io *io, int64_t timeout_ns, bool tick)
{
    struct ring *r = (struct ring *)io;
    uint64_t before = r->core.delivered;
    unsigned count;

    if (!r->attached)
        attach(r);
    prepare(r);
    timeout_ns = core_wait_ns(&r->core, timeout_ns);
    if (!tick && (r->again || r->core.delivered != before))
        timeout_ns = 0;
    enter(r, timeout_ns, tick);
    if (r->core.woken)
        r->core.woken(r->core.context);
    if (io_uring_sq_ready(&r->ring))
        ring_submit(r); /* who is asked answers at once, into this delivery */
    /* What completes during the delivery belongs to the next wait. */
    count = io_uring_cq_ready(&r->ring);
    for (unsigned i = 0; i < count; i++) {
        unsigned head = *r->ring.cq.khead & r->ring.cq.ring_mask;
        look_ahead(r, count - i);
        struct io_uring_cqe cqe = {
            .user_data = r->ring.cq.cqes[head].user_data,
            .res = r->ring.cq.cqes[head].res,
            .flags = r->ring.cq.cqes[head].flags,
        };
        io_uring_cq_advance(&r->ring, 1);
        completed(r, &cqe);
    }
}

/* ---- boot and end ---- */
static void deliver_nothing(void *context, const struct io_event *event)
{
    (void)context;
    (void)event;
}

static bool all_free(const struct ring *r)
{
    for (uint32_t i = 1; i <= r->core.slot_count; i++)
        if (r->core.slots[i].kind != SLOT_FREE)
            return false;
    return true;
}

static void ring_free(struct ring *r)
{
    pages_free(r->memory, (size_t)r->buffer_count * BUFFER_STRIDE);
    pages_free(r->buffers, r->buffer_count * sizeof(struct io_uring_buf));
    free(r->held);
    beats_free(r);
    free(r);
}

static void uring_free(struct io *io)
{
    struct ring *r = (struct ring *)io;

    r->core.deliver = deliver_nothing;
    r->core.woken = NULL;
    for (uint32_t i = 1; i <= r->core.slot_count; i++) {
        struct slot *s = &r->core.slots[i];
        if (s->kind == SLOT_FREE)
            continue;
        if (!s->dead)
            slot_kill(&r->core, s);
        flush_end(&r->core, s);
        slot_todo(&r->core, s);
    }
    for (int i = 0; i < FREE_ROUNDS && r->attached && !all_free(r); i++)
        uring_wait(io, MS(1), false);
    io_uring_queue_exit(&r->ring); /* takes with it what a stuck disk still holds */
    for (uint32_t i = 1; i <= r->core.slot_count; i++) {
        struct slot *s = &r->core.slots[i];
        s->ops = 0;
        stream_forget_held(r, s);
        if (s->kind != SLOT_FREE)
            slot_release(&r->core, s);
    }
    for (; r->packet_count; r->packet_count--) {
        frame_put(r->core.pool, &r->packets[r->packet_first].frame);
        r->packet_first = (r->packet_first + 1) % SQ_ENTRIES;
    }
    core_fini(&r->core);
    ring_free(r);
}

static const struct io_ops uring_ops = {
    .name = "io_uring",
    .free = uring_free,
    .udp_open = uring_udp_open,
    .udp_connect = uring_udp_connect,
    .beat = uring_beat,
    .udp_send = uring_udp_send,
    .listen = uring_listen,
    .listen_pause = uring_listen_pause,
    .connect = uring_connect,
    .stream_send = uring_stream_send,
    .stream_queued = core_stream_queued,
    .stream_pause = uring_stream_pause,
    .close = uring_close,
    .own = core_own,
    .file_open = uring_file_open,
    .file_write = uring_file_write,
    .watch = core_watch,
    .wait = uring_wait,
    .submit = uring_submit,
    .wake = core_wake,
    .open_count = core_open_count,
    .dropped = core_dropped,
    .asked_count = uring_asked_count,
    .stalls = core_stalls,
};

static int buffers_new(struct ring *r, uint32_t bytes)
{
    struct io_uring_buf_reg reg = {.bgid = BUFFER_GROUP};
    size_t size;

    for (r->buffer_count = 4; r->buffer_count < 32768;) {
        if (r->buffer_count * 2 > bytes / IO_BUFFER_BYTES)
            break;
        r->buffer_count *= 2;
    }
    size = (size_t)r->buffer_count * BUFFER_STRIDE;
    r->held = calloc(r->buffer_count, sizeof(*r->held));
    r->memory = pages_new(size);
    r->buffers = pages_new(r->buffer_count * sizeof(struct io_uring_buf));
    if (!r->held)
        return -ENOMEM;
    reg.ring_addr = (uint64_t)(uintptr_t)r->buffers;
    reg.ring_entries = r->buffer_count;
    return io_uring_register_buf_ring(&r->ring, &reg, 0);
}

/* Every operation used must be there; multishot and provided buffers come with the set-up flags
 * and the buffer ring, which are refused where the kernel is older. */
static int probe(struct ring *r)
{
    static const int needed[] = {
        IORING_OP_RECV,     IORING_OP_RECVMSG,      IORING_OP_SEND,   IORING_OP_SENDMSG,
        IORING_OP_ACCEPT,   IORING_OP_CONNECT,      IORING_OP_OPENAT, IORING_OP_WRITE,
        IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
    };
    const uint32_t features = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                              IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    struct io_uring_probe *found = io_uring_get_probe_ring(&r->ring);
    int err = found && (r->ring.features & features) == features ? 0 : -ENOSYS;

    for (size_t i = 0; !err && i < ARRAY_LEN(needed); i++)
        if (!io_uring_opcode_supported(found, needed[i]))
            err = -ENOSYS;
    free(found);
    return err;
}

static int ring_init(struct ring *r, const struct io_setup *setup)
{
    struct io_uring_params params = {
        /* Disabled until the thread that will use it calls io_wait(): it may be made elsewhere. */
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries =
            setup->handles_max * 4 > 2 * SQ_ENTRIES ? setup->handles_max * 4 : 2 * SQ_ENTRIES,
    };
    int err = io_uring_queue_init_params(SQ_ENTRIES, &r->ring, &params);

    if (err)
        return err;
    err = probe(r);
    if (!err)
        err = buffers_new(r, setup->receive_bytes);
    if (err) {
        io_uring_queue_exit(&r->ring);
        return err;
    }
    buffers_add(r, BUFFERS_FIRST);
    /* Refused where the table would be larger than the process may have descriptors. */
    r->has_files = io_uring_register_files_sparse(&r->ring, r->core.slot_count + 1) == 0;
    return 0;
}

int io_uring_new(const struct io_setup *setup, struct io **out)
{
    struct ring *r = calloc(1, sizeof(*r));
    int err;

    *out = NULL;
    if (!r)
        return -ENOMEM;
    err = core_init(&r->core, setup, &uring_ops);
    if (!err) {
        err = beats_new(r);
        err = err ? err : ring_init(r, setup);
        if (err)
            core_fini(&r->core);
    }
    if (err) {
        ring_free(r);
        return err;
    }
    r->named.msg_namelen = sizeof(struct sockaddr_in6);
    for (uint32_t i = 1; i <= OPENS_MAX; i++)
        r->opens[i].next = i < OPENS_MAX ? i + 1 : 0;
    r->open_free = 1;
    *out = &r->core.io;
    return 0;
}
