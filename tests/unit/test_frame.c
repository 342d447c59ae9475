#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/frame.h"
#include "base/poison.h"

static void an_empty_pool_refuses_and_counts(void **state)
{
    (void)state;
    struct frame_pool *pool = frame_pool_new(3);
    frame_ref refs[3];

    assert_int_equal(frame_pool_size(pool), 3);
    for (int i = 0; i < 3; i++) {
        refs[i] = frame_get(pool);
        assert_int_not_equal(refs[i], FRAME_NONE);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(refs[i], refs[j]);
    }
    assert_int_equal(frame_pool_used(pool), 3);
    assert_int_equal(frame_get(pool), FRAME_NONE);
    assert_int_equal(frame_pool_refused(pool), 1);
    frame_put(pool, &refs[1]);
    assert_int_equal(refs[1], FRAME_NONE);
    refs[1] = frame_get(pool);
    assert_int_not_equal(refs[1], FRAME_NONE);
    for (int i = 0; i < 3; i++)
        frame_put(pool, &refs[i]);
    assert_int_equal(frame_pool_used(pool), 0);
    frame_pool_free(&pool);
    assert_null(pool);
    frame_pool_free(&pool);
}

static void a_frame_starts_clean(void **state)
{
    (void)state;
    struct frame_pool *pool = frame_pool_new(1);
    frame_ref ref = frame_get(pool);
    struct frame *f = frame_at(pool, ref);

    assert_int_equal((uintptr_t)f->data % 64, 0);
    f->len = 7;
    f->rate_hz = 8000;
    f->sample = 99;
    f->at_ns = 1;
    f->generation = 2;
    f->tag = 3;
    memset(f->spare, 1, sizeof(f->spare));
    memset(f->data, 0xEE, FRAME_DATA_BYTES);
    frame_pcm(f)[FRAME_DATA_BYTES / 2 - 1] = -1;
    frame_put(pool, &ref);
    ref = frame_get(pool);
    f = frame_at(pool, ref);
    assert_int_equal(f->refs, 1);
    assert_int_equal(f->len | f->rate_hz | f->sample | f->at_ns, 0);
    assert_int_equal(f->generation | f->tag | f->next | f->spare[0] | f->spare[23], 0);
    frame_put(pool, &ref);
    frame_pool_free(&pool);
}

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct frame_pool *pool = frame_pool_new(1);
    frame_ref a = frame_get(pool), b = frame_keep(pool, a), none = FRAME_NONE;

    frame_put(pool, &a);
    assert_int_equal(frame_pool_used(pool), 1);
    frame_at(pool, b)->data[0] = 1; /* still alive */
    frame_put(pool, &b);
    assert_int_equal(frame_pool_used(pool), 0);
    frame_put(pool, &none);
    frame_pool_free(&pool);
}

static void chains_hold_any_length(void **state)
{
    (void)state;
    static uint8_t in[5 * FRAME_DATA_BYTES], out[5 * FRAME_DATA_BYTES];
    struct frame_pool *pool = frame_pool_new(4);
    const size_t lens[] = {
        0, 1, FRAME_DATA_BYTES - 1, FRAME_DATA_BYTES, FRAME_DATA_BYTES + 1, 4 * FRAME_DATA_BYTES};

    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 13 + i / 256);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        frame_ref ref = frame_chain(pool, slice_of(in, lens[i]));
        assert_int_not_equal(ref, FRAME_NONE);
        uint32_t need = (uint32_t)((lens[i] + FRAME_DATA_BYTES - 1) / FRAME_DATA_BYTES);
        assert_int_equal(frame_pool_used(pool), need ? need : 1);
        assert_int_equal(frame_chain_len(pool, ref), lens[i]);
        assert_int_equal(frame_chain_copy(pool, ref, out, sizeof(out)), lens[i]);
        assert_memory_equal(in, out, lens[i]);
        assert_int_equal(frame_chain_copy(pool, ref, out, lens[i] / 2), lens[i] / 2);
        frame_put(pool, &ref);
        assert_int_equal(frame_pool_used(pool), 0);
    }
    assert_int_equal(frame_chain(pool, slice_of(in, 4 * FRAME_DATA_BYTES + 1)), FRAME_NONE);
    assert_int_equal(frame_pool_used(pool), 0); /* nothing of it is kept */
    assert_int_equal(frame_chain_len(pool, FRAME_NONE), 0);
    frame_ref empty = frame_chain(pool, SLICE_NONE);
    assert_int_equal(frame_chain_len(pool, empty), 0);
    frame_put(pool, &empty);
    frame_pool_free(&pool);
}

static void a_shared_tail_outlives_its_chain(void **state)
{
    (void)state;
    static uint8_t bytes[3 * FRAME_DATA_BYTES];
    struct frame_pool *pool = frame_pool_new(3);
    frame_ref chain = frame_chain(pool, slice_of(bytes, sizeof(bytes)));
    frame_ref tail = frame_keep(pool, frame_at(pool, chain)->next);

    frame_put(pool, &chain);
    assert_int_equal(frame_pool_used(pool), 2);
    assert_int_equal(frame_chain_len(pool, tail), 2 * FRAME_DATA_BYTES);
    frame_put(pool, &tail);
    assert_int_equal(frame_pool_used(pool), 0);
    frame_pool_free(&pool);
}

#if POISON_WORKS
static void a_freed_frame_is_poison(void **state)
{
    (void)state;
    struct frame_pool *pool = frame_pool_new(2);
    frame_ref ref = frame_get(pool);
    uint8_t *data = frame_at(pool, ref)->data;

    assert_null(__asan_region_is_poisoned(data, FRAME_DATA_BYTES));
    frame_put(pool, &ref);
    assert_ptr_equal(__asan_region_is_poisoned(data, 1), data);
    assert_ptr_equal(__asan_region_is_poisoned(data + FRAME_DATA_BYTES - 1, 1),
                     data + FRAME_DATA_BYTES - 1);
    frame_pool_free(&pool);
}
#endif

/* ---- wrong runtimes end the process, in release too ---- */

static void expect_abort(void (*body)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        close(STDERR_FILENO);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void put_twice(void)
{
    struct frame_pool *pool = frame_pool_new(2);
    frame_ref a = frame_get(pool), b = a;

    frame_put(pool, &a);
    frame_put(pool, &b);
}

static void use_a_number_never_given(void)
{
    struct frame_pool *pool = frame_pool_new(2);

    frame_at(pool, 3);
}

static void use_none(void)
{
    frame_at(frame_pool_new(2), FRAME_NONE);
}

static void free_with_a_frame_out(void)
{
    struct frame_pool *pool = frame_pool_new(2);

    frame_get(pool);
    frame_pool_free(&pool);
}

static void wrong_use_aborts(void **state)
{
    (void)state;
    expect_abort(put_twice);
    expect_abort(use_a_number_never_given);
    expect_abort(use_none);
    expect_abort(free_with_a_frame_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_pool_refuses_and_counts),
        cmocka_unit_test(a_frame_starts_clean),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(chains_hold_any_length),
        cmocka_unit_test(a_shared_tail_outlives_its_chain),
#if POISON_WORKS
        cmocka_unit_test(a_freed_frame_is_poison),
#endif
        cmocka_unit_test(wrong_use_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
