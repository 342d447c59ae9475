#include "runtime/timer.h"

#include <string.h>

#include "base/limits.h"

#define PLACE_BITS        6
#define SPAN_TICKS(level) (INT64_C(1) << (PLACE_BITS * ((level) + 1)))

/* Rounded up: a timer never fires early. */
static int64_t tick_of(int64_t at_ns)
{
    if (at_ns > INT64_MAX - TICK_NS)
        return INT64_MAX / TICK_NS;
    return (at_ns + TICK_NS - 1) / TICK_NS;
}

void wheel_init(struct wheel *w, int64_t now_ns)
{
    memset(w, 0, sizeof(*w));
    w->tick = now_ns / TICK_NS;
}

static void link_timer(struct timer **head, struct timer *t)
{
    t->next = *head;
    if (*head)
        (*head)->prev = &t->next;
    t->prev = head;
    *head = t;
}

static void place_timer(struct wheel *w, struct timer *t)
{
    int64_t due = tick_of(t->at_ns);
    int level = 0;

    if (due < w->tick)
        due = w->tick;
    /* Beyond the last level it waits in the farthest place and is placed anew from there. */
    if (due - w->tick >= SPAN_TICKS(WHEEL_LEVELS - 1))
        due = w->tick + SPAN_TICKS(WHEEL_LEVELS - 1) - 1;
    while (due - w->tick >= SPAN_TICKS(level))
        level++;
    link_timer(&w->places[level][(due >> (PLACE_BITS * level)) & (WHEEL_PLACES - 1)], t);
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
    if (!t->prev)
        return;
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = NULL;
    t->next = NULL;
    w->count--;
}

void wheel_set(struct wheel *w, struct timer *t, int64_t at_ns)
{
    wheel_cancel(w, t);
    t->at_ns = at_ns;
    w->count++;
    place_timer(w, t);
}

/* Brings the timers of a higher place down when its span begins. */
static void cascade(struct wheel *w, int level)
{
    size_t place = (size_t)((w->tick >> (PLACE_BITS * level)) & (WHEEL_PLACES - 1));
    struct timer *t = w->places[level][place];

    w->places[level][place] = NULL;
    while (t) {
        struct timer *next = t->next;
        place_timer(w, t);
        t = next;
    }
}

static void advance(struct wheel *w)
{
    w->tick++;
    for (int level = 1; level < WHEEL_LEVELS; level++) {
        if (w->tick & (SPAN_TICKS(level - 1) - 1))
            return;
        cascade(w, level);
    }
}

struct timer *wheel_pop(struct wheel *w, int64_t now_ns)
{
    int64_t now_tick = now_ns / TICK_NS;

    if (w->count == 0 && w->tick < now_tick)
        w->tick = now_tick; /* nothing to cascade */
    while (w->tick <= now_tick) {
        struct timer *t = w->places[0][w->tick & (WHEEL_PLACES - 1)];
        if (t) {
            wheel_cancel(w, t);
            return t;
        }
        if (w->tick == now_tick)
            return NULL;
        advance(w);
    }
    return NULL;
}

int64_t wheel_next_ns(const struct wheel *w)
{
    if (w->count == 0)
        return NEVER_NS;
    for (int64_t i = 0; i < WHEEL_PLACES; i++)
        if (w->places[0][(w->tick + i) & (WHEEL_PLACES - 1)])
            return (w->tick + i) * TICK_NS;
    /* Nothing near: the next cascade may bring something down. */
    return ((w->tick | (WHEEL_PLACES - 1)) + 1) * TICK_NS;
}
