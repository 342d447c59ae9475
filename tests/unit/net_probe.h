/* An engine on a shard with a network, driven by a plug-in that writes down what it is given and
 * does what it is told, and the server's end of its WebSocket. Included by one test program each.
 */
#ifndef TESTS_NET_PROBE_H
#define TESTS_NET_PROBE_H

#include "base/metrics.h"
#include "tests/unit/net_world.h"

/* ---- the plug-in: writes down what it is given, and does what it is told by INPUT_TEXT ---- */

#define RATE_HZ 8000

static char given[8192];
static char again[200]; /* connects to this when its socket is lost */
static uint32_t kept_ms;
static int64_t patience_ns; /* ends then, once */

static inline void note(const char *format, ...) PRINTF_LIKE(1, 2);
static inline void note(const char *format, ...)
{
    size_t len = strlen(given);
    va_list args;

    va_start(args, format);
    vsnprintf(given + len, sizeof(given) - len, format, args);
    va_end(args);
}

static inline void intent(struct intents *out, enum provider_intent_kind kind, struct slice data,
                          struct slice head, struct slice body, uint32_t flag)
{
    struct provider_intent *i = intents_add(out, kind);

    i->data = intents_copy(out, data);
    i->head = intents_copy(out, head);
    i->body = intents_copy(out, body);
    i->flag = flag;
}

static inline void connect_to(struct intents *out, const char *url)
{
    intent(out, INTENT_CONNECT, slice_str(url), SLICE("Authorization: Token k\r\n"), SLICE_NONE, 0);
}

static inline void command(struct slice text, struct intents *out)
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

static inline void on_audio(const struct provider_input *in, struct intents *out)
{
    struct provider_intent *event;

    intent(out, INTENT_SEND, SLICE_NONE, SLICE_NONE, in->data, 0);
    if (!kept_ms)
        return;
    event = intents_event(out, EVENT_PARTIAL, in->epoch, SLICE("so far"));
    event->flag = EVENT_KEPT;
    event->heard_ms = kept_ms;
}

static inline void probe_step(void *state, const struct provider_input *in, int64_t now,
                              struct intents *out)
{
    (void)state;
    (void)now;
    switch ((int)in->kind) {
    case INPUT_TEXT:
        command(in->data, out);
        break;
    case INPUT_TIMER:
        note("timer;");
        patience_ns = NEVER_NS;
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

static inline int64_t probe_deadline(const void *state)
{
    (void)state;
    return patience_ns;
}

static const struct provider_ops probe = {.name = "probe",
                                          .kind = PROVIDER_STT,
                                          .rate_hz = RATE_HZ,
                                          .step = probe_step,
                                          .deadline = probe_deadline};

/* ---- its actor ---- */

struct owner {
    struct actor actor;
    struct engine engine;
};

static unsigned failures;

static inline void on_engine(struct actor *a, const struct provider_intent *event)
{
    (void)a;
    failures += event->event == EVENT_FAILED;
}

static inline void owner_handle(struct actor *a, const struct msg *m)
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

static struct bundle bundle = {.roles = {[PROVIDER_STT] = {.at = {{.ops = &probe}}, .count = 1}}};
static struct owner *owner;
static struct peer peer;
static struct ws server; /* the other end of the codec */
static uint8_t server_bytes[1 << 20];
static size_t server_audio; /* bytes of binary messages */
static char server_text[4096];

static inline int set_up(void **state)
{
    const struct shard_type types[] = {{&network_type, 1}, {&owner_type, 1}};

    (void)state;
    given[0] = again[0] = server_text[0] = '\0';
    failures = 0;
    kept_ms = 0;
    patience_ns = NEVER_NS;
    server_audio = 0;
    net_world.agents[1] = &bundle;
    net_build(types, ARRAY_LEN(types));
    struct actor *a = actor_spawn(net_shard, &owner_type, NULL, 0, NULL, 0, FRAME_NONE);
    owner = container_of(a, struct owner, actor);
    peer_open(&peer);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    peer_close(&peer);
    tls_context_free(&peer.secure);
    net_config.ca_file = "";
    actor_stop(net_shard, owner->actor.id, REASON_NONE);
    net_tear();
    return 0;
}

static inline void tell(const char *format, ...) PRINTF_LIKE(1, 2);
static inline void tell(const char *format, ...)
{
    char text[6000];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    engine_command(&owner->engine, INPUT_TEXT, 3, slice_str(text));
}

/* ---- the server's side of a WebSocket ---- */

static inline void server_take(void)
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

static inline void serve(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 4) {
        net_turn();
        peer_poll(&peer);
        server_take();
    }
}

static inline void upgrade(void)
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

static inline void server_frame(enum ws_opcode op, const char *payload)
{
    uint8_t bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode(&b, WS_SERVER, op, slice_str(payload), 0);
    peer_send(&peer, b.at, b.len);
}

static inline void server_close(uint16_t code)
{
    uint8_t bytes[64];
    struct builder b = builder_of(bytes, sizeof(bytes));

    ws_encode_close(&b, WS_SERVER, code, SLICE_NONE, 0);
    peer_send(&peer, b.at, b.len);
}

static inline void await(const char *text)
{
    for (int i = 0; i < 500 && !strstr(given, text); i++) {
        net_turn();
        peer_poll(&peer);
    }
    assert_string_equal(given, text);
}

static inline void open_socket(void)
{
    given[0] = '\0';
    tell("Cws://stt.test:%u/v1/listen?model=x", peer.port);
    upgrade();
    await("opened;");
    given[0] = '\0';
}

#endif
