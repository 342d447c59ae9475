/* One client's connection: bytes off the socket become requests or WebSocket messages for a
 * service, and what the service answers waits here, piece by piece, until its time. Faults are
 * carried out here too, so no service knows of them. Everything runs on the one loop's thread; a
 * peer lives from accept to the closed socket and is never seen by another one.
 *
 *     socket ─▶ request / message ─▶ service ─▶ pieces with times ─▶ (fault) ─▶ socket
 *
 * A client that does not read is cut off at PEER_UNSENT_MAX; one whose service has queued more than
 * PEER_QUEUED_MAX likewise. */
#ifndef PROVIDERS_PEER_H
#define PROVIDERS_PEER_H

#include <uv.h>

#include "base/rand.h"
#include "net/websocket.h"
#include "tools/providers/diary.h"
#include "tools/providers/request.h"
#include "tools/providers/settings.h"

#define PEER_UNSENT_MAX  (64u << 20)
#define PEER_QUEUED_MAX  (256u << 20)
#define PEER_MESSAGE_MAX (1u << 20) /* of a WebSocket message from a client; beyond: 1009 */
#define PEER_SHARED_TAG  0          /* pieces that peer_cancel() never drops */

struct peer;

/* What a service is: a row in service.c. All functions but `begin` may be NULL. */
struct service {
    const char *name;
    const char *method; /* of a request; a WebSocket is a "GET" */
    const char *path;   /* "{}" stands for any one segment */
    bool socket;
    bool open;          /* needs no key */
    bool bare_key;      /* which is all of the authorization header, or `token` in the query */
    size_t state_bytes; /* of p->state, zeroed for each request */
    /* The request is whole, or the upgrade is about to be answered: then 0 lets it through, and a
     * status after peer_refuse()'s fashion refuses it with *what. */
    uint16_t (*check)(struct peer *p, const char **what);
    void (*begin)(struct peer *p);
    void (*message)(struct peer *p, bool text, struct slice data);
    /* The time asked for by peer_wake() has come. */
    void (*wake)(struct peer *p);
    /* Frees what the state holds. */
    void (*end)(struct peer *p);
    /* The vendor's own body of an error (NULL: "error" says it), and an error in mid-answer as
     * pieces. */
    void (*error_body)(struct peer *p, uint16_t status, const char *what, struct jsonw *w);
    void (*trouble)(struct peer *p);
};

/* All that the connections share. Owned by main. */
struct server {
    uv_loop_t *loop;
    const struct settings *settings;
    struct diary diary;
    struct rand chance;
    uv_tcp_t listener;
    struct peer *peers;
    uint64_t peer_count, peers_ever;
    uint64_t requests[32];          /* of each service */
    uint64_t connections;           /* that listened: each takes the next hearing script */
    size_t heard[SETTINGS_SCRIPTS]; /* lines given, where they are counted by server */
    size_t answered;                /* answers given in order */
    uint64_t ids;
    bool stopping;
};

enum piece_kind {
    PIECE_PLAIN, /* no content: a head, a handshake, a frame of control */
    PIECE_CONTENT,
    PIECE_LAST,   /* the answer is complete; the next request may come */
    PIECE_FINISH, /* the same, and the connection ends */
};

struct piece {
    struct piece *next;
    int64_t due_ns;
    uint32_t tag;
    enum piece_kind kind;
    size_t len, sent;
    uv_write_t write;
    uint8_t bytes[];
};

enum peer_state { PEER_READING, PEER_ANSWERING, PEER_SOCKET, PEER_LEAVING };

struct peer {
    struct server *server;
    struct peer *next, *previous;
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned handles; /* of libuv, still open */
    uint64_t id;
    enum peer_state state;
    bool continued;      /* "100 Continue" was sent */
    int64_t leave_by_ns; /* LEAVING: then the socket is closed in any case */
    uint8_t *in;
    size_t in_len, in_size;
    struct request request;
    struct ws ws;
    uint8_t *message;
    /* the request that is on it */
    const struct service *service;
    void *context; /* the service's state */
    uint64_t number;
    char request_id[32];
    char key[128]; /* what the client showed, never logged */
    bool chunked;  /* the answer is being streamed */
    bool close_after;
    /* pieces to come */
    struct piece *head, *tail;
    size_t queued;
    int64_t wake_ns;
    uint64_t bytes_out;
    /* what goes wrong */
    const struct fault *fault;
    uint64_t content_sent;
    bool mute;          /* nothing more is sent */
    bool endless;       /* the same piece is being sent again and again */
    int64_t late_ns;    /* everything is sent so much later */
    uint64_t drip_bps;  /* bytes a second, 0: as fast as it goes */
    uint64_t fill_left; /* bytes of a huge message still to be sent */
};

/* From the listener. */
void peer_accept(struct server *server);
/* All of them, at the end. */
void peer_close_all(struct server *server);

/* ---- for services ---- */
int64_t peer_now(const struct peer *p);
int64_t peer_draw(struct peer *p, const struct delay *d);
/* Calls the service's wake() at this time; NEVER_NS: not any more. */
void peer_wake(struct peer *p, int64_t at_ns);
/* A line in the log, see diary.h; the caller ends it. */
struct jsonw *peer_note(struct peer *p, const char *event);
void peer_note_text(struct peer *p, const char *event, struct slice text);

/* WebSocket messages. A tag names what peer_cancel() drops while it has not been sent. */
void peer_text(struct peer *p, int64_t due_ns, uint32_t tag, struct slice json);
void peer_binary(struct peer *p, int64_t due_ns, uint32_t tag, struct slice data);
void peer_close_socket(struct peer *p, int64_t due_ns, uint16_t code, const char *reason);

/* HTTP: a whole answer; or a head, pieces and the end. `headers` are whole lines or "". */
void peer_answer(struct peer *p, int64_t due_ns, uint16_t status, const char *type,
                 const char *headers, struct slice body);
void peer_stream(struct peer *p, int64_t due_ns, const char *type, const char *headers);
void peer_piece(struct peer *p, int64_t due_ns, struct slice data);
void peer_finish(struct peer *p, int64_t due_ns);
/* The vendor's error, as a whole answer. */
void peer_refuse(struct peer *p, int64_t due_ns, uint16_t status, const char *what);
/* What a service says in mid-answer, message or event: peer_text() or peer_piece(). */
void peer_say(struct peer *p, int64_t due_ns, uint32_t tag, struct slice data);

/* Drops what is queued under this tag; true when there was something. */
bool peer_cancel(struct peer *p, uint32_t tag);
/* When the last piece under this tag is due; -1 when there is none. */
int64_t peer_last_due(const struct peer *p, uint32_t tag);

#endif
