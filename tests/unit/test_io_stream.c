/* Byte streams: the same cases over both real backends of runtime/io.h. */
#include "tests/unit/io_world.h"

/* ---- streams ---- */
/* More sends of several frames in one tick than the ring keeps pieces for. */
static void tcp_many(void **state)
{
    struct world *w = world_sized(400, 1 << 20);
    struct address at = loopback(0);
    static uint8_t part[2500], got[2500];
    int clients[300];
    io_id listener;

    (void)state;
    assert_int_equal(w->io->ops->listen(w->io, 1, &at, &listener, &at), 0);
    for (size_t i = 0; i < sizeof(part); i++)
        part[i] = pattern(i);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = plain_connect(&at);
        await(w, IO_ACCEPTED, i + 1);
        assert_int_equal(
            w->io->ops->stream_send(w->io, w->last[IO_ACCEPTED].id,
                                    frame_chain(w->pool, slice_of(part, sizeof(part)))),
            0);
    }
    await(w, IO_SENT, ARRAY_LEN(clients));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
            assert_int_equal(recv(clients[i], got, sizeof(got), MSG_WAITALL), sizeof(got));
            assert_memory_equal(got, part, sizeof(part));
            if (round == 0)
                assert_int_equal(send(clients[i], "more", 4, 0), 4);
        }
        if (round == 0) { /* each asks, all are answered in one tick */
            w->hook = answer_all;
            await(w, IO_SENT, 2 * ARRAY_LEN(clients));
        }
    }
    assert_int_equal(frame_pool_used(w->pool), 0);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        close(clients[i]);
    await(w, IO_CLOSED, ARRAY_LEN(clients));
    assert_int_equal(w->io->ops->open_count(w->io), 1);
    world_free(w);
}

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
    for (int turns = 0; turns < 100000 && len < TRANSFER_BYTES; turns++) {
        w->io->ops->wait(w->io, MS(1), false);
        ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < n; i++)
            if (got[i] != pattern(len++))
                fail_msg("byte %zu differs", len - 1);
    }
    assert_int_equal(len, TRANSFER_BYTES);
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

static void pause_owner_7(struct world *w, const struct io_event *e)
{
    if (e->kind == IO_DATA && e->owner == 7)
        w->io->ops->stream_pause(w->io, e->id, true);
}

/* A stream that is not read leaves the others their receive memory. */
static void tcp_pause_starves_nobody(void **state)
{
    struct world *w = world_sized(8, 8 * IO_BUFFER_BYTES);
    static uint8_t part[200000];
    struct address at = loopback(0);
    io_id slow, other;
    int fd = accepted(w, &slow), second;

    (void)state;
    assert_int_equal(w->io->ops->listen(w->io, 8, &at, &other, &at), 0);
    second = plain_connect(&at);
    await(w, IO_ACCEPTED, 2);
    w->hook = pause_owner_7;
    ssize_t sent = send(fd, part, sizeof(part), MSG_DONTWAIT);
    assert_true(sent > 100000);
    while (!w->count[IO_DATA])
        turn(w);
    idle(w); /* the ring may go on for a moment, to have memory for others */
    size_t before = w->len;
    assert_true(before < (size_t)sent);
    for (unsigned i = 1; i <= 100; i++) {
        assert_int_equal(send(second, "x", 1, 0), 1);
        await_bytes(w, before + i);
    }
    for (int i = 0; i < 5000 && w->len < (size_t)sent + 100; i++) {
        w->io->ops->stream_pause(w->io, slow, false);
        w->io->ops->wait(w->io, MS(1), false);
    }
    assert_int_equal(w->len, sent + 100);
    close(fd);
    close(second);
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

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(tcp_many),         cmocka_unit_test(tcp_echo),
    cmocka_unit_test(tcp_connect),      cmocka_unit_test(tcp_send_large),
    cmocka_unit_test(tcp_receive_tiny), cmocka_unit_test(tcp_reset),
    cmocka_unit_test(tcp_reset_paused), cmocka_unit_test(tcp_queue_limit),
    cmocka_unit_test(tcp_close_flush),  cmocka_unit_test(tcp_close_forced),
    cmocka_unit_test(tcp_half_close),   cmocka_unit_test(tcp_close_at_once),
    cmocka_unit_test(tcp_pause),        cmocka_unit_test(tcp_pause_starves_nobody),
    cmocka_unit_test(closed_is_silent),
};

int main(int argc, char **argv)
{
    return run_both(cases, ARRAY_LEN(cases), argc, argv);
}
