/* Files of the simulated backend: bytes in memory. A write happens when its instant comes, from the
 * writer's own memory, so that one who touches it too early is found out. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io_sim_inner.h"

static struct sim_file *file_at(struct sim_net *net, const char *path)
{
    struct sim_file **at = &net->files;

    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = sim_alloc(sizeof(**at));
        (*at)->path = strdup(path);
    }
    return *at;
}

static int64_t disk_span(struct sim_net *net)
{
    if (sim_draw(net, NULL, SIM_FILE_SLOW))
        return sim_span(net, MS(100), MS(4000));
    return sim_span(net, 20 * NS_PER_US, MS(3));
}

int sim_file_open(struct io *io, uint64_t owner, const char *path, int flags, unsigned mode,
                  io_id *id)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_open(s, SIM_FILE, owner);

    (void)mode;
    if (!h)
        return -EMFILE;
    h->at_ns = s->net->now_ns + disk_span(s->net);
    if (sim_draw(s->net, NULL, SIM_FILE_REFUSED)) {
        h->err = ENOSPC;
    } else {
        h->file = file_at(s->net, path);
        if (flags & O_TRUNC)
            h->file->len = 0;
    }
    *id = sim_id(s, h);
    return 0;
}

int sim_file_write(struct io *io, io_id id, struct slice bytes, uint64_t offset, uint64_t tag)
{
    struct sim_io *s = sim_of(io);
    struct sim_handle *h = sim_find(s, id, SIM_FILE);

    if (!h)
        return -EBADF;
    if (!h->up)
        return -EAGAIN;
    struct sim_write *w = sim_alloc(sizeof(*w));
    struct sim_write **at = &h->writes;
    *w = (struct sim_write){
        .bytes = bytes, .offset = offset, .tag = tag, .at_ns = s->net->now_ns + disk_span(s->net)};
    while (*at)
        at = &(*at)->next;
    *at = w;
    return 0;
}

static void put_bytes(struct sim_file *f, uint64_t offset, struct slice bytes)
{
    size_t end = (size_t)offset + bytes.len;

    if (end > f->len) {
        f->bytes = realloc(f->bytes, end);
        if (!f->bytes)
            abort();
        memset(f->bytes + f->len, 0, end - f->len);
        f->len = end;
    }
    if (bytes.len)
        memcpy(f->bytes + offset, bytes.at, bytes.len);
}

static struct io_event do_write(struct sim_net *net, struct sim_handle *h,
                                const struct sim_write *w)
{
    struct io_event e = {.kind = IO_WRITTEN, .tag = w->tag};

    if (sim_draw(net, NULL, SIM_FILE_FULL)) {
        e.err = ENOSPC;
    } else if (sim_draw(net, NULL, SIM_FILE_ERROR)) {
        e.err = EIO;
    } else {
        size_t len = w->bytes.len;
        if (len > 1 && sim_draw(net, NULL, SIM_FILE_SHORT))
            len = 1 + rand_below(&net->rand, (uint32_t)len - 1);
        put_bytes(h->file, w->offset, slice_of(w->bytes.at, len));
        e.len = (uint32_t)len;
    }
    return e;
}

void sim_file_step(struct sim_io *s, struct sim_handle *h)
{
    if (!h->up) {
        if (h->at_ns > s->net->now_ns)
            return;
        if (h->err) {
            sim_tell_last(s, h, (struct io_event){.kind = IO_OPENED, .err = h->err});
            return;
        }
        h->up = true;
        if (!sim_tell(s, h, (struct io_event){.kind = IO_OPENED}))
            return;
    }
    while (h->writes && h->writes->at_ns <= s->net->now_ns) {
        struct sim_write *w = h->writes;
        struct io_event e = do_write(s->net, h, w);
        h->writes = w->next;
        free(w);
        if (!sim_tell(s, h, e))
            return;
    }
}

void sim_file_close(struct sim_io *s, struct sim_handle *h)
{
    /* What was handed over is written although nobody is told. */
    while (h->writes) {
        struct sim_write *w = h->writes;
        (void)do_write(s->net, h, w);
        h->writes = w->next;
        free(w);
    }
}

void sim_files_free(struct sim_net *net)
{
    while (net->files) {
        struct sim_file *f = net->files;
        net->files = f->next;
        free(f->path);
        free(f->bytes);
        free(f);
    }
}

const struct sim_file *sim_net_file(const struct sim_net *net, uint32_t i)
{
    const struct sim_file *f = net->files;

    while (f && i--)
        f = f->next;
    return f;
}

const char *sim_file_path(const struct sim_file *file)
{
    return file->path;
}

struct slice sim_file_bytes(const struct sim_file *file)
{
    return slice_of(file->bytes, file->len);
}
