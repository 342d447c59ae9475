/* Vobiz's HTTP half: Plivo's webhooks and XML with a signature and a REST API of its own, in which
 * the case of a path and its final slash matter. Also what is asked at /answer. Pure. */
#include <errno.h>

#include "base/base64.h"
#include "base/hmac.h"
#include "carrier/plivo_http.h"

/* Version 3: base64(HMAC-SHA256(secret, URL without query "." nonce)); it does not cover the form.
 */
static int verify(const struct carrier_account *account, const struct carrier_request *r)
{
    uint8_t code[HMAC_BYTES_MAX];
    char text[BASE64_CHARS(HMAC_BYTES_MAX)];
    struct slice query;
    struct hmac h;

    if (account->secret[0] == '\0' || r->nonce.len == 0)
        return -EACCES;
    hmac_begin(&h, HMAC_SHA256, slice_str(account->secret));
    hmac_add(&h, r->base);
    hmac_add(&h, slice_cut(r->target, '?', &query));
    hmac_add(&h, SLICE("."));
    hmac_add(&h, r->nonce);
    size_t len = hmac_end(&h, code);
    len = base64_encode(slice_of(code, len), text);
    return plivo_signature_in(r->signature, slice_of(text, len)) ? 0 : -EACCES;
}

static void head(const struct carrier_account *account, struct builder *out)
{
    builder_printf(out, "X-Auth-ID: %s\r\nX-Auth-Token: %s\r\n", account->id, account->secret);
}

static int dial(const struct carrier_account *account, const struct carrier_dial *d,
                struct builder *out, struct carrier_rest *rest)
{
    out->len = 0;
    builder_printf(out, "%s/Account/%s/Call/", account->url, account->id);
    size_t url_end = out->len;
    head(account, out);
    builder_str(out, "Content-Type: application/json\r\n");
    size_t begin = out->len;
    plivo_dial_body(d, out);
    return carrier_rest_end(rest, "POST", out, url_end, begin);
}

static int hang_up(const struct carrier_account *account, const char *call_id, struct builder *out,
                   struct carrier_rest *rest)
{
    out->len = 0;
    builder_printf(out, "%s/Account/%s/Call/%s/", account->url, account->id, call_id);
    size_t url_end = out->len;
    head(account, out);
    return carrier_rest_end(rest, "DELETE", out, url_end, out->len);
}

static int dialled(uint16_t status, struct slice body, char *call_id, size_t id_bytes, char *why,
                   size_t why_bytes)
{
    return plivo_request_id("Vobiz", status, body, call_id, id_bytes, why, why_bytes);
}

const struct carrier_http_ops carrier_http_vobiz = {
    .name = "vobiz",
    .signature_header = "X-Vobiz-Signature-V3",
    .nonce_header = "X-Vobiz-Signature-V3-Nonce",
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
