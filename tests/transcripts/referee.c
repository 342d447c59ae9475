#include "referee.h"

#include "base/json.h"

static void blame(struct referee *r, const char *what)
{
    if (!r->wrong)
        r->wrong = what;
}

void referee_init(struct referee *r, enum provider_kind kind)
{
    memset(r, 0, sizeof(*r));
    r->kind = kind;
}

/* What is answered no more: of this epoch, or of all before it. */
static void forget(struct referee *r, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last && i < REFEREE_EPOCHS_MAX; i++) {
        r->epochs[i].cancelled = true;
        r->epochs[i].asked = r->epochs[i].ended;
    }
}

static void ask(struct referee *r, uint32_t epoch)
{
    if (epoch < REFEREE_EPOCHS_MAX)
        r->epochs[epoch].asked++;
}

static void command(struct referee *r, const struct provider_input *in)
{
    uint32_t epoch = in->epoch < REFEREE_EPOCHS_MAX ? in->epoch : 0;

    if (in->kind == INPUT_CANCEL) /* a reply is spoken in its turn: those before it go with it */
        forget(r, r->kind == PROVIDER_TTS ? 1 : epoch, epoch);
    if (in->kind == INPUT_STOP)
        r->stopped = true;
    if (in->kind == INPUT_TURN && r->kind == PROVIDER_LLM) {
        if (epoch && in->turn->kind != TURN_TOOL)
            forget(r, 1, epoch - 1); /* one answer at a time */
        ask(r, epoch);
    }
    if (in->kind == INPUT_FINISH && r->kind == PROVIDER_STT && !r->epochs[epoch].cancelled &&
        r->epochs[epoch].asked == 0)
        ask(r, epoch);
    if (in->kind == INPUT_TEXT && r->kind == PROVIDER_TTS && !r->epochs[epoch].cancelled)
        ask(r, epoch);
}

void referee_input(struct referee *r, const struct provider_input *in)
{
    if (in->kind == INPUT_OPENED)
        r->link = LINK_OPEN;
    if (in->kind == INPUT_CLOSED || in->kind == INPUT_END)
        r->link = LINK_NONE;
    command(r, in);
}

/* Printable ASCII in lines that end with CR LF, each with a name before its colon. */
static bool head_ok(struct slice head)
{
    while (head.len) {
        struct slice line = slice_cut(head, '\r', &head);
        if (line.len < 3 || !memchr(line.at, ':', line.len) || line.at[0] == ':')
            return false;
        for (size_t i = 0; i < line.len; i++)
            if (line.at[i] < 0x20 || line.at[i] > 0x7E)
                return false;
        if (head.len == 0 || head.at[0] != '\n')
            return false;
        head = slice_of(head.at + 1, head.len - 1);
    }
    return true;
}

static bool url_ok(struct slice url)
{
    for (size_t i = 0; i < url.len; i++)
        if (url.at[i] <= 0x20 || url.at[i] > 0x7E)
            return false;
    return url.len > 0;
}

static bool json_ok(struct slice text)
{
    struct json_doc doc;

    if (json_read(&doc, text, text.len, NULL))
        return false;
    json_free(&doc);
    return true;
}

static void watch_link(struct referee *r, const struct provider_intent *intent)
{
    bool opens = intent->kind == INTENT_CONNECT || intent->kind == INTENT_REQUEST;

    if (opens && r->link != LINK_NONE)
        blame(r, "it opened a second connection");
    if (opens && (!url_ok(intent->data) || !head_ok(intent->head)))
        blame(r, "a URL or header line holds what does not belong there");
    if (intent->kind == INTENT_REQUEST && intent->body.len && intent->body.at[0] == '{' &&
        !json_ok(intent->body))
        blame(r, "the body it sent is no JSON");
    if (intent->kind == INTENT_CONNECT)
        r->link = LINK_CONNECTING;
    if (intent->kind == INTENT_REQUEST)
        r->link = LINK_REQUEST;
    if (intent->kind == INTENT_SEND && r->link != LINK_OPEN)
        blame(r, "it sent without an open socket");
    if (intent->kind == INTENT_SEND && (intent->flag & 1) && !slice_is_utf8(intent->body))
        blame(r, "the text it sent is not UTF-8");
    if (intent->kind == INTENT_CLOSE)
        r->link = LINK_NONE;
}

static bool is_terminal(const struct referee *r, enum provider_event_kind event)
{
    return event == EVENT_FAILED || (r->kind == PROVIDER_STT && event == EVENT_FINAL) ||
           (r->kind == PROVIDER_LLM && event == EVENT_DONE) ||
           (r->kind == PROVIDER_TTS && event == EVENT_SPOKEN);
}

static void watch_event(struct referee *r, const struct provider_intent *intent)
{
    uint32_t epoch = intent->epoch < REFEREE_EPOCHS_MAX ? intent->epoch : 0;
    bool over = r->epochs[epoch].cancelled || r->epochs[epoch].failed;
    bool done = r->kind != PROVIDER_TTS && r->epochs[epoch].asked &&
                r->epochs[epoch].ended >= r->epochs[epoch].asked;

    if (intent->text.len && intent->event != EVENT_AUDIO && !slice_is_utf8(intent->text))
        blame(r, "the text of an event is not UTF-8");
    if (over && r->epochs[epoch].ended >= r->epochs[epoch].asked)
        blame(r, "an event of an epoch that is over");
    else if (done)
        blame(r, "an event after the terminal one");
    if (!is_terminal(r, intent->event))
        return;
    r->epochs[epoch].ended++;
    if (r->epochs[epoch].ended > r->epochs[epoch].asked && intent->event != EVENT_FAILED)
        blame(r, "a terminal event that nobody asked for");
    if (intent->event != EVENT_FAILED)
        return;
    r->epochs[epoch].failed = r->kind != PROVIDER_LLM;
    if (r->kind == PROVIDER_TTS)
        r->epochs[epoch].ended = r->epochs[epoch].asked;
}

void referee_intent(struct referee *r, const struct provider_intent *intent)
{
    if (r->stopped && intent->kind != INTENT_CLOSE)
        blame(r, "an intent after the stop");
    if (intent->kind == INTENT_EVENT)
        watch_event(r, intent);
    else
        watch_link(r, intent);
}

void referee_end(struct referee *r)
{
    for (uint32_t i = 1; i < REFEREE_EPOCHS_MAX; i++)
        if (r->epochs[i].ended < r->epochs[i].asked)
            blame(r, "no terminal event of an epoch");
}
