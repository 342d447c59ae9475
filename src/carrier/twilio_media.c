/* The messages that come while a call goes on: audio fifty times a second, and the echo of a mark
 * for each piece of speech, so that neither builds a document nor takes memory. One pass, fields in
 * any order, unknown scalar fields skipped, numbers as strings or not. Anything else (escapes,
 * nested unknown fields, a key twice, another stream or track) is left to the general parser, so
 * this one never has to decide what is wrong with a message. */
#include "base/base64.h"
#include "carrier/twilio.h"

#define UNKNOWN_MAX 4  /* unknown fields of one object that are checked for repetition */
#define DIGITS_MAX  18 /* always fits 64 bits */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* The names seen in one object: known ones as bits, unknown ones as they are. */
struct seen {
    uint32_t known;
    size_t unknown_count;
    struct slice unknown[UNKNOWN_MAX];
};

enum field {
    FIELD_EVENT = 1,
    FIELD_SEQUENCE = 2,
    FIELD_STREAM = 4,
    FIELD_MEDIA = 8,
    FIELD_TRACK = 16,
    FIELD_CHUNK = 32,
    FIELD_TIMESTAMP = 64,
    FIELD_PAYLOAD = 128,
    FIELD_MARK = 256,
    FIELD_NAME = 512,
};

static void blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

/* The character, with blanks around it. */
static bool sign(struct cursor *c, uint8_t want)
{
    blanks(c);
    if (c->at == c->end || *c->at != want)
        return false;
    c->at++;
    blanks(c);
    return true;
}

static inline bool word(struct cursor *c, const char *text, size_t len)
{
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    return true;
}
#define WORD(c, literal) word(c, literal, sizeof(literal) - 1)

/* Behind the opening quote: printable ASCII without escapes, up to the closing one. */
static bool plain_string(struct cursor *c, struct slice *out)
{
    const uint8_t *from = c->at;

    while (c->at < c->end && *c->at >= 0x20 && *c->at < 0x7F && *c->at != '\\') {
        if (*c->at++ == '"') {
            *out = slice_of(from, (size_t)(c->at - from) - 1);
            return true;
        }
    }
    return false;
}

/* Digits of a whole number; bare ones may not begin with a zero. */
static bool digits(struct cursor *c, bool bare, uint64_t *out)
{
    const uint8_t *from = c->at;
    uint64_t value = 0;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - from < DIGITS_MAX)
        value = value * 10 + (uint64_t)(*c->at++ - '0');
    if (c->at == from || (bare && *from == '0' && c->at - from > 1))
        return false;
    *out = value;
    return true;
}

/* What may follow a bare value; excludes fractions, exponents and longer numbers. */
static bool at_border(const struct cursor *c)
{
    return c->at < c->end && (*c->at == ',' || *c->at == '}' || *c->at == ' ' || *c->at == '\n' ||
                              *c->at == '\t' || *c->at == '\r');
}

static bool number(struct cursor *c, uint64_t *out)
{
    if (WORD(c, "\""))
        return digits(c, false, out) && WORD(c, "\"");
    return digits(c, true, out) && at_border(c);
}

static bool skip_scalar(struct cursor *c)
{
    struct slice text;
    uint64_t value;

    if (WORD(c, "\""))
        return plain_string(c, &text);
    if (WORD(c, "true") || WORD(c, "false") || WORD(c, "null"))
        return at_border(c);
    return digits(c, true, &value) && at_border(c);
}

static bool once(struct seen *s, enum field field)
{
    bool first = !(s->known & field);

    s->known |= field;
    return first;
}

static bool unknown_field(struct cursor *c, struct seen *s)
{
    struct slice name;

    if (!plain_string(c, &name) || s->unknown_count == UNKNOWN_MAX)
        return false;
    for (size_t i = 0; i < s->unknown_count; i++)
        if (slice_equal(s->unknown[i], name))
            return false;
    s->unknown[s->unknown_count++] = name;
    return sign(c, ':') && skip_scalar(c);
}

/* An empty payload is left to the other parser: it is no audio. */
static bool payload(struct cursor *c, void *audio, size_t audio_bytes, struct carrier_event *ev)
{
    size_t len;

    if (!WORD(c, "\""))
        return false;
    const uint8_t *quote = memchr(c->at, '"', (size_t)(c->end - c->at));
    if (!quote)
        return false;
    struct slice text = slice_of(c->at, (size_t)(quote - c->at));
    if (base64_decode(text, audio, audio_bytes, &len) || len == 0)
        return false;
    ev->audio = slice_of(audio, len);
    c->at = quote + 1;
    return true;
}

static bool media_field(struct cursor *c, struct seen *s, void *audio, size_t audio_bytes,
                        struct carrier_event *ev)
{
    if (WORD(c, "payload\""))
        return once(s, FIELD_PAYLOAD) && sign(c, ':') && payload(c, audio, audio_bytes, ev);
    if (WORD(c, "timestamp\""))
        return once(s, FIELD_TIMESTAMP) && sign(c, ':') && number(c, &ev->timestamp_ms);
    if (WORD(c, "chunk\""))
        return once(s, FIELD_CHUNK) && sign(c, ':') && number(c, &ev->chunk);
    if (WORD(c, "track\""))
        return once(s, FIELD_TRACK) && sign(c, ':') && WORD(c, "\"inbound\"");
    return unknown_field(c, s);
}

static bool media_object(struct cursor *c, struct seen *s, void *audio, size_t audio_bytes,
                         struct carrier_event *ev)
{
    if (!sign(c, '{'))
        return false;
    do {
        if (!WORD(c, "\"") || !media_field(c, s, audio, audio_bytes, ev))
            return false;
    } while (sign(c, ','));
    return sign(c, '}');
}

static bool our_stream(struct cursor *c, const struct carrier *carrier)
{
    return WORD(c, "\"") && word(c, carrier->stream_id, carrier->stream_id_len) && WORD(c, "\"");
}

bool twilio_parse_media(const struct carrier *carrier, struct slice message, void *audio,
                        size_t audio_bytes, struct carrier_event *ev)
{
    struct cursor cursor = {message.at, message.at + message.len}, *c = &cursor;
    struct seen top, inner;
    bool ok;

    if (carrier->phase != CARRIER_STARTED || message.len == 0 ||
        message.len > WS_MESSAGE_BYTES_MAX || !sign(c, '{'))
        return false;
    top.known = inner.known = 0; /* the name lists need no clearing */
    top.unknown_count = inner.unknown_count = 0;
    ev->kind = CARRIER_MEDIA;
    ev->what = "";
    ev->sequence = ev->chunk = ev->timestamp_ms = 0;
    do {
        if (!WORD(c, "\""))
            return false;
        if (WORD(c, "event\""))
            ok = once(&top, FIELD_EVENT) && sign(c, ':') && WORD(c, "\"media\"");
        else if (WORD(c, "sequenceNumber\""))
            ok = once(&top, FIELD_SEQUENCE) && sign(c, ':') && number(c, &ev->sequence);
        else if (WORD(c, "streamSid\""))
            ok = once(&top, FIELD_STREAM) && sign(c, ':') && our_stream(c, carrier);
        else if (WORD(c, "media\""))
            ok = once(&top, FIELD_MEDIA) && sign(c, ':') &&
                 media_object(c, &inner, audio, audio_bytes, ev);
        else
            ok = unknown_field(c, &top);
        if (!ok)
            return false;
    } while (sign(c, ','));
    return sign(c, '}') && c->at == c->end && (top.known & FIELD_EVENT) &&
           (inner.known & FIELD_PAYLOAD);
}

/* A name that is empty or too long is left to the other parser. */
static bool mark_name(struct cursor *c, struct carrier_event *ev)
{
    struct slice name;

    return WORD(c, "\"") && plain_string(c, &name) && name.len &&
           slice_cstr(name, ev->mark, sizeof(ev->mark)) == 0;
}

static bool mark_object(struct cursor *c, struct seen *s, struct carrier_event *ev)
{
    bool ok;

    if (!sign(c, '{'))
        return false;
    do {
        if (!WORD(c, "\""))
            return false;
        if (WORD(c, "name\""))
            ok = once(s, FIELD_NAME) && sign(c, ':') && mark_name(c, ev);
        else
            ok = unknown_field(c, s);
        if (!ok)
            return false;
    } while (sign(c, ','));
    return sign(c, '}');
}

static bool mark_top(struct cursor *c, const struct carrier *carrier, struct seen *top,
                     struct seen *inner, struct carrier_event *ev)
{
    if (WORD(c, "event\""))
        return once(top, FIELD_EVENT) && sign(c, ':') && WORD(c, "\"mark\"");
    if (WORD(c, "sequenceNumber\""))
        return once(top, FIELD_SEQUENCE) && sign(c, ':') && number(c, &ev->sequence);
    if (WORD(c, "streamSid\""))
        return once(top, FIELD_STREAM) && sign(c, ':') && our_stream(c, carrier);
    if (WORD(c, "mark\""))
        return once(top, FIELD_MARK) && sign(c, ':') && mark_object(c, inner, ev);
    return unknown_field(c, top);
}

bool twilio_parse_mark(const struct carrier *carrier, struct slice message,
                       struct carrier_event *ev)
{
    struct cursor cursor = {message.at, message.at + message.len}, *c = &cursor;
    struct seen top, inner;

    if (carrier->phase != CARRIER_STARTED || message.len == 0 ||
        message.len > WS_MESSAGE_BYTES_MAX || !sign(c, '{'))
        return false;
    top.known = inner.known = 0;
    top.unknown_count = inner.unknown_count = 0;
    ev->kind = CARRIER_MARK;
    ev->what = "";
    ev->sequence = ev->chunk = ev->timestamp_ms = 0;
    do {
        if (!WORD(c, "\"") || !mark_top(c, carrier, &top, &inner, ev))
            return false;
    } while (sign(c, ','));
    return sign(c, '}') && c->at == c->end && (top.known & FIELD_EVENT) &&
           (inner.known & FIELD_NAME);
}
