/* Files that one process holds and, after its death, exactly one other takes over: made at full
 * size, mapped shared, under an exclusive flock() that the kernel drops with the process. Boot and
 * store lane; blocking. */
#ifndef STORE_FILE_LOCK_H
#define STORE_FILE_LOCK_H

#include <stddef.h>

#include "base/bytes.h"

/* Makes `path` (and the folder `dir`), locks it, allocates `bytes` on disk, zeroed, and maps it.
 * -EEXIST when there is such a file, -ENOSPC when the disk has no room; nothing is left then. */
MUST_USE int file_lock_new(const char *dir, const char *path, size_t bytes, int *fd, void **map);
/* Takes a file whose holder is gone: locked and mapped read-only, or -EWOULDBLOCK while its holder
 * lives, -ENOENT when another was faster. An empty file gives an empty slice. */
MUST_USE int file_lock_take(const char *path, int *fd, struct slice *map);
/* Unmaps and unlocks. */
void file_lock_drop(int fd, struct slice map);

#endif
