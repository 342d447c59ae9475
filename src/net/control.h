/* The control thread's loop: libuv drives a shard without io, and beside it whatever else lives on
 * the loop (the HTTP server). Mail from other hosts wakes it through one uv_async; the shard's next
 * timer is one uv_timer; signals come in order, on this thread, never inside a signal handler. It
 * runs below everything else (nice 19, batch), so nothing here may be waited for by a call. Made,
 * run and freed on one thread; it knows no actor and no route.
 *
 *     other hosts ── mailbox, control_wake() ──▶ uv_async ─┐
 *     shard_turn()'s next instant ─────────────▶ uv_timer ─┼─▶ uv_run once ─▶ shard_turn() ─▶ again
 *     SIGTERM, SIGINT, SIGHUP ────────────────▶ uv_signal ─┘
 */
#ifndef NET_CONTROL_H
#define NET_CONTROL_H

#include "runtime/shard.h"

struct uv_loop_s;
struct control;

struct control_setup {
    /* SIGTERM, SIGINT or SIGHUP has come; NULL: they keep what they did. */
    void (*on_signal)(void *context, int signal);
    void *context;
};

/* Boot, before the shard that it drives: that one's setup takes control_wake and this. Ignores
 * SIGPIPE for the whole process. 0 or -errno. */
MUST_USE int control_new(const struct control_setup *setup, struct control **out);
/* Everything else on the loop is closed before. */
void control_free(struct control **control);
/* For what lives on the loop beside the shard. */
struct uv_loop_s *control_loop(struct control *control);
/* Any thread; `control` as void *, to fit shard_setup. */
void control_wake(void *control);

/* This thread steps back behind all others: nice 19 and the batch class. Without the right it stays
 * as it is, which is logged. */
void control_step_back(void);
/* Turns shard and loop until the shard is finished (shard_finish()). */
void control_run(struct control *control, struct shard *shard);

#endif
