/* Plivo's audio stream, which Vobiz speaks too: begins with `start`, without a preamble; ends with
 * the socket. Our own XML asks for mu-law at 8 kHz, so nothing else is spoken. Pure, shard threads;
 * docs/protocols/plivo.md. */
#include <errno.h>

#include "base/base64.h"
#include "carrier/carrier.h"

extern const struct carrier_ops carrier_plivo;

/* ---- messages from Plivo ---- */

static enum carrier_detect detect(bool text, struct slice message, const struct json_doc *doc)
{
    (void)message;
    bool start = text && doc && json_is(doc, "event", "start") &&
                 json_slice_of(doc, "start.streamId").at && json_slice_of(doc, "start.callId").at;

    return start ? CARRIER_YES : CARRIER_NO;
}

/* "audio/x-mulaw", also with ";rate=8000" behind it; who says nothing means the same. */
static bool is_mulaw(const struct json_doc *doc)
{
    struct slice rest, encoding = json_slice_of(doc, "start.mediaFormat.encoding");
    uint64_t rate_hz;

    if (carrier_count(doc, "start.mediaFormat.sampleRate", &rate_hz) ||
        (rate_hz && rate_hz != 8000))
        return false;
    return !encoding.at || slice_equal(slice_cut(encoding, ';', &rest), SLICE("audio/x-mulaw"));
}

static const char *read_start(const struct json_doc *doc, struct carrier_start *start)
{
    *start = (struct carrier_start){.encoding = CARRIER_MULAW8, .rate_hz = 8000};
    if (json_text_of(doc, "start.streamId", start->stream_id, sizeof(start->stream_id)) ||
        !carrier_id_plain(slice_str(start->stream_id)))
        return "start without a usable streamId";
    if (json_text_of(doc, "start.callId", start->call_id, sizeof(start->call_id)) ||
        !carrier_id_plain(slice_str(start->call_id)))
        return "start without a usable callId";
    if (carrier_text(doc, "start.accountId", start->account, sizeof(start->account)))
        return "start with an unusable accountId";
    return is_mulaw(doc) ? NULL : "media format is not audio/x-mulaw at 8000 Hz";
}

static void on_start(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    const char *fault = c->phase == CARRIER_NEW ? read_start(doc, &ev->start) : "second start";

    if (fault) {
        carrier_bad(c, ev, fault);
        return;
    }
    memcpy(c->stream_id, ev->start.stream_id, sizeof(c->stream_id));
    c->stream_id_len = strlen(c->stream_id);
    c->phase = CARRIER_STARTED;
    ev->kind = CARRIER_START;
}

static bool is_outbound(const struct json_doc *doc)
{
    return json_is(doc, "media.track", "outbound");
}

/* Its timestamp is the wall clock, in milliseconds: not since the stream's start, so not told. */
static void on_media(struct carrier *c, const struct json_doc *doc, void *audio, size_t audio_bytes,
                     struct carrier_event *ev)
{
    struct slice text = json_slice_of(doc, "media.payload");
    size_t len = 0;

    if (carrier_count(doc, "media.chunk", &ev->chunk) || !text.at) {
        carrier_bad(c, ev, text.at ? "chunk is not a number" : "media without a payload");
        return;
    }
    int err = base64_decode(text, audio, audio_bytes, &len);
    if (err) {
        carrier_bad(c, ev,
                    err == -EMSGSIZE ? "media payload too long" : "media payload is not base64");
    } else if (len == 0 || is_outbound(doc)) {
        carrier_ignore(ev, len ? "another track" : "empty payload");
    } else {
        ev->audio = slice_of(audio, len);
        ev->kind = CARRIER_MEDIA;
        if (!carrier_in_order(c, ev))
            carrier_bad(c, ev, "media out of order");
    }
}

static void on_played(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    if (json_text_of(doc, "name", ev->mark, sizeof(ev->mark)))
        carrier_bad(c, ev, "playedStream without a usable name");
    else
        ev->kind = CARRIER_MARK;
}

static void on_stream_event(struct carrier *c, const struct json_doc *doc, void *audio,
                            size_t audio_bytes, struct carrier_event *ev)
{
    if (json_is(doc, "event", "stop")) {
        c->phase = CARRIER_STOPPED;
        ev->kind = CARRIER_STOP;
    } else if (c->phase == CARRIER_NEW) {
        carrier_bad(c, ev, "stream event before start");
    } else if (json_is(doc, "event", "media")) {
        on_media(c, doc, audio, audio_bytes, ev);
    } else if (json_is(doc, "event", "dtmf")) {
        carrier_dtmf(c, doc, ev);
    } else if (json_is(doc, "event", "playedStream") || json_is(doc, "event", "played")) {
        on_played(c, doc, ev);
    } else {
        carrier_ignore(ev, "unknown event");
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
    else
        on_stream_event(c, doc, audio, audio_bytes, ev);
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
        carrier_bad(c, ev, "binary message");
    } else if (json_read(&doc, message, WS_MESSAGE_BYTES_MAX, NULL)) {
        carrier_bad(c, ev, "message is not JSON");
    } else {
        on_message(c, &doc, audio, audio_bytes, ev);
        json_free(&doc);
    }
}

/* ---- messages to Plivo ---- */

static void media(const struct carrier *c, struct slice audio, struct builder *out)
{
    (void)c;
    builder_str(out, "{\"event\":\"playAudio\",\"media\":{\"contentType\":\"audio/x-mulaw\","
                     "\"sampleRate\":8000,\"payload\":\"");
    base64_build(out, audio);
    builder_str(out, "\"}}");
}

static void head(const struct carrier *c, const char *event, struct builder *out)
{
    builder_str(out, "{\"event\":\"");
    builder_str(out, event);
    builder_str(out, "\",\"streamId\":\"");
    builder_bytes(out, c->stream_id, c->stream_id_len); /* carrier_id_plain: needs no escape */
    builder_str(out, "\"");
}

static void mark(const struct carrier *c, const char *name, struct builder *out)
{
    struct jsonw w;

    head(c, "checkpoint", out);
    builder_str(out, ",\"name\":");
    jsonw_init(&w, out);
    jsonw_cstr(&w, name);
    builder_str(out, "}");
}

static void clear(const struct carrier *c, struct builder *out)
{
    head(c, "clearAudio", out);
    builder_str(out, "}");
}

const struct carrier_ops carrier_plivo = {
    .name = "plivo",
    .buffers = true,
    .marks_after_clear = false, /* a clear drops the checkpoints before it without a word */
    .lead_ms = 60,
    .detect = detect,
    .parse = parse,
    .media = media,
    .mark = mark,
    .clear = clear,
    .hang_up = NULL, /* closing the socket ends the stream, and with keepCallAlive the call */
};
