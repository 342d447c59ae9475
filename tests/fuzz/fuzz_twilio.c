/* Lines of the input are one stream's messages. Where the fast parser vouches for a message, the
 * general one must say the same. */
#include <stdlib.h>

#include "carrier/twilio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_mark(const struct carrier *c, struct slice message)
{
    static struct carrier_event fast, any;
    struct carrier twin = *c;

    if (!twilio_parse_mark(&twin, message, &fast))
        return;
    twilio_parse_any(&twin, message, NULL, 0, &any);
    if (any.kind != CARRIER_MARK || fast.sequence != any.sequence ||
        !slice_equal(slice_str(fast.mark), slice_str(any.mark)))
        abort();
}

static void check_message(const struct carrier *c, struct slice message)
{
    static struct carrier_event fast, any;
    static uint8_t fast_audio[320], any_audio[320];
    struct carrier twin = *c;

    if (!twilio_parse_media(&twin, message, fast_audio, sizeof(fast_audio), &fast))
        return;
    twin.sequence = twin.chunk = 0;
    twilio_parse_any(&twin, message, any_audio, sizeof(any_audio), &any);
    if (any.kind != CARRIER_MEDIA || fast.sequence != any.sequence || fast.chunk != any.chunk ||
        fast.timestamp_ms != any.timestamp_ms || !slice_equal(fast.audio, any.audio))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct carrier_event ev;
    static uint8_t audio[320];
    struct slice rest = slice_of(data, size);
    const struct carrier_ops *ops;
    struct carrier c;

    carrier_init(&c, &carrier_twilio);
    while (rest.len) {
        struct slice message = slice_cut(rest, '\n', &rest);
        carrier_find(true, message, &ops);
        check_message(&c, message);
        check_mark(&c, message);
        c.ops->parse(&c, true, message, audio, sizeof(audio), &ev);
        if (ev.kind == CARRIER_MEDIA && (ev.audio.len == 0 || ev.audio.len > sizeof(audio)))
            abort();
        if (ev.kind == CARRIER_START && !carrier_id_plain(slice_str(ev.start.stream_id)))
            abort();
    }
    return 0;
}
