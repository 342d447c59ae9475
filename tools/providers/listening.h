/* What every simulated recogniser does: sound of some encoding in, utterances found by loudness or
 * by the clock, each with its text from the hearing script. Embedded in a service's state; the
 * loop's thread. It sends nothing: the service does, from the callback. */
#ifndef PROVIDERS_LISTENING_H
#define PROVIDERS_LISTENING_H

#include "tools/providers/hearing.h"
#include "tools/providers/peer.h"

#define LISTENING_WORD_MS 350 /* spoken at this pace, as far as interim results know */

enum listening_event {
    LISTENING_BEGINS,
    LISTENING_GOES_ON, /* another window of an utterance */
    LISTENING_QUIET,   /* another window without one */
    LISTENING_ENDS,    /* text: what was said; the script is one line further */
    LISTENING_TIMED,   /* the same, by the clock */
};

struct listening {
    struct hearing ear;
    enum voice_encoding encoding;
    const struct hear_script *script;
    size_t script_index;
    size_t in_order, timed; /* next lines */
    int64_t voiced_ns;      /* when the last loud window came in */
    int64_t waited_ns;      /* of the last event: its sound came with so much that is younger */
    struct slice text;      /* of the utterance that goes on, or of the one that ended */
    uint8_t odd;            /* half a sample */
    bool has_odd;
    uint64_t bytes;
};

typedef void (*listening_told)(struct peer *p, enum listening_event event);

/* Takes the next hearing script of the server. */
void listening_begin(struct peer *p, struct listening *l, uint32_t rate_hz,
                     enum voice_encoding encoding);
void listening_audio(struct peer *p, struct listening *l, struct slice audio, listening_told told);
/* The utterance that goes on is over: its text, and the script is one line further. */
struct slice listening_take(struct peer *p, struct listening *l);
/* When an end of turn heard just now is told: a drawn time behind the voice, and not before now. */
int64_t listening_end_ns(struct peer *p, const struct listening *l);
/* The log's line of an utterance that is over: its text, when its last loud window came in, how
 * long the sound that showed its end had waited for younger sound to come with, when the result is
 * due, and whether the client asked for the end. Whoever calls it ends the line. */
struct jsonw *listening_note_end(struct peer *p, const struct listening *l, int64_t due_ns,
                                 bool asked);
/* How many words of l->text have been said by now. */
size_t listening_words(const struct listening *l);
/* Milliseconds of sound so far. */
int64_t listening_ms(const struct listening *l);

#endif
