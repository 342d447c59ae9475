#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/limits.h"
#include "base/log.h"

/* Each test runs its body in a child whose stdout (or stderr) is a pipe that the parent reads. */
#define OUTPUT_MAX (8u << 20)

struct output {
    char *text;
    size_t len;
    int status;
};

static int64_t test_ms;

static int64_t test_clock(void)
{
    return test_ms;
}

static struct output run(void (*body)(void), int fd)
{
    struct output out = {.text = malloc(OUTPUT_MAX + 1)};
    int ends[2];
    ssize_t n;

    assert_non_null(out.text);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], fd);
        close(ends[0]);
        close(ends[1]);
        alarm(20); /* a logging thread that blocks fails the test instead of hanging it */
        body();
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], out.text + out.len, OUTPUT_MAX - out.len)) > 0)
        out.len += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(child, &out.status, 0), child);
    out.text[out.len] = '\0';
    return out;
}

/* The next line as JSON; NULL at the end. Every line must parse and end in LF. */
static json_t *next_line(const struct output *out, size_t *at)
{
    json_error_t error;

    if (*at == out->len)
        return NULL;
    char *end = memchr(out->text + *at, '\n', out->len - *at);
    assert_non_null(end);
    size_t len = (size_t)(end - out->text) - *at;
    assert_true(len < LOG_LINE_MAX);
    json_t *line = json_loadb(out->text + *at, len, 0, &error);
    if (!line)
        fail_msg("%s: %.*s", error.text, (int)len, out->text + *at);
    *at += len + 1;
    return line;
}

static const char *field(json_t *line, const char *name)
{
    return json_string_value(json_object_get(line, name));
}

/* ---- shape of a line ---- */

static void log_two_lines(void)
{
    test_ms = 1767323045678;
    log_clock(test_clock);
    if (log_start(LOG_INFO) != 0 || log_start(LOG_INFO) != -EALREADY)
        _exit(1);
    struct log_about about = {.call_id = "c-1", .agent_id = "clinic"};
    log_info("leg_rtp", &about, "%d packets", 7);
    log_debug("leg_rtp", NULL, "not wanted");
    log_error("main", NULL, "bye");
    log_stop();
}

static void a_line_is_what_the_page_says(void **state)
{
    (void)state;
    struct output out = run(log_two_lines, STDOUT_FILENO);

    assert_int_equal(out.status, 0);
    assert_string_equal(out.text, "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\","
                                  "\"service\":\"leg_rtp\",\"message\":\"7 packets\","
                                  "\"call_id\":\"c-1\",\"agent_id\":\"clinic\"}\n"
                                  "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"error\","
                                  "\"service\":\"main\",\"message\":\"bye\"}\n");
    free(out.text);
}

static const struct {
    int64_t wall_ms;
    const char *text;
} instants[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {951782399999, "2000-02-28T23:59:59.999Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {1709251199999, "2024-02-29T23:59:59.999Z"},
    {1709251200000, "2024-03-01T00:00:00.000Z"},
    {4107542400000, "2100-03-01T00:00:00.000Z"},
    {4107456000000, "2100-02-28T00:00:00.000Z"},
    {1735689599000, "2024-12-31T23:59:59.000Z"},
    {-5, "1970-01-01T00:00:00.000Z"},
};

static void log_instants(void)
{
    log_clock(test_clock);
    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        test_ms = instants[i].wall_ms;
        log_info("t", NULL, "x");
    }
}

/* Not started: the lines go to stderr. */
static void dates_are_right(void **state)
{
    (void)state;
    struct output out = run(log_instants, STDERR_FILENO);
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        json_t *line = next_line(&out, &at);
        assert_string_equal(field(line, "timestamp"), instants[i].text);
        json_decref(line);
    }
    assert_null(next_line(&out, &at));
    free(out.text);
}

static void log_to_closed_stderr(void)
{
    close(STDERR_FILENO);
    errno = ENOSPC;
    log_info("errno", NULL, "%s", "x");
    _exit(errno == ENOSPC && log_dropped() == 1 ? 0 : 1);
}

static void errno_stays_as_it_was(void **state)
{
    (void)state;
    struct output out = run(log_to_closed_stderr, STDERR_FILENO);

    assert_int_equal(out.status, 0);
    free(out.text);
}

static void log_every_byte(void)
{
    for (int c = 1; c < 256; c++)
        log_info("escape", NULL, "<%c>", c);
    log_info("escape", NULL, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    log_info("escape", NULL, "\xed\xa0\x80|\xc0\xaf|\xe2\x82");
}

static void every_byte_becomes_json(void **state)
{
    (void)state;
    struct output out = run(log_every_byte, STDERR_FILENO);
    size_t at = 0;

    for (int c = 1; c < 256; c++) {
        char expected[8];
        json_t *line = next_line(&out, &at);
        if (c < 128)
            snprintf(expected, sizeof(expected), "<%c>", c);
        else
            snprintf(expected, sizeof(expected), "<\xef\xbf\xbd>");
        assert_string_equal(field(line, "message"), expected);
        json_decref(line);
    }
    json_t *line = next_line(&out, &at);
    assert_string_equal(field(line, "message"), "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    json_decref(line);
    line = next_line(&out, &at);
    assert_string_equal(field(line, "message"),
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|"
                        "\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(line);
    assert_null(next_line(&out, &at));
    free(out.text);
}

/* Messages of every length around the limit, then hostile ones. */
#define CUT_FIRST 1800
#define CUT_LAST  2200

static void log_long_lines(void)
{
    static char text[20000];
    struct log_about about = {.call_id = "call", .agent_id = "agent"};

    for (int len = CUT_FIRST; len <= CUT_LAST; len++) {
        memset(text, 'a', (size_t)len);
        text[len] = '\0';
        log_info("long", &about, "%s", text);
    }
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    log_info("long", &about, "%s", text);
    memset(text, 1, sizeof(text) - 1);
    about = (struct log_about){text, text};
    log_info(text, &about, "%s", text);
}

static void long_lines_are_cut_and_say_so(void **state)
{
    (void)state;
    struct output out = run(log_long_lines, STDERR_FILENO);
    size_t at = 0;
    int cut_from = 0;

    for (int len = CUT_FIRST; len <= CUT_LAST; len++) {
        json_t *line = next_line(&out, &at);
        bool cut = json_is_true(json_object_get(line, "cut"));
        assert_true(cut || !cut_from); /* once cut, all longer ones are */
        if (cut && !cut_from)
            cut_from = len;
        assert_int_equal(strlen(field(line, "message")), cut ? cut_from - 1 : len);
        assert_string_equal(field(line, "call_id"), "call");
        assert_string_equal(field(line, "agent_id"), "agent");
        json_decref(line);
    }
    assert_in_range(cut_from, CUT_FIRST + 1, CUT_LAST);
    json_t *line = next_line(&out, &at); /* cut between characters: it parsed as UTF-8 */
    assert_true(json_is_true(json_object_get(line, "cut")));
    assert_int_equal(strlen(field(line, "message")) % 2, 0);
    json_decref(line);
    line = next_line(&out, &at);
    assert_true(json_is_true(json_object_get(line, "cut")));
    assert_in_range(strlen(field(line, "call_id")), 20, 60);
    json_decref(line);
    assert_null(next_line(&out, &at));
    free(out.text);
}

/* ---- threads ---- */
#define THREADS      4
#define THREAD_LINES 400

static void *log_numbers(void *arg)
{
    for (int i = 0; i < THREAD_LINES; i++)
        log_info((const char *)arg, NULL, "%d", i);
    return NULL;
}

static void log_from_threads(void)
{
    static char *names[THREADS] = {"0", "1", "2", "3"};
    pthread_t threads[THREADS];

    if (log_start(LOG_DEBUG) != 0)
        _exit(1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_numbers, names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    _exit(log_dropped() == 0 ? 0 : 1);
}

static void threads_keep_their_order(void **state)
{
    (void)state;
    struct output out = run(log_from_threads, STDOUT_FILENO);
    int next[THREADS] = {0};
    size_t at = 0;
    json_t *line;

    assert_int_equal(out.status, 0);
    while ((line = next_line(&out, &at))) {
        int thread = atoi(field(line, "service"));
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(atoi(field(line, "message")), next[thread]++);
        json_decref(line);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], THREAD_LINES);
    free(out.text);
}

static void *log_one(void *arg)
{
    log_info("short", NULL, "life");
    return arg;
}

static void log_from_many_short_threads(void)
{
    if (log_start(LOG_DEBUG) != 0)
        _exit(1);
    for (int i = 0; i < 2 * LOG_THREADS_MAX; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, log_one, NULL);
        pthread_join(thread, NULL);
    }
    log_stop();
    _exit(log_dropped() == 0 ? 0 : 1);
}

static void ended_threads_give_their_ring_back(void **state)
{
    (void)state;
    struct output out = run(log_from_many_short_threads, STDOUT_FILENO);
    size_t at = 0, lines = 0;
    json_t *line;

    assert_int_equal(out.status, 0);
    for (; (line = next_line(&out, &at)); lines++)
        json_decref(line);
    assert_int_equal(lines, 2 * LOG_THREADS_MAX);
    free(out.text);
}

static pthread_barrier_t all_have_logged;

/* One more thread at once than there are rings; the last one's argument is not NULL. */
static void run_too_many(void *(*start)(void *))
{
    static pthread_t threads[LOG_THREADS_MAX + 1];
    pthread_attr_t small;

    pthread_barrier_init(&all_have_logged, NULL, LOG_THREADS_MAX + 1);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    if (log_start(LOG_DEBUG) != 0)
        _exit(1);
    for (int i = 0; i <= LOG_THREADS_MAX; i++)
        if (pthread_create(&threads[i], &small, start, i == LOG_THREADS_MAX ? threads : NULL) != 0)
            _exit(2);
    for (int i = 0; i <= LOG_THREADS_MAX; i++)
        pthread_join(threads[i], NULL);
    log_stop();
}

static void *log_and_stay(void *arg)
{
    log_info("stay", NULL, "here");
    pthread_barrier_wait(&all_have_logged);
    return arg;
}

static void log_from_too_many(void)
{
    static pthread_t threads[LOG_THREADS_MAX + 1];
    pthread_attr_t small;

    pthread_barrier_init(&all_have_logged, NULL, LOG_THREADS_MAX + 1);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    if (log_start(LOG_DEBUG) != 0)
        _exit(1);
    for (int i = 0; i <= LOG_THREADS_MAX; i++)
        if (pthread_create(&threads[i], &small, log_and_stay, NULL) != 0)
            _exit(2);
    for (int i = 0; i <= LOG_THREADS_MAX; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    _exit(log_dropped() == 1 ? 0 : 3);
}

static void a_thread_too_many_loses_its_lines(void **state)
{
    (void)state;
    struct output out = run(log_from_too_many, STDOUT_FILENO);

    assert_int_equal(out.status, 0);
    free(out.text);
}

static void *begin_and_stay(void *arg)
{
    bool late = arg != NULL;

    if (!late)
        log_thread_begin();
    pthread_barrier_wait(&all_have_logged); /* all have begun */
    if (late)
        log_info("stay", NULL, "late");
    pthread_barrier_wait(&all_have_logged); /* the late one has said something */
    if (!late)
        log_info("stay", NULL, "here");
    return NULL;
}

/* Every ring is taken before anybody says anything. */
static void log_late(void)
{
    run_too_many(begin_and_stay);
    _exit(log_dropped() == 1 ? 0 : 3);
}

static void a_thread_that_began_has_its_ring(void **state)
{
    (void)state;
    struct output out = run(log_late, STDOUT_FILENO);

    assert_int_equal(out.status, 0);
    assert_non_null(strstr(out.text, "here"));
    assert_null(strstr(out.text, "late"));
    free(out.text);
}

/* ---- a stdout that does not take anything ---- */
#define STUCK_LINES 6000

static int stuck_report[2]; /* child -> parent: lines dropped */
static int stuck_go[2];     /* parent -> child: now I read */

static void log_into_stuck_pipe(void)
{
    char go;
    int full[2];

    /* A pipe of its own that nobody reads yet; then what it got is passed on. */
    if (pipe(full) != 0 || log_start(LOG_DEBUG) != 0)
        _exit(1);
    int real = dup(STDOUT_FILENO);
    dup2(full[1], STDOUT_FILENO);
    for (int i = 0; i < STUCK_LINES; i++)
        log_info("stuck", NULL, "line %d of a service whose stdout nobody reads just now", i);
    uint64_t dropped = log_dropped();
    if (write(stuck_report[1], &dropped, sizeof(dropped)) < 0 || read(stuck_go[0], &go, 1) != 1)
        _exit(2);
    pid_t copier = fork();
    if (copier == 0) {
        char bytes[4096];
        ssize_t n;
        close(full[1]);
        close(STDOUT_FILENO);
        while ((n = read(full[0], bytes, sizeof(bytes))) > 0)
            if (write(real, bytes, (size_t)n) != n)
                _exit(1);
        _exit(0);
    }
    log_stop();
}

static void a_stuck_stdout_costs_lines_not_time(void **state)
{
    (void)state;
    uint64_t dropped = 0, lines = 0;
    size_t at = 0;
    json_t *line;
    bool said = false;

    assert_int_equal(pipe(stuck_report), 0);
    assert_int_equal(pipe(stuck_go), 0);
    assert_int_equal(write(stuck_go[1], "g", 1), 1);
    struct output out = run(log_into_stuck_pipe, STDOUT_FILENO);
    assert_int_equal(out.status, 0);
    assert_int_equal(read(stuck_report[0], &dropped, sizeof(dropped)), sizeof(dropped));
    assert_in_range(dropped, 100, STUCK_LINES - 500);
    while ((line = next_line(&out, &at))) {
        if (strcmp(field(line, "service"), "stuck") == 0)
            lines++;
        else if (strstr(field(line, "message"), "log lines dropped"))
            said = true;
        json_decref(line);
    }
    assert_int_equal(lines + dropped, STUCK_LINES);
    assert_true(said);
    free(out.text);
}

static void stop_with_stuck_pipe(void)
{
    int full[2];

    if (pipe(full) != 0 || log_start(LOG_DEBUG) != 0)
        _exit(1);
    dup2(full[1], STDOUT_FILENO);
    for (int i = 0; i < 1000; i++)
        log_info("stuck", NULL, "%01000d", i);
    log_stop();
    _exit(log_start(LOG_DEBUG) == -EALREADY ? 0 : 2);
}

static void stop_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct output out = run(stop_with_stuck_pipe, STDOUT_FILENO);

    assert_int_equal(out.status, 0);
    free(out.text);
}

static void log_into_closed_pipe(void)
{
    int ends[2];

    if (pipe(ends) != 0 || log_start(LOG_DEBUG) != 0)
        _exit(1);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; i < 100; i++)
        log_info("closed", NULL, "%d", i);
    log_stop();
    _exit(log_dropped() == 100 ? 0 : 2);
}

static void a_closed_stdout_is_counted_and_survived(void **state)
{
    (void)state;
    struct output out = run(log_into_closed_pipe, STDOUT_FILENO);

    assert_int_equal(out.status, 0);
    free(out.text);
}

static void start_stop_start(void)
{
    for (int i = 0; i < 3; i++) {
        if (log_start(LOG_DEBUG) != 0)
            _exit(1);
        log_info("again", NULL, "%d", i);
        log_stop();
    }
}

static void starts_again_after_a_stop(void **state)
{
    (void)state;
    struct output out = run(start_stop_start, STDOUT_FILENO);
    size_t at = 0;

    assert_int_equal(out.status, 0);
    for (int i = 0; i < 3; i++) {
        json_t *line = next_line(&out, &at);
        assert_non_null(line);
        assert_int_equal(atoi(field(line, "message")), i);
        json_decref(line);
    }
    free(out.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_what_the_page_says),
        cmocka_unit_test(dates_are_right),
        cmocka_unit_test(errno_stays_as_it_was),
        cmocka_unit_test(every_byte_becomes_json),
        cmocka_unit_test(long_lines_are_cut_and_say_so),
        cmocka_unit_test(threads_keep_their_order),
        cmocka_unit_test(ended_threads_give_their_ring_back),
        cmocka_unit_test(a_thread_too_many_loses_its_lines),
        cmocka_unit_test(a_thread_that_began_has_its_ring),
        cmocka_unit_test(a_stuck_stdout_costs_lines_not_time),
        cmocka_unit_test(stop_does_not_wait_for_ever),
        cmocka_unit_test(a_closed_stdout_is_counted_and_survived),
        cmocka_unit_test(starts_again_after_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
