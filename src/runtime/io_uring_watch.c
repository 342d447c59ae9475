/* Foreign descriptors on the ring: asked once, and again after each delivery, so that what was not
 * read to its end is told again. */
#include <errno.h>
#include <poll.h>

#include "runtime/io_ring.h"

void watch_step(struct ring *r, struct slot *s)
{
    struct io_uring_sqe *sqe;

    if (s->dead) {
        slot_die(r, s);
        return;
    }
    sqe = s->asked ? NULL : ring_sqe(r);
    if (!sqe && !s->asked)
        slot_todo(&r->core, s);
    if (!sqe)
        return;
    io_uring_prep_poll_add(sqe, s->fd, POLLIN);
    ring_aim(r, s, sqe, OP_WATCH);
    s->asked = true;
}

void watch_ready(struct ring *r, struct slot *s, int res)
{
    s->asked = s->asked_cancel = false;
    slot_todo(&r->core, s);
    if (res > 0 && !s->dead)
        slot_deliver(&r->core, s, (struct io_event){.kind = IO_READY});
}
