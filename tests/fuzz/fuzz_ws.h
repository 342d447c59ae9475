/* What both WebSocket fuzz targets do: the same bytes whole and in pieces must tell the same story.
 * The first byte chooses the pieces. */
#ifndef FUZZ_WS_H
#define FUZZ_WS_H

#include <stdlib.h>

#include "net/websocket.h"

static inline uint64_t fuzz_ws_story(enum ws_role role, struct slice bytes, size_t step)
{
    static uint8_t buffer[512];
    uint64_t story = 14695981039346656037u;
    struct ws_event ev;
    struct ws w;

    ws_init(&w, role, WS_TAKES_BOTH, buffer, sizeof(buffer));
    for (size_t i = 0; i < bytes.len; i += step) {
        size_t n = bytes.len - i < step ? bytes.len - i : step;
        uint8_t *copy = malloc(n);
        struct slice in = slice_of(copy, n);
        if (!copy)
            abort();
        memcpy(copy, bytes.at + i, n);
        for (ws_decode(&w, &in, &ev); ev.kind != WS_MORE; ws_decode(&w, &in, &ev)) {
            if (ev.data.len > sizeof(buffer))
                abort();
            story = (story ^ (uint64_t)ev.kind) * 1099511628211u;
            story = (story ^ ev.code) * 1099511628211u;
            story = (story ^ ev.data.len) * 1099511628211u;
            for (size_t k = 0; k < ev.data.len; k++)
                story = (story ^ ev.data.at[k]) * 1099511628211u;
        }
        free(copy);
    }
    return story;
}

static inline int fuzz_ws(enum ws_role role, const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    if (fuzz_ws_story(role, bytes, bytes.len) != fuzz_ws_story(role, bytes, 1u + data[0] % 37u))
        abort();
    return 0;
}

#endif
