/* The conversation as the caller heard it: lines of text in memory that its owner brings, the
 * oldest forgotten when it is full. Owned by the llm actor, which shows it to the provider with
 * every turn. Pure. */
#ifndef CALL_HISTORY_H
#define CALL_HISTORY_H

#include "provider/provider.h"

#define HISTORY_LINES_MAX 48
#define HISTORY_BYTES_MAX 6144

struct history_line {
    bool agent; /* else the caller */
    uint16_t len;
};

struct history {
    struct history_line lines[HISTORY_LINES_MAX];
    uint32_t count;
    uint32_t used;
    uint32_t size;
    uint8_t *bytes; /* of all lines, one after the other */
};

/* Goes on in other memory of `size` bytes, at least what is used and at most HISTORY_BYTES_MAX.
 * Returns what it had, NULL at first: without memory it remembers nothing. */
uint8_t *history_move(struct history *h, uint8_t *memory, uint32_t size);
/* The lines as a provider takes them; how many. `out` has room for HISTORY_LINES_MAX. */
size_t history_lines(const struct history *h, struct provider_line *out);
/* Adds a line; text that alone is longer than the buffer is cut. */
void history_add(struct history *h, bool agent, struct slice text);
/* Adds to the agent's last line, or begins one. */
void history_extend(struct history *h, struct slice text);
/* Cuts the last line to its first `bytes`, at a character; an empty one goes. */
void history_cut(struct history *h, size_t bytes);

#endif
