/* The leg over bare RTP. Not built yet: it refuses, so that a call placed over RTP fails with a
 * reason. Child of its call. */
#include <errno.h>

#include "actors/messages.h"
#include "runtime/shard.h"

struct leg_rtp {
    struct actor actor;
};

static void leg_rtp_handle(struct actor *a, const struct msg *m)
{
    if (m->type == MSG_START)
        actor_stop_self(a, REASON(ENOTSUP, "no RTP leg in this build"));
    else if (m->type == MSG_STOP)
        actor_end(a);
}

extern const struct actor_type leg_rtp_type;
const struct actor_type leg_rtp_type = {
    .name = "leg_rtp", .size_bytes = sizeof(struct leg_rtp), .handle = leg_rtp_handle};
