/* ElevenLabs' speech by `stream-input`: a WebSocket speaks until its text is ended, says that its
 * sound is complete, and is done with. So each clause has a socket, which was opened while the one
 * before it was heard. Formats: ElevenLabs' SDK and documentation, see
 * docs/providers/elevenlabs.md. */
#include <errno.h>

#include "provider/speaker.h"

#define OWN_URL   "wss://api.elevenlabs.io/v1"
#define OWN_VOICE "21m00Tcm4TlvDq8ikWAM"
#define OWN_MODEL "eleven_flash_v2_5"
#define IDLE_S    180 /* the longest that the service waits for text */
#define UNSET     (-1)

extern const struct provider_ops tts_elevenlabs;

struct eleven {
    struct speaker s;
};

static const struct speaker_dialect dialect;

/* ---- what is asked ---- */

static void text_send(struct slice text, struct slice members, struct intents *out)
{
    struct jsonw w;
    size_t from;

    speaker_message_begin(&w, out, &from);
    jsonw_put_str(&w, "text", text);
    if (members.len) {
        builder_u8(&out->bytes, ',');
        builder_slice_add(&out->bytes, members);
    }
    speaker_message_send(&w, from, out);
}

/* The first message is a blank with the settings, the last one is empty. */
static void say(struct speaker *s, const struct provider_input *in, struct slice text,
                struct intents *out)
{
    const struct speaker_loaded *l = in->config->loaded;
    uint8_t store[SPEAKER_TEXT_BYTES + 1];
    struct builder clause = builder_of(store, sizeof(store));
    (void)s;

    builder_slice_add(&clause, text);
    builder_u8(&clause, ' ');
    text_send(SLICE(" "), slice_of(l->begin, l->begin_len), out);
    text_send(builder_slice(&clause), SLICE_NONE, out);
    text_send(SLICE(""), SLICE_NONE, out);
}

static void cancel(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    if (s->asked)
        speaker_renew(s, &dialect, in, now_ns, out);
}

static void lost(struct speaker *s)
{
    (void)s;
}

/* ---- what comes ---- */

/* The service's own words for what is wrong, as the status that other services have for it. */
static int32_t status_of(const struct json_doc *doc)
{
    static const struct {
        const char *word;
        int32_t status;
    } words[] = {
        {"invalid_api_key", 401},          {"invalid_authorization_header", 401},
        {"missing_permissions", 403},      {"quota_exceeded", 402},
        {"voice_not_found", 404},          {"model_not_found", 404},
        {"max_active_conversations", 429}, {"too_many_concurrent_requests", 429},
        {"rate_limit_exceeded", 429},      {"system_busy", 429},
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_is(doc, "error", words[i].word))
            return words[i].status;
    return 500;
}

static bool is_final(const struct json_doc *doc)
{
    bool final = false;

    if (json_bool_of(doc, "isFinal", &final) && json_bool_of(doc, "is_final", &final))
        return false;
    return final;
}

/* An error of an idle socket is that it is idle, unless trying again is no use. */
static void take(struct speaker *s, const struct provider_input *in, const struct json_doc *doc,
                 int64_t now_ns, struct intents *out)
{
    if (json_slice_of(doc, "error").len) {
        int32_t status = status_of(doc);
        if (s->asked || cloud_is_fatal(status))
            speaker_restart(s, &dialect, in, status, cloud_says(status), now_ns, out);
        return;
    }
    if (json_slice_of(doc, "audio").len)
        speaker_sound_base64(s, in, json_slice_of(doc, "audio"), now_ns, out);
    if (!is_final(doc) || !s->asked)
        return;
    speaker_spoken(s, in, now_ns, out);
    speaker_renew(s, &dialect, in, now_ns, out);
}

static void message(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    struct json_doc doc;

    if (in->kind != INPUT_BYTES || !in->flag ||
        json_read(&doc, in->data, SPEAKER_MESSAGE_BYTES, NULL))
        return; /* what is not understood is no sound */
    take(s, in, &doc, now_ns, out);
    json_free(&doc);
}

static const struct speaker_dialect dialect = {
    .alone = true, .say = say, .cancel = cancel, .message = message, .lost = lost};

static void eleven_step(void *state, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    struct eleven *e = state;

    speaker_step(&e->s, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

/* It becomes a part of the path. */
static bool is_identifier(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return text.len > 0;
}

/* Only these models let themselves be told a language. */
static bool takes_language(struct slice model)
{
    return model.len && memmem(model.at, model.len, "_v2_5", 5);
}

static void url_put(struct cloud *c, struct builder *url, bool *is_own)
{
    struct slice voice = speaker_voice(c, OWN_VOICE), model = cloud_model(c, OWN_MODEL);
    struct slice language = speaker_language(c->config);
    uint8_t store[32];
    struct builder format = builder_of(store, sizeof(store));

    if (!is_identifier(voice))
        cloud_complain(c, "voice", "must be a voice's identifier: letters and digits");
    builder_printf(&format, "pcm_%u", provider_rate_hz(c->ops, c->config));
    builder_slice_add(url, cloud_base_url(c, OWN_URL, "wss ws", is_own));
    builder_str(url, "/text-to-speech/");
    builder_slice_add(url, voice);
    builder_str(url, "/stream-input");
    web_query(url, "model_id", model);
    web_query(url, "output_format", builder_slice(&format));
    web_query(url, "auto_mode", SLICE("true"));
    web_query_int(url, "inactivity_timeout", IDLE_S);
    if (language.len && takes_language(model))
        web_query(url, "language_code", language);
}

static void percent_put(struct cloud *c, const char *key, const char *name, struct jsonw *w)
{
    int64_t percent = cloud_whole(c, key, UNSET, 0, 100);

    if (percent == UNSET)
        return;
    jsonw_key(w, name);
    jsonw_double(w, (double)percent / 100, 2);
}

static bool begin_put(struct cloud *c, struct speaker_loaded *l)
{
    struct builder b = builder_of(l->begin, sizeof(l->begin));
    double speed = speaker_speed(c, 0.7, 1.2);
    struct jsonw w;

    builder_str(&b, "\"voice_settings\":");
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    percent_put(c, "stability_percent", "stability", &w);
    percent_put(c, "similarity_percent", "similarity_boost", &w);
    if (speed > 0) {
        jsonw_key(&w, "speed");
        jsonw_double(&w, speed, 2);
    }
    jsonw_end(&w);
    l->begin_len = b.len;
    if (slice_equal(builder_slice(&b), SLICE("\"voice_settings\":{}")))
        l->begin_len = 0; /* the voice's own */
    return jsonw_finish(&w) == 0;
}

static int eleven_load(const struct provider_config *config, const void **loaded, char *why,
                       size_t why_bytes)
{
    struct cloud c = cloud_begin(&tts_elevenlabs, config, why, why_bytes);
    struct speaker_loaded *l = speaker_loaded_new();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    bool is_own;

    url_put(&c, &url, &is_own);
    struct slice key = cloud_key(&c, is_own);
    if (key.len)
        web_header(&head, "xi-api-key", key);
    bool fits = begin_put(&c, l) && !url.bad && !head.bad;
    return speaker_load_end(&c, l, fits, loaded);
}

const struct provider_ops tts_elevenlabs = {
    .name = "elevenlabs",
    .kind = PROVIDER_TTS,
    .summary = "ElevenLabs' streaming speech",
    .settings = "api_key base_url sample_rate stability_percent similarity_percent timeout_ms",
    .rate_hz = 16000,
    .state_bytes = sizeof(struct eleven),
    .ahead = true,
    .key_env = "ELEVENLABS_API_KEY",
    .rate = speaker_rate,
    .load = eleven_load,
    .unload = cloud_unload,
    .step = eleven_step,
    .deadline = speaker_deadline,
};
