/* tidy: allow alloc in this file: a language model is counted and written once, when its agent is
 * loaded. */
#include "provider/ngram.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Words are kept as number + 2; 0 pads, 1 is <s>, and the highest is </s>. A key is three of them,
 * oldest first, so that sorting groups what follows the same two words. */
#define WORD_START 1u
#define WORD_END   65535u
#define WORD_FIRST 2u

struct gram {
    uint64_t key;
    uint32_t count;
};

struct ngram {
    double openness;
    struct gram *added; /* as they came, in threes */
    size_t count, size;
    struct gram *grams[3]; /* [order - 1], sorted by key */
    size_t gram_count[3];
    double *p[3]; /* interpolated probability of each gram */
};

/* What is known of one history: tokens behind it and different words behind it. */
struct history {
    double tokens, kinds;
};

struct ngram *ngram_new(double openness)
{
    struct ngram *n = calloc(1, sizeof(*n));
    if (n)
        n->openness = openness;
    return n;
}

void ngram_free(struct ngram **n)
{
    if (!*n)
        return;
    for (int i = 0; i < 3; i++) {
        free((*n)->grams[i]);
        free((*n)->p[i]);
    }
    free((*n)->added);
    free(*n);
    *n = NULL;
}

static int key_add(struct ngram *n, uint64_t key, uint32_t times)
{
    if (n->count == NGRAM_TOKENS_MAX)
        return -ENOSPC;
    if (n->count == n->size) {
        size_t size = n->size ? n->size * 2 : 4096;
        struct gram *moved = realloc(n->added, size * sizeof(*moved));
        if (!moved)
            return -ENOMEM;
        n->added = moved;
        n->size = size;
    }
    n->added[n->count++] = (struct gram){key, times};
    return 0;
}

int ngram_add(struct ngram *n, const uint16_t *words, size_t count, uint32_t times)
{
    uint64_t key = WORD_START;
    for (size_t i = 0; i <= count; i++) {
        uint64_t word = i < count ? words[i] + WORD_FIRST : WORD_END;
        key = ((key << 16) | word) & UINT64_C(0xffffffffffff);
        int err = key_add(n, key, times);
        if (err)
            return err;
    }
    return 0;
}

static int gram_order(const void *a, const void *b)
{
    const struct gram *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* Counts the grams of one order; a key with padding where a word should be is a shorter one. */
static int grams_count(struct ngram *n, int order)
{
    uint64_t mask = order == 3 ? UINT64_C(0xffffffffffff) : (UINT64_C(1) << (16 * order)) - 1;
    struct gram *grams = malloc((n->count + 1) * sizeof(*grams));
    size_t kept = 0, count = 0;
    if (!grams)
        return -ENOMEM;
    for (size_t i = 0; i < n->count; i++)
        if ((n->added[i].key & mask) >> (16 * (order - 1)))
            grams[kept++] = (struct gram){n->added[i].key & mask, n->added[i].count};
    qsort(grams, kept, sizeof(*grams), gram_order);
    for (size_t i = 0; i < kept; i++)
        if (count && grams[count - 1].key == grams[i].key)
            grams[count - 1].count += grams[i].count;
        else
            grams[count++] = grams[i];
    n->grams[order - 1] = grams;
    n->gram_count[order - 1] = count;
    n->p[order - 1] = calloc(count + 1, sizeof(double));
    return n->p[order - 1] ? 0 : -ENOMEM;
}

/* Grams that begin with `history` lie side by side. */
static struct history history_of(const struct ngram *n, int order, uint64_t history, size_t *from)
{
    const struct gram *grams = n->grams[order - 1];
    size_t low = 0, high = n->gram_count[order - 1];
    struct history h = {0, 0};
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (grams[middle].key >> 16 < history)
            low = middle + 1;
        else
            high = middle;
    }
    *from = low;
    for (; low < n->gram_count[order - 1] && grams[low].key >> 16 == history; low++) {
        h.tokens += grams[low].count;
        h.kinds++;
    }
    return h;
}

/* Probability of a gram one order down; every one exists, since the longer one was counted. */
static double lower(const struct ngram *n, int order, uint64_t key)
{
    if (order == 0)
        return 1.0 / (double)(n->gram_count[0] + 1);
    struct gram wanted = {key & ((UINT64_C(1) << (16 * order)) - 1), 0};
    const struct gram *found =
        bsearch(&wanted, n->grams[order - 1], n->gram_count[order - 1], sizeof(wanted), gram_order);
    return found ? n->p[order - 1][found - n->grams[order - 1]] : 0.0;
}

static double backoff(const struct ngram *n, struct history h)
{
    double open = n->openness * h.kinds;
    return open / (h.tokens + open);
}

static void grams_weigh(struct ngram *n, int order)
{
    const struct gram *grams = n->grams[order - 1];
    for (size_t i = 0; i < n->gram_count[order - 1];) {
        uint64_t history = grams[i].key >> 16;
        size_t from;
        struct history h = history_of(n, order, history, &from);
        double open = n->openness * h.kinds;
        for (; i < n->gram_count[order - 1] && grams[i].key >> 16 == history; i++)
            n->p[order - 1][i] =
                (grams[i].count + open * lower(n, order - 1, grams[i].key)) / (h.tokens + open);
    }
}

struct naming {
    const char *(*of)(const void *, size_t);
    const void *names;
    size_t count;
};

static const char *gram_name(const struct naming *naming, uint64_t word)
{
    if (word == WORD_START)
        return "<s>";
    if (word == WORD_END)
        return "</s>";
    return word - WORD_FIRST < naming->count ? naming->of(naming->names, word - WORD_FIRST) : "";
}

static void gram_write(const struct ngram *n, FILE *to, int order, uint64_t key, double p,
                       const struct naming *naming)
{
    fprintf(to, "%.4f", p > 0 ? log10(p) : -99.0);
    for (int i = order - 1; i >= 0; i--)
        fprintf(to, " %s", gram_name(naming, (key >> (16 * i)) & 0xffff));
    size_t from;
    struct history h = order < 3 ? history_of(n, order + 1, key, &from) : (struct history){0, 0};
    if (h.kinds > 0)
        fprintf(to, " %.4f", log10(backoff(n, h)));
    fputc('\n', to);
}

int ngram_write(struct ngram *n, FILE *to, const char *(*name_of)(const void *, size_t),
                const void *names, size_t name_count)
{
    struct naming naming = {name_of, names, name_count};
    for (int order = 1; order <= 3; order++) {
        int err = grams_count(n, order);
        if (err)
            return err;
        grams_weigh(n, order);
    }
    fprintf(to, "\\data\\\nngram 1=%zu\nngram 2=%zu\nngram 3=%zu\n", n->gram_count[0] + 1,
            n->gram_count[1], n->gram_count[2]);
    for (int order = 1; order <= 3; order++) {
        fprintf(to, "\n\\%d-grams:\n", order);
        if (order == 1) /* never predicted, but the history of every first word */
            gram_write(n, to, 1, WORD_START, 0.0, &naming);
        for (size_t i = 0; i < n->gram_count[order - 1]; i++)
            gram_write(n, to, order, n->grams[order - 1][i].key, n->p[order - 1][i], &naming);
    }
    fprintf(to, "\n\\end\\\n");
    return fflush(to) || ferror(to) ? -EIO : 0;
}
