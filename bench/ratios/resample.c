/* The resampler against its plain twin, libsoxr (medium quality) and speexdsp (quality 3). */
#include <soxr.h>
#include <speex/speex_resampler.h>
#include <string.h>

#include "bench/ratios/ratios.h"
#include "media/resample.h"

#define SAMPLES_MAX 480 /* 20 ms at 24 kHz */

static struct resample fast[RATIOS_CALLS], plain[RATIOS_CALLS];
static soxr_t soxr[RATIOS_CALLS];
static SpeexResamplerState *speex[RATIOS_CALLS];
static int16_t pcm[RATIOS_CALLS][SAMPLES_MAX], out[2 * SAMPLES_MAX];
static uint32_t in_hz, out_hz;

static bool prepare(uint32_t in, uint32_t to)
{
    struct rand r = {1};

    in_hz = in;
    out_hz = to;
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        if (resample_init(&fast[i], in, to) || resample_init(&plain[i], in, to))
            return false;
        plain[i].fast = false;
        ratios_fill(pcm[i], in / 50, &r);
    }
    return true;
}

static bool prepare_8_16(void)
{
    return prepare(8000, 16000);
}

static bool prepare_16_8(void)
{
    return prepare(16000, 8000);
}

static bool prepare_24_8(void)
{
    return prepare(24000, 8000);
}

static bool with_soxr(void)
{
    const soxr_io_spec_t io = soxr_io_spec(SOXR_INT16_I, SOXR_INT16_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_MQ, 0);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);

    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        soxr_error_t err;
        soxr[i] = soxr_create(in_hz, out_hz, 1, &err, &io, &quality, &runtime);
        if (!soxr[i])
            return false;
        /* It works in bursts: calls are put at different places of them. */
        size_t done;
        for (uint32_t k = i % 8; k; k--)
            (void)soxr_process(soxr[i], pcm[i], in_hz / 50, NULL, out, 2 * SAMPLES_MAX, &done);
    }
    return true;
}

static bool with_speex(void)
{
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        int err;
        speex[i] = speex_resampler_init(1, in_hz, out_hz, 3, &err);
        if (!speex[i])
            return false;
    }
    return true;
}

static bool soxr_8_16(void)
{
    return prepare_8_16() && with_soxr();
}

static bool soxr_24_8(void)
{
    return prepare_24_8() && with_soxr();
}

static bool speex_8_16(void)
{
    return prepare_8_16() && with_speex();
}

static bool speex_24_8(void)
{
    return prepare_24_8() && with_speex();
}

static void finish(void)
{
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        if (soxr[i])
            soxr_delete(soxr[i]);
        if (speex[i])
            speex_resampler_destroy(speex[i]);
        soxr[i] = NULL;
        speex[i] = NULL;
    }
}

static bool same(uint32_t inputs)
{
    static int16_t a[2 * SAMPLES_MAX], b[2 * SAMPLES_MAX];
    struct rand r = {7};

    for (uint32_t done = 0, i = 0; done < inputs; done += in_hz / 50, i++) {
        uint32_t call = i % RATIOS_CALLS;
        ratios_fill(pcm[call], in_hz / 50, &r);
        size_t n = resample_run(&fast[call], a, pcm[call], in_hz / 50);
        if (n != resample_run(&plain[call], b, pcm[call], in_hz / 50) ||
            memcmp(a, b, n * sizeof(*a)) != 0)
            return false;
    }
    return true;
}

static void run_fast(uint32_t call)
{
    (void)resample_run(&fast[call], out, pcm[call], in_hz / 50);
}

static void run_plain(uint32_t call)
{
    (void)resample_run(&plain[call], out, pcm[call], in_hz / 50);
}

static void run_soxr(uint32_t call)
{
    size_t done;

    (void)soxr_process(soxr[call], pcm[call], in_hz / 50, NULL, out, 2 * SAMPLES_MAX, &done);
}

static void run_speex(uint32_t call)
{
    spx_uint32_t in_len = in_hz / 50, out_len = 2 * SAMPLES_MAX;

    (void)speex_resampler_process_int(speex[call], 0, pcm[call], &in_len, out, &out_len);
}

static const struct contest all[] = {
    {"resample-8-16", "plain twin", 1, prepare_8_16, same, run_fast, run_plain, NULL},
    {"resample-16-8", "plain twin", 1, prepare_16_8, same, run_fast, run_plain, NULL},
    {"resample-24-8", "plain twin", 1, prepare_24_8, same, run_fast, run_plain, NULL},
    {"resample-8-16-soxr", "libsoxr, medium quality", 1, soxr_8_16, NULL, run_fast, run_soxr,
     finish},
    {"resample-24-8-soxr", "libsoxr, medium quality", 1, soxr_24_8, NULL, run_fast, run_soxr,
     finish},
    {"resample-8-16-speex", "speexdsp, quality 3", 1, speex_8_16, NULL, run_fast, run_speex,
     finish},
    {"resample-24-8-speex", "speexdsp, quality 3", 1, speex_24_8, NULL, run_fast, run_speex,
     finish},
};

const struct contests ratios_resample = {all, ARRAY_LEN(all)};
