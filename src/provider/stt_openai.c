/* OpenAI's transcription, and every server that speaks it: one request with the whole utterance as
 * a WAV file, made when the utterance is over. There are no partials, so a turn costs the whole
 * recognition after its end. Formats: OpenAI's SDK and API description, see
 * docs/providers/openai-stt.md. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "provider/cloud.h"
#include "provider/utterance.h"
#include "provider/web.h"

#include "media/g711.h"

#define OWN_URL         "https://api.openai.com/v1"
#define OWN_MODEL       "gpt-4o-mini-transcribe"
#define OTHER_MODEL     "whisper-1"
#define RATE_HZ         8000
#define SOUND_BYTES_MAX 240000 /* 15 s of PCM16, 30 s of mu-law: what is beyond is not heard */
#define SOUND_MS_MIN    100    /* less is refused by the service, and holds no word */
#define FRONT_BYTES     8192   /* of the body, before the sound */
#define BACK_BYTES      64     /* and behind it */
#define WAV_BYTES       44
#define WAV_PCM         1
#define WAV_MULAW       7
#define ANSWER_BYTES    16384 /* longer ones are no transcript of 30 s */

extern const struct provider_ops stt_openai;

struct loaded {
    bool mulaw;
    int64_t patience_ns;
    char url[WEB_URL_MAX + 64];
    char head[CLOUD_KEY_MAX + 64];
    char model[256];
    char language[8]; /* ISO 639-1 */
    char prompt[2048];
};

struct openai {
    bool open; /* a request is under way */
    int32_t status;
    int64_t due_ns;
    uint32_t sound_epoch; /* whose sound there is */
    size_t sound_len;
    size_t answer_len;
    struct utterance u;
    uint8_t answer[ANSWER_BYTES];
    uint8_t body[FRONT_BYTES + SOUND_BYTES_MAX + BACK_BYTES];
};

static const struct loaded *loaded_of(const struct provider_input *in)
{
    return in->config->loaded;
}

/* ---- sound ---- */

static void take_sound(struct openai *o, const struct provider_input *in, struct intents *out)
{
    bool mulaw = loaded_of(in)->mulaw;
    size_t samples = in->data.len / sizeof(int16_t), width = mulaw ? 1 : sizeof(int16_t);

    if (!utterance_open(&o->u, in->epoch, out))
        return;
    if (o->sound_epoch != in->epoch)
        o->sound_len = 0;
    o->sound_epoch = in->epoch;
    uint8_t *to = o->body + FRONT_BYTES + o->sound_len;
    size_t room = (SOUND_BYTES_MAX - o->sound_len) / width;
    samples = samples < room ? samples : room;
    for (size_t i = 0; i < samples; i++) {
        int16_t sample;
        memcpy(&sample, in->data.at + i * sizeof(sample), sizeof(sample));
        if (mulaw)
            g711_mulaw_encode(to + i, &sample, 1);
        else
            memcpy(to + i * sizeof(sample), &sample, sizeof(sample));
    }
    o->sound_len += samples * width;
}

/* RIFF/WAVE: little endian throughout. */
static void wav_head(struct builder *b, bool mulaw, size_t len)
{
    uint16_t width = mulaw ? 1 : 2;

    builder_str(b, "RIFF");
    builder_u32_le(b, (uint32_t)(len + WAV_BYTES - 8));
    builder_str(b, "WAVEfmt ");
    builder_u32_le(b, 16);
    builder_u16_le(b, mulaw ? WAV_MULAW : WAV_PCM);
    builder_u16_le(b, 1);
    builder_u32_le(b, RATE_HZ);
    builder_u32_le(b, RATE_HZ * (uint32_t)width);
    builder_u16_le(b, width);
    builder_u16_le(b, (uint16_t)(width * 8));
    builder_str(b, "data");
    builder_u32_le(b, (uint32_t)len);
}

/* ---- the request ---- */

/* The front is composed apart and laid right before the sound, the back right behind it. */
static struct slice body_compose(struct openai *o, const struct loaded *l, struct web_parts *parts)
{
    uint8_t store[FRONT_BYTES];
    struct builder front = builder_of(store, sizeof(store));
    struct builder back = builder_of(o->body + FRONT_BYTES + o->sound_len, BACK_BYTES);

    web_parts_begin(parts, &front, slice_of(o->body + FRONT_BYTES, o->sound_len));
    web_parts_field(parts, "model", slice_str(l->model));
    web_parts_field(parts, "response_format", SLICE("json"));
    if (l->language[0])
        web_parts_field(parts, "language", slice_str(l->language));
    if (l->prompt[0])
        web_parts_field(parts, "prompt", slice_str(l->prompt));
    web_parts_file(parts, "file", "utterance.wav", "audio/wav");
    wav_head(&front, l->mulaw, o->sound_len);
    parts->out = &back;
    web_parts_end(parts);
    if (front.bad || back.bad)
        return SLICE_NONE;
    uint8_t *begin = o->body + FRONT_BYTES - front.len;
    memcpy(begin, store, front.len);
    return slice_of(begin, front.len + o->sound_len + back.len);
}

static void ask(struct openai *o, const struct provider_input *in, int64_t now_ns,
                struct intents *out)
{
    const struct loaded *l = loaded_of(in);
    struct provider_intent *intent;
    struct web_parts parts;
    uint8_t store[sizeof(l->head) + 128];
    struct builder head = builder_of(store, sizeof(store));
    struct slice body = body_compose(o, l, &parts);

    if (!body.len) {
        utterance_fail(&o->u, EMSGSIZE, false, "the request does not fit", out);
        return;
    }
    web_header_word(&head, "Content-Type", "multipart/form-data;", SLICE_NONE);
    head.len -= 2;
    builder_printf(&head, "boundary=%s\r\n", parts.boundary);
    builder_str(&head, l->head);
    intent = intents_add(out, INTENT_REQUEST);
    intent->epoch = in->epoch;
    intent->data = slice_str(l->url);
    intent->head = intents_copy(out, builder_slice(&head));
    intent->body = body;
    o->open = true;
    o->status = 0;
    o->answer_len = 0;
    o->due_ns = now_ns + l->patience_ns;
}

static void give_up(struct openai *o, struct intents *out)
{
    if (o->open)
        intents_add(out, INTENT_CLOSE);
    o->open = false;
    o->due_ns = NEVER_NS;
}

static void finish(struct openai *o, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    const struct loaded *l = loaded_of(in);
    size_t least = (size_t)RATE_HZ * SOUND_MS_MIN / 1000 * (l->mulaw ? 1 : 2);
    bool before = o->u.finishing;

    if (!utterance_finish(&o->u, in->epoch, now_ns, out))
        return;
    if (before)
        give_up(o, out);
    if (o->sound_epoch != in->epoch || o->sound_len < least)
        utterance_final(&o->u, out);
    else
        ask(o, in, now_ns, out);
}

/* ---- the response ---- */

static void take_chunk(struct openai *o, const struct provider_input *in)
{
    size_t n = in->data.len < sizeof(o->answer) - o->answer_len ? in->data.len
                                                                : sizeof(o->answer) - o->answer_len;

    if (n)
        memcpy(o->answer + o->answer_len, in->data.at, n);
    o->answer_len += n;
}

static void take_end(struct openai *o, struct intents *out)
{
    struct json_doc doc;

    if (o->status < 200 || o->status > 299) {
        utterance_fail(&o->u, o->status, cloud_is_fatal(o->status), cloud_says(o->status), out);
        return;
    }
    if (json_read(&doc, slice_of(o->answer, o->answer_len), sizeof(o->answer), NULL)) {
        utterance_fail(&o->u, EPROTO, false, "the transcript is no JSON", out);
        return;
    }
    if (json_kind_of(&doc, "text") == JSON_KIND_TEXT) {
        utterance_words(&o->u, json_slice_of(&doc, "text"), 100);
        utterance_final(&o->u, out);
    } else {
        utterance_fail(&o->u, EPROTO, false, "the answer holds no transcript", out);
    }
    json_free(&doc);
}

static void over(struct openai *o, const struct provider_input *in, struct intents *out)
{
    bool was_open = o->open;

    o->open = false;
    o->due_ns = NEVER_NS;
    if (!was_open)
        return;
    if (in->kind == INPUT_END)
        take_end(o, out);
    else
        utterance_fail(&o->u, in->status ? in->status : EPIPE, cloud_is_fatal(in->status),
                       cloud_says(in->status), out);
}

static void on_time(struct openai *o, int64_t now_ns, struct intents *out)
{
    if (o->due_ns > now_ns)
        return;
    give_up(o, out);
    utterance_fail(&o->u, ETIMEDOUT, false, "the transcript did not come in time", out);
}

/* ---- the step ---- */

static void openai_step(void *state, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    struct openai *o = state;

    switch (in->kind) {
    case INPUT_START:
        o->due_ns = NEVER_NS;
        return;
    case INPUT_AUDIO:
        take_sound(o, in, out);
        return;
    case INPUT_SPEECH:
        if (in->flag)
            (void)utterance_open(&o->u, in->epoch, out);
        return;
    case INPUT_FINISH:
        finish(o, in, now_ns, out);
        return;
    case INPUT_CANCEL:
        if (utterance_cancel(&o->u, in->epoch))
            give_up(o, out);
        return;
    case INPUT_STATUS:
        o->status = in->status;
        return;
    case INPUT_CHUNK:
        take_chunk(o, in);
        return;
    case INPUT_END:
    case INPUT_CLOSED:
        over(o, in, out);
        return;
    case INPUT_TIMER:
        on_time(o, now_ns, out);
        return;
    case INPUT_STOP:
        give_up(o, out);
        return;
    case INPUT_TEXT:
    case INPUT_TURN:
    case INPUT_COMMIT:
    case INPUT_OPENED:
    case INPUT_BYTES:
    case INPUT_JOB:
        return;
    }
}

static int64_t openai_deadline(const void *state)
{
    return ((const struct openai *)state)->due_ns;
}

/* ---- loading ---- */

static void keep(struct cloud *c, const char *key, struct slice text, char *out, size_t out_bytes)
{
    if (slice_cstr(text, out, out_bytes))
        cloud_complain(c, key, "is longer than %zu bytes", out_bytes - 1);
}

/* "en-US" is "en" here. */
static void keep_language(struct cloud *c, struct loaded *l)
{
    struct slice region;
    struct slice language = slice_cut(slice_str(c->config->language), '-', &region);

    keep(c, "language", language, l->language, sizeof(l->language));
}

static int openai_load(const struct provider_config *config, const void **loaded, char *why,
                       size_t why_bytes)
{
    struct cloud c = cloud_begin(&stt_openai, config, why, why_bytes);
    struct loaded *l = calloc(1, sizeof(*l));
    bool is_own;

    if (!l)
        abort();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "https http", &is_own));
    builder_str(&url, "/audio/transcriptions");
    struct slice key = cloud_key(&c, is_own);
    if (key.len)
        web_header_word(&head, "Authorization", "Bearer", key);
    l->mulaw =
        slice_equal(cloud_choice(&c, "encoding", "linear16", "linear16 mulaw"), SLICE("mulaw"));
    l->patience_ns = MS(cloud_whole(&c, "timeout_ms", 3500, 100, 60000));
    keep(&c, "model", cloud_model(&c, is_own ? OWN_MODEL : OTHER_MODEL), l->model,
         sizeof(l->model));
    keep(&c, "hint", slice_str(provider_setting(config, "hint", "")), l->prompt, sizeof(l->prompt));
    keep_language(&c, l);
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops stt_openai = {
    .name = "openai",
    .kind = PROVIDER_STT,
    .summary = "OpenAI's transcription, and every server that speaks it: no partials",
    .settings = "api_key base_url encoding timeout_ms hint",
    .rate_hz = RATE_HZ,
    .state_bytes = sizeof(struct openai),
    .key_env = "OPENAI_API_KEY",
    .load = openai_load,
    .unload = cloud_unload,
    .step = openai_step,
    .deadline = openai_deadline,
};
