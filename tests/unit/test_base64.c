#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/rand.h"
#include "base/utf8.h"

static void check_vector(const char *bytes, const char *chars)
{
    char text[16], back[16];
    size_t len;

    assert_int_equal(base64_encode(slice_str(bytes), text), strlen(chars));
    assert_memory_equal(text, chars, strlen(chars));
    assert_int_equal(base64_decode(slice_str(chars), back, sizeof(back), &len), 0);
    assert_int_equal(len, strlen(bytes));
    assert_memory_equal(back, bytes, len);
}

static void rfc_vectors(void **state)
{
    (void)state;
    check_vector("", "");
    check_vector("f", "Zg==");
    check_vector("fo", "Zm8=");
    check_vector("foo", "Zm9v");
    check_vector("foob", "Zm9vYg==");
    check_vector("fooba", "Zm9vYmE=");
    check_vector("foobar", "Zm9vYmFy");
}

/* The buffers are exactly as long as needed, so that a sanitizer sees any byte too far. */
static void twins_agree(void **state)
{
    struct rand r = {7};

    (void)state;
    for (size_t n = 0; n < 400; n++) {
        uint8_t *bytes = malloc(n + 1), *back = malloc(n + 1);
        char *fast = malloc(BASE64_CHARS(n) + 1), *plain = malloc(BASE64_CHARS(n) + 1);
        size_t chars = BASE64_CHARS(n), len = 0, plain_len = 0;
        uint8_t *exact = malloc(n ? n : 1);
        assert_true(bytes && back && fast && plain && exact);
        for (size_t i = 0; i < n; i++)
            exact[i] = (uint8_t)rand_u64(&r);
        assert_int_equal(base64_encode(slice_of(exact, n), fast), chars);
        assert_int_equal(base64_encode_plain(slice_of(exact, n), plain), chars);
        assert_memory_equal(fast, plain, chars);
        assert_int_equal(base64_decode(slice_of(fast, chars), back, n, &len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(back, exact, n);
        assert_int_equal(base64_decode_plain(slice_of(fast, chars), bytes, n, &plain_len), 0);
        assert_memory_equal(bytes, exact, n);
        if (n)
            assert_int_equal(base64_decode(slice_of(fast, chars), back, n - 1, &len), -EMSGSIZE);
        while (chars && fast[chars - 1] == '=') /* missing padding is taken */
            chars--;
        assert_int_equal(base64_decode(slice_of(fast, chars), back, n, &len), 0);
        assert_int_equal(len, n);
        free(bytes);
        free(back);
        free(fast);
        free(plain);
        free(exact);
    }
}

/* Every character at every place of a text long enough for both paths. */
static void every_byte_everywhere(void **state)
{
    char text[100];
    uint8_t fast[75], plain[75];
    size_t fast_len, plain_len;

    (void)state;
    for (size_t at = 0; at < sizeof(text); at++) {
        for (int c = 0; c < 256; c++) {
            memset(text, 'A', sizeof(text));
            text[at] = (char)c;
            int a = base64_decode(slice_of(text, sizeof(text)), fast, sizeof(fast), &fast_len);
            int b =
                base64_decode_plain(slice_of(text, sizeof(text)), plain, sizeof(plain), &plain_len);
            bool known = c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789+/",
                                     c);
            assert_int_equal(a, b);
            assert_int_equal(a, known || (c == '=' && at == 99) ? 0 : -EINVAL);
            assert_int_equal(fast_len, plain_len);
            if (a == 0)
                assert_memory_equal(fast, plain, fast_len);
        }
    }
}

static void refuses(void **state)
{
    static const char *const wrong[] = {
        "A",    "=",    "==",     "====",  "A===", "AA=", "AAA==", "AA==A", "A=AA",
        "AB==", "AAB=", "AA==\n", " AAAA", "AA-_", "AB",  "AAB",   "AAAA="};
    uint8_t out[16];
    size_t len;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(base64_decode(slice_str(wrong[i]), out, sizeof(out), &len), -EINVAL);
}

static void utf8_in_pieces(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xC2\x80",
                                       "\xE2\x82\xAC",
                                       "\xF0\x9F\x98\x80",
                                       "\xF4\x8F\xBF\xBF",
                                       "\xED\x9F\xBF",
                                       "x\xEE\x80\x80y"};
    static const char *const wrong[] = {
        "\x80", "\xC0\x80",         "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF5", "\xF4\x90\x80\x80", "\xC2\x20", "\xE2\x82\x20", "\xFF"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        for (size_t cut = 0; cut <= strlen(good[i]); cut++) {
            struct utf8 u = {0};
            assert_true(utf8_feed(&u, slice_of(good[i], cut)));
            assert_true(utf8_feed(&u, slice_str(good[i] + cut)));
            assert_true(utf8_whole(&u));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct utf8 u = {0};
        assert_false(utf8_feed(&u, slice_str(wrong[i])));
    }
    struct utf8 u = {0};
    assert_true(utf8_feed(&u, SLICE("\xE2\x82")));
    assert_false(utf8_whole(&u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rfc_vectors), cmocka_unit_test(twins_agree),
                                       cmocka_unit_test(every_byte_everywhere),
                                       cmocka_unit_test(refuses), cmocka_unit_test(utf8_in_pieces)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
