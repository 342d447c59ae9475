#include "tools/call/sound.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/g711.h"
#include "media/wav.h"

/* The whole file, malloc'ed; 0 or -errno. */
static int read_file(const char *path, uint8_t **bytes, size_t *len)
{
    FILE *f = fopen(path, "rbe");
    int err = 0;

    if (!f)
        return -errno;
    *bytes = malloc(SOUND_BYTES_MAX);
    if (!*bytes)
        abort();
    *len = fread(*bytes, 1, SOUND_BYTES_MAX, f);
    if (ferror(f))
        err = -EIO;
    else if (fgetc(f) != EOF)
        err = -EFBIG;
    fclose(f);
    return err;
}

static void take_samples(const struct wav_info *info, int16_t *pcm, size_t samples)
{
    const uint8_t *at = info->data.at;

    switch (info->format.encoding) {
    case WAV_PCM16:
        for (size_t i = 0; i < samples; i++)
            pcm[i] = (int16_t)(at[2 * i] | at[2 * i + 1] << 8);
        break;
    case WAV_MULAW:
        g711_mulaw_decode(pcm, at, samples);
        break;
    case WAV_ALAW:
        g711_alaw_decode(pcm, at, samples);
        break;
    }
}

static int take_clip(struct slice file, struct caller_clip *clip, const char **what)
{
    struct wav_info info;

    *what = "it is not a WAV file";
    if (wav_parse(file, &info) < 0)
        return -EINVAL;
    *what = "it must have one channel at 8000 Hz";
    if (info.format.channels != 1 || info.format.rate_hz != CALL_RATE_HZ)
        return -EINVAL;
    size_t samples = info.data.len / wav_block_bytes(&info.format);
    int16_t *pcm = calloc(samples + 1, sizeof(*pcm));
    if (!pcm)
        abort();
    take_samples(&info, pcm, samples);
    *clip = (struct caller_clip){.pcm = pcm, .samples = (int64_t)samples};
    caller_clip_measure(clip);
    return 0;
}

int sound_load(const char *path, struct caller_clip *clip, char why[SOUND_WHY_BYTES])
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    const char *what = "";
    int err = read_file(path, &bytes, &len);

    if (err < 0)
        snprintf(why, SOUND_WHY_BYTES, "%s cannot be read: %s", path, strerror(-err));
    else if ((err = take_clip(slice_of(bytes, len), clip, &what)) < 0)
        snprintf(why, SOUND_WHY_BYTES, "%s cannot be said: %s", path, what);
    free(bytes);
    return err;
}

int sound_save(const char *path, const int16_t *pairs, int64_t count, char why[SOUND_WHY_BYTES])
{
    const struct wav_format format = {WAV_PCM16, 2, CALL_RATE_HZ};
    uint8_t head[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(head, sizeof(head));
    FILE *f = fopen(path, "wbe");

    if (!f) {
        int err = errno;
        snprintf(why, SOUND_WHY_BYTES, "%s cannot be written: %s", path, strerror(err));
        return -err;
    }
    bool good =
        wav_build(&b, &format, (uint64_t)count * 4) == 0 && fwrite(head, 1, b.len, f) == b.len;
    for (int64_t i = 0; good && i < 2 * count; i++) {
        uint8_t le[2] = {(uint8_t)((uint16_t)pairs[i] & 0xFF), (uint8_t)((uint16_t)pairs[i] >> 8)};
        good = fwrite(le, 1, 2, f) == 2;
    }
    if (fclose(f) != 0 || !good) {
        snprintf(why, SOUND_WHY_BYTES, "%s cannot be written: the disk is full or failing", path);
        return -EIO;
    }
    return 0;
}
