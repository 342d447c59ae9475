#include "media/rtcp.h"

#include <errno.h>

#include "base/clock.h"

#define SR         200
#define RR         201
#define SDES       202
#define BYE        203
#define SDES_CNAME 1

#define NTP_UNIX_SECONDS INT64_C(2208988800) /* from 1900 to 1970 */

/* ---- building ---- */

static void header_add(struct builder *b, uint8_t count, uint8_t type, size_t words)
{
    builder_u8(b, (uint8_t)(0x80 | count));
    builder_u8(b, type);
    builder_u16(b, (uint16_t)words);
}

static void report_add(struct builder *b, const struct rtcp_report *report)
{
    builder_u32(b, report->ssrc);
    builder_u32(b, (uint32_t)report->fraction_lost << 24 | ((uint32_t)report->lost & 0xFFFFFF));
    builder_u32(b, report->highest_seq);
    builder_u32(b, report->jitter);
    builder_u32(b, report->last_sr);
    builder_u32(b, report->delay);
}

static void first_add(struct builder *b, const struct rtcp_out *out)
{
    size_t words = 1u + (out->sending ? 5u : 0u) + (out->reporting ? 6u : 0u);

    header_add(b, out->reporting ? 1 : 0, out->sending ? SR : RR, words);
    builder_u32(b, out->ssrc);
    if (out->sending) {
        builder_u64(b, out->sender.ntp);
        builder_u32(b, out->sender.rtp_timestamp);
        builder_u32(b, out->sender.packets);
        builder_u32(b, out->sender.octets);
    }
    if (out->reporting)
        report_add(b, &out->report);
}

static void sdes_add(struct builder *b, const struct rtcp_out *out)
{
    /* The chunk ends with at least one zero byte and fills whole words. */
    size_t text = 2 + out->cname.len, padded = (text + 4) / 4 * 4;

    header_add(b, 1, SDES, 1 + padded / 4);
    builder_u32(b, out->ssrc);
    builder_u8(b, SDES_CNAME);
    builder_u8(b, (uint8_t)out->cname.len);
    builder_slice_add(b, out->cname);
    for (size_t i = text; i < padded; i++)
        builder_u8(b, 0);
}

int rtcp_build(struct builder *b, const struct rtcp_out *out)
{
    if (out->cname.len == 0 || out->cname.len > RTCP_CNAME_BYTES_MAX)
        return -EINVAL;
    first_add(b, out);
    sdes_add(b, out);
    if (out->bye) {
        header_add(b, 1, BYE, 1);
        builder_u32(b, out->ssrc);
    }
    return b->bad ? -EMSGSIZE : 0;
}

/* ---- parsing ---- */

static struct rtcp_report report_read(struct reader *r)
{
    struct rtcp_report report = {.ssrc = reader_u32(r)};
    uint32_t loss = reader_u32(r);

    report.fraction_lost = (uint8_t)(loss >> 24);
    report.lost = (int32_t)(loss & 0xFFFFFF) - (loss & 0x800000 ? 0x1000000 : 0);
    report.highest_seq = reader_u32(r);
    report.jitter = reader_u32(r);
    report.last_sr = reader_u32(r);
    report.delay = reader_u32(r);
    return report;
}

static void reports_read(struct reader *r, uint8_t count, uint32_t own_ssrc, struct rtcp_in *in)
{
    for (uint8_t i = 0; i < count; i++) {
        struct rtcp_report report = report_read(r);
        if (r->bad || report.ssrc != own_ssrc)
            continue;
        in->report = report;
        in->has_report = true;
    }
}

static void sender_read(struct reader *r, struct rtcp_in *in)
{
    in->sender.ntp = reader_u64(r);
    in->sender.rtp_timestamp = reader_u32(r);
    in->sender.packets = reader_u32(r);
    in->sender.octets = reader_u32(r);
    in->has_sender = true;
}

/* One chunk: items until a zero byte, then zeros up to the next word of the packet. */
static void chunk_read(struct reader *r, const uint8_t *body, struct rtcp_in *in)
{
    reader_u32(r);
    for (uint8_t item = reader_u8(r); item != 0 && !r->bad; item = reader_u8(r)) {
        struct slice text = reader_take(r, reader_u8(r));
        if (item == SDES_CNAME && in->cname.len == 0)
            in->cname = text;
    }
    if (!r->bad)
        reader_take(r, (size_t)(4 - (r->at - body) % 4) % 4);
}

static void sdes_read(struct reader *r, uint8_t count, struct rtcp_in *in)
{
    const uint8_t *body = r->at;

    for (uint8_t i = 0; i < count && !r->bad; i++)
        chunk_read(r, body, in);
}

static void bye_read(struct reader *r, uint8_t count, struct rtcp_in *in)
{
    for (uint8_t i = 0; i < count; i++) {
        uint32_t ssrc = reader_u32(r);
        if (!r->bad && (in->ssrc == 0 || ssrc == in->ssrc))
            in->bye = true;
    }
}

static void packet_read(struct slice body, uint8_t count, uint8_t type, uint32_t own_ssrc,
                        struct rtcp_in *in, bool *bad)
{
    struct reader r = reader_of(body);

    switch (type) {
    case SR:
    case RR:
        in->ssrc = reader_u32(&r);
        if (type == SR)
            sender_read(&r, in);
        reports_read(&r, count, own_ssrc, in);
        break;
    case SDES:
        sdes_read(&r, count, in);
        break;
    case BYE:
        bye_read(&r, count, in);
        break;
    default: /* APP, feedback, extended reports */
        break;
    }
    *bad |= r.bad;
}

int rtcp_parse(struct slice datagram, uint32_t own_ssrc, struct rtcp_in *in)
{
    struct reader r = reader_of(datagram);
    bool bad = datagram.len < 8;

    *in = (struct rtcp_in){.ssrc = 0};
    for (int parts = 0; !bad && reader_left(&r) > 0; parts++) {
        uint8_t first = reader_u8(&r), type = reader_u8(&r);
        size_t words = reader_u16(&r);
        struct slice body = reader_take(&r, words * 4);
        bad = r.bad || first >> 6 != 2 || parts == RTCP_PACKETS_MAX || type < 192 || type > 223;
        if (bad)
            break;
        if (first & 0x20) { /* padding: of the last one only */
            uint8_t padding = body.len ? body.at[body.len - 1] : 0;
            bad = padding == 0 || padding % 4 || padding > body.len || reader_left(&r) > 0;
            body.len -= bad ? 0 : padding;
        }
        if (!bad)
            packet_read(body, first & 0x1F, type, own_ssrc, in, &bad);
    }
    if (bad)
        *in = (struct rtcp_in){.ssrc = 0};
    return bad ? -EBADMSG : 0;
}

/* ---- time ---- */

uint64_t rtcp_ntp(int64_t wall_ms)
{
    uint64_t seconds = (uint64_t)(wall_ms / 1000 + NTP_UNIX_SECONDS);

    return seconds << 32 | ((uint64_t)(wall_ms % 1000) << 32) / 1000;
}

uint32_t rtcp_ntp_middle(uint64_t ntp)
{
    return (uint32_t)(ntp >> 16);
}

uint32_t rtcp_delay(int64_t span_ns)
{
    if (span_ns <= 0)
        return 0;
    if (span_ns >= SECONDS(65536))
        return UINT32_MAX;
    return (uint32_t)((uint64_t)(span_ns / NS_PER_S) << 16 |
                      ((uint64_t)(span_ns % NS_PER_S) << 16) / (uint64_t)NS_PER_S);
}

int64_t rtcp_round_trip_us(const struct rtcp_report *report, uint64_t ntp_now)
{
    int32_t units = (int32_t)(rtcp_ntp_middle(ntp_now) - report->last_sr - report->delay);

    if (report->last_sr == 0 || units < 0)
        return -1;
    return (int64_t)units * 1000000 / 65536;
}

int64_t rtcp_interval_ns(struct rand *rand, bool first)
{
    int64_t span_ms = RTCP_INTERVAL_MS / 2 + (int64_t)rand_below(rand, RTCP_INTERVAL_MS + 1);

    return MS(first ? span_ms / 2 : span_ms);
}
