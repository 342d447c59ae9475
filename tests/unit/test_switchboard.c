/* The switchboard's places: real doors and legs on real sockets, a store lane that claims tokens as
 * the test says, calls that only adopt their leg. Under a clock of the test's own; one thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "actors/messages.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/metrics.h"
#include "net/websocket.h"

#define PLACES 2
#define PEERS  4

extern const struct actor_type switchboard_type, door_type, leg_websocket_type;

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

/* ---- calls: they take their leg and end with it ---- */

static void call_handle(struct actor *a, const struct msg *m)
{
    if (m->type == MSG_START)
        actor_adopt(a, actor_find(a->shard, msg_body(m, call_start_msg)->leg), ROLE_LEG);
    if (m->type == MSG_CHILD_ENDED)
        actor_stop_self(a, REASON_NONE);
    if (a->life == ACTOR_STOPPING && !a->child)
        actor_end(a);
}

const struct actor_type call_type = {
    .name = "call", .size_bytes = sizeof(struct actor), .handle = call_handle};

static void network_handle(struct actor *a, const struct msg *m)
{
    if (m->type == MSG_STOP)
        actor_end(a);
}

const struct actor_type network_type = {
    .name = "network", .size_bytes = sizeof(struct actor), .handle = network_handle};

/* ---- the store ---- */

static bool store_hangs;
static int claimed; /* what a claim comes to */

static size_t store_bytes(struct slice arguments)
{
    (void)arguments;
    return 0;
}

static int store_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    (void)session;
    (void)bytes;
    (void)job;
    assert_int_equal(tag, STORE_TOKEN_CLAIM);
    return claimed;
}

static const struct lane_program store = {
    .name = "store", .session_bytes = store_bytes, .run = store_run};

/* ---- the world ---- */

static struct config config;
static struct agent agent = {.id = "desk", .name = "Desk"};
static struct bundle bundle = {.agent = &agent};
static struct world world;
static struct mesh *mesh;
static struct shard *shard;
static struct lane_worker *worker;
static struct actor *board;

static struct peer {
    int fd;
    char got[1024];
    size_t len;
    bool at_end;
} peers[PEERS];

static void collect(struct peer *p)
{
    ssize_t n = recv(p->fd, p->got + p->len, sizeof(p->got) - 1 - p->len, MSG_DONTWAIT);

    if (n > 0)
        p->len += (size_t)n;
    p->at_end = p->at_end || n == 0 || (n < 0 && errno != EAGAIN);
    p->got[p->len] = '\0';
}

static void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        shard_io(shard)->ops->wait(shard_io(shard), 0, false);
        shard_turn(shard);
        while (!store_hangs && lane_worker_step(worker))
            shard_turn(shard);
        for (size_t p = 0; p < PEERS; p++)
            if (peers[p].fd >= 0)
                collect(&peers[p]);
    }
}

static void make_shard(void)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_STORE] = &store};
    const struct lane_map map = {.first_host = {[LANE_STORE] = 1}, .workers = {[LANE_STORE] = 1}};
    const struct shard_type types[] = {{&switchboard_type, 1},
                                       {&network_type, 1},
                                       {&door_type, PEERS},
                                       {&leg_websocket_type, PEERS},
                                       {&call_type, PLACES}};
    const struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                      .frames_max = 256,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .mesh = mesh,
                                      .io_new = io_epoll_new,
                                      .handles_max = 16,
                                      .receive_bytes = 1 << 16,
                                      .world = &world};

    assert_int_equal(shard_new(&setup, &shard), 0);
    lane_map_set(shard, &map);
    worker = lane_worker_new(mesh, 1, LANE_STORE, programs);
}

/* A port that is free now: the switchboard is told its port, and tells nobody. */
static struct address free_port(void)
{
    struct address at = {.family = 4, .ip = {127, 0, 0, 1}};
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&at, &name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    len = sizeof(name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    address_from_sockaddr(&name, &at);
    close(fd);
    return at;
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        peers[i] = (struct peer){.fd = -1};
    store_hangs = false;
    claimed = 0;
    config.calls_max = PLACES;
    config.media_token = CONFIG_TOKEN_NEVER;
    world = (struct world){
        .config = &config, .agents = {NULL, &bundle}, .shards = 1, .media_address = free_port()};
    test_now_ns = SECONDS(1);
    mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 1 << 16, false);
    make_shard();
    board = actor_spawn(shard, &switchboard_type, NULL, 0, NULL, 0, FRAME_NONE);
    actor_spawn(shard, &network_type, NULL, 0, NULL, 0, FRAME_NONE);
    pass(4);
    assert_int_equal(board->life, ACTOR_RUNNING);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    actor_stop(shard, board->id, REASON_NONE);
    shard_finish(shard);
    pass(20);
    assert_true(shard_finished(shard));
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 0);
    shard_free(&shard);
    lane_worker_free(&worker, NULL);
    mesh_free(&mesh);
    for (size_t i = 0; i < PEERS; i++)
        if (peers[i].fd >= 0)
            close(peers[i].fd);
    return 0;
}

/* ---- what peers do ---- */

#define UPGRADE                                                                                    \
    " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                        \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static void knock(struct peer *p, const char *request)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&world.media_address, &name);

    *p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(send(p->fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    pass(20);
}

static void say(struct peer *p, const char *text)
{
    uint8_t bytes[1024];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_str(text), 0x12345678);
    assert_int_equal(send(p->fd, bytes, b.len, MSG_NOSIGNAL), b.len);
    pass(20);
}

static void leave(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
    pass(20);
}

static const char begins[] =
    "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"MZ1\",\"start\":{\"streamSid\":"
    "\"MZ1\",\"accountSid\":\"AC1\",\"callSid\":\"CA1\",\"tracks\":[\"inbound\"],"
    "\"customParameters\":{},\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,"
    "\"channels\":1}}}";

static bool was_told(const struct peer *p, const char *status)
{
    return strncmp(p->got, "HTTP/1.1 ", 9) == 0 && strncmp(p->got + 9, status, 3) == 0;
}

/* One place is taken by this peer; whether another one is left. */
static void expect_second_place(bool free)
{
    knock(&peers[2], "GET /media/desk" UPGRADE);
    assert_true(was_told(&peers[2], "101"));
    knock(&peers[3], "GET /media/desk" UPGRADE);
    assert_true(was_told(&peers[3], free ? "101" : "503"));
}

/* ---- cases ---- */

static void keeps_a_place_from_the_upgrade_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        knock(&peers[i], "GET /media/desk" UPGRADE);
    assert_true(was_told(&peers[0], "101"));
    assert_true(was_told(&peers[1], "101"));
    assert_true(was_told(&peers[2], "503"));
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 2);
    say(&peers[0], begins);
    say(&peers[1], begins);
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 0);
    assert_int_equal(shard_type_used(shard, &call_type), 2);
    assert_false(peers[0].at_end || peers[1].at_end);
    leave(&peers[0]);
    expect_second_place(false);
}

static void gives_back_the_place_of_who_leaves(void **state)
{
    int64_t before = metrics_read(METRIC_CALLS_NOT_ARRIVED);

    (void)state;
    knock(&peers[0], "GET /media/desk" UPGRADE);
    leave(&peers[0]);
    assert_int_equal(metrics_read(METRIC_CALLS_NOT_ARRIVED), before + 1);
    expect_second_place(true);
}

static void gives_back_the_place_of_who_is_silent(void **state)
{
    (void)state;
    knock(&peers[0], "GET /media/desk" UPGRADE);
    pass(5100);
    assert_true(peers[0].at_end);
    expect_second_place(true);
}

static void gives_back_the_place_of_who_speaks_no_protocol(void **state)
{
    (void)state;
    knock(&peers[0], "GET /media/desk" UPGRADE);
    say(&peers[0], "{\"hello\":true}");
    assert_true(peers[0].at_end);
    expect_second_place(true);
}

/* A token is single use: it must not be spent on a place that is gone when its claim comes back. */
static void keeps_a_place_while_a_token_is_claimed(void **state)
{
    (void)state;
    store_hangs = true;
    knock(&peers[0], "GET /media/desk/t0k" UPGRADE);
    expect_second_place(false);
    store_hangs = false;
    pass(20);
    assert_true(was_told(&peers[0], "101"));
    say(&peers[0], begins);
    say(&peers[2], begins);
    assert_int_equal(shard_type_used(shard, &call_type), 2);
}

static void gives_back_the_place_of_a_bad_token(void **state)
{
    (void)state;
    claimed = -EACCES;
    knock(&peers[0], "GET /media/desk/t0k" UPGRADE);
    assert_true(was_told(&peers[0], "401"));
    expect_second_place(true);
}

static void gives_back_the_place_of_who_leaves_while_its_token_is_claimed(void **state)
{
    (void)state;
    store_hangs = true;
    knock(&peers[0], "GET /media/desk/t0k" UPGRADE);
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 1);
    leave(&peers[0]);
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 0);
    store_hangs = false;
    expect_second_place(true);
}

/* A browser is let in to show its token: it has a place once the token is looked at, and one only.
 */
static void keeps_one_place_for_who_asks_twice(void **state)
{
    (void)state;
    knock(&peers[0], "GET /media/desk" UPGRADE); /* has a place, no token being asked */
    store_hangs = true;
    say(&peers[0], "{\"type\":\"auth\",\"token\":\"t0k\"}"); /* asks again: browsers must */
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 1);
    store_hangs = false;
    claimed = -EACCES;
    pass(20);
    assert_true(peers[0].at_end);
    expect_second_place(true);
}

static void keeps_no_place_for_who_may_not_come_in_yet(void **state)
{
    (void)state;
    config.media_token = CONFIG_TOKEN_ALWAYS;
    knock(&peers[0], "GET /media/desk" UPGRADE);
    assert_true(was_told(&peers[0], "101")); /* its start may bring the token */
    assert_int_equal(metrics_read(METRIC_CALLS_ARRIVING), 0);
    config.media_token = CONFIG_TOKEN_NEVER;
    expect_second_place(true);
    config.media_token = CONFIG_TOKEN_ALWAYS;
    say(&peers[0], begins); /* without one, and there is no room either */
    assert_true(peers[0].at_end);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(keeps_a_place_from_the_upgrade_on),
        CASE(gives_back_the_place_of_who_leaves),
        CASE(gives_back_the_place_of_who_is_silent),
        CASE(gives_back_the_place_of_who_speaks_no_protocol),
        CASE(keeps_a_place_while_a_token_is_claimed),
        CASE(gives_back_the_place_of_a_bad_token),
        CASE(gives_back_the_place_of_who_leaves_while_its_token_is_claimed),
        CASE(keeps_one_place_for_who_asks_twice),
        CASE(keeps_no_place_for_who_may_not_come_in_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
