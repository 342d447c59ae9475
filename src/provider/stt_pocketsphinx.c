/* tidy: allow alloc in this file: the decoders live on the speech lane, where the engine allocates
 * as it likes; the shard's side of this provider allocates nothing. */
/* Speech recognition without a network: PocketSphinx on a speech lane, with the agent's grammar
 * turned into small trigram models, one for each question that the agent asks. The step function
 * only hands audio on; a session on the lane decodes it as it comes, takes a decoder of its lane's
 * pool for the length of an utterance and keeps the caller's cepstral mean from one to the next. */
#include <errno.h>
#include <pocketsphinx.h>
#include <sphinxbase/cmn.h>
#include <sphinxbase/err.h>
#include <sphinxbase/feat.h>
#include <sphinxbase/ngram_model.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "provider/provider.h"
#include "provider/sphinx_model.h"

#define DECODERS_MAX  32 /* of one lane; beyond: the utterance fails */
#define CEPSTRA       13
#define NBEST_MAX     60  /* hypotheses looked at where the best one is no sentence */
#define NBEST_WORSE   200 /* so much less likely one may be, about 20 nats of sound and model */
#define LOOK_SAMPLES  960 /* a new hypothesis is looked at every 60 ms of audio */
#define UTTERANCE_MAX (16000 * 60) /* samples; what is beyond is not heard */
#define EPOCH_SHIFT   3            /* a tag is epoch << 3 | kind */

enum job { JOB_AUDIO, JOB_FINISH, JOB_DROP, JOB_EXPECT };
enum reply { REPLY_PARTIAL, REPLY_COMPLETE, REPLY_EXPECTED, REPLY_FINAL, REPLY_FAILED };

/* ---- shard side ---- */

struct stt_state {
    uint32_t finished; /* epoch + 1 of the last utterance that is over */
};

static void job_send(struct intents *out, enum job job, uint32_t epoch, struct slice body)
{
    struct provider_intent *intent = intents_add(out, INTENT_JOB);
    intent->flag = (epoch << EPOCH_SHIFT) | job;
    intent->epoch = epoch;
    intent->body = body;
}

static void reply_take(const struct provider_input *in, struct intents *out)
{
    uint32_t epoch = in->flag >> EPOCH_SHIFT;
    enum reply reply = (enum reply)(in->flag & 7);
    struct provider_intent *event;
    switch (reply) {
    case REPLY_PARTIAL:
    case REPLY_COMPLETE:
    case REPLY_EXPECTED:
        event = intents_event(out, EVENT_PARTIAL, epoch, in->data);
        event->flag = reply == REPLY_PARTIAL ? 0 : EVENT_COMPLETE;
        event->flag |= reply == REPLY_EXPECTED ? EVENT_EXPECTED : 0;
        return;
    case REPLY_FINAL:
        intents_event(out, EVENT_FINAL, epoch, in->data)->confidence = 100;
        return;
    case REPLY_FAILED:
        intents_event(out, EVENT_FAILED, epoch, SLICE_NONE)->status = -EAGAIN;
        return;
    }
}

static void stt_step(void *state, const struct provider_input *in, int64_t now_ns,
                     struct intents *out)
{
    struct stt_state *s = state;
    (void)now_ns;
    switch (in->kind) {
    case INPUT_SPEECH:
        if (in->flag && in->data.len)
            job_send(out, JOB_EXPECT, in->epoch, in->data);
        return;
    case INPUT_AUDIO:
        if (s->finished != in->epoch + 1)
            job_send(out, JOB_AUDIO, in->epoch, in->data);
        return;
    case INPUT_FINISH:
        if (s->finished != in->epoch + 1)
            job_send(out, JOB_FINISH, in->epoch, SLICE_NONE);
        s->finished = in->epoch + 1;
        return;
    case INPUT_CANCEL:
        job_send(out, JOB_DROP, in->epoch, SLICE_NONE);
        s->finished = in->epoch + 1;
        return;
    case INPUT_JOB:
        reply_take(in, out);
        return;
    case INPUT_START:
    case INPUT_TEXT:
    case INPUT_TURN:
    case INPUT_COMMIT:
    case INPUT_STOP:
    case INPUT_OPENED:
    case INPUT_BYTES:
    case INPUT_STATUS:
    case INPUT_CHUNK:
    case INPUT_END:
    case INPUT_CLOSED:
    case INPUT_TIMER:
        return;
    }
}

/* ---- lane side ---- */

struct decoder {
    ps_decoder_t *ps; /* NULL: free place */
    uint64_t model;
    ngram_model_t *lms; /* its set of language models, one a context; NULL: search by the grammar */
    bool busy;
    mfcc_t mean[CEPSTRA]; /* where a new caller starts */
};

struct pool {
    struct decoder list[DECODERS_MAX];
    void *scratch; /* for grammar_end_share() */
    size_t scratch_bytes;
};

struct session {
    const struct sphinx_model *model;
    struct decoder *decoder; /* while an utterance is open */
    uint32_t epoch;
    size_t context;     /* of this utterance: what the grammar expects */
    uint32_t expecting; /* the utterance that `expected` was said of */
    size_t expected;
    size_t samples, looked; /* of this utterance */
    bool known;             /* mean is this caller's */
    mfcc_t mean[CEPSTRA];
    char heard[TURN_TEXT_BYTES_MAX];
};

/* The set has the model of anything as its first; the others share its word numbers. */
static const char *context_key(const struct sphinx_model *m, size_t context)
{
    return context == GRAMMAR_ANYTHING ? "default" : grammar_context_name(m->grammar, context);
}

/* Measured on 124 telephone sentences at 20 dB (2 voices, so +-3 %): the engine's noise removal
 * cost about 5 % of them and its silence removal 2 %, which the voice detector does anyway. The
 * best path through the lattice gained 2 % for 6 ms at the end; a second pass took 65 ms and gained
 * nothing. */
static cmd_ln_t *decoder_config(const struct sphinx_model *m)
{
    char dict[SPHINX_MEMORY_PATH], lm[SPHINX_MEMORY_PATH], weight[24];
    int lm_fd = m->lm_fd[GRAMMAR_ANYTHING];
    sphinx_memory_path(m->dict_fd, dict);
    sphinx_memory_path(lm_fd, lm);
    snprintf(weight, sizeof(weight), "%g", m->language_weight);
    cmd_ln_t *config =
        cmd_ln_init(NULL, ps_args(), FALSE, "-hmm", m->acoustic, "-featparams", m->features,
                    "-dict", dict, "-samprate", "16000", "-fwdflat", "no", "-bestpath", "yes",
                    "-remove_noise", "no", "-remove_silence", "no", "-lw", weight,
                    lm_fd < 0 ? "-jsgf" : "-lm", lm_fd < 0 ? m->grammar_path : lm, NULL);
    if (config && m->adaptation[0])
        cmd_ln_set_str_r(config, "-mllr", m->adaptation);
    return config;
}

/* Of the search that ps_init() makes. ps_get_search() would tell, and leak each time. */
#define SEARCH_NAME "_default"

/* Adds the models of the contexts to the search's own set: one search, hence one tree of words and
 * one lattice, whatever was asked. */
static bool lms_add(struct decoder *d, const struct sphinx_model *m)
{
    char path[SPHINX_MEMORY_PATH];
    d->lms = ps_get_lm(d->ps, SEARCH_NAME);
    for (size_t i = 1; i < grammar_contexts(m->grammar) && d->lms; i++) {
        sphinx_memory_path(m->lm_fd[i], path);
        ngram_model_t *lm =
            ngram_model_read(ps_get_config(d->ps), path, NGRAM_BIN, ps_get_logmath(d->ps));
        if (!lm)
            return false;
        ngram_model_set_add(d->lms, lm, context_key(m, i), 1.0f, TRUE);
    }
    return d->lms && ngram_model_set_select(d->lms, context_key(m, GRAMMAR_ANYTHING));
}

static void decoder_close(struct decoder *d)
{
    if (d->ps)
        ps_free(d->ps);
    *d = (struct decoder){0};
}

static bool decoder_open(struct decoder *d, const struct sphinx_model *m)
{
    cmd_ln_t *config = decoder_config(m);
    ps_decoder_t *ps = config ? ps_init(config) : NULL;
    if (config)
        cmd_ln_free_r(config);
    if (!ps)
        return false;
    *d = (struct decoder){.ps = ps, .model = m->id};
    if (m->lm_fd[GRAMMAR_ANYTHING] >= 0 && !lms_add(d, m)) {
        decoder_close(d);
        return false;
    }
    cmn_live_get(ps_get_feat(ps)->cmn_struct, d->mean);
    return true;
}

/* A decoder of this model that nobody uses, made if there is none; one of another agent makes room.
 */
static struct decoder *pool_take(struct pool *pool, const struct sphinx_model *m)
{
    struct decoder *spare = NULL;
    for (size_t i = 0; i < DECODERS_MAX; i++) {
        struct decoder *d = &pool->list[i];
        if (d->ps && !d->busy && d->model == m->id)
            return d;
        if (!d->busy && (!spare || (spare->ps && !d->ps)))
            spare = d;
    }
    if (!spare)
        return NULL;
    decoder_close(spare);
    return decoder_open(spare, m) ? spare : NULL;
}

static struct pool *pool_of(struct job_port *port)
{
    if (!*port->worker)
        *port->worker = calloc(1, sizeof(struct pool));
    return *port->worker;
}

static void utterance_close(struct session *s)
{
    if (!s->decoder)
        return;
    ps_end_utt(s->decoder->ps);
    s->decoder->busy = false;
    s->decoder = NULL;
}

static bool utterance_open(struct session *s, uint32_t epoch, struct job_port *port)
{
    struct pool *pool = pool_of(port);
    utterance_close(s);
    s->epoch = epoch;
    s->samples = s->looked = 0;
    s->heard[0] = '\0';
    s->decoder = pool ? pool_take(pool, s->model) : NULL;
    if (!s->decoder)
        return false;
    s->decoder->busy = true;
    s->context = s->expecting == epoch ? s->expected : GRAMMAR_ANYTHING;
    if (s->decoder->lms)
        ngram_model_set_select(s->decoder->lms, context_key(s->model, s->context));
    cmn_live_set(ps_get_feat(s->decoder->ps)->cmn_struct, s->known ? s->mean : s->decoder->mean);
    return ps_start_utt(s->decoder->ps) == 0;
}

/* Memory for questions to the grammar belongs to the lane. */
static void *grammar_scratch(const struct session *s, struct job_port *port)
{
    struct pool *pool = *port->worker;
    size_t wanted = grammar_scratch_bytes(s->model->grammar);
    if (pool->scratch_bytes < wanted) {
        free(pool->scratch);
        pool->scratch = malloc(wanted);
        pool->scratch_bytes = pool->scratch ? wanted : 0;
    }
    return pool->scratch;
}

/* Is what was heard a whole sentence, and one that rarely goes on? */
static enum reply wholeness(const struct session *s, struct job_port *port)
{
    const struct grammar *g = s->model->grammar;
    struct slice heard = slice_str(s->heard);
    void *scratch = heard.len ? grammar_scratch(s, port) : NULL;
    double ending = s->model->ending;
    if (!scratch)
        return REPLY_PARTIAL;
    if (s->context != GRAMMAR_ANYTHING &&
        grammar_end_share(g, s->context, heard, scratch) >= ending)
        return REPLY_EXPECTED;
    return grammar_end_share(g, GRAMMAR_ANYTHING, heard, scratch) >= ending ? REPLY_COMPLETE
                                                                            : REPLY_PARTIAL;
}

/* Takes the decoder's hypothesis over; true when it changed. */
static bool hypothesis_take(struct session *s)
{
    const char *text = ps_get_hyp(s->decoder->ps, NULL);
    if (!text)
        text = "";
    if (strcmp(text, s->heard) == 0)
        return false;
    snprintf(s->heard, sizeof(s->heard), "%s", text);
    return true;
}

static void audio_run(struct session *s, uint32_t epoch, struct slice body, struct job_port *port)
{
    if ((!s->decoder || s->epoch != epoch) && !utterance_open(s, epoch, port)) {
        port->emit(port, (epoch << EPOCH_SHIFT) | REPLY_FAILED, SLICE_NONE);
        return;
    }
    size_t count = body.len / sizeof(int16_t);
    int16_t piece[320];
    for (size_t done = 0; done < count && s->samples < UTTERANCE_MAX;) {
        size_t n = count - done < ARRAY_LEN(piece) ? count - done : ARRAY_LEN(piece);
        memcpy(piece, body.at + done * sizeof(int16_t), n * sizeof(int16_t));
        ps_process_raw(s->decoder->ps, piece, n, FALSE, FALSE);
        done += n;
        s->samples += n;
    }
    if (s->samples - s->looked < LOOK_SAMPLES)
        return;
    s->looked = s->samples;
    if (hypothesis_take(s))
        port->emit(port, (epoch << EPOCH_SHIFT) | wholeness(s, port), slice_str(s->heard));
}

/* Is it a sentence of the grammar, expected or not? */
static bool is_sentence(const struct session *s, struct slice text, void *scratch)
{
    const struct grammar *g = s->model->grammar;
    if (s->context != GRAMMAR_ANYTHING && grammar_end_share(g, s->context, text, scratch) > 0)
        return true;
    return grammar_end_share(g, GRAMMAR_ANYTHING, text, scratch) > 0;
}

/* The trigrams may join what makes no sentence. Among the next best hypotheses there may be one
 * that does, and sounds almost as likely: then that one was said. */
static void sentence_prefer(struct session *s, struct job_port *port)
{
    void *scratch = s->heard[0] ? grammar_scratch(s, port) : NULL;
    int32 best = INT32_MIN, score;
    if (!scratch || is_sentence(s, slice_str(s->heard), scratch))
        return;
    ps_nbest_t *n = ps_nbest(s->decoder->ps);
    for (unsigned left = NBEST_MAX; n && left; left--) {
        const char *text = ps_nbest_hyp(n, &score);
        best = score > best ? score : best;
        bool near = text && score >= best - NBEST_WORSE;
        if (near && is_sentence(s, slice_str(text), scratch)) {
            snprintf(s->heard, sizeof(s->heard), "%s", text);
            break;
        }
        n = ps_nbest_next(n);
    }
    if (n)
        ps_nbest_free(n);
}

static void finish_run(struct session *s, uint32_t epoch, struct job_port *port)
{
    if (s->decoder && s->epoch == epoch) {
        ps_end_utt(s->decoder->ps);
        hypothesis_take(s);
        sentence_prefer(s, port);
        cmn_live_get(ps_get_feat(s->decoder->ps)->cmn_struct, s->mean);
        s->known = true;
        s->decoder->busy = false;
        s->decoder = NULL;
    } else {
        s->heard[0] = '\0';
    }
    port->emit(port, (epoch << EPOCH_SHIFT) | REPLY_FINAL, slice_str(s->heard));
}

static int stt_open(void *session, const struct provider_config *config, struct job_port *port,
                    char *why, size_t why_bytes)
{
    struct session *s = session;
    struct pool *pool = pool_of(port);
    s->model = config->loaded;
    /* The first decoder of a lane is made now, not when the first caller speaks. */
    if (pool && pool_take(pool, s->model))
        return 0;
    snprintf(why, why_bytes, "no decoder could be made with %s", s->model->acoustic);
    return -ENOMEM;
}

static void stt_run(void *session, uint32_t tag, struct slice body, struct job_port *port)
{
    struct session *s = session;
    uint32_t epoch = tag >> EPOCH_SHIFT;
    switch ((enum job)(tag & 7)) {
    case JOB_AUDIO:
        if (!port->cancelled(port))
            audio_run(s, epoch, body, port);
        return;
    case JOB_FINISH:
        finish_run(s, epoch, port);
        return;
    case JOB_DROP:
        if (s->epoch == epoch)
            utterance_close(s);
        return;
    case JOB_EXPECT:
        s->expecting = epoch;
        s->expected = grammar_context(s->model->grammar, body);
        return;
    }
}

static void stt_close(void *session, struct job_port *port)
{
    (void)port;
    utterance_close(session);
}

static void stt_worker_close(void *worker)
{
    struct pool *pool = worker;
    if (!pool)
        return;
    for (size_t i = 0; i < DECODERS_MAX; i++)
        decoder_close(&pool->list[i]);
    free(pool->scratch);
    free(pool);
}

static int stt_load(const struct provider_config *config, const void **loaded, char *why,
                    size_t why_bytes)
{
    struct sphinx_model *model = NULL;
    err_set_logfp(NULL); /* the engine would write pages to stderr */
    int err = sphinx_model_load(config, &model, why, why_bytes);
    *loaded = model;
    return err;
}

static void stt_unload(const void *loaded)
{
    struct sphinx_model *model = (struct sphinx_model *)(uintptr_t)loaded;
    sphinx_model_free(&model);
}

const struct provider_ops stt_pocketsphinx_ops = {
    .name = "pocketsphinx",
    .kind = PROVIDER_STT,
    .summary = "speech recognition on this machine, for the sentences of a grammar",
    .settings = "grammar dictionary model features adaptation search sentences openness "
                "expected language_weight ending",
    .rate_hz = 16000,
    .state_bytes = sizeof(struct stt_state),
    .load = stt_load,
    .unload = stt_unload,
    .step = stt_step,
    .session_bytes = sizeof(struct session),
    .job_open = stt_open,
    .job_run = stt_run,
    .job_close = stt_close,
    .worker_close = stt_worker_close,
};
