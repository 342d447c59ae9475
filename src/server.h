/* The process as a whole: reads the agents, puts right what an earlier process left behind, builds
 * the hosts (shards, control, lanes) and their mesh, runs their threads, and ends them in order.
 * Boot and end run on the main thread, which becomes the control thread in between. */
#ifndef SERVER_H
#define SERVER_H

#include "config/config.h"

struct server_setup {
    const struct config *config;
    const char *const *agents; /* files given on the command line, before those of the config */
    size_t agent_count;
    const char *share_dir;
    const char *config_path; /* the file of `config`, for SIGHUP; NULL: there is none */
    const char *(*env)(const char *name);
};

/* Runs until SIGTERM or SIGINT and the calls that were left have ended. 0, or -errno with one
 * sentence in `why`. */
MUST_USE int server_run(const struct server_setup *setup, char *why, size_t why_bytes);
/* Only looks whether configuration and agents are usable. */
MUST_USE int server_check(const struct server_setup *setup, char *why, size_t why_bytes);

#endif
