/* The scripted providers: stt, llm and tts that follow a script (scripted.h) instead of listening
 * and thinking, for scenarios, simulation and load. They cost next to nothing and repeat exactly:
 * every delay goes through deadline() and INPUT_TIMER, every sample is integer arithmetic. */
#include "provider/scripted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* ---- loading, control thread ---- */

static int why_setting(char *why, size_t why_bytes, const char *key, const char *value,
                       const char *what)
{
    snprintf(why, why_bytes, "setting %s: \"%s\" %s", key, value, what);
    return -EINVAL;
}

static int script_load(const char *path, struct scripted *s, char *why, size_t why_bytes)
{
    char clause[SCRIPTED_WHY_BYTES];
    char *text;
    FILE *f = fopen(path, "re");

    if (!f) {
        int err = errno;
        snprintf(why, why_bytes, "the script %s cannot be read: %s", path, strerror(err));
        return -err;
    }
    text = malloc(SCRIPTED_FILE_BYTES + 1);
    if (!text)
        abort();
    size_t len = fread(text, 1, SCRIPTED_FILE_BYTES + 1, f);
    fclose(f);
    int err = scripted_parse(s, slice_of(text, len), clause);
    free(text);
    if (err < 0)
        snprintf(why, why_bytes, "%s, %s", path, clause);
    return err;
}

/* A setting that is a whole number; absent: *out is kept. */
static int take_setting(const struct provider_config *config, const char *key, uint64_t least,
                        uint64_t most, int64_t *out, char *why, size_t why_bytes)
{
    const char *value = provider_setting(config, key, NULL);
    uint64_t n;

    if (!value)
        return 0;
    if (slice_u64(slice_str(value), most, &n) < 0 || n < least)
        return why_setting(why, why_bytes, key, value, "is not a whole number in its range");
    *out = (int64_t)n;
    return 0;
}

/* Settings beside the script: they hold for the lines that the script does not have, and for the
 * voice. */
static int take_settings(const struct provider_config *config, struct scripted *s, char *why,
                         size_t why_bytes)
{
    int err =
        take_setting(config, "tts_first_ms", 0, SCRIPTED_MS_MAX, &s->tts_first_ms, why, why_bytes);

    if (!err)
        err =
            take_setting(config, "tts_speed", 1, SCRIPTED_SPEED_MAX, &s->tts_speed, why, why_bytes);
    return err;
}

static int scripted_load(const struct provider_config *config, const void **loaded, char *why,
                         size_t why_bytes)
{
    const char *name = provider_setting(config, "script", NULL);
    char path[4096];
    struct scripted *s = malloc(sizeof(*s));
    int err = 0;

    if (!s)
        abort();
    scripted_init(s);
    if (name) {
        snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : config->folder,
                 name[0] == '/' ? "" : "/", name);
        err = script_load(path, s, why, why_bytes);
    }
    if (!err)
        err = take_settings(config, s, why, why_bytes);
    if (err) {
        free(s);
        return err;
    }
    *loaded = s;
    return 0;
}

static void scripted_unload(const void *loaded)
{
    free((void *)(uintptr_t)loaded);
}

static const struct scripted *script_of(const struct provider_input *input)
{
    return input->config->loaded;
}

/* ---- stt ---- */

struct stt_state {
    const struct scripted *script;
    uint32_t utterance; /* finals given so far */
    uint32_t epoch;     /* of the utterance in progress or waiting for its final */
    bool speaking;
    int64_t partial_ns; /* NEVER_NS: none is due */
    int64_t final_ns;
};

static struct scripted_heard stt_line(const struct stt_state *st)
{
    static const struct scripted_heard none = {.final_ms = SCRIPTED_FINAL_MS};

    return st->utterance < st->script->stt_count ? st->script->stt[st->utterance] : none;
}

/* Without any line the n-th utterance is heard as "utterance n"; behind the last line, as nothing.
 */
static void stt_final(struct stt_state *st, struct intents *out)
{
    struct scripted_heard line = stt_line(st);
    char text[32];

    if (st->script->stt_count == 0) {
        snprintf(text, sizeof(text), "utterance %u", st->utterance + 1);
        line.text = slice_str(text);
    }
    intents_event(out, EVENT_FINAL, st->epoch, line.text)->confidence = 100;
    st->utterance++;
    st->final_ns = st->partial_ns = NEVER_NS;
    st->speaking = false;
}

static void stt_partial(struct stt_state *st, struct intents *out)
{
    struct scripted_heard line = stt_line(st);

    intents_event(out, EVENT_PARTIAL, st->epoch, line.text)->flag =
        (line.complete ? EVENT_COMPLETE : 0) | (line.ended ? EVENT_ENDED : 0);
    st->partial_ns = NEVER_NS;
}

static void stt_speech(struct stt_state *st, const struct provider_input *input, int64_t now_ns)
{
    struct scripted_heard line = stt_line(st);

    if (!input->flag || st->speaking)
        return;
    st->speaking = true;
    st->epoch = input->epoch;
    st->partial_ns = line.has_partial ? now_ns + MS(line.partial_ms) : NEVER_NS;
}

static void stt_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct stt_state *st = state;

    if (input->kind == INPUT_START) {
        *st = (struct stt_state){
            .script = script_of(input), .partial_ns = NEVER_NS, .final_ns = NEVER_NS};
    } else if (input->kind == INPUT_SPEECH) {
        stt_speech(st, input, now_ns);
    } else if (input->kind == INPUT_FINISH) {
        st->epoch = input->epoch;
        st->final_ns = now_ns + MS(stt_line(st).final_ms);
    } else if (input->kind == INPUT_CANCEL && input->epoch == st->epoch) {
        st->final_ns = st->partial_ns = NEVER_NS;
        st->speaking = false;
    }
    if (now_ns >= st->partial_ns)
        stt_partial(st, out);
    if (now_ns >= st->final_ns)
        stt_final(st, out);
}

static int64_t stt_deadline(const void *state)
{
    const struct stt_state *st = state;

    return st->partial_ns < st->final_ns ? st->partial_ns : st->final_ns;
}

const struct provider_ops stt_scripted = {
    .name = "scripted",
    .kind = PROVIDER_STT,
    .summary = "hears what a script says, after the delays that it says",
    .settings = "script tts_first_ms tts_speed",
    .rate_hz = SCRIPTED_RATE_HZ,
    .state_bytes = sizeof(struct stt_state),
    .load = scripted_load,
    .unload = scripted_unload,
    .step = stt_step,
    .deadline = stt_deadline,
};

/* ---- llm ---- */

#define ECHO_BYTES 512

struct llm_state {
    const struct scripted *script;
    uint32_t turn; /* answers committed so far */
    uint32_t epoch;
    bool answering;
    bool understood; /* said so already */
    int64_t next_ns; /* next piece of the answer */
    int64_t every_ms;
    bool hang_up;
    size_t at; /* bytes of the answer given */
    size_t len;
    const uint8_t *text; /* in the script, or */
    uint8_t echo[ECHO_BYTES];
};

/* What an agent without a script answers. */
static struct slice llm_echo(const struct provider_turn *turn, uint8_t store[ECHO_BYTES])
{
    struct builder b = builder_of(store, ECHO_BYTES);
    struct slice text = turn->text;

    text.len = text.len < ECHO_BYTES / 2 ? text.len : ECHO_BYTES / 2;
    switch (turn->kind) {
    case TURN_HEARD:
        builder_printf(&b, "You said %.*s.", SLICE_ARG(text));
        break;
    case TURN_KEYS:
        builder_printf(&b, "You pressed %.*s.", SLICE_ARG(text));
        break;
    case TURN_SILENCE:
        builder_str(&b, "Are you still there?");
        break;
    case TURN_UNCLEAR:
        builder_str(&b, "Pardon?");
        break;
    case TURN_TOOL:
        builder_str(&b, "Done.");
        break;
    }
    return builder_slice(&b);
}

static void llm_turn(struct llm_state *st, const struct provider_input *input, int64_t now_ns)
{
    struct scripted_answer a = {.first_ms = SCRIPTED_FIRST_MS};

    if (st->turn < st->script->llm_count)
        a = st->script->llm[st->turn];
    else
        a.text = llm_echo(input->turn, st->echo);
    st->epoch = input->epoch;
    st->answering = true;
    st->understood = false;
    st->next_ns = now_ns + MS(a.first_ms);
    st->every_ms = a.every_ms;
    st->hang_up = a.hang_up;
    st->at = 0;
    st->len = a.text.len;
    st->text = a.text.at;
}

/* The next word with the blanks behind it, or all that is left. */
static struct slice llm_piece(struct llm_state *st)
{
    size_t from = st->at;

    if (st->every_ms == 0) {
        st->at = st->len;
    } else {
        while (st->at < st->len && st->text[st->at] != ' ')
            st->at++;
        while (st->at < st->len && st->text[st->at] == ' ')
            st->at++;
    }
    return slice_of(st->text + from, st->at - from);
}

static void llm_speak(struct llm_state *st, int64_t now_ns, struct intents *out)
{
    if (!st->understood)
        intents_event(out, EVENT_UNDERSTOOD, st->epoch,
                      SLICE("{\"intent\":\"scripted\",\"slots\":{}}"));
    st->understood = true;
    if (st->at < st->len)
        intents_event(out, EVENT_TEXT, st->epoch, llm_piece(st));
    st->next_ns = now_ns + MS(st->every_ms);
    if (st->at < st->len)
        return;
    if (st->hang_up)
        intents_event(out, EVENT_HANG_UP, st->epoch, SLICE_NONE);
    intents_event(out, EVENT_DONE, st->epoch, SLICE_NONE);
    st->answering = false;
}

static void llm_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct llm_state *st = state;

    if (input->kind == INPUT_START) {
        st->script = script_of(input);
        st->turn = st->epoch = 0;
        st->answering = false;
    } else if (input->kind == INPUT_TURN) {
        llm_turn(st, input, now_ns);
    } else if (input->kind == INPUT_COMMIT && input->epoch == st->epoch) {
        st->turn++; /* a speculative answer that was dropped is given again */
    } else if (input->kind == INPUT_CANCEL && input->epoch == st->epoch) {
        st->answering = false;
    }
    if (st->answering && now_ns >= st->next_ns)
        llm_speak(st, now_ns, out);
}

static int64_t llm_deadline(const void *state)
{
    const struct llm_state *st = state;

    return st->answering ? st->next_ns : NEVER_NS;
}

const struct provider_ops llm_scripted = {
    .name = "scripted",
    .kind = PROVIDER_LLM,
    .summary = "answers what a script says, or repeats what it was told",
    .settings = "script tts_first_ms tts_speed",
    .state_bytes = sizeof(struct llm_state),
    .load = scripted_load,
    .unload = scripted_unload,
    .step = llm_step,
    .deadline = llm_deadline,
};

/* ---- tts ---- */

#define CLAUSES_MAX    64 /* waiting; beyond: the epoch fails */
#define PIECES_AT_ONCE 5
#define PIECES_A_STEP  12 /* given at once when time has run ahead; the rest in the next step */

struct tts_state {
    const struct scripted *script;
    uint32_t epoch;
    uint32_t reply; /* number of the epoch's buzz: replies begun so far */
    uint32_t head, count;
    int64_t samples[CLAUSES_MAX]; /* of each clause waiting, the first one being spoken */
    int64_t at;                   /* samples of the first clause given */
    int64_t buzz;                 /* samples of the reply given */
    int64_t next_ns;              /* when the next piece is due */
    bool begun;                   /* the first byte of this reply is under way */
};

static void tts_reset(struct tts_state *st, uint32_t epoch)
{
    st->epoch = epoch;
    st->head = st->count = 0;
    st->at = st->buzz = 0;
    st->begun = false;
}

static void tts_text(struct tts_state *st, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    if (!st->begun || input->epoch != st->epoch) {
        tts_reset(st, input->epoch);
        st->begun = true;
        st->reply++;
        st->next_ns = now_ns + MS(st->script->tts_first_ms);
    }
    if (st->count == CLAUSES_MAX) {
        intents_event(out, EVENT_FAILED, input->epoch, SLICE_NONE);
        return;
    }
    if (st->count == 0 && st->next_ns < now_ns)
        st->next_ns = now_ns; /* an idle voice does not save time up */
    st->samples[(st->head + st->count++) % CLAUSES_MAX] = scripted_samples(input->data.len);
}

static void tts_piece(struct tts_state *st, struct intents *out)
{
    int64_t left = st->samples[st->head] - st->at;
    int64_t n = left < SCRIPTED_PIECE_SAMPLES ? left : SCRIPTED_PIECE_SAMPLES;
    const int16_t *pcm =
        st->script->buzz[st->reply % SCRIPTED_BUZZES] + st->buzz % scripted_period(st->reply);

    intents_event(out, EVENT_AUDIO, st->epoch, slice_of(pcm, (size_t)n * sizeof(*pcm)));
    st->at += n;
    st->buzz += n;
    st->next_ns += n * (NS_PER_S / SCRIPTED_RATE_HZ) / st->script->tts_speed;
    if (st->at < st->samples[st->head])
        return;
    intents_event(out, EVENT_SPOKEN, st->epoch, SLICE_NONE);
    st->at = 0;
    st->head = (st->head + 1) % CLAUSES_MAX;
    st->count--;
}

static void tts_step(void *state, const struct provider_input *input, int64_t now_ns,
                     struct intents *out)
{
    struct tts_state *st = state;

    if (input->kind == INPUT_START) {
        st->script = script_of(input);
        st->reply = 0;
        tts_reset(st, 0);
    } else if (input->kind == INPUT_TEXT) {
        tts_text(st, input, now_ns, out);
    } else if (input->kind == INPUT_CANCEL && input->epoch == st->epoch) {
        tts_reset(st, st->epoch);
    }
    for (int i = 0; i < PIECES_A_STEP && st->count && now_ns >= st->next_ns; i++)
        tts_piece(st, out);
}

/* When a few pieces are due at once, but for the first of a reply, or the clause's last one is: a
 * voice that is faster than real time need not be woken for each. */
static int64_t tts_deadline(const void *state)
{
    const struct tts_state *st = state;

    if (st->count == 0)
        return NEVER_NS;
    int64_t left = (st->samples[st->head] - st->at - 1) / SCRIPTED_PIECE_SAMPLES;
    int64_t more = st->buzz == 0 ? 0 : left < PIECES_AT_ONCE - 1 ? left : PIECES_AT_ONCE - 1;
    return st->next_ns +
           more * SCRIPTED_PIECE_SAMPLES * (NS_PER_S / SCRIPTED_RATE_HZ) / st->script->tts_speed;
}

const struct provider_ops tts_scripted = {
    .name = "scripted",
    .kind = PROVIDER_TTS,
    .summary = "speaks a buzz as long as the text, each reply at a pitch of its own",
    .settings = "script tts_first_ms tts_speed",
    .rate_hz = SCRIPTED_RATE_HZ,
    .state_bytes = sizeof(struct tts_state),
    .load = scripted_load,
    .unload = scripted_unload,
    .step = tts_step,
    .deadline = tts_deadline,
};
