/* A schema and a call, one line each: whatever they are, reading and checking end, and say a whole
 * sentence or nothing is wrong. */
#include <stdlib.h>

#include "base/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct json_doc *schema, const struct json_doc *call)
{
    char why[JSON_SCHEMA_WHY_BYTES] = "", again[JSON_SCHEMA_WHY_BYTES] = "";
    int err = json_schema_check(schema, call, "arguments", why, sizeof(why));

    if (err && !why[0])
        abort();
    if (json_schema_check(schema, call, "arguments", again, sizeof(again)) != err ||
        strcmp(why, again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest, first = slice_cut(slice_of(data, size), '\n', &rest);
    struct json_doc schema = {0}, call = {0};
    char why[JSON_SCHEMA_WHY_BYTES] = "";

    if (json_read(&schema, first, 4096, NULL) == 0 && json_read(&call, rest, 4096, NULL) == 0) {
        int err = json_schema_read(&schema, why, sizeof(why));

        if (err && !why[0])
            abort();
        if (!err)
            check(&schema, &call);
    }
    json_free(&schema);
    json_free(&call);
    return 0;
}
