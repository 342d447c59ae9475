/* Who is asked instead of listened to. A multishot receive costs, for each packet, a wake on its
 * way in, a turn through the ring's task work, a second look that finds nothing, and a waiter that
 * each packet on its way out tries to wake as well. A call's packets come every 20 ms, so a socket
 * whose packets keep to the ticks of one beat is asked for one in those ticks, by a plain receive
 * that never waits:
 *
 *     listened to ── a beat is kept for BEAT_STEADY packets ──▶ asked, at its beat
 *          ▲                                                        │ nothing there: the next tick
 *          └── asked in vain BEAT_MISSES times, or BEAT_PACKETS ◀───┘ again
 *
 * A packet that comes late is heard at the next tick. One that comes beside the beat (another
 * protocol's on the same port, a burst) may be left behind by a receive that takes one only: after
 * one of another length, and after every BEAT_LOOK, a socket is asked once more; whoever has still
 * more keeps no beat and is listened to. Who sends faster or slower than this clock wanders through
 * the ticks: being late often moves the beat, and whoever comes earlier and earlier is found when
 * the socket is listened to again. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/io_ring.h"

#define BEAT_STEADY  50   /* packets in the ticks of a beat, or two next to each other */
#define BEAT_PACKETS 1500 /* heard by asking, before it is listened to for a moment */
#define BEAT_LOOK    32
#define BEAT_LATE    8 /* of these: the beat is one tick later */
#define BEAT_MISSES  3

/* In user_data, between operation and number. */
#define SERIAL_SHIFT 32
#define SERIAL_MASK  0x7FFFFFu
#define ONCE_MORE    (UINT64_C(1) << 55) /* nothing is expected: a vain one tells nothing */

static int list_new(struct asked_list *list, uint32_t most)
{
    list->at = calloc(most, sizeof(*list->at));
    list->most = most;
    return list->at ? 0 : -ENOMEM;
}

int beats_new(struct ring *r)
{
    int err = 0;

    r->beat = IO_NO_BEAT;
    for (uint32_t i = 0; !err && i < IO_BEATS; i++)
        err = list_new(&r->beats[i], r->core.slot_count);
    for (uint32_t i = 0; !err && i < ARRAY_LEN(r->later); i++)
        err = list_new(&r->later[i], r->core.slot_count);
    return err;
}

void beats_free(struct ring *r)
{
    for (uint32_t i = 0; i < IO_BEATS; i++)
        free(r->beats[i].at);
    for (uint32_t i = 0; i < ARRAY_LEN(r->later); i++)
        free(r->later[i].at);
}

/* ---- who is asked ---- */

bool beat_steady(const struct ring *r, const struct slot *s)
{
    return r->beat != IO_NO_BEAT && s->fixed && s->drained && s->beats >= BEAT_STEADY;
}

void beat_note(struct ring *r, struct slot *s)
{
    uint32_t ahead = (r->beat + IO_BEATS - s->beat) % IO_BEATS;
    bool second = s->beats && s->beat_tick == (uint8_t)r->tick;

    if (r->beat == IO_NO_BEAT)
        return;
    s->beat_tick = (uint8_t)r->tick;
    if (second) {
        s->beats = 0;
        return;
    }
    if (ahead == IO_BEATS - 1 && !s->beat_flag) {
        s->beat = (uint8_t)r->beat;
        s->beat_flag = true;
    } else if (ahead == 1) {
        s->beat_flag = true;
    } else if (ahead != 0) {
        s->beat = (uint8_t)r->beat;
        s->beat_flag = false;
        s->beats = 0;
    }
    s->beats++;
    if (beat_steady(r, s))
        slot_todo(&r->core, s);
}

/* To be listened to, at the next wait. */
static void beat_lost(struct ring *r, struct slot *s)
{
    s->beats = 0;
    slot_todo(&r->core, s);
}

static void list_add(struct ring *r, struct slot *s)
{
    struct asked_list *list = &r->beats[s->beat];

    s->beat_at = list->count;
    list->at[list->count++] = (struct asked){slot_number(&r->core, s), s->serial};
}

static void list_remove(struct ring *r, struct slot *s)
{
    struct asked_list *list = &r->beats[s->beat];
    struct asked last = list->at[--list->count];

    list->at[s->beat_at] = last;
    r->core.slots[last.number].beat_at = s->beat_at;
}

static uint8_t beat_after(uint8_t beat)
{
    return (uint8_t)((beat + 1) % IO_BEATS);
}

void beat_join(struct ring *r, struct slot *s)
{
    if (s->beat_flag) /* at the later of two ticks all of its packets are there */
        s->beat = beat_after(s->beat);
    s->beat_flag = false;
    s->beat_miss = s->beat_late = 0;
    s->receiving = RECEIVE_ASKED;
    list_add(r, s);
}

void beat_leave(struct ring *r, struct slot *s)
{
    list_remove(r, s);
    s->receiving = RECEIVE_OFF;
    s->beats = 0;
}

/* Where there is no room, its own beat comes again soon enough. */
static void ask_again(struct ring *r, const struct slot *s)
{
    struct asked_list *list = &r->later[0];

    if (list->count < list->most)
        list->at[list->count++] = (struct asked){slot_number(&r->core, s), s->serial};
}

/* ---- asking ---- */

static void ask(struct ring *r, struct asked who, uint64_t flags)
{
    struct io_uring_sqe *sqe = ring_sqe(r);

    if (!sqe)
        return;
    io_uring_prep_recv(sqe, (int)who.number, NULL, IO_BUFFER_BYTES, MSG_DONTWAIT);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
    sqe->buf_group = BUFFER_GROUP;
    /* The slot itself is not touched yet. Nothing can take its descriptor from the table before the
     * kernel has this, which is at the end of `woken`. */
    io_uring_sqe_set_data64(sqe, ring_data(OP_ASK, who.number) | flags |
                                     (uint64_t)(who.serial & SERIAL_MASK) << SERIAL_SHIFT);
}

static void ask_those_again(struct ring *r)
{
    struct asked_list now = r->later[0];

    r->later[0] = r->later[1];
    r->later[1] = now;
    r->later[1].count = 0;
    for (uint32_t i = 0; i < now.count; i++) {
        const struct slot *s = &r->core.slots[now.at[i].number];
        if (s->serial == now.at[i].serial && s->receiving == RECEIVE_ASKED)
            ask(r, now.at[i], s->beat_miss ? 0 : ONCE_MORE);
    }
}

static void listen_to_all(struct ring *r)
{
    for (uint32_t beat = 0; beat < IO_BEATS; beat++)
        for (uint32_t i = 0; i < r->beats[beat].count; i++)
            beat_lost(r, &r->core.slots[r->beats[beat].at[i].number]);
}

void uring_beat(struct io *io, uint32_t beat)
{
    struct ring *r = (struct ring *)io;

    r->beat = beat;
    r->tick++;
    if (beat == IO_NO_BEAT) {
        listen_to_all(r);
        return;
    }
    ask_those_again(r);
    for (uint32_t i = 0; i < r->beats[beat].count; i++)
        ask(r, r->beats[beat].at[i], 0);
}

uint32_t uring_asked_count(const struct io *io)
{
    const struct ring *r = (const struct ring *)io;
    uint32_t count = 0;

    for (uint32_t i = 0; i < IO_BEATS; i++)
        count += r->beats[i].count;
    return count;
}

/* ---- answers ---- */

static void missed(struct ring *r, struct slot *s)
{
    if (++s->beat_miss < BEAT_MISSES)
        ask_again(r, s);
    else
        beat_lost(r, s);
}

static void move_on(struct ring *r, struct slot *s)
{
    list_remove(r, s);
    s->beat = beat_after(s->beat);
    s->beat_late = 0;
    list_add(r, s);
}

/* What it was asked for; a packet of another length is perhaps not the one of this beat. */
static void heard(struct ring *r, struct slot *s, uint8_t length)
{
    bool look = ++s->beats % BEAT_LOOK == 0 || length != s->beat_length;

    s->beat_length = length;
    s->beat_flag = false;
    s->beat_late = (uint8_t)(s->beat_late + (s->beat_miss > 0));
    s->beat_miss = 0;
    if (s->beats >= BEAT_STEADY + BEAT_PACKETS)
        beat_lost(r, s);
    else if (s->beat_late >= BEAT_LATE)
        move_on(r, s);
    else if (look)
        ask_again(r, s);
    if (s->beats % BEAT_LOOK == 0)
        s->beat_late = 0;
}

/* One may come beside the beat; where there is still more, much has been left behind. */
static void heard_more(struct ring *r, struct slot *s)
{
    if (s->beat_flag)
        beat_lost(r, s);
    else
        ask_again(r, s);
    s->beat_flag = true;
}

void beat_answered(struct ring *r, const struct io_uring_cqe *cqe)
{
    struct slot *s = &r->core.slots[cqe->user_data & NUMBER_MASK];
    uint32_t serial = (uint32_t)(cqe->user_data >> SERIAL_SHIFT) & SERIAL_MASK;
    bool expected = !(cqe->user_data & ONCE_MORE);

    if ((s->serial & SERIAL_MASK) != serial || s->receiving == RECEIVE_OFF) {
        if (cqe->flags & IORING_CQE_F_BUFFER) /* its occupant has left */
            buffer_put(r, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        return;
    }
    if (s->receiving == RECEIVE_ASKED) {
        if (expected && cqe->res < 0)
            missed(r, s);
        else if (expected)
            heard(r, s, (uint8_t)cqe->res);
        else if (cqe->res >= 0)
            heard_more(r, s);
    }
    packet_received(r, s, OP_ASK, cqe->res, cqe->flags);
}
