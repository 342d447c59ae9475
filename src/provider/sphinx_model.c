/* tidy: allow alloc in this file: everything here happens once, when an agent is loaded. */
/* tidy: allow layers in this file: the engine reads its dictionary and language model from files
 * alone; they are made in memory (memfd) when the agent is loaded, never in a call. */
#include "provider/sphinx_model.h"

#include <errno.h>
#include <sphinxbase/ngram_model.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "provider/ngram.h"

#define MODEL_FOLDER "/usr/share/pocketsphinx/model/en-us"
#define SAMPLE_SEED  20240101
#define ANSWER_TIMES                                                                               \
    8 /* an answer is sampled once and counted so often: the same for less work                    \
       */

struct load {
    const struct provider_config *config;
    struct sphinx_model *model;
    char *why;
    size_t why_bytes;
};

PRINTF_LIKE(3, 4)
static int fail(struct load *l, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->why, l->why_bytes, format, args);
    va_end(args);
    return -err;
}

/* A path of the agent file is relative to where that file lies. */
static int path_of(struct load *l, const char *key, const char *fallback_folder,
                   const char *fallback, char *path)
{
    const char *value = provider_setting(l->config, key, NULL);
    const char *folder = value ? l->config->folder : fallback_folder;
    const char *name = value ? value : fallback;
    int len = name[0] == '/' ? snprintf(path, SPHINX_PATH_MAX, "%s", name)
                             : snprintf(path, SPHINX_PATH_MAX, "%s/%s", folder, name);
    if (len < 0 || len >= SPHINX_PATH_MAX)
        return fail(l, ENAMETOOLONG, "stt.%s: path too long", key);
    return 0;
}

/* The whole file, with a final NUL; free() it. NULL and a sentence on error. */
static char *file_read(struct load *l, const char *path, size_t max, size_t *len)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(max + 1) : NULL;
    if (!text) {
        fail(l, errno, "%s: cannot be read (%s)", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    *len = fread(text, 1, max + 1, file);
    bool bad = ferror(file) || *len > max;
    fclose(file);
    if (bad) {
        fail(l, EFBIG, "%s: cannot be read, or larger than %zu bytes", path, max);
        free(text);
        return NULL;
    }
    text[*len] = '\0';
    return text;
}

static int number_setting(struct load *l, const char *key, double least, double most, double *value)
{
    const char *text = provider_setting(l->config, key, NULL);
    char *end;
    if (!text)
        return 0;
    *value = strtod(text, &end);
    if (*end || end == text || !(*value >= least && *value <= most))
        return fail(l, EINVAL, "stt.%s: '%s' is not a number from %g to %g", key, text, least,
                    most);
    return 0;
}

static FILE *memory_file(const char *name, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC);
    int copy = *fd < 0 ? -1 : dup(*fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file && copy >= 0)
        close(copy);
    return file;
}

static void id_add(struct sphinx_model *m, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        m->id = (m->id ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
}

/* ---- dictionary ---- */

/* "word" of a line "word(2)  W ER D"; its vocabulary number through `found`. */
static bool line_wanted(const struct grammar *g, const size_t *order, struct slice line, size_t *at)
{
    size_t len = 0, low = 0, high = grammar_words(g);
    while (len < line.len && line.at[len] != ' ' && line.at[len] != '\t' && line.at[len] != '(')
        len++;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *word = grammar_word(g, order[middle]);
        size_t word_len = strlen(word);
        int sign = memcmp(word, line.at, word_len < len ? word_len : len);
        if (!sign && word_len == len) {
            *at = order[middle];
            return true;
        }
        if (sign < 0 || (!sign && word_len < len))
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static int by_spelling(const void *a, const void *b, void *grammar)
{
    return strcmp(grammar_word(grammar, *(const size_t *)a),
                  grammar_word(grammar, *(const size_t *)b));
}

/* Copies the lines of the grammar's words; `seen` marks the words that have one. */
static int dict_copy(struct load *l, const char *path, const size_t *order, uint8_t *seen, FILE *to)
{
    size_t len, at;
    char *text = file_read(l, path, SPHINX_DICT_BYTES_MAX, &len);
    if (!text)
        return -ENOENT;
    for (struct slice left = slice_of(text, len); left.len;) {
        struct slice line = slice_trim(slice_cut(left, '\n', &left));
        if (!line.len || line.at[0] == '#' || !line_wanted(l->model->grammar, order, line, &at))
            continue;
        seen[at] = 1;
        fprintf(to, "%.*s\n", SLICE_ARG(line));
        id_add(l->model, (const char *)line.at, line.len);
    }
    free(text);
    return 0;
}

static int dict_fill(struct load *l, const size_t *order, uint8_t *seen, FILE *to)
{
    const struct grammar *g = l->model->grammar;
    char path[SPHINX_PATH_MAX];
    int err = 0;
    if (provider_setting(l->config, "dictionary", NULL)) {
        err = path_of(l, "dictionary", "", "", path);
        if (!err)
            err = dict_copy(l, path, order, seen, to);
    }
    if (!err)
        err = dict_copy(l, MODEL_FOLDER "/cmudict-en-us.dict", order, seen, to);
    for (size_t i = 0; i < grammar_words(g) && !err; i++)
        if (!seen[i])
            err = fail(l, EINVAL, "%s:%u: no pronunciation of '%s' in any dictionary",
                       l->model->grammar_path, grammar_word_line(g, i), grammar_word(g, i));
    return err;
}

static int dict_make(struct load *l)
{
    struct grammar *g = l->model->grammar;
    size_t count = grammar_words(g);
    size_t *order = calloc(count + 1, sizeof(*order));
    uint8_t *seen = calloc(count + 1, 1);
    FILE *to = memory_file("dictionary", &l->model->dict_fd);
    int err = order && seen && to ? 0 : fail(l, ENOMEM, "no memory for the dictionary");
    if (!err) {
        for (size_t i = 0; i < count; i++)
            order[i] = i;
        qsort_r(order, count, sizeof(*order), by_spelling, g);
        err = dict_fill(l, order, seen, to);
    }
    if (to && fclose(to) && !err)
        err = fail(l, EIO, "the dictionary could not be written");
    free(order);
    free(seen);
    return err;
}

/* ---- language model ---- */

static const char *name_of(const void *grammar, size_t i)
{
    return grammar_word(grammar, i);
}

struct lm_plan {
    double sentences, openness;
    double expected; /* of an answer's sentences: how many are those of its context */
};

static int lm_sample(struct load *l, struct ngram *n, size_t context, size_t sentences,
                     uint32_t times)
{
    struct rand r = {SAMPLE_SEED + context};
    uint16_t words[GRAMMAR_SENTENCE_MAX];
    for (size_t i = 0; i < sentences; i++) {
        size_t count = grammar_sample(l->model->grammar, context, &r, words);
        if (count && ngram_add(n, words, count, times))
            return fail(l, ENOMEM, "no memory for the language model");
    }
    return 0;
}

/* A question's model is that of anything, with the answers expected to it on top: so it has the
 * same vocabulary, and who answers otherwise is understood too. */
static int lm_fill(struct load *l, struct ngram *n, size_t context, const struct lm_plan *plan)
{
    double answers = plan->sentences * plan->expected / (1 - plan->expected);
    int err = lm_sample(l, n, GRAMMAR_ANYTHING, (size_t)plan->sentences, 1);
    if (!err && context != GRAMMAR_ANYTHING)
        err = lm_sample(l, n, context, (size_t)(answers / ANSWER_TIMES), ANSWER_TIMES);
    return err;
}

/* From the text that everybody reads to the form that the engine loads at once. */
static int lm_convert(struct load *l, int from, int to)
{
    char from_path[SPHINX_MEMORY_PATH], to_path[SPHINX_MEMORY_PATH];
    sphinx_memory_path(from, from_path);
    sphinx_memory_path(to, to_path);
    logmath_t *math = logmath_init(SPHINX_LOG_BASE, 0, FALSE);
    ngram_model_t *lm = math ? ngram_model_read(NULL, from_path, NGRAM_ARPA, math) : NULL;
    int err = lm ? ngram_model_write(lm, to_path, NGRAM_BIN) : -1;
    ngram_model_free(lm);
    if (math)
        logmath_free(math);
    return err ? fail(l, EIO, "the language model could not be converted") : 0;
}

static int lm_make(struct load *l, size_t context, const struct lm_plan *plan)
{
    const struct grammar *g = l->model->grammar;
    struct ngram *n = ngram_new(plan->openness);
    int fd = -1;
    FILE *to = memory_file("language-model", &fd);
    int err = n && to ? lm_fill(l, n, context, plan)
                      : fail(l, ENOMEM, "no memory for the language model");
    if (!err && ngram_write(n, to, name_of, g, grammar_words(g)))
        err = fail(l, EIO, "the language model could not be written");
    if (to && fclose(to) && !err)
        err = fail(l, EIO, "the language model could not be written");
    ngram_free(&n);
    l->model->lm_fd[context] = memfd_create("language-model", MFD_CLOEXEC);
    if (!err)
        err = lm_convert(l, fd, l->model->lm_fd[context]);
    if (fd >= 0)
        close(fd);
    return err;
}

static int lms_make(struct load *l)
{
    struct lm_plan plan = {.sentences = 30000, .openness = 0.7, .expected = 0.7};
    int err = number_setting(l, "sentences", 100, 200000, &plan.sentences);
    if (!err)
        err = number_setting(l, "openness", 0.1, 100, &plan.openness);
    if (!err)
        err = number_setting(l, "expected", 0, 0.95, &plan.expected);
    for (size_t i = 0; i < grammar_contexts(l->model->grammar) && !err; i++)
        err = lm_make(l, i, &plan);
    id_add(l->model, (const char *)&plan, sizeof(plan));
    return err;
}

static int grammar_load(struct load *l)
{
    struct sphinx_model *m = l->model;
    size_t len;
    if (!provider_setting(l->config, "grammar", NULL))
        return fail(l, EINVAL, "stt.grammar: pocketsphinx needs a grammar file");
    int err = path_of(l, "grammar", "", "", m->grammar_path);
    char *text = err ? NULL : file_read(l, m->grammar_path, CONFIG_BYTES_MAX, &len);
    if (!text)
        return err ? err : -ENOENT;
    err = grammar_parse(slice_of(text, len), m->grammar_path, &m->grammar, l->why, l->why_bytes);
    id_add(m, text, len);
    free(text);
    return err;
}

/* The file that comes with the product fits the acoustic model that does; another one has none
 * unless it is named. */
static int adaptation_find(struct load *l)
{
    char *path = l->model->adaptation;
    const char *value = provider_setting(l->config, "adaptation", NULL);
    bool foreign = provider_setting(l->config, "model", NULL) != NULL;
    bool none = value ? strcmp(value, "none") == 0 : foreign;
    if (none)
        return 0;
    int err = path_of(l, "adaptation", l->config->data_dir, "speech/phone.mllr", path);
    if (!err && access(path, R_OK))
        err = fail(l, errno, "%s: cannot be read (%s)", path, strerror(errno));
    return err;
}

static int model_fill(struct load *l)
{
    struct sphinx_model *m = l->model;
    const char *search = provider_setting(l->config, "search", "lm");
    bool by_lm = strcmp(search, "lm") == 0;
    if (!by_lm && strcmp(search, "grammar") != 0)
        return fail(l, EINVAL, "stt.search: '%s' is neither lm nor grammar", search);
    int err = path_of(l, "model", MODEL_FOLDER, "en-us", m->acoustic);
    if (!err)
        err = path_of(l, "features", l->config->data_dir, "speech/phone-feat.params", m->features);
    if (!err && access(m->features, R_OK))
        err = fail(l, errno, "%s: cannot be read (%s)", m->features, strerror(errno));
    if (!err)
        err = adaptation_find(l);
    if (!err && access(m->acoustic, R_OK))
        err =
            fail(l, errno, "%s: no acoustic model (is pocketsphinx-en-us installed?)", m->acoustic);
    if (!err)
        err = grammar_load(l);
    if (!err)
        err = dict_make(l);
    m->language_weight = 6.5;
    if (!err)
        err = number_setting(l, "language_weight", 1, 30, &m->language_weight);
    m->ending = 0.1;
    if (!err)
        err = number_setting(l, "ending", 0.0001, 1, &m->ending);
    if (!err && by_lm)
        err = lms_make(l);
    id_add(m, m->acoustic, strlen(m->acoustic));
    id_add(m, m->features, strlen(m->features));
    id_add(m, m->adaptation, strlen(m->adaptation));
    id_add(m, (const char *)&m->language_weight, sizeof(m->language_weight));
    return err;
}

void sphinx_memory_path(int fd, char path[SPHINX_MEMORY_PATH])
{
    snprintf(path, SPHINX_MEMORY_PATH, "/proc/self/fd/%d", fd);
}

int sphinx_model_load(const struct provider_config *config, struct sphinx_model **out, char *why,
                      size_t why_bytes)
{
    struct sphinx_model *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->dict_fd = -1;
    memset(m->lm_fd, -1, sizeof(m->lm_fd));
    m->id = UINT64_C(14695981039346656037);
    struct load l = {config, m, why, why_bytes};
    int err = model_fill(&l);
    if (err)
        sphinx_model_free(&m);
    *out = m;
    return err;
}

void sphinx_model_free(struct sphinx_model **m)
{
    if (!*m)
        return;
    if ((*m)->dict_fd >= 0)
        close((*m)->dict_fd);
    for (size_t i = 0; i < GRAMMAR_CONTEXTS_MAX; i++)
        if ((*m)->lm_fd[i] >= 0)
            close((*m)->lm_fd[i]);
    grammar_free(&(*m)->grammar);
    free(*m);
    *m = NULL;
}
