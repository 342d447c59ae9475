/* What the runtime takes to bring a message to a handler and a record through a ring, against the
 * least that could do it: a copy and a call through a pointer. */
#include <stdlib.h>
#include <string.h>

#include "base/ring.h"
#include "bench/ratios/ratios.h"
#include "runtime/shard.h"

#define BURST      16 /* messages of one turn of the shard */
#define BURSTS     64 /* room of the bare queue */
#define RING_ROOM  65536
#define MSG_COUNT  (MSG_ACTORS_FIRST + 1)
#define RECORD_LEN sizeof(struct msg)

struct node {
    struct actor actor;
    uint64_t heard;
};

struct counted {
    uint64_t n;
};

static struct shard *shard;
static struct node *nodes[RATIOS_CALLS];
static uint64_t heard[RATIOS_CALLS];
static struct msg queue[BURSTS];
static struct ring *ring;
static uint8_t copied[RING_ROOM];
static volatile uint64_t sink;
static int64_t still_ns = SECONDS(1);

static int64_t stand_still(void *context)
{
    (void)context;
    return still_ns;
}

static void handle(struct actor *a, const struct msg *m)
{
    struct node *n = container_of(a, struct node, actor);

    if (m->type == MSG_COUNT)
        n->heard += msg_body(m, counted)->n;
    else if (m->type == MSG_STOP)
        actor_end(a);
}

static const struct actor_type node_type = {
    .name = "node", .size_bytes = sizeof(struct node), .handle = handle};

static bool prepare_messages(void)
{
    const struct shard_type types[] = {{&node_type, RATIOS_CALLS}};
    const struct shard_setup setup = {.name = "bench",
                                      .clock = {.now_ns = stand_still, .wall_ms = stand_still},
                                      .frames_max = 16,
                                      .types = types,
                                      .type_count = 1};

    if (shard_new(&setup, &shard))
        return false;
    for (uint32_t i = 0; i < RATIOS_CALLS; i++) {
        struct actor *a = actor_spawn(shard, &node_type, NULL, i, NULL, 0, FRAME_NONE);
        if (!a)
            return false;
        nodes[i] = container_of(a, struct node, actor);
    }
    return true;
}

static void finish_messages(void)
{
    for (uint32_t i = 0; i < RATIOS_CALLS; i++)
        actor_stop(shard, nodes[i]->actor.id, REASON(0, "the bench has ended"));
    shard_finish(shard);
    shard_turn(shard);
    shard_free(&shard);
}

static void send_messages(uint32_t call)
{
    struct node *from = nodes[call];

    for (uint32_t i = 1; i <= BURST; i++)
        SEND(&from->actor, nodes[(call + i) % RATIOS_CALLS]->actor.id, MSG_COUNT, IF_FULL_DROP,
             FRAME_NONE, struct counted, .n = i);
    shard_turn(shard);
}

static void count_bare(uint32_t node, const struct msg *m)
{
    heard[node] += msg_body(m, counted)->n;
}

static void (*volatile handler)(uint32_t, const struct msg *) = count_bare;

static void send_bare(uint32_t call)
{
    const struct counted body = {call};

    for (uint32_t i = 0; i < BURST; i++) {
        struct msg m =
            msg_make(nodes[(call + i) % RATIOS_CALLS]->actor.id, MSG_COUNT, &body, sizeof(body));
        memcpy(&queue[i], &m, sizeof(m));
    }
    for (uint32_t i = 0; i < BURST; i++)
        handler((call + i) % RATIOS_CALLS, &queue[i]);
}

static bool prepare_ring(void)
{
    ring = ring_new(RING_ROOM);
    return ring != NULL;
}

static void finish_ring(void)
{
    ring_free(&ring);
}

static void hop(uint32_t call)
{
    struct msg m = {.type = (uint16_t)call};
    struct slice record;

    if (ring_push(ring, slice_of(&m, RECORD_LEN), SLICE_NONE) && ring_peek(ring, &record)) {
        memcpy(&m, record.at, record.len);
        ring_pop(ring);
    }
    sink = m.type;
}

static void hop_bare(uint32_t call)
{
    struct msg m = {.type = (uint16_t)call};
    uint8_t *at = copied + call % (RING_ROOM / RECORD_LEN) * RECORD_LEN;

    memcpy(at, &m, RECORD_LEN);
    __asm__ volatile("" ::: "memory"); /* what was written is read back, as by another thread */
    memcpy(&m, at, RECORD_LEN);
    sink = m.type;
}

static const struct contest all[] = {
    {"message", "a copy and a call", BURST, prepare_messages, NULL, send_messages, send_bare,
     finish_messages},
    {"ring-hop", "two copies", 1, prepare_ring, NULL, hop, hop_bare, finish_ring},
};

const struct contests ratios_runtime = {all, ARRAY_LEN(all)};
