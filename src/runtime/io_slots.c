#include "runtime/io_slots.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/pages.h"

#define SLOT_MASK       ((UINT32_C(1) << IO_SLOT_BITS) - 1)
#define GENERATION_MASK ((UINT32_C(1) << (32 - IO_SLOT_BITS)) - 1)

_Static_assert(IO_HANDLES_MAX + IO_HANDLES_MAX / 4 + 64 < (1 << IO_SLOT_BITS),
               "slots have numbers");

int64_t core_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void free_list_add(struct io_core *core, struct slot *s)
{
    uint32_t number = slot_number(core, s);

    /* First in, first out: a number comes back as late as possible, so its generations last. */
    s->free_next = 0;
    if (core->free_last)
        core->slots[core->free_last].free_next = number;
    else
        core->free_first = number;
    core->free_last = number;
}

static int tables_new(struct io_core *core)
{
    uint32_t nodes = frame_pool_size(core->pool) + core->handles_max;
    uint32_t writes = 2 * core->handles_max + IO_WRITES_SPARE;

    core->slots = pages_new((core->slot_count + 1) * sizeof(*core->slots));
    core->nodes = calloc(nodes + 1, sizeof(*core->nodes));
    core->writes = calloc(writes + 1, sizeof(*core->writes));
    if (!core->nodes || !core->writes)
        return -ENOMEM;
    for (uint32_t i = 1; i <= core->slot_count; i++) {
        core->slots[i].fd = -1;
        free_list_add(core, &core->slots[i]);
    }
    for (uint32_t i = 1; i <= nodes; i++)
        core->nodes[i].next = i < nodes ? i + 1 : 0;
    for (uint32_t i = 1; i <= writes; i++)
        core->writes[i].next = i < writes ? i + 1 : 0;
    core->node_free = core->write_free = 1;
    return 0;
}

static void core_free(struct io_core *core)
{
    if (core->wake_fd >= 0)
        close(core->wake_fd);
    if (core->reserve_fd >= 0)
        close(core->reserve_fd);
    pages_free(core->slots, (core->slot_count + 1) * sizeof(*core->slots));
    free(core->nodes);
    free(core->writes);
}

int core_init(struct io_core *core, const struct io_setup *setup, const struct io_ops *ops)
{
    int err;

    core->wake_fd = core->reserve_fd = -1;
    if (!setup->pool || !setup->deliver || setup->handles_max == 0 ||
        setup->handles_max > IO_HANDLES_MAX)
        return -EINVAL;
    core->io.ops = ops;
    core->pool = setup->pool;
    core->deliver = setup->deliver;
    core->soon = setup->soon;
    core->woken = setup->woken;
    core->context = setup->context;
    core->handles_max = setup->handles_max;
    /* Closed ones linger until the kernel lets go of them, beside those that are open. */
    core->slot_count = setup->handles_max + setup->handles_max / 4 + 64;
    err = tables_new(core);
    if (err)
        goto fail;
    core->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->reserve_fd = core->wake_fd < 0 ? -1 : fcntl(core->wake_fd, F_DUPFD_CLOEXEC, 0);
    err = core->reserve_fd < 0 ? -errno : 0;
    if (err)
        goto fail;
    return 0;
fail:
    core_free(core);
    return err;
}

void core_fini(struct io_core *core)
{
    for (uint32_t i = 1; i <= core->slot_count; i++)
        assert(core->slots[i].kind == SLOT_FREE);
    core_free(core);
}

uint32_t slot_number(const struct io_core *core, const struct slot *s)
{
    return (uint32_t)(s - core->slots);
}

io_id slot_id(const struct io_core *core, const struct slot *s)
{
    return (s->serial & GENERATION_MASK) << IO_SLOT_BITS | slot_number(core, s);
}

bool slot_is(const struct slot *s, uint32_t serial)
{
    return s->serial == serial && s->kind != SLOT_FREE && !s->dead;
}

/* The fields of the last occupant go; its serial and its places in the lists stay: a slot found in
 * a list on behalf of an earlier occupant is merely looked at once too often. */
static void slot_reset(struct slot *s)
{
    struct slot fresh = {
        .fd = -1,
        .serial = s->serial,
        .todo_listed = s->todo_listed,
        .ready_listed = s->ready_listed,
        .todo_next = s->todo_next,
        .ready_next = s->ready_next,
    };

    *s = fresh;
}

struct slot *slot_open(struct io_core *core, enum slot_kind kind, uint64_t owner, int fd)
{
    uint32_t number = core->free_first;
    struct slot *s = &core->slots[number];

    if (!number || core->live >= core->handles_max)
        return NULL;
    core->free_first = s->free_next;
    if (!core->free_first)
        core->free_last = 0;
    slot_reset(s);
    s->serial++;
    if ((s->serial & GENERATION_MASK) == 0)
        s->serial++;
    s->kind = (uint8_t)kind;
    s->owner = owner;
    s->fd = fd;
    core->live++;
    return s;
}

struct slot *slot_find(struct io_core *core, io_id id, enum slot_kind kind)
{
    uint32_t number = id & SLOT_MASK;
    struct slot *s;

    if (number == 0 || number > core->slot_count)
        return NULL;
    s = &core->slots[number];
    if (s->kind == SLOT_FREE || s->dead || slot_id(core, s) != id)
        return NULL;
    return kind == SLOT_FREE || s->kind == kind ? s : NULL;
}

void slot_kill(struct io_core *core, struct slot *s)
{
    assert(!s->dead && s->kind != SLOT_FREE);
    s->dead = true;
    s->pend = 0;
    core->live--;
    if (s->starved) {
        s->starved = false;
        core->starved--;
    }
}

void slot_release(struct io_core *core, struct slot *s)
{
    assert(s->dead && s->ops == 0 && !s->held_first);
    flush_end(core, s);
    queue_drop(core, s);
    if (s->fd >= 0)
        close(s->fd);
    slot_reset(s);
    free_list_add(core, s);
}

void slot_deliver(struct io_core *core, const struct slot *s, struct io_event e)
{
    e.id = slot_id(core, s);
    e.owner = s->owner;
    if (!e.peer.family)
        e.peer = s->peer;
    core->delivered++;
    core->deliver(core->context, &e);
}

/* ---- lists ---- */
void slot_todo(struct io_core *core, struct slot *s)
{
    uint32_t number = slot_number(core, s);

    if (s->todo_listed)
        return;
    s->todo_listed = true;
    s->todo_next = 0;
    if (core->todo.last)
        core->slots[core->todo.last].todo_next = number;
    else
        core->todo.first = number;
    core->todo.last = number;
}

void slot_ready(struct io_core *core, struct slot *s, enum slot_pend pend)
{
    uint32_t number = slot_number(core, s);

    s->pend |= (uint8_t)pend;
    if (s->ready_listed)
        return;
    s->ready_listed = true;
    s->ready_next = 0;
    if (core->ready.last)
        core->slots[core->ready.last].ready_next = number;
    else
        core->ready.first = number;
    core->ready.last = number;
}

uint32_t list_take(struct slot_list *list)
{
    uint32_t first = list->first;

    list->first = list->last = 0;
    return first;
}

struct slot *todo_next(struct io_core *core, uint32_t *at)
{
    struct slot *s = &core->slots[*at];

    if (!*at)
        return NULL;
    *at = s->todo_next;
    s->todo_listed = false;
    return s;
}

struct slot *ready_next(struct io_core *core, uint32_t *at)
{
    struct slot *s = &core->slots[*at];

    if (!*at)
        return NULL;
    *at = s->ready_next;
    s->ready_listed = false;
    return s;
}

void flush_begin(struct io_core *core, struct slot *s)
{
    uint32_t number = slot_number(core, s);

    assert(!s->close_at_ns);
    s->flush = true;
    s->close_at_ns = core_now_ns() + IO_FLUSH_NS;
    s->close_prev = core->close_last;
    s->close_next = 0;
    if (core->close_last)
        core->slots[core->close_last].close_next = number;
    else
        core->close_first = number;
    core->close_last = number;
}

void flush_end(struct io_core *core, struct slot *s)
{
    s->flush = false;
    if (!s->close_at_ns)
        return;
    s->close_at_ns = 0;
    if (s->close_prev)
        core->slots[s->close_prev].close_next = s->close_next;
    else
        core->close_first = s->close_next;
    if (s->close_next)
        core->slots[s->close_next].close_prev = s->close_prev;
    else
        core->close_last = s->close_prev;
}

struct slot *flush_late(struct io_core *core)
{
    struct slot *s = &core->slots[core->close_first];

    return core->close_first && s->close_at_ns <= core_now_ns() ? s : NULL;
}

int64_t core_wait_ns(const struct io_core *core, int64_t timeout_ns)
{
    if (core->starved && timeout_ns > IO_RETRY_NS)
        timeout_ns = IO_RETRY_NS;
    if (core->close_first) {
        int64_t left = core->slots[core->close_first].close_at_ns - core_now_ns();
        if (left < timeout_ns)
            timeout_ns = left;
    }
    return timeout_ns > 0 ? timeout_ns : 0;
}

/* ---- what is to be sent ---- */
static void queue_step(struct io_core *core, struct slot *s)
{
    s->send_offset = 0;
    s->send_frames--;
    s->send_at = frame_at(core->pool, s->send_at)->next;
    if (s->send_at != FRAME_NONE)
        return;
    /* A chain goes back as a whole: others may hold parts of it. */
    uint32_t number = s->node_first;
    struct send_node *node = &core->nodes[number];
    frame_put(core->pool, &node->chain);
    s->node_first = node->next;
    if (!s->node_first)
        s->node_last = 0;
    else
        s->send_at = core->nodes[s->node_first].chain;
    node->next = core->node_free;
    core->node_free = number;
}

int queue_push(struct io_core *core, struct slot *s, frame_ref take)
{
    uint32_t number = core->node_free;

    if (s->send_frames >= WS_SEND_QUEUE_MAX || !number) {
        frame_put(core->pool, &take);
        return -ENOBUFS;
    }
    core->node_free = core->nodes[number].next;
    core->nodes[number] = (struct send_node){.chain = take};
    if (s->node_last)
        core->nodes[s->node_last].next = number;
    else
        s->node_first = number;
    s->node_last = number;
    if (s->send_at == FRAME_NONE)
        s->send_at = take;
    for (frame_ref at = take; at != FRAME_NONE; at = frame_at(core->pool, at)->next)
        s->send_frames++;
    queue_taken(core, s, 0);
    return 0;
}

uint32_t queue_pieces(struct io_core *core, const struct slot *s, struct iovec *out, uint32_t max)
{
    uint32_t count = 0, number = s->node_first, offset = s->send_offset;
    frame_ref at = s->send_at;

    while (number && count < max) {
        struct frame *f = frame_at(core->pool, at);
        if (f->len > offset)
            out[count++] = (struct iovec){f->data + offset, f->len - offset};
        offset = 0;
        at = f->next;
        if (at == FRAME_NONE) {
            number = core->nodes[number].next;
            at = core->nodes[number].chain;
        }
    }
    return count;
}

void queue_taken(struct io_core *core, struct slot *s, size_t bytes)
{
    while (s->send_at != FRAME_NONE) {
        size_t left = frame_at(core->pool, s->send_at)->len - s->send_offset;
        if (left > bytes) {
            s->send_offset += (uint32_t)bytes;
            return;
        }
        bytes -= left;
        queue_step(core, s); /* also past empty frames */
    }
    assert(bytes == 0);
}

void queue_drop(struct io_core *core, struct slot *s)
{
    while (s->send_at != FRAME_NONE)
        queue_step(core, s);
    assert(s->send_frames == 0);
}

/* ---- file writes ---- */
uint32_t write_get(struct io_core *core, const struct slot *s, struct slice bytes, uint64_t offset,
                   uint64_t tag)
{
    uint32_t number = core->write_free;

    if (!number)
        return 0;
    core->write_free = core->writes[number].next;
    core->writes[number] = (struct write_node){
        .at = bytes.at,
        .len = bytes.len,
        .offset = offset,
        .tag = tag,
        .slot = slot_number(core, s),
        .serial = s->serial,
    };
    return number;
}

void write_put(struct io_core *core, uint32_t number)
{
    core->writes[number].next = core->write_free;
    core->write_free = number;
}

void write_deliver(struct io_core *core, uint32_t number)
{
    struct write_node node = core->writes[number];
    const struct slot *s = &core->slots[node.slot];

    write_put(core, number);
    if (!slot_is(s, node.serial))
        return;
    slot_deliver(
        core, s,
        (struct io_event){
            .kind = IO_WRITTEN, .err = node.err, .len = (uint32_t)node.done, .tag = node.tag});
}

/* ---- operations that are the same in both ---- */
uint32_t core_open_count(const struct io *io)
{
    return ((const struct io_core *)io)->live;
}

uint64_t core_dropped(const struct io *io)
{
    return ((const struct io_core *)io)->dropped;
}

uint64_t core_stalls(const struct io *io)
{
    return ((const struct io_core *)io)->stalls;
}

uint32_t core_stream_queued(struct io *io, io_id id)
{
    const struct slot *s = slot_find((struct io_core *)io, id, SLOT_STREAM);

    return s ? s->send_frames : 0;
}

void core_own(struct io *io, io_id id, uint64_t owner)
{
    struct slot *s = slot_find((struct io_core *)io, id, SLOT_FREE);

    if (s)
        s->owner = owner;
}

int core_watch(struct io *io, uint64_t owner, int fd, io_id *id)
{
    struct io_core *core = (struct io_core *)io;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    *id = IO_NONE;
    if (own < 0)
        return -errno;
    struct slot *s = slot_open(core, SLOT_WATCH, owner, own);
    if (!s) {
        close(own);
        return -EMFILE;
    }
    s->up = true;
    slot_todo(core, s);
    *id = slot_id(core, s);
    return 0;
}

void core_wake(struct io *io)
{
    uint64_t one = 1;

    /* It can only fail when the counter is full, and then the waiter wakes anyway. */
    if (write(((struct io_core *)io)->wake_fd, &one, sizeof(one)) < 0)
        return;
}

void core_woken(struct io_core *core)
{
    struct io_event e = {.kind = IO_WOKEN};
    uint64_t count;

    if (read(core->wake_fd, &count, sizeof(count)) < 0)
        return;
    core->delivered++;
    core->deliver(core->context, &e);
}
