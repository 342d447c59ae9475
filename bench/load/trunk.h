/* The UDP sockets that all callers of RTP share, as the lines of a trunk do. Sends are gathered and
 * leave by sendmmsg, arrivals are taken by recvmmsg with the kernel's time of each, so that
 * thousands of callers cost one thread little more than the kernel's own work. Whose a packet is,
 * the port it comes from says: a server gives each call a port of its own. Owned by the load loop
 * and its thread. Never waits; what the kernel refuses or loses is counted. */
#ifndef LOAD_TRUNK_H
#define LOAD_TRUNK_H

#include <netinet/in.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"

#define TRUNK_SOCKETS      16 /* a power of two: which one is a caller's, its phase decides */
#define TRUNK_BATCH        64 /* packets of one system call */
#define TRUNK_PACKET_BYTES 2000
#define TRUNK_OUT_BYTES    512     /* of one packet sent: headers and 20 ms of G.711 */
#define TRUNK_BUFFER_BYTES 8388608 /* of one socket, if we may; full: dropped, counted */

/* 2^32 / golden ratio: any first n of the multiples are spread evenly over the 32 bits. */
#define TRUNK_GOLDEN UINT32_C(2654435769)

union trunk_peer {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct trunk_batch; /* the arrays of the two system calls */

typedef void trunk_take(void *context, uint32_t caller, struct slice packet, int64_t at_wall_ns);

struct trunk {
    /* Set by the owner: this caller's packet is going to be handed out soon, fetch its memory. */
    void (*soon)(void *context, uint32_t caller);
    int fds[TRUNK_SOCKETS];
    struct address local[TRUNK_SOCKETS];
    uint32_t callers[65536]; /* by the peer's port: caller + 1; 0: nobody's */
    struct trunk_batch *batch;
    uint64_t unsent;  /* packets that the kernel refused */
    uint64_t strange; /* packets from ports that are nobody's */
};

/* When in the frame period a caller sends, as a share of 2^32. */
static inline uint32_t trunk_phase(uint32_t caller)
{
    return caller * TRUNK_GOLDEN;
}

/* Callers that send next to each other share a socket, so a batch rarely has to be cut. */
static inline uint32_t trunk_socket(uint32_t caller)
{
    return trunk_phase(caller) / (UINT32_MAX / TRUNK_SOCKETS + 1);
}

/* Binds them: to any ports if `local` has none, else to its port and those two apart behind it. 0
 * or -errno. Aborts without memory. */
MUST_USE int trunk_open(struct trunk *t, const struct address *local);
void trunk_close(struct trunk *t);
/* From now on what comes from this peer's port is the caller's. */
void trunk_claim(struct trunk *t, uint32_t caller, const struct address *peer,
                 union trunk_peer *to);
void trunk_release(struct trunk *t, uint32_t caller, const union trunk_peer *peer);
/* Gathers one packet of at most TRUNK_OUT_BYTES; it leaves when the batch is full, or at the
 * flush. */
void trunk_send(struct trunk *t, uint32_t caller, const union trunk_peer *to, struct slice packet);
void trunk_flush(struct trunk *t);
/* Takes everything that has come. `at_wall_ns`: the kernel's time, 0 if it said none; the packet's
 * bytes are valid during the call only. */
void trunk_receive(struct trunk *t, trunk_take *take, void *context);
/* When the kernel got a message of a socket with SO_TIMESTAMPNS, on the wall clock; 0: it does not
 * say. */
int64_t trunk_arrival_ns(struct msghdr *m);
/* Packets lost so far because a socket's buffer was full: ours, not the server's. */
uint64_t trunk_lost(const struct trunk *t);

#endif
