/* The control thread as a whole: its loop, its shard, the HTTP server and the two actors that live
 * there (keeper: the agents' versions; api: the routes). The main thread makes it before the other
 * threads start, so that a port in use is told in one sentence, and then becomes it. */
#ifndef PLATFORM_CONTROL_HOST_H
#define PLATFORM_CONTROL_HOST_H

#include "actors/world.h"
#include "actors/platform/console.h"
#include "config/agent_set.h"
#include "net/http_server.h"
#include "store/token.h"

/* What the actors of the control thread reach with shard_world(); world_of() is for the others. */
struct control_world {
    struct world *world;
    struct agent_set *agents;
    struct http_server *server;
    struct console *console;
    struct actor *keeper; /* slot 0, generation 1: the shards send AGENT_RELEASED there */
    struct actor *api;
    int64_t drained_by_ns; /* 0: not draining */
};

static inline struct control_world *control_world_of(const struct actor *a)
{
    return shard_world(a->shard);
}

/* The root of a shard is its first actor. */
static inline struct actor_id switchboard_of(uint32_t shard)
{
    return (struct actor_id){.shard = shard & 0xFFu, .slot = 0, .generation = 1};
}

/* The second of actors.def, and never a second time. */
static inline struct actor_id network_of(uint32_t shard)
{
    return (struct actor_id){.shard = shard & 0xFFu, .slot = 1, .generation = 1};
}

/* What the control thread tells its actors. */
enum control_message {
    KEEPER_RELOAD = 200, /* read every agent file again */
    SHARD_ENDED,         /* to the keeper: one shard runs no more */
    API_REQUEST,         /* api_request_msg */
    API_DRAIN,           /* the time to drain has begun, or is over */
};

struct api_request_msg {
    uint64_t id; /* of the HTTP request */
};

/* For http_server_setup: hands a request to the api. `context`: struct control_world. */
extern const struct http_route api_routes[];
extern const size_t api_route_count;
void api_on_request(void *context, const struct http_ask *ask);

struct control_host;

struct control_host_setup {
    struct world *world;
    struct agent_set *agents; /* loaded: the i-th is version i + 1 of the world's table */
    struct mesh *mesh;
    const struct lane_map *lanes;
    const char *config_path; /* read again on SIGHUP; NULL: there is no file */
    const char *(*env)(const char *name);
};

/* 0, or -errno with one sentence. */
MUST_USE int control_host_new(const struct control_host_setup *setup, struct control_host **out,
                              char *why, size_t why_bytes);
struct address control_host_local(const struct control_host *host);
/* Until SIGTERM or SIGINT came, the shards have drained and every one has said that it ended. A
 * second signal ends the draining. SIGHUP reads the agents and the configuration again: of this,
 * log.level and drain_seconds change, the log says what waits for a restart, and a bad file changes
 * nothing. */
void control_host_run(struct control_host *host);
/* On a shard's own thread, after shard_free() or where no shard could be made: tells the control
 * thread that shard `index` runs no more. */
void control_host_shard_ended(struct mesh *mesh, uint32_t index, uint32_t control_host);
void control_host_free(struct control_host **host);

#endif
