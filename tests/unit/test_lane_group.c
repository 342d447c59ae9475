/* Jobs of a lane that wait together are done together: in order, each with its own answer, and none
 * answered before the group is done with. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/lane.h"

enum tag { TAG_JOINS = 1, TAG_ALONE };

/* ---- a program that writes down what happens: "(" and ")" around a group, a job's first byte ----
 */

static struct shard *shard;
static char story[8192];
static int begin_err, end_err, run_err; /* `run_err`: of the job "x" */

static void tell(const char *format, ...) PRINTF_LIKE(1, 2);

static void tell(const char *format, ...)
{
    size_t len = strlen(story);
    va_list args;

    va_start(args, format);
    vsnprintf(story + len, sizeof(story) - len, format, args);
    va_end(args);
}

static size_t session_bytes(struct slice arguments)
{
    (void)arguments;
    return 0;
}

static int run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    (void)session;
    (void)tag;
    (void)job;
    tell("%c", bytes.at[0]);
    return bytes.at[0] == 'x' ? run_err : 0;
}

static void shut(void *session, struct lane_job *job)
{
    (void)session;
    (void)job;
    tell("#");
}

static bool joins(uint32_t tag)
{
    return tag == TAG_JOINS;
}

static int group_begin(struct lane_job *job)
{
    (void)job;
    tell("(");
    return begin_err;
}

/* What has been answered by now shows before the bracket. */
static int group_end(struct lane_job *job)
{
    (void)job;
    shard_turn(shard);
    tell(")");
    return end_err;
}

static const struct lane_program program = {.name = "group",
                                            .session_bytes = session_bytes,
                                            .run = run,
                                            .close = shut,
                                            .joins = joins,
                                            .group_begin = group_begin,
                                            .group_end = group_end};

/* ---- who asks: writes down each answer ---- */

#define SESSIONS 4

struct asker {
    struct actor actor;
    struct lane_session sessions[SESSIONS];
};

static struct mesh *mesh;
static struct lane_worker *worker;
static struct asker *asker;

static void asker_handle(struct actor *a, const struct msg *m)
{
    struct asker *s = container_of(a, struct asker, actor);
    const struct lane_msg *body;

    switch (m->type) {
    case MSG_START:
        for (int i = 0; i < SESSIONS; i++)
            assert_int_equal(lane_open(a, LANE_STORE, 0, NULL, 0, &s->sessions[i]), 0);
        break;
    case MSG_LANE_DONE:
        body = msg_body(m, lane_msg);
        tell(body->err ? " %u:%d" : " %u", body->epoch, body->err);
        break;
    case MSG_STOP:
        for (int i = 0; i < SESSIONS; i++)
            lane_close(a, &s->sessions[i]);
        actor_end(a);
        break;
    default:
        fail();
    }
}

static const struct actor_type asker_type = {
    .name = "asker", .size_bytes = sizeof(struct asker), .handle = asker_handle};

static int start(void **state)
{
    static const struct lane_program *const programs[] = {&program};
    const struct lane_map map = {.first_host = {[LANE_STORE] = 1}, .workers = {[LANE_STORE] = 1}};
    const struct shard_type types[] = {{&asker_type, 1}};

    (void)state;
    mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 1 << 20, false);
    const struct shard_setup setup = {
        .clock = clock_machine, .frames_max = 1024, .types = types, .type_count = 1, .mesh = mesh};
    assert_int_equal(shard_new(&setup, &shard), 0);
    lane_map_set(shard, &map);
    worker = lane_worker_new(mesh, 1, LANE_STORE, programs);
    struct actor *a = actor_spawn(shard, &asker_type, NULL, 0, NULL, 0, FRAME_NONE);
    asker = container_of(a, struct asker, actor);
    shard_turn(shard);
    while (lane_worker_step(worker))
        ;
    story[0] = '\0';
    begin_err = end_err = run_err = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    actor_stop(shard, asker->actor.id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    shard_free(&shard);
    lane_worker_free(&worker, NULL);
    mesh_free(&mesh);
    return 0;
}

/* Asks through the session of that number; the epoch names the job in its answer. */
static void ask(int session, enum tag tag, uint32_t epoch, const char *bytes)
{
    assert_int_equal(
        lane_run(&asker->actor, &asker->sessions[session], tag, epoch, slice_str(bytes)), 0);
}

static void step_tells(const char *expected)
{
    story[0] = '\0';
    assert_true(lane_worker_step(worker));
    shard_turn(shard);
    assert_string_equal(story, expected);
}

static void nothing_waits(void)
{
    assert_false(lane_worker_step(worker));
    assert_int_equal(lane_worker_depth(worker), 0);
}

static void what_waits_together_is_done_together(void **state)
{
    (void)state;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, "b");
    ask(0, TAG_JOINS, 3, "c");
    step_tells("(abc) 1 2 3");
    ask(0, TAG_JOINS, 4, "d");
    step_tells("(d) 4");
    nothing_waits();
}

/* Of one that comes in parts the last part joins. */
static void long_jobs_join(void **state)
{
    static char text[3 * LANE_PART_BYTES];

    (void)state;
    memset(text, 'l', sizeof(text) - 1);
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, text);
    ask(2, TAG_JOINS, 3, "b");
    step_tells("(alb) 1 2 3");
    nothing_waits();
}

static void a_group_is_bounded(void **state)
{
    char expected[1024];
    struct builder b = builder_of(expected, sizeof(expected));

    (void)state;
    for (uint32_t i = 1; i <= LANE_GROUP_MAX + 1; i++)
        ask((int)i % SESSIONS, TAG_JOINS, i, "a");
    builder_str(&b, "(");
    for (uint32_t i = 1; i <= LANE_GROUP_MAX; i++)
        builder_str(&b, "a");
    builder_str(&b, ")");
    for (uint32_t i = 1; i <= LANE_GROUP_MAX; i++)
        builder_printf(&b, " %u", i);
    builder_u8(&b, 0);
    step_tells(expected);
    snprintf(expected, sizeof(expected), "(a) %u", LANE_GROUP_MAX + 1);
    step_tells(expected);
    nothing_waits();
}

/* What must not wait for others ends the group before it. */
static void others_keep_their_place(void **state)
{
    (void)state;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_ALONE, 2, "b");
    ask(2, TAG_JOINS, 3, "c");
    ask(3, TAG_JOINS, 4, "d");
    step_tells("(a) 1");
    step_tells("b 2");
    step_tells("(cd) 3 4");
    nothing_waits();
}

/* A session that is closed while its job waits for the others is closed behind its answer. */
static void a_close_ends_a_group_of_its_own(void **state)
{
    (void)state;
    ask(0, TAG_JOINS, 1, "a");
    lane_close(&asker->actor, &asker->sessions[1]); /* not in the group: no hindrance */
    ask(2, TAG_JOINS, 2, "b");
    lane_close(&asker->actor, &asker->sessions[2]);
    ask(3, TAG_JOINS, 3, "c");
    step_tells("(a#b) 1 2");
    step_tells("#");
    step_tells("(c) 3");
    nothing_waits();
}

static void a_failing_job_fails_alone(void **state)
{
    (void)state;
    run_err = -EINVAL;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, "x");
    ask(2, TAG_JOINS, 3, "b");
    step_tells("(axb) 1 2:-22 3");
    nothing_waits();
}

/* Nothing of a group that could not be ended is done: each is tried by itself. */
static void a_failing_group_is_done_singly(void **state)
{
    (void)state;
    end_err = -ENOSPC;
    run_err = -EINVAL;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, "x");
    ask(2, TAG_JOINS, 3, "b");
    step_tells("(axb)axb 1 2:-22 3");
    nothing_waits();
}

static void a_group_that_cannot_begin_is_done_singly(void **state)
{
    (void)state;
    begin_err = -EAGAIN;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, "b");
    step_tells("(a 1");
    step_tells("(b 2");
    nothing_waits();
}

static void cancelled_jobs_are_not_run(void **state)
{
    (void)state;
    ask(0, TAG_JOINS, 1, "a");
    ask(1, TAG_JOINS, 2, "b");
    lane_cancel(&asker->actor, &asker->sessions[1], 2);
    ask(2, TAG_JOINS, 3, "c");
    end_err = -EIO;
    step_tells("(ac)ac 1 2:-125 3");
    nothing_waits();
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_waits_together_is_done_together),
        CASE(long_jobs_join),
        CASE(a_group_is_bounded),
        CASE(others_keep_their_place),
        CASE(a_close_ends_a_group_of_its_own),
        CASE(a_failing_job_fails_alone),
        CASE(a_failing_group_is_done_singly),
        CASE(a_group_that_cannot_begin_is_done_singly),
        CASE(cancelled_jobs_are_not_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
