/* The network half of an engine: its plug-in's one socket and one request, tried again with
 * patience, and the caller's sound of the present utterance, so that a recogniser whose socket
 * broke hears it once more. Made when a plug-in first asks for the network; embedded, by pointer,
 * in its engine, on that shard. It decides nothing about words.
 *
 *   socket:   OFF ─ CONNECT ─▶ NAMING ─▶ OPENING ─▶ OPEN ─ lost ─▶ OFF     (WAITING between tries)
 *   request:  OFF ─ REQUEST ─▶ ASKED ─ status ─▶ STREAMING ─ end ─▶ OFF    (WAITING between tries)
 */
#ifndef CALL_ENGINE_NET_H
#define CALL_ENGINE_NET_H

#include "actors/call/engine.h"
#include "net/ws_client.h"

#define ENGINE_URL_BYTES    (URL_TARGET_BYTES + 300)
#define ENGINE_TRIES        4           /* of one CONNECT or REQUEST: at once, after 1, 2 and 4 s */
#define ENGINE_TRIES_SHORT  2           /* where a fallback stands behind it: nobody waits 7 s */
#define ENGINE_STABLE_NS    SECONDS(5)  /* a socket open for so long was a good one */
#define ENGINE_FORGET_NS    SECONDS(60) /* without a failure: those before do not count */
#define ENGINE_REPLAY_MS    10000       /* of an utterance; the oldest is dropped */
#define ENGINE_QUEUED_MAX   32          /* frames towards the peer while sound is repeated */
#define ENGINE_PIECE_MS     100         /* of repeated sound in one input */
#define ENGINE_RETRY_MAX_MS 4000        /* a server that asks for more patience is not waited for */

enum engine_socket_state { SOCKET_OFF, SOCKET_NAMING, SOCKET_WAITING, SOCKET_OPENING, SOCKET_OPEN };
enum engine_request_state { REQUEST_OFF, REQUEST_WAITING, REQUEST_ASKED, REQUEST_STREAMING };

/* The utterance as far as it was said, for a socket that comes late or anew. Stt only. */
struct engine_replay {
    bool on;       /* an utterance is going on */
    bool finished; /* INPUT_FINISH has come */
    bool begun;    /* this socket was given INPUT_SPEECH, and */
    bool ended;    /* INPUT_FINISH */
    uint32_t epoch;
    size_t given;         /* bytes of `sound` given to this socket */
    size_t kept;          /* acknowledged: not to be repeated */
    int64_t offset;       /* bytes since OPENED + this = position in `sound` */
    int64_t since_opened; /* bytes given since OPENED */
    size_t len;
    size_t size;
    uint8_t *sound;
};

struct engine_net {
    struct engine *engine;
    uint16_t label; /* of the plug-in: its place in providers.def */
    struct {
        enum engine_socket_state state;
        struct ws_client *client;
        struct actor_timer timer;
        struct url url;
        size_t head_len;
        uint8_t head[WS_CLIENT_HEAD_BYTES];
        uint32_t cookie; /* of the name being resolved */
        uint32_t tries;  /* that failed, in a row */
        uint64_t permit;
        int64_t began_ns, opened_ns, failed_ns;
    } socket;
    struct {
        enum engine_request_state state;
        struct actor_timer timer;
        uint32_t cookie;
        uint32_t tries;
        uint32_t epoch;
        uint32_t url_bytes, head_bytes;
        frame_ref asked; /* URL, head and body; held until the status */
    } request;
    struct engine_replay replay;
    bool paused;
    int err; /* INPUT_CLOSED that is to be given at the next round: why */
    const char *what;
};

/* NULL without memory. */
struct engine_net *engine_net_new(struct engine *e);
void engine_net_free(struct engine_net **net);

/* Intents. */
void engine_net_connect(struct engine_net *n, const struct provider_intent *intent);
void engine_net_request(struct engine_net *n, const struct provider_intent *intent);
/* 0 or -errno; -ENOBUFS: the peer does not read. */
MUST_USE int engine_net_send(struct engine_net *n, const struct provider_intent *intent);
void engine_net_close(struct engine_net *n, uint32_t flag);

/* An input of the actor on its way to the plug-in: true when it waits for the socket instead. */
bool engine_net_holds(struct engine_net *n, const struct provider_input *input);
/* What the plug-in says of the utterance. */
void engine_net_event(struct engine_net *n, const struct provider_intent *event);
/* A message that is the network's: true when it took it. */
bool engine_net_handle(struct engine_net *n, const struct msg *m);
/* Stops and resumes what comes in. */
void engine_net_pause(struct engine_net *n, bool pause);

#endif
