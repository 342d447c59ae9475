/* G.711 (ITU-T G.711, 11/88): mu-law and A-law to and from linear 16-bit samples. Pure functions
 * over arrays; any thread; no state, no memory. The fast path (AVX2) is taken where the processor
 * has it; the _plain twins are portable, give the same bytes, and exist for that and for tests.
 *
 * Samples are full-scale int16 (the 14 or 13 bits of the standard, shifted up). Encoding rounds to
 * the standard's decision values; encode(decode(c)) == c for every code but mu-law 0x7F (minus
 * zero), which becomes 0xFF. */
#ifndef MEDIA_G711_H
#define MEDIA_G711_H

#include <stddef.h>
#include <stdint.h>

#define G711_MULAW_SILENCE 0xFFu
#define G711_ALAW_SILENCE  0xD5u

/* `n` codes to `n` samples, or back; the two arrays do not overlap. */
void g711_mulaw_decode(int16_t *pcm, const uint8_t *code, size_t n);
void g711_mulaw_encode(uint8_t *code, const int16_t *pcm, size_t n);
void g711_alaw_decode(int16_t *pcm, const uint8_t *code, size_t n);
void g711_alaw_encode(uint8_t *code, const int16_t *pcm, size_t n);

void g711_mulaw_decode_plain(int16_t *pcm, const uint8_t *code, size_t n);
void g711_mulaw_encode_plain(uint8_t *code, const int16_t *pcm, size_t n);
void g711_alaw_decode_plain(int16_t *pcm, const uint8_t *code, size_t n);
void g711_alaw_encode_plain(uint8_t *code, const int16_t *pcm, size_t n);

#endif
