/* One seed from its first tick to its last check. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/failover.h"

#define CALLS_NS SECONDS(240) /* virtual; calls that go on longer are stuck */
#define DRAIN_NS SECONDS(30)

/* ---- what is wrong ---- */

void sim_wrong(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->why[0])
        return;
    va_start(args, format);
    vsnprintf(sim->why, sizeof(sim->why), format, args);
    va_end(args);
}

static const char *const inner_names[] = {
#define FAULT(name, text) text,
    INNER_FAULTS(FAULT)
#undef FAULT
};

const char *fault_name(uint32_t kind)
{
    return kind < SIM_FAULT_COUNT ? sim_fault_name((enum sim_fault)kind)
                                  : inner_names[kind - SIM_FAULT_COUNT];
}

void count_fault(struct sim *sim, enum inner_fault fault)
{
    sim->coverage->faults[SIM_FAULT_COUNT + fault]++;
}

int64_t sim_draw_ms(struct sim *sim, int64_t least_ms, int64_t most_ms)
{
    return MS(least_ms + (int64_t)rand_below(&sim->rand, (uint32_t)(most_ms - least_ms) + 1));
}

/* ---- watching ---- */

static const char *const runtime_names[] = {
#define MESSAGE(name, body) #name,
    RUNTIME_MESSAGES(MESSAGE)
#undef MESSAGE
};
static const char *const actor_names[] = {
#define MESSAGE(name, body) #name,
    ACTOR_MESSAGES(MESSAGE)
#undef MESSAGE
};

const char *message_name(uint16_t type)
{
    if (type < ARRAY_LEN(runtime_names))
        return runtime_names[type];
    if (type >= MSG_ACTORS_FIRST && type < ACTOR_MESSAGES_END)
        return actor_names[type - MSG_ACTORS_FIRST];
    return "?";
}

static void print_trace_line(const struct trace *t)
{
    printf("  %9lld.%03lld ms  host %u  %-14s %4u  %s", (long long)(t->at_ns / NS_PER_MS),
           (long long)(t->at_ns % NS_PER_MS / NS_PER_US), t->host, t->actor, t->slot,
           message_name(t->type));
    if (t->err)
        printf(" (%d)", t->err);
    printf("\n");
}

void sim_print_trace(const struct sim *sim)
{
    uint64_t from = sim->traced > TRACE_MAX ? sim->traced - TRACE_MAX : 0;

    for (uint64_t i = from; i < sim->traced; i++)
        print_trace_line(&sim->trace[i % TRACE_MAX]);
}

static enum call_phase phase_of(const struct actor *a)
{
    const char *state = a->type->state(a);

    return strcmp(state, "connecting") == 0 ? CALL_CONNECTING
           : strcmp(state, "ending") == 0   ? CALL_ENDING
           : strcmp(state, "storing") == 0  ? CALL_STORING
                                            : CALL_TALKING;
}

static struct product_call *product_of(struct sim *sim, struct actor_id id)
{
    for (uint32_t i = 0; i < sim->caller_count; i++)
        if (sim->callers[i].call.starts && actor_id_equal(sim->callers[i].call.id, id))
            return &sim->callers[i].call;
    return NULL;
}

static void on_call_start(struct sim *sim, const struct actor *a, const struct msg *m)
{
    const struct call_start_msg *args = msg_body(m, call_start_msg);
    struct product_call *call = &sim->callers[(args->agent - 1) % sim->caller_count].call;

    call->starts++;
    call->id = a->id;
    memcpy(call->call_id, args->call_id, sizeof(call->call_id));
    sim->coverage->calls++;
    coverage_phase(sim, CALL_NONE, CALL_CONNECTING);
    call->phase = CALL_CONNECTING;
}

static void on_call(struct sim *sim, const struct actor *a, const struct msg *m)
{
    struct product_call *call;

    if (m->type == MSG_START) {
        on_call_start(sim, a, m);
        return;
    }
    call = product_of(sim, a->id);
    if (!call) {
        sim_wrong(sim, "a call nobody began gets %s", message_name(m->type));
        return;
    }
    enum call_phase phase = phase_of(a);
    if (phase != call->phase) {
        coverage_phase(sim, call->phase, phase);
        call->phase = phase;
    }
    if (m->type == PROVIDER_NEXT) {
        const struct provider_failed_msg *body = msg_body(m, provider_failed_msg);
        coverage_failover(sim->coverage, body->role, body->over ? FOLLOWED_OVER : FOLLOWED_NEXT);
    }
    if (m->type == MSG_STOP) {
        const struct stop_msg *body = msg_body(m, stop_msg);
        call->stops++;
        call->err = body->err;
        snprintf(call->what, sizeof(call->what), "%s", body->what);
    }
}

static void on_child_ended(struct sim *sim, const struct msg *m)
{
    struct product_call *call = product_of(sim, msg_body(m, child_ended_msg)->child);

    if (call)
        call->ends++;
}

static int32_t err_of(const struct msg *m)
{
    if (m->type == MSG_STOP)
        return msg_body(m, stop_msg)->err;
    if (m->type == MSG_CHILD_ENDED)
        return msg_body(m, child_ended_msg)->err;
    if (m->type >= MSG_ACCEPTED && m->type <= MSG_FILE_WRITTEN)
        return msg_body(m, io_msg)->err;
    if (m->type == MSG_LANE_DONE)
        return msg_body(m, lane_msg)->err;
    return 0;
}

static void seen(void *context, const struct actor *a, const struct msg *m)
{
    struct sim *sim = context;
    struct trace *t = &sim->trace[sim->traced++ % TRACE_MAX];

    *t = (struct trace){.at_ns = sim->now_ns,
                        .actor = a->type->name,
                        .slot = a->id.slot,
                        .host = (uint16_t)a->id.shard,
                        .type = m->type,
                        .err = err_of(m)};
    if (sim->options->log && m->type != MSG_SLOT)
        print_trace_line(t);
    if (strcmp(a->type->name, "call") == 0)
        on_call(sim, a, m);
    else if (m->type == MSG_CHILD_ENDED)
        on_child_ended(sim, m);
}

/* ---- coverage of the turn machine, and of what follows failures: linked in front of them ---- */

static struct coverage *turn_coverage;
static const struct sim *present; /* for the log's clock */

static int64_t log_wall_ms(void)
{
    return WALL_START_MS + ns_to_ms(present->now_ns);
}

uint32_t __real_turn_step(struct turn *t, const struct turn_event *e, int64_t now_ns);
uint32_t __wrap_turn_step(struct turn *t, const struct turn_event *e, int64_t now_ns);

uint32_t __wrap_turn_step(struct turn *t, const struct turn_event *e, int64_t now_ns)
{
    uint32_t actions = __real_turn_step(t, e, now_ns);

    coverage_turns(turn_coverage, t->visited);
    return actions;
}

enum failover __real_failover_decide(const struct failover_facts *facts);
enum failover __wrap_failover_decide(const struct failover_facts *facts);

/* The call's own question: what NEXT does is seen by its message. */
enum failover __wrap_failover_decide(const struct failover_facts *facts)
{
    enum failover decision = __real_failover_decide(facts);

    if (decision != FAILOVER_NEXT)
        coverage_failover(turn_coverage, facts->role,
                          decision == FAILOVER_EXCUSE ? FOLLOWED_EXCUSE : FOLLOWED_END);
    return decision;
}

/* ---- ticks ---- */

static void step_worker(struct sim *sim, uint32_t i)
{
    bool slow = sim->worker_slow_ns[i] > sim->now_ns;

    if (sim->worker_next_ns[i] > sim->now_ns || !lane_worker_step(sim->workers[i]))
        return;
    if (slow)
        count_fault(sim, FAULT_LANE_SLOW);
    sim->worker_next_ns[i] =
        sim->now_ns + (slow ? sim_draw_ms(sim, 200, 9000) : sim_draw_ms(sim, 0, 6));
}

static void tick(struct sim *sim)
{
    uint32_t first = rand_below(&sim->rand, sim->shard_count);

    sim->now_ns += TICK_NS;
    sim_net_set_time(sim->net, sim->now_ns);
    faults_step(sim);
    for (uint32_t i = 0; i < sim->shard_count; i++) {
        struct shard *shard = sim->shards[(first + i) % sim->shard_count];
        struct io *io = shard_io(shard);
        io->ops->wait(io, 0, true);
        shard_turn(shard);
    }
    for (uint32_t i = 0; i < sim->worker_count; i++)
        step_worker(sim, i);
    if (sim->control_until_ns <= sim->now_ns)
        shard_turn(sim->control);
    callers_step(sim);
    strangers_step(sim);
    if (sim->drain_ns <= sim->now_ns && !sim->draining)
        control_drain(sim, sim->now_ns + sim_draw_ms(sim, 0, 6000));
}

static bool calls_over(const struct sim *sim)
{
    if (!callers_over(sim) || !strangers_over(sim))
        return false;
    for (uint32_t i = 0; i < sim->shard_count; i++)
        if (shard_load(sim->shards[i]).actors > ROOTS_SIM)
            return false;
    return true;
}

static void note_stuck(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->caller_count; i++) {
        const struct sim_caller *c = &sim->callers[i];
        if (c->phase != CALLER_GONE || c->call.starts != c->call.ends)
            sim_wrong(sim, "%s: its call is stuck: caller %d, call %u, %u stops, %u ends",
                      c->scene->name, (int)c->phase, c->call.starts, c->call.stops, c->call.ends);
    }
    sim_wrong(sim, "actors are left although every call has ended");
}

static void run_calls(struct sim *sim)
{
    int64_t until_ns = sim->now_ns + CALLS_NS;
    int64_t reoffer_ns = sim->reoffer ? sim->now_ns + sim_draw_ms(sim, 0, 5000) : NEVER_NS;

    while (!calls_over(sim) && sim->now_ns < until_ns && !sim->why[0]) {
        tick(sim);
        if (sim->now_ns >= reoffer_ns) {
            reoffer_ns = NEVER_NS;
            for (uint32_t i = 1; i <= sim->caller_count; i++)
                control_offer(sim, sim->caller_count + i);
        }
    }
    if (!calls_over(sim))
        note_stuck(sim);
}

/* Everything held is given back, and what is on its way arrives. */
static void settle(struct sim *sim)
{
    faults_end(sim);
    sim->control_until_ns = 0;
    sim->drain_ns = NEVER_NS; /* too late to begin one */
    for (uint32_t i = 0; i < sim->worker_count; i++)
        sim->worker_next_ns[i] = sim->worker_slow_ns[i] = 0;
    for (int i = 0; i < 200; i++) {
        tick(sim);
        if (i == 100) /* the outboxes are empty again */
            control_ask_trees(sim);
    }
}

static bool roots_over(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shard_count; i++)
        if (!shard_finished(sim->shards[i]))
            return false;
    return true;
}

static void end_roots(struct sim *sim)
{
    int64_t until_ns = sim->now_ns + DRAIN_NS;

    if (!sim->draining)
        control_drain(sim, sim->now_ns);
    while (!roots_over(sim) && sim->now_ns < until_ns)
        tick(sim);
    if (!roots_over(sim))
        sim_wrong(sim, "a switchboard does not drain");
    actor_stop_self(sim->control_actor, REASON(0, "over"));
    for (int i = 0; i < 50; i++)
        tick(sim);
}

/* ---- one seed ---- */

static uint64_t combined(const struct sim *sim)
{
    uint64_t signature = sim->net ? (uint64_t)sim->now_ns : 0;

    for (uint32_t i = 0; i < sim->shard_count; i++)
        signature = (signature ^ shard_signature(sim->shards[i])) * UINT64_C(0x100000001B3);
    return (signature ^ shard_signature(sim->control)) * UINT64_C(0x100000001B3);
}

static void begin(struct sim *sim, const struct options *options, struct sim_caller *callers,
                  struct coverage *coverage, uint64_t seed)
{
    memset(sim, 0, sizeof(*sim));
    sim->options = options;
    sim->callers = callers;
    sim->coverage = coverage;
    sim->seed = seed;
    /* Neighbouring seeds must not be one sequence, begun a draw later. */
    sim->rand.state = seed ^ UINT64_C(0xD1B54A32D192ED03);
    sim->rand.state = rand_u64(&sim->rand);
    sim->now_ns = SECONDS(1000);
    turn_coverage = coverage;
    present = sim;
    log_clock(log_wall_ms);
    providers_of(sim);
    sim->shard_count = 1 + rand_below(&sim->rand, SHARDS_SIM);
    callers_begin(sim);
    faults_plan(sim);
    strangers_begin(sim);
}

static void count_run(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
        sim->coverage->faults[i] += sim_net_count(sim->net, (enum sim_fault)i);
    for (uint32_t i = 0; i < sim->shard_count; i++)
        sim->coverage->messages += shard_load(sim->shards[i]).messages;
    sim->coverage->virtual_ms += (uint64_t)ns_to_ms(sim->now_ns - SECONDS(1000));
}

int sim_run(struct sim *sim, const struct options *options, struct sim_caller *callers,
            struct coverage *coverage, uint64_t seed, uint64_t *signature)
{
    int err;

    begin(sim, options, callers, coverage, seed);
    err = world_build(sim);
    if (err) {
        sim_wrong(sim, "the world cannot be built: %s", strerror(-err));
        return -1;
    }
    for (uint32_t i = 0; i < sim->shard_count; i++)
        shard_watch(sim->shards[i], seen, sim);
    sim_net_rates(sim->net, &sim->net_rates);
    run_calls(sim);
    if (!sim->why[0]) {
        settle(sim);
        check_calm(sim);
        end_roots(sim);
        check_ended(sim);
    }
    *signature = combined(sim);
    count_run(sim);
    if (sim->why[0])
        return -1;
    world_free(sim);
    check_records(sim);
    sim_net_free(&sim->net);
    return sim->why[0] ? -1 : 0;
}
