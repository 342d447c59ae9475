/* Two streams of int16 samples into one, mono or stereo, for recordings and bridges. Pure loops
 * over arrays that the compiler vectorises; any thread. Arrays may be the same, not overlap
 * otherwise. */
#ifndef MEDIA_MIXER_H
#define MEDIA_MIXER_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = a[i] + b[i], saturated to int16. out may be a or b. */
void mixer_add(int16_t *out, const int16_t *a, const int16_t *b, size_t samples);
/* out[2i] = left[i], out[2i+1] = right[i]; out holds 2 * samples and is neither. */
void mixer_interleave(int16_t *restrict out, const int16_t *restrict left,
                      const int16_t *restrict right, size_t samples);

#endif
