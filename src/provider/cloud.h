/* What all providers behind a network have in common when an agent is loaded: reading settings with
 * a complaint that names the key, the API key from the agent's file or the vendor's variable, the
 * base URL. And how the world's errors are told apart. Control thread for the cloud_* readers, any
 * thread for the rest; the value of a key is never part of a complaint. */
#ifndef PROVIDER_CLOUD_H
#define PROVIDER_CLOUD_H

#include "provider/provider.h"

#define CLOUD_KEY_MAX 1024 /* bytes of an API key; longer ones are refused */

/* A load in progress. The first complaint stays, and later reads give fallbacks. */
struct cloud {
    const struct provider_ops *ops;
    const struct provider_config *config;
    char *why;
    size_t why_bytes;
    int err; /* 0 or -errno */
};

struct cloud cloud_begin(const struct provider_ops *ops, const struct provider_config *config,
                         char *why, size_t why_bytes);
/* "stt.KEY: what", if nothing was complained of before. */
void cloud_complain(struct cloud *c, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);

/* Printable ASCII. */
struct slice cloud_text(struct cloud *c, const char *key, const char *fallback);
int64_t cloud_whole(struct cloud *c, const char *key, int64_t fallback, int64_t least,
                    int64_t most);
bool cloud_flag(struct cloud *c, const char *key, bool fallback);
/* One of the space-separated words. */
struct slice cloud_choice(struct cloud *c, const char *key, const char *fallback,
                          const char *words);
/* The setting base_url, or `own`, without a slash at its end; *is_own says which. */
struct slice cloud_base_url(struct cloud *c, const char *own, const char *schemes, bool *is_own);
/* The setting api_key; without it the vendor's variable, but only for the vendor's own URL, since a
 * key must not go to a host that it was not meant for. Empty where none is needed. */
struct slice cloud_key(struct cloud *c, bool is_own);
/* config->model, or `fallback`; printable ASCII. Without either it is complained of. */
struct slice cloud_model(struct cloud *c, const char *fallback);
/* Whether the setting encoding says "mulaw"; without it `fallback` does. Any thread. */
bool cloud_wants_mulaw(const struct provider_config *config, const char *fallback);

/* The end of a load: the block, from malloc(), goes into *loaded; after a complaint it is freed and
 * *loaded is NULL. 0 or the complaint's -errno. */
int cloud_end_load(const struct cloud *c, void *block, const void **loaded);
/* provider_ops.unload of such a block. */
void cloud_unload(const void *loaded);

/* Whether trying again cannot help: refused keys, unknown models, wrong requests. */
bool cloud_is_fatal(int32_t status);
/* "the key was refused", "too many requests": a clause for a log, never NULL. */
const char *cloud_says(int32_t status);

#endif
