/* RTCP: what we build byte by byte, what we read, what we refuse. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "media/rtcp.h"

static struct rtcp_out sample(void)
{
    return (struct rtcp_out){
        .ssrc = 0x01020304,
        .sending = true,
        .sender = {.ntp = UINT64_C(0xE1E2E3E4E5E6E7E8),
                   .rtp_timestamp = 160,
                   .packets = 5,
                   .octets = 800},
        .reporting = true,
        .report = {.ssrc = 0x0A0B0C0D,
                   .fraction_lost = 64,
                   .lost = -2,
                   .highest_seq = 0x00010002,
                   .jitter = 7,
                   .last_sr = 0xE3E4E5E6,
                   .delay = 65536},
        .cname = SLICE("ab"),
        .bye = true,
    };
}

/* Written out from RFC 3550 6.4.1, 6.5 and 6.6. */
static const uint8_t SAMPLE[] = {
    0x81, 200,  0,    12,   1,    2,   3, 4, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8,
    0,    0,    0,    160,  0,    0,   0, 5, 0,    0,    3,    0x20, 10,   11,   12,   13,
    64,   0xFF, 0xFF, 0xFE, 0,    1,   0, 2, 0,    0,    0,    7,    0xE3, 0xE4, 0xE5, 0xE6,
    0,    1,    0,    0,    0x81, 202, 0, 3, 1,    2,    3,    4,    1,    2,    'a',  'b',
    0,    0,    0,    0,    0x81, 203, 0, 1, 1,    2,    3,    4};

static void builds_by_the_rfc(void **state)
{
    struct rtcp_out out = sample();
    uint8_t bytes[128];
    struct builder b = builder_of(bytes, sizeof(bytes));

    (void)state;
    assert_int_equal(rtcp_build(&b, &out), 0);
    assert_int_equal(b.len, sizeof(SAMPLE));
    assert_memory_equal(bytes, SAMPLE, sizeof(SAMPLE));
}

static void reads_what_it_builds(void **state)
{
    struct rtcp_in in;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(SAMPLE, sizeof(SAMPLE)), 0x0A0B0C0D, &in), 0);
    assert_int_equal(in.ssrc, 0x01020304);
    assert_true(in.has_sender && in.has_report && in.bye);
    assert_int_equal(in.sender.octets, 800);
    assert_int_equal(in.report.lost, -2);
    assert_int_equal(in.report.fraction_lost, 64);
    assert_int_equal(in.report.highest_seq, 0x10002);
    assert_true(slice_equal(in.cname, SLICE("ab")));
    /* A report about somebody else is not ours. */
    assert_int_equal(rtcp_parse(slice_of(SAMPLE, sizeof(SAMPLE)), 1, &in), 0);
    assert_false(in.has_report);
}

static void every_cname_length_survives(void **state)
{
    char name[RTCP_CNAME_BYTES_MAX + 1];
    uint8_t bytes[512];
    struct rtcp_in in;

    (void)state;
    memset(name, 'n', sizeof(name));
    for (size_t len = 0; len <= sizeof(name); len++) {
        struct rtcp_out out = {.ssrc = 1, .cname = slice_of(name, len)};
        struct builder b = builder_of(bytes, sizeof(bytes));
        bool fits = len > 0 && len <= RTCP_CNAME_BYTES_MAX;
        assert_int_equal(rtcp_build(&b, &out), fits ? 0 : -EINVAL);
        if (!fits)
            continue;
        assert_int_equal(b.len % 4, 0);
        assert_int_equal(rtcp_parse(builder_slice(&b), 1, &in), 0);
        assert_int_equal(in.cname.len, len);
        assert_false(in.bye || in.has_sender || in.has_report);
    }
    struct rtcp_out out = sample();
    struct builder small = builder_of(bytes, sizeof(SAMPLE) - 1);
    assert_int_equal(rtcp_build(&small, &out), -EMSGSIZE);
}

static void refuses_every_truncation(void **state)
{
    struct rtcp_in in;

    (void)state;
    for (size_t len = 0; len < sizeof(SAMPLE); len++) {
        /* Only whole parts are a packet. */
        int expected = len == 52 || len == 68 ? 0 : -EBADMSG;
        assert_int_equal(rtcp_parse(slice_of(SAMPLE, len), 1, &in), expected);
        if (expected)
            assert_false(in.has_sender || in.bye || in.cname.len);
    }
}

static void refuses_hostile_packets(void **state)
{
    struct rtcp_in in;
    uint8_t d[4 * (RTCP_PACKETS_MAX + 2)];

    (void)state;
    static const uint8_t COUNT[] = {0x9F, 201, 0, 1, 0, 0, 0, 1}; /* 31 reports in 8 bytes */
    static const uint8_t VERSION[] = {0x40, 201, 0, 1, 0, 0, 0, 1};
    static const uint8_t TYPE[] = {0x80, 100, 0, 1, 0, 0, 0, 1};
    static const uint8_t ITEM[] = {0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, 'a', 'b'};
    static const uint8_t OPEN[] = {0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, 'a', 'b'}; /* no zero */
    static const uint8_t PADDED[] = {0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4};
    static const uint8_t OVERPAD[] = {0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 12};
    static const uint8_t ODDPAD[] = {0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3};
    static const uint8_t NOPAD[] = {0x80, 201, 0, 1, 0, 0, 0, 1, 0xA0, 203, 0, 0};
    static const uint8_t EARLYPAD[] = {0xA0, 201, 0,    2,   0, 0, 0, 1, 0, 0,
                                       0,    4,   0x80, 201, 0, 1, 0, 0, 0, 1};
    assert_int_equal(rtcp_parse(slice_of(COUNT, 8), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(VERSION, 8), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(TYPE, 8), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(ITEM, 12), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(OPEN, 12), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(PADDED, 12), 1, &in), 0);
    assert_int_equal(rtcp_parse(slice_of(OVERPAD, 12), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(ODDPAD, 12), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(NOPAD, 12), 1, &in), -EBADMSG);
    assert_int_equal(rtcp_parse(slice_of(EARLYPAD, 20), 1, &in), -EBADMSG);
    for (size_t i = 0; i < sizeof(d); i += 4)
        memcpy(d + i, (uint8_t[]){0x80, 204, 0, 0}, 4);
    assert_int_equal(rtcp_parse(slice_of(d, 4 * RTCP_PACKETS_MAX), 1, &in), 0);
    assert_int_equal(rtcp_parse(slice_of(d, 4 * RTCP_PACKETS_MAX + 4), 1, &in), -EBADMSG);
}

static void a_bye_for_somebody_else_is_none(void **state)
{
    static const uint8_t D[] = {0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 1, 0, 0, 0, 2};
    struct rtcp_in in;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(D, sizeof(D)), 9, &in), 0);
    assert_false(in.bye);
}

static void reads_several_chunks(void **state)
{
    static const uint8_t D[] = {0x82, 202, 0, 5, 0, 0, 0,   1,   2,   1, 'x', 0,
                                0,    0,   0, 2, 1, 3, 'c', 'n', 'm', 0, 0,   0};
    struct rtcp_in in;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(D, sizeof(D)), 9, &in), 0);
    assert_true(slice_equal(in.cname, SLICE("cnm")));
}

static void time_helpers(void **state)
{
    (void)state;
    /* RFC 3550 figure 2: LSR 0xb705:2000, DLSR 5.25 s, A 0xb710:8000: round trip 6.125 s. */
    struct rtcp_report report = {.last_sr = 0xB7052000, .delay = 0x00054000};
    assert_int_equal(rtcp_delay(MS(5250)), 0x00054000);
    assert_int_equal(rtcp_round_trip_us(&report, UINT64_C(0xB7108000) << 16), 6125000);
    assert_int_equal(rtcp_round_trip_us(&report, UINT64_C(0xB7052000) << 16), -1);
    report.last_sr = 0;
    assert_int_equal(rtcp_round_trip_us(&report, UINT64_C(0xB7108000) << 16), -1);
    assert_int_equal(rtcp_ntp(0) >> 32, 2208988800);
    assert_int_equal((uint32_t)rtcp_ntp(500), 0x80000000);
    assert_int_equal(rtcp_ntp_middle(UINT64_C(0x0001B44DB7052000)), 0xB44DB705);
    assert_int_equal(rtcp_delay(-1), 0);
    assert_int_equal(rtcp_delay(SECONDS(70000)), UINT32_MAX);
}

static void interval_is_spread(void **state)
{
    struct rand rand = {1};
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t span_ns = rtcp_interval_ns(&rand, false);
        least = span_ns < least ? span_ns : least;
        most = span_ns > most ? span_ns : most;
        assert_true(rtcp_interval_ns(&rand, true) <= MS(3750));
    }
    assert_in_range(ns_to_ms(least), 2500, 2520);
    assert_in_range(ns_to_ms(most), 7480, 7500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_by_the_rfc),
        cmocka_unit_test(reads_what_it_builds),
        cmocka_unit_test(every_cname_length_survives),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_hostile_packets),
        cmocka_unit_test(a_bye_for_somebody_else_is_none),
        cmocka_unit_test(reads_several_chunks),
        cmocka_unit_test(time_helpers),
        cmocka_unit_test(interval_is_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
