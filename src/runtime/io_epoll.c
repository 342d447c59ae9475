/* The backend for where io_uring is refused: one level-triggered epoll set. What the user asks for
 * is noted in the slot; io_wait() brings the kernel in line with it (todo), waits, and delivers.
 * Its price: a system call per handle that has something, and files are written inline. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "runtime/io_socket.h"

#define EVENTS_MAX   512 /* per epoll_pwait2; what is left comes with the next one */
#define PACKETS_MAX  8   /* per recvmmsg */
#define ROUNDS_MAX   4   /* reads of one handle per wait, so that no peer starves another */
#define ACCEPTS_MAX  64  /* per listener and wait */
#define STREAM_BYTES 65536
#define WAKE_DATA    UINT64_MAX

struct epoll {
    struct io_core core;
    int fd;
    bool coarse;             /* no epoll_pwait2 here */
    struct slot_list writes; /* done, not told yet */
    struct epoll_event events[EVENTS_MAX];
    struct mmsghdr packets[PACKETS_MAX];
    struct iovec packet_pieces[PACKETS_MAX];
    struct sockaddr_storage packet_names[PACKETS_MAX];
    uint8_t packet_bytes[PACKETS_MAX][IO_BUFFER_BYTES];
    uint8_t stream_bytes[STREAM_BYTES];
};

static void want(struct epoll *ep, struct slot *s, uint32_t events)
{
    uint64_t data = (uint64_t)s->serial << 32 | slot_number(&ep->core, s);
    struct epoll_event e = {.events = events, .data.u64 = data};
    int op = !s->interest ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

    if (events == s->interest)
        return;
    /* Wanting nothing means leaving the set: EPOLLHUP is reported whatever is asked for. */
    if (epoll_ctl(ep->fd, op, s->fd, &e) == 0)
        s->interest = events;
    else
        slot_todo(&ep->core, s); /* out of memory: tried again at the next wait */
}

/* ---- streams ---- */
static void stream_want(struct epoll *ep, struct slot *s)
{
    bool reads = s->up && !s->eof && (s->dead ? s->flush : !s->paused);
    bool writes = !s->up || s->blocked;

    want(ep, s, (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u));
}

/* The user learns that it is over; what is queued still goes out if the peer ended in order. */
static void stream_end(struct epoll *ep, struct slot *s, int err)
{
    struct io_core *core = &ep->core;
    enum io_event_kind kind = s->up ? IO_CLOSED : IO_CONNECTED;

    slot_kill(core, s);
    s->eof = true;
    slot_deliver(core, s, (struct io_event){.kind = kind, .err = err});
    if (err || !s->send_frames) {
        slot_release(core, s);
        return;
    }
    flush_begin(core, s);
    slot_todo(core, s);
}

/* An error of a stream whose user is still there is told in the delivery part of the wait. */
static void stream_fail(struct epoll *ep, struct slot *s, int err)
{
    if (s->dead) {
        slot_release(&ep->core, s);
        return;
    }
    queue_drop(&ep->core, s);
    want(ep, s, 0);
    s->err = err;
    slot_ready(&ep->core, s, PEND_CLOSED);
}

/* Gives the kernel what is queued. 0, or a positive errno when the stream is broken. */
static int stream_write(struct epoll *ep, struct slot *s)
{
    struct iovec pieces[IO_IOV_MAX];
    struct io_core *core = &ep->core;

    s->blocked = false;
    while (s->send_frames) {
        struct msghdr msg = {.msg_iov = pieces};
        msg.msg_iovlen = queue_pieces(core, s, pieces, IO_IOV_MAX);
        ssize_t sent = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
            return errno;
        if (sent < 0) {
            s->blocked = true;
            return 0;
        }
        queue_taken(core, s, (size_t)sent);
        if (!s->send_frames && !s->dead)
            slot_ready(core, s, PEND_SENT);
    }
    return 0;
}

/* Brings the kernel in line with what is wanted of a stream. */
static void stream_step(struct epoll *ep, struct slot *s)
{
    if (s->pend & PEND_CLOSED)
        return;
    int err = s->up ? stream_write(ep, s) : 0;
    if (err) {
        stream_fail(ep, s, err);
        return;
    }
    if (s->dead && s->up && !s->send_frames) {
        if (s->eof) {
            slot_release(&ep->core, s);
            return;
        }
        /* Our end is closed and theirs read to its end: closing over unread data would reset the
         * connection and could destroy what was just sent. */
        if (!s->shut)
            shutdown(s->fd, SHUT_WR);
        s->shut = true;
    }
    stream_want(ep, s);
}

static void stream_up(struct epoll *ep, struct slot *s)
{
    int err = socket_error(s->fd, 0);

    if (err && s->dead) {
        slot_release(&ep->core, s);
        return;
    }
    if (err) {
        stream_end(ep, s, err);
        return;
    }
    s->up = true;
    slot_todo(&ep->core, s);
    if (!s->dead)
        slot_deliver(&ep->core, s, (struct io_event){.kind = IO_CONNECTED});
}

static void stream_read(struct epoll *ep, struct slot *s)
{
    uint32_t serial = s->serial;

    for (int i = 0; i < ROUNDS_MAX; i++) {
        ssize_t got = recv(s->fd, ep->stream_bytes, STREAM_BYTES, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            int err = got < 0 ? errno : 0;
            if (!s->dead) {
                stream_end(ep, s, err);
            } else if (err || !s->send_frames) {
                slot_release(&ep->core, s);
            } else {
                s->eof = true;
                stream_want(ep, s);
            }
            return;
        }
        if (s->dead)
            continue; /* nobody is there for it */
        slot_deliver(&ep->core, s,
                     (struct io_event){.kind = IO_DATA,
                                       .len = (uint32_t)got,
                                       .data = slice_of(ep->stream_bytes, (size_t)got)});
        if (s->paused || !slot_is(s, serial) || got < STREAM_BYTES)
            return;
    }
}

static void stream_event(struct epoll *ep, struct slot *s, uint32_t events)
{
    uint32_t serial = s->serial;

    if (s->pend & PEND_CLOSED)
        return;
    if (!s->up) {
        stream_up(ep, s);
        return;
    }
    if (events & EPOLLOUT)
        stream_step(ep, s);
    if (s->serial != serial || s->kind == SLOT_FREE || (s->pend & PEND_CLOSED))
        return;
    if ((s->interest & EPOLLIN) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        stream_read(ep, s);
    else if (events & (EPOLLHUP | EPOLLERR))
        stream_fail(ep, s, socket_error(s->fd, ECONNRESET));
}

/* ---- listeners ---- */
static void connection_open(struct epoll *ep, struct slot *listener, int fd)
{
    struct io_core *core = &ep->core;
    struct address peer;

    if (socket_accepted(fd, &peer)) {
        close(fd); /* it went before it was seen */
        return;
    }
    struct slot *s = slot_open(core, SLOT_STREAM, listener->owner, fd);
    if (!s) {
        close(fd);
        core->dropped++;
        return;
    }
    s->up = true;
    s->peer = peer;
    slot_todo(core, s);
    slot_deliver(core, s, (struct io_event){.kind = IO_ACCEPTED});
}

/* Closed by its user: those who came before are let in, since closing would reset them. */
static void listener_close(struct epoll *ep, struct slot *s)
{
    int fd;

    for (int i = 0; i < IO_BACKLOG_COUNT; i++) {
        fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        connection_open(ep, s, fd);
    }
    slot_release(&ep->core, s);
}

static void listener_step(struct epoll *ep, struct slot *s)
{
    if (s->last_call) {
        listener_close(ep, s);
        return;
    }
    bool feeds = !s->starved || listener_feed(&ep->core, s);

    want(ep, s, feeds && !s->paused ? EPOLLIN : 0u);
}

static void listener_event(struct epoll *ep, struct slot *s)
{
    struct io_core *core = &ep->core;
    uint32_t serial = s->serial;

    for (int i = 0; i < ACCEPTS_MAX && slot_is(s, serial) && !s->paused && !s->starved; i++) {
        if (core->live >= core->handles_max || !core->free_first) {
            listener_starve(core, s);
            return;
        }
        int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            listener_starve(core, s);
            fd = reserve_accept(core, s->fd);
        } else if (fd < 0) {
            if (errno == ENOBUFS || errno == ENOMEM)
                listener_starve(core, s);
            if (errno != ECONNABORTED && errno != EINTR)
                return;
            continue;
        }
        if (fd >= 0)
            connection_open(ep, s, fd);
    }
}

/* ---- datagrams ---- */
/* Delivers one; false when the handle is gone. */
static bool packet_deliver(struct epoll *ep, struct slot *s, uint32_t i)
{
    struct io_event e = {.kind = IO_PACKET, .len = ep->packets[i].msg_len};
    uint32_t serial = s->serial;

    address_from_sockaddr(&ep->packet_names[i], &e.peer);
    if (e.len > IO_DATAGRAM_MAX) {
        ep->core.dropped++;
        return true;
    }
    /* What strangers sent before the connect is still in the queue. */
    if (s->up && !address_equal(&e.peer, &s->peer))
        return true;
    e.data = slice_of(ep->packet_bytes[i], e.len);
    slot_deliver(&ep->core, s, e);
    return slot_is(s, serial);
}

static void packets_read(struct epoll *ep, struct slot *s)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        for (uint32_t i = 0; i < PACKETS_MAX; i++)
            ep->packets[i].msg_hdr.msg_namelen = sizeof(ep->packet_names[i]);
        int got = recvmmsg(s->fd, ep->packets, PACKETS_MAX, MSG_DONTWAIT, NULL);
        if (got <= 0)
            return; /* nothing, or an error of an earlier send, which is cleared by this */
        for (uint32_t i = 0; i < (uint32_t)got; i++)
            if (!packet_deliver(ep, s, i))
                return;
        if (got < PACKETS_MAX)
            return;
    }
}

/* ---- the operations of io.h ---- */
static int epoll_udp_open(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                          struct address *bound)
{
    struct epoll *ep = (struct epoll *)io;
    int fd = socket_udp(local, bound);

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    struct slot *s = slot_open(&ep->core, SLOT_UDP, owner, fd);
    if (!s) {
        close(fd);
        return -EMFILE;
    }
    s->family = local->family;
    slot_todo(&ep->core, s);
    *id = slot_id(&ep->core, s);
    return 0;
}

static int epoll_udp_connect(struct io *io, io_id id, const struct address *peer)
{
    struct slot *s = slot_find((struct io_core *)io, id, SLOT_UDP);
    struct sockaddr_storage name;

    if (!s)
        return -EBADF;
    if (connect(s->fd, (struct sockaddr *)&name, socket_name(s->family, peer, &name)))
        return -errno;
    s->peer = *peer;
    s->up = true;
    return 0;
}

static int epoll_udp_send(struct io *io, io_id id, frame_ref take, const struct address *to)
{
    struct epoll *ep = (struct epoll *)io;
    struct slot *s = slot_find(&ep->core, id, SLOT_UDP);
    int err = !s ? -EBADF : !to && !s->up ? -EDESTADDRREQ : 0;

    if (!err) {
        const struct frame *f = frame_at(ep->core.pool, take);
        struct sockaddr_storage name;
        socklen_t len = to ? socket_name(s->family, to, &name) : 0;
        if (sendto(s->fd, f->data, f->len, MSG_DONTWAIT | MSG_NOSIGNAL,
                   to ? (struct sockaddr *)&name : NULL, len) < 0)
            ep->core.dropped++;
    }
    frame_put(ep->core.pool, &take);
    return err;
}

static int epoll_listen(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                        struct address *bound)
{
    struct epoll *ep = (struct epoll *)io;
    int fd = socket_listen(local, bound);

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    struct slot *s = slot_open(&ep->core, SLOT_LISTENER, owner, fd);
    if (!s) {
        close(fd);
        return -EMFILE;
    }
    slot_todo(&ep->core, s);
    *id = slot_id(&ep->core, s);
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

static void epoll_listen_pause(struct io *io, io_id id, bool pause)
{
    pause_kind(io, id, pause, SLOT_LISTENER);
}

static void epoll_stream_pause(struct io *io, io_id id, bool pause)
{
    pause_kind(io, id, pause, SLOT_STREAM);
}

static int epoll_connect(struct io *io, uint64_t owner, const struct address *peer, io_id *id)
{
    struct epoll *ep = (struct epoll *)io;
    struct sockaddr_storage name;
    int fd = socket_stream(peer);

    *id = IO_NONE;
    if (fd < 0)
        return fd;
    struct slot *s = slot_open(&ep->core, SLOT_STREAM, owner, fd);
    if (!s) {
        close(fd);
        return -EMFILE;
    }
    s->peer = *peer;
    *id = slot_id(&ep->core, s);
    if (connect(fd, (struct sockaddr *)&name, address_to_sockaddr(peer, &name)) == 0) {
        slot_todo(&ep->core, s); /* it is writable at once */
    } else if (errno == EINPROGRESS) {
        slot_todo(&ep->core, s);
    } else {
        s->err = errno;
        slot_ready(&ep->core, s, PEND_CLOSED);
    }
    return 0;
}

static int epoll_stream_send(struct io *io, io_id id, frame_ref take)
{
    struct io_core *core = (struct io_core *)io;
    struct slot *s = slot_find(core, id, SLOT_STREAM);

    if (!s || (s->pend & PEND_CLOSED)) {
        frame_put(core->pool, &take);
        return s ? 0 : -EBADF;
    }
    slot_todo(core, s);
    return queue_push(core, s, take);
}

static void epoll_close(struct io *io, io_id id, bool flush)
{
    struct io_core *core = (struct io_core *)io;
    struct slot *s = slot_find(core, id, SLOT_FREE);
    bool broken;

    if (!s)
        return;
    broken = (s->pend & PEND_CLOSED) != 0;
    if (s->kind == SLOT_UDP)
        core->dropped += socket_drops(s->fd);
    if (s->kind == SLOT_WATCH)
        want((struct epoll *)io, s, 0); /* its file lives on: closing does not take it out */
    slot_kill(core, s);
    if (s->kind == SLOT_LISTENER && flush) {
        s->last_call = true;
        slot_todo(core, s);
        return;
    }
    if (s->kind != SLOT_STREAM || !flush || broken || (!s->up && !s->send_frames)) {
        slot_release(core, s);
        return;
    }
    flush_begin(core, s);
    slot_todo(core, s);
}

static int epoll_file_open(struct io *io, uint64_t owner, const char *path, int flags,
                           unsigned mode, io_id *id)
{
    struct io_core *core = (struct io_core *)io;
    struct slot *s = slot_open(core, SLOT_FILE, owner, -1);

    *id = IO_NONE;
    if (!s)
        return -EMFILE;
    s->fd = open(path, file_flags(flags), mode);
    if (s->fd < 0 && errno == ENOENT && file_make_parents(path, mode) == 0)
        s->fd = open(path, file_flags(flags), mode);
    s->err = s->fd < 0 ? errno : 0;
    slot_ready(core, s, PEND_OPENED);
    *id = slot_id(core, s);
    return 0;
}

static void write_now(struct slot *s, struct write_node *node)
{
    while (node->done < node->len) {
        ssize_t done = pwrite(s->fd, node->at + node->done, node->len - node->done,
                              (off_t)(node->offset + node->done));
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            node->err = done < 0 ? errno : ENOSPC;
            return;
        }
        node->done += (uint64_t)done;
    }
}

static int epoll_file_write(struct io *io, io_id id, struct slice bytes, uint64_t offset,
                            uint64_t tag)
{
    struct epoll *ep = (struct epoll *)io;
    struct io_core *core = &ep->core;
    struct slot *s = slot_find(core, id, SLOT_FILE);
    uint32_t number;

    if (!s)
        return -EBADF;
    number = s->up ? write_get(core, s, bytes, offset, tag) : 0;
    if (!number)
        return -EAGAIN;
    write_now(s, &core->writes[number]);
    if (ep->writes.last)
        core->writes[ep->writes.last].next = number;
    else
        ep->writes.first = number;
    ep->writes.last = number;
    core->writes[number].next = 0;
    return 0;
}

/* ---- waiting ---- */
static void slot_step(struct epoll *ep, struct slot *s)
{
    switch ((enum slot_kind)s->kind) {
    case SLOT_UDP:
        want(ep, s, EPOLLIN);
        break;
    case SLOT_LISTENER:
        listener_step(ep, s);
        break;
    case SLOT_STREAM:
        stream_step(ep, s);
        break;
    case SLOT_WATCH:
        want(ep, s, EPOLLIN);
        break;
    case SLOT_FREE:
    case SLOT_FILE:
        break;
    }
}

static void streams_force(struct epoll *ep)
{
    struct slot *s;

    while ((s = flush_late(&ep->core))) {
        if (s->send_frames)
            socket_abort(s->fd);
        slot_release(&ep->core, s);
    }
}

static void ready_deliver(struct epoll *ep, struct slot *s)
{
    uint8_t pend = s->pend;
    uint32_t serial = s->serial;

    s->pend &= PEND_CLOSED; /* a stream that failed is left alone until that has been told */
    if (pend & PEND_OPENED) {
        int err = s->err;
        s->up = !err;
        if (err)
            slot_kill(&ep->core, s);
        slot_deliver(&ep->core, s, (struct io_event){.kind = IO_OPENED, .err = err});
        if (err)
            slot_release(&ep->core, s);
        return;
    }
    if ((pend & PEND_SENT) && !s->send_frames)
        slot_deliver(&ep->core, s, (struct io_event){.kind = IO_SENT});
    if ((pend & PEND_CLOSED) && slot_is(s, serial))
        stream_end(ep, s, s->err);
}

/* What the calls of the user brought about, up to the beginning of this delivery. */
static void deferred_deliver(struct epoll *ep)
{
    uint32_t at = list_take(&ep->core.ready), number = list_take(&ep->writes);
    struct slot *s;

    while ((s = ready_next(&ep->core, &at)))
        if (s->kind != SLOT_FREE && !s->dead)
            ready_deliver(ep, s);
    while (number) {
        uint32_t next = ep->core.writes[number].next;
        write_deliver(&ep->core, number);
        number = next;
    }
}

static void event_deliver(struct epoll *ep, const struct epoll_event *e)
{
    struct slot *s = &ep->core.slots[(uint32_t)e->data.u64];

    if (e->data.u64 == WAKE_DATA) {
        core_woken(&ep->core);
        return;
    }
    /* A handle closed, or even replaced, by an earlier event of this batch. */
    if (s->serial != (uint32_t)(e->data.u64 >> 32) || s->kind == SLOT_FREE || !s->interest ||
        s->last_call)
        return;
    if (s->kind == SLOT_UDP)
        packets_read(ep, s);
    else if (s->kind == SLOT_LISTENER)
        listener_event(ep, s);
    else if (s->kind == SLOT_WATCH)
        slot_deliver(&ep->core, s, (struct io_event){.kind = IO_READY});
    else
        stream_event(ep, s, e->events);
}

static int events_await(struct epoll *ep, int64_t timeout_ns, bool tick)
{
    bool forever = timeout_ns == NEVER_NS;
    struct timespec span = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    int count = -1;

    if (tick && timeout_ns > 0 && !forever) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
        span = (struct timespec){0};
    }
    if (!ep->coarse)
        count = epoll_pwait2(ep->fd, ep->events, EVENTS_MAX, forever ? NULL : &span, NULL);
    if (count < 0 && (errno == ENOSYS || errno == EPERM))
        ep->coarse = true;
    if (!ep->coarse)
        return count;
    /* Kernels and seccomp profiles older than the call: whole milliseconds, rounded up. */
    int64_t ms = (span.tv_sec * NS_PER_S + span.tv_nsec + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(ep->fd, ep->events, EVENTS_MAX,
                      forever ? -1 : (int)(ms < 60000 ? ms : 60000));
}

/* Streams send here; datagrams were sent at once. */
static void epoll_submit(struct io *io)
{
    struct epoll *ep = (struct epoll *)io;
    uint32_t at = list_take(&ep->core.todo);
    struct slot *s;

    while ((s = todo_next(&ep->core, &at)))
        slot_step(ep, s);
}

static void epoll_wait_io(struct io *io, int64_t timeout_ns, bool tick)
{
    struct epoll *ep = (struct epoll *)io;
    int count;

    epoll_submit(io);
    streams_force(ep);
    timeout_ns = core_wait_ns(&ep->core, timeout_ns);
    if (!tick && (ep->core.ready.first || ep->writes.first))
        timeout_ns = 0;
    count = events_await(ep, timeout_ns, tick);
    if (ep->core.woken)
        ep->core.woken(ep->core.context);
    for (int i = 0; i < count; i++)
        event_deliver(ep, &ep->events[i]);
    deferred_deliver(ep);
}

static void epoll_free(struct io *io)
{
    struct epoll *ep = (struct epoll *)io;

    for (uint32_t i = 1; i <= ep->core.slot_count; i++) {
        struct slot *s = &ep->core.slots[i];
        if (s->kind == SLOT_FREE)
            continue;
        if (!s->dead)
            slot_kill(&ep->core, s);
        slot_release(&ep->core, s);
    }
    core_fini(&ep->core);
    close(ep->fd);
    free(ep);
}

static const struct io_ops epoll_ops = {
    .name = "epoll",
    .free = epoll_free,
    .udp_open = epoll_udp_open,
    .udp_connect = epoll_udp_connect,
    .udp_send = epoll_udp_send,
    .listen = epoll_listen,
    .listen_pause = epoll_listen_pause,
    .connect = epoll_connect,
    .stream_send = epoll_stream_send,
    .stream_queued = core_stream_queued,
    .stream_pause = epoll_stream_pause,
    .close = epoll_close,
    .own = core_own,
    .file_open = epoll_file_open,
    .file_write = epoll_file_write,
    .watch = core_watch,
    .wait = epoll_wait_io,
    .submit = epoll_submit,
    .wake = core_wake,
    .open_count = core_open_count,
    .dropped = core_dropped,
    .stalls = core_stalls,
};

int io_epoll_new(const struct io_setup *setup, struct io **out)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = WAKE_DATA};
    struct epoll *ep = calloc(1, sizeof(*ep));
    int err;

    *out = NULL;
    if (!ep)
        return -ENOMEM;
    err = core_init(&ep->core, setup, &epoll_ops);
    if (err) {
        free(ep);
        return err;
    }
    ep->fd = epoll_create1(EPOLL_CLOEXEC);
    if (ep->fd < 0 || epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->core.wake_fd, &wake)) {
        err = -errno;
        epoll_free(&ep->core.io);
        return err;
    }
    for (uint32_t i = 0; i < PACKETS_MAX; i++) {
        ep->packet_pieces[i] = (struct iovec){ep->packet_bytes[i], IO_BUFFER_BYTES};
        ep->packets[i].msg_hdr.msg_iov = &ep->packet_pieces[i];
        ep->packets[i].msg_hdr.msg_iovlen = 1;
        ep->packets[i].msg_hdr.msg_name = &ep->packet_names[i];
    }
    *out = &ep->core.io;
    return 0;
}
