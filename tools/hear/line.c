#include "tools/hear/line.h"

#include <string.h>

#include "base/clock.h"

#define ANSWER_NS MS(20) /* from a decision to the first sample of the answer */

struct line {
    struct vad vad;
    struct turn turn;
    struct resample up;
    int16_t held[LINE_PRE_ROLL][2 * LINE_FRAME];
    size_t next, held_count;
    bool listening;
    int64_t audible_ns; /* when the answer begins, NEVER_NS: there is none */
    const struct line_ops *ops;
    void *owner;
    struct line_report *report;
};

static int64_t time_of(int64_t sample)
{
    return sample * (NS_PER_S / 8000);
}

static void step(struct line *l, struct turn_event e, int64_t now_ns);

static void listen(struct line *l, uint32_t actions)
{
    l->ops->listen(l->owner, (actions & ACT_TAKE_BACK) != 0);
    l->listening = true;
    for (size_t i = 0; i < l->held_count; i++)
        l->ops->audio(l->owner,
                      l->held[(l->next + LINE_PRE_ROLL - l->held_count + i) % LINE_PRE_ROLL],
                      2 * LINE_FRAME);
    l->held_count = 0;
}

static void carry_out(struct line *l, uint32_t actions, int64_t now_ns)
{
    if (actions & ACT_FORGET) {
        l->ops->forget(l->owner);
        l->listening = false;
    }
    if (actions & ACT_FLUSH)
        l->audible_ns = NEVER_NS;
    if (actions & ACT_LISTEN)
        listen(l, actions);
    if (actions & (ACT_ANSWER | ACT_ANSWER_UNCLEAR)) {
        l->report->answers++;
        l->report->unclear += (actions & ACT_ANSWER_UNCLEAR) != 0;
        l->audible_ns = now_ns + ANSWER_NS;
    }
}

static void step(struct line *l, struct turn_event e, int64_t now_ns)
{
    uint32_t actions = turn_step(&l->turn, &e, now_ns);
    carry_out(l, actions, now_ns);
    if (!(actions & ACT_FINISH))
        return;
    l->report->decided = now_ns / time_of(1);
    l->report->voiced = l->turn.voiced_ns / time_of(1);
    l->listening = false;
    struct turn_event heard = {
        .kind = ON_HEARD, .epoch = l->turn.epoch, .words = l->ops->finish(l->owner)};
    carry_out(l, turn_step(&l->turn, &heard, now_ns), now_ns);
}

/* All deadlines up to now, each at its own time. */
static void time_pass(struct line *l, int64_t now_ns)
{
    while (l->turn.deadline_ns <= now_ns || l->audible_ns <= now_ns) {
        if (l->audible_ns <= l->turn.deadline_ns) {
            int64_t at_ns = l->audible_ns;
            l->audible_ns = NEVER_NS;
            step(l, (struct turn_event){.kind = ON_AUDIBLE, .epoch = l->turn.reply_epoch}, at_ns);
        } else {
            int64_t at_ns = l->turn.deadline_ns;
            step(l, (struct turn_event){.kind = ON_TIME}, at_ns);
            if (l->turn.deadline_ns <= at_ns)
                return; /* nothing came of it */
        }
    }
}

static void detect(struct line *l, const int16_t *pcm, size_t n, int64_t now_ns)
{
    struct vad_result r;
    while (n) {
        size_t took = vad_step(&l->vad, pcm, n, &r);
        if (r.change == VAD_STARTED)
            step(l, (struct turn_event){.kind = ON_SPEECH, .at_ns = time_of(r.first_sample)},
                 now_ns);
        else if (r.change == VAD_STOPPED)
            step(l, (struct turn_event){.kind = ON_PAUSE, .at_ns = time_of(r.last_sample)}, now_ns);
        pcm += took;
        n -= took;
    }
}

static void feed(struct line *l, const int16_t *pcm, int64_t now_ns)
{
    int16_t *to = l->held[l->next];
    resample_run(&l->up, to, pcm, LINE_FRAME);
    if (!l->listening) {
        l->next = (l->next + 1) % LINE_PRE_ROLL;
        l->held_count += l->held_count < LINE_PRE_ROLL;
        return;
    }
    l->ops->audio(l->owner, to, 2 * LINE_FRAME);
    struct turn_event e = {.kind = ON_WORDS, .epoch = l->turn.epoch};
    l->ops->words(l->owner, &e);
    if (e.words != l->turn.words || e.complete != l->turn.complete ||
        e.expected != l->turn.expected)
        step(l, e, now_ns);
}

int line_hear(const struct vad_config *config, const struct turn_rules *rules, const int16_t *pcm,
              size_t count, const struct line_ops *ops, void *owner, struct line_report *out)
{
    static struct line l;
    static struct vad_silero network;
    struct vad_config with_network = *config;

    with_network.network = &network;
    *out = (struct line_report){.decided = -1};
    l = (struct line){.ops = ops, .owner = owner, .report = out, .audible_ns = NEVER_NS};
    int err = vad_init(&l.vad, &with_network, 0);
    if (!err)
        err = resample_init(&l.up, 8000, 16000);
    if (err)
        return err;
    turn_init(&l.turn, rules, 0);
    l.turn.greeted = true;
    for (size_t at = 0; at + LINE_FRAME <= count; at += LINE_FRAME) {
        int64_t now_ns = time_of((int64_t)(at + LINE_FRAME));
        time_pass(&l, now_ns);
        detect(&l, pcm + at, LINE_FRAME, now_ns);
        feed(&l, pcm + at, now_ns);
    }
    return 0;
}
