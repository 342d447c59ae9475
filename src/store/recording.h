/* Recordings that survive kill -9: what is not in the WAV yet stands in a slot of one file per
 * process, mapped shared, so that taking a frame is a memory copy. Caller and agent are laid onto
 * one timeline, counted in samples of the recording, in a window; what has left the window is
 * final, mixed or side by side, and waits in a ring. Full chunks are handed to the caller as writes
 * (offset, bytes) for it to carry out on its own I/O; the slot forgets them when they are done.
 * Recovery (recover.h) writes the rest of open slots, the window as well, and the header.
 *
 *     lay ──▶ window: [first ...... reach)     both sides apart, an interruption may take back
 *                │ settle: first grows
 *                ▼
 *     append ──▶ ring: [done ........ total)  ──recording_next──▶ write to the WAV ──▶ done grows
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

enum recording_side { RECORDING_CALLER, RECORDING_AGENT, RECORDING_SIDES };

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

/* `path` within data_dir as blob_path() makes it, `header` the 44 bytes of a WAV without sound, of
 * one or two channels of 16 bits. -ENOSPC: no free slot, -EINVAL: a bad path or header. */
MUST_USE int recording_begin(struct recording_shard *s, const char *path, struct slice header,
                             uint32_t *handle);
/* The oldest sample of the timeline that may still be laid. */
int64_t recording_first(const struct recording_shard *s, uint32_t handle);
/* Sound of one side from `sample` on, over what was laid there; what lies before the window or
 * RECORDING_WINDOW_SAMPLES beyond its first sample is left out. */
void recording_lay(struct recording_shard *s, uint32_t handle, enum recording_side side,
                   int64_t sample, const int16_t *pcm, size_t samples);
/* Silence on that side from `sample` on: it was taken back. */
void recording_cut(struct recording_shard *s, uint32_t handle, enum recording_side side,
                   int64_t sample);
/* The call has come so far: what recovery writes of the window ends here. Only ever grows. */
void recording_reach(struct recording_shard *s, uint32_t handle, int64_t sample);
/* How far that is, at most to the window's end. */
int64_t recording_reached(const struct recording_shard *s, uint32_t handle);
/* Everything before `until` is final: it is appended and leaves the window. Errors as below. */
MUST_USE int recording_settle(struct recording_shard *s, uint32_t handle, int64_t until);
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
    uint64_t total;                         /* with the window */
    struct slice tail[3]; /* from `done` on: the ring's two pieces, and `window` */
    int16_t window[RECORDING_SIDES * RECORDING_WINDOW_SAMPLES]; /* as it goes into the file */
};

/* Any bytes are safe to give. -EINVAL: not such a file of this version. */
MUST_USE int recording_walk(struct slice file,
                            void (*each)(void *ctx, const struct recording_left *left), void *ctx);

#endif
