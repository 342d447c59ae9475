/* What the store lane can be asked: the tags of PROGRAM_STORE and the form of each job's bytes. The
 * program itself (store_program.c) runs on the store lane's threads, where it may block; actors
 * only know this page. Every job ends with MSG_LANE_DONE and 0 or a negative errno. */
#ifndef PLATFORM_STORE_PROGRAM_H
#define PLATFORM_STORE_PROGRAM_H

#include "runtime/lane.h"
#include "store/token.h"

enum store_job {
    /* Bytes: the agent's name, a zero byte, the token. 0 once; -EACCES for a bad, expired or used
     * one. */
    STORE_TOKEN_CLAIM = 1,
    /* Bytes: journal_copy() of one call. Builds and stores its log and transcript, idempotently. */
    STORE_CALL_FINISH,
    /* Bytes: idempotency key, a zero byte, the tool's name, a zero byte, the agent's, a zero byte,
     * its JSON arguments. Does the tool's work once; emits the result as JSON, the first one's if
     * it was done before. */
    STORE_TOOL,
    /* Bytes: a call id. Emits the log's JSON in pieces; -ENOENT. */
    STORE_CALL_LOG,
    /* Bytes: how many, a zero byte, the call id after which to begin (or nothing). Emits a JSON
     * list of logs, newest first, in pieces; -ENOENT: there is no such call id. */
    STORE_CALL_LOGS,
    /* Bytes: the event's id, a zero byte, its JSON. Kept once, however often it is told. */
    STORE_CARRIER_EVENT,
};

/* Boot, before the lanes run: what every worker opens. The texts outlive the workers. */
void store_program_setup(const char *uri, const char *data_dir, const struct token_key *key,
                         const struct clock *clock);
extern const struct lane_program store_program;
/* For lane_worker_free(). */
void store_program_memory_close(void *memory);

#endif
