/* What the files of the api actor share: its struct, its ops, and how it answers. api.c is the
 * actor; api_op.c keeps the requests that wait; api_health.c, api_calls.c, api_dial.c and
 * api_files.c serve the routes.
 * Control thread only; nobody else includes it. */
#ifndef PLATFORM_API_INNER_H
#define PLATFORM_API_INNER_H

#include "actors/messages.h"
#include "actors/platform/control_host.h"
#include "actors/platform/store_program.h"
#include "base/json.h"
#include "base/metrics.h"

#define OPS_MAX        64                /* requests that wait for others; beyond: 503 */
#define LOG_OPS_MAX    8                 /* of them, logs being read: each may be large */
#define LOG_BYTES_MAX  (4 * 1024 * 1024) /* of one answer; beyond: 500 */
#define ASK_NS         SECONDS(1)
#define CALL_NS        SECONDS(5)
#define LOG_NS         SECONDS(10)
#define LIST_DEFAULT   20
#define LIST_MAX       100
#define ANSWER_BYTES   98304
#define BODY_BYTES_MAX 65536
#define URL_BYTES      512
#define MESSAGE_BYTES  256

enum route {
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_DEEP,
    ROUTE_METRICS,
    ROUTE_ACTORS,
    ROUTE_TOKENS,
    ROUTE_CALL_PLACE,
    ROUTE_CALL_HANG_UP,
    ROUTE_CALL_PRESS,
    ROUTE_LOG,
    ROUTE_LOGS,
    ROUTE_RECORDING,
    ROUTE_TALK,
    ROUTE_CONSOLE,
};

/* What one shard said. */
struct shard_answer {
    int64_t took_ns;
    int64_t calls;
    int64_t queue_depth;
    bool said;
};

/* A request that waits. */
struct op {
    uint64_t request; /* 0: free */
    enum route route;
    uint32_t generation;
    uint32_t waiting; /* answers that have not come */
    int64_t began_ns;
    struct actor_timer deadline;
    struct shard_answer shards[SHARDS_MAX];
    int64_t store_ns; /* -1: has not answered */
    struct call_place_msg place;
    uint32_t shard; /* asked first */
    uint32_t tries;
    const struct carrier_http_ops *carrier; /* asked to call somebody; NULL: no carrier is */
    uint16_t status;                        /* of its answer */
    char range[HTTP_RANGE_BYTES_MAX];       /* of a recording */
    char *text;                             /* what came in pieces */
    size_t len;
    size_t size;
};

struct api {
    struct actor actor;
    struct lane_session store;
    struct op ops[OPS_MAX];
    uint32_t next_shard;
    uint8_t answer[ANSWER_BYTES]; /* composed here, copied by the server */
};

_Static_assert(METRICS_TEXT_BYTES_MAX <= ANSWER_BYTES, "a reading of the metrics fits");

static inline struct control_world *api_world(const struct api *api)
{
    return control_world_of(&api->actor);
}

static inline int64_t ms_of(int64_t span_ns)
{
    return ns_to_ms(span_ns);
}

/* ---- api_op.c ---- */

/* A writer over the actor's own buffer. */
struct jsonw answer_begin(struct api *api, struct builder *b);
void answer_fail(struct api *api, uint64_t request, uint16_t status, const char *code,
                 const char *message, const char *field);
/* False when the client has gone. */
bool answer_json(struct api *api, uint64_t request, uint16_t status, struct slice json);
bool answer_send(struct api *api, uint64_t request, uint16_t status, const struct jsonw *w);

uint32_t op_cookie(const struct api *api, const struct op *op);
/* NULL for a stale cookie. */
struct op *op_find(struct api *api, uint32_t cookie);
/* NULL when there is no room, which was answered. */
struct op *op_new(struct api *api, const struct http_ask *ask, int64_t time_ns);
void op_free(struct api *api, struct op *op);
/* More of what comes in pieces; false when it is too much. */
bool text_load(struct op *op, const void *at, size_t len);
/* The text of a message's frames at the end of the op's. */
bool frames_load(struct api *api, struct op *op, frame_ref ref);

/* ---- api_health.c: GET /health, /health/ready, /health/deep, /metrics, /actors ---- */
void on_health(struct api *api, const struct http_ask *ask);
void on_ready(struct api *api, const struct http_ask *ask);
void on_deep(struct api *api, const struct http_ask *ask);
void deep_finish(struct api *api, struct op *op);
void on_metrics(struct api *api, const struct http_ask *ask);
void on_actors(struct api *api, const struct http_ask *ask);
void actors_finish(struct api *api, struct op *op);
void on_tree(struct api *api, const struct msg *m);

/* ---- api_calls.c: POST /media-tokens, /calls, /calls/{id}/digits, DELETE /calls/{id},
 * GET /call-logs ---- */
void on_tokens(struct api *api, const struct http_ask *ask);
void on_call_place(struct api *api, const struct http_ask *ask);
void on_placed(struct api *api, const struct call_placed_msg *m, uint32_t shard);
void on_call_hang_up(struct api *api, const struct http_ask *ask);
void on_call_press(struct api *api, const struct http_ask *ask);
void on_pressed(struct api *api, const struct call_placed_msg *m);
void on_hung_up(struct api *api, const struct call_placed_msg *m);
void on_log(struct api *api, const struct http_ask *ask);
void on_logs(struct api *api, const struct http_ask *ask);
/* Where media WebSockets are reached by whoever sent this request: as media_base(), but where they
 * are on every address, the host that was asked. */
void api_media_base(const struct api *api, const struct http_ask *ask, char *out, size_t out_bytes);
void read_logs(struct api *api, const struct http_ask *ask, enum store_job job, struct slice bytes);
void on_emit(struct api *api, const struct msg *m);
void on_lane_done(struct api *api, const struct lane_msg *done);

/* ---- api_dial.c: POST /calls with a number ---- */
void on_dial(struct api *api, const struct http_ask *ask, const struct json_doc *doc,
             const struct agent *agent);
void on_net(struct api *api, const struct msg *m);

/* ---- api_files.c: GET /talk/{agent}, /console/{file}, /call-logs/{id}/recording ---- */
void on_talk_page(struct api *api, const struct http_ask *ask);
void on_console(struct api *api, const struct http_ask *ask);
void on_recording(struct api *api, const struct http_ask *ask);
/* The log is there: the file that it names goes out. */
void recording_reply(struct api *api, struct op *op);

#endif
