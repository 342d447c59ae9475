#include "tools/providers/answering.h"

#include <stdio.h>

#define BLOCKS_MAX   256
#define PATH_BYTES   128
#define LAYERS_MAX   2 /* a tool's result is a block whose content is blocks */
#define ANSWER_USUAL "You said: {last}"

static void text_add(struct builder *out, struct slice text)
{
    if (text.len > out->size - out->len)
        text.len = out->size - out->len;
    builder_slice_add(out, text);
}

/* One list of blocks: their texts, and the strings that are a tool result's content. */
static void blocks_add(const struct json_doc *doc, const char *path, struct builder *out)
{
    size_t count = json_count_of(doc, path);
    char at[PATH_BYTES + 32];

    for (size_t i = 0; i < count && i < BLOCKS_MAX; i++) {
        snprintf(at, sizeof(at), "%s.%zu.text", path, i);
        text_add(out, json_slice_of(doc, at));
        snprintf(at, sizeof(at), "%s.%zu.content", path, i);
        text_add(out, json_slice_of(doc, at));
    }
}

void answering_content(const struct json_doc *doc, const char *path, struct builder *out)
{
    char inner[PATH_BYTES];
    size_t count = json_count_of(doc, path);

    if (json_kind_of(doc, path) == JSON_KIND_TEXT) {
        text_add(out, json_slice_of(doc, path));
        return;
    }
    blocks_add(doc, path, out);
    for (size_t i = 0; i < count && i < BLOCKS_MAX; i++) {
        snprintf(inner, sizeof(inner), "%s.%zu.content", path, i);
        if (json_kind_of(doc, inner) == JSON_KIND_LIST)
            blocks_add(doc, inner, out);
    }
}

static struct slice choose(struct peer *p, struct slice last)
{
    const struct settings *s = p->server->settings;

    for (size_t i = 0; i < s->answer_rules.count; i++)
        if (answer_rule_fits(&s->rules[i], last))
            return s->rules[i].answer;
    if (s->answer_texts.count == 0)
        return SLICE(ANSWER_USUAL);
    return slice_str(s->answer_texts.at[p->server->answered++ % s->answer_texts.count]);
}

void answering_choose(struct peer *p, struct slice last, struct answer *out)
{
    char why[SCRIPT_WHY_BYTES];
    struct slice text = choose(p, last);

    if (answer_make(text, last, out, why) < 0) {
        out->parts[0] = (struct answer_part){.text = SLICE("I do not know what to say.")};
        out->count = 1;
    }
    peer_note(p, "answer");
    diary_text(&p->server->diary, "last", last);
    diary_text(&p->server->diary, "text", text);
    diary_end(&p->server->diary);
}

struct slice answering_piece(struct slice *rest)
{
    size_t n = 0;

    if (rest->len == 0)
        return SLICE_NONE;
    while (n < rest->len) {
        size_t step = slice_utf8_step(slice_of(rest->at + n, rest->len - n));
        step = step ? step : 1;
        if (n + step > ANSWERING_PIECE_MAX)
            break;
        n += step;
    }
    struct slice piece = slice_of(rest->at, n);
    *rest = slice_of(rest->at + n, rest->len - n);
    return piece;
}

struct answering answering_begin(struct peer *p, int64_t tokens_max)
{
    int64_t first = peer_draw(p, &p->server->settings->first_token);

    return (struct answering){.peer = p, .due_ns = peer_now(p) + first, .tokens_max = tokens_max};
}

bool answering_token(struct answering *a)
{
    if (a->tokens >= a->tokens_max)
        return false;
    if (a->tokens++)
        a->due_ns += peer_draw(a->peer, &a->peer->server->settings->token);
    return true;
}
