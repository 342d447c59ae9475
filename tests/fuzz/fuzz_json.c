/* The reader survives anything; the writer makes JSON of any bytes. */
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void getters(const struct json_doc *doc, const char *path)
{
    char text[64];
    int64_t whole;
    double value;
    bool yes;

    if (json_text_of(doc, path, text, sizeof(text)) && text[0])
        abort();
    if (json_int_of(doc, path, -10, 10, &whole) == 0 && (whole < -10 || whole > 10))
        abort();
    if (json_double_of(doc, path, &value) == 0 && value - value != 0)
        abort();
    if (json_bool_of(doc, path, &yes) == 0 && json_kind_of(doc, path) < JSON_KIND_BOOL)
        abort();
    for (size_t i = 0; i < json_count_of(doc, path) && i < 4; i++)
        json_key_of(doc, path, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[8192];
    struct builder b = builder_of(text, sizeof(text));
    struct json_doc doc;
    struct jsonw w;
    char why[JSON_WHY_BYTES];

    if (json_read(&doc, slice_of(data, size), 4096, why) == 0) {
        getters(&doc, "");
        getters(&doc, "a");
        getters(&doc, "a.b.0");
        getters(&doc, "0");
    }
    json_free(&doc);
    if (size > 1000)
        return 0;
    bool has_nul = size && memchr(data, 0, size);
    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_str(&w, "a", slice_of(data, size));
    jsonw_end(&w);
    if (jsonw_finish(&w) || (!has_nul && json_read(&doc, builder_slice(&b), sizeof(text), NULL)))
        abort();
    if (!has_nul)
        json_free(&doc);
    return 0;
}
