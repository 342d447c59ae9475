/* What a start does about processes that did not end in order: takes every journal and recording
 * tail whose lock is free, writes the rest of the recordings and repairs their headers, stores the
 * log of every call that the store has not acknowledged ("interrupted" if it never ended), and then
 * removes the files. Each step may be done twice, so recovery may itself be killed at any moment.
 * Files of living processes are left alone. Boot, on the store lane, before the first call; blocks.
 */
#ifndef STORE_RECOVER_H
#define STORE_RECOVER_H

#include "store/store.h"

struct recover_options {
    const char *data_dir;
    struct store *store;
    /* One sentence on what was done or could not be; may be NULL. */
    void (*say)(void *ctx, bool wrong, const char *sentence);
    void *ctx;
};

struct recover_report {
    uint32_t files;       /* journals and tails dealt with and removed */
    uint32_t held;        /* of living processes */
    uint32_t kept;        /* not done with: the store or the disk refused; the next start tries */
    uint32_t interrupted; /* calls */
    uint32_t stored;      /* calls that had ended but were not acknowledged */
    uint32_t recordings;  /* repaired */
    uint32_t damaged;     /* places in journals that no kill explains */
};

/* 0, or -errno when data_dir/journal cannot be read at all. */
MUST_USE int recover_run(const struct recover_options *options, struct recover_report *report);

#endif
