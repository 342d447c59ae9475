#include "provider/answer_inner.h"

void answer_plain(uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0')
            text[i] = ' ';
}

struct messages { /* neighbours of one role become one message */
    struct builder *out;
    bool begun; /* something stands before the next message */
    bool agent;
    bool any;
    struct builder text;
    uint8_t store[24576];
};

static void message_flush(struct messages *m)
{
    struct jsonw w;

    if (!m->any)
        return;
    answer_plain(m->store, m->text.len);
    if (m->begun)
        builder_u8(m->out, ',');
    jsonw_init(&w, m->out);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "role", m->agent ? "assistant" : "user");
    jsonw_put_str(&w, "content", builder_slice(&m->text));
    jsonw_end(&w);
    m->begun = true;
    m->any = false;
    m->text = builder_of(m->store, sizeof(m->store));
}

static void message_add(struct messages *m, bool agent, struct slice text)
{
    if (text.len == 0)
        return;
    if (m->any && m->agent != agent)
        message_flush(m);
    if (!m->any && !m->begun && agent) { /* a conversation begins with the other side */
        m->agent = false;
        m->any = true;
        builder_str(&m->text, "[The call begins.]");
        message_flush(m);
    }
    if (m->any)
        builder_u8(&m->text, '\n');
    m->agent = agent;
    m->any = true;
    builder_slice_add(&m->text, text);
}

static void add_turn(const struct answer *a, struct messages *m)
{
    struct slice heard = slice_of(a->heard, a->heard_len);
    uint8_t store[TURN_TEXT_BYTES_MAX + 64];
    struct builder b = builder_of(store, sizeof(store));

    if (a->kind == TURN_HEARD && heard.len) {
        message_add(m, false, heard);
        return;
    }
    if (a->kind == TURN_KEYS) {
        builder_str(&b, "[The caller pressed ");
        builder_slice_add(&b, heard);
        builder_str(&b, " on the keypad.]");
    } else if (a->kind == TURN_SILENCE) {
        builder_str(&b, "[The caller has been silent for a while.]");
    } else {
        builder_str(&b, "[The caller said something that could not be understood.]");
    }
    message_add(m, false, builder_slice(&b));
}

/* Once this answer is being heard the conversation holds its beginning, which stands in the
 * exchange already. */
static size_t lines_before(const struct answer *a, const struct provider_turn *turn)
{
    size_t count = turn->history_count;
    struct slice heard = slice_of(a->heard, a->heard_len);

    if (turn->kind != TURN_TOOL || !a->committed)
        return count;
    if (count && turn->history[count - 1].agent)
        count--;
    if (count && heard.len && !turn->history[count - 1].agent &&
        slice_equal(turn->history[count - 1].text, heard))
        count--;
    return count;
}

/* The text inside the quotes of a JSON string. */
static void escaped_put(struct builder *out, struct slice text)
{
    uint8_t store[ANSWER_PAST_BYTES * 2];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_str(&w, text);
    if (!b.bad) /* else the past is left out */
        builder_slice_add(out, slice_of(b.at + 1, b.len - 2));
}

static void body_put(const struct answer *a, const struct answer_dialect *dialect,
                     const struct provider_input *in, size_t skip, struct builder *body)
{
    const struct answer_loaded *l = in->config->loaded;
    const struct provider_turn *turn = in->turn;
    struct messages m = {.out = body, .begun = false};

    m.text = builder_of(m.store, sizeof(m.store));
    builder_bytes(body, l->begin, l->begin_len);
    if (a->past_before) {
        escaped_put(body, SLICE("\n\nTools used earlier in this call:\n"));
        escaped_put(body, slice_of(a->past, a->past_before));
    }
    builder_str(body, dialect->system_is_message ? "\"}," : "\",\"messages\":[");
    message_add(&m, true, skip ? SLICE_NONE : slice_str(in->config->greeting));
    for (size_t i = skip; i < lines_before(a, turn); i++)
        message_add(&m, turn->history[i].agent, turn->history[i].text);
    add_turn(a, &m);
    message_flush(&m);
    builder_slice_add(body, slice_of(a->exchange, a->exchange_len));
    builder_str(body, "]}");
    body->bad = body->bad || m.text.bad;
}

struct slice answer_request(const struct answer *a, const struct answer_dialect *dialect,
                            const struct provider_input *in, struct intents *out)
{
    size_t from = out->bytes.len;

    for (size_t skip = 0; skip <= in->turn->history_count; skip++) {
        out->bytes.len = from;
        out->bytes.bad = false;
        body_put(a, dialect, in, skip, &out->bytes);
        if (!out->bytes.bad)
            return slice_of(out->bytes.at + from, out->bytes.len - from);
    }
    out->bytes.len = from;
    out->bytes.bad = false;
    return SLICE_NONE;
}
