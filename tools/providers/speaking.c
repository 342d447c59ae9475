#include "tools/providers/speaking.h"

#include <stdlib.h>

size_t speaking_sentence(struct slice text)
{
    for (size_t n = text.len; n; n--)
        if (strchr(".!?\n", text.at[n - 1]) && text.at[n - 1] &&
            (n == text.len || text.at[n] == ' ' || text.at[n] == '\n'))
            return n;
    return 0;
}

int64_t speaking_say(struct peer *p, struct speaking *s, struct slice text, speaking_sent sent,
                     void *context)
{
    const struct settings *settings = p->server->settings;
    int64_t ms = voice_text_ms(text, settings->ms_per_character);
    int64_t due = peer_now(p);
    size_t left = (size_t)(ms * s->format.rate_hz / 1000);
    size_t piece = (size_t)(settings->piece_ms * s->format.rate_hz / 1000);
    struct voice_source voice = settings->voice;
    uint8_t *audio;

    voice.mark = settings->marked ? voice_mark_of(text) : 0;
    s->characters += text.len;
    if (left == 0)
        return s->free_ns > due ? s->free_ns : due;
    due += peer_draw(p, &settings->first_audio);
    if (due < s->free_ns)
        due = s->free_ns;
    audio = malloc(piece * voice_bytes(s->format.encoding));
    if (!audio)
        abort();
    while (left) {
        size_t n = left < piece ? left : piece;
        voice_render(&voice, &s->format, s->sample, n, audio);
        sent(p, context, due, slice_of(audio, n * voice_bytes(s->format.encoding)),
             (int64_t)(s->sample * 1000 / s->format.rate_hz));
        s->free_ns = due + (int64_t)((double)n / s->format.rate_hz / settings->speed * 1e9);
        left -= n;
        if (left)
            due = s->free_ns;
        s->sample += n;
    }
    free(audio);
    return due;
}
