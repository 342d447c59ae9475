/* Any bytes as a journal file, as a record stream and as each record's payload. The header and the
 * checksums are put right often enough for the fuzzer to get behind them. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "store/call_log.h"
#include "store/journal.h"

#define HEAD_BYTES 72 /* of a record, as journal.c lays it out */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void record_each(void *ctx, const struct journal_record *r)
{
    *(size_t *)ctx += r->payload.len + r->call_id.len;
}

/* The input becomes records of one call: a byte of type, a byte of length, a payload. */
static size_t stream_make(const uint8_t *data, size_t size, uint8_t *out, size_t out_bytes)
{
    size_t used = 0;
    uint32_t seq = 0;

    while (size >= 2) {
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        size_t bytes = (HEAD_BYTES + len + 7) & ~(size_t)7;
        uint32_t len32 = (uint32_t)len;
        uint16_t type = data[0] % 10;

        if (used + bytes > out_bytes)
            break;
        uint8_t *r = out + used;

        memset(r, 0, bytes);
        memcpy(r, &len32, 4);
        seq++;
        memcpy(r + 16, &seq, 4);
        memcpy(r + 20, &type, 2);
        memcpy(r + 32, "call-1", 6);
        memcpy(r + HEAD_BYTES, data + 2, len);
        uint32_t crc = crc32c(0, slice_of(r + 8, HEAD_BYTES - 8 + len));

        memcpy(r + 4, &crc, 4);
        used += bytes;
        data += 2 + len;
        size -= 2 + len;
    }
    return used;
}

static void log_try(struct slice stream)
{
    struct call_log_extra extra = {.recording_ms = 1234};
    struct call_log log;

    if (call_log_build(stream, &extra, &log) == 0)
        call_log_fini(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t stream[65536];
    static uint8_t file[4096 + 32768];
    uint64_t region = 32768;
    uint32_t one[2] = {1, 1};
    uint32_t damaged;
    size_t sum = 0;

    log_try(slice_of(data, size));
    size_t used = stream_make(data, size, stream, sizeof(stream));

    log_try(slice_of(stream, used));
    if (journal_walk(slice_of(data, size), record_each, &sum, &damaged) == 0)
        sum++;
    memset(file, 0, sizeof(file));
    memcpy(file, "STDJRNL1", 8);
    memcpy(file + 8, one, 8);
    memcpy(file + 16, &region, 8);
    memcpy(file + 4096, data, size < 32768 ? size : 32768);
    if (journal_walk(slice_of(file, sizeof(file)), record_each, &sum, &damaged))
        abort();
    return 0;
}
