/* The callers: each plays its scene through the caller of tools/call, over the simulated network.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define EAR_SAMPLES (40 * CALL_RATE_HZ)
#define PATIENCE_NS SECONDS(75)
#define QUEUED_MAX  48 /* frames given to the socket at once; the rest waits here */

static void *boot_alloc(size_t count, size_t size)
{
    void *at = calloc(count, size);

    if (!at)
        abort();
    return at;
}

struct sim_caller *callers_new(void)
{
    struct sim_caller *callers = boot_alloc(CALLERS_MAX, sizeof(*callers));

    for (uint32_t i = 0; i < CALLERS_MAX; i++) {
        struct sim_caller *c = &callers[i];
        c->caller = boot_alloc(1, sizeof(*c->caller));
        c->out = boot_alloc(1, sizeof(*c->out));
        c->run = boot_alloc(1, sizeof(*c->run));
        c->ear = boot_alloc(EAR_SAMPLES, sizeof(*c->ear));
        c->message = boot_alloc(1, WS_MESSAGE_BYTES_MAX);
        c->unsent = boot_alloc(1, UNSENT_MAX);
    }
    return callers;
}

void callers_free(struct sim_caller **callers)
{
    for (uint32_t i = 0; i < CALLERS_MAX; i++) {
        struct sim_caller *c = &(*callers)[i];
        free(c->caller);
        free(c->out);
        free(c->run);
        free(c->ear);
        free(c->message);
        free(c->unsent);
    }
    free(*callers);
    *callers = NULL;
}

/* ---- sending ---- */

static void hang_socket(struct sim_caller *c, bool flush)
{
    struct io *io = c->sim->callers_io;

    if (c->id != IO_NONE)
        io->ops->close(io, c->id, flush);
    c->id = IO_NONE;
}

static void feed_stream(struct sim_caller *c)
{
    struct sim *sim = c->sim;
    struct io *io = sim->callers_io;
    size_t at = 0;

    while (at < c->unsent_len && io->ops->stream_queued(io, c->id) < QUEUED_MAX) {
        size_t n = c->unsent_len - at < FRAME_DATA_BYTES ? c->unsent_len - at : FRAME_DATA_BYTES;
        frame_ref ref = frame_get(sim->callers_pool);
        if (ref == FRAME_NONE)
            break;
        struct frame *f = frame_at(sim->callers_pool, ref);
        memcpy(f->data, c->unsent + at, n);
        f->len = (uint32_t)n;
        if (io->ops->stream_send(io, c->id, ref))
            break;
        at += n;
    }
    c->unsent_len -= at;
    memmove(c->unsent, c->unsent + at, c->unsent_len);
}

static void send_packet(struct sim_caller *c, struct slice bytes)
{
    struct sim *sim = c->sim;
    frame_ref ref = frame_get(sim->callers_pool);

    if (ref == FRAME_NONE || bytes.len > FRAME_DATA_BYTES) {
        frame_put(sim->callers_pool, &ref);
        return;
    }
    struct frame *f = frame_at(sim->callers_pool, ref);
    memcpy(f->data, bytes.at, bytes.len);
    f->len = (uint32_t)bytes.len;
    if (sim->callers_io->ops->udp_send(sim->callers_io, c->id, ref, NULL))
        sim_wrong(sim, "caller %u could not send", c->index);
}

static void flush_output(struct sim_caller *c)
{
    for (size_t i = 0; i < c->out->count && c->id != IO_NONE; i++) {
        struct slice piece = caller_output_piece(c->out, i);
        if (c->rtp) {
            send_packet(c, piece);
        } else if (c->unsent_len + piece.len <= UNSENT_MAX) {
            memcpy(c->unsent + c->unsent_len, piece.at, piece.len);
            c->unsent_len += piece.len;
        } else {
            caller_over(c->caller, CALLER_END_BROKEN, "the far end does not read");
        }
    }
    caller_output_init(c->out);
    if (!c->rtp && c->id != IO_NONE)
        feed_stream(c);
}

/* ---- the scene ---- */

/* A script that failed leaves its call one way or the other. */
static void leave(struct sim_caller *c)
{
    if (rand_chance(&c->sim->rand, 500)) {
        caller_hang_up(c->caller, c->out);
    } else {
        caller_over(c->caller, CALLER_END_OURS, "cut");
        flush_output(c);
        hang_socket(c, false);
    }
}

static void ask_script(struct sim_caller *c)
{
    if (c->result != SCRIPT_RUNNING)
        return;
    c->result = script_drive(c->run, c->caller, c->out);
    if (c->result == SCRIPT_FAILED) {
        snprintf(c->why, sizeof(c->why), "line %u: %.200s", c->run->line, c->run->why);
        if (c->caller->state == CALLER_TALKING)
            leave(c);
    } else if (c->result == SCRIPT_CUT) {
        c->result = SCRIPT_PASSED;
        caller_over(c->caller, CALLER_END_OURS, "cut as the script says");
        hang_socket(c, true);
    }
}

static void drive(struct sim_caller *c)
{
    ask_script(c);
    flush_output(c);
    if (c->caller->state != CALLER_OVER)
        return;
    ask_script(c); /* its verdict on the end */
    hang_socket(c, true);
    c->phase = CALLER_GONE;
}

static void speak(struct sim_caller *c, struct slice in)
{
    caller_step(c->caller, c->sim->now_ns, in, c->out);
    drive(c);
}

/* ---- dialling ---- */

static void refused(struct sim_caller *c, const char *what)
{
    snprintf(c->why, sizeof(c->why), "%s", what);
    c->result = SCRIPT_FAILED;
    hang_socket(c, false);
    c->phase = CALLER_GONE;
}

/* Minted when it is used, by the clock that the store's program reads. */
static const char *mint(struct sim_caller *c, char text[TOKEN_TEXT_BYTES])
{
    uint8_t nonce[TOKEN_NONCE_BYTES];
    char agent[16];

    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)rand_below(&c->sim->rand, 256);
    snprintf(agent, sizeof(agent), "sim%u", c->index);
    if (token_mint(&c->sim->token_key, agent, sim_wall_ms(c->sim), nonce, text, TOKEN_TEXT_BYTES))
        sim_wrong(c->sim, "no token could be minted");
    return text;
}

static void prepare(struct sim_caller *c)
{
    static char targets[CALLERS_MAX][400];
    char text[TOKEN_TEXT_BYTES];
    char *target = targets[c->index];
    struct caller_config config = {.dialect = c->rtp ? &caller_rtp : &caller_twilio,
                                   .host = "127.0.0.1:7860",
                                   .target = target,
                                   .seed = rand_u64(&c->sim->rand),
                                   .noise = 8,
                                   .pt = c->index % 2 ? RTP_PT_PCMA : RTP_PT_PCMU,
                                   .ear = c->ear,
                                   .ear_samples = EAR_SAMPLES,
                                   .message = c->message,
                                   .message_bytes = WS_MESSAGE_BYTES_MAX};

    snprintf(target, sizeof(targets[0]), "/media/sim%u", c->index);
    if (c->token != TOKEN_NONE)
        snprintf(target + strlen(target), sizeof(targets[0]) - strlen(target), "/%s",
                 c->token == TOKEN_GOOD ? mint(c, text) : "signed-by-nobody");
    caller_init(c->caller, &config);
    caller_output_init(c->out);
    script_start(c->run, &c->scene->script);
    c->unsent_len = 0;
}

static void dial_rtp(struct sim_caller *c)
{
    struct sim *sim = c->sim;
    struct address any = {.ip = {127, 0, 0, 1}, .family = 4};
    int err =
        sim->callers_io->ops->udp_open(sim->callers_io, c->index + 1, &any, &c->id, &c->local);

    if (err) {
        refused(c, "the caller found no socket");
        return;
    }
    io_sim_rates(sim->callers_io, c->id, &c->rates);
    c->phase = CALLER_PLACING;
    control_place(sim, c);
}

static void dial_stream(struct sim_caller *c)
{
    struct sim *sim = c->sim;
    struct io *io = sim->callers_io;

    if (io->ops->connect(io, c->index + 1, &sim->world.media_address, &c->id)) {
        refused(c, "the caller found no socket");
        return;
    }
    io_sim_rates(io, c->id, &c->rates);
    c->phase = CALLER_DIALS;
}

static void begin_speaking(struct sim_caller *c)
{
    c->phase = CALLER_SPEAKS;
    c->connected = true;
    caller_open(c->caller, c->sim->now_ns, c->out);
    drive(c);
}

void caller_placed(struct sim_caller *c, int err, const struct address *peer)
{
    struct io *io = c->sim->callers_io;

    if (c->phase != CALLER_PLACING)
        return;
    if (err) {
        refused(c, "the call was not placed");
        return;
    }
    if (io->ops->udp_connect(io, c->id, peer))
        sim_wrong(c->sim, "caller %u cannot connect its socket", c->index);
    begin_speaking(c);
}

void callers_deliver(void *context, const struct io_event *e)
{
    struct sim *sim = context;
    static uint8_t copy[8192];

    if (e->owner > CALLERS_MAX) {
        strangers_hear(sim, (uint32_t)e->owner - CALLERS_MAX - 1, e);
        return;
    }
    struct sim_caller *c = &sim->callers[e->owner - 1];
    if (e->kind == IO_CONNECTED && e->err) {
        c->id = IO_NONE;
        refused(c, "nobody took the connection");
    } else if (e->kind == IO_CONNECTED) {
        begin_speaking(c);
    } else if (e->kind == IO_DATA || e->kind == IO_PACKET) {
        memcpy(copy, e->data.at, e->data.len);
        if (c->phase == CALLER_SPEAKS)
            speak(c, slice_of(copy, e->data.len));
    } else if (e->kind == IO_CLOSED) {
        c->id = IO_NONE;
        if (c->phase != CALLER_SPEAKS)
            return;
        caller_closed(c->caller, sim->now_ns, e->err);
        drive(c);
    }
}

/* ---- each tick ---- */

static void caller_tick(struct sim_caller *c)
{
    struct sim *sim = c->sim;

    if (c->phase == CALLER_GONE)
        return;
    if (c->phase == CALLER_ASLEEP) {
        if (sim->now_ns < c->start_ns)
            return;
        c->patience_ns = sim->now_ns + PATIENCE_NS;
        prepare(c);
        if (c->rtp)
            dial_rtp(c);
        else
            dial_stream(c);
        return;
    }
    if (sim->now_ns >= c->patience_ns) {
        /* A switchboard that has drained answers nobody. */
        if (c->phase == CALLER_PLACING && !sim->rings_filled && !sim->draining)
            sim_wrong(sim, "caller %u was never told what became of its call", c->index);
        refused(c, "the script does not end");
        return;
    }
    if (c->phase != CALLER_SPEAKS)
        return;
    if (sim->now_ns >= c->hang_up_ns && c->call.starts) {
        c->hang_up_ns = NEVER_NS;
        control_hang_up(sim, c);
    }
    if (caller_deadline(c->caller) <= sim->now_ns)
        speak(c, SLICE_NONE);
    else if (c->unsent_len && c->id != IO_NONE)
        feed_stream(c);
}

void callers_step(struct sim *sim)
{
    sim->callers_io->ops->wait(sim->callers_io, 0, true);
    for (uint32_t i = 0; i < sim->caller_count; i++)
        caller_tick(&sim->callers[i]);
}

bool callers_over(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->caller_count; i++)
        if (sim->callers[i].phase != CALLER_GONE)
            return false;
    return true;
}

static const struct scene *pick_scene(struct sim *sim)
{
    const struct options *o = sim->options;

    for (uint32_t i = 0; o->only && i < o->scene_count; i++)
        if (strcmp(o->scenes[i].name, o->only) == 0)
            return &o->scenes[i];
    return &o->scenes[rand_below(&sim->rand, o->scene_count)];
}

void callers_begin(struct sim *sim)
{
    sim->caller_count = 3 + rand_below(&sim->rand, CALLERS_MAX - 2);
    for (uint32_t i = 0; i < CALLERS_MAX; i++) {
        struct sim_caller *c = &sim->callers[i];
        struct sim_caller fresh = {.sim = sim,
                                   .index = i,
                                   .hang_up_ns = NEVER_NS,
                                   .provider_fault = FAULT_NONE,
                                   .caller = c->caller,
                                   .out = c->out,
                                   .run = c->run,
                                   .ear = c->ear,
                                   .message = c->message,
                                   .unsent = c->unsent};
        *c = fresh;
        c->scene = pick_scene(sim);
        c->rtp = c->scene->script.dialect == &caller_rtp;
        c->start_ns = sim->now_ns + sim_draw_ms(sim, 0, 6000);
        c->lane_tts = rand_chance(&sim->rand, 400);
        c->token = !c->rtp && rand_chance(&sim->rand, 250) ? TOKEN_GOOD : TOKEN_NONE;
    }
}
