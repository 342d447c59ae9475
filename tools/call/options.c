#include "tools/call/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/call/plan_file.h"
#include "tools/call/sound.h"

static const char help[] =
    "usage: sidetone-call --url ws://HOST:PORT/media/AGENT [options]\n"
    "       sidetone-call --protocol rtp --agent AGENT [--api http://HOST:PORT] [options]\n"
    "Places one call, paced in real time, and measures how fast the far end answers.\n"
    "\n"
    "where to\n"
    "  --url URL           media WebSocket of the server, for --protocol twilio\n"
    "  --token T           media token, sent as the last part of the path\n"
    "  --protocol P        twilio (default) or rtp\n"
    "  --api URL           the server's REST API (rtp: default http://127.0.0.1:8000;\n"
    "                      twilio: a token is asked for there when none is given)\n"
    "  --agent NAME        who is called (default: the last part of the URL's path)\n"
    "  --local IP          rtp: own address (default 127.0.0.1)\n"
    "  --codec C           rtp: PCMU (default) or PCMA\n"
    "what to do, in the order given\n"
    "  --say FILE          wait until the agent has finished, then play this WAV\n"
    "                      (8000 Hz, one channel, 16-bit PCM or G.711)\n"
    "  --dtmf DIGITS       wait likewise, then press these keys\n"
    "  --barge-in [N]      the N-th --say (default 2) interrupts the agent instead\n"
    "  --plan FILE         the steps as JSON: [{\"say\":\"x.wav\",\"meant\":\"...\",\n"
    "                      \"last_voiced_sample\":N,\"barge_in\":true}, {\"press\":\"1\"},\n"
    "                      {\"wait_ms\":500}, {\"hang_up\":true}]\n"
    "  --barge-after MS    how far into the agent's speech to interrupt (default 700)\n"
    "  --noise N           peak of the comfort noise while silent, 0 to 1000 (default 0)\n"
    "  --timeout S         the whole call at most (default 180)\n"
    "  --seed N            call id and noise repeat with it (default: random)\n"
    "what comes out\n"
    "  --record FILE.wav   stereo, 8000 Hz: left what was said, right what was heard\n"
    "  --json              a JSON line per turn, and as the last line one object for the call:\n"
    "                      {\"call_id\",\"status\",\"protocol\",\"turns\":[...],\"recording\"}\n"
    "  --help              this text\n"
    "\n"
    "exit: 0 completed, 1 wrong options or files, 2 not reached or refused,\n"
    "      3 ended early or broken, 4 timeout\n";

enum {
    OPT_URL = 256,
    OPT_TOKEN,
    OPT_PROTOCOL,
    OPT_API,
    OPT_AGENT,
    OPT_LOCAL,
    OPT_CODEC,
    OPT_SAY,
    OPT_DTMF,
    OPT_BARGE_IN,
    OPT_PLAN,
    OPT_BARGE_AFTER,
    OPT_NOISE,
    OPT_TIMEOUT,
    OPT_SEED,
    OPT_RECORD,
    OPT_JSON,
    OPT_HELP,
};

static const struct option names[] = {
    {"url", required_argument, NULL, OPT_URL},
    {"token", required_argument, NULL, OPT_TOKEN},
    {"protocol", required_argument, NULL, OPT_PROTOCOL},
    {"api", required_argument, NULL, OPT_API},
    {"agent", required_argument, NULL, OPT_AGENT},
    {"local", required_argument, NULL, OPT_LOCAL},
    {"codec", required_argument, NULL, OPT_CODEC},
    {"say", required_argument, NULL, OPT_SAY},
    {"dtmf", required_argument, NULL, OPT_DTMF},
    {"barge-in", optional_argument, NULL, OPT_BARGE_IN},
    {"plan", required_argument, NULL, OPT_PLAN},
    {"barge-after", required_argument, NULL, OPT_BARGE_AFTER},
    {"noise", required_argument, NULL, OPT_NOISE},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"record", required_argument, NULL, OPT_RECORD},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct parse {
    struct options *o;
    struct plan_step *steps;
    uint32_t *count;
    uint64_t barge_in; /* number of the --say that interrupts, 0: none */
};

static int bad(const char *option, const char *value, const char *what)
{
    fprintf(stderr, "sidetone-call: --%s %s: %s\n", option, value, what);
    return -1;
}

static int take_number(const char *option, const char *value, uint64_t max, uint64_t *out)
{
    char what[64];

    if (slice_u64(slice_str(value), max, out) == 0)
        return 0;
    snprintf(what, sizeof(what), "not a whole number up to %llu", (unsigned long long)max);
    return bad(option, value, what);
}

static int take_url(const char *option, const char *value, const char *scheme, struct url *u)
{
    const char *what = "";

    return url_parse(u, slice_str(value), scheme, &what) == 0 ? 0 : bad(option, value, what);
}

static struct plan_step *next_step(struct parse *p, const char *option)
{
    if (*p->count == PLAN_STEPS_MAX) {
        bad(option, "", "more than 64 steps");
        return NULL;
    }
    struct plan_step *s = &p->steps[(*p->count)++];
    memset(s, 0, sizeof(*s));
    return s;
}

static int take_say(struct parse *p, const char *path)
{
    char why[SOUND_WHY_BYTES];
    struct plan_step *s = next_step(p, "say");

    if (!s)
        return -1;
    s->act = PLAN_SAY;
    snprintf(s->meant, sizeof(s->meant), "%s", path);
    if (sound_load(path, &s->clip, why) == 0)
        return 0;
    fprintf(stderr, "sidetone-call: %s\n", why);
    return -1;
}

static int take_dtmf(struct parse *p, const char *digits)
{
    struct plan_step *s = next_step(p, "dtmf");

    if (!s)
        return -1;
    s->act = PLAN_PRESS;
    if (!*digits || digits[strspn(digits, "0123456789*#ABCD")] ||
        strlen(digits) > CALLER_DIGITS_MAX)
        return bad("dtmf", digits, "not one to 32 keys of a telephone");
    snprintf(s->digits, sizeof(s->digits), "%s", digits);
    return 0;
}

static int sound_of_plan(const char *path, struct caller_clip *clip, char *why)
{
    return sound_load(path, clip, why);
}

static int take_plan(struct parse *p, const char *path)
{
    static char text[PLAN_FILE_BYTES_MAX + 1];
    char folder[4096], why[PLAN_WHY_BYTES];
    const char *slash = strrchr(path, '/');
    FILE *f = fopen(path, "re");

    if (!f)
        return bad("plan", path, strerror(errno));
    size_t len = fread(text, 1, sizeof(text), f);
    fclose(f);
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
    if (plan_parse(slice_of(text, len), folder, sound_of_plan, p->steps, p->count, why) == 0)
        return 0;
    return bad("plan", path, why);
}

static int take_choice(const char *option, const char *value, const char *no, const char *yes,
                       bool *chosen)
{
    *chosen = strcmp(value, yes) == 0;
    return *chosen || strcmp(value, no) == 0 ? 0 : bad(option, value, "no such choice");
}

/* Options of what is said and done. 1: not one of these. */
static int take_step_option(struct parse *p, int option, char *value)
{
    switch (option) {
    case OPT_SAY:
        return take_say(p, value);
    case OPT_DTMF:
        return take_dtmf(p, value);
    case OPT_PLAN:
        return take_plan(p, value);
    case OPT_BARGE_IN:
        p->barge_in = 2;
        return value ? take_number("barge-in", value, PLAN_STEPS_MAX, &p->barge_in) : 0;
    default:
        return 1;
    }
}

static int take_numbers(struct options *o, int option, char *value)
{
    uint64_t n;

    switch (option) {
    case OPT_BARGE_AFTER:
        if (take_number("barge-after", value, 60000, &n) < 0)
            return -1;
        o->barge_ms = (int64_t)n;
        return 0;
    case OPT_NOISE:
        if (take_number("noise", value, 1000, &n) < 0)
            return -1;
        o->noise = (uint32_t)n;
        return 0;
    case OPT_TIMEOUT:
        if (take_number("timeout", value, 3600, &n) < 0)
            return -1;
        o->timeout_ns = SECONDS((int64_t)n);
        return 0;
    case OPT_SEED:
        o->seeded = true;
        return take_number("seed", value, UINT64_MAX, &o->seed);
    default:
        return 1;
    }
}

static int take_option(struct options *o, int option, char *value)
{
    switch (option) {
    case OPT_URL:
        o->has_url = true;
        return take_url("url", value, "ws", &o->url);
    case OPT_API:
        o->has_api = true;
        return take_url("api", value, "http", &o->api);
    case OPT_TOKEN:
        o->token = value;
        return 0;
    case OPT_PROTOCOL:
        return take_choice("protocol", value, "twilio", "rtp", &o->rtp);
    case OPT_CODEC:
        return take_choice("codec", value, "PCMU", "PCMA", &o->alaw);
    case OPT_AGENT:
        o->agent = value;
        return 0;
    case OPT_LOCAL:
        o->local = value;
        return 0;
    case OPT_RECORD:
        o->record = value;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    case OPT_HELP:
        fputs(help, stdout);
        return 1;
    default:
        fputs("sidetone-call: try --help\n", stderr);
        return -1;
    }
}

/* "--barge-in 3": getopt takes optional values only with '=', people write a blank. */
static char *value_of(int option, int argc, char **argv)
{
    if (option == OPT_BARGE_IN && !optarg && optind < argc &&
        argv[optind][strspn(argv[optind], "0123456789")] == 0)
        return argv[optind++];
    return optarg;
}

static int mark_barge_in(const struct parse *p)
{
    uint64_t said = 0;

    for (uint32_t i = 0; i < *p->count; i++)
        if (p->steps[i].act == PLAN_SAY && ++said == p->barge_in)
            p->steps[i].barge_in = true;
    if (said >= p->barge_in)
        return 0;
    return bad("barge-in", "", "there is no such --say");
}

static int check(const struct options *o, uint32_t steps)
{
    if (!o->rtp && !o->has_url) {
        fputs("sidetone-call: say where to call with --url ws://HOST:PORT/media/AGENT\n", stderr);
        return -1;
    }
    if (o->rtp && !o->agent && !o->has_url) {
        fputs("sidetone-call: say whom to call with --agent NAME\n", stderr);
        return -1;
    }
    if (steps == 0) {
        fputs("sidetone-call: say what to do with --say, --dtmf or --plan\n", stderr);
        return -1;
    }
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct plan_step *steps,
                  uint32_t *count)
{
    struct parse p = {.o = o, .steps = steps, .count = count};
    const char *what;
    int option;

    *o = (struct options){
        .local = "127.0.0.1", .timeout_ns = SECONDS(180), .barge_ms = PLAN_BARGE_MS};
    *count = 0;
    if (url_parse(&o->api, SLICE("http://127.0.0.1:8000"), "http", &what) < 0)
        return -1;
    while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        char *value = value_of(option, argc, argv);
        int taken = take_step_option(&p, option, value);
        if (taken > 0)
            taken = take_numbers(o, option, value);
        if (taken > 0)
            taken = take_option(o, option == 'h' ? OPT_HELP : option, value);
        if (taken)
            return taken;
    }
    if (optind < argc)
        return bad("", argv[optind], "not an option");
    return mark_barge_in(&p) < 0 ? -1 : check(o, *count);
}
