/* What every recogniser behind a network keeps of the caller's utterances: which one is being
 * recognised, its sound until it is sent, its words so far, and that each utterance which is over
 * gets exactly one terminal event. Part of a provider's state, on its shard; it knows no protocol
 * and reads no clock.
 *
 *     SPEECH ─▶ open ─ FINISH ─▶ finishing ─ final or failure ─▶ none, or the next one that has
 *                │ ▲                │                            begun meanwhile
 *    CANCEL: none│ └── socket lost ─┘ its sound and its FINISH come once more
 *
 * While one is finishing, the sound of the next waits behind `finish_at`, so that no words of the
 * one can be taken for the other's. */
#ifndef PROVIDER_UTTERANCE_H
#define PROVIDER_UTTERANCE_H

#include "base/limits.h"
#include "provider/provider.h"

/* Unsent: 6 s of mu-law, 1.5 s of PCM. Full: the oldest is dropped. */
#define UTTERANCE_AUDIO_BYTES 49152

struct utterance {
    uint32_t epoch; /* being recognised, 0: none */
    uint32_t next;  /* has begun while `epoch` is finishing, 0: none */
    uint32_t last;  /* the newest that is over */
    bool finishing;
    bool owed;         /* its final was asked for, if on a socket that is lost */
    int64_t finish_ns; /* when that was first */
    /* sound, as the wire wants it; positions count from the call's first byte */
    uint64_t begin;     /* oldest byte kept */
    uint64_t end;       /* behind the newest */
    uint64_t finish_at; /* finishing: where its sound ends */
    /* words: those that stay, then those that may still change */
    uint32_t text_len;
    uint32_t tail_len;
    uint32_t confidence; /* sum over the words that stay */
    uint32_t words;
    uint8_t text[TURN_TEXT_BYTES_MAX + 1];
    uint8_t audio[UTTERANCE_AUDIO_BYTES];
};

/* Sound or speech of `epoch`: false if it is of an utterance that is over. One before it whose
 * final is still owed, and whose sound will not be repeated any more, is closed. */
bool utterance_open(struct utterance *u, uint32_t epoch, struct intents *out);
/* Takes the bytes of a piece of sound (after utterance_open); the oldest give way. */
void utterance_put(struct utterance *u, struct slice bytes);
/* The same from PCM16: as it is, or as mu-law. */
void utterance_put_pcm(struct utterance *u, struct slice pcm, bool mulaw);
/* Up to `max` bytes from position `at` on, fewer where the ring wraps. */
struct slice utterance_peek(const struct utterance *u, uint64_t at, size_t max);
/* What may be sent by now: nothing behind the end of an utterance that is finishing. */
uint64_t utterance_limit(const struct utterance *u);
/* What lies before `at` is not needed again. */
void utterance_drop(struct utterance *u, uint64_t at);

/* The final is asked for. False: it is over already, and nothing is to be done. An utterance that
 * is still finishing is closed first, with what there is. */
bool utterance_finish(struct utterance *u, uint32_t epoch, int64_t now_ns, struct intents *out);
/* The socket is lost with all that it was told: the words that stay are kept, the rest comes again.
 * One whose sound does not, since the next has begun, is closed with what there is. */
void utterance_lost(struct utterance *u, int32_t status, const char *what, struct intents *out);
/* True if the utterance being recognised was dropped: the far side must forget it. */
bool utterance_cancel(struct utterance *u, uint32_t epoch);

/* Words that stay, of this confidence in percent; they replace the tail. */
void utterance_words(struct utterance *u, struct slice text, uint32_t confidence);
/* Words that may still change, in place of those before. */
void utterance_tail(struct utterance *u, struct slice text);
/* Events. A partial behind which the far side has ended the sentence is a whole one. A final takes
 * the tail for good; each but a partial closes the utterance. */
void utterance_partial(const struct utterance *u, bool ended, struct intents *out);
void utterance_final(struct utterance *u, struct intents *out);
void utterance_fail(struct utterance *u, int32_t status, bool fatal, const char *what,
                    struct intents *out);
/* A final if any words are known, else the failure. */
void utterance_close(struct utterance *u, int32_t status, const char *what, struct intents *out);

#endif
