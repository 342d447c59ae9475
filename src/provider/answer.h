/* What every language model behind a network has in common: one request per turn, the streamed
 * response, the conversation as messages, tools and their results, one terminal event per turn, and
 * deadlines. A provider adds its dialect: how a body begins, what an event of the stream means, how
 * a round of tool calls is told back. Part of a provider's state, on its shard; no clock, no I/O.
 *
 *     TURN ─▶ asked ─ first event ─▶ streaming ─ finished ─▶ idle
 *                                        └─ with tool calls ─▶ awaiting ─ all results ─▶ asked
 */
#ifndef PROVIDER_ANSWER_H
#define PROVIDER_ANSWER_H

#include "base/json.h"
#include "provider/cloud.h"
#include "provider/sse.h"
#include "provider/web.h"

#define ANSWER_CALLS_MAX       4     /* tool calls of one round; beyond: the answer fails */
#define ANSWER_ROUNDS_MAX      6     /* of one answer; beyond: the answer fails */
#define ANSWER_EVENT_BYTES     16384 /* one event of the stream; beyond: the answer fails */
#define ANSWER_ARGUMENTS_BYTES 4096  /* of one round's calls; beyond: the answer fails */
#define ANSWER_RESULT_BYTES    2048  /* of one call, what is beyond is cut */
#define ANSWER_EXCHANGE_BYTES  32768 /* rounds of one answer; beyond: the answer fails */
#define ANSWER_PAST_BYTES      4096  /* what tools said earlier in the call: oldest forgotten */
#define ANSWER_SYSTEM_BYTES    98304 /* prompt and tools as JSON; beyond: the agent is refused */
#define ANSWER_ERROR_BYTES     2048  /* of an error's body; the rest is not read */
#define ANSWER_PIECE_BYTES     4096  /* of text given at once */
#define ANSWER_END_CALL        "end_call" /* the built-in tool that hangs up */

enum answer_phase { ANSWER_IDLE, ANSWER_ASKED, ANSWER_STREAMING, ANSWER_AWAITING };

struct answer_call {
    int64_t key; /* by which the stream names it */
    uint32_t tool_id;
    bool answered;
    char id[80]; /* the model's own, cut if longer */
    char name[72];
    uint32_t arguments_at; /* in answer.arguments */
    uint32_t arguments_len;
    uint32_t result_len;
    uint8_t result[ANSWER_RESULT_BYTES];
};

struct answer_late { /* a call whose answer was cancelled before its result came */
    uint32_t tool_id;
    char name[72];
};

struct answer {
    enum answer_phase phase;
    uint32_t epoch; /* being answered, 0: none */
    bool open;      /* the request has not ended */
    int32_t status;
    int64_t due_ns; /* when patience ends, or NEVER_NS */
    bool spoke;     /* there was text in this turn */
    bool hang_up;
    bool committed;
    uint32_t rounds;
    uint32_t tool_ids; /* given so far in this call */
    uint32_t call_count;
    uint32_t late_next;
    enum turn_kind kind; /* of the turn being answered */
    uint32_t heard_len, said_len, piece_len, arguments_len, exchange_len, error_len;
    uint32_t past_len, past_before; /* past_before: what was known when this turn began */
    struct answer_call calls[ANSWER_CALLS_MAX];
    struct answer_late late[ANSWER_CALLS_MAX];
    struct sse sse;
    uint8_t heard[TURN_TEXT_BYTES_MAX];
    uint8_t said[TURN_TEXT_BYTES_MAX]; /* text of this round */
    uint8_t piece[ANSWER_PIECE_BYTES]; /* text of this step */
    uint8_t arguments[ANSWER_ARGUMENTS_BYTES];
    uint8_t
        exchange[ANSWER_EXCHANGE_BYTES]; /* rounds so far, as messages with a comma before each */
    uint8_t past[ANSWER_PAST_BYTES];
    uint8_t error[ANSWER_ERROR_BYTES];
    uint8_t event[ANSWER_EVENT_BYTES];
};

/* Made when the agent is loaded. */
struct answer_loaded {
    int64_t first_ns; /* patience for the first event, */
    int64_t idle_ns;  /* and between two */
    char url[WEB_URL_MAX + 64];
    char head[CLOUD_KEY_MAX + 1024];
    size_t begin_len; /* of a body: all up to the system prompt, whose string is left open */
    uint8_t begin[ANSWER_SYSTEM_BYTES];
};

struct answer_dialect {
    bool system_is_message; /* else a member of the body */
    /* An event of the stream: calls answer_text() and so on. */
    void (*event)(struct answer *a, const struct sse_event *ev, struct intents *out);
    /* The round that has just been answered, as messages with a comma before each. */
    void (*exchange)(const struct answer *a, struct builder *out);
};

void answer_step(struct answer *a, const struct answer_dialect *dialect,
                 const struct provider_input *in, int64_t now_ns, struct intents *out);
int64_t answer_deadline(const void *answer);

/* ---- for dialects, while an event is taken ---- */
void answer_text(struct answer *a, struct slice text, struct intents *out);
/* The call of this key, made if there is none yet; NULL: too many. */
struct answer_call *answer_call_of(struct answer *a, int64_t key);
/* More of its arguments; false: they do not fit. */
MUST_USE bool answer_arguments(struct answer *a, struct answer_call *call, struct slice more);
/* The model is done with this turn: its tool calls go out, or the answer is complete. */
void answer_finish(struct answer *a, struct intents *out);
void answer_give_up(struct answer *a, int32_t status, bool fatal, const char *what,
                    struct intents *out);
/* The stream itself says that something is wrong: {"error":{"code":..,"type":..}}. */
void answer_stream_error(struct answer *a, const struct json_doc *doc, struct intents *out);
/* "{}" if there are none. */
struct slice answer_arguments_of(const struct answer *a, const struct answer_call *call);
struct slice answer_result_of(const struct answer_call *call);

/* ---- loading ---- */
/* Tools as the dialect writes them, the built-in one among them, unless the agent has none. */
typedef void answer_tool_writer(struct jsonw *w, const struct provider_tool *tool);
void answer_load_tools(struct cloud *c, struct jsonw *w, answer_tool_writer *write);
/* What every body shares, after the dialect has begun an object in l->begin and left it open, and
 * patience. */
void answer_load_end(struct cloud *c, const struct answer_dialect *dialect, struct answer_loaded *l,
                     struct builder *begin);

#endif
