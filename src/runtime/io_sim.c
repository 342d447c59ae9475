/* Handles, datagrams and the table of operations of the simulated backend. */
#include "runtime/io_sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io_sim_inner.h"

static struct sim_net *present; /* what io_sim_new() joins */

static const char *const fault_names[] = {
#define FAULT(name, text) text,
    SIM_FAULTS(FAULT)
#undef FAULT
};

/* ---- the net ---- */

void *sim_alloc(size_t bytes)
{
    void *at = calloc(1, bytes);

    if (!at)
        abort();
    return at;
}

struct sim_net *sim_net_new(uint64_t seed, int64_t now_ns)
{
    struct sim_net *net = sim_alloc(sizeof(*net));

    net->rand.state = seed;
    net->now_ns = now_ns;
    net->next_port = 20000;
    return net;
}

void sim_net_free(struct sim_net **net)
{
    if (!*net)
        return;
    assert((*net)->io_count == 0);
    sim_files_free(*net);
    free(*net);
    *net = NULL;
}

void sim_net_set_time(struct sim_net *net, int64_t now_ns)
{
    net->now_ns = now_ns;
}

void sim_net_rates(struct sim_net *net, const struct sim_rates *rates)
{
    net->rates = *rates;
}

uint64_t sim_net_count(const struct sim_net *net, enum sim_fault fault)
{
    return net->counts[fault];
}

const char *sim_fault_name(enum sim_fault fault)
{
    return fault_names[fault];
}

uint32_t sim_net_open(const struct sim_net *net)
{
    uint32_t open = net->waiting;

    for (uint32_t i = 0; i < net->io_count; i++)
        open += net->ios[i]->open;
    return open;
}

bool sim_draw(struct sim_net *net, const struct sim_rates *rates, enum sim_fault fault)
{
    uint32_t per_mille = rates ? rates->per_mille[fault] : net->rates.per_mille[fault];

    if (per_mille == 0 || !rand_chance(&net->rand, per_mille))
        return false;
    net->counts[fault]++;
    return true;
}

int64_t sim_span(struct sim_net *net, int64_t least_ns, int64_t most_ns)
{
    uint32_t us = (uint32_t)((most_ns - least_ns) / NS_PER_US);

    return least_ns + rand_below(&net->rand, us + 1) * NS_PER_US;
}

void sim_bind(struct sim_net *net, const struct address *local, struct address *out)
{
    *out = *local;
    if (out->port == 0)
        out->port = net->next_port++;
}

/* ---- handles ---- */

io_id sim_id(const struct sim_io *s, const struct sim_handle *h)
{
    return (uint32_t)(h - s->handles) | h->generation << SIM_GENERATION_SHIFT;
}

struct sim_handle *sim_find(struct sim_io *s, io_id id, enum sim_kind kind)
{
    uint32_t slot = id & ((1u << SIM_GENERATION_SHIFT) - 1);

    if (slot == 0 || slot > s->handles_max)
        return NULL;
    struct sim_handle *h = &s->handles[slot];
    if (h->kind == SIM_NOTHING || sim_id(s, h) != id || (kind != SIM_NOTHING && h->kind != kind))
        return NULL;
    return h;
}

struct sim_handle *sim_open(struct sim_io *s, enum sim_kind kind, uint64_t owner)
{
    for (uint32_t n = 1; n <= s->handles_max; n++) {
        struct sim_handle *h = &s->handles[n];
        if (h->kind != SIM_NOTHING)
            continue;
        uint32_t generation = (h->generation + 1) & 0xFFFFu;
        *h = (struct sim_handle){
            .kind = kind, .owner = owner, .generation = generation ? generation : 1};
        s->open++;
        return h;
    }
    return NULL;
}

void sim_drop(struct sim_io *s, struct sim_handle *h)
{
    while (h->inbox) {
        struct sim_packet *p = h->inbox;
        h->inbox = p->next;
        free(p);
    }
    h->kind = SIM_NOTHING;
    s->open--;
}

bool sim_tell(struct sim_io *s, struct sim_handle *h, struct io_event e)
{
    uint32_t generation = h->generation;

    e.id = sim_id(s, h);
    e.owner = h->owner;
    s->deliver(s->context, &e);
    return h->generation == generation && h->kind != SIM_NOTHING;
}

static void let_go(struct sim_io *s, struct sim_handle *h, bool flush)
{
    if (h->kind == SIM_STREAM)
        sim_stream_close(s, h, flush);
    else if (h->kind == SIM_LISTENER)
        sim_listener_close(s, h);
    else if (h->kind == SIM_FILE)
        sim_file_close(s, h);
    sim_drop(s, h);
}

void sim_tell_last(struct sim_io *s, struct sim_handle *h, struct io_event e)
{
    e.id = sim_id(s, h);
    e.owner = h->owner;
    let_go(s, h, false);
    s->deliver(s->context, &e);
}

static void sim_close(struct io *io, io_id id, bool flush)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_find(s, id, SIM_NOTHING);

    assert(h); /* a handle closed twice is a wrong runtime */
    let_go(s, h, flush);
}

static uint32_t sim_close_owned(struct io *io, uint64_t owner)
{
    struct sim_io *s = sim_of(io);
    uint32_t closed = 0;

    for (uint32_t n = 1; n <= s->handles_max; n++) {
        struct sim_handle *h = &s->handles[n];
        if (h->kind == SIM_NOTHING || h->owner != owner)
            continue;
        let_go(s, h, false);
        closed++;
    }
    return closed;
}

static void sim_own(struct io *io, io_id id, uint64_t owner)
{
    struct sim_handle *h = sim_find(sim_of(io), id, SIM_NOTHING);

    assert(h);
    h->owner = owner;
}

static void sim_pause(struct io *io, io_id id, bool pause)
{
    struct sim_handle *h = sim_find(sim_of(io), id, SIM_NOTHING);

    if (h)
        h->paused = pause;
}

static uint32_t sim_stream_queued(struct io *io, io_id id)
{
    const struct sim_handle *h = sim_find(sim_of(io), id, SIM_STREAM);

    return h ? h->queue_frames : 0;
}

void io_sim_rates(struct io *io, io_id id, const struct sim_rates *rates)
{
    struct sim_handle *h = sim_find(sim_of(io), id, SIM_NOTHING);

    assert(h);
    h->rates = rates;
    if (h->link)
        h->link->rates = rates;
}

bool io_sim_hit(struct io *io, io_id id)
{
    const struct sim_handle *h = sim_find(sim_of(io), id, SIM_NOTHING);

    return h && (h->hit || (h->link && h->link->hit));
}

/* ---- datagrams ---- */

static int sim_udp_open(struct io *io, uint64_t owner, const struct address *local, io_id *id,
                        struct address *bound)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = NULL;

    if (!sim_draw(s->net, NULL, SIM_OPEN_REFUSED))
        h = sim_open(s, SIM_UDP, owner);
    if (!h)
        return -EMFILE;
    sim_bind(s->net, local, &h->local);
    h->up = true;
    *id = sim_id(s, h);
    if (bound)
        *bound = h->local;
    return 0;
}

static int sim_udp_connect(struct io *io, io_id id, const struct address *peer)
{
    struct sim_handle *h = sim_find(sim_of(io), id, SIM_UDP);

    if (!h)
        return -EBADF;
    h->peer = *peer;
    h->connected = true;
    for (struct sim_packet **at = &h->inbox; *at;) {
        struct sim_packet *p = *at;
        if (address_equal(&p->from, peer)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p);
    }
    return 0;
}

static struct sim_handle *udp_at(struct sim_net *net, const struct address *to)
{
    for (uint32_t i = 0; i < net->io_count; i++) {
        struct sim_io *s = net->ios[i];
        for (uint32_t n = 1; n <= s->handles_max; n++)
            if (s->handles[n].kind == SIM_UDP && address_equal(&s->handles[n].local, to))
                return &s->handles[n];
    }
    return NULL;
}

static void put_packet(struct sim_handle *to, const struct address *from, struct slice bytes,
                       int64_t at_ns)
{
    struct sim_packet *p = sim_alloc(sizeof(*p) + bytes.len);
    struct sim_packet **at = &to->inbox;

    p->from = *from;
    p->at_ns = at_ns;
    p->len = bytes.len;
    memcpy(p->bytes, bytes.at, bytes.len);
    while (*at && (*at)->at_ns <= at_ns)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static void travel(struct sim_net *net, struct sim_handle *from, struct sim_handle *to,
                   struct slice bytes)
{
    const struct sim_rates *rates = from->rates ? from->rates : to->rates;
    int64_t at_ns = net->now_ns + sim_span(net, 50 * NS_PER_US, MS(3));

    if (sim_draw(net, rates, SIM_PACKET_LOST)) {
        from->hit = to->hit = true;
        return;
    }
    if (sim_draw(net, rates, SIM_PACKET_LATE))
        at_ns += sim_span(net, MS(60), MS(300));
    else if (sim_draw(net, rates, SIM_PACKET_SWAPPED))
        at_ns += sim_span(net, MS(20), MS(45));
    put_packet(to, &from->local, bytes, at_ns);
    if (sim_draw(net, rates, SIM_PACKET_DOUBLED))
        put_packet(to, &from->local, bytes, at_ns + sim_span(net, 0, MS(30)));
}

static int sim_udp_send(struct io *io, io_id id, frame_ref take, const struct address *to)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_find(s, id, SIM_UDP);
    int err = h ? 0 : -EBADF;

    if (h && !to && !h->connected)
        err = -EDESTADDRREQ;
    if (err == 0) {
        struct sim_handle *there = udp_at(s->net, to ? to : &h->peer);
        const struct frame *f = frame_at(s->pool, take);
        if (there && (!there->connected || address_equal(&there->peer, &h->local)))
            travel(s->net, h, there, slice_of(f->data, f->len));
    }
    frame_put(s->pool, &take);
    return err;
}

static void udp_step(struct sim_io *s, struct sim_handle *h)
{
    while (h->inbox && h->inbox->at_ns <= s->net->now_ns) {
        struct sim_packet *p = h->inbox;
        h->inbox = p->next;
        struct io_event e = {
            .kind = IO_PACKET, .data = slice_of(p->bytes, p->len), .peer = p->from};
        bool same = sim_tell(s, h, e);
        free(p);
        if (!same)
            return;
    }
}

/* ---- waiting ---- */

static void sim_step(struct sim_io *s, struct sim_handle *h)
{
    switch (h->kind) {
    case SIM_NOTHING:
        return;
    case SIM_UDP:
        udp_step(s, h);
        return;
    case SIM_LISTENER:
        sim_listener_step(s, h);
        return;
    case SIM_STREAM:
        sim_stream_step(s, h);
        return;
    case SIM_FILE:
        sim_file_step(s, h);
        return;
    }
}

/* Time belongs to the simulator: this delivers what is ready now, in an order of its own. */
static void sim_wait(struct io *io, int64_t timeout_ns, bool tick)
{
    struct sim_io *s = sim_of(io);

    (void)timeout_ns;
    (void)tick;
    if (s->woken)
        s->woken(s->context);
    if (s->open == 0)
        return;
    uint32_t from = rand_below(&s->net->rand, s->handles_max);
    for (uint32_t i = 0; i < s->handles_max; i++)
        sim_step(s, &s->handles[1 + (from + i) % s->handles_max]);
}

static void sim_submit(struct io *io)
{
    (void)io; /* nothing is ever queued */
}

static void sim_wake(struct io *io)
{
    (void)io; /* it never sleeps */
}

static uint32_t sim_open_count(const struct io *io)
{
    return ((const struct sim_io *)(const void *)io)->open;
}

static uint64_t sim_dropped(const struct io *io)
{
    return ((const struct sim_io *)(const void *)io)->dropped;
}

static uint64_t sim_stalls(const struct io *io)
{
    return ((const struct sim_io *)(const void *)io)->stalls;
}

static void sim_free(struct io *io)
{
    struct sim_io *s = sim_of(io);
    struct sim_net *net = s->net;
    uint32_t i = 0;

    for (uint32_t n = 1; n <= s->handles_max; n++)
        if (s->handles[n].kind != SIM_NOTHING)
            let_go(s, &s->handles[n], false);
    while (net->ios[i] != s)
        i++;
    net->ios[i] = net->ios[--net->io_count];
    free(s->handles);
    free(s);
}

static const struct io_ops operations = {
    .name = "simulated",
    .free = sim_free,
    .udp_open = sim_udp_open,
    .udp_connect = sim_udp_connect,
    .udp_send = sim_udp_send,
    .listen = sim_listen,
    .listen_pause = sim_pause,
    .connect = sim_connect,
    .stream_send = sim_stream_send,
    .stream_queued = sim_stream_queued,
    .stream_pause = sim_pause,
    .close = sim_close,
    .close_owned = sim_close_owned,
    .own = sim_own,
    .file_open = sim_file_open,
    .file_write = sim_file_write,
    .wait = sim_wait,
    .submit = sim_submit,
    .wake = sim_wake,
    .open_count = sim_open_count,
    .dropped = sim_dropped,
    .stalls = sim_stalls,
};

void io_sim_on(struct sim_net *net)
{
    present = net;
}

int io_sim_new(const struct io_setup *setup, struct io **out)
{
    struct sim_io *s = sim_alloc(sizeof(*s));

    assert(present && present->io_count < SIM_IOS_MAX);
    assert(setup->handles_max < 1u << SIM_GENERATION_SHIFT);
    s->io.ops = &operations;
    s->net = present;
    s->pool = setup->pool;
    s->deliver = setup->deliver;
    s->woken = setup->woken;
    s->context = setup->context;
    s->handles_max = setup->handles_max;
    s->handles = sim_alloc((setup->handles_max + 1) * sizeof(*s->handles));
    present->ios[present->io_count++] = s;
    *out = &s->io;
    return 0;
}
