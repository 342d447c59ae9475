#include "actors/call/cdr.h"

#include "actors/call/recording_format.h"
#include "actors/text.h"
#include "base/json.h"
#include "base/metrics.h"
#include "store/blob_file.h"

static struct journal_shard *journal_of(const struct cdr *cdr)
{
    return journal_shard(world_of(cdr->actor)->journal, shard_index(cdr->actor->shard));
}

static void add(const struct cdr *cdr, enum journal_type type, const struct builder *b)
{
    if (!cdr->open)
        return;
    if (b->bad || journal_add(journal_of(cdr), cdr->journal, type, builder_slice(b)))
        log_warn("call", cdr->about,
                 "a record of this call found no room in the journal: its log is incomplete");
    else
        metrics_add(METRIC_JOURNAL_RECORDS, 1);
}

static void ledger_reset(struct cdr *cdr)
{
    cdr->ledger = (struct record_turn){.last_voiced_ns = RECORD_NEVER,
                                       .decided_ns = RECORD_NEVER,
                                       .stt_final_ns = RECORD_NEVER,
                                       .first_token_ns = RECORD_NEVER,
                                       .first_tts_ns = RECORD_NEVER,
                                       .first_audible_ns = RECORD_NEVER,
                                       .mark_back_ns = RECORD_NEVER};
}

/* What the leg knows of who calls: the carrier's own id of the call, and the numbers. */
struct who {
    char carrier_call_id[96], from[32], to[32];
};

static void who_read(struct slice text, struct who *who)
{
    struct json_doc doc = {0};

    *who = (struct who){0};
    if (text.len && json_read(&doc, text, text.len, NULL) == 0) {
        (void)!json_text_of(&doc, "carrier_call_id", who->carrier_call_id,
                            sizeof(who->carrier_call_id));
        (void)!json_text_of(&doc, "from", who->from, sizeof(who->from));
        (void)!json_text_of(&doc, "to", who->to, sizeof(who->to));
    }
    json_free(&doc);
}

void cdr_open(struct cdr *cdr, struct actor *a, const struct log_about *about,
              const struct cdr_begin *begin)
{
    struct builder b = text_builder(a);
    struct recorder_format format = recorder_format_of(world_of(a), begin->args->rate_hz);
    char recording[BLOB_PATH_BYTES] = "";
    struct who who;

    who_read(begin->who, &who);
    cdr->actor = a;
    cdr->about = about;
    cdr->start_ns = shard_now(a->shard);
    ledger_reset(cdr);
    if (begin->recorded &&
        blob_path(BLOB_RECORDING, NULL, begin->args->call_id, recording, sizeof(recording)))
        recording[0] = '\0';
    struct record_begin record = {
        .wall_ms = begin->wall_ms,
        .agent_version = begin->agent->version,
        .recording_rate_hz = recording[0] ? format.rate_hz : 0,
        .recording_channels = (uint8_t)format.channels,
        .tenant = SLICE("default"),
        .agent_id = slice_str(begin->agent->id),
        .protocol = slice_str(begin->args->protocol),
        .direction = actor_id_none(begin->args->asker) ? SLICE("inbound") : SLICE("outbound"),
        .from = slice_str(who.from),
        .to = slice_str(who.to),
        .caller_id = slice_str(who.from),
        .phone_number = slice_str(who.from),
        .carrier_call_id = slice_str(who.carrier_call_id),
        .recording = slice_str(recording)};
    record_begin_put(&b, &record);
    cdr->open = !b.bad && journal_begin(journal_of(cdr), begin->args->call_id, builder_slice(&b),
                                        &cdr->journal) == 0;
    if (!cdr->open)
        log_error("call", about, "the journal is full: this call will leave no log");
}

void cdr_stamp(const struct cdr *cdr, int64_t *at, int64_t at_ns)
{
    if (*at == RECORD_NEVER)
        *at = at_ns - cdr->start_ns;
}

void cdr_decided(struct cdr *cdr, int64_t voiced_ns, int64_t now_ns)
{
    uint8_t barge_in = cdr->ledger.barge_in;

    ledger_reset(cdr);
    cdr->ledger.barge_in = barge_in;
    cdr->ledger.last_voiced_ns = voiced_ns - cdr->start_ns;
    cdr->ledger.decided_ns = now_ns - cdr->start_ns;
}

void cdr_heard(struct cdr *cdr, struct slice text, struct slice understood, uint8_t confidence,
               bool keys)
{
    struct builder b = text_builder(cdr->actor);
    struct record_heard record = {.wall_ms = shard_wall_ms(cdr->actor->shard),
                                  .turn = cdr->turn,
                                  .confidence = confidence,
                                  .keys = keys,
                                  .text = text,
                                  .understood = understood};

    if (text.len == 0 && understood.len == 0)
        return;
    record_heard_put(&b, &record);
    add(cdr, JOURNAL_HEARD, &b);
}

static void observe(enum metric metric, int64_t from_ns, int64_t to_ns)
{
    if (from_ns != RECORD_NEVER && to_ns != RECORD_NEVER && to_ns > from_ns)
        metrics_observe(metric, to_ns - from_ns);
}

static void close_ledger(struct cdr *cdr, uint32_t epoch)
{
    struct builder b = text_builder(cdr->actor);
    struct record_turn *l = &cdr->ledger;

    l->turn = cdr->turn;
    l->epoch = epoch;
    record_turn_put(&b, l);
    add(cdr, JOURNAL_TURN, &b);
    observe(METRIC_VOICE_TO_VOICE, l->last_voiced_ns, l->first_audible_ns);
    observe(METRIC_STAGE_ENDPOINT, l->last_voiced_ns, l->decided_ns);
    observe(METRIC_STAGE_STT_FINAL, l->last_voiced_ns, l->stt_final_ns);
    observe(METRIC_STAGE_FIRST_TOKEN, l->last_voiced_ns, l->first_token_ns);
    observe(METRIC_STAGE_FIRST_AUDIO, l->last_voiced_ns, l->first_tts_ns);
    if (l->last_voiced_ns != RECORD_NEVER && l->first_audible_ns != RECORD_NEVER)
        log_info("call", cdr->about, "turn %u: voice to voice %lld ms", cdr->turn,
                 (long long)ns_to_ms(l->first_audible_ns - l->last_voiced_ns));
    ledger_reset(cdr);
}

void cdr_said(struct cdr *cdr, const struct cdr_said *said)
{
    struct builder b = text_builder(cdr->actor);
    struct record_said record = {.wall_ms = shard_wall_ms(cdr->actor->shard),
                                 .turn = cdr->turn,
                                 .cut = said->cut,
                                 .text = said->text,
                                 .incomplete = said->incomplete};

    record_said_put(&b, &record);
    add(cdr, JOURNAL_SAID, &b);
    close_ledger(cdr, said->epoch);
}

void cdr_failover(struct cdr *cdr, const struct record_failover *failover)
{
    struct builder b = text_builder(cdr->actor);
    struct record_failover record = *failover;

    record.wall_ms = shard_wall_ms(cdr->actor->shard);
    record.turn = cdr->turn;
    record_failover_put(&b, &record);
    add(cdr, JOURNAL_FAILOVER, &b);
}

void cdr_end(struct cdr *cdr, const char *status, const struct reason *reason,
             const struct recorded_msg *recorded)
{
    struct builder b = text_builder(cdr->actor);
    struct record_end record = {.wall_ms = shard_wall_ms(cdr->actor->shard),
                                .duration_ms =
                                    ns_to_ms(shard_now(cdr->actor->shard) - cdr->start_ns),
                                .err = reason->err,
                                .recording_bad = recorded->err != 0,
                                .recording_bytes = (uint64_t)recorded->bytes,
                                .status = slice_str(status),
                                .reason = slice_str(reason->what)};

    record_end_put(&b, &record);
    add(cdr, JOURNAL_CALL_END, &b);
}

struct slice cdr_copy(const struct cdr *cdr)
{
    struct slice room = shard_large_scratch(cdr->actor->shard);
    size_t len = journal_copy(journal_of(cdr), cdr->journal, (void *)(uintptr_t)room.at, room.len);

    return len > room.len ? SLICE_NONE : slice_of(room.at, len);
}

void cdr_stored(const struct cdr *cdr)
{
    journal_stored(journal_of(cdr), cdr->journal);
}
