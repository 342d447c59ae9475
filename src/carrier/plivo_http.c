/* Plivo's HTTP half: answer and hang-up webhooks, Plivo XML, X-Plivo-Signature-V3, and the Call
 * resource of its REST API (v1). Pure. */
#include <errno.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/hmac.h"
#include "carrier/plivo_http.h"

/* ---- the signature, version 3 ----
 * base64(HMAC-SHA256(secret, URL "?" query ["." fields] "." nonce)), where the query's arguments
 * and the fields are sorted, decoded, and a POST with fields has its "?" also without a query. */

static void add_query(struct hmac *h, const struct carrier_request *r)
{
    uint8_t order[HTTP_ARGS_MAX];

    carrier_field_sort(r->query, r->query_count, order);
    for (size_t i = 0; i < r->query_count; i++) {
        if (i)
            hmac_add(h, SLICE("&"));
        hmac_add(h, r->query[order[i]].name);
        hmac_add(h, SLICE("="));
        hmac_add(h, r->query[order[i]].value);
    }
}

static void add_fields(struct hmac *h, const struct carrier_request *r)
{
    uint8_t order[HTTP_ARGS_MAX];

    carrier_field_sort(r->fields, r->field_count, order);
    for (size_t i = 0; i < r->field_count; i++) {
        hmac_add(h, r->fields[order[i]].name);
        hmac_add(h, r->fields[order[i]].value);
    }
}

static size_t sign(const struct carrier_account *account, const struct carrier_request *r,
                   char text[BASE64_CHARS(HMAC_BYTES_MAX)])
{
    uint8_t code[HMAC_BYTES_MAX];
    struct slice query;
    struct hmac h;

    hmac_begin(&h, HMAC_SHA256, slice_str(account->secret));
    hmac_add(&h, r->base);
    hmac_add(&h, slice_cut(r->target, '?', &query));
    if (r->query_count || r->field_count)
        hmac_add(&h, SLICE("?"));
    add_query(&h, r);
    if (r->query_count && r->field_count)
        hmac_add(&h, SLICE("."));
    add_fields(&h, r);
    hmac_add(&h, SLICE("."));
    hmac_add(&h, r->nonce);
    size_t len = hmac_end(&h, code);
    return base64_encode(slice_of(code, len), text);
}

bool plivo_signature_in(struct slice header, struct slice signature)
{
    bool good = false;

    while (header.len)
        good |= hmac_equal(signature, slice_trim(slice_cut(header, ',', &header)));
    return good;
}

static int verify(const struct carrier_account *account, const struct carrier_request *r)
{
    char text[BASE64_CHARS(HMAC_BYTES_MAX)];

    if (account->secret[0] == '\0' || r->nonce.len == 0)
        return -EACCES;
    size_t len = sign(account, r, text);
    return plivo_signature_in(r->signature, slice_of(text, len)) ? 0 : -EACCES;
}

/* ---- what it says ---- */

/* An answer URL is asked for a call that begins, and told of its end, unless a hang-up URL of its
 * own is. */
static enum carrier_notice_kind kind_of(const struct carrier_request *r)
{
    struct slice event = carrier_field_of(r, "Event");
    bool begins = event.len == 0 || slice_equal(event, SLICE("StartApp"));

    return slice_equal(r->what, SLICE("answer")) && begins ? CARRIER_ASKS : CARRIER_TELLS;
}

int plivo_read(const struct carrier_request *r, struct carrier_notice *news, const char **what)
{
    char duration[16];
    uint64_t seconds;

    *news = (struct carrier_notice){.duration_s = -1, .kind = kind_of(r)};
    carrier_field_text(r, "CallUUID", news->call_id, sizeof(news->call_id));
    carrier_field_text(r, "From", news->from, sizeof(news->from));
    carrier_field_text(r, "To", news->to, sizeof(news->to));
    carrier_field_text(r, "CallStatus", news->status, sizeof(news->status));
    carrier_field_text(r, "HangupCause", news->cause, sizeof(news->cause));
    carrier_field_text(r, "Duration", duration, sizeof(duration));
    news->outbound = slice_equal(carrier_field_of(r, "Direction"), SLICE("outbound"));
    if (news->call_id[0] == '\0') {
        *what = "CallUUID must be given";
        return -EINVAL;
    }
    if (duration[0] && slice_u64(slice_str(duration), 86400 * 7, &seconds) == 0)
        news->duration_s = (int64_t)seconds;
    snprintf(news->event_id, sizeof(news->event_id), "%s:%s", news->call_id,
             news->cause[0] ? news->cause : news->status);
    return 0;
}

/* ---- Plivo XML ---- */

/* The socket's address is the element's text, without a blank around it; the token rides in its
 * path, since extraHeaders take letters and digits alone. */
void plivo_answer(const struct carrier_answer *a, struct builder *out)
{
    builder_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>");
    if (!a->media_url) {
        builder_str(out, "<Hangup reason=\"busy\"/></Response>\n");
        return;
    }
    builder_str(out, "<Stream bidirectional=\"true\" keepCallAlive=\"true\" "
                     "contentType=\"audio/x-mulaw;rate=8000\">");
    carrier_xml(out, a->media_url);
    builder_str(out, "/");
    carrier_xml(out, a->token);
    builder_str(out, "</Stream></Response>\n");
}

/* ---- REST ---- */

void plivo_dial_body(const struct carrier_dial *d, struct builder *out)
{
    struct jsonw w;

    jsonw_init(&w, out);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "from", d->from);
    jsonw_put_cstr(&w, "to", d->to);
    jsonw_put_cstr(&w, "answer_url", d->answer_url);
    jsonw_put_cstr(&w, "answer_method", "POST");
    jsonw_put_cstr(&w, "hangup_url", d->status_url);
    jsonw_put_cstr(&w, "hangup_method", "POST");
    if (d->ring_s)
        jsonw_put_int(&w, "ring_timeout", d->ring_s);
    jsonw_end(&w);
    out->bad = out->bad || jsonw_finish(&w);
}

static int dial(const struct carrier_account *account, const struct carrier_dial *d,
                struct builder *out, struct carrier_rest *rest)
{
    out->len = 0;
    builder_printf(out, "%s/v1/Account/%s/Call/", account->url, account->id);
    size_t url_end = out->len;
    carrier_basic(out, account);
    builder_str(out, "Content-Type: application/json\r\n");
    size_t begin = out->len;
    plivo_dial_body(d, out);
    return carrier_rest_end(rest, "POST", out, url_end, begin);
}

static int hang_up(const struct carrier_account *account, const char *call_id, struct builder *out,
                   struct carrier_rest *rest)
{
    out->len = 0;
    builder_printf(out, "%s/v1/Account/%s/Call/%s/", account->url, account->id, call_id);
    size_t url_end = out->len;
    carrier_basic(out, account);
    return carrier_rest_end(rest, "DELETE", out, url_end, out->len);
}

/* request_uuid is one id, or a list when several were dialled. */
static int request_id(const struct json_doc *doc, char *call_id, size_t id_bytes)
{
    return json_kind_of(doc, "request_uuid") == JSON_KIND_LIST
               ? json_text_of(doc, "request_uuid.0", call_id, id_bytes)
               : json_text_of(doc, "request_uuid", call_id, id_bytes);
}

int plivo_request_id(const char *who, uint16_t status, struct slice body, char *call_id,
                     size_t id_bytes, char *why, size_t why_bytes)
{
    struct json_doc doc = {0};
    char message[200] = "no reason given";
    int err = json_read(&doc, body, HTTP_BODY_BYTES_MAX, NULL);

    if (!err && json_text_of(&doc, "error", message, sizeof(message)))
        snprintf(message, sizeof(message), "no reason given");
    if (!err)
        err = status / 100 == 2 ? request_id(&doc, call_id, id_bytes) : -EREMOTEIO;
    json_free(&doc);
    if (!err && carrier_id_plain(slice_str(call_id)))
        return 0;
    call_id[0] = '\0';
    snprintf(why, why_bytes, "%s answered %u: %s", who, status, message);
    return -EREMOTEIO;
}

static int dialled(uint16_t status, struct slice body, char *call_id, size_t id_bytes, char *why,
                   size_t why_bytes)
{
    return plivo_request_id("Plivo", status, body, call_id, id_bytes, why, why_bytes);
}

const struct carrier_http_ops carrier_http_plivo = {
    .name = "plivo",
    .signature_header = "X-Plivo-Signature-V3",
    .nonce_header = "X-Plivo-Signature-V3-Nonce",
    .xml_type = "application/xml",
    .answer_path = "answer",
    .status_path = "hangup",
    .verify = verify,
    .read = plivo_read,
    .answer = plivo_answer,
    .dial = dial,
    .hang_up = hang_up,
    .dialled = dialled,
};
