/* The last moment of what a caller said, in as few bytes as it takes: at 8 kHz one code of G.711
 * per sample, at other rates the sample itself. For a recogniser that begins to listen when a word
 * has begun already, and for concealing a loss. Owned by the media leg, on its shard, in memory
 * that the owner brings; pure. */
#ifndef MEDIA_RECENT_H
#define MEDIA_RECENT_H

#include <stddef.h>
#include <stdint.h>

enum recent_law { RECENT_PCM, RECENT_MULAW, RECENT_ALAW };

struct recent {
    uint8_t *memory;
    uint16_t size; /* samples */
    uint16_t next; /* where the next sample goes */
    uint16_t count;
    uint8_t law; /* enum recent_law */
};

/* Memory that so many samples take. */
size_t recent_bytes(enum recent_law law, uint32_t samples);
/* `memory` (recent_bytes, aligned to 2) is borrowed. */
void recent_init(struct recent *r, enum recent_law law, void *memory, uint16_t samples);
/* Samples, in order; any number. */
void recent_add(struct recent *r, const int16_t *pcm, size_t n);
/* The same as codes of its own law; not for RECENT_PCM. */
void recent_add_codes(struct recent *r, const uint8_t *codes, size_t n);
/* Fetches the memory in which the next `n` samples will be put: that of thousands is in no cache.
 */
void recent_soon(const struct recent *r, size_t n);
/* Copies the `n` samples that begin `back` samples before the newest one's end; back <= count and
 * n <= back. */
void recent_copy(const struct recent *r, size_t back, int16_t *out, size_t n);

#endif
