/* What one caller checks of what it hears. The scripted voice gives each reply a buzz of its own
 * period (provider/scripted.h), so the caller knows from the samples whether this is its own call's
 * next reply, and whether a sample of it is missing or said twice. A slot is late when it comes
 * more than 5 ms behind the earliest schedule that the stream has kept. Pure: time is a parameter.
 */
#ifndef LOAD_LISTEN_H
#define LOAD_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTEN_LATE_NS 5000000 /* a slot that comes later than this is late */

enum listen_expect {
    LISTEN_SCRIPTED, /* the buzz of the scripted voice, reply by reply */
    LISTEN_ANY,      /* any voice; nothing is proved */
};

struct listen {
    enum listen_expect expect;
    bool awaiting;      /* the next voice begins a reply */
    bool unproved;      /* no frame of this reply had a whole period yet */
    bool unasked;       /* this reply began before the caller's turn had ended */
    bool dry;           /* nothing was owed before the next samples */
    bool voiced;        /* the frame before was */
    uint32_t reply;     /* number of the reply being heard; the greeting is 1 */
    int32_t since_edge; /* samples since the buzz's last edge; -1: none known */
    int16_t before;     /* the last sample heard; 0 after silence */
    int32_t period;     /* of the buzz last heard, in samples; 0: not known */
    int32_t wanted;     /* the one that it was held against */
    int64_t base_ns;    /* when position 0 of the schedule comes at the earliest */
    bool scheduled;
    bool buffered; /* the schedule is that of play-out */
};

struct listen_result {
    bool voiced;
    bool first;     /* of a reply */
    bool unasked;   /* and it is the next one, but no ended turn had asked for it */
    bool wrong;     /* the buzz is not that of the reply expected */
    bool broken;    /* samples are missing or doubled since the frame before */
    bool continued; /* voice that goes on from the frame before */
};

void listen_init(struct listen *l, enum listen_expect expect, bool buffered);
/* The caller's next turn begins: no answer to the one before is awaited any more. */
void listen_turn(struct listen *l);
/* The turn has ended: what is heard from now on is a new reply; one that began unasked may go on
 * before it. */
void listen_await(struct listen *l);
/* Judges the next samples, at 8 kHz. */
struct listen_result listen_audio(struct listen *l, const int16_t *pcm, size_t n);
/* A frame of pure silence, or a gap: what comes next does not continue what came before. */
void listen_silence(struct listen *l);
/* All that was sent had been played: of a stream that sends no silence, the end of a reply, unless
 * what comes goes on as if nothing had been. */
void listen_dry(struct listen *l);
/* How late what stands at `position_ms` of the stream has come; begins a schedule if there is
 * none. */
int64_t listen_lateness_ns(struct listen *l, int64_t position_ms, int64_t at_ns);
/* The next position begins a schedule of its own. */
void listen_reschedule(struct listen *l);

#endif
