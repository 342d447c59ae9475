/* A dialogue without a network: rules in the place of a language model. Each turn is understood by
 * the rule file, changes a copy of the dialogue's state and is answered from it; the copy takes the
 * place of the state when the answer is spoken (INPUT_COMMIT) and is forgotten when it is not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "provider/provider.h"
#include "provider/rules.h"

#define SAID_BYTES 512

struct dialogue {
    int task;  /* intent whose slots are being filled, -1: none */
    int asked; /* slot asked for, -1: none */
    int tool;  /* intent whose tool was called, -1: none */
    bool confirming;
    uint8_t misses; /* unclear or silent turns in a row */
    uint32_t tool_id;
    char values[RULES_SLOTS_MAX][RULES_VALUE_BYTES];
    char said[SAID_BYTES]; /* the last answer, to repeat */
};

struct llm_state {
    struct dialogue kept, proposed;
    bool started, open; /* a proposal waits */
    uint32_t epoch;
    uint32_t tools; /* tool calls so far: their numbers */
};

struct answer {
    const struct rules *r;
    struct llm_state *s;
    struct dialogue *d;
    struct intents *out;
    uint32_t epoch;
    struct builder text;
    bool hang_up, quiet; /* quiet: a tool speaks later */
    char store[1024];
};

static void dialogue_reset(struct dialogue *d)
{
    d->task = d->asked = -1;
    d->confirming = false;
    memset(d->values, 0, sizeof(d->values));
}

static void space(struct answer *a)
{
    if (a->text.len)
        builder_str(&a->text, " ");
}

/* A text of the rule file, with {slot} replaced by the slot's value as it is spoken; {slot?text}
 * would need nesting and is not offered: an empty value leaves nothing. */
static void say(struct answer *a, struct slice text)
{
    space(a);
    while (text.len) {
        struct slice rest, name;
        struct slice plain = slice_cut(text, '{', &rest);
        builder_slice_add(&a->text, plain);
        if (plain.len == text.len)
            return;
        name = slice_cut(rest, '}', &text);
        int slot = rules_slot(a->r, name);
        if (slot >= 0 && a->d->values[slot][0])
            rules_spoken(a->r, slot, a->d->values[slot], &a->text);
    }
}

static void understood_send(struct answer *a, const char *intent, const struct understood *u,
                            unsigned reports)
{
    char json[512];
    struct builder b = builder_of(json, sizeof(json));
    const char *comma = "";
    builder_printf(&b, "{\"intent\":\"%s\",\"slots\":{", intent);
    for (int i = 0; u && i < a->r->slot_count; i++) {
        if (!(reports & (1u << i)) || !u->values[i][0])
            continue;
        builder_printf(&b, "%s\"%.*s\":\"%s\"", comma, SLICE_ARG(a->r->slots[i].name),
                       u->values[i]);
        comma = ",";
    }
    builder_str(&b, "}}");
    intents_event(a->out, EVENT_UNDERSTOOD, a->epoch, builder_slice(&b));
}

/* What the caller is asked for when this answer has been spoken. */
static void expects_send(const struct answer *a)
{
    const struct dialogue *d = a->d;
    struct slice name = d->confirming   ? SLICE("confirm")
                        : d->asked >= 0 ? a->r->slots[d->asked].name
                                        : SLICE_NONE;
    intents_event(a->out, EVENT_EXPECTS, a->epoch, name);
}

static void tool_call(struct answer *a, int intent)
{
    char json[512];
    struct builder b = builder_of(json, sizeof(json));
    const struct rules_intent *i = &a->r->intents[intent];
    const char *comma = "";
    builder_printf(&b, "{\"name\":\"%.*s\",\"arguments\":{", SLICE_ARG(i->tool));
    for (int slot = 0; slot < a->r->slot_count; slot++) {
        if (!(i->reports & (1u << slot)) || !a->d->values[slot][0])
            continue;
        builder_printf(&b, "%s\"%.*s\":\"%s\"", comma, SLICE_ARG(a->r->slots[slot].name),
                       a->d->values[slot]);
        comma = ",";
    }
    builder_str(&b, "}}");
    struct provider_intent *event = intents_event(a->out, EVENT_TOOL, a->epoch, builder_slice(&b));
    event->tool_id = a->d->tool_id = ++a->s->tools;
    a->d->tool = intent;
    a->d->asked = -1;
    a->d->confirming = false;
    a->quiet = true;
}

/* The next step of the task: a slot that is missing, else the question whether all is right. */
static void task_go_on(struct answer *a)
{
    struct dialogue *d = a->d;
    const struct rules_intent *task = &a->r->intents[d->task];
    d->confirming = false;
    d->asked = -1;
    for (int i = 0; i < a->r->slot_count; i++)
        if ((task->needs & (1u << i)) && !d->values[i][0]) {
            d->asked = i;
            say(a, task->ask[i]);
            return;
        }
    d->confirming = true;
    say(a, task->confirm);
}

static void slots_take(struct answer *a, const struct understood *u)
{
    for (int i = 0; i < a->r->slot_count; i++)
        if (u->values[i][0])
            memcpy(a->d->values[i], u->values[i], RULES_VALUE_BYTES);
}

/* What an intent without slots answers; then the open question again, so that it is not lost. */
static void plain_answer(struct answer *a, int intent)
{
    const struct rules_intent *i = &a->r->intents[intent];
    if (i->tool.len) {
        tool_call(a, intent);
        return;
    }
    say(a, i->say);
    a->hang_up = i->hang_up;
    if (!a->hang_up && a->d->task >= 0)
        task_go_on(a);
    else if (!a->hang_up)
        say(a, a->r->more);
}

static void menu_say(struct answer *a)
{
    const char *lead = "Press ";
    space(a);
    for (char key = '0'; key <= '9'; key++)
        for (int i = 0; i < a->r->intent_count; i++)
            if (a->r->intents[i].key == key) {
                builder_printf(&a->text, "%s%c for %.*s", lead, key,
                               SLICE_ARG(a->r->intents[i].menu));
                lead = ", ";
            }
    builder_str(&a->text, ".");
}

/* The keys that answer the question being asked, when it has any. */
static bool keys_offer(struct answer *a)
{
    const char *lead = "Press ";
    if (a->d->confirming) {
        say(a, SLICE("Press 1 for yes, 2 for no."));
        return true;
    }
    if (a->d->asked < 0)
        return false;
    if (a->r->slots[a->d->asked].clock) {
        say(a, SLICE("You can also type the time with four digits, for example 0 9 3 0."));
        return true;
    }
    space(a);
    for (int i = 0; i < a->r->value_count; i++) {
        const struct rules_value *value = &a->r->values[i];
        if (value->slot != a->d->asked || !value->key)
            continue;
        builder_printf(&a->text, "%s%c for %.*s", lead, value->key, SLICE_ARG(value->spoken));
        lead = ", ";
    }
    if (*lead == ',')
        builder_str(&a->text, ".");
    return *lead == ',';
}

static void unclear_answer(struct answer *a, struct slice lead)
{
    a->d->misses++;
    if (a->d->misses > 3) {
        say(a, a->r->bye);
        a->hang_up = true;
        return;
    }
    say(a, lead);
    if (a->d->task < 0) {
        menu_say(a);
        return;
    }
    task_go_on(a);
    keys_offer(a);
}

static bool is_named(const struct answer *a, int intent, struct slice name)
{
    return intent >= 0 && slice_equal(a->r->intents[intent].name, name);
}

static void repeat_answer(struct answer *a, const struct provider_turn *turn)
{
    struct slice last = slice_str(a->d->said);
    for (size_t i = turn->history_count; !last.len && i > 0; i--)
        if (turn->history[i - 1].agent)
            last = turn->history[i - 1].text;
    if (last.len)
        builder_slice_add(&a->text, slice_of(last.at, last.len < 900 ? last.len : 900));
    else
        say(a, a->r->more);
}

static void decline(struct answer *a)
{
    dialogue_reset(a->d);
    say(a, a->r->declined);
}

static void task_answer(struct answer *a, int intent, const struct understood *u)
{
    if (a->d->task != intent)
        dialogue_reset(a->d);
    a->d->task = intent;
    slots_take(a, u);
    task_go_on(a);
}

/* What an understood intent does to the dialogue, and its answer. */
static void intent_answer(struct answer *a, int intent, const struct understood *u,
                          const struct provider_turn *turn)
{
    struct dialogue *d = a->d;
    d->misses = 0;
    if (is_named(a, intent, SLICE("repeat"))) {
        repeat_answer(a, turn);
    } else if (is_named(a, intent, SLICE("inform"))) {
        if (d->task < 0) {
            unclear_answer(a, a->r->unclear);
            return;
        }
        slots_take(a, u);
        task_go_on(a);
    } else if (d->confirming && is_named(a, intent, SLICE("yes"))) {
        tool_call(a, d->task);
    } else if (d->task >= 0 && is_named(a, intent, SLICE("no"))) {
        decline(a);
    } else if (a->r->intents[intent].reports) {
        task_answer(a, intent, u);
    } else {
        plain_answer(a, intent);
    }
}

static void heard_answer(struct answer *a, const struct provider_turn *turn)
{
    struct understood u;
    rules_understand(a->r, turn->text, a->d->asked, &u);
    if (u.intent < 0) {
        understood_send(a, "unclear", NULL, 0);
        unclear_answer(a, a->r->unclear);
        return;
    }
    char name[RULES_VALUE_BYTES];
    bool inform = is_named(a, u.intent, SLICE("inform"));
    slice_cstr(a->r->intents[u.intent].name, name, sizeof(name));
    understood_send(a, name, &u, inform ? 0xffu : a->r->intents[u.intent].reports);
    intent_answer(a, u.intent, &u, turn);
}

/* ---- keys ---- */

/* HHMM, HMM or an hour; false if it is no time. */
static bool keys_clock(struct slice keys, char *value)
{
    uint64_t number;
    if (keys.len && (keys.at[keys.len - 1] == '#'))
        keys.len--;
    if (keys.len > 4 || slice_u64(keys, 2359, &number))
        return false;
    if (keys.len <= 2)
        number *= 100;
    if (number % 100 > 59 || number / 100 > 23)
        return false;
    snprintf(value, RULES_VALUE_BYTES, "%02u:%02u", (unsigned)(number / 100) % 24u,
             (unsigned)(number % 100));
    return true;
}

/* A key that answers the slot being asked for. */
static bool keys_slot(const struct answer *a, struct slice keys, struct understood *u)
{
    int slot = a->d->asked;
    if (slot < 0)
        return false;
    if (a->r->slots[slot].clock)
        return keys_clock(keys, u->values[slot]);
    for (int i = 0; i < a->r->value_count; i++)
        if (a->r->values[i].slot == slot && a->r->values[i].key == (char)keys.at[0])
            return slice_cstr(a->r->values[i].name, u->values[slot], RULES_VALUE_BYTES) == 0;
    return false;
}

static int keys_intent(const struct answer *a, struct slice keys, struct understood *u)
{
    if (a->d->confirming && keys.at[0] == '1')
        return rules_intent(a->r, SLICE("yes"));
    if (a->d->confirming && keys.at[0] == '2')
        return rules_intent(a->r, SLICE("no"));
    if (keys_slot(a, keys, u))
        return rules_intent(a->r, SLICE("inform"));
    for (int i = 0; i < a->r->intent_count; i++)
        if (a->r->intents[i].key && a->r->intents[i].key == (char)keys.at[0])
            return i;
    return -1;
}

static void keys_answer(struct answer *a, const struct provider_turn *turn)
{
    struct understood u = {0};
    char name[RULES_VALUE_BYTES];
    struct slice keys = slice_trim(turn->text);
    int intent = keys.len ? keys_intent(a, keys, &u) : -1;
    if (intent < 0) {
        understood_send(a, "unclear", NULL, 0);
        unclear_answer(a, a->r->unclear);
        return;
    }
    slice_cstr(a->r->intents[intent].name, name, sizeof(name));
    understood_send(a, name, &u, 0xff);
    intent_answer(a, intent, &u, turn);
}

/* ---- tools ---- */

/* Is there "ok": true in this JSON? Spaces may stand anywhere; nothing else counts as success. */
static bool result_ok(struct slice json)
{
    struct slice key = SLICE("\"ok\"");
    for (size_t i = 0; i + key.len <= json.len; i++) {
        if (memcmp(json.at + i, key.at, key.len) != 0)
            continue;
        struct slice rest = slice_trim(slice_of(json.at + i + key.len, json.len - i - key.len));
        if (rest.len && rest.at[0] == ':')
            return slice_starts(slice_trim(slice_of(rest.at + 1, rest.len - 1)), SLICE("true"));
    }
    return false;
}

static void tool_answer(struct answer *a, const struct provider_turn *turn)
{
    struct dialogue *d = a->d;
    if (d->tool < 0 || turn->tool_id != d->tool_id) {
        a->quiet = true; /* an old call's result: nothing waits for it */
        return;
    }
    const struct rules_intent *intent = &a->r->intents[d->tool];
    say(a, result_ok(turn->text) ? intent->done : intent->failed);
    bool own = d->tool == d->task;
    d->tool = -1;
    if (own || d->task < 0) {
        dialogue_reset(d);
        say(a, a->r->more);
    } else {
        task_go_on(a);
    }
}

/* ---- step ---- */

static void answer_send(struct answer *a)
{
    struct slice text = builder_slice(&a->text);
    expects_send(a);
    if (text.len && !a->quiet) {
        slice_cstr(slice_of(text.at, text.len < SAID_BYTES ? text.len : SAID_BYTES - 1), a->d->said,
                   SAID_BYTES);
        intents_event(a->out, EVENT_TEXT, a->epoch, text);
    }
    if (a->hang_up)
        intents_add(a->out, INTENT_EVENT)->event = EVENT_HANG_UP;
    if (a->hang_up)
        a->out->list[a->out->count - 1].epoch = a->epoch;
    intents_event(a->out, EVENT_DONE, a->epoch, SLICE_NONE);
}

static void turn_take(struct llm_state *s, const struct provider_input *in, struct intents *out)
{
    const struct provider_turn *turn = in->turn;
    /* A tool ran, so the turn that called it stands, whether or not it had words to speak. */
    if (turn->kind == TURN_TOOL && s->open && s->proposed.tool >= 0)
        s->kept = s->proposed;
    s->proposed = s->kept;
    s->open = true;
    s->epoch = in->epoch;
    struct answer a = {
        .r = in->config->loaded, .s = s, .d = &s->proposed, .out = out, .epoch = in->epoch};
    a.text = builder_of(a.store, sizeof(a.store));
    switch (turn->kind) {
    case TURN_HEARD:
        heard_answer(&a, turn);
        break;
    case TURN_KEYS:
        keys_answer(&a, turn);
        break;
    case TURN_SILENCE:
        understood_send(&a, "silence", NULL, 0);
        unclear_answer(&a, a.r->silence);
        break;
    case TURN_UNCLEAR:
        understood_send(&a, "unclear", NULL, 0);
        unclear_answer(&a, a.r->unclear);
        break;
    case TURN_TOOL:
        tool_answer(&a, turn);
        break;
    }
    answer_send(&a);
}

static void state_start(struct llm_state *s)
{
    if (s->started)
        return;
    s->started = true;
    s->kept.tool = -1;
    dialogue_reset(&s->kept);
}

static void llm_step(void *state, const struct provider_input *in, int64_t now_ns,
                     struct intents *out)
{
    struct llm_state *s = state;
    (void)now_ns;
    state_start(s);
    switch (in->kind) {
    case INPUT_TURN:
        turn_take(s, in, out);
        return;
    case INPUT_COMMIT:
        if (s->open && s->epoch == in->epoch)
            s->kept = s->proposed;
        s->open = s->open && s->epoch != in->epoch;
        return;
    case INPUT_CANCEL:
        s->open = s->open && s->epoch != in->epoch;
        return;
    case INPUT_START:
    case INPUT_AUDIO:
    case INPUT_SPEECH:
    case INPUT_FINISH:
    case INPUT_TEXT:
    case INPUT_STOP:
    case INPUT_OPENED:
    case INPUT_BYTES:
    case INPUT_STATUS:
    case INPUT_CHUNK:
    case INPUT_END:
    case INPUT_CLOSED:
    case INPUT_JOB:
    case INPUT_TIMER:
        return;
    }
}

static char *file_load(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(RULES_BYTES_MAX + 1) : NULL;
    if (text)
        *len = fread(text, 1, RULES_BYTES_MAX + 1, file);
    if (file)
        fclose(file);
    return text;
}

static int llm_load(const struct provider_config *config, const void **loaded, char *why,
                    size_t why_bytes)
{
    const char *name = provider_setting(config, "rules", NULL);
    char path[1024];
    size_t len = 0;
    if (!name) {
        snprintf(why, why_bytes, "llm.rules: the rules provider needs a rule file");
        return -EINVAL;
    }
    snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : config->folder,
             name[0] == '/' ? "" : "/", name);
    char *text = file_load(path, &len);
    if (!text) {
        snprintf(why, why_bytes, "%s: cannot be read (%s)", path, strerror(errno));
        return -ENOENT;
    }
    struct rules *rules = NULL;
    int err = rules_parse(slice_of(text, len), path, &rules, why, why_bytes);
    free(text);
    *loaded = rules;
    return err;
}

static void llm_unload(const void *loaded)
{
    struct rules *rules = (struct rules *)(uintptr_t)loaded;
    rules_free(&rules);
}

const struct provider_ops llm_rules_ops = {
    .name = "rules",
    .kind = PROVIDER_LLM,
    .summary = "a dialogue by rules on this machine: intents, slots, confirmation, keys",
    .settings = "rules",
    .state_bytes = sizeof(struct llm_state),
    .load = llm_load,
    .unload = llm_unload,
    .step = llm_step,
};
