/* Bounded reading and building of bytes: every parser and every composer of the product goes
 * through these, so that no length is ever checked by hand twice. A slice, a reader and a builder
 * borrow their memory and never allocate; an over-read or an overflow is remembered in `bad` and
 * every later call is a no-op, so code checks once at the end. Any thread. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/reason.h"

struct slice {
    const uint8_t *at;
    size_t len;
};

#define SLICE(literal) ((struct slice){(const uint8_t *)(literal), sizeof(literal) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})
/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).len, (s).len ? (const char *)(s).at : ""

static inline struct slice slice_of(const void *at, size_t len)
{
    return (struct slice){at, len};
}

static inline struct slice slice_str(const char *text)
{
    return slice_of(text, text ? strlen(text) : 0);
}

bool slice_equal(struct slice a, struct slice b);
/* ASCII only, as header names need. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
/* Without leading and trailing space, tab, CR and LF. */
struct slice slice_trim(struct slice s);
/* The part before the first `sep`; *rest is what follows it (empty if there is none). */
struct slice slice_cut(struct slice s, uint8_t sep, struct slice *rest);
/* Decimal digits only, at most `max`. 0 or -EINVAL (empty, other characters) or -ERANGE. */
MUST_USE int slice_u64(struct slice s, uint64_t max, uint64_t *out);
/* Copies with a final NUL; 0, or -EMSGSIZE and an empty string if it does not fit. */
int slice_cstr(struct slice s, char *out, size_t out_bytes);
/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
bool slice_is_utf8(struct slice s);
/* Bytes of the first character of a slice that is not empty; 0 if it is not well formed. */
size_t slice_utf8_step(struct slice s);

/* ---- reader: big-endian fields out of a slice ---- */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad; /* something was read beyond the end */
};

struct reader reader_of(struct slice s);
size_t reader_left(const struct reader *r);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint32_t reader_u32_le(struct reader *r);
/* The next `len` bytes, or an empty slice and `bad`. */
struct slice reader_take(struct reader *r, size_t len);

/* ---- builder: into a buffer of fixed size ---- */
struct builder {
    uint8_t *at;
    size_t len;
    size_t size;
    bool bad; /* something did not fit; `len` is then what fitted whole */
};

struct builder builder_of(void *at, size_t size);
struct slice builder_slice(const struct builder *b);
void builder_bytes(struct builder *b, const void *at, size_t len);
void builder_slice_add(struct builder *b, struct slice s);
void builder_str(struct builder *b, const char *text);
void builder_u8(struct builder *b, uint8_t v);
void builder_u16(struct builder *b, uint16_t v);
void builder_u32(struct builder *b, uint32_t v);
void builder_u64(struct builder *b, uint64_t v);
void builder_u32_le(struct builder *b, uint32_t v);
void builder_u16_le(struct builder *b, uint16_t v);
void builder_printf(struct builder *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for `len` bytes that the caller writes itself, or NULL and `bad`. */
uint8_t *builder_reserve(struct builder *b, size_t len);

#endif
