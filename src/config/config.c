#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define AT(member) offsetof(struct config, member)

#define ACCOUNT_RULE "^[A-Za-z0-9_-]*$"
#define SECRET_RULE  "^[!-~]*$" /* it goes into header lines */
#define API_RULE     "^https?://[^[:space:]]+[^/[:space:]]$"
#define NUMBER_RULE  "^([+]?[0-9]{3,15})?$"

static const struct schema_field config_fields[] = {
    {"data_dir", FIELD_PATH, AT(data_dir), "./sidetone-data",
     .help = "Folder of recordings, transcripts, the journal and the embedded store."},
    {"public_url", FIELD_TEXT, AT(public_url), "", "^(https?://[^[:space:]]+)?$", 0, 500,
     .help =
         "Address under which carriers and browsers reach this server; empty: only local ones do."},
    {"agents", FIELD_PATHS, AT(agents), "[]", .most = 256,
     .help = "Agent files, or folders of them; none: the clinic that comes with the product."},
    {"shards", FIELD_WHOLE, AT(shards), "0", NULL, 0, 48,
     .help = "Threads that carry calls, each on a core of its own; 0: one per core."},
    {"calls_max", FIELD_WHOLE, AT(calls_max), "1000", NULL, 1, 100000,
     .help = "Calls at one time; the next one is refused."},
    {"drain_seconds", FIELD_WHOLE, AT(drain_seconds), "300", NULL, 0, 86400,
     .help = "How long running calls may finish after SIGTERM before they are ended."},
    {"io", FIELD_CHOICE, AT(io), "auto", "auto|uring|epoll",
     .help = "How sockets and files are driven; auto takes io_uring and falls back to epoll."},
    {"realtime", FIELD_CHOICE, AT(realtime), "auto", "auto|off",
     .help = "Whether shards ask for real-time scheduling; auto takes the best that is permitted."},
    {"store", FIELD_TEXT, AT(store), "sqlite:", "^sqlite:[^?#]*$", 1, 500,
     .help = "Where documents are kept; sqlite: alone is the file sidetone.db in data_dir."},
    {"api.bind", FIELD_ADDRESS, AT(api_bind), "127.0.0.1:8000",
     .help = "Address of the REST API, health and metrics."},
    {"api.tls_certificate", FIELD_PATH, AT(api_certificate), "",
     .help =
         "Certificate chain (PEM) of the API's port, which then speaks https alone; empty: http."},
    {"api.tls_key", FIELD_PATH, AT(api_key), "", .help = "Its private key (PEM)."},
    {"media.bind", FIELD_ADDRESS, AT(media_bind), "127.0.0.1:7860",
     .help = "Address of the media WebSockets and the carriers' answer endpoints."},
    {"media.token_required", FIELD_CHOICE, AT(media_token), "auto", "auto|always|never",
     .help = "Whether a media WebSocket needs a single-use token; auto: unless media.bind is "
             "loopback and "
             "the request names no Origin."},
    {"media.tls_certificate", FIELD_PATH, AT(media_certificate), "",
     .help = "Certificate chain (PEM) of the media port, which then speaks wss alone; empty: ws. "
             "Read again on SIGHUP."},
    {"media.tls_key", FIELD_PATH, AT(media_key), "", .help = "Its private key (PEM)."},
    {"rtp.bind", FIELD_HOST, AT(rtp_bind), "127.0.0.1", .help = "Address of RTP sockets."},
    {"rtp.ports", FIELD_PORTS, AT(rtp_ports), "10000-19999",
     .help = "UDP ports for RTP, leased one pair per call."},
    {"network.ca_file", FIELD_PATH, AT(ca_file), "",
     .help =
         "Certificates (PEM) that providers' and other servers' own are checked against; empty: "
         "those of the system."},
    {"network.proxy", FIELD_TEXT, AT(proxy), "", "^(https?://[^[:space:]]+)?$", 0, 300,
     .help = "Proxy for HTTP requests, not for WebSockets; empty: none, whatever the environment "
             "says."},
    {"network.allow_private", FIELD_BOOL, AT(allow_private), "false",
     .help = "Whether tools' and webhooks' URLs may lead to this machine and to private networks."},
    {"log.level", FIELD_CHOICE, AT(log_level), "info", "debug|info|warn|error",
     .help = "Least level of the JSON lines on standard output."},
    {"recording.enabled", FIELD_BOOL, AT(recording_enabled), "true",
     .help = "Whether calls are recorded."},
    {"recording.format", FIELD_CHOICE, AT(recording_format), "mono16k", "mono16k|leg|stereo",
     .help = "mono16k: both sides mixed at 16 kHz; leg: mixed at the leg's own rate; stereo: "
             "caller left, "
             "agent right, at 16 kHz."},
    {"journal.region_mb", FIELD_WHOLE, AT(journal_mb), "0", NULL, 0, 1024,
     .help = "Megabytes of journal per shard: what its calls said and did until the store has it; "
             "0: 64 KB for each call that it may carry (calls_max over the shards), at least 4 MB "
             "and at most 256."},
    {"twilio.account_sid", FIELD_TEXT, AT(twilio.id), "", ACCOUNT_RULE, 0, 80,
     .help = "Account at Twilio."},
    {"twilio.auth_token", FIELD_TEXT, AT(twilio.secret), "", SECRET_RULE, 0, 200,
     .help = "Its token: Twilio's requests are verified with it, ours are signed in with it."},
    {"twilio.api_url", FIELD_TEXT, AT(twilio.url), "https://api.twilio.com", API_RULE, 0, 200,
     .help = "Address of Twilio's REST API."},
    {"twilio.from", FIELD_TEXT, AT(twilio.from), "", NUMBER_RULE, 0, 31,
     .help = "Number from which calls are placed, unless the request names one."},
    {"plivo.auth_id", FIELD_TEXT, AT(plivo.id), "", ACCOUNT_RULE, 0, 80,
     .help = "Account at Plivo."},
    {"plivo.auth_token", FIELD_TEXT, AT(plivo.secret), "", SECRET_RULE, 0, 200,
     .help = "Its token, as for Twilio."},
    {"plivo.api_url", FIELD_TEXT, AT(plivo.url), "https://api.plivo.com", API_RULE, 0, 200,
     .help = "Address of Plivo's REST API."},
    {"plivo.from", FIELD_TEXT, AT(plivo.from), "", NUMBER_RULE, 0, 31,
     .help = "Number from which calls are placed, unless the request names one."},
    {"vobiz.auth_id", FIELD_TEXT, AT(vobiz.id), "", ACCOUNT_RULE, 0, 80,
     .help = "Account at Vobiz."},
    {"vobiz.auth_token", FIELD_TEXT, AT(vobiz.secret), "", SECRET_RULE, 0, 200,
     .help = "Its token, as for Twilio."},
    {"vobiz.api_url", FIELD_TEXT, AT(vobiz.url), "https://api.vobiz.ai/api/v1", API_RULE, 0, 200,
     .help = "Address of Vobiz's REST API."},
    {"vobiz.from", FIELD_TEXT, AT(vobiz.from), "", NUMBER_RULE, 0, 31,
     .help = "Number from which calls are placed, unless the request names one."},
};

static const struct schema config_schema = {
    .title = "Sidetone's configuration: every key with its default.",
    .fields = config_fields,
    .count = ARRAY_LEN(config_fields),
};

/* Carriers join paths to it. */
static int public_url_trim(struct config *c)
{
    size_t len = strlen(c->public_url);

    if (!len || c->public_url[len - 1] != '/')
        return 0;
    c->public_url = yaml_doc_text(c->doc, slice_of(c->public_url, len - 1));
    return c->public_url ? 0 : -ENOMEM;
}

/* A signature is made over the address by which a carrier reaches us. */
static int accounts_check(struct config *c, char *why, size_t why_bytes)
{
    static const char *const secrets[] = {"twilio.auth_token", "plivo.auth_token",
                                          "vobiz.auth_token"};
    const struct config_account *accounts[] = {&c->twilio, &c->plivo, &c->vobiz};

    for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
        struct yaml_node *node = schema_node(c->doc, secrets[i]);
        if (accounts[i]->secret[0] && !c->public_url[0])
            return config_complain(c->doc, node, why, why_bytes, "needs public_url beside it");
        if (accounts[i]->secret[0] && !accounts[i]->id[0])
            return config_complain(c->doc, node, why, why_bytes, "needs the account beside it");
    }
    return 0;
}

/* A certificate without its key, or the other way round. */
static int tls_check(struct config *c, const char *certificate, const char *key, const char *name,
                     char *why, size_t why_bytes)
{
    if (!certificate[0] == !key[0])
        return 0;
    return config_complain(c->doc, schema_node(c->doc, name), why, why_bytes,
                           "certificate and key belong together");
}

static int checks(struct config *c, char *why, size_t why_bytes)
{
    int err;

    struct yaml_node *token = schema_node(c->doc, "media.token_required");

    if (c->rtp_ports.last == c->rtp_ports.first)
        return config_complain(c->doc, schema_node(c->doc, "rtp.ports"), why, why_bytes,
                               "must hold at least two ports");
    if (c->media_token == CONFIG_TOKEN_NEVER && !c->media_bind.loopback)
        return config_complain(c->doc, token, why, why_bytes,
                               "\"never\" is only for a loopback media.bind");
    err = tls_check(c, c->api_certificate, c->api_key,
                    c->api_key[0] ? "api.tls_key" : "api.tls_certificate", why, why_bytes);
    if (!err)
        err =
            tls_check(c, c->media_certificate, c->media_key,
                      c->media_key[0] ? "media.tls_key" : "media.tls_certificate", why, why_bytes);
    if (!err)
        err = accounts_check(c, why, why_bytes);
    return err ? err : public_url_trim(c);
}

/* Takes the document. */
static int config_make(struct yaml_doc *doc, struct config **out, char *why, size_t why_bytes)
{
    struct config *c = yaml_doc_alloc(doc, sizeof(*c));
    int rc = -ENOMEM;

    if (c) {
        c->doc = doc;
        rc = schema_read(&config_schema, doc, c, why, why_bytes);
    }
    if (!rc)
        rc = checks(c, why, why_bytes);
    if (rc == -ENOMEM)
        snprintf(why, why_bytes, "%s: out of memory", yaml_doc_file(doc));
    if (rc)
        yaml_doc_free(&doc);
    *out = rc ? NULL : c;
    return rc;
}

int config_read(const char *file, struct slice text, const char *(*env)(const char *),
                struct config **out, char *why, size_t why_bytes)
{
    struct yaml_doc *doc;
    int rc = yaml_doc_read(file, text, env, &doc, why, why_bytes);

    *out = NULL;
    return rc ? rc : config_make(doc, out, why, why_bytes);
}

int config_load(const char *path, const char *(*env)(const char *), struct config **out, char *why,
                size_t why_bytes)
{
    struct yaml_doc *doc;

    if (!path)
        return config_read("embedded default", SLICE_NONE, env, out, why, why_bytes);
    int rc = yaml_doc_load(path, env, &doc, why, why_bytes);

    *out = NULL;
    return rc ? rc : config_make(doc, out, why, why_bytes);
}

void config_free(struct config **config)
{
    struct yaml_doc *doc = *config ? (*config)->doc : NULL;

    yaml_doc_free(&doc);
    *config = NULL;
}

bool config_token_needed(const struct config *config)
{
    if (config->media_token == CONFIG_TOKEN_AUTO)
        return !config->media_bind.loopback;
    return config->media_token == CONFIG_TOKEN_ALWAYS;
}

size_t config_journal_bytes(const struct config *config, uint32_t shards)
{
    size_t calls = (size_t)config->calls_max / shards + 1; /* no shard carries more */

    if (config->journal_mb)
        return (size_t)config->journal_mb << 20;
    calls = calls < JOURNAL_CALLS_MAX ? calls : JOURNAL_CALLS_MAX;
    size_t bytes = calls * JOURNAL_CALL_SHARE;

    return bytes > JOURNAL_DEFAULT_LEAST ? bytes : JOURNAL_DEFAULT_LEAST;
}

static bool texts_equal(const struct text_list *a, const struct text_list *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++)
        equal = !strcmp(a->at[i], b->at[i]);
    return equal;
}

const struct config_account *config_account(const struct config *config, const char *carrier)
{
    if (!strcmp(carrier, "twilio"))
        return &config->twilio;
    if (!strcmp(carrier, "plivo"))
        return &config->plivo;
    return strcmp(carrier, "vobiz") ? NULL : &config->vobiz;
}

static bool account_equal(const struct config_account *a, const struct config_account *b)
{
    return !strcmp(a->id, b->id) && !strcmp(a->secret, b->secret) && !strcmp(a->url, b->url) &&
           !strcmp(a->from, b->from);
}

static bool address_equal(const struct bind_address *a, const struct bind_address *b)
{
    return !strcmp(a->host, b->host) && a->port == b->port;
}

void config_restart_keys(const struct config *old, const struct config *next, char *out,
                         size_t out_bytes)
{
    const struct {
        const char *key;
        bool changed;
    } keys[] = {
        {"data_dir", strcmp(old->data_dir, next->data_dir) != 0},
        {"public_url", strcmp(old->public_url, next->public_url) != 0},
        {"agents", !texts_equal(&old->agents, &next->agents)},
        {"shards", old->shards != next->shards},
        {"calls_max", old->calls_max != next->calls_max},
        {"io", old->io != next->io},
        {"realtime", old->realtime != next->realtime},
        {"store", strcmp(old->store, next->store) != 0},
        {"api.bind", !address_equal(&old->api_bind, &next->api_bind)},
        {"media.bind", !address_equal(&old->media_bind, &next->media_bind)},
        {"media.token_required", old->media_token != next->media_token},
        {"rtp.bind", !address_equal(&old->rtp_bind, &next->rtp_bind)},
        {"rtp.ports", old->rtp_ports.first != next->rtp_ports.first ||
                          old->rtp_ports.last != next->rtp_ports.last},
        {"recording.enabled", old->recording_enabled != next->recording_enabled},
        {"recording.format", old->recording_format != next->recording_format},
        {"journal.region_mb", old->journal_mb != next->journal_mb},
        {"twilio", !account_equal(&old->twilio, &next->twilio)},
        {"plivo", !account_equal(&old->plivo, &next->plivo)},
        {"vobiz", !account_equal(&old->vobiz, &next->vobiz)},
        {"api.tls_certificate", strcmp(old->api_certificate, next->api_certificate) != 0},
        {"api.tls_key", strcmp(old->api_key, next->api_key) != 0},
        {"media.tls_certificate", strcmp(old->media_certificate, next->media_certificate) != 0},
        {"media.tls_key", strcmp(old->media_key, next->media_key) != 0},
        {"network.ca_file", strcmp(old->ca_file, next->ca_file) != 0},
        {"network.proxy", strcmp(old->proxy, next->proxy) != 0},
        {"network.allow_private", old->allow_private != next->allow_private},
    };
    struct builder b = builder_of(out, out_bytes - 1);

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].changed)
            builder_printf(&b, "%s%s", b.len ? ", " : "", keys[i].key);
    out[b.len] = '\0';
}

char *config_example(void)
{
    return schema_example(&config_schema);
}

char *config_markdown(void)
{
    return schema_markdown(&config_schema);
}
