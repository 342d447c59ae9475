/* One byte stream of an actor, plain or under TLS, so that what is spoken on it need not know
 * which. Embedded in whoever owns the socket (door, leg, WebSocket client), on its shard; the io
 * handle is counted in the actor's ledger. It opens nothing by itself and waits for nothing.
 *
 *     MSG_DATA ──▶ stream_feed ──▶ stream_next ──▶ plain bytes, until 0
 *     plain bytes ──▶ stream_send ──▶ io */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "net/tls.h"
#include "runtime/shard.h"

#define STREAMS_GIVEN_MAX 256 /* on their way from one actor to another, of one shard */

struct stream {
    io_id id;        /* IO_NONE: there is none (any more) */
    struct tls *tls; /* NULL: plain */
    bool ready;      /* plain, or the handshake is done */
    struct slice fed;
};

/* Takes the handle, and `tls` (NULL: plain). A client then calls stream_begin() once the stream is
 * connected; a server waits for the peer. */
void stream_init(struct stream *s, io_id id, struct tls *take);
/* Sends what begins a client's handshake. 0 or -errno. */
MUST_USE int stream_begin(struct stream *s, struct actor *a);
/* Plain bytes out. 0, -ENOBUFS: the peer does not read (nothing more can be sent on it), -ENOTCONN
 * before it is ready, -EPROTO. */
MUST_USE int stream_send(struct stream *s, struct actor *a, struct slice plain);
/* The same with a chain of frames, taken: on a plain stream it is not copied. */
MUST_USE int stream_send_frame(struct stream *s, struct actor *a, frame_ref take);
/* What the MSG_DATA in hand brought. 0 or -errno. */
MUST_USE int stream_feed(struct stream *s, struct actor *a, struct slice received);
/* The next plain bytes: 1 and *plain, which may be written to and lives until the next call or the
 * handler's end; 0: there are no more for now. -ECONNRESET: the peer ended TLS; -EACCES, -EPROTO:
 * stream_what() says why. `room`: for decrypted bytes, TLS_RECORD_BYTES are best. */
MUST_USE int stream_next(struct stream *s, struct actor *a, void *room, size_t room_bytes,
                         struct slice *plain);
/* Frames queued on it. */
uint32_t stream_waiting(const struct stream *s, struct actor *a);
/* Ends it; what is queued still goes out when `flush`. Harmless twice. */
void stream_close(struct stream *s, struct actor *a, bool flush);
/* The io says that it is over (MSG_CLOSED, or MSG_CONNECTED with an error): the handle is dead. */
void stream_gone(struct stream *s);
/* Gives it to another actor of the shard, which calls stream_take() with the io id before the next
 * wait; what it needs beside waits here meanwhile. 0, or -ENOBUFS when too many are on the way. */
MUST_USE int stream_give(struct stream *s, struct actor *from, struct actor *to);
void stream_take(struct stream *s, io_id id);
const char *stream_what(const struct stream *s);

#endif
