/* The network half of an engine: a plug-in of the test's own against WebSocket and HTTP servers of
 * the test's own, in order and with every fault that a provider's server can have. */
#include "tests/unit/net_world.h"

#include "base/metrics.h"
#include "tests/unit/certificates.h"

/* ---- the plug-in: writes down what it is given, and does what it is told by INPUT_TEXT ---- */

#define RATE_HZ 8000

static char given[8192];
static char again[200]; /* connects to this when its socket is lost */
static uint32_t kept_ms;

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    size_t len = strlen(given);
    va_list args;

    va_start(args, format);
    vsnprintf(given + len, sizeof(given) - len, format, args);
    va_end(args);
}

static void intent(struct intents *out, enum provider_intent_kind kind, struct slice data,
                   struct slice head, struct slice body, uint32_t flag)
{
    struct provider_intent *i = intents_add(out, kind);

    i->data = intents_copy(out, data);
    i->head = intents_copy(out, head);
    i->body = intents_copy(out, body);
    i->flag = flag;
}

static void connect_to(struct intents *out, const char *url)
{
    intent(out, INTENT_CONNECT, slice_str(url), SLICE("Authorization: Token k\r\n"), SLICE_NONE, 0);
}

static void command(struct slice text, struct intents *out)
{
    struct slice rest = slice_of(text.at + 1, text.len - 1), url;

    switch (text.at[0]) {
    case 'C':
        intent(out, INTENT_CONNECT, rest, SLICE("Authorization: Token k\r\n"), SLICE_NONE, 0);
        break;
    case 'S':
        intent(out, INTENT_SEND, SLICE_NONE, SLICE_NONE, rest, 1);
        break;
    case 'R':
        url = slice_cut(rest, ' ', &rest);
        intent(out, INTENT_REQUEST, url, SLICE("X-Key: k\r\n"), rest, 0);
        break;
    case 'X':
        intent(out, INTENT_CLOSE, SLICE_NONE, SLICE_NONE, SLICE_NONE, 0);
        break;
    case 'F':
        intents_event(out, EVENT_FINAL, 3, SLICE("done"));
        break;
    default:
        break;
    }
}

static void on_audio(const struct provider_input *in, struct intents *out)
{
    struct provider_intent *event;

    intent(out, INTENT_SEND, SLICE_NONE, SLICE_NONE, in->data, 0);
    if (!kept_ms)
        return;
    event = intents_event(out, EVENT_PARTIAL, in->epoch, SLICE("so far"));
    event->flag = EVENT_KEPT;
    event->heard_ms = kept_ms;
}

static void probe_step(void *state, const struct provider_input *in, int64_t now,
                       struct intents *out)
{
    (void)state;
    (void)now;
    switch ((int)in->kind) {
    case INPUT_TEXT:
        command(in->data, out);
        break;
    case INPUT_OPENED:
        note("opened;");
        break;
    case INPUT_BYTES:
        note("%s %.*s;", in->flag ? "text" : "binary", SLICE_ARG(in->data));
        break;
    case INPUT_CLOSED:
        note("closed %d;", in->status);
        if (again[0])
            connect_to(out, again);
        break;
    case INPUT_STATUS:
        note("status %d;", in->status);
        break;
    case INPUT_CHUNK:
        note("chunk %.*s;", SLICE_ARG(in->data));
        break;
    case INPUT_END:
        note("end;");
        break;
    case INPUT_SPEECH:
        note("speech %u;", in->epoch);
        break;
    case INPUT_FINISH:
        intent(out, INTENT_SEND, SLICE_NONE, SLICE_NONE, SLICE("finish"), 1);
        break;
    case INPUT_AUDIO:
        on_audio(in, out);
        break;
    default:
        break;
    }
}

static const struct provider_ops probe = {
    .name = "probe", .kind = PROVIDER_STT, .rate_hz = RATE_HZ, .step = probe_step};

/* ---- its actor ---- */

struct owner {
    struct actor actor;
    struct engine engine;
};

static unsigned failures;

static void on_engine(struct actor *a, const struct provider_intent *event)
{
    (void)a;
    failures += event->event == EVENT_FAILED;
}

static void owner_handle(struct actor *a, const struct msg *m)
{
    struct owner *o = container_of(a, struct owner, actor);

    if (m->type == MSG_START) {
        assert_int_equal(engine_start(&o->engine, a, 1, PROVIDER_STT, on_engine), 0);
    } else if (m->type == MSG_STOP) {
        engine_stop(&o->engine);
        actor_end(a);
    } else {
        engine_handle(&o->engine, m);
    }
}

static const struct actor_type owner_type = {
    .name = "owner", .size_bytes = sizeof(struct owner), .handle = owner_handle};

static struct bundle bundle = {.ops = {&probe}};
static struct owner *owner;
static struct peer peer;
static struct ws server; /* the other end of the codec */
static uint8_t server_bytes[1 << 20];
static size_t server_audio; /* bytes of binary messages */
static char server_text[4096];

static int set_up(void **state)
{
    const struct shard_type types[] = {{&network_type, 1}, {&owner_type, 1}};

    (void)state;
    given[0] = again[0] = server_text[0] = '\0';
    failures = 0;
    kept_ms = 0;
    server_audio = 0;
    net_world.agents[1] = &bundle;
    net_build(types, ARRAY_LEN(types));
    struct actor *a = actor_spawn(net_shard, &owner_type, NULL, 0, NULL, 0, FRAME_NONE);
    owner = container_of(a, struct owner, actor);
    peer_open(&peer);
    return 0;
}

/* ---- the same under TLS ---- */

#define DAY_S 86400

static char folder[] = "/tmp/test-net-XXXXXX";
static struct certificate authority, good, other;

static int make_certificates(void **state)
{
    char why[200];

    (void)state;
    assert_non_null(mkdtemp(folder));
    certificate_make(&authority, folder, "authority", NULL, NULL, -DAY_S, DAY_S);
    certificate_make(&good, folder, "good", &authority, "DNS:stt.test,DNS:llm.test", -DAY_S, DAY_S);
    certificate_make(&other, folder, "other", &authority, "DNS:other.example", -DAY_S, DAY_S);
    return tls_client_context_new(authority.certificate_path, &net_world.tls_client, why,
                                  sizeof(why));
}

static int free_certificates(void **state)
{
    (void)state;
    tls_context_free(&net_world.tls_client);
    certificate_free(&authority);
    certificate_free(&good);
    certificate_free(&other);
    return rmdir(folder);
}

static void secure(const struct certificate *c)
{
    char why[200];

    assert_int_equal(
        tls_server_context_new(c->certificate_path, c->key_path, &peer.secure, why, sizeof(why)),
        0);
}

static int set_up_secure(void **state)
{
    net_config.ca_file = authority.certificate_path;
    return set_up(state);
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&peer);
    tls_context_free(&peer.secure);
    net_config.ca_file = "";
    actor_stop(net_shard, owner->actor.id, REASON_NONE);
    net_tear();
    return 0;
}

static void tell(const char *format, ...) PRINTF_LIKE(1, 2);
static void tell(const char *format, ...)
{
    char text[6000];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    engine_command(&owner->engine, INPUT_TEXT, 3, slice_str(text));
}

/* ---- the server's side of a WebSocket ---- */

static void server_take(void)
{
    struct slice in = slice_of(peer.in, peer.len);
    struct ws_event ev;

    do {
        ws_decode(&server, &in, &ev);
        if (ev.kind == WS_BINARY)
            server_audio += ev.data.len;
        if (ev.kind == WS_TEXT || ev.kind == WS_PONG || ev.kind == WS_CLOSE)
            snprintf(server_text + strlen(server_text), sizeof(server_text) - strlen(server_text),
                     "%s%.*s;",
                     ev.kind == WS_PONG    ? "pong "
                     : ev.kind == WS_CLOSE ? "close "
                                           : "",
                     SLICE_ARG(ev.data));
        assert_int_not_equal(ev.kind, WS_BAD);
    } while (ev.kind != WS_MORE);
    peer.len = 0;
}

static void serve(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 4) {
        net_turn();
        peer_poll(&peer);
        server_take();
    }
}

static void upgrade(void)
{
    uint8_t bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));
    char key[WS_KEY_CHARS + 1];

    peer_await(&peer, "\r\n\r\n");
    const char *at = strstr(peer.in, "Sec-WebSocket-Key: ");
    assert_non_null(at);
    snprintf(key, sizeof(key), "%s", at + 19);
    ws_build_101(&b, slice_str(key), SLICE_NONE);
    peer.len = 0;
    ws_init(&server, WS_SERVER, WS_TAKES_BOTH, server_bytes, sizeof(server_bytes));
    peer_send(&peer, b.at, b.len);
}

static void server_frame(enum ws_opcode op, const char *payload)
{
    uint8_t bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_SERVER, op, slice_str(payload), 0);
    peer_send(&peer, b.at, b.len);
}

static void server_close(uint16_t code)
{
    uint8_t bytes[64];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode_close(&b, WS_SERVER, code, SLICE_NONE, 0);
    peer_send(&peer, b.at, b.len);
}

static void await(const char *text)
{
    for (int i = 0; i < 500 && !strstr(given, text); i++) {
        net_turn();
        peer_poll(&peer);
    }
    assert_string_equal(given, text);
}

static void open_socket(void)
{
    given[0] = '\0';
    tell("Cws://stt.test:%u/v1/listen?model=x", peer.port);
    upgrade();
    await("opened;");
    given[0] = '\0';
}

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
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
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
    struct tls_context *kept = net_world.tls_client;
    net_world.tls_client = NULL;
    tell("Cwss://stt.test/"); /* this world has no TLS */
    net_pass(40);
    assert_string_equal(given, "closed 0;closed 0;");
    net_world.tls_client = kept;
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

static void secured_messages_go_both_ways(void **state)
{
    (void)state;
    secure(&good);
    for (int i = 0; i < 2; i++) {
        given[0] = server_text[0] = '\0';
        tell("Cwss://stt.test:%u/v1", peer.port);
        upgrade();
        await("opened;");
        tell("Shello");
        server_frame(WS_OP_TEXT, "a");
        server_frame(WS_OP_PING, "p");
        serve(40);
        assert_string_equal(given, "opened;text a;");
        assert_string_equal(server_text, "hello;pong p;");
        tell("X");
        serve(40);
        assert_string_equal(server_text, "hello;pong p;close ;");
        assert_int_equal(peer.resumed, i); /* the second time the session goes on */
    }
}

static void another_ones_certificate_is_refused(void **state)
{
    (void)state;
    secure(&other);
    tell("Cwss://stt.test:%u/", peer.port);
    await("closed 0;");
    assert_int_equal(peer.accepted, 1); /* no use to try again */
    given[0] = '\0';
    tell("Rhttps://llm.test:%u/ {}", peer.port);
    await("closed 0;");
    assert_int_equal(peer.accepted, 2);
}

static void a_plain_server_is_no_secure_one(void **state)
{
    (void)state;
    tell("Cwss://stt.test:%u/", peer.port);
    for (int i = 0; i < 100 && !peer.len; i++) {
        net_turn();
        peer_poll(&peer);
    }
    peer_say(&peer, "HTTP/1.1 400 Bad Request\r\n\r\n");
    net_pass(40);
    peer_poll(&peer);
    assert_true(peer.end);
    assert_string_equal(given, "");
}

static void a_secured_request_is_answered(void **state)
{
    (void)state;
    secure(&good);
    tell("Rhttps://llm.test:%u/v1/chat {}", peer.port);
    peer_await(&peer, "\r\n\r\n{}");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
    await("status 200;chunk abcd;end;");
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

#define CASE(name)   cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SECURE(name) cmocka_unit_test_setup_teardown(name, set_up_secure, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(messages_go_both_ways),
        CASE(what_follows_the_upgrade_is_not_lost),
        CASE(a_refused_key_is_told_at_once),
        CASE(a_busy_server_is_tried_four_times),
        CASE(a_closed_port_is_given_up),
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
        SECURE(secured_messages_go_both_ways),
        SECURE(another_ones_certificate_is_refused),
        SECURE(a_plain_server_is_no_secure_one),
        SECURE(a_secured_request_is_answered),
        CASE(nothing_is_left_when_it_stops),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    assert_int_equal(http_curl_load(), 0);
    int failed = cmocka_run_group_tests(tests, make_certificates, free_certificates);
    http_curl_unload();
    return failed;
}
