/* Answers the HTTP API: a request comes as a message, what it needs is asked of the shards and the
 * store lane, and the answer goes out when it is complete or its time is over. Nothing here waits:
 * each request that has to ask is an `op` with a deadline. One, on the control thread. */
#include "actors/platform/api_inner.h"
#include "store/generation.h"

#include <string.h>

const struct http_route api_routes[] = {
    {"GET", "/health", ROUTE_HEALTH},
    {"GET", "/health/ready", ROUTE_READY},
    {"GET", "/health/deep", ROUTE_DEEP},
    {"GET", "/metrics", ROUTE_METRICS},
    {"GET", "/actors", ROUTE_ACTORS},
    {"POST", "/media-tokens", ROUTE_TOKENS},
    {"POST", "/calls", ROUTE_CALL_PLACE},
    {"DELETE", "/calls/{}", ROUTE_CALL_HANG_UP},
    {"POST", "/calls/{}/digits", ROUTE_CALL_PRESS},
    {"GET", "/call-logs/{}", ROUTE_LOG},
    {"GET", "/call-logs", ROUTE_LOGS},
    {"GET", "/call-logs/{}/recording", ROUTE_RECORDING},
    {"GET", "/talk/{}", ROUTE_TALK},
    {"GET", "/console/{}", ROUTE_CONSOLE},
};
const size_t api_route_count = ARRAY_LEN(api_routes);

/* ---- the end of an op ---- */

static bool merges(const struct op *op)
{
    return op->route == ROUTE_DEEP || op->route == ROUTE_ACTORS;
}

/* Every answer that was waited for has come, or what is there must do. */
static void op_finish(struct api *api, struct op *op)
{
    if (op->route == ROUTE_DEEP)
        deep_finish(api, op);
    else if (op->route == ROUTE_ACTORS)
        actors_finish(api, op);
    op_free(api, op);
}

static void finish_complete(struct api *api)
{
    for (uint32_t i = 0; i < OPS_MAX; i++)
        if (api->ops[i].request && api->ops[i].waiting == 0)
            op_finish(api, &api->ops[i]);
}

static void on_deadline(struct api *api, uint32_t cookie)
{
    struct op *op = op_find(api, cookie);

    if (!op)
        return;
    if (!merges(op))
        answer_fail(api, op->request, 504, "timeout",
                    "the server's other parts did not answer in time", NULL);
    op_finish(api, op);
}

/* ---- requests ---- */

/* A page of somebody else's, open in a browser on this machine, reaches this port too; it may not
 * read answers, but it must not have calls placed or tokens made either. Where its name has been
 * made to lead here it might read answers: on loopback only our own names are answered. Elsewhere
 * this machine has names that nobody told us, and something before it that knows who may. */
static bool is_foreign(struct api *api, const struct http_ask *ask)
{
    const struct config *config = api_world(api)->world->config;
    const char *host = strstr(config->public_url, "://");
    struct slice known = slice_str(host ? host + 3 : "");

    if (config->api_bind.loopback && !http_ask_by_own_name(ask, known))
        return true;
    return strcmp(ask->route->method, "GET") != 0 && !http_ask_own(ask, known);
}

static void dispatch(struct api *api, const struct http_ask *ask)
{
    if (is_foreign(api, ask)) {
        metrics_add(METRIC_HTTP_FOREIGN, 1);
        answer_fail(api, ask->id, 403, "foreign_origin",
                    "a page of another site may not ask this, "
                    "nor on loopback one asked by a name other than localhost or public_url's",
                    NULL);
        return;
    }
    switch ((enum route)ask->route->tag) {
    case ROUTE_HEALTH:
        on_health(api, ask);
        break;
    case ROUTE_READY:
        on_ready(api, ask);
        break;
    case ROUTE_DEEP:
        on_deep(api, ask);
        break;
    case ROUTE_METRICS:
        on_metrics(api, ask);
        break;
    case ROUTE_ACTORS:
        on_actors(api, ask);
        break;
    case ROUTE_TOKENS:
        on_tokens(api, ask);
        break;
    case ROUTE_CALL_PLACE:
        on_call_place(api, ask);
        break;
    case ROUTE_CALL_HANG_UP:
        on_call_hang_up(api, ask);
        break;
    case ROUTE_CALL_PRESS:
        on_call_press(api, ask);
        break;
    case ROUTE_LOG:
        on_log(api, ask);
        break;
    case ROUTE_LOGS:
        on_logs(api, ask);
        break;
    case ROUTE_RECORDING:
        on_recording(api, ask);
        break;
    case ROUTE_TALK:
        on_talk_page(api, ask);
        break;
    case ROUTE_CONSOLE:
        on_console(api, ask);
        break;
    }
}

void api_on_request(void *context, const struct http_ask *ask)
{
    struct control_world *world = context;
    struct api_request_msg body = {.id = ask->id};

    if (!actor_send_body(world->api, world->api->id, API_REQUEST, IF_FULL_DROP, FRAME_NONE, &body,
                         sizeof(body)))
        http_server_fail(world->server, ask->id, 503, "busy", "the server is busy", NULL);
}

static void on_request(struct api *api, uint64_t id)
{
    const struct http_ask *ask = http_server_find(api_world(api)->server, id);

    if (ask) /* else the client has gone */
        dispatch(api, ask);
}

/* ---- life ---- */

/* A new generation on the same port takes all requests; without one the API stays, so that it can
 * be seen what is waited for. */
static void drain(struct api *api)
{
    const struct world *world = api_world(api)->world;
    struct drain_msg body = {.deadline_ns = api_world(api)->drained_by_ns};

    if (generation_passed(world->data_dir, world->generation))
        http_server_quiet(api_world(api)->server);
    for (uint32_t i = 0; i < api_world(api)->world->shards; i++)
        if (!actor_send_body(&api->actor, switchboard_of(i), DRAIN, IF_FULL_DROP, FRAME_NONE, &body,
                             sizeof(body)))
            log_error("api", NULL, "shard %u could not be told to drain: signal again", i);
}

static void stop(struct api *api)
{
    for (uint32_t i = 0; i < OPS_MAX; i++) {
        if (!api->ops[i].request)
            continue;
        answer_fail(api, api->ops[i].request, 503, "ending", "the server is ending", NULL);
        op_free(api, &api->ops[i]);
    }
    lane_close(&api->actor, &api->store);
    actor_end(&api->actor);
}

static void api_handle(struct actor *a, const struct msg *m)
{
    struct api *api = container_of(a, struct api, actor);

    switch (m->type) {
    case MSG_START:
        if (lane_open(a, LANE_STORE, PROGRAM_STORE, NULL, 0, &api->store))
            log_error("api", NULL, "the store lane cannot be reached");
        break;
    case MSG_STOP:
        stop(api);
        break;
    case MSG_TIMER:
        on_deadline(api, msg_body(m, timer_msg)->tag);
        break;
    case MSG_LANE_EMIT:
        on_emit(api, m);
        break;
    case MSG_LANE_DONE:
        on_lane_done(api, msg_body(m, lane_msg));
        break;
    case API_REQUEST:
        on_request(api, msg_body(m, api_request_msg)->id);
        break;
    case API_DRAIN:
        drain(api);
        break;
    case TREE:
        on_tree(api, m);
        break;
    case CALL_PLACED:
        on_placed(api, msg_body(m, call_placed_msg), m->from.shard);
        break;
    case CALL_PRESSED:
        on_pressed(api, msg_body(m, call_placed_msg));
        break;
    case CALL_HUNG_UP:
        on_hung_up(api, msg_body(m, call_placed_msg));
        break;
    case NET_STATUS:
    case NET_CHUNK:
    case NET_END:
    case NET_FAILED:
        on_net(api, m);
        break;
    default:
        break;
    }
    finish_complete(api);
}

const struct actor_type api_type = {
    .name = "api", .size_bytes = sizeof(struct api), .handle = api_handle};
