/* What follows when a provider of a call has failed for good, its tries included: the next of its
 * role goes on (engine.h); without one an excuse is made, or the call ends. The decision is pure;
 * the rest is what the stt, llm and tts actors do alike. A provider that was left is not asked
 * again in this call: the next call begins with it, as its breaker permits.
 *
 *   failure ─▶ NEXT: another takes over, told as PROVIDER_NEXT
 *          └─▶ none is left, told as PROVIDER_FAILED ─▶ EXCUSE, or END
 */
#ifndef CALL_FAILOVER_H
#define CALL_FAILOVER_H

#include "actors/call/engine.h"

#define FAILURES_MAX 3 /* of a role in a row: the third is not excused any more */

enum failover {
    FAILOVER_NEXT,   /* go on with the next of the role */
    FAILOVER_EXCUSE, /* this turn is lost, the next one may go well */
    FAILOVER_END,    /* the call cannot go on */
};

struct failover_facts {
    enum call_role role;
    bool fatal;        /* it will not get better: a refused key, an unknown model */
    uint32_t left;     /* of the role behind the one that failed */
    uint32_t failures; /* of the role before this one, in a row */
};

/* Pure. */
enum failover failover_decide(const struct failover_facts *facts);
const char *failover_name(enum failover decision);

/* The engine's failure, if it has one: taken, and told in *out. From the end of a handler. */
bool failover_take(struct engine *e, enum call_role role, struct provider_failed_msg *out);
/* The next of the role that starts is in use now, out->to; false: none is left. */
bool failover_next(struct engine *e, struct provider_failed_msg *out);
void failover_tell(struct engine *e, struct actor_id call, uint16_t type,
                   const struct provider_failed_msg *m);
/* All that is done about failures by an actor whose part can be taken over at any moment, from the
 * end of its handler: the next of the role takes over, and the call is told. */
void failover_settle(struct engine *e, enum call_role role, struct actor_id call,
                     void (*take_over)(struct engine *e));

#endif
