/* sidetone-call: places one call against any server that speaks Twilio's media protocol or offers
 * a bare RTP port, and measures its answers. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "tools/call/caller_socket.h"
#include "tools/call/options.h"
#include "tools/call/report.h"
#include "tools/call/sound.h"

#define EAR_SECONDS   300 /* of agent audio sent ahead; beyond: dropped and counted */
#define CONNECT_NS    SECONDS(5)
#define TARGET_BYTES  4096
#define API_BYTES_MAX 65536

struct program {
    struct options o;
    struct plan_step steps[PLAN_STEPS_MAX];
    struct plan plan;
    struct caller caller;
    struct caller_config config;
    struct report report;
    char target[TARGET_BYTES];
    char agent[256];
    char token[2048];
    char call_id[128];
    char why[SOCKET_WHY_BYTES];
    char recording[PATH_MAX];
    char peer[128];
    uint32_t printed; /* turns */
    int64_t record_pairs;
};

static struct program program;

static void print(const struct program *p, uint32_t turn, bool whole)
{
    static uint8_t store[REPORT_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    if (whole)
        report_call(&p->report, p->o.json, &b);
    else
        report_turn(&p->report, turn, p->o.json, &b);
    printf("%.*s\n", SLICE_ARG(builder_slice(&b)));
    fflush(stdout);
}

static void drive(void *context, struct caller *c, struct caller_output *out)
{
    struct program *p = context;

    plan_drive(&p->plan, c, out);
    for (; p->printed < p->plan.turns_over; p->printed++)
        print(p, p->printed, false);
}

static void *must_alloc(size_t count, size_t bytes)
{
    void *at = calloc(count, bytes);

    if (!at)
        abort();
    return at;
}

static void configure(struct program *p)
{
    const struct options *o = &p->o;

    p->record_pairs = (o->timeout_ns / NS_PER_S + 5) * CALL_RATE_HZ;
    p->config = (struct caller_config){
        .dialect = o->rtp ? &caller_rtp : &caller_twilio,
        .host = o->url.authority,
        .target = p->target,
        .seed = o->seeded ? o->seed : socket_seed(),
        .noise = o->noise,
        .pt = o->alaw ? RTP_PT_PCMA : RTP_PT_PCMU,
        .ear = must_alloc(EAR_SECONDS * CALL_RATE_HZ, sizeof(int16_t)),
        .ear_samples = EAR_SECONDS * CALL_RATE_HZ,
        .message = must_alloc(WS_MESSAGE_BYTES_MAX, 1),
        .message_bytes = WS_MESSAGE_BYTES_MAX,
        .record = o->record ? must_alloc((size_t)p->record_pairs * 2, sizeof(int16_t)) : NULL,
        .record_pairs = p->record_pairs,
    };
    caller_init(&p->caller, &p->config);
    plan_init(&p->plan, p->steps, p->plan.count);
    p->plan.barge_ms = o->barge_ms;
    snprintf(p->call_id, sizeof(p->call_id), "%s", p->caller.call_id);
    p->report = (struct report){
        .caller = &p->caller,
        .plan = &p->plan,
        .call_id = p->call_id,
        .protocol = p->config.dialect->name,
    };
}

static int refuse(struct program *p, const char *what)
{
    snprintf(p->why, sizeof(p->why), "%s", what);
    return -1;
}

/* Posts JSON to the API and reads the answer; 0 or -1 with a sentence in p->why. */
static int ask(struct program *p, const char *path, const char *json, struct json_doc *doc)
{
    static char body[API_BYTES_MAX];
    int status =
        socket_request(&p->o.api, "POST", path, json, CONNECT_NS, body, sizeof(body), p->why);

    if (status < 0)
        return -1;
    if (status == 401 || status == 403)
        return refuse(p, "the API wants to know who is calling");
    if (status == 404)
        return refuse(p, "the server has no such agent");
    if (status < 200 || status > 299) {
        snprintf(p->why, sizeof(p->why), "the API answers %d to POST %s", status, path);
        return -1;
    }
    if (json_read(doc, slice_str(body), sizeof(body), NULL) < 0)
        return refuse(p, "the API's answer is not JSON");
    return 0;
}

static int build_json(struct program *p, char *out, size_t size, uint16_t port)
{
    struct builder b = builder_of(out, size);
    struct jsonw w;
    char peer[80];

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "agent", p->agent);
    if (port) {
        snprintf(peer, sizeof(peer), strchr(p->o.local, ':') ? "[%s]:%u" : "%s:%u", p->o.local,
                 (unsigned)port);
        jsonw_key(&w, "rtp");
        jsonw_begin(&w);
        jsonw_put_cstr(&w, "peer", peer);
        jsonw_put_cstr(&w, "codec", p->o.alaw ? "PCMA" : "PCMU");
        jsonw_end(&w);
    }
    jsonw_end(&w);
    builder_u8(&b, 0);
    return b.bad ? refuse(p, "the agent's name is too long") : 0;
}

static int fetch_token(struct program *p)
{
    char json[1024];
    struct json_doc doc = {NULL};

    if (build_json(p, json, sizeof(json), 0) < 0 || ask(p, "/media-tokens", json, &doc) < 0)
        return -1;
    int err = json_text_of(&doc, "token", p->token, sizeof(p->token));
    json_free(&doc);
    return err < 0 ? refuse(p, "the API gave no token") : 0;
}

/* "/media/clinic?x=1" and a token become "/media/clinic/TOKEN?x=1". */
static int make_target(struct program *p)
{
    const char *query = strchr(p->o.url.target, '?');
    size_t path = query ? (size_t)(query - p->o.url.target) : strlen(p->o.url.target);

    if (p->o.token)
        snprintf(p->token, sizeof(p->token), "%s", p->o.token);
    else if (p->o.has_api && fetch_token(p) < 0)
        return -1;
    while (p->token[0] && path > 1 && p->o.url.target[path - 1] == '/')
        path--;
    int n = snprintf(p->target, sizeof(p->target), "%.*s%s%s%s", (int)path, p->o.url.target,
                     p->token[0] ? "/" : "", p->token, query ? query : "");
    return n < (int)sizeof(p->target) ? 0 : refuse(p, "the URL and its token are too long");
}

/* Opens the media path. The socket, or -1 with a sentence in p->why. */
static int dial_rtp(struct program *p)
{
    struct json_doc doc = {NULL};
    char json[1024];
    uint16_t port;
    int fd = socket_bind(p->o.local, &port, p->why);

    if (fd < 0 || build_json(p, json, sizeof(json), port) < 0 || ask(p, "/calls", json, &doc) < 0)
        return -1;
    int err = json_text_of(&doc, "call_id", p->call_id, sizeof(p->call_id));
    if (!err)
        err = json_text_of(&doc, "rtp.local", p->peer, sizeof(p->peer));
    json_free(&doc);
    if (err < 0)
        return refuse(p, "the API's answer names no call_id or no rtp.local");
    return socket_peer(fd, p->peer, p->why) < 0 ? -1 : fd;
}

static int dial(struct program *p)
{
    if (p->o.rtp)
        return dial_rtp(p);
    return make_target(p) < 0 ? -1 : socket_connect(&p->o.url, CONNECT_NS, p->why);
}

/* A BYE may be lost: the API is told too. Nothing to do about a failure: the server then ends the
 * call by its own timeout. */
static void end_rtp(struct program *p)
{
    char path[256], body[API_BYTES_MAX], why[SOCKET_WHY_BYTES];

    snprintf(path, sizeof(path), "/calls/%s", p->call_id);
    (void)!socket_request(&p->o.api, "DELETE", path, NULL, CONNECT_NS, body, sizeof(body), why);
}

static void why_refused(struct program *p)
{
    int status = p->caller.http_status;

    if (status == 401 || status == 403)
        snprintf(p->why, sizeof(p->why), "the server refuses the token (HTTP %d)", status);
    else if (status == 404)
        snprintf(p->why, sizeof(p->why), "the server has no agent at %.1000s (HTTP 404)",
                 p->o.url.target);
    else
        snprintf(p->why, sizeof(p->why), "the server refuses the call: %s (HTTP %d)",
                 p->caller.what, status);
}

static int save(struct program *p)
{
    int64_t pairs = p->caller.frames * CALLER_FRAME_SAMPLES;
    char why[SOUND_WHY_BYTES];

    if (!p->o.record || !p->report.placed)
        return 0;
    if (pairs > p->record_pairs)
        pairs = p->record_pairs;
    if (sound_save(p->o.record, p->config.record, pairs, why) < 0) {
        fprintf(stderr, "sidetone-call: %s\n", why);
        return -1;
    }
    p->report.recording = realpath(p->o.record, p->recording) ? p->recording : p->o.record;
    return 0;
}

static int exit_code(const struct program *p)
{
    const char *status = report_status(&p->report);

    if (strcmp(status, "completed") == 0)
        return EXIT_COMPLETED;
    if (strcmp(status, "refused") == 0)
        return EXIT_REFUSED;
    return strcmp(status, "timeout") == 0 ? EXIT_TIMEOUT : EXIT_ENDED;
}

static int finish(struct program *p)
{
    int saved = save(p);

    if (p->why[0]) {
        p->report.error = p->why;
        fprintf(stderr, "sidetone-call: %s\n", p->why);
    }
    for (; p->printed < p->plan.turn_count; p->printed++)
        print(p, p->printed, false);
    print(p, 0, true);
    return saved < 0 ? EXIT_USAGE : exit_code(p);
}

int main(int argc, char **argv)
{
    struct program *p = &program;
    int parsed = options_parse(&p->o, argc, argv, p->steps, &p->plan.count);

    if (parsed)
        return parsed > 0 ? EXIT_COMPLETED : EXIT_USAGE;
    signal(SIGPIPE, SIG_IGN);
    configure(p);
    if (p->o.agent)
        snprintf(p->agent, sizeof(p->agent), "%s", p->o.agent);
    else
        slice_cstr(url_last_segment(&p->o.url), p->agent, sizeof(p->agent));
    int fd = dial(p);
    if (fd < 0)
        return finish(p);
    int64_t until_ns = socket_now_ns() + p->o.timeout_ns;
    p->report.timed_out = socket_run(&p->caller, fd, p->o.rtp, until_ns, drive, p) < 0;
    close(fd);
    p->report.placed = p->caller.start_ns > 0;
    if (p->o.rtp)
        end_rtp(p);
    if (p->caller.end == CALLER_END_REFUSED)
        why_refused(p);
    else if (p->report.timed_out)
        snprintf(p->why, sizeof(p->why), "the call did not end within its time");
    else if (p->caller.end == CALLER_END_BROKEN)
        snprintf(p->why, sizeof(p->why), "%s", p->caller.what);
    return finish(p);
}
