#include "tools/call/ear.h"

#include <errno.h>
#include <string.h>

void ear_init(struct ear *e, int16_t *queue, uint32_t size)
{
    memset(e, 0, sizeof(*e));
    e->queue = queue;
    e->size = size;
    e->loud_first = e->loud_last = -1;
    e->voice_first = e->voice_last = -1;
}

static void window_ends(struct ear *e)
{
    if (e->window_sum >= EAR_VOICED_LEVEL * EAR_WINDOW_SAMPLES && e->loud_first >= 0) {
        if (e->voice_last < 0 || e->loud_first - e->voice_last > CALL_SAMPLES(EAR_GAP_MS)) {
            e->voice_first = e->loud_first;
            e->spurts++;
        }
        e->voice_last = e->loud_last;
    }
    e->window_sum = 0;
    e->loud_first = e->loud_last = -1;
}

static void hear(struct ear *e, int16_t sample)
{
    uint32_t size = (uint32_t)(sample < 0 ? -(int32_t)sample : sample);

    e->window_sum += size;
    if (size >= EAR_VOICED_LEVEL) {
        if (e->loud_first < 0)
            e->loud_first = e->now;
        e->loud_last = e->now;
    }
    if (e->record && e->now < e->record_size)
        e->record[2 * e->now + 1] = sample;
    e->now++;
    if (e->now % EAR_WINDOW_SAMPLES == 0)
        window_ends(e);
}

void ear_advance(struct ear *e, int64_t to)
{
    while (e->now < to) {
        int16_t sample = 0;
        if (e->played < e->pushed)
            sample = e->queue[e->played++ % e->size];
        hear(e, sample);
    }
}

void ear_push(struct ear *e, const int16_t *pcm, size_t samples)
{
    for (size_t i = 0; i < samples; i++) {
        if (e->pushed - e->played == e->size) {
            e->overruns += samples - i;
            return;
        }
        e->queue[e->pushed++ % e->size] = pcm[i];
    }
}

void ear_trim(struct ear *e, int64_t most)
{
    int64_t extra = e->pushed - e->played - most;

    if (extra > 0) {
        e->played += extra;
        e->skipped += (uint64_t)extra;
    }
}

void ear_clear(struct ear *e)
{
    e->played = e->pushed;
}

int ear_mark(struct ear *e, struct slice name)
{
    if (e->mark_count == EAR_MARKS_MAX)
        return -ENOBUFS;
    struct ear_mark *m = &e->marks[(e->mark_head + e->mark_count) % EAR_MARKS_MAX];
    if (slice_cstr(name, m->name, sizeof(m->name)) < 0)
        return -EMSGSIZE;
    m->at = e->pushed;
    e->mark_count++;
    return 0;
}

const char *ear_mark_due(struct ear *e)
{
    if (e->mark_count == 0)
        return NULL;
    const struct ear_mark *m = &e->marks[e->mark_head % EAR_MARKS_MAX];
    if (m->at > e->played)
        return NULL;
    e->mark_head = (e->mark_head + 1) % EAR_MARKS_MAX;
    e->mark_count--;
    return m->name;
}

bool ear_audible(const struct ear *e)
{
    return e->voice_last >= 0 && ear_quiet(e) <= CALL_SAMPLES(EAR_GAP_MS);
}

int64_t ear_quiet(const struct ear *e)
{
    return e->now - e->voice_last - 1;
}

bool ear_empty(const struct ear *e)
{
    return e->pushed - e->played <= CALL_SAMPLES(EAR_REST_MS);
}
