#include "media/reorder.h"

#include <errno.h>

#include "base/clock.h"

void reorder_init(struct reorder *r, uint32_t packets_max, int64_t wait_ns)
{
    uint32_t most = REORDER_PACKETS_MAX - 1;

    *r = (struct reorder){.wait_ns = wait_ns};
    r->packets_max = packets_max == 0 ? 1 : packets_max > most ? most : packets_max;
}

int reorder_put(struct reorder *r, int64_t seq, frame_ref ref, int64_t now_ns)
{
    uint32_t at = r->count;

    if (!r->started) {
        r->started = true;
        r->next = seq;
    }
    if (seq < r->next) {
        r->late++;
        return -ETIME;
    }
    while (at > 0 && r->slots[at - 1].seq > seq)
        at--;
    if (at > 0 && r->slots[at - 1].seq == seq) {
        r->duplicates++;
        return -EEXIST;
    }
    if (r->count == REORDER_PACKETS_MAX)
        return -ENOBUFS;
    if (at < r->count)
        r->reordered++;
    memmove(&r->slots[at + 1], &r->slots[at], (r->count - at) * sizeof(r->slots[0]));
    r->slots[at] = (struct reorder_slot){.seq = seq, .ref = ref, .at_ns = now_ns};
    r->count++;
    return 0;
}

bool reorder_pass(struct reorder *r, int64_t seq)
{
    if (r->count || (r->started && seq != r->next))
        return false;
    r->started = true;
    r->next = seq + 1;
    return true;
}

static struct reorder_out slot_take(struct reorder *r, int64_t now_ns)
{
    struct reorder_slot slot = r->slots[0];

    r->count--;
    memmove(&r->slots[0], &r->slots[1], r->count * sizeof(r->slots[0]));
    r->next = slot.seq + 1;
    return (struct reorder_out){
        .kind = REORDER_FRAME, .seq = slot.seq, .ref = slot.ref, .waited_ns = now_ns - slot.at_ns};
}

/* Not the first slot's age but the greatest: a later packet may have come before it. */
int64_t reorder_deadline_ns(const struct reorder *r)
{
    int64_t oldest_ns = NEVER_NS;

    for (uint32_t i = 0; i < r->count; i++)
        if (r->slots[i].at_ns < oldest_ns)
            oldest_ns = r->slots[i].at_ns;
    return r->count ? oldest_ns + r->wait_ns : NEVER_NS;
}

struct reorder_out reorder_next(struct reorder *r, int64_t now_ns)
{
    if (r->count == 0)
        return (struct reorder_out){.kind = REORDER_NONE};
    int64_t missing = r->slots[0].seq - r->next;
    if (missing == 0)
        return slot_take(r, now_ns);
    if (r->count < r->packets_max && now_ns < reorder_deadline_ns(r))
        return (struct reorder_out){.kind = REORDER_NONE};
    struct reorder_out gap = {.kind = REORDER_GAP, .seq = r->next, .count = missing};
    r->gaps += (uint64_t)missing;
    r->next = r->slots[0].seq;
    return gap;
}

struct reorder_out reorder_drain(struct reorder *r)
{
    r->started = false;
    if (r->count == 0)
        return (struct reorder_out){.kind = REORDER_NONE};
    struct reorder_out out = slot_take(r, 0);
    out.waited_ns = 0;
    return out;
}
