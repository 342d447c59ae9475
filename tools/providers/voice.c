#include "tools/providers/voice.h"

#include <ctype.h>
#include <math.h>

#include "media/g711.h"

#define PITCH_HZ    115.0
#define SYLLABLE_HZ 4.0
#define BLOCK       256
#define LOUDNESS    9000.0
#define MARK_PEAK   8000.0
#define MARK_FIRST  20 /* samples; as the load harness expects it */
#define MARK_STEP   2
#define MARKS       12

struct encoding_name {
    const char *name;
    enum voice_encoding encoding;
};

static const struct encoding_name names[] = {
    {"linear16", VOICE_S16},  {"pcm_s16le", VOICE_S16},   {"mulaw", VOICE_MULAW},
    {"ulaw", VOICE_MULAW},    {"pcm_mulaw", VOICE_MULAW}, {"alaw", VOICE_ALAW},
    {"pcm_alaw", VOICE_ALAW}, {"pcm_f32le", VOICE_F32},
};

bool voice_encoding_named(struct slice name, enum voice_encoding *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *out = names[i].encoding;
        if (slice_equal(name, slice_str(names[i].name)))
            return true;
    }
    return false;
}

uint32_t voice_bytes(enum voice_encoding encoding)
{
    switch (encoding) {
    case VOICE_S16:
        return 2;
    case VOICE_MULAW:
    case VOICE_ALAW:
        return 1;
    case VOICE_F32:
        return 4;
    }
    return 1;
}

int64_t voice_text_ms(struct slice text, double ms_per_character)
{
    size_t characters = 0;
    bool said = false;

    for (size_t i = 0; i < text.len; i++) {
        characters += (text.at[i] & 0xC0) != 0x80;
        said |= isalnum(text.at[i]) || text.at[i] >= 0x80;
    }
    double ms = (double)characters * ms_per_character;
    if (!said)
        return 0;
    return ms < VOICE_MS_LEAST ? VOICE_MS_LEAST : ms > VOICE_MS_MOST ? VOICE_MS_MOST : (int64_t)ms;
}

/* A pulse a period long, ringing at two formants; loud from its first sample on. */
static double buzz_at(double t)
{
    double since = fmod(t, 1 / PITCH_HZ);
    double ring = exp(-since * 90) * sin(2 * M_PI * 650 * since) +
                  0.5 * exp(-since * 140) * sin(2 * M_PI * 1350 * since);
    double rhythm = cos(M_PI * SYLLABLE_HZ * t);

    return LOUDNESS * ring * (0.3 + 0.7 * rhythm * rhythm);
}

/* Falls from peak to peak and jumps back: the jumps say the period, to the sample. */
static double mark_at(uint32_t mark, uint64_t sample, uint32_t rate_hz)
{
    uint64_t period = (uint64_t)mark * rate_hz / VOICE_MARK_HZ;

    return MARK_PEAK * (1 - 2 * (double)(sample % period) / (double)period);
}

/* Linear interpolation does for what a test listens to. */
static double recording_at(const struct voice_source *s, double t)
{
    double at = fmod(t * s->rate_hz, (double)s->samples);
    size_t i = (size_t)at;
    double part = at - (double)i;

    return s->pcm[i] * (1 - part) + s->pcm[(i + 1) % s->samples] * part;
}

uint32_t voice_mark_of(struct slice text)
{
    uint32_t number = 0;
    size_t at = 0;

    while (at < text.len && !isdigit(text.at[at]))
        at++;
    for (; at < text.len && isdigit(text.at[at]); at++)
        number = (number * 10 + (text.at[at] - '0')) % MARKS;
    return MARK_FIRST + MARK_STEP * number;
}

static double sample_at(const struct voice_source *s, uint64_t sample, uint32_t rate_hz)
{
    double t = (double)sample / rate_hz;

    if (s->mark)
        return mark_at(s->mark, sample, rate_hz);
    return s->samples ? recording_at(s, t) : buzz_at(t);
}

static void block_encode(enum voice_encoding encoding, const int16_t *pcm, size_t n, uint8_t *out)
{
    switch (encoding) {
    case VOICE_S16:
        for (size_t i = 0; i < n; i++) {
            out[2 * i] = (uint8_t)pcm[i];
            out[2 * i + 1] = (uint8_t)((uint16_t)pcm[i] >> 8);
        }
        break;
    case VOICE_MULAW:
        g711_mulaw_encode(out, pcm, n);
        break;
    case VOICE_ALAW:
        g711_alaw_encode(out, pcm, n);
        break;
    case VOICE_F32:
        for (size_t i = 0; i < n; i++) {
            float value = (float)pcm[i] / 32768.0f;
            memcpy(out + 4 * i, &value, 4); /* little-endian, as this machine is */
        }
        break;
    }
}

void voice_render(const struct voice_source *source, const struct voice_format *format,
                  uint64_t first, size_t count, uint8_t *out)
{
    int16_t pcm[BLOCK];

    while (count) {
        size_t n = count < BLOCK ? count : BLOCK;
        for (size_t i = 0; i < n; i++)
            pcm[i] = (int16_t)sample_at(source, first + i, format->rate_hz);
        block_encode(format->encoding, pcm, n, out);
        out += n * voice_bytes(format->encoding);
        first += n;
        count -= n;
    }
}
