/* Who connects and is nobody: says nothing, half a request, something else, or a request without
 * end. Each must be gone within PEER_UNKNOWN_NS, whatever else goes on. */
#include <string.h>

#include "tests/sim/sim.h"

#define SLACK_NS SECONDS(1) /* for the way there and back */

static const char *const words[] = {
    "",
    "GET /media/sim0 HTTP/1.1\r\nHost: a\r\nUpgrade: webso",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "POST /media/sim0 HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n",
};

void strangers_begin(struct sim *sim)
{
    sim->stranger_count = rand_below(&sim->rand, STRANGERS_MAX + 1);
    for (uint32_t i = 0; i < sim->stranger_count; i++) {
        struct stranger *s = &sim->strangers[i];
        s->start_ns = sim->now_ns + sim_draw_ms(sim, 0, 8000);
        s->words = rand_below(&sim->rand, ARRAY_LEN(words));
        s->slowly = rand_chance(&sim->rand, 300);
    }
}

static void say(struct sim *sim, struct stranger *s)
{
    struct slice text = slice_str(words[s->words]);
    size_t n = s->slowly ? 1 : text.len;

    if (s->said >= text.len)
        return;
    frame_ref ref = frame_chain(sim->callers_pool, slice_of(text.at + s->said, n));
    if (ref == FRAME_NONE || sim->callers_io->ops->stream_send(sim->callers_io, s->id, ref))
        return;
    s->said += n;
    s->next_ns = sim->now_ns + sim_draw_ms(sim, 50, 600);
}

static void stranger_step(struct sim *sim, struct stranger *s, uint32_t index)
{
    struct io *io = sim->callers_io;

    if (s->over || sim->now_ns < s->start_ns)
        return;
    if (s->id == IO_NONE) {
        s->over = io->ops->connect(io, CALLERS_MAX + 1 + index, &sim->world.media_address, &s->id);
        return;
    }
    if (s->connected && s->next_ns <= sim->now_ns)
        say(sim, s);
    if (s->connected && sim->now_ns > s->connected_ns + PEER_UNKNOWN_NS + SLACK_NS) {
        sim_wrong(sim, "a stranger who said \"%.20s\" is still connected after %lld ms",
                  words[s->words], (long long)ns_to_ms(sim->now_ns - s->connected_ns));
        s->over = true;
    }
}

void strangers_step(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->stranger_count; i++)
        stranger_step(sim, &sim->strangers[i], i);
}

bool strangers_over(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->stranger_count; i++)
        if (!sim->strangers[i].over)
            return false;
    return true;
}

void strangers_hear(struct sim *sim, uint32_t index, const struct io_event *e)
{
    struct stranger *s = &sim->strangers[index];

    if (e->kind == IO_CONNECTED && e->err == 0) {
        s->connected = true;
        s->connected_ns = sim->now_ns;
    } else if (e->kind == IO_CONNECTED || e->kind == IO_CLOSED) {
        s->over = true;
        s->id = IO_NONE;
    }
}
