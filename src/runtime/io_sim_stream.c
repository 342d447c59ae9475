/* Connections of the simulated backend. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io_sim_inner.h"

/* ---- links ---- */

static void link_put(struct sim_link *link)
{
    if (--link->refs)
        return;
    for (int side = 0; side < 2; side++) {
        struct sim_pipe *p = &link->pipe[side];
        while (p->first) {
            struct sim_segment *seg = p->first;
            p->first = seg->next;
            free(seg);
        }
    }
    free(link);
}

static struct sim_link *link_new(struct sim_net *net)
{
    struct sim_link *link = sim_alloc(sizeof(*link));

    link->window = 4096u << rand_below(&net->rand, 5);
    for (int side = 0; side < 2; side++)
        link->pipe[side].end = &link->pipe[side].first;
    return link;
}

static void link_reset(struct sim_net *net, struct sim_link *link)
{
    if (link->reset)
        return;
    link->reset = true;
    link->hit = true;
    link->reset_ns = net->now_ns + sim_span(net, 0, MS(5));
}

/* ---- opening ---- */

int sim_listen(struct io *io, uint64_t owner, const struct address *local, io_id *id,
               struct address *bound)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_open(s, SIM_LISTENER, owner);

    if (!h)
        return -EMFILE;
    sim_bind(s->net, local, &h->local);
    h->up = true;
    *id = sim_id(s, h);
    if (bound)
        *bound = h->local;
    return 0;
}

/* One of the listeners of this address, as the kernel spreads them. */
static struct sim_handle *pick_listener(struct sim_net *net, const struct address *peer)
{
    struct sim_handle *found = NULL;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < net->io_count; i++) {
        struct sim_io *s = net->ios[i];
        for (uint32_t n = 1; n <= s->handles_max; n++) {
            struct sim_handle *h = &s->handles[n];
            if (h->kind != SIM_LISTENER || !address_equal(&h->local, peer))
                continue;
            if (rand_below(&net->rand, ++seen) == 0)
                found = h;
        }
    }
    return found;
}

int sim_connect(struct io *io, uint64_t owner, const struct address *peer, io_id *id)
{
    struct sim_io *s = sim_of(io);
    struct sim_net *net = s->net;
    struct sim_handle *listener = pick_listener(net, peer);
    struct sim_handle *h = sim_open(s, SIM_STREAM, owner);

    if (!h)
        return -EMFILE;
    struct address any = {.family = peer->family, .ip = {127, 0, 0, 1}};
    sim_bind(net, &any, &h->local);
    h->peer = *peer;
    h->at_ns = net->now_ns + sim_span(net, 50 * NS_PER_US, MS(4));
    *id = sim_id(s, h);
    if (!listener || sim_draw(net, NULL, SIM_CONNECT_REFUSED)) {
        h->err = ECONNREFUSED;
        return 0;
    }
    h->link = link_new(net);
    h->link->refs = 2;
    h->link->io[0] = s;
    h->link->id[0] = *id;
    struct sim_waiting *w = sim_alloc(sizeof(*w));
    *w = (struct sim_waiting){.link = h->link, .peer = h->local, .at_ns = h->at_ns};
    struct sim_waiting **at = &listener->backlog;
    while (*at)
        at = &(*at)->next;
    *at = w;
    net->waiting++;
    return 0;
}

/* ---- accepting ---- */

static struct sim_waiting *take_waiting(struct sim_net *net, struct sim_handle *h)
{
    struct sim_waiting *w = h->backlog;

    h->backlog = w->next;
    net->waiting--;
    return w;
}

static void refuse_waiting(struct sim_net *net, struct sim_waiting *w)
{
    link_reset(net, w->link);
    link_put(w->link);
    free(w);
}

void sim_listener_step(struct sim_io *s, struct sim_handle *h)
{
    while (h->backlog && !h->paused && h->backlog->at_ns <= s->net->now_ns) {
        if (sim_draw(s->net, h->backlog->link->rates, SIM_ACCEPT_REFUSED)) {
            refuse_waiting(s->net, take_waiting(s->net, h));
            continue;
        }
        struct sim_handle *stream = sim_open(s, SIM_STREAM, h->owner);
        if (!stream) {
            s->stalls++;
            return; /* no handle: it waits in the backlog */
        }
        struct sim_waiting *w = take_waiting(s->net, h);
        stream->up = true;
        stream->local = h->local;
        stream->peer = w->peer;
        stream->link = w->link;
        stream->side = 1;
        w->link->io[1] = s;
        w->link->id[1] = sim_id(s, stream);
        struct io_event e = {
            .kind = IO_ACCEPTED, .id = w->link->id[1], .owner = h->owner, .peer = w->peer};
        free(w);
        uint32_t generation = h->generation;
        s->deliver(s->context, &e);
        if (h->generation != generation || h->kind != SIM_LISTENER)
            return;
    }
}

void sim_listener_close(struct sim_io *s, struct sim_handle *h)
{
    while (h->backlog)
        refuse_waiting(s->net, take_waiting(s->net, h));
}

/* ---- sending ---- */

int sim_stream_send(struct io *io, io_id id, frame_ref take)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_find(s, id, SIM_STREAM);
    uint32_t frames = 0;

    for (frame_ref ref = take; ref != FRAME_NONE; ref = frame_at(s->pool, ref)->next)
        frames++;
    if (!h || h->queue_frames + frames > WS_SEND_QUEUE_MAX) {
        frame_put(s->pool, &take);
        return h ? -ENOBUFS : -EBADF;
    }
    h->queue[h->queue_count++] = take;
    h->queue_frames += frames;
    return 0;
}

static void add_segment(struct sim_pipe *p, struct slice bytes, int64_t at_ns)
{
    struct sim_segment *seg = sim_alloc(sizeof(*seg) + bytes.len);

    seg->at_ns = at_ns;
    seg->len = bytes.len;
    memcpy(seg->bytes, bytes.at, bytes.len);
    *p->end = seg;
    p->end = &seg->next;
    p->bytes += bytes.len;
    p->last_ns = at_ns;
}

/* One frame's bytes onto the wire, whole or in pieces. */
static void put_on_wire(struct sim_net *net, struct sim_link *link, uint32_t side,
                        struct slice bytes)
{
    struct sim_pipe *p = &link->pipe[side];
    int64_t at_ns = net->now_ns + sim_span(net, 50 * NS_PER_US, MS(4));
    bool pieces = sim_draw(net, link->rates, SIM_SHORT_READ);

    if (side == 0 && sim_draw(net, link->rates, SIM_VANISH))
        link->vanished = link->hit = true;
    if (sim_draw(net, link->rates, SIM_RESET))
        link_reset(net, link);
    if (sim_draw(net, link->rates, SIM_STREAM_DELAY))
        at_ns += sim_span(net, MS(20), MS(400));
    if (at_ns < p->last_ns)
        at_ns = p->last_ns;
    while (bytes.len) {
        size_t len = bytes.len;
        if (pieces)
            len = 1 + rand_below(&net->rand, (uint32_t)len);
        add_segment(p, slice_of(bytes.at, len), at_ns);
        bytes = slice_of(bytes.at + len, bytes.len - len);
        if (pieces)
            at_ns += sim_span(net, 0, MS(3));
    }
}

/* As much of the queue as the window takes; with `all` the whole of it. */
static void transmit(struct sim_io *s, struct sim_handle *h, bool all)
{
    struct sim_link *link = h->link;
    struct sim_pipe *p = &link->pipe[h->side];
    uint32_t done = 0;

    while (done < h->queue_count && (all || p->bytes < link->window)) {
        frame_ref chain = h->queue[done++];
        for (frame_ref ref = chain; ref != FRAME_NONE; ref = frame_at(s->pool, ref)->next) {
            const struct frame *f = frame_at(s->pool, ref);
            put_on_wire(s->net, link, h->side, slice_of(f->data, f->len));
            h->queue_frames--;
        }
        frame_put(s->pool, &chain);
    }
    if (done == 0)
        return;
    h->queue_count -= done;
    memmove(h->queue, h->queue + done, h->queue_count * sizeof(h->queue[0]));
    if (h->queue_count == 0)
        h->sent_owed = true;
    /* Bytes for somebody who has closed come back as a reset, behind the end that was sent first.
     */
    if (link->refs == 1 && !link->reset) {
        link->reset = true;
        link->reset_ns = link->pipe[1 - h->side].fin_ns + sim_span(s->net, MS(2), MS(8));
        if (link->reset_ns < s->net->now_ns)
            link->reset_ns = s->net->now_ns + MS(2);
    }
}

/* ---- receiving ---- */

/* Takes what has arrived, some of it together, as a reader finds it. */
static size_t take_bytes(struct sim_net *net, struct sim_pipe *p, uint8_t *out)
{
    size_t len = 0;

    while (p->first && p->first->at_ns <= net->now_ns && len < SIM_READ_MAX) {
        struct sim_segment *seg = p->first;
        size_t part = seg->len - seg->off;
        if (part > SIM_READ_MAX - len)
            part = SIM_READ_MAX - len;
        memcpy(out + len, seg->bytes + seg->off, part);
        len += part;
        seg->off += part;
        p->bytes -= part;
        if (seg->off == seg->len) {
            p->first = seg->next;
            if (!p->first)
                p->end = &p->first;
            free(seg);
        }
        if (rand_chance(&net->rand, 300))
            break; /* the reader was quicker than the next segment */
    }
    return len;
}

static void receive(struct sim_io *s, struct sim_handle *h)
{
    struct sim_net *net = s->net;
    struct sim_pipe *p = &h->link->pipe[1 - h->side];
    uint8_t bytes[SIM_READ_MAX];

    while (!h->paused && h->stalled_ns <= net->now_ns && p->first &&
           p->first->at_ns <= net->now_ns) {
        size_t len = take_bytes(net, p, bytes);
        if (h->side == 0 && sim_draw(net, h->link->rates, SIM_SLOW_READER))
            h->stalled_ns = net->now_ns + sim_span(net, MS(200), MS(4000));
        struct io_event e = {.kind = IO_DATA, .data = slice_of(bytes, len)};
        if (!sim_tell(s, h, e))
            return;
    }
    if (!h->paused && !p->first && p->fin && p->fin_ns <= net->now_ns)
        sim_tell_last(s, h, (struct io_event){.kind = IO_CLOSED});
}

static void finish_connect(struct sim_io *s, struct sim_handle *h)
{
    if (h->err) {
        sim_tell_last(s, h, (struct io_event){.kind = IO_CONNECTED, .err = h->err});
        return;
    }
    h->up = true;
    (void)sim_tell(s, h, (struct io_event){.kind = IO_CONNECTED});
}

void sim_stream_step(struct sim_io *s, struct sim_handle *h)
{
    struct sim_link *link = h->link;

    if (!h->up) {
        if (h->at_ns <= s->net->now_ns)
            finish_connect(s, h);
        return;
    }
    if (link->reset && link->reset_ns <= s->net->now_ns) {
        sim_tell_last(s, h, (struct io_event){.kind = IO_CLOSED, .err = ECONNRESET});
        return;
    }
    transmit(s, h, false);
    if (h->sent_owed) {
        h->sent_owed = false;
        if (!sim_tell(s, h, (struct io_event){.kind = IO_SENT}))
            return;
    }
    if (!link->vanished)
        receive(s, h);
}

void sim_stream_close(struct sim_io *s, struct sim_handle *h, bool flush)
{
    struct sim_link *link = h->link;

    if (link && flush && !link->reset)
        transmit(s, h, true);
    for (uint32_t i = 0; i < h->queue_count; i++)
        frame_put(s->pool, &h->queue[i]);
    if (!link)
        return;
    struct sim_pipe *out = &link->pipe[h->side], *in = &link->pipe[1 - h->side];
    if (in->first && in->first->at_ns <= s->net->now_ns && !flush && !link->reset) {
        link->reset = true; /* closed over unread data, as the kernel does */
        link->reset_ns = s->net->now_ns + sim_span(s->net, 0, MS(5));
    }
    out->fin = true;
    out->fin_ns = s->net->now_ns + sim_span(s->net, 50 * NS_PER_US, MS(4));
    if (out->fin_ns < out->last_ns)
        out->fin_ns = out->last_ns;
    link->id[h->side] = IO_NONE;
    h->link = NULL;
    link_put(link);
}
