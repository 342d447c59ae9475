#include "replay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/websocket.h"
#include "repeat.h"

#define SETTINGS_MAX    32
#define TOOLS_MAX       8
#define LINES_MAX       32
#define LOG_BYTES       262144
#define TIMERS_MAX      4096 /* in one wait: beyond, the provider spins */
#define WS_BYTES        65536
#define SETTLE_MS       180000 /* longer than any timeout */
#define AUDIO_BYTES_MAX 65536

struct player {
    const struct transcript *t;
    const struct replay_setup *setup;
    struct replay_result *result;
    const struct provider_ops *ops;
    struct provider_config config;
    struct provider_setting settings[SETTINGS_MAX];
    struct provider_tool tools[TOOLS_MAX];
    struct provider_line lines[LINES_MAX];
    size_t line_count;
    char *texts; /* NUL-ended copies of what the configuration points to */
    size_t texts_used;
    void *state;
    struct intents out;
    struct referee referee;
    struct repeat repeat;
    struct ws ws;
    uint8_t ws_buffer[WS_BYTES];
    int64_t now_ns;
    size_t fed; /* bytes the world has said */
    bool cut;
    uint32_t timers;         /* in this wait */
    uint32_t newest_epoch;   /* FREE: that was named */
    struct builder said;     /* what the provider wanted and said */
    struct builder expected; /* what the transcript says it should */
    uint32_t said_epoch;     /* of the last text event, while nothing came between; else 0 */
    uint32_t expected_epoch;
    uint8_t said_bytes[LOG_BYTES];
    uint8_t expected_bytes[LOG_BYTES];
};

static int complain(struct player *p, uint32_t line, const char *what)
{
    if (!p->result->why[0])
        snprintf(p->result->why, sizeof(p->result->why), "line %u: %s", line, what);
    return -EINVAL;
}

/* ---- what the provider says, in the words of a transcript ---- */

/* Pieces of one answer that follow each other are one, since where they are cut depends on how the
 * bytes came. */
static bool joins(uint32_t *last_epoch, struct slice *line)
{
    struct slice rest, word = slice_cut(*line, ' ', &rest);
    bool said = slice_equal(word, SLICE("said"));
    struct slice number = said ? slice_cut(rest, ' ', &rest) : SLICE_NONE;
    uint64_t epoch = 0;

    if (said && slice_u64(number, UINT32_MAX, &epoch) < 0)
        epoch = 0;
    bool same = said && epoch && epoch == *last_epoch;
    *last_epoch = (uint32_t)epoch;
    if (same)
        *line = rest;
    return same;
}

static void note(struct builder *log, uint32_t *last_epoch, struct slice line)
{
    if (!joins(last_epoch, &line) && log->len)
        builder_u8(log, '\n');
    builder_slice_add(log, line);
}

static void say(struct player *p, const char *text, struct slice more)
{
    uint8_t store[INTENT_BYTES_MAX + 256];
    struct builder b = builder_of(store, sizeof(store));

    builder_str(&b, text);
    for (size_t i = 0; i < more.len; i++) {
        uint8_t c = more.at[i];
        if (c == '\n')
            builder_str(&b, "\\n");
        else if (c == '\r')
            builder_str(&b, "\\r");
        else if (c < 0x20 || c == 0x7F)
            builder_printf(&b, "\\x%02x", c);
        else
            builder_u8(&b, c);
    }
    note(&p->said, &p->said_epoch, builder_slice(&b));
}

static void say_head(struct player *p, struct slice head)
{
    while (head.len) {
        struct slice line = slice_cut(head, '\n', &head);
        say(p, "head ", slice_trim(line));
    }
}

/* What is not text is told by its length and a checksum. */
static void say_bytes(struct player *p, const char *what, struct slice body)
{
    char text[128];

    snprintf(text, sizeof(text), "%s %zu %08x", what, body.len, transcript_sum(body));
    say(p, text, SLICE_NONE);
}

static void say_body(struct player *p, struct slice body)
{
    if (slice_is_utf8(body) && body.len <= INTENT_BYTES_MAX / 4)
        say(p, "body ", body);
    else
        say_bytes(p, "body-bytes", body);
}

static void say_event(struct player *p, const struct provider_intent *e)
{
    static const char *const names[] = {
        [EVENT_PARTIAL] = "partial", [EVENT_FINAL] = "final", [EVENT_UNDERSTOOD] = "understood",
        [EVENT_TEXT] = "said",       [EVENT_TOOL] = "tool",   [EVENT_HANG_UP] = "hangup",
        [EVENT_DONE] = "done",       [EVENT_AUDIO] = "audio", [EVENT_SPOKEN] = "spoken",
        [EVENT_FAILED] = "failed"};
    char text[96];
    bool partial = e->event == EVENT_PARTIAL;
    int n = snprintf(text, sizeof(text), "%s%s", names[e->event],
                     partial && (e->flag & EVENT_ENDED)      ? "-ended"
                     : partial && (e->flag & EVENT_COMPLETE) ? "-complete"
                                                             : "");

    if (partial && (e->flag & EVENT_KEPT))
        n += snprintf(text + n, sizeof(text) - (size_t)n, "-kept-%u", e->heard_ms);
    n += snprintf(text + n, sizeof(text) - (size_t)n, " %u", e->epoch);

    if (e->event == EVENT_AUDIO) {
        say_bytes(p, text, e->text);
        return;
    }
    if (e->event == EVENT_FINAL)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %u", e->confidence);
    if (e->event == EVENT_TOOL)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %u", e->tool_id);
    if (e->event == EVENT_FAILED)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %d%s", e->status,
                      e->flag & EVENT_FATAL ? " fatal" : "");
    if (e->text.len)
        snprintf(text + n, sizeof(text) - (size_t)n, " ");
    say(p, text, e->text);
}

static void say_intent(struct player *p, const struct provider_intent *intent)
{
    switch (intent->kind) {
    case INTENT_CONNECT:
    case INTENT_REQUEST:
        say(p, intent->kind == INTENT_CONNECT ? "connect " : "request ", intent->data);
        say_head(p, intent->head);
        if (intent->kind == INTENT_REQUEST)
            say_body(p, intent->body);
        return;
    case INTENT_SEND:
        if (intent->flag & 1)
            say(p, "text ", intent->body);
        else
            say_bytes(p, "binary", intent->body);
        return;
    case INTENT_EVENT:
        say_event(p, intent);
        return;
    case INTENT_CLOSE:
        say(p, "close", SLICE_NONE);
        return;
    case INTENT_JOB:
        say_bytes(p, "job", intent->body);
        return;
    }
}

/* ---- inputs ---- */

static bool wants_link(const struct player *p)
{
    return p->referee.link == LINK_CONNECTING || p->referee.link == LINK_REQUEST;
}

static void give_one(struct player *p, struct provider_input *in)
{
    in->config = &p->config;
    referee_input(&p->referee, in);
    intents_init(&p->out);
    p->ops->step(p->state, in, p->now_ns, &p->out);
    if (p->out.bad)
        p->referee.wrong = "its intents do not fit";
    for (size_t i = 0; i < p->out.count && !p->out.bad; i++) {
        referee_intent(&p->referee, &p->out.list[i]);
        if (p->out.list[i].kind == INTENT_EVENT)
            repeat_event(&p->repeat, &p->out.list[i]);
        if (p->setup->mode != REPLAY_FREE)
            say_intent(p, &p->out.list[i]);
    }
}

static void give_again(void *context, struct provider_input *in)
{
    give_one(context, in);
}

/* An input with what the actor does about it. */
static void give_round(struct player *p, struct provider_input in)
{
    if (p->ops->kind == PROVIDER_STT && repeat_holds(&p->repeat, &in, p->referee.link))
        return;
    give_one(p, &in);
    if (in.kind == INPUT_OPENED)
        repeat_opened(&p->repeat);
    if (in.kind == INPUT_CLOSED)
        repeat_closed(&p->repeat, p->referee.link);
}

static void give(struct player *p, struct provider_input in)
{
    give_round(p, in);
    for (int i = 0; i < 8 && p->cut && p->setup->end != END_HANG && wants_link(p); i++)
        give_round(p, (struct provider_input){.kind = INPUT_CLOSED});
}

/* Time passes; a deadline on the way is kept. */
static void wait_ms(struct player *p, int64_t ms)
{
    int64_t until_ns = p->now_ns + MS(ms);

    if (!p->ops->deadline || p->referee.stopped)
        return;
    for (p->timers = 0; p->timers <= TIMERS_MAX; p->timers++) {
        int64_t due_ns = p->ops->deadline(p->state);
        if (due_ns > until_ns)
            break;
        if (due_ns > p->now_ns)
            p->now_ns = due_ns;
        give(p, (struct provider_input){.kind = INPUT_TIMER});
    }
    if (p->timers > TIMERS_MAX)
        p->referee.wrong = "its deadline never passes";
    p->now_ns = until_ns;
}

/* ---- the actor ---- */

static void do_audio(struct player *p, const struct step *s, int step)
{
    static uint8_t bytes[AUDIO_BYTES_MAX] __attribute__((aligned(2)));
    int16_t *pcm = (int16_t *)(void *)bytes;
    size_t samples =
        (size_t)s->value < AUDIO_BYTES_MAX / 2 ? (size_t)s->value : AUDIO_BYTES_MAX / 2;

    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)((int)(i % 80) * step - 40 * step);
    give(p, (struct provider_input){
                .kind = INPUT_AUDIO, .epoch = s->epoch, .data = slice_of(bytes, samples * 2)});
}

static bool do_turn(struct player *p, const struct step *s)
{
    static const struct {
        const char *word;
        enum turn_kind kind;
    } kinds[] = {{"heard", TURN_HEARD},
                 {"keys", TURN_KEYS},
                 {"silence", TURN_SILENCE},
                 {"unclear", TURN_UNCLEAR},
                 {"tool", TURN_TOOL}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!slice_equal(s->word, slice_str(kinds[i].word)))
            continue;
        struct provider_turn turn = {.kind = kinds[i].kind,
                                     .text = s->text,
                                     .tool_id = (uint32_t)s->value,
                                     .confidence = 100,
                                     .history = p->lines,
                                     .history_count = p->line_count};
        give(p, (struct provider_input){.kind = INPUT_TURN, .epoch = s->epoch, .turn = &turn});
        return true;
    }
    return false;
}

static bool is_new_turn(struct slice word)
{
    return slice_equal(word, SLICE("heard")) || slice_equal(word, SLICE("keys")) ||
           slice_equal(word, SLICE("silence")) || slice_equal(word, SLICE("unclear"));
}

/* For inputs that were made up: epochs grow, and one that was cancelled or is over is not named
 * again, but by the result of a tool. The start was given already. */
static bool an_actor_would(struct player *p, const struct step *s)
{
    bool tool = slice_equal(s->word, SLICE("tool")), cancel = slice_equal(s->word, SLICE("cancel"));

    if (slice_equal(s->word, SLICE("stop")))
        return true;
    if (s->epoch == 0 || s->epoch >= REFEREE_EPOCHS_MAX || slice_equal(s->word, SLICE("start")))
        return false;
    if (is_new_turn(s->word) && s->epoch <= p->newest_epoch)
        return false;
    if (s->epoch > p->newest_epoch && !tool && !cancel)
        p->newest_epoch = s->epoch;
    if (cancel || tool)
        return s->epoch <= p->newest_epoch;
    return s->epoch == p->newest_epoch && !p->referee.epochs[s->epoch].cancelled;
}

static int do_step(struct player *p, const struct step *s)
{
    static const struct {
        const char *word;
        enum provider_input_kind kind;
        uint32_t flag;
    } commands[] = {{"start", INPUT_START, 0},   {"speech", INPUT_SPEECH, 1},
                    {"pause", INPUT_SPEECH, 0},  {"finish", INPUT_FINISH, 0},
                    {"text", INPUT_TEXT, 0},     {"commit", INPUT_COMMIT, 0},
                    {"cancel", INPUT_CANCEL, 0}, {"stop", INPUT_STOP, 0}};

    if (p->referee.stopped || (p->setup->mode == REPLAY_FREE && !an_actor_would(p, s)))
        return 0;
    if (slice_equal(s->word, SLICE("audio")) || slice_equal(s->word, SLICE("soft"))) {
        do_audio(p, s, s->word.at[0] == 'a' ? 200 : 20);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (slice_equal(s->word, slice_str(commands[i].word))) {
            give(p, (struct provider_input){.kind = commands[i].kind,
                                            .epoch = s->epoch,
                                            .flag = commands[i].flag,
                                            .data = s->text});
            return 0;
        }
    return do_turn(p, s) ? 0 : complain(p, s->number, "nothing that an actor does");
}

static int add_line(struct player *p, const struct step *s)
{
    if (slice_equal(s->word, SLICE("none")))
        p->line_count = 0;
    else if (p->line_count < LINES_MAX)
        p->lines[p->line_count++] =
            (struct provider_line){.agent = slice_equal(s->word, SLICE("agent")), .text = s->text};
    return 0;
}

/* ---- the world ---- */

static void world_ends(struct player *p)
{
    bool requested = p->referee.link == LINK_REQUEST;

    p->cut = true;
    if (p->referee.link == LINK_NONE || p->setup->end == END_HANG)
        return;
    if (requested && p->setup->end == END_WELL)
        give(p, (struct provider_input){.kind = INPUT_END});
    else
        give(p, (struct provider_input){.kind = INPUT_CLOSED,
                                        .status = requested ? 0 : WS_CLOSE_ABNORMAL});
}

/* One more byte, or thing without bytes, of the world; false when it ends before it. */
static bool goes_on(struct player *p)
{
    if (p->setup->mode == REPLAY_CUT && p->fed == p->setup->cut_at && !p->cut)
        world_ends(p);
    if (!p->cut)
        p->fed++;
    return !p->cut;
}

static void world_body(struct player *p, struct slice bytes)
{
    if (p->setup->mode == REPLAY_WHOLE || p->setup->mode == REPLAY_FREE) {
        p->fed += bytes.len;
        give(p, (struct provider_input){.kind = INPUT_CHUNK, .data = bytes});
        return;
    }
    for (size_t i = 0; i < bytes.len && goes_on(p); i++)
        if (p->referee.link == LINK_REQUEST) /* the provider may have heard enough */
            give(p,
                 (struct provider_input){.kind = INPUT_CHUNK, .data = slice_of(bytes.at + i, 1)});
}

/* A line of a body is fed with its end of line in the same piece. */
static void world_line(struct player *p, struct slice line)
{
    uint8_t store[WS_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    builder_slice_add(&b, line);
    builder_u8(&b, '\n');
    world_body(p, builder_slice(&b));
}

static void give_message(struct player *p, bool text, struct slice data)
{
    if (p->referee.link == LINK_OPEN)
        give(p, (struct provider_input){.kind = INPUT_BYTES, .flag = text, .data = data});
}

/* Through the codec: frames that the peer fragmented, read byte by byte. */
static void world_frame(struct player *p, enum ws_opcode op, bool last, struct slice part)
{
    uint8_t store[WS_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct ws_event ev;

    ws_encode(&b, WS_SERVER, op, part, 0);
    if (!last)
        store[0] &= 0x7F; /* FIN */
    for (size_t i = 0; i < b.len && goes_on(p); i++) {
        struct slice in = slice_of(store + i, 1);
        do {
            ws_decode(&p->ws, &in, &ev);
            if (ev.kind == WS_TEXT || ev.kind == WS_BINARY)
                give_message(p, ev.kind == WS_TEXT, ev.data);
        } while (ev.kind != WS_MORE);
    }
}

static void world_message(struct player *p, bool text, struct slice data)
{
    enum ws_opcode op = text ? WS_OP_TEXT : WS_OP_BINARY;
    size_t third = data.len / 3;

    if (p->setup->mode == REPLAY_WHOLE || p->setup->mode == REPLAY_FREE) {
        p->fed += data.len;
        give_message(p, text, data);
        return;
    }
    if (third == 0) {
        world_frame(p, op, true, data);
        return;
    }
    world_frame(p, op, false, slice_of(data.at, third));
    world_frame(p, WS_OP_MORE, false, slice_of(data.at + third, third));
    world_frame(p, WS_OP_MORE, true, slice_of(data.at + 2 * third, data.len - 2 * third));
}

static void world_binary(struct player *p, struct slice hex)
{
    uint8_t bytes[8192];
    size_t len = 0;

    for (size_t i = 0; i + 1 < hex.len && len < sizeof(bytes); i += 2) {
        char pair[3] = {(char)hex.at[i], (char)hex.at[i + 1], 0};
        bytes[len++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    if (p->referee.link == LINK_REQUEST)
        world_body(p, slice_of(bytes, len));
    else
        world_message(p, false, slice_of(bytes, len));
}

/* Whether this can come now at all. */
static bool fits(const struct player *p, enum step_kind kind)
{
    enum referee_link link = p->referee.link;

    if (kind == STEP_OPENED)
        return link == LINK_CONNECTING;
    if (kind == STEP_BINARY)
        return link == LINK_OPEN || link == LINK_REQUEST;
    if (kind == STEP_TEXT)
        return link == LINK_OPEN;
    if (kind == STEP_CLOSED)
        return link != LINK_NONE;
    return link == LINK_REQUEST;
}

static int world_step(struct player *p, const struct step *s)
{
    bool bytes = s->kind == STEP_BODY || s->kind == STEP_TEXT || s->kind == STEP_BINARY;

    if (p->cut || p->referee.stopped)
        return 0;
    if (!fits(p, s->kind)) {
        if (p->setup->mode == REPLAY_FREE || p->setup->mode == REPLAY_CUT || s->kind == STEP_END ||
            s->kind == STEP_BODY || s->kind == STEP_BINARY)
            return 0; /* the rest of a response that the provider gave up */
        return complain(p, s->number, "the provider has nothing open that this could come from");
    }
    if (!bytes && !goes_on(p))
        return 0;
    if (s->kind == STEP_OPENED) {
        ws_init(&p->ws, WS_CLIENT, WS_TAKES_BOTH, p->ws_buffer, sizeof(p->ws_buffer));
        give(p, (struct provider_input){.kind = INPUT_OPENED});
    } else if (s->kind == STEP_STATUS) {
        give(p, (struct provider_input){.kind = INPUT_STATUS, .status = (int32_t)s->value});
    } else if (s->kind == STEP_END) {
        give(p, (struct provider_input){.kind = INPUT_END});
    } else if (s->kind == STEP_CLOSED) {
        give(p, (struct provider_input){.kind = INPUT_CLOSED, .status = (int32_t)s->value});
    } else if (s->kind == STEP_BODY) {
        world_line(p, s->text);
    } else if (s->kind == STEP_TEXT) {
        world_message(p, true, s->text);
    } else {
        world_binary(p, s->text);
    }
    return 0;
}

/* ---- configuration ---- */

static const char *keep_text(struct player *p, struct slice text)
{
    char *at = p->texts + p->texts_used;

    memcpy(at, text.at ? text.at : (const uint8_t *)"", text.len);
    at[text.len] = '\0';
    p->texts_used += text.len + 1;
    return at;
}

static int set_config(struct player *p, const struct step *s)
{
    struct {
        const char *word;
        const char **at;
    } texts[] = {{"language", &p->config.language},
                 {"voice", &p->config.voice},
                 {"model", &p->config.model},
                 {"prompt", &p->config.prompt},
                 {"greeting", &p->config.greeting}};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (slice_equal(s->word, slice_str(texts[i].word))) {
            *texts[i].at = keep_text(p, s->text);
            return 0;
        }
    double value = strtod(keep_text(p, s->text), NULL);
    if (slice_equal(s->word, SLICE("temperature")))
        p->config.temperature = isfinite(value) ? value : 0;
    else if (slice_equal(s->word, SLICE("speed")))
        p->config.speed = isfinite(value) ? value : 1;
    else
        return complain(p, s->number, "no such part of a configuration");
    return 0;
}

static int add_setting(struct player *p, const struct step *s)
{
    size_t *count = &p->config.setting_count;

    for (size_t i = 0; i < *count; i++)
        if (slice_equal(s->word, slice_str(p->settings[i].key))) { /* a case knows better */
            p->settings[i].value = keep_text(p, s->text);
            return 0;
        }
    if (*count == SETTINGS_MAX)
        return complain(p, s->number, "too many settings");
    p->settings[(*count)++] =
        (struct provider_setting){keep_text(p, s->word), keep_text(p, s->text)};
    return 0;
}

/* tool NAME {"type":"object",...} | what it does */
static int add_tool(struct player *p, const struct step *s)
{
    struct slice rest, schema = slice_cut(s->text, '|', &rest);

    if (p->config.tool_count == TOOLS_MAX)
        return complain(p, s->number, "too many tools");
    schema = slice_trim(schema);
    p->tools[p->config.tool_count++] =
        (struct provider_tool){.name = keep_text(p, s->word),
                               .parameters = schema.len ? keep_text(p, schema) : NULL,
                               .description = keep_text(p, slice_trim(rest))};
    return 0;
}

static int choose(struct player *p, const struct step *s)
{
    char name[64];
    enum provider_kind kind = slice_equal(s->word, SLICE("stt"))   ? PROVIDER_STT
                              : slice_equal(s->word, SLICE("llm")) ? PROVIDER_LLM
                                                                   : PROVIDER_TTS;

    if (p->setup->mode != REPLAY_FREE && slice_cstr(s->text, name, sizeof(name)) == 0)
        p->ops = provider_find(kind, name);
    return p->ops ? 0 : complain(p, s->number, "there is no such provider");
}

static int configure(struct player *p, const struct step *s)
{
    switch (s->kind) {
    case STEP_PROVIDER:
        return choose(p, s);
    case STEP_CONFIG:
        return set_config(p, s);
    case STEP_SETTING:
        return add_setting(p, s);
    case STEP_TOOL:
        return add_tool(p, s);
    case STEP_ENVIRONMENT:
        p->config.env_key = keep_text(p, s->text);
        return 0;
    case STEP_CASE:
    case STEP_LINE:
    case STEP_DO:
    case STEP_WAIT:
    case STEP_OPENED:
    case STEP_TEXT:
    case STEP_BINARY:
    case STEP_STATUS:
    case STEP_BODY:
    case STEP_END:
    case STEP_CLOSED:
    case STEP_EXPECT:
        return 0;
    }
    return 0;
}

/* ---- a case ---- */

static bool is_setup(enum step_kind kind)
{
    return kind == STEP_PROVIDER || kind == STEP_CONFIG || kind == STEP_SETTING ||
           kind == STEP_TOOL || kind == STEP_ENVIRONMENT;
}

static int begin(struct player *p, size_t from, size_t to)
{
    const struct transcript *t = p->t;
    int err = 0;

    p->config = (struct provider_config){.agent = "agent",
                                         .language = "en",
                                         .voice = "",
                                         .model = "",
                                         .prompt = "",
                                         .greeting = "",
                                         .data_dir = ".",
                                         .folder = ".",
                                         .temperature = 0.7,
                                         .speed = 1,
                                         .settings = p->settings,
                                         .tools = p->tools};
    for (size_t i = 0; i < t->case_at[0] && err == 0; i++)
        err = configure(p, &t->steps[i]);
    for (size_t i = from; i < to && err == 0; i++)
        err = configure(p, &t->steps[i]);
    if (err || !p->ops)
        return err ? err : complain(p, 0, "the transcript names no provider");
    if (p->ops->load &&
        p->ops->load(&p->config, &p->config.loaded, p->result->why, sizeof(p->result->why)))
        return -ENOENT;
    p->state = calloc(1, p->ops->state_bytes + 1);
    if (!p->state)
        abort();
    referee_init(&p->referee, p->ops->kind);
    p->repeat = (struct repeat){.give = give_again,
                                .context = p,
                                .rate_hz = provider_rate_hz(p->ops, &p->config),
                                .sound = malloc(REPEAT_SOUND_BYTES)};
    if (!p->repeat.sound)
        abort();
    p->said = builder_of(p->said_bytes, sizeof(p->said_bytes));
    p->expected = builder_of(p->expected_bytes, sizeof(p->expected_bytes));
    p->now_ns = SECONDS(1000);
    if (p->setup->mode == REPLAY_FREE)
        give(p, (struct provider_input){.kind = INPUT_START});
    return 0;
}

static int compare(struct player *p, uint32_t line)
{
    if (slice_equal(builder_slice(&p->said), builder_slice(&p->expected)))
        return 0;
    struct slice said = builder_slice(&p->said), wanted = builder_slice(&p->expected);
    while (said.len && wanted.len) { /* only from where they part */
        struct slice said_rest, wanted_rest;
        if (!slice_equal(slice_cut(said, '\n', &said_rest), slice_cut(wanted, '\n', &wanted_rest)))
            break;
        said = said_rest;
        wanted = wanted_rest;
    }
    snprintf(p->result->why, sizeof(p->result->why), "line %u: expected\n%.*s\nbut it said\n%.*s",
             line, wanted.len > 1800 ? 1800 : SLICE_ARG(wanted),
             said.len > 1800 ? 1800 : SLICE_ARG(said));
    return -EINVAL;
}

static int play_step(struct player *p, const struct step *s)
{
    if (s->kind == STEP_DO)
        return do_step(p, s);
    if (s->kind == STEP_LINE)
        return add_line(p, s);
    if (s->kind == STEP_WAIT) {
        wait_ms(p, s->value);
        return 0;
    }
    return is_setup(s->kind) || s->kind == STEP_CASE ? 0 : world_step(p, s);
}

/* What is expected follows what brings it: when the next input comes, all of it must have been
 * said. Byte by byte only the whole is compared. */
static int play(struct player *p, size_t from, size_t to)
{
    const struct transcript *t = p->t;
    int err = 0;

    for (size_t i = from; i < to && err == 0 && !p->referee.wrong; i++) {
        const struct step *s = &t->steps[i];
        if (s->kind == STEP_EXPECT) {
            note(&p->expected, &p->expected_epoch, s->text);
            continue;
        }
        if (p->setup->mode == REPLAY_WHOLE)
            err = compare(p, t->steps[i - 1].number);
        if (err == 0)
            err = play_step(p, s);
    }
    if (err == 0 && p->setup->mode <= REPLAY_BYTES)
        err = compare(p, t->steps[to - 1].number);
    return err;
}

static void settle(struct player *p)
{
    if (!p->cut)
        world_ends(p);
    if (!p->referee.stopped) {
        wait_ms(p, SETTLE_MS);
        referee_end(&p->referee);
        give(p, (struct provider_input){.kind = INPUT_STOP});
    }
}

static void player_free(struct player *p)
{
    if (p->config.loaded && p->ops->unload)
        p->ops->unload(p->config.loaded);
    free(p->repeat.sound);
    free(p->state);
    free(p->texts);
    free(p);
}

int replay_case(const struct transcript *t, size_t index, const struct replay_setup *setup,
                struct replay_result *result)
{
    struct player *p = calloc(1, sizeof(*p));
    size_t from = t->case_at[index];
    size_t to = index + 1 < t->case_count ? t->case_at[index + 1] : t->count;

    if (!p)
        abort();
    *result = (struct replay_result){.bytes = 0};
    p->t = t;
    p->setup = setup;
    p->result = result;
    p->texts = malloc(t->bytes.len * 2 + 4096);
    if (!p->texts)
        abort();
    if (setup->name)
        p->ops = provider_find(setup->kind[0] == 's'   ? PROVIDER_STT
                               : setup->kind[0] == 'l' ? PROVIDER_LLM
                                                       : PROVIDER_TTS,
                               setup->name);
    int err = begin(p, from, to);
    if (err == 0)
        err = play(p, from, to);
    if (err == 0) {
        result->bytes = p->fed;
        settle(p);
    }
    result->foul = p->referee.wrong != NULL;
    if (result->foul)
        err = complain(p, 0, p->referee.wrong);
    player_free(p);
    return err;
}
