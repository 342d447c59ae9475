/* What a stranger may say to either end of a TLS connection: whatever it is, in whatever pieces,
 * the end that hears it says so in order, and nothing is given out that was not said under a key.
 * The first byte chooses the end and how long the pieces are. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tls.h"
#include "tests/unit/certificates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *client, *server;

static void begin(void)
{
    char folder[] = "/tmp/fuzz-tls-XXXXXX", why[200];
    struct certificate own;
    int err = 0;

    if (client)
        return;
    assert(mkdtemp(folder));
    certificate_make(&own, folder, "own", NULL, "DNS:api.test", -86400, 86400);
    err |= tls_client_context_new(own.certificate_path, &client, why, sizeof(why));
    err |= tls_server_context_new(own.certificate_path, own.key_path, &server, why, sizeof(why));
    assert(!err);
    certificate_free(&own);
    rmdir(folder);
}

static void drain(struct tls *t)
{
    uint8_t out[4096];

    while (tls_take(t, out, sizeof(out)))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t plain[1024];
    int rc = -EAGAIN;

    begin();
    if (!size)
        return 0;
    bool serves = data[0] & 1;
    size_t step = (size_t)(data[0] >> 1) + 1;
    struct tls *t = tls_new(serves ? server : client, serves ? NULL : "api.test", 443);
    assert(t);
    for (size_t at = 1; at < size && rc == -EAGAIN; at += step) {
        size_t n = size - at < step ? size - at : step;
        assert(tls_feed(t, slice_of(data + at, n)) == 0);
        rc = tls_handshake(t);
        drain(t);
    }
    assert(rc != 0); /* nobody shakes hands by chance */
    assert(rc == -EAGAIN || tls_what(t)[0]);
    assert(tls_read(t, plain, sizeof(plain)) <= 0);
    tls_close(t);
    drain(t);
    tls_free(&t);
    return 0;
}
