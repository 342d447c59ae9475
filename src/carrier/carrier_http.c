#include "carrier/carrier_http.h"

#include <errno.h>

#include "base/base64.h"

#define CARRIER_HTTP(ops) extern const struct carrier_http_ops ops;
#include "carrier/carriers_http.def"
#undef CARRIER_HTTP

_Static_assert(HTTP_ARGS_MAX <= UINT8_MAX, "a field's index fits a byte");

static const struct carrier_http_ops *const carriers[] = {
#define CARRIER_HTTP(ops) &ops,
#include "carrier/carriers_http.def"
#undef CARRIER_HTTP
};

const struct carrier_http_ops *carrier_http_at(size_t i)
{
    return i < ARRAY_LEN(carriers) ? carriers[i] : NULL;
}

const struct carrier_http_ops *carrier_http_named(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
        if (slice_equal(slice_str(carriers[i]->name), name))
            return carriers[i];
    return NULL;
}

/* ---- fields ---- */

struct slice carrier_field_of(const struct carrier_request *r, const char *name)
{
    for (size_t i = 0; i < r->field_count; i++)
        if (slice_equal(r->fields[i].name, slice_str(name)))
            return r->fields[i].value;
    for (size_t i = 0; i < r->query_count; i++)
        if (slice_equal(r->query[i].name, slice_str(name)))
            return r->query[i].value;
    return SLICE_NONE;
}

static bool plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i], low = c | 0x20;
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && !memchr("+-_.:@ ", c, 7))
            return false;
    }
    return true;
}

void carrier_field_text(const struct carrier_request *r, const char *name, char *out,
                        size_t out_bytes)
{
    struct slice value = slice_trim(carrier_field_of(r, name));

    if (!plain(value) || slice_cstr(value, out, out_bytes))
        out[0] = '\0';
}

static int bytes_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int first = len ? memcmp(a.at, b.at, len) : 0;

    return first ? first : (a.len > b.len) - (a.len < b.len);
}

static int field_compare(const struct carrier_field *a, const struct carrier_field *b)
{
    int first = bytes_compare(a->name, b->name);

    return first ? first : bytes_compare(a->value, b->value);
}

void carrier_field_sort(const struct carrier_field *fields, size_t count, uint8_t *order)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at && field_compare(&fields[order[at - 1]], &fields[i]) > 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (uint8_t)i;
    }
}

/* ---- texts ---- */

void carrier_xml(struct builder *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            builder_str(out, "&amp;");
            break;
        case '<':
            builder_str(out, "&lt;");
            break;
        case '>':
            builder_str(out, "&gt;");
            break;
        case '"':
            builder_str(out, "&quot;");
            break;
        case '\'':
            builder_str(out, "&apos;");
            break;
        default:
            if ((uint8_t)*c >= 0x20 && *c != 0x7F)
                builder_u8(out, (uint8_t)*c);
        }
    }
}

static void form_text(struct builder *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        uint8_t byte = (uint8_t)*c, low = byte | 0x20;
        bool unreserved = (low >= 'a' && low <= 'z') || (byte >= '0' && byte <= '9') ||
                          byte == '-' || byte == '_' || byte == '.' || byte == '~';
        if (unreserved)
            builder_u8(out, byte);
        else
            builder_printf(out, "%%%02X", byte);
    }
}

void carrier_form(struct builder *out, size_t begin, const char *name, const char *value)
{
    if (out->len > begin)
        builder_u8(out, '&');
    form_text(out, name);
    builder_u8(out, '=');
    form_text(out, value);
}

void carrier_basic(struct builder *out, const struct carrier_account *account)
{
    char pair[512];
    struct builder b = builder_of(pair, sizeof(pair));

    builder_str(&b, account->id);
    builder_u8(&b, ':');
    builder_str(&b, account->secret);
    out->bad = out->bad || b.bad;
    builder_str(out, "Authorization: Basic ");
    base64_build(out, builder_slice(&b));
    builder_str(out, "\r\n");
}

int carrier_rest_end(struct carrier_rest *rest, const char *method, const struct builder *out,
                     size_t url_end, size_t body_begin)
{
    if (out->bad)
        return -EMSGSIZE;
    rest->method = method;
    rest->url = slice_of(out->at, url_end);
    rest->head = slice_of(out->at + url_end, body_begin - url_end);
    rest->body = slice_of(out->at + body_begin, out->len - body_begin);
    return 0;
}
