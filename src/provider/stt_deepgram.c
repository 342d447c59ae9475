/* Deepgram's streaming recognition (`listen` version 1): one socket for the whole call, kept alive
 * between utterances. Sound goes out while an utterance lasts, Finalize when it is over; finals are
 * strung together until its answer. A lost socket is opened again, and the actor repeats what was
 * not yet understood. Formats: Deepgram's SDK and documentation, see docs/providers/deepgram.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "provider/cloud.h"
#include "provider/utterance.h"
#include "provider/web.h"

#define OWN_URL       "wss://api.deepgram.com/v1/listen"
#define HEAD_BYTES    (CLOUD_KEY_MAX + 64)
#define URL_BYTES     (WEB_URL_MAX + 2048)
#define PIECE_MS      60  /* sound is gathered up to here: a message costs more than its bytes */
#define HURRY_MS      400 /* of sound behind a pause goes as it comes: the end may be near */
#define QUIET_PART    6 /* nor is what is softer than this part of the loudest: no voice, perhaps */
#define BURST_MS      1000       /* and what has waited goes in messages of so much */
#define KEEP_ALIVE_NS SECONDS(4) /* the service hangs up after 10 s without a word */
#define RETRY_NS      SECONDS(1) /* after the actor has given up, before the next utterance tries */
#define LATE_NS       SECONDS(3) /* an utterance whose sound could not be sent by then fails */
#define NO_WORDS_NS   MS(1500)   /* how long an answer without any word may take */
#define ALIVE_MS      800        /* of sound without any message: the connection is dead */
#define SLACK_MS      50         /* within which two instants of the service's clock are the same */
#define MESSAGE_MAX   65536

extern const struct provider_ops stt_deepgram;

struct loaded {
    bool mulaw;
    uint32_t bytes_per_s;
    int64_t finalize_ns;
    char url[URL_BYTES];
    char head[HEAD_BYTES];
};

enum link { LINK_DOWN, LINK_CONNECTING, LINK_UP };

struct deepgram {
    enum link link;
    int32_t fatal;    /* status after which trying again is no use, or 0 */
    int32_t status;   /* of the last failure */
    int64_t down_ns;  /* when the actor gave up */
    int64_t spoke_ns; /* when something was sent last */
    uint64_t sent_at; /* position behind the last byte sent */
    uint64_t sent;    /* bytes on this socket: the service's clock */
    uint64_t hurry;   /* up to this position of the sound nothing is gathered */
    int loudest;      /* sample of the utterance */
    uint64_t stale;   /* its instant before which words belong to what is over; 0: none do */
    bool silent;      /* the service has sent nothing at all since this utterance began */
    uint64_t from;    /* its clock then */
    uint32_t settled; /* the epoch whose sentence is over, without a word since, or 0 */
    bool finalized;   /* Finalize is out for the utterance that is finishing */
    int64_t finalized_ns;
    int64_t finalize_ns; /* how long its answer may take */
    struct utterance u;
};

static const struct loaded *loaded_of(const struct provider_input *in)
{
    return in->config->loaded;
}

/* ---- the socket ---- */

static void send_text(struct deepgram *d, struct slice text, int64_t now_ns, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_SEND);

    intent->flag = 1;
    intent->body = text;
    d->spoke_ns = now_ns;
}

static void connect_now(struct deepgram *d, const struct loaded *l, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_CONNECT);

    intent->data = slice_str(l->url);
    intent->head = slice_str(l->head);
    d->link = LINK_CONNECTING;
}

/* The actor tries again by itself before it says that there is no connection. One that was up and
 * is lost is asked for again at once. */
static void went_down(struct deepgram *d, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    bool was_up = d->link == LINK_UP;

    d->link = LINK_DOWN;
    d->status = in->status;
    d->down_ns = now_ns;
    d->settled = 0;
    d->finalized = false;
    utterance_lost(&d->u, in->status, cloud_says(in->status), out);
    if (cloud_is_fatal(in->status)) {
        d->fatal = in->status;
        if (d->u.owed)
            utterance_fail(&d->u, in->status, true, cloud_says(in->status), out);
    } else if (was_up) {
        connect_now(d, loaded_of(in), out);
    } else if (d->u.owed) {
        utterance_close(&d->u, in->status, cloud_says(in->status), out);
    }
}

static void came_up(struct deepgram *d, int64_t now_ns)
{
    d->link = LINK_UP;
    d->sent = d->stale = d->from = 0;
    d->silent = true;
    d->sent_at = d->u.begin;
    d->finalized = false;
    d->spoke_ns = now_ns;
}

/* ---- sound ---- */

/* What has been sent is the service's past: words out of it that still come are nobody's. The
 * service's clock counts what is sent, and the actor what it gave: so the rest of it is sent too.
 */
static void forget_sent(struct deepgram *d, int64_t now_ns, struct intents *out)
{
    if (d->link == LINK_UP && d->sent && !d->finalized)
        send_text(d, SLICE("{\"type\":\"Finalize\"}"), now_ns, out);
    d->stale = d->link == LINK_UP ? d->sent : 0;
    d->finalized = false;
}

/* What waits, if it is at least `piece` bytes. */
static void send_sound(struct deepgram *d, const struct loaded *l, size_t piece, int64_t now_ns,
                       struct intents *out)
{
    size_t burst = l->bytes_per_s * BURST_MS / 1000;
    uint64_t limit = utterance_limit(&d->u);

    if (d->sent_at < d->u.begin)
        d->sent_at = d->u.begin;
    while (d->sent_at < limit && limit - d->sent_at >= piece) {
        struct provider_intent *intent = intents_add(out, INTENT_SEND);
        intent->body = utterance_peek(&d->u, d->sent_at, burst);
        d->sent_at += intent->body.len;
        d->sent += intent->body.len;
        d->spoke_ns = now_ns;
    }
}

static void pump(struct deepgram *d, const struct loaded *l, int64_t now_ns, struct intents *out)
{
    if (d->link != LINK_UP)
        return;
    bool hurry = d->u.finishing || d->sent_at < d->hurry;
    send_sound(d, l, hurry ? 1 : l->bytes_per_s * PIECE_MS / 1000, now_ns, out);
    if (!d->u.finishing || d->finalized)
        return;
    if (d->sent == 0) { /* nothing was heard on this socket, so nothing would be answered */
        utterance_final(&d->u, out);
        return;
    }
    send_text(d, SLICE("{\"type\":\"Finalize\"}"), now_ns, out);
    d->finalized = true;
    d->finalized_ns = now_ns;
    if (d->settled != d->u.epoch)
        return;
    utterance_final(&d->u, out); /* its last word is known: no answer need be waited for */
    forget_sent(d, now_ns, out);
}

/* ---- words ---- */

struct result {
    struct slice text;
    uint32_t confidence;
    uint64_t end; /* instant of the service's clock, in bytes of sound */
    bool is_final;
    bool speech_final;
    bool from_finalize;
};

/* Seconds to bytes; what no clock can show becomes 0. */
static uint64_t instant(const struct loaded *l, double seconds)
{
    return seconds > 0 && seconds < 1e6 ? (uint64_t)(seconds * l->bytes_per_s) : 0;
}

static struct result result_of(const struct json_doc *doc, const struct loaded *l)
{
    double start = 0, duration = 0, confidence = 1;
    struct result r = {.text = json_slice_of(doc, "channel.alternatives.0.transcript")};

    if (json_double_of(doc, "start", &start))
        start = 0;
    if (json_double_of(doc, "duration", &duration))
        duration = 0;
    if (json_double_of(doc, "channel.alternatives.0.confidence", &confidence))
        confidence = 1;
    if (json_bool_of(doc, "is_final", &r.is_final))
        r.is_final = false;
    if (json_bool_of(doc, "speech_final", &r.speech_final))
        r.speech_final = false;
    if (json_bool_of(doc, "from_finalize", &r.from_finalize))
        r.from_finalize = false;
    r.end = instant(l, start + duration);
    r.confidence = confidence > 0 && confidence < 1 ? (uint32_t)(confidence * 100) : 100;
    return r;
}

/* Of an utterance that is over already? */
static bool is_stale(struct deepgram *d, const struct loaded *l, const struct result *r)
{
    if (!d->stale)
        return false;
    bool old = r->end <= d->stale + l->bytes_per_s * SLACK_MS / 1000;
    if (!old || r->from_finalize)
        d->stale = 0;
    return old;
}

static void say_partial(struct deepgram *d, const struct loaded *l, const struct result *r,
                        struct intents *out)
{
    struct provider_intent *event;

    utterance_partial(&d->u, r->speech_final, out);
    if (!r->is_final || r->end == 0)
        return;
    event = &out->list[out->count - 1];
    event->flag |= EVENT_KEPT;
    event->heard_ms = (uint32_t)(r->end * 1000 / l->bytes_per_s);
}

static void take_result(struct deepgram *d, const struct loaded *l, const struct result *r,
                        struct intents *out)
{
    if (is_stale(d, l, r) || !d->u.epoch)
        return;
    if (r->is_final)
        utterance_words(&d->u, r->text, r->confidence);
    else
        utterance_tail(&d->u, r->text);
    if (r->text.len)
        d->settled = 0;
    if (r->is_final && r->speech_final && d->u.text_len)
        d->settled = d->u.epoch;
    if (r->from_finalize && d->finalized) {
        d->finalized = false;
        utterance_final(&d->u, out);
    } else if (r->text.len || r->speech_final) {
        say_partial(d, l, r, out);
    }
}

static void take_message(struct deepgram *d, const struct provider_input *in, struct intents *out)
{
    struct json_doc doc;

    d->silent = false;
    if (!in->flag || json_read(&doc, in->data, MESSAGE_MAX, NULL))
        return; /* what is not understood is no word */
    if (json_is(&doc, "type", "Results")) {
        struct result r = result_of(&doc, loaded_of(in));
        take_result(d, loaded_of(in), &r, out);
    } else if (json_is(&doc, "type", "UtteranceEnd") && d->u.text_len && !d->stale) {
        utterance_partial(&d->u, true, out);
        d->settled = d->u.tail_len ? 0 : d->u.epoch;
    }
    json_free(&doc);
}

/* ---- time ---- */

static int64_t finish_deadline(const struct deepgram *d)
{
    if (d->finalized)
        return d->finalized_ns + (d->u.text_len + d->u.tail_len ? d->finalize_ns : NO_WORDS_NS);
    return d->u.owed ? d->u.finish_ns + LATE_NS : NEVER_NS;
}

static void finish_late(struct deepgram *d, const struct loaded *l, int64_t now_ns,
                        struct intents *out)
{
    bool dead = d->finalized && d->silent && d->sent - d->from >= l->bytes_per_s * ALIVE_MS / 1000;

    if (d->finalized && !dead)
        utterance_final(&d->u, out); /* as little as was said has no answer of its own */
    else
        utterance_close(&d->u, d->status ? d->status : ETIMEDOUT, "the service does not answer",
                        out);
    forget_sent(d, now_ns, out);
    if (!dead)
        return;
    intents_add(out, INTENT_CLOSE);
    d->finalized = false;
    utterance_lost(&d->u, ETIMEDOUT, "the service does not answer", out);
    connect_now(d, l, out);
}

static void on_time(struct deepgram *d, const struct loaded *l, int64_t now_ns, struct intents *out)
{
    if (finish_deadline(d) <= now_ns)
        finish_late(d, l, now_ns, out);
    if (d->link == LINK_UP && d->spoke_ns + KEEP_ALIVE_NS <= now_ns)
        send_text(d, SLICE("{\"type\":\"KeepAlive\"}"), now_ns, out);
}

/* ---- the step ---- */

static bool open_utterance(struct deepgram *d, uint32_t epoch, struct intents *out)
{
    uint32_t before = d->u.epoch;
    bool takes = utterance_open(&d->u, epoch, out);

    if (d->u.epoch != before) {
        d->silent = true;
        d->from = d->sent;
        d->loudest = 0;
    }
    return takes;
}

static int loudest_of(struct slice pcm)
{
    int most = 0;

    for (size_t i = 0; i + 1 < pcm.len; i += 2) {
        int16_t sample;
        memcpy(&sample, pcm.at + i, sizeof(sample));
        most = abs(sample) > most ? abs(sample) : most;
    }
    return most;
}

/* The service counts its silence from the last voice, which may be over before our own detector
 * says so: of what is soft nothing is kept back. */
static void take_sound(struct deepgram *d, const struct provider_input *in, struct intents *out)
{
    int loudest = loudest_of(in->data);

    if (!open_utterance(d, in->epoch, out) || d->link != LINK_UP)
        return;
    utterance_put_pcm(&d->u, in->data, loaded_of(in)->mulaw);
    d->loudest = loudest > d->loudest ? loudest : d->loudest;
    if (loudest < d->loudest / QUIET_PART && d->hurry < d->u.end)
        d->hurry = d->u.end;
}

static void take_speech(struct deepgram *d, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    if (!open_utterance(d, in->epoch, out))
        return;
    if (!in->flag)
        d->hurry = d->u.end + loaded_of(in)->bytes_per_s * HURRY_MS / 1000;
    else if (d->link == LINK_DOWN && !d->fatal && now_ns - d->down_ns >= RETRY_NS)
        connect_now(d, loaded_of(in), out);
}

static void finish(struct deepgram *d, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    bool before = d->u.finishing;

    if (!utterance_finish(&d->u, in->epoch, now_ns, out))
        return;
    if (before)
        forget_sent(d, now_ns, out);
    d->finalized = false;
    if (d->fatal)
        utterance_fail(&d->u, d->fatal, true, cloud_says(d->fatal), out);
    else if (d->link == LINK_DOWN)
        utterance_close(&d->u, d->status, cloud_says(d->status), out);
}

/* Its sound is sent to the end, so that the clocks agree. */
static void cancel(struct deepgram *d, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    if (in->epoch && in->epoch == d->u.epoch && d->link == LINK_UP)
        send_sound(d, loaded_of(in), 1, now_ns, out);
    if (utterance_cancel(&d->u, in->epoch))
        forget_sent(d, now_ns, out);
}

static void deepgram_step(void *state, const struct provider_input *in, int64_t now_ns,
                          struct intents *out)
{
    struct deepgram *d = state;

    switch (in->kind) {
    case INPUT_START:
        d->finalize_ns = loaded_of(in)->finalize_ns;
        connect_now(d, loaded_of(in), out);
        return;
    case INPUT_AUDIO:
        take_sound(d, in, out);
        break;
    case INPUT_SPEECH:
        take_speech(d, in, now_ns, out);
        break;
    case INPUT_FINISH:
        finish(d, in, now_ns, out);
        break;
    case INPUT_CANCEL:
        cancel(d, in, now_ns, out);
        break;
    case INPUT_OPENED:
        came_up(d, now_ns);
        break;
    case INPUT_BYTES:
        take_message(d, in, out);
        break;
    case INPUT_CLOSED:
        went_down(d, in, now_ns, out);
        break;
    case INPUT_TIMER:
        on_time(d, loaded_of(in), now_ns, out);
        break;
    case INPUT_STOP:
        if (d->link != LINK_DOWN)
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
    pump(d, loaded_of(in), now_ns, out);
}

static int64_t deepgram_deadline(const void *state)
{
    const struct deepgram *d = state;
    int64_t finish_ns = finish_deadline(d);
    int64_t alive_ns = d->link == LINK_UP ? d->spoke_ns + KEEP_ALIVE_NS : NEVER_NS;

    return finish_ns < alive_ns ? finish_ns : alive_ns;
}

/* ---- loading ---- */

/* "Sidetone, front desk" are two key terms. */
static void add_keyterms(struct cloud *c, struct builder *url)
{
    struct slice term, rest = slice_str(provider_setting(c->config, "keyterms", ""));

    while (rest.len) {
        term = slice_trim(slice_cut(rest, ',', &rest));
        if (term.len)
            web_query(url, "keyterm", term);
    }
}

static void compose_url(struct cloud *c, struct loaded *l, struct builder *url)
{
    int64_t endpointing = cloud_whole(c, "endpointing_ms", 300, 0, 10000);
    int64_t utterance_end = cloud_whole(c, "utterance_end_ms", 0, 0, 10000);
    const struct provider_config *config = c->config;

    web_query(url, "model", cloud_model(c, "nova-3"));
    web_query(url, "language", slice_str(config->language));
    web_query(url, "encoding", l->mulaw ? SLICE("mulaw") : SLICE("linear16"));
    web_query_int(url, "sample_rate", (int64_t)provider_rate_hz(c->ops, config));
    web_query(url, "channels", SLICE("1"));
    web_query(url, "interim_results", SLICE("true"));
    if (endpointing)
        web_query_int(url, "endpointing", endpointing);
    else
        web_query(url, "endpointing", SLICE("false"));
    if (utterance_end)
        web_query_int(url, "utterance_end_ms", utterance_end < 1000 ? 1000 : utterance_end);
    if (cloud_flag(c, "smart_format", true))
        web_query(url, "smart_format", SLICE("true"));
    if (cloud_flag(c, "numerals", false))
        web_query(url, "numerals", SLICE("true"));
    if (cloud_flag(c, "profanity_filter", false))
        web_query(url, "profanity_filter", SLICE("true"));
    add_keyterms(c, url);
}

static uint32_t deepgram_rate(const struct provider_config *config)
{
    return cloud_wants_mulaw(config, "mulaw") ? 8000 : 16000;
}

static int deepgram_load(const struct provider_config *config, const void **loaded, char *why,
                         size_t why_bytes)
{
    struct cloud c = cloud_begin(&stt_deepgram, config, why, why_bytes);
    struct loaded *l = calloc(1, sizeof(*l));
    bool is_own;

    if (!l)
        abort();
    struct builder url = builder_of(l->url, sizeof(l->url) - 1);
    struct builder head = builder_of(l->head, sizeof(l->head) - 1);
    cloud_choice(&c, "encoding", "mulaw", "mulaw linear16");
    l->mulaw = cloud_wants_mulaw(config, "mulaw");
    l->bytes_per_s = l->mulaw ? 8000 : 32000;
    l->finalize_ns = MS(cloud_whole(&c, "finalize_ms", 500, 50, 3000));
    builder_slice_add(&url, cloud_base_url(&c, OWN_URL, "wss ws", &is_own));
    compose_url(&c, l, &url);
    struct slice key = cloud_key(&c, is_own);
    if (key.len)
        web_header_word(&head, "Authorization", "Token", key);
    if (url.bad || head.bad)
        cloud_complain(&c, "keyterms", "are more than fit into one address");
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops stt_deepgram = {
    .name = "deepgram",
    .kind = PROVIDER_STT,
    .summary = "Deepgram's streaming recognition",
    .settings = "api_key base_url encoding endpointing_ms utterance_end_ms smart_format numerals "
                "profanity_filter keyterms finalize_ms",
    .rate_hz = 8000,
    .state_bytes = sizeof(struct deepgram),
    .key_env = "DEEPGRAM_API_KEY",
    .rate = deepgram_rate,
    .load = deepgram_load,
    .unload = cloud_unload,
    .step = deepgram_step,
    .deadline = deepgram_deadline,
};
