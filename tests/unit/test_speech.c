/* The embedded voice and ear together: what flite says, pocketsphinx hears; voices are cut short at
 * once, and the diphone voice gives the same samples every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "provider/provider.h"

#define SAMPLES_MAX 200000

struct engine {
    const struct provider_ops *ops;
    struct provider_config config;
    struct job_port port;
    void *session, *worker;
    uint64_t state[8];
    int16_t pcm[SAMPLES_MAX];
    size_t samples, stop_after;
    char final[500];
    unsigned spoken, finals, partials;
    bool stopped;
};

static bool emit(struct job_port *port, uint32_t tag, struct slice bytes)
{
    struct engine *e = container_of(port, struct engine, port);
    static struct intents out;
    struct provider_input in = {
        .kind = INPUT_JOB, .flag = tag, .data = bytes, .config = &e->config};
    intents_init(&out);
    e->ops->step(e->state, &in, 0, &out);
    for (size_t i = 0; i < out.count; i++) {
        struct slice text = out.list[i].text;
        e->spoken += out.list[i].event == EVENT_SPOKEN;
        e->finals += out.list[i].event == EVENT_FINAL;
        e->partials += out.list[i].event == EVENT_PARTIAL;
        if (out.list[i].event == EVENT_FINAL)
            slice_cstr(text, e->final, sizeof(e->final));
        if (out.list[i].event != EVENT_AUDIO || e->samples + text.len / 2 > SAMPLES_MAX)
            continue;
        memcpy(e->pcm + e->samples, text.at, text.len);
        e->samples += text.len / 2;
    }
    return true;
}

static bool cancelled(struct job_port *port)
{
    struct engine *e = container_of(port, struct engine, port);
    return e->stop_after && e->samples >= e->stop_after;
}

static int open_engine(struct engine *e, enum provider_kind kind, const char *name)
{
    char why[300] = "";
    e->ops = provider_find(kind, name);
    e->port = (struct job_port){emit, &e->worker, cancelled};
    e->session = calloc(1, e->ops->session_bytes);
    int err = e->ops->load(&e->config, &e->config.loaded, why, sizeof(why));
    if (!err)
        err = e->ops->job_open(e->session, &e->config, &e->port, why, sizeof(why));
    if (err)
        print_message("%s\n", why);
    return err;
}

static void close_engine(struct engine *e)
{
    e->ops->job_close(e->session, &e->port);
    e->ops->worker_close(e->worker);
    e->ops->unload(e->config.loaded);
    free(e->session);
}

static void input(struct engine *e, enum provider_input_kind kind, uint32_t epoch,
                  struct slice data)
{
    static struct intents out;
    struct provider_input in = {.kind = kind, .epoch = epoch, .data = data, .config = &e->config};
    intents_init(&out);
    e->ops->step(e->state, &in, 0, &out);
    assert_false(out.bad);
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].kind == INTENT_JOB)
            e->ops->job_run(e->session, out.list[i].flag, out.list[i].body, &e->port);
}

static struct engine *voice(const char *name, double speed)
{
    struct engine *e = calloc(1, sizeof(*e));
    e->config.voice = name;
    e->config.speed = speed;
    assert_int_equal(open_engine(e, PROVIDER_TTS, "flite"), 0);
    return e;
}

static void kal16_is_deterministic_and_speed_counts(void **state)
{
    (void)state;
    struct engine *a = voice("kal16", 1.0), *b = voice("kal16", 1.0), *c = voice("kal16", 1.5);
    input(a, INPUT_TEXT, 1, SLICE("We are open from eight until six."));
    input(b, INPUT_TEXT, 1, SLICE("We are open from eight until six."));
    input(c, INPUT_TEXT, 1, SLICE("We are open from eight until six."));
    assert_int_equal(a->spoken, 1);
    assert_in_range(a->samples, 20000, 60000);
    assert_int_equal(a->samples, b->samples);
    assert_memory_equal(a->pcm, b->pcm, a->samples * 2);
    assert_true((double)c->samples < 0.8 * (double)a->samples);
    close_engine(a);
    close_engine(b);
    close_engine(c);
    free(a);
    free(b);
    free(c);
}

static void silence_before_the_voice_is_short(void **state)
{
    static const char *const names[] = {"slt", "kal16", "kal"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct engine *e = voice(names[i], 1.0);
        size_t first = 0;
        input(e, INPUT_TEXT, 1, SLICE("Good morning."));
        while (first < e->samples && abs(e->pcm[first]) < 250)
            first++;
        assert_in_range(first, 0, 160);
        assert_in_range(e->samples, 8000, 40000);
        close_engine(e);
        free(e);
    }
}

static void cancel_stops_at_once(void **state)
{
    (void)state;
    struct engine *e = voice("slt", 1.0);
    e->stop_after = 1600;
    input(e, INPUT_TEXT, 1, SLICE("This is a long sentence, which nobody will hear to its end."));
    assert_in_range(e->samples, 1600, 4800);
    assert_int_equal(e->spoken, 0);
    e->stop_after = 0;
    input(e, INPUT_CANCEL, 1, SLICE_NONE);
    size_t before = e->samples;
    input(e, INPUT_TEXT, 1, SLICE("Late."));
    assert_int_equal(e->samples, before);
    input(e, INPUT_TEXT, 2, SLICE("..."));
    assert_int_equal(e->spoken, 1);
    close_engine(e);
    free(e);
}

static void unknown_voice_is_refused(void **state)
{
    (void)state;
    struct engine e = {.config = {.voice = "nobody"}};
    assert_int_equal(open_engine(&e, PROVIDER_TTS, "flite"), -22);
    free(e.session);
}

static void what_is_said_is_heard(void **state)
{
    static struct provider_setting settings[] = {{"grammar", "clinic.gram"}};
    int16_t quiet[320];
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
        quiet[i] = (int16_t)(i * 7919 % 41) - 20; /* no line is ever digitally silent */
    (void)state;
    struct engine *mouth = voice("kal", 1.0), *ear = calloc(1, sizeof(*ear));
    ear->config = (struct provider_config){.folder = SOURCE_DIR "/data/agents",
                                           .data_dir = SOURCE_DIR "/data",
                                           .settings = settings,
                                           .setting_count = 1};
    assert_int_equal(open_engine(ear, PROVIDER_STT, "pocketsphinx"), 0);
    input(mouth, INPUT_TEXT, 1, SLICE("i want to cancel my appointment"));
    for (int i = 0; i < 10; i++)
        input(ear, INPUT_AUDIO, 1, slice_of(quiet, sizeof(quiet)));
    for (size_t at = 0; at + 320 <= mouth->samples; at += 320)
        input(ear, INPUT_AUDIO, 1, slice_of(mouth->pcm + at, 640));
    for (int i = 0; i < 15; i++)
        input(ear, INPUT_AUDIO, 1, slice_of(quiet, sizeof(quiet)));
    input(ear, INPUT_FINISH, 1, SLICE_NONE);
    assert_true(ear->partials > 0);
    assert_int_equal(ear->finals, 1);
    assert_non_null(strstr(ear->final, "cancel my appointment"));
    input(ear, INPUT_AUDIO, 1, slice_of(mouth->pcm, 640)); /* late: of an utterance that is over */
    input(ear, INPUT_FINISH, 2, SLICE_NONE);               /* no audio at all */
    assert_int_equal(ear->finals, 2);
    assert_string_equal(ear->final, "");
    close_engine(ear);
    close_engine(mouth);
    free(ear);
    free(mouth);
}

static void an_adaptation_is_found_or_named(void **state)
{
    static struct provider_setting settings[] = {{"grammar", "clinic.gram"},
                                                 {"adaptation", "nothing.mllr"}};
    const struct provider_ops *ops = provider_find(PROVIDER_STT, "pocketsphinx");
    struct provider_config config = {.folder = SOURCE_DIR "/data/agents",
                                     .data_dir = SOURCE_DIR "/data",
                                     .settings = settings,
                                     .setting_count = 2};
    const void *loaded = NULL;
    char why[300] = "";
    (void)state;
    assert_int_not_equal(ops->load(&config, &loaded, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "data/agents/nothing.mllr"));
    settings[1].value = "none";
    assert_int_equal(ops->load(&config, &loaded, why, sizeof(why)), 0);
    ops->unload(loaded);
}

static void missing_grammar_names_it(void **state)
{
    static struct provider_setting settings[] = {{"grammar", "nothing.gram"}};
    (void)state;
    struct provider_config config = {
        .folder = "/nowhere", .data_dir = SOURCE_DIR "/data", .settings = settings};
    const struct provider_ops *ops = provider_find(PROVIDER_STT, "pocketsphinx");
    const void *loaded;
    char why[300] = "";
    assert_true(ops->load(&config, &loaded, why, sizeof(why)) < 0);
    assert_non_null(strstr(why, "stt.grammar"));
    config.setting_count = 1;
    assert_true(ops->load(&config, &loaded, why, sizeof(why)) < 0);
    assert_non_null(strstr(why, "/nowhere/nothing.gram"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kal16_is_deterministic_and_speed_counts),
                                       cmocka_unit_test(silence_before_the_voice_is_short),
                                       cmocka_unit_test(cancel_stops_at_once),
                                       cmocka_unit_test(unknown_voice_is_refused),
                                       cmocka_unit_test(what_is_said_is_heard),
                                       cmocka_unit_test(missing_grammar_names_it),
                                       cmocka_unit_test(an_adaptation_is_found_or_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
