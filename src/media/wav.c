#include "media/wav.h"

#include <errno.h>

#define EXTENSIBLE 0xFFFE

static uint32_t sample_bytes(const struct wav_format *format)
{
    return format->encoding == WAV_PCM16 ? 2 : 1;
}

uint32_t wav_block_bytes(const struct wav_format *format)
{
    return sample_bytes(format) * format->channels;
}

size_t wav_header_bytes(const struct wav_format *format)
{
    /* What is not PCM has an extension size and a fact chunk. */
    return format->encoding == WAV_PCM16 ? 44 : 44 + 2 + 12;
}

static bool format_known(const struct wav_format *format)
{
    switch (format->encoding) {
    case WAV_PCM16:
    case WAV_ALAW:
    case WAV_MULAW:
        return (format->channels == 1 || format->channels == 2) && format->rate_hz > 0 &&
               format->rate_hz <= WAV_RATE_MAX;
    }
    return false;
}

static void format_add(struct builder *b, const struct wav_format *format)
{
    builder_str(b, "fmt ");
    builder_u32_le(b, format->encoding == WAV_PCM16 ? 16 : 18);
    builder_u16_le(b, (uint16_t)format->encoding);
    builder_u16_le(b, format->channels);
    builder_u32_le(b, format->rate_hz);
    builder_u32_le(b, format->rate_hz * wav_block_bytes(format));
    builder_u16_le(b, (uint16_t)wav_block_bytes(format));
    builder_u16_le(b, (uint16_t)(8 * sample_bytes(format)));
    if (format->encoding != WAV_PCM16)
        builder_u16_le(b, 0);
}

int wav_build(struct builder *b, const struct wav_format *format, uint64_t data_bytes)
{
    if (!format_known(format) || data_bytes % wav_block_bytes(format))
        return -EINVAL;
    uint64_t riff_bytes = wav_header_bytes(format) - 8 + data_bytes + data_bytes % 2;
    if (data_bytes > UINT32_MAX || riff_bytes > UINT32_MAX)
        return -EFBIG;
    builder_str(b, "RIFF");
    builder_u32_le(b, (uint32_t)riff_bytes);
    builder_str(b, "WAVE");
    format_add(b, format);
    if (format->encoding != WAV_PCM16) {
        builder_str(b, "fact");
        builder_u32_le(b, 4);
        builder_u32_le(b, (uint32_t)(data_bytes / wav_block_bytes(format)));
    }
    builder_str(b, "data");
    builder_u32_le(b, (uint32_t)data_bytes);
    return b->bad ? -EMSGSIZE : 0;
}

/* ---- reading ---- */

static uint16_t u16_le(struct reader *r)
{
    return __builtin_bswap16(reader_u16(r));
}

static int format_read(struct slice chunk, struct wav_format *out)
{
    struct reader r = reader_of(chunk);
    uint16_t tag = u16_le(&r);

    out->channels = u16_le(&r);
    out->rate_hz = reader_u32_le(&r);
    reader_u32_le(&r); /* bytes per second: often wrong, never needed */
    uint16_t block = u16_le(&r), bits = u16_le(&r);
    if (r.bad)
        return -EBADMSG;
    if (tag == EXTENSIBLE) {
        reader_take(&r, 8); /* size, valid bits, speakers */
        tag = u16_le(&r);   /* the sub-format's GUID begins with the tag */
        if (r.bad)
            return -EBADMSG;
    }
    out->encoding = (enum wav_encoding)tag;
    if (!format_known(out) || bits != 8 * sample_bytes(out) || block != wav_block_bytes(out))
        return -ENOTSUP;
    return 0;
}

static void data_take(struct reader *r, uint32_t bytes, struct wav_info *out)
{
    size_t left = reader_left(r);
    bool unknown = bytes == UINT32_MAX || (bytes == 0 && left > 0);

    out->cut = unknown || bytes > left;
    out->data = reader_take(r, out->cut ? left : bytes);
    out->data.len -= out->data.len % wav_block_bytes(&out->format);
}

int wav_parse(struct slice file, struct wav_info *out)
{
    struct reader r = reader_of(file);
    bool formatted = false;

    *out = (struct wav_info){.cut = false};
    struct slice riff = reader_take(&r, 4);
    reader_u32_le(&r); /* the whole size: what counts is what is there */
    struct slice wave = reader_take(&r, 4);
    if (r.bad || !slice_equal(riff, SLICE("RIFF")) || !slice_equal(wave, SLICE("WAVE")))
        return -EBADMSG;
    for (int chunks = 0; chunks < WAV_CHUNKS_MAX; chunks++) {
        struct slice name = reader_take(&r, 4);
        uint32_t bytes = reader_u32_le(&r);
        if (r.bad)
            return -EBADMSG;
        if (slice_equal(name, SLICE("data"))) {
            if (formatted)
                data_take(&r, bytes, out);
            return formatted ? 0 : -EBADMSG;
        }
        struct slice chunk = reader_take(&r, bytes);
        if (bytes % 2)
            reader_take(&r, 1);
        int err = r.bad ? -EBADMSG : 0;
        if (!err && slice_equal(name, SLICE("fmt "))) {
            err = format_read(chunk, &out->format);
            formatted = true;
        }
        if (err)
            return err;
    }
    return -EBADMSG;
}

/* ---- repairing ---- */

/* The header must be, but for its sizes, byte for byte what we would write. */
static bool header_ours(const uint8_t *head, const struct wav_format *format, struct builder *fresh)
{
    size_t bytes = wav_header_bytes(format), data_at = bytes - 8;
    bool same = memcmp(head + 8, fresh->at + 8, 28) == 0 &&
                memcmp(head + data_at, fresh->at + data_at, 4) == 0;

    if (format->encoding != WAV_PCM16)
        same = same && memcmp(head + 36, fresh->at + 36, 10) == 0;
    return same;
}

int wav_repair(uint8_t *head, size_t head_bytes, uint64_t file_bytes, uint64_t *keep_bytes)
{
    struct wav_info info;
    uint8_t fresh[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(fresh, sizeof(fresh));
    struct slice all = slice_of(head, head_bytes < file_bytes ? head_bytes : (size_t)file_bytes);

    if (wav_parse(all, &info) != 0)
        return -EBADMSG;
    size_t header = wav_header_bytes(&info.format);
    if (all.len < header)
        return -EBADMSG;
    uint64_t data = file_bytes - header;
    data -= data % wav_block_bytes(&info.format);
    int err = wav_build(&b, &info.format, data);
    if (err)
        return err;
    if (!header_ours(head, &info.format, &b))
        return -EBADMSG;
    memcpy(head, fresh, header);
    *keep_bytes = header + data + data % 2;
    return 0;
}
