#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/ring.h"

/* thread -> its ring --+
 * thread -> its ring --+--> writer thread -> write(stdout)
 *
 * Nobody waits for the writer: when stdout is stuck, the writer sits in write(), the rings fill,
 * and lines are dropped and counted. A line of the writer's own says how many, once it can. */
#define ID_BYTES_MAX    256  /* an escaped call or agent id; longer ones are cut */
#define BATCH_BYTES     4096 /* PIPE_BUF: what one write puts into a pipe is never torn apart */
#define PAUSE_LEAST_NS  MS(4)
#define PAUSE_MOST_NS   MS(32)
#define STOP_PATIENCE_S 1 /* for a stdout that is stuck when the program wants to end */

/* A slot is taken by a thread at its first line, or before, and given back when the thread ends;
 * the ring stays for the next one. */
struct log_slot {
    _Atomic(struct ring *) ring;
    atomic_bool taken;
    _Atomic uint64_t dropped; /* written by the owner alone */
};

static struct log_slot slots[LOG_THREADS_MAX];
static _Atomic uint64_t dropped_slotless; /* lines of threads that found no slot */
static _Atomic int least_level = LOG_DEBUG;
static atomic_bool running;  /* lines go to the rings */
static atomic_bool stopping; /* the writer ends once the rings are empty */
static _Atomic(int64_t (*)(void)) wall_clock;
static pthread_t writer;
static uint64_t dropped_before; /* when the writer was started, which may run only later */
static pthread_key_t slot_key;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;
static _Thread_local struct log_slot *my_slot;

/* ---- composing a line ---- */

/* Civil date of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Own, because
 * gmtime_r takes a lock. Counted from a March: the leap day is then a year's last. */
static void date_of_day(int64_t day, int *year, int *month, int *mday)
{
    int64_t since = day + 719468; /* from 0000-03-01 */
    int64_t era = since / 146097, of_era = since % 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153; /* 0 is March */

    *mday = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

static int64_t wall_now_ms(void)
{
    int64_t (*given)(void) = atomic_load_explicit(&wall_clock, memory_order_acquire);
    struct timespec now;

    if (given)
        return given();
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / NS_PER_MS;
}

static void add_timestamp(struct builder *b, int64_t wall_ms)
{
    int64_t ms = wall_ms > 0 ? wall_ms : 0;
    int64_t of_day = ms % 86400000;
    int year, month, mday;

    date_of_day(ms / 86400000, &year, &month, &mday);
    builder_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, mday,
                   (int)(of_day / 3600000), (int)(of_day / 60000 % 60), (int)(of_day / 1000 % 60),
                   (int)(of_day % 1000));
}

/* The letter behind the backslash where JSON has a short form, else 0. */
static char short_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Writes the first character of s as it stands inside a JSON string; returns the bytes of s that
 * it took. A byte that is no UTF-8 becomes U+FFFD. */
static size_t escape_char(struct slice s, char out[8], size_t *out_len)
{
    size_t step = slice_utf8_step(s);
    char brief = short_escape(s.at[0]);

    if (step == 0) {
        *out_len = (size_t)snprintf(out, 8, "\\ufffd");
        return 1;
    }
    if (brief) {
        *out_len = (size_t)snprintf(out, 8, "\\%c", brief);
    } else if (s.at[0] < 0x20 || s.at[0] == 0x7f) {
        *out_len = (size_t)snprintf(out, 8, "\\u%04x", s.at[0]);
    } else {
        memcpy(out, s.at, step);
        *out_len = step;
    }
    return step;
}

/* Adds what fits of the text before the builder holds `len_max` bytes, never part of a character;
 * false when something was left out. */
static bool add_escaped(struct builder *b, struct slice text, size_t len_max)
{
    char out[8];
    size_t out_len;

    while (text.len) {
        size_t step = escape_char(text, out, &out_len);
        if (b->len + out_len > len_max)
            return false;
        builder_bytes(b, out, out_len);
        text = slice_of(text.at + step, text.len - step);
    }
    return true;
}

static void add_id(struct builder *b, const char *name, const char *id)
{
    if (!id)
        return;
    builder_printf(b, ",\"%s\":\"", name);
    add_escaped(b, slice_str(id), b->len + ID_BYTES_MAX);
    builder_str(b, "\"");
}

/* The line with its LF; `line` holds LOG_LINE_MAX bytes. The ids are composed first, so that a long
 * message loses its own end and never them. */
static size_t compose(char *line, enum log_level level, const char *service,
                      const struct log_about *about, struct slice message)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    static const char cut[] = "\",\"cut\":true}\n";
    char ids[2 * (ID_BYTES_MAX + 32)];
    struct builder tail = builder_of(ids, sizeof(ids));
    struct builder b = builder_of(line, LOG_LINE_MAX);

    if (about) {
        add_id(&tail, "call_id", about->call_id);
        add_id(&tail, "agent_id", about->agent_id);
    }
    builder_str(&b, "{\"timestamp\":\"");
    add_timestamp(&b, wall_now_ms());
    builder_printf(&b, "\",\"level\":\"%s\",\"service\":\"", names[level]);
    add_escaped(&b, slice_str(service), b.len + ID_BYTES_MAX);
    builder_str(&b, "\",\"message\":\"");
    bool whole = add_escaped(&b, message, LOG_LINE_MAX - tail.len - sizeof(cut));
    builder_str(&b, "\"");
    builder_slice_add(&b, builder_slice(&tail));
    builder_str(&b, whole ? "}\n" : cut + 1);
    return b.len;
}

/* ---- the logging thread ---- */

static void slot_give_back(void *slot)
{
    my_slot = NULL; /* other destructors of this thread may still log */
    atomic_store_explicit(&((struct log_slot *)slot)->taken, false, memory_order_release);
}

static void slot_key_make(void)
{
    /* Without a key, slots of ended threads are not used again: only a flood of threads notices. */
    if (pthread_key_create(&slot_key, slot_give_back) != 0)
        slot_key = (pthread_key_t)-1;
}

static struct log_slot *slot_take(void)
{
    pthread_once(&slot_once, slot_key_make);
    for (size_t i = 0; i < LOG_THREADS_MAX; i++) {
        struct log_slot *slot = &slots[i];
        if (atomic_exchange_explicit(&slot->taken, true, memory_order_acquire))
            continue;
        if (!atomic_load_explicit(&slot->ring, memory_order_relaxed))
            atomic_store_explicit(&slot->ring, ring_new(LOG_RING_BYTES), memory_order_release);
        pthread_setspecific(slot_key, slot);
        return slot;
    }
    return NULL;
}

void log_thread_begin(void)
{
    if (!my_slot)
        my_slot = slot_take();
}

static void line_push(struct slice line)
{
    log_thread_begin();
    if (!my_slot) {
        atomic_fetch_add_explicit(&dropped_slotless, 1, memory_order_relaxed);
        return;
    }
    if (ring_push(atomic_load_explicit(&my_slot->ring, memory_order_relaxed), line, SLICE_NONE))
        return;
    uint64_t dropped = atomic_load_explicit(&my_slot->dropped, memory_order_relaxed);
    atomic_store_explicit(&my_slot->dropped, dropped + 1, memory_order_relaxed);
}

void log_line(enum log_level level, const char *service, const struct log_about *about,
              const char *format, ...)
{
    char message[LOG_LINE_MAX], line[LOG_LINE_MAX];
    int err = errno; /* callers log an error first and return it then */
    va_list args;

    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    /* A cut one is longer than the room it gets in the line, so compose() marks it. */
    size_t used = len < 0 ? 0 : (size_t)len < sizeof(message) ? (size_t)len : sizeof(message) - 1;
    size_t bytes = compose(line, level, service, about, slice_of(message, used));
    if (atomic_load_explicit(&running, memory_order_acquire))
        line_push(slice_of(line, bytes));
    else if (write(STDERR_FILENO, line, bytes) < 0)
        atomic_fetch_add_explicit(&dropped_slotless, 1, memory_order_relaxed);
    errno = err;
}

enum log_level log_least(void)
{
    return (enum log_level)atomic_load_explicit(&least_level, memory_order_relaxed);
}

void log_clock(int64_t (*wall_ms)(void))
{
    atomic_store_explicit(&wall_clock, wall_ms, memory_order_release);
}

uint64_t log_dropped(void)
{
    uint64_t sum = atomic_load_explicit(&dropped_slotless, memory_order_relaxed);

    for (size_t i = 0; i < LOG_THREADS_MAX; i++)
        sum += atomic_load_explicit(&slots[i].dropped, memory_order_relaxed);
    return sum;
}

/* ---- the writer thread ---- */

struct batch {
    struct builder bytes;
    uint64_t lines;
};

static void batch_write(struct batch *batch)
{
    struct slice left = builder_slice(&batch->bytes);

    while (left.len) {
        ssize_t n = write(STDOUT_FILENO, left.at, left.len);
        if (n >= 0) {
            left = slice_of(left.at + n, left.len - (size_t)n);
        } else if (errno == EAGAIN) {
            /* Somebody else made stdout non-blocking; wait here as write() would have. */
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, 100);
        } else if (errno != EINTR) {
            atomic_fetch_add_explicit(&dropped_slotless, batch->lines, memory_order_relaxed);
            break;
        }
    }
    batch->bytes.len = 0;
    batch->lines = 0;
}

static void batch_add(struct batch *batch, struct slice line)
{
    if (line.len > batch->bytes.size - batch->bytes.len)
        batch_write(batch);
    builder_slice_add(&batch->bytes, line);
    batch->lines++;
}

/* Not counted as a line itself: with stdout gone, each complaint would cause the next. */
static void batch_complain(struct batch *batch, uint64_t dropped)
{
    char text[64], line[LOG_LINE_MAX];
    int len = snprintf(text, sizeof(text), "%llu log lines dropped", (unsigned long long)dropped);

    batch_add(batch,
              slice_of(line, compose(line, LOG_WARN, "log", NULL, slice_of(text, (size_t)len))));
    batch->lines--;
}

/* Takes at most one ring's worth, so that a thread that never stops logging does not keep the
 * others waiting. */
static bool drain_one(struct batch *batch, struct ring *ring)
{
    struct slice line;
    size_t taken = 0;

    while (taken < LOG_RING_BYTES && ring_peek(ring, &line)) {
        batch_add(batch, line);
        taken += line.len;
        ring_pop(ring);
    }
    return taken > 0;
}

static bool drain_all(struct batch *batch, uint64_t *dropped_said)
{
    bool some = false;

    for (size_t i = 0; i < LOG_THREADS_MAX; i++) {
        struct ring *ring = atomic_load_explicit(&slots[i].ring, memory_order_acquire);
        if (ring && drain_one(batch, ring))
            some = true;
    }
    uint64_t dropped = log_dropped();
    if (dropped != *dropped_said) {
        batch_complain(batch, dropped - *dropped_said);
        *dropped_said = dropped;
    }
    batch_write(batch);
    return some;
}

static void *writer_run(void *arg)
{
    char bytes[BATCH_BYTES];
    struct batch batch = {.bytes = builder_of(bytes, sizeof(bytes))};
    uint64_t dropped_said = dropped_before;
    int64_t pause_ns = PAUSE_LEAST_NS;

    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    for (;;) {
        /* Asked before the drain: a line pushed before the stop is then never left behind. */
        bool last = atomic_load_explicit(&stopping, memory_order_acquire);
        bool some = drain_all(&batch, &dropped_said);
        if (last && !some)
            return arg;
        pause_ns = some ? PAUSE_LEAST_NS : pause_ns * 2;
        if (pause_ns > PAUSE_MOST_NS)
            pause_ns = PAUSE_MOST_NS;
        if (!last)
            nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
    }
}

/* Signals are for other threads; a closed stdout is an error of write(), not the process's end. */
static int writer_start(void)
{
    sigset_t all, before;

    dropped_before = log_dropped();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&writer, NULL, writer_run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0)
        pthread_setname_np(writer, "log");
    return -err;
}

void log_level_set(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

int log_start(enum log_level least)
{
    if (atomic_load(&running) || atomic_load(&stopping))
        return -EALREADY;
    int err = writer_start();
    if (err)
        return err;
    log_level_set(least);
    atomic_store(&running, true);
    return 0;
}

void log_stop(void)
{
    struct timespec until;

    if (!atomic_load(&running))
        return;
    atomic_store(&running, false);
    atomic_store(&stopping, true);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_PATIENCE_S;
    if (pthread_timedjoin_np(writer, NULL, &until) == 0)
        atomic_store(&stopping, false);
    else
        pthread_detach(
            writer); /* it hangs in write(); `stopping` stays, so none is started again */
}
