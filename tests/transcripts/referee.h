/* Watches one provider and says what it did that no provider may do: two terminal events of one
 * epoch, none, words after the last one; sends without a socket; header lines that could smuggle
 * another. It knows no protocol. Test programs only. */
#ifndef TRANSCRIPTS_REFEREE_H
#define TRANSCRIPTS_REFEREE_H

#include "provider/provider.h"

#define REFEREE_EPOCHS_MAX 256

enum referee_link { LINK_NONE, LINK_CONNECTING, LINK_OPEN, LINK_REQUEST };

struct referee {
    enum provider_kind kind;
    enum referee_link link;
    bool stopped;
    struct {
        uint32_t asked; /* stt: the final; llm: answers; tts: clauses spoken */
        uint32_t ended; /* terminal events, tts: clauses out */
        bool failed;
        bool cancelled;
    } epochs[REFEREE_EPOCHS_MAX];
    const char *wrong; /* the first thing that was, or NULL */
};

void referee_init(struct referee *r, enum provider_kind kind);
/* Before each input, and for each intent. */
void referee_input(struct referee *r, const struct provider_input *in);
void referee_intent(struct referee *r, const struct provider_intent *intent);
/* After enough time for every timeout: is everything asked for answered? */
void referee_end(struct referee *r);

#endif
