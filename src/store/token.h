/* Media tokens: leave to open one media socket to one agent, within a minute, once. The text is
 * signed (HMAC-SHA256, RFC 2104) with a key that all processes of one data directory share; single
 * use is the store's: redeeming inserts the nonce as a unique _id. Minting and verifying are pure
 * (any thread); key loading and redeeming block (boot, store lane). */
#ifndef STORE_TOKEN_H
#define STORE_TOKEN_H

#include "store/store.h"

#define TOKEN_KEY_BYTES   32
#define TOKEN_NONCE_BYTES 16
#define TOKEN_AGENT_MAX   64
#define TOKEN_TEXT_BYTES  192 /* of the text with its NUL, whatever the agent */
#define TOKEN_LIFE_MS     60000

struct token_key {
    uint8_t bytes[TOKEN_KEY_BYTES];
};

/* What a token says. */
struct token {
    char agent[TOKEN_AGENT_MAX + 1];
    int64_t expires_ms; /* wall clock */
    uint8_t nonce[TOKEN_NONCE_BYTES];
};

/* The key of this data directory, made (0600) by whoever comes first; two processes that start at
 * once end up with the same one. 0 or -errno with a sentence. */
MUST_USE int token_key_load(const char *data_dir, struct token_key *out, char *why,
                            size_t why_bytes);
/* 128 random bits from OpenSSL. -EIO when it has none. */
MUST_USE int token_nonce(uint8_t out[TOKEN_NONCE_BYTES]);
/* A text of letters, digits, - and _ that holds from `wall_ms` for TOKEN_LIFE_MS. -EINVAL: the
 * agent's id is empty or too long; -EMSGSIZE: `out` is smaller than TOKEN_TEXT_BYTES. */
MUST_USE int token_mint(const struct token_key *key, const char *agent, int64_t wall_ms,
                        const uint8_t nonce[TOKEN_NONCE_BYTES], char *out, size_t out_bytes);
/* 0, -EINVAL (not a token), -EACCES (not signed by us), -ETIMEDOUT (expired). Constant time in what
 * is secret. */
MUST_USE int token_verify(const struct token_key *key, struct slice text, int64_t wall_ms,
                          struct token *out);
/* Uses a verified token up: -EEXIST when somebody has. */
MUST_USE int token_redeem(struct store *store, const struct token *token);

#endif
