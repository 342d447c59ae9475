/* What goes wrong in a seed: planned whole before it begins, from the seed alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

/* What a seed is like. */
enum weather {
    CLEAR,  /* nothing that a call may notice */
    STORMY, /* the callers' lines are bad */
    SICK,   /* the process is short of things, and slow */
    ALL
};

/* ---- planning ---- */

static uint16_t between(struct sim *sim, uint32_t least, uint32_t most)
{
    return (uint16_t)(least + rand_below(&sim->rand, most - least + 1));
}

struct range {
    enum sim_fault fault;
    uint16_t least, most; /* per mille */
};

static const struct range stream_faults[] = {
    {SIM_STREAM_DELAY, 2, 30},
    {SIM_RESET, 1, 2},
    {SIM_VANISH, 1, 2},
    {SIM_SLOW_READER, 2, 60},
    {SIM_ACCEPT_REFUSED, 1000, 1000},
    {SIM_SHORT_READ, 300, 900},
};
static const struct range packet_faults[] = {
    {SIM_PACKET_LOST, 5, 300},
    {SIM_PACKET_DOUBLED, 5, 300},
    {SIM_PACKET_SWAPPED, 5, 300},
    {SIM_PACKET_LATE, 2, 100},
};
static const struct range world_faults[] = {
    {SIM_CONNECT_REFUSED, 50, 500},
    {SIM_OPEN_REFUSED, 50, 500},
};
static const struct range file_faults[] = {
    {SIM_FILE_REFUSED, 50, 500}, {SIM_FILE_FULL, 5, 100},  {SIM_FILE_ERROR, 5, 100},
    {SIM_FILE_SHORT, 20, 500},   {SIM_FILE_SLOW, 20, 300},
};

/* One or two of them. */
static void pick_some(struct sim *sim, struct sim_rates *rates, const struct range *from,
                      uint32_t count)
{
    uint32_t wanted = 1 + rand_below(&sim->rand, 2);

    for (uint32_t i = 0; i < wanted; i++) {
        const struct range *r = &from[rand_below(&sim->rand, count)];
        rates->per_mille[r->fault] = between(sim, r->least, r->most);
    }
}

static void plan_provider(struct sim *sim, struct sim_caller *c)
{
    static const enum inner_fault kinds[3][3] = {
        {FAULT_STT_NO_FINAL, FAULT_STT_LATE, FAULT_STT_FAILS},
        {FAULT_LLM_FAILS, FAULT_LLM_BREAKS, FAULT_LLM_SILENT},
        {FAULT_TTS_FAILS, FAULT_TTS_BREAKS, FAULT_TTS_SILENT}};

    c->faulty = true;
    c->provider_fault = kinds[rand_below(&sim->rand, 3)][rand_below(&sim->rand, 3)];
    c->fault_after = rand_chance(&sim->rand, 500) ? 0 : 1 + rand_below(&sim->rand, 2);
    c->fault_once = rand_chance(&sim->rand, 600);
    c->fault_fatal = rand_chance(&sim->rand, 300);
    c->fault_places = 1 + rand_chance(&sim->rand, 300);
}

static bool is_failure(enum inner_fault fault)
{
    return fault == FAULT_STT_FAILS || fault == FAULT_LLM_FAILS || fault == FAULT_TTS_FAILS ||
           fault == FAULT_TTS_BREAKS;
}

static void plan_caller(struct sim *sim, struct sim_caller *c, enum weather weather)
{
    c->fallbacks = rand_chance(&sim->rand, 500);
    if (weather == CLEAR || weather == SICK) {
        if (rand_chance(&sim->rand, 300)) /* pieces of any size are no fault for anybody */
            c->rates.per_mille[SIM_SHORT_READ] = between(sim, 50, 900);
        return;
    }
    if (rand_chance(&sim->rand, 700)) {
        c->faulty = true;
        if (c->rtp)
            pick_some(sim, &c->rates, packet_faults, ARRAY_LEN(packet_faults));
        else
            pick_some(sim, &c->rates, stream_faults, ARRAY_LEN(stream_faults));
    }
    bool well = !c->faulty;
    if (rand_chance(&sim->rand, 500)) {
        plan_provider(sim, c);
        c->saved = well && c->fallbacks && c->fault_places == 1 && is_failure(c->provider_fault);
    }
    if (c->token && rand_chance(&sim->rand, 200)) {
        c->faulty = true;
        c->saved = false;
        c->token = TOKEN_BAD;
        count_fault(sim, FAULT_BAD_TOKEN);
    }
    if (rand_chance(&sim->rand, 150)) {
        c->faulty = true;
        c->hang_up_ns = c->start_ns + sim_draw_ms(sim, 500, 12000);
    }
}

static struct spell *add_spell(struct sim *sim, enum inner_fault kind, int64_t from_ms,
                               int64_t to_ms, int64_t least_ms, int64_t most_ms)
{
    struct spell *s = &sim->spells[sim->spell_count++];

    *s = (struct spell){.kind = kind};
    s->from_ns = sim->now_ns + sim_draw_ms(sim, from_ms, to_ms);
    s->until_ns = s->from_ns + sim_draw_ms(sim, least_ms, most_ms);
    s->shard = rand_below(&sim->rand, sim->shard_count);
    return s;
}

static void plan_spell(struct sim *sim)
{
    struct spell *s;

    switch (rand_below(&sim->rand, 5)) {
    case 0:
        add_spell(sim, FAULT_FRAMES, 0, 15000, 20, 600);
        return;
    case 1:
        s = add_spell(sim, FAULT_SLOTS, 0, 4000, 500, 8000);
        s->type = 1 + rand_below(&sim->rand, 9);
        return;
    case 2:
        add_spell(sim, FAULT_SESSIONS, 0, 8000, 500, 8000);
        return;
    case 3:
        s = add_spell(sim, FAULT_LANE_SLOW, 0, 10000, 2000, 20000);
        s->worker = rand_below(&sim->rand, WORKERS_SIM);
        return;
    default:
        add_spell(sim, FAULT_RING_FULL, 0, 12000, 100, 2000);
        return;
    }
}

static void plan_world(struct sim *sim)
{
    uint32_t spells = 1 + rand_below(&sim->rand, 4);
    struct sim_rates rates = {0};

    sim->disturbed = true;
    for (uint32_t i = 0; i < spells; i++)
        plan_spell(sim);
    if (rand_chance(&sim->rand, 300)) {
        pick_some(sim, &rates, world_faults, ARRAY_LEN(world_faults));
        sim->net_rates = rates;
    }
    if (rand_chance(&sim->rand, 150))
        sim->drain_ns = sim->now_ns + sim_draw_ms(sim, 3000, 15000);
}

void faults_plan(struct sim *sim)
{
    static const enum weather weathers[] = {CLEAR,  CLEAR,  CLEAR, STORMY, STORMY,
                                            STORMY, STORMY, SICK,  SICK,   ALL};
    enum weather weather = weathers[rand_below(&sim->rand, ARRAY_LEN(weathers))];

    sim->drain_ns = NEVER_NS;
    if (weather == SICK || weather == ALL)
        plan_world(sim);
    for (uint32_t i = 0; i < sim->caller_count; i++)
        plan_caller(sim, &sim->callers[i], weather);
    /* Neither a bad disk nor a jumping clock may be noticed in a conversation. */
    if (rand_chance(&sim->rand, 250))
        pick_some(sim, &sim->net_rates, file_faults, ARRAY_LEN(file_faults));
    if (rand_chance(&sim->rand, 250)) {
        struct spell *s = add_spell(sim, FAULT_CLOCK_JUMP, 0, 15000, 0, 0);
        s->jump_ms = (int64_t)rand_below(&sim->rand, 172800000) - 86400000;
    }
    sim->reoffer = rand_chance(&sim->rand, 300);
}

/* ---- frames ---- */

static void hold_frames(struct sim *sim, struct spell *s)
{
    struct frame_pool *pool = shard_pool(sim->shards[s->shard]);
    uint32_t left = frame_pool_size(pool) - frame_pool_used(pool);
    uint32_t spare = rand_below(&sim->rand, 8);

    s->frames = calloc(left + 1, sizeof(frame_ref));
    if (!s->frames)
        abort();
    while (s->count + spare < left)
        s->frames[s->count++] = frame_get(pool);
    count_fault(sim, FAULT_FRAMES);
}

static void put_frames(struct sim *sim, struct spell *s)
{
    while (s->count)
        frame_put(shard_pool(sim->shards[s->shard]), &s->frames[--s->count]);
    free(s->frames);
    s->frames = NULL;
}

/* ---- actor slots ---- */

static void hold_slots(struct sim *sim, struct spell *s)
{
    struct slab *slab = &sim->shards[s->shard]->slabs[s->type];

    s->slots = calloc(slab->max, sizeof(uint32_t));
    if (!s->slots)
        abort();
    s->count = slab->free_count;
    memcpy(s->slots, slab->free, s->count * sizeof(uint32_t));
    slab->free_count = 0;
    count_fault(sim, FAULT_SLOTS);
}

static void put_slots(struct sim *sim, struct spell *s)
{
    struct slab *slab = &sim->shards[s->shard]->slabs[s->type];

    for (uint32_t i = 0; i < s->count; i++)
        slab->free[slab->free_count++] = s->slots[i];
    free(s->slots);
    s->slots = NULL;
}

/* ---- lane sessions ---- */

static void hold_sessions(struct sim *sim, struct spell *s)
{
    struct shard *shard = sim->shards[s->shard];

    s->lane_free = shard->lane_free;
    shard->lane_free = 0;
    count_fault(sim, FAULT_SESSIONS);
}

static void put_sessions(struct sim *sim, struct spell *s)
{
    struct shard *shard = sim->shards[s->shard];
    uint32_t *end = &shard->lane_free;

    while (*end)
        end = &shard->lane_clients[*end].next_free;
    *end = s->lane_free;
}

/* ---- spells ---- */

/* Two of one kind on one shard would give back what the other holds: the later one is left out. */
static bool in_the_way(const struct sim *sim, const struct spell *s)
{
    for (uint32_t i = 0; i < sim->spell_count; i++) {
        const struct spell *other = &sim->spells[i];
        if (other->active && other->kind == s->kind && other->shard == s->shard)
            return true;
    }
    return false;
}

static void begin_spell(struct sim *sim, struct spell *s)
{
    if (in_the_way(sim, s)) {
        s->from_ns = NEVER_NS;
        return;
    }
    s->active = true;
    if (s->kind == FAULT_FRAMES) {
        hold_frames(sim, s);
    } else if (s->kind == FAULT_SLOTS) {
        hold_slots(sim, s);
    } else if (s->kind == FAULT_SESSIONS) {
        hold_sessions(sim, s);
    } else if (s->kind == FAULT_LANE_SLOW) {
        sim->worker_slow_ns[s->worker] = s->until_ns;
    } else if (s->kind == FAULT_CLOCK_JUMP) {
        sim->wall_shift_ms += s->jump_ms;
        count_fault(sim, FAULT_CLOCK_JUMP);
    }
}

static void end_spell(struct sim *sim, struct spell *s)
{
    s->active = false;
    s->from_ns = NEVER_NS;
    if (s->kind == FAULT_FRAMES)
        put_frames(sim, s);
    else if (s->kind == FAULT_SLOTS)
        put_slots(sim, s);
    else if (s->kind == FAULT_SESSIONS)
        put_sessions(sim, s);
}

/* The control thread stands still and has asked for much: its answers fill the rings, then the
 * shards' outboxes. */
static void fill_rings(struct sim *sim, struct spell *s)
{
    sim->control_until_ns = s->until_ns;
    control_ask_trees(sim);
    for (uint32_t i = 0; i < sim->shard_count; i++)
        if (sim->shards[i]->outbox_count && s->count++ == 0)
            count_fault(sim, FAULT_RING_FULL);
    sim->rings_filled = true;
}

static void spell_step(struct sim *sim, struct spell *s)
{
    if (!s->active && s->from_ns <= sim->now_ns)
        begin_spell(sim, s);
    if (!s->active)
        return;
    if (s->kind == FAULT_RING_FULL)
        fill_rings(sim, s);
    if (s->until_ns <= sim->now_ns)
        end_spell(sim, s);
}

void faults_step(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->spell_count; i++)
        spell_step(sim, &sim->spells[i]);
}

void faults_end(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->spell_count; i++) {
        if (sim->spells[i].active)
            end_spell(sim, &sim->spells[i]);
        sim->spells[i].from_ns = NEVER_NS;
    }
}
