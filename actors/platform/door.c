/* Behind every new connection on the media port: reads one HTTP request within its bounds of time
 * and memory, and either hands the upgraded socket to a leg, or answers and closes. Child of the
 * switchboard.
 *
 *   READING ── head ──▶ ASKING (the switchboard) ──▶ 101 and a leg, or an error ──▶ gone */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/text.h"
#include "actors/world.h"
#include "carrier/carrier.h"
#include "carrier/carrier_http.h"
#include "net/http_head.h"
#include "net/stream.h"
#include "net/websocket.h"

extern const struct actor_type leg_websocket_type, answering_type;

enum state { READING, ASKING, ANSWERED };

static const char *const state_names[] = {
    [READING] = "reading", [ASKING] = "asking", [ANSWERED] = "answered"};

struct door {
    struct actor actor;
    enum state state;
    struct stream stream;
    struct address peer;
    struct actor_timer deadline;
    bool token_given;
    bool handing; /* it is a carrier's request: somebody else answers it */
    enum carrier_path path;
    char name[AGENT_NAME_BYTES];
    char key[WS_KEY_CHARS + 1];
    struct http_head head;
    struct slice beyond; /* received in this handler and not in `bytes` for want of room */
    size_t len;
    uint8_t bytes[HTTP_HEAD_BYTES_MAX + 1024];
};

static void send_bytes(struct door *d, struct slice bytes)
{
    if (stream_send(&d->stream, &d->actor, bytes))
        log_debug("door", NULL, "an answer could not be sent");
}

/* Answers with an error and ends. */
static void refuse(struct door *d, uint16_t status, const char *what)
{
    struct builder b = text_builder(&d->actor);
    char peer[ADDRESS_TEXT_BYTES];

    http_respond_error(&b, &d->head, status, what);
    send_bytes(d, builder_slice(&b));
    log_info("door", NULL, "%s was answered %u: %s", address_text(&d->peer, peer), status, what);
    d->state = ANSWERED;
    actor_stop_self(&d->actor, REASON(0, "answered"));
}

/* ---- the request ---- */

/* What follows the part of the path that says what is spoken there; empty: nothing is. */
static struct slice read_path(struct door *d)
{
    static const struct {
        const char *prefix;
        enum carrier_path path;
    } paths[] = {{"/media/", CARRIER_PATH_MEDIA}, {"/browser/agent/", CARRIER_PATH_BROWSER}};
    struct slice path = d->head.path;

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct slice prefix = slice_str(paths[i].prefix);
        if (!slice_starts(path, prefix))
            continue;
        d->path = paths[i].path;
        return slice_of(path.at + prefix.len, path.len - prefix.len);
    }
    return SLICE_NONE;
}

/* "/media/AGENT" or "/media/AGENT/TOKEN"; the token may also be the query's. */
static int read_target(struct door *d, char *token, size_t token_bytes)
{
    struct slice path = read_path(d), name, rest;
    struct builder b = builder_of(d->name, sizeof(d->name) - 1);
    int err;

    token[0] = '\0';
    name = slice_cut(path, '/', &rest);
    if (name.len == 0 || http_unescape(name, false, &b))
        return -ENOENT;
    d->name[b.len] = '\0';
    if (rest.len) {
        struct builder t = builder_of(token, token_bytes - 1);
        err = http_unescape(rest, false, &t);
        token[err ? 0 : t.len] = '\0';
        return err;
    }
    err = http_arg(d->head.query, "token", token, token_bytes);
    return err == -ENOENT ? 0 : err;
}

static void ask(struct door *d, const char *token, bool from_browser)
{
    struct admit_msg body = {.token_given = token[0] != '\0',
                             .token_not_asked = !from_browser &&
                                                !config_token_needed(world_of(&d->actor)->config)};

    snprintf(body.agent, sizeof(body.agent), "%s", d->name);
    d->token_given = body.token_given;
    d->state = ASKING;
    actor_send_body(&d->actor, d->actor.parent->id, ADMIT, IF_FULL_STOP,
                    text_frame(&d->actor, slice_str(token)), &body, sizeof(body));
}

/* "/twilio/voice", "/plivo/answer", "/answer": what a carrier does besides opening a socket. */
static bool carrier_asks(const struct door *d)
{
    struct slice rest, name = slice_of(d->head.path.at + 1, d->head.path.len - 1);

    if (d->head.method != HTTP_GET && d->head.method != HTTP_POST)
        return false;
    return slice_equal(name, SLICE("answer")) || carrier_http_named(slice_cut(name, '/', &rest));
}

/* `read`: all that has come of the request. */
static void hand_request_over(struct door *d, const struct builder *read)
{
    struct door_start_msg args = {.stream = d->stream.id, .peer = d->peer};
    struct leg_socket_msg body = {.stream = d->stream.id};
    struct io *io = shard_io(d->actor.shard);
    struct actor *answering = actor_spawn(d->actor.shard, &answering_type, d->actor.parent, 0,
                                          &args, sizeof(args), FRAME_NONE);

    if (!answering || read->bad) {
        refuse(d, read->bad ? 413 : 503, "too large, or too many requests at once");
        return;
    }
    io->ops->stream_pause(io, d->stream.id, true); /* what follows comes after what was read */
    if (stream_give(&d->stream, &d->actor, answering)) {
        actor_stop(d->actor.shard, answering->id, REASON(ENOBUFS, "no room for another socket"));
        actor_stop_self(&d->actor, REASON(ENOBUFS, "no room for another socket"));
        return;
    }
    actor_send_body(&d->actor, answering->id, ANSWERING_SOCKET, IF_FULL_STOP,
                    text_frame(&d->actor, builder_slice(read)), &body, sizeof(body));
    d->state = ANSWERED;
    actor_stop_self(&d->actor, REASON(0, "handed over"));
}

static void on_request(struct door *d)
{
    struct http_upgrade up;
    const char *what = "";
    char token[512];

    d->handing = !http_wants_upgrade(&d->head) && carrier_asks(d);
    if (d->handing)
        return;
    if (!http_wants_upgrade(&d->head)) {
        refuse(d, d->head.method == HTTP_GET ? 404 : 405, "this port speaks WebSocket media");
        return;
    }
    uint16_t status = http_upgrade_check(&d->head, &up, &what);
    if (status) {
        refuse(d, status, what);
        return;
    }
    int err = read_target(d, token, sizeof(token));
    if (err) {
        refuse(d, err == -ENOENT ? 404 : 400, "the media path is /media/AGENT");
        return;
    }
    if (slice_cstr(up.key, d->key, sizeof(d->key))) {
        refuse(d, 400, "Sec-WebSocket-Key is too long");
        return;
    }
    ask(d, token, up.origin.len > 0);
}

static void on_bytes(struct door *d, struct slice in)
{
    size_t room = sizeof(d->bytes) - d->len, taken = in.len < room ? in.len : room;

    memcpy(d->bytes + d->len, in.at, taken);
    d->len += taken;
    d->beyond = slice_of(in.at + taken, in.len - taken);
    if (d->beyond.len && d->state != READING) {
        refuse(d, 431, "the request is too large");
        return;
    }
    if (d->state != READING)
        return; /* frames sent before our 101: kept for the leg */
    struct http_result result = http_request(&d->head, slice_of(d->bytes, d->len));
    if (result.outcome == HTTP_BAD) {
        refuse(d, result.status, result.what);
    } else if (result.outcome == HTTP_OK) {
        on_request(d);
        if (d->handing)
            return;
        /* What follows the head goes to the leg. The head's slices are not read again. */
        memmove(d->bytes, d->bytes + result.used, d->len - result.used);
        d->len -= result.used;
    }
    if (d->beyond.len && d->state != ANSWERED)
        refuse(d, 431, "the request is too large");
}

/* ---- the answer ---- */

static void hand_over(struct door *d, uint32_t agent)
{
    struct builder b = text_builder(&d->actor);
    struct leg_websocket_start_msg args = {
        .agent = agent, .token_given = d->token_given, .path = (uint8_t)d->path};
    struct leg_socket_msg body = {.stream = d->stream.id};

    memcpy(args.name, d->name, sizeof(args.name));
    struct actor *leg = actor_spawn(d->actor.shard, &leg_websocket_type, d->actor.parent,
                                    d->actor.role, &args, sizeof(args), FRAME_NONE);
    if (!leg) {
        refuse(d, 503, "no room for another call");
        return;
    }
    d->actor.role = ROLE_STRANGER; /* the place that is kept goes with the socket */
    ws_build_101(&b, slice_str(d->key), SLICE_NONE);
    send_bytes(d, builder_slice(&b));
    if (stream_give(&d->stream, &d->actor, leg)) {
        actor_stop(d->actor.shard, leg->id, REASON(ENOBUFS, "no room for another socket"));
        actor_stop_self(&d->actor, REASON(ENOBUFS, "no room for another socket"));
        return;
    }
    actor_send_body(&d->actor, leg->id, LEG_SOCKET, IF_FULL_STOP,
                    text_frame(&d->actor, slice_of(d->bytes, d->len)), &body, sizeof(body));
    d->state = ANSWERED;
    actor_stop_self(&d->actor, REASON(0, "handed over"));
}

static void on_admitted(struct door *d, const struct admitted_msg *m)
{
    if (d->state != ASKING)
        return;
    if (m->err == 0)
        hand_over(d, m->agent);
    else if (m->err == EACCES && !d->token_given)
        hand_over(d, 0); /* its first messages may still bring one */
    else if (m->err == ENOENT)
        refuse(d, 404, "there is no such agent");
    else if (m->err == EACCES)
        refuse(d, 401, "the media token is missing, expired or used");
    else
        refuse(d, 503, "no room for another call");
}

/* A carrier's request is handed over with everything that this handler has of it. */
static void gather(struct door *d, struct slice plain, struct builder *read)
{
    if (d->handing) {
        builder_slice_add(read, plain);
        return;
    }
    on_bytes(d, plain);
    if (d->handing) {
        builder_bytes(read, d->bytes, d->len);
        builder_slice_add(read, d->beyond);
    }
}

static void on_data(struct door *d, struct slice received)
{
    struct slice room = shard_large_scratch(d->actor.shard), plain;
    struct builder read = text_builder(&d->actor);
    int rc = stream_feed(&d->stream, &d->actor, received);

    while (rc == 0 && d->state != ANSWERED &&
           (rc = stream_next(&d->stream, &d->actor, (void *)(uintptr_t)room.at, TLS_RECORD_BYTES,
                             &plain)) > 0) {
        gather(d, plain, &read);
        rc = 0;
    }
    if (rc == 0 && d->handing && d->state != ANSWERED)
        hand_request_over(d, &read);
    if (rc < 0 && d->state != ANSWERED) {
        log_info("door", NULL, "a peer was turned away: %s", stream_what(&d->stream));
        d->state = ANSWERED;
        actor_stop_self(&d->actor, REASON(-rc, "TLS failed"));
    }
}

/* ---- life ---- */

static void start(struct door *d, const struct msg *m)
{
    const struct door_start_msg *args = msg_body(m, door_start_msg);

    const struct world *world = world_of(&d->actor);
    struct tls *tls = args->tls ? tls_new(world->media_tls[args->tls], NULL, 0) : NULL;

    stream_init(&d->stream, args->stream, tls);
    d->peer = args->peer;
    if (args->tls && !tls)
        actor_stop_self(&d->actor, REASON(ENOMEM, "no memory for a TLS connection"));
    actor_timer_set(&d->actor, &d->deadline, 0, shard_now(d->actor.shard) + PEER_UNKNOWN_NS);
}

static void door_handle(struct actor *a, const struct msg *m)
{
    struct door *d = container_of(a, struct door, actor);

    switch (m->type) {
    case MSG_START:
        start(d, m);
        break;
    case MSG_STOP:
        actor_timer_cancel(a, &d->deadline);
        stream_close(&d->stream, a, true);
        actor_end(a);
        break;
    case MSG_DATA:
        on_data(d, shard_received(a->shard));
        break;
    case MSG_CLOSED:
        stream_gone(&d->stream);
        actor_stop_self(a, REASON(0, "the peer left"));
        break;
    case MSG_TIMER:
        refuse(d, 408, "the request took too long");
        break;
    case ADMITTED:
        on_admitted(d, msg_body(m, admitted_msg));
        break;
    default:
        break;
    }
}

static const char *door_state(const struct actor *a)
{
    return state_names[container_of(a, struct door, actor)->state];
}

_Static_assert(sizeof(struct door) <= PEER_UNKNOWN_BYTES_MAX / 2, "a leg may come beside it");

const struct actor_type door_type = {
    .name = "door", .size_bytes = sizeof(struct door), .handle = door_handle, .state = door_state};
