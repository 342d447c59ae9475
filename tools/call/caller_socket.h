/* The wires of the calling program: the only file with sockets and a clock. Sockets never block;
 * what waits, waits in poll with a deadline. One thread. */
#ifndef CALL_CALLER_SOCKET_H
#define CALL_CALLER_SOCKET_H

#include "tools/call/caller.h"
#include "base/url.h"

#define SOCKET_UNSENT_MAX 262144 /* bytes that the far end does not take: the call ends */
#define SOCKET_WHY_BYTES  1536

/* Monotonic, and the operating system's random source. */
int64_t socket_now_ns(void);
uint64_t socket_seed(void);

/* A TCP connection, or -errno and one clause in `why`. */
MUST_USE int socket_connect(const struct url *u, int64_t timeout_ns, char why[SOCKET_WHY_BYTES]);
/* A UDP socket bound to the given local address, port chosen; its port comes back in *port. */
MUST_USE int socket_bind(const char *local_ip, uint16_t *port, char why[SOCKET_WHY_BYTES]);
/* Fixes a UDP socket's peer, "1.2.3.4:5678". */
MUST_USE int socket_peer(int fd, const char *peer, char why[SOCKET_WHY_BYTES]);

/* One HTTP request, its answer's body in `body` with a final NUL. The status, or -errno and one
 * clause in `why`. `json` may be NULL. */
MUST_USE int socket_request(const struct url *api, const char *method, const char *path,
                            const char *json, int64_t timeout_ns, char *body, size_t body_bytes,
                            char why[SOCKET_WHY_BYTES]);

/* Called after each step of the caller, to say and to press. */
typedef void socket_drive(void *context, struct caller *c, struct caller_output *out);

/* Runs the caller over `fd`, which one of the above has made, until it is over or `until_ns` has
 * come. 0, or -ETIMEDOUT. */
MUST_USE int socket_run(struct caller *c, int fd, bool datagrams, int64_t until_ns,
                        socket_drive *drive, void *context);

#endif
