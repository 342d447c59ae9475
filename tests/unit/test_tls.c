/* TLS between our own two ends, through memory: who is believed and who is not, sessions that go
 * on, and records that come in pieces, cut off, or made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/tls.h"
#include "tests/unit/certificates.h"

#define DAY_S 86400

static char folder[] = "/tmp/test-tls-XXXXXX";
static struct certificate authority, other_authority, good, expired, future, self_signed, foreign;
static struct tls_context *trusting;
static char why[300];

static int make_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    certificate_make(&authority, folder, "authority", NULL, NULL, -DAY_S, DAY_S);
    certificate_make(&other_authority, folder, "other", NULL, NULL, -DAY_S, DAY_S);
    certificate_make(&good, folder, "good", &authority, "DNS:api.test,DNS:*.wild.test,IP:127.0.0.1",
                     -DAY_S, DAY_S);
    certificate_make(&expired, folder, "expired", &authority, "DNS:api.test", -2 * DAY_S, -DAY_S);
    certificate_make(&future, folder, "future", &authority, "DNS:api.test", DAY_S, 2 * DAY_S);
    certificate_make(&self_signed, folder, "self", NULL, "DNS:api.test", -DAY_S, DAY_S);
    certificate_make(&foreign, folder, "foreign", &other_authority, "DNS:api.test", -DAY_S, DAY_S);
    assert_int_equal(
        tls_client_context_new(authority.certificate_path, &trusting, why, sizeof(why)), 0);
    return 0;
}

static int free_all(void **state)
{
    struct certificate *all[] = {&authority,   &other_authority, &good,  &expired,
                                 &self_signed, &foreign,         &future};

    (void)state;
    tls_context_free(&trusting);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        certificate_free(all[i]);
    tls_thread_free();
    rmdir(folder);
    return 0;
}

static struct tls_context *serving(const struct certificate *c)
{
    struct tls_context *context = NULL;

    assert_int_equal(
        tls_server_context_new(c->certificate_path, c->key_path, &context, why, sizeof(why)), 0);
    return context;
}

struct pair {
    struct tls_context *context;
    struct tls *client, *server;
    int client_rc, server_rc;
    size_t step; /* bytes carried at a time */
};

static void pair_open(struct pair *p, const struct certificate *c, const char *host)
{
    *p = (struct pair){
        .context = serving(c), .client_rc = -EAGAIN, .server_rc = -EAGAIN, .step = 4096};
    p->client = tls_new(trusting, host, 443);
    p->server = tls_new(p->context, NULL, 0);
    assert_non_null(p->client);
    assert_non_null(p->server);
}

static void pair_close(struct pair *p)
{
    tls_free(&p->client);
    tls_free(&p->server);
    tls_context_free(&p->context);
}

static size_t carry(struct pair *p, struct tls *from, struct tls *to)
{
    uint8_t bytes[4096];
    size_t n = tls_take(from, bytes, p->step);

    if (n)
        assert_int_equal(tls_feed(to, slice_of(bytes, n)), 0);
    return n;
}

static void shake(struct pair *p)
{
    size_t moved = 1;

    while (moved) {
        if (p->client_rc == -EAGAIN)
            p->client_rc = tls_handshake(p->client);
        moved = carry(p, p->client, p->server);
        if (p->server_rc == -EAGAIN)
            p->server_rc = tls_handshake(p->server);
        moved += carry(p, p->server, p->client);
    }
}

/* Sends text one way and compares what comes out. */
static void talk(struct pair *p, struct tls *from, struct tls *to, const char *text)
{
    char got[256] = "";
    size_t len = 0;
    int n;

    assert_int_equal(tls_write(from, slice_str(text)), 0);
    do {
        while ((n = tls_read(to, got + len, sizeof(got) - 1 - len)) > 0)
            len += (size_t)n;
        assert_int_equal(n, -EAGAIN);
    } while (carry(p, from, to));
    while ((n = tls_read(to, got + len, sizeof(got) - 1 - len)) > 0)
        len += (size_t)n;
    got[len] = '\0';
    assert_string_equal(got, text);
}

static void a_good_certificate_is_believed(void **state)
{
    static const char *const hosts[] = {"api.test", "API.test", "a.wild.test", "127.0.0.1"};
    struct pair p;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        pair_open(&p, &good, hosts[i]);
        shake(&p);
        assert_int_equal(p.client_rc, 0);
        assert_int_equal(p.server_rc, 0);
        talk(&p, p.client, p.server, "hello");
        talk(&p, p.server, p.client, "world");
        tls_close(p.client);
        carry(&p, p.client, p.server);
        char byte;
        assert_int_equal(tls_read(p.server, &byte, 1), 0);
        pair_close(&p);
    }
}

static void others_are_not(void **state)
{
    const struct {
        const struct certificate *certificate;
        const char *host, *says;
    } cases[] = {
        {&good, "api.test.evil.test", "ostname"}, {&good, "wild.test", "ostname"},
        {&good, "a.b.wild.test", "ostname"},      {&good, "127.0.0.2", "IP address"},
        {&expired, "api.test", "expired"},        {&future, "api.test", "not yet valid"},
        {&self_signed, "api.test", "self"},       {&foreign, "api.test", "issuer"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        pair_open(&p, cases[i].certificate, cases[i].host);
        shake(&p);
        assert_int_equal(p.client_rc, -EACCES);
        if (!strstr(tls_what(p.client), cases[i].says))
            fail_msg("%s: %s", cases[i].host, tls_what(p.client));
        assert_int_equal(p.server_rc, -EPROTO); /* it was told */
        pair_close(&p);
    }
}

static void byte_by_byte_is_the_same(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, &good, "api.test");
    p.step = 1;
    shake(&p);
    assert_int_equal(p.client_rc, 0);
    assert_int_equal(p.server_rc, 0);
    talk(&p, p.client, p.server, "piece by piece");
    talk(&p, p.server, p.client, "and back");
    pair_close(&p);
}

static void a_session_goes_on(void **state)
{
    struct pair p;

    (void)state;
    tls_thread_free();
    pair_open(&p, &good, "api.test");
    struct tls_context *kept = p.context;
    for (int i = 0; i < 3; i++) {
        shake(&p);
        assert_int_equal(p.client_rc, 0);
        assert_int_equal(tls_resumed(p.client), i > 0);
        talk(&p, p.server, p.client, "the ticket comes with this");
        tls_free(&p.client);
        tls_free(&p.server);
        p.client = tls_new(trusting, "api.test", 443);
        p.server = tls_new(kept, NULL, 0);
        p.client_rc = p.server_rc = -EAGAIN;
    }
    tls_free(&p.client);
    p.client = tls_new(trusting, "127.0.0.1", 443); /* another name is another session */
    shake(&p);
    assert_int_equal(p.client_rc, 0);
    assert_false(tls_resumed(p.client));
    pair_close(&p);
}

static void sessions_are_bounded(void **state)
{
    struct certificate many;
    char host[32];
    struct pair p;

    (void)state;
    tls_thread_free();
    certificate_make(&many, folder, "many", &authority, "DNS:*.many.test", -DAY_S, DAY_S);
    pair_open(&p, &many, "h0.many.test");
    for (int i = 0; i <= TLS_SESSIONS_MAX; i++) {
        tls_free(&p.client);
        tls_free(&p.server);
        snprintf(host, sizeof(host), "h%d.many.test", i);
        p.client = tls_new(trusting, host, 443);
        p.server = tls_new(p.context, NULL, 0);
        p.client_rc = p.server_rc = -EAGAIN;
        shake(&p);
        assert_int_equal(p.client_rc, 0);
        talk(&p, p.server, p.client, "x");
    }
    pair_close(&p);
    certificate_free(&many);
}

static void what_is_cut_off_is_no_end(void **state)
{
    uint8_t bytes[4096];
    struct pair p;
    char out[64];

    (void)state;
    pair_open(&p, &good, "api.test");
    shake(&p);
    assert_int_equal(tls_write(p.client, SLICE("a whole record")), 0);
    size_t n = tls_take(p.client, bytes, sizeof(bytes));
    for (size_t i = 0; i + 1 < n; i++) { /* nothing is given out before it is whole */
        assert_int_equal(tls_feed(p.server, slice_of(bytes + i, 1)), 0);
        assert_int_equal(tls_read(p.server, out, sizeof(out)), -EAGAIN);
    }
    bytes[n - 1] ^= 1; /* and nothing that was changed on the way */
    assert_int_equal(tls_feed(p.server, slice_of(bytes + n - 1, 1)), 0);
    assert_int_equal(tls_read(p.server, out, sizeof(out)), -EPROTO);
    assert_int_equal(tls_read(p.server, out, sizeof(out)), -EPROTO);
    assert_true(strlen(tls_what(p.server)) > 0);
    pair_close(&p);
}

static void plain_talk_is_refused(void **state)
{
    static const char *const lines[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\xff\xff",
                                        "\x80\x2e\x01\x00\x02", "\x15\x03\x03\x00\x02\x02\x28"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct pair p;
        uint8_t filler[70000] = {0};
        pair_open(&p, &good, "api.test");
        assert_int_equal(tls_feed(p.server, slice_str(lines[i])), 0);
        assert_int_equal(tls_feed(p.server, slice_of(filler, sizeof(filler))), 0);
        int rc = tls_handshake(p.server);
        assert_true(rc == -EPROTO);
        assert_true(strlen(tls_what(p.server)) > 0);
        pair_close(&p);
    }
}

static void files_that_do_not_fit_are_refused(void **state)
{
    struct tls_context *c = NULL;

    (void)state;
    assert_int_equal(tls_server_context_new("/nowhere.pem", good.key_path, &c, why, sizeof(why)),
                     -EINVAL);
    assert_non_null(strstr(why, "/nowhere.pem: "));
    assert_int_equal(
        tls_server_context_new(good.certificate_path, "/nowhere.key", &c, why, sizeof(why)),
        -EINVAL);
    assert_non_null(strstr(why, "/nowhere.key: "));
    assert_int_equal(
        tls_server_context_new(good.certificate_path, expired.key_path, &c, why, sizeof(why)),
        -EINVAL);
    assert_non_null(strstr(why, expired.key_path));
    assert_null(c);
    assert_int_equal(tls_client_context_new("/nowhere.pem", &c, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "/nowhere.pem: "));
    assert_int_equal(tls_client_context_new("", &c, why, sizeof(why)), 0);
    tls_context_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_believed),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(byte_by_byte_is_the_same),
        cmocka_unit_test(a_session_goes_on),
        cmocka_unit_test(sessions_are_bounded),
        cmocka_unit_test(what_is_cut_off_is_no_end),
        cmocka_unit_test(plain_talk_is_refused),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
