/* Everything the actors say to each other: one struct a message, pointer-free, at most 96 bytes;
 * text and audio ride as frames. Message types of the runtime (start, stop, timers, io, lanes) are
 * in runtime/msg.h. Read top to bottom it is the story of a call. */
#ifndef ACTORS_MESSAGES_H
#define ACTORS_MESSAGES_H

#include <stdbool.h>

#include "runtime/msg.h"

/* clang-format off: a table */
#define ACTOR_MESSAGES(MESSAGE)                                                                    \
    /* ---- admission ---- */                                                                      \
    MESSAGE(AGENT_OFFER, agent_offer_msg) /* control -> switchboard: a new version of an agent */  \
    MESSAGE(TLS_OFFER, tls_offer_msg)     /* control -> switchboard: show this certificate now */  \
    MESSAGE(AGENT_RELEASED, agent_offer_msg) /* switchboard -> control: no call here uses it */    \
    MESSAGE(ADMIT, admit_msg)       /* door, leg -> switchboard: may this one in? frame: token */  \
    MESSAGE(ADMITTED, admitted_msg) /* switchboard -> asker */                                     \
    MESSAGE(LEG_SOCKET, leg_socket_msg) /* door -> leg: yours; frame: what was read beyond */      \
    MESSAGE(ANSWERING_SOCKET, leg_socket_msg) /* door -> answering: yours; frame: what was read */ \
    MESSAGE(ANSWER_ASK, answer_ask_msg)       /* answering -> switchboard: whose is this call? */  \
    MESSAGE(ANSWER_FOUND, answer_found_msg)   /* switchboard -> answering */                       \
    MESSAGE(CARRIER_TOLD, cookie_msg) /* answering -> switchboard: keep this; frame: the event */  \
    MESSAGE(CARRIER_KEPT, admitted_msg)   /* switchboard -> answering: err, or it is stored */     \
    MESSAGE(LEG_ARRIVED, leg_arrived_msg) /* leg -> switchboard: it said who it is; frame: JSON */ \
    MESSAGE(CALL_PLACE, call_place_msg)   /* control -> switchboard: a leg to a static RTP peer */ \
    MESSAGE(CALL_PLACED, call_placed_msg) /* call -> asker */                                      \
    MESSAGE(CALL_HANG_UP, call_hang_up_msg) /* control -> switchboard -> call */                   \
    MESSAGE(CALL_HUNG_UP, call_placed_msg) /* switchboard -> asker: err ENOENT if there is none */ \
    MESSAGE(CALL_PRESS, call_press_msg) /* control -> switchboard -> call -> leg: press these */   \
    MESSAGE(CALL_PRESSED, call_placed_msg) /* switchboard, leg -> asker: err, or they will be */   \
    MESSAGE(DRAIN, drain_msg)   /* control -> switchboard: no new calls; stop at the deadline */   \
    MESSAGE(TREE_ASK, tree_msg) /* control -> switchboard: who lives here? */                      \
    MESSAGE(TREE, tree_msg)     /* switchboard -> asker; frame: JSON */                            \
    /* ---- leg ---- */                                                                            \
    MESSAGE(LEG_PEERS, leg_peers_msg)     /* call -> leg: where audio goes from now on */          \
    MESSAGE(LEG_LISTEN, leg_listen_msg)   /* stt -> leg: AUDIO is wanted from now on, or not */    \
    MESSAGE(LEG_UP, leg_up_msg)           /* leg -> call: media flows */                           \
    MESSAGE(LEG_SPEECH, leg_speech_msg)   /* leg -> call: VAD has changed its mind */              \
    MESSAGE(LEG_KEY, leg_key_msg)         /* leg -> call: a digit was pressed */                   \
    MESSAGE(LEG_AUDIBLE, leg_audible_msg) /* leg -> call: the first voiced sample has left */      \
    MESSAGE(LEG_MARKED, leg_marked_msg)   /* leg -> call: the carrier says that some was heard */  \
    MESSAGE(LEG_PLAYED, leg_played_msg)   /* leg -> call: the reply was heard whole */             \
    MESSAGE(LEG_HEARD, leg_heard_msg)     /* leg -> call: how far the caller came at a flush */    \
    MESSAGE(LEG_ENDED, leg_ended_msg)     /* call -> leg: the recogniser says that speech ended */ \
    MESSAGE(LEG_HOLD, leg_play_msg)       /* call -> leg */                                        \
    MESSAGE(LEG_RESUME, leg_play_msg)                                                              \
    MESSAGE(LEG_FLUSH, leg_play_msg)                                                               \
    MESSAGE(LEG_TELL, leg_tell_msg)   /* call -> leg: for who watches; frame: words */             \
    MESSAGE(PLAY, play_msg)           /* tts -> leg; frame: PCM at the leg's rate */               \
    MESSAGE(PLAY_PIECE_END, play_msg) /* tts -> leg: no more audio of this piece */                \
    MESSAGE(PLAY_END, play_msg)       /* tts -> leg: the reply is complete */                      \
    MESSAGE(PLAY_ROOM, play_room_msg) /* leg -> tts: go on, there is room again */                 \
    MESSAGE(AUDIO, audio_msg)         /* leg -> stt, recorder; frame: PCM of the caller */         \
    MESSAGE(AUDIO_OUT, audio_msg)     /* leg -> recorder; frame: PCM of the agent */               \
    MESSAGE(AUDIO_CUT, audio_msg)     /* leg -> recorder: from here on it was never heard */       \
    /* ---- conversation ---- */                                                                   \
    MESSAGE(STT_LISTEN, expect_msg)    /* call -> stt: an utterance begins */                      \
    MESSAGE(STT_PAUSE, epoch_msg)      /* call -> stt: the caller paused, it may be over */        \
    MESSAGE(STT_FINISH, epoch_msg)     /* call -> stt: it is over */                               \
    MESSAGE(STT_FORGET, epoch_msg)     /* call -> stt: it was none */                              \
    MESSAGE(STT_WORDS, stt_words_msg)  /* stt -> call; frame: text so far */                       \
    MESSAGE(STT_HEARD, stt_words_msg)  /* stt -> call; frame: the final text */                    \
    MESSAGE(LLM_ASK, llm_ask_msg)      /* call -> llm; frame: what was said */                     \
    MESSAGE(LLM_COMMIT, epoch_msg)     /* call -> llm: the reply is being heard */                 \
    MESSAGE(LLM_CANCEL, epoch_msg)     /* call -> llm: it is not wanted any more */                \
    MESSAGE(LLM_CUT, llm_cut_msg)      /* call -> llm: this much of it was heard */                \
    MESSAGE(LLM_UNDERSTOOD, epoch_msg) /* llm -> call; frame: JSON */                              \
    MESSAGE(LLM_EXPECTS, expect_msg)   /* llm -> call: what the reply asks for */                  \
    MESSAGE(LLM_TEXT, epoch_msg)       /* llm -> call; frame: next piece of the reply */           \
    MESSAGE(LLM_TOOL, llm_tool_msg)    /* llm -> call; frame: JSON */                              \
    MESSAGE(LLM_DONE, llm_done_msg)    /* llm -> call: the reply is complete */                    \
    MESSAGE(TTS_SAY, tts_say_msg)      /* call -> tts; frame: one clause */                        \
    MESSAGE(TTS_END, tts_say_msg)      /* call -> tts: no more clauses of this reply */            \
    MESSAGE(TTS_CANCEL, epoch_msg)     /* call -> tts */                                           \
    MESSAGE(TTS_FIRST, tts_first_msg)  /* tts -> call: first audio of the reply has come */        \
    MESSAGE(TOOL_DONE, tool_done_msg)  /* tool -> call; frame: JSON result */                      \
    MESSAGE(PROVIDER_LATE, epoch_msg)  /* call -> stt, llm, tts: nothing has come for too long */  \
    MESSAGE(PROVIDER_NEXT, provider_failed_msg)   /* stt, llm, tts -> call: `to` takes over */     \
    MESSAGE(PROVIDER_FAILED, provider_failed_msg) /* stt, llm, tts -> call: none takes over */     \
    MESSAGE(RECORDED, recorded_msg)               /* recorder -> call, before it ends */           \
    /* ---- the network of a shard ---- */                                                         \
    MESSAGE(NET_RESOLVE, net_resolve_msg)   /* any -> network; frame: a host name */               \
    MESSAGE(NET_RESOLVED, net_resolved_msg) /* network -> asker */                                 \
    MESSAGE(NET_REPORT, net_report_msg)     /* asker -> network: what came of the connection */    \
    MESSAGE(NET_REQUEST, net_request_msg)   /* any -> network; frame: URL, head, body */           \
    MESSAGE(NET_CANCEL, net_cookie_msg)     /* asker -> network: nothing more of it, please */     \
    MESSAGE(NET_FLOW, net_flow_msg)         /* asker -> network: stop or resume the body */        \
    MESSAGE(NET_STATUS, net_status_msg)     /* network -> asker: the answer begins */              \
    MESSAGE(NET_CHUNK, net_cookie_msg)      /* network -> asker; frame: part of the body */        \
    MESSAGE(NET_END, net_cookie_msg)        /* network -> asker: it is complete */                 \
    MESSAGE(NET_FAILED, net_failed_msg)     /* network -> asker: there is no more of it */         \
    /* ---- a leg to itself ---- */                                                                \
    MESSAGE(LEG_JUDGE, cookie_msg) /* a window of the detector waits for the round's others */
/* clang-format on */

enum actor_message {
    ACTOR_MESSAGES_BEGIN = 63, /* MSG_ACTORS_FIRST - 1 */
#define MESSAGE(name, body) name,
    ACTOR_MESSAGES(MESSAGE)
#undef MESSAGE
        ACTOR_MESSAGES_END
};

/* What a call calls its children. */
enum call_role { ROLE_LEG = 1, ROLE_STT, ROLE_LLM, ROLE_TTS, ROLE_RECORDER, ROLE_TOOL };

/* What a switchboard calls its children: a call by its agent's index, and these. */
#define ROLE_STRANGER 0u         /* a door, or a leg, that nobody has let in yet */
#define ROLE_EXPECTED UINT32_MAX /* one that was let in: a call's place is kept for it */

#define AGENT_NAME_BYTES 64
#define CALL_ID_BYTES    28

/* Arguments of a spawn (MSG_START). */
struct engine_start_msg { /* stt, llm, tts */
    uint32_t agent;
    uint32_t leg_rate_hz; /* tts */
    struct actor_id leg;  /* stt, tts */
};

struct door_start_msg {
    uint32_t stream; /* io_id, given with actor_io_give() */
    uint32_t tls;    /* which of the world's certificates; 0: plain */
    struct address peer;
};

struct leg_websocket_start_msg {
    uint32_t agent; /* 0: not admitted yet, the dialect's start must bring a token */
    bool token_given;
    uint8_t path; /* enum carrier_path */
    char name[AGENT_NAME_BYTES];
};

struct leg_rtp_start_msg {
    uint32_t agent;
    struct address peer;
    uint8_t payload_type;
};

struct call_start_msg {
    struct actor_id leg;   /* adopted, or nobody: the call makes an RTP leg to `peer` */
    struct actor_id asker; /* of CALL_PLACE: CALL_PLACED goes there */
    struct address peer;
    uint32_t agent;
    uint32_t cookie;
    uint16_t rate_hz;
    uint8_t payload_type;
    char protocol[9];
    char call_id[28];
};

struct recorder_start_msg {
    uint32_t in_rate_hz;  /* of AUDIO */
    uint32_t leg_rate_hz; /* of AUDIO_OUT */
    char call_id[CALL_ID_BYTES];
};

struct tool_start_msg {
    uint32_t agent;
    uint32_t epoch;
    uint32_t tool_id;
    uint32_t journal; /* handle of its call's records */
    bool journaled;
    char call_id[CALL_ID_BYTES];
};

struct agent_offer_msg {
    uint32_t agent; /* index of the version in the world's table */
};

struct tls_offer_msg {
    uint32_t tls; /* index of the version in the world's table */
};

struct admit_msg {
    char agent[AGENT_NAME_BYTES];
    uint32_t cookie;      /* the asker's, given back */
    bool token_given;     /* the frame holds it */
    bool token_not_asked; /* this peer may come without one */
};

struct admitted_msg {
    int32_t err; /* 0, or ENOENT: no such agent, EACCES: token, EBUSY: full or draining */
    uint32_t cookie;
    uint32_t agent;
};

struct answer_ask_msg {
    char agent[AGENT_NAME_BYTES]; /* as the request names it, or "": by number */
    char number[28];              /* that was called */
};

struct answer_found_msg {
    int32_t err; /* 0, or ENOENT: no such agent or number, EBUSY: full or draining */
    char agent[AGENT_NAME_BYTES];
};

struct cookie_msg {
    uint32_t cookie;
};

struct leg_arrived_msg {
    uint32_t agent;
    uint32_t rate_hz;
    char protocol[9];
};

struct call_place_msg {
    char agent[AGENT_NAME_BYTES];
    struct address peer;
    uint8_t codec; /* RTP payload type: 0 PCMU, 8 PCMA */
    uint8_t spare[3];
    uint32_t cookie;
};

struct call_placed_msg {
    int32_t err;
    uint32_t cookie;
    char call_id[CALL_ID_BYTES];
    struct address local; /* where our RTP is */
};

struct call_hang_up_msg {
    char call_id[CALL_ID_BYTES];
    uint32_t cookie;
};

struct call_press_msg {
    struct actor_id asker;
    uint32_t cookie;
    char call_id[CALL_ID_BYTES];
    char digits[DTMF_DIGITS_MAX + 1]; /* of DTMF_DIGITS */
};

struct drain_msg {
    int64_t deadline_ns;
};

struct tree_msg {
    uint32_t cookie;
    int32_t err;
};

struct leg_socket_msg {
    uint32_t stream; /* io_id, given with stream_give() */
};

struct leg_peers_msg {
    struct actor_id stt; /* nobody: not wanted */
    struct actor_id tts;
    struct actor_id recorder;
    uint32_t agent;
    uint32_t listen_rate_hz; /* of AUDIO */
    char call_id[CALL_ID_BYTES];
};

struct leg_listen_msg {
    bool on; /* and what the caller said in the moment before */
};

struct leg_up_msg {
    int64_t start_ns; /* sample 0 of the leg's clock */
    uint32_t rate_hz;
    bool watched;         /* LEG_TELL is wanted */
    struct address local; /* of a leg with a socket of its own; family 0 otherwise */
};

struct leg_speech_msg {
    bool speaking;
    int64_t at_ns; /* its first, or last, voiced sample, as it arrived */
    int64_t sample;
};

struct leg_ended_msg {
    int64_t silence_ns; /* without a voiced sample, that the leg should have seen too */
};

struct leg_key_msg {
    char digit;
};

struct leg_audible_msg {
    uint32_t epoch;
    int64_t at_ns; /* when the caller hears the sample, latency of the carrier apart */
    int64_t sample;
};

struct leg_marked_msg {
    uint32_t epoch;
    int64_t at_ns;
};

struct leg_played_msg {
    uint32_t epoch;
};

struct leg_heard_msg {
    uint32_t epoch;
    uint32_t piece; /* the last one of which anything was heard */
    int64_t heard_samples;
    int64_t piece_samples;
    bool piece_ended; /* piece_samples is all of it */
};

struct leg_play_msg {
    uint32_t epoch;
};

/* One piece of news for whoever watches the call; see struct carrier_news. */
struct leg_tell_msg {
    uint8_t kind;  /* enum carrier_news_kind */
    uint8_t state; /* enum turn_state */
    bool user;
    bool final;
    bool cut;
    bool keys;
    bool barge_in;
    uint32_t turn;
    int64_t wall_ms;
    int64_t instants_ms[6]; /* by enum carrier_instant; -1: there was none */
};

struct play_msg {
    uint32_t epoch;
    uint32_t generation;
    uint32_t piece;
};

struct play_room_msg {
    uint32_t room_ms;
};

struct audio_msg {
    int64_t sample; /* first of the frame, on the leg's clock at the frame's own rate */
};

struct epoch_msg {
    uint32_t epoch;
};

struct expect_msg {
    uint32_t epoch;
    char answer[ANSWER_NAME_BYTES]; /* name of the answer that is expected; "": any */
};

struct stt_words_msg {
    uint32_t epoch;
    uint32_t words;
    bool complete;      /* a whole sentence */
    bool expected;      /* that answers what was asked */
    bool ended;         /* behind it the recogniser has heard silence */
    uint8_t confidence; /* percent */
};

struct llm_ask_msg {
    uint32_t epoch;
    uint32_t kind; /* enum turn_kind */
    uint32_t tool_id;
    uint8_t confidence;
};

struct llm_cut_msg {
    uint32_t epoch;
    uint32_t heard_bytes;
};

struct llm_tool_msg {
    uint32_t epoch;
    uint32_t tool_id;
};

struct llm_done_msg {
    uint32_t epoch;
    bool hang_up; /* once it was heard */
};

struct tts_say_msg {
    uint32_t epoch;
    uint32_t generation;
    uint32_t piece;
};

struct tts_first_msg {
    uint32_t epoch;
    int64_t at_ns;
};

struct tool_done_msg {
    uint32_t epoch;
    uint32_t tool_id;
    int32_t err;
};

#define PROVIDER_WHAT_BYTES 72

struct provider_failed_msg {
    uint32_t role; /* enum call_role */
    uint32_t epoch;
    int32_t status;
    bool fatal;   /* no use to go on with it */
    bool over;    /* NEXT, llm: the answer of `epoch` ends where it is; else it is asked anew */
    uint8_t from; /* places in the order of the role */
    uint8_t to;
    char what[PROVIDER_WHAT_BYTES];
};

struct recorded_msg {
    int64_t bytes; /* of sound */
    uint32_t rate_hz;
    int32_t err; /* not 0: incomplete */
};

/* Numbers a plug-in for breakers, metrics and log lines: its place in providers.def. */
#define NET_LABEL_NONE 0xFFFFu

struct net_resolve_msg {
    uint32_t cookie; /* the asker's, given back */
    uint16_t port;   /* given back in the address */
    uint16_t label;
    bool guarded; /* addresses of the public internet only */
};

struct net_resolved_msg {
    uint32_t cookie;
    int32_t
        err; /* 0, or ENOENT, EAGAIN, EIO, ETIMEDOUT; EBUSY: its breaker is open; EACCES: guarded */
    struct address address;
    uint64_t permit; /* for NET_REPORT, which each 0 asks for */
};

enum net_outcome { NET_GOOD, NET_BAD, NET_NEITHER };

struct net_report_msg {
    uint64_t permit;
    uint8_t outcome; /* enum net_outcome */
};

#define NET_REQUEST_BYTES_MAX 262144 /* URL, head and body; beyond: refused */

struct net_request_msg {
    uint32_t cookie; /* the asker's own number: at most one request of it at a time */
    uint16_t label;
    bool guarded;
    char method[9]; /* "": POST with a body, else GET */
    uint32_t url_bytes;
    uint32_t head_bytes; /* what follows is the body */
    uint32_t first_byte_ms;
    uint32_t stall_ms;
    uint32_t total_ms;
};

struct net_cookie_msg {
    uint32_t cookie;
};

struct net_flow_msg {
    uint32_t cookie;
    bool pause;
};

struct net_status_msg {
    uint32_t cookie;
    int32_t status;
    int32_t retry_after_ms; /* -1: not said */
};

struct net_failed_msg {
    uint32_t cookie;
    int32_t err;   /* a positive errno; EBUSY: its breaker is open */
    char what[80]; /* one clause */
};

#define MESSAGE(name, body)                                                                        \
    _Static_assert(sizeof(struct body) <= MSG_BODY_BYTES, "a message body has 96 bytes");
ACTOR_MESSAGES(MESSAGE)
#undef MESSAGE

#endif
