/* Deepgram's speech, `/v1/speak`: text by WebSocket with Flush and Clear, or one request. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/providers/service.h"
#include "tools/providers/speaking.h"

#define TEXT_MAX    8192 /* that waits for a Flush; beyond: an error */
#define SPEAK_MAX   2000 /* characters of one Speak; beyond: an error */
#define MESSAGE_MAX 65536
#define REPLY_BYTES 1024
#define AUDIO_TAG   1

struct aura {
    struct speaking speaking;
    int64_t sequence;
    char text[TEXT_MAX];
    size_t len;
};

static void audio_sent(struct peer *p, void *context, int64_t due_ns, struct slice audio,
                       int64_t from_ms)
{
    (void)context;
    (void)from_ms;
    if (p->state == PEER_SOCKET)
        peer_binary(p, due_ns, AUDIO_TAG, audio);
    else
        peer_piece(p, due_ns, audio);
}

static void sequence_send(struct peer *p, const char *type, int64_t due_ns, uint32_t tag)
{
    struct aura *a = p->context;
    char json[64];

    snprintf(json, sizeof(json), "{\"type\":\"%s\",\"sequence_id\":%lld}", type,
             (long long)a->sequence++);
    peer_text(p, due_ns, tag, slice_str(json));
}

static void warning_send(struct peer *p, const char *what)
{
    char json[256];

    snprintf(json, sizeof(json),
             "{\"type\":\"Warning\",\"code\":\"DATA-0000\",\"description\":\"%s\"}", what);
    peer_text(p, peer_now(p), PEER_SHARED_TAG, slice_str(json));
}

static void speak(struct peer *p, struct aura *a, size_t len)
{
    if (len == 0)
        return;
    peer_note_text(p, "speaks", slice_of(a->text, len));
    speaking_say(p, &a->speaking, slice_of(a->text, len), audio_sent, a);
    memmove(a->text, a->text + len, a->len - len);
    a->len -= len;
}

/* Whole sentences are spoken at once, the rest waits for a Flush. */
static void text_take(struct peer *p, struct aura *a, struct slice text)
{
    if (text.len > SPEAK_MAX || a->len + text.len > sizeof(a->text)) {
        warning_send(p, "the text is too long: Flush more often");
        return;
    }
    memcpy(a->text + a->len, text.at, text.len);
    a->len += text.len;
    speak(p, a, speaking_sentence(slice_of(a->text, a->len)));
}

static void flush(struct peer *p, struct aura *a)
{
    int64_t now = peer_now(p), due;

    speak(p, a, a->len);
    due = peer_last_due(p, AUDIO_TAG);
    sequence_send(p, "Flushed", due > now ? due : now, AUDIO_TAG);
}

static void clear(struct peer *p, struct aura *a)
{
    a->len = 0;
    a->speaking.free_ns = 0;
    jsonw_put_bool(peer_note(p, "cleared"), "unsent", peer_cancel(p, AUDIO_TAG));
    diary_end(&p->server->diary);
    sequence_send(p, "Cleared", peer_now(p), PEER_SHARED_TAG);
}

static void hang_up(struct peer *p, struct aura *a)
{
    int64_t now = peer_now(p), due;

    speak(p, a, a->len);
    due = peer_last_due(p, AUDIO_TAG);
    peer_close_socket(p, due > now ? due : now, WS_CLOSE_NORMAL, "");
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct aura *a = p->context;
    struct json_doc doc;

    if (!text || json_read(&doc, data, MESSAGE_MAX, NULL) < 0) {
        warning_send(p, "the message is no JSON");
        return;
    }
    if (json_is(&doc, "type", "Speak"))
        text_take(p, a, json_slice_of(&doc, "text"));
    else if (json_is(&doc, "type", "Flush"))
        flush(p, a);
    else if (json_is(&doc, "type", "Clear"))
        clear(p, a);
    else if (json_is(&doc, "type", "Close"))
        hang_up(p, a);
    else
        warning_send(p, "this type is not known");
    json_free(&doc);
}

/* ---- the request ---- */

static const char *format_read(const struct peer *p, struct voice_format *out)
{
    char text[32], container[16];
    int64_t rate;

    out->encoding = VOICE_S16;
    if (request_arg(&p->request, "encoding", text, sizeof(text)) &&
        (!voice_encoding_named(slice_str(text), &out->encoding) || out->encoding == VOICE_F32))
        return "encoding: linear16, mulaw and alaw are simulated";
    if (!p->service->socket && !text[0])
        return "encoding: linear16, mulaw and alaw are simulated, and mp3, the usual one, is not";
    if (request_number(&p->request, "sample_rate", 8000, 48000,
                       out->encoding == VOICE_S16 ? 24000 : 8000, &rate) < 0)
        return "sample_rate: 8000 to 48000";
    if (!p->service->socket &&
        (!request_arg(&p->request, "container", container, 16) || strcmp(container, "none") != 0))
        return "container: none is simulated";
    out->rate_hz = (uint32_t)rate;
    return NULL;
}

static uint16_t check(struct peer *p, const char **what)
{
    struct voice_format format;
    const char *wrong = format_read(p, &format);

    if (wrong)
        *what = wrong;
    return wrong ? 400 : 0;
}

static void model_of(const struct peer *p, char *out, size_t out_bytes)
{
    if (!request_arg(&p->request, "model", out, out_bytes) || strchr(out, '"'))
        snprintf(out, out_bytes, "aura-2-thalia-en");
}

static void begin(struct peer *p)
{
    struct aura *a = p->context;
    char json[REPLY_BYTES], model[64];

    (void)format_read(p, &a->speaking.format);
    model_of(p, model, sizeof(model));
    snprintf(json, sizeof(json),
             "{\"type\":\"Metadata\",\"request_id\":\"%s\",\"model_name\":\"%s\","
             "\"model_version\":\"2025-04-07.0\","
             "\"model_uuid\":\"ecb76e9d-f2db-4127-8060-79b05590d22f\"}",
             p->request_id, model);
    peer_text(p, peer_now(p), PEER_SHARED_TAG, slice_str(json));
}

static void http_begin(struct peer *p)
{
    struct aura *a = p->context;
    struct json_doc doc;
    char headers[256], model[64];

    (void)format_read(p, &a->speaking.format);
    if (json_read(&doc, p->request.body, MESSAGE_MAX, NULL) < 0 ||
        json_slice_of(&doc, "text").len == 0) {
        peer_refuse(p, peer_now(p), 400, "the body has no text");
        return;
    }
    struct slice text = json_slice_of(&doc, "text");
    model_of(p, model, sizeof(model));
    snprintf(headers, sizeof(headers),
             "dg-model-name: %s\r\ndg-request-id: %s\r\ndg-char-count: %zu\r\n", model,
             p->request_id, text.len);
    if (text.len > SPEAK_MAX) {
        peer_refuse(p, peer_now(p), 413, "the text is too long");
    } else {
        peer_note_text(p, "speaks", text);
        peer_stream(p, peer_now(p), "audio/l16", headers);
        peer_finish(p, speaking_say(p, &a->speaking, text, audio_sent, a));
    }
    json_free(&doc);
}

static void error_body(struct peer *p, uint16_t status, const char *what, struct jsonw *w)
{
    jsonw_put_cstr(w, "err_code", status == 401 ? "INVALID_AUTH" : "Bad Request");
    jsonw_put_cstr(w, "err_msg", what);
    jsonw_put_cstr(w, "request_id", p->request_id);
}

static void trouble(struct peer *p)
{
    peer_text(p, peer_now(p), PEER_SHARED_TAG,
              SLICE("{\"type\":\"Error\",\"code\":\"NET-0000\",\"description\":\"as told to\"}"));
    peer_close_socket(p, peer_now(p), WS_CLOSE_SERVER_ERROR, "NET-0000 as told to");
}

const struct service service_deepgram_speak = {
    .name = "deepgram.speak",
    .method = "GET",
    .path = "/v1/speak",
    .socket = true,
    .state_bytes = sizeof(struct aura),
    .check = check,
    .begin = begin,
    .message = message,
    .error_body = error_body,
    .trouble = trouble,
};

const struct service service_deepgram_speak_http = {
    .name = "deepgram.speak_http",
    .method = "POST",
    .path = "/v1/speak",
    .state_bytes = sizeof(struct aura),
    .check = check,
    .begin = http_begin,
    .error_body = error_body,
};
