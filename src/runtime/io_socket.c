#include "runtime/io_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

static int family_of(const struct address *a)
{
    return a->family == 6 ? AF_INET6 : AF_INET;
}

static void set_option(int fd, int level, int name, int value)
{
    /* Where an option is refused the socket works without it. */
    if (setsockopt(fd, level, name, &value, sizeof(value)))
        return;
}

static int bind_to(int fd, const struct address *local, struct address *bound)
{
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(local, &name);

    if (bind(fd, (struct sockaddr *)&name, len))
        return -errno;
    len = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &len))
        return -errno;
    if (bound)
        address_from_sockaddr(&name, bound);
    return 0;
}

int socket_udp(const struct address *local, struct address *bound)
{
    int fd = socket(family_of(local), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int err = bind_to(fd, local, bound);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

int socket_listen(const struct address *local, struct address *bound)
{
    int fd = socket(family_of(local), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int err;

    if (fd < 0)
        return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    err = bind_to(fd, local, bound);
    if (!err && listen(fd, IO_BACKLOG_COUNT))
        err = -errno;
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

int socket_stream(const struct address *peer)
{
    int fd = socket(family_of(peer), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

int socket_accepted(int fd, struct address *peer)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);

    if (getpeername(fd, (struct sockaddr *)&name, &len))
        return -errno;
    address_from_sockaddr(&name, peer);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return 0;
}

socklen_t socket_name(uint8_t family, const struct address *to, struct sockaddr_storage *out)
{
    struct address mapped = {.port = to->port, .family = 6, .ip = {[10] = 0xFF, [11] = 0xFF}};

    if (family != 6 || to->family != 4)
        return address_to_sockaddr(to, out);
    memcpy(mapped.ip + 12, to->ip, 4);
    return address_to_sockaddr(&mapped, out);
}

int socket_error(int fd, int otherwise)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
        return errno;
    return err ? err : otherwise;
}

void socket_abort(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)))
        return; /* then it is closed in order */
}

uint32_t socket_drops(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len))
        return 0;
    return info[SK_MEMINFO_DROPS];
}

int file_flags(int flags)
{
    if ((flags & O_ACCMODE) == O_RDONLY)
        flags |= O_WRONLY;
    return flags | O_CREAT | O_CLOEXEC;
}

int file_make_parents(const char *path, unsigned mode)
{
    char part[IO_PATH_BYTES];
    size_t len = strlen(path);
    mode_t folder = (mode_t)(mode | 0700 | ((mode & 040) ? 010 : 0) | ((mode & 04) ? 01 : 0));

    if (len >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = 0;
        if (mkdir(part, folder) && errno != EEXIST)
            return -errno;
        part[i] = '/';
    }
    return 0;
}

int reserve_accept(struct io_core *core, int listener)
{
    if (core->reserve_fd < 0)
        return -EMFILE;
    close(core->reserve_fd);
    core->reserve_fd = -1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool reserve_restore(struct io_core *core)
{
    if (core->reserve_fd < 0)
        core->reserve_fd = fcntl(core->wake_fd, F_DUPFD_CLOEXEC, 0);
    return core->reserve_fd >= 0;
}

void listener_starve(struct io_core *core, struct slot *s)
{
    core->stalls++;
    if (!s->starved)
        core->starved++;
    s->starved = true;
    slot_todo(core, s);
}

bool listener_feed(struct io_core *core, struct slot *s)
{
    if (core->live >= core->handles_max || !core->free_first || !reserve_restore(core)) {
        slot_todo(core, s); /* asks again at the next wait */
        return false;
    }
    s->starved = false;
    core->starved--;
    return true;
}
