#include "provider/sse.h"

void sse_init(struct sse *s, void *buffer, size_t size)
{
    *s = (struct sse){.buffer = buffer, .size = size};
}

/* The data so far and the line's value become one, with a line feed between. */
static void take_data(struct sse *s, struct slice value)
{
    if (s->has_data)
        s->buffer[s->data++] = '\n'; /* the line's own field name left room for it */
    memmove(s->buffer + s->data, value.at, value.len);
    s->data += value.len;
    s->has_data = true;
}

static void take_field(struct sse *s, struct slice line)
{
    struct slice value, field = slice_cut(line, ':', &value);

    if (value.len && value.at[0] == ' ')
        value = slice_of(value.at + 1, value.len - 1);
    if (slice_equal(field, SLICE("data"))) {
        take_data(s, value.at ? value : slice_of(line.at, 0));
    } else if (slice_equal(field, SLICE("event"))) {
        s->name_len = (uint8_t)(value.len < sizeof(s->name) ? value.len : sizeof(s->name));
        if (s->name_len)
            memcpy(s->name, value.at, s->name_len);
    }
}

static enum sse_kind dispatch(struct sse *s, struct sse_event *ev)
{
    bool any = s->has_data;

    ev->name = s->name_len ? slice_of(s->name, s->name_len) : SLICE("message");
    ev->data = slice_of(s->buffer, s->data);
    s->data = s->line = 0;
    s->has_data = false;
    s->name_len = 0; /* its bytes stay for the event just given */
    return any ? SSE_EVENT : SSE_MORE;
}

/* A line is complete: SSE_EVENT if it was the empty one behind an event. */
static enum sse_kind end_line(struct sse *s, struct sse_event *ev)
{
    struct slice line = slice_of(s->buffer + s->data, s->line);

    s->line = 0;
    if (line.len == 0)
        return dispatch(s, ev);
    if (slice_starts(line, SLICE("\xEF\xBB\xBF")))
        line = slice_of(line.at + 3, line.len - 3);
    if (line.len && line.at[0] != ':')
        take_field(s, line);
    return SSE_MORE;
}

enum sse_kind sse_next(struct sse *s, struct slice *in, struct sse_event *ev)
{
    while (in->len && !s->done) {
        uint8_t c = in->at[0];
        *in = slice_of(in->at + 1, in->len - 1);
        bool second = s->after_cr && c == '\n';
        s->after_cr = c == '\r';
        if (second)
            continue;
        if (c == '\n' || c == '\r') {
            if (end_line(s, ev) == SSE_EVENT)
                return SSE_EVENT;
        } else if (s->data + s->line + 1 < s->size) {
            s->buffer[s->data + s->line++] = c;
        } else {
            s->done = true;
            return SSE_TOO_LONG;
        }
    }
    *in = slice_of(in->at, 0);
    return SSE_MORE;
}

enum sse_kind sse_end(struct sse *s, struct sse_event *ev)
{
    if (s->done)
        return SSE_MORE;
    if (s->line && end_line(s, ev) == SSE_EVENT)
        return SSE_EVENT;
    return dispatch(s, ev);
}
