/* The control loop: hosts an actor, sleeps, is woken by another shard's mail, by timers and by
 * signals, and ends when its shard is finished. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <sys/resource.h>
#include <uv.h>

#include "net/control.h"

enum { MSG_PING = MSG_ACTORS_FIRST, MSG_PONG };
enum { CONTROL_HOST, SHARD_HOST, HOSTS };

#define ROUNDS 200

struct ping_msg {
    uint32_t n;
};

/* Sends pings to its peer (or to nobody), answers those of others. */
struct player {
    struct actor actor;
    struct actor_id peer;
    struct actor_timer timer;
    uint32_t pings, pongs, timers;
    bool finishes; /* its shard, after the last round */
    char text[64];
};

static void player_ping(struct player *p, uint32_t n)
{
    frame_ref text = frame_chain(shard_pool(p->actor.shard), SLICE("over to you"));

    assert_true(SEND(&p->actor, p->peer, MSG_PING, IF_FULL_STOP, text, struct ping_msg, .n = n));
}

static void player_pong(struct player *p, const struct msg *m)
{
    p->pongs++;
    if (msg_body(m, ping_msg)->n + 1 < ROUNDS) {
        player_ping(p, msg_body(m, ping_msg)->n + 1);
        return;
    }
    /* Then silence, in which the loop must sleep and the timer wake it. */
    actor_timer_set(&p->actor, &p->timer, 1, shard_now(p->actor.shard) + MS(30));
}

static void player_handle(struct actor *a, const struct msg *m)
{
    struct player *p = container_of(a, struct player, actor);

    switch (m->type) {
    case MSG_START:
        p->peer = *msg_body(m, actor_id);
        if (!actor_id_none(p->peer))
            player_ping(p, 0);
        break;
    case MSG_PING:
        p->pings++;
        frame_chain_copy(shard_pool(a->shard), m->frame, p->text, sizeof(p->text));
        SEND(a, m->from, MSG_PONG, IF_FULL_STOP, FRAME_NONE, struct ping_msg,
             .n = msg_body(m, ping_msg)->n);
        if (p->finishes && p->pings == ROUNDS) {
            actor_stop_self(a, REASON_NONE);
            shard_finish(a->shard);
        }
        break;
    case MSG_PONG:
        player_pong(p, m);
        break;
    case MSG_TIMER:
        p->timers++;
        kill(getpid(), SIGHUP);
        break;
    case MSG_STOP:
        actor_end(a);
        break;
    default:
        fail();
    }
}

static const struct actor_type player_type = {
    .name = "player", .size_bytes = sizeof(struct player), .handle = player_handle};

static struct control *control;
static struct mesh *mesh;
static struct shard *home; /* the control thread's */
static struct actor_id answerer;
static pthread_barrier_t ready;
static int signals[64];

static struct shard *make_shard(uint32_t host, struct control *driver, void *world)
{
    const struct shard_type types[] = {{&player_type, 4}};
    const struct shard_setup setup = {.index = host,
                                      .clock = clock_machine,
                                      .frames_max = 64,
                                      .types = types,
                                      .type_count = 1,
                                      .mesh = mesh,
                                      .wake = control_wake,
                                      .wake_context = driver,
                                      .world = world};
    struct shard *shard = NULL;

    assert_int_equal(shard_new(&setup, &shard), 0);
    return shard;
}

/* The other side: a shard on a thread and a loop of its own. */
static void *other_thread(void *arg)
{
    const struct control_setup setup = {0};
    struct control *driver = NULL;
    struct actor_id nobody = ACTOR_NOBODY;

    (void)arg;
    assert_int_equal(control_new(&setup, &driver), 0);
    struct shard *shard = make_shard(SHARD_HOST, driver, NULL);
    struct actor *a =
        actor_spawn(shard, &player_type, NULL, 0, &nobody, sizeof(nobody), FRAME_NONE);
    struct player *p = container_of(a, struct player, actor);
    answerer = a->id;
    p->finishes = true;
    pthread_barrier_wait(&ready);
    control_run(driver, shard);
    bool heard = p->pings == ROUNDS && strcmp(p->text, "over to you") == 0;
    shard_free(&shard);
    pthread_barrier_wait(&ready); /* nobody wakes this loop any more */
    control_free(&driver);
    return heard ? "heard" : NULL;
}

static void on_signal(void *context, int number)
{
    assert_ptr_equal(context, &control);
    signals[number]++;
    if (number == SIGHUP) { /* the last round is over: on to the end */
        kill(getpid(), SIGTERM);
        return;
    }
    actor_stop(home, *(struct actor_id *)shard_world(home), REASON_NONE);
    shard_finish(home);
}

static void hosts_an_actor_and_talks_to_a_shard(void **state)
{
    struct control_setup setup = {.on_signal = on_signal, .context = &control};
    struct actor_id mine;
    pthread_t thread;
    void *heard = NULL;

    (void)state;
    assert_int_equal(control_new(&setup, &control), 0);
    mesh = mesh_new(HOSTS);
    mesh_pair(mesh, CONTROL_HOST, SHARD_HOST, RING_BYTES, false);
    home = make_shard(CONTROL_HOST, control, &mine);
    pthread_barrier_init(&ready, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_barrier_wait(&ready);
    struct actor *a =
        actor_spawn(home, &player_type, NULL, 0, &answerer, sizeof(answerer), FRAME_NONE);
    struct player *p = container_of(a, struct player, actor);
    mine = a->id;
    control_run(control, home);
    pthread_barrier_wait(&ready);
    assert_int_equal(p->pongs, ROUNDS); /* its slot is still mapped */
    assert_int_equal(p->timers, 1);
    assert_int_equal(signals[SIGHUP], 1);
    assert_int_equal(signals[SIGTERM], 1);
    assert_int_equal(pthread_join(thread, &heard), 0);
    assert_non_null(heard);
    shard_free(&home);
    mesh_free(&mesh);
    control_free(&control);
    assert_null(control);
    pthread_barrier_destroy(&ready);
}

static void on_uv_timer(uv_timer_t *timer)
{
    unsigned *fired = timer->data;

    if (++*fired == 3) {
        actor_stop(home, *(struct actor_id *)shard_world(home), REASON_NONE);
        shard_finish(home);
    }
}

/* What lives on the loop beside the shard runs too; without a mailbox there is nothing to wake. */
static void shares_its_loop(void **state)
{
    struct control_setup setup = {0};
    struct actor_id mine, nobody = ACTOR_NOBODY;
    uv_timer_t timer;
    unsigned fired = 0;

    (void)state;
    assert_int_equal(control_new(&setup, &control), 0);
    mesh = NULL;
    home = make_shard(0, control, &mine);
    mine = actor_spawn(home, &player_type, NULL, 0, &nobody, sizeof(nobody), FRAME_NONE)->id;
    assert_int_equal(uv_timer_init(control_loop(control), &timer), 0);
    timer.data = &fired;
    uv_timer_start(&timer, on_uv_timer, 1, 1);
    control_run(control, home);
    assert_int_equal(fired, 3);
    shard_free(&home);
    control_free(&control); /* closes the timer as well */
}

static void *step_back(void *arg)
{
    (void)arg;
    control_step_back();
    return sched_getscheduler(0) == SCHED_BATCH && getpriority(PRIO_PROCESS, 0) == 19 ? "yes"
                                                                                      : NULL;
}

static void steps_back_behind_others(void **state)
{
    pthread_t thread;
    void *done = NULL;
    int before = getpriority(PRIO_PROCESS, 0);

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, step_back, NULL), 0);
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_non_null(done);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before); /* that thread alone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_an_actor_and_talks_to_a_shard),
        cmocka_unit_test(shares_its_loop),
        cmocka_unit_test(steps_back_behind_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
