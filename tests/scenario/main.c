/* sidetone-scenario: runs .call files against the real binary, one server per file, and prints for
 * each whether it passed or which line failed. Exit: 0 all passed, 1 some failed, 2 wrong use. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "tests/scenario/server.h"

#define CALL_MAX_NS  SECONDS(120)
#define EAR_SECONDS  120
#define LOG_WAIT_NS  SECONDS(30) /* for the call's log to be written */
#define LISTEN_NS    SECONDS(20)
#define PATIENCE_MAX 100u
#define TARGET_BYTES (URL_TARGET_BYTES + 2200)

static const char help[] =
    "usage: sidetone-scenario [options] FILE.call ...\n"
    "Runs each script against a server of its own and says which line failed.\n"
    "  --binary PATH   the server (default: sidetone beside this program)\n"
    "  --io NAME       the server's backend: auto (default), uring or epoll\n"
    "  --url URL       a media WebSocket that is there already, and no server is started;\n"
    "                  lines that begin with expect are not looked at then\n"
    "  --patience N    the agent may take N times as long as the scripts say (default 1)\n"
    "  --keep          keep the temporary folder\n"
    "  --check         only read the scripts\n"
    "  --help          this text\n"
    "exit: 0 all passed, 1 some failed, 2 wrong use\n";

struct runner {
    const char *binary, *io;
    bool keep, check, has_url;
    uint32_t patience;
    struct url url;
    struct script script;
    struct script_run run;
    struct server server;
    struct caller caller;
    enum script_result result;
    char target[TARGET_BYTES];
    char call_id[128];
    char why[SOCKET_WHY_BYTES];
    char text[SCRIPT_FILE_BYTES + 1];
    size_t len;
    int16_t ear[EAR_SECONDS * CALL_RATE_HZ];
    uint8_t message[WS_MESSAGE_BYTES_MAX];
    char body[SERVER_BODY_BYTES];
};

static struct runner runner;

static int fail(struct runner *r, const char *what)
{
    snprintf(r->why, sizeof(r->why), "%s", what);
    return -1;
}

static int read_script(struct runner *r, const char *path)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return fail(r, strerror(errno));
    r->len = fread(r->text, 1, sizeof(r->text), f);
    fclose(f);
    if (script_parse(&r->script, slice_of(r->text, r->len), r->why) < 0)
        return -1;
    script_be_patient(&r->script, r->patience);
    return 0;
}

static int post(struct runner *r, const char *path, struct slice json, struct json_doc *doc)
{
    char text[512];

    if (slice_cstr(json, text, sizeof(text)) < 0)
        return fail(r, "the request is too long");
    int status = socket_request(&r->server.api, "POST", path, text, SECONDS(5), r->body,
                                sizeof(r->body), r->why);
    if (status < 0)
        return -1;
    if (status < 200 || status > 299 ||
        json_read(doc, slice_str(r->body), sizeof(r->body), NULL) < 0) {
        snprintf(r->why, sizeof(r->why), "the server answers %d to POST %s", status, path);
        return -1;
    }
    return 0;
}

static int fetch_token(struct runner *r, char *token, size_t token_bytes)
{
    uint8_t store[256];
    struct builder b = builder_of(store, sizeof(store));
    struct json_doc doc = {NULL};

    builder_printf(&b, "{\"agent\":\"%s\"}", r->script.agent);
    if (post(r, "/media-tokens", builder_slice(&b), &doc) < 0)
        return -1;
    int err = json_text_of(&doc, "token", token, token_bytes);
    json_free(&doc);
    return err < 0 ? fail(r, "the server gave no token") : 0;
}

static int dial_twilio(struct runner *r)
{
    char token[2048];

    if (r->has_url) {
        snprintf(r->target, sizeof(r->target), "%s", r->url.target);
        return socket_connect(&r->url, SECONDS(5), r->why);
    }
    if (fetch_token(r, token, sizeof(token)) < 0)
        return -1;
    if (snprintf(r->target, sizeof(r->target), "%s%s/%s", r->server.media.target, r->script.agent,
                 token) >= (int)sizeof(r->target))
        return fail(r, "the server's media URL is too long");
    int fd;
    int64_t until_ns = socket_now_ns() + LISTEN_NS;
    while ((fd = socket_connect(&r->server.media, SECONDS(5), r->why)) == -ECONNREFUSED &&
           socket_now_ns() < until_ns)
        usleep(10000); /* the API may answer a moment before the media port listens */
    return fd;
}

static int dial_rtp(struct runner *r)
{
    uint8_t store[256];
    char peer[128];
    struct builder b = builder_of(store, sizeof(store));
    struct json_doc doc = {NULL};
    uint16_t port;
    int fd = socket_bind("127.0.0.1", &port, r->why);

    builder_printf(&b, "{\"agent\":\"%s\",\"rtp\":{\"peer\":\"127.0.0.1:%u\",\"codec\":\"PCMU\"}}",
                   r->script.agent, port);
    if (fd < 0 || post(r, "/calls", builder_slice(&b), &doc) < 0)
        return -1;
    int err = json_text_of(&doc, "call_id", r->call_id, sizeof(r->call_id));
    if (!err)
        err = json_text_of(&doc, "rtp.local", peer, sizeof(peer));
    json_free(&doc);
    if (err < 0)
        return fail(r, "the server's answer names no call_id or no rtp.local");
    return socket_peer(fd, peer, r->why) < 0 ? -1 : fd;
}

static void drive(void *context, struct caller *c, struct caller_output *out)
{
    struct runner *r = context;

    r->result = script_drive(&r->run, c, out);
    if (r->result == SCRIPT_FAILED || r->result == SCRIPT_CUT)
        caller_over(c, CALLER_END_OURS, "the script cuts the call");
}

static int run_call(struct runner *r)
{
    bool rtp = r->script.dialect == &caller_rtp;
    struct caller_config config = {
        .dialect = r->script.dialect,
        .host = r->has_url ? r->url.authority : r->server.media.authority,
        .target = r->target,
        .seed = socket_seed(),
        .noise = 8,
        .ear = r->ear,
        .ear_samples = ARRAY_LEN(r->ear),
        .message = r->message,
        .message_bytes = sizeof(r->message),
    };

    caller_init(&r->caller, &config);
    snprintf(r->call_id, sizeof(r->call_id), "%s", r->caller.call_id);
    int fd = rtp ? dial_rtp(r) : dial_twilio(r);
    if (fd < 0)
        return -1;
    script_start(&r->run, &r->script);
    r->result = SCRIPT_RUNNING;
    int err = socket_run(&r->caller, fd, rtp, socket_now_ns() + CALL_MAX_NS, drive, r);
    close(fd);
    if (err < 0)
        return fail(r, "the call takes more than two minutes");
    if (r->result == SCRIPT_RUNNING) { /* the end came after the last step of the caller */
        static struct caller_output out;
        caller_output_init(&out);
        r->result = script_drive(&r->run, &r->caller, &out);
    }
    if (r->result != SCRIPT_FAILED)
        return 0;
    snprintf(r->why, sizeof(r->why), "line %u: %s", r->run.line, r->run.why);
    return -1;
}

/* ---- what the log must say ---- */

/* Position in the log's list of the n-th turn in which something was heard; -1: none. */
static int turn_index(const struct json_doc *doc, uint32_t n)
{
    char path[64];
    size_t count = json_count_of(doc, "turns");

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "turns.%zu.heard", i);
        if (json_kind_of(doc, path) == JSON_KIND_TEXT && --n == 0)
            return (int)i;
    }
    return -1;
}

/* 0: it does; -1 and r->why. */
static int check_expect(struct runner *r, const struct json_doc *doc, const struct script_expect *e)
{
    char path[256], value[TURN_TEXT_BYTES_MAX];
    int turn = e->turn ? turn_index(doc, e->turn) : 0;

    if (e->turn)
        snprintf(path, sizeof(path), "turns.%d.%.*s", turn, SLICE_ARG(e->key));
    else
        snprintf(path, sizeof(path), "%.*s", SLICE_ARG(e->key));
    if (turn < 0 || json_text_of(doc, path, value, sizeof(value)) < 0)
        snprintf(r->why, sizeof(r->why), "line %u: the call's log has no such thing", e->line);
    else if (!slice_equal(slice_str(value), e->text))
        snprintf(r->why, sizeof(r->why), "line %u: it is \"%.1000s\"", e->line, value);
    else
        return 0;
    return -1;
}

/* The server's own id of the call, told by the name of its only transcript. The carrier's id serves
 * where the server finds logs by that. */
static void find_call_id(struct runner *r)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/data/transcripts/direct", r->server.folder);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len > 5 && len < sizeof(r->call_id) && strcmp(e->d_name + len - 5, ".json") == 0)
            snprintf(r->call_id, sizeof(r->call_id), "%.*s", (int)len - 5, e->d_name);
    }
    if (d)
        closedir(d);
}

static int check_log(struct runner *r)
{
    char path[192];
    struct json_doc doc = {NULL};
    int64_t until_ns = socket_now_ns() + LOG_WAIT_NS;
    int bad = -1;

    fail(r, "the server has no log of this call");
    while (bad && socket_now_ns() < until_ns) {
        find_call_id(r);
        snprintf(path, sizeof(path), "/call-logs/%s", r->call_id);
        int status = socket_request(&r->server.api, "GET", path, NULL, SECONDS(5), r->body,
                                    sizeof(r->body), r->why);
        if (status == 200 && json_read(&doc, slice_str(r->body), sizeof(r->body), NULL) == 0) {
            bad = 0;
            for (uint32_t i = 0; !bad && i < r->script.expect_count; i++)
                bad = check_expect(r, &doc, &r->script.expects[i]);
            json_free(&doc);
        }
        if (bad)
            usleep(50000);
    }
    return bad;
}

/* ---- one file ---- */

static int run_file(struct runner *r, const char *path)
{
    char why[SOCKET_WHY_BYTES] = "";

    if (read_script(r, path) < 0)
        return -1;
    if (r->check)
        return 0;
    if (r->has_url)
        return run_call(r);
    int err =
        server_start(&r->server, r->binary, r->io, &r->script, slice_of(r->text, r->len), r->why);
    if (!err)
        err = run_call(r);
    if (!err && r->script.expect_count)
        err = check_log(r);
    if (server_stop(&r->server, r->keep || err, why) < 0 && !err) {
        memcpy(r->why, why, sizeof(why));
        err = -1;
    }
    return err;
}

static int parse_options(struct runner *r, int argc, char **argv)
{
    static const struct option names[] = {
        {"binary", required_argument, NULL, 'b'}, {"io", required_argument, NULL, 'i'},
        {"url", required_argument, NULL, 'u'},    {"patience", required_argument, NULL, 'p'},
        {"keep", no_argument, NULL, 'k'},         {"check", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *what = "";
    int option;

    r->io = "auto";
    r->patience = 1;
    while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        if (option == 'b') {
            r->binary = optarg;
        } else if (option == 'i') {
            r->io = optarg;
        } else if (option == 'u') {
            r->has_url = true;
            if (url_parse(&r->url, slice_str(optarg), "ws", &what) < 0) {
                fprintf(stderr, "sidetone-scenario: --url %s: %s\n", optarg, what);
                return -1;
            }
        } else if (option == 'p') {
            uint64_t times;
            if (slice_u64(slice_str(optarg), PATIENCE_MAX, &times) < 0 || times == 0) {
                fprintf(stderr, "sidetone-scenario: --patience is a number from 1 to %u\n",
                        PATIENCE_MAX);
                return -1;
            }
            r->patience = (uint32_t)times;
        } else if (option == 'k') {
            r->keep = true;
        } else if (option == 'c') {
            r->check = true;
        } else {
            fputs(help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 1 : -1;
        }
    }
    if (optind < argc)
        return 0;
    fputs(help, stderr);
    return -1;
}

int main(int argc, char **argv)
{
    struct runner *r = &runner;
    char beside[4096];
    int failed = 0;
    ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - 16);
    int parsed = parse_options(r, argc, argv);

    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (n > 0 && !r->binary) {
        beside[n] = 0;
        memcpy(strrchr(beside, '/') + 1, "sidetone", sizeof("sidetone"));
        r->binary = beside;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = optind; i < argc; i++) {
        r->why[0] = 0;
        if (run_file(r, argv[i]) == 0) {
            printf("passed  %s\n", argv[i]);
            continue;
        }
        failed++;
        printf("FAILED  %s: %s\n", argv[i], r->why);
    }
    printf("%d passed, %d failed\n", argc - optind - failed, failed);
    return failed ? 1 : 0;
}
