#include "carrier/carrier.h"

#include <errno.h>

#define CARRIER(ops) extern const struct carrier_ops ops;
#include "carrier/carriers.def"
#undef CARRIER

static const struct carrier_ops *const carriers[] = {
#define CARRIER(ops) &ops,
#include "carrier/carriers.def"
#undef CARRIER
};

void carrier_init(struct carrier *c, const struct carrier_ops *ops)
{
    *c = (struct carrier){.ops = ops};
}

static bool spoken_at(const struct carrier_ops *ops, enum carrier_path path)
{
    return ops->path == path || ops->path == CARRIER_PATH_BOTH;
}

enum carrier_detect carrier_find_at(enum carrier_path path, bool text, struct slice message,
                                    const struct carrier_ops **ops)
{
    enum carrier_detect best = CARRIER_NO;
    struct json_doc doc = {NULL};
    bool json = text && json_read(&doc, message, WS_MESSAGE_BYTES_MAX, NULL) == 0;

    *ops = NULL;
    for (size_t i = 0; i < ARRAY_LEN(carriers) && best != CARRIER_YES; i++) {
        enum carrier_detect found = CARRIER_NO;
        if (spoken_at(carriers[i], path))
            found = carriers[i]->detect(text, message, json ? &doc : NULL);
        if (found > best)
            best = found;
        if (found == CARRIER_YES)
            *ops = carriers[i];
    }
    json_free(&doc);
    return best;
}

enum carrier_detect carrier_find(bool text, struct slice message, const struct carrier_ops **ops)
{
    return carrier_find_at(CARRIER_PATH_MEDIA, text, message, ops);
}

const struct carrier_ops *carrier_at(size_t i)
{
    return i < ARRAY_LEN(carriers) ? carriers[i] : NULL;
}

const struct carrier_ops *carrier_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
        if (strcmp(carriers[i]->name, name) == 0)
            return carriers[i];
    return NULL;
}

void carrier_bad(struct carrier *c, struct carrier_event *ev, const char *what)
{
    c->phase = CARRIER_STOPPED;
    ev->kind = CARRIER_BAD;
    ev->what = what;
}

void carrier_ignore(struct carrier_event *ev, const char *what)
{
    ev->kind = CARRIER_IGNORED;
    ev->what = what;
}

bool carrier_id_plain(struct slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.at[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return id.len > 0;
}

char carrier_digit(const char *text)
{
    char c = text[0];

    if (c == '\0' || text[1] != '\0')
        return 0;
    if (c >= 'a' && c <= 'd')
        c = (char)(c - 'a' + 'A');
    return strchr(DTMF_DIGITS, c) ? c : 0;
}

void carrier_dtmf(struct carrier *c, const struct json_doc *doc, struct carrier_event *ev)
{
    char digit[4] = "";

    if (json_text_of(doc, "dtmf.digit", digit, sizeof(digit)) || !carrier_digit(digit)) {
        carrier_bad(c, ev, "dtmf without a digit");
        return;
    }
    ev->kind = CARRIER_DTMF;
    ev->digit = carrier_digit(digit);
}

bool carrier_in_order(struct carrier *c, const struct carrier_event *ev)
{
    if ((ev->sequence && ev->sequence < c->sequence) || (ev->chunk && ev->chunk < c->chunk))
        return false;
    c->sequence = ev->sequence ? ev->sequence : c->sequence;
    c->chunk = ev->chunk ? ev->chunk : c->chunk;
    return true;
}

int carrier_text(const struct json_doc *doc, const char *path, char *out, size_t out_bytes)
{
    int err = json_text_of(doc, path, out, out_bytes);

    return err == -ENOENT ? 0 : err;
}

int carrier_count(const struct json_doc *doc, const char *path, uint64_t *out)
{
    int64_t value = 0;
    int err = json_int_of(doc, path, 0, INT64_MAX, &value);

    *out = (uint64_t)value;
    return err == -ENOENT ? 0 : err;
}
