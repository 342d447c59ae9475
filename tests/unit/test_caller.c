#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base64.h"
#include "tests/scenario/script.h"
#include "tests/scenario/stand_in.h"
#include "tools/call/plan.h"
#include "tools/call/report.h"

/* ---- a line between a caller and the stand-in, under a virtual clock ---- */

#define EAR_SAMPLES  (60 * CALL_RATE_HZ)
#define RECORD_PAIRS (60 * CALL_RATE_HZ)
#define LINE_BYTES   262144

struct line {
    struct caller caller;
    struct caller_output out;
    struct stand_in agent;
    struct scripted script;
    uint8_t up[LINE_BYTES], down[LINE_BYTES]; /* on their way */
    size_t up_len, down_len;
    int16_t ear[EAR_SAMPLES];
    uint8_t message[WS_MESSAGE_BYTES_MAX];
    int16_t record[2 * RECORD_PAIRS];
    int64_t now_ns;
    size_t cut; /* bytes delivered at once; 0: all */
};

static struct line line;

static void line_init(const char *script, const char *greeting)
{
    char why[SCRIPTED_WHY_BYTES];
    struct line *l = &line;

    memset(l, 0, sizeof(*l));
    assert_int_equal(scripted_parse(&l->script, slice_str(script), why), 0);
    stand_in_init(&l->agent, &l->script, greeting);
    l->now_ns = SECONDS(1000);
    struct caller_config config = {
        .dialect = &caller_twilio,
        .host = "127.0.0.1:7860",
        .target = "/media/x",
        .seed = 7,
        .ear = l->ear,
        .ear_samples = EAR_SAMPLES,
        .message = l->message,
        .message_bytes = sizeof(l->message),
        .record = l->record,
        .record_pairs = RECORD_PAIRS,
    };
    caller_init(&l->caller, &config);
}

static void collect(void)
{
    struct line *l = &line;

    assert_false(l->out.bad);
    size_t n = l->out.count ? l->out.ends[l->out.count - 1] : 0;
    assert_true(n <= sizeof(l->up) - l->up_len);
    memcpy(l->up + l->up_len, l->out.store, n);
    l->up_len += n;
    caller_output_init(&l->out);
}

static void agent_turn(struct slice in)
{
    struct line *l = &line;
    struct builder b = builder_of(l->down + l->down_len, sizeof(l->down) - l->down_len);

    stand_in_step(&l->agent, l->now_ns, in, &b);
    assert_false(b.bad);
    l->down_len += b.len;
}

/* Hands over what is on the line, in pieces of `cut` bytes, until nothing is. */
static void exchange(void)
{
    static uint8_t piece[LINE_BYTES];
    struct line *l = &line;

    while (l->up_len || l->down_len) {
        size_t n = l->cut && l->cut < l->up_len ? l->cut : l->up_len;
        memcpy(piece, l->up, n);
        memmove(l->up, l->up + n, l->up_len -= n);
        if (n)
            agent_turn(slice_of(piece, n));
        n = l->cut && l->cut < l->down_len ? l->cut : l->down_len;
        memcpy(piece, l->down, n);
        memmove(l->down, l->down + n, l->down_len -= n);
        if (n)
            caller_step(&l->caller, l->now_ns, slice_of(piece, n), &l->out);
        collect();
    }
}

static void line_open(void)
{
    caller_output_init(&line.out);
    caller_open(&line.caller, line.now_ns, &line.out);
    collect();
    exchange();
}

/* Goes on to the next thing that happens. */
static void line_step(void)
{
    struct line *l = &line;
    int64_t a = caller_deadline(&l->caller), b = stand_in_deadline(&l->agent);
    int64_t next = a < b ? a : b;

    assert_true(next < NEVER_NS);
    l->now_ns = next > l->now_ns ? next : l->now_ns;
    agent_turn(SLICE_NONE);
    caller_step(&l->caller, l->now_ns, SLICE_NONE, &l->out);
    collect();
    exchange();
}

static int16_t buzz[20 * CALL_RATE_HZ];

static struct caller_clip clip_of(int64_t lead_ms, int64_t voice_ms, int64_t tail_ms)
{
    struct caller_clip clip = {.pcm = buzz, .samples = CALL_SAMPLES(lead_ms + voice_ms + tail_ms)};

    memset(buzz, 0, sizeof(buzz));
    for (int64_t i = CALL_SAMPLES(lead_ms); i < CALL_SAMPLES(lead_ms + voice_ms); i++)
        buzz[i] = (int16_t)(i % 26 < 13 ? 6000 : -6000);
    caller_clip_measure(&clip);
    return clip;
}

/* ---- the ear ---- */

static void ear_plays_back_to_back(void **state)
{
    static int16_t queue[1000], loud[800];
    struct ear e;
    (void)state;

    for (int i = 0; i < 800; i++)
        loud[i] = 5000;
    ear_init(&e, queue, 1000);
    assert_int_equal(ear_mark(&e, SLICE("first")), 0);
    assert_string_equal(ear_mark_due(&e), "first"); /* nothing is before it */
    ear_advance(&e, 1000);
    ear_push(&e, loud, 800);
    assert_int_equal(ear_mark(&e, SLICE("m")), 0);
    ear_advance(&e, 1799);
    assert_null(ear_mark_due(&e));
    ear_advance(&e, 1800);
    assert_string_equal(ear_mark_due(&e), "m");
    assert_null(ear_mark_due(&e));
    ear_advance(&e, 1840);
    assert_int_equal(e.spurts, 1);
    assert_int_equal(e.voice_first, 1000);
    assert_int_equal(e.voice_last, 1799);
    assert_true(ear_audible(&e));
    ear_advance(&e, 1800 + CALL_SAMPLES(EAR_GAP_MS) + 40);
    assert_false(ear_audible(&e));
}

static void ear_bounds(void **state)
{
    static int16_t queue[100], loud[150];
    char long_name[EAR_MARK_BYTES + 1];
    struct ear e;
    (void)state;

    ear_init(&e, queue, 100);
    ear_push(&e, loud, 150);
    assert_int_equal(e.overruns, 50);
    ear_trim(&e, 30);
    assert_int_equal(e.skipped, 70);
    memset(long_name, 'x', sizeof(long_name));
    assert_int_equal(ear_mark(&e, slice_of(long_name, EAR_MARK_BYTES)), -EMSGSIZE);
    for (int i = 0; i < EAR_MARKS_MAX; i++)
        assert_int_equal(ear_mark(&e, SLICE("m")), 0);
    assert_int_equal(ear_mark(&e, SLICE("m")), -ENOBUFS);
    assert_null(ear_mark_due(&e));
    ear_clear(&e); /* what was cleared counts as played */
    for (int i = 0; i < EAR_MARKS_MAX; i++)
        assert_non_null(ear_mark_due(&e));
    assert_null(ear_mark_due(&e));
}

static void spurts_are_apart_by_a_gap(void **state)
{
    static int16_t queue[20000];
    static int16_t loud[80] = {0};
    struct ear e;
    (void)state;

    for (int i = 0; i < 80; i++)
        loud[i] = 1000;
    ear_init(&e, queue, 20000);
    ear_push(&e, loud, 80);
    ear_advance(&e, 80 + CALL_SAMPLES(EAR_GAP_MS) - 80);
    ear_push(&e, loud, 80);
    ear_advance(&e, 5000);
    assert_int_equal(e.spurts, 1);
    ear_push(&e, loud, 80);
    ear_advance(&e, 6000);
    assert_int_equal(e.spurts, 2);
    assert_int_equal(e.voice_first, 5000);
    static int16_t faint[400];
    for (int i = 0; i < 400; i++)
        faint[i] = EAR_VOICED_LEVEL - 1;
    ear_push(&e, faint, 400);
    ear_advance(&e, 12000);
    assert_int_equal(e.spurts, 2);
}

/* ---- a whole conversation ---- */

static struct plan_step steps[8];
static struct plan plan;

static void run_plan(void)
{
    line_open();
    for (int i = 0; i < 20000 && line.caller.state != CALLER_OVER; i++) {
        line_step();
        plan_drive(&plan, &line.caller, &line.out);
        collect();
    }
    assert_int_equal(line.caller.state, CALLER_OVER);
}

static void plan_four(void)
{
    memset(steps, 0, sizeof(steps));
    steps[0].clip = clip_of(100, 1000, 300);
    steps[1].clip = steps[0].clip;
    steps[1].barge_in = true;
    steps[2].act = PLAN_PRESS;
    snprintf(steps[2].digits, sizeof(steps[2].digits), "7");
    steps[3].act = PLAN_HANG_UP;
    plan_init(&plan, steps, 4);
}

static void a_conversation_is_measured(void **state)
{
    (void)state;
    line_init("stt \"one\" final after 40ms\n"
              "stt \"two\" final after 60ms\n"
              "llm \"a rather long answer to the first question\" first token after 100ms\n"
              "llm \"short\"\n"
              "llm \"you pressed seven\" first token after 200ms\n"
              "tts first byte after 30ms at 10x\n",
              "Hello.");
    plan_four();
    run_plan();
    assert_int_equal(line.caller.end, CALLER_END_OURS);
    assert_null(line.agent.bad);
    assert_true(plan_done(&plan));
    assert_int_equal(plan.turn_count, 3);
    /* 200 ms of silence, whose last frame is sent 180 ms after the voice ended on the timeline;
     * then 40 + 100 + 30 ms of delays */
    assert_true(plan.turns[0].answered);
    assert_int_equal(plan.turns[0].voice_to_voice_ms, 350);
    assert_false(plan.turns[0].interrupted);
    assert_true(plan.turns[1].interrupted && plan.turns[1].stopped);
    assert_in_range(plan.turns[1].stop_ms, 0, 20);
    assert_int_equal(plan.turns[1].voice_to_voice_ms, 320);
    assert_int_equal(plan.turns[2].voice_to_voice_ms, 230);
    assert_int_equal(line.agent.clears, 1);
    assert_string_equal(line.agent.heard, "7");
    assert_int_equal(line.agent.marks_back, line.agent.marks_sent);
    assert_int_equal(line.caller.late_frames, 0);
}

/* The recording holds both sides where they stood on the timeline. */
static void the_recording_is_true(void **state)
{
    (void)state;
    line_init("llm \"answer\"\n", "Hello.");
    plan_four();
    plan_init(&plan, steps, 1);
    run_plan();
    const struct plan_turn *t = &plan.turns[0];
    int64_t end = CALL_SAMPLES(t->end_ms), answer = CALL_SAMPLES(t->answer_ms);
    assert_int_not_equal(line.record[2 * (end - 8)], 0);
    assert_int_equal(line.record[2 * (end + 16)], 0);
    assert_int_equal(line.record[2 * (answer - 16) + 1], 0);
    assert_int_not_equal(line.record[2 * (answer + 16) + 1], 0);
}

static void agent_sends_loud_frame(int64_t at_ns)
{
    static uint8_t store[1024];
    uint8_t code[CALLER_FRAME_SAMPLES];
    struct builder text = builder_of(store, sizeof(store) / 2);
    struct builder b = builder_of(store + sizeof(store) / 2, sizeof(store) / 2);

    memset(code, 0x90, sizeof(code));
    builder_printf(&text, "{\"event\":\"media\",\"streamSid\":\"%s\",\"media\":{\"payload\":\"",
                   line.caller.twilio.stream_sid);
    base64_build(&text, slice_of(code, sizeof(code)));
    builder_str(&text, "\"}}");
    ws_encode(&b, WS_SERVER, WS_OP_TEXT, builder_slice(&text), 0);
    assert_false(b.bad);
    caller_step(&line.caller, at_ns, builder_slice(&b), &line.out);
    collect();
}

/* What arrives between two of the caller's own frames stands where it arrived, to the sample; what
 * comes before that was played stands right behind it. */
static void sound_stands_where_it_arrived(void **state)
{
    const int64_t at = CALL_SAMPLES(107) + 3;
    (void)state;
    line_init("", "Hello.");
    caller_output_init(&line.out);
    caller_open(&line.caller, line.now_ns, &line.out);
    collect();
    agent_turn(slice_of(line.up, line.up_len));
    caller_step(&line.caller, line.now_ns, slice_of(line.down, line.down_len), &line.out);
    collect();
    assert_int_equal(line.caller.state, CALLER_TALKING);

    int64_t at_ns = line.caller.start_ns + at * NS_PER_S / CALL_RATE_HZ;
    agent_sends_loud_frame(at_ns);
    agent_sends_loud_frame(at_ns + MS(5));
    caller_step(&line.caller, at_ns + MS(60), SLICE_NONE, &line.out);
    for (int64_t i = 0; i < at + CALL_SAMPLES(60); i++)
        assert_true((line.record[2 * i + 1] != 0) ==
                    (i >= at && i < at + 2 * CALLER_FRAME_SAMPLES));
    assert_int_equal(line.caller.ear.voice_first, at);
}

/* What happens does not depend on how the bytes were cut. */
static void cutting_changes_nothing(void **state)
{
    (void)state;
    int64_t figures[3][2] = {{0}};
    const size_t cuts[] = {0, 1, 37};

    for (int i = 0; i < 3; i++) {
        line_init("llm \"answer\"\nllm \"answer\"\n", "Hello.");
        line.cut = cuts[i];
        plan_four();
        run_plan();
        figures[i][0] = plan.turns[0].voice_to_voice_ms;
        figures[i][1] = line.caller.frames;
    }
    assert_memory_equal(figures[0], figures[1], sizeof(figures[0]));
    assert_memory_equal(figures[0], figures[2], sizeof(figures[0]));
}

static void an_agent_that_never_answers(void **state)
{
    (void)state;
    line_init("", "Hello.");
    plan_four();
    steps[0].clip = clip_of(0, 0, 500); /* silence: nobody answers that */
    plan_init(&plan, steps, 1);
    run_plan();
    assert_false(plan.turns[0].answered);
    assert_true(plan_done(&plan));
}

/* ---- how calls end ---- */

static void wait_over(int most)
{
    for (int i = 0; i < most && line.caller.state != CALLER_OVER; i++)
        line_step();
    assert_int_equal(line.caller.state, CALLER_OVER);
}

static void refused_upgrades(void **state)
{
    (void)state;
    line_init("", "Hello.");
    line.agent.refusal = SLICE("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    line_open();
    assert_int_equal(line.caller.end, CALLER_END_REFUSED);
    assert_int_equal(line.caller.http_status, 401);
    line_init("", "Hello.");
    line.agent.refusal = SLICE("220 mail ready\r\n\r\n");
    line_open();
    assert_int_equal(line.caller.end, CALLER_END_BROKEN);
    line_init("", "Hello.");
    caller_output_init(&line.out);
    caller_open(&line.caller, line.now_ns, &line.out);
    caller_closed(&line.caller, line.now_ns, 0);
    assert_int_equal(line.caller.end, CALLER_END_BROKEN);
}

static void the_agent_hangs_up(void **state)
{
    (void)state;
    line_init("llm \"bye\" then hang up\n", "Hello.");
    line_open();
    assert_int_equal(caller_press(&line.caller, '1'), 0);
    wait_over(5000);
    assert_int_equal(line.caller.end, CALLER_END_THEIRS);
}

static void a_cut_line(void **state)
{
    (void)state;
    line_init("", "Hello.");
    line_open();
    line_step();
    caller_closed(&line.caller, line.now_ns, ECONNRESET);
    assert_int_equal(line.caller.end, CALLER_END_BROKEN);
    assert_true(caller_deadline(&line.caller) == NEVER_NS);
}

/* A far end that does not answer our close is waited for only so long. */
static void leaving_has_an_end(void **state)
{
    struct line *l = &line;
    (void)state;
    line_init("", "Hello.");
    line_open();
    caller_hang_up(&l->caller, &l->out);
    assert_int_equal(l->caller.state, CALLER_LEAVING);
    caller_step(&l->caller, l->now_ns + CALLER_LEAVE_NS, SLICE_NONE, &l->out);
    assert_int_equal(l->caller.end, CALLER_END_OURS);
}

static void broken_messages_end_the_call(void **state)
{
    static const char *const broken[] = {
        "{broken",
        "[]",
        "{\"event\":\"media\",\"streamSid\":\"MZother\",\"media\":{\"payload\":\"////\"}}",
        "{\"event\":\"mark\"}",
    };
    uint8_t store[512];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct builder b = builder_of(store, sizeof(store));
        line_init("", "Hello.");
        line_open();
        ws_encode(&b, WS_SERVER, WS_OP_TEXT, slice_str(broken[i]), 0);
        caller_step(&line.caller, line.now_ns, builder_slice(&b), &line.out);
        assert_int_equal(line.caller.end, CALLER_END_BROKEN);
        assert_true(line.caller.what[0] != 0);
    }
}

static void the_server_refuses_malformed(void **state)
{
    (void)state;
    line_init("", "Hello.");
    line_open();
    caller_raw(&line.caller, SLICE("{\"event\":\"media\","), &line.out);
    collect();
    exchange();
    assert_non_null(line.agent.bad);
    assert_int_equal(line.caller.state, CALLER_OVER);
}

static void keys_have_bounds(void **state)
{
    (void)state;
    line_init("", "Hello.");
    assert_int_equal(caller_press(&line.caller, 'x'), -EINVAL);
    assert_int_equal(caller_press(&line.caller, 0), -EINVAL);
    for (int i = 0; i < CALLER_DIGITS_MAX; i++)
        assert_int_equal(caller_press(&line.caller, '5'), 0);
    assert_int_equal(caller_press(&line.caller, '5'), -ENOBUFS);
}

/* ---- scripts ---- */

static struct script script;
static struct script_run run;

static enum script_result run_patiently(const char *text, const char *providers,
                                        const char *greeting, uint32_t times)
{
    char why[SCRIPT_WHY_BYTES];
    enum script_result result = SCRIPT_RUNNING;

    assert_int_equal(script_parse(&script, slice_str(text), why), 0);
    script_be_patient(&script, times);
    line_init(providers, greeting);
    script_start(&run, &script);
    line_open();
    for (int i = 0; i < 30000 && result == SCRIPT_RUNNING; i++) {
        line_step();
        result = script_drive(&run, &line.caller, &line.out);
        collect();
        exchange();
        if (result == SCRIPT_RUNNING && line.caller.state == CALLER_OVER)
            result = script_drive(&run, &line.caller, &line.out);
    }
    return result;
}

static enum script_result run_script(const char *text, const char *providers, const char *greeting)
{
    return run_patiently(text, providers, greeting, 1);
}

#define CONVERSATION                                                                               \
    "caller connects twilio\nagent says within 1s\ncaller says for 1200ms\n"                       \
    "agent replies within 400ms\ncaller interrupts after 400ms for 800ms\n"                        \
    "agent silent within 50ms\nagent replies within 400ms\nagent finishes within 5s\n"             \
    "caller presses 12\nagent replies within 300ms\ncaller hangs up\n"

static void a_script_passes(void **state)
{
    (void)state;
    assert_int_equal(
        run_script(CONVERSATION, "llm \"a rather long answer to the first question\"\n", "Hello."),
        SCRIPT_PASSED);
}

static void a_script_fails_at_its_line(void **state)
{
    (void)state;
    /* an agent that thinks for half a second is too slow for the fourth line */
    assert_int_equal(run_script(CONVERSATION, "llm \"late\" first token after 500ms\n", "Hello."),
                     SCRIPT_FAILED);
    assert_int_equal(run.line, 4);
    assert_non_null(strstr(run.why, "reply"));
    assert_int_equal(run_script("caller connects twilio\nagent quiet for 1s\n", "", "Hello."),
                     SCRIPT_FAILED);
    assert_int_equal(run.line, 2);
    assert_int_equal(run_script("caller connects twilio\nagent says within 1s\n"
                                "caller says for 1s\ncall ends within 2s\n",
                                "", "Hello."),
                     SCRIPT_FAILED);
    assert_int_equal(run.line, 4);
    /* the agent hangs up before the caller speaks again */
    assert_int_equal(run_script("caller connects twilio\nagent says within 1s\n"
                                "caller says for 1s\nagent replies within 1s\n"
                                "caller waits 20s\n",
                                "llm \"bye\" then hang up\n", "Hello."),
                     SCRIPT_FAILED);
    assert_int_equal(run.line, 5);
}

/* What the agent must do may take longer, what it does not do at all still fails. */
static void a_script_may_be_patient(void **state)
{
    const char *slow =
        "llm \"a rather long answer to the first question\" first token after 500ms\n";
    (void)state;
    assert_int_equal(run_script(CONVERSATION, slow, "Hello."), SCRIPT_FAILED);
    assert_int_equal(run_patiently(CONVERSATION, slow, "Hello.", 4), SCRIPT_PASSED);
    assert_int_equal(run_patiently("caller connects twilio\nagent quiet for 1s\n", "", "Hello.", 4),
                     SCRIPT_FAILED);
    assert_int_equal(run_patiently("caller connects twilio\nagent says within 1s\n"
                                   "caller says for 1s\ncall ends within 2s\n",
                                   "", "Hello.", 4),
                     SCRIPT_FAILED);
}

static void a_script_may_end_otherwise(void **state)
{
    (void)state;
    assert_int_equal(run_script("caller connects twilio\nagent says within 1s\n"
                                "caller says for 1s\nagent replies within 1s\n"
                                "call ends within 3s\n",
                                "llm \"bye\" then hang up\n", "Hello."),
                     SCRIPT_PASSED);
    assert_int_equal(run_script("caller connects twilio\nagent says within 1s\n"
                                "caller vanishes\n",
                                "", "Hello."),
                     SCRIPT_CUT);
    assert_int_equal(run_script("caller connects twilio\nagent says within 1s\n"
                                "caller sends malformed \"{\\\"event\"\ncall ends within 1s\n",
                                "", "Hello."),
                     SCRIPT_PASSED);
}

static void bad_scripts_name_their_line(void **state)
{
    static const struct {
        const char *text;
        const char *line;
    } bad[] = {
        {"", "line 1:"},
        {"caller says for 1s\n", "line 1:"},
        {"# fine\n\ncaller connects pigeon\n", "line 3:"},
        {"caller connects twilio\ncaller connects twilio\n", "line 2:"},
        {"caller connects twilio\nagent replies within soon\n", "line 2:"},
        {"caller connects twilio\nagent replies within 5s or so\n", "line 2:"},
        {"caller connects twilio\ncaller says for 21s\n", "line 2:"},
        {"caller connects twilio\ncaller says for 700000ms\n", "line 2:"},
        {"caller connects twilio\ncaller presses 12x\n", "line 2:"},
        {"caller connects twilio\ncaller interrupts after 1s\n", "line 2:"},
        {"caller connects twilio\ncaller sends malformed {}\n", "line 2:"},
        {"caller connects twilio\ncaller dances\n", "line 2:"},
        {"caller connects twilio\nexpect turn 0 heard \"x\"\n", "line 2:"},
        {"caller connects twilio\nexpect status\n", "line 2:"},
        {"agent Bad_Name\ncaller connects twilio\n", "line 1:"},
        {"greeting \"never ends\ncaller connects twilio\n", "line 1:"},
        {"stt\ncaller connects twilio\n", "line 1:"},
        {"stt \"x\" partial at\ncaller connects twilio\n", "line 1:"},
        {"llm \"x\" then hang\ncaller connects twilio\n", "line 1:"},
        {"tts at 0x\ncaller connects twilio\n", "line 1:"},
        {"a b c d e f g h i j k l m n o p q r s t u v w x y z\n", "line 1:"},
    };
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(script_parse(&script, slice_str(bad[i].text), why), -EINVAL);
        assert_int_equal(strncmp(why, bad[i].line, strlen(bad[i].line)), 0);
    }
}

static void script_bounds(void **state)
{
    static char text[SCRIPT_FILE_BYTES + 2];
    char why[SCRIPT_WHY_BYTES];
    (void)state;

    for (int extra = 0; extra < 2; extra++) {
        struct builder b = builder_of(text, sizeof(text));
        builder_str(&b, "caller connects twilio\n");
        for (int i = 0; i < SCRIPT_STEPS_MAX + extra; i++)
            builder_str(&b, "caller waits 1ms\n");
        assert_int_equal(script_parse(&script, builder_slice(&b), why), extra ? -EINVAL : 0);
    }
    memset(text, '#', sizeof(text));
    assert_int_equal(script_parse(&script, slice_of(text, SCRIPT_FILE_BYTES + 1), why), -EINVAL);
    memset(text, 'x', SCRIPTED_LINE_BYTES + 1);
    assert_int_equal(script_parse(&script, slice_of(text, SCRIPTED_LINE_BYTES + 1), why), -EINVAL);
}

/* ---- reports ---- */

static void reports_are_json(void **state)
{
    static uint8_t store[REPORT_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    struct json_doc doc = {NULL};
    int64_t ms;
    (void)state;

    line_init("llm \"one\"\nllm \"two\"\n", "Hello.");
    plan_four();
    snprintf(steps[0].meant, sizeof(steps[0].meant), "a \"quoted\" question");
    run_plan();
    struct report r = {.caller = &line.caller,
                       .plan = &plan,
                       .call_id = "CA1",
                       .protocol = "twilio",
                       .placed = true};
    report_call(&r, true, &b);
    assert_int_equal(json_read(&doc, builder_slice(&b), sizeof(store), NULL), 0);
    assert_true(json_is(&doc, "status", "completed"));
    assert_int_equal(json_count_of(&doc, "turns"), 3);
    assert_true(json_is(&doc, "turns.0.meant", "a \"quoted\" question"));
    assert_int_equal(json_int_of(&doc, "turns.0.voice_to_voice_ms", 0, 1000, &ms), 0);
    assert_int_equal(json_kind_of(&doc, "turns.0.dtmf"), JSON_KIND_NULL);
    assert_true(json_is(&doc, "turns.2.dtmf", "7"));
    json_free(&doc);
    r.timed_out = true;
    assert_string_equal(report_status(&r), "timeout");
    r.placed = false;
    assert_string_equal(report_status(&r), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ear_plays_back_to_back),
        cmocka_unit_test(ear_bounds),
        cmocka_unit_test(spurts_are_apart_by_a_gap),
        cmocka_unit_test(a_conversation_is_measured),
        cmocka_unit_test(the_recording_is_true),
        cmocka_unit_test(sound_stands_where_it_arrived),
        cmocka_unit_test(cutting_changes_nothing),
        cmocka_unit_test(an_agent_that_never_answers),
        cmocka_unit_test(refused_upgrades),
        cmocka_unit_test(the_agent_hangs_up),
        cmocka_unit_test(a_cut_line),
        cmocka_unit_test(leaving_has_an_end),
        cmocka_unit_test(broken_messages_end_the_call),
        cmocka_unit_test(the_server_refuses_malformed),
        cmocka_unit_test(keys_have_bounds),
        cmocka_unit_test(a_script_passes),
        cmocka_unit_test(a_script_fails_at_its_line),
        cmocka_unit_test(a_script_may_be_patient),
        cmocka_unit_test(a_script_may_end_otherwise),
        cmocka_unit_test(bad_scripts_name_their_line),
        cmocka_unit_test(script_bounds),
        cmocka_unit_test(reports_are_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
