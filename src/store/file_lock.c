#include "store/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between making the file and locking it, a starting process may have taken it for an orphan and
 * removed it: then the lock is on a file without a name, and is worth nothing. */
static int lock_named(int fd, int how)
{
    struct stat st;

    if (flock(fd, how) < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink ? 0 : -ENOENT;
}

static int file_make(const char *path, size_t bytes, int *fd, void **map)
{
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*fd < 0)
        return -errno;
    /* Waits for the moment that such a process may hold it. */
    int rc = lock_named(*fd, LOCK_EX);

    if (!rc)
        rc = -posix_fallocate(*fd, 0, (off_t)bytes);
    if (!rc) {
        *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
        rc = *map == MAP_FAILED ? -errno : 0;
    }
    if (rc) {
        if (rc != -ENOENT)
            unlink(path);
        close(*fd);
    }
    return rc;
}

int file_lock_new(const char *dir, const char *path, size_t bytes, int *fd, void **map)
{
    int rc = -ENOENT;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    /* Lost to a starting process's recovery, a few times at most: each of those starts once. */
    for (int tries = 0; rc == -ENOENT && tries < 8; tries++)
        rc = file_make(path, bytes, fd, map);
    return rc;
}

int file_lock_take(const char *path, int *fd, struct slice *map)
{
    struct stat st;

    *map = SLICE_NONE;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0)
        return -errno;
    int rc = lock_named(*fd, LOCK_EX | LOCK_NB);

    if (!rc && (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode)))
        rc = -EINVAL;
    if (!rc && st.st_size > 0) {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, *fd, 0);

        if (at == MAP_FAILED)
            rc = -errno;
        else
            *map = slice_of(at, (size_t)st.st_size);
    }
    if (rc)
        close(*fd);
    return rc;
}

void file_lock_drop(int fd, struct slice map)
{
    if (map.len)
        munmap((void *)(uintptr_t)map.at, map.len);
    close(fd);
}
