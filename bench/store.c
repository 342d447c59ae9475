/* How long the store lane takes for the logs of calls that end at once, by the lane's own worker on
 * a store in a new folder. Prints the time until the first, the middle and the last answer.
 *
 *     sidetone-bench-store [calls [turns of each]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/platform/store_program.h"
#include "actors/world.h"
#include "store/record.h"

#define STREAM_BYTES (LANE_JOB_BYTES_MAX / 4)
#define CALLS_MAX    4096

struct asker {
    struct actor actor;
    struct lane_session store;
    unsigned answered;
    unsigned wrong;
    int64_t at_ns[CALLS_MAX];
};

static struct asker *asker;

static int64_t now_ns(void)
{
    return clock_machine.now_ns(clock_machine.context);
}

static void asker_handle(struct actor *a, const struct msg *m)
{
    struct asker *s = container_of(a, struct asker, actor);

    if (m->type == MSG_START && lane_open(a, LANE_STORE, PROGRAM_STORE, NULL, 0, &s->store))
        abort();
    if (m->type == MSG_LANE_DONE) {
        s->wrong += msg_body(m, lane_msg)->err != 0;
        s->at_ns[s->answered++] = now_ns();
    }
    if (m->type == MSG_STOP) {
        lane_close(a, &s->store);
        actor_end(a);
    }
}

static const struct actor_type asker_type = {
    .name = "asker", .size_bytes = sizeof(struct asker), .handle = asker_handle};

static void add(struct journal_shard *s, uint32_t h, enum journal_type type, struct builder *b)
{
    if (journal_add(s, h, type, builder_slice(b)))
        abort();
    b->len = 0;
}

/* What a call of so many turns hands over. */
static size_t stream_make(struct journal_shard *s, unsigned call, unsigned turns, uint8_t *out)
{
    char id[32], payload[1024];
    struct builder b = builder_of(payload, sizeof(payload));
    uint32_t h;

    snprintf(id, sizeof(id), "call-%u", call);
    record_begin_put(&b, &(struct record_begin){.wall_ms = 1795249800000 + call,
                                                .tenant = SLICE("default"),
                                                .agent_id = SLICE("clinic"),
                                                .protocol = SLICE("rtp"),
                                                .direction = SLICE("inbound"),
                                                .phone_number = SLICE("+15550100")});
    if (journal_begin(s, id, builder_slice(&b), &h))
        abort();
    b.len = 0;
    for (uint32_t i = 1; i <= turns; i++) {
        record_heard_put(&b, &(struct record_heard){
                                 .turn = i, .text = SLICE("i would like to come on tuesday")});
        add(s, h, JOURNAL_HEARD, &b);
        record_said_put(&b, &(struct record_said){
                                .turn = i, .text = SLICE("Tuesday at nine is free. Shall I?")});
        add(s, h, JOURNAL_SAID, &b);
        record_turn_put(&b, &(struct record_turn){.turn = i, .decided_ns = i * NS_PER_S});
        add(s, h, JOURNAL_TURN, &b);
    }
    record_end_put(&b, &(struct record_end){.status = SLICE("completed"),
                                            .reason = SLICE("the caller hung up")});
    add(s, h, JOURNAL_CALL_END, &b);
    size_t len = journal_copy(s, h, out, STREAM_BYTES);

    journal_stored(s, h);
    if (len > STREAM_BYTES)
        abort();
    return len;
}

static void measure(struct lane_worker *worker, struct shard *shard, struct journal_shard *journal,
                    unsigned calls, unsigned turns)
{
    static uint8_t stream[STREAM_BYTES];
    unsigned told = 0;
    int64_t began_ns = now_ns();

    /* In step as a thread of its own would be: what fits waits, then one step of work. */
    while (asker->answered < calls) {
        while (told < calls) {
            size_t len = stream_make(journal, told, turns, stream);
            if (lane_run(&asker->actor, &asker->store, STORE_CALL_FINISH, 0, slice_of(stream, len)))
                break;
            told++;
        }
        shard_turn(shard);
        lane_worker_step(worker);
        shard_turn(shard);
    }
    printf("%u logs of %u turns: first %.0f ms, half %.0f ms, all %.0f ms, %u failed\n", calls,
           turns, (double)(asker->at_ns[0] - began_ns) / NS_PER_MS,
           (double)(asker->at_ns[calls / 2] - began_ns) / NS_PER_MS,
           (double)(asker->at_ns[calls - 1] - began_ns) / NS_PER_MS, asker->wrong);
}

static void close_memory(uint16_t program, void *memory)
{
    (void)program;
    store_program_memory_close(memory);
}

static void run(const char *folder, unsigned calls, unsigned turns)
{
    static const struct lane_program *const programs[PROGRAM_COUNT] = {[PROGRAM_STORE] =
                                                                           &store_program};
    const struct lane_map map = {.first_host = {[LANE_STORE] = 1}, .workers = {[LANE_STORE] = 1}};
    const struct shard_type types[] = {{&asker_type, 1}};
    struct token_key key = {0};
    struct mesh *mesh = mesh_new(2);
    struct journal *journal;
    struct shard *shard;
    char why[256];

    mesh_pair(mesh, 0, 1, 1 << 22, false);
    const struct shard_setup setup = {
        .clock = clock_machine, .frames_max = 4096, .types = types, .type_count = 1, .mesh = mesh};
    store_program_setup("sqlite:", folder, &key, &clock_machine);
    if (shard_new(&setup, &shard) ||
        journal_open(folder, "bench", 1, 4 << 20, &journal, why, sizeof(why)))
        abort();
    lane_map_set(shard, &map);
    struct lane_worker *worker = lane_worker_new(mesh, 1, LANE_STORE, programs);
    struct actor *a = actor_spawn(shard, &asker_type, NULL, 0, NULL, 0, FRAME_NONE);

    asker = container_of(a, struct asker, actor);
    shard_turn(shard);
    lane_worker_step(worker);
    measure(worker, shard, journal_shard(journal, 0), calls, turns);
    actor_stop(shard, asker->actor.id, REASON_NONE);
    shard_finish(shard);
    shard_turn(shard);
    shard_free(&shard);
    lane_worker_free(&worker, close_memory);
    mesh_free(&mesh);
    journal_close(&journal);
}

int main(int argc, char **argv)
{
    char folder[] = "./bench-store-XXXXXX", command[64];
    unsigned calls = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
    unsigned turns = argc > 2 ? (unsigned)atoi(argv[2]) : 50;

    if (!calls || calls > CALLS_MAX || turns > 500 || !mkdtemp(folder))
        return 2;
    run(folder, calls, turns);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}
