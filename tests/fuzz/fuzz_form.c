/* Query strings and form bodies: bounded, terminated, and without NUL inside. */
#include <stdlib.h>

#include "net/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), name, value;
    char out[32];

    while (http_arg_next(&rest, &name, &value)) {
        uint8_t room[64];
        struct builder b = builder_of(room, sizeof(room));
        if (http_unescape(value, true, &b) == 0 && b.len > value.len)
            abort();
        http_arg_is(name, "CallSid");
    }
    int err = http_arg(slice_of(data, size), "a", out, sizeof(out));
    if (!memchr(out, 0, sizeof(out)) || (err && out[0]))
        abort();
    return 0;
}
