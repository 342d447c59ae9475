#include "config/agent.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member)    offsetof(struct agent, member)
#define PROVIDER_RULE "^[a-z0-9_]+$"
#define ID_RULE       "^[a-z0-9][a-z0-9_-]*$"

static const struct schema_field agent_fields[] = {
    {"name", FIELD_TEXT, AT(name), NULL, "^[^[:cntrl:]]+$", 1, 100, "Front desk",
     "The agent's name, for people."},
    {"id", FIELD_TEXT, AT(id), "", "^([a-z0-9][a-z0-9_-]*)?$", 0, AGENT_ID_BYTES,
     .help = "Its name in URLs and logs; empty: the file's name without its ending."},
    {"language", FIELD_TEXT, AT(language), "en", "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", 2, 35,
     .help = "Language of the call (BCP 47)."},
    {"greeting", FIELD_TEXT, AT(greeting), "", NULL, 0, 2000,
     .help = "What it says first; empty: it waits for the caller."},
    {"prompt", FIELD_TEXT, AT(prompt), "", NULL, 0, 60000,
     .help = "Who it is and how it behaves, for the language model."},
    {"phone_numbers", FIELD_TEXTS, AT(phone_numbers), "[]", "^[+]?[0-9]{3,15}$", .most = 64,
     .help = "Numbers whose calls it answers, where a carrier's request names no agent."},
    {"interaction_mode", FIELD_CHOICE, AT(mode), "conversational",
     "conversational|non_conversational",
     .help = "non_conversational says its greeting and hangs up."},
    {"interruption_min_words", FIELD_WHOLE, AT(interruption_min_words), "1", NULL, 0, 20,
     .help = "Words of the caller that it takes, beside voice, to interrupt the agent."},
    {"interruption_grace_ms", FIELD_WHOLE, AT(interruption_grace_ms), "300", NULL, 0, 5000,
     .help = "Time after the agent begins to speak in which it cannot be interrupted."},
    {"ignore_user_speech_before_greeting", FIELD_BOOL, AT(ignore_user_speech_before_greeting),
     "true", .help = "Whether what the caller says before the greeting has ended is ignored."},
    {"call_timeout_seconds", FIELD_WHOLE, AT(call_timeout_seconds), "600", NULL, 60, 86400,
     .help = "Longest duration of a call."},
    {"user_silence_hangup_seconds", FIELD_WHOLE, AT(user_silence_hangup_seconds), "0", NULL, 0,
     3600, .help = "Silence of the caller after which the call is ended; 0: never."},
    {"recording", FIELD_BOOL, AT(recording), "true",
     .help = "Whether this agent's calls are recorded, where the server records at all."},
    {"stt.provider", FIELD_TEXT, AT(stt.provider), "pocketsphinx", PROVIDER_RULE, 1, 100,
     .help = "Speech recognition."},
    {"stt.language", FIELD_TEXT, AT(stt.language), "", NULL, 0, 35,
     .help = "Language it listens for; empty: the agent's."},
    {"stt.model", FIELD_TEXT, AT(stt.model), "", NULL, 0, 200,
     .help = "Its model; empty: the provider's own choice."},
    {"stt.fallbacks", FIELD_TREE, AT(stt.fallback_nodes), "[]",
     .help = "Speech recognition that goes on when this one fails: blocks of the same keys, at "
             "most 3."},
    {"stt.*", FIELD_SETTINGS, AT(stt.settings), "", .help = "Settings of the provider."},
    {"llm.provider", FIELD_TEXT, AT(llm.provider), "rules", PROVIDER_RULE, 1, 100,
     .help = "What decides the answers."},
    {"llm.model", FIELD_TEXT, AT(llm.model), "", NULL, 0, 200,
     .help = "Its model; empty: the provider's own choice."},
    {"llm.temperature", FIELD_NUMBER, AT(llm.temperature), "0.7", NULL, 0, 2,
     .help = "How freely it answers."},
    {"llm.fallbacks", FIELD_TREE, AT(llm.fallback_nodes), "[]",
     .help = "What answers when this one fails: blocks of the same keys, at most 3."},
    {"llm.*", FIELD_SETTINGS, AT(llm.settings), "", .help = "Settings of the provider."},
    {"tts.provider", FIELD_TEXT, AT(tts.provider), "flite", PROVIDER_RULE, 1, 100,
     .help = "Speech synthesis."},
    {"tts.language", FIELD_TEXT, AT(tts.language), "", NULL, 0, 35,
     .help = "Language it speaks; empty: the agent's."},
    {"tts.model", FIELD_TEXT, AT(tts.model), "", NULL, 0, 200,
     .help = "Its model; empty: the provider's own choice."},
    {"tts.voice", FIELD_TEXT, AT(tts.voice), "", NULL, 0, 100,
     .help = "Its voice; empty: the provider's own choice."},
    {"tts.speed", FIELD_NUMBER, AT(tts.speed), "1.0", NULL, 0.25, 4,
     .help = "How fast it speaks; 1 is normal."},
    {"tts.fallbacks", FIELD_TREE, AT(tts.fallback_nodes), "[]",
     .help =
         "Speech synthesis that goes on when this one fails: blocks of the same keys, at most 3."},
    {"tts.*", FIELD_SETTINGS, AT(tts.settings), "", .help = "Settings of the provider."},
    {"vad.provider", FIELD_CHOICE, AT(vad.provider), "silero", "silero|energy|scripted",
     .help = "What tells voice from silence."},
    {"vad.confidence", FIELD_NUMBER, AT(vad.confidence), "0.3", NULL, 0, 1,
     .help = "Probability from which a frame counts as voice."},
    {"vad.start_ms", FIELD_WHOLE, AT(vad.start_ms), "100", NULL, 0, 2000,
     .help = "Voice that must be seen before speech has begun."},
    {"vad.stop_ms", FIELD_WHOLE, AT(vad.stop_ms), "400", NULL, 20, 5000,
     .help = "Silence after which speech has stopped."},
    {"vad.min_volume", FIELD_NUMBER, AT(vad.min_volume), "0.4", NULL, 0, 1,
     .help = "Volume below which nothing is voice."},
    {"patience.expected_ms", FIELD_WHOLE, AT(patience.expected_ms), "200", NULL, 0, 10000,
     .help = "Silence that ends the turn after the answer that was asked for."},
    {"patience.complete_ms", FIELD_WHOLE, AT(patience.complete_ms), "250", NULL, 0, 10000,
     .help = "Silence that ends the turn after a complete sentence."},
    {"patience.open_ms", FIELD_WHOLE, AT(patience.open_ms), "700", NULL, 0, 10000,
     .help = "Silence that ends the turn after a sentence that seems to go on."},
    {"patience.max_ms", FIELD_WHOLE, AT(patience.max_ms), "1500", NULL, 100, 30000,
     .help = "Silence that ends the turn whatever was said."},
    {"user_online_detection.enabled", FIELD_BOOL, AT(online_check.enabled), "false",
     .help = "Whether a silent caller is asked if somebody is there."},
    {"user_online_detection.message", FIELD_TEXT, AT(online_check.message), "Are you still there?",
     NULL, 0, 500, .help = "What is asked; empty: the agent finds words of its own."},
    {"user_online_detection.seconds", FIELD_WHOLE, AT(online_check.seconds), "10", NULL, 1, 3600,
     .help = "After how much silence."},
    {"goodbye.phrases", FIELD_TEXTS, AT(goodbye_phrases), "[]", .most = 32,
     .help = "When the agent has said one of these, it hangs up."},
    {"limits.turns_max", FIELD_WHOLE, AT(turns_max), "500", NULL, 1, 1000,
     .help = "Turns after which the call is ended."},
    {"tools", FIELD_TREE, AT(tool_nodes), "[]",
     .help =
         "What the language model may have done, each behind a URL of yours: see docs/tools.md."},
};

static const struct schema agent_schema = {
    .title = "A Sidetone agent: every key with its default.",
    .fields = agent_fields,
    .count = ARRAY_LEN(agent_fields),
};

/* ---- reading ---- */

static int id_from_file(struct agent *a, char *why, size_t why_bytes)
{
    const char *slash = strrchr(a->file, '/');
    struct slice stem = slice_str(slash ? slash + 1 : a->file);
    const char *dot = strrchr((const char *)stem.at, '.');
    char what[160];

    if (dot && dot != (const char *)stem.at)
        stem.len = (size_t)(dot - (const char *)stem.at);
    bool ok = stem.len > 0 && stem.len <= AGENT_ID_BYTES;

    for (size_t i = 0; i < stem.len && ok; i++) {
        uint8_t c = stem.at[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        ok = word || (i && (c == '_' || c == '-'));
    }
    if (!ok) {
        snprintf(what, sizeof(what), "must be given, since the file's name does not match %s",
                 ID_RULE);
        snprintf(why, why_bytes, "%s:1: id: %s", a->file, what);
        return -EINVAL;
    }
    a->id = yaml_doc_text(a->doc, stem);
    return a->id ? 0 : -ENOMEM;
}

static int folder_set(struct agent *a)
{
    const char *slash = strrchr(a->file, '/');
    struct slice folder = slash ? slice_of(a->file, (size_t)(slash - a->file)) : SLICE(".");

    if (slash == a->file)
        folder.len = 1;
    a->folder = yaml_doc_text(a->doc, folder);
    return a->folder ? 0 : -ENOMEM;
}

/* What no single key can say. */
static int agent_checks(struct agent *a, char *why, size_t why_bytes)
{
    const struct agent_patience *p = &a->patience;

    if (p->complete_ms > p->open_ms)
        return config_complain(a->doc, schema_node(a->doc, "patience"), why, why_bytes,
                               "complete_ms must not be larger than open_ms");
    if (p->open_ms > p->max_ms)
        return config_complain(a->doc, schema_node(a->doc, "patience"), why, why_bytes,
                               "open_ms must not be larger than max_ms");
    if (a->mode == AGENT_NON_CONVERSATIONAL && !a->greeting[0])
        return config_complain(a->doc, schema_node(a->doc, "interaction_mode"), why, why_bytes,
                               "non_conversational needs a greeting to say");
    int rc = agent_tools_read(a, why, why_bytes);
    if (!rc)
        rc = agent_fallbacks_read(a, why, why_bytes);
    if (rc)
        return rc;
    return a->id[0] ? 0 : id_from_file(a, why, why_bytes);
}

/* Takes the document. */
static int agent_make(struct yaml_doc *doc, const char *(*env)(const char *), struct agent **out,
                      char *why, size_t why_bytes)
{
    struct agent *a = yaml_doc_alloc(doc, sizeof(*a));
    int rc = -ENOMEM;

    if (a) {
        a->doc = doc;
        a->file = yaml_doc_file(doc);
        a->refs = 1;
        a->env = env;
        a->version = 1;
        rc = schema_read(&agent_schema, doc, a, why, why_bytes);
    }
    if (!rc)
        rc = folder_set(a);
    if (!rc)
        rc = agent_checks(a, why, why_bytes);
    if (rc == -ENOMEM)
        snprintf(why, why_bytes, "%s: out of memory", yaml_doc_file(doc));
    if (rc)
        yaml_doc_free(&doc);
    *out = rc ? NULL : a;
    return rc;
}

int agent_read(const char *file, struct slice text, const char *(*env)(const char *),
               struct agent **out, char *why, size_t why_bytes)
{
    struct yaml_doc *doc;
    int rc = yaml_doc_read(file, text, env, &doc, why, why_bytes);

    *out = NULL;
    return rc ? rc : agent_make(doc, env, out, why, why_bytes);
}

int agent_load(const char *path, const char *(*env)(const char *), struct agent **out, char *why,
               size_t why_bytes)
{
    struct yaml_doc *doc;
    int rc = yaml_doc_load(path, env, &doc, why, why_bytes);

    *out = NULL;
    return rc ? rc : agent_make(doc, env, out, why, why_bytes);
}

struct agent *agent_ref(struct agent *agent)
{
    agent->refs++;
    return agent;
}

void agent_put(struct agent **agent)
{
    struct agent *a = *agent;

    *agent = NULL;
    if (!a)
        return;
    assert(a->refs > 0);
    if (--a->refs)
        return;
    struct yaml_doc *doc = a->doc; /* which holds the agent itself */

    yaml_doc_free(&doc);
}

void agent_complain(const struct agent *agent, const char *key, char *why, size_t why_bytes,
                    const char *what)
{
    const struct yaml_node *n = schema_node(agent->doc, key);
    const struct yaml_node *block = NULL;
    char parent[YAML_KEY_BYTES + 1];

    /* What is missing is complained of where it should stand. */
    if (!n &&
        slice_cstr(slice_cut(slice_str(key), '.', &(struct slice){0}), parent, sizeof(parent)) == 0)
        block = schema_node(agent->doc, parent);
    if (block)
        snprintf(why, why_bytes, "%s:%u: %s: %s", agent->file, block->line, key, what);
    else if (n)
        config_complain(agent->doc, n, why, why_bytes, "%s", what);
    else
        snprintf(why, why_bytes, "%s:1: %s: %s", agent->file, key, what);
}

char *agent_example(void)
{
    return schema_example(&agent_schema);
}

char *agent_markdown(void)
{
    return schema_markdown(&agent_schema);
}
