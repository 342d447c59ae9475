#include "tools/call/caller.h"

#include <errno.h>
#include <string.h>

/* ---- output ---- */

void caller_output_init(struct caller_output *out)
{
    out->bytes = builder_of(out->store, sizeof(out->store));
    out->count = 0;
    out->bad = false;
}

void caller_output_end(struct caller_output *out)
{
    if (out->count == CALLER_PIECES_MAX || out->bytes.bad) {
        out->bad = true;
        return;
    }
    out->ends[out->count++] = out->bytes.len;
}

struct slice caller_output_piece(const struct caller_output *out, size_t i)
{
    size_t from = i ? out->ends[i - 1] : 0;

    return slice_of(out->store + from, out->ends[i] - from);
}

/* ---- states ---- */

static const uint8_t allowed_next[] = {
    [CALLER_DIALLING] = 1u << CALLER_TALKING | 1u << CALLER_OVER,
    [CALLER_TALKING] = 1u << CALLER_LEAVING | 1u << CALLER_OVER,
    [CALLER_LEAVING] = 1u << CALLER_OVER,
    [CALLER_OVER] = 0,
};

static bool caller_enter(struct caller *c, enum caller_state next)
{
    if (!(allowed_next[c->state] & 1u << next))
        return false;
    c->state = next;
    return true;
}

void caller_up(struct caller *c, int64_t since_ns)
{
    if (!caller_enter(c, CALLER_TALKING))
        return;
    c->start_ns = since_ns < c->now_ns ? since_ns : c->now_ns;
    /* What is past was not said. */
    c->frames = (c->now_ns - c->start_ns + CALLER_FRAME_NS - 1) / CALLER_FRAME_NS;
}

void caller_over(struct caller *c, enum caller_end end, const char *what)
{
    bool ours = c->state == CALLER_LEAVING;

    if (!caller_enter(c, CALLER_OVER))
        return;
    c->end = ours ? CALLER_END_OURS : end;
    c->what = ours ? "the caller hung up" : what;
}

static void make_call_id(struct caller *c)
{
    struct builder b = builder_of(c->call_id, sizeof(c->call_id));

    builder_str(&b, "CA");
    for (int i = 0; i < 2; i++)
        builder_printf(&b, "%016llx", (unsigned long long)rand_u64(&c->rand));
    builder_u8(&b, 0);
}

void caller_init(struct caller *c, const struct caller_config *config)
{
    memset(c, 0, sizeof(*c));
    c->config = *config;
    c->what = "";
    c->rand.state = config->seed;
    c->digit_at = -1;
    c->up_ns = NEVER_NS;
    ear_init(&c->ear, config->ear, config->ear_samples);
    c->ear.record = config->record;
    c->ear.record_size = config->record ? config->record_pairs : 0;
    make_call_id(c);
}

void caller_open(struct caller *c, int64_t now_ns, struct caller_output *out)
{
    c->now_ns = now_ns;
    c->config.dialect->open(c, out);
}

void caller_closed(struct caller *c, int64_t now_ns, int err)
{
    c->now_ns = now_ns;
    if (c->state == CALLER_DIALLING)
        caller_over(c, CALLER_END_BROKEN, "the far end closed before the call was up");
    else if (err)
        caller_over(c, CALLER_END_BROKEN, "the connection was cut");
    else
        caller_over(c, CALLER_END_THEIRS, "the far end closed");
}

/* ---- mouth ---- */

static int16_t noise_sample(struct caller *c)
{
    uint32_t span = 2 * c->config.noise + 1;

    return (int16_t)((int32_t)rand_below(&c->rand, span) - (int32_t)c->config.noise);
}

static void fill_frame(struct caller *c, int16_t pcm[CALLER_FRAME_SAMPLES])
{
    for (int i = 0; i < CALLER_FRAME_SAMPLES; i++) {
        if (c->speaking && c->clip_next < c->clip.samples)
            pcm[i] = c->clip.pcm[c->clip_next++];
        else
            pcm[i] = c->config.noise ? noise_sample(c) : 0;
    }
    if (c->speaking && c->clip_next == c->clip.samples)
        c->speaking = false;
}

static void record_frame(struct caller *c, const int16_t pcm[CALLER_FRAME_SAMPLES])
{
    int64_t at = c->frames * CALLER_FRAME_SAMPLES;

    if (!c->config.record)
        return;
    for (int i = 0; i < CALLER_FRAME_SAMPLES && at + i < c->config.record_pairs; i++)
        c->config.record[2 * (at + i)] = pcm[i];
}

static void send_digit(struct caller *c, struct caller_output *out)
{
    if (c->digit_count == 0)
        return;
    if (c->config.dialect->digit(c, c->digits[0], out) < 0)
        return;
    c->digit_at = c->frames * CALLER_FRAME_SAMPLES;
    c->digit_count--;
    memmove(c->digits, c->digits + 1, c->digit_count);
}

static int64_t frame_due(const struct caller *c)
{
    return c->start_ns + c->frames * CALLER_FRAME_NS;
}

static void send_frames(struct caller *c, struct caller_output *out)
{
    int16_t pcm[CALLER_FRAME_SAMPLES];

    for (int i = 0; i < CALLER_CATCHUP_MAX && c->state == CALLER_TALKING; i++) {
        if (frame_due(c) > c->now_ns)
            return;
        if (c->now_ns - frame_due(c) > CALLER_FRAME_NS)
            c->late_frames++;
        send_digit(c, out);
        fill_frame(c, pcm);
        record_frame(c, pcm);
        c->config.dialect->frame(c, pcm, out);
        c->frames++;
    }
}

/* ---- ear ---- */

int64_t caller_time(const struct caller *c)
{
    return (c->now_ns - c->start_ns) / (NS_PER_S / CALL_RATE_HZ);
}

void caller_heard(struct caller *c, const int16_t *pcm, size_t samples)
{
    if (c->state != CALLER_TALKING)
        return;
    ear_advance(&c->ear, caller_time(c));
    ear_push(&c->ear, pcm, samples);
}

static void echo_marks(struct caller *c, struct caller_output *out)
{
    const char *name;

    /* bounded: at most EAR_MARKS_MAX wait */
    while ((name = ear_mark_due(&c->ear)))
        c->config.dialect->mark(c, name, out);
}

void caller_step(struct caller *c, int64_t now_ns, struct slice in, struct caller_output *out)
{
    if (c->state == CALLER_OVER)
        return;
    c->now_ns = now_ns;
    if (in.len)
        c->config.dialect->input(c, in, out);
    if (c->state == CALLER_DIALLING && now_ns >= c->up_ns)
        caller_up(c, now_ns);
    if (c->state == CALLER_TALKING) {
        ear_advance(&c->ear, caller_time(c));
        echo_marks(c, out);
        send_frames(c, out);
    }
    if (c->state == CALLER_LEAVING && now_ns >= c->leave_ns)
        caller_over(c, CALLER_END_OURS, "the caller hung up");
    if (out->bad || out->bytes.bad)
        caller_over(c, CALLER_END_BROKEN, "more to send than fits");
}

int64_t caller_deadline(const struct caller *c)
{
    switch (c->state) {
    case CALLER_TALKING:
        return frame_due(c);
    case CALLER_LEAVING:
        return c->leave_ns;
    case CALLER_DIALLING:
        return c->up_ns;
    case CALLER_OVER:
        break;
    }
    return NEVER_NS;
}

/* ---- what the caller does ---- */

void caller_say(struct caller *c, const struct caller_clip *clip)
{
    if (c->state != CALLER_TALKING)
        return;
    c->clip = *clip;
    c->clip_at = c->frames * CALLER_FRAME_SAMPLES;
    c->clip_next = 0;
    c->speaking = true;
}

int caller_press(struct caller *c, char digit)
{
    if (!digit || !strchr("0123456789*#ABCD", digit))
        return -EINVAL;
    if (c->digit_count == CALLER_DIGITS_MAX)
        return -ENOBUFS;
    c->digits[c->digit_count++] = digit;
    return 0;
}

void caller_hang_up(struct caller *c, struct caller_output *out)
{
    if (!caller_enter(c, CALLER_LEAVING))
        return;
    c->leave_ns = c->now_ns + CALLER_LEAVE_NS;
    c->config.dialect->hang_up(c, out);
}

void caller_raw(struct caller *c, struct slice bytes, struct caller_output *out)
{
    if (c->state == CALLER_TALKING)
        c->config.dialect->raw(c, bytes, out);
}

int64_t caller_voice_end(const struct caller *c)
{
    return c->clip_at + (c->clip.voiced_last < 0 ? c->clip.samples - 1 : c->clip.voiced_last);
}

int64_t caller_voice_begin(const struct caller *c)
{
    return c->clip_at + (c->clip.voiced_first < 0 ? 0 : c->clip.voiced_first);
}

/* ---- measuring a clip ---- */

#define MEASURE_SAMPLES 80

static int64_t window_level(const struct caller_clip *clip, int64_t at)
{
    int64_t sum = 0, n = 0;

    for (int64_t i = at; i < at + MEASURE_SAMPLES && i < clip->samples; i++, n++)
        sum += clip->pcm[i] < 0 ? -(int64_t)clip->pcm[i] : clip->pcm[i];
    return n ? sum / n : 0;
}

void caller_clip_measure(struct caller_clip *clip)
{
    int64_t most = 0;

    clip->voiced_first = clip->voiced_last = -1;
    for (int64_t at = 0; at < clip->samples; at += MEASURE_SAMPLES)
        most = window_level(clip, at) > most ? window_level(clip, at) : most;
    int64_t least = most / 10 > EAR_VOICED_LEVEL ? most / 10 : EAR_VOICED_LEVEL;
    for (int64_t at = 0; at < clip->samples; at += MEASURE_SAMPLES) {
        if (window_level(clip, at) < least)
            continue;
        int64_t end = at + MEASURE_SAMPLES < clip->samples ? at + MEASURE_SAMPLES : clip->samples;
        if (clip->voiced_first < 0)
            clip->voiced_first = at;
        clip->voiced_last = end - 1;
    }
}
