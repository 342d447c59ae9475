#include "provider/web.h"

#include <errno.h>
#include <stdio.h>

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void web_query(struct builder *url, const char *key, struct slice value)
{
    bool first = url->len == 0 || !memchr(url->at, '?', url->len);

    builder_u8(url, first ? '?' : '&');
    builder_str(url, key);
    builder_u8(url, '=');
    for (size_t i = 0; i < value.len; i++) {
        if (is_unreserved(value.at[i]))
            builder_u8(url, value.at[i]);
        else
            builder_printf(url, "%%%02X", value.at[i]);
    }
}

void web_query_int(struct builder *url, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    web_query(url, key, slice_str(text));
}

bool web_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < 0x20 || text.at[i] > 0x7E)
            return false;
    return true;
}

void web_header_word(struct builder *head, const char *name, const char *word, struct slice value)
{
    if (!web_printable(value)) {
        head->bad = true;
        return;
    }
    builder_printf(head, "%s: %s%s", name, word, word[0] ? " " : "");
    builder_slice_add(head, value);
    builder_str(head, "\r\n");
}

void web_header(struct builder *head, const char *name, struct slice value)
{
    web_header_word(head, name, "", value);
}

/* ---- URLs ---- */

static bool scheme_known(struct slice scheme, const char *schemes)
{
    struct slice rest = slice_str(schemes);

    while (rest.len)
        if (slice_equal(slice_cut(rest, ' ', &rest), scheme))
            return true;
    return false;
}

int web_url_check(struct slice url, const char *schemes, const char **what)
{
    struct slice rest, path, scheme = slice_cut(url, ':', &rest);

    *what = "is too long";
    if (url.len > WEB_URL_MAX)
        return -EMSGSIZE;
    *what = "has a scheme that does not fit here";
    if (!scheme_known(scheme, schemes) || !slice_starts(rest, SLICE("//")))
        return -EINVAL;
    *what = "holds a character that does not belong there";
    for (size_t i = 0; i < url.len; i++)
        if (url.at[i] <= 0x20 || url.at[i] > 0x7E || strchr("\"<>\\^`{|}#?@", url.at[i]))
            return -EINVAL;
    struct slice host = slice_cut(slice_of(rest.at + 2, rest.len - 2), '/', &path);
    *what = "names no host";
    return host.len && host.at[0] != ':' ? 0 : -EINVAL;
}

struct slice web_url_base(struct slice url)
{
    while (url.len && url.at[url.len - 1] == '/')
        url.len--;
    return url;
}

/* ---- multipart ---- */

void web_parts_begin(struct web_parts *p, struct builder *out, struct slice content)
{
    p->out = out;
    for (uint32_t n = 0; n < 1000; n++) {
        snprintf(p->boundary, sizeof(p->boundary), "sidetone-part-%010u", n * 2654435761u);
        if (content.len == 0 || !memmem(content.at, content.len, p->boundary, WEB_BOUNDARY_CHARS))
            return;
    }
    out->bad = true; /* content made to hold them all */
}

/* Names and files are the code's own literals; only values come from outside. */
static void part_head(struct web_parts *p, const char *name)
{
    builder_printf(p->out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"", p->boundary,
                   name);
}

void web_parts_field(struct web_parts *p, const char *name, struct slice value)
{
    if (value.len && memmem(value.at, value.len, p->boundary, WEB_BOUNDARY_CHARS))
        p->out->bad = true;
    part_head(p, name);
    builder_str(p->out, "\r\n\r\n");
    builder_slice_add(p->out, value);
    builder_str(p->out, "\r\n");
}

void web_parts_file(struct web_parts *p, const char *name, const char *file, const char *type)
{
    part_head(p, name);
    builder_printf(p->out, "; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n", file, type);
}

void web_parts_end(struct web_parts *p)
{
    builder_printf(p->out, "\r\n--%s--\r\n", p->boundary);
}
