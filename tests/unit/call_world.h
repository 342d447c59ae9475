/* A call actor with its real stt, llm and tts actors around stub plug-ins, two for each role, that
 * do what the test says, a leg that the test plays itself, a real journal, and a store lane that
 * builds the call's log and keeps it. Under a clock of the test's own; one thread. Included by test
 * programs. */
#ifndef TESTS_CALL_WORLD_H
#define TESTS_CALL_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "carrier/carrier.h"
#include "store/call_log.h"

#define RATE_HZ 8000

extern const struct actor_type call_type, stt_type, llm_type, tts_type, tool_type;

static int64_t test_now_ns;

static inline int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static inline int64_t wall_ms(void *context)
{
    (void)context;
    return 1700000000000 + ns_to_ms(test_now_ns);
}

/* ---- what the stub plug-ins do, and were asked ---- */

static struct {
    const char *final; /* of the next INPUT_FINISH; NULL: none comes */
    const char *late;  /* said for `late_epoch` when the test asks for it */
    uint32_t late_epoch;
    const char *ended;   /* behind this it hears silence with the next sound; NULL: it does not */
    const char *reply;   /* of the next INPUT_TURN; NULL: nothing comes */
    uint32_t paused;     /* the utterance of which a pause was told last */
    const char *expects; /* the answer that this reply asks for; NULL: it does not say */
    char expected[64];   /* what the recogniser was told last */
    bool open;           /* it goes on, says the model */
    const char *broken;  /* what a model that is to fail says before; NULL: nothing */
    bool tool;           /* it calls a tool before it fails */
    const char *calls;   /* a tool call of a model that works, once; NULL: none */
    char asked[256];     /* what the model was asked last */
    enum turn_kind kind;
    uint32_t epoch;
    unsigned asks;
    int64_t stt_at_ns, llm_at_ns;
    char spoken[1024]; /* what tts was given, with a bar after each clause */
    /* The provider at a place fails at each SPEECH, TURN or TEXT, and one more. */
    enum { WORKS, FAILS, REFUSES, SILENT } fault[3][3];
    const char *breaks_at;  /* a voice that is to fail does so in the middle of this clause alone */
    size_t heard_bytes[3];  /* by the recogniser at each place, of this utterance */
    unsigned finishes[3];   /* that it was told */
    uint32_t llm_place;     /* who was asked last */
    char spoken_by[3][512]; /* as `spoken`, by place */
    uint32_t rate_hz;       /* of the second recogniser, if not RATE_HZ */
} stub;

static struct bundle bundle;

/* Which of its role this is. */
static inline uint32_t place_of(const struct provider_input *in, enum provider_kind kind)
{
    for (uint32_t i = 0; i < bundle.roles[kind].count; i++)
        if (in->config == &bundle.roles[kind].at[i].config)
            return i;
    fail_msg("no provider of this agent");
    return 0;
}

/* True when that was what happened. */
static inline bool stub_fails(const struct provider_input *in, enum provider_kind kind,
                              struct intents *out)
{
    uint32_t place = place_of(in, kind);
    struct provider_intent *event;

    if (stub.fault[kind][place] == WORKS)
        return false;
    if (stub.fault[kind][place] == SILENT)
        return true;
    event = intents_event(out, EVENT_FAILED, in->epoch, SLICE("out of order"));
    event->status = stub.fault[kind][place] == REFUSES ? 401 : 503;
    event->flag = stub.fault[kind][place] == REFUSES ? EVENT_FATAL : 0;
    return true;
}

static inline void stt_step(void *state, const struct provider_input *in, int64_t now,
                            struct intents *out)
{
    uint32_t place = place_of(in, PROVIDER_STT);

    (void)state;
    if (in->kind == INPUT_SPEECH && !in->flag)
        stub.paused = in->epoch;
    if (in->kind == INPUT_SPEECH && in->flag) {
        assert_int_equal(slice_cstr(in->data, stub.expected, sizeof(stub.expected)), 0);
        stub.heard_bytes[place] = 0;
    }
    if (in->kind == INPUT_AUDIO)
        stub.heard_bytes[place] += in->data.len;
    stub.finishes[place] += in->kind == INPUT_FINISH;
    if (in->kind == INPUT_FINISH && stub_fails(in, PROVIDER_STT, out))
        return;
    if (in->kind == INPUT_FINISH && stub.final)
        intents_event(out, EVENT_FINAL, in->epoch, slice_str(stub.final))->confidence = 90;
    if (in->kind == INPUT_AUDIO && stub.ended)
        intents_event(out, EVENT_PARTIAL, in->epoch, slice_str(stub.ended))->flag =
            EVENT_COMPLETE | EVENT_ENDED;
    if (in->kind == INPUT_TIMER && now >= stub.stt_at_ns) {
        stub.stt_at_ns = NEVER_NS;
        intents_event(out, EVENT_FINAL, stub.late_epoch, slice_str(stub.late))->confidence = 90;
    }
}

static inline int64_t stt_deadline(const void *state)
{
    (void)state;
    return stub.stt_at_ns;
}

static inline void llm_turn(const struct provider_input *in, struct intents *out)
{
    assert_int_equal(slice_cstr(in->turn->text, stub.asked, sizeof(stub.asked)), 0);
    stub.kind = in->turn->kind;
    stub.epoch = in->epoch;
    stub.asks++;
    stub.llm_place = place_of(in, PROVIDER_LLM);
    if (stub.fault[PROVIDER_LLM][stub.llm_place] != WORKS) {
        if (stub.broken)
            intents_event(out, EVENT_TEXT, in->epoch, slice_str(stub.broken));
        if (stub.tool)
            intents_event(out, EVENT_TOOL, in->epoch, SLICE("{\"name\":\"t\"}"))->tool_id = 1;
        stub_fails(in, PROVIDER_LLM, out);
        return;
    }
    if (stub.calls) {
        intents_event(out, EVENT_TOOL, in->epoch, slice_str(stub.calls))->tool_id = 1;
        stub.calls = NULL;
        return;
    }
    if (stub.expects)
        intents_event(out, EVENT_EXPECTS, in->epoch, slice_str(stub.expects));
    if (stub.reply)
        intents_event(out, EVENT_TEXT, in->epoch, slice_str(stub.reply));
    if (stub.reply && !stub.open)
        intents_event(out, EVENT_DONE, in->epoch, SLICE_NONE);
}

static inline void llm_step(void *state, const struct provider_input *in, int64_t now,
                            struct intents *out)
{
    (void)state;
    if (in->kind == INPUT_TURN)
        llm_turn(in, out);
    if (in->kind == INPUT_TIMER && now >= stub.llm_at_ns) {
        stub.llm_at_ns = NEVER_NS;
        intents_event(out, EVENT_TEXT, stub.late_epoch, slice_str(stub.late));
        intents_event(out, EVENT_DONE, stub.late_epoch, SLICE_NONE);
    }
}

static inline int64_t llm_deadline(const void *state)
{
    (void)state;
    return stub.llm_at_ns;
}

static inline void note_spoken(char *to, size_t bytes, struct slice text)
{
    snprintf(to + strlen(to), bytes - strlen(to), "%.*s|", SLICE_ARG(text));
}

static inline void tts_step(void *state, const struct provider_input *in, int64_t now,
                            struct intents *out)
{
    static const int16_t sound[160];
    struct provider_intent *event;
    uint32_t place = place_of(in, PROVIDER_TTS);

    (void)state;
    (void)now;
    if (in->kind != INPUT_TEXT)
        return;
    note_spoken(stub.spoken, sizeof(stub.spoken), in->data);
    note_spoken(stub.spoken_by[place], sizeof(stub.spoken_by[place]), in->data);
    bool breaks = stub.breaks_at && slice_equal(in->data, slice_str(stub.breaks_at));
    if (!stub.breaks_at && stub_fails(in, PROVIDER_TTS, out))
        return;
    event = intents_add(out, INTENT_EVENT);
    event->event = EVENT_AUDIO;
    event->epoch = in->epoch;
    event->text = slice_of(sound, sizeof(sound));
    if (!breaks || !stub_fails(in, PROVIDER_TTS, out))
        intents_event(out, EVENT_SPOKEN, in->epoch, SLICE_NONE);
}

static inline uint32_t second_rate(const struct provider_config *config)
{
    (void)config;
    return stub.rate_hz ? stub.rate_hz : RATE_HZ;
}

static const struct provider_ops stt_ops = {.name = "stub",
                                            .kind = PROVIDER_STT,
                                            .rate_hz = RATE_HZ,
                                            .step = stt_step,
                                            .deadline = stt_deadline};
static const struct provider_ops llm_ops = {
    .name = "stub", .kind = PROVIDER_LLM, .step = llm_step, .deadline = llm_deadline};
static const struct provider_ops tts_ops = {
    .name = "stub", .kind = PROVIDER_TTS, .rate_hz = RATE_HZ, .step = tts_step};

/* Those that take over. */
static const struct provider_ops stt_second = {.name = "second",
                                               .kind = PROVIDER_STT,
                                               .rate = second_rate,
                                               .state_bytes = 16,
                                               .step = stt_step,
                                               .deadline = stt_deadline};
static const struct provider_ops llm_second = {
    .name = "second", .kind = PROVIDER_LLM, .step = llm_step, .deadline = llm_deadline};
static const struct provider_ops tts_second = {
    .name = "second", .kind = PROVIDER_TTS, .rate_hz = RATE_HZ, .step = tts_step};

/* ---- the leg ---- */

static struct {
    struct actor *actor;
    struct actor_id call, tts;
    bool mute;    /* does not come up by itself */
    bool watched; /* asks to be told what goes on */
    char news[4096];
    uint32_t generation, epoch, piece;
    unsigned holds, flushes, ends;
    int64_t ended_ns; /* that the recogniser has heard the end: the silence asked for */
} leg;

static inline void leg_send(uint16_t type, const void *body, size_t bytes)
{
    actor_send_body(leg.actor, leg.call, type, IF_FULL_STOP, FRAME_NONE, body, bytes);
}

static inline void come_up(void)
{
    struct leg_up_msg up = {.start_ns = test_now_ns, .rate_hz = RATE_HZ, .watched = leg.watched};

    leg_send(LEG_UP, &up, sizeof(up));
}

static inline void tell_room(void)
{
    struct play_room_msg room = {.room_ms = 2000};

    actor_send_body(leg.actor, leg.tts, PLAY_ROOM, IF_FULL_STOP, FRAME_NONE, &room, sizeof(room));
}

/* Half of the last clause was heard. */
static inline void leg_flush(void)
{
    struct leg_heard_msg heard = {.epoch = leg.epoch,
                                  .piece = leg.piece,
                                  .heard_samples = 80,
                                  .piece_samples = 160,
                                  .piece_ended = true};

    leg.flushes++;
    leg.generation++;
    leg_send(LEG_HEARD, &heard, sizeof(heard));
}

/* One line a piece of news: "user 1 final: text". */
static inline void leg_told(struct actor *a, const struct msg *m)
{
    const struct leg_tell_msg *body = msg_body(m, leg_tell_msg);
    size_t room = sizeof(leg.news) - strlen(leg.news);
    char *at = leg.news + strlen(leg.news);

    if (body->kind == CARRIER_NEWS_STATE)
        snprintf(at, room, "%s\n", turn_state_name(body->state));
    else if (body->kind == CARRIER_NEWS_WORDS)
        snprintf(at, room, "%s %u%s%s: %.*s\n", body->user ? "user" : "agent", body->turn,
                 body->final ? " final" : "", body->cut ? " cut" : "", SLICE_ARG(text_of(a, m)));
    else
        snprintf(
            at, room, "latency %u: %lld\n", body->turn,
            (long long)(body->instants_ms[CARRIER_AUDIBLE] - body->instants_ms[CARRIER_VOICED]));
}

static inline void leg_handle(struct actor *a, const struct msg *m)
{
    switch (m->type) {
    case MSG_START:
        leg.actor = a;
        leg.generation = 1;
        break;
    case MSG_STOP:
        actor_end(a);
        break;
    case LEG_PEERS:
        leg.call = m->from;
        leg.tts = msg_body(m, leg_peers_msg)->tts;
        tell_room();
        if (!leg.mute)
            come_up();
        break;
    case LEG_TELL:
        leg_told(a, m);
        break;
    case LEG_ENDED:
        leg.ended_ns = msg_body(m, leg_ended_msg)->silence_ns;
        break;
    case LEG_HOLD:
        leg.holds++;
        break;
    case LEG_FLUSH:
        leg_flush();
        break;
    case PLAY_PIECE_END:
        tell_room();
        break;
    case PLAY:
    case PLAY_END:
        if (msg_body(m, play_msg)->generation != leg.generation)
            break;
        leg.epoch = msg_body(m, play_msg)->epoch;
        leg.ends += m->type == PLAY_END;
        if (m->type == PLAY)
            leg.piece = msg_body(m, play_msg)->piece;
        break;
    default:
        break;
    }
}

static inline void root_handle(struct actor *a, const struct msg *m)
{
    if (a->life == ACTOR_STOPPING && (m->type == MSG_STOP || m->type == MSG_CHILD_ENDED))
        if (!a->child)
            actor_end(a);
}

static const struct actor_type leg_type = {
    .name = "leg", .size_bytes = sizeof(struct actor), .handle = leg_handle};
static const struct actor_type root_type = {
    .name = "root", .size_bytes = sizeof(struct actor), .handle = root_handle};

/* ---- the store: keeps the log that it is given ---- */

#define STORE_FILLER 99 /* what a test fills the lane with */

static char *document;

static inline size_t store_bytes(struct slice arguments)
{
    (void)arguments;
    return 0;
}

static inline int store_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    const struct call_log_extra none = {0};
    struct call_log log;

    (void)session;
    (void)job;
    if (tag == STORE_TOOL)
        return -EIO; /* the tests' tools are none of the store's */
    if (tag == STORE_FILLER)
        return 0;
    assert_int_equal(tag, STORE_CALL_FINISH);
    assert_int_equal(call_log_build(bytes, &none, &log), 0);
    free(document);
    document = strdup(log.document);
    call_log_fini(&log);
    return 0;
}

static const struct lane_program store = {
    .name = "store", .session_bytes = store_bytes, .run = store_run};

/* ---- the world ---- */

static struct config config;
static struct agent agent;
static struct world world;
static struct mesh *mesh;
static struct shard *shard;
static struct lane_worker *worker;
static struct actor *root;
static char dir[64];
static bool store_hangs;

static inline void turn_shard(void)
{
    shard_turn(shard);
    while (!store_hangs && lane_worker_step(worker))
        shard_turn(shard);
}

static inline void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        turn_shard();
    }
}

static inline void make_shard(void)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_STORE] = &store};
    const struct lane_map map = {.first_host = {[LANE_STORE] = 1}, .workers = {[LANE_STORE] = 1}};
    const struct shard_type types[] = {{&root_type, 1}, {&leg_type, 1}, {&call_type, 1},
                                       {&stt_type, 1},  {&llm_type, 1}, {&tts_type, 1},
                                       {&tool_type, 1}};
    const struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = wall_ms},
                                      .frames_max = 512,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .mesh = mesh,
                                      .world = &world};

    assert_int_equal(shard_new(&setup, &shard), 0);
    lane_map_set(shard, &map);
    worker = lane_worker_new(mesh, 1, LANE_STORE, programs);
}

static inline int set_up(void **state)
{
    char why[256];

    (void)state;
    memset(&stub, 0, sizeof(stub));
    memset(&leg, 0, sizeof(leg));
    stub.stt_at_ns = stub.llm_at_ns = NEVER_NS;
    agent =
        (struct agent){.id = "desk", .name = "Desk", .greeting = "Good morning.", .turns_max = 9};
    bundle = (struct bundle){.agent = &agent,
                             .roles = {[PROVIDER_STT] = {.at = {{.ops = &stt_ops}}, .count = 1},
                                       [PROVIDER_LLM] = {.at = {{.ops = &llm_ops}}, .count = 1},
                                       [PROVIDER_TTS] = {.at = {{.ops = &tts_ops}}, .count = 1}},
                             .rules = {.complete_ns = MS(250),
                                       .open_ns = MS(400),
                                       .max_ns = SECONDS(30),
                                       .evidence_ns = MS(500),
                                       .resume_ns = MS(300),
                                       .noise_ns = MS(100),
                                       .final_ns = SECONDS(4),
                                       .silence_ns = NEVER_NS,
                                       .hang_up_ns = NEVER_NS,
                                       .interrupt_words = 1}};
    world = (struct world){.config = &config, .agents = {NULL, &bundle}, .shards = 1};
    test_now_ns = SECONDS(1);
    store_hangs = false;
    snprintf(dir, sizeof(dir), "/tmp/sidetone-call-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(journal_open(dir, "t", 1, 1 << 18, &world.journal, why, sizeof(why)), 0);
    mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 1 << 16, false);
    make_shard();
    return 0;
}

/* A second provider for each role. */
static inline void have_fallbacks(void)
{
    static const struct provider_ops *const seconds[] = {&stt_second, &llm_second, &tts_second};

    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++) {
        bundle.roles[kind].at[1].ops = seconds[kind];
        bundle.roles[kind].count = 2;
    }
}

static inline void begin(void)
{
    root = actor_spawn(shard, &root_type, NULL, 0, NULL, 0, FRAME_NONE);
    struct actor *a = actor_spawn(shard, &leg_type, root, 0, NULL, 0, FRAME_NONE);
    struct call_start_msg args = {
        .agent = 1, .leg = a->id, .rate_hz = RATE_HZ, .protocol = "test", .call_id = "call-1"};

    assert_non_null(actor_spawn(shard, &call_type, root, 1, &args, sizeof(args), FRAME_NONE));
    turn_shard();
}

/* Ends the call if it has not ended, until its log is stored. */
static const char *end(void)
{
    actor_stop(shard, root->id, REASON(0, "the test is over"));
    shard_finish(shard);
    pass(20);
    assert_true(shard_finished(shard)); /* not by force, after 5 s */
    assert_non_null(document);
    return document;
}

static inline int tear_down(void **state)
{
    char command[128];

    (void)state;
    if (!shard_finished(shard)) { /* the test has failed */
        actor_stop(shard, root->id, REASON_NONE);
        shard_finish(shard);
        pass(10000);
    }
    shard_free(&shard);
    lane_worker_free(&worker, NULL);
    mesh_free(&mesh);
    journal_close(&world.journal);
    free(document);
    document = NULL;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* ---- what happens on the line ---- */

static inline void speech(bool speaking)
{
    struct leg_speech_msg body = {.speaking = speaking, .at_ns = test_now_ns};

    leg_send(LEG_SPEECH, &body, sizeof(body));
    turn_shard();
}

/* A sentence of `ms`, and the silence after which it counts as one. */
static inline void speak(int64_t ms)
{
    speech(true);
    pass(ms);
    speech(false);
    pass(402);
}

static inline void audible(void)
{
    struct leg_audible_msg body = {.epoch = leg.epoch, .at_ns = test_now_ns};

    leg_send(LEG_AUDIBLE, &body, sizeof(body));
    turn_shard();
}

static inline void played(void)
{
    struct leg_played_msg body = {.epoch = leg.epoch};

    leg_send(LEG_PLAYED, &body, sizeof(body));
    turn_shard();
}

static inline void marked(uint32_t epoch)
{
    struct leg_marked_msg body = {.epoch = epoch, .at_ns = test_now_ns};

    leg_send(LEG_MARKED, &body, sizeof(body));
    turn_shard();
}

static inline void press(char digit)
{
    struct leg_key_msg body = {.digit = digit};

    leg_send(LEG_KEY, &body, sizeof(body));
    pass(4);
}

static inline void greet(void)
{
    begin();
    assert_string_equal(stub.spoken, "Good morning.|");
    audible();
    played();
    stub.spoken[0] = '\0';
}

static inline unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static inline bool call_lives(void)
{
    return shard_type_used(shard, &call_type) > 0;
}

#endif
