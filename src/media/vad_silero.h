/* The neural voice activity detector: Silero v6 written out as plain float arithmetic, for 8 and
 * 16 kHz. A state belongs to one leg and one thread; the weights are shared and read-only. No
 * memory is taken, no clock read. Within 1e-4 of the vendor's own runtime (docs/media.md).
 *
 *   samples ─▶ window of 32 ms (with 4 ms of the one before) ─▶ transform, 4 frames
 *     ─▶ 4 convolutions ─▶ LSTM, 128 cells, which remember ─▶ probability of speech
 *
 * Feed samples of any frame length; whenever a window is full, either run the network on it or
 * skip it (the caller knows from its energy that nobody speaks). */
#ifndef MEDIA_VAD_SILERO_H
#define MEDIA_VAD_SILERO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/vad_weights.h"

#define VAD_SILERO_WINDOW_MS   32
#define VAD_SILERO_WINDOW_MAX  512 /* samples, at 16 kHz */
#define VAD_SILERO_CONTEXT_MAX 64
#define VAD_SILERO_BATCH       8   /* windows for which the weights are read once */
#define VAD_SILERO_AHEAD_MAX   320 /* samples: 20 ms at 16 kHz */

struct vad_silero {
    const struct vad_weights *weights;
    uint8_t code;     /* enum media_code: the machine's best, chosen by init, lowered by tests */
    uint16_t filled;  /* samples in `samples`, the context included */
    uint16_t context; /* 32 or 64 */
    uint16_t window;  /* 256 or 512 */
    float hidden[VAD_UNITS], cell[VAD_UNITS];
    int16_t samples[VAD_SILERO_CONTEXT_MAX + VAD_SILERO_WINDOW_MAX];
    /* of a window that waits in a batch (vad_batch.h) */
    bool waits;
    float probability;    /* once it does no longer */
    uint16_t ahead_count; /* of what came behind it, which the detector has not heard yet */
    int16_t ahead[VAD_SILERO_AHEAD_MAX];
};

/* `weights` is borrowed for the life of the state. */
void vad_silero_init(struct vad_silero *s, const struct vad_weights *weights);
/* Takes samples until the window is full; returns how many it took. */
size_t vad_silero_feed(struct vad_silero *s, const int16_t *pcm, size_t n);
static inline bool vad_silero_full(const struct vad_silero *s)
{
    return s->filled == s->context + s->window;
}
/* The window must be full. Probability 0..1 that it holds speech; the next window begins. */
float vad_silero_run(struct vad_silero *s);
/* The same for `n` legs, to the bit, whose windows must be full and whose weights be the same ones:
 * in batches, at 0.6 to 0.75 of the cost of one leg after the other. */
void vad_silero_run_all(struct vad_silero *const *s, size_t n, float *probability);
/* The same without the network, whose memory stands still meanwhile: it keeps the noise that it
 * knows. (Cleared, it takes the first pause after speech for speech, 150 ms longer.) */
void vad_silero_skip(struct vad_silero *s);

#endif
