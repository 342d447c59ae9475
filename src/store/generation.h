/* The number of this process among all that ever used one data directory: call ids begin with it.
 * Seconds since the epoch, or one more than the last where that is not new, since two processes
 * may start within one second and a clock may go back. Boot and control thread; blocking. */
#ifndef STORE_GENERATION_H
#define STORE_GENERATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Takes a number that no other process has taken in `data_dir`. 0, or -errno and a sentence. */
MUST_USE int generation_take(const char *data_dir, int64_t wall_ms, uint32_t *out, char *why,
                             size_t why_bytes);
/* True when a process has taken a later number: the next generation has started. */
bool generation_passed(const char *data_dir, uint32_t mine);
/* True while the process of that number has its journal: it lives, or was killed and the next start
 * has not come yet. */
bool generation_there(const char *data_dir, uint32_t number);

#endif
