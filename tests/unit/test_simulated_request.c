#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tools/providers/request.h"

/* The bytes come one by one into a buffer that is as long as they are, so that reading behind the
 * end is seen. */
static enum request_outcome drip(struct request *r, const char *text, size_t len, uint8_t **out,
                                 uint16_t *status)
{
    enum request_outcome outcome = REQUEST_MORE;
    uint8_t *bytes = NULL;
    size_t n = 0;

    *r = (struct request){0};
    while (n < len && outcome == REQUEST_MORE) {
        bytes = realloc(bytes, n + 1);
        assert_non_null(bytes);
        bytes[n] = (uint8_t)text[n];
        outcome = request_read(r, bytes, ++n, status);
    }
    *out = bytes;
    return outcome;
}

static void whole(const char *text, const char *path, const char *query, const char *body)
{
    struct request r;
    uint16_t status = 0;
    uint8_t *bytes;

    if (drip(&r, text, strlen(text), &bytes, &status) != REQUEST_WHOLE)
        fail_msg("not whole: %s (%u)", text, status);
    assert_int_equal(r.used, strlen(text));
    assert_true(slice_equal(r.path, slice_str(path)));
    assert_true(slice_equal(r.query, slice_str(query)));
    assert_true(slice_equal(r.body, slice_str(body)));
    free(bytes);
}

static void requests_are_read_byte_by_byte(void **state)
{
    (void)state;
    whole("GET /v1/listen?a=1&b=%20x HTTP/1.1\r\nHost: x\r\n\r\n", "/v1/listen", "a=1&b=%20x", "");
    whole("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "/p", "", "hello");
    whole("POST /p HTTP/1.0\r\ncontent-length:0\r\n\r\n", "/p", "", "");
    whole("POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
          "6;x=1\r\n world\r\n0\r\n\r\n",
          "/p", "", "hello world");
}

static void what_follows_is_left(void **state)
{
    static const char text[] = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nokGET /b HTTP/1.1";
    struct request r = {0};
    uint8_t bytes[sizeof(text)];
    uint16_t status;
    (void)state;

    memcpy(bytes, text, sizeof(text));
    assert_int_equal(request_read(&r, bytes, sizeof(text) - 1, &status), REQUEST_WHOLE);
    assert_memory_equal(bytes + r.used, "GET /b", 6);
}

static void refused(const char *text, uint16_t wanted)
{
    struct request r;
    uint16_t status = 0;
    uint8_t *bytes;

    if (drip(&r, text, strlen(text), &bytes, &status) != REQUEST_BAD)
        fail_msg("not refused: %s", text);
    assert_int_equal(status, wanted);
    free(bytes);
}

static void malformed_requests_are_refused(void **state)
{
    (void)state;
    refused("GET\r\n\r\n", 400);
    refused("GET x HTTP/1.1\r\n\r\n", 400);
    refused("GET /x HTTP/2\r\n\r\n", 400);
    refused("GET /x HTTP/1.1\r\nno colon\r\n\r\n", 400);
    refused("POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400);
    refused("POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413);
    refused("POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    refused("POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400);
    refused("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
    refused("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400);
    refused("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413);
    refused("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400);
}

static void oversized_heads_are_refused(void **state)
{
    static char text[REQUEST_HEAD_MAX * 2];
    struct request r = {0};
    uint16_t status;
    (void)state;

    memset(text, 'x', sizeof(text));
    memcpy(text, "GET /", 5);
    assert_int_equal(request_read(&r, (uint8_t *)text, sizeof(text), &status), REQUEST_BAD);
    assert_int_equal(status, 431);
    struct builder b = builder_of(text, sizeof(text));
    builder_str(&b, "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= REQUEST_HEADERS_MAX; i++)
        builder_printf(&b, "h%d: x\r\n", i);
    builder_str(&b, "\r\n");
    r = (struct request){0};
    assert_int_equal(request_read(&r, (uint8_t *)text, b.len, &status), REQUEST_BAD);
    assert_int_equal(status, 431);
}

static void headers_and_arguments_are_found(void **state)
{
    static const char text[] =
        "GET /x?model=nova%2D3&rate=8000&yes=True&bad=%zz&n=12 HTTP/1.1\r\nX-Key:  secret \r\n\r\n";
    struct request r = {0};
    uint8_t bytes[sizeof(text)];
    uint16_t status;
    char value[8];
    int64_t n;
    (void)state;

    memcpy(bytes, text, sizeof(text));
    assert_int_equal(request_read(&r, bytes, sizeof(text) - 1, &status), REQUEST_WHOLE);
    assert_true(slice_equal(request_header(&r, "x-key"), SLICE("secret")));
    assert_null(request_header(&r, "x-other").at);
    assert_true(request_arg(&r, "model", value, sizeof(value)));
    assert_string_equal(value, "nova-3");
    assert_false(request_arg(&r, "model", value, 4)); /* does not fit */
    assert_string_equal(value, "");
    assert_false(request_arg(&r, "bad", value, sizeof(value)));
    assert_false(request_arg(&r, "none", value, sizeof(value)));
    assert_true(request_flag(&r, "yes"));
    assert_false(request_flag(&r, "rate"));
    assert_int_equal(request_number(&r, "rate", 8000, 48000, 1, &n), 0);
    assert_int_equal(n, 8000);
    assert_int_equal(request_number(&r, "none", 1, 9, 5, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(request_number(&r, "n", 1, 9, 5, &n), -EINVAL);
    assert_int_equal(request_number(&r, "model", 1, 9, 5, &n), -EINVAL);
}

static void paths_fit_their_patterns(void **state)
{
    struct slice part;
    (void)state;

    assert_true(request_path_fits(SLICE("/"), "/", &part));
    assert_true(request_path_fits(SLICE("/v1/voice/abc/stream"), "/v1/voice/{}/stream", &part));
    assert_true(slice_equal(part, SLICE("abc")));
    assert_false(request_path_fits(SLICE("/v1/voice//stream"), "/v1/voice/{}/stream", &part));
    assert_false(request_path_fits(SLICE("/v1/voice/abc"), "/v1/voice/{}/stream", &part));
    assert_false(request_path_fits(SLICE("/v1/voice/abc/stream/x"), "/v1/voice/{}/stream", &part));
    assert_false(request_path_fits(SLICE("/v1"), "/", &part));
    assert_false(request_path_fits(SLICE("/"), "/v1", &part));
}

static size_t parts_of(const char *type, const char *body, struct slice *data)
{
    struct request r = {.body = slice_str(body)};
    struct slice rest = r.body, name, file;
    size_t n = 0;

    r.headers[r.header_count++] = (struct request_header){SLICE("Content-Type"), slice_str(type)};
    while (request_part(&r, &rest, &name, &file, data))
        n++;
    return n;
}

static void forms_are_read(void **state)
{
    static const char type[] = "multipart/form-data; boundary=\"b1\"";
    struct slice data;
    (void)state;

    assert_int_equal(
        parts_of(type,
                 "--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
                 "--b1\r\ncontent-disposition: form-data; name=\"file\"; "
                 "filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\r\nRIFF\r\n\r\n"
                 "--b1--\r\n",
                 &data),
        2);
    assert_true(slice_equal(data, SLICE("\r\nRIFF\r\n")));
}

static void malformed_forms_end(void **state)
{
    struct slice data;
    (void)state;

    assert_int_equal(parts_of("multipart/form-data", "--b\r\n\r\nx\r\n--b--", &data), 0);
    assert_int_equal(parts_of("multipart/form-data; boundary=b", "", &data), 0);
    assert_int_equal(parts_of("multipart/form-data; boundary=b", "--b", &data), 0);
    assert_int_equal(parts_of("multipart/form-data; boundary=b", "--b\r\n", &data), 0);
    assert_int_equal(parts_of("multipart/form-data; boundary=b", "--b\r\n\r\nno end", &data), 0);
    assert_int_equal(parts_of("multipart/form-data; boundary=b", "--c\r\n\r\nx\r\n--c--", &data),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_byte_by_byte),
        cmocka_unit_test(what_follows_is_left),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(oversized_heads_are_refused),
        cmocka_unit_test(headers_and_arguments_are_found),
        cmocka_unit_test(paths_fit_their_patterns),
        cmocka_unit_test(forms_are_read),
        cmocka_unit_test(malformed_forms_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
