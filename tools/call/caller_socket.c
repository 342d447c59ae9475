#include "tools/call/caller_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"

#define RECEIVE_BYTES 65536
#define NOTE_MAX_NS   SECONDS(10) /* nothing waits longer in a socket before it is read */

int64_t socket_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

uint64_t socket_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)socket_now_ns();
    return seed;
}

/* Waits for `events` until the deadline; what poll said (0: the deadline). */
static short wait_for(int fd, short events, int64_t until_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left = until_ns - socket_now_ns();

    if (left < 0)
        left = 0;
    struct timespec t = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
    return ppoll(&p, 1, &t, NULL) > 0 ? p.revents : 0;
}

/* The kernel notes when each datagram or segment came: this program may be woken later. Where it
 * cannot, the time of reading serves. */
static void note_arrivals(int fd)
{
    int on = 1;

    (void)!setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
}

static int why_errno(char why[SOCKET_WHY_BYTES], const struct url *u, int err)
{
    if (err == ECONNREFUSED)
        snprintf(why, SOCKET_WHY_BYTES, "nobody listens at %s", u->authority);
    else if (err == ETIMEDOUT)
        snprintf(why, SOCKET_WHY_BYTES, "%s did not answer in time", u->authority);
    else
        snprintf(why, SOCKET_WHY_BYTES, "%s cannot be reached: %s", u->authority, strerror(err));
    return -err;
}

static int finish_connect(int fd, int64_t until_ns)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (!wait_for(fd, POLLOUT, until_ns))
        return ETIMEDOUT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return errno;
    return err;
}

int socket_connect(const struct url *u, int64_t timeout_ns, char why[SOCKET_WHY_BYTES])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int err = ECONNREFUSED, on = 1;

    if (getaddrinfo(u->host, u->port, &hints, &list) != 0) {
        snprintf(why, SOCKET_WHY_BYTES, "no address is known for the host \"%s\"", u->host);
        return -ENOENT;
    }
    int64_t until_ns = socket_now_ns() + timeout_ns;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        err = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (err == EINPROGRESS)
            err = finish_connect(fd, until_ns);
        if (err == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            note_arrivals(fd);
            freeaddrinfo(list);
            return fd;
        }
        close(fd);
    }
    freeaddrinfo(list);
    return why_errno(why, u, err);
}

int socket_bind(const char *local_ip, uint16_t *port, char why[SOCKET_WHY_BYTES])
{
    struct address a;
    struct sockaddr_storage raw;
    socklen_t len = sizeof(raw);

    if (address_parse(slice_str(local_ip), false, &a) < 0) {
        snprintf(why, SOCKET_WHY_BYTES, "\"%s\" is not an address", local_ip);
        return -EINVAL;
    }
    socklen_t bind_len = address_to_sockaddr(&a, &raw);
    int fd = socket(raw.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&raw, bind_len) < 0 ||
        getsockname(fd, (struct sockaddr *)&raw, &len) < 0) {
        int err = errno;
        snprintf(why, SOCKET_WHY_BYTES, "no RTP port at %s: %s", local_ip, strerror(err));
        if (fd >= 0)
            close(fd);
        return -err;
    }
    note_arrivals(fd);
    address_from_sockaddr(&raw, &a);
    *port = a.port;
    return fd;
}

int socket_peer(int fd, const char *peer, char why[SOCKET_WHY_BYTES])
{
    struct address a;
    struct sockaddr_storage raw;

    if (address_parse(slice_str(peer), true, &a) < 0) {
        snprintf(why, SOCKET_WHY_BYTES, "the server names \"%s\" as its RTP port", peer);
        return -EINVAL;
    }
    socklen_t len = address_to_sockaddr(&a, &raw);
    if (connect(fd, (struct sockaddr *)&raw, len) < 0) {
        int err = errno;
        snprintf(why, SOCKET_WHY_BYTES, "%s cannot be reached: %s", peer, strerror(err));
        return -err;
    }
    return 0;
}

/* ---- one request ---- */

static int send_all(int fd, struct slice s, int64_t until_ns)
{
    while (s.len) {
        ssize_t n = send(fd, s.at, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            s = slice_of(s.at + n, s.len - (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            return errno;
        else if (!wait_for(fd, POLLOUT, until_ns))
            return ETIMEDOUT;
    }
    return 0;
}

/* The whole answer: by its Content-Length, or up to the end of the connection. 0 or an errno. */
static int receive_answer(int fd, struct slice store, struct http_head *head, struct slice *body,
                          int64_t until_ns)
{
    uint8_t *at = (uint8_t *)(uintptr_t)store.at;
    size_t len = 0;

    while (len < store.len) {
        ssize_t n = recv(fd, at + len, store.len - len, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return errno;
        len += n > 0 ? (size_t)n : 0;
        struct http_result got = http_response(head, slice_of(at, len));
        if (got.outcome == HTTP_BAD || (got.outcome == HTTP_MORE && n == 0) ||
            (got.outcome == HTTP_OK && head->has_coding))
            return EPROTO;
        if (got.outcome == HTTP_OK &&
            (n == 0 || (head->has_length && len - got.used >= head->content_length))) {
            *body = slice_of(at + got.used, len - got.used);
            return 0;
        }
        if (n < 0 && !wait_for(fd, POLLIN, until_ns))
            return ETIMEDOUT;
    }
    return EMSGSIZE;
}

int socket_request(const struct url *api, const char *method, const char *path, const char *json,
                   int64_t timeout_ns, char *body, size_t body_bytes, char why[SOCKET_WHY_BYTES])
{
    static uint8_t store[RECEIVE_BYTES + HTTP_HEAD_BYTES_MAX];
    struct builder b = builder_of(store, sizeof(store));
    struct http_head head = {0};
    struct slice answer = SLICE_NONE;
    int64_t until_ns = socket_now_ns() + timeout_ns;
    int fd = socket_connect(api, timeout_ns, why);

    if (fd < 0)
        return fd;
    builder_printf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: */*\r\n", method,
                   path, api->authority);
    if (json)
        builder_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(json), json);
    else
        builder_str(&b, "\r\n");
    int err = send_all(fd, builder_slice(&b), until_ns);
    if (!err)
        err = receive_answer(fd, slice_of(store, sizeof(store)), &head, &answer, until_ns);
    close(fd);
    if (err == EPROTO || (!err && slice_cstr(answer, body, body_bytes) < 0)) {
        snprintf(why, SOCKET_WHY_BYTES, "%s answers with something that is not understood",
                 api->authority);
        return -EPROTO;
    }
    if (err)
        return why_errno(why, api, err);
    return head.status;
}

/* ---- the call ---- */

struct wire {
    int fd;
    bool datagrams;
    size_t unsent;
    uint8_t store[SOCKET_UNSENT_MAX];
    uint8_t in[RECEIVE_BYTES];
};

/* Sends what waits; 0 or an errno that ends the call. */
static int wire_flush(struct wire *w)
{
    while (w->unsent) {
        ssize_t n = send(w->fd, w->store, w->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : errno;
        w->unsent -= (size_t)n;
        memmove(w->store, w->store + n, w->unsent);
    }
    return 0;
}

static int wire_send(struct wire *w, const struct caller_output *out)
{
    for (size_t i = 0; i < out->count; i++) {
        struct slice piece = caller_output_piece(out, i);
        if (w->datagrams) {
            /* the far end may not listen yet or any more: a datagram lost, not a call */
            (void)!send(w->fd, piece.at, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT);
            continue;
        }
        if (piece.len > sizeof(w->store) - w->unsent)
            return ENOBUFS;
        memcpy(w->store + w->unsent, piece.at, piece.len);
        w->unsent += piece.len;
    }
    return w->datagrams ? 0 : wire_flush(w);
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* When the newest byte of what was just read came, on our clock: as long ago as the kernel's note
 * says, by the clock that it uses. */
static int64_t arrival_ns(struct msghdr *m)
{
    int64_t now_ns = socket_now_ns(), ago_ns = 0;
    struct timespec wall, noted;

    clock_gettime(CLOCK_REALTIME, &wall);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&noted, CMSG_DATA(c), sizeof(noted));
        ago_ns = ns_of(wall) - ns_of(noted);
    }
    /* else the wall clock was set meanwhile */
    return ago_ns > 0 && ago_ns < NOTE_MAX_NS ? now_ns - ago_ns : now_ns;
}

/* What has arrived, and when; or an empty slice. *end: 0 by the peer in order, else an errno, -1
 * not yet. */
static struct slice wire_receive(struct wire *w, int64_t *came_ns, int *end)
{
    uint64_t control[16];
    struct iovec room = {.iov_base = w->in, .iov_len = sizeof(w->in)};
    struct msghdr m = {.msg_iov = &room,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(w->fd, &m, MSG_DONTWAIT);
    int err = errno;

    *end = -1;
    if (n > 0) {
        *came_ns = arrival_ns(&m);
        return slice_of(w->in, (size_t)n);
    }
    if (n == 0 && !w->datagrams)
        *end = 0;
    else if (n < 0 && err != EAGAIN && err != EINTR && !w->datagrams)
        *end = err;
    return SLICE_NONE;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Hands over what came, at the instant at which it did. A call over a stream begins with our own
 * first message, not with the answer before it, so that counts from now; packets tell by their
 * arrival when theirs began. */
static void take(struct caller *c, const struct wire *w, struct slice in, int64_t came_ns,
                 struct caller_output *out)
{
    if (c->state == CALLER_DIALLING && !w->datagrams)
        came_ns = socket_now_ns();
    else if (c->state != CALLER_DIALLING)
        came_ns = later(came_ns, c->now_ns);
    caller_step(c, came_ns, in, out);
}

/* One round: sends what the caller has to say, waits, and lets it go on. */
static void run_round(struct caller *c, struct wire *w, int64_t until_ns, socket_drive *drive,
                      void *context)
{
    static struct caller_output out;
    int64_t came_ns = 0;
    int end, err;

    wait_for(w->fd, (short)(POLLIN | (w->unsent ? POLLOUT : 0)),
             earlier(caller_deadline(c), until_ns));
    caller_output_init(&out);
    struct slice in = wire_receive(w, &came_ns, &end);
    if (in.len)
        take(c, w, in, came_ns, &out);
    caller_step(c, later(socket_now_ns(), c->now_ns), SLICE_NONE, &out);
    drive(context, c, &out);
    err = wire_send(w, &out);
    if (err || end >= 0)
        caller_closed(c, socket_now_ns(), err ? err : end);
}

int socket_run(struct caller *c, int fd, bool datagrams, int64_t until_ns, socket_drive *drive,
               void *context)
{
    static struct wire w;
    static struct caller_output out;

    w.fd = fd;
    w.datagrams = datagrams;
    w.unsent = 0;
    caller_output_init(&out);
    caller_open(c, socket_now_ns(), &out);
    int err = wire_send(&w, &out);
    if (err)
        caller_closed(c, socket_now_ns(), err);
    while (c->state != CALLER_OVER) {
        if (socket_now_ns() >= until_ns)
            return -ETIMEDOUT;
        run_round(c, &w, until_ns, drive, context);
    }
    return 0;
}
