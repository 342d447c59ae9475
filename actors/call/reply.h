/* What the agent is saying: the text of one reply as it grows, cut into clauses for the
 * synthesiser, and, clause by clause, how much of it the caller has heard. Owned by the call actor.
 * Pure. */
#ifndef CALL_REPLY_H
#define CALL_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define REPLY_PIECES_MAX  64  /* clauses of one reply; the rest is one last clause */
#define CLAUSE_CHARS_MAX  180 /* a longer one is cut at a space: about 10 s of speech */
#define CLAUSE_CHARS_SOON 24  /* the first clause may also end at a comma, from here on */

struct reply {
    uint32_t first_piece; /* number of the first clause; they count on over replies */
    uint32_t pieces;
    uint16_t ends[REPLY_PIECES_MAX]; /* where each clause ends in the text */
    uint16_t len;
    bool whole;    /* nothing more will be added */
    uint16_t room; /* bytes of `text` */
    uint8_t *text; /* the owner's memory, at most TURN_TEXT_BYTES_MAX */
};

/* Goes on in other memory, with no less room. Returns what it had, NULL at first: without memory it
 * takes no text. */
uint8_t *reply_move(struct reply *r, uint8_t *memory, uint32_t room);

/* Starts the next reply; piece numbers go on. */
void reply_begin(struct reply *r);
/* Adds text; what does not fit is left out, at a character. */
void reply_add(struct reply *r, struct slice text);
void reply_end(struct reply *r);
/* The next clause to be spoken, trimmed, and its piece number; false when none is complete yet. */
bool reply_next(struct reply *r, struct slice *clause, uint32_t *piece);
/* Bytes of the text that were heard: all up to `piece`, and of it `heard` of `samples`, counted in
 * whole words. `ended`: `samples` is all of the piece. A piece of another reply: 0. */
size_t reply_heard(const struct reply *r, uint32_t piece, int64_t heard, int64_t samples,
                   bool ended);

static inline struct slice reply_text(const struct reply *r)
{
    return slice_of(r->text, r->len);
}

#endif
