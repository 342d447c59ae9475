/* Answers one request that a carrier makes: what to do with a call (XML that puts it onto a media
 * socket, with a token for it), or news about one (kept in the store). The door gives it the socket
 * and what was read of the request. Nothing is believed before the carrier's signature fits, but on
 * a server for local peers only, whose carrier has no secret configured. Child of the switchboard.
 *
 *   READING ── whole ─▶ verify ─┬─ asks ──▶ ASKING (the switchboard) ──▶ XML ────▶ gone
 *                               └─ tells ─▶ KEEPING (the store lane) ──▶ nothing ─▶ gone */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/messages.h"
#include "actors/text.h"
#include "actors/world.h"
#include "base/json.h"
#include "base/metrics.h"
#include "carrier/carrier_http.h"
#include "net/http_head.h"
#include "net/stream.h"
#include "store/call_log.h"

#define REQUEST_BYTES_MAX (HTTP_HEAD_BYTES_MAX + WEBHOOK_BODY_BYTES_MAX)

enum state { READING, ASKING, KEEPING, ANSWERED };

static const char *const state_names[] = {
    [READING] = "reading", [ASKING] = "asking", [KEEPING] = "keeping", [ANSWERED] = "answered"};

struct answering {
    struct actor actor;
    enum state state;
    struct stream stream;
    struct address peer;
    struct actor_timer deadline;
    const struct carrier_http_ops *ops;
    struct carrier_notice news;
    struct http_head head;
    size_t head_len; /* 0 until it is whole */
    size_t len;
    uint8_t bytes[REQUEST_BYTES_MAX];
};

/* ---- answers ---- */

static void send_and_end(struct answering *s, const struct builder *b)
{
    if (stream_send(&s->stream, &s->actor, builder_slice(b)))
        log_debug("answering", NULL, "an answer could not be sent");
    s->state = ANSWERED;
    actor_stop_self(&s->actor, REASON(0, "answered"));
}

static void refuse(struct answering *s, uint16_t status, const char *what)
{
    struct builder b = text_builder(&s->actor);
    char peer[ADDRESS_TEXT_BYTES];

    http_respond_error(&b, &s->head, status, what);
    log_info("answering", NULL, "%s was answered %u: %s", address_text(&s->peer, peer), status,
             what);
    metrics_add(METRIC_WEBHOOKS_REFUSED, 1);
    send_and_end(s, &b);
}

static void answer_call(struct answering *s, const struct carrier_answer *answer)
{
    char xml[2048];
    struct builder text = builder_of(xml, sizeof(xml)), b = text_builder(&s->actor);

    s->ops->answer(answer, &text);
    if (text.bad) {
        refuse(s, 500, "the answer is too long");
        return;
    }
    http_respond(&b, 200, s->ops->xml_type, builder_slice(&text));
    send_and_end(s, &b);
}

/* ---- a call asks ---- */

static int mint(struct answering *s, const char *agent, char *token, size_t token_bytes)
{
    uint8_t nonce[TOKEN_NONCE_BYTES];
    int err = token_nonce(nonce);

    return err ? err
               : token_mint(world_of(&s->actor)->token_key, agent, shard_wall_ms(s->actor.shard),
                            nonce, token, token_bytes);
}

static void on_found(struct answering *s, const struct answer_found_msg *found)
{
    char base[600], url[700], token[TOKEN_TEXT_BYTES];
    struct carrier_answer answer = {.news = &s->news, .token = token};

    if (s->state != ASKING)
        return;
    if (found->err == ENOENT) {
        refuse(s, 404, "no agent answers this number");
        return;
    }
    if (found->err == 0) {
        if (mint(s, found->agent, token, sizeof(token))) {
            refuse(s, 500, "the token could not be made");
            return;
        }
        media_base(world_of(&s->actor), base, sizeof(base));
        snprintf(url, sizeof(url), "%s/media/%s", base, found->agent);
        answer.media_url = url;
    }
    log_info("answering", NULL, "%s call %s from %s to %s: %s %s", s->ops->name, s->news.call_id,
             s->news.from, s->news.to, found->err ? "refused as" : "answered by",
             found->err ? "busy" : found->agent);
    answer_call(s, &answer);
}

/* The agent that the query names, else whoever has the number that was called. */
static void ask_whose(struct answering *s)
{
    struct answer_ask_msg body = {0};
    int err = http_arg(s->head.query, "agent", body.agent, sizeof(body.agent));

    if (err == -ENOENT)
        err = http_arg(s->head.query, "agent_id", body.agent, sizeof(body.agent));
    if (err && err != -ENOENT) {
        refuse(s, 400, "the query does not name an agent as it should");
        return;
    }
    /* A call that we placed is from our number. */
    snprintf(body.number, sizeof(body.number), "%.27s",
             s->news.outbound ? s->news.from : s->news.to);
    s->state = ASKING;
    actor_send_body(&s->actor, s->actor.parent->id, ANSWER_ASK, IF_FULL_STOP, FRAME_NONE, &body,
                    sizeof(body));
}

/* ---- news about a call ---- */

static void put_if(struct jsonw *w, const char *key, const char *value)
{
    if (value[0])
        jsonw_put_cstr(w, key, value);
}

static void keep(struct answering *s)
{
    struct builder b = text_builder(&s->actor);
    struct cookie_msg body = {0};
    struct jsonw w;
    char at[32];

    wall_text(shard_wall_ms(s->actor.shard), at, sizeof(at));
    builder_printf(&b, "%s:%s", s->ops->name, s->news.event_id);
    builder_u8(&b, 0);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "carrier", s->ops->name);
    jsonw_put_cstr(&w, "carrier_call_id", s->news.call_id);
    put_if(&w, "status", s->news.status);
    put_if(&w, "cause", s->news.cause);
    put_if(&w, "from", s->news.from);
    put_if(&w, "to", s->news.to);
    if (s->news.duration_s >= 0)
        jsonw_put_int(&w, "duration_seconds", s->news.duration_s);
    jsonw_put_cstr(&w, "created_at", at);
    jsonw_end(&w);
    s->state = KEEPING;
    log_info("answering", NULL, "%s call %s: %s %s", s->ops->name, s->news.call_id, s->news.status,
             s->news.cause);
    actor_send_body(&s->actor, s->actor.parent->id, CARRIER_TOLD, IF_FULL_STOP,
                    text_frame(&s->actor, builder_slice(&b)), &body, sizeof(body));
}

static void on_kept(struct answering *s, const struct admitted_msg *m)
{
    struct builder b = text_builder(&s->actor);

    if (s->state != KEEPING)
        return;
    if (m->err) { /* the carrier tells it again */
        refuse(s, 503, "it cannot be stored now");
        return;
    }
    http_respond(&b, 204, NULL, SLICE_NONE);
    send_and_end(s, &b);
}

/* ---- the request ---- */

/* Decoded arguments into `out`, their bytes into `b`. -EINVAL, -E2BIG, -EMSGSIZE. */
static int decode(struct slice args, struct carrier_field *out, size_t *count, struct builder *b)
{
    struct slice name, value;
    int err = 0;

    *count = 0;
    while (!err && http_arg_next(&args, &name, &value)) {
        if (*count == HTTP_ARGS_MAX)
            return -E2BIG;
        struct carrier_field *f = &out[(*count)++];
        size_t begin = b->len;
        err = http_unescape(name, true, b);
        f->name = slice_of(b->at + begin, b->len - begin);
        begin = b->len;
        if (!err)
            err = http_unescape(value, true, b);
        f->value = slice_of(b->at + begin, b->len - begin);
    }
    return err;
}

static bool is_form(const struct http_head *h)
{
    struct slice rest;
    struct slice type =
        slice_trim(slice_cut(http_header_find(h, "Content-Type", NULL), ';', &rest));

    return slice_equal_nocase(type, SLICE("application/x-www-form-urlencoded"));
}

/* What the path names: the carrier, and what it wants. */
static void read_path(struct answering *s, struct carrier_request *r)
{
    struct slice path = slice_of(s->head.path.at + 1, s->head.path.len - 1);
    struct slice first = slice_cut(path, '/', &r->what);

    s->ops = carrier_http_named(first);
    if (s->ops)
        return;
    s->ops = carrier_http_named(SLICE("vobiz")); /* "/answer" is theirs */
    r->what = first;
}

/* 0, or the status to refuse with. */
static uint16_t verify(struct answering *s, struct carrier_request *r, const char **what)
{
    const struct config *config = world_of(&s->actor)->config;
    const struct config_account *mine = config_account(config, s->ops->name);
    struct carrier_account account = {.id = mine->id, .secret = mine->secret, .url = mine->url};

    *what = "the carrier's account is not configured, and this server is not for local peers only";
    if (!mine->secret[0])
        return config_token_needed(config) ? 403 : 0;
    *what = "the signature does not fit";
    r->base = slice_str(config->public_url);
    r->signature = http_header_find(&s->head, s->ops->signature_header, NULL);
    if (s->ops->nonce_header)
        r->nonce = http_header_find(&s->head, s->ops->nonce_header, NULL);
    return s->ops->verify(&account, r) ? 403 : 0;
}

static void on_whole(struct answering *s)
{
    struct carrier_field fields[HTTP_ARGS_MAX], query[HTTP_ARGS_MAX];
    struct builder decoded = text_builder(&s->actor);
    struct carrier_request r = {.post = s->head.method == HTTP_POST,
                                .target = s->head.target,
                                .fields = fields,
                                .query = query,
                                .body = slice_of(s->bytes + s->head_len, s->head.content_length)};
    const char *what = "the arguments are malformed, or too many";
    uint16_t status;

    read_path(s, &r);
    int err = decode(s->head.query, query, &r.query_count, &decoded);
    if (!err && r.post && is_form(&s->head))
        err = decode(r.body, fields, &r.field_count, &decoded);
    status = err ? 400 : verify(s, &r, &what);
    if (!status && s->ops->read(&r, &s->news, &what))
        status = 400;
    if (status) {
        refuse(s, status, what);
        return;
    }
    metrics_add(METRIC_WEBHOOKS, 1);
    if (s->news.kind == CARRIER_ASKS)
        ask_whose(s);
    else
        keep(s);
}

static void on_bytes(struct answering *s, struct slice in)
{
    struct http_result result = {.outcome = HTTP_OK};

    if (s->state != READING)
        return;
    if (in.len > sizeof(s->bytes) - s->len) {
        refuse(s, 413, "the request is too large");
        return;
    }
    memcpy(s->bytes + s->len, in.at, in.len);
    s->len += in.len;
    if (!s->head_len) {
        result = http_request(&s->head, slice_of(s->bytes, s->len));
        s->head_len = result.outcome == HTTP_OK ? result.used : 0;
    }
    if (result.outcome == HTTP_BAD)
        refuse(s, result.status, result.what);
    else if (s->head_len && s->head.content_length > WEBHOOK_BODY_BYTES_MAX)
        refuse(s, 413, "the request is too large");
    else if (s->head_len && s->len - s->head_len >= s->head.content_length)
        on_whole(s);
}

/* ---- life ---- */

static void start(struct answering *s, const struct msg *m)
{
    const struct door_start_msg *args = msg_body(m, door_start_msg);

    stream_init(&s->stream, args->stream, NULL);
    s->peer = args->peer;
    actor_timer_set(&s->actor, &s->deadline, 0, shard_now(s->actor.shard) + PEER_UNKNOWN_NS);
}

/* All that has come and can be read. */
static void read_stream(struct answering *s, int rc)
{
    struct slice room = shard_large_scratch(s->actor.shard), plain;

    while (rc == 0 && s->state == READING &&
           (rc = stream_next(&s->stream, &s->actor, (void *)(uintptr_t)room.at, TLS_RECORD_BYTES,
                             &plain)) > 0) {
        on_bytes(s, plain);
        rc = 0;
    }
    if (rc < 0 && s->state == READING)
        actor_stop_self(&s->actor, REASON(-rc, "the request broke off"));
}

static void take_socket(struct answering *s, const struct msg *m)
{
    struct io *io = shard_io(s->actor.shard);

    bool gone = s->stream.id == IO_NONE;

    stream_take(&s->stream, msg_body(m, leg_socket_msg)->stream);
    if (gone) { /* it ended on its way here */
        stream_gone(&s->stream);
        return;
    }
    on_bytes(s, text_of(&s->actor, m));
    if (s->stream.id != IO_NONE)
        io->ops->stream_pause(io, s->stream.id, false);
}

static void answering_handle(struct actor *a, const struct msg *m)
{
    struct answering *s = container_of(a, struct answering, actor);

    switch (m->type) {
    case MSG_START:
        start(s, m);
        break;
    case MSG_STOP:
        actor_timer_cancel(a, &s->deadline);
        stream_close(&s->stream, a, true);
        actor_end(a);
        break;
    case ANSWERING_SOCKET:
        take_socket(s, m);
        break;
    case MSG_DATA:
        if (a->life == ACTOR_RUNNING)
            read_stream(s, stream_feed(&s->stream, a, shard_received(a->shard)));
        break;
    case MSG_CLOSED:
        stream_gone(&s->stream);
        actor_stop_self(a, REASON(0, "the peer left"));
        break;
    case MSG_TIMER:
        refuse(s, s->state == READING ? 408 : 503, "the request took too long");
        break;
    case ANSWER_FOUND:
        on_found(s, msg_body(m, answer_found_msg));
        break;
    case CARRIER_KEPT:
        on_kept(s, msg_body(m, admitted_msg));
        break;
    default:
        break;
    }
}

static const char *answering_state(const struct actor *a)
{
    return state_names[container_of(a, struct answering, actor)->state];
}

const struct actor_type answering_type = {.name = "answering",
                                          .size_bytes = sizeof(struct answering),
                                          .handle = answering_handle,
                                          .state = answering_state};
