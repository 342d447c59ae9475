/* How threads talk: between each two hosts (shards, control, lane workers) lie two rings each way,
 * one for control and one for live audio. A message is copied into the ring with the bytes of its
 * frames and rebuilt in the receiver's own pool, so no reference crosses. A control message that
 * finds its ring full waits in the sender's outbox (OUTBOX_MAX); live audio is dropped, the newest
 * first, and counted. The mesh is made at boot and never changes; a mailbox belongs to one host and
 * its thread. */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"
#include "runtime/msg.h"

struct mesh;
struct mailbox;

/* Boot: rings for `hosts` hosts; each pair that talks is opened with mesh_pair. */
struct mesh *mesh_new(uint32_t hosts);
void mesh_free(struct mesh **mesh);
/* Opens both directions between two hosts; control rings of `control_bytes`, audio rings of
 * RING_BYTES if `audio`. */
void mesh_pair(struct mesh *mesh, uint32_t a, uint32_t b, size_t control_bytes, bool audio);

/* The host's end. `wake` is called by other threads when they have sent to a host that sleeps; it
 * and its context must live until nobody sends. NULL: a second end of the host that only sends. */
struct mailbox *mailbox_new(struct mesh *mesh, uint32_t host, void (*wake)(void *context),
                            void *context);
void mailbox_free(struct mailbox **box);

/* Puts m (and its frames, which stay the caller's) on the way to host m->to.shard. 0; -EAGAIN when
 * the ring is full; -EMSGSIZE when it never fits; -ENXIO when the two do not talk. */
MUST_USE int mailbox_push(struct mailbox *box, const struct msg *m, struct frame_pool *pool);
/* The same with plain bytes instead of frames (lane workers have no pool). */
MUST_USE int mailbox_push_bytes(struct mailbox *box, const struct msg *m, struct slice bytes);
/* The next message from any host, round robin; false when there is none. Its frames come from
 * `pool`; when that is empty a live message is dropped and a control message stays in the ring. */
bool mailbox_pop(struct mailbox *box, struct frame_pool *pool, struct msg *m);
/* The same for hosts without a pool (lane workers): the bytes of its frames are added to `out`. */
bool mailbox_pop_bytes(struct mailbox *box, struct msg *m, struct builder *out);

/* Around a sleep: after mailbox_sleeping(true) a sender wakes this host. True when it may sleep. */
bool mailbox_sleep(struct mailbox *box);
void mailbox_awake(struct mailbox *box);
uint64_t mailbox_dropped(const struct mailbox *box);

#endif
