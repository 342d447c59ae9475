#include "runtime/shard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/pages.h"
#include "runtime/shard_inner.h"

/* A shard that fell behind serves at most this many missed slots; the rest are given up. */
#define CATCH_UP_TICKS_MAX 50
#define EVENTS_PER_CLOCK   32
/* With so few legs what comes is heard after 1 ms at most, not after a whole tick: it costs little.
 */
#define LIGHT_MEMBERS     500
#define LIGHT_WAIT_NS     MS(1)
#define BEAT_MEMBERS_LAST 400 /* and does not change with each that comes and goes */
/* With even fewer at once: each event may cost a round of its own. */
#define FEW_MEMBERS  16
#define MEMORY_BYTES 268435456 /* of blocks, where the set-up names none */
/* A slot that is later than this leaves before what has come meanwhile is heard. */
#define OVERDUE_NS MS(1)
/* Members that a slot may have beside twice its share of all. */
#define SLOT_ROOM 16

_Static_assert(IO_BEATS == SLOTS_PER_FRAME, "a beat is the tick of a slot");

/* ---- handling ---- */

static const char *const runtime_names[] = {
#define MESSAGE(name, body) #name,
    RUNTIME_MESSAGES(MESSAGE)
#undef MESSAGE
};

static void log_slow(struct shard *shard, const struct actor *a, uint16_t type, int64_t took_ns)
{
    const struct log_about *about = a->type->about ? a->type->about(a) : NULL;

    shard->slow++;
    log_warn("runtime", about, "slow handler: %s took %lld us for message %u %s", a->type->name,
             (long long)(took_ns / NS_PER_US), type,
             type < ARRAY_LEN(runtime_names) ? runtime_names[type] : "");
}

/* One look at the clock per message: a handler began when the one before had ended. */
void shard_dispatch(struct shard *shard, struct actor *a, struct msg *m)
{
    uint16_t type = m->type;
    uint64_t began = shard->mark;

    shard->messages++;
    shard->signature =
        (shard->signature ^ (m->to.slot + ((uint64_t)type << 32))) * UINT64_C(0x100000001B3);
    if (shard->seen)
        shard->seen(shard->seen_context, a, m);
    a->type->handle(a, m);
    if (m->frame != FRAME_NONE)
        frame_put(shard->pool, &m->frame);
    shard->mark = clock_cycles();
    if (shard->mark - began > shard->slow_cycles)
        log_slow(shard, a, type, clock_cycles_to_ns(shard->mark - began));
}

/* The shard's clock, and the mark from which the next handler's time counts. */
static void look_at_clock(struct shard *shard)
{
    shard->now_ns = shard->setup.clock.now_ns(shard->setup.clock.context);
    shard->mark = clock_cycles();
    shard->clock_events = 0;
}

/* What the messages in turn will touch: of one a little later its receiver, of the next one what
 * that points to. */
static void fetch_queued(const struct shard *shard)
{
    if (shard->queue_count == 0)
        return;
    if (shard->queue_count > FETCH_AHEAD) {
        uint32_t later = (shard->queue_head + FETCH_AHEAD) % LOCAL_QUEUE_MAX;
        shard_fetch(shard, shard->queue[later].to.slot);
    }
    uint32_t slot = shard->queue[shard->queue_head].to.slot;
    size_t beyond = shard->slabs[shard->kinds[slot]].type->hot_beyond;
    if (beyond) {
        const uint8_t *a = (const uint8_t *)shard_actor_in(shard, slot);
        cache_fetch_line(*(void *const *)(const void *)(a + beyond));
    }
}

static void deliver_local(struct shard *shard)
{
    struct msg m = shard->queue[shard->queue_head];

    shard->queue_head = (shard->queue_head + 1) % LOCAL_QUEUE_MAX;
    if (--shard->queue_count == 0)
        shard->queue_head = 0; /* or 2 MB were gone through, and fall out of the cache, in turn */
    fetch_queued(shard);
    struct actor *a = actor_find(shard, m.to);
    if (a) {
        shard_dispatch(shard, a, &m);
    } else {
        shard->stale++;
        frame_put(shard->pool, &m.frame);
    }
}

/* Until nothing is left to do now. Bounded: a storm of messages must not keep the shard from io. */
static void drain(struct shard *shard)
{
    uint32_t handled = 0;

    shard_run_stops(shard);
    while (shard->queue_count && handled++ < 4 * LOCAL_QUEUE_MAX) {
        deliver_local(shard);
        if (shard->stops.first || shard->ended.first)
            shard_run_stops(shard);
    }
}

/* ---- io events ---- */

static uint16_t message_of(enum io_event_kind kind)
{
    switch (kind) {
    case IO_ACCEPTED:
        return MSG_ACCEPTED;
    case IO_CONNECTED:
        return MSG_CONNECTED;
    case IO_DATA:
        return MSG_DATA;
    case IO_SENT:
        return MSG_SENT;
    case IO_CLOSED:
        return MSG_CLOSED;
    case IO_PACKET:
        return MSG_PACKET;
    case IO_OPENED:
        return MSG_FILE_OPENED;
    case IO_READY:
        return MSG_READY;
    case IO_WRITTEN:
    case IO_WOKEN:
        break;
    }
    return MSG_FILE_WRITTEN;
}

/* The id is dead after these: the owner's ledger says so before it is told. */
static bool ends_handle(const struct io_event *e)
{
    return e->kind == IO_CLOSED || (e->err && (e->kind == IO_CONNECTED || e->kind == IO_OPENED));
}

static void on_io(void *context, const struct io_event *e)
{
    struct shard *shard = context;
    uint32_t slot = (uint32_t)(e->owner & 0xFFFFFFu);

    if (e->kind == IO_WOKEN)
        return;
    /* Events of one wait came at one time, as far as anybody can say; handling many takes some. */
    if (shard->clock_events++ % EVENTS_PER_CLOCK == 0)
        look_at_clock(shard);
    struct actor *a = slot < shard->slots_total ? shard->actors[slot] : NULL;
    if (!a || a->id.generation != (uint32_t)(e->owner >> 32) || a->life == ACTOR_ENDED) {
        if (e->kind == IO_ACCEPTED)
            shard->io->ops->close(shard->io, e->id, false);
        return;
    }
    if (ends_handle(e))
        a->ledger.handles--;
    else if (e->kind == IO_ACCEPTED)
        a->ledger.handles++;
    struct msg m = {.to = a->id, .type = message_of(e->kind)};
    *(struct io_msg *)(void *)m.body =
        (struct io_msg){.id = e->id, .err = e->err, .tag = e->tag, .len = e->len, .peer = e->peer};
    shard->received = e->data;
    shard_dispatch(shard, a, &m);
    shard->received = SLICE_NONE;
    if (shard->stops.first || shard->ended.first)
        shard_run_stops(shard);
}

static void on_io_soon(void *context, uint64_t owner)
{
    struct shard *shard = context;
    uint32_t slot = (uint32_t)(owner & 0xFFFFFFu);

    if (slot < shard->slots_total && shard->actors[slot])
        cache_fetch_lines(shard->actors[slot], shard->hot[shard->kinds[slot]]);
}

/* ---- mailbox ---- */

static bool outbox_has(const struct shard *shard, uint32_t host)
{
    for (uint32_t i = 0; i < shard->outbox_count; i++)
        if (shard->outbox[i].to.shard == host)
            return true;
    return false;
}

int shard_send_away(struct shard *shard, const struct msg *m)
{
    int err = -EAGAIN;
    struct msg sent = *m;

    if (!shard->box)
        return -ENXIO;
    /* What waits for that host goes first: order is kept. */
    if (m->live || !outbox_has(shard, m->to.shard))
        err = mailbox_push(shard->box, m, shard->pool);
    if (err == -EAGAIN && !m->live) {
        metrics_add(METRIC_RING_REFUSED_CONTROL, 1);
        if (shard->outbox_count < OUTBOX_MAX) {
            shard->outbox[shard->outbox_count++] = *m;
            return 0;
        }
    }
    if (err == 0)
        frame_put(shard->pool, &sent.frame);
    return err;
}

static void flush_outbox(struct shard *shard)
{
    uint32_t kept = 0;
    uint64_t blocked = 0; /* hosts whose ring is full in this round: their order is kept */

    for (uint32_t i = 0; i < shard->outbox_count; i++) {
        struct msg m = shard->outbox[i];
        uint64_t host = UINT64_C(1) << m.to.shard;
        if ((blocked & host) || mailbox_push(shard->box, &m, shard->pool) == -EAGAIN) {
            blocked |= host;
            shard->outbox[kept++] = m;
        } else {
            frame_put(shard->pool, &m.frame);
        }
    }
    shard->outbox_count = kept;
}

/* A full ring is tried again a tick later, not at once: whoever has to read it may be waiting for
 * this very core, and does not come before a real-time thread that never sleeps. */
static int64_t outbox_or(const struct shard *shard, int64_t next_ns)
{
    int64_t again_ns = shard->now_ns + TICK_NS;

    return shard->outbox_count && again_ns < next_ns ? again_ns : next_ns;
}

static void take_mail(struct shard *shard)
{
    struct msg m;

    for (uint32_t i = 0; i < LOCAL_QUEUE_MAX && mailbox_pop(shard->box, shard->pool, &m); i++) {
        struct actor *a = actor_find(shard, m.to);
        if (a) {
            shard_dispatch(shard, a, &m);
            drain(shard);
        } else {
            shard->stale++;
            frame_put(shard->pool, &m.frame);
        }
    }
}

/* ---- slots ---- */

static void serve_slot(struct shard *shard, int64_t tick)
{
    struct slot_msg body = {.due_ns = tick * TICK_NS};
    struct slot_place *place = shard->slots[tick % SLOTS_PER_FRAME];

    while (place) {
        struct slot_place *next = place->next; /* the handler may leave the slot */
        struct msg m;
        msg_fill(&m, place->actor->id, MSG_SLOT, &body, sizeof(body));
        if (next && next->next) /* whose first line has been fetched with this one's */
            cache_fetch_lines(container_of(next->next, struct actor, slot), shard->hot_slotted);
        shard_dispatch(shard, place->actor, &m);
        place = next;
    }
    drain(shard);
}

/* Slots up to the one that is due now less `grace_ns`. With `at_once` the kernel gets each slot's
 * packets before the next slot is looked at. */
static void serve_slots(struct shard *shard, int64_t grace_ns, bool at_once)
{
    int64_t now_tick = (shard->now_ns - grace_ns) / TICK_NS;

    if (shard->members == 0)
        return;
    if (now_tick - shard->slot_tick > CATCH_UP_TICKS_MAX) {
        log_warn("runtime", NULL, "shard %u fell %lld ms behind", shard->setup.index,
                 (long long)((now_tick - shard->slot_tick) * TICK_NS / NS_PER_MS));
        shard->slot_tick = now_tick - CATCH_UP_TICKS_MAX;
    }
    if (shard->slot_tick <= now_tick)
        metrics_observe(METRIC_TICK_LATE, shard->now_ns - shard->slot_tick * TICK_NS);
    while (shard->members && shard->slot_tick <= now_tick) {
        serve_slot(shard, shard->slot_tick++);
        if (at_once)
            shard->io->ops->submit(shard->io);
    }
}

/* Where there are many, io hears whose packets keep a beat when the tick of that has come. */
static void tell_beats(struct shard *shard)
{
    const struct io_ops *ops = shard->io->ops;
    int64_t tick = shard->now_ns / TICK_NS;
    bool many = shard->members >= (shard->beating ? BEAT_MEMBERS_LAST : LIGHT_MEMBERS);

    if (!ops->beat || (!many && !shard->beating))
        return;
    if (!many) {
        ops->beat(shard->io, IO_NO_BEAT);
    } else {
        if (!shard->beating || tick - shard->beat_tick > CATCH_UP_TICKS_MAX)
            shard->beat_tick = tick - 1;
        while (shard->beat_tick < tick)
            ops->beat(shard->io, (uint32_t)(++shard->beat_tick % SLOTS_PER_FRAME));
    }
    shard->beating = many;
}

/* In time, what has come is heard first, for a slot may take along what it leads to. But when the
 * machine has stood still, much has come, and every packet that is owed would wait for all of it to
 * be heard. */
static void on_io_woken(void *context)
{
    struct shard *shard = context;

    if (shard->members == 0 && !shard->beating)
        return;
    look_at_clock(shard);
    serve_slots(shard, OVERDUE_NS, true);
    tell_beats(shard);
}

/* ---- metrics ---- */

size_t shard_own_bytes(const struct shard *shard)
{
    size_t bytes = block_pool_bytes(shard->blocks) +
                   (size_t)frame_pool_used(shard->pool) * sizeof(struct frame);

    for (size_t i = 0; i < shard->setup.type_count; i++)
        bytes += shard->slabs[i].used * shard->slabs[i].stride;
    return bytes;
}

static void tell_more(enum metric counter, uint64_t *told, uint64_t count)
{
    metrics_add(counter, count - *told);
    *told = count;
}

/* Once a second; and whenever nothing ticks, since nobody knows when the next round will be. */
static void tell_metrics(struct shard *shard)
{
    if (shard->members && shard->now_ns - shard->told_ns < SECONDS(1))
        return;
    shard->told_ns = shard->now_ns;
    metrics_set(METRIC_ACTORS, shard->actors_used);
    metrics_set(METRIC_FRAMES_USED, frame_pool_used(shard->pool));
    metrics_set(METRIC_FRAMES_SIZE, frame_pool_size(shard->pool));
    metrics_set(METRIC_OWN_BYTES, (int64_t)shard_own_bytes(shard));
    if (shard->io && shard->io->ops->asked_count)
        metrics_set(METRIC_SOCKETS_ASKED, shard->io->ops->asked_count(shard->io));
    tell_more(METRIC_QUEUE_REFUSED, &shard->told_dropped, shard->dropped);
    tell_more(METRIC_HANDLERS_SLOW, &shard->told_slow, shard->slow);
    tell_more(METRIC_FRAMES_REFUSED, &shard->told_refused, frame_pool_refused(shard->pool));
}

/* ---- rounds ---- */

int64_t shard_turn(struct shard *shard)
{
    look_at_clock(shard);
    if (shard->box) {
        flush_outbox(shard);
        lane_close_rest(shard);
        take_mail(shard);
    }
    shard_fire_timers(shard);
    serve_slots(shard, 0, false);
    drain(shard);
    tell_metrics(shard);
    if (shard->queue_count)
        return shard->now_ns;
    return outbox_or(shard,
                     shard->members ? shard->slot_tick * TICK_NS : wheel_next_ns(&shard->wheel));
}

void shard_run(struct shard *shard)
{
    struct io *io = shard->io;

    while (!shard_finished(shard)) {
        int64_t next_ns = shard_turn(shard);
        int64_t now_ns = shard->setup.clock.now_ns(shard->setup.clock.context);
        int64_t wait_ns = next_ns == NEVER_NS ? NEVER_NS : next_ns > now_ns ? next_ns - now_ns : 0;
        bool ticking = shard->members > 0;
        if (ticking && shard->members < LIGHT_MEMBERS && wait_ns > LIGHT_WAIT_NS)
            wait_ns = LIGHT_WAIT_NS;
        if (shard_finished(shard))
            break;
        /* While it ticks nobody needs to wake it: mail is looked at each tick. */
        if (!ticking && shard->box && !mailbox_sleep(shard->box))
            wait_ns = 0;
        io->ops->wait(io, wait_ns, shard->members >= FEW_MEMBERS);
        if (!ticking && shard->box)
            mailbox_awake(shard->box);
    }
}

void shard_finish(struct shard *shard)
{
    shard->finishing = true;
}

bool shard_finished(const struct shard *shard)
{
    return shard->finishing && shard->actors_used == 0;
}

/* ---- boot and end ---- */

static void *boot_alloc(size_t count, size_t size)
{
    void *at = calloc(count, size);

    if (!at)
        abort();
    return at;
}

static void slab_init(struct slab *slab, const struct shard_type *type, uint32_t base)
{
    slab->type = type->type;
    slab->base = base;
    slab->max = type->actors_max;
    slab->stride =
        (type->type->size_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    slab->memory = pages_new(slab->stride * slab->max + 64);
    slab->free = boot_alloc(slab->max, sizeof(uint32_t));
    for (uint32_t i = 0; i < slab->max; i++)
        slab->free[slab->free_count++] = base + slab->max - 1 - i;
}

static void shard_wake(void *context)
{
    struct shard *shard = context;

    if (shard->io)
        shard->io->ops->wake(shard->io);
    else if (shard->setup.wake)
        shard->setup.wake(shard->setup.wake_context);
}

static void types_init(struct shard *shard)
{
    const struct shard_setup *setup = &shard->setup;

    for (size_t i = 0; i < setup->type_count; i++) {
        slab_init(&shard->slabs[i], &setup->types[i], shard->slots_total);
        shard->slots_total += setup->types[i].actors_max;
    }
    shard->actors = boot_alloc(shard->slots_total + 1, sizeof(struct actor *));
    shard->generations = boot_alloc(shard->slots_total + 1, sizeof(uint32_t));
    shard->kinds = boot_alloc(shard->slots_total + 1, sizeof(uint8_t));
    for (size_t i = 0; i < setup->type_count; i++) {
        const struct slab *slab = &shard->slabs[i];
        memset(shard->kinds + slab->base, (int)i, slab->max);
        for (uint32_t slot = slab->base; slot < slab->base + slab->max; slot++)
            shard->generations[slot] = 1;
        shard->hot[i] = slab->type->hot | 1;
        shard->hot_slotted |= slab->type->hot;
    }
}

int shard_new(const struct shard_setup *setup, struct shard **out)
{
    struct shard *shard = boot_alloc(1, sizeof(*shard));

    assert(setup->type_count <= ACTOR_TYPES_MAX);
    shard->setup = *setup;
    shard->rand.state = setup->seed;
    shard->stops.end = &shard->stops.first;
    shard->ended.end = &shard->ended.first;
    clock_cycles_init();
    shard->slow_cycles = clock_cycles_of_ns(SLOW_HANDLER_NS);
    look_at_clock(shard);
    wheel_init(&shard->wheel, shard->now_ns);
    shard->pool = frame_pool_new(setup->frames_max);
    shard->blocks = block_pool_new(setup->memory_bytes ? setup->memory_bytes : MEMORY_BYTES);
    shard->queue = boot_alloc(LOCAL_QUEUE_MAX, sizeof(struct msg));
    /* Mapped: the large part costs memory when it is first used. */
    shard->scratch = pages_new(SCRATCH_BYTES + LARGE_SCRATCH_BYTES);
    types_init(shard);
    lane_clients_init(shard);
    if (setup->io_new) {
        struct io_setup io = {.pool = shard->pool,
                              .deliver = on_io,
                              .woken = on_io_woken,
                              .soon = on_io_soon,
                              .context = shard,
                              .handles_max = setup->handles_max,
                              .receive_bytes = setup->receive_bytes};
        int err = setup->io_new(&io, &shard->io);
        if (err) {
            shard_free(&shard);
            return err;
        }
    }
    if (setup->mesh)
        shard->box = mailbox_new(setup->mesh, setup->index, shard_wake, shard);
    *out = shard;
    return 0;
}

void shard_free(struct shard **shard_at)
{
    struct shard *shard = *shard_at;

    if (!shard)
        return;
    assert(shard->actors_used == 0);
    if (shard->io)
        shard->io->ops->free(shard->io);
    mailbox_free(&shard->box);
    for (uint32_t i = 0; i < shard->outbox_count; i++)
        frame_put(shard->pool, &shard->outbox[i].frame);
    for (size_t i = 0; i < shard->setup.type_count; i++) {
        struct slab *slab = &shard->slabs[i];
        pages_free(slab->memory, slab->stride * slab->max + 64);
        free(slab->free);
    }
    free(shard->queue);
    frame_pool_free(&shard->pool);
    block_pool_free(&shard->blocks);
    free(shard->actors);
    free(shard->generations);
    free(shard->kinds);
    free(shard->lane_clients);
    pages_free(shard->scratch, SCRATCH_BYTES + LARGE_SCRATCH_BYTES);
    free(shard);
    *shard_at = NULL;
}

/* ---- what an actor may ask ---- */

int64_t shard_now(const struct shard *shard)
{
    return shard->now_ns;
}

int64_t shard_wall_ms(const struct shard *shard)
{
    return shard->setup.clock.wall_ms(shard->setup.clock.context);
}

struct rand *shard_rand(struct shard *shard)
{
    return &shard->rand;
}

struct frame_pool *shard_pool(struct shard *shard)
{
    return shard->pool;
}

struct io *shard_io(struct shard *shard)
{
    return shard->io;
}

uint32_t shard_index(const struct shard *shard)
{
    return shard->setup.index;
}

void *shard_world(struct shard *shard)
{
    return shard->setup.world;
}

struct slice shard_received(const struct shard *shard)
{
    return shard->received;
}

struct slice shard_scratch(struct shard *shard)
{
    return slice_of(shard->scratch, SCRATCH_BYTES);
}

struct slice shard_large_scratch(struct shard *shard)
{
    return slice_of(shard->scratch + SCRATCH_BYTES, LARGE_SCRATCH_BYTES);
}

uint32_t shard_emptiest_slot(const struct shard *shard)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < SLOTS_PER_FRAME; i++)
        if (shard->slot_members[i] < shard->slot_members[best])
            best = i;
    return best;
}

uint32_t shard_next_slot(const struct shard *shard)
{
    return (uint32_t)(shard->slot_tick % SLOTS_PER_FRAME);
}

bool shard_slot_has_room(const struct shard *shard, uint32_t slot)
{
    return shard->slot_members[slot] < 2 * shard->members / SLOTS_PER_FRAME + SLOT_ROOM;
}

struct shard_load shard_load(const struct shard *shard)
{
    return (struct shard_load){.actors = shard->actors_used,
                               .queue_depth = shard->queue_count + shard->outbox_count,
                               .frames_used = frame_pool_used(shard->pool),
                               .frames_max = frame_pool_size(shard->pool),
                               .messages = shard->messages,
                               .dropped = shard->dropped,
                               .stale = shard->stale,
                               .slow = shard->slow};
}

uint32_t shard_type_used(const struct shard *shard, const struct actor_type *type)
{
    for (size_t i = 0; i < shard->setup.type_count; i++)
        if (shard->slabs[i].type == type)
            return shard->slabs[i].used;
    return 0;
}

struct actor_id shard_only(const struct shard *shard, const struct actor_type *type)
{
    for (size_t i = 0; i < shard->setup.type_count; i++) {
        const struct slab *slab = &shard->slabs[i];
        if (slab->type == type && slab->max == 1 && shard->actors[slab->base])
            return shard->actors[slab->base]->id;
    }
    return ACTOR_NOBODY;
}

/* The actor after `a` in a walk of its tree, children before siblings; NULL at the end. */
static struct actor *walk_next(struct actor *a, int *depth)
{
    if (a->child) {
        (*depth)++;
        return a->child;
    }
    while (!a->sibling || !a->parent) {
        if (!a->parent)
            return NULL;
        a = a->parent;
        (*depth)--;
    }
    return a->sibling;
}

void shard_visit(struct shard *shard, void (*visit)(void *context, struct actor *a, int depth),
                 void *context)
{
    for (uint32_t slot = 0; slot < shard->slots_total; slot++) {
        struct actor *a = shard->actors[slot];
        int depth = 0;
        if (!a || a->parent)
            continue;
        for (; a; a = walk_next(a, &depth))
            visit(context, a, depth);
    }
}

void shard_watch(struct shard *shard,
                 void (*seen)(void *context, const struct actor *a, const struct msg *m),
                 void *context)
{
    shard->seen = seen;
    shard->seen_context = context;
}

uint64_t shard_signature(const struct shard *shard)
{
    return shard->signature;
}

struct mailbox *shard_mailbox(struct shard *shard)
{
    return shard->box;
}
