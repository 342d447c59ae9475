/* The real binary, started for one scenario: a temporary folder with a configuration, an agent and
 * its script, free ports on loopback, a health check, and a stop by process id. For the runner's
 * own thread; waits with poll and deadlines. */
#ifndef SCENARIO_SERVER_H
#define SCENARIO_SERVER_H

#include <sys/types.h>

#include "tests/scenario/script.h"
#include "tools/call/caller_socket.h"

#define SERVER_START_NS   SECONDS(10) /* to become healthy */
#define SERVER_STOP_NS    SECONDS(10) /* after SIGTERM; then SIGKILL */
#define SERVER_BODY_BYTES 65536

struct server {
    pid_t pid;
    char folder[64]; /* temporary; removed at the end unless kept */
    struct url api;
    struct url media;
};

/* Starts `binary` on the backend `io` (auto, uring, epoll) for this script (its text, for the
 * providers' lines). 0 or -errno and a sentence. */
MUST_USE int server_start(struct server *s, const char *binary, const char *io,
                          const struct script *script, struct slice text,
                          char why[SOCKET_WHY_BYTES]);
/* Ends the process; 0, or -1 and a sentence if it crashed or had to be killed. */
MUST_USE int server_stop(struct server *s, bool keep, char why[SOCKET_WHY_BYTES]);

#endif
