#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/address.h"

#define HOST_KEY_BYTES 272 /* "host:port" */
#define WHAT_BYTES     160

static const unsigned char http_only[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

struct tls_context {
    SSL_CTX *ctx;
    bool server;
};

struct tls {
    SSL *ssl;
    BIO *in;  /* owned by ssl */
    BIO *out; /* owned by ssl */
    char key[HOST_KEY_BYTES];
    char what[WHAT_BYTES];
};

/* What a client may resume. One shard's thread alone touches it. */
static _Thread_local struct {
    struct {
        char key[HOST_KEY_BYTES];
        SSL_SESSION *session;
        uint64_t used;
    } at[TLS_SESSIONS_MAX];
    uint64_t count;
} sessions;

/* ---- sessions ---- */

static void session_keep(const char *key, SSL_SESSION *take)
{
    size_t oldest = 0;

    for (size_t i = 0; i < TLS_SESSIONS_MAX; i++) {
        if (strcmp(sessions.at[i].key, key) == 0) {
            oldest = i;
            break;
        }
        if (sessions.at[i].used < sessions.at[oldest].used)
            oldest = i;
    }
    SSL_SESSION_free(sessions.at[oldest].session);
    snprintf(sessions.at[oldest].key, HOST_KEY_BYTES, "%s", key);
    sessions.at[oldest].session = take;
    sessions.at[oldest].used = ++sessions.count;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls *t = SSL_get_app_data(ssl);

    if (!t || !t->key[0])
        return 0;
    session_keep(t->key, session);
    return 1; /* the reference is ours now */
}

static void session_use(struct tls *t)
{
    for (size_t i = 0; i < TLS_SESSIONS_MAX; i++)
        if (sessions.at[i].session && strcmp(sessions.at[i].key, t->key) == 0 &&
            SSL_SESSION_is_resumable(sessions.at[i].session))
            SSL_set_session(t->ssl, sessions.at[i].session);
}

void tls_thread_free(void)
{
    for (size_t i = 0; i < TLS_SESSIONS_MAX; i++) {
        SSL_SESSION_free(sessions.at[i].session);
        sessions.at[i].session = NULL;
        sessions.at[i].key[0] = '\0';
    }
}

/* ---- contexts ---- */

/* OpenSSL's own words for what happened last; empties its queue. */
static const char *openssl_says(const char *fallback)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        text = strerror(ERR_GET_REASON(code));
    ERR_clear_error();
    return text ? text : fallback;
}

static struct tls_context *context_new(bool server)
{
    struct tls_context *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->server = server;
    c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!c->ctx) {
        free(c);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    return c;
}

int tls_client_context_new(const char *ca_file, struct tls_context **out, char *why,
                           size_t why_bytes)
{
    struct tls_context *c = context_new(false);
    bool own = ca_file && ca_file[0];

    *out = NULL;
    if (!c) {
        snprintf(why, why_bytes, "TLS cannot be set up: %s", openssl_says("out of memory"));
        return -ENOMEM;
    }
    if ((own ? SSL_CTX_load_verify_file(c->ctx, ca_file)
             : SSL_CTX_set_default_verify_paths(c->ctx)) != 1) {
        snprintf(why, why_bytes, "%s: no certificates can be read from it: %s",
                 own ? ca_file : "the system's certificates", openssl_says("none is there"));
        tls_context_free(&c);
        return -EINVAL;
    }
    ERR_clear_error();
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(c->ctx, http_only, sizeof(http_only));
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, on_session);
    *out = c;
    return 0;
}

/* HTTP/1.1 or nothing: a client that offers only other protocols is told so. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *context)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)context;
    if (SSL_select_next_proto(&chosen, out_len, http_only, sizeof(http_only), in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int tls_server_context_new(const char *certificate, const char *key, struct tls_context **out,
                           char *why, size_t why_bytes)
{
    struct tls_context *c = context_new(true);
    const char *file = certificate;

    *out = NULL;
    if (!c) {
        snprintf(why, why_bytes, "TLS cannot be set up: %s", openssl_says("out of memory"));
        return -ENOMEM;
    }
    bool good = SSL_CTX_use_certificate_chain_file(c->ctx, certificate) == 1;
    if (good) {
        file = key;
        good = SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) == 1 &&
               SSL_CTX_check_private_key(c->ctx) == 1;
    }
    if (!good) {
        snprintf(why, why_bytes, "%s: %s", file, openssl_says("it cannot be used"));
        tls_context_free(&c);
        return -EINVAL;
    }
    SSL_CTX_set_alpn_select_cb(c->ctx, choose_alpn, NULL);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    SSL_CTX_set_session_id_context(c->ctx, http_only, sizeof(http_only));
    *out = c;
    return 0;
}

int tls_files_try(const char *certificate, const char *key, char *why, size_t why_bytes)
{
    struct tls_context *tried = NULL;
    int err = tls_server_context_new(certificate, key, &tried, why, why_bytes);

    tls_context_free(&tried);
    return err;
}

void tls_context_free(struct tls_context **context)
{
    if (!*context)
        return;
    SSL_CTX_free((*context)->ctx);
    free(*context);
    *context = NULL;
}

/* ---- connections ---- */

static bool set_peer(struct tls *t, const char *host, uint16_t port)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    struct address literal;

    snprintf(t->key, sizeof(t->key), "%s:%u", host, port);
    if (address_parse(slice_str(host), false, &literal) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(t->ssl, host) == 1 && SSL_set_tlsext_host_name(t->ssl, host) == 1;
}

struct tls *tls_new(struct tls_context *context, const char *host, uint16_t port)
{
    struct tls *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->ssl = SSL_new(context->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    if (context->server) {
        SSL_set_accept_state(t->ssl);
        return t;
    }
    SSL_set_connect_state(t->ssl);
    if (!set_peer(t, host, port))
        tls_free(&t);
    else
        session_use(t);
    return t;
}

void tls_free(struct tls **t_at)
{
    struct tls *t = *t_at;

    if (!t)
        return;
    /* A socket that just ends, as most do, is no reason to forget its session. */
    if (SSL_is_init_finished(t->ssl) && !t->what[0])
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    free(t);
    *t_at = NULL;
}

int tls_feed(struct tls *t, struct slice bytes)
{
    if (bytes.len && BIO_write(t->in, bytes.at, (int)bytes.len) != (int)bytes.len)
        return -ENOMEM;
    return 0;
}

static int failed(struct tls *t, const char *fallback)
{
    long verdict = SSL_get_verify_result(t->ssl);

    if (verdict != X509_V_OK) {
        snprintf(t->what, sizeof(t->what), "the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verdict));
        ERR_clear_error();
        return -EACCES;
    }
    snprintf(t->what, sizeof(t->what), "TLS failed: %s", openssl_says(fallback));
    return -EPROTO;
}

int tls_handshake(struct tls *t)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);

    if (rc == 1)
        return 0;
    int code = SSL_get_error(t->ssl, rc);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    return failed(t, "the handshake broke off");
}

int tls_read(struct tls *t, void *out, size_t size)
{
    size_t got = 0;

    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, out, size, &got);
    if (rc == 1)
        return (int)got;
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return failed(t, "a record could not be read");
    }
}

int tls_write(struct tls *t, struct slice bytes)
{
    size_t put = 0;

    ERR_clear_error();
    if (bytes.len == 0)
        return 0;
    if (SSL_write_ex(t->ssl, bytes.at, bytes.len, &put) != 1 || put != bytes.len)
        return failed(t, "a record could not be written");
    return 0;
}

void tls_close(struct tls *t)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

size_t tls_take(struct tls *t, void *out, size_t size)
{
    size_t got = 0;

    if (BIO_ctrl_pending(t->out) == 0)
        return 0;
    return BIO_read_ex(t->out, out, size, &got) == 1 ? got : 0;
}

const char *tls_what(const struct tls *t)
{
    return t->what;
}

bool tls_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}
