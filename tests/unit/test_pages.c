/* Memory by pages: zeroed, aligned, given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/pages.h"

static void expect_good(size_t bytes, size_t aligned)
{
    uint8_t *at = pages_new(bytes);

    assert_int_equal((uintptr_t)at % aligned, 0);
    assert_int_equal(at[0] | at[bytes / 2] | at[bytes - 1], 0);
    memset(at, 0xA5, bytes);
    pages_free(at, bytes);
}

static void of_any_size(void **state)
{
    (void)state;
    expect_good(1, 4096);
    expect_good(4097, 4096);
    expect_good(PAGES_HUGE_BYTES - 1, 4096);
    expect_good(PAGES_HUGE_BYTES, PAGES_HUGE_BYTES);
    expect_good(3 * (size_t)PAGES_HUGE_BYTES + 5, PAGES_HUGE_BYTES);
    pages_free(NULL, 4096);
}

/* What lies around a mapping is not its own: two at once do not meet, and freeing one leaves the
 * other. */
static void two_at_once(void **state)
{
    size_t bytes = 2 * (size_t)PAGES_HUGE_BYTES;
    uint8_t *a = pages_new(bytes), *b = pages_new(bytes);

    (void)state;
    assert_true(a + bytes <= b || b + bytes <= a);
    memset(a, 1, bytes);
    memset(b, 2, bytes);
    pages_free(a, bytes);
    assert_int_equal(b[0] + b[bytes - 1], 4);
    pages_free(b, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_any_size),
        cmocka_unit_test(two_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
