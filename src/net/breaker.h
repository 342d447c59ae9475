/* A circuit breaker for each provider and server: after five failures in a row nobody waits for a
 * server that does not answer; a while later one probe finds out whether it does again. A pure
 * machine in a table that the shard's network actor embeds; the time is a parameter.
 *
 *     CLOSED ── 5 failures ──▶ OPEN ── 30 s ──▶ HALF (one probe) ── good ──▶ CLOSED
 *                               ▲                  │
 *                               └── bad: 60 s ─────┘
 */
#ifndef NET_BREAKER_H
#define NET_BREAKER_H

#include "base/bytes.h"
#include "base/clock.h"

#define BREAKER_FAILURES  5
#define BREAKER_OPEN_NS   SECONDS(30)
#define BREAKER_REOPEN_NS SECONDS(60) /* when a probe has failed */
#define BREAKER_PROBE_NS  SECONDS(60) /* a probe that is never answered */
#define BREAKERS_MAX      64          /* beyond: the one unused for longest is forgotten */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

struct breaker {
    uint64_t key;      /* 0: free */
    uint8_t state;     /* enum breaker_state */
    uint32_t failures; /* in a row */
    uint32_t label;    /* the provider's, for its metric */
    int64_t until_ns;  /* OPEN: when a probe may go; HALF: when it is given up */
    int64_t used_ns;
};

struct breakers {
    struct breaker at[BREAKERS_MAX];
};

/* Never 0; the same for the same provider, host and port. */
uint64_t breaker_key(uint32_t label, struct slice host, uint16_t port);
/* The breaker of a key, made if need be. Never NULL. */
struct breaker *breaker_find(struct breakers *all, uint64_t key, uint32_t label, int64_t now_ns);
/* May something be tried now? In HALF the one probe is taken by this. */
bool breaker_allows(struct breaker *b, int64_t now_ns);
/* What came of it. Returns whether the state has changed. A refusal that is the request's own fault
 * (bad key, bad request) and a cancel are neither: they only give a probe back. */
bool breaker_good(struct breaker *b);
bool breaker_bad(struct breaker *b, int64_t now_ns);
bool breaker_neither(struct breaker *b, int64_t now_ns);

#endif
