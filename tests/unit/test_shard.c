/* Actors on shards under a clock of the test's own: messages, stop path, slots, mailbox, lanes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/metrics.h"
#include "runtime/lane.h"
#include "runtime/shard.h"

enum { MSG_COUNT = MSG_ACTORS_FIRST, MSG_RELAY, MSG_ASK_LANE };

static int64_t test_now_ns;
static char trail[16384]; /* what happened, in order */

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static void note(const char *text)
{
    size_t used = strlen(trail);

    assert_true(used + strlen(text) + 2 < sizeof(trail));
    snprintf(trail + used, sizeof(trail) - used, "%s ", text);
}

struct node {
    struct actor actor;
    char name[8];
    uint32_t counted;
    uint32_t slots;
    bool keeps;    /* does not end when stopped */
    bool farewell; /* says something before it ends */
    bool rearms;   /* its timer sets itself for now */
    uint32_t timers;
    uint32_t counted_at_end; /* of a child */
    struct actor_timer timer;
    struct lane_session session;
    char heard[64];
    int32_t lane_err;
};

struct count_msg {
    uint32_t n;
};

struct relay_msg {
    struct actor_id to;
};

static void node_stop(struct node *n)
{
    note("stop");
    note(n->name);
    lane_close(&n->actor, &n->session);
    actor_timer_cancel(&n->actor, &n->timer);
    if (n->farewell)
        SEND(&n->actor, n->actor.parent->id, MSG_COUNT, IF_FULL_DROP, FRAME_NONE, struct count_msg,
             .n = 1);
    if (!n->actor.child && !n->keeps)
        actor_end(&n->actor);
}

static void node_handle(struct actor *a, const struct msg *m)
{
    struct node *n = container_of(a, struct node, actor);

    switch (m->type) {
    case MSG_START:
        memcpy(n->name, m->body, sizeof(n->name));
        break;
    case MSG_STOP:
        node_stop(n);
        break;
    case MSG_CHILD_ENDED:
        note("ended");
        n->counted_at_end = n->counted;
        if (a->life == ACTOR_STOPPING && !a->child && !n->keeps)
            actor_end(a);
        break;
    case MSG_TIMER:
        if (n->timers++ == 0)
            note("timer");
        if (n->rearms)
            actor_timer_set(a, &n->timer, 5, shard_now(a->shard) - MS(4));
        break;
    case MSG_SLOT:
        n->slots++;
        break;
    case MSG_COUNT:
        n->counted += msg_body(m, count_msg)->n;
        break;
    case MSG_RELAY:
        SEND(a, msg_body(m, relay_msg)->to, MSG_COUNT, IF_FULL_DROP, FRAME_NONE, struct count_msg,
             .n = 1);
        break;
    case MSG_ASK_LANE:
        assert_int_equal(lane_open(a, LANE_SPEECH, 0, "hello", 5, &n->session), 0);
        assert_int_equal(lane_run(a, &n->session, 1, 1, SLICE(" world")), 0);
        assert_int_equal(lane_run(a, &n->session, 1, 2, SLICE(" again")), 0);
        break;
    case MSG_LANE_EMIT:
        frame_chain_copy(shard_pool(a->shard), m->frame, n->heard + strlen(n->heard), 32);
        break;
    case MSG_LANE_DONE:
        n->lane_err = msg_body(m, lane_msg)->err;
        break;
    default:
        fail();
    }
}

static const struct actor_type node_type = {
    .name = "node", .size_bytes = sizeof(struct node), .handle = node_handle};

static struct shard *make_shard(uint32_t index, struct mesh *mesh)
{
    struct shard_type types[] = {{&node_type, 8}};
    struct shard_setup setup = {.index = index,
                                .clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 64,
                                .types = types,
                                .type_count = 1,
                                .mesh = mesh};
    struct shard *shard = NULL;

    trail[0] = '\0';
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    return shard;
}

static struct node *make_node(struct shard *shard, struct actor *parent, const char *name)
{
    struct actor *a = actor_spawn(shard, &node_type, parent, 1, name, strlen(name) + 1, FRAME_NONE);

    assert_non_null(a);
    return container_of(a, struct node, actor);
}

static void end_shard(struct shard **shard)
{
    shard_finish(*shard);
    shard_turn(*shard);
    assert_true(shard_finished(*shard));
    shard_free(shard);
}

static void stops_leaves_first_and_forgets_ids(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    struct node *mid = make_node(shard, &root->actor, "mid");
    struct node *leaf = make_node(shard, &mid->actor, "leaf");
    struct actor_id old = leaf->actor.id;

    (void)state;
    actor_stop(shard, mid->actor.id, REASON(EIO, "first"));
    actor_stop(shard, mid->actor.id, REASON(0, "second"));
    shard_turn(shard);
    assert_string_equal(trail, "stop mid stop leaf ended ended ");
    assert_null(actor_find(shard, old));
    assert_false(
        SEND(&root->actor, old, MSG_COUNT, IF_FULL_STOP, FRAME_NONE, struct count_msg, .n = 1));
    struct node *again = make_node(shard, &root->actor, "new"); /* may take the same slot */
    assert_false(actor_id_equal(again->actor.id, old));
    actor_stop(shard, root->actor.id, REASON_NONE);
    end_shard(&shard);
}

static void memory_is_given_back_in_any_order(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    void *at[3];

    (void)state;
    for (int first = 0; first < 3; first++) {
        for (int i = 0; i < 3; i++) {
            at[i] = actor_memory(&root->actor, 1000);
            assert_non_null(at[i]);
            memset(at[i], 0xEE, 1000);
        }
        assert_int_equal(root->actor.ledger.blocks, 3);
        for (int i = 0; i < 3; i++)
            actor_memory_back(&root->actor, &at[(first + i) % 3]);
        assert_int_equal(root->actor.ledger.blocks, 0);
        assert_null(at[first]);
    }
    actor_memory_back(&root->actor, &at[0]); /* nothing is no memory */
    assert_null(actor_memory(&root->actor, BLOCK_BYTES_MAX));
    actor_stop(shard, root->actor.id, REASON_NONE);
    end_shard(&shard);
}

static void ends_by_force_who_does_not_stop(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    struct node *bad = make_node(shard, &root->actor, "bad");

    (void)state;
    bad->keeps = true;
    size_t before = shard_own_bytes(shard);
    assert_non_null(actor_memory(&bad->actor, 100)); /* kept as well, and taken back with it */
    assert_non_null(actor_memory(&bad->actor, 3000));
    assert_int_equal(shard_own_bytes(shard) - before, 256 + 3072);
    actor_stop(shard, root->actor.id, REASON_NONE);
    shard_turn(shard);
    assert_int_equal(shard_load(shard).actors, 2);
    test_now_ns += ACTOR_STOP_NS + MS(300);
    shard_turn(shard);
    shard_turn(shard);
    assert_int_equal(shard_load(shard).actors, 0);
    end_shard(&shard);
}

static void last_words_come_before_the_end(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    struct node *leaf = make_node(shard, &root->actor, "leaf");

    (void)state;
    leaf->farewell = true;
    actor_stop(shard, leaf->actor.id, REASON_NONE);
    shard_turn(shard);
    assert_string_equal(trail, "stop leaf ended ");
    assert_int_equal(root->counted_at_end, 1);
    actor_stop(shard, root->actor.id, REASON_NONE);
    end_shard(&shard);
}

static void full_queue_ends_the_sender_or_drops(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    struct node *call = make_node(shard, &root->actor, "call");
    struct node *leg = make_node(shard, &call->actor, "leg");
    bool sent = true;
    int i = 0;

    (void)state;
    for (; sent; i++)
        sent = SEND(&leg->actor, root->actor.id, MSG_COUNT, IF_FULL_DROP, FRAME_NONE,
                    struct count_msg, .n = 1);
    assert_int_equal(i, LOCAL_QUEUE_MAX + 1);
    assert_false(SEND(&leg->actor, root->actor.id, MSG_COUNT, IF_FULL_STOP, FRAME_NONE,
                      struct count_msg, .n = 1));
    assert_false(SEND(&root->actor, leg->actor.id, MSG_COUNT, IF_FULL_STOP, FRAME_NONE,
                      struct count_msg, .n = 1)); /* nobody is stopped for a root */
    shard_turn(shard);
    assert_int_equal(root->counted, LOCAL_QUEUE_MAX);
    assert_null(actor_child(&root->actor, 1)); /* the call went with its leg, the root stays */
    assert_int_equal(shard_load(shard).actors, 1);
    actor_stop(shard, root->actor.id, REASON_NONE);
    end_shard(&shard);
}

/* Pages of this process that are in memory. */
static long resident_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long total = 0, resident = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident;
}

static void a_queue_that_is_never_long_stays_small(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *root = make_node(shard, NULL, "root");
    long before = resident_pages();

    (void)state;
    for (int i = 0; i < LOCAL_QUEUE_MAX; i++) {
        assert_true(SEND(&root->actor, root->actor.id, MSG_COUNT, IF_FULL_DROP, FRAME_NONE,
                         struct count_msg, .n = 1));
        shard_turn(shard);
    }
    assert_int_equal(root->counted, LOCAL_QUEUE_MAX);
    /* a ring gone through once would be 512 pages */
    assert_true(resident_pages() - before < 128);
    actor_stop(shard, root->actor.id, REASON_NONE);
    end_shard(&shard);
}

static void timers_and_slots_keep_time(void **state)
{
    struct shard *shard = make_shard(0, NULL);
    struct node *n = make_node(shard, NULL, "n");

    (void)state;
    actor_timer_set(&n->actor, &n->timer, 5, test_now_ns + MS(10));
    actor_slot_join(&n->actor, 3);
    for (int i = 0; i < 100; i++) {
        test_now_ns += TICK_NS;
        shard_turn(shard);
    }
    assert_string_equal(trail, "timer ");
    assert_int_equal(n->slots, 10);
    test_now_ns += MS(60); /* three periods late: none is lost */
    shard_turn(shard);
    assert_int_equal(n->slots, 13);
    /* Set for now by its own handler it fires once a round, not for ever in this one. */
    n->timers = 0;
    n->rearms = true;
    actor_timer_set(&n->actor, &n->timer, 5, test_now_ns);
    shard_turn(shard);
    shard_turn(shard);
    assert_int_equal(n->timers, 2);
    actor_stop(shard, n->actor.id, REASON_NONE);
    end_shard(&shard);
}

/* ---- a slot and a packet at one time ---- */

struct ear {
    struct actor actor;
    io_id id;
    struct address at;
};

static void ear_handle(struct actor *a, const struct msg *m)
{
    struct ear *e = container_of(a, struct ear, actor);

    if (m->type == MSG_START)
        assert_int_equal(
            actor_udp_open(a, &(struct address){.family = 4, .ip = {127, 0, 0, 1}}, &e->id, &e->at),
            0);
    if (m->type == MSG_SLOT)
        note("slot");
    if (m->type == MSG_PACKET)
        note("packet");
    if (m->type != MSG_STOP)
        return;
    actor_io_close(a, &e->id, false);
    actor_end(a);
}

static const struct actor_type ear_type = {
    .name = "ear", .size_bytes = sizeof(struct ear), .handle = ear_handle};

/* What happens in a round that begins so long after a slot was due, a packet having come. */
static void expect_round(int64_t late_ns, const char *expected)
{
    struct shard_type types[] = {{&ear_type, 1}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 8,
                                .types = types,
                                .type_count = 1,
                                .io_new = io_epoll_new,
                                .handles_max = 4,
                                .receive_bytes = 1 << 16};
    struct shard *shard = NULL;

    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    struct actor *a = actor_spawn(shard, &ear_type, NULL, 0, NULL, 0, FRAME_NONE);
    struct ear *e = container_of(a, struct ear, actor);
    struct io *io = shard_io(shard);
    io->ops->wait(io, 0, false);
    shard_turn(shard);
    int64_t due_ns = test_now_ns + TICK_NS;
    actor_slot_join(a, (uint32_t)(due_ns / TICK_NS % SLOTS_PER_FRAME));
    frame_ref said = frame_chain(shard_pool(shard), SLICE("hello"));
    assert_int_equal(io->ops->udp_send(io, e->id, said, &e->at), 0); /* to itself */
    trail[0] = '\0';
    test_now_ns = due_ns + late_ns;
    io->ops->wait(io, MS(10), false);
    shard_turn(shard);
    assert_string_equal(trail, expected);
    actor_stop(shard, a->id, REASON_NONE);
    end_shard(&shard);
}

static void an_overdue_slot_comes_before_what_is_heard(void **state)
{
    (void)state;
    expect_round(MS(1) / 2, "packet slot ");
    expect_round(MS(3), "slot packet ");
}

static void messages_cross_with_their_frames(void **state)
{
    struct mesh *mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 4096, true);
    struct shard *a = make_shard(0, mesh), *b = make_shard(1, mesh);
    struct node *from = make_node(a, NULL, "a"), *to = make_node(b, NULL, "b");
    struct relay_msg relay = {.to = to->actor.id};
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof(text));
    /* Far more than a ring holds: the outbox takes 64 more, then the sender is told. */
    int sent = 0;
    for (; sent < 1000; sent++) {
        frame_ref chain = sent < 10 ? frame_chain(shard_pool(a), slice_of(text, 1500)) : FRAME_NONE;
        if (!actor_send_body(&from->actor, to->actor.id, MSG_COUNT, IF_FULL_DROP, chain,
                             &(struct count_msg){.n = 1}, sizeof(struct count_msg)))
            break;
    }
    assert_in_range(sent, OUTBOX_MAX, OUTBOX_MAX + 40);
    for (int i = 0; i < 100; i++) {
        shard_turn(a);
        shard_turn(b);
    }
    assert_int_equal(to->counted, sent);
    assert_int_equal(shard_load(a).frames_used, 0);
    assert_int_equal(shard_load(b).frames_used, 0);
    actor_send_body(&from->actor, from->actor.id, MSG_RELAY, IF_FULL_DROP, FRAME_NONE, &relay,
                    sizeof(relay));
    shard_turn(a);
    shard_turn(b);
    assert_int_equal(to->counted, sent + 1);
    /* What can never fit is refused at once and blocks nothing behind it. */
    frame_ref huge = frame_chain(shard_pool(a), slice_of(text, 2000));
    assert_false(actor_send_body(&from->actor, to->actor.id, MSG_COUNT, IF_FULL_DROP, huge,
                                 &(struct count_msg){.n = 1}, sizeof(struct count_msg)));
    actor_stop(a, from->actor.id, REASON_NONE);
    actor_stop(b, to->actor.id, REASON_NONE);
    end_shard(&a);
    end_shard(&b);
    mesh_free(&mesh);
}

/* Who reads a full ring may need the very core that the shard would try again on. */
static void a_full_ring_is_tried_again_at_the_next_tick(void **state)
{
    struct mesh *mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 4096, false);
    struct shard *a = make_shard(0, mesh), *b = make_shard(1, mesh);
    struct node *from = make_node(a, NULL, "a"), *to = make_node(b, NULL, "b");
    int64_t refused = metrics_read(METRIC_RING_REFUSED_CONTROL);
    int sent = 0;

    (void)state;
    assert_int_equal(shard_turn(a), NEVER_NS);
    while (actor_send_body(&from->actor, to->actor.id, MSG_COUNT, IF_FULL_DROP, FRAME_NONE,
                           &(struct count_msg){.n = 1}, sizeof(struct count_msg)))
        sent++;
    refused = metrics_read(METRIC_RING_REFUSED_CONTROL) - refused;
    assert_int_equal(refused, OUTBOX_MAX + 1); /* those that wait, and the one that may not */
    refused = metrics_read(METRIC_RING_REFUSED_CONTROL);
    for (int i = 0; i < 10; i++) {
        int64_t next_ns = shard_turn(a);
        assert_in_range(next_ns, test_now_ns + 1, test_now_ns + TICK_NS);
        test_now_ns = next_ns;
    }
    assert_int_equal(metrics_read(METRIC_RING_REFUSED_CONTROL), refused); /* each counts once */
    while (to->counted < (uint32_t)sent) {
        shard_turn(b);
        shard_turn(a);
    }
    assert_int_equal(shard_turn(a), NEVER_NS);
    actor_stop(a, from->actor.id, REASON_NONE);
    actor_stop(b, to->actor.id, REASON_NONE);
    end_shard(&a);
    end_shard(&b);
    mesh_free(&mesh);
}

/* ---- a lane program: says its arguments and the job's bytes back ---- */

static size_t echo_bytes(struct slice arguments)
{
    return arguments.len + 1;
}

static int echo_open(void *session, struct slice arguments, struct lane_job *job)
{
    (void)job;
    memcpy(session, arguments.at, arguments.len);
    return 0;
}

static int echo_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    lane_emit(job, tag, slice_str(session));
    return lane_emit(job, tag, bytes) ? 0 : -ECANCELED;
}

static uint32_t echoes_closed;

static void echo_close(void *session, struct lane_job *job)
{
    (void)session;
    (void)job;
    echoes_closed++;
}

static const struct lane_program echo = {.name = "echo",
                                         .session_bytes = echo_bytes,
                                         .open = echo_open,
                                         .run = echo_run,
                                         .close = echo_close};

/* A shard with one worker of that program, and an actor that asks it. */
struct stage {
    struct mesh *mesh;
    struct shard *shard; /* of 64 frames */
    struct lane_worker *w;
    struct node *n;
};

static struct stage stage_set(void)
{
    static const struct lane_program *const programs[] = {&echo};
    struct lane_map map = {.first_host = {[LANE_SPEECH] = 1}, .workers = {[LANE_SPEECH] = 1}};
    struct stage stage = {.mesh = mesh_new(2)};

    mesh_pair(stage.mesh, 0, 1, 65536, false);
    stage.shard = make_shard(0, stage.mesh);
    stage.w = lane_worker_new(stage.mesh, 1, LANE_SPEECH, programs);
    stage.n = make_node(stage.shard, NULL, "n");
    lane_map_set(stage.shard, &map);
    return stage;
}

static void stage_strike(struct stage *stage)
{
    actor_stop(stage->shard, stage->n->actor.id, REASON_NONE);
    end_shard(&stage->shard); /* every ledger must be zero: the session is closed */
    lane_worker_free(&stage->w, NULL);
    mesh_free(&stage->mesh);
}

static void lanes_answer_and_cancel(void **state)
{
    struct stage stage = stage_set();
    struct shard *shard = stage.shard;
    struct lane_worker *w = stage.w;
    struct node *n = stage.n;

    (void)state;
    actor_send_body(&n->actor, n->actor.id, MSG_ASK_LANE, IF_FULL_DROP, FRAME_NONE, NULL, 0);
    shard_turn(shard);
    assert_true(lane_worker_step(w)); /* open */
    assert_true(lane_worker_step(w)); /* the first job */
    lane_cancel(&n->actor, &n->session, 2);
    shard_turn(shard);
    assert_string_equal(n->heard, "hello world");
    assert_int_equal(n->lane_err, 0);
    while (lane_worker_step(w))
        ;
    shard_turn(shard);
    assert_string_equal(n->heard, "hello world");
    assert_int_equal(n->lane_err, -ECANCELED);
    assert_int_equal(n->actor.ledger.sessions, 1);
    stage_strike(&stage);
}

/* The second part of a job finds no room: what comes next is not taken for its rest. */
static void a_job_cut_short_leaves_nothing_behind(void **state)
{
    struct stage stage = stage_set();
    struct shard *shard = stage.shard;
    struct lane_worker *w = stage.w;
    struct node *n = stage.n;
    static uint8_t job[LANE_PART_BYTES * 2];
    frame_ref taken[64];
    size_t count = 0;

    (void)state;
    memset(job, 'j', sizeof(job));
    assert_int_equal(lane_open(&n->actor, LANE_SPEECH, 0, "hello", 5, &n->session), 0);
    while (count < 59)
        taken[count++] = frame_get(shard_pool(shard));
    /* 5 frames a part. The ring fills; then a part has to wait in its frames, and the next one
     * finds none. */
    int err = 0, jobs = 0;
    while ((err = lane_run(&n->actor, &n->session, 1, 1, slice_of(job, sizeof(job)))) == 0)
        jobs++;
    assert_int_equal(err, -EAGAIN);
    while (count)
        frame_put(shard_pool(shard), &taken[--count]);
    lane_cancel(&n->actor, &n->session, 1); /* what was whole need not run */
    for (int i = 0; i < 200; i++) {
        lane_worker_step(w);
        shard_turn(shard);
    }
    n->heard[0] = '\0';
    assert_int_equal(lane_run(&n->actor, &n->session, 1, 2, SLICE(" world")), 0);
    for (int i = 0; i < 4; i++) {
        lane_worker_step(w);
        shard_turn(shard);
    }
    assert_string_equal(n->heard, "hello world");
    assert_true(jobs > 0);
    stage_strike(&stage);
}

/* Many sessions end while the lane is behind: the worker hears of each all the same. */
static void a_close_that_finds_no_room_is_told_later(void **state)
{
    struct stage stage = stage_set();
    struct shard *shard = stage.shard;
    struct lane_worker *w = stage.w;
    struct node *n = stage.n;
    struct lane_session sessions[2 * OUTBOX_MAX];

    (void)state;
    echoes_closed = 0;
    for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
        assert_int_equal(lane_open(&n->actor, LANE_SPEECH, 0, "hello", 5, &sessions[i]), 0);
    while (lane_run(&n->actor, &sessions[0], 1, 1, SLICE_NONE) == 0)
        ; /* ends: the ring and the outbox are full */
    for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
        lane_close(&n->actor, &sessions[i]);
    assert_int_equal(n->actor.ledger.sessions, 0);
    while (shard_turn(shard) != NEVER_NS)
        lane_worker_step(w);
    while (lane_worker_step(w))
        shard_turn(shard);
    assert_int_equal(echoes_closed, ARRAY_LEN(sessions));
    stage_strike(&stage);
}

static void count_wake(void *context)
{
    ++*(int *)context;
}

static void a_second_end_leaves_the_host_to_be_woken(void **state)
{
    struct mesh *mesh = mesh_new(2);
    struct msg m = msg_make((struct actor_id){.shard = 1, .generation = 1}, 300, NULL, 0);
    int woken = 0;

    (void)state;
    mesh_pair(mesh, 0, 1, 65536, false);
    struct mailbox *sender = mailbox_new(mesh, 0, NULL, NULL);
    struct mailbox *host = mailbox_new(mesh, 1, count_wake, &woken);
    struct mailbox *second = mailbox_new(mesh, 1, NULL, NULL);
    mailbox_free(&second);
    assert_true(mailbox_sleep(host));
    assert_int_equal(mailbox_push_bytes(sender, &m, SLICE_NONE), 0);
    assert_int_equal(woken, 1);
    /* A host that is gone is not woken, whatever it said last of its sleep. */
    struct frame_pool *pool = frame_pool_new(8);
    assert_true(mailbox_pop(host, pool, &m));
    assert_true(mailbox_sleep(host));
    mailbox_free(&host);
    assert_int_equal(mailbox_push_bytes(sender, &m, SLICE_NONE), 0);
    assert_int_equal(woken, 1);
    frame_pool_free(&pool);
    mailbox_free(&sender);
    mesh_free(&mesh);
}

/* Who may choose a slot by something else than its emptiness must not fill one. */
static void a_slot_takes_twice_its_share(void **state)
{
    struct shard_type types[] = {{&node_type, 128}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                .frames_max = 8,
                                .types = types,
                                .type_count = 1};
    struct shard *shard = NULL;
    uint32_t took = 0;

    (void)state;
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    struct actor *root = &make_node(shard, NULL, "root")->actor;
    for (uint32_t i = 0; i < 100; i++)
        actor_slot_join(&make_node(shard, root, "leg")->actor, shard_emptiest_slot(shard));
    assert_int_equal(shard_next_slot(shard), (SECONDS(1) / TICK_NS + 1) % SLOTS_PER_FRAME);
    for (; shard_slot_has_room(shard, 7) && took < 100; took++) {
        struct actor *a = root->child;
        while (a && a->paired_slot == 7)
            a = a->sibling;
        assert_non_null(a);
        actor_slot_join(a, 7);
    }
    assert_in_range(took, 10, 30);
    actor_stop(shard, root->id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    shard_free(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_takes_twice_its_share),
        cmocka_unit_test(stops_leaves_first_and_forgets_ids),
        cmocka_unit_test(memory_is_given_back_in_any_order),
        cmocka_unit_test(ends_by_force_who_does_not_stop),
        cmocka_unit_test(last_words_come_before_the_end),
        cmocka_unit_test(full_queue_ends_the_sender_or_drops),
        cmocka_unit_test(a_queue_that_is_never_long_stays_small),
        cmocka_unit_test(timers_and_slots_keep_time),
        cmocka_unit_test(an_overdue_slot_comes_before_what_is_heard),
        cmocka_unit_test(messages_cross_with_their_frames),
        cmocka_unit_test(a_full_ring_is_tried_again_at_the_next_tick),
        cmocka_unit_test(a_second_end_leaves_the_host_to_be_woken),
        cmocka_unit_test(lanes_answer_and_cancel),
        cmocka_unit_test(a_job_cut_short_leaves_nothing_behind),
        cmocka_unit_test(a_close_that_finds_no_room_is_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
