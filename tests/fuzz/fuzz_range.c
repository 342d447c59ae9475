/* A Range header, behind eight bytes that are the size of what is asked for: a part that is granted
 * lies within it. And the same bytes as Host and Origin. */
#include <errno.h>
#include <stdlib.h>

#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size);
    uint64_t length = 0, from = 0, bytes = 0;

    if (size >= 8) {
        memcpy(&length, data, 8);
        rest = slice_of(data + 8, size - 8);
    }
    int err = http_range(rest, length, &from, &bytes);
    if (err && err != -ENOENT && err != -ERANGE)
        abort();
    if (err == 0 && (bytes == 0 || from >= length || bytes > length - from))
        abort();
    struct slice origin;
    struct http_ask ask = {.host = slice_cut(rest, '|', &origin)};
    ask.origin = origin;
    if (http_ask_own(&ask, SLICE_NONE) && ask.origin.len && !ask.host.len)
        abort();
    return 0;
}
