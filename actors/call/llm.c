/* Makes the agent's replies: keeps the history as the caller heard it, asks the provider, and hands
 * its text, its tool calls and its understanding to the call. When the provider fails, the next of
 * the role is asked the same turn, unless some of the answer was given already or a tool was called
 * for it, which must not be done twice: then the answer ends. Child of the call. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/call/engine.h"
#include "actors/call/failover.h"
#include "actors/call/history.h"
#include "actors/text.h"

struct llm {
    struct actor actor;
    struct actor_id call;
    struct engine engine;
    struct history history;
    uint32_t epoch;          /* being answered */
    uint32_t committed;      /* the last one of which something was heard */
    uint32_t barred;         /* answers up to this one were begun by a provider that was left */
    struct llm_ask_msg turn; /* that `epoch` answers */
    bool tools;              /* one was called for `epoch`, */
    uint32_t tools_open;     /* and so many have not answered */
    bool done;               /* nothing comes of `epoch` until they have */
    bool hang_up;
    bool user_noted;   /* the caller's line of `epoch` is in the history */
    struct note said;  /* the reply of `epoch` so far, until it is committed */
    struct note asked; /* what it answers */
};

static void tell(struct llm *llm, uint16_t type, uint32_t epoch, struct slice text)
{
    struct epoch_msg body = {.epoch = epoch};

    actor_send_body(&llm->actor, llm->call, type, IF_FULL_STOP, text_frame(&llm->actor, text),
                    &body, sizeof(body));
}

/* Memory for so much more text, as long as the conversation may grow: beyond, and without memory,
 * it forgets its oldest lines. */
static void remember(struct llm *llm, size_t more)
{
    struct history *h = &llm->history;
    uint32_t size = h->size;

    if (h->used + more <= h->size || h->size == HISTORY_BYTES_MAX)
        return;
    uint8_t *memory = text_memory(&llm->actor, h->used + more, HISTORY_BYTES_MAX, &size);
    if (memory)
        actor_memory_put(&llm->actor, history_move(h, memory, size));
}

static void on_text(struct llm *llm, const struct provider_intent *event)
{
    struct slice text = text_cut(event->text, TURN_TEXT_BYTES_MAX - llm->said.len);

    if (event->epoch != llm->epoch || text.len == 0)
        return;
    note_add(&llm->actor, &llm->said, text, TURN_TEXT_BYTES_MAX);
    if (llm->committed == llm->epoch) {
        remember(llm, text.len);
        history_extend(&llm->history, text);
    }
    tell(llm, LLM_TEXT, event->epoch, text);
}

static void on_expects(struct llm *llm, const struct provider_intent *event)
{
    struct expect_msg body = {.epoch = event->epoch};

    if (slice_cstr(event->text, body.answer, sizeof(body.answer)))
        body.answer[0] = '\0';
    actor_send_body(&llm->actor, llm->call, LLM_EXPECTS, IF_FULL_STOP, FRAME_NONE, &body,
                    sizeof(body));
}

static void on_event(struct actor *a, const struct provider_intent *event)
{
    struct llm *llm = container_of(a, struct llm, actor);

    if (event->event == EVENT_TEXT) {
        on_text(llm, event);
    } else if (event->event == EVENT_UNDERSTOOD) {
        tell(llm, LLM_UNDERSTOOD, event->epoch, event->text);
    } else if (event->event == EVENT_EXPECTS) {
        on_expects(llm, event);
    } else if (event->event == EVENT_TOOL) {
        struct llm_tool_msg body = {.epoch = event->epoch, .tool_id = event->tool_id};
        llm->tools = llm->tools || event->epoch == llm->epoch;
        llm->tools_open += event->epoch == llm->epoch;
        actor_send_body(a, llm->call, LLM_TOOL, IF_FULL_STOP, text_frame(a, event->text), &body,
                        sizeof(body));
    } else if (event->event == EVENT_HANG_UP) {
        llm->hang_up = true;
    } else if (event->event == EVENT_DONE) {
        llm->done = llm->done || event->epoch == llm->epoch;
        SEND(a, llm->call, LLM_DONE, IF_FULL_STOP, FRAME_NONE, struct llm_done_msg,
             .epoch = event->epoch, .hang_up = llm->hang_up);
    } else if (event->event == EVENT_FAILED) {
        engine_fail(&llm->engine, event);
    }
}

static void ask_provider(struct llm *llm, const struct llm_ask_msg *m, struct slice text)
{
    struct provider_line lines[HISTORY_LINES_MAX];
    struct provider_turn turn = {.kind = (enum turn_kind)m->kind,
                                 .text = text,
                                 .tool_id = m->tool_id,
                                 .confidence = m->confidence,
                                 .history = lines,
                                 .history_count = history_lines(&llm->history, lines)};
    struct provider_input input = {.kind = INPUT_TURN, .epoch = m->epoch, .turn = &turn};

    engine_input(&llm->engine, &input);
}

/* A tool's result goes on with the same reply, unless another provider has taken over, which knows
 * nothing of that call; everything else begins a new one. */
static void ask(struct llm *llm, const struct msg *m)
{
    const struct llm_ask_msg *body = msg_body(m, llm_ask_msg);
    struct slice text = text_cut(text_of(&llm->actor, m), TURN_TEXT_BYTES_MAX);

    if (body->kind == TURN_TOOL && body->epoch <= llm->barred)
        return;
    if (body->epoch == llm->epoch) {
        llm->done = false; /* it goes on */
        llm->tools_open -= llm->tools_open > 0;
    }
    if (body->kind != TURN_TOOL) {
        llm->turn = *body;
        llm->epoch = body->epoch;
        llm->said.len = 0;
        llm->hang_up = llm->tools = llm->done = false;
        llm->tools_open = 0;
        note_set(&llm->actor, &llm->asked, text, TURN_TEXT_BYTES_MAX);
    }
    ask_provider(llm, body, text);
}

/* The reply is being heard: now it is part of the conversation. */
static void commit(struct llm *llm, uint32_t epoch)
{
    if (epoch != llm->epoch || llm->committed == epoch)
        return;
    llm->committed = epoch;
    remember(llm, llm->asked.len + llm->said.len);
    if (llm->asked.len)
        history_add(&llm->history, false, note_text(&llm->asked));
    history_add(&llm->history, true, note_text(&llm->said));
    note_drop(&llm->actor, &llm->asked);
    if (epoch > llm->barred)
        engine_command(&llm->engine, INPUT_COMMIT, epoch, SLICE_NONE);
}

/* Nothing more of it counts: what was heard of it is in the history, cut by LLM_CUT. */
static void cancel(struct llm *llm, uint32_t epoch)
{
    if (epoch == llm->epoch)
        llm->epoch = 0;
    engine_cancel(&llm->engine, epoch);
}

/* ---- failures ---- */

/* An answer is being made, whatever the failure was of: the one that makes it goes. */
static bool is_busy(const struct llm *llm)
{
    return llm->epoch != 0 && (!llm->done || llm->tools_open);
}

static void take_over(struct llm *llm, struct provider_failed_msg *m)
{
    bool again = is_busy(llm) && llm->said.len == 0 && !llm->tools;

    m->over = is_busy(llm) && !again;
    if (m->over)
        m->epoch = llm->epoch;
    llm->barred = again ? llm->epoch - 1 : llm->epoch > llm->barred ? llm->epoch : llm->barred;
    failover_tell(&llm->engine, llm->call, PROVIDER_NEXT, m);
    if (again)
        ask_provider(llm, &llm->turn, note_text(&llm->asked));
}

static void settle(struct llm *llm)
{
    struct provider_failed_msg m;

    while (failover_take(&llm->engine, ROLE_LLM, &m)) {
        if (m.epoch == 0 && is_busy(llm)) /* the engine's own trouble */
            m.epoch = llm->epoch;
        if (failover_next(&llm->engine, &m))
            take_over(llm, &m);
        else
            failover_tell(&llm->engine, llm->call, PROVIDER_FAILED, &m);
    }
}

static void on_late(struct llm *llm, uint32_t epoch)
{
    engine_cancel(&llm->engine, epoch);
    engine_fail_with(&llm->engine, epoch, ETIMEDOUT, "nothing came for too long");
}

/* ---- life ---- */

static void start(struct llm *llm, const struct msg *m)
{
    uint32_t agent = msg_body(m, engine_start_msg)->agent;

    llm->call = m->from;
    int err = engine_start(&llm->engine, &llm->actor, agent, PROVIDER_LLM, on_event);
    if (err)
        actor_stop_self(&llm->actor, REASON(-err, "no speech lane session for the llm"));
}

static void stop(struct llm *llm)
{
    engine_stop(&llm->engine);
    note_drop(&llm->actor, &llm->said);
    note_drop(&llm->actor, &llm->asked);
    actor_memory_back(&llm->actor, &llm->history.bytes);
    actor_end(&llm->actor);
}

static void on_message(struct llm *llm, const struct msg *m)
{
    switch (m->type) {
    case MSG_START:
        start(llm, m);
        break;
    case LLM_ASK:
        ask(llm, m);
        break;
    case LLM_COMMIT:
        commit(llm, msg_body(m, epoch_msg)->epoch);
        break;
    case LLM_CANCEL:
        cancel(llm, msg_body(m, epoch_msg)->epoch);
        break;
    case LLM_CUT:
        if (msg_body(m, llm_cut_msg)->epoch == llm->committed)
            history_cut(&llm->history, msg_body(m, llm_cut_msg)->heard_bytes);
        break;
    case PROVIDER_LATE:
        on_late(llm, msg_body(m, epoch_msg)->epoch);
        break;
    default:
        break;
    }
}

static void llm_handle(struct actor *a, const struct msg *m)
{
    struct llm *llm = container_of(a, struct llm, actor);

    if (m->type == MSG_STOP) {
        stop(llm);
        return;
    }
    if (!engine_handle(&llm->engine, m))
        on_message(llm, m);
    settle(llm);
}

static const char *llm_provider(const struct actor *a)
{
    return engine_name(&container_of(a, struct llm, actor)->engine);
}

const struct actor_type llm_type = {
    .name = "llm", .size_bytes = sizeof(struct llm), .handle = llm_handle, .detail = llm_provider};
