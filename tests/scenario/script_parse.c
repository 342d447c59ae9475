/* The parsing half of script.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/scenario/script.h"

struct parse {
    struct script *s;
    struct scripted_words w;
    uint32_t line;
    char *why;
    bool connected;
};

static int bad(const struct parse *p, const char *what)
{
    snprintf(p->why, SCRIPT_WHY_BYTES, "line %u: %s", p->line, what);
    return -EINVAL;
}

static int keep(struct parse *p, struct slice *text)
{
    struct script *s = p->s;

    if (text->len > sizeof(s->store) - s->store_len)
        return bad(p, "the script holds too much text");
    uint8_t *at = s->store + s->store_len;
    if (text->len)
        memcpy(at, text->at, text->len);
    s->store_len += text->len;
    *text = slice_of(at, text->len);
    return 0;
}

static struct slice next_word(struct parse *p)
{
    return p->w.at < p->w.count ? p->w.list[p->w.at++].text : SLICE_NONE;
}

static int add(struct parse *p, struct script_step step)
{
    if (!scripted_end(&p->w))
        return bad(p, "something follows that is not understood");
    if (!p->connected)
        return bad(p, "before this the caller must connect");
    if (p->s->count == SCRIPT_STEPS_MAX)
        return bad(p, "more than 128 steps");
    if (step.text.len && keep(p, &step.text) < 0)
        return -EINVAL;
    step.line = p->line;
    p->s->steps[p->s->count++] = step;
    return 0;
}

/* Phrases that end with a time, and what they mean. */
static const struct {
    const char *words;
    enum script_act act;
    int64_t most_ms;
} timed[] = {
    {"agent says within", SCRIPT_AGENT_SAYS, SCRIPTED_MS_MAX},
    {"agent replies within", SCRIPT_AGENT_REPLIES, SCRIPTED_MS_MAX},
    {"agent silent within", SCRIPT_AGENT_SILENT, SCRIPTED_MS_MAX},
    {"agent quiet for", SCRIPT_AGENT_QUIET, SCRIPTED_MS_MAX},
    {"agent finishes within", SCRIPT_AGENT_FINISHES, SCRIPTED_MS_MAX},
    {"caller says for", SCRIPT_CALLER_SAYS, SCRIPT_SAY_MAX_MS},
    {"caller waits", SCRIPT_CALLER_WAITS, SCRIPTED_MS_MAX},
    {"call ends within", SCRIPT_CALL_ENDS, SCRIPTED_MS_MAX},
};

/* 1: a step; 0: something else. */
static int take_timed(struct parse *p)
{
    for (size_t i = 0; i < ARRAY_LEN(timed); i++) {
        struct script_step step = {.act = timed[i].act};
        if (!scripted_take(&p->w, timed[i].words))
            continue;
        if (!scripted_take_ms(&p->w, &step.ms) || step.ms > timed[i].most_ms)
            return bad(p, "a time like 300ms or 3s must follow (20s of speech at most)");
        int err = add(p, step);
        return err < 0 ? err : 1;
    }
    return 0;
}

static int take_interrupts(struct parse *p)
{
    struct script_step step = {.act = SCRIPT_CALLER_INTERRUPTS};

    if (!scripted_take(&p->w, "after") || !scripted_take_ms(&p->w, &step.after_ms) ||
        !scripted_take(&p->w, "for") || !scripted_take_ms(&p->w, &step.ms) ||
        step.ms > SCRIPT_SAY_MAX_MS)
        return bad(p, "caller interrupts after TIME for TIME (20s at most)");
    return add(p, step);
}

static int take_presses(struct parse *p)
{
    struct script_step step = {.act = SCRIPT_CALLER_PRESSES, .text = next_word(p)};

    if (step.text.len == 0 || step.text.len > CALLER_DIGITS_MAX)
        return bad(p, "caller presses KEYS, 32 at most");
    for (size_t i = 0; i < step.text.len; i++)
        if (!memchr("0123456789*ABCD#", step.text.at[i], 16))
            return bad(p, "that is no key of a telephone");
    return add(p, step);
}

static int take_connects(struct parse *p)
{
    if (p->connected)
        return bad(p, "the caller is connected already");
    if (scripted_take(&p->w, "twilio"))
        p->s->dialect = &caller_twilio;
    else if (scripted_take(&p->w, "rtp"))
        p->s->dialect = &caller_rtp;
    p->connected = true;
    return p->s->dialect && scripted_end(&p->w) ? 0 : bad(p, "caller connects twilio, or rtp");
}

static int take_caller(struct parse *p)
{
    struct script_step step = {.act = SCRIPT_CALLER_SENDS};

    if (scripted_take(&p->w, "connects"))
        return take_connects(p);
    if (scripted_take(&p->w, "interrupts"))
        return take_interrupts(p);
    if (scripted_take(&p->w, "presses"))
        return take_presses(p);
    if (scripted_take(&p->w, "hangs up"))
        return add(p, (struct script_step){.act = SCRIPT_CALLER_HANGS_UP});
    if (scripted_take(&p->w, "vanishes"))
        return add(p, (struct script_step){.act = SCRIPT_CALLER_VANISHES});
    if (scripted_take(&p->w, "sends malformed") && scripted_take_text(&p->w, &step.text))
        return add(p, step);
    return bad(p, "a caller connects, says, interrupts, presses, waits, sends, hangs up, vanishes");
}

/* expect status completed | expect turn 1 heard "..." */
static int take_expect(struct parse *p)
{
    struct script_expect e = {.line = p->line};
    uint64_t turn;

    if (scripted_take(&p->w, "turn")) {
        if (!scripted_take_number(&p->w, "", 1000, &turn) || turn == 0)
            return bad(p, "expect turn N heard \"...\"");
        e.turn = (uint32_t)turn;
    }
    bool whole = p->w.count - p->w.at == 2;
    e.key = next_word(p);
    e.text = next_word(p);
    if (!whole)
        return bad(p, "expect KEY VALUE, or expect turn N KEY VALUE");
    if (p->s->expect_count == SCRIPT_EXPECTS_MAX)
        return bad(p, "more than 64 expectations");
    if (keep(p, &e.key) < 0 || keep(p, &e.text) < 0)
        return -EINVAL;
    p->s->expects[p->s->expect_count++] = e;
    return 0;
}

static int take_agent_name(struct parse *p)
{
    struct slice name = next_word(p);

    if (name.len == 0 || !scripted_end(&p->w) ||
        slice_cstr(name, p->s->agent, sizeof(p->s->agent)) < 0)
        return bad(p, "agent NAME, or agent says|replies|silent|finishes within, quiet for TIME");
    for (size_t i = 0; i < name.len; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.at[i], 37))
            return bad(p, "an agent's name is made of small letters, digits and '-'");
    return 0;
}

static int take_line(struct parse *p)
{
    char clause[SCRIPTED_WHY_BYTES];
    int taken = scripted_line(&p->s->providers, &p->w, clause);

    if (taken < 0)
        return bad(p, clause);
    if (taken == 0)
        taken = take_timed(p);
    if (taken)
        return taken < 0 ? taken : 0;
    if (scripted_take(&p->w, "caller"))
        return take_caller(p);
    if (scripted_take(&p->w, "expect"))
        return take_expect(p);
    if (scripted_take(&p->w, "agent"))
        return take_agent_name(p);
    if (scripted_take(&p->w, "greeting") && scripted_take_text(&p->w, &p->s->greeting)) {
        p->s->has_greeting = true;
        return scripted_end(&p->w) ? keep(p, &p->s->greeting) : bad(p, "greeting \"TEXT\"");
    }
    return bad(p, "it begins with none of agent, caller, call, expect, greeting, stt, llm, tts");
}

int script_parse(struct script *s, struct slice text, char why[SCRIPT_WHY_BYTES])
{
    struct parse p = {.s = s, .why = why};
    char clause[SCRIPTED_WHY_BYTES];

    memset(s, 0, sizeof(*s));
    scripted_init(&s->providers);
    snprintf(s->agent, sizeof(s->agent), "scripted");
    if (text.len > SCRIPT_FILE_BYTES)
        return bad(&p, "the file is longer than 64 KB");
    for (p.line = 1; text.len; p.line++) {
        if (scripted_split(slice_cut(text, '\n', &text), &p.w, clause) < 0)
            return bad(&p, clause);
        if (p.w.count && take_line(&p) < 0)
            return -EINVAL;
    }
    return p.connected ? 0 : bad(&p, "the caller never connects");
}
