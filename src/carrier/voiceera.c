/* VoiceERA's browser socket, at /browser/agent/{id}, for pages that were written for that server:
 * docs/protocols/browser.md. Its start message looks like another carrier's, so it is spoken on
 * that path alone. There, nobody had to say who they are; here a token is asked for, in the path,
 * the query or `start`. */
#include <errno.h>
#include <stdio.h>

#include "base/base64.h"
#include "carrier/carrier.h"

#define RATE_HZ      16000
#define CONTENT_TYPE "audio/x-l16"
#define TIME_BYTES   96
#define YEAR_MAX     9999

extern const struct carrier_ops carrier_voiceera;

/* ---- messages from the page ---- */

static enum carrier_detect detect(bool text, struct slice message, const struct json_doc *doc)
{
    (void)message;
    if (!text || !doc)
        return CARRIER_NO;
    if (json_is(doc, "event", "connected"))
        return CARRIER_MAYBE;
    return json_is(doc, "event", "start") ? CARRIER_YES : CARRIER_NO;
}

/* By either of two names; it must be there and stand in a message unescaped. */
static bool read_id(const struct json_doc *doc, const char *path, const char *other, char *out)
{
    const char *at = json_kind_of(doc, path) == JSON_KIND_NONE ? other : path;

    return json_text_of(doc, at, out, CARRIER_ID_BYTES) == 0 && carrier_id_plain(slice_str(out));
}

static const char *read_start(const struct json_doc *doc, struct carrier_start *start)
{
    *start = (struct carrier_start){.encoding = CARRIER_L16, .rate_hz = RATE_HZ};
    if (!read_id(doc, "start.streamSid", "start.streamId", start->stream_id))
        return "start without a usable streamSid";
    if (!read_id(doc, "start.callSid", "start.callId", start->call_id))
        return "start without a usable callSid";
    if (carrier_text(doc, "start.token", start->token, sizeof(start->token)))
        return "start with an unusable token";
    return NULL;
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

static const char *read_format(const struct json_doc *doc)
{
    struct slice type = json_slice_of(doc, "media.contentType");
    uint64_t rate_hz;

    if (type.at && !slice_equal(type, SLICE(CONTENT_TYPE)) &&
        !slice_equal(type, SLICE(CONTENT_TYPE ";rate=16000")))
        return "media is not " CONTENT_TYPE;
    if (carrier_count(doc, "media.sampleRate", &rate_hz) || (rate_hz && rate_hz != RATE_HZ))
        return "sample rate is not 16000";
    return NULL;
}

static void on_media(struct carrier *c, const struct json_doc *doc, void *audio, size_t audio_bytes,
                     struct carrier_event *ev)
{
    struct slice text = json_slice_of(doc, "media.payload");
    const char *fault = read_format(doc);
    size_t len = 0;

    if (!fault && !text.at)
        fault = "media without a payload";
    int err = fault ? 0 : base64_decode(text, audio, audio_bytes, &len);
    if (err)
        fault = err == -EMSGSIZE ? "media payload too long" : "media payload is not base64";
    else if (len % sizeof(int16_t))
        fault = "media with half a sample";
    if (fault) {
        carrier_bad(c, ev, fault);
    } else if (len == 0) {
        carrier_ignore(ev, "empty payload");
    } else {
        ev->audio = slice_of(audio, len);
        ev->kind = CARRIER_MEDIA;
    }
}

static void on_message(struct carrier *c, const struct json_doc *doc, void *audio,
                       size_t audio_bytes, struct carrier_event *ev)
{
    if (!json_slice_of(doc, "event").at) {
        carrier_bad(c, ev, "message without an event");
    } else if (json_is(doc, "event", "start")) {
        on_start(c, doc, ev);
    } else if (json_is(doc, "event", "stop")) {
        c->phase = CARRIER_STOPPED;
        ev->kind = CARRIER_STOP;
    } else if (!json_is(doc, "event", "media")) {
        carrier_ignore(ev, "unknown event");
    } else if (c->phase == CARRIER_NEW) {
        carrier_bad(c, ev, "media before start");
    } else {
        on_media(c, doc, audio, audio_bytes, ev);
    }
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

/* ---- messages to the page ---- */

static void media(const struct carrier *c, struct slice audio, struct builder *out)
{
    builder_str(out, "{\"event\":\"playAudio\",\"media\":{\"contentType\":\"" CONTENT_TYPE
                     "\",\"sampleRate\":16000,\"payload\":\"");
    base64_build(out, audio);
    builder_str(out, "\"},\"streamId\":\"");
    builder_bytes(out, c->stream_id, c->stream_id_len); /* carrier_id_plain: needs no escape */
    builder_str(out, "\"}");
}

static void clear(const struct carrier *c, struct builder *out)
{
    builder_str(out, "{\"event\":\"clearAudio\",\"streamId\":\"");
    builder_bytes(out, c->stream_id, c->stream_id_len);
    builder_str(out, "\"}");
}

static bool leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* ISO 8601, in UTC: "2026-11-26T14:00:00.123Z". */
static void time_text(int64_t wall_ms, char *out)
{
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = wall_ms / 86400000, ms = wall_ms % 86400000, year = 1970, month = 0;

    for (; year < YEAR_MAX && days >= 365 + leap(year); year++)
        days -= 365 + leap(year);
    for (; month < 11; month++) {
        int64_t length = lengths[month] + (month == 1 && leap(year));
        if (days < length)
            break;
        days -= length;
    }
    snprintf(out, TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month + 1,
             (int)days + 1, (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
             (int)(ms % 1000));
}

/* It knows whole lines alone. */
static void tell(const struct carrier *c, const struct carrier_news *news, struct builder *out)
{
    struct jsonw w;
    char when[TIME_BYTES];

    (void)c;
    if (news->kind != CARRIER_NEWS_WORDS || !news->final || news->text.len == 0)
        return;
    time_text(news->wall_ms, when);
    jsonw_init(&w, out);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "event", "transcript");
    jsonw_put_cstr(&w, "role", news->user ? "user" : "assistant");
    jsonw_put_str(&w, "content", news->text);
    jsonw_put_cstr(&w, "timestamp", when);
    jsonw_end(&w);
}

const struct carrier_ops carrier_voiceera = {
    .name = "voiceera",
    .buffers = true,
    .lead_ms = 120,
    .path = CARRIER_PATH_BROWSER,
    .token_always = true,
    .detect = detect,
    .parse = parse,
    .media = media,
    .mark = NULL, /* these pages say nothing of what they have played */
    .clear = clear,
    .hang_up = NULL,
    .tell = tell,
};
