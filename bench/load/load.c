/* The loop: pacing, ramps, windows and the live line. */
#include "bench/load/load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX     512
#define ROUNDS_MAX     8           /* of receiving before something may be sent again */
#define RAMP_NS        SECONDS(60) /* beyond the ramp's own time: what is live then is measured */
#define QUANTUM_US_MIN 250         /* up to 1000 callers; beyond, 13 packets leave at one time */
#define QUANTUM_US_MAX 1000
#define BAR_CHARS      20    /* of the live line's progress */
#define RECEIVE_NS     MS(2) /* between two looks at what has come */
#define AHEAD          6     /* callers whose memory is fetched before it is their turn */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static int64_t clock_now(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void read_clock(struct load *l)
{
    l->now_ns = clock_now(CLOCK_MONOTONIC);
    l->wall_offset_ns = clock_now(CLOCK_REALTIME) - l->now_ns;
}

static const int64_t *sort_phases;

static int by_phase(const void *a, const void *b)
{
    int64_t x = sort_phases[*(const uint32_t *)a], y = sort_phases[*(const uint32_t *)b];

    return (x > y) - (x < y);
}

/* Short calls that are there at one time, and a tenth more. */
static uint32_t churn_places(const struct load_options *o)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < o->rate_count; i++)
        most = o->rates[i] > most ? o->rates[i] : most;
    return (uint32_t)(most * (uint64_t)o->churn_ms / 900 + (most ? 64 : 0));
}

static void place_calls(struct load *l)
{
    for (uint32_t i = 0; i < l->options->step_count; i++)
        if (l->options->steps[i] > l->call_count)
            l->call_count = l->options->steps[i];
    l->steady = l->call_count;
    l->call_count += churn_places(l->options);
    l->calls = calloc(l->call_count, sizeof(*l->calls));
    l->order = calloc(l->call_count, sizeof(*l->order));
    l->phase_ns = calloc(l->call_count, sizeof(*l->phase_ns));
    if (!l->calls || !l->order || !l->phase_ns)
        abort();
    for (uint32_t i = 0; i < l->call_count; i++) {
        l->calls[i] = (struct load_call){.index = i, .fd = -1, .ask_fd = -1};
        l->order[i] = i;
        l->phase_ns[i] = (int64_t)(((uint64_t)trunk_phase(i) * (uint64_t)LOAD_PERIOD_NS) >> 32);
    }
    sort_phases = l->phase_ns;
    qsort(l->order, l->call_count, sizeof(*l->order), by_phase);
}

/* ---- one turn of the loop ---- */

/* At most one period in one go: where sending takes longer than the period it is for, what has come
 * is looked at all the same, and the run ends in its time. */
static void send_due(struct load *l)
{
    for (uint32_t sent = 0; sent < l->call_count; sent++) {
        uint32_t i = l->order[l->position];
        int64_t due_ns = l->cycle_ns + l->phase_ns[i];
        if (due_ns > l->now_ns)
            break;
        if (l->position + AHEAD < l->call_count)
            call_prefetch(&l->calls[l->order[l->position + AHEAD]]);
        if (l->calls[i].state == LOAD_LIVE) {
            histogram_add(&l->window->send_late, l->now_ns - due_ns);
            call_send(l, &l->calls[i]);
        }
        if (++l->position == l->call_count) {
            l->position = 0;
            l->cycle_ns += LOAD_PERIOD_NS;
        }
        if (l->position % 64 == 0)
            read_clock(l);
    }
    trunk_flush(&l->trunk);
}

static void fetch(void *context, uint32_t caller)
{
    struct load *l = context;

    call_prefetch(&l->calls[caller]);
}

static void take_packet(void *context, uint32_t caller, struct slice packet, int64_t at_wall_ns)
{
    struct load *l = context;
    struct load_call *c = &l->calls[caller];
    int64_t at_ns = at_wall_ns ? at_wall_ns - l->wall_offset_ns : l->now_ns;

    if (c->state != LOAD_LIVE)
        return;
    if (l->options->via == LOAD_RTP)
        rtp_take(l, c, packet, at_ns);
    else
        echo_take(l, c, packet, at_ns);
}

static void receive(struct load *l)
{
    struct epoll_event events[EVENTS_MAX];
    int n = l->asking || l->options->via == LOAD_TWILIO ? EVENTS_MAX : 0;

    if (l->now_ns < l->receive_ns && !l->asking)
        return;
    l->receive_ns = l->now_ns + RECEIVE_NS;
    if (l->options->via != LOAD_TWILIO)
        trunk_receive(&l->trunk, take_packet, l);
    for (int round = 0; round < ROUNDS_MAX && n == EVENTS_MAX; round++) {
        n = epoll_wait(l->epoll, events, EVENTS_MAX, 0);
        read_clock(l);
        for (int i = 0; i < n; i++)
            call_receive(l, events[i].data.ptr);
    }
}

static void sleep_until(int64_t at_ns)
{
    struct timespec t = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void end_stale(struct load *l)
{
    for (uint32_t i = 0; i < l->call_count; i++)
        if (l->calls[i].state == LOAD_ASKING && l->now_ns > l->calls[i].asked_ns + LOAD_ASK_NS)
            call_end(l, &l->calls[i], "the server did not answer in time");
}

/* ---- each second ---- */

static void sample_process(struct load *l, struct load_second *s, int64_t span_ns)
{
    struct process_sample now;

    if (!l->options->pid || process_read(l->options->pid, &now) < 0)
        return;
    s->cpu_per_mille = (uint32_t)((now.shard_ns - l->last.shard_ns) * 1000 / span_ns);
    s->rss_kb = (uint32_t)(now.rss_bytes / 1024);
    l->last = now;
}

/* How long everything is going to take, if calls come up as they are begun. */
static int64_t planned_ns(const struct load_options *o)
{
    int64_t total_ns = 0;
    uint32_t before = 0;

    for (uint32_t i = 0; i < o->step_count; i++) {
        uint32_t more = o->steps[i] > before ? o->steps[i] - before : 0;
        total_ns += (int64_t)more * NS_PER_S / o->rate + SECONDS(o->settle_s);
        total_ns += o->rate_count ? 0 : SECONDS(o->hold_s);
        before += more;
    }
    for (uint32_t i = 0; i < o->rate_count; i++)
        total_ns += MS(o->churn_ms) + SECONDS(o->settle_s + o->hold_s);
    return total_ns + NS_PER_S;
}

static void put_bar(const struct load *l, char bar[BAR_CHARS + 1])
{
    int64_t full = (l->now_ns - l->start_ns) * BAR_CHARS / planned_ns(l->options);

    for (int64_t i = 0; i < BAR_CHARS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_CHARS] = '\0';
}

static void live_line(struct load *l, const struct load_second *s, const char *doing, int64_t left)
{
    const struct load_window *w = l->window;

    char bar[BAR_CHARS + 1];

    if (l->options->quiet)
        return;
    put_bar(l, bar);
    fprintf(
        stderr,
        "\r[%s] %-9s %4llds left  %5u calls  %3u.%u%% cpu  %6u MB  response %4u/%4u ms  late %llu  "
        "faults %llu \033[K",
        bar, doing, (long long)left, l->live, s->cpu_per_mille / 10, s->cpu_per_mille % 10,
        s->rss_kb / 1024, histogram_us(&w->response, 500) / 1000,
        histogram_us(&w->response, 990) / 1000, (unsigned long long)w->late,
        (unsigned long long)l->faults);
}

static void each_second(struct load *l, const char *doing, int64_t left)
{
    struct load_second s = {.live = l->live};

    if (l->now_ns < l->last_ns + NS_PER_S)
        return;
    end_stale(l);
    sample_process(l, &s, l->now_ns - l->last_ns);
    l->last_ns = l->now_ns;
    s.late = (uint32_t)l->window->late;
    s.faults = (uint32_t)l->faults;
    if (l->second_count < LOAD_SECONDS_MAX)
        l->seconds[l->second_count++] = s;
    live_line(l, &s, doing, left);
}

int64_t load_quantum_us(const struct load *l)
{
    int64_t us = l->live / 4;

    if (l->options->quantum_us)
        return l->options->quantum_us;
    return us < QUANTUM_US_MIN ? QUANTUM_US_MIN : us > QUANTUM_US_MAX ? QUANTUM_US_MAX : us;
}

static int64_t seconds_left(const struct load *l, int64_t until_ns)
{
    return until_ns > l->now_ns ? (until_ns - l->now_ns + NS_PER_S - 1) / NS_PER_S : 0;
}

bool load_interrupted(void)
{
    return interrupted;
}

static void turn(struct load *l, const char *doing, int64_t left)
{
    read_clock(l);
    send_due(l);
    receive(l);
    each_second(l, doing, left);
    int64_t due_ns = l->cycle_ns + l->phase_ns[l->order[l->position]];
    int64_t quantum_ns = load_quantum_us(l) * NS_PER_US;
    int64_t next_ns = (l->now_ns / quantum_ns + 1) * quantum_ns;
    int64_t wake_ns = due_ns < l->receive_ns ? due_ns : l->receive_ns;
    sleep_until(wake_ns < next_ns || l->asking ? next_ns : wake_ns);
}

void load_turn(struct load *l, const char *doing, int64_t until_ns)
{
    turn(l, doing, seconds_left(l, until_ns));
}

static void run_until(struct load *l, const char *doing, int64_t until_ns)
{
    while (l->now_ns < until_ns && !interrupted)
        turn(l, doing, seconds_left(l, until_ns));
}

/* Begins calls at the rate asked for, as many as are to be held and no more at one time than the
 * API takes. */
static void ramp(struct load *l, uint32_t target)
{
    int64_t from_ns = l->now_ns;
    uint32_t first = l->begun;
    int64_t until_ns = from_ns + (target - first) * NS_PER_S / l->options->rate + RAMP_NS;

    while ((l->begun < target || l->asking) && l->now_ns < until_ns && !interrupted) {
        int64_t may = (l->now_ns - from_ns) * l->options->rate / NS_PER_S + 1;
        while (l->begun < target && l->begun - first < may && l->asking < LOAD_ASKING_MAX)
            call_begin(l, &l->calls[l->begun]);
        turn(l, "ramp", (target - l->begun) / l->options->rate + 1);
    }
}

struct load_window *load_window_open(struct load *l, uint32_t target)
{
    struct load_window *w = &l->windows[l->window_count++];

    *w = (struct load_window){.calls = target, .from_ns = l->now_ns};
    w->has_process = l->options->pid && process_read(l->options->pid, &w->before) == 0;
    w->own_ns = -process_own_ns();
    w->lost = trunk_lost(&l->trunk);
    l->window = w;
    return w;
}

void load_window_close(struct load *l, struct load_window *w)
{
    w->has_process = w->has_process && process_read(l->options->pid, &w->after) == 0;
    w->to_ns = l->now_ns;
    w->own_ns += process_own_ns();
    w->lost = trunk_lost(&l->trunk) - w->lost;
    w->live = l->live;
    if (l->options->via >= LOAD_ECHO && w->sent > w->received + w->live) {
        w->missing = w->sent - w->received - w->live; /* one of each call may be under way */
        w->slots += w->missing;
    }
    l->window = &l->rest;
}

static void measure(struct load *l, uint32_t target)
{
    struct load_window *w = load_window_open(l, target);

    run_until(l, "measuring", l->now_ns + SECONDS(l->options->hold_s));
    load_window_close(l, w);
}

static void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void begin(struct load *l)
{
    const struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    raise_files();
    place_calls(l);
    read_clock(l);
    l->start_ns = l->last_ns = l->cycle_ns = l->now_ns;
    l->window = &l->rest;
    if (l->options->pid && process_read(l->options->pid, &l->at_start) == 0)
        l->last = l->at_start;
}

int load_run(struct load *l, const struct load_options *options)
{
    char why[CORPUS_WHY_BYTES];

    l->options = options;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return -errno;
    int err = corpus_load(&l->corpus, options->speech, options->alaw, options->seed, why);
    if (err) {
        fprintf(stderr, "sidetone-load: %s\n", why);
        return err;
    }
    l->trunk.soon = fetch;
    err = trunk_open(&l->trunk, &options->local);
    if (err) {
        fprintf(stderr, "sidetone-load: no sockets for the callers: %s\n", strerror(-err));
        return err;
    }
    begin(l);
    for (uint32_t i = 0; i < options->step_count && !interrupted; i++) {
        ramp(l, options->steps[i]);
        run_until(l, "settling", l->now_ns + SECONDS(options->settle_s));
        if (!options->rate_count)
            measure(l, options->steps[i]);
    }
    if (options->rate_count && !interrupted)
        load_churn(l);
    for (uint32_t i = 0; i < l->call_count; i++)
        call_hang_up(l, &l->calls[i]);
    trunk_flush(&l->trunk);
    if (!options->quiet)
        fputc('\n', stderr);
    return 0;
}

void load_fini(struct load *l)
{
    corpus_fini(&l->corpus);
    for (uint32_t i = 0; i < l->call_count; i++)
        free(l->calls[i].echo);
    free(l->calls);
    free(l->order);
    free(l->phase_ns);
    trunk_close(&l->trunk);
    if (l->epoll >= 0)
        close(l->epoll);
}
