/* The log of what was asked: JSON lines with monotonic times, so that a test can say when a request
 * came and when it was answered on the clock that the product's own ledger uses. Never holds a key.
 * Written by the loop's thread; lines beyond DIARY_LINE_MAX are cut to their head. */
#ifndef PROVIDERS_DIARY_H
#define PROVIDERS_DIARY_H

#include <stdio.h>

#include "base/json.h"

#define DIARY_LINE_MAX 131072
#define DIARY_TEXT_MAX                                                                             \
    65536 /* of a body of JSON; a longer one, and what is no JSON, is                              \
               cut to a quarter of it, with `"cut":true` */

struct diary {
    FILE *out;
    struct builder b;
    struct jsonw w;
    uint8_t store[DIARY_LINE_MAX];
};

/* Where a line belongs. */
struct diary_place {
    int64_t at_ns; /* monotonic */
    uint64_t peer, request;
    const char *service;
};

/* NULL: standard output. 0 or -errno. */
MUST_USE int diary_open(struct diary *d, const char *path);
void diary_close(struct diary *d);

/* A line {"at_ms","peer","service","request","event"}; further members by jsonw_put_*() on the
 * writer that comes back; then diary_end(). */
struct jsonw *diary_begin(struct diary *d, const struct diary_place *place, const char *event);
/* A text, or JSON as it is if it is one object or list; cut where it is too long. */
void diary_text(struct diary *d, const char *key, struct slice text);
void diary_end(struct diary *d);

#endif
