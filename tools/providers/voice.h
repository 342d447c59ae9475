/* The simulated speaker: a buzz with two formants and the rhythm of syllables, a recording that is
 * repeated or cut, or a saw tooth by which a listener knows what is said, whose length follows the
 * text, in whatever encoding a client asks for. Pure;
 * the sound is a function of the sample's number alone, so pieces join without a seam. The owner of
 * the memory frees it. Any thread. */
#ifndef PROVIDERS_VOICE_H
#define PROVIDERS_VOICE_H

#include "base/bytes.h"

#define VOICE_MS_LEAST 200
#define VOICE_MS_MOST  60000 /* of one piece of text; beyond: cut */

enum voice_encoding { VOICE_S16, VOICE_MULAW, VOICE_ALAW, VOICE_F32 };

struct voice_format {
    enum voice_encoding encoding;
    uint32_t rate_hz;
};

#define VOICE_MARK_HZ 8000 /* the rate at which a mark's period is told */

/* A recording at any rate; no samples: the buzz. Boot; borrowed from then on. */
struct voice_source {
    const int16_t *pcm;
    size_t samples;
    uint32_t rate_hz;
    uint32_t mark; /* not 0: a saw tooth of so many samples at VOICE_MARK_HZ instead of both */
};

uint32_t voice_bytes(enum voice_encoding encoding); /* of a sample */
/* How long a text takes at so many milliseconds a character, 0 for a text of blanks. */
int64_t voice_text_ms(struct slice text, double ms_per_character);
/* The mark of a text, by the first number in it: 20 samples for 0, two more for each further one,
 * the same every twelve. 20 for a text without a number. */
uint32_t voice_mark_of(struct slice text);
/* Writes samples first .. first + count - 1; out has count * voice_bytes(). */
void voice_render(const struct voice_source *source, const struct voice_format *format,
                  uint64_t first, size_t count, uint8_t *out);
/* "linear16", "pcm_s16le", "mulaw", "pcm_mulaw", "ulaw", "alaw", "pcm_alaw", "pcm_f32le". */
bool voice_encoding_named(struct slice name, enum voice_encoding *out);

#endif
