/* The network actor of a shard on real sockets: names, breakers, HTTP requests through libcurl, in
 * order and with every fault of a server, over both backends. */
#include "tests/unit/net_world.h"

#include "net/breaker.h"
#include "net/net_guard.h"

/* ---- an actor that asks, and writes down what it hears ---- */

struct asker {
    struct actor actor;
};

static struct {
    char log[4096];
    char body[1 << 20];
    size_t body_len;
    struct net_resolved_msg name;
    unsigned names;
    int32_t status, retry_after_ms;
} heard;

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    size_t len = strlen(heard.log);
    va_list args;

    va_start(args, format);
    vsnprintf(heard.log + len, sizeof(heard.log) - len, format, args);
    va_end(args);
}

static void on_chunk(struct actor *a, const struct msg *m)
{
    struct slice bytes = text_of(a, m);

    assert_true(heard.body_len + bytes.len < sizeof(heard.body));
    if (bytes.len)
        memcpy(heard.body + heard.body_len, bytes.at, bytes.len);
    heard.body_len += bytes.len;
}

static void asker_handle(struct actor *a, const struct msg *m)
{
    switch (m->type) {
    case MSG_STOP:
        actor_end(a);
        break;
    case NET_RESOLVED:
        heard.name = *msg_body(m, net_resolved_msg);
        heard.names++;
        break;
    case NET_STATUS:
        heard.status = msg_body(m, net_status_msg)->status;
        heard.retry_after_ms = msg_body(m, net_status_msg)->retry_after_ms;
        note("status %d;", heard.status);
        break;
    case NET_CHUNK:
        on_chunk(a, m);
        break;
    case NET_END:
        note("end;");
        break;
    case NET_FAILED:
        note("failed %d;", msg_body(m, net_failed_msg)->err);
        break;
    default:
        break;
    }
}

static const struct actor_type asker_type = {
    .name = "asker", .size_bytes = sizeof(struct asker), .handle = asker_handle};

static struct actor *asker;
static struct peer peer;

static int set_up(void **state)
{
    const struct shard_type types[] = {{&network_type, 1}, {&asker_type, 1}};

    (void)state;
    memset(&heard, 0, sizeof(heard));
    net_config.allow_private = true;
    net_build(types, ARRAY_LEN(types));
    asker = actor_spawn(net_shard, &asker_type, NULL, 0, NULL, 0, FRAME_NONE);
    peer_open(&peer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&peer);
    actor_stop(net_shard, asker->id, REASON_NONE);
    net_tear();
    return 0;
}

static void ask_name(const char *name)
{
    struct net_resolve_msg body = {.cookie = 5, .port = 443, .label = NET_LABEL_NONE};

    actor_send_body(asker, shard_only(net_shard, &network_type), NET_RESOLVE, IF_FULL_STOP,
                    text_frame(asker, slice_str(name)), &body, sizeof(body));
}

static void await_names(unsigned count)
{
    for (int i = 0; i < 100 && heard.names < count; i++)
        net_turn();
    assert_int_equal(heard.names, count);
}

static void report(enum net_outcome outcome)
{
    struct net_report_msg body = {.permit = heard.name.permit, .outcome = (uint8_t)outcome};

    actor_send_body(asker, shard_only(net_shard, &network_type), NET_REPORT, IF_FULL_STOP,
                    FRAME_NONE, &body, sizeof(body));
    net_turn();
}

static void request_with(uint32_t cookie, const char *url, const char *head, const char *body,
                         bool guarded)
{
    struct net_request_msg m = {.cookie = cookie,
                                .label = NET_LABEL_NONE,
                                .guarded = guarded,
                                .url_bytes = (uint32_t)strlen(url),
                                .head_bytes = (uint32_t)strlen(head),
                                .first_byte_ms = 10000,
                                .stall_ms = 5000,
                                .total_ms = 60000};
    struct builder b = text_builder(asker);

    builder_str(&b, url);
    builder_str(&b, head);
    builder_str(&b, body);
    assert_false(b.bad);
    actor_send_body(asker, shard_only(net_shard, &network_type), NET_REQUEST, IF_FULL_STOP,
                    text_frame(asker, builder_slice(&b)), &m, sizeof(m));
}

static void request(const char *target, const char *head, const char *body)
{
    char url[5000];

    snprintf(url, sizeof(url), "http://api.test:%u%s", peer.port, target);
    request_with(1, url, head, body, false);
}

static void await_log(const char *text)
{
    for (int i = 0; i < 1000 && !strstr(heard.log, text); i++) {
        net_turn();
        peer_poll(&peer);
    }
    assert_string_equal(heard.log, text);
}

/* ---- names ---- */

static void resolves_and_remembers(void **state)
{
    (void)state;
    ask_name("api.test");
    await_names(1);
    assert_int_equal(heard.name.err, 0);
    assert_int_equal(heard.name.cookie, 5);
    assert_int_equal(heard.name.address.port, 443);
    assert_true(address_is_loopback(&heard.name.address));
    ask_name("API.test");
    await_names(2);
    assert_int_equal(dns.asked, 1);
    net_leap(59000);
    ask_name("api.test");
    await_names(3);
    assert_int_equal(dns.asked, 1);
    net_leap(2000);
    ask_name("api.test");
    await_names(4);
    assert_int_equal(dns.asked, 2);
    ask_name("192.0.2.7");
    await_names(5);
    assert_int_equal(heard.name.err, 0);
    assert_int_equal(dns.asked, 2);
}

static void remembers_that_there_is_no_such_name(void **state)
{
    (void)state;
    ask_name("nowhere.invalid");
    ask_name("nowhere.invalid");
    await_names(2);
    assert_int_equal(heard.name.err, ENOENT);
    assert_int_equal(dns.asked, 1); /* one question for all who wait */
    net_leap(4000);
    ask_name("nowhere.invalid");
    await_names(3);
    assert_int_equal(dns.asked, 1);
    net_leap(2000);
    ask_name("nowhere.invalid");
    await_names(4);
    assert_int_equal(dns.asked, 2);
    ask_name("");
    await_names(5);
    assert_true(heard.name.err != 0);
}

/* The resolver stands still: who asks is told in time, who knows an older answer goes on. */
static void a_silent_resolver_holds_nobody(void **state)
{
    (void)state;
    ask_name("old.test");
    await_names(1);
    net_leap(61000);
    dns.silent = true;
    ask_name("old.test");
    ask_name("new.test");
    net_turn();
    net_leap(4800);
    assert_int_equal(heard.names, 1);
    net_leap(400);
    assert_int_equal(heard.names, 3);
    dns.silent = false;
    net_pass(20);
    ask_name("new.test"); /* the late answers serve */
    await_names(4);
    assert_int_equal(heard.name.err, 0);
    assert_int_equal(dns.asked, 3);
    dns.err = EAGAIN;
    net_leap(61000);
    ask_name("old.test"); /* a resolver that fails */
    await_names(5);
    assert_int_equal(heard.name.err, 0);
}

static void a_full_cache_forgets_the_oldest(void **state)
{
    char name[32];

    (void)state;
    for (unsigned i = 0; i <= RESOLVE_NAMES_MAX; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        ask_name(name);
        await_names(i + 1);
        assert_int_equal(heard.name.err, 0);
    }
    assert_int_equal(dns.asked, RESOLVE_NAMES_MAX + 1);
    ask_name("n1.test");
    await_names(RESOLVE_NAMES_MAX + 2);
    assert_int_equal(dns.asked, RESOLVE_NAMES_MAX + 1);
    ask_name("n0.test");
    await_names(RESOLVE_NAMES_MAX + 3);
    assert_int_equal(dns.asked, RESOLVE_NAMES_MAX + 2);
}

/* ---- breaker ---- */

static void the_breaker_opens_and_probes(void **state)
{
    unsigned names = 0;

    (void)state;
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        ask_name("api.test");
        await_names(++names);
        assert_int_equal(heard.name.err, 0);
        report(NET_BAD);
    }
    ask_name("api.test");
    await_names(++names);
    assert_int_equal(heard.name.err, EBUSY);
    ask_name("other.test"); /* another server of the same name is asked as before */
    await_names(++names);
    assert_int_equal(heard.name.err, 0);
    net_leap(30000);
    ask_name("api.test");
    await_names(++names);
    assert_int_equal(heard.name.err, 0);
    struct net_resolved_msg probe = heard.name;
    ask_name("api.test"); /* one probe at a time */
    await_names(++names);
    assert_int_equal(heard.name.err, EBUSY);
    heard.name = probe;
    report(NET_BAD);
    net_leap(31000); /* it is left alone for longer */
    ask_name("api.test");
    await_names(++names);
    assert_int_equal(heard.name.err, EBUSY);
    net_leap(30000);
    ask_name("api.test");
    await_names(++names);
    assert_int_equal(heard.name.err, 0);
    report(NET_GOOD);
    for (int i = 0; i < 3; i++) {
        ask_name("api.test");
        await_names(++names);
        assert_int_equal(heard.name.err, 0);
    }
}

static void a_refusal_of_the_request_is_no_failure(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * BREAKER_FAILURES; i++) {
        ask_name("api.test");
        await_names(i + 1);
        assert_int_equal(heard.name.err, 0);
        report(i % BREAKER_FAILURES == 2 ? NET_GOOD : i % 2 ? NET_BAD : NET_NEITHER);
    }
}

/* ---- requests ---- */

static void a_request_goes_out_whole(void **state)
{
    (void)state;
    request("/v1/chat?x=1", "Authorization: Bearer k\r\nContent-Type: application/json\r\n",
            "{\"a\":1}");
    peer_await(&peer, "{\"a\":1}");
    assert_non_null(strstr(peer.in, "POST /v1/chat?x=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(peer.in, "\r\nAuthorization: Bearer k\r\n"));
    assert_non_null(strstr(peer.in, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(peer.in, "\r\nContent-Length: 7\r\n"));
    assert_null(strstr(peer.in, "Expect:"));
    assert_null(strstr(peer.in, "Accept-Encoding:"));
    peer_say(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
    net_pass(40);
    assert_string_equal(heard.log, "status 200;");
    assert_int_equal(heard.body_len, 4); /* streamed, not gathered */
    peer_say(&peer, "3\r\nefg\r\n0\r\n\r\n");
    await_log("status 200;end;");
    assert_memory_equal(heard.body, "abcdefg", 7);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        heard.log[0] = '\0';
        request("/", "", "");
        peer_await(&peer, "GET / HTTP/1.1\r\n");
        peer.len = 0;
        peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await_log("status 200;end;");
        net_leap(20000);
    }
    assert_int_equal(peer.accepted, 1);
    assert_int_equal(heard.body_len, 6);
}

static void a_request_waits_for_no_further_round(void **state)
{
    (void)state;
    request("/", "", "");
    peer_await(&peer, "GET / HTTP/1.1\r\n");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await_log("status 200;end;");
    peer.len = 0;
    request("/at-once", "", "");
    shard_turn(net_shard);
    peer_poll(&peer);
    assert_non_null(memmem(peer.in, peer.len, "/at-once", 8));
}

static void errors_come_with_their_body(void **state)
{
    (void)state;
    request("/", "", "x");
    peer_await(&peer, "\r\n\r\nx");
    peer_say(&peer, "HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nlater");
    await_log("status 429;end;");
    assert_int_equal(heard.retry_after_ms, 3000);
    assert_memory_equal(heard.body, "later", 5);
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    request("/", "", "");
    peer_await(&peer, "GET /");
    peer_say(&peer, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                    "Content-Length: 0\r\n\r\n");
    await_log("status 302;end;");
}

static void refused_and_silent_servers_fail(void **state)
{
    (void)state;
    request("/", "", "");
    peer_await(&peer, "GET /");
    net_leap(9000);
    assert_string_equal(heard.log, "");
    net_leap(2000);
    char text[64];
    snprintf(text, sizeof(text), "failed %d;", ETIMEDOUT);
    await_log(text);
    heard.log[0] = '\0';
    request("/", "", "");
    peer_await(&peer, "GET /");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    net_pass(20);
    net_leap(6000); /* it stops in the middle */
    snprintf(text, sizeof(text), "status 200;failed %d;", ETIMEDOUT);
    await_log(text);
    heard.log[0] = '\0';
    peer_close(&peer);
    request("/", "", "");
    snprintf(text, sizeof(text), "failed %d;", ECONNREFUSED);
    await_log(text);
    heard.log[0] = '\0';
    request_with(1, "http://nowhere.invalid/", "", "", false);
    snprintf(text, sizeof(text), "failed %d;", ENOENT);
    await_log(text);
}

static void broken_answers_fail_once(void **state)
{
    static const char *const answers[] = {
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 99",
        "",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        heard.log[0] = '\0';
        request("/", "", "");
        peer_await(&peer, "GET /");
        peer_say(&peer, answers[i]);
        peer_hang_up(&peer);
        net_pass(60);
        const char *failed = strstr(heard.log, "failed ");
        assert_non_null(failed);
        assert_null(strstr(failed + 1, "failed "));
        assert_null(strstr(heard.log, "end;"));
        net_leap(70000); /* past what the breaker makes of this */
    }
}

static void a_cancelled_request_is_gone(void **state)
{
    struct net_cookie_msg body = {.cookie = 1};

    (void)state;
    request("/", "", "");
    peer_await(&peer, "GET /");
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    net_pass(20);
    assert_string_equal(heard.log, "status 200;");
    actor_send_body(asker, shard_only(net_shard, &network_type), NET_CANCEL, IF_FULL_STOP,
                    FRAME_NONE, &body, sizeof(body));
    for (int i = 0; i < 50 && !peer.end; i++) {
        net_turn();
        peer_poll(&peer);
    }
    assert_true(peer.end); /* the server sees it */
    assert_string_equal(heard.log, "status 200;");
    /* And one whose name is still being asked for. */
    dns.silent = true;
    request_with(2, "http://fresh.test:9/", "", "", false);
    net_pass(10);
    body.cookie = 2;
    actor_send_body(asker, shard_only(net_shard, &network_type), NET_CANCEL, IF_FULL_STOP,
                    FRAME_NONE, &body, sizeof(body));
    net_turn();
    net_leap(6000);
    assert_string_equal(heard.log, "status 200;");
}

static void a_paused_body_waits_at_the_server(void **state)
{
    static char big[1 << 19];
    struct net_flow_msg flow = {.cookie = 1, .pause = true};
    struct actor_id network = shard_only(net_shard, &network_type);
    size_t sent = 0;

    (void)state;
    memset(big, 'b', sizeof(big));
    request("/", "", "");
    peer_await(&peer, "GET /");
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\nx",
             sizeof(big) + 1);
    peer_say(&peer, head);
    net_pass(20);
    assert_int_equal(heard.body_len, 1);
    actor_send_body(asker, network, NET_FLOW, IF_FULL_STOP, FRAME_NONE, &flow, sizeof(flow));
    net_turn();
    for (int i = 0; i < 400; i++) {
        ssize_t n = send(peer.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        net_turn();
    }
    assert_int_equal(heard.body_len, 1);
    net_leap(20000); /* it is we who stand still: no deadline of the server's */
    flow.pause = false;
    actor_send_body(asker, network, NET_FLOW, IF_FULL_STOP, FRAME_NONE, &flow, sizeof(flow));
    for (int i = 0; i < 4000 && heard.body_len < sizeof(big) + 1; i++) {
        ssize_t n = send(peer.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        net_turn();
    }
    assert_int_equal(heard.body_len, sizeof(big) + 1);
    await_log("status 200;end;");
}

static void malformed_requests_are_refused(void **state)
{
    static const struct {
        const char *url, *head;
    } bad[] = {
        {"ftp://api.test/", ""},
        {"http://api.test/\n", ""},
        {"http://u:p@api.test/", ""},
        {"http://api.test/", "no colon\r\n"},
        {"http://api.test/", "X: a\rY: b\r\n"},
        {"http://api.test/", "Host: other\r\n"},
        {"http://api.test/", "Content-Length: 5\r\n"},
        {"http://api.test/", "Transfer-Encoding: chunked\r\n"},
        {"http://api.test/", " X: y\r\n"},
        {"", ""},
    };
    char text[64];

    (void)state;
    snprintf(text, sizeof(text), "failed %d;", EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        heard.log[0] = '\0';
        request_with(1, bad[i].url, bad[i].head, "b", false);
        await_log(text);
    }
}

static void answers_are_bounded(void **state)
{
    static char line[8192];
    char text[64];

    (void)state;
    memset(line, 'h', sizeof(line) - 3);
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof(line) - 3, "\r\n", 3);
    request("/", "", "");
    peer_await(&peer, "GET /");
    peer_say(&peer, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 9; i++) {
        peer_say(&peer, line);
        net_pass(10);
    }
    snprintf(text, sizeof(text), "failed %d;", EMSGSIZE);
    await_log(text);
}

static void guarded_requests_stay_outside(void **state)
{
    char url[64], text[64];

    (void)state;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", peer.port);
    snprintf(text, sizeof(text), "failed %d;", EACCES);
    /* By its configuration this network allows them. */
    request_with(1, url, "", "", true);
    peer_await(&peer, "GET /");
    peer_say(&peer, "HTTP/1.1 204 No\r\n\r\n");
    await_log("status 204;end;");
    heard.log[0] = '\0';
    unsigned before = peer.accepted;
    actor_stop(net_shard, asker->id, REASON_NONE);
    net_tear();
    int (*again)(void **) = set_up;
    struct peer kept = peer;
    assert_int_equal(again(state), 0);
    peer_close(&peer);
    peer = kept;
    actor_stop(net_shard, shard_only(net_shard, &network_type), REASON_NONE);
    shard_turn(net_shard);
    net_config.allow_private = false;
    assert_non_null(actor_spawn(net_shard, &network_type, NULL, 0, NULL, 0, FRAME_NONE));
    request_with(1, url, "", "", true);
    await_log(text);
    heard.log[0] = '\0';
    snprintf(url, sizeof(url), "http://inside.test:%u/", peer.port);
    request_with(2, url, "", "", true); /* a name that leads inside */
    await_log(text);
    peer_poll(&peer);
    assert_int_equal(peer.accepted, before);
}

static void public_addresses_are_told_apart(void **state)
{
    static const char *const closed[] = {
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.9",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    };
    static const char *const open[] = {
        "1.1.1.1",        "8.8.8.8",          "100.63.255.255",  "100.128.0.0",     "172.15.0.1",
        "172.32.0.1",     "192.0.1.1",        "198.17.255.255",  "198.20.0.0",      "223.255.255.1",
        "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2606:4700::1111", "2a00:1450::1",
    };
    struct address a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        assert_int_equal(address_parse(slice_str(closed[i]), false, &a), 0);
        if (net_guard_public(&a))
            fail_msg("%s passes", closed[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        assert_int_equal(address_parse(slice_str(open[i]), false, &a), 0);
        if (!net_guard_public(&a))
            fail_msg("%s does not pass", open[i]);
    }
    assert_false(net_guard_public(&(struct address){0}));
}

static void retry_after_is_read(void **state)
{
    (void)state;
    assert_int_equal(http_retry_after(SLICE("Retry-After: 2")), 2000);
    assert_int_equal(http_retry_after(SLICE("retry-after-ms:250 ")), 250);
    assert_int_equal(http_retry_after(SLICE("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT")), -1);
    assert_int_equal(http_retry_after(SLICE("Retry-After: 99999999")), -1);
    assert_int_equal(http_retry_after(SLICE("X-Retry-After: 2")), -1);
    assert_int_equal(http_retry_after(SLICE("")), -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest cases[] = {
    CASE(resolves_and_remembers),
    CASE(remembers_that_there_is_no_such_name),
    CASE(a_silent_resolver_holds_nobody),
    CASE(a_full_cache_forgets_the_oldest),
    CASE(the_breaker_opens_and_probes),
    CASE(a_refusal_of_the_request_is_no_failure),
    CASE(a_request_goes_out_whole),
    CASE(a_connection_is_used_again),
    CASE(a_request_waits_for_no_further_round),
    CASE(errors_come_with_their_body),
    CASE(redirects_are_not_followed),
    CASE(refused_and_silent_servers_fail),
    CASE(broken_answers_fail_once),
    CASE(a_cancelled_request_is_gone),
    CASE(a_paused_body_waits_at_the_server),
    CASE(malformed_requests_are_refused),
    CASE(answers_are_bounded),
    CASE(guarded_requests_stay_outside),
    cmocka_unit_test(public_addresses_are_told_apart),
    cmocka_unit_test(retry_after_is_read),
};

static bool ring_refused(void)
{
    struct io_setup setup = {.handles_max = 8, .receive_bytes = 65536};
    struct io *io;

    if (io_uring_new(&setup, &io))
        return true;
    io->ops->free(io);
    return false;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    assert_int_equal(http_curl_load(), 0);
    int failed = _cmocka_run_group_tests("epoll", cases, ARRAY_LEN(cases), NULL, NULL);
    if (!ring_refused()) {
        net_backend = io_uring_new;
        failed += _cmocka_run_group_tests("io_uring", cases, ARRAY_LEN(cases), NULL, NULL);
    }
    http_curl_unload();
    return failed;
}
