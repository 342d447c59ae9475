#include "repeat.h"

#define PIECE_BYTES 3200

static void give(struct repeat *r, enum provider_input_kind kind, struct slice data)
{
    struct provider_input in = {
        .kind = kind, .epoch = r->epoch, .flag = kind == INPUT_SPEECH, .data = data};

    r->give(r->context, &in);
}

/* What this socket has not been given yet. */
static void go_on(struct repeat *r)
{
    if (!r->begun) {
        r->begun = true;
        give(r, INPUT_SPEECH, SLICE_NONE);
    }
    while (r->on && r->given < r->len) {
        size_t n = r->len - r->given < PIECE_BYTES ? r->len - r->given : PIECE_BYTES;
        struct slice piece = slice_of(r->sound + r->given, n);
        r->given += n;
        r->since_opened += n;
        give(r, INPUT_AUDIO, piece);
    }
    if (r->on && r->finished && !r->ended) {
        r->ended = true;
        give(r, INPUT_FINISH, SLICE_NONE);
    }
}

static void begin(struct repeat *r, uint32_t epoch)
{
    r->on = true;
    r->finished = r->ended = r->begun = false;
    r->epoch = epoch;
    r->given = r->kept = r->len = 0;
    r->opened_at = r->since_opened;
}

static bool is_of_utterance(enum provider_input_kind kind)
{
    return kind == INPUT_SPEECH || kind == INPUT_AUDIO || kind == INPUT_FINISH;
}

bool repeat_holds(struct repeat *r, const struct provider_input *in, enum referee_link link)
{
    if (in->kind == INPUT_CANCEL && in->epoch == r->epoch)
        r->on = false;
    if (!is_of_utterance(in->kind) || (in->kind == INPUT_SPEECH && !in->flag))
        return false;
    if (in->epoch > r->epoch)
        begin(r, in->epoch);
    if (!r->on || in->epoch != r->epoch)
        return false;
    if (in->kind == INPUT_AUDIO && in->data.len <= REPEAT_SOUND_BYTES - r->len) {
        memcpy(r->sound + r->len, in->data.at, in->data.len);
        r->len += in->data.len;
    }
    if (in->kind == INPUT_FINISH)
        r->finished = true;
    if (link == LINK_OPEN)
        go_on(r);
    return link == LINK_OPEN || link == LINK_CONNECTING;
}

void repeat_event(struct repeat *r, const struct provider_intent *event)
{
    bool kept = event->event == EVENT_PARTIAL && (event->flag & EVENT_KEPT);

    if (!r->on || event->epoch != r->epoch)
        return;
    if (event->event == EVENT_FINAL || event->event == EVENT_FAILED)
        r->on = false;
    size_t at = (size_t)event->heard_ms * r->rate_hz / 1000 * 2;
    if (!kept || at < r->opened_at)
        return;
    at = at - r->opened_at + (r->given - (r->since_opened - r->opened_at));
    at = at < r->given ? at : r->given;
    r->kept = at > r->kept ? at : r->kept;
}

void repeat_opened(struct repeat *r)
{
    r->begun = r->ended = false;
    r->given = r->kept;
    r->since_opened = r->opened_at = 0;
    if (r->on)
        go_on(r);
}

/* There will be no socket: the provider is told what waited for it, so that it can say so. */
void repeat_closed(struct repeat *r, enum referee_link link)
{
    if (!r->on || link == LINK_CONNECTING || link == LINK_OPEN)
        return;
    if (!r->begun) {
        r->begun = true;
        give(r, INPUT_SPEECH, SLICE_NONE);
    }
    if (r->on && r->finished && !r->ended) {
        r->ended = true;
        give(r, INPUT_FINISH, SLICE_NONE);
    }
}
