/* One caller: what is the same whatever carries its packets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "media/g711.h"

#define SAME_FAULT_NS MS(100) /* faults of one kind and call that near are one */

int call_watch(struct load *l, struct load_call *c, int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* A short call's place is used again, so what went wrong is kept here: each reason once. */
static void load_note(struct load *l, const char *what)
{
    for (uint32_t i = 0; i < LOAD_NOTES_MAX; i++) {
        if (l->notes[i].what && l->notes[i].what != what)
            continue;
        l->notes[i].what = what;
        l->notes[i].count++;
        return;
    }
}

static bool told_enough(const struct load *l, const char *what)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->told_count; i++)
        n += l->told[i].what == what;
    return l->told_count == LOAD_FAULTS_TOLD || n == LOAD_FAULTS_KIND;
}

/* What goes on from packet to packet is told once. */
static void tell_fault(struct load *l, struct load_call *c, const char *what)
{
    struct load_fault *f = c->told ? &l->told[c->told - 1] : NULL;

    if (!f || f->what != what || l->now_ns - f->last_ns > SAME_FAULT_NS) {
        if (told_enough(l, what))
            return;
        f = &l->told[l->told_count++];
        c->told = l->told_count;
        *f = (struct load_fault){.what = what,
                                 .call = c->index,
                                 .at_ns = l->now_ns,
                                 .doing = c->talk.state,
                                 .doing_ns = c->doing_ns,
                                 .voice_ns = c->voice_ns,
                                 .media_ms = c->media_ms,
                                 .turn = c->talk.turns,
                                 .reply = c->listen.reply,
                                 .period = c->listen.period,
                                 .wanted = c->listen.wanted};
    }
    f->count++;
    f->last_ns = l->now_ns;
}

void call_fault(struct load *l, struct load_call *c, const char *what)
{
    c->faults++;
    l->faults++;
    tell_fault(l, c, what);
    if (l->options->rate_count)
        load_note(l, what);
    if (!c->what)
        c->what = what;
}

static void shut(struct load_call *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->ask_fd >= 0)
        close(c->ask_fd);
    c->fd = c->ask_fd = -1;
    free(c->stream);
    c->stream = NULL;
}

void call_end(struct load *l, struct load_call *c, const char *what)
{
    if (c->state == LOAD_OVER)
        return;
    if (c->state == LOAD_ASKING) {
        l->asking--;
        l->failed++;
    } else if (c->state == LOAD_LIVE) {
        l->live--;
        l->dropped += what != NULL;
        if (l->options->via != LOAD_TWILIO)
            trunk_release(&l->trunk, c->index, &c->peer);
    }
    if (what && !c->what)
        c->what = what;
    if (what && l->options->rate_count)
        load_note(l, what);
    c->state = LOAD_OVER;
    shut(c);
}

void call_refused(struct load *l, struct load_call *c, int64_t at_ns)
{
    l->window->refused++;
    histogram_add(&l->window->refusal, at_ns - c->asked_ns);
    if (!l->options->rate_count) {
        call_end(l, c, "refused: the server is full");
        return;
    }
    l->asking--;
    c->state = LOAD_OVER; /* as it should be, under overload */
    shut(c);
}

void call_reset(struct load_call *c)
{
    *c = (struct load_call){
        .index = c->index, .generation = c->generation + 1, .fd = -1, .ask_fd = -1};
}

void call_begin(struct load *l, struct load_call *c)
{
    c->state = LOAD_ASKING;
    c->asked_ns = l->now_ns;
    l->begun++;
    l->asking++;
    if (l->options->via == LOAD_TWILIO)
        twilio_begin(l, c);
    else if (l->options->via == LOAD_RTP)
        rtp_begin(l, c);
    else
        echo_begin(l, c);
}

void call_live(struct load *l, struct load_call *c)
{
    l->asking--;
    l->live++;
    l->window->admitted++;
    c->state = LOAD_LIVE;
    c->doing_ns = c->voice_ns = l->now_ns;
    histogram_add(&l->setup, l->now_ns - c->asked_ns);
    listen_init(&c->listen, l->options->expect, l->options->via == LOAD_TWILIO);
    talk_init(&c->talk, &l->options->talk,
              (l->options->seed << 20) + c->index * UINT64_C(0x9E3779B97F4A7C15),
              l->options->via < LOAD_ECHO, l->now_ns);
}

void call_hang_up(struct load *l, struct load_call *c)
{
    if (c->state == LOAD_LIVE && l->options->via == LOAD_RTP)
        rtp_bye(l, c);
    else if (c->state == LOAD_LIVE && l->options->via == LOAD_TWILIO)
        twilio_bye(l, c);
    call_end(l, c, NULL);
}

void call_send(struct load *l, struct load_call *c)
{
    l->window->sent++;
    if (l->options->via == LOAD_TWILIO)
        twilio_send_frame(l, c);
    else if (l->options->via == LOAD_RTP)
        rtp_send_frame(l, c);
    else
        echo_send_frame(l, c);
    c->frame++;
}

void call_receive(struct load *l, struct load_call *c)
{
    if (c->state == LOAD_ASKING && l->options->via == LOAD_RTP)
        rtp_answer(l, c);
    else if (l->options->via == LOAD_TWILIO)
        twilio_take(l, c);
}

const uint8_t *call_say(struct load *l, struct load_call *c)
{
    bool last;
    uint32_t unanswered = c->talk.unanswered;
    enum talk_state before = c->talk.state;
    bool speech = talk_frame(&c->talk, &l->options->talk, l->now_ns, &last);

    if (c->talk.state != before)
        c->doing_ns = l->now_ns;
    if (speech && before != TALK_SPEAKING)
        listen_turn(&c->listen);
    /* an echo answers nothing, and nothing is expected of it */
    if (c->talk.unanswered != unanswered && l->options->via < LOAD_ECHO) {
        l->window->unanswered++;
        c->spoke_ns = 0;
        call_fault(l, c, "a turn was not answered");
    }
    l->window->speech += speech;
    l->window->turns += last;
    if (!speech)
        return corpus_noise(&l->corpus, c->index, c->frame);
    bool loud;
    const uint8_t *said =
        corpus_speech(&l->corpus, c->index, c->talk.turns - last, c->frame, &loud);
    if (loud)
        c->spoke_ns = l->now_ns; /* in the end the last packet with voice in it */
    if (last)
        listen_await(&c->listen);
    return said;
}

/* Silence as our own server sends it needs no decoding. */
static bool is_silence(struct slice code, bool alaw)
{
    uint8_t quiet = alaw ? G711_ALAW_SILENCE : G711_MULAW_SILENCE;

    return code.at[0] == quiet && memcmp(code.at, code.at + 1, code.len - 1) == 0;
}

struct listen_result call_hear(struct load *l, struct load_call *c, struct slice code,
                               int64_t at_ns)
{
    int16_t pcm[LOAD_MESSAGE_BYTES];
    struct listen_result r = {0};

    if (!code.len || code.len > LOAD_MESSAGE_BYTES || is_silence(code, l->options->alaw)) {
        listen_silence(&c->listen);
        return r;
    }
    if (l->options->alaw)
        g711_alaw_decode(pcm, code.at, code.len);
    else
        g711_mulaw_decode(pcm, code.at, code.len);
    r = listen_audio(&c->listen, pcm, code.len);
    if (!r.voiced)
        return r;
    l->window->voiced++;
    if (!r.continued)
        c->voice_ns = at_ns;
    bool answer = r.first && !r.unasked;
    if (answer && c->spoke_ns)
        histogram_add(&l->window->response, at_ns - c->spoke_ns - MS(l->options->script_ms));
    c->spoke_ns = answer ? 0 : c->spoke_ns;
    if (r.unasked) {
        l->window->unasked++;
        call_fault(l, c, "a reply began that no ended turn had asked for");
    }
    if (r.wrong) {
        l->window->wrong++;
        call_fault(l, c, "the audio is not that of the call's own next reply");
    }
    if (r.broken) {
        l->window->broken++;
        call_fault(l, c, "samples of a reply are missing or doubled");
    }
    talk_heard(&c->talk, &l->options->talk, at_ns);
    return r;
}

void call_slot(struct load *l, struct load_call *c, int64_t position_ms, int64_t at_ns)
{
    int64_t late_ns = listen_lateness_ns(&c->listen, position_ms, at_ns);

    l->window->slots++;
    histogram_add(&l->window->lateness, late_ns);
    if (late_ns > LISTEN_LATE_NS)
        l->window->late++;
}
