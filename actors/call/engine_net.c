#include "actors/call/engine_net.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/text.h"
#include "base/metrics.h"

extern const struct actor_type network_type;

static int64_t now_of(const struct engine_net *n)
{
    return shard_now(n->engine->actor->shard);
}

static void set_timer(struct engine_net *n, struct actor_timer *timer, uint32_t tag, int64_t in_ns)
{
    actor_timer_set(n->engine->actor, timer, tag, now_of(n) + in_ns);
}

/* At once, after 1, 2 and 4 s. */
static int64_t patience_ns(uint32_t tries)
{
    if (tries == 0)
        return 0;
    return SECONDS(1) << (tries < ENGINE_TRIES ? tries - 1 : ENGINE_TRIES - 2);
}

static const char *name_of(const struct engine_net *n)
{
    return n->engine->ops->name;
}

static uint32_t tries_of(const struct engine_net *n)
{
    return engine_left(n->engine) ? ENGINE_TRIES_SHORT : ENGINE_TRIES;
}

static struct actor_id network_of(const struct engine_net *n)
{
    return shard_only(n->engine->actor->shard, &network_type);
}

/* ---- life ---- */

static size_t sound_bytes(const struct engine *e)
{
    if (e->ops->kind != PROVIDER_STT)
        return 0;
    return (size_t)provider_rate_hz(e->ops, e->config) / 1000 * ENGINE_REPLAY_MS * sizeof(int16_t);
}

struct engine_net *engine_net_new(struct engine *e)
{
    struct engine_net *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->engine = e;
    n->label = provider_number(e->ops);
    n->replay.size = sound_bytes(e);
    n->replay.sound = malloc(n->replay.size + 1);
    n->socket.client = ws_client_new(e->actor, ENGINE_WS_TAG);
    if (!n->replay.sound || !n->socket.client) {
        free(n->replay.sound);
        ws_client_free(&n->socket.client);
        free(n);
        return NULL;
    }
    return n;
}

void engine_net_free(struct engine_net **net)
{
    struct engine_net *n = *net;

    if (!n)
        return;
    engine_net_close(n, 0);
    ws_client_free(&n->socket.client);
    free(n->replay.sound);
    free(n);
    *net = NULL;
}

static void feed(struct engine_net *n, enum provider_input_kind kind, uint32_t flag, int32_t status,
                 struct slice data)
{
    struct provider_input input = {.kind = kind, .flag = flag, .status = status, .data = data};

    if (kind == INPUT_STATUS || kind == INPUT_CHUNK || kind == INPUT_END)
        input.epoch = n->request.epoch;
    engine_feed(n->engine, &input);
}

static void report(struct engine_net *n, enum net_outcome outcome)
{
    struct net_report_msg body = {.permit = n->socket.permit, .outcome = (uint8_t)outcome};

    if (n->socket.permit)
        actor_send_body(n->engine->actor, network_of(n), NET_REPORT, IF_FULL_DROP, FRAME_NONE,
                        &body, sizeof(body));
    n->socket.permit = 0;
}

/* ---- the utterance, once more ---- */

static size_t bytes_per_ms(const struct engine_net *n)
{
    return (size_t)provider_rate_hz(n->engine->ops, n->engine->config) / 1000 * sizeof(int16_t);
}

static void sound_keep(struct engine_net *n, struct slice pcm)
{
    struct engine_replay *r = &n->replay;
    size_t room = r->size - r->len, second = bytes_per_ms(n) * 1000;

    if (pcm.len > r->size)
        return;
    while (room < pcm.len) { /* ends: each round frees a second, and there are ten */
        size_t cut = second < r->len ? second : r->len;
        memmove(r->sound, r->sound + cut, r->len - cut);
        r->len -= cut;
        r->given -= cut < r->given ? cut : r->given;
        r->kept -= cut < r->kept ? cut : r->kept;
        r->offset -= (int64_t)cut;
        room += cut;
    }
    memcpy(r->sound + r->len, pcm.at, pcm.len);
    r->len += pcm.len;
}

static void utterance_input(struct engine_net *n, enum provider_input_kind kind, struct slice data)
{
    struct provider_input input = {
        .kind = kind, .epoch = n->replay.epoch, .flag = kind == INPUT_SPEECH, .data = data};

    engine_feed(n->engine, &input);
}

static bool can_give(const struct engine_net *n)
{
    return n->replay.on && n->socket.state == SOCKET_OPEN &&
           ws_client_waiting(n->socket.client) < ENGINE_QUEUED_MAX;
}

/* Gives the socket's plug-in what it has not had of the utterance, as fast as the peer takes it. */
static void give(struct engine_net *n)
{
    struct engine_replay *r = &n->replay;
    size_t piece = bytes_per_ms(n) * ENGINE_PIECE_MS;

    if (can_give(n) && !r->begun) {
        r->begun = true;
        utterance_input(n, INPUT_SPEECH, SLICE_NONE);
    }
    while (can_give(n) && r->begun && r->given < r->len) {
        struct slice pcm = slice_of(r->sound + r->given, r->len - r->given);
        if (pcm.len > piece)
            pcm.len = piece;
        r->given += pcm.len;
        r->since_opened += (int64_t)pcm.len;
        utterance_input(n, INPUT_AUDIO, pcm);
    }
    if (can_give(n) && r->begun && r->given == r->len && r->finished && !r->ended) {
        r->ended = true;
        utterance_input(n, INPUT_FINISH, SLICE_NONE);
    }
}

static void utterance_begin(struct engine_net *n, uint32_t epoch)
{
    struct engine_replay *r = &n->replay;

    r->on = true;
    r->finished = r->ended = false;
    r->begun = n->socket.state == SOCKET_OPEN;
    r->epoch = epoch;
    r->given = r->kept = r->len = 0;
    r->offset = -r->since_opened;
}

bool engine_net_holds(struct engine_net *n, const struct provider_input *input)
{
    struct engine_replay *r = &n->replay;
    bool off = n->socket.state == SOCKET_OFF, open = n->socket.state == SOCKET_OPEN;

    if (n->engine->ops->kind != PROVIDER_STT)
        return false;
    if (input->kind == INPUT_SPEECH && input->flag) {
        utterance_begin(n, input->epoch);
        return !off && !open;
    }
    if (input->kind == INPUT_CANCEL)
        r->on = r->on && input->epoch < r->epoch;
    if (!r->on ||
        (input->kind != INPUT_SPEECH && input->kind != INPUT_AUDIO && input->kind != INPUT_FINISH))
        return false;
    if (input->kind == INPUT_AUDIO)
        sound_keep(n, input->data);
    if (input->kind == INPUT_FINISH)
        r->finished = true;
    if (off)
        return false;
    if (input->kind == INPUT_SPEECH) /* a pause: only of what it has heard */
        return !open || !r->begun || r->given < r->len;
    give(n);
    return true;
}

void engine_net_event(struct engine_net *n, const struct provider_intent *event)
{
    struct engine_replay *r = &n->replay;

    if (!r->on || event->epoch != r->epoch)
        return;
    if (event->event == EVENT_FINAL || event->event == EVENT_FAILED)
        r->on = false;
    if (event->event != EVENT_PARTIAL || !(event->flag & EVENT_KEPT))
        return;
    int64_t at = (int64_t)(event->heard_ms * bytes_per_ms(n)) + r->offset;
    if (at > (int64_t)r->given)
        at = (int64_t)r->given;
    if (at > (int64_t)r->kept)
        r->kept = (size_t)at & ~(size_t)1;
}

static void utterance_reopen(struct engine_net *n)
{
    struct engine_replay *r = &n->replay;

    r->begun = r->ended = false;
    r->given = r->kept;
    r->since_opened = 0;
    r->offset = (int64_t)r->kept;
    if (r->on && r->len > r->kept && n->socket.tries)
        log_info("engine", NULL, "%s: %zu ms of the utterance are sent again", name_of(n),
                 (r->len - r->kept) / bytes_per_ms(n));
    give(n);
}

/* No socket comes: what waited for it goes to the plug-in as it is, so that it can say so. */
static void utterance_settle(struct engine_net *n)
{
    struct engine_replay *r = &n->replay;

    if (r->on && !r->begun && n->socket.state == SOCKET_OFF) {
        r->begun = true;
        utterance_input(n, INPUT_SPEECH, SLICE_NONE);
    }
    if (r->on && r->finished && !r->ended && n->socket.state == SOCKET_OFF) {
        r->ended = true;
        utterance_input(n, INPUT_FINISH, SLICE_NONE);
    }
}

/* ---- socket ---- */

static bool hopeless(int err, int32_t status)
{
    if (status >= 400 && status < 500)
        return status != 408 && status != 429;
    return err == EBUSY || err == EINVAL || err == ENOTSUP || err == EACCES || err == EMSGSIZE;
}

static void socket_off(struct engine_net *n)
{
    actor_timer_cancel(n->engine->actor, &n->socket.timer);
    n->socket.state = SOCKET_OFF;
    n->socket.cookie = 0;
}

static void tell_closed(struct engine_net *n, int32_t status, const char *what)
{
    socket_off(n);
    feed(n, INPUT_CLOSED, 0, status, slice_str(what));
    utterance_settle(n);
}

/* From inside a step nothing may be fed: it is told in the next round. */
static void closed_later(struct engine_net *n, int err, const char *what)
{
    n->err = err;
    n->what = what;
    set_timer(n, &n->socket.timer, ENGINE_SOCKET_TAG, 0);
}

static void socket_failed(struct engine_net *n, int err, int32_t status, const char *what)
{
    bool over = hopeless(err, status) || ++n->socket.tries >= tries_of(n);

    n->socket.failed_ns = now_of(n);
    metrics_add_of(METRIC_PROVIDER_FAILURES, n->label, 1);
    report(n, hopeless(err, status) ? NET_NEITHER : NET_BAD);
    if (over) {
        log_error("engine", NULL, "%s cannot be reached: %s%s%.0d", name_of(n), what,
                  status ? ", it answered " : "", status);
        n->socket.tries = n->socket.tries < ENGINE_TRIES ? n->socket.tries : ENGINE_TRIES - 1;
        tell_closed(n, status, what);
        return;
    }
    int64_t in_ns = patience_ns(n->socket.tries);
    log_warn("engine", NULL, "%s cannot be reached: %s; again in %lld s", name_of(n), what,
             (long long)(in_ns / NS_PER_S));
    n->socket.state = SOCKET_WAITING;
    set_timer(n, &n->socket.timer, ENGINE_SOCKET_TAG, in_ns);
}

static void socket_begin(struct engine_net *n)
{
    struct net_resolve_msg body = {
        .cookie = ++n->engine->cookie, .port = url_port(&n->socket.url), .label = n->label};

    n->socket.state = SOCKET_NAMING;
    n->socket.cookie = body.cookie;
    n->socket.began_ns = now_of(n);
    metrics_add_of(METRIC_PROVIDER_REQUESTS, n->label, 1);
    if (!actor_send_body(n->engine->actor, network_of(n), NET_RESOLVE, IF_FULL_STOP,
                         text_frame(n->engine->actor, slice_str(n->socket.url.host)), &body,
                         sizeof(body)))
        closed_later(n, ENOTSUP, "there is no network here");
}

void engine_net_connect(struct engine_net *n, const struct provider_intent *intent)
{
    const char *what = "";

    engine_net_close(n, CLOSE_SOCKET);
    if (url_parse(&n->socket.url, intent->data, "ws wss", &what) ||
        intent->head.len > sizeof(n->socket.head)) {
        n->socket.state = SOCKET_WAITING;
        closed_later(n, EINVAL, what[0] ? what : "its header lines are too long");
        return;
    }
    if (intent->head.len)
        memcpy(n->socket.head, intent->head.at, intent->head.len);
    n->socket.head_len = intent->head.len;
    if (now_of(n) - n->socket.failed_ns >= ENGINE_FORGET_NS)
        n->socket.tries = 0;
    if (n->socket.tries == 0) {
        socket_begin(n);
        return;
    }
    n->socket.state = SOCKET_WAITING;
    set_timer(n, &n->socket.timer, ENGINE_SOCKET_TAG, patience_ns(n->socket.tries));
}

static const char *name_fault(int err)
{
    switch (err) {
    case ENOENT:
        return "its name is not known";
    case EBUSY:
        return "it has failed too often and is not asked for a while";
    default:
        return "its name could not be resolved";
    }
}

static void on_resolved(struct engine_net *n, const struct net_resolved_msg *m)
{
    struct world *world = world_of(n->engine->actor);
    int err = m->err;

    if (n->socket.state != SOCKET_NAMING || m->cookie != n->socket.cookie) {
        if (!m->err) { /* given up meanwhile: its permit goes back */
            n->socket.permit = m->permit;
            report(n, NET_NEITHER);
        }
        return;
    }
    if (err) { /* has been reported where it was found */
        socket_failed(n, err, 0, name_fault(err));
        return;
    }
    n->socket.permit = m->permit;
    n->socket.state = SOCKET_OPENING;
    err = ws_client_open(n->socket.client, &n->socket.url,
                         slice_of(n->socket.head, n->socket.head_len), &m->address,
                         world->tls_client);
    if (err)
        socket_failed(n, -err, 0,
                      err == -EINVAL ? "its header lines are malformed" : strerror(-err));
}

static void socket_opened(struct engine_net *n)
{
    n->socket.state = SOCKET_OPEN;
    n->socket.opened_ns = now_of(n);
    metrics_observe(METRIC_PROVIDER_CONNECT, n->socket.opened_ns - n->socket.began_ns);
    report(n, NET_GOOD);
    ws_client_pause(n->socket.client, n->paused);
    feed(n, INPUT_OPENED, 0, 0, SLICE_NONE);
    utterance_reopen(n);
}

static void socket_closed(struct engine_net *n, const struct ws_client_event *ev)
{
    bool good = now_of(n) - n->socket.opened_ns >= ENGINE_STABLE_NS;

    if (n->socket.state != SOCKET_OPEN) {
        socket_failed(n, ev->err, ev->status, ev->what);
        return;
    }
    n->socket.tries = good ? 0 : n->socket.tries + 1;
    n->socket.failed_ns = now_of(n);
    if (ev->err || (ev->status != WS_CLOSE_NORMAL && ev->status != WS_CLOSE_NONE)) {
        metrics_add_of(METRIC_PROVIDER_FAILURES, n->label, 1);
        log_warn("engine", NULL, "%s: the socket was lost: %s (%d)", name_of(n), ev->what,
                 ev->status);
    }
    tell_closed(n, ev->status, ev->what);
}

/* What the socket has; stops when the plug-in has closed it meanwhile. */
static void socket_events(struct engine_net *n)
{
    struct ws_client_event ev;

    while (!n->engine->stopped && ws_client_next(n->socket.client, &ev)) {
        switch (ev.kind) {
        case WS_CLIENT_OPENED:
            socket_opened(n);
            break;
        case WS_CLIENT_MESSAGE:
            feed(n, INPUT_BYTES, ev.text, 0, ev.data);
            break;
        case WS_CLIENT_CLOSED:
            socket_closed(n, &ev);
            break;
        }
    }
    give(n); /* the kernel may have taken what was queued */
}

static void on_socket_timer(struct engine_net *n)
{
    int err = n->err;

    n->err = 0;
    if (err)
        socket_failed(n, err, 0, n->what);
    else if (n->socket.state == SOCKET_WAITING)
        socket_begin(n);
    else
        socket_events(n);
}

int engine_net_send(struct engine_net *n, const struct provider_intent *intent)
{
    if (n->socket.state != SOCKET_OPEN)
        return -ENOTCONN;
    int err = ws_client_send(n->socket.client, intent->flag == 1, intent->body);
    if (n->socket.client->state == WS_CLIENT_OFF) /* it broke: told in the next round */
        set_timer(n, &n->socket.timer, ENGINE_SOCKET_TAG, 0);
    return err;
}

/* ---- request ---- */

static void request_cancel(struct engine_net *n)
{
    struct net_cookie_msg body = {.cookie = n->request.cookie};

    if (n->request.state == REQUEST_ASKED || n->request.state == REQUEST_STREAMING)
        actor_send_body(n->engine->actor, network_of(n), NET_CANCEL, IF_FULL_STOP, FRAME_NONE,
                        &body, sizeof(body));
}

static void request_off(struct engine_net *n)
{
    actor_timer_cancel(n->engine->actor, &n->request.timer);
    actor_frame_let_go(n->engine->actor, &n->request.asked);
    n->request.state = REQUEST_OFF;
    n->request.cookie = 0;
}

/* How long each kind may keep a caller waiting. */
static void set_patience(const struct engine_net *n, struct net_request_msg *body)
{
    bool llm = n->engine->ops->kind == PROVIDER_LLM;

    body->first_byte_ms = llm ? 10000 : 5000;
    body->stall_ms = llm ? 20000 : 5000;
    body->total_ms = 120000;
}

static void request_send(struct engine_net *n)
{
    struct actor *a = n->engine->actor;
    struct net_request_msg body = {.cookie = ++n->engine->cookie,
                                   .label = n->label,
                                   .url_bytes = n->request.url_bytes,
                                   .head_bytes = n->request.head_bytes};

    set_patience(n, &body);
    n->request.state = REQUEST_ASKED;
    n->request.cookie = body.cookie;
    metrics_add_of(METRIC_PROVIDER_REQUESTS, n->label, 1);
    if (!actor_send_body(a, network_of(n), NET_REQUEST, IF_FULL_STOP,
                         frame_keep(shard_pool(a->shard), n->request.asked), &body, sizeof(body)))
        set_timer(n, &n->request.timer, ENGINE_REQUEST_TAG, 0); /* nobody is there: told later */
}

/* Behind the intents, which are being carried out. */
static struct builder request_builder(struct actor *a)
{
    struct slice scratch = shard_large_scratch(a->shard);
    size_t from = sizeof(struct intents);

    _Static_assert(sizeof(struct intents) + NET_REQUEST_BYTES_MAX < 1048576, "both fit");
    assert(scratch.len >= from + NET_REQUEST_BYTES_MAX);
    return builder_of((uint8_t *)(uintptr_t)scratch.at + from, NET_REQUEST_BYTES_MAX);
}

void engine_net_request(struct engine_net *n, const struct provider_intent *intent)
{
    struct actor *a = n->engine->actor;
    struct builder b = request_builder(a);

    engine_net_close(n, CLOSE_REQUEST);
    builder_slice_add(&b, intent->data);
    builder_slice_add(&b, intent->head);
    builder_slice_add(&b, intent->body);
    n->request.url_bytes = (uint32_t)intent->data.len;
    n->request.head_bytes = (uint32_t)intent->head.len;
    n->request.epoch = intent->epoch;
    n->request.tries = 0;
    n->request.asked = b.bad ? FRAME_NONE : text_frame(a, builder_slice(&b));
    if (n->request.asked == FRAME_NONE) { /* too long, or the pool is empty */
        n->request.state = REQUEST_ASKED;
        set_timer(n, &n->request.timer, ENGINE_REQUEST_TAG, 0);
        return;
    }
    a->ledger.frames++;
    request_send(n);
}

static void request_failed(struct engine_net *n, int err, int32_t status, const char *what,
                           int64_t wait_ns)
{
    bool over = hopeless(err, status) || ++n->request.tries >= tries_of(n);

    metrics_add_of(METRIC_PROVIDER_FAILURES, n->label, 1);
    if (over) {
        log_error("engine", NULL, "%s: the request failed: %s", name_of(n), what);
        request_off(n);
        feed(n, INPUT_CLOSED, 0, status, slice_str(what));
        return;
    }
    int64_t in_ns = patience_ns(n->request.tries);
    in_ns = in_ns > wait_ns ? in_ns : wait_ns;
    log_warn("engine", NULL, "%s: the request failed: %s; again in %lld ms", name_of(n), what,
             (long long)(in_ns / NS_PER_MS));
    n->request.state = REQUEST_WAITING;
    set_timer(n, &n->request.timer, ENGINE_REQUEST_TAG, in_ns);
}

static bool passes(int32_t status)
{
    return status == 408 || status == 429 || status >= 500;
}

static void on_status(struct engine_net *n, const struct net_status_msg *m)
{
    char what[32];

    if (passes(m->status) && n->request.tries + 1 < tries_of(n) &&
        m->retry_after_ms <= ENGINE_RETRY_MAX_MS) {
        request_cancel(n);
        snprintf(what, sizeof(what), "it answered %d", m->status);
        request_failed(n, EAGAIN, m->status, what,
                       m->retry_after_ms > 0 ? MS(m->retry_after_ms) : 0);
        return;
    }
    if (m->status >= 400) {
        metrics_add_of(METRIC_PROVIDER_FAILURES, n->label, 1);
        log_warn("engine", NULL, "%s answered %d", name_of(n), m->status);
    }
    n->request.state = REQUEST_STREAMING;
    actor_frame_let_go(n->engine->actor, &n->request.asked);
    if (n->paused)
        engine_net_pause(n, true);
    feed(n, INPUT_STATUS, 0, m->status, SLICE_NONE);
}

static void on_request_timer(struct engine_net *n)
{
    if (n->request.state == REQUEST_WAITING) {
        request_send(n);
    } else if (n->request.state == REQUEST_ASKED) {
        n->request.state = REQUEST_OFF;
        request_failed(n, EMSGSIZE, 0, "it could not be sent", 0);
    }
}

static bool mine(const struct engine_net *n, const struct msg *m)
{
    return n->request.cookie && msg_body(m, net_cookie_msg)->cookie == n->request.cookie &&
           (n->request.state == REQUEST_ASKED || n->request.state == REQUEST_STREAMING);
}

static void on_answer(struct engine_net *n, const struct msg *m)
{
    const struct net_failed_msg *failed = msg_body(m, net_failed_msg);

    if (!mine(n, m))
        return; /* of one that was given up */
    if (m->type == NET_STATUS) {
        on_status(n, msg_body(m, net_status_msg));
    } else if (m->type == NET_CHUNK) {
        feed(n, INPUT_CHUNK, 0, 0, text_of(n->engine->actor, m));
    } else if (m->type == NET_END) {
        request_off(n);
        feed(n, INPUT_END, 0, 0, SLICE_NONE);
    } else if (n->request.state == REQUEST_ASKED) {
        request_failed(n, failed->err, 0, failed->what, 0);
    } else {
        metrics_add_of(METRIC_PROVIDER_FAILURES, n->label, 1);
        log_warn("engine", NULL, "%s: the answer broke off: %s", name_of(n), failed->what);
        request_off(n);
        feed(n, INPUT_CLOSED, 0, 0, slice_str(failed->what));
    }
}

/* ---- both ---- */

void engine_net_close(struct engine_net *n, uint32_t flag)
{
    if (flag != CLOSE_REQUEST) {
        ws_client_close(n->socket.client, WS_CLOSE_NORMAL);
        report(n, NET_NEITHER);
        socket_off(n);
        n->err = 0;
    }
    if (flag != CLOSE_SOCKET) {
        request_cancel(n);
        request_off(n);
    }
}

void engine_net_pause(struct engine_net *n, bool pause)
{
    struct net_flow_msg body = {.cookie = n->request.cookie, .pause = pause};

    n->paused = pause;
    ws_client_pause(n->socket.client, pause);
    if (n->request.state == REQUEST_STREAMING)
        actor_send_body(n->engine->actor, network_of(n), NET_FLOW, IF_FULL_STOP, FRAME_NONE, &body,
                        sizeof(body));
}

bool engine_net_handle(struct engine_net *n, const struct msg *m)
{
    uint32_t tag = m->type == MSG_TIMER ? msg_body(m, timer_msg)->tag : 0;

    if (ws_client_takes(n->socket.client, m)) {
        socket_events(n);
        return true;
    }
    if (tag == ENGINE_SOCKET_TAG || tag == ENGINE_REQUEST_TAG) {
        if (tag == ENGINE_SOCKET_TAG)
            on_socket_timer(n);
        else
            on_request_timer(n);
        return true;
    }
    if (m->type == NET_RESOLVED) {
        on_resolved(n, msg_body(m, net_resolved_msg));
        return true;
    }
    if (m->type < NET_STATUS || m->type > NET_FAILED)
        return false;
    on_answer(n, m);
    return true;
}
