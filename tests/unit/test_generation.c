/* Numbers of processes: never the same twice in one data directory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/generation.h"

#define NOW_S 1700000000u

static char dir[] = "/tmp/sidetone-generation-XXXXXX";
static char path[64];

static uint32_t take(int64_t wall_ms)
{
    char why[256] = "";
    uint32_t number = 0;

    assert_int_equal(generation_take(dir, wall_ms, &number, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    return number;
}

static void overwrite(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int dir_make(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/generation", dir);
    return 0;
}

static int dir_remove(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void never_twice(void **state)
{
    (void)state;
    assert_int_equal(take(NOW_S * INT64_C(1000)), NOW_S);
    assert_int_equal(take(NOW_S * INT64_C(1000) + 999), NOW_S + 1); /* within one second */
    assert_int_equal(take(NOW_S * INT64_C(1000) + 5000), NOW_S + 5);
    assert_int_equal(take(0), NOW_S + 6); /* the clock went back */
}

static void passed(void **state)
{
    uint32_t mine = take(0);

    (void)state;
    assert_false(generation_passed(dir, mine));
    take(0);
    assert_true(generation_passed(dir, mine));
    assert_false(generation_passed("/nowhere/at/all", mine));
}

static void damaged_file(void **state)
{
    static const char *const texts[] = {
        "", "\n", "hello\n", "-3\n", "99999999999999999999\n", "4294967296\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        overwrite(texts[i]);
        assert_int_equal(take(NOW_S * INT64_C(1000)), NOW_S);
    }
    overwrite("1700000007 and a long tail that is cut off\n");
    assert_int_equal(take(NOW_S * INT64_C(1000)), NOW_S);
    overwrite("1700000007\nmore");
    assert_int_equal(take(NOW_S * INT64_C(1000)), NOW_S + 8);
    assert_int_equal(take(NOW_S * INT64_C(1000)), NOW_S + 9);
}

static void side_by_side(void **state)
{
    uint32_t first = take(NOW_S * INT64_C(1000));

    (void)state;
    for (int i = 0; i < 8; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char why[256];
            uint32_t number;
            for (int j = 0; j < 10; j++)
                if (generation_take(dir, 0, &number, why, sizeof(why)))
                    _exit(1);
            _exit(0);
        }
    }
    for (int status; wait(&status) > 0;)
        assert_int_equal(status, 0);
    assert_int_equal(take(0), first + 81); /* each of the 80 had one of its own */
}

static void no_folder(void **state)
{
    char why[256] = "";
    uint32_t number;

    (void)state;
    assert_int_equal(generation_take("/nowhere/at/all", 0, &number, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "/nowhere/at/all/generation cannot be written: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_twice),  cmocka_unit_test(passed),    cmocka_unit_test(damaged_file),
        cmocka_unit_test(side_by_side), cmocka_unit_test(no_folder),
    };

    return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
