/* Recordings that survive kill -9: what is not in the WAV yet stands in a slot of one file per
 * process, mapped shared, so that appending a frame is a memory copy. Full chunks are handed to the
 * caller as writes (offset, bytes) for it to carry out on its own I/O; the slot forgets them when
 * they are done. Recovery (recover.h) writes the rest of open slots and the header.
 *
 *     append ──▶ slot: [done ........ total)  ──recording_next──▶ write to the WAV ──▶ done grows
 *
 * Slots belong to shards, no other thread touches them. When the disk is slower than the sound for
 * RECORDING_RING_BYTES, sound is lost and the recording is marked bad: it is never called complete.
 * The file is allocated on disk at open, so a full disk shows there. */
#ifndef STORE_RECORDING_H
#define STORE_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define RECORDING_HEADER_BYTES 44 /* a canonical WAV header: sizes at offsets 4 and 40 */
#define RECORDING_PATH_BYTES   320

struct recording_file;
struct recording_shard;

/* One write to be done: `bytes` (borrowed from the slot until recording_written) at `offset`. */
struct recording_write {
    uint64_t offset;
    struct slice bytes;
};

/* Boot. Makes dir/`name`.tail, locked, with `slots` recordings at one time for each shard. */
MUST_USE int recording_file_open(const char *dir, const char *name, uint32_t shards, uint32_t slots,
                                 struct recording_file **out, char *why, size_t why_bytes);
/* Removes the file if no recording is open in it, else leaves it to recovery. */
void recording_file_close(struct recording_file **file);
struct recording_shard *recording_shard(struct recording_file *file, uint32_t shard);

/* ---- on the shard ---- */

/* `path` within data_dir as blob_path() makes it, `header` the 44 bytes of a WAV without sound.
 * -ENOSPC: no free slot, -EINVAL: a bad path or header. */
MUST_USE int recording_begin(struct recording_shard *s, const char *path, struct slice header,
                             uint32_t *handle);
/* PCM bytes that follow. -ENOBUFS: dropped, and the recording is bad from now on. */
MUST_USE int recording_append(struct recording_shard *s, uint32_t handle, struct slice pcm);
/* The next write, one at a time: false while one is out, or none is due. Before the end only whole
 * chunks are due; with `all` whatever is there. */
bool recording_next(struct recording_shard *s, uint32_t handle, bool all,
                    struct recording_write *out);
/* That write has put `bytes` into the file (fewer: the rest comes again); 0 after an error: then
 * the recording is bad and nothing more of it is written. */
void recording_written(struct recording_shard *s, uint32_t handle, size_t bytes);
/* The header for the sound so far, to be written at offset 0 at the end. */
void recording_header(const struct recording_shard *s, uint32_t handle,
                      uint8_t out[RECORDING_HEADER_BYTES]);
/* Bytes of sound appended so far, and whether any were lost. */
uint64_t recording_bytes(const struct recording_shard *s, uint32_t handle, bool *bad);
/* Everything is in the file and its header is right: the slot is free. */
void recording_end(struct recording_shard *s, uint32_t handle);

/* ---- after the process, for recovery ---- */

/* An open recording as its process left it. */
struct recording_left {
    char path[RECORDING_PATH_BYTES];
    uint8_t header[RECORDING_HEADER_BYTES]; /* sizes set for `total` */
    uint64_t done;                          /* bytes of sound in the WAV */
    uint64_t total;
    struct slice tail[2]; /* from `done` on: the ring's two pieces */
};

/* Any bytes are safe to give. -EINVAL: not such a file of this version. */
MUST_USE int recording_walk(struct slice file,
                            void (*each)(void *ctx, const struct recording_left *left), void *ctx);

#endif
