/* Any bytes as a configuration and as an agent file: refused with a sentence or loaded, no more. */
#include <assert.h>

#include "config/agent.h"
#include "config/config.h"

static const char *env_fake(const char *name)
{
    return name[0] == 'A' ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[CONFIG_WHY_BYTES] = "";
    struct config *config;
    struct agent *agent;

    if (config_read("f.yaml", slice_of(data, size), env_fake, &config, why, sizeof(why)))
        assert(!config && why[0]);
    config_free(&config);
    if (agent_read("a.yaml", slice_of(data, size), env_fake, &agent, why, sizeof(why)))
        assert(!agent && why[0]);
    agent_put(&agent);
    return 0;
}
