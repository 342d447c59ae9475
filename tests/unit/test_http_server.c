/* The HTTP server against a client of bare sockets: what it serves, what it refuses, and that it
 * outlives clients that are rude, slow or gone. Loop and client share one thread. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <uv.h>

#include "net/http_server.h"

enum { PLAIN, ITEM, ITEM_GONE, UPLOAD, LATER, FILE_PART, HEADERS };

static const struct http_route routes[] = {
    {"GET", "/plain", PLAIN},     {"GET", "/items/{}", ITEM}, {"DELETE", "/items/{}", ITEM_GONE},
    {"POST", "/upload", UPLOAD},  {"GET", "/later", LATER},   {"GET", "/file", FILE_PART},
    {"GET", "/headers", HEADERS},
};

static uv_loop_t loop;
static struct http_server *server;
static uint64_t waiting[8]; /* requests of /later */
static size_t waiting_count;
static char got[200000];

static void answer(uint64_t id, uint16_t status, const char *text, const char *headers)
{
    assert_true(http_server_reply(server, id,
                                  &(struct http_answer){.status = status,
                                                        .content_type = "text/plain",
                                                        .body = slice_str(text),
                                                        .headers = headers}));
}

#define FILE_BYTES 150000

/* 150,000 bytes, of which those asked for: all but the first and the last. */
static void answer_file(const struct http_ask *ask)
{
    static char bytes[FILE_BYTES];
    char path[] = "/tmp/sidetone-file-XXXXXX";
    struct http_file file = {.fd = mkstemp(path), .from = 1, .bytes = FILE_BYTES - 2};

    assert_true(file.fd >= 0);
    unlink(path);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 26);
    assert_int_equal(write(file.fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_true(http_server_reply(
        server, ask->id,
        &(struct http_answer){.status = 206, .content_type = "audio/wav", .file = &file}));
}

static void on_request(void *context, const struct http_ask *ask)
{
    char text[256];
    struct slice name;

    assert_ptr_equal(context, &loop);
    assert_ptr_equal(http_server_find(server, ask->id), ask);
    switch (ask->route->tag) {
    case PLAIN:
        answer(ask->id, 200, "plain text", "x-more: yes\r\n");
        break;
    case ITEM:
        http_ask_arg(ask, "name", &name);
        snprintf(text, sizeof(text), "<%.*s|%.*s>", SLICE_ARG(ask->param), SLICE_ARG(name));
        answer(ask->id, 200, text, NULL);
        break;
    case ITEM_GONE:
        assert_true(http_server_reply(server, ask->id, &(struct http_answer){.status = 204}));
        break;
    case UPLOAD:
        snprintf(text, sizeof(text), "%zu %c", ask->body.len,
                 ask->body.len ? ask->body.at[ask->body.len - 1] : '-');
        answer(ask->id, 201, text, NULL);
        break;
    case FILE_PART:
        answer_file(ask);
        break;
    case HEADERS:
        snprintf(text, sizeof(text), "<%.*s|%.*s|%.*s>", SLICE_ARG(ask->host),
                 SLICE_ARG(ask->origin), SLICE_ARG(ask->range));
        answer(ask->id, 200, text, NULL);
        break;
    default:
        waiting[waiting_count++] = ask->id;
    }
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    usleep(500);
}

static int start(void **state)
{
    struct http_server_setup setup = {.loop = &loop,
                                      .routes = routes,
                                      .route_count = ARRAY_LEN(routes),
                                      .on_request = on_request,
                                      .context = &loop,
                                      .header_s = 1,
                                      .idle_s = 1,
                                      .answer_s = 1};
    char why[256];

    (void)state;
    waiting_count = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), true, &setup.local), 0);
    assert_int_equal(http_server_new(&setup, &server, why, sizeof(why)), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_server_free(&server);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing was left on it */
    return 0;
}

static int dial(void)
{
    struct address local = http_server_local(server);
    struct sockaddr_storage to;
    socklen_t to_len = address_to_sockaddr(&local, &to);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, to_len), 0);
    return fd;
}

/* How many of the loop's sockets want its attention. */
static int poll_ready(void)
{
    struct pollfd fd = {.fd = uv_backend_fd(&loop), .events = POLLIN};

    return poll(&fd, 1, 0);
}

static void say(int fd, const char *at, size_t len)
{
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return; /* it has closed: what it said counts */
        }
        turn();
    }
}

/* Turns the loop until `want` answers (bodies included) have come, or the end: then true. */
static bool hear(int fd, const char *until)
{
    size_t len = 0;

    memset(got, 0, sizeof(got));
    for (int i = 0; i < 3000; i++) {
        ssize_t n = recv(fd, got + len, sizeof(got) - 1 - len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        len += n > 0 ? (size_t)n : 0;
        if (until && strstr(got, until))
            return false;
        turn();
    }
    fail_msg("no %s in: %s", until ? until : "end", got);
    return false;
}

static void ask(const char *text, const char *until)
{
    int fd = dial();

    say(fd, text, strlen(text));
    hear(fd, until);
    close(fd);
}

#define HAS(text) assert_non_null(strstr(got, text))

static void serves_routes(void **state)
{
    (void)state;
    ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n", "plain text");
    HAS("HTTP/1.1 200 OK\r\n");
    HAS("content-type: text/plain\r\n");
    HAS("content-length: 10\r\n");
    HAS("x-more: yes\r\n");
    ask("GET /items/a%2Db?other=1&name=c%20d HTTP/1.1\r\nHost: x\r\n\r\n", "<a-b|c d>");
    ask("DELETE /items/7 HTTP/1.1\r\nHost: x\r\n\r\n", "204 No Content");
    assert_null(strstr(got, "content-length"));
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "3 c");
    HAS("HTTP/1.1 201 Created\r\n");
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "0 -");
    ask("GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    HAS("plain text");
    ask("GET /plain HTTP/1.0\r\n\r\n", NULL);
    HAS("plain text");
    ask("HEAD /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    HAS("content-length: 10\r\n");
    assert_null(strstr(got, "plain text"));
}

static void refuses_what_it_has_not(void **state)
{
    (void)state;
    ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "}}");
    HAS("HTTP/1.1 404 Not Found\r\n");
    HAS("content-type: application/json\r\n");
    HAS("{\"success\":false,\"error\":{\"code\":\"not_found\",\"message\":\"there is nothing at "
        "/nothing\"}}");
    ask("POST /items/7 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "}}");
    HAS("HTTP/1.1 405 Method Not Allowed\r\n");
    HAS("allow: GET, DELETE\r\n");
    ask("OPTIONS /plain HTTP/1.1\r\nHost: x\r\n\r\n", "}}");
    HAS("405");
    ask("PUT /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", "}}");
    HAS("405");
    ask("GET /items/ HTTP/1.1\r\nHost: x\r\n\r\n", "}}");
    HAS("404");
    ask("GET /items/a/b HTTP/1.1\r\nHost: x\r\n\r\n", "}}");
    HAS("404");
    ask("GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", "}}");
    HAS("there is nothing at this path");
    ask("GET /plain HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        NULL);
    HAS(" 404 ");
}

static void bounds_bodies_and_heads(void **state)
{
    static char big[HTTP_BODY_BYTES_MAX + 256];
    int head =
        snprintf(big, sizeof(big), "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                 HTTP_BODY_BYTES_MAX);
    int fd = dial();

    (void)state;
    memset(big + head, 'z', sizeof(big) - (size_t)head);
    say(fd, big, (size_t)head + HTTP_BODY_BYTES_MAX);
    hear(fd, "65536 z");
    close(fd);
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", NULL);
    HAS("HTTP/1.1 413 Content Too Large\r\n");
    HAS("too_large");
    ask("POST /upload HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
    HAS("411 Length Required");
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL);
    HAS("411 Length Required");
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", NULL);
    HAS("400 Bad Request");
    ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", NULL);
    HAS("400 Bad Request");

    head = snprintf(big, sizeof(big), "GET /plain HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(big + head, 'h', 2 * HTTP_HEAD_BYTES_MAX);
    fd = dial();
    say(fd, big, (size_t)head + 2 * HTTP_HEAD_BYTES_MAX);
    assert_true(hear(fd, NULL));
    assert_null(strstr(got, "200 OK"));
    close(fd);
    head = snprintf(big, sizeof(big), "GET /plain?q=%01500d HTTP/1.1\r\nHost: x\r\n\r\n", 7);
    ask(big, "}}");
    HAS("the query is too long");
    head = snprintf(big, sizeof(big), "GET /%0800d HTTP/1.1\r\nHost: x\r\n\r\n", 7);
    ask(big, "}}");
    HAS("404 Not Found");
}

static void survives_what_is_no_http(void **state)
{
    static const char *const bad[] = {
        "BREW /plain HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET plain HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /plain FTP/7\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET http://x/plain HTTP/1.1\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = dial();
        say(fd, bad[i], strlen(bad[i]));
        shutdown(fd, SHUT_WR);
        hear(fd, NULL);
        close(fd);
    }
    ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n", "plain text");
}

static void closes_slow_clients(void **state)
{
    int silent = dial(), half = dial(), body = dial();
    const char *text = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab";

    (void)state;
    say(half, "GET /pla", 8);
    say(body, text, strlen(text));
    assert_true(hear(silent, NULL));
    assert_true(hear(half, NULL));
    assert_true(hear(body, NULL));
    assert_string_equal(got, "");
    for (int i = 0; i < 200 && http_server_connections(server); i++)
        turn();
    assert_int_equal(http_server_connections(server), 0);
    close(silent);
    close(half);
    close(body);
}

static void answers_later_and_in_order(void **state)
{
    int fd = dial();
    const char *three = "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: "
                        "x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n";
    uint64_t first;

    (void)state;
    say(fd, three, strlen(three));
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(waiting_count, 1); /* the next one waits for this one's answer */
    first = waiting[0];
    answer(first, 200, "first", NULL);
    assert_false(http_server_fail(server, first, 500, "twice", "twice", NULL));
    hear(fd, "first");
    for (int i = 0; i < 1000 && waiting_count < 2; i++)
        turn();
    assert_int_equal(waiting_count, 2);
    assert_null(http_server_find(server, first));
    assert_true(http_server_fail(server, waiting[1], 400, "bad", "it is bad", "rtp.peer"));
    hear(fd, "plain text");
    HAS("{\"success\":false,\"error\":{\"code\":\"bad\",\"message\":\"it is bad\",\"field\":"
        "\"rtp.peer\"}}");
    close(fd);
}

static void forgets_clients_that_go(void **state)
{
    int fd = dial(), kept = dial();
    const char *text = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

    (void)state;
    say(fd, text, strlen(text));
    for (int i = 0; i < 100 && waiting_count < 1; i++)
        turn();
    say(kept, text, strlen(text));
    for (int i = 0; i < 100 && waiting_count < 2; i++)
        turn();
    assert_int_equal(waiting_count, 2);
    assert_non_null(http_server_find(server, waiting[0]));
    close(fd);
    /* Nobody reads from a client that waits, so its end shows when it is written to; until then it
     * must not keep the loop turning. */
    for (int i = 0; i < 10; i++)
        turn();
    assert_true(uv_backend_timeout(&loop) > 0);
    assert_int_equal(poll_ready(), 0);
    http_server_fail(server, waiting[0], 500, "late", "too late", NULL);
    for (int i = 0; i < 1000 && http_server_connections(server) > 1; i++)
        turn();
    assert_int_equal(http_server_connections(server), 1);
    assert_false(http_server_fail(server, waiting[0], 500, "late", "too late", NULL));
    assert_null(http_server_find(server, 0));
    assert_null(http_server_find(server, UINT64_MAX));
    assert_true(hear(kept, NULL)); /* nobody answers it within answer_s */
    assert_string_equal(got, "");
    close(kept);
}

static void writes_long_answers(void **state)
{
    static char text[150001];
    int fd = dial();
    const char *request = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 2] = 'Z';
    say(fd, request, strlen(request));
    for (int i = 0; i < 100 && !waiting_count; i++)
        turn();
    answer(waiting[0], 200, text, NULL);
    hear(fd, "aaaZ");
    assert_int_equal(strlen(strstr(got, "\r\n\r\n") + 4), sizeof(text) - 1);
    say(fd, request, strlen(request)); /* and the connection goes on */
    for (int i = 0; i < 100 && waiting_count < 2; i++)
        turn();
    answer(waiting[1], 200, "short", NULL);
    hear(fd, "short");
    close(fd);
}

static void bounds_connections(void **state)
{
    int fds[HTTP_CONNECTIONS_MAX], one_more;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < 100 && http_server_connections(server) < HTTP_CONNECTIONS_MAX; i++)
        turn();
    assert_int_equal(http_server_connections(server), HTTP_CONNECTIONS_MAX);
    one_more = dial();
    assert_true(hear(one_more, NULL));
    close(one_more);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    for (int i = 0; i < 1000 && http_server_connections(server); i++)
        turn();
    ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n", "plain text");
}

static void goes_quiet(void **state)
{
    int fd = dial();
    const char *request = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n";

    (void)state;
    for (int i = 0; i < 100 && !http_server_connections(server); i++)
        turn();
    http_server_quiet(server);
    say(fd, request, strlen(request));
    assert_true(hear(fd, NULL)); /* served, then closed */
    HAS("plain text");
    HAS("connection: close");
    close(fd);
}

static void names_the_port_in_use(void **state)
{
    struct address local;
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* without SO_REUSEPORT: a stranger's */
    struct http_server *second = NULL;
    char why[256], wanted[128], text[ADDRESS_TEXT_BYTES];

    (void)state;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), true, &local), 0);
    socklen_t bind_len = address_to_sockaddr(&local, &at);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, bind_len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    address_from_sockaddr(&at, &local);
    struct http_server_setup setup = {.loop = &loop, .local = local, .on_request = on_request};
    assert_int_equal(http_server_new(&setup, &second, why, sizeof(why)), -EADDRINUSE);
    assert_null(second);
    snprintf(wanted, sizeof(wanted), "cannot listen on %s: another program uses the port",
             address_text(&local, text));
    assert_non_null(strstr(why, wanted));
    close(fd);
    /* Another generation of the server shares its port. */
    setup.local = http_server_local(server);
    setup.header_s = setup.idle_s = setup.answer_s = 1;
    assert_int_equal(http_server_new(&setup, &second, why, sizeof(why)), 0);
    http_server_free(&second);
    ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n", "plain text");
}

static void matches_paths(void **state)
{
    struct slice param;

    (void)state;
    assert_true(http_path_match("/calls/{}/end", SLICE("/calls/x-1/end"), &param));
    assert_true(slice_equal(param, SLICE("x-1")));
    assert_true(http_path_match("/calls", SLICE("/calls"), &param));
    assert_int_equal(param.len, 0);
    assert_false(http_path_match("/calls", SLICE("/calls/"), &param));
    assert_false(http_path_match("/calls/{}", SLICE("/calls/"), &param));
    assert_false(http_path_match("/calls/{}", SLICE("/calls"), &param));
    assert_false(http_path_match("/calls/{}", SLICE("/calls/a/"), &param));
    assert_false(http_path_match("/calls", SLICE(""), &param));
    assert_true(http_path_match("/", SLICE("/"), &param));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

static void sends_part_of_a_file(void **state)
{
    (void)state;
    ask("GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    HAS("HTTP/1.1 206 Partial Content\r\n");
    HAS("content-length: 149998\r\n");
    const char *body = strstr(got, "\r\n\r\n") + 4;
    assert_int_equal(strlen(body), FILE_BYTES - 2);
    for (size_t i = 0; i < FILE_BYTES - 2; i++)
        assert_int_equal(body[i], 'a' + (i + 1) % 26);
}

static void closes_files_of_those_who_go(void **state)
{
    static const char text[] = "GET /file HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = dial(), before = dup(fd);

    (void)state;
    close(before);
    say(fd, text, strlen(text));
    close(fd);
    for (int i = 0; i < 200 && http_server_connections(server); i++)
        turn();
    assert_int_equal(http_server_connections(server), 0);
    for (int i = before; i < before + 8; i++) {
        char path[64], name[64] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
        assert_true(readlink(path, name, sizeof(name) - 1) < 0 || !strstr(name, "sidetone-file"));
    }
}

static void passes_headers_on(void **state)
{
    char text[512];

    (void)state;
    ask("GET /headers HTTP/1.1\r\nHost: a:1\r\nOrigin: http://a:1\r\nRange: bytes=0-\r\n\r\n",
        "<a:1|http://a:1|bytes=0->");
    ask("GET /headers HTTP/1.1\r\nHost: a\r\n\r\n", "<a||>");
    snprintf(text, sizeof(text),
             "GET /headers HTTP/1.1\r\nHost: a\r\nOrigin: http://%0310d\r\n\r\n", 1);
    ask(text, "}}");
    HAS("HTTP/1.1 400 ");
}

static void knows_its_own_pages(void **state)
{
    static const struct {
        const char *host, *origin;
        bool own;
    } cases[] = {
        {"127.0.0.1:8000", "", true},
        {"127.0.0.1:8000", "http://127.0.0.1:8000", true},
        {"[::1]:8000", "http://[::1]:8000", true},
        {"localhost:8000", "http://localhost:8000", true},
        {"voice.example.org", "https://voice.example.org", true},
        {"127.0.0.1:8000", "http://127.0.0.1:8001", false},
        {"127.0.0.1:8000", "http://elsewhere.example", false},
        {"127.0.0.1:8000", "null", false},
        {"127.0.0.1:8000", "http://", false},
        {"", "http://", false},
        {"evil.example:8000", "http://evil.example:8000", false}, /* its name leads here */
        {"localhost.evil.example", "http://localhost.evil.example", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_ask ask = {.host = slice_str(cases[i].host),
                               .origin = slice_str(cases[i].origin)};
        assert_int_equal(http_ask_own(&ask, SLICE("voice.example.org")), cases[i].own);
    }
}

static void knows_its_own_names(void **state)
{
    static const struct {
        const char *host;
        bool own;
    } cases[] = {
        {"", true},
        {"127.0.0.1", true},
        {"127.0.0.1:8000", true},
        {"[::1]:8000", true},
        {"localhost:8000", true},
        {"LOCALHOST", true},
        {"voice.example.org:8000", true},
        {"evil.example:8000", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.evil.example", false},
        {"[evil.example]", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_ask ask = {.host = slice_str(cases[i].host)};
        assert_int_equal(http_ask_by_own_name(&ask, SLICE("voice.example.org")), cases[i].own);
    }
}

static void reads_ranges(void **state)
{
    static const struct {
        const char *range;
        int err;
        uint64_t from, bytes;
    } cases[] = {
        {"bytes=0-", 0, 0, 1000},
        {"bytes=0-0", 0, 0, 1},
        {"bytes=10-19", 0, 10, 10},
        {"bytes=990-5000", 0, 990, 10},
        {"bytes=-1", 0, 999, 1},
        {"bytes=-5000", 0, 0, 1000},
        {"bytes=-0", -ERANGE, 0, 0},
        {"bytes=1000-", -ERANGE, 0, 0},
        {"bytes=1000-1001", -ERANGE, 0, 0},
        {"", -ENOENT, 0, 0},
        {"bytes=", -ENOENT, 0, 0},
        {"bytes=-", -ENOENT, 0, 0},
        {"bytes=5", -ENOENT, 0, 0},
        {"bytes=5-4", -ENOENT, 0, 0},
        {"bytes=0-1,4-5", -ENOENT, 0, 0},
        {"bytes=a-b", -ENOENT, 0, 0},
        {"bytes=99999999999999999999-", -ENOENT, 0, 0},
        {"lines=0-1", -ENOENT, 0, 0},
    };
    uint64_t from, bytes;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        from = bytes = 0;
        assert_int_equal(http_range(slice_str(cases[i].range), 1000, &from, &bytes), cases[i].err);
        assert_int_equal(from, cases[i].from);
        assert_int_equal(bytes, cases[i].bytes);
    }
    assert_int_equal(http_range(SLICE("bytes=0-"), 0, &from, &bytes), -ERANGE);
    assert_int_equal(http_range(SLICE("bytes=-1"), 0, &from, &bytes), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(serves_routes),
        TEST(refuses_what_it_has_not),
        TEST(bounds_bodies_and_heads),
        TEST(survives_what_is_no_http),
        TEST(closes_slow_clients),
        TEST(answers_later_and_in_order),
        TEST(forgets_clients_that_go),
        TEST(writes_long_answers),
        TEST(bounds_connections),
        TEST(goes_quiet),
        TEST(names_the_port_in_use),
        cmocka_unit_test(matches_paths),
        TEST(sends_part_of_a_file),
        TEST(closes_files_of_those_who_go),
        TEST(passes_headers_on),
        cmocka_unit_test(knows_its_own_pages),
        cmocka_unit_test(knows_its_own_names),
        cmocka_unit_test(reads_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
