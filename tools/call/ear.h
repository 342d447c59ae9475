/* What the caller hears: the far end's audio on its way to the ear, and where in it a voice is
 * audible. Audio plays back to back in order of arrival, beginning when it arrives, without a
 * jitter buffer; what is not there plays as silence. Embedded in `struct caller` and touched by its
 * thread alone; it reads no clock (samples of the caller's timeline, 8000 per second, come in) and
 * allocates nothing: the queue's memory is the owner's.
 *
 *     push ->[ queue ........ ]-> advance -> heard samples -> record, spurts
 *               mark ^ echoed when the play position reaches it
 *
 * A spurt is a stretch of voice without a gap of EAR_GAP_MS. A window of 5 ms is voiced when its
 * mean magnitude reaches EAR_VOICED_LEVEL; the spurt then begins at the first sample of that window
 * which reaches it. */
#ifndef CALL_EAR_H
#define CALL_EAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define CALL_RATE_HZ       8000
#define CALL_SAMPLES(ms)   ((int64_t)(ms) * (CALL_RATE_HZ / 1000))
#define EAR_WINDOW_SAMPLES 40  /* 5 ms */
#define EAR_VOICED_LEVEL   100 /* of 32768: about -50 dB of full scale */
#define EAR_REST_MS        60  /* a stream that goes on in silence never runs drier than this */
#define EAR_GAP_MS         300
#define EAR_MARKS_MAX      64  /* marks waiting to be played; beyond: the call ends */
#define EAR_MARK_BYTES     128 /* longest mark name with its NUL; beyond: the call ends */

struct ear_mark {
    int64_t at; /* queue position: echoed when all samples before it have been played */
    char name[EAR_MARK_BYTES];
};

struct ear {
    int16_t *queue;
    uint32_t size;
    int64_t pushed, played; /* queue positions */
    int64_t now;            /* timeline: next sample to be heard */
    struct ear_mark marks[EAR_MARKS_MAX];
    uint32_t mark_head, mark_count;
    /* the window being listened to */
    uint32_t window_sum;
    int64_t loud_first, loud_last; /* timeline, or -1 */
    /* the spurt in progress or the last one, timeline; -1 before the first */
    int64_t voice_first, voice_last;
    uint32_t spurts;     /* begun so far */
    uint64_t overruns;   /* samples dropped: the queue was full */
    uint64_t skipped;    /* samples passed over to catch up (ear_trim) */
    int16_t *record;     /* stereo pairs, the ear writes the right ones; or NULL */
    int64_t record_size; /* pairs */
};

/* `queue` holds `size` samples and stays the owner's; beyond it the newest audio is dropped. */
void ear_init(struct ear *e, int16_t *queue, uint32_t size);
/* Plays up to timeline sample `to` (not included). Going back is a no-op. */
void ear_advance(struct ear *e, int64_t to);
void ear_push(struct ear *e, const int16_t *pcm, size_t samples);
/* Passes over what lies more than `most` samples deep, oldest first: live media only. */
void ear_trim(struct ear *e, int64_t most);
/* What was not played is dropped; waiting marks are due at once. */
void ear_clear(struct ear *e);
/* 0, -ENOBUFS (too many) or -EMSGSIZE (name too long). */
MUST_USE int ear_mark(struct ear *e, struct slice name);
/* The name of the next mark that is due, or NULL; valid until the next ear_mark(). */
const char *ear_mark_due(struct ear *e);
/* Is somebody audible, counting a pause of less than EAR_GAP_MS? */
bool ear_audible(const struct ear *e);
/* Samples since the last voiced one; since the beginning if there was none. */
int64_t ear_quiet(const struct ear *e);
/* Nothing that matters waits to be played. */
bool ear_empty(const struct ear *e);

#endif
