/* The files of a call, in the layout of an object store under data_dir:
 *
 *     recordings/{campaign_id|direct}/{call_id}.wav
 *     transcripts/{campaign_id|direct}/{call_id}.json
 *
 * Names come from outside, so each is checked to be one plain segment before it becomes part of a
 * path. blob_path() is pure; the others block: boot and store lane. */
#ifndef STORE_BLOB_FILE_H
#define STORE_BLOB_FILE_H

#include <stdbool.h>

#include "base/bytes.h"

#define BLOB_NAME_BYTES 100 /* of a campaign or call id, with its NUL; longer: -EINVAL */
#define BLOB_PATH_BYTES 320

enum blob_kind { BLOB_RECORDING, BLOB_TRANSCRIPT };

/* One path segment: letters, digits, - and _ and . but not first. */
bool blob_name_ok(const char *name);
/* Path within data_dir; `campaign` NULL or "" stands for direct. -EINVAL: a bad name. */
MUST_USE int blob_path(enum blob_kind kind, const char *campaign, const char *call_id, char *out,
                       size_t out_bytes);
/* Whether this is a path that blob_path() could have made. */
bool blob_path_ok(const char *path);
/* The same under data_dir: "data/recordings/direct/x.wav". -ENAMETOOLONG. */
MUST_USE int blob_full(const char *data_dir, const char *path, char *out, size_t out_bytes);
/* Makes the folders that lead to `path` (0700). -errno. */
MUST_USE int blob_folders(const char *data_dir, const char *path);
/* Writes the whole file or nothing: beside it, synced, then renamed over it. -errno. */
MUST_USE int blob_write(const char *data_dir, const char *path, struct slice bytes);

#endif
