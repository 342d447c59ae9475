/* URLs: what is taken apart, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/url.h"

#define ALL "ws wss http https"

static void takes_apart(void **state)
{
    static const struct {
        const char *text, *host, *port, *authority, *target;
        bool secure;
    } cases[] = {
        {"wss://api.example.com/v1/listen?model=nova-3", "api.example.com", "443",
         "api.example.com", "/v1/listen?model=nova-3", true},
        {"ws://127.0.0.1:7860/media/clinic", "127.0.0.1", "7860", "127.0.0.1:7860", "/media/clinic",
         false},
        {"http://[::1]:80", "::1", "80", "[::1]:80", "/", false},
        {"https://[2001:db8::1]/x", "2001:db8::1", "443", "[2001:db8::1]", "/x", true},
        {"https://host?x=1", "host", "443", "host", "/?x=1", true},
        {"http://under_score.local:65535/", "under_score.local", "65535", "under_score.local:65535",
         "/", false},
    };
    const char *what = "";
    struct url u;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(url_parse(&u, slice_str(cases[i].text), ALL, &what), 0);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.port, cases[i].port);
        assert_string_equal(u.authority, cases[i].authority);
        assert_string_equal(u.target, cases[i].target);
        assert_int_equal(url_secure(&u), cases[i].secure);
        assert_int_equal(url_port(&u), atoi(cases[i].port));
    }
}

static void refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "wss",
                                      "wss:",
                                      "wss:/h",
                                      "wss://",
                                      "wss:///path",
                                      "ftp://host/",
                                      "WSS://host/",
                                      "ws://user@host/",
                                      "ws://user:pass@host/",
                                      "ws://host:/",
                                      "ws://host:0/",
                                      "ws://host:65536/",
                                      "ws://host:12a/",
                                      "ws://[::1/",
                                      "ws://[::1]x/",
                                      "ws://[::1]:/",
                                      "ws://[]/",
                                      "ws://ho st/",
                                      "ws://host/#fragment",
                                      "ws://host/\r\nX: y",
                                      "ws://host/\x7f",
                                      "ws://h\xc3\xb6st/",
                                      "ws://host\\evil/",
                                      "ws://a%2eb/"};
    const char *what = "";
    struct url u;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        what = "";
        if (url_parse(&u, slice_str(bad[i]), ALL, &what) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(strlen(what) > 0);
    }
    assert_int_equal(url_parse(&u, SLICE("https://host/"), "ws wss", &what), -EINVAL);
}

static void is_bounded(void **state)
{
    static char text[2 * URL_TARGET_BYTES];
    const char *what = "";
    struct url u;

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "ws://h/", 7);
    assert_int_equal(url_parse(&u, slice_of(text, 6 + URL_TARGET_BYTES - 1), "ws", &what), 0);
    assert_int_equal(strlen(u.target), URL_TARGET_BYTES - 1);
    assert_int_equal(url_parse(&u, slice_of(text, 6 + URL_TARGET_BYTES), "ws", &what), -EINVAL);
    text[6] = 'a';
    assert_int_equal(url_parse(&u, slice_of(text, 5 + 255), "ws", &what), 0);
    assert_int_equal(url_parse(&u, slice_of(text, 5 + 256), "ws", &what), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_apart),
        cmocka_unit_test(refuses),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
