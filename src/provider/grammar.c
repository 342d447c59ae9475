/* tidy: allow alloc in this file: a grammar is compiled once, when its agent is loaded; what runs
 * in a call is in grammar_walk.c and allocates nothing. */
#include "provider/grammar_inner.h"

#include <errno.h>
#include <stdlib.h>

enum token_kind {
    TOKEN_WORD,
    TOKEN_PUBLIC,
    TOKEN_RULE,
    TOKEN_NULL, /* <NULL> */
    TOKEN_WEIGHT,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_OPTION,
    TOKEN_OPTION_END,
    TOKEN_BAR,
    TOKEN_EQUALS,
    TOKEN_END, /* ; */
};

struct token {
    enum token_kind kind;
    unsigned line;
    struct slice text;
    uint16_t number; /* word or rule */
    float weight;
};

struct rule {
    struct slice name;
    uint32_t first; /* token after = ; 0: not defined yet */
    unsigned line;
    bool open; /* public */
};

static const struct slice expect_prefix = {(const uint8_t *)"expect_", 7};

struct parse {
    struct grammar *g;
    const char *file;
    struct slice left;
    unsigned line;
    struct token *tokens;
    size_t token_count;
    struct rule *rules;
    size_t rule_count;
    int err;
    char *why;
    size_t why_bytes;
};

static void parse_fail(struct parse *p, unsigned line, const char *what, struct slice about)
{
    if (p->err)
        return;
    p->err = -EINVAL;
    struct builder b = builder_of(p->why, p->why_bytes ? p->why_bytes - 1 : 0);
    struct slice shown = slice_of(about.at, about.len < 60 ? about.len : 60);
    builder_printf(&b, "%s:%u: %s%s%.*s", p->file, line, what, shown.len ? " " : "",
                   SLICE_ARG(shown));
    if (p->why_bytes)
        p->why[b.len] = '\0';
}

static uint16_t word_add(struct parse *p, struct slice text)
{
    struct grammar *g = p->g;
    char lower[GRAMMAR_WORD_BYTES_MAX];
    if (slice_cstr(text, lower, sizeof(lower))) {
        parse_fail(p, p->line, "word too long:", text);
        return 0;
    }
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 'a' - 'A');
    size_t at = grammar_word_place(g, slice_str(lower));
    if (g->hash[at] != WORD_NONE)
        return g->hash[at];
    if (g->word_count == GRAMMAR_WORDS_MAX) {
        parse_fail(p, p->line, "too many different words", SLICE_NONE);
        return 0;
    }
    struct word *word = &g->words[g->word_count];
    memcpy(word->text, lower, sizeof(lower));
    word->line = p->line;
    g->hash[at] = (uint16_t)g->word_count;
    return (uint16_t)g->word_count++;
}

static uint16_t rule_named(struct parse *p, struct slice name)
{
    for (size_t i = 0; i < p->rule_count; i++)
        if (slice_equal(p->rules[i].name, name))
            return (uint16_t)i;
    if (p->rule_count == GRAMMAR_RULES_MAX) {
        parse_fail(p, p->line, "too many rules", SLICE_NONE);
        return 0;
    }
    p->rules[p->rule_count] = (struct rule){.name = name, .line = p->line};
    return (uint16_t)p->rule_count++;
}

/* ---- tokens ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct parse *p, size_t count)
{
    for (size_t i = 0; i < count && i < p->left.len; i++)
        p->line += p->left.at[i] == '\n';
    count = count < p->left.len ? count : p->left.len;
    p->left = slice_of(p->left.at + count, p->left.len - count);
}

/* How many bytes from here to just behind the first `until`; all that is left if there is none. */
static size_t span_to(const struct parse *p, const char *until)
{
    size_t len = strlen(until);
    for (size_t i = 0; i + len <= p->left.len; i++)
        if (memcmp(p->left.at + i, until, len) == 0)
            return i + len;
    return p->left.len;
}

/* White space, comments, and the tags in braces, which mean nothing here. */
static void skip_blank(struct parse *p)
{
    for (;;) {
        if (p->left.len && is_space(p->left.at[0]))
            skip(p, 1);
        else if (slice_starts(p->left, SLICE("//")))
            skip(p, span_to(p, "\n"));
        else if (slice_starts(p->left, SLICE("/*")))
            skip(p, span_to(p, "*/"));
        else if (slice_starts(p->left, SLICE("{")))
            skip(p, span_to(p, "}"));
        else
            return;
    }
}

static struct token *token_add(struct parse *p, enum token_kind kind, size_t len)
{
    if (p->token_count == GRAMMAR_TOKENS_MAX) {
        parse_fail(p, p->line, "grammar too large", SLICE_NONE);
        p->token_count--;
    }
    struct token *token = &p->tokens[p->token_count++];
    *token = (struct token){.kind = kind, .line = p->line, .text = slice_of(p->left.at, len)};
    return token;
}

static bool is_word_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '\'' || c == '_' || c == '-' || c == '.';
}

static void token_word(struct parse *p)
{
    size_t len = 0;
    while (len < p->left.len && is_word_byte(p->left.at[len]))
        len++;
    if (!len) {
        parse_fail(p, p->line, "unexpected character", slice_of(p->left.at, 1));
        return;
    }
    bool head = !p->token_count || p->tokens[p->token_count - 1].kind == TOKEN_END;
    bool open = head && slice_equal(slice_of(p->left.at, len), SLICE("public"));
    struct token *token = token_add(p, open ? TOKEN_PUBLIC : TOKEN_WORD, len);
    if (!open)
        token->number = word_add(p, token->text);
    skip(p, len);
}

static void token_rule(struct parse *p)
{
    size_t len = span_to(p, ">");
    if (len < 3 || p->left.at[len - 1] != '>') {
        parse_fail(p, p->line, "rule name without '>'", SLICE_NONE);
        return;
    }
    struct slice name = slice_of(p->left.at + 1, len - 2);
    bool null = slice_equal(name, SLICE("NULL"));
    struct token *token = token_add(p, null ? TOKEN_NULL : TOKEN_RULE, len);
    if (!null)
        token->number = rule_named(p, name);
    skip(p, len);
}

static void token_weight(struct parse *p)
{
    skip(p, 1);
    size_t len = span_to(p, "/");
    char number[16];
    char *end;
    if (len < 2 || slice_cstr(slice_of(p->left.at, len - 1), number, sizeof(number))) {
        parse_fail(p, p->line, "a weight is written /2.5/", SLICE_NONE);
        return;
    }
    float weight = strtof(number, &end);
    if (*end || !(weight > 0.0f) || !(weight <= 1e6f))
        parse_fail(p, p->line, "a weight is a number above 0 and up to 1000000, not",
                   slice_str(number));
    token_add(p, TOKEN_WEIGHT, len)->weight = weight;
    skip(p, len);
}

static void token_next(struct parse *p)
{
    static const char marks[] = "()[]|=;";
    static const enum token_kind kinds[] = {TOKEN_OPEN,       TOKEN_CLOSE, TOKEN_OPTION,
                                            TOKEN_OPTION_END, TOKEN_BAR,   TOKEN_EQUALS,
                                            TOKEN_END};
    uint8_t c = p->left.at[0];
    const char *mark = c ? strchr(marks, c) : NULL;
    if (mark) {
        token_add(p, kinds[mark - marks], 1);
        skip(p, 1);
    } else if (c == '<') {
        token_rule(p);
    } else if (c == '/') {
        token_weight(p);
    } else {
        token_word(p);
    }
}

/* "public <name> =" or "<name> =" at token i; returns the index of the first token behind, 0 on
 * error. */
static size_t rule_head(struct parse *p, size_t i, bool open)
{
    if (i + 1 >= p->token_count) {
        parse_fail(p, p->line, "rule cut short", SLICE_NONE);
        return 0;
    }
    struct token *t = &p->tokens[i];
    if (t->kind != TOKEN_RULE || t[1].kind != TOKEN_EQUALS) {
        parse_fail(p, t->line, "expected <rule> = ... near", t->text);
        return 0;
    }
    struct rule *rule = &p->rules[t->number];
    if (rule->first)
        parse_fail(p, t->line, "rule defined twice:", rule->name);
    rule->first = (uint32_t)i + 2;
    rule->open = open;
    return i + 2;
}

static void rules_find(struct parse *p)
{
    size_t i = 0;
    while (i < p->token_count && !p->err) {
        bool open = p->tokens[i].kind == TOKEN_PUBLIC;
        size_t at = rule_head(p, i + open, open);
        while (at && at < p->token_count && p->tokens[at].kind != TOKEN_END)
            at++;
        if (at >= p->token_count && !p->err)
            parse_fail(p, p->line, "rule without ';' at the end", SLICE_NONE);
        i = at + 1;
    }
}

/* ---- the network ---- */

static bool grow(void **at, size_t *size, size_t wanted, size_t each)
{
    if (wanted <= *size)
        return true;
    size_t size_new = *size ? *size * 2 : 1024;
    void *moved = realloc(*at, size_new * each);
    if (!moved)
        return false;
    *at = moved;
    *size = size_new;
    return true;
}

static uint32_t node_add(struct parse *p)
{
    struct grammar *g = p->g;
    if (g->node_count == GRAMMAR_NODES_MAX ||
        !grow((void **)&g->edge_of, &g->node_size, g->node_count + 1, sizeof(*g->edge_of))) {
        parse_fail(p, p->line, "grammar too large once its rules are expanded", SLICE_NONE);
        return 0;
    }
    g->edge_of[g->node_count] = EDGE_NONE;
    return (uint32_t)g->node_count++;
}

static uint32_t edge_add(struct parse *p, uint32_t from, uint32_t to, uint16_t word)
{
    struct grammar *g = p->g;
    if (g->edge_count == 2 * (size_t)GRAMMAR_NODES_MAX ||
        !grow((void **)&g->edges, &g->edge_size, g->edge_count + 1, sizeof(*g->edges))) {
        parse_fail(p, p->line, "grammar too large once its rules are expanded", SLICE_NONE);
        return 0;
    }
    g->edges[g->edge_count] = (struct edge){to, g->edge_of[from], 1.0f, word};
    g->edge_of[from] = (uint32_t)g->edge_count;
    return (uint32_t)g->edge_count++;
}

/* One group, option or rule being expanded:   start ─▶ alternative ... ─▶ end   */
struct level {
    enum token_kind kind; /* what opened it */
    uint32_t start, end;
    uint32_t branch;    /* the edge that entered the current alternative: a weight goes there */
    float weight;       /* of all alternatives together */
    uint32_t return_to; /* token behind a rule's name */
};

struct expansion {
    struct level levels[GRAMMAR_DEPTH_MAX];
    size_t depth;
    uint32_t at;   /* token */
    uint32_t node; /* where the next word starts */
};

static void alternative_enter(struct parse *p, struct expansion *x, struct level *level)
{
    x->node = node_add(p);
    if (!p->err)
        level->branch = edge_add(p, level->start, x->node, WORD_NONE);
    level->weight += 1.0f;
}

static void level_push(struct parse *p, struct expansion *x, enum token_kind kind, uint32_t go_on)
{
    const struct token *t = &p->tokens[x->at];
    if (x->depth == GRAMMAR_DEPTH_MAX) {
        parse_fail(p, t->line, "nested too deeply (does a rule use itself?)", t->text);
        return;
    }
    struct level *level = &x->levels[x->depth++];
    *level = (struct level){.kind = kind, .start = x->node, .return_to = go_on};
    level->end = node_add(p);
    if (!p->err)
        alternative_enter(p, x, level);
}

static void level_pop(struct parse *p, struct expansion *x, enum token_kind kind)
{
    if (!x->depth || x->levels[x->depth - 1].kind != kind) {
        parse_fail(p, p->tokens[x->at].line, "unbalanced brackets near", p->tokens[x->at].text);
        return;
    }
    struct level *level = &x->levels[--x->depth];
    edge_add(p, x->node, level->end, WORD_NONE);
    if (kind == TOKEN_OPTION && !p->err) {
        uint32_t around = edge_add(p, level->start, level->end, WORD_NONE);
        if (!p->err)
            p->g->edges[around].weight = level->weight;
    }
    x->node = level->end;
    x->at = level->return_to ? level->return_to : x->at + 1;
}

static void expand_weight(struct parse *p, struct expansion *x, const struct token *t)
{
    struct level *level = &x->levels[x->depth - 1];
    if (p->g->edge_of[x->node] != EDGE_NONE || p->g->edges[level->branch].to != x->node) {
        parse_fail(p, t->line, "a weight stands at the start of an alternative", SLICE_NONE);
        return;
    }
    level->weight += t->weight - p->g->edges[level->branch].weight;
    p->g->edges[level->branch].weight = t->weight;
    x->at++;
}

static void expand_word(struct parse *p, struct expansion *x, const struct token *t)
{
    uint32_t next = node_add(p);
    if (p->err)
        return;
    edge_add(p, x->node, next, t->number);
    x->node = next;
    x->at++;
}

static void expand_rule(struct parse *p, struct expansion *x, const struct token *t)
{
    const struct rule *rule = &p->rules[t->number];
    if (!rule->first) {
        parse_fail(p, t->line, "rule is not defined:", rule->name);
        return;
    }
    level_push(p, x, TOKEN_RULE, x->at + 1);
    x->at = rule->first;
}

static void expand_token(struct parse *p, struct expansion *x)
{
    const struct token *t = &p->tokens[x->at];
    switch (t->kind) {
    case TOKEN_WORD:
        expand_word(p, x, t);
        return;
    case TOKEN_RULE:
        expand_rule(p, x, t);
        return;
    case TOKEN_NULL:
        x->at++;
        return;
    case TOKEN_WEIGHT:
        expand_weight(p, x, t);
        return;
    case TOKEN_OPEN:
    case TOKEN_OPTION:
        level_push(p, x, t->kind, 0);
        x->at++;
        return;
    case TOKEN_CLOSE:
        level_pop(p, x, TOKEN_OPEN);
        return;
    case TOKEN_OPTION_END:
        level_pop(p, x, TOKEN_OPTION);
        return;
    case TOKEN_BAR:
        edge_add(p, x->node, x->levels[x->depth - 1].end, WORD_NONE);
        if (!p->err)
            alternative_enter(p, x, &x->levels[x->depth - 1]);
        x->at++;
        return;
    case TOKEN_END:
        level_pop(p, x, TOKEN_RULE);
        return;
    case TOKEN_EQUALS:
    case TOKEN_PUBLIC:
        parse_fail(p, t->line, "unexpected", t->text);
        return;
    }
}

/* One rule, from a network's start to the end. */
static void expand_whole(struct parse *p, const struct rule *rule, uint32_t start)
{
    struct grammar *g = p->g;
    struct expansion x = {.at = rule->first};
    uint32_t entry = node_add(p);
    if (p->err)
        return;
    edge_add(p, start, entry, WORD_NONE);
    x.node = entry;
    level_push(p, &x, TOKEN_RULE, UINT32_MAX);
    while (!p->err && x.depth)
        expand_token(p, &x);
    if (!p->err)
        edge_add(p, x.node, g->end, WORD_NONE);
}

static void context_build(struct parse *p, const struct rule *rule)
{
    struct grammar *g = p->g;
    struct slice name =
        slice_of(rule->name.at + expect_prefix.len, rule->name.len - expect_prefix.len);
    struct context *context = &g->contexts[g->context_count];
    if (g->context_count == GRAMMAR_CONTEXTS_MAX) {
        parse_fail(p, rule->line, "too many <expect_...> rules:", rule->name);
        return;
    }
    if (!name.len || slice_cstr(name, context->name, sizeof(context->name))) {
        parse_fail(p, rule->line, "not the name of an expected answer:", rule->name);
        return;
    }
    context->start = node_add(p);
    g->context_count++;
    expand_whole(p, rule, context->start);
}

static void network_build(struct parse *p)
{
    struct grammar *g = p->g;
    bool any = false;
    g->contexts[GRAMMAR_ANYTHING].start = node_add(p);
    g->context_count = 1;
    g->end = node_add(p);
    for (size_t i = 0; i < p->rule_count && !p->err; i++) {
        const struct rule *rule = &p->rules[i];
        if (!rule->first)
            parse_fail(p, rule->line, "rule is not defined:", rule->name);
        else if (slice_starts(rule->name, expect_prefix))
            context_build(p, rule);
        if (!rule->open || p->err)
            continue;
        any = true;
        expand_whole(p, rule, g->contexts[GRAMMAR_ANYTHING].start);
    }
    if (!any)
        parse_fail(p, p->line, "no public rule", SLICE_NONE);
}

/* "#JSGF V1.0;" and "grammar name;" */
static void header_skip(struct parse *p)
{
    skip_blank(p);
    if (!slice_starts(p->left, SLICE("#JSGF"))) {
        parse_fail(p, p->line, "a grammar starts with #JSGF V1.0;", SLICE_NONE);
        return;
    }
    skip(p, span_to(p, ";"));
    skip_blank(p);
    if (slice_starts(p->left, SLICE("grammar ")))
        skip(p, span_to(p, ";"));
}

static int parse_all(struct parse *p)
{
    struct grammar *g = p->g;
    g->words = calloc(GRAMMAR_WORDS_MAX, sizeof(*g->words));
    g->hash = malloc(HASH_SIZE * sizeof(*g->hash));
    p->tokens = calloc(GRAMMAR_TOKENS_MAX, sizeof(*p->tokens));
    p->rules = calloc(GRAMMAR_RULES_MAX, sizeof(*p->rules));
    if (!g->words || !g->hash || !p->tokens || !p->rules)
        return -ENOMEM;
    memset(g->hash, 0xff, HASH_SIZE * sizeof(*g->hash));
    header_skip(p);
    for (skip_blank(p); p->left.len && !p->err; skip_blank(p))
        token_next(p);
    if (!p->err)
        rules_find(p);
    if (!p->err)
        network_build(p);
    return p->err;
}

int grammar_parse(struct slice text, const char *file, struct grammar **out, char *why,
                  size_t why_bytes)
{
    struct grammar *g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    struct parse p = {
        .g = g, .file = file, .left = text, .line = 1, .why = why, .why_bytes = why_bytes};
    int err = parse_all(&p);
    free(p.tokens);
    free(p.rules);
    if (err)
        grammar_free(&g);
    *out = g;
    return err;
}

void grammar_free(struct grammar **g)
{
    if (!*g)
        return;
    free((*g)->words);
    free((*g)->hash);
    free((*g)->edge_of);
    free((*g)->edges);
    free(*g);
    *g = NULL;
}
