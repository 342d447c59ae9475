#include "provider/speaker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/clock.h"
#include "media/g711.h"

#define CONNECT_NS  SECONDS(8)  /* the actor's tries take seven, and a call waits for ten */
#define RETRY_NS    MS(300)     /* before what broke is asked for again */
#define STABLE_NS   SECONDS(10) /* a socket that was up for so long is opened again unasked */
#define ONE_SAY_MAX 4           /* intents */
#define NOT_ENDED   (-1)

static const struct speaker_loaded *loaded_of(const struct provider_input *in)
{
    return in->config->loaded;
}

/* ---- clauses ---- */

static void first_is_new(struct speaker *s)
{
    s->given = s->skip = 0;
    s->tries = 0;
    s->has_half = false;
}

static void drop_first(struct speaker *s)
{
    uint32_t len = s->clauses[0].len;

    s->count--;
    s->asked -= s->asked > 0;
    s->closing = s->closing && s->asked;
    s->text_len -= len;
    memmove(s->text, s->text + len, s->text_len);
    memmove(s->clauses, s->clauses + 1, s->count * sizeof(s->clauses[0]));
    first_is_new(s);
}

static void fail_with(struct speaker *s, uint32_t epoch, int32_t status, const char *what,
                      struct intents *out)
{
    struct provider_intent *event = intents_event(out, EVENT_FAILED, epoch, slice_str(what));

    event->status = status;
    event->flag = s->fatal || cloud_is_fatal(status) ? EVENT_FATAL : 0;
}

static void fail_first(struct speaker *s, int32_t status, const char *what, struct intents *out)
{
    uint32_t epoch = s->clauses[0].epoch;

    if (!s->count)
        return;
    while (s->count && s->clauses[0].epoch == epoch)
        drop_first(s);
    s->asked = 0;
    s->closing = false;
    s->hold_ns = 0;
    if (!s->count)
        s->due_ns = NEVER_NS;
    fail_with(s, epoch, status, what, out);
}

static void fail_all(struct speaker *s, int32_t status, const char *what, struct intents *out)
{
    for (uint32_t n = s->count; n && s->count; n--)
        fail_first(s, status, what, out);
}

/* After what trying again cannot help nothing that waits will be spoken either. */
void speaker_fail(struct speaker *s, int32_t status, const char *what, struct intents *out)
{
    if (s->fatal)
        fail_all(s, status, what, out);
    else
        fail_first(s, status, what, out);
}

void speaker_spoken(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out)
{
    if (!s->asked)
        return;
    intents_event(out, EVENT_SPOKEN, s->clauses[0].epoch, SLICE_NONE);
    drop_first(s);
    s->due_ns = s->count ? now_ns + loaded_of(in)->patience_ns : NEVER_NS;
}

void speaker_broken(struct speaker *s, int32_t status, const char *what, int64_t now_ns,
                    struct intents *out)
{
    if (!s->count)
        return;
    if (cloud_is_fatal(status) || ++s->tries >= SPEAKER_TRIES) {
        speaker_fail(s, status, what, out);
        return;
    }
    s->given -= s->has_half;
    s->has_half = false;
    s->skip = s->given;
    s->asked = 0;
    s->closing = false;
    s->ended = s->clauses[0].epoch;
    s->hold_ns = now_ns + RETRY_NS;
}

/* ---- sound ---- */

/* Is it more than any voice makes of what was asked? A provider may tell clauses apart or not. */
static bool is_endless(const struct speaker *s, const struct speaker_loaded *l, size_t more)
{
    double text_bytes = 0;

    for (uint32_t i = 0; i < s->asked; i++)
        text_bytes += s->clauses[i].len;
    double most_ms = SPEAKER_SOUND_MS + SPEAKER_BYTE_MS * l->slow * text_bytes;
    return (double)(s->given + more) * 1000 > most_ms * l->bytes_per_s;
}

/* Room for `n` bytes of PCM16 behind the half sample that there may be, at an even address. */
static uint8_t *sound_begin(struct speaker *s, size_t n, struct intents *out)
{
    if (!s->asked || n == 0)
        return NULL;
    if (out->bytes.len & 1)
        builder_u8(&out->bytes, 0);
    uint8_t *at = builder_reserve(&out->bytes, n + 2);
    if (!at) {
        out->bytes.bad = false; /* what has been said so far still counts */
        speaker_fail(s, EMSGSIZE, "a piece of sound is longer than fits", out);
        return NULL;
    }
    if (s->has_half && !s->skip)
        *at = s->half;
    return at;
}

static void sound_end(struct speaker *s, const struct provider_input *in, uint8_t *at, size_t n,
                      int64_t now_ns, struct intents *out)
{
    size_t skip = n < s->skip ? n : (size_t)s->skip;
    struct provider_intent *event;

    if (is_endless(s, loaded_of(in), n - skip)) {
        s->endless = true;
        return;
    }
    s->due_ns = now_ns + loaded_of(in)->patience_ns;
    s->skip -= skip;
    s->given += n - skip;
    memmove(at, at + skip, n - skip);
    n = n - skip + s->has_half;
    s->has_half = n & 1;
    if (s->has_half)
        s->half = at[--n];
    if (n == 0)
        return;
    event = intents_add(out, INTENT_EVENT);
    event->event = EVENT_AUDIO;
    event->epoch = s->clauses[0].epoch;
    event->text = slice_of(at, n);
}

void speaker_sound(struct speaker *s, const struct provider_input *in, struct slice pcm,
                   int64_t now_ns, struct intents *out)
{
    uint8_t *at = sound_begin(s, pcm.len, out);

    if (!at)
        return;
    memcpy(at + s->has_half, pcm.at, pcm.len);
    sound_end(s, in, at, pcm.len, now_ns, out);
}

void speaker_sound_mulaw(struct speaker *s, const struct provider_input *in, struct slice codes,
                         int64_t now_ns, struct intents *out)
{
    size_t bytes = codes.len * sizeof(int16_t);
    uint8_t *at = sound_begin(s, bytes, out);

    if (!at)
        return;
    g711_mulaw_decode((int16_t *)(void *)at, codes.at, codes.len);
    sound_end(s, in, at, bytes, now_ns, out);
}

void speaker_sound_base64(struct speaker *s, const struct provider_input *in, struct slice text,
                          int64_t now_ns, struct intents *out)
{
    size_t room = BASE64_BYTES(text.len), len = 0;
    uint8_t *at = sound_begin(s, room, out);

    if (at && base64_decode(text, at + s->has_half, room, &len) == 0 && len)
        sound_end(s, in, at, len, now_ns, out);
}

/* ---- asking ---- */

void speaker_message_begin(struct jsonw *w, struct intents *out, size_t *from)
{
    *from = out->bytes.len;
    jsonw_init(w, &out->bytes);
    jsonw_begin(w);
}

void speaker_message_send(struct jsonw *w, size_t from, struct intents *out)
{
    struct provider_intent *intent;

    jsonw_end(w);
    if (jsonw_finish(w)) {
        out->bad = true;
        return;
    }
    intent = intents_add(out, INTENT_SEND);
    intent->flag = 1;
    intent->body = slice_of(out->bytes.at + from, out->bytes.len - from);
}

static void connect_now(struct speaker *s, const struct provider_input *in, struct intents *out)
{
    struct provider_intent *intent = intents_add(out, INTENT_CONNECT);

    intent->data = slice_str(loaded_of(in)->url);
    intent->head = slice_str(loaded_of(in)->head);
    s->link = SPEAKER_CONNECTING;
}

static struct slice text_to_ask(const struct speaker *s)
{
    size_t at = 0;

    for (uint32_t i = 0; i < s->asked; i++)
        at += s->clauses[i].len;
    return slice_of(s->text + at, s->clauses[s->asked].len);
}

/* Only one reply is at the service, and as much of it as the dialect takes. */
static bool can_ask(const struct speaker *s, const struct speaker_dialect *d,
                    const struct intents *out)
{
    if (s->asked == s->count || s->closing || out->count + ONE_SAY_MAX + 2 > INTENTS_MAX)
        return false;
    if (s->asked == 0)
        return true;
    return !d->alone && s->clauses[s->asked].len &&
           s->clauses[s->asked].epoch == s->clauses[0].epoch;
}

static void tell_end(struct speaker *s, const struct speaker_dialect *d,
                     const struct provider_input *in, struct intents *out)
{
    bool waits = s->count > s->asked && s->clauses[s->asked].epoch == s->ended;

    if (s->ended == NOT_ENDED || waits || s->closing)
        return;
    s->ended = NOT_ENDED;
    if (!d->finish)
        return;
    d->finish(s, in, out);
    s->closing = s->asked > 0;
}

static void pump(struct speaker *s, const struct speaker_dialect *d,
                 const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    if (now_ns < s->hold_ns)
        return;
    s->hold_ns = 0;
    if (!d->by_request && s->link != SPEAKER_UP)
        return;
    while (can_ask(s, d, out)) {
        struct slice text = text_to_ask(s);
        if (s->asked++ == 0)
            s->due_ns = now_ns + loaded_of(in)->patience_ns;
        if (text.len)
            d->say(s, in, text, out);
        else
            speaker_spoken(s, in, now_ns, out);
    }
    tell_end(s, d, in, out);
}

/* ---- inputs ---- */

static void too_much(struct speaker *s, const struct speaker_dialect *d,
                     const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    uint32_t kept = 0, asked = s->asked;

    if (asked && s->clauses[0].epoch == in->epoch) {
        d->cancel(s, in, now_ns, out);
        speaker_fail(s, ENOBUFS, "too much is to be said at once", out);
        return;
    }
    while (kept < s->count && s->clauses[kept].epoch != in->epoch)
        kept++;
    while (s->count > kept) /* epochs only grow, so they are the last ones */
        s->text_len -= s->clauses[--s->count].len;
    if (s->count == 0)
        s->due_ns = NEVER_NS;
    fail_with(s, in->epoch, ENOBUFS, "too much is to be said at once", out);
}

static void add(struct speaker *s, const struct speaker_dialect *d, const struct provider_input *in,
                int64_t now_ns, struct intents *out)
{
    struct slice text = slice_trim(in->data);

    if (in->epoch < s->alive)
        return;
    if (s->fatal) {
        fail_with(s, in->epoch, s->fatal, cloud_says(s->fatal), out);
        return;
    }
    if (s->count == SPEAKER_CLAUSES_MAX || text.len > sizeof(s->text) - s->text_len) {
        too_much(s, d, in, now_ns, out);
        return;
    }
    if (s->count == 0)
        s->due_ns = now_ns + (s->link == SPEAKER_UP || d->by_request ? loaded_of(in)->patience_ns
                                                                     : CONNECT_NS);
    s->clauses[s->count++] = (struct speaker_clause){in->epoch, (uint32_t)text.len};
    for (size_t i = 0; i < text.len; i++) /* controls have no sound, and NUL no place in JSON */
        s->text[s->text_len++] = text.at[i] < 0x20 || text.at[i] == 0x7F ? ' ' : text.at[i];
    if (s->link == SPEAKER_DOWN && !d->by_request)
        connect_now(s, in, out);
}

static void cancel(struct speaker *s, const struct speaker_dialect *d,
                   const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    if (in->epoch != UINT32_MAX && in->epoch >= s->alive)
        s->alive = in->epoch + 1;
    if (s->count && s->clauses[0].epoch > in->epoch)
        return;
    if (d->by_request || s->link == SPEAKER_UP)
        d->cancel(s, in, now_ns, out);
    while (s->count && s->clauses[0].epoch <= in->epoch)
        drop_first(s);
    s->asked = 0;
    s->closing = false;
    s->ended = s->ended > (int64_t)in->epoch ? s->ended : NOT_ENDED;
    s->hold_ns = 0;
    s->due_ns = s->count ? now_ns + CONNECT_NS : NEVER_NS;
}

static void came_up(struct speaker *s, const struct provider_input *in, int64_t now_ns)
{
    s->link = SPEAKER_UP;
    s->up_ns = now_ns;
    if (s->count)
        s->due_ns = now_ns + loaded_of(in)->patience_ns;
}

/* The actor tries again by itself before it says that there is no connection. */
static void went_down(struct speaker *s, const struct speaker_dialect *d,
                      const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    bool was_up = s->link == SPEAKER_UP;

    s->link = SPEAKER_DOWN;
    d->lost(s);
    if (cloud_is_fatal(in->status))
        s->fatal = in->status;
    if (s->fatal || !was_up) {
        fail_all(s, in->status ? in->status : ENOTCONN, cloud_says(in->status), out);
        return;
    }
    speaker_broken(s, in->status ? in->status : EPIPE, cloud_says(in->status), now_ns, out);
    if (s->count || now_ns - s->up_ns >= STABLE_NS)
        connect_now(s, in, out);
    if (s->count)
        s->due_ns = now_ns + CONNECT_NS;
}

static void shut(struct speaker *s, const struct speaker_dialect *d, struct intents *out)
{
    intents_add(out, INTENT_CLOSE);
    s->link = SPEAKER_DOWN;
    d->lost(s);
}

void speaker_renew(struct speaker *s, const struct speaker_dialect *d,
                   const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    shut(s, d, out);
    connect_now(s, in, out);
    if (s->count)
        s->due_ns = now_ns + CONNECT_NS;
}

void speaker_restart(struct speaker *s, const struct speaker_dialect *d,
                     const struct provider_input *in, int32_t status, const char *what,
                     int64_t now_ns, struct intents *out)
{
    shut(s, d, out);
    if (cloud_is_fatal(status)) {
        s->fatal = status;
        fail_all(s, status, what, out);
        return;
    }
    speaker_broken(s, status, what, now_ns, out);
    if (!d->by_request)
        connect_now(s, in, out);
    if (s->count)
        s->due_ns = now_ns + (d->by_request ? loaded_of(in)->patience_ns : CONNECT_NS);
}

static void on_time(struct speaker *s, const struct speaker_dialect *d,
                    const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    bool up = d->by_request || s->link == SPEAKER_UP;

    if (s->due_ns > now_ns)
        return;
    s->due_ns = NEVER_NS;
    if (!up) {
        fail_all(s, ETIMEDOUT, "the service cannot be reached", out);
        return;
    }
    speaker_restart(s, d, in, ETIMEDOUT, "the service does not answer", now_ns, out);
}

static void begin(struct speaker *s, const struct speaker_dialect *d,
                  const struct provider_input *in, struct intents *out)
{
    s->due_ns = NEVER_NS;
    s->ended = NOT_ENDED;
    if (!d->by_request)
        connect_now(s, in, out);
}

static bool take(struct speaker *s, const struct speaker_dialect *d,
                 const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    switch (in->kind) {
    case INPUT_START:
        begin(s, d, in, out);
        return false;
    case INPUT_TEXT:
        add(s, d, in, now_ns, out);
        return true;
    case INPUT_FINISH:
        if (in->epoch >= s->alive)
            s->ended = in->epoch;
        return true;
    case INPUT_CANCEL:
        cancel(s, d, in, now_ns, out);
        return true;
    case INPUT_OPENED:
        came_up(s, in, now_ns);
        return true;
    case INPUT_CLOSED:
        if (d->by_request)
            d->message(s, in, now_ns, out);
        else
            went_down(s, d, in, now_ns, out);
        return true;
    case INPUT_BYTES:
    case INPUT_STATUS:
    case INPUT_CHUNK:
    case INPUT_END:
        d->message(s, in, now_ns, out);
        return true;
    case INPUT_TIMER:
        on_time(s, d, in, now_ns, out);
        return true;
    case INPUT_STOP:
        if (d->by_request || s->link != SPEAKER_DOWN)
            intents_add(out, INTENT_CLOSE);
        return false;
    case INPUT_AUDIO:
    case INPUT_SPEECH:
    case INPUT_TURN:
    case INPUT_COMMIT:
    case INPUT_JOB:
        return false;
    }
    return false;
}

void speaker_step(struct speaker *s, const struct speaker_dialect *dialect,
                  const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    bool asks = take(s, dialect, in, now_ns, out);

    if (s->endless)
        speaker_restart(s, dialect, in, EPROTO, "its sound does not end", now_ns, out);
    s->endless = false;
    if (asks)
        pump(s, dialect, in, now_ns, out);
}

int64_t speaker_deadline(const void *speaker)
{
    const struct speaker *s = speaker;
    bool held = s->hold_ns && s->count && s->hold_ns < s->due_ns;

    return held ? s->hold_ns : s->due_ns;
}

/* ---- loading ---- */

struct speaker_loaded *speaker_loaded_new(void)
{
    struct speaker_loaded *l = calloc(1, sizeof(*l));

    if (!l)
        abort();
    return l;
}

struct slice speaker_voice(struct cloud *c, const char *fallback)
{
    const char *voice = c->config->voice && c->config->voice[0] ? c->config->voice : fallback;

    if (!web_printable(slice_str(voice)))
        cloud_complain(c, "voice", "only printable ASCII may stand here");
    return slice_str(voice);
}

struct slice speaker_language(const struct provider_config *config)
{
    struct slice region;

    return slice_cut(slice_str(config->language), '-', &region);
}

double speaker_speed(struct cloud *c, double least, double most)
{
    double speed = c->config->speed;

    if (speed == 0.0 || speed == 1.0)
        return 0;
    if (!(speed >= least && speed <= most))
        cloud_complain(c, "speed", "\"%s\" speaks at %g to %g, not at %g", c->ops->name, least,
                       most, speed);
    return speed;
}

uint32_t speaker_rate(const struct provider_config *config)
{
    uint64_t rate = 0;

    if (slice_u64(slice_str(provider_setting(config, "sample_rate", "16000")), 48000, &rate))
        return 16000; /* is refused when it is loaded */
    return (uint32_t)rate;
}

int speaker_load_end(struct cloud *c, struct speaker_loaded *l, bool fits, const void **loaded)
{
    cloud_choice(c, "sample_rate", "16000", "8000 16000 24000");
    l->bytes_per_s = provider_rate_hz(c->ops, c->config) * (uint32_t)sizeof(int16_t);
    l->slow = c->config->speed > 0 && c->config->speed < 1 ? 1 / c->config->speed : 1;
    l->patience_ns = MS(cloud_whole(c, "timeout_ms", 3000, 200, 8000));
    if (!fits)
        cloud_complain(c, "voice", "is more than fits, with the model and the key");
    return cloud_end_load(c, l, loaded);
}
