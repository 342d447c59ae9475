/* The addresses that a caller is given: "ws://host:port/path?query" or "http://host:port". Pure,
 * bounded, any thread; no user information, no fragments, no percent-decoding: what was given is
 * what is sent. */
#ifndef CALL_URL_H
#define CALL_URL_H

#include "base/bytes.h"

#define URL_PART_BYTES 1024

struct url {
    char scheme[8];
    char host[256];              /* without the brackets of an IPv6 address */
    char port[6];                /* 80 if not given */
    char authority[272];         /* as given, for the Host header */
    char target[URL_PART_BYTES]; /* begins with '/' */
};

/* 0, or -EINVAL and *what says why. `schemes`: those taken, space-separated. */
MUST_USE int url_parse(struct url *u, struct slice text, const char *schemes, const char **what);
/* The path's last segment, query apart: "/media/clinic?x=1" -> "clinic". */
struct slice url_last_segment(const struct url *u);

#endif
