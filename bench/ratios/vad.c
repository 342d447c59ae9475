/* Voice activity by loudness and by the network, each against its plain twin, per 20 ms of a call.
 */
#include <math.h>
#include <stdlib.h>

#include "bench/ratios/ratios.h"
#include "media/cpu.h"
#include "media/vad.h"

#define FRAME     160
#define WEIGHTS   "data/vad/silero_v6_8k.bin"
#define TOLERANCE 1e-3f /* of a probability: the order of sums differs */
#define NETWORKS  100   /* inputs of the network whose answers are compared */

static struct vad energy[RATIOS_CALLS], energy_plain[RATIOS_CALLS];
static struct vad_silero *network, *network_plain;
static struct vad_weights weights;
static int16_t pcm[RATIOS_CALLS][VAD_SILERO_WINDOW_MAX];

static void fill(void)
{
    struct rand r = {5};

    for (uint32_t i = 0; i < RATIOS_CALLS; i++)
        ratios_fill(pcm[i], VAD_SILERO_WINDOW_MAX, &r);
}

static bool prepare_energy(void)
{
    const struct vad_config config = {.kind = VAD_ENERGY,
                                      .rate_hz = 8000,
                                      .confidence = VAD_CONFIDENCE,
                                      .start_ms = VAD_START_MS,
                                      .stop_ms = VAD_STOP_MS};

    fill();
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        if (vad_init(&energy[i], &config, 0) || vad_init(&energy_plain[i], &config, 0))
            return false;
        energy_plain[i].energy.fast = false;
    }
    return true;
}

static void step(struct vad *v, uint32_t call)
{
    struct vad_result result;

    (void)vad_step(v, pcm[call], FRAME, &result);
}

static void run_energy(uint32_t call)
{
    step(&energy[call], call);
}

static void run_energy_plain(uint32_t call)
{
    step(&energy_plain[call], call);
}

static bool same_energy(uint32_t inputs)
{
    for (uint32_t done = 0, i = 0; done < inputs; done += FRAME, i++) {
        uint32_t call = i % RATIOS_CALLS;
        step(&energy[call], call);
        step(&energy_plain[call], call);
        if (energy[call].energy.level != energy_plain[call].energy.level ||
            energy[call].now.speaking != energy_plain[call].now.speaking)
            return false;
    }
    return true;
}

static bool prepare_network(enum media_code code)
{
    fill();
    if (code > media_best() || vad_weights_open(&weights, WEIGHTS))
        return false;
    network = calloc(RATIOS_CALLS, sizeof(*network));
    network_plain = calloc(RATIOS_CALLS, sizeof(*network_plain));
    if (!network || !network_plain)
        abort();
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        vad_silero_init(&network[i], &weights);
        vad_silero_init(&network_plain[i], &weights);
        network[i].code = (uint8_t)code;
        network_plain[i].code = MEDIA_PLAIN;
    }
    return true;
}

static bool prepare_avx2(void)
{
    return prepare_network(MEDIA_AVX2);
}

static bool prepare_avx512(void)
{
    return prepare_network(MEDIA_AVX512);
}

static void finish_network(void)
{
    free(network);
    free(network_plain);
    vad_weights_close(&weights);
}

static float judge(struct vad_silero *s, uint32_t call)
{
    (void)vad_silero_feed(s, pcm[call], s->window);
    return vad_silero_run(s);
}

static void run_network(uint32_t call)
{
    (void)judge(&network[call], call);
}

static void run_network_plain(uint32_t call)
{
    (void)judge(&network_plain[call], call);
}

/* A batch of calls, from this one on. */
static void judge_batch(uint32_t call, float *out)
{
    struct vad_silero *batch[VAD_SILERO_BATCH];

    for (uint32_t k = 0; k < VAD_SILERO_BATCH; k++) {
        uint32_t at = (call + k) % RATIOS_CALLS;
        batch[k] = &network[at];
        (void)vad_silero_feed(batch[k], pcm[at], batch[k]->window);
    }
    vad_silero_run_all(batch, VAD_SILERO_BATCH, out);
}

static void run_batch(uint32_t call)
{
    float out[VAD_SILERO_BATCH];

    judge_batch(call, out);
}

static void run_batch_plain(uint32_t call)
{
    for (uint32_t k = 0; k < VAD_SILERO_BATCH; k++)
        run_network_plain((call + k) % RATIOS_CALLS);
}

static bool same_network(uint32_t inputs)
{
    (void)inputs;
    for (uint32_t i = 0; i < NETWORKS; i++)
        if (fabsf(judge(&network[i], i) - judge(&network_plain[i], i)) > TOLERANCE)
            return false;
    return true;
}

static bool same_batch(uint32_t inputs)
{
    float out[VAD_SILERO_BATCH];

    (void)inputs;
    for (uint32_t i = 0; i < NETWORKS; i += VAD_SILERO_BATCH) {
        judge_batch(i, out);
        for (uint32_t k = 0; k < VAD_SILERO_BATCH; k++)
            if (fabsf(out[k] - judge(&network_plain[i + k], i + k)) > TOLERANCE)
                return false;
    }
    return true;
}

#define WINDOW_FRAMES (VAD_SILERO_WINDOW_MS / 20.0)
#define BATCH_FRAMES  (VAD_SILERO_BATCH * WINDOW_FRAMES)

static const struct contest all[] = {
    {"vad-energy", "plain twin", 1, prepare_energy, same_energy, run_energy, run_energy_plain,
     NULL},
    {"vad-silero-avx2", "plain twin", WINDOW_FRAMES, prepare_avx2, same_network, run_network,
     run_network_plain, finish_network},
    {"vad-silero-avx2-batch", "plain twin", BATCH_FRAMES, prepare_avx2, same_batch, run_batch,
     run_batch_plain, finish_network},
    {"vad-silero-avx512", "plain twin", WINDOW_FRAMES, prepare_avx512, same_network, run_network,
     run_network_plain, finish_network},
    {"vad-silero-avx512-batch", "plain twin", BATCH_FRAMES, prepare_avx512, same_batch, run_batch,
     run_batch_plain, finish_network},
};

const struct contests ratios_vad = {all, ARRAY_LEN(all)};
