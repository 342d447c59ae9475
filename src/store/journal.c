#include "store/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/file_lock.h"

#define MAGIC           UINT64_C(0x314c4e524a445453) /* "STDJRNL1" */
#define FORMAT          1
#define PAGE_BYTES      4096
#define REGION_HEAD     64
#define REGIONS_MAX     256
#define REGION_MAX      ((size_t)1 << 30)
#define RECORD_MAX      (sizeof(struct disk_record) + JOURNAL_PAYLOAD_MAX)
#define RESERVE_BYTES   (5 * RECORD_MAX) /* room to carry a record over the end of two laps */
#define END_BYTES       256              /* kept free for the end of every call that is open */
#define COPY_CALL_MAX   16384 /* records of one call: its bytes over the smallest record */
#define CARRY_BYTES_MAX 65536 /* looked at for the sake of one record: some 0.2 ms */
#define NO_CALL         UINT32_MAX

/* ---- what lies in the file: native byte order, read on the machine that wrote it ---- */

struct disk_file {
    uint64_t magic;
    uint32_t format;
    uint32_t shards;
    uint64_t region_bytes; /* with its head */
};

struct disk_region {
    uint64_t head; /* position of the oldest byte in use; positions only grow */
    uint8_t spare[REGION_HEAD - 8];
};

/* `at` is the position that the record was written at: what was left there by an earlier lap of
 * the ring carries another position, so it is never taken for a record of this one. */
struct disk_record {
    uint32_t len; /* of the payload */
    uint32_t crc; /* of all that follows it, the payload included */
    uint64_t at;
    uint32_t seq;
    uint16_t type;
    uint16_t version;
    uint32_t slot; /* this and the next are meaningful only to the process that writes: */
    uint32_t back; /* bytes to the record of its call that was written before it */
    char call_id[JOURNAL_CALL_ID_BYTES];
};

_Static_assert(sizeof(struct disk_record) == 72, "records keep their size");
_Static_assert(sizeof(struct disk_region) == REGION_HEAD, "a region's head keeps its size");

struct call_slot {
    uint32_t generation; /* grows when the slot is reused */
    uint32_t seq;        /* last written */
    uint32_t records;
    bool open;
    uint32_t next_free;
    size_t bytes;   /* of its records in the ring, one copy each */
    uint64_t began; /* position from which on what bears the slot's number is this call's */
    uint64_t last;  /* position of the record that was written last */
    char call_id[JOURNAL_CALL_ID_BYTES];
};

struct place { /* a record of one call while they are put in order */
    uint32_t seq;
    uint64_t at;
};

struct journal_shard {
    struct disk_region *region;
    uint8_t *ring;
    size_t size;
    uint64_t tail; /* where the next record goes; the file does not need it */
    size_t live;   /* bytes of open calls */
    uint32_t calls;
    uint32_t free_slot;
    uint64_t refused;
    uint64_t carried;
    struct place *places;
    struct call_slot slots[JOURNAL_CALLS_MAX];
};

struct journal {
    char path[512];
    int fd;
    uint8_t *map;
    size_t map_bytes;
    uint32_t shards;
    struct journal_shard *shard[REGIONS_MAX];
};

static size_t padded(size_t payload)
{
    return (sizeof(struct disk_record) + payload + 7) & ~(size_t)7;
}

static uint32_t record_crc(const struct disk_record *r)
{
    const uint8_t *from = (const uint8_t *)r + offsetof(struct disk_record, at);
    size_t len = sizeof(*r) - offsetof(struct disk_record, at) + r->len;

    return crc32c(0, slice_of(from, len));
}

/* ---- opening ---- */

static struct journal_shard *shard_new(uint8_t *at, size_t region_bytes)
{
    struct journal_shard *s = calloc(1, sizeof(*s));

    if (!s || !(s->places = calloc(COPY_CALL_MAX, sizeof(*s->places))))
        abort();
    s->region = (struct disk_region *)(void *)at;
    s->ring = at + REGION_HEAD;
    s->size = region_bytes - REGION_HEAD;
    for (uint32_t i = 0; i < JOURNAL_CALLS_MAX; i++)
        s->slots[i].next_free = i + 1 < JOURNAL_CALLS_MAX ? i + 1 : NO_CALL;
    return s;
}

static void journal_header(struct journal *j, size_t region_bytes)
{
    struct disk_file *head = (void *)j->map;

    head->shards = j->shards;
    head->format = FORMAT;
    head->region_bytes = region_bytes;
    head->magic = MAGIC;
}

int journal_open(const char *dir, const char *name, uint32_t shards, size_t region_bytes,
                 struct journal **out, char *why, size_t why_bytes)
{
    struct journal *j = calloc(1, sizeof(*j));
    int rc;

    if (!j)
        abort();
    *out = NULL;
    assert(shards > 0 && shards <= REGIONS_MAX);
    assert(region_bytes >= JOURNAL_REGION_MIN && region_bytes <= REGION_MAX);
    region_bytes = (region_bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    j->shards = shards;
    j->map_bytes = PAGE_BYTES + shards * region_bytes;
    snprintf(j->path, sizeof(j->path), "%s/%s.journal", dir, name);
    rc = file_lock_new(dir, j->path, j->map_bytes, &j->fd, (void **)&j->map);
    if (rc) {
        snprintf(why, why_bytes, "the journal %s cannot be made: %s", j->path, strerror(-rc));
        free(j);
        return rc;
    }
    for (uint32_t i = 0; i < shards; i++)
        j->shard[i] = shard_new(j->map + PAGE_BYTES + i * region_bytes, region_bytes);
    journal_header(j, region_bytes);
    *out = j;
    return 0;
}

void journal_close(struct journal **journal)
{
    struct journal *j = *journal;
    bool keep = false;

    *journal = NULL;
    if (!j)
        return;
    for (uint32_t i = 0; i < j->shards; i++) {
        keep = keep || j->shard[i]->calls > 0;
        free(j->shard[i]->places);
        free(j->shard[i]);
    }
    if (!keep)
        unlink(j->path);
    munmap(j->map, j->map_bytes);
    close(j->fd);
    free(j);
}

struct journal_shard *journal_shard(struct journal *journal, uint32_t shard)
{
    assert(shard < journal->shards);
    return journal->shard[shard];
}

/* ---- the ring ---- */

static struct disk_record *record_at(const struct journal_shard *s, uint64_t at)
{
    return (struct disk_record *)(void *)(s->ring + at % s->size);
}

/* Bytes from this position to the end of the ring. */
static size_t lap_left(const struct journal_shard *s, uint64_t at)
{
    return s->size - (size_t)(at % s->size);
}

/* The call behind a record if it still needs it. */
static struct call_slot *record_owner(struct journal_shard *s, const struct disk_record *r)
{
    if (r->type == JOURNAL_PAD || r->slot >= JOURNAL_CALLS_MAX)
        return NULL;
    struct call_slot *c = &s->slots[r->slot];

    return c->open && r->at >= c->began ? c : NULL;
}

/* The store order that a kill at any instruction must find: first the record, then the head. */
static void compiler_order(void)
{
    /* tidy: allow lock: a barrier for the compiler; no other thread reads this. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void head_move(struct journal_shard *s, uint64_t head)
{
    compiler_order();
    *(volatile uint64_t *)&s->region->head = head;
    compiler_order();
}

/* Skips what is too short for a record at the end of the ring, or marks it as padding. */
static void lap_end(struct journal_shard *s)
{
    size_t left = lap_left(s, s->tail);

    if (left >= sizeof(struct disk_record)) {
        struct disk_record pad = {.len = (uint32_t)(left - sizeof(pad)), .at = s->tail};

        /* Only the header is summed: what it covers are the remains of an earlier lap. */
        pad.crc = crc32c(0, slice_of(&pad.at, sizeof(pad) - offsetof(struct disk_record, at)));
        memcpy(record_at(s, s->tail), &pad, sizeof(pad));
    }
    s->tail += left;
}

/* Writes one record of a call at the tail; the caller has made sure of the room. */
static void record_put(struct journal_shard *s, struct call_slot *c, struct disk_record *head,
                       struct slice payload)
{
    size_t bytes = padded(payload.len);

    if (lap_left(s, s->tail) < bytes)
        lap_end(s);
    struct disk_record *r = record_at(s, s->tail);

    head->len = (uint32_t)payload.len;
    head->at = s->tail;
    head->back = (uint32_t)(s->tail - c->last); /* at most the ring, which REGION_MAX bounds */
    head->crc = 0;
    memcpy(r, head, sizeof(*head));
    if (payload.len)
        memcpy(r + 1, payload.at, payload.len);
    compiler_order();
    r->crc = record_crc(r);
    c->last = s->tail;
    s->tail += bytes;
}

/* Frees the oldest record: dropped if nobody needs it, else carried to the tail first. */
static void head_advance(struct journal_shard *s)
{
    uint64_t head = s->region->head;

    if (lap_left(s, head) < sizeof(struct disk_record)) {
        head_move(s, head + lap_left(s, head));
        return;
    }
    struct disk_record *r = record_at(s, head);
    uint64_t next = head + (r->type == JOURNAL_PAD ? lap_left(s, head) : padded(r->len));

    struct call_slot *c = record_owner(s, r);

    if (c) {
        struct disk_record copy = *r;

        record_put(s, c, &copy, slice_of(r + 1, r->len));
        s->carried++;
    }
    head_move(s, next);
}

/* Tidies ahead once the ring is half full, a few times what is written, so that the work of
 * carrying is spread over many records. */
static void head_tidy(struct journal_shard *s, size_t bytes)
{
    uint64_t until = s->region->head + 4 * bytes;

    while (s->tail - s->region->head > s->size / 2 && s->region->head < until)
        head_advance(s);
}

/* Makes room for `bytes` more and the reserve, or not with a bounded effort. */
static bool room_make(struct journal_shard *s, size_t bytes, bool end)
{
    uint64_t until = s->region->head + CARRY_BYTES_MAX;
    size_t ends = end ? 0 : (size_t)s->calls * END_BYTES;

    if (s->live + bytes + ends + RESERVE_BYTES + 2 * RECORD_MAX > s->size)
        return false;
    head_tidy(s, bytes);
    while (s->tail - s->region->head + bytes + RESERVE_BYTES > s->size) {
        if (s->region->head >= until)
            return false;
        head_advance(s);
    }
    return true;
}

/* Without an open call all of the ring is free: it goes on at its front, where memory has been
 * touched before. The move of the head alone does it: the next lap's positions have never been
 * written, so nothing that lies there is taken for a record, whenever the process is killed. */
static void ring_restart(struct journal_shard *s)
{
    if (s->tail % s->size)
        s->tail += lap_left(s, s->tail);
    head_move(s, s->tail);
}

static int record_add(struct journal_shard *s, uint32_t slot, enum journal_type type,
                      struct slice payload)
{
    struct call_slot *c = &s->slots[slot];
    struct disk_record head = {.type = (uint16_t)type, .version = 1, .slot = slot};
    size_t bytes = padded(payload.len);

    /* A record that is refused leaves a hole in the numbers: readers know that one is missing. */
    head.seq = ++c->seq;
    if (payload.len > JOURNAL_PAYLOAD_MAX)
        return -EMSGSIZE;
    bool end = type == JOURNAL_CALL_END || type == JOURNAL_STORED;
    bool much = c->bytes + bytes > JOURNAL_CALL_BYTES_MAX || c->records >= COPY_CALL_MAX - 2;

    if ((much && !end) || !room_make(s, bytes, end)) {
        s->refused++;
        return -ENOSPC;
    }
    memcpy(head.call_id, c->call_id, sizeof(head.call_id));
    record_put(s, c, &head, payload);
    c->records++;
    c->bytes += bytes;
    s->live += bytes;
    return 0;
}

/* ---- calls ---- */

static void slot_release(struct journal_shard *s, uint32_t slot)
{
    struct call_slot *c = &s->slots[slot];

    s->live -= c->bytes;
    s->calls--;
    c->open = false;
    c->next_free = s->free_slot;
    s->free_slot = slot;
    if (!s->calls)
        ring_restart(s);
}

/* A handle carries the slot's generation, so one that is kept too long names nothing. */
static uint32_t handle_of(const struct journal_shard *s, uint32_t slot)
{
    return (s->slots[slot].generation << 12) | slot;
}

static struct call_slot *slot_of(struct journal_shard *s, uint32_t handle)
{
    uint32_t slot = handle & (JOURNAL_CALLS_MAX - 1);

    if (!s->slots[slot].open || handle_of(s, slot) != handle)
        return NULL;
    return &s->slots[slot];
}

int journal_begin(struct journal_shard *s, const char *call_id, struct slice payload,
                  uint32_t *handle)
{
    size_t len = strlen(call_id);
    uint32_t slot = s->free_slot;

    if (!len || len >= JOURNAL_CALL_ID_BYTES)
        return -EINVAL;
    if (slot == NO_CALL) {
        s->refused++;
        return -ENOSPC;
    }
    struct call_slot *c = &s->slots[slot];

    s->free_slot = c->next_free;
    *c = (struct call_slot){
        .generation = c->generation + 1, .open = true, .began = s->tail, .last = s->tail};
    memcpy(c->call_id, call_id, len);
    s->calls++;
    int rc = record_add(s, slot, JOURNAL_CALL_BEGIN, payload);

    if (rc)
        slot_release(s, slot);
    *handle = handle_of(s, slot);
    return rc;
}

int journal_add(struct journal_shard *s, uint32_t handle, enum journal_type type,
                struct slice payload)
{
    struct call_slot *c = slot_of(s, handle);

    return c ? record_add(s, (uint32_t)(c - s->slots), type, payload) : -ENOENT;
}

void journal_stored(struct journal_shard *s, uint32_t handle)
{
    struct call_slot *c = slot_of(s, handle);

    if (!c)
        return;
    /* Without room the call is stored once more after a crash, which changes nothing. */
    int rc = record_add(s, (uint32_t)(c - s->slots), JOURNAL_STORED, SLICE_NONE);

    (void)rc;
    slot_release(s, (uint32_t)(c - s->slots));
}

void journal_shard_state(const struct journal_shard *s, struct journal_state *out)
{
    *out = (struct journal_state){
        .used_bytes = s->tail - s->region->head,
        .size_bytes = s->size,
        .calls = s->calls,
        .refused = s->refused,
        .carried = s->carried,
    };
}

/* ---- copying one call out ---- */

static int place_order(const void *a, const void *b)
{
    uint32_t x = ((const struct place *)a)->seq;
    uint32_t y = ((const struct place *)b)->seq;

    return x < y ? -1 : x > y;
}

/* The places of one call's records, in order. Each leads to the one written before it; of those
 * that were carried the copy counts. What is carried is always the oldest, so the first of the
 * chain, and the copy its last: nothing else has to be changed, and the chain's length is known. */
static size_t places_find(struct journal_shard *s, const struct call_slot *c)
{
    size_t count = 0;

    for (uint64_t at = c->last; count < c->records && count < COPY_CALL_MAX;) {
        const struct disk_record *r = record_at(s, at);

        s->places[count++] = (struct place){.seq = r->seq, .at = at};
        at -= r->back;
    }
    qsort(s->places, count, sizeof(s->places[0]), place_order);
    return count;
}

size_t journal_copy(struct journal_shard *s, uint32_t handle, void *out, size_t out_bytes)
{
    struct call_slot *c = slot_of(s, handle);
    uint8_t *to = out;

    if (!c || c->bytes > out_bytes)
        return c ? c->bytes : 0;
    size_t count = places_find(s, c);

    for (size_t i = 0; i < count; i++) {
        const struct disk_record *r = record_at(s, s->places[i].at);

        memcpy(to, r, sizeof(*r) + r->len);
        memset(to + sizeof(*r) + r->len, 0, padded(r->len) - sizeof(*r) - r->len);
        to += padded(r->len);
    }
    return (size_t)(to - (uint8_t *)out);
}

/* ---- reading what another process wrote ---- */

/* An intact record at the start of these bytes; they may be anything and at any alignment. `at` is
 * the position it must carry, looked at first because it is cheap; NULL: any. */
static bool record_read(struct slice bytes, const uint64_t *at, struct disk_record *head)
{
    if (bytes.len < sizeof(*head))
        return false;
    memcpy(head, bytes.at, sizeof(*head));
    if (at && head->at != *at)
        return false;
    if (head->len > JOURNAL_PAYLOAD_MAX || padded(head->len) > bytes.len)
        return false;
    size_t from = offsetof(struct disk_record, at);

    return crc32c(0, slice_of(bytes.at + from, sizeof(*head) - from + head->len)) == head->crc;
}

static void record_show(struct slice bytes, const struct disk_record *head,
                        struct journal_record *out)
{
    const uint8_t *id = bytes.at + offsetof(struct disk_record, call_id);

    *out = (struct journal_record){
        .type = head->type,
        .version = head->version,
        .seq = head->seq,
        .call_id = slice_of(id, strnlen((const char *)id, JOURNAL_CALL_ID_BYTES)),
        .payload = slice_of(bytes.at + sizeof(*head), head->len),
        .raw = slice_of(bytes.at, padded(head->len)),
    };
}

bool journal_stream_next(struct slice *stream, struct journal_record *out)
{
    struct disk_record head;

    if (!record_read(*stream, NULL, &head))
        return false;
    record_show(*stream, &head, out);
    *stream = slice_of(stream->at + padded(head.len), stream->len - padded(head.len));
    return true;
}

/* Padding sums only its own header, and reaches to the end of the ring whatever it says. */
static bool pad_read(struct slice bytes, uint64_t at)
{
    struct disk_record head;
    size_t from = offsetof(struct disk_record, at);

    if (bytes.len < sizeof(head))
        return false;
    memcpy(&head, bytes.at, sizeof(head));
    return head.type == JOURNAL_PAD && head.at == at &&
           crc32c(0, slice_of(bytes.at + from, sizeof(head) - from)) == head.crc;
}

struct walk {
    void (*each)(void *ctx, const struct journal_record *record);
    void *ctx;
    uint32_t damaged;
};

/* One region from its head for one lap. After damage it looks at every eighth byte for the next
 * record written at just that position, so one torn record costs itself alone. */
static void region_walk(struct walk *w, struct slice region)
{
    uint64_t head;
    size_t size = region.len - REGION_HEAD;
    bool intact = true;
    uint32_t holes = 0; /* damage with something intact behind it */
    struct disk_record r;
    struct journal_record shown;

    memcpy(&head, region.at, sizeof(head));
    if (head > UINT64_MAX / 2 || head % 8)
        head = 0;
    for (uint64_t at = head; at < head + size;) {
        size_t offset = (size_t)(at % size);
        struct slice here = slice_of(region.at + REGION_HEAD + offset, size - offset);

        if (here.len < sizeof(r) || pad_read(here, at)) {
            at += here.len;
        } else if (record_read(here, &at, &r)) {
            record_show(here, &r, &shown);
            w->each(w->ctx, &shown);
            w->damaged += holes;
            holes = 0;
            intact = true;
            at += padded(r.len);
        } else {
            holes += intact;
            intact = false;
            at += 8;
        }
    }
}

int journal_walk(struct slice file, void (*each)(void *ctx, const struct journal_record *record),
                 void *ctx, uint32_t *damaged)
{
    struct walk w = {.each = each, .ctx = ctx};
    struct disk_file head;

    *damaged = 0;
    if (file.len < PAGE_BYTES)
        return -EINVAL;
    memcpy(&head, file.at, sizeof(head));
    if (head.magic != MAGIC || head.format != FORMAT || !head.shards || head.shards > REGIONS_MAX)
        return -EINVAL;
    if (head.region_bytes <= REGION_HEAD + RECORD_MAX || head.region_bytes > REGION_MAX ||
        head.region_bytes % 8)
        return -EINVAL;
    for (uint32_t i = 0; i < head.shards; i++) {
        uint64_t from = PAGE_BYTES + i * head.region_bytes;

        if (from + head.region_bytes > file.len)
            return -EINVAL; /* cut short: it was never ready to be written to */
        region_walk(&w, slice_of(file.at + from, (size_t)head.region_bytes));
    }
    *damaged = w.damaged;
    return 0;
}
