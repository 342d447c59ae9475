#include "tools/say/caller.h"

#include <errno.h>
#include <flite/flite.h>
#include <math.h>
#include <stdlib.h>

#include "base/rand.h"

cst_voice *register_cmu_us_slt(const char *voxdir);
cst_voice *register_cmu_us_rms(const char *voxdir);
cst_voice *register_cmu_us_awb(const char *voxdir);
cst_voice *register_cmu_us_kal16(const char *voxdir);
cst_voice *register_cmu_us_kal(const char *voxdir);

#define RATE_HZ      8000
#define TAPS         255
#define SPEECH_RMS   2200.0 /* level of every caller, about -23 dBFS */
#define VOICED_FRAME 40     /* 5 ms */
/* A frame this far below the loudest one is no voice: at 20 dB of noise, which stands about 28 dB
 * below the loudest frame, nobody could hear it. */
#define VOICED_DB -26.0

struct signal {
    float *at;
    size_t count;
};

static cst_voice *voice_named(const char *name)
{
    static const struct {
        const char *name;
        cst_voice *(*get)(const char *voxdir);
    } voices[] = {{"slt", register_cmu_us_slt},
                  {"rms", register_cmu_us_rms},
                  {"awb", register_cmu_us_awb},
                  {"kal16", register_cmu_us_kal16},
                  {"kal", register_cmu_us_kal}};
    flite_init();
    for (size_t i = 0; i < ARRAY_LEN(voices); i++)
        if (strcmp(voices[i].name, name) == 0)
            return voices[i].get(NULL);
    return NULL;
}

/* Band-pass of 300-3400 Hz: the difference of two sincs under a Hamming window. */
static void band_taps(double rate_hz, float *taps)
{
    for (int i = 0; i < TAPS; i++) {
        double t = i - (TAPS - 1) / 2.0;
        double high = 2 * 3400 / rate_hz, low = 2 * 300 / rate_hz;
        double h =
            t == 0.0 ? high - low : (sin(M_PI * high * t) - sin(M_PI * low * t)) / (M_PI * t);
        taps[i] = (float)(h * (0.54 - 0.46 * cos(2 * M_PI * i / (TAPS - 1))));
    }
}

/* Filters and keeps every `step`-th sample; the filter's delay is taken out. */
static struct signal band_pass(const float *in, size_t count, double rate_hz, size_t step)
{
    float taps[TAPS];
    struct signal out = {calloc(count / step + 1, sizeof(float)), count / step};
    band_taps(rate_hz, taps);
    for (size_t i = 0; out.at && i < out.count; i++) {
        float sum = 0;
        for (int k = 0; k < TAPS; k++) {
            ptrdiff_t at = (ptrdiff_t)(i * step) + TAPS / 2 - k;
            if (at >= 0 && (size_t)at < count)
                sum += taps[k] * in[at];
        }
        out.at[i] = sum;
    }
    return out;
}

/* Flite's speed is a feature of an utterance: the voice itself is left alone. */
static cst_utterance *synth(cst_voice *voice, const char *text, double speed)
{
    cst_utterance *u = new_utterance();
    utt_set_input_text(u, text);
    utt_init(u, voice);
    float stretch = get_param_float(voice->features, "duration_stretch", 1.0f);
    feat_set_float(u->features, "duration_stretch", stretch / (float)(speed > 0 ? speed : 1.0));
    return utt_synth(u);
}

/* One sentence at 8 kHz in the telephone band; `wide` gets it as it was, at 16 kHz, if wanted. */
static struct signal spoken(const char *voice, const char *text, double speed, struct signal *wide)
{
    cst_voice *v = voice_named(voice);
    struct signal out = {NULL, 0};
    if (!v)
        return out;
    cst_utterance *u = synth(v, text, speed);
    cst_wave *w = utt_wave(u);
    size_t count = (size_t)w->num_samples;
    float *raw = calloc(count + 1, sizeof(float));
    for (size_t i = 0; raw && i < count; i++)
        raw[i] = w->samples[i];
    if (raw)
        out = band_pass(raw, count, w->sample_rate, (size_t)w->sample_rate / RATE_HZ);
    if (wide && w->sample_rate == 2 * RATE_HZ)
        *wide = (struct signal){raw, count};
    else
        free(raw);
    delete_utterance(u);
    return out;
}

static double energy(const float *at, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)at[i] * at[i];
    return count ? sum / (double)count : 0;
}

/* First and last voiced sample: frames of 5 ms not far below the loudest. */
static void voiced_find(struct signal s, size_t *first, size_t *last)
{
    double most = 0;
    for (size_t i = 0; i + VOICED_FRAME <= s.count; i += VOICED_FRAME)
        most = fmax(most, energy(s.at + i, VOICED_FRAME));
    double least = most * pow(10, VOICED_DB / 10);
    *first = s.count;
    *last = 0;
    for (size_t i = 0; i + VOICED_FRAME <= s.count; i += VOICED_FRAME)
        if (energy(s.at + i, VOICED_FRAME) >= least) {
            *first = *first == s.count ? i : *first;
            *last = i + VOICED_FRAME - 1;
        }
    *first = *first == s.count ? 0 : *first;
}

/* Pink noise: white noise through a sum of slow and fast one-pole filters. */
static struct signal pink(size_t count, struct rand *r)
{
    static const double pole[] = {0.997, 0.96, 0.75}, gain[] = {0.03, 0.09, 0.25};
    double state[3] = {0};
    float *white = calloc(count + 1, sizeof(float));
    struct signal out = {NULL, 0};
    for (size_t i = 0; white && i < count; i++) {
        double x = (double)rand_below(r, 65536) / 32768.0 - 1.0, sum = 0.05 * x;
        for (int k = 0; k < 3; k++) {
            state[k] = pole[k] * state[k] + gain[k] * x;
            sum += state[k];
        }
        white[i] = (float)sum;
    }
    if (white)
        out = band_pass(white, count, RATE_HZ, 1);
    free(white);
    return out;
}

/* Six people talking at once, far away: three voices, each twice, from places that the seed draws.
 */
static struct signal babble(size_t count, struct rand *r)
{
    static const char *const voices[] = {"kal16", "kal", "rms"};
    static const char *const talk[] = {
        "The quick brown fox was seen again near the old river, where nobody had expected it.",
        "We could have taken the early train, but the weather changed and the road was closed.",
        "After lunch they moved all the boxes upstairs and painted the kitchen door dark green."};
    struct signal out = {calloc(count + 1, sizeof(float)), count};
    for (int k = 0; out.at && k < 3; k++) {
        struct signal one = spoken(voices[k], talk[k], 1.0, NULL);
        double level = sqrt(energy(one.at, one.count)) + 1e-9;
        for (int twice = 0; twice < 2 && one.count; twice++) {
            size_t from = rand_below(r, (uint32_t)one.count);
            for (size_t i = 0; i < count; i++)
                out.at[i] += one.at[(from + i) % one.count] / (float)level;
        }
        free(one.at);
    }
    return out;
}

static int16_t clip(double x)
{
    return (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : lrint(x));
}

/* What a sample is after mu-law (ITU-T G.711): eight segments of sixteen steps. */
static int16_t mulaw(int16_t sample)
{
    int x = sample < 0 ? -sample : sample, segment = 0;
    x = (x > 32635 ? 32635 : x) + 132;
    while (segment < 7 && x >> (segment + 8))
        segment++;
    int step = segment + 3;
    int y = (((x >> step) << step) + (1 << (step - 1))) - 132;
    return (int16_t)(sample < 0 ? -y : y);
}

static void noise_add(struct caller_audio *a, const struct caller_request *q, double *mix)
{
    struct rand r = {q->seed};
    struct signal parts[2] = {pink(a->count, &r), babble(a->count, &r)};
    /* half of the noise's power each */
    double wanted = SPEECH_RMS * pow(10, -q->noise_db / 20) * sqrt(0.5);
    for (int k = 0; k < 2; k++) {
        double level = parts[k].at ? sqrt(energy(parts[k].at, parts[k].count)) : 0;
        for (size_t i = 0; level > 0 && i < a->count; i++)
            mix[i] += parts[k].at[i] * wanted / level;
        free(parts[k].at);
    }
}

/* The line's samples of a sentence; *gain is what brought it to every caller's level. */
static int line_make(const struct caller_request *q, struct signal s, struct caller_audio *out,
                     double *gain)
{
    size_t lead = (size_t)q->lead_ms * RATE_HZ / 1000, tail = (size_t)q->tail_ms * RATE_HZ / 1000;
    voiced_find(s, &out->first, &out->last);
    double level = sqrt(energy(s.at + out->first, out->last - out->first + 1)) + 1e-9;
    *gain = SPEECH_RMS / level;
    out->count = lead + s.count + tail;
    out->first += lead;
    out->last += lead;
    out->pcm = calloc(out->count + 1, sizeof(int16_t));
    double *mix = calloc(out->count + 1, sizeof(double));
    if (out->pcm && mix) {
        for (size_t i = 0; i < s.count; i++)
            mix[lead + i] = s.at[i] * SPEECH_RMS / level;
        if (q->noise_db < 100)
            noise_add(out, q, mix);
        for (size_t i = 0; i < out->count; i++)
            out->pcm[i] = mulaw(clip(mix[i]));
    }
    int err = out->pcm && mix ? 0 : -ENOMEM;
    free(mix);
    return err;
}

int caller_speak(const struct caller_request *q, struct caller_audio *out)
{
    double gain;
    *out = (struct caller_audio){0};
    struct signal s = spoken(q->voice, q->text, q->speed, NULL);
    if (!s.at)
        return -EINVAL;
    int err = line_make(q, s, out, &gain);
    free(s.at);
    return err;
}

int caller_speak_wide(const struct caller_request *q, struct caller_audio *out, int16_t **wide)
{
    double gain;
    struct signal raw = {NULL, 0};
    *out = (struct caller_audio){0};
    *wide = NULL;
    struct signal s = spoken(q->voice, q->text, q->speed, &raw);
    int err = s.at && raw.at ? line_make(q, s, out, &gain) : -EINVAL;
    if (!err)
        *wide = calloc(2 * out->count + 1, sizeof(int16_t));
    if (!err && !*wide)
        err = -ENOMEM;
    size_t lead = 2 * (size_t)q->lead_ms * RATE_HZ / 1000;
    for (size_t i = 0; !err && i < raw.count && lead + i < 2 * out->count; i++)
        (*wide)[lead + i] = clip(raw.at[i] * gain);
    free(raw.at);
    free(s.at);
    if (err) {
        free(out->pcm);
        out->pcm = NULL;
    }
    return err;
}
