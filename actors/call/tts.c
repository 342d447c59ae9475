/* Speaks: takes clauses from the call, has them synthesised in order, brings the audio to the leg's
 * rate and sends it there in frames. It stops feeding the provider while the leg's queue is full,
 * so that playout back-pressures synthesis and never drops speech. When the provider fails, the
 * next of the role speaks what is not spoken, from the beginning of the clause that broke off.
 * Child of the call. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/call/failover.h"
#include "actors/text.h"
#include "media/resample.h"

#define CLAUSES_MAX  66   /* all of a reply, its end, an excuse; beyond it the call ends */
#define HELD_HIGH    256  /* held frames at which the provider's connection is not read, and */
#define HELD_LOW     128  /* those at which it is again */
#define HELD_MAX     512  /* frames made and not yet taken by the leg; beyond it the call ends */
#define PART_SAMPLES 320  /* resampled at a time */
#define ROOM_MIN_MS  1000 /* of playout room before the next clause is asked for */
#define AHEAD_BYTES                                                                                \
    180 /* of text at the provider, where it takes more than one clause at a time                  \
         */

/* A clause, from the call's request to its last sample. */
struct clause {
    frame_ref text;
    uint32_t epoch;
    uint32_t generation;
    uint32_t piece;
    uint32_t bytes; /* of its text */
    bool end;       /* not a clause: the reply ends here */
    bool sent;      /* its first audio went out; the end: the provider was told */
};

struct tts {
    struct actor actor;
    struct actor_id call;
    struct actor_id leg;
    struct engine engine;
    struct resample resample;
    uint32_t leg_rate_hz;
    struct clause clauses[CLAUSES_MAX]; /* ring */
    uint32_t first;
    uint32_t count;
    uint32_t asked; /* the first so many were given to the provider, */
    uint32_t made;  /* and of so many it has given all the sound, which may still be held */
    uint32_t room_ms;
    uint32_t heard_epoch; /* TTS_FIRST was sent for it */
    frame_ref filling;    /* a frame not yet full */
    frame_ref held_first; /* chain: full ones that wait for the leg's room, tagged by piece */
    frame_ref held_last;
    uint32_t held_count;
    uint32_t unfinished; /* of these, the last so many are of the clause being made */
    bool paused;         /* the engine's connection */
};

static struct clause *clause_at(struct tts *tts, uint32_t i)
{
    return &tts->clauses[(tts->first + i) % CLAUSES_MAX];
}

static void send_play(struct tts *tts, uint16_t type, const struct clause *c, frame_ref take)
{
    struct play_msg body = {.epoch = c->epoch, .generation = c->generation, .piece = c->piece};

    actor_send_body(&tts->actor, tts->leg, type, IF_FULL_STOP, take, &body, sizeof(body));
}

/* ---- audio: from the provider's pieces to frames at the leg's rate ---- */

static uint32_t ms_of(struct tts *tts, frame_ref ref)
{
    uint32_t samples = frame_at(shard_pool(tts->actor.shard), ref)->len / sizeof(int16_t);

    return samples * 1000 / tts->leg_rate_hz;
}

static void too_much(struct tts *tts)
{
    actor_stop(tts->actor.shard, tts->actor.parent->id, REASON(ENOBUFS, "too much to say at once"));
}

static frame_ref take_held(struct tts *tts)
{
    frame_ref ref = tts->held_first;
    struct frame *f = frame_at(shard_pool(tts->actor.shard), ref);

    tts->held_first = f->next;
    f->next = FRAME_NONE;
    tts->held_count--;
    return ref;
}

static void add_held(struct tts *tts, frame_ref ref)
{
    if (tts->held_count++ == 0)
        tts->held_first = ref;
    else
        frame_at(shard_pool(tts->actor.shard), tts->held_last)->next = ref;
    tts->held_last = ref;
}

static void drop_first(struct tts *tts)
{
    struct clause *c = clause_at(tts, 0);

    actor_frame_let_go(&tts->actor, &c->text);
    tts->first = (tts->first + 1) % CLAUSES_MAX;
    tts->count--;
    tts->asked -= tts->asked > 0;
    tts->made -= tts->made > 0;
}

/* A clause is over when all of it was made and the leg has taken it. */
static void finish_first(struct tts *tts)
{
    send_play(tts, PLAY_PIECE_END, clause_at(tts, 0), FRAME_NONE);
    drop_first(tts);
}

/* What the leg has room for goes to it, in order, each clause with its end. */
static void release(struct tts *tts)
{
    while (tts->held_count) {
        struct frame *f = frame_at(shard_pool(tts->actor.shard), tts->held_first);
        if (tts->made && f->tag != clause_at(tts, 0)->piece) {
            finish_first(tts);
            continue;
        }
        uint32_t ms = ms_of(tts, tts->held_first);
        if (tts->room_ms < ms)
            return;
        tts->room_ms -= ms;
        tts->actor.ledger.frames--;
        tts->unfinished -= tts->made == 0;
        send_play(tts, PLAY, clause_at(tts, 0), take_held(tts));
    }
    while (tts->made)
        finish_first(tts);
}

/* A provider that makes sound faster than it is heard waits at its end of the connection. */
static void flow(struct tts *tts)
{
    bool pause = tts->paused ? tts->held_count > HELD_LOW : tts->held_count >= HELD_HIGH;

    if (pause != tts->paused)
        engine_pause(&tts->engine, pause);
    tts->paused = pause;
}

static void send_filling(struct tts *tts, const struct clause *c)
{
    struct frame *f;

    if (tts->filling == FRAME_NONE)
        return;
    f = frame_at(shard_pool(tts->actor.shard), tts->filling);
    f->rate_hz = tts->leg_rate_hz;
    f->generation = c->generation;
    f->tag = c->piece;
    if (tts->held_count == HELD_MAX) {
        actor_frame_let_go(&tts->actor, &tts->filling);
        too_much(tts);
        return;
    }
    add_held(tts, tts->filling);
    tts->unfinished++;
    tts->filling = FRAME_NONE;
    release(tts);
    flow(tts);
}

static void fill(struct tts *tts, const struct clause *c, const int16_t *pcm, size_t samples)
{
    struct frame_pool *pool = shard_pool(tts->actor.shard);

    while (samples) {
        if (tts->filling == FRAME_NONE) {
            tts->filling = frame_get(pool);
            if (tts->filling == FRAME_NONE)
                return; /* an empty pool costs a moment of audio and a counter */
            tts->actor.ledger.frames++;
        }
        struct frame *f = frame_at(pool, tts->filling);
        size_t room = (FRAME_DATA_BYTES - f->len) / sizeof(int16_t);
        size_t part = samples < room ? samples : room;
        memcpy(f->data + f->len, pcm, part * sizeof(int16_t));
        f->len += (uint32_t)(part * sizeof(int16_t));
        pcm += part;
        samples -= part;
        if (f->len == FRAME_DATA_BYTES)
            send_filling(tts, c);
    }
}

static void on_audio(struct tts *tts, const struct provider_intent *event)
{
    struct clause *c = clause_at(tts, tts->made);
    const int16_t *pcm = (const int16_t *)(const void *)event->text.at;
    size_t left = event->text.len / sizeof(int16_t);
    int16_t out[PART_SAMPLES * 6]; /* 8 to 48 kHz at worst */

    if (tts->made == tts->asked || event->epoch != c->epoch)
        return;
    if (tts->heard_epoch != c->epoch) {
        tts->heard_epoch = c->epoch;
        SEND(&tts->actor, tts->call, TTS_FIRST, IF_FULL_STOP, FRAME_NONE, struct tts_first_msg,
             .epoch = c->epoch, .at_ns = shard_now(tts->actor.shard));
    }
    while (left) {
        size_t part = left < PART_SAMPLES ? left : PART_SAMPLES;
        size_t made = resample_run(&tts->resample, out, pcm, part);
        fill(tts, c, out, made);
        pcm += part;
        left -= part;
    }
    /* A clause's first sound must not wait for a full frame; what follows may. */
    if (!c->sent)
        send_filling(tts, c);
    c->sent = true;
}

/* ---- clauses ---- */

/* More than one clause is at the provider only while the leg is hungry, and only as much text as
 * the longest clause alone: what is held is bounded by that. */
static bool may_ask(struct tts *tts)
{
    struct clause *c = clause_at(tts, tts->asked);
    uint32_t bytes = c->bytes;

    if (tts->asked == tts->count || c->end || tts->room_ms < ROOM_MIN_MS)
        return false;
    if (tts->asked == 0)
        return true;
    for (uint32_t i = tts->made; i < tts->asked; i++)
        bytes += clause_at(tts, i)->bytes;
    return tts->engine.ops->ahead && tts->held_count == 0 && bytes <= AHEAD_BYTES &&
           c->epoch == clause_at(tts, 0)->epoch;
}

static void ask_next(struct tts *tts)
{
    struct clause *c = clause_at(tts, tts->asked++);
    struct msg m = {.frame = c->text};
    uint32_t epoch = c->epoch;

    engine_command(&tts->engine, INPUT_TEXT, epoch, text_of(&tts->actor, &m));
    if (!tts->engine.ops->ahead)
        engine_command(&tts->engine, INPUT_FINISH, epoch, SLICE_NONE);
}

/* A provider that takes clauses ahead is told once that no more of them come. */
static void tell_end(struct tts *tts)
{
    struct clause *c = clause_at(tts, tts->asked);

    if (!tts->engine.ops->ahead || tts->asked == tts->count || !c->end || c->sent)
        return;
    c->sent = true;
    engine_command(&tts->engine, INPUT_FINISH, c->epoch, SLICE_NONE);
}

/* Asks for the next clause when there is room for it; passes on a reply's end. */
static void advance(struct tts *tts)
{
    while (may_ask(tts))
        ask_next(tts);
    tell_end(tts);
    while (tts->count && tts->asked == 0 && clause_at(tts, 0)->end) {
        send_play(tts, PLAY_END, clause_at(tts, 0), FRAME_NONE);
        drop_first(tts);
        while (may_ask(tts))
            ask_next(tts);
        tell_end(tts);
    }
}

static void on_spoken(struct tts *tts, uint32_t epoch)
{
    struct clause *c = clause_at(tts, tts->made);

    if (tts->made == tts->asked || c->epoch != epoch)
        return;
    send_filling(tts, c);
    tts->made++;
    tts->unfinished = 0;
    release(tts);
}

static void on_event(struct actor *a, const struct provider_intent *event)
{
    struct tts *tts = container_of(a, struct tts, actor);

    if (event->event == EVENT_AUDIO) {
        on_audio(tts, event);
    } else if (event->event == EVENT_SPOKEN) {
        on_spoken(tts, event->epoch);
    } else if (event->event == EVENT_FAILED) {
        engine_fail(&tts->engine, event);
    }
}

static void say(struct tts *tts, const struct msg *m, bool end)
{
    const struct tts_say_msg *body = msg_body(m, tts_say_msg);

    if (tts->count == CLAUSES_MAX) {
        too_much(tts);
        return;
    }
    struct clause *c = clause_at(tts, tts->count++);
    *c = (struct clause){
        .epoch = body->epoch, .generation = body->generation, .piece = body->piece, .end = end};
    if (m->frame != FRAME_NONE) {
        c->bytes = (uint32_t)text_of(&tts->actor, m).len;
        c->text = actor_frame_hold(&tts->actor, m->frame);
    }
    advance(tts);
}

static void cancel(struct tts *tts, uint32_t epoch)
{
    bool any = tts->count > 0;

    while (tts->count)
        drop_first(tts);
    tts->asked = tts->made = 0;
    actor_frame_let_go(&tts->actor, &tts->filling);
    while (tts->held_count) {
        frame_ref ref = take_held(tts);
        actor_frame_let_go(&tts->actor, &ref);
    }
    tts->unfinished = 0;
    flow(tts);
    if (any)
        engine_cancel(&tts->engine, epoch);
    resample_reset(&tts->resample);
}

/* ---- failures ---- */

/* What was made of the clause that broke off and the leg has not: it is made again. */
static void drop_unfinished(struct tts *tts)
{
    uint32_t all = tts->held_count, keep = all - tts->unfinished;

    actor_frame_let_go(&tts->actor, &tts->filling);
    for (uint32_t i = 0; i < all; i++) {
        frame_ref ref = take_held(tts);

        if (i < keep)
            add_held(tts, ref);
        else
            actor_frame_let_go(&tts->actor, &ref);
    }
    tts->unfinished = 0;
}

static int set_rate(struct tts *tts)
{
    return resample_init(&tts->resample, provider_rate_hz(tts->engine.ops, tts->engine.config),
                         tts->leg_rate_hz);
}

/* The one that has just taken over speaks what its forerunner has not spoken to the end. */
static void take_over(struct engine *e)
{
    struct tts *tts = container_of(e, struct tts, engine);
    drop_unfinished(tts);
    tts->asked = tts->made;
    for (uint32_t i = tts->made; i < tts->count; i++)
        clause_at(tts, i)->sent = false;
    tts->paused = false;
    if (set_rate(tts)) {
        engine_fail_with(&tts->engine, 0, EINVAL, "its rate cannot be played");
        return;
    }
    flow(tts);
    advance(tts);
}

static void on_late(struct tts *tts, uint32_t epoch)
{
    engine_fail_with(&tts->engine, epoch, ETIMEDOUT, "nothing came for too long");
}

/* ---- life ---- */

static void start(struct tts *tts, const struct msg *m)
{
    const struct engine_start_msg *args = msg_body(m, engine_start_msg);

    tts->call = m->from;
    tts->leg = args->leg;
    tts->leg_rate_hz = args->leg_rate_hz;
    tts->room_ms = ROOM_MIN_MS;
    int err = engine_start(&tts->engine, &tts->actor, args->agent, PROVIDER_TTS, on_event);
    if (err == 0)
        err = set_rate(tts);
    if (err)
        actor_stop_self(&tts->actor, REASON(-err, "the synthesiser cannot start"));
}

static void stop(struct tts *tts)
{
    cancel(tts, UINT32_MAX);
    engine_stop(&tts->engine);
    actor_end(&tts->actor);
}

static void on_message(struct tts *tts, const struct msg *m)
{
    switch (m->type) {
    case MSG_START:
        start(tts, m);
        break;
    case TTS_SAY:
    case TTS_END:
        say(tts, m, m->type == TTS_END);
        break;
    case TTS_CANCEL:
        cancel(tts, msg_body(m, epoch_msg)->epoch);
        break;
    case PLAY_ROOM:
        tts->room_ms = msg_body(m, play_room_msg)->room_ms;
        release(tts);
        flow(tts);
        advance(tts);
        break;
    case PROVIDER_LATE:
        on_late(tts, msg_body(m, epoch_msg)->epoch);
        break;
    default:
        break;
    }
}

static void tts_handle(struct actor *a, const struct msg *m)
{
    struct tts *tts = container_of(a, struct tts, actor);

    if (m->type == MSG_STOP) {
        stop(tts);
        return;
    }
    if (engine_handle(&tts->engine, m))
        advance(tts);
    else
        on_message(tts, m);
    failover_settle(&tts->engine, ROLE_TTS, tts->call, take_over);
}

static const char *tts_state(const struct actor *a)
{
    return container_of(a, struct tts, actor)->count ? "speaking" : "waiting";
}

static const char *tts_provider(const struct actor *a)
{
    return engine_name(&container_of(a, struct tts, actor)->engine);
}

const struct actor_type tts_type = {.name = "tts",
                                    .size_bytes = sizeof(struct tts),
                                    .handle = tts_handle,
                                    .state = tts_state,
                                    .detail = tts_provider};
