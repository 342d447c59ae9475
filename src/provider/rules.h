/* The rule file of the embedded dialogue, parsed once when an agent is loaded and read-only
 * afterwards, and the understanding of a sentence by it: slots by the words of their values, the
 * intent by weighted cues. docs/providers/rules.md describes the format. Never reads a file. */
#ifndef PROVIDER_RULES_H
#define PROVIDER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define RULES_SLOTS_MAX   6    /* beyond: refused */
#define RULES_VALUES_MAX  256  /* of all slots; beyond: refused */
#define RULES_INTENTS_MAX 32   /* beyond: refused */
#define RULES_CUES_MAX    1024 /* of all intents; beyond: refused */
#define RULES_WORDS_MAX   60   /* words of a sentence that are looked at; the rest is not */
#define RULES_VALUE_BYTES 24   /* a slot's value with its NUL; longer ones are refused */
#define RULES_BYTES_MAX   262144

struct rules_value {
    int slot;
    char key; /* digit that means it while the slot is asked for, or 0 */
    struct slice name, spoken, phrases;
};

struct rules_slot {
    struct slice name;
    bool clock;        /* times of day; values are HH:MM */
    int opens, closes; /* clock: minutes of the day in which a bare hour is sought */
};

struct rules_cue {
    int intent;
    int weight;
    struct slice pattern;
};

struct rules_intent {
    struct slice name;
    uint8_t reports;   /* bit per slot: named in what was understood */
    uint8_t needs;     /* bit per slot: asked for */
    char key;          /* digit of the menu, or 0 */
    struct slice menu; /* what the menu says of it */
    struct slice say, confirm, done, failed, tool;
    struct slice ask[RULES_SLOTS_MAX];
    bool hang_up;
};

struct rules {
    char *text; /* everything above points into it */
    struct rules_slot slots[RULES_SLOTS_MAX];
    struct rules_value values[RULES_VALUES_MAX];
    struct rules_intent intents[RULES_INTENTS_MAX];
    struct rules_cue cues[RULES_CUES_MAX];
    int slot_count, value_count, intent_count, cue_count;
    struct slice unclear, silence, more, declined, bye;
};

struct understood {
    int intent; /* -1: none */
    int score;
    bool any_slot;
    char values[RULES_SLOTS_MAX][RULES_VALUE_BYTES]; /* "" when not said */
};

/* 0, or -EINVAL / -ENOMEM and one sentence "FILE:LINE: ..." in `why`. */
MUST_USE int rules_parse(struct slice text, const char *file, struct rules **out, char *why,
                         size_t why_bytes);
void rules_free(struct rules **r);
/* The number of an intent or slot by name, -1 if there is none. */
int rules_intent(const struct rules *r, struct slice name);
int rules_slot(const struct rules *r, struct slice name);
/* What a sentence (any bytes) means; `asked` is the slot that was asked for, or -1. */
void rules_understand(const struct rules *r, struct slice text, int asked, struct understood *out);
/* The value of a slot as an agent says it: "on Monday", "ten thirty in the morning". */
void rules_spoken(const struct rules *r, int slot, const char *value, struct builder *b);

#endif
