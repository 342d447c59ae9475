/* The server's configuration: one file, one table of keys (config.c), read whole at boot and again
 * on SIGHUP. A configuration is immutable once loaded; a reload makes a new one, and a bad file
 * leaves the old one in force. Made and freed on the control thread; others read what they were
 * given at boot. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "config/schema.h"

enum config_log_level { CONFIG_LOG_DEBUG, CONFIG_LOG_INFO, CONFIG_LOG_WARN, CONFIG_LOG_ERROR };
enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_realtime { CONFIG_REALTIME_AUTO, CONFIG_REALTIME_OFF };
enum config_token { CONFIG_TOKEN_AUTO, CONFIG_TOKEN_ALWAYS, CONFIG_TOKEN_NEVER };
enum config_recording { CONFIG_RECORDING_MONO16K, CONFIG_RECORDING_LEG, CONFIG_RECORDING_STEREO };

/* An account at a carrier: what its HTTP half needs. */
struct config_account {
    const char *id;
    const char *secret; /* "": none, its requests cannot be verified */
    const char *url;    /* of its REST API; "": the carrier's own */
    const char *from;   /* number that calls are placed from, unless told otherwise */
};

struct config {
    const char *data_dir;
    const char *public_url; /* without a final slash; "" when unknown */
    struct text_list agents;
    struct bind_address api_bind;
    struct bind_address media_bind;
    int media_token; /* enum config_token */
    struct bind_address rtp_bind;
    struct port_range rtp_ports;
    int64_t shards;    /* 0: one per core */
    int64_t calls_max; /* over all shards */
    int64_t drain_seconds;
    int io;        /* enum config_io */
    int realtime;  /* enum config_realtime */
    int log_level; /* enum config_log_level */
    bool recording_enabled;
    int recording_format;        /* enum config_recording */
    const char *store;           /* URI; "sqlite:" is a file in data_dir */
    int64_t journal_mb;          /* of each shard's region; 0: see config_journal_bytes() */
    const char *api_certificate; /* "": the API speaks http */
    const char *api_key;
    const char *media_certificate; /* "": the media port speaks ws */
    const char *media_key;
    const char *ca_file; /* "": the system's certificates */
    const char *proxy;   /* "": none */
    bool allow_private;  /* guarded requests may go to private addresses */
    struct config_account twilio;
    struct config_account plivo;
    struct config_account vobiz;
    struct yaml_doc *doc; /* owns every text above */
};

/* Loads a file, or the embedded default when `path` is NULL. 0 or -errno with `why`, in which case
 * *out is NULL. `env` as in yaml_doc.h. */
MUST_USE int config_load(const char *path, const char *(*env)(const char *), struct config **out,
                         char *why, size_t why_bytes);
/* The same from memory; `file` names it in complaints. */
MUST_USE int config_read(const char *file, struct slice text, const char *(*env)(const char *),
                         struct config **out, char *why, size_t why_bytes);
void config_free(struct config **config);

/* Whether a media upgrade needs a token although it carries no Origin. */
bool config_token_needed(const struct config *config);
/* Of each shard's region of the journal, where there are so many shards. */
size_t config_journal_bytes(const struct config *config, uint32_t shards);
/* The account of the carrier of this name, NULL if there is no such carrier. */
const struct config_account *config_account(const struct config *config, const char *carrier);
/* Which keys differ and take effect only at the next start (all but log.level and drain_seconds),
 * as "shards, rtp.ports"; "" if none. */
void config_restart_keys(const struct config *old, const struct config *next, char *out,
                         size_t out_bytes);

/* A commented file with every key; malloc'd. */
char *config_example(void);
/* The table of docs/configuration.md; malloc'd. */
char *config_markdown(void);

#endif
