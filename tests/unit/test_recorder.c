/* The recorder on a real shard, a real folder and a real journal tail: what is in the WAV, and what
 * its call is told before it ends. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/messages.h"
#include "actors/world.h"
#include "store/blob_file.h"

#define PACKET 160 /* 20 ms */

extern const struct actor_type recorder_type;

static int64_t test_now_ns;

static int64_t now_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static struct {
    struct recorded_msg recorded;
    bool told, ended, told_first;
} call;

static void call_handle(struct actor *a, const struct msg *m)
{
    if (m->type == RECORDED) {
        call.recorded = *msg_body(m, recorded_msg);
        call.told = true;
    } else if (m->type == MSG_CHILD_ENDED) {
        call.ended = true;
        call.told_first = call.told;
    }
    if (a->life == ACTOR_STOPPING && !a->child && (m->type == MSG_STOP || call.ended))
        actor_end(a);
}

static const struct actor_type call_type = {
    .name = "call", .size_bytes = sizeof(struct actor), .handle = call_handle};

static struct config config;
static struct world world;
static struct shard *shard;
static struct actor *parent, *recorder;
static char dir[64], wav[256];

static int set_up(void **state)
{
    const struct shard_type types[] = {{&call_type, 1}, {&recorder_type, 1}};
    const struct shard_setup setup = {.clock = {.now_ns = now_ns, .wall_ms = now_ns},
                                      .frames_max = 64,
                                      .types = types,
                                      .type_count = ARRAY_LEN(types),
                                      .io_new = io_epoll_new,
                                      .handles_max = 8,
                                      .receive_bytes = 1 << 16,
                                      .world = &world};
    char why[256], path[BLOB_PATH_BYTES];

    (void)state;
    memset(&call, 0, sizeof(call));
    test_now_ns = SECONDS(1);
    snprintf(dir, sizeof(dir), "/tmp/sidetone-recorder-XXXXXX");
    assert_non_null(mkdtemp(dir));
    config = (struct config){.recording_format = CONFIG_RECORDING_LEG};
    world = (struct world){.config = &config, .data_dir = dir, .shards = 1};
    assert_int_equal(recording_file_open(dir, "t", 1, 2, &world.recordings, why, sizeof(why)), 0);
    assert_int_equal(shard_new(&setup, &shard), 0);
    assert_int_equal(blob_path(BLOB_RECORDING, NULL, "call-1", path, sizeof(path)), 0);
    assert_int_equal(blob_full(dir, path, wav, sizeof(wav)), 0);
    parent = actor_spawn(shard, &call_type, NULL, 0, NULL, 0, FRAME_NONE);
    return 0;
}

static void begin(void)
{
    struct recorder_start_msg args = {.in_rate_hz = 8000, .leg_rate_hz = 8000, .call_id = "call-1"};

    recorder =
        actor_spawn(shard, &recorder_type, parent, ROLE_RECORDER, &args, sizeof(args), FRAME_NONE);
    assert_non_null(recorder);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    shard_free(&shard);
    recording_file_close(&world.recordings);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void pass(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 2) {
        test_now_ns += MS(2);
        shard_turn(shard);
        shard_io(shard)->ops->wait(shard_io(shard), 0, false);
    }
}

/* Files are written by other threads: they get real time. */
static void end(void)
{
    actor_stop(shard, parent->id, REASON(0, "the test is over"));
    shard_finish(shard);
    for (int i = 0; i < 1000 && !shard_finished(shard); i++) {
        shard_turn(shard);
        shard_io(shard)->ops->wait(shard_io(shard), MS(2), false);
        shard_turn(shard);
    }
    assert_true(shard_finished(shard));
}

static void sound(uint16_t type, int64_t sample, int16_t value, size_t n)
{
    struct audio_msg body = {.sample = sample};
    frame_ref ref = frame_get(shard_pool(shard));
    struct frame *f = frame_at(shard_pool(shard), ref);

    f->len = (uint32_t)(n * sizeof(int16_t));
    f->rate_hz = 8000;
    f->sample = sample;
    for (size_t i = 0; i < n; i++)
        frame_pcm(f)[i] = value;
    actor_send_body(parent, recorder->id, type, IF_FULL_DROP, ref, &body, sizeof(body));
}

static size_t read_wav(int16_t *pcm, size_t max)
{
    uint8_t header[RECORDING_HEADER_BYTES];
    FILE *f = fopen(wav, "rb");
    uint32_t bytes;

    assert_non_null(f);
    assert_int_equal(fread(header, 1, sizeof(header), f), sizeof(header));
    memcpy(&bytes, header + 40, 4);
    size_t n = fread(pcm, sizeof(*pcm), max, f);
    fclose(f);
    assert_int_equal(bytes, n * sizeof(*pcm));
    return n;
}

/* Both sides at their place, and of the agent only what was heard. */
static void lays_both_sides_onto_the_clock(void **state)
{
    static int16_t pcm[16000];

    (void)state;
    begin();
    for (int i = 0; i < 20; i++) {
        sound(AUDIO, i * PACKET, 1000, PACKET);
        sound(AUDIO_OUT, i * PACKET + PACKET / 2, 500, PACKET);
        pass(20);
    }
    struct audio_msg cut = {.sample = 15 * PACKET}; /* 20 are out, and 15 were heard */
    actor_send_body(parent, recorder->id, AUDIO_CUT, IF_FULL_DROP, FRAME_NONE, &cut, sizeof(cut));
    pass(100);
    end();
    assert_true(call.told_first);
    assert_int_equal(call.recorded.err, 0);
    size_t n = read_wav(pcm, ARRAY_LEN(pcm));
    assert_int_equal(call.recorded.bytes, n * sizeof(int16_t));
    assert_int_equal(n, 25 * PACKET);
    assert_int_equal(pcm[10], 1000);
    assert_int_equal(pcm[PACKET], 1500);
    assert_int_equal(pcm[15 * PACKET - 1], 1500);
    assert_int_equal(pcm[15 * PACKET], 1000);
    assert_int_equal(pcm[22 * PACKET], 0);
}

static void stops_before_its_file_is_open(void **state)
{
    static int16_t pcm[16];

    (void)state;
    begin();
    end();
    assert_true(call.told_first);
    assert_int_equal(call.recorded.err, 0);
    assert_int_equal(read_wav(pcm, ARRAY_LEN(pcm)), 0);
}

/* A folder stands where the file would: the call hears that its recording is bad. */
static void says_when_it_cannot_write(void **state)
{
    char command[512];

    (void)state;
    snprintf(command, sizeof(command), "mkdir -p %s", wav);
    assert_int_equal(system(command), 0);
    begin();
    for (int i = 0; i < 20; i++) {
        sound(AUDIO, i * PACKET, 1000, PACKET);
        pass(20);
    }
    end();
    assert_true(call.told_first);
    assert_int_equal(call.recorded.err, EISDIR);
}

static void refuses_what_finds_no_slot(void **state)
{
    struct recording_shard *slots = recording_shard(world.recordings, 0);
    uint8_t header[RECORDING_HEADER_BYTES] = "RIFF....WAVEfmt ";
    uint32_t handles[2];

    (void)state;
    header[22] = 1;
    memcpy(header + 36, "data", 4);
    for (int i = 0; i < 2; i++)
        assert_int_equal(recording_begin(slots, "recordings/direct/x.wav",
                                         slice_of(header, sizeof(header)), &handles[i]),
                         0);
    begin();
    end();
    assert_true(call.told_first);
    assert_int_equal(call.recorded.err, ENOSPC);
    recording_end(slots, handles[0]);
    recording_end(slots, handles[1]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lays_both_sides_onto_the_clock),
        CASE(stops_before_its_file_is_open),
        CASE(says_when_it_cannot_write),
        CASE(refuses_what_finds_no_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
