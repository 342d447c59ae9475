/* What both simulated language models do: read the conversation, choose an answer by the rules or
 * in order, and say when each of its tokens is due. The loop's thread; keeps nothing. */
#ifndef PROVIDERS_ANSWERING_H
#define PROVIDERS_ANSWERING_H

#include "tools/providers/peer.h"

#define ANSWERING_BODY_MAX  (4 * 1024 * 1024) /* of a request's JSON; beyond: 400 */
#define ANSWERING_TEXT_MAX  65536             /* of the last message; beyond: cut */
#define ANSWERING_PIECE_MAX 12                /* bytes of a call's arguments in one token */

/* The text of a message's content: a string, or the texts of a list of blocks, those of tool
 * results included. Appends to `out`; what does not fit is left out. */
void answering_content(const struct json_doc *doc, const char *path, struct builder *out);
/* Chooses, and writes a line in the log. Always an answer. */
void answering_choose(struct peer *p, struct slice last, struct answer *out);
/* The next token of a call's arguments, at most ANSWERING_PIECE_MAX bytes of whole characters. */
struct slice answering_piece(struct slice *rest);

/* The pace of one answer. */
struct answering {
    struct peer *peer;
    int64_t due_ns;
    int64_t tokens, tokens_max;
};

struct answering answering_begin(struct peer *p, int64_t tokens_max);
/* The next token's time; false when the limit is reached. */
bool answering_token(struct answering *a);

#endif
