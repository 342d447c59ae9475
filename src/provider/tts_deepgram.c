/* Deepgram's speech (Aura, `speak` version 1): one WebSocket for the whole call. Each clause is a
 * Speak and a Flush, whose Flushed comes behind the last of its sound; Clear takes everything back,
 * and what comes before its Cleared is of what was taken back. Formats: Deepgram's SDK and
 * documentation, see docs/providers/deepgram-tts.md. */
#include <errno.h>

#include "provider/speaker.h"

#define OWN_URL       "wss://api.deepgram.com/v1/speak"
#define OWN_MODEL     "aura-2-thalia-en"
#define SOUND_MAX     65000 /* bytes of one message of sound; beyond: the socket is made anew */
#define MULAW_RATE_HZ 8000

extern const struct provider_ops tts_deepgram;

struct aura {
    struct speaker s;
    uint32_t clears; /* that were not answered */
};

static struct aura *aura_of(struct speaker *s)
{
    return container_of(s, struct aura, s);
}

/* ---- what is asked ---- */

static void type_send(const char *type, struct intents *out)
{
    struct jsonw w;
    size_t from;

    speaker_message_begin(&w, out, &from);
    jsonw_put_cstr(&w, "type", type);
    speaker_message_send(&w, from, out);
}

static void say(struct speaker *s, const struct provider_input *in, struct slice text,
                struct intents *out)
{
    struct jsonw w;
    size_t from;
    (void)s;
    (void)in;

    speaker_message_begin(&w, out, &from);
    jsonw_put_cstr(&w, "type", "Speak");
    jsonw_put_str(&w, "text", text);
    speaker_message_send(&w, from, out);
    type_send("Flush", out);
}

static void cancel(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    (void)in;
    (void)now_ns;
    if (!s->asked)
        return;
    type_send("Clear", out);
    aura_of(s)->clears++;
}

static void lost(struct speaker *s)
{
    aura_of(s)->clears = 0;
}

/* ---- what comes ---- */

static const struct speaker_dialect dialect;

static void take_sound(struct aura *a, const struct provider_input *in, int64_t now_ns,
                       struct intents *out)
{
    if (a->clears)
        return;
    if (in->data.len > SOUND_MAX)
        speaker_restart(&a->s, &dialect, in, EMSGSIZE, "a piece of sound is longer than fits",
                        now_ns, out);
    else if (cloud_wants_mulaw(in->config, "linear16"))
        speaker_sound_mulaw(&a->s, in, in->data, now_ns, out);
    else
        speaker_sound(&a->s, in, in->data, now_ns, out);
}

static void take(struct aura *a, const struct provider_input *in, const struct json_doc *doc,
                 int64_t now_ns, struct intents *out)
{
    if (json_is(doc, "type", "Cleared"))
        a->clears -= a->clears > 0;
    else if (json_is(doc, "type", "Flushed") && !a->clears)
        speaker_spoken(&a->s, in, now_ns, out);
    else if (json_is(doc, "type", "Error"))
        speaker_restart(&a->s, &dialect, in, EPROTO, "the service has an error of its own", now_ns,
                        out);
}

static void message(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    struct json_doc doc;

    if (in->kind != INPUT_BYTES)
        return;
    if (!in->flag) {
        take_sound(aura_of(s), in, now_ns, out);
        return;
    }
    if (json_read(&doc, in->data, SPEAKER_MESSAGE_BYTES, NULL))
        return;
    take(aura_of(s), in, &doc, now_ns, out);
    json_free(&doc);
}

static const struct speaker_dialect dialect = {
    .say = say, .cancel = cancel, .message = message, .lost = lost};

static void aura_step(void *state, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    struct aura *a = state;

    speaker_step(&a->s, &dialect, in, now_ns, out);
}

/* ---- loading ---- */

static uint32_t aura_rate(const struct provider_config *config)
{
    return cloud_wants_mulaw(config, "linear16") ? MULAW_RATE_HZ : speaker_rate(config);
}

static void speed_put(struct cloud *c, struct builder *url)
{
    double speed = speaker_speed(c, 0.7, 1.5);
    uint8_t store[16];
    struct builder text = builder_of(store, sizeof(store));

    if (speed <= 0)
        return;
    builder_printf(&text, "%.2f", speed);
    web_query(url, "speed", builder_slice(&text));
}

static void url_put(struct cloud *c, struct builder *url, bool *is_own)
{
    const struct provider_config *config = c->config;
    struct slice voice = speaker_voice(c, OWN_MODEL);

    builder_slice_add(url, cloud_base_url(c, OWN_URL, "wss ws", is_own));
    web_query(url, "model", cloud_model(c, (const char *)voice.at));
    web_query(url, "encoding", cloud_choice(c, "encoding", "linear16", "linear16 mulaw"));
    web_query_int(url, "sample_rate", provider_rate_hz(c->ops, config));
    if (cloud_wants_mulaw(config, "linear16") && provider_setting(config, "sample_rate", NULL) &&
        speaker_rate(config) != MULAW_RATE_HZ)
        cloud_complain(c, "sample_rate", "mulaw has 8000");
    speed_put(c, url);
    if (cloud_flag(c, "mip_opt_out", false))
        web_query(url, "mip_opt_out", SLICE("true"));
}

static int aura_load(const struct provider_config *config, const void **loaded, char *why,
                     size_t why_bytes)
{
    struct cloud c = cloud_begin(&tts_deepgram, config, why, why_bytes);
    struct speaker_loaded *l = speaker_loaded_new();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    bool is_own;

    url_put(&c, &url, &is_own);
    struct slice key = cloud_key(&c, is_own);
    if (key.len)
        web_header_word(&head, "Authorization", "Token", key);
    return speaker_load_end(&c, l, !url.bad && !head.bad, loaded);
}

const struct provider_ops tts_deepgram = {
    .name = "deepgram",
    .kind = PROVIDER_TTS,
    .summary = "Deepgram's streaming speech, Aura",
    .settings = "api_key base_url encoding sample_rate mip_opt_out timeout_ms",
    .rate_hz = 16000,
    .state_bytes = sizeof(struct aura),
    .ahead = true,
    .key_env = "DEEPGRAM_API_KEY",
    .rate = aura_rate,
    .load = aura_load,
    .unload = cloud_unload,
    .step = aura_step,
    .deadline = speaker_deadline,
};
