#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tools/call/plan_file.h"
#include "base/url.h"

static int16_t buzz[1000];

static int load_clip(const char *path, struct caller_clip *clip, char *why)
{
    if (strstr(path, "missing")) {
        snprintf(why, 64, "%s cannot be read", path);
        return -ENOENT;
    }
    *clip =
        (struct caller_clip){.pcm = buzz, .samples = 1000, .voiced_first = 5, .voiced_last = 900};
    return 0;
}

static void plans_are_read(void **state)
{
    static struct plan_step s[PLAN_STEPS_MAX];
    uint32_t n;
    char why[PLAN_WHY_BYTES];
    (void)state;

    const char *text = "{\"steps\":[{\"say\":\"a.wav\",\"meant\":\"hello\",\"barge_in\":true,"
                       "\"last_voiced_sample\":700},{\"press\":\"1#\"},{\"wait_ms\":250},"
                       "{\"say\":\"b.wav\",\"more\":{}},{\"hang_up\":true}]}";
    assert_int_equal(plan_parse(slice_str(text), "dir/", load_clip, s, &n, why), 0);
    assert_int_equal(n, 5);
    assert_true(s[0].barge_in);
    assert_int_equal(s[0].clip.voiced_last, 700);
    assert_string_equal(s[0].meant, "hello");
    assert_string_equal(s[1].digits, "1#");
    assert_int_equal(s[2].wait_ms, 250);
    assert_int_equal(s[3].clip.voiced_last, 900);
    assert_int_equal(s[4].act, PLAN_HANG_UP);
}

static void bad_plans_are_refused(void **state)
{
    static struct plan_step s[PLAN_STEPS_MAX];
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "[{}]",
        "[1]",
        "{\"steps\":3}",
        "[{\"say\":{}}]",
        "[{\"say\":\"missing.wav\"}]",
        "[{\"say\":\"a.wav\",\"last_voiced_sample\":1000}]",
        "[{\"say\":\"a.wav\",\"barge_in\":\"perhaps\"}]",
        "[{\"press\":\"\"}]",
        "[{\"press\":\"x\"}]",
        "[{\"press\":\"111111111111111111111111111111111\"}]",
        "[{\"wait_ms\":60001}]",
        "[{\"wait_ms\":-1}]",
        "[{\"hang_up\":false}]",
        "[{\"hang_up\":true}",
    };
    char why[PLAN_WHY_BYTES];
    uint32_t n;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why[0] = 0;
        assert_true(plan_parse(slice_str(bad[i]), "", load_clip, s, &n, why) < 0);
        assert_true(why[0] != 0);
    }
    static char many[8192];
    struct builder b = builder_of(many, sizeof(many));
    builder_str(&b, "[");
    for (int i = 0; i <= PLAN_STEPS_MAX; i++)
        builder_printf(&b, "%s{\"wait_ms\":1}", i ? "," : "");
    builder_str(&b, "]");
    assert_true(plan_parse(builder_slice(&b), "", load_clip, s, &n, why) < 0);
}

static void addresses_are_read(void **state)
{
    static const char *const bad[] = {
        "",          "ws:",        "ws://",         "http://a/",      "ws://:1/", "ws://a:0/",
        "ws://a:x/", "ws://u@h/x", "ws://a:65536/", "ws://[::1/",     "ws://a b", "ws://a/#f",
        "wss://a/",  "ws://a:/",   "ws://[::1]1/",  "ws://\xc3\xa4/",
    };
    struct url u;
    const char *what;
    char big[2 * URL_TARGET_BYTES];
    (void)state;

    assert_int_equal(url_parse(&u, SLICE("ws://127.0.0.1:7860/media/clinic?x=1"), "ws", &what), 0);
    assert_string_equal(u.host, "127.0.0.1");
    assert_string_equal(u.port, "7860");
    assert_string_equal(u.authority, "127.0.0.1:7860");
    assert_string_equal(u.target, "/media/clinic?x=1");
    assert_true(slice_equal(url_last_segment(&u), SLICE("clinic")));
    assert_int_equal(url_parse(&u, SLICE("http://[::1]:80"), "ws http", &what), 0);
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.target, "/");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        what = NULL;
        assert_true(url_parse(&u, slice_str(bad[i]), "ws", &what) < 0);
        assert_non_null(what);
    }
    memset(big, 'a', sizeof(big));
    memcpy(big, "ws://h/", 7);
    assert_true(url_parse(&u, slice_of(big, sizeof(big)), "ws", &what) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_read),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(addresses_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
