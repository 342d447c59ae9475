/* Drives the provider plug-in in use for the actor that owns it (stt, llm or tts): feeds it inputs,
 * carries out its intents (jobs on its lane session; a socket and a request by engine_net.h), wakes
 * it at its deadline, and hands its events to the actor. Embedded in that actor, on its shard; it
 * decides nothing: failover.h says when another plug-in of the role takes over. */
#ifndef CALL_ENGINE_H
#define CALL_ENGINE_H

#include "actors/messages.h"
#include "actors/world.h"

/* Tags of its timers among the actor's. */
#define ENGINE_TIMER_TAG   0xE0u
#define ENGINE_SOCKET_TAG  0xE1u
#define ENGINE_REQUEST_TAG 0xE2u
#define ENGINE_WS_TAG      0xE3u

struct engine;

/* One event of the plug-in; its text lives until the handler returns. */
typedef void engine_event(struct actor *a, const struct provider_intent *event);

/* Why the plug-in in use will not do, until failover_take() is asked. */
struct engine_failure {
    bool any;
    bool fatal; /* no use to go on with it */
    uint32_t epoch;
    int32_t status;
    char what[PROVIDER_WHAT_BYTES];
};

/* What each input touches comes first, two cache lines. */
struct engine {
    _Alignas(64) struct actor *actor;
    const struct provider_ops *ops;
    const struct provider_config *config;
    void *state;            /* memory taken at the start and given back at the stop */
    struct engine_net *net; /* NULL until the plug-in asks for the network */
    int64_t grace_ns;       /* the plug-in's deadlines do not pass before: NEVER_NS in a pause */
    enum provider_input_kind input; /* the one being carried out */
    uint32_t jobs;                  /* sent and not done */
    bool stopped;
    struct actor_timer timer;
    struct engine_failure failure; /* its first member is looked at each time */
    uint32_t agent;                /* whose plug-ins these are, */
    enum provider_kind kind;       /* in which role, */
    uint32_t place;                /* and which of them is in use */
    uint32_t cookie; /* last one given to the network: those of the one before are known */
    engine_event *on_event;
    struct lane_session session;
};

/* 0 or -errno: no lane session, or no memory, to be had. */
MUST_USE int engine_start(struct engine *e, struct actor *a, uint32_t agent,
                          enum provider_kind kind, engine_event *on_event);
/* Of the plug-in in use, as agents write it; NULL before the start. */
const char *engine_name(const struct engine *e);
/* How many of the role come after the one in use. */
uint32_t engine_left(const struct engine *e);
/* Lets go of the plug-in in use and starts the next of its role, of which there must be one. Not
 * from within on_event. 0 or -errno, as engine_start(). */
MUST_USE int engine_next(struct engine *e);
/* EVENT_FAILED, or what the actor itself finds wrong: the first one counts. */
void engine_fail(struct engine *e, const struct provider_intent *event);
/* The same of the actor's own words; `err` is an errno, and not for ever. */
void engine_fail_with(struct engine *e, uint32_t epoch, int err, const char *what);
/* Everything a plug-in is fed goes through here. */
void engine_input(struct engine *e, struct provider_input *input);
/* Shorthand: an input with an epoch and bytes. */
void engine_command(struct engine *e, enum provider_input_kind kind, uint32_t epoch,
                    struct slice data);
/* The same, past what waits for a socket. */
void engine_feed(struct engine *e, struct provider_input *input);
/* Stops and resumes what comes from the network: the actor has no room for it. The plug-in's
 * deadlines stand still meanwhile, and until what was waiting has had time to come. */
void engine_pause(struct engine *e, bool pause);
/* Messages that concern the engine (lane, network, its timers): true when it took one. */
bool engine_handle(struct engine *e, const struct msg *m);
/* Jobs of this epoch and older are dropped, the plug-in is told. */
void engine_cancel(struct engine *e, uint32_t epoch);
void engine_stop(struct engine *e);

/* The lane side of all local engines: PROGRAM_PROVIDER. `world` is set once at boot. */
extern const struct lane_program engine_program;
void engine_program_world(struct world *world);
void engine_program_memory_close(void *memory);

#endif
