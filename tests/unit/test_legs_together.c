/* Legs of one shard with the neural detector, whose windows are judged together: each is told what
 * it would be told alone, in the round in which its packet came, whoever ends meanwhile. Needs
 * data/vad, which tools/get-weights makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "actors/call/leg.h"
#include "tests/unit/vad_data.h"

#define LEGS      13
#define PACKET    160 /* 20 ms */
#define PACKET_NS MS(20)
#define TOLD_MAX  64

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

/* What one leg says, and what its detector says that has nobody beside it. */
struct speech {
    uint32_t round;
    bool speaking;
    int64_t sample;
};

struct test_leg {
    struct actor actor;
    struct leg leg;
    uint32_t number;
};

static struct {
    struct test_leg *leg; /* NULL: ended */
    struct vad alone;
    struct vad_silero network;
    struct speech told[TOLD_MAX], expected[TOLD_MAX];
    size_t told_count, expected_count;
} legs[LEGS];

static uint32_t round_number;

/* ---- the world ---- */

static struct agent agent = {.vad = {.provider = AGENT_VAD_SILERO,
                                     .confidence = 0.3,
                                     .start_ms = VAD_START_MS,
                                     .stop_ms = VAD_STOP_MS,
                                     .min_volume = 0.4}};
static struct bundle bundle = {.agent = &agent};
static struct world world = {.agents = {NULL, &bundle}};

static struct vad_batch *batch(void)
{
    return &world.legs[0].windows_8k;
}

/* ---- the legs' actors, and their call ---- */

static void send_nothing(struct leg *l, const int16_t *pcm, const struct playout_packet *packet)
{
    (void)l;
    (void)pcm;
    (void)packet;
}

static void leg_actor_handle(struct actor *a, const struct msg *m)
{
    static const struct leg_ops ops = {.send = send_nothing};
    static const struct leg_format format = {.rate_hz = 8000, .law = RECENT_PCM};
    struct test_leg *l = container_of(a, struct test_leg, actor);

    if (m->type == MSG_START) {
        l->number = *(const uint32_t *)(const void *)m->body;
        legs[l->number].leg = l;
        leg_init(&l->leg, a, &ops, &format);
    } else if (m->type == MSG_STOP) {
        const struct vad_silero *network = l->leg.vad.config.network;
        legs[l->number].leg = NULL;
        leg_fini(&l->leg);
        for (size_t i = 0; i < batch()->count; i++)
            assert_ptr_not_equal(batch()->waiting[i], network);
        actor_end(a);
    } else {
        leg_handle(&l->leg, m);
    }
}

static struct actor_id ids[LEGS];

static void call_handle(struct actor *a, const struct msg *m)
{
    if (m->type == LEG_SPEECH) {
        const struct leg_speech_msg *body = msg_body(m, leg_speech_msg);
        size_t k = 0;
        while (!actor_id_equal(ids[k], m->from))
            k++;
        assert_true(legs[k].told_count < TOLD_MAX);
        legs[k].told[legs[k].told_count++] = (struct speech){
            .round = round_number, .speaking = body->speaking, .sample = body->sample};
    } else if (a->life == ACTOR_STOPPING && !a->child) {
        actor_end(a);
    }
}

static const struct actor_type leg_type = {
    .name = "leg", .size_bytes = sizeof(struct test_leg), .handle = leg_actor_handle};
static const struct actor_type call_type = {
    .name = "call", .size_bytes = sizeof(struct actor), .handle = call_handle};

static struct shard *shard;
static struct actor *call;

static int load(void **state)
{
    int err = vad_data_load(state);

    world.weights_8k = weights[0];
    return err;
}

static void begin_leg(uint32_t number)
{
    struct leg_peers_msg peers = {.agent = 1, .listen_rate_hz = 8000};
    struct actor *a = actor_spawn(shard, &leg_type, call, 0, &number, sizeof(number), FRAME_NONE);

    ids[number] = a->id;
    actor_send_body(call, a->id, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &peers, sizeof(peers));
}

static int set_up(void **state)
{
    struct shard_type types[] = {{&call_type, 1}, {&leg_type, LEGS}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 64,
                                .types = types,
                                .type_count = ARRAY_LEN(types),
                                .world = &world};

    (void)state;
    memset(legs, 0, sizeof(legs));
    round_number = 0;
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    call = actor_spawn(shard, &call_type, NULL, 0, NULL, 0, FRAME_NONE);
    for (uint32_t k = 0; k < LEGS; k++)
        begin_leg(k);
    shard_turn(shard);
    for (uint32_t k = 0; k < LEGS; k++) {
        struct vad_config config = legs[k].leg->leg.vad.config;
        config.network = &legs[k].network;
        config.batch = NULL;
        assert_int_equal(vad_init(&legs[k].alone, &config, 0), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    actor_stop(shard, call->id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    assert_true(shard_finished(shard));
    shard_free(&shard);
    assert_int_equal(batch()->count, 0);
    return 0;
}

static void expect(uint32_t k, const int16_t *pcm)
{
    struct vad_result r;

    for (size_t at = 0; at < PACKET;) {
        at += vad_step(&legs[k].alone, pcm + at, PACKET - at, &r);
        if (r.change == VAD_SAME)
            continue;
        bool speaking = r.change == VAD_STARTED;
        assert_true(legs[k].expected_count < TOLD_MAX);
        legs[k].expected[legs[k].expected_count++] =
            (struct speech){.round = round_number,
                            .speaking = speaking,
                            .sample = speaking ? r.first_sample : r.last_sample};
    }
}

/* The next packet of a leg that lives; each is at a place of its own in the recording. */
static void come(uint32_t k)
{
    size_t packets = recorded[0] / PACKET, packet = (round_number + 17 * (size_t)k) % packets;
    const int16_t *pcm = recording[0] + packet * PACKET;

    if (!legs[k].leg)
        return;
    /* the leg's clock begins with the first packet, the detector's with it */
    if (round_number == 0)
        legs[k].alone.at = (test_now_ns - legs[k].leg->leg.start_ns) * 8000 / NS_PER_S;
    leg_hear(&legs[k].leg->leg, pcm, NULL, PACKET, test_now_ns);
    expect(k, pcm);
}

static void end_round(void)
{
    shard_turn(shard);
    assert_int_equal(batch()->count, 0);
    round_number++;
    test_now_ns += PACKET_NS;
}

static void check_told(uint32_t k)
{
    assert_int_equal(legs[k].told_count, legs[k].expected_count);
    for (size_t i = 0; i < legs[k].told_count; i++) {
        assert_int_equal(legs[k].told[i].round, legs[k].expected[i].round);
        assert_int_equal(legs[k].told[i].speaking, legs[k].expected[i].speaking);
        assert_int_equal(legs[k].told[i].sample, legs[k].expected[i].sample);
    }
}

/* ---- cases ---- */

static void each_is_told_what_it_is_told_alone_and_in_the_same_round(void **state)
{
    size_t told = 0, most = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        for (uint32_t k = 0; k < LEGS; k++) {
            come(k);
            most = batch()->count > most ? batch()->count : most;
        }
        end_round();
    }
    for (uint32_t k = 0; k < LEGS; k++) {
        check_told(k);
        told += legs[k].told_count;
    }
    print_message("%zu starts and stops; %zu windows waited at most\n", told, most);
    assert_true(told >= 2 * LEGS);
    assert_int_equal(most, VAD_SILERO_BATCH - 1);
}

/* Each round in which windows wait, one leg ends, while its own is among them or is not. */
static void a_leg_that_ends_is_in_no_batch(void **state)
{
    uint32_t ended = 0, waited = 0;

    (void)state;
    for (int i = 0; i < 400; i++) {
        for (uint32_t k = 0; k < LEGS; k++)
            come(k);
        if (i % 30 == 29 && ended < LEGS - 1) {
            waited += legs[ended].leg->leg.vad.waits;
            actor_stop(shard, ids[ended++], REASON_NONE);
        }
        end_round();
    }
    assert_int_equal(ended, LEGS - 1);
    assert_true(waited > 0);
    for (uint32_t k = 0; k < LEGS; k++)
        check_told(k);
}

/* Where a leg's word to itself finds no room, it is judged where it stands. */
static void a_full_queue_delays_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct epoch_msg none = {0};
        bool full = i == 1; /* all windows fill up in the second packet */
        while (full && actor_send_body(call, call->id, STT_FORGET, IF_FULL_DROP, FRAME_NONE, &none,
                                       sizeof(none)))
            ;
        for (uint32_t k = 0; k < LEGS; k++) {
            come(k);
            if (full) {
                assert_false(legs[k].leg->leg.vad.waits);
                assert_int_equal(legs[k].leg->leg.vad.windows_run, 1);
            }
        }
        end_round();
    }
    for (uint32_t k = 0; k < LEGS; k++)
        check_told(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_told_what_it_is_told_alone_and_in_the_same_round,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_leg_that_ends_is_in_no_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_delays_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, load, vad_data_unload);
}
