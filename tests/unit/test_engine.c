/* What drives a plug-in: an engine with jobs on a lane, and the tts actor that must not make more
 * sound than its leg has room for. The lane is stepped by the test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "actors/call/engine.h"

#define RATE_HZ 8000

extern const struct actor_type tts_type;

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

/* ---- a local plug-in: audio is a job, a cancel a job that clears up ---- */

enum { JOB_AUDIO = 1, JOB_DROP };

static char ran[64]; /* the jobs, in order */
static size_t clause_samples;

static void job(struct intents *out, uint32_t tag, uint32_t epoch)
{
    struct provider_intent *intent = intents_add(out, INTENT_JOB);

    intent->flag = tag;
    intent->epoch = epoch;
}

static void local_step(void *state, const struct provider_input *in, int64_t now,
                       struct intents *out)
{
    (void)state;
    (void)now;
    if (in->kind == INPUT_AUDIO)
        job(out, JOB_AUDIO, in->epoch);
    if (in->kind == INPUT_CANCEL)
        job(out, JOB_DROP, in->epoch);
}

static int local_open(void *session, const struct provider_config *config, struct job_port *port,
                      char *why, size_t why_bytes)
{
    (void)session;
    (void)config;
    (void)port;
    (void)why;
    (void)why_bytes;
    return 0;
}

static void local_run(void *session, uint32_t tag, struct slice body, struct job_port *port)
{
    (void)session;
    (void)body;
    (void)port;
    snprintf(ran + strlen(ran), sizeof(ran) - strlen(ran), "%u ", tag);
}

static void local_close(void *session, struct job_port *port)
{
    (void)session;
    (void)port;
}

static const struct provider_ops local = {.name = "local",
                                          .kind = PROVIDER_STT,
                                          .rate_hz = RATE_HZ,
                                          .step = local_step,
                                          .job_open = local_open,
                                          .job_run = local_run,
                                          .job_close = local_close};

/* ---- a voice that gives a whole clause at once ---- */

static void voice_step(void *state, const struct provider_input *in, int64_t now,
                       struct intents *out)
{
    static const int16_t sound[RATE_HZ * 60];
    struct provider_intent *event;

    (void)state;
    (void)now;
    if (in->kind != INPUT_TEXT)
        return;
    event = intents_add(out, INTENT_EVENT);
    event->event = EVENT_AUDIO;
    event->epoch = in->epoch;
    event->text = slice_of(sound, clause_samples * sizeof(int16_t));
    intents_event(out, EVENT_SPOKEN, in->epoch, SLICE_NONE);
}

static const struct provider_ops voice = {
    .name = "voice", .kind = PROVIDER_TTS, .rate_hz = RATE_HZ, .step = voice_step};

/* ---- a voice that takes clauses ahead, and gives what the test says when it says so ---- */

static char asked[512]; /* texts and ends, with a bar behind each */
static size_t sound_owed;
static unsigned spoken_owed;

static void ahead_step(void *state, const struct provider_input *in, int64_t now,
                       struct intents *out)
{
    static const int16_t sound[RATE_HZ * 4];
    struct provider_intent *event;
    size_t at = strlen(asked);

    (void)state;
    (void)now;
    if (in->kind == INPUT_TEXT || in->kind == INPUT_FINISH)
        snprintf(asked + at, sizeof(asked) - at, "%.*s|", SLICE_ARG(in->data));
    if (in->kind != INPUT_TIMER || (sound_owed == 0 && spoken_owed == 0))
        return;
    event = intents_add(out, INTENT_EVENT);
    event->event = EVENT_AUDIO;
    event->epoch = 1;
    event->text = slice_of(sound, sound_owed * sizeof(int16_t));
    sound_owed = 0;
    for (; spoken_owed; spoken_owed--)
        intents_event(out, EVENT_SPOKEN, 1, SLICE_NONE);
}

static int64_t ahead_deadline(const void *state)
{
    (void)state;
    return test_now_ns + MS(10);
}

static const struct provider_ops ahead = {.name = "ahead",
                                          .kind = PROVIDER_TTS,
                                          .rate_hz = RATE_HZ,
                                          .ahead = true,
                                          .step = ahead_step,
                                          .deadline = ahead_deadline};

/* ---- the actor: owner of an engine, or call and leg of a tts ---- */

static struct {
    unsigned failed, ends, piece_ends, at_piece_end;
    size_t samples;
} heard;

struct owner {
    struct actor actor;
    struct engine engine;
    bool drives;
};

static void on_event(struct actor *a, const struct provider_intent *event)
{
    (void)a;
    heard.failed += event->event == EVENT_FAILED;
}

static void owner_stop(struct owner *o)
{
    if (o->drives)
        engine_stop(&o->engine);
    if (!o->actor.child)
        actor_end(&o->actor);
}

static void owner_handle(struct actor *a, const struct msg *m)
{
    struct owner *o = container_of(a, struct owner, actor);

    if (o->drives && engine_handle(&o->engine, m))
        return;
    switch (m->type) {
    case MSG_STOP:
        owner_stop(o);
        break;
    case MSG_CHILD_ENDED:
        actor_end(a);
        break;
    case PLAY:
        heard.samples += frame_at(shard_pool(a->shard), m->frame)->len / sizeof(int16_t);
        break;
    case PLAY_PIECE_END:
        heard.piece_ends++;
        heard.at_piece_end = (unsigned)heard.samples;
        break;
    case PLAY_END:
        heard.ends++;
        break;
    default:
        break;
    }
}

static const struct actor_type owner_type = {
    .name = "owner", .size_bytes = sizeof(struct owner), .handle = owner_handle};

/* ---- the world ---- */

static struct bundle bundle = {.roles = {[PROVIDER_STT] = {.at = {{.ops = &local}}, .count = 1},
                                         [PROVIDER_TTS] = {.at = {{.ops = &voice}}, .count = 1}}};
static struct world world = {.agents = {NULL, &bundle}};
static struct mesh *mesh;
static struct shard *shard;
static struct lane_worker *worker;
static struct owner *owner;

static int set_up(void **state)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_PROVIDER] =
                                                                           &engine_program};
    const struct lane_map map = {.first_host = {[LANE_SPEECH] = 1}, .workers = {[LANE_SPEECH] = 1}};
    const struct shard_type types[] = {{&owner_type, 1}, {&tts_type, 1}};
    const struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                      .frames_max = 1024,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .mesh = (mesh = mesh_new(2)),
                                      .world = &world};

    (void)state;
    memset(&heard, 0, sizeof(heard));
    ran[0] = asked[0] = '\0';
    bundle.roles[PROVIDER_TTS].at[0].ops = &voice;
    test_now_ns = SECONDS(1);
    mesh_pair(mesh, 0, 1, 65536, false);
    engine_program_world(&world);
    assert_int_equal(shard_new(&setup, &shard), 0);
    lane_map_set(shard, &map);
    worker = lane_worker_new(mesh, 1, LANE_SPEECH, programs);
    struct actor *a = actor_spawn(shard, &owner_type, NULL, 0, NULL, 0, FRAME_NONE);
    owner = container_of(a, struct owner, actor);
    return 0;
}

static void memory_close(uint16_t program, void *memory)
{
    (void)program;
    engine_program_memory_close(memory);
}

static int tear_down(void **state)
{
    (void)state;
    actor_stop(shard, owner->actor.id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    assert_true(shard_finished(shard)); /* the runtime has looked at its ledger */
    shard_free(&shard);
    lane_worker_free(&worker, memory_close);
    mesh_free(&mesh);
    return 0;
}

static void drive(void)
{
    owner->drives = true;
    assert_int_equal(engine_start(&owner->engine, &owner->actor, 1, PROVIDER_STT, on_event), 0);
}

static void work(void)
{
    while (lane_worker_step(worker))
        shard_turn(shard);
    shard_turn(shard);
}

static void cancels_jobs_but_not_the_clearing_up(void **state)
{
    (void)state;
    drive();
    engine_command(&owner->engine, INPUT_AUDIO, 4, SLICE_NONE);
    work();
    engine_command(&owner->engine, INPUT_AUDIO, 5, SLICE_NONE);
    engine_cancel(&owner->engine, 5);
    engine_command(&owner->engine, INPUT_AUDIO, 6, SLICE_NONE);
    work();
    assert_string_equal(ran, "1 2 1 ");
    assert_int_equal(heard.failed, 0);
    assert_int_equal(owner->engine.jobs, 0);
}

/* The lane stands still: what is said meanwhile is lost, the call is not. */
static void refused_audio_is_no_failure(void **state)
{
    (void)state;
    drive();
    for (int i = 0; i < 1000; i++)
        engine_command(&owner->engine, INPUT_AUDIO, 1, SLICE_NONE);
    assert_int_equal(heard.failed, 0);
    assert_in_range(owner->engine.jobs, OUTBOX_MAX, 999);
    work();
    for (int i = 0; i < 10; i++)
        work();
    assert_int_equal(owner->engine.jobs, 0);
}

/* ---- tts ---- */

static struct actor *spawn_tts(void)
{
    struct engine_start_msg args = {.agent = 1, .leg_rate_hz = RATE_HZ, .leg = owner->actor.id};
    struct actor *tts =
        actor_spawn(shard, &tts_type, &owner->actor, ROLE_TTS, &args, sizeof(args), FRAME_NONE);

    assert_non_null(tts);
    return tts;
}

static void tell(struct actor *tts, uint16_t type, const void *body, size_t bytes, const char *text)
{
    frame_ref take = text ? frame_chain(shard_pool(shard), slice_str(text)) : FRAME_NONE;

    actor_send_body(&owner->actor, tts->id, type, IF_FULL_STOP, take, body, bytes);
    shard_turn(shard);
}

static void give_room(struct actor *tts, uint32_t room_ms)
{
    struct play_room_msg room = {.room_ms = room_ms};

    tell(tts, PLAY_ROOM, &room, sizeof(room), NULL);
}

static void makes_no_more_than_there_is_room_for(void **state)
{
    struct tts_say_msg say = {.epoch = 1, .generation = 1, .piece = 1};
    struct actor *tts = spawn_tts();

    (void)state;
    clause_samples = RATE_HZ * 20;
    give_room(tts, 2000);
    tell(tts, TTS_SAY, &say, sizeof(say), "a long one");
    tell(tts, TTS_END, &say, sizeof(say), NULL);
    assert_in_range(heard.samples, RATE_HZ, RATE_HZ * 2);
    assert_int_equal(heard.piece_ends + heard.ends, 0);
    for (int i = 0; i < 5; i++) {
        size_t before = heard.samples;
        give_room(tts, 3000);
        assert_in_range(heard.samples - before, RATE_HZ * 2, RATE_HZ * 3);
    }
    give_room(tts, 10000);
    assert_int_equal(heard.samples, clause_samples); /* none is lost */
    assert_int_equal(heard.piece_ends, 1);
    assert_int_equal(heard.at_piece_end, clause_samples);
    assert_int_equal(heard.ends, 1);
}

static void lets_go_of_what_was_cancelled(void **state)
{
    struct tts_say_msg say = {.epoch = 1, .generation = 1, .piece = 1};
    struct epoch_msg cancel = {.epoch = 1};
    struct actor *tts = spawn_tts();

    (void)state;
    clause_samples = RATE_HZ * 20;
    give_room(tts, 2000);
    tell(tts, TTS_SAY, &say, sizeof(say), "a long one");
    tell(tts, TTS_CANCEL, &cancel, sizeof(cancel), NULL);
    assert_int_equal(shard_load(shard).frames_used, 0);
    size_t before = heard.samples;
    give_room(tts, 30000);
    assert_int_equal(heard.samples, before);
    clause_samples = RATE_HZ / 10;
    say = (struct tts_say_msg){.epoch = 2, .generation = 2, .piece = 2};
    tell(tts, TTS_SAY, &say, sizeof(say), "short");
    assert_int_equal(heard.samples, before + clause_samples);
    assert_int_equal(heard.piece_ends, 1);
}

static void say_piece(struct actor *tts, uint32_t piece, const char *text)
{
    struct tts_say_msg say = {.epoch = 1, .generation = 1, .piece = piece};

    tell(tts, text ? TTS_SAY : TTS_END, &say, sizeof(say), text);
}

static void give_sound(size_t samples, unsigned spoken)
{
    sound_owed = samples;
    spoken_owed = spoken;
    test_now_ns += MS(20);
    shard_turn(shard);
    shard_turn(shard);
    assert_int_equal(sound_owed + spoken_owed, 0);
}

static struct actor *spawn_ahead(void)
{
    bundle.roles[PROVIDER_TTS].at[0].ops = &ahead;
    return spawn_tts();
}

static void asks_ahead_and_tells_the_end_once(void **state)
{
    struct actor *tts = spawn_ahead();

    (void)state;
    give_room(tts, 4000);
    say_piece(tts, 1, "Sure.");
    assert_string_equal(asked, "Sure.|");
    say_piece(tts, 2, "And more of it.");
    assert_string_equal(asked, "Sure.|And more of it.|");
    say_piece(tts, 2, NULL);
    assert_string_equal(asked, "Sure.|And more of it.||");
    give_sound(RATE_HZ / 10, 1);
    assert_int_equal(heard.piece_ends, 1);
    assert_int_equal(heard.at_piece_end, RATE_HZ / 10);
    give_sound(RATE_HZ, 1);
    assert_int_equal(heard.piece_ends, 2);
    assert_int_equal(heard.at_piece_end, RATE_HZ / 10 + RATE_HZ);
    assert_int_equal(heard.ends, 1);
    assert_string_equal(asked, "Sure.|And more of it.||");
}

/* Both clauses were made at once, and wait for room in one line. */
static void held_clauses_keep_their_ends_apart(void **state)
{
    struct actor *tts = spawn_ahead();

    (void)state;
    give_room(tts, 1020);
    say_piece(tts, 1, "One.");
    say_piece(tts, 2, "Two.");
    say_piece(tts, 2, NULL);
    give_sound(RATE_HZ * 3 / 2, 1);
    give_sound(RATE_HZ, 1);
    assert_in_range(heard.samples, RATE_HZ * 9 / 10, RATE_HZ * 102 / 100);
    assert_int_equal(heard.piece_ends, 0);
    give_room(tts, 800);
    assert_int_equal(heard.piece_ends, 1);
    assert_int_equal(heard.at_piece_end, RATE_HZ * 3 / 2);
    assert_in_range(heard.samples, RATE_HZ * 3 / 2 + 1, RATE_HZ * 2);
    give_room(tts, 3000);
    assert_int_equal(heard.piece_ends, 2);
    assert_int_equal(heard.samples, RATE_HZ * 5 / 2);
    assert_int_equal(heard.ends, 1);
}

/* No more text is ahead than one long clause has, and none while sound waits for room. */
static void what_is_asked_ahead_is_bounded(void **state)
{
    char longest[180];
    struct actor *tts = spawn_ahead();

    (void)state;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    give_room(tts, 3000);
    say_piece(tts, 1, "One.");
    say_piece(tts, 2, longest);
    say_piece(tts, 3, "Three.");
    assert_string_equal(asked, "One.|");
    give_sound(RATE_HZ / 10, 1);
    assert_int_equal(strlen(asked), strlen("One.|") + strlen(longest) + 1);
    give_sound(RATE_HZ * 4, 0); /* more than there is room for */
    give_sound(RATE_HZ * 4, 1);
    assert_null(strstr(asked, "Three."));
    assert_int_equal(heard.piece_ends, 1);
    give_room(tts, 9000);
    assert_non_null(strstr(asked, "Three."));
    assert_int_equal(heard.piece_ends, 2);
    assert_int_equal(heard.at_piece_end, RATE_HZ / 10 + RATE_HZ * 8);
}

static void a_cancel_takes_all_that_was_asked_ahead(void **state)
{
    struct epoch_msg cancel = {.epoch = 1};
    struct actor *tts = spawn_ahead();

    (void)state;
    give_room(tts, 1020);
    say_piece(tts, 1, "One.");
    say_piece(tts, 2, "Two.");
    give_sound(RATE_HZ * 3, 1);
    give_sound(RATE_HZ, 0);
    size_t before = heard.samples;
    tell(tts, TTS_CANCEL, &cancel, sizeof(cancel), NULL);
    give_sound(RATE_HZ, 1); /* late */
    give_room(tts, 30000);
    assert_int_equal(heard.samples, before);
    assert_int_equal(heard.piece_ends, 0);
    assert_int_equal(shard_load(shard).frames_used, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(cancels_jobs_but_not_the_clearing_up), CASE(refused_audio_is_no_failure),
        CASE(makes_no_more_than_there_is_room_for), CASE(lets_go_of_what_was_cancelled),
        CASE(asks_ahead_and_tells_the_end_once),    CASE(held_clauses_keep_their_ends_apart),
        CASE(what_is_asked_ahead_is_bounded),       CASE(a_cancel_takes_all_that_was_asked_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
