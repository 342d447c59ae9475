#include "runtime/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/ring.h"

/* How a message lies in a ring: the msg (its `frame` counts frames, its `spare` says which form),
 * then either plain bytes, or each frame's header and data. */
#define FORM_FRAMES 0
#define FORM_BYTES  1

struct wire_frame {
    uint32_t len;
    uint32_t rate_hz;
    int64_t sample;
    int64_t at_ns;
    uint32_t generation;
    uint32_t tag;
};

struct host {
    atomic_int sleeping;
    void (*wake)(void *context);
    void *context;
} __attribute__((aligned(64)));

struct mesh {
    uint32_t hosts;
    struct host host[SHARDS_MAX];
    struct ring *control[SHARDS_MAX][SHARDS_MAX]; /* [from][to] */
    struct ring *audio[SHARDS_MAX][SHARDS_MAX];
};

struct mailbox {
    struct mesh *mesh;
    uint32_t host;
    uint32_t next; /* round robin over senders */
    bool wakes;    /* it is the one whose host the others wake */
    uint64_t dropped;
    uint8_t *scratch; /* a chain is laid out here before it is pushed */
    size_t scratch_bytes;
};

struct mesh *mesh_new(uint32_t hosts)
{
    struct mesh *mesh = aligned_alloc(64, (sizeof(*mesh) + 63) & ~(size_t)63);

    assert(hosts <= SHARDS_MAX);
    if (!mesh)
        abort();
    memset(mesh, 0, sizeof(*mesh));
    mesh->hosts = hosts;
    return mesh;
}

void mesh_free(struct mesh **mesh)
{
    if (!*mesh)
        return;
    for (uint32_t a = 0; a < (*mesh)->hosts; a++) {
        for (uint32_t b = 0; b < (*mesh)->hosts; b++) {
            ring_free(&(*mesh)->control[a][b]);
            ring_free(&(*mesh)->audio[a][b]);
        }
    }
    free(*mesh);
    *mesh = NULL;
}

void mesh_pair(struct mesh *mesh, uint32_t a, uint32_t b, size_t control_bytes, bool audio)
{
    assert(a != b && a < mesh->hosts && b < mesh->hosts);
    mesh->control[a][b] = ring_new(control_bytes);
    mesh->control[b][a] = ring_new(control_bytes);
    if (audio) {
        mesh->audio[a][b] = ring_new(RING_BYTES);
        mesh->audio[b][a] = ring_new(RING_BYTES);
    }
}

struct mailbox *mailbox_new(struct mesh *mesh, uint32_t host, void (*wake)(void *context),
                            void *context)
{
    struct mailbox *box = calloc(1, sizeof(*box));

    if (!box)
        abort();
    box->mesh = mesh;
    box->host = host;
    box->scratch_bytes = 65536;
    box->scratch = malloc(box->scratch_bytes);
    if (!box->scratch)
        abort();
    box->wakes = wake != NULL;
    if (wake) { /* a box that only sends leaves the way to wake the host as it is */
        mesh->host[host].wake = wake;
        mesh->host[host].context = context;
    }
    return box;
}

void mailbox_free(struct mailbox **box)
{
    if (!*box)
        return;
    if ((*box)->wakes)
        (*box)->mesh->host[(*box)->host].wake = NULL;
    free((*box)->scratch);
    free(*box);
    *box = NULL;
}

/* ---- sending ---- */

static struct ring *ring_to(struct mailbox *box, const struct msg *m)
{
    uint32_t to = m->to.shard;
    struct ring *audio;

    if (to >= box->mesh->hosts)
        return NULL;
    audio = box->mesh->audio[box->host][to];
    return m->live && audio ? audio : box->mesh->control[box->host][to];
}

static int push(struct mailbox *box, const struct msg *m, struct slice head, struct slice bytes)
{
    struct ring *ring = ring_to(box, m);
    struct host *to = &box->mesh->host[m->to.shard];

    if (!ring)
        return -ENXIO;
    if (!ring_fits(ring, head.len + bytes.len))
        return -EMSGSIZE;
    if (!ring_push(ring, head, bytes)) {
        box->dropped += m->live;
        metrics_add(METRIC_RING_REFUSED_AUDIO, m->live);
        return -EAGAIN;
    }
    /* Pairs with the fence in mailbox_sleep: either the sleeper sees the record, or we see that it
     * sleeps. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&to->sleeping, memory_order_relaxed) &&
        atomic_exchange(&to->sleeping, 0) && to->wake)
        to->wake(to->context);
    return 0;
}

int mailbox_push_bytes(struct mailbox *box, const struct msg *m, struct slice bytes)
{
    struct msg wire = *m;

    wire.spare = FORM_BYTES;
    wire.frame = FRAME_NONE;
    return push(box, &wire, slice_of(&wire, sizeof(wire)), bytes);
}

static struct wire_frame wire_frame_of(const struct frame *f)
{
    return (struct wire_frame){.len = f->len,
                               .rate_hz = f->rate_hz,
                               .sample = f->sample,
                               .at_ns = f->at_ns,
                               .generation = f->generation,
                               .tag = f->tag};
}

int mailbox_push(struct mailbox *box, const struct msg *m, struct frame_pool *pool)
{
    struct builder b = builder_of(box->scratch, box->scratch_bytes);
    struct msg wire = *m;

    wire.spare = FORM_FRAMES;
    wire.frame = 0;
    for (frame_ref ref = m->frame; ref != FRAME_NONE;) {
        const struct frame *f = frame_at(pool, ref);
        struct wire_frame head = wire_frame_of(f);
        builder_bytes(&b, &head, sizeof(head));
        builder_bytes(&b, f->data, f->len);
        wire.frame++;
        ref = f->next;
    }
    if (b.bad)
        return -EMSGSIZE;
    return push(box, &wire, slice_of(&wire, sizeof(wire)), builder_slice(&b));
}

/* ---- receiving ---- */

/* The oldest record of the next sender that has one, and the ring it lies in. */
static struct ring *next_record(struct mailbox *box, struct slice *record)
{
    struct mesh *mesh = box->mesh;

    for (uint32_t i = 0; i < mesh->hosts; i++) {
        uint32_t from = (box->next + i) % mesh->hosts;
        struct ring *control = mesh->control[from][box->host];
        struct ring *audio = mesh->audio[from][box->host];
        if (control && ring_peek(control, record)) {
            box->next = audio && ring_used(audio) ? from : from + 1;
            return control;
        }
        if (audio && ring_peek(audio, record)) {
            box->next = from + 1;
            return audio;
        }
    }
    return NULL;
}

/* Rebuilds the frames of a record in our own pool; false when the pool is empty. */
static bool unpack_frames(struct frame_pool *pool, uint32_t count, struct slice bytes,
                          frame_ref *out)
{
    struct reader r = reader_of(bytes);
    frame_ref first = FRAME_NONE, last = FRAME_NONE;

    for (uint32_t i = 0; i < count; i++) {
        struct wire_frame head;
        memcpy(&head, reader_take(&r, sizeof(head)).at, sizeof(head));
        struct slice data = reader_take(&r, head.len);
        frame_ref ref = frame_get(pool);
        if (ref == FRAME_NONE) {
            frame_put(pool, &first);
            return false;
        }
        struct frame *f = frame_at(pool, ref);
        f->len = head.len;
        f->rate_hz = head.rate_hz;
        f->sample = head.sample;
        f->at_ns = head.at_ns;
        f->generation = head.generation;
        f->tag = head.tag;
        if (data.len)
            memcpy(f->data, data.at, data.len);
        if (last == FRAME_NONE)
            first = ref;
        else
            frame_at(pool, last)->next = ref;
        last = ref;
    }
    *out = first;
    return true;
}

static bool unpack(struct frame_pool *pool, struct slice record, struct msg *m)
{
    struct slice bytes = slice_of(record.at + sizeof(*m), record.len - sizeof(*m));
    frame_ref frame = FRAME_NONE;

    memcpy(m, record.at, sizeof(*m));
    if (m->spare == FORM_FRAMES) {
        if (!unpack_frames(pool, m->frame, bytes, &frame))
            return false;
    } else if (bytes.len) {
        frame = frame_chain(pool, bytes);
        if (frame == FRAME_NONE)
            return false;
    }
    m->frame = frame;
    m->spare = 0;
    return true;
}

bool mailbox_pop(struct mailbox *box, struct frame_pool *pool, struct msg *m)
{
    struct slice record;
    struct ring *ring;

    while ((ring = next_record(box, &record))) {
        bool whole = unpack(pool, record, m);
        if (!whole && !m->live)
            return false; /* it stays in the ring until frames are free again */
        ring_pop(ring);
        if (whole)
            return true;
        box->dropped++;
    }
    return false;
}

bool mailbox_pop_bytes(struct mailbox *box, struct msg *m, struct builder *out)
{
    struct slice record;
    struct ring *ring = next_record(box, &record);

    if (!ring)
        return false;
    memcpy(m, record.at, sizeof(*m));
    struct reader r = reader_of(slice_of(record.at + sizeof(*m), record.len - sizeof(*m)));
    if (m->spare == FORM_BYTES)
        builder_slice_add(out, reader_take(&r, reader_left(&r)));
    for (uint32_t i = 0; m->spare == FORM_FRAMES && i < m->frame; i++) {
        struct wire_frame head;
        memcpy(&head, reader_take(&r, sizeof(head)).at, sizeof(head));
        builder_slice_add(out, reader_take(&r, head.len));
    }
    m->frame = FRAME_NONE;
    ring_pop(ring);
    return true;
}

/* ---- sleeping ---- */

bool mailbox_sleep(struct mailbox *box)
{
    struct host *me = &box->mesh->host[box->host];
    struct slice record;

    atomic_store(&me->sleeping, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (!next_record(box, &record))
        return true;
    atomic_store(&me->sleeping, 0);
    return false;
}

void mailbox_awake(struct mailbox *box)
{
    atomic_store(&box->mesh->host[box->host].sleeping, 0);
}

uint64_t mailbox_dropped(const struct mailbox *box)
{
    return box->dropped;
}
