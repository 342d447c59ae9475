/* Making sockets and files for the backends: options, binding, the reserve descriptor. Called on
 * the shard's thread; none of it waits, but opening a file may wait for the disk. */
#ifndef RUNTIME_IO_SOCKET_H
#define RUNTIME_IO_SOCKET_H

#include <sys/socket.h>

#include "runtime/io_slots.h"

/* A bound socket, close-on-exec and not blocking; *bound is what the kernel gave. The descriptor or
 * -errno. */
MUST_USE int socket_udp(const struct address *local, struct address *bound);
MUST_USE int socket_listen(const struct address *local, struct address *bound);
/* Not connected yet. */
MUST_USE int socket_stream(const struct address *peer);
/* For a connection accepted: its options and its peer. 0, or -errno when the peer is gone. */
MUST_USE int socket_accepted(int fd, struct address *peer);
/* The kernel's form of `to` for a socket of that family (an IPv4 peer of an IPv6 socket is mapped).
 */
socklen_t socket_name(uint8_t family, const struct address *to, struct sockaddr_storage *out);
/* The error a socket holds, positive; `otherwise` if it holds none. */
int socket_error(int fd, int otherwise);
/* Closing will reset the connection and free what the kernel still wants to send. */
void socket_abort(int fd);
/* Datagrams that this socket's full receive buffer has cost. */
uint32_t socket_drops(int fd);

/* `flags` with what every file here has: for writing, created, close-on-exec. */
int file_flags(int flags);
/* Makes the missing directories above `path`, readable by whom `mode` lets read. 0 or -errno. */
MUST_USE int file_make_parents(const char *path, unsigned mode);

/* Accepts one connection at the price of the reserve descriptor. The descriptor or -errno. */
MUST_USE int reserve_accept(struct io_core *core, int listener);
/* Whether the reserve is there, or could be had again. */
MUST_USE bool reserve_restore(struct io_core *core);
void listener_starve(struct io_core *core, struct slot *s);
/* Whether a starved listener may go on. */
bool listener_feed(struct io_core *core, struct slot *s);

#endif
