/* Pooled blocks: sizes, reuse, the bound, and that what is given back is zero again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/block.h"

static void blocks_are_zeroed_aligned_and_apart(void **state)
{
    static const size_t SIZES[] = {1, 240, 241, 1000, 2880, 32752};
    struct block_pool *pool = block_pool_new(4 * 1048576);
    uint8_t *at[6];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 6; i++) {
            at[i] = block_get(pool, SIZES[i]);
            assert_non_null(at[i]);
            assert_int_equal((uintptr_t)at[i] % 16, 0);
            for (size_t k = 0; k < SIZES[i]; k++)
                assert_int_equal(at[i][k], 0);
            memset(at[i], (int)i + 1, SIZES[i]);
        }
        for (size_t i = 0; i < 6; i++)
            for (size_t k = 0; k < SIZES[i]; k++)
                assert_int_equal(at[i][k], i + 1);
        assert_int_equal(block_pool_used(pool), 6);
        assert_int_equal(block_pool_bytes(pool), 256 + 256 + 384 + 1024 + 3072 + 32768);
        for (size_t i = 0; i < 6; i++)
            block_put(pool, at[i]);
        assert_int_equal(block_pool_bytes(pool), 0);
    }
    block_put(pool, NULL);
    block_pool_free(&pool);
    assert_null(pool);
}

static void the_pool_is_bounded(void **state)
{
    struct block_pool *pool = block_pool_new(BLOCK_CHUNK);
    void *at[BLOCK_CHUNK / 256];

    (void)state;
    assert_null(block_get(pool, BLOCK_BYTES_MAX - BLOCK_HEAD_BYTES + 1));
    for (size_t i = 0; i < BLOCK_CHUNK / 256; i++) {
        at[i] = block_get(pool, 200);
        assert_non_null(at[i]);
    }
    assert_null(block_get(pool, 200));
    assert_null(block_get(pool, 2000)); /* no chunk is left for another size */
    block_put(pool, at[7]);
    at[7] = block_get(pool, 200);
    assert_non_null(at[7]);
    for (size_t i = 0; i < BLOCK_CHUNK / 256; i++)
        block_put(pool, at[i]);
    block_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_apart),
        cmocka_unit_test(the_pool_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
