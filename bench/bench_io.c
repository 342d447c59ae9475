/* What the seam to the outside costs: one packet in and one out over N connected UDP sockets, by
 * each backend and by a bare loop of system calls, all on one thread that also plays the peers.
 * Prints ns per pair, with the peers' own cost taken off, and the ratio to the bare loop.
 *
 *     sidetone-bench-io [sockets [rounds]]
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/io.h"

#define PACKET_BYTES 172
#define REPEATS      5

struct bench {
    struct io *io;
    struct frame_pool *pool;
    unsigned count; /* sockets */
    unsigned rounds;
    unsigned answered;
    int peer; /* one socket plays every caller */
    struct address peer_at;
    struct sockaddr_storage *to;
    uint8_t packet[PACKET_BYTES];
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void answer(void *context, const struct io_event *e)
{
    struct bench *b = context;

    if (e->kind != IO_PACKET)
        return;
    if (b->io->ops->udp_send(b->io, e->id, frame_chain(b->pool, e->data), NULL) == 0)
        b->answered++;
}

static void peers_send(struct bench *b)
{
    for (unsigned i = 0; i < b->count; i++)
        must(sendto(b->peer, b->packet, PACKET_BYTES, 0, (struct sockaddr *)&b->to[i],
                    sizeof(struct sockaddr_in)) == PACKET_BYTES,
             "sendto");
}

static unsigned peers_receive(struct bench *b)
{
    uint8_t got[PACKET_BYTES];
    unsigned count = 0;

    while (recv(b->peer, got, sizeof(got), MSG_DONTWAIT) > 0)
        count++;
    return count;
}

static void peer_open(struct bench *b)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    struct sockaddr_storage name = {0};
    int room = 4 << 20;

    b->peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(b->peer >= 0 && bind(b->peer, (struct sockaddr *)&any, len) == 0, "peer");
    setsockopt(b->peer, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    must(getsockname(b->peer, (struct sockaddr *)&any, &len) == 0, "getsockname");
    *(struct sockaddr_in *)&name = any;
    address_from_sockaddr(&name, &b->peer_at);
}

/* Time of the answering side alone, the least of several runs. */
static int64_t least(int64_t best_ns, int64_t spent_ns)
{
    return best_ns && best_ns < spent_ns ? best_ns : spent_ns;
}

static int64_t run_backend(struct bench *b, int (*make)(const struct io_setup *, struct io **))
{
    struct io_setup setup = {
        .pool = b->pool,
        .deliver = answer,
        .context = b,
        .handles_max = b->count,
        .receive_bytes = 8 << 20,
    };
    struct address any = {.family = 4, .ip = {127, 0, 0, 1}}, at;
    int64_t best_ns = 0;
    io_id id;

    if (make(&setup, &b->io))
        return 0;
    for (unsigned i = 0; i < b->count; i++) {
        must(b->io->ops->udp_open(b->io, i, &any, &id, &at) == 0, "udp_open");
        must(b->io->ops->udp_connect(b->io, id, &b->peer_at) == 0, "udp_connect");
        address_to_sockaddr(&at, &b->to[i]);
    }
    b->io->ops->wait(b->io, 0, false);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        int64_t spent_ns = 0;
        for (unsigned round = 0; round < b->rounds; round++) {
            b->answered = 0;
            peers_send(b);
            int64_t start_ns = now_ns();
            for (int i = 0; i < 100 && b->answered < b->count; i++)
                b->io->ops->wait(b->io, 0, false);
            b->io->ops->wait(b->io, 0, false); /* the last answers leave with it */
            spent_ns += now_ns() - start_ns;
            must(b->answered == b->count && peers_receive(b) == b->count, "lost packets");
        }
        best_ns = least(best_ns, spent_ns);
    }
    b->io->ops->free(b->io);
    return best_ns;
}

/* epoll, recv, send, and nothing else. */
static int64_t run_bare(struct bench *b)
{
    struct sockaddr_storage peer;
    socklen_t len = address_to_sockaddr(&b->peer_at, &peer);
    struct epoll_event events[512];
    int64_t best_ns = 0;
    int set = epoll_create1(EPOLL_CLOEXEC), *fds = calloc(b->count, sizeof(*fds));

    must(set >= 0 && fds, "epoll");
    for (unsigned i = 0; i < b->count; i++) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t any_len = sizeof(any);
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        must(bind(fds[i], (struct sockaddr *)&any, any_len) == 0, "bind");
        must(getsockname(fds[i], (struct sockaddr *)&any, &any_len) == 0, "getsockname");
        *(struct sockaddr_in *)&b->to[i] = any;
        must(connect(fds[i], (struct sockaddr *)&peer, len) == 0, "connect");
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};
        must(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &e) == 0, "epoll_ctl");
    }
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        int64_t spent_ns = 0;
        for (unsigned round = 0; round < b->rounds; round++) {
            unsigned answered = 0;
            peers_send(b);
            int64_t start_ns = now_ns();
            while (answered < b->count) {
                int ready = epoll_wait(set, events, 512, 0);
                for (int i = 0; i < ready; i++, answered++) {
                    uint8_t got[PACKET_BYTES];
                    ssize_t size = recv(events[i].data.fd, got, sizeof(got), MSG_DONTWAIT);
                    must(size > 0 && send(events[i].data.fd, got, (size_t)size, 0) == size, "echo");
                }
            }
            spent_ns += now_ns() - start_ns;
            must(peers_receive(b) == b->count, "lost packets");
        }
        best_ns = least(best_ns, spent_ns);
    }
    for (unsigned i = 0; i < b->count; i++)
        close(fds[i]);
    close(set);
    free(fds);
    return best_ns;
}

int main(int argc, char **argv)
{
    struct bench b = {
        .count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000,
        .rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 20,
    };
    struct rlimit limit;
    double pairs = (double)b.count * b.rounds;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    b.pool = frame_pool_new(b.count + 64);
    b.to = calloc(b.count, sizeof(*b.to));
    must(b.to && b.count && b.rounds, "usage: sidetone-bench-io [sockets [rounds]]");
    peer_open(&b);
    double bare = (double)run_bare(&b) / pairs;
    double epoll = (double)run_backend(&b, io_epoll_new) / pairs;
    double uring = (double)run_backend(&b, io_uring_new) / pairs;
    printf("%u sockets, ns per pair: bare %.0f, epoll %.0f (%.2f), io_uring %.0f (%.2f)\n", b.count,
           bare, epoll, epoll / bare, uring, uring / bare);
    free(b.to);
    frame_pool_free(&b.pool);
    return 0;
}
