/* The order in which ports are tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rand.h"
#include "net/port_walk.h"

#define PAIRS 5000
#define TRIES 256

static void each_pair_once(void **state)
{
    static uint8_t seen[1000];

    (void)state;
    for (uint32_t pairs = 1; pairs < 1000; pairs += pairs < 40 ? 1 : 37)
        for (uint32_t at = 0; at < pairs; at += 1 + pairs / 7) {
            struct port_walk w = port_walk_begin(pairs, at, UINT32_MAX);
            uint32_t count = 0;
            memset(seen, 0, sizeof(seen));
            assert_int_equal(w.at, at);
            do {
                assert_true(w.at < pairs);
                assert_int_equal(seen[w.at], 0);
                seen[w.at] = 1;
                count++;
            } while (port_walk_next(&w));
            assert_int_equal(count, pairs);
            assert_false(port_walk_next(&w));
        }
}

static void no_more_than_asked_for(void **state)
{
    struct port_walk w = port_walk_begin(PAIRS, 7, 3);

    (void)state;
    assert_true(port_walk_next(&w));
    assert_true(port_walk_next(&w));
    assert_false(port_walk_next(&w));
    w = port_walk_begin(0, 0, TRIES);
    assert_int_equal(w.left, 0);
    assert_false(port_walk_next(&w));
}

static bool take(uint8_t *taken, struct rand *rand)
{
    struct port_walk w = port_walk_begin(PAIRS, rand_below(rand, PAIRS), TRIES);

    do {
        if (!taken[w.at]) {
            taken[w.at] = 1;
            return true;
        }
    } while (port_walk_next(&w));
    return false;
}

/* Nobody is refused while one pair in ten is free, whatever came and went before. */
static void a_crowded_range_refuses_nobody(void **state)
{
    static uint8_t taken[PAIRS];
    struct rand rand = {.state = 1};

    (void)state;
    for (uint32_t i = 0; i < PAIRS / 10 * 9; i++)
        assert_true(take(taken, &rand));
    for (uint32_t i = 0; i < 20 * PAIRS; i++) {
        uint32_t leaves = rand_below(&rand, PAIRS);
        if (!taken[leaves])
            continue;
        taken[leaves] = 0;
        assert_true(take(taken, &rand));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_once),
        cmocka_unit_test(no_more_than_asked_for),
        cmocka_unit_test(a_crowded_range_refuses_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
