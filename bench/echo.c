/* The bare kernel's price for a call's packets: N connected UDP sockets, every 2 ms whatever has
 * come is sent back, and nothing else. Sockets and tick are those of the server, so that a server's
 * figures over these are its own share. Runs until a signal.
 *
 *     sidetone-bench-echo FIRST_PORT PEER_FIRST_PORT COUNT [TICK_US]
 *
 * Ports are two apart, on loopback; the peer has as many as the harness has sockets. */
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/load/trunk.h"

#define EVENTS_MAX   512
#define PACKET_BYTES 2000

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(2);
}

static struct sockaddr_in loopback(long port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_all(int set, long first, long peer, long count)
{
    for (long i = 0; i < count; i++) {
        struct sockaddr_in at = loopback(first + 2 * i);
        struct sockaddr_in to = loopback(peer + 2 * trunk_socket((uint32_t)i));
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "bind");
        must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
        must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
    }
}

/* One tick: all that is there. */
static void answer_all(int set)
{
    struct epoll_event events[EVENTS_MAX];
    uint8_t packet[PACKET_BYTES];
    int n = EVENTS_MAX;

    while (n == EVENTS_MAX && !stopped) {
        n = epoll_wait(set, events, EVENTS_MAX, 0);
        for (int i = 0; i < n; i++) {
            ssize_t size = recv(events[i].data.fd, packet, sizeof(packet), MSG_DONTWAIT);
            if (size > 0)
                (void)!send(events[i].data.fd, packet, (size_t)size, MSG_DONTWAIT);
        }
    }
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    int64_t tick_ns = (argc > 4 ? atol(argv[4]) : 2000) * NS_PER_US;
    struct rlimit limit;
    struct timespec t;

    if (argc < 4 || tick_ns <= 0) {
        fputs("usage: sidetone-bench-echo FIRST_PORT PEER_FIRST_PORT COUNT [TICK_US]\n", stderr);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_NAME, "shard-echo");
    int set = epoll_create1(EPOLL_CLOEXEC);
    must(set >= 0, "epoll");
    open_all(set, atol(argv[1]), atol(argv[2]), atol(argv[3]));
    puts("ready");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t next_ns = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
    while (!stopped) {
        answer_all(set);
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t now_ns = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
        next_ns = next_ns + tick_ns > now_ns ? next_ns + tick_ns : now_ns + tick_ns;
        t = (struct timespec){.tv_sec = next_ns / NS_PER_S, .tv_nsec = next_ns % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    close(set);
    return 0;
}
