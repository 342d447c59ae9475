/* Recognises what the caller says: asks the leg for audio when an utterance begins, which brings
 * the last moment before as well, so that a word's beginning is not lost to the VAD's hesitation;
 * feeds the provider while it lasts, and reports words. Child of the call. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/text.h"

struct stt {
    struct actor actor;
    struct actor_id call, leg;
    uint32_t epoch;
    bool listening;
    struct engine engine;
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
                                  .confidence = event->confidence};

    if (event->event == EVENT_PARTIAL || event->event == EVENT_FINAL) {
        uint16_t type = event->event == EVENT_FINAL ? STT_HEARD : STT_WORDS;
        actor_send_body(a, stt->call, type, IF_FULL_STOP, text_frame(a, text), &words,
                        sizeof(words));
    } else if (event->event == EVENT_FAILED) {
        struct provider_failed_msg failed = {.role = ROLE_STT,
                                             .epoch = event->epoch,
                                             .status = event->status,
                                             .fatal = (event->flag & EVENT_FATAL) != 0};
        snprintf(failed.what, sizeof(failed.what), "%.*s", SLICE_ARG(event->text));
        actor_send_body(a, stt->call, PROVIDER_FAILED, IF_FULL_STOP, FRAME_NONE, &failed,
                        sizeof(failed));
    }
}

static void feed(struct stt *stt, frame_ref ref)
{
    struct frame *f = frame_at(shard_pool(stt->actor.shard), ref);

    engine_command(&stt->engine, INPUT_AUDIO, stt->epoch, slice_of(f->data, f->len));
}

static void set_listening(struct stt *stt, bool on)
{
    struct leg_listen_msg body = {.on = on};

    stt->listening = on;
    actor_send_body(&stt->actor, stt->leg, LEG_LISTEN, IF_FULL_STOP, FRAME_NONE, &body,
                    sizeof(body));
}

static void begin_listening(struct stt *stt, const struct expect_msg *m)
{
    struct provider_input input = {
        .kind = INPUT_SPEECH, .epoch = m->epoch, .flag = 1, .data = slice_str(m->answer)};

    stt->epoch = m->epoch;
    engine_input(&stt->engine, &input);
    set_listening(stt, true);
}

static void stop(struct stt *stt)
{
    engine_stop(&stt->engine);
    actor_end(&stt->actor);
}

static void start(struct stt *stt, const struct msg *m)
{
    uint32_t agent = msg_body(m, engine_start_msg)->agent;

    stt->call = m->from;
    stt->leg = msg_body(m, engine_start_msg)->leg;
    int err = engine_start(&stt->engine, &stt->actor, agent, PROVIDER_STT, on_event);
    if (err)
        actor_stop_self(&stt->actor, REASON(-err, "no speech lane session for the recogniser"));
}

static void stt_handle(struct actor *a, const struct msg *m)
{
    struct stt *stt = container_of(a, struct stt, actor);

    if (engine_handle(&stt->engine, m))
        return;
    switch (m->type) {
    case MSG_START:
        start(stt, m);
        break;
    case MSG_STOP:
        stop(stt);
        break;
    case AUDIO:
        if (stt->listening)
            feed(stt, m->frame);
        break;
    case STT_LISTEN:
        begin_listening(stt, msg_body(m, expect_msg));
        break;
    case STT_FINISH:
        set_listening(stt, false);
        engine_command(&stt->engine, INPUT_FINISH, msg_body(m, epoch_msg)->epoch, SLICE_NONE);
        break;
    case STT_FORGET:
        set_listening(stt, false);
        engine_cancel(&stt->engine, msg_body(m, epoch_msg)->epoch);
        break;
    default:
        break;
    }
}

static const char *stt_state(const struct actor *a)
{
    return container_of(a, struct stt, actor)->listening ? "listening" : "waiting";
}

const struct actor_type stt_type = {
    .name = "stt", .size_bytes = sizeof(struct stt), .handle = stt_handle, .state = stt_state};
