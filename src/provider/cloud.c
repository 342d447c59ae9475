#include "provider/cloud.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/web.h"

struct cloud cloud_begin(const struct provider_ops *ops, const struct provider_config *config,
                         char *why, size_t why_bytes)
{
    return (struct cloud){.ops = ops, .config = config, .why = why, .why_bytes = why_bytes};
}

void cloud_complain(struct cloud *c, const char *key, const char *format, ...)
{
    char what[512];
    va_list args;

    if (c->err)
        return;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    snprintf(c->why, c->why_bytes, "%s.%s: %s", provider_kind_name(c->ops->kind), key, what);
    c->err = -EINVAL;
}

struct slice cloud_text(struct cloud *c, const char *key, const char *fallback)
{
    struct slice text = slice_str(provider_setting(c->config, key, fallback));

    if (web_printable(text))
        return text;
    cloud_complain(c, key, "only printable ASCII may stand here");
    return slice_str(fallback);
}

int64_t cloud_whole(struct cloud *c, const char *key, int64_t fallback, int64_t least, int64_t most)
{
    const char *text = provider_setting(c->config, key, NULL);
    uint64_t value;

    if (!text)
        return fallback;
    if (slice_u64(slice_str(text), (uint64_t)most, &value) == 0 && (int64_t)value >= least)
        return (int64_t)value;
    cloud_complain(c, key, "must be a whole number from %lld to %lld", (long long)least,
                   (long long)most);
    return fallback;
}

bool cloud_flag(struct cloud *c, const char *key, bool fallback)
{
    struct slice text = cloud_choice(c, key, fallback ? "true" : "false", "true false");

    return slice_equal(text, SLICE("true"));
}

struct slice cloud_choice(struct cloud *c, const char *key, const char *fallback, const char *words)
{
    struct slice text = slice_str(provider_setting(c->config, key, fallback));
    struct slice rest = slice_str(words);

    while (rest.len)
        if (slice_equal(slice_cut(rest, ' ', &rest), text))
            return text;
    cloud_complain(c, key, "must be one of: %s", words);
    return slice_str(fallback);
}

struct slice cloud_base_url(struct cloud *c, const char *own, const char *schemes, bool *is_own)
{
    struct slice url = web_url_base(slice_str(provider_setting(c->config, "base_url", own)));
    const char *what;

    *is_own = slice_equal(url, slice_str(own));
    if (web_url_check(url, schemes, &what)) {
        cloud_complain(c, "base_url", "%s; expected is a URL of: %s", what, schemes);
        *is_own = true;
        return slice_str(own);
    }
    return url;
}

struct slice cloud_key(struct cloud *c, bool is_own)
{
    const char *text = provider_setting(c->config, "api_key", is_own ? c->config->env_key : NULL);
    struct slice key = slice_trim(slice_str(text));

    if (!web_printable(key) || key.len > CLOUD_KEY_MAX)
        cloud_complain(c, "api_key", "is no key: it is too long or holds unprintable characters");
    else if (key.len == 0 && is_own)
        cloud_complain(c, "api_key",
                       "must be given, or the environment variable %s set: \"%s\" needs a key",
                       c->ops->key_env ? c->ops->key_env : "of its key", c->ops->name);
    return key;
}

struct slice cloud_model(struct cloud *c, const char *fallback)
{
    struct slice model =
        slice_str(c->config->model && c->config->model[0] ? c->config->model : fallback);

    if (!web_printable(model))
        cloud_complain(c, "model", "only printable ASCII may stand here");
    else if (model.len == 0)
        cloud_complain(c, "model", "must be given for \"%s\"", c->ops->name);
    return model;
}

bool cloud_wants_mulaw(const struct provider_config *config, const char *fallback)
{
    return strcmp(provider_setting(config, "encoding", fallback), "mulaw") == 0;
}

int cloud_end_load(const struct cloud *c, void *block, const void **loaded)
{
    *loaded = c->err ? NULL : block;
    if (c->err)
        free(block);
    return c->err;
}

void cloud_unload(const void *loaded)
{
    free((void *)(uintptr_t)loaded);
}

bool cloud_is_fatal(int32_t status)
{
    return status >= 400 && status < 500 && status != 408 && status != 409 && status != 425 &&
           status != 429 && status != 498;
}

const char *cloud_says(int32_t status)
{
    if (status == 401 || status == 403)
        return "the key was refused";
    if (status == 402)
        return "the account has no credit";
    if (status == 404)
        return "there is no such model or address";
    if (status == 429 || status == 498 || status == 529)
        return "too many requests";
    if (status >= 500 && status < 600)
        return "the service has an error of its own";
    if (status >= 400 && status < 500)
        return "the request was refused";
    if (status >= 1000)
        return "the connection was closed";
    return "the connection failed";
}
