/* The simulated outside: streams, datagrams and files under a clock of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/io_sim.h"

#define BYTES_MAX 262144

/* One io and what it was told. */
struct side {
    struct io *io;
    struct frame_pool *pool;
    io_id accepted;
    bool connected;
    int connect_err;
    bool closed;
    int close_err;
    uint32_t reads, sent, packets;
    uint8_t bytes[BYTES_MAX];
    size_t len;
    int opened;  /* -1: not yet */
    int written; /* err of the last write, -1: none */
    uint32_t written_len;
};

struct place {
    struct sim_net *net;
    int64_t now_ns;
    struct side a, b; /* a connects, b listens */
};

static void hear(void *context, const struct io_event *e)
{
    struct side *s = context;

    if (e->kind == IO_ACCEPTED) {
        s->accepted = e->id;
    } else if (e->kind == IO_CONNECTED) {
        s->connected = e->err == 0;
        s->connect_err = e->err;
    } else if (e->kind == IO_DATA || e->kind == IO_PACKET) {
        assert_true(s->len + e->data.len <= BYTES_MAX);
        memcpy(s->bytes + s->len, e->data.at, e->data.len);
        s->len += e->data.len;
        s->reads++;
        s->packets += e->kind == IO_PACKET;
    } else if (e->kind == IO_CLOSED) {
        s->closed = true;
        s->close_err = e->err;
    } else if (e->kind == IO_SENT) {
        s->sent++;
    } else if (e->kind == IO_OPENED) {
        s->opened = e->err;
    } else if (e->kind == IO_WRITTEN) {
        s->written = e->err;
        s->written_len = e->len;
    }
}

static void side_init(struct side *s)
{
    struct io_setup setup = {.deliver = hear, .context = s, .handles_max = 8};

    memset(s, 0, sizeof(*s));
    s->opened = s->written = -1;
    s->pool = setup.pool = frame_pool_new(256);
    assert_int_equal(io_sim_new(&setup, &s->io), 0);
}

static struct place *place_new(uint64_t seed)
{
    struct place *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->now_ns = SECONDS(1);
    p->net = sim_net_new(seed, p->now_ns);
    io_sim_on(p->net);
    side_init(&p->a);
    side_init(&p->b);
    return p;
}

static void place_free(struct place *p)
{
    p->a.io->ops->free(p->a.io);
    p->b.io->ops->free(p->b.io);
    frame_pool_free(&p->a.pool); /* asserts that every frame is back */
    frame_pool_free(&p->b.pool);
    assert_int_equal(sim_net_open(p->net), 0);
    sim_net_free(&p->net);
    free(p);
}

static void pass(struct place *p, int64_t span_ns)
{
    for (int64_t until_ns = p->now_ns + span_ns; p->now_ns < until_ns;) {
        p->now_ns += MS(2);
        sim_net_set_time(p->net, p->now_ns);
        p->a.io->ops->wait(p->a.io, 0, true);
        p->b.io->ops->wait(p->b.io, 0, true);
    }
}

static const struct address door = {.ip = {127, 0, 0, 1}, .family = 4, .port = 7000};

static io_id link_up(struct place *p)
{
    io_id listener, id;

    assert_int_equal(p->b.io->ops->listen(p->b.io, 1, &door, &listener, NULL), 0);
    assert_int_equal(p->a.io->ops->connect(p->a.io, 2, &door, &id), 0);
    pass(p, MS(20));
    assert_true(p->a.connected);
    assert_int_not_equal(p->b.accepted, IO_NONE);
    return id;
}

static int send_text(struct side *s, io_id id, const char *text, size_t len)
{
    frame_ref ref = frame_chain(s->pool, slice_of(text, len));

    assert_int_not_equal(ref, FRAME_NONE);
    return s->io->ops->stream_send(s->io, id, ref);
}

static void streams_keep_order_in_any_pieces(void **state)
{
    static const struct sim_rates rates = {.per_mille = {[SIM_SHORT_READ] = 800}};
    struct place *p = place_new(1);
    io_id id = link_up(p);
    char text[3000];

    (void)state;
    io_sim_rates(p->a.io, id, &rates);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23);
    assert_int_equal(send_text(&p->a, id, text, sizeof(text)), 0);
    p->a.io->ops->close(p->a.io, id, true); /* what is queued still goes out */
    pass(p, MS(200));
    assert_int_equal(p->b.len, sizeof(text));
    assert_memory_equal(p->b.bytes, text, sizeof(text));
    assert_true(p->b.reads > 3);
    assert_true(sim_net_count(p->net, SIM_SHORT_READ) > 0);
    assert_true(p->b.closed);
    assert_int_equal(p->b.close_err, 0);
    place_free(p);
}

static void a_reader_that_pauses_fills_the_queue(void **state)
{
    struct place *p = place_new(2);
    io_id id = link_up(p);
    char text[900] = {0};
    int err = 0, taken = 0;

    (void)state;
    p->b.io->ops->stream_pause(p->b.io, p->b.accepted, true);
    for (; err == 0 && taken < 1000; taken++) {
        err = send_text(&p->a, id, text, sizeof(text));
        pass(p, MS(2));
    }
    assert_int_equal(err, -ENOBUFS);
    assert_int_equal(p->a.io->ops->stream_queued(p->a.io, id), WS_SEND_QUEUE_MAX);
    assert_int_equal(p->b.len, 0);
    p->b.io->ops->stream_pause(p->b.io, p->b.accepted, false);
    uint32_t sent = p->a.sent;
    pass(p, MS(400));
    assert_int_equal(p->b.len, (size_t)(taken - 1) * sizeof(text));
    assert_true(p->a.sent > sent);
    place_free(p);
}

static void resets_reach_both_and_the_vanished_reach_nobody(void **state)
{
    static const struct sim_rates resets = {.per_mille = {[SIM_RESET] = 1000}};
    static const struct sim_rates vanishes = {.per_mille = {[SIM_VANISH] = 1000}};
    struct place *p = place_new(3);
    io_id id = link_up(p);

    (void)state;
    io_sim_rates(p->a.io, id, &resets);
    assert_int_equal(send_text(&p->a, id, "x", 1), 0);
    pass(p, MS(50));
    assert_int_equal(p->a.close_err, ECONNRESET);
    assert_int_equal(p->b.close_err, ECONNRESET);
    place_free(p);

    p = place_new(4);
    id = link_up(p);
    io_sim_rates(p->a.io, id, &vanishes);
    assert_int_equal(send_text(&p->a, id, "x", 1), 0);
    pass(p, MS(50));
    p->a.io->ops->close(p->a.io, id, true);
    pass(p, MS(5000));
    assert_int_equal(p->b.len, 0);
    assert_false(p->b.closed);
    p->b.io->ops->close(p->b.io, p->b.accepted, false);
    place_free(p);
}

static void nobody_listening_refuses(void **state)
{
    struct place *p = place_new(5);
    io_id id;

    (void)state;
    assert_int_equal(p->a.io->ops->connect(p->a.io, 2, &door, &id), 0);
    pass(p, MS(20));
    assert_int_equal(p->a.connect_err, ECONNREFUSED);
    assert_int_equal(p->a.io->ops->open_count(p->a.io), 0); /* the id is dead already */
    assert_int_equal(send_text(&p->a, id, "x", 1), -EBADF);
    place_free(p);
}

static void datagrams_are_lost_doubled_and_swapped_as_told(void **state)
{
    static const struct sim_rates rates = {.per_mille = {[SIM_PACKET_LOST] = 200,
                                                         [SIM_PACKET_DOUBLED] = 100,
                                                         [SIM_PACKET_SWAPPED] = 200,
                                                         [SIM_PACKET_LATE] = 50}};
    struct place *p = place_new(6);
    struct address any = {.ip = {127, 0, 0, 1}, .family = 4}, at;
    io_id a, b;
    uint32_t back = 0;

    (void)state;
    assert_int_equal(p->b.io->ops->udp_open(p->b.io, 1, &door, &b, &at), 0);
    assert_int_equal(p->a.io->ops->udp_open(p->a.io, 2, &any, &a, NULL), 0);
    io_sim_rates(p->a.io, a, &rates);
    for (uint8_t i = 0; i < 200; i++) {
        frame_ref ref = frame_chain(p->a.pool, slice_of(&i, 1));
        assert_int_equal(p->a.io->ops->udp_send(p->a.io, a, ref, &at), 0);
        pass(p, MS(20));
    }
    pass(p, MS(500));
    assert_int_equal(p->b.packets, 200 - sim_net_count(p->net, SIM_PACKET_LOST) +
                                       sim_net_count(p->net, SIM_PACKET_DOUBLED));
    for (size_t i = 1; i < p->b.len; i++)
        back += p->b.bytes[i] < p->b.bytes[i - 1];
    assert_true(back > 0);
    assert_true(sim_net_count(p->net, SIM_PACKET_LOST) > 0);
    place_free(p);
}

static void strangers_do_not_reach_a_connected_socket(void **state)
{
    struct place *p = place_new(7);
    struct address any = {.ip = {127, 0, 0, 1}, .family = 4}, other = any, at;
    io_id a, b;

    (void)state;
    other.port = 1;
    assert_int_equal(p->b.io->ops->udp_open(p->b.io, 1, &any, &b, &at), 0);
    assert_int_equal(p->a.io->ops->udp_open(p->a.io, 2, &any, &a, NULL), 0);
    frame_ref ref = frame_chain(p->a.pool, SLICE("early"));
    assert_int_equal(p->a.io->ops->udp_send(p->a.io, a, ref, &at), 0);
    assert_int_equal(p->b.io->ops->udp_connect(p->b.io, b, &other), 0);
    ref = frame_chain(p->a.pool, SLICE("late"));
    assert_int_equal(p->a.io->ops->udp_send(p->a.io, a, ref, &at), 0);
    pass(p, MS(50));
    assert_int_equal(p->b.packets, 0);
    place_free(p);
}

static void files_hold_what_was_written(void **state)
{
    struct place *p = place_new(8);
    struct sim_rates rates = {.per_mille = {[SIM_FILE_SHORT] = 1000}};
    io_id id;

    (void)state;
    assert_int_equal(p->a.io->ops->file_open(p->a.io, 1, "x/y.wav", O_WRONLY | O_CREAT, 0600, &id),
                     0);
    assert_int_equal(p->a.io->ops->file_write(p->a.io, id, SLICE("z"), 0, 1), -EAGAIN);
    pass(p, MS(20));
    assert_int_equal(p->a.opened, 0);
    assert_int_equal(p->a.io->ops->file_write(p->a.io, id, SLICE("hello world"), 2, 1), 0);
    pass(p, MS(20));
    assert_int_equal(p->a.written, 0);
    struct slice bytes = sim_file_bytes(sim_net_file(p->net, 0));
    assert_int_equal(bytes.len, 13);
    assert_memory_equal(bytes.at, "\0\0hello world", 13);

    sim_net_rates(p->net, &rates);
    assert_int_equal(p->a.io->ops->file_write(p->a.io, id, SLICE("hello world"), 0, 1), 0);
    pass(p, MS(20));
    assert_int_equal(p->a.written, 0);
    assert_in_range(p->a.written_len, 1, 10);
    rates.per_mille[SIM_FILE_FULL] = 1000;
    sim_net_rates(p->net, &rates);
    assert_int_equal(p->a.io->ops->file_write(p->a.io, id, SLICE("hello world"), 0, 1), 0);
    pass(p, MS(20));
    assert_int_equal(p->a.written, ENOSPC);
    p->a.io->ops->close(p->a.io, id, false);
    place_free(p);
}

/* The whole trace of a run, as one number. */
static uint64_t run_once(uint64_t seed)
{
    static const struct sim_rates rates = {
        .per_mille = {[SIM_SHORT_READ] = 300, [SIM_STREAM_DELAY] = 100}};
    struct place *p = place_new(seed);
    io_id id = link_up(p);
    uint64_t hash = 0;

    io_sim_rates(p->a.io, id, &rates);
    for (int i = 0; i < 50; i++) {
        if (send_text(&p->a, id, "some words", 10))
            hash++;
        pass(p, MS(10));
        hash = (hash ^ (p->b.len + ((uint64_t)p->b.reads << 32))) * UINT64_C(0x100000001B3);
    }
    place_free(p);
    return hash;
}

static void a_seed_repeats(void **state)
{
    (void)state;
    assert_int_equal(run_once(11), run_once(11));
    assert_int_not_equal(run_once(11), run_once(12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_keep_order_in_any_pieces),
        cmocka_unit_test(a_reader_that_pauses_fills_the_queue),
        cmocka_unit_test(resets_reach_both_and_the_vanished_reach_nobody),
        cmocka_unit_test(nobody_listening_refuses),
        cmocka_unit_test(datagrams_are_lost_doubled_and_swapped_as_told),
        cmocka_unit_test(strangers_do_not_reach_a_connected_socket),
        cmocka_unit_test(files_hold_what_was_written),
        cmocka_unit_test(a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
