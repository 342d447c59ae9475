#include "media/playout.h"

#include <assert.h>
#include <errno.h>

#include "base/cache.h"
#include "base/clock.h"

/* ---- the two axes ---- */

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t samples_of_ms(const struct playout *p, int64_t span_ms)
{
    return span_ms * p->config.rate_hz / 1000;
}

static int64_t ms_of_samples(const struct playout *p, int64_t samples)
{
    return samples * 1000 / p->config.rate_hz;
}

/* The last clock sample that is due by then; split, since ns times hertz overflows in days. */
static int64_t sample_at(const struct playout *p, int64_t now_ns)
{
    int64_t span_ns = now_ns - p->start_ns, rate = p->config.rate_hz;

    if (span_ns < 0)
        return -1;
    return span_ns / NS_PER_S * rate + span_ns % NS_PER_S * rate / NS_PER_S;
}

/* Rounded up, so that sample_at(due_ns(n)) is n. */
static int64_t due_ns(const struct playout *p, int64_t sample)
{
    int64_t rate = p->config.rate_hz;

    return p->start_ns + sample / rate * NS_PER_S + (sample % rate * NS_PER_S + rate - 1) / rate;
}

int64_t playout_clock(const struct playout *p, int64_t now_ns)
{
    return sample_at(p, now_ns);
}

static const struct frame *entry_at(struct playout *p, uint32_t n)
{
    return frame_at(p->pool, p->entries[n % PLAYOUT_ENTRIES_MAX]);
}

static uint32_t samples_of(const struct frame *f)
{
    return f->len / (uint32_t)sizeof(int16_t);
}

static int64_t end_of(const struct frame *f)
{
    return f->sample + samples_of(f);
}

static void clock_set(struct playout *p, int64_t clock)
{
    p->clock = clock;
    p->due_ns = due_ns(p, clock);
}

static struct playout_piece *piece_at(struct playout *p, uint32_t n)
{
    return &p->pieces[n % PLAYOUT_PIECES_MAX];
}

static struct playout_run *run_at(struct playout *p, uint32_t n)
{
    return &p->runs[n % PLAYOUT_RUNS_MAX];
}

static int64_t unsent(const struct playout *p)
{
    return p->pushed - p->sent;
}

void playout_init(struct playout *p, const struct playout_config *config, struct frame_pool *pool,
                  int64_t start_ns)
{
    assert(config->rate_hz > 0 && config->packet_samples > 0);
    memset(p, 0, sizeof(*p));
    p->config = *config;
    p->pool = pool;
    p->start_ns = start_ns;
    if (config->packet_samples * NS_PER_S % config->rate_hz == 0)
        p->packet_ns = config->packet_samples * NS_PER_S / config->rate_hz;
    clock_set(p, 0);
    p->latency_ns = MS(config->latency_ms);
    p->speech_ends = -1;
    p->generation = 1;
}

void playout_start(struct playout *p, int64_t start_ns)
{
    assert(!p->begun && p->pushed == 0);
    p->start_ns = start_ns;
    clock_set(p, p->config.continuous ? p->config.packet_samples : 0);
}

/* ---- the ledger of what was heard ---- */

static int64_t heard_by_time(struct playout *p, int64_t now_ns)
{
    int64_t due = sample_at(p, now_ns - p->latency_ns), heard = p->heard;

    for (uint32_t i = p->run_head; i != p->run_tail; i++) {
        const struct playout_run *run = run_at(p, i);
        int64_t played = due - run->clock;
        if (played > 0)
            heard = max64(heard, run->first + (played < run->samples ? played : run->samples));
    }
    return heard;
}

/* A mark that is still out says that its piece has not been heard to its end. */
static int64_t marks_ceiling(struct playout *p, int64_t now_ns)
{
    for (uint32_t i = p->piece_head; p->marks_made && i != p->piece_tail; i++) {
        const struct playout_piece *piece = piece_at(p, i);
        int64_t patience_ns = p->latency_ns + MS(PLAYOUT_MARK_WAIT_MS);
        if (piece->mark && !piece->echoed && now_ns < piece->mark_due_ns + patience_ns)
            return piece->end - 1;
    }
    return p->sent;
}

static void entry_retire(struct playout *p)
{
    frame_put(p->pool, &p->entries[p->entry_head++ % PLAYOUT_ENTRIES_MAX]);
    p->oldest = p->entry_head == p->entry_tail ? FRAME_NONE
                                               : p->entries[p->entry_head % PLAYOUT_ENTRIES_MAX];
}

/* All that was sent was heard, and is gone. */
static bool heard_all(const struct playout *p)
{
    return p->heard == p->sent && p->run_head == p->run_tail && p->entry_head == p->entry_sent;
}

static void heard_update(struct playout *p, int64_t now_ns)
{
    if (heard_all(p))
        return;
    int64_t by_time = heard_by_time(p, now_ns), ceiling = marks_ceiling(p, now_ns);

    p->heard = max64(p->heard, by_time < ceiling ? by_time : ceiling);
    while (p->run_head != p->run_tail) {
        const struct playout_run *run = run_at(p, p->run_head);
        if (run->first + run->samples > p->heard)
            break;
        p->run_head++;
    }
    if (p->run_head == p->run_tail)
        p->run_head = p->run_tail = 0; /* or they would go through lines that are in no cache */
    while (p->entry_head != p->entry_sent && end_of(entry_at(p, p->entry_head)) <= p->heard)
        entry_retire(p);
}

int64_t playout_heard_sample(struct playout *p, int64_t now_ns)
{
    heard_update(p, now_ns);
    return p->heard;
}

/* As of the last update. */
static void heard_describe(struct playout *p, struct playout_heard *out)
{
    const struct playout_piece *last = &p->last;

    for (uint32_t i = p->piece_head; i != p->piece_tail; i++)
        if (piece_at(p, i)->first < p->heard)
            last = piece_at(p, i);
    int64_t end = last->end < p->heard ? last->end : p->heard;
    *out = (struct playout_heard){.sample = p->heard,
                                  .piece = last->id,
                                  .piece_heard = end - last->first,
                                  .piece_samples = last->end - last->first,
                                  .piece_ended = last->ended};
}

void playout_heard_text(struct playout *p, int64_t now_ns, struct playout_heard *out)
{
    heard_update(p, now_ns);
    heard_describe(p, out);
}

bool playout_piece_next(struct playout *p, int64_t now_ns, uint32_t *piece)
{
    if (p->piece_head == p->piece_tail)
        return false;
    heard_update(p, now_ns);
    const struct playout_piece *first = piece_at(p, p->piece_head);
    if (!first->ended || first->end > p->heard)
        return false;
    p->last = *first;
    *piece = first->id;
    p->piece_head++;
    return true;
}

bool playout_done(struct playout *p, int64_t now_ns)
{
    heard_update(p, now_ns);
    return !p->reply_open && p->heard == p->pushed;
}

/* ---- the feeder's side ---- */

static struct playout_piece *piece_newest(struct playout *p)
{
    return p->piece_head == p->piece_tail ? NULL : piece_at(p, p->piece_tail - 1);
}

/* The open piece of that id, begun if need be; NULL when the ledger is full. */
static struct playout_piece *piece_open(struct playout *p, uint32_t id)
{
    struct playout_piece *newest = piece_newest(p);

    if (newest && newest->id == id && !newest->ended)
        return newest;
    if (p->piece_tail - p->piece_head == PLAYOUT_PIECES_MAX)
        return NULL;
    if (newest)
        newest->ended = true;
    struct playout_piece *piece = piece_at(p, p->piece_tail++);
    *piece = (struct playout_piece){.id = id, .first = p->pushed, .end = p->pushed};
    return piece;
}

static bool piece_ended(struct playout *p, uint32_t id)
{
    bool ended = id != 0 && p->last.id == id;

    for (uint32_t i = p->piece_head; i != p->piece_tail; i++)
        if (piece_at(p, i)->id == id)
            ended = piece_at(p, i)->ended;
    return ended;
}

int playout_piece_end(struct playout *p, uint32_t generation, uint32_t id)
{
    if (generation != p->generation)
        return -ESTALE;
    if (piece_ended(p, id))
        return 0;
    struct playout_piece *piece = piece_open(p, id);
    if (!piece)
        return -ENOBUFS;
    piece->ended = true;
    return 0;
}

void playout_reply_end(struct playout *p, uint32_t generation)
{
    struct playout_piece *newest = piece_newest(p);

    if (generation != p->generation)
        return;
    if (newest)
        newest->ended = true;
    p->reply_open = false;
    if (unsent(p) == 0)
        p->speech_ends = -1;
}

uint32_t playout_queued_ms(const struct playout *p)
{
    return (uint32_t)ms_of_samples(p, unsent(p));
}

uint32_t playout_room_ms(const struct playout *p)
{
    int64_t depth_ms = ms_of_samples(p, samples_of_ms(p, p->config.depth_ms) - unsent(p));
    uint32_t unsent_entries = p->entry_tail - p->entry_sent;
    int64_t entries_ms = (int64_t)(PLAYOUT_ENTRIES_MAX - unsent_entries) * PLAYOUT_ROOM_FRAME_MS;

    if (depth_ms <= 0 || p->piece_tail - p->piece_head == PLAYOUT_PIECES_MAX)
        return 0;
    return (uint32_t)(depth_ms < entries_ms ? depth_ms : entries_ms);
}

/* A slot in the ring; what was sent longest ago gives way, as heard, before speech is refused. */
static bool entry_room(struct playout *p)
{
    if (p->entry_tail - p->entry_head < PLAYOUT_ENTRIES_MAX)
        return true;
    if (p->entry_head == p->entry_sent)
        return false;
    int64_t end = end_of(entry_at(p, p->entry_head));
    if (end > p->sent)
        return false;
    p->heard = max64(p->heard, end);
    entry_retire(p);
    return true;
}

int playout_push(struct playout *p, frame_ref ref)
{
    struct frame *f = frame_at(p->pool, ref);
    uint32_t samples = samples_of(f);

    if (f->generation != p->generation) {
        p->stale++;
        return -ESTALE;
    }
    if (samples == 0 || f->len % 2 || f->len > FRAME_DATA_BYTES || f->next != FRAME_NONE ||
        f->rate_hz != p->config.rate_hz)
        return -EINVAL;
    if (unsent(p) + samples > samples_of_ms(p, p->config.depth_ms) || !entry_room(p))
        return -ENOBUFS;
    struct playout_piece *piece = piece_open(p, f->tag);
    if (!piece)
        return -ENOBUFS;
    f->sample = p->pushed;
    if (p->entry_sent == p->entry_tail) {
        p->next = ref;
        p->next_from = 0;
    }
    if (p->entry_head == p->entry_tail)
        p->oldest = ref;
    p->entries[p->entry_tail++ % PLAYOUT_ENTRIES_MAX] = ref;
    p->pushed += samples;
    piece->end = p->pushed;
    p->reply_open = true;
    return 0;
}

/* ---- the leg's slot ---- */

/* Whether speech may leave: a whole packet of it; or a rest that is all there is, either because
 * the reply ends with it or because the far end runs dry in the middle of a reply. */
static bool speech_ready(const struct playout *p, bool dry)
{
    if (p->held || unsent(p) == 0)
        return false;
    return unsent(p) >= p->config.packet_samples || !p->reply_open || (p->speech_ends >= 0 && dry);
}

static void clock_catch_up(struct playout *p, int64_t now_ns)
{
    int64_t behind = sample_at(p, now_ns) - p->clock, packet = p->config.packet_samples;

    if (!p->config.continuous) {
        /* Nothing was sent while idle, so speech that comes now is due now. */
        if (behind > 0 && unsent(p) > 0 && !p->held)
            clock_set(p, p->clock + behind);
    } else if (behind > samples_of_ms(p, PLAYOUT_CATCHUP_MS) && behind >= packet) {
        clock_set(p, p->clock + behind / packet * packet);
        p->skipped_samples += (uint64_t)(behind / packet * packet);
        p->speaking = p->begun = false;
    }
}

static void speech_copy(struct playout *p, int16_t *out, uint32_t samples)
{
    while (samples) {
        const struct frame *f = entry_at(p, p->entry_sent);
        uint32_t offset = (uint32_t)(p->sent - f->sample), part = samples_of(f) - offset;
        bool whole = part <= samples;
        part = whole ? part : samples;
        memcpy(out, f->data + offset * sizeof(*out), part * sizeof(*out));
        out += part;
        samples -= part;
        p->sent += part;
        p->entry_sent += whole;
        p->next_from = whole ? 0 : (offset + part) * (uint32_t)sizeof(*out);
    }
    p->next = p->entry_sent == p->entry_tail ? FRAME_NONE
                                             : p->entries[p->entry_sent % PLAYOUT_ENTRIES_MAX];
}

void playout_soon(const struct playout *p)
{
    if (p->next != FRAME_NONE && !p->held)
        frame_soon(p->pool, p->next, p->next_from, p->config.packet_samples * sizeof(int16_t));
    if (p->oldest == FRAME_NONE)
        return;
    frame_soon(p->pool, p->oldest, 0, 0);
    cache_fetch_line(&p->entries[p->entry_sent % PLAYOUT_ENTRIES_MAX]);
    cache_fetch_line(&p->pieces[p->piece_head % PLAYOUT_PIECES_MAX]);
}

static void run_note(struct playout *p, int64_t clock, int64_t first, uint32_t samples)
{
    struct playout_run *newest = p->run_head == p->run_tail ? NULL : run_at(p, p->run_tail - 1);

    if (newest && newest->clock + newest->samples == clock &&
        newest->first + newest->samples == first) {
        newest->samples += samples;
        return;
    }
    if (p->run_tail - p->run_head == PLAYOUT_RUNS_MAX) {
        const struct playout_run *oldest = run_at(p, p->run_head++);
        p->heard = max64(p->heard, oldest->first + oldest->samples);
    }
    *run_at(p, p->run_tail++) =
        (struct playout_run){.clock = clock, .first = first, .samples = samples};
}

static void underrun_note(struct playout *p)
{
    if (p->speech_ends >= 0 && p->clock > p->speech_ends) {
        p->underruns++;
        p->underrun_samples += (uint64_t)(p->clock - p->speech_ends);
    }
}

bool playout_pull(struct playout *p, int64_t now_ns, int16_t *out, struct playout_packet *packet)
{
    uint32_t samples = p->config.packet_samples, speech = 0;

    if (p->config.continuous && p->due_ns - MS(p->config.lead_ms) > now_ns)
        return false; /* as the test below says, without the trouble */
    heard_update(p, now_ns);
    if (!p->config.continuous || now_ns - p->due_ns > MS(PLAYOUT_CATCHUP_MS))
        clock_catch_up(p, now_ns);
    if (p->due_ns - MS(p->config.lead_ms) > now_ns)
        return false;
    if (speech_ready(p, p->due_ns <= now_ns))
        speech = unsent(p) < samples ? (uint32_t)unsent(p) : samples;
    if (speech == 0 && !p->config.continuous)
        return false;
    *packet = (struct playout_packet){.clock = p->clock,
                                      .due_ns = p->due_ns,
                                      .samples = samples,
                                      .speech = speech,
                                      .first = !p->begun || (speech && !p->speaking)};
    if (speech) {
        underrun_note(p);
        run_note(p, p->clock, p->sent, speech);
        speech_copy(p, out, speech);
        p->speech_ends = p->reply_open || unsent(p) ? p->clock + speech : -1;
    }
    memset(out + speech, 0, (samples - speech) * sizeof(*out));
    p->clock += samples;
    p->due_ns = p->packet_ns ? p->due_ns + p->packet_ns : due_ns(p, p->clock);
    p->speaking = speech > 0;
    p->begun = true;
    return true;
}

bool playout_skip(struct playout *p, uint32_t samples)
{
    if (p->speaking || p->reply_open || unsent(p) > 0)
        return false;
    clock_set(p, p->clock + samples);
    return true;
}

int64_t playout_deadline_ns(const struct playout *p)
{
    int64_t due = p->due_ns, early = due - MS(p->config.lead_ms);

    if (p->config.continuous || speech_ready(p, false))
        return early;
    return speech_ready(p, true) ? due : NEVER_NS;
}

/* ---- marks ---- */

/* Where on the clock the sample before this one was put. */
static int64_t clock_of(struct playout *p, int64_t position)
{
    for (uint32_t i = p->run_head; i != p->run_tail; i++) {
        const struct playout_run *run = run_at(p, i);
        if (position > run->first && position <= run->first + run->samples)
            return run->clock + (position - run->first);
    }
    return 0;
}

bool playout_mark_next(struct playout *p, int64_t now_ns, uint32_t *mark)
{
    struct playout_piece *last = NULL;

    if (!p->config.marks || p->held)
        return false;
    for (uint32_t i = p->piece_head; i != p->piece_tail; i++) {
        struct playout_piece *piece = piece_at(p, i);
        if (!piece->ended || piece->end > p->sent)
            break;
        if (!piece->mark)
            last = piece;
        else
            last = NULL; /* a later one is out already */
    }
    if (!last || last->end <= p->heard)
        return false;
    *mark = last->mark = ++p->marks_made;
    /* A mark that leaves late cannot be back earlier than that. */
    last->mark_due_ns = max64(due_ns(p, clock_of(p, last->end)), now_ns);
    return true;
}

static void latency_learn(struct playout *p, int64_t late_ns)
{
    int64_t most_ns = MS(PLAYOUT_LATENCY_MAX_MS);

    /* Both ways of the network are in it, rightly: a barge-in seen now was begun one way ago, by
     * somebody who then heard what had left another way before. */
    late_ns = late_ns < 0 ? 0 : late_ns > most_ns ? most_ns : late_ns;
    p->latency_ns += p->latency_learned ? (late_ns - p->latency_ns) / 4 : late_ns - p->latency_ns;
    p->latency_learned = true;
}

int playout_mark_back(struct playout *p, uint32_t mark, int64_t now_ns)
{
    struct playout_piece *piece = NULL;

    for (uint32_t i = p->piece_head; i != p->piece_tail && mark; i++)
        if (piece_at(p, i)->mark == mark && !piece_at(p, i)->echoed)
            piece = piece_at(p, i);
    if (!piece)
        return -ENOENT;
    for (uint32_t i = p->piece_head; i != p->piece_tail; i++) {
        piece_at(p, i)->echoed = piece_at(p, i)->mark != 0;
        if (piece_at(p, i) == piece)
            break;
    }
    latency_learn(p, now_ns - piece->mark_due_ns);
    p->heard = max64(p->heard, piece->end);
    heard_update(p, now_ns);
    return 0;
}

uint32_t playout_starved_ms(const struct playout *p, int64_t now_ns)
{
    if (p->speech_ends < 0 || p->held || !p->reply_open)
        return 0;
    int64_t gap = sample_at(p, now_ns) - p->speech_ends;
    return gap > 0 ? (uint32_t)ms_of_samples(p, gap) : 0;
}

/* ---- barge-in ---- */

/* Latency is no part of it: what is under way to the ear is beyond any clear. */
static uint32_t undue_ms(struct playout *p, int64_t now_ns)
{
    if (p->run_head == p->run_tail)
        return 0;
    const struct playout_run *newest = run_at(p, p->run_tail - 1);
    int64_t undue = newest->clock + newest->samples - max64(sample_at(p, now_ns), 0);
    int64_t unheard = p->sent - p->heard;
    return (uint32_t)ms_of_samples(p, undue < unheard ? max64(undue, 0) : unheard);
}

uint32_t playout_hold(struct playout *p, int64_t now_ns)
{
    heard_update(p, now_ns);
    p->held = true;
    p->speech_ends = -1; /* the gap that follows is wanted */
    return undue_ms(p, now_ns);
}

/* The far end is empty: what comes next is due at once. A continuous clock only goes forward,
 * since its timestamps are on the wire. */
static void clock_rewind(struct playout *p, int64_t now_ns)
{
    int64_t due = max64(sample_at(p, now_ns), 0);

    p->run_head = p->run_tail;
    if (!p->config.continuous && p->clock > due)
        clock_set(p, due);
}

void playout_cleared(struct playout *p, int64_t now_ns)
{
    heard_update(p, now_ns);
    p->sent = p->heard;
    p->speech_ends = -1;
    /* Wholly heard entries are gone by now, so the first one left holds the position. */
    p->entry_sent = p->entry_head;
    clock_rewind(p, now_ns);
    for (uint32_t i = p->piece_head; i != p->piece_tail; i++)
        if (!piece_at(p, i)->echoed)
            piece_at(p, i)->mark = 0;
}

void playout_resume(struct playout *p)
{
    p->held = false;
}

void playout_flush(struct playout *p, int64_t now_ns, bool cleared, struct playout_heard *out)
{
    heard_update(p, now_ns);
    if (!cleared)
        p->heard = p->sent;
    heard_describe(p, out);
    while (p->entry_head != p->entry_tail)
        entry_retire(p);
    p->entry_sent = p->entry_tail;
    p->piece_head = p->piece_tail;
    p->last = (struct playout_piece){.id = 0};
    p->sent = p->heard = p->pushed;
    p->speech_ends = -1;
    p->held = p->reply_open = false;
    p->generation++;
    p->flushes++;
    if (cleared)
        clock_rewind(p, now_ns);
    p->run_head = p->run_tail;
}

void playout_fini(struct playout *p)
{
    while (p->entry_head != p->entry_tail)
        entry_retire(p);
    p->entry_sent = p->entry_tail;
}
