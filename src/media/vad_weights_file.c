/* Boot only: the file behind a set of weights, mapped so that every process on the machine shares
 * one copy.
 * tidy: allow layers in this file: it runs at boot alone, before there is a call or a shard. */
#include "media/vad_weights.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map_file(struct vad_weights *w, int fd)
{
    struct stat info;
    void *at;
    int error;

    if (fstat(fd, &info) < 0)
        return -errno;
    if (info.st_size < VAD_WEIGHTS_HEAD_BYTES)
        return -EINVAL;
    if (info.st_size > VAD_WEIGHTS_BYTES_MAX)
        return -EFBIG;
    at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    error = vad_weights_parse(w, slice_of(at, (size_t)info.st_size));
    if (error) {
        (void)munmap(at, (size_t)info.st_size);
        return error;
    }
    w->mapped = at;
    w->mapped_bytes = (size_t)info.st_size;
    return 0;
}

int vad_weights_open(struct vad_weights *w, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error;

    *w = (struct vad_weights){0};
    if (fd < 0)
        return -errno;
    error = map_file(w, fd);
    (void)close(fd);
    return error;
}

void vad_weights_close(struct vad_weights *w)
{
    union {
        const void *in;
        void *out;
    } mapped = {.in = w->mapped};

    if (mapped.out)
        (void)munmap(mapped.out, w->mapped_bytes);
    *w = (struct vad_weights){0};
}
