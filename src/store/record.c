#include "store/record.h"

#include <errno.h>

static void text_put(struct builder *b, struct slice text)
{
    if (text.len > UINT16_MAX)
        b->bad = true;
    builder_u16(b, (uint16_t)text.len);
    builder_slice_add(b, text);
}

static struct slice text_get(struct reader *r)
{
    return reader_take(r, reader_u16(r));
}

static int reader_end(const struct reader *r)
{
    return r->bad ? -EINVAL : 0;
}

void record_begin_put(struct builder *b, const struct record_begin *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u32(b, r->agent_version);
    builder_u32(b, r->recording_rate_hz);
    builder_u8(b, r->recording_channels);
    text_put(b, r->tenant);
    text_put(b, r->agent_id);
    text_put(b, r->protocol);
    text_put(b, r->direction);
    text_put(b, r->from);
    text_put(b, r->to);
    text_put(b, r->caller_id);
    text_put(b, r->phone_number);
    text_put(b, r->campaign_id);
    text_put(b, r->carrier_call_id);
    text_put(b, r->recording);
}

int record_begin_get(struct slice payload, struct record_begin *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->agent_version = reader_u32(&in);
    r->recording_rate_hz = reader_u32(&in);
    r->recording_channels = reader_u8(&in);
    r->tenant = text_get(&in);
    r->agent_id = text_get(&in);
    r->protocol = text_get(&in);
    r->direction = text_get(&in);
    r->from = text_get(&in);
    r->to = text_get(&in);
    r->caller_id = text_get(&in);
    r->phone_number = text_get(&in);
    r->campaign_id = text_get(&in);
    r->carrier_call_id = text_get(&in);
    r->recording = text_get(&in);
    return reader_end(&in);
}

void record_heard_put(struct builder *b, const struct record_heard *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u32(b, r->turn);
    builder_u8(b, r->confidence);
    builder_u8(b, r->keys);
    text_put(b, r->text);
    text_put(b, r->understood);
}

int record_heard_get(struct slice payload, struct record_heard *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->turn = reader_u32(&in);
    r->confidence = reader_u8(&in);
    r->keys = reader_u8(&in);
    r->text = text_get(&in);
    r->understood = text_get(&in);
    return reader_end(&in);
}

void record_said_put(struct builder *b, const struct record_said *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u32(b, r->turn);
    builder_u8(b, r->cut);
    text_put(b, r->text);
    builder_u8(b, r->incomplete);
}

int record_said_get(struct slice payload, struct record_said *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->turn = reader_u32(&in);
    r->cut = reader_u8(&in);
    r->text = text_get(&in);
    r->incomplete = reader_left(&in) ? reader_u8(&in) : 0;
    return reader_end(&in);
}

void record_turn_put(struct builder *b, const struct record_turn *r)
{
    builder_u32(b, r->turn);
    builder_u32(b, r->epoch);
    builder_u8(b, r->barge_in);
    builder_u8(b, r->keys);
    builder_u64(b, (uint64_t)r->last_voiced_ns);
    builder_u64(b, (uint64_t)r->decided_ns);
    builder_u64(b, (uint64_t)r->stt_final_ns);
    builder_u64(b, (uint64_t)r->first_token_ns);
    builder_u64(b, (uint64_t)r->first_tts_ns);
    builder_u64(b, (uint64_t)r->first_audible_ns);
    builder_u64(b, (uint64_t)r->mark_back_ns);
}

int record_turn_get(struct slice payload, struct record_turn *r)
{
    struct reader in = reader_of(payload);

    r->turn = reader_u32(&in);
    r->epoch = reader_u32(&in);
    r->barge_in = reader_u8(&in);
    r->keys = reader_u8(&in);
    r->last_voiced_ns = (int64_t)reader_u64(&in);
    r->decided_ns = (int64_t)reader_u64(&in);
    r->stt_final_ns = (int64_t)reader_u64(&in);
    r->first_token_ns = (int64_t)reader_u64(&in);
    r->first_tts_ns = (int64_t)reader_u64(&in);
    r->first_audible_ns = (int64_t)reader_u64(&in);
    r->mark_back_ns = (int64_t)reader_u64(&in);
    return reader_end(&in);
}

void record_effect_put(struct builder *b, const struct record_effect *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u32(b, r->epoch);
    builder_u8(b, r->result);
    text_put(b, r->key);
    text_put(b, r->name);
    text_put(b, r->body);
}

int record_effect_get(struct slice payload, struct record_effect *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->epoch = reader_u32(&in);
    r->result = reader_u8(&in);
    r->key = text_get(&in);
    r->name = text_get(&in);
    r->body = text_get(&in);
    return reader_end(&in);
}

void record_failover_put(struct builder *b, const struct record_failover *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u32(b, r->turn);
    builder_u32(b, (uint32_t)r->status);
    text_put(b, r->role);
    text_put(b, r->from);
    text_put(b, r->to);
    text_put(b, r->what);
}

int record_failover_get(struct slice payload, struct record_failover *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->turn = reader_u32(&in);
    r->status = (int32_t)reader_u32(&in);
    r->role = text_get(&in);
    r->from = text_get(&in);
    r->to = text_get(&in);
    r->what = text_get(&in);
    return reader_end(&in);
}

void record_end_put(struct builder *b, const struct record_end *r)
{
    builder_u64(b, (uint64_t)r->wall_ms);
    builder_u64(b, (uint64_t)r->duration_ms);
    builder_u32(b, (uint32_t)r->err);
    builder_u8(b, r->recording_bad);
    builder_u64(b, r->recording_bytes);
    text_put(b, r->status);
    text_put(b, r->reason);
}

int record_end_get(struct slice payload, struct record_end *r)
{
    struct reader in = reader_of(payload);

    r->wall_ms = (int64_t)reader_u64(&in);
    r->duration_ms = (int64_t)reader_u64(&in);
    r->err = (int32_t)reader_u32(&in);
    r->recording_bad = reader_u8(&in);
    r->recording_bytes = reader_u64(&in);
    r->status = text_get(&in);
    r->reason = text_get(&in);
    return reader_end(&in);
}
