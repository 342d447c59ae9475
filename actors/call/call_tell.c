/* What goes on in a call, for a leg whose peer shows it: the state of the turn, the words of both
 * sides as they come, and the turn ledger once the answer is audible. Part of the call actor. It
 * changes nothing, and what finds no room on its way is dropped: the next piece of news holds all
 * that this one did. */
#include "actors/call/call_inner.h"
#include "actors/text.h"
#include "carrier/carrier.h"

_Static_assert(ARRAY_LEN(((struct leg_tell_msg *)0)->instants_ms) == CARRIER_INSTANTS,
               "every instant has its place");

static void tell(struct call *c, struct leg_tell_msg *body, struct slice text)
{
    if (!c->watched || c->phase != TALKING)
        return;
    body->wall_ms = shard_wall_ms(c->actor.shard);
    actor_send_body(&c->actor, c->leg, LEG_TELL, IF_FULL_DROP, text_frame(&c->actor, text), body,
                    sizeof(*body));
}

void call_tell_state(struct call *c)
{
    struct leg_tell_msg body = {.kind = CARRIER_NEWS_STATE, .state = (uint8_t)c->turn.state};

    tell(c, &body, SLICE_NONE);
}

/* ---- the caller's words ---- */

/* Until it is answered an utterance belongs to the turn to come. */
void call_tell_hearing(struct call *c, struct slice text)
{
    struct leg_tell_msg body = {.kind = CARRIER_NEWS_WORDS, .user = true, .turn = c->cdr.turn + 1};
    uint8_t bytes[TURN_TEXT_BYTES_MAX];
    struct builder b = builder_of(bytes, sizeof(bytes));

    if (!c->watched || text.len == 0)
        return;
    if (c->taken_back && c->heard.len) {
        builder_slice_add(&b, note_text(&c->heard));
        if (b.len < sizeof(bytes))
            builder_u8(&b, ' ');
    }
    builder_slice_add(&b, text_cut(text, sizeof(bytes) - b.len));
    tell(c, &body, builder_slice(&b));
}

void call_tell_heard(struct call *c)
{
    struct leg_tell_msg body = {.kind = CARRIER_NEWS_WORDS,
                                .user = true,
                                .final = true,
                                .keys = c->by_keys,
                                .turn = c->cdr.turn};

    tell(c, &body, note_text(&c->heard));
}

void call_tell_noise(struct call *c)
{
    struct leg_tell_msg body = {
        .kind = CARRIER_NEWS_WORDS, .user = true, .final = true, .turn = c->cdr.turn + 1};

    tell(c, &body, SLICE_NONE);
}

/* ---- the agent's ---- */

void call_tell_saying(struct call *c)
{
    struct leg_tell_msg body = {.kind = CARRIER_NEWS_WORDS, .turn = c->cdr.turn};

    tell(c, &body, reply_text(&c->reply));
}

void call_tell_said(struct call *c, struct slice text, bool cut)
{
    struct leg_tell_msg body = {
        .kind = CARRIER_NEWS_WORDS, .final = true, .cut = cut, .turn = c->cdr.turn};

    tell(c, &body, text);
}

/* ---- the turn ledger ---- */

static int64_t instant_ms(int64_t at_ns)
{
    return at_ns == RECORD_NEVER ? -1 : ns_to_ms(at_ns);
}

void call_tell_latency(struct call *c)
{
    const struct record_turn *l = &c->cdr.ledger;
    struct leg_tell_msg body = {
        .kind = CARRIER_NEWS_LATENCY,
        .turn = c->cdr.turn,
        .barge_in = l->barge_in,
        .keys = l->keys,
        .instants_ms = {[CARRIER_VOICED] = instant_ms(l->last_voiced_ns),
                        [CARRIER_DECIDED] = instant_ms(l->decided_ns),
                        [CARRIER_STT_FINAL] = instant_ms(l->stt_final_ns),
                        [CARRIER_FIRST_TOKEN] = instant_ms(l->first_token_ns),
                        [CARRIER_FIRST_TTS] = instant_ms(l->first_tts_ns),
                        [CARRIER_AUDIBLE] = instant_ms(l->first_audible_ns)}};

    tell(c, &body, SLICE_NONE);
}
