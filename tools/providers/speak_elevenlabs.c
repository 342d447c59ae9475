/* ElevenLabs' speech: text streamed into one voice or into several contexts of it, and whole
 * requests. A socket without text for its inactivity timeout is closed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "tools/providers/service.h"
#include "tools/providers/speaking.h"

#define CONTEXTS_MAX 5 /* at once; one more closes the socket, as the vendor does */
#define ID_BYTES     128
#define TEXT_MAX     16384 /* that waits; beyond: the socket is closed */
#define CHUNK_CHARS  120   /* from which on text is spoken without being asked */
#define MESSAGE_MAX  65536
#define REPLY_BYTES  65536
#define IDLE_S       20
#define IDLE_S_MAX   180

struct voice_context {
    bool used;
    char id[ID_BYTES];
    uint32_t tag;
    struct speaking speaking;
    uint64_t samples_told; /* of the alignment */
    char text[TEXT_MAX];
    size_t len;
};

struct eleven {
    struct voice_format format;
    bool multi, alignment;
    uint32_t tags;
    int64_t idle_ns;
    struct voice_context *contexts[CONTEXTS_MAX];
};

/* ---- what is sent ---- */

static void put_context(struct jsonw *w, const struct peer *p, const struct voice_context *c)
{
    const struct eleven *e = p->context;

    if (e->multi)
        jsonw_put_cstr(w, "contextId", c->id);
}

static void audio_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    struct voice_context *c = context;
    size_t size = BASE64_CHARS(audio.len) + 512;
    struct builder b;
    struct jsonw w;
    uint8_t *store;
    (void)from_ms;

    store = malloc(size);
    if (!store)
        abort();
    b = builder_of(store, size);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    put_context(&w, p, c);
    jsonw_key(&w, "isFinal");
    jsonw_null(&w);
    jsonw_key(&w, "normalizedAlignment");
    jsonw_null(&w);
    jsonw_key(&w, "alignment");
    jsonw_null(&w);
    jsonw_key(&w, "audio");
    builder_u8(&b, '"');
    base64_build(&b, audio);
    builder_str(&b, "\"}");
    peer_text(p, due_ns, c->tag, builder_slice(&b));
    free(store);
}

static void piece_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    (void)context;
    (void)from_ms;
    peer_piece(p, due_ns, audio);
}

/* Where each character lies, in milliseconds from the beginning of this message's own audio. */
static void put_alignment(struct jsonw *w, const char *key, struct slice text, int64_t ms)
{
    static const char *const keys[] = {"chars", "charStartTimesMs", "charDurationsMs"};

    jsonw_key(w, key);
    jsonw_begin(w);
    for (int k = 0; k < 3; k++) {
        jsonw_key(w, keys[k]);
        jsonw_begin_list(w);
        for (size_t i = 0, step; i < text.len; i += step) {
            struct slice rest = slice_of(text.at + i, text.len - i);
            step = slice_utf8_step(rest) ? slice_utf8_step(rest) : 1;
            if (k == 0)
                jsonw_str(w, slice_of(rest.at, step));
            else
                jsonw_int(w, k == 1 ? ms * (int64_t)i / (int64_t)text.len
                                    : ms * (int64_t)step / (int64_t)text.len);
        }
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void alignment_send(struct peer *p, struct voice_context *c, int64_t due_ns,
                           struct slice text, int64_t ms)
{
    static uint8_t store[REPLY_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    put_context(&w, p, c);
    jsonw_key(&w, "audio");
    jsonw_null(&w);
    jsonw_key(&w, "isFinal");
    jsonw_null(&w);
    put_alignment(&w, "normalizedAlignment", text, ms);
    put_alignment(&w, "alignment", text, ms);
    jsonw_end(&w);
    if (jsonw_finish(&w) == 0)
        peer_text(p, due_ns, c->tag, builder_slice(&b));
}

static void speak(struct peer *p, struct voice_context *c, size_t len)
{
    struct eleven *e = p->context;
    struct slice text = slice_of(c->text, len);
    uint64_t before = c->speaking.sample;

    if (len == 0)
        return;
    peer_note_text(p, "speaks", text);
    int64_t due = speaking_say(p, &c->speaking, text, audio_sent, c);
    int64_t ms = (int64_t)((c->speaking.sample - before) * 1000 / e->format.rate_hz);
    if (e->alignment && ms)
        alignment_send(p, c, due, text, ms);
    memmove(c->text, c->text + len, c->len - len);
    c->len -= len;
}

static int64_t last_due(struct peer *p, const struct voice_context *c)
{
    int64_t now = peer_now(p), due = peer_last_due(p, c->tag);

    return due > now ? due : now;
}

static void final_send(struct peer *p, const struct voice_context *c)
{
    uint8_t store[ID_BYTES * 6 + 128];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    put_context(&w, p, c);
    jsonw_key(&w, "audio");
    jsonw_null(&w);
    jsonw_put_bool(&w, "isFinal", true);
    jsonw_end(&w);
    peer_text(p, last_due(p, c), c->tag, builder_slice(&b));
}

static void fail(struct peer *p, const char *error, const char *what)
{
    char json[512];

    snprintf(json, sizeof(json), "{\"message\":\"%s\",\"error\":\"%s\",\"code\":1008}", what,
             error);
    peer_text(p, peer_now(p), PEER_SHARED_TAG, slice_str(json));
    peer_close_socket(p, peer_now(p), WS_CLOSE_POLICY, what);
}

/* ---- contexts ---- */

static struct voice_context *context_find(struct eleven *e, const char *id)
{
    for (size_t i = 0; i < CONTEXTS_MAX; i++)
        if (e->contexts[i] && e->contexts[i]->used && strcmp(e->contexts[i]->id, id) == 0)
            return e->contexts[i];
    return NULL;
}

static struct voice_context *context_new(struct eleven *e, const char *id)
{
    for (size_t i = 0; i < CONTEXTS_MAX; i++) {
        struct voice_context *c = e->contexts[i];
        if (c && c->used)
            continue;
        if (!c)
            c = e->contexts[i] = malloc(sizeof(*c));
        if (!c)
            abort();
        memset(c, 0, offsetof(struct voice_context, text));
        c->len = 0;
        c->used = true;
        c->tag = ++e->tags;
        c->speaking.format = e->format;
        snprintf(c->id, sizeof(c->id), "%s", id);
        return c;
    }
    return NULL;
}

/* What is closed is not spoken any further; what waits and is flushed is. */
static void context_close(struct peer *p, struct voice_context *c)
{
    jsonw_put_bool(peer_note(p, "context closed"), "unsent", peer_last_due(p, c->tag) >= 0);
    diary_text(&p->server->diary, "context", slice_str(c->id));
    diary_end(&p->server->diary);
    peer_cancel(p, c->tag);
    final_send(p, c);
    c->used = false;
}

/* ---- what is asked ---- */

static void text_take(struct peer *p, struct voice_context *c, struct slice text, bool now)
{
    if (c->len + text.len > sizeof(c->text)) {
        fail(p, "text_too_long", "more text waits than a context may hold");
        return;
    }
    memcpy(c->text + c->len, text.at, text.len);
    c->len += text.len;
    if (slice_trim(slice_of(c->text, c->len)).len == 0)
        c->len = 0; /* blanks keep the socket open and are not spoken */
    if (now || c->len >= CHUNK_CHARS)
        speak(p, c, c->len);
    else
        speak(p, c, speaking_sentence(slice_trim(slice_of(c->text, c->len))));
}

static void single_take(struct peer *p, struct eleven *e, const struct json_doc *doc)
{
    struct voice_context *c = context_find(e, "");
    struct slice text = json_slice_of(doc, "text");
    bool now = false, trigger = false;

    if (!c)
        c = context_new(e, "");
    (void)!json_bool_of(doc, "flush", &now);
    (void)!json_bool_of(doc, "try_trigger_generation", &trigger);
    if (json_kind_of(doc, "text") != JSON_KIND_TEXT) {
        fail(p, "invalid_message", "the message has no text");
        return;
    }
    if (text.len) {
        text_take(p, c, text, now || trigger);
        return;
    }
    speak(p, c, c->len);
    final_send(p, c);
    peer_close_socket(p, last_due(p, c), WS_CLOSE_NORMAL, "");
}

static void multi_take(struct peer *p, struct eleven *e, const struct json_doc *doc)
{
    char id[ID_BYTES] = "";
    bool end = false, shut = false, now = false;
    struct voice_context *c;

    (void)!json_bool_of(doc, "close_socket", &end);
    (void)!json_bool_of(doc, "close_context", &shut);
    (void)!json_bool_of(doc, "flush", &now);
    if (json_text_of(doc, "context_id", id, sizeof(id)) < 0)
        snprintf(id, sizeof(id), "default");
    c = context_find(e, id);
    if (end) {
        peer_close_socket(p, peer_now(p), WS_CLOSE_NORMAL, "");
        return;
    }
    if (!c && !shut)
        c = context_new(e, id);
    if (!c && !shut)
        fail(p, "max_active_conversations", "more than 5 contexts at once");
    if (c && json_slice_of(doc, "text").len)
        text_take(p, c, json_slice_of(doc, "text"), now);
    else if (c && now)
        speak(p, c, c->len);
    if (c && shut)
        context_close(p, c);
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct eleven *e = p->context;
    struct json_doc doc;

    if (!text || json_read(&doc, data, MESSAGE_MAX, NULL) < 0) {
        fail(p, "invalid_message", "the message is no JSON");
        return;
    }
    peer_wake(p, peer_now(p) + e->idle_ns);
    if (e->multi)
        multi_take(p, e, &doc);
    else
        single_take(p, e, &doc);
    json_free(&doc);
}

static void wake(struct peer *p)
{
    fail(p, "input_timeout_exceeded", "no text came in time");
}

static void end(struct peer *p)
{
    struct eleven *e = p->context;

    for (size_t i = 0; i < CONTEXTS_MAX; i++)
        free(e->contexts[i]);
}

/* ---- the request ---- */

/* "pcm_16000", "ulaw_8000", "alaw_8000". */
static bool format_read(const struct peer *p, struct voice_format *out)
{
    char text[32];
    struct slice rate, name;
    uint64_t hz;

    if (!request_arg(&p->request, "output_format", text, sizeof(text)))
        return false;
    name = slice_cut(slice_str(text), '_', &rate);
    out->encoding = slice_equal(name, SLICE("ulaw"))   ? VOICE_MULAW
                    : slice_equal(name, SLICE("alaw")) ? VOICE_ALAW
                                                       : VOICE_S16;
    if (out->encoding == VOICE_S16 && !slice_equal(name, SLICE("pcm")))
        return false;
    if (slice_u64(rate, 48000, &hz) < 0 || hz < 8000)
        return false;
    out->rate_hz = (uint32_t)hz;
    return true;
}

static uint16_t check(struct peer *p, const char **what)
{
    struct voice_format format;
    int64_t idle;

    if (!format_read(p, &format))
        *what = "output_format: pcm_*, ulaw_8000 and alaw_8000 are simulated";
    else if (request_number(&p->request, "inactivity_timeout", 1, IDLE_S_MAX, IDLE_S, &idle) < 0)
        *what = "inactivity_timeout: 1 to 180";
    else
        return 0;
    return 400;
}

static void begin(struct peer *p)
{
    struct eleven *e = p->context;
    int64_t idle;

    (void)format_read(p, &e->format);
    if (request_number(&p->request, "inactivity_timeout", 1, IDLE_S_MAX, IDLE_S, &idle) < 0)
        idle = IDLE_S;
    e->multi = p->service == &service_elevenlabs_multi;
    e->alignment = request_flag(&p->request, "sync_alignment");
    e->idle_ns = SECONDS(idle);
    peer_wake(p, peer_now(p) + e->idle_ns);
}

static void http_begin(struct peer *p)
{
    struct eleven *e = p->context;
    struct speaking speaking = {0};
    struct json_doc doc;

    (void)format_read(p, &e->format);
    speaking.format = e->format;
    if (json_read(&doc, p->request.body, MESSAGE_MAX, NULL) < 0 ||
        json_slice_of(&doc, "text").len == 0) {
        peer_refuse(p, peer_now(p), 422, "the body has no text");
        return;
    }
    peer_note_text(p, "speaks", json_slice_of(&doc, "text"));
    peer_stream(p, peer_now(p), "application/octet-stream", "");
    peer_finish(p, speaking_say(p, &speaking, json_slice_of(&doc, "text"), piece_sent, NULL));
    json_free(&doc);
}

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    (void)p;
    jsonw_key(w, "detail");
    jsonw_begin(w);
    jsonw_put_cstr(w, "status",
                   status == 401   ? "invalid_api_key"
                   : status == 429 ? "too_many_concurrent_requests"
                                   : "bad_request");
    jsonw_put_cstr(w, "message", what);
    jsonw_end(w);
}

static void trouble(struct peer *p)
{
    fail(p, "internal_error", "as told to");
}

const struct service service_elevenlabs_input = {
    .name = "elevenlabs.input",
    .method = "GET",
    .path = "/v1/text-to-speech/{}/stream-input",
    .socket = true,
    .state_bytes = sizeof(struct eleven),
    .check = check,
    .begin = begin,
    .message = message,
    .wake = wake,
    .end = end,
    .error_body = error_body,
    .trouble = trouble,
};

const struct service service_elevenlabs_multi = {
    .name = "elevenlabs.multi",
    .method = "GET",
    .path = "/v1/text-to-speech/{}/multi-stream-input",
    .socket = true,
    .state_bytes = sizeof(struct eleven),
    .check = check,
    .begin = begin,
    .message = message,
    .wake = wake,
    .end = end,
    .error_body = error_body,
    .trouble = trouble,
};

const struct service service_elevenlabs_stream = {
    .name = "elevenlabs.stream",
    .method = "POST",
    .path = "/v1/text-to-speech/{}/stream",
    .state_bytes = sizeof(struct eleven),
    .check = check,
    .begin = http_begin,
    .error_body = error_body,
};

const struct service service_elevenlabs_convert = {
    .name = "elevenlabs.convert",
    .method = "POST",
    .path = "/v1/text-to-speech/{}",
    .state_bytes = sizeof(struct eleven),
    .check = check,
    .begin = http_begin,
    .error_body = error_body,
};
