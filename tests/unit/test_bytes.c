#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"

/* ---- slices ---- */

static void slices_compare(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_NONE, SLICE("")));
    assert_true(slice_equal(SLICE("ab"), slice_str("ab")));
    assert_false(slice_equal(SLICE("ab"), SLICE("abc")));
    assert_false(slice_equal(SLICE("ab"), SLICE("aB")));
    assert_true(slice_equal_nocase(SLICE("Content-Length"), SLICE("cONTENT-lENGTH")));
    assert_false(slice_equal_nocase(SLICE("@"), SLICE("`"))); /* 0x20 apart, and no letters */
    assert_false(slice_equal_nocase(SLICE("[a"), SLICE("{a")));
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    assert_true(slice_starts(SLICE("/media/clinic"), SLICE("/media/")));
    assert_true(slice_starts(SLICE("x"), SLICE_NONE));
    assert_false(slice_starts(SLICE("/me"), SLICE("/media/")));
    assert_int_equal(slice_str(NULL).len, 0);
}

static void slices_trim_and_cut(void **state)
{
    (void)state;
    struct slice rest;

    assert_true(slice_equal(slice_trim(SLICE(" \t a b\r\n")), SLICE("a b")));
    assert_int_equal(slice_trim(SLICE(" \r\n\t ")).len, 0);
    assert_int_equal(slice_trim(SLICE_NONE).len, 0);
    assert_true(slice_equal(slice_cut(SLICE("a=b=c"), '=', &rest), SLICE("a")));
    assert_true(slice_equal(rest, SLICE("b=c")));
    assert_true(slice_equal(slice_cut(SLICE("abc"), '=', &rest), SLICE("abc")));
    assert_int_equal(rest.len, 0);
    assert_int_equal(slice_cut(SLICE("=b"), '=', &rest).len, 0);
    assert_true(slice_equal(rest, SLICE("b")));
    assert_true(slice_equal(slice_cut(SLICE("a="), '=', &rest), SLICE("a")));
    assert_int_equal(rest.len, 0);
    struct slice self = SLICE("x,y");
    assert_true(slice_equal(slice_cut(self, ',', &self), SLICE("x"))); /* as loops use it */
    assert_true(slice_equal(self, SLICE("y")));
}

static void numbers_are_digits_within_a_limit(void **state)
{
    (void)state;
    uint64_t v = 7;

    assert_int_equal(slice_u64(SLICE("0"), 0, &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(slice_u64(SLICE("18446744073709551615"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(slice_u64(SLICE("18446744073709551616"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(slice_u64(SLICE("99999999999999999999999"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(slice_u64(SLICE("65535"), 65535, &v), 0);
    assert_int_equal(slice_u64(SLICE("65536"), 65535, &v), -ERANGE);
    assert_true(v == 65535); /* a refusal leaves the last value */
    assert_int_equal(slice_u64(SLICE_NONE, 9, &v), -EINVAL);
    assert_int_equal(slice_u64(SLICE("-1"), 9, &v), -EINVAL);
    assert_int_equal(slice_u64(SLICE("+1"), 9, &v), -EINVAL);
    assert_int_equal(slice_u64(SLICE(" 1"), 9, &v), -EINVAL);
    assert_int_equal(slice_u64(SLICE("1x"), 9, &v), -EINVAL);
    assert_int_equal(slice_u64(SLICE("0x1"), 9, &v), -EINVAL);
}

static void strings_fit_or_are_empty(void **state)
{
    (void)state;
    char out[4] = "zzz";

    assert_int_equal(slice_cstr(SLICE("abc"), out, sizeof(out)), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(slice_cstr(SLICE("abcd"), out, sizeof(out)), -EMSGSIZE);
    assert_string_equal(out, "");
    assert_int_equal(slice_cstr(SLICE_NONE, out, 1), 0);
    assert_int_equal(slice_cstr(SLICE_NONE, out, 0), -EMSGSIZE);
}

/* ---- UTF-8: against the definition, for every sequence of up to three bytes ---- */

/* Decodes by arithmetic instead of by table of ranges; -1 when it is not well formed. */
static long decode(const uint8_t *s, size_t len)
{
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = s[0] < 0x80       ? 1
                  : s[0] >> 5 == 6  ? 2
                  : s[0] >> 4 == 14 ? 3
                  : s[0] >> 3 == 30 ? 4
                                    : 0;
    long v;

    if (need == 0 || need != len)
        return -1;
    v = need == 1 ? s[0] : s[0] & (0x7F >> need);
    for (size_t i = 1; i < need; i++) {
        if (s[i] >> 6 != 2)
            return -1;
        v = v << 6 | (s[i] & 0x3F);
    }
    if (v < least[need] || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
        return -1;
    return v;
}

static void utf8_agrees_with_its_definition(void **state)
{
    (void)state;
    uint8_t s[4];
    size_t good = 0;

    for (uint32_t v = 0; v < 1u << 24; v++) {
        s[0] = (uint8_t)(v >> 16);
        s[1] = (uint8_t)(v >> 8);
        s[2] = (uint8_t)v;
        /* Only the first byte's own length matters; skip what is the same question again. */
        if (s[0] < 0xE0 && s[2])
            continue;
        size_t len = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : 3;
        bool want = decode(s, len) >= 0;
        if ((slice_utf8_step(slice_of(s, 3)) == len) != want && s[0] < 0xF0)
            fail_msg("%02x %02x %02x", s[0], s[1], s[2]);
        good += want;
    }
    assert_true(good > 60000);
    for (uint32_t v = 0; v < 1u << 22; v++) { /* four bytes: of the last only its top bits */
        s[0] = (uint8_t)(0xF0 | (v >> 19));
        s[1] = (uint8_t)(v >> 11);
        s[2] = (uint8_t)(v >> 3);
        s[3] = (uint8_t)((v & 7) << 5 | 0x15);
        if ((slice_utf8_step(slice_of(s, 4)) == 4) != (decode(s, 4) >= 0))
            fail_msg("%02x %02x %02x %02x", s[0], s[1], s[2], s[3]);
    }
}

static void utf8_ends_are_seen(void **state)
{
    (void)state;
    assert_true(slice_is_utf8(SLICE_NONE));
    assert_true(slice_is_utf8(SLICE("a\0b")));
    assert_true(slice_is_utf8(SLICE("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")));
    assert_true(slice_is_utf8(SLICE("\xf4\x8f\xbf\xbf")));
    assert_false(slice_is_utf8(SLICE("\xf4\x90\x80\x80")));
    assert_false(slice_is_utf8(SLICE("\xf0\x8f\xbf\xbf")));
    assert_false(slice_is_utf8(SLICE("ok\xc3")));
    assert_false(slice_is_utf8(SLICE("ok\xe2\x82")));
    assert_false(slice_is_utf8(SLICE("ok\xf0\x9f\x98")));
    assert_false(slice_is_utf8(SLICE("\xc0\xaf")));
    assert_false(slice_is_utf8(SLICE("\xed\xa0\x80")));
    assert_false(slice_is_utf8(SLICE("\x80")));
    assert_int_equal(slice_utf8_step(SLICE_NONE), 0);
}

/* ---- reader ---- */

static void a_reader_reads_big_endian(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,   10,  11,
                                    12, 13, 14, 15, 16, 17, 18, 19, 'e', 'n', 'd'};
    struct reader r = reader_of(slice_of(bytes, sizeof(bytes)));

    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u32(&r), 0x04050607);
    assert_true(reader_u64(&r) == UINT64_C(0x08090A0B0C0D0E0F));
    assert_int_equal(reader_u32_le(&r), 0x13121110);
    assert_true(slice_equal(reader_take(&r, 3), SLICE("end")));
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.bad);
    assert_int_equal(reader_take(&r, 0).len, 0);
    assert_false(r.bad);
}

static void a_reader_remembers_an_over_read(void **state)
{
    (void)state;
    struct reader r = reader_of(SLICE("abc"));

    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(reader_u8(&r), 0); /* although three bytes are there */
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_take(&r, 0).len, 0);
    r = reader_of(SLICE("abc"));
    assert_int_equal(reader_take(&r, SIZE_MAX).len, 0);
    assert_true(r.bad);
    r = reader_of(SLICE_NONE);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_u8(&r), 0);
    assert_true(r.bad);
}

/* ---- builder ---- */

static void a_builder_writes_what_a_reader_reads(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct builder b = builder_of(bytes, sizeof(bytes));

    builder_u8(&b, 1);
    builder_u16(&b, 0x0203);
    builder_u32(&b, 0x04050607);
    builder_u64(&b, UINT64_C(0x08090A0B0C0D0E0F));
    builder_u32_le(&b, 0x13121110);
    builder_u16_le(&b, 0x1514);
    builder_str(&b, "text");
    builder_slice_add(&b, SLICE_NONE);
    builder_printf(&b, "%d", -7);
    for (uint8_t i = 0; i < 21; i++)
        assert_int_equal(bytes[i], i + 1);
    assert_true(slice_equal(slice_of(bytes + 21, b.len - 21), SLICE("text-7")));
    assert_int_equal(builder_slice(&b).len, 27);
    assert_false(b.bad);
}

static void a_builder_remembers_an_overflow(void **state)
{
    (void)state;
    uint8_t bytes[8] = "........";
    struct builder b = builder_of(bytes, 4);

    builder_str(&b, "abcd");
    assert_false(b.bad);
    builder_u8(&b, 'x');
    assert_true(b.bad);
    assert_int_equal(b.len, 4);
    builder_bytes(&b, "", 0);
    assert_memory_equal(bytes, "abcd....", 8);
    b = builder_of(bytes, 4);
    builder_str(&b, "ab");
    builder_str(&b, "cde"); /* does not fit whole, so nothing of it */
    builder_u8(&b, 'f');    /* would fit, but the text already has a hole */
    assert_true(b.bad && b.len == 2);
    b = builder_of(bytes, 4);
    assert_null(builder_reserve(&b, SIZE_MAX));
    assert_true(b.bad);
    b = builder_of(NULL, 0);
    builder_printf(&b, "x");
    assert_true(b.bad && b.len == 0);
}

static void a_printed_text_needs_room_for_its_nul(void **state)
{
    (void)state;
    uint8_t bytes[8] = "........";
    struct builder b = builder_of(bytes, 4);

    builder_printf(&b, "%s", "abc");
    assert_false(b.bad);
    builder_printf(&b, "%s", "d");
    assert_true(b.bad && b.len == 3);
    builder_printf(&b, "e");
    assert_int_equal(b.len, 3);
    assert_memory_equal(bytes + 4, "....", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare),
        cmocka_unit_test(slices_trim_and_cut),
        cmocka_unit_test(numbers_are_digits_within_a_limit),
        cmocka_unit_test(strings_fit_or_are_empty),
        cmocka_unit_test(utf8_agrees_with_its_definition),
        cmocka_unit_test(utf8_ends_are_seen),
        cmocka_unit_test(a_reader_reads_big_endian),
        cmocka_unit_test(a_reader_remembers_an_over_read),
        cmocka_unit_test(a_builder_writes_what_a_reader_reads),
        cmocka_unit_test(a_builder_remembers_an_overflow),
        cmocka_unit_test(a_printed_text_needs_room_for_its_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
