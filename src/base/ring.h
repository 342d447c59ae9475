/* A single-producer, single-consumer ring of variable-length records between two threads: the only
 * way anything crosses a thread. The producer copies in, the consumer copies out (or reads in place
 * until it pops); no pointer crosses. On Concurrency Kit's ordered loads and stores, with a C11
 * twin (RING_C11) because ThreadSanitizer does not understand ck. The owner of both ends allocates
 * it at boot; it never grows. Policy at the bound: push refuses, the producer decides. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct ring; /* opaque: head and tail on cache lines of their own, then the bytes */

/* `size_bytes`: a power of two from 1024 to 2^30. Boot time; aborts without memory. */
struct ring *ring_new(size_t size_bytes);
void ring_free(struct ring **r);

/* Producer: one record made of two parts (b may be empty). false when it does not fit now; a record
 * that takes more than half the ring (8 bytes of header, then whole words) never fits. */
MUST_USE bool ring_push(struct ring *r, struct slice a, struct slice b);
/* Whether a record of so many bytes can ever fit. Either side. */
bool ring_fits(const struct ring *r, size_t len_bytes);
/* Consumer: the oldest record in place, valid until ring_pop; false when empty. */
bool ring_peek(struct ring *r, struct slice *record);
void ring_pop(struct ring *r); /* after a ring_peek that said true */
/* Any thread, a moment's truth: bytes in use, headers and the unused end included. */
size_t ring_used(const struct ring *r);

#endif
