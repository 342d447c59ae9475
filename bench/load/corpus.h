/* What the callers say: clips of speech and some line noise, encoded once at boot as 20 ms frames
 * of G.711 and read-only from then on. Rotated over callers and turns, so that no cache and no
 * detector sees the same samples in step. Without a folder of WAVs the clips are a generated buzz
 * with the pitch and the loudness of voices. Boot lifetime; any thread reads. */
#ifndef LOAD_CORPUS_H
#define LOAD_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reason.h"

#define CORPUS_FRAME_BYTES 160 /* 20 ms at 8 kHz */
#define CORPUS_CLIPS_MAX   256 /* WAVs of a folder; further ones are not read */
#define CORPUS_WHY_BYTES   512

struct corpus_clip {
    uint8_t *frames;
    bool *loud;     /* of each frame: it is heard as voice */
    uint32_t count; /* frames */
};

struct corpus {
    struct corpus_clip clips[CORPUS_CLIPS_MAX];
    uint32_t clip_count;
    struct corpus_clip noise;
};

/* `folder`: WAVs (8 kHz, one channel), of each the voiced part; NULL: generated. `alaw`: PCMA. 0 or
 * -errno and one clause in `why`. */
MUST_USE int corpus_load(struct corpus *c, const char *folder, bool alaw, uint64_t seed,
                         char why[CORPUS_WHY_BYTES]);
void corpus_fini(struct corpus *c);
/* The n-th frame of speech of a caller's turn; *loud: it is heard as voice, not a gap in it. */
const uint8_t *corpus_speech(const struct corpus *c, uint32_t caller, uint32_t turn, uint64_t n,
                             bool *loud);
/* The n-th frame of a caller's silence. */
const uint8_t *corpus_noise(const struct corpus *c, uint32_t caller, uint64_t n);

#endif
