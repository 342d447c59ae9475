/* Twilio's HTTP half: voice webhooks answered with TwiML, status callbacks, X-Twilio-Signature, and
 * the Calls resource of its REST API (version 2010-04-01). Pure. */
#include <errno.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/hmac.h"
#include "carrier/carrier_http.h"

#define API_VERSION "/2010-04-01/Accounts/"

/* ---- the signature: base64(HMAC-SHA1(secret, URL + sorted name and value of each field)) ---- */

enum port_form { PORT_AS_GIVEN, PORT_ADDED, PORT_REMOVED };

struct url_parts {
    struct slice scheme; /* with "://" */
    struct slice host;   /* without the port */
    struct slice port;   /* ":443", or empty */
    struct slice path;   /* of the base, or empty */
    struct slice target;
};

/* `base` may have a path, which a proxy in front takes off; an IPv6 literal keeps its brackets. */
static struct url_parts url_split(const struct carrier_request *r)
{
    struct url_parts u = {.target = r->target};
    struct slice authority = r->base, rest;

    for (size_t i = 0; i + 3 <= r->base.len; i++)
        if (memcmp(r->base.at + i, "://", 3) == 0) {
            u.scheme = slice_of(r->base.at, i + 3);
            authority = slice_of(r->base.at + i + 3, r->base.len - i - 3);
            break;
        }
    authority = slice_cut(authority, '/', &rest);
    u.path = slice_of(authority.at + authority.len, rest.len ? rest.len + 1 : 0);
    size_t colon = authority.len;
    for (size_t i = authority.len; i && authority.at[i - 1] != ']'; i--)
        if (authority.at[i - 1] == ':')
            colon = i - 1;
    u.host = slice_of(authority.at, colon);
    u.port = slice_of(authority.at + colon, authority.len - colon);
    return u;
}

static bool is_secure(const struct url_parts *u)
{
    return slice_equal(u->scheme, SLICE("https://")) || slice_equal(u->scheme, SLICE("wss://"));
}

static void add_url(struct hmac *h, const struct url_parts *u, enum port_form form)
{
    hmac_add(h, u->scheme);
    hmac_add(h, u->host);
    if (form == PORT_AS_GIVEN)
        hmac_add(h, u->port);
    else if (form == PORT_ADDED)
        hmac_add(h, is_secure(u) ? SLICE(":443") : SLICE(":80"));
    hmac_add(h, u->path);
    hmac_add(h, u->target);
}

/* Fields by name; the values of a repeated one by value, each once. */
static void add_fields(struct hmac *h, const struct carrier_request *r)
{
    uint8_t order[HTTP_ARGS_MAX];

    carrier_field_sort(r->fields, r->field_count, order);
    for (size_t i = 0; i < r->field_count; i++) {
        const struct carrier_field *f = &r->fields[order[i]];
        const struct carrier_field *before = i ? &r->fields[order[i - 1]] : NULL;
        if (before && slice_equal(before->name, f->name) && slice_equal(before->value, f->value))
            continue;
        hmac_add(h, f->name);
        hmac_add(h, f->value);
    }
}

static bool signed_as(const struct carrier_account *account, const struct carrier_request *r,
                      const struct url_parts *u, enum port_form form, bool with_fields)
{
    uint8_t code[HMAC_BYTES_MAX];
    char text[BASE64_CHARS(HMAC_BYTES_MAX)];
    struct hmac h;

    hmac_begin(&h, HMAC_SHA1, slice_str(account->secret));
    add_url(&h, u, form);
    if (with_fields)
        add_fields(&h, r);
    size_t len = hmac_end(&h, code);
    return hmac_equal(slice_of(text, base64_encode(slice_of(code, len), text)), r->signature);
}

/* A body that is no form is signed by its hash in the query. True too when there is none. */
static bool body_hash_fits(const struct carrier_request *r, bool *hashed)
{
    static const char name[] = "bodySHA256=";
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    struct slice rest, query, piece;

    *hashed = false;
    (void)slice_cut(r->target, '?', &query);
    while (query.len) {
        piece = slice_cut(query, '&', &rest);
        query = rest;
        if (!slice_starts(piece, slice_str(name)))
            continue;
        char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
        *hashed = true;
        if (!EVP_Digest(r->body.at, r->body.len, digest, &len, EVP_sha256(), NULL))
            return false;
        for (unsigned i = 0; i < len; i++)
            snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        return hmac_equal(slice_str(hex),
                          slice_of(piece.at + sizeof(name) - 1, piece.len - sizeof(name) + 1));
    }
    return true;
}

static int verify(const struct carrier_account *account, const struct carrier_request *r)
{
    struct url_parts u = url_split(r);
    bool hashed, good = false;

    if (account->secret[0] == '\0' || !body_hash_fits(r, &hashed))
        return -EACCES;
    for (int form = PORT_AS_GIVEN; form <= PORT_REMOVED; form++)
        good |= signed_as(account, r, &u, (enum port_form)form, r->post && !hashed);
    return good ? 0 : -EACCES;
}

/* ---- what it says ---- */

static int read(const struct carrier_request *r, struct carrier_notice *news, const char **what)
{
    char sequence[16], duration[16];
    uint64_t seconds;

    *news = (struct carrier_notice){.duration_s = -1};
    news->kind = slice_equal(r->what, SLICE("voice")) ? CARRIER_ASKS : CARRIER_TELLS;
    carrier_field_text(r, "CallSid", news->call_id, sizeof(news->call_id));
    carrier_field_text(r, "From", news->from, sizeof(news->from));
    carrier_field_text(r, "To", news->to, sizeof(news->to));
    carrier_field_text(r, "CallStatus", news->status, sizeof(news->status));
    carrier_field_text(r, "AnsweredBy", news->cause, sizeof(news->cause));
    carrier_field_text(r, "SequenceNumber", sequence, sizeof(sequence));
    carrier_field_text(r, "CallDuration", duration, sizeof(duration));
    news->outbound = slice_starts(carrier_field_of(r, "Direction"), SLICE("outbound"));
    if (news->call_id[0] == '\0') {
        *what = "CallSid must be given";
        return -EINVAL;
    }
    if (duration[0] && slice_u64(slice_str(duration), 86400 * 7, &seconds) == 0)
        news->duration_s = (int64_t)seconds;
    snprintf(news->event_id, sizeof(news->event_id), "%s:%s", news->call_id,
             sequence[0] ? sequence : news->status);
    return 0;
}

/* ---- TwiML ---- */

static void parameter(struct builder *out, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    builder_str(out, "<Parameter name=\"");
    builder_str(out, name);
    builder_str(out, "\" value=\"");
    carrier_xml(out, value);
    builder_str(out, "\"/>");
}

/* No query survives in a stream's URL: what the socket must know goes into parameters. */
static void answer(const struct carrier_answer *a, struct builder *out)
{
    builder_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>");
    if (!a->media_url) {
        builder_str(out, "<Reject reason=\"busy\"/></Response>\n");
        return;
    }
    builder_str(out, "<Connect><Stream url=\"");
    carrier_xml(out, a->media_url);
    builder_str(out, "\">");
    parameter(out, "token", a->token);
    parameter(out, "from", a->news->from);
    parameter(out, "to", a->news->to);
    builder_str(out, "</Stream></Connect></Response>\n");
}

/* ---- REST ---- */

static void head(struct builder *out, const struct carrier_account *account)
{
    carrier_basic(out, account);
    builder_str(out, "Content-Type: application/x-www-form-urlencoded\r\n");
}

static int dial(const struct carrier_account *account, const struct carrier_dial *d,
                struct builder *out, struct carrier_rest *rest)
{
    static const char *const events[] = {"initiated", "ringing", "answered", "completed"};
    char seconds[12];

    out->len = 0;
    builder_printf(out, "%s" API_VERSION "%s/Calls.json", account->url, account->id);
    size_t url_end = out->len;
    head(out, account);
    size_t begin = out->len;
    carrier_form(out, begin, "To", d->to);
    carrier_form(out, begin, "From", d->from);
    carrier_form(out, begin, "Url", d->answer_url);
    carrier_form(out, begin, "StatusCallback", d->status_url);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        carrier_form(out, begin, "StatusCallbackEvent", events[i]);
    snprintf(seconds, sizeof(seconds), "%d", (int)d->ring_s);
    if (d->ring_s)
        carrier_form(out, begin, "Timeout", seconds);
    return carrier_rest_end(rest, "POST", out, url_end, begin);
}

static int hang_up(const struct carrier_account *account, const char *call_id, struct builder *out,
                   struct carrier_rest *rest)
{
    out->len = 0;
    builder_printf(out, "%s" API_VERSION "%s/Calls/%s.json", account->url, account->id, call_id);
    size_t url_end = out->len;
    head(out, account);
    size_t begin = out->len;
    carrier_form(out, begin, "Status", "completed");
    return carrier_rest_end(rest, "POST", out, url_end, begin);
}

static int dialled(uint16_t status, struct slice body, char *call_id, size_t id_bytes, char *why,
                   size_t why_bytes)
{
    struct json_doc doc = {0};
    char message[200] = "no reason given";
    int err = json_read(&doc, body, HTTP_BODY_BYTES_MAX, NULL);

    if (!err && json_text_of(&doc, "message", message, sizeof(message)))
        snprintf(message, sizeof(message), "no reason given");
    if (!err)
        err = status / 100 == 2 ? json_text_of(&doc, "sid", call_id, id_bytes) : -EREMOTEIO;
    json_free(&doc);
    if (!err && carrier_id_plain(slice_str(call_id)))
        return 0;
    call_id[0] = '\0';
    snprintf(why, why_bytes, "Twilio answered %u: %s", status, message);
    return -EREMOTEIO;
}

const struct carrier_http_ops carrier_http_twilio = {
    .name = "twilio",
    .signature_header = "X-Twilio-Signature",
    .xml_type = "text/xml",
    .answer_path = "voice",
    .status_path = "status",
    .verify = verify,
    .read = read,
    .answer = answer,
    .dial = dial,
    .hang_up = hang_up,
    .dialled = dialled,
};
