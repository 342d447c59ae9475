/* Mixing: saturation at both ends, in place, and the order of channels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rand.h"
#include "media/mixer.h"

static void saturates(void **state)
{
    static const int16_t A[] = {32767, -32768, 32767, -32768, 1000, 32766, -32767};
    static const int16_t B[] = {1, -1, 32767, -32768, -2000, 1, -1};
    static const int16_t SUM[] = {32767, -32768, 32767, -32768, -1000, 32767, -32768};
    int16_t out[7];

    (void)state;
    mixer_add(out, A, B, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(out[i], SUM[i]);
}

/* Any length, so that the vector body and its rest are both met; in place as well. */
static void adds_every_length(void **state)
{
    struct rand rand = {11};
    int16_t a[200], b[200], out[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        a[i] = (int16_t)rand_u64(&rand);
        b[i] = (int16_t)rand_u64(&rand);
    }
    for (size_t len = 0; len <= 199; len++) {
        out[len] = 77;
        mixer_add(out, a, b, len);
        assert_int_equal(out[len], 77);
        for (size_t i = 0; i < len; i++) {
            int sum = a[i] + b[i];
            assert_int_equal(out[i], sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
        }
    }
    mixer_add(a, a, b, 199);
    for (size_t i = 0; i < 199; i++)
        assert_int_equal(a[i], out[i]);
}

static void interleaves(void **state)
{
    int16_t left[33], right[33], out[67];

    (void)state;
    for (int16_t i = 0; i < 33; i++) {
        left[i] = i;
        right[i] = (int16_t)(-i - 1);
    }
    out[66] = 77;
    mixer_interleave(out, left, right, 33);
    for (int i = 0; i < 33; i++) {
        assert_int_equal(out[2 * i], i);
        assert_int_equal(out[2 * i + 1], -i - 1);
    }
    assert_int_equal(out[66], 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saturates),
        cmocka_unit_test(adds_every_length),
        cmocka_unit_test(interleaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
