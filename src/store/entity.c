#include "store/entity.h"

#include <errno.h>
#include <stdio.h>

#include <jansson.h>

static const struct entity_field call_log_fields[] = {
    {"call_id", ENTITY_TEXT, ENTITY_REQUIRED},
    {"tenant", ENTITY_TEXT, ENTITY_REQUIRED},
    {"campaign_id", ENTITY_TEXT, 0},
    {"agent_id", ENTITY_TEXT, ENTITY_REQUIRED},
    {"agent_version", ENTITY_NUMBER, 0},
    {"direction", ENTITY_TEXT, ENTITY_REQUIRED},
    {"protocol", ENTITY_TEXT, ENTITY_REQUIRED},
    {"carrier_call_id", ENTITY_TEXT, 0},
    {"from", ENTITY_TEXT, ENTITY_PRIVATE},
    {"to", ENTITY_TEXT, ENTITY_PRIVATE},
    {"caller_id", ENTITY_TEXT, ENTITY_PRIVATE},
    {"phone_number", ENTITY_TEXT, ENTITY_PRIVATE},
    {"status", ENTITY_TEXT, ENTITY_REQUIRED},
    {"reason", ENTITY_TEXT, 0},
    {"created_at", ENTITY_TEXT, ENTITY_REQUIRED},
    {"updated_at", ENTITY_TEXT, ENTITY_REQUIRED},
    {"start_time", ENTITY_TEXT, ENTITY_REQUIRED},
    {"end_time", ENTITY_TEXT, 0},
    {"duration_seconds", ENTITY_NUMBER, 0},
    {"transcript", ENTITY_LIST, ENTITY_PRIVATE},
    {"transcript_text", ENTITY_TEXT, ENTITY_PRIVATE},
    {"turns", ENTITY_LIST, ENTITY_PRIVATE},
    {"effects", ENTITY_LIST, ENTITY_PRIVATE},
    {"failovers", ENTITY_LIST, 0},
    {"recording", ENTITY_TEXT, 0},
    {"recording_incomplete", ENTITY_BOOL, 0},
    {"log_incomplete", ENTITY_BOOL, 0},
    {"transcript_file", ENTITY_TEXT, 0},
    {"sentiment", ENTITY_TEXT, 0},
    {"emotions", ENTITY_LIST, 0},
};

static const struct entity_index call_log_indexes[] = {
    {"campaign", {"campaign_id", "created_at"}, 2, true},
    {"phone_number", {"phone_number", "created_at"}, 2, true},
    {"created_at", {"created_at"}, 1, true},
};

static const struct entity_field media_token_fields[] = {
    {"agent", ENTITY_TEXT, ENTITY_REQUIRED},
    {"expires_at", ENTITY_NUMBER, ENTITY_REQUIRED},
};

static const struct entity_field effect_fields[] = {
    {"call_id", ENTITY_TEXT, ENTITY_REQUIRED},    {"name", ENTITY_TEXT, ENTITY_REQUIRED},
    {"created_at", ENTITY_TEXT, ENTITY_REQUIRED}, {"arguments", ENTITY_OBJECT, ENTITY_PRIVATE},
    {"result", ENTITY_OBJECT, ENTITY_PRIVATE},
};

static const struct entity_index effect_indexes[] = {
    {"call", {"call_id", "created_at"}, 2, false},
};

static const struct entity_field appointment_fields[] = {
    {"agent_id", ENTITY_TEXT, ENTITY_REQUIRED},   {"name", ENTITY_TEXT, ENTITY_PRIVATE},
    {"day", ENTITY_TEXT, ENTITY_REQUIRED},        {"time", ENTITY_TEXT, ENTITY_REQUIRED},
    {"created_at", ENTITY_TEXT, ENTITY_REQUIRED},
};

static const struct entity_index appointment_indexes[] = {
    {"agent", {"agent_id", "created_at"}, 2, false},
    {"name", {"name", "created_at"}, 2, false},
};

static const struct entity_field carrier_event_fields[] = {
    {"carrier", ENTITY_TEXT, ENTITY_REQUIRED},
    {"carrier_call_id", ENTITY_TEXT, ENTITY_REQUIRED},
    {"status", ENTITY_TEXT, 0},
    {"cause", ENTITY_TEXT, 0},
    {"from", ENTITY_TEXT, ENTITY_PRIVATE},
    {"to", ENTITY_TEXT, ENTITY_PRIVATE},
    {"duration_seconds", ENTITY_NUMBER, 0},
    {"created_at", ENTITY_TEXT, ENTITY_REQUIRED},
};

static const struct entity_index carrier_event_indexes[] = {
    {"call", {"carrier_call_id", "created_at"}, 2, false},
};

#define FIELDS(table)  .fields = (table), .field_count = ARRAY_LEN(table)
#define INDEXES(table) .indexes = (table), .index_count = ARRAY_LEN(table)

const struct entity entities[] = {
    {.name = "call_logs", FIELDS(call_log_fields), INDEXES(call_log_indexes)},
    {.name = "media_tokens", FIELDS(media_token_fields), .expires = "expires_at"},
    {.name = "effects", FIELDS(effect_fields), INDEXES(effect_indexes)},
    {.name = "appointments", FIELDS(appointment_fields), INDEXES(appointment_indexes)},
    {.name = "carrier_events", FIELDS(carrier_event_fields), INDEXES(carrier_event_indexes)},
};
const size_t entity_count = ARRAY_LEN(entities);

const struct entity *entity_find(const char *name)
{
    for (size_t i = 0; i < entity_count; i++)
        if (!strcmp(entities[i].name, name))
            return &entities[i];
    return NULL;
}

const struct entity_index *entity_index_find(const struct entity *entity, const char *name)
{
    for (size_t i = 0; i < entity->index_count; i++)
        if (!strcmp(entity->indexes[i].name, name))
            return &entity->indexes[i];
    return NULL;
}

static bool type_fits(const json_t *value, enum entity_type type)
{
    switch (type) {
    case ENTITY_TEXT:
        return json_is_string(value);
    case ENTITY_NUMBER:
        return json_is_number(value);
    case ENTITY_BOOL:
        return json_is_boolean(value);
    case ENTITY_OBJECT:
        return json_is_object(value);
    case ENTITY_LIST:
        return json_is_array(value);
    }
    return false;
}

static int fields_check(const struct entity *entity, const json_t *doc, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < entity->field_count; i++) {
        const struct entity_field *f = &entity->fields[i];
        const json_t *value = json_object_get(doc, f->name);
        bool given = value && !json_is_null(value);

        if (!given && !(f->flags & ENTITY_REQUIRED))
            continue;
        if (given && type_fits(value, f->type))
            continue;
        snprintf(why, why_bytes, "%s: %s %s", entity->name, f->name,
                 given ? "is of another type" : "must be given");
        return -EINVAL;
    }
    return 0;
}

int entity_check(const struct entity *entity, struct slice doc, char *why, size_t why_bytes)
{
    json_error_t error;
    json_t *value = json_loadb((const char *)doc.at, doc.len, JSON_REJECT_DUPLICATES, &error);
    int rc = -EINVAL;

    if (json_is_object(value))
        rc = fields_check(entity, value, why, why_bytes);
    else
        snprintf(why, why_bytes, "%s: not a JSON object: %s", entity->name, error.text);
    json_decref(value);
    return rc;
}
