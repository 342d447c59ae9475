/* The deterministic simulator: the product's own shards, actors and lanes under a virtual clock,
 * on a network and a disk in memory, called by the callers of the .call scripts, with faults drawn
 * from the seed. One `struct sim` is one seed; everything runs on one thread, in an order that the
 * seed alone decides, and no float decides anything. docs/simulator.md tells the whole.
 *
 *     main ─▶ sim_run(seed): world ─▶ ticks (faults, io, shards, lanes, callers, control) ─▶ checks
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "actors/messages.h"
#include "actors/world.h"
#include "runtime/io_sim.h"
#include "runtime/shard_inner.h"
#include "store/token.h"
#include "tests/scenario/script.h"

#define CALLERS_MAX   6
#define SHARDS_SIM    2
#define WORKERS_SIM   3
#define AGENTS_SIM    (2 * CALLERS_MAX) /* a second version of each */
#define TRACE_MAX     512
#define SCRIPTS_MAX   64
#define WHY_MAX       256
#define UNSENT_MAX    262144
#define PHASES        5
#define FRAMES_SIM    6000
#define ROOTS_SIM     2 /* of a shard: switchboard and network */
#define WALL_START_MS INT64_C(1790000000000)

/* FAULT(NAME, text): what can go wrong inside, beside what SIM_FAULTS lists of the outside. */
#define INNER_FAULTS(FAULT)                                                                        \
    FAULT(FAULT_FRAMES, "frames gone")                                                             \
    FAULT(FAULT_SLOTS, "actor slots gone")                                                         \
    FAULT(FAULT_SESSIONS, "lane sessions refused")                                                 \
    FAULT(FAULT_LANE_SLOW, "slow lane")                                                            \
    FAULT(FAULT_RING_FULL, "ring full")                                                            \
    FAULT(FAULT_CLOCK_JUMP, "clock jump")                                                          \
    FAULT(FAULT_CALLS_FULL, "too many calls")                                                      \
    FAULT(FAULT_BAD_TOKEN, "bad token")                                                            \
    FAULT(FAULT_STT_NO_FINAL, "stt: no final")                                                     \
    FAULT(FAULT_STT_LATE, "stt: late final")                                                       \
    FAULT(FAULT_STT_FAILS, "stt: failure")                                                         \
    FAULT(FAULT_LLM_FAILS, "llm: failure")                                                         \
    FAULT(FAULT_LLM_BREAKS, "llm: breaks off")                                                     \
    FAULT(FAULT_LLM_SILENT, "llm: silence")                                                        \
    FAULT(FAULT_TTS_FAILS, "tts: failure")                                                         \
    FAULT(FAULT_TTS_BREAKS, "tts: breaks off")                                                     \
    FAULT(FAULT_TTS_SILENT, "tts: silence")

enum inner_fault {
#define FAULT(name, text) name,
    INNER_FAULTS(FAULT)
#undef FAULT
        INNER_FAULT_COUNT
};

#define FAULT_NONE  INNER_FAULT_COUNT
#define FAULT_KINDS (SIM_FAULT_COUNT + INNER_FAULT_COUNT)

/* Phases of a call as the product names them, for coverage. */
enum call_phase { CALL_NONE, CALL_CONNECTING, CALL_TALKING, CALL_ENDING, CALL_STORING };

/* What followed a provider's failure, for coverage. */
enum followed {
    FOLLOWED_NEXT,   /* another took over, and did it all again */
    FOLLOWED_OVER,   /* another took over, and the answer ended where it was */
    FOLLOWED_EXCUSE, /* none was left: an excuse */
    FOLLOWED_END,    /* none was left: the call ended */
    FOLLOWED_COUNT
};

/* What all seeds together have reached; lies in memory that the processes share. */
struct coverage {
    uint64_t faults[FAULT_KINDS];
    uint64_t turns; /* as struct turn's `visited` */
    uint8_t phases[PHASES][PHASES];
    uint64_t failovers[ROLE_TTS + 1][FOLLOWED_COUNT];
    uint64_t calls, completed, failed, refused, clean, turns_heard, messages;
    uint64_t virtual_ms;
};

/* A script of a call, read once. */
struct scene {
    char path[256];
    char name[64];
    struct slice text;
    struct script script;
};

struct options {
    uint64_t first;
    uint64_t seeds;
    uint32_t jobs;
    bool verbose;
    bool log;
    const char *only; /* name of one script, or NULL */
    struct scene scenes[SCRIPTS_MAX];
    uint32_t scene_count;
    char dir[128]; /* temporary, of this process */
};

/* What the product made of one simulated call. */
struct product_call {
    char call_id[CALL_ID_BYTES];
    struct actor_id id;
    uint32_t starts, stops, ends;
    int err;
    char what[88];
    enum call_phase phase;
};

enum caller_phase { CALLER_ASLEEP, CALLER_PLACING, CALLER_DIALS, CALLER_SPEAKS, CALLER_GONE };

/* One simulated caller. Its large memory is taken once and used by every seed. */
struct sim_caller {
    struct sim *sim;
    uint32_t index;
    enum caller_phase phase;
    const struct scene *scene;
    bool rtp;
    bool faulty;  /* faults of its own were planned: its script's expectations are not asked */
    bool raw_end; /* its script ends in a way that is a fault itself */
    bool connected;
    int64_t start_ns;
    int64_t hang_up_ns;  /* by the API, or NEVER_NS */
    int64_t patience_ns; /* when a script that does not end is given up */
    io_id id;
    struct address local;
    struct sim_rates rates;
    enum inner_fault provider_fault;
    uint32_t fault_after; /* so many times it goes well first */
    bool fault_once;
    bool fault_fatal;      /* a failure is one that no retry can help */
    uint32_t fault_places; /* providers of the role that it befalls, from the first */
    bool fallbacks;        /* its agent has a second provider for each role */
    bool saved;            /* its only fault is one that its fallback makes good */
    bool hit;              /* a fault did happen to it */
    bool lane_tts;
    enum script_result result;
    char why[WHY_MAX];
    enum { TOKEN_NONE, TOKEN_GOOD, TOKEN_BAD } token;
    struct product_call call;
    /* large, kept over seeds */
    struct caller *caller;
    struct caller_output *out;
    struct script_run *run;
    int16_t *ear;
    uint8_t *message;
    uint8_t *unsent;
    size_t unsent_len;
};

struct trace {
    int64_t at_ns;
    const char *actor;
    uint32_t slot;
    uint16_t host;
    uint16_t type;
    int32_t err;
};

/* A fault of the world that lasts: from when until when, and what is held meanwhile. */
struct spell {
    enum inner_fault kind;
    int64_t from_ns;
    int64_t until_ns;
    bool active;
    uint32_t shard;
    uint32_t type;   /* FAULT_SLOTS: which actor type */
    uint32_t worker; /* FAULT_LANE_SLOW */
    int64_t jump_ms;
    uint32_t count; /* held */
    uint32_t *slots;
    frame_ref *frames;
    uint32_t lane_free;
};

#define SPELLS_MAX 12

/* Somebody on the media port who never becomes a caller. */
struct stranger {
    io_id id;
    int64_t start_ns;
    int64_t connected_ns;
    int64_t next_ns;
    uint32_t words; /* which */
    size_t said;
    bool slowly; /* a byte at a time */
    bool connected;
    bool over;
};

#define STRANGERS_MAX 2

struct sim {
    const struct options *options;
    struct coverage *coverage;
    uint64_t seed;
    struct rand rand;
    int64_t now_ns;
    int64_t wall_shift_ms;
    struct sim_net *net;
    struct world world;
    struct config *config;
    struct token_key token_key;
    struct bundle *bundles[AGENTS_SIM];
    struct provider_ops ops[AGENTS_SIM][3];
    struct mesh *mesh;
    uint32_t shard_count;
    struct shard *shards[SHARDS_SIM];
    struct shard *control;
    struct actor *control_actor;
    bool rings_filled;
    int64_t calls_shown[SHARDS_SIM]; /* going on or expected, by each shard's last tree */
    int64_t control_until_ns;        /* it stands still until then */
    struct lane_map lanes;
    struct lane_worker *workers[WORKERS_SIM];
    enum lane worker_lane[WORKERS_SIM];
    int64_t worker_next_ns[WORKERS_SIM];
    int64_t worker_slow_ns[WORKERS_SIM]; /* slower until then */
    uint32_t worker_count;
    int64_t lane_sessions; /* open ones of the simulator's own engine */
    struct io *callers_io;
    struct frame_pool *callers_pool;
    struct sim_caller *callers; /* CALLERS_MAX */
    uint32_t caller_count;
    struct stranger strangers[STRANGERS_MAX];
    uint32_t stranger_count;
    bool disturbed; /* a fault of the world was planned: it may hit any call */
    bool draining;
    bool reoffer;
    int64_t drain_ns;
    uint32_t offered;  /* new versions that found their way to a shard */
    uint32_t released; /* agent versions that the switchboards gave back */
    struct spell spells[SPELLS_MAX];
    uint32_t spell_count;
    struct sim_rates net_rates; /* of what no caller has rates for */
    struct trace trace[TRACE_MAX];
    uint64_t traced;
    char journal_dir[160];
    char name[64];
    char why[WHY_MAX]; /* the first thing that was wrong; "" none */
};

/* ---- sim.c ---- */
/* Runs one seed; 0 or -1 with sim->why. The signature of the whole run comes back. */
int sim_run(struct sim *sim, const struct options *options, struct sim_caller *callers,
            struct coverage *coverage, uint64_t seed, uint64_t *signature);
/* Notes what is wrong; the first one counts. */
void sim_wrong(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_print_trace(const struct sim *sim);
const char *message_name(uint16_t type);
int64_t sim_wall_ms(struct sim *sim);
int64_t sim_draw_ms(struct sim *sim, int64_t least_ms, int64_t most_ms); /* in ns */
void count_fault(struct sim *sim, enum inner_fault fault);
const char *fault_name(uint32_t kind); /* of both lists, the outside's first */

/* ---- world.c ---- */
int world_build(struct sim *sim);
/* Frees everything; asserts what the runtime asserts. */
void world_free(struct sim *sim);
struct actor_id switchboard_of(uint32_t shard);

/* ---- control.c ---- */
extern const struct actor_type control_type;
void control_place(struct sim *sim, struct sim_caller *c);
void control_hang_up(struct sim *sim, const struct sim_caller *c);
void control_drain(struct sim *sim, int64_t deadline_ns);
void control_offer(struct sim *sim, uint32_t agent);
void control_ask_trees(struct sim *sim);

/* ---- callers.c ---- */
struct sim_caller *callers_new(void);
void callers_free(struct sim_caller **callers);
void callers_begin(struct sim *sim);
void callers_step(struct sim *sim);
bool callers_over(const struct sim *sim);
void caller_placed(struct sim_caller *c, int err, const struct address *peer);
struct frame_pool;
void callers_deliver(void *context, const struct io_event *e);

/* ---- strangers.c ---- */
void strangers_begin(struct sim *sim);
void strangers_step(struct sim *sim);
bool strangers_over(const struct sim *sim);
void strangers_hear(struct sim *sim, uint32_t index, const struct io_event *e);

/* ---- faults.c ---- */
/* Draws what goes wrong in this seed, before anything is built. */
void faults_plan(struct sim *sim);
void faults_step(struct sim *sim);
/* Gives back everything that is held. */
void faults_end(struct sim *sim);

/* ---- providers.c ---- */
/* Puts the simulator between the call and the scripted providers of this caller's agent. */
void providers_wrap(struct sim *sim, uint32_t agent, struct sim_caller *c);
void providers_of(struct sim *sim); /* whose callers are asked for faults */

/* ---- checks.c ---- */
/* After the last call has ended, before the roots are stopped. */
void check_calm(struct sim *sim);
/* After the roots have ended. */
void check_ended(struct sim *sim);
/* After everything was freed: the records. */
void check_records(struct sim *sim);

/* ---- coverage.c ---- */
void coverage_turns(struct coverage *coverage, uint64_t visited);
void coverage_failover(struct coverage *coverage, uint32_t role, enum followed what);
void coverage_phase(struct sim *sim, enum call_phase from, enum call_phase to);
/* Prints; false when something that must be reached was not. */
bool coverage_print(const struct coverage *coverage, bool must);

#endif
