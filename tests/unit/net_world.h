/* What the tests of the network share: a shard on a real backend with its network actor, a dns lane
 * whose answers are the test's, and servers of the test's own on loopback, all in one thread and
 * under a clock of the test's. Included by one test program each. */
#ifndef TESTS_NET_WORLD_H
#define TESTS_NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/call/engine_net.h"
#include "actors/text.h"
#include "net/resolve.h"

extern const struct actor_type network_type;

static int64_t net_now_ns;
static int (*net_backend)(const struct io_setup *setup, struct io **out) = io_epoll_new;

static inline int64_t net_clock(void *context)
{
    (void)context;
    return net_now_ns;
}

/* ---- the resolver: knows *.test, unless it is broken or its worker is not stepped ---- */

static struct {
    unsigned asked;
    int err;
    bool silent; /* the worker stands still */
} dns;

static inline size_t dns_bytes(struct slice arguments)
{
    (void)arguments;
    return 1;
}

static inline int dns_run(void *session, uint32_t tag, struct slice name, struct lane_job *job)
{
    struct resolved out = {.err = dns.err};
    bool known = name.len > 5 && memcmp(name.at + name.len - 5, ".test", 5) == 0;

    (void)session;
    dns.asked++;
    if (!out.err && !known)
        out.err = ENOENT;
    if (!out.err) {
        out.count = 1;
        out.at[0] = (struct address){.family = 4, .ip = {127, 0, 0, 1}};
    }
    lane_emit(job, tag, slice_of(&out, sizeof(out)));
    return 0;
}

static const struct lane_program dns_program = {
    .name = "dns", .session_bytes = dns_bytes, .run = dns_run};

/* ---- the world ---- */

static struct config net_config = {.ca_file = "", .proxy = ""};
static struct world net_world = {.config = &net_config, .http_new = http_curl_new};
static struct mesh *net_mesh;
static struct shard *net_shard;
static struct lane_worker *net_worker;

static inline void net_build(const struct shard_type *types, size_t count)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_RESOLVE] =
                                                                           &dns_program};
    const struct lane_map map = {.first_host = {[LANE_DNS] = 1}, .workers = {[LANE_DNS] = 1}};
    struct shard_setup setup = {.clock = {.now_ns = net_clock, .wall_ms = net_clock},
                                .seed = 7,
                                .frames_max = 4096,
                                .types = types,
                                .type_count = count,
                                .mesh = (net_mesh = mesh_new(2)),
                                .io_new = net_backend,
                                .handles_max = 64,
                                .receive_bytes = 1 << 20,
                                .world = &net_world};

    memset(&dns, 0, sizeof(dns));
    net_now_ns = SECONDS(1000);
    mesh_pair(net_mesh, 0, 1, 65536, false);
    assert_int_equal(shard_new(&setup, &net_shard), 0);
    lane_map_set(net_shard, &map);
    net_worker = lane_worker_new(net_mesh, 1, LANE_DNS, programs);
    assert_non_null(actor_spawn(net_shard, &network_type, NULL, 0, NULL, 0, FRAME_NONE));
}

/* After every other actor was asked to stop. */
static inline void net_tear(void)
{
    actor_stop(net_shard, shard_only(net_shard, &network_type), REASON_NONE);
    shard_finish(net_shard);
    for (int i = 0; i < 10 && !shard_finished(net_shard); i++)
        shard_turn(net_shard);
    assert_true(shard_finished(net_shard)); /* the runtime has looked at every ledger */
    shard_free(&net_shard);
    lane_worker_free(&net_worker, NULL);
    mesh_free(&net_mesh);
    tls_thread_free();
}

/* One round of everything. The short real wait is for the kernel and libcurl, not for the clock. */
static inline void net_turn(void)
{
    net_now_ns += MS(2);
    shard_io(net_shard)->ops->wait(shard_io(net_shard), 50000, false);
    shard_turn(net_shard);
    while (!dns.silent && lane_worker_step(net_worker))
        ;
    shard_turn(net_shard);
}

static inline void net_pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2)
        net_turn();
}

/* Lets time pass without rounds in between but one. */
static inline void net_leap(int64_t ms)
{
    net_now_ns += MS(ms);
    for (int i = 0; i < 5; i++)
        net_turn();
}

/* ---- a server of the test's own ---- */

struct peer {
    int listener;
    uint16_t port;
    int fd; /* of the connection in hand, or -1 */
    unsigned accepted;
    char in[65536];
    size_t len;
    bool end;                   /* the other side has closed */
    struct tls_context *secure; /* NULL: plain */
    struct tls *tls;
    bool shaken;
    unsigned resumed;
};

static inline void peer_open(struct peer *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    memset(p, 0, sizeof(*p));
    p->fd = -1;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
    p->port = ntohs(at.sin_port);
}

static inline void peer_hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->len = 0;
    p->end = p->shaken = false;
    tls_free(&p->tls);
}

static inline void peer_close(struct peer *p)
{
    peer_hang_up(p);
    if (p->listener >= 0)
        close(p->listener);
    p->listener = -1;
}

static inline void peer_flush(struct peer *p)
{
    uint8_t bytes[8192];
    size_t n;

    while ((n = tls_take(p->tls, bytes, sizeof(bytes))))
        assert_int_equal(send(p->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

static inline void peer_decrypt(struct peer *p, struct slice bytes)
{
    int n = 0;

    assert_int_equal(tls_feed(p->tls, bytes), 0);
    if (!p->shaken) {
        n = tls_handshake(p->tls);
        p->shaken = n == 0;
        p->resumed += p->shaken && tls_resumed(p->tls);
        p->end = p->end || n == -EPROTO;
    }
    while (p->shaken && (n = tls_read(p->tls, p->in + p->len, sizeof(p->in) - 1 - p->len)) > 0)
        p->len += (size_t)n;
    p->end = p->end || (p->shaken && n == 0);
    peer_flush(p);
}

/* Takes what has come; a new connection replaces the one before it. */
static inline void peer_poll(struct peer *p)
{
    int fd = p->listener < 0 ? -1 : accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        peer_hang_up(p);
        p->fd = fd;
        p->accepted++;
        p->tls = p->secure ? tls_new(p->secure, NULL, 0) : NULL;
    }
    if (p->fd < 0)
        return;
    static uint8_t bytes[32768];
    bool room = p->len + sizeof(bytes) < sizeof(p->in);
    ssize_t n = room ? recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT) : -(errno = EAGAIN);
    if (n > 0 && p->tls) {
        peer_decrypt(p, slice_of(bytes, (size_t)n));
    } else if (n > 0) {
        memcpy(p->in + p->len, bytes, (size_t)n);
        p->len += (size_t)n;
    }
    p->end = p->end || n == 0 || (n < 0 && errno != EAGAIN);
    p->in[p->len] = '\0';
}

static inline void peer_send(struct peer *p, const void *at, size_t len)
{
    if (p->tls) {
        assert_int_equal(tls_write(p->tls, slice_of(at, len)), 0);
        peer_flush(p);
        return;
    }
    assert_int_equal(send(p->fd, at, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline void peer_say(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

/* Rounds until `text` has come in. */
static inline void peer_await(struct peer *p, const char *text)
{
    for (int i = 0; i < 1000; i++) {
        net_turn();
        peer_poll(p);
        if (p->len && memmem(p->in, p->len, text, strlen(text)))
            return;
    }
    fail_msg("\"%s\" never came, but: %s", text, p->len ? p->in : "nothing");
}

#endif
