/* The door and the WebSocket leg behind it, on a real shard and real sockets, under a clock of the
 * test's own. The switchboard is the test's: it writes down who asks and answers as it is told. */
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
#include "actors/text.h"
#include "actors/world.h"
#include "net/websocket.h"
#include "tests/unit/energy_agent.h"

extern const struct actor_type door_type, leg_websocket_type;

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static struct {
    io_id listener;
    struct address bound;
    int err;     /* the answer to whoever asks */
    bool silent; /* there is none */
    char agent[AGENT_NAME_BYTES], token[512];
    bool token_given, token_not_asked;
    unsigned asked, arrived;
    uint32_t rate_hz;
    char protocol[9];
    bool introduces; /* whoever arrives, as a call would */
    int64_t arrived_ns;
    struct leg_up_msg up;
    struct actor_id leg;
    unsigned audible;
    struct leg_audible_msg first_audible;
} board;

static void on_admit(struct actor *a, const struct msg *m)
{
    const struct admit_msg *ask = msg_body(m, admit_msg);
    struct admitted_msg body = {.err = board.err, .cookie = ask->cookie, .agent = 1};

    snprintf(board.agent, sizeof(board.agent), "%s", ask->agent);
    assert_int_equal(slice_cstr(text_of(a, m), board.token, sizeof(board.token)), 0);
    board.token_given = ask->token_given;
    board.token_not_asked = ask->token_not_asked;
    board.asked++;
    if (!board.silent)
        actor_send_body(a, m->from, ADMITTED, IF_FULL_DROP, FRAME_NONE, &body, sizeof(body));
}

static void on_accepted(struct actor *a, const struct io_msg *m)
{
    struct door_start_msg args = {.stream = m->id, .peer = m->peer};
    struct actor *door = actor_spawn(a->shard, &door_type, a, 0, &args, sizeof(args), FRAME_NONE);

    assert_non_null(door);
    actor_io_give(a, door, m->id);
}

static void on_arrived(struct actor *a, const struct msg *m)
{
    struct leg_peers_msg peers = {.agent = 1, .listen_rate_hz = 8000};

    board.arrived++;
    board.leg = m->from;
    board.arrived_ns = shard_now(a->shard);
    board.rate_hz = msg_body(m, leg_arrived_msg)->rate_hz;
    memcpy(board.protocol, msg_body(m, leg_arrived_msg)->protocol, sizeof(board.protocol));
    if (board.introduces)
        actor_send_body(a, m->from, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &peers, sizeof(peers));
}

static void board_handle(struct actor *a, const struct msg *m)
{
    switch (m->type) {
    case MSG_START:
        assert_int_equal(actor_listen(a, &(struct address){.family = 4, .ip = {127, 0, 0, 1}},
                                      &board.listener, &board.bound),
                         0);
        break;
    case MSG_ACCEPTED:
        on_accepted(a, msg_body(m, io_msg));
        break;
    case ADMIT:
        on_admit(a, m);
        break;
    case LEG_ARRIVED:
        on_arrived(a, m);
        break;
    case LEG_AUDIBLE:
        board.audible++;
        board.first_audible = *msg_body(m, leg_audible_msg);
        break;
    case LEG_UP:
        board.up = *msg_body(m, leg_up_msg);
        break;
    case MSG_STOP:
        actor_io_close(a, &board.listener, false);
        break;
    default:
        break;
    }
    if (a->life == ACTOR_STOPPING && !a->child)
        actor_end(a);
}

static const struct actor_type board_type = {
    .name = "board", .size_bytes = sizeof(struct actor), .handle = board_handle};

static struct config config;
static struct world world = {.config = &config, .agents = {NULL, &bundle}};
static struct shard *shard;
static struct actor *root;
static int fd;
static char got[4096];
static size_t got_len;
static bool at_end;

static void collect(void)
{
    ssize_t n = recv(fd, got + got_len, sizeof(got) - 1 - got_len, MSG_DONTWAIT);

    if (n > 0)
        got_len += (size_t)n;
    at_end = at_end || n == 0 || (n < 0 && errno != EAGAIN);
    got[got_len] = '\0';
}

static void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        shard_io(shard)->ops->wait(shard_io(shard), 0, false);
        shard_turn(shard);
        collect();
    }
}

static int set_up(void **state)
{
    const struct shard_type types[] = {{&board_type, 1}, {&door_type, 2}, {&leg_websocket_type, 2}};
    const struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                      .frames_max = 128,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .io_new = io_epoll_new,
                                      .handles_max = 8,
                                      .receive_bytes = 1 << 16,
                                      .world = &world};
    struct sockaddr_storage name;

    (void)state;
    memset(&board, 0, sizeof(board));
    got_len = 0;
    at_end = false;
    test_now_ns = SECONDS(1);
    assert_int_equal(shard_new(&setup, &shard), 0);
    root = actor_spawn(shard, &board_type, NULL, 0, NULL, 0, FRAME_NONE);
    socklen_t len = address_to_sockaddr(&board.bound, &name);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
    pass(20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    actor_stop(shard, root->id, REASON_NONE);
    shard_finish(shard);
    pass(20);
    assert_true(shard_finished(shard));
    shard_free(&shard);
    close(fd);
    return 0;
}

static void send_text(const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    pass(20);
}

#define UPGRADE                                                                                    \
    " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                        \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static void send_message(const char *text)
{
    uint8_t bytes[1024];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_str(text), 0x12345678);
    assert_int_equal(send(fd, bytes, b.len, MSG_NOSIGNAL), b.len);
    pass(20);
}

static const char hello[] = "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}";
static const char begins[] =
    "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"MZ1\",\"start\":{\"streamSid\":"
    "\"MZ1\",\"accountSid\":\"AC1\",\"callSid\":\"CA1\",\"tracks\":[\"inbound\"],"
    "\"customParameters\":{},\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,"
    "\"channels\":1}}}";

/* ---- cases ---- */

static void reads_agent_and_token_of_the_path(void **state)
{
    (void)state;
    send_text("GET /media/front%2Ddesk/a%2Eb-c" UPGRADE);
    assert_string_equal(board.agent, "front-desk");
    assert_string_equal(board.token, "a.b-c");
    assert_true(board.token_given);
    assert_non_null(strstr(got, "HTTP/1.1 101 "));
}

static void refuses_a_token_of_broken_escapes(void **state)
{
    (void)state;
    send_text("GET /media/desk/a%2" UPGRADE);
    assert_int_equal(board.asked, 0);
    assert_non_null(strstr(got, "HTTP/1.1 400 "));
    assert_true(at_end);
}

static void takes_no_other_method(void **state)
{
    (void)state;
    send_text("OPTIONS /media/desk HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_ptr_equal(strstr(got, "HTTP/1.1 "), got);
    assert_true(got[9] == '4' || got[9] == '5');
    assert_true(at_end);
    assert_int_equal(board.asked, 0);
}

static void answers_head_without_a_body(void **state)
{
    (void)state;
    send_text("HEAD /media/desk HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *end = strstr(got, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, "");
    assert_true(at_end);
}

static void closes_who_says_nothing(void **state)
{
    (void)state;
    pass(4900);
    assert_false(at_end);
    pass(200);
    assert_non_null(strstr(got, "HTTP/1.1 408 "));
    assert_true(at_end);
}

static void closes_who_says_too_much(void **state)
{
    static char junk[HTTP_HEAD_BYTES_MAX + 2];

    (void)state;
    memset(junk, 'x', sizeof(junk) - 1);
    memcpy(junk, "GET /", 5);
    send_text(junk);
    assert_true(strstr(got, " 431 ") || strstr(got, " 414 "));
    assert_true(at_end);
}

static void closes_once_for_one_wrong_message(void **state)
{
    (void)state;
    send_text("GET /media/desk" UPGRADE);
    const char *frames = strstr(got, "\r\n\r\n");
    assert_non_null(frames);
    send_message("{\"hello\":true}");
    assert_true(at_end);
    size_t len = got_len - (size_t)(frames + 4 - got);
    assert_int_equal((uint8_t)frames[4], 0x88); /* a close frame, and nothing behind it */
    assert_int_equal(len, 2 + (size_t)frames[5]);
}

static void waits_for_admission_no_longer_than_5_s(void **state)
{
    (void)state;
    board.err = EACCES; /* at the door: the start message may bring a token */
    send_text("GET /media/desk" UPGRADE);
    assert_non_null(strstr(got, " 101 "));
    board.silent = true;
    send_message(hello);
    send_message(begins);
    assert_int_equal(board.asked, 2);
    assert_int_equal(board.arrived, 0);
    assert_false(at_end);
    pass(5100);
    assert_true(at_end);
}

static void arrives_with_what_was_sent_too_early(void **state)
{
    uint8_t bytes[2048];
    struct builder b = builder_of(bytes, sizeof(bytes));

    (void)state;
    builder_str(&b, "GET /media/desk" UPGRADE);
    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_str(hello), 0x12345678);
    ws_encode(&b, WS_CLIENT, WS_OP_TEXT, slice_str(begins), 0x12345678);
    assert_int_equal(send(fd, bytes, b.len, MSG_NOSIGNAL), b.len);
    pass(20);
    assert_int_equal(board.arrived, 1);
}

/* Its peer counts from the moment it says that the stream begins: the leg's clock begins then too,
 * wherever in the 20 ms of its slot that is, or both recordings would lie apart by the rest. */
static void its_clock_begins_when_it_arrives(void **state)
{
    (void)state;
    board.introduces = true;
    send_text("GET /media/desk" UPGRADE);
    send_message(hello);
    while ((test_now_ns + MS(2)) % MS(20) != MS(14))
        pass(2);
    send_message(begins);
    assert_int_equal(board.arrived, 1);
    assert_int_not_equal(board.arrived_ns % MS(20), 0);
    assert_true(board.up.start_ns == board.arrived_ns);
}

/* One frame of the first reply; `click` and `from` are samples: one loud alone, all from there on.
 */
static void play_frame(int click, int from)
{
    struct play_msg body = {.epoch = 1, .generation = 1, .piece = 1};
    frame_ref ref = frame_get(shard_pool(shard));
    struct frame *f = frame_at(shard_pool(shard), ref);

    f->len = 160 * sizeof(int16_t);
    f->rate_hz = 8000;
    f->tag = 1;
    f->generation = 1;
    for (int i = 0; i < 160; i++)
        frame_pcm(f)[i] = (int16_t)(i == click ? 1000 : i >= from ? 2000 : i % 2 ? 60 : -60);
    actor_send_body(root, board.leg, PLAY, IF_FULL_STOP, ref, &body, sizeof(body));
}

/* The ledger's first audible sample is where a voice begins: not a click, nor a breath. */
static void is_audible_from_its_voice_on(void **state)
{
    (void)state;
    board.introduces = true;
    send_text("GET /media/desk" UPGRADE);
    send_message(hello);
    send_message(begins);
    play_frame(30, 160);
    pass(10);
    assert_int_equal(board.audible, 0);
    int64_t begun_ns = test_now_ns - MS(8); /* when the first one left */
    play_frame(-1, 45);
    play_frame(-1, 0);
    pass(100);
    assert_int_equal(board.audible, 1);
    assert_int_equal(board.first_audible.sample,
                     (begun_ns - board.up.start_ns) / (NS_PER_S / 8000) + 160 + 45);
}

/* A browser names its origin; it is let in to bring its token in the first message. */
static void waits_for_a_browsers_token(void **state)
{
    (void)state;
    board.err = EACCES;
    send_text("GET /media/desk HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nUpgrade: websocket\r\n"
              "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              "Sec-WebSocket-Version: 13\r\n\r\n");
    assert_non_null(strstr(got, " 101 "));
    assert_false(board.token_given);
    assert_false(board.token_not_asked);
    send_message("{\"type\":\"auth\",\"token\":\"t0k\"}");
    assert_int_equal(board.asked, 2);
    assert_string_equal(board.token, "t0k");
    assert_true(at_end); /* the board still says no */
    assert_int_equal(board.arrived, 0);
}

/* Where others need no token, the dialects of browsers still do. */
static void asks_browsers_for_a_token_always(void **state)
{
    (void)state;
    config.media_token = CONFIG_TOKEN_NEVER;
    send_text("GET /media/desk" UPGRADE);
    config.media_token = CONFIG_TOKEN_AUTO;
    assert_int_equal(board.asked, 1);
    assert_true(board.token_not_asked);
    board.err = EACCES;
    send_message("{\"type\":\"auth\"}");
    assert_int_equal(board.asked, 2);
    assert_true(board.token_given); /* an empty one, which nobody has */
    assert_string_equal(board.token, "");
    assert_true(at_end);
    assert_int_equal(board.arrived, 0);
}

static void takes_the_token_of_a_browsers_path(void **state)
{
    (void)state;
    send_text("GET /browser/agent/desk/t0k" UPGRADE);
    assert_string_equal(board.agent, "desk");
    assert_string_equal(board.token, "t0k");
    send_message("{\"event\":\"start\",\"start\":{\"callSid\":\"c\",\"streamSid\":\"s\"}}");
    assert_int_equal(board.asked, 1);
    assert_int_equal(board.arrived, 1);
    assert_string_equal(board.protocol, "voiceera");
    assert_int_equal(board.rate_hz, 16000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(reads_agent_and_token_of_the_path),
        CASE(refuses_a_token_of_broken_escapes),
        CASE(takes_no_other_method),
        CASE(answers_head_without_a_body),
        CASE(closes_who_says_nothing),
        CASE(closes_who_says_too_much),
        CASE(closes_once_for_one_wrong_message),
        CASE(waits_for_admission_no_longer_than_5_s),
        CASE(arrives_with_what_was_sent_too_early),
        CASE(its_clock_begins_when_it_arrives),
        CASE(is_audible_from_its_voice_on),
        CASE(waits_for_a_browsers_token),
        CASE(asks_browsers_for_a_token_always),
        CASE(takes_the_token_of_a_browsers_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
