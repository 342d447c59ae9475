/* The echo on the server's own runtime: each call is an actor with a connected UDP socket on a
 * shard, and answers every packet with itself in the tick that brought it. Beside the bare echo it
 * shows what the runtime costs; beside a media relay it does that relay's work, one packet in and
 * one out. Takes the bare echo's arguments and runs until it is killed.
 *
 *     sidetone-bench-echo-agent FIRST_PORT PEER_FIRST_PORT COUNT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/metrics.h"
#include "bench/load/trunk.h"
#include "runtime/shard.h"

#define RECEIVE_BYTES (8u << 20)
#define FRAMES_SPARE  4096 /* under way in one tick */

struct place {
    uint16_t port, peer_port;
};

struct echo {
    struct actor actor;
    io_id socket;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "sidetone-bench-echo-agent: %s\n", what);
    exit(2);
}

static struct address loopback(uint16_t port)
{
    return (struct address){.ip = {127, 0, 0, 1}, .port = port, .family = 4};
}

static void open_echo(struct echo *e, const struct place *place)
{
    struct address local = loopback(place->port), peer = loopback(place->peer_port), bound;
    struct io *io = shard_io(e->actor.shard);

    must(actor_udp_open(&e->actor, &local, &e->socket, &bound) == 0, "a port is taken");
    must(io->ops->udp_connect(io, e->socket, &peer) == 0, "a socket does not connect");
}

static void answer(struct echo *e)
{
    struct shard *shard = e->actor.shard;
    struct io *io = shard_io(shard);
    frame_ref packet = frame_chain(shard_pool(shard), shard_received(shard));

    if (packet != FRAME_NONE)
        (void)io->ops->udp_send(io, e->socket, packet, NULL);
}

static void echo_handle(struct actor *a, const struct msg *m)
{
    struct echo *e = container_of(a, struct echo, actor);
    struct place place;

    if (m->type == MSG_START) {
        memcpy(&place, msg_body(m, start_msg)->arguments, sizeof(place));
        open_echo(e, &place);
        actor_slot_join(a, shard_emptiest_slot(a->shard)); /* as legs do: by them the shard ticks */
    } else if (m->type == MSG_PACKET) {
        answer(e);
    }
}

static const struct actor_type echo_type = {
    .name = "echo", .size_bytes = sizeof(struct echo), .handle = echo_handle};

static struct shard *make_shard(uint32_t count)
{
    const struct shard_type types[] = {{&echo_type, count}};
    struct shard_setup setup = {.name = "echo",
                                .clock = clock_machine,
                                .seed = 1,
                                .frames_max = count + FRAMES_SPARE,
                                .types = types,
                                .type_count = 1,
                                .io_new = io_uring_new,
                                .handles_max = count + 8,
                                .receive_bytes = RECEIVE_BYTES};
    struct shard *shard = NULL;

    if (shard_new(&setup, &shard) < 0) {
        setup.io_new = io_epoll_new;
        must(shard_new(&setup, &shard) == 0, "no shard");
    }
    return shard;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    must(argc == 4, "usage: FIRST_PORT PEER_FIRST_PORT COUNT");
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    uint32_t count = (uint32_t)atoi(argv[3]);
    struct shard *shard = make_shard(count);
    for (uint32_t i = 0; i < count; i++) {
        struct place place = {(uint16_t)((uint32_t)atoi(argv[1]) + 2 * i),
                              (uint16_t)((uint32_t)atoi(argv[2]) + 2 * trunk_socket(i))};
        must(actor_spawn(shard, &echo_type, NULL, i, &place, sizeof(place), FRAME_NONE) != NULL,
             "no actor");
    }
    puts("ready");
    fflush(stdout);
    shard_run(shard);
    return 0;
}
