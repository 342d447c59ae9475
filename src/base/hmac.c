#include "base/hmac.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static void hmac_drop(struct hmac *h)
{
    EVP_MAC_CTX_free(h->mac);
    h->mac = NULL;
}

void hmac_begin(struct hmac *h, enum hmac_hash hash, struct slice key)
{
    char sha1[] = "SHA1", sha256[] = "SHA256";
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                            hash == HMAC_SHA1 ? sha1 : sha256, 0),
                           OSSL_PARAM_construct_end()};

    h->mac = algorithm ? EVP_MAC_CTX_new(algorithm) : NULL;
    EVP_MAC_free(algorithm); /* the context holds it */
    if (h->mac && !EVP_MAC_init(h->mac, key.len ? key.at : (const uint8_t *)"", key.len, digest))
        hmac_drop(h);
}

void hmac_add(struct hmac *h, struct slice bytes)
{
    if (h->mac && bytes.len && !EVP_MAC_update(h->mac, bytes.at, bytes.len))
        hmac_drop(h);
}

size_t hmac_end(struct hmac *h, uint8_t out[HMAC_BYTES_MAX])
{
    size_t len = 0;

    if (h->mac && !EVP_MAC_final(h->mac, out, &len, HMAC_BYTES_MAX))
        len = 0;
    hmac_drop(h);
    return len;
}

bool hmac_equal(struct slice a, struct slice b)
{
    return a.len == b.len && a.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0;
}
