/* The table of what is simulated: which path is whose. The services themselves are one file each;
 * this is all that others see of them. Constant. */
#ifndef PROVIDERS_SERVICE_H
#define PROVIDERS_SERVICE_H

#include "tools/providers/peer.h"

extern const struct service service_assemblyai_listen;
extern const struct service service_deepgram_listen;
extern const struct service service_deepgram_speak;
extern const struct service service_deepgram_speak_http;
extern const struct service service_openai_chat;
extern const struct service service_openai_speech;
extern const struct service service_openai_transcription;
extern const struct service service_anthropic_messages;
extern const struct service service_cartesia_tts;
extern const struct service service_cartesia_bytes;
extern const struct service service_cartesia_sse;
extern const struct service service_elevenlabs_input;
extern const struct service service_elevenlabs_multi;
extern const struct service service_elevenlabs_stream;
extern const struct service service_elevenlabs_convert;
extern const struct service service_vosk;

/* In the order of --help; ended by NULL. */
extern const struct service *const services[];

/* The service for this request, or NULL; *index is its row, *known says that the path is. */
const struct service *service_find(const struct request *r, bool socket, size_t *index,
                                   bool *known);
/* Names for the configuration, ended by NULL. */
const char *const *service_names(void);

#endif
