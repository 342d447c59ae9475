/* The carrier's end of a bidirectional media stream as Twilio speaks it: WebSocket upgrade,
 * connected, start, media, dtmf, mark, stop; media, mark and clear come back. A malformed message
 * ends the call, as it does at the carrier (error 31924). */
#include "tools/call/caller.h"

#include <string.h>

#include "media/g711.h"

#define ACCOUNT         "AC00000000000000000000000000000000"
#define MESSAGE_BYTES   1024
#define PLAIN_BYTES_MAX 49152 /* of one media message: what fits in the largest one */

static uint32_t mask_key(struct caller *c)
{
    return (uint32_t)(rand_u64(&c->rand) >> 32);
}

static void send_bytes(struct caller *c, enum ws_opcode op, struct slice payload,
                       struct caller_output *out)
{
    ws_encode(&out->bytes, WS_CLIENT, op, payload, mask_key(c));
    caller_output_end(out);
}

static void send_text(struct caller *c, const struct builder *b, struct caller_output *out)
{
    if (b->bad)
        out->bad = true;
    else
        send_bytes(c, WS_OP_TEXT, builder_slice(b), out);
}

static void send_close(struct caller *c, uint16_t code, struct caller_output *out)
{
    if (c->twilio.closing)
        return;
    c->twilio.closing = true;
    ws_encode_close(&out->bytes, WS_CLIENT, code, SLICE_NONE, mask_key(c));
    caller_output_end(out);
}

static void fail(struct caller *c, uint16_t code, const char *what, struct caller_output *out)
{
    send_close(c, code, out);
    caller_over(c, CALLER_END_BROKEN, what);
}

static void twilio_open(struct caller *c, struct caller_output *out)
{
    struct caller_twilio *t = &c->twilio;
    uint8_t random[16];

    memset(t, 0, sizeof(*t));
    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)rand_below(&c->rand, 256);
    ws_key(random, t->key);
    ws_init(&t->ws, WS_CLIENT, WS_TAKES_TEXT, c->config.message, c->config.message_bytes);
    ws_build_request(&out->bytes, slice_str(c->config.host), slice_str(c->config.target), t->key,
                     SLICE_NONE);
    caller_output_end(out);
}

/* ---- what goes out ---- */

static void twilio_frame(struct caller *c, const int16_t *pcm, struct caller_output *out)
{
    uint8_t code[CALLER_FRAME_SAMPLES];
    uint8_t store[MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    g711_mulaw_encode(code, pcm, sizeof(code));
    twilio_caller_media(&c->twilio.stream, (uint64_t)c->frames * 20, slice_of(code, sizeof(code)),
                        &b);
    send_text(c, &b, out);
}

static int twilio_digit(struct caller *c, char digit, struct caller_output *out)
{
    uint8_t store[MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    twilio_caller_dtmf(&c->twilio.stream, digit, &b);
    send_text(c, &b, out);
    return 0;
}

static void twilio_mark(struct caller *c, const char *name, struct caller_output *out)
{
    uint8_t store[MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    twilio_caller_mark(&c->twilio.stream, name, &b);
    send_text(c, &b, out);
}

static void twilio_hang_up(struct caller *c, struct caller_output *out)
{
    uint8_t store[MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    twilio_caller_stop(&c->twilio.stream, &b);
    send_text(c, &b, out);
    send_close(c, WS_CLOSE_NORMAL, out);
}

static void twilio_raw(struct caller *c, struct slice bytes, struct caller_output *out)
{
    send_bytes(c, WS_OP_TEXT, bytes, out);
}

/* ---- what comes in ---- */

static void take_media(struct caller *c, struct slice code)
{
    int16_t pcm[CALLER_HEARD_MAX];

    for (size_t at = 0; at < code.len; at += CALLER_HEARD_MAX) {
        size_t n = code.len - at < CALLER_HEARD_MAX ? code.len - at : CALLER_HEARD_MAX;
        g711_mulaw_decode(pcm, code.at + at, n);
        caller_heard(c, pcm, n);
    }
}

static void take_clear(struct caller *c)
{
    ear_advance(&c->ear, caller_time(c));
    ear_clear(&c->ear);
    c->clears++;
}

static void take_message(struct caller *c, struct slice text, struct caller_output *out)
{
    uint8_t audio[PLAIN_BYTES_MAX];
    struct twilio_heard heard;

    twilio_caller_parse(&c->twilio.stream, text, audio, sizeof(audio), &heard);
    switch (heard.kind) {
    case TWILIO_HEARD_MEDIA:
        take_media(c, heard.audio);
        break;
    case TWILIO_HEARD_MARK:
        if (ear_mark(&c->ear, slice_str(heard.mark)) < 0)
            fail(c, WS_CLOSE_POLICY, "too many marks are waiting", out);
        break;
    case TWILIO_HEARD_CLEAR:
        take_clear(c);
        break;
    case TWILIO_HEARD_OTHER:
        c->twilio.others++;
        c->twilio.other = heard.what;
        break;
    case TWILIO_HEARD_BAD:
        fail(c, WS_CLOSE_POLICY, heard.what, out);
        break;
    }
}

static void take_event(struct caller *c, const struct ws_event *ev, struct caller_output *out)
{
    switch (ev->kind) {
    case WS_TEXT:
        take_message(c, ev->data, out);
        break;
    case WS_PING:
        send_bytes(c, WS_OP_PONG, ev->data, out);
        break;
    case WS_CLOSE:
        send_close(c, ev->code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : ev->code, out);
        if (ev->code == WS_CLOSE_NORMAL || ev->code == WS_CLOSE_GOING_AWAY ||
            ev->code == WS_CLOSE_NONE)
            caller_over(c, CALLER_END_THEIRS, "the far end hung up");
        else
            caller_over(c, CALLER_END_BROKEN, "the far end closed with an error code");
        break;
    case WS_BAD:
        fail(c, ev->code, ev->what, out);
        break;
    case WS_MORE:
    case WS_BINARY:
    case WS_PONG:
        break;
    }
}

static void take_frames(struct caller *c, struct slice in, struct caller_output *out)
{
    struct ws_event ev;

    /* ends: each round uses up input, or says WS_MORE when there is none */
    do {
        ws_decode(&c->twilio.ws, &in, &ev);
        take_event(c, &ev, out);
    } while (ev.kind != WS_MORE && c->state != CALLER_OVER);
}

static void send_start(struct caller *c, struct caller_output *out)
{
    uint8_t store[2 * MESSAGE_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    twilio_caller_connected(&b);
    send_text(c, &b, out);
    b = builder_of(store, sizeof(store));
    twilio_caller_start(&c->twilio.stream, &b);
    send_text(c, &b, out);
}

static void refused(struct caller *c, const char *what)
{
    c->http_status = c->twilio.head.status;
    caller_over(c, CALLER_END_REFUSED, what);
}

/* The answer to the upgrade; frames may follow it in the same read. */
static void take_answer(struct caller *c, struct slice in, struct caller_output *out)
{
    struct caller_twilio *t = &c->twilio;
    size_t room = sizeof(t->reply) - t->reply_len;
    size_t n = in.len < room ? in.len : room;
    const char *what = "";

    memcpy(t->reply + t->reply_len, in.at, n);
    t->reply_len += n;
    struct http_result got = http_response(&t->head, slice_of(t->reply, t->reply_len));
    if (got.outcome == HTTP_MORE && t->reply_len < sizeof(t->reply))
        return;
    if (got.outcome != HTTP_OK) {
        caller_over(c, CALLER_END_BROKEN, "the far end does not speak HTTP");
        return;
    }
    if (ws_check_response(&t->head, t->key, SLICE_NONE, &what) < 0) {
        refused(c, what);
        return;
    }
    t->upgraded = true;
    struct builder b = builder_of(t->stream_sid, sizeof(t->stream_sid));
    builder_printf(&b, "MZ%016llx%016llx", (unsigned long long)rand_u64(&c->rand),
                   (unsigned long long)rand_u64(&c->rand));
    twilio_caller_init(&t->stream, t->stream_sid, c->call_id, ACCOUNT, c->config.agent,
                       c->config.token);
    caller_up(c, c->now_ns);
    send_start(c, out);
    take_frames(c, slice_of(t->reply + got.used, t->reply_len - got.used), out);
    take_frames(c, slice_of(in.at + n, in.len - n), out);
}

static void twilio_input(struct caller *c, struct slice in, struct caller_output *out)
{
    if (c->twilio.upgraded)
        take_frames(c, in, out);
    else
        take_answer(c, in, out);
}

const struct caller_dialect caller_twilio = {
    .name = "twilio",
    .open = twilio_open,
    .input = twilio_input,
    .frame = twilio_frame,
    .digit = twilio_digit,
    .mark = twilio_mark,
    .hang_up = twilio_hang_up,
    .raw = twilio_raw,
};
