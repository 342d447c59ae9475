/* Any text as a media token: never one that holds unless it was signed, and minting reads back. */
#include <assert.h>

#include "store/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct token_key key = {{1, 2, 3}};
    static const uint8_t nonce[TOKEN_NONCE_BYTES] = {9};
    char agent[TOKEN_AGENT_MAX + 8];
    char text[TOKEN_TEXT_BYTES];
    struct token token;

    assert(token_verify(&key, slice_of(data, size), 0, &token) < 0);
    if (slice_cstr(slice_of(data, size), agent, sizeof(agent)) || memchr(data, 0, size))
        return 0;
    if (token_mint(&key, agent, 1000, nonce, text, sizeof(text)) == 0) {
        assert(token_verify(&key, slice_str(text), 1000, &token) == 0);
        assert(!strcmp(token.agent, agent));
    }
    return 0;
}
