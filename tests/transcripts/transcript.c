#include "transcript.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *word;
    enum step_kind kind;
} verbs[] = {{"case", STEP_CASE},     {"provider", STEP_PROVIDER},
             {"config", STEP_CONFIG}, {"setting", STEP_SETTING},
             {"tool", STEP_TOOL},     {"environment", STEP_ENVIRONMENT},
             {"line", STEP_LINE},     {"do", STEP_DO},
             {"wait", STEP_WAIT},     {">", STEP_EXPECT}},
  worlds[] = {{"opened", STEP_OPENED}, {"text", STEP_TEXT}, {"binary", STEP_BINARY},
              {"status", STEP_STATUS}, {"body", STEP_BODY}, {"end", STEP_END},
              {"closed", STEP_CLOSED}};

static int complain(char *why, uint32_t number, const char *what)
{
    snprintf(why, TRANSCRIPT_WHY_BYTES, "line %u: %s", number, what);
    return -EINVAL;
}

/* The next word; what follows its one blank is the rest. */
static struct slice next_word(struct slice *rest)
{
    return slice_cut(*rest, ' ', rest);
}

static bool find_kind(struct step *s, struct slice word, bool world)
{
    size_t count = world ? ARRAY_LEN(worlds) : ARRAY_LEN(verbs);

    for (size_t i = 0; i < count; i++) {
        const char *name = world ? worlds[i].word : verbs[i].word;
        if (slice_equal(word, slice_str(name))) {
            s->kind = world ? worlds[i].kind : verbs[i].kind;
            return true;
        }
    }
    return false;
}

static bool take_number(struct slice *rest, int64_t *out)
{
    uint64_t n;

    if (slice_u64(next_word(rest), UINT32_MAX, &n) < 0)
        return false;
    *out = (int64_t)n;
    return true;
}

/* start and stop have no epoch; audio also has a number of samples. */
static bool parse_do(struct step *s, struct slice rest)
{
    int64_t epoch = 0;

    s->word = next_word(&rest);
    bool bare = slice_equal(s->word, SLICE("start")) || slice_equal(s->word, SLICE("stop"));
    if (!bare && !take_number(&rest, &epoch))
        return false;
    s->epoch = (uint32_t)epoch;
    if ((slice_equal(s->word, SLICE("audio")) || slice_equal(s->word, SLICE("soft")) ||
         slice_equal(s->word, SLICE("tool"))) &&
        !take_number(&rest, &s->value))
        return false;
    s->text = rest;
    return true;
}

static bool parse_step(struct step *s, struct slice line)
{
    struct slice rest, word = slice_cut(line, ' ', &rest);
    bool world = slice_equal(word, SLICE("<"));

    if (world)
        word = next_word(&rest);
    if (!find_kind(s, word, world))
        return false;
    if (s->kind == STEP_DO)
        return parse_do(s, rest);
    if (s->kind == STEP_WAIT || s->kind == STEP_STATUS || s->kind == STEP_CLOSED)
        return take_number(&rest, &s->value);
    if (s->kind == STEP_CONFIG || s->kind == STEP_SETTING || s->kind == STEP_TOOL ||
        s->kind == STEP_LINE || s->kind == STEP_PROVIDER)
        s->word = next_word(&rest);
    s->text = rest;
    return true;
}

int transcript_parse(struct transcript *t, struct slice bytes, char *why)
{
    uint32_t number = 0;

    t->bytes = bytes;
    t->count = t->case_count = 0;
    while (bytes.len) {
        struct slice line = slice_cut(bytes, '\n', &bytes);
        number++;
        if (line.len == 0 || line.at[0] == '#')
            continue;
        if (t->count == TRANSCRIPT_STEPS_MAX)
            return complain(why, number, "too many lines");
        struct step *s = &t->steps[t->count];
        *s = (struct step){.number = number};
        if (!parse_step(s, line))
            return complain(why, number, "not understood");
        if (s->kind == STEP_CASE && t->case_count == ARRAY_LEN(t->case_at))
            return complain(why, number, "too many cases");
        if (s->kind == STEP_CASE)
            t->case_at[t->case_count++] = t->count;
        t->count++;
    }
    return t->case_count ? 0 : complain(why, number, "no case");
}

struct transcript *transcript_new(const char *path, char *why)
{
    struct transcript *t = calloc(1, sizeof(*t));
    uint8_t *bytes = malloc(TRANSCRIPT_BYTES_MAX);
    FILE *f = fopen(path, "re");

    if (!t || !bytes || !f) {
        snprintf(why, TRANSCRIPT_WHY_BYTES, "%s cannot be read", path);
        goto fail;
    }
    size_t len = fread(bytes, 1, TRANSCRIPT_BYTES_MAX, f);
    if (transcript_parse(t, slice_of(bytes, len), why))
        goto fail;
    fclose(f);
    return t;
fail:
    if (f)
        fclose(f);
    free(bytes);
    free(t);
    return NULL;
}

void transcript_free(struct transcript **t)
{
    if (!*t)
        return;
    free((void *)(uintptr_t)(*t)->bytes.at);
    free(*t);
    *t = NULL;
}

uint32_t transcript_sum(struct slice bytes)
{
    uint32_t sum = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ bytes.at[i]) * 16777619u;
    return sum;
}
