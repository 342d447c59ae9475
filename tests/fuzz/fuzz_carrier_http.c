/* Carriers' webhooks and REST answers: whatever the fields say, what is read of them is bounded and
 * plain, and a signature that was not made with the secret never fits. The first byte chooses the
 * carrier, lines are name=value, and the whole is also taken as an answer to our own request. */
#include <stdlib.h>

#include "carrier/carrier_http.h"

#define FIELDS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t split(struct slice text, struct carrier_field *out)
{
    size_t count = 0;

    while (text.len && count < FIELDS_MAX) {
        struct slice line = slice_cut(text, '\n', &text);
        out[count].name = slice_cut(line, '=', &out[count].value);
        count++;
    }
    return count;
}

static void check_news(const struct carrier_notice *news)
{
    char text[512];
    struct builder b = builder_of(text, sizeof(text) - 1);

    if (!news->call_id[0] || !memchr(news->call_id, 0, sizeof(news->call_id)) ||
        !memchr(news->event_id, 0, sizeof(news->event_id)) || news->duration_s < -1)
        abort();
    carrier_xml(&b, news->from);
    if (!b.bad && memchr(text, '<', b.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct carrier_field fields[FIELDS_MAX];
    struct carrier_account account = {.id = "a", .secret = "secret", .url = "https://x"};
    struct carrier_request r = {.post = true,
                                .base = SLICE("https://v.example.com:8443/a"),
                                .what = SLICE("answer"),
                                .fields = fields,
                                .query = fields};
    struct carrier_notice news;
    char id[CARRIER_ID_BYTES], why[200];
    const char *what;

    if (size == 0)
        return 0;
    const struct carrier_http_ops *ops = carrier_http_at(data[0] % 3);
    struct slice text = slice_of(data + 1, size - 1);
    r.target = r.body = r.signature = r.nonce = text;
    r.field_count = r.query_count = split(text, fields);
    if (ops->verify(&account, &r) == 0)
        abort();
    if (ops->read(&r, &news, &what) == 0)
        check_news(&news);
    if (ops->dialled(201, text, id, sizeof(id), why, sizeof(why)) == 0 &&
        !carrier_id_plain(slice_str(id)))
        abort();
    return 0;
}
