/* Speech synthesis without a network: flite on a speech lane. Every clause is one job; audio goes
 * out while the clause is still being made, and a cancel stops it between two pieces. */
#include <errno.h>
#include <flite/flite.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "provider/provider.h"

cst_voice *register_cmu_us_slt(const char *voxdir);
cst_voice *register_cmu_us_rms(const char *voxdir);
cst_voice *register_cmu_us_awb(const char *voxdir);
cst_voice *register_cmu_us_kal16(const char *voxdir);
cst_voice *register_cmu_us_kal(const char *voxdir);

#define RATE_HZ       16000
#define PIECE_SAMPLES 320  /* what one emit carries at most */
#define KEEP_SAMPLES  160  /* 10 ms before the first voiced sample stay */
#define TRIM_SAMPLES  8000 /* at most half a second of leading silence is taken away */
#define VOICED        250  /* a sample beyond this is not silence */
#define EPOCH_SHIFT   3
#define UP_TAPS       16 /* taps of each phase of the 8 to 16 kHz filter */

enum reply { REPLY_AUDIO, REPLY_SPOKEN, REPLY_FAILED };

/* ---- shard side ---- */

struct tts_state {
    uint32_t alive; /* the first epoch that is not cancelled */
};

static void reply_take(const struct provider_input *in, struct intents *out)
{
    uint32_t epoch = in->flag >> EPOCH_SHIFT;
    struct provider_intent *event = intents_add(out, INTENT_EVENT);
    event->epoch = epoch;
    switch ((enum reply)(in->flag & 7)) {
    case REPLY_AUDIO:
        event->event = EVENT_AUDIO;
        event->text = in->data;
        return;
    case REPLY_SPOKEN:
        event->event = EVENT_SPOKEN;
        return;
    case REPLY_FAILED:
        event->event = EVENT_FAILED;
        event->status = -EIO;
        return;
    }
}

static void tts_step(void *state, const struct provider_input *in, int64_t now_ns,
                     struct intents *out)
{
    struct tts_state *s = state;
    struct provider_intent *job;
    (void)now_ns;
    switch (in->kind) {
    case INPUT_TEXT:
        job = intents_add(out, INTENT_JOB);
        job->flag = in->epoch << EPOCH_SHIFT;
        job->epoch = in->epoch;
        job->body = in->data;
        return;
    case INPUT_CANCEL:
        if (in->epoch >= s->alive)
            s->alive = in->epoch + 1;
        return;
    case INPUT_JOB:
        if (in->flag >> EPOCH_SHIFT >= s->alive)
            reply_take(in, out);
        return;
    case INPUT_START:
    case INPUT_AUDIO:
    case INPUT_SPEECH:
    case INPUT_FINISH:
    case INPUT_TURN:
    case INPUT_COMMIT:
    case INPUT_STOP:
    case INPUT_OPENED:
    case INPUT_BYTES:
    case INPUT_STATUS:
    case INPUT_CHUNK:
    case INPUT_END:
    case INPUT_CLOSED:
    case INPUT_TIMER:
        return;
    }
}

/* ---- lane side ---- */

struct session {
    cst_voice *voice;
    float stretch;
};

/* One clause on its way out:  flite ─▶ 8 to 16 kHz ─▶ leading silence off ─▶ pieces ─▶ lane */
struct speaking {
    struct job_port *port;
    uint32_t tag;
    bool stopped;
    bool voiced;
    size_t trimmed;
    size_t kept;
    int16_t keep[KEEP_SAMPLES];
    int16_t piece[PIECE_SAMPLES];
    size_t filled;
    int16_t past[UP_TAPS]; /* last samples at 8 kHz, newest last */
};

static void piece_flush(struct speaking *k)
{
    if (k->filled && !k->stopped)
        k->stopped = !k->port->emit(k->port, k->tag | REPLY_AUDIO,
                                    slice_of(k->piece, k->filled * sizeof(int16_t)));
    k->filled = 0;
}

static void sample_out(struct speaking *k, int16_t sample)
{
    k->piece[k->filled++] = sample;
    if (k->filled == PIECE_SAMPLES)
        piece_flush(k);
}

/* Silence before the voice is held back, its last 10 ms kept in case the voice comes now. */
static void sample_take(struct speaking *k, int16_t sample)
{
    if (!k->voiced && sample < VOICED && sample > -VOICED && k->trimmed < TRIM_SAMPLES) {
        k->keep[k->trimmed++ % KEEP_SAMPLES] = sample;
        return;
    }
    if (!k->voiced) {
        size_t kept = k->trimmed < KEEP_SAMPLES ? k->trimmed : KEEP_SAMPLES;
        for (size_t i = k->trimmed - kept; i < k->trimmed; i++)
            sample_out(k, k->keep[i % KEEP_SAMPLES]);
        k->voiced = true;
    }
    sample_out(k, sample);
}

/* Half-band interpolation: every input sample itself (delayed), and one between two of them. The
 * taps are sinc under a Hamming window, in 1/32768. */
static void sample_double(struct speaking *k, int16_t sample)
{
    static const int32_t taps[UP_TAPS] = {-113,  190,   -422, 885,   -1700, 3122, -5975, 20420,
                                          20420, -5975, 3122, -1700, 885,   -422, 190,   -113};
    int32_t sum = 16384;
    memmove(k->past, k->past + 1, sizeof(k->past) - sizeof(k->past[0]));
    k->past[UP_TAPS - 1] = sample;
    for (size_t i = 0; i < UP_TAPS; i++)
        sum += taps[i] * k->past[i];
    sum >>= 15;
    sample_take(k, k->past[UP_TAPS / 2 - 1]);
    sample_take(k, (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum));
}

static int audio_take(const cst_wave *wave, int start, int size, int last,
                      cst_audio_streaming_info *info)
{
    struct speaking *k = info->userdata;
    (void)last;
    for (int i = 0; i < size; i++) {
        if (wave->sample_rate == RATE_HZ / 2)
            sample_double(k, wave->samples[start + i]);
        else
            sample_take(k, wave->samples[start + i]);
    }
    if (!k->stopped && k->port->cancelled(k->port))
        k->stopped = true;
    return k->stopped ? CST_AUDIO_STREAM_STOP : CST_AUDIO_STREAM_CONT;
}

/* What flite_text_to_speech() does, but with features of this utterance alone: those of a voice are
 * shared by all threads. */
static bool clause_speak(const struct session *s, const char *text, struct speaking *k)
{
    cst_utterance *u = new_utterance();
    cst_audio_streaming_info *info = new_audio_streaming_info();
    info->asc = audio_take;
    info->min_buffsize = PIECE_SAMPLES;
    info->userdata = k;
    utt_set_input_text(u, text);
    utt_init(u, s->voice);
    feat_set_float(u->features, "duration_stretch", s->stretch);
    feat_set(u->features, "streaming_info", audio_streaming_info_val(info)); /* owns it now */
    bool done = utt_synth(u) != NULL;
    delete_utterance(u);
    return done;
}

static bool has_sound(const char *text)
{
    for (; *text; text++)
        if ((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
            (*text >= 'A' && *text <= 'Z'))
            return true;
    return false;
}

static void tts_run(void *session, uint32_t tag, struct slice body, struct job_port *port)
{
    const struct session *s = session;
    char text[TURN_TEXT_BYTES_MAX + 1];
    struct speaking k = {.port = port, .tag = tag & ~7u};
    if (port->cancelled(port))
        return;
    slice_cstr(slice_of(body.at, body.len < TURN_TEXT_BYTES_MAX ? body.len : TURN_TEXT_BYTES_MAX),
               text, sizeof(text));
    bool done = !has_sound(text) || clause_speak(s, text, &k);
    piece_flush(&k);
    if (!k.stopped)
        port->emit(port, k.tag | (done ? REPLY_SPOKEN : REPLY_FAILED), SLICE_NONE);
}

/* Registering twice gives the same voice; the first time is tts_load() on the control thread. */
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
    for (size_t i = 0; i < ARRAY_LEN(voices); i++)
        if (strcmp(voices[i].name, name) == 0)
            return voices[i].get(NULL);
    return NULL;
}

static int tts_load(const struct provider_config *config, const void **loaded, char *why,
                    size_t why_bytes)
{
    const char *name = config->voice && config->voice[0] ? config->voice : "slt";
    flite_init();
    *loaded = voice_named(name);
    if (!*loaded) {
        snprintf(why, why_bytes, "tts.voice: flite has no voice '%s' (slt, rms, awb, kal16, kal)",
                 name);
        return -EINVAL;
    }
    if (!(config->speed == 0.0 || (config->speed >= 0.5 && config->speed <= 2.0))) {
        snprintf(why, why_bytes, "tts.speed: %g is not between 0.5 and 2", config->speed);
        return -EINVAL;
    }
    return 0;
}

static int tts_open(void *session, const struct provider_config *config, struct job_port *port,
                    char *why, size_t why_bytes)
{
    struct session *s = session;
    (void)port;
    s->voice = (cst_voice *)(uintptr_t)config->loaded;
    s->stretch = config->speed > 0.0 ? (float)(1.0 / config->speed) : 1.0f;
    /* A voice has a stretch of its own; the speed is relative to it. */
    if (s->voice)
        s->stretch *= get_param_float(s->voice->features, "duration_stretch", 1.0f);
    else
        snprintf(why, why_bytes, "no voice was loaded");
    return s->voice ? 0 : -EINVAL;
}

static void tts_close(void *session, struct job_port *port)
{
    (void)session;
    (void)port;
}

static void tts_worker_close(void *worker)
{
    (void)worker;
}

static void tts_unload(const void *loaded)
{
    (void)loaded; /* voices live as long as the process */
}

const struct provider_ops tts_flite_ops = {
    .name = "flite",
    .kind = PROVIDER_TTS,
    .summary = "speech synthesis on this machine; voices slt, rms, awb, kal16, kal",
    .settings = "",
    .rate_hz = RATE_HZ,
    .state_bytes = sizeof(struct tts_state),
    .load = tts_load,
    .unload = tts_unload,
    .step = tts_step,
    .session_bytes = sizeof(struct session),
    .job_open = tts_open,
    .job_run = tts_run,
    .job_close = tts_close,
    .worker_close = tts_worker_close,
};
