#include "carrier/twilio.h"

#include <errno.h>

#include "base/base64.h"

/* ---- messages from Twilio ---- */

static enum carrier_detect detect(bool text, struct slice message, const struct json_doc *doc)
{
    (void)message;
    if (!text || !doc)
        return CARRIER_NO;
    if (json_is(doc, "event", "connected"))
        return CARRIER_MAYBE;
    bool start = json_is(doc, "event", "start") && json_slice_of(doc, "start.streamSid").at &&
                 json_slice_of(doc, "start.callSid").at;
    return start ? CARRIER_YES : CARRIER_NO;
}

static const char *read_ids(const struct json_doc *doc, struct carrier_start *start)
{
    if (json_text_of(doc, "start.streamSid", start->stream_id, sizeof(start->stream_id)) ||
        !carrier_id_plain(slice_str(start->stream_id)))
        return "start without a usable streamSid";
    if (json_text_of(doc, "start.callSid", start->call_id, sizeof(start->call_id)) ||
        !carrier_id_plain(slice_str(start->call_id)))
        return "start without a usable callSid";
    if (carrier_text(doc, "start.accountSid", start->account, sizeof(start->account)))
        return "start with an unusable accountSid";
    return NULL;
}

static const char *read_parameters(const struct json_doc *doc, struct carrier_start *start)
{
    if (carrier_text(doc, "start.customParameters.agent", start->agent, sizeof(start->agent)))
        return "custom parameter agent is unusable";
    if (!start->agent[0] &&
        carrier_text(doc, "start.customParameters.agent_id", start->agent, sizeof(start->agent)))
        return "custom parameter agent_id is unusable";
    if (carrier_text(doc, "start.customParameters.token", start->token, sizeof(start->token)))
        return "custom parameter token is unusable";
    if (carrier_text(doc, "start.customParameters.from", start->from, sizeof(start->from)) ||
        carrier_text(doc, "start.customParameters.to", start->to, sizeof(start->to)))
        return "custom parameter from or to is unusable";
    return NULL;
}

/* Always mu-law, 8 kHz, one channel; a message that says nothing means the same. */
static const char *read_format(const struct json_doc *doc, struct carrier_start *start)
{
    char encoding[32];
    uint64_t rate_hz, channels;

    if (carrier_text(doc, "start.mediaFormat.encoding", encoding, sizeof(encoding)) ||
        (encoding[0] && strcmp(encoding, "audio/x-mulaw") != 0))
        return "media format is not audio/x-mulaw";
    if (carrier_count(doc, "start.mediaFormat.sampleRate", &rate_hz) ||
        (rate_hz && rate_hz != 8000))
        return "sample rate is not 8000";
    if (carrier_count(doc, "start.mediaFormat.channels", &channels) || channels > 1)
        return "more than one channel";
    start->encoding = CARRIER_MULAW8;
    start->rate_hz = 8000;
    return NULL;
}

static void on_start(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    const char *fault;

    if (c->phase != CARRIER_NEW) {
        carrier_bad(c, ev, "second start");
        return;
    }
    fault = read_ids(doc, &ev->start);
    if (!fault)
        fault = read_parameters(doc, &ev->start);
    if (!fault)
        fault = read_format(doc, &ev->start);
    if (fault) {
        carrier_bad(c, ev, fault);
        return;
    }
    memcpy(c->stream_id, ev->start.stream_id, sizeof(c->stream_id));
    c->stream_id_len = strlen(c->stream_id);
    c->phase = CARRIER_STARTED;
    ev->kind = CARRIER_START;
}

/* Twilio sends only the caller's track on a bidirectional stream; another one is not for us. */
static bool inbound(const struct json_doc *doc)
{
    char track[16];
    int err = json_text_of(doc, "media.track", track, sizeof(track));

    return err == -ENOENT ||
           (err == 0 && (strcmp(track, "inbound") == 0 || strcmp(track, "inbound_track") == 0));
}

static void on_media(struct carrier *c, const struct json_doc *doc, void *audio, size_t audio_bytes,
                     struct carrier_event *ev)
{
    struct slice text = json_slice_of(doc, "media.payload");
    size_t len;

    if (carrier_count(doc, "media.chunk", &ev->chunk) ||
        carrier_count(doc, "media.timestamp", &ev->timestamp_ms)) {
        carrier_bad(c, ev, "chunk or timestamp is not a number");
        return;
    }
    if (!text.at) {
        carrier_bad(c, ev, "media without a payload");
        return;
    }
    int err = base64_decode(text, audio, audio_bytes, &len);
    if (err) {
        carrier_bad(c, ev,
                    err == -EMSGSIZE ? "media payload too long" : "media payload is not base64");
        return;
    }
    if (len == 0 || !inbound(doc)) {
        carrier_ignore(ev, len ? "another track" : "empty payload");
        return;
    }
    ev->audio = slice_of(audio, len);
    ev->kind = CARRIER_MEDIA;
    if (!carrier_in_order(c, ev))
        carrier_bad(c, ev, "media out of order");
}

static void on_mark(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    if (json_text_of(doc, "mark.name", ev->mark, sizeof(ev->mark)))
        carrier_bad(c, ev, "mark without a usable name");
    else
        ev->kind = CARRIER_MARK;
}

/* Events of a stream under way: they name the stream, or none. */
static bool stream_fits(const struct carrier *c, const struct json_doc *doc)
{
    enum json_kind kind = json_kind_of(doc, "streamSid");

    return kind == JSON_KIND_NONE || kind == JSON_KIND_NULL ||
           json_is(doc, "streamSid", c->stream_id);
}

static void on_stream_event(struct carrier *c, const struct json_doc *doc, void *audio,
                            size_t audio_bytes, struct carrier_event *ev)
{
    bool media = json_is(doc, "event", "media"), dtmf = json_is(doc, "event", "dtmf");
    bool mark = json_is(doc, "event", "mark"), stop = json_is(doc, "event", "stop");

    if (!media && !dtmf && !mark && !stop) {
        carrier_ignore(ev, "unknown event");
        return;
    }
    if (stop) {
        c->phase = CARRIER_STOPPED;
        ev->kind = CARRIER_STOP;
    } else if (c->phase == CARRIER_NEW) {
        carrier_bad(c, ev, "stream event before start");
    } else if (!stream_fits(c, doc)) {
        carrier_bad(c, ev, "event of another stream");
    } else if (media) {
        on_media(c, doc, audio, audio_bytes, ev);
    } else if (dtmf) {
        carrier_dtmf(c, doc, ev);
    } else {
        on_mark(c, doc, ev);
    }
}

static void on_message(struct carrier *c, const struct json_doc *doc, void *audio,
                       size_t audio_bytes, struct carrier_event *ev)
{
    if (!json_slice_of(doc, "event").at)
        carrier_bad(c, ev, "message without an event");
    else if (carrier_count(doc, "sequenceNumber", &ev->sequence))
        carrier_bad(c, ev, "sequenceNumber is not a number");
    else if (json_is(doc, "event", "start"))
        on_start(c, doc, ev);
    else if (!json_is(doc, "event", "connected"))
        on_stream_event(c, doc, audio, audio_bytes, ev);
    else if (c->phase == CARRIER_NEW)
        ev->kind = CARRIER_CONNECTED;
    else
        carrier_ignore(ev, "connected after start");
}

void twilio_parse_any(struct carrier *c, struct slice message, void *audio, size_t audio_bytes,
                      struct carrier_event *ev)
{
    struct json_doc doc;

    ev->what = "";
    ev->sequence = ev->chunk = ev->timestamp_ms = 0;
    if (c->phase == CARRIER_STOPPED) {
        carrier_ignore(ev, "after the end");
        return;
    }
    if (json_read(&doc, message, WS_MESSAGE_BYTES_MAX, NULL)) {
        carrier_bad(c, ev, "message is not JSON");
        return;
    }
    on_message(c, &doc, audio, audio_bytes, ev);
    json_free(&doc);
}

static void parse(struct carrier *c, bool text, struct slice message, void *audio,
                  size_t audio_bytes, struct carrier_event *ev)
{
    if (!text && c->phase != CARRIER_STOPPED) {
        carrier_bad(c, ev, "binary message");
        return;
    }
    if (twilio_parse_media(c, message, audio, audio_bytes, ev)) {
        if (!carrier_in_order(c, ev))
            carrier_bad(c, ev, "media out of order");
    } else if (!twilio_parse_mark(c, message, ev)) {
        twilio_parse_any(c, message, audio, audio_bytes, ev);
    }
}

/* ---- messages to Twilio ---- */

static void head(const struct carrier *c, const char *event, struct builder *out)
{
    builder_str(out, "{\"event\":\"");
    builder_str(out, event);
    builder_str(out, "\",\"streamSid\":\"");
    builder_bytes(out, c->stream_id, c->stream_id_len); /* carrier_id_plain: needs no escape */
}

static void media(const struct carrier *c, struct slice audio, struct builder *out)
{
    head(c, "media", out);
    builder_str(out, "\",\"media\":{\"payload\":\"");
    base64_build(out, audio);
    builder_str(out, "\"}}");
}

static void mark(const struct carrier *c, const char *name, struct builder *out)
{
    struct jsonw w;

    head(c, "mark", out);
    builder_str(out, "\",\"mark\":{\"name\":");
    jsonw_init(&w, out);
    jsonw_cstr(&w, name);
    builder_str(out, "}}");
}

static void clear(const struct carrier *c, struct builder *out)
{
    head(c, "clear", out);
    builder_str(out, "\"}");
}

const struct carrier_ops carrier_twilio = {
    .name = "twilio",
    .buffers = true,
    .marks_after_clear = true,
    .lead_ms = 60,
    .detect = detect,
    .parse = parse,
    .media = media,
    .mark = mark,
    .clear = clear,
    .hang_up = NULL, /* closing the socket ends the stream; ending the call is a REST request */
};
