/* The outgoing queue of one leg: what the agent says, on its way to the caller's ear. It belongs
 * to the leg actor, on its shard; the feeder reaches it through that actor only. Frames are held by
 * reference and copied once, into the packet that leaves. It reads no clock and sends nothing:
 * `now_ns` comes in, samples go out, and it never drops speech (a full queue is back-pressure).
 *
 *   push ->[ unsent .......... ]-> pull -> packet      positions on the speech axis:
 *          ^pushed             ^sent    ^heard         heard <= sent <= pushed
 *
 * Two 64-bit axes. *Speech*: samples pushed since the leg began; pieces of text are ranges of it,
 * and a flush skips what it drops. *Clock*: samples since `start_ns` in real time; sample n is due
 * at start_ns + n / rate, so that sending late never shifts what follows. RTP timestamps and
 * recordings go by the clock, the text ledger by speech.
 *
 * A frame stays here until it was heard, not until it was sent: heard is what is due by now minus
 * the latency, held back by carrier marks that are still out and pushed on by those that came back.
 *
 *   running --hold--> held --resume--> running       hold: nothing more leaves
 *      |               | cleared: what was sent but not heard is unsent again
 *      +----flush------+----flush----> running, next generation, empty */
#ifndef MEDIA_PLAYOUT_H
#define MEDIA_PLAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"

#define PLAYOUT_ENTRIES_MAX    256 /* frames; full: sent ones count as heard, then back-pressure */
#define PLAYOUT_PIECES_MAX     32  /* pieces not yet reported as heard; full: back-pressure */
#define PLAYOUT_RUNS_MAX       16  /* stretches sent and not heard; full: the oldest is heard */
#define PLAYOUT_CATCHUP_MS     60  /* later than this, a continuous leg skips instead of bursting */
#define PLAYOUT_MARK_WAIT_MS   2000 /* a mark this late holds the ledger back no longer */
#define PLAYOUT_LATENCY_MAX_MS 1000 /* more is not learned from marks */
#define PLAYOUT_ROOM_FRAME_MS  10   /* room is told as if every further frame were this short */

struct playout_config {
    uint32_t rate_hz;
    uint32_t packet_samples; /* of every packet: 20 ms, Exotel 100 ms; at least 1 */
    uint32_t depth_ms;       /* unsent audio at most; beyond: -ENOBUFS */
    uint32_t lead_ms;        /* sent this much before it is due; 0 for RTP */
    uint32_t latency_ms;     /* heard this much after it is due; marks correct it */
    bool continuous;         /* RTP: silence when there is nothing; else nothing is sent */
    bool marks;              /* the carrier echoes marks */
};

/* What left without interruption, on both axes. */
struct playout_run {
    int64_t clock;
    int64_t first; /* speech axis */
    int64_t samples;
};

struct playout_piece {
    uint32_t id;
    uint32_t mark; /* number of the mark sent after it, 0 if none */
    bool ended;    /* no more audio belongs to it */
    bool echoed;   /* its mark came back */
    int64_t first; /* speech axis: [first, end) */
    int64_t end;
    int64_t mark_due_ns; /* when the mark ought to be back, latency apart */
};

/* What each packet touches comes first, the rings last. */
struct playout {
    struct playout_config config;
    bool held;
    bool reply_open;         /* more audio of this reply will be pushed */
    bool speaking;           /* the last packet carried speech */
    bool begun;              /* a packet left */
    uint32_t next_from;      /* bytes of `next`, below, that have left */
    struct frame_pool *pool; /* borrowed, the shard's */
    int64_t clock;           /* first sample of the next packet, */
    int64_t due_ns;          /* and when it is due */
    int64_t packet_ns;       /* length of a packet, 0 if that is no whole number */
    int64_t pushed;          /* speech axis */
    int64_t sent;            /* speech axis */
    int64_t heard;           /* speech axis; never goes back */
    int64_t speech_ends;     /* clock, end of what was last sent of the reply in progress, or -1 */
    uint32_t entry_head, entry_sent, entry_tail; /* running counters */
    uint32_t piece_head, piece_tail;
    uint32_t run_head, run_tail;
    frame_ref next; /* in which the next packet's speech begins, as of the last push or pull */
    /* in a reply alone: a line, with the run that there is as a rule */
    int64_t start_ns;
    int64_t latency_ns;
    uint32_t generation;
    uint32_t marks_made;
    frame_ref oldest; /* the first that is not wholly heard; as of the last push or retirement */
    bool latency_learned;
    struct playout_run runs[PLAYOUT_RUNS_MAX];
    /* counters */
    uint64_t underruns;        /* gaps inside a reply */
    uint64_t underrun_samples; /* their length */
    uint64_t stale;            /* frames of an old generation, refused */
    uint64_t skipped_samples;  /* of the clock, passed over because nobody pulled in time */
    uint64_t flushes;
    struct playout_piece last; /* the last one reported as heard */
    struct playout_piece pieces[PLAYOUT_PIECES_MAX];
    frame_ref entries[PLAYOUT_ENTRIES_MAX]; /* a frame's `sample` is its place on the speech axis */
};

/* Sample 0 of the clock is due at start_ns. The pool is borrowed for the playout's life. */
void playout_init(struct playout *p, const struct playout_config *config, struct frame_pool *pool,
                  int64_t start_ns);
/* Before the first pull: the clock begins at `start_ns` after all. Where silence is sent too its
 * first packet falls due one packet later: a leg that pulls every packet's length gives an instant
 * of that very rhythm, lest a packet come due just after one pull and wait for the next. Else the
 * first speech is due when it comes, however soon. */
void playout_start(struct playout *p, int64_t start_ns);
/* Puts every frame. */
void playout_fini(struct playout *p);
/* The leg's clock: the number of the sample that is due now; -1 before it starts. */
int64_t playout_clock(const struct playout *p, int64_t now_ns);

/* ---- the feeder's side ---- */

/* Takes the reference of one frame of PCM16 at the leg's rate, which nobody else keeps, of any
 * length from one sample up; frame->generation must be the current one, frame->tag is the piece of
 * text it speaks (another tag than before ends the piece before). A reply begins with the first
 * frame after the last one's end. On error the caller keeps the reference: -ESTALE (old generation;
 * counted), -EINVAL (empty, odd length, other rate, a chain), -ENOBUFS (no room now: keep it and
 * come back). */
MUST_USE int playout_push(struct playout *p, frame_ref ref);
/* How much a feeder may push, in ms; 0: wait. */
uint32_t playout_room_ms(const struct playout *p);
/* Unsent audio in ms. */
uint32_t playout_queued_ms(const struct playout *p);
/* No more audio belongs to this piece, which may have had none; saying it twice, or of a piece that
 * the next one ended, does nothing. 0, -ESTALE or -ENOBUFS. */
MUST_USE int playout_piece_end(struct playout *p, uint32_t generation, uint32_t piece);
/* The reply is complete: its pieces end, a short rest may leave padded, silence is no underrun.
 * An old generation is ignored. */
void playout_reply_end(struct playout *p, uint32_t generation);

/* ---- the leg's slot ---- */
struct playout_packet {
    int64_t clock;    /* number of its first sample on the leg's clock */
    int64_t due_ns;   /* when that sample ought to be played */
    uint32_t samples; /* always packet_samples */
    uint32_t speech;  /* samples of speech at its start; the rest is silence */
    bool first;       /* a talkspurt begins, or the clock jumped: the RTP marker */
};

/* Fetches what the next packet will be made of, a moment before it is pulled. */
void playout_soon(const struct playout *p);
/* What is to be sent now: fills out[packet_samples] and *packet; false when nothing is due. Call
 * again until false (a lead, or a late tick, makes several). */
bool playout_pull(struct playout *p, int64_t now_ns, int16_t *out, struct playout_packet *packet);
/* Passes over a part of a packet while there is nothing to say: what comes later falls due later by
 * so much. False, and nothing done, while a reply is in progress. */
bool playout_skip(struct playout *p, uint32_t samples);

/* When playout_pull() will next have something, as things stand now; NEVER_NS if not by itself. To
 * be asked again after a push: the first audio of a reply is due at once on a carrier leg. */
int64_t playout_deadline_ns(const struct playout *p);
/* After each round of pulls: the number of a mark to send now; false when there is none. One mark
 * stands for every piece before it. */
bool playout_mark_next(struct playout *p, int64_t now_ns, uint32_t *mark);
/* A mark came back: all up to its piece was heard, and its delay corrects the latency. -ENOENT for
 * marks of before a clear or a flush: some carriers echo those, which says nothing. */
int playout_mark_back(struct playout *p, uint32_t mark, int64_t now_ns);

/* ---- what was heard ---- */
struct playout_heard {
    int64_t sample;        /* speech axis: everything before was heard */
    uint32_t piece;        /* the last piece of which anything was heard (0: none); all before */
    int64_t piece_heard;   /* it are whole. Samples of it that were heard, */
    int64_t piece_samples; /* of so many known */
    bool piece_ended;      /* and no more will come */
};

int64_t playout_heard_sample(struct playout *p, int64_t now_ns);
void playout_heard_text(struct playout *p, int64_t now_ns, struct playout_heard *out);
/* The next piece heard to its end, in order, each once; must be asked after each round of pulls,
 * since unreported pieces fill the ledger. */
bool playout_piece_next(struct playout *p, int64_t now_ns, uint32_t *piece);
/* No reply in progress, and everything sent was heard. */
bool playout_done(struct playout *p, int64_t now_ns);
/* Milliseconds for which a reply in progress has owed audio and had none; 0 if it owes nothing. */
uint32_t playout_starved_ms(const struct playout *p, int64_t now_ns);

/* ---- barge-in ---- */

/* HOLD: nothing more leaves (a continuous leg sends silence). What left is still heard. Returns
 * the ms sent ahead of their due time, which a clear would still stop: by it the leg decides
 * whether to clear. Just after a pull that is up to the lead and one packet. */
uint32_t playout_hold(struct playout *p, int64_t now_ns);
/* The leg has told the carrier to drop what it holds: heard stands still where it is now, and what
 * was sent beyond it will leave again after playout_resume(). A carrier leg's next packet may then
 * have an earlier clock than the last: in a recording it takes the place of what was cleared. */
void playout_cleared(struct playout *p, int64_t now_ns);
void playout_resume(struct playout *p);
/* FLUSH: everything is dropped, the generation goes up by one, the hold ends. `cleared` says that
 * the carrier is told to drop what it holds; if not, what left will be heard and counts as heard.
 * *out is how far the caller came. */
void playout_flush(struct playout *p, int64_t now_ns, bool cleared, struct playout_heard *out);

#endif
