/* The call actor with its real stt, llm and tts actors around stub plug-ins that do what the test
 * says, a leg that the test plays itself, a real journal, and a store lane that builds the call's
 * log and keeps it. Under a clock of the test's own. */
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

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static int64_t wall_ms(void *context)
{
    (void)context;
    return 1700000000000 + ns_to_ms(test_now_ns);
}

/* ---- what the stub plug-ins do, and were asked ---- */

static struct {
    const char *final; /* of the next INPUT_FINISH; NULL: none comes */
    const char *late;  /* said for `late_epoch` when the test asks for it */
    uint32_t late_epoch;
    const char *reply; /* of the next INPUT_TURN; NULL: nothing comes */
    bool open;         /* it goes on, says the model */
    bool fails;        /* the model, after its text */
    char asked[256];   /* what the model was asked last */
    enum turn_kind kind;
    uint32_t epoch;
    unsigned asks;
    int64_t stt_at_ns, llm_at_ns;
    char spoken[1024]; /* what tts was given, with a bar after each clause */
} stub;

static void stt_step(void *state, const struct provider_input *in, int64_t now, struct intents *out)
{
    (void)state;
    if (in->kind == INPUT_FINISH && stub.final)
        intents_event(out, EVENT_FINAL, in->epoch, slice_str(stub.final))->confidence = 90;
    if (in->kind == INPUT_TIMER && now >= stub.stt_at_ns) {
        stub.stt_at_ns = NEVER_NS;
        intents_event(out, EVENT_FINAL, stub.late_epoch, slice_str(stub.late))->confidence = 90;
    }
}

static int64_t stt_deadline(const void *state)
{
    (void)state;
    return stub.stt_at_ns;
}

static void llm_turn(const struct provider_input *in, struct intents *out)
{
    assert_int_equal(slice_cstr(in->turn->text, stub.asked, sizeof(stub.asked)), 0);
    stub.kind = in->turn->kind;
    stub.epoch = in->epoch;
    stub.asks++;
    if (stub.reply)
        intents_event(out, EVENT_TEXT, in->epoch, slice_str(stub.reply));
    if (stub.fails)
        intents_event(out, EVENT_FAILED, in->epoch, SLICE("broken"));
    else if (stub.reply && !stub.open)
        intents_event(out, EVENT_DONE, in->epoch, SLICE_NONE);
}

static void llm_step(void *state, const struct provider_input *in, int64_t now, struct intents *out)
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

static int64_t llm_deadline(const void *state)
{
    (void)state;
    return stub.llm_at_ns;
}

static void tts_step(void *state, const struct provider_input *in, int64_t now, struct intents *out)
{
    static const int16_t sound[160];
    struct provider_intent *event;

    (void)state;
    (void)now;
    if (in->kind != INPUT_TEXT)
        return;
    snprintf(stub.spoken + strlen(stub.spoken), sizeof(stub.spoken) - strlen(stub.spoken), "%.*s|",
             SLICE_ARG(in->data));
    event = intents_add(out, INTENT_EVENT);
    event->event = EVENT_AUDIO;
    event->epoch = in->epoch;
    event->text = slice_of(sound, sizeof(sound));
    intents_event(out, EVENT_SPOKEN, in->epoch, SLICE_NONE);
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

/* ---- the leg ---- */

static struct {
    struct actor *actor;
    struct actor_id call, tts;
    bool mute;    /* does not come up by itself */
    bool watched; /* asks to be told what goes on */
    char news[4096];
    uint32_t generation, epoch, piece;
    unsigned holds, flushes, ends;
} leg;

static void leg_send(uint16_t type, const void *body, size_t bytes)
{
    actor_send_body(leg.actor, leg.call, type, IF_FULL_STOP, FRAME_NONE, body, bytes);
}

static void come_up(void)
{
    struct leg_up_msg up = {.start_ns = test_now_ns, .rate_hz = RATE_HZ, .watched = leg.watched};

    leg_send(LEG_UP, &up, sizeof(up));
}

static void tell_room(void)
{
    struct play_room_msg room = {.room_ms = 2000};

    actor_send_body(leg.actor, leg.tts, PLAY_ROOM, IF_FULL_STOP, FRAME_NONE, &room, sizeof(room));
}

/* Half of the last clause was heard. */
static void leg_flush(void)
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
static void leg_told(struct actor *a, const struct msg *m)
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

static void leg_handle(struct actor *a, const struct msg *m)
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

static void root_handle(struct actor *a, const struct msg *m)
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

static char *document;

static size_t store_bytes(struct slice arguments)
{
    (void)arguments;
    return 0;
}

static int store_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    const struct call_log_extra none = {0};
    struct call_log log;

    (void)session;
    (void)job;
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
static struct bundle bundle;
static struct world world;
static struct mesh *mesh;
static struct shard *shard;
static struct lane_worker *worker;
static struct actor *root;
static char dir[64];
static bool store_hangs;

static void turn_shard(void)
{
    shard_turn(shard);
    while (!store_hangs && lane_worker_step(worker))
        shard_turn(shard);
}

static void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        turn_shard();
    }
}

static void make_shard(void)
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

static int set_up(void **state)
{
    char why[256];

    (void)state;
    memset(&stub, 0, sizeof(stub));
    memset(&leg, 0, sizeof(leg));
    stub.stt_at_ns = stub.llm_at_ns = NEVER_NS;
    agent =
        (struct agent){.id = "desk", .name = "Desk", .greeting = "Good morning.", .turns_max = 9};
    bundle = (struct bundle){.agent = &agent,
                             .ops = {&stt_ops, &llm_ops, &tts_ops},
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

static void begin(void)
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

static int tear_down(void **state)
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

static void speech(bool speaking)
{
    struct leg_speech_msg body = {.speaking = speaking, .at_ns = test_now_ns};

    leg_send(LEG_SPEECH, &body, sizeof(body));
    turn_shard();
}

/* A sentence of `ms`, and the silence after which it counts as one. */
static void speak(int64_t ms)
{
    speech(true);
    pass(ms);
    speech(false);
    pass(402);
}

static void audible(void)
{
    struct leg_audible_msg body = {.epoch = leg.epoch, .at_ns = test_now_ns};

    leg_send(LEG_AUDIBLE, &body, sizeof(body));
    turn_shard();
}

static void played(void)
{
    struct leg_played_msg body = {.epoch = leg.epoch};

    leg_send(LEG_PLAYED, &body, sizeof(body));
    turn_shard();
}

static void marked(uint32_t epoch)
{
    struct leg_marked_msg body = {.epoch = epoch, .at_ns = test_now_ns};

    leg_send(LEG_MARKED, &body, sizeof(body));
    turn_shard();
}

static void press(char digit)
{
    struct leg_key_msg body = {.digit = digit};

    leg_send(LEG_KEY, &body, sizeof(body));
    pass(4);
}

static void greet(void)
{
    begin();
    assert_string_equal(stub.spoken, "Good morning.|");
    audible();
    played();
    stub.spoken[0] = '\0';
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static bool call_lives(void)
{
    return shard_type_used(shard, &call_type) > 0;
}

/* ---- cases ---- */

static void a_turn_is_heard_answered_and_stored(void **state)
{
    (void)state;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five. Anything else?";
    speak(600);
    assert_string_equal(stub.asked, "when are you open");
    assert_string_equal(stub.spoken, "From nine to five.|Anything else?|");
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"heard\":\"when are you open\""));
    assert_non_null(strstr(log, "\"said\":\"From nine to five. Anything else?\""));
    assert_non_null(strstr(log, "\"said\":\"Good morning.\""));
    assert_null(strstr(log, "incomplete"));
}

static void who_watches_is_told(void **state)
{
    (void)state;
    leg.watched = true;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five. Anything else?";
    speak(600);
    pass(100);
    audible();
    speech(true); /* and interrupts */
    pass(600);
    assert_string_equal(
        leg.news, "thinking\nagent 0: Good morning.\nlatency 0: 1\nspeaking\n"
                  "agent 0 final: Good morning.\nlistening\nuser speaking\nendpointing\nthinking\n"
                  "user 1 final: when are you open\nagent 1: From nine to five. Anything else?\n"
                  "agent 1: From nine to five. Anything else?\nlatency 1: 502\nspeaking\npaused\n"
                  "user speaking\nagent 1 final cut: From nine to five.\n");
    end();
}

static void who_watches_hears_the_last_words(void **state)
{
    (void)state;
    leg.watched = true;
    agent.turns_max = 1;
    greet();
    stub.final = "when are you open";
    stub.reply = "Never.";
    speak(600);
    audible();
    played();
    pass(10);
    assert_non_null(strstr(leg.news, "agent 1 final: Never.\n"));
    end();
}

static void a_final_that_never_comes_repeats_nothing(void **state)
{
    (void)state;
    greet();
    stub.final = "hello there";
    stub.reply = "Yes?";
    speak(600);
    audible();
    played();
    stub.final = NULL;
    stub.reply = "Pardon?";
    speak(600);
    pass(4100);
    assert_int_equal(stub.kind, TURN_UNCLEAR);
    audible();
    played();
    assert_int_equal(count(end(), "\"heard\":\"hello there\""), 1);
}

static void going_on_before_the_final_keeps_both_halves(void **state)
{
    (void)state;
    greet();
    stub.final = "hello";
    stub.reply = "Yes?";
    speak(600);
    audible();
    played();
    stub.final = NULL; /* it takes a moment */
    speak(600);
    stub.late = "book a";
    stub.late_epoch = 3; /* the greeting's, hello's, this */
    stub.stt_at_ns = test_now_ns + MS(40);
    stub.final = "table";
    stub.reply = "Certainly.";
    speech(true);
    for (int i = 0; i < 3; i++) { /* audio makes the plug-in look at its clock */
        struct audio_msg audio = {0};
        actor_send_body(leg.actor, actor_child(leg.actor->parent, ROLE_STT)->id, AUDIO,
                        IF_FULL_DROP, frame_get(shard_pool(shard)), &audio, sizeof(audio));
        pass(40);
    }
    pass(300);
    speech(false);
    pass(402);
    assert_string_equal(stub.asked, "book a table");
    assert_int_equal(stub.asks, 2);
    end();
}

static void a_cut_reply_says_nothing_more(void **state)
{
    (void)state;
    greet();
    stub.final = "tell me a story";
    stub.reply = "Once upon a time. ";
    stub.open = true;
    speak(600);
    audible();
    pass(1000);
    speech(true);
    pass(20);
    assert_int_equal(leg.holds, 1);
    pass(600);
    assert_int_equal(leg.flushes, 1);
    stub.late = "There was a king. ";
    stub.late_epoch = stub.epoch;
    struct epoch_msg commit = {.epoch = stub.epoch}; /* makes the plug-in look at its clock */
    struct actor *llm = actor_child(leg.actor->parent, ROLE_LLM);
    stub.llm_at_ns = test_now_ns;
    actor_send_body(leg.actor, llm->id, LLM_CANCEL, IF_FULL_DROP, FRAME_NONE, &commit,
                    sizeof(commit));
    pass(100);
    assert_true(stub.llm_at_ns == NEVER_NS);
    assert_null(strstr(stub.spoken, "king"));
    const char *log = end();
    assert_non_null(strstr(log, "\"said\":\"Once\""));
    assert_non_null(strstr(log, "\"interrupted\":true"));
}

static void coming_up_does_not_undo_a_stop(void **state)
{
    (void)state;
    leg.mute = true;
    begin();
    come_up();
    actor_stop(shard, leg.call, REASON(0, "hung up"));
    turn_shard();
    assert_false(call_lives());
    assert_non_null(strstr(end(), "\"hung up\""));
}

static void a_hash_over_speech_keeps_what_was_said(void **state)
{
    (void)state;
    greet();
    stub.final = "menu";
    stub.reply = "Press one for hours.";
    speak(600);
    audible();
    pass(400);
    stub.reply = "Nine to five.";
    press('#');
    assert_int_equal(stub.kind, TURN_KEYS);
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"said\":\"Press one\""));
    assert_non_null(strstr(log, "\"said\":\"Nine to five.\""));
}

static void keys_before_an_answer_keep_what_was_heard(void **state)
{
    (void)state;
    greet();
    stub.final = "the opening hours";
    stub.reply = "Nine to five.";
    speak(600);
    press('1'); /* nothing of the answer was heard */
    pass(600);
    assert_string_equal(stub.asked, "1");
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"heard\":\"the opening hours\""));
    assert_non_null(strstr(log, "\"heard\":\"1\""));
}

static void a_model_that_fails_while_it_speaks_ends_its_reply(void **state)
{
    (void)state;
    greet();
    stub.final = "go on";
    stub.reply = "First of all. ";
    stub.open = true;
    speak(600);
    audible();
    unsigned before = leg.ends;
    struct provider_failed_msg failed = {
        .role = ROLE_LLM, .epoch = stub.epoch, .status = 500, .what = "gone"};
    leg_send(PROVIDER_FAILED, &failed, sizeof(failed));
    turn_shard();
    assert_int_equal(leg.ends, before + 1);
    played();
    assert_true(call_lives());
    assert_non_null(strstr(end(), "\"said\":\"First of all. \""));
}

static void a_model_that_never_answers_ends_the_call_with_a_reason(void **state)
{
    (void)state;
    greet();
    stub.final = "anybody there";
    for (int i = 0; i < 3; i++) {
        speak(600);
        pass(11000);
        assert_true(i == 2 || strstr(stub.spoken, "I am sorry"));
        stub.spoken[0] = '\0';
        if (i < 2) {
            pass(2);
            played(); /* too quiet to be audible: nothing is taken for a success */
        }
    }
    assert_false(call_lives());
    assert_non_null(strstr(end(), "the language model failed"));
}

static void says_goodbye_and_hangs_up(void **state)
{
    static const char *const phrases[] = {"good night"};

    (void)state;
    agent.goodbye_phrases = (struct text_list){.at = (void *)(uintptr_t)phrases, .count = 1};
    greet();
    stub.final = "thank you";
    stub.reply = "Good Night!";
    speak(600);
    audible();
    assert_true(call_lives());
    played();
    assert_false(call_lives());
    end();
}

static void announces_and_hangs_up(void **state)
{
    (void)state;
    agent.mode = AGENT_NON_CONVERSATIONAL;
    begin();
    audible();
    speech(true);
    press('1');
    pass(1000);
    assert_int_equal(leg.holds + leg.flushes, 0);
    played();
    assert_false(call_lives());
    end();
}

static void ends_after_its_number_of_turns(void **state)
{
    (void)state;
    agent.turns_max = 1;
    greet();
    assert_true(call_lives());
    stub.final = "hello";
    stub.reply = "Hello.";
    speak(600);
    audible();
    played();
    assert_false(call_lives());
    end();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The first mark of a reply that comes back is in its ledger; of what was not marked, nothing. */
static void the_first_mark_is_in_the_ledger(void **state)
{
    (void)state;
    greet();
    stub.final = "when are you open";
    stub.reply = "From nine to five.";
    speak(600);
    audible();
    pass(120);
    marked(leg.epoch + 1);
    marked(leg.epoch);
    pass(200);
    marked(leg.epoch);
    played();
    const char *log = end();
    assert_int_equal(count(log, "\"mark_back_ms\":null"), 1); /* of the greeting */
    const char *turn = strstr(log, "\"heard\":\"when are you open\"");
    int heard = atoi(strchr(strstr(turn, "\"first_audible_ms\":"), ':') + 1);
    assert_int_equal(atoi(strchr(strstr(turn, "\"mark_back_ms\":"), ':') + 1), heard + 120);
}

/* The journal has no room any more: the call goes on, and its log says that it lacks something. */
static void a_full_journal_shows_in_the_log(void **state)
{
    struct journal_shard *s = journal_shard(world.journal, 0);
    static uint8_t text[4000];
    uint32_t other;

    (void)state;
    greet();
    assert_int_equal(journal_begin(s, "other", SLICE_NONE, &other), 0);
    for (size_t n = sizeof(text); n > 4; n /= 2)
        while (journal_add(s, other, JOURNAL_SAID, slice_of(text, n)) == 0)
            ;
    stub.final = "when are you open";
    stub.reply = "From nine to five.";
    speak(600);
    audible();
    played();
    journal_stored(s, other);
    stub.final = "goodbye";
    stub.reply = "Goodbye.";
    speak(600);
    audible();
    played();
    const char *log = end();
    assert_non_null(strstr(log, "\"log_incomplete\":true"));
    assert_non_null(strstr(log, "\"status\":\"completed\""));
    assert_null(strstr(log, "From nine"));
    assert_non_null(strstr(log, "\"heard\":\"goodbye\""));
}

static uint32_t calls_in_journal(void)
{
    struct journal_state state;

    journal_shard_state(journal_shard(world.journal, 0), &state);
    return state.calls;
}

/* Longer than an actor may take to stop: that is the store's matter, not the call's. */
static void a_slow_store_is_waited_for(void **state)
{
    (void)state;
    greet();
    store_hangs = true;
    actor_stop(shard, root->id, REASON(0, "the test is over"));
    shard_finish(shard);
    pass(55000);
    assert_true(call_lives());
    assert_null(document);
    store_hangs = false;
    pass(20);
    assert_non_null(document);
    assert_true(shard_finished(shard));
    assert_int_equal(calls_in_journal(), 0);
}

/* Not for ever: then the journal keeps the log for the next start. */
static void a_store_that_never_answers_is_left(void **state)
{
    (void)state;
    greet();
    store_hangs = true;
    actor_stop(shard, root->id, REASON(0, "the test is over"));
    shard_finish(shard);
    pass(60100);
    assert_false(call_lives());
    assert_true(shard_finished(shard));
    assert_int_equal(calls_in_journal(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_turn_is_heard_answered_and_stored),
        CASE(who_watches_is_told),
        CASE(who_watches_hears_the_last_words),
        CASE(a_final_that_never_comes_repeats_nothing),
        CASE(going_on_before_the_final_keeps_both_halves),
        CASE(a_cut_reply_says_nothing_more),
        CASE(coming_up_does_not_undo_a_stop),
        CASE(a_hash_over_speech_keeps_what_was_said),
        CASE(keys_before_an_answer_keep_what_was_heard),
        CASE(a_model_that_fails_while_it_speaks_ends_its_reply),
        CASE(a_model_that_never_answers_ends_the_call_with_a_reason),
        CASE(says_goodbye_and_hangs_up),
        CASE(announces_and_hangs_up),
        CASE(ends_after_its_number_of_turns),
        CASE(the_first_mark_is_in_the_ledger),
        CASE(a_full_journal_shows_in_the_log),
        CASE(a_slow_store_is_waited_for),
        CASE(a_store_that_never_answers_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
