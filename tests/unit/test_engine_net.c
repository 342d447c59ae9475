/* The network half of an engine: a plug-in of the test's own against WebSocket and HTTP servers of
 * the test's own, in order and with every fault that a provider's server can have. */
#include "tests/unit/net_probe.h"

/* ---- sockets ---- */

static void messages_go_both_ways(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/v1/listen?model=x", peer.port);
    peer_await(&peer, "\r\n\r\n");
    assert_non_null(strstr(peer.in, "GET /v1/listen?model=x HTTP/1.1\r\nHost: stt.test:"));
    assert_non_null(strstr(peer.in, "\r\nAuthorization: Token k\r\n"));
    upgrade();
    await("opened;");
    tell("Shello");
    server_frame(WS_OP_TEXT, "a");
    server_frame(WS_OP_PING, "p");
    server_frame(WS_OP_BINARY, "b");
    serve(40);
    assert_string_equal(given, "opened;text a;binary b;");
    assert_string_equal(server_text, "hello;pong p;");
    tell("X");
    serve(40);
    assert_string_equal(server_text, "hello;pong p;close ;");
}

static void what_follows_the_upgrade_is_not_lost(void **state)
{
    uint8_t bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));
    char key[WS_KEY_CHARS + 1];

    (void)state;
    tell("Cws://127.0.0.1:%u/", peer.port);
    peer_await(&peer, "\r\n\r\n");
    snprintf(key, sizeof(key), "%s", strstr(peer.in, "Sec-WebSocket-Key: ") + 19);
    ws_build_101(&b, slice_str(key), SLICE_NONE);
    ws_encode(&b, WS_SERVER, WS_OP_TEXT, SLICE("early"), 0);
    for (size_t i = 0; i < b.len; i++) { /* byte by byte */
        peer_send(&peer, b.at + i, 1);
        net_turn();
    }
    await("opened;text early;");
    assert_int_equal(dns.asked, 0); /* a number is no name */
}

static void a_refused_key_is_told_at_once(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    peer_await(&peer, "\r\n\r\n");
    peer_say(&peer, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    await("closed 401;");
    net_leap(9000);
    assert_int_equal(peer.accepted, 1);
}

static void a_busy_server_is_tried_four_times(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    for (unsigned i = 0; i < ENGINE_TRIES; i++) {
        peer_await(&peer, "\r\n\r\n");
        assert_string_equal(given, "");
        peer_say(&peer, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        net_pass(40);
        peer.len = 0;
        int64_t wait_ms = i < 3 ? 1000 << i : 0;
        net_leap(wait_ms ? wait_ms - 200 : 0);
        peer_poll(&peer);
        assert_int_equal(peer.accepted, i + 1);
        net_leap(wait_ms ? 200 : 0);
    }
    await("closed 503;");
}

static void a_closed_port_is_given_up(void **state)
{
    (void)state;
    int64_t before = metrics_read(METRIC_PROVIDER_REQUESTS);
    int64_t failed = metrics_read(METRIC_PROVIDER_FAILURES);
    peer_close(&peer);
    tell("Cws://127.0.0.1:%u/", peer.port);
    for (int i = 0; i < 10; i++)
        net_leap(1000);
    assert_string_equal(given, "closed 0;");
    assert_int_equal(metrics_read(METRIC_PROVIDER_REQUESTS) - before, ENGINE_TRIES);
    assert_int_equal(metrics_read(METRIC_PROVIDER_FAILURES) - failed, ENGINE_TRIES);
    tell("Cws://127.0.0.1:%u/",
         peer.port); /* the next one waits for the longest, and the breaker */
    net_leap(3900);
    assert_string_equal(given, "closed 0;");
    net_leap(200);
    assert_string_equal(given, "closed 0;closed 0;");
}

/* ---- the next of the role ---- */

static void have_two(bool two)
{
    bundle.roles[PROVIDER_STT].at[1].ops = &probe;
    bundle.roles[PROVIDER_STT].count = two ? 2 : 1;
}

static void with_a_fallback_behind_it_it_is_tried_twice(void **state)
{
    (void)state;
    int64_t before = metrics_read(METRIC_PROVIDER_REQUESTS);
    have_two(true);
    peer_close(&peer);
    tell("Cws://127.0.0.1:%u/", peer.port);
    for (int i = 0; i < 3; i++)
        net_leap(1000);
    assert_string_equal(given, "closed 0;");
    assert_int_equal(metrics_read(METRIC_PROVIDER_REQUESTS) - before, ENGINE_TRIES_SHORT);
    assert_int_equal(engine_left(&owner->engine), 1);
    have_two(false);
}

/* Of what the one before had on its way the next one hears nothing. */
static void the_next_has_a_network_of_its_own(void **state)
{
    (void)state;
    have_two(true);
    open_socket();
    assert_int_equal(engine_next(&owner->engine), 0);
    assert_int_equal(engine_left(&owner->engine), 0);
    serve(40);
    assert_true(strncmp(server_text, "close ", 6) == 0); /* in order */
    assert_string_equal(given, "");
    open_socket();
    server_frame(WS_OP_TEXT, "hello");
    await("text hello;");
    have_two(false);
}

/* A name that was being asked for is not taken for the next one's. */
static void a_name_asked_for_by_the_one_before_opens_nothing(void **state)
{
    (void)state;
    have_two(true);
    tell("Cws://stt.test:%u/first", peer.port);
    assert_int_equal(engine_next(&owner->engine), 0);
    tell("Cws://stt.test:%u/second", peer.port);
    upgrade();
    await("opened;");
    assert_int_equal(peer.accepted, 1);
    have_two(false);
}

static void a_silent_server_takes_five_seconds(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    peer_await(&peer, "\r\n\r\n"); /* and no answer */
    net_leap(4800);
    peer_poll(&peer);
    assert_false(peer.end);
    net_leap(300);
    peer_poll(&peer);
    assert_true(peer.end);
    net_leap(1000);
    peer_poll(&peer);
    assert_int_equal(peer.accepted, 2); /* the second try */
}

static void hostile_upgrades_fail(void **state)
{
    static const char *const answers[] = {
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "\xff\xff\xff\xff\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        tell("Cws://stt.test:%u/", peer.port);
        net_leap(4100);
        peer.len = 0;
        peer_await(&peer, "\r\n\r\n");
        peer_say(&peer, answers[i]);
        net_pass(40);
        peer_poll(&peer);
        assert_true(peer.end);
        tell("X");
        net_leap(70000);
        peer.len = 0;
    }
    assert_string_equal(given, "");
}

static void bad_urls_are_told(void **state)
{
    (void)state;
    tell("Chttp://stt.test/");
    assert_string_equal(given, ""); /* never from inside the step */
    net_pass(10);
    assert_string_equal(given, "closed 0;");
    tell("Cwss://stt.test/"); /* this world has no TLS */
    net_pass(40);
    assert_string_equal(given, "closed 0;closed 0;");
}

static void a_dead_peer_is_noticed(void **state)
{
    (void)state;
    open_socket();
    for (int i = 0; i < 2; i++) { /* it answers nothing */
        net_leap(20000);
        assert_string_equal(given, "");
    }
    net_leap(20000);
    assert_string_equal(given, "closed 0;");
}

static void the_code_of_a_close_is_told(void **state)
{
    (void)state;
    open_socket();
    server_frame(WS_OP_TEXT, "last");
    server_close(WS_CLOSE_SERVER_ERROR);
    await("text last;closed 1011;");
    net_leap(61000);
    open_socket();
    peer_hang_up(&peer);
    await("closed 1006;");
    net_leap(61000);
    open_socket();
    peer_send(&peer, "\xc1\x00", 2); /* a reserved bit */
    await("closed 1002;");
}

static void a_flapping_server_is_not_hurried(void **state)
{
    (void)state;
    snprintf(again, sizeof(again), "ws://stt.test:%u/", peer.port);
    open_socket();
    net_leap(10000); /* it was a good connection: the next comes at once */
    server_close(WS_CLOSE_SERVER_ERROR);
    upgrade();
    await("closed 1011;opened;");
    given[0] = '\0';
    for (unsigned i = 0; i < 3; i++) {
        unsigned accepted = peer.accepted;
        server_close(WS_CLOSE_SERVER_ERROR);
        net_leap(200);
        peer_poll(&peer);
        net_leap((1000 << i) - 400);
        peer_poll(&peer);
        assert_int_equal(peer.accepted, accepted);
        net_leap(600);
        peer.len = 0;
        upgrade();
        net_pass(40);
    }
}

static void a_peer_that_does_not_read_is_bounded(void **state)
{
    static char big[30000];

    (void)state;
    memset(big, 'b', sizeof(big));
    big[0] = 'S';
    open_socket();
    for (int i = 0; i < 2000 && !failures; i++) {
        engine_command(&owner->engine, INPUT_TEXT, 3, slice_of(big, sizeof(big)));
        net_turn();
        assert_in_range(shard_load(net_shard).frames_used, 0, 1000);
    }
    assert_int_not_equal(failures, 0);
}

/* ---- the utterance ---- */

static void speak(uint32_t frames)
{
    static int16_t pcm[RATE_HZ / 50];

    for (uint32_t i = 0; i < frames; i++) {
        engine_command(&owner->engine, INPUT_AUDIO, 3, slice_of(pcm, sizeof(pcm)));
        serve(20);
    }
}

static void begin_speech(void)
{
    struct provider_input input = {.kind = INPUT_SPEECH, .epoch = 3, .flag = 1};

    engine_input(&owner->engine, &input);
}

static void sound_waits_for_the_socket(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    begin_speech();
    for (int i = 0; i < 10; i++)
        engine_command(&owner->engine, INPUT_AUDIO, 3, slice_of(given, 320));
    engine_command(&owner->engine, INPUT_FINISH, 3, SLICE_NONE);
    assert_string_equal(given, "");
    upgrade();
    await("opened;speech 3;");
    serve(100);
    assert_int_equal(server_audio, 3200);
    assert_string_equal(server_text, "finish;");
}

static void an_utterance_is_repeated(void **state)
{
    (void)state;
    snprintf(again, sizeof(again), "ws://stt.test:%u/", peer.port);
    open_socket();
    begin_speech();
    speak(50);
    assert_int_equal(server_audio, 16000);
    server_audio = 0;
    peer_hang_up(&peer);
    net_pass(20);
    speak(0);
    for (int i = 0; i < 5; i++)
        engine_command(&owner->engine, INPUT_AUDIO, 3, slice_of(server_bytes, 320));
    net_leap(1000);
    upgrade();
    serve(400);
    assert_string_equal(given, "speech 3;closed 1006;opened;speech 3;");
    assert_int_equal(server_audio, 16000 + 5 * 320); /* all of it, once, in order */
    speak(5);
    engine_command(&owner->engine, INPUT_FINISH, 3, SLICE_NONE);
    serve(20);
    assert_int_equal(server_audio, 16000 + 10 * 320);
    assert_string_equal(server_text, "finish;");
    tell("F"); /* the final: nothing is owed any more */
    server_audio = 0;
    given[0] = '\0';
    peer_hang_up(&peer);
    net_leap(3000);
    upgrade();
    serve(100);
    assert_string_equal(given, "closed 1006;opened;");
    assert_int_equal(server_audio, 0);
}

static void acknowledged_sound_is_not_repeated(void **state)
{
    (void)state;
    snprintf(again, sizeof(again), "ws://stt.test:%u/", peer.port);
    open_socket();
    begin_speech();
    speak(50);
    tell("F");
    begin_speech(); /* the second utterance on this socket: 1 s of sound went before */
    kept_ms = 1600;
    speak(50);
    server_audio = 0;
    kept_ms = 0;
    peer_hang_up(&peer);
    net_pass(10);
    net_leap(1000);
    upgrade();
    serve(400);
    assert_int_equal(server_audio, 400 * 16);
}

static void ten_seconds_are_repeated_at_most(void **state)
{
    static int16_t pcm[RATE_HZ / 50];

    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    begin_speech();
    for (int i = 0; i < 50 * 13; i++)
        engine_command(&owner->engine, INPUT_AUDIO, 3, slice_of(pcm, sizeof(pcm)));
    upgrade();
    serve(2000);
    assert_in_range(server_audio, 9 * RATE_HZ * 2, 10 * RATE_HZ * 2);
    assert_int_equal(failures, 0);
}

static void hopeless_sound_reaches_the_plug_in(void **state)
{
    (void)state;
    tell("Cws://stt.test:%u/", peer.port);
    begin_speech();
    peer_await(&peer, "\r\n\r\n");
    peer_say(&peer, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    await("closed 403;speech 3;"); /* so that it can say that this one failed */
}

/* ---- requests ---- */

static void a_request_is_answered(void **state)
{
    (void)state;
    tell("Rhttp://llm.test:%u/v1/chat {}", peer.port);
    peer_await(&peer, "\r\n\r\n{}");
    assert_non_null(strstr(peer.in, "POST /v1/chat HTTP/1.1\r\n"));
    assert_non_null(strstr(peer.in, "\r\nX-Key: k\r\n"));
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
    await("status 200;chunk abcd;end;");
}

static void a_busy_request_is_tried_again(void **state)
{
    (void)state;
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    peer_await(&peer, "{}");
    peer_say(&peer, "HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n");
    net_pass(40);
    peer.len = 0;
    net_leap(1700);
    peer_poll(&peer);
    assert_int_equal(peer.len, 0); /* as long as it asked for */
    net_leap(300);
    peer_await(&peer, "{}");
    peer_hang_up(&peer); /* no answer at all */
    net_leap(100);
    net_leap(2000);
    peer_await(&peer, "{}");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await("status 200;chunk ok;end;");
}

static void what_cannot_get_better_is_told(void **state)
{
    (void)state;
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    peer_await(&peer, "{}");
    peer_say(&peer, "HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nkey");
    await("status 401;chunk key;end;");
    given[0] = '\0';
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    for (int i = 0; i < ENGINE_TRIES; i++) {
        peer.len = 0;
        peer_await(&peer, "{}");
        peer_say(&peer, "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\noh");
        net_pass(40);
        net_leap(4100);
    }
    await("status 500;chunk oh;end;");
    given[0] = '\0';
    tell("Rgopher://llm.test/ {}");
    await("closed 0;");
}

static void an_answer_that_breaks_off_is_told_once(void **state)
{
    (void)state;
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    peer_await(&peer, "{}");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    net_pass(20);
    peer_hang_up(&peer);
    await("status 200;chunk abc;closed 0;");
    net_leap(9000);
    assert_string_equal(given, "status 200;chunk abc;closed 0;");
}

static void a_cancelled_request_says_nothing(void **state)
{
    (void)state;
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    peer_await(&peer, "{}");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    net_pass(20);
    assert_string_equal(given, "status 200;chunk abc;");
    tell("X");
    peer_say(&peer, "def");
    net_leap(1000);
    assert_string_equal(given, "status 200;chunk abc;");
    tell("Rhttp://llm.test:%u/ {}", peer.port); /* a second replaces the first */
    tell("Rhttp://llm.test:%u/2 {}", peer.port);
    peer_await(&peer, "/2");
    peer_say(&peer, "HTTP/1.1 204 No\r\n\r\n");
    await("status 200;chunk abc;status 204;end;");
}

/* What is not read is no silence of the server's. */
static void patience_stands_still_in_a_pause(void **state)
{
    (void)state;
    open_socket();
    given[0] = '\0';
    patience_ns = net_now_ns + MS(500);
    engine_pause(&owner->engine, true);
    tell("Ssomething");
    net_leap(4000);
    assert_string_equal(given, "");
    engine_pause(&owner->engine, false);
    net_leap(1500);
    assert_string_equal(given, ""); /* what was waiting still has time to come */
    net_leap(1000);
    assert_string_equal(given, "timer;");
}

static void nothing_is_left_when_it_stops(void **state)
{
    (void)state;
    open_socket();
    tell("Rhttp://llm.test:%u/ {}", peer.port);
    net_pass(10);
    actor_stop(net_shard, owner->actor.id, REASON_NONE);
    net_pass(10);
    assert_int_equal(shard_load(net_shard).frames_used, 0);
    assert_int_equal(shard_io(net_shard)->ops->open_count(shard_io(net_shard)), 1); /* http's set */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(messages_go_both_ways),
        CASE(what_follows_the_upgrade_is_not_lost),
        CASE(a_refused_key_is_told_at_once),
        CASE(a_busy_server_is_tried_four_times),
        CASE(a_closed_port_is_given_up),
        CASE(with_a_fallback_behind_it_it_is_tried_twice),
        CASE(the_next_has_a_network_of_its_own),
        CASE(a_name_asked_for_by_the_one_before_opens_nothing),
        CASE(a_silent_server_takes_five_seconds),
        CASE(hostile_upgrades_fail),
        CASE(bad_urls_are_told),
        CASE(a_dead_peer_is_noticed),
        CASE(the_code_of_a_close_is_told),
        CASE(a_flapping_server_is_not_hurried),
        CASE(a_peer_that_does_not_read_is_bounded),
        CASE(sound_waits_for_the_socket),
        CASE(an_utterance_is_repeated),
        CASE(acknowledged_sound_is_not_repeated),
        CASE(ten_seconds_are_repeated_at_most),
        CASE(hopeless_sound_reaches_the_plug_in),
        CASE(a_request_is_answered),
        CASE(a_busy_request_is_tried_again),
        CASE(what_cannot_get_better_is_told),
        CASE(an_answer_that_breaks_off_is_told_once),
        CASE(a_cancelled_request_says_nothing),
        CASE(patience_stands_still_in_a_pause),
        CASE(nothing_is_left_when_it_stops),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    assert_int_equal(http_curl_load(), 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_curl_unload();
    return failed;
}
