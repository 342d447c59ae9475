#include "media/vad_batch.h"

#include <assert.h>

void vad_batch_add(struct vad_batch *b, struct vad_silero *s)
{
    assert(vad_silero_full(s) && !s->waits && b->count < VAD_SILERO_BATCH);
    assert(b->count == 0 || b->waiting[0]->weights == s->weights);
    s->waits = true;
    b->waiting[b->count++] = s;
    if (b->count == VAD_SILERO_BATCH)
        vad_batch_run(b);
}

void vad_batch_run(struct vad_batch *b)
{
    float probability[VAD_SILERO_BATCH];

    vad_silero_run_all(b->waiting, b->count, probability);
    for (size_t i = 0; i < b->count; i++) {
        b->waiting[i]->probability = probability[i];
        b->waiting[i]->waits = false;
    }
    b->count = 0;
}
