/* The weights file: any bytes are refused or fully checked. So that mutations get past the length
 * and the checksum, the first byte chooses how much of a well-formed file is built around them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/vad_silero.h"

#define BODY_8K_FLOATS 208272u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of the right length for 8 kHz, its header taken from `data`, the body zero. */
static void parse_padded(const uint8_t *data, size_t size)
{
    static _Alignas(64) uint8_t file[VAD_WEIGHTS_HEAD_BYTES + BODY_8K_FLOATS * 4];
    struct vad_weights w;
    size_t taken = size < VAD_WEIGHTS_HEAD_BYTES + 64 ? size : VAD_WEIGHTS_HEAD_BYTES + 64;

    memset(file, 0, VAD_WEIGHTS_HEAD_BYTES + 64);
    memcpy(file, data, taken);
    if (vad_weights_parse(&w, slice_of(file, sizeof file)) == 0) {
        static const int16_t pcm[256];
        struct vad_silero s;
        float p;

        vad_silero_init(&s, &w);
        (void)vad_silero_feed(&s, pcm, 256);
        p = vad_silero_run(&s);
        if (!(p >= 0 && p <= 1))
            abort();
    } else if (w.lstm) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(64) uint8_t copy[4096];
    struct vad_weights w;

    if (size < 1)
        return 0;
    if (data[0] & 1) {
        parse_padded(data + 1, size - 1);
        return 0;
    }
    size = size - 1 < sizeof copy ? size - 1 : sizeof copy;
    memcpy(copy, data + 1, size);
    if (vad_weights_parse(&w, slice_of(copy, size)) == 0)
        abort(); /* no such file is that short */
    return 0;
}
