/* Timers of one shard: a hierarchical wheel of four levels of 64 places, one place a tick of 2 ms
 * at the lowest, so setting and cancelling cost a few instructions and no memory. A timer lives
 * inside its owner; cancelling a timer that is not set is allowed. Firing is never early, and late
 * by at most one tick. Varghese & Lauck, "Hashed and hierarchical timing wheels", 1987. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct timer {
    struct timer *next;
    struct timer **prev; /* NULL: not set */
    int64_t at_ns;
};

#define WHEEL_LEVELS 4
#define WHEEL_PLACES 64

struct wheel {
    int64_t tick; /* the next tick to be fired */
    uint32_t count;
    struct timer *places[WHEEL_LEVELS][WHEEL_PLACES];
};

void wheel_init(struct wheel *w, int64_t now_ns);
/* Sets or moves a timer; a past instant fires at the next wheel_advance. */
void wheel_set(struct wheel *w, struct timer *t, int64_t at_ns);
void wheel_cancel(struct wheel *w, struct timer *t);
/* The next timer due at `now_ns`, unset already, or NULL: call until NULL. */
struct timer *wheel_pop(struct wheel *w, int64_t now_ns);
/* When wheel_pop may next have something: exact for the near future, an early guess beyond;
 * NEVER_NS when nothing is set. */
int64_t wheel_next_ns(const struct wheel *w);

static inline bool timer_is_set(const struct timer *t)
{
    return t->prev != NULL;
}

#endif
