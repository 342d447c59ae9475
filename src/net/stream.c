#include "net/stream.h"

#include <errno.h>

/* A pointer cannot travel in a message: what belongs to a stream waits here, on its thread. */
static _Thread_local struct stream given[STREAMS_GIVEN_MAX];

void stream_init(struct stream *s, io_id id, struct tls *take)
{
    *s = (struct stream){.id = id, .tls = take, .ready = take == NULL};
}

static int send_ref(struct stream *s, struct actor *a, frame_ref take)
{
    struct io *io = shard_io(a->shard);

    if (take == FRAME_NONE)
        return -ENOBUFS; /* the pool is empty: a stream cannot leave a piece out */
    if (s->id == IO_NONE) {
        frame_put(shard_pool(a->shard), &take);
        return -ENOTCONN;
    }
    return io->ops->stream_send(io, s->id, take);
}

/* All that TLS has made, as one chain; FRAME_NONE when there is nothing, *full when the pool was
 * empty in the middle of it. */
static frame_ref take_all(struct stream *s, struct frame_pool *pool, bool *full)
{
    frame_ref first = FRAME_NONE, last = FRAME_NONE;
    uint8_t bytes[FRAME_DATA_BYTES];
    size_t n;

    *full = false;
    while ((n = tls_take(s->tls, bytes, sizeof(bytes)))) {
        frame_ref ref = frame_chain(pool, slice_of(bytes, n));
        if (ref == FRAME_NONE) {
            *full = true;
            break;
        }
        if (last == FRAME_NONE)
            first = ref;
        else
            frame_at(pool, last)->next = ref;
        last = ref;
    }
    return first;
}

static int flush(struct stream *s, struct actor *a)
{
    bool full;
    frame_ref all = take_all(s, shard_pool(a->shard), &full);
    int err = all == FRAME_NONE ? 0 : send_ref(s, a, all);

    return full ? -ENOBUFS : err;
}

int stream_begin(struct stream *s, struct actor *a)
{
    if (!s->tls)
        return 0;
    int err = tls_handshake(s->tls);
    int sent = flush(s, a);

    return err && err != -EAGAIN ? err : sent;
}

int stream_send(struct stream *s, struct actor *a, struct slice plain)
{
    if (!s->ready || s->id == IO_NONE)
        return -ENOTCONN;
    if (plain.len == 0)
        return 0;
    if (!s->tls)
        return send_ref(s, a, frame_chain(shard_pool(a->shard), plain));
    int err = tls_write(s->tls, plain);
    int sent = flush(s, a);

    return err ? err : sent;
}

int stream_send_frame(struct stream *s, struct actor *a, frame_ref take)
{
    struct frame_pool *pool = shard_pool(a->shard);
    int err = s->ready ? 0 : -ENOTCONN;

    if (!err && !s->tls)
        return send_ref(s, a, take);
    for (frame_ref at = take; at != FRAME_NONE && !err; at = frame_at(pool, at)->next)
        err = tls_write(s->tls, slice_of(frame_at(pool, at)->data, frame_at(pool, at)->len));
    frame_put(pool, &take);
    int sent = s->tls ? flush(s, a) : 0;
    return err ? err : sent;
}

int stream_feed(struct stream *s, struct actor *a, struct slice received)
{
    if (!s->tls) {
        s->fed = received;
        return 0;
    }
    int err = tls_feed(s->tls, received);
    if (!err && !s->ready) {
        err = tls_handshake(s->tls);
        s->ready = err == 0;
        int sent = flush(s, a);
        err = err == -EAGAIN ? sent : err ? err : sent;
    }
    return err;
}

int stream_next(struct stream *s, struct actor *a, void *room, size_t room_bytes,
                struct slice *plain)
{
    *plain = SLICE_NONE;
    if (!s->tls) {
        *plain = s->fed;
        s->fed = SLICE_NONE;
        return plain->len > 0;
    }
    if (!s->ready)
        return 0;
    int n = tls_read(s->tls, room, room_bytes);
    int sent = flush(s, a); /* reading may answer: key updates, alerts */
    if (n == -EAGAIN)
        return sent;
    if (n <= 0)
        return n ? n : -ECONNRESET;
    *plain = slice_of(room, (size_t)n);
    return 1;
}

uint32_t stream_waiting(const struct stream *s, struct actor *a)
{
    struct io *io = shard_io(a->shard);

    return s->id == IO_NONE ? 0 : io->ops->stream_queued(io, s->id);
}

void stream_close(struct stream *s, struct actor *a, bool flushing)
{
    if (s->tls && s->id != IO_NONE && flushing) {
        tls_close(s->tls);
        if (flush(s, a))
            flushing = false;
    }
    tls_free(&s->tls);
    s->ready = false;
    s->fed = SLICE_NONE;
    actor_io_close(a, &s->id, flushing);
}

void stream_gone(struct stream *s)
{
    s->id = IO_NONE;
    s->ready = false;
    s->fed = SLICE_NONE;
    tls_free(&s->tls);
}

int stream_give(struct stream *s, struct actor *from, struct actor *to)
{
    for (size_t i = 0; i < STREAMS_GIVEN_MAX && s->tls; i++) {
        if (given[i].id != IO_NONE)
            continue;
        given[i] = *s;
        s->tls = NULL;
    }
    if (s->tls)
        return -ENOBUFS;
    actor_io_give(from, to, s->id);
    stream_gone(s);
    return 0;
}

void stream_take(struct stream *s, io_id id)
{
    stream_init(s, id, NULL);
    for (size_t i = 0; i < STREAMS_GIVEN_MAX; i++) {
        if (given[i].id != id)
            continue;
        *s = given[i];
        given[i] = (struct stream){0};
        return;
    }
}

const char *stream_what(const struct stream *s)
{
    return s->tls ? tls_what(s->tls) : "the connection failed";
}
