#include "net/websocket.h"

void ws_init(struct ws *w, enum ws_role role, uint8_t takes, void *buffer, size_t size)
{
    memset(w, 0, sizeof(*w));
    w->role = role;
    w->takes = takes;
    w->buffer = buffer;
    w->size = size;
}

/* ---- masking ---- */

void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase)
{
    uint8_t turned[8];
    uint64_t key, w[4];
    size_t i = 0;

    for (size_t k = 0; k < sizeof(turned); k++)
        turned[k] = mask[(phase + k) & 3];
    memcpy(&key, turned, sizeof(key));
    for (; len - i >= sizeof(w); i += sizeof(w)) {
        memcpy(w, src + i, sizeof(w));
        for (size_t k = 0; k < 4; k++)
            w[k] ^= key;
        memcpy(dst + i, w, sizeof(w));
    }
    for (; len - i >= sizeof(key); i += sizeof(key)) {
        memcpy(w, src + i, sizeof(key));
        w[0] ^= key;
        memcpy(dst + i, w, sizeof(key));
    }
    for (; i < len; i++)
        dst[i] = src[i] ^ turned[i & 7];
}

/* ---- decoding ---- */

static bool is_control(uint8_t opcode)
{
    return opcode & 8;
}

static bool bad(struct ws *w, struct ws_event *ev, uint16_t code, const char *what)
{
    w->done = true;
    *ev = (struct ws_event){.kind = WS_BAD, .code = code, .what = what};
    return false;
}

static void skip(struct slice *in, size_t n)
{
    if (n) /* the empty slice may be a null pointer */
        *in = slice_of(in->at + n, in->len - n);
}

/* Length of the frame head, as far as what is there of it says. */
static size_t head_need(const struct ws *w)
{
    if (w->head_len < 2)
        return 2;
    uint8_t length = w->head[1] & 0x7F;
    return 2u + (length == 126 ? 2u : length == 127 ? 8u : 0u) + (w->head[1] & 0x80 ? 4u : 0u);
}

/* The rules that the first two bytes can break (RFC 6455 sections 5.1, 5.2, 5.4, 5.5). */
static bool check_first(struct ws *w, struct ws_event *ev)
{
    uint8_t opcode = w->head[0] & 0x0F, length = w->head[1] & 0x7F;
    bool last = w->head[0] & 0x80, masked = w->head[1] & 0x80;

    if (w->head[0] & 0x70)
        return bad(w, ev, WS_CLOSE_PROTOCOL, "reserved bit set without an extension");
    if (masked != (w->role == WS_SERVER))
        return bad(w, ev, WS_CLOSE_PROTOCOL,
                   masked ? "masked frame from a server" : "unmasked frame from a client");
    if (is_control(opcode)) {
        if (opcode > WS_OP_PONG)
            return bad(w, ev, WS_CLOSE_PROTOCOL, "unknown control frame");
        if (!last)
            return bad(w, ev, WS_CLOSE_PROTOCOL, "fragmented control frame");
        if (length > WS_CONTROL_MAX)
            return bad(w, ev, WS_CLOSE_PROTOCOL, "control frame above 125 bytes");
        return true;
    }
    if (opcode > WS_OP_BINARY)
        return bad(w, ev, WS_CLOSE_PROTOCOL, "unknown data frame");
    if (opcode == WS_OP_MORE && !w->message)
        return bad(w, ev, WS_CLOSE_PROTOCOL, "continuation of nothing");
    if (opcode != WS_OP_MORE && w->message)
        return bad(w, ev, WS_CLOSE_PROTOCOL, "new message inside a fragmented one");
    if (opcode == WS_OP_TEXT && !(w->takes & WS_TAKES_TEXT))
        return bad(w, ev, WS_CLOSE_TYPE, "text message where only binary is taken");
    if (opcode == WS_OP_BINARY && !(w->takes & WS_TAKES_BINARY))
        return bad(w, ev, WS_CLOSE_TYPE, "binary message where only text is taken");
    return true;
}

static bool check_length(struct ws *w, struct ws_event *ev)
{
    uint8_t form = w->head[1] & 0x7F;

    if (w->left >> 63)
        return bad(w, ev, WS_CLOSE_PROTOCOL, "frame length beyond 63 bits");
    if ((form == 126 && w->left < 126) || (form == 127 && w->left <= 0xFFFF))
        return bad(w, ev, WS_CLOSE_PROTOCOL, "frame length not in its shortest form");
    if (!is_control(w->opcode) && w->left > w->size - w->len)
        return bad(w, ev, WS_CLOSE_TOO_BIG, "message too big");
    return true;
}

/* A complete and legal head becomes the frame being received. */
static bool open_frame(struct ws *w, struct ws_event *ev)
{
    struct reader r = reader_of(slice_of(w->head, w->head_len));

    reader_u8(&r);
    uint8_t form = reader_u8(&r) & 0x7F;
    w->opcode = w->head[0] & 0x0F;
    w->last = w->head[0] & 0x80;
    w->left = form == 126 ? reader_u16(&r) : form == 127 ? reader_u64(&r) : form;
    memset(w->mask, 0, sizeof(w->mask));
    if (w->head[1] & 0x80)
        memcpy(w->mask, w->head + w->head_len - 4, 4);
    w->mask_at = 0;
    w->head_len = 0;
    w->control_len = 0;
    if (!check_length(w, ev))
        return false;
    if (w->opcode == WS_OP_TEXT || w->opcode == WS_OP_BINARY) {
        w->message = w->opcode;
        w->utf8 = (struct utf8){0};
    }
    w->in_frame = true;
    return true;
}

/* True once a frame is open; false: more input is wanted, or *ev says what was wrong. */
static bool take_head(struct ws *w, struct slice *in, struct ws_event *ev)
{
    for (;;) {
        size_t want = head_need(w) - w->head_len;
        size_t n = want < in->len ? want : in->len;
        if (n)
            memcpy(w->head + w->head_len, in->at, n);
        w->head_len = (uint8_t)(w->head_len + n);
        skip(in, n);
        if (n < want)
            return false;
        if (w->head_len == 2 && !check_first(w, ev))
            return false;
        if (w->head_len == head_need(w))
            return open_frame(w, ev);
    }
}

static bool close_code_valid(uint16_t code)
{
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != WS_CLOSE_NONE &&
           code != WS_CLOSE_ABNORMAL;
}

static void give_close(struct ws *w, struct slice payload, struct ws_event *ev)
{
    struct reader r = reader_of(payload);
    struct utf8 utf8 = {0};

    w->done = true;
    if (payload.len == 0) {
        *ev = (struct ws_event){.kind = WS_CLOSE, .code = WS_CLOSE_NONE};
        return;
    }
    uint16_t code = reader_u16(&r);
    if (r.bad || !close_code_valid(code)) {
        bad(w, ev, WS_CLOSE_PROTOCOL, "close frame with an invalid code");
        return;
    }
    struct slice reason = reader_take(&r, reader_left(&r));
    if (!utf8_feed(&utf8, reason) || !utf8_whole(&utf8)) {
        bad(w, ev, WS_CLOSE_BAD_TEXT, "close reason is not UTF-8");
        return;
    }
    *ev = (struct ws_event){.kind = WS_CLOSE, .code = code, .data = reason};
}

static void give_control(struct ws *w, struct slice payload, struct ws_event *ev)
{
    w->in_frame = false;
    if (w->opcode == WS_OP_CLOSE)
        give_close(w, payload, ev);
    else
        *ev =
            (struct ws_event){.kind = w->opcode == WS_OP_PING ? WS_PING : WS_PONG, .data = payload};
}

static void take_control(struct ws *w, struct slice piece, struct ws_event *ev)
{
    if (piece.len)
        ws_mask(w->control + w->control_len, piece.at, piece.len, w->mask, w->mask_at);
    w->control_len = (uint8_t)(w->control_len + piece.len);
    w->mask_at = (uint8_t)((w->mask_at + piece.len) & 3);
    if (w->left == 0)
        give_control(w, slice_of(w->control, w->control_len), ev);
}

/* Unmasks the piece: where it lies if it is a whole message, else behind what is in the buffer. */
static struct slice unmask(struct ws *w, struct slice piece, bool whole)
{
    uint8_t *to = w->buffer + w->len;

    if (whole && w->role == WS_CLIENT)
        return piece;
    if (whole)
        to = (uint8_t *)(uintptr_t)piece.at; /* ws_decode demands writable input */
    if (piece.len)
        ws_mask(to, piece.at, piece.len, w->mask, w->mask_at);
    w->mask_at = (uint8_t)((w->mask_at + piece.len) & 3);
    return slice_of(to, piece.len);
}

/* `from_start`: the piece begins where its frame's payload begins. */
static void take_data(struct ws *w, struct slice piece, bool from_start, struct ws_event *ev)
{
    bool whole = from_start && w->left == 0 && w->last && w->opcode != WS_OP_MORE;
    struct slice text = unmask(w, piece, whole);

    if (w->message == WS_OP_TEXT && !utf8_feed(&w->utf8, text)) {
        bad(w, ev, WS_CLOSE_BAD_TEXT, "text is not UTF-8");
        return;
    }
    if (!whole)
        w->len += piece.len;
    if (w->left)
        return;
    w->in_frame = false;
    if (!w->last)
        return;
    if (w->message == WS_OP_TEXT && !utf8_whole(&w->utf8)) {
        bad(w, ev, WS_CLOSE_BAD_TEXT, "text ends inside a character");
        return;
    }
    *ev = (struct ws_event){.kind = w->message == WS_OP_TEXT ? WS_TEXT : WS_BINARY,
                            .data = whole ? text : slice_of(w->buffer, w->len)};
    w->message = 0;
    w->len = 0;
}

static void take_payload(struct ws *w, struct slice *in, bool from_start, struct ws_event *ev)
{
    size_t n = w->left < in->len ? (size_t)w->left : in->len;
    struct slice piece = slice_of(in->at, n);

    skip(in, n);
    w->left -= n;
    if (is_control(w->opcode))
        take_control(w, piece, ev);
    else
        take_data(w, piece, from_start, ev);
}

bool ws_gathers(const struct ws *w)
{
    return !w->done && (w->in_frame || w->head_len || w->message);
}

/* Length of the whole frame, unfragmented, that the input begins with; 0 if it is none. */
static size_t whole_frame(struct slice in)
{
    struct reader r = reader_of(in);
    uint8_t first = reader_u8(&r), second = reader_u8(&r);
    uint8_t form = second & 0x7F;
    uint64_t len = form == 126 ? reader_u16(&r) : form == 127 ? reader_u64(&r) : form;

    if (second & 0x80)
        reader_u32(&r);
    if (r.bad || !(first & 0x80) || (first & 0x0F) == WS_OP_MORE || len > reader_left(&r))
        return 0;
    return in.len - reader_left(&r) + (size_t)len;
}

bool ws_wants_buffer(const struct ws *w, struct slice in)
{
    if (w->done)
        return false;
    if (ws_gathers(w))
        return true;
    while (in.len) {
        size_t len = whole_frame(in);
        if (len == 0)
            return true;
        skip(&in, len);
    }
    return false;
}

void ws_decode(struct ws *w, struct slice *in, struct ws_event *ev)
{
    *ev = (struct ws_event){.kind = WS_MORE};
    while (!w->done && ev->kind == WS_MORE) {
        bool from_start = !w->in_frame;
        if (from_start && !take_head(w, in, ev))
            break;
        take_payload(w, in, from_start, ev);
        if (w->in_frame)
            break; /* the input ended inside the frame */
    }
    if (w->done)
        skip(in, in->len);
}

/* ---- encoding ---- */

static size_t head_put(uint8_t head[WS_FRAME_HEAD_MAX], size_t len, enum ws_role role,
                       enum ws_opcode op, uint32_t mask_key)
{
    struct builder b = builder_of(head, WS_FRAME_HEAD_MAX);
    uint8_t masked = role == WS_CLIENT ? 0x80 : 0;

    builder_u8(&b, (uint8_t)(0x80u | op));
    if (len < 126) {
        builder_u8(&b, (uint8_t)(masked | len));
    } else if (len <= 0xFFFF) {
        builder_u8(&b, masked | 126);
        builder_u16(&b, (uint16_t)len);
    } else {
        builder_u8(&b, masked | 127);
        builder_u64(&b, len);
    }
    if (masked)
        builder_u32(&b, mask_key);
    return b.len;
}

void ws_encode(struct builder *b, enum ws_role role, enum ws_opcode op, struct slice payload,
               uint32_t mask_key)
{
    uint8_t head[WS_FRAME_HEAD_MAX];
    size_t head_len = head_put(head, payload.len, role, op, mask_key);

    if (is_control((uint8_t)op) && payload.len > WS_CONTROL_MAX)
        b->bad = true;
    uint8_t *to = builder_reserve(b, head_len + payload.len);
    if (!to)
        return;
    memcpy(to, head, head_len);
    if (role == WS_CLIENT && payload.len)
        ws_mask(to + head_len, payload.at, payload.len, head + head_len - 4, 0);
    else if (payload.len)
        memcpy(to + head_len, payload.at, payload.len);
}

void ws_encode_close(struct builder *b, enum ws_role role, uint16_t code, struct slice reason,
                     uint32_t mask_key)
{
    uint8_t bytes[WS_CONTROL_MAX];
    struct builder payload = builder_of(bytes, sizeof(bytes));

    if (code != WS_CLOSE_NONE) {
        builder_u16(&payload, code);
        if (reason.len > sizeof(bytes) - 2) {
            reason.len = sizeof(bytes) - 2;
            while (reason.len && (reason.at[reason.len] & 0xC0) == 0x80)
                reason.len--;
        }
        builder_slice_add(&payload, reason);
    }
    ws_encode(b, role, WS_OP_CLOSE, builder_slice(&payload), mask_key);
}

struct slice ws_seal(uint8_t *at, size_t len, enum ws_role role, enum ws_opcode op,
                     uint32_t mask_key)
{
    uint8_t head[WS_FRAME_HEAD_MAX];
    size_t head_len = head_put(head, len, role, op, mask_key);

    memcpy(at - head_len, head, head_len);
    if (role == WS_CLIENT)
        ws_mask(at, at, len, head + head_len - 4, 0);
    return slice_of(at - head_len, head_len + len);
}
