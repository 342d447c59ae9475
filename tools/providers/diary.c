#include "tools/providers/diary.h"

#include <errno.h>

int diary_open(struct diary *d, const char *path)
{
    d->out = path ? fopen(path, "we") : stdout;
    return d->out ? 0 : -errno;
}

void diary_close(struct diary *d)
{
    if (d->out && d->out != stdout)
        fclose(d->out);
    d->out = NULL;
}

struct jsonw *diary_begin(struct diary *d, const struct diary_place *place, const char *event)
{
    struct jsonw *w = &d->w;

    d->b = builder_of(d->store, sizeof(d->store));
    jsonw_init(w, &d->b);
    jsonw_begin(w);
    jsonw_key(w, "at_ms");
    jsonw_double(w, (double)place->at_ns / 1e6, 3);
    jsonw_put_int(w, "peer", (int64_t)place->peer);
    if (place->service) {
        jsonw_put_cstr(w, "service", place->service);
        jsonw_put_int(w, "request", (int64_t)place->request);
    }
    jsonw_put_cstr(w, "event", event);
    return w;
}

/* JSON goes in as it is, so that a test need not parse twice; a line stays one line. */
static bool is_json(struct slice text)
{
    struct json_doc doc;

    if (text.len == 0 || (text.at[0] != '{' && text.at[0] != '[') ||
        memchr(text.at, '\n', text.len) || json_read(&doc, text, DIARY_TEXT_MAX, NULL) < 0)
        return false;
    json_free(&doc);
    return true;
}

void diary_text(struct diary *d, const char *key, struct slice text)
{
    if (!text.at)
        return;
    jsonw_key(&d->w, key);
    if (is_json(text)) {
        jsonw_raw(&d->w, text);
        return;
    }
    bool cut = text.len > DIARY_TEXT_MAX / 4; /* each byte may become six characters */
    jsonw_str(&d->w, slice_of(text.at, cut ? DIARY_TEXT_MAX / 4 : text.len));
    if (cut)
        jsonw_put_bool(&d->w, "cut", true);
}

void diary_end(struct diary *d)
{
    jsonw_end(&d->w);
    if (jsonw_finish(&d->w) < 0 || !d->out)
        return;
    fprintf(d->out, "%.*s\n", SLICE_ARG(builder_slice(&d->b)));
    fflush(d->out); /* a test reads it while this runs */
}
