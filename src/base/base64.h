/* Base64 (RFC 4648 section 4, the standard alphabet): what carriers wrap audio in. Encoding always
 * pads; decoding accepts missing padding and refuses everything else that is not canonical: foreign
 * characters, white space, padding in the middle or too short, bits set behind the last byte. The
 * AVX2 path is taken when the processor has it; the plain twin gives the same answers and is public
 * so that a test can hold one against the other. Borrows its memory, keeps nothing. Any thread. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/bytes.h"

/* Characters that `bytes` bytes become, padding included. */
#define BASE64_CHARS(bytes) (((bytes) + 2) / 3 * 4)
/* At most this many bytes come out of `chars` characters. */
#define BASE64_BYTES(chars) (((chars) + 3) / 4 * 3)

/* Writes exactly BASE64_CHARS(in.len) characters, no NUL; returns their number. */
size_t base64_encode(struct slice in, char *out);
size_t base64_encode_plain(struct slice in, char *out);
/* The same into a builder. */
void base64_build(struct builder *b, struct slice in);

/* 0 and *len bytes at `out`; -EINVAL: not canonical base64; -EMSGSIZE: does not fit. What lies in
 * out[0..out_bytes) after a failure, or behind *len, is unspecified. */
MUST_USE int base64_decode(struct slice in, void *out, size_t out_bytes, size_t *len);
MUST_USE int base64_decode_plain(struct slice in, void *out, size_t out_bytes, size_t *len);

#endif
