/* The one shape of every provider plug-in (stt, llm, tts; cloud socket, HTTP request or local
 * engine alike): a pure step function over its own state.
 *
 *     actor ── input ──▶ ops->step(state, input, now) ── intents ──▶ actor
 *
 * The actor (stt, llm, tts) owns the socket, the request, the clock, the retries and the lane; a
 * provider owns nothing but `state_bytes` of memory, reads no clock, does no I/O, keeps no global.
 * So it is fuzzed, replayed from transcripts and simulated by feeding it inputs. Adding one is one
 * .c file and one line in providers.def. Shard threads; only the `job_*` members run on a lane.
 *
 * The network as a plug-in sees it. It has at most one socket and one request: a further CONNECT or
 * REQUEST closes the one of its kind before it, silently, as INTENT_CLOSE does.
 *
 *     CONNECT ──▶ OPENED ──▶ BYTES ... ──▶ CLOSED          or at once CLOSED
 *     REQUEST ──▶ STATUS ──▶ CHUNK ... ──▶ END             or at any point CLOSED instead
 *
 * The actor retries before it says CLOSED: a connection is tried at once and, while it fails, again
 * after 1, 2 and 4 s; a request that failed or was answered 408, 429 or 5xx the same, as long as no
 * STATUS was given. What cannot get better (401, a bad URL, an open breaker) is told at once.
 * A socket that ends after OPENED is told as CLOSED: the plug-in forgets what it was in the middle
 * of and may CONNECT again at once; the pace of that is the actor's. What STATUS gives is then
 * final: any status, with its body as chunks.
 *
 * stt: from CONNECT to OPENED the inputs SPEECH, AUDIO and FINISH wait; behind OPENED come those
 * of the utterance that is going on, SPEECH first, also if it had been given before.
 So a new
 * CONNECT in the middle of an utterance repeats its audio, but for what an event with EVENT_KEPT
 has
 * acknowledged, and at most 10 s of it. */
#ifndef PROVIDER_PROVIDER_H
#define PROVIDER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/reason.h"

enum provider_kind { PROVIDER_STT, PROVIDER_LLM, PROVIDER_TTS };

/* "stt", "llm", "tts": as agent files, logs and metrics call it. */
const char *provider_kind_name(enum provider_kind kind);

/* What an agent file says of a provider; every member borrowed, alive as long as the call (the
 * agent document is immutable). Settings a provider does not know are refused when the agent is
 * loaded (ops->check). */
struct provider_setting {
    const char *key;
    const char *value;
};

/* One tool that the agent's calls may use, for an llm. `end_call` is built in and not among them.
 */
struct provider_tool {
    const char *name; /* ^[a-zA-Z0-9_-]{1,64}$ */
    const char *description;
    const char *parameters; /* JSON Schema of its arguments, an object; NULL: it takes none */
};

struct provider_config {
    const char *agent;    /* name of the agent */
    const char *language; /* "en" */
    const char *voice;    /* tts */
    const char *model;
    const char *prompt;   /* llm: system prompt, or "" */
    const char *greeting; /* llm: what the caller hears first, or "": no turn of the llm's own */
    const char *env_key;  /* what ops->key_env holds in the environment, or NULL */
    const char *data_dir; /* where the product's data lies (grammars, models) */
    const char *folder;   /* where the agent file lies: relative file settings start here */
    const void *loaded;   /* what ops->load made of all this, shared by the agent's calls */
    double temperature;
    double speed; /* tts: 1.0 is normal */
    const struct provider_setting *settings;
    size_t setting_count;
    const struct provider_tool *tools; /* llm */
    size_t tool_count;
};

/* The value of a setting, or `fallback`. */
const char *provider_setting(const struct provider_config *config, const char *key,
                             const char *fallback);

/* ---- inputs ---- */
enum provider_input_kind {
    /* from the actor */
    INPUT_START,  /* first input: config is valid from here on */
    INPUT_AUDIO,  /* stt: data is PCM16 mono at ops->rate_hz, any whole number of samples */
    INPUT_SPEECH, /* stt: VAD says speech starts (flag 1; data: the answer that the agent has asked
                     for, see EVENT_EXPECTS, or nothing) or pauses (flag 0): it may be
                     over, so what is gathered had better go out */
    INPUT_FINISH, /* stt: the utterance `epoch` is over, give its final; tts: text of epoch is all
                     in, see ops->ahead */
    INPUT_TEXT,   /* tts: data is one clause of `epoch` to speak */
    INPUT_TURN,   /* llm: answer this (turn below) as `epoch` */
    INPUT_COMMIT, /* llm: the answer of `epoch` is being spoken: what it changed in the dialogue
                     stays */
    INPUT_CANCEL, /* drop all of `epoch`, tts: and of those before it; an llm forgets an uncommitted
                     turn */
    INPUT_STOP,   /* last input: nothing may follow, no intent but CLOSE is heeded */
    /* from the world, answering CONNECT, REQUEST, JOB or deadline() */
    INPUT_OPENED, /* the socket is up */
    INPUT_BYTES,  /* one whole WebSocket message (flag 1: text, 0: binary) */
    INPUT_STATUS, /* the HTTP response began: status */
    INPUT_CHUNK,  /* part of the HTTP response's body */
    INPUT_END,    /* the HTTP response is complete */
    INPUT_CLOSED, /* the socket or request ended too early: status is the close code, the HTTP
                     status, or 0; data: one clause that says why. Nothing of it comes any more */
    INPUT_JOB,    /* a lane job of this provider emitted this: flag is the job's own tag */
    INPUT_TIMER,  /* deadline() has passed */
};

/* Who speaks to an llm. */
enum turn_kind {
    TURN_HEARD,   /* text: what the caller said */
    TURN_KEYS,    /* text: digits pressed, for instance "1" or "0412#" */
    TURN_SILENCE, /* the caller said nothing for the agent's patience */
    TURN_UNCLEAR, /* the caller spoke but nothing was understood */
    TURN_TOOL,    /* text: JSON result of the tool call `tool_id` */
};

struct provider_line { /* one line of the conversation as the caller heard it */
    bool agent;        /* else the caller */
    struct slice text;
};

struct provider_turn {
    enum turn_kind kind;
    struct slice text;
    uint32_t tool_id;   /* TURN_TOOL */
    uint8_t confidence; /* TURN_HEARD: percent, 100 if the stt does not say */
    const struct provider_line
        *history; /* oldest first, cut to what was heard, without this turn */
    size_t history_count;
};

struct provider_input {
    enum provider_input_kind kind;
    uint32_t epoch; /* which utterance or answer this belongs to; grows by one per turn */
    uint32_t flag;
    int32_t status;
    struct slice data;
    const struct provider_config *config; /* always set */
    const struct provider_turn *turn;     /* INPUT_TURN */
};

/* ---- intents ----
 * What one points to is copied by the actor before the next step, so it may lie in the provider's
 * own state. */
enum provider_intent_kind {
    /* head: header lines, each ended by CR LF, without Host and lengths */
    INTENT_CONNECT, /* open a WebSocket: data is the URL (ws, wss), head the extra header lines */
    INTENT_REQUEST, /* one HTTP request: data is the URL (http, https), head the header lines, body
                       the body: POST if it is not empty, else GET */
    INTENT_SEND,    /* to the socket: body (flag 1: text, 0: binary) */
    INTENT_JOB,     /* to this call's speech lane session: body, flag is the job's own tag */
    INTENT_EVENT,   /* to the call: event below */
    INTENT_CLOSE,   /* close the socket in order and cancel the request: nothing more comes of
                       them; flag CLOSE_SOCKET or CLOSE_REQUEST: of that one only */
};

enum provider_event_kind {
    /* stt */
    EVENT_PARTIAL, /* text so far; flags EVENT_COMPLETE when it already is a whole sentence,
                      EVENT_EXPECTED when it is one that answers what was asked, EVENT_ENDED when
                      the recogniser has heard the caller fall silent behind it, EVENT_KEPT */
    EVENT_FINAL,   /* text of utterance `epoch`, may be empty; confidence in percent */
    /* llm */
    EVENT_UNDERSTOOD, /* text: JSON {"intent":..,"slots":{..}}; how the turn was read, for the log
                       */
    EVENT_EXPECTS,    /* text: name of the answer that this reply asks for ("day", "confirm"), under
                         which the stt may know what callers say then; "" or never: any */
    EVENT_TEXT,       /* text: next piece of the answer, spaces included */
    EVENT_TOOL,       /* text: JSON {"name":..,"arguments":{..}}; tool_id names it */
    EVENT_HANG_UP,    /* end the call once what was said has been heard */
    EVENT_DONE,       /* the answer of `epoch` is complete */
    /* tts */
    EVENT_AUDIO,  /* text.at is PCM16 mono at ops->rate_hz */
    EVENT_SPOKEN, /* every sample of the clause (INPUT_TEXT) that was first in line is out */
    /* all */
    EVENT_FAILED, /* this epoch failed: status; flag EVENT_FATAL when a retry cannot help */
};

#define EVENT_COMPLETE 1u
#define EVENT_EXPECTED 4u
#define EVENT_ENDED    8u
#define EVENT_FATAL    1u
#define EVENT_KEPT     2u /* PARTIAL: `heard_ms` of this socket's audio need not be sent again */

#define CLOSE_SOCKET  1u
#define CLOSE_REQUEST 2u

struct provider_intent {
    enum provider_intent_kind kind;
    enum provider_event_kind event;
    uint32_t epoch;
    uint32_t flag;
    uint32_t tool_id;
    int32_t status;
    uint8_t confidence;
    uint32_t heard_ms; /* EVENT_KEPT: of the audio given since INPUT_OPENED */
    struct slice data; /* slices lie in the intents' own bytes, or are borrowed from the input */
    struct slice head;
    struct slice body;
    struct slice text;
};

#define INTENTS_MAX      32
#define INTENT_BYTES_MAX 131072

/* Where a step puts its intents: bounded, cleared by the actor before each step. More than fit sets
 * `bad`; the actor then fails the provider with a reason. */
struct intents {
    struct provider_intent list[INTENTS_MAX];
    size_t count;
    bool bad;
    struct builder bytes;
    uint8_t store[INTENT_BYTES_MAX];
};

void intents_init(struct intents *out);
/* The next intent, zeroed but for its kind, or a scratch one when the list is full. Never NULL. */
struct provider_intent *intents_add(struct intents *out, enum provider_intent_kind kind);
/* Adds an event whose text is copied. */
struct provider_intent *intents_event(struct intents *out, enum provider_event_kind event,
                                      uint32_t epoch, struct slice text);
/* Copies bytes into the intents' own store; an empty slice and `bad` when full. */
struct slice intents_copy(struct intents *out, struct slice bytes);

/* ---- lane jobs of local engines ---- */

/* What a running job may do besides computing; given by the lane, valid during the run. */
struct job_port {
    /* Sends bytes back as INPUT_JOB with this tag. Waits for room if the shard is behind (a lane
     * may wait, a shard never does). Returns false when the job was cancelled: stop and return. */
    bool (*emit)(struct job_port *port, uint32_t tag, struct slice bytes);
    /* The engine's own memory on this lane thread (a pool of decoders, say), NULL at first; shared
     * by all its sessions there, never by two threads; ops->worker_close frees it. */
    void **worker;
    /* True when a cancel of this session is waiting: poll it between pieces of long work. */
    bool (*cancelled)(struct job_port *port);
};

#define PROVIDER_STATE_MAX 1048576 /* an agent whose plug-in needs more is refused */

struct provider_ops {
    const char *name; /* as agents write it: "pocketsphinx" */
    enum provider_kind kind;
    const char *summary;  /* one line for --list-providers */
    const char *settings; /* names of the settings it knows, space-separated */
    uint32_t rate_hz;     /* stt: what it wants; tts: what it gives; llm: 0 */
    size_t state_bytes;   /* pointer-free or not, it dies with the actor without a destructor;
                             zeroed at the start. At most PROVIDER_STATE_MAX */
    bool ahead; /* tts: takes clauses while earlier ones are being spoken; INPUT_FINISH then
                   comes once, behind the last of a reply, else behind each */
    const char *key_env; /* variable that holds its key by custom ("OPENAI_API_KEY"), or NULL */
    /* The rate where it depends on settings; NULL: always rate_hz. */
    uint32_t (*rate)(const struct provider_config *config);

    /* Agent load, control thread, may block and allocate: is this configuration usable (files,
     * keys)? What all calls of the agent share read-only (a compiled grammar, a parsed rule file)
     * comes back in *loaded and reaches every step and job as config->loaded. 0 or -errno; `why`
     * gets one clear sentence naming the file and line, or the setting. NULL: nothing to check or
     * share. */
    int (*load)(const struct provider_config *config, const void **loaded, char *why,
                size_t why_bytes);
    /* After the last call that uses it has ended. */
    void (*unload)(const void *loaded);
    /* One input in, intents out; `now_ns` monotonic. Bounded work: well under 1 ms. */
    void (*step)(void *state, const struct provider_input *input, int64_t now_ns,
                 struct intents *out);
    /* When it wants INPUT_TIMER, or NEVER_NS; asked after each step. NULL: never. */
    int64_t (*deadline)(const void *state);

    /* Local engines only, all of them or none. A session belongs to one call and one lane thread:
     * its jobs run one at a time, in the order they were sent. */
    size_t session_bytes;
    /* Opens a session (zeroed memory of session_bytes). 0 or -errno and one sentence. */
    int (*job_open)(void *session, const struct provider_config *config, struct job_port *port,
                    char *why, size_t why_bytes);
    void (*job_run)(void *session, uint32_t tag, struct slice body, struct job_port *port);
    void (*job_close)(void *session, struct job_port *port);
    void (*worker_close)(void *worker);
};

/* Samples per second of its audio under this configuration; 0 for an llm. */
uint32_t provider_rate_hz(const struct provider_ops *ops, const struct provider_config *config);

/* By name and kind, from providers.def; NULL if there is none. */
const struct provider_ops *provider_find(enum provider_kind kind, const char *name);
/* The i-th of all, NULL beyond the last: for --list-providers. */
const struct provider_ops *provider_at(size_t i);
/* Its place there, for labels; PROVIDER_NUMBER_NONE: it does not stand in providers.def. */
#define PROVIDER_NUMBER_NONE 0xFFFFu
uint16_t provider_number(const struct provider_ops *ops);

#endif
