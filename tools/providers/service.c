#include "tools/providers/service.h"

#include "base/limits.h"

const struct service *const services[] = {
    &service_deepgram_listen,
    &service_assemblyai_listen,
    &service_openai_transcription,
    &service_vosk,
    &service_openai_chat,
    &service_anthropic_messages,
    &service_cartesia_tts,
    &service_cartesia_bytes,
    &service_cartesia_sse,
    &service_deepgram_speak,
    &service_deepgram_speak_http,
    &service_elevenlabs_input,
    &service_elevenlabs_multi,
    &service_elevenlabs_stream,
    &service_elevenlabs_convert,
    &service_openai_speech,
    NULL,
};

const struct service *service_find(const struct request *r, bool socket, size_t *index, bool *known)
{
    struct slice part;

    *known = false;
    for (*index = 0; services[*index]; (*index)++) {
        const struct service *s = services[*index];
        if (!request_path_fits(r->path, s->path, &part))
            continue;
        *known = true;
        if (s->socket == socket && slice_equal(r->method, slice_str(s->method)))
            return s;
    }
    return NULL;
}

const char *const *service_names(void)
{
    static const char *names[ARRAY_LEN(services)];

    for (size_t i = 0; services[i]; i++)
        names[i] = services[i]->name;
    return names;
}
