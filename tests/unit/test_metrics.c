#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"

static char text[METRICS_TEXT_BYTES_MAX + 1];

static void read_all(void)
{
    struct builder b = builder_of(text, METRICS_TEXT_BYTES_MAX);

    metrics_write(&b);
    assert_false(b.bad);
    text[b.len] = '\0';
}

static void expect_line(const char *line)
{
    char whole[256];

    read_all();
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line \"%s\"", line);
}

static void counters_and_gauges_add_up(void **state)
{
    (void)state;
    metrics_add(METRIC_TURNS, 2);
    metrics_add(METRIC_TURNS, 1);
    metrics_set(METRIC_CALLS_ACTIVE, 5);
    metrics_change(METRIC_CALLS_ACTIVE, -2);
    metrics_add(METRIC_CALLS_ENDED_FAILED, 4);
    assert_int_equal(metrics_read(METRIC_TURNS), 3);
    assert_int_equal(metrics_read(METRIC_CALLS_ACTIVE), 3);
    expect_line("sidetone_turns_total 3");
    expect_line("sidetone_calls_active 3");
    expect_line("sidetone_calls_ended_total{status=\"failed\"} 4");
    expect_line("sidetone_calls_ended_total{status=\"completed\"} 0");
    metrics_set(METRIC_CALLS_ACTIVE, -7);
    expect_line("sidetone_calls_active -7");
}

static void a_span_falls_into_its_bucket(void **state)
{
    (void)state;
    metrics_observe(METRIC_VOICE_TO_VOICE, MS(500)); /* the bound belongs to its bucket */
    metrics_observe(METRIC_VOICE_TO_VOICE, MS(500) + 1);
    metrics_observe(METRIC_VOICE_TO_VOICE, -3);
    metrics_observe(METRIC_VOICE_TO_VOICE, SECONDS(100));
    assert_int_equal(metrics_read(METRIC_VOICE_TO_VOICE), 4);
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"0.005\"} 1");
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"0.4\"} 1");
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"0.5\"} 2");
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"0.6\"} 3");
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"5\"} 3");
    expect_line("sidetone_voice_to_voice_seconds_bucket{le=\"+Inf\"} 4");
    expect_line("sidetone_voice_to_voice_seconds_sum 101.000000001");
    expect_line("sidetone_voice_to_voice_seconds_count 4");
    /* One with fewer bounds than there is room for. */
    metrics_observe(METRIC_TICK_LATE, SECONDS(3));
    expect_line("sidetone_tick_late_seconds_bucket{le=\"0.2\"} 0");
    expect_line("sidetone_tick_late_seconds_bucket{le=\"+Inf\"} 1");
    metrics_observe(METRIC_STAGE_FIRST_AUDIO, MS(7));
    expect_line("sidetone_turn_stage_seconds_bucket{stage=\"first_audio\",le=\"0.01\"} 1");
    expect_line("sidetone_turn_stage_seconds_sum{stage=\"first_audio\"} 0.007");
}

static void close_codes_are_few(void **state)
{
    (void)state;
    int64_t other = metrics_read(METRIC_WS_CLOSE_OTHER);

    metrics_add(metrics_ws_close(1009), 1);
    assert_int_equal(metrics_read(METRIC_WS_CLOSE_1009), 1);
    for (unsigned code = 3000; code < 5000; code++)
        metrics_add(metrics_ws_close((uint16_t)code), 1);
    assert_int_equal(metrics_read(METRIC_WS_CLOSE_OTHER), other + 2000);
}

/* ---- the format ---- */

static size_t name_len(const char *at)
{
    size_t n = 0;

    if (!isalpha((unsigned char)at[0]) && at[0] != '_')
        return 0;
    while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == ':')
        n++;
    return n;
}

/* name{label="value",...} value */
static void check_sample(const char *line, const char *family, size_t family_len)
{
    size_t n = name_len(line);
    char *end;

    assert_true(n >= family_len && strncmp(line, family, family_len) == 0);
    line += n;
    if (*line == '{') {
        do {
            n = name_len(++line);
            assert_true(n > 0);
            line += n;
            assert_true(line[0] == '=' && line[1] == '"');
            line = strchr(line + 2, '"');
            assert_non_null(line);
        } while (*++line == ',');
        assert_int_equal(*line++, '}');
    }
    assert_int_equal(*line, ' ');
    strtod(line + 1, &end);
    assert_true(end > line + 1 && *end == '\0');
}

/* # HELP, # TYPE, then this family's samples and no others; each family once. */
static void the_text_follows_the_format(void **state)
{
    (void)state;
    static char seen[METRICS_TEXT_BYTES_MAX];
    char family[128] = "", marked[140], type[16], *rest = NULL;
    size_t samples = 0, families = 0, seen_len = 0;

    read_all();
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(families++ == 0 || samples > 0);
            assert_int_equal(sscanf(line + 7, "%127s", family), 1);
            assert_true(strlen(line) > 8 + strlen(family)); /* there is a help text */
            snprintf(marked, sizeof(marked), "|%s|", family);
            assert_null(strstr(seen, marked));
            seen_len += (size_t)snprintf(seen + seen_len, sizeof(seen) - seen_len, "%s", marked);
            samples = 0;
        } else if (line[0] == '#') {
            char of[128];
            assert_int_equal(sscanf(line, "# TYPE %127s %15s", of, type), 2);
            assert_string_equal(of, family);
            bool total = strlen(of) > 6 && strcmp(of + strlen(of) - 6, "_total") == 0;
            assert_int_equal(total, strcmp(type, "counter") == 0);
        } else {
            check_sample(line, family, strlen(family));
            samples++;
        }
    }
    assert_true(families > 30 && samples > 0);
}

/* ---- threads ---- */
#define THREADS 4
#define ROUNDS  50000

static void *count_up(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(METRIC_RTP_PACKETS_IN, 1);
        metrics_change(METRIC_FRAMES_USED, 1);
        metrics_observe(METRIC_SLOT_LATE, MS(1));
    }
    return arg;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int64_t before = 0;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 200; i++) { /* a reader meanwhile: it never sees a counter go back */
        int64_t now = metrics_read(METRIC_RTP_PACKETS_IN);
        assert_true(now >= before);
        before = now;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metrics_read(METRIC_RTP_PACKETS_IN), THREADS * ROUNDS);
    assert_int_equal(metrics_read(METRIC_SLOT_LATE), THREADS * ROUNDS);
    assert_int_equal(metrics_read(METRIC_FRAMES_USED), 0); /* a gauge ends with its thread */
}

static void *count_one(void *arg)
{
    metrics_add(METRIC_RTP_LATE, 1);
    return arg;
}

static void ended_threads_give_their_cells_back(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * METRICS_THREADS_MAX; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, count_one, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(metrics_read(METRIC_RTP_LATE), 2 * METRICS_THREADS_MAX);
}

/* Last: it makes every number as long as it gets. */
static void the_longest_text_fits(void **state)
{
    (void)state;
#define COUNTER(id, ...)   metrics_add(METRIC_##id, INT64_MAX / 2);
#define GAUGE(id, ...)     metrics_set(METRIC_##id, INT64_MIN / 2);
#define HISTOGRAM(id, ...) metrics_observe(METRIC_##id, INT64_MAX / 2 - 1);
#define COUNTER_OF(id, ...)                                                                        \
    for (uint32_t i = 0; i < METRICS_LABELS_MAX; i++)                                              \
        metrics_add_of(METRIC_##id, i, INT64_MAX / 2);
#define GAUGE_OF(id, ...)                                                                          \
    for (uint32_t i = 0; i < METRICS_LABELS_MAX; i++)                                              \
        metrics_change_of(METRIC_##id, i, INT64_MIN / 2);
    for (uint32_t i = 0; i < METRICS_LABELS_MAX; i++)
        metrics_label(i, "provider=\"a name of some length\",kind=\"stt\"");
#include "base/metrics.def"
    read_all();
    assert_true(strlen(text) < METRICS_TEXT_BYTES_MAX / 2); /* and as much again is free */
    struct builder small = builder_of(text, 1000);
    metrics_write(&small);
    assert_true(small.bad && small.len <= 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_add_up),
        cmocka_unit_test(a_span_falls_into_its_bucket),
        cmocka_unit_test(close_codes_are_few),
        cmocka_unit_test(the_text_follows_the_format),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(ended_threads_give_their_cells_back),
        cmocka_unit_test(the_longest_text_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
