/* Short calls that come at a rate, whatever the server says to them: each lasts the same time from
 * its asking, so they end in the order in which they began. */
#include <stdlib.h>

#include "bench/load/load.h"

struct churn {
    uint32_t *slots; /* a ring of callers, oldest first; the rest of the ring is free */
    uint32_t first, used, size;
    double owed; /* calls that should have begun by now and have not */
    int64_t at_ns;
};

static void make(struct churn *n, struct load *l)
{
    *n = (struct churn){.size = l->call_count - l->steady, .at_ns = l->now_ns};
    n->slots = calloc(n->size, sizeof(*n->slots));
    if (!n->slots)
        abort();
    for (uint32_t i = 0; i < n->size; i++)
        n->slots[i] = l->steady + i;
}

static void end_one(struct load *l, struct load_call *c)
{
    if (c->state == LOAD_LIVE) {
        l->window->completed += c->faults == 0;
        call_hang_up(l, c);
    } else if (c->state == LOAD_ASKING) {
        call_end(l, c, "the server did not answer in time");
    }
    call_reset(c);
}

static void end_old(struct churn *n, struct load *l)
{
    while (n->used) {
        struct load_call *c = &l->calls[n->slots[n->first]];
        if (l->now_ns < c->asked_ns + MS(l->options->churn_ms))
            return;
        end_one(l, c);
        n->first = (n->first + 1) % n->size;
        n->used--;
    }
}

static void begin_due(struct churn *n, struct load *l, uint32_t rate)
{
    n->owed += (double)(l->now_ns - n->at_ns) * rate / NS_PER_S;
    n->at_ns = l->now_ns;
    for (; n->owed >= 1; n->owed -= 1) {
        if (n->used == n->size) {
            l->window->held_back++; /* ours: more callers than there are places for */
            continue;
        }
        struct load_call *c = &l->calls[n->slots[(n->first + n->used++) % n->size]];
        l->window->begun++;
        call_begin(l, c);
    }
}

static void run_until(struct churn *n, struct load *l, uint32_t rate, int64_t until_ns)
{
    while (l->now_ns < until_ns && !load_interrupted()) {
        end_old(n, l);
        begin_due(n, l, rate);
        load_turn(l, rate ? "churning" : "draining", until_ns);
    }
}

void load_churn(struct load *l)
{
    const struct load_options *o = l->options;
    struct churn n;

    make(&n, l);
    for (uint32_t i = 0; i < o->rate_count && !load_interrupted(); i++) {
        /* the calls of the rate before are gone, and as many come as go */
        run_until(&n, l, o->rates[i], l->now_ns + MS(o->churn_ms) + SECONDS(o->settle_s));
        struct load_window *w = load_window_open(l, l->steady);
        w->rate = o->rates[i];
        run_until(&n, l, o->rates[i], l->now_ns + SECONDS(o->hold_s));
        load_window_close(l, w);
    }
    run_until(&n, l, 0, l->now_ns + MS(o->churn_ms) + MS(100));
    free(n.slots);
}
