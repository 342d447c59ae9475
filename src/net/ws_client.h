/* One WebSocket connection as its client: from an address to messages, plain or under TLS, with the
 * upgrade, pings answered and sent, deadlines and a bounded queue. It lives in the actor that asked
 * for it, on its shard, and acts in its name: its socket and its timer are in that actor's ledger.
 * It resolves no name and never tries again: that is the owner's.
 *
 *   OFF ── open ──▶ CONNECTING ──▶ SECURING ──▶ UPGRADING ──▶ OPEN ── closed, dropped ──▶ OFF
 *                        └─────────────┴─────────────┴── failed: CLOSED ───────────────▶ OFF
 *
 * The owner gives it the messages that ws_client_takes() says are its, then reads events until
 * there are none. A client that was opened tells CLOSED exactly once, unless its owner dropped it.
 */
#ifndef NET_WS_CLIENT_H
#define NET_WS_CLIENT_H

#include "base/url.h"
#include "net/http_head.h"
#include "net/stream.h"
#include "net/websocket.h"

#define WS_CLIENT_CONNECT_NS    SECONDS(5) /* from open() to the upgrade's answer */
#define WS_CLIENT_PING_NS       SECONDS(20)
#define WS_CLIENT_PINGS_LOST    2
#define WS_CLIENT_MESSAGE_BYTES 262144 /* a message; beyond: closed with 1009 */
#define WS_CLIENT_SEND_BYTES    32768  /* a message to be sent; beyond: -EMSGSIZE */
#define WS_CLIENT_HEAD_BYTES    4096   /* of the owner's header lines; beyond: -EMSGSIZE */

enum ws_client_state {
    WS_CLIENT_OFF,
    WS_CLIENT_CONNECTING,
    WS_CLIENT_SECURING,
    WS_CLIENT_UPGRADING,
    WS_CLIENT_OPEN,
};

enum ws_client_event_kind { WS_CLIENT_OPENED, WS_CLIENT_MESSAGE, WS_CLIENT_CLOSED };

struct ws_client_event {
    enum ws_client_event_kind kind;
    bool text;
    struct slice data; /* MESSAGE: valid until the next ws_client_next() */
    /* CLOSED: the peer's close code, the HTTP status that answered the upgrade, or 0; a positive
     * errno, or 0 when the peer closed in order; and one clause. */
    int32_t status;
    int err;
    const char *what;
};

struct ws_client {
    struct actor *actor;
    struct stream stream;
    enum ws_client_state state;
    uint32_t timer_tag;
    struct actor_timer timer;
    uint32_t pings; /* without a pong */
    bool said_close;
    bool told;      /* OPENED was given */
    bool ended;     /* the end is known and not told yet */
    int32_t status; /* of the end */
    int err;
    char what[160];
    struct slice in; /* decrypted, not decoded yet */
    int64_t begun_ns;
    char key[WS_KEY_CHARS + 1];
    struct ws ws;
    struct http_head head;
    size_t request_len; /* what is to be sent once the stream is ready; then what came back */
    uint8_t request[WS_CLIENT_HEAD_BYTES + URL_TARGET_BYTES + 1024];
    size_t answer_len;
    uint8_t answer[HTTP_HEAD_BYTES_MAX + TLS_RECORD_BYTES];
    uint8_t plain[TLS_RECORD_BYTES];
    uint8_t out[WS_CLIENT_SEND_BYTES + WS_FRAME_HEAD_MAX];
    uint8_t message[WS_CLIENT_MESSAGE_BYTES];
};

/* About 350 KB of address space, of which a quiet connection touches a few pages. NULL without
 * memory. `timer_tag`: of its timer among the actor's. */
struct ws_client *ws_client_new(struct actor *a, uint32_t timer_tag);
/* Drops the connection at once, if there is one. Accepts NULL. */
void ws_client_free(struct ws_client **client);

/* Begins, from OFF. `head`: further header lines, each ended by CR LF. `context`: for wss. 0, or
 * -EINVAL, -EMSGSIZE, -ENOTSUP (wss without a context), or what io says; the state stays OFF. */
MUST_USE int ws_client_open(struct ws_client *c, const struct url *url, struct slice head,
                            const struct address *to, struct tls_context *context);
/* Is this message this client's? Then it has been taken in: read the events. */
bool ws_client_takes(struct ws_client *c, const struct msg *m);
/* The next event; false when there is none. */
bool ws_client_next(struct ws_client *c, struct ws_client_event *ev);
/* One message. 0, -ENOTCONN, -EMSGSIZE, or -ENOBUFS: the peer does not read, nothing was sent. */
MUST_USE int ws_client_send(struct ws_client *c, bool text, struct slice payload);
/* Frames queued towards the peer. */
uint32_t ws_client_waiting(const struct ws_client *c);
/* Stops and resumes reading. */
void ws_client_pause(struct ws_client *c, bool pause);
/* Says goodbye with this code and is rid of it: OFF at once, nothing is told any more. The close
 * frame and what is queued before it still go out. */
void ws_client_close(struct ws_client *c, uint16_t code);

#endif
