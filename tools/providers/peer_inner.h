/* What the two halves of a peer share: peer.c, which reads, and peer_out.c, which sends and does
 * what faults demand. Nobody else includes it. The loop's thread. */
#ifndef PROVIDERS_PEER_INNER_H
#define PROVIDERS_PEER_INNER_H

#include "tools/providers/peer.h"

/* Queues a frame's or chunk's bytes, head and body joined. */
void peer_put(struct peer *p, int64_t due_ns, uint32_t tag, enum piece_kind kind, struct slice head,
              struct slice body);
/* Sends what is due and sets the timer for what is not. */
void peer_flush(struct peer *p);
/* Takes the piece behind `before` (NULL: the first) out of the queue and frees it. */
void peer_drop(struct peer *p, struct piece *before);
void peer_arm(struct peer *p);
void peer_next(struct peer *p);
void peer_leave(struct peer *p);
void peer_gone(struct peer *p);
void peer_reset(struct peer *p);
void peer_on_shutdown(uv_shutdown_t *shutdown, int status);

/* A fault begins with its request or message: what happens at once happens here, true when there
 * will be no answer. */
bool fault_begin(struct peer *p);

#endif
