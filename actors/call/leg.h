/* What every leg does, whatever carries its packets: decoded audio in becomes VAD decisions and
 * frames for the recogniser and the recorder; queued speech becomes 20 ms packets out at absolute
 * deadlines; barge-in holds, resumes and flushes. Embedded in a leg actor (leg_rtp, leg_websocket),
 * which owns the socket and the format; the leg's 64-bit sample clock begins at `start_ns`.
 *
 *   packet ─▶ actor: parse, decode ─▶ leg_hear ─▶ VAD ─▶ call     └▶ AUDIO ─▶ stt, recorder
 *   tts ─▶ PLAY ─▶ playout ─▶ leg_slot ─▶ actor: encode, send     └▶ AUDIO_OUT ─▶ recorder
 *
 * Frames are made for those only who want audio now: a recorder always does, stt from LEG_LISTEN
 * on, which also gives it the last moment before. */
#ifndef CALL_LEG_H
#define CALL_LEG_H

#include "actors/messages.h"
#include "actors/world.h"
#include "media/playout.h"
#include "media/recent.h"
#include "media/resample.h"
#include "media/vad.h"

#define LEG_PACKET_SAMPLES_MAX 960 /* 20 ms of 48 kHz */

struct leg;

/* How the actor sends; NULL members where its protocol has no such thing. */
struct leg_ops {
    void (*send)(struct leg *leg, const int16_t *pcm, const struct playout_packet *packet);
    void (*mark)(struct leg *leg, uint32_t mark);
    void (*clear)(struct leg *leg);
    /* All of them, after those that wait; 0 or -ENOBUFS: none. */
    int (*press)(struct leg *leg, const char *digits);
};

struct leg_format {
    uint32_t rate_hz;
    enum recent_law law; /* of the packets: how the last moment is kept */
    uint32_t lead_ms;    /* of the carrier, as the two below */
    bool marks;
    bool continuous; /* silence is sent too (RTP) */
};

/* What each packet touches is put end to end; the detector's network has more. */
struct leg {
    _Alignas(64) struct actor *actor;
    const struct leg_ops *ops;
    uint32_t rate_hz;
    bool hearing; /* the first packet has come */
    bool has_vad;
    bool listened;     /* stt wants audio now */
    bool recorded;     /* there is a recorder */
    bool ending;       /* the reply is complete: LEG_PLAYED is owed */
    bool audible;      /* LEG_AUDIBLE was sent for the reply in the playout */
    bool room_owed;    /* tts waits to hear of room */
    uint8_t came_slot; /* the shard's slot in whose tick the last packet came, */
    uint8_t came_run;  /* and so did so many before it; 0: in the leg's own */
    bool paired;       /* its slot has been chosen by that */
    uint16_t unheard;  /* samples in `recent` that stt has not had */
    int64_t start_ns;
    int64_t heard_samples; /* of the caller, on the leg's clock: number of the next one */
    int64_t early_ns; /* how much sooner than by that first packet's beginning the ends of others
                         came: at most 0; the least delayed packet tells the time best */
    int64_t late_ns;  /* how much later the end of the newest came, likewise */
    struct actor_id call;
    uint64_t late_packets; /* left more than 5 ms after they were due */
    uint32_t marked_epoch; /* of the reply that LEG_MARKED was sent for */
    bool watched;          /* set by an actor whose peer is told what goes on: LEG_UP says so */
    struct vad vad;        /* its last part is touched, and so are */
    struct recent recent;
    struct leg_peers_msg peers;          /* its first members */
    uint32_t epoch;                      /* of the reply in the playout */
    _Alignas(64) struct playout playout; /* its last part is cold, and so is what follows */
    struct address local;   /* set by an actor with a socket of its own: LEG_UP tells it */
    struct resample listen; /* to the rate the recogniser wants */
};

_Static_assert(offsetof(struct leg, call) == 64, "one line");
_Static_assert(offsetof(struct leg, vad.config.kind) % 64 == 0, "three lines begin");
_Static_assert(offsetof(struct leg, peers.call_id) - offsetof(struct leg, vad.config.kind) <= 192,
               "and hold what is touched of three members");

/* The lines of it that each packet touches, for its actor's type. */
#define LEG_HOT(type, leg)                                                                         \
    (ACTOR_HOT(type, leg, leg.call) | ACTOR_HOT(type, leg.vad.config.kind, leg.peers.call_id) |    \
     ACTOR_HOT(type, leg.playout, leg.playout.runs))

void leg_init(struct leg *leg, struct actor *a, const struct leg_ops *ops,
              const struct leg_format *format);
/* Gives everything back; allowed on one that was never begun. */
void leg_fini(struct leg *leg);
/* LEG_PEERS, LEG_LISTEN, LEG_HOLD..., PLAY...: true when it took the message. LEG_PEERS, which
 * comes once, starts the leg's clock and answers LEG_UP. */
bool leg_handle(struct leg *leg, const struct msg *m);
/* `n` decoded samples of the caller that arrived at `at_ns`; `codes`: the same as they came, in the
 * leg's law, or NULL. */
void leg_hear(struct leg *leg, const int16_t *pcm, const uint8_t *codes, size_t n, int64_t at_ns);
/* The newest samples heard, at most `most`; returns how many. */
size_t leg_recent(const struct leg *leg, int16_t *out, size_t most);
/* A packet of the caller has come, whatever is in it: the leg's slot follows the tick in which they
 * come. */
void leg_came(struct leg *leg);
/* MSG_SLOT: everything that is due leaves. */
void leg_slot(struct leg *leg);
/* The carrier echoed a mark. */
void leg_mark_back(struct leg *leg, uint32_t mark);
void leg_key(struct leg *leg, char digit);

#endif
