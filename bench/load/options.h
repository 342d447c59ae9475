/* The command line of the load harness. Read once at boot; nothing here talks to a server. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdio.h>
#include <sys/types.h>

#include "base/address.h"
#include "bench/load/listen.h"
#include "bench/load/talk.h"
#include "base/url.h"

#define LOAD_CALLS_MAX 20000 /* at one time: each holds one file if it is no RTP */
#define LOAD_STEPS_MAX 16

enum load_via {
    LOAD_RTP,    /* calls by POST /calls, then RTP */
    LOAD_TWILIO, /* media WebSockets of Twilio's dialect */
    LOAD_ECHO,   /* bare UDP to ports that answer each packet with itself */
    LOAD_RELAY,  /* ports of a relay: what one of two callers says comes to the other */
};

struct load_options {
    enum load_via via;
    struct url api, media; /* rtp; twilio */
    struct address echo;   /* port of the first call, the others two apart */
    struct address local;  /* address of our sockets; echo: port of the first one */
    const char *agent, *speech, *json, *html, *title;
    uint16_t relay_ports[LOAD_CALLS_MAX]; /* relay: where each caller sends, at echo's address */
    uint32_t relay_count;
    bool alaw, transcode, quiet;
    uint32_t steps[LOAD_STEPS_MAX];
    uint32_t step_count;
    uint32_t rate;                  /* calls per second while ramping */
    uint32_t rates[LOAD_STEPS_MAX]; /* churn: short calls begun per second, one after the other */
    uint32_t rate_count;            /* 0: no churn */
    int64_t churn_ms;               /* how long a short call lasts */
    int64_t settle_s, hold_s, quantum_us, script_ms; /* quantum 0: by the number of calls */
    uint64_t seed;
    pid_t pid;
    enum listen_expect expect;
    struct talk_rules talk;
};

enum options_outcome { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD };

/* Reads the arguments; complaints go to standard error. DONE: --help was asked for and given. */
enum options_outcome options_read(struct load_options *o, int argc, char **argv);

#endif
