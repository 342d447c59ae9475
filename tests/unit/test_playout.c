/* The outgoing queue: pacing of both kinds of leg, joining, barge-in, marks and the text ledger. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "media/playout.h"

#define START_NS MS(1000)
#define PACKET   160

static const struct playout_config RTP = {
    .rate_hz = 8000, .packet_samples = PACKET, .depth_ms = 2000, .continuous = true};
static const struct playout_config CARRIER = {
    .rate_hz = 8000, .packet_samples = PACKET, .depth_ms = 2000, .lead_ms = 60, .marks = true};

static struct frame_pool *pool;
static struct playout p;
static int16_t next_value; /* every pushed sample is one more than the one before */
static int16_t out[PACKET];
static struct playout_packet packet;

static void begin(const struct playout_config *config)
{
    pool = frame_pool_new(512);
    playout_init(&p, config, pool, START_NS);
    next_value = 1;
}

/* Every frame must have come back. */
static void end(void)
{
    playout_fini(&p);
    assert_int_equal(frame_pool_used(pool), 0);
    frame_pool_free(&pool);
}

static frame_ref frame_made(uint32_t samples, uint32_t piece)
{
    frame_ref ref = frame_get(pool);
    struct frame *f = frame_at(pool, ref);

    f->len = samples * 2;
    f->rate_hz = p.config.rate_hz;
    f->generation = p.generation;
    f->tag = piece;
    for (uint32_t i = 0; i < samples; i++)
        frame_pcm(f)[i] = (int16_t)(next_value + (int)i);
    return ref;
}

static int push(uint32_t samples, uint32_t piece)
{
    frame_ref ref = frame_made(samples, piece);
    int err = playout_push(&p, ref);

    if (err)
        frame_put(pool, &ref);
    else
        next_value = (int16_t)(next_value + (int)samples);
    return err;
}

static void push_ms(uint32_t span_ms, uint32_t piece)
{
    for (uint32_t i = 0; i < span_ms / 20; i++)
        assert_int_equal(push(PACKET, piece), 0);
}

static bool pull_at(int64_t at_ms)
{
    return playout_pull(&p, START_NS + MS(at_ms), out, &packet);
}

/* Pulls until nothing is due; the number of packets. */
static int pull_all(int64_t at_ms)
{
    int count = 0;

    while (pull_at(at_ms))
        count++;
    return count;
}

static int64_t heard_at(int64_t at_ms)
{
    return playout_heard_sample(&p, START_NS + MS(at_ms));
}

static void rtp_sends_silence_at_absolute_deadlines(void **state)
{
    (void)state;
    begin(&RTP);
    assert_false(playout_pull(&p, START_NS - 1, out, &packet));
    assert_int_equal(playout_clock(&p, START_NS - 1), -1);
    /* After a year of uptime: no product overflows. */
    assert_int_equal(playout_clock(&p, START_NS + SECONDS(31536000)), INT64_C(31536000) * 8000);
    for (int64_t i = 0; i < 1000; i++) {
        assert_int_equal(playout_deadline_ns(&p), START_NS + MS(20 * i));
        assert_false(playout_pull(&p, START_NS + MS(20 * i) - 1, out, &packet));
        /* Ticks come late by up to 12 ms; no deadline moves for that. */
        assert_true(pull_at(20 * i + i % 13));
        assert_int_equal(packet.clock, i * PACKET);
        assert_int_equal(packet.due_ns, START_NS + MS(20 * i));
        assert_int_equal(packet.speech, 0);
        assert_int_equal(packet.first, i == 0);
        for (int k = 0; k < PACKET; k++)
            assert_int_equal(out[k], 0);
        assert_false(pull_at(20 * i + i % 13));
    }
    assert_int_equal(p.underruns, 0);
    end();
}

static void pieces_join_inside_a_packet(void **state)
{
    (void)state;
    begin(&RTP);
    assert_int_equal(push(100, 1), 0);
    assert_int_equal(push(7, 1), 0);
    assert_int_equal(push(480, 2), 0); /* longer than a packet */
    playout_reply_end(&p, p.generation);
    int16_t expected = 1;
    for (int i = 0; i < 4; i++) {
        assert_true(pull_at(20 * i));
        assert_int_equal(packet.speech, i < 3 ? 160 : 107);
        assert_int_equal(packet.first, i == 0);
        for (uint32_t k = 0; k < packet.speech; k++)
            assert_int_equal(out[k], expected++);
        for (uint32_t k = packet.speech; k < PACKET; k++)
            assert_int_equal(out[k], 0);
    }
    assert_true(pull_at(80));
    assert_int_equal(packet.speech, 0);
    assert_int_equal(p.underruns, 0);
    end();
}

static void carrier_leg_leads_and_is_silent_when_idle(void **state)
{
    (void)state;
    begin(&CARRIER);
    assert_int_equal(playout_deadline_ns(&p), NEVER_NS);
    assert_false(pull_at(500));
    push_ms(400, 1);
    assert_true(playout_deadline_ns(&p) <= START_NS + MS(500));
    assert_int_equal(pull_all(500), 4); /* due at 500, 520, 540, 560 */
    assert_int_equal(packet.clock, (500 + 60) * 8);
    assert_int_equal(playout_deadline_ns(&p), START_NS + MS(520));
    assert_int_equal(pull_all(519), 0);
    assert_int_equal(pull_all(520), 1);
    assert_int_equal(pull_all(560), 2); /* a late tick makes up, nothing shifts */
    assert_int_equal(packet.due_ns, START_NS + MS(620));
    playout_reply_end(&p, p.generation);
    assert_int_equal(pull_all(2000), 4); /* far behind: due now, and on by the clock */
    assert_int_equal(p.underruns, 1);
    end();
}

/* A greeting may be ready within the first packet's length, and is heard then: it is not said to
 * be due at the packet's end. RTP's first packet is. */
static void the_first_speech_is_due_when_it_comes(void **state)
{
    (void)state;
    begin(&CARRIER);
    playout_start(&p, START_NS);
    push_ms(20, 1);
    assert_true(pull_at(9));
    assert_int_equal(packet.clock, 72);
    assert_int_equal(packet.due_ns, START_NS + MS(9));
    end();
    begin(&RTP);
    playout_start(&p, START_NS);
    push_ms(20, 1);
    assert_false(pull_at(9));
    assert_true(pull_at(20));
    assert_int_equal(packet.clock, PACKET);
    end();
}

static void underrun_is_a_gap_inside_a_reply(void **state)
{
    (void)state;
    begin(&RTP);
    push_ms(40, 1);
    assert_int_equal(pull_all(0) + pull_all(20), 2);
    pull_all(40);
    pull_all(60);
    assert_int_equal(playout_starved_ms(&p, START_NS + MS(70)), 30);
    assert_int_equal(p.underruns, 0); /* the reply might be over */
    push_ms(20, 1);
    pull_all(80);
    assert_int_equal(p.underruns, 1);
    assert_int_equal(p.underrun_samples, 320);
    playout_reply_end(&p, p.generation);
    pull_all(100);
    push_ms(20, 2); /* a new reply: no underrun between replies */
    pull_all(120);
    assert_int_equal(p.underruns, 1);
    playout_reply_end(&p, p.generation); /* now with its audio still queued */
    push_ms(40, 3);
    playout_reply_end(&p, p.generation);
    pull_all(140);
    pull_all(160);
    pull_all(180);
    push_ms(20, 4);
    pull_all(200);
    assert_int_equal(p.underruns, 1);
    end();
}

/* 220 samples of 11025 Hz are no whole number of nanoseconds. */
static void odd_rates_keep_their_deadlines(void **state)
{
    static const struct playout_config ODD = {
        .rate_hz = 11025, .packet_samples = 220, .depth_ms = 100, .continuous = true};
    int16_t odd[220];

    (void)state;
    begin(&ODD);
    for (int64_t i = 0; i < 2000; i++) {
        int64_t deadline_ns = playout_deadline_ns(&p);
        assert_false(playout_pull(&p, deadline_ns - 1, odd, &packet));
        assert_true(playout_pull(&p, deadline_ns, odd, &packet));
        assert_int_equal(packet.clock, i * 220);
    }
    end();
}

static void short_rest_leaves_when_the_far_end_runs_dry(void **state)
{
    (void)state;
    begin(&CARRIER);
    assert_int_equal(push(100, 1), 0);
    assert_int_equal(pull_all(0), 0); /* a reply does not begin with a scrap */
    assert_int_equal(push(100, 1), 0);
    assert_int_equal(pull_all(0), 1);
    assert_int_equal(pull_all(19), 0); /* 40 samples wait while the lead lasts */
    assert_int_equal(playout_deadline_ns(&p), START_NS + MS(20));
    assert_true(pull_at(20));
    assert_int_equal(packet.speech, 40);
    end();
}

static void stall_skips_a_continuous_clock(void **state)
{
    (void)state;
    begin(&RTP);
    push_ms(200, 1);
    assert_int_equal(pull_all(0), 1);
    assert_int_equal(pull_all(80), 4); /* 60 ms late: caught up in one go */
    assert_int_equal(pull_all(580), 1);
    assert_int_equal(packet.clock, 580 * 8);
    assert_true(packet.first);
    assert_int_equal(out[0], 5 * PACKET + 1); /* no speech was dropped */
    assert_int_equal(p.skipped_samples, 480 * 8);
    assert_int_equal(p.underruns, 1);
    end();
}

static void depth_is_back_pressure(void **state)
{
    (void)state;
    begin(&RTP);
    assert_int_equal(playout_room_ms(&p), 2000);
    push_ms(2000, 1);
    assert_int_equal(playout_room_ms(&p), 0);
    assert_int_equal(playout_queued_ms(&p), 2000);
    assert_int_equal(push(1, 1), -ENOBUFS);
    pull_at(0);
    assert_int_equal(playout_room_ms(&p), 20);
    assert_int_equal(push(PACKET + 1, 1), -ENOBUFS);
    assert_int_equal(push(PACKET, 1), 0);
    end();
}

static void entries_and_pieces_are_bounded(void **state)
{
    (void)state;
    begin(&RTP);
    for (int i = 0; i < PLAYOUT_ENTRIES_MAX; i++)
        assert_int_equal(push(1, 1), 0);
    assert_int_equal(push(1, 1), -ENOBUFS);
    assert_int_equal(playout_room_ms(&p), 0);
    assert_true(pull_at(0));
    assert_int_equal(push(1, 1), 0); /* what was sent gives way */
    end();
    begin(&RTP);
    for (uint32_t i = 1; i <= PLAYOUT_PIECES_MAX; i++)
        assert_int_equal(push(PACKET, i), 0);
    assert_int_equal(push(PACKET, 99), -ENOBUFS);
    assert_int_equal(playout_piece_end(&p, 1, 99), -ENOBUFS);
    assert_int_equal(playout_room_ms(&p), 0);
    pull_at(0);
    uint32_t piece;
    assert_true(playout_piece_next(&p, START_NS + MS(20), &piece));
    assert_int_equal(push(PACKET, 99), 0);
    end();
}

static void wrong_frames_are_refused(void **state)
{
    (void)state;
    begin(&RTP);
    frame_ref ref = frame_made(PACKET, 1);
    struct frame *f = frame_at(pool, ref);
    f->generation = 0;
    assert_int_equal(playout_push(&p, ref), -ESTALE);
    f->generation = 1;
    f->len = 0;
    assert_int_equal(playout_push(&p, ref), -EINVAL);
    f->len = 319;
    assert_int_equal(playout_push(&p, ref), -EINVAL);
    f->len = 320;
    f->rate_hz = 16000;
    assert_int_equal(playout_push(&p, ref), -EINVAL);
    f->rate_hz = 8000;
    assert_int_equal(playout_push(&p, ref), 0);
    assert_int_equal(p.stale, 1);
    assert_int_equal(playout_piece_end(&p, 0, 1), -ESTALE);
    end();
}

static void text_is_heard_when_it_is_due(void **state)
{
    struct playout_heard heard;
    uint32_t piece;

    (void)state;
    begin(&CARRIER);
    p.config.marks = false;
    p.latency_ns = MS(100);
    push_ms(200, 11);
    push_ms(200, 12);
    playout_reply_end(&p, 1);
    for (int64_t t = 0; t <= 80; t += 20)
        pull_all(t);
    assert_int_equal(heard_at(100), 0);
    for (int64_t t = 100; t <= 140; t += 20)
        pull_all(t);
    assert_int_equal(heard_at(150), 50 * 8);
    playout_heard_text(&p, START_NS + MS(150), &heard);
    assert_int_equal(heard.piece, 11);
    assert_int_equal(heard.piece_heard, 50 * 8);
    assert_int_equal(heard.piece_samples, 1600);
    assert_false(playout_piece_next(&p, START_NS + MS(299), &piece));
    for (int64_t t = 160; t <= 300; t += 20)
        pull_all(t);
    assert_true(playout_piece_next(&p, START_NS + MS(300), &piece));
    assert_int_equal(piece, 11);
    playout_heard_text(&p, START_NS + MS(300), &heard);
    assert_int_equal(heard.piece, 11); /* reported, still the last one heard */
    assert_int_equal(heard.piece_heard, 1600);
    playout_heard_text(&p, START_NS + MS(310), &heard);
    assert_int_equal(heard.piece, 12);
    assert_int_equal(heard.piece_heard, 80);
    pull_all(320);
    pull_all(340);
    assert_false(playout_done(&p, START_NS + MS(499)));
    assert_true(playout_done(&p, START_NS + MS(500)));
    assert_true(playout_piece_next(&p, START_NS + MS(500), &piece));
    assert_int_equal(piece, 12);
    assert_false(playout_piece_next(&p, START_NS + MS(900), &piece));
    assert_int_equal(frame_pool_used(pool), 0); /* what was heard is let go */
    end();
}

static void piece_without_audio_counts_in_its_place(void **state)
{
    uint32_t piece;

    (void)state;
    begin(&RTP);
    assert_int_equal(push(PACKET, 1), 0);
    assert_int_equal(playout_piece_end(&p, 1, 1), 0);
    assert_int_equal(playout_piece_end(&p, 1, 2), 0);
    assert_int_equal(push(PACKET, 3), 0);
    assert_int_equal(playout_piece_end(&p, 1, 1), 0); /* said twice: nothing */
    pull_at(0);
    assert_false(playout_piece_next(&p, START_NS + MS(19), &piece));
    assert_true(playout_piece_next(&p, START_NS + MS(20), &piece));
    assert_int_equal(piece, 1);
    assert_true(playout_piece_next(&p, START_NS + MS(20), &piece));
    assert_int_equal(piece, 2);
    assert_false(playout_piece_next(&p, START_NS + MS(20), &piece));
    end();
}

static void marks_correct_the_ledger(void **state)
{
    uint32_t mark, piece;

    (void)state;
    begin(&CARRIER);
    push_ms(100, 1);
    assert_int_equal(playout_piece_end(&p, 1, 1), 0);
    push_ms(100, 2);
    pull_all(0);
    assert_false(playout_mark_next(&p, START_NS, &mark)); /* 80 of 100 ms sent */
    pull_all(20);
    assert_true(playout_mark_next(&p, START_NS + MS(20), &mark));
    assert_int_equal(mark, 1);
    assert_false(playout_mark_next(&p, START_NS + MS(20), &mark));
    for (int64_t t = 40; t <= 200; t += 20)
        pull_all(t);
    /* By time all is heard; the mark that is still out knows better. */
    assert_int_equal(heard_at(200), 799);
    assert_false(playout_piece_next(&p, START_NS + MS(250), &piece));
    assert_int_equal(playout_mark_back(&p, 1, START_NS + MS(250)), 0);
    assert_int_equal(playout_mark_back(&p, 1, START_NS + MS(250)), -ENOENT);
    assert_int_equal(playout_mark_back(&p, 9, START_NS + MS(250)), -ENOENT);
    assert_int_equal(playout_mark_back(&p, 0, START_NS + MS(250)), -ENOENT);
    assert_true(playout_piece_next(&p, START_NS + MS(250), &piece));
    /* 150 ms late: learned, so piece 2 ends at 350. */
    assert_int_equal(ns_to_ms(p.latency_ns), 150);
    assert_int_equal(heard_at(300), 1200);
    playout_reply_end(&p, 1);
    assert_true(playout_mark_next(&p, START_NS + MS(300), &mark)); /* late, but sent */
    assert_int_equal(heard_at(1000), 1599);
    /* A carrier that never answers holds it back for so long only. */
    assert_int_equal(heard_at(300 + 150 + PLAYOUT_MARK_WAIT_MS - 1), 1599);
    assert_int_equal(heard_at(300 + 150 + PLAYOUT_MARK_WAIT_MS), 1600);
    end();
}

static void one_mark_stands_for_several_pieces(void **state)
{
    uint32_t mark, piece, pieces = 0;

    (void)state;
    begin(&CARRIER);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(push(50, i), 0);
    playout_reply_end(&p, 1);
    assert_int_equal(pull_all(0), 1);
    assert_true(playout_mark_next(&p, START_NS, &mark));
    assert_false(playout_mark_next(&p, START_NS, &mark));
    assert_int_equal(playout_mark_back(&p, mark, START_NS + MS(5)), 0);
    while (playout_piece_next(&p, START_NS + MS(5), &piece))
        assert_int_equal(piece, ++pieces);
    assert_int_equal(pieces, 3);
    end();
}

static void hold_then_resume_loses_and_repeats_nothing(void **state)
{
    (void)state;
    begin(&RTP);
    push_ms(200, 1);
    pull_all(0);
    pull_all(20);
    assert_int_equal(playout_hold(&p, START_NS + MS(30)), 10);
    for (int64_t t = 40; t < 100; t += 20) {
        assert_true(pull_at(t)); /* silence goes on */
        assert_int_equal(packet.speech, 0);
    }
    assert_int_equal(heard_at(90), 320); /* what had left was heard, no more */
    playout_resume(&p);
    assert_true(pull_at(100));
    assert_int_equal(out[0], 321);
    assert_true(packet.first);
    assert_int_equal(p.underruns, 0);
    assert_int_equal(heard_at(110), 320 + 80);
    end();
}

static void what_is_under_way_cannot_be_cleared(void **state)
{
    (void)state;
    begin(&CARRIER);
    p.latency_ns = MS(200);
    push_ms(400, 1);
    for (int64_t t = 0; t <= 100; t += 20)
        pull_all(t);
    assert_int_equal(heard_at(110), 0); /* 180 ms sent, none heard, 70 of them not yet due */
    assert_int_equal(playout_hold(&p, START_NS + MS(110)), 70);
    assert_int_equal(playout_hold(&p, START_NS + MS(300)), 0);
    assert_int_equal(heard_at(300), 100 * 8);
    end();
}

static void a_skip_moves_what_comes_later(void **state)
{
    (void)state;
    begin(&RTP);
    assert_true(playout_pull(&p, START_NS, out, &packet));
    assert_true(playout_skip(&p, 48));
    assert_false(playout_pull(&p, START_NS + MS(26) - 1, out, &packet));
    assert_true(playout_pull(&p, START_NS + MS(26), out, &packet));
    assert_int_equal(packet.clock, PACKET + 48);
    assert_int_equal(packet.due_ns, START_NS + MS(26));
    assert_int_equal(p.skipped_samples, 0);
    /* not in a reply, whether it waits, is under way, or has a rest to send */
    assert_int_equal(push(PACKET + 80, 1), 0);
    assert_false(playout_skip(&p, 48));
    assert_true(playout_pull(&p, START_NS + MS(46), out, &packet));
    assert_int_equal(packet.speech, PACKET);
    playout_reply_end(&p, p.generation);
    assert_false(playout_skip(&p, 48));
    assert_true(playout_pull(&p, START_NS + MS(66), out, &packet));
    assert_int_equal(packet.speech, 80);
    assert_false(playout_skip(&p, 48));
    assert_true(playout_pull(&p, START_NS + MS(86), out, &packet));
    assert_true(playout_skip(&p, 48));
    end();
}

static void cleared_audio_is_sent_again(void **state)
{
    uint32_t mark;

    (void)state;
    begin(&CARRIER);
    push_ms(60, 1);
    assert_int_equal(playout_piece_end(&p, 1, 1), 0);
    push_ms(340, 2);
    assert_int_equal(pull_all(0), 4);
    assert_true(playout_mark_next(&p, START_NS, &mark));
    assert_int_equal(playout_hold(&p, START_NS + MS(10)), 70);
    assert_int_equal(pull_all(15), 0);
    playout_cleared(&p, START_NS + MS(15));
    assert_int_equal(p.sent, 15 * 8);
    assert_int_equal(heard_at(500), 15 * 8); /* frozen */
    /* Twilio echoes the marks that a clear dropped: they say nothing. */
    assert_int_equal(playout_mark_back(&p, mark, START_NS + MS(20)), -ENOENT);
    assert_int_equal(pull_all(500), 0);
    playout_resume(&p);
    assert_int_equal(playout_deadline_ns(&p) <= START_NS + MS(500), 1);
    assert_true(pull_at(500));
    assert_int_equal(out[0], 15 * 8 + 1);
    assert_int_equal(packet.clock, 500 * 8);
    assert_int_equal(pull_all(500), 3);
    assert_true(playout_mark_next(&p, START_NS + MS(500), &mark));
    assert_int_equal(mark, 2); /* under a number of its own */
    assert_int_equal(heard_at(510), 25 * 8);
    end();
}

static void flush_cuts_the_text_where_it_was_heard(void **state)
{
    struct playout_heard heard;
    uint32_t mark;

    (void)state;
    begin(&CARRIER);
    push_ms(100, 1);
    push_ms(300, 2);
    for (int64_t t = 0; t <= 40; t += 20)
        pull_all(t);
    assert_true(playout_mark_next(&p, START_NS + MS(40), &mark));
    for (int64_t t = 60; t <= 100; t += 20)
        pull_all(t);
    assert_int_equal(playout_mark_back(&p, mark, START_NS + MS(100)), 0);
    pull_all(120);
    frame_ref late = frame_made(PACKET, 2);
    playout_hold(&p, START_NS + MS(130));
    playout_flush(&p, START_NS + MS(140), true, &heard);
    assert_int_equal(heard.sample, 140 * 8);
    assert_int_equal(heard.piece, 2);
    assert_int_equal(heard.piece_heard, 40 * 8);
    assert_int_equal(heard.piece_samples, 300 * 8);
    assert_int_equal(p.generation, 2);
    assert_int_equal(playout_push(&p, late), -ESTALE); /* overtaken by the flush */
    frame_put(pool, &late);
    assert_int_equal(frame_pool_used(pool), 0);
    assert_int_equal(playout_queued_ms(&p), 0);
    assert_int_equal(pull_all(200), 0);
    assert_true(playout_done(&p, START_NS + MS(200)));
    /* The next reply starts at once, and its text is told apart. */
    push_ms(100, 3);
    assert_int_equal(pull_all(200), 4);
    playout_heard_text(&p, START_NS + MS(210), &heard);
    assert_int_equal(heard.piece, 3);
    assert_int_equal(heard.piece_heard, 80);
    end();
}

static void flush_without_clear_counts_what_left(void **state)
{
    struct playout_heard heard;

    (void)state;
    begin(&CARRIER);
    push_ms(200, 1);
    pull_all(0);
    playout_flush(&p, START_NS + MS(10), false, &heard);
    assert_int_equal(heard.sample, 640);
    /* The far end still plays 70 ms: what follows queues behind it. */
    push_ms(100, 2);
    assert_true(pull_at(20));
    assert_int_equal(packet.clock, 640);
    end();
}

static void flush_of_nothing(void **state)
{
    struct playout_heard heard;

    (void)state;
    begin(&RTP);
    playout_flush(&p, START_NS, true, &heard);
    assert_int_equal(heard.piece, 0);
    assert_int_equal(heard.piece_heard, 0);
    playout_reply_end(&p, 1); /* of the old generation: ignored */
    push_ms(20, 1);
    playout_reply_end(&p, 1);
    assert_true(p.reply_open);
    end();
}

/* ---- any order of events, against a model that knows only what may be said of any ---- */
struct model {
    struct rand rand;
    int64_t now_ms;
    int64_t next;  /* speech sample that must leave next */
    int64_t clock; /* end of the last packet */
    int64_t heard;
    uint32_t piece_last;
    uint32_t piece_pushed;
    int16_t base; /* value of speech sample 0 */
};

static int model_pull(struct model *m)
{
    uint32_t mark, piece;
    int count = 0;

    for (; pull_at(m->now_ms); count++) {
        assert_int_equal(packet.samples, PACKET);
        assert_true(packet.speech <= PACKET);
        assert_true(packet.clock >= m->clock || !p.config.continuous);
        if (p.config.continuous)
            assert_int_equal(packet.clock % PACKET, 0);
        assert_true(packet.clock <= (m->now_ms + p.config.lead_ms) * 8);
        for (uint32_t i = 0; i < packet.speech; i++)
            assert_int_equal(out[i], (int16_t)(m->base + (m->next + i) % 65536));
        m->next += packet.speech;
        m->clock = packet.clock + PACKET;
    }
    if (playout_mark_next(&p, START_NS + MS(m->now_ms), &mark) && rand_chance(&m->rand, 700))
        (void)playout_mark_back(&p, mark, START_NS + MS(m->now_ms + 50));
    while (playout_piece_next(&p, START_NS + MS(m->now_ms), &piece)) {
        assert_true(piece > m->piece_last);
        m->piece_last = piece;
    }
    return count;
}

/* The deadline is when the next packet is due, no earlier and no later. */
static void model_deadline(struct model *m)
{
    int64_t deadline_ns = playout_deadline_ns(&p);

    assert_true(deadline_ns > START_NS + MS(m->now_ms));
    if (deadline_ns == NEVER_NS || rand_chance(&m->rand, 800))
        return;
    assert_false(playout_pull(&p, deadline_ns - 1, out, &packet));
    assert_int_equal((deadline_ns - START_NS) % NS_PER_MS, 0);
    m->now_ms = ns_to_ms(deadline_ns - START_NS);
    assert_true(model_pull(m) > 0);
}

static void model_push(struct model *m)
{
    while (rand_chance(&m->rand, 900)) {
        uint32_t samples = 1 + rand_below(&m->rand, 480);
        uint32_t room_ms = playout_room_ms(&p);
        if (rand_chance(&m->rand, 100))
            m->piece_pushed++;
        int err = push(samples, m->piece_pushed);
        assert_true(err == 0 || err == -ENOBUFS);
        if (room_ms * 8 > samples)
            assert_int_equal(err, 0);
        if (err)
            return;
        assert_true(playout_queued_ms(&p) <= p.config.depth_ms);
    }
}

static void model_barge_in(struct model *m)
{
    struct playout_heard heard;
    int64_t now_ns = START_NS + MS(m->now_ms);

    if (rand_chance(&m->rand, 500)) {
        playout_hold(&p, now_ns);
    } else if (rand_chance(&m->rand, 300)) {
        playout_cleared(&p, now_ns);
        m->next = playout_heard_sample(&p, now_ns);
    } else if (rand_chance(&m->rand, 700)) {
        playout_resume(&p);
    } else {
        playout_flush(&p, now_ns, rand_chance(&m->rand, 500), &heard);
        assert_true(heard.sample >= m->heard && heard.sample <= m->next);
        assert_true(heard.piece_heard >= 0 && heard.piece_heard <= heard.piece_samples);
        m->next = p.pushed;
        m->piece_last = m->piece_pushed++;
    }
}

static void model_run(const struct playout_config *config, uint64_t seed)
{
    struct model m = {.rand = {seed}, .piece_pushed = 1, .base = 1};

    begin(config);
    for (int i = 0; i < 600; i++) {
        m.now_ms += rand_chance(&m.rand, 30) ? rand_below(&m.rand, 300) : rand_below(&m.rand, 25);
        if (rand_chance(&m.rand, 300))
            model_push(&m);
        if (rand_chance(&m.rand, 60))
            model_barge_in(&m);
        if (rand_chance(&m.rand, 50)) {
            playout_reply_end(&p, p.generation);
            m.piece_pushed++;
        }
        model_pull(&m);
        model_deadline(&m);
        int64_t heard = heard_at(m.now_ms);
        assert_true(heard >= m.heard && heard <= p.sent && p.sent <= p.pushed);
        assert_int_equal(p.sent, m.next);
        m.heard = heard;
    }
    end();
}

static void any_order_of_events(void **state)
{
    static const struct playout_config SHORT = {.rate_hz = 8000,
                                                .packet_samples = PACKET,
                                                .depth_ms = 100,
                                                .lead_ms = 60,
                                                .latency_ms = 40};

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        model_run(&RTP, seed);
        model_run(&CARRIER, seed);
        model_run(&SHORT, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtp_sends_silence_at_absolute_deadlines),
        cmocka_unit_test(pieces_join_inside_a_packet),
        cmocka_unit_test(carrier_leg_leads_and_is_silent_when_idle),
        cmocka_unit_test(the_first_speech_is_due_when_it_comes),
        cmocka_unit_test(underrun_is_a_gap_inside_a_reply),
        cmocka_unit_test(odd_rates_keep_their_deadlines),
        cmocka_unit_test(short_rest_leaves_when_the_far_end_runs_dry),
        cmocka_unit_test(stall_skips_a_continuous_clock),
        cmocka_unit_test(depth_is_back_pressure),
        cmocka_unit_test(entries_and_pieces_are_bounded),
        cmocka_unit_test(wrong_frames_are_refused),
        cmocka_unit_test(text_is_heard_when_it_is_due),
        cmocka_unit_test(piece_without_audio_counts_in_its_place),
        cmocka_unit_test(marks_correct_the_ledger),
        cmocka_unit_test(one_mark_stands_for_several_pieces),
        cmocka_unit_test(hold_then_resume_loses_and_repeats_nothing),
        cmocka_unit_test(what_is_under_way_cannot_be_cleared),
        cmocka_unit_test(a_skip_moves_what_comes_later),
        cmocka_unit_test(cleared_audio_is_sent_again),
        cmocka_unit_test(flush_cuts_the_text_where_it_was_heard),
        cmocka_unit_test(flush_without_clear_counts_what_left),
        cmocka_unit_test(flush_of_nothing),
        cmocka_unit_test(any_order_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
