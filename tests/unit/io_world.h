/* What the tests of both real backends share: a world with one io and a record of its events, plain
 * sockets for the other side, and a main part that runs the same cases over each backend. Included
 * by one test program each; the calling thread only. */
#ifndef TESTS_IO_WORLD_H
#define TESTS_IO_WORLD_H

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
    void (*woke)(struct world *w); /* after each wait, before its events */
};

static inline void on_event(void *context, const struct io_event *e)
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

static inline void on_woken(void *context)
{
    struct world *w = context;

    if (w->woke)
        w->woke(w);
}

static inline struct world *world_sized(uint32_t handles, uint32_t receive_bytes)
{
    struct world *w = calloc(1, sizeof(*w));
    struct io_setup setup = {
        .deliver = on_event,
        .woken = on_woken,
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

static inline struct world *world_new(void)
{
    return world_sized(HANDLES, 1 << 20);
}

static inline void world_free(struct world *w)
{
    w->hook = NULL;
    w->woke = NULL;
    w->io->ops->free(w->io);
    assert_int_equal(frame_pool_used(w->pool), 0);
    frame_pool_free(&w->pool);
    free(w);
}

static inline void turn(struct world *w)
{
    w->io->ops->wait(w->io, MS(10), false);
}

/* Waits until an event kind has been seen `target` times. */
static inline void await(struct world *w, enum io_event_kind kind, unsigned target)
{
    for (int i = 0; i < ROUNDS && w->count[kind] < target; i++)
        turn(w);
    assert_int_equal(w->count[kind], target);
}

static inline void await_bytes(struct world *w, size_t target)
{
    for (int i = 0; i < ROUNDS && w->len < target; i++)
        turn(w);
    assert_int_equal(w->len, target);
}

/* A few turns in which nothing is expected. */
static inline void idle(struct world *w)
{
    for (int i = 0; i < 4; i++)
        w->io->ops->wait(w->io, MS(2), false);
}

static inline struct address loopback(uint16_t port)
{
    return (struct address){.family = 4, .ip = {127, 0, 0, 1}, .port = port};
}

static inline frame_ref text(struct world *w, const char *words)
{
    return frame_chain(w->pool, slice_str(words));
}

static inline uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

/* Answers whatever comes with 2500 bytes of the pattern. */
static inline void answer_all(struct world *w, const struct io_event *e)
{
    uint8_t part[2500];

    if (e->kind != IO_DATA)
        return;
    for (size_t i = 0; i < sizeof(part); i++)
        part[i] = pattern(i);
    assert_int_equal(
        w->io->ops->stream_send(w->io, e->id, frame_chain(w->pool, slice_of(part, sizeof(part)))),
        0);
}

/* ---- plain sockets for the other side ---- */
static inline void timeouts(int fd)
{
    struct timeval span = {.tv_sec = 3};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &span, sizeof(span)), 0);
}

static inline int plain_udp(struct address *at)
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

static inline void plain_send(int fd, const char *words, const struct address *to)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(to, &name);

    assert_int_equal(sendto(fd, words, strlen(words), 0, (struct sockaddr *)&name, len),
                     strlen(words));
}

static inline int plain_connect(const struct address *to)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(to, &name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
    timeouts(fd);
    return fd;
}

static inline void plain_expect(int fd, const char *words)
{
    char got[256] = {0};

    assert_int_equal(recv(fd, got, strlen(words), MSG_WAITALL), strlen(words));
    assert_string_equal(got, words);
}

/* A listener of `w` and one accepted connection; returns the client's descriptor. */
static inline int accepted(struct world *w, io_id *stream)
{
    struct address at = loopback(0);
    io_id listener;

    assert_int_equal(w->io->ops->listen(w->io, 7, &at, &listener, &at), 0);
    int fd = plain_connect(&at);
    await(w, IO_ACCEPTED, 1);
    *stream = w->last[IO_ACCEPTED].id;
    return fd;
}

/* Queues 48 frames again and again until the kernel takes no more. */
static inline size_t fill(struct world *w, io_id id)
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

/* The kernel, or what confines this process, does not grant io_uring: said, and epoll remains. */
static inline bool ring_refused(void)
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

/* Runs the cases over both; one argument names the case to run alone. */
static inline int run_both(const struct CMUnitTest *cases, size_t count, int argc, char **argv)
{
    struct rlimit limit;
    int failed = 0;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    backend = io_epoll_new;
    failed = _cmocka_run_group_tests("epoll", cases, count, NULL, NULL);
    if (ring_refused())
        return failed;
    backend = io_uring_new;
    return failed + _cmocka_run_group_tests("io_uring", cases, count, NULL, NULL);
}

#endif
