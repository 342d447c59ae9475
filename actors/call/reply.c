#include "actors/call/reply.h"

#include <assert.h>

uint8_t *reply_move(struct reply *r, uint8_t *memory, uint32_t room)
{
    uint8_t *old = r->text;

    assert(room >= r->len && room <= TURN_TEXT_BYTES_MAX);
    if (r->len)
        memcpy(memory, old, r->len);
    r->text = memory;
    r->room = (uint16_t)room;
    return old;
}

void reply_begin(struct reply *r)
{
    r->first_piece += r->pieces;
    if (r->first_piece == 0)
        r->first_piece = 1; /* 0 is no piece */
    r->pieces = 0;
    r->len = 0;
    r->whole = false;
}

void reply_add(struct reply *r, struct slice text)
{
    size_t room = r->room - (size_t)r->len;

    if (text.len > room) {
        text.len = room;
        while (text.len && (text.at[text.len] & 0xC0) == 0x80)
            text.len--;
    }
    if (text.len)
        memcpy(r->text + r->len, text.at, text.len);
    r->len = (uint16_t)(r->len + text.len);
}

void reply_end(struct reply *r)
{
    r->whole = true;
}

static uint16_t spoken(const struct reply *r)
{
    return r->pieces ? r->ends[r->pieces - 1] : 0;
}

static bool ends_sentence(uint8_t c)
{
    return c == '.' || c == '!' || c == '?';
}

/* Where a clause starting at `from` ends, or 0 if that is not known yet. A full stop counts only
 * before a space: "3.50" and "Dr" are told apart by what follows, so the last character waits. */
static uint16_t clause_end(const struct reply *r, uint16_t from)
{
    uint16_t space = 0;

    for (uint16_t i = from; i < r->len; i++) {
        bool before_space = i + 1 < r->len && r->text[i + 1] <= ' ';
        bool soon = r->pieces == 0 && i - from >= CLAUSE_CHARS_SOON;
        if (before_space && (ends_sentence(r->text[i]) || (soon && r->text[i] == ',')))
            return (uint16_t)(i + 1);
        if (r->text[i] <= ' ')
            space = i;
        if (i - from >= CLAUSE_CHARS_MAX)
            return space > from ? space : i;
    }
    return r->whole ? r->len : 0;
}

bool reply_next(struct reply *r, struct slice *clause, uint32_t *piece)
{
    while (spoken(r) < r->len) {
        uint16_t from = spoken(r), end;
        end = r->pieces == REPLY_PIECES_MAX - 1 ? (r->whole ? r->len : 0) : clause_end(r, from);
        if (end == 0 || r->pieces == REPLY_PIECES_MAX)
            return false;
        r->ends[r->pieces++] = end;
        *clause = slice_trim(slice_of(r->text + from, (size_t)(end - from)));
        *piece = r->first_piece + r->pieces - 1;
        if (clause->len)
            return true;
    }
    return false;
}

/* Back to the end of the last whole word. */
static size_t whole_words(const struct reply *r, size_t from, size_t at)
{
    if (at >= r->len)
        return r->len;
    while (at > from && r->text[at] > ' ')
        at--;
    return at;
}

size_t reply_heard(const struct reply *r, uint32_t piece, int64_t heard, int64_t samples,
                   bool ended)
{
    uint32_t i = piece - r->first_piece;
    size_t from, len;

    if (piece == 0 || r->pieces == 0 || piece < r->first_piece || i >= r->pieces)
        return 0;
    from = i ? r->ends[i - 1] : 0;
    len = r->ends[i] - from;
    if (samples <= 0)
        return from;
    if (heard >= samples && ended)
        return from + len;
    return whole_words(r, from, from + (size_t)((int64_t)len * heard / samples));
}
