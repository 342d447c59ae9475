/* Any bytes as an HTTP request, at once and in two pieces: the same outcome, nothing read behind
 * the end, every form's parts within its body. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tools/providers/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum request_outcome take(struct request *r, const uint8_t *data, size_t first, size_t size,
                                 uint8_t *bytes)
{
    uint16_t status = 0;
    enum request_outcome outcome = REQUEST_MORE;

    *r = (struct request){0};
    memcpy(bytes, data, size);
    if (first)
        outcome = request_read(r, bytes, first, &status);
    if (outcome == REQUEST_MORE)
        outcome = request_read(r, bytes, size, &status);
    assert(outcome != REQUEST_BAD || status >= 400);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct request whole, cut;
    struct slice rest, name, file, part;
    uint8_t *a, *b;

    if (size < 2)
        return 0;
    a = malloc(size);
    b = malloc(size);
    assert(a && b);
    enum request_outcome outcome = take(&whole, data, 0, size, a);
    enum request_outcome other = take(&cut, data, size / 2, size, b);
    if (outcome == REQUEST_WHOLE) {
        assert(other == REQUEST_WHOLE);
        assert(whole.used <= size);
        if (cut.used == whole.used)
            assert(slice_equal(whole.body, cut.body));
        rest = whole.body;
        while (request_part(&whole, &rest, &name, &file, &part))
            assert(part.at >= whole.body.at &&
                   part.at + part.len <= whole.body.at + whole.body.len);
        char value[64];
        int64_t n;
        (void)request_arg(&whole, "model", value, sizeof(value));
        (void)!request_number(&whole, "sample_rate", 8000, 48000, 1, &n);
        (void)request_path_fits(whole.path, "/v1/{}/stream", &part);
    }
    free(a);
    free(b);
    return 0;
}
