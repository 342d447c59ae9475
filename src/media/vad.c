#include "media/vad.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Blocks so far above the floor, two in a row, are loud, and so is a single one of LOUD_DB: they
 * bound the speech. One block of noise may stand 6 dB up, two in a row seldom do. */
#define ACTIVE_DB     6
#define LOUD_DB       9
#define ACTIVE_GAP_MS 60  /* loud blocks that near are one stretch */
#define GO_ON_MS      700 /* a voice that paused for less goes on with its first window that is */
#define GO_ON_SURE    500 /* so surely voiced: noise after a word often is a little */
#define LOOK_BACK_MS  300 /* speech began at most so long before the detector noticed */
/* What lies so far below the loudest block of the voice is not its end but the place that it came
 * from: on a line that is silent between the sentences, that sound stands far above the floor. */
#define FAINT_DB     20
#define END_FAINT_DB 19 /* nor does what is loud in the whole band end the voice there */
/* A hiss whose quartered second difference lies so far below it ends no voice either: it stands 8
 * to 11 dB above itself in the whole band, and the quarter takes 12. */
#define HISS_FAINT (27 * VAD_LEVEL_PER_DB + VAD_LEVEL_PER_DB / 2)
/* A "t" after the silence that belongs to it may be fainter: it stands far above that silence. */
#define BURST_FAINT     (30 * VAD_LEVEL_PER_DB)
#define BURST_DB        9
#define HISS_PIECE      160 /* samples of a block at the highest rate */
#define PEAK_FALLS_DB_S 6   /* how fast the loudest block is forgotten, once nobody speaks */
#define PEAK_FALLS      (PEAK_FALLS_DB_S * VAD_LEVEL_PER_DB * VAD_BLOCK_MS / 1000)
/* A window that the network is so sure of holds voice, loud or not, but up to its very end only
 * if it is loud there: sure of some more windows than there are, on average by this. */
#define SURE        950
#define SURE_LAG_MS 90
/* Windows that the network always judges: at the start, to learn the line, and after a loud one. */
#define GATE_FIRST 16
#define GATE_HOLD  8

static int64_t samples_of(const struct vad *v, uint32_t ms)
{
    return (int64_t)v->config.rate_hz * ms / 1000;
}

/* A level is 3.0103 / 256 dB; volume is -20..80 dB as 0..1000. */
static uint16_t volume_of(uint16_t level)
{
    uint32_t volume = 200 + level * 301u / 2560;

    return (uint16_t)(volume < 1000 ? volume : 1000);
}

int vad_init(struct vad *v, const struct vad_config *config, int64_t sample)
{
    bool network = config->kind == VAD_SILERO;

    if (config->rate_hz != 8000 && config->rate_hz != 16000)
        return -EINVAL;
    if (config->confidence == 0 || config->confidence > 1000)
        return -EINVAL;
    if (network &&
        (!config->network || !config->weights || config->weights->rate_hz != config->rate_hz))
        return -EINVAL;
    memset(v, 0, sizeof *v);
    v->config = *config;
    v->at = v->active_first = v->active_last = sample;
    v->now.first_sample = v->now.last_sample = sample;
    vad_energy_init(&v->energy, config->rate_hz);
    vad_energy_init(&v->hiss, config->rate_hz);
    v->gate_hold = GATE_FIRST;
    if (network)
        vad_silero_init(config->network, config->weights);
    return 0;
}

/* ---- where speech begins and ends ---- */

/* The network takes a window or two to notice: if it was loud up to here, speech began with the
 * loudness. */
static int64_t voice_began(const struct vad *v, int64_t window_first)
{
    int64_t earliest = window_first - samples_of(v, LOOK_BACK_MS);

    if (v->config.kind == VAD_SCRIPT || v->active_last < window_first)
        return window_first;
    return v->active_first > earliest ? v->active_first : earliest;
}

/* The network goes on for some windows after the voice: it ended with the loudness, or shortly
 * before the end of what the network was sure of. */
static int64_t voice_ended(const struct vad *v, uint16_t per_mille)
{
    int64_t sure = v->at - samples_of(v, SURE_LAG_MS);

    if (v->config.kind == VAD_SCRIPT)
        return v->at;
    if (v->config.kind == VAD_ENERGY)
        return v->active_last; /* loudness is all it knows */
    return per_mille >= SURE && sure > v->active_last ? sure : v->active_last;
}

/* ---- the decision, once per window ---- */
/* How much voice makes a start: little, if somebody spoke just now. */
static int64_t start_needs(const struct vad *v)
{
    bool goes_on = v->spoken && v->at - v->now.last_sample < samples_of(v, GO_ON_MS) &&
                   (v->now.per_mille >= GO_ON_SURE || v->config.kind != VAD_SILERO);

    return goes_on ? 0 : samples_of(v, v->config.start_ms);
}

/* What was loud before the network noticed counts for a part of the start: a "no" may be over by
 * its second window. */
static void begin_run(struct vad *v, int64_t window_first)
{
    int64_t most = samples_of(v, v->config.start_ms) / 2;

    v->run_first = voice_began(v, window_first);
    if (v->config.kind == VAD_SILERO)
        v->run =
            (uint32_t)(window_first - v->run_first < most ? window_first - v->run_first : most);
}

static bool is_silent(const struct vad *v)
{
    uint32_t needed = v->config.stop_ms;

    if (v->over && v->over_ms < needed)
        needed = v->over_ms;
    return v->at - v->now.last_sample >= samples_of(v, needed);
}

/* In the middle of voiced windows: the next such ones are no voice that goes on. */
static void stop(struct vad *v)
{
    v->now.change = VAD_STOPPED;
    v->now.speaking = v->over = false;
    v->spoken = v->spoken && !v->now.voiced;
    v->run = 0;
}

static void voiced_window(struct vad *v, uint32_t n)
{
    int64_t ended = voice_ended(v, v->now.per_mille);

    if (!v->now.speaking && v->run == 0)
        begin_run(v, v->at - (int64_t)n);
    v->run += n;
    if (v->now.speaking && ended > v->now.last_sample) {
        v->now.last_sample = ended;
        v->over = false;
    } else if (v->now.speaking) {
        if (v->over && is_silent(v))
            stop(v);
    } else if (v->run + n / 2 >= start_needs(v)) {
        v->now.change = VAD_STARTED;
        v->now.speaking = v->spoken = true;
        v->now.first_sample = v->run_first;
        v->now.last_sample = ended > v->run_first ? ended : v->at;
    }
}

static void unvoiced_window(struct vad *v, uint32_t n)
{
    if (!v->now.speaking) {
        /* a short dip at the onset does not begin it anew; a click does not add up to speech */
        v->run = v->run > n ? v->run - n : 0;
    } else if (is_silent(v)) {
        stop(v);
    }
}

static bool is_faint(const struct vad *v, uint16_t level)
{
    return level + FAINT_DB * VAD_LEVEL_PER_DB < v->peak;
}

/* A voice goes on however faint it is; what begins so far below the last one is none. */
static void judge(struct vad *v, uint16_t per_mille, uint32_t n)
{
    bool voice = per_mille >= v->config.confidence;

    v->now.per_mille = per_mille;
    v->now.volume = volume_of(v->window_level);
    v->now.voiced = voice && v->now.volume >= v->config.volume_min &&
                    (v->now.speaking || v->run || !is_faint(v, v->window_level));
    if (voice && v->window_level > v->peak)
        v->peak = v->window_level;
    if (v->now.voiced)
        voiced_window(v, n);
    else
        unvoiced_window(v, n);
    v->window_level = v->window_margin = 0;
}

void vad_over(struct vad *v, uint16_t silence_ms, struct vad_result *out)
{
    assert(!v->waits);
    v->now.change = VAD_SAME;
    v->over = v->now.speaking;
    v->over_ms = silence_ms;
    if (v->over && is_silent(v))
        stop(v);
    *out = v->now;
}

/* ---- the detectors ---- */

/* So far above its floor, as it was in the block before. */
static bool is_loud(uint16_t margin, uint16_t before)
{
    uint16_t lower = margin < before ? margin : before;

    return margin >= LOUD_DB * VAD_LEVEL_PER_DB || lower >= ACTIVE_DB * VAD_LEVEL_PER_DB;
}

static bool block_is_loud(struct vad *v, uint16_t margin)
{
    uint16_t level = v->energy.level;
    bool loud = is_loud(margin, v->margin_before) && volume_of(level) >= v->config.volume_min &&
                level + END_FAINT_DB * VAD_LEVEL_PER_DB >= v->peak;

    v->margin_before = margin;
    return loud;
}

/* A hiss that stands far above the last 50 ms, its own beginning apart. */
static bool bursts(const struct vad *v)
{
    uint16_t most = 0;

    for (size_t i = 1; i < VAD_HISS_BLOCKS; i++)
        most = v->hiss_before[i] > most ? v->hiss_before[i] : most;
    return v->hiss.level >= most + BURST_DB * VAD_LEVEL_PER_DB &&
           v->hiss.level + BURST_FAINT >= v->peak;
}

static bool block_hisses(struct vad *v)
{
    uint16_t margin = vad_energy_margin(&v->hiss);
    bool loud = is_loud(margin, v->hiss_margin) && v->hiss.level + HISS_FAINT >= v->peak;

    loud = loud || bursts(v);
    v->hiss_margin = margin;
    memmove(v->hiss_before + 1, v->hiss_before, sizeof v->hiss_before - sizeof v->hiss_before[0]);
    v->hiss_before[0] = v->hiss.level;
    return loud;
}

static void block_done(struct vad *v)
{
    uint16_t margin = vad_energy_margin(&v->energy), level = v->energy.level;
    int64_t first = v->at - v->energy.block;
    bool hisses = v->config.kind == VAD_SILERO && block_hisses(v);

    if (!v->now.speaking && !v->run)
        v->peak -= v->peak < PEAK_FALLS ? v->peak : PEAK_FALLS;
    v->window_level = level > v->window_level ? level : v->window_level;
    v->window_margin = margin > v->window_margin ? margin : v->window_margin;
    if (block_is_loud(v, margin) || hisses) {
        if (first - v->active_last > samples_of(v, ACTIVE_GAP_MS))
            v->active_first = first;
        v->active_last = v->at;
    }
    if (v->config.kind == VAD_ENERGY)
        judge(v, vad_energy_per_mille(&v->energy), v->energy.block);
}

/* Whether the network has to look at this window. */
static bool gate_open(struct vad *v)
{
    if (!v->config.gate_db)
        return true;
    if (v->window_margin >= v->config.gate_db * VAD_LEVEL_PER_DB)
        v->gate_hold = v->gate_hold > GATE_HOLD ? v->gate_hold : GATE_HOLD;
    else if (v->gate_hold)
        v->gate_hold--;
    return v->gate_hold > 0;
}

static uint16_t per_mille_of(const struct vad_silero *s)
{
    return (uint16_t)(s->probability * 1000.0f + 0.5f);
}

static void window_done(struct vad *v)
{
    struct vad_silero *s = v->config.network;

    if (!gate_open(v)) {
        v->windows_skipped++;
        vad_silero_skip(s);
        judge(v, 0, s->window);
        return;
    }
    v->windows_run++;
    if (v->config.batch) {
        vad_batch_add(v->config.batch, s);
        v->waits = s->waits;
    } else {
        s->probability = vad_silero_run(s);
    }
    if (!v->waits)
        judge(v, per_mille_of(s), s->window);
}

/* In step with the loudness: its blocks end with those. */
static void hiss_feed(struct vad *v, const int16_t *pcm, size_t n)
{
    int16_t with[2 + HISS_PIECE] = {v->before[0], v->before[1]}, hiss[HISS_PIECE];
    bool done;

    assert(n <= HISS_PIECE);
    memcpy(with + 2, pcm, n * sizeof *pcm);
    for (size_t i = 0; i < n; i++)
        hiss[i] = (int16_t)((with[i + 2] - 2 * with[i + 1] + with[i]) / 4);
    memcpy(v->before, with + n, sizeof v->before);
    vad_energy_feed(&v->hiss, hiss, n, &done);
}

/* Samples up to the next end of a block or of a window. */
static size_t listen(struct vad *v, const int16_t *pcm, size_t n)
{
    bool done;

    if (v->config.kind == VAD_SILERO) {
        size_t left = (size_t)v->energy.block - v->energy.filled;

        n = vad_silero_feed(v->config.network, pcm, n < left ? n : left);
    }
    n = vad_energy_feed(&v->energy, pcm, n, &done);
    if (v->config.kind == VAD_SILERO)
        hiss_feed(v, pcm, n);
    v->at += (int64_t)n;
    if (done)
        block_done(v);
    if (v->config.kind == VAD_SILERO && vad_silero_full(v->config.network))
        window_done(v);
    return n;
}

/* Behind a window that waits: less than the next one, so that none is full when it is judged. */
static size_t keep_ahead(struct vad *v, const int16_t *pcm, size_t n)
{
    struct vad_silero *s = v->config.network;
    size_t most = (size_t)samples_of(v, 20);

    n = n < most ? n : most;
    memcpy(s->ahead, pcm, n * sizeof *pcm);
    s->ahead_count = (uint16_t)n;
    return n;
}

static void go_on(struct vad *v)
{
    struct vad_silero *s = v->config.network;
    size_t at = 0;

    v->waits = false;
    if (s->waits)
        vad_batch_run(v->config.batch);
    judge(v, per_mille_of(s), s->window);
    while (at < s->ahead_count)
        at += listen(v, s->ahead + at, s->ahead_count - at);
}

void vad_settle(struct vad *v, struct vad_result *out)
{
    v->now.change = VAD_SAME;
    if (v->waits)
        go_on(v);
    *out = v->now;
}

size_t vad_step(struct vad *v, const int16_t *pcm, size_t n, struct vad_result *out)
{
    size_t taken = 0;

    v->now.change = VAD_SAME;
    if (v->waits)
        go_on(v);
    while (taken < n && v->now.change == VAD_SAME && !v->waits && v->config.kind != VAD_SCRIPT)
        taken += listen(v, pcm + taken, n - taken);
    if (v->waits)
        taken += keep_ahead(v, pcm + taken, n - taken);
    *out = v->now;
    return v->config.kind == VAD_SCRIPT ? n : taken;
}

void vad_push(struct vad *v, uint16_t per_mille, size_t n, struct vad_result *out)
{
    v->now.change = VAD_SAME;
    v->at += (int64_t)n;
    v->window_level = per_mille ? INT16_MAX : 0;
    judge(v, per_mille, (uint32_t)n);
    *out = v->now;
}
