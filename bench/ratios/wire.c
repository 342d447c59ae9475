/* A carrier's audio message: its JSON by one pass against jansson, and WebSocket frames against
 * code that goes byte by byte. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "bench/ratios/ratios.h"
#include "carrier/twilio.h"
#include "net/websocket.h"

#define SID         "MZ18ad3ab5a668481ce02b83e7395059f0"
#define TEXT_BYTES  512
#define AUDIO_BYTES 160
#define MASK_BYTES  TEXT_BYTES

static uint8_t texts[RATIOS_CALLS][TEXT_BYTES], frames[RATIOS_CALLS][TEXT_BYTES + 16];
static size_t text_len[RATIOS_CALLS], frame_len[RATIOS_CALLS];
static struct ws sockets[RATIOS_CALLS];
static uint8_t room[2 * TEXT_BYTES], gathered[TEXT_BYTES];
static struct carrier stream = {.ops = &carrier_twilio,
                                .phase = CARRIER_STARTED,
                                .stream_id = SID,
                                .stream_id_len = sizeof(SID) - 1};
static volatile size_t sink;

static size_t compose(uint8_t *text, struct rand *r)
{
    struct builder b = builder_of(text, TEXT_BYTES);
    uint8_t audio[AUDIO_BYTES];

    for (size_t i = 0; i < sizeof(audio); i++)
        audio[i] = (uint8_t)rand_below(r, 256);
    builder_printf(&b,
                   "{\"event\":\"media\",\"sequenceNumber\":\"%u\",\"streamSid\":\"" SID
                   "\",\"media\":{\"track\":\"inbound\",\"chunk\":\"%u\",\"timestamp\":\"%u\","
                   "\"payload\":\"",
                   rand_below(r, 100000), rand_below(r, 100000), rand_below(r, 10000000));
    base64_build(&b, slice_of(audio, sizeof(audio)));
    builder_str(&b, "\"}}");
    return b.len;
}

static bool prepare(void)
{
    struct rand r = {11};

    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        text_len[i] = compose(texts[i], &r);
        struct builder b = builder_of(frames[i], sizeof(frames[i]));
        ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_of(texts[i], text_len[i]),
                  (uint32_t)rand_u64(&r));
        frame_len[i] = b.len;
        ws_init(&sockets[i], WS_SERVER, WS_TAKES_TEXT, gathered, sizeof(gathered));
    }
    return true;
}

/* ---- JSON ---- */

static void parse_ours(uint32_t call)
{
    struct carrier_event ev;

    sink =
        twilio_parse_media(&stream, slice_of(texts[call], text_len[call]), room, sizeof(room), &ev);
}

static void parse_jansson(uint32_t call)
{
    struct carrier copy = stream;
    struct carrier_event ev;

    twilio_parse_any(&copy, slice_of(texts[call], text_len[call]), room, sizeof(room), &ev);
    sink = ev.audio.len;
}

/* What the one pass vouches for, the document says too: on messages of which most are damaged. */
static bool same_json(uint32_t inputs)
{
    static uint8_t text[TEXT_BYTES], a_room[TEXT_BYTES], b_room[TEXT_BYTES];
    struct rand r = {13};
    struct carrier_event a, b;
    uint32_t vouched = 0;

    for (uint32_t i = 0; i < inputs; i++) {
        size_t len = text_len[i % RATIOS_CALLS];
        memcpy(text, texts[i % RATIOS_CALLS], len);
        for (uint32_t k = rand_below(&r, 3); k; k--)
            text[rand_below(&r, (uint32_t)len)] = (uint8_t)rand_below(&r, 128);
        struct carrier copy = stream;
        struct slice in = slice_of(text, len);
        if (!twilio_parse_media(&stream, in, a_room, sizeof(a_room), &a))
            continue;
        vouched++;
        twilio_parse_any(&copy, in, b_room, sizeof(b_room), &b);
        if (b.kind != CARRIER_MEDIA || a.sequence != b.sequence || a.chunk != b.chunk ||
            a.timestamp_ms != b.timestamp_ms || !slice_equal(a.audio, b.audio))
            return false;
    }
    return vouched > inputs / 4;
}

/* ---- WebSocket frames ---- */

static void mask_bytes(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
                       size_t phase)
{
    for (size_t i = 0; i < len; i++) {
        dst[i] = src[i] ^ mask[(phase + i) % 4];
        __asm__ volatile("" ::: "memory"); /* byte by byte, whatever the compiler could do */
    }
}

static const uint8_t mask[4] = {0x12, 0xfe, 0x80, 0x07};

static void mask_ours(uint32_t call)
{
    ws_mask(room, texts[call], text_len[call], mask, call);
}

static void mask_plain(uint32_t call)
{
    mask_bytes(room, texts[call], text_len[call], mask, call);
}

static bool same_mask(uint32_t inputs)
{
    static uint8_t a[MASK_BYTES], b[MASK_BYTES];
    struct rand r = {17};

    for (uint32_t i = 0; i < inputs; i++) {
        uint8_t key[4] = {(uint8_t)rand_u64(&r), (uint8_t)rand_u64(&r), 0, 0xff};
        uint32_t from = rand_below(&r, 64), len = rand_below(&r, MASK_BYTES - 64);
        const uint8_t *src = texts[i % RATIOS_CALLS] + from;
        ws_mask(a, src, len, key, i);
        mask_bytes(b, src, len, key, i);
        if (memcmp(a, b, len) != 0)
            return false;
    }
    return true;
}

/* Unmasked where it lies, so each run needs a fresh copy; both make it. */
static void decode_ours(uint32_t call)
{
    struct slice in = slice_of(room, frame_len[call]);
    struct ws_event ev;

    memcpy(room, frames[call], frame_len[call]);
    ws_decode(&sockets[call], &in, &ev);
    sink = ev.data.len;
}

static void decode_plain(uint32_t call)
{
    const uint8_t *head = frames[call];
    size_t len = (size_t)head[2] << 8 | head[3];

    memcpy(room, frames[call], frame_len[call]);
    mask_bytes(gathered, room + 8, len, head + 4, 0);
    sink = slice_is_utf8(slice_of(gathered, len)) ? len : 0;
}

static void encode_ours(uint32_t call)
{
    struct builder b = builder_of(room, sizeof(room));

    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_of(texts[call], text_len[call]), call * 7919);
    sink = b.len;
}

static void encode_plain(uint32_t call)
{
    size_t len = text_len[call];

    room[0] = 0x81;
    room[1] = 0x80 | 126;
    room[2] = (uint8_t)(len >> 8);
    room[3] = (uint8_t)len;
    memcpy(room + 4, mask, 4);
    mask_bytes(room + 8, texts[call], len, mask, 0);
    sink = len + 8;
}

static const struct contest all[] = {
    {"json-media", "jansson", 1, prepare, same_json, parse_ours, parse_jansson, NULL},
    {"ws-mask", "byte by byte", 1, prepare, same_mask, mask_ours, mask_plain, NULL},
    {"ws-decode", "byte by byte", 1, prepare, same_mask, decode_ours, decode_plain, NULL},
    {"ws-encode", "byte by byte", 1, prepare, same_mask, encode_ours, encode_plain, NULL},
};

const struct contests ratios_wire = {all, ARRAY_LEN(all)};
