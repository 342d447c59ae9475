/* Datagrams, listeners and files on the ring, and what they share with streams: submission entries,
 * provided buffers, and the end of a slot. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "runtime/io_ring.h"

/* ---- submission ---- */
/* Entries the kernel has taken so far. */
static uint64_t sqe_taken(const struct ring *r)
{
    return r->sqe_count - io_uring_sq_ready(&r->ring);
}

void ring_submitted(struct ring *r)
{
    uint64_t taken = sqe_taken(r);

    while (r->packet_count && r->packets[r->packet_first].sqe <= taken) {
        frame_put(r->core.pool, &r->packets[r->packet_first].frame);
        r->packet_first = (r->packet_first + 1) % SQ_ENTRIES;
        r->packet_count--;
    }
    if (taken == r->sqe_count)
        r->scratch_used = 0;
}

void ring_submit(struct ring *r)
{
    if (!r->attached)
        return;
    io_uring_submit(&r->ring); /* what it does not take stays in the queue */
    ring_submitted(r);
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

    if (!sqe) {
        ring_submit(r);
        sqe = io_uring_get_sqe(&r->ring);
    }
    if (sqe)
        r->sqe_count++;
    return sqe;
}

struct scratch *ring_scratch(struct ring *r)
{
    if (r->scratch_used == SCRATCH_MAX)
        ring_submit(r);
    return r->scratch_used < SCRATCH_MAX ? &r->scratch[r->scratch_used++] : NULL;
}

void ring_aim_at(struct ring *r, struct slot *s, struct io_uring_sqe *sqe, uint64_t data)
{
    io_uring_sqe_set_data64(sqe, data);
    s->sqe_last = r->sqe_count;
}

void ring_aim(struct ring *r, struct slot *s, struct io_uring_sqe *sqe, enum ring_op op)
{
    ring_aim_at(r, s, sqe, ring_data(op, slot_number(&r->core, s)));
    s->ops++;
}

bool ring_cancel(struct ring *r, struct slot *s, enum ring_op op)
{
    struct io_uring_sqe *sqe = ring_sqe(r);

    if (!sqe) {
        slot_todo(&r->core, s);
        return false;
    }
    io_uring_prep_cancel64(sqe, ring_data(op, slot_number(&r->core, s)), 0);
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(sqe, ring_data(OP_IGNORED, 0));
    s->sqe_last = r->sqe_count; /* the number must not be another's when this is carried out */
    return true;
}

/* ---- received data ---- */
struct slice buffer_at(const struct ring *r, uint32_t number, uint32_t len)
{
    return slice_of(r->memory + (size_t)number * BUFFER_STRIDE, len);
}

void buffer_put(struct ring *r, uint32_t number)
{
    io_uring_buf_ring_add(r->buffers, r->memory + (size_t)number * BUFFER_STRIDE, IO_BUFFER_BYTES,
                          (unsigned short)number, io_uring_buf_ring_mask(r->buffer_count), 0);
    io_uring_buf_ring_advance(r->buffers, 1);
}

void buffers_add(struct ring *r, uint32_t count)
{
    for (; count && r->buffers_out < r->buffer_count; count--)
        buffer_put(r, r->buffers_out++);
}

void buffers_short(struct ring *r)
{
    r->core.stalls++;
    buffers_add(r, r->buffers_out);
}

static void receive_begin(struct ring *r, struct slot *s, enum receive_state wanted)
{
    struct io_uring_sqe *sqe = ring_sqe(r);

    if (!sqe) {
        slot_todo(&r->core, s);
        return;
    }
    if (wanted == RECEIVE_NAMED)
        io_uring_prep_recvmsg_multishot(sqe, s->fd, &r->named, 0);
    else
        io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
    sqe->buf_group = BUFFER_GROUP;
    ring_aim(r, s, sqe, wanted == RECEIVE_NAMED ? OP_NAMED : OP_RECEIVE);
    s->receiving = (uint8_t)wanted;
}

void receive_want(struct ring *r, struct slot *s, enum receive_state wanted)
{
    enum receive_state is = (enum receive_state)s->receiving;

    if (is == wanted || is == RECEIVE_ENDING)
        return;
    if (is == RECEIVE_PLAIN || is == RECEIVE_NAMED) {
        if (ring_cancel(r, s, is == RECEIVE_NAMED ? OP_NAMED : OP_RECEIVE))
            s->receiving = RECEIVE_ENDING;
        return;
    }
    if (is == RECEIVE_ASKED)
        beat_leave(r, s);
    if (wanted == RECEIVE_ASKED)
        beat_join(r, s);
    else if (wanted != RECEIVE_OFF)
        receive_begin(r, s, wanted);
}

/* ---- the end of a slot ---- */
static void asked_end(struct ring *r, struct slot *s)
{
    enum ring_op op = s->sending                 ? OP_SEND
                      : s->kind == SLOT_LISTENER ? OP_ACCEPT
                      : s->kind == SLOT_WATCH    ? OP_WATCH
                                                 : OP_CONNECT;

    if (!s->asked_cancel && (s->asked || s->sending))
        s->asked_cancel = ring_cancel(r, s, op);
}

static void open_put(struct ring *r, struct slot *s)
{
    if (!s->open_node)
        return;
    r->opens[s->open_node].next = r->open_free;
    r->open_free = s->open_node;
    s->open_node = 0;
}

/* Only datagrams go out by the table: on older kernels a removed file stays open for as long as any
 * operation that was begun by the table is under way, and all others last long. */
void fixed_set(struct ring *r, struct slot *s, int fd)
{
    if (r->has_files)
        s->fixed = io_uring_register_files_update(&r->ring, slot_number(&r->core, s), &fd, 1) == 1;
}

static void listener_forget(struct ring *r, const struct slot *s)
{
    uint32_t *at = &r->listeners;

    while (*at && *at != slot_number(&r->core, s))
        at = &r->core.slots[*at].free_next;
    if (*at)
        *at = s->free_next;
}

static void slot_bury(struct ring *r, struct slot *s)
{
    open_put(r, s);
    if (s->fixed)
        fixed_set(r, s, -1);
    if (s->kind == SLOT_LISTENER)
        listener_forget(r, s);
    slot_release(&r->core, s);
}

void slot_die(struct ring *r, struct slot *s)
{
    stream_forget_held(r, s);
    if (s->kind != SLOT_FILE) {
        receive_want(r, s, RECEIVE_OFF);
        asked_end(r, s);
    }
    if (s->ops)
        return; /* the last completion brings it back here */
    if (s->sqe_last <= sqe_taken(r)) {
        slot_bury(r, s);
        return;
    }
    r->again = true;
    slot_todo(&r->core, s);
}

/* ---- datagrams ---- */
static void packet_deliver(struct ring *r, struct slot *s, struct slice data,
                           const struct address *from)
{
    struct io_event e = {.kind = IO_PACKET, .len = (uint32_t)data.len, .data = data, .peer = *from};

    if (data.len > IO_DATAGRAM_MAX)
        r->core.dropped++;
    else if (!s->up || address_equal(from, &s->peer))
        slot_deliver(&r->core, s, e);
}

/* Reads what came before the connect took effect, strangers' datagrams among it. */
static void udp_drain(struct ring *r, struct slot *s)
{
    uint32_t serial = s->serial;

    s->drained = true;
    for (int i = 0; i < DRAIN_MAX; i++) {
        struct sockaddr_storage name;
        struct address from;
        socklen_t len = sizeof(name);
        ssize_t got = recvfrom(s->fd, r->drain_bytes, sizeof(r->drain_bytes), MSG_DONTWAIT,
                               (struct sockaddr *)&name, &len);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0)
            continue; /* what an earlier send met */
        address_from_sockaddr(&name, &from);
        packet_deliver(r, s, slice_of(r->drain_bytes, (size_t)got), &from);
        if (!slot_is(s, serial) || !s->drained)
            return;
    }
    s->drained = false; /* the rest at the next wait */
    slot_todo(&r->core, s);
}

void udp_step(struct ring *r, struct slot *s)
{
    uint32_t serial = s->serial;

    if (s->dead) {
        slot_die(r, s);
        return;
    }
    if (s->up && !s->drained) {
        receive_want(r, s, RECEIVE_OFF);
        if (s->receiving != RECEIVE_OFF)
            return;
        udp_drain(r, s);
        if (!slot_is(s, serial) || !s->drained)
            return;
    }
    receive_want(r, s, !s->up ? RECEIVE_NAMED : beat_steady(r, s) ? RECEIVE_ASKED : RECEIVE_PLAIN);
}

static void packet_named(struct ring *r, struct slot *s, uint8_t *at, int res)
{
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(at, res, &r->named);
    struct sockaddr_storage name = {0};
    struct address from;

    if (!out)
        return;
    memcpy(&name, io_uring_recvmsg_name(out), r->named.msg_namelen);
    address_from_sockaddr(&name, &from);
    packet_deliver(r, s,
                   slice_of(io_uring_recvmsg_payload(out, &r->named),
                            io_uring_recvmsg_payload_length(out, res, &r->named)),
                   &from);
}

void packet_received(struct ring *r, struct slot *s, enum ring_op op, int res, uint32_t flags)
{
    uint32_t number = flags >> IORING_CQE_BUFFER_SHIFT;
    bool has = (flags & IORING_CQE_F_BUFFER) != 0;

    if (res == -ENOBUFS)
        buffers_short(r);
    if (res >= 0 && !s->dead) {
        if (op == OP_NAMED && has)
            packet_named(r, s, r->memory + (size_t)number * BUFFER_STRIDE, res);
        else if (op != OP_NAMED && s->drained)
            packet_deliver(r, s, has ? buffer_at(r, number, (uint32_t)res) : SLICE_NONE, &s->peer);
        else
            r->core.dropped++; /* between two peers: nobody can say whose it is */
    }
    if (has)
        buffer_put(r, number);
}

/* ---- listeners ---- */
static void connection_open(struct ring *r, struct slot *listener, int fd)
{
    struct io_core *core = &r->core;
    struct address peer;
    struct slot *s;

    if ((listener->dead && !listener->last_call) || socket_accepted(fd, &peer)) {
        close(fd);
        return;
    }
    s = slot_open(core, SLOT_STREAM, listener->owner, fd);
    if (!s) {
        close(fd); /* the ring accepted more than there are handles */
        core->dropped++;
        if (!listener->dead)
            listener_starve(core, listener);
        return;
    }
    s->up = true;
    s->peer = peer;
    slot_todo(core, s);
    slot_deliver(core, s, (struct io_event){.kind = IO_ACCEPTED});
}

/* The ring accepts no more: those who came before the end are let in, since closing would reset
 * them. */
static void last_accept(struct ring *r, struct slot *s)
{
    int fd;

    for (int i = 0; i < IO_BACKLOG_COUNT; i++) {
        fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        connection_open(r, s, fd);
    }
}

void listener_step(struct ring *r, struct slot *s)
{
    struct io_uring_sqe *sqe;

    if (s->dead) {
        if (s->last_call && !s->ops)
            last_accept(r, s);
        slot_die(r, s);
        return;
    }
    if (s->starved)
        listener_feed(&r->core, s);
    else if (r->full)
        listener_starve(&r->core, s);
    bool wanted = !s->starved && !s->paused;
    if (!wanted)
        asked_end(r, s);
    if (!wanted || s->asked)
        return;
    sqe = ring_sqe(r);
    if (!sqe) {
        slot_todo(&r->core, s);
        return;
    }
    io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ring_aim(r, s, sqe, OP_ACCEPT);
    s->asked = true;
}

void listener_accepted(struct ring *r, struct slot *s, int res, bool more)
{
    if (!more) {
        s->asked = s->asked_cancel = false;
        slot_todo(&r->core, s);
    }
    if (!s->dead && (res == -EMFILE || res == -ENFILE)) {
        listener_starve(&r->core, s);
        res = reserve_accept(&r->core, s->fd);
    } else if (!s->dead && (res == -ENOBUFS || res == -ENOMEM)) {
        listener_starve(&r->core, s);
    }
    if (res >= 0)
        connection_open(r, s, res);
}

/* ---- files ---- */
void file_step(struct ring *r, struct slot *s)
{
    struct open_node *node = &r->opens[s->open_node];
    struct io_uring_sqe *sqe;

    if (s->dead) {
        slot_die(r, s);
        return;
    }
    if (!s->open_node || s->asked)
        return;
    sqe = ring_sqe(r);
    if (!sqe) {
        slot_todo(&r->core, s);
        return;
    }
    io_uring_prep_openat(sqe, AT_FDCWD, node->path, node->flags, node->mode);
    ring_aim(r, s, sqe, OP_OPEN);
    s->asked = true;
}

void file_opened(struct ring *r, struct slot *s, int res)
{
    struct open_node *node = &r->opens[s->open_node];

    s->asked = false;
    slot_todo(&r->core, s);
    if (res == -ENOENT && !s->dead && !node->again) {
        node->again = true;
        if (file_make_parents(node->path, node->mode) == 0)
            return; /* asked again by the step */
    }
    open_put(r, s);
    if (res >= 0)
        s->fd = res;
    if (s->dead)
        return;
    s->up = res >= 0;
    if (res < 0)
        slot_kill(&r->core, s);
    slot_deliver(&r->core, s, (struct io_event){.kind = IO_OPENED, .err = res < 0 ? -res : 0});
}

bool write_begin(struct ring *r, struct slot *s, uint32_t number)
{
    const struct write_node *node = &r->core.writes[number];
    uint64_t left = node->len - node->done;
    struct io_uring_sqe *sqe = ring_sqe(r);

    if (!sqe)
        return false;
    io_uring_prep_write(sqe, s->fd, node->at + node->done,
                        (unsigned)(left < (1u << 30) ? left : 1u << 30), node->offset + node->done);
    ring_aim_at(r, s, sqe, ring_data(OP_WRITE, number));
    return true;
}

void file_written(struct ring *r, uint32_t number, int res)
{
    struct write_node *node = &r->core.writes[number];
    struct slot *s = &r->core.slots[node->slot];

    if (res > 0)
        node->done += (uint64_t)res;
    if ((res > 0 || res == -EINTR) && node->done < node->len && write_begin(r, s, number))
        return;
    if (node->done < node->len)
        node->err = res < 0 ? -res : ENOSPC;
    s->ops--;
    if (s->dead)
        slot_todo(&r->core, s);
    write_deliver(&r->core, number);
}
