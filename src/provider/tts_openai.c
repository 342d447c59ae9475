/* OpenAI's speech, and every server that speaks it: one request for each clause, whose response is
 * heard while it streams. Raw PCM16; some servers put a WAV header before it all the same. Formats:
 * OpenAI's SDK and API description, see docs/providers/openai-tts.md. */
#include <errno.h>

#include "provider/speaker.h"

#define OWN_URL     "https://api.openai.com/v1"
#define OWN_MODEL   "gpt-4o-mini-tts"
#define OTHER_MODEL "tts-1"
#define OWN_VOICE   "alloy"
#define RATE_HZ     24000
#define PIECE_BYTES                                                                                \
    960                 /* of sound given at a time, however the network cut it: 20 ms of 24 kHz   \
                         */
#define CHUNK_MAX 24000 /* of a response at once; beyond: the reply fails */
#define WAV_MAX   512   /* bytes before the sound of a WAV file; more is no such file */

extern const struct provider_ops tts_openai;

/* The head of a body: RIFF....WAVE, then parts with an id and a length, "fmt " and "data" among
 * them. What does not begin so is sound. */
enum body { BODY_HEAD, BODY_SOUND };

struct openai {
    struct speaker s;
    bool open; /* a request is under way */
    int32_t status;
    enum body body;
    uint32_t head_len;
    uint32_t piece_len;
    uint8_t head[WAV_MAX];
    uint8_t piece[PIECE_BYTES];
};

static const struct speaker_dialect dialect;

static struct openai *openai_of(struct speaker *s)
{
    return container_of(s, struct openai, s);
}

/* ---- the request ---- */

static void say(struct speaker *s, const struct provider_input *in, struct slice text,
                struct intents *out)
{
    const struct speaker_loaded *l = in->config->loaded;
    struct openai *o = openai_of(s);
    struct provider_intent *intent;
    size_t from;
    struct jsonw w;

    speaker_message_begin(&w, out, &from);
    jsonw_put_str(&w, "input", text);
    builder_u8(&out->bytes, ',');
    builder_slice_add(&out->bytes, slice_of(l->begin, l->begin_len));
    jsonw_end(&w);
    if (jsonw_finish(&w)) {
        out->bad = true;
        return;
    }
    intent = intents_add(out, INTENT_REQUEST);
    intent->epoch = s->clauses[0].epoch;
    intent->data = slice_str(l->url);
    intent->head = slice_str(l->head);
    intent->body = slice_of(out->bytes.at + from, out->bytes.len - from);
    o->open = true;
    o->status = 0;
    o->body = BODY_HEAD;
    o->head_len = o->piece_len = 0;
}

static void lost(struct speaker *s)
{
    openai_of(s)->open = false;
}

static void cancel(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    (void)in;
    (void)now_ns;
    if (!openai_of(s)->open)
        return;
    intents_add(out, INTENT_CLOSE);
    lost(s);
}

/* ---- the response ---- */

static uint32_t le32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

enum wav { WAV_MORE, WAV_NONE, WAV_FOUND, WAV_WRONG };

/* Where the sound begins, once that can be told. */
static enum wav wav_look(const struct openai *o, uint32_t rate_hz, uint32_t *sound_at)
{
    const uint8_t *h = o->head;
    uint32_t at = 12;
    bool fits = false;

    if (memcmp(h, "RIFF", o->head_len < 4 ? o->head_len : 4) != 0)
        return WAV_NONE;
    while (at + 8 <= o->head_len) { /* ends: each part is at least its own head */
        uint32_t len = le32(h + at + 4);
        if (memcmp(h + at, "data", 4) == 0) {
            *sound_at = at + 8;
            return fits ? WAV_FOUND : WAV_WRONG;
        }
        if (len > WAV_MAX)
            return WAV_WRONG;
        if (memcmp(h + at, "fmt ", 4) == 0 && len >= 16 && at + 24 <= o->head_len)
            fits = h[at + 8] == 1 && h[at + 9] == 0 && h[at + 10] == 1 && h[at + 11] == 0 &&
                   le32(h + at + 12) == rate_hz && h[at + 22] == 16;
        at += 8 + len + (len & 1);
    }
    return o->head_len == WAV_MAX ? WAV_WRONG : WAV_MORE;
}

static void piece_give(struct openai *o, const struct provider_input *in, int64_t now_ns,
                       struct intents *out)
{
    speaker_sound(&o->s, in, slice_of(o->piece, o->piece_len), now_ns, out);
    o->piece_len = 0;
}

static void sound_put(struct openai *o, const struct provider_input *in, struct slice pcm,
                      int64_t now_ns, struct intents *out)
{
    while (pcm.len) {
        size_t room = PIECE_BYTES - o->piece_len, n = pcm.len < room ? pcm.len : room;
        memcpy(o->piece + o->piece_len, pcm.at, n);
        o->piece_len += (uint32_t)n;
        pcm = slice_of(pcm.at + n, pcm.len - n);
        if (o->piece_len == PIECE_BYTES)
            piece_give(o, in, now_ns, out);
    }
}

static void give_up(struct openai *o, int32_t status, const char *what, struct intents *out)
{
    if (o->open)
        intents_add(out, INTENT_CLOSE);
    o->open = false;
    speaker_fail(&o->s, status, what, out);
}

/* The first bytes wait until it is known whether they are sound. */
static void take_head(struct openai *o, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    size_t room = sizeof(o->head) - o->head_len;
    size_t n = in->data.len < room ? in->data.len : room;
    uint32_t at = 0;

    memcpy(o->head + o->head_len, in->data.at, n);
    o->head_len += (uint32_t)n;
    enum wav found = wav_look(o, provider_rate_hz(&tts_openai, in->config), &at);
    if (found == WAV_MORE)
        return;
    if (found == WAV_WRONG) {
        give_up(o, EPROTO, "it speaks in another format: see tts.sample_rate", out);
        return;
    }
    o->body = BODY_SOUND;
    sound_put(o, in, slice_of(o->head + at, o->head_len - at), now_ns, out);
    sound_put(o, in, slice_of(in->data.at + n, in->data.len - n), now_ns, out);
}

static void take_chunk(struct openai *o, const struct provider_input *in, int64_t now_ns,
                       struct intents *out)
{
    if (!o->open || o->status < 200 || o->status > 299 || !in->data.len)
        return;
    if (in->data.len > CHUNK_MAX)
        give_up(o, EMSGSIZE, "a piece of sound is longer than fits", out);
    else if (o->body == BODY_HEAD)
        take_head(o, in, now_ns, out);
    else
        sound_put(o, in, in->data, now_ns, out);
}

static void refused(struct openai *o, int32_t status, struct intents *out)
{
    if (cloud_is_fatal(status))
        o->s.fatal = status;
    speaker_fail(&o->s, status, cloud_says(status), out);
}

static void take_end(struct openai *o, const struct provider_input *in, int64_t now_ns,
                     struct intents *out)
{
    bool was_open = o->open;

    o->open = false;
    if (!was_open)
        return;
    if (o->status < 200 || o->status > 299)
        refused(o, o->status, out);
    else if (o->body == BODY_HEAD && o->head_len)
        speaker_broken(&o->s, EPROTO, "its sound ends before it begins", now_ns, out);
    else {
        piece_give(o, in, now_ns, out);
        speaker_spoken(&o->s, in, now_ns, out);
    }
}

/* Before a status the actor has tried again already. */
static void take_closed(struct openai *o, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    bool was_open = o->open;
    int32_t status = in->status ? in->status : EPIPE;

    o->open = false;
    if (was_open && o->status)
        speaker_broken(&o->s, status, cloud_says(in->status), now_ns, out);
    else if (was_open)
        refused(o, status, out);
}

static void message(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    struct openai *o = openai_of(s);

    if (in->kind == INPUT_STATUS)
        o->status = in->status;
    else if (in->kind == INPUT_CHUNK)
        take_chunk(o, in, now_ns, out);
    else if (in->kind == INPUT_END)
        take_end(o, in, now_ns, out);
    else if (in->kind == INPUT_CLOSED)
        take_closed(o, in, now_ns, out);
}

static const struct speaker_dialect dialect = {.by_request = true,
                                               .alone = true,
                                               .say = say,
                                               .cancel = cancel,
                                               .message = message,
                                               .lost = lost};

static void openai_step(void *state, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    struct openai *o = state;

    speaker_step(&o->s, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

static uint32_t openai_rate(const struct provider_config *config)
{
    return provider_setting(config, "sample_rate", NULL) ? speaker_rate(config) : RATE_HZ;
}

static bool begin_put(struct cloud *c, struct speaker_loaded *l, bool is_own)
{
    const char *instructions = provider_setting(c->config, "instructions", "");
    uint8_t store[SPEAKER_BEGIN_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    double speed = speaker_speed(c, 0.25, 4);
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_str(&w, "model", cloud_model(c, is_own ? OWN_MODEL : OTHER_MODEL));
    jsonw_put_str(&w, "voice", speaker_voice(c, OWN_VOICE));
    if (instructions[0])
        jsonw_put_cstr(&w, "instructions", instructions);
    jsonw_put_cstr(&w, "response_format", "pcm");
    if (speed > 0) {
        jsonw_key(&w, "speed");
        jsonw_double(&w, speed, 2);
    }
    jsonw_end(&w);
    if (jsonw_finish(&w))
        return false;
    l->begin_len = b.len - 2; /* the members, without the braces */
    memcpy(l->begin, store + 1, l->begin_len);
    return true;
}

static int openai_load(const struct provider_config *config, const void **loaded, char *why,
                       size_t why_bytes)
{
    struct cloud c = cloud_begin(&tts_openai, config, why, why_bytes);
    struct speaker_loaded *l = speaker_loaded_new();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    bool is_own;

    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "https http", &is_own));
    builder_str(&url, "/audio/speech");
    struct slice key = cloud_key(&c, is_own);
    web_header(&head, "Content-Type", SLICE("application/json"));
    if (key.len)
        web_header_word(&head, "Authorization", "Bearer", key);
    bool fits = begin_put(&c, l, is_own) && !url.bad && !head.bad;
    return speaker_load_end(&c, l, fits, loaded);
}

const struct provider_ops tts_openai = {
    .name = "openai",
    .kind = PROVIDER_TTS,
    .summary = "OpenAI's speech, and every server that speaks it: a request for each clause",
    .settings = "api_key base_url sample_rate instructions timeout_ms",
    .rate_hz = RATE_HZ,
    .state_bytes = sizeof(struct openai),
    .ahead = true,
    .key_env = "OPENAI_API_KEY",
    .rate = openai_rate,
    .load = openai_load,
    .unload = cloud_unload,
    .step = openai_step,
    .deadline = speaker_deadline,
};
