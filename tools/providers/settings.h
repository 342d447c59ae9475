/* The configuration of the simulated providers, read whole at boot from one YAML file; every error
 * names file, line and key. Immutable from then on; owned by main. Allocates, boot only. */
#ifndef PROVIDERS_SETTINGS_H
#define PROVIDERS_SETTINGS_H

#include "config/schema.h"
#include "tools/providers/delay.h"
#include "tools/providers/fault.h"
#include "tools/providers/script.h"
#include "tools/providers/voice.h"

#define SETTINGS_WHY_BYTES CONFIG_WHY_BYTES
#define SETTINGS_SCRIPTS   64 /* hearing scripts; beyond: refused */
#define SETTINGS_ANSWERS   256
#define SETTINGS_KEYS      16

enum hear_count { HEAR_BY_CONNECTION, HEAR_BY_SERVER };

struct hear_script {
    struct heard *lines;
    size_t count;
};

struct settings {
    struct bind_address bind;
    const char *log; /* NULL: standard output */
    bool log_sent;
    int64_t seed;
    struct text_list keys;
    /* what it hears */
    struct text_list hear_texts, hear_files;
    int hear_count; /* enum hear_count */
    int64_t gap_ms, least_ms, interim_ms, idle_ms;
    double level;
    const char *end_of_turn_text, *finalize_text, *transcription_text;
    struct delay end_of_turn, finalize, transcription;
    struct hear_script *scripts; /* at least one; it may be empty */
    size_t script_count;
    /* what it answers */
    struct text_list answer_texts, answer_rules;
    const char *first_token_text, *token_text;
    struct delay first_token, token;
    struct answer_rule *rules; /* those of answer_rules, in their order */
    /* how it speaks */
    const char *first_audio_text, *wav; /* wav NULL: the buzz */
    struct delay first_audio;
    double speed, ms_per_character;
    int64_t piece_ms;
    bool marked; /* the first number of a text decides its sound */
    struct voice_source voice;
    /* what goes wrong */
    struct text_list fault_lines;
    struct fault *faults;
    /* what it all lies in */
    struct yaml_doc *doc;
    char *files[SETTINGS_SCRIPTS]; /* the text of the hearing scripts */
    int16_t *recording;
};

/* 0, or -errno and one sentence. `services` are the names that faults may give, ended by NULL. */
MUST_USE int settings_load(const char *path, const char *const *services, struct settings *out,
                           char *why);
/* The same from text, called `file` in complaints. */
MUST_USE int settings_read(const char *file, struct slice text, const char *const *services,
                           struct settings *out, char *why);
void settings_free(struct settings *s);
/* A commented file with every key; malloc'd. */
char *settings_example(void);

#endif
