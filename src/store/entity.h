/* Every kind of document that the store keeps, declared once: fields with their types and flags,
 * the indexes it can be listed by, and when it may be forgotten. The backends make their tables and
 * indexes from this, and each document is checked against it before it is written. */
#ifndef STORE_ENTITY_H
#define STORE_ENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

#define ENTITY_INDEX_FIELDS_MAX 2

enum entity_type { ENTITY_TEXT, ENTITY_NUMBER, ENTITY_BOOL, ENTITY_OBJECT, ENTITY_LIST };

#define ENTITY_REQUIRED 1u /* must be there; others may be missing or null */
#define ENTITY_PRIVATE  2u /* about a person: not in logs */

struct entity_field {
    const char *name;
    enum entity_type type;
    unsigned flags;
};

/* Fields before the last are matched, the last one orders; ties are ordered by _id. */
struct entity_index {
    const char *name;
    const char *fields[ENTITY_INDEX_FIELDS_MAX];
    size_t count;
    bool descending;
};

struct entity {
    const char *name; /* of the collection */
    const struct entity_field *fields;
    size_t field_count;
    const struct entity_index *indexes;
    size_t index_count;
    const char *expires; /* field with the instant (milliseconds) it may be forgotten, or NULL */
};

extern const struct entity entities[];
extern const size_t entity_count;

/* NULL when there is none of this name. */
const struct entity *entity_find(const char *name);
const struct entity_index *entity_index_find(const struct entity *entity, const char *name);
/* A JSON object with all that is required and every declared field of its type? Fields that are not
 * declared are kept. -EINVAL with a sentence. Allocates; store lane. */
MUST_USE int entity_check(const struct entity *entity, struct slice doc, char *why,
                          size_t why_bytes);

#endif
