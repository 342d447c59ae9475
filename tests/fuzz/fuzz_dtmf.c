/* Records of (ms passed, timestamp step, payload): a digit may end only after it started. */
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "media/dtmf.h"

static char current;

static void check(struct dtmf_change change)
{
    if (change.ended && change.ended != (current ? current : change.started))
        __builtin_trap();
    if (change.started && current && change.ended != current)
        __builtin_trap();
    if (change.started)
        current = change.ended && !current ? 0 : change.started;
    else if (change.ended)
        current = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader in = reader_of(slice_of(data, len));
    struct dtmf_payload payload;
    struct dtmf_receive r;
    uint32_t timestamp = 0;
    int64_t now_ns = 0;

    current = 0;
    dtmf_receive_init(&r, 8000);
    while (reader_left(&in) >= 4) {
        now_ns += MS(reader_u8(&in));
        uint8_t what = reader_u8(&in);
        timestamp += (uint32_t)(int32_t)(int16_t)reader_u16(&in);
        if (what & 1)
            check(dtmf_receive_audio(&r, timestamp));
        check(dtmf_receive_tick(&r, now_ns));
        size_t part = what >> 1 & 7;
        part = part < reader_left(&in) ? part : reader_left(&in);
        if (dtmf_parse(reader_take(&in, part), &payload) == 0)
            check(dtmf_receive_packet(&r, timestamp, &payload, now_ns));
    }
    check(dtmf_receive_reset(&r));
    if (current)
        __builtin_trap();
    return 0;
}
