/* Callers whose packets come back: from an echo, each its own; from a relay, each its partner's,
 * for two callers in a row make a call there. */
#include <stdlib.h>
#include <string.h>

#include "bench/load/load.h"
#include "media/g711.h"

/* Of the mean magnitude: what two steps of G.711 and a lost half step may differ by. */
#define DIFFERENCE_PER_MILLE 80
#define DIFFERENCE_LEAST     16

static bool is_alaw(const struct load *l, const struct load_call *c)
{
    return l->options->alaw || (l->options->transcode && c->index % 2);
}

void echo_begin(struct load *l, struct load_call *c)
{
    struct address peer = l->options->echo;
    struct rand r = {l->options->seed + c->index};

    if (l->options->via == LOAD_RELAY)
        peer.port = l->options->relay_ports[c->index];
    else
        peer.port = (uint16_t)(peer.port + 2 * c->index);
    c->echo = calloc(1, sizeof(*c->echo));
    if (!c->echo)
        abort();
    trunk_claim(&l->trunk, c->index, &peer, &c->peer);
    rtp_send_init(&c->out, (uint32_t)rand_u64(&r), (uint16_t)rand_u64(&r), (uint32_t)rand_u64(&r));
    call_live(l, c);
}

/* Speech is kept as mu-law; a caller of A-law turns it over for itself. */
static const uint8_t *turned(const struct load *l, const struct load_call *c, const uint8_t *said,
                             uint8_t store[CORPUS_FRAME_BYTES])
{
    int16_t pcm[CORPUS_FRAME_BYTES];

    if (l->options->alaw || !is_alaw(l, c))
        return said;
    g711_mulaw_decode(pcm, said, CORPUS_FRAME_BYTES);
    g711_alaw_encode(store, pcm, CORPUS_FRAME_BYTES);
    return store;
}

void echo_send_frame(struct load *l, struct load_call *c)
{
    uint8_t store[RTP_HEADER_BYTES + CORPUS_FRAME_BYTES], code[CORPUS_FRAME_BYTES];
    struct builder b = builder_of(store, sizeof(store));
    const uint8_t *said = call_say(l, c);
    uint32_t slot = c->out.seq % LOAD_ECHO_RING;
    uint32_t stamp = rtp_send_timestamp(&c->out, (int64_t)c->frame * CORPUS_FRAME_BYTES);

    if (rtp_send_packet(&c->out, &b, is_alaw(l, c) ? RTP_PT_PCMA : RTP_PT_PCMU, c->frame == 0,
                        stamp, slice_of(turned(l, c, said, code), CORPUS_FRAME_BYTES)) < 0)
        return;
    c->echo->sent_ns[slot] = l->now_ns;
    c->echo->said[slot] = said;
    trunk_send(&l->trunk, c->index, &c->peer, builder_slice(&b));
}

/* Whether two frames sound alike, each in its law. */
static bool alike(const uint8_t *mulaw, const uint8_t *code, bool alaw)
{
    int16_t a[CORPUS_FRAME_BYTES], b[CORPUS_FRAME_BYTES];
    int64_t loud = 0, apart = 0;

    g711_mulaw_decode(a, mulaw, CORPUS_FRAME_BYTES);
    if (alaw)
        g711_alaw_decode(b, code, CORPUS_FRAME_BYTES);
    else
        g711_mulaw_decode(b, code, CORPUS_FRAME_BYTES);
    for (int i = 0; i < CORPUS_FRAME_BYTES; i++) {
        loud += abs(a[i]);
        apart += abs(a[i] - b[i]);
    }
    return apart <= loud * DIFFERENCE_PER_MILLE / 1000 + DIFFERENCE_LEAST * CORPUS_FRAME_BYTES;
}

static bool is_right(const struct load *l, const struct load_call *hearer, const uint8_t *said,
                     struct slice got)
{
    if (!said || got.len != CORPUS_FRAME_BYTES)
        return false;
    if (l->options->transcode)
        return alike(said, got.at, is_alaw(l, hearer));
    return memcmp(got.at, said, CORPUS_FRAME_BYTES) == 0;
}

/* A relay that codes anew may number anew: the first packet that comes is the oldest on its way. */
static void match(struct load_call *speaker, uint16_t seq)
{
    struct load_echo *e = speaker->echo;
    uint16_t oldest = (uint16_t)(speaker->out.seq - 1);

    while (e->said[(uint16_t)(oldest - 1) % LOAD_ECHO_RING] &&
           (uint16_t)(speaker->out.seq - oldest) < LOAD_ECHO_RING &&
           (uint16_t)(speaker->out.seq - oldest) < speaker->frame)
        oldest--;
    if ((uint16_t)(speaker->out.seq - seq) <= LOAD_ECHO_RING)
        oldest = seq; /* it keeps our numbers */
    e->skew = (uint16_t)(seq - oldest);
    e->matched = true;
}

void echo_take(struct load *l, struct load_call *c, struct slice in, int64_t at_ns)
{
    bool relay = l->options->via == LOAD_RELAY;
    struct load_call *speaker = relay ? &l->calls[c->index ^ 1] : c;
    struct rtp_packet p;

    if (rtp_kind(in) == RTP_KIND_RTCP || !speaker->echo)
        return;
    if (rtp_parse(in, &p) < 0) {
        call_fault(l, c, "a packet is no RTP");
        return;
    }
    if (relay && !speaker->echo->matched)
        match(speaker, p.seq);
    uint32_t slot = (uint16_t)(p.seq - speaker->echo->skew) % LOAD_ECHO_RING;
    int64_t took_ns = at_ns - speaker->echo->sent_ns[slot];
    l->window->received++;
    l->window->slots++;
    if (!is_right(l, c, speaker->echo->said[slot], p.payload)) {
        l->window->wrong++;
        call_fault(l, c, "what came back is not what was said");
    }
    speaker->echo->said[slot] = NULL;
    histogram_add(&l->window->wire, took_ns);
    l->window->late += took_ns > LISTEN_LATE_NS;
}
