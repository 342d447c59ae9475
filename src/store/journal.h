/* The journal: what running calls heard, said and did, in one file per process that outlives
 * kill -9. The file is mapped shared and split into one region per shard; a record is written with
 * plain memory stores, so it costs no syscall and is safe from the moment that the call returns.
 *
 *     file    | header page | region of shard 0 | region of shard 1 | ...
 *     region  | 64 bytes: head | ring of records ............................ |
 *     record  | len crc at seq type version slot ... call id | payload | pad to 8 |
 *
 * A region belongs to its shard alone. Its ring is bounded: space of calls whose log the store has
 * acknowledged (journal_stored) is reused; records of other calls that stand in the way are carried
 * forward; without an open call it goes on at its front. When there is no room, writing is refused
 * with -ENOSPC and counted, and the call goes on: records are lost then, calls are not. The
 * process holds an exclusive lock on the file; recovery (recover.h) takes only files whose lock is
 * free. The header page and every region are allocated on disk at open, so a full disk shows there
 * and never as a SIGBUS in a call. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define JOURNAL_CALL_ID_BYTES 40     /* longer call ids are refused */
#define JOURNAL_REGION_MIN    262144 /* bytes */

enum journal_type {
    JOURNAL_PAD = 0, /* fills the end of the ring */
    JOURNAL_CALL_BEGIN = 1,
    JOURNAL_HEARD = 2,
    JOURNAL_SAID = 3,
    JOURNAL_TURN = 4,
    JOURNAL_EFFECT = 5,
    JOURNAL_CALL_END = 6,
    JOURNAL_STORED = 7,
    JOURNAL_FAILOVER = 8,
};

/* One record as readers see it; unknown types are for them to skip. */
struct journal_record {
    uint16_t type;
    uint16_t version;
    uint32_t seq; /* within its call, from 1 */
    struct slice call_id;
    struct slice payload;
    struct slice raw; /* the record as it lies in the file: pieces of a stream */
};

struct journal;
struct journal_shard;

/* Boot. Makes `dir` and dir/`name`.journal, locked, for `shards` regions of `region_bytes` (rounded
 * up to a page). `name` must be new. 0 or -errno with a sentence. */
MUST_USE int journal_open(const char *dir, const char *name, uint32_t shards, size_t region_bytes,
                          struct journal **out, char *why, size_t why_bytes);
/* At an orderly end: removes the file if every call in it was acknowledged, else leaves it to the
 * next start's recovery. */
void journal_close(struct journal **journal);
struct journal_shard *journal_shard(struct journal *journal, uint32_t shard);

/* ---- on the shard ---- */

/* Opens a call with its first record. *handle names it from now on. -ENOSPC, -EINVAL (bad id). */
MUST_USE int journal_begin(struct journal_shard *s, const char *call_id, struct slice payload,
                           uint32_t *handle);
/* One more record. -ENOSPC: counted, nothing written, and the next record's `seq` tells; the end of
 * a call finds room kept for it. -ENOENT: no such call is open. */
MUST_USE int journal_add(struct journal_shard *s, uint32_t handle, enum journal_type type,
                         struct slice payload);
/* The store has the call's log: its space may be reused and the handle is dead. */
void journal_stored(struct journal_shard *s, uint32_t handle);

/* Every record of one call in order of seq, as a stream that journal_stream_next() reads: what the
 * call sends to whoever builds its log. Bytes needed, which may exceed `out_bytes`: then nothing
 * was written. Takes as long as the call has records, whatever else the region holds. */
size_t journal_copy(struct journal_shard *s, uint32_t handle, void *out, size_t out_bytes);
/* The next record of such a stream; false at its end or at the first damage. */
bool journal_stream_next(struct slice *stream, struct journal_record *out);

struct journal_state {
    uint64_t used_bytes; /* of the ring */
    uint64_t size_bytes;
    uint32_t calls;   /* not yet acknowledged */
    uint64_t refused; /* records, since the start */
    uint64_t carried; /* records carried forward */
};
void journal_shard_state(const struct journal_shard *s, struct journal_state *out);

/* ---- after the process, for recovery ---- */

/* Walks every intact record of a mapped journal file, in no order between calls and with carried
 * copies twice (same call and seq). Damaged places are skipped and counted. -EINVAL: not a journal
 * of this version. Any bytes are safe to give. */
MUST_USE int journal_walk(struct slice file,
                          void (*each)(void *ctx, const struct journal_record *record), void *ctx,
                          uint32_t *damaged);

#endif
