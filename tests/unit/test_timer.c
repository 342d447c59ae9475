#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/rand.h"
#include "runtime/timer.h"

#define COUNT 2000

/* Random instants over all levels: each fires once, never early, at most a tick late. */
static void fires_each_once_in_time(void **state)
{
    static struct timer timers[COUNT];
    struct wheel w;
    struct rand rand = {.state = 7};
    uint32_t fired = 0;
    int64_t now = MS(3);

    (void)state;
    wheel_init(&w, now);
    for (int i = 0; i < COUNT; i++)
        wheel_set(&w, &timers[i], now + (int64_t)(rand_u64(&rand) % (uint64_t)SECONDS(900)));
    while (w.count) {
        int64_t next = wheel_next_ns(&w);
        struct timer *t;
        assert_true(next >= now - TICK_NS);
        now = next > now ? next : now;
        while ((t = wheel_pop(&w, now))) {
            assert_true(t->at_ns <= now);
            assert_true(now - t->at_ns < TICK_NS + 1);
            assert_false(timer_is_set(t));
            fired++;
        }
    }
    assert_int_equal(fired, COUNT);
    assert_true(wheel_next_ns(&w) == NEVER_NS);
}

static void cancel_and_move(void **state)
{
    struct timer a = {0}, b = {0}, c = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    wheel_set(&w, &a, MS(10));
    wheel_set(&w, &b, MS(10));
    wheel_set(&w, &c, SECONDS(40000)); /* beyond the last level */
    wheel_cancel(&w, &a);
    wheel_cancel(&w, &a);
    wheel_set(&w, &b, MS(300));
    assert_null(wheel_pop(&w, MS(299)));
    assert_ptr_equal(wheel_pop(&w, MS(300)), &b);
    assert_null(wheel_pop(&w, SECONDS(39999)));
    assert_ptr_equal(wheel_pop(&w, SECONDS(40000)), &c);
    wheel_set(&w, &a, 0); /* the past: at once */
    assert_ptr_equal(wheel_pop(&w, SECONDS(40000)), &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_each_once_in_time),
        cmocka_unit_test(cancel_and_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
