/* Lines of the input are the messages of one page of VoiceERA's. */
#include <stdlib.h>

#include "carrier/carrier.h"

extern const struct carrier_ops carrier_voiceera;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct carrier_event ev;
    static uint8_t audio[320], out[4096];
    struct slice rest = slice_of(data, size);
    const struct carrier_ops *ops;
    struct carrier c;

    carrier_init(&c, &carrier_voiceera);
    while (rest.len) {
        struct slice message = slice_cut(rest, '\n', &rest);
        struct builder b = builder_of(out, sizeof(out));
        struct carrier_news news = {.kind = CARRIER_NEWS_WORDS,
                                    .final = true,
                                    .text = slice_of(message.at, message.len % 256),
                                    .wall_ms = (int64_t)message.len << 36};

        carrier_find_at(CARRIER_PATH_BROWSER, true, message, &ops);
        c.ops->parse(&c, true, message, audio, sizeof(audio), &ev);
        if (ev.kind == CARRIER_MEDIA &&
            (ev.audio.len == 0 || ev.audio.len % 2 || ev.audio.len > sizeof(audio)))
            abort();
        if (ev.kind == CARRIER_START && !carrier_id_plain(slice_str(ev.start.stream_id)))
            abort();
        c.ops->tell(&c, &news, &b);
        if (c.phase == CARRIER_STARTED)
            c.ops->clear(&c, &b);
        if (b.bad)
            abort();
    }
    return 0;
}
