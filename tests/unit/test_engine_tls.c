/* An engine's sockets and requests under TLS: whom it believes, and that sessions go on. */
#include "tests/unit/certificates.h"
#include "tests/unit/net_probe.h"

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

#define SECURE(name) cmocka_unit_test_setup_teardown(name, set_up_secure, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SECURE(secured_messages_go_both_ways),
        SECURE(another_ones_certificate_is_refused),
        SECURE(a_plain_server_is_no_secure_one),
        SECURE(a_secured_request_is_answered),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    assert_int_equal(http_curl_load(), 0);
    int failed = cmocka_run_group_tests(tests, make_certificates, free_certificates);
    http_curl_unload();
    return failed;
}
