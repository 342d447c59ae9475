/* Detectors whose windows wait in a batch against the same ones that judge each at once: the same
 * to the bit, whoever waits beside them. Needs data/vad, which tools/get-weights makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/reason.h"
#include "media/vad.h"
#include "tests/unit/vad_data.h"

#define CALLS       21
#define FRAME_MAX   320
#define ROUNDS      300
#define CHANGES_MAX 200

/* One way to hear a call, and what it said. */
struct ear {
    struct vad vad;
    struct vad_silero network;
    struct vad_result said[CHANGES_MAX];
    size_t count;
};

struct call {
    struct ear alone, together;
    size_t at; /* in the recording, which begins anew at its end */
};

static struct call calls[CALLS];
static struct vad_batch batch;

static void ear_init(struct ear *e, int rate, struct vad_batch *b)
{
    const struct vad_config config = {.kind = VAD_SILERO,
                                      .rate_hz = rate ? 16000 : 8000,
                                      .confidence = VAD_CONFIDENCE,
                                      .start_ms = VAD_START_MS,
                                      .stop_ms = VAD_STOP_MS,
                                      .volume_min = VAD_VOLUME_MIN,
                                      .gate_db = VAD_GATE_DB,
                                      .weights = &weights[rate],
                                      .network = &e->network,
                                      .batch = b};

    memset(e, 0, sizeof *e);
    assert_int_equal(vad_init(&e->vad, &config, 0), 0);
}

static void note(struct ear *e, const struct vad_result *r)
{
    if (r->change == VAD_SAME)
        return;
    assert_true(e->count < CHANGES_MAX);
    e->said[e->count++] = *r;
}

static void hear(struct ear *e, const int16_t *pcm, size_t n)
{
    struct vad_result r;

    for (size_t at = 0; at < n;) {
        at += vad_step(&e->vad, pcm + at, n - at, &r);
        note(e, &r);
    }
}

static void settle(struct ear *e)
{
    struct vad_result r;

    vad_settle(&e->vad, &r);
    note(e, &r);
    assert_false(e->vad.waits);
}

/* The next samples of a call, as both ears hear them. */
static void come(struct call *c, int rate, size_t n)
{
    n = n < recorded[rate] - c->at ? n : recorded[rate] - c->at;
    hear(&c->alone, recording[rate] + c->at, n);
    hear(&c->together, recording[rate] + c->at, n);
    c->at = (c->at + n) % recorded[rate];
}

/* To the last bit, but for whose memory it is. */
static void check_equal(const struct call *c)
{
    struct vad a = c->alone.vad, b = c->together.vad;

    memset(&a.config, 0, sizeof a.config);
    memset(&b.config, 0, sizeof b.config);
    a.now.change = b.now.change = VAD_SAME; /* of the last call, which differ */
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(c->alone.network.cell, c->together.network.cell, sizeof(float[VAD_UNITS]));
    assert_memory_equal(c->alone.network.hidden, c->together.network.hidden,
                        sizeof(float[VAD_UNITS]));
    assert_int_equal(c->alone.count, c->together.count);
    for (size_t i = 0; i < c->alone.count; i++) {
        const struct vad_result *x = &c->alone.said[i], *y = &c->together.said[i];
        assert_int_equal(x->change, y->change);
        assert_int_equal(x->first_sample, y->first_sample);
        assert_int_equal(x->last_sample, y->last_sample);
        assert_int_equal(x->per_mille, y->per_mille);
    }
}

static void call_init(struct call *c, int rate, struct rand *r)
{
    ear_init(&c->alone, rate, NULL);
    ear_init(&c->together, rate, &batch);
    c->at = rand_below(r, (uint32_t)recorded[rate]);
}

/* In each round packets of some calls, in any order, once or more, of any length; now and then a
 * call ends, and another one has its memory. */
static void run_rounds(int rate, uint64_t seed, size_t *changes)
{
    struct rand r = {seed};

    for (size_t k = 0; k < CALLS; k++)
        call_init(&calls[k], rate, &r);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t packets = rand_below(&r, 2 * CALLS);
        for (uint32_t i = 0; i < packets; i++) {
            struct call *c = &calls[rand_below(&r, CALLS)];
            bool whole = rand_below(&r, 4) > 0;
            come(c, rate, whole ? weights[rate].rate_hz / 50 : rand_below(&r, 4 * FRAME_MAX));
            if (rand_below(&r, 200) == 0) {
                settle(&c->together);
                check_equal(c);
                *changes += c->alone.count;
                call_init(c, rate, &r);
            }
            assert_true(batch.count < VAD_SILERO_BATCH);
        }
        for (size_t k = 0; k < CALLS; k++)
            settle(&calls[k].together);
        assert_int_equal(batch.count, 0);
        for (size_t k = 0; k < CALLS; k++)
            check_equal(&calls[k]);
    }
    for (size_t k = 0; k < CALLS; k++)
        *changes += calls[k].alone.count;
}

static void calls_judged_together_say_what_each_says_alone(void **state)
{
    size_t changes = 0;

    (void)state;
    for (int rate = 0; rate < 2; rate++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            run_rounds(rate, seed, &changes);
    print_message("%zu starts and stops\n", changes);
    assert_true(changes > 500);
}

/* A detector's first window is always looked at, whatever is in it. */
static void fill_window(struct call *c)
{
    static const int16_t quiet[256];

    hear(&c->together, quiet, ARRAY_LEN(quiet));
}

static void the_window_that_fills_the_batch_has_it_judged(void **state)
{
    struct rand r = {1};

    (void)state;
    for (size_t k = 0; k < VAD_SILERO_BATCH; k++) {
        call_init(&calls[k], 0, &r);
        assert_int_equal(batch.count, k);
        fill_window(&calls[k]);
    }
    assert_int_equal(batch.count, 0);
    /* it needs no settling itself, the others do */
    assert_false(calls[VAD_SILERO_BATCH - 1].together.vad.waits);
    for (size_t k = 0; k + 1 < VAD_SILERO_BATCH; k++) {
        assert_true(calls[k].together.vad.waits);
        settle(&calls[k].together);
    }
}

static void one_that_waits_alone_is_judged_alone(void **state)
{
    struct rand r = {1};

    (void)state;
    call_init(&calls[0], 0, &r);
    fill_window(&calls[0]);
    assert_int_equal(batch.count, 1);
    assert_true(calls[0].together.vad.waits);
    settle(&calls[0].together);
    assert_int_equal(batch.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_judged_together_say_what_each_says_alone),
        cmocka_unit_test(the_window_that_fills_the_batch_has_it_judged),
        cmocka_unit_test(one_that_waits_alone_is_judged_alone),
    };

    return cmocka_run_group_tests(tests, vad_data_load, vad_data_unload);
}
