/* Any bytes as the file in which recordings wait: what recovery is shown lies within the file and
 * names a path within the data directory. */
#include <assert.h>
#include <stdlib.h>

#include "store/blob_file.h"
#include "store/recording.h"

#define SLOT_BYTES (512 + RECORDING_RING_BYTES + 4 * RECORDING_WINDOW_SAMPLES)

static const uint8_t *from;
static const uint8_t *to;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void left_each(void *ctx, const struct recording_left *left)
{
    const uint8_t *window = (const void *)left->window;

    *(size_t *)ctx += left->tail[0].len + left->tail[1].len + left->tail[2].len;
    assert(blob_path_ok(left->path));
    for (int i = 0; i < 2; i++)
        assert(left->tail[i].at >= from && left->tail[i].at + left->tail[i].len <= to);
    assert(left->tail[2].at == window && left->tail[2].len <= sizeof(left->window));
    assert(left->done + left->tail[0].len + left->tail[1].len + left->tail[2].len == left->total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t slot_bytes = SLOT_BYTES;
    static uint8_t file[4096 + SLOT_BYTES] __attribute__((aligned(8)));
    uint32_t head[2] = {2, 1}; /* format, slots */
    size_t sum = 0;

    from = file;
    to = file + sizeof(file);
    memset(file, 0, 4096 + 512);
    memcpy(file, "STDTAIL1", 8);
    memcpy(file + 8, head, 8);
    memcpy(file + 4096, data, size < slot_bytes ? size : slot_bytes);
    /* Once as it is, once open and with a header that holds. */
    if (recording_walk(slice_of(file, sizeof(file)), left_each, &sum))
        abort();
    file[4096] = 1;
    memset(file + 4097, 0, 7);
    memcpy(file + 4096 + 40, "RIFF", 4);
    memcpy(file + 4096 + 48, "WAVEfmt ", 8);
    memcpy(file + 4096 + 76, "data", 4);
    if (recording_walk(slice_of(file, sizeof(file)), left_each, &sum))
        abort();
    memcpy(file, data, size < 4096 ? size : 4096);
    if (recording_walk(slice_of(file, size < 4096 ? size : sizeof(file)), left_each, &sum) == 0)
        sum++;
    return 0;
}
