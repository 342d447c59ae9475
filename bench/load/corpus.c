#include "bench/load/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "media/g711.h"
#include "tools/call/sound.h"

#define RATE_HZ       8000
#define CLIPS         32
#define CLIP_SAMPLES  (8 * RATE_HZ)
#define NOISE_SAMPLES (7 * RATE_HZ)
#define NOISE_PEAK    12 /* below what any detector takes for a sound */
#define PITCH_HZ      80 /* the lowest voice; the highest is CLIPS * PITCH_STEP above it */
#define PITCH_STEP    6
#define SYLLABLE      1760 /* samples of a rise and fall in loudness: 220 ms */
#define GAP           200  /* of them silent at each end: 50 ms between two */
#define LOUD          500  /* mean magnitude of a frame that is heard as voice */

static bool is_loud(const int16_t *pcm)
{
    int64_t sum = 0;

    for (int i = 0; i < CORPUS_FRAME_BYTES; i++)
        sum += pcm[i] < 0 ? -pcm[i] : pcm[i];
    return sum >= LOUD * CORPUS_FRAME_BYTES;
}

static struct corpus_clip encode(const int16_t *pcm, size_t samples, bool alaw)
{
    uint32_t count = (uint32_t)(samples / CORPUS_FRAME_BYTES);
    size_t bytes = (size_t)count * CORPUS_FRAME_BYTES;
    struct corpus_clip clip = {malloc(bytes + 1), calloc(count + 1, sizeof(bool)), count};

    if (!clip.frames || !clip.loud)
        abort();
    for (uint32_t i = 0; i < count; i++)
        clip.loud[i] = is_loud(pcm + (size_t)i * CORPUS_FRAME_BYTES);
    if (alaw)
        g711_alaw_encode(clip.frames, pcm, bytes);
    else
        g711_mulaw_encode(clip.frames, pcm, bytes);
    return clip;
}

/* A saw tooth with a wandering pitch, cut into syllables with gaps between them as words have: a
 * sound without any gap is noise to a detector after two seconds. */
static void buzz(int16_t *pcm, uint32_t voice, struct rand *r)
{
    int32_t period = RATE_HZ / (int32_t)(PITCH_HZ + voice * PITCH_STEP), now = period, at = 0;

    for (int32_t i = 0; i < CLIP_SAMPLES; i++) {
        int32_t fold = i % SYLLABLE < SYLLABLE / 2 ? i % SYLLABLE : SYLLABLE - i % SYLLABLE;
        int32_t peak = fold < GAP ? 0 : 6000 + 6000 * fold / (SYLLABLE / 2);
        pcm[i] = (int16_t)(peak - 2 * peak * at / now);
        if (++at >= now) {
            at = 0;
            now = period + (int32_t)rand_below(r, 5) - 2;
        }
    }
}

static void generate(struct corpus *c, bool alaw, struct rand *r)
{
    int16_t *pcm = malloc(CLIP_SAMPLES * sizeof(*pcm));

    if (!pcm)
        abort();
    for (uint32_t i = 0; i < CLIPS; i++) {
        buzz(pcm, i, r);
        c->clips[c->clip_count++] = encode(pcm, CLIP_SAMPLES, alaw);
    }
    free(pcm);
}

static int load_one(struct corpus *c, const char *folder, const char *name, bool alaw,
                    char why[CORPUS_WHY_BYTES])
{
    struct caller_clip clip;
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int err = sound_load(path, &clip, why);
    if (err)
        return err;
    int64_t from = clip.voiced_first > 0 ? clip.voiced_first : 0;
    int64_t samples = clip.voiced_last + 1 - from;
    if (clip.voiced_last >= 0 && samples >= CORPUS_FRAME_BYTES)
        c->clips[c->clip_count++] = encode(clip.pcm + from, (size_t)samples, alaw);
    free((void *)(uintptr_t)clip.pcm);
    return 0;
}

static int is_wav(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 4 && strcmp(entry->d_name + len - 4, ".wav") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of the names: a caller says the same in every run. */
static int load_folder(struct corpus *c, const char *folder, bool alaw, char why[CORPUS_WHY_BYTES])
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_wav, by_name), err = 0;

    if (count < 0) {
        err = errno;
        snprintf(why, CORPUS_WHY_BYTES, "%s: %s", folder, strerror(err));
        return -err;
    }
    for (int i = 0; i < count; i++) {
        if (!err && c->clip_count < CORPUS_CLIPS_MAX)
            err = load_one(c, folder, entries[i]->d_name, alaw, why);
        free(entries[i]);
    }
    free(entries);
    if (!err && !c->clip_count) {
        snprintf(why, CORPUS_WHY_BYTES, "%s holds no WAV with a voice in it", folder);
        err = -ENOENT;
    }
    return err;
}

int corpus_load(struct corpus *c, const char *folder, bool alaw, uint64_t seed,
                char why[CORPUS_WHY_BYTES])
{
    struct rand r = {seed};
    int16_t *pcm = malloc(NOISE_SAMPLES * sizeof(*pcm));

    if (!pcm)
        abort();
    memset(c, 0, sizeof(*c));
    for (int i = 0; i < NOISE_SAMPLES; i++)
        pcm[i] = (int16_t)((int)rand_below(&r, 2 * NOISE_PEAK + 1) - NOISE_PEAK);
    c->noise = encode(pcm, NOISE_SAMPLES, alaw);
    free(pcm);
    if (folder)
        return load_folder(c, folder, alaw, why);
    generate(c, alaw, &r);
    return 0;
}

static void fini_clip(struct corpus_clip *clip)
{
    free(clip->frames);
    free(clip->loud);
}

void corpus_fini(struct corpus *c)
{
    for (uint32_t i = 0; i < c->clip_count; i++)
        fini_clip(&c->clips[i]);
    fini_clip(&c->noise);
    memset(c, 0, sizeof(*c));
}

static const uint8_t *frame_of(const struct corpus_clip *clip, uint64_t n)
{
    return clip->frames + n % clip->count * CORPUS_FRAME_BYTES;
}

const uint8_t *corpus_speech(const struct corpus *c, uint32_t caller, uint32_t turn, uint64_t n,
                             bool *loud)
{
    const struct corpus_clip *clip = &c->clips[(caller * 7 + turn) % c->clip_count];

    *loud = clip->loud[(caller * 3 + n) % clip->count];
    return frame_of(clip, caller * 3 + n);
}

const uint8_t *corpus_noise(const struct corpus *c, uint32_t caller, uint64_t n)
{
    return frame_of(&c->noise, caller * 5 + n);
}
