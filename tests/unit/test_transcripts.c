/* Every transcript of tests/transcripts against its provider: whole, byte by byte, and cut off at
 * every byte in three ways; that every provider behind a network has one; and that the harness
 * itself notices what is wrong. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/transcripts/referee.h"
#include "tests/transcripts/replay.h"

#define FOLDER SOURCE_DIR "/tests/transcripts"

static struct replay_result result;

static void must(const char *file, const struct transcript *t, size_t i, struct replay_setup setup)
{
    if (replay_case(t, i, &setup, &result) == 0)
        return;
    fail_msg("%s, case \"%.*s\", mode %d, end %d, cut %zu: %s", file,
             SLICE_ARG(t->steps[t->case_at[i]].text), setup.mode, setup.end, setup.cut_at,
             result.why);
}

static void replay_all(const char *file, const struct transcript *t, size_t i)
{
    must(file, t, i, (struct replay_setup){.mode = REPLAY_WHOLE});
    must(file, t, i, (struct replay_setup){.mode = REPLAY_BYTES});
    size_t bytes = result.bytes;
    for (size_t at = 0; at < bytes; at++)
        for (int end = END_REFUSE; end <= END_WELL; end++)
            must(file, t, i,
                 (struct replay_setup){
                     .mode = REPLAY_CUT, .end = (enum replay_end)end, .cut_at = at});
}

static struct transcript *open_file(const char *name)
{
    char path[600], why[TRANSCRIPT_WHY_BYTES];

    snprintf(path, sizeof(path), FOLDER "/%s", name);
    struct transcript *t = transcript_new(path, why);
    if (!t)
        fail_msg("%s: %s", name, why);
    return t;
}

static void every_transcript_replays(void **state)
{
    DIR *dir = opendir(FOLDER);
    struct dirent *entry;
    size_t files = 0;

    (void)state;
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".txt") != 0)
            continue;
        struct transcript *t = open_file(entry->d_name);
        for (size_t i = 0; i < t->case_count; i++)
            replay_all(entry->d_name, t, i);
        transcript_free(&t);
        files++;
    }
    closedir(dir);
    assert_true(files > 0);
}

/* A provider that runs no jobs and reads no file of its own is behind a network. */
static bool is_remote(const struct provider_ops *ops)
{
    return !ops->job_run && strcmp(ops->name, "scripted") != 0 && strcmp(ops->name, "rules") != 0;
}

static void every_remote_provider_has_one(void **state)
{
    static const char *const kinds[] = {
        [PROVIDER_STT] = "stt", [PROVIDER_LLM] = "llm", [PROVIDER_TTS] = "tts"};
    const struct provider_ops *ops;

    (void)state;
    for (size_t i = 0; (ops = provider_at(i)); i++) {
        char name[64];
        if (!is_remote(ops))
            continue;
        snprintf(name, sizeof(name), "%s_%s.txt", kinds[ops->kind], ops->name);
        struct transcript *t = open_file(name);
        transcript_free(&t);
    }
}

/* ---- the harness itself ---- */

static void a_wrong_expectation_is_noticed(void **state)
{
    static struct transcript t;
    char why[TRANSCRIPT_WHY_BYTES];
    const char *text = "provider llm scripted\n"
                       "case it says something else\n"
                       "do start\n"
                       "do heard 1 hello\n"
                       "wait 5000\n"
                       "> understood 1 {\"intent\":\"scripted\",\"slots\":{}}\n"
                       "> said 1 You said good bye.\n"
                       "> done 1\n";

    (void)state;
    assert_int_equal(transcript_parse(&t, slice_str(text), why), 0);
    assert_int_equal(replay_case(&t, 0, &(struct replay_setup){.mode = REPLAY_WHOLE}, &result),
                     -EINVAL);
    assert_non_null(strstr(result.why, "You said hello."));
    assert_false(result.foul);
}

static void wrong_lines_are_refused(void **state)
{
    static struct transcript t;
    char why[TRANSCRIPT_WHY_BYTES];
    static const char *const wrong[] = {"",
                                        "provider llm scripted\n",
                                        "case a\nwhat\n",
                                        "case a\n< nothing\n",
                                        "case a\nwait soon\n",
                                        "case a\ndo audio 1\n",
                                        "case a\ndo finish\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(transcript_parse(&t, slice_str(wrong[i]), why), -EINVAL);
}

static void give(struct referee *r, enum provider_input_kind kind, uint32_t epoch)
{
    referee_input(r, &(struct provider_input){.kind = kind, .epoch = epoch});
}

static void tell(struct referee *r, enum provider_event_kind event, uint32_t epoch)
{
    referee_intent(r,
                   &(struct provider_intent){.kind = INTENT_EVENT, .event = event, .epoch = epoch});
}

static void two_finals_are_foul(void **state)
{
    struct referee r;

    (void)state;
    referee_init(&r, PROVIDER_STT);
    give(&r, INPUT_FINISH, 1);
    tell(&r, EVENT_FINAL, 1);
    assert_null(r.wrong);
    tell(&r, EVENT_FINAL, 1);
    assert_non_null(r.wrong);
}

static void no_final_is_foul(void **state)
{
    struct referee r;

    (void)state;
    referee_init(&r, PROVIDER_STT);
    give(&r, INPUT_FINISH, 1);
    referee_end(&r);
    assert_non_null(r.wrong);
}

static void a_word_after_a_cancel_is_foul(void **state)
{
    struct referee r;

    (void)state;
    referee_init(&r, PROVIDER_STT);
    give(&r, INPUT_CANCEL, 1);
    tell(&r, EVENT_PARTIAL, 1);
    assert_non_null(r.wrong);
}

static void smuggled_headers_are_foul(void **state)
{
    static const char *const heads[] = {"A: b\r\nC: d\n", "A: b\nC: d\r\n", "A b\r\n",
                                        "A: \x01\r\n", "A: b"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct referee r;
        referee_init(&r, PROVIDER_STT);
        struct provider_intent intent = {
            .kind = INTENT_CONNECT, .data = SLICE("ws://a/"), .head = slice_str(heads[i])};
        referee_intent(&r, &intent);
        assert_non_null(r.wrong);
    }
}

static void a_send_without_a_socket_is_foul(void **state)
{
    struct referee r;

    (void)state;
    referee_init(&r, PROVIDER_STT);
    referee_intent(&r, &(struct provider_intent){.kind = INTENT_SEND});
    assert_non_null(r.wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transcript_replays),
        cmocka_unit_test(every_remote_provider_has_one),
        cmocka_unit_test(a_wrong_expectation_is_noticed),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(two_finals_are_foul),
        cmocka_unit_test(no_final_is_foul),
        cmocka_unit_test(a_word_after_a_cancel_is_foul),
        cmocka_unit_test(smuggled_headers_are_foul),
        cmocka_unit_test(a_send_without_a_socket_is_foul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
