#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/http_head.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

/* Whole, and growing byte by byte: the same answer. */
static struct http_result parse(struct http_head *h, struct slice in)
{
    struct http_head slow = {0};
    struct http_result step = {0}, r;

    memset(h, 0, sizeof(*h));
    r = http_request(h, in);
    for (size_t n = 0; n <= in.len; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        if (n)
            memcpy(copy, in.at, n);
        step = http_request(&slow, slice_of(copy, n));
        free(copy);
        if (step.outcome != HTTP_MORE)
            break;
    }
    assert_int_equal(step.outcome, r.outcome);
    assert_int_equal(step.status, r.status);
    assert_int_equal(step.used, r.used);
    return r;
}

static void takes(const char *text, struct http_head *h)
{
    struct http_result r = parse(h, slice_str(text));

    assert_int_equal(r.outcome, HTTP_OK);
    assert_int_equal(r.used, (size_t)(strstr(text, "\r\n\r\n") - text) + 4);
}

static void refuses(const char *text, uint16_t status)
{
    struct http_head h;
    struct http_result r = parse(&h, slice_str(text));

    assert_int_equal(r.outcome, HTTP_BAD);
    assert_int_equal(r.status, status);
    assert_non_null(r.what);
}

static void good_requests(void **state)
{
    struct http_head h;
    size_t count;

    (void)state;
    takes("GET /a%20b/c?d=e&f=%2F HTTP/1.1\r\nHost: x.test:7860\r\nX-A:  1 \t\r\nx-a:\r\n\r\nrest",
          &h);
    assert_int_equal(h.method, HTTP_GET);
    assert_true(slice_equal(h.target, SLICE("/a%20b/c?d=e&f=%2F")));
    assert_true(slice_equal(h.path, SLICE("/a%20b/c")));
    assert_true(slice_equal(h.query, SLICE("d=e&f=%2F")));
    assert_true(slice_equal(h.host, SLICE("x.test:7860")));
    assert_true(slice_equal(http_header_find(&h, "x-A", &count), SLICE("1")));
    assert_int_equal(count, 2);
    assert_null(http_header_find(&h, "none", NULL).at);
    takes("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n", &h);
    assert_int_equal(h.content_length, 65536);
    takes("GET /x HTTP/1.0\r\n\r\n", &h);
    takes("PUT /x HTTP/1.1\r\nHost: a\r\n\r\n", &h);
    assert_int_equal(h.method, HTTP_OTHER);
}

static void malformed(void **state)
{
    static const char *const lines[] = {
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET /",
        "GET",
        "",
        "GET x HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "GET /#f HTTP/1.1",
        "GET /\x80 HTTP/1.1",
        "GET /% HTTP/1.1",
        "GET /%4 HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /{} HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET * HTTP/1.1",
    };
    static const char *const headers[] = {
        "Host : a\r\n",
        "Host: a\r\n b\r\n",
        "Host: a\r\nX\r\n",
        "Host: a\r\n: x\r\n",
        "Host: a\r\nX y: z\r\n",
        "Host: a\r\nX\x80: z\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "X: y\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nX: a\x01\r\n",
        "Host: a\r\nX: a\x7F\r\n",
        "Host: a\nX: y\r\n",
        "Host: a\rX: y\r\n",
        "Host: a\r\nX: a\r\r\n",
        "Host: a/b\r\n",
        "Host: a\r\n\tX: y\r\n",
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", lines[i]);
        refuses(text, 400);
    }
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", headers[i]);
        refuses(text, 400);
    }
    refuses("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    refuses("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505);
    refuses("\r\n" GET "\r\n", 400);
    struct http_head h;
    assert_int_equal(parse(&h, SLICE("\x16\x03\x01\x02\0\x01")).status, 400); /* TLS */
    assert_int_equal(parse(&h, SLICE("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n")).status, 400);
}

static void framing(void **state)
{
    (void)state;
    refuses(GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400);
    refuses(GET "Content-Length: 1\r\ncontent-length: 2\r\n\r\n", 400);
    refuses(GET "Content-Length:\r\n\r\n", 400);
    refuses(GET "Content-Length: +1\r\n\r\n", 400);
    refuses(GET "Content-Length: -1\r\n\r\n", 400);
    refuses(GET "Content-Length: 1, 1\r\n\r\n", 400);
    refuses(GET "Content-Length: 0x10\r\n\r\n", 400);
    refuses(GET "Content-Length: 65537\r\n\r\n", 413);
    refuses(GET "Content-Length: 9999999999999999999\r\n\r\n", 413);
    refuses(GET "Content-Length: 99999999999999999999999\r\n\r\n", 400);
    refuses(GET "Transfer-Encoding: chunked\r\n\r\n", 501);
    refuses(GET "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411);
}

static void limits(void **state)
{
    static char text[HTTP_HEAD_BYTES_MAX + 64];
    struct http_head h;

    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        struct builder b = builder_of(text, sizeof(text));
        builder_str(&b, GET "X: ");
        while (b.len < (size_t)(HTTP_HEAD_BYTES_MAX + extra - 4))
            builder_u8(&b, 'x');
        builder_str(&b, "\r\n\r\n");
        assert_int_equal(b.len, HTTP_HEAD_BYTES_MAX + extra);
        memset(&h, 0, sizeof(h));
        struct http_result r = http_request(&h, builder_slice(&b));
        assert_int_equal(r.outcome, extra > 0 ? HTTP_BAD : HTTP_OK);
        assert_int_equal(r.status, extra > 0 ? 431 : 0);
    }
    for (int extra = -1; extra <= 1; extra++) {
        struct builder b = builder_of(text, sizeof(text));
        builder_str(&b, GET);
        for (int i = 1; i < HTTP_HEADERS_MAX + extra; i++)
            builder_str(&b, "X: y\r\n");
        builder_str(&b, "\r\n");
        struct http_result r = parse(&h, builder_slice(&b));
        assert_int_equal(r.status, extra > 0 ? 431 : 0);
    }
    memset(text, 'x', HTTP_HEAD_BYTES_MAX);
    memset(&h, 0, sizeof(h));
    assert_int_equal(http_request(&h, slice_of(text, HTTP_HEAD_BYTES_MAX - 1)).outcome, HTTP_MORE);
    assert_int_equal(http_request(&h, slice_of(text, HTTP_HEAD_BYTES_MAX)).status, 431);
}

#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"

static uint16_t upgrade(const char *text)
{
    struct http_head h;
    struct http_upgrade up;
    const char *what;

    takes(text, &h);
    assert_true(http_wants_upgrade(&h));
    uint16_t status = http_upgrade_check(&h, &up, &what);
    assert_true(status == 0 || what[0]);
    return status;
}

static void upgrades(void **state)
{
    struct http_head h;

    (void)state;
    takes(GET "\r\n", &h);
    assert_false(http_wants_upgrade(&h));
    assert_int_equal(upgrade(GET UPGRADE VERSION KEY "\r\n"), 0);
    assert_int_equal(upgrade(GET "Upgrade: h2c, WebSocket\r\nConnection: x\r\nConnection: upgrade"
                                 "\r\n" VERSION KEY "\r\n"),
                     0);
    assert_int_equal(upgrade(GET "Upgrade: websocket\r\n" VERSION KEY "\r\n"), 400);
    assert_int_equal(
        upgrade(GET "Upgrade: websocket\r\nConnection: upgraded\r\n" VERSION KEY "\r\n"), 400);
    assert_int_equal(upgrade(GET "Connection: upgrade\r\n" VERSION KEY "\r\n"), 400);
    assert_int_equal(upgrade(GET "Upgrade: h2c\r\nConnection: upgrade\r\n" VERSION KEY "\r\n"),
                     400);
    assert_int_equal(upgrade(GET UPGRADE KEY "\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n"), 426);
    assert_int_equal(upgrade(GET UPGRADE KEY VERSION VERSION "\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE VERSION "\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE VERSION KEY KEY "\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE VERSION "Sec-WebSocket-Key: AAAA\r\n\r\n"), 400);
    assert_int_equal(
        upgrade(GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!=\r\n\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE VERSION KEY "Content-Length: 1\r\n\r\n"), 400);
    assert_int_equal(upgrade(GET UPGRADE VERSION KEY "Origin: a\r\nOrigin: b\r\n\r\n"), 400);
    assert_int_equal(upgrade("GET / HTTP/1.0\r\n" UPGRADE VERSION KEY "\r\n"), 400);
    assert_int_equal(
        upgrade("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" UPGRADE VERSION KEY "\r\n"),
        405);
}

static enum http_outcome response(const char *text, struct http_head *h)
{
    memset(h, 0, sizeof(*h));
    return http_response(h, slice_str(text)).outcome;
}

static void responses(void **state)
{
    uint8_t text[256];
    struct builder b = builder_of(text, sizeof(text));
    struct http_head h;

    (void)state;
    http_respond(&b, 426, "text/plain", SLICE("no"));
    builder_u8(&b, 0);
    assert_string_equal(text, "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\n"
                              "Sec-WebSocket-Version: 13\r\nContent-Length: 2\r\n"
                              "Connection: close\r\n\r\nno");
    assert_int_equal(response((char *)text, &h), HTTP_OK);
    assert_int_equal(h.status, 426);
    assert_int_equal(h.content_length, 2);
    assert_int_equal(response("HTTP/1.1 200\r\n\r\n", &h), HTTP_OK);
    assert_int_equal(response("HTTP/1.1 204 No Content\r\nX: y\r\n", &h), HTTP_MORE);
    assert_int_equal(response("HTTP/1.1 99 x\r\n\r\n", &h), HTTP_BAD);
    assert_int_equal(response("HTTP/1.1 600 x\r\n\r\n", &h), HTTP_BAD);
    assert_int_equal(response("HTTP/2 200 x\r\n\r\n", &h), HTTP_BAD);
    assert_int_equal(response("ICY 200 OK\r\n\r\n", &h), HTTP_BAD);
    assert_int_equal(response("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", &h), HTTP_BAD);
}

static int arg(const char *args, const char *name, const char *want)
{
    char out[8];
    int err = http_arg(slice_str(args), name, out, sizeof(out));

    assert_string_equal(out, want);
    return err;
}

static void arguments(void **state)
{
    static char many[3 * HTTP_ARGS_MAX + 16];
    struct builder b = builder_of(many, sizeof(many));

    (void)state;
    assert_int_equal(arg("a=1&To=%2B1+2&&c", "To", "+1 2"), 0);
    assert_int_equal(arg("a=1&%54o=x", "To", "x"), 0);
    assert_int_equal(arg("c&a=1=2", "c", ""), 0);
    assert_int_equal(arg("c&a=1=2", "a", "1=2"), 0);
    assert_int_equal(arg("a=1", "b", ""), -ENOENT);
    assert_int_equal(arg("", "b", ""), -ENOENT);
    assert_int_equal(arg("a=1&a=1", "a", ""), -EEXIST);
    assert_int_equal(arg("a=%", "a", ""), -EINVAL);
    assert_int_equal(arg("a=%4", "a", ""), -EINVAL);
    assert_int_equal(arg("a=%g0", "a", ""), -EINVAL);
    assert_int_equal(arg("a=%00", "a", ""), -EINVAL);
    assert_int_equal(arg("a=123456", "a", "123456"), 0);
    assert_int_equal(arg("a=1234567", "a", "1234567"), 0);
    assert_int_equal(arg("a=12345678", "a", ""), -EMSGSIZE);
    for (int i = 0; i < HTTP_ARGS_MAX - 1; i++)
        builder_str(&b, "x&");
    struct slice all = builder_slice(&b);
    builder_str(&b, "a=1");
    char out[4];
    all.len = b.len;
    assert_int_equal(http_arg(all, "a", out, sizeof(out)), 0);
    builder_str(&b, "&b");
    all.len = b.len;
    assert_int_equal(http_arg(all, "a", out, sizeof(out)), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests), cmocka_unit_test(malformed), cmocka_unit_test(framing),
        cmocka_unit_test(limits),        cmocka_unit_test(upgrades),  cmocka_unit_test(responses),
        cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
