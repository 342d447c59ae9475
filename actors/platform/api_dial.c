/* POST /calls with a number to call: one request to the carrier's REST API, made by a shard's
 * network actor. The call itself comes later, when whoever is called answers and the carrier asks
 * for it. */
#include "actors/platform/api_inner.h"

#include <stdio.h>
#include <string.h>

#include "actors/text.h"
#include "carrier/carrier_http.h"

#define DIAL_NS       SECONDS(15)
#define FIRST_BYTE_MS 10000u
#define RING_S_MAX    600

/* What is asked for, as far as it is known to be good. */
struct order {
    const struct carrier_http_ops *ops;
    struct carrier_account account;
    char to[CARRIER_NUMBER_BYTES], from[CARRIER_NUMBER_BYTES];
    int64_t ring_s;
};

static bool is_number(const char *text)
{
    size_t digits = strspn(text + (*text == '+'), "0123456789");

    return digits >= 3 && digits <= 15 && text[digits + (*text == '+')] == '\0';
}

static const struct config_account *account_of(const struct api *api,
                                               const struct carrier_http_ops *ops)
{
    return config_account(api_world(api)->world->config, ops->name);
}

/* The carrier that is named, or the only one with an account. */
static const struct carrier_http_ops *carrier_of(const struct api *api, const struct json_doc *doc)
{
    const struct carrier_http_ops *ops, *only = NULL;
    struct slice name = json_slice_of(doc, "carrier");
    size_t count = 0;

    if (json_kind_of(doc, "carrier") != JSON_KIND_NONE)
        return name.at ? carrier_http_named(name) : NULL;
    for (size_t i = 0; (ops = carrier_http_at(i)); i++) {
        if (!account_of(api, ops)->secret[0])
            continue;
        only = ops;
        count++;
    }
    return count == 1 ? only : NULL;
}

/* What is wrong with the field that *field names; NULL: nothing. */
static const char *order_read(const struct api *api, const struct json_doc *doc, struct order *o,
                              const char **field)
{
    *field = "carrier";
    o->ops = carrier_of(api, doc);
    if (!o->ops)
        return "carrier must be twilio, plivo or vobiz, and given unless just one is configured";
    const struct config_account *mine = account_of(api, o->ops);
    o->account = (struct carrier_account){.id = mine->id, .secret = mine->secret, .url = mine->url};
    if (!mine->secret[0])
        return "this carrier's account is not configured";
    *field = "to";
    if (json_text_of(doc, "to", o->to, sizeof(o->to)) || !is_number(o->to))
        return "to must be a number of 3 to 15 digits, with or without a +";
    *field = "from";
    snprintf(o->from, sizeof(o->from), "%s", mine->from);
    if (json_kind_of(doc, "from") != JSON_KIND_NONE &&
        json_text_of(doc, "from", o->from, sizeof(o->from)))
        return "from must be a number of 3 to 15 digits, with or without a +";
    if (!is_number(o->from))
        return "from must be given, here or in the configuration";
    *field = "ring_seconds";
    if (json_kind_of(doc, "ring_seconds") != JSON_KIND_NONE &&
        json_int_of(doc, "ring_seconds", 1, RING_S_MAX, &o->ring_s))
        return "ring_seconds must be a whole number from 1 to 600";
    return NULL;
}

/* URL, head and body one after the other, as the network actor wants them. */
static int compose(const struct api *api, const struct order *o, const char *agent,
                   struct builder *b, struct carrier_rest *rest)
{
    const char *public = api_world(api)->world->config->public_url;
    char answer[URL_BYTES + 200], status[URL_BYTES + 200];
    struct carrier_dial dial = {.from = o->from,
                                .to = o->to,
                                .answer_url = answer,
                                .status_url = status,
                                .ring_s = (int32_t)o->ring_s};

    snprintf(answer, sizeof(answer), "%s/%s/%s?agent=%s", public, o->ops->name, o->ops->answer_path,
             agent);
    snprintf(status, sizeof(status), "%s/%s/%s", public, o->ops->name, o->ops->status_path);
    return o->ops->dial(&o->account, &dial, b, rest);
}

static void request(struct api *api, struct op *op, const struct carrier_rest *rest,
                    struct slice text)
{
    struct net_request_msg body = {.cookie = op_cookie(api, op),
                                   .label = NET_LABEL_NONE,
                                   .url_bytes = (uint32_t)rest->url.len,
                                   .head_bytes = (uint32_t)rest->head.len,
                                   .first_byte_ms = FIRST_BYTE_MS,
                                   .total_ms = FIRST_BYTE_MS};
    frame_ref ref = text_frame(&api->actor, text);

    snprintf(body.method, sizeof(body.method), "%s", rest->method);
    op->waiting = 1;
    if (ref != FRAME_NONE &&
        actor_send_body(&api->actor, network_of(api->next_shard++ % api_world(api)->world->shards),
                        NET_REQUEST, IF_FULL_DROP, ref, &body, sizeof(body)))
        return;
    op->waiting = 0;
    answer_fail(api, op->request, 503, "busy", "the network cannot be reached now", NULL);
}

void on_dial(struct api *api, const struct http_ask *ask, const struct json_doc *doc,
             const struct agent *agent)
{
    struct order order = {0};
    struct carrier_rest rest;
    struct builder b = text_builder(&api->actor);
    const char *field = NULL, *wrong = order_read(api, doc, &order, &field);

    if (wrong) {
        answer_fail(api, ask->id, 400, "invalid", wrong, field);
        return;
    }
    if (compose(api, &order, agent->id, &b, &rest)) {
        answer_fail(api, ask->id, 400, "invalid", "the request would be too long", NULL);
        return;
    }
    struct op *op = op_new(api, ask, DIAL_NS);
    if (!op)
        return;
    op->carrier = order.ops;
    op->status = 0;
    log_info("api", NULL, "%s is asked to call %s from %s for %s", order.ops->name, order.to,
             order.from, agent->id);
    request(api, op, &rest, builder_slice(&b));
}

/* ---- the carrier's answer ---- */

static struct op *dialling(struct api *api, uint32_t cookie)
{
    struct op *op = op_find(api, cookie);

    return op && op->route == ROUTE_CALL_PLACE && op->carrier && op->waiting ? op : NULL;
}

static void refused(struct api *api, struct op *op, const char *why)
{
    log_warn("api", NULL, "a call was not placed: %s", why);
    op->waiting = 0;
    answer_fail(api, op->request, 502, "carrier", why, NULL);
}

static void dialled(struct api *api, struct op *op)
{
    char id[CARRIER_ID_BYTES], why[MESSAGE_BYTES];
    struct builder b;

    if (op->carrier->dialled(op->status, slice_of(op->text, op->len), id, sizeof(id), why,
                             sizeof(why))) {
        refused(api, op, why);
        return;
    }
    op->waiting = 0;
    struct jsonw w = answer_begin(api, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "carrier", op->carrier->name);
    jsonw_put_cstr(&w, "carrier_call_id", id);
    jsonw_end(&w);
    answer_send(api, op->request, 201, &w);
}

void on_net(struct api *api, const struct msg *m)
{
    struct op *op = dialling(api, msg_body(m, net_cookie_msg)->cookie);

    if (!op)
        return;
    switch (m->type) {
    case NET_STATUS:
        op->status = (uint16_t)msg_body(m, net_status_msg)->status;
        break;
    case NET_CHUNK:
        if (op->len > HTTP_BODY_BYTES_MAX || !frames_load(api, op, m->frame))
            refused(api, op, "the carrier's answer is too long");
        break;
    case NET_END:
        dialled(api, op);
        break;
    default: { /* NET_FAILED */
        char why[MESSAGE_BYTES];
        snprintf(why, sizeof(why), "%s cannot be reached: %s", op->carrier->name,
                 msg_body(m, net_failed_msg)->what);
        refused(api, op, why);
    }
    }
}
