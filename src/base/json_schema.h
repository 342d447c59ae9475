/* The part of JSON Schema (draft 2020-12) by which the arguments of a tool call are checked: type,
 * enum, const, properties, required, additionalProperties, items, minimum, maximum,
 * exclusiveMinimum, exclusiveMaximum, minLength, maxLength, minItems, maxItems. What describes and
 * does not restrict (title, description, default, examples, format, $schema, $comment, deprecated,
 * readOnly, writeOnly) is let through; every other keyword is refused when a schema is read, so
 * that nobody believes in a rule that is not kept. Documents are as deep as json_read() lets them
 * be, and are walked without recursion. Pure; any thread. */
#ifndef BASE_JSON_SCHEMA_H
#define BASE_JSON_SCHEMA_H

#include "base/json.h"

#define JSON_SCHEMA_WHY_BYTES 240 /* one sentence; longer ones are cut */

/* Whether it is a schema, of an object, that can be kept. 0; -EINVAL: not, `why` says what and
 * where: "properties.day: ...". */
MUST_USE int json_schema_read(const struct json_doc *schema, char *why, size_t why_bytes);
/* Holds the member `key` of an object against a schema that was read; a member that is missing
 * counts as an object without members. 0; -EINVAL: it breaks a rule, `why` gets a sentence that
 * names the field and the rule. */
MUST_USE int json_schema_check(const struct json_doc *schema, const struct json_doc *object,
                               const char *key, char *why, size_t why_bytes);

#endif
