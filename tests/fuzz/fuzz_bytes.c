/* Readers, builders and UTF-8 over any bytes: the first byte says how much of the rest each step
 * takes. Beyond what the sanitizers see, what was read back must be what was written. */
#include <stdlib.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
    if (!truth)
        abort();
}

/* By arithmetic: the shortest form of a code point that is one. */
static void check_character(const uint8_t *s, size_t len)
{
    uint32_t v = len == 1 ? s[0] : s[0] & (0x7Fu >> len);

    for (size_t i = 1; i < len; i++) {
        must(s[i] >> 6 == 2);
        v = v << 6 | (s[i] & 0x3Fu);
    }
    must(len == (v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4));
    must(v <= 0x10FFFF && (v < 0xD800 || v > 0xDFFF));
}

/* A text is well formed exactly if it is a row of well-formed characters, and cutting it at a
 * character leaves two such texts. */
static void check_utf8(struct slice text)
{
    size_t at = 0, step = 1;

    while (at < text.len && step) {
        step = slice_utf8_step(slice_of(text.at + at, text.len - at));
        must(step <= 4 && at + step <= text.len);
        if (step)
            check_character(text.at + at, step);
        at += step;
        must(slice_is_utf8(slice_of(text.at, at)));
    }
    must(slice_is_utf8(text) == (at == text.len));
}

static void check_copy(struct slice text)
{
    struct reader r = reader_of(text);
    uint8_t copy[4096];
    struct builder b = builder_of(copy, sizeof(copy));

    while (reader_left(&r) && !b.bad) {
        switch (reader_left(&r) % 5) {
        case 0:
            builder_u8(&b, reader_u8(&r));
            break;
        case 1:
            builder_slice_add(&b, reader_take(&r, reader_left(&r) / 2 + 1));
            break;
        case 2:
            builder_u16(&b, reader_u16(&r));
            break;
        case 3:
            builder_u8(&b, reader_u8(&r));
            builder_u16(&b, reader_u16(&r));
            break;
        default:
            builder_u32(&b, reader_u32(&r));
            break;
        }
    }
    must(b.len <= sizeof(copy) && !r.bad);
    must(slice_equal(builder_slice(&b), slice_of(text.at, b.len)));
    must(b.bad || b.len == text.len);
}

/* Takes of one length until one is refused: all that fit came, and nothing comes after. */
static void check_takes(struct slice text, size_t len)
{
    struct reader r = reader_of(text);
    size_t taken = 0, sum = 0;

    while (!r.bad) {
        struct slice part = reader_take(&r, len);
        for (size_t i = 0; i < part.len; i++)
            sum += part.at[i];
        taken += part.len;
    }
    must(taken == text.len / len * len && sum <= taken * 255);
    must(reader_u64(&r) == 0 && reader_left(&r) == 0);
    r = reader_of(slice_of(text.at, text.len < 7 ? text.len : 7));
    must(reader_u64(&r) == 0 && r.bad);
}

static void check_cuts(struct slice text, uint8_t sep)
{
    size_t parts = 0, bytes = 0;

    for (struct slice rest = text; rest.len; parts++) {
        struct slice part = slice_cut(rest, sep, &rest);
        struct slice trimmed = slice_trim(part);
        must(trimmed.len <= part.len && trimmed.at >= part.at);
        bytes += part.len;
    }
    must(bytes <= text.len && bytes + parts + 1 >= text.len);
}

static void check_number(struct slice text)
{
    char decimal[32];
    uint64_t value;

    if (slice_u64(text, UINT64_MAX, &value) != 0)
        return;
    struct builder b = builder_of(decimal, sizeof(decimal));
    builder_printf(&b, "%llu", (unsigned long long)value);
    while (text.len > 1 && text.at[0] == '0')
        text = slice_of(text.at + 1, text.len - 1);
    must(slice_equal(builder_slice(&b), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_of(data + 1, size - 1);
    check_utf8(text);
    check_copy(text);
    check_takes(text, 1 + data[0] % 32);
    check_cuts(text, data[0]);
    check_number(text);
    return 0;
}
