#include "tools/providers/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

static int refuse(char *why, const char *what)
{
    snprintf(why, SCRIPT_WHY_BYTES, "%s", what);
    return -EINVAL;
}

/* ---- hearing ---- */

int heard_parse(struct slice line, struct heard *out, char *why)
{
    char number[24];
    char *end;

    *out = (struct heard){.text = slice_trim(line), .at_ms = HEARD_IN_ORDER};
    if (out->text.len == 0)
        return refuse(why, "is empty");
    if (!slice_is_utf8(out->text))
        return refuse(why, "is not UTF-8");
    bool at = out->text.at[0] == '@';
    if (!at && out->text.at[0] != '~')
        return 0;
    struct slice rest, word = slice_cut(out->text, ' ', &rest);
    if (slice_cstr(slice_of(word.at + 1, word.len - 1), number, sizeof(number)) < 0 || !number[0] ||
        number[strspn(number, "0123456789.")])
        return refuse(why, "does not begin with \"@SECONDS \" or \"~SECONDS \"");
    double seconds = strtod(number, &end);
    if (*end || seconds > HEARD_SECONDS_MAX)
        return refuse(why, "names no time up to 86400 s");
    *(at ? &out->at_ms : &out->lasts_ms) = (int64_t)(seconds * 1000 + 0.5);
    out->text = slice_trim(rest);
    return out->text.len ? 0 : refuse(why, "says nothing behind its time");
}

/* ---- rules ---- */

static struct slice find(struct slice text, struct slice what)
{
    const uint8_t *at = text.len >= what.len ? memmem(text.at, text.len, what.at, what.len) : NULL;

    return at ? slice_of(at, text.len - (size_t)(at - text.at)) : SLICE_NONE;
}

int answer_rule_parse(struct slice line, struct answer_rule *out, char *why)
{
    struct slice arrow = find(line, SLICE("=>"));

    *out = (struct answer_rule){0};
    if (!arrow.at)
        return refuse(why, "has no \"=>\" between what is said and the answer");
    out->match = slice_trim(slice_of(line.at, (size_t)(arrow.at - line.at)));
    out->answer = slice_trim(slice_of(arrow.at + 2, arrow.len - 2));
    if (out->match.len == 0)
        return refuse(why, "has nothing before \"=>\"; * stands for everything");
    return out->answer.len ? 0 : refuse(why, "has nothing behind \"=>\"");
}

bool answer_rule_fits(const struct answer_rule *rule, struct slice said)
{
    if (slice_equal(rule->match, SLICE("*")))
        return true;
    for (size_t i = 0; i + rule->match.len <= said.len; i++)
        if (slice_equal_nocase(slice_of(said.at + i, rule->match.len), rule->match))
            return true;
    return false;
}

/* ---- answers ---- */

static void put_last(struct builder *b, struct slice last, bool quoted)
{
    uint8_t store[ANSWER_BYTES_MAX];
    struct builder text = builder_of(store, sizeof(store));
    struct jsonw w;

    if (last.len > ANSWER_LAST_MAX)
        last.len = ANSWER_LAST_MAX;
    if (!quoted) {
        builder_slice_add(b, last);
        return;
    }
    jsonw_init(&w, &text);
    jsonw_str(&w, last);
    if (!text.bad && text.len >= 2)
        builder_bytes(b, text.at + 1, text.len - 2);
}

/* One part with {last} put in; what does not fit any more is left out. */
static struct slice fill_in(struct builder *b, struct slice part, struct slice last, bool quoted)
{
    size_t from = b->len;

    while (part.len) {
        struct slice hole = find(part, SLICE("{last}"));
        size_t plain = hole.at ? (size_t)(hole.at - part.at) : part.len;
        builder_bytes(b, part.at, plain);
        if (!hole.at)
            break;
        put_last(b, last, quoted);
        part = slice_of(hole.at + 6, hole.len - 6);
    }
    return slice_of(b->at + from, b->len - from);
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum(s.at[i]) && s.at[i] != '_' && s.at[i] != '-')
            return false;
    return s.len > 0 && s.len <= TOOL_NAME_MAX;
}

static int call_parse(struct slice text, struct answer_part *part, char *why)
{
    struct json_doc doc;
    struct slice rest;

    part->tool = slice_cut(text, ' ', &rest);
    part->arguments = slice_trim(rest);
    if (!is_name(part->tool))
        return refuse(why, "calls a tool without a name of 1 to 64 letters, digits, _ or -");
    if (part->arguments.len == 0)
        part->arguments = SLICE("{}");
    if (json_read(&doc, part->arguments, ANSWER_BYTES_MAX, NULL) < 0)
        return refuse(why, "calls a tool with arguments that are not JSON");
    bool object = json_kind_of(&doc, "") == JSON_KIND_OBJECT;
    json_free(&doc);
    return object ? 0 : refuse(why, "calls a tool with arguments that are no JSON object");
}

int answer_make(struct slice text, struct slice last, struct answer *out, char *why)
{
    struct builder b = builder_of(out->store, sizeof(out->store));
    struct slice rest = text;

    out->count = 0;
    while (rest.len) {
        struct slice bar = find(rest, SLICE(" | "));
        struct slice piece = bar.at ? slice_of(rest.at, (size_t)(bar.at - rest.at)) : rest;
        rest = bar.at ? slice_of(bar.at + 3, bar.len - 3) : SLICE_NONE;
        piece = slice_trim(piece);
        if (piece.len == 0)
            continue;
        if (out->count == ANSWER_PARTS_MAX)
            return refuse(why, "has more than 8 parts");
        struct answer_part *part = &out->parts[out->count++];
        *part = (struct answer_part){0};
        bool call = slice_starts(piece, SLICE("call "));
        if (call)
            piece = slice_trim(slice_of(piece.at + 5, piece.len - 5));
        struct slice filled = fill_in(&b, piece, last, call);
        if (!call)
            part->text = filled;
        else if (call_parse(filled, part, why) < 0)
            return -EINVAL;
    }
    return out->count ? 0 : refuse(why, "is empty");
}

/* ---- tokens ---- */

struct slice token_next(struct slice *rest)
{
    size_t n = 0;

    if (rest->len == 0)
        return SLICE_NONE;
    while (n < rest->len && isspace(rest->at[n]))
        n++;
    while (n < rest->len && !isspace(rest->at[n]))
        n++;
    struct slice token = slice_of(rest->at, n);
    *rest = slice_of(rest->at + n, rest->len - n);
    return token;
}

size_t token_count(struct slice text)
{
    size_t n = 0;

    while (token_next(&text).len)
        n++;
    return n;
}

struct slice token_skip(struct slice text, size_t count)
{
    while (count--)
        token_next(&text);
    return text;
}

struct slice token_first(struct slice text, size_t count)
{
    return slice_of(text.at, text.len - token_skip(text, count).len);
}
