/* Names to addresses: the program that a worker of the dns lane runs (getaddrinfo, which blocks),
 * and the cache of one shard, a struct that its owner embeds and nobody else touches. The cache
 * reads no clock and asks nobody; its owner asks the lane for what is not known. Numeric addresses
 * bypass both.
 *
 *     name ──▶ resolve_literal ──no──▶ resolve_look ──-EAGAIN──▶ dns lane ──▶ resolve_learn
 *
 * getaddrinfo tells no time to live, so an answer is fresh for a minute and a refusal for five
 * seconds; an older answer still serves for an hour while the resolver fails or is silent. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/address.h"
#include "base/clock.h"
#include "runtime/lane.h"

#define RESOLVE_NAME_BYTES    256 /* with NUL */
#define RESOLVE_ADDRESSES_MAX 4   /* of one name; the rest of an answer is not looked at */
#define RESOLVE_NAMES_MAX     128 /* in the cache; beyond: the one unused for longest leaves */
#define RESOLVE_FRESH_NS      SECONDS(60)
#define RESOLVE_NONE_NS       SECONDS(5)
#define RESOLVE_STALE_NS      SECONDS(3600)

/* What the lane emits, once for each job. */
struct resolved {
    int32_t err; /* 0, or ENOENT: no such name, EAGAIN: the resolver failed for now, EIO */
    uint32_t count;
    struct address at[RESOLVE_ADDRESSES_MAX]; /* port 0 */
};

/* A job's bytes are the name; what it emits has the job's tag. */
extern const struct lane_program resolve_program;

struct resolve_entry {
    char name[RESOLVE_NAME_BYTES]; /* "": free */
    bool asked;                    /* the lane has it, or it waits for the lane: never evicted */
    uint32_t turn;                 /* which of the addresses is next */
    int64_t used_ns;
    int64_t fresh_ns; /* until then nobody need be asked */
    int64_t good_ns;  /* until then the addresses may serve at all */
    struct resolved answer;
};

struct resolve_cache {
    struct resolve_entry entries[RESOLVE_NAMES_MAX];
};

/* "127.0.0.1", "::1": true and *out with port 0. */
bool resolve_literal(const char *name, struct address *out);
/* The entry of a name (compared without case), made if need be. NULL: the name is too long or
 * empty, or every entry is being asked about. */
struct resolve_entry *resolve_entry(struct resolve_cache *cache, const char *name, int64_t now_ns);
/* 0 and *out (port 0), -EAGAIN when the lane must be asked, or the refusal that is in force. */
MUST_USE int resolve_look(const struct resolve_entry *e, int64_t now_ns, struct address *out);
/* The lane has answered. A failure of the resolver leaves an older answer in force. */
void resolve_learn(struct resolve_entry *e, const struct resolved *answer, int64_t now_ns);
/* The same when no fresh answer is to be had: the older one, or -ENOENT. */
MUST_USE int resolve_old(const struct resolve_entry *e, int64_t now_ns, struct address *out);
/* An address did not work: the next one comes first. */
void resolve_turn(struct resolve_entry *e);

#endif
