/* Certificates for tests, made on the spot: an authority, and what it signs. Written as PEM files
 * into a temporary folder. Included by one test program each. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
    char certificate_path[128], key_path[128];
};

static inline void certificate_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(extension && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* `names`: as "DNS:a.test,IP:127.0.0.1", or NULL for an authority. `issuer` NULL: signs itself.
 * Valid from `from_s` to `to_s` seconds from now. */
static inline void certificate_make(struct certificate *c, const char *folder, const char *file,
                                    const struct certificate *issuer, const char *names,
                                    long from_s, long to_s)
{
    static long serial;

    memset(c, 0, sizeof(*c));
    c->key = EVP_EC_gen("P-256");
    c->x509 = X509_new();
    assert(c->key && c->x509);
    X509_set_version(c->x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c->x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c->x509), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c->x509), to_s);
    X509_set_pubkey(c->x509, c->key);
    X509_NAME *name = X509_get_subject_name(c->x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)file, -1, -1, 0);
    X509_set_issuer_name(c->x509, issuer ? X509_get_subject_name(issuer->x509) : name);
    certificate_extension(c->x509, issuer ? issuer->x509 : c->x509, NID_basic_constraints,
                          names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names)
        certificate_extension(c->x509, issuer ? issuer->x509 : c->x509, NID_subject_alt_name,
                              names);
    assert(X509_sign(c->x509, issuer ? issuer->key : c->key, EVP_sha256()) > 0);
    snprintf(c->certificate_path, sizeof(c->certificate_path), "%s/%s.pem", folder, file);
    snprintf(c->key_path, sizeof(c->key_path), "%s/%s.key", folder, file);
    FILE *f = fopen(c->certificate_path, "we");
    assert(f && PEM_write_X509(f, c->x509) == 1 && fclose(f) == 0);
    f = fopen(c->key_path, "we");
    assert(f && PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
}

static inline void certificate_free(struct certificate *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    if (c->certificate_path[0]) {
        unlink(c->certificate_path);
        unlink(c->key_path);
    }
    memset(c, 0, sizeof(*c));
}

#endif
