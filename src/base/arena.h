/* Memory of one actor: a bump allocator over bytes that the actor's slot brings along, taken at
 * spawn and given back whole at its end. Nothing is freed singly and nothing grows: a request
 * beyond the budget is refused and remembered, and the actor ends with a reason. Belongs to one
 * shard; no other thread touches it. Under ASan what is not handed out is poisoned, so an overrun
 * or a use after the end is caught as it would be on the heap. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define ARENA_ALIGN 16 /* of every piece */

struct arena {
    uint8_t *at;
    size_t size;
    size_t used;
    size_t used_most; /* over all its lives, to size the next version's slots by */
    uint64_t refused; /* requests beyond the budget, over all its lives */
    bool closed;      /* quarantined: refuses everything until arena_reset */
};

/* Over `size` bytes at `memory` (borrowed until arena_fini, aligned to ARENA_ALIGN). */
void arena_init(struct arena *a, void *memory, size_t size);
/* The memory is ordinary again and may go back to where it came from. */
void arena_fini(struct arena *a);

/* Zeroed bytes that live until the reset, or NULL and `refused` one up. 0 bytes is a wrong call. */
void *arena_take(struct arena *a, size_t len);
/* A copy of the text with a final NUL, or NULL. */
char *arena_text(struct arena *a, struct slice text);
/* Everything taken since is given back: for working memory inside one handler. */
size_t arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, size_t mark);
/* The actor ended: all pieces become poison and nothing can be taken. The slot waits a while before
 * its next life, so that whoever kept a pointer is caught. */
void arena_quarantine(struct arena *a);
/* A new life: empty, and open. */
void arena_reset(struct arena *a);

size_t arena_left(const struct arena *a);

#endif
