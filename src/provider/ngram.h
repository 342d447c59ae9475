/* A trigram language model estimated from sampled sentences: interpolated Witten-Bell smoothing,
 * written in the ARPA format that recognisers read. Made when an agent is loaded, thrown away once
 * written. It is deterministic: the same sentences give the same bytes. */
#ifndef PROVIDER_NGRAM_H
#define PROVIDER_NGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/reason.h"

#define NGRAM_TOKENS_MAX 4000000 /* words in all sentences; beyond: -ENOSPC */

struct ngram;

/* `openness`: how much probability goes to what was never sampled, 1 is plain Witten-Bell. */
struct ngram *ngram_new(double openness);
void ngram_free(struct ngram **n);
/* One sentence of word numbers below 65000, counted so many times. 0, -ENOSPC or -ENOMEM. */
MUST_USE int ngram_add(struct ngram *n, const uint16_t *words, size_t count, uint32_t times);
/* Writes the model; name_of gives the spelling of a word. 0 or -errno. */
MUST_USE int ngram_write(struct ngram *n, FILE *to, const char *(*name_of)(const void *, size_t),
                         const void *names, size_t name_count);

#endif
