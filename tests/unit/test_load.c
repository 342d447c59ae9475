/* What the load harness believes: its histogram, its callers' talk, and its ears. */
#include <setjmp.h>
#include <stdarg.h>
#include <getopt.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bench/load/corpus.h"
#include "bench/load/histogram.h"
#include "bench/load/listen.h"
#include "bench/load/load.h"
#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/talk.h"
#include "bench/load/trunk.h"
#include "media/g711.h"
#include "media/wav.h"
#include "provider/scripted.h"

#define FRAME 160

static const struct talk_rules rules = {
    .spurt_ms = 1004, .least_ms = 240, .pause_ms = 508, .quiet_ms = 300, .answer_ms = 8000};

static void histogram_tells_shares(void **state)
{
    (void)state;
    struct histogram h = {0};

    assert_int_equal(histogram_us(&h, 500), 0);
    for (int i = 1; i <= 1000; i++)
        histogram_add(&h, i * NS_PER_US);
    assert_int_equal(h.count, 1000);
    assert_int_equal(h.max_us, 1000);
    assert_in_range(histogram_us(&h, 500), 500, 520);
    assert_in_range(histogram_us(&h, 990), 990, 1000);
    assert_int_equal(histogram_us(&h, 1000), 1000);
    assert_int_equal(histogram_us(&h, 10), 10);
}

static void histogram_takes_extremes(void **state)
{
    (void)state;
    struct histogram h = {0};

    histogram_add(&h, -5);
    histogram_add(&h, SECONDS(10000));
    assert_int_equal(histogram_us(&h, 500), 0);
    assert_int_equal(histogram_us(&h, 1000), (1 << 27) - 1);
}

static void draws_keep_their_mean(void **state)
{
    (void)state;
    struct rand r = {7};
    int64_t sum = 0, most = 0;

    for (int i = 0; i < 100000; i++) {
        int64_t ms = talk_draw(&r, 1000);
        sum += ms;
        most = ms > most ? ms : most;
        assert_in_range(ms, 0, 4900);
    }
    assert_in_range(sum / 100000, 980, 1020);
    assert_true(most > 4000);
}

/* Frames until the caller's turn has ended; the number of them that were speech. */
static int say_turn(struct talk *t, int64_t *now_ns)
{
    bool last = false;
    int speech = 0;

    for (int i = 0; i < 10000 && !last; i++, *now_ns += MS(20))
        speech += talk_frame(t, &rules, *now_ns, &last);
    assert_true(last);
    return speech;
}

static void a_caller_waits_for_the_greeting_and_its_end(void **state)
{
    (void)state;
    struct talk t;
    int64_t now_ns = SECONDS(5);
    bool last;

    talk_init(&t, &rules, 1, true, now_ns);
    for (int i = 0; i < 100; i++, now_ns += MS(20)) {
        talk_heard(&t, &rules, now_ns);
        assert_false(talk_frame(&t, &rules, now_ns, &last));
    }
    assert_int_equal(t.state, TALK_HEARING);
    assert_in_range(say_turn(&t, &now_ns), 12, 260);
    assert_int_equal(t.turns, 1);
    assert_int_equal(t.unanswered, 0);
    assert_int_equal(t.state, TALK_HEARING);
}

static void a_turn_without_an_answer_is_counted(void **state)
{
    (void)state;
    struct talk t;
    int64_t now_ns = 0;

    talk_init(&t, &rules, 3, false, now_ns);
    say_turn(&t, &now_ns);
    say_turn(&t, &now_ns);
    assert_int_equal(t.turns, 2);
    assert_int_equal(t.unanswered, 1);
}

static void a_seed_repeats(void **state)
{
    (void)state;
    struct talk a, b;
    int64_t at_ns = 0, bt_ns = 0;

    talk_init(&a, &rules, 9, false, 0);
    talk_init(&b, &rules, 9, false, 0);
    assert_int_equal(say_turn(&a, &at_ns), say_turn(&b, &bt_ns));
    assert_int_equal(at_ns, bt_ns);
}

/* A frame of a reply from its i-th sample on, as it comes off the wire. */
static void reply_from(uint32_t reply, int64_t i, int16_t pcm[FRAME])
{
    uint8_t code[FRAME];

    for (int k = 0; k < FRAME; k++)
        pcm[k] = scripted_sample(reply, i + k);
    g711_mulaw_encode(code, pcm, FRAME);
    g711_mulaw_decode(pcm, code, FRAME);
}

static struct listen_result hear(struct listen *l, uint32_t reply, int64_t n)
{
    int16_t pcm[FRAME];

    reply_from(reply, n * FRAME, pcm);
    return listen_audio(l, pcm, FRAME);
}

static void replies_in_order_are_right(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    for (uint32_t reply = 1; reply < 40; reply++) {
        for (int64_t n = 0; n < 30; n++) {
            struct listen_result r = hear(&l, reply, n);
            assert_true(r.voiced);
            assert_int_equal(r.first, n == 0);
            assert_int_equal(r.continued, n > 0);
            assert_false(r.wrong || r.broken);
        }
        listen_silence(&l);
        listen_await(&l);
    }
}

static void another_replys_voice_is_wrong_once(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    assert_true(hear(&l, 2, 0).wrong);
    assert_false(hear(&l, 2, 1).wrong);
    listen_await(&l);
    assert_false(hear(&l, 3, 0).wrong);
    assert_true(hear(&l, 7, 0).wrong || hear(&l, 7, 1).wrong);
}

static void frames_are_right(struct listen *l, uint32_t reply, int64_t from, int64_t to)
{
    for (int64_t n = from; n < to; n++) {
        struct listen_result r = hear(l, reply, n);
        assert_false(r.first || r.wrong || r.broken);
    }
}

/* The server takes a caller who still speaks to be done. */
static void the_next_reply_before_a_turns_end_is_unasked(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    hear(&l, 1, 0);
    frames_are_right(&l, 1, 1, 30);
    listen_silence(&l);
    struct listen_result r = hear(&l, 2, 0);
    assert_true(r.first && r.unasked);
    assert_false(r.wrong || r.broken);
    frames_are_right(&l, 2, 1, 20);
    listen_silence(&l); /* held, and then resumed */
    frames_are_right(&l, 2, 20, 25);
    listen_silence(&l); /* cut */
    listen_await(&l);
    r = hear(&l, 3, 0);
    assert_true(r.first);
    assert_false(r.unasked || r.wrong || r.broken);
    frames_are_right(&l, 3, 1, 30);
}

static void an_unasked_reply_may_go_on_beyond_the_turns_end(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    hear(&l, 1, 0);
    listen_silence(&l);
    assert_true(hear(&l, 2, 0).unasked);
    listen_await(&l);
    frames_are_right(&l, 2, 1, 10);
    assert_true(hear(&l, 2, 12).broken);
    listen_silence(&l);
    struct listen_result r = hear(&l, 3, 0);
    assert_true(r.first);
    assert_false(r.unasked || r.wrong);
}

static void an_answer_to_the_turn_before_is_not_awaited_in_the_next(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    listen_turn(&l);
    assert_true(hear(&l, 1, 0).first); /* the greeting */
    listen_silence(&l);
    listen_await(&l);
    listen_turn(&l);
    assert_true(hear(&l, 2, 0).unasked);
    listen_await(&l);
    frames_are_right(&l, 2, 1, 10);
}

/* A stream that sends no silence. */
static void what_comes_after_all_was_played_may_be_the_next_reply(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, true);
    hear(&l, 1, 0);
    listen_dry(&l);
    struct listen_result r = hear(&l, 1, 1); /* late, no more */
    assert_true(r.continued && !r.broken);
    listen_dry(&l);
    assert_true(hear(&l, 1, 3).broken);
    listen_dry(&l);
    r = hear(&l, 2, 0);
    assert_true(r.unasked && !r.broken && !r.wrong);
    listen_await(&l);
    listen_dry(&l);
    r = hear(&l, 3, 0);
    assert_true(r.first && !r.unasked && !r.broken && !r.wrong);
}

/* It may have been held at any sample. */
static void a_held_reply_goes_on_from_silence(void **state)
{
    (void)state;
    struct listen l;
    int16_t pcm[FRAME];

    for (uint32_t reply = 1; reply <= 12; reply++)
        for (int64_t i = 0; i < scripted_period(reply); i++) {
            listen_init(&l, LISTEN_SCRIPTED, false);
            l.reply = reply - 1;
            hear(&l, reply, 0);
            listen_silence(&l);
            for (int64_t n = 0; n < 3; n++) {
                reply_from(reply, i + n * FRAME, pcm);
                struct listen_result r = listen_audio(&l, pcm, FRAME);
                assert_false(r.first || r.wrong || r.broken);
            }
        }
}

static void unasked_is_only_the_next_reply_and_from_silence(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    hear(&l, 1, 0);
    hear(&l, 1, 1);
    struct listen_result r = hear(&l, 2, 2); /* another's voice in the middle of ours */
    assert_true((r.wrong || r.broken) && !r.unasked);
    assert_true(hear(&l, 2, 3).wrong);
    listen_silence(&l);
    r = hear(&l, 5, 0);
    assert_true(r.wrong && !r.unasked);
    assert_int_equal(l.period, scripted_period(5));
    assert_int_equal(l.wanted, scripted_period(1));
    listen_silence(&l);
    listen_await(&l);
    assert_true(hear(&l, 1, 0).wrong); /* what was heard before is no answer */
}

static void a_missing_or_doubled_packet_is_heard(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    hear(&l, 1, 0);
    assert_true(hear(&l, 1, 2).broken);
    assert_false(hear(&l, 1, 3).broken);
    assert_true(hear(&l, 1, 3).broken);
}

static void silence_is_no_voice(void **state)
{
    (void)state;
    struct listen l;
    int16_t quiet[FRAME] = {0};

    listen_init(&l, LISTEN_SCRIPTED, false);
    assert_false(listen_audio(&l, quiet, FRAME).voiced);
    assert_true(hear(&l, 1, 0).first);
    assert_false(listen_audio(&l, quiet, FRAME).voiced);
    listen_init(&l, LISTEN_ANY, false);
    assert_false(listen_audio(&l, quiet, FRAME).voiced);
    assert_true(hear(&l, 5, 0).voiced);
}

static void lateness_is_against_the_earliest_schedule(void **state)
{
    (void)state;
    struct listen l;

    listen_init(&l, LISTEN_SCRIPTED, false);
    assert_int_equal(listen_lateness_ns(&l, 0, MS(107)), 0);
    assert_int_equal(listen_lateness_ns(&l, 20, MS(120)), 0);
    assert_int_equal(listen_lateness_ns(&l, 40, MS(147)), MS(7));
    listen_init(&l, LISTEN_SCRIPTED, true);
    assert_int_equal(listen_lateness_ns(&l, 0, MS(107)), 0);
    assert_true(listen_lateness_ns(&l, 20, MS(120)) < 0);
    assert_int_equal(listen_lateness_ns(&l, 40, MS(154)), MS(7));
    listen_reschedule(&l);
    assert_int_equal(listen_lateness_ns(&l, 0, MS(500)), 0);
}

static void speech_is_loud_and_noise_is_not(void **state)
{
    (void)state;
    struct corpus c;
    char why[CORPUS_WHY_BYTES];
    int loud = 0;

    assert_int_equal(corpus_load(&c, NULL, false, 1, why), 0);
    for (uint64_t n = 0; n < 1000; n++) {
        bool is_loud;
        assert_non_null(corpus_speech(&c, (uint32_t)n % 50, (uint32_t)n / 50, n, &is_loud));
        loud += is_loud;
    }
    assert_in_range(loud, 600, 990); /* words have gaps */
    for (uint32_t i = 0; i < c.noise.count; i++)
        assert_false(c.noise.loud[i]);
    corpus_fini(&c);
    assert_true(corpus_load(&c, "/nowhere", false, 1, why) < 0);
    corpus_fini(&c);
}

static void write_tone(const char *folder, const char *name, uint32_t samples)
{
    const struct wav_format format = {.encoding = WAV_PCM16, .channels = 1, .rate_hz = 8000};
    uint8_t header[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(header, sizeof(header));
    static int16_t pcm[8000];
    char path[256];

    for (uint32_t i = 0; i < samples; i++)
        pcm[i] = i % 40 < 20 ? 8000 : -8000;
    assert_int_equal(wav_build(&b, &format, samples * sizeof(pcm[0])), 0);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(header, 1, b.len, f), b.len);
    assert_int_equal(fwrite(pcm, sizeof(pcm[0]), samples, f), samples);
    assert_int_equal(fclose(f), 0);
}

static void clips_are_read_in_the_order_of_their_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t frames;
    } files[] = {{"b.wav", 20}, {"d.wav", 40}, {"a.wav", 10}, {"c.wav", 30}, {"no.txt", 50}};
    char folder[] = "/tmp/sidetone-clips-XXXXXX", why[CORPUS_WHY_BYTES], path[256];
    struct corpus c;

    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        write_tone(folder, files[i].name, files[i].frames * FRAME);
    assert_int_equal(corpus_load(&c, folder, false, 1, why), 0);
    assert_int_equal(c.clip_count, 4);
    for (uint32_t i = 0; i < c.clip_count; i++)
        assert_int_equal(c.clips[i].count, 10 * (i + 1));
    corpus_fini(&c);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        unlink(path);
    }
    rmdir(folder);
}

/* One caller that is up, on a line that the test carries. */
static struct load *one_call(struct load_call *c)
{
    static struct load_options o;
    static struct load l;
    char why[CORPUS_WHY_BYTES];

    o.talk = rules;
    o.seed = 1;
    l = (struct load){.options = &o, .window = &l.rest, .now_ns = SECONDS(1), .asking = 1};
    *c = (struct load_call){.index = 3, .fd = -1, .ask_fd = -1};
    assert_int_equal(corpus_load(&l.corpus, NULL, false, 1, why), 0);
    call_live(&l, c);
    return &l;
}

static struct listen_result call_frame(struct load *l, struct load_call *c, uint32_t reply,
                                       int64_t n)
{
    int16_t pcm[FRAME];
    uint8_t code[FRAME];

    l->now_ns += MS(20);
    for (int i = 0; i < FRAME; i++)
        pcm[i] = scripted_sample(reply, n * FRAME + i);
    g711_mulaw_encode(code, pcm, FRAME);
    return call_hear(l, c, slice_of(code, FRAME), l->now_ns);
}

static void a_turn_is_of_one_clip_to_its_last_frame(void **state)
{
    (void)state;
    struct load_call c;
    struct load *l = one_call(&c);
    uint64_t turns = 0;

    for (; turns < 3; l->now_ns += MS(20), c.frame++) {
        const uint8_t *said = call_say(l, &c);
        bool loud;
        if (c.talk.state == TALK_SPEAKING || l->rest.turns > turns)
            assert_ptr_equal(said,
                             corpus_speech(&l->corpus, c.index, (uint32_t)turns, c.frame, &loud));
        turns = l->rest.turns;
    }
    corpus_fini(&l->corpus);
}

static void a_fault_is_told_once_with_what_its_call_did(void **state)
{
    (void)state;
    static uint8_t json[1 << 16];
    struct builder b = builder_of(json, sizeof(json));
    struct load_call c;
    struct load *l = one_call(&c);

    call_frame(l, &c, 1, 0);
    for (int64_t n = 0; n < 5; n++)
        assert_true(call_frame(l, &c, 4, n).wrong || n == 0);
    l->now_ns += SECONDS(1);
    call_fault(l, &c, "something else");
    assert_int_equal(l->told_count, 2 + (l->rest.broken > 0));
    const struct load_fault *f = &l->told[l->told_count - 2];
    assert_int_equal(f->count, l->rest.wrong);
    assert_int_equal(f->call, 3);
    assert_int_equal(f->doing, TALK_HEARING);
    assert_int_equal(f->reply, 1);
    assert_int_equal(f->period, scripted_period(4));
    assert_int_equal(f->wanted, scripted_period(1));
    assert_int_equal(f->last_ns - f->at_ns, MS(20) * (f->count - 1));
    for (int i = 0; i < 2 * LOAD_FAULTS_TOLD; i++, l->now_ns += SECONDS(1))
        call_fault(l, &c, "something else");
    assert_int_equal(l->told_count, 1 + (l->rest.broken > 0) + LOAD_FAULTS_KIND);
    report_json(l, &b);
    assert_false(b.bad);
    assert_non_null(memmem(json, b.len, "\"period_wanted\":22", 18));
    corpus_fini(&l->corpus);
}

static void an_unasked_reply_is_no_answer(void **state)
{
    (void)state;
    struct load_call c;
    struct load *l = one_call(&c);

    call_frame(l, &c, 1, 0);
    listen_silence(&c.listen);
    c.spoke_ns = l->now_ns; /* it speaks */
    assert_true(call_frame(l, &c, 2, 0).unasked);
    assert_int_equal(l->rest.unasked, 1);
    assert_int_equal(l->rest.wrong, 0);
    assert_int_equal(l->rest.response.count, 0);
    listen_silence(&c.listen);
    listen_await(&c.listen);
    call_frame(l, &c, 3, 0);
    assert_int_equal(l->rest.response.count, 1);
    assert_int_equal(l->rest.unasked + l->rest.wrong + l->rest.broken, 1);
    corpus_fini(&l->corpus);
}

static enum options_outcome read_options(struct load_options *o, const char *name,
                                         const char *value)
{
    char first[] = "load", second[64], third[64];
    char *argv[] = {first, second, third, NULL};

    snprintf(second, sizeof(second), "%s", name);
    snprintf(third, sizeof(third), "%s", value);
    optind = 0;
    return options_read(o, 3, argv);
}

struct taken {
    uint32_t count, caller, soon;
    int64_t at_ns;
    char bytes[8];
};

static struct taken taken;

static void take(void *context, uint32_t caller, struct slice packet, int64_t at_wall_ns)
{
    (void)context;
    taken.count++;
    taken.caller = caller;
    taken.at_ns = at_wall_ns;
    assert_int_equal(slice_cstr(packet, taken.bytes, sizeof(taken.bytes)), 0);
}

static void soon(void *context, uint32_t caller)
{
    (void)context;
    (void)caller;
    taken.soon++;
}

/* A socket on loopback that plays the server. */
static int open_peer(struct address *at)
{
    struct sockaddr_storage raw;
    socklen_t len = address_to_sockaddr(at, &raw);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&raw, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&raw, &len), 0);
    address_from_sockaddr(&raw, at);
    return fd;
}

static void a_trunk_knows_whose_a_packet_is(void **state)
{
    (void)state;
    struct address any = {.ip = {127, 0, 0, 1}, .family = 4}, ours = any, strangers = any;
    static struct trunk t;
    union trunk_peer to;
    struct sockaddr_storage raw;
    char got[16];

    t.soon = soon;
    assert_int_equal(trunk_open(&t, &any), 0);
    int peer = open_peer(&ours), stranger = open_peer(&strangers);
    trunk_claim(&t, 5, &ours, &to);
    trunk_send(&t, 5, &to, SLICE("one"));
    trunk_send(&t, 5, &to, SLICE("two"));
    assert_true(recv(peer, got, sizeof(got), MSG_DONTWAIT) < 0); /* gathered, not sent */
    trunk_flush(&t);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 3);
    assert_memory_equal(got, "one", 3);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 3);

    socklen_t len = address_to_sockaddr(&t.local[trunk_socket(5)], &raw);
    assert_int_equal(sendto(peer, "back", 4, 0, (struct sockaddr *)&raw, len), 4);
    assert_int_equal(sendto(stranger, "lies", 4, 0, (struct sockaddr *)&raw, len), 4);
    trunk_receive(&t, take, NULL);
    assert_int_equal(taken.count, 1);
    assert_int_equal(taken.caller, 5);
    assert_int_equal(taken.soon, 1);
    assert_string_equal(taken.bytes, "back");
    assert_true(taken.at_ns > 0);
    assert_int_equal(t.strange, 1);
    assert_int_equal(trunk_lost(&t), 0);

    trunk_release(&t, 5, &to);
    assert_int_equal(sendto(peer, "late", 4, 0, (struct sockaddr *)&raw, len), 4);
    trunk_receive(&t, take, NULL);
    assert_int_equal(taken.count, 1);
    close(peer);
    close(stranger);
    trunk_close(&t);
}

static void a_trunk_takes_more_than_a_batch_and_refuses_what_is_too_long(void **state)
{
    (void)state;
    struct address any = {.ip = {127, 0, 0, 1}, .family = 4}, at = any;
    static struct trunk t;
    static uint8_t large[TRUNK_OUT_BYTES + 1];
    union trunk_peer to;
    uint8_t got[4];

    t.soon = soon;
    assert_int_equal(trunk_open(&t, &any), 0);
    int peer = open_peer(&at);
    trunk_claim(&t, 0, &at, &to);
    for (int i = 0; i < TRUNK_BATCH + 1; i++)
        trunk_send(&t, 0, &to, SLICE("abcd"));
    trunk_send(&t, 0, &to, slice_of(large, sizeof(large)));
    trunk_flush(&t);
    assert_int_equal(t.unsent, 1);
    for (int i = 0; i < TRUNK_BATCH + 1; i++)
        assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), 4);
    close(peer);
    trunk_close(&t);
}

/* The other programs compute a caller's socket for themselves. */
static void callers_are_spread_over_the_sockets(void **state)
{
    (void)state;
    uint32_t of[TRUNK_SOCKETS] = {0};

    for (uint32_t i = 0; i < 1600; i++) {
        assert_int_equal(trunk_socket(i), trunk_phase(i) >> 28);
        of[trunk_socket(i)]++;
    }
    for (uint32_t k = 0; k < TRUNK_SOCKETS; k++)
        assert_in_range(of[k], 98, 102);
}

static void options_are_bounded(void **state)
{
    (void)state;
    static struct load_options o;

    assert_int_equal(read_options(&o, "--calls", "10,200,3000"), OPTIONS_RUN);
    assert_int_equal(o.step_count, 3);
    assert_int_equal(o.steps[2], 3000);
    assert_int_equal(read_options(&o, "--calls", "0"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--calls", "20001"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--calls", "1,x"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--churn", "100,300"), OPTIONS_RUN);
    assert_int_equal(o.rate_count, 2);
    assert_int_equal(o.rates[1], 300);
    assert_int_equal(read_options(&o, "--churn", "0"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--churn", "20000"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--relay", "/nonexistent"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--calls", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--via", "sip"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--quantum", "1"), OPTIONS_BAD);
    assert_int_equal(read_options(&o, "--via", "twilio"), OPTIONS_RUN);
    assert_string_equal(o.media.target, "/media/load");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_tells_shares),
        cmocka_unit_test(histogram_takes_extremes),
        cmocka_unit_test(draws_keep_their_mean),
        cmocka_unit_test(a_caller_waits_for_the_greeting_and_its_end),
        cmocka_unit_test(a_turn_without_an_answer_is_counted),
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(replies_in_order_are_right),
        cmocka_unit_test(another_replys_voice_is_wrong_once),
        cmocka_unit_test(the_next_reply_before_a_turns_end_is_unasked),
        cmocka_unit_test(an_unasked_reply_may_go_on_beyond_the_turns_end),
        cmocka_unit_test(an_answer_to_the_turn_before_is_not_awaited_in_the_next),
        cmocka_unit_test(what_comes_after_all_was_played_may_be_the_next_reply),
        cmocka_unit_test(a_held_reply_goes_on_from_silence),
        cmocka_unit_test(unasked_is_only_the_next_reply_and_from_silence),
        cmocka_unit_test(clips_are_read_in_the_order_of_their_names),
        cmocka_unit_test(a_turn_is_of_one_clip_to_its_last_frame),
        cmocka_unit_test(a_fault_is_told_once_with_what_its_call_did),
        cmocka_unit_test(an_unasked_reply_is_no_answer),
        cmocka_unit_test(a_missing_or_doubled_packet_is_heard),
        cmocka_unit_test(silence_is_no_voice),
        cmocka_unit_test(lateness_is_against_the_earliest_schedule),
        cmocka_unit_test(speech_is_loud_and_noise_is_not),
        cmocka_unit_test(a_trunk_knows_whose_a_packet_is),
        cmocka_unit_test(a_trunk_takes_more_than_a_batch_and_refuses_what_is_too_long),
        cmocka_unit_test(callers_are_spread_over_the_sockets),
        cmocka_unit_test(options_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
