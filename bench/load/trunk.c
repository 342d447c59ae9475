#include "bench/load/trunk.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define CONTROL_BYTES 64

struct trunk_batch {
    uint32_t socket, count; /* being gathered */
    struct mmsghdr out[TRUNK_BATCH];
    struct iovec out_parts[TRUNK_BATCH];
    union trunk_peer to[TRUNK_BATCH];
    uint8_t out_bytes[TRUNK_BATCH][TRUNK_OUT_BYTES];
    struct mmsghdr in[TRUNK_BATCH];
    struct iovec in_parts[TRUNK_BATCH];
    union trunk_peer from[TRUNK_BATCH];
    uint8_t control[TRUNK_BATCH][CONTROL_BYTES] __attribute__((aligned(8)));
    uint8_t in_bytes[TRUNK_BATCH][TRUNK_PACKET_BYTES];
};

/* The family stands in the same place of both, and so does the port. */
static socklen_t peer_len(const union trunk_peer *p)
{
    return p->v4.sin_family == AF_INET ? sizeof(p->v4) : sizeof(p->v6);
}

static uint16_t peer_port(const union trunk_peer *p)
{
    return ntohs(p->v4.sin_port);
}

static int open_one(struct address *local)
{
    struct sockaddr_storage raw;
    socklen_t len = address_to_sockaddr(local, &raw);
    int fd = socket(raw.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    int room = TRUNK_BUFFER_BYTES;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (bind(fd, (struct sockaddr *)&raw, len) == 0) {
        len = sizeof(raw);
        if (getsockname(fd, (struct sockaddr *)&raw, &len) == 0) {
            address_from_sockaddr(&raw, local);
            return fd;
        }
    }
    int err = errno;
    close(fd);
    return -err;
}

static struct trunk_batch *batch_new(void)
{
    struct trunk_batch *b = calloc(1, sizeof(*b));

    if (!b)
        abort();
    for (uint32_t i = 0; i < TRUNK_BATCH; i++) {
        b->out_parts[i].iov_base = b->out_bytes[i];
        b->out[i].msg_hdr =
            (struct msghdr){.msg_name = &b->to[i], .msg_iov = &b->out_parts[i], .msg_iovlen = 1};
        b->in_parts[i] = (struct iovec){b->in_bytes[i], TRUNK_PACKET_BYTES};
        b->in[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
                                           .msg_iov = &b->in_parts[i],
                                           .msg_iovlen = 1,
                                           .msg_control = b->control[i]};
    }
    return b;
}

int trunk_open(struct trunk *t, const struct address *local)
{
    for (uint32_t i = 0; i < TRUNK_SOCKETS; i++)
        t->fds[i] = -1;
    t->batch = batch_new();
    for (uint32_t i = 0; i < TRUNK_SOCKETS; i++) {
        t->local[i] = *local;
        t->local[i].port = (uint16_t)(local->port ? local->port + 2 * i : 0);
        int fd = open_one(&t->local[i]);
        if (fd < 0) {
            trunk_close(t);
            return fd;
        }
        t->fds[i] = fd;
    }
    return 0;
}

void trunk_close(struct trunk *t)
{
    if (!t->batch)
        return;
    for (uint32_t i = 0; i < TRUNK_SOCKETS; i++)
        if (t->fds[i] >= 0)
            close(t->fds[i]);
    free(t->batch);
    t->batch = NULL;
}

void trunk_claim(struct trunk *t, uint32_t caller, const struct address *peer, union trunk_peer *to)
{
    struct sockaddr_storage raw;

    memcpy(to, &raw, address_to_sockaddr(peer, &raw));
    t->callers[peer->port] = caller + 1;
}

void trunk_release(struct trunk *t, uint32_t caller, const union trunk_peer *peer)
{
    if (t->callers[peer_port(peer)] == caller + 1)
        t->callers[peer_port(peer)] = 0;
}

void trunk_flush(struct trunk *t)
{
    struct trunk_batch *b = t->batch;
    uint32_t done = 0;

    while (done < b->count) {
        int n = sendmmsg(t->fds[b->socket], b->out + done, b->count - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        t->unsent += n < 0;
        done += n < 0 ? 1 : (uint32_t)n;
    }
    b->count = 0;
}

void trunk_send(struct trunk *t, uint32_t caller, const union trunk_peer *to, struct slice packet)
{
    struct trunk_batch *b = t->batch;
    uint32_t socket = trunk_socket(caller);

    if (packet.len > TRUNK_OUT_BYTES) {
        t->unsent++;
        return;
    }
    if (b->count == TRUNK_BATCH || socket != b->socket)
        trunk_flush(t);
    b->socket = socket;
    b->to[b->count] = *to;
    b->out[b->count].msg_hdr.msg_namelen = peer_len(to);
    memcpy(b->out_bytes[b->count], packet.at, packet.len);
    b->out_parts[b->count++].iov_len = packet.len;
}

int64_t trunk_arrival_ns(struct msghdr *m)
{
    struct timespec at;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&at, CMSG_DATA(h), sizeof(at));
        return (int64_t)at.tv_sec * NS_PER_S + at.tv_nsec;
    }
    return 0;
}

static int receive_batch(struct trunk *t, int fd)
{
    struct trunk_batch *b = t->batch;

    for (uint32_t i = 0; i < TRUNK_BATCH; i++) {
        b->in[i].msg_hdr.msg_namelen = sizeof(b->from[i]);
        b->in[i].msg_hdr.msg_controllen = CONTROL_BYTES;
    }
    return recvmmsg(fd, b->in, TRUNK_BATCH, MSG_DONTWAIT, NULL);
}

static void hand_out(struct trunk *t, uint32_t n, trunk_take *take, void *context)
{
    struct trunk_batch *b = t->batch;
    uint32_t callers[TRUNK_BATCH];

    for (uint32_t i = 0; i < n; i++) {
        callers[i] = t->callers[peer_port(&b->from[i])];
        t->strange += !callers[i];
        if (callers[i])
            t->soon(context, callers[i] - 1);
    }
    for (uint32_t i = 0; i < n; i++)
        if (callers[i])
            take(context, callers[i] - 1, slice_of(b->in_bytes[i], b->in[i].msg_len),
                 trunk_arrival_ns(&b->in[i].msg_hdr));
}

void trunk_receive(struct trunk *t, trunk_take *take, void *context)
{
    for (uint32_t k = 0; k < TRUNK_SOCKETS; k++) {
        int n = TRUNK_BATCH;
        /* ends: a batch that is not full was all there is; a full one is 64 packets less */
        while (n == TRUNK_BATCH && (n = receive_batch(t, t->fds[k])) > 0)
            hand_out(t, (uint32_t)n, take, context);
    }
}

uint64_t trunk_lost(const struct trunk *t)
{
    uint64_t lost = 0;

    for (uint32_t k = 0; k < TRUNK_SOCKETS; k++) {
        uint32_t info[SK_MEMINFO_VARS] = {0};
        socklen_t len = sizeof(info);
        if (getsockopt(t->fds[k], SOL_SOCKET, SO_MEMINFO, info, &len) == 0)
            lost += info[SK_MEMINFO_DROPS];
    }
    return lost;
}
