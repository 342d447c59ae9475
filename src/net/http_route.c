#include "net/http_server.h"

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
