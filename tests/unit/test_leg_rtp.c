/* The RTP leg on a real shard over a real socket, under a clock of the test's own; the other end is
 * a plain socket of this thread, and the call is an actor that writes down what it is told. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "actors/messages.h"
#include "actors/world.h"
#include "base/metrics.h"
#include "media/dtmf.h"
#include "media/g711.h"
#include "media/rtcp.h"
#include "media/rtp.h"
#include "tests/unit/energy_agent.h"

#define PACKET      160
#define PEER_SSRC   0xCAFE0001u
#define SAMPLES_MAX (8000 * 40)

extern const struct actor_type leg_rtp_type;

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static int64_t wall_ms(void *context)
{
    (void)context;
    return 1700000000000 + ns_to_ms(test_now_ns);
}

/* ---- the call ---- */

static struct {
    struct actor_id leg;
    struct leg_up_msg up;
    char keys[33];
    size_t key_count;
    int16_t heard[SAMPLES_MAX];
    size_t heard_count;
    int64_t first_sample, next_sample;
    int64_t jumps; /* of the AUDIO's own numbering */
    unsigned started, paused;
    bool played, ended;
    unsigned pressed;
    int32_t press_err;
    struct child_ended_msg end;
} call;

static void on_audio(struct actor *a, const struct msg *m)
{
    const struct frame *f = frame_at(shard_pool(a->shard), m->frame);
    int64_t sample = msg_body(m, audio_msg)->sample;

    if (call.heard_count == 0)
        call.first_sample = sample;
    else
        call.jumps += sample - call.next_sample;
    assert_true(call.heard_count + f->len / 2 <= SAMPLES_MAX);
    memcpy(call.heard + call.heard_count, f->data, f->len);
    call.heard_count += f->len / 2;
    call.next_sample = sample + f->len / 2;
}

static void call_handle(struct actor *a, const struct msg *m)
{
    switch (m->type) {
    case MSG_STOP:
        if (!a->child)
            actor_end(a);
        break;
    case MSG_CHILD_ENDED:
        call.ended = true;
        call.end = *msg_body(m, child_ended_msg);
        if (a->life == ACTOR_STOPPING)
            actor_end(a);
        break;
    case LEG_UP:
        call.up = *msg_body(m, leg_up_msg);
        break;
    case LEG_KEY:
        assert_true(call.key_count + 1 < sizeof(call.keys));
        call.keys[call.key_count++] = msg_body(m, leg_key_msg)->digit;
        break;
    case LEG_SPEECH:
        call.started += msg_body(m, leg_speech_msg)->speaking;
        call.paused += !msg_body(m, leg_speech_msg)->speaking;
        break;
    case LEG_PLAYED:
        call.played = true;
        break;
    case CALL_PRESSED:
        call.pressed++;
        call.press_err = msg_body(m, call_placed_msg)->err;
        assert_int_equal(msg_body(m, call_placed_msg)->cookie, 77);
        break;
    case AUDIO:
        on_audio(a, m);
        break;
    default:
        break;
    }
}

static const struct actor_type call_type = {
    .name = "call", .size_bytes = sizeof(struct actor), .handle = call_handle};

/* ---- the world ---- */

static struct config config;
static struct world world = {.config = &config, .agents = {NULL, &bundle}};

static struct {
    struct shard *shard;
    struct actor *call;
    int fd; /* the peer */
    struct address peer;
    uint8_t payload_type;
    /* what it got */
    struct rtp_packet rtp[2048];
    uint8_t payload[2048][PACKET];
    size_t rtp_count;
    struct rtcp_in rtcp[16];
    size_t rtcp_count;
    /* what it sends */
    uint16_t seq;
    uint32_t timestamp;
    int64_t sample;
} w;

static int plain_udp(struct address *at)
{
    struct address any = {.family = 4, .ip = {127, 0, 0, 1}, .port = at->port};
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&any, &name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&name, len)) {
        close(fd);
        return -1;
    }
    len = sizeof(name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    address_from_sockaddr(&name, at);
    return fd;
}

static void spawn_leg(void)
{
    struct leg_rtp_start_msg args = {.agent = 1, .peer = w.peer, .payload_type = w.payload_type};
    struct actor *leg =
        actor_spawn(w.shard, &leg_rtp_type, w.call, ROLE_LEG, &args, sizeof(args), FRAME_NONE);

    assert_non_null(leg);
    call.leg = leg->id;
}

static void set_up_with(uint8_t payload_type, uint16_t first, uint16_t last)
{
    struct shard_type types[] = {{&call_type, 1}, {&leg_rtp_type, 1}};
    struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = wall_ms},
                                .seed = 7u + (uint64_t)getpid(), /* ports: others may test too */
                                .frames_max = 512,
                                .types = types,
                                .type_count = ARRAY_LEN(types),
                                .io_new = io_epoll_new,
                                .handles_max = 8,
                                .receive_bytes = 1 << 16,
                                .world = &world};

    memset(&call, 0, sizeof(call));
    memset(&w, 0, sizeof(w));
    memcpy(config.rtp_bind.host, "127.0.0.1", sizeof("127.0.0.1"));
    config.rtp_ports = (struct port_range){first, last};
    test_now_ns = SECONDS(1);
    w.payload_type = payload_type;
    w.seq = 65530; /* wraps soon */
    w.timestamp = 0xFFFFF000u;
    w.fd = plain_udp(&w.peer);
    assert_int_equal(shard_new(&setup, &w.shard), 0);
    w.call = actor_spawn(w.shard, &call_type, NULL, 0, NULL, 0, FRAME_NONE);
    spawn_leg();
}

static void take_datagram(struct slice in)
{
    if (rtp_kind(in) == RTP_KIND_RTCP) {
        assert_true(w.rtcp_count < ARRAY_LEN(w.rtcp));
        assert_int_equal(rtcp_parse(in, PEER_SSRC, &w.rtcp[w.rtcp_count]), 0);
        w.rtcp[w.rtcp_count++].cname.at = NULL; /* borrowed from a buffer that goes */
        return;
    }
    assert_true(w.rtp_count < ARRAY_LEN(w.rtp));
    struct rtp_packet *p = &w.rtp[w.rtp_count];
    assert_int_equal(rtp_parse(in, p), 0);
    assert_int_equal(p->payload.len, p->pt == 101 ? DTMF_PAYLOAD_BYTES : PACKET);
    memcpy(w.payload[w.rtp_count++], p->payload.at, p->payload.len);
}

static void collect(void)
{
    uint8_t bytes[2048];
    ssize_t n;

    while ((n = recv(w.fd, bytes, sizeof(bytes), 0)) >= 0)
        take_datagram(slice_of(bytes, (size_t)n));
}

/* Time goes on by whole ticks. */
static void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        shard_io(w.shard)->ops->wait(shard_io(w.shard), 0, false);
        shard_turn(w.shard);
        collect();
    }
}

static void listen_to_leg(bool on)
{
    struct leg_listen_msg body = {.on = on};

    actor_send_body(w.call, call.leg, LEG_LISTEN, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    shard_turn(w.shard);
}

static void introduce(void)
{
    struct leg_peers_msg peers = {.stt = w.call->id, .agent = 1, .listen_rate_hz = 8000};

    actor_send_body(w.call, call.leg, LEG_PEERS, IF_FULL_STOP, FRAME_NONE, &peers, sizeof(peers));
    shard_turn(w.shard);
    listen_to_leg(true);
}

static void set_up(uint8_t payload_type)
{
    set_up_with(payload_type, 20001, 29999);
    introduce();
}

/* The runtime asserts the leg's ledger and the frame pool as it goes. */
static void tear_down(void)
{
    actor_stop(w.shard, w.call->id, REASON(0, "the test is over"));
    shard_finish(w.shard);
    shard_turn(w.shard);
    assert_true(shard_finished(w.shard));
    shard_free(&w.shard);
    close(w.fd);
}

/* ---- what the peer sends ---- */

static void send_raw_from(int fd, const void *bytes, size_t len)
{
    struct sockaddr_storage name;
    socklen_t name_len = address_to_sockaddr(&call.up.local, &name);

    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&name, name_len), len);
}

static void send_rtp(uint8_t pt, bool marker, uint16_t seq, uint32_t timestamp,
                     struct slice payload)
{
    uint8_t bytes[1500];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct rtp_send s = {.ssrc = PEER_SSRC, .seq = seq};

    assert_int_equal(rtp_send_packet(&s, &b, pt, marker, timestamp, payload), 0);
    send_raw_from(w.fd, bytes, b.len);
}

/* Packet `n` of a loud 400 Hz tone. */
static void send_tone(int n)
{
    int16_t pcm[PACKET];
    uint8_t code[PACKET];

    for (int i = 0; i < PACKET; i++)
        pcm[i] = (int16_t)(8000 * sin(2 * M_PI * 400 / 8000 * (n * PACKET + i)));
    if (w.payload_type == RTP_PT_PCMA)
        g711_alaw_encode(code, pcm, PACKET);
    else
        g711_mulaw_encode(code, pcm, PACKET);
    send_rtp(w.payload_type, n == 0, (uint16_t)(w.seq + n), w.timestamp + (uint32_t)(n * PACKET),
             slice_of(code, PACKET));
}

static void send_tones(int from, int to)
{
    for (int n = from; n < to; n++) {
        send_tone(n);
        pass(20);
    }
}

static void send_key(uint8_t event, int n, int packets)
{
    uint8_t bytes[DTMF_PAYLOAD_BYTES];
    uint32_t timestamp = w.timestamp + (uint32_t)(n * PACKET);

    for (int i = 0; i < packets; i++, n++) {
        struct dtmf_payload p = {.event = event,
                                 .end = i >= packets - 3,
                                 .volume = 10,
                                 .duration = (uint16_t)(PACKET * (i + 1))};
        dtmf_build(&p, bytes);
        send_rtp(101, i == 0, (uint16_t)(w.seq + n), timestamp, slice_of(bytes, sizeof(bytes)));
        pass(20);
    }
}

static void send_rtcp(uint32_t ssrc, bool bye)
{
    uint8_t bytes[256];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct rtcp_out out = {.ssrc = ssrc, .cname = SLICE("peer"), .bye = bye};

    assert_int_equal(rtcp_build(&b, &out), 0);
    send_raw_from(w.fd, bytes, b.len);
    pass(4);
}

/* ---- cases ---- */

static void sends_silence_every_20_ms(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    assert_int_equal(call.up.rate_hz, 8000);
    assert_int_equal(call.up.local.port % 2, 0);
    assert_true(call.up.local.port >= 20002 && call.up.local.port <= 29998);
    pass(1000);
    assert_in_range(w.rtp_count, 49, 51);
    for (size_t i = 0; i < w.rtp_count; i++) {
        assert_int_equal(w.rtp[i].pt, RTP_PT_PCMU);
        assert_int_equal(w.rtp[i].marker, i == 0);
        assert_int_equal(w.rtp[i].ssrc, w.rtp[0].ssrc);
        assert_int_equal(w.rtp[i].seq, (uint16_t)(w.rtp[0].seq + i));
        assert_int_equal(w.rtp[i].timestamp, (uint32_t)(w.rtp[0].timestamp + i * PACKET));
        for (size_t k = 0; k < PACKET; k++)
            assert_int_equal(w.payload[i][k], G711_MULAW_SILENCE);
    }
    tear_down();
}

static void speak(int frames)
{
    struct play_msg body = {.epoch = 1, .generation = 1, .piece = 1};

    for (int n = 0; n < frames; n++) {
        frame_ref ref = frame_get(shard_pool(w.shard));
        struct frame *f = frame_at(shard_pool(w.shard), ref);
        f->len = PACKET * 2;
        f->rate_hz = 8000;
        f->tag = 1;
        f->generation = 1;
        for (int i = 0; i < PACKET; i++)
            frame_pcm(f)[i] = (int16_t)(100 * (n + 1) + i);
        actor_send_body(w.call, call.leg, PLAY, IF_FULL_STOP, ref, &body, sizeof(body));
    }
    actor_send_body(w.call, call.leg, PLAY_END, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
}

static void speaks_with_a_marker(void **state)
{
    uint8_t code[PACKET];
    int16_t pcm[PACKET];
    size_t first = 1;

    (void)state;
    set_up(RTP_PT_PCMA);
    pass(200);
    speak(5);
    pass(300);
    assert_true(call.played);
    while (first < w.rtp_count && !w.rtp[first].marker)
        first++;
    assert_true(first + 5 < w.rtp_count);
    for (int n = 0; n < 5; n++) {
        for (int i = 0; i < PACKET; i++)
            pcm[i] = (int16_t)(100 * (n + 1) + i);
        g711_alaw_encode(code, pcm, PACKET);
        assert_int_equal(w.rtp[first + (size_t)n].pt, RTP_PT_PCMA);
        assert_memory_equal(w.payload[first + (size_t)n], code, PACKET);
    }
    assert_int_equal(w.payload[first + 5][0], G711_ALAW_SILENCE);
    tear_down();
}

/* Every sample that was not lost is heard as it was sent, at its place. */
static void expect_tone(int from, int to)
{
    for (int n = from * PACKET; n < to * PACKET; n++)
        assert_in_range(call.heard[n] + 20000 - (int)(8000 * sin(2 * M_PI * 400 / 8000 * n)), 19700,
                        20300);
}

static void hears_both_laws(void **state)
{
    const uint8_t laws[] = {RTP_PT_PCMU, RTP_PT_PCMA};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(laws); i++) {
        set_up(laws[i]);
        pass(100);
        send_tones(0, 50);
        assert_int_equal(call.heard_count, 50 * PACKET);
        assert_int_equal(call.jumps, 0);
        assert_in_range(call.first_sample, 700, 1000); /* 100 ms after the leg's start */
        expect_tone(0, 50);
        assert_int_equal(call.started, 1);
        tear_down();
    }
}

/* The last 360 ms come at once, then everything, then nothing; and what was heard is not heard
 * again. */
static void gives_audio_to_who_listens(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    pass(100);
    listen_to_leg(false);
    send_tones(0, 30);
    assert_int_equal(call.heard_count, 0);
    listen_to_leg(true);
    assert_int_equal(call.heard_count, 18 * PACKET);
    assert_int_equal(call.first_sample % PACKET, call.next_sample % PACKET);
    send_tones(30, 40);
    assert_int_equal(call.heard_count, 28 * PACKET);
    assert_int_equal(call.jumps, 0);
    for (int n = 12 * PACKET; n < 40 * PACKET; n++)
        assert_in_range(call.heard[n - 12 * PACKET] + 20000 -
                            (int)(8000 * sin(2 * M_PI * 400 / 8000 * n)),
                        19700, 20300);
    listen_to_leg(false);
    send_tones(40, 45);
    assert_int_equal(call.heard_count, 28 * PACKET);
    int64_t next_sample = call.next_sample;
    listen_to_leg(true);
    assert_int_equal(call.heard_count, 33 * PACKET);
    assert_int_equal(call.jumps, 0);
    assert_int_equal(call.next_sample - next_sample, 5 * PACKET);
    tear_down();
}

static void puts_a_bad_network_right(void **state)
{
    int64_t lost, late;

    (void)state;
    set_up(RTP_PT_PCMU);
    lost = metrics_read(METRIC_RTP_LOST);
    late = metrics_read(METRIC_RTP_LATE);
    send_tones(0, 10);
    send_tone(11); /* overtakes 10 */
    send_tone(10);
    pass(40);
    send_tone(12);
    send_tone(12); /* twice */
    send_tone(5);  /* long gone, and a duplicate */
    pass(20);
    send_tones(13, 20);
    send_tones(22, 30); /* 20 and 21 are lost */
    send_tone(21);      /* too late */
    pass(20);
    assert_int_equal(call.heard_count, 30 * PACKET);
    assert_int_equal(call.jumps, 0);
    expect_tone(0, 20);
    expect_tone(23, 30); /* 22 begins with the blend */
    assert_int_equal(metrics_read(METRIC_RTP_LOST) - lost, 2);
    assert_int_equal(metrics_read(METRIC_RTP_LATE) - late, 1);
    assert_false(call.ended);
    tear_down();
}

static void drops_and_counts_what_is_strange(void **state)
{
    struct address elsewhere = {0};
    int stranger = plain_udp(&elsewhere);
    struct rand rand = {.state = 42};
    uint8_t bytes[400];
    int64_t strange;

    (void)state;
    set_up(RTP_PT_PCMU);
    strange = metrics_read(METRIC_RTP_STRANGE);
    send_tones(0, 10);
    send_rtp(77, false, (uint16_t)(w.seq + 10), w.timestamp, SLICE("another codec"));
    send_rtp(101, false, (uint16_t)(w.seq + 10), w.timestamp, SLICE("abc")); /* no event */
    send_raw_from(w.fd, "\x80", 1);
    send_raw_from(w.fd, "\x00\x01 a STUN request", 16);
    send_raw_from(w.fd, "\x80\xC9\x00\x7F", 4); /* RTCP longer than itself */
    pass(4);
    assert_int_equal(metrics_read(METRIC_RTP_STRANGE) - strange, 5);
    for (int i = 0; i < 3000; i++) {
        size_t len = rand_below(&rand, sizeof(bytes));
        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)rand_u64(&rand);
        bytes[0] = i % 2 ? (uint8_t)(0x80 | (bytes[0] & 0x3F)) : bytes[0];
        bytes[1] = i % 2 ? 77 : bytes[1];
        send_raw_from(w.fd, bytes, len);
        send_raw_from(stranger, bytes, len);
        if (i % 50 == 0)
            pass(2);
    }
    assert_true(metrics_read(METRIC_RTP_STRANGE) - strange > 1000);
    assert_false(call.ended);
    size_t before = call.heard_count;
    send_tones(20, 40);
    assert_true(call.heard_count - before >= 18 * PACKET);
    close(stranger);
    tear_down();
}

static void reports_each_digit_once(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    send_tones(0, 10);
    send_key(5, 10, 8);
    send_tones(18, 20);
    assert_int_equal(call.heard_count, 20 * PACKET); /* a digit is silence, not a hole */
    assert_int_equal(call.jumps, 0);
    send_key(5, 20, 8);
    send_key(11, 28, 8);
    assert_string_equal(call.keys, "55#");
    send_tones(36, 50);
    assert_in_range(call.next_sample - call.first_sample, 49 * PACKET, 51 * PACKET);
    tear_down();
}

static void press(const char *digits)
{
    struct call_press_msg body = {.asker = w.call->id, .cookie = 77};

    (void)snprintf(body.digits, sizeof(body.digits), "%s", digits);
    actor_send_body(w.call, call.leg, CALL_PRESS, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    shard_turn(w.shard);
}

/* What a receiver makes of the packets that came. */
static size_t digits_received(char *out)
{
    struct dtmf_receive keys;
    size_t count = 0;

    dtmf_receive_init(&keys, 8000);
    for (size_t i = 0; i < w.rtp_count; i++) {
        struct dtmf_payload payload;
        if (w.rtp[i].pt != 101) {
            (void)dtmf_receive_audio(&keys, w.rtp[i].timestamp);
            continue;
        }
        assert_int_equal(dtmf_parse(slice_of(w.payload[i], DTMF_PAYLOAD_BYTES), &payload), 0);
        char digit =
            dtmf_receive_packet(&keys, w.rtp[i].timestamp, &payload, (int64_t)i * MS(20)).started;
        if (digit)
            out[count++] = digit;
    }
    return count;
}

static void presses_digits_in_place_of_audio(void **state)
{
    char got[40] = "";

    (void)state;
    set_up(RTP_PT_PCMU);
    pass(100);
    press("1*#D");
    assert_int_equal(call.pressed, 1);
    assert_int_equal(call.press_err, 0);
    pass(1200);
    assert_int_equal(digits_received(got), 4);
    assert_memory_equal(got, "1*#D", 4);
    for (size_t i = 1; i < w.rtp_count; i++) /* one stream: no slot is empty or sent twice */
        assert_int_equal(w.rtp[i].seq, (uint16_t)(w.rtp[0].seq + i));
    press("01234567890123456789012345678901");
    assert_int_equal(call.press_err, 0);
    press("5"); /* all places are taken */
    assert_int_equal(call.press_err, EBUSY);
    pass(400);
    press("5");
    assert_int_equal(call.press_err, 0);
    tear_down();
}

static void makes_silence_when_the_peer_suppresses_it(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    send_tones(0, 50);
    assert_int_equal(call.started, 1);
    assert_int_equal(call.paused, 0);
    pass(1000);
    assert_int_equal(call.paused, 1); /* although nothing has come */
    w.seq = (uint16_t)(w.seq - 50);   /* not sent is not lost */
    send_tones(100, 150);
    assert_int_equal(call.started, 2);
    /* The leg's clock has gone on by no more than the time. */
    assert_in_range(call.next_sample - call.first_sample, 149 * PACKET, 151 * PACKET);
    pass(1000);
    assert_int_equal(call.paused, 2);
    send_tones(200, 250); /* an outage: 50 are lost */
    assert_int_equal(call.started, 3);
    assert_in_range(call.next_sample - call.first_sample, 249 * PACKET, 251 * PACKET);
    tear_down();
}

static void stops_sooner_when_the_end_is_known(void **state)
{
    struct leg_ended_msg body = {.silence_ns = MS(100)};

    (void)state;
    agent.vad.stop_ms = 400;
    set_up(RTP_PT_PCMU);
    agent.vad.stop_ms = 200;
    send_tones(0, 50);
    pass(300);
    assert_int_equal(call.paused, 0);
    actor_send_body(w.call, call.leg, LEG_ENDED, IF_FULL_STOP, FRAME_NONE, &body, sizeof(body));
    shard_turn(w.shard);
    assert_int_equal(call.paused, 1);
    tear_down();
}

/* However long a pause is: what comes after it stands where it was said. */
static void a_pause_moves_nothing(void **state)
{
    int n = 10;

    (void)state;
    set_up(RTP_PT_PCMU);
    send_tones(0, n);
    for (int pause = 9; pause < 20; pause++) {
        w.seq = (uint16_t)(w.seq - pause);
        pass(20 * pause);
        n += pause;
        send_tones(n, n + 5);
        n += 5;
        assert_int_equal(call.next_sample - call.first_sample, n * PACKET);
    }
    tear_down();
}

static void ends_with_the_peers_bye(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    send_rtcp(PEER_SSRC, true); /* nobody we have heard */
    send_tones(0, 10);
    send_rtcp(PEER_SSRC + 1, true);
    assert_false(call.ended);
    send_rtcp(PEER_SSRC, false);
    assert_false(call.ended);
    send_rtcp(PEER_SSRC, true);
    assert_true(call.ended);
    assert_int_equal(call.end.err, 0);
    assert_string_equal(call.end.what, "the caller hung up");
    tear_down();
}

static void says_bye_when_it_is_stopped(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    pass(100);
    actor_stop(w.shard, call.leg, REASON(0, "enough"));
    pass(4);
    assert_true(call.ended);
    assert_int_equal(w.rtcp_count, 1);
    assert_true(w.rtcp[0].bye);
    assert_int_equal(w.rtcp[0].ssrc, w.rtp[0].ssrc);
    size_t sent = w.rtp_count;
    pass(100);
    assert_int_equal(w.rtp_count, sent);
    tear_down();
}

static void reports_every_few_seconds(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    send_tones(0, 5);
    send_tones(7, 17); /* two of seventeen are lost */
    for (int n = 17; n < 1000 && w.rtcp_count < 3; n++)
        send_tones(n, n + 1);
    assert_int_equal(w.rtcp_count, 3);
    assert_in_range(ns_to_ms(test_now_ns), 6000, 21000);
    const struct rtcp_in *in = &w.rtcp[0];
    assert_true(in->has_sender && in->has_report && !in->bye);
    assert_int_equal(in->report.ssrc, PEER_SSRC);
    assert_int_equal(in->report.lost, 2);
    assert_true(in->sender.octets == in->sender.packets * PACKET && in->sender.packets > 60);
    assert_true(in->cname.len == 16);
    tear_down();
}

static void ends_without_rtp(void **state)
{
    (void)state;
    set_up(RTP_PT_PCMU);
    pass(29900);
    assert_false(call.ended);
    pass(200);
    assert_true(call.ended);
    assert_int_equal(call.end.err, ETIMEDOUT);
    assert_string_equal(call.end.what, "no RTP from the peer");
    tear_down();
    set_up(RTP_PT_PCMU);
    send_tones(0, 900); /* 18 s */
    pass(14900);
    assert_false(call.ended);
    pass(200);
    assert_true(call.ended);
    assert_string_equal(call.end.what, "no RTP from the peer");
    tear_down();
}

static void takes_the_next_port_when_one_is_taken(void **state)
{
    struct address taken;
    int fd = -1;

    (void)state;
    for (uint16_t port = (uint16_t)(30000 + getpid() % 10000 * 2); fd < 0; port += 2) {
        taken = (struct address){.port = port};
        fd = plain_udp(&taken);
    }
    for (int i = 0; i < 8; i++) { /* whichever is drawn first */
        set_up_with(RTP_PT_PCMU, taken.port, (uint16_t)(taken.port + 3));
        introduce();
        assert_false(call.ended);
        assert_int_equal(call.up.local.port, taken.port + 2);
        tear_down();
    }
    set_up_with(RTP_PT_PCMU, taken.port, (uint16_t)(taken.port + 1));
    introduce();
    assert_true(call.ended);
    assert_int_equal(call.end.err, EBUSY);
    assert_string_equal(call.end.what, "no RTP port is free");
    tear_down();
    close(fd);
}

static void refuses_another_codec(void **state)
{
    (void)state;
    set_up(9);
    assert_true(call.ended);
    assert_int_equal(call.end.err, EINVAL);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_silence_every_20_ms),
        cmocka_unit_test(speaks_with_a_marker),
        cmocka_unit_test(hears_both_laws),
        cmocka_unit_test(gives_audio_to_who_listens),
        cmocka_unit_test(puts_a_bad_network_right),
        cmocka_unit_test(drops_and_counts_what_is_strange),
        cmocka_unit_test(reports_each_digit_once),
        cmocka_unit_test(presses_digits_in_place_of_audio),
        cmocka_unit_test(stops_sooner_when_the_end_is_known),
        cmocka_unit_test(makes_silence_when_the_peer_suppresses_it),
        cmocka_unit_test(a_pause_moves_nothing),
        cmocka_unit_test(ends_with_the_peers_bye),
        cmocka_unit_test(says_bye_when_it_is_stopped),
        cmocka_unit_test(reports_every_few_seconds),
        cmocka_unit_test(ends_without_rtp),
        cmocka_unit_test(takes_the_next_port_when_one_is_taken),
        cmocka_unit_test(refuses_another_codec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
