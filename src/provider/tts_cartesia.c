/* Cartesia's speech: one WebSocket for the whole call, one context on it for each reply, whose
 * clauses go out as they come and are told apart by a flush behind each. Raw PCM16 comes back in
 * JSON. Formats: Cartesia's SDK and documentation, see docs/providers/cartesia.md. */
#include <stdio.h>

#include "provider/speaker.h"

#define OWN_URL        "wss://api.cartesia.ai/tts/websocket"
#define OWN_VOICE      "794f9389-aac1-45b6-b726-9d9369183238"
#define VERSION        "2025-04-16" /* of the interface: what is sent and read below is of it */
#define ID_BYTES       24
#define EXPIRED_STATUS 400

extern const struct provider_ops tts_cartesia;

struct cartesia {
    struct speaker s;
    uint32_t context; /* number of the last one */
    bool alive;       /* it is at the service, and answers to its number count */
    bool open;        /* it takes more text */
    bool reused;      /* it was given more than one clause */
    uint32_t epoch;   /* whose it is */
};

static struct cartesia *cartesia_of(struct speaker *s)
{
    return container_of(s, struct cartesia, s);
}

static const char *id_of(const struct cartesia *k, char *store)
{
    snprintf(store, ID_BYTES, "reply-%u-%u", k->epoch, k->context);
    return store;
}

/* ---- what is asked ---- */

/* All requests of a context repeat the same model, voice and format. */
static void text_send(struct cartesia *k, const struct provider_input *in, struct slice text,
                      struct intents *out)
{
    const struct speaker_loaded *l = in->config->loaded;
    uint8_t store[SPEAKER_TEXT_BYTES + 1];
    struct builder clause = builder_of(store, sizeof(store));
    char id[ID_BYTES];
    struct jsonw w;
    size_t from;

    builder_slice_add(&clause, text);
    if (text.len)
        builder_u8(&clause, ' '); /* fragments are joined as they are */
    speaker_message_begin(&w, out, &from);
    jsonw_put_str(&w, "transcript", builder_slice(&clause));
    jsonw_put_cstr(&w, "context_id", id_of(k, id));
    jsonw_put_bool(&w, "continue", text.len > 0);
    if (text.len)
        jsonw_put_bool(&w, "flush", true);
    builder_u8(&out->bytes, ',');
    builder_slice_add(&out->bytes, slice_of(l->begin, l->begin_len));
    speaker_message_send(&w, from, out);
}

static void finish(struct speaker *s, const struct provider_input *in, struct intents *out)
{
    struct cartesia *k = cartesia_of(s);

    if (k->open)
        text_send(k, in, SLICE_NONE, out);
    k->open = false;
}

static void say(struct speaker *s, const struct provider_input *in, struct slice text,
                struct intents *out)
{
    struct cartesia *k = cartesia_of(s);
    uint32_t epoch = s->clauses[0].epoch;

    if (k->open && k->epoch != epoch)
        finish(s, in, out);
    k->reused = k->open;
    if (!k->open)
        k->context++;
    k->epoch = epoch;
    k->open = k->alive = true;
    text_send(k, in, text, out);
}

static void take_back(struct cartesia *k, struct intents *out)
{
    char id[ID_BYTES];
    struct jsonw w;
    size_t from;

    if (!k->alive)
        return;
    speaker_message_begin(&w, out, &from);
    jsonw_put_cstr(&w, "context_id", id_of(k, id));
    jsonw_put_bool(&w, "cancel", true);
    speaker_message_send(&w, from, out);
    k->alive = k->open = false;
}

static void cancel(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    struct cartesia *k = cartesia_of(s);
    (void)now_ns;

    if (k->epoch <= in->epoch)
        take_back(k, out);
}

static void lost(struct speaker *s)
{
    cartesia_of(s)->alive = cartesia_of(s)->open = false;
}

/* ---- what comes ---- */

/* An idle context ends by itself, and a clause that crosses its end is refused: in a new one it
 * may not be. */
static void take_error(struct cartesia *k, const struct json_doc *doc, int64_t now_ns,
                       struct intents *out)
{
    int64_t status = 0;

    if (json_int_of(doc, "status_code", 0, 599, &status))
        status = 500;
    k->alive = k->open = false;
    if (status == EXPIRED_STATUS && k->reused)
        status = 409;
    speaker_broken(&k->s, (int32_t)status, cloud_says((int32_t)status), now_ns, out);
}

static bool is_ours(const struct cartesia *k, const struct json_doc *doc)
{
    char id[ID_BYTES];

    return k->alive && json_is(doc, "context_id", id_of(k, id));
}

static void take_done(struct cartesia *k, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    k->alive = k->open = false;
    for (uint32_t n = k->s.asked; n; n--)
        speaker_spoken(&k->s, in, now_ns, out);
}

static void take(struct cartesia *k, const struct provider_input *in, const struct json_doc *doc,
                 int64_t now_ns, struct intents *out)
{
    bool ours = is_ours(k, doc);
    bool error = json_is(doc, "type", "error");

    if (error && (ours || json_kind_of(doc, "context_id") == JSON_KIND_NONE))
        take_error(k, doc, now_ns, out);
    else if (ours && json_is(doc, "type", "chunk"))
        speaker_sound_base64(&k->s, in, json_slice_of(doc, "data"), now_ns, out);
    else if (ours && json_is(doc, "type", "flush_done"))
        speaker_spoken(&k->s, in, now_ns, out);
    else if (ours && json_is(doc, "type", "done"))
        take_done(k, in, now_ns, out);
}

static void message(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    struct json_doc doc;

    if (in->kind != INPUT_BYTES || !in->flag ||
        json_read(&doc, in->data, SPEAKER_MESSAGE_BYTES, NULL))
        return; /* what is not understood is no sound */
    take(cartesia_of(s), in, &doc, now_ns, out);
    json_free(&doc);
}

static const struct speaker_dialect dialect = {
    .say = say, .finish = finish, .cancel = cancel, .message = message, .lost = lost};

static void cartesia_step(void *state, const struct provider_input *in, int64_t now_ns,
                          struct intents *out)
{
    struct cartesia *k = state;

    speaker_step(&k->s, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

static void output_format_put(struct cloud *c, struct jsonw *w)
{
    jsonw_key(w, "output_format");
    jsonw_begin(w);
    jsonw_put_cstr(w, "container", "raw");
    jsonw_put_cstr(w, "encoding", "pcm_s16le");
    jsonw_put_int(w, "sample_rate", provider_rate_hz(c->ops, c->config));
    jsonw_end(w);
}

static bool begin_put(struct cloud *c, struct speaker_loaded *l)
{
    uint8_t store[SPEAKER_BEGIN_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct slice emotion = cloud_text(c, "emotion", "");
    double speed = speaker_speed(c, 0.6, 1.5);
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_str(&w, "model_id", cloud_model(c, "sonic-3"));
    jsonw_key(&w, "voice");
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "mode", "id");
    jsonw_put_str(&w, "id", speaker_voice(c, OWN_VOICE));
    jsonw_end(&w);
    if (speaker_language(c->config).len)
        jsonw_put_str(&w, "language", speaker_language(c->config));
    output_format_put(c, &w);
    if (speed > 0 || emotion.len) {
        jsonw_key(&w, "generation_config");
        jsonw_begin(&w);
        if (speed > 0) {
            jsonw_key(&w, "speed");
            jsonw_double(&w, speed, 2);
        }
        if (emotion.len)
            jsonw_put_str(&w, "emotion", emotion);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    if (jsonw_finish(&w))
        return false;
    l->begin_len = b.len - 2; /* the members, without the braces */
    memcpy(l->begin, store + 1, l->begin_len);
    return true;
}

static int cartesia_load(const struct provider_config *config, const void **loaded, char *why,
                         size_t why_bytes)
{
    struct cloud c = cloud_begin(&tts_cartesia, config, why, why_bytes);
    struct speaker_loaded *l = speaker_loaded_new();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    bool is_own;

    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "wss ws", &is_own));
    struct slice key = cloud_key(&c, is_own);
    if (key.len)
        web_header(&head, "X-API-Key", key);
    web_header(&head, "Cartesia-Version", cloud_text(&c, "version", VERSION));
    bool fits = begin_put(&c, l) && !url.bad && !head.bad;
    return speaker_load_end(&c, l, fits, loaded);
}

const struct provider_ops tts_cartesia = {
    .name = "cartesia",
    .kind = PROVIDER_TTS,
    .summary = "Cartesia's streaming speech",
    .settings = "api_key base_url sample_rate version emotion timeout_ms",
    .rate_hz = 16000,
    .state_bytes = sizeof(struct cartesia),
    .ahead = true,
    .key_env = "CARTESIA_API_KEY",
    .rate = speaker_rate,
    .load = cartesia_load,
    .unload = cloud_unload,
    .step = cartesia_step,
    .deadline = speaker_deadline,
};
