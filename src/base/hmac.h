/* Keyed hashes (HMAC, RFC 2104) over bytes that come in pieces, and their comparison in constant
 * time: what carriers' signatures are made of. A thin cover over OpenSSL, which allocates, so it is
 * for requests and not for packets. No state beyond the caller's struct. Any thread. */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include "base/bytes.h"

#define HMAC_BYTES_MAX 32

enum hmac_hash { HMAC_SHA1, HMAC_SHA256 };

struct hmac {
    void *mac; /* EVP_MAC_CTX; NULL after a failure: then hmac_end says so */
};

void hmac_begin(struct hmac *h, enum hmac_hash hash, struct slice key);
void hmac_add(struct hmac *h, struct slice bytes);
/* Frees what it holds. The length of the code in `out`, or 0 if OpenSSL failed anywhere. */
size_t hmac_end(struct hmac *h, uint8_t out[HMAC_BYTES_MAX]);

/* Are these the same? Time depends on the lengths alone. */
bool hmac_equal(struct slice a, struct slice b);

#endif
