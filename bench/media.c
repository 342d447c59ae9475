/* What the signal processing of src/media costs per 20 ms, fast path and plain twin side by side.
 * Prints the least of many runs in nanoseconds, which is what the code needs when nothing disturbs
 * it. Usage: build/release/sidetone-bench-media [DATA_DIR]. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "media/cpu.h"
#include "media/g711.h"
#include "media/resample.h"
#include "media/vad.h"

#define RUNS   200
#define REPEAT 50

static int16_t pcm[960], out[960];
static uint8_t codes[960];

static double now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double least_ns(void (*work)(void *), void *state)
{
    double least = 1e18;

    for (int run = 0; run < RUNS; run++) {
        double start = now_ns(), took;

        for (int i = 0; i < REPEAT; i++)
            work(state);
        took = (now_ns() - start) / REPEAT;
        least = took < least ? took : least;
    }
    return least;
}

static void report(const char *what, double fast_ns, double plain_ns)
{
    (void)printf("%-28s %8.0f ns  plain %8.0f ns  %5.1fx\n", what, fast_ns, plain_ns,
                 plain_ns / fast_ns);
}

struct codec {
    void (*decode)(int16_t *, const uint8_t *, size_t);
    void (*encode)(uint8_t *, const int16_t *, size_t);
};

static void run_codec(void *state)
{
    const struct codec *c = state;

    if (c->decode)
        c->decode(out, codes, 160);
    else
        c->encode(codes, pcm, 160);
}

static void bench_codecs(void)
{
    static struct {
        const char *what;
        struct codec fast, plain;
    } rows[] = {
        {"mu-law decode", {.decode = g711_mulaw_decode}, {.decode = g711_mulaw_decode_plain}},
        {"A-law decode", {.decode = g711_alaw_decode}, {.decode = g711_alaw_decode_plain}},
        {"mu-law encode", {.encode = g711_mulaw_encode}, {.encode = g711_mulaw_encode_plain}},
        {"A-law encode", {.encode = g711_alaw_encode}, {.encode = g711_alaw_encode_plain}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        report(rows[i].what, least_ns(run_codec, &rows[i].fast),
               least_ns(run_codec, &rows[i].plain));
}

struct resampling {
    struct resample state;
    size_t frame;
};

static void run_resample(void *state)
{
    struct resampling *r = state;

    (void)resample_run(&r->state, out, pcm, r->frame);
}

static void bench_resamplers(void)
{
    static const uint32_t rates[][2] = {{8000, 16000},  {16000, 8000},  {24000, 8000},
                                        {24000, 16000}, {16000, 24000}, {48000, 16000},
                                        {16000, 48000}, {48000, 8000},  {8000, 48000}};

    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct resampling r = {.frame = rates[i][0] / 50};
        double fast, plain;
        char what[40];

        if (resample_init(&r.state, rates[i][0], rates[i][1]))
            continue;
        fast = least_ns(run_resample, &r);
        r.state.fast = false;
        plain = least_ns(run_resample, &r);
        (void)snprintf(what, sizeof what, "resample %u to %u", rates[i][0], rates[i][1]);
        report(what, fast, plain);
    }
}

static void run_silero(void *state)
{
    struct vad_silero *s = state;

    (void)vad_silero_feed(s, pcm, s->window);
    (void)vad_silero_run(s);
}

/* A window is 32 ms; the figure is for 20 of them. */
static void bench_silero(const char *folder, const char *file)
{
    struct vad_weights weights;
    struct vad_silero s;
    char path[512];
    double fast, plain;

    (void)snprintf(path, sizeof path, "%s/vad/%s", folder, file);
    if (vad_weights_open(&weights, path)) {
        (void)printf("%s is missing: run tools/get-weights\n", path);
        return;
    }
    vad_silero_init(&s, &weights);
    fast = least_ns(run_silero, &s);
    s.code = MEDIA_PLAIN;
    plain = least_ns(run_silero, &s);
    report(file, fast * 20 / VAD_SILERO_WINDOW_MS, plain * 20 / VAD_SILERO_WINDOW_MS);
    vad_weights_close(&weights);
}

static void run_vad(void *state)
{
    struct vad_result result;

    (void)vad_step(state, pcm, 160, &result);
}

static void bench_energy(void)
{
    const struct vad_config config = {.kind = VAD_ENERGY, .rate_hz = 8000, .confidence = 300};
    struct vad v;

    if (vad_init(&v, &config, 0) == 0)
        (void)printf("%-28s %8.0f ns\n", "energy VAD, 8 kHz", least_ns(run_vad, &v));
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "data";

    for (size_t i = 0; i < ARRAY_LEN(pcm); i++) {
        pcm[i] = (int16_t)(i * 7919);
        codes[i] = (uint8_t)(i * 31);
    }
    bench_codecs();
    bench_resamplers();
    bench_energy();
    bench_silero(folder, "silero_v6_8k.bin");
    bench_silero(folder, "silero_v6_16k.bin");
    return 0;
}
