#include "base/utf8.h"

/* Index of the first byte at or behind `i` that is not ASCII, or the length. */
static size_t ascii_skip(struct slice s, size_t i)
{
    const uint64_t tops = UINT64_C(0x8080808080808080);

    while (s.len - i >= 32) {
        uint64_t w[4];
        memcpy(w, s.at + i, sizeof(w));
        if ((w[0] | w[1] | w[2] | w[3]) & tops)
            break;
        i += sizeof(w);
    }
    while (i < s.len && s.at[i] < 0x80)
        i++;
    return i;
}

/* A lead byte opens a character; false if none can begin with it. */
static bool open_character(struct utf8 *u, uint8_t lead)
{
    if (lead < 0xC2 || lead > 0xF4)
        return false;
    u->need = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    u->low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    u->high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return true;
}

bool utf8_feed(struct utf8 *u, struct slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (u->need == 0) {
            i = ascii_skip(piece, i);
            if (i == piece.len)
                return true;
            if (!open_character(u, piece.at[i]))
                return false;
            continue;
        }
        if (piece.at[i] < u->low || piece.at[i] > u->high)
            return false;
        u->need--;
        u->low = 0x80;
        u->high = 0xBF;
    }
    return true;
}

bool utf8_whole(const struct utf8 *u)
{
    return u->need == 0;
}
