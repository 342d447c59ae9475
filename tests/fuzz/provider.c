/* One provider against a world that says anything, in any order: the input is a transcript
 * (tests/transcripts), played without comparing. The build makes a target of this for each
 * transcript; PROVIDER is its name, for instance "stt_deepgram". */
#include <stdio.h>
#include <stdlib.h>

#include "tests/transcripts/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void play(const struct transcript *t, size_t i, enum replay_end end)
{
    static struct replay_result result;
    struct replay_setup setup = {
        .mode = REPLAY_FREE, .end = end, .kind = PROVIDER, .name = &PROVIDER[4]};

    if (replay_case(t, i, &setup, &result) && result.foul) {
        fprintf(stderr, "%s: %s\n", PROVIDER, result.why);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transcript t;
    char why[TRANSCRIPT_WHY_BYTES];

    if (transcript_parse(&t, slice_of(data, size), why))
        return 0;
    for (size_t i = 0; i < t.case_count && i < 4; i++) {
        play(&t, i, END_REFUSE);
        play(&t, i, END_HANG);
    }
    return 0;
}
