/* What an answer is inside, for the files that it is made of: answer.c (the turn, its events and
 * its tools) and answer_request.c (the conversation as one request's body). Pure, as all of it. */
#ifndef PROVIDER_ANSWER_INNER_H
#define PROVIDER_ANSWER_INNER_H

#include "provider/answer.h"

/* No service takes a NUL inside a string: they become blanks. */
void answer_plain(uint8_t *text, size_t len);
/* The body of the request for this turn, in the intents' own bytes. If the conversation does not
 * fit, its oldest lines are left out; empty if it cannot be made to fit. */
struct slice answer_request(const struct answer *a, const struct answer_dialect *dialect,
                            const struct provider_input *in, struct intents *out);

#endif
