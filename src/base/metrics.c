#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define PREFIX      "sidetone_"
#define BOUNDS_MAX  15
#define CELLS_SPANS (BOUNDS_MAX + 2) /* a count per bound, one beyond the last, and the sum */

/* Bounds in nanoseconds, ascending, 0 after the last. */
static const int64_t tick_spans[BOUNDS_MAX + 1] = {
    100 * NS_PER_US, 200 * NS_PER_US, 500 * NS_PER_US, MS(1),  MS(2),   MS(3),  MS(5),
    MS(10),          MS(20),          MS(40),          MS(60), MS(100), MS(200)};
static const int64_t turn_spans[BOUNDS_MAX + 1] = {MS(5),   MS(10),  MS(25),   MS(50),   MS(100),
                                                   MS(200), MS(300), MS(400),  MS(500),  MS(600),
                                                   MS(700), MS(800), MS(1000), MS(2000), MS(5000)};
static const int64_t long_spans[BOUNDS_MAX + 1] = {
    SECONDS(1),   SECONDS(5),   SECONDS(10),  SECONDS(30),   SECONDS(60),
    SECONDS(120), SECONDS(300), SECONDS(600), SECONDS(1800), SECONDS(3600)};

/* Where a metric's cells begin. */
enum cell {
#define COUNTER(id, ...)    CELL_##id,
#define GAUGE(id, ...)      CELL_##id,
#define HISTOGRAM(id, ...)  CELL_##id, CELL_##id##_LAST = CELL_##id + CELLS_SPANS - 1,
#define COUNTER_OF(id, ...) CELL_##id, CELL_##id##_LAST = CELL_##id + METRICS_LABELS_MAX - 1,
#define GAUGE_OF(id, ...)   CELL_##id, CELL_##id##_LAST = CELL_##id + METRICS_LABELS_MAX - 1,
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef COUNTER_OF
#undef GAUGE_OF
    CELL_COUNT
};

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_COUNTER_OF, KIND_GAUGE_OF };

static const struct {
    enum kind kind;
    enum cell cell;
    const char *family;
    const char *labels;
    const char *help;
    const int64_t *bounds_ns;
} table[METRIC_COUNT] = {
#define COUNTER(id, family, labels, help) {KIND_COUNTER, CELL_##id, family, labels, help, NULL},
#define GAUGE(id, family, labels, help)   {KIND_GAUGE, CELL_##id, family, labels, help, NULL},
#define HISTOGRAM(id, family, labels, bounds, help)                                                \
    {KIND_HISTOGRAM, CELL_##id, family, labels, help, bounds},
#define COUNTER_OF(id, family, help) {KIND_COUNTER_OF, CELL_##id, family, "", help, NULL},
#define GAUGE_OF(id, family, help)   {KIND_GAUGE_OF, CELL_##id, family, "", help, NULL},
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef COUNTER_OF
#undef GAUGE_OF
};

/* One thread's cells. The owner stores relaxed, without a read-modify-write: nobody else writes.
 * A block outlives its thread, so that counters never go back, and serves the next one. */
struct block {
    _Alignas(64) _Atomic int64_t cells[CELL_COUNT];
    atomic_bool taken;
    atomic_bool ever; /* the reader looks no further than the first that never was */
};

static const char *labels_of[METRICS_LABELS_MAX]; /* written at boot alone */
static struct block blocks[METRICS_THREADS_MAX];
static pthread_key_t block_key;
static pthread_once_t block_once = PTHREAD_ONCE_INIT;
static _Thread_local struct block *my_block;

static int64_t cell_load(const struct block *block, size_t cell)
{
    return atomic_load_explicit(&block->cells[cell], memory_order_relaxed);
}

static void cell_store(struct block *block, size_t cell, int64_t value)
{
    atomic_store_explicit(&block->cells[cell], value, memory_order_relaxed);
}

static uint32_t gauge_cells(enum kind kind)
{
    return kind == KIND_GAUGE ? 1 : kind == KIND_GAUGE_OF ? METRICS_LABELS_MAX : 0;
}

static void block_give_back(void *at)
{
    struct block *block = at;

    for (size_t i = 0; i < METRIC_COUNT; i++)
        for (uint32_t n = 0; n < gauge_cells(table[i].kind); n++)
            cell_store(block, table[i].cell + n, 0);
    my_block = NULL;
    atomic_store_explicit(&block->taken, false, memory_order_release);
}

static void block_key_make(void)
{
    if (pthread_key_create(&block_key, block_give_back) != 0)
        block_key = (pthread_key_t)-1; /* then blocks of ended threads are not used again */
}

/* More threads than blocks is a wrong runtime: their number is fixed at boot. */
static struct block *block_mine(void)
{
    if (my_block)
        return my_block;
    pthread_once(&block_once, block_key_make);
    for (size_t i = 0; i < METRICS_THREADS_MAX && !my_block; i++)
        if (!atomic_exchange_explicit(&blocks[i].taken, true, memory_order_acquire))
            my_block = &blocks[i];
    assert(my_block);
    atomic_store_explicit(&my_block->ever, true, memory_order_relaxed);
    pthread_setspecific(block_key, my_block);
    return my_block;
}

static void cell_add(size_t cell, int64_t n)
{
    struct block *block = block_mine();

    cell_store(block, cell, cell_load(block, cell) + n);
}

void metrics_add(enum metric counter, uint64_t n)
{
    assert(table[counter].kind == KIND_COUNTER);
    cell_add(table[counter].cell, (int64_t)n);
}

void metrics_set(enum metric gauge, int64_t value)
{
    assert(table[gauge].kind == KIND_GAUGE);
    cell_store(block_mine(), table[gauge].cell, value);
}

void metrics_change(enum metric gauge, int64_t by)
{
    assert(table[gauge].kind == KIND_GAUGE);
    cell_add(table[gauge].cell, by);
}

void metrics_label(uint32_t at, const char *labels)
{
    if (at < METRICS_LABELS_MAX - 1)
        labels_of[at] = labels;
}

static size_t cell_of(enum metric metric, enum kind kind, uint32_t label)
{
    assert(table[metric].kind == kind);
    if (label >= METRICS_LABELS_MAX || !labels_of[label])
        label = METRICS_LABELS_MAX - 1;
    return (size_t)table[metric].cell + label;
}

void metrics_add_of(enum metric counter, uint32_t label, uint64_t n)
{
    cell_add(cell_of(counter, KIND_COUNTER_OF, label), (int64_t)n);
}

void metrics_change_of(enum metric gauge, uint32_t label, int64_t by)
{
    cell_add(cell_of(gauge, KIND_GAUGE_OF, label), by);
}

void metrics_observe(enum metric histogram, int64_t span_ns)
{
    const int64_t *bounds_ns = table[histogram].bounds_ns;
    size_t cell = table[histogram].cell, i = 0;

    assert(table[histogram].kind == KIND_HISTOGRAM);
    if (span_ns < 0)
        span_ns = 0;
    while (i < BOUNDS_MAX && bounds_ns[i] && span_ns > bounds_ns[i])
        i++;
    if (i < BOUNDS_MAX && !bounds_ns[i])
        i = BOUNDS_MAX; /* beyond them all */
    cell_add(cell + i, 1);
    cell_add(cell + BOUNDS_MAX + 1, span_ns);
}

enum metric metrics_ws_close(uint16_t code)
{
    static const struct {
        uint16_t code;
        enum metric metric;
    } codes[] = {
        {1000, METRIC_WS_CLOSE_1000}, {1001, METRIC_WS_CLOSE_1001}, {1002, METRIC_WS_CLOSE_1002},
        {1003, METRIC_WS_CLOSE_1003}, {1006, METRIC_WS_CLOSE_1006}, {1007, METRIC_WS_CLOSE_1007},
        {1008, METRIC_WS_CLOSE_1008}, {1009, METRIC_WS_CLOSE_1009}, {1011, METRIC_WS_CLOSE_1011}};

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == code)
            return codes[i].metric;
    return METRIC_WS_CLOSE_OTHER;
}

/* ---- reading ---- */

static int64_t cell_sum(size_t cell)
{
    int64_t sum = 0;

    for (size_t i = 0; i < METRICS_THREADS_MAX; i++) {
        if (!atomic_load_explicit(&blocks[i].ever, memory_order_relaxed))
            break;
        sum += cell_load(&blocks[i], cell);
    }
    return sum;
}

static bool of_many(enum kind kind)
{
    return kind == KIND_COUNTER_OF || kind == KIND_GAUGE_OF;
}

int64_t metrics_read(enum metric metric)
{
    int64_t sum = 0;

    size_t cells = table[metric].kind == KIND_HISTOGRAM ? BOUNDS_MAX + 1
                   : of_many(table[metric].kind)        ? METRICS_LABELS_MAX
                                                        : 1;

    for (size_t i = 0; i < cells; i++)
        sum += cell_sum(table[metric].cell + i);
    return sum;
}

/* Seconds with the digits that a nanosecond needs and no more; never in exponents or a locale. */
static void write_seconds(struct builder *out, int64_t ns)
{
    char fraction[16];
    int len = snprintf(fraction, sizeof(fraction), "%09" PRId64, ns % NS_PER_S);

    builder_printf(out, "%" PRId64, ns / NS_PER_S);
    while (len > 0 && fraction[len - 1] == '0')
        len--;
    if (len)
        builder_printf(out, ".%.*s", len, fraction);
}

static void write_head(struct builder *out, const char *family, const char *type, const char *help)
{
    builder_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", family, help, family,
                   type);
}

static void write_name(struct builder *out, size_t i, const char *suffix)
{
    const char *labels = table[i].labels;

    builder_printf(out, PREFIX "%s%s%s%s%s ", table[i].family, suffix, *labels ? "{" : "", labels,
                   *labels ? "}" : "");
}

/* The reading of each bucket is part of the total that follows, so the text agrees with itself
 * even while other threads count on. */
static void write_histogram(struct builder *out, size_t i)
{
    const char *labels = table[i].labels, *comma = *labels ? "," : "";
    int64_t count = 0;

    for (size_t b = 0; b <= BOUNDS_MAX; b++) {
        bool last = b == BOUNDS_MAX;
        if (!last && !table[i].bounds_ns[b])
            continue;
        count += cell_sum(table[i].cell + b);
        builder_printf(out, PREFIX "%s_bucket{%s%sle=\"", table[i].family, labels, comma);
        if (last)
            builder_str(out, "+Inf");
        else
            write_seconds(out, table[i].bounds_ns[b]);
        builder_printf(out, "\"} %" PRId64 "\n", count);
    }
    write_name(out, i, "_sum");
    write_seconds(out, cell_sum(table[i].cell + BOUNDS_MAX + 1));
    builder_str(out, "\n");
    write_name(out, i, "_count");
    builder_printf(out, "%" PRId64 "\n", count);
}

static void write_many(struct builder *out, size_t i)
{
    for (size_t n = 0; n < METRICS_LABELS_MAX; n++) {
        bool other = n == METRICS_LABELS_MAX - 1;
        if (labels_of[n] || other)
            builder_printf(out, PREFIX "%s{%s} %" PRId64 "\n", table[i].family,
                           other ? "provider=\"other\"" : labels_of[n],
                           cell_sum(table[i].cell + n));
    }
}

static void write_metric(struct builder *out, size_t i)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "counter", "gauge"};

    if (i == 0 || strcmp(table[i - 1].family, table[i].family) != 0)
        write_head(out, table[i].family, types[table[i].kind], table[i].help);
    if (table[i].kind == KIND_HISTOGRAM) {
        write_histogram(out, i);
        return;
    }
    if (of_many(table[i].kind)) {
        write_many(out, i);
        return;
    }
    write_name(out, i, "");
    builder_printf(out, "%" PRId64 "\n", cell_sum(table[i].cell));
}

void metrics_write(struct builder *out)
{
    write_head(out, "build_info", "gauge", "The version that runs");
    builder_str(out, PREFIX "build_info{version=\"" SIDETONE_VERSION "\"} 1\n");
    write_head(out, "log_dropped_total", "counter", "Log lines dropped");
    builder_printf(out, PREFIX "log_dropped_total %" PRIu64 "\n", log_dropped());
    for (size_t i = 0; i < METRIC_COUNT; i++)
        write_metric(out, i);
}
