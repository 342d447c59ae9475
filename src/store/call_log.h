/* A call's log and transcript, built from its journal records: the same builder serves a call that
 * has just ended and one that a killed process left behind, so both read alike. The result depends
 * on nothing but its input, so building it again changes nothing. Store lane or boot: allocates,
 * never on a shard. */
#ifndef STORE_CALL_LOG_H
#define STORE_CALL_LOG_H

#include <stdint.h>

#include "base/bytes.h"

#define CALL_LOG_PATH_BYTES 320

/* What the records cannot know. Zeroed: nothing. */
struct call_log_extra {
    int64_t recording_ms; /* length of the sound on disk, for a call without CALL_END */
    bool recording_bad;   /* it could not be saved or repaired */
};

struct call_log {
    char *document;   /* JSON, for the collection call_logs */
    char *transcript; /* JSON, for the transcript file */
    char call_id[64];
    char tenant[128];
    char transcript_file[CALL_LOG_PATH_BYTES]; /* path in data_dir */
};

/* `stream` is what journal_copy() gives. A call without CALL_END comes out as "interrupted".
 * -ENOENT: no CALL_BEGIN; -EINVAL: a name in it cannot be a file's; -ENOMEM. */
MUST_USE int call_log_build(struct slice stream, const struct call_log_extra *extra,
                            struct call_log *out);
void call_log_fini(struct call_log *log);

/* "2026-11-21T08:30:00.000Z"; `out` has room for 32 bytes. Instants beyond year 9999 are cut. */
void wall_text(int64_t wall_ms, char *out, size_t out_bytes);

#endif
