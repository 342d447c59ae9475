#include "provider/utterance.h"

#include "media/g711.h"

#define PIECE_SAMPLES 480

static void words_reset(struct utterance *u)
{
    u->text_len = u->tail_len = u->confidence = u->words = 0;
}

static bool is_over(const struct utterance *u, uint32_t epoch)
{
    return epoch <= u->last;
}

bool utterance_open(struct utterance *u, uint32_t epoch, struct intents *out)
{
    if (is_over(u, epoch) || epoch < u->epoch)
        return false;
    if (epoch == u->epoch)
        return !u->finishing;
    if (u->finishing) {
        u->next = epoch;
        return true;
    }
    if (u->owed)
        utterance_close(u, 0, "the connection was lost", out);
    u->epoch = epoch;
    words_reset(u);
    utterance_drop(u, u->end);
    return true;
}

void utterance_put(struct utterance *u, struct slice bytes)
{
    if (bytes.len > sizeof(u->audio)) {
        u->end += bytes.len - sizeof(u->audio);
        bytes = slice_of(bytes.at + bytes.len - sizeof(u->audio), sizeof(u->audio));
    }
    for (size_t done = 0; done < bytes.len;) {
        size_t at = u->end % sizeof(u->audio);
        size_t n = bytes.len - done;
        n = n < sizeof(u->audio) - at ? n : sizeof(u->audio) - at;
        memcpy(u->audio + at, bytes.at + done, n);
        u->end += n;
        done += n;
    }
    if (u->end - u->begin > sizeof(u->audio))
        u->begin = u->end - sizeof(u->audio);
}

static void put_mulaw(struct utterance *u, struct slice pcm)
{
    int16_t samples[PIECE_SAMPLES];
    uint8_t codes[PIECE_SAMPLES];
    size_t count = pcm.len / sizeof(*samples);

    for (size_t done = 0; done < count;) {
        size_t n = count - done < PIECE_SAMPLES ? count - done : PIECE_SAMPLES;
        memcpy(samples, pcm.at + done * sizeof(*samples), n * sizeof(*samples));
        g711_mulaw_encode(codes, samples, n);
        utterance_put(u, slice_of(codes, n));
        done += n;
    }
}

void utterance_put_pcm(struct utterance *u, struct slice pcm, bool mulaw)
{
    if (mulaw)
        put_mulaw(u, pcm);
    else
        utterance_put(u, pcm);
}

struct slice utterance_peek(const struct utterance *u, uint64_t at, size_t max)
{
    uint64_t limit = utterance_limit(u);
    size_t from = at % sizeof(u->audio);

    if (at < u->begin || at >= limit)
        return SLICE_NONE;
    size_t n = limit - at < max ? (size_t)(limit - at) : max;
    return slice_of(u->audio + from, n < sizeof(u->audio) - from ? n : sizeof(u->audio) - from);
}

uint64_t utterance_limit(const struct utterance *u)
{
    return u->finishing ? u->finish_at : u->epoch ? u->end : u->begin;
}

void utterance_drop(struct utterance *u, uint64_t at)
{
    if (at > u->begin)
        u->begin = at < u->end ? at : u->end;
}

/* The one being recognised is over; the next, if it has begun, takes its place. */
static void end(struct utterance *u)
{
    utterance_drop(u, u->finishing ? u->finish_at : u->end);
    u->last = u->epoch;
    u->epoch = u->next;
    u->next = 0;
    u->finishing = u->owed = false;
    words_reset(u);
}

void utterance_lost(struct utterance *u, int32_t status, const char *what, struct intents *out)
{
    if (u->finishing && u->next)
        utterance_close(u, status, what, out);
    utterance_drop(u, u->end);
    u->finishing = false;
    u->tail_len = 0;
}

bool utterance_finish(struct utterance *u, uint32_t epoch, int64_t now_ns, struct intents *out)
{
    if (u->finishing && epoch > u->epoch)
        utterance_close(u, 0, "the recogniser was too slow", out);
    if (!utterance_open(u, epoch, out))
        return false;
    if (!u->owed)
        u->finish_ns = now_ns;
    u->finishing = u->owed = true;
    u->finish_at = u->end;
    return true;
}

bool utterance_cancel(struct utterance *u, uint32_t epoch)
{
    if (epoch && epoch == u->next)
        u->next = 0;
    if (!epoch || epoch != u->epoch)
        return false;
    end(u);
    return true;
}

/* ---- words ---- */

/* Joins with a blank; what does not fit is cut at a character. */
static uint32_t join(struct utterance *u, uint32_t at, struct slice text)
{
    size_t room = sizeof(u->text) - at - 1;

    text = slice_trim(text);
    if (text.len == 0 || room <= 1)
        return at;
    if (at)
        u->text[at++] = ' ';
    size_t n = text.len < room - 1 ? text.len : room - 1;
    while (n && n < text.len && (text.at[n] & 0xC0) == 0x80)
        n--;
    memcpy(u->text + at, text.at, n);
    return at + (uint32_t)n;
}

void utterance_words(struct utterance *u, struct slice text, uint32_t confidence)
{
    uint32_t len = join(u, u->text_len, text);

    if (len > u->text_len) {
        uint32_t weight = len - u->text_len;
        u->confidence += weight * (confidence < 100 ? confidence : 100);
        u->words += weight;
    }
    u->text_len = len;
    u->tail_len = 0;
}

void utterance_tail(struct utterance *u, struct slice text)
{
    u->tail_len = join(u, u->text_len, text) - u->text_len;
}

static struct slice all_words(const struct utterance *u)
{
    return slice_of(u->text, u->text_len + u->tail_len);
}

void utterance_partial(const struct utterance *u, bool ended, struct intents *out)
{
    if (u->epoch)
        intents_event(out, EVENT_PARTIAL, u->epoch, all_words(u))->flag =
            ended ? EVENT_COMPLETE | EVENT_ENDED : 0;
}

void utterance_final(struct utterance *u, struct intents *out)
{
    struct provider_intent *event;

    if (!u->epoch)
        return;
    event = intents_event(out, EVENT_FINAL, u->epoch, all_words(u));
    event->confidence = (uint8_t)(u->words ? u->confidence / u->words : 100);
    end(u);
}

void utterance_fail(struct utterance *u, int32_t status, bool fatal, const char *what,
                    struct intents *out)
{
    struct provider_intent *event;

    if (!u->epoch)
        return;
    event = intents_event(out, EVENT_FAILED, u->epoch, slice_str(what));
    event->status = status;
    event->flag = fatal ? EVENT_FATAL : 0;
    end(u);
}

void utterance_close(struct utterance *u, int32_t status, const char *what, struct intents *out)
{
    if (u->text_len + u->tail_len)
        utterance_final(u, out);
    else
        utterance_fail(u, status, false, what, out);
}
