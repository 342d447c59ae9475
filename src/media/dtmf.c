#include "media/dtmf.h"

#include <errno.h>

#include "base/clock.h"

#define VOLUME      10     /* -10 dBm0, as section 2.3 has it for DTMF senders in PSTN use */
#define SEGMENT_MAX 0xFFFF /* what the duration field holds (2.5.1.3) */

static const char DIGITS[] = DTMF_DIGITS "!";

int dtmf_event_of(char digit)
{
    if (digit >= 'a' && digit <= 'd')
        digit = (char)(digit - 'a' + 'A');
    const char *hit = digit ? memchr(DIGITS, digit, sizeof(DIGITS) - 1) : NULL;
    return hit ? (int)(hit - DIGITS) : -1;
}

char dtmf_digit_of(unsigned event)
{
    return event <= DTMF_EVENT_MAX ? DIGITS[event] : 0;
}

int dtmf_parse(struct slice payload, struct dtmf_payload *out)
{
    struct reader r = reader_of(payload);

    out->event = reader_u8(&r);
    uint8_t second = reader_u8(&r);
    out->end = second >> 7 != 0;
    out->volume = second & 0x3F;
    out->duration = reader_u16(&r);
    return r.bad ? -EBADMSG : 0;
}

void dtmf_build(const struct dtmf_payload *payload, uint8_t out[DTMF_PAYLOAD_BYTES])
{
    out[0] = payload->event;
    out[1] = (uint8_t)((payload->end ? 0x80 : 0) | (payload->volume & 0x3F));
    out[2] = (uint8_t)(payload->duration >> 8);
    out[3] = (uint8_t)payload->duration;
}

/* ---- receiving ---- */

void dtmf_receive_init(struct dtmf_receive *r, uint32_t rate_hz)
{
    *r = (struct dtmf_receive){.rate_hz = rate_hz};
}

static void end_event(struct dtmf_receive *r, struct dtmf_change *change)
{
    if (!r->active)
        return;
    r->active = false;
    change->ended = dtmf_digit_of(r->event);
    change->duration = r->segments + r->duration;
}

static void update_event(struct dtmf_receive *r, const struct dtmf_payload *payload, int64_t now_ns,
                         struct dtmf_change *change)
{
    if (payload->duration > r->duration)
        r->duration = payload->duration;
    r->updated_ns = now_ns;
    if (payload->end)
        end_event(r, change);
}

/* A long press goes on under a new timestamp where the full segment before it ended. */
static bool continues(const struct dtmf_receive *r, uint32_t timestamp,
                      const struct dtmf_payload *payload)
{
    return r->active && payload->event == r->event && timestamp == r->timestamp + SEGMENT_MAX;
}

static bool straggles(const struct dtmf_receive *r, uint32_t timestamp)
{
    int32_t ahead = (int32_t)(timestamp - r->timestamp);

    return ahead < 0 && ahead > -(int32_t)(r->rate_hz / 1000 * DTMF_REORDER_MS);
}

struct dtmf_change dtmf_receive_packet(struct dtmf_receive *r, uint32_t timestamp,
                                       const struct dtmf_payload *payload, int64_t now_ns)
{
    struct dtmf_change change = {.started = 0};
    bool digit = payload->event <= DTMF_EVENT_MAX;

    if (r->known && timestamp == r->timestamp && payload->event == r->event) {
        if (r->active)
            update_event(r, payload, now_ns, &change);
        return change;
    }
    if (!digit || (r->known && (timestamp == r->timestamp || straggles(r, timestamp)))) {
        r->ignored++;
        return change;
    }
    if (r->known && continues(r, timestamp, payload)) {
        r->segments += SEGMENT_MAX;
    } else {
        end_event(r, &change);
        r->segments = 0;
        change.started = dtmf_digit_of(payload->event);
    }
    /* The end of the one before is in `change`: an end packet of this one, seen first, must wait
     * for its repetition or for the tick if both would speak at once. */
    bool speaks = change.ended != 0;
    r->known = r->active = true;
    r->event = payload->event;
    r->timestamp = timestamp;
    r->duration = 0;
    struct dtmf_payload update = *payload;
    update.end = payload->end && !speaks;
    update_event(r, &update, now_ns, &change);
    return change;
}

struct dtmf_change dtmf_receive_audio(struct dtmf_receive *r, uint32_t timestamp)
{
    struct dtmf_change change = {.started = 0};

    if (r->active && (int32_t)(timestamp - r->timestamp) > 0 &&
        timestamp - r->timestamp >= r->duration + r->rate_hz / 20)
        end_event(r, &change);
    return change;
}

struct dtmf_change dtmf_receive_tick(struct dtmf_receive *r, int64_t now_ns)
{
    struct dtmf_change change = {.started = 0};

    if (r->active && now_ns - r->updated_ns >= MS(DTMF_QUIET_MS))
        end_event(r, &change);
    return change;
}

struct dtmf_change dtmf_receive_reset(struct dtmf_receive *r)
{
    struct dtmf_change change = {.started = 0};

    end_event(r, &change);
    r->known = false;
    return change;
}

/* ---- sending ---- */

void dtmf_send_init(struct dtmf_send *s, uint32_t rate_hz, uint32_t on_ms, uint32_t gap_ms)
{
    uint64_t on = (uint64_t)rate_hz * (on_ms < 40 ? 40 : on_ms) / 1000;
    uint64_t gap = (uint64_t)rate_hz * (gap_ms < 50 ? 50 : gap_ms) / 1000;

    *s = (struct dtmf_send){.rate_hz = rate_hz,
                            .on_units = on > INT32_MAX ? INT32_MAX : (uint32_t)on,
                            .gap_units = gap > INT32_MAX ? INT32_MAX : (uint32_t)gap};
}

int dtmf_send_add(struct dtmf_send *s, char digit)
{
    if (dtmf_event_of(digit) < 0)
        return -EINVAL;
    if (s->count == DTMF_DIGITS_MAX)
        return -ENOBUFS;
    s->digits[s->count++] = digit;
    return 0;
}

static void packet_fill(const struct dtmf_send *s, uint32_t duration, bool end,
                        struct dtmf_packet *out)
{
    struct dtmf_payload payload = {.event = (uint8_t)dtmf_event_of(s->digits[0]),
                                   .end = end,
                                   .volume = VOLUME,
                                   .duration = (uint16_t)duration};

    out->marker = s->first;
    out->timestamp = s->timestamp;
    dtmf_build(&payload, out->payload);
}

static void digit_finish(struct dtmf_send *s)
{
    s->count--;
    memmove(s->digits, s->digits + 1, s->count);
    s->gap_left = s->gap_units;
    s->phase = DTMF_GAP;
}

/* The slot's own length is part of what the packet reports. */
static void step_on(struct dtmf_send *s, uint32_t timestamp, uint32_t step, struct dtmf_packet *out)
{
    uint32_t passed = timestamp + step - s->timestamp, left = s->on_units - s->done;

    if (passed >= left && left <= SEGMENT_MAX) {
        s->phase = DTMF_END;
        s->ends = 1;
        packet_fill(s, left, true, out);
        return;
    }
    packet_fill(s, passed < SEGMENT_MAX ? passed : SEGMENT_MAX, false, out);
    if (passed >= SEGMENT_MAX) {
        s->timestamp += SEGMENT_MAX;
        s->done += SEGMENT_MAX;
    }
}

bool dtmf_send_step(struct dtmf_send *s, uint32_t timestamp, uint32_t step, struct dtmf_packet *out)
{
    if (s->phase == DTMF_GAP) {
        s->gap_left -= step < s->gap_left ? step : s->gap_left;
        if (s->gap_left == 0)
            s->phase = DTMF_IDLE;
        return false;
    }
    if (s->phase == DTMF_IDLE) {
        if (s->count == 0)
            return false;
        s->phase = DTMF_ON;
        s->timestamp = timestamp;
        s->done = 0;
        s->first = true;
    }
    if (s->phase == DTMF_ON) {
        step_on(s, timestamp, step, out);
    } else {
        packet_fill(s, s->on_units - s->done, true, out);
        if (++s->ends == DTMF_END_PACKETS)
            digit_finish(s);
    }
    s->first = false;
    return true;
}
