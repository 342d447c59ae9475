#include "net/http_listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128

int http_listen(const struct address *local, struct address *bound)
{
    struct sockaddr_storage to;
    socklen_t to_len = address_to_sockaddr(local, &to);
    const int on = 1;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&to, to_len) || listen(fd, LISTEN_BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&to, &(socklen_t){sizeof(to)})) {
        int err = -errno;
        close(fd);
        return err;
    }
    address_from_sockaddr(&to, bound);
    return fd;
}

void http_listen_complain(const struct address *local, int err, char *why, size_t why_bytes)
{
    char text[ADDRESS_TEXT_BYTES];

    address_text(local, text);
    if (err == -EADDRINUSE)
        snprintf(why, why_bytes, "the API cannot listen on %s: another program uses the port",
                 text);
    else if (err == -EACCES)
        snprintf(why, why_bytes,
                 "the API cannot listen on %s: ports below 1024 need a right that "
                 "this user does not have",
                 text);
    else
        snprintf(why, why_bytes, "the API cannot listen on %s: %s", text, strerror(-err));
}
