/* AssemblyAI's streaming recognition, version 3: one socket for the whole call. Sound goes out
 * while an utterance lasts, ForceEndpoint when it is over. Every Turn message tells all words of
 * the service's turn so far, each with its times, so the words of an utterance are those spoken in
 * it, whatever turn they are told in. A lost socket is opened again, and the actor repeats what was
 * not yet understood. Formats: AssemblyAI's SDK and documentation, see
 * docs/providers/assemblyai.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "provider/cloud.h"
#include "provider/utterance.h"
#include "provider/web.h"

#define OWN_URL         "wss://streaming.assemblyai.com/v3/ws"
#define HEAD_BYTES      (CLOUD_KEY_MAX + 64)
#define URL_BYTES       (WEB_URL_MAX + 4096)
#define PIECE_MS        60 /* sound is gathered up to here */
#define LEAST_MS        50 /* less, or more, in one message the service refuses */
#define BURST_MS        1000
#define RETRY_NS        SECONDS(1) /* after the actor gave up, until the next utterance tries */
#define LATE_NS         SECONDS(3) /* an utterance whose sound could not be sent by then fails */
#define NO_WORDS_NS     MS(1500)   /* how long an answer without any word may take */
#define ALIVE_MS        800        /* of sound without any message: the connection is dead */
#define LEAST_BYTES_MAX 1600       /* LEAST_MS of 16 kHz, 16 bit */
#define WORDS_MAX       512        /* of a turn; the rest is not read */
#define MESSAGE_MAX     131072     /* bytes; a longer message is no word */

extern const struct provider_ops stt_assemblyai;

struct loaded {
    bool mulaw;
    uint32_t bytes_per_s;
    int64_t finalize_ns;
    char url[URL_BYTES];
    char head[HEAD_BYTES];
};

enum link { LINK_DOWN, LINK_CONNECTING, LINK_UP };

struct assemblyai {
    enum link link;
    bool begun;         /* the service has taken this socket's session */
    int32_t fatal;      /* status after which trying again is no use, or 0 */
    int32_t status;     /* of the last failure */
    int32_t told;       /* what this socket's Error message said, or 0 */
    int64_t down_ns;    /* when the actor gave up */
    uint64_t sent_at;   /* position behind the last byte sent */
    uint64_t sent;      /* bytes on this socket, silence of ours included: the service's clock */
    uint64_t padded;    /* that silence */
    uint32_t epoch;     /* whose sound begins at */
    uint64_t from;      /* this instant of the clock; words before are of what is over */
    bool silent;        /* no message has come since */
    uint32_t settled;   /* the epoch whose turn has ended, without a word since, or 0 */
    int64_t turns_over; /* turns of a lower number have ended: they come once more when formatted */
    bool forced;        /* ForceEndpoint is out for the utterance that is finishing */
    int64_t forced_ns;
    int64_t finalize_ns; /* how long its answer may take */
    struct utterance u;
};

static const struct loaded *loaded_of(const struct provider_input *in)
{
    return in->config->loaded;
}

/* ---- the socket ---- */

static void send_text(struct slice text, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_SEND);

    intent->flag = 1;
    intent->body = text;
}

static void connect_now(struct assemblyai *a, const struct loaded *l, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_CONNECT);

    intent->data = slice_str(l->url);
    intent->head = slice_str(l->head);
    a->link = LINK_CONNECTING;
}

static void forget_socket(struct assemblyai *a)
{
    a->begun = a->forced = false;
    a->told = 0;
    a->settled = 0;
}

/* The service tells a refused key or a wrong setting by the socket's close code too. */
static bool is_fatal(const struct assemblyai *a, int32_t status)
{
    switch (status) {
    case 3006: /* a setting is wrong */
    case 4001: /* the key is refused */
    case 4002: /* no funds */
    case 4003: /* not in this plan */
        return true;
    case 1008: /* policy: refused, unless a session was going on */
        return !a->begun;
    default:
        return cloud_is_fatal(status);
    }
}

/* One that was up is asked for again at once, unless the service took no session on it. */
static void went_down(struct assemblyai *a, const struct provider_input *in, int64_t now_ns,
                      struct intents *out)
{
    int32_t status = a->told ? a->told : in->status;
    bool fatal = is_fatal(a, status), again = a->link == LINK_UP && a->begun && !fatal;

    a->link = LINK_DOWN;
    a->status = status;
    a->down_ns = now_ns;
    forget_socket(a);
    utterance_lost(&a->u, status, cloud_says(status), out);
    if (fatal)
        a->fatal = status;
    if (again)
        connect_now(a, loaded_of(in), out);
    else if (a->u.owed && fatal)
        utterance_fail(&a->u, status, true, cloud_says(status), out);
    else if (a->u.owed)
        utterance_close(&a->u, status, cloud_says(status), out);
}

static void came_up(struct assemblyai *a)
{
    forget_socket(a);
    a->link = LINK_UP;
    a->sent = a->padded = a->from = 0;
    a->turns_over = 0;
    a->silent = true;
    a->sent_at = a->u.begin;
}

/* A socket that answers nothing: the actor repeats on the next what it gave to this one. */
static void start_anew(struct assemblyai *a, const struct loaded *l, struct intents *out)
{
    intents_add(out, INTENT_CLOSE);
    forget_socket(a);
    utterance_lost(&a->u, ETIMEDOUT, "the service does not answer", out);
    connect_now(a, l, out);
}

/* ---- sound ---- */

/* As little as the service takes in one message, from both ends of the ring if need be; where there
 * is less it ends in silence. */
static void send_least(struct assemblyai *a, const struct loaded *l, struct intents *out)
{
    uint8_t store[LEAST_BYTES_MAX];
    size_t least = l->bytes_per_s * LEAST_MS / 1000, n = 0;

    memset(store, l->mulaw ? 0xff : 0, sizeof(store));
    for (struct slice part; n < least; n += part.len, a->sent_at += part.len) {
        part = utterance_peek(&a->u, a->sent_at, least - n);
        if (part.len == 0)
            break;
        memcpy(store + n, part.at, part.len);
    }
    intents_add(out, INTENT_SEND)->body = intents_copy(out, slice_of(store, least));
    a->padded += least - n;
    a->sent += least;
}

/* What waits: all of it if the utterance is over, else whole pieces. */
static void send_sound(struct assemblyai *a, const struct loaded *l, bool all, struct intents *out)
{
    size_t piece = l->bytes_per_s * PIECE_MS / 1000, burst = l->bytes_per_s * BURST_MS / 1000;
    uint64_t limit = utterance_limit(&a->u);

    if (a->sent_at < a->u.begin)
        a->sent_at = a->u.begin;
    while (a->sent_at < limit && (all || limit - a->sent_at >= piece)) {
        struct slice sound = utterance_peek(&a->u, a->sent_at, burst);
        if (sound.len < l->bytes_per_s * LEAST_MS / 1000) {
            send_least(a, l, out);
            continue;
        }
        intents_add(out, INTENT_SEND)->body = sound;
        a->sent_at += sound.len;
        a->sent += sound.len;
    }
}

static void pump(struct assemblyai *a, const struct loaded *l, int64_t now_ns, struct intents *out)
{
    if (a->u.epoch != a->epoch) {
        a->epoch = a->u.epoch;
        a->from = a->sent;
        a->silent = true;
        a->forced = false;
    }
    if (a->link != LINK_UP)
        return;
    send_sound(a, l, a->u.finishing, out);
    if (!a->u.finishing || a->forced)
        return;
    if (a->sent == a->from || a->settled == a->u.epoch) {
        utterance_final(&a->u, out); /* no more would be answered */
        return;
    }
    send_text(SLICE("{\"type\":\"ForceEndpoint\"}"), out);
    a->forced = true;
    a->forced_ns = now_ns;
}

/* ---- words ---- */

/* The words of a turn that were spoken in the utterance that goes on. */
struct words {
    struct builder text;
    uint32_t count;
    double confidence; /* sum */
    int64_t end_ms;    /* of the last one, on the service's clock */
    uint8_t store[TURN_TEXT_BYTES_MAX];
};

static int64_t ms_of(const struct loaded *l, uint64_t bytes)
{
    return (int64_t)(bytes * 1000 / l->bytes_per_s);
}

/* Its middle decides: the ends are the service's guess. */
static void word_add(struct words *w, const struct json_doc *doc, size_t i, int64_t from_ms)
{
    int64_t start, end;
    double confidence = 1;
    char path[32];

    snprintf(path, sizeof(path), "words.%zu.start", i);
    if (json_int_of(doc, path, 0, INT32_MAX, &start))
        return;
    snprintf(path, sizeof(path), "words.%zu.end", i);
    if (json_int_of(doc, path, 0, INT32_MAX, &end) || (start + end) / 2 < from_ms)
        return;
    snprintf(path, sizeof(path), "words.%zu.text", i);
    struct slice text = slice_trim(json_slice_of(doc, path));
    if (text.len == 0 || w->text.len + 1 + text.len > w->text.size)
        return;
    snprintf(path, sizeof(path), "words.%zu.confidence", i);
    if (json_double_of(doc, path, &confidence) || !(confidence >= 0 && confidence <= 1))
        confidence = 1;
    if (w->count++)
        builder_u8(&w->text, ' ');
    builder_slice_add(&w->text, text);
    w->confidence += confidence;
    w->end_ms = end;
}

static void words_read(struct words *w, const struct json_doc *doc, int64_t from_ms)
{
    size_t count = json_count_of(doc, "words");

    w->text = builder_of(w->store, sizeof(w->store));
    w->count = 0;
    w->confidence = 0;
    w->end_ms = 0;
    for (size_t i = 0; i < count && i < WORDS_MAX; i++)
        word_add(w, doc, i, from_ms);
}

/* The service's clock counts silence of ours too, which the actor did not give. */
static void say_kept(struct assemblyai *a, const struct loaded *l, const struct words *w,
                     struct intents *out)
{
    int64_t heard_ms = w->end_ms - ms_of(l, a->padded);
    struct provider_intent *event;

    utterance_partial(&a->u, true, out);
    if (heard_ms <= 0)
        return;
    event = &out->list[out->count - 1];
    event->flag |= EVENT_KEPT;
    event->heard_ms = (uint32_t)heard_ms;
}

static void turn_over(struct assemblyai *a, const struct loaded *l, const struct words *w,
                      struct intents *out)
{
    utterance_words(&a->u, builder_slice(&w->text), (uint32_t)(w->confidence * 100 / w->count));
    if (a->forced) {
        a->forced = false;
        utterance_final(&a->u, out);
        return;
    }
    a->settled = a->u.epoch;
    say_kept(a, l, w, out);
}

static void take_turn(struct assemblyai *a, const struct loaded *l, const struct json_doc *doc,
                      struct intents *out)
{
    struct words w;
    int64_t order = 0;
    bool over = false;

    (void)!json_int_of(doc, "turn_order", 0, INT32_MAX, &order);
    (void)!json_bool_of(doc, "end_of_turn", &over);
    if (order < a->turns_over)
        return; /* the same once more, formatted */
    if (over)
        a->turns_over = order + 1;
    words_read(&w, doc, ms_of(l, a->from));
    if (!a->u.epoch || w.count == 0)
        return;
    if (over) {
        turn_over(a, l, &w, out);
        return;
    }
    a->settled = 0;
    utterance_tail(&a->u, builder_slice(&w.text));
    utterance_partial(&a->u, false, out);
}

static void take_message(struct assemblyai *a, const struct provider_input *in, struct intents *out)
{
    struct json_doc doc;
    int64_t code;

    a->silent = false;
    if (!in->flag || json_read(&doc, in->data, MESSAGE_MAX, NULL))
        return; /* what is not understood is no word */
    if (json_is(&doc, "type", "Begin"))
        a->begun = true;
    else if (json_is(&doc, "type", "Turn"))
        take_turn(a, loaded_of(in), &doc, out);
    else if (json_is(&doc, "type", "Error") && json_int_of(&doc, "error_code", 1, 9999, &code) == 0)
        a->told = (int32_t)code; /* the service closes the socket next */
    json_free(&doc);
}

/* ---- time ---- */

static int64_t finish_deadline(const struct assemblyai *a)
{
    if (a->forced)
        return a->forced_ns + (a->u.text_len + a->u.tail_len ? a->finalize_ns : NO_WORDS_NS);
    return a->u.owed ? a->u.finish_ns + LATE_NS : NEVER_NS;
}

static void on_time(struct assemblyai *a, const struct loaded *l, int64_t now_ns,
                    struct intents *out)
{
    bool dead = a->forced && a->silent && ms_of(l, a->sent - a->from) >= ALIVE_MS;

    if (finish_deadline(a) > now_ns)
        return;
    if (a->forced && !dead)
        utterance_final(&a->u, out); /* as little as was said has no answer of its own */
    else
        utterance_close(&a->u, a->status ? a->status : ETIMEDOUT, "the service does not answer",
                        out);
    a->forced = false;
    if (dead)
        start_anew(a, l, out);
}

/* ---- the step ---- */

static void take_sound(struct assemblyai *a, const struct provider_input *in, struct intents *out)
{
    if (!utterance_open(&a->u, in->epoch, out) || a->link != LINK_UP)
        return;
    utterance_put_pcm(&a->u, in->data, loaded_of(in)->mulaw);
}

static void take_speech(struct assemblyai *a, const struct provider_input *in, int64_t now_ns,
                        struct intents *out)
{
    if (!in->flag || !utterance_open(&a->u, in->epoch, out))
        return;
    if (a->link == LINK_DOWN && !a->fatal && now_ns - a->down_ns >= RETRY_NS)
        connect_now(a, loaded_of(in), out);
}

static void finish(struct assemblyai *a, const struct provider_input *in, int64_t now_ns,
                   struct intents *out)
{
    if (!utterance_finish(&a->u, in->epoch, now_ns, out))
        return;
    if (a->fatal)
        utterance_fail(&a->u, a->fatal, true, cloud_says(a->fatal), out);
    else if (a->link == LINK_DOWN)
        utterance_close(&a->u, a->status, cloud_says(a->status), out);
}

/* Its sound is sent to the end, so that the clocks agree, and the service's turn ends with it. */
static void cancel(struct assemblyai *a, const struct provider_input *in, struct intents *out)
{
    bool heard = a->link == LINK_UP && in->epoch && in->epoch == a->u.epoch;

    if (heard)
        send_sound(a, loaded_of(in), true, out);
    if (utterance_cancel(&a->u, in->epoch) && heard && a->sent > a->from && !a->forced)
        send_text(SLICE("{\"type\":\"ForceEndpoint\"}"), out);
}

static void assemblyai_step(void *state, const struct provider_input *in, int64_t now_ns,
                            struct intents *out)
{
    struct assemblyai *a = state;

    switch (in->kind) {
    case INPUT_START:
        a->finalize_ns = loaded_of(in)->finalize_ns;
        connect_now(a, loaded_of(in), out);
        return;
    case INPUT_AUDIO:
        take_sound(a, in, out);
        break;
    case INPUT_SPEECH:
        take_speech(a, in, now_ns, out);
        break;
    case INPUT_FINISH:
        finish(a, in, now_ns, out);
        break;
    case INPUT_CANCEL:
        cancel(a, in, out);
        break;
    case INPUT_OPENED:
        came_up(a);
        break;
    case INPUT_BYTES:
        take_message(a, in, out);
        break;
    case INPUT_CLOSED:
        went_down(a, in, now_ns, out);
        break;
    case INPUT_TIMER:
        on_time(a, loaded_of(in), now_ns, out);
        break;
    case INPUT_STOP:
        if (a->link != LINK_DOWN)
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
    pump(a, loaded_of(in), now_ns, out);
}

static int64_t assemblyai_deadline(const void *state)
{
    return finish_deadline(state);
}

/* ---- loading ---- */

/* "Carter, front desk" are two terms: a list of JSON in the query. */
static void add_keyterms(struct cloud *c, struct builder *url)
{
    struct slice rest = slice_str(provider_setting(c->config, "keyterms", ""));
    uint8_t store[WEB_URL_MAX];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    if (!rest.len)
        return;
    jsonw_init(&w, &b);
    jsonw_begin_list(&w);
    while (rest.len)
        jsonw_str(&w, slice_trim(slice_cut(rest, ',', &rest)));
    jsonw_end(&w);
    if (jsonw_finish(&w))
        url->bad = true;
    web_query(url, "keyterms_prompt", builder_slice(&b));
}

static void compose_url(struct cloud *c, const struct loaded *l, struct builder *url)
{
    int64_t min_ms = cloud_whole(c, "min_turn_silence_ms", 0, 0, 10000);
    int64_t max_ms = cloud_whole(c, "max_turn_silence_ms", 0, 0, 10000);

    web_query_int(url, "sample_rate", (int64_t)provider_rate_hz(c->ops, c->config));
    web_query(url, "encoding", l->mulaw ? SLICE("pcm_mulaw") : SLICE("pcm_s16le"));
    web_query(url, "speech_model", cloud_model(c, "universal-streaming-english"));
    web_query(url, "format_turns", SLICE("false"));
    if (min_ms)
        web_query_int(url, "min_turn_silence", min_ms);
    if (max_ms)
        web_query_int(url, "max_turn_silence", max_ms);
    add_keyterms(c, url);
}

static uint32_t assemblyai_rate(const struct provider_config *config)
{
    return cloud_wants_mulaw(config, "mulaw") ? 8000 : 16000;
}

static int assemblyai_load(const struct provider_config *config, const void **loaded, char *why,
                           size_t why_bytes)
{
    struct cloud c = cloud_begin(&stt_assemblyai, config, why, why_bytes);
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
        web_header(&head, "Authorization", key);
    if (url.bad || head.bad)
        cloud_complain(&c, "keyterms", "are more than fit into one address");
    return cloud_end_load(&c, l, loaded);
}

const struct provider_ops stt_assemblyai = {
    .name = "assemblyai",
    .kind = PROVIDER_STT,
    .summary = "AssemblyAI's streaming recognition",
    .settings = "api_key base_url encoding min_turn_silence_ms max_turn_silence_ms keyterms "
                "finalize_ms",
    .rate_hz = 8000,
    .state_bytes = sizeof(struct assemblyai),
    .key_env = "ASSEMBLYAI_API_KEY",
    .rate = assemblyai_rate,
    .load = assemblyai_load,
    .unload = cloud_unload,
    .step = assemblyai_step,
    .deadline = assemblyai_deadline,
};
