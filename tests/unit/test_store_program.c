/* The jobs of the store lane, asked by an actor as a call asks them, on a store in a new folder. */
#include <errno.h>
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

#include "actors/platform/store_program.h"
#include "actors/world.h"
#include "store/record.h"

struct asker {
    struct actor actor;
    struct lane_session store;
    char said[8192];
    size_t len;
    int32_t err;
    bool done;
    void (*answered)(const struct lane_msg *done); /* NULL: nobody else looks */
};

static char data_dir[64];
static struct token_key key;
static struct mesh *mesh;
static struct shard *shard;
static int64_t test_wall_ms;

static int64_t now_ns(void *context)
{
    (void)context;
    return 0;
}

static int64_t wall_ms(void *context)
{
    (void)context;
    return test_wall_ms;
}

static const struct clock test_clock = {now_ns, wall_ms, NULL};
static struct lane_worker *worker;
static struct asker *asker;

static void asker_handle(struct actor *a, const struct msg *m)
{
    struct asker *s = container_of(a, struct asker, actor);

    switch (m->type) {
    case MSG_START:
        assert_int_equal(lane_open(a, LANE_STORE, PROGRAM_STORE, NULL, 0, &s->store), 0);
        break;
    case MSG_LANE_EMIT:
        s->len += frame_chain_copy(shard_pool(a->shard), m->frame, s->said + s->len,
                                   sizeof(s->said) - 1 - s->len);
        break;
    case MSG_LANE_DONE:
        s->err = msg_body(m, lane_msg)->err;
        s->done = true;
        if (s->answered)
            s->answered(msg_body(m, lane_msg));
        break;
    case MSG_STOP:
        lane_close(a, &s->store);
        actor_end(a);
        break;
    default:
        fail();
    }
}

static const struct actor_type asker_type = {
    .name = "asker", .size_bytes = sizeof(struct asker), .handle = asker_handle};

static int start(void **state)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_STORE] =
                                                                           &store_program};
    const struct lane_map map = {.first_host = {[LANE_STORE] = 1}, .workers = {[LANE_STORE] = 1}};
    const struct shard_type types[] = {{&asker_type, 1}};
    char why[256];

    (void)state;
    snprintf(data_dir, sizeof(data_dir), "/tmp/sidetone-store-XXXXXX");
    assert_non_null(mkdtemp(data_dir));
    assert_int_equal(token_key_load(data_dir, &key, why, sizeof(why)), 0);
    store_program_setup("sqlite:", data_dir, &key, &test_clock);
    mesh = mesh_new(2);
    mesh_pair(mesh, 0, 1, 65536, false);
    const struct shard_setup setup = {
        .clock = clock_machine, .frames_max = 256, .types = types, .type_count = 1, .mesh = mesh};
    assert_int_equal(shard_new(&setup, &shard), 0);
    lane_map_set(shard, &map);
    worker = lane_worker_new(mesh, 1, LANE_STORE, programs);
    struct actor *a = actor_spawn(shard, &asker_type, NULL, 0, NULL, 0, FRAME_NONE);
    asker = container_of(a, struct asker, actor);
    return 0;
}

static void close_memory(uint16_t program, void *memory)
{
    (void)program;
    store_program_memory_close(memory);
}

static int stop(void **state)
{
    char command[128];

    (void)state;
    actor_stop(shard, asker->actor.id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    shard_free(&shard);
    lane_worker_free(&worker, close_memory);
    mesh_free(&mesh);
    snprintf(command, sizeof(command), "rm -rf %s", data_dir);
    return system(command);
}

/* One job, whole: its error comes back, what it emitted lies in asker->said. */
static int run(uint32_t tag, struct slice bytes)
{
    memset(asker->said, 0, sizeof(asker->said));
    asker->len = 0;
    asker->done = false;
    assert_int_equal(lane_run(&asker->actor, &asker->store, tag, 1, bytes), 0);
    for (int i = 0; i < 100 && !asker->done; i++) {
        shard_turn(shard);
        lane_worker_step(worker);
    }
    shard_turn(shard);
    assert_true(asker->done);
    return asker->err;
}

static int claim(const char *agent, const char *token)
{
    char bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));

    builder_str(&b, agent);
    builder_u8(&b, 0);
    builder_str(&b, token);
    return run(STORE_TOKEN_CLAIM, builder_slice(&b));
}

static void claims_a_token_once(void **state)
{
    uint8_t nonce[TOKEN_NONCE_BYTES];
    char token[TOKEN_TEXT_BYTES], old[TOKEN_TEXT_BYTES];
    int64_t now_ms = 86400000; /* long gone by the machine's clock */

    (void)state;
    test_wall_ms = now_ms;
    assert_int_equal(token_nonce(nonce), 0);
    assert_int_equal(token_mint(&key, "desk", now_ms, nonce, token, sizeof(token)), 0);
    assert_int_equal(token_mint(&key, "desk", now_ms - 2 * TOKEN_LIFE_MS, nonce, old, sizeof(old)),
                     0);
    assert_int_equal(claim("other", token), -EACCES);
    assert_int_equal(claim("desk", token), 0);
    assert_int_equal(claim("desk", token), -EACCES);
    assert_int_equal(claim("desk", old), -EACCES);
    assert_int_equal(claim("desk", ""), -EACCES);
    assert_int_equal(claim("", "x"), -EACCES);
    assert_int_equal(run(STORE_TOKEN_CLAIM, SLICE_NONE), -EACCES);
    assert_int_equal(run(99, SLICE_NONE), -ENOSYS);
}

/* What a call hands over at its end. */
static size_t make_stream(uint8_t *out, size_t out_bytes, const char *call_id)
{
    struct journal *journal = NULL;
    char why[256];
    uint8_t payload[1024];
    struct builder b = builder_of(payload, sizeof(payload));
    uint32_t handle;
    const struct record_begin begin = {.wall_ms = 1000,
                                       .tenant = SLICE("default"),
                                       .agent_id = SLICE("desk"),
                                       .protocol = SLICE("rtp"),
                                       .direction = SLICE("outbound")};
    const struct record_said said = {.wall_ms = 2000, .turn = 1, .text = SLICE("Good morning.")};
    const struct record_end end = {.wall_ms = 4000,
                                   .duration_ms = 3000,
                                   .status = SLICE("completed"),
                                   .reason = SLICE("the caller hung up")};

    assert_int_equal(
        journal_open(data_dir, call_id, 1, JOURNAL_REGION_MIN, &journal, why, sizeof(why)), 0);
    struct journal_shard *s = journal_shard(journal, 0);
    record_begin_put(&b, &begin);
    assert_int_equal(journal_begin(s, call_id, builder_slice(&b), &handle), 0);
    b = builder_of(payload, sizeof(payload));
    record_said_put(&b, &said);
    assert_int_equal(journal_add(s, handle, JOURNAL_SAID, builder_slice(&b)), 0);
    b = builder_of(payload, sizeof(payload));
    record_end_put(&b, &end);
    assert_int_equal(journal_add(s, handle, JOURNAL_CALL_END, builder_slice(&b)), 0);
    size_t len = journal_copy(s, handle, out, out_bytes);
    assert_true(len <= out_bytes);
    journal_stored(s, handle);
    journal_close(&journal);
    return len;
}

static void stores_and_shows_a_calls_log(void **state)
{
    static uint8_t stream[16384];
    size_t len = make_stream(stream, sizeof(stream), "c-1");
    char path[512], first[8192];

    (void)state;
    assert_int_equal(run(STORE_CALL_LOG, SLICE("c-1")), -ENOENT);
    assert_int_equal(run(STORE_CALL_FINISH, slice_of(stream, len)), 0);
    assert_int_equal(run(STORE_CALL_LOG, SLICE("c-1")), 0);
    assert_non_null(strstr(asker->said, "\"call_id\":\"c-1\""));
    assert_non_null(strstr(asker->said, "\"status\":\"completed\""));
    assert_non_null(strstr(asker->said, "Good morning."));
    memcpy(first, asker->said, sizeof(first));
    snprintf(path, sizeof(path), "%s/transcripts/direct/c-1.json", data_dir);
    assert_int_equal(access(path, R_OK), 0);
    /* Whoever is not sure that it was done asks again. */
    assert_int_equal(run(STORE_CALL_FINISH, slice_of(stream, len)), 0);
    assert_int_equal(run(STORE_CALL_LOG, SLICE("c-1")), 0);
    assert_string_equal(asker->said, first);
    assert_int_equal(run(STORE_CALL_LOGS, SLICE("5\0")), 0);
    assert_int_equal(asker->said[0], '[');
    assert_non_null(strstr(asker->said, "\"c-1\""));
    assert_int_equal(run(STORE_CALL_LOGS, SLICE("500\0")), -EINVAL);
    assert_int_equal(run(STORE_CALL_FINISH, SLICE_NONE), -ENOENT);
    assert_int_equal(run(STORE_CALL_FINISH, slice_of(stream, 40)), -ENOENT);
    assert_int_equal(run(STORE_CALL_LOG, SLICE("")), -ENOENT);
}

static void keep_id(void *context, struct slice id, struct slice doc)
{
    (void)id;
    slice_cstr(doc, context, 1024);
}

/* ---- many at once ---- */

#define MANY 70 /* more than two groups */

/* Who waits for many: the errors in the order they came, and what another process then saw. */
static struct {
    uint32_t answered;
    int32_t errs[MANY];
    uint32_t unseen; /* answered as stored while the store did not have it */
} many;

static bool another_sees(const char *call_id)
{
    struct store *other = NULL;
    char why[STORE_WHY_BYTES], doc[1024];

    assert_int_equal(store_open("sqlite:", data_dir, &other, why, sizeof(why)), 0);
    int err = store_get(other, STORE_TENANT, "call_logs", call_id, keep_id, doc);
    store_close(&other);
    return err == 0;
}

static void id_of(uint32_t i, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "many-%u", i);
}

static void many_answered(const struct lane_msg *done)
{
    char id[32];

    id_of(done->epoch - 1, id, sizeof(id));
    assert_int_equal(done->epoch, many.answered + 1); /* in order */
    many.errs[many.answered++] = done->err;
    many.unseen += !done->err && !another_sees(id);
}

/* Two of the many cannot be stored, each for a reason of its own. */
static void many_are_stored_together(void **state)
{
    static uint8_t stream[16384];
    char id[32], path[512];

    (void)state;
    memset(&many, 0, sizeof(many));
    asker->answered = many_answered;
    snprintf(path, sizeof(path), "%s/transcripts", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/transcripts/direct", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/transcripts/direct/many-7.json", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        id_of(i, id, sizeof(id));
        size_t len = i == 11 ? 0 : make_stream(stream, sizeof(stream), id);
        assert_int_equal(
            lane_run(&asker->actor, &asker->store, STORE_CALL_FINISH, i + 1, slice_of(stream, len)),
            0);
        shard_turn(shard);
    }
    int steps = 0;

    while (many.answered < MANY && lane_worker_step(worker)) {
        shard_turn(shard);
        steps++;
    }
    assert_int_equal(many.answered, MANY);
    assert_in_range(steps, 3, 5);
    assert_int_equal(many.unseen, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        id_of(i, id, sizeof(id));
        assert_int_equal(many.errs[i], i == 7 ? -EISDIR : i == 11 ? -ENOENT : 0);
        assert_int_equal(another_sees(id), i != 7 && i != 11);
    }
}

static void runs_a_tool_once(void **state)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES], doc[1024] = "";
    const char book[] =
        "c-1.7.1\0book_appointment\0clinic\0{\"name\":\"book_appointment\",\"arguments\":"
        "{\"day\":\"monday\",\"time\":\"nine\",\"name\":\"Ann Lee\"}}";

    (void)state;
    assert_int_equal(run(STORE_TOOL, SLICE(book)), 0);
    assert_string_equal(asker->said, "{\"ok\":true}");
    assert_int_equal(store_open("sqlite:", data_dir, &store, why, sizeof(why)), 0);
    assert_int_equal(store_get(store, STORE_TENANT, "appointments", "c-1.7.1", keep_id, doc), 0);
    assert_non_null(strstr(doc, "\"action\":\"book_appointment\""));
    assert_non_null(strstr(doc, "\"agent_id\":\"clinic\""));
    assert_non_null(strstr(doc, "\"day\":\"monday\""));
    assert_non_null(strstr(doc, "\"name\":\"Ann Lee\""));
    /* The same key again, whatever else it says: the first one's result, nothing done. */
    const char again[] = "c-1.7.1\0cancel_appointment\0clinic\0{\"name\":\"cancel_appointment\"}";
    assert_int_equal(run(STORE_TOOL, SLICE(again)), 0);
    assert_string_equal(asker->said, "{\"ok\":true}");
    assert_int_equal(store_get(store, STORE_TENANT, "appointments", "c-1.7.1", keep_id, doc), 0);
    assert_non_null(strstr(doc, "\"action\":\"book_appointment\""));
    assert_int_equal(store_get(store, STORE_TENANT, "effects", "c-1.7.1", keep_id, doc), 0);
    assert_non_null(strstr(doc, "\"call_id\":\"c-1\""));
    store_close(&store);
    const char unknown[] = "c-1.8.1\0fly\0clinic\0{\"name\":\"fly\"}";
    assert_int_equal(run(STORE_TOOL, SLICE(unknown)), 0);
    assert_non_null(strstr(asker->said, "\"ok\":false"));
    assert_int_equal(run(STORE_TOOL, SLICE(unknown)), 0);
    assert_non_null(strstr(asker->said, "\"ok\":false"));
    const char broken[] = "c-1.9.1\0fly\0clinic\0{\"name\":";
    assert_int_equal(run(STORE_TOOL, SLICE(broken)), -EINVAL);
    assert_int_equal(run(STORE_TOOL, SLICE_NONE), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(claims_a_token_once),
        TEST(stores_and_shows_a_calls_log),
        TEST(many_are_stored_together),
        TEST(runs_a_tool_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
