/* An agent: one file that says who answers a call (prompt, greeting, voice, providers, patience).
 * A loaded agent is an immutable version; a call holds the one that it began with. The count of
 * holders is a plain integer, so agent_ref and agent_put belong to the control thread: a shard
 * reads a version that was referenced for it and says when it needs it no more. */
#ifndef CONFIG_AGENT_H
#define CONFIG_AGENT_H

#include "config/schema.h"

#define AGENT_ID_BYTES      64 /* in URLs, file names, logs */
#define AGENT_FALLBACKS_MAX 3  /* of a role; beyond: the file is refused */

enum agent_vad_provider { AGENT_VAD_SILERO, AGENT_VAD_ENERGY, AGENT_VAD_SCRIPTED };
enum agent_mode { AGENT_CONVERSATIONAL, AGENT_NON_CONVERSATIONAL };

/* A tool of the agent's that lives behind a URL: agent_tools.c reads it. */
struct agent_tool {
    const char *name; /* ^[A-Za-z0-9_-]{1,64}$ */
    const char *description;
    const char *url;
    const char *headers;    /* whole lines, each ended by CR LF */
    const char *parameters; /* JSON Schema of its arguments, an object; NULL: it takes none */
    int64_t timeout_ms;
};

/* One of stt, llm, tts, or a fallback of one. Members that do not concern a kind keep their
 * defaults. */
struct agent_provider {
    const char *provider; /* ^[a-z0-9_]+$ */
    const char *language; /* "": the agent's */
    const char *model;
    const char *voice;
    double temperature;
    double speed;
    struct setting_list settings; /* every further key of the block, with its line */
    const struct yaml_node *fallback_nodes;
    struct agent_provider *fallbacks; /* tried in this order; they have none of their own */
    size_t fallback_count;
    const struct yaml_node *block; /* in the file; NULL: it has none */
};

struct agent_vad {
    int provider; /* enum agent_vad_provider */
    double confidence;
    int64_t start_ms; /* speech that must be seen before it counts */
    int64_t stop_ms;  /* silence after which speech has paused */
    double min_volume;
};

/* Silence that ends a turn, counted from the last voiced sample. */
struct agent_patience {
    int64_t expected_ms; /* after the answer that was asked for */
    int64_t complete_ms; /* after what already is a whole sentence */
    int64_t open_ms;     /* after what seems to go on */
    int64_t max_ms;      /* whatever was said */
};

struct agent_online_check {
    bool enabled;
    const char *message; /* said when the caller has been silent for so long */
    int64_t seconds;
};

struct agent {
    const char *id;   /* ^[a-z0-9][a-z0-9_-]*$, the file's stem unless given */
    const char *name; /* for people: 1 to 100 characters */
    const char *language;
    const char *greeting;
    const char *prompt;
    struct text_list phone_numbers; /* whose calls it answers: "+15551234567" */
    int mode;                       /* enum agent_mode */
    struct agent_provider stt;
    struct agent_provider llm;
    struct agent_provider tts;
    struct agent_vad vad;
    struct agent_patience patience;
    int64_t interruption_min_words;
    int64_t interruption_grace_ms;
    bool ignore_user_speech_before_greeting;
    int64_t call_timeout_seconds;
    int64_t user_silence_hangup_seconds; /* 0: never */
    struct agent_online_check online_check;
    struct text_list goodbye_phrases;
    const struct yaml_node *tool_nodes;
    struct agent_tool *tools;
    size_t tool_count;
    int64_t turns_max;
    bool recording;

    const char *file;                 /* as loaded */
    const char *folder;               /* of the file, "." when it has none */
    uint32_t version;                 /* grows with each reload of this agent, from 1 */
    uint32_t refs;                    /* control thread only */
    const char *(*env)(const char *); /* what it was read with, or NULL */
    struct yaml_doc *doc;
};

/* One version with one reference. 0 or -errno with `why` ("FILE:LINE: KEY: what"). */
MUST_USE int agent_load(const char *path, const char *(*env)(const char *), struct agent **out,
                        char *why, size_t why_bytes);
MUST_USE int agent_read(const char *file, struct slice text, const char *(*env)(const char *),
                        struct agent **out, char *why, size_t why_bytes);
struct agent *agent_ref(struct agent *agent);
/* The last one frees it. Accepts NULL; *agent becomes NULL. */
void agent_put(struct agent **agent);

/* For agent_load(): makes `tools` of `tool_nodes`. 0, or -errno with `why`. */
MUST_USE int agent_tools_read(struct agent *agent, char *why, size_t why_bytes);
/* NULL if the agent declares no tool of this name. */
const struct agent_tool *agent_tool_find(const struct agent *agent, struct slice name);

/* For agent_load(): makes `fallbacks` of `fallback_nodes` for the three roles. 0, or -errno with
 * `why`. */
MUST_USE int agent_fallbacks_read(struct agent *agent, char *why, size_t why_bytes);
/* The provider of a role ("stt", "llm", "tts"): 0 the first, then its fallbacks; NULL beyond. */
const struct agent_provider *agent_provider_at(const struct agent *agent, const char *role,
                                               size_t i);
/* As agent_complain(), of a key of this very provider: "FILE:LINE: stt.fallbacks[0].model: ..". */
void agent_complain_of(const struct agent *agent, const char *role,
                       const struct agent_provider *provider, const char *key, char *why,
                       size_t why_bytes, const char *what);

/* A complaint about one key of a loaded agent, for checks made outside (unknown provider, a
 * setting the provider does not know): "FILE:LINE: KEY: what". */
void agent_complain(const struct agent *agent, const char *key, char *why, size_t why_bytes,
                    const char *what);

char *agent_example(void);
char *agent_markdown(void);

#endif
