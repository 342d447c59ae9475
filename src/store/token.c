#include "store/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define VERSION     1
#define MAC_BYTES   32
#define FIXED_BYTES (1 + 8 + TOKEN_NONCE_BYTES) /* version, expiry, nonce; the agent follows */
#define RAW_MAX     (FIXED_BYTES + TOKEN_AGENT_MAX + MAC_BYTES)

/* ---- the key ---- */

static int key_read(const char *path, struct token_key *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, out->bytes, sizeof(out->bytes));

    close(fd);
    return n == (ssize_t)sizeof(out->bytes) ? 0 : -EBADMSG;
}

static int key_write(const char *path)
{
    struct token_key key;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int rc = RAND_bytes(key.bytes, sizeof(key.bytes)) == 1 ? 0 : -EIO;

    if (!rc && write(fd, key.bytes, sizeof(key.bytes)) != (ssize_t)sizeof(key.bytes))
        rc = -ENOSPC;
    if (!rc && fsync(fd) < 0)
        rc = -errno;
    OPENSSL_cleanse(&key, sizeof(key));
    close(fd);
    return rc;
}

/* Written whole beside it and then linked: the name never shows half a key, and link() lets only
 * one process win. */
static int key_make(const char *path)
{
    char part[4200];

    snprintf(part, sizeof(part), "%s.%d", path, (int)getpid());
    (void)unlink(part); /* left by a killed process of the same id */
    int rc = key_write(part);

    if (!rc && link(part, path) < 0 && errno != EEXIST)
        rc = -errno;
    (void)unlink(part);
    return rc;
}

int token_key_load(const char *data_dir, struct token_key *out, char *why, size_t why_bytes)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/media.key", data_dir);
    int rc = len < (int)sizeof(path) ? 0 : -ENAMETOOLONG;

    if (!rc && mkdir(data_dir, 0700) < 0 && errno != EEXIST)
        rc = -errno;
    if (!rc)
        rc = key_read(path, out);
    if (rc == -ENOENT) {
        rc = key_make(path);
        if (!rc)
            rc = key_read(path, out);
    }
    if (rc)
        snprintf(why, why_bytes, "the key of media tokens %s cannot be used: %s", path,
                 rc == -EBADMSG ? "it is not 32 bytes long" : strerror(-rc));
    return rc;
}

/* ---- the text ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Base64url without padding (RFC 4648 section 5). */
static void text_encode(struct slice raw, struct builder *b)
{
    uint32_t bits = 0;
    int have = 0;

    for (size_t i = 0; i < raw.len; i++) {
        bits = (bits << 8) | raw.at[i];
        for (have += 8; have >= 6; have -= 6)
            builder_u8(b, (uint8_t)alphabet[(bits >> (have - 6)) & 63]);
    }
    if (have)
        builder_u8(b, (uint8_t)alphabet[(bits << (6 - have)) & 63]);
}

/* One text per value: left-over bits must be zero. */
static int text_decode(struct slice text, struct builder *b)
{
    uint32_t bits = 0;
    int have = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *c = text.at[i] ? strchr(alphabet, text.at[i]) : NULL;

        if (!c)
            return -EINVAL;
        bits = (bits << 6) | (uint32_t)(c - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            builder_u8(b, (uint8_t)(bits >> have));
        }
    }
    return b->bad || have == 6 || (bits & ((1u << have) - 1)) ? -EINVAL : 0;
}

static int mac_make(const struct token_key *key, struct slice text, uint8_t out[MAC_BYTES])
{
    unsigned len = MAC_BYTES;

    return HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), text.at, text.len, out, &len) &&
                   len == MAC_BYTES
               ? 0
               : -EIO;
}

int token_nonce(uint8_t out[TOKEN_NONCE_BYTES])
{
    return RAND_bytes(out, TOKEN_NONCE_BYTES) == 1 ? 0 : -EIO;
}

int token_mint(const struct token_key *key, const char *agent, int64_t wall_ms,
               const uint8_t nonce[TOKEN_NONCE_BYTES], char *out, size_t out_bytes)
{
    uint8_t raw[RAW_MAX];
    uint8_t mac[MAC_BYTES];
    struct builder b = builder_of(raw, sizeof(raw));
    size_t len = strlen(agent);

    if (!len || len > TOKEN_AGENT_MAX)
        return -EINVAL;
    if (out_bytes < TOKEN_TEXT_BYTES)
        return -EMSGSIZE;
    builder_u8(&b, VERSION);
    builder_u64(&b, (uint64_t)(wall_ms + TOKEN_LIFE_MS));
    builder_bytes(&b, nonce, TOKEN_NONCE_BYTES);
    builder_bytes(&b, agent, len);
    int rc = mac_make(key, builder_slice(&b), mac);

    if (rc)
        return rc;
    builder_bytes(&b, mac, sizeof(mac));
    struct builder text = builder_of(out, out_bytes - 1);

    text_encode(builder_slice(&b), &text);
    out[text.len] = '\0';
    return b.bad || text.bad ? -EMSGSIZE : 0;
}

/* The signature first: nothing that is not ours is looked into. */
static int raw_verify(const struct token_key *key, struct slice raw)
{
    uint8_t mac[MAC_BYTES];

    if (raw.len <= FIXED_BYTES + MAC_BYTES)
        return -EINVAL;
    int rc = mac_make(key, slice_of(raw.at, raw.len - MAC_BYTES), mac);

    if (rc)
        return rc;
    return CRYPTO_memcmp(mac, raw.at + raw.len - MAC_BYTES, MAC_BYTES) ? -EACCES : 0;
}

int token_verify(const struct token_key *key, struct slice text, int64_t wall_ms, struct token *out)
{
    uint8_t bytes[RAW_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));

    if (text.len >= TOKEN_TEXT_BYTES || text_decode(text, &b))
        return -EINVAL;
    struct slice raw = builder_slice(&b);
    int rc = raw_verify(key, raw);

    if (rc)
        return rc;
    struct reader r = reader_of(slice_of(raw.at, raw.len - MAC_BYTES));

    if (reader_u8(&r) != VERSION)
        return -EINVAL;
    out->expires_ms = (int64_t)reader_u64(&r);
    memcpy(out->nonce, reader_take(&r, TOKEN_NONCE_BYTES).at, TOKEN_NONCE_BYTES);
    if (slice_cstr(reader_take(&r, reader_left(&r)), out->agent, sizeof(out->agent)))
        return -EINVAL;
    return wall_ms >= out->expires_ms ? -ETIMEDOUT : 0;
}

int token_redeem(struct store *store, const struct token *token)
{
    char id[2 * TOKEN_NONCE_BYTES + 1];
    char doc[256];
    struct builder b = builder_of(doc, sizeof(doc));

    for (size_t i = 0; i < TOKEN_NONCE_BYTES; i++)
        snprintf(id + 2 * i, 3, "%02x", token->nonce[i]);
    /* An agent's id needs no escaping: letters, digits, - and _ (config/agent.h); others are
     * refused here as no JSON. */
    builder_printf(&b, "{\"agent\":\"%s\",\"expires_at\":%lld}", token->agent,
                   (long long)token->expires_ms);
    if (b.bad)
        return -EINVAL;
    return store_insert(store, STORE_TENANT, "media_tokens", id, builder_slice(&b));
}
