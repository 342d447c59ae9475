#include "tools/providers/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "media/g711.h"
#include "media/wav.h"

#define AT(member)    offsetof(struct settings, member)
#define WAV_BYTES_MAX (32 * 1024 * 1024)
#define LOG_CONSOLE   "stdout"
#define WAV_NONE      "none"

static const struct schema_field fields[] = {
    {"bind", FIELD_ADDRESS, AT(bind), "127.0.0.1:9900",
     .help = "Where all the services listen; port 0: any free one."},
    {"log", FIELD_PATH, AT(log), LOG_CONSOLE,
     .help = "File of JSON lines with all that was asked; stdout: standard output."},
    {"log_sent", FIELD_BOOL, AT(log_sent), "false",
     .help = "Also a line for each piece of an answer that is sent."},
    {"seed", FIELD_WHOLE, AT(seed), "1", NULL, 0, 9007199254740992.0,
     .help = "Delays and faults repeat with it; 0: others each time."},
    {"keys", FIELD_TEXTS, AT(keys), "", NULL, 0, SETTINGS_KEYS, "[secret]",
     "Keys that clients may show; none: any key, but one there must be."},
    {"hear.texts", FIELD_TEXTS, AT(hear_texts), "", NULL, 0, 256, "[\"what are your hours\"]",
     "The n-th utterance is heard as the n-th text; \"@2.5 text\" comes after 2.5 s of sound."},
    {"hear.files", FIELD_PATHS, AT(hear_files), "", NULL, 0, SETTINGS_SCRIPTS, "[]",
     "The same from files, a text a line: one file for each connection in turn."},
    {"hear.count", FIELD_CHOICE, AT(hear_count), "connection", "connection|server",
     .help = "server: the texts go on behind a reconnection instead of from the beginning."},
    {"hear.end_of_turn", FIELD_TEXT, AT(end_of_turn_text), "constant 260",
     .help = "From the last voiced sample that came to the final result."},
    {"hear.finalize", FIELD_TEXT, AT(finalize_text), "constant 50",
     .help = "From the client's request to be done to the final result."},
    {"hear.transcription", FIELD_TEXT, AT(transcription_text), "lognormal 300 900",
     .help = "From an uploaded file to its text."},
    {"hear.gap_ms", FIELD_WHOLE, AT(gap_ms), "240", NULL, 20, 10000,
     .help = "Silence that ends an utterance."},
    {"hear.least_ms", FIELD_WHOLE, AT(least_ms), "100", NULL, 0, 10000,
     .help = "Voice that an utterance must have, else it was noise."},
    {"hear.level", FIELD_NUMBER, AT(level), "400", NULL, 1, 32767,
     .help = "Loudness from which on sound is voice, as root mean square of 16-bit samples."},
    {"hear.interim_ms", FIELD_WHOLE, AT(interim_ms), "200", NULL, 20, 10000,
     .help = "Time between results while somebody speaks."},
    {"hear.idle_ms", FIELD_WHOLE, AT(idle_ms), "10000", NULL, 100, 600000,
     .help = "Time without sound or keep-alive after which the connection is closed."},
    {"answer.texts", FIELD_TEXTS, AT(answer_texts), "", NULL, 0, SETTINGS_ANSWERS,
     "[\"We are open from eight to six.\"]", "Answers in their order, then again from the first."},
    {"answer.rules", FIELD_TEXTS, AT(answer_rules), "", NULL, 0, SETTINGS_ANSWERS,
     "[\"book => call find {\\\"said\\\":\\\"{last}\\\"}\"]",
     "\"WORDS => ANSWER\": the first whose words are in the last message; before the texts."},
    {"answer.first_token", FIELD_TEXT, AT(first_token_text), "constant 160",
     .help = "From the request to the first token."},
    {"answer.token", FIELD_TEXT, AT(token_text), "constant 10",
     .help = "From one token to the next."},
    {"speak.first_audio", FIELD_TEXT, AT(first_audio_text), "constant 90",
     .help = "From the text to its first audio."},
    {"speak.speed", FIELD_NUMBER, AT(speed), "8", NULL, 0.1, 1000,
     .help = "How many times faster than real time audio is sent."},
    {"speak.piece_ms", FIELD_WHOLE, AT(piece_ms), "100", NULL, 10, 5000,
     .help = "Audio in one message."},
    {"speak.ms_per_character", FIELD_NUMBER, AT(ms_per_character), "60", NULL, 1, 1000,
     .help = "How long speech gets."},
    {"speak.wav", FIELD_PATH, AT(wav), WAV_NONE,
     .help = "Recording to speak with, repeated or cut (16 bit or G.711); none: a buzz."},
    {"speak.marked", FIELD_BOOL, AT(marked), "false",
     .help = "A saw tooth whose period says the text's first number, for sidetone-load."},
    {"faults", FIELD_TEXTS, AT(fault_lines), "", NULL, 0, FAULTS_MAX,
     "[\"openai.chat request 2: status 429\"]", "\"SERVICE WHEN: FAULT\", see the documentation."},
};

static const struct schema schema = {
    .title = "Configuration of sidetone-providers.",
    .fields = fields,
    .count = ARRAY_LEN(fields),
};

/* One reading: the settings that grow, and where to complain. */
struct loading {
    struct settings *s;
    char *why;
};

static int complain(struct loading *l, const struct yaml_node *node, const char *what)
{
    return config_complain(l->s->doc, node, l->why, SETTINGS_WHY_BYTES, "%s", what);
}

/* The i-th item of the list at this path. */
static const struct yaml_node *item_of(struct loading *l, const char *path, size_t i)
{
    struct yaml_node *list = schema_node(l->s->doc, path);
    struct yaml_node *n = list ? list->child : NULL;

    while (n && i--)
        n = n->next;
    return n ? n : list;
}

static void *room(size_t count, size_t bytes)
{
    void *at = calloc(count ? count : 1, bytes);

    if (!at)
        abort();
    return at;
}

static int delay_take(struct loading *l, const char *path, const char *text, struct delay *out)
{
    char why[DELAY_WHY_BYTES];

    if (delay_parse(slice_str(text), out, why) == 0)
        return 0;
    return complain(l, schema_node(l->s->doc, path), why);
}

static int delays_take(struct loading *l)
{
    struct settings *s = l->s;
    const struct {
        const char *path;
        const char *text;
        struct delay *out;
    } all[] = {
        {"hear.end_of_turn", s->end_of_turn_text, &s->end_of_turn},
        {"hear.finalize", s->finalize_text, &s->finalize},
        {"hear.transcription", s->transcription_text, &s->transcription},
        {"answer.first_token", s->first_token_text, &s->first_token},
        {"answer.token", s->token_text, &s->token},
        {"speak.first_audio", s->first_audio_text, &s->first_audio},
    };
    int err = 0;

    for (size_t i = 0; i < ARRAY_LEN(all) && !err; i++)
        err = delay_take(l, all[i].path, all[i].text, all[i].out);
    return err;
}

/* A whole file with a final NUL; NULL with errno. */
static char *file_load(const char *path, size_t bytes_max, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *at = f ? room(1, bytes_max + 2) : NULL;

    if (!f)
        return NULL;
    errno = 0;
    *len = fread(at, 1, bytes_max + 1, f);
    int err = ferror(f) ? errno : *len > bytes_max ? EFBIG : 0;
    fclose(f);
    if (err) {
        free(at);
        errno = err;
        return NULL;
    }
    return at;
}

static int file_complain(struct loading *l, const char *path, size_t line, const char *what)
{
    snprintf(l->why, SETTINGS_WHY_BYTES, "%s:%zu: %s", path, line, what);
    return -EINVAL;
}

static int script_parse(struct loading *l, const char *path, struct slice text,
                        struct hear_script *out)
{
    char why[SCRIPT_WHY_BYTES];

    out->lines = room(SCRIPT_LINES_MAX, sizeof(*out->lines));
    for (size_t number = 1; text.len; number++) {
        struct slice line = slice_trim(slice_cut(text, '\n', &text));
        if (line.len == 0 || line.at[0] == '#')
            continue;
        if (out->count == SCRIPT_LINES_MAX)
            return file_complain(l, path, number, "more than 4096 lines");
        if (heard_parse(line, &out->lines[out->count++], why) < 0)
            return file_complain(l, path, number, why);
    }
    return 0;
}

static int script_load(struct loading *l, size_t i)
{
    struct settings *s = l->s;
    const char *path = s->hear_files.at[i];
    char what[SCRIPT_WHY_BYTES];
    size_t len;

    s->files[i] = file_load(path, SCRIPT_BYTES_MAX, &len);
    if (s->files[i])
        return script_parse(l, path, slice_of(s->files[i], len), &s->scripts[i]);
    snprintf(what, sizeof(what), "cannot be read: %s", strerror(errno));
    return complain(l, item_of(l, "hear.files", i), what);
}

static int hearing_take(struct loading *l)
{
    struct settings *s = l->s;
    char why[SCRIPT_WHY_BYTES];
    int err = 0;

    if (s->hear_texts.count && s->hear_files.count)
        return complain(l, schema_node(s->doc, "hear.files"), "there is also hear.texts: take one");
    s->script_count = s->hear_files.count ? s->hear_files.count : 1;
    s->scripts = room(s->script_count, sizeof(*s->scripts));
    for (size_t i = 0; i < s->hear_files.count && !err; i++)
        err = script_load(l, i);
    if (s->hear_files.count)
        return err;
    s->scripts[0].lines = room(s->hear_texts.count, sizeof(struct heard));
    for (size_t i = 0; i < s->hear_texts.count; i++, s->scripts[0].count++)
        if (heard_parse(slice_str(s->hear_texts.at[i]), &s->scripts[0].lines[i], why) < 0)
            return complain(l, item_of(l, "hear.texts", i), why);
    return 0;
}

static int answer_check(struct loading *l, const char *path, size_t i, struct slice text)
{
    struct answer *a = room(1, sizeof(*a));
    char why[SCRIPT_WHY_BYTES];
    int err = answer_make(text, SLICE("word"), a, why);

    free(a);
    return err ? complain(l, item_of(l, path, i), why) : 0;
}

static int answers_take(struct loading *l)
{
    struct settings *s = l->s;
    char why[SCRIPT_WHY_BYTES];
    int err = 0;

    for (size_t i = 0; i < s->answer_texts.count && !err; i++)
        err = answer_check(l, "answer.texts", i, slice_str(s->answer_texts.at[i]));
    s->rules = room(s->answer_rules.count, sizeof(*s->rules));
    for (size_t i = 0; i < s->answer_rules.count && !err; i++) {
        if (answer_rule_parse(slice_str(s->answer_rules.at[i]), &s->rules[i], why) < 0)
            return complain(l, item_of(l, "answer.rules", i), why);
        err = answer_check(l, "answer.rules", i, s->rules[i].answer);
    }
    return err;
}

static bool is_service(const char *name, const char *const *services)
{
    for (; *services; services++)
        if (strcmp(name, *services) == 0)
            return true;
    return strcmp(name, "*") == 0;
}

static int faults_take(struct loading *l, const char *const *services)
{
    struct settings *s = l->s;
    char why[FAULT_WHY_BYTES];

    s->faults = room(s->fault_lines.count, sizeof(*s->faults));
    for (size_t i = 0; i < s->fault_lines.count; i++) {
        if (fault_parse(slice_str(s->fault_lines.at[i]), &s->faults[i], why) < 0)
            return complain(l, item_of(l, "faults", i), why);
        if (is_service(s->faults[i].service, services))
            continue;
        snprintf(why, sizeof(why), "there is no service \"%s\"; --help lists them",
                 s->faults[i].service);
        return complain(l, item_of(l, "faults", i), why);
    }
    return 0;
}

static void samples_take(struct settings *s, const struct wav_info *wav)
{
    size_t n = wav->data.len / wav_block_bytes(&wav->format);

    s->recording = room(n, sizeof(*s->recording));
    if (wav->format.encoding == WAV_MULAW)
        g711_mulaw_decode(s->recording, wav->data.at, n);
    else if (wav->format.encoding == WAV_ALAW)
        g711_alaw_decode(s->recording, wav->data.at, n);
    else
        memcpy(s->recording, wav->data.at, n * sizeof(*s->recording));
    s->voice =
        (struct voice_source){.pcm = s->recording, .samples = n, .rate_hz = wav->format.rate_hz};
}

static int voice_take(struct loading *l)
{
    struct settings *s = l->s;
    struct wav_info wav;
    char what[SCRIPT_WHY_BYTES];
    size_t len;

    if (!s->wav)
        return 0;
    char *file = file_load(s->wav, WAV_BYTES_MAX, &len);
    if (!file) {
        snprintf(what, sizeof(what), "cannot be read: %s", strerror(errno));
        return complain(l, schema_node(s->doc, "speak.wav"), what);
    }
    bool fine = wav_parse(slice_of(file, len), &wav) == 0 && wav.format.channels == 1 &&
                wav.data.len >= wav_block_bytes(&wav.format);
    if (fine)
        samples_take(s, &wav);
    free(file);
    return fine ? 0
                : complain(l, schema_node(s->doc, "speak.wav"),
                           "is no WAV of one channel, 16 bit or G.711, with sound in it");
}

/* A word of ours in a path's place, not a file beside the configuration. */
static bool path_is(const char *path, const char *word)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash ? slash + 1 : path, word) == 0;
}

static int take(struct settings *s, const char *const *services, char *why)
{
    struct loading l = {s, why};
    int err = schema_read(&schema, s->doc, s, why, SETTINGS_WHY_BYTES);

    if (err)
        return err;
    s->log = path_is(s->log, LOG_CONSOLE) ? NULL : s->log;
    s->wav = path_is(s->wav, WAV_NONE) ? NULL : s->wav;
    err = delays_take(&l);
    if (!err)
        err = hearing_take(&l);
    if (!err)
        err = answers_take(&l);
    if (!err)
        err = faults_take(&l, services);
    return err ? err : voice_take(&l);
}

int settings_load(const char *path, const char *const *services, struct settings *out, char *why)
{
    *out = (struct settings){0};
    int err = yaml_doc_load(path, yaml_env_process, &out->doc, why, SETTINGS_WHY_BYTES);

    if (!err)
        err = take(out, services, why);
    if (err)
        settings_free(out);
    return err;
}

int settings_read(const char *file, struct slice text, const char *const *services,
                  struct settings *out, char *why)
{
    *out = (struct settings){0};
    int err = yaml_doc_read(file, text, yaml_env_process, &out->doc, why, SETTINGS_WHY_BYTES);

    if (!err)
        err = take(out, services, why);
    if (err)
        settings_free(out);
    return err;
}

void settings_free(struct settings *s)
{
    for (size_t i = 0; i < s->script_count; i++)
        free(s->scripts ? s->scripts[i].lines : NULL);
    for (size_t i = 0; i < SETTINGS_SCRIPTS; i++)
        free(s->files[i]);
    free(s->scripts);
    free(s->rules);
    free(s->faults);
    free(s->recording);
    yaml_doc_free(&s->doc);
    *s = (struct settings){0};
}

char *settings_example(void)
{
    return schema_example(&schema);
}
