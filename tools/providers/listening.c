#include "tools/providers/listening.h"

#include "media/g711.h"

#define BLOCK 512

void listening_begin(struct peer *p, struct listening *l, uint32_t rate_hz,
                     enum voice_encoding encoding)
{
    const struct settings *s = p->server->settings;

    *l = (struct listening){.encoding = encoding};
    l->script_index = (size_t)(p->server->connections++ % s->script_count);
    l->script = &s->scripts[l->script_index];
    hearing_init(&l->ear, rate_hz, s->level, s->gap_ms, s->least_ms);
}

int64_t listening_ms(const struct listening *l)
{
    return hearing_ms(&l->ear, l->ear.clock);
}

static size_t *order_of(struct peer *p, struct listening *l)
{
    return p->server->settings->hear_count == HEAR_BY_SERVER ? &p->server->heard[l->script_index]
                                                             : &l->in_order;
}

/* The next line that sound gives; an empty one behind the last. */
static struct heard next_in_order(struct peer *p, struct listening *l)
{
    size_t *i = order_of(p, l);

    while (*i < l->script->count && l->script->lines[*i].at_ms != HEARD_IN_ORDER)
        ++*i;
    return *i < l->script->count ? l->script->lines[*i] : (struct heard){0};
}

struct slice listening_take(struct peer *p, struct listening *l)
{
    size_t *i = order_of(p, l);

    l->text = next_in_order(p, l).text;
    if (*i < l->script->count)
        ++*i;
    hearing_stop(&l->ear);
    return l->text;
}

int64_t listening_end_ns(struct peer *p, const struct listening *l)
{
    int64_t now = peer_now(p);
    int64_t due = l->voiced_ns + peer_draw(p, &p->server->settings->end_of_turn);

    return due > now ? due : now;
}

struct jsonw *listening_note_end(struct peer *p, const struct listening *l, int64_t due_ns,
                                 bool asked)
{
    struct jsonw *w = peer_note(p, "speech ends");

    diary_text(&p->server->diary, "text", l->text);
    jsonw_key(w, "voiced_ms");
    jsonw_double(w, (double)l->voiced_ns / 1e6, 3);
    jsonw_key(w, "waited_ms");
    jsonw_double(w, asked ? 0 : (double)l->waited_ns / 1e6, 3);
    jsonw_key(w, "due_ms");
    jsonw_double(w, (double)due_ns / 1e6, 3);
    jsonw_put_bool(w, "asked", asked);
    return w;
}

size_t listening_words(const struct listening *l)
{
    int64_t said_ms = hearing_ms(&l->ear, l->ear.clock - l->ear.first);
    size_t words = token_count(l->text);
    size_t said = (size_t)(said_ms / LISTENING_WORD_MS);

    return said < words ? said : words;
}

static void timed_tell(struct peer *p, struct listening *l, listening_told told)
{
    while (l->timed < l->script->count) {
        const struct heard *h = &l->script->lines[l->timed];
        if (h->at_ms > listening_ms(l))
            return;
        l->timed++;
        if (h->at_ms == HEARD_IN_ORDER)
            continue;
        l->text = h->text;
        l->voiced_ns = peer_now(p);
        told(p, LISTENING_TIMED);
    }
}

static void window_tell(struct peer *p, struct listening *l, enum hearing_event event,
                        listening_told told)
{
    struct heard next;

    switch (event) {
    case HEARING_BEGINS:
        next = next_in_order(p, l);
        l->text = next.text;
        l->ear.lasts_ms = next.lasts_ms;
        told(p, LISTENING_BEGINS);
        break;
    case HEARING_ENDS:
        listening_take(p, l);
        told(p, LISTENING_ENDS);
        break;
    case HEARING_WINDOW:
    case HEARING_NOISE:
        told(p, l->ear.speaking ? LISTENING_GOES_ON : LISTENING_QUIET);
        break;
    case HEARING_NOTHING:
        break;
    }
}

/* `left`: samples of this message that follow; they came with it, so its last loud window came
 * that much before now. */
static void pcm_hear(struct peer *p, struct listening *l, const int16_t *pcm, size_t count,
                     size_t left, listening_told told)
{
    size_t used = 0;

    for (;;) {
        int64_t last = l->ear.last;
        enum hearing_event event = hearing_feed(&l->ear, pcm, count, &used);
        l->waited_ns = (int64_t)(left + count - used) * NS_PER_S / (int64_t)l->ear.rate_hz;
        if (l->ear.last != last)
            l->voiced_ns = peer_now(p) - l->waited_ns;
        if (event == HEARING_NOTHING)
            return;
        window_tell(p, l, event, told);
        timed_tell(p, l, told);
    }
}

static size_t decode(struct listening *l, struct slice *audio, int16_t *pcm)
{
    size_t n = 0;

    if (l->encoding != VOICE_S16) {
        n = audio->len < BLOCK ? audio->len : BLOCK;
        if (l->encoding == VOICE_ALAW)
            g711_alaw_decode(pcm, audio->at, n);
        else
            g711_mulaw_decode(pcm, audio->at, n);
        *audio = slice_of(audio->at + n, audio->len - n);
        return n;
    }
    for (; audio->len && n < BLOCK; *audio = slice_of(audio->at + 1, audio->len - 1)) {
        if (l->has_odd)
            pcm[n++] = (int16_t)(l->odd | audio->at[0] << 8);
        l->odd = audio->at[0];
        l->has_odd = !l->has_odd;
    }
    return n;
}

void listening_audio(struct peer *p, struct listening *l, struct slice audio, listening_told told)
{
    int16_t pcm[BLOCK];

    l->bytes += audio.len;
    while (audio.len) {
        size_t n = decode(l, &audio, pcm);
        pcm_hear(p, l, pcm, n, audio.len / voice_bytes(l->encoding), told);
    }
}
