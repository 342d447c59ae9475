/* Both decoders say the same, and what decodes encodes back to the same text but for padding. */
#include <stdlib.h>

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t fast[4096], plain[4096];
    static char text[BASE64_CHARS(4096)], twin[BASE64_CHARS(4096)];
    size_t fast_len, plain_len;

    if (size > sizeof(fast))
        return 0;
    int a = base64_decode(slice_of(data, size), fast, sizeof(fast), &fast_len);
    int b = base64_decode_plain(slice_of(data, size), plain, sizeof(plain), &plain_len);
    if (a != b || fast_len != plain_len || memcmp(fast, plain, fast_len) != 0)
        abort();
    if (a == 0) {
        size_t chars = base64_encode(slice_of(fast, fast_len), text);
        if (chars < size || memcmp(text, data, size) != 0)
            abort();
    }
    size_t chars = base64_encode(slice_of(data, size), text);
    if (base64_encode_plain(slice_of(data, size), twin) != chars || memcmp(text, twin, chars) != 0)
        abort();
    return 0;
}
