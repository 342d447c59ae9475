/* WAV files of the calling program: clips in, the recording of a call out. Reads and writes files,
 * for the program's own start and end; what a WAV is, media/wav.h knows. */
#ifndef CALL_SOUND_H
#define CALL_SOUND_H

#include "tools/call/caller.h"

#define SOUND_BYTES_MAX (16 * 1024 * 1024) /* of a clip's file; longer ones are refused */
#define SOUND_WHY_BYTES 256

/* Loads a clip (PCM16 or G.711, one channel, 8000 Hz) and measures where it is voiced; its samples
 * are malloc'ed and live as long as the program. 0 or -errno and one clause in `why`, which names
 * the file. */
MUST_USE int sound_load(const char *path, struct caller_clip *clip, char why[SOUND_WHY_BYTES]);
/* Writes stereo pairs at 8000 Hz. 0 or -errno and one clause. */
MUST_USE int sound_save(const char *path, const int16_t *pairs, int64_t count,
                        char why[SOUND_WHY_BYTES]);

#endif
