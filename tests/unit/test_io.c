/* Datagrams, files, limits and waiting: the same cases over both real backends of runtime/io.h. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/unit/io_world.h"

/* ---- datagrams ---- */
static void udp_echo(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer;
    io_id id;
    int fd = plain_udp(&peer);

    (void)state;
    assert_int_equal(w->io->ops->udp_open(w->io, 42, &at, &id, &at), 0);
    assert_true(at.port != 0);
    plain_send(fd, "hello", &at);
    await(w, IO_PACKET, 1);
    assert_memory_equal(w->bytes, "hello", 5);
    assert_true(address_equal(&w->last[IO_PACKET].peer, &peer));
    assert_int_equal(w->last[IO_PACKET].owner, 42);
    assert_int_equal(w->last[IO_PACKET].id, id);
    assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "back"), &peer), 0);
    turn(w);
    plain_expect(fd, "back");
    w->io->ops->own(w->io, id, 43);
    plain_send(fd, "", &at);
    await(w, IO_PACKET, 2);
    assert_int_equal(w->last[IO_PACKET].owner, 43);
    assert_int_equal(w->last[IO_PACKET].len, 0);
    assert_int_equal(w->io->ops->open_count(w->io), 1);
    close(fd);
    world_free(w);
}

static void udp_connect_case(bool armed)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer, stranger;
    io_id id;
    int fd = plain_udp(&peer), other = plain_udp(&stranger);

    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    if (armed)
        idle(w);
    plain_send(fd, "a", &at);
    plain_send(other, "X", &at);
    plain_send(fd, "b", &at);
    assert_int_equal(w->io->ops->udp_connect(w->io, id, &peer), 0);
    plain_send(fd, "c", &at);
    await_bytes(w, 3);
    plain_send(fd, "d", &at);
    plain_send(other, "Y", &at);
    plain_send(fd, "e", &at);
    await_bytes(w, 5);
    idle(w);
    assert_int_equal(w->len, 5);
    assert_memory_equal(w->bytes, "abcde", 5);
    assert_true(address_equal(&w->last[IO_PACKET].peer, &peer));
    assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "reply"), NULL), 0);
    turn(w);
    plain_expect(fd, "reply");
    /* Another peer from now on: a call that moves. */
    assert_int_equal(w->io->ops->udp_connect(w->io, id, &stranger), 0);
    plain_send(other, "Z", &at);
    await_bytes(w, 6);
    assert_int_equal(w->bytes[5], 'Z');
    close(fd);
    close(other);
    world_free(w);
}

static void udp_connect_fresh(void **state)
{
    (void)state;
    udp_connect_case(false);
}

static void udp_connect_armed(void **state)
{
    (void)state;
    udp_connect_case(true);
}

static void udp_limits(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer;
    static char big[3000];
    io_id id;
    int fd = plain_udp(&peer);

    (void)state;
    memset(big, 'x', sizeof(big));
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "?"), NULL), -EDESTADDRREQ);
    for (int connected = 0; connected < 2; connected++) {
        w->len = 0;
        big[IO_DATAGRAM_MAX] = 0;
        plain_send(fd, big, &at); /* the longest that comes through */
        big[IO_DATAGRAM_MAX] = 'x';
        big[IO_DATAGRAM_MAX + 1] = 0;
        plain_send(fd, big, &at);
        big[IO_DATAGRAM_MAX + 1] = 'x';
        big[2999] = 0;
        plain_send(fd, big, &at);
        plain_send(fd, "end", &at);
        await_bytes(w, IO_DATAGRAM_MAX + 3);
        assert_int_equal(w->io->ops->dropped(w->io), 2 * (connected + 1));
        assert_int_equal(w->io->ops->udp_connect(w->io, id, &peer), 0);
        idle(w);
    }
    assert_int_equal(frame_pool_used(w->pool), 0);
    close(fd);
    world_free(w);
}

/* Sends to a port where nobody listens come back as errors, and must end nothing. */
static void udp_refused(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer, again;
    io_id id;
    int fd = plain_udp(&peer);

    (void)state;
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    assert_int_equal(w->io->ops->udp_connect(w->io, id, &peer), 0);
    idle(w);
    close(fd);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "gone"), NULL), 0);
        idle(w);
    }
    fd = plain_udp(&again);
    assert_int_equal(w->io->ops->udp_connect(w->io, id, &again), 0);
    plain_send(fd, "alive", &at);
    await_bytes(w, 5);
    assert_int_equal(frame_pool_used(w->pool), 0);
    close(fd);
    world_free(w);
}

static void udp_burst(void **state)
{
    struct rlimit limit;
    unsigned calls = 1000;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < calls + 200)
        calls = (unsigned)limit.rlim_cur - 200;
    struct world *w = world_sized(calls, 256 * 1024);
    struct address *at = calloc(calls, sizeof(*at)), peer;
    io_id *id = calloc(calls, sizeof(*id));
    int fd = plain_udp(&peer);
    for (unsigned i = 0; i < calls; i++) {
        struct address any = loopback(0);
        assert_int_equal(w->io->ops->udp_open(w->io, i, &any, &id[i], &at[i]), 0);
        assert_int_equal(w->io->ops->udp_connect(w->io, id[i], &peer), 0);
    }
    idle(w);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < calls; i++)
            plain_send(fd, "0123456789", &at[i]);
        for (unsigned i = 0; i < calls; i++) /* and out in the same tick */
            assert_int_equal(w->io->ops->udp_send(w->io, id[i], text(w, "x"), NULL), 0);
        await(w, IO_PACKET, round * calls);
    }
    assert_int_equal(w->len, 30 * calls);
    assert_int_equal(frame_pool_used(w->pool), 0);
    assert_int_equal(w->io->ops->dropped(w->io), 0);
    for (unsigned i = 0; i < calls; i++)
        w->io->ops->close(w->io, id[i], false);
    assert_int_equal(w->io->ops->open_count(w->io), 0);
    close(fd);
    free(at);
    free(id);
    world_free(w);
}

/* More in one tick than the submission queue holds. */
static void udp_send_many(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer;
    const unsigned total = 3000;
    unsigned came = 0;
    int room = 8 << 20;
    io_id id;
    char got[8];
    int fd = plain_udp(&peer);

    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    idle(w);
    for (unsigned i = 0; i < total; i++) {
        frame_ref frame = text(w, "0000");
        memcpy(frame_at(w->pool, frame)->data, &i, sizeof(i));
        assert_int_equal(w->io->ops->udp_send(w->io, id, frame, &peer), 0);
    }
    w->io->ops->wait(w->io, 0, false);
    assert_int_equal(frame_pool_used(w->pool), 0);
    assert_int_equal(w->io->ops->dropped(w->io), 0);
    for (; recv(fd, got, sizeof(got), MSG_DONTWAIT) == 4; came++)
        assert_memory_equal(got, &came, sizeof(came)); /* in order */
    assert_int_equal(came, total);
    close(fd);
    world_free(w);
}

static void udp_receive_tiny(void **state)
{
    struct world *w = world_sized(8, 4 * IO_BUFFER_BYTES);
    struct address at = loopback(0), peer;
    io_id id;
    int fd = plain_udp(&peer);
    const unsigned total = 2000;

    (void)state;
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    assert_int_equal(w->io->ops->udp_connect(w->io, id, &peer), 0);
    idle(w);
    for (int i = 0; i < 100; i++)
        plain_send(fd, "one", &at);
    await(w, IO_PACKET, 100); /* the socket's own buffer held them */
    if (strcmp(w->io->ops->name, "io_uring") == 0)
        assert_true(w->io->ops->stalls(w->io) > 0);
    /* More than the socket's buffer holds: what did not come has been counted. */
    for (unsigned i = 0; i < total; i++)
        plain_send(fd, "two", &at);
    for (int i = 0; i < 1000; i++)
        w->io->ops->wait(w->io, 0, false);
    unsigned came = w->count[IO_PACKET] - 100;
    assert_true(came > 0 && came < total);
    w->io->ops->close(w->io, id, false);
    turn(w);
    assert_int_equal(w->io->ops->dropped(w->io) + came, total);
    close(fd);
    world_free(w);
}

static void stale_ids(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    const struct io_ops *ops = w->io->ops;
    io_id old, id, first;

    (void)state;
    assert_int_equal(ops->udp_open(w->io, 1, &at, &old, NULL), 0);
    first = old;
    ops->close(w->io, old, false);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(ops->udp_open(w->io, 1, &at, &id, NULL), 0);
        assert_true(id != old && id != first && id != IO_NONE);
        assert_int_equal(ops->udp_connect(w->io, old, &at), -EBADF);
        assert_int_equal(ops->udp_connect(w->io, first, &at), -EBADF); /* its slot comes round */
        assert_int_equal(ops->udp_send(w->io, old, text(w, "x"), &at), -EBADF);
        ops->close(w->io, old, true);
        assert_int_equal(ops->open_count(w->io), 1);
        ops->close(w->io, id, false);
        old = id;
        ops->wait(w->io, 0, false);
    }
    /* Every operation on a dead id, on one of another kind, and on nonsense. */
    assert_int_equal(ops->udp_open(w->io, 1, &at, &id, NULL), 0);
    io_id wrong[] = {old, id, IO_NONE, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(ops->stream_send(w->io, wrong[i], text(w, "x")), -EBADF);
        assert_int_equal(ops->file_write(w->io, wrong[i], SLICE("x"), 0, 0), -EBADF);
        assert_int_equal(ops->stream_queued(w->io, wrong[i]), 0);
        ops->stream_pause(w->io, wrong[i], true);
        ops->listen_pause(w->io, wrong[i], true);
    }
    assert_int_equal(frame_pool_used(w->pool), 0);
    world_free(w);
}

/* ---- limits ---- */
static void handles_run_out(void **state)
{
    struct world *w = world_sized(3, 1 << 16);
    struct address at = loopback(0), any = loopback(0);
    const struct io_ops *ops = w->io->ops;
    io_id listener, a, b, none;

    (void)state;
    assert_int_equal(ops->listen(w->io, 1, &at, &listener, &at), 0);
    assert_int_equal(ops->udp_open(w->io, 1, &any, &a, NULL), 0);
    assert_int_equal(ops->udp_open(w->io, 1, &any, &b, NULL), 0);
    assert_int_equal(ops->udp_open(w->io, 1, &any, &none, NULL), -EMFILE);
    assert_int_equal(ops->listen(w->io, 1, &any, &none, NULL), -EMFILE);
    assert_int_equal(ops->connect(w->io, 1, &at, &none), -EMFILE);
    assert_int_equal(ops->file_open(w->io, 1, "/dev/null", O_WRONLY, 0600, &none), -EMFILE);
    assert_int_equal(none, IO_NONE);
    int client = plain_connect(&at);
    idle(w);
    assert_int_equal(w->count[IO_ACCEPTED], 0);
    assert_true(ops->stalls(w->io) > 0);
    ops->close(w->io, a, false);
    await(w, IO_ACCEPTED, 1); /* it waited in the backlog */
    ops->close(w->io, b, false);
    assert_int_equal(ops->udp_open(w->io, 1, &any, &b, NULL), 0);
    close(client);
    world_free(w);
}

static void descriptors_run_out(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    struct rlimit before, none;
    io_id listener;
    int clients[3];

    (void)state;
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
    /* A ring takes the limit that holds when it is asked to accept. */
    w->io->ops->listen_pause(w->io, listener, true);
    idle(w);
    for (int i = 0; i < 3; i++)
        clients[i] = plain_connect(&at);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)fcntl(clients[0], F_DUPFD_CLOEXEC, 0);
    close((int)none.rlim_cur); /* the lowest that is free, and now beyond the limit */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    w->io->ops->listen_pause(w->io, listener, false);
    await(w, IO_ACCEPTED, 1); /* the reserve let it in */
    idle(w);
    assert_int_equal(w->count[IO_ACCEPTED], 1);
    assert_true(w->io->ops->stalls(w->io) > 0);
    io_id id;
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, NULL), -EMFILE);
    w->io->ops->close(w->io, w->last[IO_ACCEPTED].id, false);
    await(w, IO_ACCEPTED, 2);
    idle(w);
    assert_int_equal(w->count[IO_ACCEPTED], 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    await(w, IO_ACCEPTED, 3); /* by itself, after a moment */
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    world_free(w);
}

static void listen_paused(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    io_id listener, twin;

    (void)state;
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
    idle(w);
    w->io->ops->listen_pause(w->io, listener, true);
    idle(w);
    int client = plain_connect(&at);
    idle(w);
    assert_int_equal(w->count[IO_ACCEPTED], 0);
    w->io->ops->listen_pause(w->io, listener, false);
    await(w, IO_ACCEPTED, 1);
    /* Another generation of the binary may listen on the same port. */
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &twin, NULL), 0);
    close(client);
    world_free(w);
}

/* Who came before the listener was closed is let in, if its user wishes. */
static void listen_last_call(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    io_id listener;
    int clients[3];

    (void)state;
    for (int flush = 1; flush >= 0; flush--) {
        int before = (int)w->count[IO_ACCEPTED];
        at.port = 0;
        assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
        w->io->ops->listen_pause(w->io, listener, true);
        idle(w);
        for (int i = 0; i < 3; i++)
            clients[i] = plain_connect(&at);
        w->io->ops->close(w->io, listener, flush);
        idle(w);
        assert_int_equal(w->count[IO_ACCEPTED], before + 3 * flush);
        for (int i = 0; i < 3; i++) {
            char byte;
            ssize_t n = recv(clients[i], &byte, 1, MSG_DONTWAIT);
            assert_true(n < 0);
            assert_int_equal(errno, flush ? EAGAIN : ECONNRESET);
            close(clients[i]);
        }
    }
    world_free(w);
}

/* ---- files ---- */
static void file_write(void **state)
{
    struct world *w = world_new();
    const struct io_ops *ops = w->io->ops;
    char folder[] = "/tmp/test_io_XXXXXX", path[128], got[32] = {0};
    static uint8_t big[300000];
    struct stat at;
    io_id id;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/2024/05/call.wav", folder);
    assert_int_equal(ops->file_open(w->io, 5, path, O_TRUNC, 0640, &id), 0);
    assert_int_equal(ops->file_write(w->io, id, SLICE("x"), 0, 1), -EAGAIN);
    assert_int_equal(w->count[IO_OPENED], 0);
    await(w, IO_OPENED, 1);
    assert_int_equal(w->last[IO_OPENED].err, 0);
    assert_int_equal(w->last[IO_OPENED].id, id);
    assert_int_equal(ops->file_write(w->io, id, SLICE("world"), 6, 11), 0);
    assert_int_equal(ops->file_write(w->io, id, SLICE("hello "), 0, 12), 0);
    assert_int_equal(w->count[IO_WRITTEN], 0); /* never from inside the call */
    await(w, IO_WRITTEN, 2);
    assert_int_equal(w->last[IO_WRITTEN].err, 0);
    assert_int_equal(w->last[IO_WRITTEN].owner, 5);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, got, sizeof(got)), 11);
    assert_string_equal(got, "hello world");
    assert_int_equal(ops->file_write(w->io, id, slice_of(big, sizeof(big)), 11, 13), 0);
    await(w, IO_WRITTEN, 3);
    assert_int_equal(w->last[IO_WRITTEN].len, sizeof(big));
    assert_int_equal(w->last[IO_WRITTEN].tag, 13);
    assert_int_equal(fstat(fd, &at), 0);
    assert_int_equal(at.st_size, 11 + sizeof(big));
    close(fd);
    ops->close(w->io, id, true);
    idle(w);
    /* A folder is no file; a full disk says so. */
    assert_int_equal(ops->file_open(w->io, 5, folder, O_WRONLY, 0600, &id), 0);
    await(w, IO_OPENED, 2);
    assert_int_equal(w->last[IO_OPENED].err, EISDIR);
    assert_int_equal(ops->open_count(w->io), 0);
    assert_int_equal(ops->file_open(w->io, 5, "/dev/full", O_WRONLY, 0600, &id), 0);
    await(w, IO_OPENED, 3);
    assert_int_equal(ops->file_write(w->io, id, SLICE("x"), 0, 14), 0);
    await(w, IO_WRITTEN, 4);
    assert_int_equal(w->last[IO_WRITTEN].err, ENOSPC);
    assert_int_equal(w->last[IO_WRITTEN].len, 0);
    /* Closed before it was open, and with a write under way. */
    ops->close(w->io, id, false);
    assert_int_equal(ops->file_open(w->io, 5, path, O_WRONLY, 0600, &id), 0);
    ops->close(w->io, id, false);
    idle(w);
    assert_int_equal(w->count[IO_OPENED], 3);
    assert_int_equal(ops->open_count(w->io), 0);
    unlink(path);
    snprintf(path, sizeof(path), "%s/2024/05", folder);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof(path), "%s/2024", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
    world_free(w);
}

static void file_writes_run_out(void **state)
{
    struct world *w = world_sized(4, 1 << 16);
    const struct io_ops *ops = w->io->ops;
    char path[] = "/tmp/test_io_XXXXXX";
    unsigned writes = 0;
    io_id id;
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(ops->file_open(w->io, 5, path, O_WRONLY, 0600, &id), 0);
    await(w, IO_OPENED, 1);
    while (ops->file_write(w->io, id, SLICE("x"), writes, writes) == 0)
        writes++;
    assert_int_equal(writes, 2 * 4 + IO_WRITES_SPARE);
    await(w, IO_WRITTEN, writes);
    assert_int_equal(ops->file_write(w->io, id, SLICE("x"), 0, 0), 0);
    await(w, IO_WRITTEN, writes + 1);
    close(fd);
    unlink(path);
    world_free(w);
}

/* ---- waiting ---- */
static void *wake_soon(void *context)
{
    struct io *io = context;
    struct timespec span = {0, 5000000};

    nanosleep(&span, NULL);
    io->ops->wake(io);
    return NULL;
}

/* A library's epoll set: told as long as it has something, silent when closed, and left whole. */
static void watch(void **state)
{
    struct world *w = world_new();
    int inner = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN};
    uint64_t one = 1;
    io_id id;

    (void)state;
    assert_int_equal(epoll_ctl(inner, EPOLL_CTL_ADD, event, &e), 0);
    assert_int_equal(w->io->ops->watch(w->io, 9, inner, &id), 0);
    idle(w);
    assert_int_equal(w->count[IO_READY], 0);
    assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
    await(w, IO_READY, 1);
    assert_int_equal(w->last[IO_READY].owner, 9);
    assert_int_equal(w->last[IO_READY].id, id);
    await(w, IO_READY, 2); /* it was not read */
    assert_int_equal(read(event, &one, sizeof(one)), sizeof(one));
    turn(w);
    unsigned seen = w->count[IO_READY];
    idle(w);
    assert_int_equal(w->count[IO_READY], seen);
    assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
    w->io->ops->close(w->io, id, false);
    idle(w);
    assert_int_equal(w->count[IO_READY], seen);
    assert_int_equal(w->io->ops->open_count(w->io), 0);
    assert_int_equal(epoll_wait(inner, &e, 1, 0), 1); /* it is its owner's as before */
    assert_true(w->io->ops->watch(w->io, 9, -1, &id) < 0);
    assert_int_equal(w->io->ops->watch(w->io, 9, inner, &id), 0);
    world_free(w);
    close(inner);
    close(event);
}

static void wake(void **state)
{
    struct world *w = world_new();
    pthread_t thread;

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(pthread_create(&thread, NULL, wake_soon, w->io), 0);
        while (w->count[IO_WOKEN] < i)
            w->io->ops->wait(w->io, NEVER_NS, false);
        pthread_join(thread, NULL);
        assert_int_equal(w->count[IO_WOKEN], i);
        assert_int_equal(w->last[IO_WOKEN].owner, 0);
    }
    world_free(w);
}

static void tick(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer;
    io_id id;
    int fd = plain_udp(&peer);

    (void)state;
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    idle(w);
    for (unsigned i = 1; i <= 5; i++) {
        plain_send(fd, "x", &at);
        int64_t start_ns = core_now_ns();
        w->io->ops->wait(w->io, MS(3), true);
        /* The packet was there from the start, and yet it waited. */
        assert_true(core_now_ns() - start_ns >= MS(3));
        assert_int_equal(w->count[IO_PACKET], i);
    }
    w->io->ops->wait(w->io, 0, true);
    close(fd);
    world_free(w);
}

/* Everything open, queued and under way when it ends: no frame and no descriptor stays. */
static void free_with_all_open(void **state)
{
    struct address at = loopback(0), any = loopback(0);
    int before = dup(0), after;
    struct world *w = world_new();
    const struct io_ops *ops = w->io->ops;
    io_id id, stream;

    (void)state;
    close(before);
    int fd = accepted(w, &stream);
    assert_int_equal(ops->udp_open(w->io, 1, &any, &id, &at), 0);
    assert_int_equal(ops->udp_send(w->io, id, text(w, "x"), &at), 0);
    fill(w, stream);
    any = loopback(1);
    assert_int_equal(ops->connect(w->io, 1, &any, &id), 0);
    assert_int_equal(ops->file_open(w->io, 1, "/dev/null", O_WRONLY, 0600, &id), 0);
    close(fd);
    world_free(w);
    after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

static void *shard(void *context)
{
    struct world *w = context;
    io_id id;
    int fd = accepted(w, &id);

    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "from here")), 0);
    await(w, IO_SENT, 1);
    plain_expect(fd, "from here");
    close(fd);
    await(w, IO_CLOSED, 1);
    world_free(w);
    return NULL;
}

/* Made at boot by one thread, with a handle already; used and freed by another. */
static void made_elsewhere(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    pthread_t thread;
    io_id id;

    (void)state;
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, &at), 0);
    assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "x"), &at), 0);
    assert_int_equal(pthread_create(&thread, NULL, shard, w), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    w = world_new(); /* and one that nobody ever waited on */
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &id, NULL), 0); /* the port is free */
    assert_int_equal(w->io->ops->udp_send(w->io, id, text(w, "x"), &at), 0);
    world_free(w);
}

static void bad_setup(void **state)
{
    struct frame_pool *pool = frame_pool_new(1);
    struct io_setup setup = {.pool = pool, .deliver = on_event, .receive_bytes = 1 << 16};
    struct io *io = (struct io *)&setup;

    (void)state;
    assert_int_equal(backend(&setup, &io), -EINVAL);
    assert_null(io);
    setup.handles_max = IO_HANDLES_MAX + 1;
    assert_int_equal(backend(&setup, &io), -EINVAL);
    frame_pool_free(&pool);
}

static struct {
    io_id packets, stream;
    int packet_fd, stream_fd;
    unsigned woken;
} owed;

/* A packet has come and waits to be delivered: what is sent now is there before it is. */
static void send_what_is_owed(struct world *w)
{
    if (owed.woken++)
        return;
    assert_int_equal(w->count[IO_PACKET], 0);
    assert_int_equal(w->io->ops->udp_send(w->io, owed.packets, text(w, "owed"), NULL), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, owed.stream, text(w, "too")), 0);
    w->io->ops->submit(w->io);
    plain_expect(owed.packet_fd, "owed");
    plain_expect(owed.stream_fd, "too");
    assert_int_equal(w->count[IO_PACKET], 0);
}

static void what_is_owed_leaves_before_what_came(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0), peer;

    (void)state;
    memset(&owed, 0, sizeof(owed));
    owed.packet_fd = plain_udp(&peer);
    owed.stream_fd = accepted(w, &owed.stream);
    assert_int_equal(w->io->ops->udp_open(w->io, 1, &at, &owed.packets, &at), 0);
    assert_int_equal(w->io->ops->udp_connect(w->io, owed.packets, &peer), 0);
    idle(w);
    w->woke = send_what_is_owed;
    plain_send(owed.packet_fd, "came", &at);
    await(w, IO_PACKET, 1);
    assert_true(owed.woken > 0);
    await(w, IO_SENT, 1);
    assert_memory_equal(w->bytes, "came", 4);
    close(owed.packet_fd);
    close(owed.stream_fd);
    world_free(w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(udp_echo),
    cmocka_unit_test(udp_connect_fresh),
    cmocka_unit_test(udp_connect_armed),
    cmocka_unit_test(udp_limits),
    cmocka_unit_test(udp_refused),
    cmocka_unit_test(udp_burst),
    cmocka_unit_test(udp_receive_tiny),
    cmocka_unit_test(udp_send_many),
    cmocka_unit_test(stale_ids),
    cmocka_unit_test(handles_run_out),
    cmocka_unit_test(descriptors_run_out),
    cmocka_unit_test(listen_paused),
    cmocka_unit_test(listen_last_call),
    cmocka_unit_test(file_write),
    cmocka_unit_test(file_writes_run_out),
    cmocka_unit_test(watch),
    cmocka_unit_test(wake),
    cmocka_unit_test(what_is_owed_leaves_before_what_came),
    cmocka_unit_test(tick),
    cmocka_unit_test(free_with_all_open),
    cmocka_unit_test(made_elsewhere),
    cmocka_unit_test(bad_setup),
};

int main(int argc, char **argv)
{
    return run_both(cases, ARRAY_LEN(cases), argc, argv);
}
