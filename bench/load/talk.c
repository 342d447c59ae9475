#include "bench/load/talk.h"

#include "base/clock.h"

#define FRAME_MS 20
#define PARTS    64

/* Thousandths of the mean below which k of 64 exponential values lie; the last one is the cut, and
 * all are scaled so that the mean is 1000 with straight lines between them. */
static const uint16_t quantiles[PARTS + 1] = {
    0,    16,   32,   48,   66,   82,   99,   117,  135,  153,  172,  191,  210,
    229,  249,  269,  291,  312,  333,  355,  378,  402,  425,  449,  474,  499,
    526,  553,  580,  609,  639,  668,  699,  732,  765,  799,  834,  871,  909,
    948,  990,  1032, 1078, 1124, 1173, 1225, 1280, 1338, 1398, 1464, 1534, 1608,
    1689, 1777, 1873, 1980, 2098, 2233, 2388, 2572, 2798, 3088, 3497, 4197, 4894,
};

int64_t talk_draw(struct rand *r, int64_t mean_ms)
{
    uint32_t part = rand_below(r, PARTS);
    int64_t step = quantiles[part + 1] - quantiles[part];
    int64_t per_mille = quantiles[part] + step * (int64_t)rand_below(r, 1024) / 1024;

    return mean_ms * per_mille / 1000;
}

static void wait_for_answer(struct talk *t, const struct talk_rules *rules, int64_t now_ns)
{
    t->state = TALK_HEARING;
    t->answered = false;
    t->until_ns = now_ns + MS(rules->answer_ms);
}

static void begin_pause(struct talk *t, const struct talk_rules *rules, int64_t now_ns)
{
    t->state = TALK_PAUSING;
    t->until_ns = now_ns + MS(talk_draw(&t->rand, rules->pause_ms));
}

void talk_init(struct talk *t, const struct talk_rules *rules, uint64_t seed, bool greeted,
               int64_t now_ns)
{
    *t = (struct talk){.rand = {seed}};
    if (greeted)
        wait_for_answer(t, rules, now_ns);
    else
        begin_pause(t, rules, now_ns);
}

void talk_heard(struct talk *t, const struct talk_rules *rules, int64_t now_ns)
{
    if (t->state != TALK_HEARING)
        return;
    t->answered = true;
    t->until_ns = now_ns + MS(rules->quiet_ms);
}

bool talk_frame(struct talk *t, const struct talk_rules *rules, int64_t now_ns, bool *last)
{
    *last = false;
    if (t->state == TALK_HEARING && now_ns >= t->until_ns) {
        t->unanswered += !t->answered;
        begin_pause(t, rules, now_ns);
    }
    if (t->state == TALK_PAUSING && now_ns >= t->until_ns) {
        int64_t ms = talk_draw(&t->rand, rules->spurt_ms);
        t->frames = (uint32_t)((ms < rules->least_ms ? rules->least_ms : ms) / FRAME_MS);
        t->state = TALK_SPEAKING;
    }
    if (t->state != TALK_SPEAKING)
        return false;
    if (--t->frames == 0) {
        *last = true;
        t->turns++;
        wait_for_answer(t, rules, now_ns);
    }
    return true;
}
