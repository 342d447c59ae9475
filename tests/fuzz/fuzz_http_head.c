/* A head whole and growing in pieces gives the same answer; both roles. */
#include <stdlib.h>

#include "net/http_head.h"
#include "net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct slice in, size_t step)
{
    static struct http_head whole, slow;
    struct http_result a, b = {0};
    struct http_upgrade up;
    const char *what;

    memset(&whole, 0, sizeof(whole));
    memset(&slow, 0, sizeof(slow));
    a = http_request(&whole, in);
    for (size_t n = 0; b.outcome == HTTP_MORE && n < in.len;) {
        n = in.len - n < step ? in.len : n + step;
        b = http_request(&slow, slice_of(in.at, n));
    }
    if (in.len && (a.outcome != b.outcome || a.status != b.status || a.used != b.used))
        abort();
    if (a.outcome != HTTP_OK)
        return;
    if (whole.target.len == 0 || whole.target.at[0] != '/' || a.used > in.len)
        abort();
    if (http_wants_upgrade(&whole) && http_upgrade_check(&whole, &up, &what) == 0 &&
        up.key.len != WS_KEY_CHARS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    const char *what;

    if (size == 0)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    check_request(in, 1u + data[0]);
    memset(&head, 0, sizeof(head));
    if (http_response(&head, in).outcome == HTTP_OK &&
        ws_check_response(&head, "dGhlIHNhbXBsZSBub25jZQ==", SLICE("a, b"), &what) == 0 &&
        head.status != 101)
        abort();
    return 0;
}
