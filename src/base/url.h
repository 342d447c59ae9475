/* The addresses that people and agent files write: "wss://host:port/path?query", "http://host".
 * Strict and bounded; no user information, no fragment, no percent-decoding: what was given is what
 * is sent. Pure, any thread. RFC 3986, of which this is the part that names a server. */
#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/bytes.h"

#define URL_TARGET_BYTES 4096 /* path and query with NUL; longer is refused */

struct url {
    char scheme[8];
    char host[256];                /* without the brackets of an IPv6 address */
    char port[6];                  /* that of the scheme if not given: 80, or 443 */
    char authority[272];           /* as given, for the Host header */
    char target[URL_TARGET_BYTES]; /* begins with '/' */
};

/* 0, or -EINVAL and *what says why. `schemes`: those taken, space-separated. */
MUST_USE int url_parse(struct url *u, struct slice text, const char *schemes, const char **what);
/* Is it wss or https? */
bool url_secure(const struct url *u);
uint16_t url_port(const struct url *u);
/* The path's last segment, query apart: "/media/clinic?x=1" -> "clinic". */
struct slice url_last_segment(const struct url *u);

#endif
