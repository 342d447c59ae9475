/* What every synthesiser behind a network has in common: the clauses to be spoken, in their order,
 * each with its one terminal event; one socket for the whole call, or one request for each clause;
 * sound out of messages; patience. A clause whose sound broke off, or does not end, is asked for
 * once more, and as much of it as was given already is left out. A provider adds its dialect: how a
 * clause is asked for, ended and taken back, what a message means. Part of a provider's state, on
 * its shard; no clock, no I/O.
 *
 *     TEXT ─▶ waiting ─ say() ─▶ asked ─ speaker_sound() ... speaker_spoken() ─▶ gone
 *                ▲── broken, once ─┘
 */
#ifndef PROVIDER_SPEAKER_H
#define PROVIDER_SPEAKER_H

#include "base/json.h"
#include "provider/cloud.h"
#include "provider/web.h"

#define SPEAKER_CLAUSES_MAX   72     /* that are not out yet; beyond: the reply fails */
#define SPEAKER_TEXT_BYTES    8192   /* of them; beyond: the reply fails */
#define SPEAKER_TRIES         2      /* of a clause; then its reply fails */
#define SPEAKER_MESSAGE_BYTES 131072 /* a text message; a longer one is not read */
#define SPEAKER_SOUND_MS      10000  /* of what is asked, and */
#define SPEAKER_BYTE_MS       300    /* so much more for each byte of its text; beyond: it broke */
#define SPEAKER_BEGIN_BYTES   2048 /* what each request begins with; beyond: the agent is refused */

enum speaker_link { SPEAKER_DOWN, SPEAKER_CONNECTING, SPEAKER_UP };

struct speaker_clause {
    uint32_t epoch;
    uint32_t len; /* of its text; the texts lie one behind the other */
};

struct speaker {
    enum speaker_link link;
    int32_t fatal;   /* status after which trying again is no use, or 0 */
    uint32_t alive;  /* the first epoch that is not cancelled */
    int64_t up_ns;   /* since when the socket has been up */
    int64_t due_ns;  /* when patience ends, or NEVER_NS */
    int64_t hold_ns; /* nothing is asked before then; 0: at once */
    int64_t ended;   /* the epoch whose text is all in, which the service was not told; -1: none */
    bool closing;    /* it has been told: more is asked when all of that is out */
    uint32_t count;
    uint32_t asked; /* the first so many are at the service */
    uint32_t tries; /* of the first one that broke */
    uint64_t given; /* bytes of its sound */
    uint64_t skip;  /* of them that still come once more */
    bool endless;   /* more sound came than any voice makes of the text */
    bool has_half;
    uint8_t half; /* of a sample, whose rest has not come */
    uint32_t text_len;
    struct speaker_clause clauses[SPEAKER_CLAUSES_MAX];
    uint8_t text[SPEAKER_TEXT_BYTES];
};

/* Made when the agent is loaded; the first member of what a provider loads. */
struct speaker_loaded {
    int64_t patience_ns;  /* for the first sound of a clause, and between two pieces */
    uint32_t bytes_per_s; /* of PCM16 */
    double slow;          /* how many times slower than usual it speaks, at least 1 */
    char url[WEB_URL_MAX + 1024];
    char head[CLOUD_KEY_MAX + 512];
    size_t begin_len;
    uint8_t begin[SPEAKER_BEGIN_BYTES]; /* the dialect's own: what its messages share */
};

struct speaker_dialect {
    bool by_request; /* say() asks for a request, there is no socket */
    bool alone;      /* one clause at a time */
    /* Asks for a clause; at most four intents. */
    void (*say)(struct speaker *s, const struct provider_input *in, struct slice text,
                struct intents *out);
    /* No more text comes for what has been asked; NULL: nobody wants to know. */
    void (*finish)(struct speaker *s, const struct provider_input *in, struct intents *out);
    /* What was asked of epochs up to in->epoch is not wanted any more. */
    void (*cancel)(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                   struct intents *out);
    /* INPUT_BYTES; by_request: INPUT_STATUS, _CHUNK, _END and _CLOSED. */
    void (*message)(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out);
    /* The socket or request is gone, and all that it knew. */
    void (*lost)(struct speaker *s);
};

void speaker_step(struct speaker *s, const struct speaker_dialect *dialect,
                  const struct provider_input *in, int64_t now_ns, struct intents *out);
/* `speaker` is the first member of the provider's state. */
int64_t speaker_deadline(const void *speaker);

/* ---- for dialects, while a message is taken ---- */
/* Sound of the first clause asked: PCM16, in any pieces; G.711 mu-law; PCM16 as base64. */
void speaker_sound(struct speaker *s, const struct provider_input *in, struct slice pcm,
                   int64_t now_ns, struct intents *out);
void speaker_sound_mulaw(struct speaker *s, const struct provider_input *in, struct slice codes,
                         int64_t now_ns, struct intents *out);
void speaker_sound_base64(struct speaker *s, const struct provider_input *in, struct slice text,
                          int64_t now_ns, struct intents *out);
/* All of the first clause asked is out; nothing if none was asked. */
void speaker_spoken(struct speaker *s, const struct provider_input *in, int64_t now_ns,
                    struct intents *out);
/* What was asked will not come. It is asked for once more, unless that has been done or the status
 * says that it is no use: then the reply fails. */
void speaker_broken(struct speaker *s, int32_t status, const char *what, int64_t now_ns,
                    struct intents *out);
/* The reply being spoken fails, once `fatal` is set with all that wait; fatal if the status says
 * so. */
void speaker_fail(struct speaker *s, int32_t status, const char *what, struct intents *out);
/* The same, and what is open is closed first: what still came of it could be told from nothing. */
void speaker_restart(struct speaker *s, const struct speaker_dialect *dialect,
                     const struct provider_input *in, int32_t status, const char *what,
                     int64_t now_ns, struct intents *out);
/* The socket is of no more use: another one in its place, for what is asked next. */
void speaker_renew(struct speaker *s, const struct speaker_dialect *dialect,
                   const struct provider_input *in, int64_t now_ns, struct intents *out);
/* A text message of JSON composed in the intents' own memory: begin, write, send. */
void speaker_message_begin(struct jsonw *w, struct intents *out, size_t *from);
void speaker_message_send(struct jsonw *w, size_t from, struct intents *out);

/* ---- loading ---- */
struct speaker_loaded *speaker_loaded_new(void);
/* tts.voice, or `fallback`; printable ASCII. */
struct slice speaker_voice(struct cloud *c, const char *fallback);
/* The language before the hyphen: "en-US" is "en". */
struct slice speaker_language(const struct provider_config *config);
/* tts.speed between these; 0: it is 1, so nothing need be said of it. */
double speaker_speed(struct cloud *c, double least, double most);
/* The setting sample_rate: 8000, 16000 or 24000. */
uint32_t speaker_rate(const struct provider_config *config);
/* Checks sample_rate and reads timeout_ms, and gives the complaint of what did not fit; what was
 * loaded in *loaded, or nothing and its error. */
int speaker_load_end(struct cloud *c, struct speaker_loaded *l, bool fits, const void **loaded);

#endif
