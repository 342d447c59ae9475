#include "provider/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct parse {
    struct rules *r;
    const char *file;
    unsigned line;
    int slot, intent; /* the block we are in, -1: none */
    int err;
    char *why;
    size_t why_bytes;
};

static void parse_fail(struct parse *p, const char *what, struct slice about)
{
    if (p->err)
        return;
    p->err = -EINVAL;
    int shown = about.len < 60 ? (int)about.len : 60;
    snprintf(p->why, p->why_bytes, "%s:%u: %s%s%.*s", p->file, p->line, what, shown ? " " : "",
             shown, shown ? (const char *)about.at : "");
}

static struct slice word_cut(struct slice *rest)
{
    *rest = slice_trim(*rest);
    struct slice word = slice_cut(*rest, ' ', rest);
    *rest = slice_trim(*rest);
    return slice_trim(word);
}

int rules_intent(const struct rules *r, struct slice name)
{
    for (int i = 0; i < r->intent_count; i++)
        if (slice_equal(r->intents[i].name, name))
            return i;
    return -1;
}

int rules_slot(const struct rules *r, struct slice name)
{
    for (int i = 0; i < r->slot_count; i++)
        if (slice_equal(r->slots[i].name, name))
            return i;
    return -1;
}

static int minutes_of(struct slice text)
{
    struct slice minute;
    struct slice hour = slice_cut(text, ':', &minute);
    uint64_t h, m;
    if (slice_u64(hour, 23, &h) || slice_u64(minute, 59, &m) || minute.len != 2)
        return -1;
    return (int)(h * 60 + m);
}

static bool name_valid(struct slice name)
{
    bool good = name.len > 0 && name.len < RULES_VALUE_BYTES;
    for (size_t i = 0; i < name.len && good; i++)
        good = (name.at[i] >= 'a' && name.at[i] <= 'z') ||
               (name.at[i] >= '0' && name.at[i] <= '9') || name.at[i] == '_' || name.at[i] == '-';
    return good;
}

/* slot NAME   |   slot NAME clock HH:MM HH:MM */
static void slot_line(struct parse *p, struct slice rest)
{
    struct slice name = word_cut(&rest), kind = word_cut(&rest);
    if (p->r->slot_count == RULES_SLOTS_MAX || !name_valid(name) || rules_slot(p->r, name) >= 0) {
        parse_fail(p, "too many slots, or no new name of a-z, 0-9, '_':", name);
        return;
    }
    struct rules_slot *slot = &p->r->slots[p->r->slot_count];
    *slot = (struct rules_slot){.name = name, .clock = slice_equal(kind, SLICE("clock"))};
    if (slot->clock) {
        slot->opens = minutes_of(word_cut(&rest));
        slot->closes = minutes_of(rest);
    }
    if ((kind.len && !slot->clock) || slot->opens < 0 || slot->closes < 0)
        parse_fail(p, "expected 'slot NAME' or 'slot NAME clock HH:MM HH:MM'", SLICE_NONE);
    p->slot = p->r->slot_count++;
    p->intent = -1;
}

/* value NAME KEY|- SPOKEN: phrase | phrase */
static void value_line(struct parse *p, struct slice rest)
{
    struct slice phrases;
    struct slice head = slice_cut(rest, ':', &phrases);
    struct slice name = word_cut(&head), key = word_cut(&head);
    if (p->slot < 0 || p->r->value_count == RULES_VALUES_MAX || !name_valid(name) || key.len != 1 ||
        !head.len || !slice_trim(phrases).len) {
        parse_fail(p, "expected, within a slot, 'value NAME KEY|- SPOKEN: phrase | phrase'",
                   SLICE_NONE);
        return;
    }
    p->r->values[p->r->value_count++] =
        (struct rules_value){.slot = p->slot,
                             .key = key.at[0] >= '0' && key.at[0] <= '9' ? (char)key.at[0] : '\0',
                             .name = name,
                             .spoken = slice_trim(head),
                             .phrases = slice_trim(phrases)};
}

static void intent_line(struct parse *p, struct slice rest)
{
    if (p->r->intent_count == RULES_INTENTS_MAX || !name_valid(rest) ||
        rules_intent(p->r, rest) >= 0) {
        parse_fail(p, "too many intents, or no new name of a-z, 0-9, '_':", rest);
        return;
    }
    p->r->intents[p->r->intent_count] = (struct rules_intent){.name = rest};
    p->intent = p->r->intent_count++;
    p->slot = -1;
}

/* cue WEIGHT pattern */
static void cue_line(struct parse *p, struct slice rest)
{
    struct slice weight = word_cut(&rest);
    bool minus = weight.len && weight.at[0] == '-';
    uint64_t number;
    if (minus)
        weight = slice_of(weight.at + 1, weight.len - 1);
    if (p->r->cue_count == RULES_CUES_MAX || slice_u64(weight, 100, &number) || !rest.len) {
        parse_fail(p, "expected 'cue WEIGHT words' (at most 1024 of them)", SLICE_NONE);
        return;
    }
    p->r->cues[p->r->cue_count++] = (struct rules_cue){
        .intent = p->intent, .weight = minus ? -(int)number : (int)number, .pattern = rest};
}

/* slots day time name?     (with '?': taken when said, not asked for) */
static void slots_line(struct parse *p, struct slice rest)
{
    struct rules_intent *intent = &p->r->intents[p->intent];
    while (rest.len && !p->err) {
        struct slice name = word_cut(&rest);
        bool maybe = name.len && name.at[name.len - 1] == '?';
        int slot = rules_slot(p->r, slice_of(name.at, name.len - maybe));
        if (slot < 0) {
            parse_fail(p, "no such slot:", name);
            return;
        }
        intent->reports = (uint8_t)(intent->reports | (1u << slot));
        if (!maybe)
            intent->needs = (uint8_t)(intent->needs | (1u << slot));
    }
}

static void ask_line(struct parse *p, struct slice rest)
{
    int slot = rules_slot(p->r, word_cut(&rest));
    if (slot < 0 || !rest.len)
        parse_fail(p, "expected 'ask SLOT question'", SLICE_NONE);
    else
        p->r->intents[p->intent].ask[slot] = rest;
}

static void key_line(struct parse *p, struct slice rest)
{
    struct slice key = word_cut(&rest);
    if (key.len != 1 || key.at[0] < '0' || key.at[0] > '9' || !rest.len) {
        parse_fail(p, "expected 'key DIGIT what the menu says'", SLICE_NONE);
        return;
    }
    p->r->intents[p->intent].key = (char)key.at[0];
    p->r->intents[p->intent].menu = rest;
}

static bool intent_part(struct parse *p, struct slice verb, struct slice rest)
{
    struct rules_intent *intent = &p->r->intents[p->intent];
    if (slice_equal(verb, SLICE("cue")))
        cue_line(p, rest);
    else if (slice_equal(verb, SLICE("slots")))
        slots_line(p, rest);
    else if (slice_equal(verb, SLICE("ask")))
        ask_line(p, rest);
    else if (slice_equal(verb, SLICE("key")))
        key_line(p, rest);
    else if (slice_equal(verb, SLICE("say")))
        intent->say = rest;
    else if (slice_equal(verb, SLICE("confirm")))
        intent->confirm = rest;
    else if (slice_equal(verb, SLICE("done")))
        intent->done = rest;
    else if (slice_equal(verb, SLICE("failed")))
        intent->failed = rest;
    else if (slice_equal(verb, SLICE("tool")) && name_valid(rest))
        intent->tool = rest;
    else if (slice_equal(verb, SLICE("hang_up")))
        intent->hang_up = true;
    else
        return false;
    return true;
}

/* text KIND words */
static void text_line(struct parse *p, struct slice rest)
{
    struct slice kind = word_cut(&rest);
    if (slice_equal(kind, SLICE("unclear")))
        p->r->unclear = rest;
    else if (slice_equal(kind, SLICE("silence")))
        p->r->silence = rest;
    else if (slice_equal(kind, SLICE("more")))
        p->r->more = rest;
    else if (slice_equal(kind, SLICE("declined")))
        p->r->declined = rest;
    else if (slice_equal(kind, SLICE("bye")))
        p->r->bye = rest;
    else
        parse_fail(p, "text is one of unclear, silence, more, declined, bye, not", kind);
}

static void line_parse(struct parse *p, struct slice line)
{
    struct slice verb = word_cut(&line);
    if (!verb.len || verb.at[0] == '#')
        return;
    if (slice_equal(verb, SLICE("slot")))
        slot_line(p, line);
    else if (slice_equal(verb, SLICE("value")))
        value_line(p, line);
    else if (slice_equal(verb, SLICE("intent")))
        intent_line(p, line);
    else if (slice_equal(verb, SLICE("text")))
        text_line(p, line);
    else if (p->intent < 0 || !intent_part(p, verb, line))
        parse_fail(p, "unknown word here:", verb);
}

/* What only the whole file shows: a needed slot has a question, an asking intent a tool. */
static void rules_check(struct parse *p)
{
    for (int i = 0; i < p->r->intent_count; i++) {
        const struct rules_intent *intent = &p->r->intents[i];
        bool task = intent->reports != 0;
        if (task &&
            (!intent->confirm.len || !intent->tool.len || !intent->done.len || !intent->failed.len))
            parse_fail(p,
                       "an intent with slots needs confirm, tool, done and failed:", intent->name);
        for (int s = 0; s < p->r->slot_count; s++)
            if ((intent->needs & (1u << s)) && !intent->ask[s].len)
                parse_fail(p, "a needed slot has no 'ask' line in intent", intent->name);
    }
    if (!p->r->intent_count || !p->r->unclear.len || !p->r->silence.len || !p->r->more.len ||
        !p->r->declined.len || !p->r->bye.len)
        parse_fail(p, "intents and all of text unclear, silence, more, declined, bye are needed",
                   SLICE_NONE);
}

static struct rules *rules_new(size_t text_bytes)
{
    struct rules *r = calloc(1, sizeof(*r));

    if (r)
        r->text = malloc(text_bytes + 1);
    if (r && !r->text) {
        free(r);
        return NULL;
    }
    return r;
}

int rules_parse(struct slice text, const char *file, struct rules **out, char *why,
                size_t why_bytes)
{
    struct rules *r = rules_new(text.len);
    *out = NULL;
    struct parse p = {
        .r = r, .file = file, .slot = -1, .intent = -1, .why = why, .why_bytes = why_bytes};
    if (!r)
        return -ENOMEM;
    if (text.len)
        memcpy(r->text, text.at, text.len);
    if (text.len > RULES_BYTES_MAX || !slice_is_utf8(text))
        parse_fail(&p, "too large, or not UTF-8", SLICE_NONE);
    for (struct slice left = slice_of(r->text, text.len); left.len && !p.err;) {
        p.line++;
        line_parse(&p, slice_trim(slice_cut(left, '\n', &left)));
    }
    if (!p.err)
        rules_check(&p);
    if (p.err)
        rules_free(&r);
    *out = r;
    return p.err;
}

void rules_free(struct rules **r)
{
    if (!*r)
        return;
    free((*r)->text);
    free(*r);
    *r = NULL;
}

/* ---- understanding ---- */

struct sentence {
    struct slice words[RULES_WORDS_MAX];
    int count;
    char lower[1024];
};

static void sentence_split(struct slice text, struct sentence *s)
{
    size_t len = 0;
    s->count = 0;
    for (size_t i = 0; i <= text.len && len < sizeof(s->lower) - 1; i++) {
        uint8_t c = i < text.len ? text.at[i] : ' ';
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '\'' || c == ':';
        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c + 'a' - 'A');
            letter = true;
        }
        s->lower[len] = letter ? (char)c : ' ';
        len++;
    }
    for (struct slice left = slice_of(s->lower, len); left.len && s->count < RULES_WORDS_MAX;) {
        struct slice word = slice_trim(slice_cut(left, ' ', &left));
        if (word.len)
            s->words[s->count++] = word;
    }
}

static bool is_word(const struct sentence *s, int at, const char *word)
{
    return at >= 0 && at < s->count && slice_equal(s->words[at], slice_str(word));
}

static bool word_matches(struct slice alternatives, struct slice word)
{
    while (alternatives.len)
        if (slice_equal(slice_cut(alternatives, '|', &alternatives), word))
            return true;
    return false;
}

/* Where a pattern may end, a bit per word boundary: '^' start, '$' end, '*' up to three words. Bits
 * walk through the sentence together, so the cost is words times pattern, whatever they hold. */
static uint64_t pattern_ends(const struct sentence *s, struct slice pattern)
{
    uint64_t all = (UINT64_C(2) << s->count) - 1, at = all;
    while (pattern.len && at) {
        struct slice part = word_cut(&pattern);
        if (slice_equal(part, SLICE("^"))) {
            at &= 1;
        } else if (slice_equal(part, SLICE("$"))) {
            at &= UINT64_C(1) << s->count;
        } else if (slice_equal(part, SLICE("*"))) {
            at = (at | at << 1 | at << 2 | at << 3) & all;
        } else {
            uint64_t next = 0;
            for (int i = 0; i < s->count; i++)
                if ((at >> i & 1) && word_matches(part, s->words[i]))
                    next |= UINT64_C(2) << i;
            at = next;
        }
    }
    return at;
}

/* The last value said counts: "on Monday, no, Tuesday". */
static void values_find(const struct rules *r, const struct sentence *s, struct understood *u)
{
    uint64_t latest[RULES_SLOTS_MAX] = {0};
    for (int i = 0; i < r->value_count; i++) {
        const struct rules_value *value = &r->values[i];
        struct slice left = value->phrases;
        uint64_t ends = 0;
        while (left.len)
            ends |= pattern_ends(s, slice_trim(slice_cut(left, '|', &left)));
        if (ends > latest[value->slot]) {
            latest[value->slot] = ends;
            slice_cstr(value->name, u->values[value->slot], RULES_VALUE_BYTES);
        }
    }
}

static int number_at(const struct sentence *s, int at)
{
    static const struct {
        const char *word;
        int number;
    } numbers[] = {{"one", 1},     {"two", 2},     {"three", 3},   {"four", 4},     {"five", 5},
                   {"six", 6},     {"seven", 7},   {"eight", 8},   {"nine", 9},     {"ten", 10},
                   {"eleven", 11}, {"twelve", 12}, {"twenty", 20}, {"fifteen", 15}, {"thirty", 30},
                   {"forty", 40},  {"fifty", 50}};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (is_word(s, at, numbers[i].word))
            return numbers[i].number;
    return -1;
}

static int hour_at(const struct sentence *s, int at)
{
    int number = number_at(s, at);
    return number >= 1 && number <= 12 ? number : -1;
}

/* Minutes said behind an hour: "thirty", "forty five"; 0 if none; *len words of them. */
static int minutes_at(const struct sentence *s, int at, int *len)
{
    int tens = number_at(s, at), ones = number_at(s, at + 1);
    *len = 0;
    if (tens < 10 || tens == 11 || tens == 12)
        return 0;
    *len = 1;
    if (tens >= 20 && ones >= 1 && ones <= 9) {
        *len = 2;
        return tens + ones;
    }
    return tens;
}

static bool before_hour(const struct sentence *s, int at)
{
    static const char *const leads[] = {"at",     "around", "about", "by",   "for",
                                        "before", "after",  "to",    "until"};
    for (size_t i = 0; i < ARRAY_LEN(leads); i++)
        if (is_word(s, at, leads[i]))
            return true;
    return false;
}

/* Half of the day behind a time: 0 morning, 12 afternoon, -1 not said. */
static int half_at(const struct sentence *s, int at)
{
    if (is_word(s, at, "o'clock") || is_word(s, at, "oclock"))
        at++;
    if (is_word(s, at, "am"))
        return 0;
    if (is_word(s, at, "pm"))
        return 12;
    at += is_word(s, at, "in") ? 1 : 0;
    at += is_word(s, at, "the") ? 1 : 0;
    if (is_word(s, at, "morning"))
        return 0;
    return is_word(s, at, "afternoon") || is_word(s, at, "evening") ? 12 : -1;
}

/* "half past ten", "quarter to three", "ten to nine" at `at`: minutes of a 12-hour day, or -1. */
static int relative_at(const struct sentence *s, int at, int *len)
{
    int offset = is_word(s, at, "half") ? 30 : is_word(s, at, "quarter") ? 15 : number_at(s, at);
    bool past = is_word(s, at + 1, "past") || is_word(s, at + 1, "after");
    bool to = is_word(s, at + 1, "to");
    int hour = hour_at(s, at + 2);
    *len = 3;
    if (offset < 5 || hour < 0 || (!past && !to) || (offset == 30 && !past))
        return -1;
    return (hour * 60 + (past ? offset : -offset) + 720) % 720;
}

/* "ten", "ten thirty", "ten o'clock": as above. A bare "one" is rarely a time. */
static int absolute_at(const struct sentence *s, int at, bool asked, int *len)
{
    int hour = hour_at(s, at), more;
    if (hour < 0)
        return -1;
    int minutes = minutes_at(s, at + 1, &more);
    *len = 1 + more;
    bool sure =
        more || before_hour(s, at - 1) || half_at(s, at + 1) >= 0 || is_word(s, at + 1, "o'clock");
    if (!sure && hour == 1 && !(asked && s->count <= 3))
        return -1;
    return hour % 12 * 60 + minutes;
}

static int day_minutes(const struct rules_slot *slot, int minutes, int half)
{
    if (half >= 0)
        return minutes + half * 60;
    if (minutes >= slot->opens && minutes <= slot->closes)
        return minutes;
    return minutes + 720 >= slot->opens && minutes + 720 <= slot->closes ? minutes + 720 : minutes;
}

static void clock_find(const struct rules *r, const struct sentence *s, int slot, bool asked,
                       struct understood *u)
{
    for (int i = 0; i < s->count;) {
        int len = 1;
        int minutes = relative_at(s, i, &len);
        if (minutes < 0)
            minutes = absolute_at(s, i, asked, &len);
        if (minutes < 0 && (is_word(s, i, "noon") || is_word(s, i, "midday"))) {
            minutes = 0;
            len = 1;
        }
        if (minutes >= 0) {
            int day = day_minutes(
                &r->slots[slot], minutes,
                is_word(s, i, "noon") || is_word(s, i, "midday") ? 12 : half_at(s, i + len));
            snprintf(u->values[slot], RULES_VALUE_BYTES, "%02d:%02d", day / 60 % 24, day % 60);
            i += len;
        } else {
            i++;
        }
    }
}

static void intent_find(const struct rules *r, const struct sentence *s, struct understood *u)
{
    int scores[RULES_INTENTS_MAX] = {0};
    for (int i = 0; i < r->cue_count; i++)
        if (pattern_ends(s, r->cues[i].pattern))
            scores[r->cues[i].intent] += r->cues[i].weight;
    u->intent = -1;
    u->score = 0;
    for (int i = 0; i < r->intent_count; i++)
        if (scores[i] > u->score && scores[i] >= 2) {
            u->score = scores[i];
            u->intent = i;
        }
}

void rules_understand(const struct rules *r, struct slice text, int asked, struct understood *u)
{
    struct sentence s;
    memset(u, 0, sizeof(*u));
    sentence_split(text, &s);
    values_find(r, &s, u);
    for (int i = 0; i < r->slot_count; i++)
        if (r->slots[i].clock)
            clock_find(r, &s, i, asked == i, u);
    for (int i = 0; i < r->slot_count; i++)
        u->any_slot = u->any_slot || u->values[i][0];
    intent_find(r, &s, u);
    /* "Yes, at nine" informs; "no, Tuesday" corrects, which is the same. The answer to what was
     * asked outweighs a cue beside it. */
    int weight = asked >= 0 && u->values[asked][0] ? 4 : 2;
    bool weak = u->score <= weight || u->intent == rules_intent(r, SLICE("yes")) ||
                u->intent == rules_intent(r, SLICE("no"));
    if (u->any_slot && u->intent >= 0 && !r->intents[u->intent].reports && weak)
        u->intent = -1;
    if (u->any_slot && u->intent < 0)
        u->intent = rules_intent(r, SLICE("inform"));
}

static void clock_spoken(const char *value, struct builder *b)
{
    static const char *const hours[] = {"twelve", "one",   "two",   "three", "four", "five",
                                        "six",    "seven", "eight", "nine",  "ten",  "eleven"};
    int minutes = minutes_of(slice_str(value));
    if (minutes < 0)
        return;
    if (minutes == 720) {
        builder_str(b, "noon");
        return;
    }
    int rest = minutes % 60;
    if (rest == 30)
        builder_printf(b, "half past %s", hours[minutes / 60 % 12]);
    else if (rest == 15)
        builder_printf(b, "a quarter past %s", hours[minutes / 60 % 12]);
    else if (rest)
        builder_printf(b, "%s %d", hours[minutes / 60 % 12], rest);
    else
        builder_printf(b, "%s o'clock", hours[minutes / 60 % 12]);
}

void rules_spoken(const struct rules *r, int slot, const char *value, struct builder *b)
{
    if (r->slots[slot].clock) {
        clock_spoken(value, b);
        return;
    }
    for (int i = 0; i < r->value_count; i++)
        if (r->values[i].slot == slot && slice_equal(r->values[i].name, slice_str(value)))
            builder_slice_add(b, r->values[i].spoken);
}
