/* The energy detector: levels of known signals, the floor, and the same numbers everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "media/vad_energy.h"

static int16_t pcm[8000];

/* White noise of +-peak. */
static void noise(struct rand *r, int16_t *out, size_t n, uint32_t peak)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)((int32_t)rand_below(r, 2 * peak + 1) - (int32_t)peak);
}

static size_t feed(struct vad_energy *e, const int16_t *at, size_t n)
{
    size_t blocks = 0;

    while (n) {
        bool done;
        size_t taken = vad_energy_feed(e, at, n, &done);

        assert_true(taken > 0 && taken <= n);
        at += taken;
        n -= taken;
        blocks += done;
    }
    return blocks;
}

static void levels_are_logarithms_of_power(void **state)
{
    static const struct {
        int16_t value;
        uint16_t level;
    } cases[] = {{0, 0}, {1, 0}, {2, 512}, {16, 2048}, {256, 4096}, {-256, 4096}, {-32768, 7680}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vad_energy e;

        for (size_t k = 0; k < 80; k++)
            pcm[k] = cases[i].value;
        vad_energy_init(&e, 8000);
        assert_int_equal(feed(&e, pcm, 80), 1);
        assert_int_equal(e.level, cases[i].level);
    }
}

static void loudness_above_the_floor_is_probability(void **state)
{
    struct vad_energy e;
    struct rand r = {.state = 1};

    (void)state;
    vad_energy_init(&e, 8000);
    for (int i = 0; i < 4; i++) {
        noise(&r, pcm, 8000, 60);
        feed(&e, pcm, 8000);
    }
    assert_in_range(vad_energy_per_mille(&e), 0, 200);
    noise(&r, pcm, 80, 60 * 4); /* 12 dB up */
    feed(&e, pcm, 80);
    assert_in_range(vad_energy_per_mille(&e), 300, 550);
    noise(&r, pcm, 80, 60 * 100); /* 40 dB up */
    feed(&e, pcm, 80);
    assert_int_equal(vad_energy_per_mille(&e), 1000);
    memset(pcm, 0, sizeof pcm);
    feed(&e, pcm, 80);
    assert_int_equal(vad_energy_per_mille(&e), 0);
}

static void loud_noise_is_floor_after_two_seconds_and_quiet_at_once(void **state)
{
    struct vad_energy e;
    struct rand r = {.state = 2};

    (void)state;
    vad_energy_init(&e, 16000);
    for (int i = 0; i < 3; i++) {
        noise(&r, pcm, 8000, 3000);
        feed(&e, pcm, 8000);
        assert_int_equal(e.floor, VAD_FLOOR_START); /* speech at once is heard as speech */
    }
    for (int i = 0; i < 3; i++)
        feed(&e, pcm, 8000);
    assert_in_range(vad_energy_margin(&e), 0, 4 * VAD_LEVEL_PER_DB);
    assert_in_range(e.floor, 5200, 5600); /* rms 1730 is 5506 */
    memset(pcm, 0, sizeof pcm);
    feed(&e, pcm, 480);
    assert_int_equal(e.floor, VAD_FLOOR_LEAST);
}

static void frames_of_any_length_give_the_same(void **state)
{
    struct vad_energy whole, cut;
    struct rand r = {.state = 3};
    size_t at = 0;

    (void)state;
    noise(&r, pcm, 8000, 9000);
    vad_energy_init(&whole, 8000);
    vad_energy_init(&cut, 8000);
    assert_int_equal(feed(&whole, pcm, 8000), 100);
    while (at < 8000) {
        size_t n = rand_below(&r, 300);

        n = n < 8000 - at ? n : 8000 - at;
        feed(&cut, pcm + at, n);
        at += n;
    }
    assert_memory_equal(&whole, &cut, sizeof whole);
}

/* Of any number of samples, from any place on, the largest ones among them. */
static void both_paths_square_the_same(void **state)
{
    struct rand r = {.state = 5};

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 200; i++)
            pcm[i] = round ? INT16_MIN : (int16_t)rand_u64(&r);
        for (size_t n = 0; n < 80; n++) {
            struct vad_energy fast, plain;
            bool done;

            vad_energy_init(&fast, 8000);
            plain = fast;
            plain.fast = false;
            vad_energy_feed(&fast, pcm + n % 17, n, &done);
            vad_energy_feed(&plain, pcm + n % 17, n, &done);
            assert_int_equal(fast.squares, plain.squares);
            assert_true(n == 0 || plain.squares > 0);
        }
    }
}

static uint64_t sum_of_decisions(bool fast)
{
    struct vad_energy e;
    struct rand r = {.state = 4};
    uint64_t sum = 0;

    vad_energy_init(&e, 8000);
    e.fast = e.fast && fast;
    for (int i = 0; i < 1000; i++) {
        noise(&r, pcm, 80, 1u << rand_below(&r, 15));
        feed(&e, pcm, 80);
        sum = sum * 31 + e.level * 7u + e.floor * 3u + vad_energy_per_mille(&e);
    }
    return sum;
}

/* The simulator relies on it: one number for all levels and floors of a drawn signal, the same
 * under every compiler, on every machine, on both paths. */
static void decisions_are_the_same_everywhere(void **state)
{
    (void)state;
    assert_int_equal(sum_of_decisions(true), UINT64_C(0x79547cd2ff51100b));
    assert_int_equal(sum_of_decisions(false), UINT64_C(0x79547cd2ff51100b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_logarithms_of_power),
        cmocka_unit_test(loudness_above_the_floor_is_probability),
        cmocka_unit_test(loud_noise_is_floor_after_two_seconds_and_quiet_at_once),
        cmocka_unit_test(frames_of_any_length_give_the_same),
        cmocka_unit_test(both_paths_square_the_same),
        cmocka_unit_test(decisions_are_the_same_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
