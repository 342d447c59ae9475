#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "provider/scripted.h"

static _Alignas(16) uint8_t memory[16384];
static struct intents out;
static struct provider_config config;
static int64_t now_ns;

static const struct provider_ops *begin(enum provider_kind kind, struct scripted *script)
{
    const struct provider_ops *ops = provider_find(kind, "scripted");

    assert_non_null(ops);
    assert_true(ops->state_bytes <= sizeof(memory));
    memset(memory, 0xA5, sizeof(memory));
    config = (struct provider_config){.agent = "a", .folder = ".", .loaded = script};
    now_ns = SECONDS(50);
    intents_init(&out);
    ops->step(memory, &(struct provider_input){.kind = INPUT_START, .config = &config}, now_ns,
              &out);
    assert_int_equal(out.count, 0);
    assert_true(ops->deadline(memory) == NEVER_NS);
    return ops;
}

static void give(const struct provider_ops *ops, struct provider_input input)
{
    intents_init(&out);
    input.config = &config;
    ops->step(memory, &input, now_ns, &out);
    assert_false(out.bad);
}

/* Goes on to the deadline. */
static void wait_for(const struct provider_ops *ops)
{
    int64_t due = ops->deadline(memory);

    assert_true(due < NEVER_NS);
    now_ns = due > now_ns ? due : now_ns;
    give(ops, (struct provider_input){.kind = INPUT_TIMER});
}

static bool said(size_t i, enum provider_event_kind event, const char *text)
{
    return i < out.count && out.list[i].kind == INTENT_EVENT && out.list[i].event == event &&
           slice_equal(out.list[i].text, slice_str(text));
}

static struct scripted script;

static void parse(const char *text)
{
    char why[SCRIPTED_WHY_BYTES];

    assert_int_equal(scripted_parse(&script, slice_str(text), why), 0);
}

/* ---- recognition ---- */

static void stt_follows_its_lines(void **state)
{
    (void)state;
    parse("stt \"what time\" partial at 300ms complete final after 40ms\n"
          "stt \"good bye\" final after 1s\n"
          "stt \"and so on\" partial at 1s complete ended\n");
    const struct provider_ops *stt = begin(PROVIDER_STT, &script);
    give(stt, (struct provider_input){.kind = INPUT_SPEECH, .epoch = 1, .flag = 1});
    assert_true(stt->deadline(memory) == now_ns + MS(300));
    wait_for(stt);
    assert_int_equal(out.count, 1);
    assert_true(said(0, EVENT_PARTIAL, "what time"));
    assert_int_equal(out.list[0].flag, EVENT_COMPLETE);
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 1});
    assert_int_equal(out.count, 0);
    assert_true(stt->deadline(memory) == now_ns + MS(40));
    wait_for(stt);
    assert_true(said(0, EVENT_FINAL, "what time"));
    assert_int_equal(out.list[0].epoch, 1);
    assert_int_equal(out.list[0].confidence, 100);
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 2});
    assert_true(stt->deadline(memory) == now_ns + SECONDS(1));
    wait_for(stt);
    assert_true(said(0, EVENT_FINAL, "good bye"));
    give(stt, (struct provider_input){.kind = INPUT_SPEECH, .epoch = 3, .flag = 1});
    wait_for(stt);
    assert_true(said(0, EVENT_PARTIAL, "and so on"));
    assert_int_equal(out.list[0].flag, EVENT_COMPLETE | EVENT_ENDED);
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 3});
    wait_for(stt);
    /* behind the last line nothing is understood */
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 4});
    wait_for(stt);
    assert_true(said(0, EVENT_FINAL, ""));
}

static void stt_gives_a_cancelled_line_again(void **state)
{
    (void)state;
    parse("stt \"one\"\nstt \"two\"\n");
    const struct provider_ops *stt = begin(PROVIDER_STT, &script);
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 1});
    give(stt, (struct provider_input){.kind = INPUT_CANCEL, .epoch = 1});
    assert_true(stt->deadline(memory) == NEVER_NS);
    give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = 2});
    wait_for(stt);
    assert_true(said(0, EVENT_FINAL, "one"));
}

static void stt_counts_without_lines(void **state)
{
    (void)state;
    parse("");
    const struct provider_ops *stt = begin(PROVIDER_STT, &script);
    for (int i = 0; i < 2; i++) {
        give(stt, (struct provider_input){.kind = INPUT_FINISH, .epoch = (uint32_t)i});
        wait_for(stt);
        assert_true(said(0, EVENT_FINAL, i ? "utterance 2" : "utterance 1"));
    }
}

/* ---- answers ---- */

static void answer(const struct provider_ops *llm, uint32_t epoch, enum turn_kind kind,
                   const char *text)
{
    const struct provider_turn turn = {.kind = kind, .text = slice_str(text)};

    give(llm, (struct provider_input){.kind = INPUT_TURN, .epoch = epoch, .turn = &turn});
}

static void llm_follows_its_lines(void **state)
{
    (void)state;
    parse("llm \"We are open.\" first token after 50ms every 20ms\n"
          "llm \"Bye.\" then hang up\n");
    const struct provider_ops *llm = begin(PROVIDER_LLM, &script);
    answer(llm, 1, TURN_HEARD, "hello");
    give(llm, (struct provider_input){.kind = INPUT_COMMIT, .epoch = 1});
    int64_t asked = now_ns;
    wait_for(llm);
    assert_true(now_ns == asked + MS(50));
    assert_int_equal(out.count, 2);
    assert_int_equal(out.list[0].event, EVENT_UNDERSTOOD);
    assert_true(said(1, EVENT_TEXT, "We "));
    wait_for(llm);
    assert_true(said(0, EVENT_TEXT, "are "));
    wait_for(llm);
    assert_true(now_ns == asked + MS(90));
    assert_true(said(0, EVENT_TEXT, "open."));
    assert_true(said(1, EVENT_DONE, ""));
    answer(llm, 2, TURN_HEARD, "thanks");
    give(llm, (struct provider_input){.kind = INPUT_COMMIT, .epoch = 2});
    wait_for(llm);
    assert_true(said(1, EVENT_TEXT, "Bye.") && said(2, EVENT_HANG_UP, "") &&
                said(3, EVENT_DONE, ""));
    /* behind the last line it repeats what it was told */
    answer(llm, 3, TURN_HEARD, "more");
    wait_for(llm);
    assert_true(said(1, EVENT_TEXT, "You said more."));
}

static void llm_gives_an_uncommitted_answer_again(void **state)
{
    (void)state;
    parse("llm \"one\"\nllm \"two\"\n");
    const struct provider_ops *llm = begin(PROVIDER_LLM, &script);
    answer(llm, 1, TURN_HEARD, "x");
    give(llm, (struct provider_input){.kind = INPUT_CANCEL, .epoch = 1});
    assert_true(llm->deadline(memory) == NEVER_NS);
    answer(llm, 2, TURN_HEARD, "y");
    wait_for(llm);
    assert_true(said(1, EVENT_TEXT, "one"));
}

static void llm_echoes_every_kind_of_turn(void **state)
{
    static char long_text[5000];
    (void)state;
    parse("");
    const struct provider_ops *llm = begin(PROVIDER_LLM, &script);
    memset(long_text, 'x', sizeof(long_text) - 1);
    for (uint32_t kind = TURN_HEARD; kind <= TURN_TOOL; kind++) {
        answer(llm, kind + 1, (enum turn_kind)kind, long_text);
        wait_for(llm);
        assert_int_equal(out.count, 3);
        assert_in_range(out.list[1].text.len, 1, 512);
    }
}

/* ---- speech ---- */

/* Collects the audio of what waits; the number of samples. */
static int64_t listen(const struct provider_ops *tts, int64_t *first_ns, int *spoken)
{
    int64_t samples = 0;

    *first_ns = -1;
    *spoken = 0;
    while (tts->deadline(memory) < NEVER_NS) {
        wait_for(tts);
        for (size_t i = 0; i < out.count; i++) {
            if (out.list[i].event == EVENT_SPOKEN)
                ++*spoken;
            if (out.list[i].event != EVENT_AUDIO)
                continue;
            if (*first_ns < 0)
                *first_ns = now_ns;
            int16_t first;
            memcpy(&first, out.list[i].text.at, sizeof(first));
            assert_int_equal(first, scripted_sample(1, samples));
            samples += (int64_t)out.list[i].text.len / 2;
        }
    }
    return samples;
}

static void tts_speaks_as_long_as_its_text(void **state)
{
    int64_t first_ns;
    int spoken;
    (void)state;
    parse("tts first byte after 70ms at 4x\n");
    const struct provider_ops *tts = begin(PROVIDER_TTS, &script);
    int64_t asked = now_ns;
    give(tts, (struct provider_input){
                  .kind = INPUT_TEXT, .epoch = 1, .data = SLICE("Hello there, caller.")});
    give(tts, (struct provider_input){.kind = INPUT_TEXT, .epoch = 1, .data = SLICE("Bye")});
    int64_t samples = listen(tts, &first_ns, &spoken);
    assert_int_equal(samples, scripted_samples(20) + scripted_samples(3));
    assert_int_equal(scripted_samples(20), 20 * 55 * 8);
    assert_int_equal(spoken, 2);
    assert_true(first_ns == asked + MS(70));
    /* at four times real time, the last piece is due one piece before the end */
    int64_t took = now_ns - first_ns, whole = samples * (NS_PER_S / SCRIPTED_RATE_HZ) / 4;
    assert_true(took < whole && took >= whole - MS(5));
}

static void tts_stops_when_cancelled(void **state)
{
    (void)state;
    parse("");
    const struct provider_ops *tts = begin(PROVIDER_TTS, &script);
    give(tts, (struct provider_input){.kind = INPUT_TEXT, .epoch = 1, .data = SLICE("Hello")});
    wait_for(tts);
    give(tts, (struct provider_input){.kind = INPUT_CANCEL, .epoch = 1});
    assert_int_equal(out.count, 0);
    assert_true(tts->deadline(memory) == NEVER_NS);
}

static void tts_bounds_its_queue(void **state)
{
    (void)state;
    parse("");
    const struct provider_ops *tts = begin(PROVIDER_TTS, &script);
    for (int i = 0; i < 64; i++) {
        give(tts, (struct provider_input){.kind = INPUT_TEXT, .epoch = 1, .data = SLICE("x")});
        assert_int_equal(out.count, 0);
    }
    give(tts, (struct provider_input){.kind = INPUT_TEXT, .epoch = 1, .data = SLICE("x")});
    assert_true(said(0, EVENT_FAILED, ""));
    /* a shard that was away for a second gets a bounded piece of it at once */
    now_ns += SECONDS(60);
    give(tts, (struct provider_input){.kind = INPUT_TIMER});
    assert_in_range(out.count, 12, 24);
}

static void replies_are_told_apart(void **state)
{
    (void)state;
    for (uint32_t reply = 1; reply < 12; reply++) {
        int64_t period = scripted_period(reply);
        assert_int_not_equal(period, scripted_period(reply + 1));
        assert_int_equal(scripted_sample(reply, 0), scripted_sample(reply, period));
        assert_true(scripted_sample(reply, 0) >= 8000);
    }
    assert_int_equal(scripted_samples(0), 200 * 8);
    assert_int_equal(scripted_samples(1000000), 20000 * 8);
}

/* ---- loading ---- */

static void settings_are_checked(void **state)
{
    struct provider_setting setting = {"tts_speed", "20"};
    const void *loaded = NULL;
    char why[256] = "";
    const struct provider_ops *tts = provider_find(PROVIDER_TTS, "scripted");
    (void)state;

    config = (struct provider_config){.folder = ".", .settings = &setting, .setting_count = 1};
    assert_int_equal(tts->load(&config, &loaded, why, sizeof(why)), 0);
    assert_int_equal(((const struct scripted *)loaded)->tts_speed, 20);
    tts->unload(loaded);
    const char *const bad[] = {"0", "1001", "fast", ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        setting.value = bad[i];
        assert_int_equal(tts->load(&config, &loaded, why, sizeof(why)), -EINVAL);
        assert_non_null(strstr(why, "tts_speed"));
    }
    setting = (struct provider_setting){"script", "no/such.script"};
    assert_int_equal(tts->load(&config, &loaded, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "no/such.script"));
}

static void scripts_have_bounds(void **state)
{
    static char text[SCRIPTED_FILE_BYTES + 2];
    char why[SCRIPTED_WHY_BYTES];
    (void)state;

    for (int extra = 0; extra < 2; extra++) {
        struct builder b = builder_of(text, sizeof(text));
        for (int i = 0; i < SCRIPTED_LINES_MAX + extra; i++)
            builder_str(&b, "stt \"x\"\n");
        assert_int_equal(scripted_parse(&script, builder_slice(&b), why), extra ? -EINVAL : 0);
    }
    struct builder b = builder_of(text, sizeof(text));
    for (int i = 0; i < 9; i++) {
        builder_str(&b, "llm \"");
        for (int k = 0; k < 2000; k++)
            builder_u8(&b, 'x');
        builder_str(&b, "\"\n");
    }
    assert_int_equal(scripted_parse(&script, builder_slice(&b), why), -EINVAL);
    assert_non_null(strstr(why, "line 9"));
    assert_int_equal(scripted_parse(&script, slice_of(text, SCRIPTED_FILE_BYTES + 1), why),
                     -EINVAL);
}

static void bad_lines_are_named(void **state)
{
    static const char *const bad[] = {
        "stt hello",
        "stt \"x",
        "stt \"x\" final",
        "stt \"x\" partial at 3",
        "stt \"x\" more",
        "llm \"x\" every",
        "llm \"x\" \"y\"",
        "tts first byte after 700000ms",
        "tts at 1001x",
        "caller says for 1s",
        "\"stt\" \"x\"",
        "stt \"\xff\"",
        "llm \"\xc3\" every 1ms",
        "stt \"x\" final after 18446744073709551616ms",
    };
    char why[SCRIPTED_WHY_BYTES];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text), "\n# comment\n%s\n", bad[i]);
        assert_int_equal(scripted_parse(&script, slice_str(text), why), -EINVAL);
        assert_int_equal(strncmp(why, "line 3: ", 8), 0);
    }
    parse("stt \"say \\\"x\\\" \\\\ #1\" # and this is a comment\n");
    assert_true(slice_equal(script.stt[0].text, SLICE("say \"x\" \\ #1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stt_follows_its_lines),
        cmocka_unit_test(stt_gives_a_cancelled_line_again),
        cmocka_unit_test(stt_counts_without_lines),
        cmocka_unit_test(llm_follows_its_lines),
        cmocka_unit_test(llm_gives_an_uncommitted_answer_again),
        cmocka_unit_test(llm_echoes_every_kind_of_turn),
        cmocka_unit_test(tts_speaks_as_long_as_its_text),
        cmocka_unit_test(tts_stops_when_cancelled),
        cmocka_unit_test(tts_bounds_its_queue),
        cmocka_unit_test(replies_are_told_apart),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(scripts_have_bounds),
        cmocka_unit_test(bad_lines_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
