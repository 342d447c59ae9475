/* How long a shard waits, and what it tells its io of the ticks, by how many legs it has: on a
 * clock of the test's own and an io that only waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/shard.h"

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static void leg_handle(struct actor *a, const struct msg *m)
{
    if ((m->type == MSG_STOP || (m->type == MSG_CHILD_ENDED && a->life == ACTOR_STOPPING)) &&
        !a->child)
        actor_end(a);
}

static const struct actor_type leg_type = {
    .name = "leg", .size_bytes = sizeof(struct actor), .handle = leg_handle};

#define ROUNDS 3 /* of a loop until it is told to end */

static struct {
    struct io io;
    struct shard *shard;
    struct actor *root;
    int64_t longest_ns;
    uint32_t rounds, whole; /* of them waited their time out */
    void (*woken)(void *context);
    void *context;
    uint32_t beats, beat_last; /* told, and the last of them */
    bool beats_in_turn;
    void (*round)(void); /* what happens in each */
} idle;

static void idle_wait(struct io *io, int64_t timeout_ns, bool tick)
{
    (void)io;
    idle.whole += tick;
    idle.longest_ns = timeout_ns > idle.longest_ns ? timeout_ns : idle.longest_ns;
    test_now_ns += MS(1);
    if (idle.round)
        idle.round();
    idle.woken(idle.context);
    if (++idle.rounds < ROUNDS)
        return;
    actor_stop(idle.shard, idle.root->id, REASON_NONE);
    shard_finish(idle.shard);
}

static void idle_nothing(struct io *io)
{
    (void)io;
}

static uint32_t idle_close_owned(struct io *io, uint64_t owner)
{
    (void)io;
    (void)owner;
    return 0;
}

static void idle_beat(struct io *io, uint32_t beat)
{
    (void)io;
    if (idle.beats++ && beat != IO_NO_BEAT)
        idle.beats_in_turn = idle.beats_in_turn && beat == (idle.beat_last + 1) % IO_BEATS;
    idle.beat_last = beat;
}

static uint32_t idle_asked_count(const struct io *io)
{
    (void)io;
    return 0;
}

static int idle_new(const struct io_setup *setup, struct io **out)
{
    static const struct io_ops ops = {.name = "idle",
                                      .free = idle_nothing,
                                      .close_owned = idle_close_owned,
                                      .beat = idle_beat,
                                      .submit = idle_nothing,
                                      .asked_count = idle_asked_count,
                                      .wait = idle_wait};

    idle.woken = setup->woken;
    idle.context = setup->context;
    idle.beats_in_turn = true;
    idle.io.ops = &ops;
    *out = &idle.io;
    return 0;
}

static struct actor *make_leg(struct actor *parent)
{
    struct actor *a = actor_spawn(idle.shard, &leg_type, parent, 0, NULL, 0, FRAME_NONE);

    assert_non_null(a);
    return a;
}

/* How many of its rounds a shard waits out that has so many legs, and how long at most. `round`, or
 * NULL, happens in each. */
static uint32_t whole_rounds(uint32_t legs, void (*round)(void))
{
    struct shard_type types[] = {{&leg_type, legs + 1}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 64,
                                .types = types,
                                .type_count = 1,
                                .io_new = idle_new};

    memset(&idle, 0, sizeof(idle));
    idle.round = round;
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &idle.shard), 0);
    idle.root = make_leg(NULL);
    for (uint32_t i = 0; i < legs; i++)
        actor_slot_join(make_leg(idle.root), shard_emptiest_slot(idle.shard));
    shard_turn(idle.shard);
    shard_run(idle.shard);
    shard_free(&idle.shard);
    assert_true(idle.rounds >= ROUNDS);
    return idle.whole;
}

/* An event is heard at once where there are few legs, after 1 ms with more, with many at a tick. */
static void waits_as_long_as_its_legs_are_many(void **state)
{
    (void)state;
    assert_int_equal(whole_rounds(2, NULL), 0);
    assert_in_range(idle.longest_ns, 1, MS(1));
    assert_true(whole_rounds(20, NULL) >= ROUNDS);
    assert_in_range(idle.longest_ns, 1, MS(1));
    assert_true(whole_rounds(600, NULL) >= ROUNDS);
    assert_in_range(idle.longest_ns, MS(1) + 1, MS(2));
}

static void stand_still(void)
{
    if (idle.rounds == 1)
        test_now_ns += MS(13);
}

static void leave_but_few(void)
{
    struct actor *next = idle.rounds == 1 ? idle.root->child : NULL;

    for (uint32_t left = 600; next && left > 350; left--, next = next->sibling)
        actor_slot_leave(next);
}

/* io hears of each tick once, in turn, where there are many legs, whatever the machine does. */
static void tells_beats_while_legs_are_many(void **state)
{
    (void)state;
    whole_rounds(20, NULL);
    assert_int_equal(idle.beats, 0);
    whole_rounds(600, NULL);
    assert_int_equal(idle.beats, (ROUNDS + 1) / 2); /* a round is half a tick here */
    assert_true(idle.beats_in_turn);
    whole_rounds(600, stand_still);
    assert_in_range(idle.beats, 7, 9);
    assert_true(idle.beats_in_turn);
    whole_rounds(600, leave_but_few);
    assert_int_equal(idle.beats, 2);
    assert_int_equal(idle.beat_last, IO_NO_BEAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_as_long_as_its_legs_are_many),
        cmocka_unit_test(tells_beats_while_legs_are_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
