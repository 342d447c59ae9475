/* What the simulated backend is inside, for io_sim.c, io_sim_stream.c and io_sim_file.c alone; the
 * simulator's one thread owns it. */
#ifndef RUNTIME_IO_SIM_INNER_H
#define RUNTIME_IO_SIM_INNER_H

#include "runtime/io_sim.h"

#define SIM_IOS_MAX          8
#define SIM_READ_MAX         4096 /* bytes in one IO_DATA */
#define SIM_GENERATION_SHIFT 16

enum sim_kind { SIM_NOTHING, SIM_UDP, SIM_LISTENER, SIM_STREAM, SIM_FILE };

/* Bytes under way, or arrived and not read. */
struct sim_segment {
    struct sim_segment *next;
    int64_t at_ns;
    size_t len;
    size_t off;
    uint8_t bytes[];
};

/* One direction of a connection. */
struct sim_pipe {
    struct sim_segment *first;
    struct sim_segment **end;
    size_t bytes;
    int64_t last_ns; /* nothing arrives before what was sent earlier */
    bool fin;
    int64_t fin_ns;
};

/* A connection; side 0 is who connected. pipe[s] carries what side s sends. */
struct sim_link {
    struct sim_pipe pipe[2];
    struct sim_io *io[2];
    io_id id[2]; /* IO_NONE: closed, or not accepted yet */
    const struct sim_rates *rates;
    size_t window;
    uint32_t refs; /* sides and a place in a backlog */
    bool vanished;
    bool hit;
    bool reset;
    int64_t reset_ns;
};

struct sim_packet {
    struct sim_packet *next;
    struct address from;
    int64_t at_ns;
    size_t len;
    uint8_t bytes[];
};

struct sim_waiting { /* a connection in a listener's backlog */
    struct sim_waiting *next;
    struct sim_link *link;
    struct address peer;
    int64_t at_ns;
};

struct sim_file {
    struct sim_file *next;
    char *path;
    uint8_t *bytes;
    size_t len;
};

struct sim_write {
    struct sim_write *next;
    struct slice bytes; /* the writer's: read only when it is done */
    uint64_t offset;
    uint64_t tag;
    int64_t at_ns;
};

struct sim_handle {
    enum sim_kind kind;
    uint32_t generation;
    uint64_t owner;
    bool up;
    bool paused;
    bool sent_owed;
    bool hit;
    int err;            /* of the open under way */
    int64_t at_ns;      /* when that is done */
    int64_t stalled_ns; /* reads nothing until then */
    struct address local;
    struct address peer;
    bool connected; /* UDP */
    const struct sim_rates *rates;
    struct sim_waiting *backlog;
    struct sim_link *link;
    uint32_t side;
    frame_ref queue[WS_SEND_QUEUE_MAX]; /* chains, oldest first */
    uint32_t queue_count;
    uint32_t queue_frames;
    struct sim_packet *inbox; /* by arrival */
    struct sim_file *file;
    struct sim_write *writes;
};

struct sim_io {
    struct io io;
    struct sim_net *net;
    struct frame_pool *pool;
    io_deliver *deliver;
    void (*woken)(void *context); /* or NULL */
    void *context;
    struct sim_handle *handles; /* handles[0] is nobody */
    uint32_t handles_max;
    uint32_t open;
    uint64_t dropped;
    uint64_t stalls; /* connections that found no handle */
};

struct sim_net {
    int64_t now_ns;
    struct rand rand;
    struct sim_rates rates;
    uint64_t counts[SIM_FAULT_COUNT];
    struct sim_io *ios[SIM_IOS_MAX];
    uint32_t io_count;
    struct sim_file *files;
    uint32_t waiting; /* connections in backlogs */
    uint16_t next_port;
};

static inline struct sim_io *sim_of(struct io *io)
{
    return (struct sim_io *)(void *)io;
}

void *sim_alloc(size_t bytes);
/* A draw whether it happens here; counted when it does. `rates` NULL: the net's. */
bool sim_draw(struct sim_net *net, const struct sim_rates *rates, enum sim_fault fault);
/* Between the two, to the microsecond. */
int64_t sim_span(struct sim_net *net, int64_t least_ns, int64_t most_ns);

struct sim_handle *sim_find(struct sim_io *s, io_id id, enum sim_kind kind);
io_id sim_id(const struct sim_io *s, const struct sim_handle *h);
/* NULL when handles_max are open. */
struct sim_handle *sim_open(struct sim_io *s, enum sim_kind kind, uint64_t owner);
/* Frees the slot; its id fails. */
void sim_drop(struct sim_io *s, struct sim_handle *h);
/* False when the handle is not the same any more afterwards. */
bool sim_tell(struct sim_io *s, struct sim_handle *h, struct io_event e);
/* The same, but the id is dead before. */
void sim_tell_last(struct sim_io *s, struct sim_handle *h, struct io_event e);
/* A port nobody has, if it was 0. */
void sim_bind(struct sim_net *net, const struct address *local, struct address *out);

/* ---- streams ---- */
int sim_listen(struct io *io, uint64_t owner, const struct address *local, io_id *id,
               struct address *bound);
int sim_connect(struct io *io, uint64_t owner, const struct address *peer, io_id *id);
int sim_stream_send(struct io *io, io_id id, frame_ref take);
void sim_stream_step(struct sim_io *s, struct sim_handle *h);
void sim_listener_step(struct sim_io *s, struct sim_handle *h);
/* Lets go of what a handle of these kinds holds. */
void sim_stream_close(struct sim_io *s, struct sim_handle *h, bool flush);
void sim_listener_close(struct sim_io *s, struct sim_handle *h);

/* ---- files ---- */
int sim_file_open(struct io *io, uint64_t owner, const char *path, int flags, unsigned mode,
                  io_id *id);
int sim_file_write(struct io *io, io_id id, struct slice bytes, uint64_t offset, uint64_t tag);
void sim_file_step(struct sim_io *s, struct sim_handle *h);
void sim_file_close(struct sim_io *s, struct sim_handle *h);
void sim_files_free(struct sim_net *net);

#endif
