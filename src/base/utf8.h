/* UTF-8 that arrives in pieces (RFC 3629): a WebSocket text message must be refused at its first
 * bad byte, and a piece may end inside a character. Two bytes of state, owned by the caller; ASCII
 * runs are skipped a word at a time. Any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/bytes.h"

struct utf8 {
    uint8_t need; /* continuation bytes that the open character still wants */
    uint8_t low;  /* range that the next of them must lie in */
    uint8_t high;
};

/* Takes the next piece; false at the first byte that cannot belong to well-formed text. */
MUST_USE bool utf8_feed(struct utf8 *u, struct slice piece);
/* True between characters: the text may end here. */
bool utf8_whole(const struct utf8 *u);

#endif
