/* The order in which the pairs of a range of ports are tried until one is free: from a random pair
 * on in steps that depend on it, each pair once (double hashing: Knuth, The Art of Computer
 * Programming, volume 3, section 6.4). In steps of one, calls crowd into long runs of taken ports,
 * and whoever starts in one gives up while thousands are free. A value of whoever binds; it knows
 * no socket. */
#ifndef NET_PORT_WALK_H
#define NET_PORT_WALK_H

#include <stdbool.h>
#include <stdint.h>

struct port_walk {
    uint32_t pairs; /* that the range has */
    uint32_t at;    /* the pair to try, 0 to pairs - 1 */
    uint32_t step;
    uint32_t left; /* tries, this one included; 0: it is over */
};

static inline uint32_t port_walk_common(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* `at` is the first, random and below `pairs`; at most `tries` and never one twice. */
static inline struct port_walk port_walk_begin(uint32_t pairs, uint32_t at, uint32_t tries)
{
    struct port_walk w = {
        .pairs = pairs, .at = at, .step = 1, .left = tries < pairs ? tries : pairs};

    if (pairs > 2)
        w.step = 1 + (at + 1) * UINT32_C(2654435761) % (pairs - 1);
    while (pairs > 1 && port_walk_common(w.step, pairs) != 1)
        w.step = w.step % (pairs - 1) + 1;
    return w;
}

/* To the next one, which has not been tried; false: enough were. */
static inline bool port_walk_next(struct port_walk *w)
{
    if (w->left == 0 || --w->left == 0)
        return false;
    w->at = (uint32_t)(((uint64_t)w->at + w->step) % w->pairs);
    return true;
}

#endif
