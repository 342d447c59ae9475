/* Text on its way through messages: out of a chain of frames into one piece, and back. The pieces
 * lie in the shard's scratch memory and live until the handler returns. And the text of call ids,
 * made on the shards and read where the API is answered. */
#ifndef ACTORS_TEXT_H
#define ACTORS_TEXT_H

#include "actors/world.h"

/* Scratch of a handler, by who uses it. */
#define SCRATCH_TEXT 0     /* text_of: what a message brought */
#define SCRATCH_MADE 81920 /* what a handler composes */
#define SCRATCH_END  131072

/* The text of a message's frames, at most SCRATCH_MADE - SCRATCH_TEXT bytes. */
struct slice text_of(struct actor *a, const struct msg *m);
/* A builder over the scratch for what is composed. */
struct builder text_builder(struct actor *a);
/* A chain with this text, for a message; FRAME_NONE for an empty text or an empty pool (counted).
 */
frame_ref text_frame(struct actor *a, struct slice text);
/* At most `max` bytes of it, cut at a character. */
struct slice text_cut(struct slice text, size_t max);

/* A text that an actor keeps, in memory that grows with it. Zeroed it is empty. */
struct note {
    uint8_t *at;
    uint32_t len, size;
};

/* Adds what fits into `max` bytes in all, cut at a character; without memory, nothing. */
void note_add(struct actor *a, struct note *n, struct slice text, size_t max);
/* Makes it this text alone. */
void note_set(struct actor *a, struct note *n, struct slice text, size_t max);
/* Gives its memory back. */
void note_drop(struct actor *a, struct note *n);
/* Twice as much memory, or what `len` takes if that is more, at most `max`; `*size` tells. NULL:
 * none is to be had. */
uint8_t *text_memory(struct actor *a, size_t len, size_t max, uint32_t *size);

static inline struct slice note_text(const struct note *n)
{
    return slice_of(n->at, n->len);
}

/* The base of media URLs: the public one with its scheme made WebSocket's, or our own address. */
void media_base(const struct world *world, char *out, size_t out_bytes);

/* "6740a1b2-1f03-03-00002a": generation, process, shard and number of a call, CALL_ID_BYTES. */
void call_id_make(const struct world *world, uint32_t shard, uint32_t number, char *out);
/* False unless it is the id of a call that this process may have, exactly as it was made. */
bool call_id_shard(const struct world *world, struct slice id, uint32_t *shard);
/* The generation in a call's id; 0 if it is none. */
uint32_t call_id_generation(struct slice id);

#endif
