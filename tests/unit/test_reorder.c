/* The reorder window: order, bounded wait, and that every reference comes out exactly once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "media/reorder.h"

static struct reorder r;

static void expect_frame(int64_t seq, int64_t at_ms)
{
    struct reorder_out out = reorder_next(&r, MS(at_ms));

    assert_int_equal(out.kind, REORDER_FRAME);
    assert_int_equal(out.seq, seq);
    assert_int_equal(out.ref, (frame_ref)(seq + 100));
}

static void expect_gap(int64_t seq, int64_t count, int64_t at_ms)
{
    struct reorder_out out = reorder_next(&r, MS(at_ms));

    assert_int_equal(out.kind, REORDER_GAP);
    assert_int_equal(out.seq, seq);
    assert_int_equal(out.count, count);
}

static void expect_none(int64_t at_ms)
{
    assert_int_equal(reorder_next(&r, MS(at_ms)).kind, REORDER_NONE);
}

static int put(int64_t seq, int64_t at_ms)
{
    return reorder_put(&r, seq, (frame_ref)(seq + 100), MS(at_ms));
}

static void in_order_passes_at_once(void **state)
{
    (void)state;
    reorder_init(&r, 3, MS(40));
    for (int64_t seq = 5; seq < 50; seq++) {
        assert_int_equal(put(seq, 20 * seq), 0);
        expect_frame(seq, 20 * seq);
        expect_none(20 * seq);
        assert_int_equal(reorder_deadline_ns(&r), NEVER_NS);
    }
}

/* A packet that passes leaves the window as one that was put and taken. */
static void the_next_one_passes_without_a_frame(void **state)
{
    (void)state;
    reorder_init(&r, 3, MS(40));
    assert_true(reorder_pass(&r, 5));
    assert_false(reorder_pass(&r, 5));
    assert_false(reorder_pass(&r, 7));
    assert_true(reorder_pass(&r, 6));
    assert_int_equal(put(6, 0), -ETIME);
    assert_int_equal(put(8, 0), 0);
    assert_false(reorder_pass(&r, 7)); /* 8 waits for it: they leave together */
    assert_int_equal(put(7, 5), 0);
    expect_frame(7, 5);
    expect_frame(8, 5);
    assert_true(reorder_pass(&r, 9));
    expect_none(10);
}

static void swapped_packets_are_put_right(void **state)
{
    (void)state;
    reorder_init(&r, 3, MS(40));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(2, 20), 0);
    expect_none(20);
    assert_int_equal(reorder_deadline_ns(&r), MS(60));
    assert_int_equal(put(1, 25), 0);
    expect_frame(1, 25);
    expect_frame(2, 25);
    assert_int_equal(r.reordered, 1);
    assert_int_equal(r.gaps, 0);
}

static void a_gap_is_given_up_after_the_wait(void **state)
{
    (void)state;
    reorder_init(&r, 10, MS(40));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(3, 20), 0);
    expect_none(59);
    expect_gap(1, 2, 60);
    expect_frame(3, 60);
    assert_int_equal(put(1, 61), -ETIME);
    assert_int_equal(put(3, 61), -ETIME);
    assert_int_equal(r.late, 2);
    assert_int_equal(r.gaps, 2);
}

static void the_longest_wait_counts(void **state)
{
    (void)state;
    reorder_init(&r, 10, MS(40));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(3, 10), 0);
    assert_int_equal(put(2, 30), 0); /* in front of it, but younger */
    assert_int_equal(reorder_deadline_ns(&r), MS(50));
    expect_none(49);
    expect_gap(1, 1, 50);
}

static void a_gap_is_given_up_after_so_many_packets(void **state)
{
    (void)state;
    reorder_init(&r, 2, MS(1000));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(2, 1), 0);
    expect_none(1);
    assert_int_equal(put(3, 2), 0);
    expect_gap(1, 1, 2);
    expect_frame(2, 2);
    expect_frame(3, 2);
    /* A jump of any size is one gap. */
    assert_int_equal(put(5000000000, 3), 0);
    assert_int_equal(put(5000000001, 3), 0);
    expect_gap(4, 4999999996, 3);
}

static void duplicates_are_refused(void **state)
{
    (void)state;
    reorder_init(&r, 3, MS(40));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(2, 0), 0);
    assert_int_equal(put(2, 0), -EEXIST);
    assert_int_equal(r.duplicates, 1);
}

static void packets_without_audio_fill_their_place(void **state)
{
    (void)state;
    reorder_init(&r, 3, MS(40));
    assert_int_equal(put(0, 0), 0);
    assert_int_equal(reorder_put(&r, 1, FRAME_NONE, 0), 0);
    assert_int_equal(put(2, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(reorder_next(&r, 0).ref, FRAME_NONE);
    expect_frame(2, 0);
    assert_int_equal(r.gaps, 0);
}

static void the_window_is_bounded(void **state)
{
    (void)state;
    reorder_init(&r, 99, MS(1000));
    assert_int_equal(r.packets_max, REORDER_PACKETS_MAX - 1);
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    for (int64_t i = 0; i < REORDER_PACKETS_MAX; i++) /* without asking for any in between */
        assert_int_equal(put(2 + i, 0), 0);
    assert_int_equal(put(2 + REORDER_PACKETS_MAX, 0), -ENOBUFS);
    expect_gap(1, 1, 0);
    reorder_init(&r, 0, 0);
    assert_int_equal(r.packets_max, 1);
}

static void a_restart_hands_everything_out(void **state)
{
    (void)state;
    reorder_init(&r, 9, MS(1000));
    assert_int_equal(put(0, 0), 0);
    expect_frame(0, 0);
    assert_int_equal(put(5, 0), 0);
    assert_int_equal(put(3, 0), 0);
    assert_int_equal(reorder_drain(&r).seq, 3);
    assert_int_equal(reorder_drain(&r).seq, 5);
    assert_int_equal(reorder_drain(&r).kind, REORDER_NONE);
    assert_int_equal(put(2, 0), 0); /* starts afresh */
    expect_frame(2, 0);
}

/* Loss, reordering, duplicates and stalls of any pattern: out comes every number once, ascending,
 * as frame or gap; no frame waits longer than allowed; no reference is lost. */
static void any_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rand rand = {seed};
        int64_t next = 0, frames = 0, taken = 0, last_ms = 0;
        reorder_init(&r, 1 + rand_below(&rand, 15), MS(rand_below(&rand, 80)));
        for (int64_t i = 0; i < 1000; i++) {
            int64_t now_ms = last_ms + rand_below(&rand, 30);
            int64_t seq = i - (rand_chance(&rand, 150) ? rand_below(&rand, 6) : 0);
            if (i > 0 && rand_chance(&rand, 100)) /* lost */
                continue;
            last_ms = now_ms;
            taken += put(seq < 0 ? 0 : seq, now_ms) == 0;
            for (struct reorder_out out = reorder_next(&r, MS(now_ms)); out.kind != REORDER_NONE;
                 out = reorder_next(&r, MS(now_ms))) {
                assert_int_equal(out.seq, next);
                next += out.kind == REORDER_GAP ? out.count : 1;
                frames += out.kind == REORDER_FRAME;
            }
            assert_true(r.count < r.packets_max || r.count == 0);
            assert_true(reorder_deadline_ns(&r) > MS(now_ms));
        }
        while (reorder_drain(&r).kind != REORDER_NONE)
            frames++;
        assert_int_equal(frames, taken);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_passes_at_once),
        cmocka_unit_test(the_next_one_passes_without_a_frame),
        cmocka_unit_test(swapped_packets_are_put_right),
        cmocka_unit_test(a_gap_is_given_up_after_the_wait),
        cmocka_unit_test(the_longest_wait_counts),
        cmocka_unit_test(a_gap_is_given_up_after_so_many_packets),
        cmocka_unit_test(duplicates_are_refused),
        cmocka_unit_test(packets_without_audio_fill_their_place),
        cmocka_unit_test(the_window_is_bounded),
        cmocka_unit_test(a_restart_hands_everything_out),
        cmocka_unit_test(any_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
