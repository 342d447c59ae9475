#include "provider/answer.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "provider/answer_inner.h"

#define DRAIN_NS SECONDS(2) /* for the end of a response after its last word */
#define NOTE                                                                                       \
    "You are on the telephone. A line in square brackets tells you what happened on the line; "    \
    "the caller did not say it."

/* ---- text ---- */

static void piece_flush(struct answer *a, struct intents *out)
{
    if (a->piece_len)
        intents_event(out, EVENT_TEXT, a->epoch, slice_of(a->piece, a->piece_len));
    a->piece_len = 0;
}

/* As much of `text` as fits into `room`, cut at a character. */
static size_t fitting(struct slice text, size_t room)
{
    size_t n = text.len < room ? text.len : room;

    while (n && n < text.len && (text.at[n] & 0xC0) == 0x80)
        n--;
    return n;
}

void answer_text(struct answer *a, struct slice text, struct intents *out)
{
    if (text.len == 0 || a->phase != ANSWER_STREAMING)
        return;
    a->spoke = true;
    size_t kept = fitting(text, sizeof(a->said) - a->said_len);
    memcpy(a->said + a->said_len, text.at, kept);
    a->said_len += (uint32_t)kept;
    while (text.len) {
        size_t n = fitting(text, sizeof(a->piece) - a->piece_len);
        memcpy(a->piece + a->piece_len, text.at, n);
        a->piece_len += (uint32_t)n;
        text = slice_of(text.at + n, text.len - n);
        if (text.len)
            piece_flush(a, out);
    }
}

/* ---- what tools said before ---- */

static void past_add(struct answer *a, struct slice name, struct slice arguments,
                     struct slice result)
{
    uint8_t store[ANSWER_PAST_BYTES / 2];
    struct builder b = builder_of(store, sizeof(store) - 1);

    builder_str(&b, "- ");
    builder_slice_add(&b, name);
    if (arguments.len)
        builder_u8(&b, ' ');
    builder_slice_add(&b, slice_of(arguments.at, fitting(arguments, 600)));
    builder_str(&b, " gave ");
    builder_slice_add(&b, slice_of(result.at, fitting(result, 1200)));
    struct slice line = builder_slice(&b);
    answer_plain(store, line.len);
    store[line.len++] = '\n';
    while (a->past_len + line.len > sizeof(a->past)) {
        struct slice rest;
        slice_cut(slice_of(a->past, a->past_len), '\n', &rest);
        uint32_t gone = a->past_len - (uint32_t)rest.len;
        memmove(a->past, a->past + gone, rest.len);
        a->past_len = (uint32_t)rest.len;
        a->past_before = a->past_before > gone ? a->past_before - gone : 0;
    }
    memcpy(a->past + a->past_len, line.at, line.len);
    a->past_len += (uint32_t)line.len;
}

/* ---- tool calls ---- */

struct answer_call *answer_call_of(struct answer *a, int64_t key)
{
    for (uint32_t i = 0; i < a->call_count; i++)
        if (a->calls[i].key == key)
            return &a->calls[i];
    if (a->call_count == ANSWER_CALLS_MAX)
        return NULL;
    struct answer_call *call = &a->calls[a->call_count++];
    *call = (struct answer_call){.key = key, .tool_id = ++a->tool_ids};
    snprintf(call->id, sizeof(call->id), "call_%u", call->tool_id);
    return call;
}

bool answer_arguments(struct answer *a, struct answer_call *call, struct slice more)
{
    uint32_t end = call->arguments_at + call->arguments_len;

    if (more.len == 0)
        return true;
    if (more.len > sizeof(a->arguments) - a->arguments_len)
        return false;
    if (call->arguments_len == 0) {
        call->arguments_at = end = a->arguments_len;
    } else if (end != a->arguments_len) { /* another call's lie behind: move this one to the end */
        if (call->arguments_len + more.len > sizeof(a->arguments) - a->arguments_len)
            return false;
        memcpy(a->arguments + a->arguments_len, a->arguments + call->arguments_at,
               call->arguments_len);
        call->arguments_at = a->arguments_len;
        end = a->arguments_len + call->arguments_len;
    }
    memcpy(a->arguments + end, more.at, more.len);
    call->arguments_len += (uint32_t)more.len;
    a->arguments_len = end + (uint32_t)more.len;
    return true;
}

struct slice answer_arguments_of(const struct answer *a, const struct answer_call *call)
{
    struct slice text = slice_of(a->arguments + call->arguments_at, call->arguments_len);

    text = slice_trim(text);
    return text.len ? text : SLICE("{}");
}

struct slice answer_result_of(const struct answer_call *call)
{
    return slice_of(call->result, call->result_len);
}

static bool is_object(struct slice text)
{
    struct json_doc doc;

    if (json_read(&doc, text, text.len, NULL))
        return false;
    bool object = json_kind_of(&doc, "") == JSON_KIND_OBJECT;
    json_free(&doc);
    return object;
}

static void set_result(struct answer_call *call, struct slice result)
{
    call->result_len = (uint32_t)fitting(result, sizeof(call->result));
    if (call->result_len)
        memcpy(call->result, result.at, call->result_len);
    answer_plain(call->result, call->result_len);
    call->answered = true;
}

static void send_call(struct answer *a, const struct answer_call *call, struct intents *out)
{
    uint8_t store[ANSWER_ARGUMENTS_BYTES + 256];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "name", call->name);
    jsonw_key(&w, "arguments");
    jsonw_raw(&w, answer_arguments_of(a, call));
    jsonw_end(&w);
    intents_event(out, EVENT_TOOL, a->epoch, builder_slice(&b))->tool_id = call->tool_id;
}

/* The built-in tool is answered here; true if any other was called. */
static bool calls_go_out(struct answer *a, struct intents *out)
{
    bool any = false;

    for (uint32_t i = 0; i < a->call_count; i++) {
        struct answer_call *call = &a->calls[i];
        if (strcmp(call->name, ANSWER_END_CALL) == 0) {
            a->hang_up = true;
            set_result(call, SLICE("{\"ok\":true}"));
        } else {
            send_call(a, call, out);
            any = true;
        }
    }
    return any;
}

static bool calls_are_sound(const struct answer *a)
{
    for (uint32_t i = 0; i < a->call_count; i++)
        if (!a->calls[i].name[0] || !is_object(answer_arguments_of(a, &a->calls[i])))
            return false;
    return true;
}

/* ---- the end of a turn ---- */

static void go_idle(struct answer *a, enum answer_phase phase)
{
    a->phase = phase;
    a->due_ns = NEVER_NS;
}

void answer_give_up(struct answer *a, int32_t status, bool fatal, const char *what,
                    struct intents *out)
{
    struct provider_intent *event;

    if (a->phase != ANSWER_ASKED && a->phase != ANSWER_STREAMING)
        return;
    piece_flush(a, out);
    if (a->open)
        intents_add(out, INTENT_CLOSE);
    a->open = false;
    event = intents_event(out, EVENT_FAILED, a->epoch, slice_str(what));
    event->status = status;
    event->flag = fatal ? EVENT_FATAL : 0;
    go_idle(a, ANSWER_IDLE);
}

void answer_finish(struct answer *a, struct intents *out)
{
    if (a->phase != ANSWER_STREAMING)
        return;
    if (!calls_are_sound(a)) {
        answer_give_up(a, EPROTO, false, "the model called a tool with arguments that are no JSON",
                       out);
        return;
    }
    piece_flush(a, out);
    bool awaits = calls_go_out(a, out);
    if (!awaits && !a->spoke && !a->hang_up) {
        answer_give_up(a, ENODATA, false, "the model said nothing", out);
        return;
    }
    if (a->hang_up && !awaits)
        intents_event(out, EVENT_HANG_UP, a->epoch, SLICE_NONE);
    intents_event(out, EVENT_DONE, a->epoch, SLICE_NONE);
    go_idle(a, awaits ? ANSWER_AWAITING : ANSWER_IDLE);
}

/* A code or type is a word for a program: taken only if it looks like one. */
static bool is_word(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '.' && c != '-')
            return false;
    }
    return text.len > 0 && text.len <= 40;
}

static struct slice error_word(const struct json_doc *doc)
{
    static const char *const paths[] = {"error.code", "error.type", "type"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (is_word(json_slice_of(doc, paths[i])))
            return json_slice_of(doc, paths[i]);
    return SLICE_NONE;
}

/* The vendor's own message is not repeated: it may quote the key, or what the caller said. */
static void fail_with(struct answer *a, int32_t status, const struct json_doc *doc,
                      struct intents *out)
{
    struct slice word = error_word(doc);
    bool empty = slice_equal(word, SLICE("insufficient_quota"));
    char what[128];

    snprintf(what, sizeof(what), "%s%s%.*s%s", cloud_says(status), word.len ? " (" : "",
             SLICE_ARG(word), word.len ? ")" : "");
    answer_give_up(a, status, cloud_is_fatal(status) || empty, what, out);
}

void answer_stream_error(struct answer *a, const struct json_doc *doc, struct intents *out)
{
    int64_t status;

    if (json_int_of(doc, "error.code", 400, 599, &status))
        status = 500;
    fail_with(a, (int32_t)status, doc, out);
}

static void fail_by_status(struct answer *a, struct intents *out)
{
    struct json_doc doc = {0};

    if (json_read(&doc, slice_of(a->error, a->error_len), sizeof(a->error), NULL))
        doc = (struct json_doc){0};
    fail_with(a, a->status, &doc, out);
    json_free(&doc);
}

/* ---- the request ---- */

static void ask(struct answer *a, const struct answer_dialect *dialect,
                const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    const struct answer_loaded *l = in->config->loaded;
    struct provider_intent *request;

    if (a->open)
        intents_add(out, INTENT_CLOSE);
    a->open = false;
    a->phase = ANSWER_ASKED;
    a->status = 0;
    a->spoke = false;
    a->said_len = a->piece_len = a->error_len = a->call_count = a->arguments_len = 0;
    struct slice body = answer_request(a, dialect, in, out);
    if (body.len == 0) {
        answer_give_up(a, EMSGSIZE, true, "the conversation is larger than a request may be", out);
        return;
    }
    request = intents_add(out, INTENT_REQUEST);
    request->data = slice_str(l->url);
    request->head = slice_str(l->head);
    request->body = body;
    a->open = true;
    a->due_ns = now_ns + l->first_ns;
    sse_init(&a->sse, a->event, sizeof(a->event));
}

/* ---- turns ---- */

/* Results of these will come when nobody waits for them: they are remembered all the same. */
static void calls_go_late(struct answer *a)
{
    for (uint32_t i = 0; i < a->call_count && a->phase == ANSWER_AWAITING; i++) {
        if (a->calls[i].answered)
            continue;
        struct answer_late *late = &a->late[a->late_next++ % ANSWER_CALLS_MAX];
        late->tool_id = a->calls[i].tool_id;
        memcpy(late->name, a->calls[i].name, sizeof(late->name));
    }
    a->call_count = 0;
}

static void leave(struct answer *a, struct intents *out)
{
    calls_go_late(a);
    if (a->open)
        intents_add(out, INTENT_CLOSE);
    a->open = false;
    a->epoch = 0;
    a->piece_len = 0;
    go_idle(a, ANSWER_IDLE);
}

static void late_result(struct answer *a, const struct provider_turn *turn)
{
    for (size_t i = 0; i < ANSWER_CALLS_MAX; i++) {
        struct answer_late *late = &a->late[i];
        if (!late->tool_id || late->tool_id != turn->tool_id)
            continue;
        past_add(a, slice_str(late->name), SLICE_NONE, turn->text);
        late->tool_id = 0;
    }
}

static bool take_result(struct answer *a, const struct provider_turn *turn)
{
    for (uint32_t i = 0; i < a->call_count; i++) {
        struct answer_call *call = &a->calls[i];
        if (call->tool_id != turn->tool_id || call->answered)
            continue;
        set_result(call, turn->text);
        past_add(a, slice_str(call->name), answer_arguments_of(a, call), turn->text);
        return true;
    }
    return false;
}

static bool all_answered(const struct answer *a)
{
    for (uint32_t i = 0; i < a->call_count; i++)
        if (!a->calls[i].answered)
            return false;
    return true;
}

/* A round is over: what was said and called, and what that gave, goes into the next request. */
static void close_round(struct answer *a, const struct answer_dialect *dialect,
                        const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    struct builder b = builder_of(a->exchange, sizeof(a->exchange));

    b.len = a->exchange_len;
    dialect->exchange(a, &b);
    if (b.bad || ++a->rounds > ANSWER_ROUNDS_MAX) {
        a->phase = ANSWER_ASKED;
        answer_give_up(a, E2BIG, false, "the model calls tools without an end", out);
        return;
    }
    a->exchange_len = (uint32_t)b.len;
    ask(a, dialect, in, now_ns, out);
}

static void take_tool(struct answer *a, const struct answer_dialect *dialect,
                      const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    bool live = a->phase == ANSWER_AWAITING && in->epoch == a->epoch;

    if (live && take_result(a, in->turn) && all_answered(a)) {
        close_round(a, dialect, in, now_ns, out);
        return;
    }
    if (!live)
        late_result(a, in->turn);
    intents_event(out, EVENT_DONE, in->epoch, SLICE_NONE); /* nothing to say to this one alone */
}

static void take_turn(struct answer *a, const struct answer_dialect *dialect,
                      const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    if (in->turn->kind == TURN_TOOL) {
        take_tool(a, dialect, in, now_ns, out);
        return;
    }
    leave(a, out);
    a->epoch = in->epoch;
    a->kind = in->turn->kind;
    a->hang_up = a->committed = false;
    a->rounds = 0;
    a->exchange_len = 0;
    a->past_before = a->past_len;
    a->heard_len = (uint32_t)fitting(in->turn->text, sizeof(a->heard));
    if (a->heard_len)
        memcpy(a->heard, in->turn->text.at, a->heard_len);
    ask(a, dialect, in, now_ns, out);
}

/* ---- the response ---- */

static bool listens(const struct answer *a)
{
    return a->phase == ANSWER_ASKED || a->phase == ANSWER_STREAMING;
}

static void take_event(struct answer *a, const struct answer_dialect *dialect,
                       const struct sse_event *ev, struct intents *out)
{
    if (!listens(a))
        return;
    a->phase = ANSWER_STREAMING;
    dialect->event(a, ev, out);
}

static void take_chunk(struct answer *a, const struct answer_dialect *dialect,
                       const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    const struct answer_loaded *l = in->config->loaded;
    struct slice rest = in->data;
    struct sse_event ev;
    enum sse_kind kind;

    if (!listens(a))
        return;
    if (a->status >= 300) {
        size_t n = fitting(rest, sizeof(a->error) - a->error_len);
        if (n)
            memcpy(a->error + a->error_len, rest.at, n);
        a->error_len += (uint32_t)n;
        return;
    }
    while ((kind = sse_next(&a->sse, &rest, &ev)) == SSE_EVENT)
        take_event(a, dialect, &ev, out);
    if (kind == SSE_TOO_LONG)
        answer_give_up(a, EMSGSIZE, false, "an event of the stream is too long", out);
    piece_flush(a, out);
    if (listens(a) && a->phase == ANSWER_STREAMING)
        a->due_ns = now_ns + l->idle_ns;
}

static void take_end(struct answer *a, const struct answer_dialect *dialect,
                     const struct provider_input *in, struct intents *out)
{
    struct sse_event ev;

    a->open = false;
    if (!listens(a)) {
        if (a->phase == ANSWER_IDLE)
            a->due_ns = NEVER_NS;
        return;
    }
    if (a->status >= 300) {
        fail_by_status(a, out);
        return;
    }
    if (in->kind == INPUT_END && sse_end(&a->sse, &ev) == SSE_EVENT)
        take_event(a, dialect, &ev, out);
    int32_t status = in->kind == INPUT_CLOSED ? in->status : 0;
    answer_give_up(a, status ? status : EPIPE, cloud_is_fatal(status),
                   a->phase == ANSWER_ASKED ? cloud_says(status) : "the answer broke off", out);
}

static void take_timer(struct answer *a, int64_t now_ns, struct intents *out)
{
    if (a->due_ns > now_ns)
        return;
    if (listens(a)) {
        answer_give_up(a, ETIMEDOUT, false,
                       a->phase == ANSWER_ASKED ? "the model did not begin to answer in time"
                                                : "the model stopped in the middle of its answer",
                       out);
        return;
    }
    if (a->open)
        intents_add(out, INTENT_CLOSE);
    a->open = false;
    a->due_ns = NEVER_NS;
}

/* ---- the step ---- */

void answer_step(struct answer *a, const struct answer_dialect *dialect,
                 const struct provider_input *in, int64_t now_ns, struct intents *out)
{
    switch (in->kind) {
    case INPUT_START:
        a->due_ns = NEVER_NS;
        return;
    case INPUT_TURN:
        take_turn(a, dialect, in, now_ns, out);
        return;
    case INPUT_COMMIT:
        a->committed = a->committed || (in->epoch && in->epoch == a->epoch);
        return;
    case INPUT_CANCEL:
        if (in->epoch && in->epoch == a->epoch)
            leave(a, out);
        return;
    case INPUT_STATUS:
        if (listens(a))
            a->status = in->status;
        return;
    case INPUT_CHUNK:
        take_chunk(a, dialect, in, now_ns, out);
        break;
    case INPUT_END:
    case INPUT_CLOSED:
        take_end(a, dialect, in, out);
        return;
    case INPUT_TIMER:
        take_timer(a, now_ns, out);
        return;
    case INPUT_STOP:
        if (a->open)
            intents_add(out, INTENT_CLOSE);
        return;
    case INPUT_AUDIO:
    case INPUT_SPEECH:
    case INPUT_FINISH:
    case INPUT_TEXT:
    case INPUT_OPENED:
    case INPUT_BYTES:
    case INPUT_JOB:
        return;
    }
    if (a->open && !listens(a) && a->due_ns == NEVER_NS)
        a->due_ns = now_ns + DRAIN_NS; /* its last word is said, its end may still come */
}

int64_t answer_deadline(const void *answer)
{
    return ((const struct answer *)answer)->due_ns;
}

/* ---- loading ---- */

static bool name_is_sound(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return len > 0 && len <= 64 && name[len] == '\0' && strcmp(name, ANSWER_END_CALL) != 0;
}

void answer_load_tools(struct cloud *c, struct jsonw *w, answer_tool_writer *write)
{
    static const struct provider_tool end_call = {
        .name = ANSWER_END_CALL,
        .description = "Ends the telephone call once everything that you said has been heard. Say "
                       "goodbye first."};
    bool hangs_up = cloud_flag(c, "end_call", true);
    const struct provider_config *config = c->config;

    if (!hangs_up && config->tool_count == 0)
        return;
    jsonw_key(w, "tools");
    jsonw_begin_list(w);
    for (size_t i = 0; i < config->tool_count; i++) {
        const struct provider_tool *tool = &config->tools[i];
        if (!name_is_sound(tool->name))
            cloud_complain(c, "tools", "\"%.80s\" cannot be a tool's name", tool->name);
        else if (tool->parameters && !is_object(slice_str(tool->parameters)))
            cloud_complain(c, "tools", "the parameters of %s are no JSON object", tool->name);
        else
            write(w, tool);
    }
    if (hangs_up)
        write(w, &end_call);
    jsonw_end(w);
}

void answer_load_end(struct cloud *c, const struct answer_dialect *dialect, struct answer_loaded *l,
                     struct builder *begin)
{
    struct jsonw w;

    l->first_ns = MS(cloud_whole(c, "first_token_ms", 10000, 100, 120000));
    l->idle_ns = MS(cloud_whole(c, "idle_ms", 20000, 100, 120000));
    builder_str(begin, dialect->system_is_message
                           ? ",\"messages\":[{\"role\":\"system\",\"content\":"
                           : ",\"system\":");
    size_t at = begin->len;
    jsonw_init(&w, begin);
    jsonw_str(&w, slice_str(c->config->prompt));
    if (c->config->prompt[0] && !begin->bad) {
        begin->len--; /* its closing quote: the note follows */
        builder_str(begin, "\\n\\n" NOTE);
    } else {
        begin->len = at;
        builder_str(begin, "\"" NOTE);
    }
    if (begin->bad)
        cloud_complain(c, "provider", "prompt and tools are more than %d bytes of JSON",
                       ANSWER_SYSTEM_BYTES);
    l->begin_len = begin->len;
}
