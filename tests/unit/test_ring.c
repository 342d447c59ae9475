#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/ring.h"

static uint8_t byte_of(uint64_t record, size_t i)
{
    return (uint8_t)(record * 31 + i * 7 + (i >> 8));
}

static void fill(uint8_t *at, uint64_t record, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = byte_of(record, i);
}

static bool holds(struct slice s, uint64_t record, size_t len)
{
    if (s.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s.at[i] != byte_of(record, i))
            return false;
    return true;
}

static void empty_has_nothing(void **state)
{
    (void)state;
    struct ring *r = ring_new(1024);
    struct slice s;

    assert_false(ring_peek(r, &s));
    assert_int_equal(ring_used(r), 0);
    ring_free(&r);
    assert_null(r);
    ring_free(&r);
}

static void keeps_order_and_two_parts(void **state)
{
    (void)state;
    struct ring *r = ring_new(1024);
    struct slice s;

    assert_true(ring_push(r, SLICE("one"), SLICE_NONE));
    assert_true(ring_push(r, SLICE("tw"), SLICE("o!")));
    assert_true(ring_push(r, SLICE_NONE, SLICE_NONE));
    assert_true(ring_peek(r, &s) && slice_equal(s, SLICE("one")));
    assert_true(ring_peek(r, &s) && slice_equal(s, SLICE("one"))); /* until it is popped */
    ring_pop(r);
    assert_true(ring_peek(r, &s) && slice_equal(s, SLICE("two!")));
    ring_pop(r);
    assert_true(ring_peek(r, &s) && s.len == 0);
    ring_pop(r);
    assert_false(ring_peek(r, &s));
    assert_int_equal(ring_used(r), 0);
    ring_free(&r);
}

/* Every record size that can fit, at a moving place, so that each kind of wrap occurs. */
static void every_size_wraps(void **state)
{
    (void)state;
    struct ring *r = ring_new(1024);
    uint8_t bytes[1024];
    struct slice s;

    for (uint64_t n = 0; n < 20000; n++) {
        size_t len = (size_t)(n % 505), cut = len / 3;
        fill(bytes, n, len);
        assert_true(ring_push(r, slice_of(bytes, cut), slice_of(bytes + cut, len - cut)));
        assert_true(ring_peek(r, &s));
        assert_true(holds(s, n, len));
        assert_int_equal((uintptr_t)s.at % 8, 0);
        ring_pop(r);
    }
    assert_int_equal(ring_used(r), 0);
    ring_free(&r);
}

static void refuses_what_never_fits(void **state)
{
    (void)state;
    struct ring *r = ring_new(1024);
    static uint8_t big[2048];

    assert_true(ring_push(r, slice_of(big, 504), SLICE_NONE)); /* with its header half the ring */
    assert_false(ring_push(r, slice_of(big, 505), SLICE_NONE));
    assert_false(ring_push(r, slice_of(big, 500), slice_of(big, 5)));
    assert_false(ring_push(r, slice_of(big, 2048), SLICE_NONE));
    assert_false(ring_push(r, slice_of(big, SIZE_MAX - 7), slice_of(big, 8)));
    assert_false(ring_push(r, slice_of(big, 8), slice_of(big, SIZE_MAX)));
    assert_int_equal(ring_used(r), 512);
    ring_free(&r);
}

static void refuses_when_full_and_recovers(void **state)
{
    (void)state;
    struct ring *r = ring_new(1024);
    uint8_t bytes[56];
    struct slice s;
    uint64_t in = 0, out = 0;

    for (int round = 0; round < 50; round++) {
        for (;;) {
            fill(bytes, in, sizeof(bytes));
            if (!ring_push(r, slice_of(bytes, sizeof(bytes)), SLICE_NONE))
                break;
            in++;
        }
        assert_int_equal(in - out, 16); /* 64 bytes each: the ring is used to its last byte */
        assert_int_equal(ring_used(r), 1024);
        assert_false(ring_push(r, SLICE_NONE, SLICE_NONE));
        for (int i = 0; i < 1 + round % 16; i++) {
            assert_true(ring_peek(r, &s) && holds(s, out, sizeof(bytes)));
            ring_pop(r);
            out++;
        }
    }
    ring_free(&r);
}

/* Against a plain queue of lengths, with pushes and pops drawn at random. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    struct ring *r = ring_new(4096);
    struct rand dice = {7};
    uint8_t bytes[4096];
    size_t lens[4096];
    uint64_t in = 0, out = 0, refused = 0;
    struct slice s;

    for (int i = 0; i < 100000; i++) {
        if (rand_chance(&dice, 520)) {
            size_t len = rand_below(&dice, rand_chance(&dice, 100) ? 2040 : 200);
            fill(bytes, in, len);
            if (ring_push(r, slice_of(bytes, len), SLICE_NONE))
                lens[in++ % 4096] = len;
            else
                refused++;
        } else if (ring_peek(r, &s)) {
            assert_true(out < in && holds(s, out, lens[out % 4096]));
            ring_pop(r);
            out++;
        } else {
            assert_int_equal(in, out);
        }
    }
    assert_true(refused > 100 && out > 10000);
    ring_free(&r);
}

#define CROSSING_RECORDS 200000

static size_t crossing_len(uint64_t n)
{
    return (size_t)(n * 2654435761u >> 7) % 300;
}

static void *produce(void *arg)
{
    struct ring *r = arg;
    uint8_t bytes[300];

    for (uint64_t n = 0; n < CROSSING_RECORDS; n++) {
        size_t len = crossing_len(n), cut = len / 2;
        fill(bytes, n, len);
        while (!ring_push(r, slice_of(bytes, cut), slice_of(bytes + cut, len - cut)))
            sched_yield();
    }
    return NULL;
}

static void crosses_threads_whole_and_in_order(void **state)
{
    (void)state;
    struct ring *r = ring_new(2048);
    pthread_t thread;
    struct slice s;

    assert_int_equal(pthread_create(&thread, NULL, produce, r), 0);
    for (uint64_t n = 0; n < CROSSING_RECORDS; n++) {
        while (!ring_peek(r, &s))
            sched_yield();
        if (!holds(s, n, crossing_len(n)))
            fail_msg("record %llu is damaged", (unsigned long long)n);
        ring_pop(r);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ring_used(r), 0);
    ring_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_has_nothing),
        cmocka_unit_test(keeps_order_and_two_parts),
        cmocka_unit_test(every_size_wraps),
        cmocka_unit_test(refuses_what_never_fits),
        cmocka_unit_test(refuses_when_full_and_recovers),
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(crosses_threads_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
