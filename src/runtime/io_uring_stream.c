/* Byte streams on the ring: one multishot receive and at most one send in flight each. */
#include <errno.h>

#include "runtime/io_ring.h"

/* ---- what came while the user did not want it ---- */
static void hold(struct ring *r, struct slot *s, uint32_t number, uint32_t len)
{
    r->held[number] = (struct held){.len = len};
    if (s->held_last)
        r->held[s->held_last - 1].next = number + 1;
    else
        s->held_first = number + 1;
    s->held_last = number + 1;
    r->held_count++;
}

static struct slice unhold(struct ring *r, struct slot *s, uint32_t *number)
{
    *number = s->held_first - 1;
    s->held_first = r->held[*number].next;
    if (!s->held_first)
        s->held_last = 0;
    r->held_count--;
    return buffer_at(r, *number, r->held[*number].len);
}

void stream_forget_held(struct ring *r, struct slot *s)
{
    uint32_t number;

    while (s->held_first) {
        unhold(r, s, &number);
        buffer_put(r, number);
    }
}

static void data_deliver(struct ring *r, struct slot *s, struct slice data)
{
    slot_deliver(&r->core, s,
                 (struct io_event){.kind = IO_DATA, .len = (uint32_t)data.len, .data = data});
}

/* Delivers what was held, in order. `always`: in spite of a pause, for lack of memory. */
static void held_deliver(struct ring *r, struct slot *s, bool always)
{
    uint32_t serial = s->serial, number;

    while (s->held_first && slot_is(s, serial) && (always || !s->paused)) {
        struct slice data = unhold(r, s, &number);
        data_deliver(r, s, data);
        buffer_put(r, number);
    }
}

/* ---- ends ---- */
/* The user learns that it is over; what is queued still goes out if the peer ended in order. */
static void stream_over(struct ring *r, struct slot *s, int err)
{
    struct io_core *core = &r->core;
    enum io_event_kind kind = s->up ? IO_CLOSED : IO_CONNECTED;

    slot_kill(core, s);
    s->eof = true;
    stream_forget_held(r, s);
    slot_deliver(core, s, (struct io_event){.kind = kind, .err = err});
    if (!err && s->send_frames)
        flush_begin(core, s);
    else if (!s->sending)
        queue_drop(core, s);
    slot_todo(core, s);
}

/* The peer's end, or an error of reading. */
static void stream_ended(struct ring *r, struct slot *s, int err)
{
    if (s->dead) {
        s->eof = true;
        if (err)
            flush_end(&r->core, s); /* nobody is left to flush to */
    } else if (s->held_first || s->paused) {
        s->ended = true;
        s->err = err;
    } else {
        stream_over(r, s, err);
    }
}

/* ---- completions ---- */
void stream_received(struct ring *r, struct slot *s, int res, uint32_t flags)
{
    uint32_t number = flags >> IORING_CQE_BUFFER_SHIFT;
    bool has = (flags & IORING_CQE_F_BUFFER) != 0;

    if (has && res > 0 && !s->dead && (s->paused || s->held_first)) {
        hold(r, s, number, (uint32_t)res);
        /* A stream that is not read must not use up the memory of all others. */
        if (r->held_count > r->buffers_out / 2 && r->buffers_out < r->buffer_count)
            buffers_add(r, r->buffers_out);
        else if (r->held_count > r->buffers_out / 2)
            held_deliver(r, s, true);
        return;
    }
    if (has && res > 0 && !s->dead)
        data_deliver(r, s, buffer_at(r, number, (uint32_t)res));
    if (has)
        buffer_put(r, number);
    if (res == -ENOBUFS)
        buffers_short(r);
    else if (res == 0 || (res < 0 && res != -ECANCELED && res != -EAGAIN && res != -EINTR))
        stream_ended(r, s, -res);
}

void stream_sent(struct ring *r, struct slot *s, int res)
{
    s->sending = s->asked_cancel = false;
    slot_todo(&r->core, s);
    if (res >= 0) {
        queue_taken(&r->core, s, (size_t)res);
        if (!s->send_frames && !s->dead)
            slot_deliver(&r->core, s, (struct io_event){.kind = IO_SENT});
    } else if (s->dead) {
        flush_end(&r->core, s);
    } else if (res != -EAGAIN && res != -EINTR && res != -ENOBUFS) {
        stream_over(r, s, -res);
    }
}

void stream_connected(struct ring *r, struct slot *s, int res)
{
    s->asked = s->asked_cancel = false;
    s->up = res == 0;
    slot_todo(&r->core, s);
    if (res == 0 && !s->dead)
        slot_deliver(&r->core, s, (struct io_event){.kind = IO_CONNECTED});
    else if (res && s->dead)
        flush_end(&r->core, s);
    else if (res)
        stream_over(r, s, -res);
}

/* ---- submissions ---- */
static void stream_send_next(struct ring *r, struct slot *s)
{
    struct scratch *scratch = ring_scratch(r);
    struct io_uring_sqe *sqe = scratch ? ring_sqe(r) : NULL;
    uint32_t count;

    if (!sqe) {
        slot_todo(&r->core, s);
        return;
    }
    count = queue_pieces(&r->core, s, scratch->pieces, IO_IOV_MAX);
    if (count == 1) {
        io_uring_prep_send(sqe, s->fd, scratch->pieces[0].iov_base, scratch->pieces[0].iov_len,
                           MSG_NOSIGNAL);
        r->scratch_used--;
    } else {
        scratch->msg = (struct msghdr){.msg_iov = scratch->pieces, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, s->fd, &scratch->msg, MSG_NOSIGNAL);
    }
    ring_aim(r, s, sqe, OP_SEND);
    s->sending = true;
}

static void stream_connect(struct ring *r, struct slot *s)
{
    struct scratch *scratch = ring_scratch(r);
    struct io_uring_sqe *sqe = scratch ? ring_sqe(r) : NULL;
    socklen_t len;

    if (!sqe) {
        slot_todo(&r->core, s);
        return;
    }
    len = address_to_sockaddr(&s->peer, &scratch->name);
    io_uring_prep_connect(sqe, s->fd, (struct sockaddr *)&scratch->name, len);
    ring_aim(r, s, sqe, OP_CONNECT);
    s->asked = true;
}

/* Closed by its user, while what was queued goes out. True while that is not finished. */
static bool stream_flushes(struct ring *r, struct slot *s)
{
    if (!s->flush)
        return false;
    if (!s->up || s->send_frames) {
        if (s->up && !s->sending)
            stream_send_next(r, s);
        else if (!s->up && !s->asked)
            stream_connect(r, s);
        return true;
    }
    /* Our end is closed and theirs read to its end: closing over unread data would reset the
     * connection and could destroy what was just sent. */
    if (!s->shut)
        shutdown(s->fd, SHUT_WR);
    s->shut = true;
    if (!s->eof)
        receive_want(r, s, RECEIVE_PLAIN);
    return !s->eof;
}

/* Brings the ring in line with what is wanted of a stream. */
void stream_step(struct ring *r, struct slot *s)
{
    uint32_t serial = s->serial;

    if (s->dead) {
        if (!stream_flushes(r, s))
            slot_die(r, s);
        return;
    }
    if (!s->up) {
        if (!s->asked)
            stream_connect(r, s);
        return;
    }
    held_deliver(r, s, false);
    if (!slot_is(s, serial))
        return;
    if (s->ended && !s->held_first && !s->paused) {
        stream_over(r, s, s->err);
        return;
    }
    if (s->send_frames && !s->sending)
        stream_send_next(r, s);
    if (!s->ended)
        receive_want(r, s, s->paused ? RECEIVE_OFF : RECEIVE_PLAIN);
}
