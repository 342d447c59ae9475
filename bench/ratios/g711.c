/* G.711 against its plain twin and against tables: 256 samples to decode, 65,536 codes to encode.
 */
#include <string.h>

#include "bench/ratios/ratios.h"
#include "media/g711.h"

#define FRAME 160

typedef void decode_fn(int16_t *, const uint8_t *, size_t);
typedef void encode_fn(uint8_t *, const int16_t *, size_t);

static int16_t pcm[RATIOS_CALLS][FRAME], decoded[FRAME];
static uint8_t codes[RATIOS_CALLS][FRAME], encoded[FRAME];
static int16_t mulaw_samples[256], alaw_samples[256];
static uint8_t mulaw_codes[65536], alaw_codes[65536];

static bool prepare(void)
{
    struct rand r = {3};

    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        ratios_fill(pcm[i], FRAME, &r);
        for (int k = 0; k < FRAME; k++)
            codes[i][k] = (uint8_t)rand_below(&r, 256);
    }
    for (int i = 0; i < 256; i++) {
        uint8_t code = (uint8_t)i;
        g711_mulaw_decode_plain(&mulaw_samples[i], &code, 1);
        g711_alaw_decode_plain(&alaw_samples[i], &code, 1);
    }
    for (int i = 0; i < 65536; i++) {
        int16_t sample = (int16_t)i;
        g711_mulaw_encode_plain(&mulaw_codes[i], &sample, 1);
        g711_alaw_encode_plain(&alaw_codes[i], &sample, 1);
    }
    return true;
}

static void decode_table(const int16_t table[256], const uint8_t *code)
{
    for (int i = 0; i < FRAME; i++)
        decoded[i] = table[code[i]];
}

static void encode_table(const uint8_t table[65536], const int16_t *samples)
{
    for (int i = 0; i < FRAME; i++)
        encoded[i] = table[(uint16_t)samples[i]];
}

/* All 256 codes and all 65,536 samples, at every place of a vector. */
static bool same_law(decode_fn *decode, encode_fn *encode, const int16_t samples[256],
                     const uint8_t law_codes[65536])
{
    static uint8_t code[65536], found[65536];
    static int16_t sample[65536], back[65536];

    for (int i = 0; i < 65536; i++) {
        code[i] = (uint8_t)(i + i / 256);
        sample[i] = (int16_t)(i * 257);
    }
    decode(back, code, 65536);
    encode(found, sample, 65536);
    for (int i = 0; i < 65536; i++)
        if (back[i] != samples[code[i]] || found[i] != law_codes[(uint16_t)sample[i]])
            return false;
    return true;
}

static bool same_mulaw(uint32_t inputs)
{
    (void)inputs; /* exhaustive */
    return same_law(g711_mulaw_decode, g711_mulaw_encode, mulaw_samples, mulaw_codes);
}

static bool same_alaw(uint32_t inputs)
{
    (void)inputs;
    return same_law(g711_alaw_decode, g711_alaw_encode, alaw_samples, alaw_codes);
}

#define DECODER(name, call_of)                                                                     \
    static void name(uint32_t call)                                                                \
    {                                                                                              \
        call_of(decoded, codes[call], FRAME);                                                      \
    }
#define ENCODER(name, call_of)                                                                     \
    static void name(uint32_t call)                                                                \
    {                                                                                              \
        call_of(encoded, pcm[call], FRAME);                                                        \
    }

DECODER(mulaw_decode, g711_mulaw_decode)
DECODER(mulaw_decode_plain, g711_mulaw_decode_plain)
ENCODER(mulaw_encode, g711_mulaw_encode)
ENCODER(mulaw_encode_plain, g711_mulaw_encode_plain)
DECODER(alaw_decode, g711_alaw_decode)
ENCODER(alaw_encode, g711_alaw_encode)

static void mulaw_decode_table(uint32_t call)
{
    decode_table(mulaw_samples, codes[call]);
}

static void mulaw_encode_table(uint32_t call)
{
    encode_table(mulaw_codes, pcm[call]);
}

static void alaw_decode_table(uint32_t call)
{
    decode_table(alaw_samples, codes[call]);
}

static void alaw_encode_table(uint32_t call)
{
    encode_table(alaw_codes, pcm[call]);
}

static const struct contest all[] = {
    {"mulaw-decode", "plain twin", 1, prepare, same_mulaw, mulaw_decode, mulaw_decode_plain, NULL},
    {"mulaw-encode", "plain twin", 1, prepare, same_mulaw, mulaw_encode, mulaw_encode_plain, NULL},
    {"mulaw-decode-table", "table", 1, prepare, same_mulaw, mulaw_decode, mulaw_decode_table, NULL},
    {"mulaw-encode-table", "table", 1, prepare, same_mulaw, mulaw_encode, mulaw_encode_table, NULL},
    {"alaw-decode-table", "table", 1, prepare, same_alaw, alaw_decode, alaw_decode_table, NULL},
    {"alaw-encode-table", "table", 1, prepare, same_alaw, alaw_encode, alaw_encode_table, NULL},
};

const struct contests ratios_g711 = {all, ARRAY_LEN(all)};
