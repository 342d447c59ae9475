/* Configuration and agent files: the table, its complaints word for word, reloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "base/limits.h"
#include "config/agent_set.h"
#include "config/config.h"

static const char *env_fake(const char *name)
{
    if (!strcmp(name, "KEY"))
        return "s3cret";
    if (!strcmp(name, "EMPTY"))
        return "";
    if (!strcmp(name, "BAD_TEXT"))
        return "\xff";
    return NULL;
}

struct bad {
    const char *text;
    const char *why;
};

/* ---- the reader ---- */

static const struct bad bad_yaml[] = {
    {"a: [1, 2\n", "f.yaml:2: a[2]: not valid YAML: did not find expected ',' or ']'"},
    {"- a\n", "f.yaml:1: the file must be a block of keys, not a list"},
    {"just text\n", "f.yaml:1: the file must be a block of keys"},
    {"a: 1\nb: 2\na: 3\n", "f.yaml:3: a: the key is given twice"},
    {"x:\n  a: 1\n  a: 3\n", "f.yaml:3: x.a: the key is given twice"},
    {"a: &x [1]\nb: *x\n", "f.yaml:1: a: anchors (&name) are not allowed"},
    {"a: *x\n", "f.yaml:1: a: aliases (*name) are not allowed"},
    {"a: !!binary aGk=\n", "f.yaml:1: a: tags (!name) are not allowed"},
    {"a: 1\n---\nb: 1\n", "f.yaml:2: the file holds a second document"},
    {"? [a, b]\n: 1\n", "f.yaml:1: a key must be plain text"},
    {"\"\": 1\n", "f.yaml:1: a key must be 1 to 64 bytes of text"},
    {"a:\n  b: ${MISSING}\n", "f.yaml:2: a.b: environment variable MISSING is not set"},
    {"a: ${}\n", "f.yaml:1: a: ${ must be followed by NAME} (write $${ for plain ${)"},
    {"a: ${KEY\n", "f.yaml:1: a: ${ must be followed by NAME} (write $${ for plain ${)"},
    {"a: ${BAD_TEXT}\n", "f.yaml:1: a: the environment variable is not UTF-8 text"},
    {"a: \"x\\0y\"\n", "f.yaml:1: a: the value holds a NUL character"},
    {"a: [[[[[[[[1]]]]]]]]\n", "f.yaml:1: a[0][0][0][0][0][0][0]: blocks are nested too deep"},
    {"a: ${NO}\nb:\n  c: ${KEY}\n  d: ${NO}/${NEITHER}\n",
     "f.yaml:1: a: environment variable NO is not set\n"
     "f.yaml:4: b.d: environment variable NO is not set\n"
     "f.yaml:4: b.d: environment variable NEITHER is not set"},
    {"a: ${NO}\nb: *x\n", "f.yaml:1: a: environment variable NO is not set\n"
                          "f.yaml:2: b: aliases (*name) are not allowed"},
    {"a: [x, [y, '${NO}']]\n", "f.yaml:1: a[1][1]: environment variable NO is not set"},
    {"\"a\\nb\": ${NO}\n", "f.yaml:1: a?b: environment variable NO is not set"},
};

static void yaml_refuses_with_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_yaml); i++) {
        char why[CONFIG_WHY_BYTES];
        struct yaml_doc *doc;

        assert_true(yaml_doc_read("f.yaml", slice_str(bad_yaml[i].text), env_fake, &doc, why,
                                  sizeof(why)) < 0);
        assert_null(doc);
        assert_string_equal(why, bad_yaml[i].why);
    }
}

static void yaml_keeps_places_and_texts(void **state)
{
    static const char text[] = "a: one\nb:\n  - x\n  - c: ${KEY}/$${KEY}\n# note\ne: '~'\nf: ~\n";
    char why[CONFIG_WHY_BYTES];
    char path[YAML_PATH_BYTES];
    struct yaml_doc *doc;

    (void)state;
    assert_int_equal(yaml_doc_read("f", SLICE(text), env_fake, &doc, why, sizeof(why)), 0);
    struct yaml_node *b = yaml_child(yaml_doc_root(doc), SLICE("b"));
    struct yaml_node *c = yaml_child(b->child->next, SLICE("c"));

    assert_int_equal(b->kind, YAML_LIST);
    assert_int_equal(b->count, 2);
    assert_string_equal(c->text, "s3cret/${KEY}");
    assert_true(c->from_env);
    assert_int_equal(c->line, 4);
    yaml_path(c, path, sizeof(path));
    assert_string_equal(path, "b[1].c");
    assert_false(yaml_is_null(yaml_child(yaml_doc_root(doc), SLICE("e"))));
    assert_true(yaml_is_null(yaml_child(yaml_doc_root(doc), SLICE("f"))));
    yaml_doc_free(&doc);
    assert_null(doc);
}

/* Reads `head`, then `unit` as often as said, then `tail`. */
static int read_repeated(const char *head, const char *unit, size_t times, const char *tail,
                         char *why)
{
    size_t len = strlen(head) + strlen(unit) * times + strlen(tail);
    char *text = malloc(len + 1);
    struct yaml_doc *doc;
    struct builder b = builder_of(text, len);

    assert_non_null(text);
    builder_str(&b, head);
    for (size_t i = 0; i < times; i++)
        builder_str(&b, unit);
    builder_str(&b, tail);
    int rc = yaml_doc_read("f", builder_slice(&b), env_fake, &doc, why, CONFIG_WHY_BYTES);

    yaml_doc_free(&doc);
    free(text);
    return rc;
}

static void yaml_is_bounded(void **state)
{
    char why[CONFIG_WHY_BYTES];

    (void)state;
    assert_int_equal(read_repeated("a: ", "x", YAML_SCALAR_MAX, "\n", why), 0);
    assert_int_equal(read_repeated("a: ", "x", YAML_SCALAR_MAX + 1, "\n", why), -EMSGSIZE);
    assert_string_equal(why, "f:1: a: the value is longer than 65536 bytes");
    /* the root, the list and its items */
    assert_int_equal(read_repeated("a: [", "1,", YAML_NODES_MAX - 2, "]\n", why), 0);
    assert_int_equal(read_repeated("a: [", "1,", YAML_NODES_MAX - 1, "]\n", why), -EMSGSIZE);
    assert_non_null(strstr(why, "the file holds too many values"));
    assert_int_equal(read_repeated("", "k", YAML_KEY_BYTES, ": 1\n", why), 0);
    assert_true(read_repeated("", "k", YAML_KEY_BYTES + 1, ": 1\n", why) < 0);
    assert_int_equal(read_repeated("", "#\n", CONFIG_BYTES_MAX / 2, "", why), 0);
    assert_int_equal(read_repeated("", "#\n", CONFIG_BYTES_MAX / 2, "#", why), -EMSGSIZE);
    assert_true(read_repeated("a: ", "[", 100000, "", why) < 0);
    assert_true(read_repeated("", "{", 100000, "", why) < 0);
}

static void yaml_keys_are_bounded(void **state)
{
    char text[YAML_KEYS_MAX * 12 + 64];
    char why[CONFIG_WHY_BYTES];
    struct yaml_doc *doc;
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    for (int i = 0; i < YAML_KEYS_MAX; i++)
        builder_printf(&b, "k%d: 1\n", i);
    assert_int_equal(yaml_doc_read("f", builder_slice(&b), NULL, &doc, why, sizeof(why)), 0);
    yaml_doc_free(&doc);
    builder_str(&b, "z: 1\n");
    assert_false(b.bad);
    assert_int_equal(yaml_doc_read("f", builder_slice(&b), NULL, &doc, why, sizeof(why)),
                     -EMSGSIZE);
}

/* ---- the server's file ---- */

static const struct bad bad_config[] = {
    {"sharts: 2\n", "f.yaml:1: sharts: unknown key; did you mean \"shards\"?"},
    {"apis:\n  bind: x\n", "f.yaml:1: apis: unknown key; did you mean \"api\"?"},
    {"bind: x\n", "f.yaml:1: bind: unknown key; did you mean \"api.bind\"?"},
    {"whatever: x\n", "f.yaml:1: whatever: unknown key"},
    {"api:\n  bnd: x\n", "f.yaml:2: api.bnd: unknown key; did you mean \"api.bind\"?"},
    {"api: 8000\n", "f.yaml:1: api: must be a block of keys"},
    {"data_dir: {a: b}\n", "f.yaml:1: data_dir: must be a single value"},
    {"data_dir: ''\n", "f.yaml:1: data_dir: \"\" is not a path"},
    {"shards: many\n", "f.yaml:1: shards: \"many\" is not a whole number"},
    {"shards: 49\n", "f.yaml:1: shards: \"49\" is outside 0 to 48"},
    {"shards: -1\n", "f.yaml:1: shards: \"-1\" is outside 0 to 48"},
    {"shards: 99999999999999999999\n",
     "f.yaml:1: shards: \"99999999999999999999\" is outside 0 to 48"},
    {"shards: ${KEY}\n", "f.yaml:1: shards: the value from the environment is not a whole number"},
    {"io: kqueue\n", "f.yaml:1: io: \"kqueue\" is not one of auto, uring, epoll"},
    {"recording:\n  enabled: maybe\n",
     "f.yaml:2: recording.enabled: \"maybe\" is neither true nor false"},
    {"api:\n  bind: localhost:8000\n",
     "f.yaml:2: api.bind: \"localhost:8000\" is not an address and port such as 127.0.0.1:8000"},
    {"api:\n  bind: ::1:8000\n",
     "f.yaml:2: api.bind: \"::1:8000\" is not an address and port such as 127.0.0.1:8000"},
    {"api:\n  bind: 127.0.0.1:65536\n",
     "f.yaml:2: api.bind: \"127.0.0.1:65536\" is not an address and port such as 127.0.0.1:8000"},
    {"rtp:\n  bind: any\n",
     "f.yaml:2: rtp.bind: \"any\" is not a numeric address such as 127.0.0.1 or ::1"},
    {"rtp:\n  ports: 10000\n",
     "f.yaml:2: rtp.ports: \"10000\" is not a port range such as 10000-19999"},
    {"rtp:\n  ports: 20000-10000\n", "f.yaml:2: rtp.ports: \"20000-10000\" must start at 1024 or "
                                     "above and not run backwards"},
    {"rtp:\n  ports: 10000-10000\n", "f.yaml:2: rtp.ports: must hold at least two ports"},
    {"public_url: voice.example\n",
     "f.yaml:1: public_url: \"voice.example\" must match ^(https?://[^[:space:]]+)?$"},
    {"store: mysql:x\n", "f.yaml:1: store: \"mysql:x\" must match ^sqlite:[^?#]*$"},
    {"agents: {a: b}\n", "f.yaml:1: agents: must be a list: [one, two]"},
    {"agents: [[a]]\n", "f.yaml:1: agents[0]: must be a plain text"},
    {"agents: ['']\n", "f.yaml:1: agents[0]: must not be empty"},
    {"media:\n  bind: 0.0.0.0:7860\n  token_required: never\n",
     "f.yaml:3: media.token_required: \"never\" is only for a loopback media.bind"},
    {"log:\n  level: ${MISSING}\n", "f.yaml:2: log.level: environment variable MISSING is not set"},
};

static void config_refuses_with_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_config); i++) {
        char why[CONFIG_WHY_BYTES];
        struct config *c;

        assert_int_equal(
            config_read("f.yaml", slice_str(bad_config[i].text), env_fake, &c, why, sizeof(why)),
            -EINVAL);
        assert_null(c);
        assert_string_equal(why, bad_config[i].why);
    }
}

static void config_has_the_defaults(void **state)
{
    char why[CONFIG_WHY_BYTES];
    struct config *c;

    (void)state;
    assert_int_equal(config_load(NULL, NULL, &c, why, sizeof(why)), 0);
    assert_string_equal(c->data_dir, "./sidetone-data");
    assert_string_equal(c->api_bind.host, "127.0.0.1");
    assert_int_equal(c->api_bind.port, 8000);
    assert_int_equal(c->media_bind.port, 7860);
    assert_true(c->media_bind.loopback);
    assert_int_equal(c->rtp_ports.first, 10000);
    assert_int_equal(c->rtp_ports.last, 19999);
    assert_int_equal(c->io, CONFIG_IO_AUTO);
    assert_int_equal(c->log_level, CONFIG_LOG_INFO);
    assert_true(c->recording_enabled);
    assert_int_equal(c->recording_format, CONFIG_RECORDING_MONO16K);
    assert_int_equal(c->agents.count, 0);
    assert_false(config_token_needed(c));
    config_free(&c);
    assert_null(c);
    config_free(&c);
}

/* Without a size of its own the journal has room for the calls that there may be. */
static void the_journal_follows_the_calls(void **state)
{
    static const struct {
        const char *text;
        uint32_t shards;
        size_t bytes;
    } cases[] = {
        {"{}", 1, 1001 * 65536},
        {"{}", 2, 501 * 65536},
        {"calls_max: 216", 1, 217 * 65536},
        {"calls_max: 64", 1, 65 * 65536},
        {"calls_max: 63", 1, 4 << 20},
        {"calls_max: 1", 48, 4 << 20},
        {"calls_max: 4095", 1, 256 << 20},
        {"calls_max: 100000", 1, 256 << 20},
        {"calls_max: 100000", 48, 2084 * 65536},
        {"{calls_max: 1000, journal: {region_mb: 1}}", 1, 1 << 20},
        {"{calls_max: 1, journal: {region_mb: 1024}}", 1, 1 << 30},
        {"{calls_max: 64, journal: {region_mb: 0}}", 1, 65 * 65536},
    };
    char why[500];
    struct config *c;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(
            config_read("f.yaml", slice_str(cases[i].text), NULL, &c, why, sizeof(why)), 0);
        assert_int_equal(config_journal_bytes(c, cases[i].shards), cases[i].bytes);
        config_free(&c);
    }
}

static void config_takes_what_it_is_given(void **state)
{
    static const char text[] = "data_dir: data\n"
                               "public_url: https://voice.example/\n"
                               "agents: [a.yaml, /etc/agents]\n"
                               "store: \n"
                               "media:\n  bind: '[::]:0'\n"
                               "rtp:\n  bind: ::1\n  ports: 20000-20099\n"
                               "recording:\n  enabled: off\n  format: stereo\n"
                               "io: epoll\n"
                               "log:\n";
    char why[CONFIG_WHY_BYTES];
    char keys[256];
    struct config *c;
    struct config *d;

    (void)state;
    assert_int_equal(config_read("/srv/s/conf.yaml", SLICE(text), env_fake, &c, why, sizeof(why)),
                     0);
    assert_string_equal(c->data_dir, "/srv/s/data");
    assert_string_equal(c->public_url, "https://voice.example");
    assert_string_equal(c->agents.at[0], "/srv/s/a.yaml");
    assert_string_equal(c->agents.at[1], "/etc/agents");
    assert_string_equal(c->store, "sqlite:");
    assert_true(c->media_bind.ipv6);
    assert_false(c->media_bind.loopback);
    assert_true(c->rtp_bind.loopback);
    assert_int_equal(c->rtp_ports.last, 20099);
    assert_false(c->recording_enabled);
    assert_int_equal(c->recording_format, CONFIG_RECORDING_STEREO);
    assert_true(config_token_needed(c));
    assert_int_equal(config_load(NULL, NULL, &d, why, sizeof(why)), 0);
    config_restart_keys(c, d, keys, sizeof(keys));
    assert_string_equal(keys, "data_dir, public_url, agents, io, media.bind, rtp.bind, rtp.ports, "
                              "recording.enabled, recording.format");
    config_restart_keys(d, d, keys, sizeof(keys));
    assert_string_equal(keys, "");
    config_free(&d);
    config_free(&c);
}

static void config_files_that_cannot_be_read(void **state)
{
    char why[CONFIG_WHY_BYTES];
    struct config *c;

    (void)state;
    assert_int_equal(config_load("/nowhere/x.yaml", NULL, &c, why, sizeof(why)), -ENOENT);
    assert_string_equal(why, "/nowhere/x.yaml: No such file or directory");
    assert_int_equal(config_load("/dev", NULL, &c, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "/dev: not a regular file");
}

/* The example is the defaults, written out. */
static void the_examples_load(void **state)
{
    char why[CONFIG_WHY_BYTES];
    char keys[256];
    char *text = config_example();
    struct config *c;
    struct config *d;
    struct agent *a;

    (void)state;
    assert_int_equal(config_read("example.yaml", slice_str(text), NULL, &c, why, sizeof(why)), 0);
    assert_int_equal(config_load(NULL, NULL, &d, why, sizeof(why)), 0);
    config_restart_keys(c, d, keys, sizeof(keys));
    assert_string_equal(keys, "");
    config_free(&c);
    config_free(&d);
    free(text);
    text = agent_example();
    assert_int_equal(agent_read("example.yaml", slice_str(text), NULL, &a, why, sizeof(why)), 0);
    assert_string_equal(a->id, "example");
    agent_put(&a);
    free(text);
}

/* ---- agents ---- */

static const struct bad bad_agent[] = {
    {"prompt: x\n", "desk.yaml:1: name: must be given"},
    {"name: '   '\n", "desk.yaml:1: name: must be 1 to 100 characters long, not 0"},
    {"name: \"a\\tb\"\n", "desk.yaml:1: name: \"a?b\" must match ^[^[:cntrl:]]+$"},
    {"name: x\nid: Desk\n", "desk.yaml:2: id: \"Desk\" must match ^([a-z0-9][a-z0-9_-]*)?$"},
    {"name: x\nstt:\n  provider: Whisper-1\n",
     "desk.yaml:3: stt.provider: \"Whisper-1\" must match ^[a-z0-9_]+$"},
    {"name: x\nstt:\n  words: {a: b}\n", "desk.yaml:3: stt.words: must be a single value"},
    {"name: x\nllm:\n  temperature: warm\n",
     "desk.yaml:3: llm.temperature: \"warm\" is not a number"},
    {"name: x\nllm:\n  temperature: 2.5\n",
     "desk.yaml:3: llm.temperature: \"2.5\" is outside 0 to 2"},
    {"name: x\nllm:\n  temperature: nan\n",
     "desk.yaml:3: llm.temperature: \"nan\" is not a number"},
    {"name: x\nllm:\n  temperature: 1e999\n",
     "desk.yaml:3: llm.temperature: \"1e999\" is not a number"},
    {"name: x\ncall_timeout_seconds: 59\n",
     "desk.yaml:2: call_timeout_seconds: \"59\" is outside 60 to 86400"},
    {"name: x\nllm:\n  temperature: 2.01\n",
     "desk.yaml:3: llm.temperature: \"2.01\" is outside 0 to 2"},
    {"name: x\nvad:\n  provider: webrtc\n",
     "desk.yaml:3: vad.provider: \"webrtc\" is not one of silero, energy, scripted"},
    {"name: x\npatience:\n  complete_ms: 900\n",
     "desk.yaml:2: patience: complete_ms must not be larger than open_ms"},
    {"name: x\npatience:\n  open_ms: 1600\n",
     "desk.yaml:2: patience: open_ms must not be larger than max_ms"},
    {"name: x\ngreting: hi\n", "desk.yaml:2: greting: unknown key; did you mean \"greeting\"?"},
    {"name: x\ngoodbye:\n  phrases: bye\n",
     "desk.yaml:3: goodbye.phrases: must be a list: [one, two]"},
    {"name: x\nhold_messages: [wait]\n", "desk.yaml:2: hold_messages: unknown key"},
    {"name: x\ninteraction_mode: non_conversational\n",
     "desk.yaml:2: interaction_mode: non_conversational needs a greeting to say"},
};

static void agent_refuses_with_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_agent); i++) {
        char why[CONFIG_WHY_BYTES];
        struct agent *a;

        assert_int_equal(
            agent_read("desk.yaml", slice_str(bad_agent[i].text), env_fake, &a, why, sizeof(why)),
            -EINVAL);
        assert_null(a);
        assert_string_equal(why, bad_agent[i].why);
    }
}

static void agent_name_counts_characters(void **state)
{
    char text[512];
    char why[CONFIG_WHY_BYTES];

    (void)state;
    for (size_t n = 100; n <= 101; n++) {
        struct builder b = builder_of(text, sizeof(text));
        struct agent *a;

        builder_str(&b, "name: ");
        for (size_t i = 0; i < n; i++)
            builder_str(&b, "\xc3\xa9"); /* two bytes each */
        builder_str(&b, "\n");
        assert_int_equal(agent_read("x.yaml", builder_slice(&b), NULL, &a, why, sizeof(why)),
                         n == 100 ? 0 : -EINVAL);
        agent_put(&a);
    }
    assert_string_equal(why, "x.yaml:1: name: must be 1 to 100 characters long, not 101");
}

static const char desk[] = "name: '  Front desk '\n"
                           "greeting: Hello\n"
                           "stt:\n"
                           "  provider: pocketsphinx\n"
                           "  grammar: clinic.gram\n"
                           "  key: ${KEY}\n"
                           "llm: {provider: rules, rules: clinic.rules, temperature: 0}\n"
                           "tts:\n"
                           "  voice: slt\n"
                           "  speed: 1.1\n"
                           "goodbye:\n  phrases: [goodbye]\n";

static void agent_keeps_settings_and_lines(void **state)
{
    char why[CONFIG_WHY_BYTES];
    struct agent *a;

    (void)state;
    assert_int_equal(
        agent_read("/etc/agents/clinic.yaml", SLICE(desk), env_fake, &a, why, sizeof(why)), 0);
    assert_string_equal(a->id, "clinic");
    assert_string_equal(a->name, "Front desk");
    assert_string_equal(a->folder, "/etc/agents");
    assert_int_equal(a->stt.settings.count, 2);
    assert_string_equal(a->stt.settings.at[0].key, "grammar");
    assert_string_equal(a->stt.settings.at[0].value, "clinic.gram");
    assert_int_equal(a->stt.settings.at[0].line, 5);
    assert_string_equal(a->stt.settings.at[1].value, "s3cret");
    assert_int_equal(a->llm.settings.count, 1);
    assert_true(a->llm.temperature == 0.0);
    assert_true(a->tts.speed > 1.09 && a->tts.speed < 1.11);
    assert_int_equal(a->tts.settings.count, 0);
    assert_int_equal(a->call_timeout_seconds, 600);
    assert_int_equal(a->goodbye_phrases.count, 1);
    agent_complain(a, "stt.grammar", why, sizeof(why), "unknown setting");
    assert_string_equal(why, "/etc/agents/clinic.yaml:5: stt.grammar: unknown setting");
    agent_complain(a, "tts.provider", why, sizeof(why), "unknown provider");
    assert_string_equal(why, "/etc/agents/clinic.yaml:8: tts.provider: unknown provider");
    struct agent *held = agent_ref(a);

    agent_put(&a);
    assert_null(a);
    assert_string_equal(held->greeting, "Hello");
    agent_put(&held);
}

/* ---- the set ---- */

static void file_put(const char *folder, const char *name, const char *text)
{
    char path[512];
    char part[520];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(part, sizeof(part), "%s.part", path);
    FILE *f = fopen(part, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(part, path), 0); /* a new inode: seen whatever the clock says */
}

struct seen {
    size_t changes;
    char why[CONFIG_WHY_BYTES];
};

static void change_seen(void *ctx, const struct agent_change *change)
{
    struct seen *s = ctx;

    s->changes++;
    snprintf(s->why, sizeof(s->why), "%s", change->why ? change->why : "");
}

static void file_drop(const char *folder, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void agent_declares_tools(void **state)
{
    static const char text[] =
        "name: Shop\n"
        "tools:\n"
        "  - name: order_status\n"
        "    description: Looks it up.\n"
        "    url: https://shop.example.com/t\n"
        "    timeout_ms: 1500\n"
        "    headers: {X-Key: \"a b\"}\n"
        "    parameters:\n"
        "      type: object\n"
        "      required: [number, \"2\"]\n"
        "      properties: {number: {type: string, maxLength: 12, deprecated: true}}\n"
        "  - {name: other, url: \"http://x/\"}\n";
    char why[CONFIG_WHY_BYTES];
    struct agent *a;

    (void)state;
    assert_int_equal(agent_read("s.yaml", SLICE(text), env_fake, &a, why, sizeof(why)), 0);
    assert_int_equal(a->tool_count, 2);
    assert_string_equal(a->tools[0].name, "order_status");
    assert_string_equal(a->tools[0].headers, "X-Key: a b\r\n");
    assert_int_equal(a->tools[0].timeout_ms, 1500);
    assert_string_equal(a->tools[0].parameters,
                        "{\"type\":\"object\",\"required\":[\"number\",\"2\"],\"properties\":{"
                        "\"number\":{\"type\":\"string\",\"maxLength\":12,\"deprecated\":true}}}");
    assert_null(a->tools[1].parameters);
    assert_int_equal(a->tools[1].timeout_ms, 4000);
    assert_ptr_equal(agent_tool_find(a, SLICE("other")), &a->tools[1]);
    assert_null(agent_tool_find(a, SLICE("othe")));
    agent_put(&a);
}

static void agent_refuses_wrong_tools(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"name: a\ntools: {}\n", "s.yaml:2: tools: must be a list"},
        {"name: a\ntools: [x]\n", "s.yaml:2: tools[0]: must be a block of keys"},
        {"name: a\ntools:\n  - url: http://x/\n", "s.yaml:3: tools[0]: name must be given"},
        {"name: a\ntools:\n  - name: a\n", "s.yaml:3: tools[0]: url must be given"},
        {"name: a\ntools:\n  - {name: \"a b\", url: \"http://x/\"}\n",
         "s.yaml:3: tools[0].name: must match ^[A-Za-z0-9_-]{1,64}$"},
        {"name: a\ntools:\n  - name: a\n    url: ftp://x/\n",
         "s.yaml:4: tools[0].url: must match ^https?://[!-~]+$"},
        {"name: a\ntools:\n  - name: a\n    url: http://x/\n    timeout_ms: 5\n",
         "s.yaml:5: tools[0].timeout_ms: must be a whole number from 100 to 30000"},
        {"name: a\ntools:\n  - name: a\n    url: http://x/\n    headers: {\"a b\": c}\n",
         "s.yaml:5: tools[0].headers.a b: is no header line"},
        {"name: a\ntools:\n  - name: a\n    url: http://x/\n    parameters: text\n",
         "s.yaml:5: tools[0].parameters: must be a JSON Schema of an object, written as YAML"},
        {"name: a\ntools:\n  - {name: a, url: \"http://x/\"}\n  - {name: a, url: \"http://y/\"}\n",
         "s.yaml:4: tools[1]: another tool has this name"},
    };
    char why[CONFIG_WHY_BYTES];
    struct agent *a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(
            agent_read("s.yaml", slice_str(cases[i].text), env_fake, &a, why, sizeof(why)),
            -EINVAL);
        assert_string_equal(why, cases[i].why);
    }
}

static void set_reloads_and_keeps_the_good(void **state)
{
    char folder[] = "/tmp/sidetone-agents-XXXXXX";
    char why[CONFIG_WHY_BYTES];
    struct agent_set *set;
    struct seen seen = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    const char *paths[] = {folder};

    file_put(folder, "b.yaml", "name: B\n");
    file_put(folder, "a.yml", "name: A\n");
    file_put(folder, "note.txt", "not: [an agent\n");
    assert_int_equal(agent_set_new(paths, 1, env_fake, &set, why, sizeof(why)), 0);
    assert_int_equal(agent_set_count(set), 2);
    assert_string_equal(agent_set_at(set, 0)->id, "a");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 0);
    assert_int_equal(seen.changes, 0);

    struct agent *old = agent_ref(agent_set_find(set, "b"));

    file_put(folder, "b.yaml", "name: B2\n");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 1);
    assert_string_equal(agent_set_find(set, "b")->name, "B2");
    assert_int_equal(agent_set_find(set, "b")->version, 2);
    assert_string_equal(old->name, "B"); /* a call goes on with what it began with */
    agent_put(&old);

    file_put(folder, "b.yaml", "nam: B3\n");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 0);
    assert_non_null(strstr(seen.why, "b.yaml:1: nam: unknown key; did you mean \"name\"?"));
    assert_string_equal(agent_set_find(set, "b")->name, "B2");
    seen.changes = 0;
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 0);
    assert_int_equal(seen.changes, 0); /* said once */

    file_put(folder, "c.yaml", "name: C\nid: a\n");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 0);
    assert_non_null(strstr(seen.why, "c.yaml:2: id: another agent file has the same id"));
    file_put(folder, "c.yaml", "name: C\n");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 1);
    file_drop(folder, "a.yml");
    assert_int_equal(agent_set_reload(set, false, change_seen, &seen), 1);
    assert_null(agent_set_find(set, "a"));
    assert_non_null(agent_set_find(set, "c"));
    assert_int_equal(agent_set_reload(set, true, NULL, NULL), 1); /* c; b is bad still */
    agent_set_free(&set);

    file_put(folder, "c.yaml", "name: C\nprompt: ${NO}\n");
    assert_true(agent_set_new(paths, 1, env_fake, &set, why, sizeof(why)) < 0);
    assert_null(set);
    assert_non_null(strstr(why, "b.yaml:1: nam"));
    assert_non_null(strstr(why, "c.yaml:2: prompt: environment variable NO is not set"));
    file_drop(folder, "b.yaml");
    file_drop(folder, "c.yaml");
    file_drop(folder, "note.txt");
    rmdir(folder);
}

/* ---- the documentation ---- */

/* Takes the table. */
static void doc_holds(const char *doc, char *table)
{
    if (!strstr(doc, table))
        fail_msg("docs/configuration.md lacks this table, word for word:\n%s", table);
    free(table);
}

static const char *source_file(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    size_t len = fread(text, 1, sizeof(text) - 1, f);

    fclose(f);
    assert_true(len > 0 && len < sizeof(text) - 1);
    text[len] = '\0';
    return text;
}

static void the_documentation_is_the_table(void **state)
{
    (void)state;
    doc_holds(source_file(SOURCE_DIR "/docs/configuration.md"), config_markdown());
    doc_holds(source_file(SOURCE_DIR "/docs/configuration.md"), agent_markdown());
}

static void the_shipped_examples_are_the_table(void **state)
{
    char *server = config_example();
    char *agent = agent_example();

    (void)state;
    assert_string_equal(source_file(SOURCE_DIR "/deploy/sidetone.yaml"), server);
    assert_string_equal(source_file(SOURCE_DIR "/deploy/agent.yaml"), agent);
    free(server);
    free(agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_refuses_with_a_place),
        cmocka_unit_test(yaml_keeps_places_and_texts),
        cmocka_unit_test(yaml_is_bounded),
        cmocka_unit_test(yaml_keys_are_bounded),
        cmocka_unit_test(config_refuses_with_a_place),
        cmocka_unit_test(config_has_the_defaults),
        cmocka_unit_test(the_journal_follows_the_calls),
        cmocka_unit_test(config_takes_what_it_is_given),
        cmocka_unit_test(config_files_that_cannot_be_read),
        cmocka_unit_test(the_examples_load),
        cmocka_unit_test(agent_refuses_with_a_place),
        cmocka_unit_test(agent_name_counts_characters),
        cmocka_unit_test(agent_keeps_settings_and_lines),
        cmocka_unit_test(agent_declares_tools),
        cmocka_unit_test(agent_refuses_wrong_tools),
        cmocka_unit_test(set_reloads_and_keeps_the_good),
        cmocka_unit_test(the_documentation_is_the_table),
        cmocka_unit_test(the_shipped_examples_are_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
