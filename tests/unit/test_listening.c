/* The listening path end to end, as a leg drives it: packets through a bad network, parsed,
 * numbered, put in order, concealed. What comes out must have no drift, no repeats and no holes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "media/plc.h"
#include "media/reorder.h"
#include "media/rtp.h"

#define PACKETS     1000
#define ARRIVALS    (PACKETS * 2)
#define FRAME       160
#define WAIT_MS     40
#define PACKETS_MAX 4

struct network {
    uint32_t lose, repeat, swap; /* per mille */
    uint32_t jitter_ms;
    uint32_t burst; /* packets lost in a row */
};

struct arrival {
    int64_t at_ns;
    uint16_t number; /* of the packet sent */
};

static struct arrival arrivals[ARRIVALS];
static size_t arrival_count;

static void arrive(int64_t at_ns, uint16_t number)
{
    size_t i = arrival_count++;

    for (; i > 0 && arrivals[i - 1].at_ns > at_ns; i--)
        arrivals[i] = arrivals[i - 1];
    arrivals[i] = (struct arrival){at_ns, number};
}

static void network_run(const struct network *net, struct rand *rand)
{
    uint32_t losing = 0;

    arrival_count = 0;
    for (uint16_t i = 0; i < PACKETS; i++) {
        int64_t at_ns = MS(20) * i + MS(rand_below(rand, net->jitter_ms + 1));
        if (rand_chance(rand, net->swap))
            at_ns += MS(30);
        if (rand_chance(rand, net->lose))
            losing = net->burst;
        if (losing && i > 0 && i < PACKETS - 1) { /* the ends make the count exact */
            losing--;
            continue;
        }
        losing = 0;
        arrive(i == 0 ? 0 : at_ns, i);
        if (rand_chance(rand, net->repeat))
            arrive(at_ns + MS(rand_below(rand, 50)), i);
    }
}

struct listener {
    struct rtp_receive receive;
    struct reorder reorder;
    struct plc plc;
    int64_t played; /* frames, good and concealed */
    int64_t good;
    uint16_t last_number;
};

static void listen_out(struct listener *l, int64_t now_ns)
{
    int16_t pcm[FRAME] = {0};

    for (struct reorder_out out = reorder_next(&l->reorder, now_ns); out.kind != REORDER_NONE;
         out = reorder_next(&l->reorder, now_ns)) {
        if (out.kind == REORDER_GAP) {
            for (int64_t i = 0; i < out.count; i++)
                plc_conceal(&l->plc, pcm, FRAME);
            l->played += out.count;
            continue;
        }
        uint16_t number = (uint16_t)(out.ref - 1);
        assert_true(l->good == 0 || number > l->last_number); /* in order, none twice */
        assert_int_equal(number, l->played);                  /* and each in its place: no drift */
        assert_true(out.waited_ns <= MS(WAIT_MS + 2));
        plc_good(&l->plc, pcm, FRAME);
        l->last_number = number;
        l->played++;
        l->good++;
    }
}

static void listen_in(struct listener *l, uint16_t number, int64_t now_ns)
{
    uint8_t bytes[RTP_HEADER_BYTES + FRAME];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct rtp_send send;
    struct rtp_packet packet;
    static const uint8_t PAYLOAD[FRAME];

    rtp_send_init(&send, 5, (uint16_t)(65000 + number), 77);
    assert_int_equal(rtp_send_packet(&send, &b, RTP_PT_PCMU, false,
                                     rtp_send_timestamp(&send, number * FRAME),
                                     slice_of(PAYLOAD, FRAME)),
                     0);
    assert_int_equal(rtp_parse(builder_slice(&b), &packet), 0);
    struct rtp_arrival a = rtp_receive_packet(&l->receive, &packet, now_ns);
    if (a.verdict == RTP_DUPLICATE)
        return;
    assert_true(a.verdict != RTP_SUSPECT);
    assert_int_equal(a.seq, number);
    int err = reorder_put(&l->reorder, a.seq, number + 1u, now_ns);
    assert_true(err == 0 || err == -ETIME);
}

/* Good frames that came out. */
static int64_t listen_to(const struct network *net, uint64_t seed)
{
    struct rand rand = {seed};
    struct listener l = {.played = 0};
    size_t next = 0;

    network_run(net, &rand);
    rtp_receive_init(&l.receive, 8000);
    reorder_init(&l.reorder, PACKETS_MAX, MS(WAIT_MS));
    plc_init(&l.plc, 8000);
    for (int64_t now_ns = 0; now_ns < MS(20) * PACKETS + MS(300); now_ns += MS(2)) {
        for (; next < arrival_count && arrivals[next].at_ns <= now_ns; next++) {
            listen_in(&l, arrivals[next].number, now_ns);
            listen_out(&l, now_ns);
        }
        listen_out(&l, now_ns);
    }
    assert_int_equal(l.played, PACKETS);
    assert_int_equal(l.plc.concealed, (uint64_t)(PACKETS - l.good) * FRAME);
    return l.good;
}

static void a_bad_network(void **state)
{
    static const struct {
        struct network net;
        int64_t good_min; /* of 1000 */
    } rows[] = {
        {{0, 0, 0, 0, 1}, 1000},     {{10, 0, 0, 0, 1}, 975},     {{50, 20, 50, 0, 1}, 915},
        {{100, 20, 50, 10, 1}, 855}, {{200, 20, 50, 20, 1}, 740}, {{20, 20, 50, 20, 5}, 840},
        {{0, 0, 500, 20, 1}, 1000},  {{0, 0, 0, 80, 1}, 900},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (uint64_t seed = 1; seed <= 20; seed++)
            assert_true(listen_to(&rows[i].net, seed) >= rows[i].good_min);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
