#include "tools/call/twilio_caller.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/json.h"

void twilio_caller_init(struct twilio_caller *c, const char *stream_id, const char *call_id,
                        const char *account, const char *agent, const char *token)
{
    *c = (struct twilio_caller){.stream_id = stream_id,
                                .call_id = call_id,
                                .account = account,
                                .agent = agent,
                                .token = token,
                                .sequence = 1,
                                .chunk = 1};
}

/* ---- to the server ---- */

static void put_number(struct jsonw *w, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    jsonw_put_cstr(w, key, text);
}

static void finish(const struct jsonw *w, struct builder *out)
{
    if (jsonw_finish(w))
        out->bad = true;
}

/* {"event":..,"sequenceNumber":..,"streamSid":..,"<event>":{ */
static void open_event(struct twilio_caller *c, const char *event, struct jsonw *w,
                       struct builder *out)
{
    jsonw_init(w, out);
    jsonw_begin(w);
    jsonw_put_cstr(w, "event", event);
    put_number(w, "sequenceNumber", c->sequence++);
    jsonw_put_cstr(w, "streamSid", c->stream_id);
    jsonw_key(w, event);
    jsonw_begin(w);
}

static void close_event(struct jsonw *w, struct builder *out)
{
    jsonw_end(w);
    jsonw_end(w);
    finish(w, out);
}

void twilio_caller_connected(struct builder *out)
{
    builder_str(out, "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}");
}

static void put_format(struct jsonw *w)
{
    jsonw_key(w, "mediaFormat");
    jsonw_begin(w);
    jsonw_put_cstr(w, "encoding", "audio/x-mulaw");
    jsonw_put_int(w, "sampleRate", 8000);
    jsonw_put_int(w, "channels", 1);
    jsonw_end(w);
}

void twilio_caller_start(struct twilio_caller *c, struct builder *out)
{
    struct jsonw w;

    open_event(c, "start", &w, out);
    jsonw_put_cstr(&w, "streamSid", c->stream_id);
    jsonw_put_cstr(&w, "accountSid", c->account);
    jsonw_put_cstr(&w, "callSid", c->call_id);
    jsonw_key(&w, "tracks");
    jsonw_begin_list(&w);
    jsonw_cstr(&w, "inbound");
    jsonw_end(&w);
    jsonw_key(&w, "customParameters");
    jsonw_begin(&w);
    if (c->agent)
        jsonw_put_cstr(&w, "agent", c->agent);
    if (c->token)
        jsonw_put_cstr(&w, "token", c->token);
    jsonw_end(&w);
    put_format(&w);
    close_event(&w, out);
}

static void put_digits(struct builder *out, uint64_t value)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value);
    builder_bytes(out, digits + at, sizeof(digits) - at);
}

/* By hand, for a harness sends a hundred thousand of them a second; ids need no escape. */
void twilio_caller_media(struct twilio_caller *c, uint64_t timestamp_ms, struct slice audio,
                         struct builder *out)
{
    builder_str(out, "{\"event\":\"media\",\"sequenceNumber\":\"");
    put_digits(out, c->sequence++);
    builder_str(out, "\",\"streamSid\":\"");
    builder_str(out, c->stream_id);
    builder_str(out, "\",\"media\":{\"track\":\"inbound\",\"chunk\":\"");
    put_digits(out, c->chunk++);
    builder_str(out, "\",\"timestamp\":\"");
    put_digits(out, timestamp_ms);
    builder_str(out, "\",\"payload\":\"");
    base64_build(out, audio);
    builder_str(out, "\"}}");
}

void twilio_caller_mark(struct twilio_caller *c, const char *name, struct builder *out)
{
    struct jsonw w;

    open_event(c, "mark", &w, out);
    jsonw_put_cstr(&w, "name", name);
    close_event(&w, out);
}

void twilio_caller_dtmf(struct twilio_caller *c, char digit, struct builder *out)
{
    struct jsonw w;

    open_event(c, "dtmf", &w, out);
    jsonw_put_cstr(&w, "track", "inbound_track");
    jsonw_put_str(&w, "digit", slice_of(&digit, 1));
    close_event(&w, out);
}

void twilio_caller_stop(struct twilio_caller *c, struct builder *out)
{
    struct jsonw w;

    open_event(c, "stop", &w, out);
    jsonw_put_cstr(&w, "accountSid", c->account);
    jsonw_put_cstr(&w, "callSid", c->call_id);
    close_event(&w, out);
}

/* ---- from the server ---- */

static void bad(struct twilio_heard *heard, const char *what)
{
    heard->kind = TWILIO_HEARD_BAD;
    heard->what = what;
}

static void hear_media(const struct json_doc *doc, void *audio, size_t audio_bytes,
                       struct twilio_heard *heard)
{
    struct slice text = json_slice_of(doc, "media.payload");
    size_t len;

    if (!text.at)
        bad(heard, "media without a payload");
    else if (base64_decode(text, audio, audio_bytes, &len))
        bad(heard, "media payload is not base64, or too long");
    else if (len == 0)
        bad(heard, "media with an empty payload");
    else {
        heard->kind = TWILIO_HEARD_MEDIA;
        heard->audio = slice_of(audio, len);
    }
}

static void hear(const struct json_doc *doc, void *audio, size_t audio_bytes,
                 struct twilio_heard *heard)
{
    if (json_is(doc, "event", "media")) {
        hear_media(doc, audio, audio_bytes, heard);
    } else if (json_is(doc, "event", "clear")) {
        heard->kind = TWILIO_HEARD_CLEAR;
    } else if (json_is(doc, "event", "mark")) {
        heard->kind = TWILIO_HEARD_MARK;
        if (json_text_of(doc, "mark.name", heard->mark, sizeof(heard->mark)))
            bad(heard, "mark without a usable name");
    } else {
        heard->kind = TWILIO_HEARD_OTHER;
        heard->what = "unknown event";
    }
}

/* Takes `prefix` off. */
static bool cut(struct slice *s, struct slice prefix)
{
    if (!slice_starts(*s, prefix))
        return false;
    *s = slice_of(s->at + prefix.len, s->len - prefix.len);
    return true;
}

/* The audio message as most servers write it, without building a document; false: look closer. */
static bool hear_plain_media(const struct twilio_caller *c, struct slice message, void *audio,
                             size_t audio_bytes, struct twilio_heard *heard)
{
    struct slice end = SLICE("\"}}");
    size_t len;

    if (!cut(&message, SLICE("{\"event\":\"media\",\"streamSid\":\"")) ||
        !cut(&message, slice_str(c->stream_id)) ||
        !cut(&message, SLICE("\",\"media\":{\"payload\":\"")) || message.len <= end.len ||
        memcmp(message.at + message.len - end.len, end.at, end.len) != 0)
        return false;
    message.len -= end.len;
    if (base64_decode(message, audio, audio_bytes, &len) || len == 0)
        return false;
    heard->kind = TWILIO_HEARD_MEDIA;
    heard->audio = slice_of(audio, len);
    return true;
}

void twilio_caller_parse(const struct twilio_caller *c, struct slice message, void *audio,
                         size_t audio_bytes, struct twilio_heard *heard)
{
    struct json_doc doc;

    heard->what = "";
    heard->audio = SLICE_NONE;
    heard->mark[0] = '\0';
    if (hear_plain_media(c, message, audio, audio_bytes, heard))
        return;
    if (json_read(&doc, message, WS_MESSAGE_BYTES_MAX, NULL)) {
        bad(heard, "message is not JSON");
        return;
    }
    if (!json_is(&doc, "streamSid", c->stream_id))
        bad(heard, "streamSid is missing or not ours");
    else
        hear(&doc, audio, audio_bytes, heard);
    json_free(&doc);
}
