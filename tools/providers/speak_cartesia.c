/* Cartesia's speech: contexts on one WebSocket whose transcripts come in fragments, and the same in
 * one request, as bytes or as server-sent events. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "media/wav.h"
#include "tools/providers/service.h"
#include "tools/providers/speaking.h"

#define CONTEXTS_MAX   64
#define ID_BYTES       128
#define TEXT_MAX       16384 /* of a context's transcript that waits; beyond: an error */
#define BUFFER_MS      3000  /* that it waits at most, unless the client says otherwise */
#define WORDS_MAX      256
#define REQUEST_MAX    (64 * 1024)
#define EVENT_BYTES    4096
#define CONCURRENT_MAX 50

struct context {
    bool used, over; /* over: its id is burnt */
    char id[ID_BYTES];
    uint32_t tag;
    struct speaking speaking;
    bool timestamps;
    int64_t flushes; /* -1: none so far */
    int64_t wait_ns; /* when the text that waits is spoken in any case */
    char text[TEXT_MAX];
    size_t len;
};

struct cartesia {
    struct context *contexts[CONTEXTS_MAX];
    size_t count;
    uint32_t tags;
    bool sse, bytes;
    struct context one; /* of a request without contexts */
};

/* ---- what is sent ---- */

static void say(struct peer *p, int64_t due_ns, uint32_t tag, const char *name, struct slice json)
{
    const struct cartesia *k = p->context;
    struct builder b;
    uint8_t *store;

    if (!k->sse) {
        peer_text(p, due_ns, tag, json);
        return;
    }
    store = malloc(json.len + 64);
    if (!store)
        abort();
    b = builder_of(store, json.len + 64);
    builder_printf(&b, "event: %s\ndata: %.*s\n\n", name, SLICE_ARG(json));
    peer_piece(p, due_ns, builder_slice(&b));
    free(store);
}

/* {"type","context_id","done","status_code"; the caller adds and ends. */
static void put_head(struct jsonw *w, struct builder *b, const struct context *c, const char *type,
                     bool done, int status)
{
    jsonw_init(w, b);
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", type);
    if (c && c->id[0])
        jsonw_put_cstr(w, "context_id", c->id);
    jsonw_put_bool(w, "done", done);
    jsonw_put_int(w, "status_code", status);
}

static void chunk_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    struct context *c = context;
    const struct cartesia *k = p->context;
    size_t size = BASE64_CHARS(audio.len) + 512;
    struct builder b;
    struct jsonw w;
    uint8_t *store;
    (void)from_ms;

    if (k->bytes) {
        peer_piece(p, due_ns, audio);
        return;
    }
    store = malloc(size);
    if (!store)
        abort();
    b = builder_of(store, size);
    put_head(&w, &b, c, "chunk", false, 206);
    jsonw_key(&w, "step_time");
    jsonw_double(&w, 12.5, 1);
    if (c->flushes >= 0)
        jsonw_put_int(&w, "flush_id", c->flushes);
    jsonw_key(&w, "data");
    builder_u8(&b, '"');
    base64_build(&b, audio);
    builder_str(&b, "\"}");
    say(p, due_ns, c->tag, "chunk", builder_slice(&b));
    free(store);
}

static void timestamps_send(struct peer *p, struct context *c, int64_t due_ns, struct slice text,
                            uint64_t from, uint64_t to)
{
    static uint8_t store[REQUEST_MAX];
    struct builder b = builder_of(store, sizeof(store));
    static const char *const keys[] = {"words", "start", "end"};
    size_t count = token_count(text);
    double rate = c->speaking.format.rate_hz, span = (double)(to - from) / rate;
    struct jsonw w;

    if (count == 0 || count > WORDS_MAX)
        return;
    put_head(&w, &b, c, "timestamps", false, 206);
    jsonw_key(&w, "word_timestamps");
    jsonw_begin(&w);
    for (int k = 0; k < 3; k++) {
        struct slice rest = text;
        jsonw_key(&w, keys[k]);
        jsonw_begin_list(&w);
        for (size_t i = 0; i < count; i++) {
            struct slice word = slice_trim(token_next(&rest));
            double at = (double)(i + (size_t)(k == 2)) / (double)count;
            if (k == 0)
                jsonw_str(&w, word);
            else
                jsonw_double(&w, (double)from / rate + span * at, 3);
        }
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    say(p, due_ns, c->tag, "timestamps", builder_slice(&b));
}

static void error_send(struct peer *p, const struct context *c, const char *id, int status,
                       const char *title, const char *what)
{
    uint8_t store[EVENT_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    put_head(&w, &b, c, "error", true, status);
    if (!c && id[0])
        jsonw_put_cstr(&w, "context_id", id);
    jsonw_put_cstr(&w, "title", title);
    jsonw_put_cstr(&w, "message", what);
    jsonw_put_cstr(&w, "error", what); /* what versions before 2025 call it */
    jsonw_put_cstr(&w, "error_code", status == 429 ? "concurrency_limited" : "bad_request");
    jsonw_put_cstr(&w, "request_id", p->request_id);
    jsonw_end(&w);
    say(p, peer_now(p), PEER_SHARED_TAG, "error", builder_slice(&b));
}

static int64_t done_due(struct peer *p, const struct context *c)
{
    int64_t now = peer_now(p), due = peer_last_due(p, c->tag);

    return due > now ? due : now;
}

static void event_send(struct peer *p, const struct context *c, const char *type, bool done,
                       int64_t flush)
{
    uint8_t store[EVENT_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    put_head(&w, &b, c, type, done, done ? 200 : 206);
    if (flush >= 0) {
        jsonw_put_int(&w, "flush_id", flush);
        jsonw_put_bool(&w, "flush_done", true);
    }
    jsonw_end(&w);
    say(p, done_due(p, c), c->tag, type, builder_slice(&b));
}

/* Speaks the first `len` bytes of what waits. */
static void speak(struct peer *p, struct context *c, size_t len)
{
    struct slice text = slice_of(c->text, len);
    uint64_t from = c->speaking.sample;

    if (len == 0)
        return;
    peer_note_text(p, "speaks", text);
    int64_t due = speaking_say(p, &c->speaking, text, chunk_sent, c);
    if (c->timestamps && c->speaking.sample > from)
        timestamps_send(p, c, due, text, from, c->speaking.sample);
    memmove(c->text, c->text + len, c->len - len);
    c->len -= len;
}

/* ---- what is asked ---- */

static const char *format_read(const struct json_doc *doc, struct voice_format *out,
                               bool container_too)
{
    char encoding[32];
    bool wav = json_is(doc, "output_format.container", "wav");
    int64_t rate;

    if (json_text_of(doc, "output_format.encoding", encoding, sizeof(encoding)) < 0 ||
        !voice_encoding_named(slice_str(encoding), &out->encoding) ||
        strncmp(encoding, "pcm_", 4) != 0)
        return "output_format.encoding: pcm_s16le, pcm_f32le, pcm_mulaw and pcm_alaw are simulated";
    if (json_int_of(doc, "output_format.sample_rate", 8000, 48000, &rate) < 0)
        return "output_format.sample_rate: 8000 to 48000";
    if (wav ? !container_too || out->encoding == VOICE_F32
            : !json_is(doc, "output_format.container", "raw"))
        return "output_format.container: raw is simulated, and for bytes wav of 16 bit or G.711";
    out->rate_hz = (uint32_t)rate;
    return NULL;
}

static const char *request_wrong(const struct json_doc *doc, struct voice_format *format,
                                 bool container_too)
{
    if (json_kind_of(doc, "model_id") != JSON_KIND_TEXT)
        return "model_id: missing";
    if (json_kind_of(doc, "transcript") != JSON_KIND_TEXT)
        return "transcript: missing";
    if (json_kind_of(doc, "voice") == JSON_KIND_NONE)
        return "voice: missing";
    return format_read(doc, format, container_too);
}

static struct context *context_find(struct cartesia *k, const char *id)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->contexts[i]->id, id) == 0)
            return k->contexts[i];
    return NULL;
}

/* A place for one more: a new one, or that of the context that ended first. */
static struct context *context_new(struct cartesia *k, const char *id)
{
    struct context *c = NULL;

    for (size_t i = 0; i < k->count && k->count == CONTEXTS_MAX && !c; i++)
        if (k->contexts[i]->over)
            c = k->contexts[i];
    if (!c && k->count == CONTEXTS_MAX)
        return NULL;
    if (!c) {
        c = malloc(sizeof(*c));
        if (!c)
            abort();
        k->contexts[k->count++] = c;
    }
    memset(c, 0, offsetof(struct context, text));
    c->len = 0;
    c->used = true;
    c->flushes = -1;
    c->wait_ns = NEVER_NS;
    c->tag = ++k->tags;
    snprintf(c->id, sizeof(c->id), "%s", id);
    return c;
}

static size_t contexts_active(const struct cartesia *k)
{
    size_t n = 0;

    for (size_t i = 0; i < k->count; i++)
        n += !k->contexts[i]->over;
    return n;
}

static void wake_next(struct peer *p, const struct cartesia *k)
{
    int64_t at = NEVER_NS;

    for (size_t i = 0; i < k->count; i++)
        if (!k->contexts[i]->over && k->contexts[i]->len && k->contexts[i]->wait_ns < at)
            at = k->contexts[i]->wait_ns;
    peer_wake(p, at);
}

/* Fragments are joined as they are. Whole sentences are spoken at once; the rest waits for more. */
static void fragment_take(struct peer *p, struct context *c, const struct json_doc *doc)
{
    struct slice text = json_slice_of(doc, "transcript");
    int64_t buffer_ms = BUFFER_MS;
    bool more = false, flush = false;

    (void)!json_bool_of(doc, "continue", &more);
    (void)!json_bool_of(doc, "flush", &flush);
    (void)!json_bool_of(doc, "add_timestamps", &c->timestamps);
    (void)!json_int_of(doc, "max_buffer_delay_ms", 0, 5000, &buffer_ms);
    memcpy(c->text + c->len, text.at, text.len);
    if (c->len == 0)
        c->wait_ns = peer_now(p) + MS(buffer_ms);
    c->len += text.len;
    if (!more || flush || buffer_ms == 0)
        speak(p, c, c->len);
    else
        speak(p, c, speaking_sentence(slice_of(c->text, c->len)));
    if (flush)
        event_send(p, c, "flush_done", false, ++c->flushes);
    if (more)
        return;
    event_send(p, c, "done", true, -1);
    c->over = true;
}

static void generate(struct peer *p, struct cartesia *k, const char *id, const struct json_doc *doc)
{
    struct voice_format format;
    struct context *c = context_find(k, id);
    const char *wrong = request_wrong(doc, &format, false);

    if (!wrong && c && c->over)
        wrong = "this context has ended: take another context_id";
    if (!wrong && c &&
        (format.encoding != c->speaking.format.encoding ||
         format.rate_hz != c->speaking.format.rate_hz))
        wrong = "every request of a context names the same output_format";
    if (!wrong && (c ? c->len : 0) + json_slice_of(doc, "transcript").len > TEXT_MAX)
        wrong = "transcript: too long";
    if (wrong) {
        error_send(p, c, id, 400, "Bad Request", wrong);
        return;
    }
    if (!c && contexts_active(k) < CONCURRENT_MAX)
        c = context_new(k, id);
    if (!c) {
        error_send(p, NULL, id, 429, "Too Many Requests", "too many contexts at once");
        return;
    }
    c->speaking.format = format;
    fragment_take(p, c, doc);
}

/* What is already on its way still comes, as it does from the vendor. */
static void cancel(struct peer *p, struct cartesia *k, const char *id)
{
    struct context *c = context_find(k, id);

    if (!c || c->over)
        return;
    jsonw_put_bool(peer_note(p, "cancelled"), "unsent", peer_cancel(p, c->tag));
    diary_text(&p->server->diary, "context", slice_str(id));
    diary_end(&p->server->diary);
    event_send(p, c, "done", true, -1);
    c->over = true;
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct cartesia *k = p->context;
    struct json_doc doc;
    char id[ID_BYTES];
    bool stop = false;

    if (!text || json_read(&doc, data, REQUEST_MAX, NULL) < 0) {
        error_send(p, NULL, "", 400, "Bad Request", "the message is no JSON");
        return;
    }
    (void)!json_bool_of(&doc, "cancel", &stop);
    if (json_text_of(&doc, "context_id", id, sizeof(id)) < 0)
        error_send(p, NULL, "", 400, "Bad Request", "context_id: missing");
    else if (stop)
        cancel(p, k, id);
    else
        generate(p, k, id, &doc);
    json_free(&doc);
    wake_next(p, k);
}

static void wake(struct peer *p)
{
    struct cartesia *k = p->context;
    int64_t now = peer_now(p);

    for (size_t i = 0; i < k->count; i++)
        if (!k->contexts[i]->over && k->contexts[i]->wait_ns <= now + NS_PER_MS)
            speak(p, k->contexts[i], k->contexts[i]->len);
    wake_next(p, k);
}

static void end(struct peer *p)
{
    struct cartesia *k = p->context;

    for (size_t i = 0; i < k->count; i++)
        free(k->contexts[i]);
    k->count = 0;
}

static uint16_t check(struct peer *p, const char **what)
{
    char version[16];

    if (request_header(&p->request, "cartesia-version").len ||
        request_arg(&p->request, "cartesia_version", version, sizeof(version)))
        return 0;
    *what = "the Cartesia-Version is missing";
    return 400;
}

static void begin(struct peer *p)
{
    (void)p;
}

/* ---- without contexts ---- */

static void wav_head(struct peer *p, const struct voice_format *f, int64_t due_ns, int64_t ms)
{
    uint8_t store[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(store, sizeof(store));
    struct wav_format wav = {
        .encoding = f->encoding == VOICE_S16     ? WAV_PCM16
                    : f->encoding == VOICE_MULAW ? WAV_MULAW
                                                 : WAV_ALAW,
        .channels = 1,
        .rate_hz = f->rate_hz,
    };
    uint64_t samples = (uint64_t)(ms * f->rate_hz / 1000);

    if (wav_build(&b, &wav, samples * wav_block_bytes(&wav)) == 0)
        peer_piece(p, due_ns, builder_slice(&b));
}

static void one_say(struct peer *p, struct context *c, const struct json_doc *doc)
{
    const struct settings *s = p->server->settings;
    const struct cartesia *k = p->context;
    struct slice text = json_slice_of(doc, "transcript");
    int64_t first = peer_now(p);

    (void)!json_bool_of(doc, "add_timestamps", &c->timestamps);
    (void)!json_text_of(doc, "context_id", c->id, sizeof(c->id));
    memcpy(c->text, text.at, text.len);
    c->len = text.len;
    peer_stream(p, first, k->sse ? "text/event-stream" : "audio/wav", "");
    if (k->bytes && json_is(doc, "output_format.container", "wav"))
        wav_head(p, &c->speaking.format, first, voice_text_ms(text, s->ms_per_character));
    speak(p, c, c->len);
    int64_t due = c->speaking.free_ns > first ? c->speaking.free_ns : first;
    if (k->sse) {
        uint8_t store[EVENT_BYTES];
        struct builder b = builder_of(store, sizeof(store));
        struct jsonw w;
        put_head(&w, &b, c, "done", true, 200);
        jsonw_end(&w);
        say(p, due, c->tag, "done", builder_slice(&b));
    }
    peer_finish(p, due);
}

static void one_begin(struct peer *p)
{
    struct cartesia *k = p->context;
    struct context *c = &k->one;
    struct json_doc doc;

    k->sse = strcmp(p->service->name, "cartesia.sse") == 0;
    k->bytes = !k->sse;
    c->flushes = -1;
    if (json_read(&doc, p->request.body, REQUEST_MAX, NULL) < 0) {
        peer_refuse(p, peer_now(p), 400, "the body is no JSON");
        return;
    }
    const char *wrong = request_wrong(&doc, &c->speaking.format, k->bytes);
    if (!wrong && json_slice_of(&doc, "transcript").len > TEXT_MAX)
        wrong = "transcript: too long";
    if (wrong)
        peer_refuse(p, peer_now(p), 400, wrong);
    else
        one_say(p, c, &doc);
    json_free(&doc);
}

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    jsonw_put_cstr(w, "title", status == 401 ? "Unauthorized" : "Error");
    jsonw_put_cstr(w, "message", what);
    jsonw_put_cstr(w, "error_code", status == 401 ? "invalid_api_key" : "bad_request");
    jsonw_put_cstr(w, "request_id", p->request_id);
}

static void trouble(struct peer *p)
{
    error_send(p, NULL, "", 500, "Internal Server Error", "as told to");
    if (p->state != PEER_SOCKET)
        peer_finish(p, peer_now(p));
}

const struct service service_cartesia_tts = {
    .name = "cartesia.tts",
    .method = "GET",
    .path = "/tts/websocket",
    .socket = true,
    .state_bytes = sizeof(struct cartesia),
    .check = check,
    .begin = begin,
    .message = message,
    .wake = wake,
    .end = end,
    .error_body = error_body,
    .trouble = trouble,
};

const struct service service_cartesia_bytes = {
    .name = "cartesia.bytes",
    .method = "POST",
    .path = "/tts/bytes",
    .state_bytes = sizeof(struct cartesia),
    .check = check,
    .begin = one_begin,
    .error_body = error_body,
};

const struct service service_cartesia_sse = {
    .name = "cartesia.sse",
    .method = "POST",
    .path = "/tts/sse",
    .state_bytes = sizeof(struct cartesia),
    .check = check,
    .begin = one_begin,
    .error_body = error_body,
    .trouble = trouble,
};
