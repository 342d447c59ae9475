/* AssemblyAI's streaming recognition, version 3, `/v3/ws`: Begin, SpeechStarted, a Turn again and
 * again with all its words so far, its end, once more formatted where that was asked for;
 * ForceEndpoint, UpdateConfiguration, KeepAlive, Terminate with Termination. What the service does
 * not take is told by an Error message and the close code of the same number. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "tools/providers/listening.h"
#include "tools/providers/service.h"

#define TURN_BYTES      65536
#define TEXT_BYTES      4096 /* of a formatted turn; the rest is cut off */
#define WHY_BYTES       160
#define COMMAND_MAX     65536
#define LEAST_MS        50 /* of sound in one message */
#define MOST_MS         1000
#define SESSION_S       10800
#define SERVER_ERROR    3005
#define WRONG_INPUT     3006
#define WRONG_DURATION  3007
#define CLOSE_SAYS      "See Error message for details"
#define CONFIDENCE      0.98
#define CONFIDENT_OVER  0.9
#define CONFIDENT_GOING 0.1

struct assemblyai {
    struct listening l;
    bool formatted; /* a turn comes once more, with capitals and full stop */
    bool ending;    /* nothing more is taken */
    int64_t order;  /* of the turn that goes on, or comes next */
    int64_t began_ms;
    int64_t told_ms;   /* clock of the last partial */
    int64_t final_due; /* of the last turn that is queued */
    int64_t opened_ns;
};

/* What a Turn message tells. */
struct turn {
    struct slice text; /* of the words that are told */
    int64_t from_ms, to_ms;
    bool over, formatted;
};

/* ---- messages ---- */

static void message_begin(struct jsonw *w, struct builder *b, const char *type)
{
    jsonw_init(w, b);
    jsonw_begin(w);
    jsonw_put_cstr(w, "type", type);
}

static void message_send(struct peer *p, int64_t due_ns, struct jsonw *w, struct builder *b)
{
    jsonw_end(w);
    if (jsonw_finish(w) == 0)
        peer_text(p, due_ns, PEER_SHARED_TAG, builder_slice(b));
}

static void put_number(struct jsonw *w, const char *key, double value)
{
    jsonw_key(w, key);
    jsonw_double(w, value, 4);
}

/* The last word of a turn that goes on may still change. */
static void put_words(struct jsonw *w, const struct turn *t)
{
    int64_t count = (int64_t)token_count(t->text), i = 0, span = t->to_ms - t->from_ms;
    struct slice rest = t->text;

    jsonw_key(w, "words");
    jsonw_begin_list(w);
    for (struct slice word = token_next(&rest); word.len; word = token_next(&rest), i++) {
        jsonw_begin(w);
        jsonw_put_int(w, "start", t->from_ms + span * i / count);
        jsonw_put_int(w, "end", t->from_ms + span * (i + 1) / count);
        jsonw_put_str(w, "text", slice_trim(word));
        put_number(w, "confidence", CONFIDENCE);
        jsonw_put_bool(w, "word_is_final", t->over || i + 1 < count);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void turn_send(struct peer *p, int64_t due_ns, const struct turn *t)
{
    static uint8_t store[TURN_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    const struct assemblyai *a = p->context;
    size_t words = token_count(t->text);
    struct jsonw w;

    message_begin(&w, &b, "Turn");
    jsonw_put_int(&w, "turn_order", a->order);
    jsonw_put_bool(&w, "turn_is_formatted", t->formatted);
    jsonw_put_bool(&w, "end_of_turn", t->over);
    jsonw_put_str(&w, "transcript",
                  slice_trim(t->over || !words ? t->text : token_first(t->text, words - 1)));
    put_number(&w, "end_of_turn_confidence", t->over ? CONFIDENT_OVER : CONFIDENT_GOING);
    put_words(&w, t);
    jsonw_put_str(&w, "utterance", t->over ? slice_trim(t->text) : SLICE_NONE);
    message_send(p, due_ns, &w, &b);
}

/* As far as this service knows: a capital at the beginning and a full stop at the end. */
static void formatted_send(struct peer *p, int64_t due_ns, struct turn t)
{
    char text[TEXT_BYTES];
    struct slice said = slice_trim(t.text);

    if (said.len == 0 || said.len > sizeof(text) - 1)
        return;
    memcpy(text, said.at, said.len);
    text[0] = (char)toupper((unsigned char)text[0]);
    if (isalnum((unsigned char)text[said.len - 1]))
        text[said.len++] = '.';
    t.text = slice_of(text, said.len);
    t.formatted = true;
    turn_send(p, due_ns, &t);
}

/* The message says why, and the close code is the same. */
static void refuse(struct peer *p, int64_t code, const char *why)
{
    uint8_t store[512];
    struct builder b = builder_of(store, sizeof(store));
    struct assemblyai *a = p->context;
    struct jsonw w;

    if (a->ending)
        return;
    a->ending = true;
    message_begin(&w, &b, "Error");
    jsonw_put_int(&w, "error_code", code);
    jsonw_put_cstr(&w, "error", why);
    message_send(p, peer_now(p), &w, &b);
    peer_close_socket(p, peer_now(p), (uint16_t)code, CLOSE_SAYS);
}

/* ---- what is heard ---- */

static void on_begins(struct peer *p, struct assemblyai *a)
{
    uint8_t store[128];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    a->began_ms = a->told_ms = hearing_ms(&a->l.ear, a->l.ear.first);
    peer_note_text(p, "speech begins", a->l.text);
    message_begin(&w, &b, "SpeechStarted");
    jsonw_put_int(&w, "timestamp", a->began_ms);
    message_send(p, peer_now(p), &w, &b);
}

static void on_goes_on(struct peer *p, struct assemblyai *a)
{
    int64_t now_ms = listening_ms(&a->l);
    size_t said = listening_words(&a->l);

    if (said == 0 || now_ms - a->told_ms < p->server->settings->interim_ms)
        return;
    a->told_ms = now_ms;
    turn_send(p, peer_now(p),
              &(struct turn){
                  .text = token_first(a->l.text, said),
                  .from_ms = a->began_ms,
                  .to_ms = a->began_ms + (int64_t)said * LISTENING_WORD_MS,
              });
}

/* The turn whose text is in l.text is over. */
static void finish(struct peer *p, struct assemblyai *a, int64_t due_ns, bool asked)
{
    struct turn t = {
        .text = a->l.text,
        .from_ms = a->began_ms,
        .to_ms = hearing_ms(&a->l.ear, a->l.ear.last),
        .over = true,
    };

    if (due_ns < a->final_due)
        due_ns = a->final_due;
    a->final_due = due_ns;
    struct jsonw *w = listening_note_end(p, &a->l, due_ns, asked);
    jsonw_put_int(w, "at_audio_ms", t.to_ms);
    jsonw_put_int(w, "audio_bytes", (int64_t)a->l.bytes);
    diary_end(&p->server->diary);
    if (slice_trim(t.text).len == 0)
        return; /* a turn has words */
    turn_send(p, due_ns, &t);
    if (a->formatted)
        formatted_send(p, due_ns, t);
    a->order++;
}

static void on_ends(struct peer *p, struct assemblyai *a)
{
    finish(p, a, listening_end_ns(p, &a->l), false);
}

static void told(struct peer *p, enum listening_event event)
{
    struct assemblyai *a = p->context;

    switch (event) {
    case LISTENING_BEGINS:
        on_begins(p, a);
        break;
    case LISTENING_GOES_ON:
        on_goes_on(p, a);
        break;
    case LISTENING_QUIET:
        break;
    case LISTENING_ENDS:
        on_ends(p, a);
        break;
    case LISTENING_TIMED:
        a->l.ear.last = a->l.ear.clock;
        a->began_ms = listening_ms(&a->l) > 1000 ? listening_ms(&a->l) - 1000 : 0;
        on_ends(p, a);
        break;
    }
}

static void audio(struct peer *p, struct assemblyai *a, struct slice data)
{
    int64_t per_s = a->l.ear.rate_hz * (int64_t)voice_bytes(a->l.encoding);
    int64_t bytes = (int64_t)data.len;
    char why[WHY_BYTES];

    if (bytes * 1000 >= LEAST_MS * per_s && bytes * 1000 <= MOST_MS * per_s) {
        listening_audio(p, &a->l, data, told);
        return;
    }
    snprintf(why, sizeof(why), "Input Duration Violation: %.1f ms. Expected between %d and %d ms",
             (double)bytes * 1000 / (double)per_s, LEAST_MS, MOST_MS);
    refuse(p, WRONG_DURATION, why);
}

/* ---- what the client says ---- */

/* Where nobody speaks there is no turn to end, and no answer. */
static void force_endpoint(struct peer *p, struct assemblyai *a)
{
    if (!a->l.ear.speaking)
        return;
    listening_take(p, &a->l);
    finish(p, a, peer_now(p) + peer_draw(p, &p->server->settings->finalize), true);
}

static void terminate(struct peer *p, struct assemblyai *a)
{
    uint8_t store[256];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    force_endpoint(p, a);
    a->ending = true;
    int64_t due = peer_now(p) > a->final_due ? peer_now(p) : a->final_due;
    message_begin(&w, &b, "Termination");
    jsonw_put_int(&w, "audio_duration_seconds", listening_ms(&a->l) / 1000);
    jsonw_put_int(&w, "session_duration_seconds", (due - a->opened_ns) / NS_PER_S);
    message_send(p, due, &w, &b);
    peer_close_socket(p, due, WS_CLOSE_NORMAL, "");
}

static void command(struct peer *p, struct assemblyai *a, struct slice text)
{
    struct json_doc doc;

    if (json_read(&doc, text, COMMAND_MAX, NULL) < 0) {
        refuse(p, WRONG_INPUT, "Invalid JSON");
        return;
    }
    if (json_is(&doc, "type", "ForceEndpoint"))
        force_endpoint(p, a);
    else if (json_is(&doc, "type", "Terminate"))
        terminate(p, a);
    else if (json_is(&doc, "type", "UpdateConfiguration"))
        (void)!json_bool_of(&doc, "format_turns", &a->formatted);
    else if (!json_is(&doc, "type", "KeepAlive"))
        refuse(p, WRONG_INPUT, "Invalid Message Type");
    json_free(&doc);
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct assemblyai *a = p->context;

    if (a->ending)
        return;
    if (text)
        command(p, a, data);
    else
        audio(p, a, data);
}

/* ---- the request ---- */

static bool encoding_of(const struct peer *p, enum voice_encoding *encoding)
{
    char text[32];

    *encoding = VOICE_S16;
    if (!request_arg(&p->request, "encoding", text, sizeof(text)) || strcmp(text, "pcm_s16le") == 0)
        return true;
    *encoding = VOICE_MULAW;
    return strcmp(text, "pcm_mulaw") == 0;
}

static void begin_send(struct peer *p)
{
    uint8_t store[1024];
    char id[64], model[64];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    snprintf(id, sizeof(id), "5de1e70e-0000-4000-8000-%012" PRIx64,
             p->number & UINT64_C(0xffffffffffff));
    if (!request_arg(&p->request, "speech_model", model, sizeof(model)))
        snprintf(model, sizeof(model), "universal-streaming-english");
    message_begin(&w, &b, "Begin");
    jsonw_put_cstr(&w, "id", id);
    jsonw_put_int(&w, "expires_at", (int64_t)time(NULL) + SESSION_S);
    jsonw_key(&w, "configuration");
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "model", model);
    jsonw_end(&w);
    message_send(p, peer_now(p), &w, &b);
}

/* A key is refused at the handshake, a wrong setting behind it. */
static void begin(struct peer *p)
{
    struct assemblyai *a = p->context;
    enum voice_encoding encoding;
    int64_t rate;

    a->opened_ns = peer_now(p);
    a->formatted = request_flag(&p->request, "format_turns");
    if (!encoding_of(p, &encoding)) {
        refuse(p, WRONG_INPUT, "encoding: pcm_s16le and pcm_mulaw are simulated");
        return;
    }
    if (request_number(&p->request, "sample_rate", 8000, 48000, -1, &rate) < 0 || rate < 0) {
        refuse(p, WRONG_INPUT, "sample_rate: 8000 to 48000");
        return;
    }
    listening_begin(p, &a->l, (uint32_t)rate, encoding);
    begin_send(p);
}

static void trouble(struct peer *p)
{
    refuse(p, SERVER_ERROR, "Session Cancelled: An error occurred");
}

const struct service service_assemblyai_listen = {
    .name = "assemblyai.listen",
    .method = "GET",
    .path = "/v3/ws",
    .socket = true,
    .bare_key = true,
    .state_bytes = sizeof(struct assemblyai),
    .begin = begin,
    .message = message,
    .trouble = trouble,
};
