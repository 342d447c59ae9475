/* What every actor of this process may read: the configuration, the loaded agents, the parts of the
 * store that are written in place. Made at boot, before the first thread; afterwards only the table
 * of agents grows, filled by the control thread before it offers the new index in a message, and
 * each shard writes to a place of its own. Nobody else writes here; a shard reaches it with
 * world_of(). */
#ifndef ACTORS_WORLD_H
#define ACTORS_WORLD_H

#include "actors/call/turn.h"
#include "config/agent.h"
#include "config/config.h"
#include "media/vad.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "provider/provider.h"
#include "runtime/lane.h"
#include "store/journal.h"
#include "store/recording.h"
#include "store/token.h"

#define AGENT_VERSIONS_MAX 4096 /* since boot, freed ones are used again; beyond: no reload */

#define TLS_VERSIONS_MAX 64 /* of the media port's certificate since boot; beyond: no reload */

/* Numbers of the lane programs, the same in every worker. */
enum lane_program_id { PROGRAM_PROVIDER, PROGRAM_STORE, PROGRAM_RESOLVE, PROGRAM_COUNT };

#define PROVIDERS_MAX (AGENT_FALLBACKS_MAX + 1) /* of a role */

/* One provider of an agent, with what all calls that use it share. */
struct bundle_provider {
    const struct provider_ops *ops;
    struct provider_config config;
    struct provider_setting *settings;
};

/* Who may do one role of an agent, in the order in which they are tried. */
struct bundle_role {
    struct bundle_provider at[PROVIDERS_MAX];
    uint32_t count;
};

/* One version of an agent with all that its calls share. Immutable. */
struct bundle {
    struct agent *agent;
    struct bundle_role roles[3]; /* by enum provider_kind */
    struct provider_tool *tools; /* as the language model is told of them */
    struct turn_rules rules;
};

/* What the legs of one shard share, touched by its thread alone. */
struct legs_shared {
    struct vad_batch windows_8k, windows_16k; /* empty between two rounds */
    uint8_t apart[64];                        /* no cache line is two shards' */
};

struct world {
    const struct config *config;
    const char *data_dir;                            /* where records go */
    const char *share_dir;                           /* where agents, grammars and weights lie */
    const struct bundle *agents[AGENT_VERSIONS_MAX]; /* index 0 is none */
    struct vad_weights weights_8k;
    struct vad_weights weights_16k;
    const struct token_key *token_key;
    struct journal *journal;
    struct recording_file *recordings;
    struct address media_address;
    struct address rtp_address; /* port 0 */
    uint32_t control_host;
    uint32_t generation; /* of this process: store/generation.h */
    uint16_t process;    /* and its number, for data directories on different machines */
    uint32_t shards;
    struct legs_shared legs[SHARDS_MAX]; /* by shard_index() */
    const struct lane_program *programs[PROGRAM_COUNT];
    struct tls_context *media_tls[TLS_VERSIONS_MAX]; /* index 0: none, plain */
    uint32_t media_tls_first;                        /* boot's; later ones are offered */
    struct tls_context *tls_client;                  /* for providers' sockets; NULL: no wss */
    /* Makes a shard's way to HTTP servers; NULL: there is none. */
    int (*http_new)(const struct http_setup *setup, struct http **out);
};

static inline struct world *world_of(const struct actor *a)
{
    return shard_world(a->shard);
}

/* Arguments of PROGRAM_PROVIDER: which plug-in of which agent. */
struct provider_lane_args {
    uint32_t agent;
    uint32_t kind;  /* enum provider_kind */
    uint32_t place; /* in its role's order */
};

/* ---- bundles (control thread; may block) ---- */

/* Resolves the agent's providers and loads what they share. Takes the agent's reference on success.
 * 0 or -errno; each provider that is not usable has a line of `why`, with file, line and key. */
MUST_USE int bundle_new(struct agent *agent, const char *share_dir, struct bundle **out, char *why,
                        size_t why_bytes);
void bundle_free(struct bundle **bundle);

#endif
