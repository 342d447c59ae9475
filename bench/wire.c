/* What one audio message costs on the wire side: WebSocket frame in, media message parsed, message
 * and frame out. Prints the least of several rounds, in nanoseconds per message, and each as a
 * ratio of the plain base64 decoder, which does not depend on how fast the machine is.
 *
 *     build/release/sidetone-bench-wire */
#include <stdio.h>
#include <time.h>

#include "base/base64.h"
#include "base/json.h"
#include "carrier/twilio.h"
#include "net/websocket.h"

#define ROUNDS 40
#define LOOPS  5000
#define SID    "MZ18ad3ab5a668481ce02b83e7395059f0"

static uint8_t audio[160], decoded[320], message[1024], wire[2048], room[2048], buffer[4096];
static char text[BASE64_CHARS(160)];
static struct slice media, frame;
static struct carrier stream = {.ops = &carrier_twilio,
                                .phase = CARRIER_STARTED,
                                .stream_id = SID,
                                .stream_id_len = sizeof(SID) - 1};
static struct ws ws;
static struct carrier_event event;
static volatile size_t sink;

static void plain_decode(void)
{
    size_t len;

    if (base64_decode_plain(slice_of(text, sizeof(text)), decoded, sizeof(decoded), &len) == 0)
        sink = len;
}

static void fast_decode(void)
{
    size_t len;

    if (base64_decode(slice_of(text, sizeof(text)), decoded, sizeof(decoded), &len) == 0)
        sink = len;
}

static void fast_encode(void)
{
    sink = base64_encode(slice_of(audio, sizeof(audio)), text);
}

static void parse_media(void)
{
    sink = twilio_parse_media(&stream, media, decoded, sizeof(decoded), &event);
}

static void parse_any(void)
{
    struct carrier c = stream;

    twilio_parse_any(&c, media, decoded, sizeof(decoded), &event);
    sink = event.audio.len;
}

/* The frame is unmasked in place, so each loop needs a fresh copy; its memcpy is counted in. */
static void decode_frame(void)
{
    struct ws_event ev;
    struct slice in = slice_of(room, frame.len);

    memcpy(room, frame.at, frame.len);
    ws_decode(&ws, &in, &ev);
    sink = ev.data.len;
}

static void compose_and_frame(void)
{
    struct builder b = builder_of(room + WS_FRAME_HEAD_MAX, sizeof(room) - WS_FRAME_HEAD_MAX);

    carrier_twilio.media(&stream, slice_of(audio, sizeof(audio)), &b);
    sink = ws_seal(b.at, b.len, WS_SERVER, WS_OP_TEXT, 0).len;
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static double least_ns(void (*run)(void))
{
    double least = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t from = now_ns();
        for (int i = 0; i < LOOPS; i++)
            run();
        double each = (double)(now_ns() - from) / LOOPS;
        least = each < least ? each : least;
    }
    return least;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } items[] = {
        {"base64 decode, plain", plain_decode},
        {"base64 decode", fast_decode},
        {"base64 encode", fast_encode},
        {"twilio media, one pass", parse_media},
        {"twilio media, by jansson", parse_any},
        {"ws frame in, masked", decode_frame},
        {"media message and frame out", compose_and_frame},
    };
    struct builder b = builder_of(message, sizeof(message));

    for (size_t i = 0; i < sizeof(audio); i++)
        audio[i] = (uint8_t)(i * 37);
    base64_encode(slice_of(audio, sizeof(audio)), text);
    builder_str(&b, "{\"event\":\"media\",\"sequenceNumber\":\"1203\",\"streamSid\":\"" SID
                    "\",\"media\":{\"track\":\"inbound\",\"chunk\":\"1202\",\"timestamp\":"
                    "\"24020\",\"payload\":\"");
    builder_bytes(&b, text, sizeof(text));
    builder_str(&b, "\"}}");
    media = builder_slice(&b);
    b = builder_of(wire, sizeof(wire));
    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, media, 0x12345678);
    frame = builder_slice(&b);
    ws_init(&ws, WS_SERVER, WS_TAKES_TEXT, buffer, sizeof(buffer));
    double unit = 0;
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        double ns = least_ns(items[i].run);
        unit = i == 0 ? ns : unit;
        printf("%-28s %8.1f ns  %6.2f\n", items[i].name, ns, ns / unit);
    }
    printf("message %zu bytes, frame %zu\n", media.len, frame.len);
    return 0;
}
