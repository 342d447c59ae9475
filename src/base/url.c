#include "base/url.h"

#include <errno.h>
#include <string.h>

static int bad(const char **what, const char *why)
{
    *what = why;
    return -EINVAL;
}

static bool printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] >= 0x7F || s.at[i] == '#')
            return false;
    return true;
}

static bool scheme_taken(struct slice scheme, const char *schemes)
{
    struct slice rest = slice_str(schemes);

    /* ends: each round cuts one name off */
    while (rest.len)
        if (slice_equal(slice_cut(rest, ' ', &rest), scheme))
            return true;
    return false;
}

/* Letters, digits and what names and numeric addresses are made of. */
static bool host_valid(struct slice host, bool bracketed)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.at[i] | 0x20;
        bool letter = (c >= 'a' && c <= 'z') || (host.at[i] >= '0' && host.at[i] <= '9');
        if (!letter && !strchr(bracketed ? ":." : "-._", host.at[i]))
            return false;
    }
    return host.len > 0;
}

/* The host and what follows its colon, which is empty when none was given. */
static int cut_port(struct slice authority, struct slice *host, struct slice *port,
                    const char **what)
{
    const uint8_t *close = authority.len ? memchr(authority.at, ']', authority.len) : NULL;

    *host = authority;
    *port = SLICE_NONE;
    if (authority.len && authority.at[0] == '[') {
        if (!close)
            return bad(what, "an IPv6 address needs its closing bracket");
        size_t end = (size_t)(close - authority.at);
        *host = slice_of(authority.at + 1, end - 1);
        *port = slice_of(close + 1, authority.len - end - 1);
        if (port->len && port->at[0] != ':')
            return bad(what, "something else than a port follows the host");
        if (port->len == 1)
            return bad(what, "the port is not a number from 1 to 65535");
        *port = port->len ? slice_of(port->at + 1, port->len - 1) : SLICE_NONE;
    } else if (authority.len && memchr(authority.at, ':', authority.len)) {
        *host = slice_cut(authority, ':', port);
        if (port->len == 0)
            return bad(what, "the port is not a number from 1 to 65535");
    }
    return 0;
}

static int split_authority(struct url *u, struct slice authority, const char **what)
{
    struct slice host, port;
    uint64_t number;
    int err = cut_port(authority, &host, &port, what);

    if (err)
        return err;
    if (!host_valid(host, authority.len && authority.at[0] == '['))
        return bad(what, "the host is missing or holds what no host name may");
    if (port.len == 0)
        port = url_secure(u) ? SLICE("443") : SLICE("80");
    if (slice_u64(port, 65535, &number) < 0 || number == 0)
        return bad(what, "the port is not a number from 1 to 65535");
    if (slice_cstr(host, u->host, sizeof(u->host)) < 0 ||
        slice_cstr(port, u->port, sizeof(u->port)) < 0 ||
        slice_cstr(authority, u->authority, sizeof(u->authority)) < 0)
        return bad(what, "the host or the port is too long");
    return 0;
}

/* Where the authority ends: at the first '/' or '?'. */
static size_t authority_len(struct slice rest)
{
    size_t n = 0;

    while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?')
        n++;
    return n;
}

int url_parse(struct url *u, struct slice text, const char *schemes, const char **what)
{
    struct slice rest;
    struct builder target = builder_of(u->target, sizeof(u->target) - 1);

    memset(u, 0, sizeof(*u));
    if (!printable(text))
        return bad(what, "it holds blanks, a fragment or characters that are not ASCII");
    struct slice scheme = slice_cut(text, ':', &rest);
    if (!slice_starts(rest, SLICE("//")) || slice_cstr(scheme, u->scheme, sizeof(u->scheme)) < 0 ||
        !scheme_taken(scheme, schemes))
        return bad(what, "it does not begin with a scheme that is supported");
    rest = slice_of(rest.at + 2, rest.len - 2);
    size_t n = authority_len(rest);
    if (n == rest.len || rest.at[n] != '/')
        builder_u8(&target, '/');
    builder_bytes(&target, rest.at + n, rest.len - n);
    if (target.bad)
        return bad(what, "the path is too long");
    return split_authority(u, slice_of(rest.at, n), what);
}

bool url_secure(const struct url *u)
{
    return strcmp(u->scheme, "wss") == 0 || strcmp(u->scheme, "https") == 0;
}

uint16_t url_port(const struct url *u)
{
    uint64_t number = 0;

    return slice_u64(slice_str(u->port), 65535, &number) ? 0 : (uint16_t)number;
}

struct slice url_last_segment(const struct url *u)
{
    struct slice query, rest = slice_cut(slice_str(u->target), '?', &query);
    struct slice last = SLICE_NONE;

    /* ends: each round cuts one segment off */
    while (rest.len) {
        struct slice part = slice_cut(rest, '/', &rest);
        last = part.len ? part : last;
    }
    return last;
}
