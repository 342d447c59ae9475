#include "bench/load/listen.h"

#include "base/clock.h"
#include "provider/scripted.h"

#define EDGE       6000 /* the buzz jumps by 16000; G.711 and 8000 from silence leave this */
#define TOP        7800 /* the buzz falls from 8000; G.711 tells its first sample from its second */
#define LOUD       500  /* mean magnitude that counts as voice where no buzz is expected */
#define PERIOD_MIN 20
#define PERIODS    12

void listen_init(struct listen *l, enum listen_expect expect, bool buffered)
{
    *l =
        (struct listen){.expect = expect, .buffered = buffered, .awaiting = true, .since_edge = -1};
}

void listen_silence(struct listen *l)
{
    l->voiced = false;
    l->since_edge = -1;
    l->before = 0;
}

void listen_turn(struct listen *l)
{
    l->awaiting = l->awaiting && !l->reply; /* the greeting may come at any time */
}

void listen_await(struct listen *l)
{
    l->awaiting = true;
    if (!l->unasked)
        listen_silence(l); /* streams that send no silence would seem to go on */
}

/* The samples' edges: how many, the first one, the last one, and whether all stand `period` apart;
 * without a period (0) the first distance is it. */
struct edges {
    int32_t count, first, last;
    int32_t period;
    bool even;
};

static struct edges find_edges(const int16_t *pcm, size_t n, int32_t since_edge, int16_t before)
{
    struct edges e = {.even = true};
    int32_t last = since_edge >= 0 ? -since_edge - 1 : INT32_MIN;

    for (int32_t i = 0; i < (int32_t)n; i++) {
        if (pcm[i] - (i ? pcm[i - 1] : before) < EDGE)
            continue;
        if (i == 0 && since_edge < 0 && pcm[0] < TOP)
            continue; /* it goes on from silence in the middle of a period */
        if (!e.count++)
            e.first = i;
        if (last != INT32_MIN && !e.period)
            e.period = i - last;
        else if (last != INT32_MIN && i - last != e.period)
            e.even = false;
        last = i;
    }
    e.last = last;
    return e;
}

static bool is_reply(const struct edges *e, uint32_t reply)
{
    return e->period && e->even && e->period == scripted_period(reply);
}

void listen_dry(struct listen *l)
{
    l->dry = true;
}

/* Late samples of the same reply go on; those of the next one, or behind one that began unasked, do
 * not. */
static void leave_dry(struct listen *l, const int16_t *pcm, size_t n)
{
    if (!l->dry)
        return;
    l->dry = false;
    struct edges e = find_edges(pcm, n, -1, 0);
    if (l->unasked || is_reply(&e, l->reply + 1))
        listen_silence(l);
}

static bool is_loud(const int16_t *pcm, size_t n)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += pcm[i] < 0 ? -pcm[i] : pcm[i];
    return sum >= (int64_t)n * LOUD;
}

static void begin_reply(struct listen *l, struct listen_result *r)
{
    r->first = l->unproved = true;
    r->unasked = l->unasked = !l->awaiting;
    l->awaiting = false;
    l->reply++;
}

/* Whether a reply begins here. An agent that takes a caller to be done who is not gives the next
 * reply too soon, stops when the caller goes on, and may resume. */
static bool begins(const struct listen *l, const struct edges *e)
{
    if (!l->awaiting)
        return !l->voiced && l->reply && is_reply(e, l->reply + 1);
    return !l->unasked || (e->period && e->even && !is_reply(e, l->reply));
}

/* Takes the reply that is heard for the one expected, so that one slip counts once. */
static void adopt(struct listen *l, int32_t period)
{
    int32_t want = (period - PERIOD_MIN) / 2 - (int32_t)(l->reply % PERIODS);

    l->reply += (uint32_t)((want % PERIODS + PERIODS) % PERIODS);
}

struct listen_result listen_audio(struct listen *l, const int16_t *pcm, size_t n)
{
    struct listen_result r = {0};

    if (l->expect == LISTEN_ANY) {
        r.voiced = is_loud(pcm, n);
        r.continued = r.voiced && l->voiced;
        if (r.voiced && l->awaiting)
            begin_reply(l, &r);
        l->voiced = r.voiced;
        return r;
    }
    leave_dry(l, pcm, n);
    struct edges e = find_edges(pcm, n, l->since_edge, l->before);
    if (!e.count) {
        listen_silence(l);
        return r;
    }
    r.voiced = true;
    r.continued = l->voiced;
    if (begins(l, &e))
        begin_reply(l, &r);
    l->period = e.period;
    l->wanted = (int32_t)scripted_period(l->reply);
    if (e.period && !e.even)
        r.broken = true;
    else if (e.period && e.period != l->wanted) {
        r.wrong = true;
        if (l->unproved)
            adopt(l, e.period);
    }
    if (e.period && e.even)
        l->unproved = false;
    l->voiced = true;
    l->since_edge = (int32_t)n - 1 - e.last;
    l->before = pcm[n - 1];
    return r;
}

void listen_reschedule(struct listen *l)
{
    l->scheduled = false;
}

int64_t listen_lateness_ns(struct listen *l, int64_t position_ms, int64_t at_ns)
{
    int64_t base_ns = at_ns - MS(position_ms);

    if (!l->scheduled || (!l->buffered && base_ns < l->base_ns))
        l->base_ns = base_ns;
    l->scheduled = true;
    return base_ns - l->base_ns;
}
