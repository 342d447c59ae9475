/* What the talk page speaks, and who else writes a page of their own: docs/protocols/browser.md.
 * The client says who it is, is told that the call has begun, and then both sides send audio: PCM
 * at 16 kHz, as base64 in JSON or, if the client asks for it, in binary messages. Beside it the
 * page hears what is going on: words, turns, times. */
#include <errno.h>

#include "base/base64.h"
#include "carrier/carrier.h"

#define RATE_HZ 16000
#define FORMAT  "pcm_16k"

extern const struct carrier_ops carrier_browser;

/* ---- messages from the page ---- */

static enum carrier_detect detect(bool text, struct slice message, const struct json_doc *doc)
{
    (void)message;
    return text && doc && json_is(doc, "type", "auth") ? CARRIER_YES : CARRIER_NO;
}

static void on_auth(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    int err;

    if (c->phase != CARRIER_NEW) {
        carrier_bad(c, ev, "second auth");
        return;
    }
    ev->start = (struct carrier_start){.encoding = CARRIER_L16, .rate_hz = RATE_HZ};
    if (carrier_text(doc, "token", ev->start.token, sizeof(ev->start.token))) {
        carrier_bad(c, ev, "auth with an unusable token");
        return;
    }
    err = json_bool_of(doc, "binary", &c->binary_audio);
    if (err && err != -ENOENT) {
        carrier_bad(c, ev, "auth.binary is neither true nor false");
        return;
    }
    c->phase = CARRIER_STARTED;
    ev->kind = CARRIER_START;
}

/* Whole samples, at least one. */
static void heard(struct carrier *c, struct carrier_event *ev, void *audio, size_t len)
{
    if (len == 0) {
        carrier_ignore(ev, "empty audio");
        return;
    }
    if (len % sizeof(int16_t)) {
        carrier_bad(c, ev, "audio with half a sample");
        return;
    }
    ev->audio = slice_of(audio, len);
    ev->kind = CARRIER_MEDIA;
    if (!carrier_in_order(c, ev))
        carrier_bad(c, ev, "audio out of order");
}

static void on_audio(struct carrier *c, const struct json_doc *doc, void *audio, size_t audio_bytes,
                     struct carrier_event *ev)
{
    struct slice data = json_slice_of(doc, "data");
    size_t len;

    if (json_kind_of(doc, "format") != JSON_KIND_NONE && !json_is(doc, "format", FORMAT)) {
        carrier_bad(c, ev, "audio is not " FORMAT);
        return;
    }
    if (carrier_count(doc, "sequence", &ev->sequence)) {
        carrier_bad(c, ev, "sequence is not a number");
        return;
    }
    if (carrier_count(doc, "timestamp", &ev->timestamp_ms))
        ev->timestamp_ms = 0; /* clients write all kinds of times; nothing goes by it */
    if (!data.at) {
        carrier_bad(c, ev, "audio without data");
        return;
    }
    int err = base64_decode(data, audio, audio_bytes, &len);
    if (err)
        carrier_bad(c, ev, err == -EMSGSIZE ? "audio too long" : "audio is not base64");
    else
        heard(c, ev, audio, len);
}

static void on_digit(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    char digit[4] = "";

    if (json_text_of(doc, "digit", digit, sizeof(digit)) || !carrier_digit(digit)) {
        carrier_bad(c, ev, "dtmf without a digit");
        return;
    }
    ev->kind = CARRIER_DTMF;
    ev->digit = carrier_digit(digit);
}

static void on_mark(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    if (json_text_of(doc, "name", ev->mark, sizeof(ev->mark)))
        carrier_bad(c, ev, "mark without a usable name");
    else
        ev->kind = CARRIER_MARK;
}

/* It may name the session, once it knows it; then it must be this one. */
static bool session_fits(const struct carrier *c, const struct json_doc *doc)
{
    enum json_kind kind = json_kind_of(doc, "session_id");

    return kind == JSON_KIND_NONE || kind == JSON_KIND_NULL || c->stream_id_len == 0 ||
           json_is(doc, "session_id", c->stream_id);
}

static void on_message(struct carrier *c, const struct json_doc *doc, void *audio,
                       size_t audio_bytes, struct carrier_event *ev)
{
    if (!json_slice_of(doc, "type").at) {
        carrier_bad(c, ev, "message without a type");
    } else if (json_is(doc, "type", "auth")) {
        on_auth(c, doc, ev);
    } else if (json_is(doc, "type", "stop")) {
        c->phase = CARRIER_STOPPED;
        ev->kind = CARRIER_STOP;
    } else if (c->phase == CARRIER_NEW) {
        carrier_bad(c, ev, "message before auth");
    } else if (!session_fits(c, doc)) {
        carrier_bad(c, ev, "message of another session");
    } else if (json_is(doc, "type", "audio")) {
        on_audio(c, doc, audio, audio_bytes, ev);
    } else if (json_is(doc, "type", "dtmf")) {
        on_digit(c, doc, ev);
    } else if (json_is(doc, "type", "mark")) {
        on_mark(c, doc, ev);
    } else {
        carrier_ignore(ev, "unknown type");
    }
}

static void on_binary(struct carrier *c, struct slice message, void *audio, size_t audio_bytes,
                      struct carrier_event *ev)
{
    if (c->phase == CARRIER_NEW || !c->binary_audio) {
        carrier_bad(c, ev, "binary audio that was not asked for");
        return;
    }
    if (message.len > audio_bytes) {
        carrier_bad(c, ev, "audio too long");
        return;
    }
    if (message.len)
        memcpy(audio, message.at, message.len);
    heard(c, ev, audio, message.len);
}

static void parse(struct carrier *c, bool text, struct slice message, void *audio,
                  size_t audio_bytes, struct carrier_event *ev)
{
    struct json_doc doc = {NULL};

    ev->what = "";
    ev->sequence = ev->chunk = ev->timestamp_ms = 0;
    if (c->phase == CARRIER_STOPPED) {
        carrier_ignore(ev, "after the end");
    } else if (!text) {
        on_binary(c, message, audio, audio_bytes, ev);
    } else if (json_read(&doc, message, WS_MESSAGE_BYTES_MAX, NULL)) {
        carrier_bad(c, ev, "message is not JSON");
    } else {
        on_message(c, &doc, audio, audio_bytes, ev);
        json_free(&doc);
    }
}

/* ---- messages to the page ---- */

static void begin(struct jsonw *w, const char *type, struct builder *out)
{
    jsonw_init(w, out);
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", type);
}

static void media(const struct carrier *c, struct slice audio, struct builder *out)
{
    if (c->binary_audio) {
        builder_slice_add(out, audio);
        return;
    }
    builder_str(out, "{\"type\":\"audio\",\"session_id\":\"");
    builder_bytes(out, c->stream_id, c->stream_id_len); /* letters, digits and '-' */
    builder_printf(out, "\",\"timestamp\":%llu,\"sequence\":%llu,\"format\":\"" FORMAT "\"",
                   (unsigned long long)c->out_timestamp_ms, (unsigned long long)c->out_sequence);
    builder_str(out, ",\"data\":\"");
    base64_build(out, audio);
    builder_str(out, "\"}");
}

static void mark(const struct carrier *c, const char *name, struct builder *out)
{
    struct jsonw w;

    (void)c;
    begin(&w, "mark", out);
    jsonw_put_cstr(&w, "name", name);
    jsonw_end(&w);
}

static void clear(const struct carrier *c, struct builder *out)
{
    (void)c;
    builder_str(out, "{\"type\":\"clear\"}");
}

static void ready(struct carrier *c, const char *call_id, struct builder *out)
{
    struct jsonw w;

    slice_cstr(slice_str(call_id), c->stream_id, sizeof(c->stream_id));
    c->stream_id_len = strlen(c->stream_id);
    begin(&w, "ready", out);
    jsonw_put_cstr(&w, "session_id", c->stream_id);
    jsonw_put_cstr(&w, "format", FORMAT);
    jsonw_put_bool(&w, "binary", c->binary_audio);
    jsonw_end(&w);
}

static void tell_words(struct jsonw *w, const struct carrier_news *news)
{
    jsonw_put_int(w, "turn", news->turn);
    jsonw_put_cstr(w, "role", news->user ? "user" : "assistant");
    jsonw_put_str(w, "text", news->text);
    jsonw_put_bool(w, "final", news->final);
    if (news->cut)
        jsonw_put_bool(w, "cut", true);
    if (news->keys)
        jsonw_put_bool(w, "keys", true);
}

/* Named as in the call's log, so that the two can be laid side by side. */
static void tell_latency(struct jsonw *w, const struct carrier_news *news)
{
    static const char *const names[CARRIER_INSTANTS] = {"last_voiced_ms", "decided_ms",
                                                        "stt_final_ms",   "first_token_ms",
                                                        "first_tts_ms",   "first_audible_ms"};

    jsonw_put_int(w, "turn", news->turn);
    jsonw_put_bool(w, "barge_in", news->barge_in);
    jsonw_put_bool(w, "keys", news->keys);
    for (size_t i = 0; i < CARRIER_INSTANTS; i++) {
        jsonw_key(w, names[i]);
        if (news->instants_ms[i] < 0)
            jsonw_null(w);
        else
            jsonw_int(w, news->instants_ms[i]);
    }
}

static void tell(const struct carrier *c, const struct carrier_news *news, struct builder *out)
{
    struct jsonw w;

    (void)c;
    switch (news->kind) {
    case CARRIER_NEWS_STATE:
        begin(&w, "state", out);
        jsonw_put_cstr(&w, "state", news->state);
        break;
    case CARRIER_NEWS_WORDS:
        begin(&w, "transcript", out);
        tell_words(&w, news);
        break;
    case CARRIER_NEWS_LATENCY:
        begin(&w, "latency", out);
        tell_latency(&w, news);
        break;
    }
    jsonw_end(&w);
}

const struct carrier_ops carrier_browser = {
    .name = "browser",
    .buffers = true,
    .marks_after_clear = false,
    .lead_ms = 120, /* more than a page's busy moment, less than the recorder's window bears */
    .path = CARRIER_PATH_BOTH,
    .token_always = true,
    .detect = detect,
    .parse = parse,
    .media = media,
    .mark = mark,
    .clear = clear,
    .hang_up = NULL, /* closing the socket ends the call */
    .ready = ready,
    .tell = tell,
};
