/* Recognises what the caller says: asks the leg for audio when an utterance begins, which brings
 * the last moment before as well, so that a word's beginning is not lost to the VAD's hesitation;
 * feeds the provider while it lasts, and reports words. Where the agent has fallbacks the utterance
 * is kept while it lasts: the provider that takes over hears it from its beginning. Child of the
 * call. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/call/failover.h"
#include "actors/text.h"
#include "media/resample.h"

#define KEPT_MS       10000 /* of an utterance, for the next provider; the oldest is dropped */
#define PIECE_SAMPLES 800   /* of it in one input: 100 ms at 8 kHz */
#define JOBS_MAX      4     /* at the lane while it is repeated, whose way is no wider */

/* The utterance as the leg gave it. */
struct kept {
    int16_t *pcm; /* NULL: nobody could take over */
    size_t samples, samples_max;
    size_t given; /* to the provider in use */
};

/* What each piece of sound touches comes first. */
struct stt {
    struct actor actor;
    _Alignas(64) struct actor_id call;
    struct actor_id leg;
    uint32_t epoch;
    bool listening;
    bool open;            /* the utterance of `epoch` is going on, or its final has not come */
    bool finish_kept;     /* all of it is kept, and the provider is to be told so */
    bool other_rate;      /* the provider's is not the leg's */
    uint32_t leg_rate_hz; /* of what the leg gives: the first provider's */
    struct kept kept;
    struct engine engine;
    struct resample resample;
    char expected[ANSWER_NAME_BYTES];
};

static uint32_t count_words(struct slice text)
{
    uint32_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < text.len; i++) {
        bool letter = text.at[i] > ' ';
        words += letter && !inside;
        inside = letter;
    }
    return words;
}

static void on_event(struct actor *a, const struct provider_intent *event)
{
    struct stt *stt = container_of(a, struct stt, actor);
    struct slice text = text_cut(slice_trim(event->text), TURN_TEXT_BYTES_MAX);
    struct stt_words_msg words = {.epoch = event->epoch,
                                  .words = count_words(text),
                                  .complete = (event->flag & EVENT_COMPLETE) != 0,
                                  .expected = (event->flag & EVENT_EXPECTED) != 0,
                                  .ended = (event->flag & EVENT_ENDED) != 0,
                                  .confidence = event->confidence};

    if (event->event == EVENT_PARTIAL || event->event == EVENT_FINAL) {
        uint16_t type = event->event == EVENT_FINAL ? STT_HEARD : STT_WORDS;
        if (type == STT_HEARD && event->epoch == stt->epoch)
            stt->open = false;
        actor_send_body(a, stt->call, type, IF_FULL_STOP, text_frame(a, text), &words,
                        sizeof(words));
    } else if (event->event == EVENT_FAILED) {
        engine_fail(&stt->engine, event);
    }
}

/* ---- sound ---- */

/* At the provider's rate. */
static void feed(struct stt *stt, const int16_t *pcm, size_t samples)
{
    int16_t out[PIECE_SAMPLES * 6]; /* 8 to 48 kHz at worst */

    if (stt->other_rate) {
        samples = resample_run(&stt->resample, out, pcm, samples);
        pcm = out;
    }
    engine_command(&stt->engine, INPUT_AUDIO, stt->epoch, slice_of(pcm, samples * sizeof(*pcm)));
}

static void finish(struct stt *stt)
{
    engine_command(&stt->engine, INPUT_FINISH, stt->epoch, SLICE_NONE);
}

/* What the provider in use has not had of the utterance; a lane takes it bit by bit. */
static void give(struct stt *stt)
{
    struct kept *k = &stt->kept;

    while (k->given < k->samples && stt->engine.jobs < JOBS_MAX) {
        size_t part = k->samples - k->given;

        part = part < PIECE_SAMPLES ? part : PIECE_SAMPLES;
        k->given += part;
        feed(stt, k->pcm + k->given - part, part);
    }
    if (stt->finish_kept && k->given == k->samples) {
        stt->finish_kept = false;
        finish(stt);
    }
}

static void keep(struct stt *stt, const int16_t *pcm, size_t samples)
{
    struct kept *k = &stt->kept;
    size_t room = k->samples_max - k->samples;

    if (room < samples) { /* a second at once, so that it is not moved for each frame */
        size_t cut = stt->leg_rate_hz < k->samples ? stt->leg_rate_hz : k->samples;

        memmove(k->pcm, k->pcm + cut, (k->samples - cut) * sizeof(int16_t));
        k->samples -= cut;
        k->given -= cut < k->given ? cut : k->given;
    }
    memcpy(k->pcm + k->samples, pcm, samples * sizeof(int16_t));
    k->samples += samples;
}

static void on_audio(struct stt *stt, frame_ref ref)
{
    struct frame *f = frame_at(shard_pool(stt->actor.shard), ref);
    const int16_t *pcm = (const int16_t *)(const void *)f->data;
    size_t samples = f->len / sizeof(int16_t);

    if (!stt->listening)
        return;
    if (stt->kept.pcm) {
        keep(stt, pcm, samples);
        give(stt);
        return;
    }
    for (size_t at = 0; at < samples; at += PIECE_SAMPLES)
        feed(stt, pcm + at, samples - at < PIECE_SAMPLES ? samples - at : PIECE_SAMPLES);
}

static bool kept_new(struct kept *k, uint32_t rate_hz)
{
    k->samples_max = (size_t)rate_hz * KEPT_MS / 1000;
    k->pcm = malloc(k->samples_max * sizeof(int16_t));
    return k->pcm != NULL;
}

static void kept_free(struct kept *k)
{
    free(k->pcm);
    k->pcm = NULL;
}

static void forget_kept(struct stt *stt)
{
    stt->kept.samples = stt->kept.given = 0;
    stt->finish_kept = false;
}

/* ---- the utterance ---- */

static void set_listening(struct stt *stt, bool on)
{
    struct leg_listen_msg body = {.on = on};

    stt->listening = on;
    actor_send_body(&stt->actor, stt->leg, LEG_LISTEN, IF_FULL_STOP, FRAME_NONE, &body,
                    sizeof(body));
}

static void say_speech(struct stt *stt)
{
    struct provider_input input = {
        .kind = INPUT_SPEECH, .epoch = stt->epoch, .flag = 1, .data = slice_str(stt->expected)};

    engine_input(&stt->engine, &input);
}

static void begin_listening(struct stt *stt, const struct expect_msg *m)
{
    stt->epoch = m->epoch;
    stt->open = true;
    memcpy(stt->expected, m->answer, sizeof(stt->expected));
    forget_kept(stt);
    say_speech(stt);
    set_listening(stt, true);
}

/* Not to one that still gets what came before the pause. */
static void on_pause(struct stt *stt, uint32_t epoch)
{
    if (!stt->kept.pcm || stt->kept.given == stt->kept.samples)
        engine_command(&stt->engine, INPUT_SPEECH, epoch, SLICE_NONE);
}

static void on_finish(struct stt *stt, uint32_t epoch)
{
    set_listening(stt, false);
    if (!stt->kept.pcm || epoch != stt->epoch) {
        engine_command(&stt->engine, INPUT_FINISH, epoch, SLICE_NONE);
        return;
    }
    stt->finish_kept = true;
    give(stt);
}

static void on_forget(struct stt *stt, uint32_t epoch)
{
    set_listening(stt, false);
    if (epoch >= stt->epoch)
        stt->open = false;
    forget_kept(stt);
    engine_cancel(&stt->engine, epoch);
}

/* ---- failures ---- */

/* The one that has just taken over hears the utterance from its beginning. */
static void repeat(struct engine *e)
{
    struct stt *stt = container_of(e, struct stt, engine);
    uint32_t rate_hz = provider_rate_hz(stt->engine.ops, stt->engine.config);
    bool finished = !stt->listening;

    if (resample_init(&stt->resample, stt->leg_rate_hz, rate_hz)) {
        engine_fail_with(&stt->engine, stt->epoch, EINVAL, "it cannot hear at this rate");
        return;
    }
    stt->other_rate = stt->leg_rate_hz != rate_hz;
    if (!stt->open)
        return;
    log_info("stt", NULL, "%s hears %zu ms of the utterance again", stt->engine.ops->name,
             stt->kept.samples * 1000 / stt->leg_rate_hz);
    stt->kept.given = 0;
    stt->finish_kept = finished;
    say_speech(stt);
    give(stt);
}

/* The final has not come, and the call goes on without: with another, if there is one. */
static void on_late(struct stt *stt, uint32_t epoch)
{
    if (!engine_left(&stt->engine))
        return;
    if (epoch == stt->epoch)
        stt->open = false;
    engine_fail_with(&stt->engine, epoch, ETIMEDOUT, "no final came");
}

/* ---- life ---- */

static void stop(struct stt *stt)
{
    engine_stop(&stt->engine);
    kept_free(&stt->kept);
    actor_end(&stt->actor);
}

static void start(struct stt *stt, const struct msg *m)
{
    uint32_t agent = msg_body(m, engine_start_msg)->agent;

    stt->call = m->from;
    stt->leg = msg_body(m, engine_start_msg)->leg;
    int err = engine_start(&stt->engine, &stt->actor, agent, PROVIDER_STT, on_event);
    if (err) {
        actor_stop_self(&stt->actor, REASON(-err, "no speech lane session for the recogniser"));
        return;
    }
    stt->leg_rate_hz = provider_rate_hz(stt->engine.ops, stt->engine.config);
    if (engine_left(&stt->engine) && !kept_new(&stt->kept, stt->leg_rate_hz))
        actor_stop_self(&stt->actor, REASON(ENOMEM, "no memory to keep an utterance in"));
}

static void on_message(struct stt *stt, const struct msg *m)
{
    switch (m->type) {
    case MSG_START:
        start(stt, m);
        break;
    case AUDIO:
        on_audio(stt, m->frame);
        break;
    case STT_LISTEN:
        begin_listening(stt, msg_body(m, expect_msg));
        break;
    case STT_PAUSE:
        on_pause(stt, msg_body(m, epoch_msg)->epoch);
        break;
    case STT_FINISH:
        on_finish(stt, msg_body(m, epoch_msg)->epoch);
        break;
    case STT_FORGET:
        on_forget(stt, msg_body(m, epoch_msg)->epoch);
        break;
    case PROVIDER_LATE:
        on_late(stt, msg_body(m, epoch_msg)->epoch);
        break;
    default:
        break;
    }
}

static void stt_handle(struct actor *a, const struct msg *m)
{
    struct stt *stt = container_of(a, struct stt, actor);

    if (m->type == MSG_STOP) {
        stop(stt);
        return;
    }
    if (!engine_handle(&stt->engine, m))
        on_message(stt, m);
    else if (stt->kept.pcm)
        give(stt); /* a lane may have room again */
    failover_settle(&stt->engine, ROLE_STT, stt->call, repeat);
}

static const char *stt_state(const struct actor *a)
{
    return container_of(a, struct stt, actor)->listening ? "listening" : "waiting";
}

static const char *stt_provider(const struct actor *a)
{
    return engine_name(&container_of(a, struct stt, actor)->engine);
}

const struct actor_type stt_type = {.name = "stt",
                                    .size_bytes = sizeof(struct stt),
                                    .hot = ACTOR_HOT(struct stt, actor, actor.parent) |
                                           ACTOR_HOT(struct stt, call, engine.failure.fatal),
                                    .hot_beyond = offsetof(struct stt, engine.state),
                                    .handle = stt_handle,
                                    .state = stt_state,
                                    .detail = stt_provider};
