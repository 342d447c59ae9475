/* sidetone-adapt: what does a telephone do to the sounds that an acoustic model knows? Speaks every
 * line of a text file twice, wide-band and through a line, and prints the linear map from the
 * cepstra of the one to those of the other as an adaptation file for the recogniser
 * (docs/providers/pocketsphinx.md). Deterministic. */
#include <pocketsphinx.h>
#include <sphinxbase/err.h>
#include <sphinxbase/fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "media/resample.h"
#include "tools/say/caller.h"

#define CEPSTRA     13
#define STREAMS     3     /* cepstra, first and second differences: the map is the same */
#define VOICED_DOWN 40.0f /* a frame whose first cepstrum is this far below the highest is none */
#define TEXT_BYTES  1000

struct sums {
    double xx[CEPSTRA][CEPSTRA], yx[CEPSTRA][CEPSTRA];
    long frames;
};

struct cepstra {
    mfcc_t **at;
    int32 count;
};

static struct cepstra cepstra_of(fe_t *fe, const int16_t *pcm, size_t count)
{
    struct cepstra c = {NULL, 0};
    int32 most = 0;
    size_t left = count;
    const int16_t *at = pcm;
    fe_start_utt(fe);
    fe_process_frames(fe, NULL, &left, NULL, &most, NULL); /* only tells how many */
    c.at = (mfcc_t **)ckd_calloc_2d((size_t)most + 2, CEPSTRA, sizeof(mfcc_t));
    c.count = most + 2;
    left = count;
    fe_process_frames(fe, &at, &left, c.at, &c.count, NULL);
    return c;
}

/* Voiced frames only, each side around its own mean: the decoder takes that away as well. */
static void pair_add(struct sums *s, const struct cepstra *x, const struct cepstra *y)
{
    double mean_x[CEPSTRA] = {0}, mean_y[CEPSTRA] = {0};
    int32 count = x->count < y->count ? x->count : y->count, kept = 0;
    mfcc_t top = -1e9f;
    for (int32 i = 0; i < count; i++)
        top = x->at[i][0] > top ? x->at[i][0] : top;
    for (int32 i = 0; i < count; i++) {
        if (x->at[i][0] <= top - VOICED_DOWN)
            continue;
        kept++;
        for (int d = 0; d < CEPSTRA; d++) {
            mean_x[d] += x->at[i][d];
            mean_y[d] += y->at[i][d];
        }
    }
    for (int32 i = 0; i < count; i++) {
        if (x->at[i][0] <= top - VOICED_DOWN)
            continue;
        for (int d = 0; d < CEPSTRA; d++)
            for (int j = 0; j < CEPSTRA; j++) {
                double other = x->at[i][j] - mean_x[j] / kept;
                s->xx[d][j] += (x->at[i][d] - mean_x[d] / kept) * other;
                s->yx[d][j] += (y->at[i][d] - mean_y[d] / kept) * other;
            }
    }
    s->frames += kept;
}

static int sentence_add(struct sums *s, fe_t *fe, const struct caller_request *q)
{
    struct caller_audio line;
    struct resample up;
    int16_t *wide;
    struct rand r = {q->seed};
    int err = caller_speak_wide(q, &line, &wide);
    if (err)
        return err;
    size_t made = 0, count = line.count - line.count % 160;
    int16_t *heard = calloc(2 * count + 1, sizeof(int16_t));
    err = heard ? resample_init(&up, 8000, 16000) : -1;
    for (size_t i = 0; !err && i < count; i += 160)
        made += resample_run(&up, heard + made, line.pcm + i, 160);
    /* a room is never digitally silent */
    for (size_t i = 0; i < 2 * count; i++) {
        int x = wide[i] + (int)rand_below(&r, 21) - 10;
        wide[i] = (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
    }
    size_t late = err ? 0 : resample_delay(&up);
    if (!err && made > late) {
        struct cepstra x = cepstra_of(fe, wide, made - late),
                       y = cepstra_of(fe, heard + late, made - late);
        pair_add(s, &x, &y);
        ckd_free_2d(x.at);
        ckd_free_2d(y.at);
    }
    free(heard);
    free(wide);
    free(line.pcm);
    return err;
}

/* map = yx * inverse(xx), by Gauss and Jordan; a thousandth more on the diagonal keeps it tame. */
static void map_solve(const struct sums *s, double map[CEPSTRA][CEPSTRA])
{
    double m[CEPSTRA][2 * CEPSTRA] = {0};
    for (int i = 0; i < CEPSTRA; i++) {
        for (int j = 0; j < CEPSTRA; j++)
            m[i][j] = s->xx[i][j] * (i == j ? 1.001 : 1.0);
        m[i][CEPSTRA + i] = 1.0;
    }
    for (int i = 0; i < CEPSTRA; i++) {
        double pivot = m[i][i];
        for (int j = 0; j < 2 * CEPSTRA; j++)
            m[i][j] /= pivot;
        for (int k = 0; k < CEPSTRA; k++) {
            double factor = k == i ? 0.0 : m[k][i];
            for (int j = 0; j < 2 * CEPSTRA; j++)
                m[k][j] -= factor * m[i][j];
        }
    }
    for (int i = 0; i < CEPSTRA; i++)
        for (int j = 0; j < CEPSTRA; j++) {
            map[i][j] = 0.0;
            for (int k = 0; k < CEPSTRA; k++)
                map[i][j] += s->yx[i][k] * m[k][CEPSTRA + j];
        }
}

/* One class, three streams; each: its length, the map row by row, the offsets, the factors of the
 * variances. */
static void map_print(double map[CEPSTRA][CEPSTRA], double share)
{
    printf("1\n%d\n", STREAMS);
    for (int stream = 0; stream < STREAMS; stream++) {
        printf("%d\n", CEPSTRA);
        for (int i = 0; i < CEPSTRA; i++)
            for (int j = 0; j < CEPSTRA; j++)
                printf("%.5f%c", (1 - share) * (i == j) + share * map[i][j],
                       j == CEPSTRA - 1 ? '\n' : ' ');
        for (int i = 0; i < CEPSTRA; i++)
            printf("0%c", i == CEPSTRA - 1 ? '\n' : ' ');
        for (int i = 0; i < CEPSTRA; i++)
            printf("1%c", i == CEPSTRA - 1 ? '\n' : ' ');
    }
}

int main(int argc, char **argv)
{
    static struct sums sums;
    double map[CEPSTRA][CEPSTRA];
    char text[TEXT_BYTES];
    FILE *file = argc == 4 ? fopen(argv[3], "re") : NULL;
    if (!file) {
        fputs("usage: sidetone-adapt VOICE SHARE SENTENCES.txt > phone.mllr\n", stderr);
        return 2;
    }
    err_set_logfp(NULL); /* the engine would write pages to stderr */
    cmd_ln_t *config =
        cmd_ln_init(NULL, ps_args(), FALSE, "-samprate", "16000", "-lowerf", "130", "-upperf",
                    "6800", "-nfilt", "25", "-transform", "dct", "-lifter", "22", "-remove_noise",
                    "no", "-remove_silence", "no", NULL);
    fe_t *fe = fe_init_auto_r(config);
    int err = 0;
    for (uint64_t seed = 1; !err && fgets(text, sizeof(text), file); seed++) {
        text[strcspn(text, "\r\n")] = '\0';
        struct caller_request q = {.voice = argv[1],
                                   .text = text,
                                   .noise_db = 20,
                                   .speed = 0.9 + 0.05 * (double)(seed % 5),
                                   .seed = seed};
        err = sentence_add(&sums, fe, &q);
    }
    fclose(file);
    if (err || !sums.frames) {
        fputs("sidetone-adapt: nothing could be spoken (is it a voice of 16 kHz?)\n", stderr);
        return 1;
    }
    map_solve(&sums, map);
    map_print(map, atof(argv[2]));
    fe_free(fe);
    cmd_ln_free_r(config);
    return 0;
}
