/* The WebSocket protocol (RFC 6455) for both roles, without extensions: handshake, frames, and no
 * I/O at all. A `struct ws` is embedded in the actor that owns the socket and lives on its shard;
 * the owner feeds it what it received and sends what it is told to. It never allocates: the one
 * buffer it needs is given at ws_init and bounds the messages.
 *
 *     socket bytes ──▶ ws_decode ──▶ WS_TEXT | WS_BINARY | WS_PING | WS_PONG | WS_CLOSE | WS_BAD
 *     payload ──▶ ws_encode / ws_seal ──▶ socket bytes
 *
 * The events depend on the bytes alone, never on how they were cut into reads. A frame that lies
 * whole in the input is unmasked where it lies and handed out from there; only what spans reads or
 * frames is gathered in the buffer. */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include "base/bytes.h"
#include "base/utf8.h"

/* ---- close codes (RFC 6455 section 7.4.1) ---- */
#define WS_CLOSE_NORMAL       1000
#define WS_CLOSE_GOING_AWAY   1001
#define WS_CLOSE_PROTOCOL     1002 /* a rule of RFC 6455 was broken */
#define WS_CLOSE_TYPE         1003 /* text or binary, and we take only the other */
#define WS_CLOSE_NONE         1005 /* never on the wire: the close frame had no code */
#define WS_CLOSE_ABNORMAL     1006 /* never on the wire: the socket ended without a close frame */
#define WS_CLOSE_BAD_TEXT     1007 /* text that is not UTF-8 */
#define WS_CLOSE_POLICY       1008
#define WS_CLOSE_TOO_BIG      1009
#define WS_CLOSE_SERVER_ERROR 1011
#define WS_CLOSE_RESTART      1012
#define WS_CLOSE_TRY_LATER    1013

#define WS_CONTROL_MAX     125 /* payload of ping, pong and close */
#define WS_FRAME_HEAD_MAX  14
#define WS_KEY_CHARS       24 /* base64 of 16 bytes */
#define WS_ACCEPT_CHARS    28 /* base64 of a SHA-1 */
#define WS_PROTOCOL_HEADER "Sec-WebSocket-Protocol"

enum ws_role { WS_SERVER, WS_CLIENT }; /* which end we are: a client masks, a server must not */

enum ws_opcode {
    WS_OP_MORE = 0, /* continuation */
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10,
};

/* Which messages the owner understands; others are refused with 1003. */
#define WS_TAKES_TEXT   1u
#define WS_TAKES_BINARY 2u
#define WS_TAKES_BOTH   3u

enum ws_event_kind {
    WS_MORE,   /* all input is used up, and nothing is complete */
    WS_TEXT,   /* data: a whole message, valid UTF-8 */
    WS_BINARY, /* data: a whole message */
    WS_PING,   /* data: answer with a pong of the same bytes, at once */
    WS_PONG,   /* data: what our ping carried */
    WS_CLOSE,  /* the peer closes: code (WS_CLOSE_NONE if it gave none), data: its reason in UTF-8.
                  Answer with a close of the same code if we have not sent one; then end the socket
                */
    WS_BAD,    /* the peer broke the protocol: send a close with `code`, then end the socket */
};

struct ws_event {
    enum ws_event_kind kind;
    uint16_t code;
    const char *what;  /* WS_BAD: a literal for the log */
    struct slice data; /* valid until the next ws_decode of this socket or reuse of the input */
};

struct ws {
    enum ws_role role;
    uint8_t takes;
    bool done; /* WS_CLOSE or WS_BAD was given: further input is swallowed */
    bool in_frame;
    /* the frame being received */
    uint8_t head[WS_FRAME_HEAD_MAX];
    uint8_t head_len;
    uint8_t opcode;
    bool last; /* FIN */
    uint8_t mask[4];
    uint8_t mask_at;
    uint64_t left; /* payload bytes still to come */
    /* the message being put together */
    uint8_t message; /* its opcode, 0 for none */
    struct utf8 utf8;
    uint8_t *buffer;
    size_t size;
    size_t len;
    /* a control frame may come between the fragments of a message, so it has its own room */
    uint8_t control[WS_CONTROL_MAX];
    uint8_t control_len;
};

/* `buffer` stays the owner's, alive as long as `w` or as ws_wants_buffer() says; its size is the
 * largest message taken, beyond it 1009. `takes`: WS_TAKES_*. */
void ws_init(struct ws *w, enum ws_role role, uint8_t takes, void *buffer, size_t size);

/* Whether ws_decode() of this input will put anything into the buffer: not while whole frames come,
 * as nearly all do. An owner that answers with memory (`w->buffer`, of the size told at ws_init)
 * may begin with none, and take it away again while ws_gathers() says no. */
bool ws_wants_buffer(const struct ws *w, struct slice in);
bool ws_gathers(const struct ws *w);
/* The next event out of *in, which is moved past the bytes used. Call until WS_MORE, when *in is
 * empty. The input must lie in memory that may be written (a receive buffer): masked frames are
 * unmasked in place. After WS_CLOSE or WS_BAD only WS_MORE follows. */
void ws_decode(struct ws *w, struct slice *in, struct ws_event *ev);

/* Appends one whole frame. `mask_key` (client role; ignored for a server) must not be predictable:
 * draw it anew for every frame. Control payloads beyond 125 bytes set b->bad. */
void ws_encode(struct builder *b, enum ws_role role, enum ws_opcode op, struct slice payload,
               uint32_t mask_key);
/* Appends a close frame; `reason` is cut to fit, at a character. Code WS_CLOSE_NONE: an empty
 * close frame. */
void ws_encode_close(struct builder *b, enum ws_role role, uint16_t code, struct slice reason,
                     uint32_t mask_key);
/* Makes a payload that was composed at `at` a frame without copying it: the WS_FRAME_HEAD_MAX bytes
 * before it must be the caller's to write. Returns the frame, which ends where the payload ends. */
struct slice ws_seal(uint8_t *at, size_t len, enum ws_role role, enum ws_opcode op,
                     uint32_t mask_key);

/* dst[i] = src[i] ^ mask[(phase + i) % 4]; dst may be src. (RFC 6455 section 5.3) */
void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase);

/* ---- handshake (RFC 6455 section 4) ---- */
struct http_head;

/* A client's Sec-WebSocket-Key from 16 random bytes, with a final NUL. */
void ws_key(const uint8_t random[16], char out[WS_KEY_CHARS + 1]);
/* The server's Sec-WebSocket-Accept to that key, with a final NUL. */
void ws_accept(struct slice key, char out[WS_ACCEPT_CHARS + 1]);
/* "101 Switching Protocols"; `protocol` is the chosen subprotocol or empty. */
void ws_build_101(struct builder *b, struct slice key, struct slice protocol);
/* The upgrade request of a client. `host` with the port unless it is the scheme's own; `target`
 * begins with '/'; `head` is further header lines, each ended by CR LF, or empty. Sets b->bad if
 * host or target hold characters that do not belong there. */
void ws_build_request(struct builder *b, struct slice host, struct slice target, const char *key,
                      struct slice head);
/* Did the server accept the upgrade asked for with `key`? `protocols`: the list we offered, or
 * empty. 0, or -EPROTO and *what says why (a status other than 101 included). */
MUST_USE int ws_check_response(const struct http_head *head, const char *key,
                               struct slice protocols, const char **what);

#endif
