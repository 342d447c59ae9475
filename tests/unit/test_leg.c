/* What every leg does, without a wire: packets are given to it at instants of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "actors/call/leg.h"
#include "tests/unit/energy_agent.h"

#define PACKET    160 /* 20 ms */
#define PACKET_NS MS(20)

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static struct {
    struct leg_speech_msg speech; /* the newest */
    unsigned started, paused;
} told;

static struct leg leg;
static struct leg_format format;
static struct playout_packet sent; /* the newest, */
static int64_t sent_ns;            /* and when it left */

/* ---- the leg's actor, and its call ---- */

static void note_sent(struct leg *l, const int16_t *pcm, const struct playout_packet *packet)
{
    (void)l;
    (void)pcm;
    sent = *packet;
    sent_ns = test_now_ns;
}

static void leg_actor_handle(struct actor *a, const struct msg *m)
{
    static const struct leg_ops ops = {.send = note_sent};

    if (m->type == MSG_START) {
        leg_init(&leg, a, &ops, &format);
    } else if (m->type == MSG_STOP) {
        leg_fini(&leg);
        actor_end(a);
    } else {
        leg_handle(&leg, m);
    }
}

static void call_handle(struct actor *a, const struct msg *m)
{
    if (m->type == LEG_SPEECH) {
        told.speech = *msg_body(m, leg_speech_msg);
        told.started += told.speech.speaking;
        told.paused += !told.speech.speaking;
    } else if (a->life == ACTOR_STOPPING && !a->child) {
        actor_end(a);
    }
}

static const struct actor_type leg_type = {
    .name = "leg", .size_bytes = sizeof(struct actor), .handle = leg_actor_handle};
static const struct actor_type call_type = {
    .name = "call", .size_bytes = sizeof(struct actor), .handle = call_handle};

/* ---- the world ---- */

static struct world world = {.agents = {NULL, &bundle}};
static struct shard *shard;
static struct actor *call;

static int set_up(void **state)
{
    struct shard_type types[] = {{&call_type, 1}, {&leg_type, 1}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 64,
                                .types = types,
                                .type_count = ARRAY_LEN(types),
                                .world = &world};
    struct leg_peers_msg peers = {.agent = 1, .listen_rate_hz = 8000};

    format = (struct leg_format){.rate_hz = 8000, .law = RECENT_PCM, .continuous = *state != NULL};
    memset(&told, 0, sizeof(told));
    memset(&leg, 0, sizeof(leg));
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    call = actor_spawn(shard, &call_type, NULL, 0, NULL, 0, FRAME_NONE);
    struct actor *a = actor_spawn(shard, &leg_type, call, 0, NULL, 0, FRAME_NONE);
    actor_send_body(call, a->id, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &peers, sizeof(peers));
    shard_turn(shard);
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
    return 0;
}

/* The next packets, all at once or each 20 ms behind the one before. */
static void come(bool voice, int count, bool at_once)
{
    int16_t pcm[PACKET];

    for (int i = 0; i < PACKET; i++)
        pcm[i] = (int16_t)(voice ? i % 20 * 800 - 7600 : i % 2);
    for (int i = 0; i < count; i++) {
        test_now_ns += at_once ? 0 : PACKET_NS;
        leg_hear(&leg, pcm, NULL, PACKET, test_now_ns);
        shard_turn(shard);
    }
}

/* Turns of 2 ms, a packet having come `tick` of them behind the last call, for `count` periods. */
static void come_in_tick(uint32_t tick, int count)
{
    for (int i = 0; i < count * SLOTS_PER_FRAME; i++) {
        if (i % SLOTS_PER_FRAME == (int)tick)
            leg_came(&leg);
        test_now_ns += TICK_NS;
        shard_turn(shard);
    }
}

/* ---- cases ---- */

/* Where silence is sent too, a packet is due at the tick of the slot, before and after, and the
 * clock passes over what the slot moved by. */
static void the_slot_follows_the_packets(void **state)
{
    (void)state;
    come_in_tick(0, 3);
    uint32_t first = leg.actor->paired_slot;
    assert_int_equal(sent_ns, sent.due_ns);
    int64_t before = sent.clock;
    come_in_tick(3, 3);
    assert_int_equal((leg.actor->paired_slot + SLOTS_PER_FRAME - first) % SLOTS_PER_FRAME, 0);
    come_in_tick(3, 47);
    assert_int_equal((leg.actor->paired_slot + SLOTS_PER_FRAME - first) % SLOTS_PER_FRAME, 3);
    come_in_tick(3, 2);
    assert_int_equal(sent_ns, sent.due_ns);
    assert_int_equal((sent.clock - before) % PACKET, 3 * TICK_NS / NS_PER_MS * 8);
    assert_int_equal(leg.playout.skipped_samples, 0);
}

/* A network that brings packets now in this tick, now in that one, moves nothing. */
static void the_slot_stays_when_packets_jitter(void **state)
{
    (void)state;
    come_in_tick(0, 3);
    uint32_t first = leg.actor->paired_slot;
    for (int i = 0; i < 60; i++)
        come_in_tick(i % 2 ? 2 : 3, 1);
    assert_int_equal(leg.actor->paired_slot, first);
}

static void speech_is_told_when_it_was_spoken(void **state)
{
    (void)state;
    come(false, 100, false);
    int64_t first_ns = test_now_ns;
    come(true, 50, false);
    assert_int_equal(told.started, 1);
    assert_in_range(told.speech.at_ns - first_ns, 0, MS(10));
    int64_t last_ns = test_now_ns;
    come(false, 20, false);
    assert_int_equal(told.paused, 1);
    assert_in_range(told.speech.at_ns - last_ns + MS(10), 0, MS(20));
}

/* Two seconds in which the machine stood still come all at once: a gap that was none, and then
 * more sound than there was time. What is said behind it is not said in the future. */
static void a_burst_puts_no_speech_into_the_future(void **state)
{
    (void)state;
    come(false, 100, false);
    test_now_ns += SECONDS(2);
    come(false, 100, true);
    come(false, 100, false);
    come(true, 50, false);
    int64_t last_ns = test_now_ns;
    come(false, 20, false);
    assert_int_equal(told.paused, 1);
    assert_in_range(told.speech.at_ns - last_ns + MS(10), 0, MS(20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(speech_is_told_when_it_was_spoken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_burst_puts_no_speech_into_the_future, set_up, tear_down),
        cmocka_unit_test_prestate_setup_teardown(the_slot_follows_the_packets, set_up, tear_down,
                                                 &format),
        cmocka_unit_test_prestate_setup_teardown(the_slot_stays_when_packets_jitter, set_up,
                                                 tear_down, &format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
