/* A speech grammar: the JSGF subset that the embedded recogniser uses (rules, alternatives, groups,
 * optional parts, weights; no repetition, no recursion, no import). It is compiled once, when an
 * agent is loaded, into a network of words, which serves three ends: the vocabulary, sampled
 * sentences to estimate a language model from, and the question whether a hypothesis already is a
 * whole sentence. What callers answer to a certain question is a rule of its own, <expect_NAME>:
 * a context, a network beside that of the public rules. Immutable after grammar_parse(), so lanes
 * share one. Never reads a file.
 *
 *     #JSGF V1.0;
 *     grammar clinic;
 *     public <call> = [hello] (/3/ <book> | /1/ good bye);
 *     <book> = book an appointment [on <expect_day>];
 *     <expect_day> = monday | tuesday;
 */
#ifndef PROVIDER_GRAMMAR_H
#define PROVIDER_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rand.h"

#define GRAMMAR_WORDS_MAX      4096   /* vocabulary; beyond: refused */
#define GRAMMAR_WORD_BYTES_MAX 40     /* one word with its NUL; beyond: refused */
#define GRAMMAR_RULES_MAX      512    /* beyond: refused */
#define GRAMMAR_TOKENS_MAX     65536  /* beyond: refused */
#define GRAMMAR_NODES_MAX      262144 /* of the expanded network; beyond: refused */
#define GRAMMAR_DEPTH_MAX      64     /* nesting of groups and rules; beyond (recursion): refused */
#define GRAMMAR_SENTENCE_MAX   64     /* words of one sampled sentence; longer ones are cut */
#define GRAMMAR_CONTEXTS_MAX   16     /* <expect_...> rules, and the public ones; beyond: refused */
#define GRAMMAR_ANYTHING       0      /* the context of the public rules: nothing was asked */

struct grammar;

/* Compiles the public rule(s). 0, or -EINVAL / -ENOMEM and one sentence "FILE:LINE: ..." in `why`.
 */
MUST_USE int grammar_parse(struct slice text, const char *file, struct grammar **out, char *why,
                           size_t why_bytes);
void grammar_free(struct grammar **g);

size_t grammar_words(const struct grammar *g);
/* The i-th word of the vocabulary, lower case. */
const char *grammar_word(const struct grammar *g, size_t i);
/* The line on which it first stood. */
unsigned grammar_word_line(const struct grammar *g, size_t i);
/* Contexts are numbered from 0, GRAMMAR_ANYTHING, to here. */
size_t grammar_contexts(const struct grammar *g);
/* NAME of <expect_NAME>, "" for GRAMMAR_ANYTHING. */
const char *grammar_context_name(const struct grammar *g, size_t context);
/* The context of that name; GRAMMAR_ANYTHING if there is none. */
size_t grammar_context(const struct grammar *g, struct slice name);
/* One random sentence of a context, as numbers of words; returns how many (at most
 * GRAMMAR_SENTENCE_MAX). */
size_t grammar_sample(const struct grammar *g, size_t context, struct rand *r, uint16_t *words);
/* Is this text (words between spaces) a whole sentence of the public rules? `scratch` is memory of
 * grammar_scratch_bytes() that the caller lends, so that lanes can ask at the same time. */
bool grammar_accepts(const struct grammar *g, struct slice text, void *scratch);
/* Of a context's sentences that begin with this text, by their weights, the share that ends here: 0
 * for what is no sentence, small for one that usually goes on ("move my appointment"), 1 for one
 * that cannot. Same `scratch`. */
double grammar_end_share(const struct grammar *g, size_t context, struct slice text, void *scratch);
size_t grammar_scratch_bytes(const struct grammar *g);

#endif
