#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tools/providers/service.h"
#include "tools/providers/settings.h"

static int read_text(const char *text, struct settings *s, char *why)
{
    return settings_read("x.yaml", slice_str(text), service_names(), s, why);
}

static void an_empty_file_is_one(void **state)
{
    struct settings s;
    char why[SETTINGS_WHY_BYTES];
    (void)state;

    assert_int_equal(read_text("", &s, why), 0);
    assert_int_equal(s.bind.port, 9900);
    assert_true(s.end_of_turn.a_ms == 260 && s.first_token.a_ms == 160 && s.first_audio.a_ms == 90);
    assert_int_equal(s.script_count, 1);
    assert_int_equal(s.scripts[0].count, 0);
    assert_true(s.log == NULL && s.voice.samples == 0);
    settings_free(&s);
}

static void the_example_loads(void **state)
{
    struct settings s;
    char why[SETTINGS_WHY_BYTES];
    char *text = settings_example();
    (void)state;

    assert_non_null(text);
    if (read_text(text, &s, why) < 0)
        fail_msg("%s", why);
    settings_free(&s);
    free(text);
}

static void all_is_read(void **state)
{
    struct settings s;
    char why[SETTINGS_WHY_BYTES];
    (void)state;

    int err = read_text("bind: 127.0.0.1:0\nlog_sent: true\n"
                        "hear:\n  texts: [one, \"@1.5 two\"]\n  count: server\n"
                        "  end_of_turn: uniform 200 300\n"
                        "answer:\n  rules: ['a => b', '* => call f {}']\n  texts: [x]\n"
                        "faults: ['* every 3: reset', 'vosk: close 1001']\n",
                        &s, why);
    if (err)
        fail_msg("%s", why);
    assert_true(s.log_sent);
    assert_int_equal(s.scripts[0].count, 2);
    assert_int_equal(s.scripts[0].lines[1].at_ms, 1500);
    assert_int_equal(s.hear_count, HEAR_BY_SERVER);
    assert_true(s.end_of_turn.kind == DELAY_UNIFORM);
    assert_true(slice_equal(s.rules[0].match, SLICE("a")));
    assert_int_equal(s.faults[1].number, 1001);
    settings_free(&s);
}

/* What is wrong is named with file, line and key. */
static void refused(const char *text, const char *wanted)
{
    struct settings s;
    char why[SETTINGS_WHY_BYTES] = "";

    assert_int_equal(read_text(text, &s, why), -EINVAL);
    if (strncmp(why, wanted, strlen(wanted)) != 0)
        fail_msg("%s instead of %s", why, wanted);
}

static void errors_name_file_line_and_key(void **state)
{
    (void)state;
    refused("hear:\n  end_of_turn: soon\n", "x.yaml:2: hear.end_of_turn: is not");
    refused("answer:\n  token: uniform 9 1\n", "x.yaml:2: answer.token: runs backwards");
    refused("hear:\n  texts:\n    - a\n    - \"@x b\"\n",
            "x.yaml:4: hear.texts[1]: does not begin");
    refused("answer:\n  rules: [no]\n", "x.yaml:2: answer.rules[0]: has no \"=>\"");
    refused("answer:\n  texts: ['call f 1']\n", "x.yaml:2: answer.texts[0]: calls a tool");
    refused("faults:\n  - 'nobody: reset'\n", "x.yaml:2: faults[0]: there is no service");
    refused("faults:\n  - 'vosk: melt'\n", "x.yaml:2: faults[0]: is no fault");
    refused("hear:\n  files: [missing.txt]\n", "x.yaml:2: hear.files[0]: cannot be read");
    refused("hear:\n  texts: [a]\n  files: [b]\n", "x.yaml:3: hear.files: there is also");
    refused("speak:\n  wav: missing.wav\n", "x.yaml:2: speak.wav: cannot be read");
    refused("speek:\n  wav: x\n", "x.yaml:1: speek: unknown key");
    refused("speak:\n  speed: 0\n", "x.yaml:2: speak.speed: ");
}

/* A file in the build's folder, gone again with remove(). */
static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void scripts_come_from_files(void **state)
{
    struct settings s;
    char why[SETTINGS_WHY_BYTES], path[64], text[160];
    (void)state;

    snprintf(path, sizeof(path), "/tmp/simulated-%d.txt", (int)getpid());
    snprintf(text, sizeof(text), "hear: {files: [%s, %s]}\n", path, path);
    write_file(path, "# a comment\nfirst\n\n@3 second\n");
    assert_int_equal(read_text(text, &s, why), 0);
    assert_int_equal(s.script_count, 2);
    assert_int_equal(s.scripts[1].count, 2);
    assert_int_equal(s.scripts[1].lines[1].at_ms, 3000);
    settings_free(&s);
    write_file(path, "fine\n@ wrong\n");
    assert_int_equal(read_text(text, &s, why), -EINVAL);
    assert_non_null(strstr(why, ".txt:2: does not begin"));
    write_file(path, "RIFF, but no more");
    snprintf(text, sizeof(text), "speak: {wav: %s}\n", path);
    assert_int_equal(read_text(text, &s, why), -EINVAL);
    assert_non_null(strstr(why, "is no WAV"));
    remove(path);
}

static void requests_find_their_service(void **state)
{
    struct request r = {.method = SLICE("POST"), .path = SLICE("/v1/speak")};
    size_t index;
    bool known;
    (void)state;

    assert_ptr_equal(service_find(&r, false, &index, &known), &service_deepgram_speak_http);
    r.method = SLICE("GET");
    assert_ptr_equal(service_find(&r, true, &index, &known), &service_deepgram_speak);
    assert_ptr_equal(services[index], &service_deepgram_speak);
    assert_null(service_find(&r, false, &index, &known));
    assert_true(known);
    r.path = SLICE("/v2/speak");
    assert_null(service_find(&r, true, &index, &known));
    assert_false(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_one),
        cmocka_unit_test(the_example_loads),
        cmocka_unit_test(all_is_read),
        cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(scripts_come_from_files),
        cmocka_unit_test(requests_find_their_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
