/* The last moment of sound: what goes in comes out, by each law and around the ring's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rand.h"
#include "media/g711.h"
#include "media/recent.h"

#define SIZE  2880
#define TOTAL 20000

static int16_t said[TOTAL];
static uint8_t codes[TOTAL];
static int16_t memory[SIZE];

/* Samples that a law keeps as they are. */
static void make(enum recent_law law)
{
    struct rand r = {7};

    for (size_t i = 0; i < TOTAL; i++)
        said[i] = (int16_t)(rand_below(&r, 65536) - 32768u);
    if (law == RECENT_MULAW) {
        g711_mulaw_encode(codes, said, TOTAL);
        g711_mulaw_decode(said, codes, TOTAL);
    } else if (law == RECENT_ALAW) {
        g711_alaw_encode(codes, said, TOTAL);
        g711_alaw_decode(said, codes, TOTAL);
    }
}

static void every_law_gives_back_what_it_got(void **state)
{
    int16_t out[SIZE];
    struct rand r = {11};

    (void)state;
    for (int law = RECENT_PCM; law <= RECENT_ALAW; law++) {
        struct recent recent;
        size_t at = 0;

        make((enum recent_law)law);
        assert_int_equal(recent_bytes((enum recent_law)law, SIZE), law == RECENT_PCM ? 5760 : SIZE);
        recent_init(&recent, (enum recent_law)law, memory, SIZE);
        while (at < TOTAL) {
            size_t n = rand_below(&r, 401);
            n = n < TOTAL - at ? n : TOTAL - at;
            if (law != RECENT_PCM && rand_below(&r, 2))
                recent_add_codes(&recent, codes + at, n);
            else
                recent_add(&recent, said + at, n);
            at += n;
            assert_int_equal(recent.count, at < SIZE ? at : SIZE);
            size_t back = rand_below(&r, recent.count + 1),
                   take = rand_below(&r, (uint32_t)back + 1);
            recent_copy(&recent, back, out, take);
            assert_memory_equal(out, said + at - back, take * sizeof(*out));
        }
    }
}

static void more_than_fits_leaves_the_newest(void **state)
{
    int16_t out[SIZE];
    struct recent recent;

    (void)state;
    make(RECENT_MULAW);
    recent_init(&recent, RECENT_MULAW, memory, SIZE);
    recent_add_codes(&recent, codes, TOTAL);
    recent_copy(&recent, SIZE, out, SIZE);
    assert_memory_equal(out, said + TOTAL - SIZE, sizeof(out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_law_gives_back_what_it_got),
        cmocka_unit_test(more_than_fits_leaves_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
