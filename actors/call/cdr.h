/* The call detail record as it grows: what was heard, said and done goes into the journal at the
 * moment it is known, and the turn ledger keeps the instants of the present turn, true at the wire.
 * Embedded in the call actor, on its shard; it sends nothing and decides nothing. When the journal
 * has no room the call goes on and its log lacks that record, which is logged. */
#ifndef CALL_CDR_H
#define CALL_CDR_H

#include "actors/messages.h"
#include "actors/world.h"
#include "store/record.h"

struct cdr {
    struct actor *actor;
    const struct log_about *about;
    int64_t start_ns; /* sample 0 of the leg's clock: the ledger counts from here */
    uint32_t turn;
    uint32_t journal; /* handle */
    bool open;        /* the journal has this call */
    struct record_turn ledger;
};

/* What the journal is told of a call's beginning. */
struct cdr_begin {
    const struct call_start_msg *args;
    const struct agent *agent;
    struct slice who; /* JSON of the leg: the carrier's ids */
    int64_t wall_ms;
    bool recorded;
};

/* What of a reply was heard. */
struct cdr_said {
    struct slice text;
    uint32_t epoch;
    bool cut;        /* the caller interrupted it */
    bool incomplete; /* the model broke off */
};

void cdr_open(struct cdr *cdr, struct actor *a, const struct log_about *about,
              const struct cdr_begin *begin);
/* The present turn's words (or digits) and how they were understood. */
void cdr_heard(struct cdr *cdr, struct slice text, struct slice understood, uint8_t confidence,
               bool keys);
/* What of the reply was heard, and the ledger with it: the turn is over. */
void cdr_said(struct cdr *cdr, const struct cdr_said *said);
/* A provider failed, and `to` goes on, or "" nobody. */
void cdr_failover(struct cdr *cdr, const struct record_failover *failover);
void cdr_end(struct cdr *cdr, const char *status, const struct reason *reason,
             const struct recorded_msg *recorded);

/* Stamps an instant of the ledger that has none yet. */
void cdr_stamp(const struct cdr *cdr, int64_t *at, int64_t at_ns);
/* The caller's sentence is over: its last voiced sample, and when that was decided. A sentence that
 * goes on after all is decided again. */
void cdr_decided(struct cdr *cdr, int64_t voiced_ns, int64_t now_ns);

/* All records of the call, for the store: bytes of shard_large_scratch(); empty if they exceed it.
 */
struct slice cdr_copy(const struct cdr *cdr);
/* The store has them. */
void cdr_stored(const struct cdr *cdr);

#endif
