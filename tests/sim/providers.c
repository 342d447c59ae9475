/* Between the call and the scripted providers: passes everything on, and does to one provider of a
 * call what its seed has planned. Also a synthesiser that works on a speech lane, so that jobs,
 * their answers and their cancellation are part of every run. */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim.h"

#define LATE_TEXT_BYTES 256
#define PIECE_SAMPLES   400
#define TAG_AUDIO       1u
#define TAG_SPOKEN      2u

static struct sim *present;

void providers_of(struct sim *sim)
{
    present = sim;
}

/* The caller whose agent this is: "sim3". */
static struct sim_caller *caller_of(const struct provider_config *config)
{
    return &present->callers[(uint32_t)(config->agent[3] - '0')];
}

static const struct provider_ops *inner_of(enum provider_kind kind)
{
    return provider_find(kind, "scripted");
}

struct shim {
    enum inner_fault fault; /* FAULT_NONE: all goes well */
    uint32_t after;
    bool once;
    bool done;
    struct sim_caller *caller;
    int64_t late_ns; /* a final that is held back, or NEVER_NS */
    uint32_t late_epoch;
    uint32_t late_len;
    uint32_t tools;
    uint8_t late[LATE_TEXT_BYTES];
    uint8_t inner[] __attribute__((aligned(16)));
};

/* Whether this is one of the first `places` of its role. */
static bool is_among(const struct provider_config *config, uint32_t places)
{
    for (uint32_t i = 0; i < AGENTS_SIM; i++)
        for (int kind = PROVIDER_STT; present->bundles[i] && kind <= PROVIDER_TTS; kind++)
            for (uint32_t at = 0; at < places; at++)
                if (config == &present->bundles[i]->roles[kind].at[at].config)
                    return true;
    return false;
}

static void shim_start(struct shim *s, const struct provider_input *input, enum inner_fault first,
                       enum inner_fault last)
{
    struct sim_caller *c = caller_of(input->config);

    *s = (struct shim){.fault = FAULT_NONE, .caller = c, .late_ns = NEVER_NS};
    if (c->provider_fault >= first && c->provider_fault <= last &&
        is_among(input->config, c->fault_places)) {
        s->fault = c->provider_fault;
        s->after = c->fault_after;
        s->once = c->fault_once;
    }
}

/* Whether it happens now. */
static bool strikes(struct shim *s, enum inner_fault fault)
{
    if (s->fault != fault || s->done)
        return false;
    if (s->after) {
        s->after--;
        return false;
    }
    s->done = s->once;
    s->caller->hit = true;
    count_fault(present, fault);
    return true;
}

static void be_failure(const struct shim *s, struct provider_intent *e)
{
    e->event = EVENT_FAILED;
    e->text = SLICE("as planned");
    e->status = s->caller->fault_fatal ? 401 : 503;
    e->flag = s->caller->fault_fatal ? EVENT_FATAL : 0;
}

static void fail_epoch(const struct shim *s, struct intents *out, uint32_t epoch)
{
    be_failure(s, intents_event(out, EVENT_FAILED, epoch, SLICE_NONE));
}

/* Behind the first such event nothing more comes but the failure. */
static void break_off(struct shim *s, enum inner_fault fault, enum provider_event_kind behind,
                      struct intents *out)
{
    for (size_t i = 0; i < out->count; i++) {
        const struct provider_intent *e = &out->list[i];
        uint32_t epoch = e->epoch;

        if (e->kind != INTENT_EVENT || e->event != behind || !strikes(s, fault))
            continue;
        out->count = i + 1;
        fail_epoch(s, out, epoch);
        return;
    }
}

/* ---- stt ---- */

static void hold_final(struct shim *s, struct provider_intent *e, int64_t now_ns)
{
    s->late_epoch = e->epoch;
    s->late_len = (uint32_t)(e->text.len < LATE_TEXT_BYTES ? e->text.len : LATE_TEXT_BYTES);
    if (s->late_len)
        memcpy(s->late, e->text.at, s->late_len);
    s->late_ns = now_ns + sim_draw_ms(present, 300, 6000);
}

static void stt_faults(struct shim *s, struct intents *out, int64_t now_ns)
{
    size_t kept = 0;

    for (size_t i = 0; i < out->count; i++) {
        struct provider_intent *e = &out->list[i];
        bool final = e->kind == INTENT_EVENT && e->event == EVENT_FINAL;
        if (final && strikes(s, FAULT_STT_NO_FINAL))
            continue;
        if (final && strikes(s, FAULT_STT_LATE)) {
            hold_final(s, e, now_ns);
            continue;
        }
        if (final && strikes(s, FAULT_STT_FAILS))
            be_failure(s, e);
        out->list[kept++] = *e;
    }
    out->count = kept;
    if (now_ns >= s->late_ns) {
        s->late_ns = NEVER_NS;
        intents_event(out, EVENT_FINAL, s->late_epoch, slice_of(s->late, s->late_len));
    }
}

static void stt_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct shim *s = state;

    if (input->kind == INPUT_START)
        shim_start(s, input, FAULT_STT_NO_FINAL, FAULT_STT_FAILS);
    inner_of(PROVIDER_STT)->step(s->inner, input, now_ns, out);
    stt_faults(s, out, now_ns);
}

static int64_t stt_deadline(const void *state)
{
    const struct shim *s = state;
    int64_t inner_ns = inner_of(PROVIDER_STT)->deadline(s->inner);

    return inner_ns < s->late_ns ? inner_ns : s->late_ns;
}

/* ---- llm ---- */

/* A scene named "tool..." asks for one before it answers what was heard. */
static bool asks_tool(struct shim *s, const struct provider_input *input, struct intents *out)
{
    static const char call[] = "{\"name\":\"book_appointment\",\"arguments\":"
                               "{\"name\":\"Ann\",\"day\":\"monday\",\"time\":\"ten\"}}";

    if (input->kind != INPUT_TURN || input->turn->kind != TURN_HEARD ||
        strncmp(s->caller->scene->name, "tool", 4) != 0)
        return false;
    intents_event(out, EVENT_TOOL, input->epoch, slice_str(call))->tool_id = ++s->tools;
    return true;
}

static void llm_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct shim *s = state;

    if (input->kind == INPUT_START)
        shim_start(s, input, FAULT_LLM_FAILS, FAULT_LLM_SILENT);
    if (input->kind == INPUT_TURN && strikes(s, FAULT_LLM_FAILS)) {
        fail_epoch(s, out, input->epoch);
        return;
    }
    if (input->kind == INPUT_TURN && strikes(s, FAULT_LLM_SILENT))
        return;
    if (asks_tool(s, input, out))
        return;
    inner_of(PROVIDER_LLM)->step(s->inner, input, now_ns, out);
    break_off(s, FAULT_LLM_BREAKS, EVENT_TEXT, out);
}

static int64_t llm_deadline(const void *state)
{
    return inner_of(PROVIDER_LLM)->deadline(((const struct shim *)state)->inner);
}

/* ---- tts ---- */

static bool tts_strikes(struct shim *s, const struct provider_input *input, struct intents *out)
{
    if (input->kind != INPUT_TEXT)
        return false;
    if (strikes(s, FAULT_TTS_FAILS)) {
        fail_epoch(s, out, input->epoch);
        return true;
    }
    return strikes(s, FAULT_TTS_SILENT);
}

static void tts_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct shim *s = state;

    if (input->kind == INPUT_START)
        shim_start(s, input, FAULT_TTS_FAILS, FAULT_TTS_SILENT);
    if (!tts_strikes(s, input, out))
        inner_of(PROVIDER_TTS)->step(s->inner, input, now_ns, out);
    break_off(s, FAULT_TTS_BREAKS, EVENT_AUDIO, out);
}

static int64_t tts_deadline(const void *state)
{
    return inner_of(PROVIDER_TTS)->deadline(((const struct shim *)state)->inner);
}

/* ---- tts on a lane ---- */

static void lane_step(void *state, const struct provider_input *input, int64_t now_ns,
                      struct intents *out)
{
    struct shim *s = state;
    struct provider_intent *i;

    (void)now_ns;
    if (input->kind == INPUT_START)
        shim_start(s, input, FAULT_TTS_FAILS, FAULT_TTS_SILENT);
    if (tts_strikes(s, input, out))
        return;
    if (input->kind == INPUT_TEXT) {
        i = intents_add(out, INTENT_JOB);
        i->epoch = input->epoch;
        i->flag = TAG_AUDIO;
        i->body = intents_copy(out, input->data);
    } else if (input->kind == INPUT_JOB && input->flag == TAG_AUDIO) {
        intents_event(out, EVENT_AUDIO, input->epoch, input->data);
    } else if (input->kind == INPUT_JOB) {
        intents_event(out, EVENT_SPOKEN, input->epoch, SLICE_NONE);
    }
    break_off(s, FAULT_TTS_BREAKS, EVENT_AUDIO, out);
}

static int job_open(void *session, const struct provider_config *config, struct job_port *port,
                    char *why, size_t why_bytes)
{
    (void)session;
    (void)config;
    (void)port;
    (void)why;
    (void)why_bytes;
    present->lane_sessions++;
    return 0;
}

static void job_run(void *session, uint32_t tag, struct slice body, struct job_port *port)
{
    int16_t pcm[PIECE_SAMPLES];
    int64_t samples = scripted_samples(body.len);
    uint32_t *reply = session;

    (void)tag;
    (*reply)++;
    for (int64_t at = 0; at < samples; at += PIECE_SAMPLES) {
        size_t n = samples - at < PIECE_SAMPLES ? (size_t)(samples - at) : PIECE_SAMPLES;
        for (size_t i = 0; i < n; i++)
            pcm[i] = scripted_sample(*reply, at + (int64_t)i);
        if (!port->emit(port, TAG_AUDIO, slice_of(pcm, n * sizeof(int16_t))))
            return;
    }
    port->emit(port, TAG_SPOKEN, SLICE_NONE);
}

static void job_close(void *session, struct job_port *port)
{
    (void)session;
    (void)port;
    present->lane_sessions--;
}

/* ---- wrapping ---- */

static void wrap(struct provider_ops *ops, enum provider_kind kind)
{
    *ops = *inner_of(kind);
    ops->state_bytes += sizeof(struct shim);
}

void providers_wrap(struct sim *sim, uint32_t agent, struct sim_caller *c)
{
    struct provider_ops *ops = sim->ops[agent];

    for (int kind = PROVIDER_STT; kind <= PROVIDER_TTS; kind++) {
        wrap(&ops[kind], (enum provider_kind)kind);
        for (uint32_t at = 0; at < sim->bundles[agent]->roles[kind].count; at++)
            sim->bundles[agent]->roles[kind].at[at].ops = &ops[kind];
    }
    ops[PROVIDER_STT].step = stt_step;
    ops[PROVIDER_STT].deadline = stt_deadline;
    ops[PROVIDER_LLM].step = llm_step;
    ops[PROVIDER_LLM].deadline = llm_deadline;
    ops[PROVIDER_TTS].step = tts_step;
    ops[PROVIDER_TTS].deadline = tts_deadline;
    if (!c->lane_tts)
        return;
    ops[PROVIDER_TTS].step = lane_step;
    ops[PROVIDER_TTS].deadline = NULL;
    ops[PROVIDER_TTS].session_bytes = sizeof(uint32_t);
    ops[PROVIDER_TTS].job_open = job_open;
    ops[PROVIDER_TTS].job_run = job_run;
    ops[PROVIDER_TTS].job_close = job_close;
}
