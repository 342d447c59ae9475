/* What all calls of one agent share for the embedded recogniser: its grammar, and the dictionary
 * and language model made from it. The two are kept in anonymous memory files, which the engine
 * opens through /proc/self/fd: nothing is left on a disk, and the product may be installed
 * read-only. Made on the control thread when an agent is loaded, read-only afterwards. */
#ifndef PROVIDER_SPHINX_MODEL_H
#define PROVIDER_SPHINX_MODEL_H

#include "provider/grammar.h"
#include "provider/provider.h"

#define SPHINX_PATH_MAX       1024
#define SPHINX_MEMORY_PATH    40       /* path of a memory file, with its NUL */
#define SPHINX_LOG_BASE       1.0001   /* of the engine's logarithms, its own default */
#define SPHINX_DICT_BYTES_MAX 16777216 /* a dictionary file; beyond: refused */

struct sphinx_model {
    uint64_t id; /* hash of all that makes a decoder differ from another */
    struct grammar *grammar;
    int dict_fd;
    /* One for each context of the grammar; GRAMMAR_ANYTHING at -1: search by the grammar itself. */
    int lm_fd[GRAMMAR_CONTEXTS_MAX];
    char acoustic[SPHINX_PATH_MAX];     /* folder of the acoustic model */
    char features[SPHINX_PATH_MAX];     /* its feat.params for telephone speech */
    char adaptation[SPHINX_PATH_MAX];   /* linear map of the model's means; "": none */
    char grammar_path[SPHINX_PATH_MAX]; /* search by the grammar */
    double language_weight;
    double ending; /* grammar_end_share() from which a sentence is called complete */
};

/* Settings: grammar (file, needed), dictionary (file of more pronunciations), model (folder),
 * features (file), adaptation (file or none), search (lm or grammar), sentences, openness,
 * expected, language_weight, ending. 0 or -errno and one sentence naming the file and line or the
 * setting. */
MUST_USE int sphinx_model_load(const struct provider_config *config, struct sphinx_model **out,
                               char *why, size_t why_bytes);
/* Where the engine finds a memory file of this model. */
void sphinx_memory_path(int fd, char path[SPHINX_MEMORY_PATH]);
void sphinx_model_free(struct sphinx_model **m);

#endif
