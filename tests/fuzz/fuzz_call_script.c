/* Any bytes as a .call file: parsed or refused with a line, and what is parsed is within bounds. */
#include <assert.h>
#include <stdlib.h>

#include "tests/scenario/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script s;
    char why[SCRIPT_WHY_BYTES] = "";

    if (script_parse(&s, slice_of(data, size), why) < 0) {
        assert(why[0]);
        return 0;
    }
    assert(s.count <= SCRIPT_STEPS_MAX && s.expect_count <= SCRIPT_EXPECTS_MAX && s.dialect);
    for (uint32_t i = 0; i < s.count; i++)
        assert(s.steps[i].line > 0 && s.steps[i].ms >= 0 && s.steps[i].ms <= SCRIPTED_MS_MAX);
    return 0;
}
