/* A hostile server: whatever bytes it sends after the upgrade, or as RTP packets, the caller goes
 * on or ends, within its bounds. The first byte chooses the dialect; the input is cut into reads of
 * a length that it names itself. */
#include <assert.h>

#include "tools/call/caller.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 200

static struct caller c;
static struct caller_output out;
static int16_t ear[16000];
static uint8_t message[4096];

static void begin(bool rtp)
{
    struct caller_config config = {
        .dialect = rtp ? &caller_rtp : &caller_twilio,
        .host = "h",
        .target = "/",
        .seed = 1,
        .ear = ear,
        .ear_samples = 16000,
        .message = message,
        .message_bytes = sizeof(message),
    };

    caller_init(&c, &config);
    caller_output_init(&out);
    caller_open(&c, 0, &out);
    if (rtp)
        return;
    char accept[WS_ACCEPT_CHARS + 1];
    uint8_t store[512];
    struct builder b = builder_of(store, sizeof(store));
    ws_accept(slice_str(c.twilio.key), accept);
    ws_build_101(&b, slice_str(c.twilio.key), SLICE_NONE);
    caller_output_init(&out);
    caller_step(&c, 0, builder_slice(&b), &out);
    assert(c.state == CALLER_TALKING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t piece[256];
    int64_t now_ns = 0;

    if (size < 1)
        return 0;
    begin(data[0] & 1);
    data++;
    size--;
    for (int i = 0; i < STEPS_MAX && size && c.state != CALLER_OVER; i++) {
        size_t n = data[0];
        data++;
        size--;
        n = n < size ? n : size;
        memcpy(piece, data, n);
        data += n;
        size -= n;
        now_ns += MS(10);
        caller_output_init(&out);
        caller_step(&c, now_ns, slice_of(piece, n), &out);
        assert(!out.bytes.bad && c.ear.mark_count <= EAR_MARKS_MAX);
        assert(c.ear.pushed - c.ear.played <= 16000);
    }
    return 0;
}
