#include "store/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL_BYTES 4096

bool blob_name_ok(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t len = strlen(name);

    return len && len < BLOB_NAME_BYTES && name[0] != '.' && strspn(name, allowed) == len;
}

int blob_path(enum blob_kind kind, const char *campaign, const char *call_id, char *out,
              size_t out_bytes)
{
    const char *folder = campaign && campaign[0] ? campaign : "direct";
    bool sound = kind == BLOB_RECORDING;

    if (!blob_name_ok(folder) || !blob_name_ok(call_id))
        return -EINVAL;
    int len = snprintf(out, out_bytes, "%s/%s/%s%s", sound ? "recordings" : "transcripts", folder,
                       call_id, sound ? ".wav" : ".json");

    return len < (int)out_bytes ? 0 : -EINVAL;
}

bool blob_path_ok(const char *path)
{
    struct slice rest;
    struct slice top = slice_cut(slice_str(path), '/', &rest);
    struct slice folder = slice_cut(rest, '/', &rest);
    char name[BLOB_NAME_BYTES + 8];

    if (!slice_equal(top, SLICE("recordings")) && !slice_equal(top, SLICE("transcripts")))
        return false;
    if (slice_cstr(folder, name, BLOB_NAME_BYTES) < 0 || !blob_name_ok(name))
        return false;
    /* What is left is a name with its ending, and blob_name_ok() allows no further slash. */
    return rest.len < BLOB_NAME_BYTES && slice_cstr(rest, name, sizeof(name)) == 0 &&
           blob_name_ok(name);
}

int blob_full(const char *data_dir, const char *path, char *out, size_t out_bytes)
{
    int len = snprintf(out, out_bytes, "%s/%s", data_dir, path);

    return len < (int)out_bytes ? 0 : -ENAMETOOLONG;
}

int blob_folders(const char *data_dir, const char *path)
{
    char full[FULL_BYTES];
    int rc = blob_full(data_dir, path, full, sizeof(full));

    if (rc)
        return rc;
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(full, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

static int all_write(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.at, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes = slice_of(bytes.at + n, bytes.len - (size_t)n);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* A rename is on disk only when its folder is. */
static int folder_sync(const char *full)
{
    char folder[FULL_BYTES];
    const char *slash = strrchr(full, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - full) : 1, slash ? full : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;

    close(fd);
    return rc;
}

int blob_write(const char *data_dir, const char *path, struct slice bytes)
{
    char full[FULL_BYTES];
    char part[FULL_BYTES + 32];
    int rc = blob_full(data_dir, path, full, sizeof(full));

    if (!rc)
        rc = blob_folders(data_dir, path);
    if (rc)
        return rc;
    /* Named by process, so that two of them writing the same file never share a part. */
    snprintf(part, sizeof(part), "%s.%d.part", full, (int)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    rc = all_write(fd, bytes);
    if (close(fd) < 0 && !rc)
        rc = -errno;
    if (!rc && rename(part, full) < 0)
        rc = -errno;
    if (rc)
        unlink(part);
    return rc ? rc : folder_sync(full);
}
