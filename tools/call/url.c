#include "tools/call/url.h"

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

static int split_authority(struct url *u, struct slice authority, const char **what)
{
    struct slice host = authority, port = SLICE("80");
    const uint8_t *close = authority.len ? memchr(authority.at, ']', authority.len) : NULL;
    uint64_t number;

    if (authority.len && authority.at[0] == '[') {
        if (!close)
            return bad(what, "an IPv6 address needs its closing bracket");
        size_t end = (size_t)(close - authority.at);
        host = slice_of(authority.at + 1, end - 1);
        port = slice_of(close + 1, authority.len - end - 1);
        if (port.len && port.at[0] != ':')
            return bad(what, "something else than a port follows the host");
        port = port.len ? slice_of(port.at + 1, port.len - 1) : SLICE("80");
    } else if (authority.len && memchr(authority.at, ':', authority.len)) {
        host = slice_cut(authority, ':', &port);
    }
    if (host.len == 0 || memchr(host.at, '@', host.len))
        return bad(what, "the host is missing or holds a user name");
    if (slice_u64(port, 65535, &number) < 0 || number == 0)
        return bad(what, "the port is not a number from 1 to 65535");
    if (slice_cstr(host, u->host, sizeof(u->host)) < 0 ||
        slice_cstr(port, u->port, sizeof(u->port)) < 0 ||
        slice_cstr(authority, u->authority, sizeof(u->authority)) < 0)
        return bad(what, "the host or the port is too long");
    return 0;
}

int url_parse(struct url *u, struct slice text, const char *schemes, const char **what)
{
    struct slice rest, target;

    memset(u, 0, sizeof(*u));
    if (!printable(text))
        return bad(what, "it holds blanks, a fragment or characters that are not ASCII");
    struct slice scheme = slice_cut(text, ':', &rest);
    if (!slice_starts(rest, SLICE("//")) || slice_cstr(scheme, u->scheme, sizeof(u->scheme)) < 0 ||
        !scheme_taken(scheme, schemes))
        return bad(what, "it does not begin with a scheme that is supported");
    rest = slice_of(rest.at + 2, rest.len - 2);
    struct slice authority = slice_cut(rest, '/', &target);
    target =
        authority.len == rest.len ? SLICE("/") : slice_of(rest.at + authority.len, target.len + 1);
    if (slice_cstr(target, u->target, sizeof(u->target)) < 0)
        return bad(what, "the path is too long");
    return split_authority(u, authority, what);
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
