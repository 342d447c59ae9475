/* The sending half of a peer: pieces, their times, and what goes wrong with them. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "net/http_head.h"
#include "tools/providers/peer_inner.h"

#define SLACK_NS      (NS_PER_MS / 2)
#define FILL_BYTES    65536
#define FILL_AHEAD    (4 * FILL_BYTES)
#define NOISE_BYTES   64
#define ENDLESS_NS    MS(10)
#define DRIP_TICKS    10 /* a second */
#define HEADERS_BYTES 1024
#define ERROR_BYTES   4096

/* ---- the queue ---- */

/* Behind all that is due no later, but never before what is already half on its way. */
static void piece_insert(struct peer *p, struct piece *x)
{
    struct piece *before = p->head && p->head->sent ? p->head : NULL;

    if (p->tail && p->tail->due_ns <= x->due_ns)
        before = p->tail;
    else
        while ((before ? before->next : p->head) &&
               (before ? before->next : p->head)->due_ns <= x->due_ns)
            before = before ? before->next : p->head;
    x->next = before ? before->next : p->head;
    if (before)
        before->next = x;
    else
        p->head = x;
    if (!x->next)
        p->tail = x;
    p->queued += x->len;
}

static struct piece *piece_take(struct peer *p, struct piece *before)
{
    struct piece *x = before ? before->next : p->head;

    if (before)
        before->next = x->next;
    else
        p->head = x->next;
    if (p->tail == x)
        p->tail = before;
    p->queued -= x->len;
    return x;
}

void peer_drop(struct peer *p, struct piece *before)
{
    free(piece_take(p, before));
}

void peer_put(struct peer *p, int64_t due_ns, uint32_t tag, enum piece_kind kind, struct slice head,
              struct slice body)
{
    size_t len = head.len + body.len;
    struct piece *x;

    if (p->state == PEER_LEAVING || uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    if (p->queued + len > PEER_QUEUED_MAX) {
        /* Its service is at work on it right now: the timer closes it. */
        p->state = PEER_LEAVING;
        p->leave_by_ns = 0;
        peer_arm(p);
        return;
    }
    x = malloc(sizeof(*x) + len);
    if (!x)
        abort();
    *x = (struct piece){.due_ns = due_ns, .tag = tag, .kind = kind, .len = len};
    if (head.len)
        memcpy(x->bytes, head.at, head.len);
    if (body.len)
        memcpy(x->bytes + head.len, body.at, body.len);
    piece_insert(p, x);
    peer_arm(p);
}

bool peer_cancel(struct peer *p, uint32_t tag)
{
    struct piece *before = p->head && p->head->sent ? p->head : NULL;
    bool any = false;

    while (before ? before->next : p->head) {
        struct piece *x = before ? before->next : p->head;
        if (x->tag != tag) {
            before = x;
            continue;
        }
        any = true;
        peer_drop(p, before);
    }
    return any;
}

int64_t peer_last_due(const struct peer *p, uint32_t tag)
{
    int64_t due = -1;

    for (const struct piece *x = p->head; x; x = x->next)
        if (x->tag == tag)
            due = x->due_ns;
    return due;
}

/* ---- faults ---- */

static void note_fault(struct peer *p)
{
    jsonw_put_cstr(peer_note(p, "fault"), "fault", fault_name(p->fault->kind));
    diary_end(&p->server->diary);
}

static void raw_write(struct peer *p, struct slice bytes)
{
    uv_buf_t out = uv_buf_init((char *)bytes.at, (unsigned)bytes.len);

    if (uv_try_write((uv_stream_t *)&p->tcp, &out, 1) < 0)
        peer_gone(p);
}

static void noise_write(struct peer *p)
{
    uint8_t noise[NOISE_BYTES];

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)rand_u64(&p->server->chance);
    noise[0] = 0xFF; /* no frame and no line of HTTP begins so */
    raw_write(p, slice_of(noise, sizeof(noise)));
}

static void early_end(struct peer *p, bool politely)
{
    uint8_t store[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(store, sizeof(store));

    if (politely && p->state == PEER_SOCKET) {
        ws_encode_close(&b, WS_SERVER, (uint16_t)p->fault->number, SLICE("as told to"), 0);
        raw_write(p, builder_slice(&b));
    }
    peer_leave(p);
}

bool fault_begin(struct peer *p)
{
    const struct fault *f = p->fault;

    if (f->kind == FAULT_LATE) {
        note_fault(p);
        p->late_ns = MS(f->number);
        p->fault = NULL;
        return false;
    }
    if (f->after != FAULT_AT_ONCE)
        return false;
    note_fault(p);
    if (f->kind == FAULT_STATUS)
        return false; /* the refusal is on its way */
    p->fault = NULL;
    switch (f->kind) {
    case FAULT_RESET:
        peer_reset(p);
        return true;
    case FAULT_CLOSE:
    case FAULT_VANISH:
        p->fault = f;
        early_end(p, f->kind == FAULT_CLOSE);
        return true;
    case FAULT_NOISE:
        noise_write(p);
        peer_leave(p);
        return true;
    case FAULT_SILENCE:
        p->mute = true;
        return false;
    case FAULT_STATUS:
    case FAULT_GARBAGE:
    case FAULT_UTF8:
    case FAULT_HUGE:
    case FAULT_ENDLESS:
    case FAULT_DRIP:
    case FAULT_LATE:
    case FAULT_ERROR:
        break;
    }
    return false;
}

/* A frame or a chunk around `body`, in front of everything else. */
static void slip_in(struct peer *p, struct slice body)
{
    uint8_t store[WS_FRAME_HEAD_MAX + 256];
    struct builder b = builder_of(store, sizeof(store));

    if (p->state == PEER_SOCKET)
        ws_encode(&b, WS_SERVER, WS_OP_TEXT, body, 0);
    else
        builder_printf(&b, "%zx\r\n%.*s\r\n", body.len, SLICE_ARG(body));
    raw_write(p, builder_slice(&b));
}

/* The head of a message or of a chunk that holds one line of `number` bytes. */
static void fill_begin(struct peer *p, uint64_t bytes)
{
    uint8_t store[64];
    struct builder b = builder_of(store, sizeof(store));

    if (p->state == PEER_SOCKET) {
        builder_u8(&b, 0x81); /* text, whole */
        builder_u8(&b, 127);
        builder_u64(&b, bytes);
    } else {
        builder_printf(&b, "%" PRIx64 "\r\n", bytes + 2);
    }
    raw_write(p, builder_slice(&b));
    p->fill_left = bytes;
}

static void on_filled(uv_write_t *write, int status)
{
    struct peer *p = write->data;

    free(write);
    if (status < 0)
        peer_gone(p);
    else if (!uv_is_closing((uv_handle_t *)&p->tcp))
        peer_flush(p);
}

static void fill(struct peer *p)
{
    static char line[FILL_BYTES];

    memset(line, 'x', sizeof(line));
    while (p->fill_left && uv_stream_get_write_queue_size((uv_stream_t *)&p->tcp) < FILL_AHEAD) {
        size_t n = p->fill_left < FILL_BYTES ? (size_t)p->fill_left : FILL_BYTES;
        uv_buf_t out = uv_buf_init(line, (unsigned)n);
        uv_write_t *write = malloc(sizeof(*write));
        if (!write)
            abort();
        write->data = p;
        p->fill_left -= n;
        if (uv_write(write, (uv_stream_t *)&p->tcp, &out, 1, on_filled) < 0) {
            free(write);
            peer_gone(p);
            return;
        }
        if (p->fill_left == 0 && p->state != PEER_SOCKET)
            peer_put(p, 0, PEER_SHARED_TAG, PIECE_PLAIN, SLICE("\n\n\r\n"), SLICE_NONE);
    }
}

/* In mid-answer; true when the piece at the head is not to be sent now. */
static bool fault_happens(struct peer *p)
{
    const struct fault *f = p->fault;
    struct piece *x = p->head;

    if (x->kind == PIECE_PLAIN || !f || p->content_sent < (uint64_t)f->after)
        return false;
    if (f->kind == FAULT_ENDLESS) {
        if (!p->endless)
            note_fault(p);
        p->endless = true;
        raw_write(p, slice_of(x->bytes, x->len));
        x->due_ns = peer_now(p) + ENDLESS_NS;
        return true;
    }
    note_fault(p);
    p->fault = NULL;
    switch (f->kind) {
    case FAULT_RESET:
        peer_reset(p);
        return true;
    case FAULT_CLOSE:
    case FAULT_VANISH:
        p->fault = f;
        early_end(p, f->kind == FAULT_CLOSE);
        return true;
    case FAULT_SILENCE:
        p->mute = true;
        return false;
    case FAULT_GARBAGE:
        slip_in(p, SLICE("data: {\"type\": [,}}\x01 \"Results\" 3 ,,\n\n"));
        return false;
    case FAULT_UTF8:
        slip_in(p, SLICE("data: {\"type\":\"\xC3\x28\xFF\xFE\"}\n\n"));
        return false;
    case FAULT_NOISE:
        noise_write(p);
        return false;
    case FAULT_HUGE:
        fill_begin(p, f->number);
        return true;
    case FAULT_DRIP:
        p->drip_bps = f->number;
        return false;
    case FAULT_ERROR:
        while (p->head)
            peer_drop(p, NULL);
        if (p->service->trouble)
            p->service->trouble(p);
        return true;
    case FAULT_STATUS:
    case FAULT_ENDLESS:
    case FAULT_LATE:
        break;
    }
    return false;
}

/* ---- sending ---- */

static void piece_over(struct peer *p, enum piece_kind kind)
{
    if (kind == PIECE_LAST)
        peer_next(p);
    else if (kind == PIECE_FINISH)
        peer_leave(p);
}

static void on_written(uv_write_t *write, int status)
{
    struct piece *x = (struct piece *)((char *)write - offsetof(struct piece, write));
    struct peer *p = write->data;
    enum piece_kind kind = x->kind;

    free(x);
    if (uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    if (status < 0)
        peer_gone(p);
    else if (p->state != PEER_LEAVING)
        piece_over(p, kind);
    if (!uv_is_closing((uv_handle_t *)&p->tcp))
        peer_flush(p);
}

/* A few bytes of the head; it stays there until all of it has gone. */
static void drip(struct peer *p, int64_t now)
{
    struct piece *x = p->head;
    uint64_t ticks = p->drip_bps < DRIP_TICKS ? p->drip_bps : DRIP_TICKS;
    size_t n = (size_t)(p->drip_bps / ticks);

    n = n < x->len - x->sent ? n : x->len - x->sent;
    raw_write(p, slice_of(x->bytes + x->sent, n));
    x->sent += n;
    p->bytes_out += n;
    x->due_ns = now - p->late_ns + NS_PER_S / (int64_t)ticks;
    if (x->sent < x->len || uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    enum piece_kind kind = x->kind;
    peer_drop(p, NULL);
    p->content_sent += kind != PIECE_PLAIN;
    piece_over(p, kind);
}

/* What an event stream says goes in as text; of a socket's messages, which may be sound, the time
 * and the size are enough. */
static void note_sent(struct peer *p, const struct piece *x)
{
    struct slice text, chunk = slice_of(x->bytes, x->len);
    struct jsonw *w = peer_note(p, "sent");

    jsonw_key(w, "due_ms");
    jsonw_double(w, (double)(x->due_ns + p->late_ns) / 1e6, 3);
    jsonw_put_int(w, "bytes", (int64_t)x->len);
    slice_cut(chunk, '\n', &text); /* its length */
    if (p->state != PEER_SOCKET && slice_starts(text, SLICE("data: ")))
        diary_text(&p->server->diary, "text", slice_trim(text));
    diary_end(&p->server->diary);
}

static void piece_send(struct peer *p)
{
    struct piece *x = piece_take(p, NULL);
    uv_buf_t out = uv_buf_init((char *)x->bytes, (unsigned)x->len);

    p->content_sent += x->kind != PIECE_PLAIN;
    p->bytes_out += x->len;
    if (p->server->settings->log_sent && x->kind == PIECE_CONTENT)
        note_sent(p, x);
    x->write.data = p;
    if (uv_write(&x->write, (uv_stream_t *)&p->tcp, &out, 1, on_written) < 0) {
        free(x);
        peer_gone(p);
        return;
    }
    if (uv_stream_get_write_queue_size((uv_stream_t *)&p->tcp) > PEER_UNSENT_MAX)
        peer_reset(p);
}

static bool head_due(const struct peer *p, int64_t now)
{
    return p->head && !p->fill_left && p->state != PEER_LEAVING &&
           !uv_is_closing((uv_handle_t *)&p->tcp) && p->head->due_ns + p->late_ns <= now + SLACK_NS;
}

void peer_flush(struct peer *p)
{
    int64_t now = peer_now(p);

    if (p->fill_left)
        fill(p);
    while (head_due(p, now)) {
        if (p->mute)
            peer_drop(p, NULL);
        else if (p->head->sent == 0 && fault_happens(p))
            break;
        else if (p->mute)
            continue;
        else if (p->drip_bps)
            drip(p, now);
        else
            piece_send(p);
    }
    if (uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    if (p->fill_left)
        fill(p);
    peer_arm(p);
}

/* ---- for services ---- */

static void frame_put(struct peer *p, int64_t due_ns, uint32_t tag, enum ws_opcode op,
                      struct slice payload)
{
    uint8_t store[WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(store, sizeof(store));

    builder_u8(&b, (uint8_t)(0x80 | op));
    if (payload.len < 126) {
        builder_u8(&b, (uint8_t)payload.len);
    } else if (payload.len < 65536) {
        builder_u8(&b, 126);
        builder_u16(&b, (uint16_t)payload.len);
    } else {
        builder_u8(&b, 127);
        builder_u64(&b, payload.len);
    }
    peer_put(p, due_ns, tag, PIECE_CONTENT, builder_slice(&b), payload);
}

void peer_text(struct peer *p, int64_t due_ns, uint32_t tag, struct slice json)
{
    frame_put(p, due_ns, tag, WS_OP_TEXT, json);
}

void peer_binary(struct peer *p, int64_t due_ns, uint32_t tag, struct slice data)
{
    frame_put(p, due_ns, tag, WS_OP_BINARY, data);
}

void peer_close_socket(struct peer *p, int64_t due_ns, uint16_t code, const char *reason)
{
    uint8_t store[WS_CONTROL_MAX + WS_FRAME_HEAD_MAX];
    struct builder b = builder_of(store, sizeof(store));

    ws_encode_close(&b, WS_SERVER, code, slice_str(reason), 0);
    peer_put(p, due_ns, PEER_SHARED_TAG, PIECE_FINISH, builder_slice(&b), SLICE_NONE);
}

static void head_put(struct peer *p, int64_t due_ns, uint16_t status, const char *type,
                     const char *headers, const char *framing)
{
    uint8_t store[HEADERS_BYTES];
    struct builder b = builder_of(store, sizeof(store));

    builder_printf(&b, "HTTP/1.1 %u %s\r\ncontent-type: %s\r\n%s%s", status,
                   http_status_text(status), type, headers, framing);
    if (p->request_id[0])
        builder_printf(&b, "x-request-id: %s\r\nrequest-id: %s\r\n", p->request_id, p->request_id);
    builder_printf(&b, "connection: %s\r\n\r\n", p->close_after ? "close" : "keep-alive");
    peer_put(p, due_ns, PEER_SHARED_TAG, PIECE_PLAIN, builder_slice(&b), SLICE_NONE);
}

void peer_stream(struct peer *p, int64_t due_ns, const char *type, const char *headers)
{
    head_put(p, due_ns, 200, type, headers, "transfer-encoding: chunked\r\n");
}

void peer_piece(struct peer *p, int64_t due_ns, struct slice data)
{
    uint8_t *store;
    struct builder b;

    if (data.len == 0)
        return;
    store = malloc(data.len + 32);
    if (!store)
        abort();
    b = builder_of(store, data.len + 32);
    builder_printf(&b, "%zx\r\n", data.len);
    builder_slice_add(&b, data);
    builder_str(&b, "\r\n");
    peer_put(p, due_ns, PEER_SHARED_TAG, PIECE_CONTENT, builder_slice(&b), SLICE_NONE);
    free(store);
}

void peer_finish(struct peer *p, int64_t due_ns)
{
    peer_put(p, due_ns, PEER_SHARED_TAG, PIECE_LAST, SLICE("0\r\n\r\n"), SLICE_NONE);
}

/* With a length, unless a fault is going to change it. */
void peer_answer(struct peer *p, int64_t due_ns, uint16_t status, const char *type,
                 const char *headers, struct slice body)
{
    char framing[64];

    if (p->fault && p->fault->kind != FAULT_STATUS && status == 200) {
        peer_stream(p, due_ns, type, headers);
        peer_piece(p, due_ns, body);
        peer_finish(p, due_ns);
        return;
    }
    snprintf(framing, sizeof(framing), "content-length: %zu\r\n", body.len);
    head_put(p, due_ns, status, type, headers, framing);
    peer_put(p, due_ns, PEER_SHARED_TAG, PIECE_LAST, body, SLICE_NONE);
}

void peer_say(struct peer *p, int64_t due_ns, uint32_t tag, struct slice data)
{
    if (p->state == PEER_SOCKET)
        peer_text(p, due_ns, tag, data);
    else
        peer_piece(p, due_ns, data);
}

void peer_refuse(struct peer *p, int64_t due_ns, uint16_t status, const char *what)
{
    uint8_t store[ERROR_BYTES];
    char headers[256];
    struct builder b = builder_of(store, sizeof(store)), h = builder_of(headers, 255);
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_begin(&w);
    if (p->service && p->service->error_body)
        p->service->error_body(p, status, what, &w);
    else if (p->service)
        jsonw_put_cstr(&w, "error", what);
    jsonw_end(&w);
    if (p->fault && p->fault->kind == FAULT_STATUS && p->fault->retry_after >= 0)
        builder_printf(&h, "retry-after: %lld\r\n", (long long)p->fault->retry_after);
    if (p->service && strncmp(p->service->name, "deepgram.", 9) == 0)
        builder_printf(&h, "dg-error: %s\r\ndg-request-id: %s\r\n", what, p->request_id);
    headers[h.len] = '\0';
    if (p->fault && p->fault->kind == FAULT_STATUS)
        note_fault(p);
    peer_answer(p, due_ns, status, "application/json", headers, builder_slice(&b));
}
