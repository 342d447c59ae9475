/* The parser of event streams: the same bytes whole and in pieces must tell the same events. The
 * first byte chooses the pieces. */
#include <stdlib.h>

#include "provider/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t tell(uint64_t story, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        story = (story ^ s.at[i]) * 1099511628211u;
    return (story ^ (s.len + 1)) * 1099511628211u;
}

static uint64_t story_of(struct slice bytes, size_t step)
{
    static uint8_t buffer[256];
    uint64_t story = 14695981039346656037u;
    struct sse s;
    struct sse_event ev;
    enum sse_kind kind;

    sse_init(&s, buffer, sizeof(buffer));
    for (size_t i = 0; i < bytes.len; i += step) {
        struct slice in = slice_of(bytes.at + i, bytes.len - i < step ? bytes.len - i : step);
        while ((kind = sse_next(&s, &in, &ev)) == SSE_EVENT)
            story = tell(tell(story, ev.name), ev.data);
        if (kind == SSE_TOO_LONG)
            story = tell(story, SLICE("too long"));
    }
    if (sse_end(&s, &ev) == SSE_EVENT)
        story = tell(tell(story, ev.name), ev.data);
    return story;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    if (story_of(bytes, bytes.len + 1) != story_of(bytes, 1u + data[0] % 16))
        abort();
    return 0;
}
