/* What every simulated speaker does: a piece of text becomes pieces of audio, each with the time at
 * which it is sent. Embedded in a service's state, one for each stream of speech; the loop's
 * thread. It sends nothing: the service does, from the callback. */
#ifndef PROVIDERS_SPEAKING_H
#define PROVIDERS_SPEAKING_H

#include "tools/providers/peer.h"

struct speaking {
    struct voice_format format;
    uint64_t sample;     /* of the next piece */
    int64_t free_ns;     /* when the audio so far has been sent; the next cannot come before */
    uint64_t characters; /* spoken so far */
};

/* A piece of audio; `from_ms` is where it lies in the speech. */
typedef void (*speaking_sent)(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                              int64_t from_ms);

/* Speaks `text`, which comes now. Nothing for a text of blanks. Returns when its last piece is due:
 * at once if there is none. */
int64_t speaking_say(struct peer *p, struct speaking *s, struct slice text, speaking_sent sent,
                     void *context);
/* Where in `text` its last sentence ends, so that what is before it can be spoken; 0: nowhere. */
size_t speaking_sentence(struct slice text);

#endif
