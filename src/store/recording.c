#include "store/recording.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/mixer.h"
#include "store/blob_file.h"
#include "store/file_lock.h"

#define MAGIC      UINT64_C(0x314c494154445453) /* "STDTAIL1" */
#define FORMAT     2
#define PAGE_BYTES 4096
#define SLOTS_MAX  65536                                           /* of all shards: 4 GB */
#define WAV_MAX    (UINT64_C(0xffffffff) - RECORDING_HEADER_BYTES) /* its sizes have 32 bits */
#define WINDOW     RECORDING_WINDOW_SAMPLES
#define PART_MAX   320 /* samples settled at a time */

enum slot_state { SLOT_FREE = 0, SLOT_OPEN = 1 };

/* ---- what lies in the file: native byte order ---- */

struct disk_file {
    uint64_t magic;
    uint32_t format;
    uint32_t slots;
};

/* `done`, `total`, `lost` and `reach` only grow and each is one store: a kill finds one or the
 * other value, and writing a piece again at its own offset changes nothing. Where the window begins
 * is not stored: it follows from `total` and `lost`, so a sample is in the ring or in the window,
 * never in both and never in neither. */
struct disk_slot {
    uint64_t state;
    uint64_t done;
    uint64_t total;
    uint64_t lost; /* samples of the timeline that found no room in the ring */
    uint64_t reach;
    uint8_t header[RECORDING_HEADER_BYTES];
    char path[RECORDING_PATH_BYTES];
    uint8_t spare[108];
    uint8_t ring[RECORDING_RING_BYTES];
    int16_t window[RECORDING_SIDES][WINDOW]; /* rings, by sample % WINDOW; silence elsewhere */
};

_Static_assert(sizeof(struct disk_slot) == 512 + RECORDING_RING_BYTES + 4 * WINDOW,
               "slots keep their size");

struct slot { /* what only the living process knows */
    struct disk_slot *disk;
    size_t out; /* bytes of the write that is under way */
    bool open;
    bool bad;
    bool dead; /* the file cannot be written */
};

struct recording_shard {
    uint32_t count;
    struct slot slots[];
};

struct recording_file {
    char path[512];
    int fd;
    void *map;
    size_t map_bytes;
    uint32_t shards;
    struct recording_shard **shard;
};

static void store_u64(uint64_t *at, uint64_t value)
{
    /* tidy: allow lock: barriers for the compiler; no other thread reads this. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(volatile uint64_t *)at = value;
    /* tidy: allow lock: as above. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* ---- the file ---- */

static void shards_make(struct recording_file *f, uint32_t slots)
{
    struct disk_slot *disk = (void *)((uint8_t *)f->map + PAGE_BYTES);

    f->shard = calloc(f->shards, sizeof(*f->shard));
    if (!f->shard)
        abort();
    for (uint32_t i = 0; i < f->shards; i++) {
        f->shard[i] = calloc(1, sizeof(**f->shard) + slots * sizeof(struct slot));
        if (!f->shard[i])
            abort();
        f->shard[i]->count = slots;
        for (uint32_t j = 0; j < slots; j++)
            f->shard[i]->slots[j].disk = disk++;
    }
}

int recording_file_open(const char *dir, const char *name, uint32_t shards, uint32_t slots,
                        struct recording_file **out, char *why, size_t why_bytes)
{
    struct recording_file *f = calloc(1, sizeof(*f));

    if (!f)
        abort();
    assert(shards && slots && (uint64_t)shards * slots <= SLOTS_MAX);
    *out = NULL;
    f->shards = shards;
    f->map_bytes = PAGE_BYTES + (size_t)shards * slots * sizeof(struct disk_slot);
    snprintf(f->path, sizeof(f->path), "%s/%s.tail", dir, name);
    int rc = file_lock_new(dir, f->path, f->map_bytes, &f->fd, &f->map);

    if (rc) {
        snprintf(why, why_bytes, "%s, where recordings wait, cannot be made: %s", f->path,
                 strerror(-rc));
        free(f);
        return rc;
    }
    struct disk_file *head = f->map;

    head->format = FORMAT;
    head->slots = shards * slots;
    store_u64(&head->magic, MAGIC);
    shards_make(f, slots);
    *out = f;
    return 0;
}

void recording_file_close(struct recording_file **file)
{
    struct recording_file *f = *file;
    bool keep = false;

    *file = NULL;
    if (!f)
        return;
    for (uint32_t i = 0; i < f->shards; i++) {
        for (uint32_t j = 0; j < f->shard[i]->count; j++)
            keep = keep || f->shard[i]->slots[j].open;
        free(f->shard[i]);
    }
    free(f->shard);
    if (!keep)
        unlink(f->path);
    munmap(f->map, f->map_bytes);
    close(f->fd);
    free(f);
}

struct recording_shard *recording_shard(struct recording_file *file, uint32_t shard)
{
    assert(shard < file->shards);
    return file->shard[shard];
}

/* ---- on the shard ---- */

static struct slot *slot_at(const struct recording_shard *s, uint32_t handle)
{
    assert(handle < s->count && s->slots[handle].open);
    return (struct slot *)&s->slots[handle];
}

static uint32_t channels_of(const uint8_t *header)
{
    return header[22] | (uint32_t)header[23] << 8;
}

static bool header_ok(struct slice h)
{
    return h.len == RECORDING_HEADER_BYTES && !memcmp(h.at, "RIFF", 4) &&
           !memcmp(h.at + 8, "WAVEfmt ", 8) && !memcmp(h.at + 36, "data", 4) &&
           (channels_of(h.at) == 1 || channels_of(h.at) == 2);
}

int recording_begin(struct recording_shard *s, const char *path, struct slice header,
                    uint32_t *handle)
{
    uint32_t i = 0;

    if (!blob_path_ok(path) || strlen(path) >= RECORDING_PATH_BYTES || !header_ok(header))
        return -EINVAL;
    while (i < s->count && s->slots[i].open)
        i++;
    if (i == s->count)
        return -ENOSPC;
    struct disk_slot *d = s->slots[i].disk;

    s->slots[i] = (struct slot){.disk = d, .open = true};
    d->done = 0;
    d->total = 0;
    d->lost = 0;
    d->reach = 0;
    memset(d->window, 0, sizeof(d->window));
    memcpy(d->header, header.at, header.len);
    memset(d->path, 0, sizeof(d->path));
    memcpy(d->path, path, strlen(path));
    store_u64(&d->state, SLOT_OPEN);
    *handle = i;
    return 0;
}

int recording_append(struct recording_shard *s, uint32_t handle, struct slice pcm)
{
    struct slot *slot = slot_at(s, handle);
    struct disk_slot *d = slot->disk;
    uint64_t waiting = d->total - d->done;

    if (waiting + pcm.len > RECORDING_RING_BYTES || d->total + pcm.len > WAV_MAX) {
        slot->bad = true;
        return -ENOBUFS;
    }
    size_t from = (size_t)(d->total % RECORDING_RING_BYTES);
    size_t first = RECORDING_RING_BYTES - from < pcm.len ? RECORDING_RING_BYTES - from : pcm.len;

    if (!pcm.len)
        return 0;
    memcpy(d->ring + from, pcm.at, first);
    memcpy(d->ring, pcm.at + first, pcm.len - first);
    store_u64(&d->total, d->total + pcm.len);
    return 0;
}

/* ---- the window ---- */

static uint64_t first_of(const struct disk_slot *d)
{
    return d->total / (channels_of(d->header) * sizeof(int16_t)) + d->lost;
}

static uint64_t reach_of(const struct disk_slot *d)
{
    uint64_t first = first_of(d);

    if (d->reach < first)
        return first;
    return d->reach < first + WINDOW ? d->reach : first + WINDOW;
}

int64_t recording_first(const struct recording_shard *s, uint32_t handle)
{
    return (int64_t)first_of(slot_at(s, handle)->disk);
}

/* `from` is NULL for silence. */
static void window_put(int16_t *ring, uint64_t sample, const int16_t *from, size_t n)
{
    size_t at = (size_t)(sample % WINDOW);
    size_t first = WINDOW - at < n ? WINDOW - at : n;

    if (from) {
        memcpy(ring + at, from, first * sizeof(*ring));
        memcpy(ring, from + first, (n - first) * sizeof(*ring));
    } else {
        memset(ring + at, 0, first * sizeof(*ring));
        memset(ring, 0, (n - first) * sizeof(*ring));
    }
}

static void window_get(const int16_t *ring, uint64_t sample, int16_t *to, size_t n)
{
    size_t at = (size_t)(sample % WINDOW);
    size_t first = WINDOW - at < n ? WINDOW - at : n;

    memcpy(to, ring + at, first * sizeof(*ring));
    memcpy(to + first, ring, (n - first) * sizeof(*ring));
}

/* At most PART_MAX samples of the window as they go into the file; returns the bytes. */
static size_t window_mix(const struct disk_slot *d, uint64_t sample, int16_t *out, size_t n)
{
    int16_t a[PART_MAX], b[PART_MAX];
    uint32_t channels = channels_of(d->header);

    window_get(d->window[RECORDING_CALLER], sample, a, n);
    window_get(d->window[RECORDING_AGENT], sample, b, n);
    if (channels == 2)
        mixer_interleave(out, a, b, n);
    else
        mixer_add(out, a, b, n);
    return n * channels * sizeof(int16_t);
}

void recording_lay(struct recording_shard *s, uint32_t handle, enum recording_side side,
                   int64_t sample, const int16_t *pcm, size_t samples)
{
    struct disk_slot *d = slot_at(s, handle)->disk;
    int64_t first = (int64_t)first_of(d);
    int64_t skip = sample < first ? first - sample : 0;
    int64_t end = sample + (int64_t)samples;

    end = end < first + WINDOW ? end : first + WINDOW;
    if (sample + skip < end)
        window_put(d->window[side], (uint64_t)(sample + skip), pcm + skip,
                   (size_t)(end - sample - skip));
}

void recording_cut(struct recording_shard *s, uint32_t handle, enum recording_side side,
                   int64_t sample)
{
    struct disk_slot *d = slot_at(s, handle)->disk;
    int64_t first = (int64_t)first_of(d);

    sample = sample < first ? first : sample;
    if (sample < first + WINDOW)
        window_put(d->window[side], (uint64_t)sample, NULL, (size_t)(first + WINDOW - sample));
}

void recording_reach(struct recording_shard *s, uint32_t handle, int64_t sample)
{
    struct disk_slot *d = slot_at(s, handle)->disk;

    if (sample > 0 && (uint64_t)sample > d->reach)
        store_u64(&d->reach, (uint64_t)sample);
}

int64_t recording_reached(const struct recording_shard *s, uint32_t handle)
{
    return (int64_t)reach_of(slot_at(s, handle)->disk);
}

int recording_settle(struct recording_shard *s, uint32_t handle, int64_t until)
{
    struct disk_slot *d = slot_at(s, handle)->disk;
    int16_t out[RECORDING_SIDES * PART_MAX];
    int err = 0;

    for (int64_t first = (int64_t)first_of(d); first < until; first = (int64_t)first_of(d)) {
        size_t n = until - first < PART_MAX ? (size_t)(until - first) : PART_MAX;
        size_t bytes = window_mix(d, (uint64_t)first, out, n);
        int rc = recording_append(s, handle, slice_of(out, bytes));

        if (rc) {
            store_u64(&d->lost, d->lost + n);
            err = rc;
        }
        /* Its place is that of later sound from now on: after it has left, not before. */
        window_put(d->window[RECORDING_CALLER], (uint64_t)first, NULL, n);
        window_put(d->window[RECORDING_AGENT], (uint64_t)first, NULL, n);
    }
    return err;
}

/* ---- writes ---- */

bool recording_next(struct recording_shard *s, uint32_t handle, bool all,
                    struct recording_write *out)
{
    struct slot *slot = slot_at(s, handle);
    struct disk_slot *d = slot->disk;
    uint64_t waiting = d->total - d->done;
    size_t from = (size_t)(d->done % RECORDING_RING_BYTES);
    size_t chunk = RECORDING_CHUNK_BYTES - from % RECORDING_CHUNK_BYTES;

    if (slot->out || slot->dead || !waiting || (!all && waiting < chunk))
        return false;
    slot->out = waiting < chunk ? (size_t)waiting : chunk;
    *out = (struct recording_write){
        .offset = RECORDING_HEADER_BYTES + d->done,
        .bytes = slice_of(d->ring + from, slot->out),
    };
    return true;
}

void recording_written(struct recording_shard *s, uint32_t handle, size_t bytes)
{
    struct slot *slot = slot_at(s, handle);

    assert(bytes <= slot->out);
    if (!bytes) {
        slot->bad = true;
        slot->dead = true;
    }
    slot->out = 0;
    store_u64(&slot->disk->done, slot->disk->done + bytes);
}

/* The two sizes of a WAV header, little-endian: of all that follows, and of the sound. */
static void header_sizes(uint8_t *header, uint64_t sound_bytes)
{
    struct builder riff = builder_of(header + 4, 4);
    struct builder data = builder_of(header + 40, 4);

    builder_u32_le(&riff, (uint32_t)(sound_bytes + RECORDING_HEADER_BYTES - 8));
    builder_u32_le(&data, (uint32_t)sound_bytes);
}

void recording_header(const struct recording_shard *s, uint32_t handle,
                      uint8_t out[RECORDING_HEADER_BYTES])
{
    const struct disk_slot *d = slot_at(s, handle)->disk;

    memcpy(out, d->header, RECORDING_HEADER_BYTES);
    /* What could not be written is not in the file. */
    header_sizes(out, slot_at(s, handle)->dead ? d->done : d->total);
}

uint64_t recording_bytes(const struct recording_shard *s, uint32_t handle, bool *bad)
{
    const struct slot *slot = slot_at(s, handle);

    *bad = slot->bad;
    return slot->disk->total;
}

void recording_end(struct recording_shard *s, uint32_t handle)
{
    struct slot *slot = slot_at(s, handle);

    store_u64(&slot->disk->state, SLOT_FREE);
    slot->open = false;
}

/* ---- after the process ---- */

/* What of the window belongs to the recording: the bytes, laid out in `out`. */
static size_t window_show(const struct disk_slot *d, int16_t *out)
{
    uint64_t first = first_of(d);
    size_t left = (size_t)(reach_of(d) - first);
    size_t bytes = 0;

    for (size_t n = 0; left; left -= n, first += n) {
        n = left < PART_MAX ? left : PART_MAX;
        bytes += window_mix(d, first, out + bytes / sizeof(*out), n);
    }
    return bytes <= WAV_MAX - d->total ? bytes : 0;
}

static void slot_show(const struct disk_slot *d, struct recording_left *out)
{
    size_t waiting = (size_t)(d->total - d->done);
    size_t from = (size_t)(d->done % RECORDING_RING_BYTES);
    size_t first = RECORDING_RING_BYTES - from < waiting ? RECORDING_RING_BYTES - from : waiting;

    out->tail[0] = slice_of(d->ring + from, first);
    out->tail[1] = slice_of(d->ring, waiting - first);
    out->tail[2] = slice_of(out->window, window_show(d, out->window));
    out->done = d->done;
    out->total = d->total + out->tail[2].len;
    memcpy(out->header, d->header, sizeof(out->header));
    header_sizes(out->header, out->total);
}

static bool slot_read(const struct disk_slot *d, struct recording_left *out)
{
    if (d->state != SLOT_OPEN || d->done > d->total || d->total > WAV_MAX ||
        d->total - d->done > RECORDING_RING_BYTES || d->lost > WAV_MAX)
        return false;
    if (slice_cstr(slice_of(d->path, strnlen(d->path, sizeof(d->path))), out->path,
                   sizeof(out->path)) < 0)
        return false;
    if (!blob_path_ok(out->path) || !header_ok(slice_of(d->header, sizeof(d->header))))
        return false;
    slot_show(d, out);
    return true;
}

int recording_walk(struct slice file, void (*each)(void *ctx, const struct recording_left *left),
                   void *ctx)
{
    struct disk_file head;
    struct recording_left left;

    if (file.len < PAGE_BYTES)
        return -EINVAL;
    memcpy(&head, file.at, sizeof(head));
    if (head.magic != MAGIC || head.format != FORMAT || head.slots > SLOTS_MAX)
        return -EINVAL;
    if (file.len < PAGE_BYTES + head.slots * sizeof(struct disk_slot))
        return -EINVAL;
    /* A mapping is aligned to pages; what a test gives is to be aligned to 8 bytes. */
    const struct disk_slot *slots = (const void *)(file.at + PAGE_BYTES);

    for (uint32_t i = 0; i < head.slots; i++)
        if (slot_read(&slots[i], &left))
            each(ctx, &left);
    return 0;
}
