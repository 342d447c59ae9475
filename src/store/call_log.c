#include "store/call_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store/blob_file.h"
#include "store/journal.h"
#include "store/record.h"

#define WALL_MS_MAX INT64_C(253402300799999) /* the end of year 9999 */

/* One log while it is put together. */
struct build {
    struct call_log *log;
    json_t *doc;
    json_t *transcript;
    json_t *turns;
    json_t *effects;
    json_t *failovers;
    struct builder text; /* transcript_text */
    bool begun;
    bool ended;
    uint32_t seq; /* of the last record */
    bool missing; /* a record before it */
    int64_t start_ms;
    int64_t last_ms; /* the latest instant that any record names */
    char campaign[BLOB_NAME_BYTES];
    bool bad_name;
    int failed; /* first error of the JSON library */
};

void wall_text(int64_t wall_ms, char *out, size_t out_bytes)
{
    struct tm tm;

    wall_ms = wall_ms < 0 ? 0 : wall_ms > WALL_MS_MAX ? WALL_MS_MAX : wall_ms;
    time_t seconds = (time_t)(wall_ms / 1000);

    gmtime_r(&seconds, &tm);
    snprintf(out, out_bytes, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
}

/* ---- JSON pieces ---- */

static void set(struct build *b, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        b->failed = -ENOMEM;
}

static void append(struct build *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0)
        b->failed = -ENOMEM;
}

/* What a peer sent need not be UTF-8: such bytes become question marks. */
static json_t *text_json(struct slice text)
{
    char clean[JOURNAL_PAYLOAD_MAX];
    size_t len = text.len < sizeof(clean) ? text.len : sizeof(clean);

    if (slice_is_utf8(text))
        return json_stringn(text.len ? (const char *)text.at : "", text.len);
    for (size_t i = 0; i < len; i++)
        clean[i] = text.at[i] < 0x80 ? (char)text.at[i] : '?';
    return json_stringn(clean, len);
}

static json_t *text_or_null(struct slice text)
{
    return text.len ? text_json(text) : json_null();
}

static json_t *wall_json(int64_t wall_ms)
{
    char text[32];

    wall_text(wall_ms, text, sizeof(text));
    return json_string(text);
}

/* JSON inside a record, or null when it is none. */
static json_t *inner_json(struct slice text)
{
    json_t *value = NULL;

    if (text.len)
        value = json_loadb((const char *)text.at, text.len,
                           JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return value ? value : json_null();
}

static json_t *ms_json(int64_t ns)
{
    return ns == RECORD_NEVER ? json_null() : json_integer(ns_to_ms(ns));
}

/* ---- records, one function each ---- */

static void seen_at(struct build *b, int64_t wall_ms)
{
    if (wall_ms > b->last_ms && wall_ms <= WALL_MS_MAX)
        b->last_ms = wall_ms;
}

/* The object of a turn; records of one turn stand close together, so it is sought from the end. */
static json_t *turn_at(struct build *b, uint32_t number)
{
    size_t count = json_array_size(b->turns);

    for (size_t i = count; i > 0 && i + 16 > count; i--) {
        json_t *turn = json_array_get(b->turns, i - 1);

        if (json_integer_value(json_object_get(turn, "turn")) == number)
            return turn;
    }
    json_t *turn = json_object();

    set(b, turn, "turn", json_integer(number));
    append(b, b->turns, turn);
    return turn;
}

static void line_add(struct build *b, const char *role, struct slice text, int64_t wall_ms,
                     bool cut)
{
    json_t *line = json_object();

    set(b, line, "role", json_string(role));
    set(b, line, "text", text_json(text));
    set(b, line, "timestamp", wall_json(wall_ms));
    if (cut)
        set(b, line, "interrupted", json_true());
    append(b, b->transcript, line);
    builder_printf(&b->text, "%s: ", role);
    builder_slice_add(&b->text, text);
    builder_str(&b->text, "\n");
}

static int name_copy(struct build *b, struct slice name, char *out, size_t out_bytes)
{
    int rc = slice_cstr(name, out, out_bytes);

    b->bad_name = b->bad_name || rc < 0 || memchr(name.at, 0, name.len) != NULL;
    return rc;
}

static void begin_take(struct build *b, const struct journal_record *in)
{
    struct record_begin r;

    if (b->begun || record_begin_get(in->payload, &r))
        return;
    b->begun = true;
    b->start_ms = r.wall_ms < 0 ? 0 : r.wall_ms > WALL_MS_MAX ? WALL_MS_MAX : r.wall_ms;
    seen_at(b, b->start_ms);
    name_copy(b, in->call_id, b->log->call_id, sizeof(b->log->call_id));
    name_copy(b, r.tenant, b->log->tenant, sizeof(b->log->tenant));
    name_copy(b, r.campaign_id, b->campaign, sizeof(b->campaign));
    set(b, b->doc, "call_id", text_json(in->call_id));
    set(b, b->doc, "tenant", text_json(r.tenant));
    set(b, b->doc, "campaign_id", text_or_null(r.campaign_id));
    set(b, b->doc, "agent_id", text_json(r.agent_id));
    set(b, b->doc, "agent_version", json_integer(r.agent_version));
    set(b, b->doc, "direction", text_json(r.direction));
    set(b, b->doc, "protocol", text_json(r.protocol));
    set(b, b->doc, "from", text_or_null(r.from));
    set(b, b->doc, "to", text_or_null(r.to));
    set(b, b->doc, "caller_id", text_or_null(r.caller_id));
    set(b, b->doc, "phone_number", text_or_null(r.phone_number));
    set(b, b->doc, "carrier_call_id", text_or_null(r.carrier_call_id));
    set(b, b->doc, "recording", text_or_null(r.recording));
    set(b, b->doc, "created_at", wall_json(r.wall_ms));
    set(b, b->doc, "start_time", wall_json(r.wall_ms));
}

static void heard_take(struct build *b, const struct journal_record *in)
{
    struct record_heard r;

    if (record_heard_get(in->payload, &r))
        return;
    seen_at(b, r.wall_ms);
    json_t *turn = turn_at(b, r.turn);

    set(b, turn, "heard", text_json(r.text));
    set(b, turn, "understood", inner_json(r.understood));
    set(b, turn, "confidence", json_integer(r.confidence));
    if (r.text.len) /* a silent turn is a turn, but nobody said a line */
        line_add(b, r.keys ? "keys" : "user", r.text, r.wall_ms, false);
}

static void said_take(struct build *b, const struct journal_record *in)
{
    struct record_said r;

    if (record_said_get(in->payload, &r))
        return;
    seen_at(b, r.wall_ms);
    json_t *turn = turn_at(b, r.turn);

    set(b, turn, "said", text_json(r.text));
    set(b, turn, "interrupted", json_boolean(r.cut));
    if (r.incomplete)
        set(b, turn, "incomplete", json_true());
    line_add(b, "assistant", r.text, r.wall_ms, r.cut);
}

static json_t *span_json(int64_t from_ns, int64_t to_ns)
{
    int64_t span;

    if (from_ns == RECORD_NEVER || to_ns == RECORD_NEVER ||
        __builtin_sub_overflow(to_ns, from_ns, &span))
        return json_null();
    return json_integer(ns_to_ms(span));
}

static void turn_take(struct build *b, const struct journal_record *in)
{
    struct record_turn r;

    if (record_turn_get(in->payload, &r))
        return;
    json_t *turn = turn_at(b, r.turn);
    json_t *ledger = json_object();

    set(b, turn, "epoch", json_integer(r.epoch));
    set(b, turn, "barge_in", json_boolean(r.barge_in));
    set(b, turn, "dtmf", json_boolean(r.keys));
    set(b, turn, "voice_to_voice_ms", span_json(r.last_voiced_ns, r.first_audible_ns));
    set(b, ledger, "last_voiced_ms", ms_json(r.last_voiced_ns));
    set(b, ledger, "decided_ms", ms_json(r.decided_ns));
    set(b, ledger, "stt_final_ms", ms_json(r.stt_final_ns));
    set(b, ledger, "first_token_ms", ms_json(r.first_token_ns));
    set(b, ledger, "first_tts_ms", ms_json(r.first_tts_ns));
    set(b, ledger, "first_audible_ms", ms_json(r.first_audible_ns));
    set(b, ledger, "mark_back_ms", ms_json(r.mark_back_ns));
    set(b, turn, "ledger", ledger);
}

/* The effect that an intent began, by its key; bounded like the turns. */
static json_t *effect_at(struct build *b, struct slice key)
{
    size_t count = json_array_size(b->effects);

    for (size_t i = count; i > 0 && i + 64 > count; i--) {
        json_t *effect = json_array_get(b->effects, i - 1);

        if (slice_equal(slice_str(json_string_value(json_object_get(effect, "key"))), key))
            return effect;
    }
    json_t *effect = json_object();

    set(b, effect, "key", text_json(key));
    append(b, b->effects, effect);
    return effect;
}

static void effect_take(struct build *b, const struct journal_record *in)
{
    struct record_effect r;

    if (record_effect_get(in->payload, &r))
        return;
    seen_at(b, r.wall_ms);
    json_t *effect = effect_at(b, r.key);

    set(b, effect, "name", text_json(r.name));
    set(b, effect, "epoch", json_integer(r.epoch));
    set(b, effect, "state", json_string(r.result ? "done" : "unknown"));
    set(b, effect, r.result ? "result" : "arguments", inner_json(r.body));
    set(b, effect, "timestamp", wall_json(r.wall_ms));
}

static void failover_take(struct build *b, const struct journal_record *in)
{
    struct record_failover r;

    if (record_failover_get(in->payload, &r))
        return;
    seen_at(b, r.wall_ms);
    json_t *failover = json_object();

    set(b, failover, "turn", json_integer(r.turn));
    set(b, failover, "role", text_json(r.role));
    set(b, failover, "from", text_json(r.from));
    set(b, failover, "to", text_or_null(r.to));
    set(b, failover, "status", json_integer(r.status));
    set(b, failover, "reason", text_json(r.what));
    set(b, failover, "timestamp", wall_json(r.wall_ms));
    append(b, b->failovers, failover);
}

static void end_set(struct build *b, struct slice status, struct slice reason, int64_t duration_ms,
                    bool recording_bad)
{
    if (recording_bad)
        set(b, b->doc, "recording_incomplete", json_true());
    set(b, b->doc, "status", text_json(status));
    set(b, b->doc, "reason", text_json(reason));
    set(b, b->doc, "duration_seconds", json_real((double)duration_ms / 1000.0));
    set(b, b->doc, "end_time", wall_json(b->last_ms));
    set(b, b->doc, "updated_at", wall_json(b->last_ms));
}

static void end_take(struct build *b, const struct journal_record *in)
{
    struct record_end r;

    if (b->ended || record_end_get(in->payload, &r))
        return;
    b->ended = true;
    b->last_ms = b->start_ms; /* the end's own instant counts, if the clock has not gone back */
    seen_at(b, r.wall_ms);
    int64_t ms = r.duration_ms < 0 ? 0 : r.duration_ms > WALL_MS_MAX ? WALL_MS_MAX : r.duration_ms;

    end_set(b, r.status, r.reason, ms, r.recording_bad);
}

static void record_take(struct build *b, const struct journal_record *in)
{
    static void (*const take[])(struct build *, const struct journal_record *) = {
        [JOURNAL_CALL_BEGIN] = begin_take,  [JOURNAL_HEARD] = heard_take,
        [JOURNAL_SAID] = said_take,         [JOURNAL_TURN] = turn_take,
        [JOURNAL_EFFECT] = effect_take,     [JOURNAL_CALL_END] = end_take,
        [JOURNAL_FAILOVER] = failover_take,
    };

    b->missing = b->missing || in->seq > b->seq + 1;
    b->seq = in->seq;
    if (in->type < ARRAY_LEN(take) && take[in->type])
        take[in->type](b, in);
}

/* ---- the whole ---- */

static void interrupted_set(struct build *b, const struct call_log_extra *extra)
{
    if (extra->recording_ms > 0 && extra->recording_ms < WALL_MS_MAX - b->start_ms)
        seen_at(b, b->start_ms + extra->recording_ms);
    end_set(b, SLICE("interrupted"), SLICE("the server stopped during the call"),
            b->last_ms - b->start_ms, extra->recording_bad);
}

static int paths_set(struct build *b)
{
    struct call_log *log = b->log;

    if (b->bad_name || !log->tenant[0])
        return -EINVAL;
    int rc = blob_path(BLOB_TRANSCRIPT, b->campaign, log->call_id, log->transcript_file,
                       sizeof(log->transcript_file));

    if (!rc)
        set(b, b->doc, "transcript_file", json_string(log->transcript_file));
    return rc;
}

/* The transcript file holds what a reader of the conversation wants, without the ledger. */
static char *transcript_dump(struct build *b)
{
    static const char *const keys[] = {"call_id",    "campaign_id", "agent_id",       "status",
                                       "start_time", "end_time",    "log_incomplete", "transcript"};
    json_t *file = json_object();

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (json_object_get(b->doc, keys[i]))
            json_object_set(file, keys[i], json_object_get(b->doc, keys[i]));
    char *text = json_dumps(file, JSON_INDENT(2));

    json_decref(file);
    return text;
}

static int log_finish(struct build *b, const struct call_log_extra *extra)
{
    if (!b->begun)
        return -ENOENT;
    if (!b->ended)
        interrupted_set(b, extra);
    if (b->missing)
        set(b, b->doc, "log_incomplete", json_true());
    int rc = paths_set(b);

    if (rc)
        return rc;
    json_object_set(b->doc, "transcript", b->transcript);
    set(b, b->doc, "transcript_text", text_json(builder_slice(&b->text)));
    json_object_set(b->doc, "turns", b->turns);
    json_object_set(b->doc, "effects", b->effects);
    json_object_set(b->doc, "failovers", b->failovers);
    set(b, b->doc, "sentiment", json_null());
    set(b, b->doc, "emotions", json_array());
    if (b->failed)
        return b->failed;
    b->log->document = json_dumps(b->doc, JSON_COMPACT | JSON_REAL_PRECISION(12));
    b->log->transcript = transcript_dump(b);
    return b->log->document && b->log->transcript ? 0 : -ENOMEM;
}

int call_log_build(struct slice stream, const struct call_log_extra *extra, struct call_log *out)
{
    size_t text_bytes = stream.len + 64;
    struct build b = {.log = out};
    struct journal_record record;
    char *text = malloc(text_bytes);

    memset(out, 0, sizeof(*out));
    b.doc = json_object();
    b.transcript = json_array();
    b.turns = json_array();
    b.effects = json_array();
    b.failovers = json_array();
    b.text = builder_of(text, text ? text_bytes : 0);
    while (text && journal_stream_next(&stream, &record))
        record_take(&b, &record);
    bool made = text && b.doc && b.transcript && b.turns && b.effects && b.failovers;
    int rc = made ? log_finish(&b, extra) : -ENOMEM;

    json_decref(b.doc);
    json_decref(b.transcript);
    json_decref(b.turns);
    json_decref(b.effects);
    json_decref(b.failovers);
    free(text);
    if (rc)
        call_log_fini(out);
    return rc;
}

void call_log_fini(struct call_log *log)
{
    free(log->document);
    free(log->transcript);
    log->document = NULL;
    log->transcript = NULL;
}
