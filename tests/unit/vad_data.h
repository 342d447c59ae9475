/* What the tests of the neural detector share: its weights, and the recording whose speech is
 * known, at 8 and 16 kHz. Included by one test each, after cmocka.h; needs data/vad, which
 * tools/get-weights makes. */
#ifndef UNIT_VAD_DATA_H
#define UNIT_VAD_DATA_H

#include <stdio.h>

#include "media/vad.h"

#define SAMPLES_MAX 100000

static struct vad_weights weights[2];
static int16_t recording[2][SAMPLES_MAX];
static size_t recorded[2];

static inline int vad_data_load(void **state)
{
    static const char *const rates[] = {"8k", "16k"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        char path[512];

        (void)snprintf(path, sizeof path, SOURCE_DIR "/data/vad/silero_v6_%s.bin", rates[i]);
        if (vad_weights_open(&weights[i], path))
            fail_msg("%s: run tools/get-weights first", path);
        (void)snprintf(path, sizeof path, SOURCE_DIR "/tests/data/vad_%s.s16", rates[i]);
        FILE *file = fopen(path, "rb");
        if (!file) {
            fail_msg("%s cannot be read", path);
            return -1;
        }
        recorded[i] = fread(recording[i], sizeof recording[i][0], SAMPLES_MAX, file);
        (void)fclose(file);
    }
    return 0;
}

static inline int vad_data_unload(void **state)
{
    (void)state;
    vad_weights_close(&weights[0]);
    vad_weights_close(&weights[1]);
    return 0;
}

#endif
