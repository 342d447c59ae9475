/* Lines of the input are the messages of one stream of Plivo's. */
#include <stdlib.h>

#include "carrier/carrier.h"

extern const struct carrier_ops carrier_plivo;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct carrier_event ev;
    static uint8_t audio[320], out[1024];
    struct slice rest = slice_of(data, size);
    const struct carrier_ops *ops;
    struct carrier c;

    carrier_init(&c, &carrier_plivo);
    while (rest.len) {
        struct slice message = slice_cut(rest, '\n', &rest);
        struct builder b = builder_of(out, sizeof(out));

        carrier_find(true, message, &ops);
        c.ops->parse(&c, true, message, audio, sizeof(audio), &ev);
        if (ev.kind == CARRIER_MEDIA && (ev.audio.len == 0 || ev.audio.len > sizeof(audio)))
            abort();
        if (ev.kind == CARRIER_START && !carrier_id_plain(slice_str(ev.start.stream_id)))
            abort();
        if (ev.kind == CARRIER_MARK)
            c.ops->mark(&c, ev.mark, &b);
        if (c.phase == CARRIER_STARTED)
            c.ops->clear(&c, &b);
        if (b.bad)
            abort();
    }
    return 0;
}
