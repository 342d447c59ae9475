/* The grammar parser, and sampling and matching by what it made. */
#include <stdlib.h>

#include "provider/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar *g;
    char why[200];
    uint16_t words[GRAMMAR_SENTENCE_MAX];
    struct rand r = {1};
    if (size > 4096 || grammar_parse(slice_of(data, size), "fuzz", &g, why, sizeof(why)))
        return 0;
    void *scratch = malloc(grammar_scratch_bytes(g));
    for (size_t i = 0; i < grammar_contexts(g); i++) {
        grammar_sample(g, i, &r, words);
        if (scratch)
            grammar_end_share(g, i, slice_of(data, size), scratch);
    }
    free(scratch);
    grammar_free(&g);
    return 0;
}
