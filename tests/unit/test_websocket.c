#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "net/http_head.h"
#include "net/websocket.h"

#define LIMIT 1000

/* What a decoder said about a stream, as text: one line per event. */
struct story {
    char text[65536];
    size_t len;
    uint16_t bad;
};

static void story_add(struct story *s, const struct ws_event *ev)
{
    static const char *const names[] = {"more", "text", "binary", "ping", "pong", "close", "bad"};
    int n = snprintf(s->text + s->len, sizeof(s->text) - s->len, "%s %u %zu ", names[ev->kind],
                     ev->code, ev->data.len);

    s->len += (size_t)n;
    assert_true(s->len + ev->data.len + 1 < sizeof(s->text));
    if (ev->data.len)
        memcpy(s->text + s->len, ev->data.at, ev->data.len);
    s->len += ev->data.len;
    s->text[s->len++] = '\n';
    if (ev->kind == WS_BAD)
        s->bad = ev->code;
}

/* Feeds copies of exact size, so that a sanitizer sees every byte read too far; with a buffer only
 * where one is wanted. */
static void feed(struct ws *w, struct slice bytes, struct story *s)
{
    static uint8_t buffer[LIMIT];
    uint8_t *copy = calloc(1, bytes.len ? bytes.len : 1);
    struct slice in = slice_of(copy, bytes.len);
    struct ws_event ev;

    assert_non_null(copy);
    if (bytes.len)
        memcpy(copy, bytes.at, bytes.len);
    w->buffer = ws_wants_buffer(w, in) ? buffer : NULL;
    for (;;) {
        ws_decode(w, &in, &ev);
        if (ev.kind == WS_MORE)
            break;
        story_add(s, &ev);
    }
    assert_int_equal(in.len, 0);
    free(copy);
}

/* The stream whole, cut in two at every byte, and byte by byte: always the same story. */
static void tell(enum ws_role role, uint8_t takes, struct slice bytes, struct story *whole)
{
    static struct story other;
    struct ws w;

    memset(whole, 0, sizeof(*whole));
    ws_init(&w, role, takes, NULL, LIMIT);
    feed(&w, bytes, whole);
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        other.len = 0;
        ws_init(&w, role, takes, NULL, LIMIT);
        feed(&w, slice_of(bytes.at, cut), &other);
        feed(&w, slice_of(bytes.at + cut, bytes.len - cut), &other);
        assert_int_equal(other.len, whole->len);
        assert_memory_equal(other.text, whole->text, whole->len);
    }
    other.len = 0;
    ws_init(&w, role, takes, NULL, LIMIT);
    for (size_t i = 0; i < bytes.len; i++)
        feed(&w, slice_of(bytes.at + i, 1), &other);
    assert_int_equal(other.len, whole->len);
    assert_memory_equal(other.text, whole->text, whole->len);
}

static struct story story;

static void expect(enum ws_role role, struct slice bytes, const char *text)
{
    tell(role, WS_TAKES_BOTH, bytes, &story);
    assert_int_equal(story.len, strlen(text));
    assert_memory_equal(story.text, text, story.len);
}

static void expect_bad(enum ws_role role, struct slice bytes, uint16_t code)
{
    tell(role, WS_TAKES_BOTH, bytes, &story);
    assert_int_equal(story.bad, code);
}

/* The examples of RFC 6455 section 5.7. */
static void rfc_examples(void **state)
{
    (void)state;
    expect(WS_CLIENT, SLICE("\x81\x05Hello"), "text 0 5 Hello\n");
    expect(WS_SERVER, SLICE("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "text 0 5 Hello\n");
    expect(WS_CLIENT, SLICE("\x01\x03Hel\x80\x02lo"), "text 0 5 Hello\n");
    expect(WS_CLIENT, SLICE("\x89\x05Hello"), "ping 0 5 Hello\n");
    expect(WS_SERVER, SLICE("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong 0 5 Hello\n");
    expect(WS_CLIENT, SLICE("\x82\x00\x81\x00"), "binary 0 0 \ntext 0 0 \n");
    expect(WS_CLIENT, SLICE("\x01\x03Hel\x89\x01!\x80\x02lo\x81\x01x"),
           "ping 0 1 !\ntext 0 5 Hello\ntext 0 1 x\n");
    expect(WS_CLIENT, SLICE("\x01\x01\xE2\x00\x02\x82\xAC\x80\x00"), "text 0 3 \xE2\x82\xAC\n");
}

static void close_frames(void **state)
{
    (void)state;
    expect(WS_CLIENT, SLICE("\x88\x00\x81\x01x"), "close 1005 0 \n");
    expect(WS_CLIENT, SLICE("\x88\x02\x03\xE8"), "close 1000 0 \n");
    expect(WS_CLIENT,
           SLICE("\x88\x05\x0F\xA0"
                 "bye"),
           "close 4000 3 bye\n");
    expect_bad(WS_CLIENT, SLICE("\x88\x01\x03"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x88\x03\x03\xE8\xFF"), 1007);
    expect_bad(WS_CLIENT, SLICE("\x88\x04\x03\xE8\xE2\x82"), 1007);
}

static void close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 0xFFFF; code++) {
        uint8_t frame[] = {0x88, 0x02, (uint8_t)(code >> 8), (uint8_t)code};
        struct slice in = slice_of(frame, sizeof(frame));
        struct ws_event ev;
        struct ws w;
        bool named = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
        bool valid = named || (code >= 3000 && code <= 4999);
        ws_init(&w, WS_CLIENT, WS_TAKES_BOTH, NULL, 0);
        ws_decode(&w, &in, &ev);
        assert_int_equal(ev.kind, valid ? WS_CLOSE : WS_BAD);
        assert_int_equal(ev.code, valid ? code : WS_CLOSE_PROTOCOL);
    }
}

static void hostile(void **state)
{
    (void)state;
    expect_bad(WS_SERVER, SLICE("\x81\x05Hello"), 1002);                        /* unmasked */
    expect_bad(WS_CLIENT, SLICE("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d"), 1002); /* masked */
    expect_bad(WS_CLIENT, SLICE("\xC1\x01x"), 1002); /* deflate bomb's RSV1 */
    expect_bad(WS_CLIENT, SLICE("\xA1\x01x"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x91\x01x"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x83\x01x"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x8B\x01x"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x8F\x00"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x09\x01x"), 1002);          /* fragmented ping */
    expect_bad(WS_CLIENT, SLICE("\x89\x7E\x00\x7E"), 1002);   /* ping of 126 */
    expect_bad(WS_CLIENT, SLICE("\x88\x7E\x00\x7E"), 1002);   /* close of 126 */
    expect_bad(WS_CLIENT, SLICE("\x80\x01x"), 1002);          /* continues nothing */
    expect_bad(WS_CLIENT, SLICE("\x01\x01x\x81\x01y"), 1002); /* message in message */
    expect_bad(WS_CLIENT, SLICE("\x01\x01x\x80\x01y\x80\x01z"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x82\x7E\x00\x7D"), 1002); /* not shortest */
    expect_bad(WS_CLIENT, SLICE("\x82\x7F\0\0\0\0\0\0\xFF\xFF"), 1002);
    expect_bad(WS_CLIENT, SLICE("\x82\x7F\x80\0\0\0\0\0\0\0"), 1002); /* top bit */
    expect_bad(WS_CLIENT, SLICE("\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), 1009);
    expect_bad(WS_CLIENT, SLICE("\x81\x02\xC0\x80"), 1007);
    expect_bad(WS_CLIENT, SLICE("\x81\x02\xE2\x82"), 1007);     /* ends inside */
    expect_bad(WS_CLIENT, SLICE("\x81\x7E\x01\x00\xFF"), 1007); /* refused before its end */
    expect_bad(WS_CLIENT, SLICE("\x01\x01\xE2\x80\x01\x20"), 1007);
    tell(WS_CLIENT, WS_TAKES_TEXT, SLICE("\x82\x01x"), &story);
    assert_int_equal(story.bad, 1003);
    tell(WS_CLIENT, WS_TAKES_BINARY, SLICE("\x81\x01x"), &story);
    assert_int_equal(story.bad, 1003);
}

/* After the first fault nothing comes any more, whatever is sent. */
static void silent_after_fault(void **state)
{
    (void)state;
    expect(WS_CLIENT, SLICE("\x81\x01x\x83\x00\x81\x01y\x88\x00"), "text 0 1 x\nbad 1002 0 \n");
}

static void truncated(void **state)
{
    (void)state;
    expect(WS_CLIENT, SLICE(""), "");
    expect(WS_CLIENT, SLICE("\x81"), "");
    expect(WS_CLIENT, SLICE("\x81\x7E\x01"), "");
    expect(WS_CLIENT, SLICE("\x81\x05Hell"), "");
}

static void sizes(void **state)
{
    static const size_t lens[] = {0, 1, 7, 125, 126, 127, 255, LIMIT - 1, LIMIT};
    static uint8_t payload[LIMIT + 1], wire[LIMIT + 64];
    struct rand r = {3};

    (void)state;
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)('a' + rand_below(&r, 26));
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        for (int role = 0; role < 2; role++) {
            struct builder b = builder_of(wire, sizeof(wire));
            enum ws_role sender = role ? WS_CLIENT : WS_SERVER;
            enum ws_role taker = role ? WS_SERVER : WS_CLIENT;
            ws_encode(&b, sender, WS_OP_TEXT, slice_of(payload, lens[i]), 0x12345678);
            assert_false(b.bad);
            tell(taker, WS_TAKES_BOTH, builder_slice(&b), &story);
            assert_int_equal(story.bad, 0);
            assert_memory_equal(story.text + story.len - 1 - lens[i], payload, lens[i]);
        }
    }
    struct builder b = builder_of(wire, sizeof(wire));
    ws_encode(&b, WS_SERVER, WS_OP_TEXT, slice_of(payload, LIMIT + 1), 0);
    expect_bad(WS_CLIENT, builder_slice(&b), 1009);
}

/* The limit holds for the message, not for each of its fragments. */
static void fragment_bomb(void **state)
{
    static uint8_t wire[3 * (LIMIT + 64)];
    struct builder b = builder_of(wire, sizeof(wire));

    (void)state;
    builder_str(&b, "\x02\x01x");
    for (size_t i = 0; i < LIMIT; i++) {
        builder_u8(&b, 0);
        builder_str(&b, "\x01x");
    }
    struct ws w;
    uint8_t buffer[LIMIT];
    memset(&story, 0, sizeof(story));
    ws_init(&w, WS_CLIENT, WS_TAKES_BOTH, buffer, sizeof(buffer));
    feed(&w, slice_of(wire, b.len - 3), &story);
    assert_int_equal(story.len, 0);
    feed(&w, slice_of(wire + b.len - 3, 3), &story);
    assert_int_equal(story.bad, 1009);
}

/* Random streams of legal frames: what went in comes out, however it is cut. */
static void round_trips(void **state)
{
    static uint8_t wire[4096], payload[400];
    struct rand r = {11};

    (void)state;
    for (int round = 0; round < 60; round++) {
        struct builder b = builder_of(wire, sizeof(wire));
        for (int i = 0; i < 4; i++) {
            size_t len = rand_below(&r, 300);
            for (size_t k = 0; k < len; k++)
                payload[k] = (uint8_t)rand_u64(&r);
            ws_encode(&b, WS_CLIENT, WS_OP_BINARY, slice_of(payload, len), (uint32_t)rand_u64(&r));
            ws_encode(&b, WS_CLIENT, WS_OP_PING, slice_of(payload, len % 126), 77);
        }
        assert_false(b.bad);
        tell(WS_SERVER, WS_TAKES_BOTH, builder_slice(&b), &story);
        assert_int_equal(story.bad, 0);
    }
}

static void mask_matches_bytewise(void **state)
{
    uint8_t from[100], to[100], mask[4] = {1, 0x20, 0xFF, 0x80};

    (void)state;
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 37);
    for (size_t phase = 0; phase < 4; phase++) {
        for (size_t len = 0; len <= sizeof(from); len++) {
            ws_mask(to, from, len, mask, phase);
            for (size_t i = 0; i < len; i++)
                assert_int_equal(to[i], from[i] ^ mask[(i + phase) % 4]);
        }
    }
}

static void whole_frames_stay_in_the_input(void **state)
{
    uint8_t wire[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    struct slice in = slice_of(wire, sizeof(wire) - 1);
    uint8_t buffer[8] = {0};
    struct ws_event ev;
    struct ws w;

    (void)state;
    ws_init(&w, WS_SERVER, WS_TAKES_TEXT, buffer, sizeof(buffer));
    ws_decode(&w, &in, &ev);
    assert_int_equal(ev.kind, WS_TEXT);
    assert_ptr_equal(ev.data.at, wire + 6);
    assert_int_equal(buffer[0], 0);
}

/* As nearly all messages come: then no memory is needed. */
static void whole_frames_want_no_buffer(void **state)
{
    struct ws w;

    (void)state;
    ws_init(&w, WS_CLIENT, WS_TAKES_BOTH, NULL, LIMIT);
    assert_false(ws_wants_buffer(&w, SLICE_NONE));
    assert_false(ws_wants_buffer(&w, SLICE("\x81\x05Hello\x82\x01!\x89\x00")));
    assert_true(ws_wants_buffer(&w, SLICE("\x81\x05Hello\x82\x01")));
    assert_true(ws_wants_buffer(&w, SLICE("\x81\x05Hello\x82")));
    assert_true(ws_wants_buffer(&w, SLICE("\x01\x05Hello")));
    assert_true(ws_wants_buffer(&w, SLICE("\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFHello")));
    assert_false(ws_gathers(&w));
}

static void encodes(void **state)
{
    uint8_t wire[300], room[WS_FRAME_HEAD_MAX + 200];
    struct builder b = builder_of(wire, sizeof(wire));

    (void)state;
    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, SLICE("Hello"), 0x37fa213d);
    assert_true(
        slice_equal(builder_slice(&b), SLICE("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")));
    memset(room, 'x', sizeof(room));
    for (int role = 0; role < 2; role++) {
        enum ws_role as = role ? WS_CLIENT : WS_SERVER;
        b = builder_of(wire, sizeof(wire));
        memset(room + WS_FRAME_HEAD_MAX, 'x', 200);
        ws_encode(&b, as, WS_OP_TEXT, slice_of(room + WS_FRAME_HEAD_MAX, 200), 99);
        assert_true(slice_equal(ws_seal(room + WS_FRAME_HEAD_MAX, 200, as, WS_OP_TEXT, 99),
                                builder_slice(&b)));
    }
    b = builder_of(wire, sizeof(wire));
    ws_encode(&b, WS_SERVER, WS_OP_PING, slice_of(room, 126), 0);
    assert_true(b.bad);
    b = builder_of(wire, 6);
    ws_encode(&b, WS_SERVER, WS_OP_TEXT, SLICE("Hello"), 0);
    assert_true(b.bad);
    b = builder_of(wire, sizeof(wire));
    char reason[131] = {0};
    memset(reason, 'r', 122);
    memcpy(reason + 122, "\xE2\x82\xAC", 3);
    ws_encode_close(&b, WS_SERVER, WS_CLOSE_POLICY, slice_str(reason), 0);
    assert_int_equal(b.len, 2 + 2 + 122); /* the character that would be cut is left out */
    b = builder_of(wire, sizeof(wire));
    ws_encode_close(&b, WS_SERVER, WS_CLOSE_NONE, SLICE_NONE, 0);
    assert_true(slice_equal(builder_slice(&b), SLICE("\x88\0")));
}

/* ---- handshake ---- */

static const char *check(const char *answer, const char *protocols)
{
    struct http_head head = {0};
    const char *what;
    struct http_result r = http_response(&head, slice_str(answer));

    assert_int_equal(r.outcome, HTTP_OK);
    int err = ws_check_response(&head, "dGhlIHNhbXBsZSBub25jZQ==", slice_str(protocols), &what);
    return err ? what : NULL;
}

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static void handshake(void **state)
{
    const uint8_t random[] = "the sample nonce";
    char key[WS_KEY_CHARS + 1], accept[WS_ACCEPT_CHARS + 1];
    uint8_t text[512];
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    ws_key(random, key);
    assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
    ws_accept(slice_str(key), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

    ws_build_101(&b, slice_str(key), SLICE("media"));
    builder_u8(&b, 0);
    assert_null(check((char *)text, "audio, media"));
    assert_non_null(check((char *)text, "audio"));
    assert_null(check(SWITCH ACCEPT "\r\n", ""));
    assert_non_null(check(SWITCH "\r\n", ""));
    assert_non_null(check(SWITCH ACCEPT ACCEPT "\r\n", ""));
    assert_non_null(check(SWITCH "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n\r\n", ""));
    assert_non_null(check(SWITCH ACCEPT "Sec-WebSocket-Extensions: x\r\n\r\n", ""));
    assert_non_null(check("HTTP/1.1 200 OK\r\n" ACCEPT "\r\n", ""));
    assert_non_null(check("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", ""));
    assert_non_null(check("HTTP/1.1 101 Ok\r\nConnection: upgrade\r\n" ACCEPT "\r\n", ""));
    assert_non_null(check(
        "HTTP/1.0 101 Ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" ACCEPT "\r\n", ""));
}

static void request_is_what_the_server_takes(void **state)
{
    uint8_t text[512];
    struct builder b = builder_of(text, sizeof(text));
    struct http_head head = {0};
    struct http_upgrade up;
    const char *what;

    (void)state;
    ws_build_request(&b, SLICE("127.0.0.1:7860"), SLICE("/media/clinic?x=1"),
                     "dGhlIHNhbXBsZSBub25jZQ==", SLICE("Authorization: Bearer t\r\n"));
    assert_false(b.bad);
    struct http_result r = http_request(&head, builder_slice(&b));
    assert_int_equal(r.outcome, HTTP_OK);
    assert_true(http_wants_upgrade(&head));
    assert_int_equal(http_upgrade_check(&head, &up, &what), 0);
    assert_true(slice_equal(head.path, SLICE("/media/clinic")));
    b = builder_of(text, sizeof(text));
    ws_build_request(&b, SLICE("h\r\nX: y"), SLICE("/"), "k", SLICE_NONE);
    assert_true(b.bad);
    b = builder_of(text, sizeof(text));
    ws_build_request(&b, SLICE("h"), SLICE("x"), "k", SLICE_NONE);
    assert_true(b.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_examples),
        cmocka_unit_test(close_frames),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(hostile),
        cmocka_unit_test(silent_after_fault),
        cmocka_unit_test(truncated),
        cmocka_unit_test(sizes),
        cmocka_unit_test(fragment_bomb),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(mask_matches_bytewise),
        cmocka_unit_test(whole_frames_stay_in_the_input),
        cmocka_unit_test(whole_frames_want_no_buffer),
        cmocka_unit_test(encodes),
        cmocka_unit_test(handshake),
        cmocka_unit_test(request_is_what_the_server_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
