/* Voice activity on one leg, whichever detector does it: probability of speech, whether the caller
 * speaks, and between which samples. The one door that a leg uses; the detectors are behind it. A
 * state belongs to one leg and one thread; it is plain data, takes no memory, reads no clock: time
 * is the leg's 64-bit sample number. What comes out is integers; with VAD_ENERGY and VAD_SCRIPT
 * nothing but integers decided it.
 *
 *   samples ─┬─▶ loudness, every 10 ms ────────────────┬─▶ voiced? ─▶ start after start_ms of it,
 *            └─▶ [gate] ─▶ network, every 32 ms ───────┘              stop after stop_ms without
 *
 * Where speech begins and ends is told from the loudness inside what the detector called voiced:
 * the network by itself lags 30 to 150 ms at both ends. With the network, the loudness of the hiss
 * is told apart: a final "s" or "t" lies in the top of the band, where there is little noise, and
 * is lost in the loudness of the whole. */
#ifndef MEDIA_VAD_H
#define MEDIA_VAD_H

#include "media/vad_batch.h"
#include "media/vad_energy.h"
#include "media/vad_silero.h"

enum vad_kind {
    VAD_ENERGY,
    VAD_SILERO,
    VAD_SCRIPT, /* probabilities are given to vad_push(), for tests and the simulator */
};

struct vad_config {
    const struct vad_weights *weights; /* VAD_SILERO: of the same rate, */
    struct vad_silero *network;        /* and memory for its state; both borrowed, */
    struct vad_batch *batch; /* as this is, where full windows wait; NULL: each is judged at once */
    uint16_t gate_db;        /* the network rests below floor plus this; 0: it never rests */
    /* these are all that VAD_ENERGY looks at */
    _Alignas(8) enum vad_kind kind;
    uint32_t rate_hz;    /* 8000 or 16000 */
    uint16_t confidence; /* per mille from which a window is voiced */
    uint16_t start_ms;   /* voiced for so long: speech starts; 0: with the first window */
    uint16_t stop_ms;    /* no voiced sample for so long: speech stops */
    uint16_t volume_min; /* per mille of -20..80 dB above one step: 400 is rms 10 */
};

/* Those of the systems that this replaces. */
#define VAD_CONFIDENCE 300
#define VAD_START_MS   100
#define VAD_STOP_MS    400
#define VAD_VOLUME_MIN 400
#define VAD_GATE_DB    5

#define VAD_HISS_BLOCKS 6 /* of 10 ms */

enum vad_change { VAD_SAME, VAD_STARTED, VAD_STOPPED };

struct vad_result {
    enum vad_change change;
    uint16_t per_mille; /* of the last window judged */
    uint16_t volume;    /* the loudest block of it, per mille as volume_min */
    bool voiced;        /* that window */
    bool speaking;
    int64_t first_sample; /* of the speech going on or last heard: first voiced one, */
    int64_t last_sample;  /* and the one after the last voiced one so far */
};

/* What VAD_ENERGY touches comes last, from config.kind on. */
struct vad {
    struct vad_energy hiss; /* of a quarter of the second difference; with VAD_SILERO alone */
    int16_t before[2];      /* the last two samples, the older first */
    uint16_t hiss_margin;   /* of the last block */
    uint16_t hiss_before[VAD_HISS_BLOCKS]; /* levels of the last blocks, the newest first */
    uint32_t windows_run, windows_skipped; /* of the network, for metrics */
    struct vad_config config;
    struct vad_result now;
    struct vad_energy energy;
    int64_t at;                        /* number of the next sample */
    int64_t active_first, active_last; /* the last stretch that was loud, as first and after-last */
    int64_t run_first;                 /* where the voiced run that may become speech began */
    uint32_t run;                      /* samples of it, less what was unvoiced in it */
    bool spoken;                       /* somebody did, and may go on */
    bool over;                         /* the owner knows that the voice is: see vad_over() */
    uint16_t over_ms;
    uint16_t window_level, window_margin; /* most in the window so far */
    uint16_t margin_before;               /* of the last block */
    uint16_t peak;     /* level of the loudest block of the voice, falling when there is none */
    uint8_t gate_hold; /* windows that the gate stays open */
    bool waits;        /* the last window is in the batch: vad_settle() is owed */
};

/* `sample` is the number of the first sample to come. 0; -EINVAL: a rate that there is not, a
 * confidence of 0 or above 1000, or a network's memory or weights missing or of another rate. */
MUST_USE int vad_init(struct vad *v, const struct vad_config *config, int64_t sample);
/* Listens to samples until something changes or they end; returns how many it took (call again for
 * the rest; a frame seldom takes two). *out is the state after them; out->change says whether
 * speech started or stopped in this call. Not for VAD_SCRIPT.
 *
 * With a batch a full window may wait (v->waits): up to 20 ms behind it are taken and kept, and
 * whoever steps on has it judged first. So the same starts and stops come at the same samples, only
 * later. */
size_t vad_step(struct vad *v, const int16_t *pcm, size_t n, struct vad_result *out);
/* Has the window that waits judged, and all of its batch, and listens to what came behind it. *out
 * is the state, out->change what came of that. Nothing where none waits. */
void vad_settle(struct vad *v, struct vad_result *out);
/* VAD_SCRIPT: the next `n` samples are speech with this probability. */
void vad_push(struct vad *v, uint16_t per_mille, size_t n, struct vad_result *out);
/* The owner knows by other means that the voice is over: speech stops once no sample was voiced for
 * `silence_ms`, or for stop_ms if that is less, even while the detector still calls its windows
 * voiced, as the network does for some after the last. *out is the state; out->change says whether
 * it stopped here and now. Forgotten as soon as the voice goes on. Nothing may wait: vad_settle()
 * comes before. */
void vad_over(struct vad *v, uint16_t silence_ms, struct vad_result *out);

#endif
