#include "runtime/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/shard_inner.h"

void lane_clients_init(struct shard *shard)
{
    shard->lane_clients = calloc(LANE_SESSIONS_MAX, sizeof(struct lane_client));
    if (!shard->lane_clients)
        abort();
    /* Number 0 is never used: it ends the free list. */
    for (uint32_t i = LANE_SESSIONS_MAX - 1; i >= 1; i--) {
        shard->lane_clients[i].next_free = shard->lane_free;
        shard->lane_free = i;
    }
}

void lane_map_set(struct shard *shard, const struct lane_map *map)
{
    shard->lanes = *map;
}

uint32_t lane_worker_count(const struct shard *shard, enum lane lane)
{
    return shard->lanes.workers[lane];
}

static uint32_t least_loaded(const struct shard *shard, enum lane lane)
{
    uint32_t first = shard->lanes.first_host[lane], best = first;

    for (uint32_t i = 1; i < shard->lanes.workers[lane]; i++)
        if (shard->lane_used_by_host[first + i] < shard->lane_used_by_host[best])
            best = first + i;
    return best;
}

/* To the worker, in order behind what already waits for it. */
static int tell(struct actor *a, const struct lane_session *s, uint16_t type,
                const struct lane_msg *body, struct slice bytes)
{
    struct shard *shard = a->shard;
    struct actor_id to = {.shard = s->host & 0xFFu, .generation = 1};
    struct msg m = msg_make(to, type, body, sizeof(*body));

    m.from = a->id;
    if (bytes.len) {
        m.frame = frame_chain(shard->pool, bytes);
        if (m.frame == FRAME_NONE)
            return -EAGAIN;
    }
    int err = shard_send_away(shard, &m);
    if (err)
        frame_put(shard->pool, &m.frame);
    return err;
}

static struct lane_msg body_of(const struct lane_session *s)
{
    return (struct lane_msg){.session = s->number, .generation = s->generation};
}

int lane_open(struct actor *a, enum lane lane, uint16_t program, const void *arguments,
              size_t arguments_bytes, struct lane_session *out)
{
    struct shard *shard = a->shard;
    uint32_t number = shard->lane_free;

    assert(shard->lanes.workers[lane] > 0);
    if (number == 0)
        return -EMFILE;
    struct lane_client *client = &shard->lane_clients[number];
    *out = (struct lane_session){
        .host = least_loaded(shard, lane), .number = number, .generation = client->generation + 1};
    struct lane_msg body = body_of(out);
    body.program = program;
    body.opened_as = actor_owner(a);
    int err = tell(a, out, MSG_LANE_OPEN, &body, slice_of(arguments, arguments_bytes));
    if (err) {
        *out = (struct lane_session){0};
        return err;
    }
    shard->lane_free = client->next_free;
    client->owner = a;
    client->host = out->host;
    client->generation++;
    shard->lane_used_by_host[out->host]++;
    a->ledger.sessions++;
    return 0;
}

int lane_run(struct actor *a, const struct lane_session *s, uint32_t tag, uint32_t epoch,
             struct slice bytes)
{
    struct lane_msg body = body_of(s);

    assert(bytes.len <= LANE_JOB_BYTES_MAX);
    body.tag = tag;
    body.epoch = epoch;
    do {
        struct slice part = bytes;
        if (part.len > LANE_PART_BYTES)
            part.len = LANE_PART_BYTES;
        bytes = slice_of(bytes.at + part.len, bytes.len - part.len);
        body.more = bytes.len > 0;
        int err = tell(a, s, MSG_LANE_RUN, &body, part);
        if (err) /* the worker forgets the parts before it: the next job begins at 0 again */
            return err;
        body.offset += (uint32_t)part.len;
    } while (bytes.len);
    return 0;
}

void lane_cancel(struct actor *a, const struct lane_session *s, uint32_t epoch)
{
    struct lane_msg body = body_of(s);

    body.epoch = epoch;
    if (tell(a, s, MSG_LANE_CANCEL, &body, SLICE_NONE))
        log_warn("lane", NULL, "a cancel found no room: the job runs to its end");
}

static int tell_close(struct shard *shard, uint32_t number)
{
    const struct lane_client *client = &shard->lane_clients[number];
    struct lane_msg body = {.session = number, .generation = client->generation};
    struct actor_id to = {.shard = client->host & 0xFFu, .generation = 1};
    struct msg m = msg_make(to, MSG_LANE_CLOSE, &body, sizeof(body));

    m.from.shard = shard->setup.index & 0xFFu;
    return shard_send_away(shard, &m);
}

static void number_put(struct shard *shard, uint32_t *list, uint32_t number)
{
    shard->lane_clients[number].next_free = *list;
    *list = number;
}

/* For the actor it is closed. If the worker cannot be told yet, its number waits until it was. */
static void close_client(struct actor *a, uint32_t number)
{
    struct shard *shard = a->shard;
    struct lane_client *client = &shard->lane_clients[number];
    bool told = tell_close(shard, number) == 0;

    client->owner = NULL;
    shard->lane_used_by_host[client->host]--;
    a->ledger.sessions--;
    number_put(shard, told ? &shard->lane_free : &shard->lane_closing, number);
}

void lane_close_rest(struct shard *shard)
{
    while (shard->lane_closing && shard->outbox_count < OUTBOX_MAX) {
        uint32_t number = shard->lane_closing;
        shard->lane_closing = shard->lane_clients[number].next_free;
        bool told = tell_close(shard, number) == 0;
        assert(told); /* the outbox has room */
        number_put(shard, &shard->lane_free, number);
    }
}

void lane_close(struct actor *a, struct lane_session *s)
{
    if (s->generation == 0)
        return;
    close_client(a, s->number);
    *s = (struct lane_session){0};
}

void lane_close_owned(struct actor *a)
{
    struct shard *shard = a->shard;

    for (uint32_t i = 1; i < LANE_SESSIONS_MAX && a->ledger.sessions; i++)
        if (shard->lane_clients[i].owner == a)
            close_client(a, i);
}
