/* The matrix products of the neural VAD, which are nearly all of its work, for many columns at a
 * time: a weight is read once for up to eight columns, so a batch of windows is bound by arithmetic
 * where a single one is bound by reading the weights. In portable C, AVX2 and AVX-512, which differ
 * by their roundings alone; each gives a column the same bits however many there are. Pure; used by
 * vad_silero.c. */
#ifndef MEDIA_VAD_DENSE_H
#define MEDIA_VAD_DENSE_H

#include <stdbool.h>
#include <stddef.h>

#include "media/cpu.h"
#include "media/vad_weights.h"

/* out[o] = bias[o] + sum over i of w[o][i] * in[i], and not below zero if `relu`. */
struct vad_dense {
    const float *weights, *bias; /* packed by VAD_PANEL outputs; bias: or NULL */
    size_t ins, outs;            /* outs: three panels at least, or four, see below */
    bool relu;
};

/* What goes in, `ins` floats, and what comes out, `outs` floats. Inputs may overlap each other:
 * with [time][channel] data a convolution's kernel of three is one run of three rows. */
struct vad_column {
    const float *in;
    float *out;
};

/* Any number of columns. `outs` is a multiple of four panels, or of one where that number is a
 * multiple of 4. The machine must know the instructions of `code`. */
void vad_dense_run(enum media_code code, const struct vad_dense *d,
                   const struct vad_column *columns, size_t n);

#endif
