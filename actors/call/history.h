/* The conversation as the caller heard it: lines of text in a fixed buffer, the oldest forgotten
 * when it is full. Owned by the llm actor, which shows it to the provider with every turn. Pure. */
#ifndef CALL_HISTORY_H
#define CALL_HISTORY_H

#include "provider/provider.h"

#define HISTORY_LINES_MAX 48
#define HISTORY_BYTES_MAX 6144

struct history {
    struct provider_line lines[HISTORY_LINES_MAX]; /* their text lies in `bytes` */
    uint32_t count;
    uint32_t used;
    uint8_t bytes[HISTORY_BYTES_MAX];
};

/* Adds a line; text that alone is longer than the buffer is cut. */
void history_add(struct history *h, bool agent, struct slice text);
/* Adds to the agent's last line, or begins one. */
void history_extend(struct history *h, struct slice text);
/* Cuts the last line to its first `bytes`, at a character; an empty one goes. */
void history_cut(struct history *h, size_t bytes);

#endif
