/* TLS 1.2 and 1.3 for both roles on OpenSSL, without I/O: encrypted bytes are put in and taken out,
 * as through a pipe. A context is made at boot and read by every thread; a connection belongs to
 * one actor of one shard. OpenSSL allocates: for a connection when it begins and, since idle ones
 * give their buffers back, for each record; so this is on the way of sockets that ask for it only.
 *
 *     socket bytes ──▶ tls_feed ──▶ tls_read ──▶ plain bytes
 *     plain bytes ──▶ tls_write ──▶ tls_take ──▶ socket bytes      (take after each of the others)
 *
 * A client verifies the server's certificate and name, always. Sessions are resumed: what a client
 * may resume is kept per thread, by host and port. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/bytes.h"

#define TLS_SESSIONS_MAX 64 /* remembered by one thread; beyond: the oldest is forgotten */
#define TLS_RECORD_BYTES 16384

struct tls_context;
struct tls;

/* ---- contexts (boot, or the control thread) ---- */

/* Trusts the certificates of `ca_file` (PEM), or the system's when it is NULL or "". 0 or -errno
 * with one sentence. */
MUST_USE int tls_client_context_new(const char *ca_file, struct tls_context **out, char *why,
                                    size_t why_bytes);
/* Shows this chain (PEM, leaf first) and proves it with this key. */
MUST_USE int tls_server_context_new(const char *certificate, const char *key,
                                    struct tls_context **out, char *why, size_t why_bytes);
/* Whether a server could show and prove these: the same errors and sentences. */
MUST_USE int tls_files_try(const char *certificate, const char *key, char *why, size_t why_bytes);
/* Connections made of it live on. Accepts NULL. */
void tls_context_free(struct tls_context **context);

/* ---- connections ---- */

/* `host`, of a client: the name or numeric address that the certificate must be for; `port` only
 * tells sessions apart. NULL and 0 of a server. NULL without memory. */
struct tls *tls_new(struct tls_context *context, const char *host, uint16_t port);
void tls_free(struct tls **tls);

/* Received bytes, taken whole. 0 or -ENOMEM. */
MUST_USE int tls_feed(struct tls *t, struct slice bytes);
/* The handshake, as far as what was fed allows: 0 once it is done, -EAGAIN before, else -EPROTO, or
 * -EACCES when the certificate is not to be trusted; tls_what() says why. */
MUST_USE int tls_handshake(struct tls *t);
/* Plain bytes, at most `size`: their number, -EAGAIN when there are no more for now, 0 when the
 * peer ended in order, -EPROTO. */
MUST_USE int tls_read(struct tls *t, void *out, size_t size);
/* Takes all of it. 0, or -EPROTO; only after the handshake. */
MUST_USE int tls_write(struct tls *t, struct slice bytes);
/* Says that nothing follows. */
void tls_close(struct tls *t);
/* What must go to the peer, at most `size` bytes of it: their number. Goes on after a failure,
 * since the alert that tells the peer is among it. */
size_t tls_take(struct tls *t, void *out, size_t size);
/* Why the last of the above failed: one clause, alive as long as `t`. */
const char *tls_what(const struct tls *t);
/* Whether the session was one that had been begun before. */
bool tls_resumed(const struct tls *t);

/* Forgets the sessions of this thread, at its end. */
void tls_thread_free(void);

#endif
