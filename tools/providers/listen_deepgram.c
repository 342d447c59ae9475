/* Deepgram's streaming recognition, `/v1/listen`: interim and final results with words, an
 * utterance's end by `speech_final` and `UtteranceEnd`, KeepAlive, Finalize, CloseStream. */
#include <stdlib.h>
#include <time.h>

#include "tools/providers/listening.h"
#include "tools/providers/service.h"

#define RESULT_BYTES   65536
#define PIECE_MS       3000 /* of speech behind which its words become final */
#define EMPTY_EVERY_MS 4000 /* of silence behind which an empty result says so */
#define MODEL_UUID     "5b1f2c3e-6f2a-4c59-9a1b-0d9c6e1f7a42"

struct deepgram {
    struct listening l;
    bool interim, vad_events, encoded;
    bool pending_end; /* UtteranceEnd is still to come */
    bool closing;
    int64_t utterance_end_ms;
    int64_t told_ms;  /* clock of the last result */
    int64_t piece_ms; /* where the piece that is not final yet begins */
    int64_t last_word_ms;
    size_t words_final; /* of the utterance's text */
    int64_t final_due;  /* of the last result that is queued */
};

/* What a result holds. */
struct result {
    struct slice text;
    int64_t from_ms, to_ms;
    bool final, speech_final, from_finalize;
};

static void put_ms(struct jsonw *w, const char *key, int64_t ms)
{
    jsonw_key(w, key);
    jsonw_double(w, (double)ms / 1000, 3);
}

static void put_confidence(struct jsonw *w, bool some)
{
    jsonw_key(w, "confidence");
    jsonw_double(w, some ? 0.98 : 0, 2);
}

static void put_words(struct jsonw *w, const struct result *r)
{
    int64_t count = (int64_t)token_count(r->text), i = 0;
    struct slice rest = r->text;

    jsonw_key(w, "words");
    jsonw_begin_list(w);
    for (struct slice word = token_next(&rest); word.len; word = token_next(&rest), i++) {
        int64_t span = r->to_ms - r->from_ms;
        jsonw_begin(w);
        jsonw_put_str(w, "word", slice_trim(word));
        put_ms(w, "start", r->from_ms + span * i / count);
        put_ms(w, "end", r->from_ms + span * (i + 1) / count);
        put_confidence(w, true);
        jsonw_put_str(w, "punctuated_word", slice_trim(word));
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void put_channel(struct jsonw *w, const char *key)
{
    jsonw_key(w, key);
    jsonw_begin_list(w);
    jsonw_int(w, 0);
    jsonw_int(w, 1);
    jsonw_end(w);
}

static void put_model(struct jsonw *w)
{
    jsonw_begin(w);
    jsonw_put_cstr(w, "name", "general-nova-3");
    jsonw_put_cstr(w, "version", "2025-07-31.0");
    jsonw_put_cstr(w, "arch", "nova-3");
    jsonw_end(w);
}

static void put_metadata(struct peer *p, struct jsonw *w)
{
    jsonw_key(w, "metadata");
    jsonw_begin(w);
    jsonw_put_cstr(w, "request_id", p->request_id);
    jsonw_key(w, "model_info");
    put_model(w);
    jsonw_put_cstr(w, "model_uuid", MODEL_UUID);
    jsonw_end(w);
}

static void result_send(struct peer *p, int64_t due_ns, const struct result *r)
{
    static uint8_t store[RESULT_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct deepgram *d = p->context;
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "type", "Results");
    put_channel(&w, "channel_index");
    put_ms(&w, "duration", r->to_ms - r->from_ms);
    put_ms(&w, "start", r->from_ms);
    jsonw_put_bool(&w, "is_final", r->final);
    jsonw_put_bool(&w, "speech_final", r->speech_final);
    jsonw_key(&w, "channel");
    jsonw_begin(&w);
    jsonw_key(&w, "alternatives");
    jsonw_begin_list(&w);
    jsonw_begin(&w);
    jsonw_put_str(&w, "transcript", slice_trim(r->text));
    put_confidence(&w, r->text.len);
    put_words(&w, r);
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    put_metadata(p, &w);
    jsonw_put_bool(&w, "from_finalize", r->from_finalize);
    jsonw_end(&w);
    if (jsonw_finish(&w) == 0)
        peer_text(p, due_ns, PEER_SHARED_TAG, builder_slice(&b));
    d->told_ms = listening_ms(&d->l);
    d->final_due = due_ns;
}

static void simple_send(struct peer *p, int64_t due_ns, const char *type, const char *time_key,
                        int64_t ms)
{
    uint8_t store[256];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "type", type);
    put_channel(&w, "channel");
    put_ms(&w, time_key, ms);
    jsonw_end(&w);
    peer_text(p, due_ns, PEER_SHARED_TAG, builder_slice(&b));
}

/* ---- what is heard ---- */

static void on_begins(struct peer *p, struct deepgram *d)
{
    d->piece_ms = hearing_ms(&d->l.ear, d->l.ear.first);
    d->words_final = 0;
    d->pending_end = false;
    peer_note_text(p, "speech begins", d->l.text);
    if (d->vad_events)
        simple_send(p, peer_now(p), "SpeechStarted", "timestamp", d->piece_ms);
}

static void on_goes_on(struct peer *p, struct deepgram *d)
{
    int64_t now_ms = listening_ms(&d->l);
    size_t said = listening_words(&d->l), words = token_count(d->l.text);
    bool final = now_ms - d->piece_ms >= PIECE_MS && said > d->words_final && said < words;

    if (now_ms - d->told_ms < p->server->settings->interim_ms || (!d->interim && !final) ||
        said <= d->words_final)
        return;
    struct result r = {
        .text = token_skip(token_first(d->l.text, said), d->words_final),
        .from_ms = d->piece_ms,
        .to_ms = now_ms,
        .final = final,
    };
    result_send(p, peer_now(p), &r);
    if (!final)
        return;
    d->words_final = said;
    d->piece_ms = now_ms;
}

/* The rest of the utterance, whose text is in l.text. */
static void finish(struct peer *p, struct deepgram *d, int64_t due_ns, bool finalize)
{
    struct result r = {
        .text = token_skip(d->l.text, d->words_final),
        .from_ms = d->piece_ms,
        .to_ms = hearing_ms(&d->l.ear, d->l.ear.last),
        .final = true,
        .speech_final = true,
        .from_finalize = finalize,
    };

    if (r.to_ms < r.from_ms)
        r.to_ms = r.from_ms;
    if (due_ns < d->final_due)
        due_ns = d->final_due;
    struct jsonw *w = listening_note_end(p, &d->l, due_ns, finalize);
    jsonw_put_int(w, "at_audio_ms", r.to_ms);
    jsonw_put_int(w, "audio_bytes", (int64_t)d->l.bytes);
    diary_end(&p->server->diary);
    result_send(p, due_ns, &r);
    d->last_word_ms = r.to_ms;
    d->pending_end = d->utterance_end_ms > 0;
    d->words_final = 0;
}

static void on_ends(struct peer *p, struct deepgram *d)
{
    finish(p, d, listening_end_ns(p, &d->l), false);
}

static void on_timed(struct peer *p, struct deepgram *d)
{
    int64_t now_ms = listening_ms(&d->l);

    d->piece_ms = now_ms > 1000 ? now_ms - 1000 : 0;
    d->l.ear.last = d->l.ear.clock;
    d->words_final = 0;
    on_ends(p, d);
}

static void on_quiet(struct peer *p, struct deepgram *d)
{
    int64_t now_ms = listening_ms(&d->l);

    if (d->pending_end && now_ms - d->last_word_ms >= d->utterance_end_ms) {
        d->pending_end = false;
        simple_send(p, peer_now(p), "UtteranceEnd", "last_word_end", d->last_word_ms);
    }
    if (now_ms - d->told_ms < EMPTY_EVERY_MS)
        return;
    struct result r = {.from_ms = d->told_ms, .to_ms = now_ms, .final = true};
    result_send(p, peer_now(p) > d->final_due ? peer_now(p) : d->final_due, &r);
}

static void told(struct peer *p, enum listening_event event)
{
    struct deepgram *d = p->context;

    switch (event) {
    case LISTENING_BEGINS:
        on_begins(p, d);
        break;
    case LISTENING_GOES_ON:
        on_goes_on(p, d);
        break;
    case LISTENING_QUIET:
        on_quiet(p, d);
        break;
    case LISTENING_ENDS:
        on_ends(p, d);
        break;
    case LISTENING_TIMED:
        on_timed(p, d);
        break;
    }
}

/* ---- what the client says ---- */

/* What has been heard since the last result, if nobody is speaking: nothing, but it is said so. */
static void finalize_quiet(struct peer *p, struct deepgram *d, int64_t due_ns)
{
    struct result r = {
        .from_ms = d->told_ms,
        .to_ms = listening_ms(&d->l),
        .final = true,
        .speech_final = true,
        .from_finalize = true,
    };

    if (r.to_ms > r.from_ms) /* without new sound the vendor may stay silent too */
        result_send(p, due_ns > d->final_due ? due_ns : d->final_due, &r);
}

static void finalize(struct peer *p, struct deepgram *d)
{
    int64_t due = peer_now(p) + peer_draw(p, &p->server->settings->finalize);

    if (!d->l.ear.speaking) {
        finalize_quiet(p, d, due);
        return;
    }
    listening_take(p, &d->l);
    finish(p, d, due, true);
}

static void close_stream(struct peer *p, struct deepgram *d)
{
    uint8_t store[1024];
    char created[32];
    struct builder b = builder_of(store, sizeof(store));
    time_t now = time(NULL);
    struct tm utc;
    struct jsonw w;

    if (d->closing)
        return;
    finalize(p, d);
    d->closing = true;
    gmtime_r(&now, &utc);
    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%S.000Z", &utc);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "type", "Metadata");
    jsonw_put_cstr(&w, "transaction_key", "deprecated");
    jsonw_put_cstr(&w, "request_id", p->request_id);
    jsonw_put_cstr(&w, "sha256",
                   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    jsonw_put_cstr(&w, "created", created);
    put_ms(&w, "duration", listening_ms(&d->l));
    jsonw_put_int(&w, "channels", 1);
    jsonw_key(&w, "models");
    jsonw_begin_list(&w);
    jsonw_cstr(&w, MODEL_UUID);
    jsonw_end(&w);
    jsonw_key(&w, "model_info");
    jsonw_begin(&w);
    jsonw_key(&w, MODEL_UUID);
    put_model(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    int64_t due = peer_now(p) > d->final_due ? peer_now(p) : d->final_due;
    peer_text(p, due, PEER_SHARED_TAG, builder_slice(&b));
    peer_close_socket(p, due, WS_CLOSE_NORMAL, "");
}

static void not_audio(struct peer *p, const char *why)
{
    peer_close_socket(p, peer_now(p), WS_CLOSE_POLICY, why);
}

static void command(struct peer *p, struct deepgram *d, struct slice text)
{
    struct json_doc doc;

    if (json_read(&doc, text, 4096, NULL) < 0) {
        not_audio(p, "DATA-0000 the message is not JSON");
        return;
    }
    if (json_is(&doc, "type", "Finalize"))
        finalize(p, d);
    else if (json_is(&doc, "type", "CloseStream"))
        close_stream(p, d);
    json_free(&doc);
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct deepgram *d = p->context;

    peer_wake(p, peer_now(p) + MS(p->server->settings->idle_ms));
    if (d->closing)
        return;
    if (text)
        command(p, d, data);
    else if (data.len == 0)
        close_stream(p, d);
    else if (!d->encoded)
        not_audio(p, "DATA-0000 raw audio needs encoding and sample_rate");
    else
        listening_audio(p, &d->l, data, told);
}

static void wake(struct peer *p)
{
    peer_close_socket(p, peer_now(p), WS_CLOSE_SERVER_ERROR,
                      "NET-0001 neither audio nor a text message came in time");
}

/* ---- the request ---- */

static bool encoding_of(const struct peer *p, bool *encoded, enum voice_encoding *encoding)
{
    char text[32];

    *encoding = VOICE_S16;
    *encoded = request_arg(&p->request, "encoding", text, sizeof(text));
    return !*encoded || (voice_encoding_named(slice_str(text), encoding) && *encoding != VOICE_F32);
}

static uint16_t check(struct peer *p, const char **what)
{
    int64_t rate, channels, end_ms;
    enum voice_encoding encoding;
    bool encoded;

    if (!encoding_of(p, &encoded, &encoding))
        *what = "encoding: linear16, mulaw and alaw are simulated";
    else if (request_number(&p->request, "sample_rate", 8000, 48000, encoded ? -1 : 16000, &rate) ||
             rate < 0)
        *what = "sample_rate: 8000 to 48000, with every raw encoding";
    else if (request_number(&p->request, "channels", 1, 1, 1, &channels))
        *what = "channels: one is simulated";
    else if (request_number(&p->request, "utterance_end_ms", 1000, 60000, 0, &end_ms))
        *what = "utterance_end_ms: at least 1000";
    else if (end_ms && !request_flag(&p->request, "interim_results"))
        *what = "utterance_end_ms needs interim_results";
    else
        return 0;
    return 400;
}

static void begin(struct peer *p)
{
    struct deepgram *d = p->context;
    enum voice_encoding encoding;
    int64_t rate;

    encoding_of(p, &d->encoded, &encoding);
    if (request_number(&p->request, "sample_rate", 8000, 48000, 16000, &rate) < 0 ||
        request_number(&p->request, "utterance_end_ms", 1000, 60000, 0, &d->utterance_end_ms) < 0)
        return; /* check() has seen to it */
    d->interim = request_flag(&p->request, "interim_results");
    d->vad_events = request_flag(&p->request, "vad_events");
    listening_begin(p, &d->l, (uint32_t)rate, encoding);
    peer_wake(p, peer_now(p) + MS(p->server->settings->idle_ms));
}

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    jsonw_put_cstr(w, "err_code",
                   status == 401   ? "INVALID_AUTH"
                   : status == 429 ? "TOO_MANY_REQUESTS"
                   : status < 500  ? "Bad Request"
                                   : "Internal Server Error");
    jsonw_put_cstr(w, "err_msg", what);
    jsonw_put_cstr(w, "request_id", p->request_id);
}

static void trouble(struct peer *p)
{
    peer_text(p, peer_now(p), PEER_SHARED_TAG,
              SLICE("{\"type\":\"Error\",\"description\":\"as told to\",\"message\":\"\","
                    "\"variant\":\"internal\"}"));
    peer_close_socket(p, peer_now(p), WS_CLOSE_SERVER_ERROR, "NET-0000 as told to");
}

const struct service service_deepgram_listen = {
    .name = "deepgram.listen",
    .method = "GET",
    .path = "/v1/listen",
    .socket = true,
    .state_bytes = sizeof(struct deepgram),
    .check = check,
    .begin = begin,
    .message = message,
    .wake = wake,
    .error_body = error_body,
    .trouble = trouble,
};
