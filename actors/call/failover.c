#include "actors/call/failover.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

static const char *const names[] = {
    [FAILOVER_NEXT] = "next", [FAILOVER_EXCUSE] = "excuse", [FAILOVER_END] = "end"};

const char *failover_name(enum failover decision)
{
    return names[decision];
}

enum failover failover_decide(const struct failover_facts *facts)
{
    if (facts->left)
        return FAILOVER_NEXT;
    if (facts->fatal || facts->role == ROLE_TTS) /* without a voice there is no excuse */
        return FAILOVER_END;
    return facts->failures + 1 < FAILURES_MAX ? FAILOVER_EXCUSE : FAILOVER_END;
}

bool failover_take(struct engine *e, enum call_role role, struct provider_failed_msg *out)
{
    struct engine_failure *f = &e->failure;

    if (!f->any)
        return false;
    *out = (struct provider_failed_msg){.role = role,
                                        .epoch = f->epoch,
                                        .status = f->status,
                                        .fatal = f->fatal,
                                        .from = (uint8_t)e->place,
                                        .to = (uint8_t)e->place};
    memcpy(out->what, f->what, sizeof(out->what));
    *f = (struct engine_failure){0};
    return true;
}

bool failover_next(struct engine *e, struct provider_failed_msg *out)
{
    const struct provider_ops *from = e->ops;
    struct failover_facts facts = {
        .role = (enum call_role)out->role, .fatal = out->fatal, .left = engine_left(e)};

    for (; failover_decide(&facts) == FAILOVER_NEXT; facts.left--) {
        int err = engine_next(e);

        if (err == 0) {
            out->to = (uint8_t)e->place;
            metrics_add_of(METRIC_PROVIDER_FAILOVERS, provider_number(from), 1);
            return true;
        }
        /* No lane session, no memory: perhaps the one behind it needs none. */
        log_error("engine", NULL, "%s cannot take over from %s: %s", e->ops->name, from->name,
                  strerror(-err));
        out->fatal = true; /* should none start: nothing is left to speak with */
    }
    return false;
}

void failover_tell(struct engine *e, struct actor_id call, uint16_t type,
                   const struct provider_failed_msg *m)
{
    actor_send_body(e->actor, call, type, IF_FULL_STOP, FRAME_NONE, m, sizeof(*m));
}

void failover_settle(struct engine *e, enum call_role role, struct actor_id call,
                     void (*take_over)(struct engine *e))
{
    struct provider_failed_msg m;

    while (failover_take(e, role, &m)) {
        bool next = failover_next(e, &m);

        failover_tell(e, call, next ? PROVIDER_NEXT : PROVIDER_FAILED, &m);
        if (next)
            take_over(e);
    }
}
