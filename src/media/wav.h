/* WAV headers: built, read and repaired, on bytes alone; whoever owns the file does the I/O. Used
 * by recordings (written as they happen, so the header's sizes are repaired after a crash), by
 * prompts and by the calling program. Any thread; keeps nothing. */
#ifndef MEDIA_WAV_H
#define MEDIA_WAV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define WAV_HEADER_BYTES_MAX 58 /* of what wav_build() writes; 44 for PCM */
#define WAV_CHUNKS_MAX       64 /* of a file read; beyond: refused */
#define WAV_RATE_MAX         192000

enum wav_encoding { WAV_PCM16 = 1, WAV_ALAW = 6, WAV_MULAW = 7 }; /* the format tags */

struct wav_format {
    enum wav_encoding encoding;
    uint16_t channels; /* 1 or 2 */
    uint32_t rate_hz;
};

/* Bytes of one sample of every channel. */
uint32_t wav_block_bytes(const struct wav_format *format);
size_t wav_header_bytes(const struct wav_format *format);
/* The header of a file with so many bytes of samples after it (and one zero byte more if they are
 * odd). 0, -EINVAL (no such format, not whole blocks), -EFBIG (beyond what 32 bits say: 4 GB) or
 * -EMSGSIZE. */
MUST_USE int wav_build(struct builder *b, const struct wav_format *format, uint64_t data_bytes);

struct wav_info {
    struct wav_format format;
    struct slice data; /* whole blocks, little-endian; borrowed from the file */
    bool cut;          /* the header promised more than there is, or did not know */
};

/* A whole file. Unknown chunks are passed over; a data size of 0 with bytes after it, or of
 * 0xFFFFFFFF, means "to the end", as streams write it; a data chunk cut short is taken as far as it
 * goes. 0, -EBADMSG (no WAV, chunks that do not add up) or -ENOTSUP (other encodings, channels or
 * rates). WAVE_FORMAT_EXTENSIBLE is read if it holds one of ours. */
MUST_USE int wav_parse(struct slice file, struct wav_info *out);

/* Corrects, in place, the sizes in a header that wav_build() wrote, for a file that is `file_bytes`
 * long. *keep_bytes is how long the file should be: cut to whole blocks, or one zero byte longer
 * where odd samples want padding. 0, -EBADMSG (not such a header, or shorter than one) or -EFBIG.
 */
MUST_USE int wav_repair(uint8_t *head, size_t head_bytes, uint64_t file_bytes,
                        uint64_t *keep_bytes);

#endif
