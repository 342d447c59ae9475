/* vosk-server's WebSocket: a configuration without an answer, then exactly one answer to every
 * binary message, and the rest at `{"eof" : 1}`, compared as a string as the original does. */
#include "tools/providers/listening.h"
#include "tools/providers/service.h"

#define REPLY_BYTES 65536
#define RATE_USUAL  8000 /* what the original assumes before it is told */

struct vosk {
    struct listening l;
    bool begun;
    bool ended; /* l.text was said and is due */
    int64_t due_ns;
    struct slice said;
};

static void reply(struct peer *p, const char *key, struct slice text, bool result)
{
    static uint8_t store[REPLY_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct vosk *v = p->context;
    struct jsonw w;
    int64_t count = (int64_t)token_count(text), i = 0;
    int64_t from = hearing_ms(&v->l.ear, v->l.ear.first);
    int64_t span = hearing_ms(&v->l.ear, v->l.ear.last - v->l.ear.first);
    struct slice rest = text;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    if (result && count) {
        jsonw_key(&w, "result");
        jsonw_begin_list(&w);
        for (struct slice word = token_next(&rest); word.len; word = token_next(&rest), i++) {
            jsonw_begin(&w);
            jsonw_key(&w, "conf");
            jsonw_double(&w, 1, 6);
            jsonw_key(&w, "end");
            jsonw_double(&w, (double)(from + span * (i + 1) / count) / 1000, 6);
            jsonw_key(&w, "start");
            jsonw_double(&w, (double)(from + span * i / count) / 1000, 6);
            jsonw_put_str(&w, "word", slice_trim(word));
            jsonw_end(&w);
        }
        jsonw_end(&w);
    }
    jsonw_put_str(&w, key, slice_trim(text));
    jsonw_end(&w);
    peer_text(p, peer_now(p), PEER_SHARED_TAG, builder_slice(&b));
}

static void told(struct peer *p, enum listening_event event)
{
    struct vosk *v = p->context;

    if (event != LISTENING_ENDS && event != LISTENING_TIMED)
        return;
    v->ended = true;
    v->said = v->l.text;
    v->due_ns = v->l.voiced_ns + peer_draw(p, &p->server->settings->end_of_turn);
    listening_note_end(p, &v->l, v->due_ns, false);
    diary_end(&p->server->diary);
}

static void audio(struct peer *p, struct vosk *v, struct slice data)
{
    if (!v->begun)
        listening_begin(p, &v->l, RATE_USUAL, VOICE_S16);
    v->begun = true;
    listening_audio(p, &v->l, data, told);
    if (v->ended && peer_now(p) >= v->due_ns) {
        v->ended = false;
        reply(p, "text", v->said, true);
        return;
    }
    reply(p, "partial",
          v->l.ear.speaking ? token_first(v->l.text, listening_words(&v->l)) : SLICE_NONE, false);
}

static void configure(struct peer *p, struct vosk *v, struct slice text)
{
    struct json_doc doc;
    int64_t rate = RATE_USUAL;

    if (json_read(&doc, text, 65536, NULL) < 0)
        return;
    (void)!json_int_of(&doc, "config.sample_rate", 8000, 48000, &rate);
    json_free(&doc);
    listening_begin(p, &v->l, (uint32_t)rate, VOICE_S16);
    v->begun = true;
}

static void end_of_file(struct peer *p, struct vosk *v)
{
    if (v->begun && v->l.ear.speaking)
        v->said = listening_take(p, &v->l);
    else if (!v->ended)
        v->said = SLICE_NONE;
    reply(p, "text", v->said, true);
    peer_close_socket(p, peer_now(p), WS_CLOSE_NORMAL, "");
}

static void message(struct peer *p, bool text, struct slice data)
{
    struct vosk *v = p->context;

    if (!text)
        audio(p, v, data);
    else if (slice_equal(data, SLICE("{\"eof\" : 1}")))
        end_of_file(p, v);
    else if (slice_equal(data, SLICE("{\"reset\" : 1}")))
        v->begun = false;
    else if (memmem(data.at, data.len, "config", 6))
        configure(p, v, data);
}

static void begin(struct peer *p)
{
    (void)p;
}

const struct service service_vosk = {
    .name = "vosk",
    .method = "GET",
    .path = "/",
    .socket = true,
    .open = true,
    .state_bytes = sizeof(struct vosk),
    .begin = begin,
    .message = message,
};
