#include "runtime/actor.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/shard_inner.h"

#define STOP_DEADLINE_TAG UINT32_MAX

void actor_list_add(struct actor_list *list, struct actor *a)
{
    a->queue_next = NULL;
    *list->end = a;
    list->end = &a->queue_next;
}

struct actor *actor_list_take(struct actor_list *list)
{
    struct actor *a = list->first;

    if (!a)
        return NULL;
    list->first = a->queue_next;
    if (!list->first)
        list->end = &list->first;
    a->queue_next = NULL;
    return a;
}

/* ---- spawning ---- */

static struct slab *slab_of(struct shard *shard, const struct actor_type *type)
{
    for (size_t i = 0; i < shard->setup.type_count; i++)
        if (shard->slabs[i].type == type)
            return &shard->slabs[i];
    assert(false && "actor type unknown to this shard");
    return NULL;
}

static struct actor *slot_take(struct shard *shard, const struct actor_type *type)
{
    struct slab *slab = slab_of(shard, type);

    if (slab->free_count == 0)
        return NULL;
    uint32_t slot = slab->free[--slab->free_count];
    struct actor *a = shard_actor_in(shard, slot);
    memset(a, 0, type->size_bytes);
    a->id.slot = slot & 0xFFFFFFu;
    a->id.shard = shard->setup.index & 0xFFu;
    a->id.generation = shard->generations[slot];
    a->type = type;
    a->shard = shard;
    a->life = ACTOR_RUNNING;
    shard->actors[slot] = a;
    shard->actors_used++;
    slab->used++;
    return a;
}

static void slot_give_back(struct actor *a)
{
    struct shard *shard = a->shard;
    struct slab *slab = slab_of(shard, a->type);

    shard->actors[a->id.slot] = NULL;
    if (++shard->generations[a->id.slot] == 0)
        shard->generations[a->id.slot] = 1; /* 0 is nobody */
    shard->actors_used--;
    slab->used--;
    slab->free[slab->free_count++] = a->id.slot;
    a->life = ACTOR_FREE;
}

static void child_link(struct actor *parent, struct actor *child)
{
    child->parent = parent;
    child->sibling = parent->child;
    parent->child = child;
}

static void child_unlink(struct actor *child)
{
    struct actor **at = &child->parent->child;

    while (*at != child)
        at = &(*at)->sibling;
    *at = child->sibling;
    child->sibling = NULL;
}

struct actor *actor_spawn(struct shard *shard, const struct actor_type *type, struct actor *parent,
                          uint32_t role, const void *arguments, size_t arguments_bytes,
                          frame_ref take)
{
    struct actor *a = slot_take(shard, type);

    if (!a) {
        frame_put(shard->pool, &take);
        return NULL;
    }
    a->role = role;
    if (parent)
        child_link(parent, a);
    struct msg m = msg_make(a->id, MSG_START, arguments, arguments_bytes);
    m.frame = take;
    if (parent)
        m.from = parent->id;
    shard_dispatch(shard, a, &m);
    return a;
}

void actor_adopt(struct actor *new_parent, struct actor *child, uint32_t role)
{
    child_unlink(child);
    child->role = role;
    child_link(new_parent, child);
}

struct actor *actor_find(struct shard *shard, struct actor_id id)
{
    if (id.shard != shard->setup.index || id.slot >= shard->slots_total)
        return NULL;
    struct actor *a = shard->actors[id.slot];
    if (!a || a->id.generation != id.generation || a->life == ACTOR_ENDED)
        return NULL;
    return a;
}

struct actor *actor_child(struct actor *parent, uint32_t role)
{
    for (struct actor *c = parent->child; c; c = c->sibling)
        if (c->role == role && c->life != ACTOR_ENDED)
            return c;
    return NULL;
}

/* ---- the one stop path ---- */

void actor_stop(struct shard *shard, struct actor_id id, struct reason reason)
{
    struct actor *a = actor_find(shard, id);

    if (!a || a->life != ACTOR_RUNNING)
        return;
    a->life = ACTOR_STOPPING;
    a->reason = reason;
    actor_list_add(&shard->stops, a);
}

void actor_stop_self(struct actor *a, struct reason reason)
{
    actor_stop(a->shard, a->id, reason);
}

void actor_stop_until(struct actor *a, int64_t at_ns)
{
    assert(a->life == ACTOR_STOPPING);
    wheel_set(&a->shard->wheel, &a->stop_deadline.timer, at_ns);
}

void actor_end(struct actor *a)
{
    if (a->life == ACTOR_ENDED)
        return;
    assert(a->life == ACTOR_STOPPING);
    assert(a->child == NULL);
    a->life = ACTOR_ENDED;
    actor_list_add(&a->shard->ended, a);
}

static void run_stop(struct actor *a)
{
    struct shard *shard = a->shard;
    struct actor_id id = a->id;
    struct stop_msg body = {.err = a->reason.err};

    a->stop_deadline.tag = STOP_DEADLINE_TAG;
    wheel_set(&shard->wheel, &a->stop_deadline.timer, shard->now_ns + ACTOR_STOP_NS);
    snprintf(body.what, sizeof(body.what), "%s", a->reason.what);
    /* Leaves first: the children are asked before the parent is told, so that both can wind down
     * at once, but the parent cannot end before they have. */
    for (struct actor *c = a->child; c; c = c->sibling)
        actor_stop(shard, c->id, a->reason);
    struct msg m = msg_make(id, MSG_STOP, &body, sizeof(body));
    shard_dispatch(shard, a, &m);
}

static bool ledger_is_zero(const struct ledger *l)
{
    return l->handles == 0 && l->timers == 0 && l->sessions == 0 && l->frames == 0 &&
           l->blocks == 0;
}

static void log_ledger(struct actor *a)
{
    const struct log_about *about = a->type->about ? a->type->about(a) : NULL;

    log_error("runtime", about,
              "%s ended holding %u handles, %u timers, %u sessions, %u frames, %u blocks",
              a->type->name, a->ledger.handles, a->ledger.timers, a->ledger.sessions,
              a->ledger.frames, a->ledger.blocks);
}

/* The next place in the shard's own queue, where there is room. */
static struct msg *queue_place(struct shard *shard)
{
    return &shard->queue[(shard->queue_head + shard->queue_count++) % LOCAL_QUEUE_MAX];
}

/* Behind what the child itself has sent; when the queue is full, at once. */
static void tell_parent(struct shard *shard, struct actor *parent, struct msg *m)
{
    if (shard->queue_count == LOCAL_QUEUE_MAX) {
        shard_dispatch(shard, parent, m);
        return;
    }
    *queue_place(shard) = *m;
}

static void bury(struct actor *a)
{
    struct shard *shard = a->shard;
    struct actor *parent = a->parent;
    struct child_ended_msg body = {.child = a->id, .role = a->role, .err = a->reason.err};

    wheel_cancel(&shard->wheel, &a->stop_deadline.timer);
    actor_slot_leave(a);
    if (!ledger_is_zero(&a->ledger)) {
        log_ledger(a);
        assert(a->forced);
    }
    snprintf(body.what, sizeof(body.what), "%s", a->reason.what);
    if (parent)
        child_unlink(a);
    slot_give_back(a);
    if (parent) {
        struct msg m = msg_make(parent->id, MSG_CHILD_ENDED, &body, sizeof(body));
        m.from = body.child;
        tell_parent(shard, parent, &m);
    }
}

bool shard_run_stops(struct shard *shard)
{
    bool any = false;

    for (;;) {
        struct actor *a = actor_list_take(&shard->stops);
        if (a) {
            run_stop(a);
        } else {
            a = actor_list_take(&shard->ended);
            if (!a)
                return any;
            bury(a);
        }
        any = true;
    }
}

/* Its deadline has passed: take back what it holds, the children's first. */
static void end_by_force(struct actor *a)
{
    struct shard *shard = a->shard;
    const struct log_about *about = a->type->about ? a->type->about(a) : NULL;

    if (a->life == ACTOR_ENDED)
        return;
    if (a->child) { /* theirs passes in the same round; then look again */
        wheel_set(&shard->wheel, &a->stop_deadline.timer, shard->now_ns + MS(100));
        return;
    }
    log_error("runtime", about, "%s did not stop in time and is ended by force", a->type->name);
    a->forced = 1;
    while (a->timers)
        actor_timer_cancel(a, a->timers);
    lane_close_owned(a);
    while (a->memory)
        actor_memory_put(a, a->memory + 1);
    if (shard->io && a->ledger.handles)
        a->ledger.handles =
            (uint16_t)(a->ledger.handles - shard->io->ops->close_owned(shard->io, actor_owner(a)));
    actor_end(a);
}

/* ---- timers ---- */

static void timer_unlink(struct actor *a, struct actor_timer *t)
{
    struct actor_timer **at = &a->timers;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->next = NULL;
    t->owner = NULL;
    a->ledger.timers--;
}

void actor_timer_set(struct actor *a, struct actor_timer *t, uint32_t tag, int64_t at_ns)
{
    if (!t->owner) {
        t->owner = a;
        t->next = a->timers;
        a->timers = t;
        a->ledger.timers++;
    }
    t->tag = tag;
    wheel_set(&a->shard->wheel, &t->timer, at_ns);
}

void actor_timer_cancel(struct actor *a, struct actor_timer *t)
{
    if (!t->owner)
        return;
    wheel_cancel(&a->shard->wheel, &t->timer);
    timer_unlink(a, t);
}

void shard_fire_timers(struct shard *shard)
{
    struct timer *due;
    uint32_t most = shard->wheel.count; /* one set anew for now fires in the next round */

    while (most-- && (due = wheel_pop(&shard->wheel, shard->now_ns))) {
        struct actor_timer *t = container_of(due, struct actor_timer, timer);
        if (t->tag == STOP_DEADLINE_TAG && !t->owner) {
            end_by_force(container_of(t, struct actor, stop_deadline));
            continue;
        }
        struct actor *a = t->owner;
        struct timer_msg body = {.tag = t->tag};
        timer_unlink(a, t);
        struct msg m;
        msg_fill(&m, a->id, MSG_TIMER, &body, sizeof(body));
        shard_dispatch(shard, a, &m);
    }
}

/* ---- slots ---- */

void actor_slot_join(struct actor *a, uint32_t slot)
{
    struct shard *shard = a->shard;
    struct slot_place *place = &a->slot;

    assert(slot < SLOTS_PER_FRAME);
    actor_slot_leave(a);
    place->actor = a;
    place->next = shard->slots[slot];
    if (place->next)
        place->next->prev = &place->next;
    place->prev = &shard->slots[slot];
    shard->slots[slot] = place;
    a->paired_slot = (uint8_t)slot;
    shard->slot_members[slot]++;
    if (shard->members++ == 0)
        shard->slot_tick = shard->now_ns / TICK_NS + 1;
}

void actor_slot_leave(struct actor *a)
{
    struct slot_place *place = &a->slot;

    if (!place->prev)
        return;
    *place->prev = place->next;
    if (place->next)
        place->next->prev = place->prev;
    place->prev = NULL;
    a->shard->slot_members[a->paired_slot]--;
    a->shard->members--;
}

/* ---- frames ---- */

frame_ref actor_frame_hold(struct actor *a, frame_ref ref)
{
    a->ledger.frames++;
    return frame_keep(a->shard->pool, ref);
}

void actor_frame_let_go(struct actor *a, frame_ref *ref)
{
    if (*ref == FRAME_NONE)
        return;
    a->ledger.frames--;
    frame_put(a->shard->pool, ref);
}

/* ---- memory ---- */

void *actor_memory(struct actor *a, size_t bytes)
{
    void *block = block_get(a->shard->blocks, bytes);

    if (!block)
        return NULL;
    struct block_head *head = block_head(block);
    head->next = a->memory;
    a->memory = head;
    a->ledger.blocks++;
    return block;
}

/* An actor has a handful of blocks at most. */
void actor_memory_put(struct actor *a, void *block)
{
    struct block_head **at = &a->memory;

    if (!block)
        return;
    while (*at != block_head(block))
        at = &(*at)->next;
    *at = (*at)->next;
    a->ledger.blocks--;
    block_put(a->shard->blocks, block);
}

/* ---- sending ---- */

/* The call a sender belongs to: its outermost parent below the root. */
static struct actor *outermost(struct actor *a)
{
    while (a->parent && a->parent->parent)
        a = a->parent;
    return a;
}

static bool refused(struct actor *from, struct msg *m, enum if_full policy)
{
    frame_put(from->shard->pool, &m->frame);
    from->shard->dropped++;
    /* A root is no call: to stop it would end every call below it. */
    if (policy == IF_FULL_STOP && !from->parent)
        log_error(from->type->name, NULL, "message %u found no room and is lost", m->type);
    else if (policy == IF_FULL_STOP)
        actor_stop(from->shard, outermost(from)->id, REASON(ENOBUFS, "a message queue is full"));
    return false;
}

/* As actor_find() without touching the actor, nor the pointer to it. Of one that has ended and is
 * not buried yet it says yes, and the message is stale when its turn comes. */
static bool is_there(const struct shard *shard, struct actor_id id)
{
    if (id.slot >= shard->slots_total || shard->generations[id.slot] != id.generation)
        return false;
    if (shard->queue_count <= FETCH_AHEAD) /* else it is when its turn is near */
        shard_fetch(shard, id.slot);
    return true;
}

bool actor_send(struct actor *from, struct msg *m, enum if_full policy)
{
    struct shard *shard = from->shard;

    m->from = from->id;
    if (m->to.shard != shard->setup.index) {
        if (shard_send_away(shard, m))
            return refused(from, m, policy);
        return true;
    }
    if (!is_there(shard, m->to)) {
        frame_put(shard->pool, &m->frame);
        shard->stale++;
        return false;
    }
    if (shard->queue_count == LOCAL_QUEUE_MAX)
        return refused(from, m, policy);
    *queue_place(shard) = *m;
    return true;
}

bool actor_send_body(struct actor *from, struct actor_id to, uint16_t type, enum if_full policy,
                     frame_ref take, const void *body, size_t body_bytes)
{
    struct shard *shard = from->shard;

    /* Made where it is queued. */
    if (to.shard == shard->setup.index && shard->queue_count < LOCAL_QUEUE_MAX &&
        is_there(shard, to)) {
        struct msg *at = queue_place(shard);
        msg_fill(at, to, type, body, body_bytes);
        at->from = from->id;
        at->frame = take;
        return true;
    }
    struct msg m = msg_make(to, type, body, body_bytes);
    m.frame = take;
    return actor_send(from, &m, policy);
}

void actor_check_failed(struct actor *a, const char *truth, const char *file, int line)
{
    const struct log_about *about = a->type->about ? a->type->about(a) : NULL;

    log_error(a->type->name, about, "check failed at %s:%d: %s", file, line, truth);
    actor_stop(a->shard, outermost(a)->id, REASON(EPROTO, "an internal check failed"));
}

/* ---- io in the actor's name ---- */

static int counted(struct actor *a, int result)
{
    if (result == 0)
        a->ledger.handles++;
    return result;
}

int actor_udp_open(struct actor *a, const struct address *local, io_id *id, struct address *bound)
{
    struct io *io = a->shard->io;

    return counted(a, io->ops->udp_open(io, actor_owner(a), local, id, bound));
}

int actor_listen(struct actor *a, const struct address *local, io_id *id, struct address *bound)
{
    struct io *io = a->shard->io;

    return counted(a, io->ops->listen(io, actor_owner(a), local, id, bound));
}

int actor_connect(struct actor *a, const struct address *peer, io_id *id)
{
    struct io *io = a->shard->io;

    return counted(a, io->ops->connect(io, actor_owner(a), peer, id));
}

int actor_file_open(struct actor *a, const char *path, int flags, unsigned mode, io_id *id)
{
    struct io *io = a->shard->io;

    return counted(a, io->ops->file_open(io, actor_owner(a), path, flags, mode, id));
}

int actor_watch(struct actor *a, int fd, io_id *id)
{
    struct io *io = a->shard->io;

    *id = IO_NONE;
    if (!io || !io->ops->watch) /* the simulator: there is nothing foreign in it */
        return -ENOTSUP;
    return counted(a, io->ops->watch(io, actor_owner(a), fd, id));
}

void actor_io_close(struct actor *a, io_id *id, bool flush)
{
    struct io *io = a->shard->io;

    if (*id == IO_NONE)
        return;
    io->ops->close(io, *id, flush);
    *id = IO_NONE;
    a->ledger.handles--;
}

void actor_io_give(struct actor *from, struct actor *to, io_id id)
{
    struct io *io = from->shard->io;

    io->ops->own(io, id, actor_owner(to));
    from->ledger.handles--;
    to->ledger.handles++;
}
