#include "net/control.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#define CONTROL_NICE        19
#define CONTROL_WAIT_MS_MAX 60000 /* a look around now and then costs nothing */

static const int control_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct control {
    struct control_setup setup;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    uv_signal_t signals[ARRAY_LEN(control_signals)];
};

/* ---- what the loop tells: it has turned, which is all that is needed ---- */

static void on_wake(uv_async_t *handle)
{
    (void)handle;
}

static void on_timer(uv_timer_t *handle)
{
    (void)handle;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct control *control = handle->data;

    control->setup.on_signal(control->setup.context, number);
}

/* ---- turning ---- */

void control_wake(void *control)
{
    uv_async_send(&((struct control *)control)->wake);
}

/* Whole milliseconds, rounded up, at least one: what is due at once but could not be done (a full
 * ring) is tried again in a millisecond rather than in a busy loop. */
static uint64_t wait_ms(int64_t next_ns, int64_t now_ns)
{
    int64_t span_ns;

    if (next_ns == NEVER_NS)
        return CONTROL_WAIT_MS_MAX;
    span_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    if (span_ns > MS(CONTROL_WAIT_MS_MAX))
        return CONTROL_WAIT_MS_MAX;
    return span_ns < NS_PER_MS ? 1 : (uint64_t)((span_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void wait_once(struct control *control, struct shard *shard, uint64_t timeout_ms)
{
    struct mailbox *box = shard_mailbox(shard);

    if (box && !mailbox_sleep(box)) { /* mail came in just now */
        uv_run(&control->loop, UV_RUN_NOWAIT);
        return;
    }
    uv_update_time(&control->loop); /* the turn took its time: count from now */
    uv_timer_start(&control->timer, on_timer, timeout_ms, 0);
    uv_run(&control->loop, UV_RUN_ONCE);
    if (box)
        mailbox_awake(box);
}

void control_run(struct control *control, struct shard *shard)
{
    for (;;) {
        int64_t next_ns = shard_turn(shard);
        if (shard_finished(shard))
            break;
        int64_t now_ns = clock_machine.now_ns(clock_machine.context);
        wait_once(control, shard, wait_ms(next_ns, now_ns));
    }
    uv_timer_stop(&control->timer);
}

void control_step_back(void)
{
    const struct sched_param none = {0};

    if (sched_setscheduler(0, SCHED_BATCH, &none) || setpriority(PRIO_PROCESS, 0, CONTROL_NICE))
        log_warn("control", NULL, "the control thread keeps its priority: %s", strerror(errno));
}

/* ---- boot and end ---- */

static int watch_signals(struct control *control)
{
    for (size_t i = 0; i < ARRAY_LEN(control_signals); i++) {
        int err = uv_signal_init(&control->loop, &control->signals[i]);
        if (err)
            return err;
        control->signals[i].data = control;
        err = uv_signal_start(&control->signals[i], on_signal, control_signals[i]);
        if (err)
            return err;
    }
    return 0;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

int control_new(const struct control_setup *setup, struct control **out)
{
    struct control *control = calloc(1, sizeof(*control));
    int err;

    *out = NULL;
    if (!control)
        abort();
    control->setup = *setup;
    err = uv_loop_init(&control->loop);
    if (err) {
        free(control);
        return err; /* libuv's are -errno */
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that closes early is an error code, not an end */
    err = uv_async_init(&control->loop, &control->wake, on_wake);
    if (!err)
        err = uv_timer_init(&control->loop, &control->timer);
    if (!err && setup->on_signal)
        err = watch_signals(control);
    if (err) {
        control_free(&control);
        return err;
    }
    *out = control;
    return 0;
}

void control_free(struct control **control_at)
{
    struct control *control = *control_at;

    if (!control)
        return;
    uv_walk(&control->loop, close_handle, NULL);
    while (uv_run(&control->loop, UV_RUN_DEFAULT))
        ;
    int err = uv_loop_close(&control->loop);
    assert(err == 0);
    (void)err;
    free(control);
    *control_at = NULL;
}

struct uv_loop_s *control_loop(struct control *control)
{
    return &control->loop;
}
