/* Text on its way through messages: out of a chain of frames into one piece, and back. The pieces
 * lie in the shard's scratch memory and live until the handler returns. */
#ifndef ACTORS_TEXT_H
#define ACTORS_TEXT_H

#include "runtime/shard.h"

/* Scratch of a handler, by who uses it. */
#define SCRATCH_INTENTS 0     /* engine.c: struct intents */
#define SCRATCH_TEXT    49152 /* text_of: what a message brought */
#define SCRATCH_MADE    81920 /* what a handler composes */
#define SCRATCH_END     131072

/* The text of a message's frames, at most SCRATCH_MADE - SCRATCH_TEXT bytes. */
struct slice text_of(struct actor *a, const struct msg *m);
/* A builder over the scratch for what is composed. */
struct builder text_builder(struct actor *a);
/* A chain with this text, for a message; FRAME_NONE for an empty text or an empty pool (counted).
 */
frame_ref text_frame(struct actor *a, struct slice text);
/* At most `max` bytes of it, cut at a character. */
struct slice text_cut(struct slice text, size_t max);

#endif
