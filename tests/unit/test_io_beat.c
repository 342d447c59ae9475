/* Sockets that are asked at their beat instead of being listened to: who is, what is heard when,
 * and that nothing is lost on the way there and back. Over io_uring alone; epoll always listens. */
#include "tests/unit/io_world.h"

#define BEAT        3
#define KNOWN_AFTER 60 /* rounds of ten ticks, within which a beat is known */

struct peer {
    struct world *w;
    struct address at; /* the socket under test */
    struct address own;
    int fd;
    io_id id;
    char sent[1 << 16];
    size_t count;
};

static uint32_t beat;

static void tell(struct world *w)
{
    w->io->ops->beat(w->io, beat);
}

static struct peer *peer_new(void)
{
    struct peer *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->w = world_new();
    p->w->woke = tell;
    p->at = loopback(0);
    p->fd = plain_udp(&p->own);
    beat = 0;
    assert_int_equal(p->w->io->ops->udp_open(p->w->io, 1, &p->at, &p->id, &p->at), 0);
    assert_int_equal(p->w->io->ops->udp_connect(p->w->io, p->id, &p->own), 0);
    return p;
}

static void peer_free(struct peer *p)
{
    close(p->fd);
    world_free(p->w);
    free(p);
}

static uint32_t asked(const struct peer *p)
{
    return p->w->io->ops->asked_count(p->w->io);
}

static void tick(struct peer *p)
{
    beat = (beat + 1) % IO_BEATS;
    p->w->io->ops->wait(p->w->io, 0, false);
}

/* Up to the tick before that of `next`. */
static void ticks_before(struct peer *p, uint32_t next)
{
    while ((beat + 1) % IO_BEATS != next)
        tick(p);
}

static void speak(struct peer *p)
{
    char letter[2] = {(char)('a' + p->count % 26)};

    plain_send(p->fd, letter, &p->at);
    p->sent[p->count++] = letter[0];
}

static void expect_heard(const struct peer *p)
{
    assert_int_equal(p->w->len, p->count);
    assert_memory_equal(p->w->bytes, p->sent, p->count);
}

/* A packet on the beat, heard in its tick. */
static void on_beat(struct peer *p, uint32_t at)
{
    ticks_before(p, at);
    speak(p);
    tick(p);
    expect_heard(p);
}

static void become_asked(struct peer *p)
{
    for (int i = 0; i < KNOWN_AFTER && !asked(p); i++) {
        on_beat(p, BEAT);
        ticks_before(p, BEAT);
    }
    assert_int_equal(asked(p), 1);
    assert_true(p->count >= 50);
}

static void who_keeps_a_beat_is_asked(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    for (int i = 0; i < 100; i++)
        on_beat(p, BEAT);
    assert_int_equal(asked(p), 1);
    assert_int_equal(p->w->io->ops->udp_send(p->w->io, p->id, text(p->w, "back"), NULL), 0);
    tick(p);
    plain_expect(p->fd, "back");
    peer_free(p);
}

/* Now in one tick, now in the next: both are heard in the later one. */
static void two_ticks_are_one_beat(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    for (uint32_t i = 0; i < KNOWN_AFTER && !asked(p); i++) {
        on_beat(p, BEAT + i % 2);
        ticks_before(p, BEAT);
    }
    assert_int_equal(asked(p), 1);
    ticks_before(p, BEAT);
    speak(p);
    tick(p);
    assert_int_equal(p->w->len, p->count - 1);
    tick(p);
    expect_heard(p);
    peer_free(p);
}

static void who_keeps_none_is_listened_to(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        on_beat(p, i * 3 % IO_BEATS);
    assert_int_equal(asked(p), 0);
    peer_free(p);
}

static void late_is_heard_a_tick_later(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    for (uint32_t late = 1; late < 3; late++) {
        ticks_before(p, BEAT);
        ticks_before(p, (BEAT + late) % IO_BEATS);
        speak(p);
        tick(p);
        expect_heard(p);
        assert_int_equal(asked(p), 1);
    }
    peer_free(p);
}

static void who_is_often_late_has_a_later_beat(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    for (int i = 0; i < KNOWN_AFTER; i++)
        on_beat(p, BEAT + 1);
    assert_int_equal(asked(p), 1);
    ticks_before(p, BEAT);
    speak(p);
    tick(p);
    assert_int_equal(p->w->len, p->count - 1); /* not asked in this tick any more */
    tick(p);
    expect_heard(p);
    peer_free(p);
}

static void who_is_silent_is_listened_to(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    for (int i = 0; i < IO_BEATS + 5; i++)
        tick(p);
    assert_int_equal(asked(p), 0);
    for (uint32_t i = 0; i < IO_BEATS; i++)
        on_beat(p, i);
    peer_free(p);
}

/* More at once than is asked for: the rest comes, in order, while it goes on. */
static void a_burst_is_heard_whole(void **state)
{
    struct peer *p = peer_new();
    int rounds = 0;

    (void)state;
    become_asked(p);
    ticks_before(p, BEAT);
    for (int i = 0; i < 4; i++)
        speak(p);
    for (; rounds < 40 && p->w->len < p->count; rounds++) {
        for (int i = 0; i < 5; i++)
            tick(p);
        if (p->w->len == p->count)
            break;
        ticks_before(p, BEAT);
        speak(p);
    }
    expect_heard(p);
    assert_true(rounds < 34);
    peer_free(p);
}

static void speak_twice(struct peer *p)
{
    ticks_before(p, BEAT);
    speak(p);
    speak(p);
    tick(p);
}

/* Two in each tick of a beat, from the beginning or from some time on, are more than is asked for.
 */
static void who_sends_twice_is_listened_to(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    for (int i = 0; i < 2 * KNOWN_AFTER; i++)
        speak_twice(p);
    assert_int_equal(asked(p), 0);
    tick(p); /* the kernel takes a breath after 32 at a time */
    become_asked(p);
    for (int i = 0; i < 40; i++)
        speak_twice(p);
    assert_int_equal(asked(p), 0);
    tick(p);
    expect_heard(p);
    peer_free(p);
}

/* A report on the same port comes between two packets, and keeps nobody waiting. */
static void another_length_is_followed_by_the_next(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    for (int i = 0; i < 3; i++) {
        ticks_before(p, BEAT);
        plain_send(p->fd, "report", &p->at);
        memcpy(p->sent + p->count, "report", 6);
        p->count += 6;
        speak(p);
        tick(p);
        assert_int_equal(p->w->len, p->count - 1);
        tick(p);
        expect_heard(p);
        on_beat(p, BEAT);
        assert_int_equal(asked(p), 1);
    }
    peer_free(p);
}

static void clocks_drift(void **state)
{
    struct peer *p = peer_new();
    bool listened = false;

    (void)state;
    become_asked(p);
    for (int i = 0; i < 1600; i++) {
        on_beat(p, BEAT);
        listened = listened || !asked(p);
    }
    assert_true(listened);
    assert_int_equal(asked(p), 1);
    peer_free(p);
}

static void without_ticks_all_are_listened_to(void **state)
{
    struct peer *p = peer_new();

    (void)state;
    become_asked(p);
    beat = IO_NO_BEAT;
    p->w->io->ops->wait(p->w->io, 0, false);
    p->w->woke = NULL;
    for (int i = 0; i < 100; i++) {
        speak(p);
        turn(p->w);
        expect_heard(p);
    }
    assert_int_equal(asked(p), 0);
    peer_free(p);
}

static void closed_while_asked(void **state)
{
    struct peer *p = peer_new();
    const struct io_ops *ops = p->w->io->ops;
    struct address at = p->at;

    (void)state;
    become_asked(p);
    speak(p);
    ops->close(p->w->io, p->id, false);
    p->count--; /* nobody hears that */
    for (int i = 0; i < IO_BEATS; i++)
        tick(p);
    expect_heard(p);
    assert_int_equal(asked(p), 0);
    assert_int_equal(ops->open_count(p->w->io), 0);
    assert_int_equal(ops->udp_open(p->w->io, 1, &at, &p->id, &at), 0);
    assert_int_equal(ops->udp_connect(p->w->io, p->id, &p->own), 0);
    p->at = at;
    for (uint32_t i = 0; i < IO_BEATS; i++)
        on_beat(p, i);
    peer_free(p);
}

/* As an answer to what it has just heard, while another answer of that tick is still to come. */
static void close_the_other(struct world *w, const struct io_event *e)
{
    if (e->kind == IO_PACKET && w->hook_id) {
        w->io->ops->close(w->io, w->hook_id, false);
        w->hook_id = IO_NONE;
    }
}

static void closed_by_an_answer_before_its_own(void **state)
{
    struct peer *p = peer_new();
    struct address at = loopback(0);
    io_id other;

    (void)state;
    assert_int_equal(p->w->io->ops->udp_open(p->w->io, 2, &at, &other, &at), 0);
    assert_int_equal(p->w->io->ops->udp_connect(p->w->io, other, &p->own), 0);
    for (int i = 0; i < KNOWN_AFTER && asked(p) < 2; i++) {
        ticks_before(p, BEAT);
        plain_send(p->fd, "x", &p->at);
        plain_send(p->fd, "y", &at);
        tick(p);
        ticks_before(p, BEAT);
    }
    assert_int_equal(asked(p), 2);
    unsigned before = p->w->count[IO_PACKET];
    plain_send(p->fd, "x", &p->at);
    plain_send(p->fd, "y", &at);
    p->w->hook_id = other;
    p->w->hook = close_the_other;
    for (int i = 0; i < IO_BEATS; i++)
        tick(p);
    assert_int_equal(p->w->count[IO_PACKET], before + 1);
    assert_int_equal(asked(p), 1);
    peer_free(p);
}

static void a_call_that_moves(void **state)
{
    struct peer *p = peer_new();
    struct address elsewhere;
    int fd = plain_udp(&elsewhere);

    (void)state;
    become_asked(p);
    assert_int_equal(p->w->io->ops->udp_connect(p->w->io, p->id, &elsewhere), 0);
    tick(p);
    assert_int_equal(asked(p), 0);
    plain_send(p->fd, "?", &p->at); /* a stranger now */
    close(p->fd);
    p->fd = fd;
    for (uint32_t i = 0; i < IO_BEATS; i++)
        on_beat(p, i);
    peer_free(p);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(who_keeps_a_beat_is_asked),
    cmocka_unit_test(two_ticks_are_one_beat),
    cmocka_unit_test(who_keeps_none_is_listened_to),
    cmocka_unit_test(late_is_heard_a_tick_later),
    cmocka_unit_test(who_is_often_late_has_a_later_beat),
    cmocka_unit_test(who_is_silent_is_listened_to),
    cmocka_unit_test(a_burst_is_heard_whole),
    cmocka_unit_test(who_sends_twice_is_listened_to),
    cmocka_unit_test(another_length_is_followed_by_the_next),
    cmocka_unit_test(clocks_drift),
    cmocka_unit_test(without_ticks_all_are_listened_to),
    cmocka_unit_test(closed_while_asked),
    cmocka_unit_test(closed_by_an_answer_before_its_own),
    cmocka_unit_test(a_call_that_moves),
};

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (ring_refused())
        return 0;
    backend = io_uring_new;
    return _cmocka_run_group_tests("io_uring", cases, ARRAY_LEN(cases), NULL, NULL);
}
