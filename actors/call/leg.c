#include "actors/call/leg.h"

#include <errno.h>
#include <string.h>

#include "base/metrics.h"

#define AUDIBLE_LEVEL 100 /* of 32768, the mean over AUDIBLE_MS: about -50 dB */
#define AUDIBLE_MS    5
#define GAP_NS        MS(100)    /* a caller silent on the wire for so long has a gap, not jitter */
#define EARLY_MAX_NS  SECONDS(1) /* who sends faster than real time is not believed further */
#define LATE_NS       MS(5)
#define PLAYOUT_MS    30000
#define FRAME_MS      20
#define ROOM_MS       1000  /* less room than this is not worth a message */
#define PAIR_FIRST    2     /* packets that tell the tick in which they come, */
#define PAIR_AGAIN    50    /* and that it has changed */
#define RECENT_MS     360   /* what stt gets at once: the VAD's start is that late at worst */
#define SILENT_MS     15000 /* in mid-reply: longer than anything a reply may wait for */

static struct frame_pool *pool_of(const struct leg *leg)
{
    return shard_pool(leg->actor->shard);
}

static int64_t now_of(const struct leg *leg)
{
    return shard_now(leg->actor->shard);
}

/* ---- to the call ---- */

static void tell_call(struct leg *leg, uint16_t type, const void *body, size_t body_bytes)
{
    actor_send_body(leg->actor, leg->call, type, IF_FULL_STOP, FRAME_NONE, body, body_bytes);
}

static void tell_heard(struct leg *leg, const struct playout_heard *heard)
{
    struct leg_heard_msg body = {.epoch = leg->epoch,
                                 .piece = heard->piece,
                                 .heard_samples = heard->piece_heard,
                                 .piece_samples = heard->piece_samples,
                                 .piece_ended = heard->piece_ended};

    tell_call(leg, LEG_HEARD, &body, sizeof(body));
}

static int64_t time_of(const struct leg *leg, int64_t sample)
{
    return leg->start_ns + sample * NS_PER_S / leg->rate_hz;
}

/* By the least delayed packet; but never behind the coming of its own, however far a burst has put
 * the clock ahead. */
static int64_t spoken_ns(const struct leg *leg, int64_t sample)
{
    return time_of(leg, sample) + (leg->late_ns < leg->early_ns ? leg->late_ns : leg->early_ns);
}

static void tell_speech(struct leg *leg, const struct vad_result *vad)
{
    bool speaking = vad->change == VAD_STARTED;
    int64_t sample = speaking ? vad->first_sample : vad->last_sample;
    struct leg_speech_msg body = {
        .speaking = speaking, .sample = sample, .at_ns = spoken_ns(leg, sample)};

    tell_call(leg, LEG_SPEECH, &body, sizeof(body));
}

/* A window that waits is judged, with all that wait, and what came of it is told: before anything
 * that this is told by has changed. */
static void settle(struct leg *leg)
{
    struct vad_result result;

    if (!leg->vad.waits)
        return;
    vad_settle(&leg->vad, &result);
    if (result.change != VAD_SAME)
        tell_speech(leg, &result);
}

/* ---- life ---- */

void leg_init(struct leg *leg, struct actor *a, const struct leg_ops *ops,
              const struct leg_format *format)
{
    uint16_t recent = (uint16_t)(format->rate_hz / 1000 * RECENT_MS);
    struct playout_config config = {.rate_hz = format->rate_hz,
                                    .packet_samples = format->rate_hz / 1000 * FRAME_MS,
                                    .depth_ms = PLAYOUT_MS,
                                    .lead_ms = format->lead_ms,
                                    .continuous = format->continuous,
                                    .marks = format->marks};

    leg->actor = a;
    leg->ops = ops;
    leg->rate_hz = format->rate_hz;
    leg->start_ns = shard_now(a->shard);
    leg->audible = true; /* of nothing yet */
    playout_init(&leg->playout, &config, shard_pool(a->shard), leg->start_ns);
    void *memory = actor_memory(a, recent_bytes(format->law, recent));
    recent_init(&leg->recent, format->law, memory, recent);
    if (!memory)
        actor_stop_self(a, REASON(ENOMEM, "no memory for a leg"));
}

void leg_fini(struct leg *leg)
{
    struct playout_heard heard;

    if (!leg->actor)
        return;
    settle(leg); /* nothing of it stays in the batch */
    actor_slot_leave(leg->actor);
    if (!actor_id_none(leg->call)) { /* the call's last words are as true as those before */
        playout_flush(&leg->playout, now_of(leg), leg->ops->clear != NULL, &heard);
        tell_heard(leg, &heard);
    }
    metrics_add(METRIC_PLAYOUT_UNDERRUNS, leg->playout.underruns);
    playout_fini(&leg->playout);
    leg->has_vad = false;
    actor_memory_back(leg->actor, &leg->recent.memory);
    actor_memory_back(leg->actor, &leg->vad.config.network);
    leg->actor = NULL;
}

void leg_key(struct leg *leg, char digit)
{
    struct leg_key_msg body = {.digit = digit};

    tell_call(leg, LEG_KEY, &body, sizeof(body));
}

/* ---- hearing ---- */

static void set_up_hearing(struct leg *leg)
{
    struct world *world = world_of(leg->actor);
    struct legs_shared *shared = &world->legs[shard_index(leg->actor->shard)];
    const struct agent *agent = world->agents[leg->peers.agent]->agent;
    bool silero = agent->vad.provider == AGENT_VAD_SILERO;
    struct vad_config config = {
        .kind = silero ? VAD_SILERO : VAD_ENERGY,
        .rate_hz = leg->rate_hz,
        .confidence = (uint16_t)(agent->vad.confidence * 1000),
        .start_ms = (uint16_t)agent->vad.start_ms,
        .stop_ms = (uint16_t)agent->vad.stop_ms,
        .volume_min = (uint16_t)(agent->vad.min_volume * 1000),
        .gate_db = VAD_GATE_DB,
        .weights = leg->rate_hz == 16000 ? &world->weights_16k : &world->weights_8k,
        .network = silero ? actor_memory(leg->actor, sizeof(struct vad_silero)) : NULL,
        .batch = leg->rate_hz == 16000 ? &shared->windows_16k : &shared->windows_8k};

    leg->vad.config.network = config.network; /* to be given back, whatever comes */
    if (!leg->recent.memory || (silero && !config.network)) {
        actor_stop_self(leg->actor, REASON(ENOMEM, "no memory for a leg"));
        return;
    }
    leg->has_vad = vad_init(&leg->vad, &config, 0) == 0;
    if (!call_check(leg->actor, leg->has_vad))
        return;
    int err = resample_init(&leg->listen, leg->rate_hz, leg->peers.listen_rate_hz);
    call_check(leg->actor, err == 0);
}

static void speech_ended(struct leg *leg, int64_t silence_ns)
{
    int64_t silence_ms = ns_to_ms(silence_ns);
    struct vad_result result;

    if (!leg->has_vad)
        return;
    settle(leg);
    vad_over(&leg->vad, (uint16_t)(silence_ms < UINT16_MAX ? silence_ms : UINT16_MAX), &result);
    if (result.change == VAD_STOPPED)
        tell_speech(leg, &result);
}

static void detect(struct leg *leg, const int16_t *pcm, size_t n)
{
    struct vad_result result;

    while (n) {
        size_t took = vad_step(&leg->vad, pcm, n, &result);
        if (result.change != VAD_SAME)
            tell_speech(leg, &result);
        pcm += took;
        n -= took;
    }
}

/* Most legs have the recogniser's rate, and do not touch the filter's state then. */
static size_t to_listen_rate(const struct leg *leg, struct resample *resample, int16_t *out,
                             const int16_t *pcm, size_t n)
{
    if (leg->peers.listen_rate_hz != leg->rate_hz)
        return resample_run(resample, out, pcm, n);
    memcpy(out, pcm, n * sizeof(*pcm));
    return n;
}

/* A frame with these samples at the rate the recogniser wants, or FRAME_NONE: 20 ms are lost, the
 * call is not. */
static frame_ref frame_of(struct leg *leg, struct resample *resample, const int16_t *pcm, size_t n,
                          int64_t sample)
{
    frame_ref ref = frame_get(pool_of(leg));

    if (ref == FRAME_NONE)
        return FRAME_NONE;
    struct frame *f = frame_at(pool_of(leg), ref);
    size_t made = to_listen_rate(leg, resample, frame_pcm(f), pcm, n);
    f->len = (uint32_t)(made * sizeof(int16_t));
    f->rate_hz = leg->peers.listen_rate_hz;
    f->sample = sample * leg->peers.listen_rate_hz / leg->rate_hz;
    return ref;
}

/* Takes the frame. */
static void send_audio(struct leg *leg, uint16_t type, struct actor_id to, frame_ref take)
{
    struct audio_msg body = {.sample = frame_at(pool_of(leg), take)->sample};

    actor_send_body(leg->actor, to, type, IF_FULL_DROP, take, &body, sizeof(body));
}

/* One frame, a reference to each who listens. */
static void distribute(struct leg *leg, const int16_t *pcm, size_t n)
{
    frame_ref ref = frame_of(leg, &leg->listen, pcm, n, leg->heard_samples);

    if (ref == FRAME_NONE)
        return;
    if (leg->listened && leg->recorded)
        send_audio(leg, AUDIO, leg->peers.recorder, frame_keep(pool_of(leg), ref));
    send_audio(leg, AUDIO, leg->listened ? leg->peers.stt : leg->peers.recorder, ref);
}

/* What stt has not had of the last moment. Where a recorder has had it already, in time, only stt
 * gets it now, by a filter of its own that reaches the same state. */
static void hand_over(struct leg *leg)
{
    size_t step = leg->rate_hz / 1000 * FRAME_MS;
    int16_t pcm[LEG_PACKET_SAMPLES_MAX];
    struct resample resample = leg->listen;

    resample_reset(&resample);
    while (leg->unheard) {
        size_t part = leg->unheard < step ? leg->unheard : step;
        recent_copy(&leg->recent, leg->unheard, pcm, part);
        frame_ref ref =
            frame_of(leg, &resample, pcm, part, leg->heard_samples - (int64_t)leg->unheard);
        if (ref != FRAME_NONE)
            send_audio(leg, AUDIO, leg->peers.stt, ref);
        leg->unheard = (uint16_t)(leg->unheard - part);
    }
    if (!leg->recorded)
        leg->listen = resample;
}

static void set_listening(struct leg *leg, bool on)
{
    if (on == leg->listened || !leg->has_vad)
        return;
    leg->listened = on;
    if (on)
        hand_over(leg);
    leg->unheard = 0;
}

size_t leg_recent(const struct leg *leg, int16_t *out, size_t most)
{
    size_t n = leg->recent.count < most ? leg->recent.count : most;

    recent_copy(&leg->recent, n, out, n);
    return n;
}

static void keep(struct leg *leg, const int16_t *pcm, const uint8_t *codes, size_t n)
{
    if (codes)
        recent_add_codes(&leg->recent, codes, n);
    else
        recent_add(&leg->recent, pcm, n);
    if (!leg->listened)
        leg->unheard =
            (uint16_t)(leg->unheard + n < leg->recent.size ? leg->unheard + n : leg->recent.size);
}

/* The leg's clock goes by arrival: the first packet says where the caller's audio begins on it, and
 * a gap on the wire is a gap on the clock. */
static void place(struct leg *leg, int64_t at_ns)
{
    int64_t expected = (at_ns - leg->start_ns) * leg->rate_hz / NS_PER_S;

    if (leg->hearing && expected - leg->heard_samples < GAP_NS * leg->rate_hz / NS_PER_S)
        return;
    leg->hearing = true;
    if (expected > leg->heard_samples) {
        static const int16_t silence[160];
        int64_t missing = expected - leg->heard_samples;
        leg->heard_samples = expected;
        /* The detector must not take the gap for a moment's pause, nor be fed hours of it. */
        if (missing > leg->rate_hz * 2)
            missing = leg->rate_hz * 2;
        leg->vad.at += expected - leg->vad.at - missing;
        for (; missing >= (int64_t)ARRAY_LEN(silence); missing -= (int64_t)ARRAY_LEN(silence))
            detect(leg, silence, ARRAY_LEN(silence));
        detect(leg, silence, (size_t)missing);
    }
}

/* Windows that fill up in one round are judged together: this comes back to the leg behind all that
 * the round brought, and before its end. */
static void owe_judgement(struct leg *leg)
{
    if (!actor_send_body(leg->actor, leg->actor->id, LEG_JUDGE, IF_FULL_DROP, FRAME_NONE, NULL, 0))
        settle(leg);
}

void leg_hear(struct leg *leg, const int16_t *pcm, const uint8_t *codes, size_t n, int64_t at_ns)
{
    size_t step = leg->rate_hz / 1000 * FRAME_MS;

    if (!leg->has_vad)
        return; /* nobody has asked for audio yet */
    settle(leg);
    place(leg, at_ns);
    settle(leg);
    /* A packet's samples were spoken before it came, not after. */
    leg->late_ns = at_ns - time_of(leg, leg->heard_samples + (int64_t)n);
    if (leg->late_ns < leg->early_ns) /* a burst at the start stands ahead by all its length */
        leg->early_ns = leg->late_ns > -EARLY_MAX_NS ? leg->late_ns : -EARLY_MAX_NS;
    while (n) {
        size_t part = n < step ? n : step;
        detect(leg, pcm, part);
        if (leg->listened || leg->recorded)
            distribute(leg, pcm, part);
        keep(leg, pcm, codes, part);
        leg->heard_samples += (int64_t)part;
        pcm += part;
        codes = codes ? codes + part : NULL;
        n -= part;
    }
    if (leg->vad.waits)
        owe_judgement(leg);
}

/* ---- speaking ---- */

static bool is_loud(int16_t sample)
{
    return sample >= AUDIBLE_LEVEL || sample <= -AUDIBLE_LEVEL;
}

/* The first loud sample of the first stretch that is loud in the mean, or `n`: a single click is
 * not the beginning of a voice, nor is the breath before it. */
static size_t first_audible(const int16_t *pcm, size_t n, size_t stretch)
{
    for (size_t at = 0; at < n; at += stretch) {
        size_t end = at + stretch < n ? at + stretch : n, first = end;
        int64_t sum = 0;

        for (size_t i = at; i < end; i++) {
            sum += pcm[i] < 0 ? -(int64_t)pcm[i] : pcm[i];
            first = first == end && is_loud(pcm[i]) ? i : first;
        }
        if (first < end && sum >= (int64_t)(stretch * AUDIBLE_LEVEL))
            return first;
    }
    return n;
}

static void note_audible(struct leg *leg, const int16_t *pcm, const struct playout_packet *packet)
{
    if (leg->audible)
        return;
    size_t i = first_audible(pcm, packet->speech, leg->rate_hz * AUDIBLE_MS / 1000);
    if (i == packet->speech)
        return;
    struct leg_audible_msg body = {.epoch = leg->epoch,
                                   .at_ns = packet->due_ns + (int64_t)i * NS_PER_S / leg->rate_hz,
                                   .sample = packet->clock + (int64_t)i};
    leg->audible = true;
    tell_call(leg, LEG_AUDIBLE, &body, sizeof(body));
}

static void record_out(struct leg *leg, const int16_t *pcm, const struct playout_packet *packet)
{
    frame_ref ref;

    if (packet->speech == 0 || !leg->recorded)
        return;
    ref = frame_get(pool_of(leg));
    if (ref == FRAME_NONE)
        return;
    struct frame *f = frame_at(pool_of(leg), ref);
    f->len = packet->speech * (uint32_t)sizeof(int16_t);
    f->rate_hz = leg->rate_hz;
    f->sample = packet->clock;
    memcpy(f->data, pcm, f->len);
    send_audio(leg, AUDIO_OUT, leg->peers.recorder, ref);
}

static void tell_room(struct leg *leg)
{
    struct play_room_msg body = {.room_ms = playout_room_ms(&leg->playout)};

    leg->room_owed = body.room_ms < ROOM_MS;
    if (!leg->room_owed && !actor_id_none(leg->peers.tts))
        actor_send_body(leg->actor, leg->peers.tts, PLAY_ROOM, IF_FULL_STOP, FRAME_NONE, &body,
                        sizeof(body));
}

static void tell_progress(struct leg *leg, int64_t now_ns)
{
    uint32_t mark, piece;

    if (leg->ops->mark)
        while (playout_mark_next(&leg->playout, now_ns, &mark))
            leg->ops->mark(leg, mark);
    while (playout_piece_next(&leg->playout, now_ns, &piece))
        ; /* what was heard whole leaves the ledger: unasked, it would fill it */
    if (leg->ending && playout_done(&leg->playout, now_ns)) {
        struct leg_played_msg body = {.epoch = leg->epoch};
        leg->ending = false;
        tell_call(leg, LEG_PLAYED, &body, sizeof(body));
    }
    if (leg->room_owed && playout_queued_ms(&leg->playout) < PLAYOUT_MS / 10)
        tell_room(leg);
}

/* A leg that is served in the tick of its caller's packets touches its memory, and the kernel its
 * socket, once in 20 ms instead of twice. A first few packets tell which tick that is; a change is
 * believed when it lasts, as it does where two clocks drift and does not where a network jitters. A
 * continuous clock moves on by less than a packet, in silence. */
void leg_came(struct leg *leg)
{
    struct shard *shard = leg->actor->shard;
    uint32_t slot = shard_next_slot(shard), own = leg->actor->paired_slot;
    uint32_t later = (slot + SLOTS_PER_FRAME - own) % SLOTS_PER_FRAME;

    recent_soon(&leg->recent, leg->playout.config.packet_samples);
    if (later == 0)
        playout_soon(&leg->playout);
    leg->came_run = later == 0 ? 0 : slot == leg->came_slot ? (uint8_t)(leg->came_run + 1) : 1;
    leg->came_slot = (uint8_t)slot;
    if (leg->came_run < (leg->paired ? PAIR_AGAIN : PAIR_FIRST))
        return;
    leg->came_run = 0;
    if (!leg->actor->slot.prev || !shard_slot_has_room(shard, slot))
        return;
    if (leg->playout.config.continuous &&
        !playout_skip(&leg->playout,
                      (uint32_t)((int64_t)later * TICK_NS * leg->rate_hz / NS_PER_S)))
        return;
    leg->paired = true;
    actor_slot_join(leg->actor, slot);
}

void leg_slot(struct leg *leg)
{
    int64_t now_ns = now_of(leg);
    int16_t pcm[LEG_PACKET_SAMPLES_MAX];
    struct playout_packet packet;

    while (playout_pull(&leg->playout, now_ns, pcm, &packet)) {
        metrics_observe(METRIC_SLOT_LATE, now_ns - packet.due_ns);
        if (now_ns - packet.due_ns > LATE_NS)
            leg->late_packets++;
        leg->ops->send(leg, pcm, &packet);
        if (packet.speech)
            note_audible(leg, pcm, &packet);
        record_out(leg, pcm, &packet);
    }
    tell_progress(leg, now_ns);
    call_check(leg->actor, playout_starved_ms(&leg->playout, now_ns) < SILENT_MS);
}

void leg_mark_back(struct leg *leg, uint32_t mark)
{
    struct leg_marked_msg body = {.epoch = leg->epoch, .at_ns = now_of(leg)};

    /* A mark of before a clear says nothing: the playout knows and refuses it. */
    if (playout_mark_back(&leg->playout, mark, now_of(leg)))
        return;
    if (leg->marked_epoch != leg->epoch) {
        leg->marked_epoch = leg->epoch;
        tell_call(leg, LEG_MARKED, &body, sizeof(body));
    }
    tell_progress(leg, now_of(leg));
}

/* ---- barge-in ---- */

/* What was sent up to sample `end` is dropped at the carrier: it was never heard. */
static void cut_recording(struct leg *leg, int64_t end)
{
    struct audio_msg body = {.sample = (now_of(leg) - leg->start_ns) * leg->rate_hz / NS_PER_S};

    if (body.sample < end && !actor_id_none(leg->peers.recorder))
        actor_send_body(leg->actor, leg->peers.recorder, AUDIO_CUT, IF_FULL_STOP, FRAME_NONE, &body,
                        sizeof(body));
}

static void hold(struct leg *leg)
{
    int64_t now_ns = now_of(leg);

    /* What the carrier holds would be heard on: when it is more than a moment, it is told to drop
     * it, and a resume sends it again. */
    if (playout_hold(&leg->playout, now_ns) > 60 && leg->ops->clear) {
        int64_t end = leg->playout.clock;
        leg->ops->clear(leg);
        playout_cleared(&leg->playout, now_ns);
        cut_recording(leg, end); /* a resume sends it again, and it is recorded then */
    }
}

static void flush(struct leg *leg)
{
    bool clears = leg->ops->clear != NULL;
    struct playout_heard heard;
    int64_t cut = leg->playout.clock;

    if (clears)
        leg->ops->clear(leg);
    playout_flush(&leg->playout, now_of(leg), clears, &heard);
    leg->ending = false;
    tell_heard(leg, &heard);
    tell_room(leg);
    if (clears)
        cut_recording(leg, cut);
}

/* ---- messages ---- */

/* Where silence is sent too, the leg's clock begins at its slot's last tick, so that each packet
 * falls due at a tick of the slot and never between two, where a tick that comes some us early or
 * late decides about 20 ms; the peer learns from the packets when that was. A peer that hears
 * nothing until the agent speaks counts from its own word that the stream begins, and so does the
 * leg. */
static void begin_clock(struct leg *leg, uint32_t slot)
{
    int64_t tick = now_of(leg) / TICK_NS, since = (tick - slot) % SLOTS_PER_FRAME;

    leg->start_ns = leg->playout.config.continuous ? (tick - since) * TICK_NS : now_of(leg);
    playout_start(&leg->playout, leg->start_ns);
}

static void meet_peers(struct leg *leg, const struct msg *m)
{
    uint32_t slot = shard_emptiest_slot(leg->actor->shard);

    leg->peers = *msg_body(m, leg_peers_msg);
    leg->call = m->from;
    leg->recorded = !actor_id_none(leg->peers.recorder);
    begin_clock(leg, slot);
    set_up_hearing(leg);
    struct leg_up_msg body = {.start_ns = leg->start_ns,
                              .rate_hz = leg->rate_hz,
                              .watched = leg->watched,
                              .local = leg->local};
    tell_room(leg);
    tell_call(leg, LEG_UP, &body, sizeof(body));
    actor_slot_join(leg->actor, slot);
}

static void play(struct leg *leg, const struct msg *m)
{
    const struct play_msg *body = msg_body(m, play_msg);

    if (body->generation != leg->playout.generation)
        return; /* of before a flush */
    leg->audible = leg->audible && body->epoch == leg->epoch;
    leg->epoch = body->epoch;
    if (m->type == PLAY) {
        frame_ref ref = frame_keep(pool_of(leg), m->frame);
        if (playout_push(&leg->playout, ref)) {
            frame_put(pool_of(leg), &ref);
            call_check(leg->actor, false && "the playout overflowed");
        }
        if (!leg->playout.config.continuous)
            leg_slot(leg); /* a carrier that buffers takes it at once, not in the next slot */
        leg->room_owed = true;
    } else if (m->type == PLAY_PIECE_END) {
        int err = playout_piece_end(&leg->playout, body->generation, body->piece);
        call_check(leg->actor, err == 0);
        leg->room_owed = true;
    } else {
        playout_reply_end(&leg->playout, body->generation);
        leg->ending = true;
        tell_progress(leg, now_of(leg));
    }
}

static void press(struct leg *leg, const struct call_press_msg *body)
{
    struct call_placed_msg reply = {.err = ENOTSUP, .cookie = body->cookie};

    if (leg->ops->press)
        reply.err = leg->ops->press(leg, body->digits) ? EBUSY : 0;
    actor_send_body(leg->actor, body->asker, CALL_PRESSED, IF_FULL_DROP, FRAME_NONE, &reply,
                    sizeof(reply));
}

bool leg_handle(struct leg *leg, const struct msg *m)
{
    if (!leg->actor)
        return false;
    switch (m->type) {
    case LEG_PEERS:
        meet_peers(leg, m);
        return true;
    case LEG_LISTEN:
        set_listening(leg, msg_body(m, leg_listen_msg)->on);
        return true;
    case LEG_ENDED:
        speech_ended(leg, msg_body(m, leg_ended_msg)->silence_ns);
        return true;
    case LEG_HOLD:
        hold(leg);
        return true;
    case LEG_RESUME:
        playout_resume(&leg->playout);
        return true;
    case LEG_FLUSH:
        flush(leg);
        return true;
    case CALL_PRESS:
        press(leg, msg_body(m, call_press_msg));
        return true;
    case PLAY:
    case PLAY_PIECE_END:
    case PLAY_END:
        play(leg, m);
        return true;
    case MSG_SLOT:
        leg_slot(leg);
        return true;
    case LEG_JUDGE:
        settle(leg);
        return true;
    default:
        return false;
    }
}
