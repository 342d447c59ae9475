/* What the journal's records say: one struct per type, and its bytes (big-endian, texts with a
 * length of two bytes). Readers ignore what follows the members they know, so a newer version may
 * add at the end; writers of a changed meaning raise the version. Pure; any thread. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define RECORD_NEVER INT64_MIN /* an instant of the ledger that never came */

struct record_begin { /* CALL_BEGIN */
    int64_t wall_ms;
    uint32_t agent_version;
    uint32_t recording_rate_hz; /* 0: not recorded */
    uint8_t recording_channels;
    struct slice tenant;
    struct slice agent_id;
    struct slice protocol;  /* "twilio", "rtp" */
    struct slice direction; /* "inbound", "outbound" */
    struct slice from;
    struct slice to;
    struct slice caller_id;
    struct slice phone_number; /* the other side's */
    struct slice campaign_id;  /* "": a call without one */
    struct slice carrier_call_id;
    struct slice recording; /* path in data_dir, or "" */
};

struct record_heard { /* HEARD */
    int64_t wall_ms;
    uint32_t turn;
    uint8_t confidence; /* percent */
    uint8_t keys;       /* 1: text holds pressed digits */
    struct slice text;
    struct slice understood; /* JSON {"intent","slots"}, or "" */
};

struct record_said { /* SAID: as far as the caller heard it */
    int64_t wall_ms;
    uint32_t turn;
    uint8_t cut; /* 1: the caller interrupted it */
    struct slice text;
    uint8_t incomplete; /* 1: the language model broke off; older records do not say */
};

/* The turn ledger, true at the wire: nanoseconds since the call began, or RECORD_NEVER. */
struct record_turn { /* TURN */
    uint32_t turn;
    uint32_t epoch;
    uint8_t barge_in; /* 1: this turn interrupted the agent */
    uint8_t keys;     /* 1: it began with pressed digits */
    int64_t last_voiced_ns;
    int64_t decided_ns;
    int64_t stt_final_ns;
    int64_t first_token_ns;
    int64_t first_tts_ns;
    int64_t first_audible_ns;
    int64_t mark_back_ns;
};

struct record_effect { /* EFFECT */
    int64_t wall_ms;
    uint32_t epoch;
    uint8_t result;   /* 0: intent, written before it is done; 1: result */
    struct slice key; /* idempotency key */
    struct slice name;
    struct slice body; /* JSON arguments or result */
};

struct record_failover { /* FAILOVER: a provider failed for good */
    int64_t wall_ms;
    uint32_t turn;
    int32_t status; /* HTTP status, close code or errno; 0: none */
    struct slice role;
    struct slice from;
    struct slice to; /* "": none was left */
    struct slice what;
};

struct record_end { /* CALL_END */
    int64_t wall_ms;
    int64_t duration_ms; /* monotonic */
    int32_t err;
    uint8_t recording_bad;    /* 1: incomplete, whatever its length says */
    uint64_t recording_bytes; /* of sound */
    struct slice status;      /* "completed", "failed", ... */
    struct slice reason;
};

void record_begin_put(struct builder *b, const struct record_begin *r);
void record_heard_put(struct builder *b, const struct record_heard *r);
void record_said_put(struct builder *b, const struct record_said *r);
void record_turn_put(struct builder *b, const struct record_turn *r);
void record_effect_put(struct builder *b, const struct record_effect *r);
void record_failover_put(struct builder *b, const struct record_failover *r);
void record_end_put(struct builder *b, const struct record_end *r);

/* Texts are borrowed from the payload. -EINVAL: cut short. */
MUST_USE int record_begin_get(struct slice payload, struct record_begin *r);
MUST_USE int record_heard_get(struct slice payload, struct record_heard *r);
MUST_USE int record_said_get(struct slice payload, struct record_said *r);
MUST_USE int record_turn_get(struct slice payload, struct record_turn *r);
MUST_USE int record_effect_get(struct slice payload, struct record_effect *r);
MUST_USE int record_failover_get(struct slice payload, struct record_failover *r);
MUST_USE int record_end_get(struct slice payload, struct record_end *r);

#endif
