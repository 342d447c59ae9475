/* What a shard knows of the world outside: names (asked of the dns lane and remembered), which
 * servers answer (a breaker each), and HTTP requests on their way. One on each shard, beside the
 * switchboard, for every actor of the shard; it ends with the switchboard.
 *
 *   asker ── NET_RESOLVE ──▶ breaker ─▶ cache ─▶ dns lane ──▶ NET_RESOLVED
 *   asker ── NET_REQUEST ──▶ breaker ─▶ cache ─▶ dns lane ──▶ http ──▶ NET_STATUS, NET_CHUNK, ...
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/metrics.h"
#include "base/url.h"
#include "net/breaker.h"
#include "net/net_guard.h"
#include "net/resolve.h"

#define DEADLINE_TAG 1u
#define HTTP_TAG     2u
#define WAITERS_MAX  1024 /* for a name; beyond: refused */
#define QUERIES_MAX  4    /* names at the lane at once, one a worker */
#define NAME_WAIT_NS SECONDS(5)

/* One who waits for a name: an actor, or a request of `asks`. */
struct waiter {
    struct resolve_entry *name; /* NULL: free */
    struct actor_id asker;
    uint32_t cookie;
    uint32_t ask; /* index + 1 of the request, or 0 */
    uint16_t port;
    bool guarded;
    uint64_t permit;
    int64_t late_ns;
};

/* One session of the lane, on a worker of its own. */
struct query {
    struct lane_session session;
    struct resolve_entry *name; /* being asked about */
};

struct ask {
    struct actor_id asker; /* nobody: free */
    uint32_t cookie;
    uint32_t http; /* its number there */
    uint16_t label;
    uint64_t permit;
};

struct network {
    struct actor actor;
    struct http *http;
    io_id watched;
    struct actor_timer name_timer;
    struct actor_timer http_timer;
    uint32_t waiting;
    struct query queries[QUERIES_MAX];
    struct waiter waiters[WAITERS_MAX];
    struct ask asks[HTTP_ASKS_MAX];
    struct breakers breakers;
    struct resolve_cache cache;
};

static const char *label_name(uint32_t label)
{
    const struct provider_ops *ops = label == NET_LABEL_NONE ? NULL : provider_at(label);

    return ops ? ops->name : "a server";
}

/* ---- breakers ---- */

static void say_breaker(const struct breaker *b, bool was_open)
{
    metrics_change_of(METRIC_PROVIDER_BREAKERS, b->label, (b->state == BREAKER_OPEN) - was_open);
    if (b->state == BREAKER_CLOSED)
        log_info("network", NULL, "%s answers again", label_name(b->label));
    else
        log_warn("network", NULL, "%s has failed %u times in a row: it is not asked for a while",
                 label_name(b->label), b->failures);
}

static void report(struct network *n, uint64_t permit, enum net_outcome outcome)
{
    int64_t now_ns = shard_now(n->actor.shard);
    bool changed = false;

    for (size_t i = 0; i < BREAKERS_MAX && permit; i++) {
        struct breaker *b = &n->breakers.at[i];
        if (b->key != permit)
            continue;
        bool was_open = b->state != BREAKER_CLOSED;
        changed = outcome == NET_GOOD  ? breaker_good(b)
                  : outcome == NET_BAD ? breaker_bad(b, now_ns)
                                       : breaker_neither(b, now_ns);
        if (changed)
            say_breaker(b, was_open);
        return;
    }
}

/* The permit, or 0 when the breaker is open. */
static uint64_t permit_for(struct network *n, uint16_t label, const char *host, uint16_t port)
{
    int64_t now_ns = shard_now(n->actor.shard);
    uint64_t key = breaker_key(label, slice_str(host), port);

    return breaker_allows(breaker_find(&n->breakers, key, label, now_ns), now_ns) ? key : 0;
}

/* ---- answering ---- */

static void answer_name(struct network *n, const struct waiter *w, int err,
                        const struct address *address)
{
    struct net_resolved_msg body = {.cookie = w->cookie, .err = err, .permit = w->permit};

    if (!err) {
        body.address = *address;
        body.address.port = w->port;
        body.err = w->guarded && !net_guard_public(address) ? EACCES : 0;
    }
    if (body.err)
        report(n, w->permit, err && err != EBUSY ? NET_BAD : NET_NEITHER);
    actor_send_body(&n->actor, w->asker, NET_RESOLVED, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
}

static void fail_ask(struct network *n, struct ask *ask, int err, const char *what)
{
    struct net_failed_msg body = {.cookie = ask->cookie, .err = err};

    snprintf(body.what, sizeof(body.what), "%s", what);
    actor_send_body(&n->actor, ask->asker, NET_FAILED, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
    *ask = (struct ask){0};
}

static void http_timer(struct network *n)
{
    int64_t at_ns = n->http->ops->deadline(n->http);

    if (at_ns == NEVER_NS)
        actor_timer_cancel(&n->actor, &n->http_timer);
    else
        actor_timer_set(&n->actor, &n->http_timer, HTTP_TAG, at_ns);
}

static void work(struct network *n)
{
    if (!n->http)
        return;
    n->http->ops->work(n->http, shard_now(n->actor.shard));
    http_timer(n);
}

/* Most are sent at once, on a connection that is there: the next round would be a moment later. */
static void go(struct network *n, struct ask *ask, int err, const struct address *address)
{
    if (!err)
        err = -n->http->ops->go(n->http, ask->http, address, shard_now(n->actor.shard));
    else
        n->http->ops->cancel(n->http, ask->http);
    if (err) {
        report(n, ask->permit, err == EACCES || err == EBUSY ? NET_NEITHER : NET_BAD);
        fail_ask(n, ask, err,
                 err == EACCES   ? "the address is not one of the public internet"
                 : err == ENOENT ? "its name is not known"
                                 : "its name could not be resolved");
        return;
    }
    work(n);
}

static void serve(struct network *n, struct waiter *w, int err, const struct address *address)
{
    struct waiter served = *w;

    *w = (struct waiter){0};
    n->waiting--;
    if (served.ask)
        go(n, &n->asks[served.ask - 1], err, address);
    else
        answer_name(n, &served, err, address);
}

/* ---- names ---- */

static bool at_lane(const struct network *n, const struct resolve_entry *name)
{
    for (size_t i = 0; i < QUERIES_MAX; i++)
        if (n->queries[i].name == name)
            return true;
    return false;
}

/* A session that is not busy, each on a worker of its own; NULL when all are. */
static struct query *free_query(struct network *n)
{
    uint32_t workers = lane_worker_count(n->actor.shard, LANE_DNS);

    for (size_t i = 0; i < QUERIES_MAX && i < workers; i++) {
        struct query *q = &n->queries[i];
        if (q->name)
            continue;
        if (q->session.generation == 0 &&
            lane_open(&n->actor, LANE_DNS, PROGRAM_RESOLVE, NULL, 0, &q->session))
            continue;
        return q;
    }
    return NULL;
}

static bool wanted(const struct network *n, const struct resolve_entry *name)
{
    for (size_t i = 0; i < WAITERS_MAX && n->waiting; i++)
        if (n->waiters[i].name == name)
            return true;
    return false;
}

/* Hands waiting names to sessions that are free. */
static void ask_lane(struct network *n)
{
    for (size_t i = 0; i < RESOLVE_NAMES_MAX; i++) {
        struct resolve_entry *e = &n->cache.entries[i];
        if (!e->asked || at_lane(n, e))
            continue;
        if (!wanted(n, e)) { /* all gave up while it waited for a worker */
            e->asked = false;
            continue;
        }
        struct query *q = free_query(n);
        if (!q)
            return;
        if (lane_run(&n->actor, &q->session, (uint32_t)i, 0, slice_str(e->name)) == 0)
            q->name = e;
    }
}

static void name_timer(struct network *n)
{
    int64_t next_ns = NEVER_NS;

    for (size_t i = 0; i < WAITERS_MAX && n->waiting; i++)
        if (n->waiters[i].name && n->waiters[i].late_ns < next_ns)
            next_ns = n->waiters[i].late_ns;
    if (next_ns == NEVER_NS)
        actor_timer_cancel(&n->actor, &n->name_timer);
    else
        actor_timer_set(&n->actor, &n->name_timer, DEADLINE_TAG, next_ns);
}

/* Everybody who waits for this name gets what is known now. */
static void serve_all(struct network *n, struct resolve_entry *e)
{
    struct address address = {0};
    int64_t now_ns = shard_now(n->actor.shard);
    int err = resolve_look(e, now_ns, &address);

    if (err && e->answer.err != ENOENT && resolve_old(e, now_ns, &address) == 0)
        err = 0;
    for (size_t i = 0; i < WAITERS_MAX && n->waiting; i++)
        if (n->waiters[i].name == e)
            serve(n, &n->waiters[i], -err, &address);
    name_timer(n);
}

static void give_up(struct network *n)
{
    int64_t now_ns = shard_now(n->actor.shard);

    for (size_t i = 0; i < WAITERS_MAX && n->waiting; i++) {
        struct waiter *w = &n->waiters[i];
        struct address address = {0};
        if (!w->name || now_ns < w->late_ns)
            continue;
        int err = resolve_old(w->name, now_ns, &address) ? ETIMEDOUT : 0;
        log_warn("network", NULL, "the resolver is silent about %s%s", w->name->name,
                 err ? "" : ": an older answer serves");
        serve(n, w, err, &address);
    }
    name_timer(n);
}

static void on_emit(struct network *n, const struct msg *m)
{
    const struct lane_msg *body = msg_body(m, lane_msg);
    struct slice bytes = text_of(&n->actor, m);
    struct resolved answer;

    if (bytes.len != sizeof(answer) || body->tag >= RESOLVE_NAMES_MAX)
        return;
    struct resolve_entry *e = &n->cache.entries[body->tag];
    memcpy(&answer, bytes.at, sizeof(answer));
    if (answer.err)
        log_warn("network", NULL, "%s: %s", e->name,
                 answer.err == ENOENT ? "there is no such name" : "the resolver fails");
    resolve_learn(e, &answer, shard_now(n->actor.shard));
    serve_all(n, e);
}

static void on_done(struct network *n, const struct lane_msg *body)
{
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        struct query *q = &n->queries[i];
        if (q->session.number != body->session || q->session.generation != body->generation)
            continue;
        if (q->name && q->name->asked) { /* it ended without an answer */
            resolve_learn(q->name, &(struct resolved){.err = EIO}, shard_now(n->actor.shard));
            serve_all(n, q->name);
        }
        q->name = NULL;
    }
    ask_lane(n);
}

static struct waiter *waiter_add(struct network *n, const struct waiter *w)
{
    for (size_t i = 0; i < WAITERS_MAX; i++) {
        if (n->waiters[i].name)
            continue;
        n->waiters[i] = *w;
        n->waiting++;
        return &n->waiters[i];
    }
    return NULL;
}

/* What is known is answered at once; the rest waits. */
static void look_up(struct network *n, struct waiter *w, const char *host)
{
    int64_t now_ns = shard_now(n->actor.shard);
    struct address address = {0};
    struct resolve_entry *e = NULL;
    int err = 0;

    if (!resolve_literal(host, &address)) {
        e = resolve_entry(&n->cache, host, now_ns);
        err = e ? resolve_look(e, now_ns, &address) : -EIO;
        if (e && err == -EAGAIN && !lane_worker_count(n->actor.shard, LANE_DNS))
            err = -EIO;
    }
    w->name = e;
    w->late_ns = now_ns + NAME_WAIT_NS;
    struct waiter *at = e && err == -EAGAIN ? waiter_add(n, w) : NULL;
    if (at) {
        e->asked = true;
        name_timer(n);
        ask_lane(n);
    } else if (w->ask) {
        go(n, &n->asks[w->ask - 1], -err, &address);
    } else {
        answer_name(n, w, -err, &address);
    }
}

static void on_resolve(struct network *n, const struct msg *m)
{
    const struct net_resolve_msg *body = msg_body(m, net_resolve_msg);
    char host[RESOLVE_NAME_BYTES];
    struct waiter w = {.asker = m->from,
                       .cookie = body->cookie,
                       .port = body->port,
                       .guarded = body->guarded && !world_of(&n->actor)->config->allow_private};

    slice_cstr(text_of(&n->actor, m), host, sizeof(host));
    w.permit = permit_for(n, body->label, host, body->port);
    if (w.permit)
        look_up(n, &w, host);
    else
        answer_name(n, &w, EBUSY, NULL);
}

/* ---- requests ---- */

static struct ask *ask_of(struct network *n, uint32_t http)
{
    for (size_t i = 0; i < HTTP_ASKS_MAX; i++)
        if (n->asks[i].http == http && !actor_id_none(n->asks[i].asker))
            return &n->asks[i];
    return NULL;
}

static struct ask *ask_find(struct network *n, struct actor_id asker, uint32_t cookie)
{
    for (size_t i = 0; i < HTTP_ASKS_MAX; i++)
        if (n->asks[i].cookie == cookie && actor_id_equal(n->asks[i].asker, asker))
            return &n->asks[i];
    return NULL;
}

static enum net_outcome outcome_of(int32_t status)
{
    if (status == 408 || status == 429 || status >= 500)
        return NET_BAD;
    return status < 400 ? NET_GOOD : NET_NEITHER;
}

static bool tell_cookie(struct network *n, const struct ask *ask, uint16_t type, frame_ref take)
{
    struct net_cookie_msg body = {.cookie = ask->cookie};

    return actor_send_body(&n->actor, ask->asker, type, IF_FULL_DROP, take, &body, sizeof(body));
}

static bool give_chunk(struct network *n, const struct ask *ask, struct slice data)
{
    frame_ref ref = text_frame(&n->actor, data);

    if (ref == FRAME_NONE)
        return data.len == 0; /* the pool is empty: it is offered again */
    /* Refused by a full queue it is offered again; one who has gone needs it no more. */
    return tell_cookie(n, ask, NET_CHUNK, ref) || !actor_find(n->actor.shard, ask->asker);
}

static void give_status(struct network *n, struct ask *ask, const struct http_event *e)
{
    struct net_status_msg body = {
        .cookie = ask->cookie, .status = e->status, .retry_after_ms = e->retry_after_ms};

    report(n, ask->permit, outcome_of(e->status));
    ask->permit = 0;
    if (e->connect_ns)
        metrics_observe(METRIC_PROVIDER_CONNECT, e->connect_ns);
    metrics_observe(METRIC_PROVIDER_FIRST_BYTE, e->first_byte_ns);
    actor_send_body(&n->actor, ask->asker, NET_STATUS, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
}

static bool on_http(void *context, const struct http_event *e)
{
    struct network *n = context;
    struct ask *ask = ask_of(n, e->id);

    if (!ask)
        return true;
    switch (e->kind) {
    case HTTP_EVENT_STATUS:
        give_status(n, ask, e);
        break;
    case HTTP_EVENT_CHUNK:
        return give_chunk(n, ask, e->data);
    case HTTP_EVENT_END:
        tell_cookie(n, ask, NET_END, FRAME_NONE);
        *ask = (struct ask){0};
        break;
    case HTTP_EVENT_FAILED:
        report(n, ask->permit, e->err == EACCES ? NET_NEITHER : NET_BAD);
        fail_ask(n, ask, e->err, e->what);
        break;
    }
    return true;
}

static struct ask *ask_add(struct network *n, const struct msg *m)
{
    struct ask *ask = ask_find(n, ACTOR_NOBODY, 0);
    const struct net_request_msg *body = msg_body(m, net_request_msg);

    if (ask)
        *ask = (struct ask){.asker = m->from, .cookie = body->cookie, .label = body->label};
    return ask;
}

/* 0, or a positive errno: the request cannot be made. */
static int make(struct network *n, struct ask *ask, const struct msg *m, struct url *url)
{
    const struct net_request_msg *body = msg_body(m, net_request_msg);
    struct frame_pool *pool = shard_pool(n->actor.shard);
    uint8_t *at = (uint8_t *)(uintptr_t)shard_large_scratch(n->actor.shard).at;
    struct slice all = slice_of(at, frame_chain_copy(pool, m->frame, at, NET_REQUEST_BYTES_MAX));
    const char *what;

    if (!n->http)
        return ENOTSUP;
    if (frame_chain_len(pool, m->frame) > NET_REQUEST_BYTES_MAX ||
        (uint64_t)body->url_bytes + body->head_bytes > all.len)
        return EMSGSIZE;
    struct http_query made = {.url = slice_of(all.at, body->url_bytes),
                              .method = slice_str(body->method),
                              .head = slice_of(all.at + body->url_bytes, body->head_bytes),
                              .body = slice_of(all.at + body->url_bytes + body->head_bytes,
                                               all.len - body->url_bytes - body->head_bytes),
                              .guarded = body->guarded,
                              .first_byte_ns = MS(body->first_byte_ms),
                              .stall_ns = MS(body->stall_ms),
                              .total_ns = MS(body->total_ms)};
    if (url_parse(url, made.url, "http https", &what))
        return EINVAL;
    return -n->http->ops->make(n->http, &made, &ask->http);
}

static void on_request(struct network *n, const struct msg *m)
{
    struct ask *ask = ask_add(n, m);
    struct ask refused = {.asker = m->from, .cookie = msg_body(m, net_request_msg)->cookie};
    struct url url;

    int err = ask ? make(n, ask, m, &url) : EMFILE;
    if (err) {
        if (ask)
            *ask = (struct ask){0};
        fail_ask(n, &refused, err,
                 err == EINVAL    ? "its URL or a header line is malformed"
                 : err == ENOTSUP ? "there is no way to HTTP servers here"
                                  : "the request is too large, or there are too many");
        return;
    }
    ask->permit = permit_for(n, ask->label, url.host, url_port(&url));
    if (!ask->permit) {
        n->http->ops->cancel(n->http, ask->http);
        fail_ask(n, ask, EBUSY, "it has failed too often and is not asked for a while");
        return;
    }
    struct waiter w = {.ask = (uint32_t)(ask - n->asks) + 1};
    look_up(n, &w, url.host);
}

static void forget_waiter(struct network *n, const struct ask *ask)
{
    for (size_t i = 0; i < WAITERS_MAX && n->waiting; i++) {
        struct waiter *w = &n->waiters[i];
        if (!w->name || w->ask != (uint32_t)(ask - n->asks) + 1)
            continue;
        *w = (struct waiter){0};
        n->waiting--;
    }
    name_timer(n);
}

static void on_cancel(struct network *n, const struct msg *m)
{
    struct ask *ask = ask_find(n, m->from, msg_body(m, net_cookie_msg)->cookie);

    if (!ask)
        return;
    forget_waiter(n, ask);
    report(n, ask->permit, NET_NEITHER);
    n->http->ops->cancel(n->http, ask->http);
    *ask = (struct ask){0};
    http_timer(n);
}

static void on_flow(struct network *n, const struct msg *m)
{
    const struct net_flow_msg *body = msg_body(m, net_flow_msg);
    struct ask *ask = ask_find(n, m->from, body->cookie);

    if (!ask)
        return;
    n->http->ops->pause(n->http, ask->http, body->pause, shard_now(n->actor.shard));
    http_timer(n);
}

/* ---- life ---- */

static void start(struct network *n)
{
    const struct world *world = world_of(&n->actor);
    struct http_setup setup = {.deliver = on_http,
                               .context = n,
                               .ca_file = world->config->ca_file,
                               .proxy = world->config->proxy,
                               .allow_private = world->config->allow_private};
    int err = world->http_new ? world->http_new(&setup, &n->http) : 0;

    if (!err && n->http && n->http->ops->fd(n->http) >= 0)
        err = actor_watch(&n->actor, n->http->ops->fd(n->http), &n->watched);
    if (err)
        actor_stop_self(&n->actor, REASON(-err, "the way to HTTP servers cannot be made"));
}

static void stop(struct network *n)
{
    if (n->http)
        n->http->ops->free(n->http);
    n->http = NULL;
    for (size_t i = 0; i < QUERIES_MAX; i++)
        lane_close(&n->actor, &n->queries[i].session);
    actor_timer_cancel(&n->actor, &n->name_timer);
    actor_timer_cancel(&n->actor, &n->http_timer);
    actor_io_close(&n->actor, &n->watched, false);
    actor_end(&n->actor);
}

static void on_message(struct network *n, const struct msg *m)
{
    switch (m->type) {
    case NET_RESOLVE:
        on_resolve(n, m);
        break;
    case NET_REPORT:
        report(n, msg_body(m, net_report_msg)->permit,
               (enum net_outcome)msg_body(m, net_report_msg)->outcome);
        break;
    case NET_REQUEST:
        on_request(n, m);
        break;
    case NET_CANCEL:
        on_cancel(n, m);
        break;
    case NET_FLOW:
        on_flow(n, m);
        break;
    default:
        break;
    }
}

static void network_handle(struct actor *a, const struct msg *m)
{
    struct network *n = container_of(a, struct network, actor);

    switch (m->type) {
    case MSG_START:
        start(n);
        break;
    case MSG_STOP:
        stop(n);
        break;
    case MSG_READY:
        work(n);
        break;
    case MSG_TIMER:
        if (msg_body(m, timer_msg)->tag == HTTP_TAG)
            work(n);
        else
            give_up(n);
        break;
    case MSG_LANE_EMIT:
        on_emit(n, m);
        break;
    case MSG_LANE_DONE:
        on_done(n, msg_body(m, lane_msg));
        break;
    default:
        if (a->life == ACTOR_RUNNING)
            on_message(n, m);
        break;
    }
}

const struct actor_type network_type = {
    .name = "network", .size_bytes = sizeof(struct network), .handle = network_handle};
