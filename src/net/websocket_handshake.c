/* The opening handshake (RFC 6455 section 4): the second half of websocket.h. */
#include <errno.h>
#include <openssl/sha.h>

#include "base/base64.h"
#include "net/http_head.h"
#include "net/websocket.h"

void ws_key(const uint8_t random[16], char out[WS_KEY_CHARS + 1])
{
    base64_encode(slice_of(random, 16), out);
    out[WS_KEY_CHARS] = '\0';
}

void ws_accept(struct slice key, char out[WS_ACCEPT_CHARS + 1])
{
    uint8_t joined[WS_KEY_CHARS + 36], digest[SHA_DIGEST_LENGTH];
    struct builder b = builder_of(joined, sizeof(joined));

    /* A key of another length is refused before; cutting it here keeps this total. */
    if (key.len > WS_KEY_CHARS)
        key.len = WS_KEY_CHARS;
    builder_slice_add(&b, key);
    builder_str(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    SHA1(joined, b.len, digest);
    base64_encode(slice_of(digest, sizeof(digest)), out);
    out[WS_ACCEPT_CHARS] = '\0';
}

void ws_build_101(struct builder *b, struct slice key, struct slice protocol)
{
    char accept[WS_ACCEPT_CHARS + 1];

    ws_accept(key, accept);
    builder_printf(b,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
                   accept);
    if (protocol.len)
        builder_printf(b, WS_PROTOCOL_HEADER ": %.*s\r\n", SLICE_ARG(protocol));
    builder_str(b, "\r\n");
}

/* Nothing that could end a line or a word of the request head. */
static bool one_word(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] >= 0x7F)
            return false;
    return s.len > 0;
}

void ws_build_request(struct builder *b, struct slice host, struct slice target, const char *key,
                      struct slice head)
{
    if (!one_word(host) || !one_word(target) || target.at[0] != '/') {
        b->bad = true;
        return;
    }
    builder_str(b, "GET ");
    builder_slice_add(b, target);
    builder_str(b, " HTTP/1.1\r\nHost: ");
    builder_slice_add(b, host);
    builder_str(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
    builder_str(b, key);
    builder_str(b, "\r\nSec-WebSocket-Version: 13\r\n");
    builder_slice_add(b, head);
    builder_str(b, "\r\n");
}

static bool offered(struct slice protocols, struct slice chosen)
{
    while (protocols.len)
        if (slice_equal(slice_trim(slice_cut(protocols, ',', &protocols)), chosen))
            return true;
    return false;
}

static const char *response_fault(const struct http_head *head, const char *key,
                                  struct slice protocols)
{
    char want[WS_ACCEPT_CHARS + 1];
    size_t accepts, extensions, chosen;
    struct slice accept = http_header_find(head, "Sec-WebSocket-Accept", &accepts);
    struct slice protocol = http_header_find(head, WS_PROTOCOL_HEADER, &chosen);

    http_header_find(head, "Sec-WebSocket-Extensions", &extensions);
    ws_accept(slice_str(key), want);
    if (head->status != 101 || head->minor != 1)
        return "the server did not switch protocols";
    if (!slice_equal_nocase(http_header_find(head, "Upgrade", NULL), SLICE("websocket")))
        return "the answer does not upgrade to websocket";
    if (!http_header_has(head, "Connection", "upgrade"))
        return "the answer's Connection does not name upgrade";
    if (accepts != 1 || !slice_equal(accept, slice_str(want)))
        return "the answer's Sec-WebSocket-Accept does not fit our key";
    if (extensions)
        return "the server uses an extension that was not offered";
    if (chosen > 1 || (chosen && !offered(protocols, protocol)))
        return "the server chose a subprotocol that was not offered";
    return NULL;
}

int ws_check_response(const struct http_head *head, const char *key, struct slice protocols,
                      const char **what)
{
    const char *fault = response_fault(head, key, protocols);

    *what = fault ? fault : "";
    return fault ? -EPROTO : 0;
}
