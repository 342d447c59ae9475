/* What synthesisers behind a network share, where a transcript would be too long: a voice that does
 * not end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "provider/provider.h"

#define PIECE_BYTES 3200 /* 100 ms of 16 kHz */
#define PIECES_MAX  2000

static const struct provider_ops *ops;
static struct provider_config config;
static _Alignas(16) uint8_t memory[65536];
static struct intents out;
static int64_t now_ns;

/* What came of the last input. */
static struct {
    size_t audio_bytes;
    int closed, opened, failed, spoken;
} got;

static void note(const struct provider_intent *intent)
{
    got.closed += intent->kind == INTENT_CLOSE;
    got.opened += intent->kind == INTENT_CONNECT || intent->kind == INTENT_REQUEST;
    if (intent->kind != INTENT_EVENT)
        return;
    if (intent->event == EVENT_AUDIO)
        got.audio_bytes += intent->text.len;
    got.failed += intent->event == EVENT_FAILED;
    got.spoken += intent->event == EVENT_SPOKEN;
}

static void give(enum provider_input_kind kind, uint32_t epoch, uint32_t flag, struct slice data)
{
    struct provider_input in = {
        .kind = kind, .epoch = epoch, .flag = flag, .data = data, .config = &config};

    if (kind == INPUT_STATUS)
        in.status = 200;
    memset(&got, 0, sizeof(got));
    intents_init(&out);
    ops->step(memory, &in, now_ns, &out);
    for (size_t i = 0; i < out.count; i++)
        note(&out.list[i]);
}

static void begin(const char *name)
{
    char why[512];

    ops = provider_find(PROVIDER_TTS, name);
    assert_non_null(ops);
    assert_true(ops->state_bytes <= sizeof(memory));
    memset(memory, 0, sizeof(memory));
    config = (struct provider_config){.env_key = "k", .language = "en"};
    assert_int_equal(ops->load(&config, &config.loaded, why, sizeof(why)), 0);
    now_ns = SECONDS(1);
    give(INPUT_START, 0, 0, SLICE_NONE);
}

static void later(int64_t ns)
{
    now_ns += ns;
    give(INPUT_TIMER, 0, 0, SLICE_NONE);
}

/* Sound, piece after piece, as long as it is taken; how much was passed on. */
static size_t endless(enum provider_input_kind kind)
{
    static uint8_t piece[PIECE_BYTES];
    size_t bytes = 0;

    for (int i = 0; i < PIECES_MAX; i++) {
        now_ns += MS(10);
        give(kind, 0, 0, slice_of(piece, sizeof(piece)));
        bytes += got.audio_bytes;
        assert_int_equal(got.spoken, 0);
        if (got.closed)
            return bytes;
    }
    fail_msg("%zu bytes of sound were taken", bytes);
    return 0;
}

static void a_socket_whose_voice_does_not_end_is_asked_once_more(void **state)
{
    (void)state;
    begin("deepgram");
    give(INPUT_OPENED, 0, 0, SLICE_NONE);
    give(INPUT_TEXT, 1, 0, SLICE("Hello."));
    size_t bytes = endless(INPUT_BYTES);
    assert_in_range(bytes, 32000 * 5, 32000 * 15);
    assert_true(got.opened == 1 && got.failed == 0);
    give(INPUT_OPENED, 0, 0, SLICE_NONE);
    later(MS(400));
    assert_int_equal(endless(INPUT_BYTES), 0); /* all of it has been heard */
    assert_true(got.opened == 1 && got.failed == 1);
    give(INPUT_OPENED, 0, 0, SLICE_NONE);
    give(INPUT_TEXT, 2, 0, SLICE("Hello."));
    give(INPUT_BYTES, 0, 0, SLICE("\1\0\2\0"));
    assert_int_equal(got.audio_bytes, 4);
    give(INPUT_BYTES, 0, 1, SLICE("{\"type\":\"Flushed\"}"));
    assert_int_equal(got.spoken, 1);
    ops->unload(config.loaded);
}

static void so_is_a_request(void **state)
{
    (void)state;
    begin("openai");
    give(INPUT_TEXT, 1, 0, SLICE("Hello."));
    assert_int_equal(got.opened, 1);
    give(INPUT_STATUS, 0, 0, SLICE_NONE);
    size_t bytes = endless(INPUT_CHUNK);
    assert_in_range(bytes, 48000 * 5, 48000 * 15);
    assert_int_equal(got.failed, 0);
    later(MS(400));
    assert_int_equal(got.opened, 1);
    give(INPUT_STATUS, 0, 0, SLICE_NONE);
    assert_int_equal(endless(INPUT_CHUNK), 0);
    assert_int_equal(got.failed, 1);
    ops->unload(config.loaded);
}

/* Every byte of a text may sound for a while: a number is longer than it is written. */
static void a_long_text_may_sound_for_long(void **state)
{
    static const char text[] = "0049 170 12345678901234567890, 0049 170 12345678901234567890";
    (void)state;

    begin("deepgram");
    give(INPUT_OPENED, 0, 0, SLICE_NONE);
    give(INPUT_TEXT, 1, 0, slice_str(text));
    assert_true(endless(INPUT_BYTES) > sizeof(text) * 32000 * 3 / 10);
    ops->unload(config.loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_whose_voice_does_not_end_is_asked_once_more),
        cmocka_unit_test(so_is_a_request),
        cmocka_unit_test(a_long_text_may_sound_for_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
