/* The rule-file parser, and the understanding of any text by what it made. */
#include "provider/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rules *r;
    struct understood u;
    char why[200];
    struct slice heard;
    struct slice file = slice_cut(slice_of(data, size), 0, &heard);
    if (rules_parse(file, "fuzz", &r, why, sizeof(why)))
        return 0;
    rules_understand(r, heard.len ? heard : file, 0, &u);
    rules_free(&r);
    return 0;
}
