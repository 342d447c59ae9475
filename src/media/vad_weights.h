/* The weights of the neural VAD (Silero v6), as tools/get-weights packs them: a header of 64 bytes
 * and float32 matrices in the order in which the network reads them. One set per sample rate is
 * loaded at boot and shared, read-only, by every call on every thread.
 *
 * vad_weights_parse() is pure: it borrows the bytes, and refuses what is not exactly such a file.
 * vad_weights_open() (vad_weights_file.c) is for boot alone: it maps a file. It is the one place
 * in this folder that touches the outside; nothing on the audio path calls it. */
#ifndef MEDIA_VAD_WEIGHTS_H
#define MEDIA_VAD_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/reason.h"

#define VAD_PANEL              16  /* outputs side by side in a packed matrix: [panel][input][16] */
#define VAD_UNITS              128 /* LSTM cells */
#define VAD_WEIGHTS_HEAD_BYTES 64
#define VAD_WEIGHTS_BYTES_MAX  2000000 /* a longer file is refused unread */

/* Which matrix has which shape: docs/media.md. Every pointer is 64-byte aligned if the file is. */
struct vad_weights {
    uint32_t rate_hz;        /* 8000 or 16000 */
    uint32_t fft_size;       /* 128 or 256: samples under one transform */
    uint32_t bins;           /* fft_size / 2 + 1 */
    const float *even, *odd; /* the transform, folded about its middle */
    const float *conv1, *bias1;
    const float *conv2, *bias2;
    const float *conv3, *bias3;
    const float *conv4, *bias4;
    const float *lstm, *lstm_bias; /* input and recurrent weights as one matrix; gates i, f, g, o */
    const float *out;              /* 128 weights, then the bias */
    const void *mapped;            /* what vad_weights_close() gives back, or NULL */
    size_t mapped_bytes;
};

/* Checks everything (length, magic, version, shape, CRC, every number finite) and points *w into
 * `file`, which must be 4-byte aligned and outlive it. 0; -EINVAL: not such a file; -ENOTSUP:
 * another version or rate; -EBADMSG: damaged. */
MUST_USE int vad_weights_parse(struct vad_weights *w, struct slice file);

/* Boot. Maps `path` read-only and parses it. The errors above, or those of open and mmap; -EFBIG
 * beyond VAD_WEIGHTS_BYTES_MAX. On error *w is empty. */
MUST_USE int vad_weights_open(struct vad_weights *w, const char *path);
/* Unmaps; accepts an empty one. */
void vad_weights_close(struct vad_weights *w);

#endif
