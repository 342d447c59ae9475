#include "tests/scenario/stand_in.h"

#include "base/clock.h"
#include "media/g711.h"

#define AUDIO_BYTES 4096

extern const struct provider_ops stt_scripted, llm_scripted, tts_scripted;

static void feed(struct stand_in *s, const struct provider_ops *ops, struct provider_input input);

static void send_message(struct stand_in *s, const struct builder *b)
{
    ws_encode(&s->out, WS_SERVER, WS_OP_TEXT, builder_slice(b), 0);
}

static void send_close(struct stand_in *s, uint16_t code)
{
    if (!s->closed)
        ws_encode_close(&s->out, WS_SERVER, code, SLICE_NONE, 0);
    s->closed = true;
}

static void send_audio(struct stand_in *s, struct slice pcm)
{
    uint8_t code[AUDIO_BYTES], store[2 * AUDIO_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    size_t n = pcm.len / 2;

    g711_mulaw_encode(code, (const int16_t *)(const void *)pcm.at, n);
    s->carrier.ops->media(&s->carrier, slice_of(code, n), &b);
    send_message(s, &b);
    if (s->plays_until_ns < s->now_ns)
        s->plays_until_ns = s->now_ns;
    s->plays_until_ns += (int64_t)n * (NS_PER_S / SCRIPTED_RATE_HZ);
}

static void send_mark(struct stand_in *s)
{
    uint8_t store[512];
    char name[16];
    struct builder b = builder_of(store, sizeof(store));
    struct builder n = builder_of(name, sizeof(name));

    builder_printf(&n, "m%u", ++s->marks_sent);
    builder_u8(&n, 0);
    s->carrier.ops->mark(&s->carrier, name, &b);
    send_message(s, &b);
}

/* ---- what the providers say ---- */

static void take_event(struct stand_in *s, const struct provider_ops *ops,
                       const struct provider_intent *e)
{
    struct provider_turn turn = {.kind = TURN_HEARD, .text = e->text, .confidence = 100};

    switch (e->event) {
    case EVENT_FINAL:
        slice_cstr(e->text, s->heard, sizeof(s->heard));
        feed(s, &llm_scripted,
             (struct provider_input){.kind = INPUT_TURN, .epoch = s->epoch, .turn = &turn});
        feed(s, &llm_scripted, (struct provider_input){.kind = INPUT_COMMIT, .epoch = s->epoch});
        break;
    case EVENT_TEXT:
        feed(s, &tts_scripted,
             (struct provider_input){.kind = INPUT_TEXT, .epoch = e->epoch, .data = e->text});
        break;
    case EVENT_AUDIO:
        send_audio(s, e->text);
        break;
    case EVENT_SPOKEN:
        send_mark(s);
        break;
    case EVENT_HANG_UP:
        s->hang_up = true;
        break;
    case EVENT_FAILED:
        s->bad = ops->name;
        break;
    case EVENT_PARTIAL:
    case EVENT_UNDERSTOOD:
    case EVENT_EXPECTS:
    case EVENT_TOOL:
    case EVENT_DONE:
        break;
    }
}

static void *state_of(struct stand_in *s, const struct provider_ops *ops)
{
    return ops == &stt_scripted ? s->stt : ops == &llm_scripted ? s->llm : s->tts;
}

/* The chain of calls ends: an stt leads to an llm, an llm to a tts, a tts to nobody. */
static void feed(struct stand_in *s, const struct provider_ops *ops, struct provider_input input)
{
    struct intents out;

    intents_init(&out);
    input.config = &s->config;
    ops->step(state_of(s, ops), &input, s->now_ns, &out);
    if (out.bad)
        s->bad = "too many intents";
    for (size_t i = 0; i < out.count; i++)
        take_event(s, ops, &out.list[i]);
}

void stand_in_init(struct stand_in *s, const struct scripted *script, const char *greeting)
{
    memset(s, 0, sizeof(*s));
    s->config.loaded = script;
    s->greeting = greeting;
    ws_init(&s->ws, WS_SERVER, WS_TAKES_TEXT, s->message, sizeof(s->message));
    feed(s, &stt_scripted, (struct provider_input){.kind = INPUT_START});
    feed(s, &llm_scripted, (struct provider_input){.kind = INPUT_START});
    feed(s, &tts_scripted, (struct provider_input){.kind = INPUT_START});
}

/* ---- what the caller says ---- */

static void interrupt(struct stand_in *s)
{
    uint8_t store[512];
    struct builder b = builder_of(store, sizeof(store));

    if (s->plays_until_ns <= s->now_ns)
        return;
    feed(s, &llm_scripted, (struct provider_input){.kind = INPUT_CANCEL, .epoch = s->epoch});
    feed(s, &tts_scripted, (struct provider_input){.kind = INPUT_CANCEL, .epoch = s->epoch});
    s->carrier.ops->clear(&s->carrier, &b);
    send_message(s, &b);
    s->plays_until_ns = s->now_ns;
    s->clears++;
}

static void hear(struct stand_in *s, struct slice code)
{
    int16_t pcm[AUDIO_BYTES];
    int64_t sum = 0;

    g711_mulaw_decode(pcm, code.at, code.len);
    for (size_t i = 0; i < code.len; i++)
        sum += pcm[i] < 0 ? -pcm[i] : pcm[i];
    if (sum >= STAND_IN_LEVEL * (int64_t)code.len) {
        if (!s->voice)
            interrupt(s);
        feed(s, &stt_scripted,
             (struct provider_input){.kind = INPUT_SPEECH, .epoch = s->epoch + 1, .flag = 1});
        s->voice = true;
        s->quiet_ms = 0;
        return;
    }
    s->quiet_ms += (int64_t)code.len / (SCRIPTED_RATE_HZ / 1000);
    if (!s->voice || s->quiet_ms < STAND_IN_ENDPOINT_MS)
        return;
    s->voice = false;
    s->epoch++;
    feed(s, &stt_scripted, (struct provider_input){.kind = INPUT_FINISH, .epoch = s->epoch});
}

static void press(struct stand_in *s, char digit)
{
    struct provider_turn turn = {.kind = TURN_KEYS, .text = slice_of(&digit, 1), .confidence = 100};

    s->heard[0] = digit;
    s->heard[1] = 0;
    s->epoch++;
    feed(s, &llm_scripted,
         (struct provider_input){.kind = INPUT_TURN, .epoch = s->epoch, .turn = &turn});
    feed(s, &llm_scripted, (struct provider_input){.kind = INPUT_COMMIT, .epoch = s->epoch});
}

static void take_carrier(struct stand_in *s, const struct carrier_event *ev)
{
    switch (ev->kind) {
    case CARRIER_START:
        s->started = true;
        feed(s, &tts_scripted,
             (struct provider_input){.kind = INPUT_TEXT, .data = slice_str(s->greeting)});
        break;
    case CARRIER_MEDIA:
        hear(s, ev->audio);
        break;
    case CARRIER_DTMF:
        press(s, ev->digit);
        break;
    case CARRIER_MARK:
        s->marks_back++;
        break;
    case CARRIER_BAD:
        s->bad = ev->what;
        send_close(s, WS_CLOSE_POLICY);
        break;
    case CARRIER_CONNECTED:
    case CARRIER_STOP:
    case CARRIER_IGNORED:
        break;
    }
}

static void take_message(struct stand_in *s, struct slice text)
{
    uint8_t audio[AUDIO_BYTES];
    struct carrier_event ev;
    const struct carrier_ops *ops = NULL;

    if (!s->known) {
        if (carrier_find(true, text, &ops) != CARRIER_YES)
            return;
        carrier_init(&s->carrier, ops);
        s->known = true;
    }
    s->carrier.ops->parse(&s->carrier, true, text, audio, sizeof(audio), &ev);
    take_carrier(s, &ev);
}

static void take_frames(struct stand_in *s, struct slice in)
{
    struct ws_event ev;

    do { /* ends: each round uses up input */
        ws_decode(&s->ws, &in, &ev);
        if (ev.kind == WS_TEXT)
            take_message(s, ev.data);
        else if (ev.kind == WS_CLOSE || ev.kind == WS_BAD)
            send_close(s, ev.kind == WS_BAD ? ev.code : WS_CLOSE_NORMAL);
        if (ev.kind == WS_BAD)
            s->bad = ev.what;
    } while (ev.kind != WS_MORE);
}

static void take_upgrade(struct stand_in *s, struct slice in)
{
    struct http_head head = {0};
    struct http_upgrade up;
    const char *what;

    if (in.len > sizeof(s->head) - s->head_len)
        in.len = sizeof(s->head) - s->head_len;
    memcpy(s->head + s->head_len, in.at, in.len);
    s->head_len += in.len;
    struct http_result got = http_request(&head, slice_of(s->head, s->head_len));
    if (got.outcome != HTTP_OK)
        return;
    s->upgraded = true;
    if (s->refusal.len)
        builder_slice_add(&s->out, s->refusal);
    else if (http_upgrade_check(&head, &up, &what) == 0)
        ws_build_101(&s->out, up.key, SLICE_NONE);
    else
        s->bad = what;
}

void stand_in_step(struct stand_in *s, int64_t now_ns, struct slice in, struct builder *out)
{
    s->now_ns = now_ns;
    s->out = *out;
    if (in.len && s->upgraded)
        take_frames(s, in);
    else if (in.len)
        take_upgrade(s, in);
    if (s->started) {
        feed(s, &stt_scripted, (struct provider_input){.kind = INPUT_TIMER});
        feed(s, &llm_scripted, (struct provider_input){.kind = INPUT_TIMER});
        feed(s, &tts_scripted, (struct provider_input){.kind = INPUT_TIMER});
        if (s->hang_up && tts_scripted.deadline(s->tts) == NEVER_NS && now_ns >= s->plays_until_ns)
            send_close(s, WS_CLOSE_NORMAL);
    }
    *out = s->out;
}

int64_t stand_in_deadline(const struct stand_in *s)
{
    int64_t stt = stt_scripted.deadline(s->stt), llm = llm_scripted.deadline(s->llm);
    int64_t tts = tts_scripted.deadline(s->tts);
    int64_t first = stt < llm ? stt : llm;

    if (s->hang_up && !s->closed && tts == NEVER_NS && s->plays_until_ns < first)
        first = s->plays_until_ns;
    return tts < first ? tts : first;
}
