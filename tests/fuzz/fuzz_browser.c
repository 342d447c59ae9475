/* Lines of the input are one page's messages; a line that begins with '!' is a binary one. What
 * comes out is whole samples, or nothing. */
#include <stdlib.h>

#include "carrier/carrier.h"

extern const struct carrier_ops carrier_browser;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct carrier_event ev;
    static uint8_t audio[320], out[1024];
    struct slice rest = slice_of(data, size);
    const struct carrier_ops *ops;
    struct carrier c;

    carrier_init(&c, &carrier_browser);
    while (rest.len) {
        struct slice message = slice_cut(rest, '\n', &rest);
        bool text = message.len == 0 || message.at[0] != '!';
        struct builder b = builder_of(out, sizeof(out));

        carrier_find_at(CARRIER_PATH_BROWSER, text, message, &ops);
        c.ops->parse(&c, text, message, audio, sizeof(audio), &ev);
        if (ev.kind == CARRIER_MEDIA &&
            (ev.audio.len == 0 || ev.audio.len % 2 || ev.audio.len > sizeof(audio)))
            abort();
        if (ev.kind == CARRIER_START)
            c.ops->ready(&c, "6740a1b2-1f03-03-00002a", &b);
        if (ev.kind == CARRIER_MEDIA)
            c.ops->media(&c, ev.audio, &b);
        if (b.bad)
            abort();
    }
    return 0;
}
