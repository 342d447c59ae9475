/* URLs of agent files: whatever is taken has all its parts, within their bounds, and says the same
 * again when it is put together. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct url u, again;
    static char text[sizeof(struct url) + 8];
    const char *what = NULL;

    if (url_parse(&u, slice_of(data, size), "ws wss http https", &what)) {
        assert(what && what[0]);
        return 0;
    }
    assert(u.host[0] && u.target[0] == '/' && url_port(&u) > 0);
    assert(!strpbrk(u.authority, "@/?# \r\n") && !strpbrk(u.target, "# \r\n"));
    snprintf(text, sizeof(text), "%s://%s%s", u.scheme, u.authority, u.target);
    assert(url_parse(&again, slice_str(text), "ws wss http https", &what) == 0);
    assert(memcmp(&u, &again, sizeof(u)) == 0);
    (void)url_last_segment(&u);
    return 0;
}
