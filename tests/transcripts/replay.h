/* Plays a case of a transcript to its provider: the actor's side and the world's side are fed in
 * the order written, every intent is written down in the transcript's own words and compared, and
 * what no provider may do is watched throughout (struct referee). The world can be handed over byte
 * by byte, and cut off at any byte. Test programs only. */
#ifndef TRANSCRIPTS_REPLAY_H
#define TRANSCRIPTS_REPLAY_H

#include "transcript.h"

enum replay_mode {
    REPLAY_WHOLE, /* a message, a line of a body at a time; intents are compared where they stand */
    REPLAY_BYTES, /* bodies byte by byte; messages as fragments of WebSocket frames, byte by byte */
    REPLAY_CUT,   /* the same up to byte `cut_at`, then the world ends */
    REPLAY_FREE,  /* nothing is compared: for fuzzing */
};

enum replay_end {
    END_REFUSE, /* after the cut whatever is opened ends at once */
    END_HANG,   /* after the cut nothing ever answers */
    END_WELL,   /* the cut response ends as if it were complete; then as REFUSE */
};

struct replay_setup {
    enum replay_mode mode;
    enum replay_end end;
    size_t cut_at;
    const char *kind; /* FREE: the provider to play to, whatever the transcript says */
    const char *name;
};

struct replay_result {
    size_t bytes; /* that the world said, each a place to cut */
    bool foul;    /* the provider did what none may; else it only did not go as written */
    char why[4096];
};

/* 0, -EINVAL when it did not go as written or the provider did what it must not, -ENOENT when the
 * provider refuses the configuration (why: its sentence). */
MUST_USE int replay_case(const struct transcript *t, size_t index, const struct replay_setup *setup,
                         struct replay_result *result);

#endif
