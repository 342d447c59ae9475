#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/poison.h"

static _Alignas(ARENA_ALIGN) uint8_t memory[1024];

static bool poisoned(const void *at, size_t len)
{
#if POISON_WORKS
    return __asan_region_is_poisoned((void *)(uintptr_t)at, len) != NULL;
#else
    (void)at;
    (void)len;
    return true; /* nothing to see without ASan */
#endif
}

static bool clean(const void *at, size_t len)
{
    return !POISON_WORKS || !poisoned(at, len);
}

static void pieces_are_zeroed_aligned_apart(void **state)
{
    (void)state;
    struct arena a;

    memset(memory, 0xAA, sizeof(memory));
    arena_init(&a, memory, sizeof(memory));
    uint8_t *last = NULL;
    for (size_t len = 1; len <= 40; len++) {
        uint8_t *piece = arena_take(&a, len);
        if (!piece)
            break;
        assert_int_equal((uintptr_t)piece % ARENA_ALIGN, 0);
        assert_true(piece > last);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(piece[i], 0);
        assert_true(clean(piece, len));
        assert_true(poisoned(piece + len, 1) || len % ARENA_ALIGN == 0);
        memset(piece, 0xBB, len);
        last = piece + len - 1;
    }
    arena_fini(&a);
    assert_true(clean(memory, sizeof(memory)));
}

static void the_budget_is_exact(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, memory, sizeof(memory));
    assert_non_null(arena_take(&a, 1008));
    assert_int_equal(arena_left(&a), 16);
    assert_null(arena_take(&a, 17));
    assert_non_null(arena_take(&a, 16));
    assert_null(arena_take(&a, 1));
    assert_int_equal(a.refused, 2);
    assert_int_equal(a.used_most, 1024);
    arena_fini(&a);

    /* A size that is no multiple of the alignment never hands out its last odd bytes. */
    arena_init(&a, memory, 40);
    assert_non_null(arena_take(&a, 32));
    assert_null(arena_take(&a, 8));
    assert_int_equal(a.refused, 1);
    arena_fini(&a);
}

static void hostile_lengths_are_refused(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, memory, sizeof(memory));
    assert_null(arena_take(&a, SIZE_MAX));
    assert_null(arena_take(&a, SIZE_MAX - 15));
    assert_null(arena_take(&a, 1025));
    assert_null(arena_text(&a, slice_of("x", SIZE_MAX)));
    assert_int_equal(a.used, 0);
    arena_fini(&a);
}

static void texts_end_in_nul(void **state)
{
    (void)state;
    struct arena a;

    memset(memory, 0xAA, sizeof(memory));
    arena_init(&a, memory, 48);
    assert_string_equal(arena_text(&a, SLICE("clinic")), "clinic");
    assert_string_equal(arena_text(&a, SLICE_NONE), "");
    assert_null(arena_text(&a, SLICE("0123456789abcdef"))); /* its NUL does not fit */
    assert_string_equal(arena_text(&a, SLICE("0123456789abcde")), "0123456789abcde");
    arena_fini(&a);
}

static void a_rewind_gives_back_and_poisons(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, memory, sizeof(memory));
    char *kept = arena_text(&a, SLICE("kept"));
    size_t mark = arena_mark(&a);
    uint8_t *work = arena_take(&a, 900);
    arena_rewind(&a, mark);
    assert_true(poisoned(work, 900));
    assert_string_equal(kept, "kept");
    assert_ptr_equal(arena_take(&a, 8), work);
    assert_int_equal(a.used_most, 16 + 912);
    arena_fini(&a);
}

static void quarantine_closes_until_the_next_life(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, memory, sizeof(memory));
    uint8_t *old = arena_take(&a, 100);
    assert_true(clean(old, 100));
    arena_quarantine(&a);
    assert_true(poisoned(old, 100));
    assert_null(arena_take(&a, 1));
    assert_int_equal(arena_left(&a), 0);
    arena_reset(&a);
    assert_true(poisoned(old, 100));
    assert_int_equal(arena_left(&a), sizeof(memory));
    assert_ptr_equal(arena_take(&a, 50), old);
    assert_int_equal(a.used_most, 112);
    assert_int_equal(a.refused, 1);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_apart),
        cmocka_unit_test(the_budget_is_exact),
        cmocka_unit_test(hostile_lengths_are_refused),
        cmocka_unit_test(texts_end_in_nul),
        cmocka_unit_test(a_rewind_gives_back_and_poisons),
        cmocka_unit_test(quarantine_closes_until_the_next_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
