/* The API's listening socket, which is ours: libwebsockets cannot share a port with another
 * process. Boot, control thread. */
#ifndef NET_HTTP_LISTEN_H
#define NET_HTTP_LISTEN_H

#include "base/address.h"
#include "base/bytes.h"

/* A listening TCP socket that other processes may share (SO_REUSEPORT), or -errno; *bound is where,
 * with the real port. */
MUST_USE int http_listen(const struct address *local, struct address *bound);
/* Why not, in one sentence. */
void http_listen_complain(const struct address *local, int err, char *why, size_t why_bytes);

#endif
