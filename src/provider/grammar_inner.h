/* A compiled grammar inside, for the two files that it is made of: grammar.c (compiling it) and
 * grammar_walk.c (what is asked of it afterwards). Owned by the grammar; read-only once compiled.
 */
#ifndef PROVIDER_GRAMMAR_INNER_H
#define PROVIDER_GRAMMAR_INNER_H

#include "provider/grammar.h"

struct word {
    char text[GRAMMAR_WORD_BYTES_MAX];
    unsigned line;
};

#define EDGE_NONE UINT32_MAX
#define WORD_NONE UINT16_MAX

/* A node has either one edge with a word or any number of edges without. */
struct edge {
    uint32_t to;
    uint32_t next; /* of the same node */
    float weight;
    uint16_t word;
};

/* One network: sentences are the ways from `start` to the common end. */
struct context {
    uint32_t start;
    char name[GRAMMAR_WORD_BYTES_MAX]; /* "": the public rules */
};

struct grammar {
    struct word *words;
    size_t word_count;
    uint16_t *hash; /* of words, open addressing; WORD_NONE: free */
    uint32_t *edge_of;
    struct edge *edges;
    size_t node_count, node_size;
    size_t edge_count, edge_size;
    uint32_t end;
    struct context contexts[GRAMMAR_CONTEXTS_MAX];
    size_t context_count;
};

#define HASH_SIZE (GRAMMAR_WORDS_MAX * 4)

/* Where a word is, or would be, in the hash. */
size_t grammar_word_place(const struct grammar *g, struct slice text);

#endif
