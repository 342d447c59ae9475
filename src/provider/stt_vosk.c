/* vosk-server's WebSocket: a recogniser of one's own, reached over the network. Each utterance has
 * a socket of its own, since only the end of a stream gives a final at once; the next one is opened
 * as soon as the last has answered. Every message is answered by exactly one, which tells what has
 * been heard and bounds what is under way. Format: vosk-server's source, see
 * docs/providers/vosk.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "provider/cloud.h"
#include "provider/utterance.h"
#include "provider/web.h"

#define OWN_URL       "ws://127.0.0.1:2700"
#define PIECE_MS      100 /* the server works through each message on its own */
#define IN_FLIGHT_MAX 16  /* messages without an answer: more wait here */
#define LATE_NS       SECONDS(3)
#define RETRY_NS      SECONDS(1)
#define WORDS_MAX     256 /* whose confidence is looked at */
#define MESSAGE_MAX   65536

extern const struct provider_ops stt_vosk;

struct loaded {
    uint32_t bytes_per_s;
    size_t url_len;
    size_t config_len;
    char url[WEB_URL_MAX + 1];
    char config[4096];
};

enum link { LINK_DOWN, LINK_CONNECTING, LINK_UP };

struct vosk {
    enum link link;
    int32_t status;
    int64_t down_ns;
    uint32_t asked;   /* messages of sound on this socket */
    uint32_t answers; /* to them, and to the end */
    bool ended;       /* the end of the stream is said */
    uint64_t sent_at;
    struct utterance u;
};

static const struct loaded *loaded_of(const struct provider_input *in)
{
    return in->config->loaded;
}

/* ---- the socket ---- */

static void connect_now(struct vosk *v, const struct loaded *l, struct intents *out)
{
    intents_add(out, INTENT_CONNECT)->data = slice_of(l->url, l->url_len);
    v->link = LINK_CONNECTING;
}

static void send_text(struct slice text, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_SEND);

    intent->flag = 1;
    intent->body = text;
}

/* A recogniser that has heard nothing yet. What the actor gave to this one comes again. */
static void start_anew(struct vosk *v, const struct loaded *l, struct intents *out)
{
    intents_add(out, INTENT_CLOSE);
    utterance_lost(&v->u, 0, "the recogniser was too slow", out);
    connect_now(v, l, out);
}

static void came_up(struct vosk *v, const struct loaded *l, struct intents *out)
{
    v->link = LINK_UP;
    v->asked = v->answers = 0;
    v->ended = false;
    v->sent_at = v->u.begin;
    send_text(slice_of(l->config, l->config_len), out);
}

static void went_down(struct vosk *v, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    bool was_up = v->link == LINK_UP;

    v->link = LINK_DOWN;
    v->status = in->status;
    v->down_ns = now_ns;
    utterance_lost(&v->u, in->status, cloud_says(in->status), out);
    if (was_up)
        connect_now(v, loaded_of(in), out);
    else if (v->u.owed)
        utterance_close(&v->u, in->status, cloud_says(in->status), out);
}

/* ---- sound ---- */

static void pump(struct vosk *v, const struct loaded *l, struct intents *out)
{
    size_t piece = l->bytes_per_s * PIECE_MS / 1000;
    uint64_t limit = utterance_limit(&v->u);

    if (v->link != LINK_UP || v->ended)
        return;
    if (v->sent_at < v->u.begin)
        v->sent_at = v->u.begin;
    while (v->sent_at < limit && v->asked - v->answers < IN_FLIGHT_MAX &&
           (limit - v->sent_at >= piece || v->u.finishing)) {
        struct provider_intent *intent = intents_add(out, INTENT_SEND);
        intent->body = utterance_peek(&v->u, v->sent_at, piece);
        v->sent_at += intent->body.len;
        v->asked++;
    }
    if (!v->u.finishing || v->sent_at < limit)
        return;
    if (v->asked == 0) { /* there was no sound, so there are no words but those known */
        utterance_final(&v->u, out);
        return;
    }
    send_text(SLICE("{\"eof\" : 1}"), out); /* the servers compare it as it stands */
    v->ended = true;
}

/* ---- words ---- */

static uint32_t confidence_of(const struct json_doc *doc)
{
    size_t count = json_count_of(doc, "result");
    double sum = 0, one;
    char path[32];

    count = count < WORDS_MAX ? count : WORDS_MAX;
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "result.%zu.conf", i);
        if (json_double_of(doc, path, &one) || !(one >= 0 && one <= 1))
            one = 1;
        sum += one;
    }
    return count ? (uint32_t)(sum * 100 / (double)count) : 100;
}

/* A whole sentence in the middle of an utterance: what it was heard from need not come again. */
static void say_sentence(struct vosk *v, struct intents *out)
{
    utterance_partial(&v->u, true, out);
    if (!v->u.epoch)
        return;
    out->list[out->count - 1].flag |= EVENT_KEPT;
    out->list[out->count - 1].heard_ms = v->answers * PIECE_MS;
}

static void take_words(struct vosk *v, const struct json_doc *doc, bool last, struct intents *out)
{
    struct slice partial = json_slice_of(doc, "partial"), text = json_slice_of(doc, "text");

    if (!text.at)
        text = json_slice_of(doc, "alternatives.0.text");
    if (text.at) {
        utterance_words(&v->u, text, confidence_of(doc));
        if (text.len && !last)
            say_sentence(v, out);
    } else if (partial.at) {
        utterance_tail(&v->u, partial);
        if (partial.len && !last)
            utterance_partial(&v->u, false, out);
    }
}

static void take_message(struct vosk *v, const struct provider_input *in, struct intents *out)
{
    struct json_doc doc;
    bool last = v->ended && v->answers >= v->asked;

    if (!in->flag || v->link != LINK_UP)
        return;
    v->answers++;
    if (json_read(&doc, in->data, MESSAGE_MAX, NULL) == 0) {
        take_words(v, &doc, last, out);
        json_free(&doc);
    }
    if (!last)
        return;
    utterance_final(&v->u, out);
    start_anew(v, loaded_of(in), out);
}

/* ---- the step ---- */

static void take_sound(struct vosk *v, const struct provider_input *in, struct intents *out)
{
    if (utterance_open(&v->u, in->epoch, out) && v->link == LINK_UP)
        utterance_put(&v->u, in->data);
}

static void take_speech(struct vosk *v, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    if (!in->flag || !utterance_open(&v->u, in->epoch, out))
        return;
    if (v->link == LINK_DOWN && now_ns - v->down_ns >= RETRY_NS)
        connect_now(v, loaded_of(in), out);
}

static void finish(struct vosk *v, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    bool before = v->u.finishing;

    if (!utterance_finish(&v->u, in->epoch, now_ns, out))
        return;
    if (v->link == LINK_DOWN)
        utterance_close(&v->u, v->status, cloud_says(v->status), out);
    else if (before && v->link == LINK_UP)
        start_anew(v, loaded_of(in), out);
}

static void on_time(struct vosk *v, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    if (!v->u.owed || v->u.finish_ns + LATE_NS > now_ns)
        return;
    utterance_close(&v->u, ETIMEDOUT, "the server does not answer", out);
    if (v->link == LINK_UP)
        start_anew(v, loaded_of(in), out);
}

static void vosk_step(void *state, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    struct vosk *v = state;

    switch (in->kind) {
    case INPUT_START:
        connect_now(v, loaded_of(in), out);
        return;
    case INPUT_AUDIO:
        take_sound(v, in, out);
        break;
    case INPUT_SPEECH:
        take_speech(v, in, now_ns, out);
        break;
    case INPUT_FINISH:
        finish(v, in, now_ns, out);
        break;
    case INPUT_CANCEL:
        if (utterance_cancel(&v->u, in->epoch) && v->link == LINK_UP && v->asked)
            start_anew(v, loaded_of(in), out);
        break;
    case INPUT_OPENED:
        came_up(v, loaded_of(in), out);
        break;
    case INPUT_BYTES:
        take_message(v, in, out);
        break;
    case INPUT_CLOSED:
        went_down(v, in, now_ns, out);
        break;
    case INPUT_TIMER:
        on_time(v, in, now_ns, out);
        break;
    case INPUT_STOP:
        if (v->link != LINK_DOWN)
            intents_add(out, INTENT_CLOSE);
        return;
    case INPUT_TEXT:
    case INPUT_TURN:
    case INPUT_COMMIT:
    case INPUT_STATUS:
    case INPUT_CHUNK:
    case INPUT_END:
    case INPUT_JOB:
        return;
    }
    pump(v, loaded_of(in), out);
}

static int64_t vosk_deadline(const void *state)
{
    const struct vosk *v = state;

    return v->u.owed ? v->u.finish_ns + LATE_NS : NEVER_NS;
}

/* ---- loading ---- */

static uint32_t vosk_rate(const struct provider_config *config)
{
    return strcmp(provider_setting(config, "rate_hz", "16000"), "8000") == 0 ? 8000 : 16000;
}

/* "book|cancel an appointment" are two phrases: the recogniser hears nothing else. */
static void phrases_put(struct cloud *c, struct jsonw *w)
{
    struct slice rest = slice_str(provider_setting(c->config, "phrases", ""));

    if (!rest.len)
        return;
    jsonw_key(w, "phrase_list");
    jsonw_begin_list(w);
    while (rest.len)
        jsonw_str(w, slice_trim(slice_cut(rest, '|', &rest)));
    jsonw_end(w);
}

static int vosk_load(const struct provider_config *config, const void **loaded, char *why,
                     size_t why_bytes)
{
    struct cloud c = cloud_begin(&stt_vosk, config, why, why_bytes);
    struct loaded *l = calloc(1, sizeof(*l));
    struct jsonw w;
    bool is_own;

    if (!l)
        abort();
    struct builder url = builder_of(l->url, sizeof(l->url));
    struct builder b = builder_of(l->config, sizeof(l->config));
    cloud_choice(&c, "rate_hz", "16000", "8000 16000");
    l->bytes_per_s = vosk_rate(config) * 2;
    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "ws wss", &is_own));
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_key(&w, "config");
    jsonw_begin(&w);
    jsonw_put_int(&w, "sample_rate", vosk_rate(config));
    jsonw_put_bool(&w, "words", true);
    jsonw_put_int(&w, "max_alternatives", 0);
    phrases_put(&c, &w);
    jsonw_end(&w);
    jsonw_end(&w);
    if (jsonw_finish(&w))
        cloud_complain(&c, "phrases", "are more than %zu bytes", sizeof(l->config));
    l->url_len = url.len;
    l->config_len = b.len;
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops stt_vosk = {
    .name = "vosk",
    .kind = PROVIDER_STT,
    .summary = "a vosk-server of one's own",
    .settings = "base_url rate_hz phrases",
    .rate_hz = 16000,
    .state_bytes = sizeof(struct vosk),
    .rate = vosk_rate,
    .load = vosk_load,
    .unload = cloud_unload,
    .step = vosk_step,
    .deadline = vosk_deadline,
};
