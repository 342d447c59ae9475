/* A voice activity detector that listens to loudness alone, against a floor that follows the
 * noise. Integers only, so that a simulated call decides the same on every machine and compiler.
 * A state belongs to one leg and one thread; no memory is taken, no clock read.
 *
 * Samples come in frames of any length and are judged in blocks of 10 ms. A level is log2 of the
 * mean square of a block in 1/256: 85 steps are one decibel, 0 is silence, 7680 full scale. The
 * floor is the least level that two blocks in a row kept to in the last 2 s: it falls at once, and
 * noise that stays is taken for floor after 2 s. */
#ifndef MEDIA_VAD_ENERGY_H
#define MEDIA_VAD_ENERGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAD_BLOCK_MS     10
#define VAD_LEVEL_PER_DB 85   /* 256 / 3.0103 */
#define VAD_FLOOR_LEAST  2048 /* rms 16, -66 dBFS: what is softer is silence on any line */
#define VAD_FLOOR_START  4608 /* rms 512, -36 dBFS: until 2 s were heard the floor is not higher */
#define VAD_FLOOR_PARTS  8
#define VAD_PART_BLOCKS  25 /* 8 parts of 250 ms */

struct vad_energy {
    uint64_t squares;       /* of the block that is being filled */
    uint16_t filled, block; /* samples */
    uint16_t level;         /* of the last whole block */
    uint16_t floor;
    uint16_t least[VAD_FLOOR_PARTS]; /* of each part; a ring */
    uint8_t part, part_blocks;
    bool fast; /* vector code; chosen by init, cleared by tests */
};

/* `rate_hz`: 8000 to 48000, a multiple of 100. */
void vad_energy_init(struct vad_energy *e, uint32_t rate_hz);
/* Takes samples up to the end of the block; returns how many. *done: the block is whole, `level`
 * and `floor` are new. */
size_t vad_energy_feed(struct vad_energy *e, const int16_t *pcm, size_t n, bool *done);
/* How far the last block stands above the floor, in levels; not below 0. */
uint16_t vad_energy_margin(const struct vad_energy *e);
/* The same as a probability of speech: nothing at the floor, 300 at 9 dB, 1000 from 30 dB on. */
uint16_t vad_energy_per_mille(const struct vad_energy *e);

#endif
