/* Which form recordings of this process take: decided by the configuration and the leg's rate,
 * asked by the recorder, which writes them, and by the call, which notes it in the journal. Pure.
 */
#ifndef CALL_RECORDING_FORMAT_H
#define CALL_RECORDING_FORMAT_H

#include "actors/world.h"

struct recorder_format {
    uint32_t rate_hz;
    uint32_t channels; /* 2: the caller left, the agent right */
};

static inline struct recorder_format recorder_format_of(const struct world *world,
                                                        uint32_t leg_rate_hz)
{
    switch ((enum config_recording)world->config->recording_format) {
    case CONFIG_RECORDING_MONO16K:
        return (struct recorder_format){.rate_hz = 16000, .channels = 1};
    case CONFIG_RECORDING_LEG:
        return (struct recorder_format){.rate_hz = leg_rate_hz, .channels = 1};
    case CONFIG_RECORDING_STEREO:
        break;
    }
    return (struct recorder_format){.rate_hz = 16000, .channels = 2};
}

#endif
