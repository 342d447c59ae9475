#include "actors/call/history.h"

static void forget_oldest(struct history *h)
{
    uint32_t len = (uint32_t)h->lines[0].text.len;

    memmove(h->bytes, h->bytes + len, h->used - len);
    memmove(h->lines, h->lines + 1, (h->count - 1) * sizeof(h->lines[0]));
    h->count--;
    h->used -= len;
    for (uint32_t i = 0; i < h->count; i++)
        h->lines[i].text.at -= len;
}

static struct slice append(struct history *h, struct slice text)
{
    uint8_t *at = h->bytes + h->used;

    if (text.len)
        memcpy(at, text.at, text.len);
    h->used += (uint32_t)text.len;
    return slice_of(at, text.len);
}

static void make_room(struct history *h, size_t bytes)
{
    while (h->count && (h->used + bytes > HISTORY_BYTES_MAX || h->count == HISTORY_LINES_MAX))
        forget_oldest(h);
}

void history_add(struct history *h, bool agent, struct slice text)
{
    if (text.len > HISTORY_BYTES_MAX)
        text.len = HISTORY_BYTES_MAX;
    make_room(h, text.len);
    h->lines[h->count++] = (struct provider_line){.agent = agent, .text = append(h, text)};
}

void history_extend(struct history *h, struct slice text)
{
    if (h->count == 0 || !h->lines[h->count - 1].agent) {
        history_add(h, true, text);
        return;
    }
    while (h->count > 1 && h->used + text.len > HISTORY_BYTES_MAX)
        forget_oldest(h);
    if (h->used + text.len > HISTORY_BYTES_MAX)
        text.len = HISTORY_BYTES_MAX - h->used;
    append(h, text);
    h->lines[h->count - 1].text.len += text.len;
}

void history_cut(struct history *h, size_t bytes)
{
    if (h->count == 0)
        return;
    struct slice *text = &h->lines[h->count - 1].text;
    if (bytes >= text->len)
        return;
    while (bytes > 0 && (text->at[bytes] & 0xC0) == 0x80)
        bytes--;
    h->used -= (uint32_t)(text->len - bytes);
    text->len = bytes;
    if (bytes == 0)
        h->count--;
}
