/* sidetone-hear: how well does an agent understand its callers? Speaks every sentence of a TSV file
 * in several voices through a telephone line, lets the agent's recogniser and rules hear it, and
 * counts the sentences whose intent and slots are right. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/rand.h"
#include "provider/provider.h"
#include "actors/world.h"
#include "config/agent.h"
#include "media/vad_weights.h"
#include "tools/hear/line.h"
#include "tools/say/caller.h"

#define LINE_MAX_BYTES 2048
#define UP_TAPS        32
#define FRAME          160  /* 20 ms at 8 kHz */
#define QUIET_LEAD_MS  2500 /* of the line, without the noise of the place where one speaks */
#define QUIET_TAIL_MS  1500
#define QUIET_PEAK     4
#define VOICED_FAR_MS  120 /* a last voiced sample further off is counted */

static const char usage[] =
    "usage: sidetone-hear --agent-dir DIR --data-dir DIR [--voices rms,awb,kal16,kal]\n"
    "                     [--noise-db 20] [--set key=value]... [--text-only] [--cut] "
    "[--steady] [-v]\n"
    "                     [--expected-ms N] [--complete-ms N] [--open-ms N] [--seed N] "
    "FILE.tsv...\n";

struct options {
    const char *folder, *data_dir;
    char voices[100];
    double noise_db;
    int64_t expected_ms, complete_ms, open_ms; /* 0: as the agent says */
    bool cut; /* the sentence is cut at its true ends: no detector, no turn machine */
    uint64_t seed;
    bool text_only, verbose;
    bool steady; /* the noise is there before and after the sentence too */
    struct provider_setting settings[16];
    size_t setting_count;
};

struct heard {
    struct options *o;
    struct provider_config stt_config, llm_config;
    const struct provider_ops *stt, *llm;
    void *session, *worker;
    struct job_port port;
    char final[LINE_MAX_BYTES];
    char expects[LINE_MAX_BYTES]; /* what the agent has asked for */
    bool complete, expected;
    uint32_t epoch;
    uint32_t words;
    struct vad_config vad;
    struct vad_weights weights;
    struct turn_rules rules;
    char before[LINE_MAX_BYTES]; /* what this utterance goes on with */
    uint64_t stt_state[8];
    int64_t waits_ms[20000];  /* from the last voiced sample to the decision */
    int64_t errors_ms[20000]; /* from the last voiced sample to what is taken for it */
    size_t wait_count;
    unsigned split, missed, early;
    int64_t audio_ns, cpu_ns, final_ns_sum, final_ns_max;
    unsigned finals;
};

static struct intents scratch;

static int64_t cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static uint32_t words_of(struct slice text)
{
    uint32_t words = 0;
    for (struct slice left = slice_trim(text); left.len; left = slice_trim(left), words++)
        slice_cut(left, ' ', &left);
    return words;
}

static void note_partial(struct heard *h, const struct provider_intent *event)
{
    h->complete = event->flag & EVENT_COMPLETE;
    h->expected = event->flag & EVENT_EXPECTED;
    h->words = words_of(event->text);
}

static bool port_emit(struct job_port *port, uint32_t tag, struct slice bytes)
{
    struct heard *h = container_of(port, struct heard, port);
    static struct intents out;
    uint64_t state[8] = {0};
    struct provider_input in = {
        .kind = INPUT_JOB, .flag = tag, .data = bytes, .config = &h->stt_config};
    intents_init(&out);
    h->stt->step(state, &in, 0, &out);
    for (size_t i = 0; i < out.count; i++) {
        if (out.list[i].event == EVENT_FINAL)
            slice_cstr(out.list[i].text, h->final, sizeof(h->final));
        if (out.list[i].event == EVENT_PARTIAL)
            note_partial(h, &out.list[i]);
    }
    return true;
}

static bool port_cancelled(struct job_port *port)
{
    (void)port;
    return false;
}

static void stt_input(struct heard *h, void *state, enum provider_input_kind kind,
                      struct slice data)
{
    struct provider_input in = {.kind = kind,
                                .epoch = h->epoch,
                                .flag = kind == INPUT_SPEECH,
                                .data = data,
                                .config = &h->stt_config};
    intents_init(&scratch);
    h->stt->step(state, &in, 0, &scratch);
    for (size_t i = 0; i < scratch.count; i++)
        if (scratch.list[i].kind == INTENT_JOB)
            h->stt->job_run(h->session, scratch.list[i].flag, scratch.list[i].body, &h->port);
}

/* 8 to 16 kHz: sinc under a Hamming window between the samples. */
static void frame_double(const int16_t *pcm, size_t count, size_t from, int16_t *out)
{
    for (size_t i = 0; i < FRAME; i++) {
        double sum = 0;
        for (int k = -UP_TAPS / 2 + 1; k <= UP_TAPS / 2; k++) {
            ptrdiff_t at = (ptrdiff_t)(from + i) + k;
            double t = 0.5 - k;
            if (at >= 0 && (size_t)at < count)
                sum += pcm[at] * sin(M_PI * t) / (M_PI * t) *
                       (0.54 + 0.46 * cos(2 * M_PI * t / UP_TAPS));
        }
        out[2 * i] = from + i < count ? pcm[from + i] : 0;
        out[2 * i + 1] = (int16_t)fmax(-32768, fmin(32767, sum));
    }
}

/* The sentence as the product hears it: 350 ms before the voice to 450 ms behind it. */
static void hear(struct heard *h, const struct caller_audio *a)
{
    uint64_t state[8] = {0};
    size_t from = a->first > 2800 ? a->first - 2800 : 0;
    size_t to = a->last + 3600 < a->count ? a->last + 3600 : a->count;
    int16_t frame[2 * FRAME];
    h->final[0] = '\0';
    h->complete = h->expected = false;
    h->epoch++;
    int64_t start = cpu_now();
    stt_input(h, state, INPUT_SPEECH, slice_str(h->expects));
    for (size_t at = from; at < to; at += FRAME) {
        frame_double(a->pcm, a->count, at, frame);
        stt_input(h, state, INPUT_AUDIO, slice_of(frame, sizeof(frame)));
        h->audio_ns += MS(20);
    }
    int64_t finish = cpu_now();
    stt_input(h, state, INPUT_FINISH, SLICE_NONE);
    int64_t end = cpu_now();
    h->cpu_ns += end - start;
    h->final_ns_sum += end - finish;
    h->final_ns_max = end - finish > h->final_ns_max ? end - finish : h->final_ns_max;
    h->finals++;
}

/* ---- as a call would: the detector and the turn machine decide ---- */

static void line_listen(void *owner, bool goes_on)
{
    struct heard *h = owner;
    snprintf(h->before, sizeof(h->before), "%s", goes_on ? h->final : "");
    h->final[0] = '\0';
    h->complete = h->expected = false;
    h->words = 0;
    h->epoch++;
    stt_input(h, h->stt_state, INPUT_SPEECH, slice_str(h->expects));
}

static void line_audio(void *owner, const int16_t *pcm, size_t n)
{
    struct heard *h = owner;
    int64_t start = cpu_now();
    stt_input(h, h->stt_state, INPUT_AUDIO, slice_of(pcm, n * sizeof(*pcm)));
    h->audio_ns += MS(20);
    h->cpu_ns += cpu_now() - start;
}

static void line_words(void *owner, struct turn_event *e)
{
    struct heard *h = owner;
    e->words = h->words;
    e->complete = h->complete;
    e->expected = h->expected;
}

static uint32_t line_finish(void *owner)
{
    struct heard *h = owner;
    char joined[2 * LINE_MAX_BYTES];
    int64_t start = cpu_now();
    stt_input(h, h->stt_state, INPUT_FINISH, SLICE_NONE);
    int64_t took = cpu_now() - start;
    h->final_ns_sum += took;
    h->final_ns_max = took > h->final_ns_max ? took : h->final_ns_max;
    h->finals++;
    snprintf(joined, sizeof(joined), "%s%s%s", h->before, h->before[0] ? " " : "", h->final);
    snprintf(h->final, sizeof(h->final), "%.*s", LINE_MAX_BYTES - 1, joined);
    return words_of(slice_str(h->final));
}

static void line_forget(void *owner)
{
    struct heard *h = owner;
    stt_input(h, h->stt_state, INPUT_CANCEL, SLICE_NONE);
}

static int hear_line(struct heard *h, const struct caller_audio *a)
{
    static const struct line_ops ops = {line_listen, line_audio, line_finish, line_forget,
                                        line_words};
    struct line_report report;
    h->final[0] = '\0';
    int err = line_hear(&h->vad, &h->rules, a->pcm, a->count, &ops, h, &report);
    h->split += report.answers > 1;
    if (h->o->verbose && report.answers > 1)
        printf("split in %u: %s\n", report.answers, h->final);
    h->missed += report.answers == 0;
    if (report.decided < 0)
        return err;
    int64_t wait_ms = (report.decided - (int64_t)a->last) / 8;
    int64_t error_ms = (report.voiced - 1 - (int64_t)a->last) / 8;
    h->early += wait_ms < 0;
    if (h->wait_count == ARRAY_LEN(h->waits_ms))
        return err;
    h->errors_ms[h->wait_count] = error_ms < 0 ? -error_ms : error_ms;
    h->waits_ms[h->wait_count++] = wait_ms;
    return err;
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void waits_print(struct heard *h)
{
    size_t n = h->wait_count;
    if (!n)
        return;
    qsort(h->waits_ms, n, sizeof(h->waits_ms[0]), by_size);
    printf("decided after the last voiced sample: median %lld, p90 %lld, p99 %lld, max %lld ms; "
           "split %u, never answered %u, decided within the sentence %u, of %zu\n",
           (long long)h->waits_ms[n / 2], (long long)h->waits_ms[n * 9 / 10],
           (long long)h->waits_ms[n * 99 / 100], (long long)h->waits_ms[n - 1], h->split, h->missed,
           h->early, n + h->missed);
    qsort(h->errors_ms, n, sizeof(h->errors_ms[0]), by_size);
    size_t far = 0;
    while (far < n && h->errors_ms[n - 1 - far] > VOICED_FAR_MS)
        far++;
    printf("last voiced sample off by: median %lld, p90 %lld, max %lld ms; %zu beyond %d ms\n",
           (long long)h->errors_ms[n / 2], (long long)h->errors_ms[n * 9 / 10],
           (long long)h->errors_ms[n - 1], far, VOICED_FAR_MS);
}

static void llm_turn(struct heard *h, void *state, const char *text, char *understood, size_t size)
{
    struct provider_turn turn = {.kind = TURN_HEARD, .text = slice_str(text), .confidence = 100};
    struct provider_input in = {
        .kind = INPUT_TURN, .epoch = ++h->epoch, .config = &h->llm_config, .turn = &turn};
    intents_init(&scratch);
    h->llm->step(state, &in, 0, &scratch);
    for (size_t i = 0; i < scratch.count; i++) {
        if (scratch.list[i].event == EVENT_UNDERSTOOD)
            slice_cstr(scratch.list[i].text, understood, size);
        if (scratch.list[i].event == EVENT_EXPECTS)
            slice_cstr(scratch.list[i].text, h->expects, sizeof(h->expects));
    }
    in.kind = INPUT_COMMIT;
    h->llm->step(state, &in, 0, &scratch);
}

/* Brings a fresh dialogue to where the agent asks for `context`. */
static void context_enter(struct heard *h, void *state, const char *context)
{
    char ignored[LINE_MAX_BYTES];
    const char *lead = NULL;
    h->expects[0] = '\0';
    if (strstr(context, "confirm"))
        lead = "book an appointment on monday at nine my name is carter";
    else if (strstr(context, "name"))
        lead = "book an appointment on monday at nine";
    else if (strstr(context, "time"))
        lead = "book an appointment on monday";
    else if (strstr(context, "day"))
        lead = "book an appointment";
    if (lead)
        llm_turn(h, state, lead, ignored, sizeof(ignored));
}

/* The calling program plays a recording into a line that is all but silent otherwise. */
static void line_place(struct caller_audio *a, uint64_t seed)
{
    struct rand r = {seed};
    size_t lead = QUIET_LEAD_MS * 8, tail = QUIET_TAIL_MS * 8, count = lead + a->count + tail;
    int16_t *pcm = calloc(count, sizeof(*pcm));
    if (!pcm)
        abort();
    for (size_t i = 0; i < count; i++)
        pcm[i] = (int16_t)((int)rand_below(&r, 2 * QUIET_PEAK + 1) - QUIET_PEAK);
    memcpy(pcm + lead, a->pcm, a->count * sizeof(*pcm));
    free(a->pcm);
    *a = (struct caller_audio){pcm, count, a->first + lead, a->last + lead};
}

struct score {
    unsigned count, intent, both, words, complete;
};

/* Are intent and slots those meant? Slots are compared without spaces, keys in the slots' order. */
static bool json_same(const char *meant_intent, const char *meant_slots, const char *got,
                      bool *intent_same)
{
    char wanted[LINE_MAX_BYTES];
    size_t len =
        (size_t)snprintf(wanted, sizeof(wanted), "{\"intent\":\"%s\",\"slots\":", meant_intent);
    *intent_same = strncmp(got, wanted, len) == 0;
    for (const char *c = meant_slots; *c && len + 2 < sizeof(wanted); c++)
        if (*c != ' ')
            wanted[len++] = *c;
    wanted[len++] = '}';
    wanted[len] = '\0';
    return strcmp(got, wanted) == 0;
}

static void sentence_run(struct heard *h, const char *voice, uint64_t seed, char *column[4],
                         struct score *score)
{
    void *state = calloc(1, h->llm->state_bytes);
    char understood[LINE_MAX_BYTES] = "";
    bool intent_same;
    bool steady = h->o->steady || h->o->cut;
    struct caller_request q = {voice, column[2],          h->o->noise_db,     1.0,
                               seed,  steady ? 400 : 300, steady ? 1500 : 300};
    struct caller_audio a;
    context_enter(h, state, column[3]);
    if (h->o->text_only) {
        snprintf(h->final, sizeof(h->final), "%s", column[2]);
    } else if (!caller_speak(&q, &a)) {
        if (!steady)
            line_place(&a, seed);
        if (h->o->cut)
            hear(h, &a);
        else if (hear_line(h, &a))
            abort();
        free(a.pcm);
    }
    llm_turn(h, state, h->final, understood, sizeof(understood));
    bool both = json_same(column[0], column[1], understood, &intent_same);
    score->count++;
    score->intent += intent_same;
    score->both += both;
    score->complete += h->complete;
    score->words += strcmp(h->final, column[2]) == 0;
    if (h->o->verbose && !both)
        printf("%-5s %s | %s | heard: %s | %s %s\n", voice, column[2], understood, h->final,
               column[0], column[1]);
    free(state);
}

static void session_fresh(struct heard *h)
{
    char why[500];
    h->stt->job_close(h->session, &h->port);
    memset(h->session, 0, h->stt->session_bytes);
    if (h->stt->job_open(h->session, &h->stt_config, &h->port, why, sizeof(why)))
        abort();
}

static void file_run(struct heard *h, const char *path)
{
    char line[LINE_MAX_BYTES], voices[100], *rest;
    snprintf(voices, sizeof(voices), "%s", h->o->voices);
    struct score all = {0};
    for (char *voice = strtok_r(voices, ",", &rest); voice; voice = strtok_r(NULL, ",", &rest)) {
        struct score score = {0};
        FILE *file = fopen(path, "re");
        uint64_t seed = h->o->seed;
        session_fresh(h); /* another caller, another call */
        for (; file && fgets(line, sizeof(line), file); seed++) {
            char *column[4] = {"", "", "", ""}, *left = line;
            line[strcspn(line, "\r\n")] = '\0';
            for (int i = 0; i < 4 && left; i++)
                column[i] = strsep(&left, "\t");
            if (line[0] != '#' && column[2][0] && strcmp(column[0], "intent") != 0)
                sentence_run(h, voice, seed, column, &score);
        }
        if (file)
            fclose(file);
        printf("%s %s: %u sentences, intent %.1f %%, intent+slots %.1f %%, all words %.1f %%, "
               "complete %.1f %%\n",
               path, voice, score.count, 100.0 * score.intent / score.count,
               100.0 * score.both / score.count, 100.0 * score.words / score.count,
               100.0 * score.complete / score.count);
        all.count += score.count;
        all.both += score.both;
    }
    printf("%s ALL: intent+slots %.1f %% of %u\n", path, 100.0 * all.both / all.count, all.count);
}

static bool options_read(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"agent-dir", 1, 0, 'a'},
                                          {"data-dir", 1, 0, 'd'},
                                          {"voices", 1, 0, 'o'},
                                          {"noise-db", 1, 0, 'n'},
                                          {"set", 1, 0, 's'},
                                          {"text-only", 0, 0, 't'},
                                          {"cut", 0, 0, 'c'},
                                          {"complete-ms", 1, 0, 'C'},
                                          {"open-ms", 1, 0, 'O'},
                                          {"expected-ms", 1, 0, 'E'},
                                          {"steady", 0, 0, 'S'},
                                          {"seed", 1, 0, 'r'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "v", names, NULL)) != -1;) {
        char *equals = optarg ? strchr(optarg, '=') : NULL;
        if (c == 'a')
            o->folder = optarg;
        else if (c == 'd')
            o->data_dir = optarg;
        else if (c == 'o')
            snprintf(o->voices, sizeof(o->voices), "%s", optarg);
        else if (c == 'n')
            o->noise_db = atof(optarg);
        else if (c == 'c')
            o->cut = true;
        else if (c == 'C')
            o->complete_ms = atoll(optarg);
        else if (c == 'O')
            o->open_ms = atoll(optarg);
        else if (c == 'E')
            o->expected_ms = atoll(optarg);
        else if (c == 'S')
            o->steady = true;
        else if (c == 'r')
            o->seed = strtoull(optarg, NULL, 10);
        else if (c == 't')
            o->text_only = true;
        else if (c == 'v')
            o->verbose = true;
        else if (c == 's' && equals && o->setting_count < ARRAY_LEN(o->settings)) {
            *equals = '\0';
            o->settings[o->setting_count++] = (struct provider_setting){optarg, equals + 1};
        } else
            return false;
    }
    return o->folder && o->data_dir && optind < argc;
}

static const char *getenv_of(const char *name)
{
    return getenv(name);
}

/* The agent's own detector and patience. */
static int line_open(struct heard *h, char *why, size_t why_bytes)
{
    char path[1024];
    struct agent *agent = NULL;
    struct bundle *bundle = NULL;
    snprintf(path, sizeof(path), "%s/vad/silero_v6_8k.bin", h->o->data_dir);
    int err = vad_weights_open(&h->weights, path);
    if (err) {
        snprintf(why, why_bytes, "%.200s: cannot be read", path);
        return err;
    }
    snprintf(path, sizeof(path), "%s/clinic.yaml", h->o->folder);
    err = agent_load(path, getenv_of, &agent, why, why_bytes);
    if (err)
        return err;
    h->vad = (struct vad_config){.kind = agent->vad.provider == AGENT_VAD_SILERO ? VAD_SILERO
                                                                                 : VAD_ENERGY,
                                 .rate_hz = 8000,
                                 .confidence = (uint16_t)(agent->vad.confidence * 1000),
                                 .start_ms = (uint16_t)agent->vad.start_ms,
                                 .stop_ms = (uint16_t)agent->vad.stop_ms,
                                 .volume_min = (uint16_t)(agent->vad.min_volume * 1000),
                                 .gate_db = VAD_GATE_DB,
                                 .weights = &h->weights};
    err = bundle_new(agent, h->o->data_dir, &bundle, why, why_bytes);
    if (err) {
        agent_put(&agent);
        return err;
    }
    h->rules = bundle->rules;
    if (h->o->expected_ms)
        h->rules.expected_ns = MS(h->o->expected_ms);
    if (h->o->complete_ms)
        h->rules.complete_ns = MS(h->o->complete_ms);
    if (h->o->open_ms)
        h->rules.open_ns = MS(h->o->open_ms);
    bundle_free(&bundle);
    return 0;
}

static int heard_open(struct heard *h)
{
    char why[500] = "";
    h->stt = provider_find(PROVIDER_STT, "pocketsphinx");
    h->llm = provider_find(PROVIDER_LLM, "rules");
    h->stt_config = (struct provider_config){.agent = "clinic",
                                             .language = "en",
                                             .folder = h->o->folder,
                                             .data_dir = h->o->data_dir,
                                             .settings = h->o->settings,
                                             .setting_count = h->o->setting_count};
    h->llm_config = h->stt_config;
    h->port = (struct job_port){port_emit, &h->worker, port_cancelled};
    h->session = calloc(1, h->stt->session_bytes);
    int64_t start = cpu_now();
    int err = h->stt->load(&h->stt_config, &h->stt_config.loaded, why, sizeof(why));
    int64_t loaded = cpu_now();
    if (!err)
        err = h->llm->load(&h->llm_config, &h->llm_config.loaded, why, sizeof(why));
    if (!err)
        err = h->stt->job_open(h->session, &h->stt_config, &h->port, why, sizeof(why));
    if (!err && !h->o->cut && !h->o->text_only)
        err = line_open(h, why, sizeof(why));
    if (err)
        fprintf(stderr, "sidetone-hear: %s\n", why);
    else
        printf("load %lld ms, first decoder %lld ms\n", (long long)ns_to_ms(loaded - start),
               (long long)ns_to_ms(cpu_now() - loaded));
    return err;
}

int main(int argc, char **argv)
{
    static struct options o = {.voices = "rms,awb,kal16,kal",
                               .noise_db = 20,
                               .seed = 1,
                               .settings = {{"grammar", "clinic.gram"}, {"rules", "clinic.rules"}},
                               .setting_count = 2};
    static struct heard h = {.o = &o};
    if (!options_read(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    if (heard_open(&h))
        return 1;
    for (int i = optind; i < argc; i++)
        file_run(&h, argv[i]);
    if (h.finals)
        printf("recognition: %.1f %% of a core while listening; final %.2f ms mean, %.2f ms max\n",
               100.0 * (double)h.cpu_ns / (double)h.audio_ns,
               (double)h.final_ns_sum / h.finals / 1e6, (double)h.final_ns_max / 1e6);
    waits_print(&h);
    vad_weights_close(&h.weights);
    h.stt->job_close(h.session, &h.port);
    h.stt->worker_close(h.worker);
    h.stt->unload(h.stt_config.loaded);
    h.llm->unload(h.llm_config.loaded);
    free(h.session);
    return 0;
}
