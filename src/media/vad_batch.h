/* Windows of several legs that the neural detector judges together, since it reads its weights once
 * for all of them. One batch belongs to the legs of one rate on one shard and to its thread. It
 * takes no memory and never refuses: the window that fills it has it judged at once. What waits is
 * borrowed, and its owner sees to it that the batch is run before the round ends and before the
 * state goes. */
#ifndef MEDIA_VAD_BATCH_H
#define MEDIA_VAD_BATCH_H

#include "media/vad_silero.h"

struct vad_batch {
    size_t count;
    struct vad_silero *waiting[VAD_SILERO_BATCH]; /* full windows, all of the same weights */
};

/* The full window of `s` waits (s->waits); not any more if it was the last one that there is room
 * for. */
void vad_batch_add(struct vad_batch *b, struct vad_silero *s);
/* Judges all that wait, one alone too: each has its `probability`, and waits no longer. */
void vad_batch_run(struct vad_batch *b);

#endif
