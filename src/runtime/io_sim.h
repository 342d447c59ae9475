/* The simulated backend of io.h: a network and a disk in memory under a virtual clock. One
 * `struct sim_net` joins any number of `struct io` (a shard's, the callers' own); it belongs to the
 * simulator, all of it on one thread. Bytes and datagrams travel with delays drawn from one seeded
 * source, and break as the given rates say; nothing reads a clock, nothing is a float, so a run
 * repeats from its seed.
 *
 *     stream_send ─▶ queue ─(window)─▶ pipe of segments, each with its instant ─▶ IO_DATA
 *     udp_send ─▶ lost, doubled or late ─▶ inbox ─▶ IO_PACKET        file_write ─▶ later ─▶ bytes
 */
#ifndef RUNTIME_IO_SIM_H
#define RUNTIME_IO_SIM_H

#include "base/clock.h"
#include "base/rand.h"
#include "runtime/io.h"

/* FAULT(NAME, text): what can go wrong out there, each with a rate and a counter. */
#define SIM_FAULTS(FAULT)                                                                          \
    FAULT(SIM_SHORT_READ, "short read")     /* per frame: arrives in pieces */                     \
    FAULT(SIM_STREAM_DELAY, "stream delay") /* per frame: it and all behind it come late */        \
    FAULT(SIM_RESET, "reset")               /* per frame: the connection breaks */                 \
    FAULT(SIM_VANISH, "vanished peer")      /* per frame of the connecting side: never again */    \
    FAULT(SIM_SLOW_READER, "slow reader")   /* per frame read by the connecting side */            \
    FAULT(SIM_CONNECT_REFUSED, "connect refused") /* per connect */                                \
    FAULT(SIM_ACCEPT_REFUSED, "accept refused")   /* per connect: closed before anybody saw it */  \
    FAULT(SIM_OPEN_REFUSED, "open refused")       /* per UDP socket: no descriptor */              \
    FAULT(SIM_PACKET_LOST, "packet lost")                                                          \
    FAULT(SIM_PACKET_DOUBLED, "packet doubled")                                                    \
    FAULT(SIM_PACKET_SWAPPED, "packet out of order")                                               \
    FAULT(SIM_PACKET_LATE, "packet late")                                                          \
    FAULT(SIM_FILE_REFUSED, "file refused") /* per open */                                         \
    FAULT(SIM_FILE_FULL, "disk full")       /* per write: ENOSPC */                                \
    FAULT(SIM_FILE_ERROR, "disk error")     /* per write: EIO */                                   \
    FAULT(SIM_FILE_SHORT, "short write")    /* per write: part of it, no error */                  \
    FAULT(SIM_FILE_SLOW, "slow disk")       /* per open or write */

enum sim_fault {
#define FAULT(name, text) name,
    SIM_FAULTS(FAULT)
#undef FAULT
        SIM_FAULT_COUNT
};

/* How often each happens, in 1000. */
struct sim_rates {
    uint16_t per_mille[SIM_FAULT_COUNT];
};

struct sim_net;
struct sim_file;

struct sim_net *sim_net_new(uint64_t seed, int64_t now_ns);
/* Every io on it must have been freed. */
void sim_net_free(struct sim_net **net);
void sim_net_set_time(struct sim_net *net, int64_t now_ns);
/* Rates of everything that has none of its own: opens, files. */
void sim_net_rates(struct sim_net *net, const struct sim_rates *rates);
uint64_t sim_net_count(const struct sim_net *net, enum sim_fault fault);
const char *sim_fault_name(enum sim_fault fault);
/* Open handles of all, connections not yet accepted included. */
uint32_t sim_net_open(const struct sim_net *net);

/* io_sim_new() puts what it makes on this net: its place in struct shard_setup has no argument for
 * it. */
void io_sim_on(struct sim_net *net);
MUST_USE int io_sim_new(const struct io_setup *setup, struct io **out);
/* Rates of one stream (both directions of its connection) or UDP socket (what it sends and gets);
 * borrowed while it lives. */
void io_sim_rates(struct io *io, io_id id, const struct sim_rates *rates);
/* Whether a fault that no protocol repairs has hit this stream's connection or UDP socket. */
bool io_sim_hit(struct io *io, io_id id);

/* Files, oldest first; NULL beyond the last. */
const struct sim_file *sim_net_file(const struct sim_net *net, uint32_t i);
const char *sim_file_path(const struct sim_file *file);
struct slice sim_file_bytes(const struct sim_file *file);

#endif
