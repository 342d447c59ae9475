/* What a call says: the reply as it grows, handed to the voice clause by clause, and what of it
 * goes into the records. Part of the call actor. */
#include <string.h>

#include "actors/call/call_inner.h"
#include "actors/text.h"

#define LATE_NS SECONDS(10) /* without any progress of a reply it has failed */

static int64_t now_of(const struct call *c)
{
    return shard_now(c->actor.shard);
}

/* ---- what is written down ---- */

void call_write_heard(struct call *c)
{
    cdr_heard(&c->cdr, note_text(&c->heard), note_text(&c->understood), c->confidence, c->by_keys);
}

void call_write_said(struct call *c, size_t bytes, bool cut)
{
    if (c->said)
        return;
    c->said = true;
    if (!c->committed) /* a reply of which nothing was ever heard: the turn was one all the same */
        call_write_heard(c);
    cdr_said(&c->cdr, &(struct cdr_said){.text = slice_of(c->reply.text, bytes),
                                         .epoch = c->reply_of,
                                         .cut = cut,
                                         .incomplete = c->incomplete});
    call_tell_said(c, slice_of(c->reply.text, bytes), cut);
    if (cut) {
        struct llm_cut_msg body = {.epoch = c->reply_of, .heard_bytes = (uint32_t)bytes};
        actor_send_body(&c->actor, c->llm, LLM_CUT, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    }
}

/* ---- speaking ---- */

void call_expect_progress(struct call *c)
{
    if (c->phase == TALKING) /* a word may still come when it is over */
        actor_timer_set(&c->actor, &c->late_timer, LATE_TAG, now_of(c) + LATE_NS);
}

void call_reply_begin(struct call *c, uint32_t epoch)
{
    reply_begin(&c->reply);
    c->reply_of = epoch;
    c->committed = false;
    c->said = false;
    c->hang_up = false;
    c->excused = false;
    c->incomplete = false;
    c->asked = false;
    c->over = false;
    c->tools_pending = 0;
    call_expect_progress(c);
}

void call_speak(struct call *c)
{
    struct tts_say_msg body = {.epoch = c->reply_of, .generation = c->generation};
    struct slice clause;
    bool more = false;

    for (; reply_next(&c->reply, &clause, &body.piece); more = true)
        actor_send_body(&c->actor, c->tts, TTS_SAY, IF_FULL_STOP, text_frame(&c->actor, clause),
                        &body, sizeof(body));
    if (more)
        call_tell_saying(c);
    if (c->reply.whole)
        actor_send_body(&c->actor, c->tts, TTS_END, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

/* What no memory is found for is left out, as what is too long is. */
void call_reply_add(struct call *c, struct slice text)
{
    size_t len = c->reply.len + text.len;
    uint32_t room = c->reply.room;

    if (len > room && room < TURN_TEXT_BYTES_MAX) {
        uint8_t *memory = text_memory(&c->actor, len, TURN_TEXT_BYTES_MAX, &room);
        if (memory)
            actor_memory_put(&c->actor, reply_move(&c->reply, memory, room));
    }
    reply_add(&c->reply, text);
}

/* Something of the call's own: the greeting, a reminder. What was asked before it still is. */
void call_say(struct call *c, const char *text)
{
    call_reply_begin(c, c->turn.reply_epoch);
    memcpy(c->asks_for, c->expects, sizeof(c->asks_for));
    call_reply_add(c, slice_str(text));
    reply_end(&c->reply);
    call_speak(c);
}
