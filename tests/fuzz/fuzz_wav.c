/* A file: its samples lie inside it; a repaired header must then read back whole. */
#include <stddef.h>
#include <stdint.h>

#include "media/wav.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t file[4096];
    struct wav_info info;
    uint64_t keep;

    if (len > sizeof(file) - 1)
        return 0;
    memset(file, 0, sizeof(file));
    if (len)
        memcpy(file, data, len);
    if (wav_parse(slice_of(file, len), &info) == 0) {
        if (info.data.at < file || info.data.at + info.data.len > file + len ||
            info.data.len % wav_block_bytes(&info.format))
            __builtin_trap();
    }
    if (wav_repair(file, len, len, &keep) == 0) {
        if (keep > len + 1 || wav_parse(slice_of(file, (size_t)keep), &info) != 0 ||
            (info.cut && info.data.len))
            __builtin_trap();
    }
    return 0;
}
