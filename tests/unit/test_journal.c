/* The journal's ring, its records, and the call log that is built from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/call_log.h"
#include "store/journal.h"
#include "store/record.h"
#include "tests/unit/folder.h"

static struct journal *journal_new(const char *name, uint32_t shards, size_t bytes)
{
    char why[256];
    struct journal *j;

    assert_int_equal(journal_open(folder, name, shards, bytes, &j, why, sizeof(why)), 0);
    return j;
}

static int open_of(const char *name, int flags)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s.journal", folder, name);
    int fd = open(path, flags);

    assert_true(fd >= 0);
    return fd;
}

/* The file as another process would find it. */
static struct slice file_of(const char *name, uint8_t **copy)
{
    struct stat st;
    int fd = open_of(name, O_RDONLY);

    assert_int_equal(fstat(fd, &st), 0);
    *copy = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, *copy, (size_t)st.st_size), st.st_size);
    close(fd);
    return slice_of(*copy, (size_t)st.st_size);
}

static void crc_is_castagnoli(void **state)
{
    uint8_t zeros[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, SLICE("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, slice_of(zeros, 32)), 0x8a9136aa); /* RFC 3720 B.4 */
    assert_int_equal(crc32c(crc32c(0, SLICE("1234")), SLICE("56789")), 0xe3069283);
}

struct count {
    uint32_t records;
    uint32_t stored;
    uint32_t last_seq;
    char last[64];
};

static void count_each(void *ctx, const struct journal_record *r)
{
    struct count *c = ctx;

    c->records++;
    c->stored += r->type == JOURNAL_STORED;
    c->last_seq = r->seq;
    if (slice_cstr(r->payload, c->last, sizeof(c->last)))
        c->last[0] = '\0';
}

static void records_are_in_the_file_at_once(void **state)
{
    struct journal *j = journal_new("at-once", 2, JOURNAL_REGION_MIN);
    struct count c = {0};
    uint32_t handle;
    uint32_t damaged;
    uint8_t *copy;

    (void)state;
    assert_int_equal(journal_begin(journal_shard(j, 1), "call-1", SLICE("begin"), &handle), 0);
    assert_int_equal(journal_add(journal_shard(j, 1), handle, JOURNAL_HEARD, SLICE("hello")), 0);
    assert_int_equal(journal_walk(file_of("at-once", &copy), count_each, &c, &damaged), 0);
    free(copy);
    assert_int_equal(c.records, 2);
    assert_int_equal(c.last_seq, 2);
    assert_string_equal(c.last, "hello");
    assert_int_equal(damaged, 0);
    journal_stored(journal_shard(j, 1), handle);
    assert_int_equal(journal_add(journal_shard(j, 1), handle, JOURNAL_HEARD, SLICE("x")), -ENOENT);
    journal_close(&j);
    char path[128];

    snprintf(path, sizeof(path), "%s/at-once.journal", folder);
    assert_int_equal(access(path, F_OK), -1); /* nothing left to do: removed */
}

static void names_and_sizes_are_bounded(void **state)
{
    struct journal *j = journal_new("bounds", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    static uint8_t big[JOURNAL_PAYLOAD_MAX + 1];
    char why[256];
    struct journal *other;
    uint32_t h;

    (void)state;
    assert_int_equal(journal_begin(s, "", SLICE_NONE, &h), -EINVAL);
    assert_int_equal(journal_begin(s, "0123456789012345678901234567890123456789", SLICE_NONE, &h),
                     -EINVAL);
    assert_int_equal(journal_begin(s, "012345678901234567890123456789012345678", SLICE_NONE, &h),
                     0);
    assert_int_equal(journal_add(s, h, JOURNAL_SAID, slice_of(big, JOURNAL_PAYLOAD_MAX)), 0);
    assert_int_equal(journal_add(s, h, JOURNAL_SAID, slice_of(big, sizeof(big))), -EMSGSIZE);
    assert_int_equal(
        journal_open(folder, "bounds", 1, JOURNAL_REGION_MIN, &other, why, sizeof(why)), -EEXIST);
    assert_non_null(strstr(why, "bounds.journal cannot be made: File exists"));
    journal_stored(s, h);
    journal_close(&j);
}

/* A call's records are its own, though its slot in the journal was another's before. */
static void two_of(struct journal_shard *s, uint32_t handle, const char *call_id)
{
    uint8_t copy[1024];
    struct slice stream = slice_of(copy, journal_copy(s, handle, copy, sizeof(copy)));
    struct journal_record r;

    for (uint32_t seq = 1; seq <= 2; seq++) {
        assert_true(journal_stream_next(&stream, &r));
        assert_int_equal(r.seq, seq);
        assert_true(slice_equal(r.call_id, slice_str(call_id)));
    }
    assert_int_equal(stream.len, 0);
}

/* One call stays open while thousands come and go through a ring that holds a few hundred. */
static void space_is_reused_and_open_calls_are_carried(void **state)
{
    struct journal *j = journal_new("ring", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    struct journal_state st;
    char text[400];
    uint8_t *stream = malloc(65536);
    struct journal_record r;
    struct count c = {0};
    uint32_t old;
    uint32_t damaged;
    uint8_t *copy;

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(journal_begin(s, "old", SLICE("old begins"), &old), 0);
    for (uint32_t i = 0; i < 5000; i++) {
        char id[16];
        uint32_t h;

        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(journal_begin(s, id, slice_of(text, i % sizeof(text)), &h), 0);
        assert_int_equal(journal_add(s, h, JOURNAL_SAID, slice_of(text, (i * 7) % 400)), 0);
        if (i % 100 == 0)
            assert_int_equal(journal_add(s, old, JOURNAL_HEARD, slice_of(&i, sizeof(i))), 0);
        two_of(s, h, id);
        journal_stored(s, h);
    }
    journal_shard_state(s, &st);
    assert_int_equal(st.calls, 1);
    assert_int_equal(st.refused, 0);
    assert_true(st.carried > 50);
    struct slice rest = slice_of(stream, journal_copy(s, old, stream, 65536));

    for (uint32_t seq = 1; seq <= 51; seq++) {
        assert_true(journal_stream_next(&rest, &r));
        assert_int_equal(r.seq, seq);
        assert_true(slice_equal(r.call_id, SLICE("old")));
        if (seq > 1) {
            uint32_t i;

            memcpy(&i, r.payload.at, sizeof(i));
            assert_int_equal(i, (seq - 2) * 100);
        }
    }
    assert_false(journal_stream_next(&rest, &r));
    assert_int_equal(rest.len, 0);
    assert_int_equal(journal_walk(file_of("ring", &copy), count_each, &c, &damaged), 0);
    free(copy);
    assert_int_equal(damaged, 0);
    assert_true(c.records >= 51);
    free(stream);
    journal_stored(s, old);
    journal_close(&j);
}

/* Bytes of the file's only ring that were ever written to. */
static size_t touched(const char *name)
{
    uint8_t *copy;
    struct slice file = file_of(name, &copy);
    size_t last = file.len;

    while (last > 4096 + 64 && !copy[last - 1])
        last--;
    free(copy);
    return last - 4096 - 64;
}

/* Calls that come one after the other go through the same few bytes, however large the region;
 * those of before are not found again. */
static void an_empty_ring_begins_at_its_front(void **state)
{
    struct journal *j = journal_new("empty", 1, 1 << 20);
    struct journal_shard *s = journal_shard(j, 0);
    struct journal_state st;
    uint32_t damaged, h;
    uint8_t *copy;
    char text[400];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (uint32_t i = 0; i < 5000; i++) {
        struct count c = {0};
        char id[16];

        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(journal_begin(s, id, slice_of(text, i % sizeof(text)), &h), 0);
        assert_int_equal(journal_add(s, h, JOURNAL_SAID, slice_of(text, (i * 7) % 400)), 0);
        if (i % 500 == 0) {
            assert_int_equal(journal_walk(file_of("empty", &copy), count_each, &c, &damaged), 0);
            free(copy);
            assert_int_equal(c.records, 2);
            assert_int_equal(damaged, 0);
        }
        journal_stored(s, h);
        journal_shard_state(s, &st);
        assert_int_equal(st.used_bytes, 0);
    }
    struct count none = {0};

    assert_int_equal(journal_walk(file_of("empty", &copy), count_each, &none, &damaged), 0);
    free(copy);
    assert_int_equal(none.records, 0);
    assert_in_range(touched("empty"), 300, 2000);
    journal_close(&j);
}

/* A beginning that was refused leaves the ring as empty as it found it. */
static void a_refused_call_leaves_nothing(void **state)
{
    struct journal *j = journal_new("refused", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    static uint8_t big[JOURNAL_PAYLOAD_MAX + 1];
    struct journal_state st;
    uint32_t h;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_begin(s, "big", slice_of(big, sizeof(big)), &h), -EMSGSIZE);
        journal_shard_state(s, &st);
        assert_int_equal(st.used_bytes + st.calls, 0);
    }
    assert_int_equal(touched("refused"), 0);
    journal_close(&j);
}

/* Nobody acknowledges: writing is refused, nothing that was written is lost. */
static void a_full_ring_refuses(void **state)
{
    struct journal *j = journal_new("full", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    struct journal_state st;
    struct count c = {0};
    static uint8_t text[1000];
    uint32_t written = 0;
    uint32_t handles[400];
    uint32_t damaged;
    uint8_t *copy;

    (void)state;
    for (uint32_t i = 0; i < 400; i++) {
        char id[16];

        snprintf(id, sizeof(id), "c%u", i);
        if (journal_begin(s, id, slice_of(text, sizeof(text)), &handles[written]) == 0)
            written++;
    }
    journal_shard_state(s, &st);
    assert_true(written > 100 && written < 250);
    assert_int_equal(st.calls, written);
    assert_int_equal(st.refused, 400 - written);
    assert_int_equal(journal_walk(file_of("full", &copy), count_each, &c, &damaged), 0);
    free(copy);
    assert_int_equal(c.records, written);
    for (uint32_t i = 0; i < written; i++)
        journal_stored(s, handles[i]);
    assert_int_equal(journal_begin(s, "next", slice_of(text, sizeof(text)), &handles[0]), 0);
    journal_stored(s, handles[0]);
    journal_close(&j);
}

/* A call that never stops talking loses the rest of what it says, never its end. */
static void one_call_cannot_fill_the_ring(void **state)
{
    struct journal *j = journal_new("greedy", 1, 4u << 20);
    struct journal_shard *s = journal_shard(j, 0);
    static uint8_t text[8192];
    size_t written = 0;
    uint32_t h;

    (void)state;
    assert_int_equal(journal_begin(s, "greedy", SLICE_NONE, &h), 0);
    while (journal_add(s, h, JOURNAL_SAID, slice_of(text, sizeof(text))) == 0)
        written += sizeof(text);
    assert_in_range(written, JOURNAL_CALL_BYTES_MAX - 3 * sizeof(text), JOURNAL_CALL_BYTES_MAX);
    assert_int_equal(journal_add(s, h, JOURNAL_CALL_END, slice_of(text, 100)), 0);
    assert_true(journal_copy(s, h, text, sizeof(text)) > written); /* too big: nothing copied */
    journal_stored(s, h);
    journal_close(&j);
}

/* Where the file's only ring goes on, as long as nothing has been let go. */
static size_t goes_on_at(const struct journal_shard *s)
{
    struct journal_state st;

    journal_shard_state(s, &st);
    return 4096 + 64 + st.used_bytes;
}

static void others_speak(struct journal_shard *s, const uint32_t *handles, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(journal_add(s, handles[i], JOURNAL_SAID, SLICE("of something else")), 0);
}

/* What others wrote between is not even looked at: it may be anything. With thousands of calls a
 * region is many megabytes, and going through them at each call's end would hold up all others. */
static void a_copy_takes_its_own_records_alone(void **state)
{
    struct journal *j = journal_new("alone", 1, 1 << 20);
    struct journal_shard *s = journal_shard(j, 0);
    uint32_t others[100], mine;
    uint8_t copy[2048], *file;
    struct journal_record r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(journal_begin(s, "another", SLICE_NONE, &others[i]), 0);
    assert_int_equal(journal_begin(s, "mine", SLICE_NONE, &mine), 0);
    int fd = open_of("alone", O_RDWR);
    file = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(file != MAP_FAILED);
    for (int turn = 0; turn < 3; turn++) {
        size_t from = goes_on_at(s);
        others_speak(s, others, ARRAY_LEN(others));
        memset(file + from, 0xFF, goes_on_at(s) - from);
        assert_int_equal(journal_add(s, mine, JOURNAL_SAID, SLICE("of me")), 0);
    }
    struct slice stream = slice_of(copy, journal_copy(s, mine, copy, sizeof(copy)));
    for (uint32_t seq = 1; seq <= 4; seq++) {
        assert_true(journal_stream_next(&stream, &r));
        assert_int_equal(r.seq, seq);
        assert_true(slice_equal(r.call_id, SLICE("mine")));
    }
    assert_int_equal(stream.len, 0);
    munmap(file, 1 << 20);
    close(fd);
    journal_close(&j); /* open calls: the file stays */
}

/* Whatever fills the ring, each open call can still say how it ended, and its numbers tell that a
 * record is missing. */
static void a_full_ring_has_room_for_ends(void **state)
{
    struct journal *j = journal_new("ends", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    static uint8_t text[1000], copy[JOURNAL_REGION_MIN];
    struct journal_record record;
    uint32_t handles[400], calls = 0, seq = 0;

    (void)state;
    for (char id[16]; calls < 400; calls++) {
        snprintf(id, sizeof(id), "c%u", calls);
        if (journal_begin(s, id, slice_of(text, sizeof(text)), &handles[calls]))
            break;
    }
    assert_true(calls > 50 && calls < 400);
    for (uint32_t i = 0; i < calls; i++) {
        assert_int_equal(journal_add(s, handles[i], JOURNAL_SAID, slice_of(text, sizeof(text))),
                         -ENOSPC);
        assert_int_equal(journal_add(s, handles[i], JOURNAL_CALL_END, slice_of(text, 150)), 0);
    }
    struct slice stream = slice_of(copy, journal_copy(s, handles[0], copy, sizeof(copy)));
    for (unsigned n = 0; journal_stream_next(&stream, &record); n++)
        seq = record.seq;
    assert_int_equal(seq, 3); /* 1 began, 2 was refused */
    for (uint32_t i = 0; i < calls; i++)
        journal_stored(s, handles[i]);
    journal_close(&j);
}

static void too_many_calls_are_refused(void **state)
{
    struct journal *j = journal_new("calls", 1, 4u << 20);
    struct journal_shard *s = journal_shard(j, 0);
    uint32_t h;
    uint32_t first = 0;

    (void)state;
    for (uint32_t i = 0; i < JOURNAL_CALLS_MAX; i++) {
        char id[16];

        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(journal_begin(s, id, SLICE_NONE, &h), 0);
        first = i ? first : h;
    }
    assert_int_equal(journal_begin(s, "more", SLICE_NONE, &h), -ENOSPC);
    journal_stored(s, first);
    assert_int_equal(journal_begin(s, "more", SLICE_NONE, &h), 0);
    assert_int_not_equal(h, first); /* a stale handle names nobody */
    assert_int_equal(journal_add(s, first, JOURNAL_SAID, SLICE("x")), -ENOENT);
    journal_close(&j); /* open calls: the file stays */
}

/* Every byte of a small journal wrong in turn: never a crash, never more than two records lost. */
static void damage_costs_itself_alone(void **state)
{
    struct journal *j = journal_new("torn", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    uint32_t h;
    uint32_t damaged;
    uint8_t *copy;

    (void)state;
    assert_int_equal(journal_begin(s, "torn", SLICE("begin"), &h), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(journal_add(s, h, JOURNAL_SAID, SLICE("some words that were said")), 0);
    struct slice file = file_of("torn", &copy);
    uint32_t holes = 0;

    for (size_t at = 4096 + 64; at < 4096 + 64 + 800; at += 3) {
        struct count c = {0};

        copy[at] ^= 0x41;
        assert_int_equal(journal_walk(file, count_each, &c, &damaged), 0);
        copy[at] ^= 0x41;
        assert_in_range(c.records, 8, 9);
        holes += damaged;
    }
    assert_true(holes > 200);
    for (size_t len = 0; len < file.len; len += 997) {
        struct count c = {0};

        assert_int_equal(journal_walk(slice_of(copy, len), count_each, &c, &damaged), -EINVAL);
    }
    free(copy);
    journal_stored(s, h);
    journal_close(&j);
}

/* ---- records ---- */

static void records_come_back(void **state)
{
    uint8_t bytes[2048];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct record_begin in = {.wall_ms = 5,
                              .agent_version = 2,
                              .recording_rate_hz = 16000,
                              .recording_channels = 1,
                              .tenant = SLICE("default"),
                              .agent_id = SLICE("clinic"),
                              .recording = SLICE("recordings/direct/x.wav")};
    struct record_begin out;
    struct record_turn turn = {.turn = 3, .last_voiced_ns = -7, .mark_back_ns = RECORD_NEVER};
    struct record_turn turn_out;

    (void)state;
    record_begin_put(&b, &in);
    builder_str(&b, "what a newer version adds");
    assert_int_equal(record_begin_get(builder_slice(&b), &out), 0);
    assert_int_equal(out.recording_rate_hz, 16000);
    assert_true(slice_equal(out.agent_id, in.agent_id));
    assert_true(slice_equal(out.recording, in.recording));
    assert_int_equal(out.campaign_id.len, 0);
    for (size_t len = 0; len + 25 < b.len; len++)
        assert_int_equal(record_begin_get(slice_of(bytes, len), &out), -EINVAL);
    b = builder_of(bytes, sizeof(bytes));
    record_turn_put(&b, &turn);
    assert_int_equal(record_turn_get(builder_slice(&b), &turn_out), 0);
    assert_int_equal(turn_out.last_voiced_ns, -7);
    assert_true(turn_out.mark_back_ns == RECORD_NEVER);
}

/* ---- the call log ---- */

static void add(struct journal_shard *s, uint32_t h, enum journal_type type, struct builder *b)
{
    assert_false(b->bad);
    assert_int_equal(journal_add(s, h, type, builder_slice(b)), 0);
    b->len = 0;
}

static uint32_t call_begin(struct journal_shard *s, const char *campaign)
{
    uint8_t bytes[2048];
    struct builder b = builder_of(bytes, sizeof(bytes));
    uint32_t h;

    record_begin_put(&b, &(struct record_begin){.wall_ms = 1795249800000,
                                                .tenant = SLICE("default"),
                                                .agent_id = SLICE("clinic"),
                                                .protocol = SLICE("twilio"),
                                                .direction = SLICE("inbound"),
                                                .phone_number = SLICE("+4930123"),
                                                .campaign_id = slice_str(campaign)});
    assert_int_equal(journal_begin(s, "call-7", builder_slice(&b), &h), 0);
    return h;
}

static void call_speaks(struct journal_shard *s, uint32_t h)
{
    uint8_t bytes[2048];
    struct builder b = builder_of(bytes, sizeof(bytes));

    record_said_put(&b, &(struct record_said){1795249801000, 0, 0, SLICE("Hello"), 0});
    add(s, h, JOURNAL_SAID, &b);
    record_heard_put(&b, &(struct record_heard){.wall_ms = 1795249803000,
                                                .turn = 1,
                                                .confidence = 88,
                                                .text = SLICE("open \xff today"),
                                                .understood = SLICE("{\"intent\":\"hours\"}")});
    add(s, h, JOURNAL_HEARD, &b);
    builder_str(&b, "from the future");
    add(s, h, (enum journal_type)99, &b);
    record_effect_put(&b, &(struct record_effect){1795249803100, 1, 0, SLICE("k1"), SLICE("book"),
                                                  SLICE("{\"day\":\"monday\"}")});
    add(s, h, JOURNAL_EFFECT, &b);
    record_said_put(&b, &(struct record_said){1795249804000, 1, 1, SLICE("Until six"), 1});
    add(s, h, JOURNAL_SAID, &b);
    record_turn_put(&b, &(struct record_turn){.turn = 1,
                                              .epoch = 4,
                                              .last_voiced_ns = 2900000000,
                                              .decided_ns = 3150000000,
                                              .first_audible_ns = 3270000000,
                                              .mark_back_ns = RECORD_NEVER});
    add(s, h, JOURNAL_TURN, &b);
}

static json_t *built(struct journal_shard *s, uint32_t h, const struct call_log_extra *extra,
                     struct call_log *log)
{
    uint8_t stream[8192];
    size_t len = journal_copy(s, h, stream, sizeof(stream));

    assert_true(len > 0 && len < sizeof(stream));
    assert_int_equal(call_log_build(slice_of(stream, len), extra, log), 0);
    json_t *doc = json_loads(log->document, 0, NULL);

    assert_non_null(doc);
    return doc;
}

static const char *text_in(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void a_log_of_an_ended_call(void **state)
{
    struct journal *j = journal_new("log", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    uint8_t bytes[256];
    struct builder b = builder_of(bytes, sizeof(bytes));
    struct call_log_extra extra = {0};
    struct call_log log;
    uint32_t h = call_begin(s, "spring");

    (void)state;
    call_speaks(s, h);
    record_end_put(&b, &(struct record_end){.wall_ms = 1795249806500,
                                            .duration_ms = 6500,
                                            .status = SLICE("completed"),
                                            .reason = SLICE("the caller hung up")});
    add(s, h, JOURNAL_CALL_END, &b);
    json_t *doc = built(s, h, &extra, &log);
    json_t *turn = json_array_get(json_object_get(doc, "turns"), 1);
    json_t *ledger = json_object_get(turn, "ledger");
    json_t *effect = json_array_get(json_object_get(doc, "effects"), 0);

    assert_string_equal(log.call_id, "call-7");
    assert_string_equal(log.transcript_file, "transcripts/spring/call-7.json");
    assert_string_equal(text_in(doc, "status"), "completed");
    assert_string_equal(text_in(doc, "created_at"), "2026-11-21T08:30:00.000Z");
    assert_string_equal(text_in(doc, "end_time"), "2026-11-21T08:30:06.500Z");
    assert_string_equal(text_in(doc, "campaign_id"), "spring");
    assert_true(json_is_null(json_object_get(doc, "sentiment")));
    assert_true(json_is_null(json_object_get(doc, "from")));
    assert_int_equal(json_array_size(json_object_get(doc, "emotions")), 0);
    assert_true(json_real_value(json_object_get(doc, "duration_seconds")) > 6.49);
    assert_int_equal(json_array_size(json_object_get(doc, "transcript")), 3);
    assert_string_equal(text_in(doc, "transcript_text"),
                        "assistant: Hello\nuser: open ? today\nassistant: Until six\n");
    assert_string_equal(text_in(turn, "heard"), "open ? today");
    assert_string_equal(text_in(json_object_get(turn, "understood"), "intent"), "hours");
    assert_int_equal(json_integer_value(json_object_get(turn, "voice_to_voice_ms")), 370);
    assert_int_equal(json_integer_value(json_object_get(ledger, "decided_ms")), 3150);
    assert_true(json_is_null(json_object_get(ledger, "mark_back_ms")));
    assert_string_equal(text_in(effect, "state"), "unknown"); /* no result was ever written */
    assert_non_null(strstr(log.transcript, "\"interrupted\": true"));
    json_decref(doc);
    call_log_fini(&log);
    journal_stored(s, h);
    journal_close(&j);
}

static void a_log_of_an_interrupted_call(void **state)
{
    struct journal *j = journal_new("cut", 1, JOURNAL_REGION_MIN);
    struct journal_shard *s = journal_shard(j, 0);
    struct call_log_extra extra = {.recording_ms = 9000};
    struct call_log log;
    uint32_t h = call_begin(s, "");

    (void)state;
    call_speaks(s, h);
    json_t *doc = built(s, h, &extra, &log);

    assert_string_equal(text_in(doc, "status"), "interrupted");
    assert_string_equal(text_in(doc, "end_time"), "2026-11-21T08:30:09.000Z");
    assert_true(json_is_null(json_object_get(doc, "campaign_id")));
    assert_string_equal(log.transcript_file, "transcripts/direct/call-7.json");
    json_decref(doc);
    call_log_fini(&log);
    journal_stored(s, h);
    assert_int_equal(call_log_build(SLICE_NONE, &extra, &log), -ENOENT);
    h = call_begin(s, "../../etc");
    uint8_t stream[4096];
    size_t len = journal_copy(s, h, stream, sizeof(stream));

    assert_int_equal(call_log_build(slice_of(stream, len), &extra, &log), -EINVAL);
    journal_stored(s, h);
    journal_close(&j);
}

static void walls_read_well(void **state)
{
    char text[32];

    (void)state;
    wall_text(0, text, sizeof(text));
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    wall_text(-5, text, sizeof(text));
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    wall_text(INT64_MAX, text, sizeof(text));
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_castagnoli),
        cmocka_unit_test(records_are_in_the_file_at_once),
        cmocka_unit_test(names_and_sizes_are_bounded),
        cmocka_unit_test(space_is_reused_and_open_calls_are_carried),
        cmocka_unit_test(an_empty_ring_begins_at_its_front),
        cmocka_unit_test(a_refused_call_leaves_nothing),
        cmocka_unit_test(a_full_ring_refuses),
        cmocka_unit_test(a_full_ring_has_room_for_ends),
        cmocka_unit_test(one_call_cannot_fill_the_ring),
        cmocka_unit_test(a_copy_takes_its_own_records_alone),
        cmocka_unit_test(too_many_calls_are_refused),
        cmocka_unit_test(damage_costs_itself_alone),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(a_log_of_an_ended_call),
        cmocka_unit_test(a_log_of_an_interrupted_call),
        cmocka_unit_test(walls_read_well),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
