#include "bench/load/options.h"

#include <getopt.h>
#include <string.h>

static const char help[] =
    "Usage: sidetone-load [options]\n"
    "\n"
    "Drives a voice server with many callers from one thread and measures what they get.\n"
    "Each caller sends 20 ms packets at its own phase of the 20 ms period, talks and falls silent\n"
    "like a person, and checks what it hears: that it is its own call's next reply, that no "
    "sample\n"
    "is missing, that each packet comes in time, and how soon a reply begins.\n"
    "\n"
    "Where to:\n"
    "  --via rtp|twilio|echo|relay\n"
    "                          rtp: POST /calls for each call, then RTP (default); twilio: media\n"
    "                          WebSockets; echo: bare UDP to ports that send each packet back;\n"
    "                          relay: each two callers hear each other through a relay\n"
    "  --api URL               of POST /calls (http://127.0.0.1:8000)\n"
    "  --media URL             of the media WebSockets (ws://127.0.0.1:7860/media/AGENT)\n"
    "  --agent NAME            agent to be called (load)\n"
    "  --echo ADDRESS:PORT     first port of the echo, the others two apart (127.0.0.1:20000)\n"
    "  --relay FILE            the relay's ports at the echo's address, one in a line and caller\n"
    "  --local ADDRESS[:PORT]  of our 16 RTP sockets (127.0.0.1); the first port, the others two\n"
    "                          apart (any; with echo and relay 30000)\n"
    "  --codec PCMU|PCMA       of RTP and echo (PCMU)\n"
    "  --transcode             relay: every second caller speaks PCMA\n"
    "\n"
    "How many, how long:\n"
    "  --calls N[,N...]        calls held at one time; several: one step after the other (100)\n"
    "  --rate N                calls begun per second (50)\n"
    "  --settle S              seconds between a ramp and its measurement (3)\n"
    "  --hold S                seconds measured at each step (10)\n"
    "  --quantum US            packets due within it leave together (a quarter of the number of\n"
    "                          calls, at least 250, at most 1000)\n"
    "\n"
    "Short calls, beside those that are held:\n"
    "  --churn N[,N...]        short calls begun per second, whatever the server says to them\n"
    "  --churn-ms MS           how long each lasts from its asking (2000)\n"
    "\n"
    "What callers do:\n"
    "  --speech FOLDER         WAVs to speak, 8 kHz mono; without it a generated buzz\n"
    "  --spurt MS              mean length of what a caller says (1004, ITU-T P.59)\n"
    "  --spurt-least MS        the shortest; less is no word, and rightly passed over (240)\n"
    "  --pause MS              mean silence before it speaks (508, ITU-T P.59)\n"
    "  --quiet-after MS        silence after which the agent counts as finished (300)\n"
    "  --answer MS             a turn without an answer within this is unanswered (8000)\n"
    "  --seed N                of every drawn length and pitch (1)\n"
    "\n"
    "What is checked and told:\n"
    "  --expect scripted|any   scripted: replies carry the scripted voice's marker (default);\n"
    "                          any: any voice counts, and nothing is proved of it\n"
    "  --script-ms MS          the agent's own delays, taken off the response time (0)\n"
    "  --pid PID               server on this machine whose CPU and memory are read from /proc\n"
    "  --json FILE             report as JSON (\"-\": standard output)\n"
    "  --html FILE             report as one page with plots\n"
    "  --title TEXT            of the page\n"
    "  --no-progress           no live line\n"
    "  --help\n"
    "\n"
    "Ends with 0 if every call stayed up and every check held, 1 if not, 2 if it could not run.\n"
    "A late packet is no failed check: it is a figure. See bench/README.md.\n";

enum option_key {
    KEY_VIA = 256,
    KEY_API,
    KEY_MEDIA,
    KEY_AGENT,
    KEY_ECHO,
    KEY_RELAY,
    KEY_LOCAL,
    KEY_CODEC,
    KEY_CALLS,
    KEY_CHURN,
    KEY_CHURN_MS,
    KEY_RATE,
    KEY_SETTLE,
    KEY_HOLD,
    KEY_QUANTUM,
    KEY_SPEECH,
    KEY_SPURT,
    KEY_SPURT_LEAST,
    KEY_PAUSE,
    KEY_QUIET_AFTER,
    KEY_ANSWER,
    KEY_SEED,
    KEY_EXPECT,
    KEY_SCRIPT_MS,
    KEY_PID,
    KEY_JSON,
    KEY_HTML,
    KEY_TITLE,
    KEY_NO_PROGRESS,
    KEY_TRANSCODE,
    KEY_HELP,
};

static const struct option keys[] = {
    {"via", required_argument, NULL, KEY_VIA},
    {"api", required_argument, NULL, KEY_API},
    {"media", required_argument, NULL, KEY_MEDIA},
    {"agent", required_argument, NULL, KEY_AGENT},
    {"echo", required_argument, NULL, KEY_ECHO},
    {"relay", required_argument, NULL, KEY_RELAY},
    {"transcode", no_argument, NULL, KEY_TRANSCODE},
    {"local", required_argument, NULL, KEY_LOCAL},
    {"codec", required_argument, NULL, KEY_CODEC},
    {"calls", required_argument, NULL, KEY_CALLS},
    {"churn", required_argument, NULL, KEY_CHURN},
    {"churn-ms", required_argument, NULL, KEY_CHURN_MS},
    {"rate", required_argument, NULL, KEY_RATE},
    {"settle", required_argument, NULL, KEY_SETTLE},
    {"hold", required_argument, NULL, KEY_HOLD},
    {"quantum", required_argument, NULL, KEY_QUANTUM},
    {"speech", required_argument, NULL, KEY_SPEECH},
    {"spurt", required_argument, NULL, KEY_SPURT},
    {"spurt-least", required_argument, NULL, KEY_SPURT_LEAST},
    {"pause", required_argument, NULL, KEY_PAUSE},
    {"quiet-after", required_argument, NULL, KEY_QUIET_AFTER},
    {"answer", required_argument, NULL, KEY_ANSWER},
    {"seed", required_argument, NULL, KEY_SEED},
    {"expect", required_argument, NULL, KEY_EXPECT},
    {"script-ms", required_argument, NULL, KEY_SCRIPT_MS},
    {"pid", required_argument, NULL, KEY_PID},
    {"json", required_argument, NULL, KEY_JSON},
    {"html", required_argument, NULL, KEY_HTML},
    {"title", required_argument, NULL, KEY_TITLE},
    {"no-progress", no_argument, NULL, KEY_NO_PROGRESS},
    {"help", no_argument, NULL, KEY_HELP},
    {NULL, 0, NULL, 0},
};

static bool number(int64_t least, uint64_t most, int64_t *out)
{
    uint64_t n;

    if (slice_u64(slice_str(optarg), most, &n) < 0 || (int64_t)n < least)
        return false;
    *out = (int64_t)n;
    return true;
}

/* One of two or three words; its place in *out. */
static bool word(const char *const *words, int count, int *out)
{
    for (int i = 0; i < count; i++)
        if (strcmp(optarg, words[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* Numbers with commas between them. */
static bool take_list(uint64_t least, uint32_t numbers[LOAD_STEPS_MAX], uint32_t *count)
{
    struct slice rest = slice_str(optarg);
    uint64_t n;

    *count = 0;
    while (rest.len) {
        if (*count == LOAD_STEPS_MAX ||
            slice_u64(slice_cut(rest, ',', &rest), LOAD_CALLS_MAX, &n) < 0 || n < least)
            return false;
        numbers[(*count)++] = (uint32_t)n;
    }
    return *count > 0;
}

static bool take_url(struct url *u, const char *schemes)
{
    const char *what;

    return url_parse(u, slice_str(optarg), schemes, &what) == 0;
}

static bool take_relay(struct load_options *o)
{
    FILE *f = fopen(optarg, "re");
    char line[32];
    uint64_t port;
    bool good = f != NULL;

    while (good && fgets(line, sizeof(line), f)) {
        good = o->relay_count < LOAD_CALLS_MAX &&
               slice_u64(slice_trim(slice_str(line)), UINT16_MAX, &port) == 0 && port;
        if (good)
            o->relay_ports[o->relay_count++] = (uint16_t)port;
    }
    if (f)
        fclose(f);
    return good && o->relay_count;
}

static bool take_where(struct load_options *o, int key)
{
    static const char *const vias[] = {"rtp", "twilio", "echo", "relay"}, *const codecs[] = {
                                                                              "PCMU", "PCMA"};
    int n = 0;

    if (key == KEY_VIA) {
        bool good = word(vias, 4, &n);
        o->via = (enum load_via)n;
        return good;
    }
    if (key == KEY_CODEC) {
        bool good = word(codecs, 2, &n);
        o->alaw = n == 1;
        return good;
    }
    if (key == KEY_API)
        return take_url(&o->api, "http");
    if (key == KEY_MEDIA)
        return take_url(&o->media, "ws");
    if (key == KEY_ECHO)
        return address_parse(slice_str(optarg), true, &o->echo) == 0;
    if (key == KEY_RELAY)
        return take_relay(o);
    o->local.port = 0;
    return address_parse(slice_str(optarg), false, &o->local) == 0 ||
           address_parse(slice_str(optarg), true, &o->local) == 0;
}

static bool take_many(struct load_options *o, int key)
{
    int64_t n = 0;
    bool good = true;

    if (key == KEY_CALLS)
        return take_list(0, o->steps, &o->step_count);
    if (key == KEY_CHURN)
        return take_list(1, o->rates, &o->rate_count);
    if (key == KEY_CHURN_MS)
        return number(100, 600000, &o->churn_ms);
    if (key == KEY_SETTLE)
        return number(0, 3600, &o->settle_s);
    if (key == KEY_HOLD)
        return number(1, 86400, &o->hold_s);
    if (key == KEY_QUANTUM)
        return number(20, 20000, &o->quantum_us);
    good = number(1, 10000, &n);
    o->rate = (uint32_t)n;
    return good;
}

static bool take_talk(struct load_options *o, int key)
{
    int64_t n = 0;

    if (key == KEY_SPURT)
        return number(20, 600000, &o->talk.spurt_ms);
    if (key == KEY_SPURT_LEAST)
        return number(20, 60000, &o->talk.least_ms);
    if (key == KEY_PAUSE)
        return number(0, 600000, &o->talk.pause_ms);
    if (key == KEY_QUIET_AFTER)
        return number(20, 60000, &o->talk.quiet_ms);
    if (key == KEY_ANSWER)
        return number(100, 600000, &o->talk.answer_ms);
    bool good = number(0, INT64_MAX, &n);
    o->seed = (uint64_t)n;
    return good;
}

static bool take_told(struct load_options *o, int key)
{
    static const char *const expects[] = {"scripted", "any"};
    int64_t pid = 0;
    int n = 0;

    if (key == KEY_EXPECT) {
        bool good = word(expects, 2, &n);
        o->expect = (enum listen_expect)n;
        return good;
    }
    if (key == KEY_SCRIPT_MS)
        return number(0, 60000, &o->script_ms);
    bool good = number(1, INT32_MAX, &pid);
    o->pid = (pid_t)pid;
    return good;
}

static bool take_text(struct load_options *o, int key)
{
    if (key == KEY_AGENT)
        o->agent = optarg;
    else if (key == KEY_SPEECH)
        o->speech = optarg;
    else if (key == KEY_JSON)
        o->json = optarg;
    else if (key == KEY_HTML)
        o->html = optarg;
    else
        o->title = optarg;
    return true;
}

static bool take(struct load_options *o, int key)
{
    if (key == KEY_AGENT || key == KEY_SPEECH || key == KEY_JSON || key == KEY_HTML ||
        key == KEY_TITLE)
        return take_text(o, key);
    if (key <= KEY_CODEC)
        return take_where(o, key);
    if (key <= KEY_QUANTUM)
        return take_many(o, key);
    if (key <= KEY_SEED)
        return take_talk(o, key);
    return take_told(o, key);
}

static void defaults(struct load_options *o)
{
    const char *what;

    *o = (struct load_options){
        .agent = "load",
        .title = "Load report",
        .steps = {100},
        .step_count = 1,
        .rate = 50,
        .churn_ms = 2000,
        .settle_s = 3,
        .hold_s = 10,
        .seed = 1,
        .talk = {.spurt_ms = 1004,
                 .least_ms = 240,
                 .pause_ms = 508,
                 .quiet_ms = 300,
                 .answer_ms = 8000},
        .echo = {.ip = {127, 0, 0, 1}, .family = 4, .port = 20000},
        .local = {.ip = {127, 0, 0, 1}, .family = 4},
    };
    if (url_parse(&o->api, SLICE("http://127.0.0.1:8000"), "http", &what) < 0)
        o->api.host[0] = '\0';
}

static enum options_outcome complain(const char *what)
{
    fprintf(stderr, "sidetone-load: %s; see --help\n", what);
    return OPTIONS_BAD;
}

static enum options_outcome finish(struct load_options *o)
{
    char text[256];
    const char *what;

    if (o->via >= LOAD_ECHO && !o->local.port)
        o->local.port = 30000;
    for (uint32_t i = 0; o->via == LOAD_RELAY && i < o->step_count; i++)
        if (o->steps[i] % 2 || o->steps[i] > o->relay_count)
            return complain("--calls: of a relay's callers two make a call, and each has a port");
    for (uint32_t i = 0; i < o->rate_count; i++)
        if ((uint64_t)o->rates[i] * (uint64_t)o->churn_ms / 900 + 64 + LOAD_CALLS_MAX / 2 >
            LOAD_CALLS_MAX)
            return complain("--churn: too many short calls at one time");
    for (uint32_t i = 0; i < o->step_count; i++)
        if (!o->steps[i] && !o->rate_count)
            return complain("--calls: none at all");
    if (o->via != LOAD_TWILIO || o->media.host[0])
        return OPTIONS_RUN;
    snprintf(text, sizeof(text), "ws://127.0.0.1:7860/media/%s", o->agent);
    if (url_parse(&o->media, slice_str(text), "ws", &what) < 0)
        return complain(what);
    return OPTIONS_RUN;
}

enum options_outcome options_read(struct load_options *o, int argc, char **argv)
{
    char text[128];
    int at = 0, key;

    defaults(o);
    while ((key = getopt_long(argc, argv, "", keys, &at)) != -1) {
        if (key == KEY_HELP) {
            fputs(help, stdout);
            return OPTIONS_DONE;
        }
        if (key == '?')
            return complain("an option is not understood");
        if (key == KEY_NO_PROGRESS) {
            o->quiet = true;
        } else if (key == KEY_TRANSCODE) {
            o->transcode = true;
        } else if (!take(o, key)) {
            snprintf(text, sizeof(text), "--%s: \"%.64s\" does not fit", keys[at].name, optarg);
            return complain(text);
        }
    }
    if (optind < argc)
        return complain("there are words behind the options");
    return finish(o);
}
