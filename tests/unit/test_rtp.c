/* RTP: header parsing, demultiplexing, 64-bit axes, statistics and the source lock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "media/rtp.h"

static const uint8_t PLAIN[] = {0x80, 0x80, 0x12, 0x34, 0x00, 0x00, 0x00, 0xA0,
                                0xDE, 0xAD, 0xBE, 0xEF, 0xFF, 0x7F, 0xFF};
/* Two CSRCs, an extension of one word, three bytes of padding. */
static const uint8_t FULL[] = {0xB2, 0x08, 0xFF, 0xFF, 0, 0, 0,   1,   0, 0,    0,
                               2,    0,    0,    0,    3, 0, 0,   0,   4, 0xBE, 0xDE,
                               0,    1,    0x10, 0xAA, 0, 0, 'a', 'b', 0, 0,    3};

static void parses_a_plain_packet(void **state)
{
    struct rtp_packet p;

    (void)state;
    assert_int_equal(rtp_parse(slice_of(PLAIN, sizeof(PLAIN)), &p), 0);
    assert_int_equal(p.pt, 0);
    assert_true(p.marker);
    assert_int_equal(p.seq, 0x1234);
    assert_int_equal(p.timestamp, 160);
    assert_int_equal(p.ssrc, 0xDEADBEEF);
    assert_int_equal(p.payload.len, 3);
    assert_int_equal(p.payload.at[1], 0x7F);
}

/* The short way and its twin: the usual header, and every other kind beside it. */
static void both_ways_of_parsing_agree(void **state)
{
    struct rand r = {3};
    uint8_t bytes[64];

    (void)state;
    for (int i = 0; i < 1000000; i++) {
        struct rtp_packet fast, plain;
        size_t len = rand_below(&r, sizeof(bytes) + 1);
        for (size_t k = 0; k < len; k += 8) {
            uint64_t random = rand_u64(&r);
            memcpy(bytes + k, &random, sizeof(random));
        }
        if (i % 4)
            bytes[0] = i % 4 == 1 ? 0x80 : (uint8_t)(0x80 | (bytes[0] & 0x3F));
        int err = rtp_parse(slice_of(bytes, len), &fast);
        assert_int_equal(rtp_parse_plain(slice_of(bytes, len), &plain), err);
        if (err)
            continue;
        assert_int_equal(fast.pt, plain.pt);
        assert_int_equal(fast.marker, plain.marker);
        assert_int_equal(fast.seq, plain.seq);
        assert_int_equal(fast.timestamp, plain.timestamp);
        assert_int_equal(fast.ssrc, plain.ssrc);
        assert_int_equal(fast.csrc_count, plain.csrc_count);
        assert_int_equal(fast.extension.len, plain.extension.len);
        assert_ptr_equal(fast.payload.at, plain.payload.at);
        assert_int_equal(fast.payload.len, plain.payload.len);
    }
}

static void parses_csrc_extension_and_padding(void **state)
{
    struct rtp_packet p;

    (void)state;
    assert_int_equal(rtp_parse(slice_of(FULL, sizeof(FULL)), &p), 0);
    assert_int_equal(p.csrc_count, 2);
    assert_int_equal(p.extension_profile, 0xBEDE);
    assert_int_equal(p.extension.len, 4);
    assert_int_equal(p.payload.len, 2);
    assert_memory_equal(p.payload.at, "ab", 2);
}

static void refuses_every_truncation(void **state)
{
    struct rtp_packet p;

    (void)state;
    for (size_t len = 0; len < 12; len++)
        assert_int_equal(rtp_parse(slice_of(PLAIN, len), &p), -EBADMSG);
    assert_int_equal(rtp_parse(slice_of(PLAIN, 12), &p), 0);
    assert_int_equal(p.payload.len, 0);
    /* Up to the end of its extension, and while the last byte is no honest padding count. */
    for (size_t len = 0; len < sizeof(FULL); len++)
        if (len < 28 || FULL[len - 1] == 0 || FULL[len - 1] > len - 28)
            assert_int_equal(rtp_parse(slice_of(FULL, len), &p), -EBADMSG);
}

static void refuses_hostile_headers(void **state)
{
    struct rtp_packet p;
    uint8_t d[32];

    (void)state;
    memset(d, 0, sizeof(d));
    d[0] = 0x40; /* version 1 */
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), -EBADMSG);
    d[0] = 0x8F; /* 15 CSRCs need 72 bytes */
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), -EBADMSG);
    d[0] = 0x90; /* an extension of 65535 words */
    d[14] = d[15] = 0xFF;
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), -EBADMSG);
    d[0] = 0xA0;
    d[31] = 21; /* one byte of padding more than there is payload */
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), -EBADMSG);
    d[31] = 20;
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), 0);
    assert_int_equal(p.payload.len, 0);
    d[31] = 0;
    assert_int_equal(rtp_parse(slice_of(d, sizeof(d)), &p), -EBADMSG);
    assert_int_equal(rtp_parse(slice_of(d, 12), &p), -EBADMSG); /* padding of nothing */
}

static void tells_the_kinds_apart(void **state)
{
    (void)state;
    static const struct {
        uint8_t first, second;
        enum rtp_kind kind;
    } rows[] = {
        {0x80, 0, RTP_KIND_RTP},    {0x80, 0x80 | 63, RTP_KIND_RTP},  {0x80, 192, RTP_KIND_RTCP},
        {0x81, 200, RTP_KIND_RTCP}, {0xBF, 223, RTP_KIND_RTCP},       {0x80, 224, RTP_KIND_RTP},
        {0x80, 101, RTP_KIND_RTP},  {0x80, 0x80 | 101, RTP_KIND_RTP}, {0, 1, RTP_KIND_STUN},
        {22, 254, RTP_KIND_DTLS},   {64, 0, RTP_KIND_UNKNOWN},        {0xC0, 0, RTP_KIND_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t d[2] = {rows[i].first, rows[i].second};
        assert_int_equal(rtp_kind(slice_of(d, 2)), rows[i].kind);
    }
    assert_int_equal(rtp_kind(slice_of(PLAIN, 1)), RTP_KIND_UNKNOWN);
}

static void sends_what_it_parses(void **state)
{
    struct rtp_send s;
    struct rtp_packet p;
    uint8_t out[RTP_HEADER_BYTES + 160], payload[160] = {1, 2, 3};
    struct builder b = builder_of(out, sizeof(out));

    (void)state;
    rtp_send_init(&s, 0xCAFE0001, 0xFFFF, 0xFFFFFF60);
    uint32_t stamp = rtp_send_timestamp(&s, 160); /* wraps */
    assert_int_equal(stamp, 0);
    assert_int_equal(rtp_send_packet(&s, &b, 8, true, stamp, slice_of(payload, 160)), 0);
    assert_int_equal(rtp_parse(builder_slice(&b), &p), 0);
    assert_int_equal(p.pt, 8);
    assert_true(p.marker);
    assert_int_equal(p.seq, 0xFFFF);
    assert_int_equal(p.ssrc, 0xCAFE0001);
    assert_memory_equal(p.payload.at, payload, 160);
    assert_int_equal(s.seq, 0);
    assert_int_equal(s.octets, 160);
    /* Full: refused, and not counted. */
    assert_int_equal(rtp_send_packet(&s, &b, 8, false, 0, SLICE_NONE), -EMSGSIZE);
    assert_int_equal(s.packets, 1);
}

static struct rtp_arrival feed(struct rtp_receive *r, uint32_t ssrc, uint16_t seq,
                               uint32_t timestamp, int64_t at_ms)
{
    struct rtp_packet p = {.ssrc = ssrc, .seq = seq, .timestamp = timestamp};

    return rtp_receive_packet(r, &p, MS(at_ms));
}

static void extends_over_wraps(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    for (uint32_t i = 0; i < 200000; i++) {
        struct rtp_arrival a =
            feed(&r, 7, (uint16_t)(65000 + i), 0xFFFFF000u + i * 160, 20 * (int64_t)i);
        assert_int_equal(a.seq, i);
        assert_int_equal(a.timestamp, (int64_t)i * 160);
        assert_int_equal(a.verdict, i ? RTP_FRESH : RTP_RESYNC);
    }
    assert_int_equal(rtp_receive_jitter(&r), 0);
    assert_int_equal(r.wire_highest, 65000 + 199999);
    assert_int_equal(r.lost, 0);
}

static void late_and_duplicate(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    feed(&r, 7, 10, 0, 0);
    feed(&r, 7, 13, 480, 60);
    assert_int_equal(r.lost, 2);
    struct rtp_arrival a = feed(&r, 7, 11, 160, 61);
    assert_int_equal(a.verdict, RTP_LATE);
    assert_int_equal(a.seq, 1);
    assert_int_equal(a.timestamp, 160);
    assert_int_equal(feed(&r, 7, 11, 160, 62).verdict, RTP_DUPLICATE);
    assert_int_equal(feed(&r, 7, 13, 480, 62).verdict, RTP_DUPLICATE);
    assert_int_equal(feed(&r, 7, 9, 0xFFFFFF60, 62).verdict, RTP_LATE); /* before the first */
    assert_int_equal(r.duplicates, 2);
    /* The limit of being late, and one beyond it. */
    for (uint16_t seq = 14; seq < 200; seq++)
        feed(&r, 7, seq, 0, 63);
    assert_int_equal(feed(&r, 7, 199 - RTP_MISORDER_MAX, 0, 64).verdict, RTP_LATE);
    assert_int_equal(feed(&r, 7, 198 - RTP_MISORDER_MAX, 0, 64).verdict, RTP_SUSPECT);
}

static void restarts_need_two_packets(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    for (uint16_t i = 0; i < 50; i++)
        feed(&r, 7, i, i * 160u, 20 * i);
    /* Stray packets of another SSRC between good ones change nothing. */
    assert_int_equal(feed(&r, 8, 8999, 5, 980).verdict, RTP_SUSPECT);
    assert_int_equal(feed(&r, 7, 50, 8000, 1000).verdict, RTP_FRESH);
    assert_int_equal(feed(&r, 8, 9000, 5, 1010).verdict, RTP_SUSPECT);
    assert_int_equal(feed(&r, 8, 9002, 5, 1010).verdict, RTP_SUSPECT);
    /* A real change is over after two packets, 40 ms. */
    assert_int_equal(feed(&r, 8, 9000, 0xFFFF0000, 1020).verdict, RTP_SUSPECT);
    struct rtp_arrival a = feed(&r, 8, 9001, 0xFFFF00A0, 1040);
    assert_int_equal(a.verdict, RTP_RESYNC);
    assert_int_equal(a.seq, 51);
    assert_int_equal(a.timestamp, 8000 + 320); /* by the clock of arrival */
    assert_int_equal(feed(&r, 8, 9002, 0xFFFF0140, 1060).timestamp, 8000 + 480);
    assert_int_equal(r.base_seq, 9001);
    assert_int_equal(r.jitter_q4, 0); /* the two senders' clocks are not compared */
    /* The same for a wild sequence number; just below the bound it is loss. */
    assert_int_equal(feed(&r, 8, 9002 + RTP_DROPOUT_MAX, 0, 1080).verdict, RTP_SUSPECT);
    assert_int_equal(feed(&r, 8, 9001 + RTP_DROPOUT_MAX, 0xFFFF01E0, 1080).verdict, RTP_FRESH);
}

static void timestamp_jump_resyncs_but_silence_does_not(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    feed(&r, 7, 0, 0, 0);
    assert_int_equal(feed(&r, 7, 1, 160, 20).verdict, RTP_FRESH);
    /* A minute of suppressed silence: timestamp and arrival agree. */
    assert_int_equal(feed(&r, 7, 2, 160 + 480000, 60020).verdict, RTP_FRESH);
    struct rtp_arrival a = feed(&r, 7, 3, 999999999, 60040);
    assert_int_equal(a.verdict, RTP_RESYNC);
    assert_int_equal(a.timestamp, 160 + 480000 + 160);
    assert_int_equal(feed(&r, 7, 4, 999999999 + 160, 60060).verdict, RTP_FRESH);
}

/* RFC 3550 A.8 computed by hand: packets every 20 ms, every second one 5 ms late. */
static void jitter_follows_the_rfc(void **state)
{
    struct rtp_receive r;
    uint32_t q4 = 0;

    (void)state;
    rtp_receive_init(&r, 8000);
    for (uint16_t i = 0; i < 500; i++) {
        feed(&r, 7, i, i * 160u, 1000000 + 20 * i + (i & 1 ? 5 : 0));
        if (i)
            q4 += 40 - ((q4 + 8) >> 4);
        assert_int_equal(r.jitter_q4, q4);
    }
    assert_in_range(rtp_receive_jitter(&r), 38, 40);
    /* Events repeat their timestamp: they do not count. */
    for (uint16_t i = 500; i < 520; i++)
        feed(&r, 7, i, 499 * 160u, 1000000 + 20 * i);
    assert_int_equal(r.jitter_q4, q4);
}

static void jitter_starts_again_with_the_source(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    feed(&r, 7, 0, 0, 0);
    feed(&r, 7, 1, 160, 25);
    assert_int_equal(r.jitter_q4, 40);
    feed(&r, 8, 100, 1000, 40); /* half a second off the other's clock */
    assert_int_equal(feed(&r, 8, 101, 4160, 60).verdict, RTP_RESYNC);
    assert_int_equal(r.jitter_q4, 0);
    feed(&r, 8, 102, 4320, 80);
    assert_int_equal(r.jitter_q4, 0);
}

static void reports_loss_per_interval(void **state)
{
    struct rtp_receive r;

    (void)state;
    rtp_receive_init(&r, 8000);
    for (uint32_t i = 0; i < 100; i++)
        if (i % 4 != 1)
            feed(&r, 7, (uint16_t)i, i * 160, 20 * i);
    struct rtp_loss loss = rtp_receive_report(&r);
    assert_int_equal(loss.fraction, 64); /* 25 of 100 */
    assert_int_equal(loss.cumulative, 25);
    assert_int_equal(loss.highest_seq, 99);
    for (uint32_t i = 100; i < 200; i++)
        feed(&r, 7, (uint16_t)i, i * 160, 20 * i);
    loss = rtp_receive_report(&r);
    assert_int_equal(loss.fraction, 0); /* since the last report, not cumulative */
    assert_int_equal(loss.cumulative, 25);
    for (int i = 0; i < 30; i++)
        feed(&r, 7, 199, 199 * 160, 4000);
    loss = rtp_receive_report(&r);
    assert_int_equal(loss.fraction, 0);
    assert_int_equal(loss.cumulative, -5);
}

/* Whatever arrives, both axes only go forward for what is called fresh. */
static void fresh_is_always_ahead(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rand rand = {seed};
        struct rtp_receive r;
        int64_t last = -1, at_ms = 0;
        uint16_t seq = (uint16_t)rand_u64(&rand);
        rtp_receive_init(&r, 8000);
        for (int i = 0; i < 2000; i++) {
            seq = (uint16_t)(seq + 1 + (rand_chance(&rand, 50) ? rand_below(&rand, 5) : 0));
            if (rand_chance(&rand, 5))
                seq = (uint16_t)rand_u64(&rand);
            uint16_t sent = (uint16_t)(seq - (rand_chance(&rand, 100) ? rand_below(&rand, 9) : 0));
            struct rtp_arrival a = feed(&r, rand_chance(&rand, 10) ? 2 : 1, sent, sent * 160u,
                                        at_ms += rand_below(&rand, 30));
            if (a.verdict == RTP_FRESH || a.verdict == RTP_RESYNC) {
                assert_true(a.seq > last);
                last = a.seq;
            } else {
                assert_true(a.seq <= last);
            }
        }
    }
}

static struct rtp_address address(uint8_t host, uint16_t port)
{
    struct rtp_address a = {.port = port};

    a.ip[10] = a.ip[11] = 0xFF;
    a.ip[12] = 192;
    a.ip[15] = host;
    return a;
}

static enum rtp_admission knock(struct rtp_source *s, struct rtp_address from, uint32_t ssrc,
                                uint16_t seq, int64_t at_ms)
{
    struct rtp_packet p = {.ssrc = ssrc, .seq = seq};

    return rtp_source_check(s, &from, &p, MS(at_ms));
}

static void known_peer_admits_nobody_else(void **state)
{
    struct rtp_source s;
    struct rtp_address peer = address(1, 4000);

    (void)state;
    rtp_source_init(&s, RTP_LOCK_PEER, &peer);
    for (uint16_t i = 0; i < 100; i++) {
        assert_int_equal(knock(&s, address(2, 4000), 7, i, i), RTP_REFUSED);
        assert_int_equal(knock(&s, address(1, 4001), 7, i, i), RTP_REFUSED);
        assert_true(rtp_address_equal(&s.peer, &peer));
    }
    assert_int_equal(knock(&s, peer, 7, 0, 200), RTP_ADMITTED);
    for (uint16_t i = 1; i < 20; i++) /* not even with the right SSRC and sequence */
        assert_int_equal(knock(&s, address(2, 4000), 7, i, 200 + i), RTP_REFUSED);
    assert_int_equal(s.refused, 219);
}

static void host_lock_learns_the_port(void **state)
{
    struct rtp_source s;
    struct rtp_address announced = address(1, 4000);

    (void)state;
    rtp_source_init(&s, RTP_LOCK_HOST, &announced);
    assert_int_equal(knock(&s, address(2, 4000), 7, 0, 0), RTP_REFUSED);
    assert_int_equal(knock(&s, address(1, 5000), 7, 1, 0), RTP_MOVED);
    assert_int_equal(s.peer.port, 5000);
    assert_int_equal(knock(&s, address(1, 5000), 7, 2, 20), RTP_ADMITTED);
    /* The announced address wins and ends it. */
    assert_int_equal(knock(&s, announced, 9, 2, 40), RTP_MOVED);
    assert_int_equal(knock(&s, address(1, 5000), 7, 3, 60), RTP_REFUSED);
}

static void first_source_stays(void **state)
{
    struct rtp_source s;
    struct rtp_address announced = address(1, 4000);

    (void)state;
    rtp_source_init(&s, RTP_LOCK_ANY, &announced);
    assert_int_equal(knock(&s, address(9, 700), 7, 100, 0), RTP_MOVED);
    /* Spraying with another SSRC, at ten times the rate, gets nowhere. */
    for (uint16_t i = 0; i < 500; i++)
        assert_int_equal(knock(&s, address(3, 700), 8, i, i), RTP_REFUSED);
    assert_int_equal(knock(&s, address(9, 700), 7, 101, 600), RTP_ADMITTED);
}

static void stream_that_goes_on_elsewhere_is_followed(void **state)
{
    struct rtp_source s;
    struct rtp_address announced = address(1, 4000), moved = address(9, 800);

    (void)state;
    rtp_source_init(&s, RTP_LOCK_ANY, &announced);
    assert_int_equal(knock(&s, address(9, 700), 7, 65534, 0), RTP_MOVED);
    assert_int_equal(knock(&s, moved, 7, 65535, 20), RTP_REFUSED);
    assert_int_equal(knock(&s, moved, 7, 0, 40), RTP_REFUSED);
    assert_int_equal(knock(&s, moved, 7, 1, 60), RTP_MOVED);
    assert_int_equal(knock(&s, address(9, 700), 7, 2, 80), RTP_REFUSED);
    /* A run that the known peer interrupts starts over. */
    assert_int_equal(knock(&s, address(9, 900), 7, 3, 90), RTP_REFUSED);
    assert_int_equal(knock(&s, address(9, 900), 7, 4, 95), RTP_REFUSED);
    assert_int_equal(knock(&s, moved, 7, 5, 100), RTP_ADMITTED);
    assert_int_equal(knock(&s, address(9, 900), 7, 5, 105), RTP_REFUSED);
    assert_int_equal(knock(&s, address(9, 900), 7, 6, 120), RTP_REFUSED);
    /* After the window nothing moves it, until signalling says so. */
    for (uint16_t i = 0; i < 10; i++)
        assert_int_equal(knock(&s, address(9, 900), 7, (uint16_t)(6 + i), RTP_RELEARN_MS + 1),
                         RTP_REFUSED);
    rtp_source_reset(&s, &announced);
    assert_int_equal(knock(&s, address(9, 900), 7, 7, 9000), RTP_MOVED);
}

static void rtcp_comes_from_beside_the_rtp(void **state)
{
    struct rtp_source s;
    struct rtp_address announced = address(1, 4000), from = address(1, 4001);

    (void)state;
    rtp_source_init(&s, RTP_LOCK_ANY, &announced);
    assert_true(rtp_source_admits_rtcp(&s, &announced));
    assert_true(rtp_source_admits_rtcp(&s, &from));
    from.port = 4002;
    assert_false(rtp_source_admits_rtcp(&s, &from));
    from = address(2, 4001);
    assert_false(rtp_source_admits_rtcp(&s, &from));
    assert_int_equal(knock(&s, address(2, 4000), 7, 0, 0), RTP_MOVED);
    assert_true(rtp_source_admits_rtcp(&s, &from));
    assert_false(rtp_source_admits_rtcp(&s, &announced));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_a_plain_packet),
        cmocka_unit_test(both_ways_of_parsing_agree),
        cmocka_unit_test(parses_csrc_extension_and_padding),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_hostile_headers),
        cmocka_unit_test(tells_the_kinds_apart),
        cmocka_unit_test(sends_what_it_parses),
        cmocka_unit_test(extends_over_wraps),
        cmocka_unit_test(late_and_duplicate),
        cmocka_unit_test(restarts_need_two_packets),
        cmocka_unit_test(timestamp_jump_resyncs_but_silence_does_not),
        cmocka_unit_test(jitter_follows_the_rfc),
        cmocka_unit_test(jitter_starts_again_with_the_source),
        cmocka_unit_test(reports_loss_per_interval),
        cmocka_unit_test(fresh_is_always_ahead),
        cmocka_unit_test(known_peer_admits_nobody_else),
        cmocka_unit_test(host_lock_learns_the_port),
        cmocka_unit_test(first_source_stays),
        cmocka_unit_test(stream_that_goes_on_elsewhere_is_followed),
        cmocka_unit_test(rtcp_comes_from_beside_the_rtp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
