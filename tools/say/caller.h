/* A synthetic caller on a telephone line: one sentence spoken by a flite voice, through a band-pass
 * of 300-3400 Hz, with noise at a given ratio, as mu-law would carry it at 8 kHz. The same request
 * gives the same samples in a fresh process. For tools and tests; one thread. */
#ifndef SAY_CALLER_H
#define SAY_CALLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/reason.h"

struct caller_request {
    const char *voice; /* rms, awb, kal16, kal, slt */
    const char *text;
    double noise_db; /* speech over noise; 100 or more: no noise */
    double speed;    /* 1.0 is normal */
    uint64_t seed;
    int lead_ms, tail_ms; /* line without speech before and after */
};

struct caller_audio {
    int16_t *pcm; /* 8 kHz mono; free() it */
    size_t count;
    size_t first, last; /* first and last voiced sample, found on the clean signal */
};

/* 0, -EINVAL (no such voice) or -ENOMEM. */
MUST_USE int caller_speak(const struct caller_request *request, struct caller_audio *out);
/* The same, and with it what a good microphone in the room would have heard: `wide` at 16 kHz, at
 * the same level and time, lead and tail included; free() it. The voice must be one of 16 kHz. */
MUST_USE int caller_speak_wide(const struct caller_request *request, struct caller_audio *out,
                               int16_t **wide);

#endif
