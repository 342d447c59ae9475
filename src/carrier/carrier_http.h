/* The HTTP half of a carrier: the request by which it asks what to do with a call, the events that
 * follow, and the requests by which we place and end calls. One ops table per carrier, one line
 * each in carriers_http.def; the media half is carrier.h. Pure: requests in, texts out; whoever
 * owns the socket does the I/O and knows the clock. A request counts only after `verify` agreed,
 * which is always asked about the public URL, never about what the socket saw. Any thread.
 *
 *     carrier ── POST /twilio/voice ──▶ verify ─▶ read ─▶ answer ── XML with a media URL ──▶
 * carrier carrier ── POST /twilio/status ─▶ verify ─▶ read ─▶ the call's record we ── dial ──▶
 * request ──▶ carrier ── 201 ──▶ dialled: the call's id */
#ifndef CARRIER_CARRIER_HTTP_H
#define CARRIER_CARRIER_HTTP_H

#include "base/bytes.h"
#include "base/json.h"
#include "base/limits.h"
#include "carrier/carrier.h"

#define CARRIER_STATUS_BYTES 40

/* Our account at the carrier. A secret of "" means that none is configured: nothing verifies. */
struct carrier_account {
    const char *id;
    const char *secret;
    const char *url; /* of its REST API, without a final slash */
};

struct carrier_field { /* decoded */
    struct slice name;
    struct slice value;
};

/* A request of the carrier. Everything is borrowed. */
struct carrier_request {
    bool post;
    struct slice base;   /* "https://voice.example.com", from public_url, without a final slash */
    struct slice target; /* as received: "/twilio/voice?agent=a1" */
    struct slice what;   /* the path behind the carrier's name: "voice" */
    struct slice body;   /* raw */
    const struct carrier_field *fields; /* of the form */
    size_t field_count;                 /* at most HTTP_ARGS_MAX */
    const struct carrier_field *query;  /* of the target's */
    size_t query_count;                 /* at most HTTP_ARGS_MAX */
    struct slice signature;             /* values of the headers that the ops name */
    struct slice nonce;
};

enum carrier_notice_kind {
    CARRIER_ASKS,  /* a call is there: answer with XML */
    CARRIER_TELLS, /* something happened to a call: store it, answer with nothing */
};

/* What a verified request says. Texts are "" where the carrier does not say. */
struct carrier_notice {
    enum carrier_notice_kind kind;
    char call_id[CARRIER_ID_BYTES];
    char from[CARRIER_NUMBER_BYTES];
    char to[CARRIER_NUMBER_BYTES];
    bool outbound;
    char status[CARRIER_STATUS_BYTES]; /* TELLS: as the carrier writes it: "completed", "busy" */
    char cause[CARRIER_STATUS_BYTES];
    char event_id[CARRIER_ID_BYTES + CARRIER_STATUS_BYTES]; /* the same for the same event told
                                                               twice */
    int64_t duration_s;                                     /* -1: not told */
};

/* What to do with a call that asks. */
struct carrier_answer {
    const char *media_url; /* "wss://voice.example.com/media/a1"; NULL: refuse as busy */
    const char *token;     /* single use, for the media socket */
    const struct carrier_notice *news;
};

/* A request of ours, composed into the caller's builder: method, then one text after the other. */
struct carrier_rest {
    const char *method;
    struct slice url;
    struct slice head; /* header lines, each ended by CR LF: authorization and content type */
    struct slice body;
};

struct carrier_dial {
    const char *from;
    const char *to;
    const char *answer_url; /* public, of ours */
    const char *status_url;
    int32_t ring_s; /* 0: the carrier's own choice */
};

struct carrier_http_ops {
    const char *name; /* "twilio": the first part of its paths */
    const char *signature_header;
    const char *nonce_header; /* NULL: there is none */
    const char *xml_type;     /* Content-Type of an answer */
    const char *answer_path;  /* of ours, behind the name: where a call asks */
    const char *status_path;  /* and where its fate is told */

    /* Did the holder of the account's secret make this request? 0 or -EACCES; constant time in what
     * is secret. */
    int (*verify)(const struct carrier_account *account, const struct carrier_request *r);
    /* 0, or -EINVAL and *what: the request names no usable call. */
    int (*read)(const struct carrier_request *r, struct carrier_notice *news, const char **what);
    void (*answer)(const struct carrier_answer *a, struct builder *out);
    /* Compose into `out`, which the slices of *rest lie in. 0, or -EMSGSIZE. */
    int (*dial)(const struct carrier_account *account, const struct carrier_dial *dial,
                struct builder *out, struct carrier_rest *rest);
    int (*hang_up)(const struct carrier_account *account, const char *call_id, struct builder *out,
                   struct carrier_rest *rest);
    /* Reads the answer to dial: 0 and the call's id, or -EREMOTEIO and one sentence from the
     * carrier's own words. */
    int (*dialled)(uint16_t status, struct slice body, char *call_id, size_t id_bytes, char *why,
                   size_t why_bytes);
};

/* By name, NULL if there is none; the i-th of all, NULL beyond the last. */
const struct carrier_http_ops *carrier_http_named(struct slice name);
const struct carrier_http_ops *carrier_http_at(size_t i);

/* ---- for carriers ---- */
/* The form field's value, or the query's, empty when there is none. */
struct slice carrier_field_of(const struct carrier_request *r, const char *name);
/* Copies the field if it is there and plain enough (letters, digits, "+-_.:@ "); else "". */
void carrier_field_text(const struct carrier_request *r, const char *name, char *out,
                        size_t out_bytes);
/* Indices of the fields by name and value, bytewise. `order` has room for field_count. */
void carrier_field_sort(const struct carrier_field *fields, size_t count, uint8_t *order);
/* Text for XML: & < > " ' and control characters escaped or left out. */
void carrier_xml(struct builder *out, const char *text);
/* name=value of the form that began at out->at + begin: percent-encoded, '&' between two. */
void carrier_form(struct builder *out, size_t begin, const char *name, const char *value);
/* A request out of one builder: the URL up to url_end, header lines up to body_begin, the body. 0
 * or -EMSGSIZE. */
MUST_USE int carrier_rest_end(struct carrier_rest *rest, const char *method,
                              const struct builder *out, size_t url_end, size_t body_begin);
/* "Authorization: Basic ..." of the account, with CR LF. */
void carrier_basic(struct builder *out, const struct carrier_account *account);

#endif
