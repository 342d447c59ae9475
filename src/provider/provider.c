#include "provider/provider.h"

#define PROVIDER(ops) extern const struct provider_ops ops;
#include "provider/providers.def"
#undef PROVIDER

static const struct provider_ops *const providers[] = {
#define PROVIDER(ops) &ops,
#include "provider/providers.def"
#undef PROVIDER
    NULL,
};

const char *provider_kind_name(enum provider_kind kind)
{
    static const char *const names[] = {
        [PROVIDER_STT] = "stt", [PROVIDER_LLM] = "llm", [PROVIDER_TTS] = "tts"};

    return names[kind];
}

const struct provider_ops *provider_at(size_t i)
{
    return i < ARRAY_LEN(providers) ? providers[i] : NULL;
}

uint16_t provider_number(const struct provider_ops *ops)
{
    for (uint16_t i = 0; provider_at(i); i++)
        if (provider_at(i) == ops)
            return i;
    return PROVIDER_NUMBER_NONE;
}

const struct provider_ops *provider_find(enum provider_kind kind, const char *name)
{
    for (size_t i = 0; providers[i]; i++)
        if (providers[i]->kind == kind && strcmp(providers[i]->name, name) == 0)
            return providers[i];
    return NULL;
}

const char *provider_setting(const struct provider_config *config, const char *key,
                             const char *fallback)
{
    for (size_t i = 0; i < config->setting_count; i++)
        if (strcmp(config->settings[i].key, key) == 0)
            return config->settings[i].value;
    return fallback;
}

uint32_t provider_rate_hz(const struct provider_ops *ops, const struct provider_config *config)
{
    return ops->rate ? ops->rate(config) : ops->rate_hz;
}

void intents_init(struct intents *out)
{
    out->count = 0;
    out->bad = false;
    out->bytes = builder_of(out->store, sizeof(out->store));
}

struct provider_intent *intents_add(struct intents *out, enum provider_intent_kind kind)
{
    if (out->count == INTENTS_MAX) {
        out->bad = true;
        out->count--; /* the last one is overwritten: `bad` makes the actor drop them all */
    }
    struct provider_intent *intent = &out->list[out->count++];
    memset(intent, 0, sizeof(*intent));
    intent->kind = kind;
    return intent;
}

struct slice intents_copy(struct intents *out, struct slice bytes)
{
    uint8_t *to = builder_reserve(&out->bytes, bytes.len);

    if (!to) {
        out->bad = true;
        return SLICE_NONE;
    }
    if (bytes.len)
        memcpy(to, bytes.at, bytes.len);
    return slice_of(to, bytes.len);
}

struct provider_intent *intents_event(struct intents *out, enum provider_event_kind event,
                                      uint32_t epoch, struct slice text)
{
    struct provider_intent *intent = intents_add(out, INTENT_EVENT);

    intent->event = event;
    intent->epoch = epoch;
    intent->text = intents_copy(out, text);
    return intent;
}
