/* Any bytes as a plan: read or refused with a sentence. */
#include <assert.h>

#include "tools/call/plan_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int load(const char *path, struct caller_clip *clip, char *why)
{
    (void)path;
    (void)why;
    *clip = (struct caller_clip){.samples = 100, .voiced_last = 50};
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct plan_step steps[PLAN_STEPS_MAX];
    char why[PLAN_WHY_BYTES] = "";
    uint32_t count;

    if (plan_parse(slice_of(data, size), "", load, steps, &count, why) < 0)
        assert(why[0]);
    else
        assert(count > 0 && count <= PLAN_STEPS_MAX);
    return 0;
}
