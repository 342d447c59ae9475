/* Many callers on one thread: their sockets, their pacing and what they measured. A caller is light
 * on purpose, a few hundred bytes and no buffer but a Twilio one's, so that thousands fit beside
 * the server under test. The loop sleeps to multiples of a quantum, sends what is due, from time to
 * time takes what has come (the kernel notes when), and so wakes far less often than once per
 * packet. Sockets, clock and memory at boot
 * only; the program's only thread.
 *
 *   IDLE ─▶ ASKING (POST /calls, or the upgrade) ─▶ LIVE ─▶ OVER
 *             └── refused, timed out ──▶ OVER ◀── hung up by the server, broken, ended by us */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "base/clock.h"
#include "bench/load/corpus.h"
#include "bench/load/histogram.h"
#include "bench/load/options.h"
#include "bench/load/process.h"
#include "bench/load/trunk.h"
#include "media/rtp.h"
#include "net/http_head.h"
#include "net/websocket.h"
#include "tools/call/twilio_caller.h"

#define LOAD_PERIOD_NS     MS(20)
#define LOAD_ASKING_MAX    16 /* calls being set up at one time */
#define LOAD_ASK_NS        SECONDS(10)
#define LOAD_ID_BYTES      40
#define LOAD_MARKS_MAX     32 /* not yet played; beyond, the call is broken */
#define LOAD_MARK_BYTES    64
#define LOAD_MESSAGE_BYTES 8192
#define LOAD_UNSENT_BYTES  16384 /* that the server does not take; beyond, the call is broken */
#define LOAD_ECHO_RING     64    /* packets of one call that may be under way */
#define LOAD_NOTES_MAX     16
#define LOAD_FAULTS_TOLD   256  /* told one by one; further ones are counted */
#define LOAD_FAULTS_KIND   64   /* of these of one kind */
#define LOAD_SECONDS_MAX   7200 /* of the time line kept */

enum load_state { LOAD_IDLE, LOAD_ASKING, LOAD_LIVE, LOAD_OVER };

struct load_mark {
    char name[LOAD_MARK_BYTES];
    int64_t due_ns;
};

/* What only a Twilio call, or a call being set up, needs. */
struct load_stream {
    size_t unsent_len, answer_len;
    uint32_t mark_first, mark_count;
    int64_t played_ns;   /* when what was received will have been played */
    int64_t position_ms; /* of the voice being received */
    struct rand rand;
    struct twilio_caller twilio;
    char stream_id[LOAD_ID_BYTES], call_id[LOAD_ID_BYTES], key[WS_KEY_CHARS + 1];
    struct ws ws;
    struct load_mark marks[LOAD_MARKS_MAX];
    uint8_t message[LOAD_MESSAGE_BYTES]; /* also the HTTP answer while asking */
    uint8_t unsent[LOAD_UNSENT_BYTES];
};

struct load_echo {
    int64_t sent_ns[LOAD_ECHO_RING];
    const uint8_t *said[LOAD_ECHO_RING]; /* NULL: it has come back */
    bool matched;                        /* relay: skew is known */
    uint16_t skew;                       /* what the relay adds to our numbers */
};

struct load_call {
    enum load_state state;
    uint32_t index;
    uint32_t generation; /* churn: calls that this place has had */
    int fd;              /* twilio: the media socket */
    int ask_fd;          /* of POST /calls; -1 when none */
    int64_t asked_ns;
    uint64_t frame; /* of the next one sent */
    struct talk talk;
    struct listen listen;
    int64_t spoke_ns;      /* when the last packet with voice in it left; 0: no reply is owed */
    union trunk_peer peer; /* rtp and echoes: where our packets go */
    int64_t sent_ns;       /* rtp: when the last one left */
    struct rtp_send out;
    bool heard; /* one packet came: seq, stamp and media_ms are known */
    uint16_t seq;
    uint32_t stamp;
    int64_t media_ms;
    int64_t doing_ns; /* since when it does what talk.state says */
    int64_t voice_ns; /* since when the agent's voice goes on without a gap */
    uint32_t told;    /* its newest entry among the faults told, from 1 on; 0: none */
    uint32_t faults;  /* failed checks of this call */
    const char *what; /* the first one, or why it ended */
    struct load_stream *stream;
    struct load_echo *echo;
};

/* A fault, or one that went on from packet to packet, and what its call was doing as it began. */
struct load_fault {
    const char *what;
    uint32_t call, count;
    int64_t at_ns, last_ns; /* when the first and the last packet of it came */
    enum talk_state doing;
    int64_t doing_ns;       /* since when */
    int64_t voice_ns;       /* since when the agent's voice went on without a gap */
    int64_t media_ms;       /* rtp: of the agent's stream */
    uint32_t turn;          /* that the caller has ended */
    uint32_t reply;         /* that is heard, or awaited */
    int32_t period, wanted; /* of the buzz and of that reply's; 0: not known */
};

/* What was measured while so many calls were held. */
struct load_window {
    uint32_t calls; /* asked for */
    uint32_t live;  /* at the end */
    int64_t from_ns, to_ns;
    uint64_t sent, received, speech, voiced;
    uint64_t slots, late, missing; /* packets owed; of them late, never sent */
    uint64_t wrong, broken, turns, unanswered, unasked;
    uint32_t rate; /* churn: calls begun per second */
    uint64_t begun, admitted, refused, completed, held_back;
    struct histogram refusal;   /* from the connection's first packet to the 503 */
    struct histogram response;  /* last speech packet sent to first voiced packet received */
    struct histogram lateness;  /* of slots, behind the earliest schedule */
    struct histogram send_late; /* our own packets, after they were due */
    struct histogram wire; /* there and back: a packet sent to its echo, or the next one heard */
    struct process_sample before, after;
    bool has_process;
    uint64_t lost; /* arrivals that our own sockets had no room for */
    int64_t own_ns;
};

struct load_second {
    uint32_t live;
    uint32_t cpu_per_mille; /* of one core: the server's shards */
    uint32_t rss_kb;
    uint32_t late, faults;
};

struct load {
    const struct load_options *options;
    struct corpus corpus;
    struct load_call *calls;
    uint32_t *order; /* calls by phase */
    int64_t *phase_ns;
    uint32_t call_count; /* of the largest step, and the places of short calls */
    uint32_t steady;     /* churn: calls that are held beside the short ones */
    uint32_t begun, asking, live, failed, dropped;
    int epoll; /* of TCP */
    struct trunk trunk;
    int64_t receive_ns; /* when arrivals are looked at next; the kernel has noted their times */
    int64_t now_ns, wall_offset_ns; /* wall clock minus now */
    int64_t heard_ns;               /* twilio: when the kernel got what is being read */
    int64_t cycle_ns;               /* when this period began */
    uint32_t position;              /* next in order */
    bool stop;                      /* asked to by a signal */
    struct load_window windows[LOAD_STEPS_MAX];
    uint32_t window_count;
    struct load_window rest;    /* what falls between the windows */
    struct load_window *window; /* the one being filled */
    struct load_second seconds[LOAD_SECONDS_MAX];
    uint32_t second_count;
    struct histogram setup;
    struct process_sample at_start, last;
    int64_t start_ns, last_ns;
    uint64_t faults;
    struct load_fault told[LOAD_FAULTS_TOLD];
    uint32_t told_count;
    struct load_note {
        const char *what;
        uint32_t count;
    } notes[LOAD_NOTES_MAX]; /* churn: what went wrong with short calls; further kinds are not told
                              */
};

/* Runs everything. 0, or -errno when it cannot. */
MUST_USE int load_run(struct load *l, const struct load_options *options);
void load_fini(struct load *l);
/* ---- its parts, for churn.c: short calls at the options' rates ---- */
void load_churn(struct load *l);
/* One round: sends what is due, takes what came, sleeps. */
void load_turn(struct load *l, const char *doing, int64_t until_ns);
struct load_window *load_window_open(struct load *l, uint32_t calls);
void load_window_close(struct load *l, struct load_window *w);
bool load_interrupted(void);
/* Packets due within this leave together, unless the options say otherwise the more, the more
 * callers there are: a wake costs as much as some packets. */
int64_t load_quantum_us(const struct load *l);

/* Asks for the lines of memory that a caller's next packet needs. */
static inline void call_prefetch(const struct load_call *c)
{
    __builtin_prefetch(c, 1);
    __builtin_prefetch((const uint8_t *)c + 64, 1);
    __builtin_prefetch((const uint8_t *)c + 128, 1);
    __builtin_prefetch((const uint8_t *)c + 192, 1);
}

/* ---- one caller (load_call.c) ---- */
void call_begin(struct load *l, struct load_call *c);
void call_send(struct load *l, struct load_call *c);
void call_receive(struct load *l, struct load_call *c);
/* Says goodbye as the protocol has it. */
void call_hang_up(struct load *l, struct load_call *c);
/* Gives a call up; `what` is a literal. */
void call_end(struct load *l, struct load_call *c, const char *what);
/* The server says that it is full. */
void call_refused(struct load *l, struct load_call *c, int64_t at_ns);
/* An ended call's place is used again. */
void call_reset(struct load_call *c);
/* Media flows from now on. */
void call_live(struct load *l, struct load_call *c);
void call_fault(struct load *l, struct load_call *c, const char *what);
/* Decodes and judges what was heard; at_ns: when it came. */
struct listen_result call_hear(struct load *l, struct load_call *c, struct slice code,
                               int64_t at_ns);
/* What the caller says next: 20 ms. */
const uint8_t *call_say(struct load *l, struct load_call *c);
void call_slot(struct load *l, struct load_call *c, int64_t position_ms, int64_t at_ns);
int call_watch(struct load *l, struct load_call *c, int fd);

/* ---- its wires (load_rtp.c, load_echo.c, load_twilio.c) ---- */
void rtp_begin(struct load *l, struct load_call *c);
void rtp_send_frame(struct load *l, struct load_call *c);
void rtp_take(struct load *l, struct load_call *c, struct slice packet, int64_t at_ns);
void rtp_bye(struct load *l, struct load_call *c);
/* The answer to POST /calls. */
void rtp_answer(struct load *l, struct load_call *c);
void echo_begin(struct load *l, struct load_call *c);
void echo_send_frame(struct load *l, struct load_call *c);
void echo_take(struct load *l, struct load_call *c, struct slice packet, int64_t at_ns);
void twilio_begin(struct load *l, struct load_call *c);
void twilio_send_frame(struct load *l, struct load_call *c);
void twilio_take(struct load *l, struct load_call *c);
void twilio_bye(struct load *l, struct load_call *c);
/* A TCP connection to a numeric address that is being made; -1 when it cannot. */
int stream_connect(const struct url *u);

#endif
