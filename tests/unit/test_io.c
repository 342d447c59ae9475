/* The same cases over both real backends of runtime/io.h, against plain sockets of the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/io_slots.h"

#define POOL_FRAMES   4096
#define HANDLES       64
#define ROUNDS        400 /* waits of 10 ms before a test gives up */
#define PAYLOAD_BYTES 172

typedef int backend_new(const struct io_setup *setup, struct io **out);
static backend_new *backend;

struct world {
    struct io *io;
    struct frame_pool *pool;
    unsigned count[IO_WOKEN + 1]; /* events by kind */
    struct io_event last[IO_WOKEN + 1];
    uint8_t bytes[1 << 20]; /* of IO_DATA and IO_PACKET, one after the other */
    size_t len;
    void (*hook)(struct world *w, const struct io_event *e);
    io_id hook_id;
};

static void on_event(void *context, const struct io_event *e)
{
    struct world *w = context;

    w->count[e->kind]++;
    w->last[e->kind] = *e;
    if (e->kind == IO_DATA || e->kind == IO_PACKET) {
        assert_int_equal(e->len, e->data.len);
        for (size_t i = 0; i < e->len && w->len < sizeof(w->bytes); i++)
            w->bytes[w->len++] = e->data.at[i];
    }
    if (w->hook)
        w->hook(w, e);
}

static struct world *world_sized(uint32_t handles, uint32_t receive_bytes)
{
    struct world *w = calloc(1, sizeof(*w));
    struct io_setup setup = {
        .deliver = on_event,
        .context = w,
        .handles_max = handles,
        .receive_bytes = receive_bytes,
    };

    assert_non_null(w);
    w->pool = frame_pool_new(POOL_FRAMES);
    setup.pool = w->pool;
    assert_int_equal(backend(&setup, &w->io), 0);
    return w;
}

static struct world *world_new(void)
{
    return world_sized(HANDLES, 1 << 20);
}

static void world_free(struct world *w)
{
    w->hook = NULL;
    w->io->ops->free(w->io);
    assert_int_equal(frame_pool_used(w->pool), 0);
    frame_pool_free(&w->pool);
    free(w);
}

static void turn(struct world *w)
{
    w->io->ops->wait(w->io, MS(10), false);
}

/* Waits until an event kind has been seen `target` times. */
static void await(struct world *w, enum io_event_kind kind, unsigned target)
{
    for (int i = 0; i < ROUNDS && w->count[kind] < target; i++)
        turn(w);
    assert_int_equal(w->count[kind], target);
}

static void await_bytes(struct world *w, size_t target)
{
    for (int i = 0; i < ROUNDS && w->len < target; i++)
        turn(w);
    assert_int_equal(w->len, target);
}

/* A few turns in which nothing is expected. */
static void idle(struct world *w)
{
    for (int i = 0; i < 4; i++)
        w->io->ops->wait(w->io, MS(2), false);
}

static struct address loopback(uint16_t port)
{
    return (struct address){.family = 4, .ip = {127, 0, 0, 1}, .port = port};
}

static frame_ref text(struct world *w, const char *words)
{
    return frame_chain(w->pool, slice_str(words));
}

/* ---- plain sockets for the other side ---- */
static void timeouts(int fd)
{
    struct timeval span = {.tv_sec = 3};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &span, sizeof(span)), 0);
}

static int plain_udp(struct address *at)
{
    struct address any = loopback(0);
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&any, &name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    len = sizeof(name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    address_from_sockaddr(&name, at);
    timeouts(fd);
    return fd;
}

static void plain_send(int fd, const char *words, const struct address *to)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(to, &name);

    assert_int_equal(sendto(fd, words, strlen(words), 0, (struct sockaddr *)&name, len),
                     strlen(words));
}

static int plain_connect(const struct address *to)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(to, &name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
    timeouts(fd);
    return fd;
}

static void plain_expect(int fd, const char *words)
{
    char got[256] = {0};

    assert_int_equal(recv(fd, got, strlen(words), MSG_WAITALL), strlen(words));
    assert_string_equal(got, words);
}

/* A listener of `w` and one accepted connection; returns the client's descriptor. */
static int accepted(struct world *w, io_id *stream)
{
    struct address at = loopback(0);
    io_id listener;

    assert_int_equal(w->io->ops->listen(w->io, 7, &at, &listener, &at), 0);
    int fd = plain_connect(&at);
    await(w, IO_ACCEPTED, 1);
    *stream = w->last[IO_ACCEPTED].id;
    return fd;
}

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

/* ---- streams ---- */
static void tcp_echo(void **state)
{
    struct world *w = world_new();
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    assert_int_equal(w->last[IO_ACCEPTED].owner, 7);
    assert_true(address_is_loopback(&w->last[IO_ACCEPTED].peer));
    w->io->ops->own(w->io, id, 8);
    assert_int_equal(send(fd, "ping", 4, 0), 4);
    await_bytes(w, 4);
    assert_int_equal(w->last[IO_DATA].owner, 8);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "po")), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "ng")), 0);
    assert_int_equal(w->io->ops->stream_queued(w->io, id), 2);
    assert_int_equal(w->count[IO_SENT], 0);
    await(w, IO_SENT, 1);
    assert_int_equal(w->io->ops->stream_queued(w->io, id), 0);
    plain_expect(fd, "pong");
    close(fd);
    await(w, IO_CLOSED, 1);
    assert_int_equal(w->last[IO_CLOSED].err, 0);
    assert_int_equal(w->last[IO_CLOSED].id, id);
    frame_ref late = text(w, "late");
    assert_int_equal(w->io->ops->stream_send(w->io, id, late), -EBADF);
    assert_int_equal(frame_pool_used(w->pool), 0);
    assert_int_equal(w->io->ops->open_count(w->io), 1);
    world_free(w);
}

static void tcp_connect(void **state)
{
    struct world *w = world_new();
    struct address at = loopback(0);
    io_id listener, id;

    (void)state;
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
    assert_int_equal(w->io->ops->connect(w->io, 2, &at, &id), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "early")), 0);
    assert_int_equal(w->count[IO_CONNECTED], 0);
    await(w, IO_CONNECTED, 1);
    assert_int_equal(w->last[IO_CONNECTED].err, 0);
    assert_int_equal(w->last[IO_CONNECTED].id, id);
    await_bytes(w, 5);
    w->io->ops->close(w->io, listener, false);
    w->io->ops->close(w->io, w->last[IO_ACCEPTED].id, false);
    await(w, IO_CLOSED, 1);
    idle(w);
    /* Nobody listens there any more. */
    assert_int_equal(w->io->ops->connect(w->io, 2, &at, &id), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "lost")), 0);
    await(w, IO_CONNECTED, 2);
    assert_int_equal(w->last[IO_CONNECTED].err, ECONNREFUSED);
    assert_int_equal(w->io->ops->open_count(w->io), 0);
    assert_int_equal(frame_pool_used(w->pool), 0);
    /* Closed while it connects, with something still to send. */
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
    assert_int_equal(w->io->ops->connect(w->io, 2, &at, &id), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "bye")), 0);
    w->io->ops->close(w->io, id, true);
    await_bytes(w, 8);
    assert_int_equal(w->count[IO_CONNECTED], 2);
    world_free(w);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

#define TRANSFER_BYTES (3u << 20)

static size_t transfer_queued;

/* Queues the next part whenever all before it has been taken. */
static void transfer_more(struct world *w, const struct io_event *e)
{
    uint8_t part[30000];
    size_t len = TRANSFER_BYTES - transfer_queued;

    if (e->kind != IO_SENT || !len)
        return;
    len = len < sizeof(part) ? len : sizeof(part);
    for (size_t i = 0; i < len; i++)
        part[i] = pattern(transfer_queued + i);
    transfer_queued += len;
    assert_int_equal(
        w->io->ops->stream_send(w->io, e->id, frame_chain(w->pool, slice_of(part, len))), 0);
}

static void tcp_send_large(void **state)
{
    struct world *w = world_new();
    struct io_event begin = {.kind = IO_SENT};
    static uint8_t got[50000];
    size_t len = 0;
    int small = 1 << 17;
    int fd = accepted(w, &begin.id);

    (void)state;
    /* A small window makes the kernel take part of what it is given. */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    transfer_queued = 0;
    w->hook = transfer_more;
    transfer_more(w, &begin);
    while (len < TRANSFER_BYTES) {
        w->io->ops->wait(w->io, MS(1), false);
        ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < n; i++)
            if (got[i] != pattern(len++))
                fail_msg("byte %zu differs", len - 1);
    }
    assert_int_equal(frame_pool_used(w->pool), 0);
    close(fd);
    world_free(w);
}

static void *push_bytes(void *context)
{
    int fd = *(int *)context;
    static uint8_t part[10000];

    for (size_t sent = 0; sent < 1000000; sent += sizeof(part)) {
        for (size_t i = 0; i < sizeof(part); i++)
            part[i] = pattern(sent + i);
        if (send(fd, part, sizeof(part), MSG_NOSIGNAL) != (ssize_t)sizeof(part))
            return NULL;
    }
    return NULL;
}

/* Little receive memory: reception stands still and goes on, and no byte is lost. */
static void tcp_receive_tiny(void **state)
{
    struct world *w = world_sized(8, 4 * IO_BUFFER_BYTES);
    pthread_t thread;
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, push_bytes, &fd), 0);
    for (int i = 0; i < 20000 && w->len < 1000000; i++)
        turn(w);
    pthread_join(thread, NULL);
    assert_int_equal(w->len, 1000000);
    for (size_t i = 0; i < w->len; i++)
        if (w->bytes[i] != pattern(i))
            fail_msg("byte %zu differs", i);
    if (strcmp(w->io->ops->name, "io_uring") == 0)
        assert_true(w->io->ops->stalls(w->io) > 0);
    assert_int_equal(w->io->ops->dropped(w->io), 0);
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

static void tcp_reset(void **state)
{
    struct world *w = world_new();
    struct linger now = {.l_onoff = 1};
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
    await(w, IO_CLOSED, 1);
    assert_int_equal(w->last[IO_CLOSED].err, ECONNRESET);
    assert_int_equal(w->io->ops->open_count(w->io), 1);
    world_free(w);
}

/* A reset met while sending, and while reading is paused. */
static void tcp_reset_paused(void **state)
{
    struct world *w = world_new();
    struct linger now = {.l_onoff = 1};
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    w->io->ops->stream_pause(w->io, id, true);
    idle(w);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "into the void")), 0);
    await(w, IO_CLOSED, 1);
    assert_true(w->last[IO_CLOSED].err == ECONNRESET || w->last[IO_CLOSED].err == EPIPE);
    assert_int_equal(frame_pool_used(w->pool), 0);
    world_free(w);
}

static void tcp_queue_limit(void **state)
{
    struct world *w = world_new();
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    for (int i = 0; i < WS_SEND_QUEUE_MAX; i++)
        assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "x")), 0);
    assert_int_equal(w->io->ops->stream_queued(w->io, id), WS_SEND_QUEUE_MAX);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "y")), -ENOBUFS);
    assert_int_equal(frame_pool_used(w->pool), WS_SEND_QUEUE_MAX);
    await(w, IO_SENT, 1);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "z")), 0);
    await(w, IO_SENT, 2);
    /* A frame that others hold too goes out and stays theirs. */
    frame_ref shared = text(w, "shared");
    assert_int_equal(w->io->ops->stream_send(w->io, id, frame_keep(w->pool, shared)), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, frame_keep(w->pool, shared)), 0);
    await(w, IO_SENT, 3);
    assert_int_equal(frame_at(w->pool, shared)->refs, 1);
    frame_put(w->pool, &shared);
    for (int i = 0; i < WS_SEND_QUEUE_MAX; i++)
        plain_expect(fd, "x");
    plain_expect(fd, "zsharedshared");
    close(fd);
    world_free(w);
}

/* Queues 60 frames, more than once until the kernel takes no more. */
static size_t fill(struct world *w, io_id id)
{
    static uint8_t part[48 * FRAME_DATA_BYTES];
    size_t queued = 0;

    for (int i = 0; i < 2000; i++) {
        frame_ref chain = frame_chain(w->pool, slice_of(part, sizeof(part)));
        if (w->io->ops->stream_send(w->io, id, chain))
            return queued;
        queued += sizeof(part);
        w->io->ops->wait(w->io, 0, false);
    }
    fail_msg("the kernel takes everything");
    return 0;
}

static void tcp_close_flush(void **state)
{
    struct world *w = world_new();
    static uint8_t got[65536];
    size_t queued, came = 0;
    ssize_t n;
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    /* Data that is never read by us must not turn the end into a reset. */
    w->io->ops->stream_pause(w->io, id, true);
    idle(w);
    assert_int_equal(send(fd, "unread", 6, 0), 6);
    queued = fill(w, id);
    w->io->ops->close(w->io, id, true);
    assert_int_equal(w->io->ops->open_count(w->io), 1);
    for (int i = 0; i < 100000; i++) {
        w->io->ops->wait(w->io, 0, false);
        n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
        if (n == 0)
            break;
        assert_true(n > 0 || errno == EAGAIN);
        came += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(came, queued);
    assert_int_equal(n, 0);
    assert_int_equal(frame_pool_used(w->pool), 0);
    assert_int_equal(w->count[IO_CLOSED], 0);
    close(fd);
    idle(w);
    world_free(w);
}

static void tcp_close_forced(void **state)
{
    struct world *w = world_new();
    struct io_core *core = (struct io_core *)w->io;
    static uint8_t got[65536];
    ssize_t n = 1;
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    fill(w, id);
    w->io->ops->close(w->io, id, true);
    idle(w);
    assert_true(frame_pool_used(w->pool) > 0);
    assert_true(core->close_first != 0);
    core->slots[core->close_first].close_at_ns = 1; /* the two seconds are over */
    idle(w);
    assert_int_equal(core->close_first, 0);
    assert_int_equal(frame_pool_used(w->pool), 0);
    while (n > 0)
        n = recv(fd, got, sizeof(got), 0);
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    world_free(w);
}

/* The peer ends its side while the answer is still queued: it gets the answer. */
static void tcp_half_close(void **state)
{
    struct world *w = world_new();
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "answer")), 0);
    await(w, IO_CLOSED, 1);
    assert_int_equal(w->last[IO_CLOSED].err, 0);
    idle(w);
    plain_expect(fd, "answer");
    char end;
    assert_int_equal(recv(fd, &end, 1, 0), 0);
    assert_int_equal(frame_pool_used(w->pool), 0);
    close(fd);
    world_free(w);
}

static void tcp_close_at_once(void **state)
{
    struct world *w = world_new();
    io_id id;
    int fd = accepted(w, &id);
    char end;

    (void)state;
    assert_int_equal(w->io->ops->stream_send(w->io, id, text(w, "never")), 0);
    w->io->ops->close(w->io, id, false);
    w->io->ops->close(w->io, id, false); /* a stale id: nothing */
    idle(w);
    assert_int_equal(frame_pool_used(w->pool), 0);
    assert_int_equal(recv(fd, &end, 1, 0), 0);
    assert_int_equal(w->count[IO_CLOSED] + w->count[IO_SENT], 0);
    close(fd);
    world_free(w);
}

static void pause_at_data(struct world *w, const struct io_event *e)
{
    if (e->kind == IO_DATA)
        w->io->ops->stream_pause(w->io, e->id, true);
}

static void tcp_pause(void **state)
{
    struct world *w = world_new();
    static uint8_t part[300000];
    size_t before;
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    for (size_t i = 0; i < sizeof(part); i++)
        part[i] = pattern(i);
    w->hook = pause_at_data;
    ssize_t sent = send(fd, part, sizeof(part), MSG_DONTWAIT);
    assert_true(sent > 100000);
    await(w, IO_DATA, 1);
    before = w->len;
    idle(w);
    assert_int_equal(w->len, before);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    idle(w);
    assert_int_equal(w->count[IO_CLOSED], 0);
    for (int i = 0; i < 2000 && !w->count[IO_CLOSED]; i++) {
        w->io->ops->stream_pause(w->io, id, false); /* a piece each time */
        w->io->ops->wait(w->io, MS(1), false);
    }
    assert_int_equal(w->count[IO_CLOSED], 1);
    assert_int_equal(w->len, sent);
    assert_memory_equal(w->bytes, part, (size_t)sent);
    close(fd);
    world_free(w);
}

static void close_at_data(struct world *w, const struct io_event *e)
{
    if (e->kind == IO_DATA)
        w->io->ops->close(w->io, e->id, false);
    if (e->kind == IO_ACCEPTED && w->hook_id)
        w->io->ops->close(w->io, w->hook_id, false);
}

/* A handle closed by its own event, or by another's, delivers nothing more. */
static void closed_is_silent(void **state)
{
    struct world *w = world_new();
    static char part[200000];
    io_id id;
    int fd = accepted(w, &id);

    (void)state;
    memset(part, 'x', sizeof(part));
    w->hook = close_at_data;
    assert_true(send(fd, part, sizeof(part), MSG_DONTWAIT) > 100000);
    await(w, IO_DATA, 1);
    idle(w);
    assert_int_equal(w->count[IO_DATA], 1);
    assert_int_equal(w->count[IO_CLOSED], 0);
    close(fd);
    /* The listener is closed by the first of three connections. */
    struct address at = loopback(0);
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &w->hook_id, &at), 0);
    int clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = plain_connect(&at);
    await(w, IO_ACCEPTED, 2);
    idle(w);
    assert_int_equal(w->count[IO_ACCEPTED], 2);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
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

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(udp_echo),
    cmocka_unit_test(udp_connect_fresh),
    cmocka_unit_test(udp_connect_armed),
    cmocka_unit_test(udp_limits),
    cmocka_unit_test(udp_refused),
    cmocka_unit_test(udp_burst),
    cmocka_unit_test(udp_receive_tiny),
    cmocka_unit_test(tcp_echo),
    cmocka_unit_test(tcp_connect),
    cmocka_unit_test(tcp_send_large),
    cmocka_unit_test(tcp_receive_tiny),
    cmocka_unit_test(tcp_reset),
    cmocka_unit_test(tcp_reset_paused),
    cmocka_unit_test(tcp_queue_limit),
    cmocka_unit_test(tcp_close_flush),
    cmocka_unit_test(tcp_close_forced),
    cmocka_unit_test(tcp_half_close),
    cmocka_unit_test(tcp_close_at_once),
    cmocka_unit_test(tcp_pause),
    cmocka_unit_test(closed_is_silent),
    cmocka_unit_test(stale_ids),
    cmocka_unit_test(handles_run_out),
    cmocka_unit_test(descriptors_run_out),
    cmocka_unit_test(listen_paused),
    cmocka_unit_test(file_write),
    cmocka_unit_test(file_writes_run_out),
    cmocka_unit_test(wake),
    cmocka_unit_test(tick),
    cmocka_unit_test(free_with_all_open),
    cmocka_unit_test(made_elsewhere),
    cmocka_unit_test(bad_setup),
};

/* The kernel, or what confines this process, does not grant io_uring: said, and epoll remains. */
static bool ring_refused(void)
{
    struct frame_pool *pool = frame_pool_new(1);
    struct io_setup setup = {
        .pool = pool, .deliver = on_event, .handles_max = 4, .receive_bytes = 1 << 16};
    struct io *io = NULL;
    int err = io_uring_new(&setup, &io);

    if (err)
        printf("io_uring is refused here (%s): its cases are left out\n", strerror(-err));
    else
        io->ops->free(io);
    frame_pool_free(&pool);
    return err != 0;
}

/* One argument: the name of the case to run alone. */
int main(int argc, char **argv)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed;

    backend = io_epoll_new;
    failed = cmocka_run_group_tests_name("epoll", cases, NULL, NULL);
    if (ring_refused())
        return failed;
    backend = io_uring_new;
    return failed + cmocka_run_group_tests_name("io_uring", cases, NULL, NULL);
}
