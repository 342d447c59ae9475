#include "media/vad_weights.h"

#include <errno.h>
#include <stdbool.h>

#define VERSION 1u

struct head {
    uint32_t version, rate_hz, fft_size, bins, count, crc;
};

/* CRC-32 (IEEE 802.3), four bits at a time: the file is read once, at boot. */
static uint32_t crc32_of(struct slice s)
{
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
                                       0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
                                       0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t crc = ~0u;

    for (size_t i = 0; i < s.len; i++) {
        crc ^= s.at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* The model is trained with numbers below 100; what is far beyond is no weight. */
static bool all_sane(const float *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(at[i] > -1e6f && at[i] < 1e6f))
            return false;
    return true;
}

static const float *take(const float **at, size_t count)
{
    const float *start = *at;

    *at += count;
    return start;
}

static size_t round_up(size_t n)
{
    return (n + VAD_PANEL - 1) / VAD_PANEL * VAD_PANEL;
}

/* Walks the matrices in file order; returns where the last one ends. */
static const float *lay_out(struct vad_weights *w, const float *at)
{
    size_t half = w->fft_size / 2, bins = round_up(w->bins);

    w->even = take(&at, bins * half);
    w->odd = take(&at, bins * half);
    w->conv1 = take(&at, (size_t)128 * 3 * w->bins);
    w->bias1 = take(&at, 128);
    w->conv2 = take(&at, 64 * 3 * 128);
    w->bias2 = take(&at, 64);
    w->conv3 = take(&at, 64 * 2 * 64);
    w->bias3 = take(&at, 64);
    w->conv4 = take(&at, 128 * 64);
    w->bias4 = take(&at, 128);
    w->lstm = take(&at, (size_t)4 * VAD_UNITS * 2 * VAD_UNITS);
    w->lstm_bias = take(&at, 4 * VAD_UNITS);
    w->out = take(&at, VAD_UNITS + VAD_PANEL);
    return at;
}

static size_t floats_of(uint32_t bins, uint32_t fft_size)
{
    return 2 * round_up(bins) * (fft_size / 2) + (size_t)128 * 3 * bins + 128 + 64 * 3 * 128 + 64 +
           64 * 2 * 64 + 64 + 128 * 64 + 128 + 4 * VAD_UNITS * (2 * VAD_UNITS + 1) + VAD_UNITS +
           VAD_PANEL;
}

static int check_head(const struct head *h, size_t body_bytes)
{
    if (h->version != VERSION || (h->rate_hz != 8000 && h->rate_hz != 16000))
        return -ENOTSUP;
    if (h->fft_size != h->rate_hz / 1000 * 16 || h->bins != h->fft_size / 2 + 1)
        return -EINVAL;
    if (h->count != floats_of(h->bins, h->fft_size) || h->count * sizeof(float) != body_bytes)
        return -EINVAL;
    return 0;
}

int vad_weights_parse(struct vad_weights *w, struct slice file)
{
    struct reader r = reader_of(file);
    struct slice magic = reader_take(&r, 8);
    struct head h = {.version = reader_u32_le(&r)};
    struct slice body;
    int error;

    *w = (struct vad_weights){0};
    h.rate_hz = reader_u32_le(&r);
    h.fft_size = reader_u32_le(&r);
    h.bins = reader_u32_le(&r);
    h.count = reader_u32_le(&r);
    h.crc = reader_u32_le(&r);
    (void)reader_take(&r, VAD_WEIGHTS_HEAD_BYTES - 32);
    if (r.bad || !slice_equal(magic, slice_of("SIDEVAD", 8)))
        return -EINVAL;
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || (uintptr_t)file.at % sizeof(float))
        return -EINVAL;
    body = slice_of(r.at, reader_left(&r));
    error = check_head(&h, body.len);
    if (error)
        return error;
    if (crc32_of(body) != h.crc || !all_sane((const void *)body.at, h.count))
        return -EBADMSG;
    w->rate_hz = h.rate_hz;
    w->fft_size = h.fft_size;
    w->bins = h.bins;
    lay_out(w, (const void *)body.at);
    return 0;
}
