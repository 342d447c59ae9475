/* A stand-in for the server, small enough to be seen through: one call on Twilio's dialect with the
 * scripted providers, an energy threshold for an ear and a fixed silence for patience. Tests of the
 * calling program and of scripts talk to it under a virtual clock. No socket, no clock, no
 * allocation; one thread. It is no model of the real server's turn taking. */
#ifndef SCENARIO_STAND_IN_H
#define SCENARIO_STAND_IN_H

#include "carrier/carrier.h"
#include "net/http_head.h"
#include "net/websocket.h"
#include "provider/scripted.h"

#define STAND_IN_ENDPOINT_MS 200 /* of silence end an utterance */
#define STAND_IN_LEVEL       300 /* mean magnitude of a frame with voice */
#define STAND_IN_STATE_BYTES 8192

struct stand_in {
    struct provider_config config;
    _Alignas(16) uint8_t stt[STAND_IN_STATE_BYTES];
    _Alignas(16) uint8_t llm[STAND_IN_STATE_BYTES];
    _Alignas(16) uint8_t tts[STAND_IN_STATE_BYTES];
    const char *greeting;
    struct slice refusal; /* sent instead of 101 when not empty */
    struct builder out;
    uint8_t head[HTTP_HEAD_BYTES_MAX];
    size_t head_len;
    bool upgraded;
    struct ws ws;
    uint8_t message[WS_MESSAGE_BYTES_MAX];
    struct carrier carrier;
    bool known; /* which dialect it is */
    bool started;
    bool closed; /* our close frame is out */
    int64_t now_ns;
    int64_t plays_until_ns; /* when the caller will have heard what was sent */
    bool voice;
    int64_t quiet_ms;
    uint32_t epoch;
    bool hang_up;
    uint32_t marks_sent, marks_back, clears;
    char heard[SCRIPTED_LINE_BYTES]; /* the last utterance, or keys */
    const char *bad;                 /* what it did not like */
};

/* `script` stays the owner's; `out` is where its bytes go. */
void stand_in_init(struct stand_in *s, const struct scripted *script, const char *greeting);
/* Time goes on, `in` (writable) arrived or is empty; what it sends is appended to `out`. */
void stand_in_step(struct stand_in *s, int64_t now_ns, struct slice in, struct builder *out);
int64_t stand_in_deadline(const struct stand_in *s);

#endif
