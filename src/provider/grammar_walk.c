/* What is asked of a compiled grammar: its words, random sentences, and whether a text is one. */
#include "provider/grammar_inner.h"

static uint32_t word_hash(struct slice s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.at[i]) * 16777619u;
    return h;
}

size_t grammar_word_place(const struct grammar *g, struct slice text)
{
    size_t at = word_hash(text) % HASH_SIZE;
    while (g->hash[at] != WORD_NONE && !slice_equal(slice_str(g->words[g->hash[at]].text), text))
        at = (at + 1) % HASH_SIZE;
    return at;
}

size_t grammar_words(const struct grammar *g)
{
    return g->word_count;
}

const char *grammar_word(const struct grammar *g, size_t i)
{
    return g->words[i].text;
}

unsigned grammar_word_line(const struct grammar *g, size_t i)
{
    return g->words[i].line;
}

/* An edge of this node, by weight; EDGE_NONE at the end. */
static uint32_t edge_draw(const struct grammar *g, uint32_t node, struct rand *r)
{
    float sum = 0.0f;
    for (uint32_t e = g->edge_of[node]; e != EDGE_NONE; e = g->edges[e].next)
        sum += g->edges[e].weight;
    float left = sum * (float)rand_below(r, 1u << 24) / (float)(1u << 24);
    uint32_t chosen = EDGE_NONE;
    for (uint32_t e = g->edge_of[node]; e != EDGE_NONE; e = g->edges[e].next) {
        chosen = e;
        left -= g->edges[e].weight;
        if (left < 0.0f)
            break;
    }
    return chosen;
}

size_t grammar_contexts(const struct grammar *g)
{
    return g->context_count;
}

const char *grammar_context_name(const struct grammar *g, size_t context)
{
    return g->contexts[context].name;
}

size_t grammar_context(const struct grammar *g, struct slice name)
{
    for (size_t i = 1; i < g->context_count; i++)
        if (slice_equal(slice_str(g->contexts[i].name), name))
            return i;
    return GRAMMAR_ANYTHING;
}

size_t grammar_sample(const struct grammar *g, size_t context, struct rand *r, uint16_t *words)
{
    size_t count = 0;
    uint32_t node = g->contexts[context].start;
    while (node != g->end) {
        uint32_t e = edge_draw(g, node, r);
        if (e == EDGE_NONE)
            break;
        if (g->edges[e].word != WORD_NONE && count < GRAMMAR_SENTENCE_MAX)
            words[count++] = g->edges[e].word;
        node = g->edges[e].to;
    }
    return count;
}

/* ---- is it a sentence, and how likely does it end here? Probability flows through the network:
 * nodes without words hand theirs on at once, the others keep it until a word comes. ---- */

struct flow {
    float *mass;     /* per node */
    float *next;     /* the same, behind the word being taken */
    uint32_t *queue; /* ring of nodes whose mass waits to be handed on */
    uint32_t head, count;
    uint32_t *kept; /* nodes that keep some, each once */
    uint32_t kept_count;
    uint8_t *mark; /* node is in the queue or kept */
};

static struct flow flow_of(size_t n, void *scratch)
{
    struct flow f = {.mass = scratch};
    f.next = f.mass + n;
    f.queue = (uint32_t *)(f.next + n);
    f.kept = f.queue + n;
    f.mark = (uint8_t *)(f.kept + n);
    memset(scratch, 0, n * (4 * sizeof(uint32_t) + 1));
    return f;
}

static bool is_passage(const struct grammar *g, uint32_t node)
{
    uint32_t e = g->edge_of[node];
    return e != EDGE_NONE && g->edges[e].word == WORD_NONE;
}

static void flow_add(const struct grammar *g, struct flow *f, uint32_t node, float mass)
{
    f->mass[node] += mass;
    if (f->mark[node])
        return;
    f->mark[node] = 1;
    if (is_passage(g, node))
        f->queue[(f->head + f->count++) % g->node_count] = node;
    else
        f->kept[f->kept_count++] = node;
}

/* First come, first served: mass of equal distance arrives together, so a node is visited at most
 * once for each length of path to it. */
static void flow_settle(const struct grammar *g, struct flow *f)
{
    while (f->count) {
        uint32_t node = f->queue[f->head];
        float mass = f->mass[node], sum = 0.0f;
        f->head = (f->head + 1) % (uint32_t)g->node_count;
        f->count--;
        f->mark[node] = 0;
        f->mass[node] = 0.0f;
        for (uint32_t e = g->edge_of[node]; e != EDGE_NONE; e = g->edges[e].next)
            sum += g->edges[e].weight;
        for (uint32_t e = g->edge_of[node]; e != EDGE_NONE; e = g->edges[e].next)
            flow_add(g, f, g->edges[e].to, mass * g->edges[e].weight / sum);
    }
}

static float flow_total(const struct flow *f)
{
    float total = 0.0f;
    for (uint32_t i = 0; i < f->kept_count; i++)
        total += f->mass[f->kept[i]];
    return total;
}

/* Takes one word. What is left is scaled to a sum of 1, so that long sentences do not fade. */
static void flow_step(const struct grammar *g, struct flow *f, uint16_t word)
{
    uint32_t count = 0;
    float total = 0.0f;
    for (uint32_t i = 0; i < f->kept_count; i++) {
        uint32_t node = f->kept[i], e = g->edge_of[node];
        float mass = f->mass[node];
        f->mass[node] = 0.0f;
        f->mark[node] = 0;
        if (e == EDGE_NONE || g->edges[e].word != word)
            continue;
        if (f->next[g->edges[e].to] <= 0.0f)
            f->kept[count++] = g->edges[e].to; /* count <= i: what is overwritten was read */
        f->next[g->edges[e].to] += mass;
        total += mass;
    }
    f->kept_count = 0;
    /* flow_add() fills `kept` from its beginning while the targets are read from it: each target
     * adds itself at most once before its own place was read. */
    for (uint32_t i = 0; i < count && total > 0.0f; i++) {
        uint32_t node = f->kept[i];
        float mass = f->next[node] / total;
        f->next[node] = 0.0f;
        flow_add(g, f, node, mass);
    }
    flow_settle(g, f);
}

size_t grammar_scratch_bytes(const struct grammar *g)
{
    return g->node_count * (4 * sizeof(uint32_t) + 1);
}

double grammar_end_share(const struct grammar *g, size_t context, struct slice text, void *scratch)
{
    struct flow f = flow_of(g->node_count, scratch);
    flow_add(g, &f, g->contexts[context].start, 1.0f);
    flow_settle(g, &f);
    for (struct slice left = slice_trim(text); left.len && f.kept_count; left = slice_trim(left)) {
        struct slice rest;
        struct slice word = slice_cut(left, ' ', &rest);
        uint16_t number = g->hash[grammar_word_place(g, word)];
        if (number == WORD_NONE)
            return 0.0;
        flow_step(g, &f, number);
        left = rest;
    }
    float total = flow_total(&f);
    return total > 0.0f ? (double)(f.mass[g->end] / total) : 0.0;
}

bool grammar_accepts(const struct grammar *g, struct slice text, void *scratch)
{
    return grammar_end_share(g, GRAMMAR_ANYTHING, text, scratch) > 0.0;
}
