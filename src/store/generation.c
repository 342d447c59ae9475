#include "store/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_BYTES 600

/* The number in the file, 0 if it holds none. */
static uint32_t number_read(int fd)
{
    char text[16];
    struct slice rest;
    uint64_t number;
    ssize_t len = pread(fd, text, sizeof(text), 0);

    if (len <= 0 ||
        slice_u64(slice_cut(slice_of(text, (size_t)len), '\n', &rest), UINT32_MAX, &number))
        return 0;
    return (uint32_t)number;
}

static int number_write(int fd, uint32_t number)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u\n", number);
    ssize_t n = pwrite(fd, text, (size_t)len, 0);

    if (n != len)
        return n < 0 ? -errno : -ENOSPC;
    return ftruncate(fd, len) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int number_take(int fd, int64_t wall_ms, uint32_t *out)
{
    uint32_t last, now = (uint32_t)(wall_ms / 1000);

    if (flock(fd, LOCK_EX) < 0)
        return -errno;
    last = number_read(fd);
    *out = now > last ? now : last + 1;
    return number_write(fd, *out);
}

int generation_take(const char *data_dir, int64_t wall_ms, uint32_t *out, char *why,
                    size_t why_bytes)
{
    char path[PATH_BYTES];
    int err, fd;

    snprintf(path, sizeof(path), "%s/generation", data_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    err = fd < 0 ? -errno : number_take(fd, wall_ms, out);
    if (fd >= 0)
        close(fd); /* which unlocks */
    if (err)
        snprintf(why, why_bytes, "%s cannot be written: %s", path, strerror(-err));
    return err;
}

bool generation_passed(const char *data_dir, uint32_t mine)
{
    char path[PATH_BYTES];
    int fd;

    snprintf(path, sizeof(path), "%s/generation", data_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    uint32_t last = number_read(fd);
    close(fd);
    return last > mine;
}

bool generation_there(const char *data_dir, uint32_t number)
{
    char path[PATH_BYTES], begin[16];
    bool there = false;
    struct dirent *e;

    snprintf(path, sizeof(path), "%s/journal", data_dir);
    snprintf(begin, sizeof(begin), "%08x-", number);
    DIR *dir = opendir(path);

    if (!dir)
        return false;
    while (!there && (e = readdir(dir)))
        there = !strncmp(e->d_name, begin, strlen(begin)) && strstr(e->d_name, ".journal");
    closedir(dir);
    return there;
}
