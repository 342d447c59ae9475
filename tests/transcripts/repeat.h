/* What the actor of a recogniser does for it while a transcript is replayed: the inputs of an
 * utterance wait while its socket opens, and come once more after it was lost, but for the sound
 * that an event with EVENT_KEPT has acknowledged (provider.h). Test programs only. */
#ifndef TRANSCRIPTS_REPEAT_H
#define TRANSCRIPTS_REPEAT_H

#include "referee.h"

#define REPEAT_SOUND_BYTES 1048576 /* an utterance; more is not kept */

struct repeat {
    void (*give)(void *context, struct provider_input *in);
    void *context;
    uint32_t rate_hz;
    bool on;
    bool finished; /* the actor has said so */
    bool begun;    /* this socket was given the speech, */
    bool ended;    /* and the finish */
    uint32_t epoch;
    size_t given;
    size_t kept;
    size_t opened_at; /* position of the first byte given since OPENED, if it was of this epoch */
    size_t since_opened;
    size_t len;
    uint8_t *sound;
};

/* An input of the actor; true: it waits, or was given in its place. */
bool repeat_holds(struct repeat *r, const struct provider_input *in, enum referee_link link);
void repeat_event(struct repeat *r, const struct provider_intent *event);
/* After INPUT_OPENED and INPUT_CLOSED were given. */
void repeat_opened(struct repeat *r);
void repeat_closed(struct repeat *r, enum referee_link link);

#endif
