#include "tools/providers/fault.h"

#include <errno.h>
#include <stdio.h>

#include "base/limits.h"

/* What may follow the name of a fault. */
struct fault_shape {
    const char *name;
    uint64_t least, most; /* of its number; most 0: it has none */
    uint64_t usual;       /* without a number; 0: it must be given */
    bool after;           /* may come in mid-answer */
    bool at_once;         /* makes sense instead of an answer */
};

static const struct fault_shape shapes[] = {
    [FAULT_STATUS] = {"status", 300, 599, 0, false, true},
    [FAULT_RESET] = {"reset", 0, 0, 0, true, true},
    [FAULT_CLOSE] = {"close", 1000, 4999, FAULT_CLOSE_USUAL, true, true},
    [FAULT_VANISH] = {"vanish", 0, 0, 0, true, true},
    [FAULT_SILENCE] = {"silence", 0, 0, 0, true, true},
    [FAULT_GARBAGE] = {"garbage", 0, 0, 0, true, false},
    [FAULT_UTF8] = {"utf8", 0, 0, 0, true, false},
    [FAULT_NOISE] = {"noise", 0, 0, 0, true, true},
    [FAULT_HUGE] = {"huge", 1, FAULT_BYTES_MAX, 0, true, false},
    [FAULT_ENDLESS] = {"endless", 0, 0, 0, true, false},
    [FAULT_DRIP] = {"drip", 1, 100000, 0, true, false},
    [FAULT_LATE] = {"late", 1, 600000, 0, false, false},
    [FAULT_ERROR] = {"error", 0, 0, 0, true, false},
};

const char *fault_name(enum fault_kind kind)
{
    return shapes[kind].name;
}

static int refuse(char *why, const char *what, struct slice word)
{
    snprintf(why, FAULT_WHY_BYTES, "%s: \"%.*s\"", what, word.len > 60 ? 60 : SLICE_ARG(word));
    return -EINVAL;
}

static struct slice next_word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    return slice_cut(*rest, ' ', rest);
}

static bool next_is(struct slice *rest, const char *word)
{
    struct slice after = *rest;

    if (!slice_equal(next_word(&after), slice_str(word)))
        return false;
    *rest = after;
    return true;
}

static bool next_number(struct slice *rest, uint64_t least, uint64_t most, uint64_t *out)
{
    return slice_u64(next_word(rest), most, out) == 0 && *out >= least;
}

static bool requests_parse(struct slice text, struct fault *f)
{
    struct slice last, first = slice_cut(text, '-', &last);

    if (slice_u64(first, UINT32_MAX, &f->first) < 0 || f->first == 0)
        return false;
    f->last = f->first;
    return last.len == 0 || (slice_u64(last, UINT32_MAX, &f->last) == 0 && f->last >= f->first);
}

static int when_parse(struct slice text, struct fault *f, char *why)
{
    struct slice rest = text;
    struct slice how = next_word(&rest);

    rest = slice_trim(rest);
    f->when = FAULT_REQUESTS;
    f->first = 1;
    f->last = UINT64_MAX;
    if (how.len == 0)
        return 0;
    if (slice_equal(how, SLICE("request")) && requests_parse(rest, f))
        return 0;
    if (slice_equal(how, SLICE("every")) && slice_u64(rest, UINT32_MAX, &f->first) == 0 &&
        f->first > 0) {
        f->when = FAULT_EVERY;
        return 0;
    }
    if (slice_equal(how, SLICE("chance")) && slice_u64(rest, 100, &f->first) == 0) {
        f->when = FAULT_CHANCE;
        return 0;
    }
    if (slice_equal(how, SLICE("if")) && rest.len &&
        slice_cstr(rest, f->word, sizeof(f->word)) == 0) {
        f->when = FAULT_IF;
        return 0;
    }
    return refuse(why,
                  "is not \"request N\", \"request N-M\", \"every N\", \"chance PER_CENT\" or "
                  "\"if WORD\"",
                  text);
}

static int what_parse(struct slice text, struct fault *f, char *why)
{
    struct slice rest = text, name = next_word(&rest), peek;
    uint64_t n;
    size_t kind = 0;

    while (kind < ARRAY_LEN(shapes) && !slice_equal(name, slice_str(shapes[kind].name)))
        kind++;
    if (kind == ARRAY_LEN(shapes))
        return refuse(why, "is no fault that exists", name);
    const struct fault_shape *s = &shapes[kind];
    f->kind = (enum fault_kind)kind;
    f->number = s->usual;
    f->after = s->at_once ? FAULT_AT_ONCE : 0;
    f->retry_after = -1;
    peek = rest;
    if (s->most && next_number(&peek, s->least, s->most, &f->number))
        rest = peek;
    else if (s->most && !s->usual)
        return refuse(why, "has no number, or one out of its range", text);
    if (s->after && next_is(&rest, "after")) {
        if (!next_number(&rest, 0, UINT32_MAX, &n))
            return refuse(why, "does not say after how many pieces", text);
        f->after = (int64_t)n;
    }
    if (f->kind == FAULT_STATUS && next_is(&rest, "retry-after")) {
        if (!next_number(&rest, 0, 3600, &n))
            return refuse(why, "does not say after how many seconds", text);
        f->retry_after = (int64_t)n;
    }
    rest = slice_trim(rest);
    return rest.len ? refuse(why, "has more words than it understands", rest) : 0;
}

int fault_parse(struct slice line, struct fault *out, char *why)
{
    struct slice what, head = slice_cut(line, ':', &what), when = head;
    struct slice service = next_word(&when);

    *out = (struct fault){0};
    if (slice_trim(what).len == 0)
        return refuse(why, "is not \"SERVICE WHEN: FAULT\"", line);
    if (service.len == 0 || slice_cstr(service, out->service, sizeof(out->service)) < 0)
        return refuse(why, "does not begin with a service or *", line);
    int err = when_parse(when, out, why);
    return err ? err : what_parse(what, out, why);
}

static bool holds(struct slice text, const char *word)
{
    return text.len && memmem(text.at, text.len, word, strlen(word));
}

static bool serves(const struct fault *f, const char *service)
{
    return strcmp(f->service, "*") == 0 || strcmp(f->service, service) == 0;
}

static bool fits(const struct fault *f, uint64_t number, struct slice text, struct rand *chance)
{
    switch (f->when) {
    case FAULT_REQUESTS:
        return number >= f->first && number <= f->last;
    case FAULT_EVERY:
        return number % f->first == 0;
    case FAULT_CHANCE:
        return rand_chance(chance, (uint32_t)f->first * 10);
    case FAULT_IF:
        return holds(text, f->word);
    }
    return false;
}

const struct fault *fault_pick(const struct fault *faults, size_t count, const char *service,
                               uint64_t number, struct slice text, struct rand *chance)
{
    for (size_t i = 0; i < count; i++)
        if (serves(&faults[i], service) && fits(&faults[i], number, text, chance))
            return &faults[i];
    return NULL;
}

const struct fault *fault_in_message(const struct fault *faults, size_t count, const char *service,
                                     struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (faults[i].when == FAULT_IF && serves(&faults[i], service) &&
            holds(text, faults[i].word))
            return &faults[i];
    return NULL;
}
