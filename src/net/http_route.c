#include "net/http_server.h"

#include <errno.h>

bool http_path_match(const char *pattern, struct slice path, struct slice *param)
{
    struct slice want = slice_str(pattern);

    *param = SLICE_NONE;
    for (;;) {
        struct slice want_rest, path_rest;
        struct slice piece = slice_cut(want, '/', &want_rest);
        struct slice given = slice_cut(path, '/', &path_rest);
        if (slice_equal(piece, SLICE("{}"))) {
            if (given.len == 0)
                return false;
            *param = given;
        } else if (!slice_equal(piece, given)) {
            return false;
        }
        /* A final slash leaves an empty rest that is not the same as no rest at all. */
        bool want_more = piece.len < want.len, path_more = given.len < path.len;
        if (want_more != path_more)
            return false;
        if (!want_more)
            return true;
        want = want_rest;
        path = path_rest;
    }
}

bool http_ask_arg(const struct http_ask *ask, const char *name, struct slice *value)
{
    struct slice rest = ask->query;

    while (rest.len) {
        struct slice piece = slice_cut(rest, '\0', &rest);
        if (slice_equal(slice_cut(piece, '=', value), slice_str(name)))
            return true;
    }
    *value = SLICE_NONE;
    return false;
}

/* Without its scheme; an empty one is no origin of ours ("null" is a page that has none). */
static struct slice origin_host(struct slice origin)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_starts(origin, slice_str(schemes[i])))
            return slice_of(origin.at + strlen(schemes[i]), origin.len - strlen(schemes[i]));
    return SLICE_NONE;
}

struct slice http_host_name(struct slice host)
{
    struct slice rest;

    if (host.len && host.at[0] == '[')
        for (size_t i = 0; i < host.len; i++)
            if (host.at[i] == ']')
                return slice_of(host.at, i + 1);
    return slice_cut(host, ':', &rest);
}

static bool is_known(struct slice host, struct slice known)
{
    struct slice name = http_host_name(host);
    struct address address;
    struct slice inner = name;

    if (name.len > 2 && name.at[0] == '[')
        inner = slice_of(name.at + 1, name.len - 2);
    return address_parse(inner, false, &address) == 0 ||
           slice_equal_nocase(name, SLICE("localhost")) ||
           (known.len && slice_equal_nocase(name, http_host_name(known)));
}

bool http_ask_own(const struct http_ask *ask, struct slice known)
{
    if (ask->origin.len == 0)
        return true;
    struct slice host = origin_host(ask->origin);
    return host.len && slice_equal_nocase(host, ask->host) && is_known(host, known);
}

bool http_ask_by_own_name(const struct http_ask *ask, struct slice known)
{
    return ask->host.len == 0 || is_known(ask->host, known);
}

int http_range(struct slice range, uint64_t size, uint64_t *from, uint64_t *bytes)
{
    const struct slice unit = SLICE("bytes=");
    struct slice last;
    uint64_t first = 0, end = 0;

    if (!slice_starts(range, unit))
        return -ENOENT;
    range = slice_of(range.at + unit.len, range.len - unit.len);
    if (memchr(range.at, ',', range.len) || !memchr(range.at, '-', range.len))
        return -ENOENT;
    struct slice begin = slice_trim(slice_cut(range, '-', &last));
    last = slice_trim(last);
    if ((begin.len && slice_u64(begin, UINT64_MAX / 2, &first)) ||
        (last.len && slice_u64(last, UINT64_MAX / 2, &end)) || (!begin.len && !last.len))
        return -ENOENT;
    if (!begin.len) { /* the last so many */
        first = end < size ? size - end : 0;
        end = size - 1;
        if (first == size)
            return -ERANGE;
    } else if (!last.len || end >= size) {
        end = size - 1;
    }
    if (first >= size || (begin.len && last.len && end < first))
        return first >= size ? -ERANGE : -ENOENT;
    *from = first;
    *bytes = end - first + 1;
    return 0;
}
