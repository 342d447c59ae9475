/* The API as a client sees it: the real control thread, HTTP server and store lane, with shards
 * whose switchboards are the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "actors/messages.h"
#include "actors/platform/control_host.h"
#include "actors/platform/store_program.h"
#include "actors/text.h"
#include "base/json.h"
#include "store/record.h"

#define SHARDS  2
#define HOSTS   (SHARDS + 2) /* control, one store worker */
#define LANE_AT (SHARDS + 1)

static struct world world;
static struct config config;
static struct token_key token_key;
static struct control_host *host;
static struct mesh *mesh;
static struct lane_worker *worker;
static pthread_t threads[SHARDS + 2];
static char data_dir[] = "/tmp/sidetone-api-XXXXXX";
static char agent_file[64];
static char got[1 << 20];

/* ---- switchboards of the test's own ---- */

struct board {
    struct actor actor;
    bool mute;
    uint32_t calls;
    uint32_t agent; /* the version offered last */
    struct actor_timer timer;
};

static void board_place(struct board *b, const struct msg *m)
{
    const struct call_place_msg *place = msg_body(m, call_place_msg);
    struct call_placed_msg placed = {.cookie = place->cookie, .local = place->peer};

    assert_string_equal(place->agent, "desk");
    placed.local.port = 10000 + place->codec;
    if (shard_index(b->actor.shard) == 0 || b->calls >= 2)
        placed.err = EBUSY; /* the first shard is always full */
    else
        call_id_make(&world, shard_index(b->actor.shard), ++b->calls, placed.call_id);
    actor_send_body(&b->actor, m->from, CALL_PLACED, IF_FULL_DROP, FRAME_NONE, &placed,
                    sizeof(placed));
}

static void board_tree(struct board *b, const struct msg *m)
{
    char text[128];
    int n =
        snprintf(text, sizeof(text), "{\"shard\":%u,\"calls\":%u,\"queue_depth\":0,\"agent\":%u}",
                 shard_index(b->actor.shard), b->calls, b->agent);
    struct tree_msg body = {.cookie = msg_body(m, tree_msg)->cookie};

    if (!b->mute)
        actor_send_body(&b->actor, m->from, TREE, IF_FULL_DROP,
                        frame_chain(shard_pool(b->actor.shard), slice_of(text, (size_t)n)), &body,
                        sizeof(body));
}

static void board_hang_up(struct board *b, const struct msg *m)
{
    const struct call_hang_up_msg *body = msg_body(m, call_hang_up_msg);
    struct call_placed_msg answer = {.cookie = body->cookie};

    if (strcmp(body->call_id + 17, "000001") != 0)
        answer.err = ENOENT;
    b->mute = strcmp(body->call_id + 17, "00face") == 0; /* a way for the test to silence it */
    actor_send_body(&b->actor, m->from, CALL_HUNG_UP, IF_FULL_DROP, FRAME_NONE, &answer,
                    sizeof(answer));
}

/* As a call's leg would answer: some protocols have no digits. */
static void board_press(struct board *b, const struct msg *m)
{
    const struct call_press_msg *body = msg_body(m, call_press_msg);
    struct call_placed_msg answer = {.cookie = body->cookie};

    if (strcmp(body->call_id + 17, "000001") != 0)
        answer.err = ENOENT;
    else if (strcmp(body->digits, "12#") != 0)
        answer.err = body->digits[0] == '9' ? EBUSY : ENOTSUP;
    actor_send_body(&b->actor, m->from, CALL_PRESSED, IF_FULL_DROP, FRAME_NONE, &answer,
                    sizeof(answer));
}

/* No call uses the version before it: it goes back at once. */
static void board_offer(struct board *b, const struct msg *m)
{
    struct agent_offer_msg released = {.agent = b->agent};

    b->agent = msg_body(m, agent_offer_msg)->agent;
    assert_non_null(world.agents[b->agent]);
    if (released.agent)
        actor_send_body(&b->actor, m->from, AGENT_RELEASED, IF_FULL_DROP, FRAME_NONE, &released,
                        sizeof(released));
}

static void board_handle(struct actor *a, const struct msg *m)
{
    struct board *b = container_of(a, struct board, actor);

    switch (m->type) {
    case CALL_PLACE:
        board_place(b, m);
        break;
    case TREE_ASK:
        board_tree(b, m);
        break;
    case CALL_HANG_UP:
        board_hang_up(b, m);
        break;
    case CALL_PRESS:
        board_press(b, m);
        break;
    case AGENT_OFFER:
        board_offer(b, m);
        break;
    case DRAIN: /* a while in which the API still answers */
        if (!b->timer.owner)
            actor_timer_set(a, &b->timer, 0, shard_now(a->shard) + MS(300));
        break;
    case MSG_TIMER:
        actor_stop_self(a, REASON_NONE);
        break;
    case MSG_STOP:
        actor_timer_cancel(a, &b->timer);
        actor_end(a);
        break;
    default:
        break;
    }
}

static const struct actor_type board_type = {
    .name = "board", .size_bytes = sizeof(struct board), .handle = board_handle};

static void *shard_thread(void *context)
{
    const struct shard_type types[] = {{&board_type, 1}};
    struct shard_setup setup = {.index = (uint32_t)(uintptr_t)context,
                                .clock = clock_machine,
                                .frames_max = 256,
                                .types = types,
                                .type_count = 1,
                                .mesh = mesh,
                                .io_new = io_epoll_new,
                                .handles_max = 4,
                                .receive_bytes = 65536,
                                .world = &world};
    struct shard *shard;

    assert_int_equal(shard_new(&setup, &shard), 0);
    actor_spawn(shard, &board_type, NULL, 0, NULL, 0, FRAME_NONE);
    shard_finish(shard);
    shard_run(shard);
    shard_free(&shard);
    control_host_shard_ended(mesh, (uint32_t)(uintptr_t)context, SHARDS);
    return NULL;
}

static void *control_thread(void *context)
{
    (void)context;
    control_host_run(host);
    return NULL;
}

static void *worker_thread(void *context)
{
    (void)context;
    lane_worker_run(worker);
    return NULL;
}

/* ---- the whole, made and ended once ---- */

static void write_agent(const char *greeting)
{
    FILE *file = fopen(agent_file, "w");

    assert_non_null(file);
    fprintf(file,
            "name: The desk\nlanguage: en\ngreeting: %s\nprompt: Be kind.\n"
            "stt: {provider: scripted}\nllm: {provider: scripted}\ntts: {provider: scripted}\n",
            greeting);
    fclose(file);
}

static struct agent_set *make_agents(void)
{
    struct agent_set *set = NULL;
    const char *paths[] = {agent_file};
    char why[CONFIG_WHY_BYTES] = "";

    snprintf(agent_file, sizeof(agent_file), "%s/desk.yaml", data_dir);
    write_agent("Hello.");
    if (agent_set_new(paths, 1, yaml_env_process, &set, why, sizeof(why)))
        fail_msg("%s", why);
    return set;
}

static void make_mesh(struct lane_map *lanes)
{
    *lanes =
        (struct lane_map){.first_host = {[LANE_STORE] = LANE_AT}, .workers = {[LANE_STORE] = 1}};
    mesh = mesh_new(HOSTS);
    for (uint32_t i = 0; i < SHARDS; i++)
        mesh_pair(mesh, i, SHARDS, 65536, false);
    mesh_pair(mesh, SHARDS, LANE_AT, 65536, false);
    worker = lane_worker_new(mesh, LANE_AT, LANE_STORE, world.programs);
}

static void make_pages(void)
{
    static const char *const files[][2] = {{"talk.html", "<h1>talk</h1>"},
                                           {"talk.js", "let it = 1;"},
                                           {"notes.txt", "not for others"}};
    char path[128];

    snprintf(path, sizeof(path), "%s/console", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/console/%s", data_dir, files[i][0]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(files[i][1], file);
        fclose(file);
    }
}

static struct agent_set *agents;
static struct lane_map lanes;

static int start_all(void **state)
{
    char why[CONFIG_WHY_BYTES] = "";

    (void)state;
    assert_non_null(mkdtemp(data_dir));
    agents = make_agents();
    config = (struct config){.public_url = "https://voice.example.org",
                             .data_dir = data_dir,
                             .drain_seconds = 5,
                             .api_bind = {.host = "127.0.0.1", .loopback = true},
                             .api_certificate = "",
                             .api_key = ""};
    world.config = &config;
    world.data_dir = data_dir;
    world.share_dir = data_dir;
    world.control_host = SHARDS;
    world.shards = SHARDS;
    world.generation = 0x12345678;
    world.programs[PROGRAM_STORE] = &store_program;
    assert_int_equal(token_key_load(data_dir, &token_key, why, sizeof(why)), 0);
    world.token_key = &token_key;
    store_program_setup("sqlite:", data_dir, &token_key, &clock_machine);
    make_mesh(&lanes);
    make_pages();
    const struct control_host_setup setup = {
        .world = &world, .agents = agents, .mesh = mesh, .lanes = &lanes};
    if (control_host_new(&setup, &host, why, sizeof(why)))
        fail_msg("%s", why);
    for (uintptr_t i = 0; i < SHARDS; i++)
        pthread_create(&threads[i], NULL, shard_thread, (void *)i);
    pthread_create(&threads[SHARDS], NULL, worker_thread, NULL);
    pthread_create(&threads[SHARDS + 1], NULL, control_thread, NULL);
    return 0;
}

static void close_memory(uint16_t program, void *memory)
{
    if (program == PROGRAM_STORE)
        store_program_memory_close(memory);
}

static int end_all(void **state)
{
    char command[128];
    int versions_left = 0;

    (void)state;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(threads[SHARDS + 1], NULL);
    control_host_free(&host);
    lane_worker_finish(worker);
    pthread_join(threads[SHARDS], NULL);
    lane_worker_free(&worker, close_memory);
    mesh_free(&mesh);
    for (size_t i = 0; i < AGENT_VERSIONS_MAX; i++) {
        struct bundle *bundle = (struct bundle *)(uintptr_t)world.agents[i];
        versions_left += bundle != NULL;
        bundle_free(&bundle);
    }
    agent_set_free(&agents);
    if (versions_left != 2) /* the one in use, and the one before it, which lingers for 30 s */
        fail_msg("%d versions of agents are left", versions_left);
    snprintf(command, sizeof(command), "rm -rf %s", data_dir);
    return system(command);
}

/* ---- the client ---- */

/* Further header lines of the next request. */
static const char *more_headers = "Host: localhost\r\n";

static const char *request(const char *method, const char *path, const char *body)
{
    struct address local = control_host_local(host);
    struct sockaddr_storage to;
    socklen_t to_len = address_to_sockaddr(&local, &to);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval patience = {.tv_sec = 30};
    char head[4096];
    size_t len = 0;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, to_len), 0);
    int head_len = snprintf(head, sizeof(head),
                            "%s %s HTTP/1.1\r\n%sConnection: close\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            method, path, more_headers, body ? strlen(body) : 0, body ? body : "");
    assert_int_equal(send(fd, head, (size_t)head_len, MSG_NOSIGNAL), head_len);
    while ((n = recv(fd, got + len, sizeof(got) - 1 - len, 0)) > 0)
        len += (size_t)n;
    got[len] = '\0';
    close(fd);
    const char *text = strstr(got, "\r\n\r\n");
    return text ? text + 4 : "";
}

static int status(void)
{
    return strncmp(got, "HTTP/1.1 ", 9) == 0 ? atoi(got + 9) : 0;
}

#define EXPECT(code, method, path, body, part)                                                     \
    do {                                                                                           \
        const char *answer_ = request((method), (path), (body));                                   \
        if (status() != (code) || !strstr(answer_, (part)))                                        \
            fail_msg("%s %s: not %d with %s but: %s", (method), (path), (code), (part), got);      \
    } while (0)

/* ---- what is asked ---- */

static void tells_its_health(void **state)
{
    (void)state;
    EXPECT(200, "GET", "/health", NULL, "{\"status\":\"ok\",\"timestamp\":\"2");
    EXPECT(200, "GET", "/health/ready", NULL, "\"status\":\"ok\"");
    EXPECT(200, "GET", "/health/deep", NULL, "\"status\":\"ok\"");
    EXPECT(200, "GET", "/health/deep", NULL, "\"store\":{\"answered\":true");
    EXPECT(200, "GET", "/health/deep", NULL,
           "{\"agent\":\"desk\",\"version\":1,\"stt\":\"scripted\"");
    EXPECT(200, "GET", "/metrics", NULL, "# TYPE ");
    assert_non_null(strstr(got, "text/plain; version=0.0.4"));
    EXPECT(200, "GET", "/actors", NULL, "\"silent\":[],\"control\":{\"actors_count\":2");
    struct json_doc doc = {0};
    const char *text = request("GET", "/actors", NULL);
    assert_int_equal(json_read(&doc, slice_str(text), sizeof(got), NULL), 0);
    assert_int_equal(json_count_of(&doc, "shards"), SHARDS);
    json_free(&doc);
}

static void tells_who_does_not_answer(void **state)
{
    (void)state;
    EXPECT(404, "DELETE", "/calls/12345678-0000-01-00face", NULL, "no_such_call");
    EXPECT(503, "GET", "/health/deep", NULL, "{\"shard\":1,\"answered\":false}");
    assert_non_null(strstr(got, "\"status\":\"degraded\""));
    assert_non_null(strstr(got, "{\"shard\":0,\"answered\":true"));
    EXPECT(404, "DELETE", "/calls/12345678-0000-01-000007", NULL,
           "no_such_call"); /* speaks again */
    EXPECT(200, "GET", "/actors", NULL, "\"silent\":[]");
}

static void mints_tokens_that_are_used_once(void **state)
{
    struct token token;
    struct json_doc doc = {0};
    char text[TOKEN_TEXT_BYTES], url[512], wanted[512];
    int64_t seconds;

    (void)state;
    EXPECT(200, "POST", "/media-tokens", "{\"agent\":\"desk\",\"more\":1}", "\"expires_in\":60");
    const char *json = strstr(got, "\r\n\r\n") + 4;
    assert_int_equal(json_read(&doc, slice_str(json), sizeof(got), NULL), 0);
    assert_int_equal(json_text_of(&doc, "token", text, sizeof(text)), 0);
    assert_int_equal(json_text_of(&doc, "url", url, sizeof(url)), 0);
    assert_int_equal(json_int_of(&doc, "expires_in", 60, 60, &seconds), 0);
    json_free(&doc);
    snprintf(wanted, sizeof(wanted), "wss://voice.example.org/media/desk/%s", text);
    assert_string_equal(url, wanted);
    assert_int_equal(token_verify(&token_key, slice_str(text), clock_machine.wall_ms(NULL), &token),
                     0);
    EXPECT(404, "POST", "/media-tokens", "{\"agent\":\"nobody\"}",
           "there is no agent \\\"nobody\\\"");
    EXPECT(400, "POST", "/media-tokens", "{}", "\"field\":\"agent\"");
    EXPECT(400, "POST", "/media-tokens", "{\"agent\":7}", "\"field\":\"agent\"");
    EXPECT(400, "POST", "/media-tokens", "[]", "it is not an object");
    EXPECT(400, "POST", "/media-tokens", "{\"agent\":", "bad_json");
    EXPECT(400, "POST", "/media-tokens", "", "bad_json");
    EXPECT(405, "GET", "/media-tokens", NULL, "method_not_allowed");
}

#define PRESS(want, call, digits, text)                                                            \
    EXPECT(want, "POST", "/calls/12345678-0000-01-" call "/digits", "{\"digits\":" digits "}", text)
#define CALL(rtp) "{\"agent\":\"desk\",\"rtp\":" rtp "}"

static void places_and_ends_calls(void **state)
{
    char command[160];

    (void)state;
    EXPECT(201, "POST", "/calls", CALL("{\"peer\":\"127.0.0.1:4000\",\"codec\":\"PCMA\"}"),
           "{\"call_id\":\"12345678-0000-01-000001\",\"rtp\":{\"local\":\"127.0.0.1:10008\"}}");
    EXPECT(201, "POST", "/calls", CALL("{\"peer\":\"[::1]:4000\",\"codec\":\"PCMU\"}"),
           "[::1]:10000");
    EXPECT(503, "POST", "/calls", CALL("{\"peer\":\"127.0.0.1:4000\",\"codec\":\"PCMU\"}"),
           "\"full\"");
    EXPECT(400, "POST", "/calls", "{\"agent\":\"desk\"}", "\"field\":\"rtp\"");
    EXPECT(400, "POST", "/calls", CALL("{\"codec\":\"PCMU\"}"), "\"field\":\"rtp.peer\"");
    EXPECT(400, "POST", "/calls", CALL("{\"peer\":\"host:4000\",\"codec\":\"PCMU\"}"), "rtp.peer");
    EXPECT(400, "POST", "/calls", CALL("{\"peer\":\"1.2.3.4:0\",\"codec\":\"PCMU\"}"), "rtp.peer");
    EXPECT(400, "POST", "/calls", CALL("{\"peer\":\"1.2.3.4:9\",\"codec\":\"opus\"}"),
           "rtp.codec must be PCMU or PCMA");
    EXPECT(404, "POST", "/calls", "{\"agent\":\"x\",\"rtp\":{}}", "no_such_agent");
    request("DELETE", "/calls/12345678-0000-01-000001", NULL);
    assert_int_equal(status(), 204);
    EXPECT(404, "DELETE", "/calls/12345678-0000-01-000009", NULL, "no_such_call");
    EXPECT(404, "DELETE", "/calls/12345677-0000-01-000001", NULL, "no_such_call");
    snprintf(command, sizeof(command), "mkdir %s/journal && touch %s/journal/12345677-99.journal",
             data_dir, data_dir);
    assert_int_equal(system(command), 0);
    EXPECT(409, "DELETE", "/calls/12345677-0063-01-000001", NULL,
           "process generation 12345677 has that call");
    EXPECT(404, "DELETE", "/calls/12345676-0063-01-000001", NULL, "no_such_call");
    EXPECT(404, "DELETE", "/calls/12345677-0063-1-000001", NULL, "no_such_call");
    EXPECT(404, "DELETE", "/calls/12345678-0000-07-000001", NULL, "no_such_call");
    EXPECT(404, "DELETE", "/calls/12345678-0000-1-000001", NULL, "no_such_call");
    EXPECT(404, "DELETE", "/calls/", NULL, "not_found");
    request("POST", "/calls/12345678-0000-01-000001/digits", "{\"digits\":\"12#\"}");
    assert_int_equal(status(), 204);
    PRESS(409, "000001", "\"*\"", "no_digits");
    PRESS(409, "000001", "\"9\"", "digits_waiting");
    PRESS(404, "000009", "\"12#\"", "no_such_call");
    PRESS(400, "000001", "12", "\"field\":\"digits\"");
    PRESS(400, "000001", "\"\"", "\"field\":\"digits\"");
    PRESS(400, "000001", "\"12e\"", "\"field\":\"digits\"");
    PRESS(400, "000001", "\"012345678901234567890123456789012\"", "\"field\":\"digits\"");
    EXPECT(400, "POST", "/calls/12345678-0000-01-000001/digits", "12", "bad_json");
}

/* A log as the lane would have stored it, from another process's point of view. */
static void store_log(const char *id, const char *created_at)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES], doc[512];

    snprintf(doc, sizeof(doc),
             "{\"call_id\":\"%s\",\"tenant\":\"default\",\"agent_id\":\"desk\","
             "\"direction\":\"inbound\",\"protocol\":\"rtp\",\"status\":\"completed\","
             "\"created_at\":\"%s\",\"updated_at\":\"%s\",\"start_time\":\"%s\"}",
             id, created_at, created_at, created_at);
    assert_int_equal(store_open("sqlite:", data_dir, &store, why, sizeof(why)), 0);
    assert_int_equal(store_put(store, STORE_TENANT, "call_logs", id, slice_str(doc)), 0);
    store_close(&store);
}

static void shows_call_logs(void **state)
{
    (void)state;
    EXPECT(200, "GET", "/call-logs", NULL, "[]");
    EXPECT(404, "GET", "/call-logs/12345678-0000-01-000001", NULL, "no_such_call_log");
    store_log("a-1", "2026-01-01T00:00:00.000Z");
    store_log("a-2", "2026-01-02T00:00:00.000Z");
    store_log("a-3", "2026-01-03T00:00:00.000Z");
    EXPECT(200, "GET", "/call-logs/a-2", NULL, "{\"call_id\":\"a-2\",");
    EXPECT(200, "GET", "/call-logs?limit=1", NULL, "[{\"call_id\":\"a-3\"");
    assert_null(strstr(got, "a-2"));
    EXPECT(200, "GET", "/call-logs?after=a-3&limit=5", NULL, "[{\"call_id\":\"a-2\"");
    EXPECT(404, "GET", "/call-logs?after=none", NULL, "\"field\":\"after\"");
    EXPECT(400, "GET", "/call-logs?limit=0", NULL, "\"field\":\"limit\"");
    EXPECT(400, "GET", "/call-logs?limit=101", NULL, "\"field\":\"limit\"");
    EXPECT(400, "GET", "/call-logs?limit=x", NULL, "\"field\":\"limit\"");
}

static void write_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", data_dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void store_recording(const char *id, const char *path)
{
    static const char at[] = "2026-01-01T00:00:00.000Z";
    struct store *store = NULL;
    char why[STORE_WHY_BYTES], doc[512];

    snprintf(doc, sizeof(doc),
             "{\"call_id\":\"%s\",\"tenant\":\"default\",\"agent_id\":\"desk\","
             "\"direction\":\"inbound\",\"protocol\":\"rtp\",\"status\":\"completed\","
             "\"created_at\":\"%s\",\"updated_at\":\"%s\",\"start_time\":\"%s\","
             "\"recording\":%s}",
             id, at, at, at, path);
    assert_int_equal(store_open("sqlite:", data_dir, &store, why, sizeof(why)), 0);
    assert_int_equal(store_put(store, STORE_TENANT, "call_logs", id, slice_str(doc)), 0);
    store_close(&store);
}

static void serves_recordings(void **state)
{
    char path[256];

    (void)state;
    snprintf(path, sizeof(path), "mkdir -p %s/recordings/direct", data_dir);
    assert_int_equal(system(path), 0);
    write_file("recordings/direct/r-1.wav", "0123456789");
    write_file("secret.wav", "secret");
    store_recording("r-1", "\"recordings/direct/r-1.wav\"");
    store_recording("r-2", "null");
    store_recording("r-3", "\"recordings/../secret.wav\"");
    store_recording("r-4", "\"recordings/direct/gone.wav\"");
    EXPECT(200, "GET", "/call-logs/r-1/recording", NULL, "0123456789");
    assert_non_null(strstr(got, "audio/wav"));
    assert_non_null(strstr(got, "accept-ranges: bytes"));
    more_headers = "Host: localhost\r\nRange: bytes=2-4\r\n";
    EXPECT(206, "GET", "/call-logs/r-1/recording", NULL, "234");
    assert_non_null(strstr(got, "content-range: bytes 2-4/10"));
    assert_null(strstr(got, "2345"));
    more_headers = "Host: localhost\r\nRange: bytes=10-\r\n";
    EXPECT(416, "GET", "/call-logs/r-1/recording", NULL, "");
    assert_non_null(strstr(got, "content-range: bytes */10"));
    more_headers = "Host: localhost\r\n";
    EXPECT(404, "GET", "/call-logs/r-2/recording", NULL, "no_recording");
    EXPECT(404, "GET", "/call-logs/r-3/recording", NULL, "no_recording");
    EXPECT(404, "GET", "/call-logs/r-4/recording", NULL, "no_recording");
    EXPECT(404, "GET", "/call-logs/r-5/recording", NULL, "no_such_call_log");
}

static void serves_pages(void **state)
{
    (void)state;
    EXPECT(200, "GET", "/talk/desk", NULL, "<h1>talk</h1>");
    assert_non_null(strstr(got, "text/html"));
    assert_non_null(strstr(got, "script-src 'self';"));
    assert_non_null(strstr(got, "connect-src 'self' wss://voice.example.org;"));
    EXPECT(404, "GET", "/talk/nobody", NULL, "<h1>talk</h1>");
    EXPECT(200, "GET", "/console/talk.js", NULL, "let it = 1;");
    assert_non_null(strstr(got, "text/javascript"));
    EXPECT(404, "GET", "/console/notes.txt", NULL, "not_found");
    EXPECT(404, "GET", "/console/..%2Fdesk.yaml", NULL, "not_found");
    EXPECT(405, "POST", "/console/talk.js", "", "method_not_allowed");
}

static void refuses_pages_of_others(void **state)
{
    (void)state;
    more_headers = "Host: 127.0.0.1:8000\r\nOrigin: http://elsewhere.example\r\n";
    EXPECT(403, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "foreign_origin");
    EXPECT(403, "POST", "/calls", "{\"agent\":\"desk\"}", "foreign_origin");
    EXPECT(403, "DELETE", "/calls/12345678-0000-01-000001", NULL, "foreign_origin");
    more_headers = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    EXPECT(403, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "foreign_origin");
    more_headers = "Host: evil.example:8000\r\n"; /* its name leads here: no Origin on a GET */
    EXPECT(403, "GET", "/health", NULL, "foreign_origin");
    EXPECT(403, "GET", "/call-logs/12345678-0000-01-000001", NULL, "foreign_origin");
    EXPECT(403, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "foreign_origin");
    more_headers = "Host: voice.example.org\r\n";
    EXPECT(200, "GET", "/health", NULL, "status");
    more_headers = "Host: 127.0.0.1:8000\r\nOrigin: http://127.0.0.1:8000\r\n";
    EXPECT(200, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "token");
    more_headers = "Host: voice.example.org\r\nOrigin: https://voice.example.org\r\n";
    EXPECT(200, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "token");
    more_headers = "Host: localhost\r\n";
}

/* Until both shards hold another version than `old`: which one. */
static int64_t wait_for_version(int64_t old)
{
    for (int i = 0; i < 3000; i++) { /* half a minute, on a machine that is busy */
        const char *text = request("GET", "/actors", NULL);
        struct json_doc doc = {0};
        int64_t a = 0, b = 0;
        assert_int_equal(json_read(&doc, slice_str(text), sizeof(got), NULL), 0);
        assert_int_equal(json_int_of(&doc, "shards.0.agent", 0, 4096, &a), 0);
        assert_int_equal(json_int_of(&doc, "shards.1.agent", 0, 4096, &b), 0);
        json_free(&doc);
        if (a == b && a != old)
            return a;
        usleep(10000);
    }
    fail_msg("no new version is offered");
    return 0;
}

static void offers_new_versions_of_agents(void **state)
{
    int64_t first, second;

    (void)state;
    write_agent("Hello, it is me.");
    kill(getpid(), SIGHUP);
    first = wait_for_version(0);
    write_agent("Good evening.");
    kill(getpid(), SIGHUP);
    second = wait_for_version(first);
    assert_true(second != first);
    write_agent("[not: a, text"); /* the version before it stays */
    kill(getpid(), SIGHUP);
    EXPECT(200, "GET", "/health", NULL, "ok");
    EXPECT(200, "POST", "/media-tokens", "{\"agent\":\"desk\"}", "token");
    assert_int_equal(wait_for_version(first), second);
}

static void drains_and_ends(void **state)
{
    (void)state;
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 5000 && (request("GET", "/health/ready", NULL), status() != 503); i++)
        usleep(2000);
    EXPECT(503, "GET", "/health/ready", NULL, "\"status\":\"draining\"");
    EXPECT(200, "GET", "/health", NULL, "\"ok\"");
    EXPECT(503, "POST", "/calls", CALL("{\"peer\":\"127.0.0.1:4000\",\"codec\":\"PCMU\"}"),
           "\"draining\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_its_health),
        cmocka_unit_test(tells_who_does_not_answer),
        cmocka_unit_test(mints_tokens_that_are_used_once),
        cmocka_unit_test(places_and_ends_calls),
        cmocka_unit_test(shows_call_logs),
        cmocka_unit_test(serves_recordings),
        cmocka_unit_test(serves_pages),
        cmocka_unit_test(refuses_pages_of_others),
        cmocka_unit_test(offers_new_versions_of_agents),
        cmocka_unit_test(drains_and_ends),
    };
    return cmocka_run_group_tests(tests, start_all, end_all);
}
