/* OpenAI's speech and transcription endpoints. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "media/wav.h"
#include "tools/providers/service.h"
#include "tools/providers/speaking.h"

#define SPEECH_RATE_HZ 24000
#define INPUT_MAX      4096
#define MESSAGE_MAX    65536
#define REPLY_BYTES    65536

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    service_openai_chat.error_body(p, status, what, w);
}

/* ---- speech ---- */

static void audio_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    (void)context;
    (void)from_ms;
    peer_piece(p, due_ns, audio);
}

static void event_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    size_t size = BASE64_CHARS(audio.len) + 128;
    struct builder b;
    uint8_t *store = malloc(size);
    (void)context;
    (void)from_ms;

    if (!store)
        abort();
    b = builder_of(store, size);
    builder_str(&b, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"");
    base64_build(&b, audio);
    builder_str(&b, "\"}\n\n");
    peer_piece(p, due_ns, builder_slice(&b));
    free(store);
}

static void wav_head(struct peer *p, int64_t due_ns, int64_t ms)
{
    uint8_t store[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(store, sizeof(store));
    struct wav_format wav = {.encoding = WAV_PCM16, .channels = 1, .rate_hz = SPEECH_RATE_HZ};

    if (wav_build(&b, &wav, (uint64_t)ms * (SPEECH_RATE_HZ / 1000) * 2) == 0)
        peer_piece(p, due_ns, builder_slice(&b));
}

static const char *speech_wrong(const struct json_doc *doc)
{
    size_t len = json_slice_of(doc, "input").len;

    if (json_kind_of(doc, "model") != JSON_KIND_TEXT)
        return "you must provide a model parameter";
    if (len == 0 || len > INPUT_MAX)
        return "input: 1 to 4096 characters";
    if (json_kind_of(doc, "voice") == JSON_KIND_NONE)
        return "voice: missing";
    if (!json_is(doc, "response_format", "pcm") && !json_is(doc, "response_format", "wav"))
        return "response_format: pcm and wav are simulated, and mp3, the usual one, is not";
    return NULL;
}

static void speech_say(struct peer *p, const struct json_doc *doc)
{
    struct speaking speaking = {.format = {VOICE_S16, SPEECH_RATE_HZ}};
    struct slice text = json_slice_of(doc, "input");
    bool events = json_is(doc, "stream_format", "sse");
    bool wav = json_is(doc, "response_format", "wav");
    int64_t due;

    peer_note_text(p, "speaks", text);
    peer_stream(p, peer_now(p), events ? "text/event-stream" : wav ? "audio/wav" : "audio/pcm", "");
    if (wav && !events)
        wav_head(p, peer_now(p), voice_text_ms(text, p->server->settings->ms_per_character));
    due = speaking_say(p, &speaking, text, events ? event_sent : audio_sent, NULL);
    if (events)
        peer_piece(p, due,
                   SLICE("data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":1,"
                         "\"output_tokens\":1,\"total_tokens\":2}}\n\n"));
    peer_finish(p, due);
}

static void speech_begin(struct peer *p)
{
    struct json_doc doc;

    if (json_read(&doc, p->request.body, MESSAGE_MAX, NULL) < 0) {
        peer_refuse(p, peer_now(p), 400, "the body of your request could not be parsed as JSON");
        return;
    }
    const char *wrong = speech_wrong(&doc);
    if (wrong)
        peer_refuse(p, peer_now(p), 400, wrong);
    else
        speech_say(p, &doc);
    json_free(&doc);
}

/* ---- transcription ---- */

/* The fields of the form that matter. */
struct upload {
    struct slice file, name, model, format, stream;
};

static void form_read(const struct peer *p, struct upload *u)
{
    struct slice rest = p->request.body, name, file, data;

    while (request_part(&p->request, &rest, &name, &file, &data)) {
        if (slice_equal(name, SLICE("file"))) {
            u->file = data;
            u->name = file;
        } else if (slice_equal(name, SLICE("model")))
            u->model = data;
        else if (slice_equal(name, SLICE("response_format")))
            u->format = data;
        else if (slice_equal(name, SLICE("stream")))
            u->stream = data;
    }
}

/* The script's next line, whatever the sound holds: each upload is an utterance. */
static struct slice text_next(struct peer *p)
{
    struct server *s = p->server;
    const struct hear_script *script = &s->settings->scripts[0];

    while (s->heard[0] < script->count && script->lines[s->heard[0]].at_ms >= 0)
        s->heard[0]++;
    return s->heard[0] < script->count ? script->lines[s->heard[0]++].text : SLICE_NONE;
}

static void put_usage(struct jsonw *w, struct slice text)
{
    jsonw_key(w, "usage");
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", "tokens");
    jsonw_put_int(w, "input_tokens", 14);
    jsonw_put_int(w, "output_tokens", (int64_t)token_count(text));
    jsonw_put_int(w, "total_tokens", 14 + (int64_t)token_count(text));
    jsonw_end(w);
}

static void event_send(struct peer *p, int64_t due, const char *type, const char *key,
                       struct slice text, bool usage)
{
    static uint8_t store[REPLY_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    builder_str(&b, "data: ");
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "type", type);
    jsonw_put_str(&w, key, text);
    if (usage)
        put_usage(&w, text);
    jsonw_end(&w);
    builder_str(&b, "\n\n");
    peer_piece(p, due, builder_slice(&b));
}

static void text_stream(struct peer *p, int64_t due, struct slice text)
{
    struct slice rest = text;

    peer_stream(p, due, "text/event-stream", "");
    for (struct slice word = token_next(&rest); word.len; word = token_next(&rest)) {
        event_send(p, due, "transcript.text.delta", "delta", word, false);
        due += peer_draw(p, &p->server->settings->token);
    }
    event_send(p, due, "transcript.text.done", "text", text, true);
    peer_piece(p, due, SLICE("data: [DONE]\n\n"));
    peer_finish(p, due);
}

static void text_answer(struct peer *p, int64_t due, const struct upload *u, struct slice text)
{
    static uint8_t store[REPLY_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    if (slice_equal(u->format, SLICE("text"))) {
        builder_printf(&b, "%.*s\n", SLICE_ARG(text));
        peer_answer(p, due, 200, "text/plain; charset=utf-8", "", builder_slice(&b));
        return;
    }
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_str(&w, "text", text);
    put_usage(&w, text);
    jsonw_end(&w);
    peer_answer(p, due, 200, "application/json", "", builder_slice(&b));
}

static void transcription_begin(struct peer *p)
{
    struct upload u = {0};
    int64_t due;

    form_read(p, &u);
    if (!u.file.at || !u.name.len || !u.model.len) {
        peer_refuse(p, peer_now(p), 400, "the form needs a file with a name, and a model");
        return;
    }
    if (u.file.len == 0) {
        peer_refuse(p, peer_now(p), 400, "the audio file is empty");
        return;
    }
    struct slice text = text_next(p);
    jsonw_put_int(peer_note(p, "transcribes"), "audio_bytes", (int64_t)u.file.len);
    diary_text(&p->server->diary, "text", text);
    diary_end(&p->server->diary);
    due = peer_now(p) + peer_draw(p, &p->server->settings->transcription);
    if (slice_equal(u.stream, SLICE("true")))
        text_stream(p, due, text);
    else
        text_answer(p, due, &u, text);
}

const struct service service_openai_speech = {
    .name = "openai.speech",
    .method = "POST",
    .path = "/v1/audio/speech",
    .begin = speech_begin,
    .error_body = error_body,
};

const struct service service_openai_transcription = {
    .name = "openai.transcription",
    .method = "POST",
    .path = "/v1/audio/transcriptions",
    .begin = transcription_begin,
    .error_body = error_body,
};
